/*
 * job.c
 *	  The queue of rebuilds: what is refused, whose turn it is, what is cancelled.
 *
 * One source serves so many jobs at a time as the settings say, so that a leader
 * is not overloaded by those who copy it; the others wait and say for whom.
 */
#include "job.h"

#include <stdio.h>
#include <string.h>

#include "change.h"
#include "job_run.h"
#include "method.h"
#include "upstream.h"

/* ---- refusals ---- */

/*
 * In sync and strict: no other standby is known to hold all that this one may have
 * acknowledged.  One that streams and is not behind where this one was seen last is.
 */
static bool
is_last_holder(const RgView *view, const RgMemory *m, int node)
{
	uint64_t	lsn = rg_facts_held_lsn(&view->nodes[node].facts);

	/* who was deposed has nothing that its successor was chosen without */
	if (!rg_rule_is_sync(&m->rule) || !rg_rule_has_voter(&m->rule, view->nodes[node].name) ||
		m->nodes[node].fenced_term != 0 || m->nodes[node].left_out)
		return false;
	for (int i = 0; i < view->nnodes; i++)
	{
		const RgFacts *f = &view->nodes[i].facts;

		if (i != node && rg_rule_has_voter(&m->rule, view->nodes[i].name) && rg_view_is_standby(view, i) &&
			f->receiver_streaming && f->rule.term == m->rule.term && m->nodes[i].owes_lsn == 0 && !m->nodes[i].left_out &&
			!rg_memory_is_rebuilding(m, view->nodes[i].name) && rg_facts_held_lsn(f) >= lsn)
			return false;
	}
	return true;
}

/* What speaks against this node, whatever is asked for. */
static const char *
node_trouble(const RgView *view, const RgMemory *memory, const char *node, char *buf)
{
	int			i = rg_view_find(view, node);
	int			leader = rg_view_find(view, memory->rule.leader);

	if (i < 0)
		rg_text(buf, RG_TEXT_MAX, "there is no node \"%.60s\"", node);
	else if (strcmp(memory->rule.leader, node) == 0)
		rg_text(buf, RG_TEXT_MAX, "%s leads the cluster: the leader is never rebuilt", node);
	else if (memory->phase != RG_PHASE_STEADY || leader < 0 || !rg_view_is_primary(view, leader))
		rg_text(buf, RG_TEXT_MAX, "there is no healthy primary to copy from (%s)",
				rg_diagnosis_name(memory->diagnosis));
	else if (!rg_start_equal(&memory->nodes[leader].admitted, &view->nodes[leader].facts.start))
		rg_text(buf, RG_TEXT_MAX, "it is not known yet that %s lacks nothing that others hold: nothing is replaced by a copy of it",
				memory->rule.leader);
	else if (rg_memory_job((RgMemory *) memory, node) != NULL)
		rg_text(buf, RG_TEXT_MAX, "%s is being rebuilt already: see regent jobs", node);
	else if (view->nodes[i].ssh != RG_SSHV_READY)
		rg_text(buf, RG_TEXT_MAX, "there is no SSH session to %s: %.150s", node,
				view->nodes[i].ssh_text[0] ? view->nodes[i].ssh_text : "not connected yet");
	else
		return NULL;
	return buf;
}

const char *
rg_job_refusal(const RgView *view, const RgMemory *memory, const RgRebuild *rebuild, char *buf)
{
	int			node = rg_view_find(view, rebuild->node);
	int			from = -1;
	const char *why = node_trouble(view, memory, rebuild->node, buf);

	if (why != NULL)
		return why;
	if (!rebuild->force && rg_view_is_standby(view, node) && rg_upstream_streams(view, memory, node))
	{
		rg_text(buf, RG_TEXT_MAX, "%s is healthy and streams from %s: there is nothing to rebuild; --force does it all the same",
				rebuild->node, view->nodes[rg_upstream_source(view, memory, node)].name);
		return buf;
	}
	if (rebuild->from != NULL && rebuild->from[0] != '\0')
	{
		from = rg_view_find(view, rebuild->from);
		if (from < 0 || from == node)
		{
			rg_text(buf, RG_TEXT_MAX, from < 0 ? "there is no node \"%.60s\" to copy from"
					: "%.60s can't be copied from itself", rebuild->from);
			return buf;
		}
		if ((why = rg_method_source_trouble(view, memory, from, buf)) != NULL)
			return why;
	}
	if (rebuild->method == RG_METHOD_REWIND &&
		(why = rg_method_trouble(view, memory, node, RG_METHOD_REWIND, buf)) != NULL)
	{
		char		text[RG_TEXT_MAX];

		rg_text(text, sizeof(text), "%s can't be rewound: %.150s; regent rebuild %s", rebuild->node, why, rebuild->node);
		rg_text(buf, RG_TEXT_MAX, "%s", text);
		return buf;
	}
	if (!rebuild->force && is_last_holder(view, memory, node))
	{
		rg_text(buf, RG_TEXT_MAX, "beside %s only %s is known to hold every acknowledged commit: wait until another standby has caught up; --force does it all the same",
				memory->rule.leader, rebuild->node);
		return buf;
	}
	return NULL;
}

