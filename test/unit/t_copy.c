/*
 * t_copy.c
 *	  The pure parts of a delta copy: extension/copylist.c, copywire.c, copyhash.c,
 *	  watchdog/copy/plan.c, tally.c; and a chunk's way through real files.
 */
#include "helpers.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "copy/chunk.h"
#include "copy/plan.h"
#include "copy/tally.h"
#include "extension/copylist.h"

/* ------------------------------------------------ the list */

static void
test_list_leaves_out_what_a_base_backup_leaves_out(void **state)
{
	static const struct
	{
		const char *directory;
		const char *name;
		bool		is_directory;
		RgCopyKind	kind;
	}			rows[] = {
		{"", "postmaster.pid", false, RG_COPY_LEAVE_OUT},
		{"", "postmaster.opts", false, RG_COPY_LEAVE_OUT},
		{"", "backup_label", false, RG_COPY_LEAVE_OUT},
		{"", "backup_label.old", false, RG_COPY_FILE},
		{"", "backup_manifest", false, RG_COPY_LEAVE_OUT},
		{"", "standby.signal", false, RG_COPY_LEAVE_OUT},
		{"", "regent.rewinding", false, RG_COPY_LEAVE_OUT},
		{"", "regent.state", false, RG_COPY_FILE},
		{"", "PG_VERSION", false, RG_COPY_FILE},
		{"", "postgresql.auto.conf", false, RG_COPY_FILE},
		{"", "pg_replslot", true, RG_COPY_EMPTY_DIRECTORY},
		{"", "pg_stat_tmp", true, RG_COPY_EMPTY_DIRECTORY},
		{"", "pg_subtrans", true, RG_COPY_EMPTY_DIRECTORY},
		{"", "pg_xact", true, RG_COPY_DIRECTORY},
		{"", "pg_wal", true, RG_COPY_DIRECTORY},
		{"pg_wal", "archive_status", true, RG_COPY_EMPTY_DIRECTORY},
		{"pg_wal", "summaries", true, RG_COPY_EMPTY_DIRECTORY},
		{"pg_wal", "000000010000000000000001", false, RG_COPY_LEAVE_OUT},
		{"pg_wal", "00000002.history", false, RG_COPY_LEAVE_OUT},
		{"global", "pg_control", false, RG_COPY_LEAVE_OUT},
		{"global", "pg_internal.init", false, RG_COPY_LEAVE_OUT},
		{"global", "pg_internal.init.77", false, RG_COPY_LEAVE_OUT},
		{"global", "pg_filenode.map", false, RG_COPY_FILE},
		{"global", "1262", false, RG_COPY_RELATION},
		{"base", "pgsql_tmp", true, RG_COPY_LEAVE_OUT},
		{"base", "5", true, RG_COPY_DIRECTORY},
		{"base/5", "16384", false, RG_COPY_RELATION},
		{"base/5", "16384.1", false, RG_COPY_RELATION},
		{"base/5", "16384_vm", false, RG_COPY_RELATION},
		{"base/5", "16384_fsm.2", false, RG_COPY_RELATION},
		{"base/5", "16384_init", false, RG_COPY_RELATION},
		{"base/5", "t3_16384", false, RG_COPY_LEAVE_OUT},
		{"base/5", "t3_16384_fsm.1", false, RG_COPY_LEAVE_OUT},
		{"base/5", "t3_note", false, RG_COPY_FILE},
		{"base/5", "pgsql_tmp77.0", false, RG_COPY_LEAVE_OUT},
		{"pg_tblspc/16385/PG_15_202209061", "5", true, RG_COPY_DIRECTORY},
		{"pg_tblspc/16385/PG_15_202209061", "pgsql_tmp", true, RG_COPY_LEAVE_OUT},
		{"pg_tblspc/16385/PG_15_202209061", "16384", false, RG_COPY_FILE},
		{"pg_tblspc/16385/PG_15_202209061/5", "16384", false, RG_COPY_RELATION},
		{"pg_tblspc/16385/PG_15_202209061/5", "16384_fsm.1", false, RG_COPY_RELATION},
		{"pg_tblspc/16385/PG_15_202209061/5", "t3_16384", false, RG_COPY_LEAVE_OUT},
		{"pg_tblspc/16385/PG_15_202209061/5/6", "16384", false, RG_COPY_FILE},
		{"pg_tblspc/16385/5", "16384", false, RG_COPY_FILE},
		{"pg_tblspc/x/PG_15/5", "16384", false, RG_COPY_FILE},
		{"pg_xact", "0000", false, RG_COPY_FILE},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rg_copy_kind(rows[i].directory, rows[i].name, rows[i].is_directory) != rows[i].kind)
			fail_msg("%s/%s is of kind %d", rows[i].directory, rows[i].name,
					 (int) rg_copy_kind(rows[i].directory, rows[i].name, rows[i].is_directory));
}

