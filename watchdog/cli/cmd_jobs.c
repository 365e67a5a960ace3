/*
 * cmd_jobs.c
 *	  regent jobs, regent cancel JOB.
 */
#include "cli.h"
#include "http_client.h"
#include "job_text.h"
#include "text.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>

/* Neither command has options of its own. */
static RgExit
refuse_options(RgCli *cli, int argc, char **argv)
{
	static const struct option options[] = {{NULL, 0, NULL, 0}};

	return getopt_long(argc, argv, "", options, NULL) != -1 ? rg_cli_bad_option(cli, argv) : RG_EXIT_DONE;
}

RgExit
rg_cmd_jobs(RgCli *cli, int argc, char **argv)
{
	json_t	   *answer = NULL;
	RgExit		code = refuse_options(cli, argc, argv);

	if (code == RG_EXIT_DONE)
		code = rg_cli_no_more(cli, argc, argv, optind);
	if (code == RG_EXIT_DONE)
		code = rg_client_get(cli, "/v1/jobs", &answer);
	if (code != RG_EXIT_DONE)
		return code;
	if (cli->json)
		rg_cli_print_json(cli, answer);
	else
	{
		rg_jobs_write(json_object_get(answer, "jobs"), cli->out);
		json_decref(answer);
	}
	return RG_EXIT_DONE;
}

RgExit
rg_cmd_cancel(RgCli *cli, int argc, char **argv)
{
	json_t	   *answer = NULL;
	RgExit		code = refuse_options(cli, argc, argv);
	char	   *end;
	long long	id;

	if (code != RG_EXIT_DONE)
		return code;
	if (optind == argc)
		return rg_cli_usage(cli, "which job? regent jobs shows their numbers");
	if ((code = rg_cli_no_more(cli, argc, argv, optind + 1)) != RG_EXIT_DONE)
		return code;
	errno = 0;
	id = strtoll(argv[optind], &end, 10);
	if (end == argv[optind] || *end != '\0' || errno != 0 || id <= 0)
		return rg_cli_usage(cli, "\"%s\" is no number of a job: regent jobs shows them", argv[optind]);
	if ((code = rg_client_post(cli, "/v1/cancel", json_pack("{s:I}", "job", (json_int_t) id), &answer)) != RG_EXIT_DONE)
		return code;
	if (cli->json)
		rg_cli_print_json(cli, answer);
	else
	{
		fprintf(cli->out, "job %lld ends as soon as the node's directory is as it was; see regent jobs\n", id);
		json_decref(answer);
	}
	return RG_EXIT_DONE;
}
