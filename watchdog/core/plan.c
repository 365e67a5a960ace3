/*
 * plan.c
 *	  Steps of the phases of a failover.
 *
 * Fence and promises go out side by side: neither needs the other, and the
 * promotion needs both.  Promises are asked for again when the server that
 * gave one has been restarted since, for only an answer of the running server
 * counts (attack F3).
 */
#include "plan.h"

#include <string.h>

#include "choose.h"
#include "decide.h"
#include "extension/mutant.h"
#include "learn.h"
#include "recruit.h"
#include "switch.h"
#include "trouble.h"
#include "upstream.h"

#define MANY 1000000
#define SSH_LATER_MS 100
#define RECONNECT_MS 200

static int64_t
probe_spacing(const RgView *view, const RgDecision *d, int node)
{
	const RgMemory *m = &d->memory;
	const RgNodeView *n = &view->nodes[node];
	int64_t		age;

	if (rg_view_answers(view, node))
	{
		if (!rg_start_equal(&m->nodes[node].shown, &n->facts.start))
			return 500;
		if (n->fresh == RG_SQL_SILENT)
			return 500;
		return n->facts.in_recovery == false && node != d->leader ? 1000 : 30000;
	}
	if (node == d->leader && m->lost_ms != 0)
		return m->nodes[node].ended ? 1000 : view->now_ms - m->lost_ms < 2000 ? 40 : 500;
	age = view->now_ms - (n->lost_ms != 0 ? n->lost_ms : view->started_ms);
	return age < 30000 || m->nodes[node].must_end ? 500 : 5000;
}

/*
 * A fence goes out in this round, or is under way: its answer says what a probe
 * would.  Or the server has just said that it died, and in a moment we know
 * whether anybody listens: then the fence shall find the helper free.
 */
static bool
is_left_to_the_fence(const RgView *view, const RgDecision *d, int node)
{
	const RgNodeView *n = &view->nodes[node];

	/* what a stopped leader holds is read beside its fence */
	if (d->memory.phase == RG_PHASE_SWITCHING)
		return false;
	if (n->sql == RG_SQL_CLOSED && rg_view_said_it_died(view, node) &&
		view->now_ms - n->lost_ms < RECONNECT_MS)
		return true;
	for (int i = 0; i < d->nsteps; i++)
		if (d->steps[i].kind == RG_STEP_FENCE && d->steps[i].node == node)
			return true;
	return n->ops[RG_STEP_FENCE].state == RG_OP_RUNNING;
}

void
rg_plan_probes(const RgView *view, RgDecision *d)
{
	for (int i = 0; i < view->nnodes; i++)
	{
		const RgNodeView *n = &view->nodes[i];
		const RgOp *op = &n->ops[RG_STEP_PROBE];
		bool		stale = n->lost_ms != 0 && n->probe_ms < n->lost_ms;

		if (n->ssh != RG_SSHV_READY || op->state == RG_OP_RUNNING || is_left_to_the_fence(view, d, i))
			continue;
		if ((stale && op->began_ms < n->lost_ms) ||
			op->began_ms == 0 ||
			view->now_ms - op->began_ms >= probe_spacing(view, d, i))
		{
			RgStep	   *step = rg_decision_step(d, RG_STEP_PROBE, i, -1, 0);

			if (step != NULL)
				step->key = view->now_ms;
		}
	}
}

/*
 * Does this one's authority end by a fence now?  Not while it answers, with
 * facts or with an error: it is alive.  Only a standby that can't promise
 * completely is fenced all the same: a promotion may still be before it.  And a
 * hung server, whose old sessions answer and which takes no new one, one whose
 * disk is why it is replaced, or one that is to begin anew by order.
 */
