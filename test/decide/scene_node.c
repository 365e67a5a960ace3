/*
 * scene_node.c
 *	  "node NAME key=value ...": what a node shows from now on.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scene.h"

static const Word sql_words[] = {
	{"unknown", RG_SQL_UNKNOWN}, {"ok", RG_SQL_OK}, {"closed", RG_SQL_CLOSED},
	{"refused", RG_SQL_REFUSED}, {"silent", RG_SQL_SILENT}, {"unreachable", RG_SQL_UNREACHABLE},
	{"starting", RG_SQL_STARTING}, {"saturated", RG_SQL_SATURATED}, {"login", RG_SQL_LOGIN},
	{"no-extension", RG_SQL_NO_EXTENSION}, {"wrong-server", RG_SQL_WRONG_SERVER},
	{"other-watchdog", RG_SQL_OTHER_WATCHDOG}, {"lower-counter", RG_SQL_LOWER_COUNTER}, {"error", RG_SQL_ERROR}, {NULL, 0}
};
static const Word ssh_words[] = {
	{"unknown", RG_SSHV_UNKNOWN}, {"ready", RG_SSHV_READY}, {"silent", RG_SSHV_SILENT},
	{"broken", RG_SSHV_BROKEN}, {NULL, 0}
};
static const Word gate_words[] = {
	{"unknown", RG_GATEV_UNKNOWN}, {"open", RG_GATEV_OPEN}, {"closed", RG_GATEV_CLOSED},
	{"override", RG_GATEV_OVERRIDE}, {"off", RG_GATEV_OFF}, {NULL, 0}
};
static const Word postmaster_words[] = {
	{"unknown", RG_PM_UNKNOWN}, {"alive", RG_PM_ALIVE}, {"frozen", RG_PM_FROZEN},
	{"absent", RG_PM_ABSENT}, {NULL, 0}
};
static void
change_sql(Scene *s, const Line *line, int node)
{
	RgNodeView *n = &s->view.nodes[node];
	const char *v;

	if ((v = line_get(line, "sql")) != NULL)
	{
		RgSql		sql = (RgSql) parse_word(line, sql_words, v);

		if (sql != RG_SQL_OK && sql != RG_SQL_UNKNOWN && n->lost_ms == 0)
			n->lost_ms = s->view.now_ms;
		if (sql == RG_SQL_OK)
		{
			n->lost_ms = 0;
			n->facts.valid = true;
			n->sql_text[0] = n->sqlstate[0] = '\0';
		}
		n->sql = sql;
		n->sql_ms = s->view.now_ms;
	}
	if ((v = line_get(line, "lost")) != NULL)
		n->lost_ms = parse_ms(line, v);
	if ((v = line_get(line, "sqlstate")) != NULL)
		RG_COPY(n->sqlstate, v);
	if ((v = line_get(line, "text")) != NULL)
		RG_COPY(n->sql_text, v);
	if ((v = line_get(line, "purpose")) != NULL)
		n->purpose_ms = parse_ms(line, v);
	if ((v = line_get(line, "died")) != NULL)
		n->died_ms = parse_ms(line, v);
	if ((v = line_get(line, "died")) != NULL)
		n->died_ms = parse_ms(line, v);
	if ((v = line_get(line, "fresh")) != NULL)
	{
		RgSql		fresh = (RgSql) parse_word(line, sql_words, v);

		if (fresh != n->fresh)
			n->fresh_since_ms = s->view.now_ms;
		n->fresh = fresh;
	}
	if ((v = line_get(line, "fresh_text")) != NULL)
		RG_COPY(n->fresh_text, v);
	if ((v = line_get(line, "heartbeat")) != NULL)
		s->nodes[node].beats = parse_bool(line, v);
}

static void
change_facts(Scene *s, const Line *line, int node)
{
	RgFacts    *f = &s->view.nodes[node].facts;
	SceneNode  *sn = &s->nodes[node];
	const char *v;

	if ((v = line_get(line, "role")) != NULL)
	{
		f->in_recovery = strcmp(v, "standby") == 0;
		if (!f->in_recovery && strcmp(v, "primary") != 0)
			line_error(line, "role is primary or standby");
		f->writable = !f->in_recovery;
	}
	if ((v = line_get(line, "timeline")) != NULL)
		f->timeline = (uint32_t) parse_int(line, v);
	if ((v = line_get(line, "lsn")) != NULL)
		f->receive_lsn = f->replay_lsn = f->flush_lsn = f->current_lsn = parse_lsn(line, v);
	if ((v = line_get(line, "rule")) != NULL)
		parse_rule(line, s, v, &f->rule);
	if ((v = line_get(line, "durability")) != NULL)
		RG_COPY(f->rule.durability, v);
	if ((v = line_get(line, "terms")) != NULL)
		f->nterms = parse_terms(line, v, f->terms);
	if ((v = line_get(line, "promised")) != NULL)
		f->promised_term = parse_int(line, v);
	if ((v = line_get(line, "promoting")) != NULL)
		f->promoting_term = parse_int(line, v);
	if ((v = line_get(line, "start")) != NULL)
	{
		set_start(s->view.nodes[node].name, parse_int(line, v), &f->start);
		f->lease_left_ms = -1;
	}
	if ((v = line_get(line, "sysid")) != NULL)
		f->system_identifier = parse_int(line, v);
	if ((v = line_get(line, "paused")) != NULL)
		f->replay_paused = parse_bool(line, v);
	if ((v = line_get(line, "lag_bytes")) != NULL)
		f->replay_lag_bytes = parse_int(line, v);
	if ((v = line_get(line, "streaming")) != NULL)
		f->receiver_streaming = parse_bool(line, v);
	if ((v = line_get(line, "upstream")) != NULL)
	{
		sn->upstream = strcmp(v, "-") == 0 ? -1 : parse_node(line, s, v);
		f->receiver_streaming = sn->upstream >= 0;
	}
	if ((v = line_get(line, "sync")) != NULL)
		sn->sync = parse_bool(line, v);
	if ((v = line_get(line, "gate")) != NULL)
	{
		f->gate = (RgGateView) parse_word(line, gate_words, v);
		if (f->gate == RG_GATEV_OPEN && f->lease_left_ms < 0)
			f->lease_left_ms = LEASE_LEFT_MS;
	}
	if ((v = line_get(line, "lease_left")) != NULL)
		f->lease_left_ms = parse_ms(line, v);
	if (line_get(line, "rule") != NULL)
		f->settled = true;
	if ((v = line_get(line, "settled")) != NULL)
		f->settled = parse_bool(line, v);
	if ((v = line_get(line, "rule_quorum")) != NULL)
		f->rule.quorum = (int) parse_int(line, v);
	if ((v = line_get(line, "left_out")) != NULL)
		f->rule.left_out = parse_voters(line, &f->rule, v);
	if ((v = line_get(line, "voters")) != NULL)
		parse_voter_list(line, v, &f->rule);
	if ((v = line_get(line, "hangs")) != NULL)
		sn->hangs = parse_bool(line, v);
	if ((v = line_get(line, "rule_lease")) != NULL)
		f->rule.lease_ms = parse_ms(line, v);
	if ((v = line_get(line, "rule_watchdog")) != NULL)
		RG_COPY(f->rule.watchdog, v);
	if ((v = line_get(line, "disk")) != NULL)
	{
		f->disk = rg_disk_find(v);
		if (strcmp(rg_disk_name(f->disk), v) != 0)
			line_error(line, "no such state of a disk: %s", v);
	}
	if ((v = line_get(line, "disk_text")) != NULL)
		RG_COPY(f->disk_text, v);
	if ((v = line_get(line, "crash_restarts")) != NULL)
		f->crash_restarts = (int) parse_int(line, v);
	if ((v = line_get(line, "ahead")) != NULL)
		RG_COPY(f->ahead, strcmp(v, "-") == 0 ? "" : v);
	if ((v = line_get(line, "start_lsn")) != NULL)
		f->start_lsn = strcmp(v, "-") == 0 ? 0 : parse_lsn(line, v);
	if ((v = line_get(line, "intruder")) != NULL)
		RG_COPY(f->intruder, v);
	if ((v = line_get(line, "hears")) != NULL)
		sn->hears = parse_bool(line, v);
	if ((v = line_get(line, "message")) != NULL)
	{
		sn->message_ms = parse_ms(line, v);
		sn->hears = false;
	}
}

/* "a, b", or "-" for none; "..." at the end: there are more */
static void
parse_slots(const char *v, RgSlotNames *slots)
{
	memset(slots, 0, sizeof(*slots));
	if (strcmp(v, "-") == 0)
		return;
	RG_COPY(slots->names, v);
	slots->count = 1;
	for (; *v != '\0'; v++)
		slots->count += *v == ',';
	slots->more = strstr(slots->names, "...") != NULL;
}

