/*
 * cmd_node.c
 *	  regent node add NODE [--host HOST …] and regent node remove NODE [--lost].
 *
 * The section in regent.conf comes first when a node is added and goes last when one
 * is removed; in between regentd does the work, as a job.  Whatever fails on the way,
 * the same command goes on: a section that is there is not written again.
 */
#include "cli.h"
#include "conf_edit.h"
#include "http_client.h"
#include "job_wait.h"
#include "text.h"
#include "../app/config_keys.h"
#include "../app/config_value.h"

#include <getopt.h>
#include <inttypes.h>
#include <string.h>

#define KEYS_MAX 2048

typedef struct Wish
{
	const char *node;
	char		keys[KEYS_MAX];	/* lines of a new section; "" = none was given */
	char		section[KEYS_MAX + 64];	/* with its heading */
	bool		has_host;
	bool		is_lost;
	bool		is_sure;
	bool		is_dry;
	bool		keeps_section;
	bool		is_waiting;
} Wish;

/* ---- options ---- */

enum
{
	OPTION_LOST = 256,
	OPTION_YES,
	OPTION_DRY,
	OPTION_KEEP,
	OPTION_NO_WAIT
};

#define NODE_KEYS 7

/* The keys of a section in front: their place is the option's value. */
static const struct option add_options[] = {
	{"host", required_argument, NULL, 0},
	{"port", required_argument, NULL, 1},
	{"ssh-host", required_argument, NULL, 2},
	{"ssh-port", required_argument, NULL, 3},
	{"priority", required_argument, NULL, 4},
	{"weight", required_argument, NULL, 5},
	{"upstream", required_argument, NULL, 6},
	{"dry-run", no_argument, NULL, OPTION_DRY},
	{"no-wait", no_argument, NULL, OPTION_NO_WAIT},
	{NULL, 0, NULL, 0}
};

static const char *const node_keys[NODE_KEYS] = {
	"host", "port", "ssh_host", "ssh_port", "priority", "weight", "upstream"
};

static const struct option remove_options[] = {
	{"lost", no_argument, NULL, OPTION_LOST},
	{"yes", no_argument, NULL, OPTION_YES},
	{"dry-run", no_argument, NULL, OPTION_DRY},
	{"keep-section", no_argument, NULL, OPTION_KEEP},
	{"no-wait", no_argument, NULL, OPTION_NO_WAIT},
	{NULL, 0, NULL, 0}
};

/* One key of the new section, checked as the reader of the file will check it. */
static RgExit
take_key(const RgCli *cli, int key, const char *value, Wish *ret)
{
	RgNodeConfig unused;
	char		why[RG_WHY_MAX];
	size_t		len = strlen(ret->keys);
	int			i = rg_key_find("node", node_keys[key]);

	if (rg_value_set(&rg_keys[i], value, &unused, why, sizeof(why)) != 0)
		return rg_cli_usage(cli, "--%s %s: %s", add_options[key].name, value, why);
	snprintf(ret->keys + len, sizeof(ret->keys) - len, "%s = %s\n", node_keys[key], value);
	ret->has_host = ret->has_host || key == 0;
	return RG_EXIT_DONE;
}

static RgExit
read_options(const RgCli *cli, int argc, char **argv, const struct option *options, Wish *ret)
{
	RgExit		code = RG_EXIT_DONE;
	int			option;

	ret->is_waiting = true;
	optind = 1;
	while (code == RG_EXIT_DONE && (option = getopt_long(argc, argv, "", options, NULL)) != -1)
	{
		if (option == OPTION_LOST)
			ret->is_lost = true;
		else if (option == OPTION_YES)
			ret->is_sure = true;
		else if (option == OPTION_DRY)
			ret->is_dry = true;
		else if (option == OPTION_KEEP)
			ret->keeps_section = true;
		else if (option == OPTION_NO_WAIT)
			ret->is_waiting = false;
		else if (option < NODE_KEYS)
			code = take_key(cli, option, optarg, ret);
		else
			return rg_cli_bad_option(cli, argv);
	}
	if (code != RG_EXIT_DONE)
		return code;
	if (optind == argc)
		return rg_cli_usage(cli, "which node?");
	ret->node = argv[optind];
	if (!rg_node_name_is_valid(ret->node))
		return rg_cli_usage(cli, "\"%s\" is no name of a node: lower-case letters, digits and _", ret->node);
	return rg_cli_no_more(cli, argc, argv, optind + 1);
}

