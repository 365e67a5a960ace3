/*
 * status.c
 *	  The last decision and the view as JSON.
 */
#include "status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "json.h"
#include "record.h"
#include "status_rule.h"
#include "watchdog/base/clock.h"
#include "watchdog/core/trouble.h"
#include "watchdog/core/upstream.h"

static json_t *
lsn_json(uint64_t lsn)
{
	char		buf[32];

	if (lsn == 0)
		return json_null();
	rg_facts_format_lsn(lsn, buf, sizeof(buf));
	return json_string(buf);
}

static json_t *
known_int(int64_t value)
{
	return value < 0 ? json_null() : json_integer(value);
}

static const char *
ssh_name(const RgNodeView *v)
{
	switch (v->ssh)
	{
		case RG_SSHV_READY:
			return "ready";
		case RG_SSHV_SILENT:
		case RG_SSHV_BROKEN:
			return v->ssh_text[0] ? v->ssh_text : "broken";
		case RG_SSHV_UNKNOWN:
			break;
	}
	return "connecting";
}

/* primary, standby, or unknown where it was never seen */
static const char *
role_name(const RgCluster *c, int i)
{
	if (!c->view.nodes[i].facts.valid)
		return "unknown";
	return c->view.nodes[i].facts.in_recovery ? "standby" : "primary";
}

/* What is known of the gate: an answer that is no longer fresh tells nothing of it. */
static const char *
gate_name(const RgView *view, int i)
{
	if (!rg_view_answers(view, i))
		return "unknown";
	switch (view->nodes[i].facts.gate)
	{
		case RG_GATEV_OPEN:
			return "open";
		case RG_GATEV_CLOSED:
			return "closed";
		case RG_GATEV_OVERRIDE:
			return "override";
		case RG_GATEV_OFF:
			return "off";
		case RG_GATEV_UNKNOWN:
			break;
	}
	return "unknown";
}

static json_t *
disk_json(const RgFacts *f)
{
	return json_pack("{s:s,s:o,s:I,s:s}", "state", rg_disk_name(f->disk), "free_bytes",
					 f->disk == RG_DISKV_UNKNOWN ? json_null() : json_integer(f->disk_free_bytes),
					 "hung_ms", (json_int_t) f->disk_hung_ms, "text", f->disk_text);
}

/* As of now: it runs out while nobody answers, too. */
static json_t *
lease_left_json(const RgView *view, int i)
{
	const RgNodeView *v = &view->nodes[i];
	int64_t		left = v->facts.lease_left_ms;

	if (!v->facts.valid || left < 0)
		return json_null();
	left -= rg_clock_now_ms() - v->facts_ms;
	return json_integer(left > 0 ? left : 0);
}

/* The node that shows it as its standby, null where none does. */
static json_t *
source_json(const RgCluster *c, int i)
{
	for (int k = 0; k < c->nnodes; k++)
		if (rg_view_answers(&c->view, k) && (c->view.nodes[k].facts.streaming_from_us >> i & 1) != 0)
			return json_string(c->view.nodes[k].name);
	return json_null();
}

/* A part of what the node told of its slots; null = nothing. */
static json_t *
slots_json(const RgNode *node, const char *part)
{
	json_t	   *json = json_object_get(node->slots, part);

	return json != NULL ? json_incref(json) : json_null();
}

