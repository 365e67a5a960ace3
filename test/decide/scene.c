/*
 * scene.c
 *	  Statements of a case that change what the core is shown.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scene.h"
#include "watchdog/core/enlist.h"
#include "watchdog/core/order.h"
#include "watchdog/core/order_rule.h"
#include "watchdog/core/phase.h"


/* ---- statements ---- */

static void
add_nodes(Scene *s, const Line *line)
{
	for (int i = 1; i < line->nwords; i++)
	{
		RgNodeView *n;
		SceneNode  *sn;

		if (strchr(line->words[i], '=') != NULL)
			continue;
		if (s->view.nnodes >= RG_CORE_NODES_MAX)
			line_error(line, "too many nodes");
		n = &s->view.nodes[s->view.nnodes];
		sn = &s->nodes[s->view.nnodes++];
		RG_COPY(n->name, line->words[i]);
		n->priority = 100;
		sn->beats = sn->hears = true;
		sn->upstream = -1;
		sn->message_ms = -1;
	}
}

/* cascades=n4:n2: n4 has n2 as its upstream, and no vote. */
static void
set_cascade(Scene *s, const Line *line)
{
	const char *text = line_get(line, "cascades");
	const char *colon = text != NULL ? strchr(text, ':') : NULL;
	char		name[RG_CORE_NAME_MAX];

	if (text == NULL)
		return;
	if (colon == NULL)
		line_error(line, "cascades=NODE:UPSTREAM");
	(void) snprintf(name, sizeof(name), "%.*s", (int) (colon - text), text);
	(void) parse_node(line, s, colon + 1);
	RG_COPY(s->view.nodes[parse_node(line, s, name)].upstream, colon + 1);
}

/* guest=n4: the configuration has it, and nothing is known of it. */
static void
set_guest(Scene *s, const Line *line)
{
	const char *name = line_get(line, "guest");

	if (name != NULL)
		s->nodes[parse_node(line, s, name)].guest = true;
}

/* A healthy cluster: rule TERM, everybody streams from the leader, helpers have shown all. */
static void
make_healthy(Scene *s, const Line *line)
{
	const char *leader = line_get(line, "leader");
	const char *term = line_get(line, "term");
	const char *durability = line_get(line, "durability");
	const char *quorum = line_get(line, "quorum");
	int			first = leader != NULL ? parse_node(line, s, leader) : 0;
	char		rule[200];

	if (durability != NULL)
		RG_COPY(s->durability, durability);
	if (quorum != NULL)
		s->quorum = (int) parse_int(line, quorum);
	(void) snprintf(rule, sizeof(rule), "%s.1:%.60s", term ? term : "1", s->view.nodes[first].name);
	for (int i = 0; i < s->view.nnodes; i++)
	{
		RgNodeView *n = &s->view.nodes[i];
		RgFacts    *f = &n->facts;

		RG_COPY(s->memory.nodes[i].name, n->name);
		if (s->nodes[i].guest)
			continue;
		f->valid = true;
		f->in_recovery = i != first;
		f->writable = i == first;
		f->gate = i == first ? RG_GATEV_OPEN : RG_GATEV_UNKNOWN;
		f->settled = true;
		f->lease_left_ms = i == first ? LEASE_LEFT_MS : -1;
		f->timeline = 1;
		f->receive_lsn = f->replay_lsn = f->flush_lsn = f->current_lsn = 0x5000000;
		f->system_identifier = SYSTEM_IDENTIFIER;
		parse_rule(line, s, rule, &f->rule);
		f->nterms = parse_terms(line, "1:1", f->terms);
		f->terms[0].term = f->rule.term;
		set_start(n->name, 100 * (i + 1), &f->start);
		n->sql = RG_SQL_OK;
		n->fresh = RG_SQL_OK;
		n->ssh = RG_SSHV_READY;
		n->probe.valid = true;
		n->probe.postmaster = RG_PM_ALIVE;
		n->probe.pidfile = true;
		n->probe.start = f->start;
		n->probe.system_identifier = SYSTEM_IDENTIFIER;
		RG_COPY(n->probe.state, i == first ? "in production" : "in archive recovery");
		n->probe.in_recovery = i != first;
		s->nodes[i].upstream = i == first ? -1 : first;
		f->receiver_streaming = i != first;
		s->memory.nodes[i].shown = f->start;
		if (i == first)
			s->memory.nodes[i].admitted = f->start;
		s->memory.nodes[i].state = RG_STATE_OK;
	}
	s->memory.nnodes = s->view.nnodes;
	s->memory.phase = RG_PHASE_STEADY;
	s->memory.diagnosis = RG_DIAG_HEALTHY;
	parse_rule(line, s, rule, &s->memory.rule);
	s->memory.term = s->memory.highest_term = s->memory.rule.term;
	s->memory.confirmed = true;
	s->memory.newest = (RgPosition) {s->memory.rule.term, 1, 1, 0x5000000};
	s->memory.lease_ms = s->memory.rule.lease_ms;
}

