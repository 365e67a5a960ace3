/*
 * regentd.c
 *	  The watchdog's command line: regentd -c FILE [--check]
 */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>

#include "config.h"
#include "daemon.h"
#include "watchdog/base/args.h"

static const char default_file[] = "/etc/regent/regent.conf";

static void
help(FILE *out)
{
	(void) fprintf(out,
				   "regentd watches a PostgreSQL cluster and keeps exactly one of its servers writable.\n\n"
				   "Usage: regentd [-c FILE] [--check]\n\n"
				   "  -c, --config FILE  configuration (default %s)\n"
				   "      --check        check configuration, keys and files, then exit\n"
				   "  -V, --version      print the version, then exit\n"
				   "  -h, --help         print this, then exit\n\n"
				   "SIGHUP reads the configuration again, SIGTERM ends regentd.\n",
				   default_file);
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"check", no_argument, NULL, 'k'},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}
	};
	const char *file = default_file;
	bool		check = false;
	static RgConfig config;		/* large; main's own */
	RgError		err;
	int			opt;

	while ((opt = getopt_long(argc, argv, "c:Vh", options, NULL)) != -1)
	{
		switch (opt)
		{
			case 'c':
				file = optarg;
				break;
			case 'k':
				check = true;
				break;
			case 'V':
				(void) printf("regentd %s\n", RG_VERSION);
				return 0;
			case 'h':
				help(stdout);
				return 0;
			default:
				help(stderr);
				return 2;
		}
	}
	if (!rg_args_end("regentd", argc, argv))
		return 2;
	if (rg_config_read(file, &config, stderr, &err) < 0)
	{
		(void) fprintf(stderr, "regentd: %s%s%s\n", err.message, err.hint[0] ? "\nHINT:  " : "",
					   err.hint);
		return 1;
	}
	if (check)
		return rg_config_check_files(&config, stdout) == 0 ? 0 : 1;
	return rg_daemon_run(&config);
}
