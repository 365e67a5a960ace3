/*
 * heartbeat.c
 *	  The watchdog's question, asked every half second: how are you?
 *
 * One small query per heartbeat is all that a healthy node costs.  The answer is
 * the row of node_status() and what the watchdog needs to decide: which server
 * start this is, whose history it holds, what operators asked for, and who
 * streams from it.  It reads shared memory only, so it also answers while the
 * node is locked by a promise; a higher counter of the watchdog is the one thing
 * that it has to write, and then it waits for the lock a little.
 *
 * With it comes the grant of a lease (lease.c): "until your clock says X".  The
 * clock in the answer is read before whoever is ahead of us is looked up, so a
 * grant that is computed from it was made by somebody who could know.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "command.h"
#include "errors.h"
#include "lease.h"
#include "nodestate.h"
#include "park.h"
#include "pg_regent.h"
#include "requests.h"
#include "settle.h"
#include "shmem.h"
#include "slot_status.h"
#include "start.h"
#include "status.h"
#include "votes.h"

#define COUNTER_WAIT_MS 500
#define EXTRA_COLUMNS 13
#define HEARTBEAT_COLUMNS (RG_STATUS_COLUMNS + EXTRA_COLUMNS)

/* Is it this very start of the server that the watchdog means? */
static void
check_server_start(FunctionCallInfo fcinfo)
{
	if (!PG_ARGISNULL(2))
	{
		char	   *boot_id = DatumGetCString(DirectFunctionCall1(uuid_out, PG_GETARG_DATUM(2)));

		if (strcmp(boot_id, rg_boot_id) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_RG_WRONG_SERVER_START),
					 errmsg("the host of node \"%s\" has been started again", rg_node_name),
					 errdetail("Its boot id is %s, not %s.", rg_boot_id, boot_id)));
	}
	if (!PG_ARGISNULL(3) && PG_GETARG_TIMESTAMPTZ(3) != PgStartTime)
	{
		char	   *started = pstrdup(timestamptz_to_str(PgStartTime));

		ereport(ERROR,
				(errcode(ERRCODE_RG_WRONG_SERVER_START),
				 errmsg("the server of node \"%s\" has been started again", rg_node_name),
				 errdetail("It was started at %s, not at %s.", started,
						   timestamptz_to_str(PG_GETARG_TIMESTAMPTZ(3)))));
	}
}

/* Who asks?  A watchdog in a newer life is noted before it is answered. */
static void
check_watchdog(FunctionCallInfo fcinfo, RgState *state, RgCommand *ret_command)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("watchdog and counter must not be null")));
	strlcpy(ret_command->watchdog,
			DatumGetCString(DirectFunctionCall1(uuid_out, PG_GETARG_DATUM(0))), RG_UUID_SIZE);
	ret_command->counter = PG_GETARG_INT64(1);
	ret_command->term = PG_ARGISNULL(4) ? 0 : PG_GETARG_INT64(4);
	if (rg_command_authorize(state, ret_command, true))
	{
		RgNode		node;

		rg_node_lock(&node, rg_boottime_ms() + COUNTER_WAIT_MS);
		if (rg_command_authorize(&node.state, ret_command, true))
			rg_node_store(&node);
		*state = node.state;
		rg_node_unlock(&node);
	}
	pg_atomic_write_u64(&rg_shared->watchdog_seen_ms, (uint64) rg_boottime_ms());
}

/* The newest rule, and whether it alone is in force. */
static Datum
rule_jsonb(const RgRule *rule)
{
	char	   *json = palloc(RG_RULE_JSON_SIZE + 32);
	int			length = rg_rule_format(rule, json, RG_RULE_JSON_SIZE);

	if (length < 1)
		elog(ERROR, "rule is too large");
	strcpy(json + length - 1, rg_settle_is_over(rule) ? ",\"settled\":true}" : ",\"settled\":false}");
	return rg_jsonb_from_text(json);
}

static Datum
requests_jsonb(void)
{
	RgRequest	requests[RG_REQUESTS_MAX];
	int			count = rg_requests_get(requests);
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoChar(&json, '[');
	for (int i = 0; i < count; i++)
		appendStringInfo(&json,
						 "%s{\"id\":" INT64_FORMAT ",\"kind\":\"%s\",\"node\":\"%s\",\"method\":\"%s\"}",
						 i > 0 ? "," : "", requests[i].id, requests[i].kind, requests[i].node,
						 requests[i].method);
	appendStringInfoChar(&json, ']');
	return rg_jsonb_from_text(json.data);
}

static void
append_lsn(StringInfo json, const char *key, XLogRecPtr lsn)
{
	if (XLogRecPtrIsInvalid(lsn))
		appendStringInfo(json, ",\"%s\":null", key);
	else
		appendStringInfo(json, ",\"%s\":\"%X/%X\"", key, LSN_FORMAT_ARGS(lsn));
}

