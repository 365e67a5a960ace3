/*
 * t_record.c
 *	  watchdog/app/record.c: what a restarted watchdog must know comes back from the journal.
 */
#include "helpers.h"

#include "app/events.h"
#include "app/facts.h"
#include "app/record.h"

#define BOOT "11111111-1111-4111-8111-111111111111"
#define OTHER_BOOT "22222222-2222-4222-8222-222222222222"

static RgMemory before;
static RgMemory after;
static RgView view;
static int64_t system_identifier;

static void
fill(void)
{
	RgNodeMemory *n = &before.nodes[0];
	RgJob	   *job = &before.jobs[3];

	memset(&before, 0, sizeof(before));
	memset(&view, 0, sizeof(view));
	before.phase = RG_PHASE_PROMOTING;
	before.phase_ms = 1000;
	before.diagnosis = RG_DIAG_HEALTHY;
	before.term = 9;
	before.highest_term = 11;
	before.ticket = 44;
	before.rule = (RgRule) {.term = 8, .seq = 2, .leader = "n1", .nvoters = 2, .voters = {"n1", "n2"}, .durability = "sync",
	.quorum = 1, .lease_ms = 5000, .watchdog = BOOT, .reason = "why"};
	before.rule.left_out = 2;
	before.asked = before.rule;
	before.asked.seq = 3;
	before.wish = (RgWish) {.durability = "strict", .quorum = 2, .nvoters = 1, .voters = {"n1"}};
	before.unsure = true;
	strcpy(before.candidate, "n2");
	before.lost_ms = 900;
	before.lease_ms = 30000;
	before.newest = (RgPosition) {.rule_term = 8, .rule_seq = 2, .timeline = 7, .lsn = UINT64_C(0x1A00000028)};
	strcpy(before.target, "n2");
	strcpy(before.accept_loss, "n3");
	before.takeover = true;
	before.confirmed = true;
	before.failover = (RgFailover) {.term = 9, .from = "n1", .to = "n2", .diagnosis = RG_DIAG_HOST_LOST, .planned = true,
		.at_wall_ms = 77, .times = {.lost_ms = 100, .called_ms = 150, .fenced_ms = 0, .recruited_ms = 300,
	.promoted_ms = 400, .ruled_ms = 450}, .bound_ms = 4000, .given_up = "n3",
	.loss = {.from_lsn = 0x5000000, .to_lsn = 0x5000100, .bytes = 256, .measured = true, .transactions = 2, .kept = "/kept"}};
	before.nnodes = 1;
	strcpy(n->name, "n1");
	n->shown = (RgServerStart) {.boot_id = BOOT, .pid = 42, .started_s = 1700000000};
	n->admitted = (RgServerStart) {.boot_id = BOOT, .pid = 43, .started_s = 1700000001};
	n->fenced_term = 5;
	n->must_end = n->ended = n->ungated = n->stale = n->removed = n->joined = true;
	n->owes_lsn = 0x5000028;
	n->swap_term = 8;
	n->swap_seq = 3;
	n->rebuilds = 2;
	n->half_rewound = RG_REWOUND_HALF;
	n->purpose_ms = 800;
	strcpy(n->intruder, "somebody counter 3");
	n->left_out = n->declared_lost = true;
	n->out_term = 8;
	n->out_seq = 2;
	n->out_wall_ms = 1234567;
	strcpy(n->out_reason, "it is away");
	n->ncrashes = 2;
	n->crashes_ms[0] = 300;
	n->crashes_ms[1] = 650;
	job->id = 12345;
	job->kind = RG_JOBKIND_SWITCHOVER;
	strcpy(job->node, "n2");
	job->state = RG_JOB_RUNNING;
	job->phase = RG_JOBPHASE_VERIFY;
	job->created_ms = 700;
	job->phase_ms = 750;
	job->ended_ms = 780;
	job->cancelled = job->resumed = true;
	job->method = RG_METHOD_DELTA;
	job->using = RG_METHOD_COPY;
	job->rate_kb = 5000;
	job->term = 8;
	strcpy(job->from, "n3");
	strcpy(job->tried, "rewind: no hints");
	strcpy(job->source, "n1");
	strcpy(job->message, "on its way");
}