/* ---- the queue ---- */

/* A free slot, else that of the job that ended first; NULL when all are in use. */
static RgJob *
find_slot(RgMemory *memory)
{
	RgJob	   *slot = NULL;

	for (int i = 0; i < RG_JOBS_MAX; i++)
	{
		RgJob	   *job = &memory->jobs[i];
		bool		ended = job->state != RG_JOB_QUEUED && job->state != RG_JOB_RUNNING;

		if (job->id == 0 || (ended && (slot == NULL ||
									   (slot->id != 0 && job->ended_ms < slot->ended_ms))))
			slot = job;
		if (job->id == 0)
			break;
	}
	return slot;
}

void
rg_job_add_failed(RgMemory *memory, const RgView *view, RgJobKind kind, const char *node,
				  int64_t id, const char *why)
{
	RgJob	   *slot = find_slot(memory);

	if (slot == NULL)
		return;
	memset(slot, 0, sizeof(*slot));
	slot->id = id;
	slot->kind = kind;
	rg_text(slot->node, sizeof(slot->node), "%s", node);
	slot->state = RG_JOB_FAILED;
	slot->created_ms = slot->ended_ms = view->now_ms;
	rg_text(slot->message, sizeof(slot->message), "%s", why);
}

RgJob *
rg_job_new(RgMemory *memory, const RgView *view, int64_t id)
{
	RgJob	   *slot = find_slot(memory);

	if (slot == NULL)
		return NULL;
	if (id == 0)
	{
		id = view->now_ms;
		for (int i = 0; i < RG_JOBS_MAX; i++)
			if (memory->jobs[i].id >= id)
				id = memory->jobs[i].id + 1;
	}
	memset(slot, 0, sizeof(*slot));
	slot->id = id;
	slot->state = RG_JOB_QUEUED;
	slot->created_ms = view->now_ms;
	rg_text(slot->message, sizeof(slot->message), "waiting for its turn");
	return slot;
}

bool
rg_job_add(RgMemory *memory, const RgView *view, const RgRebuild *rebuild)
{
	RgJob	   *slot = rg_memory_job(memory, rebuild->node) != NULL ? NULL
		: rg_job_new(memory, view, rebuild->id);

	if (slot == NULL)
		return false;
	slot->kind = RG_JOBKIND_REBUILD;
	rg_text(slot->node, sizeof(slot->node), "%s", rebuild->node);
	rg_text(slot->from, sizeof(slot->from), "%s", rebuild->from != NULL ? rebuild->from : "");
	slot->method = rebuild->method;
	slot->automatic = rebuild->automatic;
	slot->rate_kb = rebuild->rate_kb > 0 ? rebuild->rate_kb : view->settings.rebuild_rate_kb;
	return true;
}

/* ---- whose turn it is ---- */

static bool
is_rebuild(const RgJob *job, RgJobState state)
{
	return job->id != 0 && job->kind == RG_JOBKIND_REBUILD && job->state == state;
}

/*
 * Somebody whose copy this source serves already, or is about to serve, when it serves
 * as many as it may; else NULL.
 */
static const RgJob *
in_the_way(const RgView *view, const RgMemory *memory, const RgJob *waiting, const char *source)
{
	const RgJob *first = NULL;
	int			count = 0;
	int			most = view->settings.rebuild_jobs > 0 ? view->settings.rebuild_jobs : 1;

	for (int i = 0; i < RG_JOBS_MAX; i++)
	{
		const RgJob *job = &memory->jobs[i];

		if (!(is_rebuild(job, RG_JOB_RUNNING) || (is_rebuild(job, RG_JOB_QUEUED) && job->due_ms != 0 && job->id < waiting->id)) ||
			strcmp(job->source, source) != 0)
			continue;
		count++;
		first = first == NULL || job->id < first->id ? job : first;
	}
	return count >= most ? first : NULL;
}

static void
cancel_for(const RgView *view, RgDecision *d, RgJob *job, int node, const char *why)
{
	rg_text(job->message, sizeof(job->message), "%s", why);
	rg_job_end(view, d, job, node, RG_JOB_CANCELLED);
}

