/*
 * init_survey.c
 *	  Looks at every node before anything is changed.
 *
 * A node that does not answer is no obstacle (it may be built later), unless
 * it is the primary that nobody finds; a node that answers and is not fit is
 * one, with the line to add.
 */
#include "init.h"

#include <stdlib.h>
#include <string.h>

typedef struct Facts
{
	char		system_identifier[32];
	char		version[16];
	char		preload[512];
	char		node_name[RG_NAME_MAX];
	char		database[RG_NAME_MAX];
	char		is_superuser[8];
	char		gate[8];		/* regent.gate; "" = not loaded */
	char		has_state[8];	/* its state file is there */
	char		adopting[8];	/* regent.adopting is in force */
	char		in_an_hour[48]; /* in the server's clock */
} Facts;

/*
 * Our session must not wait for standbys that do not stream yet, not wait for
 * a lock for ever, and leave no verifier in a log.
 */
static int
prepare_session(RgInit *init, int node, RgError *err)
{
	static const char *const settings[] = {
		"SET synchronous_commit TO local",
		"SET lock_timeout TO '5s'",
		"SET log_statement TO 'none'",
		"SET log_min_duration_statement TO -1",
		"SET log_min_error_statement TO 'panic'",
		"SET log_duration TO off",
	};

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
	{
		int			rc = rg_init_exec(init, node, settings[i], err);

		if (rc != 0)
			return rc;
	}
	/* only where that module is loaded is this a setting that means something */
	rg_init_exec(init, node, "SELECT set_config('pg_stat_statements.track', 'none', false)", NULL);
	return 0;
}

static void
copy_field(const PGresult *row, int field, char *buf, size_t size)
{
	snprintf(buf, size, "%s", PQgetvalue(row, 0, field));
}

static int
read_facts(RgInit *init, int node, Facts *ret, RgError *err)
{
	PGresult   *row;
	char		role[8];
	int			rc = rg_session_query(&init->nodes[node].session,
									  "SELECT pg_is_in_recovery(), (SELECT system_identifier FROM pg_control_system()),"
									  " current_setting('server_version_num')::int / 10000,"
									  " current_setting('is_superuser'),"
									  " coalesce(current_setting('shared_preload_libraries', true), ''),"
									  " coalesce(current_setting('regent.node_name', true), ''),"
									  " coalesce(current_setting('regent.database', true), ''),"
									  " coalesce(current_setting('regent.gate', true), ''),"
									  " (pg_stat_file('regent.state', true)).size IS NOT NULL,"
									  " coalesce(nullif(current_setting('regent.adopting', true), '')::timestamptz"
									  "  BETWEEN now() AND now() + interval '1 day', false),"
									  " to_char(now() + interval '1 hour', 'YYYY-MM-DD HH24:MI:SSOF')",
									  0, NULL, RG_SESSION_QUERY_MS, &row, err);

	if (rc != 0)
		return rc;
	copy_field(row, 0, role, sizeof(role));
	copy_field(row, 1, ret->system_identifier, sizeof(ret->system_identifier));
	copy_field(row, 2, ret->version, sizeof(ret->version));
	copy_field(row, 3, ret->is_superuser, sizeof(ret->is_superuser));
	copy_field(row, 4, ret->preload, sizeof(ret->preload));
	copy_field(row, 5, ret->node_name, sizeof(ret->node_name));
	copy_field(row, 6, ret->database, sizeof(ret->database));
	copy_field(row, 7, ret->gate, sizeof(ret->gate));
	copy_field(row, 8, ret->has_state, sizeof(ret->has_state));
	copy_field(row, 9, ret->adopting, sizeof(ret->adopting));
	copy_field(row, 10, ret->in_an_hour, sizeof(ret->in_an_hour));
	PQclear(row);
	init->nodes[node].is_standby = strcmp(role, "t") == 0;
	return 0;
}