static void
round_trip(const char *boot_id, int64_t now_ms)
{
	json_t	   *line = rg_record_memory(&before, &view, BOOT, 987654321);
	char	   *text;

	assert_non_null(line);
	text = json_dumps(line, JSON_COMPACT);
	json_decref(line);
	line = json_loads(text, 0, NULL);
	free(text);
	rg_record_read(line, boot_id, now_ms, &after, &system_identifier);
	json_decref(line);
}

static char *
text_of(const RgMemory *m)
{
	json_t	   *line = rg_record_memory(m, &view, BOOT, 987654321);
	char	   *text = json_dumps(line, JSON_COMPACT);

	json_decref(line);
	return text;
}

static void
test_all_comes_back(void **state)
{
	char	   *first;
	char	   *second;
	const RgNodeMemory *n = &after.nodes[0];
	const RgJob *job = &after.jobs[0];

	(void) state;
	fill();
	round_trip(BOOT, 5000);
	assert_int_equal(system_identifier, 987654321);
	assert_int_equal(after.term, 9);
	assert_int_equal(after.highest_term, 11);
	assert_int_equal(after.ticket, 44);
	assert_int_equal(after.rule.lease_ms, 5000);
	assert_string_equal(after.rule.voters[1], "n2");
	assert_int_equal(after.rule.left_out, 2);
	assert_int_equal(after.asked.seq, 3);
	assert_int_equal(after.asked.left_out, 2);
	assert_string_equal(after.wish.durability, "strict");
	assert_int_equal(after.wish.quorum, 2);
	assert_int_equal(after.wish.nvoters, 1);
	assert_true(after.unsure && n->left_out && n->declared_lost);
	assert_int_equal(n->out_term, 8);
	assert_int_equal(n->out_seq, 2);
	assert_int_equal(n->out_wall_ms, 1234567);
	assert_string_equal(n->out_reason, "it is away");
	assert_string_equal(after.candidate, "n2");
	assert_int_equal(after.lost_ms, 900);
	assert_int_equal(after.lease_ms, 30000);
	assert_int_equal(rg_rules_compare_position(&after.newest, &before.newest), 0);
	assert_string_equal(after.target, "n2");
	assert_string_equal(after.accept_loss, "n3");
	assert_true(after.takeover);
	assert_true(after.confirmed);
	assert_true(after.failover.planned);
	assert_int_equal(after.failover.bound_ms, 4000);
	assert_string_equal(after.failover.given_up, "n3");
	assert_true(after.failover.loss.measured && after.failover.loss.to_lsn == 0x5000100);
	assert_int_equal(after.failover.loss.transactions, 2);
	assert_int_equal(after.nnodes, 1);
	assert_true(rg_start_equal(&n->shown, &before.nodes[0].shown));
	assert_true(rg_start_equal(&n->admitted, &before.nodes[0].admitted));
	assert_false(rg_start_equal(&n->admitted, &n->shown));
	assert_int_equal(n->fenced_term, 5);
	assert_true(n->must_end && n->ended && n->ungated && n->stale && n->removed && n->joined);
	assert_true(n->owes_lsn == 0x5000028);
	assert_true(n->swap_term == 8 && n->swap_seq == 3);
	assert_int_equal(n->rebuilds, 2);
	assert_int_equal(n->half_rewound, RG_REWOUND_HALF);
	assert_int_equal(n->purpose_ms, 800);
	assert_string_equal(n->intruder, "somebody counter 3");
	assert_int_equal(n->ncrashes, 2);
	assert_int_equal(n->crashes_ms[1], 650);
	assert_int_equal(job->id, 12345);
	assert_int_equal(job->kind, RG_JOBKIND_SWITCHOVER);
	assert_int_equal(job->ended_ms, 780);
	assert_true(job->cancelled && job->resumed);
	assert_int_equal(job->method, RG_METHOD_DELTA);
	assert_int_equal(job->using, RG_METHOD_COPY);
	assert_int_equal(job->rate_kb, 5000);
	assert_int_equal(job->term, 8);
	assert_string_equal(job->from, "n3");
	assert_string_equal(job->tried, "rewind: no hints");
	assert_int_equal(after.phase, RG_PHASE_PROMOTING);

	/* and nothing that is written is lost on the way back */
	first = text_of(&before);
	second = text_of(&after);
	assert_string_equal(second, first);
	free(first);
	free(second);
}

