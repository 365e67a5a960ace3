/*
 * check_server.c
 *	  One server, asked over SQL as regentd asks it.
 *
 * One query brings the settings, one row each is judged by a table; the
 * rest is what a setting can't tell: rights, the extension, the heartbeat.
 */
#include "check.h"
#include "../app/facts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Everything that needs no extension, in one row of text. */
static const char facts_sql[] =
	"SELECT current_setting('server_version_num') AS version,"
	" pg_is_in_recovery() AS is_standby,"
	" (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier,"
	" floor(extract(epoch FROM pg_postmaster_start_time()))::bigint::text AS start_epoch,"
	" coalesce(current_setting('shared_preload_libraries', true), '') AS preload,"
	" coalesce(current_setting('regent.node_name', true), '') AS node_name,"
	" coalesce(current_setting('regent.database', true), '') AS database,"
	" coalesce((SELECT extversion FROM pg_extension WHERE extname = 'pg_regent'), '') AS extension,"
	" coalesce((SELECT pg_has_role(oid, 'USAGE') FROM pg_roles WHERE rolname = 'regent_watchdog'), false)"
	"  AS is_watchdog,"
	" pg_has_role('pg_monitor', 'USAGE') AS is_monitor,"
	" (SELECT rolcanlogin AND rolreplication FROM pg_roles WHERE rolname = $1) AS may_replicate,"
	" (SELECT bool_and(has_function_privilege(r.oid, f.oid, 'EXECUTE'))"
	"  FROM pg_roles r, pg_proc f, pg_namespace n WHERE r.rolname = $1 AND n.oid = f.pronamespace"
	"  AND (n.nspname = 'regent' AND f.proname IN ('copy_files', 'copy_compare', 'rewind_ls_dir') OR n.nspname = 'pg_catalog'"
	"  AND f.oid::regprocedure::text IN ('pg_ls_dir(text,boolean,boolean)', 'pg_stat_file(text,boolean)',"
	"   'pg_backup_start(text,boolean)', 'pg_backup_stop(boolean)',"
	"   'pg_read_binary_file(text)', 'pg_read_binary_file(text,bigint,bigint,boolean)'))) AS may_rewind,"
	" (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS is_superuser";

/* A column of the only row of a result. */
static const char *
column(const PGresult *row, const char *name)
{
	int			i = PQfnumber(row, name);

	return i >= 0 && PQntuples(row) > 0 ? PQgetvalue(row, 0, i) : "";
}

static bool
is_true(const PGresult *row, const char *name)
{
	return strcmp(column(row, name), "t") == 0;
}

/* Settings as numbers in their own unit (ms, s, count), from pg_settings. */
typedef struct Settings
{
	PGresult   *rows;			/* name, setting, source */
} Settings;

static const char *
setting(const Settings *s, const char *name)
{
	for (int i = 0; i < PQntuples(s->rows); i++)
		if (strcmp(PQgetvalue(s->rows, i, 0), name) == 0)
			return PQgetvalue(s->rows, i, 1);
	return "";
}

/* Is the setting fixed by the server's command line, where ALTER SYSTEM can't change it? */
static bool
is_fixed(const Settings *s, const char *name)
{
	for (int i = 0; i < PQntuples(s->rows); i++)
		if (strcmp(PQgetvalue(s->rows, i, 0), name) == 0)
			return strcmp(PQgetvalue(s->rows, i, 2), "command line") == 0
				|| strcmp(PQgetvalue(s->rows, i, 2), "environment variable") == 0;
	return false;
}

