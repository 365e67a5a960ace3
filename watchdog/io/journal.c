/*
 * journal.c
 *	  The append-only file of decisions, events and memory.
 *
 * A line is appended by one write and, where it must hold, fsynced.  Where
 * either fails the file is cut back to its former length, so that a decision
 * that was reported as "not recorded" can't be found there later.  After a
 * failed fsync nothing that the kernel still holds for this file can be
 * trusted to reach the disk (the pages count as clean), so the next write
 * first rewrites the whole file under a new name.
 *
 * Rewriting also keeps the file small.  It takes some ten milliseconds, so
 * it waits for a line that nobody waits for (sync = false), unless the file has
 * twice its size.  Failing to rewrite is no reason to refuse a line.
 *
 * One process at a time: the lock of identity.c sees to that.
 */
#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/clock.h"
#include "journal_line.h"
#include "journal_rewrite.h"

#define FILE_MAX_BYTES (256 * 1024 * 1024)

struct RgJournal
{
	int			dir_fd;
	int			fd;
	char		name[128];		/* CLUSTER.journal */
	char		path[PATH_MAX]; /* for messages */
	const char *const *keep;
	off_t		size;
	off_t		rewrite_at;		/* not before the file has this size */
	int64_t		last_seq;
	bool		is_suspect;		/* an fsync failed: rewrite before the next line */
	bool		is_rename_unsynced; /* the directory's fsync failed: repeat it */
	char		warning[512];
};

static int
fail_io(RgJournal *j, RgError *err, const char *what, int save_errno)
{
	rg_error_set(err, RGE_IO, "could not %s journal \"%s\": %s", what, j->path, strerror(save_errno));
	if (save_errno == ENOSPC || save_errno == EDQUOT)
		rg_error_hint(err, "Free some space on its file system; nothing is decided as long as "
					  "decisions can't be recorded.");
	return RGE_IO;
}

/* Maps the file as it is now; an empty file gives NULL and 0. */
static int
map_file(RgJournal *j, const char **ret_text, size_t *ret_len, RgError *err)
{
	struct stat st;
	void	   *text = NULL;

	if (fstat(j->fd, &st) != 0)
		return fail_io(j, err, "read", errno);
	if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX_BYTES)
		return rg_error_set(err, RGE_LIMIT, "journal \"%s\" is no regular file or larger than %d MB",
							j->path, FILE_MAX_BYTES / 1024 / 1024);
	if (st.st_size > 0)
	{
		text = mmap(NULL, (size_t) st.st_size, PROT_READ, MAP_PRIVATE, j->fd, 0);
		if (text == MAP_FAILED)
			return fail_io(j, err, "read", errno);
	}
	*ret_text = text;
	*ret_len = (size_t) st.st_size;
	return 0;
}

static void
unmap_file(const char *text, size_t len)
{
	if (text != NULL)
		munmap((void *) (uintptr_t) text, len);
}

static int
report_damage(RgJournal *j, RgError *err, long line_number, const char *how)
{
	rg_error_set(err, RGE_FORMAT, "journal \"%s\" is damaged in line %ld", j->path, line_number);
	rg_error_detail(err, "%s; only a torn last line is harmless.", how);
	rg_error_hint(err, "Look at the file system. Without its journal a watchdog does not know what it "
				  "has granted: restore nothing from a backup, move the file away and "
				  "stop the old primary or check it before you start regentd again.");
	return RGE_FORMAT;
}

/* Reads one good line out to the caller. */
static int
deliver_line(RgJournal *j, const char *line, size_t len, long line_number,
			 const RgJournalHead *head, RgJournalReadFn fn, void *arg, RgError *err)
{
	json_t	   *object;

	if (head->seq <= j->last_seq)
		return report_damage(j, err, line_number, "Its number is not above that of the line before");
	j->last_seq = head->seq;
	if (fn == NULL)
		return 0;
	object = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	if (object == NULL)
		return report_damage(j, err, line_number, "Its checksum is right but it is not JSON");
	fn(arg, head->kind, head->seq, head->at_wall_ms, object);
	json_decref(object);
	return 0;
}

