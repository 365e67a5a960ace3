/*
 * enlist.h
 *	  Nodes that come into the cluster and leave it while it runs.
 *
 * add: clone -> join -> vote; remove: leave -> park.  One of them at a time.
 */
#ifndef RG_ENLIST_H
#define RG_ENLIST_H

#include "memory.h"

/* May this node of the configuration be added now?  NULL when yes, else why not (in buf of RG_TEXT_MAX). */
extern const char *rg_enlist_add_refusal(const RgView *view, const RgMemory *memory, const char *node, char *buf);

/* Queues it; ret_why is of RG_TEXT_MAX bytes. */
extern bool rg_enlist_add(const RgView *view, RgMemory *memory, const char *node, char *ret_why);

/*
 * May this node be taken out of the cluster now?  lost: the operator says that it is
 * gone for ever.  NULL when yes, and buf says what that means; else why not.
 */
extern const char *rg_enlist_remove_refusal(const RgView *view, const RgMemory *memory, const char *node, bool lost,
											char *buf);

extern bool rg_enlist_remove(const RgView *view, RgMemory *memory, const char *node, bool lost, char *ret_why);

/* It is looked after: one that was removed is looked at and left alone. */
extern bool rg_enlist_is_ours(const RgView *view, const RgMemory *memory, int node);

/* Its directory is being made: nobody else touches it. */
extern bool rg_enlist_is_cloning(const RgMemory *memory, const char *node);

/* Its copy is there, and it is to stream from the leader and get its vote. */
extern bool rg_enlist_is_joining(const RgMemory *memory, const char *node);

/* It has no vote, and needs a slot where it streams from: a new node before its copy begins. */
extern bool rg_enlist_needs_slot(const RgView *view, const RgMemory *memory, int node);

/* Moves the job at hand on, while the leader answers as a primary. */
extern void rg_enlist_plan(const RgView *view, RgDecision *d);

#endif							/* RG_ENLIST_H */
