/*
 * copy.c
 *	  What a delta copy asks of its source: copy_files(), copy_compare().
 *
 * The asker holds a non-exclusive backup (pg_backup_start) while it asks, so
 * what is read here follows the rules of a base backup.  A block may be read
 * while it is written, and the two halves of what we see may never have belonged
 * together.  Whoever writes it has changed it after the backup's checkpoint, and
 * the first change after a checkpoint left the whole page in the WAL from
 * which the copy will recover (full page writes are forced during a backup).  So it
 * does not matter whether a torn block was sent, or found equal to a
 * torn one over there: recovery overwrites both.  The same holds for a file that
 * grows, shrinks or goes while it is read.
 *
 * Page checksums are verified on all that is read, also on the blocks that are
 * found equal and not sent: then what the asker keeps is verified as well.
 *
 * Files are read as they lie on disk, past the buffer pool.  Whoever may call
 * this may read the whole data directory: it is granted to the role that
 * replicates, who can do so anyway.
 */
#include "postgres.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "catalog/catversion.h"
#include "common/relpath.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/bufpage.h"
#include "storage/checksum.h"
#include "storage/fd.h"
#include "storage/lwlock.h"
#include "utils/builtins.h"

#include "copylist.h"
#include "copywire.h"

/* Read at once: fits into a processor's cache, so that it is hashed from there. */
#define READ_BLOCKS 32
#define REREAD_MAX 5

/* ------------------------------------------------ the list */

