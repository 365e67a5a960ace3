/*
 * command.c
 *	  What every command of the watchdog has in common.
 *
 * The order in a command is always the same: lock the node, see who asks (the
 * watchdog that this node obeys, in its newest life), see whether the term may
 * still act here, make the pledge durable, act, answer with the state after it.
 * An answer that is lost is no harm: every command can be repeated.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/pg_lsn.h"
#include "utils/uuid.h"

#include "command.h"
#include "errors.h"
#include "pg_regent.h"
#include "shmem.h"

/* ------------------------------------------------ arguments and rights */

void
rg_command_get(FunctionCallInfo fcinfo, RgCommand *ret_command)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("watchdog, counter and term must not be null")));
	strlcpy(ret_command->watchdog,
			DatumGetCString(DirectFunctionCall1(uuid_out, PG_GETARG_DATUM(0))),
			RG_UUID_SIZE);
	ret_command->counter = PG_GETARG_INT64(1);
	ret_command->term = PG_GETARG_INT64(2);
}

/* Shown by the next heartbeat, so that the watchdog that is obeyed learns of it. */
static void
note_intruder(const RgCommand *command)
{
	LWLockAcquire(rg_shared->lock, LW_EXCLUSIVE);
	snprintf(rg_shared->intruder, sizeof(rg_shared->intruder), "%s counter " INT64_FORMAT,
			 command->watchdog, command->counter);
	rg_shared->intruder_ms = rg_boottime_ms();
	LWLockRelease(rg_shared->lock);
}

bool
rg_command_authorize(RgState *state, const RgCommand *command, bool may_be_first)
{
	if (state->watchdog[0] == '\0')
	{
		if (may_be_first)
			return false;
		ereport(ERROR,
				(errcode(ERRCODE_RG_NOT_INITIALISED),
				 errmsg("node \"%s\" is not initialised", rg_node_name),
				 errdetail("It holds no rule, so it obeys no watchdog yet."),
				 errhint("Run \"regent init\".")));
	}
	if (strcmp(state->watchdog, command->watchdog) != 0 || command->counter < state->counter)
		note_intruder(command);
	if (strcmp(state->watchdog, command->watchdog) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_RG_OTHER_WATCHDOG),
				 errmsg("node \"%s\" obeys another watchdog", rg_node_name),
				 errdetail("It obeys %s, not %s.", state->watchdog, command->watchdog),
				 errhint("Only one watchdog may act on a cluster: stop this one, or the other one and run \"regent takeover\".")));
	if (command->counter < state->counter)
		ereport(ERROR,
				(errcode(ERRCODE_RG_LOWER_COUNTER),
				 errmsg("node \"%s\" has seen a later start of this watchdog", rg_node_name),
				 errdetail("Its counter was " INT64_FORMAT ", and is " INT64_FORMAT " now.",
						   state->counter, command->counter),
				 errhint("Stop the watchdog that was started from an older copy of its state directory.")));
	if (command->counter == state->counter)
		return false;
	state->counter = command->counter;
	return true;
}

void
rg_command_forget_intruder(const RgCommand *command)
{
	LWLockAcquire(rg_shared->lock, LW_EXCLUSIVE);
	if (strncmp(rg_shared->intruder, command->watchdog, strlen(command->watchdog)) == 0)
		rg_shared->intruder[0] = '\0';
	LWLockRelease(rg_shared->lock);
}

