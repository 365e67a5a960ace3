/*
 * http_socket.c
 *	  The control socket's file, and the address for balancers.
 *
 * The control socket is a file that its owner and group may use.  A stale one
 * from a process that was killed is removed, but only after a connect has
 * shown that nobody listens on it: two watchdogs never share a socket.
 */
#include "http_socket.h"

#include <errno.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 64

/* Removes a socket that nobody listens on; RGE_STATE where somebody does. */
static int
clear_way(const struct sockaddr_un *sa, RgError *err)
{
	struct stat st;
	int			fd;
	int			save_errno = 0;

	if (lstat(sa->sun_path, &st) != 0)
		return 0;				/* bind() will say what is wrong, if anything is */
	if (!S_ISSOCK(st.st_mode))
	{
		rg_error_set(err, RGE_STATE, "\"%s\" exists and is no socket", sa->sun_path);
		rg_error_hint(err, "Give control_socket a path of its own, or remove that file.");
		return RGE_STATE;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return rg_error_set(err, RGE_IO, "could not make a socket: %s", strerror(errno));
	if (connect(fd, (const struct sockaddr *) sa, sizeof(*sa)) != 0)
		save_errno = errno;
	close(fd);
	if (save_errno == ECONNREFUSED)
	{
		if (unlink(sa->sun_path) != 0 && errno != ENOENT)
			return rg_error_set(err, RGE_IO, "could not remove the stale socket \"%s\": %s",
								sa->sun_path, strerror(errno));
		return 0;
	}
	if (save_errno == ENOENT)
		return 0;
	rg_error_set(err, RGE_STATE, "another process listens on \"%s\"", sa->sun_path);
	rg_error_hint(err, "Stop the other regentd (ss -lxp src %s shows it), or set another control_socket.", sa->sun_path);
	return RGE_STATE;
}

static int
bind_unix(const struct sockaddr_un *sa, int *ret_fd, RgError *err)
{
	int			fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	mode_t		mask;
	int			rc;

	if (fd < 0)
		return rg_error_set(err, RGE_IO, "could not make a socket: %s", strerror(errno));

	/* the mode must be right from the first moment on */
	mask = umask(0117);
	rc = bind(fd, (const struct sockaddr *) sa, sizeof(*sa));
	umask(mask);
	if (rc != 0 || listen(fd, BACKLOG) != 0)
	{
		rg_error_set(err, RGE_IO, "could not listen on \"%s\": %s", sa->sun_path, strerror(errno));
		rg_error_hint(err, "The directory must exist and belong to the user that regentd runs as.");
		close(fd);
		return RGE_IO;
	}
	*ret_fd = fd;
	return 0;
}

int
rg_http_socket_unix(const char *path, int *ret_fd, RgError *err)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int			rc;

	if (strlen(path) >= sizeof(sa.sun_path) || path[0] != '/')
	{
		rg_error_set(err, RGE_ARGUMENT, "\"%.120s\" can't be a control socket", path);
		rg_error_hint(err, "Set control_socket to an absolute path of at most %zu bytes.", sizeof(sa.sun_path) - 1);
		return RGE_ARGUMENT;
	}
	strcpy(sa.sun_path, path);
	rc = clear_way(&sa, err);
	return rc != 0 ? rc : bind_unix(&sa, ret_fd, err);
}

int
rg_http_socket_tcp(const char *address, int *ret_fd, RgError *err)
{
	struct sockaddr_storage ss;
	int			len = sizeof(ss);
	int			one = 1;
	int			fd;

	memset(&ss, 0, sizeof(ss));
	if (evutil_parse_sockaddr_port(address, (struct sockaddr *) &ss, &len) != 0 ||
		((struct sockaddr_in *) &ss)->sin_port == 0)	/* at the same place for IPv6 */
	{
		rg_error_set(err, RGE_ARGUMENT, "\"%.100s\" can't be listened on", address);
		rg_error_hint(err, "Write http_listen as ADDRESS:PORT, for example 127.0.0.1:8008 or [::1]:8008.");
		return RGE_ARGUMENT;
	}
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
		bind(fd, (struct sockaddr *) &ss, (socklen_t) len) != 0 || listen(fd, BACKLOG) != 0)
	{
		rg_error_set(err, RGE_IO, "could not listen on %.100s: %s", address, strerror(errno));
		rg_error_hint(err, "Set another http_listen, or find who has it: ss -ltnp");
		if (fd >= 0)
			close(fd);
		return RGE_IO;
	}
	*ret_fd = fd;
	return 0;
}