static void
run_job(const RgView *view, RgDecision *d, RgJob *job)
{
	int			node = rg_view_find(view, job->node);
	int			source = rg_method_source(view, &d->memory, job);
	const RgJob *before;
	int64_t		due_ms = job->due_ms != 0 ? job->due_ms : view->now_ms;

	job->due_ms = 0;
	if (node < 0)
		cancel_for(view, d, job, node, "it is not in the configuration any more");
	/* the leader is never rebuilt; only what is left beside a copy that has taken over is removed */
	else if (node == d->leader && rg_job_is_in_place(job))
		rg_job_lead(view, d, job, node);
	else if (node == d->leader)
		cancel_for(view, d, job, node, "it leads the cluster now");
	else if (job->state == RG_JOB_RUNNING)
		rg_job_advance(view, d, job, node);
	else if ((before = in_the_way(view, &d->memory, job, view->nodes[source].name)) != NULL)
		rg_text(job->message, sizeof(job->message), "waits for the rebuild of %s, which is taken from %s (rebuild_jobs = %d)",
				before->node, before->source, view->settings.rebuild_jobs > 0 ? view->settings.rebuild_jobs : 1);
	else if (!rg_change_may_rebuild(view, d, node, due_ms))
	{
		job->due_ms = due_ms;
		rg_text(job->source, sizeof(job->source), "%s", view->nodes[source].name);
		rg_text(job->message, sizeof(job->message), "waiting until %s is left out: no commit may rest on the copy that it has",
				job->node);
	}
	else
	{
		rg_text(job->source, sizeof(job->source), "%s", view->nodes[source].name);
		rg_job_begin(view, d, job, node);
		if (job->state == RG_JOB_RUNNING)
			rg_job_advance(view, d, job, node);
	}
}

/* The oldest one that is not yet in the mask; -1 = none. */
static int
next_job(const RgMemory *memory, RgJobState state, uint32_t done)
{
	int			next = -1;

	for (int i = 0; i < RG_JOBS_MAX; i++)
		if (is_rebuild(&memory->jobs[i], state) && (done >> i & 1) == 0 &&
			(next < 0 || memory->jobs[i].id < memory->jobs[next].id))
			next = i;
	return next;
}

void
rg_job_plan(const RgView *view, RgDecision *d)
{
	uint32_t	done = 0;
	int			i;

	if (d->leader < 0 || !rg_view_is_primary(view, d->leader) ||
		!rg_start_equal(&d->memory.nodes[d->leader].admitted, &view->nodes[d->leader].facts.start))
		return;
	rg_job_learn_owed(view, d);
	while ((i = next_job(&d->memory, RG_JOB_RUNNING, done)) >= 0)
	{
		done |= UINT32_C(1) << i;
		run_job(view, d, &d->memory.jobs[i]);
	}
	while ((i = next_job(&d->memory, RG_JOB_QUEUED, done)) >= 0)
	{
		done |= UINT32_C(1) << i;
		run_job(view, d, &d->memory.jobs[i]);
	}
}

/* ---- cancel ---- */

static RgJob *
find_job(RgMemory *memory, int64_t id)
{
	for (int i = 0; i < RG_JOBS_MAX; i++)
		if (id != 0 && memory->jobs[i].id == id)
			return &memory->jobs[i];
	return NULL;
}

const char *
rg_job_cancel(const RgView *view, RgMemory *memory, int64_t id, char *buf)
{
	RgJob	   *job = find_job(memory, id);
	int			node = job != NULL ? rg_view_find(view, job->node) : -1;
	const char *why;

	if (job == NULL)
		rg_text(buf, RG_TEXT_MAX, "there is no job %lld", (long long) id);
	else if (job->state != RG_JOB_QUEUED && job->state != RG_JOB_RUNNING)
		rg_text(buf, RG_TEXT_MAX, "job %lld is %s already", (long long) id, rg_job_state_name(job->state));
	else if (job->kind != RG_JOBKIND_REBUILD)
		rg_text(buf, RG_TEXT_MAX, "job %lld is no rebuild (%s): it can't be cancelled", (long long) id,
				rg_job_kind_name(job->kind));
	else if (job->state == RG_JOB_RUNNING && (why = rg_job_cancel_trouble(memory, job, node)) != NULL)
		rg_text(buf, RG_TEXT_MAX, "%s can't be cancelled in phase \"%s\": %s", job->node,
				rg_job_phase_name(job->phase), why);
	else
	{
		/* else auto_rejoin would begin the next one at once */
		if (node >= 0)
			memory->nodes[node].rebuilds = RG_REBUILDS_MAX;
		job->cancelled = true;
		if (job->state == RG_JOB_QUEUED)
		{
			job->state = RG_JOB_CANCELLED;
			job->ended_ms = view->now_ms;
			rg_text(job->message, sizeof(job->message), "somebody asked for it before it began");
		}
		return NULL;
	}
	return buf;
}
