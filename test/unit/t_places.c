/*
 * t_places.c
 *	  Where the parts of a delta copy go: watchdog/copy/places.c; and what
 *	  target.c makes there.
 */
#include "helpers.h"

#include "copy/places.h"
#include "copy/target.h"

static void
test_places_are_found_by_what_a_path_begins_with(void **state)
{
	static RgPlaces p;
	RgError		err;

	(void) state;
	rg_places_begin(&p, "/new");
	assert_int_equal(rg_places_add_tablespace(&p, "16385=/a/one=1", &err), 0);
	assert_int_equal(rg_places_add_wal(&p, "/b/wal", &err), 0);
	assert_int_equal(rg_places_add_tablespace(&p, "1638=/c", &err), 0);
	assert_string_equal(p.all[1].path, "/a/one=1");
	assert_int_equal(rg_places_of(&p, "pg_tblspc/16385/PG_15_1/5/1"), 1);
	assert_int_equal(rg_places_of(&p, "pg_wal/000000010000000000000001"), 2);
	assert_int_equal(rg_places_of(&p, "pg_wal"), 2);
	assert_int_equal(rg_places_of(&p, "pg_tblspc/1638/PG_15_1/5/1"), 3);
	assert_int_equal(rg_places_of(&p, "pg_tblspc/16/PG_15_1/5/1"), 0);
	assert_int_equal(rg_places_of(&p, "pg_tblspc"), 0);
	assert_int_equal(rg_places_of(&p, "pg_walx"), 0);
	assert_int_equal(rg_places_of(&p, "base/5/1"), 0);
	assert_int_equal(rg_places_behind(&p, "pg_tblspc/1638"), 3);
	assert_int_equal(rg_places_behind(&p, "pg_tblspc/1638/PG_15_1"), 0);
	assert_int_equal(rg_places_behind(&p, "pg_tblspc/7"), 0);
	assert_int_equal(rg_places_behind(&p, ""), 0);
}

