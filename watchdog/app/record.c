/*
 * record.c
 *	  Memory to JSON and back, field by field.
 */
#include "record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "facts.h"
#include "json.h"
#include "watchdog/base/clock.h"
#include "watchdog/core/phase.h"

static void
get_text(const json_t *json, const char *key, char *buf, size_t size)
{
	const char *text = json_string_value(json_object_get(json, key));

	rg_text(buf, size, "%s", text != NULL ? text : "");
}

static int64_t
get_int(const json_t *json, const char *key)
{
	return json_integer_value(json_object_get(json, key));
}

json_t *
rg_record_rule(const RgRule *rule)
{
	json_t	   *voters;
	json_t	   *left_out;

	if (rule->term == 0)
		return json_null();
	voters = json_array();
	left_out = json_array();
	for (int i = 0; i < rule->nvoters; i++)
	{
		voters = rg_json_append(voters, json_string(rule->voters[i]));
		if ((rule->left_out >> i & 1) != 0)
			left_out = rg_json_append(left_out, json_string(rule->voters[i]));
	}
	return json_pack("{s:I,s:i,s:s,s:o,s:s,s:i,s:o,s:I,s:s,s:s}", "term", (json_int_t) rule->term,
					 "seq", rule->seq, "leader", rule->leader, "voters", voters,
					 "durability", rule->durability, "quorum", rule->quorum, "left_out", left_out,
					 "lease_ms", (json_int_t) rule->lease_ms, "watchdog", rule->watchdog,
					 "reason", rule->reason);
}

static json_t *
record_start(const RgServerStart *start)
{
	return json_pack("{s:s,s:i,s:I}", "boot_id", start->boot_id, "pid", start->pid,
					 "started", (json_int_t) start->started_s);
}

static void
read_start(const json_t *json, RgServerStart *start)
{
	get_text(json, "boot_id", start->boot_id, sizeof(start->boot_id));
	start->pid = (int) get_int(json, "pid");
	start->started_s = get_int(json, "started");
}

static json_t *
record_position(const RgPosition *p)
{
	char		lsn[32];

	rg_facts_format_lsn(p->lsn, lsn, sizeof(lsn));
	return json_pack("{s:I,s:i,s:I,s:s}", "rule_term", (json_int_t) p->rule_term, "rule_seq", p->rule_seq,
					 "timeline", (json_int_t) p->timeline, "lsn", lsn);
}

static void
read_position(const json_t *json, RgPosition *p)
{
	const char *lsn = json_string_value(json_object_get(json, "lsn"));

	p->rule_term = get_int(json, "rule_term");
	p->rule_seq = (int) get_int(json, "rule_seq");
	p->timeline = (uint32_t) get_int(json, "timeline");
	if (lsn != NULL)
		(void) rg_facts_lsn(lsn, &p->lsn);
}

static json_t *
record_left_out(const RgNodeMemory *n)
{
	return json_pack("{s:I,s:i,s:I,s:s}", "term", (json_int_t) n->out_term, "seq", n->out_seq, "since",
					 (json_int_t) n->out_wall_ms, "reason", n->out_reason);
}

static void
read_left_out(const json_t *json, RgNodeMemory *n)
{
	n->left_out = json_is_object(json);
	n->out_term = get_int(json, "term");
	n->out_seq = (int) get_int(json, "seq");
	n->out_wall_ms = get_int(json, "since");
	get_text(json, "reason", n->out_reason, sizeof(n->out_reason));
}

static json_t *
record_wish(const RgWish *wish)
{
	json_t	   *voters = json_array();

	for (int i = 0; i < wish->nvoters; i++)
		voters = rg_json_append(voters, json_string(wish->voters[i]));
	return json_pack("{s:s,s:i,s:o}", "durability", wish->durability, "quorum", wish->quorum, "voters", voters);
}

static void
read_wish(const json_t *json, RgWish *wish)
{
	const json_t *voters = json_object_get(json, "voters");

	get_text(json, "durability", wish->durability, sizeof(wish->durability));
	wish->quorum = (int) get_int(json, "quorum");
	for (size_t i = 0; i < json_array_size(voters) && i < RG_CORE_NODES_MAX; i++)
		rg_text(wish->voters[wish->nvoters++], RG_CORE_NAME_MAX, "%s",
				json_string_value(json_array_get(voters, i)) ? json_string_value(json_array_get(voters, i)) : "");
}

