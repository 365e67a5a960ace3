/*
 * switch.c
 *	  The stages of a switchover, read off the outcome of its steps.
 *
 * Nothing is remembered of how far it came: each stage is over when its step has
 * succeeded for this term.  A watchdog that was started in the middle of one
 * doesn't go on with it: a leader that answers is left in office, one that is down
 * is replaced.
 */
#include "switch.h"

#include <string.h>

#include "choose.h"
#include "decide.h"
#include "diagnose.h"
#include "learn.h"
#include "order.h"
#include "plan.h"
#include "recruit.h"
#include "upstream.h"

#define CHECKPOINT_MS 60000
#define TRIES 3

typedef enum Stage
{
	STAGE_CHECKPOINT = 0,
	STAGE_PROMISES,				/* of the standbys that stay standbys */
	STAGE_CLOSE,				/* the leader's promise: its gate closes, its sessions end */
	STAGE_STOP,
	STAGE_FENCE					/* and the target's promise */
} Stage;

void
rg_switch_end(const RgView *view, RgMemory *memory, bool done, const char *message)
{
	RgJob	   *job = rg_memory_switchover(memory);

	memory->target[0] = '\0';
	if (job == NULL)
		return;
	job->state = done ? RG_JOB_DONE : RG_JOB_FAILED;
	job->ended_ms = view->now_ms;
	rg_text(job->message, sizeof(job->message), "%s", message);
}

bool
rg_switch_may_begin(const RgView *view, RgDecision *d)
{
	RgMemory   *m = &d->memory;
	char		name[RG_CORE_NAME_MAX];
	char		target[RG_CORE_NAME_MAX];
	char		why[RG_TEXT_MAX];
	bool		refused;

	/* the same questions as when it was asked for; it is not in its own way */
	memcpy(name, m->target, sizeof(name));
	m->target[0] = '\0';
	refused = rg_order_switchover_refusal(view, m, name, target, why) != NULL;
	memcpy(m->target, name, sizeof(name));
	if (!refused)
		return true;
	rg_decision_note(d, RG_EVENT_SWITCHOVER_REFUSED, rg_view_find(view, name), 0, true,
					 "switchover to %s: %.180s", name, why);
	rg_switch_end(view, m, false, why);
	return false;
}

void
rg_switch_begin(const RgView *view, RgDecision *d, int move)
{
	RgMemory   *m = &d->memory;
	RgJob	   *job = rg_memory_switchover(m);

	m->highest_term++;
	m->term = m->highest_term;
	memset(&m->failover, 0, sizeof(m->failover));
	m->failover.term = m->term;
	m->failover.planned = true;
	m->failover.diagnosis = m->diagnosis;
	m->failover.times.called_ms = view->now_ms;
	rg_text(m->failover.from, sizeof(m->failover.from), "%s", m->rule.leader);
	for (int i = 0; i < m->nnodes; i++)
	{
		m->nodes[i].must_end = strcmp(m->nodes[i].name, m->rule.leader) == 0;
		m->nodes[i].ended = false;
	}
	m->candidate[0] = m->refusal[0] = '\0';
	if (job != NULL)
	{
		job->state = RG_JOB_RUNNING;
		rg_text(job->message, sizeof(job->message), "from %s to %s", m->rule.leader, m->target);
	}
	rg_decision_note(d, RG_EVENT_SWITCHOVER_BEGIN, rg_view_find(view, m->target), move, false,
					 "term %lld: from %s to %s", (long long) m->term, m->rule.leader, m->target);
}

static const RgOp *
op_of(const RgView *view, int node, RgStepKind kind)
{
	return &view->nodes[node].ops[kind];
}

/* One of the standbys that stay standbys has not promised; -1 = all that answer have. */
static int
missing_promise(const RgView *view, const RgMemory *m, int leader, int target)
{
	for (int i = 0; i < view->nnodes; i++)
		if (i != leader && i != target && rg_view_is_standby(view, i) &&
			!rg_upstream_is_guest(view, m, i) && !rg_is_recruited(view, i, m->term))
			return i;
	return -1;
}

static Stage
stage_of(const RgView *view, const RgMemory *m, int leader, int target)
{
	if (rg_op_done(op_of(view, leader, RG_STEP_STOP), m->term))
		return STAGE_FENCE;
	if (rg_op_done(op_of(view, leader, RG_STEP_FENCE_SQL), m->term))
		return STAGE_STOP;
	/* once the leader was asked, a standby that came back late is no reason to wait */
	if (op_of(view, leader, RG_STEP_FENCE_SQL)->term == m->term &&
		op_of(view, leader, RG_STEP_FENCE_SQL)->state != RG_OP_NONE)
		return STAGE_CLOSE;
	if (!rg_op_done(op_of(view, leader, RG_STEP_CHECKPOINT), m->term))
		return STAGE_CHECKPOINT;
	return missing_promise(view, m, leader, target) < 0 ? STAGE_CLOSE : STAGE_PROMISES;
}