/* Two parts in one directory would overwrite each other's files. */
static void
test_places_refuse_what_can_not_be_a_place(void **state)
{
	static const char *const bad[] = {"", "16385", "16385=", "16385=a", "=/a", "x=/a", "16385x=/a", "12345678901=/a",
	"7=/b", "8=/a"};
	static RgPlaces p;
	RgError		err;

	(void) state;
	rg_places_begin(&p, "/new");
	assert_int_equal(rg_places_add_tablespace(&p, "7=/a", &err), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(rg_places_add_tablespace(&p, bad[i], &err), RGE_ARGUMENT);
	assert_int_equal(rg_places_add_wal(&p, "wal", &err), RGE_ARGUMENT);
	assert_int_equal(p.count, 2);
	for (int i = 0; p.count < RG_PLACES_MAX; i++)
	{
		static char words[RG_PLACES_MAX][32];

		snprintf(words[i], sizeof(words[i]), "%d=/x/%d", 1000 + i, i);
		assert_int_equal(rg_places_add_tablespace(&p, words[i], &err), 0);
	}
	assert_int_equal(rg_places_add_tablespace(&p, "5=/y", &err), RGE_STATE);
}

/* A source that lists a link and nothing in it would make an empty tablespace. */
static void
test_places_miss_a_tablespace_that_was_not_listed(void **state)
{
	static RgPlaces p;
	RgError		err;

	(void) state;
	rg_places_begin(&p, "/new");
	assert_int_equal(rg_places_add_tablespace(&p, "7=/a", &err), 0);
	assert_int_equal(rg_places_add_wal(&p, "/wal", &err), 0);
	assert_null(rg_places_without_version(&p)); /* dropped since: the source has not named it */
	p.all[0].fd = p.all[1].fd = p.all[2].fd = 3;
	rg_places_note_directory(&p, "pg_tblspc/7");
	rg_places_note_directory(&p, "pg_tblspc/7/PG_15_1/5");
	rg_places_note_directory(&p, "pg_tblspc/77/PG_15_1");
	rg_places_note_directory(&p, "pg_wal/archive_status");
	assert_ptr_equal(rg_places_without_version(&p), &p.all[1]);
	rg_places_note_directory(&p, "pg_tblspc/7/PG_15_1");
	assert_null(rg_places_without_version(&p));
}

static void
test_places_need_space_once_for_each_file_system(void **state)
{
	static RgPlaces p;
	RgError		err;

	(void) state;
	rg_places_begin(&p, "/new");
	assert_int_equal(rg_places_add_tablespace(&p, "1=/a", &err), 0);
	assert_int_equal(rg_places_add_tablespace(&p, "2=/b", &err), 0);
	assert_int_equal(rg_places_add_tablespace(&p, "3=/c", &err), 0);
	for (int i = 0; i < 3; i++)
	{
		p.all[i].fd = 3;
		p.all[i].bytes = 10;
		p.all[i].device = i == 1 ? 8 : 9;
	}
	assert_true(rg_places_is_first(&p, &p.all[0]));
	assert_true(rg_places_is_first(&p, &p.all[1]));
	assert_false(rg_places_is_first(&p, &p.all[2]));
	assert_false(rg_places_is_first(&p, &p.all[3]));	/* not made */
	assert_int_equal(rg_places_needed(&p, &p.all[0]), 20);
	assert_int_equal(rg_places_needed(&p, &p.all[1]), 10);
	p.all[2].can_clone = true;
	assert_int_equal(rg_places_needed(&p, &p.all[0]), 10);
}

/* ------------------------------------------------ real places */

typedef struct Case
{
	char		dir[128];
	char		new_path[256];
	char		space[256];
	char		word[300];
	RgTarget	target;
	RgPlan		plan;
} Case;

/* A new directory with pg_tblspc in it, and a tablespace that is to be made. */
static void
case_begin(Case *c)
{
	char		path[256];
	RgError		err;

	memset(c, 0, sizeof(*c));
	make_directory(c->dir, sizeof(c->dir));
	make_old_directory(c->dir);
	snprintf(path, sizeof(path), "%s/old", c->dir);
	assert_int_equal(rg_target_open(&c->target, path, true, &err), 0);
	snprintf(c->new_path, sizeof(c->new_path), "%s/new", c->dir);
	snprintf(c->space, sizeof(c->space), "%s/space", c->dir);
	snprintf(c->word, sizeof(c->word), "7=%s", c->space);
	rg_places_begin(&c->target.places, c->new_path);
	assert_int_equal(rg_places_add_tablespace(&c->target.places, c->word, &err), 0);
	assert_int_equal(rg_target_make(&c->target, &err), 0);
	assert_int_equal(rg_target_make_directory(&c->target, "pg_tblspc", false, &err), 0);
}

static void
case_end(Case *c)
{
	rg_plan_clear(&c->plan);
	rg_target_close(&c->target);
	remove_directory(c->dir);
}

/* What is made elsewhere is linked, and what stands there is not taken. */
static void
test_target_makes_a_place_only_where_nothing_is(void **state)
{
	Case		c;
	char		file[400];
	char		link[300] = "";
	RgError		err;

	(void) state;
	case_begin(&c);
	assert_int_equal(mkdir(c.space, 0700), 0);
	snprintf(file, sizeof(file), "%s/precious", c.space);
	write_file(file, "x", 0600);
	assert_int_equal(rg_target_make_directory(&c.target, "pg_tblspc/7", true, &err), RGE_IO);
	assert_int_equal(faccessat(c.target.new_fd, "pg_tblspc/7", F_OK, AT_SYMLINK_NOFOLLOW), -1);
	assert_int_equal(access(file, F_OK), 0);
	unlink(file);
	assert_int_equal(rg_target_make_directory(&c.target, "pg_tblspc/7", true, &err), 0);
	assert_true(readlinkat(c.target.new_fd, "pg_tblspc/7", link, sizeof(link) - 1) > 0);
	assert_string_equal(link, c.space);
	/* one that nobody has given a place */
	assert_int_equal(rg_target_make_directory(&c.target, "pg_tblspc/8", true, &err), RGE_IO);
	case_end(&c);
}

static void
test_target_checks_that_a_tablespace_was_listed_and_has_room(void **state)
{
	Case		c;
	char		path[400];
	RgError		err;

	(void) state;
	case_begin(&c);
	assert_int_equal(rg_target_make_directory(&c.target, "pg_tblspc/7", true, &err), 0);
	assert_int_equal(rg_target_check_list(&c.target, &c.plan, &err), RGE_STATE);
	assert_int_equal(rg_target_make_directory(&c.target, "pg_tblspc/7/PG_15_1", false, &err), 0);
	assert_int_equal(rg_target_check_list(&c.target, &c.plan, &err), 0);
	snprintf(path, sizeof(path), "%s/PG_15_1", c.space);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(rg_plan_add(&c.plan, "pg_tblspc/7/PG_15_1/5/1", RG_FILE_RELATION, INT64_MAX / 8, &err), 0);
	c.target.places.all[1].can_clone = false;
	assert_int_equal(rg_target_check_list(&c.target, &c.plan, &err), RGE_LIMIT);
	assert_int_equal(rg_target_sync(&c.target, &err), 0);
	case_end(&c);
}

/* A link in the place of a place would lead the copy elsewhere. */
static void
test_target_follows_no_link_to_a_place(void **state)
{
	Case		c;
	char		elsewhere[300];
	RgError		err;

	(void) state;
	case_begin(&c);
	snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", c.dir);
	assert_int_equal(mkdir(elsewhere, 0700), 0);
	assert_int_equal(symlink(elsewhere, c.space), 0);
	assert_int_equal(rg_target_make_directory(&c.target, "pg_tblspc/7", true, &err), RGE_IO);
	case_end(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places_are_found_by_what_a_path_begins_with),
		cmocka_unit_test(test_places_refuse_what_can_not_be_a_place),
		cmocka_unit_test(test_places_miss_a_tablespace_that_was_not_listed),
		cmocka_unit_test(test_places_need_space_once_for_each_file_system),
		cmocka_unit_test(test_target_makes_a_place_only_where_nothing_is),
		cmocka_unit_test(test_target_checks_that_a_tablespace_was_listed_and_has_room),
		cmocka_unit_test(test_target_follows_no_link_to_a_place),
	};

	return cmocka_run_group_tests_name("places", tests, NULL, NULL);
}
