/*
 * shmem.c
 *	  What the node's processes share.
 *
 * heartbeat() must answer within a moment whatever else goes on in the server,
 * so everything that it needs is here or in the server's own shared memory: it
 * reads no table and takes no lock that a client could hold.  The lock in here
 * is held for copies only, never across file access or an allocation.
 */
#include "postgres.h"

#include "access/timeline.h"
#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "miscadmin.h"
#include "replication/walreceiver.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "storage/spin.h"

#include "gate.h"
#include "history.h"
#include "lease.h"
#include "nodestate.h"
#include "park.h"
#include "shmem.h"
#include "start.h"

RG_HOT_DATA RgShared *rg_shared = NULL;
char		rg_boot_id[RG_UUID_SIZE];

/* The postmaster's own memory outlives a crash of its children, shared memory does not. */
static int	memory_starts = 0;

void
rg_shmem_request(void)
{
	RequestAddinShmemSpace(MAXALIGN(sizeof(RgShared)));
	RequestNamedLWLockTranche("pg_regent", 1);
}

/* The kernel's id of this boot: together with the postmaster's start it names a server start. */
static void
read_boot_id(void)
{
	FILE	   *file = fopen("/proc/sys/kernel/random/boot_id", "r");

	memset(rg_boot_id, 0, sizeof(rg_boot_id));
	if (file == NULL)
		return;
	if (fread(rg_boot_id, 1, RG_UUID_SIZE - 1, file) != RG_UUID_SIZE - 1)
		memset(rg_boot_id, 0, sizeof(rg_boot_id));
	fclose(file);
}

void
rg_shmem_startup(void)
{
	bool		found;

	rg_start_refuse_exchange();
	rg_start_refuse_rewinding();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	rg_shared = ShmemInitStruct("pg_regent", sizeof(RgShared), &found);
	if (!found)
	{
		memset(rg_shared, 0, sizeof(RgShared));
		rg_shared->lock = &GetNamedLWLockTranche("pg_regent")->lock;
		rg_shared->crash_restarts = memory_starts++;
		pg_atomic_init_u64(&rg_shared->watchdog_seen_ms, 0);
		pg_atomic_init_u64(&rg_shared->lease_until_ms, 0);
		pg_atomic_init_u64(&rg_shared->stale_since_ms, 0);
		pg_atomic_init_u64(&rg_shared->override_until_ms, 0);
		pg_atomic_init_u32(&rg_shared->gate_permits, 0);
		pg_atomic_init_u32(&rg_shared->gate_counts, 0);
		pg_atomic_init_u32(&rg_shared->gate_is_joint, 0);
		pg_atomic_init_u64(&rg_shared->gate_generation, 0);
		pg_atomic_init_u32(&rg_shared->startup_has_conninfo, 0);
		pg_atomic_init_u32(&rg_shared->startup_has_restore, 0);
		pg_atomic_init_u64(&rg_shared->startup_reloads, 0);
		pg_atomic_init_u32(&rg_shared->is_parked, 0);

		/* a start counts as a receipt: nobody knows what came before it */
		rg_shared->receipt.last_wal_ms = rg_boottime_ms();
		rg_shared->receipt.last_message_ms = rg_shared->receipt.last_wal_ms;
		rg_shared->published_ms = rg_shared->receipt.last_wal_ms;
		read_boot_id();
		rg_start_init();
		rg_history_drop_dangling();
		rg_node_load();
		rg_park_init();
	}
	LWLockRelease(AddinShmemInitLock);
	rg_gate_begin();
}

void
rg_require_shared(void)
{
	if (rg_shared == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pg_regent must be loaded via shared_preload_libraries"),
				 errhint("Add pg_regent to shared_preload_libraries in postgresql.conf and restart the server.")));
}

void
rg_shared_state(RgState *ret_state)
{
	LWLockAcquire(rg_shared->lock, LW_SHARED);
	*ret_state = rg_shared->state;
	LWLockRelease(rg_shared->lock);
}

void
rg_worker_wake(void)
{
	Latch	   *latch;

	LWLockAcquire(rg_shared->lock, LW_SHARED);
	latch = rg_shared->worker_latch;
	LWLockRelease(rg_shared->lock);
	if (latch != NULL)
		SetLatch(latch);
}

bool
rg_rules_sync(int64 deadline_ms)
{
	XLogRecPtr	wanted = RecoveryInProgress() ? GetXLogReplayRecPtr(NULL) : GetXLogWriteRecPtr();

	for (;;)
	{
		XLogRecPtr	known;

		LWLockAcquire(rg_shared->lock, LW_SHARED);
		known = rg_shared->rules_lsn;
		LWLockRelease(rg_shared->lock);
		if (known >= wanted)
			return true;
		if (rg_boottime_ms() >= deadline_ms)
			return false;
		rg_worker_wake();
		rg_wait_ms(1);
	}
}

