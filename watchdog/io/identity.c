/*
 * identity.c
 *	  A random id, a counter of starts, and the lock that makes them one watchdog's.
 *
 * The file is small text, and it is replaced as a whole (write beside,
 * fsync, rename, fsync of the directory), so a crash leaves the old one or the
 * new one:
 *
 *	  regent watchdog identity 1
 *	  id 0b5c1d0e-2a4f-4c3e-9a53-7d0a1d8a6a11
 *	  counter 12
 *
 * The counter is on disk before anybody is told of it: a node refuses a
 * lower counter than one it has seen, so a counter used twice would let two
 * starts speak as one.  For the same reason it grows by a random step: two copies
 * of one directory (never make them) then do not count alike.  A damaged file is an error and never replaced by a new
 * identity: a new id is another watchdog, which no node obeys.
 */
#include "identity.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define IDENTITY_TEXT_MAX 256
#define COUNTER_STEP_MAX 1000

/* Opens the directory, making its last component where it is missing. */
static int
open_directory(const char *directory, bool create, int *ret_fd, RgError *err)
{
	struct stat st;
	int			fd;

	if (create && mkdir(directory, 0700) != 0 && errno != EEXIST && errno != ENOENT)
	{
		rg_error_set(err, RGE_IO, "could not make state directory \"%s\": %s",
					 directory, strerror(errno));
		rg_error_hint(err, "Make it and give it to the user that regentd runs as: "
					  "install -d -m 0700 -o USER %s", directory);
		return RGE_IO;
	}
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0)
	{
		rg_error_set(err, RGE_IO, "could not open state directory \"%s\": %s",
					 directory, strerror(errno));
		rg_error_hint(err, "Make it and give it to the user that regentd runs as: "
					  "install -d -m 0700 -o USER %s", directory);
		if (fd >= 0)
			close(fd);
		return RGE_IO;
	}
	if ((st.st_mode & S_IWOTH) != 0)
	{
		close(fd);
		rg_error_set(err, RGE_TRUST, "state directory \"%s\" can be written by everybody", directory);
		rg_error_hint(err, "Take that right away: chmod o-w %s", directory);
		return RGE_TRUST;
	}
	*ret_fd = fd;
	return 0;
}

/* Who holds the lock, as it wrote itself; for the message only. */
static void
read_holder(int fd, char *buf, size_t size)
{
	ssize_t		n = pread(fd, buf, size - 1, 0);

	buf[n > 0 ? n : 0] = '\0';
	buf[strspn(buf, "0123456789")] = '\0';
}

static int
take_lock(int dir_fd, const char *directory, int *ret_fd, RgError *err)
{
	char		pid[32];
	int			fd = openat(dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return rg_error_set(err, RGE_IO, "could not open \"%s/lock\": %s",
							directory, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) != 0)
	{
		int			save_errno = errno;

		read_holder(fd, pid, sizeof(pid));
		close(fd);
		if (save_errno != EWOULDBLOCK)
			return rg_error_set(err, RGE_IO, "could not lock \"%s/lock\": %s",
								directory, strerror(save_errno));
		rg_error_set(err, RGE_STATE, "another regentd uses state directory \"%s\"", directory);
		if (pid[0] != '\0')
			rg_error_detail(err, "Process %s holds its lock.", pid);
		rg_error_hint(err, "Stop the other one first, or give this cluster a state_directory "
					  "of its own; never copy a state directory.");
		return RGE_STATE;
	}
	snprintf(pid, sizeof(pid), "%ld\n", (long) getpid());
	if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, strlen(pid), 0) < 0)
	{
		int			save_errno = errno;

		/* the lock counts, the number in it is only for people: a full disk is reported below */
		if (save_errno != ENOSPC && save_errno != EDQUOT && save_errno != EFBIG)
		{
			close(fd);
			return rg_error_set(err, RGE_IO, "could not write \"%s/lock\": %s",
								directory, strerror(save_errno));
		}
	}
	*ret_fd = fd;
	return 0;
}

