/*
 * orders.c
 *	  Orders of people: judged by the core, journalled, then left to the rounds.
 *
 * The core changes a copy of the memory; it becomes ours when it is on disk, so
 * that no heartbeat and no step ever goes by an order that a restart forgets.
 */
#include "orders.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "watchdog/core/enlist.h"
#include "watchdog/core/job.h"
#include "watchdog/core/order.h"
#include "watchdog/core/order_rule.h"

/* A copy of the memory to change; NULL when out of memory. */
static RgMemory *
copy_memory(const RgCluster *c, RgError *err)
{
	RgMemory   *m = malloc(sizeof(*m));

	if (m == NULL)
		(void) rg_error_set(err, RGE_NOMEM, "out of memory");
	else
		*m = c->memory;
	return m;
}

static int
refuse(RgError *err, const char *why)
{
	(void) rg_error_set(err, RGE_STATE, "%s", why);
	rg_error_hint(err, "See regent status and regent explain.");
	return RGE_STATE;
}

/* A request of a node is told again until it has seen the job: once is enough. */
static bool
is_known(const RgCluster *c, int64_t id)
{
	for (int i = 0; id != 0 && i < RG_JOBS_MAX; i++)
		if (c->memory.jobs[i].id == id)
			return true;
	return false;
}

/* A refused request of a node stays as a failed job, so that whoever asked can read why. */
static void
keep_refused(RgCluster *c, RgJobKind kind, const char *node, int64_t id, const char *why)
{
	if (id != 0)
		rg_job_add_failed(&c->memory, &c->view, kind, node, id, why);
}

/* What the core made of the order in m: ours when it is on disk, or refused with its reason. */
static int
settle(RgCluster *c, RgMemory *m, bool is_accepted, const char *why, RgError *err)
{
	int			ret = is_accepted ? rg_cluster_set_memory(c, m, err) : refuse(err, why);

	free(m);
	return ret;
}

int
rg_orders_rebuild(RgCluster *c, const RgRebuild *rebuild, int64_t *ret_job, RgError *err)
{
	char		why[RG_TEXT_MAX];
	const char *refusal;
	RgMemory   *m;
	int			ret = 0;

	if (is_known(c, rebuild->id))
		return 0;
	if ((refusal = rg_job_refusal(&c->view, &c->memory, rebuild, why)) != NULL)
	{
		keep_refused(c, RG_JOBKIND_REBUILD, rebuild->node, rebuild->id, refusal);
		return refuse(err, refusal);
	}
	m = copy_memory(c, err);
	if (m == NULL)
		return RGE_NOMEM;
	if (!rg_job_add(m, &c->view, rebuild))
		ret = rg_error_set(err, RGE_LIMIT, "too many jobs: %d are waiting already", RG_JOBS_MAX);
	else
		ret = rg_cluster_set_memory(c, m, err);
	free(m);
	if (ret == 0)
	{
		rg_cluster_tell(c, RG_EVENT_REBUILD_QUEUED, rg_view_find(&c->view, rebuild->node), false,
						"rebuild of %s was asked for: method %s", rebuild->node, rg_method_name(rebuild->method));
		if (ret_job != NULL)
			*ret_job = rg_memory_job(&c->memory, rebuild->node)->id;
	}
	return ret;
}

int
rg_orders_cancel(RgCluster *c, int64_t id, RgError *err)
{
	char		why[RG_TEXT_MAX] = "";
	RgMemory   *m = copy_memory(c, err);

	if (m == NULL)
		return RGE_NOMEM;
	return settle(c, m, rg_job_cancel(&c->view, m, id, why) == NULL, why, err);
}

int
rg_orders_switchover(RgCluster *c, const char *node, int64_t id, int64_t *ret_job, RgError *err)
{
	char		why[RG_TEXT_MAX] = "";
	RgMemory   *m;
	bool		is_accepted;
	int			ret;

	if (is_known(c, id))
		return 0;
	m = copy_memory(c, err);
	if (m == NULL)
		return RGE_NOMEM;
	is_accepted = rg_order_switchover(&c->view, m, node, id, why);
	if (!is_accepted)
	{
		keep_refused(c, RG_JOBKIND_SWITCHOVER, node, id, why);
		rg_cluster_tell(c, RG_EVENT_SWITCHOVER_REFUSED, -1, false, "%s", why);
	}
	ret = settle(c, m, is_accepted, why, err);
	if (ret == 0 && ret_job != NULL)
	{
		const RgJob *job = rg_memory_switchover(&c->memory);

		*ret_job = job != NULL ? job->id : 0;
	}
	return ret;
}