/* Times of another boot mean nothing; what lies between them does. */
static void
test_another_boot_has_another_clock(void **state)
{
	const RgTimes *t = &after.failover.times;

	(void) state;
	fill();
	round_trip(OTHER_BOOT, 50);
	assert_int_equal(t->ruled_ms, 50);
	assert_int_equal(t->ruled_ms - t->lost_ms, 350);
	assert_int_equal(t->promoted_ms - t->recruited_ms, 100);
	assert_int_equal(t->fenced_ms, 0);
	assert_int_equal(after.phase_ms, 50);
	assert_int_equal(after.lost_ms, 0);
	assert_int_equal(after.nodes[0].purpose_ms, 50);
	assert_int_equal(after.nodes[0].ncrashes, 2);
	assert_int_equal(after.nodes[0].crashes_ms[0], 50);
	assert_int_equal(after.jobs[0].created_ms, 50);
	assert_int_equal(after.jobs[0].ended_ms, 50);
	assert_int_equal(after.lease_ms, 30000);
	assert_true(after.takeover);
}

/* An empty line is a memory of nothing, not a crash. */
static void
test_missing_fields_are_unknown(void **state)
{
	json_t	   *line = json_object();

	(void) state;
	rg_record_read(line, BOOT, 10, &after, &system_identifier);
	json_decref(line);
	assert_int_equal(after.phase, RG_PHASE_STARTING);
	assert_int_equal(after.rule.term, 0);
	assert_int_equal(after.lease_ms, 0);
	assert_false(after.takeover);
	assert_false(after.confirmed);
	assert_int_equal(system_identifier, 0);
}

static void
test_shown_failover_and_switchover(void **state)
{
	json_t	   *json;

	(void) state;
	fill();
	json = rg_record_failover(&before.failover);
	assert_int_equal(json_integer_value(json_object_get(json, "outage_ms")), 300);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(json, "phases"), "bound_ms")), 4000);
	assert_string_equal(json_string_value(json_object_get(json, "given_up")), "n3");
	json_decref(json);
	json = rg_record_switchover(&before.failover);
	assert_true(json_is_true(json_object_get(json, "ok")));
	assert_int_equal(json_integer_value(json_object_get(json, "gap_ms")), 350);
	assert_string_equal(json_string_value(json_object_get(json, "cause")), "host lost");
	json_decref(json);
	json = rg_record_switchover_failed("n1", &before.jobs[3], 77);
	assert_true(json_is_false(json_object_get(json, "ok")));
	assert_string_equal(json_string_value(json_object_get(json, "to")), "n2");
	assert_string_equal(json_string_value(json_object_get(json, "reason")), "on its way");
	json_decref(json);
}

/* Texts of a server that speaks Russian, cut by the core; each of them is in the line. */
static void
fill_with_cut_texts(void)
{
	char		told[600] = "";
	RgNodeMemory *n = &before.nodes[0];
	RgJob	   *job = &before.jobs[3];

	while (strlen(told) + 3 < sizeof(told))
		strcat(told, "\xd0\xb6");
	fill();
	rg_text(before.rule.reason, sizeof(before.rule.reason), "n1 is left out: %.81s", told);
	rg_text(before.failover.given_up, sizeof(before.failover.given_up), "x%s", told);
	rg_text(before.failover.loss.kept, sizeof(before.failover.loss.kept), "%s", told);
	rg_text(n->intruder, sizeof(n->intruder), "%.39s", told);
	rg_text(n->out_reason, sizeof(n->out_reason), "%.115s", told);
	rg_text(job->tried, sizeof(job->tried), "rewind: %.*s; delta: likewise", 221, told);
	rg_text(job->message, sizeof(job->message), "%s %s", told, told);
}

