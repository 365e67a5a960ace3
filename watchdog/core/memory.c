/*
 * memory.c
 *	  Small operations on memories, decisions and steps.
 */
#include "memory.h"

#include <stdarg.h>
#include <string.h>

#include "watchdog/base/utf8.h"

#define RG_RETRY_FIRST_MS 100
#define RG_RETRY_MOST_MS 5000

void
rg_text(char *buf, unsigned long size, const char *fmt,...)
{
	va_list		ap;

	va_start(ap, fmt);
	rg_utf8_vprint(buf, size, fmt, ap);
	va_end(ap);
}

RgJob *
rg_memory_job(RgMemory *memory, const char *node)
{
	for (int i = 0; i < RG_JOBS_MAX; i++)
	{
		RgJob	   *job = &memory->jobs[i];

		if (job->id != 0 && job->kind == RG_JOBKIND_REBUILD && strcmp(job->node, node) == 0 &&
			(job->state == RG_JOB_QUEUED || job->state == RG_JOB_RUNNING))
			return job;
	}
	return NULL;
}

bool
rg_job_is_in_place(const RgJob *job)
{
	return job->phase == RG_JOBPHASE_VERIFY || job->phase == RG_JOBPHASE_SETTLE ||
		job->phase == RG_JOBPHASE_FOLLOW;
}

bool
rg_memory_is_rebuilding(const RgMemory *memory, const char *node)
{
	for (int i = 0; i < RG_JOBS_MAX; i++)
	{
		const RgJob *job = &memory->jobs[i];

		if (job->id != 0 && job->kind == RG_JOBKIND_REBUILD && strcmp(job->node, node) == 0 &&
			(job->state == RG_JOB_QUEUED || (job->state == RG_JOB_RUNNING && !rg_job_is_in_place(job))))
			return true;
	}
	return false;
}

RgJob *
rg_memory_switchover(RgMemory *memory)
{
	for (int i = 0; i < RG_JOBS_MAX; i++)
	{
		RgJob	   *job = &memory->jobs[i];

		if (job->id != 0 && job->kind == RG_JOBKIND_SWITCHOVER &&
			(job->state == RG_JOB_QUEUED || job->state == RG_JOB_RUNNING))
			return job;
	}
	return NULL;
}

int64_t
rg_memory_lease_ms(const RgMemory *memory, const RgView *view)
{
	return memory->rule.lease_ms > 0 ? memory->rule.lease_ms : view->settings.lease_ms;
}

int64_t
rg_memory_phase_age_ms(const RgMemory *memory, const RgView *view)
{
	return view->now_ms - (memory->phase_ms > view->started_ms ? memory->phase_ms : view->started_ms);
}

RgStep *
rg_decision_step(RgDecision *d, RgStepKind kind, int node, int leader, int64_t term)
{
	RgStep	   *step;

	if (d->nsteps >= RG_STEPS_MAX)
		return NULL;
	step = &d->steps[d->nsteps++];
	memset(step, 0, sizeof(*step));
	step->kind = kind;
	step->node = node;
	step->leader = leader;
	step->source = -1;
	step->term = term;
	step->key = term;
	return step;
}

void
rg_decision_note(RgDecision *d, RgEvent event, int node, int move, bool alarm,
				 const char *fmt,...)
{
	RgNote	   *note;
	va_list		ap;

	if (d->nnotes >= RG_NOTES_MAX)
		return;
	note = &d->notes[d->nnotes++];
	memset(note, 0, sizeof(*note));
	note->event = event;
	note->node = node;
	note->move = move;
	note->alarm = alarm;
	va_start(ap, fmt);
	rg_utf8_vprint(note->text, sizeof(note->text), fmt, ap);
	va_end(ap);
}

bool
rg_op_may_try(const RgOp *op, int64_t term, int64_t now_ms, int limit)
{
	int64_t		wait = RG_RETRY_FIRST_MS;

	if (op->state == RG_OP_RUNNING)
		return false;
	if (op->state == RG_OP_NONE || op->term != term)
		return true;
	if (op->state == RG_OP_OK || op->attempts >= limit)
		return false;
	for (int i = 1; i < op->attempts && wait < RG_RETRY_MOST_MS; i++)
		wait *= 2;
	if (wait > RG_RETRY_MOST_MS)
		wait = RG_RETRY_MOST_MS;
	return now_ms - op->ended_ms >= wait;
}

bool
rg_op_done(const RgOp *op, int64_t term)
{
	return op->state == RG_OP_OK && op->term == term;
}

bool
rg_op_gave_up(const RgOp *op, int64_t term, int limit)
{
	return op->term == term && op->attempts >= limit &&
		op->state != RG_OP_RUNNING && op->state != RG_OP_OK && op->state != RG_OP_NONE;
}
