/*
 * explain.c
 *	  The decision in sentences, from the same values that decide.
 */
#include "explain.h"

#include <stdio.h>
#include <string.h>

#include "phase.h"
#include "sheet.h"
#include "slots.h"

/* What of the rule is under way, and who does not count. */
static void
explain_rule(RgSheet *t, const RgMemory *m)
{
	if (m->asked.term != 0)
		rg_sheet_add(t, "Asked for, and not shown yet: rule %lld.%d (%s); whatever happens, it counts as well.\n",
			(long long) m->asked.term, m->asked.seq, m->asked.reason);
	for (int i = 0; i < m->nnodes; i++)
		if (m->nodes[i].left_out)
			rg_sheet_add(t, "%s is left out: %s.\n", m->nodes[i].name, m->nodes[i].out_reason);
	if (m->unsure)
		rg_sheet_add(t, "Who else was left out, by another watchdog or since our journal was written, is not known.\n");
}

static void
explain_now(RgSheet *t, const RgDecision *d)
{
	const RgMemory *m = &d->memory;

	rg_sheet_add(t, "Now: %s. Diagnosis: %s (%s).\n", rg_phase_name(m->phase),
		rg_diagnosis_name(m->diagnosis), rg_diagnosis_text(m->diagnosis));
	if (d->evidence[0])
		rg_sheet_add(t, "Evidence: %s.\n", d->evidence);
	if (m->rule.term != 0)
		rg_sheet_add(t, "In force: rule %lld, leader %s.\n", (long long) m->rule.term, m->rule.leader);
	explain_rule(t, m);
	if (m->refusal[0])
		rg_sheet_add(t, "%s: %s.\n", m->phase == RG_PHASE_RECRUITING ? "Waiting" : "No failover", m->refusal);
	if (m->target[0])
		rg_sheet_add(t, "Switchover to %s was asked for.\n", m->target);
	if (m->accept_loss[0])
		rg_sheet_add(t, "A loss is accepted for %s.\n", m->accept_loss);
	for (int i = 0; i < d->nsteps; i++)
		if (d->steps[i].kind != RG_STEP_PROBE)
			rg_sheet_add(t, "Next: %s on %s, term %lld.\n", rg_step_name(d->steps[i].kind),
				m->nodes[d->steps[i].node].name, (long long) d->steps[i].term);
}

/* What the last failover cost, as far as it is known. */
static void
explain_loss(RgSheet *t, const RgMemory *m)
{
	const RgFailover *f = &m->failover;
	const RgLoss *loss = &f->loss;

	if (f->planned || loss->from_lsn == 0 || loss->bytes == 0)
		return;
	rg_sheet_add(t, "Given up by the failover of term %lld, %s to %s: %s%lld bytes of WAL of %s, from " RG_LSN_FORMAT " to " RG_LSN_FORMAT,
		(long long) f->term, f->from, f->to, loss->measured ? "" : "at least ", (long long) loss->bytes, f->from,
		RG_LSN_ARGS(loss->from_lsn), RG_LSN_ARGS(loss->to_lsn));
	if (loss->measured)
		rg_sheet_add(t, ", %lld transactions", (long long) loss->transactions);
	if (loss->kept[0])
		rg_sheet_add(t, ", kept there in %s", loss->kept);
	rg_sheet_add(t, ".\n");
}

static void
explain_crash(RgSheet *t, const RgView *view, const RgDecision *d)
{
	const char *leader = d->leader >= 0 ? view->nodes[d->leader].name : "the leader";
	const char *next = NULL;

	for (int i = 0; i < view->nnodes; i++)
		if (d->eligible[i] && strncmp(d->candidate_reasons[i], "most advanced", 13) == 0)
			next = view->nodes[i].name;
	if (!d->ready)
	{
		rg_sheet_add(t, "If %s crashed now, there would be no automatic failover: %s.\n", leader,
			d->ready_reason);
		return;
	}
	rg_sheet_add(t, "If %s crashed now (term %lld):\n", leader, (long long) d->memory.highest_term + 1);
	if (d->leader >= 0 && view->nodes[d->leader].ssh == RG_SSHV_READY)
	{
		rg_sheet_add(t, "  1. its helper confirms over SSH that the postmaster is gone;\n");
		rg_sheet_add(t, "  2. fence: every process in its data directory is ended, it can only start as a standby;\n");
	}
	else
	{
		rg_sheet_add(t, "  1. its helper can't be asked: %lld s without it (restart_budget), no standby hears it;\n",
			(long long) view->settings.restart_budget_ms / 1000);
		rg_sheet_add(t, "  2. no fence: its lease runs out;\n");
	}
	rg_sheet_add(t, "  3. the standbys promise the new term and report their positions;\n");
	rg_sheet_add(t, "  4. the most advanced one is promoted, %s as things stand, the others follow it by reload;\n",
		next ? next : "nobody");
	rg_sheet_add(t, "  5. %s comes back as a standby%s.\n", leader,
		view->settings.auto_rejoin ? " by itself" : " when you run regent rebuild");
}