static bool
ends_by_fence(const RgView *view, const RgMemory *m, int node)
{
	const RgNodeView *n = &view->nodes[node];

	if (rg_view_refuses_us(view, node))
		return false;
	if (rg_view_is_primary(view, node))
		return ((m->failover.diagnosis == RG_DIAG_HUNG && n->fresh == RG_SQL_SILENT) ||
				rg_trouble_is_given_up(view, m, node) || rg_learn_begins_anew(view, m, node)) &&
			rg_start_equal(&m->nodes[node].shown, &n->facts.start);
	return !rg_view_is_standby(view, node) ||
		rg_memory_phase_age_ms(m, view) > RG_RECRUIT_DEADLINE_MS;
}

/*
 * Outlasted, but its server is down and its helper answers: fenced all the same,
 * so that it can be started as a standby, for its data counts.
 */
static bool
is_to_be_brought_back(const RgView *view, const RgMemory *m, int node)
{
	const RgNodeView *n = &view->nodes[node];

	/* it has promised as a primary, and was found to be the one that goes on */
	if (rg_learn_begins_anew(view, m, node))
		return true;
	return m->nodes[node].ended && m->nodes[node].fenced_term == 0 && n->sql != RG_SQL_OK &&
		n->probe.valid && n->probe.postmaster == RG_PM_ABSENT;
}

/* End the authority of old leaders: they promise as standbys, or are fenced. */
static void
plan_fences(const RgView *view, RgDecision *d)
{
	RgMemory   *m = &d->memory;

	for (int i = 0; i < view->nnodes; i++)
	{
		const RgNodeView *n = &view->nodes[i];

		if (!m->nodes[i].must_end || !ends_by_fence(view, m, i) ||
			(m->nodes[i].ended && !is_to_be_brought_back(view, m, i)))
			continue;
		/* what a helper has looked at since the loss, or the server has said; only one that was shown */
		if (n->ssh != RG_SSHV_READY || m->nodes[i].shown.pid == 0 ||
			((!n->probe.valid || n->probe_ms < n->lost_ms) && !rg_view_says_it_died(view, i)))
			continue;
		if (rg_op_may_try(&n->ops[RG_STEP_FENCE], m->term, view->now_ms, MANY))
			(void) rg_decision_step(d, RG_STEP_FENCE, i, -1, m->term);
	}
}

static bool
promise_is_missing(const RgView *view, const RgDecision *d, int node)
{
	const RgNodeView *n = &view->nodes[node];

	return !rg_is_recruited(view, node, d->memory.term) || !n->promise.complete;
}

void
rg_plan_promise(const RgView *view, RgDecision *d, int node, bool must_be_complete, int limit)
{
	const RgOp *op = &view->nodes[node].ops[RG_STEP_PROMISE];

	if (!rg_view_is_standby(view, node) ||
		(rg_is_recruited(view, node, d->memory.term) &&
		 (!must_be_complete || view->nodes[node].promise.complete)))
		return;
	if (rg_op_may_try(op, d->memory.term, view->now_ms, limit) ||
		(op->state == RG_OP_OK && view->now_ms - op->ended_ms >= 200))
		(void) rg_decision_step(d, RG_STEP_PROMISE, node, -1, d->memory.term);
}

bool
rg_plan_lacks_something(const RgView *view, const RgMemory *m, int node)
{
	bool		counted[RG_CORE_NODES_MAX] = {false};
	RgPosition	has = rg_choose_start_position(view, m, node);
	RgPosition	other;
	bool		all = true;

	if (rg_start_equal(&m->nodes[node].admitted, &view->nodes[node].facts.start) &&
		view->nodes[node].facts.ahead[0] == '\0')
		return false;
	if (strcmp(m->accept_loss, m->nodes[node].name) == 0)
		return false;
	if (!rg_choose_is_behind(view, m, node))
		return false;
	/* what was once shown may have been lost by all: those that are asked now say what there is */
	for (int i = 0; i < view->nnodes; i++)
	{
		if (i == node)
			continue;
		counted[i] = rg_recruit_is_complete(view, m, i);
		all = all && (counted[i] || !rg_rule_has_voter(&m->rule, view->nodes[i].name));
		other = rg_choose_position(view, m, i);
		if (counted[i] && rg_rules_compare_position(&other, &has) > 0)
			return true;
	}
	return !all && !(rg_rule_is_sync(&m->rule) && rg_recruit_meets_history(view, m, counted, NULL));
}

