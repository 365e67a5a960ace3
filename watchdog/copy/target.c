/*
 * target.c
 *	  The old directory and the new one, and what is linked from it.
 *
 * Durability costs one syncfs() for each file system at the end: blocks have been on their way to the
 * disk since they were written (sync_file_range), and one commit of the file
 * system's journal covers a hundred thousand files, where an fsync() for each
 * would wait for the disk as often.  The descriptor is opened before the first
 * write, so that an error of any write-back since is reported by it (Linux 5.8
 * and later; an older one is refused).
 */
#include "copy/target.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define PROBE "regent-copy.probe"
#define PROBE_CLONE "regent-copy.clone"

/* How long ago is surely before. */
#define QUIET_NS INT64_C(1000000000)

/* WAL and what the source creates meanwhile. */
#define SPARE_BYTES (64 * 1024 * 1024)
#define FULL_HINT "Free some space; the old directory is as it was."

static int
io_error(const char *what, const char *path, RgError *err)
{
	const char *reason = strerror(errno);
	int			rc = rg_error_set(err, errno == ENOSPC || errno == EDQUOT ? RGE_LIMIT : RGE_IO,
								  "could not %s \"%s\": %s", what, path, reason);

	if (rc == RGE_LIMIT)
		rg_error_hint(err, FULL_HINT);
	return rc;
}

/* The first bytes of a small file of the old directory, terminated. */
static int
read_old(const RgTarget *target, const char *path, char *buf, size_t size, RgError *err)
{
	int			fd = openat(target->old_fd, path, O_RDONLY | O_CLOEXEC);
	ssize_t		got = fd >= 0 ? read(fd, buf, size - 1) : -1;

	if (fd >= 0)
		(void) close(fd);
	if (got < 0)
		return rg_error_set(err, RGE_STATE, "the old directory is no data directory: could not read \"%s\": %s",
							path, strerror(errno));
	buf[got] = '\0';
	return 0;
}

/* Version and identity of the old directory. */
static int
learn_old(RgTarget *target, RgError *err)
{
	char		buf[64];
	struct stat st;
	int			rc = read_old(target, "PG_VERSION", buf, sizeof(buf), err);

	if (rc != 0)
		return rc;
	target->major = atoi(buf);
	/* a directory that was being rewound may have none: its blocks are as good as others */
	if (read_old(target, "global/pg_control", buf, sizeof(uint64_t) + 1, NULL) == 0)
		memcpy(&target->system_identifier, buf, sizeof(uint64_t));
	if (fstat(target->old_fd, &st) != 0)
		return io_error("look at", "old directory", err);
	target->directory_mode = 0700 | (st.st_mode & 0050);
	target->file_mode = 0600 | (st.st_mode & 0040);
	return 0;
}

/* Would syncfs() tell of a failed write? */
static bool
syncfs_reports_errors(void)
{
	struct utsname name;
	int			major = 0;
	int			minor = 0;

	return uname(&name) == 0 && sscanf(name.release, "%d.%d", &major, &minor) == 2 &&
		(major > 5 || (major == 5 && minor >= 8));
}