static json_t *
node_json(const RgCluster *c, int i)
{
	const RgNodeView *v = &c->view.nodes[i];
	const RgNode *node = c->nodes[i];
	const RgFacts *f = &v->facts;
	const RgDecision *d = &c->decision;
	bool		answers = rg_view_answers(&c->view, i);
	json_t	   *json = json_object();

#define SET(key, value) json = rg_json_set(json, key, value)
	SET("name", json_string(v->name));
	SET("host", json_string(c->config.nodes[i].host));
	SET("port", json_integer(c->config.nodes[i].port));
	SET("role", json_string(role_name(c, i)));
	SET("state", json_string(rg_node_state_name(d->states[i])));
	SET("writable", json_boolean(answers && f->writable));
	SET("gate", json_string(gate_name(&c->view, i)));
	SET("lease_left_ms", lease_left_json(&c->view, i));
	SET("timeline", f->timeline ? json_integer(f->timeline) : json_null());
	SET("receive_lsn", lsn_json(f->receive_lsn));
	SET("replay_lsn", lsn_json(f->replay_lsn));
	SET("flush_lsn", lsn_json(f->flush_lsn));
	SET("current_lsn", lsn_json(f->current_lsn));
	SET("replay_lag_bytes", known_int(f->valid ? f->replay_lag_bytes : -1));
	SET("replay_lag_ms", known_int(f->valid ? f->replay_lag_ms : -1));
	SET("walreceiver_state", json_string(node->has_last ? node->last.receiver_state : ""));
	SET("upstream", json_string(node->has_last ? node->last.upstream : ""));
	SET("upstream_node", v->upstream[0] ? json_string(v->upstream) : json_null());
	SET("streams_from", source_json(c, i));
	SET("voter", json_boolean(rg_rule_has_voter(&c->memory.rule, v->name)));
	SET("term", json_integer(f->rule.term));
	SET("promised_term", json_integer(f->promised_term));
	SET("priority", json_integer(c->config.nodes[i].priority));
	SET("weight", json_integer(c->config.nodes[i].weight));
	SET("last_seen_ms", v->facts_ms ? json_integer(rg_clock_now_ms() - v->facts_ms) : json_null());
	SET("reason", json_string(d->reasons[i]));
	SET("candidate", json_pack("{s:b,s:s}", "eligible", d->eligible[i] ? 1 : 0,
							   "reason", d->candidate_reasons[i]));
	SET("ssh", json_string(ssh_name(v)));
	SET("disk", disk_json(f));
	SET("crashes", json_integer(rg_trouble_crashes(&c->view, &c->memory, i)));
	SET("slots", slots_json(node, "physical"));
	SET("logical_slots", slots_json(node, "logical"));
#undef SET
	return json;
}

static int
job_percent(const RgJob *job)
{
	int64_t		percent = job->total > 0 ? job->bytes * 100 / job->total : 0;

	return percent > 100 ? 100 : (int) percent;
}

/* Until the verb under way is done, at the pace of late; -1 = not known. */
static int64_t
job_left_ms(const RgJob *job)
{
	if (job->state != RG_JOB_RUNNING || job->bytes_per_s <= 0 || job->total <= job->bytes)
		return -1;
	return (job->total - job->bytes) * 1000 / job->bytes_per_s;
}

static json_t *
job_json(const RgJob *job)
{
	json_t	   *json = json_pack("{s:I,s:s,s:s,s:s,s:s,s:I,s:I,s:i,s:s,s:i,s:b}", "id", (json_int_t) job->id,
								 "kind", rg_job_kind_name(job->kind), "node", job->node, "state", rg_job_state_name(job->state),
								 "phase", rg_job_phase_name(job->phase), "bytes", (json_int_t) job->bytes,
								 "total", (json_int_t) job->total, "percent", job_percent(job),
								 "message", job->message, "attempts", job->attempts,
								 "automatic", job->automatic ? 1 : 0);
	json_t	   *more;

	if (job->kind != RG_JOBKIND_REBUILD)
		return json;
	more = json_pack("{s:s,s:s,s:s,s:s,s:s,s:I,s:I,s:o,s:I,s:b}",
					 "method", rg_method_name(job->method), "using", rg_method_name(job->using),
					 "source", job->source, "activity", job->activity, "tried", job->tried,
					 "rate", (json_int_t) job->bytes_per_s, "rate_limit", (json_int_t) job->rate_kb * 1024,
					 "left_ms", known_int(job_left_ms(job)), "wal_bytes", (json_int_t) job->wal_bytes,
					 "cancelled", job->cancelled ? 1 : 0);
	if (json_object_update_new(json, more) == 0)
		return json;
	json_decref(json);
	return NULL;
}

json_t *
rg_status_jobs(const RgCluster *c)
{
	json_t	   *jobs = json_array();

	for (int i = 0; i < RG_JOBS_MAX; i++)
		if (c->memory.jobs[i].id != 0)
			jobs = rg_json_append(jobs, job_json(&c->memory.jobs[i]));
	return jobs;
}

