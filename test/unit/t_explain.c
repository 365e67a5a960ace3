/*
 * t_explain.c
 *	  What `regent explain` says comes from the same values that decide.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core_view.h"
#include "watchdog/core/explain.h"
#include "watchdog/core/phase.h"

static World w;
static RgDecision d;
static char text[16384];

static void
explain(void)
{
	unsigned long len;

	rg_decide(&w.view, &w.memory, &d);
	len = rg_explain(&w.view, &d, text, sizeof(text));
	assert_int_equal(len, strlen(text));
	assert_int_equal(text[len - 1], '\n');
}

static void
test_healthy_cluster_says_who_would_take_over(void **state)
{
	(void) state;
	world_healthy(&w, 3);
	explain();
	assert_non_null(strstr(text, "Now: steady. Diagnosis: healthy"));
	assert_non_null(strstr(text, "In force: rule 1, leader n1."));
	assert_non_null(strstr(text, "If n1 crashed now (term 2):"));
	assert_non_null(strstr(text, "n2 as things stand"));
	assert_non_null(strstr(text, "n1 comes back as a standby by itself."));
	assert_non_null(strstr(text, "wait up to 30 s"));
	assert_non_null(strstr(text, "  n3: as advanced as n2"));
	w.view.settings.auto_rejoin = false;
	explain();
	assert_non_null(strstr(text, "when you run regent rebuild."));
}

static void
test_not_ready_says_why(void **state)
{
	(void) state;
	world_healthy(&w, 2);
	w.view.nodes[1].priority = 0;
	explain();
	assert_non_null(strstr(text, "there would be no automatic failover: nobody could take over"));
	assert_non_null(strstr(text, "  n2: no: priority 0"));
}

static void
test_failover_at_hand_names_the_next_steps(void **state)
{
	(void) state;
	world_healthy(&w, 2);
	world_crash(&w, 0);
	explain();
	assert_non_null(strstr(text, "Now: recruiting."));
	assert_non_null(strstr(text, "Next: fence on n1, term 2."));
	assert_non_null(strstr(text, "Next: promise on n2, term 2."));
	assert_non_null(strstr(text, "n1 is dead: no postmaster"));
}

static void
test_what_a_failover_gave_up(void **state)
{
	RgFailover *f = &w.memory.failover;

	(void) state;
	world_healthy(&w, 3);
	explain();
	assert_null(strstr(text, "Given up"));
	f->term = 2;
	strcpy(f->from, "n2");
	strcpy(f->to, "n1");
	f->loss.from_lsn = f->loss.to_lsn = 0x5000000;
	explain();
	assert_null(strstr(text, "Given up"));
	f->loss.to_lsn += f->loss.bytes = 256;
	explain();
	assert_non_null(strstr(text, "Given up by the failover of term 2, n2 to n1: at least 256 bytes of WAL of n2, from 0/5000000 to 0/5000100.\n"));
	f->loss.measured = true;
	f->loss.transactions = 3;
	strcpy(f->loss.kept, "/kept/2");
	explain();
	assert_non_null(strstr(text, "n2 to n1: 256 bytes of WAL of n2, from 0/5000000 to 0/5000100, 3 transactions, kept there in /kept/2.\n"));
	f->planned = true;
	explain();
	assert_null(strstr(text, "Given up"));
}

static void
test_a_small_buffer_is_cut_not_overrun(void **state)
{
	char		small[64];

	(void) state;
	world_healthy(&w, 3);
	rg_decide(&w.view, &w.memory, &d);
	for (unsigned long size = 1; size < sizeof(small); size++)
	{
		memset(small, 'x', sizeof(small));
		assert_true(rg_explain(&w.view, &d, small, size) < size);
		assert_int_equal(strlen(small), size - 1);
		assert_int_equal(small[size], 'x');
		memset(small, 'x', sizeof(small));
		assert_true(rg_explain_graph(small, size) < size);
		assert_int_equal(small[size], 'x');
	}
	assert_int_equal(rg_explain(&w.view, &d, small, 0), 0);
	assert_int_equal(rg_explain_graph(small, 0), 0);
}

static void
test_without_any_node(void **state)
{
	(void) state;
	memset(&w, 0, sizeof(w));
	explain();
	assert_non_null(strstr(text, "Now: starting."));
	assert_non_null(strstr(text, "the leader"));
}

static void
test_graph_has_every_row(void **state)
{
	int			arrows = 0;
	int			rows = 0;

	(void) state;
	(void) rg_explain_graph(text, sizeof(text));
	while (rg_move_get(rows) != NULL)
		rows++;
	for (const char *at = text; (at = strstr(at, "->")) != NULL; at++)
		arrows++;
	assert_int_equal(arrows, rows);
	assert_true(strncmp(text, "digraph", 7) == 0);
	assert_int_equal(text[strlen(text) - 2], '}');
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_healthy_cluster_says_who_would_take_over),
		cmocka_unit_test(test_not_ready_says_why),
		cmocka_unit_test(test_failover_at_hand_names_the_next_steps),
		cmocka_unit_test(test_what_a_failover_gave_up),
		cmocka_unit_test(test_a_small_buffer_is_cut_not_overrun),
		cmocka_unit_test(test_without_any_node),
		cmocka_unit_test(test_graph_has_every_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
