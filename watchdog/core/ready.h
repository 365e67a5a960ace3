/*
 * ready.h
 *	  Would automatic failover work right now, and if not, why?
 */
#ifndef RG_READY_H
#define RG_READY_H

#include "memory.h"

/* Sets d->ready, d->ready_reason and who is eligible; reads phase and states of d. */
extern void rg_ready(const RgView *view, RgDecision *d);

#endif							/* RG_READY_H */
