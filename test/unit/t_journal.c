/*
 * t_journal.c
 *	  watchdog/io/journal.c: what was told to be on disk is there, what was
 *	  told to have failed is not, and damage is not overlooked.
 *
 * Failing writes are made with RLIMIT_FSIZE (the disk is full in the middle
 * of a line); failing fsyncs by a function of that name here, which the linker
 * takes before libc's.
 */
#include "helpers.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

#include "io/journal.h"
#include "io/journal_line.h"

static char dir[256];
static char path[300];
static int	fail_fdatasync;		/* this many calls fail */
static int	fail_fsync;

int			fdatasync(int fd);

int
fdatasync(int fd)
{
	(void) fd;
	if (fail_fdatasync > 0)
	{
		fail_fdatasync--;
		errno = EIO;
		return -1;
	}
	return 0;
}

int
fsync(int fd)
{
	(void) fd;
	if (fail_fsync > 0)
	{
		fail_fsync--;
		errno = EIO;
		return -1;
	}
	return 0;
}

static const char *const keep[] = {"memory", "promote", NULL};

typedef struct Lines
{
	int			n;
	int64_t		first;
	int64_t		last;
	char		last_kind[64];
	int			last_value;
} Lines;

static int
set_up(void **state)
{
	(void) state;
	make_directory(dir, sizeof(dir));
	snprintf(path, sizeof(path), "%s/main.journal", dir);
	fail_fdatasync = fail_fsync = 0;
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
on_line(void *arg, const char *kind, int64_t seq, int64_t at_wall_ms, const json_t *line)
{
	Lines	   *lines = arg;

	assert_true(at_wall_ms > 0);
	assert_true(json_integer_value(json_object_get(line, "n")) == seq);
	if (lines->n++ == 0)
		lines->first = seq;
	lines->last = seq;
	snprintf(lines->last_kind, sizeof(lines->last_kind), "%s", kind);
	lines->last_value = (int) json_integer_value(json_object_get(line, "value"));
}

static RgJournal *
open_good(Lines *lines)
{
	RgJournal  *j = NULL;
	RgError		err;

	memset(lines, 0, sizeof(*lines));
	if (rg_journal_open(dir, "main", keep, on_line, lines, &j, &err) != 0)
		fail_msg("%s", err.message);
	return j;
}

static int
write_value(RgJournal *j, const char *kind, int value, bool sync, int64_t *ret_seq, RgError *err)
{
	json_t	   *body = json_pack("{s:i, s:s}", "value", value, "text", "quote \" and newline \n");
	int			rc = rg_journal_write(j, kind, body, sync, ret_seq, err);

	json_decref(body);
	return rc;
}

static void
test_lines_come_back_in_order(void **state)
{
	Lines		lines;
	RgError		err;
	int64_t		seq = 0;
	RgJournal  *j = open_good(&lines);
	json_t	   *body;
	struct stat st;

	(void) state;
	assert_int_equal(lines.n, 0);
	for (int i = 1; i <= 10; i++)
	{
		assert_int_equal(write_value(j, i % 2 ? "memory" : "event", i * 11, i % 3 == 0, &seq, &err), 0);
		assert_int_equal(seq, i);
	}
	body = json_object();
	assert_int_equal(rg_journal_write(j, "empty", body, true, NULL, &err), 0);
	json_decref(body);
	rg_journal_close(j);
	j = open_good(&lines);
	assert_null(rg_journal_warning(j));
	assert_int_equal(lines.n, 11);
	assert_int_equal(lines.last, 11);
	assert_string_equal(lines.last_kind, "empty");
	assert_int_equal(write_value(j, "memory", 5, true, &seq, &err), 0);
	assert_int_equal(seq, 12);
	rg_journal_close(j);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void
test_checksum_is_of_the_line_without_it(void **state)
{
	char	   *line = NULL;
	size_t		len = 0;
	RgJournalHead head;
	RgError		err;
	json_t	   *body = json_pack("{s:i}", "x", 1);

	(void) state;
	assert_int_equal(rg_journal_line_make(7, 1000, 2000, "event", body, &line, &len, &err), 0);

	/* printf '%s' '{"n":7,"at":1000,"boot":2000,"kind":"event","x":1}' | zlib's crc32 */
	assert_string_equal(line, "{\"n\":7,\"at\":1000,\"boot\":2000,\"kind\":\"event\",\"crc\":\"ac7968bc\",\"x\":1}\n");
	assert_true(rg_journal_line_check(line, len - 1, &head));
	assert_int_equal(head.seq, 7);
	assert_int_equal(head.at_wall_ms, 1000);
	assert_string_equal(head.kind, "event");

	/* no byte of it can change */
	for (size_t i = 0; i < len - 1; i++)
		for (int bit = 0; bit < 8; bit++)
		{
			line[i] = (char) (line[i] ^ (1 << bit));
			assert_false(rg_journal_line_check(line, len - 1, &head));
			line[i] = (char) (line[i] ^ (1 << bit));
		}
	for (size_t n = 0; n < len - 1; n++)
		assert_false(rg_journal_line_check(line, n, &head));
	free(line);
	json_decref(body);
}

static void
test_bad_input_is_refused(void **state)
{
	Lines		lines;
	RgError		err;
	RgJournal  *j = open_good(&lines);
	json_t	   *body = json_pack("{s:i}", "crc", 1);
	json_t	   *good = json_object();
	json_t	   *list = json_array();
	char	   *big = malloc(RG_JOURNAL_LINE_MAX + 1);
	json_t	   *big_body;

	(void) state;
	assert_int_equal(rg_journal_write(j, "event", body, true, NULL, &err), RGE_ARGUMENT);
	assert_int_equal(rg_journal_write(j, "event", list, true, NULL, &err), RGE_ARGUMENT);
	assert_int_equal(rg_journal_write(j, "", good, true, NULL, &err), RGE_ARGUMENT);
	assert_int_equal(rg_journal_write(j, "a\"b", good, true, NULL, &err), RGE_ARGUMENT);
	json_decref(good);
	memset(big, 'x', RG_JOURNAL_LINE_MAX);
	big[RG_JOURNAL_LINE_MAX] = '\0';
	big_body = json_pack("{s:s}", "text", big);
	assert_int_equal(rg_journal_write(j, "event", big_body, true, NULL, &err), RGE_LIMIT);
	json_decref(big_body);
	free(big);
	json_decref(body);
	json_decref(list);
	rg_journal_close(j);
	assert_int_equal(rg_journal_open(dir, "../x", keep, NULL, NULL, &j, &err), RGE_ARGUMENT);
	j = open_good(&lines);
	assert_int_equal(lines.n, 0);
	rg_journal_close(j);
}

/* A crash can leave any part of the last line: all before it is there, and it goes on. */
/* A memory that could not be made is no empty one: the last good line stays the newest. */
static void
test_a_body_that_could_not_be_made_is_refused(void **state)
{
	Lines		lines;
	RgError		err;
	RgJournal  *j = open_good(&lines);
	int64_t		seq = 0;

	(void) state;
	assert_int_equal(write_value(j, "memory", 7, true, &seq, &err), 0);
	assert_int_equal(rg_journal_write(j, "memory", json_pack("{s:s}", "text", "f\xfcr"), true, &seq, &err), RGE_ARGUMENT);
	assert_string_equal(err.message, "journal line of kind memory can't be made: no memory, or a text is not UTF-8");
	assert_int_equal(seq, 1);
	rg_journal_close(j);
	j = open_good(&lines);
	assert_int_equal(lines.n, 1);
	assert_int_equal(lines.last_value, 7);
	rg_journal_close(j);
}

static void
test_torn_last_line_is_dropped_with_a_warning(void **state)
{
	Lines		lines;
	RgError		err;
	RgJournal  *j = open_good(&lines);
	struct stat st;
	off_t		good;
	off_t		full;
	char	   *text;

	(void) state;
	write_value(j, "memory", 1, true, NULL, &err);
	assert_int_equal(stat(path, &st), 0);
	good = st.st_size;
	write_value(j, "memory", 2, true, NULL, &err);
	rg_journal_close(j);
	assert_int_equal(stat(path, &st), 0);
	full = st.st_size;
	text = read_file(path);
	for (off_t n = good + 1; n < full; n++)
	{
		int			fd = open(path, O_WRONLY | O_TRUNC);

		assert_int_equal(write(fd, text, (size_t) n), n);
		close(fd);
		j = open_good(&lines);
		assert_int_equal(lines.n, 1);
		assert_non_null(rg_journal_warning(j));
		assert_int_equal(write_value(j, "memory", 3, true, NULL, &err), 0);
		rg_journal_close(j);
		j = open_good(&lines);
		assert_null(rg_journal_warning(j));
		assert_int_equal(lines.n, 2);
		assert_int_equal(lines.last_value, 3);
		rg_journal_close(j);
	}
	free(text);
}

static void
test_damaged_last_line_is_dropped(void **state)
{
	Lines		lines;
	RgError		err;
	RgJournal  *j = open_good(&lines);
	char	   *text;

	(void) state;
	write_value(j, "memory", 1, true, NULL, &err);
	write_value(j, "memory", 2, true, NULL, &err);
	rg_journal_close(j);
	text = read_file(path);
	*strrchr(text, '2') = '7';
	write_file(path, text, 0600);
	free(text);
	j = open_good(&lines);
	assert_int_equal(lines.n, 1);
	assert_non_null(rg_journal_warning(j));
	rg_journal_close(j);
}

static void
test_damage_in_the_middle_is_an_error(void **state)
{
	Lines		lines;
	RgError		err;
	RgJournal  *j = open_good(&lines);
	char	   *text;
	char	   *copy;

	(void) state;
	for (int i = 0; i < 5; i++)
		write_value(j, "memory", i, true, NULL, &err);
	rg_journal_close(j);
	text = read_file(path);
	copy = strdup(text);
	j = NULL;

	*strstr(copy, "\"value\":2") = '\'';
	write_file(path, copy, 0600);
	assert_int_equal(rg_journal_open(dir, "main", keep, NULL, NULL, &j, &err), RGE_FORMAT);
	assert_non_null(strstr(err.message, "line 3"));
	assert_null(j);

	/* a line twice, each with a right checksum */
	write_file(path, text, 0600);
	{
		FILE	   *f = fopen(path, "a");

		fwrite(text, 1, (size_t) (strchr(text, '\n') - text) + 1, f);
		fclose(f);
	}
	assert_int_equal(rg_journal_open(dir, "main", keep, NULL, NULL, &j, &err), RGE_FORMAT);
	assert_non_null(strstr(err.message, "line 6"));
	free(copy);
	free(text);
}

/* The disk is full in the middle of the line: no byte of it stays, and later it goes on. */
static void
test_full_disk_leaves_nothing_of_the_line(void **state)
{
	Lines		lines;
	RgError		err;
	RgJournal  *j = open_good(&lines);
	struct rlimit old;
	struct stat before;
	struct stat after;

	(void) state;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(write_value(j, "memory", 1, true, NULL, &err), 0);
	assert_int_equal(stat(path, &before), 0);
	for (rlim_t more = 0; more < 100; more += 9)
	{
		struct rlimit limit = {.rlim_cur = (rlim_t) before.st_size + more, .rlim_max = old.rlim_max};

		assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
		assert_int_equal(write_value(j, "decision", 2, true, NULL, &err), RGE_IO);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
		assert_int_equal(stat(path, &after), 0);
		assert_int_equal(after.st_size, before.st_size);
	}
	assert_int_equal(write_value(j, "memory", 3, true, NULL, &err), 0);
	rg_journal_close(j);
	j = open_good(&lines);
	assert_int_equal(lines.n, 2);
	assert_int_equal(lines.last_value, 3);
	rg_journal_close(j);
}

/* After a failed fsync the file itself is in doubt: the next line goes to a new one. */
static void
test_failed_fsync_takes_the_line_back_and_rewrites(void **state)
{
	Lines		lines;
	RgError		err;
	RgJournal  *j = open_good(&lines);
	struct stat before;
	struct stat after;

	(void) state;
	assert_int_equal(write_value(j, "memory", 1, true, NULL, &err), 0);
	assert_int_equal(write_value(j, "event", 2, false, NULL, &err), 0);
	assert_int_equal(stat(path, &before), 0);
	fail_fdatasync = 1;
	assert_int_equal(write_value(j, "decision", 3, true, NULL, &err), RGE_IO);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(after.st_size, before.st_size);

	/* and if that fails, too, nothing is written at all */
	fail_fsync = 1;
	assert_int_equal(write_value(j, "decision", 4, true, NULL, &err), RGE_IO);
	assert_int_equal(write_value(j, "decision", 5, true, NULL, &err), 0);
	assert_int_equal(stat(path, &after), 0);
	assert_int_not_equal(after.st_ino, before.st_ino);
	rg_journal_close(j);
	j = open_good(&lines);
	assert_int_equal(lines.n, 3);
	assert_int_equal(lines.last_value, 5);
	rg_journal_close(j);
}

static void
test_grown_file_is_replaced_by_what_matters(void **state)
{
	Lines		lines;
	RgError		err;
	RgJournal  *j = open_good(&lines);
	char		text[400];
	struct stat st;
	int64_t		seq = 0;
	int			n = 0;
	int64_t		start;

	(void) state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(write_value(j, "promote", 42, true, NULL, &err), 0);
	for (int i = 0; i < 40000; i++)
	{
		const char *kind = i % 4 == 0 ? "event" : i % 4 == 1 ? "memory" : "other";
		json_t	   *body = json_pack("{s:i, s:s}", "value", i, "text", text);

		start = rg_clock_now_ms();
		assert_int_equal(rg_journal_write(j, kind, body, false, &seq, &err), 0);
		if (rg_clock_now_ms() - start > 500)
			print_message("rewriting took %d ms\n", (int) (rg_clock_now_ms() - start));
		json_decref(body);
		assert_int_equal(stat(path, &st), 0);
		assert_true(st.st_size < RG_JOURNAL_SIZE_MAX + 1024);
		n++;
	}
	assert_int_equal(seq, 40001);
	assert_null(rg_journal_warning(j));
	rg_journal_close(j);
	j = open_good(&lines);
	assert_int_equal(lines.first, 1);	/* the promotion, from long ago */
	assert_int_equal(lines.last, 40001);
	assert_int_equal(lines.last_value, 39999);
	assert_true(lines.n < 25000);
	rg_journal_close(j);
}

/* Rewriting that fails is no reason to refuse a line. */
static void
test_rewriting_that_fails_is_a_warning(void **state)
{
	Lines		lines;
	RgError		err;
	RgJournal  *j = open_good(&lines);
	char	   *text = malloc(100001);
	char		tmp[320];
	json_t	   *body;
	struct stat st;

	(void) state;
	snprintf(tmp, sizeof(tmp), "%s.tmp", path);
	assert_int_equal(mkdir(tmp, 0700), 0);
	memset(text, 'x', 100000);
	text[100000] = '\0';
	body = json_pack("{s:s}", "text", text);
	for (int i = 0; i < 100; i++)
		assert_int_equal(rg_journal_write(j, "memory", body, false, NULL, &err), 0);
	assert_non_null(rg_journal_warning(j));
	assert_int_equal(rmdir(tmp), 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(rg_journal_write(j, "memory", body, false, NULL, &err), 0);
	assert_null(rg_journal_warning(j));
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size < RG_JOURNAL_SIZE_MAX + 100200);
	json_decref(body);
	free(text);
	rg_journal_close(j);
	j = open_good(&lines);
	assert_int_equal(lines.last, 200);
	rg_journal_close(j);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lines_come_back_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_checksum_is_of_the_line_without_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bad_input_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_body_that_could_not_be_made_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_torn_last_line_is_dropped_with_a_warning, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_damaged_last_line_is_dropped, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_damage_in_the_middle_is_an_error, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_full_disk_leaves_nothing_of_the_line, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_failed_fsync_takes_the_line_back_and_rewrites, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_grown_file_is_replaced_by_what_matters, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_rewriting_that_fails_is_a_warning, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
