/*
 * decide.c
 *	  One round of one cluster: learn, diagnose, move, plan.
 *
 * What is remembered changes only here.  Conditions become inputs of the phase
 * table; what has to happen when a phase is entered stands beside the move
 * that enters it; the steps of a phase are stated by plan.c, rejoin.c, job.c.
 */
#include "decide.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "change.h"
#include "diagnose.h"
#include "enlist.h"
#include "handover.h"
#include "job.h"
#include "learn.h"
#include "loss.h"
#include "notice.h"
#include "phase.h"
#include "plan.h"
#include "ready.h"
#include "rejoin.h"
#include "slots.h"
#include "switch.h"
#include "trouble.h"
#include "upstream.h"

#define MOVES_PER_ROUND 4

void
rg_decide_align(const RgView *view, RgMemory *m)
{
	RgNodeMemory old[RG_CORE_NODES_MAX];
	int			nold = m->nnodes;
	bool		is_aligned = nold == view->nnodes;

	for (int i = 0; i < view->nnodes && is_aligned; i++)
		is_aligned = strcmp(m->nodes[i].name, view->nodes[i].name) == 0;
	if (is_aligned)
		return;
	memcpy(old, m->nodes, sizeof(old));
	memset(m->nodes, 0, sizeof(m->nodes));
	for (int i = 0; i < view->nnodes; i++)
	{
		rg_text(m->nodes[i].name, sizeof(m->nodes[i].name), "%s", view->nodes[i].name);
		for (int k = 0; k < nold; k++)
			if (strcmp(old[k].name, view->nodes[i].name) == 0)
				m->nodes[i] = old[k];
	}
	m->nnodes = view->nnodes;
	for (int k = 0; k < nold && m->nnodes < RG_CORE_NODES_MAX; k++)
		if (old[k].must_end && !old[k].ended && rg_view_find(view, old[k].name) < 0)
			m->nodes[m->nnodes++] = old[k];
}

/* Whose server is looked after: who leads by the newest rule; in an undo, who goes on. */
static int
find_leader(const RgView *view, const RgMemory *m)
{
	return rg_view_find(view, m->phase == RG_PHASE_UNDOING ? m->candidate : m->rule.leader);
}

/* Since when is the leader doubted? */
static void
note_loss(const RgView *view, RgMemory *m, int leader)
{
	const RgNodeView *n;

	if (leader < 0 || rg_view_is_primary(view, leader))
	{
		m->lost_ms = 0;
		return;
	}
	if (m->lost_ms != 0)
		return;
	n = &view->nodes[leader];
	m->lost_ms = n->lost_ms != 0 ? n->lost_ms : n->facts_ms != 0 ? n->facts_ms : view->started_ms;
}

/* A new term, and whose authority has to end for it. */
static void
begin_recruiting(const RgView *view, RgDecision *d, const RgMove *move)
{
	RgMemory   *m = &d->memory;
	bool		again = rg_phase_is_failover(move->from);
	bool		has_candidate = again && move->from != RG_PHASE_SWITCHING;
	int			node = rg_view_find(view, has_candidate ? m->candidate : m->rule.leader);
	char		why[RG_TEXT_MAX];

	m->highest_term++;
	m->term = m->highest_term;
	if (!again)
	{
		memset(&m->failover, 0, sizeof(m->failover));
		rg_text(m->failover.from, sizeof(m->failover.from), "%s", m->rule.leader);
		m->failover.diagnosis = m->diagnosis;
		m->failover.times.lost_ms = m->lost_ms;
		for (int i = 0; i < m->nnodes; i++)
			m->nodes[i].must_end = m->nodes[i].ended = false;
	}
	m->failover.term = m->term;
	m->failover.times.called_ms = view->now_ms;
	m->failover.times.fenced_ms = 0;
	if (m->failover.times.lost_ms == 0)
		m->failover.times.lost_ms = view->now_ms;
	/* whom a switchover has stopped and fenced stays out of office */
	if (node >= 0 && !(move->from == RG_PHASE_SWITCHING && m->nodes[node].ended))
	{
		m->nodes[node].must_end = true;
		m->nodes[node].ended = false;
	}
	m->candidate[0] = '\0';
	rg_text(why, sizeof(why), "%s", m->refusal);
	m->refusal[0] = '\0';
	if (again)
		rg_decision_note(d, RG_EVENT_FAILOVER_AGAIN, node, move->id, true, "term %lld: %s%s%.100s",
						 (long long) m->term, move->why, m->failover.planned && why[0] ? ": " : "",
						 m->failover.planned ? why : "");
	else
		rg_decision_note(d, RG_EVENT_FAILOVER_BEGIN, d->leader, move->id, true,
						 "term %lld: %s of %s: %.150s", (long long) m->term,
						 rg_diagnosis_name(m->diagnosis), m->rule.leader, d->evidence);
}

