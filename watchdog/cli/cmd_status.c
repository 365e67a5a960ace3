/*
 * cmd_status.c
 *	  regent status [--watch].
 *
 * With --watch the screen is redrawn in place each second, from text that was
 * built before; while regentd does not answer, that is what is shown, and the
 * command goes on: it is looked at during failures.
 */
#include "cli.h"
#include "http_client.h"
#include "status_text.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WATCH_DEADLINE_MS 2000

/* Writes text over what was on the screen. */
static void
redraw(const char *text, FILE *out)
{
	fputs("\033[H", out);
	for (; *text != '\0'; text++)
	{
		if (*text == '\n')
			fputs("\033[K", out);
		fputc(*text, out);
	}
	fputs("\033[J", out);
}

/* One screen; the text of an error where there is no status. */
static char *
watch_text(const RgCli *cli)
{
	char	   *text = NULL;
	size_t		size;
	FILE	   *stream = open_memstream(&text, &size);
	json_t	   *status = NULL;
	RgError		err = {0};

	if (stream == NULL)
		return NULL;
	if (rg_client_request(&cli->config, "GET", "/v1/status", NULL, WATCH_DEADLINE_MS, &status, &err) == 0)
	{
		if (cli->json)
		{
			json_dumpf(status, stream, JSON_COMPACT);
			fputc('\n', stream);
		}
		else
			rg_status_write(status, stream);
		json_decref(status);
	}
	else if (!cli->json)
		fprintf(stream, "automatic failover: NO, because %s\n%s\n", err.message, err.hint);
	fclose(stream);
	return text;
}

static RgExit
watch(const RgCli *cli)
{
	bool		is_terminal = !cli->json && isatty(fileno(cli->out));
	const struct timespec second = {.tv_sec = 1};

	if (is_terminal)
		fputs("\033[H\033[2J", cli->out);
	for (;;)
	{
		char	   *text = watch_text(cli);

		if (text == NULL)
			return RG_EXIT_FAILED;
		if (is_terminal)
			redraw(text, cli->out);
		else
			fputs(text, cli->out);
		free(text);
		if (!is_terminal && !cli->json)
			fputc('\n', cli->out);
		if (fflush(cli->out) != 0)
			return RG_EXIT_FAILED;	/* nobody reads any more */
		nanosleep(&second, NULL);
	}
}

RgExit
rg_cmd_status(RgCli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		{"watch", no_argument, NULL, 'w'},
		{NULL, 0, NULL, 0}
	};
	bool		is_watching = false;
	json_t	   *status = NULL;
	RgExit		code;
	int			option;

	while ((option = getopt_long(argc, argv, "w", options, NULL)) != -1)
	{
		if (option != 'w')
			return rg_cli_bad_option(cli, argv);
		is_watching = true;
	}
	if ((code = rg_cli_no_more(cli, argc, argv, optind)) != RG_EXIT_DONE)
		return code;
	if (is_watching)
		return watch(cli);
	if ((code = rg_client_get(cli, "/v1/status", &status)) != RG_EXIT_DONE)
		return code;
	if (cli->json)
		rg_cli_print_json(cli, status);
	else
	{
		rg_status_write(status, cli->out);
		json_decref(status);
	}
	return RG_EXIT_DONE;
}
