/*
 * recruit.c
 *	  Counts recruits against leases and against acknowledging sets.
 *
 * Every rule that an old leader may have acted by is asked, with its own voters; who
 * led is not among its own standbys.  A promise counts in the server start that gave
 * it (attack F3); incomplete ones count for the authority and not for the history
 * (attack F5); who is left out speaks for no history (V11).
 */
#include "recruit.h"

#include <string.h>

#include "choose.h"
#include "extension/mutant.h"
#include "lease.h"

bool
rg_recruit_is_complete(const RgView *view, const RgMemory *memory, int node)
{
	const RgPromise *p = &view->nodes[node].promise;

	return rg_is_recruited(view, node, memory->term) && p->complete && !p->by_primary;
}

/*
 * The rules by which old leaders may have acted: the newest one that is known, one
 * that was asked for and not shown yet, unless it can't be in force, and the newest
 * that a recruited node holds.  A leader that has gone beyond that one alone had it
 * flushed by somebody whom no such recruit can miss (attacks F7, V1, V9, V10).
 */
typedef struct Question
{
	int			count;
	const RgRule *rules[3];
} Question;

/* Incomplete ones may hold a newer rule than they show: where the journal can't know of it, they show nothing. */
static bool
counts_as_recruit(const RgView *view, const RgMemory *memory, int node)
{
	const RgPromise *p = &view->nodes[node].promise;

	return rg_is_recruited(view, node, memory->term) && !p->by_primary &&
		(p->complete || !memory->unsure);
}

/* As its promise says, where that is complete; else as it showed. */
static const RgRule *
rule_of(const RgNodeView *n)
{
	return n->promise.complete && n->promise.rule.term != 0 ? &n->promise.rule : &n->facts.rule;
}

