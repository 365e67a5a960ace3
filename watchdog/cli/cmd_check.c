/*
 * cmd_check.c
 *	  regent check: everything that failover will need, per node, with the fix.
 *
 * Each line is one thing.  It runs without regentd, with its own sessions as
 * the same user and with the same key; so what works here works there.  A
 * node that does not answer costs one line and its deadline, not the others.
 */
#include "check.h"
#include "../base/utf8.h"

#include <pwd.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

static const char *const verdict_names[] = {"ok", "warning", "FAILED"};

void
rg_check_report(RgCheck *check, RgFinding verdict, const char *node, const char *what, const char *fix)
{
	check->counts[verdict]++;
	if (check->list != NULL)
	{
		json_array_append_new(check->list,
							  json_pack("{s:s,s:s?,s:s,s:s}",
										"result", verdict == RG_FINDING_FAILED ? "failed" : verdict_names[verdict],
										"node", node, "what", what, "fix", fix));
		return;
	}
	fprintf(check->cli->out, "%-7s  %-*s  %s%s%s\n", verdict_names[verdict], rg_cli_name_width(check->cli), node != NULL ? node : "-",
			what, *fix != '\0' ? "; fix: " : "", fix);
	fflush(check->cli->out);	/* seen as it happens */
}

void
rg_check_say(RgCheck *check, RgFinding verdict, const char *node, const char *fmt,...)
{
	char		text[2048];
	char	   *tab;
	va_list		args;

	va_start(args, fmt);
	rg_utf8_vprint(text, sizeof(text), fmt, args);
	va_end(args);
	tab = strrchr(text, '\t');
	if (tab != NULL)
		*tab++ = '\0';
	rg_check_report(check, verdict, node, text, tab != NULL ? tab : "");
}

static void
take_file_finding(void *arg, RgFinding verdict, const char *node, const char *what, const char *fix)
{
	rg_check_report(arg, verdict, node, what, fix);
}

/* Without an identity heartbeats can't be tried and init has not been run here. */
static void
check_identity(RgCheck *check)
{
	RgError		err = {0};

	if (rg_identity_read(check->config->state_directory, &check->identity, &err) == 0)
	{
		check->has_identity = true;
		rg_check_say(check, RG_FINDING_OK, NULL, "this watchdog is %s", check->identity.id);
	}
	else if (err.code == RGE_STATE)
		rg_check_say(check, RG_FINDING_FAILED, NULL, "this watchdog has no identity yet\tregent init");
	else
		rg_check_say(check, RG_FINDING_FAILED, NULL, "this watchdog's identity can't be read: %s\t%s",
					 err.message, err.hint[0] != '\0' ? err.hint : "run regent check as root or as the user of regentd");
}

/* sudo's DBA reads files that regentd can't, and the other way round. */
static void
check_user(RgCheck *check)
{
	struct passwd pw;
	struct passwd *found = NULL;
	char		buf[4096];

	if (check->config->passfile[0] != '\0' && access(check->config->passfile, F_OK) == 0
		&& access(check->config->passfile, R_OK) != 0
		&& getpwuid_r(geteuid(), &pw, buf, sizeof(buf), &found) == 0 && found != NULL)
		rg_check_say(check, RG_FINDING_WARNING, NULL, "user %s can't read the passfile, so logins may fail "
					 "here that work for regentd\trun regent check with sudo", pw.pw_name);
}

RgExit
rg_cmd_check(RgCli *cli, int argc, char **argv)
{
	RgCheck		check = {.cli = cli, .config = &cli->config, .identity = {.lock_fd = -1}};
	RgExit		code = rg_cli_no_more(cli, argc, argv, 1);

	if (code != RG_EXIT_DONE)
		return code;
	if (cli->json)
		check.list = json_array();
	rg_config_files_each(&cli->config, take_file_finding, &check);
	check_user(&check);
	check_identity(&check);
	for (int i = 0; i < cli->config.nnodes; i++)
	{
		rg_check_server(&check, i);
		rg_check_ssh(&check, i);
	}
	for (int i = 0; i < cli->config.nnodes; i++)
		rg_check_reach(&check, i);
	rg_check_cluster(&check);

	if (cli->json)
		rg_cli_print_json(cli, json_pack("{s:s,s:o,s:i,s:i,s:i}", "cluster", cli->config.name, "checks", check.list,
										 "ok", check.counts[RG_FINDING_OK],
										 "warnings", check.counts[RG_FINDING_WARNING],
										 "failed", check.counts[RG_FINDING_FAILED]));
	else
		fprintf(cli->out, "%d ok, %d warning%s, %d failed\n", check.counts[RG_FINDING_OK],
				check.counts[RG_FINDING_WARNING], check.counts[RG_FINDING_WARNING] == 1 ? "" : "s",
				check.counts[RG_FINDING_FAILED]);
	return check.counts[RG_FINDING_FAILED] > 0 ? RG_EXIT_FAILED : RG_EXIT_DONE;
}
