/*
 * hold_syncfs.c
 *	  Preloaded into a helper and what it starts by tests: what syncfs() is called
 *	  for, and a disk that takes its time or fails.
 *
 * Each call adds the directory to SYNCFS_LOG.  While SYNCFS_LOG with the ending
 * ".hold" exists it waits, a minute at most; where the one with ".fail" does, it fails.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef int (*SyncFn) (int fd);

static int
is_there(const char *log, const char *ending)
{
	char		path[4096];

	(void) snprintf(path, sizeof(path), "%s%s", log, ending);
	return access(path, F_OK) == 0;
}

static void
note(const char *log, int fd)
{
	char		link[64];
	char		path[4096];
	ssize_t		len;
	FILE	   *file = fopen(log, "a");

	(void) snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path) - 1);
	if (file == NULL)
		return;
	fprintf(file, "%.*s\n", len > 0 ? (int) len : 0, path);
	(void) fclose(file);
}

int			syncfs(int fd);

int
syncfs(int fd)
{
	SyncFn		real = (SyncFn) dlsym(RTLD_NEXT, "syncfs");
	const char *log = getenv("SYNCFS_LOG");

	if (log == NULL)
		return real(fd);
	note(log, fd);
	for (int i = 0; i < 6000 && is_there(log, ".hold"); i++)
		(void) usleep(10000);
	if (is_there(log, ".fail"))
	{
		errno = EIO;
		return -1;
	}
	return real(fd);
}
