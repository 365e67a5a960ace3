/*
 * check_slots.c
 *	  What slots may keep on a node, and the logical ones that no failover carries over.
 */
#include "check.h"

#include <stdlib.h>
#include <string.h>

static const char slots_sql[] =
	"SELECT coalesce(current_setting('regent.slot_wal_limit', true), ''), current_setting('max_slot_wal_keep_size'),"
	" (SELECT count(*) FROM pg_replication_slots WHERE slot_type = 'logical' AND NOT temporary),"
	" (SELECT coalesce(string_agg(slot_name, ', ' ORDER BY slot_name), '') FROM"
	"  (SELECT slot_name FROM pg_replication_slots WHERE slot_type = 'logical' AND NOT temporary"
	"   ORDER BY slot_name LIMIT 8) AS s)";

static void
check_limit(RgCheck *check, int node, const char *ours, const char *servers)
{
	const char *name = check->config->nodes[node].name;

	if (strcmp(ours, "-1") == 0 && strcmp(servers, "-1") == 0)
		rg_check_say(check, RG_FINDING_WARNING, name, "nothing limits the WAL that is kept for a standby that is down: it can "
					 "fill the disk\tALTER SYSTEM RESET regent.slot_wal_limit; SELECT pg_reload_conf()");
	else if (*ours != '\0')
		rg_check_say(check, RG_FINDING_OK, name, "a standby that is down holds at most %s of WAL here",
					 strcmp(ours, "-1") == 0 ? servers : ours);
}

/* PostgreSQL 15 sends no logical slot to a standby, and one that stays on a former leader is not true any more. */
static void
check_logical(RgCheck *check, int node, int count, const char *names)
{
	const char *name = check->config->nodes[node].name;
	const char *more = count > 8 ? ", …" : "";

	if (count == 0)
		return;
	if (check->nodes[node].is_standby)
		rg_check_say(check, RG_FINDING_WARNING, name, "this standby has %d logical slots (%s%s) from a time when it led: they keep "
					 "WAL and are not true any more\tSELECT pg_drop_replication_slot(…) here", count, names, more);
	else
		rg_check_say(check, RG_FINDING_WARNING, name, "%d logical slots (%s%s) do not survive a change of leader: PostgreSQL %d does not "
					 "carry them over\tafter it make them anew on the new leader and synchronise their subscribers",
					 count, names, more, check->nodes[node].version / 10000);
}

void
rg_check_slots(RgCheck *check, int node, RgSession *session)
{
	PGresult   *row;
	RgError		err = {0};

	if (rg_session_query(session, slots_sql, 0, NULL, RG_SESSION_QUERY_MS, &row, &err) != 0)
	{
		rg_check_say(check, RG_FINDING_FAILED, check->config->nodes[node].name,
					 "what slots keep can't be read: %s\t%s", err.message, err.hint);
		return;
	}
	check_limit(check, node, PQgetvalue(row, 0, 0), PQgetvalue(row, 0, 1));
	check_logical(check, node, atoi(PQgetvalue(row, 0, 2)), PQgetvalue(row, 0, 3));
	PQclear(row);
}
