/*
 * park.c
 *	  Parking the startup process: no source of WAL, and all WAL replayed.
 *
 * What the startup process does can't be asked, it has to be proven:
 *
 * - It has no source of WAL any more: primary_conninfo and restore_command are
 *   empty *in that process*.  It rereads them when it likes, and not at all while
 *   replay waits for a lock.  So hooks on the two settings, which run in every
 *   process, let the startup process itself note their values in shared memory.
 *   Before that a receiver that was ended would be started again.
 * - It has read all WAL in pg_wal.  After the receiver has ended it may first
 *   sleep (wal_retrieve_retry_interval) and then look.  So: see it sleep, wake it
 *   with SIGHUP, see that it has reread its settings (it is past that sleep, and
 *   next it looks), and see it sleep again.  Then nothing is unread.
 *
 * The SIGHUP goes to the startup process directly as well as to the postmaster:
 * a busy postmaster does not delay a promise.  A position that was received, or
 * "receive = replay", says nothing: both forget what came before a restart.
 *
 * What was received behind the last whole record is given up: a server dies in the
 * middle of a record, and its walsenders had sent the beginning of it.  The next
 * leader's WAL takes its place, but PostgreSQL would go on to pass it down as ours,
 * and those who follow from before the promotion would report it as flushed: WAL
 * that the new leader does not have, up to a position that its own commits reach.
 *
 * What blocks replay is lifted: recovery_min_apply_delay reads as zero in the
 * startup process while the node is parked (the files stay as they are), and
 * unblock.c does the rest.  We ourselves must not block it: see
 * rg_leave_snapshot.
 */
#include "postgres.h"

#include <signal.h>

#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/spin.h"
#include "utils/guc.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "park.h"
#include "settings.h"
#include "shmem.h"
#include "unblock.h"

#define POLL_MS 1
#define RELOAD_AGAIN_MS 100
#define RECEIVER_GRACE_MS 10
#define RECEIVER_AGAIN_MS 50
#define CONFLICT_AGAIN_MS 10
#define PAUSE_AGAIN_MS 100

/* How far the proof has come; each step needs the ones before it. */
typedef enum ParkStep
{
	PARK_NO_SOURCE,				/* wait until it has taken over the empty settings */
	PARK_NO_RECEIVER,			/* wait until the receiver is gone */
	PARK_ASLEEP,				/* wait until it sleeps, then wake it */
	PARK_WOKEN,					/* wait until it was awake and sleeps again */
	PARK_DONE
} ParkStep;

typedef struct Park
{
	ParkStep	step;
	pid_t		startup_pid;
	uint64		reloads;		/* its count before we woke it */
	int64		started_ms;
	int64		reload_ms;
	int64		receiver_ms;
	int64		conflict_ms;
	int64		pause_ms;
	bool		is_pause_kept;
	uint32		last_wait;		/* wait event of the last look */
	XLogRecPtr	last_lsn;
} Park;

/* ------------------------------------------------ inside the startup process */

static void
assign_primary_conninfo(const char *newval, void *extra)
{
	if (rg_shared == NULL || !AmStartupProcess())
		return;
	pg_atomic_write_u32(&rg_shared->startup_has_conninfo, newval != NULL && newval[0] != '\0');
	pg_atomic_fetch_add_u64(&rg_shared->startup_reloads, 1);
}

static void
assign_restore_command(const char *newval, void *extra)
{
	if (rg_shared == NULL || !AmStartupProcess())
		return;
	pg_atomic_write_u32(&rg_shared->startup_has_restore, newval != NULL && newval[0] != '\0');
}

/* Zero while parked, whatever the files say. */
static bool
check_apply_delay(int *newval, void **extra, GucSource source)
{
	if (rg_shared != NULL && AmStartupProcess() && pg_atomic_read_u32(&rg_shared->is_parked))
		*newval = 0;
	return true;
}

static void
watch_string(const char *name, GucStringAssignHook hook)
{
	struct config_generic *setting = rg_compat_find_setting(name);

	if (setting == NULL || setting->vartype != PGC_STRING ||
		((struct config_string *) setting)->assign_hook != NULL)
		elog(FATAL, "pg_regent cannot watch setting \"%s\" in this server version", name);
	((struct config_string *) setting)->assign_hook = hook;
}

