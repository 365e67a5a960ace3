/*
 * worker.c
 *	  The background worker: it looks, shows, and keeps things in step.
 *
 * On a primary and on a standby, every regent.report_interval, it
 *	- samples role, timeline, LSNs and replay rate, shows them in its process
 *	  title and logs a change of role;
 *	- reads new rules from regent.rule, when WAL has moved since the last look;
 *	- brings the state file up to date;
 *	- keeps a promise that somebody undid by hand: no source of WAL; nor is there
 *	  one for a node that cannot tell what it has promised;
 *	- puts a restore_command back once the node follows its leader;
 *	- keeps the server's settings that follow from the rule (syncnames.c, standbyslots.c,
 *	  slotsync.c);
 *	- looks after the voters' slots (slots.c), and drops what a former leader has left of
 *	  its logical ones (leftovers.c);
 *	- creates the history files that others may ask for.
 * More often, where it leads and no watchdog speaks, it writes markers and takes
 * the lease that they bring (marker.c); that comes first in every turn.
 *
 * It decides nothing, and nothing that must be fast waits for it, except the
 * position in a promise, which asks it to look at once.  A step that fails is
 * rolled back and reported once a minute; the others go on.  A database that is
 * missing costs one failed start, after which the worker runs without one and
 * looks for it now and then.  A table that somebody has locked is read later.
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "replication/slot.h"
#include "replication/walreceiver.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/procsignal.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/ps_status.h"
#include "utils/snapmgr.h"

#include "guests.h"
#include "history.h"
#include "leftovers.h"
#include "marker.h"
#include "nodestate.h"
#include "park.h"
#include "pg_regent.h"
#include "ruletable.h"
#include "sample.h"
#include "settings.h"
#include "shmem.h"
#include "slot_status.h"
#include "slots.h"
#include "slotsync.h"
#include "standbyslots.h"
#include "start.h"
#include "syncnames.h"
#include "worker.h"

#define HURRY_MS 20
#define HURRY_FOR_MS 10000
#define COMPLAIN_AGAIN_MS 60000
#define SLOTS_AGAIN_MS 2000
#define HISTORIES_AGAIN_MS 1000
#define DANGLING_AGAIN_MS 5000
#define RETRY_MIN_MS 5000
#define RETRY_MAX_MS 60000
#define FLUSH_WAIT_MS 1000

/* A step runs in a transaction of its own. */
typedef struct Step
{
	const char *what;
	void		(*run) (void);
	int			last_sqlstate;
	int64		complained_ms;
} Step;

static MemoryContext round_context;
static bool has_database = false;
static RgTableResult table_result = RG_TABLE_READ;
static int64 hurry_since_ms = 0;

/* The last look at the slots: when, for which rule and role, with what result. */
static int64 slots_at_ms = 0;
static int64 slots_term = 0;
static int32 slots_seq = 0;
static bool slots_in_recovery = false;
static bool slots_are_well = false;

/* The list of guests that was last looked at, and when. */
static uint64 guests_version = 0;
static int64 guests_at_ms = 0;

/* The timeline whose earlier history files are all there, and when that was tried last. */
static TimeLineID histories_timeline = 0;
static int64 histories_at_ms = 0;
static int64 dangling_at_ms = 0;

/* ------------------------------------------------ reading rules */

static XLogRecPtr
current_lsn(void)
{
	return RecoveryInProgress() ? GetXLogReplayRecPtr(NULL) : GetXLogWriteRecPtr();
}

static void
log_table_result(RgTableResult result)
{
	if (result == table_result)
		return;
	if (result == RG_TABLE_MISSING)
		ereport(LOG,
				(errmsg("pg_regent finds no rules in database \"%s\"", rg_database),
				 errdetail("The extension is not installed there."),
				 errhint("On the primary, in that database: CREATE EXTENSION pg_regent.")));
	else if (result == RG_TABLE_LOCKED)
		ereport(LOG,
				(errmsg("pg_regent cannot read regent.rule now"),
				 errdetail("A session holds an exclusive lock on it.")));
	table_result = result;
}