static void
check_extension(RgCheck *check, int node, const PGresult *facts)
{
	const char *name = check->config->nodes[node].name;
	RgCheckNode *n = &check->nodes[node];
	bool		is_loaded = strstr(column(facts, "preload"), "pg_regent") != NULL;

	if (!is_loaded)
		rg_check_say(check, RG_FINDING_FAILED, name, "the library is not loaded\tadd pg_regent to "
					 "shared_preload_libraries (now \"%s\") and restart the server", column(facts, "preload"));
	if (*column(facts, "extension") == '\0')
		rg_check_say(check, RG_FINDING_FAILED, name, "the extension is not created in database %s\tregent init",
					 check->config->database);
	n->is_loaded = is_loaded;
	n->has_extension = is_loaded && *column(facts, "extension") != '\0';
	if (n->has_extension)
		rg_check_say(check, RG_FINDING_OK, name, "pg_regent %s is loaded and created", column(facts, "extension"));
	if (!is_loaded)
		return;
	if (strcmp(column(facts, "node_name"), name) == 0)
		rg_check_say(check, RG_FINDING_OK, name, "regent.node_name is %s", name);
	else
		rg_check_say(check, RG_FINDING_FAILED, name, "regent.node_name is \"%s\"\tset regent.node_name = '%s' "
					 "in postgresql.conf and restart the server%s", column(facts, "node_name"), name,
					 *column(facts, "node_name") != '\0' ? ", or correct host and port of the node in regent.conf" : "");
	if (strcmp(column(facts, "database"), check->config->database) != 0)
		rg_check_say(check, RG_FINDING_FAILED, name, "regent.database is \"%s\", but regent.conf says database = %s"
					 "\tmake them equal; regent.database needs a restart of the server",
					 column(facts, "database"), check->config->database);
}

static void
check_rights(RgCheck *check, int node, const PGresult *facts)
{
	const RgConfig *config = check->config;
	const char *name = config->nodes[node].name;

	if (!is_true(facts, "is_watchdog"))
		rg_check_say(check, RG_FINDING_FAILED, name, "role %s is no member of regent_watchdog"
					 "\tregent init, or on the primary: GRANT regent_watchdog TO \"%s\"", config->user, config->user);
	if (!is_true(facts, "is_monitor"))
		rg_check_say(check, RG_FINDING_FAILED, name, "role %s is no member of pg_monitor"
					 "\tregent init, or on the primary: GRANT pg_monitor TO \"%s\"", config->user, config->user);
	if (is_true(facts, "is_watchdog") && is_true(facts, "is_monitor"))
		rg_check_say(check, RG_FINDING_OK, name, "role %s is in regent_watchdog and pg_monitor", config->user);
	if (is_true(facts, "is_superuser"))
		rg_check_say(check, RG_FINDING_WARNING, name, "role %s is a superuser, which regentd does not need"
					 "\tALTER ROLE \"%s\" NOSUPERUSER", config->user, config->user);
	if (!is_true(facts, "may_replicate"))
		rg_check_say(check, RG_FINDING_FAILED, name, "role %s %s\tregent init, or on the primary: %s ROLE \"%s\" "
					 "LOGIN REPLICATION", config->replication_user,
					 *column(facts, "may_replicate") == '\0' ? "does not exist" : "may not replicate",
					 *column(facts, "may_replicate") == '\0' ? "CREATE" : "ALTER", config->replication_user);
	else if (!is_true(facts, "may_rewind"))
		rg_check_say(check, RG_FINDING_WARNING, name, "role %s may not execute the functions that pg_rewind and delta copies need"
					 "\tregent init", config->replication_user);
	else
		rg_check_say(check, RG_FINDING_OK, name, "role %s may replicate", config->replication_user);
}

typedef struct Limit
{
	const char *name;
	int64_t		least;			/* at least this, or 0 */
	int64_t		most;			/* at most this, or 0 */
	RgFinding	verdict;		/* when it is not */
	const char *why;
	const char *advice;			/* as it should be written */
	const char *unit;			/* of pg_settings.setting */
	bool		needs_restart;
} Limit;

