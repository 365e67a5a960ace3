/*
 * slots.h
 *	  What replication slots tell: WAL that was released, WAL that is gone, logical
 *	  slots that a failover leaves behind.
 */
#ifndef RG_CORE_SLOTS_H
#define RG_CORE_SLOTS_H

#include "memory.h"

/*
 * The standby needs WAL that its leader has no more, and gets it from no archive
 * either: only another copy helps.  why holds RG_TEXT_MAX.
 */
extern bool rg_slots_wal_is_gone(const RgView *view, RgDecision *d, int node, char *why);

/* Slots that the leader has released: an event once, and in the node's reason. */
extern void rg_slots_tell_released(const RgView *view, RgDecision *d);

/* "2 logical slots (a, b)" of a node, as last seen; "" = it has none.  buf holds RG_TEXT_MAX. */
extern const char *rg_slots_logical_text(const RgView *view, int node, char *buf);

/* The lead has gone from one node to another: which logical slots did not go with it? */
extern void rg_slots_tell_logical(const RgView *view, RgDecision *d, int from, int to);

#endif							/* RG_CORE_SLOTS_H */