/* A row can be visible before its commit record is flushed; a rule counts only after. */
static bool
wait_for_flush(void)
{
	XLogRecPtr	written = GetXLogInsertRecPtr();
	int64		deadline = rg_boottime_ms() + FLUSH_WAIT_MS;

	while (GetFlushRecPtr(NULL) < written)
	{
		if (rg_boottime_ms() >= deadline)
			return false;
		rg_wait_ms(5);
	}
	return true;
}

static void
read_rules(void)
{
	XLogRecPtr	lsn = current_lsn();
	RgRule	   *rules = palloc(2 * sizeof(RgRule));
	RgState    *state = palloc(sizeof(RgState));
	RgTermEnd	terms[RG_FOLLOWED_MAX];
	int			nterms = 0;
	int			count = 0;
	RgTableResult result = RG_TABLE_MISSING;

	rg_shared_state(state);
	if (has_database)
	{
		/* a snapshot taken after the LSN shows all that was committed up to it */
		SPI_connect();
		PushActiveSnapshot(GetTransactionSnapshot());
		result = rg_ruletable_read(rules, &count);
		if (count > 0 && (!state->has_rule ||
						  rg_rules_compare(rules[count - 1].term, rules[count - 1].seq,
										   state->rule.term, state->rule.seq) > 0))
			nterms = rg_ruletable_terms(terms);
		PopActiveSnapshot();
		SPI_finish();
		log_table_result(result);
	}
	if (count > 0 && rg_node_judge_missing())
		return;
	/* a node that holds a rule and can't find the table does not know the newest one */
	if (result == RG_TABLE_LOCKED || (result == RG_TABLE_MISSING && state->has_rule))
		return;
	if (nterms > 0 && !RecoveryInProgress() && !wait_for_flush())
		return;

	if (nterms > 0)
	{
		rg_shared_add_followed(terms, nterms);
		rg_shared_adopt_rules(rules, count);
		ereport(LOG,
				(errmsg("pg_regent: node \"%s\" holds rule " INT64_FORMAT ".%d, leader \"%s\"",
						rg_node_name, rules[count - 1].term, rules[count - 1].seq,
						rules[count - 1].leader)));
	}
	LWLockAcquire(rg_shared->lock, LW_EXCLUSIVE);
	rg_shared->rules_lsn = lsn;
	LWLockRelease(rg_shared->lock);
}

/* ------------------------------------------------ keeping in step */

/* Each of these takes the node's lock only if nobody holds it; there is a next round. */

static void
store_state(void)
{
	RgNode		node;

	if (!rg_node_try_lock(&node))
		return;
	rg_node_store(&node);
	rg_node_unlock(&node);
}

static void
open_start(void)
{
	(void) rg_start_open();
}

/* Somebody gave a node that has promised a source of WAL again, by hand. */
static void
keep_parked(void)
{
	RgNode		node;

	if (!rg_node_try_lock(&node))
		return;
	if (rg_state_is_parked(&node.state) && RecoveryInProgress())
	{
		ereport(LOG,
				(errmsg("pg_regent turns the walreceiver of node \"%s\" off", rg_node_name),
				 errdetail("It has promised term " INT64_FORMAT " and was not told whom to follow since.",
						   node.state.promise_term)));
		rg_settings_cut_sources();
		rg_park_reload(true);
	}
	rg_node_unlock(&node);
}

/* It may have promised not to receive from whom it receives. */
static void
cut_off(void)
{
	ereport(LOG,
			(errmsg("pg_regent turns the walreceiver of node \"%s\" off", rg_node_name),
			 errdetail("Its state file cannot be used, so nobody knows what it has promised.")));
	rg_settings_cut_sources();
	rg_park_reload(true);
}

static void
restore_archive(void)
{
	RgNode		node;

	if (!rg_node_try_lock(&node))
		return;
	if (!rg_state_is_parked(&node.state) && rg_settings_restore_archive())
		rg_park_reload(false);
	rg_node_unlock(&node);
}

static bool
slots_are_due(int64 term, int32 seq, int64 now)
{
	if (term == 0)
		return false;
	if (slots_term != term || slots_seq != seq || slots_in_recovery != RecoveryInProgress())
		return true;
	return now - slots_at_ms >= (slots_are_well ? SLOTS_AGAIN_MS : RETRY_MIN_MS);
}

