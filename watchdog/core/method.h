/*
 * method.h
 *	  How a node is brought back, and from whom: rewind, delta or copy.
 */
#ifndef RG_METHOD_H
#define RG_METHOD_H

#include "memory.h"

/*
 * Why this method is not to be tried on the node; NULL: it may be.  What only its
 * host can know (settings, space, WAL that is there) the helper says itself.
 */
extern const char *rg_method_trouble(const RgView *view, const RgMemory *memory, int node,
									 RgMethod method, char *buf);

/* The next method after the one in use that this job may try; AUTO: none is left.  Notes why others are not. */
extern RgMethod rg_method_next(const RgView *view, const RgMemory *memory, RgJob *job, int node);

/* Adds "METHOD: why" to what the job has tried, unless the method before it said the same. */
extern void rg_method_note(RgJob *job, RgMethod method, const char *why);

/* Why nobody can be copied from this one; NULL: it can.  buf of RG_TEXT_MAX. */
extern const char *rg_method_source_trouble(const RgView *view, const RgMemory *memory, int source,
											char *buf);

/* From whom the job's next try is taken: who was asked for, the leader, or after a source's failure another one. */
extern int	rg_method_source(const RgView *view, const RgMemory *memory, const RgJob *job);

#endif							/* RG_METHOD_H */
