/*
 * t_statefile.c
 *	  The node's state file and the rules in it: extension/statefile.c, rulejson.c.
 *
 * The sources are included, because the watchdog's library does not hold them:
 * they belong to the server.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "extension/rulejson.c"
#include "extension/joint.c"
#include "extension/statefile.c"

#define UUID_A "11111111-2222-3333-4444-555555555555"
#define UUID_B "99999999-2222-3333-4444-555555555555"

static RgRule
make_rule(int64_t term, int32_t seq, uint32_t timeline)
{
	RgRule rule = {0};

	rule.term = term;
	rule.seq = seq;
	strcpy(rule.leader, "n1");
	rule.nvoters = 3;
	strcpy(rule.voters[0], "n1");
	strcpy(rule.voters[1], "n2");
	strcpy(rule.voters[2], "n3");
	strcpy(rule.durability, "sync");
	rule.quorum = 1;
	rule.nleft_out = 1;
	strcpy(rule.left_out[0], "n3");
	rule.lease_ms = 5000;
	strcpy(rule.watchdog, UUID_A);
	rg_rule_set_reason(&rule, "crash of \"n0\" \\ ok");
	strcpy(rule.at, "2026-11-23T10:00:00.000000Z");
	rule.timeline = timeline;
	return rule;
}

static RgState
make_state(void)
{
	RgState state;
	RgRule rule;

	rg_state_init(&state, "n2", UINT64_C(7300000000000000001));
	state.promise_term = 8;
	strcpy(state.promise_watchdog, UUID_A);
	strcpy(state.watchdog, UUID_A);
	state.counter = 12;
	rule = make_rule(6, 1, 1);
	rg_state_adopt_rule(&state, &rule);
	rule = make_rule(7, 3, 2);
	rg_state_adopt_rule(&state, &rule);
	state.pending = make_rule(8, 1, 2);
	state.has_pending = true;
	state.promoting = 8;
	(void) rg_state_begin(&state, 7, UINT64_C(0x123456789A));
	return state;
}

static int
parse(const char *text, RgState *ret_state)
{
	char reason[128];

	return rg_state_parse(text, strlen(text), ret_state, reason, sizeof(reason));
}

/* Puts the right checksum under a text that a test has bent. */
static void
seal(char *text)
{
	char *mark = strstr(text, "checksum ");

	assert_non_null(mark);
	*mark = '\0';
	sprintf(mark, "checksum %u\n", (unsigned int) rg_state_cksum(text, strlen(text)));
}

static void
test_cksum_is_the_posix_one(void **state)
{
	(void) state;
	/* printf '' | cksum; printf 123456789 | cksum; printf 'a\n' | cksum */
	assert_int_equal(rg_state_cksum("", 0), 4294967295U);
	assert_int_equal(rg_state_cksum("123456789", 9), 930766865U);
	assert_int_equal(rg_state_cksum("a\n", 2), 2418082923U);
}

static void
test_rule_survives_a_round_trip(void **state)
{
	RgRule rule = make_rule(7, 3, 2);
	RgRule again;
	char json[RG_RULE_JSON_SIZE];
	char json_again[RG_RULE_JSON_SIZE];

	(void) state;
	strcpy(rule.pause_until, "2026-11-23T11:00:00.000000Z");
	assert_true(rg_rule_format(&rule, json, sizeof(json)) > 0);
	assert_null(strchr(json, '\n'));
	assert_int_equal(rg_rule_parse(json, &again), 0);
	assert_string_equal(again.reason, "crash of \"n0\" \\ ok");
	assert_string_equal(again.voters[2], "n3");
	assert_int_equal(again.nleft_out, 1);
	assert_true(rg_rule_format(&again, json_again, sizeof(json_again)) > 0);
	assert_string_equal(json, json_again);
}