static void
look_after_slots(void)
{
	RgState    *state = palloc(sizeof(RgState));
	int			made = 0;

	rg_shared_state(state);
	slots_at_ms = rg_boottime_ms();
	slots_term = state->rule.term;
	slots_seq = state->rule.seq;
	slots_in_recovery = RecoveryInProgress();
	slots_are_well = false;

	rg_slots_note_oldest();
	/* a stale primary would only keep WAL that nobody may fetch */
	if (slots_in_recovery || strcmp(state->rule.leader, rg_node_name) == 0)
	{
		(void) rg_slots_drop_useless(&state->rule);
		(void) rg_leftovers_drop(&state->rule);
		rg_slots_look_after(&state->rule);
		made = rg_slots_create_missing(&state->rule);
	}
	slots_are_well = true;
	if (made > 0)
		ereport(LOG,
				(errmsg("pg_regent created %d replication slots on node \"%s\"", made,
						rg_node_name)));
}

static bool
guests_are_due(int64 now)
{
	RgGuests	guests;

	rg_guests_get(&guests);
	return guests.term != 0 &&
		(guests.version != guests_version || now - guests_at_ms >= SLOTS_AGAIN_MS);
}

static void
keep_guests(void)
{
	RgState    *state = palloc(sizeof(RgState));
	RgGuests	guests;

	guests_at_ms = rg_boottime_ms();
	rg_guests_get(&guests);
	guests_version = guests.version;
	rg_shared_state(state);
	/* as with the voters' slots: a stale primary keeps WAL for nobody */
	if (state->has_rule && (RecoveryInProgress() || strcmp(state->rule.leader, rg_node_name) == 0))
		(void) rg_guests_keep_slots(&state->rule, &guests);
}

static void
complete_histories(void)
{
	TimeLineID	timeline = rg_current_timeline(false);

	histories_at_ms = rg_boottime_ms();
	if (rg_history_complete(timeline))
		histories_timeline = timeline;
}

/* A standby that receives nothing would look for them again and again. */
static void
drop_dangling(void)
{
	RgNode		node;

	dangling_at_ms = rg_boottime_ms();
	if (!rg_node_try_lock(&node))
		return;
	if (RecoveryInProgress() && !PromoteIsTriggered() && node.state.promoting == 0 &&
		rg_walreceiver_state(NULL, NULL) == WALRCV_STOPPED)
		(void) rg_history_drop_dangling();
	rg_node_unlock(&node);
}

/* In without-database mode: has the database come? */
static void
look_for_database(void)
{
	if (!OidIsValid(get_database_oid(rg_database, true)))
		return;
	ereport(LOG, (errmsg("pg_regent found database \"%s\", its worker starts again", rg_database)));
	proc_exit(1);
}

/* ------------------------------------------------ one round */

static void
complain(Step *step, ErrorData *error)
{
	int64		now = rg_boottime_ms();

	if (error->sqlerrcode == step->last_sqlstate && now - step->complained_ms < COMPLAIN_AGAIN_MS)
		return;
	step->last_sqlstate = error->sqlerrcode;
	step->complained_ms = now;
	ereport(LOG,
			(errcode(error->sqlerrcode),
			 errmsg("pg_regent could not %s: %s", step->what, error->message),
			 error->detail ? errdetail_internal("%s", error->detail) : 0,
			 error->hint ? errhint("%s", error->hint) : 0));
}

