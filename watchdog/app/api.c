/*
 * api.c
 *	  Answers from memory; orders are handed to orders.c.
 *
 * Every order can be tried first: with "dry_run" it is judged, nothing is done,
 * and the answer says what would be, or the refusal why not.
 */
#include "api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orders.h"
#include "status.h"
#include "status_rule.h"
#include "watchdog/base/utf8.h"
#include "watchdog/core/enlist.h"
#include "watchdog/core/explain.h"
#include "watchdog/core/order.h"
#include "watchdog/core/order_rule.h"

#define EXPLAIN_MAX (16 * 1024)

static void
fail(RgHttpReply *reply, int status, const char *error, const char *hint)
{
	reply->status = status;
	reply->json = json_pack("{s:s,s:s}", "error", error, "hint", hint);
}

static void
get_status(void *arg, const RgHttpRequest *req, RgHttpReply *reply)
{
	(void) req;
	reply->status = 200;
	reply->json = rg_status_json(arg);
}

static void
get_jobs(void *arg, const RgHttpRequest *req, RgHttpReply *reply)
{
	(void) req;
	reply->status = 200;
	reply->json = json_pack("{s:o}", "jobs", rg_status_jobs(arg));
}

static int64_t
query_int(const RgHttpRequest *req, const char *key, int64_t missing)
{
	const char *text = json_string_value(json_object_get(req->query, key));

	return text != NULL ? (int64_t) strtoll(text, NULL, 10) : missing;
}

static void
get_events(void *arg, const RgHttpRequest *req, RgHttpReply *reply)
{
	RgCluster  *c = arg;
	int64_t		limit = query_int(req, "limit", 100);

	if (limit < 1 || limit > RG_EVENTS_KEPT)
		limit = RG_EVENTS_KEPT;
	reply->status = 200;
	reply->json = rg_events_json(c->events, query_int(req, "after", 0), (int) limit);
}

/* Which nodes may be gone for good: from the rule in force. */
static bool
explain_quorum(RgCluster *c, RgHttpReply *reply, char *text)
{
	size_t		length;

	if (c->memory.rule.term == 0)
	{
		fail(reply, 409, "the cluster has no rule yet", "Run regent init.");
		return false;
	}
	length = (size_t) rg_explain_quorum(&c->memory.rule, text, EXPLAIN_MAX);
	if (!rg_status_in_force(c) && length < EXPLAIN_MAX)
		(void) snprintf(text + length, EXPLAIN_MAX - length,
						"\nThis rule does not count alone yet: the one before is still in question.  Leases, commits and recruits need both.\n");
	return true;
}

static void
get_explain(void *arg, const RgHttpRequest *req, RgHttpReply *reply)
{
	RgCluster  *c = arg;
	char	   *text = malloc(EXPLAIN_MAX);

	if (text == NULL)
	{
		fail(reply, 503, "out of memory", "");
		return;
	}
	if (json_object_get(req->query, "quorum") != NULL)
	{
		if (!explain_quorum(c, reply, text))
		{
			free(text);
			return;
		}
	}
	else if (json_object_get(req->query, "graph") != NULL)
		(void) rg_explain_graph(text, EXPLAIN_MAX);
	else
		(void) rg_explain(&c->view, &c->decision, text, EXPLAIN_MAX);
	rg_utf8_mend(text);			/* it may have been cut */
	reply->status = 200;
	reply->json = json_pack("{s:s}", "text", text);
	free(text);
}

