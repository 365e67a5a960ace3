/*
 * t_rules.c
 *	  The arithmetic of the safety protocol, extension/rules.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "extension/rules.h"

#define COUNT(array) ((int) (sizeof(array) / sizeof((array)[0])))

static void
test_rule_order_is_term_then_seq(void **state)
{
	(void) state;
	assert_true(rg_rules_compare(6, 99, 7, 1) < 0);
	assert_true(rg_rules_compare(7, 2, 7, 1) > 0);
	assert_int_equal(rg_rules_compare(7, 1, 7, 1), 0);
	assert_true(rg_rules_compare(INT64_MAX, 0, 1, INT32_MAX) > 0);
}

static void
test_position_order_is_rule_then_timeline_then_lsn(void **state)
{
	const RgPosition base = {6, 2, 3, 1000};
	const RgPosition newer_rule = {7, 0, 1, 1};
	const RgPosition newer_seq = {6, 3, 1, 1};
	const RgPosition newer_timeline = {6, 2, 4, 1};
	const RgPosition ahead = {6, 2, 3, UINT64_MAX};

	(void) state;
	assert_true(rg_rules_compare_position(&newer_rule, &base) > 0);
	assert_true(rg_rules_compare_position(&newer_seq, &base) > 0);
	assert_true(rg_rules_compare_position(&newer_timeline, &base) > 0);
	assert_true(rg_rules_compare_position(&ahead, &base) > 0);
	assert_true(rg_rules_compare_position(&base, &newer_rule) < 0);
	assert_int_equal(rg_rules_compare_position(&base, &base), 0);
}

/* q + r = s + 1, so a set that can renew a lease and a recruited set always meet. */
static void
test_lease_quorum_and_recruit_always_meet(void **state)
{
	(void) state;
	assert_int_equal(rg_rules_lease_quorum(0), 0);
	assert_int_equal(rg_rules_recruit_size(0), 0);
	assert_int_equal(rg_rules_lease_quorum(-1), 0);
	for (int s = 1; s <= 32; s++)
	{
		assert_int_equal(rg_rules_lease_quorum(s), s / 2 + 1);
		assert_int_equal(rg_rules_lease_quorum(s) + rg_rules_recruit_size(s), s + 1);
		assert_true(rg_rules_recruit_size(s) >= 1);
	}
}

static void
test_lease_bound_has_lease_and_drift(void **state)
{
	(void) state;
	/* two clocks, 200 ppm each: 2 ms of 5 s */
	assert_int_equal(rg_rules_lease_bound_ms(1000, 5000), 1000 + 5000 + 2 + 50);
	/* a day of pause: 86400 s * 400 ppm = 34.56 s */
	assert_int_equal(rg_rules_lease_bound_ms(0, 86400000), 86400000 + 34560 + 50);
	/* rounded up, never down */
	assert_int_equal(rg_rules_drift_margin_ms(1), 51);
	assert_int_equal(rg_rules_drift_margin_ms(0), 50);
	assert_int_equal(rg_rules_lease_bound_ms(1000, -5), 1050);
}

static void
test_lease_bound_saturates(void **state)
{
	(void) state;
	assert_true(rg_rules_lease_bound_ms(0, INT64_MAX) == INT64_MAX);
	assert_true(rg_rules_lease_bound_ms(INT64_MAX, 5000) == INT64_MAX);
	assert_true(rg_rules_lease_bound_ms(INT64_MAX - 5052, 5000) == INT64_MAX);
	assert_true(rg_rules_lease_bound_ms(INT64_MAX - 5053, 5000) == INT64_MAX - 1);
}

static void
test_term_far_ahead_is_refused(void **state)
{
	(void) state;
	assert_true(rg_rules_term_is_plausible(1, 0));
	assert_true(rg_rules_term_is_plausible(1000, 0));
	assert_false(rg_rules_term_is_plausible(1001, 0));
	assert_true(rg_rules_term_is_plausible(3, 7));
	assert_true(rg_rules_term_is_plausible(1007, 7));
	assert_false(rg_rules_term_is_plausible(1008, 7));
	assert_false(rg_rules_term_is_plausible(0, 7));
	assert_false(rg_rules_term_is_plausible(-1, 7));
	assert_false(rg_rules_term_is_plausible(INT64_MAX, 7));
	assert_true(rg_rules_term_is_plausible(1, -9));
}