/* It was promoted and never got its rule, and the leader of the rule in force is a primary, too. */
static bool
is_beside_the_leader(const RgView *view, const RgMemory *m, int node)
{
	const RgFacts *f = &view->nodes[node].facts;
	int			leader = rg_view_find(view, m->rule.leader);

	return leader >= 0 && leader != node && rg_view_is_primary(view, leader) &&
		rg_rules_is_half_promoted(f->promoting_term, f->rule.term);
}

/*
 * A primary that was restored from an older copy promises: so it is out of office
 * for good.  Asked when somebody was found who holds more, or by order.
 */
static bool
must_promise_as_primary(const RgView *view, const RgMemory *m, int node)
{
	RgPosition	has = rg_choose_start_position(view, m, node);
	RgPosition	other;

	if (!m->nodes[node].must_end || m->nodes[node].ended || !rg_view_is_primary(view, node) ||
		m->nodes[node].ungated || rg_learn_begins_anew(view, m, node))
		return false;
	if (is_beside_the_leader(view, m, node))
		return true;
	/* its state file may lie on a disk that works */
	if (rg_trouble_is_given_up(view, m, node))
		return view->nodes[node].ssh != RG_SSHV_READY;
	if (!rg_plan_lacks_something(view, m, node))
		return false;
	if (m->accept_loss[0] != '\0')
		return true;
	for (int i = 0; i < view->nnodes; i++)
	{
		other = rg_choose_position(view, m, i);
		if (i != node && rg_recruit_is_complete(view, m, i) && rg_rules_compare_position(&other, &has) > 0)
			return true;
	}
	return false;
}

static void
plan_promises(const RgView *view, RgDecision *d)
{
	for (int i = 0; i < view->nnodes; i++)
	{
		const RgOp *op = &view->nodes[i].ops[RG_STEP_PROMISE];

		rg_plan_promise(view, d, i, true, MANY);
		/* what it promised as a standby, before its promotion came to an end, closes nothing */
		if (must_promise_as_primary(view, &d->memory, i) &&
			(rg_op_may_try(op, d->memory.term, view->now_ms, MANY) ||
			 (op->state == RG_OP_OK && !view->nodes[i].promise.by_primary && view->now_ms - op->ended_ms >= 200)))
			(void) rg_decision_step(d, RG_STEP_PROMISE, i, -1, d->memory.term);
	}
}

/*
 * The most advanced one must not, or can't, be promoted: somebody who can be fetches
 * its WAL.  Only when every authority has ended: what it brings is finite then.
 */
static void
plan_fetch(const RgView *view, RgDecision *d)
{
	const RgMemory *m = &d->memory;
	const RgOp *op;
	RgChoice	choice;
	RgStep	   *step;

	for (int i = 0; i < m->nnodes; i++)
		if (m->nodes[i].must_end && !m->nodes[i].ended)
			return;
	if (rg_plan_waits_for_promises(view, d))
		return;
	rg_choose(view, m, m->term, d->leader, &choice);
	if (choice.fetcher < 0)
		return;
	op = &view->nodes[choice.fetcher].ops[RG_STEP_FETCH];
	/* done, and there was more to fetch than comes at a time */
	if (!rg_op_may_try(op, m->term, view->now_ms, MANY) &&
		!(rg_op_done(op, m->term) && view->now_ms - op->ended_ms >= 100))
		return;
	step = rg_decision_step(d, RG_STEP_FETCH, choice.fetcher, choice.source, m->term);
	if (step == NULL)
		return;
	step->expect = view->nodes[choice.fetcher].promise.start;
	step->until_lsn = choice.until;
	if (op->term != m->term)
		rg_decision_note(d, RG_EVENT_WAL_FETCH, choice.fetcher, 0, false, "term %lld: %.200s", (long long) m->term,
						 choice.summary);
}