json_t *
rg_status_json(const RgCluster *c)
{
	const RgDecision *d = &c->decision;
	const RgRule *rule = &c->memory.rule;
	json_t	   *nodes = json_array();
	json_t	   *status;
	char		started[32];

	(void) rg_clock_format(rg_clock_wall_ms() - rg_clock_now_ms() + c->view.started_ms, started,
						   sizeof(started));
	for (int i = 0; i < c->nnodes; i++)
		nodes = rg_json_append(nodes, node_json(c, i));
	status = json_pack("{s:s,s:I,s:s?,s:s,s:s,s:s,s:s,s:I,s:{s:b,s:b,s:s},s:{s:s,s:I,s:i,s:s,s:b,s:s},s:o,s:o,s:O?,s:O?}",
					 "cluster", c->config.name, "term", (json_int_t) c->memory.rule.term,
					 "leader", c->memory.rule.term ? c->memory.rule.leader : NULL,
					 "diagnosis", rg_diagnosis_name(c->memory.diagnosis),
					 "diagnosis_text", d->evidence[0] ? d->evidence
					 : rg_diagnosis_text(c->memory.diagnosis),
					 "trouble", d->trouble, "phase", rg_phase_name(c->memory.phase),
					 "lease_ms", (json_int_t) (rule->term ? rule->lease_ms : c->config.lease_ms), "auto_failover",
					 "enabled", c->config.auto_failover ? 1 : 0, "ready", d->ready ? 1 : 0,
					 "reason", d->ready_reason, "watchdog", "id", c->identity.id,
					 "counter", (json_int_t) c->identity.counter, "pid", (int) getpid(),
					 "started_at", started,
					 "in_doubt", c->view.maybe_restored && !c->memory.confirmed ? 1 : 0, "doubt", c->doubt,
					 "nodes", nodes, "jobs", rg_status_jobs(c),
					 "last_failover", c->last_failover, "last_switchover", c->last_switchover);
	return rg_status_rule(c, status);
}

/* pgpool-II's codes: 1 waiting, 2 up, 3 down */
static int
pool_status(RgNodeState state)
{
	switch (state)
	{
		case RG_STATE_OK:
		case RG_STATE_LAGGING:
			return 2;
		case RG_STATE_UNKNOWN:
		case RG_STATE_STARTING:
		case RG_STATE_RECOVERING:
			return 1;
		case RG_STATE_NOT_STREAMING:
		case RG_STATE_REBUILDING:
		case RG_STATE_FENCED:
		case RG_STATE_UNREACHABLE:
		case RG_STATE_DEAD:
		case RG_STATE_COUNT:
			break;
	}
	return 3;
}

static json_t *
publish_node(const RgCluster *c, int i, bool ages)
{
	const RgNodeView *v = &c->view.nodes[i];
	json_t	   *json = json_pack("{s:s,s:s,s:i,s:s,s:s,s:i,s:i,s:I,s:i,s:s}", "node_name", v->name,
								 "host", c->config.nodes[i].host, "port", c->config.nodes[i].port,
								 "role", role_name(c, i),
								 "state", rg_node_state_name(c->decision.states[i]),
								 "status", pool_status(c->decision.states[i]),
								 "lb_weight", c->config.nodes[i].weight,
								 "term", (json_int_t) v->facts.rule.term,
								 "timeline", (int) v->facts.timeline,
								 "reason", c->decision.reasons[i]);

	if (ages)
	{
		char		when[32];

		json = rg_json_set(json, "replay_lag_bytes", known_int(v->facts.valid ? v->facts.replay_lag_bytes : -1));
		/* their slots on the other standbys follow them there */
		if (v->facts.valid && v->facts.flush_lsn != 0)
			json = rg_json_set(json, "flush_lsn", lsn_json(v->facts.flush_lsn));
		if (v->facts_ms != 0)
			json = rg_json_set(json, "last_seen",
							   json_string(rg_clock_format(rg_clock_wall_ms() - rg_clock_now_ms() + v->facts_ms,
														   when, sizeof(when))));
	}
	return json;
}

/* Slots beside those of the voters: on which node, for which. */
static json_t *
publish_slots(const RgCluster *c)
{
	json_t	   *slots = json_array();

	for (int at = 0; at < c->nnodes; at++)
	{
		uint32_t	set = rg_upstream_slots(&c->view, &c->memory, at);

		for (int i = 0; i < c->nnodes; i++)
			if ((set >> i & 1) != 0)
				slots = rg_json_append(slots, json_pack("{s:s,s:s}", "at", c->view.nodes[at].name,
														"node", c->view.nodes[i].name));
	}
	return slots;
}