static void
test_list_takes_names_of_relations_apart(void **state)
{
	static const char *const bad[] = {"", "0", "01", "x", "1x", "1.", "1.x", "1_fsmx", "1_init.", "99999999999", "1.1.1"};
	RgCopyName	name;

	(void) state;
	assert_true(rg_copy_parse_name("16384_init.12", &name));
	assert_int_equal(name.number, 16384);
	assert_int_equal(name.segment, 12);
	assert_true(name.is_init);
	assert_true(rg_copy_parse_name("4294967295", &name));
	assert_int_equal(name.segment, 0);
	assert_false(name.is_init);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(rg_copy_parse_name(bad[i], &name));
}

/* ------------------------------------------------ the wire */

static void
test_wire_reads_what_it_wrote(void **state)
{
	uint8_t		buf[256];
	uint8_t    *at;
	RgCopyItem	item = {.path = "base/5/1", .path_length = 8, .hash_count = 2, .length = 16384, .offset = 8192};
	RgCopyItem	got;
	RgCopyReader reader;

	(void) state;
	at = rg_copy_put_item(buf, &item);
	memset(at, 7, 2 * RG_COPY_HASH);
	reader = (RgCopyReader) {buf, (size_t) (at + 2 * RG_COPY_HASH - buf), false};
	assert_true(rg_copy_get_item(&reader, &got));
	assert_int_equal(got.offset, 8192);
	assert_int_equal(got.length, 16384);
	assert_memory_equal(got.path, "base/5/1", 8);
	assert_int_equal(got.hashes[2 * RG_COPY_HASH - 1], 7);
	assert_int_equal(reader.left, 0);
	assert_false(rg_copy_get_item(&reader, &got));
	assert_true(reader.is_bad);
}

/* Each of these would make the server read or answer what it must not. */
static void
test_wire_refuses_items_that_can_not_be(void **state)
{
	static const RgCopyItem bad[] = {
		{.path = "", .path_length = 0, .length = 8192},
		{.path = "a\0b", .path_length = 3, .length = 8192},
		{.path = "a", .path_length = 1, .length = RG_COPY_RANGE_MAX + 1},
		{.path = "a", .path_length = 1, .length = 8192, .offset = 1},
		{.path = "a", .path_length = 1, .length = 8192, .offset = UINT64_MAX - 8191},
		{.path = "a", .path_length = 1, .length = 8192, .hash_count = 2},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		uint8_t		buf[256] = {0};
		RgCopyReader reader = {buf, sizeof(buf), false};
		RgCopyItem	got;

		(void) rg_copy_put_item(buf, &bad[i]);
		assert_false(rg_copy_get_item(&reader, &got));
		assert_true(reader.is_bad);
	}
}

static void
test_wire_refuses_runs_beyond_their_range(void **state)
{
	static const uint32_t bad[][2] = {{0, 0}, {8192, 1}, {0, 8193}, {UINT32_MAX, 2}, {1, UINT32_MAX}};
	uint8_t		buf[16384] = {0};
	RgCopyRun	run;

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		RgCopyReader reader = {buf, sizeof(buf), false};

		(void) rg_copy_put32(rg_copy_put32(buf, bad[i][0]), bad[i][1]);
		assert_false(rg_copy_get_run(&reader, 8192, &run));
	}
}

