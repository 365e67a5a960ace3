/*
 * control.c
 *	  The short commands of the watchdog: promote, follow, fence, checkpoint and
 *	  takeover.
 *
 * follow() is a promise for its term, too: the pledge is stored before the setting
 * that makes the node stream.  promote() stores that it began before it begins: a
 * node that was being promoted and never wrote a rule must be known as such for
 * ever.  fence() ends sessions, so that nobody goes on with what he has begun.
 * takeover() is the operator's word that the old watchdog is gone: pledges made to
 * it hold towards the new one.  Nothing here restarts a server.
 */
#include "postgres.h"

#include <signal.h>

#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "miscadmin.h"
#include "postmaster/bgwriter.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

#include "command.h"
#include "compat.h"
#include "errors.h"
#include "history.h"
#include "nodestate.h"
#include "park.h"
#include "pg_regent.h"
#include "settings.h"
#include "shmem.h"
#include "slots.h"

#define PROMOTE_WAIT_MS 5000
#define PROMOTE_AGAIN_MS 200
#define FENCE_WAIT_MS 1000
#define RULES_WAIT_MS 200

static void
wrong_role(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_RG_WRONG_ROLE),
			 errmsg("node \"%s\" is a primary and cannot %s", rg_node_name, what),
			 errhint("Fence it first, over SSH: regent-node fence.")));
}

/* ------------------------------------------------ promote */

/* As pg_promote() does it; harmless to repeat. */
static void
signal_promotion(void)
{
	FILE	   *file = AllocateFile(PROMOTE_SIGNAL_FILE, "w");

	if (file == NULL || FreeFile(file) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not create file \"%s\": %m", PROMOTE_SIGNAL_FILE)));
	if (kill(PostmasterPid, SIGUSR1) != 0)
		ereport(ERROR, (errmsg("could not send a signal to the postmaster: %m")));
}

/*
 * The startup process may miss the signal while it looks for WAL, so it is sent
 * again; not once it was taken, because that would leave the file behind.
 */
static void
wait_for_promotion(void)
{
	int64		started = rg_boottime_ms();
	int64		signalled = 0;

	while (RecoveryInProgress())
	{
		int64		now = rg_boottime_ms();

		if (now - started >= PROMOTE_WAIT_MS)
			break;
		if (now - signalled >= PROMOTE_AGAIN_MS && !PromoteIsTriggered())
		{
			signal_promotion();
			signalled = now;
		}
		rg_leave_snapshot();
		rg_wait_ms(2);
	}
	if (RecoveryInProgress())
		ereport(WARNING,
				(errmsg("node \"%s\" is still in recovery %d ms after its promotion was asked for",
						rg_node_name, PROMOTE_WAIT_MS)));
	else
	{
		RemovePromoteSignalFiles();
		ereport(LOG,
				(errhidestmt(true),
				 errmsg("pg_regent promoted node \"%s\" to timeline %u in %d ms", rg_node_name,
						rg_current_timeline(false), (int) (rg_boottime_ms() - started))));
	}
}

static void
check_promotion(const RgState *state, const RgCommand *command)
{
	rg_command_check_term(state, command);
	if (state->promise_term != command->term || rg_state_effective_term(state) != command->term)
		ereport(ERROR,
				(errcode(ERRCODE_RG_STALE_TERM),
				 errmsg("node \"%s\" was not recruited for term " INT64_FORMAT,
						rg_node_name, command->term),
				 errdetail("Its promise is for term " INT64_FORMAT ".", rg_state_effective_term(state)),
				 errhint("A promotion needs the promise for the same term first.")));
	if (rg_state_has_followed(state, command->term) && state->promoting != command->term)
		ereport(ERROR,
				(errcode(ERRCODE_RG_STALE_TERM),
				 errmsg("node \"%s\" follows another leader in term " INT64_FORMAT,
						rg_node_name, command->term),
				 errdetail("A term has one leader.")));
}

/*
 * The timeline that is to begin has the number of the term, so that a number
 * names one term.  One that exists already was begun before a restart: the next
 * promotion would take the number after it.
 */
static void
check_timeline(int64 term)
{
	TimeLineID	timeline = rg_current_timeline(true);

	if (!RecoveryInProgress() || PromoteIsTriggered())
		return;
	if (term <= timeline || rg_history_exists((TimeLineID) term))
		ereport(ERROR,
				(errcode(ERRCODE_RG_STALE_TERM),
				 errmsg("timeline " INT64_FORMAT " cannot begin on node \"%s\"", term, rg_node_name),
				 errdetail("Timeline numbers up to " INT64_FORMAT " are used already.",
						   Max(term, (int64) timeline)),
				 errhint("Recruit for a higher term.")));
}

PG_FUNCTION_INFO_V1(regent_promote);

