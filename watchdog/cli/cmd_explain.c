/*
 * cmd_explain.c
 *	  regent explain: what regentd would do now, and why.  The text is made by
 *	  the core, from the same tables that decide.
 */
#include "cli.h"
#include "http_client.h"
#include "text.h"

#include <string.h>

RgExit
rg_cmd_explain(RgCli *cli, int argc, char **argv)
{
	json_t	   *answer = NULL;
	const char *text;
	RgExit		code = rg_cli_no_more(cli, argc, argv, 1);

	if (code != RG_EXIT_DONE)
		return code;
	if ((code = rg_client_get(cli, "/v1/explain", &answer)) != RG_EXIT_DONE)
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
