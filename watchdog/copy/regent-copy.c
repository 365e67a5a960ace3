/*
 * regent-copy.c
 *	  A delta copy: builds a new data directory out of an old one and a running
 *	  server, of which only what differs is transferred.
 *
 * Started by regent-node on a database host.  Writes progress and, as its last
 * line, counts to standard output, one error to standard error.  Exit status 0:
 * the new directory is complete and durable; 3: a delta copy is not possible
 * here; 4: no space; 1: it failed otherwise; 2: wrong words.  What is in the
 * new directory is of use after 0 only.
 *
 * The order is that of a base backup: the backup begins, then files, then the
 * control file, then the backup ends, then its label and the WAL up to that
 * end, then everything is synced.  The label is written with the last WAL: a
 * directory without it was not completed.  WAL is fetched between the files, too, as
 * its segments are finished, so that the source need not keep what is written while a
 * large copy goes on.
 */
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/args.h"
#include "base/clock.h"
#include "copy/engine.h"

#define PROGRESS_US 500000
#define NEAR_END_US 100000		/* while the caller is about to look whether it has ended */
#define NEAR_END (UINT64_C(1024) * 1024 * 1024)
#define HISTORY_MAX (64 * 1024)
#define ROUND_US 5000000		/* of files, then the source is asked for its WAL */
#define WAL_ROUND (UINT64_C(256) * 1024 * 1024)	/* of WAL, likewise */

typedef struct RgCopy
{
	const char *source_conninfo;
	const char *old_path;
	const char *label;
	bool		shows_progress;
	bool		is_durable;
	RgRate		rate;
	RgSource	source;
	RgTarget	target;
	RgBackup	backup;
	RgEngine   *engine;
	RgTally		tally;
	const char *phase;
	uint64_t	total;			/* bytes of this phase */
	uint64_t	done_before;	/* bytes of those before */
	int64_t		said_us;
} RgCopy;

/* ------------------------------------------------ progress */

static void
say(RgCopy *copy, uint64_t bytes)
{
	if (!copy->shows_progress)
		return;
	(void) printf("progress %s %" PRIu64 " %" PRIu64 "\n", copy->phase,
				  bytes < copy->total ? bytes : copy->total, copy->total);
	(void) fflush(stdout);
	copy->said_us = rg_clock_now_us();
}

static void
on_progress(void *arg, uint64_t bytes)
{
	RgCopy	   *copy = arg;
	int64_t		pause_us;

	bytes -= copy->done_before;
	pause_us = bytes + NEAR_END < copy->total ? PROGRESS_US : NEAR_END_US;
	if (rg_clock_now_us() >= copy->said_us + pause_us)
		say(copy, bytes);
}

static void
begin_phase(RgCopy *copy, const char *phase, uint64_t total)
{
	copy->phase = phase;
	copy->total = total;
	copy->done_before = rg_engine_done(copy->engine);
	say(copy, 0);
}

/* ------------------------------------------------ steps */

/* Is this copy possible at all?  Asked before anything is made. */
static int
check_pair(const RgCopy *copy, RgError *err)
{
	if (copy->source.major != copy->target.major)
		return rg_error_set(err, RGE_STATE, "the source runs version %d, the old directory is of version %d",
							copy->source.major, copy->target.major);
	if (copy->target.system_identifier != 0 && copy->source.system_identifier != copy->target.system_identifier)
		return rg_error_set(err, RGE_STATE, "the source has system identifier %" PRIu64 ", the old directory %" PRIu64,
							copy->source.system_identifier, copy->target.system_identifier);
	return 0;
}

/* The name of a segment, as pg_wal has it. */
static void
segment_name(const RgCopy *copy, uint64_t segment, char *buf, size_t size)
{
	uint64_t	per_id = UINT64_C(0x100000000) / copy->source.wal_segment_size;

	(void) snprintf(buf, size, "pg_wal/%08X%08X%08X", copy->backup.timeline,
					(unsigned int) (segment / per_id), (unsigned int) (segment % per_id));
}

/* What is in pg_wal of a copy is archived where it came from: a promotion must not archive it again. */
static int
mark_archived(RgCopy *copy, const char *path, RgError *err)
{
	char		done[128];

	(void) snprintf(done, sizeof(done), "pg_wal/archive_status/%s.done", path + strlen("pg_wal/"));
	return rg_target_write_file(&copy->target, done, "", 0, err);
}