static Datum
standbys_jsonb(void)
{
	int			count;
	RgStandby  *standbys = rg_status_standbys(&count);
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoChar(&json, '[');
	for (int i = 0; i < count; i++)
	{
		appendStringInfo(&json, "%s{\"node\":", i > 0 ? "," : "");
		escape_json(&json, standbys[i].node);
		appendStringInfo(&json, ",\"state\":\"%s\",\"sync_state\":\"%s\"",
						 standbys[i].state, standbys[i].sync_state);
		append_lsn(&json, "flush_lsn", standbys[i].flush_lsn);
		append_lsn(&json, "replay_lsn", standbys[i].replay_lsn);
		appendStringInfo(&json, ",\"pid\":%d}", (int) standbys[i].pid);
	}
	appendStringInfoChar(&json, ']');
	return rg_jsonb_from_text(json.data);
}

/* A lease counts only with the server start that it was granted to. */
static void
take_grant(FunctionCallInfo fcinfo, const RgCommand *command)
{
	if (!PG_ARGISNULL(2) && !PG_ARGISNULL(3) && !PG_ARGISNULL(4) && !PG_ARGISNULL(5))
		(void) rg_lease_grant(command, PG_GETARG_INT64(5));
}

static void
set_text(Datum *value, bool *isnull, const char *string)
{
	*isnull = string[0] == '\0';
	if (!*isnull)
		*value = CStringGetTextDatum(string);
}

/* Who is ahead of us, who was refused, how old our last WAL is. */
static void
warning_values(Datum *values, bool *nulls)
{
	bool		in_recovery = RecoveryInProgress();
	char		ahead[RG_NAME_SIZE];
	char		intruder[RG_INTRUDER_SIZE];
	int64		intruder_ms;
	RgReceipt	receipt;

	LWLockAcquire(rg_shared->lock, LW_SHARED);
	strlcpy(ahead, rg_shared->ahead, sizeof(ahead));
	strlcpy(intruder, rg_shared->intruder, sizeof(intruder));
	intruder_ms = rg_shared->intruder_ms;
	LWLockRelease(rg_shared->lock);

	set_text(&values[0], &nulls[0], in_recovery ? "" : ahead);
	set_text(&values[1], &nulls[1], intruder);
	nulls[2] = nulls[1];
	values[2] = Int64GetDatum(rg_boottime_ms() - intruder_ms);
	nulls[3] = !in_recovery;
	if (in_recovery)
	{
		rg_receipt_update(&receipt);
		values[3] = Int64GetDatum(rg_boottime_ms() - receipt.last_wal_ms);
	}
}

PG_FUNCTION_INFO_V1(regent_heartbeat);

/* heartbeat(watchdog, counter, boot_id, postmaster_start, term, lease_until_ms) */
Datum
regent_heartbeat(PG_FUNCTION_ARGS)
{
	TupleDesc	tupdesc;
	Datum		values[HEARTBEAT_COLUMNS];
	bool		nulls[HEARTBEAT_COLUMNS];
	Datum	   *extra = values + RG_STATUS_COLUMNS;
	bool	   *extra_nulls = nulls + RG_STATUS_COLUMNS;
	RgState    *state = palloc(sizeof(RgState));
	RgCommand	command;
	XLogRecPtr	start_lsn;

	rg_leave_snapshot();
	rg_node_require();
	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	rg_shared_state(state);
	check_watchdog(fcinfo, state, &command);
	check_server_start(fcinfo);
	if (!RecoveryInProgress())
		(void) rg_settle_look();
	take_grant(fcinfo, &command);

	/* it knows a newer term than we do: look whether its rule has come */
	if (!PG_ARGISNULL(4) && (!state->has_rule || PG_GETARG_INT64(4) > state->rule.term))
		rg_worker_wake();

	rg_status_values(values, nulls);
	memset(extra_nulls, false, EXTRA_COLUMNS * sizeof(bool));
	extra_nulls[0] = rg_boot_id[0] == '\0';
	if (!extra_nulls[0])
		extra[0] = DirectFunctionCall1(uuid_in, CStringGetDatum(rg_boot_id));
	extra[1] = Int32GetDatum(PostmasterPid);
	extra_nulls[2] = !state->has_rule;
	if (state->has_rule)
		extra[2] = rule_jsonb(&state->rule);
	extra[3] = rg_followed_jsonb();
	extra[4] = requests_jsonb();
	extra_nulls[5] = state->promoting == 0;
	extra[5] = Int64GetDatum(state->promoting);
	extra[6] = standbys_jsonb();
	warning_values(extra + 7, extra_nulls + 7);
	start_lsn = RecoveryInProgress() ? rg_start_unopened_lsn() : rg_start_lsn();
	extra_nulls[11] = XLogRecPtrIsInvalid(start_lsn);
	extra[11] = LSNGetDatum(start_lsn);
	extra[12] = rg_slots_jsonb();
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc), values, nulls)));
}
