/*
 * job_run.c
 *	  The table of a rebuild: (phase, outcome of its step) -> next phase.
 *
 * Each phase has one step on the node's helper.  A step that failed, or whose
 * outcome is unknown, is tried again as a new attempt; the helper's verbs are
 * safe to repeat.  Each has a ticket, and the node lets none in after one with a
 * higher number.  So what was held up on its way, or in the middle, is over as soon
 * as a later verb has done its work; until then a swap that was asked for may still
 * come, and the node's word counts for nothing (C21).  A method that is not
 * possible, or has failed for good, gives way to the next one.  Whatever happens,
 * the old directory is either in its place or beside it until the new one streams
 * and has what the old one may have acknowledged.  A rewind alone works in place:
 * from its first moment until its good end the directory counts as half rewound
 * and is never started.
 */
#include "job_run.h"

#include <stdio.h>
#include <string.h>

#include "loss.h"
#include "method.h"
#include "upstream.h"

/* Not known yet: it owes whatever the leader has when the swap is over. */
#define OWES_ALL ((uint64_t) INT64_MAX)

/* In the columns "done" and "failed": whatever method is next. */
#define NEXT_METHOD RG_JOBPHASE_COUNT

typedef struct JobRow
{
	RgJobPhase	phase;
	RgStepKind	step;			/* NONE: waits for what the polls show */
	RgJobPhase	done;			/* after success; NONE = the job has ended */
	RgJobPhase	failed;			/* after the last failure; NONE = the job has ended */
	const char *cancel;			/* why it can't be cancelled here; NULL = it can */
} JobRow;

static const JobRow rows[] = {
	{RG_JOBPHASE_REWIND, RG_STEP_REWIND, RG_JOBPHASE_FOLLOW, NEXT_METHOD,
	"its directory is being rewound in place, and half of that could never be started"},
	{RG_JOBPHASE_FOLLOW, RG_STEP_NONE, RG_JOBPHASE_NONE, NEXT_METHOD,
	"its directory has been rewound already"},
	{RG_JOBPHASE_DELTA, RG_STEP_DELTA, RG_JOBPHASE_SWAP, NEXT_METHOD, NULL},
	{RG_JOBPHASE_COPY, RG_STEP_COPY, RG_JOBPHASE_SWAP, NEXT_METHOD, NULL},
	{RG_JOBPHASE_SWAP, RG_STEP_SWAP, RG_JOBPHASE_VERIFY, RG_JOBPHASE_UNDO,
	"its new directory is being put in its place"},
	{RG_JOBPHASE_VERIFY, RG_STEP_NONE, RG_JOBPHASE_SETTLE, RG_JOBPHASE_UNDO,
	"its new directory is in its place; if it does not stream, the old one comes back by itself"},
	{RG_JOBPHASE_SETTLE, RG_STEP_SETTLE, RG_JOBPHASE_NONE, RG_JOBPHASE_NONE,
	"it streams already; what is left to do is to remove the old directory"},
	{RG_JOBPHASE_UNDO, RG_STEP_UNSWAP, RG_JOBPHASE_CLEAN, RG_JOBPHASE_NONE,
	"it has failed, and its old directory is being put back"},
	{RG_JOBPHASE_CLEAN, RG_STEP_DISCARD, RG_JOBPHASE_NONE, RG_JOBPHASE_NONE, NULL},
};

/* What a helper's error word means for the method at hand. */
typedef enum Verdict
{
	TRY_AGAIN = 0,
	TRY_NEXT_METHOD,			/* the same would be said again */
	TRY_OTHER_SOURCE,
	WAIT						/* another verb is at work there: no attempt was made */
} Verdict;