/* A standby that can't be asked right now, but shows that it is about to be back. */
static bool
is_on_its_way(const RgView *view, const RgMemory *m, int node)
{
	const RgNodeView *n = &view->nodes[node];

	if (m->nodes[node].must_end || rg_is_recruited(view, node, m->term))
		return false;
	return rg_view_is_untried(view, node) || n->sql == RG_SQL_STARTING || n->sql == RG_SQL_CLOSED;
}

/* A switchover failed half way: the leader that we stopped holds everything, and is on its way. */
static bool
waits_for_stopped_leader(const RgView *view, const RgMemory *m)
{
	int			node = m->failover.planned ? rg_view_find(view, m->failover.from) : -1;

	return node >= 0 && m->nodes[node].fenced_term != 0 && m->accept_loss[0] == '\0' &&
		!rg_recruit_is_complete(view, m, node) &&
		rg_memory_phase_age_ms(m, view) < RG_SWITCH_DEADLINE_MS;
}

bool
rg_plan_waits_for_promises(const RgView *view, const RgDecision *d)
{
	if (waits_for_stopped_leader(view, &d->memory))
		return true;
	if (rg_memory_phase_age_ms(&d->memory, view) >= RG_RECRUIT_DEADLINE_MS)
		return false;
	for (int i = 0; i < view->nnodes; i++)
	{
		/* who has no vote is not waited for */
		if (rg_upstream_is_guest(view, &d->memory, i))
			continue;
		if (is_on_its_way(view, &d->memory, i))
			return true;
		if (rg_view_is_standby(view, i) && promise_is_missing(view, d, i) &&
			view->nodes[i].ops[RG_STEP_PROMISE].state != RG_OP_REFUSED)
			return true;
	}
	return false;
}

bool
rg_plan_may_start(const RgView *view, const RgMemory *m, int node, int64_t term)
{
	const RgNodeView *n = &view->nodes[node];
	const RgOp *op = &n->ops[RG_STEP_START];
	/* what failed for want of room says nothing of a start with room */
	int			tries = m->nodes[node].starved ? MANY : RG_START_TRIES;

	if (m->nodes[node].fenced_term == 0 || m->nodes[node].half_rewound != RG_REWOUND_WHOLE ||
		n->sql == RG_SQL_OK || n->ssh != RG_SSHV_READY || !n->probe.valid || !n->probe.fenced ||
		n->probe.postmaster != RG_PM_ABSENT || n->probe.disk_full)
		return false;
	/* it was started, and has died since */
	if (rg_op_done(op, term))
		return op->attempts < tries && n->probe_ms > op->ended_ms &&
			view->now_ms - op->ended_ms >= 5000;
	return rg_op_may_try(op, term, view->now_ms, tries);
}

/* Nobody can be promoted yet: bring back, as standbys, those that we fenced. */
static void
plan_starts(const RgView *view, RgDecision *d)
{
	const RgMemory *m = &d->memory;

	for (int i = 0; i < view->nnodes; i++)
		if (!(m->nodes[i].must_end && !m->nodes[i].ended) && rg_plan_may_start(view, m, i, m->term))
			(void) rg_decision_step(d, RG_STEP_START, i, -1, m->term);
}

/* Those that may follow plainly are pointed at the candidate at once, by reload. */
static void
plan_follows(const RgView *view, RgDecision *d, int candidate)
{
	const RgPromise *to = &view->nodes[candidate].promise;
	RgTermEnd	terms[RG_TERMS_MAX];

	if (to->term != d->memory.term || to->nterms == 0)
		return;
	memcpy(terms, to->terms, sizeof(terms));
	/* the promotion ends the timeline here, for every term that was spent on it */
	for (int i = 0; i < to->nterms; i++)
		if (terms[i].end_lsn == 0)
			terms[i].end_lsn = to->position.lsn;
	for (int i = 0; i < view->nnodes; i++)
	{
		const RgNodeView *n = &view->nodes[i];

		if (i == candidate || !rg_view_is_standby(view, i) ||
			!rg_is_recruited(view, i, d->memory.term) || !n->promise.complete)
			continue;
		if (rg_rules_may_follow(n->promise.terms, n->promise.nterms, n->promise.promoting_term,
								n->promise.position.timeline, n->promise.position.lsn,
								terms, to->nterms) != RG_FOLLOW_OK ||
			d->memory.nodes[i].strayed || rg_choose_has_lost_wal(n, terms, to->nterms))
			continue;
		if (rg_op_may_try(&n->ops[RG_STEP_FOLLOW], d->memory.term, view->now_ms, 10))
			(void) rg_decision_step(d, RG_STEP_FOLLOW, i, candidate, d->memory.term);
	}
}

