/*
 * t_resolve.c
 *	  watchdog/io/resolve.c: never waits, and what is no name is no look-up.
 *
 * No name server is asked: these are addresses, /etc/hosts and a name that can't exist.
 */
#include "helpers.h"

#include "io/resolve.h"

static struct event_base *base;
static RgResolver *resolver;

static int
set_up(void **state)
{
	(void) state;
	base = make_base();
	resolver = rg_resolver_new(base);
	return resolver != NULL ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void) state;
	rg_resolver_free(resolver);
	loop_for(base, 20);			/* what was under way ends here */
	event_base_free(base);
	return 0;
}

static void
test_addresses_and_sockets_are_answered_at_once(void **state)
{
	static const char *const same[] = {"127.0.0.1", "10.0.0.255", "::1", "fe80::1:2"};
	char		buf[64];

	(void) state;
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
	{
		assert_true(rg_resolver_get(resolver, same[i], buf, sizeof(buf)));
		assert_string_equal(buf, same[i]);
	}
	assert_true(rg_resolver_get(resolver, "/var/run/postgresql", buf, sizeof(buf)));
	assert_string_equal(buf, "");
}

static void
test_names_of_the_hosts_file(void **state)
{
	char		buf[64] = "";

	(void) state;
	for (int i = 0; i < 50 && !rg_resolver_get(resolver, "localhost", buf, sizeof(buf)); i++)
		loop_for(base, 10);
	assert_true(strcmp(buf, "127.0.0.1") == 0 || strcmp(buf, "::1") == 0);
}

static void
test_unknown_names_never_wait(void **state)
{
	char		buf[64];
	char		name[400];
	int64_t		began = rg_clock_now_ms();

	(void) state;
	for (int i = 0; i < 100; i++)
	{
		snprintf(name, sizeof(name), "host%d.invalid", i % 10);
		assert_false(rg_resolver_get(resolver, name, buf, sizeof(buf)));
	}
	memset(name, 'x', 300);
	name[300] = '\0';
	assert_false(rg_resolver_get(resolver, name, buf, sizeof(buf)));
	assert_false(rg_resolver_get(resolver, "", buf, sizeof(buf)));
	assert_true(rg_clock_now_ms() - began < 1000);	/* a look-up that waits takes seconds, each of them */

	/* freed while they are asked for */
}

int
main(void)
{
#define WITH_RESOLVER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WITH_RESOLVER(test_addresses_and_sockets_are_answered_at_once),
		WITH_RESOLVER(test_names_of_the_hosts_file),
		WITH_RESOLVER(test_unknown_names_never_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