static void
test_rule_of_the_largest_size_fits(void **state)
{
	RgRule rule = make_rule(999999999999999999, INT32_MAX, UINT32_MAX);
	RgRule again;
	char json[RG_RULE_JSON_SIZE];

	(void) state;
	rule.nvoters = rule.nleft_out = RG_VOTERS_MAX;
	for (int i = 0; i < RG_VOTERS_MAX; i++)
	{
		snprintf(rule.voters[i], RG_NAME_SIZE, "%056d", i);
		snprintf(rule.left_out[i], RG_NAME_SIZE, "%056d", i);
	}
	memset(rule.reason, '"', RG_REASON_SIZE - 1);
	rule.reason[RG_REASON_SIZE - 1] = '\0';
	assert_true(rg_rule_format(&rule, json, sizeof(json)) > 0);
	assert_int_equal(rg_rule_parse(json, &again), 0);
	assert_int_equal(rg_rule_format(&rule, json, 100), -1);
}

static void
test_rule_with_unknown_keys_is_read(void **state)
{
	RgRule rule;

	(void) state;
	assert_int_equal(
		rg_rule_parse("{\"new\": [1, \"x\", null], \"term\": 7, \"seq\": 1, \"leader\": \"n1\", "
					  "\"voters\": [\"n1\"], \"more\": true, \"durability\": \"async\", "
					  "\"quorum\": 1, \"left_out\": [], \"lease_ms\": 5000, \"watchdog\": \"" UUID_A
					  "\", \"text\": \"a\\u0041\\\"b\"}",
					  &rule),
		0);
	assert_int_equal(rule.term, 7);
	assert_int_equal(rule.timeline, 0);
}

static void
test_rule_with_an_array_of_arrays_is_refused(void **state)
{
	RgRule rule;

	(void) state;
	assert_int_equal(rg_rule_parse("{\"new\": [[1]], \"term\": 7, \"seq\": 1, \"leader\": \"n1\", "
								   "\"voters\": [\"n1\"], \"durability\": \"async\", \"quorum\": 1, "
								   "\"left_out\": [], \"lease_ms\": 5000, \"watchdog\": \"" UUID_A "\"}",
								   &rule),
					 -1);
}

static void
test_broken_rule_is_refused(void **state)
{
	static const char *const broken[] = {
		"",
		"{}",
		"null",
		"{\"term\":7",
		"{\"term\":7}",
		"{\"term\":\"7\"}",
		"{\"term\":7,}",
		"{\"term\":7 7}",
		"{\"reason\":\"open",
		"{\"reason\":\"\\q\"}",
		"{\"voters\":[\"n1\",]}",
		"{\"voters\":[\"N1\"]}",
		"{\"x\":{\"y\":1}}",
	};
	RgRule rule;
	char json[RG_RULE_JSON_SIZE];

	(void) state;
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
		assert_int_equal(rg_rule_parse(broken[i], &rule), -1);

	/* every shorter text of a good rule, and one with something behind it */
	rule = make_rule(7, 3, 2);
	assert_true(rg_rule_format(&rule, json, sizeof(json)) > 0);
	for (size_t cut = strlen(json); cut-- > 0;)
	{
		char keep = json[cut];

		json[cut] = '\0';
		assert_int_equal(rg_rule_parse(json, &rule), -1);
		json[cut] = keep;
	}
	strcat(json, "x");
	assert_int_equal(rg_rule_parse(json, &rule), -1);
}

static void
test_names(void **state)
{
	(void) state;
	assert_true(rg_name_is_valid("n1"));
	assert_true(rg_name_is_valid("a_2"));
	assert_false(rg_name_is_valid(""));
	assert_false(rg_name_is_valid("N1"));
	assert_false(rg_name_is_valid("n-1"));
	assert_false(rg_name_is_valid("any"));
	assert_false(rg_name_is_valid("first"));
	assert_true(rg_name_is_valid("12345678901234567890123456789012345678901234567890123456"));
	assert_false(rg_name_is_valid("123456789012345678901234567890123456789012345678901234567"));
}

static void
test_reason_becomes_ascii_and_is_cut(void **state)
{
	RgRule rule = {0};
	char longer[2 * RG_REASON_SIZE];

	(void) state;
	rg_rule_set_reason(&rule, "a\nb\xc3\xa4");
	assert_string_equal(rule.reason, "a?b??");
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	rg_rule_set_reason(&rule, longer);
	assert_int_equal(strlen(rule.reason), RG_REASON_SIZE - 1);
}