/*
 * With promote_via = both SQL has a head start: mostly it is done before the
 * helper has even looked, and the two would only compete for the processor.
 */
static bool
sql_is_enough(const RgView *view, const RgDecision *d, int candidate)
{
	const RgOp *op = &view->nodes[candidate].ops[RG_STEP_PROMOTE_SQL];

	return view->settings.promote_sql && rg_view_answers(view, candidate) &&
		rg_memory_phase_age_ms(&d->memory, view) < SSH_LATER_MS &&
		(op->term != d->memory.term || op->state == RG_OP_NONE || op->state == RG_OP_RUNNING ||
		 op->state == RG_OP_OK);
}

static void
plan_promotion(const RgView *view, RgDecision *d, int candidate)
{
	static const RgStepKind ways[] = {RG_STEP_PROMOTE_SQL, RG_STEP_PROMOTE_SSH};
	const RgNodeView *n = &view->nodes[candidate];
	int64_t		term = d->memory.term;

	/* restarted since it promised, or we were: only a promise in this server start counts (F3) */
	if (promise_is_missing(view, d, candidate))
	{
		rg_plan_promise(view, d, candidate, true, MANY);
		return;
	}
	for (int i = 0; i < 2; i++)
	{
		bool		open = ways[i] == RG_STEP_PROMOTE_SQL
			? view->settings.promote_sql && rg_view_answers(view, candidate)
			: view->settings.promote_ssh && n->ssh == RG_SSHV_READY && !sql_is_enough(view, d, candidate);
		RgStep	   *step = NULL;

		if (open && rg_op_may_try(&n->ops[ways[i]], term, view->now_ms, 10))
			step = rg_decision_step(d, ways[i], candidate, -1, term);
		if (step != NULL)
			step->expect = n->promise.start;
	}
}

/* Everything else stays: who is not there is left out by the next rule (change.c). */
static void
fit_leader(RgRule *rule)
{
	int			i = rg_rule_voter(rule, rule->leader);
	RgSets		sets;

	if (i >= 0)
		rule->left_out &= ~(UINT32_C(1) << i);
	rg_rule_sets(rule, rule->leader, &sets);
	if (strcmp(rule->durability, "sync") == 0 && rule->quorum > rg_sets_size(sets.counted))
		rule->quorum = rg_sets_size(sets.counted);
}

/* What is still to come of the newest rule: from async to a count it goes once more, in the new term. */
static void
begin_in_async(RgMemory *m)
{
	if (m->wish.durability[0] == '\0')
		rg_text(m->wish.durability, sizeof(m->wish.durability), "%s", m->rule.durability);
	if (m->wish.quorum == 0)
		m->wish.quorum = m->rule.quorum;
}

/*
 * In strict whoever is lost with the leader stays counted.  So the others are, too, also who
 * was left out: were it for the next rule to say so, commits would wait until those who are
 * lost have heard of that.  Not who has strayed: it has no copy of anything.
 */
static void
count_all(const RgMemory *m, RgRule *rule)
{
	for (int k = 0; k < m->nnodes; k++)
	{
		int			i = rg_rule_voter(rule, m->nodes[k].name);

		if (i >= 0 && !m->nodes[k].strayed)
			rule->left_out &= ~(UINT32_C(1) << i);
	}
}

