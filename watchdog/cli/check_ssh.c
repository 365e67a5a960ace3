/*
 * check_ssh.c
 *	  The SSH session and the helper behind it, with regentd's own code.
 *
 * A fence over SSH proves something only if the helper looks at the very server
 * that answers on the port (attack F14): so its answer is compared with
 * what SQL told: system identifier, boot id, pid and start of the postmaster.
 */
#include "check.h"
#include "text.h"
#include "../base/clock.h"
#include "../io/ssh.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SSH_CONNECT_MS 5000
#define PROBE_MS 5000
#define REACH_MS 40000

typedef struct Probe
{
	struct event_base *base;
	RgSshState	state;
	bool		is_over;
	char		reason[512];
	char		hint[512];
	char		line[RG_SSH_LINE_MAX];	/* the last one */
	RgSshEnd	end;
	int			status;
	char		errors[512];
} Probe;

static void
on_state(void *arg, RgSsh *ssh, RgSshState state, const char *reason, const char *hint)
{
	Probe	   *probe = arg;

	(void) ssh;
	probe->state = state;
	snprintf(probe->reason, sizeof(probe->reason), "%s", reason);
	snprintf(probe->hint, sizeof(probe->hint), "%s", hint != NULL ? hint : "");
	if (state != RG_SSH_UNKNOWN && state != RG_SSH_CONNECTING)
		event_base_loopbreak(probe->base);
}

static void
on_line(void *arg, const char *line)
{
	Probe	   *probe = arg;

	snprintf(probe->line, sizeof(probe->line), "%s", line);
}

static void
on_done(void *arg, RgSshEnd end, int exit_status, const char *errors)
{
	Probe	   *probe = arg;

	probe->is_over = true;
	probe->end = end;
	probe->status = exit_status;
	snprintf(probe->errors, sizeof(probe->errors), "%.*s", (int) strcspn(errors, "\r\n"), errors);
	event_base_loopbreak(probe->base);
}

/* One turn of the loop, ended by a callback or by the time. */
static void
turn(Probe *probe, int ms)
{
	const struct timeval limit = {.tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000};

	event_base_loopexit(probe->base, &limit);
	event_base_dispatch(probe->base);
}

/* Same server as the one behind the port?  Reports. */
static void
compare(RgCheck *check, int node, const json_t *answer)
{
	const char *name = check->config->nodes[node].name;
	const RgCheckNode *n = &check->nodes[node];
	char		pid[32];
	char		start[32];
	const char *difference = NULL;

	if (!n->answers)
	{
		rg_check_say(check, RG_FINDING_WARNING, name, "regent-node answers (postmaster %s), but without SQL it can't be "
					 "shown that it looks at the right server\tmend the login above",
					 rg_json_text(answer, "postmaster", "unknown"));
		return;
	}
	snprintf(pid, sizeof(pid), "%" PRId64, rg_json_number(answer, "pid", 0));
	snprintf(start, sizeof(start), "%" PRId64, rg_json_number(answer, "postmaster_start", 0));
	if (strcmp(rg_json_text(answer, "system_identifier", ""), n->system_identifier) != 0)
		difference = "system identifier";
	else if (n->boot_id[0] != '\0' && strcmp(rg_json_text(answer, "boot_id", ""), n->boot_id) != 0)
		difference = "boot id of the host";
	else if (n->postmaster_pid[0] != '\0' && strcmp(pid, n->postmaster_pid) != 0)
		difference = "pid of the postmaster";
	else if (llabs(strtoll(start, NULL, 10) - strtoll(n->start_epoch, NULL, 10)) > 2)
		difference = "start of the postmaster";
	if (difference != NULL)
		rg_check_say(check, RG_FINDING_FAILED, name, "regent-node looks at another server than the one on port %d: the %s "
					 "differs\tcorrect data_directory in /etc/regent/node.conf on the host, or ssh_host in regent.conf",
					 check->config->nodes[node].port, difference);
	else
		rg_check_say(check, RG_FINDING_OK, name, "regent-node looks at the very server (pid %s)", pid);
}

static void
judge_answer(RgCheck *check, int node, const json_t *answer)
{
	const char *name = check->config->nodes[node].name;
	int64_t		free_bytes = rg_json_number(answer, "disk_free_bytes", -1);
	int64_t		total_bytes = rg_json_number(answer, "disk_total_bytes", -1);
	char		size[RG_TEXT_SHORT];

	if (!rg_json_true(answer, "ok"))
	{
		rg_check_say(check, RG_FINDING_FAILED, name, "regent-node: %s: %s\t%s", rg_json_text(answer, "error", "error"),
					 rg_json_text(answer, "detail", ""), rg_json_text(answer, "hint", "look at regent-node's message"));
		return;
	}
	if (rg_json_text(answer, "postmaster", NULL) == NULL)
	{
		rg_check_say(check, RG_FINDING_FAILED, name, "the probe's answer is not that of regent-node"
					 "\tinstall the same version of pg_regent on the node: make install-node");
		return;
	}
	compare(check, node, answer);
	if (!rg_json_true(answer, "directory_ok"))
		rg_check_say(check, RG_FINDING_FAILED, name, "regent-node can't use the data directory"
					 "\tlet it run as the owner of the data directory (ssh_user in regent.conf)");
	if (rg_json_true(answer, "fenced"))
		rg_check_say(check, RG_FINDING_WARNING, name, "this node was fenced and has not come back yet\tregent status; "
					 "if it stays so: regent rebuild %s", name);
	if (rg_json_true(answer, "hypervisor"))
		rg_check_say(check, RG_FINDING_OK, name, "its host runs under a hypervisor: one that pauses it stops its clock, and with "
					 "durability = async it may acknowledge writes for a lease after it goes on");
	if (free_bytes >= 0 && total_bytes > 0 && free_bytes < total_bytes / 10)
		rg_check_say(check, RG_FINDING_WARNING, name, "only %s are free on the disk of the data directory, or of its WAL"
					 "\tmake room: a rebuild keeps the old directory until the copy streams",
					 rg_text_bytes(free_bytes, size, sizeof(size)));
}

