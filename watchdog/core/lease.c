/*
 * lease.c
 *	  Grants, and the moment after which none can be in force any more.
 *
 * Whatever this watchdog granted was computed from the node's answers, and the
 * newest one that it has is the newest one that it can have used.  So the bound
 * needs no book of grants: receipt of the newest answer + lease + drift.  Where
 * something is not known, the answer is the one that permits less: no grant, a
 * later bound.
 */
#include "lease.h"

#include <string.h>

#include "choose.h"
#include "extension/mutant.h"
#include "learn.h"

int64_t
rg_lease_longest_ms(const RgView *view, const RgMemory *memory)
{
	int64_t		longest = memory->lease_ms;

	if (memory->rule.lease_ms > longest)
		longest = memory->rule.lease_ms;
	for (int i = 0; i < view->nnodes; i++)
	{
		const RgFacts *f = &view->nodes[i].facts;

		/* without a journalled length every rule counts that a node shows; else the newer ones */
		if (f->valid && f->rule.lease_ms > longest &&
			(memory->lease_ms == 0 ||
			 rg_rules_compare(f->rule.term, f->rule.seq, memory->rule.term, memory->rule.seq) > 0))
			longest = f->rule.lease_ms;
	}
	return longest > 0 ? longest : view->settings.lease_ms;
}

/* The phases in which the leader of the newest rule goes on. */
static bool
is_granted_in(const RgView *view, const RgMemory *memory, int node)
{
	switch (memory->phase)
	{
		case RG_PHASE_STEADY:
		case RG_PHASE_SUSPECTING:
		case RG_PHASE_WAITING:
		case RG_PHASE_ALARMED:
			return true;
		case RG_PHASE_UNDOING:
			return strcmp(memory->candidate, view->nodes[node].name) == 0;
		case RG_PHASE_SWITCHING:
			/* until it was asked for its promise; a watchdog started since can't know whether it was */
			return view->started_ms <= memory->phase_ms &&
				(view->nodes[node].ops[RG_STEP_FENCE_SQL].state == RG_OP_NONE ||
				 view->nodes[node].ops[RG_STEP_FENCE_SQL].term != memory->term);
		case RG_PHASE_STARTING:
		case RG_PHASE_RECRUITING:
		case RG_PHASE_PROMOTING:
		case RG_PHASE_RULING:
		case RG_PHASE_COUNT:
			break;
	}
	return false;
}

bool
rg_lease_grant(const RgView *view, const RgMemory *memory, int node, int64_t *ret_term,
			   int64_t *ret_until_ms)
{
	const RgNodeView *n = &view->nodes[node];
	const RgFacts *f = &n->facts;
	int64_t		lease = rg_memory_lease_ms(memory, view);

	if (view->clock_jumped || node >= memory->nnodes || memory->rule.term == 0 ||
		strcmp(memory->rule.leader, n->name) != 0 || !is_granted_in(view, memory, node))
		return false;
	if (memory->diagnosis == RG_DIAG_NOT_OBEYED || memory->diagnosis == RG_DIAG_BEHIND ||
		rg_view_outdated_by(view) >= 0)
		return false;
	if (!f->valid || f->in_recovery || f->boottime_ms <= 0 || lease <= 0 ||
		f->rule.term != memory->rule.term || strcmp(f->rule.leader, n->name) != 0)
		return false;
	/* an old journal opens nothing (3.1), a start that may be behind gets nothing (F10) */
	if (view->maybe_restored && !memory->confirmed && f->gate != RG_GATEV_OPEN)
		return false;
	/* a rule for another watchdog, and a journal that tells of an earlier time: who knows who leads now? */
	if (f->gate != RG_GATEV_OPEN && !rg_learn_knows_enough(view, memory) && !RG_MUTANT(82))
		return false;
	if (!rg_start_equal(&memory->nodes[node].admitted, &f->start) ||
		(f->ahead[0] != '\0' && rg_choose_is_behind(view, memory, node) && !RG_MUTANT(72)))
		return false;
	*ret_term = memory->rule.term;
	*ret_until_ms = f->boottime_ms > INT64_MAX - lease ? INT64_MAX : f->boottime_ms + lease;
	return true;
}

/*
 * When the newest answer came that a grant can have used.  In the middle of a
 * recruit nobody is granted anything: what is answered since then was used for nothing.
 */
static int64_t
last_used_answer_ms(const RgView *view, const RgMemory *memory, int node)
{
	int64_t		answered = view->nodes[node].facts_ms;

	if (memory->phase == RG_PHASE_RECRUITING && answered > memory->phase_ms && !RG_MUTANT(61))
		answered = RG_MUTANT(62) ? 0 : memory->phase_ms;
	return answered > view->started_ms ? answered : view->started_ms;
}

int64_t
rg_lease_bound_ms(const RgView *view, const RgMemory *memory, int node)
{
	int64_t		longest = rg_lease_longest_ms(view, memory);
	int64_t		bound;

	if (node < 0 || node >= view->nnodes || memory->nodes[node].ungated)
		return INT64_MAX;
	bound = last_used_answer_ms(view, memory, node);
	bound = rg_rules_lease_bound_ms(bound, longest);
	for (int i = 0; i < view->nnodes; i++)
	{
		const RgNodeView *n = &view->nodes[i];
		int64_t		answered = n->promise.at_ms != 0 ? n->promise.at_ms
			: n->ops[RG_STEP_PROMISE].ended_ms;
		int64_t		wal;

		if (i == node || !rg_is_recruited(view, i, memory->term) || n->promise.by_primary)
			continue;
		wal = rg_rules_wal_bound_ms(answered, n->promise.last_wal_age_ms, longest);
		if (wal > bound)
			bound = wal;
	}
	return bound;
}