int
rg_orders_accept_loss(RgCluster *c, const char *node, char *ret_loss, RgError *err)
{
	RgMemory   *m = copy_memory(c, err);
	int			ret;

	if (m == NULL)
		return RGE_NOMEM;
	ret = settle(c, m, rg_order_accept_loss(&c->view, m, node, ret_loss), ret_loss, err);
	if (ret == 0)
		rg_cluster_tell(c, RG_EVENT_LOSS_ACCEPTED, rg_view_find(&c->view, node), true,
						"the operator accepts a loss to promote %s: %.180s", node, ret_loss);
	return ret;
}

int
rg_orders_takeover(RgCluster *c, char *ret_what, RgError *err)
{
	RgMemory   *m = copy_memory(c, err);
	int			ret;

	if (m == NULL)
		return RGE_NOMEM;
	ret = settle(c, m, rg_order_takeover(&c->view, m, ret_what), ret_what, err);
	if (ret == 0)
		rg_cluster_tell(c, RG_EVENT_TAKEOVER, -1, true,
						"the operator says that no other watchdog acts on this cluster: %.180s", ret_what);
	return ret;
}

/* The id of the job that an order has just queued for this node. */
static int64_t
newest_job(const RgCluster *c, const char *node)
{
	int64_t		id = 0;

	for (int i = 0; i < RG_JOBS_MAX; i++)
		if (c->memory.jobs[i].id > id && strcmp(c->memory.jobs[i].node, node) == 0)
			id = c->memory.jobs[i].id;
	return id;
}

int
rg_orders_know_node(RgCluster *c, const char *node, RgError *err)
{
	return rg_config_node(&c->config, node) >= 0 ? 0 : rg_cluster_reread(c, err);
}

int
rg_orders_node_add(RgCluster *c, const char *node, int64_t *ret_job, RgError *err)
{
	char		why[RG_TEXT_MAX] = "";
	RgMemory   *m = copy_memory(c, err);
	bool		is_accepted;
	int			ret;

	if (m == NULL)
		return RGE_NOMEM;
	is_accepted = rg_enlist_add(&c->view, m, node, why);
	ret = settle(c, m, is_accepted, why, err);
	if (ret == 0)
	{
		*ret_job = newest_job(c, node);
		rg_cluster_tell(c, RG_EVENT_NODE_ADD, rg_view_find(&c->view, node), false, "%s is to be added to the cluster", node);
	}
	return ret;
}

int
rg_orders_node_remove(RgCluster *c, const char *node, bool lost, char *ret_what, int64_t *ret_job, RgError *err)
{
	RgMemory   *m = copy_memory(c, err);
	bool		is_accepted;
	int			ret;

	if (m == NULL)
		return RGE_NOMEM;
	is_accepted = rg_enlist_remove(&c->view, m, node, lost, ret_what);
	ret = settle(c, m, is_accepted, ret_what, err);
	if (ret == 0)
	{
		*ret_job = newest_job(c, node);
		rg_cluster_tell(c, RG_EVENT_NODE_REMOVE, rg_view_find(&c->view, node), lost, "%s is to be removed%s", node,
						lost ? ": the operator says that it is gone for ever" : "");
	}
	return ret;
}

int
rg_orders_set(RgCluster *c, const char *durability, int quorum, char *ret_what, RgError *err)
{
	RgMemory   *m = copy_memory(c, err);
	int			ret;

	if (m == NULL)
		return RGE_NOMEM;
	ret = settle(c, m, rg_order_set(&c->view, m, durability, quorum, ret_what), ret_what, err);
	if (ret == 0)
		rg_cluster_tell(c, RG_EVENT_RULE_WANTED, -1, false, "somebody asks for %.200s", ret_what);
	return ret;
}

/* A request of a node in SQL: its words were checked there, and are again. */
void
rg_orders_request(RgCluster *c, const json_t *request)
{
	const char *kind = json_string_value(json_object_get(request, "kind"));
	const char *node = json_string_value(json_object_get(request, "node"));
	const char *method = json_string_value(json_object_get(request, "method"));
	int64_t		id = json_integer_value(json_object_get(request, "id"));
	bool		is_rebuild = kind != NULL && strcmp(kind, "rebuild") == 0;
	RgError		err;
	int			ret;

	if (kind == NULL || id <= 0 || (!is_rebuild && strcmp(kind, "switchover") != 0))
		return;
	if (node == NULL)
		node = "";
	if (is_rebuild)
	{
		const RgRebuild rebuild = {.node = node, .id = id, .method = rg_method_find(method != NULL ? method : "")};

		ret = rg_orders_rebuild(c, &rebuild, NULL, &err);
	}
	else
		ret = rg_orders_switchover(c, node, id, NULL, &err);
	if (ret < 0)
		rg_log_error(c->log, RG_LOG_WARNING, is_rebuild ? "rebuild_failed" : "switchover_refused", c->config.name,
					 node, &err);
}
