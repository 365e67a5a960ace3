/*
 * status.c
 *	  What this server is and does, as one row: node_status(), walrecrunning().
 *
 * Everything comes from the server's shared memory at the moment of the call.
 * No table is read, and no lock taken that a client could hold: the functions
 * answer while sessions block each other, and on a standby as well as on a
 * primary.  What does not apply is null: a primary has no receive_lsn.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "access/htup_details.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "replication/slot.h"
#include "replication/syncrep.h"
#include "replication/walreceiver.h"
#include "replication/walsender.h"
#include "replication/walsender_private.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/spin.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "disk.h"
#include "gate.h"
#include "nodestate.h"
#include "park.h"
#include "pg_regent.h"
#include "shmem.h"
#include "slots.h"
#include "status.h"

/* Positions within the row, in the order of the SQL declaration. */
enum
{
	COL_NODE_NAME, COL_ROLE, COL_IN_RECOVERY, COL_WRITABLE, COL_GATE, COL_WALRECEIVER_STATE,
	COL_UPSTREAM, COL_TIMELINE, COL_RECEIVE_LSN, COL_REPLAY_LSN, COL_FLUSH_LSN, COL_CURRENT_LSN,
	COL_REPLAY_LAG_BYTES, COL_REPLAY_LAG_MS, COL_LAST_MESSAGE_AGE_MS, COL_REPLAY_PAUSED,
	COL_SYSTEM_IDENTIFIER, COL_TERM, COL_PROMISED_TERM, COL_LEADER, COL_LEASE_LEFT_MS,
	COL_WATCHDOG_SEEN_MS, COL_STREAMING_STANDBYS, COL_SYNC_STANDBYS, COL_STARTED_AT,
	COL_BOOTTIME_MS, COL_REPORTED_AT, COL_SERVER_VERSION, COL_EXTENSION_VERSION,
	COL_DISK_STATE, COL_DISK_FREE_BYTES, COL_DISK_HUNG_MS, COL_DISK_TEXT, COL_CRASH_RESTARTS,
	COL_COUNT
};

StaticAssertDecl(COL_COUNT == RG_STATUS_COLUMNS, "columns of node_status()");

static void
set(Datum *values, bool *nulls, int column, Datum value)
{
	values[column] = value;
	nulls[column] = false;
}

static void
set_lsn(Datum *values, bool *nulls, int column, XLogRecPtr lsn)
{
	if (!XLogRecPtrIsInvalid(lsn))
		set(values, nulls, column, LSNGetDatum(lsn));
}

/* ------------------------------------------------ a primary's standbys */

/* Name of the node whose slot this walsender holds; false if it holds none of ours. */
static bool
node_of_slot(pid_t pid, char *ret_node)
{
	bool		found = false;

	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (int i = 0; i < max_replication_slots && !found; i++)
	{
		ReplicationSlot *slot = &ReplicationSlotCtl->replication_slots[i];

		if (!slot->in_use)
			continue;
		SpinLockAcquire(&slot->mutex);
		found = slot->active_pid == pid &&
			strncmp(NameStr(slot->data.name), RG_SLOT_PREFIX, strlen(RG_SLOT_PREFIX)) == 0;
		if (found)
			strlcpy(ret_node, NameStr(slot->data.name) + strlen(RG_SLOT_PREFIX), NAMEDATALEN);
		SpinLockRelease(&slot->mutex);
	}
	LWLockRelease(ReplicationSlotControlLock);
	return found;
}

static void
node_of_application(pid_t pid, char *ret_node)
{
	ret_node[0] = '\0';
	for (int i = 1; i <= pgstat_fetch_stat_numbackends(); i++)
	{
		PgBackendStatus *entry = rg_compat_backend_entry(i);

		if (entry != NULL && entry->st_procpid == pid)
			strlcpy(ret_node, entry->st_appname, NAMEDATALEN);
	}
}

/* A logical walsender is connected to a database, a physical one is not. */
static bool
is_physical(pid_t pid)
{
	PGPROC	   *proc = BackendPidGetProc(pid);

	return proc != NULL && !OidIsValid(proc->databaseId);
}

static const char *
walsender_state_name(WalSndState state)
{
	switch (state)
	{
		case WALSNDSTATE_STARTUP:
			return "startup";
		case WALSNDSTATE_BACKUP:
			return "backup";
		case WALSNDSTATE_CATCHUP:
			return "catchup";
		case WALSNDSTATE_STREAMING:
			return "streaming";
		case WALSNDSTATE_STOPPING:
			return "stopping";
	}
	return "unknown";
}

/* The words of pg_stat_replication.sync_state. */
static const char *
sync_state_name(int index, pid_t pid, int priority, const SyncRepStandbyData *sync, int nsync)
{
	if (priority == 0)
		return "async";
	for (int i = 0; i < nsync; i++)
		if (sync[i].walsnd_index == index && sync[i].pid == pid)
			return SyncRepConfig->syncrep_method == SYNC_REP_PRIORITY ? "sync" : "quorum";
	return "potential";
}