static void
test_texts_that_were_cut_come_back(void **state)
{
	(void) state;
	fill_with_cut_texts();
	round_trip(BOOT, 5000);
	assert_int_equal(after.ticket, 44);
	assert_true(after.nodes[0].owes_lsn == 0x5000028);
	assert_int_equal(after.jobs[0].id, 12345);
	assert_string_equal(after.jobs[0].message, before.jobs[3].message);
	assert_string_equal(after.jobs[0].tried, before.jobs[3].tried);
	assert_non_null(strstr(after.jobs[0].tried, "?; delta: likewise"));
	assert_string_equal(after.nodes[0].out_reason, before.nodes[0].out_reason);
	assert_string_equal(after.nodes[0].intruder, before.nodes[0].intruder);
	assert_string_equal(after.rule.reason, before.rule.reason);
	assert_string_equal(after.failover.given_up, before.failover.given_up);
	assert_string_equal(after.failover.loss.kept, before.failover.loss.kept);
	assert_true(strlen(after.failover.loss.kept) > 150);
}

/* A text that is no UTF-8 all the same: no line, not one that forgets a job or a node. */
static void
test_a_memory_is_recorded_whole_or_not_at_all(void **state)
{
	char	   *const texts[] = {before.jobs[3].message, before.jobs[3].from, before.nodes[0].intruder,
		before.nodes[0].out_reason, before.rule.voters[1], before.asked.reason, before.wish.voters[0],
		before.failover.loss.kept, before.candidate};

	(void) state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
	{
		fill();
		strcpy(texts[i], "f\xfcr");
		assert_null(rg_record_memory(&before, &view, BOOT, 987654321));
	}
}

/* The helper's words, as they are kept: cut where there is no more room. */
static void
test_a_helpers_long_words_are_cut_between_characters(void **state)
{
	char		told[400] = "/";
	json_t	   *answer;
	RgLoss		loss;

	(void) state;
	while (strlen(told) + 3 < sizeof(told))
		strcat(told, "\xc3\xa9");
	for (int shift = 0; shift < 2; shift++)
	{
		answer = json_pack("{s:s,s:s,s:s}", "diverged_from", "0/5000000", "diverged_to", "0/5000100", "kept", told + shift);
		assert_non_null(answer);
		rg_facts_diverged(answer, &loss);
		json_decref(answer);
		fill();
		before.failover.loss = loss;
		round_trip(BOOT, 5000);
		assert_string_equal(after.failover.loss.kept, loss.kept);
		assert_true(strlen(loss.kept) >= 158);
	}
}

static void
test_an_event_of_any_text(void **state)
{
	RgNote		note = {.event = RG_EVENT_NODE_STATE, .node = 0};
	json_t	   *event;

	(void) state;
	rg_text(note.text, sizeof(note.text), "n2 is dead: %s", "f\xfcr Benutzer");
	event = rg_events_note(&note, "n2", 3);
	assert_string_equal(json_string_value(json_object_get(event, "message")), "n2 is dead: f?r Benutzer");
	json_decref(event);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_comes_back),
		cmocka_unit_test(test_another_boot_has_another_clock),
		cmocka_unit_test(test_missing_fields_are_unknown),
		cmocka_unit_test(test_shown_failover_and_switchover),
		cmocka_unit_test(test_texts_that_were_cut_come_back),
		cmocka_unit_test(test_a_memory_is_recorded_whole_or_not_at_all),
		cmocka_unit_test(test_a_helpers_long_words_are_cut_between_characters),
		cmocka_unit_test(test_an_event_of_any_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
