/*
 * check_logical.c
 *	  Logical slots: which of them a change of leader carries over, and what keeps it.
 *
 * Before PostgreSQL 17 none is.  From 17 on, with wal_level = logical, the server itself
 * keeps those that were made with failover = true on the standbys, and the worker of the
 * extension sees that its settings let it.
 */
#include "check.h"

#include <stdlib.h>
#include <string.h>

/* A version without a column has it as null in the JSON form. */
static const char slots_sql[] =
	"WITH s AS (SELECT slot_name, wal_status IS DISTINCT FROM 'lost' AND j->>'invalidation_reason' IS NULL"
	"  AND coalesce((j->>'failover')::boolean, false) AND (NOT pg_is_in_recovery() OR (j->>'synced')::boolean) AS is_carried"
	"  FROM pg_replication_slots AS r, to_jsonb(r) AS j WHERE slot_type = 'logical' AND NOT temporary)"
	" SELECT count(*) FILTER (WHERE NOT is_carried), count(*) FILTER (WHERE is_carried),"
	"  (SELECT coalesce(string_agg(slot_name, ', '), '') FROM"
	"   (SELECT slot_name FROM s WHERE NOT is_carried ORDER BY slot_name LIMIT 8) AS t),"
	"  coalesce(string_agg(slot_name, ' ' ORDER BY slot_name) FILTER (WHERE is_carried), '') FROM s";

static const char settings_sql[] =
	"SELECT current_setting('wal_level'), current_setting('sync_replication_slots', true), current_setting('hot_standby_feedback'),"
	" (SELECT setting = '' OR setting ~ '(^|\\s)dbname\\s*=' FROM pg_settings WHERE name = 'primary_conninfo'),"
	" (SELECT string_agg(s, ', ') FROM regexp_split_to_table(current_setting('synchronized_standby_slots', true), '\\s*,\\s*') AS s"
	"  WHERE s !~ '^(regent_[a-z0-9_]+)?$')";

static void
tell_left_behind(RgCheck *check, int node, int count, const char *names)
{
	const char *name = check->config->nodes[node].name;
	const char *more = count > 8 ? ", …" : "";
	int			major = check->nodes[node].version / 10000;

	if (check->nodes[node].is_standby)
		rg_check_say(check, RG_FINDING_WARNING, name, "this standby has %d logical slots (%s%s) from a time when it led: they keep "
					 "WAL and are not true any more\tSELECT pg_drop_replication_slot(…) here", count, names, more);
	else if (major < 17)
		rg_check_say(check, RG_FINDING_WARNING, name, "%d logical slots (%s%s) do not survive a change of leader: PostgreSQL %d does not "
					 "carry them over\tafter it make them anew on the new leader and synchronise their subscribers",
					 count, names, more, major);
	else
		rg_check_say(check, RG_FINDING_WARNING, name, "%d logical slots (%s%s) do not survive a change of leader: they were made "
					 "without failover\tALTER SUBSCRIPTION … SET (failover = true) while it is disabled, or make them with failover => true",
					 count, names, more);
}

static void
check_slots(RgCheck *check, int node, RgSession *session)
{
	const char *name = check->config->nodes[node].name;
	PGresult   *row;
	RgError		err = {0};
	int			carried;

	if (rg_session_query(session, slots_sql, 0, NULL, RG_SESSION_QUERY_MS, &row, &err) != 0)
	{
		rg_check_say(check, RG_FINDING_FAILED, name, "logical slots can't be read: %s\t%s", err.message, err.hint);
		return;
	}
	if (strcmp(PQgetvalue(row, 0, 0), "0") != 0)
		tell_left_behind(check, node, atoi(PQgetvalue(row, 0, 0)), PQgetvalue(row, 0, 2));
	carried = atoi(PQgetvalue(row, 0, 1));
	if (carried > 0)
		rg_check_say(check, RG_FINDING_OK, name, check->nodes[node].is_standby ? "the server keeps %d logical slots as they are on its primary" :
					 "%d logical slots survive a change of leader", carried);
	snprintf(check->nodes[node].logical_slots, sizeof(check->nodes[node].logical_slots), "%s", PQgetvalue(row, 0, 3));
	PQclear(row);
}