/*
 * A server with a node's name and nothing to remember is closed for writes, and
 * one that held a rule has lost its memory, unless somebody says that it is
 * new.  Returns the number of lacks.
 */
static int
judge_adopting(const RgInit *init, int node, const Facts *facts)
{
	const char *name = init->config->nodes[node].name;

	if (strcmp(facts->gate, "on") != 0 || strcmp(facts->has_state, "t") == 0 || strcmp(facts->adopting, "t") == 0)
		return 0;
	fprintf(stderr, "regent: error: %s: it is no node of a cluster yet, and regent.adopting is not in force\n"
			"HINT:  On %s: ALTER SYSTEM SET regent.adopting = '%s'; SELECT pg_reload_conf();  (an end time, at most "
			"a day ahead: until then a server without rule and state may take part)\n", name, name, facts->in_an_hour);
	return 1;
}

/* What one server lacks; each lack is printed, with the line to add.  Returns how many. */
static int
judge_server(const RgInit *init, int node, const Facts *facts)
{
	const char *name = init->config->nodes[node].name;
	int			lacks = 0;

	if (strcmp(facts->is_superuser, "on") != 0)
	{
		fprintf(stderr, "regent: error: %s: role \"%s\" is no superuser\n"
				"HINT:  Name one with --admin-conninfo 'user=…'.\n", name, init->nodes[node].session.user);
		return 1;
	}
	if (strstr(facts->preload, "pg_regent") == NULL)
	{
		fprintf(stderr, "regent: error: %s: the library pg_regent is not loaded\n"
				"HINT:  In %s's postgresql.conf set  shared_preload_libraries = '%s%spg_regent'  and "
				"regent.node_name = '%s'  and restart the server.\n", name, name, facts->preload,
				*facts->preload != '\0' ? "," : "", name);
		return 1;
	}
	if (strcmp(facts->node_name, name) != 0)
	{
		fprintf(stderr, "regent: error: %s: regent.node_name is \"%s\"\n"
				"HINT:  In %s's postgresql.conf set  regent.node_name = '%s'  and restart the server; "
				"or correct the node's host and port in %s.\n",
				name, facts->node_name, name, name, init->config->file);
		lacks++;
	}
	if (strcmp(facts->database, init->config->database) != 0)
	{
		fprintf(stderr, "regent: error: %s: regent.database is \"%s\", but database = %s in %s\n"
				"HINT:  Make them equal; regent.database needs a restart of the server.\n",
				name, facts->database, init->config->database, init->config->file);
		lacks++;
	}
	return lacks + judge_adopting(init, node, facts);
}

/* Connects to one node and judges it; returns the number of lacks. */
static int
survey_node(RgInit *init, int node, Facts *ret_facts)
{
	RgInitNode *n = &init->nodes[node];
	const char *name = init->config->nodes[node].name;
	RgError		err = {0};

	if (rg_session_open(&n->session, init->config, node, init->conninfo, &err) != 0
		|| prepare_session(init, node, &err) != 0 || read_facts(init, node, ret_facts, &err) != 0)
	{
		bool		is_there = n->session.sqlstate[0] != '\0' || err.code == RGE_ARGUMENT;

		snprintf(n->problem, sizeof(n->problem), "%s", err.message);
		rg_session_close(&n->session);
		if (!is_there)
			return 0;			/* it may be down, or not be built yet */
		fprintf(stderr, "regent: error: %s: no login as superuser: %s\n", name, err.message);
		if (err.detail[0] != '\0')
			fprintf(stderr, "DETAIL:  %s\n", err.detail);
		fprintf(stderr, "HINT:  %s\n", err.hint[0] != '\0' ? err.hint :
				"Name a superuser that may log in from here with --admin-conninfo 'user=…'.");
		return 1;
	}
	n->answers = true;
	return judge_server(init, node, ret_facts);
}

