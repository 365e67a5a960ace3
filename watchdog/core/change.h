/*
 * change.h
 *	  A new rule of the same leader and term: another lease, another watchdog; and
 *	  the nodes that are to obey this watchdog by an operator's word.
 */
#ifndef RG_CHANGE_H
#define RG_CHANGE_H

#include "memory.h"

/* TAKEOVER steps in any phase; WRITE_RULE while the cluster is steady. */
extern void rg_change_plan_takeover(const RgView *view, RgDecision *d);
extern void rg_change_plan_rule(const RgView *view, RgDecision *d);

/* Says what a newer rule of the same leader and term has changed. */
extern void rg_change_tell(const RgRule *before, RgDecision *d);

#endif							/* RG_CHANGE_H */