static void
change_settings(Scene *s, const Line *line)
{
	static const char *const keys[] = {"heartbeat_interval", "lease", "restart_budget", "hang_budget",
	"auto_failover", "auto_rejoin", "promote_via", "clock_jumped", "max_lag_time",
	"on_disk_full", "crash_limit", "crash_window",
	"rebuild_jobs", "rebuild_rate", NULL};
	RgSettings *t = &s->view.settings;
	const char *v;

	line_known(line, 1, keys);
	if ((v = line_get(line, "heartbeat_interval")) != NULL)
		t->heartbeat_interval_ms = parse_ms(line, v);
	if ((v = line_get(line, "lease")) != NULL)
		t->lease_ms = parse_ms(line, v);
	if ((v = line_get(line, "restart_budget")) != NULL)
		t->restart_budget_ms = parse_ms(line, v);
	if ((v = line_get(line, "hang_budget")) != NULL)
		t->hang_budget_ms = parse_ms(line, v);
	if ((v = line_get(line, "max_lag_time")) != NULL)
		t->max_lag_ms = parse_ms(line, v);
	if ((v = line_get(line, "auto_failover")) != NULL)
		t->auto_failover = parse_bool(line, v);
	if ((v = line_get(line, "auto_rejoin")) != NULL)
		t->auto_rejoin = parse_bool(line, v);
	if ((v = line_get(line, "promote_via")) != NULL)
	{
		t->promote_sql = strcmp(v, "ssh") != 0;
		t->promote_ssh = strcmp(v, "sql") != 0;
	}
	if ((v = line_get(line, "on_disk_full")) != NULL)
		t->disk_failover = strcmp(v, "failover") == 0;
	if ((v = line_get(line, "crash_limit")) != NULL)
		t->crash_limit = (int) parse_int(line, v);
	if ((v = line_get(line, "crash_window")) != NULL)
		t->crash_window_ms = parse_ms(line, v);
	if ((v = line_get(line, "rebuild_jobs")) != NULL)
		t->rebuild_jobs = (int) parse_int(line, v);
	if ((v = line_get(line, "rebuild_rate")) != NULL)
		t->rebuild_rate_kb = parse_int(line, v);
	if ((v = line_get(line, "clock_jumped")) != NULL)
		s->view.clock_jumped = parse_bool(line, v);
}

static const Word op_words[] = {
	{"ok", RG_OP_OK}, {"refused", RG_OP_REFUSED}, {"failed", RG_OP_FAILED}, {"lost", RG_OP_LOST},
	{NULL, 0}
};