static void
test_hash_depends_on_every_byte_length_and_seed(void **state)
{
	uint8_t		block[RG_COPY_BLOCK] = {0};
	uint8_t		first[RG_COPY_HASH];
	uint8_t		other[RG_COPY_HASH];

	(void) state;
	rg_copy_hash(block, sizeof(block), 1, first);
	for (size_t i = 0; i < sizeof(block); i += 501)
	{
		block[i] ^= 1;
		rg_copy_hash(block, sizeof(block), 1, other);
		assert_memory_not_equal(first, other, RG_COPY_HASH);
		block[i] ^= 1;
	}
	rg_copy_hash(block, sizeof(block) - 1, 1, other);
	assert_memory_not_equal(first, other, RG_COPY_HASH);
	rg_copy_hash(block, sizeof(block), 2, other);
	assert_memory_not_equal(first, other, RG_COPY_HASH);
}

/* Two servers with different processors must find the same blocks equal. */
static void
test_hash_is_the_same_on_every_processor(void **state)
{
	uint8_t		block[RG_COPY_BLOCK + 1];
	uint8_t		hash[RG_COPY_HASH];
	XXH128_canonical_t plain;

	(void) state;
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (uint8_t) (i * i >> 3);
	for (size_t length = 0; length < sizeof(block); length += length < 600 ? 1 : 509)
		for (uint64_t seed = 0; seed < 3; seed++)
		{
			XXH128_canonicalFromHash(&plain, XXH3_128bits_withSeed(block + 1, length, seed));
			rg_copy_hash(block + 1, length, seed, hash);
			assert_memory_equal(hash, plain.digest, RG_COPY_HASH);
		}
}

/* ------------------------------------------------ the plan */

static void
test_plan_covers_each_file_once_within_the_limits(void **state)
{
	static const uint64_t sizes[] = {0, 1, 8192, 8193, RG_PLAN_REQUEST_MAX, RG_PLAN_REQUEST_MAX + 1,
	5 * (uint64_t) RG_PLAN_REQUEST_MAX + 100};
	enum
	{
		FILES = 700
	};
	RgPlan		plan = {0};
	RgRange		ranges[RG_PLAN_RANGES_MAX];
	RgError		err;
	uint64_t	reached = 0;
	size_t		files = 0;
	int			count;

	(void) state;
	for (int i = 0; i < FILES; i++)
	{
		char		path[32];

		snprintf(path, sizeof(path), "base/5/%d", i + 1);
		assert_int_equal(rg_plan_add(&plan, path, RG_FILE_RELATION, sizes[(size_t) i % 7], &err), 0);
	}
	while ((count = rg_plan_next(&plan, ranges)) > 0)
	{
		uint64_t	total = 0;

		for (int i = 0; i < count; i++)
		{
			assert_ptr_equal(ranges[i].file, &plan.files[files]);
			assert_int_equal(ranges[i].offset, reached);
			assert_int_equal(ranges[i].offset % RG_COPY_BLOCK, 0);
			assert_int_equal(ranges[i].is_first, reached == 0);
			reached += ranges[i].length;
			total += ranges[i].length;
			if (!ranges[i].is_last)
				continue;
			assert_true(reached >= ranges[i].file->size && reached < ranges[i].file->size + RG_COPY_BLOCK);
			reached = 0;
			files++;
		}
		assert_true(total <= RG_PLAN_REQUEST_MAX);
	}
	assert_int_equal(files, FILES);
	assert_string_equal(rg_plan_path(&plan, &plan.files[41]), "base/5/42");
	rg_plan_clear(&plan);
}

/* regent.state may have been replaced by a longer one since it was listed; WAL has to be what it is. */
static void
test_plan_reads_beyond_the_size_only_of_files_that_are_replaced(void **state)
{
	RgPlan		plan = {0};
	RgRange		ranges[RG_PLAN_RANGES_MAX];
	RgError		err;

	(void) state;
	assert_int_equal(rg_plan_add(&plan, "regent.state", RG_FILE_OTHER, 700, &err), 0);
	assert_int_equal(rg_plan_add(&plan, "base/5/1", RG_FILE_RELATION, 8192, &err), 0);
	assert_int_equal(rg_plan_add(&plan, "pg_wal/000000010000000000000001", RG_FILE_FIXED, 8192, &err), 0);
	assert_int_equal(plan.bytes, 700 + 8192 + 8192);
	assert_int_equal(rg_plan_next(&plan, ranges), 3);
	assert_int_equal(ranges[0].length, 2 * RG_COPY_BLOCK);
	assert_int_equal(ranges[1].length, RG_COPY_BLOCK);
	assert_int_equal(ranges[2].length, RG_COPY_BLOCK);
	assert_int_equal(rg_plan_next(&plan, ranges), 0);
	rg_plan_clear(&plan);
}

