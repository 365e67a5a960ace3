/*
 * t_lease.c
 *	  Grants and bounds: who may be granted a lease, until when, and when the last
 *	  one has surely run out (attacks F1, F4, F6, F10, F13, V4, V6).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core_view.h"
#include "watchdog/core/lease.h"

#define BOOT 7000000
#define LEASE 5000
#define MARGIN (50 + 2)			/* fixed part, and 400 ppm of 5 s */

static World w;

/* A healthy cluster whose leader has shown its clock and is admitted. */
static void
granted(int nnodes)
{
	world_healthy(&w, nnodes);
	for (int i = 0; i < nnodes; i++)
	{
		w.view.nodes[i].facts.rule.lease_ms = LEASE;
		w.view.nodes[i].facts.boottime_ms = BOOT + i;
		w.view.nodes[i].facts.gate = RG_GATEV_CLOSED;
	}
	w.memory.rule.lease_ms = LEASE;
	w.memory.lease_ms = LEASE;
	w.memory.nodes[0].admitted = w.view.nodes[0].facts.start;
}

static bool
is_granted(int node)
{
	int64_t		term = -1;
	int64_t		until = -1;
	bool		yes = rg_lease_grant(&w.view, &w.memory, node, &term, &until);

	if (yes)
	{
		assert_int_equal(term, w.memory.rule.term);
		assert_int_equal(until, w.view.nodes[node].facts.boottime_ms + LEASE);
	}
	else
	{
		assert_int_equal(term, -1);
		assert_int_equal(until, -1);
	}
	return yes;
}

static void
test_the_leader_is_granted_in_its_own_clock(void **state)
{
	(void) state;
	granted(3);
	assert_true(is_granted(0));
	assert_false(is_granted(1));
	assert_false(is_granted(2));
}

/* The length is that of the rule in force, never that of the configuration (F6). */
static void
test_the_length_is_that_of_the_rule(void **state)
{
	int64_t		term;
	int64_t		until;

	(void) state;
	granted(3);
	w.view.settings.lease_ms = 30000;
	assert_true(rg_lease_grant(&w.view, &w.memory, 0, &term, &until));
	assert_int_equal(until, BOOT + LEASE);
}