static json_t *
record_crashes(const RgNodeMemory *n)
{
	json_t	   *crashes = json_array();

	for (int i = 0; i < n->ncrashes; i++)
		crashes = rg_json_append(crashes, json_integer(n->crashes_ms[i]));
	return crashes;
}

static json_t *
record_node(const RgNodeMemory *n)
{
	return json_pack("{s:s,s:o,s:I,s:I,s:b,s:b,s:i,s:o,s:I,s:I,s:I,s:i,s:b,s:b,s:b,s:i,s:s,s:b,s:b,s:b,s:o,s:o}", "name", n->name, "shown", record_start(&n->shown),
					 "fenced_term", (json_int_t) n->fenced_term, "fencing_term", (json_int_t) n->fencing_term, "must_end", n->must_end ? 1 : 0,
					 "ended", n->ended ? 1 : 0, "rebuilds", n->rebuilds,
					 "admitted", record_start(&n->admitted), "purpose_ms", (json_int_t) n->purpose_ms,
					 "owes_lsn", (json_int_t) n->owes_lsn, "swap_term", (json_int_t) n->swap_term, "swap_seq", n->swap_seq,
					 "ungated", n->ungated ? 1 : 0, "stale", n->stale ? 1 : 0, "strayed",
					 n->strayed ? 1 : 0, "half_rewound", (int) n->half_rewound, "intruder", n->intruder, "declared_lost", n->declared_lost ? 1 : 0,
					 "joined", n->joined ? 1 : 0, "removed", n->removed ? 1 : 0,
					 "left_out", n->left_out ? record_left_out(n) : json_null(),
					 "crashes", record_crashes(n));
}

static json_t *
record_job(const RgJob *job)
{
	return json_pack("{s:I,s:s,s:s,s:s,s:s,s:b,s:b,s:b,s:s,s:s,s:i,s:I,s:I,s:I,s:I,s:I,s:s,s:s,s:s,s:s}", "id", (json_int_t) job->id,
					 "kind", rg_job_kind_name(job->kind), "node", job->node, "state", rg_job_state_name(job->state),
					 "phase", rg_job_phase_name(job->phase), "automatic", job->automatic ? 1 : 0,
					 "cancelled", job->cancelled ? 1 : 0, "resumed", job->resumed ? 1 : 0, "method", rg_method_name(job->method),
					 "using", rg_method_name(job->using), "attempts", job->attempts,
					 "rate_kb", (json_int_t) job->rate_kb, "term", (json_int_t) job->term,
					 "created_ms", (json_int_t) job->created_ms, "phase_ms", (json_int_t) job->phase_ms,
					 "ended_ms", (json_int_t) job->ended_ms, "from", job->from, "source", job->source,
					 "tried", job->tried, "message", job->message);
}

static json_t *
record_times(const RgTimes *t)
{
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I}", "lost", (json_int_t) t->lost_ms,
					 "called", (json_int_t) t->called_ms, "fenced", (json_int_t) t->fenced_ms,
					 "recruited", (json_int_t) t->recruited_ms,
					 "promoted", (json_int_t) t->promoted_ms, "ruled", (json_int_t) t->ruled_ms);
}

/* Kept and shown alike; null where nothing is known. */
static json_t *
record_loss(const RgLoss *loss)
{
	char		from[32];
	char		to[32];

	if (loss->from_lsn == 0)
		return json_null();
	rg_facts_format_lsn(loss->from_lsn, from, sizeof(from));
	rg_facts_format_lsn(loss->to_lsn, to, sizeof(to));
	return json_pack("{s:s,s:s,s:I,s:b,s:I,s:s}", "from_lsn", from, "to_lsn", to, "bytes", (json_int_t) loss->bytes,
					 "measured", loss->measured ? 1 : 0, "transactions", (json_int_t) loss->transactions, "kept", loss->kept);
}

static void
read_loss(const json_t *json, RgLoss *loss)
{
	const char *from = json_string_value(json_object_get(json, "from_lsn"));
	const char *to = json_string_value(json_object_get(json, "to_lsn"));

	if (from == NULL || to == NULL || !rg_facts_lsn(from, &loss->from_lsn) || !rg_facts_lsn(to, &loss->to_lsn))
		return;
	loss->bytes = get_int(json, "bytes");
	loss->measured = json_is_true(json_object_get(json, "measured"));
	loss->transactions = get_int(json, "transactions");
	get_text(json, "kept", loss->kept, sizeof(loss->kept));
}