static bool
is_uuid(const char *text)
{
	if (strlen(text) != 36)
		return false;
	for (int i = 0; i < 36; i++)
	{
		bool		is_dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (is_dash ? text[i] != '-' : strchr("0123456789abcdef", text[i]) == NULL)
			return false;
	}
	return true;
}

/* RGE_STATE: there is none. */
static int
read_file(int dir_fd, const char *directory, RgIdentity *ret_identity, RgError *err)
{
	char		text[IDENTITY_TEXT_MAX];
	char		expected[IDENTITY_TEXT_MAX];
	char		id[64];
	int64_t		counter;
	ssize_t		n;
	int			fd = openat(dir_fd, "identity", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 && errno == ENOENT)
		return rg_error_set(err, RGE_STATE, "there is no identity in state directory \"%s\"", directory);
	if (fd < 0)
		return rg_error_set(err, RGE_IO, "could not open \"%s/identity\": %s",
							directory, strerror(errno));
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
	{
		rg_error_set(err, RGE_IO, "could not read \"%s/identity\": %s", directory, strerror(errno));
		close(fd);
		return RGE_IO;
	}
	close(fd);
	text[n] = '\0';

	/* what is read must be what would be written: nothing before, between or after */
	if (sscanf(text, "regent watchdog identity 1\nid %63s\ncounter %" SCNd64, id, &counter) == 2)
	{
		snprintf(expected, sizeof(expected), "regent watchdog identity 1\nid %s\ncounter %" PRId64 "\n",
				 id, counter);
		if (is_uuid(id) && counter >= 0 && strcmp(text, expected) == 0)
		{
			memcpy(ret_identity->id, id, sizeof(ret_identity->id));
			ret_identity->counter = counter;
			return 0;
		}
	}
	rg_error_set(err, RGE_FORMAT, "file \"%s/identity\" is damaged", directory);
	rg_error_detail(err, "It must hold the lines \"regent watchdog identity 1\", \"id UUID\" and \"counter N\".");
	rg_error_hint(err, "Without it this watchdog is another one, which no node obeys: write the id "
				  "that the nodes show (regent.state in their data directories) and a counter above "
				  "theirs into it.");
	return RGE_FORMAT;
}

