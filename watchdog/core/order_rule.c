/*
 * order_rule.c
 *	  What people want of the rule: may it be, and what does it put into memory?
 *
 * What is refused here would not come true by itself: more acknowledgements than
 * there are standbys, a voter that nobody has seen stream, a removal that an absent
 * node would have to hear of (attack V9).
 */
#include "order_rule.h"

#include <string.h>

#include "change.h"

/* What is in the way whatever is wanted; NULL = nothing. */
static const char *
cluster_trouble(const RgView *view, const RgMemory *m, char *why)
{
	int			leader = rg_view_find(view, m->rule.leader);

	if (m->rule.term == 0)
		rg_text(why, RG_TEXT_MAX, "no node holds a rule: run regent init");
	else if (m->diagnosis == RG_DIAG_NOT_OBEYED)
		rg_text(why, RG_TEXT_MAX, "the cluster does not obey this watchdog: regent takeover first");
	else if (m->phase != RG_PHASE_STEADY || leader < 0 || !rg_view_is_primary(view, leader))
		rg_text(why, RG_TEXT_MAX, "the cluster is not steady (%s, %s): a rule is changed by a healthy leader",
				rg_phase_name(m->phase), rg_diagnosis_name(m->diagnosis));
	else if (m->target[0] != '\0')
		rg_text(why, RG_TEXT_MAX, "a switchover to %s is under way: wait until that is done", m->target);
	else
		return NULL;
	return why;
}

/* How many standbys vote once all that is under way has come true, at the least. */
static int
fewest_standbys(const RgMemory *m)
{
	int			voters = m->rule.nvoters;

	if (m->asked.term == m->rule.term && m->asked.nvoters < voters)
		voters = m->asked.nvoters;
	if (m->wish.nvoters > 0 && m->wish.nvoters < voters)
		voters = m->wish.nvoters;
	return voters - 1;
}

/* Commits wait for standbys, or will once all that is under way has come true. */
static bool
will_be_strict(const RgMemory *m)
{
	return strcmp(m->rule.durability, "strict") == 0 || strcmp(m->wish.durability, "strict") == 0 ||
		(m->asked.term == m->rule.term && strcmp(m->asked.durability, "strict") == 0);
}

/* ---- durability and quorum ---- */

static void
tell_set(const RgMemory *m, const char *durability, int quorum, int standbys, char *why)
{
	if (strcmp(durability, "async") == 0)
		rg_text(why, RG_TEXT_MAX, "durability async (now %s, quorum %d): a commit is told when it is on %s; a failover may lose the last moments",
				m->rule.durability, m->rule.quorum, m->rule.leader);
	else
		rg_text(why, RG_TEXT_MAX, "durability %s, quorum %d of %d (now %s, %d)%s", durability, quorum, standbys,
				m->rule.durability, m->rule.quorum,
				strcmp(durability, "strict") == 0 ? ": commits wait when fewer are there" : "");
}

const char *
rg_order_set_refusal(const RgView *view, const RgMemory *m, const char *durability, int quorum, char *why)
{
	int			standbys = fewest_standbys(m);

	why[0] = '\0';
	if (cluster_trouble(view, m, why) != NULL)
		return why;
	if (durability == NULL)
		durability = m->wish.durability[0] != '\0' ? m->wish.durability : m->rule.durability;
	if (quorum == 0)
		quorum = rg_change_wanted_quorum(view, m);
	if (strcmp(durability, "async") != 0 && strcmp(durability, "sync") != 0 && strcmp(durability, "strict") != 0)
		rg_text(why, RG_TEXT_MAX, "durability is one of async, sync and strict, not \"%.40s\"", durability);
	else if (strcmp(durability, "async") == 0 ? quorum < 0 : quorum < 1)
		rg_text(why, RG_TEXT_MAX, "the quorum is at least 1");
	else if (strcmp(durability, "async") != 0 && quorum > standbys)
		rg_text(why, RG_TEXT_MAX, "a quorum of %d is more than the %d standbys that vote by rule %lld%s: no commit could ever be told",
				quorum, standbys, (long long) m->rule.term,
				standbys < m->rule.nvoters - 1 ? " once others are removed, as was ordered" : "");
	else
	{
		tell_set(m, durability, quorum, standbys, why);
		return NULL;
	}
	return why;
}

bool
rg_order_set(const RgView *view, RgMemory *m, const char *durability, int quorum, char *why)
{
	if (rg_order_set_refusal(view, m, durability, quorum, why) != NULL)
		return false;
	if (durability != NULL)
		rg_text(m->wish.durability, sizeof(m->wish.durability), "%s", durability);
	if (quorum != 0)
		m->wish.quorum = quorum;
	return true;
}

/* ---- voters ---- */

