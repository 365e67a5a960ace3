/*
 * notice.c
 *	  From a view to one input of the phase table.
 *
 * Each phase asks its own question.  While nothing is under way: how is the
 * leader?  While recruiting: have the old authorities ended, and who lacks
 * nothing?  While promoting and ruling: has it happened, or is the candidate
 * lost?  Whatever is in the way of a failover is told as its refusal.
 */
#include "notice.h"

#include <string.h>

#include "choose.h"
#include "decide.h"
#include "diagnose.h"
#include "learn.h"
#include "order.h"
#include "plan.h"
#include "recruit.h"
#include "switch.h"

/*
 * A standby that could take over, so that ending the leader is of use; one that we
 * fenced can be started for it.
 */
static bool
somebody_could_take_over(const RgView *view, const RgMemory *m)
{
	for (int i = 0; i < view->nnodes; i++)
		if (view->nodes[i].priority > 0 &&
			!rg_memory_is_rebuilding(m, view->nodes[i].name) &&
			(rg_view_is_standby(view, i) || rg_plan_may_start(view, m, i, m->highest_term + 1)))
			return true;
	return false;
}

/*
 * A second server that is not in recovery and holds the newest rule: somebody
 * promoted it by hand.  Promoting one more would make two primaries.
 */
static int
other_primary(const RgView *view, const RgMemory *m, int leader)
{
	for (int i = 0; i < view->nnodes; i++)
	{
		const RgRule *rule = &view->nodes[i].facts.rule;

		if (i != leader && rg_view_is_primary(view, i) && !m->nodes[i].must_end &&
			rg_rules_compare(rule->term, rule->seq, m->rule.term, m->rule.seq) >= 0)
			return i;
	}
	return -1;
}

static void
refuse(RgDecision *d, const char *why)
{
	RgMemory   *m = &d->memory;

	if (strcmp(m->refusal, why) == 0)
		return;
	rg_text(m->refusal, sizeof(m->refusal), "%.*s", RG_TEXT_MAX - 1, why);
	rg_decision_note(d, RG_EVENT_FAILOVER_REFUSED, -1, 0, true, "no failover: %.200s", why);
}

static bool
refuse_beside_other_primary(const RgView *view, RgDecision *d)
{
	int			other = other_primary(view, &d->memory, d->leader);
	char		why[RG_TEXT_MAX];

	if (other < 0)
		return false;
	rg_text(why, sizeof(why),
			"%s runs as a primary although %s leads by rule %lld: stop it or make it a standby first",
			view->nodes[other].name, d->memory.rule.leader, (long long) d->memory.rule.term);
	refuse(d, why);
	return true;
}

/*
 * Without the end of a lease to wait for: the gate of the leader was off, or
 * overridden by somebody who knows why; NULL = the diagnosis may be acted on.
 */
static const char *
gate_trouble(const RgView *view, const RgMemory *m, int leader)
{
	bool		is_override;

	if (leader < 0 || !m->nodes[leader].ungated)
		return NULL;
	is_override = view->nodes[leader].facts.valid && view->nodes[leader].facts.gate == RG_GATEV_OVERRIDE;
	if (m->diagnosis == RG_DIAG_HOST_LOST || m->diagnosis == RG_DIAG_OVERDUE)
		return "the leader's gate was off or overridden when it was last seen: the end of its lease proves nothing";
	if (is_override && m->diagnosis == RG_DIAG_HUNG)
		return "the leader's gate is overridden by a superuser";
	return NULL;
}

