/*
 * learn.h
 *	  What a round takes from the view into the memory.
 */
#ifndef RG_LEARN_H
#define RG_LEARN_H

#include "memory.h"

/* Rules, terms, lease lengths, which postmaster a helper has shown, what a node said of itself. */
extern void rg_learn(const RgView *view, RgMemory *m);

/* What belongs to the leader: its server start may have leases, why it is gone, the newest position. */
extern void rg_learn_leader(const RgView *view, RgMemory *m, int leader);

/*
 * The newest rule that we see was written for another watchdog, or our journal may
 * be an old one: have enough of its standbys answered to tell that there is no newer
 * one?
 */
extern bool rg_learn_knows_enough(const RgView *view, const RgMemory *m);

/* The leader holds less than was shown before its answer: no crossing of two answers explains it. */
extern bool rg_learn_is_surely_behind(const RgView *view, const RgMemory *m, int leader);

/*
 * This one leads by rule and answers, but gets no lease: it is not known yet that it
 * lacks nothing, others show more, or nobody can say whether it still leads.  An operator
 * may say that it goes on all the same.
 */
extern bool rg_learn_waits_for_a_word(const RgView *view, const RgMemory *m, int node);

/*
 * He has said so.  Others may hold WAL of the same numbers and another content: so it does
 * not go on where it is, but is started as a standby and promoted, on a timeline of its own.
 */
extern bool rg_learn_begins_anew(const RgView *view, const RgMemory *m, int node);

/* Every node of the configuration was asked once, or was given the time for it. */
extern bool rg_learn_all_tried(const RgView *view);

#endif							/* RG_LEARN_H */