/* promote(watchdog, counter, term) */
Datum
regent_promote(PG_FUNCTION_ARGS)
{
	RgCommand	command;
	RgNode		node;
	Datum		answer;

	rg_leave_snapshot();
	rg_node_require();
	rg_command_get(fcinfo, &command);
	rg_node_lock(&node, rg_boottime_ms() + RG_LOCK_WAIT_MS);
	rg_command_authorize(&node.state, &command, false);

	/* again after it was done: the answer was lost */
	if (node.state.has_rule && node.state.rule.term == command.term &&
		strcmp(node.state.rule.leader, rg_node_name) == 0 && !RecoveryInProgress())
	{
		answer = rg_state_after(&node.state);
		rg_node_unlock(&node);
		PG_RETURN_DATUM(answer);
	}

	check_promotion(&node.state, &command);
	if (!RecoveryInProgress() && node.state.promoting != command.term)
		wrong_role("be promoted");
	check_timeline(command.term);
	if (node.state.promoting != command.term)
	{
		node.state.promoting = command.term;
		rg_node_store(&node);
	}
	rg_slots_keep_wal(&node.state.rule);
	if (RecoveryInProgress() && !PromoteIsTriggered())
		(void) rg_history_reserve(rg_current_timeline(true), command.term);
	wait_for_promotion();
	answer = rg_state_after(&node.state);
	rg_node_unlock(&node);
	rg_worker_wake();
	PG_RETURN_DATUM(answer);
}

/* ------------------------------------------------ follow */

static void
check_follow(const RgState *state, const RgCommand *command, const char *leader)
{
	if (!rg_name_is_valid(leader) || strcmp(leader, rg_node_name) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("node \"%s\" cannot follow \"%s\"", rg_node_name, leader)));
	if (!RecoveryInProgress())
		wrong_role("follow another one");
	rg_command_check_term(state, command);
	rg_command_check_whole(state);
	if (state->has_rule && state->rule.term == command->term &&
		strcmp(state->rule.leader, leader) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_RG_STALE_TERM),
				 errmsg("the leader of term " INT64_FORMAT " is \"%s\", not \"%s\"",
						command->term, state->rule.leader, leader)));
}

PG_FUNCTION_INFO_V1(regent_follow);

/* follow(watchdog, counter, term, leader, conninfo, slot) */
Datum
regent_follow(PG_FUNCTION_ARGS)
{
	RgCommand	command;
	RgNode		node;
	char	   *leader;
	char	   *conninfo;
	char	   *slot;
	TimeLineID	timeline;
	Datum		answer;

	rg_leave_snapshot();
	rg_node_require();
	rg_command_get(fcinfo, &command);
	if (PG_ARGISNULL(3) || PG_ARGISNULL(4) || PG_ARGISNULL(5))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("leader, conninfo and slot must not be null")));
	leader = text_to_cstring(PG_GETARG_TEXT_PP(3));
	conninfo = text_to_cstring(PG_GETARG_TEXT_PP(4));
	slot = text_to_cstring(PG_GETARG_TEXT_PP(5));
	rg_settings_check_upstream(conninfo);

	rg_node_lock(&node, rg_boottime_ms() + RG_LOCK_WAIT_MS);
	if (RecoveryInProgress() && rg_rules_sync(rg_boottime_ms() + RULES_WAIT_MS))
		rg_shared_state(&node.state);
	rg_command_authorize(&node.state, &command, false);
	check_follow(&node.state, &command, leader);
	rg_setting_require_changeable("primary_conninfo");
	rg_setting_require_changeable("primary_slot_name");

	/* the timeline of an older term without a rule is certain now */
	timeline = rg_current_timeline(true);
	if (node.state.nfollowed > 0)
	{
		RgTermEnd  *last = &node.state.followed[node.state.nfollowed - 1];

		if (last->term < command.term &&
			(!node.state.has_rule || last->term > node.state.rule.term))
			last->timeline = timeline;
	}
	if (!rg_state_has_followed(&node.state, command.term))
		rg_state_add_followed(&node.state, command.term, timeline);
	rg_command_promise(&node.state, &command);
	rg_node_store(&node);

	rg_settings_set_upstream(conninfo, slot);
	rg_park_reload(false);
	ereport(LOG,
			(errhidestmt(true),
			 errmsg("pg_regent lets node \"%s\" follow \"%s\" in term " INT64_FORMAT,
					rg_node_name, leader, command.term)));
	answer = rg_state_after(&node.state);
	rg_node_unlock(&node);
	rg_worker_wake();
	PG_RETURN_DATUM(answer);
}

/* ------------------------------------------------ fence */

/* Ends the sessions of clients, except those of the role that asks. */
static int
end_client_sessions(void)
{
	int			count = 0;

	pgstat_clear_backend_activity_snapshot();
	for (int i = 1; i <= pgstat_fetch_stat_numbackends(); i++)
	{
		PgBackendStatus *entry = rg_compat_backend_entry(i);

		if (entry == NULL || entry->st_backendType != B_BACKEND ||
			entry->st_procpid == MyProcPid || entry->st_userid == GetSessionUserId())
			continue;
		if (kill(entry->st_procpid, SIGTERM) == 0)
			count++;
	}
	return count;
}

/* A late fence of a recruit that was undone must not hit the leader of that very term. */
static void
check_fence(const RgState *state, const RgCommand *command)
{
	rg_command_check_term(state, command);
	if (rg_state_leads(state) && state->rule.term == command->term)
		ereport(ERROR,
				(errcode(ERRCODE_RG_STALE_TERM),
				 errmsg("node \"%s\" leads in term " INT64_FORMAT " itself",
						rg_node_name, command->term),
				 errdetail("A fence ends the terms below its own.")));
}