/* The diagnosis calls for a failover, or an operator does: may it begin? */
static RgInput
notice_death(const RgView *view, RgDecision *d)
{
	RgMemory   *m = &d->memory;
	bool		by_order = m->accept_loss[0] != '\0';

	if (!rg_learn_all_tried(view))
		return RG_INPUT_NOTHING;
	if (!m->confirmed)
		refuse(d, "our journal may be an old one: waiting for more than half of the voters, or regent takeover");
	else if (!view->settings.auto_failover && !by_order)
		refuse(d, "auto_failover is off");
	else if (refuse_beside_other_primary(view, d))
		return RG_INPUT_LEADER_ALIVE;
	else if (!by_order && gate_trouble(view, m, d->leader) != NULL)
		refuse(d, gate_trouble(view, m, d->leader));
	else if (!somebody_could_take_over(view, m))
		refuse(d, "no standby answers that may be promoted");
	else
		return RG_INPUT_FAILOVER_CALLED;
	return RG_INPUT_LEADER_ALIVE;
}

/*
 * Somebody has promised more than the rule in force, to a watchdog that is gone or
 * to a life of ours that no journal tells of: he would refuse to follow for ever.
 */
static bool
has_been_promised_above(const RgView *view, const RgMemory *m)
{
	int			leader = rg_view_find(view, m->rule.leader);

	if (leader < 0 || view->nodes[leader].facts.rule.term != m->rule.term ||
		!rg_start_equal(&m->nodes[leader].admitted, &view->nodes[leader].facts.start))
		return false;
	for (int i = 0; i < view->nnodes; i++)
	{
		const RgFacts *f = &view->nodes[i].facts;

		if (rg_view_answers(view, i) &&
			(f->promised_term > m->rule.term || f->promoting_term > m->rule.term))
			return true;
	}
	return false;
}

static RgInput
notice_well(const RgView *view, RgDecision *d)
{
	RgMemory   *m = &d->memory;

	m->refusal[0] = '\0';
	if (m->accept_loss[0] != '\0')
	{
		rg_decision_note(d, RG_EVENT_FAILOVER_REFUSED, d->leader, 0, false,
						 "%s is well again: nothing is given up for %s", m->rule.leader, m->accept_loss);
		m->accept_loss[0] = '\0';
	}
	if (m->phase == RG_PHASE_STEADY && has_been_promised_above(view, m))
	{
		m->term = ++m->highest_term;
		rg_text(m->candidate, sizeof(m->candidate), "%s", m->rule.leader);
		return RG_INPUT_LEADER_BACK;
	}
	if (m->phase == RG_PHASE_STEADY && m->target[0] != '\0' && rg_switch_may_begin(view, d))
		return RG_INPUT_SWITCHOVER_ASKED;
	return RG_INPUT_LEADER_WELL;
}

/* The order came just before the leader was doubted. */
static void
drop_switchover(const RgView *view, RgDecision *d)
{
	char		why[RG_TEXT_MAX];

	if (d->memory.target[0] == '\0')
		return;
	rg_text(why, sizeof(why), "the leader is not well: %.180s", d->evidence);
	rg_decision_note(d, RG_EVENT_SWITCHOVER_REFUSED, d->leader, 0, true, "switchover to %s: %.180s",
					 d->memory.target, why);
	rg_switch_end(view, &d->memory, false, why);
}

static RgInput
notice_leader(const RgView *view, RgDecision *d)
{
	RgMemory   *m = &d->memory;
	RgVerdict	verdict = rg_diagnosis_verdict(m->diagnosis);

	if (verdict == RG_VERDICT_WELL)
		return notice_well(view, d);
	if (m->phase != RG_PHASE_STARTING)
		drop_switchover(view, d);
	if (m->accept_loss[0] != '\0' && m->diagnosis != RG_DIAG_NOT_OBEYED)
		return notice_death(view, d);
	switch (verdict)
	{
		case RG_VERDICT_WAIT:
			m->refusal[0] = '\0';
			return RG_INPUT_LEADER_WAITED;
		case RG_VERDICT_ALARM:
			m->refusal[0] = '\0';
			return RG_INPUT_LEADER_ALIVE;
		case RG_VERDICT_LOOK:
			return m->diagnosis == RG_DIAG_SUSPECT ? RG_INPUT_LEADER_DOUBTED : RG_INPUT_NOTHING;
		case RG_VERDICT_WELL:
		case RG_VERDICT_FAILOVER:
			break;
	}
	return notice_death(view, d);
}

