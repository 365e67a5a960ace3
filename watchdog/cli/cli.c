/*
 * cli.c
 *	  Messages and small help for the commands.
 *
 * Errors go to standard error in PostgreSQL's form (message, DETAIL, HINT), so
 * that they look like psql's; data goes to standard output only, so that a
 * script can read it.
 */
#include "cli.h"

#include <getopt.h>
#include <stdarg.h>
#include <string.h>

RgExit
rg_cli_usage(const RgCli *cli, const char *fmt,...)
{
	va_list		args;

	fprintf(stderr, "regent %s: ", cli->command);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\nTry \"regent %s --help\".\n", cli->command);
	return RG_EXIT_USAGE;
}

RgExit
rg_cli_bad_option(const RgCli *cli, char **argv)
{
	return rg_cli_usage(cli, "unknown option, or one without its value: \"%s\"", argv[optind - 1]);
}

RgExit
rg_cli_order_options(const RgCli *cli, int argc, char **argv, bool *ret_is_dry, bool *ret_is_waiting)
{
	static const struct option options[] = {
		{"dry-run", no_argument, NULL, 'd'},
		{"no-wait", no_argument, NULL, 'n'},
		{NULL, 0, NULL, 0}
	};
	bool		is_dry = false;
	bool		is_waiting = true;
	int			option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
	{
		if (option == 'd')
			is_dry = true;
		else if (option == 'n')
			is_waiting = false;
		else
			return rg_cli_bad_option(cli, argv);
	}
	*ret_is_dry = is_dry;
	*ret_is_waiting = is_waiting;
	return RG_EXIT_DONE;
}

RgExit
rg_cli_fail(const RgCli *cli, const RgError *err)
{
	(void) cli;
	fprintf(stderr, "regent: error: %s\n", err->message);
	if (err->detail[0] != '\0')
		fprintf(stderr, "DETAIL:  %s\n", err->detail);
	if (err->hint[0] != '\0')
		fprintf(stderr, "HINT:  %s\n", err->hint);
	return RG_EXIT_FAILED;
}

RgExit
rg_cli_no_more(const RgCli *cli, int argc, char **argv, int first)
{
	if (first < argc)
		return rg_cli_usage(cli, "too many words: \"%s\"", argv[first]);
	return RG_EXIT_DONE;
}

int
rg_cli_node(const RgCli *cli, const char *name)
{
	int			i = rg_config_node(&cli->config, name);

	if (i >= 0)
		return i;
	fprintf(stderr, "regent: error: there is no node \"%s\" in %s\nHINT:  The nodes are",
			name, cli->config.file);
	for (i = 0; i < cli->config.nnodes; i++)
		fprintf(stderr, "%s %s", i > 0 ? "," : "", cli->config.nodes[i].name);
	fputs(".\n", stderr);
	return -1;
}

int
rg_cli_name_width(const RgCli *cli)
{
	int			width = 1;

	for (int i = 0; i < cli->config.nnodes; i++)
		if ((int) strlen(cli->config.nodes[i].name) > width)
			width = (int) strlen(cli->config.nodes[i].name);
	return width;
}

bool
rg_cli_confirm(const RgCli *cli, const char *word, const char *question)
{
	char		line[256];

	if (cli->json)
	{
		fprintf(stderr, "regent: error: not confirmed\nHINT:  With --json nothing is asked: add --yes.\n");
		return false;
	}
	fflush(cli->out);
	fprintf(stderr, "%s  Type %s to go on: ", question, word);
	if (fgets(line, sizeof(line), stdin) != NULL)
	{
		line[strcspn(line, "\r\n")] = '\0';
		if (strcmp(line, word) == 0)
			return true;
	}
	else
		fputc('\n', stderr);
	fprintf(stderr, "regent: error: not confirmed, nothing was changed\nHINT:  --yes answers for you.\n");
	return false;
}

void
rg_cli_print_json(const RgCli *cli, json_t *value)
{
	json_dumpf(value, cli->out, JSON_INDENT(2) | JSON_ENCODE_ANY);
	fputc('\n', cli->out);
	fflush(cli->out);
	json_decref(value);
}
