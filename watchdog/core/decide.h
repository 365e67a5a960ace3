/*
 * decide.h
 *	  One round: view and memory in, decision out.
 *
 * Pure: the same input gives the same output; nothing is read or written
 * beside the arguments.  The caller writes ret->memory to the journal (when
 * must_record is set, before any step runs), then runs the steps.
 */
#ifndef RG_DECIDE_H
#define RG_DECIDE_H

#include "memory.h"

/* How long a recruit waits for standbys that are slow to answer. */
#define RG_RECRUIT_DEADLINE_MS 3000

/* How long a promotion, or the rule after it, may take before the next term is recruited. */
#define RG_PROMOTE_DEADLINE_MS 15000

/* Memory follows the order of the view; new nodes start empty. */
extern void rg_decide_align(const RgView *view, RgMemory *m);

extern void rg_decide(const RgView *view, const RgMemory *before, RgDecision *ret);

#endif							/* RG_DECIDE_H */
