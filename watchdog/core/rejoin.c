/*
 * rejoin.c
 *	  Bring nodes back beside a healthy leader.
 *
 * A node that we fenced is started; it comes up as a standby without a source.
 * promise(T) makes it read all WAL that it has; then its position and the
 * terms that it followed say whether it may follow plainly.  Where they do
 * not, equal timeline numbers are no excuse (attack F2): it is rebuilt.
 * A second server that is not in recovery is a stale primary: it is fenced.
 *
 * Servers that we did not fence are never started here: whoever stopped them
 * may have had a reason.
 */
#include "rejoin.h"

#include <stdio.h>
#include <string.h>

#include "choose.h"
#include "enlist.h"
#include "job.h"
#include "job_run.h"
#include "learn.h"
#include "phase.h"
#include "plan.h"
#include "slots.h"
#include "upstream.h"

#define LAGGING_BYTES (64 * 1024 * 1024)

static RgNodeState
state_of_answering(const RgView *view, const RgDecision *d, int node, char *why)
{
	const RgNodeView *n = &view->nodes[node];
	const RgFacts *f = &n->facts;

	if (!f->in_recovery)
	{
		if (node == d->leader)
		{
			if (!rg_learn_knows_enough(view, &d->memory))
				rg_text(why, RG_TEXT_MAX,
						"rule %lld was written for another watchdog: more of its standbys have to answer before %s may write; or regent failover %s --accept-loss",
						(long long) d->memory.rule.term, n->name, n->name);
			else if (d->memory.behind_ms != 0)
				rg_text(why, RG_TEXT_MAX,
						"gets no lease: others show, or have shown, more WAL than it holds; or regent failover %s --accept-loss",
						n->name);
			return RG_STATE_OK;
		}
		if (d->memory.rule.term == 0)
		{
			rg_text(why, RG_TEXT_MAX, "no rule yet: run regent init");
			return RG_STATE_OK;
		}
		rg_text(why, RG_TEXT_MAX, "not in recovery, but the leader is %s: a stale primary",
				d->memory.rule.leader);
		return RG_STATE_NOT_STREAMING;
	}
	if (node == d->leader)
	{
		rg_text(why, RG_TEXT_MAX, "leads by rule, but its server is in recovery");
		return RG_STATE_NOT_STREAMING;
	}
	if (!rg_upstream_streams(view, &d->memory, node))
	{
		if (f->receiver_streaming)
			rg_text(why, RG_TEXT_MAX, "streams, but not from %s",
					d->memory.nodes[node].cascades ? n->upstream : "the leader");
		else
			rg_text(why, RG_TEXT_MAX, "its walreceiver does not stream%s", f->replay_paused ? "; replay is paused" : "");
		return RG_STATE_NOT_STREAMING;
	}
	if (f->replay_paused)
	{
		rg_text(why, RG_TEXT_MAX, "replay is paused");
		return RG_STATE_LAGGING;
	}
	if (f->replay_lag_bytes > LAGGING_BYTES)
	{
		rg_text(why, RG_TEXT_MAX, "%lld bytes behind", (long long) f->replay_lag_bytes);
		return RG_STATE_LAGGING;
	}
	rg_upstream_text(view, &d->memory, node, why);
	return RG_STATE_OK;
}

static RgNodeState
state_of_silent(const RgView *view, const RgDecision *d, int node, char *why)
{
	const RgNodeView *n = &view->nodes[node];
	bool		looked = n->probe.valid && (n->lost_ms == 0 || n->probe_ms >= n->lost_ms) &&
		n->ssh == RG_SSHV_READY;

	if (n->sql == RG_SQL_STARTING && n->purpose_ms != 0 && n->purpose_ms >= n->lost_ms - 2000)
	{
		rg_text(why, RG_TEXT_MAX, "says that it is shutting down");
		return RG_STATE_UNREACHABLE;
	}
	if (n->sql == RG_SQL_STARTING)
	{
		rg_text(why, RG_TEXT_MAX, "starting up%s%s", n->probe.recovery[0] ? ": " : "",
				n->probe.recovery);
		return n->probe.recovery[0] ? RG_STATE_RECOVERING : RG_STATE_STARTING;
	}
	if (looked && n->probe.postmaster == RG_PM_ABSENT)
	{
		rg_text(why, RG_TEXT_MAX, "no postmaster; control file \"%s\"%s", n->probe.state,
				n->probe.disk_full ? "; its disk is full: it is started when there is room" : "");
		return d->memory.nodes[node].fenced_term != 0 && n->probe.fenced ? RG_STATE_FENCED
			: RG_STATE_DEAD;
	}
	if (n->sql == RG_SQL_UNKNOWN)
	{
		rg_text(why, RG_TEXT_MAX, "not seen yet");
		return RG_STATE_UNKNOWN;
	}
	rg_text(why, RG_TEXT_MAX, "%.100s%s%.100s", n->sql_text[0] ? n->sql_text : "does not answer",
			looked ? "" : "; SSH: ", looked ? "" : n->ssh_text[0] ? n->ssh_text : "no answer yet");
	return RG_STATE_UNREACHABLE;
}