/* The server's answer to promise(): from its facts where the line says nothing else. */
static void
answer_promise(Scene *s, const Line *line, int node, RgStepKind kind, bool complete)
{
	RgNodeView *n = &s->view.nodes[node];
	RgPromise  *p = &n->promise;
	const char *v;

	memset(p, 0, sizeof(*p));
	p->term = n->ops[kind].term;
	p->complete = complete;
	p->rule = n->facts.rule;
	p->position.rule_term = n->facts.rule.term;
	p->position.rule_seq = n->facts.rule.seq;
	p->position.timeline = n->facts.timeline;
	p->position.lsn = n->facts.replay_lsn;
	p->promoting_term = n->facts.promoting_term;
	p->nterms = n->facts.nterms;
	memcpy(p->terms, n->facts.terms, sizeof(p->terms));
	p->start = n->facts.start;
	p->by_primary = !n->facts.in_recovery;
	p->at_ms = s->view.now_ms;
	p->last_wal_age_ms = s->nodes[node].message_ms < 0 ? -1 : s->view.now_ms - s->nodes[node].message_ms;
	if ((v = line_get(line, "wal_age")) != NULL)
		p->last_wal_age_ms = parse_ms(line, v);
	if ((v = line_get(line, "lsn")) != NULL)
		p->position.lsn = parse_lsn(line, v);
	if ((v = line_get(line, "held")) != NULL)
		p->held_lsn = parse_lsn(line, v);
	if ((v = line_get(line, "timeline")) != NULL)
		p->position.timeline = (uint32_t) parse_int(line, v);
	if ((v = line_get(line, "terms")) != NULL)
		p->nterms = parse_terms(line, v, p->terms);
	if ((v = line_get(line, "start")) != NULL)
		set_start(n->name, parse_int(line, v), &p->start);
	n->facts.promised_term = p->term;
	n->facts.receiver_streaming = false;
	s->nodes[node].upstream = -1;
}

/* FROM-TO, as a helper has measured what its node holds beyond the fork. */
static void
change_loss(const Line *line, RgNodeView *n, const char *range)
{
	char		from[32];

	(void) snprintf(from, sizeof(from), "%.*s", (int) strcspn(range, "-"), range);
	if (strchr(range, '-') == NULL)
		line_error(line, "lost=FROM-TO");
	n->diverged = (RgLoss) {.measured = true, .from_lsn = parse_lsn(line, from),
		.to_lsn = parse_lsn(line, strchr(range, '-') + 1), .transactions = 3, .kept = "/kept"};
	n->diverged.bytes = (int64_t) (n->diverged.to_lsn - n->diverged.from_lsn);
}

static void
change_answer(Scene *s, const Line *line)
{
	static const char *const keys[] = {"text", "attempts", "lsn", "held", "timeline", "terms", "start", "wal_age",
	"lost", NULL};
	RgStepKind	kind;
	RgNodeView *n;
	RgOp	   *op;
	int			node;
	bool		promise;
	const char *how;
	const char *text = line_get(line, "text");

	if (line->nwords < 4)
		line_error(line, "answer NODE STEP OUTCOME [key=value …]");
	node = parse_node(line, s, line->words[1]);
	kind = parse_step(line, line->words[2]);
	how = line->words[3];
	line_known(line, 4, keys);
	n = &s->view.nodes[node];
	op = &n->ops[kind];
	if (op->state != RG_OP_RUNNING)
		line_error(line, "no %s runs on %s: nothing to answer", rg_step_name(kind), n->name);
	promise = (kind == RG_STEP_PROMISE || kind == RG_STEP_FETCH) &&
		(strcmp(how, "complete") == 0 || strcmp(how, "incomplete") == 0);
	if (line_get(line, "lost") != NULL)
		change_loss(line, n, line_get(line, "lost"));
	op->ended_ms = s->view.now_ms;
	RG_COPY(op->text, text != NULL ? text : "");
	if (line_get(line, "attempts") != NULL)
		op->attempts = (int) parse_int(line, line_get(line, "attempts"));
	op->state = promise ? RG_OP_OK : (RgOpState) parse_word(line, op_words, how);
	if (promise)
		answer_promise(s, line, node, kind, strcmp(how, "complete") == 0);
	else if ((kind == RG_STEP_PROMISE || kind == RG_STEP_FETCH) && op->state == RG_OP_OK)
		line_error(line, "a promise is complete or incomplete");
	if (kind == RG_STEP_FENCE && op->state == RG_OP_OK)
	{
		/* as the daemon takes the helper's answer */
		n->probe.valid = n->probe.fenced = true;
		n->probe.postmaster = RG_PM_ABSENT;
		n->probe_ms = s->view.now_ms;
	}
}