/* How a switchover ended: with the target, with another one, or as it began. */
static void
tell_switchover(const RgView *view, RgDecision *d, int node, const RgMove *move, bool undone)
{
	RgMemory   *m = &d->memory;
	bool		won = !undone && strcmp(m->rule.leader, m->target) == 0;
	char		target[RG_CORE_NAME_MAX];
	char		text[RG_TEXT_MAX];
	char		why[RG_TEXT_MAX] = "";
	const RgJob *job = rg_memory_switchover(m);

	memcpy(target, m->target, sizeof(target));
	if (job != NULL && job->state == RG_JOB_RUNNING)
		memcpy(why, job->message, sizeof(why));
	if (won)
		rg_text(text, sizeof(text), "%s leads instead of %s; no write was acknowledged for %lld ms", m->rule.leader,
				m->failover.from, (long long) (m->failover.times.ruled_ms - m->failover.times.lost_ms));
	else
		rg_text(text, sizeof(text), "%s %s; switchover to %s failed: %.120s", m->rule.leader,
				undone ? "goes on as the leader" : "leads", target, why);
	rg_switch_end(view, m, won, text);
	rg_decision_note(d, undone ? RG_EVENT_SWITCHOVER_UNDONE : RG_EVENT_SWITCHOVER_END, node, move->id, !won,
					 "term %lld: %s", (long long) m->term, text);
}

static void
tell_end(const RgView *view, RgDecision *d, int node, const RgMove *move, bool undone)
{
	const RgMemory *m = &d->memory;
	const RgTimes *t = &m->failover.times;
	char		loss[RG_TEXT_MAX];

	rg_loss_text(m, loss, sizeof(loss));
	if (m->failover.planned)
		tell_switchover(view, d, node, move, undone);
	else if (undone)
		rg_decision_note(d, RG_EVENT_FAILOVER_UNDONE, node, move->id, true,
						 "term %lld: %s goes on as the leader", (long long) m->term, m->rule.leader);
	else
		rg_decision_note(d, RG_EVENT_FAILOVER_END, node, move->id, false,
						 "term %lld: %s leads instead of %s; %lld ms in all: evidence %lld, fence and recruit %lld, promotion %lld, rule %lld%s",
						 (long long) m->term, m->rule.leader, m->failover.from,
						 (long long) (t->ruled_ms - t->lost_ms),
						 (long long) (t->called_ms - t->lost_ms),
						 (long long) (t->recruited_ms - t->called_ms),
						 (long long) (t->promoted_ms - t->recruited_ms),
						 (long long) (t->ruled_ms - t->promoted_ms), loss);
}

static void
end_failover(const RgView *view, RgDecision *d, const RgMove *move)
{
	RgMemory   *m = &d->memory;
	bool		undone = move->from == RG_PHASE_UNDOING;
	int			node = rg_view_find(view, m->candidate);
	RgRule		rule;

	rg_plan_rule(view, m, undone, &rule);
	if (rg_rules_compare(rule.term, rule.seq, m->rule.term, m->rule.seq) >= 0)
		m->rule = rule;
	m->lost_ms = 0;
	m->failover.times.ruled_ms = view->now_ms;
	/* nobody failed over where a recruit was undone */
	if (!undone)
	{
		rg_text(m->failover.to, sizeof(m->failover.to), "%s", m->candidate);
		if (!m->failover.planned)
			rg_loss_estimate(view, m, rg_view_find(view, m->failover.from), node);
	}
	for (int i = 0; i < m->nnodes; i++)
	{
		m->nodes[i].must_end = m->nodes[i].ended = false;
		m->nodes[i].rebuilds = 0;
	}
	/* the server start that was promoted, or that was found to lack nothing */
	if (node >= 0)
		m->nodes[node].admitted = view->nodes[node].facts.start;
	m->candidate[0] = '\0';
	m->accept_loss[0] = '\0';
	m->refusal[0] = '\0';
	d->leader = find_leader(view, m);
	m->diagnosis = d->leader == node ? RG_DIAG_HEALTHY : RG_DIAG_UNKNOWN;
	tell_end(view, d, node, move, undone);
	if (!undone)
		rg_slots_tell_logical(view, d, rg_view_find(view, m->failover.from), node);
}

