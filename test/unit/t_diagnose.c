/*
 * t_diagnose.c
 *	  The evidence table as rows: what is seen of the leader -> diagnosis.
 *
 * The stories with their waits and moves are decision cases (test/decide); here
 * stands the table itself, and what must hold for whole families of inputs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core_view.h"
#include "watchdog/core/diagnose.h"

#define COUNT(array) ((int) (sizeof(array) / sizeof((array)[0])))

static World w;
static char evidence[RG_TEXT_MAX];

static RgDiagnosis
diagnose(void)
{
	RgDiagnosis d = rg_diagnose(&w.view, &w.memory, 0, evidence, sizeof(evidence));

	assert_true(evidence[0] != '\0');
	return d;
}

typedef struct Row
{
	RgSql		sql;
	RgSshView	ssh;
	RgPostmaster postmaster;	/* UNKNOWN: the helper has not answered since the loss */
	const char *state;
	bool		goodbye;
	bool		streams;		/* the standbys still receive */
	int64_t		lost_for_ms;
	RgDiagnosis diagnosis;
} Row;

static const Row rows[] = {
	/* sql           ssh               postmaster     state            goodbye streams  for */
	{RG_SQL_REFUSED, RG_SSHV_READY, RG_PM_ABSENT, "in production", false, false, 10, RG_DIAG_CRASHED},
	{RG_SQL_CLOSED, RG_SSHV_READY, RG_PM_ABSENT, "in production", false, true, 10, RG_DIAG_CRASHED},
	{RG_SQL_SILENT, RG_SSHV_READY, RG_PM_ABSENT, "in production", false, true, 10, RG_DIAG_CRASHED},
	{RG_SQL_REFUSED, RG_SSHV_READY, RG_PM_ABSENT, "in crash recovery", false, false, 10, RG_DIAG_CRASHED},
	{RG_SQL_REFUSED, RG_SSHV_READY, RG_PM_ABSENT, "shut down", false, false, 10, RG_DIAG_STOPPED},
	{RG_SQL_REFUSED, RG_SSHV_READY, RG_PM_ABSENT, "shut down", true, false, 30000, RG_DIAG_STOPPED},
	{RG_SQL_REFUSED, RG_SSHV_READY, RG_PM_ABSENT, "shut down", true, false, 30001, RG_DIAG_OVERDUE},
	{RG_SQL_CLOSED, RG_SSHV_READY, RG_PM_ALIVE, "in production", true, false, 10, RG_DIAG_STOPPED},
	{RG_SQL_STARTING, RG_SSHV_READY, RG_PM_ALIVE, "in crash recovery", false, false, 10, RG_DIAG_RECOVERING},
	{RG_SQL_STARTING, RG_SSHV_SILENT, RG_PM_UNKNOWN, "", false, false, 30000, RG_DIAG_RECOVERING},
	{RG_SQL_STARTING, RG_SSHV_READY, RG_PM_ALIVE, "in crash recovery", false, false, 30001, RG_DIAG_OVERDUE},
	{RG_SQL_STARTING, RG_SSHV_READY, RG_PM_ALIVE, "in production", true, false, 10, RG_DIAG_STOPPED},
	{RG_SQL_REFUSED, RG_SSHV_READY, RG_PM_ALIVE, "in production", false, false, 10, RG_DIAG_RECOVERING},
	{RG_SQL_REFUSED, RG_SSHV_READY, RG_PM_ALIVE, "in production", false, true, 60000, RG_DIAG_CUT_OFF},
	{RG_SQL_SATURATED, RG_SSHV_READY, RG_PM_ABSENT, "in production", false, false, 90000, RG_DIAG_SATURATED},
	{RG_SQL_LOGIN, RG_SSHV_SILENT, RG_PM_UNKNOWN, "", false, false, 90000, RG_DIAG_LOGIN_REFUSED},
	{RG_SQL_NO_EXTENSION, RG_SSHV_READY, RG_PM_ALIVE, "", false, false, 90000, RG_DIAG_LOGIN_REFUSED},
	{RG_SQL_OTHER_WATCHDOG, RG_SSHV_READY, RG_PM_ALIVE, "", false, false, 90000, RG_DIAG_NOT_OBEYED},
	{RG_SQL_LOWER_COUNTER, RG_SSHV_READY, RG_PM_ABSENT, "in production", false, false, 90000, RG_DIAG_NOT_OBEYED},
	{RG_SQL_ERROR, RG_SSHV_READY, RG_PM_ALIVE, "", false, false, 90000, RG_DIAG_LOGIN_REFUSED},
	{RG_SQL_WRONG_SERVER, RG_SSHV_READY, RG_PM_ALIVE, "", false, false, 90000, RG_DIAG_WRONG_SERVER},
	{RG_SQL_SILENT, RG_SSHV_READY, RG_PM_FROZEN, "in production", false, true, 3000, RG_DIAG_SUSPECT},
	{RG_SQL_SILENT, RG_SSHV_READY, RG_PM_FROZEN, "in production", false, true, 3001, RG_DIAG_HUNG},
	{RG_SQL_SILENT, RG_SSHV_READY, RG_PM_ALIVE, "in production", false, false, 3001, RG_DIAG_HUNG},
	{RG_SQL_SILENT, RG_SSHV_READY, RG_PM_ALIVE, "in production", false, true, 3001, RG_DIAG_CUT_OFF},
	{RG_SQL_SILENT, RG_SSHV_READY, RG_PM_UNKNOWN, "", false, false, 1000, RG_DIAG_SUSPECT},
	{RG_SQL_SILENT, RG_SSHV_READY, RG_PM_UNKNOWN, "", false, false, 5001, RG_DIAG_UNPROVEN},
	{RG_SQL_SILENT, RG_SSHV_SILENT, RG_PM_UNKNOWN, "", false, true, 5001, RG_DIAG_CUT_OFF},
	{RG_SQL_UNREACHABLE, RG_SSHV_SILENT, RG_PM_UNKNOWN, "", false, true, 90000, RG_DIAG_CUT_OFF},
	{RG_SQL_SILENT, RG_SSHV_SILENT, RG_PM_UNKNOWN, "", false, false, 2400, RG_DIAG_SUSPECT},
	{RG_SQL_SILENT, RG_SSHV_SILENT, RG_PM_UNKNOWN, "", false, false, 2601, RG_DIAG_HOST_LOST},
	{RG_SQL_UNREACHABLE, RG_SSHV_BROKEN, RG_PM_UNKNOWN, "", false, false, 90000, RG_DIAG_HOST_LOST},
	{RG_SQL_SILENT, RG_SSHV_BROKEN, RG_PM_UNKNOWN, "", false, false, 29000, RG_DIAG_UNPROVEN},
	{RG_SQL_SILENT, RG_SSHV_BROKEN, RG_PM_UNKNOWN, "", false, false, 30001, RG_DIAG_OVERDUE},
	{RG_SQL_REFUSED, RG_SSHV_BROKEN, RG_PM_UNKNOWN, "", false, false, 29000, RG_DIAG_UNPROVEN},
	{RG_SQL_REFUSED, RG_SSHV_BROKEN, RG_PM_UNKNOWN, "", false, true, 90000, RG_DIAG_UNPROVEN},
	{RG_SQL_REFUSED, RG_SSHV_BROKEN, RG_PM_UNKNOWN, "", false, false, 30001, RG_DIAG_OVERDUE},
	{RG_SQL_REFUSED, RG_SSHV_SILENT, RG_PM_UNKNOWN, "", false, false, 29000, RG_DIAG_UNPROVEN},
	{RG_SQL_REFUSED, RG_SSHV_SILENT, RG_PM_UNKNOWN, "", true, false, 29000, RG_DIAG_STOPPED},
	{RG_SQL_REFUSED, RG_SSHV_SILENT, RG_PM_UNKNOWN, "", true, true, 30001, RG_DIAG_OVERDUE},
	{RG_SQL_SILENT, RG_SSHV_UNKNOWN, RG_PM_UNKNOWN, "", false, false, 1999, RG_DIAG_SUSPECT},
};

