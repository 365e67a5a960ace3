/*
 * handover.h
 *	  What is done about a leader in trouble: it is told, or another one takes over.
 */
#ifndef RG_HANDOVER_H
#define RG_HANDOVER_H

#include "memory.h"

/* By policy, and if somebody is better off: a switchover is asked for, in memory as if a person had. */
extern void rg_handover_order(const RgView *view, RgDecision *d);

/* Its disk hangs, so it can't give the lead away: by policy it is taken. */
extern bool rg_handover_takes_lead(const RgView *view, const RgMemory *m, int leader);

/* In an undo: the leader's disk keeps it from writing its rule, and somebody is better off. */
extern bool rg_handover_undo_is_stuck(const RgView *view, const RgMemory *m, int leader);

/* The crashes of this round. */
extern void rg_handover_tell_crashes(const RgView *view, RgDecision *d);

/* Troubles that begin and end; the sentence for status; reasons of nodes that have no other. */
extern void rg_handover_tell(const RgView *view, const RgMemory *before, RgDecision *d);

#endif							/* RG_HANDOVER_H */
