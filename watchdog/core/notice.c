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
#include "plan.h"

/* A standby that could take over, so that ending the leader is of use. */
static bool
somebody_could_take_over(const RgView *view, const RgMemory *m)
{
	for (int i = 0; i < view->nnodes; i++)
		if (rg_view_is_standby(view, i) && view->nodes[i].priority > 0 &&
			!rg_memory_is_rebuilding(m, view->nodes[i].name))
			return true;
	return false;
}

static bool
everybody_was_tried(const RgView *view)
{
	for (int i = 0; i < view->nnodes; i++)
		if (rg_view_is_untried(view, i))
			return false;
	return true;
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

/* The diagnosis calls for a failover: may it begin? */
static RgInput
notice_death(const RgView *view, RgDecision *d)
{
	if (!everybody_was_tried(view))
		return RG_INPUT_NOTHING;
	if (!view->settings.auto_failover)
		refuse(d, "auto_failover is off");
	else if (refuse_beside_other_primary(view, d))
		return RG_INPUT_LEADER_ALIVE;
	else if (!somebody_could_take_over(view, &d->memory))
		refuse(d, "no standby answers that may be promoted");
	else
		return RG_INPUT_FAILOVER_CALLED;
	return RG_INPUT_LEADER_ALIVE;
}

static RgInput
notice_leader(const RgView *view, RgDecision *d)
{
	RgMemory   *m = &d->memory;

	switch (rg_diagnosis_verdict(m->diagnosis))
	{
		case RG_VERDICT_WELL:
			m->refusal[0] = '\0';
			return RG_INPUT_LEADER_WELL;
		case RG_VERDICT_WAIT:
			m->refusal[0] = '\0';
			return RG_INPUT_LEADER_WAITED;
		case RG_VERDICT_ALARM:
			m->refusal[0] = '\0';
			return RG_INPUT_LEADER_ALIVE;
		case RG_VERDICT_LOOK:
			return m->diagnosis == RG_DIAG_SUSPECT ? RG_INPUT_LEADER_DOUBTED : RG_INPUT_NOTHING;
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
 */
static bool
promise_ends(const RgView *view, const RgMemory *m, int node)
{
	return rg_view_is_standby(view, node) && rg_is_recruited(view, node, m->term) &&
		view->nodes[node].promise.complete;
}

/* Ends of authority: by promise of a standby, or by fence. */
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
		else
			all = false;
	}
	return all;
}

/*
 * One whose authority was to end answers as a primary, and was not fenced: it
 * goes on, unless another one's authority has not ended either.
 */
static int
leader_that_is_back(const RgView *view, const RgMemory *m)
{
	int			back = -1;

	for (int i = 0; i < view->nnodes; i++)
		if (m->nodes[i].must_end && rg_view_is_primary(view, i) &&
			view->nodes[i].facts_ms > m->phase_ms &&
			view->nodes[i].ops[RG_STEP_FENCE].state != RG_OP_RUNNING && !fence_holds(view, m, i) &&
			(back < 0 || (m->nodes[back].ended && !m->nodes[i].ended)))
			back = i;
	for (int i = 0; i < m->nnodes; i++)
		if (i != back && m->nodes[i].must_end && !m->nodes[i].ended)
			return -1;
	return back;
}

/* Whose authority has not ended, and why. */
static void
tell_unended(const RgView *view, RgDecision *d)
{
	const RgMemory *m = &d->memory;
	char		why[RG_TEXT_MAX];

	for (int i = 0; i < m->nnodes; i++)
	{
		const RgNodeView *n = &view->nodes[i];
		const RgOp *op = &n->ops[RG_STEP_FENCE];

		if (!m->nodes[i].must_end || m->nodes[i].ended)
			continue;
		if (i >= view->nnodes)
			rg_text(why, sizeof(why), "%s may still be a primary, but is not in the configuration: put it back",
					m->nodes[i].name);
		else if (op->state == RG_OP_RUNNING)
			continue;
		else
			rg_text(why, sizeof(why), "%s is not fenced yet: %.150s", m->nodes[i].name,
					rg_view_refuses_us(view, i) ? n->sql_text
					: op->term == m->term && op->text[0] ? op->text
					: n->ssh != RG_SSHV_READY && n->ssh_text[0] ? n->ssh_text
					: rg_view_is_standby(view, i) ? "it has not promised yet, or could not replay all its WAL"
					: "its helper has not confirmed it yet");
		refuse(d, why);
		return;
	}
}

static RgInput
notice_recruiting(const RgView *view, RgDecision *d)
{
	RgMemory   *m = &d->memory;
	int			back = leader_that_is_back(view, m);
	bool		late = rg_memory_phase_age_ms(m, view) > RG_RECRUIT_DEADLINE_MS;
	RgChoice	choice;

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
	const RgMemory *m = &d->memory;
	int			node = find_candidate(view, d);

	if (node < 0)
		return RG_INPUT_NOTHING;
	if (rg_op_done(&view->nodes[node].ops[RG_STEP_WRITE_RULE], m->term) ||
		(rg_view_is_primary(view, node) && view->nodes[node].facts.rule.term == m->term &&
		 strcmp(view->nodes[node].facts.rule.leader, m->candidate) == 0))
		return RG_INPUT_RULE_WRITTEN;
	if (m->phase == RG_PHASE_UNDOING)
		return rg_diagnosis_verdict(m->diagnosis) == RG_VERDICT_FAILOVER ? notice_death(view, d)
			: RG_INPUT_NOTHING;
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
		case RG_PHASE_STARTING:
		case RG_PHASE_STEADY:
		case RG_PHASE_SUSPECTING:
		case RG_PHASE_WAITING:
		case RG_PHASE_ALARMED:
		case RG_PHASE_SWITCHING:
		case RG_PHASE_COUNT:
			break;
	}
	return notice_leader(view, d);
}