/* The command's end without an answer that can be read. */
static void
report_silence(RgCheck *check, int node, const Probe *probe, const char *verb, int deadline_ms)
{
	const char *name = check->config->nodes[node].name;

	if (!probe->is_over)
		rg_check_say(check, RG_FINDING_FAILED, name, "regent-node did not answer %s within %d s\trun it on the host by hand: "
					 "regent-node %s %s", verb, deadline_ms / 1000, name, verb);
	else if (probe->end == RG_SSH_LOST)
		rg_check_say(check, RG_FINDING_FAILED, name, "the SSH session was lost during the %s\tlook into sshd's log "
					 "on the host", verb);
	else
		rg_check_say(check, RG_FINDING_FAILED, name, "the %s failed with exit status %d%s%s\tinstall the helper on the "
					 "host (make install-node) and give the key's line in authorized_keys its command=\"…\"",
					 verb, probe->status, probe->errors[0] != '\0' ? ": " : "", probe->errors);
}

/* Runs words of the helper, the verb is the third; its answer, or NULL, which is reported. */
static json_t *
run_helper(RgCheck *check, int node, RgSsh *ssh, Probe *probe, const char *const *words, int deadline_ms)
{
	int64_t		deadline = rg_clock_now_ms() + deadline_ms + 500;
	char		err[256];
	json_t	   *answer;

	probe->is_over = false;
	probe->line[0] = '\0';
	if (rg_ssh_exec(ssh, words, deadline_ms, on_line, on_done, probe, err, sizeof(err)) == NULL)
	{
		rg_check_say(check, RG_FINDING_FAILED, check->config->nodes[node].name, "the %s could not be sent: %s", words[2], err);
		return NULL;
	}
	/* the command has the same deadline of its own */
	while (!probe->is_over && rg_clock_now_ms() < deadline)
		turn(probe, (int) (deadline - rg_clock_now_ms()) + 1);
	answer = json_loads(probe->line, 0, NULL);
	if (json_is_object(answer))
		return answer;
	report_silence(check, node, probe, words[2], deadline_ms);
	json_decref(answer);
	return NULL;
}

static void
run_probe(RgCheck *check, int node, RgSsh *ssh, Probe *probe)
{
	const char *const words[] = {"regent-node", check->config->nodes[node].name, "probe", NULL};
	json_t	   *answer = run_helper(check, node, ssh, probe, words, PROBE_MS);

	if (answer != NULL)
		judge_answer(check, node, answer);
	json_decref(answer);
}

/* A verb of the helper that names another node as source; its answer, or NULL, which is reported. */
static json_t *
ask_about(RgCheck *check, int node, int other, const char *verb, RgSsh *ssh, Probe *probe)
{
	const RgConfig *config = check->config;
	const RgNodeConfig *to = &config->nodes[other];
	const char *name = config->nodes[node].name;
	char		port[16];
	char		slot[RG_NAME_MAX + 8];
	const char *const words[] = {"regent-node", name, verb, to->name, to->host, port, config->replication_user,
	config->replication_passfile[0] != '\0' ? config->replication_passfile : "-", slot, NULL};

	snprintf(port, sizeof(port), "%d", to->port);
	snprintf(slot, sizeof(slot), "regent_%s", name);
	return run_helper(check, node, ssh, probe, words, REACH_MS);
}

/* From this host to another node, as the replication user: what a copy and a rewind need. */
static void
reach(RgCheck *check, int node, int other, RgSsh *ssh, Probe *probe)
{
	const RgNodeConfig *to = &check->config->nodes[other];
	const char *name = check->config->nodes[node].name;
	json_t	   *answer = ask_about(check, node, other, "reach", ssh, probe);

	if (rg_json_true(answer, "ok"))
		rg_check_say(check, RG_FINDING_OK, name, "it can replicate from %s, and be rewound from there", to->name);
	else if (answer != NULL && strcmp(rg_json_text(answer, "error", ""), "not_possible") == 0)
		rg_check_say(check, RG_FINDING_WARNING, name, "it could not be rewound from %s, only copied: %s\t%s", to->name,
					 rg_json_text(answer, "detail", ""), rg_json_text(answer, "hint", "regent init"));
	else if (answer != NULL)
		rg_check_say(check, RG_FINDING_FAILED, name, "it could not replicate from %s: %s\t%s", to->name,
					 rg_json_text(answer, "detail", ""), rg_json_text(answer, "hint", "look at regent-node's message"));
	json_decref(answer);
}

