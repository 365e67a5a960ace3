/*
 * t_recruit.c
 *	  Enough to promote, for 2 to 9 nodes, every k and every set of recruits, against
 *	  what the words mean: sets that meet each other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core_view.h"
#include "watchdog/core/explain.h"
#include "watchdog/core/lease.h"
#include "watchdog/core/recruit.h"

#define TERM 2

static World w;

/* n1 led and is lost; the standbys in this set (bit 0 = n2) have promised completely, long ago. */
static void
lost(int n, const char *durability, int quorum, unsigned recruits)
{
	world_healthy(&w, n);
	snprintf(w.memory.rule.durability, sizeof(w.memory.rule.durability), "%s", durability);
	w.memory.rule.quorum = quorum;
	w.memory.phase = RG_PHASE_RECRUITING;
	w.memory.phase_ms = NOW;
	w.memory.term = w.memory.highest_term = TERM;
	w.memory.nodes[0].must_end = true;
	w.view.nodes[0].sql = RG_SQL_SILENT;
	w.view.nodes[0].facts_ms = NOW - 60000;
	for (int i = 1; i < n; i++)
	{
		if ((recruits >> (i - 1) & 1) == 0)
			continue;
		world_promise(&w, i, TERM);
		w.view.nodes[i].promise.at_ms = NOW - 1000;
		w.view.nodes[i].promise.last_wal_age_ms = 59000;
	}
}

static int
bits(unsigned set)
{
	int			n = 0;

	for (; set != 0; set &= set - 1)
		n++;
	return n;
}

/* Every set of so many of the s standbys has one in common with the recruits. */
static bool
meets_all(int s, int size, unsigned recruits)
{
	for (unsigned set = 0; set < 1u << s; set++)
		if (bits(set) == size && (set & recruits) == 0)
			return false;
	return true;
}

/* q + r = s + 1: so many recruits meet every set of standbys that could renew the lease. */
static void
test_authority_is_that_recruits_meet_every_lease_set(void **state)
{
	(void) state;
	for (int n = 2; n <= 9; n++)
		for (unsigned recruits = 0; recruits < 1u << (n - 1); recruits++)
		{
			bool		wanted = meets_all(n - 1, rg_rules_lease_quorum(n - 1), recruits);

			lost(n, "async", 1, recruits);
			assert_int_equal(rg_recruit_outlast(&w.view, &w.memory, 0),
							 wanted ? RG_OUTLAST_DONE : RG_OUTLAST_RECRUITS);
		}
}

/* In sync and strict the recruits meet every set of k standbys that could have acknowledged. */
static void
test_history_is_that_recruits_meet_every_acknowledging_set(void **state)
{
	(void) state;
	for (int n = 2; n <= 9; n++)
		for (int k = 1; k <= n - 1; k++)
			for (unsigned recruits = 0; recruits < 1u << (n - 1); recruits++)
			{
				bool		counted[RG_CORE_NODES_MAX] = {false};

				for (int i = 1; i < n; i++)
					counted[i] = (recruits >> (i - 1) & 1) != 0;
				lost(n, k % 2 ? "sync" : "strict", k, recruits);
				assert_int_equal(rg_recruit_meets_history(&w.view, &w.memory, counted, NULL),
								 meets_all(n - 1, k, recruits));
				/* the old leader, readable, was member of every set (L5) */
				counted[0] = true;
				assert_true(rg_recruit_meets_history(&w.view, &w.memory, counted, NULL));
				/* unless it lost a part of what it had */
				w.memory.failover.diagnosis = RG_DIAG_BEHIND;
				snprintf(w.memory.failover.from, sizeof(w.memory.failover.from), "n1");
				assert_int_equal(rg_recruit_meets_history(&w.view, &w.memory, counted, NULL),
								 meets_all(n - 1, k, recruits));
				snprintf(w.memory.rule.durability, sizeof(w.memory.rule.durability), "async");
				counted[0] = false;
				assert_true(rg_recruit_meets_history(&w.view, &w.memory, counted, NULL));
			}
}

