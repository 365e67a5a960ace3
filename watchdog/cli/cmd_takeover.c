/*
 * cmd_takeover.c
 *	  regent takeover [--yes] [--dry-run].
 *
 * Only a person can know that the other watchdog is stopped; two that act make two
 * primaries.  So the cluster's name is asked for.
 */
#include "cli.h"
#include "http_client.h"
#include "text.h"

#include <getopt.h>

static RgExit
ask_regentd(const RgCli *cli, bool is_dry, json_t **ret_answer)
{
	return rg_client_post(cli, "/v1/takeover", json_pack("{s:b}", "dry_run", is_dry ? 1 : 0), ret_answer);
}

RgExit
rg_cmd_takeover(RgCli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		{"yes", no_argument, NULL, 'y'},
		{"dry-run", no_argument, NULL, 'd'},
		{NULL, 0, NULL, 0}
	};
	bool		is_sure = false;
	bool		is_dry = false;
	json_t	   *answer = NULL;
	RgExit		code;
	int			option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
	{
		if (option == 'y')
			is_sure = true;
		else if (option == 'd')
			is_dry = true;
		else
			return rg_cli_bad_option(cli, argv);
	}
	if ((code = rg_cli_no_more(cli, argc, argv, optind)) != RG_EXIT_DONE)
		return code;
	if ((code = ask_regentd(cli, true, &answer)) != RG_EXIT_DONE)
		return code;
	if (!cli->json)
		fprintf(cli->out, "watchdog %s would be obeyed%s%s\n", rg_json_text(answer, "watchdog", "?"),
				*rg_json_text(answer, "what", "") != '\0' ? ": " : "", rg_json_text(answer, "what", ""));
	else if (is_dry)
		rg_cli_print_json(cli, json_incref(answer));
	json_decref(answer);
	answer = NULL;
	if (is_dry)
		return RG_EXIT_DONE;
	if (!is_sure && !rg_cli_confirm(cli, cli->config.name, "You certify that the other watchdog is stopped for good, and "
									"that no primary holds a lease of it any more."))
		return RG_EXIT_FAILED;
	if ((code = ask_regentd(cli, false, &answer)) != RG_EXIT_DONE)
		return code;
	if (cli->json)
		rg_cli_print_json(cli, answer);
	else
	{
		fprintf(cli->out, "the takeover has begun; see regent status\n");
		json_decref(answer);
	}
	return RG_EXIT_DONE;
}