static void
run(Step *step)
{
	PG_TRY();
	{
		StartTransactionCommand();
		step->run();
		CommitTransactionCommand();
		step->last_sqlstate = 0;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(round_context);
		error = CopyErrorData();
		FlushErrorState();
		if (MyReplicationSlot != NULL)
			ReplicationSlotRelease();
		AbortCurrentTransaction();
		MemoryContextSwitchTo(round_context);
		complain(step, error);
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(round_context);
}

/* What this round has to do, from shared memory. */
typedef struct Todo
{
	bool		is_usable;		/* a named node with a good state file */
	bool		is_bad;			/* a named node without one */
	bool		is_missing;
	bool		is_dirty;
	bool		is_parked;
	bool		expects_rule;	/* follows a term whose rule has not come yet */
	bool		leads_or_follows;
	int64		term;			/* of the newest rule; 0: none */
	int32		seq;
	XLogRecPtr	rules_lsn;
} Todo;

static void
get_todo(Todo *todo)
{
	const RgState *state = &rg_shared->state;

	LWLockAcquire(rg_shared->lock, LW_SHARED);
	todo->is_usable = rg_node_name[0] != '\0' && !rg_shared->state_bad;
	todo->is_bad = rg_node_name[0] != '\0' && rg_shared->state_bad;
	todo->is_missing = rg_shared->state_missing;
	todo->is_dirty = rg_shared->state_dirty;
	todo->is_parked = rg_state_is_parked(state);
	todo->term = state->has_rule ? state->rule.term : 0;
	todo->seq = state->has_rule ? state->rule.seq : 0;
	todo->expects_rule = state->nfollowed > 0 &&
		state->followed[state->nfollowed - 1].term > todo->term;
	todo->leads_or_follows = state->has_rule && todo->term >= rg_state_effective_term(state);
	todo->rules_lsn = rg_shared->rules_lsn;
	LWLockRelease(rg_shared->lock);
}

static bool
upstream_is_there(void)
{
	bool		is_connected;

	return !RecoveryInProgress() ||
		(rg_walreceiver_state(NULL, &is_connected) == WALRCV_STREAMING && is_connected);
}

/* Settings of the server that follow from the rule in force, and from what the server can do. */
static void
keep_settings(bool has_rule)
{
	static Step names_step = {.what = "set synchronous_standby_names", .run = rg_sync_names_fit};
	static Step sync_step = {.what = "let the server carry logical slots over", .run = rg_slot_sync_fit};
	static Step slots_step = {.what = "set synchronized_standby_slots", .run = rg_standby_slots_fit};

	if (rg_sync_names_are_due())
		run(&names_step);
	if (has_rule && rg_slot_sync_is_due())
		run(&sync_step);
	if (rg_standby_slots_are_due())
		run(&slots_step);
}

/* Returns after how many milliseconds the next round is due. */
static long
work(void)
{
	static Step read_step = {.what = "read regent.rule", .run = read_rules};
	static Step store_step = {.what = "write the node state file", .run = store_state};
	static Step note_step = {.what = "note its start in the node state file", .run = rg_start_note};
	static Step open_step = {.what = "note its first lease in the node state file", .run = open_start};
	static Step park_step = {.what = "keep its promise", .run = keep_parked};
	static Step cut_step = {.what = "turn the walreceiver off", .run = cut_off};
	static Step archive_step = {.what = "restore restore_command", .run = restore_archive};
	static Step guests_step = {.what = "keep the slots of other nodes", .run = keep_guests};
	static Step slots_step = {.what = "look after replication slots", .run = look_after_slots};
	static Step histories_step = {.what = "complete its history files", .run = complete_histories};
	static Step dangling_step = {.what = "remove unused history files", .run = drop_dangling};
	int64		now = rg_boottime_ms();
	Todo		todo;
	bool		is_hurry;

	(void) rg_start_lsn();
	rg_node_refresh();
	get_todo(&todo);
	if (todo.is_missing && !rg_node_judge_missing())
		get_todo(&todo);
	if (todo.is_usable && current_lsn() != todo.rules_lsn)
		run(&read_step);

	rg_sample_take();
	get_todo(&todo);
	if (todo.is_bad && RecoveryInProgress() &&
		pg_atomic_read_u32(&rg_shared->startup_has_conninfo) != 0)
		run(&cut_step);
	if (!todo.is_usable)
		return rg_report_interval;

	if (todo.is_dirty)
		run(&store_step);
	if (rg_start_is_due())
		run(&note_step);
	if (rg_start_wants_open())
		run(&open_step);
	if (todo.is_parked && RecoveryInProgress() &&
		pg_atomic_read_u32(&rg_shared->startup_has_conninfo) != 0)
		run(&park_step);
	if (rg_saved_restore_command[0] != '\0' && todo.leads_or_follows && upstream_is_there())
		run(&archive_step);
	keep_settings(todo.term > 0);
	if (slots_are_due(todo.term, todo.seq, now))
		run(&slots_step);
	if (guests_are_due(now))
		run(&guests_step);

	if (!RecoveryInProgress() && todo.term > 0 && histories_timeline != rg_current_timeline(false) &&
		now - histories_at_ms >= HISTORIES_AGAIN_MS)
		run(&histories_step);
	if (RecoveryInProgress() && now - dangling_at_ms >= DANGLING_AGAIN_MS &&
		rg_walreceiver_state(NULL, NULL) == WALRCV_STOPPED)
		run(&dangling_step);

	get_todo(&todo);
	is_hurry = todo.is_dirty || (todo.expects_rule && has_database);
	if (!is_hurry)
		hurry_since_ms = 0;
	else if (hurry_since_ms == 0)
		hurry_since_ms = now;
	return is_hurry && now - hurry_since_ms < HURRY_FOR_MS ?
		Min(HURRY_MS, rg_report_interval) : rg_report_interval;
}

/* ------------------------------------------------ start */

static void
detach(int code, Datum arg)
{
	LWLockAcquire(rg_shared->lock, LW_EXCLUSIVE);
	rg_shared->worker_latch = NULL;
	LWLockRelease(rg_shared->lock);
}

static void
set_connecting(bool value)
{
	LWLockAcquire(rg_shared->lock, LW_EXCLUSIVE);
	rg_shared->worker_connecting = value;
	LWLockRelease(rg_shared->lock);
}

/*
 * A connection that fails ends the process: PostgreSQL has no second try.  So
 * the next start, told by the flag that is still set, does without a database.
 */
static void
connect_database(void)
{
	has_database = !rg_shared->worker_connecting;
	if (has_database)
	{
		set_connecting(true);
		BackgroundWorkerInitializeConnection(rg_database, NULL, BGWORKER_BYPASS_ALLOWCONN);
		set_connecting(false);
		rg_shared->worker_retry_ms = 0;
		return;
	}

	set_connecting(false);
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	rg_shared->worker_retry_ms = Min(Max(rg_shared->worker_retry_ms * 2, RETRY_MIN_MS),
									 RETRY_MAX_MS);
	ereport(LOG,
			(errmsg("pg_regent cannot connect to database \"%s\" and reads no rules", rg_database),
			 errhint("Create the database, or set regent.database and restart the server.")));
}

static void
prepare(void)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	init_ps_display("pg_regent:");
	connect_database();

	/* this process runs as superuser: nothing in it may depend on the database's settings */
	SetConfigOption("search_path", "pg_catalog, pg_temp", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("lock_timeout", "100ms", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("statement_timeout", "5s", PGC_SUSET, PGC_S_OVERRIDE);

	round_context = AllocSetContextCreate(TopMemoryContext, "pg_regent round",
										  ALLOCSET_DEFAULT_SIZES);
	before_shmem_exit(detach, (Datum) 0);
	LWLockAcquire(rg_shared->lock, LW_EXCLUSIVE);
	rg_shared->worker_latch = MyLatch;
	LWLockRelease(rg_shared->lock);
}

void
rg_worker_main(Datum arg)
{
	static Step database_step = {.what = "look for its database", .run = look_for_database};
	int64		looked_ms = rg_boottime_ms();
	int64		next_ms = 0;

	prepare();
	for (;;)
	{
		long		marker_ms;
		long		pause_ms;

		/* called, perhaps after the wait had ended: look at everything */
		if (MyLatch->is_set)
			next_ms = 0;
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		MemoryContextSwitchTo(round_context);
		MemoryContextReset(round_context);
		marker_ms = rg_marker_work();
		if (rg_boottime_ms() >= next_ms || rg_start_wants_open())
		{
			next_ms = rg_boottime_ms() + work();
			marker_ms = rg_marker_work();
		}
		if (!has_database && rg_boottime_ms() - looked_ms >= rg_shared->worker_retry_ms)
		{
			looked_ms = rg_boottime_ms();
			run(&database_step);
		}
		pause_ms = (long) Max(next_ms - rg_boottime_ms(), 0);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 Min(pause_ms, marker_ms), PG_WAIT_EXTENSION);
	}
}