/* ---- the section ---- */

static RgExit
tell_lines(const RgCli *cli, const Wish *wish, const RgError *err)
{
	(void) cli;
	fprintf(stderr, "regent: error: %s\n", err->message);
	if (err->detail[0] != '\0')
		fprintf(stderr, "DETAIL:  %s\n", err->detail);
	fprintf(stderr, "HINT:  Add these lines to it, then say: regent node add %s\n\n%s", wish->node, wish->section);
	return RG_EXIT_FAILED;
}

/* The node's section: there, or written now. */
static RgExit
ensure_section(const RgCli *cli, Wish *wish)
{
	const char *file = cli->config.file;
	RgError		err = {0};

	if (rg_config_node(&cli->config, wish->node) >= 0)
	{
		if (wish->keys[0] == '\0')
			return RG_EXIT_DONE;
		fprintf(stderr, "regent: error: %s has a section [node %s] already\nHINT:  Change it there; without options: "
				"regent node add %s\n", file, wish->node, wish->node);
		return RG_EXIT_FAILED;
	}
	if (!wish->has_host)
	{
		fprintf(stderr, "regent: error: %s has no section [node %s]\nHINT:  Add it, or say where it is: "
				"regent node add %s --host ADDRESS\n", file, wish->node, wish->node);
		return RG_EXIT_FAILED;
	}
	snprintf(wish->section, sizeof(wish->section), "[node %.40s]\n%s", wish->node, wish->keys);
	if (wish->is_dry)
		return RG_EXIT_DONE;
	if (rg_conf_append(file, wish->section, &err) != 0)
		return tell_lines(cli, wish, &err);
	if (!cli->json)
		fprintf(cli->out, "added section [node %s] to %s\n", wish->node, file);
	return RG_EXIT_DONE;
}

/* ---- add ---- */

static RgExit
add(RgCli *cli, int argc, char **argv)
{
	Wish		wish = {0};
	json_t	   *answer = NULL;
	bool		is_known;
	RgExit		code = read_options(cli, argc, argv, add_options, &wish);

	if (code != RG_EXIT_DONE)
		return code;
	is_known = rg_config_node(&cli->config, wish.node) >= 0;
	if ((code = ensure_section(cli, &wish)) != RG_EXIT_DONE)
		return code;
	if (wish.is_dry && !is_known)
	{
		if (cli->json)
			rg_cli_print_json(cli, json_pack("{s:b,s:s,s:s}", "dry_run", 1, "node", wish.node, "section", wish.section));
		else
			fprintf(cli->out, "to %s would be added:\n\n%s\nthen %s would be cloned from the leader\n", cli->config.file,
					wish.section, wish.node);
		return RG_EXIT_DONE;
	}
	code = rg_client_post(cli, "/v1/node/add",
						  json_pack("{s:s,s:b}", "node", wish.node, "dry_run", wish.is_dry ? 1 : 0), &answer);
	if (code != RG_EXIT_DONE)
		return code;
	if (wish.is_waiting && !wish.is_dry)
		code = rg_job_wait(cli, rg_json_number(answer, "job", 0), true);
	else if (cli->json)
		rg_cli_print_json(cli, json_incref(answer));
	else if (wish.is_dry)
		fprintf(cli->out, "%s would be added now\n", wish.node);
	else
		fprintf(cli->out, "job %" PRId64 ": %s is being added; see regent status\n", rg_json_number(answer, "job", 0), wish.node);
	json_decref(answer);
	return code;
}

/* ---- remove ---- */

