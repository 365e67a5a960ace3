/*
 * act.c
 *	  From steps to statements and helper verbs.
 *
 * One table says how each kind of step is done: the statement or the verb,
 * its deadline, and who reads the answer.  Words for the helper are checked
 * names and numbers; no shell text is built here or anywhere.
 */
#include "act.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conninfo.h"
#include "node.h"
#include "watchdog/base/clock.h"

#define PROMISE_SERVER_MS 1500
#define FETCH_SERVER_MS 10000
#define STOP_DEADLINE_MS 70000	/* the helper's own bound is 60 s */
#define COPY_DEADLINE_MS (7 * 24 * 3600 * 1000)	/* the helper gives up by itself when nothing moves */
#define RATE_MS 2000			/* over which a rate is taken */
#define WORD_MAX 256
#define WORDS_MAX 12

/* A step under way. */
struct RgPending
{
	RgPending  *next;
	RgNode	   *node;
	RgStep		step;
	bool		by_primary;		/* a promise asked of a server that is not in recovery */
	json_t	   *answer;			/* last JSON line of the helper */
	RgSshCommand *command;		/* its channel, where it has one of its own */
};

typedef struct StepWay
{
	const char *sql;			/* NULL: over SSH */
	const char *verb;
	bool		with_term;		/* the verb takes the term */
	bool		with_source;	/* and the leader's address */
	int			deadline_ms;
} StepWay;

static const StepWay ways[RG_STEP_COUNT] = {
	[RG_STEP_PROBE] = {NULL, "probe", false, false, 3000},
	[RG_STEP_FENCE] = {NULL, "fence", true, false, 10000},
	[RG_STEP_PROMISE] = {"SELECT * FROM regent.promise($1::uuid, $2::bigint, $3::bigint, $4::bigint)",
		NULL, true, false, PROMISE_SERVER_MS + 1000},
	[RG_STEP_PROMOTE_SQL] = {"SELECT (s->>'in_recovery')::boolean AS in_recovery "
		"FROM regent.promote($1::uuid, $2::bigint, $3::bigint) AS s", NULL, true, false, 7000},
	[RG_STEP_PROMOTE_SSH] = {NULL, "promote", true, false, 10000},
	[RG_STEP_WRITE_RULE] = {"SELECT regent.write_rule($1::uuid, $2::bigint, $3::bigint, $4::int, $5::text, "
		"$6::text[], $7::text, $8::int, $11::text[], $9::bigint * interval '1 millisecond', NULL, $10::text)",
		NULL, true, false, 5000},
	[RG_STEP_FOLLOW] = {"SELECT regent.follow($1::uuid, $2::bigint, $3::bigint, $4::text, $5::text, $6::text)",
		NULL, true, false, 5000},
	[RG_STEP_FETCH] = {"SELECT * FROM regent.fetch_wal($1::uuid, $2::bigint, $3::bigint, $4::text, $5::text, $6::text, "
		"$7::pg_lsn, $8::bigint)", NULL, true, false, FETCH_SERVER_MS + 4000},
	[RG_STEP_START] = {NULL, "start", false, false, 120000},
	[RG_STEP_COPY] = {NULL, "copy", true, true, COPY_DEADLINE_MS},
	[RG_STEP_DELTA] = {NULL, "delta", true, true, COPY_DEADLINE_MS},
	[RG_STEP_REWIND] = {NULL, "rewind", true, true, COPY_DEADLINE_MS},
	[RG_STEP_SWAP] = {NULL, "swap", true, true, 300000},
	[RG_STEP_SETTLE] = {NULL, "settle", false, false, 1800000},
	[RG_STEP_UNSWAP] = {NULL, "unswap", false, false, 300000},
	[RG_STEP_DISCARD] = {NULL, "discard", false, false, 1800000},
	[RG_STEP_CHECKPOINT] = {"SELECT regent.checkpoint($1::uuid, $2::bigint, $3::bigint)", NULL, true, false,
		60000},
	[RG_STEP_FENCE_SQL] = {"SELECT regent.fence($1::uuid, $2::bigint, $3::bigint)", NULL, true, false, 5000},
	[RG_STEP_STOP] = {NULL, "stop", false, false, STOP_DEADLINE_MS},
	[RG_STEP_CLONE] = {NULL, "clone", true, true, 24 * 3600 * 1000},
	[RG_STEP_TAKEOVER] = {"SELECT regent.takeover($1::uuid, $2::bigint, $3::uuid)", NULL, false, false, 5000},
};