static const struct
{
	const char *word;
	Verdict		verdict;
}			words[] = {
	{"not_possible", TRY_NEXT_METHOD},
	{"usage", TRY_NEXT_METHOD}, /* a helper of an earlier version */
	{"symlink", TRY_NEXT_METHOD},
	{"mount_point", TRY_NEXT_METHOD},
	{"unsafe_directory", TRY_NEXT_METHOD},
	{"wal_elsewhere", TRY_NEXT_METHOD},
	{"tablespaces", TRY_NEXT_METHOD},
	{"other_system", TRY_NEXT_METHOD},
	{"config", TRY_NEXT_METHOD},
	{"unknown_node", TRY_NEXT_METHOD},
	{"unsettled", TRY_NEXT_METHOD},
	{"source", TRY_OTHER_SOURCE},
	{"stalled", TRY_OTHER_SOURCE},
	{"copy_failed", TRY_OTHER_SOURCE},
	{"busy", WAIT},
};

static const JobRow *
row_of(RgJobPhase phase)
{
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].phase == phase)
			return &rows[i];
	return NULL;
}

static bool
says(const RgOp *op, const char *word)
{
	unsigned long len = strlen(word);

	return op->state == RG_OP_REFUSED && strncmp(op->text, word, len) == 0 &&
		(op->text[len] == ':' || op->text[len] == ';' || op->text[len] == '\0');
}

static Verdict
verdict_of(const RgOp *op)
{
	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (says(op, words[i].word))
			return words[i].verdict;
	return TRY_AGAIN;
}

static bool
is_copying(const RgJob *job)
{
	return job->phase == RG_JOBPHASE_COPY || job->phase == RG_JOBPHASE_DELTA;
}

/* After an unknown outcome of this phase only the host itself can tell which directory is in place. */
static bool
exchanges(const RgJob *job)
{
	return job->phase == RG_JOBPHASE_SWAP || job->phase == RG_JOBPHASE_UNDO;
}

static void
enter(RgJob *job, RgJobPhase phase, int64_t now_ms)
{
	job->phase = phase;
	job->phase_ms = now_ms;
	job->attempts = 1;
	job->begun_here = true;
	job->is_fed = false;
	job->busy_ms = 0;
	if (phase != RG_JOBPHASE_CLEAN && phase != RG_JOBPHASE_UNDO)
		job->message[0] = '\0';
}

/* ---- ends ---- */

/* Where the node's data is after an end that is not a success. */
static const char *
where_is_it(const RgMemory *memory, const RgJob *job, int node)
{
	if (node >= 0 && memory->nodes[node].half_rewound != RG_REWOUND_WHOLE)
		return "its directory is rewound by half and can't be started: regent rebuild NODE --method copy";
	if (job->phase == RG_JOBPHASE_UNDO)
		return "its old directory may stand beside it with the ending .regent-old: see regent-node unswap there";
	return "its old directory is in its place";
}

void
rg_job_end(const RgView *view, RgDecision *d, RgJob *job, int node, RgJobState state)
{
	const char *where = where_is_it(&d->memory, job, node);

	job->state = state;
	job->phase = RG_JOBPHASE_NONE;
	job->ended_ms = view->now_ms;
	if (state == RG_JOB_DONE)
	{
		bool		leads = strcmp(d->memory.rule.leader, job->node) == 0;

		if (job->message[0] == '\0')
			rg_text(job->message, sizeof(job->message), "%s %s%s, by %s%s%.450s%s", job->node,
					leads ? "leads" : "streams from ", leads ? "" : d->memory.rule.leader,
					rg_method_name(job->using), job->tried[0] ? " (" : "", job->tried, job->tried[0] ? ")" : "");
		/* a fresh copy is no fenced node any more; one that is down again may have been fenced since */
		if (rg_view_answers(view, node))
			d->memory.nodes[node].fenced_term = 0;
		d->memory.nodes[node].half_rewound = RG_REWOUND_WHOLE;
		rg_decision_note(d, RG_EVENT_REBUILD_END, node, 0, false, "rebuild of %s is done: %.500s",
						 job->node, job->message);
	}
	else if (state == RG_JOB_CANCELLED)
	{
		if (job->cancelled)
			rg_text(job->message, sizeof(job->message), "somebody asked for it");
		rg_decision_note(d, RG_EVENT_REBUILD_CANCELLED, node, 0, false, "rebuild of %s is cancelled: %.300s; %s",
						 job->node, job->message, where);
	}
	else
		rg_decision_note(d, RG_EVENT_REBUILD_FAILED, node, 0, true, "rebuild of %s failed: %.500s; %s",
						 job->node, job->message, where);
}

