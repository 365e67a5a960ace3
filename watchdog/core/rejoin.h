/*
 * rejoin.h
 *	  Every node's state, and the way back of those that were left behind.
 */
#ifndef RG_REJOIN_H
#define RG_REJOIN_H

#include "memory.h"

/* Sets d->states and d->reasons of all nodes; notes changes. */
extern void rg_rejoin_states(const RgView *view, RgDecision *d);

/* Steps (and automatic rebuild jobs) for the nodes beside a healthy leader. */
extern void rg_rejoin_plan(const RgView *view, RgDecision *d);

#endif							/* RG_REJOIN_H */
