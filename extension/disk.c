/*
 * disk.c
 *	  Is there room on this server's disks, and do they take a write?
 *
 * A process of its own, "pg_regent probe", asks: whoever touches a disk may hang
 * there for as long as the disk does.  It says in shared memory when it begins and
 * when it has ended; heartbeats and the worker read that and nothing else, so a
 * disk that hangs is told while it hangs.  So is a process that does not come to look.
 *
 * A server without room for the next segment of WAL panics, so a disk counts as
 * full a little before it is: below regent.disk_reserve, and that of the WAL below
 * one segment.  It counts as not full again with half as much on top, so that it
 * does not flutter.
 *
 * Every regent.write_probe a small file in the directory of the WAL, and in the data
 * directory where that is another disk, is written and synced.  It has its block
 * already, and writing it disturbs the disk no more than a commit does: this shows a
 * disk that hangs, fails or has become read-only.  Where little is left, and now and
 * then, its block is given back first: this shows a quota that no free space tells of.
 */
#include "postgres.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "access/xlog.h"
#include "common/file_perm.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/ps_status.h"

#include "disk.h"
#include "pg_regent.h"
#include "shmem.h"

#define PLACES_MAX 64
#define PROBE_FILE "regent.probe"
#define PROBE_BYTES 8192
#define FRESH_EVERY 10			/* writes: then the block is given back first */
#define HUNG_AFTER_MS 1000		/* a checkpoint may keep a disk busy for a moment */

/* A directory on a disk of its own. */
typedef struct Place
{
	char		path[64];
	char		name[24];
	dev_t		device;
	int64		free_bytes;
	int64		limit;			/* below this it counts as full */
} Place;

static Place places[PLACES_MAX];
static int	nplaces = 0;
static bool was_full = false;
static int	writes = 0;

/* ------------------------------------------------ what is told */

/* Before anything that may hang, and after it. */
static void
set_began(int64 began_ms)
{
	LWLockAcquire(rg_shared->lock, LW_EXCLUSIVE);
	rg_shared->disk.began_ms = began_ms;
	LWLockRelease(rg_shared->lock);
}

static bool
is_lack_of_space(int error)
{
	return error == ENOSPC || error == EDQUOT;
}

void
rg_disk_report(RgDiskReport *ret)
{
	RgDisk		disk;
	int64		now = rg_boottime_ms();
	int64		since;

	LWLockAcquire(rg_shared->lock, LW_SHARED);
	disk = rg_shared->disk;
	LWLockRelease(rg_shared->lock);

	memset(ret, 0, sizeof(*ret));
	ret->free_bytes = disk.free_bytes;
	since = disk.began_ms != 0 ? disk.began_ms : disk.measured_ms != 0 ? disk.due_ms : now;
	if (now - since >= HUNG_AFTER_MS)
	{
		ret->hung_ms = now - since;
		ret->state = "hung";
		snprintf(ret->text, sizeof(ret->text),
				 disk.began_ms != 0 ? "a small write has not ended for " INT64_FORMAT " ms"
				 : "a small write has not begun for " INT64_FORMAT " ms", ret->hung_ms);
	}
	else if (disk.measured_ms == 0)
		return;
	else if (disk.write_errno != 0 && !is_lack_of_space(disk.write_errno))
	{
		ret->state = "failing";
		snprintf(ret->text, sizeof(ret->text), "writes in %s fail: %s", disk.write_place,
				 strerror(disk.write_errno));
	}
	else
	{
		bool		is_refused = disk.write_errno != 0;

		ret->state = disk.is_full || is_refused ? "full" : "ok";
		snprintf(ret->text, sizeof(ret->text), INT64_FORMAT " bytes free in %s%s%.40s", disk.free_bytes,
				 is_refused ? disk.write_place : disk.place, is_refused ? ": " : "",
				 is_refused ? strerror(disk.write_errno) : "");
	}
}

/* ------------------------------------------------ room */

/* Adds the directory unless its disk is there already; returns errno. */
static int
add_place(const char *path, const char *name, int64 limit)
{
	Place	   *place = &places[nplaces];
	struct stat st;
	struct statvfs vfs;

	if (nplaces == PLACES_MAX)
		return 0;
	if (stat(path, &st) != 0)
		return errno == ENOENT ? 0 : errno;
	for (int i = 0; i < nplaces; i++)
		if (places[i].device == st.st_dev)
			return 0;
	if (statvfs(path, &vfs) != 0)
		return errno;
	strlcpy(place->path, path, sizeof(place->path));
	strlcpy(place->name, name, sizeof(place->name));
	place->device = st.st_dev;
	place->free_bytes = (int64) vfs.f_bavail * (int64) vfs.f_frsize;
	place->limit = limit;
	nplaces++;
	return 0;
}

static void
add_tablespaces(int64 limit)
{
	DIR		   *dir = AllocateDir("pg_tblspc");
	struct dirent *entry;
	char		path[64];
	char		name[24];

	while (dir != NULL && (entry = ReadDirExtended(dir, "pg_tblspc", LOG)) != NULL)
	{
		if (strspn(entry->d_name, "0123456789") != strlen(entry->d_name) || strlen(entry->d_name) > 10)
			continue;
		snprintf(path, sizeof(path), "pg_tblspc/%s", entry->d_name);
		snprintf(name, sizeof(name), "tablespace %s", entry->d_name);
		(void) add_place(path, name, limit);
	}
	if (dir != NULL)
		FreeDir(dir);
}

