/*
 * loss.h
 *	  What a failover gave up: as far as it is known at its end, and as measured when
 *	  the old leader comes back.
 */
#ifndef RG_LOSS_H
#define RG_LOSS_H

#include "memory.h"

/* At the end of a failover: what the old leader had shown beyond where the new one began. */
extern void rg_loss_estimate(const RgView *view, RgMemory *m, int from, int to);

/* As a part of a sentence, beginning with "; ". */
extern void rg_loss_text(const RgMemory *m, char *buf, unsigned long size);

/* A helper has measured what its node held beyond the fork, and has kept it. */
extern void rg_loss_measure(const RgView *view, RgDecision *d, int node);

#endif							/* RG_LOSS_H */