/* A candidate that failed was to lead by the same voters: both are asked (F7, L5). */
static void
test_every_leader_whose_authority_ends_is_asked_by_its_own_rule(void **state)
{
	bool		counted[RG_CORE_NODES_MAX] = {false};
	char		why[RG_TEXT_MAX];

	(void) state;
	lost(3, "sync", 1, 0);
	w.memory.nodes[1].must_end = true;
	/* n3 alone: n1 and n2 may have acknowledged without it */
	counted[2] = true;
	assert_false(rg_recruit_meets_history(&w.view, &w.memory, counted, why));
	assert_non_null(strstr(why, "n1 or n2"));
	/* n1 and n3 as standbys: n1 has all of the first rule; of the second n1 and n3 are all standbys */
	counted[0] = true;
	assert_true(rg_recruit_meets_history(&w.view, &w.memory, counted, why));
	/* n2 and n3 */
	counted[0] = false;
	counted[1] = true;
	assert_true(rg_recruit_meets_history(&w.view, &w.memory, counted, why));
	/* n2 alone has all of its own rule, and not of the first */
	counted[2] = false;
	assert_false(rg_recruit_meets_history(&w.view, &w.memory, counted, why));
}

static void
test_who_is_no_recruit(void **state)
{
	(void) state;
	lost(2, "async", 1, 1);
	assert_int_equal(rg_recruit_outlast(&w.view, &w.memory, 0), RG_OUTLAST_DONE);
	/* another server start (F3), another term, a primary's pledge, no voter */
	w.view.nodes[1].facts.start.pid++;
	assert_int_equal(rg_recruit_outlast(&w.view, &w.memory, 0), RG_OUTLAST_RECRUITS);
	lost(2, "async", 1, 1);
	w.view.nodes[1].promise.term = TERM - 1;
	assert_int_equal(rg_recruit_outlast(&w.view, &w.memory, 0), RG_OUTLAST_RECRUITS);
	lost(2, "async", 1, 1);
	w.view.nodes[1].promise.by_primary = true;
	assert_int_equal(rg_recruit_outlast(&w.view, &w.memory, 0), RG_OUTLAST_RECRUITS);
	lost(3, "async", 1, 3);
	w.memory.rule.nvoters = 1;
	assert_int_equal(rg_recruit_outlast(&w.view, &w.memory, 0), RG_OUTLAST_NEVER);
	/* an incomplete one counts here (F5) */
	lost(2, "async", 1, 1);
	w.view.nodes[1].promise.complete = false;
	assert_int_equal(rg_recruit_outlast(&w.view, &w.memory, 0), RG_OUTLAST_DONE);
	assert_false(rg_recruit_is_complete(&w.view, &w.memory, 1));
}

static void
test_time_has_to_pass_too(void **state)
{
	int64_t		bound;
	char		why[RG_TEXT_MAX];

	(void) state;
	lost(2, "async", 1, 1);
	w.view.nodes[0].facts_ms = NOW - 2000;
	bound = rg_lease_bound_ms(&w.view, &w.memory, 0);
	assert_true(bound > NOW);
	assert_int_equal(rg_recruit_outlast(&w.view, &w.memory, 0), RG_OUTLAST_TIME);
	rg_recruit_outlast_text(&w.view, &w.memory, 0, why);
	assert_string_equal(why, "its lease may still run");
	w.view.now_ms = bound;
	assert_int_equal(rg_recruit_outlast(&w.view, &w.memory, 0), RG_OUTLAST_TIME);
	w.view.now_ms = bound + 1;
	assert_int_equal(rg_recruit_outlast(&w.view, &w.memory, 0), RG_OUTLAST_DONE);
	w.memory.nodes[0].ungated = true;
	assert_int_equal(rg_recruit_outlast(&w.view, &w.memory, 0), RG_OUTLAST_NEVER);
	rg_recruit_outlast_text(&w.view, &w.memory, 0, why);
	assert_non_null(strstr(why, "gate was off or overridden"));
}

/* In a recruit nobody is granted anything: a leader that goes on answering moves no bound. */
static void
test_answers_in_a_recruit_move_no_bound(void **state)
{
	int64_t		bound;

	(void) state;
	lost(2, "async", 1, 1);
	w.memory.phase_ms = NOW - 2000;
	w.view.nodes[0].facts_ms = NOW - 2000;
	bound = rg_lease_bound_ms(&w.view, &w.memory, 0);
	w.view.nodes[0].facts_ms = NOW;
	assert_int_equal(rg_lease_bound_ms(&w.view, &w.memory, 0), bound);
	w.view.started_ms = NOW - 1000;
	assert_int_equal(rg_lease_bound_ms(&w.view, &w.memory, 0), bound + 1000);
	w.view.started_ms = 0;
	w.memory.phase = RG_PHASE_STEADY;
	assert_int_equal(rg_lease_bound_ms(&w.view, &w.memory, 0), bound + 2000);
}

/* s = 0: nobody can be recruited, so a lone leader's lease is never over. */
static void
test_a_lone_leader_is_never_outlasted(void **state)
{
	(void) state;
	lost(1, "async", 1, 0);
	assert_int_equal(rg_recruit_outlast(&w.view, &w.memory, 0), RG_OUTLAST_NEVER);
}