/* After this the identity is on disk, whatever happens to the machine. */
static int
write_file(int dir_fd, const char *directory, const RgIdentity *identity, RgError *err)
{
	char		text[IDENTITY_TEXT_MAX];
	const char *what = "write";
	size_t		len;
	int			save_errno;
	int			fd = openat(dir_fd, "identity.tmp", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	snprintf(text, sizeof(text), "regent watchdog identity 1\nid %s\ncounter %" PRId64 "\n",
			 identity->id, identity->counter);
	len = strlen(text);
	errno = 0;
	if (fd < 0)
		what = "create";
	else if (fchmod(fd, 0600) == 0 && write(fd, text, len) == (ssize_t) len && fsync(fd) == 0)
	{
		what = "rename";
		if (renameat(dir_fd, "identity.tmp", dir_fd, "identity") == 0)
		{
			what = "flush the directory of";
			if (fsync(dir_fd) == 0)
			{
				close(fd);
				return 0;
			}
		}
	}

	save_errno = errno != 0 ? errno : ENOSPC;
	if (fd >= 0)
		close(fd);
	unlinkat(dir_fd, "identity.tmp", 0);
	rg_error_set(err, RGE_IO, "could not %s \"%s/identity\": %s", what, directory, strerror(save_errno));
	if (save_errno == ENOSPC || save_errno == EDQUOT)
		rg_error_hint(err, "Free some space: df %s", directory);
	return RGE_IO;
}

/* Version 4, from the kernel's generator. */
static int
make_uuid(char *buf, size_t size, RgError *err)
{
	unsigned char b[16];

	if (getrandom(b, sizeof(b), 0) != (ssize_t) sizeof(b))
		return rg_error_set(err, RGE_IO, "could not get random bytes: %s", strerror(errno));
	b[6] = (unsigned char) ((b[6] & 0x0F) | 0x40);
	b[8] = (unsigned char) ((b[8] & 0x3F) | 0x80);
	snprintf(buf, size, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
			 b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7],
			 b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
	return 0;
}

/* 1 to COUNTER_STEP_MAX. */
static int
random_step(int64_t *ret_step, RgError *err)
{
	uint32_t	number;

	if (getrandom(&number, sizeof(number), 0) != (ssize_t) sizeof(number))
		return rg_error_set(err, RGE_IO, "could not get random bytes: %s", strerror(errno));
	*ret_step = 1 + number % COUNTER_STEP_MAX;
	return 0;
}

int
rg_identity_open(const char *directory, RgIdentity *ret_identity, RgError *err)
{
	RgIdentity	identity = {.lock_fd = -1};
	int64_t		step = 0;
	int			dir_fd = -1;
	int			rc;

	rc = open_directory(directory, true, &dir_fd, err);
	if (rc != 0)
		goto out;
	rc = take_lock(dir_fd, directory, &identity.lock_fd, err);
	if (rc != 0)
		goto out;
	rc = read_file(dir_fd, directory, &identity, err);
	if (rc == RGE_STATE)
		rc = make_uuid(identity.id, sizeof(identity.id), err);
	if (rc != 0)
		goto out;
	if (identity.counter > INT64_MAX - COUNTER_STEP_MAX)
	{
		rc = rg_error_set(err, RGE_LIMIT, "the start counter in \"%s/identity\" is used up", directory);
		goto out;
	}
	rc = random_step(&step, err);
	if (rc != 0)
		goto out;
	identity.is_first = identity.counter == 0;
	identity.counter += step;
	rc = write_file(dir_fd, directory, &identity, err);
	if (rc != 0)
		goto out;
	rg_error_clear(err);
	*ret_identity = identity;
	identity.lock_fd = -1;

out:
	rg_identity_close(&identity);
	if (dir_fd >= 0)
		close(dir_fd);
	return rc;
}

int
rg_identity_read(const char *directory, RgIdentity *ret_identity, RgError *err)
{
	RgIdentity	identity = {.lock_fd = -1};
	int			dir_fd;
	int			rc;

	rc = open_directory(directory, false, &dir_fd, err);
	if (rc != 0)
		return rc;
	rc = read_file(dir_fd, directory, &identity, err);
	close(dir_fd);
	if (rc == 0)
		*ret_identity = identity;
	return rc;
}

int
rg_identity_ensure(const char *directory, RgIdentity *ret_identity, RgError *err)
{
	RgIdentity	identity = {.lock_fd = -1};
	int			lock_fd = -1;
	int			dir_fd = -1;
	int			rc;

	rc = open_directory(directory, true, &dir_fd, err);
	if (rc != 0)
		goto out;
	rc = read_file(dir_fd, directory, &identity, err);
	if (rc == RGE_STATE)
	{
		/* under the lock look again: a regentd may have been faster */
		rc = take_lock(dir_fd, directory, &lock_fd, err);
		if (rc != 0)
			goto out;
		rc = read_file(dir_fd, directory, &identity, err);
		if (rc == RGE_STATE)
		{
			rc = make_uuid(identity.id, sizeof(identity.id), err);
			if (rc == 0)
				rc = write_file(dir_fd, directory, &identity, err);
		}
	}
	if (rc != 0)
		goto out;
	rg_error_clear(err);
	*ret_identity = identity;

out:
	if (lock_fd >= 0)
		close(lock_fd);
	if (dir_fd >= 0)
		close(dir_fd);
	return rc;
}

void
rg_identity_close(RgIdentity *identity)
{
	if (identity == NULL || identity->lock_fd < 0)
		return;
	close(identity->lock_fd);
	identity->lock_fd = -1;
}