static void
show(const Row *row)
{
	RgNodeView *n = &w.view.nodes[0];

	world_healthy(&w, 3);
	n->sql = row->sql;
	n->ssh = row->ssh;
	n->lost_ms = w.memory.lost_ms = NOW - row->lost_for_ms;
	n->facts_ms = n->lost_ms - 100;
	n->probe_ms = NOW - 5;
	if (row->postmaster == RG_PM_UNKNOWN)
		n->probe_ms = n->lost_ms - 1;
	n->probe.postmaster = row->postmaster;
	n->probe.pidfile = row->postmaster != RG_PM_ABSENT;
	snprintf(n->probe.state, sizeof(n->probe.state), "%s", row->state);
	n->probe.clean = strncmp(row->state, "shut down", 9) == 0;
	n->probe.in_recovery = strstr(row->state, "recovery") != NULL;
	n->purpose_ms = row->goodbye ? n->lost_ms : 0;
	for (int i = 1; i < 3; i++)
	{
		w.view.nodes[i].facts.receiver_streaming = row->streams;
		w.view.nodes[i].facts.wal_age_ms = row->streams ? 50 : NOW - n->lost_ms + 100;
		w.view.nodes[i].facts.message_age_ms = row->streams ? 50 : NOW - n->lost_ms + 100;
	}
}