/* Its fence was sent, and its answer lost, or we were started since: the host shows that nothing runs and it is fenced. */
static bool
shows_its_fence(const RgView *view, const RgNodeMemory *mem, int node)
{
	const RgNodeView *n = &view->nodes[node];

	return mem->fencing_term != 0 && n->ssh == RG_SSHV_READY && n->probe.valid && n->probe_ms >= view->started_ms &&
		n->probe_ms >= n->facts_ms && n->probe_ms >= n->lost_ms && n->probe.postmaster == RG_PM_ABSENT && n->probe.fenced;
}

/* A stale primary that was fenced in a steady cluster, and has not been heard since. */
static void
learn_fenced(const RgView *view, RgDecision *d, int node)
{
	const RgNodeView *n = &view->nodes[node];
	RgNodeMemory *mem = &d->memory.nodes[node];

	if (d->memory.phase == RG_PHASE_STEADY && node != d->leader && mem->fenced_term == 0 &&
		n->sql != RG_SQL_OK &&
		((rg_op_done(&n->ops[RG_STEP_FENCE], d->memory.rule.term) && n->ops[RG_STEP_FENCE].ended_ms >= n->facts_ms) ||
		 shows_its_fence(view, mem, node)))
		mem->fenced_term = d->memory.rule.term;
	if (mem->fenced_term != 0 || rg_view_is_standby(view, node))
		mem->fencing_term = 0;
}

/* What a journal does not know, the mark in the directory tells; who streams has no half of anything. */
static void
learn_half_rewound(const RgView *view, RgDecision *d, int node)
{
	const RgNodeView *n = &view->nodes[node];
	RgRewound  *half = &d->memory.nodes[node].half_rewound;
	const RgJob *job = rg_memory_job(&d->memory, n->name);

	if (job != NULL && job->phase == RG_JOBPHASE_REWIND)
	{
		/* another verb was at work, and has left no mark: it was no rewind */
		if (*half == RG_REWOUND_UNDER_WAY && n->ops[RG_STEP_REWIND].state == RG_OP_REFUSED && n->probe.valid &&
			n->probe_ms > n->ops[RG_STEP_REWIND].ended_ms && !n->probe.rewinding)
			*half = RG_REWOUND_WHOLE;
		return;
	}
	if (n->probe.valid && n->probe.rewinding && n->sql != RG_SQL_OK && n->probe_ms > n->lost_ms)
		*half = RG_REWOUND_HALF;
	/* with a job the one that streams may be the new directory, and the old one comes back yet */
	else if (*half != RG_REWOUND_WHOLE && job == NULL && rg_view_is_standby(view, node) && n->facts.receiver_streaming)
		*half = RG_REWOUND_WHOLE;
}

void
rg_rejoin_states(const RgView *view, RgDecision *d)
{
	for (int i = 0; i < view->nnodes; i++)
	{
		learn_fenced(view, d, i);
		learn_half_rewound(view, d, i);
	}
	for (int i = 0; i < view->nnodes; i++)
	{
		RgNodeMemory *mem = &d->memory.nodes[i];
		RgJob	   *job = rg_memory_job(&d->memory, view->nodes[i].name);
		char	   *why = d->reasons[i];
		RgNodeState state;

		if (job != NULL && job->state == RG_JOB_RUNNING)
		{
			state = RG_STATE_REBUILDING;
			rg_text(why, RG_TEXT_MAX, "%s: %.200s", rg_job_phase_name(job->phase), job->message);
		}
		else if (rg_enlist_is_cloning(&d->memory, view->nodes[i].name))
		{
			state = RG_STATE_REBUILDING;
			rg_text(why, RG_TEXT_MAX, "is being added");
		}
		else if (rg_view_answers(view, i))
			state = state_of_answering(view, d, i, why);
		else if (view->nodes[i].sql == RG_SQL_OK)
			state = mem->state; /* a late heartbeat: keep what was said */
		else
			state = state_of_silent(view, d, i, why);
		d->states[i] = state;
		if (state != mem->state)
		{
			bool		alarm = state != RG_STATE_OK && state != RG_STATE_REBUILDING &&
				state != RG_STATE_UNKNOWN && state != RG_STATE_STARTING &&
				!(d->memory.failover.planned && rg_phase_is_failover(d->memory.phase));

			if (mem->state != RG_STATE_UNKNOWN || state != RG_STATE_OK)
				rg_decision_note(d, RG_EVENT_NODE_STATE, i, 0, alarm, "%s is %s%s%.150s",
								 view->nodes[i].name, rg_node_state_name(state),
								 why[0] ? ": " : "", why);
			mem->state = state;
		}
		memcpy(mem->reason, why, sizeof(mem->reason));
	}
}

