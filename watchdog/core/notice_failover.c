/*
 * notice_failover.c
 *	  What a round notices while a failover is under way.
 *
 * While recruiting: have the old authorities ended, and who lacks nothing?  While
 * promoting and ruling: has it happened, or is the candidate lost?  In an undo: has
 * the leader written its rule?
 */
#include "notice_failover.h"

#include <string.h>

#include "choose.h"
#include "decide.h"
#include "diagnose.h"
#include "extension/mutant.h"
#include "handover.h"
#include "learn.h"
#include "loss.h"
#include "order.h"
#include "plan.h"
#include "recruit.h"
#include "trouble.h"

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

		if (!mem->must_end || (mem->ended && mem->fenced_term == m->term))
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
		else if (mem->ended)
			continue;
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
 * hung server still answer), and in a start that lacks nothing that others show.  One
 * that is closed, by the rule of another watchdog, need not be the last who led; and one
 * whose rule is not the newest surely is not, unless it was promoted later.
 */
static bool
could_go_on(const RgView *view, const RgMemory *m, int node)
{
	const RgNodeView *n = &view->nodes[node];

	return (strcmp(m->rule.leader, n->name) == 0 || n->facts.promoting_term > m->rule.term) &&
		rg_view_is_primary(view, node) && n->facts_ms > m->phase_ms && n->fresh != RG_SQL_SILENT &&
		(m->failover.diagnosis != RG_DIAG_HUNG || n->fresh == RG_SQL_OK) &&
		(!rg_trouble_is_given_up(view, m, node) || RG_MUTANT(63)) &&
		n->ops[RG_STEP_FENCE].state != RG_OP_RUNNING && !fence_holds(view, m, node) &&
		(n->facts.gate == RG_GATEV_OPEN || rg_learn_knows_enough(view, m) || RG_MUTANT(73)) &&
		!rg_learn_begins_anew(view, m, node) && !rg_plan_lacks_something(view, m, node);
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
			rg_notice_refuse(d, why);
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
			rg_notice_refuse(d, why);
		return;
	}
}

/*
 * A node holds a promise of this very term, and we have asked nothing of it in it:
 * whoever did, we ourselves by a journal that is lost since, may have had another
 * candidate in it.
 */
static bool
has_been_used(const RgView *view, const RgMemory *m)
{
	/* we asked before our restart, or before the leader came back */
	if (!view->maybe_restored && (m->phase != RG_PHASE_RECRUITING || view->started_ms > m->phase_ms))
		return false;
	for (int i = 0; i < view->nnodes; i++)
	{
		const RgNodeView *n = &view->nodes[i];
		bool		asked = !n->facts.valid || n->facts.promised_term != m->term;

		for (int k = 0; k < RG_STEP_COUNT && !asked; k++)
			asked = n->ops[k].state != RG_OP_NONE && n->ops[k].term == m->term;
		if (!asked)
			return true;
	}
	return false;
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

	if (m->highest_term <= m->term && !has_been_used(view, m))
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

RgInput
rg_notice_recruiting(const RgView *view, RgDecision *d)
{
	RgMemory   *m = &d->memory;
	int			back;
	bool		late;
	RgChoice	choice;

	claim_newest_leader(view, m);
	for (int i = 0; i < view->nnodes; i++)
		if (rg_choose_is_older(view, m, i) ||
			(rg_learn_waits_for_a_word(view, m, i) &&
			 (rg_learn_begins_anew(view, m, i) || rg_choose_is_behind(view, m, i))))
			rg_loss_note_fork(view, m, i);
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
	if (rg_plan_waits_for_promises(view, d) || rg_notice_other_primary(view, d))
		return RG_INPUT_NOTHING;
	rg_choose(view, m, m->term, d->leader, &choice);
	if (choice.node < 0)
	{
		if (choice.fetcher >= 0)
			wait_for(d, choice.summary);
		else if (late)
			rg_notice_refuse(d, choice.summary);
		return RG_INPUT_NOTHING;
	}
	rg_text(m->candidate, sizeof(m->candidate), "%s", view->nodes[choice.node].name);
	rg_decision_note(d, RG_EVENT_CANDIDATE_CHOSEN, choice.node, 0, false, "term %lld: %.200s",
					 (long long) m->term, choice.summary);
	if (m->accept_loss[0] != '\0')
	{
		rg_order_loss(view, m, choice.node, m->failover.given_up);
		rg_loss_give_up(view, m, choice.node);
	}
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
	rg_notice_refuse(d, why);
	return -1;
}

static bool
candidate_is_lost(const RgView *view, const RgMemory *m, int node)
{
	const RgNodeView *n = &view->nodes[node];
	int64_t		deadline = RG_PROMOTE_DEADLINE_MS;

	/* it has to be heard once, or nobody would know that it was promoted over SSH */
	if (deadline < 3 * view->settings.heartbeat_interval_ms)
		deadline = 3 * view->settings.heartbeat_interval_ms;
	if (rg_memory_phase_age_ms(m, view) > deadline)
		return true;
	return n->sql != RG_SQL_OK && n->lost_ms != 0 && view->now_ms - n->lost_ms > 3000;
}

RgInput
rg_notice_promoting(const RgView *view, RgDecision *d)
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

RgInput
rg_notice_ruling(const RgView *view, RgDecision *d)
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
		if (rg_handover_undo_is_stuck(view, m, node))
		{
			m->failover.diagnosis = view->nodes[node].facts.disk == RG_DISKV_FULL ? RG_DIAG_DISK_FULL
				: RG_DIAG_DISK_FAILING;
			return RG_INPUT_LEADER_GIVEN_UP;
		}
		raise_term(view, d);
		/* a stop that we sent ourselves in a switchover came through late */
		return rg_diagnosis_verdict(m->diagnosis) == RG_VERDICT_FAILOVER ||
			(m->failover.planned && m->diagnosis == RG_DIAG_STOPPED) ? rg_notice_death(view, d)
			: RG_INPUT_NOTHING;
	}
	return candidate_is_lost(view, m, node) ? RG_INPUT_CANDIDATE_LOST : RG_INPUT_NOTHING;
}