static void
test_evidence_table(void **state)
{
	(void) state;
	for (int i = 0; i < COUNT(rows); i++)
	{
		RgDiagnosis d;

		show(&rows[i]);
		d = diagnose();
		if (d != rows[i].diagnosis)
			fail_msg("row %d: expected %s, found %s (%s)", i, rg_diagnosis_name(rows[i].diagnosis),
					 rg_diagnosis_name(d), evidence);
	}
}

/* A proof over SSH, a budget that is used up, or silence that is waited out: what calls for a failover. */
static void
test_what_calls_for_a_failover(void **state)
{
	(void) state;
	for (int d = 0; d < RG_DIAG_COUNT; d++)
		assert_int_equal(rg_diagnosis_verdict((RgDiagnosis) d) == RG_VERDICT_FAILOVER,
						 d == RG_DIAG_CRASHED || d == RG_DIAG_OVERDUE || d == RG_DIAG_HUNG ||
						 d == RG_DIAG_HOST_LOST || d == RG_DIAG_BEHIND || d == RG_DIAG_CRASHED_AGAIN);
	assert_int_equal(rg_diagnosis_verdict(RG_DIAG_COUNT), RG_VERDICT_LOOK);
}

/* Whoever answers with an error is alive, whatever SSH and the standbys say, however long. */
static void
test_who_answers_is_alive(void **state)
{
	static const RgSql answers[] = {RG_SQL_SATURATED, RG_SQL_LOGIN, RG_SQL_NO_EXTENSION,
	RG_SQL_WRONG_SERVER, RG_SQL_OTHER_WATCHDOG, RG_SQL_ERROR};

	(void) state;
	for (int i = 0; i < COUNT(rows); i++)
		for (int k = 0; k < COUNT(answers); k++)
		{
			Row			row = rows[i];

			row.sql = answers[k];
			show(&row);
			assert_int_equal(rg_diagnosis_verdict(diagnose()), RG_VERDICT_ALARM);
		}
}

/* Or, past the budget, no proof is needed: the lease is waited for. */
static bool
is_unproven(const Row *row)
{
	RgDiagnosis d = diagnose();

	return d == RG_DIAG_UNPROVEN || (d == RG_DIAG_OVERDUE && row->lost_for_ms > 30000 && !row->streams);
}