/* The operator says that the missing are gone; time still has to pass. */
static void
test_accepted_loss_declares_the_missing_lost(void **state)
{
	bool		counted[RG_CORE_NODES_MAX] = {false};

	(void) state;
	lost(5, "sync", 2, 1);
	for (int i = 2; i < 5; i++)
		w.view.nodes[i].sql = RG_SQL_SILENT;
	assert_int_equal(rg_recruit_outlast(&w.view, &w.memory, 0), RG_OUTLAST_RECRUITS);
	snprintf(w.memory.accept_loss, sizeof(w.memory.accept_loss), "n2");
	assert_int_equal(rg_recruit_outlast(&w.view, &w.memory, 0), RG_OUTLAST_DONE);
	assert_true(rg_recruit_meets_history(&w.view, &w.memory, counted, NULL));
	w.view.nodes[0].facts_ms = NOW - 100;
	assert_int_equal(rg_recruit_outlast(&w.view, &w.memory, 0), RG_OUTLAST_TIME);
	/* who answers is not lost: it has to promise */
	w.view.nodes[0].facts_ms = NOW - 60000;
	for (int i = 2; i < 5; i++)
		w.view.nodes[i].sql = RG_SQL_OK;
	assert_int_equal(rg_recruit_outlast(&w.view, &w.memory, 0), RG_OUTLAST_RECRUITS);
}

/* ---- a rule that was asked for and not shown ---- */

/* A rule of n1 whose standbys, and whose left out, are these (bit 0 = n2). */
static void
make_rule(RgRule *rule, int seq, unsigned standbys, unsigned left_out, int quorum, bool is_async)
{
	world_rule(&w, 1, 0, rule);
	rule->seq = seq;
	rule->quorum = quorum;
	rule->nvoters = 0;
	snprintf(rule->durability, sizeof(rule->durability), "%s", is_async ? "async" : "sync");
	/* the asked rule names them in another order: bits of two rules are not comparable as they are */
	for (int i = 0; i < 4; i++)
	{
		int			k = seq == 2 ? 3 - i : i;

		if ((standbys >> k & 1) == 0)
			continue;
		if ((left_out >> k & 1) != 0)
			rule->left_out |= 1u << rule->nvoters;
		snprintf(rule->voters[rule->nvoters++], RG_CORE_NAME_MAX, "n%d", k + 2);
	}
	snprintf(rule->voters[rule->nvoters++], RG_CORE_NAME_MAX, "n1");
}

/*
 * Could n1 have told a client, by the asked rule, of a commit that none of these holds?
 * Whoever flushed that commit has flushed the rule's row before it.
 */
static bool
could_acknowledge_without(const RgSets *before, const RgSets *asked, unsigned recruits)
{
	for (unsigned has_row = 0; has_row < 16; has_row++)
		for (unsigned has_commit = 0; has_commit < 16; has_commit++)
		{
			/* joint.c: what only leaves out more may stand beside the one before that one */
			bool		alone = rg_sets_settle(before, asked, has_row) || rg_sets_leave_out(before, asked);

			if ((has_row & recruits) == 0 && (has_commit & ~has_row) == 0 && !asked->is_async &&
				rg_sets_acknowledge(asked, has_commit) &&
				(alone || (!before->is_async && rg_sets_acknowledge(before, has_commit))))
				return true;
		}
	return false;
}

static void
check_asked(const RgSets *before, const RgSets *asked)
{
	unsigned	out = (unsigned) ((before->standbys & ~before->counted) | (asked->standbys & ~asked->counted));

	lost(5, "sync", 1, 15);
	make_rule(&w.memory.rule, 1, (unsigned) before->standbys, (unsigned) (before->standbys & ~before->counted),
			  before->quorum, before->is_async);
	make_rule(&w.memory.asked, 2, (unsigned) asked->standbys, (unsigned) (asked->standbys & ~asked->counted),
			  asked->quorum, asked->is_async);
	for (int i = 0; i < 4; i++)
		w.memory.nodes[i + 1].left_out = (out >> i & 1) != 0;
	for (unsigned recruits = 0; recruits < 16; recruits++)
	{
		bool		counted[RG_CORE_NODES_MAX] = {false};
		bool		may;

		for (int i = 0; i < 4; i++)
			counted[i + 1] = (recruits >> i & 1) != 0;
		may = rg_recruit_meets_history(&w.view, &w.memory, counted, NULL);
		if (may && could_acknowledge_without(before, asked, recruits))
			fail_msg("%x/%x k=%d -> %x/%x k=%d with %x", (unsigned) before->standbys, (unsigned) before->counted,
					 before->quorum, (unsigned) asked->standbys, (unsigned) asked->counted, asked->quorum, recruits);
		/* and nobody is waited for without need */
		if (!may && out == 0 && rg_sets_hold_history(before, recruits) &&
			!could_acknowledge_without(before, asked, recruits))
			fail_msg("%x k=%d -> %x k=%d waits with %x", (unsigned) before->standbys, before->quorum,
					 (unsigned) asked->standbys, asked->quorum, recruits);
	}
}

