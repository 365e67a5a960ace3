/*
 * fetch.c
 *	  The WAL that another recruit has and this one lacks.
 *
 * In a recruit the most advanced standby can be one that must not, or can't, be
 * promoted.  Then another one fetches from it what it lacks, within the term that
 * both have promised, and answers its new position, as promise() does.
 *
 * That keeps the promise.  The source has promised the same term and receives
 * nothing, so what it sends was written under the old terms and is finite; what we
 * flush is told to the source alone, where it counts for no lease and no commit.
 * The node is locked all the while and its sources are taken away again before the
 * answer.  If this process dies in between, the lock goes with it, and the worker
 * takes the source away as it does whenever somebody gives one to a node that has
 * promised (worker.c); so does the next start.
 */
#include "postgres.h"

#include "access/xlogrecovery.h"
#include "miscadmin.h"
#include "replication/walreceiver.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"

#include "command.h"
#include "errors.h"
#include "park.h"
#include "pg_regent.h"
#include "promise.h"
#include "settings.h"
#include "shmem.h"

#define DEADLINE_MAX_MS 60000
#define PARK_MS 1500
#define IDLE_MS 2000
#define POLL_MS 5

typedef struct Fetch
{
	char	   *source;
	char	   *conninfo;
	char	   *slot;
	XLogRecPtr	until;
	int64		deadline_ms;	/* boottime */
} Fetch;

static void
get_arguments(FunctionCallInfo fcinfo, Fetch *fetch)
{
	for (int i = 3; i < 8; i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("source, conninfo, slot, until and deadline_ms must not be null")));
	fetch->source = text_to_cstring(PG_GETARG_TEXT_PP(3));
	fetch->conninfo = text_to_cstring(PG_GETARG_TEXT_PP(4));
	fetch->slot = text_to_cstring(PG_GETARG_TEXT_PP(5));
	fetch->until = PG_GETARG_LSN(6);
	if (PG_GETARG_INT64(7) < PARK_MS || PG_GETARG_INT64(7) > DEADLINE_MAX_MS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("deadline_ms must be between %d and %d", PARK_MS, DEADLINE_MAX_MS)));
	fetch->deadline_ms = rg_boottime_ms() + PG_GETARG_INT64(7);
	rg_settings_check_upstream(fetch->conninfo);
	if (!rg_name_is_valid(fetch->source) || strcmp(fetch->source, rg_node_name) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("node \"%s\" cannot fetch from \"%s\"", rg_node_name, fetch->source)));
}

static void
check_fetch(const RgState *state, const RgCommand *command)
{
	if (!RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_RG_WRONG_ROLE),
				 errmsg("node \"%s\" is a primary and cannot fetch WAL", rg_node_name)));
	rg_command_check_term(state, command);
	if (state->promise_term != command->term || rg_state_effective_term(state) != command->term ||
		rg_state_has_followed(state, command->term))
		ereport(ERROR,
				(errcode(ERRCODE_RG_STALE_TERM),
				 errmsg("node \"%s\" is not recruited for term " INT64_FORMAT, rg_node_name, command->term),
				 errdetail("Only a standby that has promised this term, and follows nobody in it, fetches WAL.")));
	rg_command_check_whole(state);
}

static XLogRecPtr
held_now(void)
{
	XLogRecPtr	received = GetWalRcvFlushRecPtr(NULL, NULL);
	XLogRecPtr	replayed = GetXLogReplayRecPtr(NULL);

	return Max(received, replayed);
}

/* Until it is all there, nothing comes any more, or the time is over. */
static XLogRecPtr
wait_for_wal(const Fetch *fetch)
{
	XLogRecPtr	held = held_now();
	int64		moved_ms = rg_boottime_ms();

	for (;;)
	{
		int64		now = rg_boottime_ms();
		XLogRecPtr	seen = held_now();

		if (seen > held)
			moved_ms = now;
		held = seen;
		if (held >= fetch->until || now >= fetch->deadline_ms - PARK_MS || now - moved_ms >= IDLE_MS ||
			!RecoveryInProgress())
			return held;
		rg_leave_snapshot();
		rg_wait_ms(POLL_MS);
	}
}

PG_FUNCTION_INFO_V1(regent_fetch_wal);

/* fetch_wal(watchdog, counter, term, source, conninfo, slot, until, deadline_ms) */
Datum
regent_fetch_wal(PG_FUNCTION_ARGS)
{
	int64		started = rg_boottime_ms();
	RgCommand	command;
	RgNode		node;
	Fetch		fetch;
	XLogRecPtr	before;
	XLogRecPtr	held;
	Datum		answer;

	rg_leave_snapshot();
	rg_node_require();
	rg_command_get(fcinfo, &command);
	get_arguments(fcinfo, &fetch);
	rg_node_lock(&node, started + RG_LOCK_WAIT_MS);
	rg_command_authorize(&node.state, &command, false);
	check_fetch(&node.state, &command);

	before = held_now();
	rg_settings_set_upstream(fetch.conninfo, fetch.slot);
	rg_park_reload(true);
	held = wait_for_wal(&fetch);
	rg_settings_cut_sources();
	answer = rg_promise_position(fcinfo, &node, held, Max(fetch.deadline_ms, rg_boottime_ms() + PARK_MS), NULL);
	rg_node_unlock(&node);
	ereport(LOG,
			(errhidestmt(true),
			 errmsg("pg_regent fetched WAL from \"%s\" in term " INT64_FORMAT ": from %X/%X up to %X/%X in %d ms",
					fetch.source, command.term, LSN_FORMAT_ARGS(before), LSN_FORMAT_ARGS(held),
					(int) (rg_boottime_ms() - started))));
	if (held < fetch.until && held <= before)
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("node \"%s\" received nothing from \"%s\"", rg_node_name, fetch.source),
				 errhint("See the server logs of both nodes: replication from one to the other must be allowed in pg_hba.conf.")));
	PG_RETURN_DATUM(answer);
}
