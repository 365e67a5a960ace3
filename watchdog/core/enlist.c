/*
 * enlist.c
 *	  Nodes that come into the cluster and leave it while it runs.
 *
 * A new node is cloned from nothing by its helper, follows the leader, and gets its
 * vote last, when it streams: until then nobody counts on it.  A node that leaves loses
 * its vote first, by the leader's rule; only then it is told to stop following, so at
 * no moment a commit or a promotion depends on a node that is on its way out.  The rule
 * itself is changed by change.c; here its wish is stated and waited for.
 *
 * One node at a time, and no step is urgent: what fails is told with its reason, and
 * the same command goes on from where it ended.
 */
#include "enlist.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "job.h"
#include "order_rule.h"
#include "upstream.h"

#define TRIES 3
#define REACH_MS 60000			/* for an SSH session, and for an answer of its port */
#define JOIN_MS 120000
#define VOTE_MS 60000
#define PARK_MS 15000

static bool
is_enlisting(const RgJob *job)
{
	return job->id != 0 && (job->kind == RG_JOBKIND_ADD || job->kind == RG_JOBKIND_REMOVE) &&
		(job->state == RG_JOB_QUEUED || job->state == RG_JOB_RUNNING);
}

/* The one that has not ended, or NULL. */
static const RgJob *
find_job(const RgMemory *m)
{
	for (int i = 0; i < RG_JOBS_MAX; i++)
		if (is_enlisting(&m->jobs[i]))
			return &m->jobs[i];
	return NULL;
}

/* Somebody wants it back, or it would not be rebuilt. */
static bool
is_rebuilt(const RgMemory *memory, const char *node)
{
	return rg_memory_job((RgMemory *) memory, node) != NULL;
}

bool
rg_enlist_is_ours(const RgView *view, const RgMemory *memory, int node)
{
	const char *name = view->nodes[node].name;

	return !memory->nodes[node].removed || rg_rule_has_voter(&memory->rule, name) || is_rebuilt(memory, name);
}

/* How far it is in being added; NONE: it is not. */
static RgJobPhase
phase_of_add(const RgMemory *memory, const char *node)
{
	const RgJob *job = find_job(memory);

	return job != NULL && job->kind == RG_JOBKIND_ADD && strcmp(job->node, node) == 0 ? job->phase : RG_JOBPHASE_NONE;
}

bool
rg_enlist_is_cloning(const RgMemory *memory, const char *node)
{
	return phase_of_add(memory, node) == RG_JOBPHASE_CLONE;
}

bool
rg_enlist_is_joining(const RgMemory *memory, const char *node)
{
	RgJobPhase	phase = phase_of_add(memory, node);

	return phase == RG_JOBPHASE_JOIN || phase == RG_JOBPHASE_VOTE;
}

bool
rg_enlist_needs_slot(const RgView *view, const RgMemory *memory, int node)
{
	const char *name = view->nodes[node].name;
	const RgJob *job = find_job(memory);

	if (!rg_upstream_is_guest(view, memory, node))
		return false;
	return is_rebuilt(memory, name) || (memory->nodes[node].joined && !memory->nodes[node].removed) ||
		(job != NULL && job->kind == RG_JOBKIND_ADD && strcmp(job->node, name) == 0);
}

/* ---- may it be done? ---- */

/* What is in the way whichever node it is; NULL = nothing. */
static const char *
cluster_trouble(const RgView *view, const RgMemory *m, const char *node, char *buf)
{
	int			leader = rg_view_find(view, m->rule.leader);
	const RgJob *other = find_job(m);

	if (m->phase != RG_PHASE_STEADY || leader < 0 || !rg_view_is_primary(view, leader))
		rg_text(buf, RG_TEXT_MAX, "the cluster is not steady (%s): nodes come and go beside a healthy primary",
				rg_diagnosis_name(m->diagnosis));
	else if (other != NULL)
		rg_text(buf, RG_TEXT_MAX, "%s is just being %s: one node at a time", other->node,
				other->kind == RG_JOBKIND_ADD ? "added" : "removed");
	else if (rg_memory_job((RgMemory *) m, node) != NULL)
		rg_text(buf, RG_TEXT_MAX, "%s is being rebuilt: wait until that is done (regent status)", node);
	else
		return NULL;
	return buf;
}

