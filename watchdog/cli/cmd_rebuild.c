/*
 * cmd_rebuild.c
 *	  regent rebuild NODE [--method M] [--from NODE] [--rate N] [--force] [--wait].
 *
 * regentd judges and refuses with the reason.  Once queued it is a job of regentd:
 * interrupting the command ends only the waiting.
 */
#include "cli.h"
#include "http_client.h"
#include "job_wait.h"
#include "text.h"
#include "../app/config_value.h"

#include <getopt.h>
#include <inttypes.h>
#include <string.h>

typedef struct Wish
{
	const char *node;
	const char *method;
	const char *from;
	int64_t		rate;			/* bytes a second; 0 = as regentd is configured */
	bool		is_forced;
	bool		is_waiting;
} Wish;

static RgExit
read_options(const RgCli *cli, int argc, char **argv, Wish *ret)
{
	static const struct option options[] = {
		{"wait", no_argument, NULL, 'w'},
		{"method", required_argument, NULL, 'm'},
		{"from", required_argument, NULL, 'f'},
		{"rate", required_argument, NULL, 'r'},
		{"force", no_argument, NULL, 'F'},
		{NULL, 0, NULL, 0}
	};
	char		why[RG_WHY_MAX];
	int			option;

	ret->method = "auto";
	while ((option = getopt_long(argc, argv, "w", options, NULL)) != -1)
	{
		if (option == 'w')
			ret->is_waiting = true;
		else if (option == 'm')
			ret->method = optarg;
		else if (option == 'f')
			ret->from = optarg;
		else if (option == 'F')
			ret->is_forced = true;
		else if (option != 'r')
			return rg_cli_bad_option(cli, argv);
		else if (rg_size_parse(optarg, &ret->rate, why, sizeof(why)) != 0)
			return rg_cli_usage(cli, "--rate %s: %s", optarg, why);
	}
	if (strcmp(ret->method, "auto") != 0 && strcmp(ret->method, "rewind") != 0 &&
		strcmp(ret->method, "delta") != 0 && strcmp(ret->method, "copy") != 0)
		return rg_cli_usage(cli, "--method is auto, rewind, delta or copy, not \"%s\"", ret->method);
	if (optind == argc)
		return rg_cli_usage(cli, "which node?");
	ret->node = argv[optind];
	return rg_cli_no_more(cli, argc, argv, optind + 1);
}

RgExit
rg_cmd_rebuild(RgCli *cli, int argc, char **argv)
{
	Wish		wish = {0};
	json_t	   *answer = NULL;
	RgExit		code = read_options(cli, argc, argv, &wish);
	int64_t		id;

	if (code != RG_EXIT_DONE)
		return code;
	if (rg_cli_node(cli, wish.node) < 0 || (wish.from != NULL && rg_cli_node(cli, wish.from) < 0))
		return RG_EXIT_FAILED;
	code = rg_client_post(cli, "/v1/rebuild",
						  json_pack("{s:s,s:s,s:s?,s:I,s:b}", "node", wish.node, "method", wish.method, "from", wish.from,
									"rate", (json_int_t) wish.rate, "force", wish.is_forced ? 1 : 0), &answer);
	if (code != RG_EXIT_DONE)
		return code;
	id = rg_json_number(answer, "job", 0);
	if (wish.is_waiting)
	{
		json_decref(answer);
		return rg_job_wait(cli, id, true);
	}
	if (cli->json)
		rg_cli_print_json(cli, answer);
	else
	{
		fprintf(cli->out, "job %" PRId64 ": rebuild of %s is queued; see regent jobs\n", id, wish.node);
		json_decref(answer);
	}
	return RG_EXIT_DONE;
}
