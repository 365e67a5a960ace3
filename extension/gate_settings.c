/*
 * gate_settings.c
 *	  Settings of the gate, and what sessions see of it.
 *
 * regent.adopting is an end time.  It is read once, by the process that reads the
 * configuration, in the zone of the server's log: a session's TimeZone must not
 * be able to move it.
 *
 * A closed primary shows default_transaction_read_only and transaction_read_only
 * as on: that is what libpq (target_session_attrs=read-write) and other drivers
 * ask for, and so they go on to the next host.  Only what is shown is changed, in
 * this process, by a hook: no value is set, so nothing has to be taken back when
 * the gate opens, nothing gets into a file, and the refusal itself stays with the
 * gate, which says why.
 */
#include "postgres.h"

#include <ctype.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/datetime.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "gate.h"

#define ADOPTING_MAX_MS INT64CONST(86400000)

RG_HOT_DATA bool rg_gate_setting = true;
RG_HOT_DATA bool rg_require_sync_commit = false;
static char *adopting_setting = NULL;
static TimestampTz adopting_until = 0;

/* ------------------------------------------------ regent.adopting */

static bool
parse_time(const char *string, TimestampTz *ret_time)
{
	char		workbuf[MAXDATELEN + 1];
	char	   *fields[MAXDATEFIELDS];
	int			types[MAXDATEFIELDS];
	int			count;
	int			kind;
	int			zone = 0;
	struct pg_tm tm;
	fsec_t		fsec;
	int			result;

	/* no words: "now" means nothing in a file */
	if (!isdigit((unsigned char) string[0]))
		return false;
	result = ParseDateTime(string, workbuf, sizeof(workbuf), fields, types, MAXDATEFIELDS, &count);
	if (result == 0)
		result = rg_compat_decode_datetime(fields, types, count, &kind, &tm, &fsec, &zone);
	return result == 0 && kind == DTK_DATE && tm2timestamp(&tm, fsec, &zone, ret_time) == 0;
}

static bool
check_adopting(char **newval, void **extra, GucSource source)
{
	TimestampTz *until = rg_compat_setting_extra(sizeof(TimestampTz));
	pg_tz	   *zone = session_timezone;
	volatile bool is_good = true;

	if (until == NULL)
		return false;
	*until = 0;
	if ((*newval)[0] != '\0')
	{
		session_timezone = log_timezone != NULL ? log_timezone : zone;
		PG_TRY();
		{
			is_good = parse_time(*newval, until);
		}
		PG_FINALLY();
		{
			session_timezone = zone;
		}
		PG_END_TRY();
	}
	if (!is_good)
	{
		GUC_check_errdetail("It must be a date and time, such as \"2030-01-31 12:00:00+00\".");
		rg_compat_setting_extra_free(until);
		return false;
	}
	*extra = until;
	return true;
}

static void
assign_adopting(const char *newval, void *extra)
{
	adopting_until = *(TimestampTz *) extra;
}

int64
rg_adopting_left_ms(void)
{
	int64		left;

	if (adopting_until == 0)
		return 0;
	left = (adopting_until - GetCurrentTimestamp()) / 1000;
	return left > 0 && left <= ADOPTING_MAX_MS ? left : 0;
}

/* ------------------------------------------------ what sessions see */

static const char *
show_default_read_only(void)
{
	return DefaultXactReadOnly || rg_gate_refuses() ? "on" : "off";
}

static const char *
show_read_only(void)
{
	return XactReadOnly || rg_gate_refuses() ? "on" : "off";
}

static void
watch_setting(const char *name, GucShowHook hook)
{
	struct config_generic *setting = rg_compat_find_setting(name);

	if (setting == NULL || setting->vartype != PGC_BOOL)
		elog(FATAL, "setting \"%s\" is not what pg_regent expects", name);
	((struct config_bool *) setting)->show_hook = hook;
}

void
rg_gate_define_settings(void)
{
	DefineCustomBoolVariable("regent.gate",
							 "Lets this node write only while it leads and has a lease.",
							 "Off means that nothing keeps two nodes from writing.",
							 &rg_gate_setting,
							 true,
							 PGC_SIGHUP,
							 0,
							 NULL, NULL, NULL);
	DefineCustomBoolVariable("regent.require_sync_commit",
							 "Commits of ordinary sessions wait for standbys whatever synchronous_commit they set.",
							 "Counts while the rule in force asks for standbys; a superuser's session is free.",
							 &rg_require_sync_commit,
							 false,
							 PGC_SIGHUP,
							 0,
							 NULL, NULL, NULL);
	DefineCustomStringVariable("regent.adopting",
							   "Until when this server may write without a rule, while it is made a node.",
							   "An end time at most 24 hours ahead; it has no effect once there is a rule or a state file.",
							   &adopting_setting,
							   "",
							   PGC_SIGHUP,
							   0,
							   check_adopting, assign_adopting, NULL);
	watch_setting("default_transaction_read_only", show_default_read_only);
	watch_setting("transaction_read_only", show_read_only);
}
