/*
 * cmd_switchover.c
 *	  regent switchover [NODE] [--dry-run] [--no-wait].
 *
 * regentd judges first and refuses with the reason.  Once begun it is a job of
 * regentd: interrupting the command ends only the waiting.
 */
#include "cli.h"
#include "http_client.h"
#include "job_wait.h"
#include "text.h"

#include <getopt.h>
#include <inttypes.h>

typedef struct Wish
{
	const char *node;			/* NULL: the best one */
	bool		is_dry;
	bool		is_waiting;
} Wish;

static RgExit
read_words(const RgCli *cli, int argc, char **argv, Wish *ret)
{
	RgExit		code = rg_cli_order_options(cli, argc, argv, &ret->is_dry, &ret->is_waiting);

	if (code != RG_EXIT_DONE)
		return code;
	if (optind < argc)
		ret->node = argv[optind++];
	return rg_cli_no_more(cli, argc, argv, optind);
}

/* The end as regentd recorded it: who leads now, and how long nobody did. */
static RgExit
tell_result(const RgCli *cli)
{
	json_t	   *status = NULL;
	const json_t *last;
	RgExit		code = rg_client_get(cli, "/v1/status", &status);

	if (code != RG_EXIT_DONE)
		return code;
	last = json_object_get(status, "last_switchover");
	if (cli->json)
		rg_cli_print_json(cli, json_incref((json_t *) last));
	else
		fprintf(cli->out, "%s leads in term %" PRId64 "; writes stopped for %" PRId64 " ms\n",
				rg_json_text(last, "to", "?"), rg_json_number(last, "term", 0), rg_json_number(last, "gap_ms", 0));
	json_decref(status);
	return RG_EXIT_DONE;
}

static RgExit
tell_begun(const RgCli *cli, const json_t *answer, const Wish *wish)
{
	const char *from = rg_json_text(answer, "from", "?");
	const char *to = rg_json_text(answer, "to", "?");

	if (cli->json && (wish->is_dry || !wish->is_waiting))
		rg_cli_print_json(cli, json_deep_copy(answer));
	else if (!cli->json && wish->is_dry)
		fprintf(cli->out, "a switchover from %s to %s could begin now; nothing was changed\n", from, to);
	else if (!cli->json)
		fprintf(cli->out, "job %" PRId64 ": switchover from %s to %s has begun\n", rg_json_number(answer, "job", 0),
				from, to);
	fflush(cli->out);
	return RG_EXIT_DONE;
}

RgExit
rg_cmd_switchover(RgCli *cli, int argc, char **argv)
{
	Wish		wish = {0};
	json_t	   *answer = NULL;
	int64_t		id;
	RgExit		code = read_words(cli, argc, argv, &wish);

	if (code != RG_EXIT_DONE)
		return code;
	if (wish.node != NULL && rg_cli_node(cli, wish.node) < 0)
		return RG_EXIT_FAILED;
	code = rg_client_post(cli, "/v1/switchover",
						  json_pack("{s:s?,s:b}", "node", wish.node, "dry_run", wish.is_dry ? 1 : 0), &answer);
	if (code != RG_EXIT_DONE)
		return code;
	code = tell_begun(cli, answer, &wish);
	id = rg_json_number(answer, "job", 0);
	json_decref(answer);
	if (wish.is_dry || !wish.is_waiting)
		return code;
	code = rg_job_wait(cli, id, false);
	return code == RG_EXIT_DONE ? tell_result(cli) : code;
}