const char *
rg_enlist_add_refusal(const RgView *view, const RgMemory *memory, const char *node, char *buf)
{
	int			i = rg_view_find(view, node);

	if (i < 0)
		rg_text(buf, RG_TEXT_MAX, "the configuration has no section [node %.60s]", node);
	else if (rg_rule_has_voter(&memory->rule, node))
		rg_text(buf, RG_TEXT_MAX, "%s votes already: it belongs to the cluster", node);
	else if (rg_upstream_cascades(view, memory, i) && rg_view_is_standby(view, i) &&
			 rg_upstream_streams(view, memory, i))
		rg_text(buf, RG_TEXT_MAX, "%s streams from %s already: it belongs to the cluster", node,
				view->nodes[rg_upstream_source(view, memory, i)].name);
	else if (rg_view_is_primary(view, i))
		rg_text(buf, RG_TEXT_MAX, "%s runs as a primary: a new node is a standby, or nothing yet", node);
	else
		return cluster_trouble(view, memory, node, buf);
	return buf;
}

/* Standbys of the rule that stream, without this node. */
static int
count_streaming(const RgView *view, const RgMemory *m, const char *but)
{
	int			leader = rg_view_find(view, m->rule.leader);
	int			count = 0;

	for (int i = 0; i < m->rule.nvoters; i++)
	{
		int			k = rg_view_find(view, m->rule.voters[i]);

		count += k >= 0 && k != leader && strcmp(m->rule.voters[i], but) != 0 &&
			(view->nodes[leader].facts.streaming_from_us >> k & 1) != 0;
	}
	return count;
}

/* Is there one that has it as its upstream?  The number, or -1. */
static int
find_follower(const RgView *view, const char *node)
{
	for (int i = 0; i < view->nnodes; i++)
		if (strcmp(view->nodes[i].upstream, node) == 0)
			return i;
	return -1;
}

/* The voters of the rule with this one, or without it; returns how many. */
static int
list_voters(const RgRule *rule, const char *node, bool with, char (*names)[RG_CORE_NAME_MAX])
{
	int			count = 0;

	memset(names, 0, RG_CORE_NODES_MAX * sizeof(names[0]));
	for (int i = 0; i < rule->nvoters; i++)
		if (strcmp(rule->voters[i], node) != 0)
			memcpy(names[count++], rule->voters[i], sizeof(names[0]));
	if (with && count < RG_CORE_NODES_MAX)
		rg_text(names[count++], sizeof(names[0]), "%s", node);
	return count;
}

static uint32_t
lost_bit(const RgView *view, const char *node, bool lost)
{
	int			i = rg_view_find(view, node);

	return lost && i >= 0 ? UINT32_C(1) << i : 0;
}

/* What the others lose with its vote; NULL = nothing that counts. */
static const char *
vote_trouble(const RgView *view, const RgMemory *m, const char *node, bool lost, char *buf)
{
	char		names[RG_CORE_NODES_MAX][RG_CORE_NAME_MAX];
	int			standbys = m->rule.nvoters - 1;
	int			quorum = rg_rule_is_sync(&m->rule) ? m->rule.quorum : 0;
	int			others = count_streaming(view, m, node);

	if (quorum > standbys - 1)
		rg_text(buf, RG_TEXT_MAX, "durability %s with quorum %d needs %d standby%s, and without %s there %s %d: change that first (regent set)",
				m->rule.durability, quorum, quorum, quorum == 1 ? "" : "s", node, standbys == 2 ? "is" : "are",
				standbys - 1);
	else if (others < quorum)
		rg_text(buf, RG_TEXT_MAX, "commits would wait: %d of the other standbys stream%s, durability %s needs %d",
				others, others == 1 ? "s" : "", m->rule.durability, quorum);
	else
		return rg_order_voters_refusal(view, m, names, list_voters(&m->rule, node, false, names),
									   lost_bit(view, node, lost), buf);
	return buf;
}

const char *
rg_enlist_remove_refusal(const RgView *view, const RgMemory *memory, const char *node, bool lost, char *buf)
{
	int			i = rg_view_find(view, node);
	bool		votes = rg_rule_has_voter(&memory->rule, node);
	int			follower = find_follower(view, node);

	if (i < 0 && !votes)
		rg_text(buf, RG_TEXT_MAX, "there is no node \"%.60s\"", node);
	else if (strcmp(memory->rule.leader, node) == 0)
		rg_text(buf, RG_TEXT_MAX, "%s leads the cluster: regent switchover first", node);
	else if (lost && i >= 0 && rg_view_answers(view, i))
		rg_text(buf, RG_TEXT_MAX, "%s answers: it is not lost; remove it without --lost", node);
	else if (follower >= 0)
		rg_text(buf, RG_TEXT_MAX, "%s has it as its upstream: change or remove that section first", view->nodes[follower].name);
	else if (cluster_trouble(view, memory, node, buf) == NULL &&
			 (!votes || vote_trouble(view, memory, node, lost, buf) == NULL))
	{
		rg_text(buf, RG_TEXT_MAX, "%s%s%s", node,
				!votes ? " has no vote: it stops following, and its slot is dropped"
				: memory->rule.nvoters > 2 ? " loses its vote, stops following, and its slots are dropped"
				: " is the last standby: without it nobody can take over",
				i >= 0 && rg_view_answers(view, i) ? "" : "; it does not answer, so it can't be told");
		return NULL;
	}
	return buf;
}