static void
put_file(ReturnSetInfo *rsinfo, const char *path, const char *kind, int64 size)
{
	Datum		values[3];
	bool		nulls[3] = {false, false, false};

	values[0] = CStringGetTextDatum(path);
	values[1] = CStringGetTextDatum(kind);
	values[2] = Int64GetDatum(size);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* Unlogged relations have an init fork; nothing else of them is of use. */
static bool
is_unlogged(const char *directory, const char *name)
{
	char		init_fork[MAXPGPATH];
	struct stat st;
	RgCopyName	parsed;

	if (!rg_copy_parse_name(name, &parsed) || parsed.is_init)
		return false;
	snprintf(init_fork, sizeof(init_fork), "%s/%u_init", directory, parsed.number);
	return lstat(init_fork, &st) == 0;
}

static void list_directory(ReturnSetInfo *rsinfo, const char *directory);

/*
 * A link, or a directory where the source allows that.  Of what lies there only
 * the directory of this version is ours; one without it is being dropped.
 */
static void
list_tablespace(ReturnSetInfo *rsinfo, const char *path, bool is_link)
{
	char		version[MAXPGPATH];
	struct stat st;
	int			length = snprintf(version, sizeof(version), "%s/%s", path, TABLESPACE_VERSION_DIRECTORY);

	put_file(rsinfo, path, is_link ? "tablespace" : "directory", 0);
	if (length > RG_COPY_PATH_MAX || lstat(version, &st) != 0 || !S_ISDIR(st.st_mode))
		return;
	put_file(rsinfo, version, "directory", 0);
	list_directory(rsinfo, version);
}

static void
list_entry(ReturnSetInfo *rsinfo, const char *directory, const char *name)
{
	char		path[MAXPGPATH];
	struct stat st;
	int			length = snprintf(path, sizeof(path), "%s%s%s", directory,
								  directory[0] != '\0' ? "/" : "", name);

	if (length > RG_COPY_PATH_MAX)
		ereport(ERROR, errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("path in directory \"%s\" is too long to copy", directory));
	if (lstat(path, &st) != 0)
	{
		if (errno == ENOENT)
			return;
		ereport(ERROR, errcode_for_file_access(), errmsg("could not stat file \"%s\": %m", path));
	}
	if (strcmp(directory, "pg_tblspc") == 0)
	{
		if (strspn(name, "0123456789") == strlen(name) && !S_ISREG(st.st_mode))
			list_tablespace(rsinfo, path, S_ISLNK(st.st_mode));
		return;
	}
	/* a WAL directory elsewhere is a directory here */
	if (S_ISLNK(st.st_mode) && strcmp(path, "pg_wal") == 0)
		st.st_mode = S_IFDIR;
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return;
	switch (rg_copy_kind(directory, name, S_ISDIR(st.st_mode)))
	{
		case RG_COPY_LEAVE_OUT:
			return;
		case RG_COPY_FILE:
			put_file(rsinfo, path, "file", st.st_size);
			return;
		case RG_COPY_RELATION:
			if (!is_unlogged(directory, name))
				put_file(rsinfo, path, "relation", st.st_size);
			return;
		case RG_COPY_EMPTY_DIRECTORY:
			put_file(rsinfo, path, "directory", 0);
			return;
		case RG_COPY_DIRECTORY:
			put_file(rsinfo, path, "directory", 0);
			list_directory(rsinfo, path);
			return;
	}
}

static void
list_directory(ReturnSetInfo *rsinfo, const char *directory)
{
	const char *opened = directory[0] != '\0' ? directory : ".";
	DIR		   *dir = AllocateDir(opened);
	struct dirent *entry;

	check_stack_depth();
	if (dir == NULL && errno == ENOENT)
		return;					/* a database that was dropped meanwhile */
	while ((entry = ReadDir(dir, opened)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			list_entry(rsinfo, directory, entry->d_name);
	}
	FreeDir(dir);
}

PG_FUNCTION_INFO_V1(regent_copy_files);

/* Everything that a copy consists of, but WAL, control file and backup label. */
Datum
regent_copy_files(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	list_directory((ReturnSetInfo *) fcinfo->resultinfo, "");
	return (Datum) 0;
}

/* ------------------------------------------------ comparing */

typedef struct Comparison
{
	uint64		seed;
	XLogRecPtr	start_lsn;		/* of the backup; a page from after it is not verified */
	bool		has_checksums;
	char		path[MAXPGPATH];	/* of the open file */
	int			fd;				/* -1: there is no such file */
	bool		is_control;
	bool		is_relation;
	BlockNumber first_block;	/* of the file within its relation */
	StringInfoData answer;
	int			run_length_at;	/* where the last run's length stands in the answer; -1: no run yet */
	uint64		run_end;		/* offset in the range at which it ends */
} Comparison;

/* Not allocated for each request: fresh memory costs more than reading into it. */
static char read_buffer[READ_BLOCKS * BLCKSZ];

static void
close_file(Comparison *c)
{
	if (c->fd >= 0)
		CloseTransientFile(c->fd);
	c->fd = -1;
	c->path[0] = '\0';
}

/* The range of one file often follows another of the same: it stays open between them. */
static void
open_file(Comparison *c, const RgCopyItem *item)
{
	char		path[MAXPGPATH];
	char	   *name;
	RgCopyName	parsed;

	memcpy(path, item->path, item->path_length);
	path[item->path_length] = '\0';
	if (strcmp(path, c->path) == 0)
		return;
	close_file(c);
	if (!path_is_relative_and_below_cwd(path))
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("path \"%s\" is not below the data directory", path));
	c->fd = OpenTransientFile(path, O_RDONLY | O_NOFOLLOW | PG_BINARY);
	if (c->fd < 0 && errno != ENOENT)
		ereport(ERROR, errcode_for_file_access(), errmsg("could not open file \"%s\": %m", path));
	strlcpy(c->path, path, sizeof(c->path));
	c->is_control = strcmp(path, XLOG_CONTROL_FILE) == 0;
	c->is_relation = false;
	name = strrchr(path, '/');
	if (name == NULL)
		return;
	*name = '\0';
	if (rg_copy_kind(path, name + 1, false) == RG_COPY_RELATION && rg_copy_parse_name(name + 1, &parsed))
	{
		c->is_relation = true;
		c->first_block = parsed.segment * (BlockNumber) RELSEG_SIZE;
	}
}

static int
read_file(Comparison *c, char *buffer, size_t length, uint64 offset)
{
	ssize_t		got = pg_pread(c->fd, buffer, length, (off_t) offset);

	if (got < 0)
		ereport(ERROR, errcode_for_file_access(), errmsg("could not read file \"%s\": %m", c->path));
	return (int) got;
}

/* Is there nothing to object to?  A page that WAL will overwrite may be torn. */
static bool
is_page_sound(const Comparison *c, char *page, BlockNumber block)
{
	return PageIsNew(page) || PageGetLSN(page) >= c->start_lsn ||
		pg_checksum_page(page, block) == ((PageHeader) page)->pd_checksum;
}

/* A page that was read while it was written is read again, a few times. */
static void
verify_page(Comparison *c, char *page, uint64 offset)
{
	BlockNumber block = c->first_block + (BlockNumber) (offset / BLCKSZ);

	for (int i = 0; !is_page_sound(c, page, block); i++)
	{
		if (i == REREAD_MAX)
			ereport(ERROR, errcode(ERRCODE_DATA_CORRUPTED),
					errmsg("checksum of block %u in file \"%s\" is wrong", block, c->path),
					errhint("This server's disk or memory has damaged the page: look at it before anything is copied from here."));
		pg_usleep(1000L);
		if (read_file(c, page, BLCKSZ, offset) != BLCKSZ)
			return;				/* cut off meanwhile; replay cuts it off again */
	}
}

/* A number that is set later; returns where it stands. */
static int
put_number(StringInfo answer)
{
	enlargeStringInfo(answer, sizeof(uint32));
	answer->len += sizeof(uint32);
	return answer->len - (int) sizeof(uint32);
}

static void
set_number(StringInfo answer, int at, uint32 value)
{
	rg_copy_put32((uint8 *) answer->data + at, value);
}

/* Blocks that differ and follow each other make one run. */
static void
put_block(Comparison *c, const char *block, int length, uint32 offset, uint32 *run_count)
{
	if (c->run_length_at < 0 || c->run_end != offset)
	{
		set_number(&c->answer, put_number(&c->answer), offset);
		c->run_length_at = put_number(&c->answer);
		(*run_count)++;
	}
	appendBinaryStringInfo(&c->answer, block, length);
	c->run_end = offset + length;
	set_number(&c->answer, c->run_length_at, (uint32) (c->answer.len - c->run_length_at - 4));
}

static void
compare_block(Comparison *c, const RgCopyItem *item, char *block, int length, uint32 offset,
			  uint32 *run_count)
{
	uint32		number = offset / RG_COPY_BLOCK;
	uint8		hash[RG_COPY_HASH];

	if (c->has_checksums && c->is_relation && length == BLCKSZ)
		verify_page(c, block, item->offset + offset);
	if (number < item->hash_count)
	{
		rg_copy_hash(block, length, c->seed, hash);
		if (memcmp(hash, item->hashes + number * RG_COPY_HASH, RG_COPY_HASH) == 0)
			return;
	}
	put_block(c, block, length, offset, run_count);
}

/* Returns how many bytes of the range are there. */
static uint32
compare_range(Comparison *c, const RgCopyItem *item, uint32 *run_count)
{
	uint32		offset = 0;

	while (offset < item->length)
	{
		uint32		wanted = Min(sizeof(read_buffer), item->length - offset);
		uint32		got = (uint32) read_file(c, read_buffer, wanted, item->offset + offset);

		CHECK_FOR_INTERRUPTS();
		for (uint32 at = 0; at < got; at += RG_COPY_BLOCK)
			compare_block(c, item, read_buffer + at, Min(RG_COPY_BLOCK, got - at), offset + at,
						  run_count);
		offset += got;
		if (got < wanted)
			break;
	}
	return offset;
}

static void
compare_item(Comparison *c, const RgCopyItem *item)
{
	uint32		extent = RG_COPY_GONE;
	uint32		run_count = 0;
	int			extent_at = put_number(&c->answer);
	int			run_count_at = put_number(&c->answer);

	open_file(c, item);
	c->run_length_at = -1;
	if (c->is_control)
		LWLockAcquire(ControlFileLock, LW_SHARED);
	if (c->fd >= 0)
		extent = compare_range(c, item, &run_count);
	if (c->is_control)
		LWLockRelease(ControlFileLock);
	set_number(&c->answer, extent_at, extent);
	set_number(&c->answer, run_count_at, run_count);
}

PG_FUNCTION_INFO_V1(regent_copy_compare);

/* Answers a request of copywire.h. */
Datum
regent_copy_compare(PG_FUNCTION_ARGS)
{
	bytea	   *request = PG_GETARG_BYTEA_PP(0);
	RgCopyReader reader = {(const uint8 *) VARDATA_ANY(request), VARSIZE_ANY_EXHDR(request), false};
	Comparison *c = palloc(sizeof(Comparison));
	RgCopyItem	item;
	uint64		total = 0;

	StaticAssertStmt(BLCKSZ == RG_COPY_BLOCK, "hashes are those of blocks");
	c->seed = rg_copy_get64(&reader);
	c->start_lsn = rg_copy_get64(&reader);
	c->has_checksums = DataChecksumsEnabled();
	c->fd = -1;
	c->path[0] = '\0';
	initStringInfo(&c->answer);
	put_number(&c->answer);		/* becomes the length of the bytea */
	while (reader.left > 0 && rg_copy_get_item(&reader, &item))
	{
		total += item.length;
		if (total > RG_COPY_RANGE_MAX)
			reader.is_bad = true;
		else
			compare_item(c, &item);
	}
	close_file(c);
	if (reader.is_bad)
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("request for a copy is not in the form that this version understands"));
	SET_VARSIZE(c->answer.data, c->answer.len);
	PG_RETURN_BYTEA_P(c->answer.data);
}