PG_FUNCTION_INFO_V1(regent_fence);

/* fence(watchdog, counter, term): a promise, and no client session goes on */
Datum
regent_fence(PG_FUNCTION_ARGS)
{
	RgCommand	command;
	RgNode		node;
	Datum		answer;
	int			ended;

	rg_leave_snapshot();
	rg_node_require();
	rg_command_get(fcinfo, &command);
	rg_node_lock(&node, rg_boottime_ms() + RG_LOCK_WAIT_MS);
	rg_command_authorize(&node.state, &command, false);
	check_fence(&node.state, &command);
	if (RecoveryInProgress())
		rg_settings_cut_sources();
	rg_command_promise(&node.state, &command);
	rg_node_store(&node);
	if (RecoveryInProgress())
	{
		rg_park_reload(true);
		(void) rg_park_wait(rg_boottime_ms() + FENCE_WAIT_MS);
	}
	ended = end_client_sessions();
	ereport(LOG,
			(errhidestmt(true),
			 errmsg("pg_regent fenced node \"%s\" for term " INT64_FORMAT ", %d sessions ended",
					rg_node_name, command.term, ended)));
	answer = rg_state_after(&node.state);
	rg_node_unlock(&node);
	PG_RETURN_DATUM(answer);
}

/* ------------------------------------------------ checkpoint, takeover */

PG_FUNCTION_INFO_V1(regent_checkpoint);

/* checkpoint(watchdog, counter, term): at once, so that the next stop is a fast one */
Datum
regent_checkpoint(PG_FUNCTION_ARGS)
{
	RgState    *state = palloc(sizeof(RgState));
	RgCommand	command;

	rg_leave_snapshot();
	rg_node_require();
	rg_command_get(fcinfo, &command);
	rg_shared_state(state);
	(void) rg_command_authorize(state, &command, false);
	rg_command_check_term(state, &command);

	/* the node's lock is not held: it may take long, and a promise must not wait for it */
	RequestCheckpoint(CHECKPOINT_IMMEDIATE | CHECKPOINT_WAIT |
					  (RecoveryInProgress() ? 0 : CHECKPOINT_FORCE));
	rg_shared_state(state);
	PG_RETURN_DATUM(rg_state_after(state));
}

/* Does the node obey the watchdog that is to be replaced, or the new one already? */
static void
check_takeover(const RgState *state, const RgCommand *command, const char *old)
{
	if (strcmp(state->watchdog, command->watchdog) == 0)
		return;
	if (state->watchdog[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_RG_NOT_INITIALISED),
				 errmsg("node \"%s\" is not initialised", rg_node_name),
				 errdetail("It holds no rule, so it obeys no watchdog yet."),
				 errhint("Run \"regent init\".")));
	if (strcmp(state->watchdog, old) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_RG_OTHER_WATCHDOG),
				 errmsg("node \"%s\" does not obey the watchdog that is to be replaced", rg_node_name),
				 errdetail("It obeys %s, not %s.", state->watchdog, old),
				 errhint("See which watchdog that is before you replace it.")));
}

PG_FUNCTION_INFO_V1(regent_takeover);

/* takeover(watchdog, counter, old_watchdog): from now on this node obeys another one */
Datum
regent_takeover(PG_FUNCTION_ARGS)
{
	RgCommand	command = {.term = 0};
	RgNode		node;
	char	   *old;
	Datum		answer;

	rg_leave_snapshot();
	rg_node_require();
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("watchdog, counter and old_watchdog must not be null")));
	strlcpy(command.watchdog,
			DatumGetCString(DirectFunctionCall1(uuid_out, PG_GETARG_DATUM(0))), RG_UUID_SIZE);
	command.counter = PG_GETARG_INT64(1);
	old = DatumGetCString(DirectFunctionCall1(uuid_out, PG_GETARG_DATUM(2)));

	rg_node_lock(&node, rg_boottime_ms() + RG_LOCK_WAIT_MS);
	check_takeover(&node.state, &command, old);
	if (strcmp(node.state.watchdog, command.watchdog) == 0)
	{
		/* again, the answer was lost; an older life of it is refused as ever */
		if (rg_command_authorize(&node.state, &command, false))
			rg_node_store(&node);
	}
	else
	{
		if (strcmp(node.state.promise_watchdog, old) == 0)
			strlcpy(node.state.promise_watchdog, command.watchdog, RG_UUID_SIZE);
		strlcpy(node.state.watchdog, command.watchdog, RG_UUID_SIZE);
		node.state.counter = command.counter;
		rg_node_store(&node);
		ereport(LOG,
				(errhidestmt(true),
				 errmsg("pg_regent: node \"%s\" obeys watchdog %s from now on, no longer %s",
						rg_node_name, command.watchdog, old)));
	}
	rg_command_forget_intruder(&command);
	answer = rg_state_after(&node.state);
	rg_node_unlock(&node);
	PG_RETURN_DATUM(answer);
}
