/*
 * explain.c
 *	  The decision in sentences, from the same values that decide.
 */
#include "explain.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "phase.h"

typedef struct Text
{
	char	   *buf;
	unsigned long size;
	unsigned long len;
} Text;

static void add(Text *t, const char *fmt,...) __attribute__((format(printf, 2, 3)));

static void
add(Text *t, const char *fmt,...)
{
	va_list		ap;
	int			n;

	if (t->len + 1 >= t->size)
		return;
	va_start(ap, fmt);
	n = vsnprintf(t->buf + t->len, t->size - t->len, fmt, ap);
	va_end(ap);
	if (n > 0)
		t->len += (unsigned long) n;
	if (t->len >= t->size)
		t->len = t->size - 1;
}

static void
explain_now(Text *t, const RgDecision *d)
{
	const RgMemory *m = &d->memory;

	add(t, "Now: %s. Diagnosis: %s (%s).\n", rg_phase_name(m->phase),
		rg_diagnosis_name(m->diagnosis), rg_diagnosis_text(m->diagnosis));
	if (d->evidence[0])
		add(t, "Evidence: %s.\n", d->evidence);
	if (m->rule.term != 0)
		add(t, "In force: rule %lld, leader %s.\n", (long long) m->rule.term, m->rule.leader);
	if (m->refusal[0])
		add(t, "No failover: %s.\n", m->refusal);
	for (int i = 0; i < d->nsteps; i++)
		if (d->steps[i].kind != RG_STEP_PROBE)
			add(t, "Next: %s on %s, term %lld.\n", rg_step_name(d->steps[i].kind),
				m->nodes[d->steps[i].node].name, (long long) d->steps[i].term);
}

static void
explain_crash(Text *t, const RgView *view, const RgDecision *d)
{
	const char *leader = d->leader >= 0 ? view->nodes[d->leader].name : "the leader";
	const char *next = NULL;

	for (int i = 0; i < view->nnodes; i++)
		if (d->eligible[i] && strncmp(d->candidate_reasons[i], "most advanced", 13) == 0)
			next = view->nodes[i].name;
	if (!d->ready)
	{
		add(t, "If %s crashed now, there would be no automatic failover: %s.\n", leader,
			d->ready_reason);
		return;
	}
	add(t, "If %s crashed now (term %lld):\n", leader, (long long) d->memory.highest_term + 1);
	add(t, "  1. its helper confirms over SSH that the postmaster is gone;\n");
	add(t, "  2. fence: every process in its data directory is ended, it can only start as a standby;\n");
	add(t, "  3. the standbys promise the new term and report their positions;\n");
	add(t, "  4. the most advanced one is promoted, %s as things stand, the others follow it by reload;\n",
		next ? next : "nobody");
	add(t, "  5. %s comes back as a standby%s.\n", leader,
		view->settings.auto_rejoin ? " by itself" : " when you run regent rebuild");
}

unsigned long
rg_explain(const RgView *view, const RgDecision *d, char *buf, unsigned long size)
{
	Text		t = {buf, size, 0};

	if (size == 0)
		return 0;
	buf[0] = '\0';
	explain_now(&t, d);
	explain_crash(&t, view, d);
	add(&t, "If %s was stopped on purpose: wait up to %lld s for it, then as above.\n",
		d->leader >= 0 ? view->nodes[d->leader].name : "the leader",
		(long long) view->settings.restart_budget_ms / 1000);
	add(&t, "If its host were silent, hung or cut off: an alarm only; without a proven fence nobody is promoted.\n");
	add(&t, "Candidates:\n");
	for (int i = 0; i < view->nnodes; i++)
		if (i != d->leader)
			add(&t, "  %s: %s%s\n", view->nodes[i].name, d->eligible[i] ? "" : "no: ",
				d->candidate_reasons[i][0] ? d->candidate_reasons[i] : "eligible");
	for (int i = 0; i < view->nnodes; i++)
		if (d->reasons[i][0])
			add(&t, "%s is %s: %s.\n", view->nodes[i].name, rg_node_state_name(d->states[i]),
				d->reasons[i]);
	return t.len;
}

unsigned long
rg_explain_graph(char *buf, unsigned long size)
{
	Text		t = {buf, size, 0};
	const RgMove *move;

	if (size == 0)
		return 0;
	buf[0] = '\0';
	add(&t, "digraph phases {\n");
	for (int i = 0; (move = rg_move_get(i)) != NULL; i++)
		add(&t, "  \"%s\" -> \"%s\" [label=\"%d: %s\"];\n", rg_phase_name(move->from),
			rg_phase_name(move->to), move->id, rg_input_name(move->on));
	add(&t, "}\n");
	return t.len;
}