/* Bytes that are needed of it: all, but of the one in which the backup ends. */
static uint64_t
segment_part(const RgCopy *copy, uint64_t segment)
{
	uint64_t	size = copy->source.wal_segment_size;
	uint64_t	stop = copy->backup.stop_lsn;

	return stop == 0 || stop >= (segment + 1) * size ? size : (stop - segment * size + 8191) / 8192 * 8192;
}

/*
 * The next segments.  Without all of it the copy could never become consistent, so
 * each part has to be there.
 */
static int
copy_segments(RgCopy *copy, uint64_t count, RgError *err)
{
	uint64_t	end = copy->backup.next_segment + count;
	RgPlan		plan = {0};
	char		path[64];
	int			rc = 0;

	for (uint64_t s = copy->backup.next_segment; rc == 0 && s < end; s++)
	{
		segment_name(copy, s, path, sizeof(path));
		rc = rg_plan_add(&plan, path, RG_FILE_FIXED, segment_part(copy, s), err);
	}
	if (copy->backup.stop_lsn == 0)
		copy->total += plan.bytes;
	if (rc == 0)
		rc = rg_engine_run(copy->engine, &plan, false, copy->backup.start_lsn, 0, &copy->tally, err);
	for (; rc == 0 && copy->backup.next_segment < end; copy->backup.next_segment++)
	{
		segment_name(copy, copy->backup.next_segment, path, sizeof(path));
		rc = rg_target_set_size(&copy->target, path, copy->source.wal_segment_size, err);
		if (rc == 0)
			rc = mark_archived(copy, path, err);
	}
	rg_plan_clear(&plan);
	return rc;
}

/* The source keeps no WAL that we have. */
static int
release_wal(RgCopy *copy, uint64_t *ret_end_lsn, RgError *err)
{
	return rg_source_keep_from(&copy->source, copy->backup.next_segment * copy->source.wal_segment_size,
							   ret_end_lsn, err);
}

/* How many of so many segments are fetched before the source is asked again. */
static uint64_t
segments_at_once(const RgCopy *copy, uint64_t count)
{
	uint64_t	most = WAL_ROUND / copy->source.wal_segment_size;

	return count <= most ? count : most > 0 ? most : 1;
}

/*
 * Fetches what is finished.  No more than *room bytes, which is what was done of
 * files: they must come to an end, however much is written meanwhile.
 */
static int
follow_wal(RgCopy *copy, uint64_t *room, RgError *err)
{
	uint64_t	size = copy->source.wal_segment_size;

	while (true)
	{
		uint64_t	end_lsn = 0;
		uint64_t	count;
		int			rc = release_wal(copy, &end_lsn, err);

		if (rc != 0 || end_lsn / size <= copy->backup.next_segment)
			return rc;
		count = segments_at_once(copy, end_lsn / size - copy->backup.next_segment);
		if (count > *room / size)
			count = *room / size;
		if (count == 0)
			return rg_source_check_held(&copy->source, err);
		rc = copy_segments(copy, count, err);
		if (rc != 0)
			return rc;
		*room -= count * size;
	}
}

/* Files for a while, then WAL, in turn. */
static int
copy_plan(RgCopy *copy, RgPlan *plan, RgError *err)
{
	uint64_t	room = 0;
	int			rc = 0;

	while (rc == 0 && !rg_plan_is_done(plan))
	{
		uint64_t	before = rg_engine_done(copy->engine);

		rc = rg_engine_run(copy->engine, plan, true, copy->backup.start_lsn, rg_clock_now_us() + ROUND_US,
						   &copy->tally, err);
		room += rg_engine_done(copy->engine) - before;
		if (rc == 0)
			rc = follow_wal(copy, &room, err);
	}
	return rc;
}

static int
copy_files(RgCopy *copy, RgError *err)
{
	RgPlan		plan = {0};
	int			rc = rg_source_list(&copy->source, &plan, rg_target_make_directory, &copy->target, err);

	if (rc == 0)
		rc = rg_target_check_list(&copy->target, &plan, err);
	if (rc == 0)
	{
		begin_phase(copy, "comparing", plan.bytes);
		rc = copy_plan(copy, &plan, err);
	}
	rg_plan_clear(&plan);
	return rc;
}

/* One small file that is not compared; the control file comes after all others. */
static int
copy_one(RgCopy *copy, const char *path, RgFileKind kind, uint64_t size, RgError *err)
{
	RgPlan		plan = {0};
	int			rc = rg_plan_add(&plan, path, kind, size, err);

	if (rc == 0)
		rc = rg_engine_run(copy->engine, &plan, false, copy->backup.start_lsn, 0, &copy->tally, err);
	rg_plan_clear(&plan);
	return rc;
}

