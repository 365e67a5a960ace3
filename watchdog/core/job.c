/*
 * job.c
 *	  The table of a rebuild: (phase, outcome of its step) -> next phase.
 *
 * Each phase has one step on the node's helper.  A step that failed, or whose
 * outcome is unknown, is tried again as a new attempt; the helper's verbs are
 * safe to repeat.  Only a swap is not: after one whose outcome is unknown the
 * node is looked at instead.  Whatever happens, the old directory is either in
 * its place or beside it until the new one streams; nothing is thrown away
 * before it is back.
 */
#include "job.h"

#include <stdio.h>
#include <string.h>

#include "change.h"
#include "upstream.h"

/* Not known yet: it owes whatever the leader has when the swap is over. */
#define OWES_ALL ((uint64_t) INT64_MAX)

typedef struct JobRow
{
	RgJobPhase	phase;
	RgStepKind	step;			/* NONE: waits for what the polls show */
	RgJobPhase	done;			/* after success; NONE = the job is done */
	RgJobPhase	failed;			/* after the last failure; NONE = the job has failed */
} JobRow;

static const JobRow rows[] = {
	{RG_JOBPHASE_COPY, RG_STEP_COPY, RG_JOBPHASE_SWAP, RG_JOBPHASE_CLEAN},
	{RG_JOBPHASE_SWAP, RG_STEP_SWAP, RG_JOBPHASE_VERIFY, RG_JOBPHASE_UNDO},
	{RG_JOBPHASE_VERIFY, RG_STEP_NONE, RG_JOBPHASE_SETTLE, RG_JOBPHASE_UNDO},
	{RG_JOBPHASE_SETTLE, RG_STEP_SETTLE, RG_JOBPHASE_NONE, RG_JOBPHASE_NONE},
	{RG_JOBPHASE_UNDO, RG_STEP_UNSWAP, RG_JOBPHASE_CLEAN, RG_JOBPHASE_NONE},
	{RG_JOBPHASE_CLEAN, RG_STEP_DISCARD, RG_JOBPHASE_NONE, RG_JOBPHASE_NONE},
};

static const JobRow *
row_of(RgJobPhase phase)
{
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].phase == phase)
			return &rows[i];
	return NULL;
}

const char *
rg_job_refusal(const RgView *view, const RgMemory *memory, const char *node, char *buf)
{
	int			i = rg_view_find(view, node);
	int			leader = rg_view_find(view, memory->rule.leader);

	if (i < 0)
	{
		rg_text(buf, RG_TEXT_MAX, "there is no node \"%.60s\"", node);
		return buf;
	}
	if (strcmp(memory->rule.leader, node) == 0)
	{
		rg_text(buf, RG_TEXT_MAX, "%s leads the cluster: the leader is never rebuilt", node);
		return buf;
	}
	if (memory->phase != RG_PHASE_STEADY || leader < 0 || !rg_view_is_primary(view, leader))
	{
		rg_text(buf, RG_TEXT_MAX, "there is no healthy primary to copy from (%s)",
				rg_diagnosis_name(memory->diagnosis));
		return buf;
	}
	if (rg_memory_job((RgMemory *) memory, node) != NULL)
	{
		rg_text(buf, RG_TEXT_MAX, "%s is being rebuilt already", node);
		return buf;
	}
	if (rg_view_is_standby(view, i) && rg_upstream_streams(view, memory, i))
	{
		rg_text(buf, RG_TEXT_MAX, "%s is healthy and streams from %s: there is nothing to rebuild",
				node, view->nodes[rg_upstream_source(view, memory, i)].name);
		return buf;
	}
	if (view->nodes[i].ssh != RG_SSHV_READY)
	{
		rg_text(buf, RG_TEXT_MAX, "there is no SSH session to %s: %.150s", node,
				view->nodes[i].ssh_text[0] ? view->nodes[i].ssh_text : "not connected yet");
		return buf;
	}
	return NULL;
}

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
rg_job_add(RgMemory *memory, const RgView *view, const char *node, bool automatic, int64_t id)
{
	RgJob	   *slot = rg_memory_job(memory, node) != NULL ? NULL : rg_job_new(memory, view, id);

	if (slot == NULL)
		return false;
	slot->kind = RG_JOBKIND_REBUILD;
	rg_text(slot->node, sizeof(slot->node), "%s", node);
	slot->automatic = automatic;
	return true;
}