/* Attack F14: from a helper that never showed this server nothing follows. */
static void
test_without_shown_postmaster_absence_proves_nothing(void **state)
{
	(void) state;
	for (int i = 0; i < COUNT(rows); i++)
	{
		if (rows[i].postmaster != RG_PM_ABSENT || rows[i].sql == RG_SQL_SATURATED ||
			rows[i].sql == RG_SQL_LOWER_COUNTER)
			continue;
		show(&rows[i]);
		memset(&w.memory.nodes[0].shown, 0, sizeof(RgServerStart));
		assert_true(is_unproven(&rows[i]));
		show(&rows[i]);
		w.view.nodes[0].facts.start.pid++;
		assert_true(is_unproven(&rows[i]));
		show(&rows[i]);
		w.view.nodes[0].probe.system_identifier++;
		assert_true(is_unproven(&rows[i]));
		show(&rows[i]);
		w.view.nodes[0].facts.valid = false;
		w.view.nodes[0].probe.system_identifier = 0;
		assert_true(is_unproven(&rows[i]));
	}
}

/* A probe from before the loss, or from long ago, is no evidence. */
static void
test_old_probe_is_no_evidence(void **state)
{
	(void) state;
	show(&rows[0]);
	w.view.nodes[0].probe_ms = w.view.nodes[0].lost_ms - 1;
	assert_int_equal(diagnose(), RG_DIAG_SUSPECT);
	show(&rows[5]);
	w.view.nodes[0].probe_ms = NOW - 5001;
	assert_int_equal(diagnose(), RG_DIAG_UNPROVEN);
	show(&rows[0]);
	w.view.nodes[0].ssh = RG_SSHV_SILENT;
	assert_int_equal(rg_diagnosis_verdict(diagnose()), RG_VERDICT_ALARM);
}

static void
test_nobody_in_sight(void **state)
{
	(void) state;
	world_healthy(&w, 3);
	assert_int_equal(rg_diagnose(&w.view, &w.memory, -1, evidence, sizeof(evidence)), RG_DIAG_UNKNOWN);
	assert_non_null(strstr(evidence, "not in the configuration"));
	w.memory.rule.term = 0;
	assert_int_equal(rg_diagnose(&w.view, &w.memory, -1, evidence, sizeof(evidence)),
					 RG_DIAG_UNINITIALISED);
	w.view.nodes[1].sql = RG_SQL_SILENT;
	assert_int_equal(rg_diagnose(&w.view, &w.memory, -1, evidence, sizeof(evidence)), RG_DIAG_UNKNOWN);
}

static void
test_isolated_when_nobody_answers(void **state)
{
	(void) state;
	show(&rows[COUNT(rows) - 2]);
	w.view.nodes[0].sql = RG_SQL_SILENT;
	w.view.nodes[1].sql = w.view.nodes[2].sql = RG_SQL_SILENT;
	assert_int_equal(diagnose(), RG_DIAG_ISOLATED);
}

/* Heartbeats from before a promotion do not make the new leader "demoted". */
static void
test_heartbeat_before_the_promotion_is_no_demotion(void **state)
{
	(void) state;
	world_healthy(&w, 2);
	w.view.nodes[0].facts.in_recovery = true;
	assert_int_equal(diagnose(), RG_DIAG_DEMOTED);
	snprintf(w.memory.failover.to, sizeof(w.memory.failover.to), "n1");
	w.memory.failover.term = 1;
	w.memory.failover.times.promoted_ms = NOW;
	assert_int_equal(diagnose(), RG_DIAG_HEALTHY);
	w.view.nodes[0].facts_ms = NOW + 1;
	w.view.now_ms = NOW + 1;
	assert_int_equal(diagnose(), RG_DIAG_DEMOTED);
}