static void
test_phases_that_grant(void **state)
{
	static const RgPhase yes[] = {RG_PHASE_STEADY, RG_PHASE_SUSPECTING, RG_PHASE_WAITING,
	RG_PHASE_ALARMED};
	static const RgPhase no[] = {RG_PHASE_STARTING, RG_PHASE_RECRUITING, RG_PHASE_PROMOTING,
	RG_PHASE_RULING, RG_PHASE_UNDOING};

	(void) state;
	granted(3);
	for (unsigned i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
	{
		w.memory.phase = yes[i];
		assert_true(is_granted(0));
	}
	for (unsigned i = 0; i < sizeof(no) / sizeof(no[0]); i++)
	{
		w.memory.phase = no[i];
		assert_false(is_granted(0));
	}
	/* in an undo the one that goes on */
	w.memory.phase = RG_PHASE_UNDOING;
	snprintf(w.memory.candidate, sizeof(w.memory.candidate), "n1");
	assert_true(is_granted(0));
	snprintf(w.memory.candidate, sizeof(w.memory.candidate), "n2");
	assert_false(is_granted(0));
}

static void
test_switchover_grants_until_the_promise_is_asked_for(void **state)
{
	(void) state;
	granted(3);
	w.memory.phase = RG_PHASE_SWITCHING;
	w.memory.phase_ms = NOW - 10;
	w.memory.term = 2;
	assert_true(is_granted(0));
	w.view.nodes[0].ops[RG_STEP_FENCE_SQL].state = RG_OP_LOST;
	w.view.nodes[0].ops[RG_STEP_FENCE_SQL].term = 2;
	assert_false(is_granted(0));
	/* that was in another term */
	w.view.nodes[0].ops[RG_STEP_FENCE_SQL].term = 1;
	assert_true(is_granted(0));
	/* started in the middle of it: it may have been asked for */
	w.view.started_ms = NOW - 5;
	assert_false(is_granted(0));
}

static void
test_nothing_is_granted_in_doubt(void **state)
{
	(void) state;
	granted(3);
	w.view.clock_jumped = true;
	assert_false(is_granted(0));

	granted(3);
	w.memory.diagnosis = RG_DIAG_NOT_OBEYED;
	assert_false(is_granted(0));

	/* anywhere a later start of ourselves (F1) */
	granted(3);
	w.view.nodes[2].sql = RG_SQL_LOWER_COUNTER;
	assert_false(is_granted(0));

	granted(3);
	w.view.nodes[0].facts.boottime_ms = 0;
	assert_false(is_granted(0));

	granted(3);
	w.view.nodes[0].facts.in_recovery = true;
	assert_false(is_granted(0));

	/* it holds another rule than the one that names it */
	granted(3);
	w.memory.rule.term = 2;
	assert_false(is_granted(0));

	granted(3);
	w.view.nodes[0].facts.valid = false;
	assert_false(is_granted(0));
}

static void
test_an_old_journal_opens_nothing_before_it_is_confirmed(void **state)
{
	(void) state;
	granted(3);
	w.view.maybe_restored = true;
	w.memory.confirmed = false;
	assert_false(is_granted(0));
	w.view.nodes[0].facts.gate = RG_GATEV_UNKNOWN;
	assert_false(is_granted(0));
	/* an open one is open anyway */
	w.view.nodes[0].facts.gate = RG_GATEV_OPEN;
	assert_true(is_granted(0));
	w.view.nodes[0].facts.gate = RG_GATEV_CLOSED;
	w.memory.confirmed = true;
	assert_true(is_granted(0));
}

static void
test_another_server_start_is_not_granted_before_it_is_admitted(void **state)
{
	(void) state;
	granted(3);
	w.view.nodes[0].facts.start.pid++;
	assert_false(is_granted(0));
}

/* A standby showed WAL that the leader lacks: nothing until it was judged (F10). */
static void
test_a_leader_that_others_are_ahead_of_is_not_granted(void **state)
{
	(void) state;
	granted(3);
	snprintf(w.view.nodes[0].facts.ahead, sizeof(w.view.nodes[0].facts.ahead), "n2");
	assert_true(is_granted(0));
	w.view.nodes[1].facts.receive_lsn += 100;
	assert_false(is_granted(0));
	w.view.nodes[0].facts.current_lsn += 100;
	assert_true(is_granted(0));
	w.memory.newest.rule_term = 1;
	w.memory.newest.rule_seq = 1;
	w.memory.newest.timeline = 1;
	w.memory.newest.lsn = w.view.nodes[0].facts.current_lsn + 1;
	assert_false(is_granted(0));
}

static void
test_the_bound_runs_from_the_newest_answer(void **state)
{
	(void) state;
	granted(3);
	w.view.nodes[0].facts_ms = NOW - 1000;
	assert_int_equal(rg_lease_bound_ms(&w.view, &w.memory, 0), NOW - 1000 + LEASE + MARGIN);
	w.view.nodes[0].facts_ms = NOW;
	assert_int_equal(rg_lease_bound_ms(&w.view, &w.memory, 0), NOW + LEASE + MARGIN);
}

/* A restarted watchdog granted the moment before (V6, V7). */
static void
test_a_restart_assumes_a_grant_the_moment_before(void **state)
{
	(void) state;
	granted(3);
	w.view.started_ms = NOW - 10;
	w.view.nodes[0].facts_ms = 0;
	w.view.nodes[0].facts.valid = false;
	assert_int_equal(rg_lease_bound_ms(&w.view, &w.memory, 0), NOW - 10 + LEASE + MARGIN);
}

/* F6: the longest that may be in force; a shorter configuration shortens nothing. */
static void
test_the_bound_takes_the_longest_lease(void **state)
{
	(void) state;
	granted(3);
	w.memory.lease_ms = 30000;
	w.view.settings.lease_ms = 2000;
	assert_int_equal(rg_lease_longest_ms(&w.view, &w.memory), 30000);
	assert_int_equal(rg_lease_bound_ms(&w.view, &w.memory, 0), NOW + 30000 + 62);
	/* a newer rule that a node shows */
	w.memory.lease_ms = LEASE;
	w.view.nodes[1].facts.rule.seq = 2;
	w.view.nodes[1].facts.rule.lease_ms = 60000;
	assert_int_equal(rg_lease_longest_ms(&w.view, &w.memory), 60000);
	/* an older one was superseded, unless the journal knows nothing */
	w.view.nodes[1].facts.rule.term = 0;
	assert_int_equal(rg_lease_longest_ms(&w.view, &w.memory), LEASE);
	w.memory.lease_ms = 0;
	assert_int_equal(rg_lease_longest_ms(&w.view, &w.memory), 60000);
	/* nobody says anything */
	w.memory.rule.lease_ms = 0;
	for (int i = 0; i < 3; i++)
		w.view.nodes[i].facts.rule.lease_ms = 0;
	assert_int_equal(rg_lease_longest_ms(&w.view, &w.memory), 2000);
}

/* F4, V4: what the standbys gave ends with the last WAL of any recruited one, two clocks off. */
static void
test_the_bound_counts_the_last_wal_of_the_recruited(void **state)
{
	(void) state;
	granted(3);
	w.view.nodes[0].facts_ms = NOW - 60000;
	w.memory.term = 2;
	assert_int_equal(rg_lease_bound_ms(&w.view, &w.memory, 0), NOW - 60000 + LEASE + MARGIN);
	world_promise(&w, 1, 2);
	w.view.nodes[1].promise.at_ms = NOW - 100;
	w.view.nodes[1].promise.last_wal_age_ms = 2000;
	assert_int_equal(rg_lease_bound_ms(&w.view, &w.memory, 0), NOW - 2100 + LEASE + 2 * MARGIN);
	world_promise(&w, 2, 2);
	w.view.nodes[2].promise.at_ms = NOW - 50;
	w.view.nodes[2].promise.last_wal_age_ms = 10;
	assert_int_equal(rg_lease_bound_ms(&w.view, &w.memory, 0), NOW - 60 + LEASE + 2 * MARGIN);
	/* age unknown: as if it came with the answer */
	w.view.nodes[2].promise.last_wal_age_ms = -1;
	assert_int_equal(rg_lease_bound_ms(&w.view, &w.memory, 0), NOW - 50 + LEASE + 2 * MARGIN);
	/* of another term, of another server start, by a primary: not recruited */
	w.view.nodes[2].promise.term = 1;
	assert_int_equal(rg_lease_bound_ms(&w.view, &w.memory, 0), NOW - 2100 + LEASE + 2 * MARGIN);
	w.view.nodes[1].facts.start.pid++;
	assert_int_equal(rg_lease_bound_ms(&w.view, &w.memory, 0), NOW - 60000 + LEASE + MARGIN);
}

/* A gate that is off or overridden obeys no lease: its end proves nothing. */
static void
test_no_bound_where_the_gate_is_not_in_force(void **state)
{
	(void) state;
	granted(3);
	w.memory.nodes[0].ungated = true;
	assert_true(rg_lease_bound_ms(&w.view, &w.memory, 0) == INT64_MAX);
	assert_true(rg_lease_bound_ms(&w.view, &w.memory, 7) == INT64_MAX);
	assert_true(rg_lease_bound_ms(&w.view, &w.memory, -1) == INT64_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_leader_is_granted_in_its_own_clock),
		cmocka_unit_test(test_the_length_is_that_of_the_rule),
		cmocka_unit_test(test_phases_that_grant),
		cmocka_unit_test(test_switchover_grants_until_the_promise_is_asked_for),
		cmocka_unit_test(test_nothing_is_granted_in_doubt),
		cmocka_unit_test(test_an_old_journal_opens_nothing_before_it_is_confirmed),
		cmocka_unit_test(test_another_server_start_is_not_granted_before_it_is_admitted),
		cmocka_unit_test(test_a_leader_that_others_are_ahead_of_is_not_granted),
		cmocka_unit_test(test_the_bound_runs_from_the_newest_answer),
		cmocka_unit_test(test_a_restart_assumes_a_grant_the_moment_before),
		cmocka_unit_test(test_the_bound_takes_the_longest_lease),
		cmocka_unit_test(test_the_bound_counts_the_last_wal_of_the_recruited),
		cmocka_unit_test(test_no_bound_where_the_gate_is_not_in_force),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