/* How the failover at hand, or the last one, is kept. */
static json_t *
record_failover(const RgFailover *f)
{
	return json_pack("{s:I,s:s,s:s,s:s,s:b,s:I,s:I,s:s,s:o,s:o}", "term", (json_int_t) f->term, "from", f->from,
					 "to", f->to, "diagnosis", rg_diagnosis_name(f->diagnosis), "planned", f->planned ? 1 : 0,
					 "at_wall_ms", (json_int_t) f->at_wall_ms, "bound_ms", (json_int_t) f->bound_ms,
					 "given_up", f->given_up, "loss", record_loss(&f->loss), "times", record_times(&f->times));
}

/* How it is shown. */
json_t *
rg_record_failover(const RgFailover *f)
{
	const RgTimes *t = &f->times;
	char		when[32];

	return json_pack("{s:I,s:s,s:s,s:s,s:s,s:s,s:o,s:I,s:{s:I,s:I,s:I,s:I,s:I,s:I}}",
					 "term", (json_int_t) f->term, "from", f->from, "to", f->to,
					 "at", rg_clock_format(f->at_wall_ms, when, sizeof(when)), "diagnosis", rg_diagnosis_name(f->diagnosis),
					 "given_up", f->given_up, "loss", record_loss(&f->loss),
					 "outage_ms", (json_int_t) (t->promoted_ms - t->lost_ms), "phases",
					 "detect_ms", (json_int_t) (t->called_ms - t->lost_ms),
					 "bound_ms", (json_int_t) f->bound_ms,
					 "fence_ms", (json_int_t) (t->fenced_ms != 0 ? t->fenced_ms - t->called_ms : 0),
					 "recruit_ms", (json_int_t) (t->recruited_ms - t->called_ms),
					 "promote_ms", (json_int_t) (t->promoted_ms - t->recruited_ms),
					 "rule_ms", (json_int_t) (t->ruled_ms - t->promoted_ms));
}

json_t *
rg_record_switchover(const RgFailover *f)
{
	const RgTimes *t = &f->times;
	char		when[32];

	/* a healthy leader was asked to; one in trouble was not waited for */
	return json_pack("{s:b,s:I,s:s,s:s,s:s,s:I,s:s,s:s}", "ok", 1, "term", (json_int_t) f->term, "from", f->from, "to", f->to,
					 "cause", f->diagnosis == RG_DIAG_HEALTHY ? "" : rg_diagnosis_name(f->diagnosis),
					 "gap_ms", (json_int_t) (t->ruled_ms - t->lost_ms),
					 "at", rg_clock_format(f->at_wall_ms, when, sizeof(when)), "reason", "");
}

json_t *
rg_record_switchover_failed(const char *from, const RgJob *job, int64_t at_wall_ms)
{
	char		when[32];

	return json_pack("{s:b,s:s,s:s,s:n,s:s,s:s}", "ok", 0, "from", from, "to", job->node, "gap_ms",
					 "at", rg_clock_format(at_wall_ms, when, sizeof(when)), "reason", job->message);
}

json_t *
rg_record_memory(const RgMemory *m, const RgView *view, const char *boot_id,
				 int64_t system_identifier)
{
	json_t	   *nodes = json_array();
	json_t	   *jobs = json_array();

	for (int i = 0; i < m->nnodes; i++)
		nodes = rg_json_append(nodes, record_node(&m->nodes[i]));
	for (int i = 0; i < RG_JOBS_MAX; i++)
		if (m->jobs[i].id != 0)
			jobs = rg_json_append(jobs, record_job(&m->jobs[i]));
	return json_pack("{s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:o,s:o,s:o,s:b,s:b,s:s,s:I,s:s,s:I,s:I,s:o,s:s,s:s,s:b,s:b,s:o,s:o,s:o}",
					 "watchdog", view->watchdog, "boot_id", boot_id,
					 "phase", rg_phase_name(m->phase), "phase_ms", (json_int_t) m->phase_ms,
					 "ticket", (json_int_t) m->ticket,
					 "term", (json_int_t) m->term, "highest_term", (json_int_t) m->highest_term,
					 "rule", rg_record_rule(&m->rule), "asked", rg_record_rule(&m->asked),
					 "wish", record_wish(&m->wish), "unsure", m->unsure ? 1 : 0,
					 "sync_begun", m->sync_begun ? 1 : 0, "candidate", m->candidate,
					 "lost_ms", (json_int_t) m->lost_ms,
					 "diagnosis", rg_diagnosis_name(m->diagnosis),
					 "system_identifier", (json_int_t) system_identifier,
					 "lease_ms", (json_int_t) m->lease_ms, "newest", record_position(&m->newest),
					 "target", m->target, "accept_loss", m->accept_loss,
					 "takeover", m->takeover ? 1 : 0, "confirmed", m->confirmed ? 1 : 0,
					 "failover", record_failover(&m->failover), "nodes", nodes, "jobs", jobs);
}

