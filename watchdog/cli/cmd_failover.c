/*
 * cmd_failover.c
 *	  regent failover NODE --accept-loss [--yes] [--dry-run] [--no-wait].
 *
 * The only command that may lose acknowledged commits.  So it first asks regentd
 * what may be lost, prints that, and goes on when the node's name was typed.
 */
#include "cli.h"
#include "http_client.h"
#include "text.h"
#include "../base/clock.h"

#include <getopt.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#define WAIT_MAX_MS 180000
#define POLL_MS 200

typedef struct Wish
{
	const char *node;
	bool		accepts;
	bool		is_sure;
	bool		is_dry;
	bool		is_waiting;
} Wish;

static RgExit
read_options(const RgCli *cli, int argc, char **argv, Wish *ret)
{
	static const struct option options[] = {
		{"accept-loss", no_argument, NULL, 'a'},
		{"yes", no_argument, NULL, 'y'},
		{"dry-run", no_argument, NULL, 'd'},
		{"no-wait", no_argument, NULL, 'n'},
		{NULL, 0, NULL, 0}
	};
	int			option;

	ret->is_waiting = true;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
	{
		if (option == 'a')
			ret->accepts = true;
		else if (option == 'y')
			ret->is_sure = true;
		else if (option == 'd')
			ret->is_dry = true;
		else if (option == 'n')
			ret->is_waiting = false;
		else
			return rg_cli_bad_option(cli, argv);
	}
	if (optind == argc)
		return rg_cli_usage(cli, "which node shall be promoted?");
	ret->node = argv[optind++];
	if (optind < argc)
		return rg_cli_no_more(cli, argc, argv, optind);
	if (!ret->accepts)
		return rg_cli_usage(cli, "commits may be lost: say --accept-loss; without loss there is \"regent switchover\", "
							"and a failover without loss needs no command");
	return RG_EXIT_DONE;
}

static RgExit
ask_regentd(const RgCli *cli, const Wish *wish, bool is_dry, json_t **ret_answer)
{
	return rg_client_post(cli, "/v1/failover",
						  json_pack("{s:s,s:b,s:b}", "node", wish->node, "accept_loss", 1, "dry_run", is_dry ? 1 : 0),
						  ret_answer);
}

/* It leads and takes writes. */
static bool
leads(const json_t *status, const char *name)
{
	size_t		i;
	const json_t *node;

	if (strcmp(rg_json_text(status, "leader", ""), name) != 0)
		return false;
	json_array_foreach(json_object_get(status, "nodes"), i, node)
		if (strcmp(rg_json_text(node, "name", ""), name) == 0)
			return rg_json_true(node, "writable");
	return false;
}

/* Until it leads; what regentd waits for is told as it changes. */
static RgExit
wait_for_leader(const RgCli *cli, const char *name)
{
	const struct timespec pause = {.tv_nsec = POLL_MS * 1000 * 1000};
	int64_t		deadline = rg_clock_now_ms() + WAIT_MAX_MS;
	char		before[512] = "";

	while (rg_clock_now_ms() < deadline)
	{
		json_t	   *status = NULL;
		RgError		err = {0};
		char		line[512] = "regentd does not answer";
		bool		is_done = false;

		if (rg_client_request(&cli->config, "GET", "/v1/status", NULL, RG_CLIENT_DEADLINE_MS, &status, &err) == 0)
		{
			is_done = leads(status, name);
			snprintf(line, sizeof(line), "%s: %.400s", rg_json_text(status, "phase", "?"),
					 rg_json_text(status, "diagnosis_text", ""));
		}
		if (is_done && cli->json)
			rg_cli_print_json(cli, status);
		else
		{
			if (is_done)
				snprintf(line, sizeof(line), "%s leads in term %" PRId64 "; regent events shows what was given up", name,
						 rg_json_number(status, "term", 0));
			if (!cli->json && strcmp(line, before) != 0)
				fprintf(cli->out, "%s\n", line);
			fflush(cli->out);
			json_decref(status);
		}
		if (is_done)
			return RG_EXIT_DONE;
		snprintf(before, sizeof(before), "%s", line);
		nanosleep(&pause, NULL);
	}
	fprintf(stderr, "regent: error: %s does not lead after %d s\nHINT:  It goes on: regent status tells what is waited for.\n",
			name, WAIT_MAX_MS / 1000);
	return RG_EXIT_FAILED;
}

RgExit
rg_cmd_failover(RgCli *cli, int argc, char **argv)
{
	Wish		wish = {0};
	json_t	   *answer = NULL;
	RgExit		code = read_options(cli, argc, argv, &wish);

	if (code != RG_EXIT_DONE)
		return code;
	if (rg_cli_node(cli, wish.node) < 0)
		return RG_EXIT_FAILED;
	if ((code = ask_regentd(cli, &wish, true, &answer)) != RG_EXIT_DONE)
		return code;
	if (cli->json && wish.is_dry)
		rg_cli_print_json(cli, json_incref(answer));
	else if (!cli->json)
		fprintf(cli->out, "promoting %s may lose commits: %s\n", wish.node, rg_json_text(answer, "loss", "how many is not known"));
	json_decref(answer);
	answer = NULL;
	if (wish.is_dry)
		return RG_EXIT_DONE;
	if (!wish.is_sure && !rg_cli_confirm(cli, wish.node, "This can't be undone."))
		return RG_EXIT_FAILED;
	if ((code = ask_regentd(cli, &wish, false, &answer)) != RG_EXIT_DONE)
		return code;
	if (wish.is_waiting)
		code = wait_for_leader(cli, wish.node);
	else if (cli->json)
		rg_cli_print_json(cli, json_incref(answer));
	else
		fprintf(cli->out, "the promotion of %s has begun; see regent status\n", wish.node);
	json_decref(answer);
	return code;
}
