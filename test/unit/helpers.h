/*
 * helpers.h
 *	  What the io tests share: a temporary directory, a loop with a bound, a
 *	  listening socket that does what a test wants.
 *
 * A header with bodies, since each test program is one file.
 */
#ifndef RG_TEST_HELPERS_H
#define RG_TEST_HELPERS_H

#include <arpa/inet.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdbool.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"

#define UNUSED __attribute__((unused))

/* A new directory; removed by remove_directory(). */
static UNUSED const char *
make_directory(char *buf, size_t size)
{
	snprintf(buf, size, "%s/regent-unit.XXXXXX", getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
	assert_non_null(mkdtemp(buf));
	return buf;
}

static UNUSED void
remove_directory(const char *dir)
{
	char		command[512];

	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	assert_int_equal(system(command), 0);
}

static UNUSED void
write_file(const char *path, const char *text, mode_t mode)
{
	int			fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);

	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t) strlen(text));
	close(fd);
}

/* In dir: "old", a data directory as far as its PG_VERSION tells. */
static UNUSED void
make_old_directory(const char *dir)
{
	char		path[512];

	snprintf(path, sizeof(path), "%s/old", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/old/PG_VERSION", dir);
	write_file(path, "15\n", 0600);
}

/* The whole file; to be freed. */
static UNUSED char *
read_file(const char *path)
{
	struct stat st;
	char	   *text;
	int			fd = open(path, O_RDONLY);

	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	text = malloc((size_t) st.st_size + 1);
	assert_int_equal(read(fd, text, (size_t) st.st_size), st.st_size);
	text[st.st_size] = '\0';
	close(fd);
	return text;
}

/* The loop, precise: deadlines are what is tested. */
static UNUSED struct event_base *
make_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base;

	event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
	base = event_base_new_with_config(config);
	event_config_free(config);
	assert_non_null(base);
	return base;
}

/* For what comes at once on an idle machine: that it comes at all is asserted, not how busy the machine is. */
#define PATIENCE_MS 10000

/* Runs the loop until *counter has reached n, once at least; false when that takes longer than ms. */
static UNUSED bool
loop_until(struct event_base *base, const int *counter, int n, int ms)
{
	int64_t		end = rg_clock_now_ms() + ms;

	while (*counter < n)
	{
		event_base_loopexit(base, &(struct timeval) {.tv_usec = 10000});
		event_base_loop(base, EVLOOP_ONCE);
		if (rg_clock_now_ms() >= end)
			break;
	}
	return *counter >= n;
}

static UNUSED void
loop_for(struct event_base *base, int ms)
{
	static const int never = 0;

	(void) loop_until(base, &never, 1, ms);
}

/* A socket that listens on loopback; nobody accepts before the test does. */
static UNUSED int
listen_somewhere(int *ret_port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t	len = sizeof(sa);
	int			fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *) &sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *) &sa, &len), 0);
	*ret_port = ntohs(sa.sin_port);
	return fd;
}

/* Closes with a reset instead of an end of file. */
static UNUSED void
close_with_reset(int fd)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 0};

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	close(fd);
}

#endif							/* RG_TEST_HELPERS_H */