static void
tell_diverged(const RgView *view, RgDecision *d, int node, const char *why)
{
	rg_text(d->reasons[node], RG_TEXT_MAX, "can't follow %s plainly: %.150s; regent rebuild %s",
			d->memory.rule.leader, why, view->nodes[node].name);
}

/* It can't follow plainly: it is rebuilt, by itself or when somebody says so. */
static void
diverged(const RgView *view, RgDecision *d, int node, const char *why)
{
	RgNodeMemory *mem = &d->memory.nodes[node];
	const RgRebuild rebuild = {.node = view->nodes[node].name, .automatic = true};
	RgJob	   *job;

	tell_diverged(view, d, node, why);
	job = rg_memory_job(&d->memory, view->nodes[node].name);
	/* what the server said that ran there before says nothing of the new directory */
	if (job != NULL && job->state == RG_JOB_RUNNING && view->nodes[node].facts_ms > job->phase_ms &&
		view->nodes[node].promise.at_ms > job->phase_ms)
		rg_job_does_not_stream(view, d, job, node, d->reasons[node]);
	if (!view->settings.auto_rejoin || mem->rebuilds >= RG_REBUILDS_MAX)
		return;
	if (rg_job_add(&d->memory, view, &rebuild))
	{
		mem->rebuilds++;
		rg_decision_note(d, RG_EVENT_NODE_DIVERGED, node, 0, false,
						 "%s can't follow %s plainly (%s): it is rebuilt",
						 view->nodes[node].name, d->memory.rule.leader, why);
	}
}

/*
 * To the leader, or to its upstream: then as a step of another key, so that neither
 * waits for what became of the other.
 */
static int64_t
follow_key(const RgView *view, const RgDecision *d, int node)
{
	int			source = rg_upstream_source(view, &d->memory, node);

	return source == d->leader ? d->memory.rule.term : -(d->memory.rule.term * RG_CORE_NODES_MAX + source);
}

static void
follow(const RgView *view, RgDecision *d, int node)
{
	int			source = rg_upstream_source(view, &d->memory, node);
	RgStep	   *step = rg_decision_step(d, RG_STEP_FOLLOW, node, d->leader, d->memory.rule.term);

	if (step == NULL)
		return;
	step->key = follow_key(view, d, node);
	step->source = source == d->leader ? -1 : source;
	/* without its slot, which only those have who belong here, it would never stream */
	if (rg_upstream_is_guest(view, &d->memory, node))
		d->memory.nodes[node].joined = true;
}

/*
 * Its source has to be heard after the node, and so has its upstream: who has just
 * connected is not in their older answers.
 */
static bool
is_heard_after(const RgView *view, const RgDecision *d, int node)
{
	int64_t		since = view->nodes[node].facts_ms;
	int			source = rg_upstream_source(view, &d->memory, node);
	int			upstream = rg_upstream_cascades(view, &d->memory, node) ? rg_view_find(view, view->nodes[node].upstream) : -1;

	return view->nodes[source].facts_ms >= since && view->nodes[d->leader].facts_ms >= since &&
		(upstream < 0 || !rg_view_answers(view, upstream) || view->nodes[upstream].facts_ms >= since);
}

/* It was pointed there more than once; text: what the last try said, or "". */
static void
tell_pointed(const RgView *view, RgDecision *d, int node, const char *text)
{
	rg_text(d->reasons[node], RG_TEXT_MAX,
			"was pointed at %s and does not stream from it%s%.100s: see its server log, or regent rebuild %s",
			view->nodes[rg_upstream_source(view, &d->memory, node)].name, text[0] ? ": " : "", text,
			view->nodes[node].name);
}

