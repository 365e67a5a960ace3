/*
 * cmd_rebuild.c
 *	  regent rebuild NODE [--wait].
 */
#include "cli.h"
#include "http_client.h"
#include "job_wait.h"
#include "text.h"

#include <getopt.h>
#include <inttypes.h>

RgExit
rg_cmd_rebuild(RgCli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		{"wait", no_argument, NULL, 'w'},
		{NULL, 0, NULL, 0}
	};
	bool		is_waiting = false;
	json_t	   *answer = NULL;
	RgExit		code;
	int64_t		id;
	int			option;

	while ((option = getopt_long(argc, argv, "w", options, NULL)) != -1)
	{
		if (option != 'w')
			return rg_cli_bad_option(cli, argv);
		is_waiting = true;
	}
	if (optind == argc)
		return rg_cli_usage(cli, "which node?");
	if ((code = rg_cli_no_more(cli, argc, argv, optind + 1)) != RG_EXIT_DONE)
		return code;
	if (rg_cli_node(cli, argv[optind]) < 0)
		return RG_EXIT_FAILED;

	code = rg_client_post(cli, "/v1/rebuild", json_pack("{s:s}", "node", argv[optind]), &answer);
	if (code != RG_EXIT_DONE)
		return code;
	id = rg_json_number(answer, "job", 0);
	if (is_waiting)
	{
		json_decref(answer);
		return rg_job_wait(cli, id, true);
	}
	if (cli->json)
		rg_cli_print_json(cli, answer);
	else
	{
		fprintf(cli->out, "job %" PRId64 ": rebuild of %s is queued; see regent status\n", id, argv[optind]);
		json_decref(answer);
	}
	return RG_EXIT_DONE;
}