static RgOp *
op_of(const RgPending *p)
{
	return &p->node->cluster->view.nodes[p->node->index].ops[p->step.kind];
}

static void
release(RgPending *p)
{
	RgPending **at = &p->node->pending;

	while (*at != NULL && *at != p)
		at = &(*at)->next;
	if (*at == p)
		*at = p->next;
	json_decref(p->answer);
	free(p);
}

void
rg_act_forget(RgNode *node)
{
	while (node->pending != NULL)
		release(node->pending);
}

bool
rg_act_is_asking(const RgNode *node)
{
	for (const RgPending *p = node->pending; p != NULL; p = p->next)
		if (ways[p->step.kind].sql != NULL)
			return true;
	return false;
}

/* The step has ended: into the view, and a round. */
static void
ended(RgPending *p, RgOpState state, const char *text)
{
	RgOp	   *op = op_of(p);
	RgCluster  *c = p->node->cluster;

	if (op->term == p->step.key)
	{
		op->state = state;
		op->ended_ms = rg_clock_now_ms();
		rg_text(op->text, sizeof(op->text), "%s", text);
	}
	if (state != RG_OP_OK && p->step.kind != RG_STEP_PROBE)
		rg_log(c->log, RG_LOG_WARNING, "step_failed", c->config.name,
			   c->config.nodes[p->node->index].name, "%s, term %lld: %s",
			   rg_step_name(p->step.kind), (long long) p->step.term, text);
	release(p);
	rg_cluster_wake(c);
}

/* ---- over SQL ---- */

static void
take_promise(RgPending *p, const PGresult *res)
{
	RgNodeView *v = &p->node->cluster->view.nodes[p->node->index];
	RgPromise	promise;
	RgError		err;

	if (rg_facts_promise(res, p->step.term, &promise, &err) < 0)
	{
		ended(p, RG_OP_REFUSED, err.message);
		return;
	}
	promise.start = p->step.expect;
	promise.by_primary = p->by_primary;
	promise.at_ms = rg_clock_now_ms();
	promise.promoting_term = v->facts.promoting_term;
	v->promise = promise;
	ended(p, RG_OP_OK, "");
}

static void
on_sql(void *arg, const PGresult *res, const RgPgFailure *failure)
{
	RgPending  *p = arg;
	RgNode	   *node = p->node;

	if (res == NULL)
	{
		char		text[160];

		(void) snprintf(text, sizeof(text), "%s%s%.140s", failure->sqlstate,
						failure->sqlstate[0] ? ": " : "", failure->message);
		/* class 57: the session died under the statement, nobody knows what it did */
		ended(p, failure->why == RG_PG_SERVER && strncmp(failure->sqlstate, "57P", 3) != 0
			  ? RG_OP_REFUSED : RG_OP_LOST, text);
		return;
	}
	if (p->step.kind == RG_STEP_PROMISE || p->step.kind == RG_STEP_FETCH)
		take_promise(p, res);
	else if (p->step.kind == RG_STEP_PROMOTE_SQL &&
			 !(PQntuples(res) == 1 && strcmp(PQgetvalue(res, 0, 0), "f") == 0))
		ended(p, RG_OP_REFUSED, "still in recovery");
	else
		ended(p, RG_OP_OK, "");
	/* see the effect at once, not at the next interval */
	rg_node_beat(node);
}

/* A database in another encoding refuses a character that it has not, and a rule has to be written. */
static void
make_ascii(char *text)
{
	for (char *at = text; *at != '\0'; at++)
		if ((unsigned char) *at >= 0x80)
			*at = '?';
}

/* '{"n1","n2"}': names are [a-z0-9_] only, checked by the configuration */
static void
format_names(const RgRule *rule, uint32_t which, char *buf, size_t size)
{
	size_t		len = (size_t) snprintf(buf, size, "{");

	for (int i = 0; i < rule->nvoters && len < size; i++)
		if ((which >> i & 1) != 0)
			len += (size_t) snprintf(buf + len, size - len, "%s\"%s\"", len > 1 ? "," : "", rule->voters[i]);
	if (len < size)
		(void) snprintf(buf + len, size - len, "}");
}