/* The watchdog starts again: memory from the journal, everything else has to be seen anew. */
static void
change_restart(Scene *s)
{
	for (int i = 0; i < s->view.nnodes; i++)
	{
		RgNodeView *n = &s->view.nodes[i];
		RgNodeView	fresh;

		memset(&fresh, 0, sizeof(fresh));
		RG_COPY(fresh.name, n->name);
		fresh.priority = n->priority;
		RG_COPY(fresh.upstream, n->upstream);
		/* what the node will say when it is asked again; only its first heartbeat makes it valid */
		fresh.facts = n->facts;
		fresh.facts.valid = false;
		*n = fresh;
		s->memory.nodes[i].state = RG_STATE_UNKNOWN;	/* not in the journal */
	}
	s->view.started_ms = s->view.now_ms;
	s->memory.newest_ms = s->memory.closed_ms = s->memory.told_ms = s->memory.behind_ms = 0;
	for (int i = 0; i < RG_CORE_NODES_MAX; i++)
	{
		s->memory.nodes[i].apart_ms = s->memory.nodes[i].upstream_ms = 0;
		s->memory.nodes[i].cascades = s->memory.nodes[i].upstream_fit = false;
		s->memory.nodes[i].apart_ms = s->memory.nodes[i].heard_ms = 0;
		memset(&s->memory.nodes[i].met, 0, sizeof(s->memory.nodes[i].met));
	}
	for (int i = 0; i < RG_JOBS_MAX; i++)
	{
		s->memory.jobs[i].begun_here = s->memory.jobs[i].elsewhere = false;
		s->memory.jobs[i].serial = 0;
	}
	if (s->view.maybe_restored)
		s->memory.confirmed = false;
	if (!rg_phase_is_failover(s->memory.phase))
	{
		s->memory.phase = RG_PHASE_STARTING;
		s->memory.phase_ms = s->view.now_ms;
	}
}

static void
change_memory(Scene *s, const Line *line)
{
	static const char *const keys[] = {"highest_term", "newest", "lease", "takeover", "shown", "fenced_term",
	"rebuilds", "stale", "admitted", "half", "owes", "strayed", NULL};
	const char *v;
	int			node = -1;

	if (line->nwords > 1 && strchr(line->words[1], '=') == NULL)
		node = parse_node(line, s, line->words[1]);
	line_known(line, node >= 0 ? 2 : 1, keys);
	if ((v = line_get(line, "highest_term")) != NULL)
		s->memory.highest_term = parse_int(line, v);
	if ((v = line_get(line, "newest")) != NULL)
		s->memory.newest.lsn = parse_lsn(line, v);
	if ((v = line_get(line, "lease")) != NULL)
		s->memory.lease_ms = parse_ms(line, v);
	if ((v = line_get(line, "takeover")) != NULL)
		s->memory.takeover = parse_bool(line, v);
	if (node < 0)
		return;
	if ((v = line_get(line, "shown")) != NULL)
	{
		if (strcmp(v, "-") == 0)
			memset(&s->memory.nodes[node].shown, 0, sizeof(RgServerStart));
		else
			set_start(s->view.nodes[node].name, parse_int(line, v), &s->memory.nodes[node].shown);
	}
	if ((v = line_get(line, "admitted")) != NULL)
		set_start(s->view.nodes[node].name, parse_int(line, v), &s->memory.nodes[node].admitted);
	if ((v = line_get(line, "half")) != NULL)
		s->memory.nodes[node].half_rewound = (RgRewound) parse_int(line, v);
	if ((v = line_get(line, "owes")) != NULL)
		s->memory.nodes[node].owes_lsn = parse_lsn(line, v);
	if ((v = line_get(line, "strayed")) != NULL)
		s->memory.nodes[node].strayed = parse_bool(line, v);
	if ((v = line_get(line, "stale")) != NULL)
		s->memory.nodes[node].stale = parse_bool(line, v);
	if ((v = line_get(line, "fenced_term")) != NULL)
		s->memory.nodes[node].fenced_term = parse_int(line, v);
	if ((v = line_get(line, "rebuilds")) != NULL)
		s->memory.nodes[node].rebuilds = (int) parse_int(line, v);
}