/* A leader that took over in term 7 at 5000. */
static const RgTermEnd leader[] = {{5, 1, 5000}, {6, 1, 5000}, {7, 2, 0}};

static RgFollowVerdict
follow(const RgTermEnd *terms, int n, uint32_t timeline, uint64_t lsn)
{
	return rg_rules_may_follow(terms, n, 0, timeline, lsn, leader, COUNT(leader));
}

static void
test_follow_before_the_end_of_the_term(void **state)
{
	const RgTermEnd node[] = {{5, 1, 0}, {6, 1, 0}};

	(void) state;
	assert_int_equal(follow(node, 2, 1, 4999), RG_FOLLOW_OK);
	assert_int_equal(follow(node, 2, 1, 5000), RG_FOLLOW_OK);
	assert_int_equal(follow(node, 2, 1, 5001), RG_FOLLOW_PAST_END);
}

static void
test_follow_in_the_current_term(void **state)
{
	const RgTermEnd node[] = {{6, 1, 5000}, {7, 2, 0}};

	(void) state;
	assert_int_equal(follow(node, 2, 2, UINT64_MAX), RG_FOLLOW_OK);
}

/* Told to follow 7, but nothing received from that leader yet. */
static void
test_follow_accepted_but_still_on_the_old_timeline(void **state)
{
	const RgTermEnd node[] = {{6, 1, 0}, {7, 1, 0}};

	(void) state;
	assert_int_equal(follow(node, 2, 1, 5000), RG_FOLLOW_OK);
	assert_int_equal(follow(node, 2, 1, 5001), RG_FOLLOW_PAST_END);
}

/*
 * F2: B was promoted in term 7 onto timeline 2 and fell before its rule; C was
 * promoted in term 8, onto timeline 2 as well.  Whoever followed B holds other
 * rows under the same timeline number.
 */
static void
test_equal_timeline_of_another_term_is_not_followed(void **state)
{
	const RgTermEnd second_leader[] = {{6, 1, 5000}, {8, 2, 0}};
	const RgTermEnd followed_b[] = {{6, 1, 0}, {7, 2, 0}};
	const RgTermEnd is_b[] = {{6, 1, 0}};

	(void) state;
	assert_int_equal(rg_rules_may_follow(followed_b, 2, 0, 2, 5100, second_leader, 2),
					 RG_FOLLOW_NO_HISTORY);
	assert_int_equal(rg_rules_may_follow(is_b, 1, 7, 2, 5100, second_leader, 2),
					 RG_FOLLOW_HALF_PROMOTED);
	/* without the note about its promotion, the timeline still gives it away or the end does */
	assert_int_equal(rg_rules_may_follow(is_b, 1, 0, 2, 5100, second_leader, 2),
					 RG_FOLLOW_OTHER_TIMELINE);
}

static void
test_promoting_that_reached_its_rule_is_not_half(void **state)
{
	const RgTermEnd node[] = {{6, 1, 5000}, {7, 2, 0}};

	(void) state;
	assert_int_equal(rg_rules_may_follow(node, 2, 7, 2, 5100, leader, 3), RG_FOLLOW_OK);
	assert_int_equal(rg_rules_may_follow(node, 2, 8, 2, 5100, leader, 3),
					 RG_FOLLOW_HALF_PROMOTED);
	assert_false(rg_rules_is_half_promoted(0, 0));
}

static void
test_follow_needs_both_histories(void **state)
{
	const RgTermEnd node[] = {{6, 1, 0}};
	const RgTermEnd broken[] = {{6, 1, 0}, {6, 1, 0}};
	const RgTermEnd other[] = {{9, 1, 0}};

	(void) state;
	assert_int_equal(follow(NULL, 0, 1, 1), RG_FOLLOW_UNKNOWN);
	assert_int_equal(rg_rules_may_follow(node, 1, 0, 1, 1, NULL, 0), RG_FOLLOW_UNKNOWN);
	assert_int_equal(follow(node, 1, 0, 1), RG_FOLLOW_UNKNOWN);
	assert_int_equal(follow(broken, 2, 1, 1), RG_FOLLOW_UNKNOWN);
	assert_int_equal(follow(other, 1, 1, 1), RG_FOLLOW_NO_HISTORY);
	assert_int_equal(follow(node, 1, 3, 1), RG_FOLLOW_OTHER_TIMELINE);
}