static void
act_sql(RgPending *p, const StepWay *way)
{
	RgCluster  *c = p->node->cluster;
	RgPg	   *pg = rg_node_command_session(p->node);
	char		counter[24];
	char		term[24];
	char		number[24];
	char		quorum[16];
	char		lease[24];
	char		names[RG_NODES_MAX * (RG_NAME_MAX + 3) + 3];
	char		left_out[RG_NODES_MAX * (RG_NAME_MAX + 3) + 3];
	char		conninfo[RG_CONNINFO_MAX];
	char		slot[RG_NAME_MAX + 16];
	const char *values[11] = {c->identity.id, counter, term};
	int			n = 3;

	(void) snprintf(counter, sizeof(counter), "%lld", (long long) c->identity.counter);
	(void) snprintf(term, sizeof(term), "%lld", (long long) p->step.term);
	if (p->step.kind == RG_STEP_PROMISE)
	{
		(void) snprintf(number, sizeof(number), "%d", PROMISE_SERVER_MS);
		values[n++] = number;
	}
	else if (p->step.kind == RG_STEP_TAKEOVER)
		values[n - 1] = p->node->obeys;
	else if (p->step.kind == RG_STEP_FOLLOW || p->step.kind == RG_STEP_FETCH)
	{
		/* whom the term names, and where its WAL comes from */
		(void) rg_conninfo_replication(&c->config, p->node->index,
									   p->step.source >= 0 ? p->step.source : p->step.leader, conninfo,
									   sizeof(conninfo));
		(void) snprintf(slot, sizeof(slot), "regent_%s", c->config.nodes[p->node->index].name);
		values[n++] = c->config.nodes[p->step.leader].name;
		values[n++] = conninfo;
		values[n++] = slot;
		if (p->step.kind == RG_STEP_FETCH)
		{
			rg_facts_format_lsn(p->step.until_lsn, lease, sizeof(lease));
			(void) snprintf(number, sizeof(number), "%d", FETCH_SERVER_MS);
			values[n++] = lease;
			values[n++] = number;
		}
	}
	else if (p->step.kind == RG_STEP_WRITE_RULE)
	{
		RgRule	   *rule = &p->step.rule;

		make_ascii(rule->reason);
		(void) snprintf(number, sizeof(number), "%d", rule->seq);
		(void) snprintf(quorum, sizeof(quorum), "%d", rule->quorum);
		(void) snprintf(lease, sizeof(lease), "%lld", (long long) rule->lease_ms);
		format_names(rule, UINT32_MAX, names, sizeof(names));
		format_names(rule, rule->left_out, left_out, sizeof(left_out));
		values[n++] = number;
		values[n++] = rule->leader;
		values[n++] = names;
		values[n++] = rule->durability;
		values[n++] = quorum;
		values[n++] = lease;
		values[n++] = rule->reason;
		values[n++] = left_out;
	}
	if (p->step.kind == RG_STEP_TAKEOVER && p->node->obeys[0] == '\0')
		ended(p, RG_OP_FAILED, "it has not said whom it obeys");
	else if (pg == NULL || rg_pg_exec(pg, way->sql, n, values, way->deadline_ms, on_sql, p) < 0)
		ended(p, RG_OP_FAILED, "no SQL session");
}

/* ---- over SSH ---- */

/* How far the verb is, and how fast it went of late. */
static void
take_progress(RgNode *node, const json_t *json)
{
	RgNodeView *v = &node->cluster->view.nodes[node->index];
	int64_t		bytes = json_integer_value(json_object_get(json, "bytes"));
	const char *phase = json_string_value(json_object_get(json, "phase"));
	int64_t		now = rg_clock_now_ms();

	if (phase == NULL || strcmp(phase, v->copy_phase) != 0 || bytes < node->rate_bytes)
	{
		rg_text(v->copy_phase, sizeof(v->copy_phase), "%s", phase != NULL ? phase : "");
		node->rate_bytes = bytes;
		node->rate_ms = now;
		v->copy_rate = 0;
	}
	else if (now - node->rate_ms >= RATE_MS)
	{
		int64_t		rate = (bytes - node->rate_bytes) * 1000 / (now - node->rate_ms);

		v->copy_rate = v->copy_rate == 0 ? rate : (3 * v->copy_rate + rate) / 4;
		node->rate_bytes = bytes;
		node->rate_ms = now;
	}
	v->copy_bytes = bytes;
	v->copy_total = json_integer_value(json_object_get(json, "total"));
}