static void
test_plan_takes_no_path_out_of_the_directory(void **state)
{
	static const char *const bad[] = {"", "/etc/passwd", "..", "../x", "base/../../x", "base/..", "a//b", "a/", "/"};
	static const char *const good[] = {"PG_VERSION", "base/5/1", "..a", "a/..b", "a.."};
	RgPlan		plan = {0};
	RgError		err;

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(rg_plan_add(&plan, bad[i], RG_FILE_OTHER, 1, &err), RGE_FORMAT);
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(rg_plan_add(&plan, good[i], RG_FILE_OTHER, 1, &err), 0);
	rg_plan_clear(&plan);
}

/* ------------------------------------------------ counts and pace */

static void
test_tally_adds_up_and_tells(void **state)
{
	RgTally		tally = {.files = 1, .bytes = 10, .kept = 4, .transferred = 6};
	RgTally		more = {.files = 2, .changed_files = 1, .gone_files = 3, .bytes = 5, .transferred = 5};
	char		line[256];

	(void) state;
	rg_tally_add(&tally, &more);
	rg_tally_format(&tally, line, sizeof(line));
	assert_string_equal(line, "done files=3 changed=1 gone=3 bytes=15 kept=4 transferred=11");
}

static void
test_rate_spreads_reading_and_makes_up_for_little(void **state)
{
	RgRate		rate = {.per_second = 1000000};
	int64_t		now = 50000000;

	(void) state;
	assert_int_equal(rg_rate_wait(&rate, now), 0);
	rg_rate_take(&rate, 1000000, now);
	/* a quarter of a second was saved up, not fifty */
	assert_int_equal(rg_rate_wait(&rate, now), 750000);
	assert_int_equal(rg_rate_wait(&rate, now + 750000), 0);
	rate.per_second = 0;
	assert_int_equal(rg_rate_wait(&rate, now), 0);
}

/* ------------------------------------------------ a chunk */

/* A file of an old directory, and what the source has instead of it. */
typedef struct Case
{
	char		dir[128];
	char		new_path[256];
	RgTarget	target;
	RgPlan		plan;
	RgChunk    *chunk;
	uint8_t		answer[8 * RG_COPY_BLOCK];
	uint8_t    *end;
	char		seen[8 * RG_COPY_BLOCK];
} Case;

static void
case_begin(Case *c, const char *old_text, size_t old_length)
{
	char		path[256];
	RgError		err;

	memset(c, 0, sizeof(*c));
	make_directory(c->dir, sizeof(c->dir));
	make_old_directory(c->dir);
	snprintf(path, sizeof(path), "%s/old/x", c->dir);
	if (old_text != NULL)
	{
		int			fd = open(path, O_WRONLY | O_CREAT, 0600);

		assert_int_equal(write(fd, old_text, old_length), (ssize_t) old_length);
		close(fd);
	}
	snprintf(path, sizeof(path), "%s/old", c->dir);
	assert_int_equal(rg_target_open(&c->target, path, false, &err), 0);
	snprintf(c->new_path, sizeof(c->new_path), "%s/new", c->dir);
	rg_places_begin(&c->target.places, c->new_path);
	assert_int_equal(rg_target_make(&c->target, &err), 0);
	assert_int_equal(c->target.major, 15);
	c->chunk = calloc(1, sizeof(RgChunk));
	c->chunk->buffer = aligned_alloc(4096, RG_PLAN_REQUEST_MAX);
	assert_int_equal(rg_plan_add(&c->plan, "x", RG_FILE_RELATION, old_length, &err), 0);
	c->chunk->plan = &c->plan;
	c->chunk->uses_old = true;
	c->chunk->range_count = rg_plan_next(&c->plan, c->chunk->ranges);
	assert_int_equal(rg_chunk_prepare(c->chunk, &c->target, &err), 0);
	c->end = c->answer;
}

static void
case_put(Case *c, uint32_t value)
{
	c->end = rg_copy_put32(c->end, value);
}

static void
case_run(Case *c, uint32_t offset, const char *text)
{
	case_put(c, offset);
	case_put(c, (uint32_t) strlen(text));
	memcpy(c->end, text, strlen(text));
	c->end += strlen(text);
}