/*
 * It follows this term, but not where it should: it came by way of another standby,
 * or its upstream is gone or is back.  Pointing it there (again) harms nothing.
 */
static void
plan_follow_again(const RgView *view, RgDecision *d, int node)
{
	const RgNodeView *n = &view->nodes[node];
	const RgFacts *f = &n->facts;
	const RgFacts *leader = &view->nodes[d->leader].facts;
	const RgOp *op = &n->ops[RG_STEP_FOLLOW];
	int64_t		term = d->memory.rule.term;
	int64_t		key = follow_key(view, d, node);
	RgFollowVerdict verdict;
	char		why[RG_TEXT_MAX];

	/* who has no vote may stay where somebody has put it, unless it is to get one */
	if ((!rg_rule_has_voter(&d->memory.rule, n->name) && n->upstream[0] == '\0' && f->receiver_streaming &&
		 !rg_enlist_is_joining(&d->memory, n->name)) ||
		!is_heard_after(view, d, node) || f->terms[f->nterms - 1].term != term)
		return;
	verdict = rg_rules_may_follow(f->terms, f->nterms, f->promoting_term, f->timeline, rg_facts_held_lsn(f),
								  leader->terms, leader->nterms);
	/* promoted by hand under this very rule: a stale primary if we have fenced it, else nothing is rebuilt without a promise */
	if (verdict != RG_FOLLOW_OK)
	{
		if (d->memory.nodes[node].fenced_term != 0)
			diverged(view, d, node, rg_follow_verdict_text(verdict));
		else
			tell_diverged(view, d, node, rg_follow_verdict_text(verdict));
		return;
	}
	if (rg_slots_wal_is_gone(view, d, node, why))
	{
		diverged(view, d, node, why);
		return;
	}
	/* it has no vote and no slot before it is told where to stream from: that is no rejoin */
	if (!view->settings.auto_rejoin && rg_memory_job(&d->memory, n->name) == NULL &&
		!rg_upstream_is_guest(view, &d->memory, node))
		return;
	if (rg_op_done(op, key) ? view->now_ms - op->ended_ms >= 30000
		: rg_op_may_try(op, key, view->now_ms, 1000))
		follow(view, d, node);
	if (op->term == key && op->attempts > 1)
		tell_pointed(view, d, node, "");
}

/* It streams from whom it should. */
static void
end_rejoin(const RgView *view, RgDecision *d, int node, const RgJob *new_copy)
{
	const RgNodeView *n = &view->nodes[node];
	RgNodeMemory *mem = &d->memory.nodes[node];

	if (new_copy != NULL && n->facts_ms > new_copy->phase_ms)
		mem->strayed = false;
	if (mem->strayed)
		diverged(view, d, node, RG_STRAYED_TEXT);
	else if (mem->fenced_term != 0)
	{
		mem->fenced_term = 0;
		rg_decision_note(d, RG_EVENT_NODE_REJOIN, node, 0, false,
						 "%s streams from %s as a standby again", n->name,
						 view->nodes[rg_upstream_source(view, &d->memory, node)].name);
	}
}

/* Why its promise of the term is still missing, and how to go on. */
static void
tell_no_promise(const RgView *view, RgDecision *d, int node, const RgOp *op)
{
	const RgNodeView *n = &view->nodes[node];
	int64_t		term = d->memory.rule.term;

	if (op->term == term && op->state == RG_OP_OK && n->facts.replay_paused)
		rg_text(d->reasons[node], RG_TEXT_MAX,
				"has not read all its WAL, replay is paused: pg_wal_replay_resume() there, or regent rebuild %s", n->name);
	else if (op->term == term && op->attempts > 1)
		rg_text(d->reasons[node], RG_TEXT_MAX, "%s term %lld%s%.120s: see its server log, or regent rebuild %s",
				op->state == RG_OP_OK ? "could not read all its WAL to promise" : "has not promised",
				(long long) term, op->text[0] ? ": " : "", op->text, n->name);
}