/* The job's last step is over, and so is the job. */
static void
finish(const RgView *view, RgDecision *d, RgJob *job, int node, bool is_well)
{
	rg_job_end(view, d, job, node, is_well ? RG_JOB_DONE : job->cancelled ? RG_JOB_CANCELLED : RG_JOB_FAILED);
}

/* ---- methods ---- */

static RgJobPhase
phase_of(RgMethod method)
{
	return method == RG_METHOD_REWIND ? RG_JOBPHASE_REWIND
		: method == RG_METHOD_DELTA ? RG_JOBPHASE_DELTA : RG_JOBPHASE_COPY;
}

/* No method is left: what a copy has begun is removed. */
static void
give_up(const RgView *view, RgDecision *d, RgJob *job, int node)
{
	bool		has_copied = job->using == RG_METHOD_DELTA || job->using == RG_METHOD_COPY;

	rg_text(job->message, sizeof(job->message), "%s", job->tried);
	if (has_copied)
		enter(job, RG_JOBPHASE_CLEAN, view->now_ms);
	else
		finish(view, d, job, node, false);
}

static void
begin_next_method(const RgView *view, RgDecision *d, RgJob *job, int node)
{
	RgMethod	next = rg_method_next(view, &d->memory, job, node);

	if (next == RG_METHOD_AUTO)
	{
		give_up(view, d, job, node);
		return;
	}
	if (job->tried[0] != '\0')
		rg_decision_note(d, RG_EVENT_REBUILD_METHOD, node, 0, false, "%s: %.600s; next: %s", job->node, job->tried,
						 rg_method_name(next));
	job->using = next;
	job->elsewhere = false;
	job->bytes = job->total = job->bytes_per_s = 0;
	enter(job, phase_of(next), view->now_ms);
}

void
rg_job_begin(const RgView *view, RgDecision *d, RgJob *job, int node)
{
	job->state = RG_JOB_RUNNING;
	job->using = RG_METHOD_AUTO;
	job->tried[0] = '\0';
	rg_decision_note(d, RG_EVENT_REBUILD_BEGIN, node, 0, false, "rebuild of %s from %s begins: method %s",
					 job->node, job->source, rg_method_name(job->method));
	begin_next_method(view, d, job, node);
}

static void
go_on(const RgView *view, RgDecision *d, RgJob *job, int node, RgJobPhase next)
{
	if (next == NEXT_METHOD)
		begin_next_method(view, d, job, node);
	else
		enter(job, next, view->now_ms);
}

/* ---- outcomes ---- */

/* The phase's step has failed for good, or may be tried again. */
static void
step_failed(const RgView *view, RgDecision *d, RgJob *job, int node, const JobRow *row, Verdict verdict,
			const char *why)
{
	rg_text(job->message, sizeof(job->message), "%s", why);
	job->elsewhere = verdict == TRY_OTHER_SOURCE ? !job->elsewhere : false;
	if (job->attempts < RG_JOB_TRIES && !(verdict == TRY_NEXT_METHOD && row->failed == NEXT_METHOD))
	{
		job->attempts++;
		rg_decision_note(d, RG_EVENT_REBUILD_RETRY, node, 0, false,
						 "%s of %s failed (%.350s): try %d of %d", rg_job_phase_name(job->phase),
						 job->node, why, job->attempts, RG_JOB_TRIES);
		job->phase_ms = view->now_ms;
		return;
	}
	if (row->failed == NEXT_METHOD)
		rg_method_note(job, job->using, why);
	if (row->failed != RG_JOBPHASE_NONE)
		go_on(view, d, job, node, row->failed);
	else
		finish(view, d, job, node, job->phase == RG_JOBPHASE_SETTLE); /* it streams; only the old directory stays */
}

