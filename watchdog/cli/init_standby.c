/*
 * init_standby.c
 *	  A standby is told from whom it streams, as whom and with which slot.
 *
 * Changed by ALTER SYSTEM and a reload, without a restart.  If it then does
 * not stream in time (pg_hba.conf, passfile), its former settings are put back:
 * a standby that streamed before init streams after it.
 */
#include "init.h"
#include "../app/conninfo.h"
#include "../base/clock.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define POLL_MS 200

typedef struct Wish
{
	char		conninfo[RG_CONNINFO_MAX];
	char		slot[RG_NAME_MAX + 8];
} Wish;

typedef struct Former
{
	char	   *conninfo;		/* may hold a password: wiped and freed, never printed */
	char		slot[128];
	bool		is_from_auto_conf;
} Former;

static int
alter(RgInit *init, int node, const char *setting, const char *value, RgError *err)
{
	PGconn	   *conn = init->nodes[node].session.conn;
	char	   *literal = conn != NULL && value != NULL ? PQescapeLiteral(conn, value, strlen(value)) : NULL;
	size_t		size = literal != NULL ? strlen(literal) + 128 : 128;
	char	   *sql = malloc(size);
	int			rc;

	if (sql == NULL || (value != NULL && literal == NULL))
		rc = rg_error_set(err, RGE_STATE, "the session with %s is gone", init->config->nodes[node].name);
	else
	{
		if (value == NULL)
			snprintf(sql, size, "ALTER SYSTEM RESET %s", setting);
		else
			snprintf(sql, size, "ALTER SYSTEM SET %s = %s", setting, literal);
		rc = rg_init_exec(init, node, sql, err);
		explicit_bzero(sql, size);
	}
	if (literal != NULL)
		explicit_bzero(literal, strlen(literal));
	PQfreemem(literal);
	free(sql);
	return rc;
}

static int
apply(RgInit *init, int node, const char *conninfo, const char *slot, RgError *err)
{
	int			rc = alter(init, node, "primary_conninfo", conninfo, err);

	if (rc == 0)
		rc = alter(init, node, "primary_slot_name", slot, err);
	if (rc == 0)
		rc = rg_init_exec(init, node, "SELECT pg_reload_conf()", err);
	return rc;
}

static int
read_former(RgInit *init, int node, Former *ret, RgError *err)
{
	const char *name = init->config->nodes[node].name;
	PGresult   *row;
	int			rc = rg_session_query(&init->nodes[node].session,
									  "SELECT c.setting, s.setting, coalesce(c.sourcefile LIKE '%/postgresql.auto.conf', false),"
									  " c.source FROM pg_settings c, pg_settings s"
									  " WHERE c.name = 'primary_conninfo' AND s.name = 'primary_slot_name'",
									  0, NULL, RG_SESSION_QUERY_MS, &row, err);

	if (rc != 0)
		return rc;
	if (PQntuples(row) != 1 || strcmp(PQgetvalue(row, 0, 3), "command line") == 0)
	{
		rc = rg_error_set(err, RGE_STATE, "%s: primary_conninfo is set on the server's command line", name);
		rg_error_hint(err, "Take it out of the server's start options and restart it.");
	}
	else
	{
		ret->conninfo = strdup(PQgetvalue(row, 0, 0));
		snprintf(ret->slot, sizeof(ret->slot), "%s", PQgetvalue(row, 0, 1));
		ret->is_from_auto_conf = strcmp(PQgetvalue(row, 0, 2), "t") == 0;
		if (ret->conninfo == NULL)
			rc = rg_error_set(err, RGE_NOMEM, "out of memory");
	}
	PQclear(row);
	return rc;
}

/* Polls until the query says t; RGE_TIMEOUT past the deadline.  A session that breaks ends it. */
static int
wait_true(RgInit *init, int node, const char *sql, const char *param, int64_t deadline, RgError *err)
{
	const struct timespec pause = {.tv_nsec = POLL_MS * 1000 * 1000};

	for (;;)
	{
		char		answer[8];
		int			rc = rg_init_value(init, node, sql, param, answer, sizeof(answer), err);

		if (rc != 0)
			return rc;
		if (strcmp(answer, "t") == 0)
			return 0;
		if (rg_clock_now_ms() >= deadline)
			return rg_error_set(err, RGE_TIMEOUT, "not in time");
		nanosleep(&pause, NULL);
	}
}

