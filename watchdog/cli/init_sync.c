/*
 * init_sync.c
 *	  synchronous_standby_names, for a cluster whose commits wait for standbys.
 *
 * The same list on every node, set ahead of time, so that a promotion changes
 * nothing; a node's own name in it does no harm.  PostgreSQL's wait is only where
 * a commit usually waits: what counts is counted by the gate.  In async the
 * setting is left alone.
 */
#include "init.h"
#include "sync_names.h"

#include <stdlib.h>
#include <string.h>

/* Commits would wait for ever with fewer standbys than the quorum. */
static int
check_standbys(const RgInit *init, RgError *err)
{
	const RgConfig *config = init->config;
	int			standbys = 0;
	int			rc;

	for (int i = 0; i < config->nnodes; i++)
		standbys += init->nodes[i].answers && i != init->primary && !rg_config_cascades(config, i);
	if (standbys >= config->quorum)
		return 0;
	rc = rg_error_set(err, RGE_STATE, "durability = %s with quorum = %d needs as many standbys, but %d stream%s",
					  config->durability, config->quorum, standbys, standbys == 1 ? "s" : "");
	rg_error_hint(err, "Start the other standbys, then run regent init again: it goes on from here.");
	return rc;
}

static int
set_names(RgInit *init, int node, const char *wish, RgError *err)
{
	const char *name = init->config->nodes[node].name;
	char		sql[RG_SYNC_NAMES_MAX + 64];
	PGresult   *row;
	bool		is_so;
	bool		is_fixed;
	int			rc = rg_session_query(&init->nodes[node].session,
									  "SELECT setting, source FROM pg_settings WHERE name = 'synchronous_standby_names'",
									  0, NULL, RG_SESSION_QUERY_MS, &row, err);

	if (rc != 0)
		return rc;
	is_so = PQntuples(row) == 1 && strcmp(PQgetvalue(row, 0, 0), wish) == 0;
	is_fixed = PQntuples(row) == 1 && strcmp(PQgetvalue(row, 0, 1), "command line") == 0;
	PQclear(row);
	if (is_so)
	{
		rg_init_act(init, false, name, "synchronous_standby_names is %s", wish);
		return 0;
	}
	if (is_fixed)
	{
		rc = rg_error_set(err, RGE_STATE, "%s: synchronous_standby_names is set on the server's command line", name);
		rg_error_hint(err, "Take it out of the server's start options and restart it.");
		return rc;
	}
	snprintf(sql, sizeof(sql), "ALTER SYSTEM SET synchronous_standby_names = '%s'", wish);
	rc = rg_init_exec(init, node, sql, err);
	if (rc == 0)
		rc = rg_init_exec(init, node, "SELECT pg_reload_conf()", err);
	if (rc == 0)
		rg_init_act(init, true, name, "set synchronous_standby_names to %s, reloaded", wish);
	return rc;
}

int
rg_init_sync(RgInit *init, RgError *err)
{
	const RgConfig *config = init->config;
	char		wish[RG_SYNC_NAMES_MAX];
	int			rc;

	if (strcmp(config->durability, "async") == 0)
		return 0;
	rc = check_standbys(init, err);
	rg_sync_names(config, wish, sizeof(wish));
	/* standbys first: whoever is promoted in between has it */
	for (int i = 0; rc == 0 && i < config->nnodes; i++)
		if (i != init->primary && init->nodes[i].answers)
			rc = set_names(init, i, wish, err);
	if (rc == 0)
		rc = set_names(init, init->primary, wish, err);
	return rc;
}
