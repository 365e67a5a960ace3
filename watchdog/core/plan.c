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

#define MANY 1000000

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
		return n->facts.in_recovery == false && node != d->leader ? 1000 : 30000;
	}
	age = view->now_ms - (n->lost_ms != 0 ? n->lost_ms : view->started_ms);
	if (node == d->leader && age < 2000)
		return 40;
	return age < 30000 ? 500 : 5000;
}

void
rg_plan_probes(const RgView *view, RgDecision *d)
{
	for (int i = 0; i < view->nnodes; i++)
	{
		const RgNodeView *n = &view->nodes[i];
		const RgOp *op = &n->ops[RG_STEP_PROBE];
		bool		stale = n->lost_ms != 0 && n->probe_ms < n->lost_ms;

		if (n->ssh != RG_SSHV_READY || op->state == RG_OP_RUNNING)
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

/* End the authority of old leaders: they promise as standbys, or are fenced. */
static void
plan_fences(const RgView *view, RgDecision *d)
{
	RgMemory   *m = &d->memory;

	for (int i = 0; i < view->nnodes; i++)
	{
		const RgNodeView *n = &view->nodes[i];

		if (!m->nodes[i].must_end || m->nodes[i].ended || rg_view_answers(view, i))
			continue;
		/* only what a helper has looked at since the loss, and only the server that it had shown */
		if (n->ssh != RG_SSHV_READY || !n->probe.valid || n->probe_ms < n->lost_ms ||
			m->nodes[i].shown.pid == 0)
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

static void
plan_promises(const RgView *view, RgDecision *d)
{
	for (int i = 0; i < view->nnodes; i++)
	{
		const RgNodeView *n = &view->nodes[i];
		const RgOp *op = &n->ops[RG_STEP_PROMISE];

		if (!rg_view_is_standby(view, i) || !promise_is_missing(view, d, i))
			continue;
		/* an answer that does not count (restart, incomplete) is asked for again */
		if (rg_op_may_try(op, d->memory.term, view->now_ms, MANY) ||
			(op->state == RG_OP_OK && view->now_ms - op->ended_ms >= 200))
			(void) rg_decision_step(d, RG_STEP_PROMISE, i, -1, d->memory.term);
	}
}

bool
rg_plan_waits_for_promises(const RgView *view, const RgDecision *d)
{
	if (view->now_ms - d->memory.phase_ms >= RG_RECRUIT_DEADLINE_MS)
		return false;
	for (int i = 0; i < view->nnodes; i++)
		if (rg_view_is_standby(view, i) && promise_is_missing(view, d, i) &&
			view->nodes[i].ops[RG_STEP_PROMISE].state != RG_OP_REFUSED)
			return true;
	return false;
}

/* Nobody can be promoted yet: bring back, as standbys, those that we fenced. */
static void
plan_starts(const RgView *view, RgDecision *d)
{
	RgMemory   *m = &d->memory;

	for (int i = 0; i < view->nnodes; i++)
	{
		const RgNodeView *n = &view->nodes[i];

		if (m->nodes[i].fenced_term == 0 || rg_view_answers(view, i) ||
			n->ssh != RG_SSHV_READY || !n->probe.valid || !n->probe.fenced ||
			n->probe.postmaster != RG_PM_ABSENT)
			continue;
		if (rg_op_may_try(&n->ops[RG_STEP_START], m->term, view->now_ms, 5))
			(void) rg_decision_step(d, RG_STEP_START, i, -1, m->term);
	}
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
	if (terms[to->nterms - 1].end_lsn == 0)
		terms[to->nterms - 1].end_lsn = to->position.lsn;
	for (int i = 0; i < view->nnodes; i++)
	{
		const RgNodeView *n = &view->nodes[i];

		if (i == candidate || !rg_view_is_standby(view, i) ||
			!rg_is_recruited(view, i, d->memory.term) || !n->promise.complete)
			continue;
		if (rg_rules_may_follow(n->promise.terms, n->promise.nterms, n->promise.promoting_term,
								n->promise.position.timeline, n->promise.position.lsn,
								terms, to->nterms) != RG_FOLLOW_OK)
			continue;
		if (rg_op_may_try(&n->ops[RG_STEP_FOLLOW], d->memory.term, view->now_ms, 10))
			(void) rg_decision_step(d, RG_STEP_FOLLOW, i, candidate, d->memory.term);
	}
}

static void
plan_promotion(const RgView *view, RgDecision *d, int candidate)
{
	const RgNodeView *n = &view->nodes[candidate];
	int64_t		term = d->memory.term;

	if (view->settings.promote_sql &&
		rg_op_may_try(&n->ops[RG_STEP_PROMOTE_SQL], term, view->now_ms, 10))
		(void) rg_decision_step(d, RG_STEP_PROMOTE_SQL, candidate, -1, term);
	if (view->settings.promote_ssh && n->ssh == RG_SSHV_READY &&
		rg_op_may_try(&n->ops[RG_STEP_PROMOTE_SSH], term, view->now_ms, 10))
		(void) rg_decision_step(d, RG_STEP_PROMOTE_SSH, candidate, -1, term);
}

void
rg_plan_rule(const RgView *view, const RgMemory *m, RgRule *ret_rule)
{
	*ret_rule = m->rule;
	ret_rule->term = m->term;
	ret_rule->seq = 1;
	rg_text(ret_rule->leader, sizeof(ret_rule->leader), "%s", m->candidate);
	rg_text(ret_rule->watchdog, sizeof(ret_rule->watchdog), "%s", view->watchdog);
	if (m->phase == RG_PHASE_UNDOING)
		rg_text(ret_rule->reason, sizeof(ret_rule->reason), "recruit undone: the leader was back");
	else
		rg_text(ret_rule->reason, sizeof(ret_rule->reason), "failover from %s: %s",
				m->failover.from, rg_diagnosis_name(m->failover.diagnosis));
}

static void
plan_rule_step(const RgView *view, RgDecision *d, int candidate)
{
	const RgOp *op = &view->nodes[candidate].ops[RG_STEP_WRITE_RULE];
	RgStep	   *step;

	if (!rg_op_may_try(op, d->memory.term, view->now_ms, 100))
		return;
	step = rg_decision_step(d, RG_STEP_WRITE_RULE, candidate, -1, d->memory.term);
	if (step != NULL)
		rg_plan_rule(view, &d->memory, &step->rule);
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
			if (!rg_plan_waits_for_promises(view, d))
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
		case RG_PHASE_STARTING:
		case RG_PHASE_STEADY:
		case RG_PHASE_SUSPECTING:
		case RG_PHASE_WAITING:
		case RG_PHASE_ALARMED:
		case RG_PHASE_COUNT:
			break;
	}
}