void
rg_command_check_term(const RgState *state, const RgCommand *command)
{
	int64		effective = rg_state_effective_term(state);

	if (command->term < effective || command->term <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_RG_STALE_TERM),
				 errmsg("term " INT64_FORMAT " is over on node \"%s\"", command->term, rg_node_name),
				 errdetail("It has promised to accept nothing below term " INT64_FORMAT ".", effective)));
	if (!rg_rules_term_is_plausible(command->term, rg_state_highest_term(state)))
		ereport(ERROR,
				(errcode(ERRCODE_RG_STALE_TERM),
				 errmsg("term " INT64_FORMAT " is too far ahead of node \"%s\"",
						command->term, rg_node_name),
				 errdetail("The highest term seen here is " INT64_FORMAT "; a term may be at most %d above it.",
						   rg_state_highest_term(state), RG_TERM_JUMP_MAX)));
	if (state->promise_term == command->term && state->promise_watchdog[0] != '\0' &&
		strcmp(state->promise_watchdog, command->watchdog) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_RG_STALE_TERM),
				 errmsg("node \"%s\" has promised term " INT64_FORMAT " to another watchdog",
						rg_node_name, command->term),
				 errdetail("It promised it to %s.", state->promise_watchdog)));
}

void
rg_command_check_whole(const RgState *state)
{
	if (rg_rules_is_half_promoted(state->promoting, state->has_rule ? state->rule.term : 0))
		ereport(ERROR,
				(errcode(ERRCODE_RG_WRONG_ROLE),
				 errmsg("node \"%s\" is half promoted and cannot follow", rg_node_name),
				 errdetail("Its promotion in term " INT64_FORMAT " began, but no rule of that term was written.",
						   state->promoting),
				 errhint("Rebuild it: regent rebuild %s.", rg_node_name)));
}

void
rg_command_promise(RgState *state, const RgCommand *command)
{
	rg_command_check_term(state, command);
	state->promise_term = command->term;
	strlcpy(state->promise_watchdog, command->watchdog, RG_UUID_SIZE);
}

/* ------------------------------------------------ answers */

Datum
rg_jsonb_from_text(const char *json)
{
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json));
}

Datum
rg_rule_jsonb(const RgRule *rule)
{
	char	   *json = palloc(RG_RULE_JSON_SIZE);

	if (rg_rule_format(rule, json, RG_RULE_JSON_SIZE) < 0)
		elog(ERROR, "rule is too large");
	return rg_jsonb_from_text(json);
}

Datum
rg_followed_jsonb(void)
{
	RgTermEnd  *terms = palloc(RG_FOLLOWED_MAX * sizeof(RgTermEnd));
	int			count = rg_followed_terms(terms);
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoChar(&json, '[');
	for (int i = 0; i < count; i++)
	{
		appendStringInfo(&json, "%s{\"term\":" INT64_FORMAT ",\"timeline\":%u,\"end_lsn\":",
						 i > 0 ? "," : "", terms[i].term, terms[i].timeline);
		if (terms[i].end_lsn != 0)
			appendStringInfo(&json, "\"%X/%X\"}", LSN_FORMAT_ARGS(terms[i].end_lsn));
		else
			appendStringInfoString(&json, "null}");
	}
	appendStringInfoChar(&json, ']');
	return rg_jsonb_from_text(json.data);
}

Datum
rg_state_after(const RgState *state)
{
	bool		in_recovery = RecoveryInProgress();
	XLogRecPtr	lsn = in_recovery ? GetXLogReplayRecPtr(NULL) : GetXLogWriteRecPtr();
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfo(&json, "{\"node\":\"%s\",\"in_recovery\":%s,\"timeline\":%u,\"lsn\":\"%X/%X\"",
					 rg_node_name, in_recovery ? "true" : "false",
					 rg_current_timeline(in_recovery), LSN_FORMAT_ARGS(lsn));
	if (state->has_rule)
		appendStringInfo(&json, ",\"term\":" INT64_FORMAT, state->rule.term);
	else
		appendStringInfoString(&json, ",\"term\":null");
	if (rg_state_effective_term(state) > 0)
		appendStringInfo(&json, ",\"promised_term\":" INT64_FORMAT, rg_state_effective_term(state));
	else
		appendStringInfoString(&json, ",\"promised_term\":null");
	if (state->promoting > 0)
		appendStringInfo(&json, ",\"promoting_term\":" INT64_FORMAT "}", state->promoting);
	else
		appendStringInfoString(&json, ",\"promoting_term\":null}");
	return rg_jsonb_from_text(json.data);
}