/* What entering a phase means. */
static void
enter(const RgView *view, RgDecision *d, const RgMove *move)
{
	RgMemory   *m = &d->memory;
	int			leader = d->leader;

	m->phase = move->to;
	m->phase_ms = view->now_ms;
	switch (move->to)
	{
		case RG_PHASE_RECRUITING:
			begin_recruiting(view, d, move);
			break;
		case RG_PHASE_PROMOTING:
			m->failover.times.recruited_ms = view->now_ms;
			break;
		case RG_PHASE_RULING:
			m->failover.times.promoted_ms = view->now_ms;
			rg_decision_note(d, RG_EVENT_PROMOTED, rg_view_find(view, m->candidate), move->id, false,
							 "term %lld: %s has left recovery", (long long) m->term, m->candidate);
			break;
		case RG_PHASE_STEADY:
			if (move->from == RG_PHASE_RULING || move->from == RG_PHASE_UNDOING)
				end_failover(view, d, move);
			else if (move->from == RG_PHASE_STARTING)
				rg_decision_note(d, RG_EVENT_LEADER_FOUND, leader, move->id, false,
								 "%s leads by rule %lld", m->rule.leader, (long long) m->rule.term);
			else
				rg_decision_note(d, RG_EVENT_PRIMARY_WELL, leader, move->id, false, "%s: %s",
								 m->rule.leader, move->why);
			break;
		case RG_PHASE_SUSPECTING:
			rg_decision_note(d, RG_EVENT_PRIMARY_SUSPECT, leader, move->id, false, "%.200s", d->evidence);
			break;
		case RG_PHASE_WAITING:
			rg_decision_note(d, RG_EVENT_PRIMARY_WAITED, leader, move->id, false,
							 "%s: %.150s; waiting up to %lld s", rg_diagnosis_name(m->diagnosis),
							 d->evidence, (long long) view->settings.restart_budget_ms / 1000);
			break;
		case RG_PHASE_ALARMED:
			rg_decision_note(d, RG_EVENT_PRIMARY_ALARM, leader, move->id, true, "%s: %.200s",
							 rg_diagnosis_name(m->diagnosis), d->evidence);
			break;
		case RG_PHASE_UNDOING:
			/* from here on it is this one that is looked after */
			if (move->from == RG_PHASE_SWITCHING)
				rg_text(m->candidate, sizeof(m->candidate), "%s", m->rule.leader);
			/* a story of its own, not the end of the last one */
			if (move->from == RG_PHASE_STEADY)
			{
				memset(&m->failover, 0, sizeof(m->failover));
				m->failover.term = m->term;
				m->failover.diagnosis = m->diagnosis;
				m->failover.times.lost_ms = m->failover.times.called_ms = view->now_ms;
				rg_text(m->failover.from, sizeof(m->failover.from), "%s", m->rule.leader);
			}
			m->lost_ms = 0;
			d->leader = find_leader(view, m);
			m->diagnosis = rg_diagnose(view, m, d->leader, d->evidence, sizeof(d->evidence));
			break;
		case RG_PHASE_SWITCHING:
			rg_switch_begin(view, d, move->id);
			break;
		case RG_PHASE_STARTING:
		case RG_PHASE_COUNT:
			break;
	}
}