static const char streams_sql[] =
	"SELECT count(*) > 0 FROM pg_stat_wal_receiver WHERE status = 'streaming' AND slot_name = $1";

static int
explain_no_stream(const RgInit *init, int node, const Wish *wish, RgError *err)
{
	const RgConfig *config = init->config;
	const char *name = config->nodes[node].name;
	char		seconds[32];

	snprintf(seconds, sizeof(seconds), "%lld", (long long) (init->timeout_ms / 1000));
	rg_error_set(err, RGE_TIMEOUT, "%s did not stream with slot %s within %s s; its former settings are back",
				 name, wish->slot, seconds);
	rg_error_detail(err, "The reason stands in %s's log.", name);
	rg_error_hint(err, "Usual causes: no line \"host replication %s ADDRESS scram-sha-256\" in pg_hba.conf of %s; "
				  "no line for %s in passfile %.150s on %s, or its mode is not 0600.",
				  config->replication_user, config->nodes[init->primary].name, config->replication_user,
				  config->replication_passfile[0] != '\0' ? config->replication_passfile : "~postgres/.pgpass", name);
	return RGE_TIMEOUT;
}

static int
redirect(RgInit *init, int node, const Wish *wish, const Former *former, RgError *err)
{
	const char *name = init->config->nodes[node].name;
	int			rc = apply(init, node, wish->conninfo, wish->slot, err);

	if (rc != 0)
		return rc;
	rg_init_act(init, true, name, "set primary_conninfo to %s, primary_slot_name to %s, reloaded",
				init->config->nodes[init->primary].name, wish->slot);
	rc = wait_true(init, node, streams_sql, wish->slot, rg_clock_now_ms() + init->timeout_ms, err);
	if (rc != RGE_TIMEOUT || init->nodes[node].session.conn == NULL)
		return rc;
	apply(init, node, former->is_from_auto_conf ? former->conninfo : NULL,
		  former->is_from_auto_conf ? former->slot : NULL, NULL);
	return explain_no_stream(init, node, wish, err);
}

/* Its settings, and that it streams by them. */
static int
ensure_stream(RgInit *init, int node, const Wish *wish, RgError *err)
{
	const char *name = init->config->nodes[node].name;
	Former		former = {0};
	char		streams[8] = "";
	int			rc = read_former(init, node, &former, err);

	if (rc == 0)
		rc = rg_init_value(init, node, streams_sql, wish->slot, streams, sizeof(streams), err);
	if (rc == 0)
	{
		if (strcmp(streams, "t") == 0 && strcmp(former.slot, wish->slot) == 0
			&& rg_conninfo_equal(former.conninfo, wish->conninfo))
			rg_init_act(init, false, name, "it streams from %s with slot %s",
						init->config->nodes[init->primary].name, wish->slot);
		else
		{
			rc = redirect(init, node, wish, &former, err);
			if (rc == 0)
				rg_init_act(init, false, name, "it streams from %s with slot %s",
							init->config->nodes[init->primary].name, wish->slot);
			if (rc == 0 && former.slot[0] != '\0' && strcmp(former.slot, wish->slot) != 0)
				rg_init_warn(init, name, "its former slot \"%s\" is not used any more and keeps WAL; on its former "
							 "upstream: SELECT pg_drop_replication_slot('%s')", former.slot, former.slot);
		}
	}
	if (former.conninfo != NULL)
		explicit_bzero(former.conninfo, strlen(former.conninfo));
	free(former.conninfo);
	return rc;
}

int
rg_init_standby(RgInit *init, int node, RgError *err)
{
	const char *name = init->config->nodes[node].name;
	Wish		wish;
	int			rc;

	rg_conninfo_replication(init->config, node, init->primary, wish.conninfo, sizeof(wish.conninfo));
	snprintf(wish.slot, sizeof(wish.slot), "regent_%s", name);
	rc = ensure_stream(init, node, &wish, err);
	if (rc != 0)
		return rc;
	rc = wait_true(init, node, "SELECT count(*) > 0 FROM pg_extension WHERE extname = 'pg_regent'", NULL,
				   rg_clock_now_ms() + init->timeout_ms, err);
	if (rc == RGE_TIMEOUT)
	{
		rg_error_set(err, RGE_TIMEOUT, "%s did not replay the creation of the extension in time", name);
		rg_error_hint(err, "Is its replay paused or delayed?  SELECT pg_is_wal_replay_paused(); "
					  "SHOW recovery_min_apply_delay");
	}
	return rc;
}