static RgInput
fail(RgDecision *d, RgInput input, const char *why)
{
	RgJob	   *job = rg_memory_switchover(&d->memory);

	if (job != NULL)
		rg_text(job->message, sizeof(job->message), "%s", why);
	rg_text(d->memory.refusal, sizeof(d->memory.refusal), "%s", why);
	return input;
}

/* The leader is down, or as good as that; that it was stopped is our own doing. */
static bool
leader_is_gone(const RgMemory *m)
{
	return rg_diagnosis_verdict(m->diagnosis) == RG_VERDICT_FAILOVER ||
		m->diagnosis == RG_DIAG_STOPPED;
}

/* We were started in the middle of it, and don't know what was sent. */
static RgInput
notice_after_restart(const RgView *view, RgDecision *d, int leader)
{
	if (!rg_learn_all_tried(view))
		return RG_INPUT_NOTHING;
	if (rg_view_is_primary(view, leader))
		return fail(d, RG_INPUT_SWITCHOVER_FAILED, "regentd was restarted in the middle of it");
	if (leader_is_gone(&d->memory) || rg_view_is_standby(view, leader))
		return fail(d, RG_INPUT_LEADER_DIED, "regentd was restarted after the leader had been stopped");
	return RG_INPUT_NOTHING;
}

/* The leader still runs, or should: what makes it go on after all? */
static RgInput
notice_before_stop(const RgView *view, RgDecision *d, int leader, int target, Stage stage)
{
	static const RgStepKind kinds[] = {RG_STEP_CHECKPOINT, RG_STEP_PROMISE, RG_STEP_FENCE_SQL, RG_STEP_STOP};
	const RgMemory *m = &d->memory;
	const RgNodeView *t = &view->nodes[target];
	const RgOp *op = op_of(view, leader, kinds[stage]);
	char		why[RG_TEXT_MAX] = "";
	int			missing = missing_promise(view, m, leader, target);

	if (!rg_view_is_standby(view, target) && !rg_view_is_untried(view, target))
		rg_text(why, sizeof(why), "%s does not answer any more: %.120s", t->name, t->sql_text);
	else if (stage == STAGE_PROMISES && missing >= 0 &&
			 (view->now_ms - op_of(view, leader, RG_STEP_CHECKPOINT)->ended_ms > RG_RECRUIT_DEADLINE_MS))
		rg_text(why, sizeof(why), "%s has not promised term %lld: %.120s", view->nodes[missing].name,
				(long long) m->term, op_of(view, missing, RG_STEP_PROMISE)->text);
	else if (stage != STAGE_PROMISES && rg_op_gave_up(op, m->term, TRIES))
		rg_text(why, sizeof(why), "%s of %s failed: %.120s", rg_step_name(kinds[stage]),
				view->nodes[leader].name, op->text);
	else if (stage == STAGE_CHECKPOINT && rg_memory_phase_age_ms(m, view) > CHECKPOINT_MS)
		rg_text(why, sizeof(why), "the checkpoint on %s takes longer than %d s", view->nodes[leader].name,
				CHECKPOINT_MS / 1000);
	else if (stage == STAGE_STOP && view->now_ms - op_of(view, leader, RG_STEP_FENCE_SQL)->ended_ms > RG_SWITCH_DEADLINE_MS)
		rg_text(why, sizeof(why), "%s could not be stopped within %d s", view->nodes[leader].name,
				RG_SWITCH_DEADLINE_MS / 1000);
	/* a fast stop that is under way is no death, and can't be called back: one that does not end can be judged */
	if (stage == STAGE_STOP && op->term == m->term && op->state == RG_OP_RUNNING &&
		view->now_ms - op_of(view, leader, RG_STEP_FENCE_SQL)->ended_ms <= RG_SWITCH_DEADLINE_MS)
		return RG_INPUT_NOTHING;
	if (leader_is_gone(m))
		return fail(d, RG_INPUT_LEADER_DIED, why[0] ? why : d->evidence);
	if (why[0] == '\0')
		return RG_INPUT_NOTHING;
	if (rg_view_is_primary(view, leader))
		return fail(d, RG_INPUT_SWITCHOVER_FAILED, why);
	/* neither in office nor known to be down: the diagnosis will tell, or its time is up */
	if (stage == STAGE_STOP)
		return fail(d, RG_INPUT_LEADER_DIED, why);
	rg_text(d->memory.refusal, sizeof(d->memory.refusal), "%s", why);
	return RG_INPUT_NOTHING;
}

/* The control file of the stopped leader, as read after the stop. */
static bool
has_stopped_cleanly(const RgView *view, int leader)
{
	const RgNodeView *n = &view->nodes[leader];

	return n->probe.valid && n->probe.clean && n->probe.postmaster == RG_PM_ABSENT &&
		n->probe.checkpoint_lsn != 0;
}

