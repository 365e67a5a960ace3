/*
 * t_identity.c
 *	  watchdog/io/identity.c: one watchdog per directory, a counter that only grows.
 */
#include "helpers.h"

#include "io/identity.h"

static char dir[256];
static char path[300];

static int
set_up(void **state)
{
	(void) state;
	make_directory(dir, sizeof(dir));
	snprintf(path, sizeof(path), "%s/identity", dir);
	return 0;
}

static int
tear_down(void **state)
{
	(void) state;
	remove_directory(dir);
	return 0;
}

static void
test_counter_grows_with_each_start(void **state)
{
	RgIdentity	first;
	RgIdentity	next;
	RgError		err;
	struct stat st;

	(void) state;
	assert_int_equal(rg_identity_open(dir, &first, &err), 0);
	assert_int_equal(strlen(first.id), 36);
	assert_int_equal(first.id[14], '4');
	assert_in_range(first.counter, 1, 1000);
	assert_true(first.is_first);
	rg_identity_close(&first);
	for (int64_t before = first.counter; before < 4000; before = next.counter)
	{
		assert_int_equal(rg_identity_open(dir, &next, &err), 0);
		assert_string_equal(next.id, first.id);
		assert_in_range(next.counter, before + 1, before + 1000);
		assert_false(next.is_first);
		rg_identity_close(&next);
	}
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

/* Two copies of one directory must not count alike. */
static void
test_clones_count_differently(void **state)
{
	static const char text[] = "regent watchdog identity 1\nid 0b5c1d0e-2a4f-4c3e-9a53-7d0a1d8a6a11\ncounter 5\n";
	RgIdentity	identity;
	RgError		err;
	int64_t		first = 0;
	int			others = 0;

	(void) state;
	for (int i = 0; i < 8; i++)
	{
		write_file(path, text, 0600);
		assert_int_equal(rg_identity_open(dir, &identity, &err), 0);
		rg_identity_close(&identity);
		if (i == 0)
			first = identity.counter;
		others += identity.counter != first;
	}
	assert_true(others > 0);
}

static void
test_second_watchdog_is_refused_and_named(void **state)
{
	RgIdentity	first;
	RgIdentity	second = {.counter = 77};
	RgError		err;
	char		pid[32];

	(void) state;
	assert_int_equal(rg_identity_open(dir, &first, &err), 0);
	assert_int_equal(rg_identity_open(dir, &second, &err), RGE_STATE);
	assert_int_equal(second.counter, 77);
	snprintf(pid, sizeof(pid), "Process %ld ", (long) getpid());
	assert_non_null(strstr(err.detail, pid));
	assert_true(err.hint[0] != '\0');

	/* reading needs no lock, and the second one has not moved the counter */
	assert_int_equal(rg_identity_read(dir, &second, &err), 0);
	assert_int_equal(second.counter, first.counter);
	rg_identity_close(&first);
	rg_identity_close(&first);
	rg_identity_close(NULL);
}

static void
test_directory_is_made_or_named(void **state)
{
	RgIdentity	identity;
	RgError		err;
	char		sub[300];

	(void) state;
	snprintf(sub, sizeof(sub), "%s/new", dir);
	assert_int_equal(rg_identity_open(sub, &identity, &err), 0);
	rg_identity_close(&identity);
	snprintf(sub, sizeof(sub), "%s/not/there", dir);
	assert_int_equal(rg_identity_open(sub, &identity, &err), RGE_IO);
	assert_non_null(strstr(err.hint, "install -d"));
	assert_int_equal(chmod(dir, 0777), 0);
	assert_int_equal(rg_identity_open(dir, &identity, &err), RGE_TRUST);
	assert_non_null(strstr(err.hint, "chmod o-w"));
}

static void
test_none_yet(void **state)
{
	RgIdentity	identity;
	RgError		err;

	(void) state;
	assert_int_equal(rg_identity_read(dir, &identity, &err), RGE_STATE);
	assert_int_equal(rg_identity_ensure(dir, &identity, &err), 0);
	assert_int_equal(identity.counter, 0);
	assert_int_equal(identity.lock_fd, -1);
	assert_int_equal(rg_identity_ensure(dir, &identity, &err), 0);
	assert_int_equal(identity.counter, 0);
	assert_int_equal(rg_identity_open(dir, &identity, &err), 0);
	assert_in_range(identity.counter, 1, 1000);
	assert_true(identity.is_first);
	rg_identity_close(&identity);
}

/* A damaged file must never become a new identity: that would be another watchdog. */
static void
test_damaged_file_is_an_error_and_stays(void **state)
{
	static const char *const bad[] = {
		"",
		"regent watchdog identity 1\n",
		"regent watchdog identity 1\nid 0b5c1d0e-2a4f-4c3e-9a53-7d0a1d8a6a11\n",
		"regent watchdog identity 1\nid 0b5c1d0e-2a4f-4c3e-9a53-7d0a1d8a6a11\ncounter 5",
		"regent watchdog identity 1\nid 0b5c1d0e-2a4f-4c3e-9a53-7d0a1d8a6a11\ncounter -5\n",
		"regent watchdog identity 1\nid 0b5c1d0e-2a4f-4c3e-9a53-7d0a1d8a6a11\ncounter 5\nmore\n",
		"regent watchdog identity 1\nid 0B5c1d0e-2a4f-4c3e-9a53-7d0a1d8a6a11\ncounter 5\n",
		"regent watchdog identity 2\nid 0b5c1d0e-2a4f-4c3e-9a53-7d0a1d8a6a11\ncounter 5\n",
		"regent watchdog identity 1\nid 0b5c1d0e-2a4f-4c3e-9a53-7d0a1d8a6a11\ncounter 99999999999999999999\n",
	};
	RgIdentity	identity;
	RgError		err;

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		char	   *text;

		write_file(path, bad[i], 0600);
		assert_int_equal(rg_identity_open(dir, &identity, &err), RGE_FORMAT);
		assert_int_equal(rg_identity_ensure(dir, &identity, &err), RGE_FORMAT);
		text = read_file(path);
		assert_string_equal(text, bad[i]);
		free(text);
	}
	write_file(path, "regent watchdog identity 1\nid 0b5c1d0e-2a4f-4c3e-9a53-7d0a1d8a6a11\ncounter 5\n", 0600);
	assert_int_equal(rg_identity_open(dir, &identity, &err), 0);
	assert_in_range(identity.counter, 6, 1005);
	rg_identity_close(&identity);
}

/* A directory where identity.tmp can't be made: the counter must not be given out. */
static void
test_counter_that_cannot_be_stored_is_not_given_out(void **state)
{
	RgIdentity	identity = {.counter = 99};
	RgIdentity	first;
	RgError		err;
	char		tmp[300];

	(void) state;
	assert_int_equal(rg_identity_open(dir, &first, &err), 0);
	rg_identity_close(&first);
	snprintf(tmp, sizeof(tmp), "%s/identity.tmp", dir);
	assert_int_equal(mkdir(tmp, 0700), 0);
	identity.counter = 99;
	assert_int_equal(rg_identity_open(dir, &identity, &err), RGE_IO);
	assert_int_equal(identity.counter, 99);
	assert_int_equal(rmdir(tmp), 0);
	assert_int_equal(rg_identity_open(dir, &identity, &err), 0);
	assert_in_range(identity.counter, first.counter + 1, first.counter + 1000);
	rg_identity_close(&identity);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_counter_grows_with_each_start, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_clones_count_differently, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_second_watchdog_is_refused_and_named, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_directory_is_made_or_named, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_none_yet, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_damaged_file_is_an_error_and_stays, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_counter_that_cannot_be_stored_is_not_given_out, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
