/*
 * view.c
 *	  Small questions to a view.
 */
#include "view.h"

#include <string.h>

#define UNTRIED_MS 5000

bool
rg_rule_is_sync(const RgRule *rule)
{
	return strcmp(rule->durability, "sync") == 0 || strcmp(rule->durability, "strict") == 0;
}

int
rg_rule_voter(const RgRule *rule, const char *name)
{
	for (int i = 0; i < rule->nvoters; i++)
		if (strcmp(rule->voters[i], name) == 0)
			return i;
	return -1;
}

bool
rg_rule_has_voter(const RgRule *rule, const char *name)
{
	return rg_rule_voter(rule, name) >= 0;
}

bool
rg_rule_leaves_out(const RgRule *rule, const char *name)
{
	int			i = rg_rule_voter(rule, name);

	return i >= 0 && (rule->left_out >> i & 1) != 0;
}

void
rg_rule_sets(const RgRule *rule, const char *leader, RgSets *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (int i = 0; i < rule->nvoters; i++)
		if (strcmp(rule->voters[i], leader) != 0)
			ret->standbys |= UINT64_C(1) << i;
	ret->is_async = !rg_rule_is_sync(rule);
	ret->counted = ret->standbys & ~(uint64_t) rule->left_out;
	ret->quorum = ret->is_async ? 0 : rule->quorum;
}

int
rg_view_find(const RgView *view, const char *name)
{
	for (int i = 0; i < view->nnodes; i++)
		if (strcmp(view->nodes[i].name, name) == 0)
			return i;
	return -1;
}

bool
rg_view_answers(const RgView *view, int node)
{
	const RgNodeView *n = &view->nodes[node];
	int64_t		limit = 3 * view->settings.heartbeat_interval_ms;

	if (limit < 1000)
		limit = 1000;
	return n->sql == RG_SQL_OK && n->facts.valid && view->now_ms - n->facts_ms <= limit;
}

bool
rg_view_is_standby(const RgView *view, int node)
{
	return rg_view_answers(view, node) && view->nodes[node].facts.in_recovery;
}

bool
rg_view_is_primary(const RgView *view, int node)
{
	return rg_view_answers(view, node) && !view->nodes[node].facts.in_recovery;
}

bool
rg_view_is_untried(const RgView *view, int node)
{
	return view->nodes[node].sql == RG_SQL_UNKNOWN && view->now_ms - view->started_ms < UNTRIED_MS;
}

bool
rg_view_refuses_us(const RgView *view, int node)
{
	switch (view->nodes[node].sql)
	{
		case RG_SQL_SATURATED:
		case RG_SQL_LOGIN:
		case RG_SQL_NO_EXTENSION:
		case RG_SQL_WRONG_SERVER:
		case RG_SQL_OTHER_WATCHDOG:
		case RG_SQL_LOWER_COUNTER:
		case RG_SQL_ERROR:
			return true;
		case RG_SQL_UNKNOWN:
		case RG_SQL_OK:
		case RG_SQL_CLOSED:
		case RG_SQL_REFUSED:
		case RG_SQL_SILENT:
		case RG_SQL_UNREACHABLE:
		case RG_SQL_STARTING:
			break;
	}
	return false;
}

bool
rg_view_said_it_died(const RgView *view, int node)
{
	const RgNodeView *n = &view->nodes[node];

	return n->lost_ms != 0 && n->died_ms != 0 && n->died_ms >= n->lost_ms - 2000 &&
		n->died_ms > n->purpose_ms;
}

bool
rg_view_says_it_died(const RgView *view, int node)
{
	return view->nodes[node].sql == RG_SQL_REFUSED && rg_view_said_it_died(view, node);
}

int64_t
rg_view_received_ms(const RgView *view, int node)
{
	const RgNodeView *n = &view->nodes[node];

	if (!n->facts.valid)
		return 0;
	if (n->facts.wal_age_ms >= 0)
		return n->facts_ms - n->facts.wal_age_ms;
	return n->facts.message_age_ms < 0 ? 0 : n->facts_ms - n->facts.message_age_ms;
}

/*
 * The helper reads seconds from postmaster.pid, the server tells the time of
 * its own later clock reading: two seconds apart is the same start.
 */
bool
rg_start_equal(const RgServerStart *a, const RgServerStart *b)
{
	int64_t		apart = a->started_s - b->started_s;

	return a->pid != 0 && a->pid == b->pid &&
		strcmp(a->boot_id, b->boot_id) == 0 && apart >= -2 && apart <= 2;
}

uint64_t
rg_facts_held_lsn(const RgFacts *facts)
{
	return facts->receive_lsn > facts->replay_lsn ? facts->receive_lsn : facts->replay_lsn;
}

int
rg_view_outdated_by(const RgView *view)
{
	for (int i = 0; i < view->nnodes; i++)
		if (view->nodes[i].sql == RG_SQL_LOWER_COUNTER)
			return i;
	return -1;
}
