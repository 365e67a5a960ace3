/*
 * notice_failover.h
 *	  The two halves of notice: what they ask of each other.
 */
#ifndef RG_NOTICE_FAILOVER_H
#define RG_NOTICE_FAILOVER_H

#include "memory.h"

/* The phases of a failover: recruiting; promoting; ruling and undoing. */
extern RgInput rg_notice_recruiting(const RgView *view, RgDecision *d);
extern RgInput rg_notice_promoting(const RgView *view, RgDecision *d);
extern RgInput rg_notice_ruling(const RgView *view, RgDecision *d);

/* The leader is to be replaced: FAILOVER_CALLED, or why not (notice.c). */
extern RgInput rg_notice_death(const RgView *view, RgDecision *d);

/* Why no failover goes on: told when it changes (notice.c). */
extern void rg_notice_refuse(RgDecision *d, const char *why);

/* Somebody runs as a primary with the newest rule beside the leader: refused (notice.c). */
extern bool rg_notice_other_primary(const RgView *view, RgDecision *d);

#endif							/* RG_NOTICE_FAILOVER_H */
