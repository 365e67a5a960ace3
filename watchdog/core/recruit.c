/*
 * recruit.c
 *	  Counts recruits against leases and against acknowledging sets.
 *
 * The voters are those of the newest rule; who led is not among its own standbys.
 * A promise counts in the server start that gave it (attack F3); incomplete ones
 * count for the authority and not for the history (attack F5).
 */
#include "recruit.h"

#include <string.h>

#include "choose.h"
#include "lease.h"

bool
rg_recruit_is_complete(const RgView *view, const RgMemory *memory, int node)
{
	const RgPromise *p = &view->nodes[node].promise;

	return rg_is_recruited(view, node, memory->term) && p->complete && !p->by_primary;
}

int
rg_recruit_history_size(const RgRule *rule, int standbys)
{
	if (!rg_rule_is_sync(rule))
		return 0;
	return rg_rules_history_size(standbys, rule->quorum > 0 ? rule->quorum : 1);
}

/* The voters of the rule beside this leader. */
static int
count_standbys(const RgMemory *memory, const char *leader)
{
	int			n = 0;

	for (int i = 0; i < memory->rule.nvoters; i++)
		if (strcmp(memory->rule.voters[i], leader) != 0)
			n++;
	return n;
}

/*
 * Who of a leader's standbys can't renew its lease: recruited, or declared lost by
 * the operator, who says that it is gone and not only out of our sight.
 */
static int
count_recruits(const RgView *view, const RgMemory *memory, const char *leader)
{
	int			n = 0;

	for (int i = 0; i < memory->rule.nvoters; i++)
	{
		const char *name = memory->rule.voters[i];
		int			k = rg_view_find(view, name);

		if (strcmp(name, leader) == 0)
			continue;
		if ((k >= 0 && rg_is_recruited(view, k, memory->term) && !view->nodes[k].promise.by_primary) ||
			(memory->accept_loss[0] != '\0' && (k < 0 || !rg_view_answers(view, k))))
			n++;
	}
	return n;
}

/*
 * A standby that answers and has not promised: how old its last WAL is nobody knows
 * yet.  It matters where others count without having answered, by order.
 */
static bool
is_still_to_come(const RgView *view, const RgMemory *memory, const char *leader)
{
	for (int i = 0; memory->accept_loss[0] != '\0' && i < memory->rule.nvoters; i++)
	{
		int			k = rg_view_find(view, memory->rule.voters[i]);

		if (k >= 0 && strcmp(memory->rule.voters[i], leader) != 0 && rg_view_is_standby(view, k) &&
			!rg_is_recruited(view, k, memory->term))
			return true;
	}
	return false;
}

RgOutlast
rg_recruit_outlast(const RgView *view, const RgMemory *memory, int node)
{
	const char *leader = memory->nodes[node].name;
	int			standbys = count_standbys(memory, leader);

	if (standbys <= 0 || node >= view->nnodes || memory->nodes[node].ungated)
		return RG_OUTLAST_NEVER;
	if (count_recruits(view, memory, leader) < rg_rules_recruit_size(standbys) ||
		is_still_to_come(view, memory, leader))
		return RG_OUTLAST_RECRUITS;
	return view->now_ms > rg_lease_bound_ms(view, memory, node) ? RG_OUTLAST_DONE : RG_OUTLAST_TIME;
}

void
rg_recruit_outlast_text(const RgView *view, const RgMemory *memory, int node, char *buf)
{
	const char *leader = memory->nodes[node].name;
	int			standbys = count_standbys(memory, leader);

	buf[0] = '\0';
	switch (rg_recruit_outlast(view, memory, node))
	{
		case RG_OUTLAST_NEVER:
			rg_text(buf, RG_TEXT_MAX, memory->nodes[node].ungated
					? "its gate was off or overridden, so the end of its lease proves nothing"
					: "no standby could tell when its lease ends");
			break;
		case RG_OUTLAST_RECRUITS:
			rg_text(buf, RG_TEXT_MAX, "%d of its %d standbys have to promise term %lld, %d have", rg_rules_recruit_size(standbys),
					standbys, (long long) memory->term, count_recruits(view, memory, leader));
			break;
		case RG_OUTLAST_TIME:
			rg_text(buf, RG_TEXT_MAX, "its lease may still run");
			break;
		case RG_OUTLAST_DONE:
			break;
	}
}

/* Voters beside the leader that are not counted, by name. */
static void
name_missing(const RgView *view, const RgMemory *memory, const char *leader, const bool *counted,
			 char *buf, unsigned long size)
{
	unsigned long len = 0;

	buf[0] = '\0';
	for (int i = 0; i < memory->rule.nvoters; i++)
	{
		const char *name = memory->rule.voters[i];
		int			k = rg_view_find(view, name);

		if (strcmp(name, leader) == 0 || (k >= 0 && counted[k]) || len + RG_CORE_NAME_MAX + 5 > size)
			continue;
		rg_text(buf + len, size - len, "%s%s", len > 0 ? " or " : "", name);
		len = strlen(buf);
	}
}

/*
 * A copy was swapped in for a directory that may have acknowledged what the copy
 * does not hold yet: the copy meets nothing before it has caught up (attack V2).
 */
static bool
owes(const RgView *view, const RgMemory *memory, int node)
{
	const RgNodeView *n = &view->nodes[node];
	uint64_t	lsn = rg_is_recruited(view, node, memory->term) ? n->promise.position.lsn
		: rg_facts_held_lsn(&n->facts);

	return lsn < memory->nodes[node].owes_lsn;
}

/* By the rule under which this one led, or was to lead. */
static bool
meets_leader(const RgView *view, const RgMemory *memory, const char *leader, const bool *counted, char *why)
{
	int			node = rg_view_find(view, leader);
	int			standbys = count_standbys(memory, leader);
	int			need = rg_recruit_history_size(&memory->rule, standbys);
	int			have = 0;
	bool		was_behind = memory->failover.diagnosis == RG_DIAG_BEHIND &&
		strcmp(memory->failover.from, leader) == 0;
	char		missing[100];

	/* a leader is a member of every set that acknowledged, unless it lost a part of what it had */
	if (node >= 0 && counted[node] && !was_behind)
		return true;
	for (int i = 0; i < memory->rule.nvoters; i++)
	{
		int			k = rg_view_find(view, memory->rule.voters[i]);

		have += k >= 0 && k != node && counted[k] && !owes(view, memory, k);
	}
	if (have >= need && need > 0)
		return true;
	if (why != NULL)
	{
		name_missing(view, memory, leader, counted, missing, sizeof(missing));
		rg_text(why, RG_TEXT_MAX, "the newest commits may be on %s alone: waiting for %s%s%s (%d of %d standbys are needed, %d are there); or regent failover NODE --accept-loss",
				was_behind ? missing : leader, was_behind ? "" : leader,
				was_behind || missing[0] == '\0' ? "" : " or ", missing,
				need, standbys, have);
	}
	return false;
}

bool
rg_recruit_meets_history(const RgView *view, const RgMemory *memory, const bool *counted, char *why)
{
	if (!rg_rule_is_sync(&memory->rule) || memory->accept_loss[0] != '\0')
		return true;
	for (int i = 0; i < memory->nnodes; i++)
		if (memory->nodes[i].must_end &&
			!meets_leader(view, memory, memory->nodes[i].name, counted, why))
			return false;
	return meets_leader(view, memory, memory->rule.leader, counted, why);
}