/* {"node", "method"?, "from"?, "rate"? (bytes a second), "force"?} */
static bool
read_rebuild(const RgHttpRequest *req, RgRebuild *ret, RgHttpReply *reply)
{
	const char *node = json_string_value(json_object_get(req->body, "node"));
	const char *method = json_string_value(json_object_get(req->body, "method"));
	int64_t		rate = json_integer_value(json_object_get(req->body, "rate"));

	if (method == NULL)
		method = "auto";
	if (node == NULL)
		fail(reply, 400, "no node is named", "Name the node to rebuild: {\"node\": \"n1\"}.");
	else if (strcmp(rg_method_name(rg_method_find(method)), method) != 0)
		fail(reply, 400, "there is no such method", "Methods are auto, rewind, delta and copy.");
	else if (rate < 0)
		fail(reply, 400, "the rate is negative", "It is in bytes a second; 0: no limit but rebuild_rate.");
	else
	{
		*ret = (RgRebuild) {.node = node, .method = rg_method_find(method),
			.from = json_string_value(json_object_get(req->body, "from")),
			.rate_kb = (rate + 1023) / 1024, .force = json_is_true(json_object_get(req->body, "force"))};
		return true;
	}
	return false;
}

static void
post_rebuild(void *arg, const RgHttpRequest *req, RgHttpReply *reply)
{
	RgRebuild	rebuild;
	int64_t		job;
	RgError		err;

	if (!read_rebuild(req, &rebuild, reply))
		return;
	if (rg_orders_rebuild(arg, &rebuild, &job, &err) < 0)
		fail(reply, 409, err.message, err.hint);
	else
	{
		reply->status = 200;
		reply->json = json_pack("{s:I}", "job", (json_int_t) job);
	}
}

static void
post_cancel(void *arg, const RgHttpRequest *req, RgHttpReply *reply)
{
	int64_t		job = json_integer_value(json_object_get(req->body, "job"));
	RgError		err;

	if (job <= 0)
		fail(reply, 400, "no job is named", "Name it by its number: {\"job\": 1700000000000}; see /v1/jobs.");
	else if (rg_orders_cancel(arg, job, &err) < 0)
		fail(reply, 409, err.message, err.hint);
	else
	{
		reply->status = 200;
		reply->json = json_pack("{s:I}", "job", (json_int_t) job);
	}
}

static bool
is_dry_run(const RgHttpRequest *req)
{
	return json_is_true(json_object_get(req->body, "dry_run"));
}

static void
post_switchover(void *arg, const RgHttpRequest *req, RgHttpReply *reply)
{
	RgCluster  *c = arg;
	const char *node = json_string_value(json_object_get(req->body, "node"));
	char		target[RG_CORE_NAME_MAX] = "";
	char		why[RG_TEXT_MAX] = "";
	int64_t		job = 0;
	RgError		err;

	if (node == NULL)
		node = "";
	if (rg_order_switchover_refusal(&c->view, &c->memory, node, target, why) != NULL)
	{
		fail(reply, 409, why, "Nothing was changed.  See regent status and regent explain.");
		return;
	}
	if (!is_dry_run(req) && rg_orders_switchover(c, node, 0, &job, &err) < 0)
	{
		fail(reply, 409, err.message, err.hint);
		return;
	}
	reply->status = 200;
	reply->json = json_pack("{s:b,s:s,s:s,s:I}", "dry_run", is_dry_run(req) ? 1 : 0, "from", c->memory.rule.leader,
							"to", target, "job", (json_int_t) job);
}

static void
post_failover(void *arg, const RgHttpRequest *req, RgHttpReply *reply)
{
	RgCluster  *c = arg;
	const char *node = json_string_value(json_object_get(req->body, "node"));
	char		loss[RG_TEXT_MAX] = "";
	RgError		err;

	if (node == NULL || !json_is_true(json_object_get(req->body, "accept_loss")))
		fail(reply, 400, "a failover by hand names the node and accepts a loss",
			 "{\"node\": \"n2\", \"accept_loss\": true}; to move the role without loss: /v1/switchover.");
	else if (rg_order_accept_loss_refusal(&c->view, &c->memory, node, loss) != NULL)
		fail(reply, 409, loss, "Nothing was changed.  See regent status and regent explain.");
	else if (!is_dry_run(req) && rg_orders_accept_loss(c, node, loss, &err) < 0)
		fail(reply, 409, err.message, err.hint);
	else
	{
		reply->status = 200;
		reply->json = json_pack("{s:b,s:s,s:s}", "dry_run", is_dry_run(req) ? 1 : 0, "node", node, "loss", loss);
	}
}