static void
test_state_survives_a_round_trip(void **state)
{
	RgState before = make_state();
	RgState after;
	char text[RG_STATE_TEXT_SIZE];
	char again[RG_STATE_TEXT_SIZE];

	(void) state;
	assert_true(rg_state_format(&before, text, sizeof(text)) > 0);
	assert_int_equal(parse(text, &after), 0);
	assert_int_equal(after.counter, 12);
	assert_int_equal(after.nfollowed, 2);
	assert_true(rg_state_format(&after, again, sizeof(again)) > 0);
	assert_string_equal(text, again);
}

static void
test_empty_state_has_every_line(void **state)
{
	RgState empty;
	RgState after;
	char text[RG_STATE_TEXT_SIZE];

	(void) state;
	rg_state_init(&empty, "n1", 1);
	assert_true(rg_state_format(&empty, text, sizeof(text)) > 0);
	assert_non_null(strstr(text, "pg_regent node state 1\nnode n1\nsystem_identifier 1\n"
								 "promise - -\nwatchdog - -\nrule -\nprevious_rule -\n"
								 "pending_rule -\nfollowed -\npromoting -\nunopened -\nchecksum "));
	assert_int_equal(parse(text, &after), 0);
	assert_int_equal(rg_state_effective_term(&after), 0);
	assert_false(rg_state_is_parked(&after));
}

static void
test_any_changed_byte_is_noticed(void **state)
{
	RgState before = make_state();
	RgState after;
	char text[RG_STATE_TEXT_SIZE];
	size_t length;

	(void) state;
	assert_true(rg_state_format(&before, text, sizeof(text)) > 0);
	length = strlen(text);
	for (size_t i = 0; i < length; i++)
	{
		char keep = text[i];

		text[i] = (char) (keep ^ 1);
		assert_int_equal(parse(text, &after), -1);
		text[i] = '\0';
		assert_int_equal(parse(text, &after), -1);
		text[i] = keep;
	}
	assert_int_equal(parse(text, &after), 0);
}

static void
test_bad_lines_with_a_good_checksum_are_refused(void **state)
{
	static const char *const changes[][2] = {
		{"promise 8 ", "promise 08 "},
		{"promise 8 ", "promise 0 "},
		{"promise 8 ", "promise -8 "},
		{"promise 8 ", "promises 8 "},
		{"watchdog " UUID_A " 12", "watchdog - 12"},
		{"watchdog " UUID_A " 12", "watchdog " UUID_A " x"},
		{"followed 6:1,7:2", "followed 7:2,6:1"},
		{"followed 6:1,7:2", "followed 6:1,"},
		{"followed 6:1,7:2", "followed 6:0"},
		{"followed 6:1,7:2", "followed "},
		{"promoting 8", "promoting"},
		{"promoting 8", "promoting 8\nextra 1"},
		{"node n2", "node N2"},
		{"node state 1", "node state 2"},
		{"system_identifier 7", "system_identifier x"},
		{"\"seq\":3", "\"seq\":-3"},
	};
	RgState before = make_state();
	RgState after;
	char text[RG_STATE_TEXT_SIZE];
	char bent[RG_STATE_TEXT_SIZE + 64];

	(void) state;
	assert_true(rg_state_format(&before, text, sizeof(text)) > 0);
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
	{
		const char *found = strstr(text, changes[i][0]);

		assert_non_null(found);
		sprintf(bent, "%.*s%s%s", (int) (found - text), text, changes[i][1],
				found + strlen(changes[i][0]));
		seal(bent);
		assert_int_equal(parse(bent, &after), -1);
	}
}

