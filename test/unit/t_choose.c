/*
 * t_choose.c
 *	  Who takes over: the total order, and a reason for everybody else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core_view.h"
#include "watchdog/core/choose.h"

#define TERM 2

static World w;
static RgChoice choice;

/* n1 has crashed, the others have promised. */
static int
setup(void **state)
{
	(void) state;
	world_healthy(&w, 4);
	world_crash(&w, 0);
	w.memory.phase = RG_PHASE_RECRUITING;
	w.memory.phase_ms = NOW - 100;
	for (int i = 1; i < 4; i++)
		world_promise(&w, i, TERM);
	return 0;
}

static int
choose(void)
{
	rg_choose(&w.view, &w.memory, TERM, 0, &choice);
	/* chosen or not: everybody has a reason, and exactly the eligible ones could be */
	for (int i = 0; i < w.view.nnodes; i++)
		assert_true(choice.reasons[i][0] != '\0');
	assert_true(choice.summary[0] != '\0');
	if (choice.node >= 0)
		assert_true(choice.eligible[choice.node]);
	return choice.node;
}

static void
test_choose_is_by_name_among_equals(void **state)
{
	(void) state;
	assert_int_equal(choose(), 1);
	assert_non_null(strstr(choice.reasons[0], "has not promised term 2"));
	assert_non_null(strstr(choice.reasons[2], "as advanced as n2"));
}

static void
test_choose_prefers_higher_priority_among_equals(void **state)
{
	(void) state;
	w.view.nodes[3].priority = 101;
	assert_int_equal(choose(), 3);
	assert_non_null(strstr(choice.reasons[1], "priority"));
}

static void
test_choose_prefers_synchronous_before_priority(void **state)
{
	(void) state;
	w.view.nodes[3].priority = 101;
	w.view.nodes[0].facts.sync_with_us = 1u << 2;
	assert_int_equal(choose(), 2);
}

static void
test_choose_prefers_higher_lsn(void **state)
{
	(void) state;
	w.view.nodes[1].priority = 1000;
	w.view.nodes[2].promise.position.lsn++;
	assert_int_equal(choose(), 2);
	assert_non_null(strstr(choice.reasons[1], "(1 bytes more)"));
}

static void
test_choose_prefers_timeline_before_lsn(void **state)
{
	(void) state;
	w.view.nodes[1].promise.position.lsn = UINT64_MAX;
	w.view.nodes[3].promise.position.timeline = 2;
	assert_int_equal(choose(), 3);
	assert_non_null(strstr(choice.reasons[1], "is on timeline 1, n4 on 2"));
}

static void
test_choose_prefers_rule_before_timeline(void **state)
{
	(void) state;
	w.view.nodes[1].promise.position.timeline = 9;
	w.view.nodes[3].promise.position.rule_seq = 2;
	assert_int_equal(choose(), 3);
}

static void
test_choose_never_one_without_promise_for_this_term(void **state)
{
	(void) state;
	w.view.nodes[1].promise.term = TERM - 1;
	w.view.nodes[2].promise.term = TERM + 1;
	assert_int_equal(choose(), 3);
}

static void
test_choose_never_one_restarted_since(void **state)
{
	(void) state;
	w.view.nodes[1].facts.start.pid = 4242;
	w.view.nodes[2].facts.start.started_s += 3;
	snprintf(w.view.nodes[3].facts.start.boot_id, 37, "another");
	assert_int_equal(choose(), -1);
	assert_non_null(strstr(choice.summary, "nobody"));
}

static void
test_choose_incomplete_is_neither_candidate_nor_proof(void **state)
{
	(void) state;
	w.view.nodes[1].promise.position.lsn += 100;
	w.view.nodes[1].promise.complete = false;
	assert_int_equal(choose(), 2);
	assert_non_null(strstr(choice.reasons[1], "could not replay"));
}

static void
test_choose_who_fetches_when_the_best_may_not(void **state)
{
	(void) state;
	w.view.nodes[1].promise.position.lsn += 100;
	w.view.nodes[1].priority = 0;
	w.view.nodes[3].promise.position.lsn += 10;
	assert_int_equal(choose(), -1);
	assert_int_equal(choice.source, 1);
	assert_int_equal(choice.fetcher, 3);	/* the least to fetch, then as ever */
	assert_int_equal(choice.until, 0x5000064);
	assert_non_null(strstr(choice.summary, "from n2 (priority 0"));
	assert_non_null(strstr(choice.reasons[2], "n2 up to 0/5000064"));
	w.view.nodes[3].promise.position.lsn -= 10;
	w.view.nodes[3].priority = 200;
	assert_int_equal(choose(), -1);
	assert_int_equal(choice.fetcher, 3);
	w.view.nodes[3].priority = 0;
	assert_int_equal(choose(), -1);
	assert_int_equal(choice.fetcher, 2);
}