static void
on_line(void *arg, const char *line)
{
	RgPending  *p = arg;
	json_t	   *json = json_loads(line, JSON_REJECT_DUPLICATES, NULL);

	if (!json_is_object(json))
	{
		json_decref(json);
		return;
	}
	if (json_is_true(json_object_get(json, "progress")))
	{
		take_progress(p->node, json);
		json_decref(json);
		rg_cluster_wake(p->node->cluster);
		return;
	}
	json_decref(p->answer);
	p->answer = json;
}

/* A fence counts only from a helper that names our system and has left no process. */
static const char *
fence_fault(const RgPending *p)
{
	const char *sysid = json_string_value(json_object_get(p->answer, "system_identifier"));
	int64_t		ours = p->node->cluster->system_identifier;

	if (!json_is_true(json_object_get(p->answer, "fenced")) ||
		json_integer_value(json_object_get(p->answer, "left")) != 0)
		return "the helper does not say that it is fenced";
	if (sysid == NULL || ours == 0 || (int64_t) strtoull(sysid, NULL, 10) != ours)
		return "the helper fenced a directory with another system identifier";
	return NULL;
}

static void
take_answer(RgPending *p)
{
	RgNodeView *v = &p->node->cluster->view.nodes[p->node->index];
	const char *fault = NULL;
	RgError		err;

	if (p->step.kind == RG_STEP_PROBE)
	{
		RgProbe		probe;

		if (rg_facts_probe(p->answer, &probe, &err) < 0)
			fault = err.message;
		else
		{
			v->probe = probe;
			v->probe_ms = op_of(p)->began_ms;
		}
	}
	else if (p->step.kind == RG_STEP_FENCE)
	{
		fault = fence_fault(p);
		if (fault == NULL)
		{
			v->probe.valid = true;
			v->probe.postmaster = RG_PM_ABSENT;
			v->probe.fenced = true;
			v->probe_ms = rg_clock_now_ms();
		}
	}
	else if (p->step.kind == RG_STEP_REWIND || p->step.kind == RG_STEP_DELTA || p->step.kind == RG_STEP_COPY)
		rg_facts_diverged(p->answer, &v->diverged);
	ended(p, fault == NULL ? RG_OP_OK : RG_OP_REFUSED, fault == NULL ? "" : fault);
}

static void
on_command(void *arg, RgSshEnd end, int exit_status, const char *errors)
{
	RgPending  *p = arg;
	const char *error = json_string_value(json_object_get(p->answer, "error"));
	const char *detail = json_string_value(json_object_get(p->answer, "detail"));
	const char *hint = json_string_value(json_object_get(p->answer, "hint"));
	char		text[400];

	p->command = NULL;
	if (end == RG_SSH_NOT_SENT)
		ended(p, RG_OP_FAILED, "the SSH session ended before the command was sent");
	else if (end != RG_SSH_EXITED)
		ended(p, RG_OP_LOST, end == RG_SSH_TOO_MUCH ? "the helper wrote too much: cut off"
			  : "the SSH session was lost, or the deadline passed: outcome unknown");
	else if (exit_status == 0 && json_is_true(json_object_get(p->answer, "ok")))
		take_answer(p);
	else if (error != NULL)
	{
		(void) snprintf(text, sizeof(text), "%.40s%s%.220s%s%.130s", error,
						detail && detail[0] ? ": " : "", detail ? detail : "",
						hint && hint[0] ? "; " : "", hint ? hint : "");
		ended(p, RG_OP_REFUSED, text);
	}
	else if (exit_status == 126 || exit_status == 127)
		ended(p, RG_OP_REFUSED, "regent-node is not installed there, or may not be run");
	else if (exit_status > 128)
	{
		/* in the middle of whatever it did: a later verb may have ended it */
		(void) snprintf(text, sizeof(text), "the helper was killed by signal %d: outcome unknown", exit_status - 128);
		ended(p, RG_OP_LOST, text);
	}
	else
	{
		(void) snprintf(text, sizeof(text), "exit status %d without an answer%s%.100s", exit_status,
						errors[0] ? ": " : "", errors);
		ended(p, RG_OP_REFUSED, text);
	}
}

