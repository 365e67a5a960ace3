/*
 * cli.h
 *	  What every command of regent has at hand, and how it ends.
 *
 * A command is a function; regent.c has the table of them.  It gets the words
 * behind its name (argv[0] is the name), prints data on out and complaints on
 * standard error, and returns one of the exit codes.
 */
#ifndef RG_CLI_H
#define RG_CLI_H

#include <stdbool.h>
#include <stdio.h>
#include <jansson.h>
#include "../app/config.h"
#include "../base/err.h"

#define RG_DEFAULT_CONFIG "/etc/regent/regent.conf"

typedef enum RgExit
{
	RG_EXIT_DONE = 0,
	RG_EXIT_FAILED = 1,			/* refused or failed; the reason was printed */
	RG_EXIT_USAGE = 2,
	RG_EXIT_NO_DAEMON = 3		/* nobody answers on the control socket */
} RgExit;

typedef struct RgCli
{
	const char *command;		/* its name, for messages */
	bool		json;
	RgConfig	config;
	FILE	   *out;
} RgCli;

typedef RgExit (*RgCommandFn) (RgCli *cli, int argc, char **argv);

/* The commands, each in its own file. */
extern RgExit rg_cmd_check(RgCli *cli, int argc, char **argv);
extern RgExit rg_cmd_init(RgCli *cli, int argc, char **argv);
extern RgExit rg_cmd_status(RgCli *cli, int argc, char **argv);
extern RgExit rg_cmd_events(RgCli *cli, int argc, char **argv);
extern RgExit rg_cmd_explain(RgCli *cli, int argc, char **argv);
extern RgExit rg_cmd_rebuild(RgCli *cli, int argc, char **argv);
extern RgExit rg_cmd_jobs(RgCli *cli, int argc, char **argv);
extern RgExit rg_cmd_cancel(RgCli *cli, int argc, char **argv);
extern RgExit rg_cmd_switchover(RgCli *cli, int argc, char **argv);
extern RgExit rg_cmd_failover(RgCli *cli, int argc, char **argv);
extern RgExit rg_cmd_set(RgCli *cli, int argc, char **argv);
extern RgExit rg_cmd_takeover(RgCli *cli, int argc, char **argv);
extern RgExit rg_cmd_node(RgCli *cli, int argc, char **argv);
extern RgExit rg_cmd_uri(RgCli *cli, int argc, char **argv);
extern RgExit rg_cmd_config(RgCli *cli, int argc, char **argv);

/* "regent COMMAND: message" and where help is; returns RG_EXIT_USAGE. */
extern RgExit rg_cli_usage(const RgCli *cli, const char *fmt,...)
			__attribute__((format(printf, 2, 3)));

/* For getopt_long's '?': names the option that is unknown or lacks its value. */
extern RgExit rg_cli_bad_option(const RgCli *cli, char **argv);

/*
 * Reads --dry-run and --no-wait, the options of an order that is waited for; the
 * words are left for the caller, from argv[optind] on.  RG_EXIT_USAGE after a message.
 */
extern RgExit rg_cli_order_options(const RgCli *cli, int argc, char **argv, bool *ret_is_dry, bool *ret_is_waiting);

/* Prints an error with detail and hint on standard error; returns RG_EXIT_FAILED. */
extern RgExit rg_cli_fail(const RgCli *cli, const RgError *err);

/* RG_EXIT_USAGE with a message when there are words left from argv[first] on, else 0. */
extern RgExit rg_cli_no_more(const RgCli *cli, int argc, char **argv, int first);

/* The number of a configured node, or -1 with a message that lists them. */
extern int	rg_cli_node(const RgCli *cli, const char *name);

/* How wide a column of node names is. */
extern int	rg_cli_name_width(const RgCli *cli);

/* Asks on the terminal for a word to be typed; true when it was.  With --json it is never asked: false. */
extern bool rg_cli_confirm(const RgCli *cli, const char *word, const char *question);

/* Prints a JSON value (taken over) and a newline. */
extern void rg_cli_print_json(const RgCli *cli, json_t *value);

#endif							/* RG_CLI_H */
