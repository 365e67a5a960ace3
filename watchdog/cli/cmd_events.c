/*
 * cmd_events.c
 *	  regent events [-f] [-n NUMBER].
 *
 * Without "after" regentd gives the newest events; with it those that come
 * behind that number.  Following is polling: twice a second, from memory on
 * the other side.  A regentd that is being restarted ends nothing.
 */
#include "cli.h"
#include "http_client.h"
#include "text.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NUMBER_DEFAULT 50
#define NUMBER_MAX 1000

static void
write_event(const json_t *event, FILE *out)
{
	const char *node = rg_json_text(event, "node", "");

	fprintf(out, "%s  %-16s  %-8s  %s\n", rg_json_text(event, "at", "?"),
			rg_json_text(event, "event", "?"), *node != '\0' ? node : "-",
			rg_json_text(event, "message", ""));
}

static void
write_events(const RgCli *cli, const json_t *answer)
{
	size_t		i;
	const json_t *event;

	json_array_foreach(json_object_get(answer, "events"), i, event)
	{
		if (cli->json)
		{
			json_dumpf(event, cli->out, JSON_COMPACT);
			fputc('\n', cli->out);
		}
		else
			write_event(event, cli->out);
	}
}

/* The number of the newest event seen. */
static int64_t
last_seen(const json_t *answer, int64_t before)
{
	const json_t *events = json_object_get(answer, "events");
	size_t		n = json_array_size(events);
	int64_t		last = rg_json_number(answer, "last", before);

	/* what was not shown yet comes with the next question */
	if (n > 0)
		last = rg_json_number(json_array_get(events, n - 1), "seq", last);
	return last;
}

static RgExit
follow(const RgCli *cli, int64_t last)
{
	const struct timespec pause = {.tv_nsec = 500 * 1000 * 1000};
	bool		is_silent = false;
	char		path[128];

	for (;;)
	{
		json_t	   *answer = NULL;
		RgError		err = {0};

		nanosleep(&pause, NULL);
		snprintf(path, sizeof(path), "/v1/events?after=%" PRId64 "&limit=%d", last, NUMBER_MAX);
		if (rg_client_request(&cli->config, "GET", path, NULL, RG_CLIENT_DEADLINE_MS, &answer, &err) != 0)
		{
			if (!is_silent)
				fprintf(stderr, "regent: %s; waiting for it\n", err.message);
			is_silent = true;
			if (err.code != RGE_IO && err.code != RGE_TIMEOUT)
				return RG_EXIT_FAILED;
			continue;
		}
		is_silent = false;
		write_events(cli, answer);
		last = last_seen(answer, last);
		json_decref(answer);
		if (fflush(cli->out) != 0)
			return RG_EXIT_FAILED;	/* nobody reads any more */
	}
}

RgExit
rg_cmd_events(RgCli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		{"follow", no_argument, NULL, 'f'},
		{"number", required_argument, NULL, 'n'},
		{NULL, 0, NULL, 0}
	};
	bool		is_following = false;
	long		number = NUMBER_DEFAULT;
	json_t	   *answer = NULL;
	RgExit		code;
	char		path[128];
	char	   *end;
	int64_t		last;
	int			option;

	while ((option = getopt_long(argc, argv, "fn:", options, NULL)) != -1)
	{
		if (option == 'f')
			is_following = true;
		else if (option == 'n')
		{
			number = strtol(optarg, &end, 10);
			if (end == optarg || *end != '\0' || number < 1 || number > NUMBER_MAX)
				return rg_cli_usage(cli, "-n needs a number from 1 to %d", NUMBER_MAX);
		}
		else
			return rg_cli_bad_option(cli, argv);
	}
	if ((code = rg_cli_no_more(cli, argc, argv, optind)) != RG_EXIT_DONE)
		return code;
	snprintf(path, sizeof(path), "/v1/events?limit=%ld", number);
	if ((code = rg_client_get(cli, path, &answer)) != RG_EXIT_DONE)
		return code;
	last = last_seen(answer, 0);
	if (cli->json && !is_following)
	{
		rg_cli_print_json(cli, answer);
		return RG_EXIT_DONE;
	}
	write_events(cli, answer);
	json_decref(answer);
	fflush(cli->out);
	return is_following ? follow(cli, last) : RG_EXIT_DONE;
}