static void
read_times(const json_t *json, RgTimes *t)
{
	t->lost_ms = get_int(json, "lost");
	t->called_ms = get_int(json, "called");
	t->fenced_ms = get_int(json, "fenced");
	t->recruited_ms = get_int(json, "recruited");
	t->promoted_ms = get_int(json, "promoted");
	t->ruled_ms = get_int(json, "ruled");
}

static void
read_failover(const json_t *json, RgFailover *f)
{
	char		name[64];

	f->term = get_int(json, "term");
	get_text(json, "from", f->from, sizeof(f->from));
	get_text(json, "to", f->to, sizeof(f->to));
	get_text(json, "diagnosis", name, sizeof(name));
	f->diagnosis = rg_diagnosis_find(name);
	f->planned = json_is_true(json_object_get(json, "planned"));
	f->at_wall_ms = get_int(json, "at_wall_ms");
	f->bound_ms = get_int(json, "bound_ms");
	get_text(json, "given_up", f->given_up, sizeof(f->given_up));
	read_loss(json_object_get(json, "loss"), &f->loss);
	read_times(json_object_get(json, "times"), &f->times);
}

static void
read_crashes(const json_t *json, RgNodeMemory *n)
{
	for (size_t i = 0; i < json_array_size(json) && i < RG_CRASHES_MAX; i++)
		n->crashes_ms[n->ncrashes++] = json_integer_value(json_array_get(json, i));
}

static void
read_nodes(const json_t *json, RgMemory *m)
{
	for (size_t i = 0; i < json_array_size(json) && i < RG_CORE_NODES_MAX; i++)
	{
		const json_t *entry = json_array_get(json, i);
		RgNodeMemory *n = &m->nodes[m->nnodes++];

		get_text(entry, "name", n->name, sizeof(n->name));
		read_start(json_object_get(entry, "shown"), &n->shown);
		n->fenced_term = get_int(entry, "fenced_term");
		n->fencing_term = get_int(entry, "fencing_term");
		n->must_end = json_is_true(json_object_get(entry, "must_end"));
		n->ended = json_is_true(json_object_get(entry, "ended"));
		n->rebuilds = (int) get_int(entry, "rebuilds");
		read_start(json_object_get(entry, "admitted"), &n->admitted);
		n->purpose_ms = get_int(entry, "purpose_ms");
		n->owes_lsn = (uint64_t) get_int(entry, "owes_lsn");
		n->swap_term = get_int(entry, "swap_term");
		n->swap_seq = (int) get_int(entry, "swap_seq");
		n->ungated = json_is_true(json_object_get(entry, "ungated"));
		n->stale = json_is_true(json_object_get(entry, "stale"));
		n->strayed = json_is_true(json_object_get(entry, "strayed"));
		n->half_rewound = (RgRewound) get_int(entry, "half_rewound");
		get_text(entry, "intruder", n->intruder, sizeof(n->intruder));
		n->declared_lost = json_is_true(json_object_get(entry, "declared_lost"));
		n->joined = json_is_true(json_object_get(entry, "joined"));
		n->removed = json_is_true(json_object_get(entry, "removed"));
		read_left_out(json_object_get(entry, "left_out"), n);
		read_crashes(json_object_get(entry, "crashes"), n);
	}
}

static void
read_jobs(const json_t *json, RgMemory *m)
{
	for (size_t i = 0; i < json_array_size(json) && i < RG_JOBS_MAX; i++)
	{
		const json_t *entry = json_array_get(json, i);
		RgJob	   *job = &m->jobs[i];
		char		name[32];

		job->id = get_int(entry, "id");
		get_text(entry, "kind", name, sizeof(name));
		job->kind = rg_job_kind_find(name);
		get_text(entry, "node", job->node, sizeof(job->node));
		get_text(entry, "state", name, sizeof(name));
		job->state = rg_job_state_find(name);
		get_text(entry, "phase", name, sizeof(name));
		job->phase = rg_job_phase_find(name);
		job->automatic = json_is_true(json_object_get(entry, "automatic"));
		job->cancelled = json_is_true(json_object_get(entry, "cancelled"));
		job->resumed = json_is_true(json_object_get(entry, "resumed"));
		get_text(entry, "method", name, sizeof(name));
		job->method = rg_method_find(name);
		get_text(entry, "using", name, sizeof(name));
		job->using = rg_method_find(name);
		job->rate_kb = get_int(entry, "rate_kb");
		job->term = get_int(entry, "term");
		get_text(entry, "from", job->from, sizeof(job->from));
		get_text(entry, "tried", job->tried, sizeof(job->tried));
		job->attempts = (int) get_int(entry, "attempts");
		job->created_ms = get_int(entry, "created_ms");
		job->phase_ms = get_int(entry, "phase_ms");
		job->ended_ms = get_int(entry, "ended_ms");
		get_text(entry, "source", job->source, sizeof(job->source));
		get_text(entry, "message", job->message, sizeof(job->message));
	}
}

