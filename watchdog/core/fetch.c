/*
 * fetch.c
 *	  Who fetches the WAL of a node that must not, or can't, be promoted (attack L4).
 *
 * Both have promised the same term and receive nothing, so what comes is finite and
 * old, and counts for nobody.  Among those that can go on behind the source's history
 * the most advanced fetches, then as in every choice.  Where there is another way, a
 * fetch that brings nothing is given up after some tries: in async the stuck one is
 * passed over, and one with a bad disk is promoted all the same.
 */
#include "fetch.h"

#include <string.h>

#include "trouble.h"

/* The terms of a node: those of its promise, before a recruit those of its heartbeat. */
static int
terms_of(const RgNodeView *n, bool from_promise, const RgTermEnd **ret_terms)
{
	*ret_terms = from_promise ? n->promise.terms : n->facts.terms;
	return from_promise ? n->promise.nterms : n->facts.nterms;
}

/* May it go on behind what the source has, as if that led? */
static bool
can_fetch(const RgView *view, const RgMemory *memory, const RgContender *c, int node, int source,
		  bool from_promise)
{
	const RgNodeView *n = &view->nodes[node];
	const RgTermEnd *own;
	const RgTermEnd *its;
	RgTermEnd	ends[RG_TERMS_MAX];
	int			nown = terms_of(n, from_promise, &own);
	int			nits = terms_of(&view->nodes[source], from_promise, &its);

	memcpy(ends, its, sizeof(ends));
	for (int i = 0; i < nits; i++)
		if (ends[i].end_lsn == 0)
			ends[i].end_lsn = c[source].held;
	return !memory->nodes[node].strayed &&
		!(from_promise && rg_choose_has_lost_wal(n, ends, nits)) &&
		rg_rules_may_follow(own, nown, from_promise ? n->promise.promoting_term : n->facts.promoting_term,
							c[node].position.timeline, c[node].position.lsn, ends, nits) == RG_FOLLOW_OK;
}

/* Is there something to be had from the most advanced one, that would help? */
static bool
is_source(const RgView *view, const RgMemory *memory, const RgContender *c, int node)
{
	const RgFacts *f = &view->nodes[node].facts;

	return rg_view_is_standby(view, node) && !rg_contender_is_stale(memory, node, &c[node].position) &&
		!rg_rules_is_half_promoted(f->promoting_term, f->rule.term) &&
		(c[node].stuck || c[node].position.rule_term >= memory->rule.term);
}

/*
 * Was it tried so often in vain that the other way is taken?  In sync there is none for
 * one that is stuck.
 */
static bool
is_given_up(const RgView *view, const RgMemory *memory, const RgContender *c, int node, int source, bool has_choice)
{
	return (has_choice || (c[source].stuck && !rg_rule_is_sync(&memory->rule))) &&
		rg_op_gave_up(&view->nodes[node].ops[RG_STEP_FETCH], memory->term, RG_FETCH_TRIES);
}

void
rg_fetch_choose(const RgView *view, const RgMemory *memory, int leader, const RgContender *c,
				bool from_promise, RgChoice *choice)
{
	bool		has_choice = choice->node >= 0;
	int			source = has_choice ? choice->node : rg_contender_most_advanced(view, c);
	int			best = -1;

	if (source < 0 || (has_choice && !rg_trouble_of_disk(&view->nodes[source].facts)) ||
		!is_source(view, memory, c, source))
		return;
	for (int i = 0; i < view->nnodes; i++)
	{
		int			order;

		if (i == source || !c[i].present || c[i].stuck || rg_contender_exclusion(view, memory, i) != NULL ||
			(has_choice && rg_trouble_of_disk(&view->nodes[i].facts)) ||
			rg_contender_compare(&c[i], &c[source]) >= 0 || !can_fetch(view, memory, c, i, source, from_promise) ||
			is_given_up(view, memory, c, i, source, has_choice))
			continue;
		order = best < 0 ? 1 : rg_contender_compare(&c[i], &c[best]);
		if (order > 0 || (order == 0 && rg_contender_compare_equals(view, memory, leader, i, best) > 0))
			best = i;
	}
	if (best < 0)
		return;
	if (has_choice)
		rg_text(choice->reasons[source], RG_TEXT_MAX, "%s", view->nodes[source].facts.disk_text);
	choice->node = -1;
	choice->fetcher = best;
	choice->source = source;
	choice->until = c[source].held;
	rg_text(choice->summary, RG_TEXT_MAX, "%s fetches WAL from " RG_LSN_FORMAT " up to " RG_LSN_FORMAT " from %s (%.100s)",
			view->nodes[best].name, RG_LSN_ARGS(c[best].held), RG_LSN_ARGS(choice->until),
			view->nodes[source].name, choice->reasons[source]);
}