static void
test_every_verdict_has_its_own_text(void **state)
{
	(void) state;
	for (int a = RG_FOLLOW_OK; a <= RG_FOLLOW_UNKNOWN; a++)
		for (int b = a + 1; b <= RG_FOLLOW_UNKNOWN; b++)
			assert_string_not_equal(rg_follow_verdict_text((RgFollowVerdict) a),
									rg_follow_verdict_text((RgFollowVerdict) b));
}

/* A leader that may write; each test takes one thing away. */
static RgGateState
open_state(void)
{
	RgGateState g;

	memset(&g, 0, sizeof(g));
	g.is_known = g.has_state = g.has_rule = g.is_leader = true;
	g.rule_term = 7;
	g.promised_term = 7;
	g.lease_until_ms = 1000;
	return g;
}

/* F8: what is not known, or was never written, is closed. */
static void
test_gate_without_a_rule_is_closed(void **state)
{
	RgGateState g = open_state();

	(void) state;
	assert_int_equal(rg_rules_gate(&g, 999), RG_GATE_OPEN);
	g.has_rule = false;
	assert_int_equal(rg_rules_gate(&g, 999), RG_GATE_NO_RULE);
	/* a node that once had a state file is not adopted again */
	g.adopting_left_ms = 5000;
	assert_int_equal(rg_rules_gate(&g, 999), RG_GATE_NO_RULE);
	g.has_state = false;
	assert_int_equal(rg_rules_gate(&g, 999), RG_GATE_ADOPTING);
	/* nor a copy without its state file, as long as nobody has looked for rules in it */
	g.is_known = false;
	assert_int_equal(rg_rules_gate(&g, 999), RG_GATE_UNKNOWN);
	g.adopting_left_ms = 0;
	assert_int_equal(rg_rules_gate(&g, 999), RG_GATE_UNKNOWN);
	g = open_state();
	g.state_bad = true;
	assert_int_equal(rg_rules_gate(&g, 999), RG_GATE_STATE_BAD);
	assert_false(rg_gate_is_open(RG_GATE_NO_RULE));
	assert_false(rg_gate_is_open(RG_GATE_UNKNOWN));
	assert_false(rg_gate_is_open(RG_GATE_STATE_BAD));
}

/* A lease alone opens nothing for whoever is deposed, has promised, or was shown to be behind (F10). */
static void
test_gate_needs_office_and_lease(void **state)
{
	RgGateState g = open_state();

	(void) state;
	assert_int_equal(rg_rules_gate(&g, 1000), RG_GATE_LEASE_OVER);
	g.lease_until_ms = 0;
	assert_int_equal(rg_rules_gate(&g, 1), RG_GATE_NO_LEASE);
	g = open_state();
	g.promised_term = 8;
	assert_int_equal(rg_rules_gate(&g, 1), RG_GATE_PROMISED);
	g = open_state();
	g.is_leader = false;
	assert_int_equal(rg_rules_gate(&g, 1), RG_GATE_NOT_LEADER);
	g = open_state();
	g.is_stale = true;
	assert_int_equal(rg_rules_gate(&g, 1), RG_GATE_STALE);
	g = open_state();
	g.in_recovery = true;
	assert_int_equal(rg_rules_gate(&g, 1), RG_GATE_RECOVERY);
	/* an override ends by itself, and opens no standby */
	g.override_until_ms = 500;
	assert_int_equal(rg_rules_gate(&g, 1), RG_GATE_RECOVERY);
	g.in_recovery = false;
	g.promised_term = 8;
	assert_int_equal(rg_rules_gate(&g, 499), RG_GATE_OVERRIDE);
	assert_int_equal(rg_rules_gate(&g, 500), RG_GATE_PROMISED);
}

/* F6: a grant counts from the node's own clock, at most by the length of its rule. */
static void
test_a_grant_is_cut_to_the_rules_lease(void **state)
{
	(void) state;
	assert_int_equal(rg_rules_extend_lease(0, 6000, 1000, 5000), 6000);
	assert_int_equal(rg_rules_extend_lease(0, 1000 + 86400000, 1000, 5000), 6000);
	assert_int_equal(rg_rules_extend_lease(0, INT64_MAX, INT64_MAX - 1, 5000), INT64_MAX);
	/* delayed, repeated, out of order: never later than it said, never earlier than what holds */
	assert_int_equal(rg_rules_extend_lease(6000, 5500, 4000, 5000), 6000);
	assert_int_equal(rg_rules_extend_lease(6000, 6000, 5900, 5000), 6000);
	/* without a length there is none */
	assert_int_equal(rg_rules_extend_lease(0, 6000, 1000, 0), 0);
	/* a shorter rule cuts at once, a longer one lengthens nothing */
	assert_int_equal(rg_rules_cut_lease(61000, 1000, 2000), 3000);
	assert_int_equal(rg_rules_cut_lease(3000, 1000, 60000), 3000);
	assert_int_equal(rg_rules_cut_lease(0, 1000, 2000), 0);
}

