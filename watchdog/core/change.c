/*
 * change.c
 *	  Rule (T, seq + 1): what the configuration wants, made so by the leader.
 *
 * The voters, durability and quorum stay.  A longer lease counts for us as soon as
 * it was asked for (the memory is journalled before the step runs), for the leader
 * when its row is flushed; a shorter one when the leader has answered under it
 * (attack F6; learn.c).
 */
#include "change.h"

#include <string.h>

#define MANY 1000000

/* Keys of steps that no failover uses: those are terms. */
static int64_t
key_of(const RgRule *rule)
{
	return -(rule->term * 100000 + rule->seq);
}

void
rg_change_plan_takeover(const RgView *view, RgDecision *d)
{
	RgMemory   *m = &d->memory;
	bool		others = false;

	if (!m->takeover)
		return;
	for (int i = 0; i < view->nnodes; i++)
	{
		const RgNodeView *n = &view->nodes[i];
		RgStep	   *step;

		if (n->sql != RG_SQL_OTHER_WATCHDOG)
			continue;
		others = true;
		if (!rg_op_may_try(&n->ops[RG_STEP_TAKEOVER], 1, view->now_ms, MANY) &&
			!(n->ops[RG_STEP_TAKEOVER].state == RG_OP_OK &&
			  view->now_ms - n->ops[RG_STEP_TAKEOVER].ended_ms > 5000))
			continue;
		step = rg_decision_step(d, RG_STEP_TAKEOVER, i, -1, 0);
		if (step != NULL)
			step->key = 1;
	}
	if (!others && m->rule.term != 0 && strcmp(m->rule.watchdog, view->watchdog) == 0)
		m->takeover = false;
}

void
rg_change_plan_rule(const RgView *view, RgDecision *d)
{
	RgMemory   *m = &d->memory;
	const RgNodeView *n;
	RgRule		rule = m->rule;
	RgStep	   *step;

	if (d->leader < 0 || m->rule.term == 0 || !rg_view_is_primary(view, d->leader))
		return;
	n = &view->nodes[d->leader];
	if (view->settings.lease_ms > 0)
		rule.lease_ms = view->settings.lease_ms;
	rg_text(rule.watchdog, sizeof(rule.watchdog), "%s", view->watchdog);
	if ((rule.lease_ms == m->rule.lease_ms && strcmp(rule.watchdog, m->rule.watchdog) == 0) ||
		rg_rules_compare(n->facts.rule.term, n->facts.rule.seq, m->rule.term, m->rule.seq) != 0 ||
		n->facts.gate == RG_GATEV_CLOSED)
		return;
	rule.seq++;
	rg_text(rule.reason, sizeof(rule.reason), "%s",
			strcmp(rule.watchdog, m->rule.watchdog) != 0 ? "another watchdog" : "another lease");
	if (!rg_op_may_try(&n->ops[RG_STEP_WRITE_RULE], key_of(&rule), view->now_ms, MANY))
		return;
	step = rg_decision_step(d, RG_STEP_WRITE_RULE, d->leader, -1, rule.term);
	if (step == NULL)
		return;
	step->key = key_of(&rule);
	step->rule = rule;
	step->expect = n->facts.start;
	if (rule.lease_ms > m->lease_ms)
		m->lease_ms = rule.lease_ms;
}

void
rg_change_tell(const RgRule *before, RgDecision *d)
{
	const RgRule *rule = &d->memory.rule;

	if (before->term == 0 || before->term != rule->term || before->seq == rule->seq ||
		strcmp(before->leader, rule->leader) != 0)
		return;
	rg_decision_note(d, RG_EVENT_RULE_CHANGED, d->leader, 0, false,
					 "rule %lld.%d: lease %lld ms (was %lld ms), watchdog %s%s", (long long) rule->term,
					 rule->seq, (long long) rule->lease_ms, (long long) before->lease_ms, rule->watchdog,
					 strcmp(rule->watchdog, before->watchdog) != 0 ? " (new)" : "");
}
