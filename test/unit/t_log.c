/*
 * t_log.c
 *	  watchdog/base/log.c: form, escapes, repeats, and that it never blocks.
 */
#include "helpers.h"

#include "base/log.h"

static int	fds[2];

static int
set_up(void **state)
{
	(void) state;
	return pipe2(fds, O_CLOEXEC);
}

static int
tear_down(void **state)
{
	(void) state;
	close(fds[0]);
	close(fds[1]);
	return 0;
}

/* What has been written so far. */
static const char *
written(void)
{
	static char buf[65536];
	ssize_t		n;

	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	n = read(fds[0], buf, sizeof(buf) - 1);
	buf[n > 0 ? n : 0] = '\0';
	return buf;
}

static int
count_lines(const char *text)
{
	int			n = 0;

	for (; *text != '\0'; text++)
		n += *text == '\n';
	return n;
}

static void
test_line_has_time_level_event_names_and_message(void **state)
{
	RgLog	   *log = rg_log_new(fds[1], RG_LOG_INFO);
	const char *line;

	(void) state;
	rg_log(log, RG_LOG_WARNING, "node_lost", "main", "n1", "no answer for %d ms", 500);
	line = written();
	assert_int_equal(line[4], '-');
	assert_int_equal(line[23], 'Z');
	assert_string_equal(line + 24, " WARNING event=node_lost cluster=main node=n1 msg=\"no answer for 500 ms\"\n");
	rg_log_free(log);
}

static void
test_error_brings_detail_and_hint(void **state)
{
	RgLog	   *log = rg_log_new(fds[1], RG_LOG_INFO);
	RgError		err;

	(void) state;
	rg_error_set(&err, RGE_IO, "could not");
	rg_error_detail(&err, "It said \"no\".");
	rg_error_hint(&err, "Try again.");
	rg_log_error(log, RG_LOG_ERROR, "x", NULL, NULL, &err);
	assert_string_equal(written() + 24, " ERROR event=x msg=\"could not\" detail=\"It said \\\"no\\\".\" hint=\"Try again.\"\n");
	rg_log_free(log);
}

static void
test_a_text_cannot_begin_another_line(void **state)
{
	RgLog	   *log = rg_log_new(fds[1], RG_LOG_INFO);

	(void) state;
	rg_log(log, RG_LOG_INFO, "x", "a b", "n\"1", "one\ntwo\\\t\x1b[31m\"");
	assert_string_equal(written() + 24, " INFO event=x cluster=a_b node=n_1 msg=\"one\\ntwo\\\\\\t\\x1b[31m\\\"\"\n");
	rg_log_free(log);
}

/* journald would show a line that is not UTF-8 as "blob data". */
static void
test_a_text_that_is_not_utf8_is_mended(void **state)
{
	RgLog	   *log = rg_log_new(fds[1], RG_LOG_INFO);

	(void) state;
	rg_log(log, RG_LOG_INFO, "e", NULL, NULL, "f\xfcr %.4s", "\xe2\x82\xac\xe2\x82\xac");
	assert_non_null(strstr(written(), "msg=\"f?r \xe2\x82\xac\""));
	rg_log_free(log);
}

static void
test_below_the_least_level_nothing_is_written(void **state)
{
	RgLog	   *log = rg_log_new(fds[1], RG_LOG_NOTICE);

	(void) state;
	rg_log(log, RG_LOG_INFO, "x", NULL, NULL, "y");
	rg_log(NULL, RG_LOG_ERROR, "x", NULL, NULL, "y");
	assert_string_equal(written(), "");
	rg_log_free(log);
}

static void
test_repeats_are_not_printed(void **state)
{
	RgLog	   *log = rg_log_new(fds[1], RG_LOG_INFO);

	(void) state;
	for (int i = 0; i < 100; i++)
	{
		rg_log(log, RG_LOG_INFO, "x", "c", "n1", "same");
		rg_log(log, RG_LOG_INFO, "x", "c", "n2", "same");
	}
	rg_log(log, RG_LOG_INFO, "x", "c", "n1", "other");
	assert_int_equal(count_lines(written()), 3);

	/* more different ones than it remembers: all are printed */
	for (int i = 0; i < 300; i++)
		rg_log(log, RG_LOG_INFO, "y", "c", "n1", "number %d", i);
	assert_int_equal(count_lines(written()), 300);
	rg_log_free(log);
}

static void
test_long_texts_are_cut_not_split(void **state)
{
	RgLog	   *log = rg_log_new(fds[1], RG_LOG_INFO);
	RgError		err;
	char		text[1500];
	const char *line;

	(void) state;
	memset(text, '\n', sizeof(text) - 1);	/* doubles when escaped */
	text[sizeof(text) - 1] = '\0';
	rg_error_set(&err, RGE_IO, "%s", text);
	rg_error_detail(&err, "%s", text);
	rg_error_hint(&err, "%s", text);
	for (size_t i = 0; i < 255; i++)
		err.message[i] = '\x01';	/* fourfold */
	for (size_t i = 0; i < 511; i++)
		err.detail[i] = err.hint[i] = '\x01';
	rg_log_error(log, RG_LOG_ERROR, "x", "c", "n", &err);
	line = written();
	assert_int_equal(count_lines(line), 1);
	assert_true(strlen(line) <= 3600);
	assert_string_equal(line + strlen(line) - 2, "\"\n");
	assert_int_not_equal(line[strlen(line) - 3], '\\');
	rg_log_free(log);
}

static void
test_a_full_pipe_does_not_block(void **state)
{
	RgLog	   *log = rg_log_new(fds[1], RG_LOG_INFO);
	int64_t		start = rg_clock_now_ms();
	const char *text;

	(void) state;
	for (int i = 0; i < 5000; i++)
		rg_log(log, RG_LOG_INFO, "x", "c", "n1", "number %d of many that nobody reads", i);
	assert_true(rg_clock_now_ms() - start < 2000);
	text = written();
	assert_int_equal(text[strlen(text) - 1], '\n');
	rg_log(log, RG_LOG_INFO, "x", "c", "n1", "and now");
	text = written();
	assert_non_null(strstr(text, " dropped="));
	assert_non_null(strstr(text, "msg=\"and now\""));
	rg_log_free(log);
}

static void
test_the_journal_gets_levels_instead_of_times(void **state)
{
	struct stat st;
	char		value[64];
	RgLog	   *log;

	(void) state;
	assert_int_equal(fstat(fds[1], &st), 0);
	snprintf(value, sizeof(value), "%llu:%llu", (unsigned long long) st.st_dev, (unsigned long long) st.st_ino);
	setenv("JOURNAL_STREAM", value, 1);
	log = rg_log_new(fds[1], RG_LOG_INFO);
	rg_log(log, RG_LOG_WARNING, "x", NULL, NULL, "y");
	assert_string_equal(written(), "<4>event=x msg=\"y\"\n");
	rg_log_free(log);

	/* of another file: not for us */
	setenv("JOURNAL_STREAM", "1:2", 1);
	log = rg_log_new(fds[1], RG_LOG_INFO);
	rg_log(log, RG_LOG_WARNING, "x", NULL, NULL, "y");
	assert_int_equal(written()[0], '2');
	rg_log_free(log);
	unsetenv("JOURNAL_STREAM");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_line_has_time_level_event_names_and_message, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_error_brings_detail_and_hint, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_text_cannot_begin_another_line, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_text_that_is_not_utf8_is_mended, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_below_the_least_level_nothing_is_written, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_repeats_are_not_printed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_long_texts_are_cut_not_split, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_full_pipe_does_not_block, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_journal_gets_levels_instead_of_times, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