static void
check_numbers(RgCheck *check, int node, const Settings *s)
{
	const char *name = check->config->nodes[node].name;
	int			others = check->config->nnodes - 1;
	bool		is_mute = strcmp(setting(s, "wal_receiver_status_interval"), "0") == 0;
	char		senders[32];
	char		slots[32];
	const Limit limits[] = {
		{"max_wal_senders", others + 2, 0, RG_FINDING_FAILED,
		"too few for every other node, a base backup and its WAL stream", senders, "", true},
		{"max_replication_slots", others + 1, 0, RG_FINDING_FAILED,
		"too few for every other node and a base backup", slots, "", true},
		{"wal_retrieve_retry_interval", 0, 1000, RG_FINDING_WARNING,
		"a standby may sleep so long before it follows a new primary", "10ms", "ms", false},
		{"wal_receiver_status_interval", 1, 2, is_mute ? RG_FINDING_FAILED : RG_FINDING_WARNING,
			is_mute ? "as a standby it never says what it has flushed, so it counts for no commit and no lease" :
		"the primary hears so seldom from its standbys", "1s", "s", false},
	};

	snprintf(senders, sizeof(senders), "%d", others + 2 > 10 ? others + 2 : 10);
	snprintf(slots, sizeof(slots), "%d", others + 1 > 10 ? others + 1 : 10);
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
	{
		const Limit *l = &limits[i];
		int64_t		value = strtoll(setting(s, l->name), NULL, 10);

		if ((l->least == 0 || value >= l->least) && (l->most == 0 || value <= l->most))
			rg_check_say(check, RG_FINDING_OK, name, "%s is %" PRId64 "%s", l->name, value, l->unit);
		else
			rg_check_say(check, l->verdict, name, "%s is %" PRId64 "%s: %s\tset %s = %s and %s", l->name, value,
						 l->unit, l->why, l->name, l->advice,
						 l->needs_restart ? "restart the server" : "reload: SELECT pg_reload_conf()");
	}
}

const char *const rg_check_limits[RG_CHECK_LIMITS] = {
	"max_connections", "max_worker_processes", "max_wal_senders", "max_prepared_transactions",
	"max_locks_per_transaction"
};

static void
check_settings(RgCheck *check, int node, const Settings *s)
{
	const char *name = check->config->nodes[node].name;
	static const char *const must_change[] = {"primary_conninfo", "primary_slot_name", "restore_command"};

	for (int i = 0; i < RG_CHECK_LIMITS; i++)
		check->nodes[node].limits[i] = atoi(setting(s, rg_check_limits[i]));
	check_numbers(check, node, s);
	if (strcmp(setting(s, "hot_standby"), "on") == 0)
		rg_check_say(check, RG_FINDING_OK, name, "hot_standby is on");
	else
		rg_check_say(check, RG_FINDING_FAILED, name, "hot_standby is off: as a standby it could not be asked"
					 "\tset hot_standby = on and restart the server");
	if (strcmp(setting(s, "wal_level"), "minimal") == 0)
		rg_check_say(check, RG_FINDING_FAILED, name, "wal_level is minimal\tset wal_level = replica and restart the server");
	if (strcmp(setting(s, "wal_log_hints"), "on") == 0 || strcmp(setting(s, "data_checksums"), "on") == 0)
		rg_check_say(check, RG_FINDING_OK, name, "%s",
					 strcmp(setting(s, "data_checksums"), "on") == 0 ? "data checksums are on" : "wal_log_hints is on");
	else
		rg_check_say(check, RG_FINDING_WARNING, name, "neither wal_log_hints nor data checksums are on, so a diverged "
					 "node can only be copied, never rewound\tset wal_log_hints = on and restart the server");
	for (size_t i = 0; i < sizeof(must_change) / sizeof(must_change[0]); i++)
		if (is_fixed(s, must_change[i]))
			rg_check_say(check, RG_FINDING_FAILED, name, "%s is set on the server's command line, so nobody can "
						 "change it\ttake it out of the server's start options and restart the server", must_change[i]);
}