static void
enter(RgJob *job, RgJobPhase phase, int64_t now_ms)
{
	job->phase = phase;
	job->phase_ms = now_ms;
	if (phase != RG_JOBPHASE_CLEAN && phase != RG_JOBPHASE_UNDO)
		job->message[0] = '\0';
}

static void
finish(const RgView *view, RgDecision *d, RgJob *job, int node, RgJobState state)
{
	const char *where = job->phase == RG_JOBPHASE_UNDO
		? "its old directory may stand beside it with the ending .regent-old: see regent-node unswap there"
		: "its old directory is in its place";

	job->state = state;
	job->phase = RG_JOBPHASE_NONE;
	job->ended_ms = view->now_ms;
	if (state == RG_JOB_DONE)
	{
		if (job->message[0] == '\0')
			rg_text(job->message, sizeof(job->message), "%s streams from %s", job->node, job->source);
		/* a fresh copy is no fenced node any more; one that is down again may have been fenced since */
		if (rg_view_answers(view, node))
			d->memory.nodes[node].fenced_term = 0;
		rg_decision_note(d, RG_EVENT_REBUILD_END, node, 0, false, "rebuild of %s is done: %.150s",
						 job->node, job->message);
	}
	else
		rg_decision_note(d, RG_EVENT_REBUILD_FAILED, node, 0, true, "rebuild of %s failed: %.120s; %s",
						 job->node, job->message, where);
}

/* The phase's step has failed for good, or may be tried again. */
static void
step_failed(const RgView *view, RgDecision *d, RgJob *job, int node, const JobRow *row,
			const char *why)
{
	rg_text(job->message, sizeof(job->message), "%.*s", RG_TEXT_MAX - 1, why);
	if (job->attempts < RG_JOB_TRIES)
	{
		job->attempts++;
		rg_decision_note(d, RG_EVENT_REBUILD_RETRY, node, 0, false,
						 "%s of %s failed (%.120s): try %d of %d", rg_job_phase_name(job->phase),
						 job->node, why, job->attempts, RG_JOB_TRIES);
		job->phase_ms = view->now_ms;
		return;
	}
	if (row->failed != RG_JOBPHASE_NONE)
	{
		enter(job, row->failed, view->now_ms);
		job->attempts = 1;
	}
	else if (job->phase == RG_JOBPHASE_SETTLE)
		finish(view, d, job, node, RG_JOB_DONE);	/* it streams; only the old directory stays */
	else
		finish(view, d, job, node, RG_JOB_FAILED);
}

static void
step_done(const RgView *view, RgDecision *d, RgJob *job, int node, const JobRow *row)
{
	if (row->done != RG_JOBPHASE_NONE)
	{
		enter(job, row->done, view->now_ms);
		job->attempts = 1;
	}
	else
		finish(view, d, job, node,
			   job->phase == RG_JOBPHASE_SETTLE ? RG_JOB_DONE : RG_JOB_FAILED);
}

/* The node streams from the leader, seen after this phase (or try) began. */
static bool
streams(const RgView *view, const RgDecision *d, const RgJob *job, int node)
{
	const RgFacts *f = &view->nodes[node].facts;

	return rg_view_is_standby(view, node) && view->nodes[node].facts_ms > job->phase_ms &&
		f->rule.term == d->memory.rule.term && rg_upstream_streams(view, &d->memory, node);
}

/* Says how it stands; a recovery that moves on begins the wait anew. */
static void
tell_wait(const RgView *view, RgJob *job, int node)
{
	const RgNodeView *n = &view->nodes[node];
	char		text[RG_TEXT_MAX];

	if (n->sql != RG_SQL_STARTING)
	{
		rg_text(job->message, sizeof(job->message), "waiting for %s to stream", job->node);
		return;
	}
	rg_text(text, sizeof(text), "%s is starting up: %s", job->node, n->probe.recovery);
	if (strcmp(text, job->message) != 0)
	{
		rg_text(job->message, sizeof(job->message), "%s", text);
		job->phase_ms = view->now_ms;
	}
}

