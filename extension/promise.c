/*
 * promise.c
 *	  The promise: nothing from below this term any more.
 *
 * The order of the acts is the protocol (docs: a promise that is stored but not
 * enforced elects two leaders, one that is enforced but not stored is forgotten):
 *
 *	1. take every source of WAL away, durably
 *	2. store the promise, durably
 *	3. reload; end the walreceiver; lift what blocks replay
 *	4. wait until the receiver is gone and all WAL is replayed (park.c)
 *	5. answer with the position, the newest replayed rule in it; "complete" only
 *	   if 4 was reached in time
 *
 * An incomplete answer still is a promise.  It can be repeated, for the same term
 * and watchdog, until it is complete.  It is refused once this node follows a
 * leader of that very term: a late repetition must not cut it off again.
 *
 * A primary can promise, too (a switchover): then only 2 and 5 are left.  Its gate
 * is closed and its lease gone when the promise is stored, so the position that
 * it answers is not "complete": WAL without acknowledged writes may follow.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/spin.h"
#include "utils/pg_lsn.h"

#include "command.h"
#include "errors.h"
#include "nodestate.h"
#include "park.h"
#include "pg_regent.h"
#include "promise.h"
#include "settings.h"
#include "shmem.h"

#define DEADLINE_MAX_MS 60000
#define PROMISE_COLUMNS 7

static void
check_promise(const RgState *state, const RgCommand *command)
{
	rg_command_check_term(state, command);
	if (rg_state_has_followed(state, command->term))
		ereport(ERROR,
				(errcode(ERRCODE_RG_STALE_TERM),
				 errmsg("term " INT64_FORMAT " is decided on node \"%s\"",
						command->term, rg_node_name),
				 errdetail("It follows or leads in that term already."),
				 errhint("Recruit for the next term.")));
}

/*
 * How far its WAL reaches, replayed or not; Invalid where that can't be said.  Nothing
 * comes any more once the startup process has no source and the receiver has ended.
 * What was received in this server start was asked for at the end of all WAL that was
 * there before, so it is all that there is.
 */
static XLogRecPtr
held_lsn(bool is_complete, XLogRecPtr replayed, TimeLineID timeline)
{
	XLogRecPtr	received;
	TimeLineID	received_on;

	if (!RecoveryInProgress() || pg_atomic_read_u32(&rg_shared->startup_has_conninfo) != 0 ||
		pg_atomic_read_u32(&rg_shared->startup_has_restore) != 0)
		return InvalidXLogRecPtr;
	pg_memory_barrier();
	if (rg_walreceiver_state(NULL, NULL) != WALRCV_STOPPED)
		return InvalidXLogRecPtr;
	received = GetWalRcvFlushRecPtr(NULL, &received_on);
	if (!XLogRecPtrIsInvalid(received) && received_on == timeline)
		return Max(received, replayed);
	return is_complete ? replayed : InvalidXLogRecPtr;
}

static Datum
position(FunctionCallInfo fcinfo, const RgState *state, bool is_complete, XLogRecPtr fetched)
{
	TupleDesc	tupdesc;
	Datum		values[PROMISE_COLUMNS];
	bool		nulls[PROMISE_COLUMNS] = {false};
	TimeLineID	timeline;
	XLogRecPtr	lsn;
	RgReceipt	receipt;

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	BlessTupleDesc(tupdesc);

	/* looked at once more after the receiver has ended */
	rg_receipt_update(&receipt);
	if (RecoveryInProgress())
		lsn = GetXLogReplayRecPtr(&timeline);
	else
	{
		is_complete = false;
		lsn = GetFlushRecPtr(&timeline);
	}

	values[0] = BoolGetDatum(is_complete);
	nulls[1] = !state->has_rule;
	values[1] = state->has_rule ? rg_rule_jsonb(&state->rule) : (Datum) 0;
	values[2] = rg_followed_jsonb();
	values[3] = Int32GetDatum((int32) timeline);
	values[4] = LSNGetDatum(lsn);
	values[6] = LSNGetDatum(is_complete ? Max(held_lsn(true, lsn, timeline), fetched) : held_lsn(false, lsn, timeline));
	nulls[6] = DatumGetLSN(values[6]) == InvalidXLogRecPtr;
	values[5] = Int64GetDatum(RecoveryInProgress() ? rg_boottime_ms() - receipt.last_wal_ms : 0);
	return HeapTupleGetDatum(heap_form_tuple(tupdesc, values, nulls));
}

Datum
rg_promise_position(FunctionCallInfo fcinfo, RgNode *node, XLogRecPtr fetched, int64 deadline_ms,
					bool *ret_complete)
{
	bool		is_complete = false;

	if (RecoveryInProgress())
	{
		rg_park_reload(true);
		is_complete = rg_park_wait(deadline_ms);
	}

	/* the position is (rule, timeline, LSN): a rule that was replayed must be in it */
	if (RecoveryInProgress() && !rg_rules_sync(deadline_ms) && is_complete)
	{
		is_complete = false;
		ereport(LOG,
				(errhidestmt(true),
				 errmsg("pg_regent could not read the newest rule in time"),
				 errdetail("The worker of pg_regent is not running, cannot find regent.rule in its database, or is kept out by a lock.")));
	}
	rg_shared_state(&node->state);
	if (ret_complete != NULL)
		*ret_complete = is_complete;
	return position(fcinfo, &node->state, is_complete, fetched);
}

PG_FUNCTION_INFO_V1(regent_promise);

/* promise(watchdog, counter, term, deadline_ms) */
Datum
regent_promise(PG_FUNCTION_ARGS)
{
	int64		started = rg_boottime_ms();
	RgCommand	command;
	RgNode		node;
	int64		deadline;
	bool		is_complete = false;
	Datum		answer;

	rg_leave_snapshot();
	rg_node_require();
	rg_command_get(fcinfo, &command);
	if (PG_ARGISNULL(3) || PG_GETARG_INT64(3) < 1 || PG_GETARG_INT64(3) > DEADLINE_MAX_MS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("deadline_ms must be between 1 and %d", DEADLINE_MAX_MS)));
	deadline = started + PG_GETARG_INT64(3);

	rg_node_lock(&node, deadline);
	rg_command_authorize(&node.state, &command, false);
	check_promise(&node.state, &command);

	if (RecoveryInProgress())
		rg_settings_cut_sources();
	rg_command_promise(&node.state, &command);
	rg_node_store(&node);
	answer = rg_promise_position(fcinfo, &node, InvalidXLogRecPtr, deadline, &is_complete);
	ereport(LOG,
			(errhidestmt(true),
			 errmsg("pg_regent promised term " INT64_FORMAT " on node \"%s\", %s after %d ms",
					command.term, rg_node_name,
					!RecoveryInProgress() ? "a primary" : is_complete ? "parked" : "incomplete",
					(int) (rg_boottime_ms() - started))));
	rg_node_unlock(&node);
	PG_RETURN_DATUM(answer);
}
