/*
 * worker.c
 *	  The background worker: it looks, shows, and keeps things in step.
 *
 * On a primary and on a standby, every regent.report_interval, it
 *	- samples role, timeline, LSNs and replay rate, shows them in its process
 *	  title and logs a change of role;
 *	- reads new rules from regent.rule, when WAL has moved since the last look;
 *	- brings the state file up to date;
 *	- keeps a promise that somebody undid by hand: no source of WAL;
 *	- puts a restore_command back once the node follows its leader;
 *	- creates missing slots.
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

#include "nodestate.h"
#include "park.h"
#include "pg_regent.h"
#include "ruletable.h"
#include "settings.h"
#include "shmem.h"
#include "slots.h"
#include "worker.h"

#define HURRY_MS 20
#define HURRY_FOR_MS 10000
#define COMPLAIN_AGAIN_MS 60000
#define SLOTS_AGAIN_MS 60000
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
static int64 slots_at_ms = 0;
static int64 slots_term = -1;
static bool slots_in_recovery = false;

/* ------------------------------------------------ looking */

static void
log_role(const RgSample *before, const RgSample *now)
{
	const char *role = now->in_recovery ? "standby" : "primary";

	if (before->at_ms == 0)
		ereport(LOG,
				(errmsg("pg_regent: node \"%s\" is %s on timeline %u",
						rg_node_name, role, now->timeline)));
	else if (before->in_recovery != now->in_recovery)
		ereport(LOG,
				(errmsg("pg_regent: node \"%s\" became %s on timeline %u",
						rg_node_name, role, now->timeline)));
}

static void
show_title(const RgSample *sample, int64 term)
{
	char		title[256];
	char		extra[64] = "";

	if (sample->in_recovery && !XLogRecPtrIsInvalid(sample->receive_lsn))
		snprintf(extra, sizeof(extra), ", received %X/%X", LSN_FORMAT_ARGS(sample->receive_lsn));
	snprintf(title, sizeof(title), "%s %s, %s %X/%X on timeline %u, term " INT64_FORMAT "%s, %.1f MB/s",
			 sample->in_recovery ? "standby" : "primary",
			 rg_node_name[0] != '\0' ? rg_node_name : "(no name)",
			 sample->in_recovery ? "replayed" : "wrote",
			 LSN_FORMAT_ARGS(sample->replay_lsn), sample->timeline, term, extra,
			 sample->rate / (1024 * 1024));
	set_ps_display(title);
}

static void
take_sample(void)
{
	static RgSample last;
	RgSample	sample;
	RgReceipt	receipt;
	int64		term;

	sample.at_ms = rg_boottime_ms();
	sample.in_recovery = RecoveryInProgress();
	sample.timeline = rg_current_timeline(sample.in_recovery);
	sample.receive_lsn = sample.in_recovery ? GetWalRcvFlushRecPtr(NULL, NULL) : InvalidXLogRecPtr;
	sample.replay_lsn = sample.in_recovery ? GetXLogReplayRecPtr(NULL) : GetXLogWriteRecPtr();
	sample.rate = last.rate;
	if (last.at_ms != 0 && sample.at_ms - last.at_ms >= rg_report_interval / 2)
		sample.rate = sample.replay_lsn > last.replay_lsn ?
			(double) (sample.replay_lsn - last.replay_lsn) * 1000 / (sample.at_ms - last.at_ms) : 0;
	if (sample.in_recovery)
		rg_receipt_update(&receipt);

	LWLockAcquire(rg_shared->lock, LW_EXCLUSIVE);
	rg_shared->sample = sample;
	term = rg_shared->state.has_rule ? rg_shared->state.rule.term : 0;
	LWLockRelease(rg_shared->lock);

	log_role(&last, &sample);
	show_title(&sample, term);

	/* rounds in a hurry are too short to measure a rate */
	if (last.at_ms != 0 && sample.in_recovery == last.in_recovery &&
		sample.at_ms - last.at_ms < rg_report_interval / 2)
	{
		last.timeline = sample.timeline;
		return;
	}
	last = sample;
}

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

static void
create_slots(void)
{
	RgState    *state = palloc(sizeof(RgState));
	int			made;

	slots_at_ms = rg_boottime_ms();
	rg_shared_state(state);
	if (!state->has_rule)
		return;

	/* a stale primary would only keep WAL that nobody may fetch */
	if (!RecoveryInProgress() && strcmp(state->rule.leader, rg_node_name) != 0)
		return;
	made = rg_slots_create_missing(&state->rule);
	slots_term = state->rule.term;
	slots_in_recovery = RecoveryInProgress();
	if (made > 0)
		ereport(LOG,
				(errmsg("pg_regent created %d replication slots on node \"%s\"", made,
						rg_node_name)));
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
	bool		is_dirty;
	bool		is_parked;
	bool		expects_rule;	/* follows a term whose rule has not come yet */
	bool		leads_or_follows;
	int64		term;
	XLogRecPtr	rules_lsn;
} Todo;

static void
get_todo(Todo *todo)
{
	const RgState *state = &rg_shared->state;

	LWLockAcquire(rg_shared->lock, LW_SHARED);
	todo->is_usable = rg_node_name[0] != '\0' && !rg_shared->state_bad;
	todo->is_dirty = rg_shared->state_dirty;
	todo->is_parked = rg_state_is_parked(state);
	todo->term = state->has_rule ? state->rule.term : 0;
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

/* Returns after how many milliseconds the next round is due. */
static long
work(void)
{
	static Step read_step = {.what = "read regent.rule", .run = read_rules};
	static Step store_step = {.what = "write the node state file", .run = store_state};
	static Step park_step = {.what = "keep its promise", .run = keep_parked};
	static Step archive_step = {.what = "restore restore_command", .run = restore_archive};
	static Step slots_step = {.what = "create replication slots", .run = create_slots};
	int64		now = rg_boottime_ms();
	Todo		todo;
	bool		is_hurry;

	rg_node_refresh();
	get_todo(&todo);
	if (todo.is_usable && current_lsn() != todo.rules_lsn)
		run(&read_step);

	take_sample();
	get_todo(&todo);
	if (!todo.is_usable)
		return rg_report_interval;

	if (todo.is_dirty)
		run(&store_step);
	if (todo.is_parked && RecoveryInProgress() &&
		pg_atomic_read_u32(&rg_shared->startup_has_conninfo) != 0)
		run(&park_step);
	if (rg_saved_restore_command[0] != '\0' && todo.leads_or_follows && upstream_is_there())
		run(&archive_step);
	if (todo.term > 0 &&
		(slots_term != todo.term || slots_in_recovery != RecoveryInProgress() ||
		 now - slots_at_ms >= SLOTS_AGAIN_MS) &&
		(slots_at_ms == 0 || slots_term == todo.term || now - slots_at_ms >= RETRY_MIN_MS ||
		 slots_term >= 0))
		run(&slots_step);

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

void
rg_worker_main(Datum arg)
{
	static Step database_step = {.what = "look for its database", .run = look_for_database};
	int64		looked_ms = rg_boottime_ms();

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

	for (;;)
	{
		long		pause_ms;

		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		MemoryContextSwitchTo(round_context);
		MemoryContextReset(round_context);
		pause_ms = work();
		if (!has_database && rg_boottime_ms() - looked_ms >= rg_shared->worker_retry_ms)
		{
			looked_ms = rg_boottime_ms();
			run(&database_step);
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, pause_ms,
						 PG_WAIT_EXTENSION);
	}
}
