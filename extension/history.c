/*
 * history.c
 *	  Timeline numbers: each names one term and is never used twice.
 *
 * A placeholder is what readTimeLineHistory() takes for the history of a timeline
 * without ancestors, which no server will ever follow.  It is only dangerous as
 * the newest one: a standby with recovery_target_timeline = latest takes the last
 * of the numbers that follow each other for its target.  Therefore placeholders
 * come right before the promotion, they are archived after the timeline that
 * justifies them, and those that dangle are removed before the startup process
 * looks (and while a standby receives nothing).
 */
#include "postgres.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/timeline.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogarchive.h"
#include "common/file_perm.h"
#include "storage/fd.h"

#include "history.h"

#define PLACEHOLDER "# pg_regent: timeline not used\n"
#define HISTORY_NAME_LENGTH 16
#define HISTORY_SIZE_MAX (64 * 1024)

/* ------------------------------------------------ writing */

static void
file_failed(const char *what, const char *path)
{
	ereport(ERROR,
			(errcode_for_file_access(), errmsg("could not %s file \"%s\": %m", what, path)));
}

bool
rg_history_exists(TimeLineID timeline)
{
	char		path[MAXPGPATH];

	TLHistoryFilePath(path, timeline);
	return access(path, F_OK) == 0;
}

/* The directory is left to the caller to sync. */
static void
write_history(TimeLineID timeline, const char *content, size_t length)
{
	char		path[MAXPGPATH];
	int			fd;

	TLHistoryFilePath(path, timeline);
	fd = OpenTransientFile(path, O_WRONLY | O_CREAT | O_EXCL | PG_BINARY);
	if (fd < 0)
		file_failed("create", path);
	errno = 0;
	if (write(fd, content, length) != (ssize_t) length)
	{
		if (errno == 0)
			errno = ENOSPC;
		file_failed("write", path);
	}
	if (pg_fsync(fd) != 0)
		file_failed("fsync", path);
	if (CloseTransientFile(fd) != 0)
		file_failed("close", path);
}

int
rg_history_reserve(TimeLineID timeline, int64 term)
{
	int			count = 0;

	for (int64 number = (int64) timeline + 1; number < term; number++)
	{
		if (rg_history_exists((TimeLineID) number))
			continue;
		write_history((TimeLineID) number, PLACEHOLDER, strlen(PLACEHOLDER));
		count++;
	}
	if (count > 0)
		fsync_fname(XLOGDIR, true);
	return count;
}

/* ------------------------------------------------ a primary's */

/* The whole file, or NULL; *ret_length bytes and a NUL. */
static char *
read_history(TimeLineID timeline, size_t *ret_length)
{
	char	   *content = palloc(HISTORY_SIZE_MAX + 1);
	char		path[MAXPGPATH];
	ssize_t		length;
	int			fd;

	TLHistoryFilePath(path, timeline);
	fd = OpenTransientFile(path, O_RDONLY | PG_BINARY);
	if (fd < 0)
		return NULL;
	length = read(fd, content, HISTORY_SIZE_MAX + 1);
	CloseTransientFile(fd);
	if (length < 0 || length > HISTORY_SIZE_MAX)
		return NULL;
	content[length] = '\0';
	*ret_length = (size_t) length;
	return content;
}

/*
 * How much of a timeline's history is the history of this ancestor: all before
 * the line that says where it ended.  0: no ancestor.
 */
static size_t
ancestor_history(const char *content, TimeLineID ancestor)
{
	const char *line = content;

	while (*line != '\0')
	{
		const char *end = strchr(line, '\n');

		if (strtoul(line, NULL, 10) == ancestor)
			return line - content;
		if (end == NULL)
			break;
		line = end + 1;
	}
	return 0;
}

/* The last timeline in it: the one that the promotion left. */
static TimeLineID
parent_timeline(const char *content)
{
	TimeLineID	parent = 0;

	for (const char *line = content; line != NULL; line = strchr(line, '\n'))
	{
		TimeLineID	number;

		line += *line == '\n';
		number = (TimeLineID) strtoul(line, NULL, 10);
		if (number != 0)
			parent = number;
	}
	return parent;
}