static void
watch_int(const char *name, GucIntCheckHook hook)
{
	struct config_generic *setting = rg_compat_find_setting(name);

	if (setting == NULL || setting->vartype != PGC_INT ||
		((struct config_int *) setting)->check_hook != NULL)
		elog(FATAL, "pg_regent cannot watch setting \"%s\" in this server version", name);
	((struct config_int *) setting)->check_hook = hook;
}

void
rg_park_watch_settings(void)
{
	watch_string("primary_conninfo", assign_primary_conninfo);
	watch_string("restore_command", assign_restore_command);
	watch_int("recovery_min_apply_delay", check_apply_delay);
}

/* The startup process inherits the postmaster's settings without a hook being called. */
void
rg_park_init(void)
{
	pg_atomic_write_u32(&rg_shared->startup_has_conninfo,
						PrimaryConnInfo != NULL && PrimaryConnInfo[0] != '\0');
	pg_atomic_write_u32(&rg_shared->startup_has_restore,
						recoveryRestoreCommand != NULL && recoveryRestoreCommand[0] != '\0');
	pg_atomic_write_u32(&rg_shared->is_parked, rg_state_is_parked(&rg_shared->state));
}

/* ------------------------------------------------ looking at it */

/* Its process id, 0 if there is none any more. */
static pid_t
find_startup_process(void)
{
	static pid_t known = 0;

	if (known != 0 && AuxiliaryPidGetProc(known) != NULL)
		return known;

	known = 0;
	pgstat_clear_backend_activity_snapshot();
	for (int i = 1; i <= pgstat_fetch_stat_numbackends(); i++)
	{
		PgBackendStatus *entry = rg_compat_backend_entry(i);

		if (entry != NULL && entry->st_backendType == B_STARTUP)
		{
			known = entry->st_procpid;
			break;
		}
	}
	return known;
}

static uint32
startup_wait_event(pid_t pid)
{
	PGPROC	   *proc = AuxiliaryPidGetProc(pid);

	return proc != NULL ? *(volatile uint32 *) &proc->wait_event_info : 0;
}

WalRcvState
rg_walreceiver_state(pid_t *ret_pid, bool *ret_is_connected)
{
	WalRcvState state;

	SpinLockAcquire(&WalRcv->mutex);
	state = WalRcv->walRcvState;
	if (ret_pid != NULL)
		*ret_pid = WalRcv->pid;
	if (ret_is_connected != NULL)
		*ret_is_connected = WalRcv->pid != 0 && WalRcv->ready_to_display;
	SpinLockRelease(&WalRcv->mutex);
	return state;
}

