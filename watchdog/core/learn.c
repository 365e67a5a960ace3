/*
 * learn.c
 *	  From what the nodes show to what is remembered.
 *
 * A failed poll erases nothing, and nothing is believed that no cluster can show:
 * terms far above all others (attack L8).
 */
#include "learn.h"

#include <string.h>

#include "choose.h"
#include "lease.h"
#include "phase.h"

/* A term that no row of leaders can have led to is not believed (attack L8). */
static void
raise(int64_t *highest, int64_t term)
{
	if (term > *highest && rg_rules_term_is_plausible(term, *highest))
		*highest = term;
}

/* A new term lies above every term and every timeline: so a timeline's number names one term (F2). */
static void
learn_terms(const RgView *view, RgMemory *m)
{
	if (m->rule.term > m->highest_term)
		m->highest_term = m->rule.term;
	for (int i = 0; i < view->nnodes; i++)
	{
		const RgNodeView *n = &view->nodes[i];

		if (n->probe.valid)
			raise(&m->highest_term, n->probe.promised_term);
		if (!n->facts.valid)
			continue;
		raise(&m->highest_term, n->facts.promised_term);
		raise(&m->highest_term, n->facts.promoting_term);
		raise(&m->highest_term, n->facts.timeline);
		raise(&m->highest_term, n->promise.position.timeline);
	}
}

/* A rule with a longer lease lengthens what may be in force as soon as anybody shows it (F6). */
static void
learn_rules(const RgView *view, RgMemory *m)
{
	for (int i = 0; i < view->nnodes; i++)
	{
		const RgRule *rule = &view->nodes[i].facts.rule;

		if (!view->nodes[i].facts.valid ||
			rg_rules_compare(rule->term, rule->seq, m->rule.term, m->rule.seq) <= 0)
			continue;
		if (m->lease_ms != 0 && rule->lease_ms > m->lease_ms)
			m->lease_ms = rule->lease_ms;
		m->rule = *rule;
	}
}

static void
learn_node(const RgNodeView *n, RgNodeMemory *mem)
{
	if (!n->facts.valid)
		return;
	if (n->probe.valid && n->probe.postmaster == RG_PM_ALIVE &&
		n->probe.system_identifier == n->facts.system_identifier &&
		rg_start_equal(&n->probe.start, &n->facts.start))
		mem->shown = n->probe.start;
	mem->ungated = n->facts.gate == RG_GATEV_OFF || n->facts.gate == RG_GATEV_OVERRIDE;
}

void
rg_learn(const RgView *view, RgMemory *m)
{
	learn_rules(view, m);
	for (int i = 0; i < view->nnodes; i++)
		learn_node(&view->nodes[i], &m->nodes[i]);
	learn_terms(view, m);
	if (!rg_phase_is_failover(m->phase))
		m->term = m->rule.term;
	if (!view->maybe_restored)
		m->confirmed = true;
}

bool
rg_learn_all_tried(const RgView *view)
{
	for (int i = 0; i < view->nnodes; i++)
		if (rg_view_is_untried(view, i))
			return false;
	return true;
}

/* A server start may have leases once nobody shows more than it holds (F10). */
static void
learn_admitted(const RgView *view, RgMemory *m, int leader)
{
	const RgFacts *f = &view->nodes[leader].facts;

	if (rg_phase_is_failover(m->phase) || f->rule.term != m->rule.term ||
		rg_start_equal(&m->nodes[leader].admitted, &f->start) || !rg_learn_all_tried(view))
		return;
	if (!rg_choose_is_behind(view, m, leader))
		m->nodes[leader].admitted = f->start;
}

/* Under the rule in force, as the leader shows it, no longer lease is in force any more. */
static void
learn_lease(const RgView *view, RgMemory *m, int leader)
{
	const RgNodeView *n = &view->nodes[leader];
	const RgOp *op = &n->ops[RG_STEP_WRITE_RULE];
	int64_t		wanted = view->settings.lease_ms > m->rule.lease_ms ? view->settings.lease_ms
		: m->rule.lease_ms;

	if (m->rule.lease_ms <= 0 || n->facts.rule.term != m->rule.term ||
		n->facts.rule.seq != m->rule.seq || n->facts.lease_left_ms > m->rule.lease_ms)
		return;
	/* a rule with another length may still be on its way */
	if (op->state == RG_OP_RUNNING ||
		(op->state == RG_OP_LOST && view->now_ms - op->ended_ms < m->lease_ms))
		return;
	m->lease_ms = wanted;
}

void
rg_learn_leader(const RgView *view, RgMemory *m, int leader)
{
	if (leader < 0 || !rg_view_is_primary(view, leader))
		return;
	learn_admitted(view, m, leader);
	learn_lease(view, m, leader);
}