static void
test_choose_nobody_when_nobody_can_fetch(void **state)
{
	(void) state;
	w.view.nodes[1].promise.position.lsn += 100;
	w.view.nodes[1].priority = 0;
	for (int i = 2; i < 4; i++)
		w.view.nodes[i].promise.terms[0].timeline = 7;	/* went on in a history of its own */
	for (int i = 2; i < 4; i++)
		w.view.nodes[i].promise.terms[0].term = 9;
	assert_int_equal(choose(), -1);
	assert_int_equal(choice.fetcher, -1);
	assert_non_null(strstr(choice.summary, "nobody: n2 has the most (up to 0/5000064) but priority 0"));
}

static void
test_choose_one_that_is_stuck_is_fetched_from(void **state)
{
	(void) state;
	w.view.nodes[1].promise.complete = false;
	w.view.nodes[1].promise.position.lsn -= 1000;
	w.view.nodes[1].promise.position.rule_seq = 0;	/* the newest rule is not replayed yet */
	w.view.nodes[1].promise.held_lsn = 0x5000064;
	assert_int_equal(choose(), -1);
	assert_int_equal(choice.source, 1);
	assert_int_equal(choice.fetcher, 2);
	assert_int_equal(choice.until, 0x5000064);
	/* it ends in half a record */
	w.view.nodes[2].promise.position.lsn = 0x5000060;
	w.view.nodes[2].promise.held_lsn = 0x5000064;
	assert_int_equal(choose(), 2);
	assert_non_null(strstr(choice.reasons[1], "could not replay all its WAL in time: it has WAL up to 0/5000064"));
	assert_non_null(strstr(choice.reasons[3], "not all of it replayed"));
}

static void
test_choose_passes_over_a_stuck_one_in_async_only(void **state)
{
	(void) state;
	w.memory.term = TERM;
	w.view.nodes[1].promise.complete = false;
	w.view.nodes[1].promise.held_lsn = 0x5000064;
	for (int i = 2; i < 4; i++)
	{
		RgOp	   *op = &w.view.nodes[i].ops[RG_STEP_FETCH];

		op->term = TERM;
		op->state = RG_OP_REFUSED;
		op->attempts = RG_FETCH_TRIES;
	}
	assert_int_equal(choose(), 2);
	snprintf(w.memory.rule.durability, sizeof(w.memory.rule.durability), "sync");
	w.memory.rule.quorum = 1;
	assert_int_equal(choose(), -1);
	assert_int_equal(choice.fetcher, 2);
}

static void
test_choose_nobody_when_the_best_is_rebuilt(void **state)
{
	(void) state;
	w.memory.jobs[0].id = 8;
	w.memory.jobs[0].kind = RG_JOBKIND_REBUILD;
	w.memory.jobs[0].state = RG_JOB_QUEUED;
	snprintf(w.memory.jobs[0].node, sizeof(w.memory.jobs[0].node), "n2");
	w.view.nodes[1].promise.position.lsn += 100;
	assert_int_equal(choose(), -1);
	assert_non_null(strstr(choice.summary, "is being rebuilt"));
	w.memory.jobs[0].state = RG_JOB_DONE;
	assert_int_equal(choose(), 1);
}

static void
test_choose_failed_candidate_comes_last_among_equals_only(void **state)
{
	(void) state;
	w.view.nodes[1].priority = 1000;
	w.view.nodes[1].facts.promoting_term = TERM;
	assert_int_equal(choose(), 2);
	w.view.nodes[1].promise.position.lsn++;
	assert_int_equal(choose(), 1);
}

static void
test_choose_silent_one_with_more_is_given_up_in_async_only(void **state)
{
	(void) state;
	w.view.nodes[1].promise.position.lsn++;
	w.view.nodes[1].sql = RG_SQL_SILENT;
	assert_int_equal(choose(), -1);
	assert_non_null(strstr(choice.summary, "does not answer any more"));
	w.memory.phase_ms = NOW - RG_RECRUIT_DEADLINE_MS;
	assert_int_equal(choose(), 2);
	snprintf(w.memory.rule.durability, sizeof(w.memory.rule.durability), "sync");
	assert_int_equal(choose(), -1);
	snprintf(w.memory.rule.durability, sizeof(w.memory.rule.durability), "strict");
	assert_int_equal(choose(), -1);
}