/* What stands in the rule counts; the configuration must not say otherwise. */
static void
compare_rule(RgCheck *check, int node, const char *text)
{
	const RgConfig *config = check->config;
	const char *name = config->nodes[node].name;
	json_t	   *json = json_loads(text, 0, NULL);
	RgRule		rule;

	if (!check->nodes[node].is_standby && rg_facts_rule(json, &rule))
	{
		if (strcmp(rule.durability, config->durability) != 0
			|| (strcmp(rule.durability, "async") != 0 && rule.quorum != config->quorum))
			rg_check_say(check, RG_FINDING_WARNING, name, "the rule says durability %s with quorum %d, regent.conf says %s "
						 "with %d: the rule counts, the file is what regent init writes\tregent set durability %s and "
						 "regent set quorum %d, or write durability = %s and quorum = %d into the file",
						 rule.durability, rule.quorum, config->durability, config->quorum, config->durability,
						 config->quorum, rule.durability, rule.quorum);
		if (rule.lease_ms != config->lease_ms)
			rg_check_say(check, RG_FINDING_WARNING, name, "the rule's lease is %" PRId64 " ms, that of regent.conf %" PRId64
						 " ms\tsystemctl reload regentd: it writes a rule with the new one", rule.lease_ms, config->lease_ms);
	}
	json_decref(json);
}

/* The heartbeat itself, with our identity: it changes nothing and shows the very postmaster. */
static void
check_heartbeat(RgCheck *check, int node, RgSession *session)
{
	const char *name = check->config->nodes[node].name;
	RgCheckNode *n = &check->nodes[node];
	char		counter[32];
	const char *values[2] = {check->identity.id, counter};
	PGresult   *row;
	RgError		err = {0};

	if (!check->has_identity)
		return;
	snprintf(counter, sizeof(counter), "%" PRId64, check->identity.counter);
	if (rg_session_query(session, "SELECT boot_id, postmaster_pid, rule FROM regent.heartbeat($1, $2, NULL, NULL, NULL, NULL)",
						 2, values, RG_SESSION_QUERY_MS, &row, &err) == 0)
	{
		snprintf(n->boot_id, sizeof(n->boot_id), "%s", column(row, "boot_id"));
		snprintf(n->postmaster_pid, sizeof(n->postmaster_pid), "%s", column(row, "postmaster_pid"));
		compare_rule(check, node, column(row, "rule"));
		PQclear(row);
		rg_check_say(check, RG_FINDING_OK, name, "it answers heartbeats");
	}
	else if (strcmp(session->sqlstate, "RG002") == 0)
		rg_check_say(check, RG_FINDING_FAILED, name, "it obeys another watchdog: %s\trun the watchdog with the state "
					 "directory that the nodes know; this one is %s", err.detail[0] != '\0' ? err.detail : err.message,
					 check->config->state_directory);
	else
		rg_check_say(check, RG_FINDING_FAILED, name, "heartbeat refused: %s\t%s", err.message, err.hint);
}

/* Of all disks of the server: the helper sees that of the data directory only. */
static void
check_disk(RgCheck *check, int node, RgSession *session)
{
	const char *name = check->config->nodes[node].name;
	PGresult   *row;
	RgError		err = {0};

	if (rg_session_query(session, "SELECT disk_state, disk_text FROM regent.node_status()", 0, NULL,
						 RG_SESSION_QUERY_MS, &row, &err) != 0)
		return;					/* check_rule says why */
	if (strcmp(column(row, "disk_state"), "ok") == 0)
		rg_check_say(check, RG_FINDING_OK, name, "its disks take writes: %s", column(row, "disk_text"));
	else if (*column(row, "disk_state") != '\0')
		rg_check_say(check, RG_FINDING_WARNING, name, "its disk is %s: %s\tfree some space there, or see the kernel log; "
					 "regent.disk_reserve says below what it counts as full", column(row, "disk_state"),
					 column(row, "disk_text"));
	else
		rg_check_say(check, RG_FINDING_WARNING, name, "nobody has looked at its disks yet\tsee whether the process "
					 "\"pg_regent probe\" runs there: max_worker_processes may be too small");
	PQclear(row);
}