/* What a node tells of its slots. */
static void
change_slots(Scene *s, const Line *line, int node)
{
	RgFacts    *f = &s->view.nodes[node].facts;
	const char *v;

	if ((v = line_get(line, "oldest")) != NULL)
		f->oldest_lsn = parse_lsn(line, v);
	if ((v = line_get(line, "archive")) != NULL)
		f->has_archive = parse_bool(line, v);
	if ((v = line_get(line, "released")) != NULL)
		f->released = strcmp(v, "-") == 0 ? 0 : (uint32_t) 1 << parse_node(line, s, v);
	if ((v = line_get(line, "logical")) != NULL)
		parse_slots(v, &f->logical_slots);
	if ((v = line_get(line, "carried")) != NULL)
		parse_slots(v, &f->carried_slots);
}

static void
change_probe(Scene *s, const Line *line, int node)
{
	RgNodeView *n = &s->view.nodes[node];
	RgOp	   *op = &n->ops[RG_STEP_PROBE];
	const char *v = line_get(line, "probe");

	if (v != NULL)
	{
		n->probe.valid = true;
		n->probe.postmaster = (RgPostmaster) parse_word(line, postmaster_words, v);
		n->probe.system_identifier = n->facts.system_identifier ? n->facts.system_identifier
			: SYSTEM_IDENTIFIER;
		n->probe.clean = n->probe.in_recovery = n->probe.fenced = n->probe.rewinding = false;
		n->probe.recovery[0] = '\0';
		n->probe.pidfile = n->probe.postmaster != RG_PM_ABSENT;
		n->probe.start = n->facts.start;
		n->probe_ms = s->view.now_ms;
		op->state = RG_OP_OK;
		op->ended_ms = s->view.now_ms;
	}
	if ((v = line_get(line, "probe_full")) != NULL)
		n->probe.disk_full = parse_bool(line, v);
	if ((v = line_get(line, "probe_start")) != NULL)
		set_start(n->name, parse_int(line, v), &n->probe.start);
	if ((v = line_get(line, "state")) != NULL)
	{
		RG_COPY(n->probe.state, v);
		n->probe.clean = strncmp(v, "shut down", 9) == 0;
		n->probe.in_recovery = strstr(v, "recovery") != NULL && !n->probe.clean;
	}
	if ((v = line_get(line, "checkpoint")) != NULL)
		n->probe.checkpoint_lsn = parse_lsn(line, v);
	if ((v = line_get(line, "probe_promised")) != NULL)
		n->probe.promised_term = parse_int(line, v);
	if ((v = line_get(line, "pidfile")) != NULL)
		n->probe.pidfile = parse_bool(line, v);
	if ((v = line_get(line, "fenced")) != NULL)
		n->probe.fenced = parse_bool(line, v);
	if ((v = line_get(line, "rewinding")) != NULL)
		n->probe.rewinding = parse_bool(line, v);
	if ((v = line_get(line, "recovery")) != NULL)
		RG_COPY(n->probe.recovery, v);
	if ((v = line_get(line, "probe_sysid")) != NULL)
		n->probe.system_identifier = parse_int(line, v);
	if ((v = line_get(line, "ssh")) != NULL)
	{
		n->ssh = (RgSshView) parse_word(line, ssh_words, v);
		if (n->ssh == RG_SSHV_READY)
			n->ssh_text[0] = '\0';
	}
	if ((v = line_get(line, "ssh_text")) != NULL)
		RG_COPY(n->ssh_text, v);
	if ((v = line_get(line, "priority")) != NULL)
		n->priority = (int) parse_int(line, v);
	if ((v = line_get(line, "cascades")) != NULL)
		RG_COPY(n->upstream, strcmp(v, "-") == 0 ? "" : v);
	if ((v = line_get(line, "copied")) != NULL)
		n->copy_bytes = parse_int(line, v);
	if ((v = line_get(line, "total")) != NULL)
		n->copy_total = parse_int(line, v);
}

void
scene_change_node(Scene *s, const Line *line)
{
	static const char *const keys[] = {"sql", "lost", "sqlstate", "text", "purpose", "died", "fresh",
		"fresh_text", "heartbeat", "role", "timeline", "lsn", "rule", "durability", "terms", "promised",
		"promoting", "start", "sysid", "paused", "lag_bytes", "streaming", "upstream", "sync", "hears",
		"message", "probe", "probe_start", "state", "pidfile", "fenced", "rewinding", "recovery", "probe_sysid", "ssh",
	"ssh_text", "priority", "copied", "total", "gate", "lease_left", "rule_lease", "rule_watchdog",
	"ahead", "start_lsn", "intruder", "checkpoint", "probe_promised", "cascades", "oldest", "archive", "released", "logical", "carried",
	"settled", "rule_quorum", "left_out", "voters", "hangs", "disk", "disk_text",
	"crash_restarts", "probe_full", NULL};
	int			node;

	if (line->nwords < 3)
		line_error(line, "node NAME key=value …");
	node = parse_node(line, s, line->words[1]);
	line_known(line, 2, keys);
	change_facts(s, line, node);
	change_slots(s, line, node);
	change_sql(s, line, node);
	change_probe(s, line, node);
}
