/*
 * requests.c
 *	  What operators ask the watchdog for: rebuild(), switchover().
 *
 * A request is left on whatever node the operator is logged in to.  Each heartbeat
 * takes it along, and it stays until the watchdog has published a job of its id,
 * so a lost answer loses no request.  It is in shared memory only: a restart of
 * this server forgets it, and jobs() says so.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "errors.h"
#include "nodestate.h"
#include "pg_regent.h"
#include "requests.h"

#define WATCHDOG_SILENT_MS 10000

int
rg_requests_get(RgRequest *ret_requests)
{
	int			count;

	LWLockAcquire(rg_shared->lock, LW_SHARED);
	count = rg_shared->nrequests;
	memcpy(ret_requests, rg_shared->requests, sizeof(rg_shared->requests));
	LWLockRelease(rg_shared->lock);
	return count;
}

void
rg_requests_drop(const int64 *job_ids, int njobs)
{
	int			kept = 0;

	LWLockAcquire(rg_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < rg_shared->nrequests; i++)
	{
		bool		is_job = false;

		for (int j = 0; j < njobs; j++)
			is_job |= rg_shared->requests[i].id == job_ids[j];
		if (!is_job)
			rg_shared->requests[kept++] = rg_shared->requests[i];
	}
	rg_shared->nrequests = kept;
	LWLockRelease(rg_shared->lock);
}

static void
check_rule(const RgState *state)
{
	if (!state->has_rule)
		ereport(ERROR,
				(errcode(ERRCODE_RG_NOT_INITIALISED),
				 errmsg("the cluster is not initialised"),
				 errdetail("Node \"%s\" holds no rule.", rg_node_name),
				 errhint("Run \"regent init\".")));
}

static void
check_voter(const RgState *state, const char *node)
{
	StringInfoData voters;
	bool		is_voter = false;

	initStringInfo(&voters);
	for (int i = 0; i < state->rule.nvoters; i++)
	{
		is_voter |= strcmp(state->rule.voters[i], node) == 0;
		appendStringInfo(&voters, "%s%s", i > 0 ? ", " : "", state->rule.voters[i]);
	}
	if (!is_voter)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("node \"%s\" does not exist", node),
				 errhint("Nodes of this cluster are: %s.", voters.data)));
}

static void
check_rebuild(const RgState *state, const char *node, const char *method)
{
	if (strcmp(method, "auto") != 0 && strcmp(method, "rewind") != 0 && strcmp(method, "delta") != 0 &&
		strcmp(method, "copy") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown method \"%s\"", method),
				 errhint("Methods are auto, rewind, delta and copy.")));
	check_rule(state);
	check_voter(state, node);
	if (strcmp(state->rule.leader, node) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_RG_WRONG_ROLE),
				 errmsg("node \"%s\" is the leader and cannot be rebuilt", node),
				 errdetail("All others are copies of it.")));
}

static void
check_watchdog_listens(void)
{
	uint64		seen = pg_atomic_read_u64(&rg_shared->watchdog_seen_ms);

	if (seen == 0 || rg_boottime_ms() - (int64) seen > WATCHDOG_SILENT_MS)
		ereport(ERROR,
				(errcode(ERRCODE_RG_NO_WATCHDOG),
				 errmsg("no watchdog is listening"),
				 errdetail("Node \"%s\" has had no heartbeat for %d seconds.",
						   rg_node_name, WATCHDOG_SILENT_MS / 1000),
				 errhint("Start regentd on the watchdog's host: systemctl start regentd.")));
}

/* Unique among nodes and restarts: milliseconds since 1970, and three digits of the node's own. */
static int64
next_request_id(void)
{
	int64		ms = GetCurrentTimestamp() / 1000 +
		(int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * 1000;
	int64		id = ms * 1000 +
		hash_bytes((const unsigned char *) rg_node_name, strlen(rg_node_name)) % 1000;

	if (id <= rg_shared->last_request_id)
		id = rg_shared->last_request_id + 1000;
	rg_shared->last_request_id = id;
	return id;
}

/* The id of a new request, of the same one if it waits already. */
static int64
add_request(const char *kind, const char *node, const char *method)
{
	int64		id = -1;

	LWLockAcquire(rg_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < rg_shared->nrequests && id < 0; i++)
		if (strcmp(rg_shared->requests[i].kind, kind) == 0 &&
			strcmp(rg_shared->requests[i].node, node) == 0 &&
			strcmp(rg_shared->requests[i].method, method) == 0)
			id = rg_shared->requests[i].id;
	if (id < 0 && rg_shared->nrequests < RG_REQUESTS_MAX)
	{
		RgRequest  *request = &rg_shared->requests[rg_shared->nrequests++];

		id = next_request_id();
		request->id = id;
		strlcpy(request->kind, kind, sizeof(request->kind));
		strlcpy(request->node, node, sizeof(request->node));
		strlcpy(request->method, method, sizeof(request->method));
	}
	LWLockRelease(rg_shared->lock);
	if (id < 0)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%d requests are waiting for the watchdog already", RG_REQUESTS_MAX),
				 errhint("See regent.jobs().")));
	return id;
}

PG_FUNCTION_INFO_V1(regent_rebuild);

/* rebuild(node, method default 'auto') */
Datum
regent_rebuild(PG_FUNCTION_ARGS)
{
	RgState    *state = palloc(sizeof(RgState));
	char	   *node;
	char	   *method;

	rg_node_require();
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("node and method must not be null")));
	node = text_to_cstring(PG_GETARG_TEXT_PP(0));
	method = text_to_cstring(PG_GETARG_TEXT_PP(1));
	rg_shared_state(state);
	check_rebuild(state, node, method);
	check_watchdog_listens();
	PG_RETURN_INT64(add_request("rebuild", node, method));
}

PG_FUNCTION_INFO_V1(regent_switchover);

/* switchover(node default null) */
Datum
regent_switchover(PG_FUNCTION_ARGS)
{
	RgState    *state = palloc(sizeof(RgState));
	char	   *node = PG_ARGISNULL(0) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(0));

	rg_node_require();
	rg_shared_state(state);
	check_rule(state);
	if (!PG_ARGISNULL(0))
		check_voter(state, node);
	if (strcmp(state->rule.leader, node) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_RG_WRONG_ROLE),
				 errmsg("node \"%s\" is the leader already", node)));
	check_watchdog_listens();
	PG_RETURN_INT64(add_request("switchover", node, ""));
}