static void
test_choose_never_one_that_has_nothing_of_this_term(void **state)
{
	(void) state;
	w.memory.rule.term = 5;
	assert_int_equal(choose(), -1);
	assert_non_null(strstr(choice.summary, "never streamed in term 5"));
	w.view.nodes[3].promise.position.rule_term = 5;
	assert_int_equal(choose(), 3);
}

/* A total order: whoever is taken away, the rest keep their order; no ties, no loops. */
static void
test_choose_is_a_total_order(void **state)
{
	uint32_t	seed = 20240817;

	for (int round = 0; round < 20000; round++)
	{
		int			first;

		(void) setup(state);
		for (int i = 1; i < 4; i++)
		{
			RgPosition *p = &w.view.nodes[i].promise.position;

			seed = seed * 1664525 + 1013904223;
			p->rule_term = 1 + (seed >> 30 & 1);
			p->timeline = 1 + (seed >> 29 & 1);
			p->lsn = 100 + (seed >> 27 & 3);
			w.view.nodes[i].priority = 1 + (int) (seed >> 26 & 1);
			w.view.nodes[0].facts.sync_with_us |= (seed >> 25 & 1) << i;
		}
		first = choose();
		assert_true(first > 0);
		for (int i = 1; i < 4; i++)
		{
			assert_true(rg_rules_compare_position(&w.view.nodes[i].promise.position,
												  &w.view.nodes[first].promise.position) <= 0);
			if (i == first)
				continue;
			w.view.nodes[i].promise.term = 0;
			assert_int_equal(choose(), first);
			w.view.nodes[i].promise.term = TERM;
		}
	}
}

static void
test_prospect_is_the_streaming_standby(void **state)
{
	(void) state;
	world_healthy(&w, 3);
	w.view.nodes[2].facts.receive_lsn = 0x4FFFFFF;	/* a moment behind in the stream */
	w.view.nodes[2].facts.replay_lsn = 0x4FFFFFF;
	w.view.nodes[2].priority = 200;
	rg_choose_prospect(&w.view, &w.memory, 0, &choice);
	assert_int_equal(choice.node, 2);
	assert_string_equal(choice.reasons[0], "leads");
	w.view.nodes[2].facts.replay_lag_bytes = 2 * 1024 * 1024;
	rg_choose_prospect(&w.view, &w.memory, 0, &choice);
	assert_int_equal(choice.node, 1);
	w.view.nodes[1].sql = RG_SQL_REFUSED;
	rg_choose_prospect(&w.view, &w.memory, 0, &choice);
	assert_int_equal(choice.node, 2);
	assert_non_null(strstr(choice.reasons[1], "no standby that answers"));
	w.view.nodes[2].priority = 0;
	rg_choose_prospect(&w.view, &w.memory, 0, &choice);
	assert_int_equal(choice.node, -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_choose_is_by_name_among_equals, setup),
		cmocka_unit_test_setup(test_choose_prefers_higher_priority_among_equals, setup),
		cmocka_unit_test_setup(test_choose_prefers_synchronous_before_priority, setup),
		cmocka_unit_test_setup(test_choose_prefers_higher_lsn, setup),
		cmocka_unit_test_setup(test_choose_prefers_timeline_before_lsn, setup),
		cmocka_unit_test_setup(test_choose_prefers_rule_before_timeline, setup),
		cmocka_unit_test_setup(test_choose_never_one_without_promise_for_this_term, setup),
		cmocka_unit_test_setup(test_choose_never_one_restarted_since, setup),
		cmocka_unit_test_setup(test_choose_incomplete_is_neither_candidate_nor_proof, setup),
		cmocka_unit_test_setup(test_choose_who_fetches_when_the_best_may_not, setup),
		cmocka_unit_test_setup(test_choose_nobody_when_nobody_can_fetch, setup),
		cmocka_unit_test_setup(test_choose_one_that_is_stuck_is_fetched_from, setup),
		cmocka_unit_test_setup(test_choose_passes_over_a_stuck_one_in_async_only, setup),
		cmocka_unit_test_setup(test_choose_nobody_when_the_best_is_rebuilt, setup),
		cmocka_unit_test_setup(test_choose_failed_candidate_comes_last_among_equals_only, setup),
		cmocka_unit_test_setup(test_choose_silent_one_with_more_is_given_up_in_async_only, setup),
		cmocka_unit_test_setup(test_choose_never_one_that_has_nothing_of_this_term, setup),
		cmocka_unit_test_setup(test_choose_is_a_total_order, setup),
		cmocka_unit_test_setup(test_prospect_is_the_streaming_standby, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