void
rg_wait_ms(long ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms,
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

void
rg_leave_snapshot(void)
{
	if (!RecoveryInProgress())
		return;
	MyProc->xmin = InvalidTransactionId;
	VirtualXactLockTableCleanup();
}

/* ------------------------------------------------ the proof */

void
rg_park_reload(bool parked)
{
	pid_t		startup_pid = find_startup_process();

	pg_atomic_write_u32(&rg_shared->is_parked, parked);
	pg_memory_barrier();
	rg_settings_reload();
	if (startup_pid != 0)
		(void) kill(startup_pid, SIGHUP);
}

/* Ends the receiver, if the startup process has not done so by itself. */
static void
end_receiver(Park *park, int64 now)
{
	pid_t		receiver_pid;

	if (rg_walreceiver_state(&receiver_pid, NULL) == WALRCV_STOPPED || receiver_pid == 0)
		return;
	if (now - park->started_ms < RECEIVER_GRACE_MS || now - park->receiver_ms < RECEIVER_AGAIN_MS)
		return;
	park->receiver_ms = now;
	(void) kill(receiver_pid, SIGTERM);
}

/* Takes as many steps as what is seen now allows. */
static void
advance(Park *park, int64 now, uint32 wait_event)
{
	bool		is_asleep = wait_event == WAIT_EVENT_RECOVERY_RETRIEVE_RETRY_INTERVAL;

	if (park->step == PARK_NO_SOURCE)
	{
		if (pg_atomic_read_u32(&rg_shared->startup_has_conninfo) == 0 &&
			pg_atomic_read_u32(&rg_shared->startup_has_restore) == 0)
			park->step = PARK_NO_RECEIVER;
		else if (now - park->reload_ms >= RELOAD_AGAIN_MS)
		{
			park->reload_ms = now;
			(void) kill(park->startup_pid, SIGHUP);
		}
	}
	if (park->step == PARK_NO_RECEIVER && rg_walreceiver_state(NULL, NULL) == WALRCV_STOPPED)
	{
		park->step = PARK_ASLEEP;
		return;					/* the wait event was read before this was known */
	}
	if (park->step == PARK_ASLEEP && is_asleep)
	{
		park->reloads = pg_atomic_read_u64(&rg_shared->startup_reloads);
		pg_memory_barrier();
		park->reload_ms = now;
		park->step = PARK_WOKEN;
		(void) kill(park->startup_pid, SIGHUP);
		return;
	}
	if (park->step == PARK_WOKEN)
	{
		if (pg_atomic_read_u64(&rg_shared->startup_reloads) > park->reloads)
		{
			pg_memory_barrier();
			if (startup_wait_event(park->startup_pid) ==
				WAIT_EVENT_RECOVERY_RETRIEVE_RETRY_INTERVAL)
				park->step = PARK_DONE;
		}
		else if (now - park->reload_ms >= RELOAD_AGAIN_MS)
		{
			park->reload_ms = now;
			(void) kill(park->startup_pid, SIGHUP);
		}
	}
}

/* The receiver is gone, and all whole records are replayed. */
static void
forget_torn_record(void)
{
	TimeLineID	timeline;
	XLogRecPtr	replayed = GetXLogReplayRecPtr(&timeline);

	SpinLockAcquire(&WalRcv->mutex);
	if (WalRcv->walRcvState == WALRCV_STOPPED && WalRcv->receivedTLI == timeline &&
		WalRcv->flushedUpto > replayed)
		WalRcv->flushedUpto = replayed;
	SpinLockRelease(&WalRcv->mutex);
}

static void
log_incomplete(const Park *park)
{
	static const char *const missing[] = {
		"The startup process has not taken over its new settings; see the view pg_file_settings for errors.",
		"The walreceiver has not ended.",
		"The startup process is still replaying WAL.",
		"The startup process is still replaying WAL.",
		""
	};

	ereport(LOG,
			(errhidestmt(true),
			 errmsg("pg_regent could not park this standby in time"),
			 errdetail("%s", park->is_pause_kept ?
					   "Replay is paused because of insufficient settings or at a recovery target, which only the operator can end." :
					   missing[park->step])));
}

bool
rg_park_wait(int64 deadline_ms)
{
	Park		park = {.step = PARK_NO_SOURCE};

	park.started_ms = park.reload_ms = rg_boottime_ms();
	for (;;)
	{
		int64		now = rg_boottime_ms();
		uint32		wait_event;
		XLogRecPtr	lsn;

		rg_leave_snapshot();
		park.startup_pid = find_startup_process();
		if (!RecoveryInProgress() || PromoteIsTriggered() || park.startup_pid == 0)
			return false;
		wait_event = startup_wait_event(park.startup_pid);
		lsn = GetXLogReplayRecPtr(NULL);

		if (now - park.pause_ms >= PAUSE_AGAIN_MS)
		{
			park.pause_ms = now;
			park.is_pause_kept = !rg_unblock_pause();
		}
		if (wait_event != 0 && wait_event == park.last_wait && lsn == park.last_lsn &&
			now - park.conflict_ms >= CONFLICT_AGAIN_MS)
		{
			park.conflict_ms = now;
			rg_unblock_conflict(park.startup_pid, wait_event);
		}
		park.last_wait = wait_event;
		park.last_lsn = lsn;

		end_receiver(&park, now);
		advance(&park, now, wait_event);
		if (park.step == PARK_DONE)
		{
			forget_torn_record();
			return true;
		}
		if (now >= deadline_ms)
		{
			log_incomplete(&park);
			return false;
		}
		rg_wait_ms(POLL_MS);
	}
}