/* One system, one major version.  Returns the number of lacks. */
static int
compare(const RgInit *init, const Facts *facts)
{
	int			first = -1;
	int			lacks = 0;

	for (int i = 0; i < init->config->nnodes; i++)
	{
		if (!init->nodes[i].answers)
			continue;
		if (first < 0)
		{
			first = i;
			continue;
		}
		if (strcmp(facts[i].system_identifier, facts[first].system_identifier) == 0
			&& strcmp(facts[i].version, facts[first].version) == 0)
			continue;
		fprintf(stderr, "regent: error: %s is no copy of %s\n"
				"DETAIL:  %s: PostgreSQL %s, system identifier %s.  %s: PostgreSQL %s, system identifier %s.\n"
				"HINT:  Correct host and port in %s, or make the standby anew with pg_basebackup.\n",
				init->config->nodes[i].name, init->config->nodes[first].name,
				init->config->nodes[first].name, facts[first].version, facts[first].system_identifier,
				init->config->nodes[i].name, facts[i].version, facts[i].system_identifier, init->config->file);
		lacks++;
	}
	return lacks;
}

static int
find_primary(RgInit *init, RgError *err)
{
	const RgConfig *config = init->config;
	char		names[RG_NODES_MAX * (RG_NAME_MAX + 2)] = "";
	int			n = 0;
	int			rc;

	for (int i = 0; i < config->nnodes; i++)
	{
		if (!init->nodes[i].answers || init->nodes[i].is_standby)
			continue;
		snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%s", n > 0 ? ", " : "", config->nodes[i].name);
		init->primary = i;
		n++;
	}
	if (n == 1 && rg_config_cascades(config, init->primary))
	{
		rc = rg_error_set(err, RGE_STATE, "%s is the primary, but has upstream = %s", names,
						  config->nodes[init->primary].upstream);
		rg_error_hint(err, "Take the line upstream out of its section in %.200s.", config->file);
		return rc;
	}
	if (n == 1)
		return 0;
	if (n > 1)
	{
		rc = rg_error_set(err, RGE_STATE, "there are %d primaries: %s", n, names);
		rg_error_hint(err, "Stop all but the right one; make the others its standbys with pg_basebackup, or "
					  "take them out of %.200s.", config->file);
		return rc;
	}
	rc = rg_error_set(err, RGE_STATE, "there is no primary");
	for (int i = 0; i < config->nnodes; i++)
		if (!init->nodes[i].answers)
		{
			rg_error_detail(err, "%s does not answer: %.300s.", config->nodes[i].name, init->nodes[i].problem);
			break;
		}
	rg_error_hint(err, "Start the primary, or promote a standby: SELECT pg_promote().");
	return rc;
}

int
rg_init_survey(RgInit *init, RgError *err)
{
	const RgConfig *config = init->config;
	Facts	   *facts = calloc(RG_NODES_MAX, sizeof(*facts));
	int			lacks = 0;
	int			rc;

	if (facts == NULL)
		return rg_error_set(err, RGE_NOMEM, "out of memory");
	for (int i = 0; i < config->nnodes; i++)
		lacks += survey_node(init, i, &facts[i]);
	lacks += compare(init, facts);
	free(facts);
	if (lacks > 0)
	{
		rc = rg_error_set(err, RGE_STATE, "the cluster can't be initialised yet, nothing was changed");
		rg_error_hint(err, "Mend what is said above, then run regent init again.");
		return rc;
	}
	rc = find_primary(init, err);
	if (rc != 0)
		return rc;
	rg_init_act(init, false, config->nodes[init->primary].name, "primary");
	for (int i = 0; i < config->nnodes; i++)
	{
		if (init->nodes[i].answers && i != init->primary)
			rg_init_act(init, false, config->nodes[i].name, "standby");
		else if (!init->nodes[i].answers)
			rg_init_warn(init, config->nodes[i].name, "it does not answer (%s); it %s all the same, "
						 "run regent init again when it runs", init->nodes[i].problem,
						 rg_config_cascades(config, i) ? "belongs to the cluster" : "becomes a voter");
	}
	return 0;
}
