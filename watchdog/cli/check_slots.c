/*
 * check_slots.c
 *	  What slots may keep on a node.
 */
#include "check.h"

#include <string.h>

static const char slots_sql[] =
	"SELECT coalesce(current_setting('regent.slot_wal_limit', true), ''), current_setting('max_slot_wal_keep_size')";

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
	PQclear(row);
}
