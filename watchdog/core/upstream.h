/*
 * upstream.h
 *	  Cascading: whom a standby with an upstream is to stream from.
 */
#ifndef RG_UPSTREAM_H
#define RG_UPSTREAM_H

#include "memory.h"

/* It has an upstream and no vote; a voter stays with the leader whatever is configured. */
extern bool rg_upstream_cascades(const RgView *view, const RgMemory *memory, int node);

/* It has no vote: it cascades, is just being added, or does not belong to the cluster. */
extern bool rg_upstream_is_guest(const RgView *view, const RgMemory *memory, int node);

/* Which upstreams can be followed; once a round, when the leader is known. */
extern void rg_upstream_learn(const RgView *view, RgDecision *d);

/* Whom this node is to stream from now: the leader, or its upstream; -1 = nobody is known. */
extern int	rg_upstream_source(const RgView *view, const RgMemory *memory, int node);

/* It streams from where it should. */
extern bool rg_upstream_streams(const RgView *view, const RgMemory *memory, int node);

/* Its upstream is not what it streams from although it should be; "" = all is as configured. */
extern void rg_upstream_text(const RgView *view, const RgMemory *memory, int node, char *buf);

/* The nodes beside the voters that need a slot on this node: a bit each. */
extern uint32_t rg_upstream_slots(const RgView *view, const RgMemory *memory, int node);

#endif							/* RG_UPSTREAM_H */
