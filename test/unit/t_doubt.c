/*
 * t_doubt.c
 *	  watchdog/app/doubt.c: which journals may be old copies.
 */
#include "helpers.h"

#include "app/doubt.h"

#define NOW INT64_C(1800000000000)
#define HERE "00000000000000aa"

static char why[160];

static const char *
doubt(RgJournalEnd end, bool is_first)
{
	return rg_doubt(&end, is_first, HERE, NOW, why, sizeof(why));
}

static void
test_fresh_journal_is_trusted(void **state)
{
	(void) state;
	assert_null(doubt((RgJournalEnd) {.has_lines = true, .at_wall_ms = NOW - 1000, .machine = HERE}, false));
	assert_null(doubt((RgJournalEnd) {.has_lines = true, .at_wall_ms = NOW - RG_DOUBT_AGE_MS, .machine = HERE}, false));
	/* a line of an older version names no machine */
	assert_null(doubt((RgJournalEnd) {.has_lines = true, .at_wall_ms = NOW - 1000}, false));
}

static void
test_old_or_future_journal_is_doubted(void **state)
{
	(void) state;
	assert_non_null(doubt((RgJournalEnd) {.has_lines = true, .at_wall_ms = NOW - RG_DOUBT_AGE_MS - 1, .machine = HERE}, false));
	assert_non_null(strstr(why, "10 minutes old"));
	assert_non_null(doubt((RgJournalEnd) {.has_lines = true, .at_wall_ms = NOW + 2 * RG_DOUBT_AGE_MS, .machine = HERE}, false));
	assert_non_null(strstr(why, "ahead of the clock"));
}

static void
test_other_machine_is_doubted(void **state)
{
	(void) state;
	assert_non_null(doubt((RgJournalEnd) {.has_lines = true, .at_wall_ms = NOW, .machine = "00000000000000bb"}, false));
	assert_non_null(strstr(why, "another machine"));
}

static void
test_lost_journal_is_doubted_unless_there_was_none(void **state)
{
	(void) state;
	assert_null(doubt((RgJournalEnd) {.has_lines = false}, true));
	assert_non_null(doubt((RgJournalEnd) {.has_lines = false}, false));
}

/* Restarting is no way out: its own fresh lines prove nothing. */
static void
test_doubt_outlives_a_restart(void **state)
{
	(void) state;
	assert_non_null(doubt((RgJournalEnd) {.has_lines = true, .at_wall_ms = NOW, .machine = HERE, .in_doubt = true}, false));
}

static void
test_machine_has_a_name_that_tells_nothing(void **state)
{
	char		name[17];
	char		again[17];

	(void) state;
	rg_doubt_machine(name, sizeof(name));
	rg_doubt_machine(again, sizeof(again));
	assert_string_equal(name, again);
	assert_true(name[0] == '\0' || strlen(name) == 16);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fresh_journal_is_trusted),
		cmocka_unit_test(test_old_or_future_journal_is_doubted),
		cmocka_unit_test(test_other_machine_is_doubted),
		cmocka_unit_test(test_lost_journal_is_doubted_unless_there_was_none),
		cmocka_unit_test(test_doubt_outlives_a_restart),
		cmocka_unit_test(test_machine_has_a_name_that_tells_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
