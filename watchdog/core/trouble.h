/*
 * trouble.h
 *	  A leader that answers and is no good: its disk, its crashes.
 *
 * It holds the lease and may acknowledge, so nothing here proves a death.  What
 * follows from it is a matter of policy (handover.c).
 */
#ifndef RG_TROUBLE_H
#define RG_TROUBLE_H

#include "memory.h"

/* Counts the crashes that a node came back from by itself; before its start is remembered as met. */
extern void rg_trouble_learn_node(const RgView *view, RgMemory *m, int node);

/* Since when the leader's disk hangs, and since when its trouble lasts; after the diagnosis. */
extern void rg_trouble_learn_disk(const RgView *view, RgMemory *m, int leader);
extern void rg_trouble_remember(const RgView *view, RgMemory *m);

/* How often the node has crashed and come back within crash_window. */
extern int	rg_trouble_crashes(const RgView *view, const RgMemory *m, int node);

/* That often that it is not to be relied on; never with crash_limit = 0. */
extern bool rg_trouble_is_looping(const RgView *view, const RgMemory *m, int node);

/* Its disk is full, fails or hangs; not known is no trouble. */
extern bool rg_trouble_of_disk(const RgFacts *facts);

/* A write has not ended for hang_budget, and no WAL was flushed meanwhile. */
extern bool rg_trouble_hangs(const RgView *view, const RgMemory *m, int leader);

/* A standby that answers and has none of these troubles; -1 = nobody. */
extern int	rg_trouble_better(const RgView *view, const RgMemory *m, int leader);

/* Of a leader that answers and is not in recovery: what is the matter, or healthy.  Writes the evidence. */
extern RgDiagnosis rg_trouble_diagnose(const RgView *view, const RgMemory *m, int leader, char *text,
									   unsigned long size);

/*
 * The leader answers, and the failover at hand is because of its disk, which is no
 * better yet: it is ended all the same, and does not go on.
 */
extern bool rg_trouble_is_given_up(const RgView *view, const RgMemory *m, int node);

/* It is starting up once more after too many crashes, and somebody better is there: it is not waited for. */
extern bool rg_trouble_ends_waiting(const RgView *view, const RgMemory *m, int leader);

#endif							/* RG_TROUBLE_H */