/*
 * Room for each part of a copy of the primary: data directory, tablespaces, a
 * pg_wal elsewhere.  For a node whose server runs that is needed some day only.
 */
static void
look_at_places(RgCheck *check, int node, int source, RgSsh *ssh, Probe *probe)
{
	const char *name = check->config->nodes[node].name;
	const char *from = check->config->nodes[source].name;
	json_t	   *answer = ask_about(check, node, source, "places", ssh, probe);

	if (rg_json_true(answer, "copying"))
		rg_check_say(check, RG_FINDING_OK, name, "a copy is under way there, or was interrupted: its places are not looked at");
	else if (rg_json_true(answer, "ok"))
		rg_check_say(check, RG_FINDING_OK, name, "a copy of %s has a place for each of its parts", from);
	else if (answer != NULL)
		rg_check_say(check, check->nodes[node].answers ? RG_FINDING_WARNING : RG_FINDING_FAILED, name,
					 "it could not be copied from %s: %s\t%s", from, rg_json_text(answer, "detail", ""),
					 rg_json_text(answer, "hint", "look at regent-node's message"));
	json_decref(answer);
}

/* Whom a copy would be taken from: the primary, for itself the first other one; -1: nobody answers. */
static int
copy_source(const RgCheck *check, int node)
{
	int			source = -1;

	for (int i = check->config->nnodes - 1; i >= 0; i--)
		if (i != node && check->nodes[i].answers && (source < 0 || check->nodes[source].is_standby))
			source = i;
	return source;
}

/* A session that is ready, or NULL, which is reported where asked. */
static RgSsh *
open_ssh(RgCheck *check, int node, Probe *probe, bool reports)
{
	const RgConfig *config = check->config;
	const RgNodeConfig *n = &config->nodes[node];
	RgSshParams params = {.port = n->ssh_port, .connect_deadline_ms = SSH_CONNECT_MS, .keepalive_ms = SSH_CONNECT_MS};
	RgSsh	   *ssh;
	RgError		err = {0};

	snprintf(params.node, sizeof(params.node), "%s", n->name);
	snprintf(params.host, sizeof(params.host), "%s", n->ssh_host);
	snprintf(params.user, sizeof(params.user), "%s", config->ssh_user);
	snprintf(params.key_file, sizeof(params.key_file), "%s", config->ssh_key);
	snprintf(params.known_hosts, sizeof(params.known_hosts), "%s", config->ssh_known_hosts);
	if (rg_session_resolve(n->ssh_host, params.hostaddr, sizeof(params.hostaddr), &err) != 0)
	{
		if (reports)
			rg_check_say(check, RG_FINDING_FAILED, n->name, "SSH: %s\t%s", err.message, err.hint);
		return NULL;
	}
	ssh = rg_ssh_new(probe->base, &params, on_state, probe);
	if (ssh == NULL)
		return NULL;
	rg_ssh_start(ssh);
	turn(probe, SSH_CONNECT_MS + 500);
	if (probe->state == RG_SSH_READY)
		return ssh;
	if (reports)
		rg_check_say(check, RG_FINDING_FAILED, n->name, "no SSH session as %s at %s port %d: %s\t%s", config->ssh_user,
					 n->ssh_host, n->ssh_port, probe->reason[0] != '\0' ? probe->reason : "no answer",
					 probe->hint[0] != '\0' ? probe->hint : "look into sshd's log on the host");
	rg_ssh_free(ssh);
	return NULL;
}

void
rg_check_ssh(RgCheck *check, int node)
{
	const RgNodeConfig *n = &check->config->nodes[node];
	Probe		probe = {.base = event_base_new()};
	RgSsh	   *ssh = probe.base != NULL ? open_ssh(check, node, &probe, true) : NULL;

	if (ssh != NULL)
	{
		rg_check_say(check, RG_FINDING_OK, n->name, "SSH as %s at %s port %d", check->config->ssh_user, n->ssh_host, n->ssh_port);
		run_probe(check, node, ssh, &probe);
	}
	rg_ssh_free(ssh);
	if (probe.base != NULL)
		event_base_free(probe.base);
}

void
rg_check_reach(RgCheck *check, int node)
{
	Probe		probe = {.base = event_base_new()};
	RgSsh	   *ssh = probe.base != NULL ? open_ssh(check, node, &probe, false) : NULL;
	int			source = copy_source(check, node);

	for (int other = 0; ssh != NULL && other < check->config->nnodes; other++)
		if (other != node && check->nodes[other].answers)
			reach(check, node, other, ssh, &probe);
	if (ssh != NULL && source >= 0)
		look_at_places(check, node, source, ssh, &probe);
	rg_ssh_free(ssh);
	if (probe.base != NULL)
		event_base_free(probe.base);
}
