/*
 * contender.c
 *	  The order of contenders, and what excludes one.
 */
#include "contender.h"

#include <string.h>

#include "choose.h"
#include "trouble.h"

int
rg_contender_compare(const RgContender *a, const RgContender *b)
{
	if (!a->stuck && !b->stuck)
		return rg_rules_compare_position(&a->position, &b->position);
	if (a->position.timeline != b->position.timeline)
		return a->position.timeline < b->position.timeline ? -1 : 1;
	return a->held < b->held ? -1 : a->held > b->held;
}

int
rg_contender_most_advanced(const RgView *view, const RgContender *c)
{
	int			best = -1;

	for (int i = 0; i < view->nnodes; i++)
		if (c[i].present && (best < 0 || rg_contender_compare(&c[i], &c[best]) > 0))
			best = i;
	return best;
}

const char *
rg_contender_exclusion(const RgView *view, const RgMemory *memory, int node)
{
	const RgNodeView *n = &view->nodes[node];

	if (memory->rule.nvoters > 0 && !rg_rule_has_voter(&memory->rule, n->name))
		return "is no voter of the rule in force";
	if (n->priority == 0)
		return "priority 0: never promoted";
	/* by order it may lead all the same */
	if (memory->nodes[node].left_out && memory->accept_loss[0] == '\0')
		return "is left out: it may lack commits that were acknowledged without it";
	if (memory->nodes[node].strayed && memory->accept_loss[0] == '\0' && strcmp(memory->rule.leader, n->name) != 0)
		return RG_STRAYED_TEXT;
	if (memory->accept_loss[0] == '\0' && rg_choose_is_older(view, memory, node))
		return "was started as a primary from an older disk: others had more than it held then";
	/* not who leads by the newest rule: his rebuild was begun by one who did not know that, and is called off */
	if (rg_memory_is_rebuilding(memory, n->name) && strcmp(memory->rule.leader, n->name) != 0)
		return "is being rebuilt";
	if (!rg_view_is_standby(view, node))
		return "does not answer any more";
	return NULL;
}

bool
rg_contender_is_stale(const RgMemory *memory, int node, const RgPosition *p)
{
	return memory->nodes[node].stale && !rg_rule_is_sync(&memory->rule) &&
		rg_rules_compare_position(p, &memory->newest) < 0;
}

bool
rg_contender_failed_before(const RgView *view, int node)
{
	const RgFacts *f = &view->nodes[node].facts;

	return rg_rules_is_half_promoted(f->promoting_term, f->rule.term);
}

int
rg_contender_compare_equals(const RgView *view, const RgMemory *memory, int leader, int a, int b)
{
	uint32_t	sync = leader >= 0 ? view->nodes[leader].facts.sync_with_us : 0;
	int			sa = (int) (sync >> a & 1);
	int			sb = (int) (sync >> b & 1);

	/* after a promotion that failed, another one first; alone it is tried again */
	if (rg_contender_failed_before(view, a) != rg_contender_failed_before(view, b))
		return rg_contender_failed_before(view, a) ? -1 : 1;
	/* who led may have been started once more from an older disk, and its end of WAL is its own then (F10) */
	if (memory->nodes[a].must_end != memory->nodes[b].must_end)
		return memory->nodes[a].must_end ? -1 : 1;
	/* no room for WAL, no promotion */
	if (rg_trouble_of_disk(&view->nodes[a].facts) != rg_trouble_of_disk(&view->nodes[b].facts))
		return rg_trouble_of_disk(&view->nodes[a].facts) ? -1 : 1;
	if (sa != sb)
		return sa - sb;
	if (view->nodes[a].priority != view->nodes[b].priority)
		return view->nodes[a].priority - view->nodes[b].priority;
	return strcmp(view->nodes[b].name, view->nodes[a].name);
}