/* ---- orders ---- */

static bool
queue(const RgView *view, RgMemory *m, RgJobKind kind, RgJobPhase phase, const char *node, char *why)
{
	RgJob	   *job = rg_job_new(m, view, 0);

	if (job == NULL)
	{
		rg_text(why, RG_TEXT_MAX, "too many jobs are waiting already");
		return false;
	}
	job->kind = kind;
	job->state = RG_JOB_RUNNING;
	job->phase = phase;
	job->phase_ms = view->now_ms;
	job->attempts = 1;
	job->message[0] = '\0';
	job->rate_kb = kind == RG_JOBKIND_ADD ? view->settings.rebuild_rate_kb : 0;
	rg_text(job->node, sizeof(job->node), "%s", node);
	return true;
}

bool
rg_enlist_add(const RgView *view, RgMemory *memory, const char *node, char *ret_why)
{
	if (rg_enlist_add_refusal(view, memory, node, ret_why) != NULL ||
		!queue(view, memory, RG_JOBKIND_ADD, RG_JOBPHASE_CLONE, node, ret_why))
		return false;
	memory->nodes[rg_view_find(view, node)].removed = false;
	memory->nodes[rg_view_find(view, node)].declared_lost = false;
	return true;
}

bool
rg_enlist_remove(const RgView *view, RgMemory *memory, const char *node, bool lost, char *ret_why)
{
	char		names[RG_CORE_NODES_MAX][RG_CORE_NAME_MAX];
	bool		votes = rg_rule_has_voter(&memory->rule, node);

	if (rg_enlist_remove_refusal(view, memory, node, lost, ret_why) != NULL)
		return false;
	if (votes && !rg_order_voters(view, memory, names, list_voters(&memory->rule, node, false, names),
								  lost_bit(view, node, lost), ret_why))
		return false;
	return queue(view, memory, RG_JOBKIND_REMOVE, votes ? RG_JOBPHASE_LEAVE : RG_JOBPHASE_PARK, node, ret_why);
}

/* ---- the machine ---- */

static void
enter(const RgView *view, RgJob *job, RgJobPhase phase)
{
	job->phase = phase;
	job->phase_ms = view->now_ms;
	job->attempts = 1;
	job->message[0] = '\0';
}

static void
finish(const RgView *view, RgDecision *d, RgJob *job, bool done, const char *text)
{
	bool		adds = job->kind == RG_JOBKIND_ADD;
	int			node = rg_view_find(view, job->node);

	job->state = done ? RG_JOB_DONE : RG_JOB_FAILED;
	job->phase = RG_JOBPHASE_NONE;
	job->ended_ms = view->now_ms;
	rg_text(job->message, sizeof(job->message), "%s", text);
	if (done)
		rg_decision_note(d, adds ? RG_EVENT_NODE_ADDED : RG_EVENT_NODE_REMOVED, node, 0, false, "%s", text);
	else
		rg_decision_note(d, adds ? RG_EVENT_NODE_ADD_FAILED : RG_EVENT_NODE_REMOVE_FAILED, node, 0, true,
						 "%s was not %s: %.200s", job->node, adds ? "added" : "removed", text);
}

static void __attribute__((format(printf, 4, 5)))
fail(const RgView *view, RgDecision *d, RgJob *job, const char *fmt,...)
{
	char		text[RG_TEXT_MAX];
	va_list		args;

	va_start(args, fmt);
	(void) vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	finish(view, d, job, false, text);
}

static bool
is_over(const RgView *view, const RgJob *job, int64_t ms)
{
	return view->now_ms - job->phase_ms > ms;
}

/* What another try may mend: the helper's words, and that it was killed. */
static bool
may_pass(const char *text)
{
	static const char *const words[] = {"source:", "copy_failed:", "stalled:", "busy:", "aborted:", "timeout:",
	"start_failed:", "exit status ", NULL};

	for (int i = 0; words[i] != NULL; i++)
		if (strncmp(text, words[i], strlen(words[i])) == 0)
			return true;
	return false;
}

