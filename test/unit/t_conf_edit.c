/*
 * t_conf_edit.c
 *	  A node's section in regent.conf: appended, taken out, and nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "watchdog/cli/conf_edit.h"

#define CLUSTER "[cluster]\nname = main\n"
#define N1 "\n; the first one\n[node n1]\nhost = 10.0.0.11\n"
#define N2 "\n[node n2] ; the second one\nhost = 10.0.0.12\n\n# about its port\nport = 5433"
#define N3 "\n; two lines\n; about n3\n[node n3]\nhost = 10.0.0.13\n"

static void
test_section_goes_with_its_comments_and_no_others(void **state)
{
	static const struct
	{
		const char *text;
		const char *node;
		const char *left;
	}			rows[] = {
		{CLUSTER N1 N2 "\n" N3, "n1", CLUSTER N2 "\n" N3},
		{CLUSTER N1 N2 "\n" N3, "n2", CLUSTER N1 N3},
		{CLUSTER N1 N2 "\n" N3, "n3", CLUSTER N1 N2 "\n"},
		/* without a newline at the end */
		{CLUSTER N1 N2, "n2", CLUSTER N1},
		/* no blank lines between */
		{"[cluster]\n[node a]\nhost = a\n[node b]\nhost = b\n[node c]\nhost = c\n", "b",
		"[cluster]\n[node a]\nhost = a\n[node c]\nhost = c\n"},
		/* blanks in the heading; a name that begins like another one */
		{"[cluster]\n  [node \t n1]\nhost = a\n[node n11]\nhost = b\n", "n1", "[cluster]\n[node n11]\nhost = b\n"},
		{"[cluster]\r\n[node n1]\r\nhost = a\r\n\r\n[node n2]\r\nhost = b\r\n", "n2", "[cluster]\r\n[node n1]\r\nhost = a\r\n"},
		/* not there */
		{CLUSTER N1, "n", NULL},
		{"; [node n1]\n", "n1", NULL},
		{"", "n1", NULL},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
	{
		char	   *left = rg_conf_without(rows[i].text, rows[i].node);

		if (rows[i].left == NULL)
			assert_null(left);
		else
		{
			assert_non_null(left);
			assert_string_equal(left, rows[i].left);
		}
		free(left);
	}
}

typedef struct Place
{
	char		directory[64];
	char		file[96];
} Place;

static void
put(const char *file, const char *text)
{
	FILE	   *f = fopen(file, "w");

	assert_non_null(f);
	assert_int_equal(fputs(text, f) < 0, 0);
	assert_int_equal(fclose(f), 0);
}

static void
expect(const char *file, const char *text)
{
	char		buf[4096];
	FILE	   *f = fopen(file, "r");
	size_t		len;

	assert_non_null(f);
	len = fread(buf, 1, sizeof(buf) - 1, f);
	buf[len] = '\0';
	(void) fclose(f);
	assert_string_equal(buf, text);
}

static int
make_place(void **state)
{
	Place	   *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	strcpy(p->directory, "/tmp/t_conf_edit.XXXXXX");
	assert_non_null(mkdtemp(p->directory));
	snprintf(p->file, sizeof(p->file), "%s/regent.conf", p->directory);
	put(p->file, CLUSTER N1);
	*state = p;
	return 0;
}

static int
remove_place(void **state)
{
	Place	   *p = *state;

	(void) unlink(p->file);
	assert_int_equal(rmdir(p->directory), 0);	/* nothing else was left in it */
	free(p);
	return 0;
}

static void
test_file_keeps_its_mode_and_gets_the_section(void **state)
{
	Place	   *p = *state;
	RgError		err = {0};
	struct stat st;

	assert_int_equal(chmod(p->file, 0640), 0);
	assert_int_equal(rg_conf_append(p->file, "[node n2]\nhost = 10.0.0.12\n", &err), 0);
	expect(p->file, CLUSTER N1 "\n[node n2]\nhost = 10.0.0.12\n");
	assert_int_equal(stat(p->file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(rg_conf_remove(p->file, "n2", &err), 0);
	expect(p->file, CLUSTER N1);
	assert_int_equal(rg_conf_remove(p->file, "n2", &err), RGE_STATE);
}

static void
test_file_stays_where_the_new_one_would_be_wrong(void **state)
{
	Place	   *p = *state;
	RgError		err = {0};

	assert_int_equal(rg_conf_append(p->file, "[node n2]\nport = 1\n", &err), RGE_ARGUMENT);
	assert_int_equal(rg_conf_append(p->file, "[node n1]\nhost = h\n", &err), RGE_ARGUMENT);
	assert_int_equal(rg_conf_remove(p->file, "n1", &err), RGE_ARGUMENT);	/* the last one */
	expect(p->file, CLUSTER N1);
}

static void
test_link_is_followed_and_stays_one(void **state)
{
	Place	   *p = *state;
	RgError		err = {0};
	char		link[128];
	struct stat st;

	snprintf(link, sizeof(link), "%s/link", p->directory);
	assert_int_equal(symlink(p->file, link), 0);
	assert_int_equal(rg_conf_append(link, "[node n2]\nhost = 10.0.0.12\n", &err), 0);
	expect(p->file, CLUSTER N1 "\n[node n2]\nhost = 10.0.0.12\n");
	assert_int_equal(lstat(link, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(unlink(link), 0);
	assert_int_equal(rg_conf_append("/nonexistent/regent.conf", "", &err), RGE_IO);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_section_goes_with_its_comments_and_no_others),
		cmocka_unit_test_setup_teardown(test_file_keeps_its_mode_and_gets_the_section, make_place, remove_place),
		cmocka_unit_test_setup_teardown(test_file_stays_where_the_new_one_would_be_wrong, make_place, remove_place),
		cmocka_unit_test_setup_teardown(test_link_is_followed_and_stays_one, make_place, remove_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