static void
shift(int64_t *time_ms, int64_t by_ms)
{
	if (*time_ms != 0)
		*time_ms += by_ms;
}

/*
 * Another boot, another clock: waits begin anew, and what is over counts as over
 * just now.  The distances between the times of a failover stay what they were.
 */
static void
move_times(RgMemory *m, int64_t now_ms)
{
	RgTimes    *t = &m->failover.times;
	int64_t		all[] = {t->lost_ms, t->called_ms, t->fenced_ms, t->recruited_ms, t->promoted_ms, t->ruled_ms};
	int64_t		last = 0;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i] > last)
			last = all[i];
	shift(&t->lost_ms, now_ms - last);
	shift(&t->called_ms, now_ms - last);
	shift(&t->fenced_ms, now_ms - last);
	shift(&t->recruited_ms, now_ms - last);
	shift(&t->promoted_ms, now_ms - last);
	shift(&t->ruled_ms, now_ms - last);
	m->phase_ms = now_ms;
	m->lost_ms = 0;
	for (int i = 0; i < m->nnodes; i++)
	{
		if (m->nodes[i].purpose_ms != 0)
			m->nodes[i].purpose_ms = now_ms;
		for (int k = 0; k < m->nodes[i].ncrashes; k++)
			m->nodes[i].crashes_ms[k] = now_ms;
	}
	for (int i = 0; i < RG_JOBS_MAX; i++)
	{
		RgJob	   *job = &m->jobs[i];

		job->created_ms = job->phase_ms = now_ms;
		if (job->ended_ms != 0)
			job->ended_ms = now_ms;
	}
}

void
rg_record_read(const json_t *line, const char *boot_id, int64_t now_ms, RgMemory *ret_memory,
			   int64_t *ret_system_identifier)
{
	RgMemory	m;
	char		name[64];

	memset(&m, 0, sizeof(m));
	get_text(line, "phase", name, sizeof(name));
	m.phase = rg_phase_find(name);
	m.phase_ms = get_int(line, "phase_ms");
	m.ticket = get_int(line, "ticket");
	m.term = get_int(line, "term");
	m.highest_term = get_int(line, "highest_term");
	(void) rg_facts_rule(json_object_get(line, "rule"), &m.rule);
	(void) rg_facts_rule(json_object_get(line, "asked"), &m.asked);
	read_wish(json_object_get(line, "wish"), &m.wish);
	m.sync_begun = !json_is_false(json_object_get(line, "sync_begun"));
	m.unsure = json_is_true(json_object_get(line, "unsure"));
	get_text(line, "candidate", m.candidate, sizeof(m.candidate));
	m.lost_ms = get_int(line, "lost_ms");
	get_text(line, "diagnosis", name, sizeof(name));
	m.diagnosis = rg_diagnosis_find(name);
	m.lease_ms = get_int(line, "lease_ms");
	read_position(json_object_get(line, "newest"), &m.newest);
	get_text(line, "target", m.target, sizeof(m.target));
	get_text(line, "accept_loss", m.accept_loss, sizeof(m.accept_loss));
	m.takeover = json_is_true(json_object_get(line, "takeover"));
	m.confirmed = json_is_true(json_object_get(line, "confirmed"));
	read_failover(json_object_get(line, "failover"), &m.failover);
	read_nodes(json_object_get(line, "nodes"), &m);
	read_jobs(json_object_get(line, "jobs"), &m);
	get_text(line, "boot_id", name, sizeof(name));
	if (strcmp(name, boot_id) != 0)
		move_times(&m, now_ms);
	/* an ordinary phase is found again by looking; only a failover is gone on with */
	if (!rg_phase_is_failover(m.phase))
	{
		m.phase = RG_PHASE_STARTING;
		m.phase_ms = now_ms;
	}
	*ret_memory = m;
	*ret_system_identifier = get_int(line, "system_identifier");
}