static bool
is_among(char (*names)[RG_CORE_NAME_MAX], int count, const char *name)
{
	for (int i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static bool
streams(const RgView *view, const RgMemory *m, int node)
{
	int			leader = rg_view_find(view, m->rule.leader);

	return node >= 0 && leader >= 0 && (view->nodes[leader].facts.streaming_from_us >> node & 1) != 0;
}

static bool
is_gone(const RgMemory *m, int node, uint32_t lost)
{
	return node >= 0 && ((lost >> node & 1) != 0 || rg_change_is_gone(m, node));
}

/* The removed voter that has to hear of it and can't; NULL = none. */
static const char *
find_unheard(const RgView *view, const RgMemory *m, char (*names)[RG_CORE_NAME_MAX], int count, uint32_t lost)
{
	const char *unheard = NULL;
	uint64_t	hear = 0;
	RgSets		sets;

	rg_rule_sets(&m->rule, m->rule.leader, &sets);
	for (int i = 0; i < m->rule.nvoters; i++)
	{
		const char *name = m->rule.voters[i];
		int			k = rg_view_find(view, name);
		bool		is_removed = !is_among(names, count, name);

		if (streams(view, m, k) || (is_removed && is_gone(m, k, lost)))
			hear |= UINT64_C(1) << i;
		/* whom the leader does not count any more it would take for one that has heard of it */
		else if (is_removed && (rg_rule_leaves_out(&m->rule, name) || unheard == NULL))
			unheard = name;
		if (is_removed && rg_rule_leaves_out(&m->rule, name) && (hear >> i & 1) == 0)
			return name;
	}
	return rg_sets_give_lease(&sets, hear) ? NULL : unheard;
}

static const char *
new_voter_trouble(const RgView *view, const RgMemory *m, const char *name, char *why)
{
	int			k = rg_view_find(view, name);

	if (rg_rule_has_voter(&m->rule, name))
		return NULL;
	if (k < 0)
		rg_text(why, RG_TEXT_MAX, "there is no node \"%.60s\" in the configuration", name);
	else if (!streams(view, m, k))
		rg_text(why, RG_TEXT_MAX, "%s does not stream from %s on its own slot regent_%s: it can't vote yet", name,
				m->rule.leader, name);
	else
		return NULL;
	return why;
}

const char *
rg_order_voters_refusal(const RgView *view, const RgMemory *m, char (*names)[RG_CORE_NAME_MAX], int count,
						uint32_t lost, char *why)
{
	const char *unheard;
	int			quorum = rg_change_wanted_quorum(view, m);

	why[0] = '\0';
	if (cluster_trouble(view, m, why) != NULL)
		return why;
	for (int i = 0; i < count; i++)
		if (new_voter_trouble(view, m, names[i], why) != NULL)
			return why;
	unheard = find_unheard(view, m, names, count, lost);
	if (count < 1 || count > RG_CORE_NODES_MAX || !is_among(names, count, m->rule.leader))
		rg_text(why, RG_TEXT_MAX, "%s leads: it can't be removed from the voters. Switch over first: regent switchover",
				m->rule.leader);
	else if (will_be_strict(m) && quorum > count - 1)
		rg_text(why, RG_TEXT_MAX, "strict with quorum %d needs as many standbys, %d would be left: regent set quorum %d first, or set durability sync",
				quorum, count - 1, count > 1 ? count - 1 : 1);
	else if (unheard != NULL)
		rg_text(why, RG_TEXT_MAX, "%s does not stream, so it can't hear of its removal, and could be taken for a voter later: start it first, or declare it lost for ever (--lost)",
				unheard);
	else
	{
		rg_text(why, RG_TEXT_MAX, "%d voters instead of %d", count, m->rule.nvoters);
		return NULL;
	}
	return why;
}

bool
rg_order_voters(const RgView *view, RgMemory *m, char (*names)[RG_CORE_NAME_MAX], int count, uint32_t lost, char *why)
{
	if (rg_order_voters_refusal(view, m, names, count, lost, why) != NULL)
		return false;
	m->wish.nvoters = count;
	for (int i = 0; i < count; i++)
		memcpy(m->wish.voters[i], names[i], sizeof(m->wish.voters[i]));
	for (int i = 0; i < view->nnodes && i < m->nnodes; i++)
		if ((lost >> i & 1) != 0 && !is_among(names, count, view->nodes[i].name))
			m->nodes[i].declared_lost = true;
	return true;
}

bool
rg_order_voters_done(const RgView *view, const RgMemory *m)
{
	int			leader = rg_view_find(view, m->rule.leader);

	return m->wish.nvoters == 0 && m->asked.term == 0 && leader >= 0 && view->nodes[leader].facts.settled;
}
