/*
 * check_gate.c
 *	  May the node acknowledge writes, and does the gate really guard it?
 *
 * Settings are asked for with missing_ok: a server whose library is older than
 * this command says nothing of the gate, and that is told.
 */
#include "check.h"
#include "sync_names.h"

#include <stdlib.h>
#include <string.h>

static const char settings_sql[] =
	"SELECT coalesce(current_setting('regent.gate', true), ''),"
	" coalesce(current_setting('regent.lease_from_standbys', true), ''),"
	" coalesce(current_setting('regent.adopting', true), ''),"
	" coalesce(extract(epoch FROM nullif(current_setting('regent.adopting', true), '')::timestamptz - now()), 0)::bigint,"
	" current_setting('synchronous_standby_names'), pg_is_in_recovery()";

/* regent.adopting: needed before the first rule, harmless until its end, void too far ahead. */
static void
check_adopting(RgCheck *check, int node, const char *value, int64_t left_s)
{
	const char *name = check->config->nodes[node].name;

	if (check->nodes[node].term == 0 && left_s <= 0)
		rg_check_say(check, RG_FINDING_FAILED, name, "regent.adopting is not in force, so a server without a rule is closed"
					 "\tALTER SYSTEM SET regent.adopting = 'TIME' (an end time, say in an hour) and SELECT pg_reload_conf(), "
					 "then regent init");
	else if (left_s > 24 * 3600)
		rg_check_say(check, RG_FINDING_WARNING, name, "regent.adopting = %s counts for nothing: it lies more than a day ahead"
					 "\tset it to an end time within a day, or ALTER SYSTEM RESET regent.adopting", value);
	else if (left_s > 0 && check->nodes[node].term > 0)
		rg_check_say(check, RG_FINDING_OK, name, "regent.adopting is in force until %s", value);
}

/*
 * In sync and strict by regent.conf: the list that the server's worker writes, of any
 * quorum; none is right, too, where all standbys are left out.
 */
static void
check_sync_names(RgCheck *check, int node, const char *value)
{
	const RgConfig *config = check->config;
	const char *name = config->nodes[node].name;
	char		wish[RG_SYNC_NAMES_MAX];
	const char *list = strchr(value, '(');

	if (strcmp(config->durability, "async") == 0)
		return;
	rg_sync_names(config, wish, sizeof(wish));
	if (strncmp(value, "ANY ", 4) == 0 && list != NULL && strcmp(list, strchr(wish, '(')) == 0)
		rg_check_say(check, RG_FINDING_OK, name, "synchronous_standby_names is %s", value);
	else
		rg_check_say(check, RG_FINDING_WARNING, name, "synchronous_standby_names is \"%s\", for durability = %s its worker "
					 "writes \"%s\"\tnothing while standbys are left out or the rule is new; else take the setting out of "
					 "the server's start options, and see its log", value, config->durability, wish);
}

static void
check_state(RgCheck *check, int node, RgSession *session, bool in_recovery)
{
	const char *name = check->config->nodes[node].name;
	PGresult   *row;
	RgError		err = {0};
	const char *gate;
	const char *left;

	if (rg_session_query(session, "SELECT gate, coalesce(lease_left_ms::text, ''), term FROM regent.node_status()", 0, NULL,
						 RG_SESSION_QUERY_MS, &row, &err) != 0)
		return;					/* told already, by the check of the rule */
	gate = PQntuples(row) == 1 ? PQgetvalue(row, 0, 0) : "";
	left = PQntuples(row) == 1 ? PQgetvalue(row, 0, 1) : "";
	if (strcmp(gate, "override") == 0)
		rg_check_say(check, RG_FINDING_WARNING, name, "its gate is overridden: it acknowledges writes whoever leads, and "
					 "nobody fails over\tend it: SELECT regent.override_gate('done', '0')");
	else if (in_recovery || check->nodes[node].term == 0)
		;						/* a standby's is closed, an adopted server's open for a while */
	else if (strcmp(gate, "open") == 0)
		rg_check_say(check, RG_FINDING_OK, name, "its gate is open%s%s%s", *left != '\0' ? ", its lease has " : "", left,
					 *left != '\0' ? " ms left" : "");
	else if (strcmp(gate, "closed") == 0)
		rg_check_say(check, RG_FINDING_FAILED, name, "this primary's gate is closed: it acknowledges no write"
					 "\tsystemctl start regentd; regent status tells who leads and what is waited for");
	PQclear(row);
}

void
rg_check_gate(RgCheck *check, int node, RgSession *session)
{
	const char *name = check->config->nodes[node].name;
	PGresult   *row;
	RgError		err = {0};

	if (rg_session_query(session, settings_sql, 0, NULL, RG_SESSION_QUERY_MS, &row, &err) != 0)
	{
		rg_check_say(check, RG_FINDING_FAILED, name, "settings of the gate can't be read: %s\t%s", err.message, err.hint);
		return;
	}
	if (strcmp(PQgetvalue(row, 0, 0), "on") == 0)
		rg_check_say(check, RG_FINDING_OK, name, "regent.gate is on");
	else
		rg_check_say(check, RG_FINDING_FAILED, name, "regent.gate is %s: as a deposed primary it would go on acknowledging "
					 "writes, so nobody fails over from it by a lease that ran out\tALTER SYSTEM SET regent.gate = on; SELECT pg_reload_conf()",
					 *PQgetvalue(row, 0, 0) != '\0' ? PQgetvalue(row, 0, 0) : "not known to its library");
	if (strcmp(PQgetvalue(row, 0, 1), "off") == 0)
		rg_check_say(check, RG_FINDING_WARNING, name, "regent.lease_from_standbys is off: writes stop one lease after the "
					 "watchdog does\tALTER SYSTEM SET regent.lease_from_standbys = on; SELECT pg_reload_conf()");
	check_adopting(check, node, PQgetvalue(row, 0, 2), strtoll(PQgetvalue(row, 0, 3), NULL, 10));
	check_sync_names(check, node, PQgetvalue(row, 0, 4));
	if (check->nodes[node].has_extension)
		check_state(check, node, session, strcmp(PQgetvalue(row, 0, 5), "t") == 0);
	PQclear(row);
}
