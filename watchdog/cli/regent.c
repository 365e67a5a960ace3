/*
 * regent.c
 *	  The command that people use.
 *
 * One row per command: name, arguments, one line of help, function.  Options
 * that every command knows (-c, --json, --help) may stand anywhere and are
 * taken out here; what is left belongs to the command.  Commands that talk to
 * regentd use its control socket; check, init, uri and config work without it.
 *
 * A command of a later version is no row, and so a usage error.
 */
#include "cli.h"
#include "../app/config_keys.h"

#include <getopt.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

typedef struct RgCommand
{
	const char *name;
	const char *args;
	const char *help;
	RgCommandFn fn;
	const char *more;			/* for regent COMMAND --help */
} RgCommand;

static const RgCommand commands[] = {
	{"check", "", "look at everything that failover will need, with the fix for what is missing",
		rg_cmd_check,
		"Works without a running regentd.  Exit status 1 when something would not work.\n"},
	{"init", "[OPTION]...",
		"make roles, slots and the first rule on a running primary and its standbys",
		rg_cmd_init,
		"Needs a superuser, by default user postgres; host and port of each node come from\n"
		"the configuration.  May be repeated: what is already so is left alone.\n"
		"  --admin-conninfo CONNINFO  connection string or URI of the superuser, without host,\n"
		"                             port and database (passwords: PGPASSFILE or ~/.pgpass)\n"
		"  --timeout DURATION         for each standby to stream (default 60s)\n"
		"  --reset-passwords          give both roles the passwords of the passfile, also\n"
		"                             where they have one\n"},
	{"status", "[--watch]", "show the cluster, and whether failover would work right now",
		rg_cmd_status,
		"  --watch  again each second, until interrupted\n"},
	{"events", "[-f] [-n NUMBER]", "show what happened",
		rg_cmd_events,
		"  -f, --follow         go on with new events\n"
		"  -n, --number NUMBER  how many of the newest ones to begin with (default 50)\n"},
	{"explain", "[--quorum]", "tell what would happen if the primary failed now, and why",
		rg_cmd_explain,
		"  --quorum  which nodes may be lost together, so that one can still be promoted\n"},
	{"switchover", "[NODE] [--dry-run] [--no-wait]", "make a standby the primary, without losing a commit",
		rg_cmd_switchover,
		"Without NODE the best standby is taken.  The old primary becomes a standby of it.\n"
		"  --dry-run  only tell whether it could succeed now, and to whom\n"
		"  --no-wait  return when it has begun\n"},
	{"failover", "NODE --accept-loss [--yes] [--dry-run] [--no-wait]",
		"promote NODE although commits may be lost",
		rg_cmd_failover,
		"For the day when the nodes that may hold the newest commits do not come back.  What may\n"
		"be lost is told first, and the node's name is asked for.\n"
		"  --yes      do not ask\n"
		"  --dry-run  only tell what may be lost\n"
		"  --no-wait  return when it has begun\n"},
	{"takeover", "[--yes] [--dry-run]", "make this watchdog the one that the nodes obey",
		rg_cmd_takeover,
		"Say so only when the watchdog that they obey is stopped and does not come back, and when\n"
		"no primary is alive that it may still have given a lease: else wait for the longest one.\n"
		"  --yes      do not ask\n"
		"  --dry-run  only tell what would be done\n"},
	{"rebuild", "NODE [OPTION]...", "bring a dead or diverged node back while the service runs",
		rg_cmd_rebuild,
		"Its directory is kept until the new one streams.  regent jobs shows the progress.\n"
		"  --method METHOD  auto (default): the cheapest that is possible of rewind, delta (only\n"
		"                   what differs is copied) and copy; or one of these\n"
		"  --from NODE      copy from this standby instead of the leader\n"
		"  --rate SIZE      at most so much a second, such as 50MB (default: rebuild_rate)\n"
		"  --force          also a node that is healthy, or that alone holds what was acknowledged\n"
		"  --wait           show progress until the end; exit status 1 when the job fails\n"},
	{"jobs", "", "show rebuilds and switchovers: waiting, under way, ended",
		rg_cmd_jobs, ""},
	{"cancel", "JOB", "end a rebuild; the node keeps the directory that it had",
		rg_cmd_cancel,
		"Refused, with the reason, while a directory is rewound in place and once the new one is in its\n"
		"place.  A node whose rebuild was cancelled is not rebuilt by itself before the next failover.\n"},
	{"node", "add NODE [OPTION]... | remove NODE [OPTION]...",
		"add a new standby, cloned from nothing, or take a node out of the cluster",
		rg_cmd_node,
		"add: the host has PostgreSQL and pg_regent installed, a section [NODE] in node.conf, and\n"
		"our key.  Without a section [node NODE] in regent.conf one is written:\n"
		"  --host ADDRESS       where the new server listens\n"
		"  --port N, --ssh-host HOST, --ssh-port N, --priority N, --weight N, --upstream NODE\n"
		"                       the other keys of a section\n"
		"remove: its vote goes first, then it stops following, and its section is taken out.\n"
		"  --lost          it is gone for ever and can't be told; the node's name is asked for\n"
		"  --yes           do not ask\n"
		"  --keep-section  leave regent.conf as it is\n"
		"both:\n"
		"  --dry-run  only tell whether it could be done now\n"
		"  --no-wait  return when it has begun\n"},
	{"set", "durability|quorum VALUE [--dry-run] [--no-wait]",
		"change what a commit waits for, while everything runs",
		rg_cmd_set,
		"durability is async, sync or strict; quorum the number of standbys that have to flush a\n"
		"commit.  The leader writes it into a rule; it is in force when nobody can act by the rule\n"
		"before any more.  Waits for that, a minute at most.\n"
		"  --dry-run  only tell whether it would be taken, and what it means\n"
		"  --no-wait  return when it has been taken\n"},
	{"uri", "[--dbname NAME] [--user NAME]", "print connection strings that find the primary, or a standby",
		rg_cmd_uri,
		"Works without a running regentd.\n"},
	{"config", "haproxy [OPTION]...",
		"write the configuration of a load balancer",
		rg_cmd_config,
		"Works without a running regentd.\n"
		"  --write-port N           port that leads to the primary (default 5000)\n"
		"  --read-port N            port that leads to the standbys (default 5001)\n"
		"  --bind ADDRESS           where HAProxy listens (default: all addresses)\n"
		"  --check-address ADDRESS  where HAProxy reaches regentd, with port (default: http_listen)\n"
		"  --run-as USER            account that HAProxy changes to when systemd starts it\n"
		"                           (default haproxy); none: it stays who it is\n"},
};