/* The helper's session looks open, what was asked since the loss is not answered: as a silent host. */
static void
test_a_helper_that_hangs_is_silent(void **state)
{
	RgOp	   *op = &w.view.nodes[0].ops[RG_STEP_PROBE];
	static const Row row = {RG_SQL_SILENT, RG_SSHV_READY, RG_PM_UNKNOWN, "", false, false, 2600, RG_DIAG_UNKNOWN};

	(void) state;
	show(&row);
	assert_int_equal(diagnose(), RG_DIAG_SUSPECT);
	op->state = RG_OP_RUNNING;
	op->began_ms = NOW - 1249;
	assert_int_equal(diagnose(), RG_DIAG_SUSPECT);
	op->began_ms = NOW - 1250;
	assert_int_equal(diagnose(), RG_DIAG_HOST_LOST);
	/* a port that refuses is a host that lives */
	w.view.nodes[0].sql = RG_SQL_REFUSED;
	assert_int_equal(diagnose(), RG_DIAG_SUSPECT);
	/* asked before the loss: says nothing */
	w.view.nodes[0].sql = RG_SQL_SILENT;
	op->began_ms = w.view.nodes[0].lost_ms - 1;
	assert_int_equal(diagnose(), RG_DIAG_SUSPECT);
}

/* L3: an idle primary's standbys hear nothing for long; only what came since our last answer counts. */
static void
test_silence_is_counted_from_the_last_answer(void **state)
{
	static const Row row = {RG_SQL_SILENT, RG_SSHV_SILENT, RG_PM_UNKNOWN, "", false, false, 1000, RG_DIAG_UNKNOWN};

	(void) state;
	show(&row);
	for (int i = 1; i < 3; i++)
		w.view.nodes[i].facts.message_age_ms = w.view.nodes[i].facts.wal_age_ms = 29000;
	assert_int_equal(diagnose(), RG_DIAG_SUSPECT);
	w.view.nodes[0].facts_ms = NOW - 2501;
	assert_int_equal(diagnose(), RG_DIAG_HOST_LOST);
}

/* It said that it is stopped, then this watchdog was restarted: the journal knows. */
static void
test_a_purpose_survives_a_restart(void **state)
{
	(void) state;
	show(&rows[0]);
	w.view.nodes[0].purpose_ms = 0;
	w.view.nodes[0].probe.pidfile = false;
	assert_int_equal(diagnose(), RG_DIAG_CRASHED);
	w.memory.nodes[0].purpose_ms = 1;
	assert_int_equal(diagnose(), RG_DIAG_STOPPED);
}

/* F10: the leader holds less than another node shows, for more than a moment. */
static void
test_a_leader_restored_from_an_older_copy_is_behind(void **state)
{
	(void) state;
	world_healthy(&w, 3);
	w.view.nodes[1].facts.receive_lsn += 100;
	w.memory.newest.lsn += 50;
	w.memory.behind_ms = NOW - 1499;
	assert_int_equal(diagnose(), RG_DIAG_HEALTHY);
	w.memory.behind_ms = NOW - 1500;
	assert_int_equal(diagnose(), RG_DIAG_BEHIND);
	assert_non_null(strstr(evidence, "n2 has shown 0/5000064"));
	/* the journal doesn't know it: answers may cross, but not for two leases */
	w.memory.newest.lsn -= 50;
	assert_int_equal(diagnose(), RG_DIAG_HEALTHY);
	w.memory.behind_ms = NOW - 10000;
	assert_int_equal(diagnose(), RG_DIAG_BEHIND);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_evidence_table),
		cmocka_unit_test(test_what_calls_for_a_failover),
		cmocka_unit_test(test_who_answers_is_alive),
		cmocka_unit_test(test_without_shown_postmaster_absence_proves_nothing),
		cmocka_unit_test(test_old_probe_is_no_evidence),
		cmocka_unit_test(test_nobody_in_sight),
		cmocka_unit_test(test_isolated_when_nobody_answers),
		cmocka_unit_test(test_heartbeat_before_the_promotion_is_no_demotion),
		cmocka_unit_test(test_a_helper_that_hangs_is_silent),
		cmocka_unit_test(test_silence_is_counted_from_the_last_answer),
		cmocka_unit_test(test_a_purpose_survives_a_restart),
		cmocka_unit_test(test_a_leader_restored_from_an_older_copy_is_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
