/*
 * change.h
 *	  A new rule of the same leader and term: another lease or watchdog, durability,
 *	  quorum, voters, who is left out; and the nodes that are to obey this watchdog by an
 *	  operator's word.
 *
 * Whoever wants another rule puts the wish into the memory (rg_order_set() in
 * order_rule.h); the rules that make it so are planned here, while the cluster is
 * steady, one after the other.
 */
#ifndef RG_CHANGE_H
#define RG_CHANGE_H

#include "memory.h"

/* TAKEOVER steps in any phase; WRITE_RULE while the cluster is steady. */
extern void rg_change_plan_takeover(const RgView *view, RgDecision *d);
extern void rg_change_plan_rule(const RgView *view, RgDecision *d);

/* The quorum that is wanted, whoever is left out at the moment. */
extern int	rg_change_wanted_quorum(const RgView *view, const RgMemory *memory);

/* This node can't act by any rule any more: we have fenced it, or an operator says so. */
extern bool rg_change_is_gone(const RgMemory *memory, int node);

/* A node that is to be rebuilt is left out first (attack V2): may it begin?  Asked for at since_ms. */
extern bool rg_change_may_rebuild(const RgView *view, const RgDecision *d, int node, int64_t since_ms);

/* Says what a newer rule of the same leader and term has changed. */
extern void rg_change_tell(const RgRule *before, RgDecision *d);

#endif							/* RG_CHANGE_H */