static RgInput
notice_after_stop(const RgView *view, RgDecision *d, int leader, int target)
{
	RgMemory   *m = &d->memory;
	const RgNodeView *t = &view->nodes[target];
	const RgOp *fence = op_of(view, leader, RG_STEP_FENCE);
	int64_t		age = view->now_ms - op_of(view, leader, RG_STEP_STOP)->ended_ms;
	char		why[RG_TEXT_MAX];

	if (rg_op_done(fence, m->term) && !m->nodes[leader].ended)
	{
		m->nodes[leader].ended = true;
		m->nodes[leader].fenced_term = m->term;
		m->failover.times.fenced_ms = fence->ended_ms;
	}
	if (m->nodes[leader].ended && rg_recruit_is_complete(view, m, target) &&
		has_stopped_cleanly(view, leader))
	{
		if (t->promise.position.lsn > view->nodes[leader].probe.checkpoint_lsn)
		{
			rg_text(m->candidate, sizeof(m->candidate), "%s", t->name);
			return RG_INPUT_SWITCHOVER_READY;
		}
		rg_text(why, sizeof(why), "%s has not received the last WAL of %s", t->name,
				view->nodes[leader].name);
	}
	else if (m->nodes[leader].ended && view->nodes[leader].probe_ms > fence->ended_ms &&
			 !view->nodes[leader].probe.clean)
		rg_text(why, sizeof(why), "%s died before it had stopped: its control file says \"%s\"",
				view->nodes[leader].name, view->nodes[leader].probe.state);
	else if (age > RG_SWITCH_DEADLINE_MS)
		rg_text(why, sizeof(why), "%s is stopped, but after %d s %s", view->nodes[leader].name,
				RG_SWITCH_DEADLINE_MS / 1000,
				!m->nodes[leader].ended ? "it is not fenced"
				: !has_stopped_cleanly(view, leader) ? "its control file does not say \"shut down\""
				: "the target has not replayed all WAL");
	else if (!rg_view_is_standby(view, target) && t->lost_ms != 0 && view->now_ms - t->lost_ms > 1000)
		rg_text(why, sizeof(why), "%s does not answer any more: %.150s", t->name, t->sql_text);
	else
		return RG_INPUT_NOTHING;
	return fail(d, RG_INPUT_LEADER_DIED, why);
}

RgInput
rg_switch_notice(const RgView *view, RgDecision *d)
{
	const RgMemory *m = &d->memory;
	int			leader = rg_view_find(view, m->rule.leader);
	int			target = rg_view_find(view, m->target);
	Stage		stage;

	if (leader < 0)
		return RG_INPUT_NOTHING;	/* taken out of the configuration: put it back */
	if (view->started_ms > m->phase_ms)
		return notice_after_restart(view, d, leader);
	if (target < 0)
		return fail(d, rg_view_is_primary(view, leader) ? RG_INPUT_SWITCHOVER_FAILED : RG_INPUT_LEADER_DIED,
					"the target is not in the configuration any more");
	stage = stage_of(view, m, leader, target);
	if (stage == STAGE_FENCE)
		return notice_after_stop(view, d, leader, target);
	return notice_before_stop(view, d, leader, target, stage);
}

static void
plan_one(const RgView *view, RgDecision *d, RgStepKind kind, int node)
{
	RgStep	   *step;

	if (!rg_op_may_try(op_of(view, node, kind), d->memory.term, view->now_ms, TRIES))
		return;
	step = rg_decision_step(d, kind, node, -1, d->memory.term);
	if (step != NULL && kind != RG_STEP_FENCE)
		step->expect = view->nodes[node].facts.start;
}

void
rg_switch_plan(const RgView *view, RgDecision *d)
{
	RgMemory   *m = &d->memory;
	int			leader = rg_view_find(view, m->rule.leader);
	int			target = rg_view_find(view, m->target);

	if (leader < 0 || target < 0 || view->started_ms > m->phase_ms)
		return;
	switch (stage_of(view, m, leader, target))
	{
		case STAGE_CHECKPOINT:
			if (rg_view_is_primary(view, leader))
				plan_one(view, d, RG_STEP_CHECKPOINT, leader);
			break;
		case STAGE_PROMISES:
			for (int i = 0; i < view->nnodes; i++)
				if (i != leader && i != target)
					rg_plan_promise(view, d, i, false, TRIES);
			break;
		case STAGE_CLOSE:
			if (!rg_view_is_primary(view, leader))
				break;
			/* from here on no write is acknowledged */
			if (m->failover.times.lost_ms == 0)
				m->failover.times.lost_ms = view->now_ms;
			plan_one(view, d, RG_STEP_FENCE_SQL, leader);
			break;
		case STAGE_STOP:
			if (view->nodes[leader].ssh == RG_SSHV_READY)
				plan_one(view, d, RG_STEP_STOP, leader);
			break;
		case STAGE_FENCE:
			if (view->nodes[leader].ssh == RG_SSHV_READY && !rg_view_is_primary(view, leader))
				plan_one(view, d, RG_STEP_FENCE, leader);
			rg_plan_promise(view, d, target, true, TRIES);
			break;
	}
}