/* The newest rule that one of these holds (counted NULL: of all who are recruited); NULL = none. */
static const RgRule *
find_shown(const RgView *view, const RgMemory *memory, const bool *counted)
{
	const RgRule *shown = NULL;

	for (int i = 0; i < view->nnodes; i++)
	{
		const RgRule *rule = rule_of(&view->nodes[i]);

		if ((counted != NULL ? counted[i] : counts_as_recruit(view, memory, i)) && rule->term != 0 &&
			(shown == NULL || rg_rules_compare(rule->term, rule->seq, shown->term, shown->seq) > 0))
			shown = rule;
	}
	return shown;
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

/*
 * Where the journal can't know who was left out: one that does not hold the newest rule
 * may have been, by one in between that nobody shows any more.
 */
static bool
may_be_left_out(const RgView *view, const RgMemory *memory, int node)
{
	const RgRule *rule = rule_of(&view->nodes[node]);

	return memory->unsure && !RG_MUTANT(84) &&
		rg_rules_compare(rule->term, rule->seq, memory->rule.term, memory->rule.seq) < 0;
}

/* Who of a rule's voters speaks for what was acknowledged: not who is left out (V11), nor who has strayed. */
static uint64_t
find_holders(const RgView *view, const RgMemory *memory, const RgRule *rule, const bool *counted)
{
	uint64_t	held = 0;

	for (int i = 0; i < rule->nvoters; i++)
	{
		int			k = rg_view_find(view, rule->voters[i]);

		if (k >= 0 && counted[k] && !owes(view, memory, k) && !memory->nodes[k].left_out &&
			!memory->nodes[k].strayed && !may_be_left_out(view, memory, k))
			held |= UINT64_C(1) << i;
	}
	return held;
}

/* The sets of a rule, its voters numbered like those of another one; who is new there has the bits after them. */
static void
number_alike(const RgRule *rule, const RgRule *like, RgSets *ret)
{
	RgSets		own;

	rg_rule_sets(rule, rule->leader, &own);
	*ret = own;
	ret->standbys = ret->counted = 0;
	for (int i = 0; i < rule->nvoters; i++)
	{
		int			k = rg_rule_voter(like, rule->voters[i]);
		uint64_t	bit = UINT64_C(1) << (k >= 0 ? k : RG_CORE_NODES_MAX + i);

		if ((own.standbys >> i & 1) != 0)
			ret->standbys |= bit;
		if ((own.counted >> i & 1) != 0)
			ret->counted |= bit;
	}
}

/*
 * May the rule that was asked for count alone by now?  Not if the one before it would
 * still be in question though all had flushed the new one but these complete recruits:
 * if one of them had, it would show it, and be asked by it.  Until then the leader has
 * satisfied the one before as well, or the new one only leaves out more.
 */
static bool
may_count_alone(const RgView *view, const RgMemory *memory, const bool *counted)
{
	const RgRule *before = &memory->rule;
	const RgRule *asked = &memory->asked;
	bool		complete[RG_CORE_NODES_MAX];
	RgSets		was;
	RgSets		is;

	if (rg_rules_compare(before->term, before->seq + 1, asked->term, asked->seq) != 0)
		return true;
	for (int i = 0; i < view->nnodes; i++)
		complete[i] = (counted == NULL || counted[i]) && rg_recruit_is_complete(view, memory, i);
	rg_rule_sets(before, before->leader, &was);
	number_alike(asked, before, &is);
	return rg_sets_settle(&was, &is, ~find_holders(view, memory, before, complete));
}

static void
ask_rules(const RgView *view, const RgMemory *memory, const bool *counted, Question *ret)
{
	const RgRule *shown = find_shown(view, memory, counted);

	ret->count = 0;
	ret->rules[ret->count++] = &memory->rule;
	if (RG_MUTANT(42))
		return;
	if (memory->asked.term != 0 && !RG_MUTANT(75) && may_count_alone(view, memory, counted))
		ret->rules[ret->count++] = &memory->asked;
	if (shown != NULL &&
		rg_rules_compare(shown->term, shown->seq, memory->rule.term, memory->rule.seq) != 0)
		ret->rules[ret->count++] = shown;
}

/* What was asked of another leader says nothing of this one. */
static bool
concerns(const RgMemory *memory, const RgRule *rule, const char *leader)
{
	return rule != &memory->asked || strcmp(rule->leader, leader) == 0;
}

/*
 * Who of a rule's voters can't renew a lease: recruited, or declared lost by the
 * operator, who says that it is gone and not only out of our sight.
 */
static uint64_t
find_recruits(const RgView *view, const RgMemory *memory, const RgRule *rule)
{
	uint64_t	recruits = 0;

	for (int i = 0; i < rule->nvoters; i++)
	{
		int			k = rg_view_find(view, rule->voters[i]);

		if ((k >= 0 && counts_as_recruit(view, memory, k)) ||
			(memory->accept_loss[0] != '\0' && (k < 0 || !rg_view_answers(view, k))))
			recruits |= UINT64_C(1) << i;
	}
	return recruits;
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

/* The first rule by which a leader could still get a lease; NULL = none. */
static const RgRule *
find_lease(const RgView *view, const RgMemory *memory, const char *leader)
{
	Question	q;
	RgSets		sets;

	ask_rules(view, memory, NULL, &q);
	for (int i = 0; i < q.count; i++)
	{
		rg_rule_sets(q.rules[i], leader, &sets);
		if (concerns(memory, q.rules[i], leader) &&
			!rg_sets_end_lease(&sets, find_recruits(view, memory, q.rules[i])))
			return q.rules[i];
	}
	return NULL;
}

RgOutlast
rg_recruit_outlast(const RgView *view, const RgMemory *memory, int node)
{
	const char *leader = memory->nodes[node].name;
	RgSets		sets;

	rg_rule_sets(&memory->rule, leader, &sets);
	if (sets.standbys == 0 || node >= view->nnodes || memory->nodes[node].ungated)
		return RG_OUTLAST_NEVER;
	if (find_lease(view, memory, leader) != NULL || is_still_to_come(view, memory, leader))
		return RG_OUTLAST_RECRUITS;
	return view->now_ms > rg_lease_bound_ms(view, memory, node) ? RG_OUTLAST_DONE : RG_OUTLAST_TIME;
}

void
rg_recruit_outlast_text(const RgView *view, const RgMemory *memory, int node, char *buf)
{
	const char *leader = memory->nodes[node].name;
	const RgRule *rule;
	RgSets		sets;

	buf[0] = '\0';
	switch (rg_recruit_outlast(view, memory, node))
	{
		case RG_OUTLAST_NEVER:
			rg_text(buf, RG_TEXT_MAX, memory->nodes[node].ungated
					? "its gate was off or overridden, so the end of its lease proves nothing"
					: "no standby could tell when its lease ends");
			break;
		case RG_OUTLAST_RECRUITS:
			rule = find_lease(view, memory, leader);
			rg_rule_sets(rule != NULL ? rule : &memory->rule, leader, &sets);
			rg_text(buf, RG_TEXT_MAX, "%d of its %d standbys have to promise term %lld, %d have",
					rg_rules_recruit_size(rg_sets_size(sets.standbys)), rg_sets_size(sets.standbys), (long long) memory->term,
					rg_sets_size(find_recruits(view, memory, rule != NULL ? rule : &memory->rule) & sets.standbys));
			break;
		case RG_OUTLAST_TIME:
			rg_text(buf, RG_TEXT_MAX, "its lease may still run");
			break;
		case RG_OUTLAST_DONE:
			break;
	}
}

/* Voters of a rule beside the leader that are not counted, by name. */
static void
name_missing(const RgView *view, const RgRule *rule, const char *leader, const bool *counted, char *buf,
			 unsigned long size)
{
	unsigned long len = 0;

	buf[0] = '\0';
	for (int i = 0; i < rule->nvoters; i++)
	{
		int			k = rg_view_find(view, rule->voters[i]);

		if (strcmp(rule->voters[i], leader) == 0 || (k >= 0 && counted[k]) || (rule->left_out >> i & 1) != 0 ||
			len + RG_CORE_NAME_MAX + 5 > size)
			continue;
		rg_text(buf + len, size - len, "%s%s", len > 0 ? " or " : "", rule->voters[i]);
		len = strlen(buf);
	}
}

/* What this leader acknowledged by this rule, or was to acknowledge. */
static bool
meets_rule(const RgView *view, const RgMemory *memory, const RgRule *rule, const char *leader,
		   const bool *counted, bool was_behind, char *why)
{
	uint64_t	held = find_holders(view, memory, rule, counted);
	char		missing[100];
	RgSets		sets;
	int			standbys;

	rg_rule_sets(rule, leader, &sets);
	if (rg_sets_hold_history(&sets, held))
		return true;
	if (why == NULL)
		return false;
	standbys = rg_sets_size(sets.counted);
	name_missing(view, rule, leader, counted, missing, sizeof(missing));
	rg_text(why, RG_TEXT_MAX, "the newest commits may be on %s alone: waiting for %s%s%s (%d of %d standbys are needed, %d are there); or regent failover NODE --accept-loss",
			was_behind && missing[0] != '\0' ? missing : leader, was_behind ? "" : leader,
			was_behind || missing[0] == '\0' ? "" : " or ", missing,
			rg_rules_history_size(standbys, sets.quorum), standbys, rg_sets_size(held & sets.counted));
	return false;
}

/* It came back with less than it has shown, or others of its rule have: its disk is an older one (F10). */
static bool
has_lost_a_part(const RgView *view, const RgMemory *memory, const char *leader)
{
	int			node = rg_view_find(view, leader);
	RgPosition	position;

	if (memory->failover.diagnosis == RG_DIAG_BEHIND && strcmp(memory->failover.from, leader) == 0)
		return true;
	if (node < 0 || !rg_recruit_is_complete(view, memory, node))
		return false;
	position = rg_choose_start_position(view, memory, node);
	return rg_rules_compare_position(&position, &memory->newest) < 0 && !RG_MUTANT(83);
}

/* By every rule under which this one led, or was to lead. */
static bool
meets_leader(const RgView *view, const RgMemory *memory, const char *leader, const bool *counted, char *why)
{
	int			node = rg_view_find(view, leader);
	bool		was_behind = has_lost_a_part(view, memory, leader);
	Question	q;

	/* a leader is a member of every set that acknowledged, unless it lost a part of what it had */
	if (node >= 0 && counted[node] && !was_behind)
		return true;
	ask_rules(view, memory, counted, &q);
	for (int i = 0; i < q.count; i++)
		if (concerns(memory, q.rules[i], leader) &&
			!meets_rule(view, memory, q.rules[i], leader, counted, was_behind, why))
			return false;
	return true;
}

/* By the newest alone it need not be so. */
bool
rg_recruit_owes_history(const RgView *view, const RgMemory *memory, const bool *counted)
{
	Question	q;

	ask_rules(view, memory, counted, &q);
	for (int i = 0; i < q.count; i++)
		if (rg_rule_is_sync(q.rules[i]))
			return true;
	return false;
}

/*
 * Others may have been left out since our journal was written, or by another
 * watchdog, and need not know of it themselves: so all are asked (V11).
 */
static bool
knows_who_is_left_out(const RgView *view, const RgMemory *memory, char *why)
{
	for (int i = 0; memory->unsure && i < memory->rule.nvoters; i++)
	{
		int			k = rg_view_find(view, memory->rule.voters[i]);

		if (RG_MUTANT(44) || (k >= 0 && view->nodes[k].facts.valid && view->nodes[k].facts_ms >= view->started_ms))
			continue;
		if (why != NULL)
			rg_text(why, RG_TEXT_MAX, "who was left out of rule %lld by an earlier watchdog is not known: waiting for %s; or regent failover NODE --accept-loss",
					(long long) memory->rule.term, memory->rule.voters[i]);
		return false;
	}
	return true;
}

bool
rg_recruit_meets_history(const RgView *view, const RgMemory *memory, const bool *counted, char *why)
{
	if (memory->accept_loss[0] != '\0' || !rg_recruit_owes_history(view, memory, counted))
		return true;
	if (!knows_who_is_left_out(view, memory, why))
		return false;
	for (int i = 0; i < memory->nnodes; i++)
		if (memory->nodes[i].must_end &&
			!meets_leader(view, memory, memory->nodes[i].name, counted, why))
			return false;
	return meets_leader(view, memory, memory->rule.leader, counted, why);
}