static RgExit
ask_removal(const RgCli *cli, const Wish *wish, bool is_dry, json_t **ret_answer)
{
	return rg_client_post(cli, "/v1/node/remove",
						  json_pack("{s:s,s:b,s:b}", "node", wish->node, "lost", wish->is_lost ? 1 : 0, "dry_run",
									is_dry ? 1 : 0), ret_answer);
}

/* The cluster does without it: so may the configuration.  Says what became of the section. */
static RgExit
remove_section(const RgCli *cli, const Wish *wish, const char **ret_section)
{
	const char *file = cli->config.file;
	json_t	   *answer = NULL;
	RgError		err = {0};
	RgExit		code;

	*ret_section = "kept";
	if (wish->keeps_section || rg_config_node(&cli->config, wish->node) < 0)
		return RG_EXIT_DONE;
	if (rg_conf_remove(file, wish->node, &err) != 0)
	{
		fprintf(stderr, "regent: warning: %s\nHINT:  Take section [node %s] out of it, then: systemctl reload regentd\n",
				err.message, wish->node);
		return RG_EXIT_DONE;
	}
	*ret_section = "removed";
	if (!cli->json)
		fprintf(cli->out, "took section [node %s] out of %s\n", wish->node, file);
	code = rg_client_post(cli, "/v1/reload", json_object(), &answer);
	json_decref(answer);
	return code;
}

static RgExit
remove_and_tell(RgCli *cli, const Wish *wish)
{
	const char *section = "kept";
	json_t	   *answer = NULL;
	int64_t		job;
	RgExit		code = ask_removal(cli, wish, false, &answer);

	if (code != RG_EXIT_DONE)
		return code;
	job = rg_json_number(answer, "job", 0);
	json_decref(answer);
	if (!wish->is_waiting)
	{
		if (cli->json)
			rg_cli_print_json(cli, json_pack("{s:s,s:I,s:s}", "node", wish->node, "job", (json_int_t) job, "section", section));
		else
			fprintf(cli->out, "job %" PRId64 ": %s is being removed; its section stays in %s\n", job, wish->node,
					cli->config.file);
		return RG_EXIT_DONE;
	}
	code = rg_job_wait(cli, job, false);
	if (code == RG_EXIT_DONE)
		code = remove_section(cli, wish, &section);
	if (code == RG_EXIT_DONE && cli->json)
		rg_cli_print_json(cli, json_pack("{s:s,s:I,s:s}", "node", wish->node, "job", (json_int_t) job, "section", section));
	return code;
}

static RgExit
remove_node(RgCli *cli, int argc, char **argv)
{
	Wish		wish = {0};
	json_t	   *answer = NULL;
	RgExit		code = read_options(cli, argc, argv, remove_options, &wish);

	if (code != RG_EXIT_DONE || (code = ask_removal(cli, &wish, true, &answer)) != RG_EXIT_DONE)
		return code;
	if (cli->json && wish.is_dry)
		rg_cli_print_json(cli, json_incref(answer));
	else if (!cli->json)
		fprintf(cli->out, "%s\n", rg_json_text(answer, "what", wish.node));
	json_decref(answer);
	if (wish.is_dry)
		return RG_EXIT_DONE;
	if (wish.is_lost && !wish.is_sure &&
		!rg_cli_confirm(cli, wish.node, "It must never run again: if it does, and holds commits that no other node has, they are lost."))
		return RG_EXIT_FAILED;
	return remove_and_tell(cli, &wish);
}

RgExit
rg_cmd_node(RgCli *cli, int argc, char **argv)
{
	if (argc >= 2 && strcmp(argv[1], "add") == 0)
		return add(cli, argc - 1, argv + 1);
	if (argc >= 2 && strcmp(argv[1], "remove") == 0)
		return remove_node(cli, argc - 1, argv + 1);
	if (argc < 2)
		return rg_cli_usage(cli, "add or remove?");
	return rg_cli_usage(cli, "\"%s\" is neither add nor remove", argv[1]);
}