RgStandby *
rg_status_standbys(int *ret_count)
{
	RgStandby  *standbys = palloc(Max(max_wal_senders, 1) * sizeof(RgStandby));
	SyncRepStandbyData *sync = NULL;
	int			nsync = max_wal_senders > 0 ? SyncRepGetCandidateStandbys(&sync) : 0;
	int			count = 0;

	for (int i = 0; i < max_wal_senders; i++)
	{
		WalSnd	   *walsender = &WalSndCtl->walsnds[i];
		RgStandby  *standby = &standbys[count];
		WalSndState state;
		int			priority;

		SpinLockAcquire(&walsender->mutex);
		standby->pid = walsender->pid;
		state = walsender->state;
		standby->flush_lsn = walsender->flush;
		standby->replay_lsn = walsender->apply;
		priority = walsender->sync_standby_priority;
		SpinLockRelease(&walsender->mutex);

		if (standby->pid == 0 || state == WALSNDSTATE_BACKUP || !is_physical(standby->pid))
			continue;
		if (!node_of_slot(standby->pid, standby->node))
			node_of_application(standby->pid, standby->node);
		standby->state = walsender_state_name(state);
		standby->sync_state = XLogRecPtrIsInvalid(standby->flush_lsn) ? "async" :
			sync_state_name(i, standby->pid, priority, sync, nsync);
		count++;
	}
	*ret_count = count;
	return standbys;
}

/* ------------------------------------------------ a standby's upstream */

static const char *
walreceiver_state_name(WalRcvState state, bool is_connected)
{
	switch (state)
	{
		case WALRCV_STOPPED:
			return "stopped";
		case WALRCV_STARTING:
			return "starting";
		case WALRCV_STREAMING:
			/* the server says so from its first moment on, connected or not */
			return is_connected ? "streaming" : "connecting";
		case WALRCV_WAITING:
			return "waiting";
		case WALRCV_RESTARTING:
			return "restarting";
		case WALRCV_STOPPING:
			return "stopping";
	}
	return "unknown";
}

static void
standby_values(Datum *values, bool *nulls)
{
	bool		is_connected;
	WalRcvState state = rg_walreceiver_state(NULL, &is_connected);
	char		host[NI_MAXHOST];
	int			port;
	XLogRecPtr	receive;
	XLogRecPtr	known;
	XLogRecPtr	replay = GetXLogReplayRecPtr(NULL);
	RgReceipt	receipt;
	int			delay = GetReplicationApplyDelay();

	SpinLockAcquire(&WalRcv->mutex);
	strlcpy(host, is_connected ? WalRcv->sender_host : "", sizeof(host));
	port = WalRcv->sender_port;
	receive = WalRcv->flushedUpto;
	known = WalRcv->latestWalEnd;
	SpinLockRelease(&WalRcv->mutex);

	set(values, nulls, COL_WALRECEIVER_STATE,
		CStringGetTextDatum(walreceiver_state_name(state, is_connected)));
	if (host[0] != '\0')
		set(values, nulls, COL_UPSTREAM,
			CStringGetTextDatum(psprintf(strchr(host, ':') ? "[%s]:%d" : "%s:%d", host, port)));
	set_lsn(values, nulls, COL_RECEIVE_LSN, receive);
	set_lsn(values, nulls, COL_REPLAY_LSN, replay);
	set_lsn(values, nulls, COL_FLUSH_LSN, Max(receive, replay));
	known = Max(known, receive);
	set(values, nulls, COL_REPLAY_LAG_BYTES, Int64GetDatum(known > replay ? known - replay : 0));
	if (delay >= 0)
		set(values, nulls, COL_REPLAY_LAG_MS, Int64GetDatum(delay));

	rg_receipt_update(&receipt);
	set(values, nulls, COL_LAST_MESSAGE_AGE_MS,
		Int64GetDatum(rg_boottime_ms() - receipt.last_message_ms));
	set(values, nulls, COL_REPLAY_PAUSED,
		BoolGetDatum(GetRecoveryPauseState() != RECOVERY_NOT_PAUSED));
}

/* ------------------------------------------------ the row */

static void
primary_values(Datum *values, bool *nulls)
{
	set(values, nulls, COL_WALRECEIVER_STATE, CStringGetTextDatum("stopped"));
	set_lsn(values, nulls, COL_FLUSH_LSN, GetFlushRecPtr(NULL));
	set_lsn(values, nulls, COL_CURRENT_LSN, GetXLogWriteRecPtr());
	set(values, nulls, COL_REPLAY_PAUSED, BoolGetDatum(false));
}

static void
node_values(Datum *values, bool *nulls)
{
	RgState    *state = palloc(sizeof(RgState));
	uint64		seen = pg_atomic_read_u64(&rg_shared->watchdog_seen_ms);

	rg_node_refresh();
	rg_shared_state(state);
	if (state->has_rule)
	{
		set(values, nulls, COL_TERM, Int64GetDatum(state->rule.term));
		set(values, nulls, COL_LEADER, CStringGetTextDatum(state->rule.leader));
	}
	if (rg_state_effective_term(state) > 0)
		set(values, nulls, COL_PROMISED_TERM, Int64GetDatum(rg_state_effective_term(state)));
	if (seen != 0)
		set(values, nulls, COL_WATCHDOG_SEEN_MS, Int64GetDatum(rg_boottime_ms() - (int64) seen));
	pfree(state);
}

