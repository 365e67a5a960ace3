/*
 * unblock.c
 *	  What blocks replay, and how it is lifted for a promise.
 *
 * A node that stops at half of its WAL can neither be chosen nor show that nobody
 * has more.  So a pause ends, and sessions that replay waits for are cancelled:
 * the startup process itself would give them as long as max_standby_streaming_delay
 * says.  Only those in conflict: heartbeats must go on.
 *
 * Two pauses are never ended: one because of insufficient settings (the server
 * would shut down), and one at a recovery target (it would promote itself).
 */
#include "postgres.h"

#include <signal.h>

#include "access/twophase.h"
#include "access/xlogrecovery.h"
#include "catalog/pg_control.h"
#include "common/controldata_utils.h"
#include "miscadmin.h"
#include "postmaster/bgworker_internals.h"
#include "replication/walsender.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/procsignal.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "park.h"
#include "unblock.h"

/* Does the WAL demand larger settings than this server has? */
static bool
settings_are_insufficient(void)
{
	bool		crc_ok;
	ControlFileData *control = get_controlfile(DataDir, &crc_ok);
	bool		result;

	result = !crc_ok ||
		control->MaxConnections > MaxConnections ||
		control->max_worker_processes > max_worker_processes ||
		control->max_wal_senders > max_wal_senders ||
		control->max_prepared_xacts > max_prepared_xacts ||
		control->max_locks_per_xact > max_locks_per_xact;
	pfree(control);
	return result;
}

bool
rg_unblock_pause(void)
{
	if (GetRecoveryPauseState() == RECOVERY_NOT_PAUSED)
		return true;
	if (recoveryTarget != RECOVERY_TARGET_UNSET || settings_are_insufficient())
		return false;
	ereport(LOG,
			(errhidestmt(true),
			 errmsg("pg_regent ends the pause of replay because of a promise")));
	SetRecoveryPause(false);
	return true;
}

/* Sessions that hold the lock which the startup process waits for. */
static void
cancel_lock_holders(pid_t startup_pid)
{
	LockData   *locks = GetLockStatusData();

	for (int i = 0; i < locks->nelements; i++)
	{
		LockInstanceData *lock = &locks->locks[i];
		VirtualTransactionId *holders;

		if (lock->pid != startup_pid || lock->waitLockMode == NoLock)
			continue;
		holders = GetLockConflicts(&lock->locktag, lock->waitLockMode, NULL);
		for (; VirtualTransactionIdIsValid(*holders); holders++)
			(void) CancelVirtualTransaction(*holders, PROCSIG_RECOVERY_CONFLICT_LOCK);
	}
}

/*
 * Sessions whose snapshot is older than a new one.  A new one is never in conflict
 * with a record that is being replayed: what the record removes was dead for
 * everybody when it was written.
 */
static void
cancel_old_snapshots(void)
{
	TransactionId limit = GetLatestSnapshot()->xmin;
	VirtualTransactionId *others;

	rg_leave_snapshot();
	TransactionIdRetreat(limit);
	others = GetConflictingVirtualXIDs(limit, InvalidOid);
	for (; VirtualTransactionIdIsValid(*others); others++)
		(void) CancelVirtualTransaction(*others, PROCSIG_RECOVERY_CONFLICT_SNAPSHOT);
}

/*
 * All transactions but ours.  Those that do not hold the buffer pin ignore it;
 * for a tablespace the server itself does the same.
 */
static void
cancel_transactions(ProcSignalReason reason)
{
	VirtualTransactionId *others = GetConflictingVirtualXIDs(InvalidTransactionId, InvalidOid);
	VirtualTransactionId own;

	GET_VXID_FROM_PGPROC(own, *MyProc);
	for (; VirtualTransactionIdIsValid(*others); others++)
		if (!VirtualTransactionIdEquals(*others, own))
			(void) CancelVirtualTransaction(*others, reason);
}

void
rg_unblock_conflict(pid_t startup_pid, uint32 wait_event)
{
	if ((wait_event & 0xFF000000U) == PG_WAIT_LOCK)
		cancel_lock_holders(startup_pid);
	else if (rg_compat_waits_for_pin(wait_event))
		cancel_transactions(PROCSIG_RECOVERY_CONFLICT_BUFFERPIN);
	else if (wait_event == WAIT_EVENT_RECOVERY_CONFLICT_SNAPSHOT)
		cancel_old_snapshots();
	else if (wait_event == WAIT_EVENT_RECOVERY_CONFLICT_TABLESPACE)
		cancel_transactions(PROCSIG_RECOVERY_CONFLICT_TABLESPACE);
	else
		return;

	/* it naps between its looks; any signal ends the nap */
	(void) kill(startup_pid, SIGHUP);
}
