/*
 * t_phase.c
 *	  Tests own the phase table: its form, its ways back, and the reviewed list of
 *	  all pairs in phase_table.expected (t_phase --print writes a new one).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "watchdog/core/phase.h"

#define DUMP_MAX 65536

static int
count_rows(void)
{
	int			n = 0;

	while (rg_move_get(n) != NULL)
		n++;
	return n;
}

static void
test_rows_are_unique_and_complete(void **state)
{
	(void) state;
	assert_true(count_rows() > 0);
	assert_null(rg_move_get(-1));
	assert_null(rg_move_get(count_rows()));
	for (int i = 0; i < count_rows(); i++)
	{
		const RgMove *a = rg_move_get(i);

		assert_true(a->id > 0);
		assert_true(a->from < RG_PHASE_COUNT && a->to < RG_PHASE_COUNT);
		assert_true(a->on > RG_INPUT_NOTHING && a->on < RG_INPUT_COUNT);
		assert_true(a->from != a->to);
		assert_non_null(a->why);
		assert_true(strlen(a->why) > 10);
		/* what people read: half a sentence */
		assert_true(a->why[0] >= 'a' && a->why[0] <= 'z');
		assert_true(a->why[strlen(a->why) - 1] != '.');
		assert_ptr_equal(rg_move_find(a->from, a->on), a);
		for (int k = 0; k < i; k++)
		{
			assert_int_not_equal(rg_move_get(k)->id, a->id);
			assert_false(rg_move_get(k)->from == a->from && rg_move_get(k)->on == a->on);
		}
	}
}

static void
test_nothing_never_moves(void **state)
{
	(void) state;
	for (int p = 0; p < RG_PHASE_COUNT; p++)
		assert_null(rg_move_find((RgPhase) p, RG_INPUT_NOTHING));
}

/* F38: no phase that can't be left for steady, and none that can't be reached. */
static void
test_every_phase_has_a_way_back_to_steady(void **state)
{
	bool		back[RG_PHASE_COUNT] = {false};
	bool		reached[RG_PHASE_COUNT] = {false};

	(void) state;
	back[RG_PHASE_STEADY] = true;
	reached[RG_PHASE_STARTING] = true;
	for (int round = 0; round < RG_PHASE_COUNT; round++)
		for (int i = 0; i < count_rows(); i++)
		{
			const RgMove *m = rg_move_get(i);

			if (back[m->to])
				back[m->from] = true;
			if (reached[m->from])
				reached[m->to] = true;
		}
	for (int p = 0; p < RG_PHASE_COUNT; p++)
	{
		if (!back[p] || !reached[p])
			print_error("phase %s\n", rg_phase_name((RgPhase) p));
		assert_true(back[p]);
		assert_true(reached[p]);
	}
}

/* Only with a candidate that was recruited, or with a switchover's target, does anybody get promoted. */
static void
test_promoting_is_entered_by_two_rows(void **state)
{
	(void) state;
	for (int i = 0; i < count_rows(); i++)
	{
		const RgMove *m = rg_move_get(i);

		if (m->to == RG_PHASE_PROMOTING && m->from == RG_PHASE_SWITCHING)
			assert_int_equal(m->on, RG_INPUT_SWITCHOVER_READY);
		else if (m->to == RG_PHASE_PROMOTING)
		{
			assert_int_equal(m->from, RG_PHASE_RECRUITING);
			assert_int_equal(m->on, RG_INPUT_CANDIDATE_CHOSEN);
		}
		if (m->to == RG_PHASE_SWITCHING)
			assert_int_equal(m->from, RG_PHASE_STEADY);
		if (m->to == RG_PHASE_RULING)
			assert_int_equal(m->from, RG_PHASE_PROMOTING);
		if (m->to == RG_PHASE_UNDOING)
			assert_int_equal(m->on, m->from == RG_PHASE_SWITCHING ? RG_INPUT_SWITCHOVER_FAILED
							 : RG_INPUT_LEADER_BACK);
	}
}