/* How a timeline that is not the first one came to be. */
static int
copy_history(RgCopy *copy, RgError *err)
{
	char		path[64];
	int			rc;

	if (copy->backup.timeline <= 1)
		return 0;
	(void) snprintf(path, sizeof(path), "pg_wal/%08X.history", copy->backup.timeline);
	rc = copy_one(copy, path, RG_FILE_OTHER, HISTORY_MAX, err);
	return rc == 0 ? mark_archived(copy, path, err) : rc;
}

/*
 * The rest of the WAL, to the record that ends the backup; what comes after it is
 * received when the server has started.
 */
static int
copy_wal(RgCopy *copy, RgError *err)
{
	uint64_t	end = (copy->backup.stop_lsn - 1) / copy->source.wal_segment_size + 1;
	uint64_t	total = 0;
	uint64_t	ignored;
	bool		is_behind = false;
	int			rc = 0;

	for (uint64_t s = copy->backup.next_segment; s < end; s++)
		total += segment_part(copy, s);
	begin_phase(copy, "copying", total);
	while (rc == 0 && copy->backup.next_segment < end)
	{
		rc = release_wal(copy, &ignored, err);
		if (rc == 0 && is_behind)
			rc = rg_source_check_held(&copy->source, err);
		is_behind = true;
		if (rc == 0)
			rc = copy_segments(copy, segments_at_once(copy, end - copy->backup.next_segment), err);
	}
	return rc;
}

/* No tablespace_map: a server that finds one makes the links of the source. */
static int
write_label(RgCopy *copy, RgError *err)
{
	const char *label = PQgetvalue(copy->backup.label, 0, 1);

	return rg_target_write_file(&copy->target, "backup_label", label, strlen(label), err);
}

/* The kernel does not say how far it is, and may take its time. */
static int
sync_copy(RgCopy *copy, RgError *err)
{
	copy->phase = "syncing";
	copy->total = copy->tally.bytes;
	say(copy, copy->total);
	return rg_target_sync(&copy->target, err);
}

/* The copy itself, once both sides are known. */
static int
carry_out(RgCopy *copy, RgError *err)
{
	int			rc;

	begin_phase(copy, "checkpoint", 0);
	rc = rg_source_start(&copy->source, copy->label, &copy->backup, err);
	if (rc == 0)
		rc = copy_files(copy, err);
	if (rc == 0)
		rc = copy_one(copy, "global/pg_control", RG_FILE_FIXED, 8192, err);
	if (rc == 0)
		rc = rg_source_stop(&copy->source, &copy->backup, err);
	if (rc == 0)
		rc = copy_history(copy, err);
	if (rc == 0)
		rc = copy_wal(copy, err);
	if (rc == 0)
		rc = write_label(copy, err);
	return rc == 0 ? sync_copy(copy, err) : rc;
}

static int
run(RgCopy *copy, RgError *err)
{
	uint64_t	seed;
	int			rc = rg_source_open(&copy->source, copy->source_conninfo, err);

	if (rc == 0)
		rc = rg_target_open(&copy->target, copy->old_path, copy->is_durable, err);
	if (rc == 0)
		rc = check_pair(copy, err);
	if (rc == 0)
		rc = rg_target_make(&copy->target, err);
	if (rc == 0 && getrandom(&seed, sizeof(seed), 0) != (ssize_t) sizeof(seed))
		rc = rg_error_set(err, RGE_IO, "no random number can be had");
	if (rc == 0)
	{
		copy->engine = rg_engine_new(&copy->source, &copy->target, &copy->rate, seed);
		if (copy->engine == NULL)
			return rg_error_set(err, RGE_NOMEM, "no memory or no threads for a copy");
		rg_engine_on_progress(copy->engine, on_progress, copy);
		rc = carry_out(copy, err);
		if (rc != 0)
			rc = rg_source_explain_loss(&copy->source, copy->source_conninfo, err);
	}
	return rc;
}

/*
 * Answers of up to 2 MB come and go by the thousand.  Their memory is kept:
 * fresh pages from the kernel would cost more than what is copied into them.
 */
static void
keep_memory(void)
{
	(void) mallopt(M_MMAP_THRESHOLD, 64 * 1024 * 1024);
	(void) mallopt(M_TRIM_THRESHOLD, 256 * 1024 * 1024);
}

/* ------------------------------------------------ command line */