/* Every pair of rules over four standbys, everybody who may be left (F7, V1, V9, V10). */
static void
test_an_asked_rule_counts_where_it_may_be_in_force(void **state)
{
	(void) state;
	for (unsigned pick = 0; pick < 1u << 16; pick++)
		for (int kinds = 0; kinds < 4; kinds++)
		{
			unsigned	v = pick & 15;
			unsigned	v2 = pick >> 4 & 15;
			unsigned	out = pick >> 8 & 15;
			unsigned	out2 = pick >> 12;
			RgSets		before = {v, v & ~out, 0, (kinds & 1) != 0};
			RgSets		asked = {v2, v2 & ~out2, 0, (kinds & 2) != 0};
			int			most = before.is_async ? 0 : rg_sets_size(before.counted);
			int			most2 = asked.is_async ? 0 : rg_sets_size(asked.counted);

			if (v == 0 || v2 == 0 || (out & ~v) != 0 || (out2 & ~v2) != 0)
				continue;
			for (before.quorum = 0; before.quorum <= most; before.quorum++)
				for (asked.quorum = 0; asked.quorum <= most2; asked.quorum++)
					check_asked(&before, &asked);
		}
}

/* n2 alone has promised; n3 counts again by a rule that was asked for. */
static void
asked_for(bool *counted)
{
	lost(3, "sync", 1, 1);
	w.memory.rule.left_out = 4;
	w.memory.nodes[2].left_out = true;
	w.memory.asked = w.memory.rule;
	w.memory.asked.seq = 2;
	w.memory.asked.left_out = 0;
	counted[1] = true;
	assert_true(rg_recruit_meets_history(&w.view, &w.memory, counted, NULL));
}

static void
test_who_proves_that_an_asked_rule_is_not_in_force(void **state)
{
	bool		counted[RG_CORE_NODES_MAX] = {false};

	(void) state;
	/* what is not replayed may hold its row */
	asked_for(counted);
	w.view.nodes[1].promise.complete = false;
	assert_false(rg_recruit_meets_history(&w.view, &w.memory, counted, NULL));
	/* so may the directory that its copy took the place of, where the rule before asks for nothing (V2) */
	asked_for(counted);
	snprintf(w.memory.rule.durability, sizeof(w.memory.rule.durability), "async");
	w.memory.rule.nvoters = 2;
	assert_true(rg_recruit_meets_history(&w.view, &w.memory, counted, NULL));
	w.memory.nodes[1].owes_lsn = UINT64_MAX;
	assert_false(rg_recruit_meets_history(&w.view, &w.memory, counted, NULL));
	/* it shows it */
	asked_for(counted);
	w.view.nodes[1].promise.rule = w.memory.asked;
	assert_false(rg_recruit_meets_history(&w.view, &w.memory, counted, NULL));
	/* another rule than the one that we know came before it */
	asked_for(counted);
	w.memory.asked.seq = 3;
	assert_false(rg_recruit_meets_history(&w.view, &w.memory, counted, NULL));
}

/* The lease quorum of the rule before stays in question as long (V9, V10). */
static void
test_an_asked_rule_that_is_not_in_force_lengthens_no_wait_for_promises(void **state)
{
	(void) state;
	lost(5, "async", 1, 2);
	make_rule(&w.memory.rule, 1, 3, 0, 1, true);
	make_rule(&w.memory.asked, 2, 15, 0, 1, true);
	assert_int_equal(rg_recruit_outlast(&w.view, &w.memory, 0), RG_OUTLAST_DONE);
	w.view.nodes[2].promise.complete = false;
	assert_int_equal(rg_recruit_outlast(&w.view, &w.memory, 0), RG_OUTLAST_RECRUITS);
}

/* ---- the table that people read ---- */

static char text[65536];

