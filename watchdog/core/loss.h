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

/*
 * The leader is to go on by order with less than others have shown.  From where its own
 * WAL begins other records may have its numbers: noted while it still says where that is.
 */
extern void rg_loss_note_fork(const RgView *view, RgMemory *m, int leader);

/*
 * It is about to be promoted by order: whoever is not known to hold no more than that
 * has strayed.  Where that was not seen, nobody is.
 */
extern void rg_loss_give_up(const RgView *view, RgMemory *m, int leader);

/* As a part of a sentence, beginning with "; ". */
extern void rg_loss_text(const RgMemory *m, char *buf, unsigned long size);

/* A helper has measured what its node held beyond the fork, and has kept it. */
extern void rg_loss_measure(const RgView *view, RgDecision *d, int node);

#endif							/* RG_LOSS_H */
