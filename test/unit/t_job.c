/*
 * t_job.c
 *	  The queue of rebuilds and the small rules of memory: when a step may be
 *	  tried again, how texts are cut.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core_view.h"
#include "watchdog/core/job.h"
#include "watchdog/core/method.h"

static World w;
static RgDecision d;

static int
setup(void **state)
{
	(void) state;
	world_healthy(&w, 3);
	w.view.nodes[2].sql = RG_SQL_REFUSED;
	return 0;
}

static const RgJob *
find_job(const RgMemory *memory, int64_t id)
{
	for (int i = 0; i < RG_JOBS_MAX; i++)
		if (memory->jobs[i].id == id)
			return &memory->jobs[i];
	return NULL;
}

static bool
add(const char *node, int64_t id)
{
	return rg_job_add(&w.memory, &w.view, &(RgRebuild) {.node = node, .id = id});
}

static const char *
refusal(const char *node, char *buf)
{
	return rg_job_refusal(&w.view, &w.memory, &(RgRebuild) {.node = node}, buf);
}

static void
test_job_is_queued_once_per_node(void **state)
{
	(void) state;
	assert_true(add("n3", 77));
	assert_false(add("n3", 78));
	assert_non_null(rg_memory_job(&w.memory, "n3"));
	assert_null(rg_memory_job(&w.memory, "n2"));
	assert_int_equal(rg_memory_job(&w.memory, "n3")->state, RG_JOB_QUEUED);
}

static void
test_job_ids_made_here_are_unique(void **state)
{
	int64_t		last = 0;

	(void) state;
	for (int i = 0; i < 10; i++)
	{
		char		name[16];

		snprintf(name, sizeof(name), "node%d", i);
		assert_true(add(name, 0));
		assert_true(rg_memory_job(&w.memory, name)->id > last);
		last = rg_memory_job(&w.memory, name)->id;
	}
}

static void
test_job_queue_is_bounded_and_forgets_the_oldest_ended(void **state)
{
	char		name[16];

	(void) state;
	for (int i = 0; i < RG_JOBS_MAX; i++)
	{
		snprintf(name, sizeof(name), "node%d", i);
		assert_true(add(name, 1000 + i));
	}
	assert_false(add("n3", 2000));
	w.memory.jobs[5].state = w.memory.jobs[9].state = RG_JOB_FAILED;
	w.memory.jobs[5].ended_ms = 20;
	w.memory.jobs[9].ended_ms = 10;
	assert_true(add("n3", 2000));
	assert_null(find_job(&w.memory, 1009));
	assert_non_null(find_job(&w.memory, 1005));
	rg_job_add_failed(&w.memory, &w.view, RG_JOBKIND_REBUILD, "n2", 2001, "refused because");
	assert_null(find_job(&w.memory, 1005));
	assert_int_equal(find_job(&w.memory, 2001)->state, RG_JOB_FAILED);
	assert_string_equal(find_job(&w.memory, 2001)->message, "refused because");
}

/* Whatever the ids: one runs, the oldest request first. */
static void
test_one_job_runs_the_oldest_first(void **state)
{
	int			running = 0;

	(void) state;
	w.view.nodes[1].sql = RG_SQL_REFUSED;
	assert_true(add("n3", 900));
	assert_true(add("n2", 800));
	rg_decide(&w.view, &w.memory, &d);
	assert_int_equal(find_job(&d.memory, 800)->state, RG_JOB_RUNNING);
	assert_int_equal(find_job(&d.memory, 900)->state, RG_JOB_QUEUED);
	for (int i = 0; i < d.nsteps; i++)
		running += d.steps[i].kind == RG_STEP_DELTA;
	assert_int_equal(running, 1);
	assert_true(d.must_record);
}

/* Jobs touch nothing unless the cluster is steady with a primary that answers. */
static void
test_no_job_step_without_a_healthy_leader(void **state)
{
	(void) state;
	assert_true(add("n3", 900));
	for (int sql = 0; sql <= RG_SQL_ERROR; sql++)
	{
		if (sql == RG_SQL_OK)
			continue;
		w.view.nodes[0].sql = (RgSql) sql;
		w.view.nodes[0].lost_ms = NOW - 10;
		rg_decide(&w.view, &w.memory, &d);
		for (int i = 0; i < d.nsteps; i++)
			assert_true(d.steps[i].kind < RG_STEP_COPY);
	}
}

static void
test_refusals(void **state)
{
	char		buf[RG_TEXT_MAX];

	(void) state;
	assert_null(refusal("n3", buf));
	assert_non_null(strstr(refusal("n1", buf), "never rebuilt"));
	assert_non_null(strstr(refusal("n2", buf), "nothing to rebuild"));
	assert_non_null(strstr(refusal("x", buf), "no node \"x\""));
	w.view.nodes[2].ssh = RG_SSHV_BROKEN;
	assert_non_null(strstr(refusal("n3", buf), "no SSH session"));
	w.memory.phase = RG_PHASE_ALARMED;
	assert_non_null(strstr(refusal("n3", buf), "no healthy primary"));
}

