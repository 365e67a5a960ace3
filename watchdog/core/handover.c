/*
 * handover.c
 *	  What is done about a leader in trouble: it is told, or another one takes over.
 *
 * The leader is alive, so it gives the lead away as in any switchover, with every
 * byte.  Only one whose disk hangs can't: it is fenced, or closed by its promise, or
 * its lease runs out.  Either is done only where a standby is better off, and no more
 * than a few times for one trouble: a switchover that fails leaves the leader in
 * office, and people have to look.
 */
#include "handover.h"

#include <string.h>

#include "decide.h"
#include "diagnose.h"
#include "extension/mutant.h"
#include "learn.h"
#include "order.h"
#include "trouble.h"

#define TRIES 3
#define AGAIN_MS 20000

static bool
policy_allows(const RgView *view, const RgMemory *m)
{
	if (!view->settings.auto_failover || !m->confirmed || !rg_learn_all_tried(view) || RG_MUTANT(60))
		return false;
	return m->diagnosis == RG_DIAG_CRASH_LOOP ? view->settings.crash_limit > 0 : view->settings.disk_failover;
}

/* A query that fills a disk fails, and its files go: that is over in a moment. */
static bool
has_lasted(const RgView *view, const RgMemory *m)
{
	return m->diagnosis == RG_DIAG_CRASH_LOOP || m->diagnosis == RG_DIAG_DISK_HUNG ||
		view->now_ms - m->trouble_ms >= view->settings.hang_budget_ms;
}

static bool
may_try(const RgView *view, const RgMemory *m)
{
	return m->handovers == 0 ||
		(m->handovers < TRIES && view->now_ms - m->handover_ms >= (int64_t) AGAIN_MS << m->handovers);
}

/* Why nobody takes over now; NULL = target does. */
static const char *
refusal(const RgView *view, const RgMemory *m, char *target, char *why)
{
	int			node;

	if (rg_order_switchover_refusal(view, m, NULL, target, why) != NULL)
		return why;
	node = rg_view_find(view, target);
	if (!rg_trouble_is_looping(view, m, node))
		return NULL;
	rg_text(why, RG_TEXT_MAX, "%s has crashed and come back %d times, too", target, rg_trouble_crashes(view, m, node));
	return why;
}

void
rg_handover_order(const RgView *view, RgDecision *d)
{
	RgMemory   *m = &d->memory;
	char		target[RG_CORE_NAME_MAX];
	char		why[RG_TEXT_MAX];
	RgJob	   *job;

	if (m->diagnosis == RG_DIAG_DISK_HUNG || m->target[0] != '\0' || !policy_allows(view, m) ||
		!has_lasted(view, m) || !may_try(view, m) || refusal(view, m, target, why) != NULL ||
		!rg_order_switchover(view, m, target, 0, why))
		return;
	job = rg_memory_switchover(m);
	if (job != NULL)
		job->automatic = true;
	m->handovers++;
	m->handover_ms = view->now_ms;
	rg_decision_note(d, RG_EVENT_HANDOVER, d->leader, 0, true, "%s: %.150s; %s is to take over",
					 rg_diagnosis_name(m->diagnosis), d->evidence, target);
}

bool
rg_handover_takes_lead(const RgView *view, const RgMemory *m, int leader)
{
	if (m->diagnosis != RG_DIAG_DISK_HUNG || !policy_allows(view, m) || !may_try(view, m) ||
		m->nodes[leader].ungated)
		return false;
	for (int i = 0; i < view->nnodes; i++)
		if (i != leader && rg_view_is_primary(view, i))
			return false;
	return rg_trouble_better(view, m, leader) >= 0;
}

bool
rg_handover_undo_is_stuck(const RgView *view, const RgMemory *m, int leader)
{
	return rg_memory_phase_age_ms(m, view) > RG_PROMOTE_DEADLINE_MS && rg_view_is_primary(view, leader) &&
		(view->settings.disk_failover || m->failover.planned) && view->settings.auto_failover && m->confirmed &&
		!m->nodes[leader].ungated && rg_trouble_of_disk(&view->nodes[leader].facts) &&
		rg_trouble_better(view, m, leader) >= 0;
}

/* ---- telling ---- */