int
rg_target_open(RgTarget *target, const char *old_path, bool is_durable, RgError *err)
{
	target->old_fd = open(old_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	target->new_fd = -1;
	target->is_durable = is_durable;
	target->system_identifier = 0;
	if (target->old_fd < 0)
		return io_error("open", old_path, err);
	if (is_durable && !syncfs_reports_errors())
		return rg_error_set(err, RGE_STATE, "this kernel's syncfs does not report errors (Linux 5.8 does)");
	return learn_old(target, err);
}

/* Two files of our own tell which short cuts the file system of a place allows. */
static void
learn_file_system(const RgTarget *target, RgPlace *place)
{
	static const char block[8192];
	struct stat old_stat;
	int			from = openat(place->fd, PROBE, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int			to = openat(place->fd, PROBE_CLONE, O_WRONLY | O_CREAT | O_EXCL | O_DIRECT | O_CLOEXEC, 0600);

	place->can_direct = to >= 0;
	if (to < 0)
		to = openat(place->fd, PROBE_CLONE, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	place->can_clone = from >= 0 && to >= 0 &&
		fstatat(target->old_fd, place->link[0] != '\0' ? place->link : ".", &old_stat, 0) == 0 &&
		(uint64_t) old_stat.st_dev == place->device &&
		write(from, block, sizeof(block)) == (ssize_t) sizeof(block) && ioctl(to, FICLONE, from) == 0;
	if (from >= 0)
		(void) close(from);
	if (to >= 0)
		(void) close(to);
	(void) unlinkat(place->fd, PROBE, 0);
	(void) unlinkat(place->fd, PROBE_CLONE, 0);
}

/* Its descriptor is open before the first write, for the sync at the end. */
static int
open_place(const RgTarget *target, RgPlace *place, RgError *err)
{
	struct stat st;

	place->fd = open(place->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (place->fd < 0 || fstat(place->fd, &st) != 0)
		return io_error("open", place->path, err);
	if (st.st_uid != geteuid())
		return rg_error_set(err, RGE_IO, "\"%s\" belongs to somebody else", place->path);
	place->device = (uint64_t) st.st_dev;
	learn_file_system(target, place);
	return 0;
}

int
rg_target_make(RgTarget *target, RgError *err)
{
	RgPlace    *place = &target->places.all[0];
	int			rc;

	(void) umask(0);
	if (mkdir(place->path, target->directory_mode) != 0)
		return io_error("create", place->path, err);
	rc = open_place(target, place, err);
	target->new_fd = place->fd;
	return rc;
}

void
rg_target_close(RgTarget *target)
{
	if (target->old_fd >= 0)
		(void) close(target->old_fd);
	for (int i = 0; i < target->places.count; i++)
		if (target->places.all[i].fd >= 0)
			(void) close(target->places.all[i].fd);
	target->places.count = 0;
	target->old_fd = target->new_fd = -1;
}

static bool
is_empty(const char *path)
{
	DIR		   *dir = opendir(path);
	struct dirent *entry;
	int			others = 0;

	if (dir == NULL)
		return false;
	while ((entry = readdir(dir)) != NULL)
		others += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	(void) closedir(dir);
	return others == 0;
}

/* What is there already is used only when it is empty. */
static int
make_place(RgTarget *target, RgPlace *place, RgError *err)
{
	int			rc;

	if (mkdir(place->path, target->directory_mode) != 0 && errno != EEXIST)
		return io_error("create", place->path, err);
	if (!is_empty(place->path))
		return rg_error_set(err, RGE_IO, "\"%s\", where a part of the copy would go, is not an empty directory",
							place->path);
	rc = open_place(target, place, err);
	if (rc == 0 && symlinkat(place->path, target->new_fd, place->link) != 0)
		rc = io_error("link", place->link, err);
	return rc;
}

int
rg_target_make_directory(void *target, const char *path, bool is_tablespace, RgError *err)
{
	RgTarget   *t = target;
	int			number = rg_places_behind(&t->places, path);

	if (number > 0)
		return make_place(t, &t->places.all[number], err);
	if (is_tablespace)
		return rg_error_set(err, RGE_IO, "tablespace %s of the source was made while the copy began: start it again",
							strrchr(path, '/') + 1);
	rg_places_note_directory(&t->places, path);
	return mkdirat(t->new_fd, path, t->directory_mode) == 0 ? 0 : io_error("create", path, err);
}

int64_t
rg_target_written_ns(int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return 0;
	return (int64_t) st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
}

/*
 * Two writes within one tick of the kernel's clock have the same time, so one that was a
 * moment ago tells nothing of the next.  A clock that is set back is no harm: the time
 * of a later write would be another one.  Only file systems of this host that note the
 * time with the write itself.
 */
static int64_t
written_long_ago(int fd)
{
	struct statfs fs;
	struct timespec now;
	int64_t		written_ns = rg_target_written_ns(fd);

	if (fstatfs(fd, &fs) != 0 || (fs.f_type != XFS_SUPER_MAGIC && fs.f_type != BTRFS_SUPER_MAGIC) ||
		clock_gettime(CLOCK_REALTIME, &now) != 0)
		return 0;
	return written_ns + QUIET_NS < (int64_t) now.tv_sec * 1000000000 + now.tv_nsec ? written_ns : 0;
}

bool
rg_target_clone(RgTarget *target, const char *path, int64_t *ret_written_ns)
{
	int			from;
	int			to;
	bool		is_clone;

	if (!target->places.all[rg_places_of(&target->places, path)].can_clone)
		return false;
	from = openat(target->old_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (from < 0)
		return false;
	*ret_written_ns = written_long_ago(from);
	to = openat(target->new_fd, path, O_WRONLY | O_CREAT | O_CLOEXEC, target->file_mode);
	is_clone = to >= 0 && ioctl(to, FICLONE, from) == 0;
	(void) close(from);
	if (to >= 0)
		(void) close(to);
	return is_clone;
}

bool
rg_target_presize(RgTarget *target, const char *path, uint64_t size)
{
	int			fd = openat(target->new_fd, path, O_WRONLY | O_CREAT | O_CLOEXEC, target->file_mode);
	bool		is_presized = fd >= 0 && fallocate(fd, 0, 0, (off_t) size) == 0;

	if (fd >= 0)
		(void) close(fd);
	return is_presized;
}

/* Is there room on the file system of this place? */
static int
check_space(const RgTarget *target, const RgPlace *place, RgError *err)
{
	struct statvfs fs;
	uint64_t	needed = rg_places_needed(&target->places, place) + SPARE_BYTES;
	uint64_t	available;
	int			rc;

	if (fstatvfs(place->fd, &fs) != 0)
		return 0;
	available = (uint64_t) fs.f_bavail * fs.f_frsize;
	if (available >= needed)
		return 0;
	rc = rg_error_set(err, RGE_LIMIT, "the copy needs %" PRIu64 " bytes on the disk of %s, %" PRIu64 " are free",
					  needed, place->path, available);
	rg_error_hint(err, FULL_HINT);
	return rc;
}

int
rg_target_check_list(RgTarget *target, const RgPlan *plan, RgError *err)
{
	const RgPlace *lacking = rg_places_without_version(&target->places);
	int			rc = 0;

	if (lacking != NULL)
		return rg_error_set(err, RGE_STATE, "the source lists nothing in %s: it is being dropped, or the source's extension is older than regent-copy",
							lacking->link);
	for (size_t i = 0; i < plan->file_count; i++)
		target->places.all[rg_places_of(&target->places, rg_plan_path(plan, &plan->files[i]))].bytes += plan->files[i].size;
	for (int i = 0; rc == 0 && i < target->places.count; i++)
		if (rg_places_is_first(&target->places, &target->places.all[i]))
			rc = check_space(target, &target->places.all[i], err);
	return rc;
}

int
rg_target_write_file(RgTarget *target, const char *path, const char *text, size_t length,
					 RgError *err)
{
	int			fd = openat(target->new_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
							target->file_mode);
	ssize_t		written = fd >= 0 ? write(fd, text, length) : -1;
	int			rc = 0;

	if (written >= 0 && (size_t) written < length)
		errno = ENOSPC;
	if (written < 0 || (size_t) written < length)
		rc = io_error("write", path, err);
	if (fd >= 0)
		(void) close(fd);
	return rc;
}

int
rg_target_set_size(RgTarget *target, const char *path, uint64_t size, RgError *err)
{
	int			fd = openat(target->new_fd, path, O_WRONLY | O_CLOEXEC);
	int			rc = 0;

	if (fd < 0 || ftruncate(fd, (off_t) size) != 0)
		rc = io_error("set the size of", path, err);
	if (fd >= 0)
		(void) close(fd);
	return rc;
}

int
rg_target_sync(RgTarget *target, RgError *err)
{
	if (!target->is_durable)
		return 0;
	for (int i = 0; i < target->places.count; i++)
	{
		const RgPlace *place = &target->places.all[i];

		if (rg_places_is_first(&target->places, place) && syncfs(place->fd) != 0)
			return io_error("sync", place->path, err);
	}
	return 0;
}
