/*
 * crash_at_sync.c
 *	  Preloaded into regentd by tests: ends it, as SIGKILL would, at the Nth
 *	  time that its journal reaches the disk.
 *
 * The journal is fsynced before the first step of a decision runs, so these
 * are the seams between "decided" and "done".  CRASH_AT_SYNC=N counts from the
 * moment that the file named by CRASH_ARMED exists (the test makes it right
 * before the fault); CRASH_WHEN=before ends it with the line not yet on disk,
 * CRASH_WHEN=after with the line on disk and nothing done.
 */
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int (*SyncFn) (int fd);

static int	seen;

static int
is_journal(int fd)
{
	char		link[64];
	char		path[4096];
	ssize_t		len;

	(void) snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path) - 1);
	if (len <= 8)
		return 0;
	path[len] = '\0';
	return strcmp(path + len - 8, ".journal") == 0;
}

static int
counted(int fd)
{
	const char *armed = getenv("CRASH_ARMED");
	const char *at = getenv("CRASH_AT_SYNC");

	if (armed == NULL || at == NULL || access(armed, F_OK) != 0 || !is_journal(fd))
		return 0;
	return ++seen == atoi(at);
}

static int
sync_or_die(const char *name, int fd)
{
	SyncFn		real = (SyncFn) dlsym(RTLD_NEXT, name);
	const char *when = getenv("CRASH_WHEN");
	int			hit = counted(fd);
	int			ret;

	if (hit && when != NULL && strcmp(when, "before") == 0)
		(void) kill(getpid(), SIGKILL);
	ret = real(fd);
	if (hit)
		(void) kill(getpid(), SIGKILL);
	return ret;
}

int			fsync(int fd);
int			fdatasync(int fd);

int
fsync(int fd)
{
	return sync_or_die("fsync", fd);
}

int
fdatasync(int fd)
{
	return sync_or_die("fdatasync", fd);
}
