/*
 * lease.h
 *	  The lease: until when, by its own clock, this leader may acknowledge writes.
 *
 * It stands in shared memory only, as rg_shared->lease_until_ms: a restarted
 * server has none.  It comes from the watchdog's grants or, while no watchdog
 * speaks, from the standbys (marker.c).  The gate reads it; only this module
 * writes it, always under the shared lock.
 */
#ifndef RG_LEASE_H
#define RG_LEASE_H

#include "postgres.h"

#include "command.h"
#include "joint.h"

/*
 * The shared state has changed: a lease ends with what it rests on (the rule, no
 * higher promise), and a rule with a shorter lease cuts it.  Call it under the
 * shared lock, exclusively, with every change of rg_shared->state.
 */
extern void rg_lease_fit_locked(void);

/*
 * The watchdog grants until until_ms, for command->term.  Counts only on the
 * leader of that very term, from the watchdog that it obeys in its newest life,
 * and is cut to the rule's lease from now.  Returns whether it counted.  The
 * caller has checked that this very server start is meant.
 */
extern bool rg_lease_grant(const RgCommand *command, int64 until_ms);

/*
 * The standbys of these rules grant until until_ms, or, without any standby, the
 * leader to itself; false if the newest of them does not count any more.
 */
extern bool rg_lease_renew(const RgJoint *joint, int64 until_ms);

#endif							/* RG_LEASE_H */