/* While alarmed, another trouble is told, too. */
static void
tell_new_alarm(RgDecision *d, const RgMemory *before)
{
	if (d->memory.phase == RG_PHASE_ALARMED && before->phase == RG_PHASE_ALARMED &&
		before->diagnosis != d->memory.diagnosis)
		rg_decision_note(d, RG_EVENT_PRIMARY_ALARM, d->leader, 0, true, "%s: %.200s",
						 rg_diagnosis_name(d->memory.diagnosis), d->evidence);
}

static bool
start_differs(const RgServerStart *a, const RgServerStart *b)
{
	return a->pid != b->pid || a->started_s != b->started_s || strcmp(a->boot_id, b->boot_id) != 0;
}

/* Another watchdog, or an older life of this one, that a node has refused: told once. */
static void
tell_intruders(const RgView *view, RgDecision *d)
{
	RgMemory   *m = &d->memory;

	for (int i = 0; i < view->nnodes; i++)
	{
		const RgFacts *f = &view->nodes[i].facts;
		bool		told = false;

		if (!f->valid || f->intruder[0] == '\0' || strcmp(m->nodes[i].intruder, f->intruder) == 0)
			continue;
		for (int k = 0; k < m->nnodes; k++)
			told = told || strcmp(m->nodes[k].intruder, f->intruder) == 0;
		rg_text(m->nodes[i].intruder, sizeof(m->nodes[i].intruder), "%s", f->intruder);
		if (!told)
			rg_decision_note(d, RG_EVENT_WATCHDOG_INTRUDER, i, 0, true,
							 "%s has refused another watchdog: %.95s", view->nodes[i].name, f->intruder);
	}
}

/* The leader is closed although it has been granted leases for longer than one lasts. */
static void
tell_closed_gate(const RgView *view, RgDecision *d, const RgMemory *before)
{
	RgMemory   *m = &d->memory;
	int64_t		wait = rg_memory_lease_ms(m, view);

	if (m->closed_ms == 0 || d->leader < 0 || view->now_ms - m->closed_ms < wait)
		return;
	rg_text(d->reasons[d->leader], RG_TEXT_MAX,
			"its gate is closed although it has been granted a lease for %lld s: see regent.node_status() and its server log",
			(long long) ((view->now_ms - m->closed_ms) / 1000));
	/* once, when the time is over */
	if (before->closed_ms != 0 && m->told_ms < m->closed_ms)
	{
		m->told_ms = view->now_ms;
		rg_decision_note(d, RG_EVENT_PRIMARY_ALARM, d->leader, 0, true,
						 "%s answers, but its gate is closed although it has been granted a lease for %lld ms: see regent.node_status() and its server log",
						 view->nodes[d->leader].name, (long long) (view->now_ms - m->closed_ms));
	}
}

/*
 * Nothing is done while our clock jumped, while somebody has seen a later start of
 * this watchdog, and in the middle of a failover by a journal that may be an old one.
 */
static bool
must_only_watch(const RgView *view, const RgMemory *m)
{
	return view->clock_jumped ||
		(rg_phase_is_failover(m->phase) && (!m->confirmed || rg_view_outdated_by(view) >= 0));
}

/* No step either, whatever the phase. */
static bool
must_not_act(const RgView *view, const RgMemory *m)
{
	return rg_view_outdated_by(view) >= 0 || must_only_watch(view, m);
}

static bool
wishes_differ(const RgWish *a, const RgWish *b)
{
	if (strcmp(a->durability, b->durability) != 0 || a->quorum != b->quorum || a->nvoters != b->nvoters)
		return true;
	for (int i = 0; i < a->nvoters; i++)
		if (strcmp(a->voters[i], b->voters[i]) != 0)
			return true;
	return false;
}