static void
plan_standby(const RgView *view, RgDecision *d, int node)
{
	const RgNodeView *n = &view->nodes[node];
	const RgFacts *f = &n->facts;
	const RgFacts *leader = &view->nodes[d->leader].facts;
	RgNodeMemory *mem = &d->memory.nodes[node];
	int64_t		term = d->memory.rule.term;
	int64_t		last = f->nterms > 0 ? f->terms[f->nterms - 1].term : 0;
	const RgJob *job = rg_memory_job(&d->memory, n->name);
	bool		is_new = job != NULL && rg_job_is_in_place(job);
	RgFollowVerdict verdict;

	if (rg_upstream_streams(view, &d->memory, node))
	{
		end_rejoin(view, d, node, is_new ? job : NULL);
		return;
	}
	/* without the leader's own last term nothing can be said about where its history left others */
	if (leader->rule.term != term || leader->nterms == 0 ||
		leader->terms[leader->nterms - 1].term != term)
		return;
	if (last >= term && mem->strayed && !is_new)
	{
		diverged(view, d, node, RG_STRAYED_TEXT);
		return;
	}
	if (last >= term)
	{
		plan_follow_again(view, d, node);
		return;
	}
	if (last == 0)
	{
		rg_text(d->reasons[node], RG_TEXT_MAX,
				"has never followed a leader of this cluster; regent rebuild %s", n->name);
		return;
	}
	if (!view->settings.auto_rejoin && mem->fenced_term != 0)
	{
		rg_text(d->reasons[node], RG_TEXT_MAX, "auto_rejoin is off; regent rebuild %s", n->name);
		return;
	}
	if (!rg_is_recruited(view, node, term) || !n->promise.complete)
	{
		const RgOp *op = &n->ops[RG_STEP_PROMISE];

		if (rg_op_may_try(op, term, view->now_ms, 1000) ||
			(op->state == RG_OP_OK && view->now_ms - op->ended_ms >= 500))
			(void) rg_decision_step(d, RG_STEP_PROMISE, node, -1, term);
		tell_no_promise(view, d, node, op);
		return;
	}
	verdict = rg_rules_may_follow(n->promise.terms, n->promise.nterms, n->promise.promoting_term,
								  n->promise.position.timeline, n->promise.position.lsn,
								  leader->terms, leader->nterms);
	if (verdict != RG_FOLLOW_OK)
		diverged(view, d, node, rg_follow_verdict_text(verdict));
	else if (mem->strayed && !is_new)
		diverged(view, d, node, RG_STRAYED_TEXT);
	else if (rg_choose_has_lost_wal(n, leader->terms, leader->nterms))
		diverged(view, d, node, "it led and lacks WAL that it had sent: its disk is an older copy");
	else if (rg_op_may_try(&n->ops[RG_STEP_FOLLOW], follow_key(view, d, node), view->now_ms, 1000) ||
			 (rg_op_done(&n->ops[RG_STEP_FOLLOW], follow_key(view, d, node)) &&
			  view->now_ms - n->ops[RG_STEP_FOLLOW].ended_ms >= 5000))
		follow(view, d, node);
	else if (n->ops[RG_STEP_FOLLOW].term == follow_key(view, d, node) && n->ops[RG_STEP_FOLLOW].attempts > 1)
		tell_pointed(view, d, node, n->ops[RG_STEP_FOLLOW].text);
}

/*
 * A deposed primary that does not answer us any more, though its very postmaster is
 * still there: frozen, or in a shutdown that waits for its clients.
 */
static bool
is_stale_and_silent(const RgView *view, const RgDecision *d, int node)
{
	const RgNodeView *n = &view->nodes[node];

	return n->facts.valid && !n->facts.in_recovery && n->sql != RG_SQL_OK &&
		n->facts.rule.term <= d->memory.rule.term && n->probe.valid && n->probe_ms > n->lost_ms &&
		(n->probe.postmaster == RG_PM_ALIVE || n->probe.postmaster == RG_PM_FROZEN) &&
		rg_start_equal(&n->probe.start, &n->facts.start);
}

static void
plan_silent(const RgView *view, RgDecision *d, int node)
{
	const RgNodeView *n = &view->nodes[node];
	const RgOp *op = &n->ops[RG_STEP_START];
	int64_t		term = d->memory.rule.term;

	if (d->memory.nodes[node].half_rewound != RG_REWOUND_WHOLE)
	{
		diverged(view, d, node, "its directory was rewound by half");
		return;
	}
	if (!view->settings.auto_rejoin && d->states[node] == RG_STATE_FENCED)
		rg_text(d->reasons[node], RG_TEXT_MAX, "is fenced, and auto_rejoin is off: start it there, or regent rebuild %s", n->name);
	if (!view->settings.auto_rejoin)
		return;
	if (rg_plan_may_start(view, &d->memory, node, term))
		(void) rg_decision_step(d, RG_STEP_START, node, -1, term);
	else if (d->states[node] == RG_STATE_FENCED && op->term == term && op->attempts >= RG_START_TRIES &&
			 !d->memory.nodes[node].starved)
		rg_text(d->reasons[node], RG_TEXT_MAX,
				"did not come up in %d tries (%.120s): see its server log, or regent rebuild %s",
				RG_START_TRIES, op->text[0] ? op->text : "it died again", n->name);
}