static void
step_done(const RgView *view, RgDecision *d, RgJob *job, int node, const JobRow *row)
{
	if (row->done != RG_JOBPHASE_NONE)
		go_on(view, d, job, node, row->done);
	else
	{
		if (job->phase == RG_JOBPHASE_FOLLOW)
			job->message[0] = '\0';	/* how it was waited for */
		finish(view, d, job, node, job->phase != RG_JOBPHASE_CLEAN);
	}
}

/* The node streams from the leader, seen after this phase (or try) began. */
static bool
streams(const RgView *view, const RgDecision *d, const RgJob *job, int node)
{
	const RgFacts *f = &view->nodes[node].facts;

	return rg_view_is_standby(view, node) && view->nodes[node].facts_ms > job->phase_ms &&
		f->rule.term == d->memory.rule.term && rg_upstream_streams(view, &d->memory, node);
}

/*
 * Its leader says that it streams.  What it flushes counts then, whether or not it answers
 * us: its new directory may hold the second copy of what was acknowledged.
 */
static bool
is_fed(const RgView *view, const RgDecision *d, const RgJob *job, int node)
{
	return d->leader >= 0 && rg_view_is_primary(view, d->leader) &&
		view->nodes[d->leader].facts_ms > job->phase_ms &&
		(view->nodes[d->leader].facts.streaming_from_us >> node & 1) != 0;
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

void
rg_job_does_not_stream(const RgView *view, RgDecision *d, RgJob *job, int node, const char *why)
{
	const JobRow *row = row_of(job->phase);

	if (row == NULL || row->step != RG_STEP_NONE)
		return;
	rg_text(job->message, sizeof(job->message), "%s", why);
	if (row->failed == NEXT_METHOD)
		rg_method_note(job, job->using, why);
	go_on(view, d, job, node, row->failed);
}

static void
verify(const RgView *view, RgDecision *d, RgJob *job, int node, const JobRow *row)
{
	bool		fed = is_fed(view, d, job, node);
	char		why[RG_TEXT_MAX];

	/* what was flushed into a new directory stays there; a rewound one is kept by the next method, too */
	job->is_fed = fed || (job->is_fed && job->phase == RG_JOBPHASE_VERIFY);
	if (streams(view, d, job, node) || (job->is_fed && view->now_ms - job->phase_ms > RG_JOB_VERIFY_MS))
		step_done(view, d, job, node, row);
	else if (view->now_ms - job->phase_ms > RG_JOB_VERIFY_MS)
	{
		rg_text(why, sizeof(why), "the %s did not stream within %d s: %.120s",
				job->phase == RG_JOBPHASE_FOLLOW ? "rewound node" : "new copy", RG_JOB_VERIFY_MS / 1000,
				view->nodes[node].sql_text);
		rg_job_does_not_stream(view, d, job, node, why);
	}
	else
		tell_wait(view, job, node);
}

/*
 * It streamed, and does not any more, or does not answer: the helper settles only beside
 * a server that runs, and what a copy lacks need not come any more, its WAL may be gone.
 */
static void
wait_for_settle(const RgView *view, RgDecision *d, RgJob *job, int node)
{
	bool		fed = is_fed(view, d, job, node);
	int64_t		since = job->streamed_ms > job->phase_ms ? job->streamed_ms : job->phase_ms;
	char		how[RG_TEXT_MAX];

	if (fed)
		rg_text(how, sizeof(how), "%s streams, says %s, but does not answer regentd (%.80s)", job->node,
				view->nodes[d->leader].name, view->nodes[node].sql_text);
	else
		rg_text(how, sizeof(how), "%s streamed and %s", job->node,
				rg_view_answers(view, node) ? "does not any more" : "is down again");
	if (view->now_ms - since <= RG_JOB_SETTLE_MS)
	{
		rg_text(job->message, sizeof(job->message), "%s: %s, then its old directory is removed", how,
				fed ? "see that regentd can log in there" : rg_view_answers(view, node) ? "see its server log" : "start it");
		return;
	}
	rg_text(job->message, sizeof(job->message), "%s; its old directory stays: regent-node %s settle there",
			how, job->node);
	finish(view, d, job, node, true);
}

/* The rule under which it was copied is not in force any more. */
static bool
is_outdated(const RgDecision *d, const RgJob *job)
{
	return job->term != d->memory.rule.term;
}

/* A rewind: what its outcome says of the directory. */
static void
learn_rewound(RgDecision *d, const RgOp *op, int node)
{
	RgRewound  *half = &d->memory.nodes[node].half_rewound;

	if (op->state == RG_OP_LOST || says(op, "half_rewound"))
		*half = RG_REWOUND_HALF;
	/* done; or nothing was touched, nor by an earlier try, but the verb that is at work there may be a rewind */
	else if (op->state == RG_OP_OK || (*half == RG_REWOUND_UNDER_WAY && verdict_of(op) != WAIT))
		*half = RG_REWOUND_WHOLE;
}

/* What became of the step of this try. */
static void
judge(const RgView *view, RgDecision *d, RgJob *job, int node, const JobRow *row)
{
	const RgOp *op = &view->nodes[node].ops[row->step];
	Verdict		verdict = verdict_of(op);

	job->serial++;				/* this try is over */
	if (op->state == RG_OP_OK)
		d->memory.nodes[node].swap_term = 0;	/* the node lets no earlier one in any more */
	if (row->step == RG_STEP_REWIND)
		learn_rewound(d, op, node);
	if (op->state == RG_OP_OK && (is_copying(job) || row->step == RG_STEP_REWIND))
		rg_loss_measure(view, d, node);
	if (op->state == RG_OP_OK && is_copying(job) && is_outdated(d, job))
		step_failed(view, d, job, node, row, TRY_AGAIN, "the leader has changed meanwhile");
	else if (op->state == RG_OP_OK)
	{
		if (job->phase == RG_JOBPHASE_SETTLE)
			job->message[0] = '\0';	/* an earlier try's trouble */
		step_done(view, d, job, node, row);
	}
	else if (job->phase == RG_JOBPHASE_SWAP && job->resumed && (says(op, "no_copy") || says(op, "unsettled")))
	{
		/* no copy was made, and an old directory that lies there is of another job: to take that back would be wrong */
		job->resumed = false;
		enter(job, phase_of(job->using), view->now_ms);
	}
	else if ((op->state == RG_OP_LOST && exchanges(job)) ||
			 (verdict == WAIT && view->now_ms - job->phase_ms < RG_JOB_BUSY_MS))
	{
		rg_text(job->message, sizeof(job->message), "%s", op->text);
		job->busy_ms = view->now_ms;
	}
	else
		step_failed(view, d, job, node, row, verdict, op->text);
}

/* ---- steps ---- */

static void
take_progress(const RgView *view, RgDecision *d, RgJob *job, int node)
{
	const RgNodeView *n = &view->nodes[node];
	uint64_t	now_lsn = view->nodes[d->leader].facts.current_lsn;

	job->bytes = n->copy_bytes;
	job->total = n->copy_total;
	job->bytes_per_s = n->copy_rate;
	memcpy(job->activity, n->copy_phase, sizeof(job->activity));
	if (is_copying(job) && now_lsn > job->begin_lsn && job->begin_lsn != 0)
		job->wal_bytes = (int64_t) (now_lsn - job->begin_lsn);
}

/* Somebody wants it to end: the verb under way is ended, then its remains are removed. */
static bool
is_being_cancelled(const RgView *view, RgDecision *d, RgJob *job, int node, bool is_running, int64_t key)
{
	const RgOp *abort = &view->nodes[node].ops[RG_STEP_ABORT];

	if (!job->cancelled || rg_job_cancel_trouble(&d->memory, job, node) != NULL || job->phase == RG_JOBPHASE_CLEAN)
		return false;
	if (is_running)
	{
		RgStep	   *step = abort->term != key ? rg_decision_step(d, RG_STEP_ABORT, node, -1, d->memory.rule.term) : NULL;

		if (step != NULL)
		{
			step->key = key;
			step->job = job->id;
		}
		return true;
	}
	job->serial++;
	if (is_copying(job))
		enter(job, RG_JOBPHASE_CLEAN, view->now_ms);
	else
		finish(view, d, job, node, false);
	return true;
}

/* What has to be so before the phase's step is sent; true: not now, or not any more. */
static bool
is_held_back(const RgView *view, RgDecision *d, RgJob *job, int node, const JobRow *row)
{
	const RgNodeMemory *mem = &d->memory.nodes[node];

	if (job->phase == RG_JOBPHASE_REWIND && streams(view, d, job, node))
	{
		/* the try before was done after all, only its answer said something else */
		step_done(view, d, job, node, row);
		return true;
	}
	/* begun by an earlier life of this watchdog: the helper knows whether the copy is complete */
	if (is_copying(job) && !job->begun_here && !job->resumed && !is_outdated(d, job))
	{
		job->resumed = true;
		enter(job, RG_JOBPHASE_SWAP, view->now_ms);
		return true;
	}
	if (job->phase == RG_JOBPHASE_SWAP && is_outdated(d, job))
	{
		rg_text(job->message, sizeof(job->message), "copied from %s, but %s leads now, in term %lld: ask again",
				job->source, d->memory.rule.leader, (long long) d->memory.rule.term);
		enter(job, RG_JOBPHASE_UNDO, view->now_ms);
		return true;
	}
	if (job->phase == RG_JOBPHASE_SETTLE && !rg_view_answers(view, node))
	{
		wait_for_settle(view, d, job, node);
		return true;
	}
	/* a later leader was chosen with all that was acknowledged: then the old directory has nothing to give */
	if (job->phase == RG_JOBPHASE_SETTLE && mem->owes_lsn != 0 && !is_outdated(d, job))
	{
		if (!rg_upstream_streams(view, &d->memory, node))
		{
			wait_for_settle(view, d, job, node);
			return true;
		}
		job->streamed_ms = view->now_ms;
		rg_text(job->message, sizeof(job->message),
				"%s streams; its old directory is kept until it has all that the leader had: catching up", job->node);
		return true;
	}
	return false;
}

static void
send(const RgView *view, RgDecision *d, RgJob *job, int node, const JobRow *row, int64_t key)
{
	bool		begins = is_copying(job) || job->phase == RG_JOBPHASE_REWIND;
	int			source = d->leader;
	RgNodeMemory *mem = &d->memory.nodes[node];
	RgStep	   *step;

	if (begins)
	{
		job->resumed = false;
		source = rg_method_source(view, &d->memory, job);
		rg_text(job->source, sizeof(job->source), "%s", view->nodes[source].name);
		job->term = d->memory.rule.term;
		job->begin_lsn = view->nodes[d->leader].facts.current_lsn;
	}
	else if (job->phase == RG_JOBPHASE_SWAP && rg_view_find(view, job->source) >= 0)
		source = rg_view_find(view, job->source);
	if (exchanges(job) || job->phase == RG_JOBPHASE_REWIND)
		mem->owes_lsn = OWES_ALL;
	if (exchanges(job))
	{
		mem->swap_term = d->memory.rule.term;
		mem->swap_seq = d->memory.rule.seq;
	}
	/* one that is sent again had an end that is not known */
	if (job->phase == RG_JOBPHASE_REWIND)
		mem->half_rewound = mem->half_rewound == RG_REWOUND_WHOLE ? RG_REWOUND_UNDER_WAY : RG_REWOUND_HALF;
	step = rg_decision_step(d, row->step, node, source, d->memory.rule.term);
	if (step == NULL)
		return;
	step->key = key;
	step->job = job->id;
	step->ticket = ++d->memory.ticket;
	step->rule_seq = d->memory.rule.seq;
	step->rate_kb = job->rate_kb;
}

void
rg_job_advance(const RgView *view, RgDecision *d, RgJob *job, int node)
{
	const JobRow *row = row_of(job->phase);
	const RgOp *op;
	int64_t		key = job->id * 1024 + job->serial;
	int64_t		wait = job->attempts > 1 ? 1000 << job->attempts : 0;
	bool		is_sent;

	if (row == NULL)
		return;
	if (row->step == RG_STEP_NONE)
	{
		verify(view, d, job, node, row);
		return;
	}
	op = &view->nodes[node].ops[row->step];
	is_sent = op->term == key && op->state != RG_OP_NONE;
	if (is_sent && op->state == RG_OP_RUNNING)
		take_progress(view, d, job, node);
	if (is_being_cancelled(view, d, job, node, is_sent && op->state == RG_OP_RUNNING, key))
		return;
	if (is_sent)
	{
		if (op->state != RG_OP_RUNNING)
			judge(view, d, job, node, row);
		return;
	}
	if (is_held_back(view, d, job, node, row))
		return;
	if (view->nodes[node].ssh != RG_SSHV_READY)
		rg_text(job->message, sizeof(job->message), "waiting for an SSH session to %s: %.150s", job->node,
				view->nodes[node].ssh_text[0] ? view->nodes[node].ssh_text : "not connected yet");
	else if (view->now_ms - job->phase_ms >= wait &&
			 (job->busy_ms == 0 || view->now_ms - job->busy_ms >= 1000))
		send(view, d, job, node, row, key);
}

void
rg_job_lead(const RgView *view, RgDecision *d, RgJob *job, int node)
{
	if (job->phase == RG_JOBPHASE_FOLLOW)
	{
		job->message[0] = '\0';
		finish(view, d, job, node, true);
		return;
	}
	if (job->phase == RG_JOBPHASE_VERIFY)
		enter(job, RG_JOBPHASE_SETTLE, view->now_ms);
	rg_job_advance(view, d, job, node);
}

const char *
rg_job_cancel_trouble(const RgMemory *memory, const RgJob *job, int node)
{
	const JobRow *row = row_of(job->phase);

	/* between two tries that have touched nothing */
	if (job->phase == RG_JOBPHASE_REWIND && node >= 0 && memory->nodes[node].half_rewound == RG_REWOUND_WHOLE)
		return NULL;
	return row != NULL ? row->cancel : NULL;
}

/*
 * What the directories that were swapped out may have acknowledged is at the leader:
 * where it was after the swap is what the copies have to reach (attack V2).
 */
void
rg_job_learn_owed(const RgView *view, RgDecision *d)
{
	const RgNodeView *leader = &view->nodes[d->leader];

	for (int i = 0; i < view->nnodes; i++)
	{
		RgNodeMemory *mem = &d->memory.nodes[i];
		const RgFacts *f = &view->nodes[i].facts;
		const RgJob *job = rg_memory_job(&d->memory, view->nodes[i].name);

		/* it was chosen with all that was acknowledged */
		if (i == d->leader)
			mem->owes_lsn = 0;
		/* its helper refuses what was sent under an older rule than the node itself holds */
		if (i == d->leader ||
			rg_rules_compare(f->rule.term, f->rule.seq, mem->swap_term, mem->swap_seq) > 0)
			mem->swap_term = 0;
		if (mem->owes_lsn == 0 || mem->swap_term != 0 || (job != NULL && job->state == RG_JOB_RUNNING && !rg_job_is_in_place(job)))
			continue;
		if (mem->owes_lsn == OWES_ALL)
		{
			if (job == NULL || leader->facts_ms > job->phase_ms)
				mem->owes_lsn = leader->facts.current_lsn;
		}
		else if (rg_view_is_standby(view, i) && f->rule.term == d->memory.rule.term &&
				 rg_upstream_streams(view, &d->memory, i) && rg_facts_held_lsn(f) >= mem->owes_lsn)
			mem->owes_lsn = 0;
	}
}
