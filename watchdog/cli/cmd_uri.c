/*
 * cmd_uri.c
 *	  regent uri: from the configuration alone, so that it also works while
 *	  regentd is down.
 */
#include "cli.h"
#include "uri.h"

#include <getopt.h>

RgExit
rg_cmd_uri(RgCli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		{"dbname", required_argument, NULL, 'd'},
		{"user", required_argument, NULL, 'U'},
		{NULL, 0, NULL, 0}
	};
	const char *dbname = cli->config.database;
	const char *user = "";
	char		uri[2][RG_URI_MAX];
	char		keywords[2][RG_URI_MAX];
	RgExit		code;
	int			option;

	while ((option = getopt_long(argc, argv, "d:U:", options, NULL)) != -1)
	{
		if (option == 'd')
			dbname = optarg;
		else if (option == 'U')
			user = optarg;
		else
			return rg_cli_bad_option(cli, argv);
	}
	if ((code = rg_cli_no_more(cli, argc, argv, optind)) != RG_EXIT_DONE)
		return code;
	for (int kind = RG_URI_WRITE; kind <= RG_URI_READ; kind++)
	{
		rg_uri_build(&cli->config, (RgUriKind) kind, RG_URI_FORM_URI, dbname, user, uri[kind]);
		rg_uri_build(&cli->config, (RgUriKind) kind, RG_URI_FORM_KEYWORDS, dbname, user, keywords[kind]);
	}
	if (cli->json)
	{
		rg_cli_print_json(cli, json_pack("{s:{s:s,s:s},s:{s:s,s:s}}",
										 "write", "uri", uri[0], "keywords", keywords[0],
										 "read", "uri", uri[1], "keywords", keywords[1]));
		return RG_EXIT_DONE;
	}
	fprintf(cli->out, "write: %s\nread: %s\nwrite keywords: %s\nread keywords: %s\n",
			uri[0], uri[1], keywords[0], keywords[1]);
	return RG_EXIT_DONE;
}
