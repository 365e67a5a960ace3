/*
 * cmd_set.c
 *	  regent set durability VALUE | quorum NUMBER [--dry-run] [--no-wait].
 *
 * regentd judges, journals the wish, and the leader's rules make it so.  Interrupting
 * the command ends only the waiting.
 */
#include "cli.h"
#include "http_client.h"
#include "text.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WAIT_S 60
#define LOOK_MS 200

typedef struct Wish
{
	const char *durability;		/* NULL: as it is */
	long		quorum;			/* 0: as it is */
	bool		is_dry;
	bool		is_waiting;
} Wish;

static RgExit
read_value(const RgCli *cli, const char *what, const char *value, Wish *ret)
{
	char	   *end;

	if (strcmp(what, "durability") == 0)
	{
		ret->durability = value;
		if (strcmp(value, "async") != 0 && strcmp(value, "sync") != 0 && strcmp(value, "strict") != 0)
			return rg_cli_usage(cli, "durability is one of async, sync and strict, not \"%s\"", value);
		return RG_EXIT_DONE;
	}
	if (strcmp(what, "quorum") != 0)
		return rg_cli_usage(cli, "what can be set is durability and quorum, not \"%s\"", what);
	ret->quorum = strtol(value, &end, 10);
	if (*value == '\0' || *end != '\0' || ret->quorum < 1 || ret->quorum > 64)
		return rg_cli_usage(cli, "a quorum is a number of standbys, not \"%s\"", value);
	return RG_EXIT_DONE;
}

static RgExit
read_words(const RgCli *cli, int argc, char **argv, Wish *ret)
{
	RgExit		code = rg_cli_order_options(cli, argc, argv, &ret->is_dry, &ret->is_waiting);

	if (code != RG_EXIT_DONE)
		return code;
	if (argc - optind < 2)
		return rg_cli_usage(cli, "set durability async|sync|strict, or set quorum NUMBER");
	code = read_value(cli, argv[optind], argv[optind + 1], ret);
	return code != RG_EXIT_DONE ? code : rg_cli_no_more(cli, argc, argv, optind + 2);
}

/* Is it so, and does no older rule count any more?  In sync fewer may be asked for while some are left out. */
static bool
is_in_force(const json_t *status, const Wish *wish)
{
	const json_t *wanted = json_object_get(status, "wanted");

	if (!rg_json_true(status, "rule_in_force") ||
		(wish->durability != NULL && strcmp(rg_json_text(status, "durability", ""), wish->durability) != 0))
		return false;
	return wish->quorum == 0 || rg_json_number(status, "quorum", 0) == wish->quorum ||
		(rg_json_number(wanted, "quorum", 0) == wish->quorum &&
		 json_array_size(json_object_get(status, "left_out")) > 0);
}

static RgExit
tell_end(const RgCli *cli, const json_t *status, bool is_done)
{
	const char *durability = rg_json_text(status, "durability", "?");
	const char *guarantee = rg_json_text(status, "guarantee", "");
	int64_t		quorum = rg_json_number(status, "quorum", 0);

	if (cli->json)
		rg_cli_print_json(cli, json_pack("{s:b,s:s,s:I,s:s}", "in_force", is_done ? 1 : 0, "durability",
										 durability, "quorum", (json_int_t) quorum, "guarantee", guarantee));
	else if (is_done)
		fprintf(cli->out, "in force: durability %s, quorum %" PRId64 "; %s\n", durability, quorum, guarantee);
	else
		fprintf(stderr, "regent: error: not in force after %d s: %s\nHINT:  regentd goes on with it: see regent status.\n",
				WAIT_S, guarantee);
	return is_done ? RG_EXIT_DONE : RG_EXIT_FAILED;
}

static RgExit
wait_for(const RgCli *cli, const Wish *wish)
{
	const struct timespec pause = {0, LOOK_MS * 1000000};

	for (int looks = 0;; looks++)
	{
		json_t	   *status = NULL;
		RgExit		code = rg_client_get(cli, "/v1/status", &status);
		bool		is_done;

		if (code != RG_EXIT_DONE)
			return code;
		is_done = is_in_force(status, wish);
		if (is_done || looks * LOOK_MS >= WAIT_S * 1000)
			code = tell_end(cli, status, is_done);
		else
			is_done = false;
		json_decref(status);
		if (is_done || looks * LOOK_MS >= WAIT_S * 1000)
			return code;
		(void) nanosleep(&pause, NULL);
	}
}

RgExit
rg_cmd_set(RgCli *cli, int argc, char **argv)
{
	Wish		wish = {0};
	json_t	   *answer = NULL;
	json_t	   *body;
	RgExit		code = read_words(cli, argc, argv, &wish);

	if (code != RG_EXIT_DONE)
		return code;
	body = json_pack("{s:s?,s:b}", "durability", wish.durability, "dry_run", wish.is_dry ? 1 : 0);
	if (wish.quorum != 0)
		(void) json_object_set_new(body, "quorum", json_integer(wish.quorum));
	code = rg_client_post(cli, "/v1/set", body, &answer);
	if (code != RG_EXIT_DONE)
		return code;
	if ((wish.is_dry || !wish.is_waiting) && cli->json)
		rg_cli_print_json(cli, json_deep_copy(answer));
	else if (wish.is_dry || !wish.is_waiting)
		fprintf(cli->out, "%s: %s\n", wish.is_dry ? "it would be taken, nothing was changed" : "asked for",
				rg_json_text(answer, "what", ""));
	json_decref(answer);
	return wish.is_dry || !wish.is_waiting ? RG_EXIT_DONE : wait_for(cli, &wish);
}
