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
 * By an operator's word this leader goes on with what it holds.  What others hold
 * beyond, on the same timeline, is given up: soon positions will not tell it any more.
 */
extern void rg_learn_given_up(const RgView *view, RgMemory *m, int leader);

/* Every node of the configuration was asked once, or was given the time for it. */
extern bool rg_learn_all_tried(const RgView *view);

#endif							/* RG_LEARN_H */