/* The node was fenced for this term, and nothing that it said later contradicts that. */
static bool
fence_holds(const RgView *view, const RgMemory *m, int node)
{
	const RgOp *op = &view->nodes[node].ops[RG_STEP_FENCE];

	return rg_op_done(op, m->term) &&
		!(rg_view_is_primary(view, node) && view->nodes[node].facts_ms > op->ended_ms);
}

/*
 * A promise ends the authority of a standby, once it has seen it waiting at the
 * end of its WAL: one that was a candidate may still have its promotion before it.
 * A primary's promise closes its gate, unless nobody minds that gate.
 */
static bool
promise_ends(const RgView *view, const RgMemory *m, int node)
{
	const RgPromise *p = &view->nodes[node].promise;

	if (!rg_is_recruited(view, node, m->term))
		return false;
	return p->by_primary ? !m->nodes[node].ungated : rg_view_is_standby(view, node) && p->complete;
}

/* Ends of authority: by fence, by promise, or because its standbys outlasted its lease. */
static bool
authorities_have_ended(const RgView *view, RgDecision *d)
{
	RgMemory   *m = &d->memory;
	bool		all = true;

	for (int i = 0; i < m->nnodes; i++)
	{
		RgNodeMemory *mem = &m->nodes[i];
		bool		is_configured = i < view->nnodes;	/* else it can't be asked, nor have ended */

		if (!mem->must_end || mem->ended)
			continue;
		if (is_configured && fence_holds(view, m, i))
		{
			mem->ended = true;
			mem->fenced_term = m->term;
			if (m->failover.times.fenced_ms == 0)
				m->failover.times.fenced_ms = view->nodes[i].ops[RG_STEP_FENCE].ended_ms;
			rg_decision_note(d, RG_EVENT_FENCED, i, 0, false,
							 "%s is fenced for term %lld: no process of it is left, it can only start as a standby",
							 mem->name, (long long) m->term);
		}
		else if (is_configured && promise_ends(view, m, i))
			mem->ended = true;
		else if (is_configured && rg_recruit_outlast(view, m, i) == RG_OUTLAST_DONE)
		{
			mem->ended = true;
			m->failover.bound_ms = view->now_ms - m->failover.times.called_ms;
		}
		else
			all = false;
	}
	return all;
}

/*
 * It answers as a primary that could go on: its newest session, too (old ones of a
 * hung server still answer), and in a start that lacks nothing that others show.
 */
static bool
could_go_on(const RgView *view, const RgMemory *m, int node)
{
	const RgNodeView *n = &view->nodes[node];

	return rg_view_is_primary(view, node) && n->facts_ms > m->phase_ms && n->fresh != RG_SQL_SILENT &&
		(m->failover.diagnosis != RG_DIAG_HUNG || n->fresh == RG_SQL_OK) &&
		n->ops[RG_STEP_FENCE].state != RG_OP_RUNNING && !fence_holds(view, m, node) &&
		!rg_plan_lacks_something(view, m, node);
}

/*
 * One whose authority was to end could go on: it does, unless another one's
 * authority has not ended either.
 */
static int
leader_that_is_back(const RgView *view, const RgMemory *m)
{
	int			back = -1;

	for (int i = 0; i < view->nnodes; i++)
		if (m->nodes[i].must_end && could_go_on(view, m, i) &&
			(back < 0 || (m->nodes[back].ended && !m->nodes[i].ended)))
			back = i;
	for (int i = 0; i < m->nnodes; i++)
		if (i != back && m->nodes[i].must_end && !m->nodes[i].ended)
			return -1;
	return back;
}

/* Not refused: it is only a matter of time.  Told in status, not as an event. */
static void
wait_for(RgDecision *d, const char *why)
{
	rg_text(d->memory.refusal, sizeof(d->memory.refusal), "%s", why);
}