static void
count_standbys(Datum *values, bool *nulls)
{
	int			count;
	RgStandby  *standbys = rg_status_standbys(&count);
	int			streaming = 0;
	int			sync = 0;

	for (int i = 0; i < count; i++)
	{
		streaming += strcmp(standbys[i].state, "streaming") == 0;
		sync += strcmp(standbys[i].sync_state, "sync") == 0 ||
			strcmp(standbys[i].sync_state, "quorum") == 0;
	}
	set(values, nulls, COL_STREAMING_STANDBYS, Int32GetDatum(streaming));
	set(values, nulls, COL_SYNC_STANDBYS, Int32GetDatum(sync));
	pfree(standbys);
}

/*
 * A lease that is over is shown as 0, until a change of rule or promise takes it away.
 * What is left of it and the node's time come from one look at the clock.
 */
static void
gate_values(Datum *values, bool *nulls, bool in_recovery)
{
	RgGate		gate = rg_gate_now();
	int64		now = rg_boottime_ms();
	int64		until = (int64) pg_atomic_read_u64(&rg_shared->lease_until_ms);

	set(values, nulls, COL_WRITABLE, BoolGetDatum(!in_recovery && rg_gate_is_open(gate)));
	set(values, nulls, COL_GATE, CStringGetTextDatum(rg_gate_word(gate)));
	if (until > 0)
		set(values, nulls, COL_LEASE_LEFT_MS, Int64GetDatum(Max(until - now, 0)));
	set(values, nulls, COL_BOOTTIME_MS, Int64GetDatum(now));
}

/* From shared memory, like all else here: a disk that hangs must not keep us from saying so. */
static void
disk_values(Datum *values, bool *nulls)
{
	RgDiskReport report;

	rg_disk_report(&report);
	if (report.state == NULL)
		return;
	set(values, nulls, COL_DISK_STATE, CStringGetTextDatum(report.state));
	set(values, nulls, COL_DISK_FREE_BYTES, Int64GetDatum(report.free_bytes));
	if (report.hung_ms > 0)
		set(values, nulls, COL_DISK_HUNG_MS, Int64GetDatum(report.hung_ms));
	set(values, nulls, COL_DISK_TEXT, CStringGetTextDatum(report.text));
}

void
rg_status_values(Datum *ret_values, bool *ret_nulls)
{
	bool		in_recovery = RecoveryInProgress();

	memset(ret_nulls, true, RG_STATUS_COLUMNS * sizeof(bool));
	if (rg_node_name[0] != '\0')
		set(ret_values, ret_nulls, COL_NODE_NAME, CStringGetTextDatum(rg_node_name));
	set(ret_values, ret_nulls, COL_ROLE, CStringGetTextDatum(in_recovery ? "standby" : "primary"));
	set(ret_values, ret_nulls, COL_IN_RECOVERY, BoolGetDatum(in_recovery));
	gate_values(ret_values, ret_nulls, in_recovery);
	set(ret_values, ret_nulls, COL_TIMELINE,
		Int32GetDatum((int32) rg_current_timeline(in_recovery)));
	if (in_recovery)
		standby_values(ret_values, ret_nulls);
	else
		primary_values(ret_values, ret_nulls);
	node_values(ret_values, ret_nulls);
	count_standbys(ret_values, ret_nulls);

	set(ret_values, ret_nulls, COL_SYSTEM_IDENTIFIER,
		Int64GetDatum((int64) GetSystemIdentifier()));
	set(ret_values, ret_nulls, COL_STARTED_AT, TimestampTzGetDatum(PgStartTime));
	set(ret_values, ret_nulls, COL_REPORTED_AT, TimestampTzGetDatum(GetCurrentTimestamp()));
	set(ret_values, ret_nulls, COL_SERVER_VERSION, CStringGetTextDatum(PG_VERSION));
	set(ret_values, ret_nulls, COL_EXTENSION_VERSION, CStringGetTextDatum(RG_EXTENSION_VERSION));
	disk_values(ret_values, ret_nulls);
	set(ret_values, ret_nulls, COL_CRASH_RESTARTS, Int32GetDatum(rg_shared->crash_restarts));
}

PG_FUNCTION_INFO_V1(regent_node_status);

Datum
regent_node_status(PG_FUNCTION_ARGS)
{
	TupleDesc	tupdesc;
	Datum		values[RG_STATUS_COLUMNS];
	bool		nulls[RG_STATUS_COLUMNS];

	rg_require_shared();
	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	rg_status_values(values, nulls);
	rg_node_warn();
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc), values, nulls)));
}

PG_FUNCTION_INFO_V1(regent_walrecrunning);

/* Is this server's walreceiver connected and streaming? */
Datum
regent_walrecrunning(PG_FUNCTION_ARGS)
{
	bool		is_connected;

	PG_RETURN_BOOL(rg_walreceiver_state(NULL, &is_connected) == WALRCV_STREAMING && is_connected);
}