static int
case_finish(Case *c)
{
	PGresAttDesc column = {.name = (char *) "a"};
	RgError		err;

	c->chunk->answer = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	assert_true(PQsetResultAttrs(c->chunk->answer, 1, &column));
	assert_true(PQsetvalue(c->chunk->answer, 0, 0, (char *) c->answer, (int) (c->end - c->answer)));
	return rg_chunk_finish(c->chunk, &c->target, &err);
}

/* The length of the new file, -1 if there is none; its content in seen. */
static int
case_seen(Case *c)
{
	int			fd = openat(c->target.new_fd, "x", O_RDONLY);
	int			got = fd >= 0 ? (int) read(fd, c->seen, sizeof(c->seen)) : -1;

	if (fd >= 0)
		close(fd);
	return got;
}

static void
case_end(Case *c)
{
	PQclear(c->chunk->answer);
	free(c->chunk->buffer);
	free(c->chunk);
	rg_plan_clear(&c->plan);
	rg_target_close(&c->target);
	remove_directory(c->dir);
}

static void
fill(char *text, size_t length, char first)
{
	for (size_t i = 0; i < length; i++)
		text[i] = (char) (first + (char) (i / RG_COPY_BLOCK));
}

static void
test_chunk_keeps_what_is_equal_and_takes_what_differs(void **state)
{
	char		old_text[3 * RG_COPY_BLOCK];
	Case		c;

	(void) state;
	fill(old_text, sizeof(old_text), 'a');
	case_begin(&c, old_text, sizeof(old_text));
	assert_int_equal(c.chunk->hash_counts[0], 3);
	case_put(&c, sizeof(old_text));
	case_put(&c, 1);
	case_run(&c, RG_COPY_BLOCK, "new");
	assert_int_equal(case_finish(&c), 0);
	assert_int_equal(case_seen(&c), sizeof(old_text));
	assert_memory_equal(c.seen, old_text, RG_COPY_BLOCK);
	assert_memory_equal(c.seen + RG_COPY_BLOCK, "newb", 4);
	assert_memory_equal(c.seen + 2 * RG_COPY_BLOCK, old_text + 2 * RG_COPY_BLOCK, RG_COPY_BLOCK);
	assert_int_equal(c.chunk->tally.transferred, 3);
	assert_int_equal(c.chunk->tally.kept, sizeof(old_text) - 3);
	assert_int_equal(c.chunk->tally.files, 1);
	assert_int_equal(c.chunk->changed, 1);
	case_end(&c);
}

/* The old file stands for its clone only as long as nobody has written to it since. */
static void
test_chunk_reads_a_clone_itself_where_the_old_file_may_have_changed(void **state)
{
	char		old_text[RG_COPY_BLOCK];
	char		clone_text[RG_COPY_BLOCK];
	Case		c;
	RgError		err;
	int			fd;

	(void) state;
	fill(old_text, sizeof(old_text), 'a');
	fill(clone_text, sizeof(clone_text), 'x');
	case_begin(&c, old_text, sizeof(old_text));
	fd = openat(c.target.new_fd, "x", O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, clone_text, sizeof(clone_text)), sizeof(clone_text));
	close(fd);
	fd = openat(c.target.old_fd, "x", O_WRONLY);
	c.plan.files[0].is_clone = true;
	c.plan.files[0].written_ns = rg_target_written_ns(fd);
	assert_int_equal(rg_chunk_prepare(c.chunk, &c.target, &err), 0);
	assert_memory_equal(c.chunk->buffer, old_text, sizeof(old_text));
	assert_int_equal(futimens(fd, (struct timespec[]) {{.tv_sec = 1}, {.tv_sec = 1}}), 0);
	assert_int_equal(rg_chunk_prepare(c.chunk, &c.target, &err), 0);
	assert_memory_equal(c.chunk->buffer, clone_text, sizeof(clone_text));
	assert_int_equal(c.chunk->hash_counts[0], 1);
	c.plan.files[0].written_ns = 0;
	assert_int_equal(rg_chunk_prepare(c.chunk, &c.target, &err), 0);
	assert_memory_equal(c.chunk->buffer, clone_text, sizeof(clone_text));
	close(fd);
	case_end(&c);
}