static void
judge_clone(const RgView *view, RgDecision *d, RgJob *job, const RgOp *op)
{
	if (op->state == RG_OP_OK)
		enter(view, job, RG_JOBPHASE_JOIN);
	else if (job->attempts < TRIES && (op->state != RG_OP_REFUSED || may_pass(op->text)))
	{
		job->attempts++;
		job->phase_ms = view->now_ms;
		rg_text(job->message, sizeof(job->message), "%.150s: try %d of %d", op->text, job->attempts, TRIES);
	}
	else
		finish(view, d, job, false, op->text);
}

/* Something is in the way of a clone that was not begun yet; true when it was dealt with. */
static bool
waits_for_host(const RgView *view, RgDecision *d, RgJob *job, int node)
{
	const RgNodeView *n = &view->nodes[node];

	if (rg_view_refuses_us(view, node))
		fail(view, d, job, "a server answers at its address already: %.180s", n->sql_text);
	else if (rg_view_is_primary(view, node))
		fail(view, d, job, "%s runs as a primary: see what it is", job->node);
	else if (n->ssh == RG_SSHV_READY && n->sql != RG_SQL_UNKNOWN)
		return false;
	else if (is_over(view, job, REACH_MS))
		fail(view, d, job, "no SSH session: %.180s", n->ssh_text[0] ? n->ssh_text : "it does not answer");
	else
		rg_text(job->message, sizeof(job->message), "waiting for an SSH session%s%.150s",
				n->ssh_text[0] ? ": " : "", n->ssh_text);
	return true;
}

static void
clone(const RgView *view, RgDecision *d, RgJob *job, int node)
{
	const RgNodeView *n = &view->nodes[node];
	const RgOp *op = &n->ops[RG_STEP_CLONE];
	int64_t		key = job->id * 8 + job->attempts;
	int64_t		wait = job->attempts > 1 ? 1000 << job->attempts : 0;
	RgStep	   *step;

	job->bytes = n->copy_bytes;
	job->total = n->copy_total;
	if (op->term == key && op->state != RG_OP_NONE)
	{
		if (op->state != RG_OP_RUNNING)
			judge_clone(view, d, job, op);
		return;
	}
	/* it is there already: made by hand, or by a clone whose answer was lost */
	if (rg_view_is_standby(view, node) && n->facts.receiver_streaming)
	{
		enter(view, job, RG_JOBPHASE_JOIN);
		return;
	}
	if (waits_for_host(view, d, job, node) || view->now_ms - job->phase_ms < wait)
		return;
	rg_text(job->source, sizeof(job->source), "%s", d->memory.rule.leader);
	job->message[0] = '\0';
	step = rg_decision_step(d, RG_STEP_CLONE, node, d->leader, d->memory.rule.term);
	if (step != NULL)
	{
		step->key = key;
		step->job = job->id;
		step->rate_kb = job->rate_kb;
	}
}

static void
join(const RgView *view, RgDecision *d, RgJob *job, int node)
{
	const RgNodeView *n = &view->nodes[node];
	char		text[RG_TEXT_MAX];

	if (rg_view_is_standby(view, node) && n->facts_ms > job->phase_ms &&
		n->facts.rule.term == d->memory.rule.term && rg_upstream_streams(view, &d->memory, node))
	{
		if (!rg_upstream_cascades(view, &d->memory, node))
		{
			enter(view, job, RG_JOBPHASE_VOTE);
			return;
		}
		rg_text(text, sizeof(text), "%s belongs to the cluster: it streams from %s, and has no vote", job->node,
				view->nodes[rg_upstream_source(view, &d->memory, node)].name);
		finish(view, d, job, true, text);
		return;
	}
	rg_text(text, sizeof(text), "waiting for %s to stream%s%.120s", job->node,
			n->sql == RG_SQL_STARTING && n->probe.recovery[0] ? ": it is starting up: " : "",
			n->sql == RG_SQL_STARTING ? n->probe.recovery : "");
	/* a recovery that moves on begins the wait anew */
	if (n->sql == RG_SQL_STARTING && strcmp(text, job->message) != 0)
		job->phase_ms = view->now_ms;
	rg_text(job->message, sizeof(job->message), "%s", text);
	if (is_over(view, job, JOIN_MS))
		fail(view, d, job, "it was cloned and does not stream (%.120s): see its server log, then regent node add goes on",
			 n->sql_text[0] ? n->sql_text : "its walreceiver does not stream");
}