/* The line that begins so, or NULL. */
static const char *
find_line(const char *begin)
{
	size_t		len = strlen(begin);

	for (const char *at = text; at != NULL && *at != '\0'; at = strchr(at, '\n'), at = at ? at + 1 : NULL)
		if (strncmp(at, begin, len) == 0 && at[len] == ' ')
			return at;
	return NULL;
}

static bool
line_says(const char *line, const char *word)
{
	const char *at = strstr(line, word);

	return at != NULL && at < strchr(line, '\n');
}

/* Each set of lost hosts: the table says what the core would do. */
static void
check_table(int n, const char *durability, int k)
{
	for (unsigned dead = 0; dead < 1u << n; dead++)
	{
		unsigned	alive = ~(dead >> 1) & ((1u << (n - 1)) - 1);
		bool		counted[RG_CORE_NODES_MAX] = {false};
		char		names[64] = "";
		const char *line;
		bool		promotes;

		for (int i = 0; i < n; i++)
			if (dead >> i & 1)
				snprintf(names + strlen(names), sizeof(names) - strlen(names), "%sn%d", names[0] ? " " : "", i + 1);
		lost(n, durability, k, alive);
		for (int i = 1; i < n; i++)
			counted[i] = (alive >> (i - 1) & 1) != 0;
		promotes = rg_recruit_outlast(&w.view, &w.memory, 0) == RG_OUTLAST_DONE &&
			rg_recruit_meets_history(&w.view, &w.memory, counted, NULL);
		(void) rg_explain_quorum(&w.memory.rule, text, sizeof(text));
		line = find_line(dead == 0 ? "nobody" : names);
		assert_non_null(line);
		if ((dead & 1) == 0)
			assert_true(line_says(line, strcmp(durability, "async") == 0 || bits(alive) >= k ? "goes on"
								  : strcmp(durability, "sync") == 0 ? "waits a moment" : "commits wait"));
		else
			assert_int_equal(line_says(line, "promotes"), promotes);
	}
}

static void
test_the_quorum_table_says_what_would_happen(void **state)
{
	(void) state;
	for (int n = 2; n <= 5; n++)
		for (int k = 1; k < n; k++)
		{
			check_table(n, "async", k);
			check_table(n, "sync", k);
			check_table(n, "strict", k);
		}
}

static void
test_the_quorum_table_of_other_sizes(void **state)
{
	RgRule		rule;
	int			len;

	(void) state;
	memset(&rule, 0, sizeof(rule));
	assert_true(rg_explain_quorum(&rule, text, sizeof(text)) > 0);
	assert_non_null(strstr(text, "No rule is known"));
	world_healthy(&w, 1);
	(void) rg_explain_quorum(&w.memory.rule, text, sizeof(text));
	assert_non_null(strstr(text, "nobody can ever take over"));
	world_healthy(&w, 9);
	len = rg_explain_quorum(&w.memory.rule, text, sizeof(text));
	assert_int_equal(len, strlen(text));
	/* n = 9: s = 8, q = 5, r = 4: sizes only */
	assert_non_null(strstr(text, "goes on while 5 of 8"));
	assert_non_null(strstr(text, "needs 4 of 8"));
	assert_null(strstr(text, "Each set"));
	assert_true(line_says(find_line("4 of 8"), "promotes"));
	assert_true(line_says(find_line("5 of 8"), "waits"));
	/* cut, never overrun */
	assert_int_equal(rg_explain_quorum(&w.memory.rule, text, 20), 19);
	assert_int_equal(strlen(text), 19);
	assert_int_equal(rg_explain_quorum(&w.memory.rule, text, 0), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_authority_is_that_recruits_meet_every_lease_set),
		cmocka_unit_test(test_history_is_that_recruits_meet_every_acknowledging_set),
		cmocka_unit_test(test_every_leader_whose_authority_ends_is_asked_by_its_own_rule),
		cmocka_unit_test(test_who_is_no_recruit),
		cmocka_unit_test(test_time_has_to_pass_too),
		cmocka_unit_test(test_answers_in_a_recruit_move_no_bound),
		cmocka_unit_test(test_a_lone_leader_is_never_outlasted),
		cmocka_unit_test(test_accepted_loss_declares_the_missing_lost),
		cmocka_unit_test(test_an_asked_rule_counts_where_it_may_be_in_force),
		cmocka_unit_test(test_who_proves_that_an_asked_rule_is_not_in_force),
		cmocka_unit_test(test_an_asked_rule_that_is_not_in_force_lengthens_no_wait_for_promises),
		cmocka_unit_test(test_the_quorum_table_says_what_would_happen),
		cmocka_unit_test(test_the_quorum_table_of_other_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