/* Must a restarted watchdog know this? */
static bool
differs(const RgMemory *a, const RgMemory *b)
{
	if (a->phase != b->phase || a->ticket != b->ticket || a->term != b->term || a->highest_term != b->highest_term ||
		a->rule.term != b->rule.term || a->rule.seq != b->rule.seq || a->nnodes != b->nnodes ||
		strcmp(a->candidate, b->candidate) != 0 || a->diagnosis != b->diagnosis ||
		(a->lost_ms == 0) != (b->lost_ms == 0) ||
		a->lease_ms != b->lease_ms || a->takeover != b->takeover || a->confirmed != b->confirmed ||
		a->unsure != b->unsure || a->sync_begun != b->sync_begun || a->asked.term != b->asked.term || a->asked.seq != b->asked.seq ||
		wishes_differ(&a->wish, &b->wish) ||
		strcmp(a->target, b->target) != 0 || strcmp(a->accept_loss, b->accept_loss) != 0 ||
		strcmp(a->failover.given_up, b->failover.given_up) != 0 ||
		a->failover.loss.measured != b->failover.loss.measured ||
		rg_rules_compare_position(&a->newest, &b->newest) != 0)
		return true;
	for (int i = 0; i < a->nnodes; i++)
	{
		const RgNodeMemory *x = &a->nodes[i];
		const RgNodeMemory *y = &b->nodes[i];

		if (strcmp(x->name, y->name) != 0 || x->must_end != y->must_end || x->ended != y->ended ||
			x->fenced_term != y->fenced_term || x->fencing_term != y->fencing_term || x->rebuilds != y->rebuilds ||
			start_differs(&x->shown, &y->shown) || start_differs(&x->admitted, &y->admitted) ||
			x->purpose_ms != y->purpose_ms || x->ungated != y->ungated ||
			x->ncrashes != y->ncrashes ||
			memcmp(x->crashes_ms, y->crashes_ms, sizeof(x->crashes_ms)) != 0 ||
			x->owes_lsn != y->owes_lsn || x->swap_term != y->swap_term || x->swap_seq != y->swap_seq || x->stale != y->stale || x->strayed != y->strayed ||
			x->left_out != y->left_out || x->out_term != y->out_term || x->out_seq != y->out_seq ||
			x->declared_lost != y->declared_lost ||
			x->half_rewound != y->half_rewound ||
			x->joined != y->joined || x->removed != y->removed || strcmp(x->intruder, y->intruder) != 0)
			return true;
	}
	for (int i = 0; i < RG_JOBS_MAX; i++)
	{
		const RgJob *x = &a->jobs[i];
		const RgJob *y = &b->jobs[i];

		if (x->id != y->id || x->state != y->state || x->phase != y->phase ||
			x->attempts != y->attempts || x->cancelled != y->cancelled || x->using != y->using)
			return true;
	}
	return false;
}

void
rg_decide(const RgView *view, const RgMemory *before, RgDecision *ret)
{
	RgMemory   *m = &ret->memory;

	/* bytes, so that padding is copied and cleared, too: the same input gives the same bytes */
	memcpy(m, before, sizeof(*m));
	memset((char *) ret + sizeof(*m), 0, offsetof(RgDecision, steps) - sizeof(*m));
	rg_decide_align(view, m);
	rg_learn(view, m);
	ret->leader = find_leader(view, m);
	note_loss(view, m, ret->leader);
	rg_learn_leader(view, m, ret->leader);
	m->diagnosis = rg_diagnose(view, m, ret->leader, ret->evidence, sizeof(ret->evidence));
	rg_trouble_remember(view, m);
	rg_handover_tell_crashes(view, ret);

	for (int i = 0; i < MOVES_PER_ROUND && !must_only_watch(view, m); i++)
	{
		const RgMove *move = rg_move_find(m->phase, rg_notice(view, ret));

		if (move == NULL)
			break;
		enter(view, ret, move);
	}
	rg_upstream_learn(view, ret);
	tell_new_alarm(ret, before);
	tell_intruders(view, ret);
	rg_change_tell(&before->rule, ret);
	rg_rejoin_states(view, ret);
	rg_slots_tell_released(view, ret);
	tell_closed_gate(view, ret, before);
	rg_handover_tell(view, before, ret);
	if (!must_not_act(view, m))
	{
		rg_plan_failover(view, ret);
		rg_plan_probes(view, ret);
		rg_change_plan_takeover(view, ret);
		if (m->phase == RG_PHASE_STEADY)
		{
			rg_rejoin_plan(view, ret);
			rg_job_plan(view, ret);
			rg_enlist_plan(view, ret);
			rg_change_plan_rule(view, ret);
		}
	}
	rg_ready(view, ret);
	ret->must_record = differs(before, m);
}