/* ---- method.c ---- */

/* What is said twice is told once; what does not fit is cut. */
static void
test_methods_that_were_tried_are_told_once(void **state)
{
	char		why[600];
	RgJob		job = {.method = RG_METHOD_AUTO};

	(void) state;
	rg_method_note(&job, RG_METHOD_REWIND, "it has not diverged");
	rg_method_note(&job, RG_METHOD_DELTA, "symlink: it is a link; write the real path");
	rg_method_note(&job, RG_METHOD_COPY, "symlink: it is a link; write the real path");
	assert_string_equal(job.tried, "rewind: it has not diverged; delta: symlink: it is a link; write the real path; copy: likewise");
	memset(why, 'x', sizeof(why) - 1);
	why[sizeof(why) - 1] = '\0';
	for (int i = 0; i < 10; i++)
		rg_method_note(&job, i % 2 ? RG_METHOD_DELTA : RG_METHOD_COPY, why + i);
	assert_int_equal(strlen(job.tried), sizeof(job.tried) - 1);
}

/* ---- memory.c ---- */

static void
test_back_off_doubles_up_to_five_seconds_and_ends(void **state)
{
	static const int64_t waits[] = {100, 200, 400, 800, 1600, 3200, 5000, 5000};
	RgOp		op = {.state = RG_OP_FAILED, .term = 3, .ended_ms = 1000};

	(void) state;
	for (int i = 0; i < 8; i++)
	{
		op.attempts = i + 1;
		assert_false(rg_op_may_try(&op, 3, 1000 + waits[i] - 1, 100));
		assert_true(rg_op_may_try(&op, 3, 1000 + waits[i], 100));
	}
	assert_true(rg_op_may_try(&op, 4, 1000, 100));	/* another term: at once */
	assert_false(rg_op_may_try(&op, 3, INT64_MAX / 2, 8));
	assert_true(rg_op_gave_up(&op, 3, 8));
	assert_false(rg_op_gave_up(&op, 4, 8));
	op.attempts = 1000000;
	assert_true(rg_op_may_try(&op, 3, 6000, 2000000));
}

static void
test_running_or_done_is_not_tried_again(void **state)
{
	RgOp		op = {.state = RG_OP_RUNNING, .term = 3};

	(void) state;
	assert_false(rg_op_may_try(&op, 3, INT64_MAX / 2, 100));
	assert_false(rg_op_may_try(&op, 4, INT64_MAX / 2, 100));
	op.state = RG_OP_OK;
	assert_false(rg_op_may_try(&op, 3, INT64_MAX / 2, 100));
	assert_true(rg_op_may_try(&op, 4, 0, 100));
	assert_true(rg_op_done(&op, 3));
	assert_false(rg_op_done(&op, 4));
	memset(&op, 0, sizeof(op));
	assert_true(rg_op_may_try(&op, 0, 0, 1));
}

static void
test_steps_and_notes_never_overflow(void **state)
{
	(void) state;
	memset(&d, 0, sizeof(d));
	for (int i = 0; i < RG_STEPS_MAX; i++)
		assert_non_null(rg_decision_step(&d, RG_STEP_PROBE, 0, -1, 0));
	assert_null(rg_decision_step(&d, RG_STEP_PROBE, 0, -1, 0));
	assert_int_equal(d.nsteps, RG_STEPS_MAX);
	for (int i = 0; i < RG_NOTES_MAX + 5; i++)
		rg_decision_note(&d, RG_EVENT_FENCED, 0, 0, false, "%0900d", 7);
	assert_int_equal(d.nnotes, RG_NOTES_MAX);
	assert_int_equal(strlen(d.notes[0].text), RG_LONG_TEXT_MAX - 1);
}

static void
test_phase_age_is_what_this_watchdog_has_seen(void **state)
{
	(void) state;
	w.memory.phase_ms = NOW - 60000;
	w.view.started_ms = NOW - 100;
	assert_int_equal(rg_memory_phase_age_ms(&w.memory, &w.view), 100);
	w.memory.phase_ms = NOW - 10;
	assert_int_equal(rg_memory_phase_age_ms(&w.memory, &w.view), 10);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_job_is_queued_once_per_node, setup),
		cmocka_unit_test_setup(test_job_ids_made_here_are_unique, setup),
		cmocka_unit_test_setup(test_job_queue_is_bounded_and_forgets_the_oldest_ended, setup),
		cmocka_unit_test_setup(test_one_job_runs_the_oldest_first, setup),
		cmocka_unit_test_setup(test_no_job_step_without_a_healthy_leader, setup),
		cmocka_unit_test_setup(test_refusals, setup),
		cmocka_unit_test(test_methods_that_were_tried_are_told_once),
		cmocka_unit_test(test_back_off_doubles_up_to_five_seconds_and_ends),
		cmocka_unit_test(test_running_or_done_is_not_tried_again),
		cmocka_unit_test(test_steps_and_notes_never_overflow),
		cmocka_unit_test_setup(test_phase_age_is_what_this_watchdog_has_seen, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