/* What keeps a stale primary from being fenced; "" = nothing. */
static void
fence_trouble(const RgNodeView *n, const RgNodeMemory *mem, int64_t term, char *why)
{
	const RgOp *op = &n->ops[RG_STEP_FENCE];

	why[0] = '\0';
	if (n->facts.rule.term == 0)
		rg_text(why, RG_TEXT_MAX, "it holds no rule: stop it, then regent rebuild %s", n->name);
	else if (n->ssh != RG_SSHV_READY)
		rg_text(why, RG_TEXT_MAX, "it is not fenced, there is no SSH session (%.90s): stop it, or mend that",
				n->ssh_text[0] ? n->ssh_text : "not connected yet");
	else if (!rg_start_equal(&mem->shown, &n->facts.start))
		rg_text(why, RG_TEXT_MAX, "it is not fenced, its helper does not show this server: stop it, or correct data_directory in its node.conf");
	else if (op->term == term && op->text[0] && op->state != RG_OP_OK && op->attempts > 1)
		rg_text(why, RG_TEXT_MAX, "its fence fails (%.120s): mend that, or stop it", op->text);
}

static void
plan_stale_primary(const RgView *view, RgDecision *d, int node)
{
	const RgNodeView *n = &view->nodes[node];
	RgNodeMemory *mem = &d->memory.nodes[node];
	int64_t		term = d->memory.rule.term;
	char		why[RG_TEXT_MAX];

	fence_trouble(n, mem, term, why);
	if (why[0] != '\0')
		rg_text(d->reasons[node], RG_TEXT_MAX, "not in recovery, but the leader is %s: a stale primary; %.170s",
				d->memory.rule.leader, why);
	if (n->facts.rule.term > term || n->facts.rule.term == 0 ||
		!rg_start_equal(&mem->shown, &n->facts.start) || n->ssh != RG_SSHV_READY)
		return;
	if (rg_op_may_try(&n->ops[RG_STEP_FENCE], term, view->now_ms, 1000) ||
		(n->ops[RG_STEP_FENCE].state == RG_OP_OK &&
		 view->now_ms - n->ops[RG_STEP_FENCE].ended_ms > 5000))
	{
		RgStep	   *step = rg_decision_step(d, RG_STEP_FENCE, node, -1, term);

		if (step != NULL)
		{
			step->expect = n->facts.start;
			mem->fencing_term = term;
		}
		rg_decision_note(d, RG_EVENT_STALE_PRIMARY, node, 0, true,
						 "%s runs as a primary with rule %lld, but %s leads by rule %lld: it is fenced",
						 n->name, (long long) n->facts.rule.term, d->memory.rule.leader,
						 (long long) term);
	}
}

/* Once the copy is in its place the node is a standby like any other: it may have to follow. */
static bool
is_in_the_hands_of_a_job(RgMemory *memory, const char *node)
{
	const RgJob *job = rg_memory_job(memory, node);

	if (rg_enlist_is_cloning(memory, node))
		return true;
	return job != NULL && !rg_job_is_in_place(job);
}

void
rg_rejoin_plan(const RgView *view, RgDecision *d)
{
	if (d->leader < 0 || !rg_view_is_primary(view, d->leader) ||
		view->nodes[d->leader].facts.rule.term != d->memory.rule.term)
		return;
	/* who may hold more than the leader must not be pointed at it, nor be replaced by a copy of it */
	if (!rg_start_equal(&d->memory.nodes[d->leader].admitted, &view->nodes[d->leader].facts.start))
		return;
	for (int i = 0; i < view->nnodes; i++)
	{
		if (i == d->leader || is_in_the_hands_of_a_job(&d->memory, view->nodes[i].name))
			continue;
		if (rg_view_is_standby(view, i) && !rg_enlist_is_ours(view, &d->memory, i))
			rg_text(d->reasons[i], RG_TEXT_MAX,
					"was removed from the cluster: take its section out of the configuration, or regent node add %s",
					view->nodes[i].name);
		else if (rg_view_is_standby(view, i))
			plan_standby(view, d, i);
		else if (rg_view_is_primary(view, i) || is_stale_and_silent(view, d, i))
			plan_stale_primary(view, d, i);
		else
			plan_silent(view, d, i);
	}
}