/* The way without its host: recruits, and the end of its lease. */
static void
explain_lost(RgSheet *t, const RgView *view, const RgDecision *d)
{
	const RgMemory *m = &d->memory;
	const char *leader = d->leader >= 0 ? view->nodes[d->leader].name : "the leader";
	int			standbys = m->rule.nvoters > 0 ? m->rule.nvoters - 1 : 0;
	int64_t		lease = rg_memory_lease_ms(m, view);
	RgSets		sets;

	rg_sheet_add(t, "If %s hung: after %lld s its helper kills it, then as above.\n", leader,
		(long long) view->settings.hang_budget_ms / 1000);
	rg_sheet_add(t, "If its host was lost: %d of %d standbys promise", rg_rules_recruit_size(standbys), standbys);
	rg_rule_sets(&m->rule, m->rule.leader, &sets);
	if (!sets.is_async)
		rg_sheet_add(t, ", %d of the %d that are counted: they hold every acknowledged commit",
			rg_rules_history_size(rg_sets_size(sets.counted), sets.quorum), rg_sets_size(sets.counted));
	rg_sheet_add(t, "; its lease runs out (%lld ms after its last answer); then as above from 4.\n",
		(long long) (rg_rules_lease_bound_ms(0, lease)));
	rg_sheet_add(t, "If only this watchdog is cut off from it, or from everything: an alarm, nothing else.\n");
}

unsigned long
rg_explain(const RgView *view, const RgDecision *d, char *buf, unsigned long size)
{
	RgSheet		t = {buf, size, 0};
	char		slots[RG_TEXT_MAX];

	if (size == 0)
		return 0;
	buf[0] = '\0';
	explain_now(&t, d);
	explain_loss(&t, &d->memory);
	explain_crash(&t, view, d);
	rg_sheet_add(&t, "If %s was stopped on purpose: wait up to %lld s for it, then as above.\n",
		d->leader >= 0 ? view->nodes[d->leader].name : "the leader",
		(long long) view->settings.restart_budget_ms / 1000);
	explain_lost(&t, view, d);
	if (d->leader >= 0 && rg_slots_logical_text(view, d->leader, slots)[0] != '\0')
		rg_sheet_add(&t, "After a change of leader %s of %s would have to be made anew on the next one: physical replication does not carry them over.\n",
			slots, view->nodes[d->leader].name);
	rg_sheet_add(&t, "Candidates:\n");
	for (int i = 0; i < view->nnodes; i++)
		if (i != d->leader)
			rg_sheet_add(&t, "  %s: %s%s\n", view->nodes[i].name, d->eligible[i] ? "" : "no: ",
				d->candidate_reasons[i][0] ? d->candidate_reasons[i] : "eligible");
	for (int i = 0; i < view->nnodes; i++)
		if (d->reasons[i][0])
			rg_sheet_add(&t, "%s is %s: %s.\n", view->nodes[i].name, rg_node_state_name(d->states[i]),
				d->reasons[i]);
	return t.len;
}

unsigned long
rg_explain_graph(char *buf, unsigned long size)
{
	RgSheet		t = {buf, size, 0};
	const RgMove *move;

	if (size == 0)
		return 0;
	buf[0] = '\0';
	rg_sheet_add(&t, "digraph phases {\n");
	for (int i = 0; (move = rg_move_get(i)) != NULL; i++)
		rg_sheet_add(&t, "  \"%s\" -> \"%s\" [label=\"%d: %s\"];\n", rg_phase_name(move->from),
			rg_phase_name(move->to), move->id, rg_input_name(move->on));
	rg_sheet_add(&t, "}\n");
	return t.len;
}