static void
post_takeover(void *arg, const RgHttpRequest *req, RgHttpReply *reply)
{
	RgCluster  *c = arg;
	char		what[RG_TEXT_MAX] = "";
	RgError		err;

	if (rg_order_takeover_refusal(&c->view, &c->memory, what) != NULL)
		fail(reply, 409, what, "Nothing was changed.  See regent status.");
	else if (!is_dry_run(req) && rg_orders_takeover(c, what, &err) < 0)
		fail(reply, 409, err.message, err.hint);
	else
	{
		reply->status = 200;
		reply->json = json_pack("{s:b,s:s,s:s}", "dry_run", is_dry_run(req) ? 1 : 0, "watchdog", c->identity.id,
								"what", what);
	}
}

static void
post_node_add(void *arg, const RgHttpRequest *req, RgHttpReply *reply)
{
	RgCluster  *c = arg;
	const char *node = json_string_value(json_object_get(req->body, "node"));
	char		why[RG_TEXT_MAX] = "";
	int64_t		job = 0;
	RgError		err;

	if (node == NULL)
		fail(reply, 400, "no node is named", "Name the node to add: {\"node\": \"n4\"}.");
	else if (rg_orders_know_node(c, node, &err) < 0)
		fail(reply, 409, err.message, err.hint);	/* NOLINT(bugprone-branch-clone): what is between may not come before */
	else if (rg_enlist_add_refusal(&c->view, &c->memory, node, why) != NULL)
		fail(reply, 409, why, "Nothing was changed.  See regent status.");
	else if (!is_dry_run(req) && rg_orders_node_add(c, node, &job, &err) < 0)
		fail(reply, 409, err.message, err.hint);
	else
	{
		reply->status = 200;
		reply->json = json_pack("{s:b,s:s,s:I}", "dry_run", is_dry_run(req) ? 1 : 0, "node", node, "job", (json_int_t) job);
	}
}

static void
post_node_remove(void *arg, const RgHttpRequest *req, RgHttpReply *reply)
{
	RgCluster  *c = arg;
	const char *node = json_string_value(json_object_get(req->body, "node"));
	bool		lost = json_is_true(json_object_get(req->body, "lost"));
	char		what[RG_TEXT_MAX] = "";
	int64_t		job = 0;
	RgError		err;

	if (node == NULL)
		fail(reply, 400, "no node is named", "Name the node to remove: {\"node\": \"n4\"}.");
	else if (rg_enlist_remove_refusal(&c->view, &c->memory, node, lost, what) != NULL)
		fail(reply, 409, what, "Nothing was changed.  See regent status.");
	else if (!is_dry_run(req) && rg_orders_node_remove(c, node, lost, what, &job, &err) < 0)
		fail(reply, 409, err.message, err.hint);
	else
	{
		reply->status = 200;
		reply->json = json_pack("{s:b,s:s,s:s,s:I}", "dry_run", is_dry_run(req) ? 1 : 0, "node", node, "what", what,
								"job", (json_int_t) job);
	}
}

static void
post_reload(void *arg, const RgHttpRequest *req, RgHttpReply *reply)
{
	RgError		err;

	(void) req;
	if (rg_cluster_reread(arg, &err) < 0)
		fail(reply, 409, err.message, err.hint);
	else
	{
		reply->status = 200;
		reply->json = json_pack("{s:b}", "ok", 1);
	}
}