/* regent-node fence stores a promise also where no watchdog is known yet. */
static void
test_promise_without_watchdog_is_read(void **state)
{
	RgState before;
	RgState after;
	char text[RG_STATE_TEXT_SIZE];

	(void) state;
	rg_state_init(&before, "n1", 5);
	before.promise_term = 3;
	assert_true(rg_state_format(&before, text, sizeof(text)) > 0);
	assert_non_null(strstr(text, "\npromise 3 -\n"));
	assert_int_equal(parse(text, &after), 0);
	assert_int_equal(after.promise_term, 3);
}

static void
test_effective_term_is_the_highest_pledge(void **state)
{
	RgState node;
	RgRule rule = make_rule(7, 1, 2);

	(void) state;
	rg_state_init(&node, "n1", 5);
	node.promise_term = 6;
	assert_int_equal(rg_state_effective_term(&node), 6);
	assert_true(rg_state_is_parked(&node));
	rg_state_adopt_rule(&node, &rule);
	assert_int_equal(rg_state_effective_term(&node), 7);
	assert_false(rg_state_is_parked(&node));
	node.pending = make_rule(9, 1, 2);
	node.has_pending = true;
	assert_int_equal(rg_state_effective_term(&node), 9);
	node.promoting = 11;
	assert_int_equal(rg_state_effective_term(&node), 9);
	assert_int_equal(rg_state_highest_term(&node), 11);
}

static void
test_only_the_leader_of_its_newest_rule_leads(void **state)
{
	RgState node;
	RgRule rule = make_rule(7, 1, 2);

	(void) state;
	rg_state_init(&node, rule.leader, 5);
	assert_false(rg_state_leads(&node));
	rg_state_adopt_rule(&node, &rule);
	assert_true(rg_state_leads(&node));

	/* what it is about to write itself does not close it */
	node.pending = make_rule(8, 0, 2);
	node.has_pending = true;
	assert_int_equal(rg_state_effective_term(&node), 8);
	assert_int_equal(rg_state_closing_term(&node), 7);
	assert_true(rg_state_leads(&node));
	strcpy(node.pending.leader, "another");
	assert_int_equal(rg_state_closing_term(&node), 8);
	assert_false(rg_state_leads(&node));
	node.has_pending = false;

	node.promise_term = 7;
	assert_true(rg_state_leads(&node));
	node.promise_term = 9;
	assert_int_equal(rg_state_closing_term(&node), 9);
	assert_false(rg_state_leads(&node));
	node.promise_term = 0;
	strcpy(node.node, "another");
	assert_false(rg_state_leads(&node));
}

static void
test_following_ends_parking(void **state)
{
	RgState node = make_state();

	(void) state;
	assert_true(rg_state_is_parked(&node));
	assert_true(rg_state_add_followed(&node, 8, 2));
	assert_false(rg_state_is_parked(&node));
	assert_true(rg_state_has_followed(&node, 8));
	assert_false(rg_state_has_followed(&node, 9));
}

static void
test_adopting_a_rule_moves_everything_on(void **state)
{
	RgState node = make_state();
	RgRule rule = make_rule(8, 1, 3);

	(void) state;
	assert_true(rg_state_adopt_rule(&node, &rule));
	assert_int_equal(node.rule.term, 8);
	assert_int_equal(node.previous.term, 7);
	assert_false(node.has_pending);
	assert_int_equal(node.promoting, 0);
	assert_int_equal(node.nfollowed, 3);
	assert_int_equal(node.followed[2].timeline, 3);
	assert_int_equal(node.counter, 12);

	/* again, or an older one: nothing */
	assert_false(rg_state_adopt_rule(&node, &rule));
	rule = make_rule(7, 9, 2);
	assert_false(rg_state_adopt_rule(&node, &rule));
	assert_int_equal(node.rule.term, 8);

	/* a rule of another watchdog: its id is obeyed from now on, from any counter */
	rule = make_rule(9, 1, 3);
	strcpy(rule.watchdog, UUID_B);
	assert_true(rg_state_adopt_rule(&node, &rule));
	assert_string_equal(node.watchdog, UUID_B);
	assert_int_equal(node.counter, 0);
}

