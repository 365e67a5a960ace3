/*
 * target.c
 *	  The old directory and the new one.
 *
 * Durability costs one syncfs() at the end: blocks have been on their way to the
 * disk since they were written (sync_file_range), and one commit of the file
 * system's journal covers a hundred thousand files, where an fsync() for each
 * would wait for the disk as often.  The descriptor is opened before the first
 * write, so that an error of any write-back since is reported by it (Linux 5.8
 * and later; an older one is refused).
 */
#include "copy/target.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

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
	*target = (RgTarget) {.old_fd = open(old_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), .new_fd = -1,
		.is_durable = is_durable};
	if (target->old_fd < 0)
		return io_error("open", old_path, err);
	if (is_durable && !syncfs_reports_errors())
		return rg_error_set(err, RGE_STATE, "this kernel's syncfs does not report errors (Linux 5.8 does)");
	return learn_old(target, err);
}

/* Which of its short cuts does this file system allow? */
static void
learn_file_system(RgTarget *target)
{
	int			from = openat(target->old_fd, "PG_VERSION", O_RDONLY | O_CLOEXEC);
	int			to = openat(target->new_fd, "PG_VERSION", O_WRONLY | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);

	target->can_direct = to >= 0;
	if (to < 0)
		to = openat(target->new_fd, "PG_VERSION", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	target->can_clone = from >= 0 && to >= 0 && ioctl(to, FICLONE, from) == 0;
	if (from >= 0)
		(void) close(from);
	if (to >= 0)
		(void) close(to);
	(void) unlinkat(target->new_fd, "PG_VERSION", 0);
}

int
rg_target_make(RgTarget *target, const char *new_path, RgError *err)
{
	target->new_path = new_path;
	(void) umask(0);
	if (mkdir(new_path, target->directory_mode) != 0)
		return io_error("create", new_path, err);
	target->new_fd = open(new_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (target->new_fd < 0)
		return io_error("open", new_path, err);
	learn_file_system(target);
	return 0;
}

void
rg_target_close(RgTarget *target)
{
	if (target->old_fd >= 0)
		(void) close(target->old_fd);
	if (target->new_fd >= 0)
		(void) close(target->new_fd);
	target->old_fd = target->new_fd = -1;
}

int
rg_target_make_directory(void *target, const char *path, RgError *err)
{
	RgTarget   *t = target;

	return mkdirat(t->new_fd, path, t->directory_mode) == 0 ? 0 : io_error("create", path, err);
}

bool
rg_target_clone(RgTarget *target, const char *path)
{
	int			from;
	int			to;
	bool		is_clone;

	if (!target->can_clone)
		return false;
	from = openat(target->old_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (from < 0)
		return false;
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

int
rg_target_check_space(const RgTarget *target, uint64_t bytes, RgError *err)
{
	struct statvfs fs;
	uint64_t	needed = bytes + SPARE_BYTES;
	uint64_t	available;
	int			rc;

	if (target->can_clone || fstatvfs(target->new_fd, &fs) != 0)
		return 0;
	available = (uint64_t) fs.f_bavail * fs.f_frsize;
	if (available >= needed)
		return 0;
	rc = rg_error_set(err, RGE_LIMIT, "the copy needs %" PRIu64 " bytes beside the old directory, %" PRIu64 " are free",
					  needed, available);
	rg_error_hint(err, FULL_HINT);
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
	if (target->is_durable && syncfs(target->new_fd) != 0)
		return io_error("sync", target->new_path, err);
	return 0;
}
