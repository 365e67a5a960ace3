/*
 * beat.c
 *	  Heartbeats: the question, the grant in it, and the answer.
 *
 * The grant is what the core allows at the moment of sending, with the memory that
 * is in the journal.  It is made in the clock of the node's last answer and names
 * that very server start, so one that is delayed grants nothing late.
 */
#include "node.h"

#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include "orders.h"
#include "watchdog/base/clock.h"
#include "watchdog/core/lease.h"

#define BEATS_PER_LEASE 10
#define INTERVAL_LEAST_MS 20

static const char heartbeat_sql[] =
	"SELECT *, extract(epoch FROM started_at)::bigint AS started_epoch "
	"FROM regent.heartbeat($1::uuid, $2::bigint, $3::uuid, $4::timestamptz, $5::bigint, $6::bigint)";

static RgNodeView *
view_of(RgNode *node)
{
	return &node->cluster->view.nodes[node->index];
}

int64_t
rg_node_interval_ms(const RgCluster *cluster)
{
	int64_t		ms = cluster->config.heartbeat_interval_ms;
	int64_t		rule_ms = cluster->memory.rule.lease_ms;
	int64_t		lease_ms = cluster->config.lease_ms;

	/* the rule's lease is the one in force, the configuration's the one that comes */
	if (rule_ms > 0 && rule_ms < lease_ms)
		lease_ms = rule_ms;
	if (ms > lease_ms / BEATS_PER_LEASE)
		ms = lease_ms / BEATS_PER_LEASE;
	return ms < INTERVAL_LEAST_MS ? INTERVAL_LEAST_MS : ms;
}

static int
beat_deadline_ms(const RgNode *node)
{
	int64_t		ms = 2 * rg_node_interval_ms(node->cluster);

	return (int) (ms < 1000 ? 1000 : ms);
}

static void
set_trouble(RgNode *node, RgSql sql, const char *text)
{
	RgNodeView *v = view_of(node);

	v->sql = sql;
	v->sql_ms = rg_clock_now_ms();
	v->sqlstate[0] = '\0';
	rg_text(v->sql_text, sizeof(v->sql_text), "%s", text);
}

/* Is this the server that the configuration means? */
static bool
is_ours(RgNode *node, const RgHeartbeat *hb)
{
	RgCluster  *c = node->cluster;
	char		text[160];

	if (strcmp(hb->node_name, node->cluster->config.nodes[node->index].name) != 0)
	{
		(void) snprintf(text, sizeof(text),
						"the server there has regent.node_name \"%.40s\" instead of \"%.40s\"",
						hb->node_name, node->cluster->config.nodes[node->index].name);
		set_trouble(node, RG_SQL_WRONG_SERVER, text);
		return false;
	}
	if (c->system_identifier == 0 && hb->facts.rule.term > 0)
		c->system_identifier = hb->facts.system_identifier;
	if (c->system_identifier != 0 && c->system_identifier != hb->facts.system_identifier)
	{
		(void) snprintf(text, sizeof(text), "system identifier %lld, the cluster's is %lld",
						(long long) hb->facts.system_identifier, (long long) c->system_identifier);
		set_trouble(node, RG_SQL_WRONG_SERVER, text);
		return false;
	}
	return true;
}

static void
take_requests(RgNode *node, json_t *requests)
{
	size_t		i;
	json_t	   *request;

	json_array_foreach(requests, i, request)
		rg_orders_request(node->cluster, request);
	json_decref(requests);
}

static void
on_heartbeat(void *arg, const PGresult *res, const RgPgFailure *failure)
{
	RgNode	   *node = arg;
	RgNodeView *v = view_of(node);
	RgHeartbeat hb;
	RgError		err;

	node->beat_waiting = false;
	if (res == NULL)
	{
		/* RG005: the server was restarted under our feet; ask without naming the start */
		if (strcmp(failure->sqlstate, "RG005") == 0)
			node->has_last = false;
		rg_node_take_failure(node, failure);
	}
	else if (rg_facts_heartbeat(res, &node->cluster->view, &hb, &err) < 0)
		set_trouble(node, RG_SQL_NO_EXTENSION, err.message);
	else if (is_ours(node, &hb))
	{
		v->facts = hb.facts;
		v->facts_ms = v->sql_ms = rg_clock_now_ms();
		v->sql = RG_SQL_OK;
		v->sqlstate[0] = v->sql_text[0] = '\0';
		v->lost_ms = 0;
		json_decref(node->slots);
		node->slots = hb.slots;
		node->last = hb;
		node->last.requests = node->last.slots = NULL;
		node->has_last = true;
		node->obeys[0] = '\0';
		take_requests(node, hb.requests);
	}
	else
	{
		json_decref(hb.requests);
		json_decref(hb.slots);
	}
	if (rg_pg_is_open(node->beat))
		rg_node_arm(node->beat_timer, rg_node_interval_ms(node->cluster));
	rg_cluster_wake(node->cluster);
}

/*
 * What the core grants this node now.  Only to the very server start of the last
 * answer, whose clock the grant is made in; never right after a gap in which we
 * did not run, before a round has looked.
 */
static bool
may_grant(RgNode *node, int64_t *ret_term, int64_t *ret_until_ms)
{
	RgCluster  *c = node->cluster;

	return node->has_last && !rg_cluster_has_slept(c) &&
		rg_lease_grant(&c->view, &c->memory, node->index, ret_term, ret_until_ms);
}

void
rg_node_beat(RgNode *node)
{
	RgCluster  *c = node->cluster;
	char		counter[24];
	char		term[24];
	char		until[24];
	const char *values[6] = {c->identity.id, counter, NULL, NULL, term, NULL};
	int64_t		grant_term = c->memory.rule.term;
	int64_t		until_ms = 0;

	if (!rg_pg_is_open(node->beat) || node->beat_waiting)
		return;
	if (may_grant(node, &grant_term, &until_ms))
	{
		(void) snprintf(until, sizeof(until), "%lld", (long long) until_ms);
		values[5] = until;
	}
	else
	{
		grant_term = c->memory.rule.term;
		until_ms = 0;
	}
	(void) snprintf(counter, sizeof(counter), "%lld", (long long) c->identity.counter);
	(void) snprintf(term, sizeof(term), "%lld", (long long) grant_term);
	if (node->has_last)
	{
		values[2] = node->last.echo.boot_id;
		values[3] = node->last.echo.started_at;
	}
	if (rg_pg_exec(node->beat, heartbeat_sql, 6, values, beat_deadline_ms(node), on_heartbeat,
				   node) != 0)
		return;
	node->beat_waiting = true;
	node->granted_until_ms = until_ms;
}

void
rg_node_grant_now(RgNode *node)
{
	const RgFacts *f = &view_of(node)->facts;
	int64_t		term;
	int64_t		until_ms;

	/* a grant that was still in the future when it arrived can't be bettered now */
	if (f->valid && f->gate == RG_GATEV_CLOSED && !node->beat_waiting &&
		node->granted_until_ms <= f->boottime_ms && may_grant(node, &term, &until_ms) &&
		until_ms > f->boottime_ms)
		rg_node_beat(node);
}