void
rg_plan_rule(const RgView *view, const RgMemory *m, bool undone, RgRule *ret_rule)
{
	bool		is_new_leader = strcmp(m->rule.leader, m->candidate) != 0;

	*ret_rule = m->rule;
	/*
	 * Those who could be recruited alone after this one may know of async only, and would give
	 * its commits away.  The same leader still has the rule before in question, and counts by both.
	 */
	if (m->sync_begun && rg_rule_is_sync(&m->rule) && is_new_leader && !RG_MUTANT(80))
		rg_text(ret_rule->durability, sizeof(ret_rule->durability), "async");
	ret_rule->term = m->term;
	ret_rule->seq = 1;
	rg_text(ret_rule->leader, sizeof(ret_rule->leader), "%s", m->candidate);
	rg_text(ret_rule->watchdog, sizeof(ret_rule->watchdog), "%s", view->watchdog);
	if (strcmp(ret_rule->durability, "strict") == 0 && is_new_leader)
		count_all(m, ret_rule);
	fit_leader(ret_rule);
	if (undone)
		rg_text(ret_rule->reason, sizeof(ret_rule->reason), m->failover.planned
				? "switchover undone" : "recruit undone: the leader was back");
	else if (m->failover.planned)
		rg_text(ret_rule->reason, sizeof(ret_rule->reason), "switchover from %s%s%s", m->failover.from,
				m->failover.diagnosis == RG_DIAG_HEALTHY ? "" : ": ",
				m->failover.diagnosis == RG_DIAG_HEALTHY ? "" : rg_diagnosis_name(m->failover.diagnosis));
	else
		rg_text(ret_rule->reason, sizeof(ret_rule->reason), "failover from %s: %s",
				m->failover.from, rg_diagnosis_name(m->failover.diagnosis));
}

static void
plan_rule_step(const RgView *view, RgDecision *d, int candidate)
{
	const RgOp *op = &view->nodes[candidate].ops[RG_STEP_WRITE_RULE];
	bool		undone = d->memory.phase == RG_PHASE_UNDOING;
	RgStep	   *step;

	/* a new leader's time is bounded by its phase; who goes on in an undo gets all the time it needs */
	if (!rg_view_answers(view, candidate) || !rg_op_may_try(op, d->memory.term, view->now_ms, MANY))
		return;
	step = rg_decision_step(d, RG_STEP_WRITE_RULE, candidate, -1, d->memory.term);
	if (step == NULL)
		return;
	rg_plan_rule(view, &d->memory, undone, &step->rule);
	if (!rg_rule_is_sync(&step->rule) && rg_rule_is_sync(&d->memory.rule))
		begin_in_async(&d->memory);
}

void
rg_plan_failover(const RgView *view, RgDecision *d)
{
	int			candidate = rg_view_find(view, d->memory.candidate);

	switch (d->memory.phase)
	{
		case RG_PHASE_RECRUITING:
			plan_fences(view, d);
			plan_promises(view, d);
			plan_fetch(view, d);
			if (!rg_plan_waits_for_promises(view, d) || d->memory.failover.planned)
				plan_starts(view, d);
			break;
		case RG_PHASE_PROMOTING:
			if (candidate >= 0)
			{
				plan_promotion(view, d, candidate);
				plan_follows(view, d, candidate);
			}
			break;
		case RG_PHASE_RULING:
			if (candidate >= 0)
			{
				plan_rule_step(view, d, candidate);
				plan_follows(view, d, candidate);
			}
			break;
		case RG_PHASE_UNDOING:
			if (candidate >= 0)
				plan_rule_step(view, d, candidate);
			break;
		case RG_PHASE_SWITCHING:
			rg_switch_plan(view, d);
			break;
		case RG_PHASE_STARTING:
		case RG_PHASE_STEADY:
		case RG_PHASE_SUSPECTING:
		case RG_PHASE_WAITING:
		case RG_PHASE_ALARMED:
		case RG_PHASE_COUNT:
			break;
	}
}
