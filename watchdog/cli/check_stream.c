/*
 * check_stream.c
 *	  Replication: does the standby stream, by its own slot, and are the slots there?
 *
 * "The process runs" is not asked; only a walreceiver that streams counts.
 */
#include "check.h"

#include <stdlib.h>
#include <string.h>

static void
check_receiver(RgCheck *check, int node, RgSession *session)
{
	const char *name = check->config->nodes[node].name;
	RgCheckNode *n = &check->nodes[node];
	char		expected[RG_NAME_MAX + 8];
	PGresult   *row;
	RgError		err = {0};
	const char *slot;

	if (rg_session_query(session, "SELECT coalesce(status, ''), coalesce(slot_name, ''),"
						 " coalesce(sender_host, '') || ':' || coalesce(sender_port::text, '')"
						 " FROM pg_stat_wal_receiver", 0, NULL, RG_SESSION_QUERY_MS, &row, &err) != 0)
	{
		rg_check_say(check, RG_FINDING_FAILED, name, "pg_stat_wal_receiver can't be read: %s\t%s", err.message, err.hint);
		return;
	}
	snprintf(expected, sizeof(expected), "regent_%s", name);
	if (PQntuples(row) == 0 || strcmp(PQgetvalue(row, 0, 0), "streaming") != 0)
	{
		rg_check_say(check, RG_FINDING_FAILED, name, "this standby does not stream (%s)\tlook into its log; "
					 "regent init sets its primary_conninfo, regent rebuild %s makes it anew",
					 PQntuples(row) == 0 ? "it has no walreceiver" : PQgetvalue(row, 0, 0), name);
		PQclear(row);
		return;
	}
	slot = PQgetvalue(row, 0, 1);
	snprintf(n->upstream_slot, sizeof(n->upstream_slot), "%s", slot);
	snprintf(n->upstream, sizeof(n->upstream), "%s", PQgetvalue(row, 0, 2));
	if (strcmp(slot, expected) == 0)
		rg_check_say(check, RG_FINDING_OK, name, "it streams from %s with slot %s", n->upstream, slot);
	else
		rg_check_say(check, RG_FINDING_FAILED, name, "it streams from %s %s%s instead of slot %s\tregent init",
					 n->upstream, *slot != '\0' ? "with slot " : "without a slot", slot, expected);
	PQclear(row);
}

/* Every other node's slot, so that a promotion finds them. */
static void
check_slots(RgCheck *check, int node, RgSession *session)
{
	const char *name = check->config->nodes[node].name;
	bool		is_standby = check->nodes[node].is_standby;
	PGresult   *rows;
	RgError		err = {0};
	char		missing[1024] = "";
	size_t		used = 0;

	if (rg_session_query(session, "SELECT slot_name FROM pg_replication_slots WHERE slot_type = 'physical'",
						 0, NULL, RG_SESSION_QUERY_MS, &rows, &err) != 0)
	{
		rg_check_say(check, RG_FINDING_FAILED, name, "replication slots can't be read: %s\t%s", err.message, err.hint);
		return;
	}
	for (int i = 0; i < check->config->nnodes; i++)
	{
		char		slot[RG_NAME_MAX + 8];
		/* a cascading node has a slot where it streams from, and nowhere else */
		bool		is_there = i == node || rg_config_cascades(check->config, i);

		snprintf(slot, sizeof(slot), "regent_%s", check->config->nodes[i].name);
		for (int r = 0; r < PQntuples(rows) && !is_there; r++)
			is_there = strcmp(PQgetvalue(rows, r, 0), slot) == 0;
		if (!is_there && used < sizeof(missing))
			used += (size_t) snprintf(missing + used, sizeof(missing) - used, "%s%s", used > 0 ? ", " : "", slot);
	}
	PQclear(rows);
	if (missing[0] == '\0')
		rg_check_say(check, RG_FINDING_OK, name, "it has the slots of the other nodes");
	else if (is_standby)
		rg_check_say(check, RG_FINDING_WARNING, name, "slots are missing: %s\twait a moment: the pg_regent worker "
					 "makes them once the rule has arrived; else look into the server's log", missing);
	else
		rg_check_say(check, RG_FINDING_FAILED, name, "slots are missing: %s\tregent init", missing);
}

/* " n1 n2 n3 " has it. */
static bool
is_listed(const char *list, const char *name)
{
	char		word[RG_NAME_MAX + 2];

	snprintf(word, sizeof(word), " %s ", name);
	return strstr(list, word) != NULL;
}

/* The configuration says who is there, the rule who votes: each without the other is worth a word. */
static void
check_votes(RgCheck *check, RgSession *session)
{
	const RgConfig *config = check->config;
	PGresult   *row;
	RgError		err = {0};
	char		voters[RG_NODES_MAX * (RG_NAME_MAX + 1) + 2];
	char	   *rest = voters;

	if (rg_session_query(session, "SELECT ' ' || array_to_string(voters, ' ') || ' ' FROM regent.rule ORDER BY term DESC, seq DESC LIMIT 1",
						 0, NULL, RG_SESSION_QUERY_MS, &row, &err) != 0)
		return;					/* that the rule can't be read is told where its gate is looked at */
	snprintf(voters, sizeof(voters), "%s", PQntuples(row) == 1 ? PQgetvalue(row, 0, 0) : "");
	PQclear(row);
	if (voters[0] == '\0')
		return;
	for (int i = 0; i < config->nnodes; i++)
		if (!rg_config_cascades(config, i) && !is_listed(voters, config->nodes[i].name))
			rg_check_say(check, RG_FINDING_WARNING, config->nodes[i].name, "it has no vote: it can't be promoted, and no commit "
						 "waits for it\tregent node add %s; or take its section out of %s", config->nodes[i].name, config->file);
	for (char *name; (name = strtok_r(rest, " ", &rest)) != NULL;)
		if (rg_config_node(config, name) < 0)
			rg_check_say(check, RG_FINDING_FAILED, name, "it votes by the rule in force, but has no section in %s"
						 "\tadd it; regent node remove %s takes it out of the cluster", config->file, name);
}

void
rg_check_stream(RgCheck *check, int node, RgSession *session)
{
	if (check->nodes[node].is_standby)
		check_receiver(check, node, session);
	else
		check_votes(check, session);
	check_slots(check, node, session);
}