/* Reads all lines; ret_good is the length up to a torn last line. */
static int
read_lines(RgJournal *j, const char *text, size_t len, RgJournalReadFn fn, void *arg,
		   size_t *ret_good, RgError *err)
{
	size_t		at = 0;

	for (long line_number = 1; at < len; line_number++)
	{
		/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): no text has no length */
		const char *newline = memchr(text + at, '\n', len - at);
		size_t		line_len = newline != NULL ? (size_t) (newline - (text + at)) : len - at;
		RgJournalHead head;
		int			rc;

		if (newline == NULL || !rg_journal_line_check(text + at, line_len, &head))
		{
			if (newline != NULL && at + line_len + 1 < len)
				return report_damage(j, err, line_number, "Its checksum is wrong");
			snprintf(j->warning, sizeof(j->warning),
					 "dropped the torn last line %ld (%zu bytes) of journal \"%.300s\"",
					 line_number, len - at, j->path);
			break;
		}
		rc = deliver_line(j, text + at, line_len, line_number, &head, fn, arg, err);
		if (rc != 0)
			return rc;
		at += line_len + 1;
	}
	*ret_good = at;
	return 0;
}

static int
open_file(RgJournal *j, RgError *err)
{
	bool		is_new = faccessat(j->dir_fd, j->name, F_OK, 0) != 0;

	j->fd = openat(j->dir_fd, j->name, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (j->fd < 0)
		return fail_io(j, err, "open", errno);
	if (is_new && fsync(j->dir_fd) != 0)
		return fail_io(j, err, "create", errno);
	return 0;
}

static int
load(RgJournal *j, RgJournalReadFn fn, void *arg, RgError *err)
{
	const char *text = NULL;
	size_t		len = 0;
	size_t		good = 0;
	int			rc;

	rc = map_file(j, &text, &len, err);
	if (rc == 0)
		rc = read_lines(j, text, len, fn, arg, &good, err);
	unmap_file(text, len);
	if (rc != 0)
		return rc;
	if (good < len && (ftruncate(j->fd, (off_t) good) != 0 || fdatasync(j->fd) != 0))
		return fail_io(j, err, "repair", errno);
	j->size = (off_t) good;
	return 0;
}

int
rg_journal_open(const char *directory, const char *cluster, const char *const *keep,
				RgJournalReadFn fn, void *arg, RgJournal **ret_journal, RgError *err)
{
	RgJournal  *j = calloc(1, sizeof(*j));
	int			nkeep = 0;
	int			rc;

	if (j == NULL)
		return rg_error_set(err, RGE_NOMEM, "out of memory");
	j->fd = -1;
	j->dir_fd = -1;
	j->keep = keep;
	while (keep != NULL && keep[nkeep] != NULL)
		nkeep++;
	if (nkeep > RG_JOURNAL_KINDS_MAX || cluster[0] == '\0' || strchr(cluster, '/') != NULL ||
		(size_t) snprintf(j->name, sizeof(j->name), "%s.journal", cluster) >= sizeof(j->name) - 4 ||
		(size_t) snprintf(j->path, sizeof(j->path), "%s/%s", directory, j->name) >= sizeof(j->path))
	{
		rc = rg_error_set(err, RGE_ARGUMENT, "\"%.60s\" can't be the name of a journal", cluster);
		goto out;
	}
	j->dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (j->dir_fd < 0)
	{
		rc = fail_io(j, err, "open the directory of", errno);
		goto out;
	}
	rc = open_file(j, err);
	if (rc != 0)
		goto out;
	rc = load(j, fn, arg, err);
	if (rc != 0)
		goto out;
	*ret_journal = j;
	j = NULL;

out:
	rg_journal_close(j);
	return rc;
}

void
rg_journal_close(RgJournal *j)
{
	if (j == NULL)
		return;
	if (j->fd >= 0)
		close(j->fd);
	if (j->dir_fd >= 0)
		close(j->dir_fd);
	free(j);
}

const char *
rg_journal_warning(const RgJournal *j)
{
	return j->warning[0] != '\0' ? j->warning : NULL;
}

/* Replaces the file by one that holds only what still matters. */
static int
rewrite(RgJournal *j, RgError *err)
{
	char		tmp_name[sizeof(j->name) + 4];
	const char *text = NULL;
	size_t		len = 0;
	int			fd = -1;
	off_t		size = 0;
	int			rc;

	snprintf(tmp_name, sizeof(tmp_name), "%s.tmp", j->name);
	rc = map_file(j, &text, &len, err);
	if (rc != 0)
		return rc;

	/* a line that failed and could not be cut off may stand behind j->size */
	if (len >= (size_t) j->size)
		rc = rg_journal_write_beside(j->dir_fd, tmp_name, j->path, text, (size_t) j->size, j->keep,
									 &fd, &size, err);
	else
		rc = rg_error_set(err, RGE_FORMAT, "journal \"%s\" has become shorter", j->path);
	unmap_file(text, len);
	if (rc != 0)
		return rc;
	if (renameat(j->dir_fd, tmp_name, j->dir_fd, j->name) != 0)
	{
		rc = fail_io(j, err, "rewrite", errno);
		close(fd);
		unlinkat(j->dir_fd, tmp_name, 0);
		return rc;
	}
	j->is_rename_unsynced = fsync(j->dir_fd) != 0;
	close(j->fd);
	j->fd = fd;
	j->size = size;
	j->rewrite_at = 2 * size;
	j->is_suspect = false;
	j->warning[0] = '\0';
	return 0;
}

/* Called after a line was written: the file has grown. */
static void
rewrite_if_big(RgJournal *j, bool sync)
{
	RgError		err;

	if (j->size <= RG_JOURNAL_SIZE_MAX || j->size < j->rewrite_at ||
		(sync && j->size <= 2 * RG_JOURNAL_SIZE_MAX))
		return;
	if (rewrite(j, &err) != 0)
	{
		snprintf(j->warning, sizeof(j->warning), "%s", err.message);
		j->rewrite_at = j->size + RG_JOURNAL_SIZE_MAX / 8;
	}
}

/* What an earlier failure left to be done before a line can be trusted again. */
static int
make_good(RgJournal *j, RgError *err)
{
	if (j->is_suspect)
	{
		int			rc = rewrite(j, err);

		if (rc != 0)
			return rc;
	}
	if (j->is_rename_unsynced)
	{
		if (fsync(j->dir_fd) != 0)
			return fail_io(j, err, "flush the directory of", errno);
		j->is_rename_unsynced = false;
	}
	return 0;
}

int
rg_journal_write(RgJournal *j, const char *kind, const json_t *body, bool sync,
				 int64_t *ret_seq, RgError *err)
{
	char	   *line = NULL;
	size_t		len = 0;
	int			save_errno;
	int			rc;

	rc = rg_journal_line_make(j->last_seq + 1, rg_clock_wall_ms(), rg_clock_now_ms(), kind, body,
							  &line, &len, err);
	if (rc == 0)
		rc = make_good(j, err);
	if (rc != 0)
		goto out;
	save_errno = rg_journal_write_all(j->fd, line, len);
	if (save_errno == 0 && sync && fdatasync(j->fd) != 0)
	{
		save_errno = errno;
		j->is_suspect = true;
	}
	if (save_errno != 0)
	{
		rc = fail_io(j, err, "write", save_errno);
		/* a line that can't be taken back leaves a file that must be rewritten */
		if (ftruncate(j->fd, j->size) != 0 || fdatasync(j->fd) != 0)
			j->is_suspect = true;
		goto out;
	}
	j->last_seq++;
	j->size += (off_t) len;
	if (ret_seq != NULL)
		*ret_seq = j->last_seq;
	rewrite_if_big(j, sync);

out:
	free(line);
	return rc;
}
