/*
 * ready.c
 *	  The first line of `regent status`: checked before it is needed.
 *
 * There are two ways to end a leader.  Its host answers: the helper fences it, at
 * once, and its data can be read.  Its host is lost: enough standbys promise, and
 * its lease runs out.  One way is enough to be ready; which one is not there is said.
 */
#include "ready.h"

#include <stddef.h>

#include "choose.h"

/* Why the leader could not be fenced by its host; NULL = it could. */
static const char *
fence_trouble(const RgView *view, const RgDecision *d, char *buf)
{
	const RgNodeView *n = &view->nodes[d->leader];

	if (n->ssh != RG_SSHV_READY)
		rg_text(buf, RG_TEXT_MAX, "%s could not be fenced: no SSH session: %.110s", n->name,
				n->ssh_text[0] ? n->ssh_text : "not connected yet");
	else if (!n->probe.valid)
		rg_text(buf, RG_TEXT_MAX, "%s could not be fenced: its helper has not answered yet%s%.80s",
				n->name, n->ops[RG_STEP_PROBE].text[0] ? ": " : "", n->ops[RG_STEP_PROBE].text);
	else if (!rg_start_equal(&d->memory.nodes[d->leader].shown, &n->facts.start))
		rg_text(buf, RG_TEXT_MAX,
				"%s could not be fenced: its helper does not show the postmaster that answers us (pid %d)",
				n->name, n->facts.start.pid);
	else
		return NULL;
	return buf;
}

/* Why nobody could outlast its lease if its host was lost; NULL = they could. */
static const char *
outlast_trouble(const RgView *view, const RgDecision *d, char *buf)
{
	const RgRule *rule = &d->memory.rule;
	int			standbys = rule->nvoters - 1;
	int			need;
	int			have = 0;
	uint64_t	there = 0;
	uint64_t	counted = 0;
	RgSets		sets;

	rg_rule_sets(rule, rule->leader, &sets);
	for (int i = 0; i < rule->nvoters; i++)
	{
		int			k = rg_view_find(view, rule->voters[i]);

		if (k >= 0 && k != d->leader && rg_view_is_standby(view, k))
		{
			there |= UINT64_C(1) << i;
			counted |= d->memory.nodes[k].left_out ? 0 : UINT64_C(1) << i;
		}
	}
	need = rg_rules_recruit_size(standbys);
	have = rg_sets_size(there);
	if (!sets.is_async && !rg_sets_hold_history(&sets, counted))
	{
		standbys = rg_sets_size(sets.counted);
		need = rg_rules_history_size(standbys, sets.quorum);
		have = rg_sets_size(counted & sets.counted);
	}
	if (d->memory.nodes[d->leader].ungated)
		rg_text(buf, RG_TEXT_MAX, "if the host of %s was lost, nobody would follow: its gate is off or overridden",
				rule->leader);
	else if (need == 0)
		rg_text(buf, RG_TEXT_MAX, "if the host of %s was lost, nobody could speak for what it acknowledged: %s", rule->leader,
				standbys == 0 && rule->left_out != 0 ? "all standbys are left out" : "there is no standby");
	else if (have < need)
		rg_text(buf, RG_TEXT_MAX, "if the host of %s was lost, %d of %d standbys would be needed, %d %s",
				rule->leader, need, standbys, have, have == 1 ? "answers" : "answer");
	else
		return NULL;
	return buf;
}

/* What is wrong with the leader itself; NULL = nothing. */
static const char *
leader_trouble(const RgView *view, const RgDecision *d, char *buf)
{
	const RgNodeView *n = &view->nodes[d->leader];

	if (n->fresh != RG_SQL_OK && n->fresh != RG_SQL_UNKNOWN)
		rg_text(buf, RG_TEXT_MAX, "new connections to %s fail: %.150s", n->name, n->fresh_text);
	else if ((d->memory.closed_ms != 0 || d->memory.behind_ms != 0) && d->reasons[d->leader][0] != '\0')
		rg_text(buf, RG_TEXT_MAX, "%s: %.200s", n->name, d->reasons[d->leader]);
	else
		return NULL;
	return buf;
}

/* What is wrong with all of it; NULL = the leader is in office and seen. */
static const char *
cluster_trouble(const RgView *view, const RgDecision *d, char *buf)
{
	const RgMemory *m = &d->memory;

	if (!view->settings.auto_failover)
		return "auto_failover is off";
	if (view->clock_jumped)
		return "our clock jumped: watching only";
	if (!m->confirmed)
		return "our journal may be an old one: waiting for more than half of the voters, or regent takeover";
	if (m->phase != RG_PHASE_STEADY)
		rg_text(buf, RG_TEXT_MAX, "%s, %s: %.150s", rg_phase_name(m->phase),
				rg_diagnosis_name(m->diagnosis), m->refusal[0] ? m->refusal : d->evidence);
	else if (d->leader < 0 || !rg_view_is_primary(view, d->leader))
		rg_text(buf, RG_TEXT_MAX, "the leader is not seen: %.180s", d->evidence);
	else
		return NULL;
	return buf;
}

/* NULL = ready; the reason is written then, too. */
static const char *
find_trouble(const RgView *view, const RgDecision *d, const RgChoice *choice, char *buf, char *ready)
{
	const char *trouble = cluster_trouble(view, d, buf);
	char		fence[RG_TEXT_MAX];
	char		outlast[RG_TEXT_MAX];
	bool		can_fence;
	bool		can_outlast;

	if (trouble == NULL)
		trouble = leader_trouble(view, d, buf);
	if (trouble != NULL)
		return trouble;
	if (choice->node < 0)
	{
		rg_text(buf, RG_TEXT_MAX, "nobody could take over: %.180s", choice->summary);
		return buf;
	}
	if (view->nodes[choice->node].ssh != RG_SSHV_READY && !view->settings.promote_sql)
	{
		rg_text(buf, RG_TEXT_MAX, "%s could not be promoted: no SSH session: %.150s",
				view->nodes[choice->node].name, view->nodes[choice->node].ssh_text);
		return buf;
	}
	can_fence = fence_trouble(view, d, fence) == NULL;
	can_outlast = outlast_trouble(view, d, outlast) == NULL;
	if (!can_fence && !can_outlast)
	{
		rg_text(buf, RG_TEXT_MAX, "%.120s; %.115s", fence, outlast);
		return buf;
	}
	rg_text(ready, RG_TEXT_MAX, "%s would take over%s%.190s", view->nodes[choice->node].name,
			!can_fence ? " when the lease of the leader has run out: " : !can_outlast ? "; but " : "",
			!can_fence ? fence : !can_outlast ? outlast : "");
	return NULL;
}

void
rg_ready(const RgView *view, RgDecision *d)
{
	RgChoice	choice;
	char		buf[RG_TEXT_MAX];
	const char *trouble;

	rg_choose_prospect(view, &d->memory, d->leader, &choice);
	for (int i = 0; i < view->nnodes; i++)
	{
		d->eligible[i] = choice.eligible[i];
		rg_text(d->candidate_reasons[i], RG_TEXT_MAX, "%s", choice.reasons[i]);
	}
	trouble = find_trouble(view, d, &choice, buf, d->ready_reason);
	d->ready = trouble == NULL;
	if (trouble != NULL)
		rg_text(d->ready_reason, RG_TEXT_MAX, "%s", trouble);
}