/* What keeps this fence from being done. */
static const char *
fence_trouble(const RgView *view, const RgMemory *m, int node)
{
	const RgNodeView *n = &view->nodes[node];
	const RgOp *op = &n->ops[RG_STEP_FENCE];

	if (rg_view_refuses_us(view, node))
		return n->sql_text;
	if (op->term == m->term && op->text[0])
		return op->text;
	if (n->ssh != RG_SSHV_READY)
		return n->ssh_text[0] ? n->ssh_text : "no SSH session";
	return rg_view_is_standby(view, node) ? "it has not promised yet, or could not replay all its WAL"
		: "its helper has not confirmed it yet";
}

/* Whose authority has not ended, and why. */
static void
tell_unended(const RgView *view, RgDecision *d)
{
	const RgMemory *m = &d->memory;
	char		why[RG_TEXT_MAX];
	char		outlast[RG_TEXT_MAX];

	for (int i = 0; i < m->nnodes; i++)
	{
		if (!m->nodes[i].must_end || m->nodes[i].ended)
			continue;
		if (i >= view->nnodes)
		{
			rg_text(why, sizeof(why), "%s may still be a primary, but is not in the configuration: put it back",
					m->nodes[i].name);
			refuse(d, why);
			return;
		}
		if (view->nodes[i].ops[RG_STEP_FENCE].state == RG_OP_RUNNING)
			continue;
		rg_recruit_outlast_text(view, m, i, outlast);
		rg_text(why, sizeof(why), "%s is not fenced (%.90s), and %.110s", m->nodes[i].name,
				fence_trouble(view, m, i), outlast);
		if (rg_recruit_outlast(view, m, i) == RG_OUTLAST_TIME)
			wait_for(d, why);
		else
			refuse(d, why);
		return;
	}
}

/*
 * Somebody has promised more than our journal knew: in this term he would refuse
 * the fence and the promise for ever.  No candidate is chosen yet, so the term may
 * just be a higher one.
 */
static void
raise_term(const RgView *view, RgDecision *d)
{
	RgMemory   *m = &d->memory;

	if (m->highest_term <= m->term)
		return;
	m->highest_term++;
	m->term = m->failover.term = m->highest_term;
	m->phase_ms = view->now_ms;
	rg_decision_note(d, RG_EVENT_FAILOVER_AGAIN, -1, 0, false,
					 "term %lld: a node has promised more than was known here", (long long) m->term);
}

/* A leader of a newer rule than was known when the recruit began: its authority counts, too. */
static void
claim_newest_leader(const RgView *view, RgMemory *m)
{
	int			leader = rg_view_find(view, m->rule.leader);

	if (leader >= 0 && !m->nodes[leader].must_end && !m->nodes[leader].ended)
		m->nodes[leader].must_end = true;
}

static RgInput
notice_recruiting(const RgView *view, RgDecision *d)
{
	RgMemory   *m = &d->memory;
	int			back;
	bool		late;
	RgChoice	choice;

	claim_newest_leader(view, m);
	/* what has ended in this term has ended for the next one, too */
	(void) authorities_have_ended(view, d);
	raise_term(view, d);
	back = leader_that_is_back(view, m);
	late = rg_memory_phase_age_ms(m, view) > RG_RECRUIT_DEADLINE_MS;
	if (back >= 0)
	{
		rg_text(m->candidate, sizeof(m->candidate), "%s", m->nodes[back].name);
		return RG_INPUT_LEADER_BACK;
	}
	if (!authorities_have_ended(view, d))
	{
		if (late)
			tell_unended(view, d);
		return RG_INPUT_NOTHING;
	}
	if (rg_plan_waits_for_promises(view, d) || refuse_beside_other_primary(view, d))
		return RG_INPUT_NOTHING;
	rg_choose(view, m, m->term, d->leader, &choice);
	if (choice.node < 0)
	{
		if (late)
			refuse(d, choice.summary);
		return RG_INPUT_NOTHING;
	}
	rg_text(m->candidate, sizeof(m->candidate), "%s", view->nodes[choice.node].name);
	rg_decision_note(d, RG_EVENT_CANDIDATE_CHOSEN, choice.node, 0, false, "term %lld: %.200s",
					 (long long) m->term, choice.summary);
	if (m->accept_loss[0] != '\0')
		rg_order_loss(view, m, choice.node, m->failover.given_up);
	return RG_INPUT_CANDIDATE_CHOSEN;
}

