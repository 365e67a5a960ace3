/*
 * gate_override.c
 *	  override_gate(): a superuser opens the gate for a while, against all advice.
 *
 * For the day when the watchdog and the standbys are gone for good and writes must
 * go on.  It stands in shared memory only, so a restart ends it, and it is shown by
 * node_status() and to the watchdog, which starts no failover of its own while it
 * knows of one.  It asks nothing of the state file, which may be what is broken.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "errors.h"
#include "gate.h"
#include "pg_regent.h"
#include "shmem.h"

#define OVERRIDE_MAX_US USECS_PER_HOUR

static void
check_caller(void)
{
	rg_require_shared();
	if (!superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be superuser to override the gate")));
	if (rg_node_name[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this server is not a node of pg_regent"),
				 errdetail("regent.node_name is empty, so it has no gate.")));
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_RG_WRONG_ROLE),
				 errmsg("node \"%s\" is a standby, which no gate keeps from writing", rg_node_name),
				 errhint("To promote it although commits may be lost: regent failover NODE --accept-loss.")));
}

/* From 0 to an hour; a month or a day is more than that. */
static int64
duration_ms(const Interval *duration)
{
	if (duration->month != 0 || duration->day != 0 || duration->time < 0 ||
		duration->time > OVERRIDE_MAX_US)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the gate can be overridden for at most an hour at a time"),
				 errhint("A duration of 0 ends it.")));
	return (duration->time + 999) / 1000;
}

PG_FUNCTION_INFO_V1(regent_override_gate);

/* override_gate(reason, duration) */
Datum
regent_override_gate(PG_FUNCTION_ARGS)
{
	char	   *reason;
	int64		ms;

	check_caller();
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("reason and duration must not be null")));
	reason = text_to_cstring(PG_GETARG_TEXT_PP(0));
	ms = duration_ms(PG_GETARG_INTERVAL_P(1));
	if (ms > 0 && strspn(reason, " \t\r\n") == strlen(reason))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the reason must not be empty"),
				 errdetail("It is what the server's log will say about it.")));

	LWLockAcquire(rg_shared->lock, LW_EXCLUSIVE);
	pg_atomic_write_u64(&rg_shared->override_until_ms,
						ms > 0 ? (uint64) (rg_boottime_ms() + ms) : 0);
	LWLockRelease(rg_shared->lock);

	if (ms > 0)
		ereport(LOG,
				(errmsg("pg_regent: the gate of node \"%s\" is overridden for %.1f s by \"%s\": %s",
						rg_node_name, (double) ms / 1000,
						GetUserNameFromId(GetUserId(), false), reason),
				 errdetail("It may acknowledge writes while another node does, too.")));
	else
		ereport(LOG,
				(errmsg("pg_regent: the gate of node \"%s\" is not overridden any more, says \"%s\"",
						rg_node_name, GetUserNameFromId(GetUserId(), false))));
	PG_RETURN_VOID();
}