static bool
is_archived(TimeLineID timeline)
{
	char		name[MAXFNAMELEN];

	TLHistoryFileName(name, timeline);
	return XLogArchiveIsReadyOrDone(name) && !XLogArchiveIsReady(name);
}

/* What others have promoted was archived by them. */
static void
settle_archive(TimeLineID number, bool is_ours, bool is_made)
{
	char		name[MAXFNAMELEN];

	TLHistoryFileName(name, number);
	if (is_ours && !XLogArchiveIsReadyOrDone(name))
		XLogArchiveNotify(name);
	else if (!is_ours && is_made)
		XLogArchiveForceDone(name);
}

bool
rg_history_complete(TimeLineID timeline)
{
	size_t		length = 0;
	char	   *content = timeline > 1 ? read_history(timeline, &length) : NULL;
	TimeLineID	parent;
	bool		may_archive;
	int			count = 0;

	if (timeline <= 1)
		return true;
	if (content == NULL)
		return false;
	parent = parent_timeline(content);
	may_archive = XLogArchivingActive() && is_archived(timeline);

	for (TimeLineID number = 2; number < timeline; number++)
	{
		bool		is_made = !rg_history_exists(number);
		size_t		known = is_made ? ancestor_history(content, number) : 0;

		if (is_made)
			write_history(number, known > 0 ? content : PLACEHOLDER,
						  known > 0 ? known : strlen(PLACEHOLDER));
		count += is_made;
		if (may_archive || (XLogArchivingActive() && is_made && number < parent))
			settle_archive(number, number > parent, is_made);
	}
	if (count > 0)
	{
		fsync_fname(XLOGDIR, true);
		ereport(LOG,
				(errmsg("pg_regent made %d history files of timelines below %u", count, timeline)));
	}
	return may_archive || !XLogArchivingActive();
}

/* ------------------------------------------------ those that dangle */

/* Only what we wrote, or began to write before a crash. */
static bool
is_placeholder(const char *path)
{
	char		content[sizeof(PLACEHOLDER) + 1];
	ssize_t		length;
	int			fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	length = read(fd, content, sizeof(content));
	close(fd);
	return length >= 0 && (size_t) length <= strlen(PLACEHOLDER) &&
		memcmp(content, PLACEHOLDER, length) == 0;
}

static bool
is_history_name(const char *name)
{
	return strlen(name) == HISTORY_NAME_LENGTH &&
		strspn(name, "0123456789ABCDEF") == 8 && strcmp(name + 8, ".history") == 0;
}

static int
compare_descending(const void *a, const void *b)
{
	TimeLineID	left = *(const TimeLineID *) a;
	TimeLineID	right = *(const TimeLineID *) b;

	return (left < right) - (left > right);
}

/* Numbers of the history files in pg_wal, highest first. */
static int
list_histories(TimeLineID **ret_numbers)
{
	DIR		   *dir = opendir(XLOGDIR);
	struct dirent *entry;
	int			size = 64;
	int			count = 0;
	TimeLineID *numbers = palloc(size * sizeof(TimeLineID));

	while (dir != NULL && (entry = readdir(dir)) != NULL)
	{
		if (!is_history_name(entry->d_name))
			continue;
		if (count == size)
			numbers = repalloc(numbers, (size *= 2) * sizeof(TimeLineID));
		numbers[count++] = (TimeLineID) strtoul(entry->d_name, NULL, 16);
	}
	if (dir != NULL)
		closedir(dir);
	qsort(numbers, count, sizeof(TimeLineID), compare_descending);
	*ret_numbers = numbers;
	return count;
}

/* Plain calls only: this runs in the postmaster, too. */
int
rg_history_drop_dangling(void)
{
	TimeLineID *numbers;
	int			count = list_histories(&numbers);
	TimeLineID	kept = 0;
	int			removed = 0;

	for (int i = 0; i < count; i++)
	{
		char		path[MAXPGPATH];

		/* the server looks for one number after the other, up to the first gap */
		TLHistoryFilePath(path, numbers[i]);
		if (kept != numbers[i] + 1 && is_placeholder(path) && unlink(path) == 0)
			removed++;
		else
			kept = numbers[i];
	}
	pfree(numbers);
	if (removed > 0)
		ereport(LOG,
				(errmsg("pg_regent removed %d history files of timelines that were never used", removed)));
	return removed;
}