void
rg_shared_adopt_rules(const RgRule *rules, int count)
{
	bool		changed = false;

	LWLockAcquire(rg_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < count; i++)
		changed |= rg_state_adopt_rule(&rg_shared->state, &rules[i]);
	rg_shared->state_dirty |= changed;
	rg_lease_fit_locked();
	rg_gate_refresh_locked();
	LWLockRelease(rg_shared->lock);
	if (changed)
		rg_worker_wake();
}

void
rg_shared_add_followed(const RgTermEnd *terms, int count)
{
	bool		changed = false;

	LWLockAcquire(rg_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < count; i++)
		changed |= rg_state_add_followed(&rg_shared->state, terms[i].term, terms[i].timeline);
	rg_shared->state_dirty |= changed;
	LWLockRelease(rg_shared->lock);
}

TimeLineID
rg_current_timeline(bool in_recovery)
{
	TimeLineID	timeline;

	if (!in_recovery)
		return GetWALInsertionTimeLine();
	(void) GetXLogReplayRecPtr(&timeline);
	return timeline;
}

/* Reads the history file of the timeline, once per timeline. */
static void
load_history(TimeLineID timeline)
{
	RgHistory	history;
	List	   *entries;
	ListCell   *cell;

	memset(&history, 0, sizeof(history));
	history.timeline = timeline;
	entries = readTimeLineHistory(timeline);
	foreach(cell, entries)
	{
		TimeLineHistoryEntry *entry = lfirst(cell);

		/* newest first; the first one is the current timeline, without an end */
		if (entry->tli == timeline || history.count == RG_FOLLOWED_MAX)
			continue;
		history.ends[history.count].timeline = entry->tli;
		history.ends[history.count].end = entry->end;
		history.count++;
	}
	list_free_deep(entries);

	/* a history file that is not there yet is looked for again */
	if (timeline > 1 && history.count == 0)
		history.timeline = 0;

	LWLockAcquire(rg_shared->lock, LW_EXCLUSIVE);
	rg_shared->history = history;
	LWLockRelease(rg_shared->lock);
}

/* End of a timeline in our history; Invalid if our history does not know it. */
static XLogRecPtr
history_end(const RgHistory *history, TimeLineID timeline)
{
	for (int i = 0; i < history->count; i++)
		if (history->ends[i].timeline == timeline)
			return history->ends[i].end;
	return InvalidXLogRecPtr;
}

int
rg_followed_terms(RgTermEnd *ret_terms)
{
	bool		in_recovery = RecoveryInProgress();
	TimeLineID	timeline = rg_current_timeline(in_recovery);
	RgState    *state = palloc(sizeof(RgState));
	RgHistory	history;
	bool		is_known;
	int			count = 0;

	LWLockAcquire(rg_shared->lock, LW_SHARED);
	is_known = rg_shared->history.timeline == timeline;
	LWLockRelease(rg_shared->lock);
	if (!is_known)
		load_history(timeline);

	LWLockAcquire(rg_shared->lock, LW_SHARED);
	*state = rg_shared->state;
	history = rg_shared->history;
	LWLockRelease(rg_shared->lock);

	for (int i = 0; i < state->nfollowed; i++)
	{
		RgTermEnd	entry = state->followed[i];

		/* accepted, but its rule has not come yet: it may still change timeline */
		if (i == state->nfollowed - 1 && (!state->has_rule || entry.term > state->rule.term))
			entry.timeline = timeline;

		if (entry.timeline == timeline)
			entry.end_lsn = 0;
		else
		{
			entry.end_lsn = history_end(&history, entry.timeline);

			/* without a known end it would claim too much: leave it out */
			if (entry.end_lsn == InvalidXLogRecPtr)
				continue;
		}
		ret_terms[count++] = entry;
	}
	pfree(state);
	return count;
}

void
rg_receipt_update(RgReceipt *ret_receipt)
{
	int64		now = rg_boottime_ms();
	RgReceipt  *receipt = &rg_shared->receipt;
	XLogRecPtr	flushed;
	TimestampTz message;
	bool		is_connected;

	SpinLockAcquire(&WalRcv->mutex);
	flushed = WalRcv->flushedUpto;
	message = WalRcv->lastMsgReceiptTime;
	is_connected = WalRcv->ready_to_display;
	SpinLockRelease(&WalRcv->mutex);

	LWLockAcquire(rg_shared->lock, LW_EXCLUSIVE);
	if (flushed > receipt->flushed)
		receipt->last_wal_ms = now;
	/* a walreceiver that is started sets the time, too, before it has reached anybody */
	if (flushed > receipt->flushed || (is_connected && message != receipt->message))
		receipt->last_message_ms = now;
	receipt->flushed = flushed;
	receipt->message = message;
	*ret_receipt = *receipt;
	LWLockRelease(rg_shared->lock);
}
