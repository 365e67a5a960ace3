/*
 * cmd_explain.c
 *	  regent explain [--quorum]: what regentd would do now, and why; or which nodes
 *	  may be gone for good.  The text is made by the core, from the same tables
 *	  and sums that decide.
 */
#include "cli.h"
#include "http_client.h"
#include "text.h"

#include <getopt.h>
#include <string.h>

RgExit
rg_cmd_explain(RgCli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		{"quorum", no_argument, NULL, 'q'},
		{NULL, 0, NULL, 0}
	};
	const char *path = "/v1/explain";
	json_t	   *answer = NULL;
	const char *text;
	RgExit		code;
	int			option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
	{
		if (option != 'q')
			return rg_cli_bad_option(cli, argv);
		path = "/v1/explain?quorum=1";
	}
	if ((code = rg_cli_no_more(cli, argc, argv, optind)) != RG_EXIT_DONE)
		return code;
	if ((code = rg_client_get(cli, path, &answer)) != RG_EXIT_DONE)
		return code;
	if (cli->json)
	{
		rg_cli_print_json(cli, answer);
		return RG_EXIT_DONE;
	}
	text = rg_json_text(answer, "text", "");
	fputs(text, cli->out);
	if (*text != '\0' && text[strlen(text) - 1] != '\n')
		fputc('\n', cli->out);
	json_decref(answer);
	return RG_EXIT_DONE;
}