/* A node goes out of the configuration, or the nodes change places. */
static void
change_configuration(Scene *s, const Line *line)
{
	RgView		old = s->view;
	SceneNode	old_nodes[RG_CORE_NODES_MAX];

	memcpy(old_nodes, s->nodes, sizeof(old_nodes));
	memset(s->view.nodes, 0, sizeof(s->view.nodes));
	s->view.nnodes = 0;
	for (int i = 1; i < line->nwords; i++)
	{
		int			from = rg_view_find(&old, line->words[i]);

		if (from < 0)
			line_error(line, "there was no node \"%s\"", line->words[i]);
		s->view.nodes[s->view.nnodes] = old.nodes[from];
		s->nodes[s->view.nnodes] = old_nodes[from];
		if (old_nodes[from].upstream >= 0)
		{
			s->nodes[s->view.nnodes].upstream = -1;
			for (int k = 1; k < line->nwords; k++)
				if (strcmp(line->words[k], old.nodes[old_nodes[from].upstream].name) == 0)
					s->nodes[s->view.nnodes].upstream = k - 1;
		}
		s->view.nnodes++;
	}
}

/* NODE [method= from= force= rate= id=] */
void
parse_rebuild(const Line *line, int first, RgRebuild *ret)
{
	const char *v;

	*ret = (RgRebuild) {.node = line->words[first], .from = line_get(line, "from")};
	if ((v = line_get(line, "method")) != NULL && strcmp(v, "auto") != 0 &&
		(ret->method = rg_method_find(v)) == RG_METHOD_AUTO)
		line_error(line, "there is no method \"%s\"", v);
	if ((v = line_get(line, "force")) != NULL)
		ret->force = parse_bool(line, v);
	if ((v = line_get(line, "rate")) != NULL)
		ret->rate_kb = parse_int(line, v);
	if ((v = line_get(line, "id")) != NULL)
		ret->id = parse_int(line, v);
}

static void
change_request(Scene *s, const Line *line)
{
	static const char *const keys[] = {"id", "method", "from", "force", "rate", NULL};
	RgRebuild	rebuild;

	if (line->nwords < 2)
		line_error(line, "request-rebuild NODE [key=value …]");
	line_known(line, 2, keys);
	parse_rebuild(line, 1, &rebuild);
	/* as the daemon does between rounds */
	if (!rg_job_add(&s->memory, &s->view, &rebuild))
		line_error(line, "the job was not taken");
}

/* set durability|quorum VALUE; voters n1,n2 [lost=n3] */
static void
change_wish(Scene *s, const Line *line)
{
	static const char *const keys[] = {"lost", NULL};
	RgRule		rule = {0};
	uint32_t	lost = 0;
	char		why[RG_TEXT_MAX];
	bool		taken;
	const char *v;

	if (line->nwords < (strcmp(line->words[0], "set") == 0 ? 3 : 2))
		line_error(line, "set durability|quorum VALUE, or voters n1,n2 [lost=n3]");
	if (strcmp(line->words[0], "set") == 0)
	{
		bool		is_quorum = strcmp(line->words[1], "quorum") == 0;

		taken = rg_order_set(&s->view, &s->memory, is_quorum ? NULL : line->words[2],
							 is_quorum ? (int) parse_int(line, line->words[2]) : 0, why);
	}
	else
	{
		line_known(line, 2, keys);
		parse_voter_list(line, line->words[1], &rule);
		if ((v = line_get(line, "lost")) != NULL)
			lost = 1u << parse_node(line, s, v);
		taken = rg_order_voters(&s->view, &s->memory, rule.voters, rule.nvoters, lost, why);
	}
	if (!taken)
		line_error(line, "the order was refused: %s", why);
}