static void
verify(const RgView *view, RgDecision *d, RgJob *job, int node, const JobRow *row)
{
	if (streams(view, d, job, node))
		step_done(view, d, job, node, row);
	else if (view->now_ms - job->phase_ms > RG_JOB_VERIFY_MS)
	{
		rg_text(job->message, sizeof(job->message),
				"the new copy did not stream within %d s: %.120s", RG_JOB_VERIFY_MS / 1000,
				view->nodes[node].sql_text);
		job->attempts = 1;
		enter(job, row->failed, view->now_ms);
	}
	else
		tell_wait(view, job, node);
}

/* It streamed, and has gone since: the helper settles only beside a server that runs. */
static void
wait_for_settle(const RgView *view, RgDecision *d, RgJob *job, int node)
{
	if (view->now_ms - job->phase_ms <= RG_JOB_SETTLE_MS)
	{
		rg_text(job->message, sizeof(job->message),
				"%s streamed and is down again: start it, then its old directory is removed", job->node);
		return;
	}
	rg_text(job->message, sizeof(job->message),
			"%s streamed and is down again; its old directory stays: regent-node %s settle there",
			job->node, job->node);
	finish(view, d, job, node, RG_JOB_DONE);
}

/* What became of the step of this try. */
static void
judge(const RgView *view, RgDecision *d, RgJob *job, int node, const JobRow *row)
{
	const RgOp *op = &view->nodes[node].ops[row->step];

	if (op->state == RG_OP_OK && job->phase == RG_JOBPHASE_COPY &&
		strcmp(job->source, d->memory.rule.leader) != 0)
		step_failed(view, d, job, node, row, "the leader has changed meanwhile");
	else if (op->state == RG_OP_OK)
	{
		if (job->phase == RG_JOBPHASE_SETTLE)
			job->message[0] = '\0';	/* an earlier try's trouble */
		step_done(view, d, job, node, row);
	}
	else if (op->state == RG_OP_LOST && job->phase == RG_JOBPHASE_SWAP)
		step_done(view, d, job, node, row); /* it may have been done: look */
	else
		step_failed(view, d, job, node, row, op->text);
}

static void
advance(const RgView *view, RgDecision *d, RgJob *job, int node)
{
	const JobRow *row = row_of(job->phase);
	const RgOp *op;
	RgStep	   *step;
	int64_t		key = job->id * 8 + job->attempts;
	int64_t		wait = job->attempts > 1 ? 1000 << job->attempts : 0;

	if (row == NULL)
		return;
	if (row->step == RG_STEP_NONE)
	{
		verify(view, d, job, node, row);
		return;
	}
	op = &view->nodes[node].ops[row->step];
	if (job->phase == RG_JOBPHASE_COPY)
	{
		job->bytes = view->nodes[node].copy_bytes;
		job->total = view->nodes[node].copy_total;
	}
	if (op->term == key && op->state != RG_OP_NONE)
	{
		if (op->state != RG_OP_RUNNING)
			judge(view, d, job, node, row);
		return;
	}
	if (job->phase == RG_JOBPHASE_SWAP && job->attempts > 1 && streams(view, d, job, node))
	{
		/* the try before was done after all, only its answer said something else */
		step_done(view, d, job, node, row);
		return;
	}
	if (job->phase == RG_JOBPHASE_SWAP && strcmp(job->source, d->memory.rule.leader) != 0)
	{
		rg_text(job->message, sizeof(job->message), "copied from %s, but %s leads now: ask again",
				job->source, d->memory.rule.leader);
		enter(job, RG_JOBPHASE_UNDO, view->now_ms);
		job->attempts = 1;
		return;
	}
	if (job->phase == RG_JOBPHASE_SETTLE && !rg_view_answers(view, node))
	{
		wait_for_settle(view, d, job, node);
		return;
	}
	if (view->nodes[node].ssh != RG_SSHV_READY || view->now_ms - job->phase_ms < wait)
		return;
	if (job->phase == RG_JOBPHASE_COPY)
		rg_text(job->source, sizeof(job->source), "%s", d->memory.rule.leader);
	if (job->phase == RG_JOBPHASE_SWAP)
		d->memory.nodes[node].owes_lsn = OWES_ALL;
	step = rg_decision_step(d, row->step, node, d->leader, d->memory.rule.term);
	if (step != NULL)
	{
		step->key = key;
		step->job = job->id;
	}
}