static void
post_set(void *arg, const RgHttpRequest *req, RgHttpReply *reply)
{
	RgCluster  *c = arg;
	const char *durability = json_string_value(json_object_get(req->body, "durability"));
	const json_t *quorum = json_object_get(req->body, "quorum");
	int			k = (int) json_integer_value(quorum);
	char		what[RG_TEXT_MAX] = "";
	RgError		err;

	if (durability == NULL && (!json_is_integer(quorum) || k < 1 || k > RG_CORE_NODES_MAX))
		fail(reply, 400, "neither a durability nor a quorum is named",
			 "{\"durability\": \"async\" or \"sync\" or \"strict\"}, or {\"quorum\": 1}: a number of standbys.");
	else if (rg_order_set_refusal(&c->view, &c->memory, durability, k, what) != NULL)
		fail(reply, 409, what, "Nothing was changed.  See regent status and regent explain --quorum.");
	else if (!is_dry_run(req) && rg_orders_set(c, durability, k, what, &err) < 0)
		fail(reply, 409, err.message, err.hint);
	else
	{
		reply->status = 200;
		reply->json = json_pack("{s:b,s:s}", "dry_run", is_dry_run(req) ? 1 : 0, "what", what);
	}
}

/* /node/NAME/primary and /node/NAME/standby: the status code is the answer */
static void
get_node(void *arg, const RgHttpRequest *req, RgHttpReply *reply)
{
	RgCluster  *c = arg;
	const char *slash = strchr(req->rest, '/');
	char		name[RG_NAME_MAX];
	int			node;
	bool		yes;

	if (slash == NULL || (size_t) (slash - req->rest) >= sizeof(name))
	{
		fail(reply, 404, "not found", "Ask for /node/NAME/primary or /node/NAME/standby.");
		return;
	}
	memcpy(name, req->rest, (size_t) (slash - req->rest));
	name[slash - req->rest] = '\0';
	node = rg_config_node(&c->config, name);
	if (node < 0 || (strcmp(slash, "/primary") != 0 && strcmp(slash, "/standby") != 0))
	{
		fail(reply, 404, "not found", "Ask for /node/NAME/primary or /node/NAME/standby.");
		return;
	}
	if (c->memory.phase == RG_PHASE_STARTING)
	{
		/* a regentd that has just started knows nothing yet: balancers must not cut sessions for that */
		fail(reply, 404, "not known yet", "regentd has just started, or the cluster has no rule: see regent status.");
		return;
	}
	yes = strcmp(slash, "/primary") == 0 ? rg_status_is_primary(c, node)
		: rg_status_is_standby(c, node);
	reply->status = yes ? 200 : 503;
	reply->json = json_pack("{s:s,s:s,s:I}", "node", name, "state",
							rg_node_state_name(c->decision.states[node]),
							"term", (json_int_t) c->memory.rule.term);
}

static const RgHttpRoute control_routes[] = {
	{"GET", "/v1/status", get_status},
	{"GET", "/v1/events", get_events},
	{"GET", "/v1/explain", get_explain},
	{"GET", "/v1/jobs", get_jobs},
	{"POST", "/v1/rebuild", post_rebuild},
	{"POST", "/v1/cancel", post_cancel},
	{"POST", "/v1/switchover", post_switchover},
	{"POST", "/v1/failover", post_failover},
	{"POST", "/v1/takeover", post_takeover},
	{"POST", "/v1/set", post_set},
	{"POST", "/v1/node/add", post_node_add},
	{"POST", "/v1/node/remove", post_node_remove},
	{"POST", "/v1/reload", post_reload},
	{"GET", "/node/", get_node},
	{NULL, NULL, NULL}
};

static const RgHttpRoute balancer_routes[] = {
	{"GET", "/node/", get_node},
	{"HEAD", "/node/", get_node},
	{"OPTIONS", "/node/", get_node},
	{NULL, NULL, NULL}
};

int
rg_api_open(RgCluster *c, RgError *err)
{
	int			ret = rg_http_listen_unix(c->base, c->config.control_socket, control_routes, c,
										  &c->control, err);

	if (ret == 0 && c->config.http_listen[0])
		ret = rg_http_listen_tcp(c->base, c->config.http_listen, balancer_routes, c, &c->http, err);
	return ret;
}