static void
test_first_start_without_a_lease_counts(void **state)
{
	RgState node;

	(void) state;
	rg_state_init(&node, "n1", 5);
	assert_false(rg_state_open(&node));
	assert_int_equal(rg_state_unopened_lsn(&node, 3), 0);
	assert_false(rg_state_begin(&node, 3, 0));	/* not known */
	assert_true(rg_state_begin(&node, 3, 1000));
	assert_false(rg_state_begin(&node, 3, 2000));
	assert_int_equal(rg_state_unopened_lsn(&node, 3), 1000);
	assert_true(rg_state_begin(&node, 3, 900));
	assert_int_equal(rg_state_unopened_lsn(&node, 3), 900);
	assert_int_equal(rg_state_unopened_lsn(&node, 4), 0);
	assert_true(rg_state_begin(&node, 4, 5000));
	assert_int_equal(rg_state_unopened_lsn(&node, 3), 0);
	assert_true(rg_state_open(&node));
	assert_int_equal(rg_state_unopened_lsn(&node, 4), 0);
}

static void
test_unopened_line_is_read_strictly(void **state)
{
	static const char *const bad[] = {"7", "7 12", "7 012/1", "7 1/", "7 /1", "7 1/2 ", "0 1/2", "7 123456789/1", "7 1/a"};
	RgState node = make_state();
	char text[RG_STATE_TEXT_SIZE];
	char bent[RG_STATE_TEXT_SIZE];
	char *line;

	(void) state;
	assert_true(rg_state_format(&node, text, sizeof(text)) > 0);
	line = strstr(text, "unopened 7 12/3456789A\n");
	assert_non_null(line);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		snprintf(bent, sizeof(bent), "%.*sunopened %s\nchecksum 0\n", (int) (line - text), text, bad[i]);
		seal(bent);
		assert_int_equal(parse(bent, &node), -1);
	}
}

static void
test_followed_stays_sorted_and_bounded(void **state)
{
	RgState node;

	(void) state;
	rg_state_init(&node, "n1", 5);
	for (int term = 2; term <= 2 * RG_FOLLOWED_MAX; term += 2)
		assert_true(rg_state_add_followed(&node, term, 1));
	assert_int_equal(node.nfollowed, RG_FOLLOWED_MAX);
	assert_true(rg_state_add_followed(&node, 5, 1));	/* drops 2 */
	assert_int_equal(node.nfollowed, RG_FOLLOWED_MAX);
	assert_int_equal(node.followed[0].term, 4);
	assert_int_equal(node.followed[1].term, 5);
	assert_false(rg_state_add_followed(&node, 1, 1));	/* older than all, no room */
	assert_false(rg_state_add_followed(&node, 500, 0)); /* timeline not known */
	for (int i = 1; i < node.nfollowed; i++)
		assert_true(node.followed[i].term > node.followed[i - 1].term);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cksum_is_the_posix_one),
		cmocka_unit_test(test_rule_survives_a_round_trip),
		cmocka_unit_test(test_rule_of_the_largest_size_fits),
		cmocka_unit_test(test_rule_with_unknown_keys_is_read),
		cmocka_unit_test(test_rule_with_an_array_of_arrays_is_refused),
		cmocka_unit_test(test_broken_rule_is_refused),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_reason_becomes_ascii_and_is_cut),
		cmocka_unit_test(test_state_survives_a_round_trip),
		cmocka_unit_test(test_empty_state_has_every_line),
		cmocka_unit_test(test_any_changed_byte_is_noticed),
		cmocka_unit_test(test_bad_lines_with_a_good_checksum_are_refused),
		cmocka_unit_test(test_promise_without_watchdog_is_read),
		cmocka_unit_test(test_effective_term_is_the_highest_pledge),
		cmocka_unit_test(test_only_the_leader_of_its_newest_rule_leads),
		cmocka_unit_test(test_following_ends_parking),
		cmocka_unit_test(test_adopting_a_rule_moves_everything_on),
		cmocka_unit_test(test_first_start_without_a_lease_counts),
		cmocka_unit_test(test_unopened_line_is_read_strictly),
		cmocka_unit_test(test_followed_stays_sorted_and_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
