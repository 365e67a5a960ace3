/*
 * cmd_init.c
 *	  regent init: the only step that needs a superuser.
 *
 * Adopts a running primary and its standbys.  Nothing is changed before all
 * nodes that answer have been looked at and found fit; then every act is
 * printed as it happens.
 */
#include "cli.h"
#include "init.h"
#include "../app/config_value.h"
#include "../base/utf8.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_DEFAULT_MS 60000

void
rg_init_act(RgInit *init, bool is_change, const char *node, const char *fmt,...)
{
	char		text[1024];
	va_list		args;

	va_start(args, fmt);
	rg_utf8_vprint(text, sizeof(text), fmt, args);
	va_end(args);
	init->changes += is_change;
	if (init->acts != NULL)
		json_array_append_new(init->acts, json_pack("{s:s?,s:b,s:s}", "node", node, "changed", is_change ? 1 : 0,
													"what", text));
	else
	{
		fprintf(init->cli->out, "%-4s  %-*s  %s\n", is_change ? "done" : "is", rg_cli_name_width(init->cli), node != NULL ? node : "-", text);
		fflush(init->cli->out);
	}
}

void
rg_init_warn(RgInit *init, const char *node, const char *fmt,...)
{
	va_list		args;

	init->warnings++;
	fflush(init->cli->out);
	fprintf(stderr, "regent: warning: %s%s", node != NULL ? node : "", node != NULL ? ": " : "");
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
}

int
rg_init_exec(RgInit *init, int node, const char *sql, RgError *err)
{
	PGresult   *result;
	int			rc = rg_session_query(&init->nodes[node].session, sql, 0, NULL, RG_SESSION_QUERY_MS, &result, err);

	if (rc == 0)
		PQclear(result);
	return rc;
}

int
rg_init_value(RgInit *init, int node, const char *sql, const char *param, char *buf, size_t size, RgError *err)
{
	const char *values[1] = {param};

	return rg_session_value(&init->nodes[node].session, sql, param != NULL ? 1 : 0, values, buf, size, err);
}

/* Each standby by itself: one that fails does not keep the others waiting. */
static int
adopt_standbys(RgInit *init)
{
	int			failed = 0;

	for (int i = 0; i < init->config->nnodes; i++)
	{
		RgError		err = {0};

		if (i == init->primary || !init->nodes[i].answers)
			continue;
		if (rg_init_standby(init, i, &err) == 0)
			continue;
		failed++;
		rg_cli_fail(init->cli, &err);
	}
	return failed;
}

static void
tell_next(const RgInit *init)
{
	if (init->acts != NULL)
		return;
	fprintf(init->cli->out, "\n%s\n", init->changes > 0 ? "The cluster is initialised." : "Nothing had to be changed.");
	fprintf(init->cli->out, "Next:  regent check\n       systemctl enable --now regentd\n");
}

static RgExit
run(RgInit *init)
{
	RgError		err = {0};
	int			failed;

	if (rg_init_survey(init, &err) != 0 || rg_init_primary(init, &err) != 0)
		return rg_cli_fail(init->cli, &err);
	failed = adopt_standbys(init);
	if (failed > 0)
	{
		fprintf(stderr, "regent: error: %d standby%s could not be adopted, so no rule was written\n"
				"HINT:  Mend what is said above, then run regent init again: it goes on from here.\n",
				failed, failed == 1 ? "" : "s");
		return RG_EXIT_FAILED;
	}
	if (rg_init_sync(init, &err) != 0 || rg_init_rule(init, &err) != 0)
		return rg_cli_fail(init->cli, &err);
	tell_next(init);
	return RG_EXIT_DONE;
}

static RgExit
read_options(RgInit *init, int argc, char **argv)
{
	static const struct option options[] = {
		{"admin-conninfo", required_argument, NULL, 'a'},
		{"timeout", required_argument, NULL, 't'},
		{"reset-passwords", no_argument, NULL, 'r'},
		{NULL, 0, NULL, 0}
	};
	char		why[RG_WHY_MAX];
	int			option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
	{
		if (option == 'a')
			init->conninfo = optarg;
		else if (option == 'r')
			init->resets_passwords = true;
		else if (option == '?')
			return rg_cli_bad_option(init->cli, argv);
		else if (rg_duration_parse(optarg, &init->timeout_ms, why, sizeof(why)) != 0)
			return rg_cli_usage(init->cli, "--timeout %s: %s", optarg, why);
	}
	return rg_cli_no_more(init->cli, argc, argv, optind);
}

RgExit
rg_cmd_init(RgCli *cli, int argc, char **argv)
{
	RgInit	   *init = calloc(1, sizeof(*init));
	RgExit		code;

	if (init == NULL)
		return RG_EXIT_FAILED;
	init->cli = cli;
	init->config = &cli->config;
	init->conninfo = "user=postgres";
	init->timeout_ms = TIMEOUT_DEFAULT_MS;
	init->primary = -1;
	code = read_options(init, argc, argv);
	if (code == RG_EXIT_DONE)
	{
		if (cli->json)
			init->acts = json_array();
		code = run(init);
		if (cli->json)
			rg_cli_print_json(cli, json_pack("{s:b,s:i,s:i,s:o}", "ok", code == RG_EXIT_DONE ? 1 : 0,
											 "changes", init->changes, "warnings", init->warnings, "acts", init->acts));
	}
	for (int i = 0; i < cli->config.nnodes; i++)
		rg_session_close(&init->nodes[i].session);
	free(init);
	return code;
}