/* What a person can type, or what is waited for. */
static void
advise(const RgView *view, const RgDecision *d, char *buf)
{
	const RgMemory *m = &d->memory;
	const char *mend = m->diagnosis == RG_DIAG_DISK_FULL ? "free some space there"
		: m->diagnosis == RG_DIAG_CRASH_LOOP ? "see its server log" : "see its kernel log";
	char		target[RG_CORE_NAME_MAX];
	char		why[RG_TEXT_MAX];
	int			better = rg_trouble_better(view, m, d->leader);

	if (m->target[0] != '\0')
		rg_text(buf, RG_TEXT_MAX, "%.40s is to take over", m->target);
	else if (better < 0)
		rg_text(buf, RG_TEXT_MAX, "%s; no standby is better off", mend);
	else if (m->diagnosis == RG_DIAG_DISK_HUNG)
		rg_text(buf, RG_TEXT_MAX, "%s, or regent failover %.40s --accept-loss", mend, view->nodes[better].name);
	else if (refusal(view, m, target, why) != NULL)
		rg_text(buf, RG_TEXT_MAX, "%s; no switchover now: %.80s", mend, why);
	else
		rg_text(buf, RG_TEXT_MAX, "%s, or regent switchover %.40s%s", mend, target,
				m->handovers >= TRIES ? " (tried in vain)" : "");
}

void
rg_handover_tell_crashes(const RgView *view, RgDecision *d)
{
	for (int i = 0; i < view->nnodes; i++)
	{
		const RgNodeMemory *mem = &d->memory.nodes[i];

		if (mem->ncrashes > 0 && mem->crashes_ms[mem->ncrashes - 1] == view->now_ms)
			rg_decision_note(d, RG_EVENT_NODE_CRASHED, i, 0, true,
							 "%s has crashed and come back by itself: %d times within %lld s, crash_limit is %d",
							 mem->name, rg_trouble_crashes(view, &d->memory, i),
							 (long long) view->settings.crash_window_ms / 1000, view->settings.crash_limit);
	}
}

/* The leader's disk is told with its diagnosis. */
static void
tell_disk(const RgView *view, RgDecision *d, int node)
{
	const RgFacts *f = &view->nodes[node].facts;
	RgNodeMemory *mem = &d->memory.nodes[node];
	bool		is_bad = rg_trouble_of_disk(f);

	if (!rg_view_answers(view, node))
		return;
	if (is_bad && d->reasons[node][0] == '\0')
		rg_text(d->reasons[node], RG_TEXT_MAX, "%s", f->disk_text);
	if (f->disk == mem->disk || f->disk == RG_DISKV_UNKNOWN)
		return;
	if (node != d->leader && (is_bad || mem->disk != RG_DISKV_UNKNOWN))
		rg_decision_note(d, RG_EVENT_DISK_STATE, node, 0, is_bad, "a disk of %s %s: %s", mem->name,
						 f->disk == RG_DISKV_OK ? "is well again" : f->disk == RG_DISKV_FULL ? "is full"
						 : f->disk == RG_DISKV_FAILING ? "fails" : "hangs", f->disk_text);
	mem->disk = f->disk;
}

static void
tell_trouble(const RgView *view, const RgMemory *before, RgDecision *d)
{
	const RgMemory *m = &d->memory;
	char		advice[RG_TEXT_MAX];
	bool		was = rg_diagnosis_verdict(before->diagnosis) == RG_VERDICT_TROUBLED;

	if (rg_diagnosis_verdict(m->diagnosis) == RG_VERDICT_TROUBLED && d->leader >= 0)
	{
		advise(view, d, advice);
		rg_text(d->trouble, sizeof(d->trouble), "%s: %.110s; %.100s", rg_diagnosis_name(m->diagnosis),
				d->evidence, advice);
		rg_text(d->reasons[d->leader], RG_TEXT_MAX, "%s", d->trouble);
		/* what is done about it has been told otherwise */
		if (before->diagnosis != m->diagnosis && m->phase == RG_PHASE_STEADY)
			rg_decision_note(d, RG_EVENT_PRIMARY_ALARM, d->leader, 0, true, "%s", d->trouble);
	}
	else if (was && m->diagnosis == RG_DIAG_HEALTHY && m->phase == RG_PHASE_STEADY &&
			 before->phase == RG_PHASE_STEADY)
		rg_decision_note(d, RG_EVENT_PRIMARY_WELL, d->leader, 0, false, "%s: \"%s\" is over", m->rule.leader,
						 rg_diagnosis_name(before->diagnosis));
}

void
rg_handover_tell(const RgView *view, const RgMemory *before, RgDecision *d)
{
	for (int i = 0; i < view->nnodes; i++)
		tell_disk(view, d, i);
	tell_trouble(view, before, d);
}