/* cancel JOB: as the daemon does between rounds */
static void
change_cancel(Scene *s, const Line *line)
{
	char		buf[RG_TEXT_MAX];
	const char *why;

	if (line->nwords < 2)
		line_error(line, "cancel JOB");
	why = rg_job_cancel(&s->view, &s->memory, parse_int(line, line->words[1]), buf);
	if (why != NULL)
		line_error(line, "it was refused: %s", why);
}

/* switchover [NODE] | accept-loss NODE | takeover: as the daemon does between rounds */
static void
change_order(Scene *s, const Line *line)
{
	const char *verb = line->words[0];
	const char *node = line->nwords > 1 ? line->words[1] : "";
	char		why[RG_TEXT_MAX];
	bool		taken;

	if (strcmp(verb, "switchover") == 0)
		taken = rg_order_switchover(&s->view, &s->memory, node, 0, why);
	else if (strcmp(verb, "takeover") == 0)
		taken = rg_order_takeover(&s->view, &s->memory, why);
	else
		taken = rg_order_accept_loss(&s->view, &s->memory, node, why);
	if (!taken)
		line_error(line, "the order was refused: %s", why);
}

/* node-add NODE; node-remove NODE [lost=yes] */
static void
change_nodes(Scene *s, const Line *line)
{
	static const char *const keys[] = {"lost", NULL};
	const char *lost = line_get(line, "lost");
	char		why[RG_TEXT_MAX];

	if (line->nwords < 2)
		line_error(line, "%s NODE", line->words[0]);
	line_known(line, 2, keys);
	if (strcmp(line->words[0], "node-add") == 0 ? !rg_enlist_add(&s->view, &s->memory, line->words[1], why)
		: !rg_enlist_remove(&s->view, &s->memory, line->words[1], lost != NULL && parse_bool(line, lost), why))
		line_error(line, "the order was refused: %s", why);
}

/* watchdog id=ID restored=yes: who we are, and whether our journal may be an old one */
static void
change_watchdog(Scene *s, const Line *line)
{
	static const char *const keys[] = {"id", "restored", NULL};
	const char *v;

	line_known(line, 1, keys);
	if ((v = line_get(line, "id")) != NULL)
		RG_COPY(s->view.watchdog, v);
	if ((v = line_get(line, "restored")) != NULL)
	{
		s->view.maybe_restored = parse_bool(line, v);
		if (s->view.maybe_restored)
			s->memory.confirmed = false;
	}
}

bool
scene_change(Scene *s, const Line *line)
{
	const char *verb = line->words[0];

	if (strcmp(verb, "settings") == 0)
		change_settings(s, line);
	else if (strcmp(verb, "cluster") == 0 || strcmp(verb, "configured") == 0)
	{
		add_nodes(s, line);
		set_cascade(s, line);
		set_guest(s, line);
		if (verb[1] == 'l')
			make_healthy(s, line);
	}
	else if (strcmp(verb, "node") == 0)
		scene_change_node(s, line);
	else if (strcmp(verb, "answer") == 0)
		change_answer(s, line);
	else if (strcmp(verb, "restart") == 0)
		change_restart(s);
	else if (strcmp(verb, "memory") == 0)
		change_memory(s, line);
	else if (strcmp(verb, "reconfigured") == 0)
		change_configuration(s, line);
	else if (strcmp(verb, "switchover") == 0 || strcmp(verb, "accept-loss") == 0 ||
			 strcmp(verb, "takeover") == 0)
		change_order(s, line);
	else if (strcmp(verb, "set") == 0 || strcmp(verb, "voters") == 0)
		change_wish(s, line);
	else if (strcmp(verb, "node-add") == 0 || strcmp(verb, "node-remove") == 0)
		change_nodes(s, line);
	else if (strcmp(verb, "watchdog") == 0)
		change_watchdog(s, line);
	else if (strcmp(verb, "request-rebuild") == 0)
		change_request(s, line);
	else if (strcmp(verb, "cancel") == 0)
		change_cancel(s, line);
	else
		return false;
	return true;
}
