/*
 * switch.h
 *	  Switchover: the leader gives its role away, with every byte (protocol 3.4, F16).
 *
 *	checkpoint -> the other standbys promise -> the leader promises, its gate closes,
 *	its sessions end -> it is stopped -> it is fenced (it can only start as a standby),
 *	the target promises and has replayed its shutdown checkpoint -> promoting
 *
 * While the leader still runs a failure is undone: it goes on.  Once it is down,
 * the next term is recruited, and it counts there when it has come up as a standby.
 */
#ifndef RG_SWITCH_H
#define RG_SWITCH_H

#include "memory.h"

/* From the order to stop the leader to the promotion. */
#define RG_SWITCH_DEADLINE_MS 15000

/* The order of memory->target may begin now?  Else it is refused, told, and its job has failed. */
extern bool rg_switch_may_begin(const RgView *view, RgDecision *d);

/* Entering the phase: its term, whose authority is to end, the job runs. */
extern void rg_switch_begin(const RgView *view, RgDecision *d, int move);

/* The input of a round in the phase. */
extern RgInput rg_switch_notice(const RgView *view, RgDecision *d);

extern void rg_switch_plan(const RgView *view, RgDecision *d);

/* It is over, this way or that: the job ends with this text. */
extern void rg_switch_end(const RgView *view, RgMemory *memory, bool done, const char *message);

#endif							/* RG_SWITCH_H */