static void
check_rule(RgCheck *check, int node, RgSession *session)
{
	const char *name = check->config->nodes[node].name;
	char		term[32] = "";
	RgError		err = {0};

	if (rg_session_value(session, "SELECT coalesce(term, 0)::text FROM regent.node_status()", 0, NULL,
						 term, sizeof(term), &err) != 0)
	{
		rg_check_say(check, RG_FINDING_FAILED, name, "regent.node_status() fails: %s\t%s", err.message, err.hint);
		return;
	}
	check->nodes[node].term = strtoll(term, NULL, 10);
	if (check->nodes[node].term > 0)
		rg_check_say(check, RG_FINDING_OK, name, "it holds the rule of term %s", term);
	else
		rg_check_say(check, RG_FINDING_FAILED, name, "it holds no rule yet\tregent init");
}

static void
check_open_server(RgCheck *check, int node, RgSession *session)
{
	const char *name = check->config->nodes[node].name;
	RgCheckNode *n = &check->nodes[node];
	const char *values[1] = {check->config->replication_user};
	Settings	settings = {0};
	PGresult   *facts;
	RgError		err = {0};

	if (rg_session_query(session, facts_sql, 1, values, RG_SESSION_QUERY_MS, &facts, &err) != 0)
	{
		rg_check_say(check, RG_FINDING_FAILED, name, "%s\t%s", err.message, err.hint);
		return;
	}
	n->answers = true;
	n->is_standby = is_true(facts, "is_standby");
	n->version = atoi(column(facts, "version"));
	snprintf(n->system_identifier, sizeof(n->system_identifier), "%s", column(facts, "system_identifier"));
	snprintf(n->start_epoch, sizeof(n->start_epoch), "%s", column(facts, "start_epoch"));
	check_extension(check, node, facts);
	check_rights(check, node, facts);
	PQclear(facts);

	if (rg_session_query(session, "SELECT name, setting, source FROM pg_settings", 0, NULL,
						 RG_SESSION_QUERY_MS, &settings.rows, &err) == 0)
	{
		check_settings(check, node, &settings);
		PQclear(settings.rows);
	}
	else
		rg_check_say(check, RG_FINDING_FAILED, name, "settings can't be read: %s\t%s", err.message, err.hint);
	if (n->has_extension)
	{
		check_heartbeat(check, node, session);
		check_rule(check, node, session);
		check_disk(check, node, session);
	}
	if (n->is_loaded)
		rg_check_gate(check, node, session);
	rg_check_stream(check, node, session);
	rg_check_slots(check, node, session);
	rg_check_logical(check, node, session);
}

void
rg_check_server(RgCheck *check, int node)
{
	const RgNodeConfig *config = &check->config->nodes[node];
	RgSession	session;
	RgError		err = {0};

	if (rg_session_open(&session, check->config, node, NULL, &err) != 0)
	{
		rg_check_say(check, RG_FINDING_FAILED, config->name, "no login as %s: %s%s%s%s\t%s", check->config->user,
					 err.message, err.detail[0] != '\0' ? " (" : "", err.detail, err.detail[0] != '\0' ? ")" : "",
					 !check->has_identity && strncmp(session.sqlstate, "28", 2) == 0 ? "regent init makes the role" :
					 err.hint[0] != '\0' ? err.hint : "look into the server's log");
		return;
	}
	rg_check_say(check, RG_FINDING_OK, config->name, "login as %s at %s port %d", check->config->user,
				 config->host, config->port);
	check_open_server(check, node, &session);
	rg_session_close(&session);
}