/* What the standbys gave ends with what they received, and two clocks were off (F4). */
static void
test_wal_bound_has_two_margins(void **state)
{
	(void) state;
	assert_int_equal(rg_rules_wal_bound_ms(10000, 2000, 5000), 8000 + 5000 + 2 * rg_rules_drift_margin_ms(5000));
	/* no age, or one before our clock began: the later moment counts */
	assert_int_equal(rg_rules_wal_bound_ms(10000, -1, 5000), 10000 + 5000 + 2 * rg_rules_drift_margin_ms(5000));
	assert_int_equal(rg_rules_wal_bound_ms(10000, 99999, 5000), 0 + 5000 + 2 * rg_rules_drift_margin_ms(5000));
	assert_true(rg_rules_wal_bound_ms(10000, 0, INT64_MAX) == INT64_MAX);
}

/* So many complete recruits meet every set that acknowledged; by every size of both. */
static void
test_history_meets_every_acknowledging_set(void **state)
{
	(void) state;
	for (int s = 1; s <= 8; s++)
		for (int k = 1; k <= s; k++)
		{
			RgSets		sets = {(UINT64_C(1) << s) - 1, (UINT64_C(1) << s) - 1, k, false};

			assert_int_equal(rg_rules_history_size(s, k), s - k + 1);
			for (uint64_t recruits = 0; recruits < UINT64_C(1) << s; recruits++)
			{
				bool		meets = true;

				for (uint64_t acks = 0; acks < UINT64_C(1) << s; acks++)
					if (rg_sets_acknowledge(&sets, acks) && (acks & recruits) == 0)
						meets = false;
				assert_int_equal(rg_sets_hold_history(&sets, recruits), meets);
			}
		}
}

/* All were left out: the leader acknowledged alone, and nobody else can speak for it. */
static void
test_without_a_counted_standby_only_the_leader_speaks(void **state)
{
	RgSets		alone = {3, 0, 0, false};
	RgSets		async = {3, 3, 0, true};

	(void) state;
	assert_true(rg_sets_acknowledge(&alone, 0));
	assert_false(rg_sets_hold_history(&alone, 3));
	assert_true(rg_sets_hold_history(&async, 0));
}

/* Whoever acts by the old rule, not knowing the new one, meets somebody who holds it. */
static void
assert_settle_is_sound(const RgSets *old, const RgSets *new, uint64_t flushed)
{
	uint64_t	out = old->counted & new->standbys & ~new->counted;
	uint64_t	gone = old->standbys & ~old->counted & ~new->standbys;

	for (uint64_t recruits = 1; recruits < 256; recruits++)
	{
		/* who is left out is in the journal, who is gone can't be recruited any more */
		bool		by_history = !old->is_async && rg_sets_hold_history(old, recruits & ~out);
		bool		by_lease = rg_sets_end_lease(old, recruits & ~gone);

		if ((recruits & flushed) != 0)
			continue;
		if (by_history && !new->is_async)
			fail_msg("history %x/%x k=%d -> %x/%x k=%d, flushed %x, recruits %x", (unsigned) old->standbys,
					 (unsigned) old->counted, old->quorum, (unsigned) new->standbys, (unsigned) new->counted,
					 new->quorum, (unsigned) flushed, (unsigned) recruits);
		if (by_lease && (old->standbys != new->standbys || (old->is_async && !new->is_async)))
			fail_msg("lease %x -> %x, flushed %x, recruits %x", (unsigned) old->standbys, (unsigned) new->standbys,
					 (unsigned) flushed, (unsigned) recruits);
	}
}

