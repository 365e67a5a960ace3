/*
 * park.h
 *	  Parking the startup process: no source of WAL, and all WAL replayed.
 *
 * A promise is worth nothing while the node still receives WAL, and a position
 * is worth nothing while there is unread WAL in pg_wal.  This module makes both
 * true and tells when they are; park.c says how that can be known.
 */
#ifndef RG_PARK_H
#define RG_PARK_H

#include "postgres.h"

#include "replication/walreceiver.h"

/*
 * In _PG_init: watches, in the startup process, the settings that give it a
 * source of WAL or delay replay.
 */
extern void rg_park_watch_settings(void);

/* In the shared memory startup hook, after the state file was read. */
extern void rg_park_init(void);

/*
 * Tells the startup process (and all others) to reread the settings.  With
 * parked set, delays of replay are lifted until it is called without.
 */
extern void rg_park_reload(bool parked);

/*
 * Waits until the walreceiver is gone for good and the startup process has read
 * all WAL that is there; lifts what blocks replay.  Then "received" is no more than
 * what was replayed: a record that came in part is given up.  The settings must be written
 * and rg_park_reload(true) called before.  False at the deadline (boottime),
 * with the reason in the server's log.
 */
extern bool rg_park_wait(int64 deadline_ms);

/* State of the walreceiver, under its lock; ret_pid may be NULL. */
extern WalRcvState rg_walreceiver_state(pid_t *ret_pid, bool *ret_is_connected);

/* One of our own short waits: a latch wait that honours interrupts. */
extern void rg_wait_ms(long ms);

/*
 * On a standby, gives up this backend's snapshot and virtual transaction lock, so
 * that replay never waits for it; to be called first in a command that waits.
 * Only where no table is read afterwards.
 */
extern void rg_leave_snapshot(void);

#endif							/* RG_PARK_H */
