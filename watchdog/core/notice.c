/*
 * notice.c
 *	  From a view to one input of the phase table.
 *
 * Each phase asks its own question; those of a failover stand in
 * notice_failover.c.  While nothing is under way: how is the leader, and if it is
 * not well, may it be replaced?  Whatever is in the way is told as its refusal.
 */
#include "notice.h"

#include <string.h>

#include "diagnose.h"
#include "handover.h"
#include "learn.h"
#include "notice_failover.h"
#include "plan.h"
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
 * Nobody else could: the leader that crashed is brought back itself, fenced and
 * started as a standby like everybody, once nobody has started it within the budget.
 */
static bool
leader_could_come_back(const RgView *view, const RgMemory *m, int leader)
{
	const RgNodeView *n = &view->nodes[leader];

	return m->diagnosis == RG_DIAG_CRASHED && m->lost_ms != 0 &&
		view->now_ms - m->lost_ms > view->settings.restart_budget_ms &&
		n->priority > 0 && view->settings.auto_rejoin && n->ssh == RG_SSHV_READY && n->probe.valid &&
		n->probe_ms > m->lost_ms && n->probe.postmaster == RG_PM_ABSENT && m->nodes[leader].shown.pid != 0;
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

void
rg_notice_refuse(RgDecision *d, const char *why)
{
	RgMemory   *m = &d->memory;

	if (strcmp(m->refusal, why) == 0)
		return;
	rg_text(m->refusal, sizeof(m->refusal), "%.*s", RG_TEXT_MAX - 1, why);
	rg_decision_note(d, RG_EVENT_FAILOVER_REFUSED, -1, 0, true, "no failover: %.200s", why);
}

bool
rg_notice_other_primary(const RgView *view, RgDecision *d)
{
	int			other = other_primary(view, &d->memory, d->leader);
	char		why[RG_TEXT_MAX];

	if (other < 0)
		return false;
	rg_text(why, sizeof(why),
			"%s runs as a primary although %s leads by rule %lld: stop it or make it a standby first",
			view->nodes[other].name, d->memory.rule.leader, (long long) d->memory.rule.term);
	rg_notice_refuse(d, why);
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
RgInput
rg_notice_death(const RgView *view, RgDecision *d)
{
	RgMemory   *m = &d->memory;
	bool		by_order = m->accept_loss[0] != '\0';

	if (!rg_learn_all_tried(view))
		return RG_INPUT_NOTHING;
	if (!m->confirmed)
		rg_notice_refuse(d, "our journal may be an old one: waiting for more than half of the voters, or regent takeover");
	else if (!view->settings.auto_failover && !by_order)
		rg_notice_refuse(d, "auto_failover is off: start it as a primary, or regent failover NODE --accept-loss");
	else if (rg_notice_other_primary(view, d))
		return RG_INPUT_LEADER_ALIVE;
	else if (!by_order && gate_trouble(view, m, d->leader) != NULL)
		rg_notice_refuse(d, gate_trouble(view, m, d->leader));
	else if (!somebody_could_take_over(view, m) && !leader_could_come_back(view, m, d->leader) &&
			 !(d->leader >= 0 && rg_learn_begins_anew(view, m, d->leader)))
		rg_notice_refuse(d, "no standby answers that may be promoted");
	else
		return RG_INPUT_FAILOVER_CALLED;
	return RG_INPUT_LEADER_ALIVE;
}

/*
 * Somebody has promised more than the rule in force, to a watchdog that is gone or
 * to a life of ours that no journal tells of: he would refuse to follow for ever.  Who
 * is closed need not be the last who led: that term may have a leader.
 */
static bool
has_been_promised_above(const RgView *view, const RgMemory *m)
{
	int			leader = rg_view_find(view, m->rule.leader);

	if (leader < 0 || !m->confirmed || view->nodes[leader].facts.rule.term != m->rule.term ||
		(view->nodes[leader].facts.gate != RG_GATEV_OPEN && !rg_learn_knows_enough(view, m)) ||
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

/* In office, but no good: it gives the lead away, or loses it, or people are told. */
static RgInput
notice_troubled(const RgView *view, RgDecision *d)
{
	RgMemory   *m = &d->memory;

	if (m->diagnosis == RG_DIAG_DISK_HUNG && m->accept_loss[0] != '\0')
		return rg_notice_death(view, d);
	if (m->phase == RG_PHASE_STEADY && rg_handover_takes_lead(view, m, d->leader))
	{
		m->handovers++;
		m->handover_ms = view->now_ms;
		return RG_INPUT_LEADER_GIVEN_UP;
	}
	if (m->phase == RG_PHASE_STEADY)
		rg_handover_order(view, d);
	return notice_well(view, d);
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

	/* well or not, it gets no lease, and somebody has said that it goes on all the same */
	if (d->leader >= 0 && rg_learn_begins_anew(view, m, d->leader) && m->diagnosis != RG_DIAG_NOT_OBEYED)
		return rg_notice_death(view, d);
	if (verdict == RG_VERDICT_WELL)
		return notice_well(view, d);
	if (verdict == RG_VERDICT_TROUBLED)
		return notice_troubled(view, d);
	if (m->phase != RG_PHASE_STARTING)
		drop_switchover(view, d);
	if (m->accept_loss[0] != '\0' && m->diagnosis != RG_DIAG_NOT_OBEYED)
		return rg_notice_death(view, d);
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
		case RG_VERDICT_TROUBLED:
		case RG_VERDICT_FAILOVER:
			break;
	}
	return rg_notice_death(view, d);
}

RgInput
rg_notice(const RgView *view, RgDecision *d)
{
	switch (d->memory.phase)
	{
		case RG_PHASE_RECRUITING:
			return rg_notice_recruiting(view, d);
		case RG_PHASE_PROMOTING:
			return rg_notice_promoting(view, d);
		case RG_PHASE_RULING:
		case RG_PHASE_UNDOING:
			return rg_notice_ruling(view, d);
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
