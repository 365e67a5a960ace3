/*
 * status_rule.c
 *	  What the rule in force guarantees, and what is wanted of it, as JSON.
 *
 * The rule counts, not the configuration: before there is one, the latter is shown.
 */
#include "status_rule.h"

#include <stdio.h>
#include <string.h>

#include "json.h"
#include "watchdog/base/clock.h"
#include "watchdog/core/change.h"

/* Who is left out, or shall be; counted again, but not yet caught up: counted = true. */
static json_t *
left_out_json(const RgCluster *c)
{
	json_t	   *list = json_array();
	char		since[32];

	for (int i = 0; i < c->memory.nnodes; i++)
	{
		const RgNodeMemory *m = &c->memory.nodes[i];

		if (m->left_out)
			list = rg_json_append(list, json_pack("{s:s,s:s,s:s,s:b}", "node", m->name, "since",
												  rg_clock_format(m->out_wall_ms, since, sizeof(since)),
												  "reason", m->out_reason, "counted",
												  rg_rule_leaves_out(&c->memory.rule, m->name) ? 0 : 1));
	}
	return list;
}

/* What people asked for, whether it is so already or not. */
static json_t *
wanted_json(const RgCluster *c)
{
	const RgWish *wish = &c->memory.wish;
	json_t	   *wanted = json_pack("{s:s,s:i,s:n}", "durability",
								   wish->durability[0] ? wish->durability : c->memory.rule.durability,
								   "quorum", rg_change_wanted_quorum(&c->view, &c->memory), "voters");
	json_t	   *voters;

	if (wish->nvoters == 0)
		return wanted;
	voters = json_array();
	for (int i = 0; i < wish->nvoters; i++)
		voters = rg_json_append(voters, json_string(wish->voters[i]));
	return rg_json_set(wanted, "voters", voters);
}

/* The promise that a client has right now, in one sentence. */
static void
write_guarantee(const RgRule *rule, const RgSets *sets, bool in_force, char *buf, size_t size)
{
	int			counted = rg_sets_size(sets->counted);
	int			len;

	if (rule->term == 0)
		len = snprintf(buf, size, "no rule is known");
	else if (sets->is_async)
		len = snprintf(buf, size, "a commit is told when it is on %s alone: a failover may lose the last moments", rule->leader);
	else if (sets->quorum > counted)
		len = snprintf(buf, size, "commits wait: %d standbys have to flush them, and only %d are counted", sets->quorum, counted);
	else if (sets->quorum == 0)
		len = snprintf(buf, size, "all standbys are left out: a commit is on %s alone, and nobody takes over without it",
					   rule->leader);
	else
		len = snprintf(buf, size, "a commit is told when %d of %d standbys %s flushed it: no single failure loses it",
					   sets->quorum, counted, sets->quorum == 1 ? "has" : "have");
	if (!in_force && rule->term != 0 && (size_t) len < size)
		(void) snprintf(buf + len, size - (size_t) len, "; the rule before is still in question and counts as well");
}

bool
rg_status_in_force(const RgCluster *c)
{
	int			leader = rg_view_find(&c->view, c->memory.rule.leader);

	return leader >= 0 && c->view.nodes[leader].facts.settled && c->memory.asked.term == 0;
}

json_t *
rg_status_rule(const RgCluster *c, json_t *status)
{
	const RgRule *rule = &c->memory.rule;
	bool		in_force = rg_status_in_force(c);
	char		guarantee[320];
	RgSets		sets;

	rg_rule_sets(rule, rule->leader, &sets);
	write_guarantee(rule, &sets, in_force, guarantee, sizeof(guarantee));
	status = rg_json_set(status, "durability", json_string(rule->term ? rule->durability : c->config.durability));
	status = rg_json_set(status, "quorum", json_integer(rule->term ? rule->quorum : c->config.quorum));
	status = rg_json_set(status, "counted", json_integer(rg_sets_size(sets.counted)));
	status = rg_json_set(status, "left_out", left_out_json(c));
	status = rg_json_set(status, "rule_in_force", json_boolean(in_force));
	status = rg_json_set(status, "wanted", wanted_json(c));
	return rg_json_set(status, "guarantee", json_string(guarantee));
}