/* Its time is over: nobody wants it any more. */
static bool
is_withdrawn(const RgView *view, RgDecision *d, const RgJob *job)
{
	if (!is_over(view, job, VOTE_MS))
		return false;
	d->memory.wish.nvoters = 0;
	return true;
}

static void
vote(const RgView *view, RgDecision *d, RgJob *job)
{
	RgMemory   *m = &d->memory;
	char		names[RG_CORE_NODES_MAX][RG_CORE_NAME_MAX];
	char		text[RG_TEXT_MAX];

	if (rg_rule_has_voter(&m->rule, job->node) && rg_order_voters_done(view, m))
	{
		rg_text(text, sizeof(text), "%s belongs to the cluster: it streams from %s, and votes by rule %lld.%d", job->node,
				m->rule.leader, (long long) m->rule.term, m->rule.seq);
		finish(view, d, job, true, text);
	}
	else if (is_withdrawn(view, d, job))
		fail(view, d, job, "it streams, but the rule that gives it a vote did not come in time (%.100s): regent node add goes on",
			 job->message);
	else
	{
		rg_text(job->message, sizeof(job->message), "waiting for the rule that gives %s a vote", job->node);
		if (m->wish.nvoters == 0 && !rg_rule_has_voter(&m->rule, job->node) &&
			!rg_order_voters(view, m, names, list_voters(&m->rule, job->node, true, names), 0, text))
			rg_text(job->message, sizeof(job->message), "%s", text);
	}
}

static void
leave(const RgView *view, RgDecision *d, RgJob *job)
{
	if (!rg_rule_has_voter(&d->memory.rule, job->node) && rg_order_voters_done(view, &d->memory))
		enter(view, job, RG_JOBPHASE_PARK);
	else if (strcmp(d->memory.rule.leader, job->node) == 0)
	{
		d->memory.wish.nvoters = 0;
		fail(view, d, job, "it leads the cluster by now: regent switchover, then regent node remove again");
	}
	else if (is_withdrawn(view, d, job))
		fail(view, d, job, "the rule without it did not come in time, or not enough standbys have flushed it: regent node remove goes on");
	else
		rg_text(job->message, sizeof(job->message),
				"waiting for the rule without %s, and for enough standbys that have flushed it", job->node);
}

/* It has no vote any more; if it can be told, it stops following. */
static void
park(const RgView *view, RgDecision *d, RgJob *job, int node)
{
	const RgOp *op = node >= 0 ? &view->nodes[node].ops[RG_STEP_FENCE_SQL] : NULL;
	int64_t		key = job->id * 8 + 1;
	char		text[RG_TEXT_MAX];
	RgStep	   *step;

	if (node >= 0)
	{
		d->memory.nodes[node].removed = true;
		d->memory.nodes[node].joined = false;
	}
	if (node >= 0 && rg_view_is_standby(view, node) && !rg_op_done(op, key) && !is_over(view, job, PARK_MS))
	{
		step = rg_op_may_try(op, key, view->now_ms, TRIES)
			? rg_decision_step(d, RG_STEP_FENCE_SQL, node, -1, d->memory.rule.term) : NULL;
		if (step != NULL)
		{
			step->key = key;
			step->job = job->id;
		}
		if (op->term == key && rg_op_gave_up(op, key, TRIES))
			job->phase_ms = view->now_ms - PARK_MS - 1;
		return;
	}
	rg_text(text, sizeof(text), "%s has left the cluster%s", job->node,
			node >= 0 && rg_op_done(op, key) ? ": it follows nobody any more"
			: "; it could not be told: should it run again, it finds no slot and gets no vote");
	finish(view, d, job, true, text);
}

void
rg_enlist_plan(const RgView *view, RgDecision *d)
{
	RgJob	   *job = (RgJob *) find_job(&d->memory);
	int			node;

	if (job == NULL || d->leader < 0 || !rg_view_is_primary(view, d->leader))
		return;
	node = rg_view_find(view, job->node);
	if (node < 0 && job->kind == RG_JOBKIND_ADD)
	{
		finish(view, d, job, false, "it is not in the configuration any more");
		return;
	}
	switch (job->phase)
	{
		case RG_JOBPHASE_CLONE:
			clone(view, d, job, node);
			break;
		case RG_JOBPHASE_JOIN:
			join(view, d, job, node);
			break;
		case RG_JOBPHASE_VOTE:
			vote(view, d, job);
			break;
		case RG_JOBPHASE_LEAVE:
			leave(view, d, job);
			break;
		case RG_JOBPHASE_PARK:
			park(view, d, job, node);
			break;
		default:
			finish(view, d, job, false, "its phase is not known");
			break;
	}
}
