/*
 * trouble.c
 *	  A leader that answers and is no good: its disk, its crashes.
 *
 * A crash counts when the server has come back from it by itself: one that does not
 * is replaced at once.  Its own count of restarts tells those that left the
 * postmaster alive; another postmaster, without a word of goodbye and without our
 * doing, tells the others.
 *
 * A disk that hangs is told by the server's own small write.  That alone is no
 * evidence that nothing commits: the process that writes may be frozen, or the disk
 * may be another one than that of the WAL.  So no WAL may have been flushed since.
 */
#include "trouble.h"

#include <string.h>

#include "diagnose.h"
#include "phase.h"

/* ---- crashes ---- */

/* Words of goodbye come a moment before the last answer, or after it. */
static bool
was_stopped(const RgNodeView *n, const RgNodeMemory *mem)
{
	if (n->purpose_ms != 0 && n->purpose_ms >= mem->heard_ms - 2000)
		return true;
	return n->probe.valid && n->probe.clean && n->probe_ms > mem->heard_ms;
}

static void
count_crash(const RgView *view, RgNodeMemory *mem)
{
	if (mem->ncrashes == RG_CRASHES_MAX)
		memmove(&mem->crashes_ms[0], &mem->crashes_ms[1],
				sizeof(mem->crashes_ms[0]) * (size_t) --mem->ncrashes);
	mem->crashes_ms[mem->ncrashes++] = view->now_ms;
}

void
rg_trouble_learn_node(const RgView *view, RgMemory *m, int node)
{
	const RgNodeView *n = &view->nodes[node];
	RgNodeMemory *mem = &m->nodes[node];
	int			crashes = 0;

	if (!n->facts.valid || n->facts_ms == mem->heard_ms)
		return;
	if (rg_start_equal(&mem->met, &n->facts.start))
		crashes = n->facts.crash_restarts - mem->met_restarts;
	else if (mem->met.pid != 0 && mem->fenced_term == 0 && rg_memory_job(m, n->name) == NULL &&
			 !was_stopped(n, mem))
		crashes = 1;
	for (int i = 0; i < crashes && i < RG_CRASHES_MAX; i++)
		count_crash(view, mem);
	mem->met_restarts = n->facts.crash_restarts;
	mem->heard_ms = n->facts_ms;
}

int
rg_trouble_crashes(const RgView *view, const RgMemory *m, int node)
{
	const RgNodeMemory *mem = &m->nodes[node];
	int			n = 0;

	for (int i = 0; i < mem->ncrashes; i++)
		n += view->now_ms - mem->crashes_ms[i] <= view->settings.crash_window_ms;
	return n;
}

bool
rg_trouble_is_looping(const RgView *view, const RgMemory *m, int node)
{
	return view->settings.crash_limit > 0 &&
		rg_trouble_crashes(view, m, node) >= view->settings.crash_limit;
}

/* ---- disks ---- */

bool
rg_trouble_of_disk(const RgFacts *facts)
{
	return facts->disk == RG_DISKV_FULL || facts->disk == RG_DISKV_FAILING || facts->disk == RG_DISKV_HUNG;
}

void
rg_trouble_learn_disk(const RgView *view, RgMemory *m, int leader)
{
	const RgFacts *f = leader >= 0 ? &view->nodes[leader].facts : NULL;

	if (f == NULL || !rg_view_is_primary(view, leader) || f->disk != RG_DISKV_HUNG)
		m->hung_ms = 0;
	else if (m->hung_ms == 0 || m->hung_lsn != f->flush_lsn)
	{
		m->hung_ms = view->now_ms;
		m->hung_lsn = f->flush_lsn;
	}
}

bool
rg_trouble_hangs(const RgView *view, const RgMemory *m, int leader)
{
	return leader >= 0 && rg_view_is_primary(view, leader) && m->hung_ms != 0 &&
		view->now_ms - m->hung_ms > view->settings.hang_budget_ms;
}

bool
rg_trouble_is_given_up(const RgView *view, const RgMemory *m, int node)
{
	const RgFacts *f = &view->nodes[node].facts;

	if (!rg_view_is_primary(view, node) || strcmp(m->rule.leader, view->nodes[node].name) != 0)
		return false;
	if (m->failover.diagnosis == RG_DIAG_DISK_HUNG)
		return f->disk == RG_DISKV_HUNG;
	return (m->failover.diagnosis == RG_DIAG_DISK_FULL || m->failover.diagnosis == RG_DIAG_DISK_FAILING) &&
		rg_trouble_of_disk(f);
}

/* ---- the diagnosis ---- */

RgDiagnosis
rg_trouble_diagnose(const RgView *view, const RgMemory *m, int leader, char *text, unsigned long size)
{
	const RgNodeView *n = &view->nodes[leader];
	const RgFacts *f = &n->facts;

	if (rg_trouble_hangs(view, m, leader))
	{
		rg_text(text, size, "%s: %s, and no WAL was flushed for %lld ms", n->name, f->disk_text,
				(long long) (view->now_ms - m->hung_ms));
		return RG_DIAG_DISK_HUNG;
	}
	if (f->disk == RG_DISKV_FAILING || f->disk == RG_DISKV_FULL)
	{
		rg_text(text, size, "%s: %s", n->name, f->disk_text);
		return f->disk == RG_DISKV_FULL ? RG_DIAG_DISK_FULL : RG_DIAG_DISK_FAILING;
	}
	if (rg_trouble_is_looping(view, m, leader))
	{
		rg_text(text, size, "%s has crashed and come back %d times within %lld s", n->name,
				rg_trouble_crashes(view, m, leader), (long long) view->settings.crash_window_ms / 1000);
		return RG_DIAG_CRASH_LOOP;
	}
	rg_text(text, size, "%s answers and is not in recovery", n->name);
	return RG_DIAG_HEALTHY;
}

void
rg_trouble_remember(const RgView *view, RgMemory *m)
{
	RgVerdict	verdict = rg_diagnosis_verdict(m->diagnosis);

	if (verdict == RG_VERDICT_TROUBLED && m->trouble != m->diagnosis)
	{
		m->trouble = m->diagnosis;
		m->trouble_ms = view->now_ms;
	}
	else if (verdict == RG_VERDICT_WELL && !rg_phase_is_failover(m->phase))
	{
		m->trouble = RG_DIAG_UNKNOWN;
		m->handovers = 0;
	}
}

/* ---- who would be better off ---- */

static bool
is_better(const RgView *view, const RgMemory *m, int node)
{
	const RgNodeView *n = &view->nodes[node];

	return rg_view_is_standby(view, node) && n->priority > 0 && rg_rule_has_voter(&m->rule, n->name) &&
		!rg_memory_is_rebuilding(m, n->name) && !m->nodes[node].stale && !m->nodes[node].left_out &&
		!rg_trouble_of_disk(&n->facts) && !rg_trouble_is_looping(view, m, node);
}

int
rg_trouble_better(const RgView *view, const RgMemory *m, int leader)
{
	for (int i = 0; i < view->nnodes; i++)
		if (i != leader && is_better(view, m, i))
			return i;
	return -1;
}

bool
rg_trouble_ends_waiting(const RgView *view, const RgMemory *m, int leader)
{
	return rg_trouble_is_looping(view, m, leader) && rg_trouble_better(view, m, leader) >= 0;
}