static void
act_ssh(RgPending *p, const StepWay *way)
{
	RgCluster  *c = p->node->cluster;
	const RgNodeConfig *n = &c->config.nodes[p->node->index];
	const char *words[WORDS_MAX];
	char		job[72];
	char		term[24];
	char		port[16];
	char		own_port[16];
	char		slot[RG_NAME_MAX + 16];
	char		rate[24];
	char		err[160];
	int			k = 0;

	(void) snprintf(term, sizeof(term), "%lld", (long long) p->step.term);
	words[k++] = way->verb;
	if (p->step.ticket > 0)
	{
		/* the rule under which it is sent, and its number: the node knows by it what is over */
		(void) snprintf(job, sizeof(job), "job=%lld.%d.%lld", (long long) p->step.term, p->step.rule_seq,
						(long long) p->step.ticket);
		words[k++] = job;
	}
	if (way->with_term)
		words[k++] = term;
	if (p->step.kind == RG_STEP_STOP)
	{
		/* with the term: one that comes late stops no standby */
		words[k++] = "fast";
		words[k++] = term;
	}
	if (p->step.kind == RG_STEP_CLONE)
	{
		/* where the new server is to listen */
		(void) snprintf(own_port, sizeof(own_port), "%d", n->port);
		words[k++] = n->host;
		words[k++] = own_port;
	}
	if (way->with_source)
	{
		const RgNodeConfig *leader = &c->config.nodes[p->step.leader];

		(void) snprintf(port, sizeof(port), "%d", leader->port);
		(void) snprintf(slot, sizeof(slot), "regent_%s", n->name);
		words[k++] = leader->name;
		words[k++] = leader->host;
		words[k++] = port;
		words[k++] = c->config.replication_user;
		words[k++] = c->config.replication_passfile[0] ? c->config.replication_passfile : "-";
		words[k++] = slot;
	}
	if ((p->step.kind == RG_STEP_COPY || p->step.kind == RG_STEP_DELTA || p->step.kind == RG_STEP_CLONE) && p->step.rate_kb > 0)
	{
		(void) snprintf(rate, sizeof(rate), "%lld", (long long) p->step.rate_kb);
		words[k++] = rate;
	}
	words[k] = NULL;
	if (rg_helper_run(p->node->helper, words, way->deadline_ms, on_line, on_command, p, &p->command,
					  err, sizeof(err)) < 0)
		ended(p, RG_OP_FAILED, err);
}

/* Ends the copy under way on the node; its own end tells what became of it. */
static void
abort_copy(RgPending *p)
{
	RgPending  *other = p->node->pending;

	while (other != NULL && other->step.kind != RG_STEP_COPY && other->step.kind != RG_STEP_DELTA)
		other = other->next;
	if (other != NULL && other->command != NULL)
		rg_ssh_cancel(other->command);
	ended(p, RG_OP_OK, "");
}

/* A new verb begins at nothing. */
static void
forget_progress(RgNode *node)
{
	RgNodeView *v = &node->cluster->view.nodes[node->index];

	v->copy_bytes = v->copy_total = v->copy_rate = 0;
	v->copy_phase[0] = '\0';
	memset(&v->diverged, 0, sizeof(v->diverged));
	node->rate_bytes = 0;
	node->rate_ms = rg_clock_now_ms();
}

void
rg_act(RgCluster *cluster, const RgStep *step)
{
	RgNode	   *node = cluster->nodes[step->node];
	RgNodeView *v = &cluster->view.nodes[step->node];
	RgOp	   *op = &v->ops[step->kind];
	const StepWay *way = &ways[step->kind];
	RgPending  *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return;
	p->node = node;
	p->step = *step;
	p->next = node->pending;
	node->pending = p;
	if (step->kind == RG_STEP_PROMISE)
	{
		p->step.expect = v->facts.start;
		p->by_primary = !v->facts.in_recovery;
	}
	if (op->term != step->key || step->kind == RG_STEP_PROBE)
		op->attempts = 0;
	op->attempts++;
	op->term = step->key;
	op->state = RG_OP_RUNNING;
	op->began_ms = rg_clock_now_ms();
	op->ended_ms = 0;
	if (step->kind == RG_STEP_COPY || step->kind == RG_STEP_DELTA || step->kind == RG_STEP_REWIND)
		forget_progress(node);
	if (step->kind == RG_STEP_ABORT)
		abort_copy(p);
	else if (way->sql != NULL)
		act_sql(p, way);
	else
		act_ssh(p, way);
}