#define NCOMMANDS (sizeof(commands) / sizeof(commands[0]))

static void
print_help(FILE *out)
{
	fprintf(out, "regent controls and shows a PostgreSQL cluster that regentd watches.\n\n"
			"Usage: regent [-c FILE] [--json] COMMAND\n\nCommands:\n");
	for (size_t i = 0; i < NCOMMANDS; i++)
		fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].help);
	fprintf(out, "\nOptions:\n"
			"  -c, --config FILE  configuration (default " RG_DEFAULT_CONFIG ")\n"
			"  --json             print data as JSON\n"
			"  --help             this text, or a command's: regent COMMAND --help\n"
			"  --version          print the version\n\n"
			"Exit status: 0 done, 1 refused or failed, 2 usage, 3 no regentd answers.\n");
}

static const RgCommand *
find_command(const char *name)
{
	int			least = 3;
	const char *nearest = NULL;

	for (size_t i = 0; i < NCOMMANDS; i++)
	{
		int			distance = rg_word_distance(name, commands[i].name);

		if (strcmp(name, commands[i].name) == 0)
			return &commands[i];
		if (distance < least)
		{
			least = distance;
			nearest = commands[i].name;
		}
	}
	fprintf(stderr, "regent: unknown command \"%s\"%s%s%s\nTry \"regent --help\".\n", name,
			nearest != NULL ? ": did you mean \"" : "", nearest != NULL ? nearest : "",
			nearest != NULL ? "\"?" : "");
	return NULL;
}

/* The options that every command knows, taken out of argv. */
typedef struct Common
{
	const char *file;
	bool		json;
	bool		help;
	bool		version;
} Common;

/* Returns the number of words left (argv[0] first), or -1 after a message. */
static int
take_common(int argc, char **argv, Common *ret)
{
	int			left = 1;
	bool		is_over = false;

	for (int i = 1; i < argc; i++)
	{
		if (is_over)
			argv[left++] = argv[i];
		else if (strcmp(argv[i], "-c") == 0 || strcmp(argv[i], "--config") == 0)
		{
			if (i + 1 == argc)
			{
				fprintf(stderr, "regent: %s needs a file\nTry \"regent --help\".\n", argv[i]);
				return -1;
			}
			ret->file = argv[++i];
		}
		else if (strncmp(argv[i], "--config=", 9) == 0)
			ret->file = argv[i] + 9;
		else if (strcmp(argv[i], "--json") == 0)
			ret->json = true;
		else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			ret->help = true;
		else if (strcmp(argv[i], "--version") == 0)
			ret->version = true;
		else
		{
			is_over = strcmp(argv[i], "--") == 0;
			argv[left++] = argv[i];
		}
	}
	argv[left] = NULL;
	return left;
}

int
main(int argc, char **argv)
{
	Common		common = {.file = RG_DEFAULT_CONFIG};
	const RgCommand *command;
	RgCli	   *cli;
	RgError		err = {0};
	RgExit		code = RG_EXIT_FAILED;

	setlocale(LC_CTYPE, "");
	opterr = 0;					/* we say it ourselves */
	signal(SIGPIPE, SIG_IGN);	/* a write then fails, which is noticed below */
	argc = take_common(argc, argv, &common);
	if (argc < 0)
		return RG_EXIT_USAGE;
	if (common.version)
	{
		printf("regent (pg_regent) %s\n", RG_VERSION);
		return RG_EXIT_DONE;
	}
	if (argc < 2)
	{
		print_help(common.help ? stdout : stderr);
		return common.help ? RG_EXIT_DONE : RG_EXIT_USAGE;
	}
	if (argv[1][0] == '-')
	{
		fprintf(stderr, "regent: unknown option \"%s\"\nTry \"regent --help\".\n", argv[1]);
		return RG_EXIT_USAGE;
	}
	command = find_command(argv[1]);
	if (command == NULL)
		return RG_EXIT_USAGE;
	if (common.help)
	{
		printf("regent %s: %s\n\nUsage: regent [-c FILE] [--json] %s %s\n%s", command->name,
			   command->help, command->name, command->args, command->more);
		return RG_EXIT_DONE;
	}

	cli = calloc(1, sizeof(*cli));
	if (cli == NULL)
	{
		fputs("regent: out of memory\n", stderr);
		return RG_EXIT_FAILED;
	}
	cli->command = command->name;
	cli->json = common.json;
	cli->out = stdout;
	if (rg_config_read(common.file, &cli->config, stderr, &err) != 0)
		rg_cli_fail(cli, &err);
	else
		code = command->fn(cli, argc - 1, argv + 1);
	free(cli);
	if (fflush(stdout) != 0 && code == RG_EXIT_DONE)
		code = RG_EXIT_FAILED;
	return (int) code;
}