/* The index of the journalled candidate; without it in the configuration nothing goes on. */
static int
find_candidate(const RgView *view, RgDecision *d)
{
	int			node = rg_view_find(view, d->memory.candidate);
	char		why[RG_TEXT_MAX];

	if (node >= 0)
		return node;
	rg_text(why, sizeof(why), "%s, the candidate of term %lld, is not in the configuration: put it back",
			d->memory.candidate, (long long) d->memory.term);
	refuse(d, why);
	return -1;
}

static bool
candidate_is_lost(const RgView *view, const RgMemory *m, int node)
{
	const RgNodeView *n = &view->nodes[node];

	if (rg_memory_phase_age_ms(m, view) > RG_PROMOTE_DEADLINE_MS)
		return true;
	return n->sql != RG_SQL_OK && n->lost_ms != 0 && view->now_ms - n->lost_ms > 3000;
}

static RgInput
notice_promoting(const RgView *view, RgDecision *d)
{
	const RgMemory *m = &d->memory;
	int			node = find_candidate(view, d);

	if (node < 0)
		return RG_INPUT_NOTHING;
	if (rg_op_done(&view->nodes[node].ops[RG_STEP_PROMOTE_SQL], m->term) ||
		(rg_view_is_primary(view, node) && view->nodes[node].facts_ms >= m->phase_ms))
		return RG_INPUT_PROMOTED;
	return candidate_is_lost(view, m, node) ? RG_INPUT_CANDIDATE_LOST : RG_INPUT_NOTHING;
}

static RgInput
notice_ruling(const RgView *view, RgDecision *d)
{
	RgMemory   *m = &d->memory;
	int			node = find_candidate(view, d);

	if (node < 0)
		return RG_INPUT_NOTHING;
	if (rg_op_done(&view->nodes[node].ops[RG_STEP_WRITE_RULE], m->term) ||
		(rg_view_is_primary(view, node) && view->nodes[node].facts.rule.term == m->term &&
		 strcmp(view->nodes[node].facts.rule.leader, m->candidate) == 0))
		return RG_INPUT_RULE_WRITTEN;
	if (m->phase == RG_PHASE_UNDOING)
	{
		raise_term(view, d);
		/* a stop that we sent ourselves in a switchover came through late */
		return rg_diagnosis_verdict(m->diagnosis) == RG_VERDICT_FAILOVER ||
			(m->failover.planned && m->diagnosis == RG_DIAG_STOPPED) ? notice_death(view, d)
			: RG_INPUT_NOTHING;
	}
	return candidate_is_lost(view, m, node) ? RG_INPUT_CANDIDATE_LOST : RG_INPUT_NOTHING;
}

RgInput
rg_notice(const RgView *view, RgDecision *d)
{
	switch (d->memory.phase)
	{
		case RG_PHASE_RECRUITING:
			return notice_recruiting(view, d);
		case RG_PHASE_PROMOTING:
			return notice_promoting(view, d);
		case RG_PHASE_RULING:
		case RG_PHASE_UNDOING:
			return notice_ruling(view, d);
		case RG_PHASE_SWITCHING:
			return rg_switch_notice(view, d);
		case RG_PHASE_STARTING:
		case RG_PHASE_STEADY:
		case RG_PHASE_SUSPECTING:
		case RG_PHASE_WAITING:
		case RG_PHASE_ALARMED:
		case RG_PHASE_COUNT:
			break;
	}
	return notice_leader(view, d);
}