/*
 * What the directories that were swapped out may have acknowledged is at the leader:
 * where it was after the swap is what the copies have to reach (attack V2).
 */
static void
learn_owed(const RgView *view, RgDecision *d)
{
	const RgNodeView *leader = &view->nodes[d->leader];

	for (int i = 0; i < view->nnodes; i++)
	{
		RgNodeMemory *mem = &d->memory.nodes[i];
		const RgFacts *f = &view->nodes[i].facts;
		const RgJob *job = rg_memory_job(&d->memory, view->nodes[i].name);

		if (mem->owes_lsn == 0 ||
			(job != NULL && (job->phase == RG_JOBPHASE_COPY || job->phase == RG_JOBPHASE_SWAP)))
			continue;
		if (mem->owes_lsn == OWES_ALL)
		{
			if (job == NULL || leader->facts_ms > job->phase_ms)
				mem->owes_lsn = leader->facts.current_lsn;
		}
		else if (rg_view_is_standby(view, i) && f->rule.term == d->memory.rule.term &&
				 (leader->facts.streaming_from_us >> i & 1) != 0 &&
				 rg_facts_held_lsn(f) >= mem->owes_lsn)
			mem->owes_lsn = 0;
	}
}

void
rg_job_plan(const RgView *view, RgDecision *d)
{
	RgJob	   *running = NULL;
	RgJob	   *next = NULL;
	int			node;

	if (d->leader < 0 || !rg_view_is_primary(view, d->leader) ||
		!rg_start_equal(&d->memory.nodes[d->leader].admitted, &view->nodes[d->leader].facts.start))
		return;
	learn_owed(view, d);
	for (int i = 0; i < RG_JOBS_MAX; i++)
	{
		RgJob	   *job = &d->memory.jobs[i];

		if (job->kind != RG_JOBKIND_REBUILD)
			continue;
		if (job->state == RG_JOB_RUNNING)
			running = job;
		else if (job->state == RG_JOB_QUEUED && (next == NULL || job->id < next->id))
			next = job;
	}
	node = next != NULL ? rg_view_find(view, next->node) : -1;
	if (running == NULL && next != NULL && node >= 0 && node != d->leader && !rg_change_may_rebuild(view, d, node, next->created_ms))
	{
		rg_text(next->message, sizeof(next->message), "waiting until %s is left out: no commit may rest on the copy that it has",
				next->node);
		return;
	}
	if (running == NULL && next != NULL)
	{
		running = next;
		running->state = RG_JOB_RUNNING;
		running->attempts = 1;
		enter(running, RG_JOBPHASE_COPY, view->now_ms);
		rg_decision_note(d, RG_EVENT_REBUILD_BEGIN, rg_view_find(view, running->node), 0, false,
						 "rebuild of %s from %s begins", running->node, d->memory.rule.leader);
	}
	if (running == NULL)
		return;
	node = rg_view_find(view, running->node);
	/* the leader is never rebuilt; only what is left beside a copy that has taken over is removed */
	if (node < 0 || (node == d->leader && running->phase != RG_JOBPHASE_SETTLE))
	{
		running->state = RG_JOB_CANCELLED;
		running->ended_ms = view->now_ms;
		rg_text(running->message, sizeof(running->message), node < 0
				? "it is not in the configuration any more"
				: "it leads the cluster now");
		rg_decision_note(d, RG_EVENT_REBUILD_FAILED, node, 0, true, "rebuild of %s is cancelled: %s",
						 running->node, running->message);
		return;
	}
	advance(view, d, running, node);
}