/* All disks of this server, that of the WAL first. */
static int
find_places(void)
{
	int64		reserve = (int64) rg_disk_reserve * 1024 * 1024;
	int			error;

	nplaces = 0;
	error = add_place("pg_wal", "pg_wal", reserve > 0 ? Max(reserve, wal_segment_size) : 0);
	if (error == 0)
		error = add_place(".", "the data directory", reserve);
	add_tablespaces(reserve);
	return error;
}

static bool
is_full(const Place *place)
{
	return place->free_bytes < (was_full ? place->limit + place->limit / 2 : place->limit);
}

/* One that is full, else the one with the least room; -1: none is known. */
static int
tightest_place(void)
{
	int			found = -1;

	for (int i = 0; i < nplaces; i++)
		if (found < 0 || (is_full(&places[i]) && !is_full(&places[found])) ||
			(is_full(&places[i]) == is_full(&places[found]) &&
			 places[i].free_bytes < places[found].free_bytes))
			found = i;
	return found;
}

/* ------------------------------------------------ writes */

static int
write_and_sync(const char *path, bool must_be_fresh)
{
	static const char block[PROBE_BYTES] = "pg_regent tries whether this disk takes a write\n";
	int			fd = BasicOpenFilePerm(path, O_WRONLY | O_CREAT | O_CLOEXEC | (must_be_fresh ? O_TRUNC : 0),
									   pg_file_create_mode);
	int			error = 0;
	ssize_t		written;

	if (fd < 0)
		return errno;
	written = write(fd, block, sizeof(block));
	if (written != sizeof(block))
		error = written < 0 ? errno : ENOSPC;
	else if (pg_fdatasync(fd) != 0)
		error = errno;
	if (close(fd) != 0 && error == 0)
		error = errno;
	return error;
}

/* In the directory of the WAL, and in the data directory where that is another disk. */
static int
try_writes(const char **ret_place)
{
	char		path[sizeof(places[0].path) + sizeof(PROBE_FILE) + 1];
	bool		is_turn = writes++ % FRESH_EVERY == 0;
	int			error = 0;

	for (int i = 0; i < nplaces && i < 2 && error == 0; i++)
	{
		if (strncmp(places[i].path, "pg_tblspc", 9) == 0)
			continue;
		snprintf(path, sizeof(path), "%s/" PROBE_FILE, places[i].path);
		error = write_and_sync(path, is_turn || places[i].free_bytes < Max(2 * places[i].limit, wal_segment_size));
		*ret_place = places[i].name;
	}
	return error;
}

/* ------------------------------------------------ the process */

static void
show_title(const RgDisk *disk)
{
	char		title[96];

	snprintf(title, sizeof(title), "%s: %.1f MB free%s", disk->place,
			 (double) disk->free_bytes / (1024 * 1024), disk->is_full ? ", full" : "");
	set_ps_display(title);
}

static void
log_change(const RgDisk *before, const RgDisk *now)
{
	if (now->is_full && !before->is_full)
		ereport(LOG,
				(errmsg("pg_regent: the disk of node \"%s\" is full", rg_node_name),
				 errdetail(INT64_FORMAT " bytes are free in %s.", now->free_bytes, now->place),
				 errhint("Free some space there, or hand the lead to another node: regent switchover.")));
	else if (before->is_full && !now->is_full)
		ereport(LOG,
				(errmsg("pg_regent: the disk of node \"%s\" has room again", rg_node_name)));
	if (now->write_errno != 0 && now->write_errno != before->write_errno)
		ereport(LOG,
				(errmsg("pg_regent: a small write in %s failed: %s", now->write_place,
						strerror(now->write_errno))));
}

/* Everything in here may hang. */
static void
look(RgDisk *disk, bool must_write)
{
	const char *place = "pg_wal";
	int			error = find_places();
	int			tightest = tightest_place();

	if (tightest >= 0)
	{
		disk->is_full = was_full = is_full(&places[tightest]);
		disk->free_bytes = places[tightest].free_bytes;
		strlcpy(disk->place, places[tightest].name, sizeof(disk->place));
	}
	if (error == 0 && must_write)
		error = try_writes(&place);
	/* between two writes the last one counts */
	if (error != 0 || must_write || rg_write_probe == 0)
	{
		disk->write_errno = error;
		strlcpy(disk->write_place, place, sizeof(disk->write_place));
	}
}

/* Returns after how many milliseconds the next one is due. */
static long
round_of_probe(void)
{
	static RgDisk disk;
	static int64 written_ms = 0;
	RgDisk		before = disk;
	int64		began_ms = rg_boottime_ms();
	bool		must_write = rg_write_probe > 0 && began_ms - written_ms >= rg_write_probe;
	long		pause_ms = rg_write_probe > 0 ? Min(rg_report_interval, rg_write_probe) : rg_report_interval;

	if (must_write)
		written_ms = began_ms;
	set_began(began_ms);
	look(&disk, must_write);
	disk.measured_ms = rg_boottime_ms();
	disk.began_ms = 0;
	disk.due_ms = disk.measured_ms + pause_ms;
	LWLockAcquire(rg_shared->lock, LW_EXCLUSIVE);
	rg_shared->disk = disk;
	LWLockRelease(rg_shared->lock);
	log_change(&before, &disk);
	show_title(&disk);
	return pause_ms;
}

void
rg_disk_main(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	for (;;)
	{
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, round_of_probe(),
						 PG_WAIT_EXTENSION);
	}
}