static void
test_chunk_shrinks_vanishes_and_is_empty(void **state)
{
	char		old_text[2 * RG_COPY_BLOCK];
	Case		c;

	(void) state;
	fill(old_text, sizeof(old_text), 'a');
	case_begin(&c, old_text, sizeof(old_text));
	case_put(&c, RG_COPY_BLOCK);
	case_put(&c, 0);
	assert_int_equal(case_finish(&c), 0);
	assert_int_equal(case_seen(&c), RG_COPY_BLOCK);
	assert_int_equal(c.chunk->changed, 0);
	case_end(&c);

	case_begin(&c, old_text, sizeof(old_text));
	case_put(&c, RG_COPY_GONE);
	case_put(&c, 0);
	assert_int_equal(case_finish(&c), 0);
	assert_int_equal(case_seen(&c), -1);
	assert_int_equal(c.chunk->tally.gone_files, 1);
	assert_int_equal(c.chunk->tally.files, 0);
	case_end(&c);

	case_begin(&c, old_text, sizeof(old_text));
	case_put(&c, 0);
	case_put(&c, 0);
	assert_int_equal(case_finish(&c), 0);
	assert_int_equal(case_seen(&c), 0);
	case_end(&c);
}

/* What neither side has shown is in no file: a gap is an error, never zeros. */
static void
test_chunk_refuses_an_answer_with_a_gap(void **state)
{
	char		old_text[RG_COPY_BLOCK];
	Case		c;

	(void) state;
	fill(old_text, sizeof(old_text), 'a');
	for (int i = 0; i < 4; i++)
	{
		case_begin(&c, NULL, sizeof(old_text));
		assert_int_equal(c.chunk->hash_counts[0], 0);
		case_put(&c, i == 0 ? RG_COPY_BLOCK : i == 1 ? RG_COPY_BLOCK + 1 : 100);
		case_put(&c, i == 2 ? 1 : i == 3 ? 2 : 0);
		if (i >= 2)
			case_run(&c, i == 2 ? 1 : 0, "text");
		assert_int_equal(case_finish(&c), RGE_FORMAT);
		case_end(&c);
	}
}

/* A WAL segment that was recycled meanwhile must never pass for a short one. */
static void
test_chunk_refuses_a_fixed_file_that_is_cut_off(void **state)
{
	Case		c;

	(void) state;
	for (int i = 0; i < 2; i++)
	{
		case_begin(&c, NULL, RG_COPY_BLOCK);
		c.plan.files[0].kind = RG_FILE_FIXED;
		case_put(&c, i == 0 ? 4 : RG_COPY_GONE);
		case_put(&c, i == 0 ? 1 : 0);
		if (i == 0)
			case_run(&c, 0, "text");
		assert_int_equal(case_finish(&c), RGE_IO);
		case_end(&c);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list_leaves_out_what_a_base_backup_leaves_out),
		cmocka_unit_test(test_list_takes_names_of_relations_apart),
		cmocka_unit_test(test_wire_reads_what_it_wrote),
		cmocka_unit_test(test_wire_refuses_items_that_can_not_be),
		cmocka_unit_test(test_wire_refuses_runs_beyond_their_range),
		cmocka_unit_test(test_hash_depends_on_every_byte_length_and_seed),
		cmocka_unit_test(test_hash_is_the_same_on_every_processor),
		cmocka_unit_test(test_plan_covers_each_file_once_within_the_limits),
		cmocka_unit_test(test_plan_reads_beyond_the_size_only_of_files_that_are_replaced),
		cmocka_unit_test(test_plan_takes_no_path_out_of_the_directory),
		cmocka_unit_test(test_tally_adds_up_and_tells),
		cmocka_unit_test(test_rate_spreads_reading_and_makes_up_for_little),
		cmocka_unit_test(test_chunk_keeps_what_is_equal_and_takes_what_differs),
		cmocka_unit_test(test_chunk_reads_a_clone_itself_where_the_old_file_may_have_changed),
		cmocka_unit_test(test_chunk_shrinks_vanishes_and_is_empty),
		cmocka_unit_test(test_chunk_refuses_an_answer_with_a_gap),
		cmocka_unit_test(test_chunk_refuses_a_fixed_file_that_is_cut_off),
	};

	return cmocka_run_group_tests_name("copy", tests, NULL, NULL);
}