/* F7, V1, V9, V10: every pair of rules over four standbys, everybody who may have flushed the second. */
static void
test_settled_means_that_nobody_can_act_by_the_old_rule(void **state)
{
	(void) state;
	for (unsigned v = 1; v < 16; v++)
		for (unsigned v2 = 1; v2 < 16; v2++)
			for (unsigned pick = 0; pick < 256; pick++)
				for (int kinds = 0; kinds < 4; kinds++)
				{
					RgSets		old = {v, v & ~(pick & 15), 0, (kinds & 1) != 0};
					RgSets		new = {v2, v2 & ~(pick >> 4), 0, (kinds & 2) != 0};
					int			most = rg_sets_size(old.counted);

					if ((old.is_async && (pick & 15) != 0) || (new.is_async && (pick >> 4) != 0))
						continue;
					for (old.quorum = 0; old.quorum <= most; old.quorum++)
						for (uint64_t flushed = 0; flushed < 16; flushed++)
						{
							new.quorum = rg_sets_size(new.counted);
							if (!rg_sets_equal(&old, &new) && rg_sets_settle(&old, &new, flushed))
								assert_settle_is_sound(&old, &new, flushed);
						}
				}
}

static void
test_a_change_settles_as_soon_as_it_may(void **state)
{
	RgSets		two = {3, 3, 2, false};
	RgSets		one = {3, 3, 1, false};
	RgSets		out = {3, 1, 1, false};
	RgSets		alone = {3, 0, 0, false};
	RgSets		async = {3, 3, 1, true};
	RgSets		grown = {7, 7, 1, false};
	RgSets		removed = {1, 1, 1, false};

	(void) state;
	assert_false(rg_sets_settle(&two, &one, 1));
	assert_true(rg_sets_settle(&two, &one, 3));
	assert_true(rg_sets_settle(&one, &two, 2));
	assert_false(rg_sets_settle(&one, &two, 0));
	assert_false(rg_sets_settle(&two, &out, 2));
	assert_true(rg_sets_settle(&two, &out, 1));
	assert_true(rg_sets_settle(&out, &alone, 0));
	assert_true(rg_sets_settle(&two, &async, 0));
	assert_false(rg_sets_settle(&async, &one, 1));
	assert_true(rg_sets_settle(&async, &one, 3));
	assert_false(rg_sets_settle(&one, &grown, 5));
	assert_true(rg_sets_settle(&alone, &one, 0));
	assert_true(rg_sets_settle(&one, &grown, 3));
	/* V9: a removed node that has not heard of it could be recruited by the old rule; one that was left out is vouched for */
	assert_false(rg_sets_settle(&one, &removed, 1));
	assert_true(rg_sets_settle(&out, &removed, 1));
	assert_true(rg_sets_leave_out(&two, &out));
	assert_true(rg_sets_leave_out(&out, &alone));
	assert_false(rg_sets_leave_out(&out, &two));
	assert_false(rg_sets_leave_out(&two, &one));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rule_order_is_term_then_seq),
		cmocka_unit_test(test_position_order_is_rule_then_timeline_then_lsn),
		cmocka_unit_test(test_lease_quorum_and_recruit_always_meet),
		cmocka_unit_test(test_lease_bound_has_lease_and_drift),
		cmocka_unit_test(test_lease_bound_saturates),
		cmocka_unit_test(test_wal_bound_has_two_margins),
		cmocka_unit_test(test_history_meets_every_acknowledging_set),
		cmocka_unit_test(test_without_a_counted_standby_only_the_leader_speaks),
		cmocka_unit_test(test_settled_means_that_nobody_can_act_by_the_old_rule),
		cmocka_unit_test(test_a_change_settles_as_soon_as_it_may),
		cmocka_unit_test(test_gate_without_a_rule_is_closed),
		cmocka_unit_test(test_gate_needs_office_and_lease),
		cmocka_unit_test(test_a_grant_is_cut_to_the_rules_lease),
		cmocka_unit_test(test_term_far_ahead_is_refused),
		cmocka_unit_test(test_follow_before_the_end_of_the_term),
		cmocka_unit_test(test_follow_in_the_current_term),
		cmocka_unit_test(test_follow_accepted_but_still_on_the_old_timeline),
		cmocka_unit_test(test_equal_timeline_of_another_term_is_not_followed),
		cmocka_unit_test(test_promoting_that_reached_its_rule_is_not_half),
		cmocka_unit_test(test_follow_needs_both_histories),
		cmocka_unit_test(test_every_verdict_has_its_own_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
