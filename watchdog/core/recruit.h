/*
 * recruit.h
 *	  Enough to promote: the arithmetic of authority and of history (protocol 3.4.2).
 *
 * Authority: an old leader can't be acknowledged any more.  Where it could not be
 * made to promise, nor be fenced, so many of its standbys have promised that they
 * can't renew its lease, and its bound has passed.  History (sync and strict):
 * together the recruited hold every commit that was acknowledged.  Both ask every
 * leader whose authority has to end, by its own rule (attacks F7, L5).
 */
#ifndef RG_RECRUIT_H
#define RG_RECRUIT_H

#include "memory.h"

/* How one old leader's authority stands without its promise and without a fence. */
typedef enum RgOutlast
{
	RG_OUTLAST_NEVER = 0,		/* its gate obeys no lease, or it has no standby */
	RG_OUTLAST_RECRUITS,		/* more of its standbys have to promise */
	RG_OUTLAST_TIME,			/* its lease may still run */
	RG_OUTLAST_DONE
} RgOutlast;

extern RgOutlast rg_recruit_outlast(const RgView *view, const RgMemory *memory, int node);

/* The same as half a sentence: what is waited for; "" when done. */
extern void rg_recruit_outlast_text(const RgView *view, const RgMemory *memory, int node, char *buf);

/*
 * Do these nodes (complete recruits) together hold every acknowledged commit?
 * Always in async.  If not, why (RG_TEXT_MAX, may be NULL) names whom it needs.
 */
extern bool rg_recruit_meets_history(const RgView *view, const RgMemory *memory,
									 const bool *counted, char *why);

/* Does any rule in question, seen from these recruits, ask for a count of a commit's flushes? */
extern bool rg_recruit_owes_history(const RgView *view, const RgMemory *memory, const bool *counted);

/* The node's promise of the term at hand says exactly what it holds. */
extern bool rg_recruit_is_complete(const RgView *view, const RgMemory *memory, int node);

#endif							/* RG_RECRUIT_H */