static void
dump(char *buf)
{
	int			len = 0;

	for (int p = 0; p < RG_PHASE_COUNT; p++)
		for (int i = RG_INPUT_NOTHING + 1; i < RG_INPUT_COUNT; i++)
		{
			const RgMove *m = rg_move_find((RgPhase) p, (RgInput) i);

			if (m != NULL)
				len += snprintf(buf + len, (size_t) (DUMP_MAX - len), "%s | %s | %d -> %s\n",
								rg_phase_name((RgPhase) p), rg_input_name((RgInput) i), m->id,
								rg_phase_name(m->to));
			else
				len += snprintf(buf + len, (size_t) (DUMP_MAX - len), "%s | %s | stays\n",
								rg_phase_name((RgPhase) p), rg_input_name((RgInput) i));
		}
}

static FILE *
open_expected(void)
{
	static const char *const paths[] = {"test/unit/phase_table.expected",
	"../test/unit/phase_table.expected", "phase_table.expected"};
	FILE	   *f = NULL;

	for (int i = 0; f == NULL && i < 3; i++)
		f = fopen(paths[i], "r");
	return f;
}

static void
test_all_pairs_are_as_reviewed(void **state)
{
	static char found[DUMP_MAX];
	static char expected[DUMP_MAX];
	FILE	   *f = open_expected();
	char	   *a = found;
	char	   *b = expected;

	(void) state;
	assert_non_null(f);
	expected[fread(expected, 1, DUMP_MAX - 1, f)] = '\0';
	fclose(f);
	dump(found);
	while (*a != '\0' || *b != '\0')
	{
		size_t		na = strcspn(a, "\n");
		size_t		nb = strcspn(b, "\n");

		if (na != nb || strncmp(a, b, na) != 0)
			fail_msg("expected \"%.*s\", found \"%.*s\"", (int) nb, b, (int) na, a);
		a += na + (a[na] == '\n');
		b += nb + (b[nb] == '\n');
	}
}

static void
test_names_are_found_again(void **state)
{
	(void) state;
	for (int i = 0; i < RG_PHASE_COUNT; i++)
	{
		assert_int_equal(rg_phase_find(rg_phase_name((RgPhase) i)), i);
		for (int k = 0; k < i; k++)
			assert_string_not_equal(rg_phase_name((RgPhase) i), rg_phase_name((RgPhase) k));
	}
	for (int i = 0; i < RG_DIAG_COUNT; i++)
		assert_int_equal(rg_diagnosis_find(rg_diagnosis_name((RgDiagnosis) i)), i);
	for (int i = 0; i < RG_STEP_COUNT; i++)
		assert_int_equal(rg_step_find(rg_step_name((RgStepKind) i)), i);
	for (int i = 0; i < RG_JOB_COUNT; i++)
		assert_int_equal(rg_job_state_find(rg_job_state_name((RgJobState) i)), i);
	for (int i = 0; i < RG_JOBPHASE_COUNT; i++)
		assert_int_equal(rg_job_phase_find(rg_job_phase_name((RgJobPhase) i)), i);
	for (int i = 0; i < RG_DISKV_COUNT; i++)
		assert_int_equal(rg_disk_find(rg_disk_name((RgDiskView) i)), i);
	assert_int_equal(rg_phase_find("no such phase"), 0);
	assert_string_equal(rg_phase_name((RgPhase) 99), rg_phase_name((RgPhase) 0));
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_are_unique_and_complete),
		cmocka_unit_test(test_nothing_never_moves),
		cmocka_unit_test(test_every_phase_has_a_way_back_to_steady),
		cmocka_unit_test(test_promoting_is_entered_by_two_rows),
		cmocka_unit_test(test_all_pairs_are_as_reviewed),
		cmocka_unit_test(test_names_are_found_again),
	};

	if (argc > 1 && strcmp(argv[1], "--print") == 0)
	{
		static char buf[DUMP_MAX];

		dump(buf);
		fputs(buf, stdout);
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
