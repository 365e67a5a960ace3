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
somebody_could_take_over(const RgView *view, const RgMemory *m, int leader)
{
	for (int i = 0; i < view->nnodes; i++)
		if (i != leader && rg_view_is_standby(view, i) && view->nodes[i].priority > 0 &&
			rg_memory_job((RgMemory *) m, view->nodes[i].name) == NULL)
			return true;
	return false;
}

static bool
everybody_was_tried(const RgView *view)
{
	for (int i = 0; i < view->nnodes; i++)
		if (view->nodes[i].sql == RG_SQL_UNKNOWN && view->now_ms - view->started_ms < 5000)
			return false;
	return true;
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
			return RG_INPUT_LEADER_WAITED;
		case RG_VERDICT_ALARM:
			return RG_INPUT_LEADER_ALIVE;
		case RG_VERDICT_LOOK:
			return m->diagnosis == RG_DIAG_SUSPECT ? RG_INPUT_LEADER_DOUBTED : RG_INPUT_NOTHING;
		case RG_VERDICT_FAILOVER:
			break;
	}
	if (!everybody_was_tried(view))
		return RG_INPUT_NOTHING;
	if (!view->settings.auto_failover)
		refuse(d, "auto_failover is off");
	else if (!somebody_could_take_over(view, m, d->leader))
		refuse(d, "no standby answers that may be promoted");
	else
		return RG_INPUT_FAILOVER_CALLED;
	return RG_INPUT_LEADER_ALIVE;
}

/* Ends of authority: by promise of a standby, or by fence. */
static bool
authorities_have_ended(const RgView *view, RgDecision *d)
{
	RgMemory   *m = &d->memory;
	bool		all = true;

	for (int i = 0; i < view->nnodes; i++)
	{
		RgNodeMemory *mem = &m->nodes[i];

		if (!mem->must_end || mem->ended)
			continue;
		if (rg_op_done(&view->nodes[i].ops[RG_STEP_FENCE], m->term))
		{
			mem->ended = true;
			mem->fenced_term = m->term;
			if (m->failover.times.fenced_ms == 0)
				m->failover.times.fenced_ms = view->nodes[i].ops[RG_STEP_FENCE].ended_ms;
			rg_decision_note(d, RG_EVENT_FENCED, i, 0, false,
							 "%s is fenced for term %lld: no process of it is left, it can only start as a standby",
							 mem->name, (long long) m->term);
		}
		else if (rg_view_is_standby(view, i) && rg_is_recruited(view, i, m->term))
			mem->ended = true;
		else
			all = false;
	}
	return all;
}

static RgInput
notice_recruiting(const RgView *view, RgDecision *d)
{
	RgMemory   *m = &d->memory;
	RgChoice	choice;

	for (int i = 0; i < view->nnodes; i++)
		if (m->nodes[i].must_end && !m->nodes[i].ended && rg_view_is_primary(view, i) &&
			view->nodes[i].facts_ms > m->phase_ms &&
			view->nodes[i].ops[RG_STEP_FENCE].state != RG_OP_RUNNING &&
			!rg_op_done(&view->nodes[i].ops[RG_STEP_FENCE], m->term))
		{
			rg_text(m->candidate, sizeof(m->candidate), "%s", m->nodes[i].name);
			return RG_INPUT_LEADER_BACK;
		}
	if (!authorities_have_ended(view, d))
	{
		if (view->now_ms - m->phase_ms > RG_RECRUIT_DEADLINE_MS)
		{
			char		why[RG_TEXT_MAX];

			for (int i = 0; i < view->nnodes; i++)
				if (m->nodes[i].must_end && !m->nodes[i].ended)
				{
					rg_text(why, sizeof(why), "%s is not fenced yet: %.150s", m->nodes[i].name,
							view->nodes[i].ops[RG_STEP_FENCE].text[0]
							? view->nodes[i].ops[RG_STEP_FENCE].text : view->nodes[i].ssh_text);
					refuse(d, why);
				}
		}
		return RG_INPUT_NOTHING;
	}
	if (rg_plan_waits_for_promises(view, d))
		return RG_INPUT_NOTHING;
	rg_choose(view, m, m->term, d->leader, &choice);
	if (choice.node < 0)
	{
		if (view->now_ms - m->phase_ms > RG_RECRUIT_DEADLINE_MS)
			refuse(d, choice.summary);
		return RG_INPUT_NOTHING;
	}
	rg_text(m->candidate, sizeof(m->candidate), "%s", view->nodes[choice.node].name);
	rg_decision_note(d, RG_EVENT_CANDIDATE_CHOSEN, choice.node, 0, false, "term %lld: %.200s",
					 (long long) m->term, choice.summary);
	return RG_INPUT_CANDIDATE_CHOSEN;
}

static bool
candidate_is_lost(const RgView *view, const RgMemory *m, int node)
{
	const RgNodeView *n = &view->nodes[node];

	if (view->now_ms - m->phase_ms > RG_PROMOTE_DEADLINE_MS)
		return true;
	return n->sql != RG_SQL_OK && n->lost_ms != 0 && view->now_ms - n->lost_ms > 3000;
}

static RgInput
notice_promoting(const RgView *view, const RgMemory *m)
{
	int			node = rg_view_find(view, m->candidate);

	if (node < 0)
		return RG_INPUT_CANDIDATE_LOST;
	if (rg_op_done(&view->nodes[node].ops[RG_STEP_PROMOTE_SQL], m->term) ||
		(rg_view_is_primary(view, node) && view->nodes[node].facts_ms >= m->phase_ms))
		return RG_INPUT_PROMOTED;
	return candidate_is_lost(view, m, node) ? RG_INPUT_CANDIDATE_LOST : RG_INPUT_NOTHING;
}

static RgInput
notice_ruling(const RgView *view, const RgMemory *m)
{
	int			node = rg_view_find(view, m->candidate);

	if (node < 0)
		return RG_INPUT_CANDIDATE_LOST;
	if (rg_op_done(&view->nodes[node].ops[RG_STEP_WRITE_RULE], m->term) ||
		(rg_view_is_primary(view, node) && view->nodes[node].facts.rule.term == m->term &&
		 strcmp(view->nodes[node].facts.rule.leader, m->candidate) == 0))
		return RG_INPUT_RULE_WRITTEN;
	if (m->phase == RG_PHASE_UNDOING)
		return rg_diagnosis_verdict(m->diagnosis) == RG_VERDICT_FAILOVER &&
			somebody_could_take_over(view, m, node) ? RG_INPUT_FAILOVER_CALLED : RG_INPUT_NOTHING;
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
			return notice_promoting(view, &d->memory);
		case RG_PHASE_RULING:
		case RG_PHASE_UNDOING:
			return notice_ruling(view, &d->memory);
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