static void
help(FILE *out)
{
	(void) fputs("regent-copy builds a new data directory out of an old one and a running server.\n\n"
				 "Usage: regent-copy --source CONNINFO --old DIR --new DIR [OPTION...]\n\n"
				 "      --source CONNINFO  the server to copy; its password comes from a passfile\n"
				 "      --old DIR          the directory that is compared with it; only read\n"
				 "      --new DIR          the directory that is made\n"
				 "      --tablespace OID=DIR  where this tablespace of the source goes\n"
				 "      --waldir DIR       where pg_wal goes; otherwise into the new directory\n"
				 "      --label TEXT       of the backup, in the source's log\n"
				 "      --rate KB          at most so many KB a second are read on the source\n"
				 "      --progress         a line twice a second, near the end more often\n"
				 "      --no-sync          do not wait until all is on disk\n"
				 "  -V, --version          print the version, then exit\n"
				 "  -h, --help             print this, then exit\n", out);
}

static int
parse_rate(const char *text, RgRate *ret_rate)
{
	char	   *end;
	unsigned long long kilobytes = strtoull(text, &end, 10);

	if (text[0] < '0' || text[0] > '9' || *end != '\0' || kilobytes > 1000000000)
		return -1;
	ret_rate->per_second = kilobytes * 1024;
	return 0;
}

static const struct option options[] = {
	{"source", required_argument, NULL, 's'},
	{"old", required_argument, NULL, 'o'},
	{"new", required_argument, NULL, 'n'},
	{"tablespace", required_argument, NULL, 't'},
	{"waldir", required_argument, NULL, 'w'},
	{"label", required_argument, NULL, 'l'},
	{"rate", required_argument, NULL, 'r'},
	{"progress", no_argument, NULL, 'p'},
	{"no-sync", no_argument, NULL, 'N'},
	{"version", no_argument, NULL, 'V'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0}
};

/* A word that was not understood is a usage error. */
static int
told(int rc, const RgError *err)
{
	if (rc == 0)
		return -1;
	(void) fprintf(stderr, "regent-copy: error: %s\n", err->message);
	return 2;
}

/* Returns -1 to go on, else the exit status. */
static int
parse_option(RgCopy *copy, int opt)
{
	RgError		err = {0};

	switch (opt)
	{
		case 's':
			copy->source_conninfo = optarg;
			return -1;
		case 'o':
			copy->old_path = optarg;
			return -1;
		case 'n':
			copy->target.places.all[0].path = optarg;
			return -1;
		case 't':
			return told(rg_places_add_tablespace(&copy->target.places, optarg, &err), &err);
		case 'w':
			return told(rg_places_add_wal(&copy->target.places, optarg, &err), &err);
		case 'l':
			copy->label = optarg;
			return -1;
		case 'r':
			if (parse_rate(optarg, &copy->rate) == 0)
				return -1;
			(void) fprintf(stderr, "regent-copy: error: --rate takes KB a second\n");
			return 2;
		case 'p':
			copy->shows_progress = true;
			return -1;
		case 'N':
			copy->is_durable = false;
			return -1;
		case 'V':
			(void) printf("regent-copy %s\n", RG_VERSION);
			return 0;
		case 'h':
			help(stdout);
			return 0;
		default:
			help(stderr);
			return 2;
	}
}

static int
finish(RgCopy *copy, int rc, const RgError *err)
{
	char		line[256];

	if (rc == 0)
	{
		rg_tally_format(&copy->tally, line, sizeof(line));
		(void) puts(line);
		return fflush(stdout) == 0 ? 0 : 1;
	}
	(void) fprintf(stderr, "regent-copy: error: %s%s%s\n", err->message, err->hint[0] != '\0' ? "; " : "",
				   err->hint);
	return rc == RGE_STATE ? 3 : rc == RGE_LIMIT ? 4 : 1;
}

int
main(int argc, char **argv)
{
	static RgCopy copy = {.label = "pg_regent delta copy", .is_durable = true};
	RgError		err = {0};
	int			opt;
	int			status;

	rg_places_begin(&copy.target.places, NULL);
	while ((opt = getopt_long(argc, argv, "Vh", options, NULL)) != -1)
		if ((status = parse_option(&copy, opt)) >= 0)
			return status;
	if (!rg_args_end("regent-copy", argc, argv))
		return 2;
	if (copy.source_conninfo == NULL || copy.old_path == NULL || copy.target.places.all[0].path == NULL)
	{
		help(stderr);
		return 2;
	}
	keep_memory();
	copy.target.old_fd = copy.target.new_fd = -1;
	status = finish(&copy, run(&copy, &err), &err);
	rg_engine_free(copy.engine);
	PQclear(copy.backup.label);
	rg_source_close(&copy.source);
	rg_target_close(&copy.target);
	return status;
}
