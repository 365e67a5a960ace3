/*
 * plan.h
 *	  The steps that a phase asks for: each round states them anew.
 *
 * A step is asked for until it has succeeded (its effect is seen, or its
 * answer came) or its limit of tries is used up; the daemon never repeats one
 * by itself.
 */
#ifndef RG_PLAN_H
#define RG_PLAN_H

#include "memory.h"

/* So often a fenced node is started for one term; init may still hold its dead postmaster. */
#define RG_START_TRIES 20

/* Probes over SSH, as often as what is known asks for. */
extern void rg_plan_probes(const RgView *view, RgDecision *d);

/* Fence, promises, promotion, rule: the steps of a failover in its phase. */
extern void rg_plan_failover(const RgView *view, RgDecision *d);

/*
 * Asks a standby for its promise of the term at hand, unless it has given one that
 * counts.  An answer that does not (restart, incomplete) is asked for again, at most
 * limit times where it fails.
 */
extern void rg_plan_promise(const RgView *view, RgDecision *d, int node, bool must_be_complete,
							int limit);

/* A standby whose promise is still to come; the choice waits for it. */
extern bool rg_plan_waits_for_promises(const RgView *view, const RgDecision *d);

/*
 * This primary, whose authority is to end, has not been granted anything since it
 * was started, and others show more than it holds: it can't go on.
 */
extern bool rg_plan_lacks_something(const RgView *view, const RgMemory *m, int node);

/* The rule that the new leader (or, in an undo, the old one) is to write. */
extern void rg_plan_rule(const RgView *view, const RgMemory *m, bool undone, RgRule *ret_rule);

/*
 * May this node, which we fenced, be started (as a standby) now?  Its directory
 * can't come up as anything else; one that came up and died is tried again.
 */
extern bool rg_plan_may_start(const RgView *view, const RgMemory *m, int node, int64_t term);

#endif							/* RG_PLAN_H */