/* The worker has set what it could: what is not so now is in its way. */
static void
check_settings(RgCheck *check, int node, RgSession *session)
{
	const char *name = check->config->nodes[node].name;
	PGresult   *row;
	RgError		err = {0};
	const char *off;

	if (rg_session_query(session, settings_sql, 0, NULL, RG_SESSION_QUERY_MS, &row, &err) != 0)
		return;					/* that settings can't be read is told where all are looked at */
	if (strcmp(PQgetvalue(row, 0, 0), "logical") != 0)
	{
		PQclear(row);
		return;
	}
	off = strcmp(PQgetvalue(row, 0, 1), "on") != 0 ? "sync_replication_slots" :
		strcmp(PQgetvalue(row, 0, 2), "on") != 0 ? "hot_standby_feedback" : NULL;
	if (off != NULL)
		rg_check_say(check, RG_FINDING_WARNING, name, "%s is off: the server carries no logical slot over"
					 "\tthe worker of pg_regent sets it; if it stays so, take it out of the server's start options, and look into its log", off);
	else if (strcmp(PQgetvalue(row, 0, 3), "f") == 0)
		rg_check_say(check, RG_FINDING_WARNING, name, "primary_conninfo names no database: the server carries no logical slot over"
					 "\tthe worker of pg_regent adds it in postgresql.auto.conf; where else it stands add dbname=%s", check->config->database);
	else
		rg_check_say(check, RG_FINDING_OK, name, "the server carries logical slots over that were made with failover");
	if (*PQgetvalue(row, 0, 4) != '\0')
		rg_check_say(check, RG_FINDING_WARNING, name, "synchronized_standby_slots names slots that are not of pg_regent (%s), so it leaves the list "
					 "alone, and subscribers may be ahead of the next leader\tALTER SYSTEM RESET synchronized_standby_slots; SELECT pg_reload_conf()",
					 PQgetvalue(row, 0, 4));
	PQclear(row);
}

void
rg_check_logical(RgCheck *check, int node, RgSession *session)
{
	check_slots(check, node, session);
	/* a node without a vote may stream from a standby, and then the server carries nothing over */
	if (check->nodes[node].version >= 170000 && !rg_config_cascades(check->config, node))
		check_settings(check, node, session);
}

/* ------------------------------------------------ between the nodes */

/* Is the word one of those of list? */
static bool
is_listed(const char *list, const char *word, size_t length)
{
	for (const char *at = list; *at != '\0'; at += strspn(at, " "))
	{
		size_t		n = strcspn(at, " ");

		if (n == length && strncmp(at, word, length) == 0)
			return true;
		at += n;
	}
	return false;
}

static void
check_standby(RgCheck *check, int node, const char *wanted)
{
	char		missing[512] = "";
	size_t		used = 0;

	for (const char *at = wanted; *at != '\0'; at += strspn(at, " "))
	{
		size_t		n = strcspn(at, " ");

		if (!is_listed(check->nodes[node].logical_slots, at, n) && used + n + 3 < sizeof(missing))
			used += (size_t) snprintf(missing + used, sizeof(missing) - used, "%s%.*s", used > 0 ? ", " : "", (int) n, at);
		at += n;
	}
	if (missing[0] != '\0')
		rg_check_say(check, RG_FINDING_WARNING, check->config->nodes[node].name, "logical slots of the primary are not here yet: %s"
					 "\twait: the server takes one over when its subscriber has gone on; if it stays so, its log says why", missing);
}

/* What the primary's server carries over has to be on each standby that may be promoted. */
void
rg_check_logical_cluster(RgCheck *check)
{
	for (int i = 0; i < check->config->nnodes; i++)
		if (check->nodes[i].answers && !check->nodes[i].is_standby && check->nodes[i].logical_slots[0] != '\0')
			for (int j = 0; j < check->config->nnodes; j++)
				if (check->nodes[j].answers && check->nodes[j].is_standby && !rg_config_cascades(check->config, j))
					check_standby(check, j, check->nodes[i].logical_slots);
}