/* What jobs() says of a rebuild under way; with how far it is, which alone is no news. */
static const char *
publish_message(const RgJob *job, bool ages, char *buf, size_t size)
{
	int64_t		left_ms = job_left_ms(job);
	int			n;

	if (job->state != RG_JOB_RUNNING || job->kind != RG_JOBKIND_REBUILD)
		return job->message;
	n = snprintf(buf, size, "%s from %s%s%s", rg_job_phase_name(job->phase), job->source,
				 job->activity[0] ? ", " : "", job->activity);
	if (ages && job->total > 0 && n > 0 && (size_t) n < size)
		n += snprintf(buf + n, size - (size_t) n, ", %lld of %lld MB", (long long) (job->bytes >> 20),
					  (long long) (job->total >> 20));
	if (ages && left_ms >= 0 && n > 0 && (size_t) n < size)
		n += snprintf(buf + n, size - (size_t) n, ", %lld kB/s, %lld s left", (long long) (job->bytes_per_s >> 10),
					  (long long) (left_ms / 1000));
	if (job->message[0] != '\0' && n > 0 && (size_t) n < size)
		rg_text(buf + n, size - (size_t) n, ": %s", job->message);
	return buf;
}

json_t *
rg_status_publication(const RgCluster *c, bool ages)
{
	json_t	   *nodes = json_array();
	json_t	   *jobs = json_array();

	for (int i = 0; i < c->nnodes; i++)
		nodes = rg_json_append(nodes, publish_node(c, i, ages));
	for (int i = 0; i < RG_JOBS_MAX; i++)
	{
		const RgJob *job = &c->memory.jobs[i];
		char		message[RG_LONG_TEXT_MAX];
		json_t	   *json;

		if (job->id == 0)
			continue;
		json = json_pack("{s:I,s:s,s:s,s:s,s:s}", "id", (json_int_t) job->id,
						 "kind", rg_job_kind_name(job->kind), "node", job->node, "state", rg_job_state_name(job->state),
						 "message", publish_message(job, ages, message, sizeof(message)));
		/* percent of the copy; beside the message it says how far it is */
		if (ages && job->total > 0)
			json = rg_json_set(json, "progress", json_real((double) job->bytes * 100.0 / (double) job->total));
		jobs = rg_json_append(jobs, json);
	}
	return json_pack("{s:o,s:o,s:o}", "nodes", nodes, "jobs", jobs, "slots", publish_slots(c));
}

bool
rg_status_is_primary(const RgCluster *c, int node)
{
	RgPhase		phase = c->memory.phase;

	return node == c->decision.leader && rg_view_is_primary(&c->view, node) &&
		c->view.nodes[node].facts.writable &&
		(phase == RG_PHASE_STEADY || phase == RG_PHASE_ALARMED || phase == RG_PHASE_SUSPECTING ||
		 phase == RG_PHASE_WAITING || phase == RG_PHASE_UNDOING || phase == RG_PHASE_SWITCHING);
}

bool
rg_status_is_standby(const RgCluster *c, int node)
{
	RgNodeState state = c->decision.states[node];

	/* while the leader is replaced, standbys that answer go on serving reads */
	return node != c->decision.leader && rg_view_is_standby(&c->view, node) &&
		(state == RG_STATE_OK ||
		 (state == RG_STATE_NOT_STREAMING && c->memory.phase != RG_PHASE_STEADY));
}

void
rg_status_line(const RgCluster *c, char *buf, unsigned long size)
{
	rg_text(buf, size, "%s: leader %s, term %lld, %s; automatic failover: %s%.120s",
			c->config.name, c->memory.rule.term ? c->memory.rule.leader : "none",
			(long long) c->memory.rule.term, rg_diagnosis_name(c->memory.diagnosis),
			c->decision.ready ? "ready, " : "NO, because ", c->decision.ready_reason);
}

void
rg_status_farewell(const RgCluster *c, char *buf, unsigned long size)
{
	const RgRule *rule = &c->memory.rule;
	int			leader = rg_view_find(&c->view, rule->leader);
	int			needed = rg_rules_lease_quorum(rule->nvoters - 1);
	int			streaming = 0;

	buf[0] = '\0';
	if (rule->term == 0 || leader < 0 || !rg_view_is_primary(&c->view, leader))
		return;
	for (int i = 0; i < rule->nvoters; i++)
	{
		int			node = rg_view_find(&c->view, rule->voters[i]);

		streaming += node >= 0 && node != leader && (c->view.nodes[leader].facts.streaming_from_us >> node & 1) != 0;
	}
	if (streaming < needed)
		(void) snprintf(buf, size, "; %s will stop acknowledging writes in %lld ms: without regentd its lease needs %d "
						"standby%s, and %d stream%s", rule->leader, (long long) rule->lease_ms, needed,
						needed == 1 ? "" : "s", streaming, streaming == 1 ? "s" : "");
}
