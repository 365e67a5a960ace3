/*
 * link.c
 *	  A network link of so many MB a second, in each direction, between a port
 *	  of this machine and another one.  Ends with the process that started it.
 *
 * Copies between two directories of one machine cost no network.  Through this
 * they do: all connections share the link.  By itself it carries more than ten times
 * of 1 Gbit/s (the benches measure it), so what it takes away is what it was told to.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 32
#define BUFFER_SIZE 262144
#define BURST_SECONDS 0.05
#define WAIT_MS 1				/* while the link is full */

/* One direction of a connection: what was read from one end and not yet sent to the other. */
typedef struct Flow
{
	bool		is_over;		/* nothing more comes */
	size_t		length;
	size_t		sent;
	char		buffer[BUFFER_SIZE];
} Flow;

typedef struct Connection
{
	bool		is_open;
	int			fd[2];
	Flow		flow[2];		/* flow[i] is read from fd[i] */
} Connection;

static Connection connections[CONNECTIONS_MAX];
static double allowed[2];		/* bytes that each direction may send now */
static double bytes_per_second;

static double
now(void)
{
	struct timespec t;

	(void) clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static void
refill(void)
{
	static double last = 0;
	double		t = now();

	for (int i = 0; i < 2; i++)
	{
		allowed[i] += (t - last) * bytes_per_second;
		if (allowed[i] > bytes_per_second * BURST_SECONDS)
			allowed[i] = bytes_per_second * BURST_SECONDS;
	}
	last = t;
}

static int
socket_at(int port, bool listens)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t) port)};
	int			fd = socket(AF_INET, SOCK_STREAM, 0);
	int			on = 1;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0)
		return -1;
	(void) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	(void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (listens ? bind(fd, (struct sockaddr *) &address, sizeof(address)) == 0 && listen(fd, 16) == 0
		: connect(fd, (struct sockaddr *) &address, sizeof(address)) == 0)
		return fd;
	(void) close(fd);
	return -1;
}

static void
take_connection(int listener, int target)
{
	int			client = accept(listener, NULL, NULL);
	int			server = client < 0 ? -1 : socket_at(target, false);
	int			on = 1;

	for (int i = 0; i < CONNECTIONS_MAX && server >= 0; i++)
	{
		Connection *c = &connections[i];

		if (c->is_open)
			continue;
		c->is_open = true;
		c->fd[0] = client;
		c->fd[1] = server;
		for (int k = 0; k < 2; k++)
		{
			c->flow[k].is_over = false;
			c->flow[k].length = 0;
			(void) fcntl(c->fd[k], F_SETFL, O_NONBLOCK);
		}
		(void) setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		return;
	}
	if (server >= 0)
		(void) close(server);
	if (client >= 0)
		(void) close(client);
}

static void
end_connection(Connection *c)
{
	(void) close(c->fd[0]);
	(void) close(c->fd[1]);
	c->is_open = false;
}

/* false: the connection has ended */
static bool
move(Connection *c, int from)
{
	Flow	   *flow = &c->flow[from];
	ssize_t		n;

	if (flow->length == 0 && !flow->is_over)
	{
		n = read(c->fd[from], flow->buffer, BUFFER_SIZE);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		flow->length = (size_t) n;
		flow->sent = 0;
		if (n == 0)
		{
			flow->is_over = true;
			(void) shutdown(c->fd[1 - from], SHUT_WR);
		}
	}
	if (flow->length > 0 && allowed[from] > 0)
	{
		n = write(c->fd[1 - from], flow->buffer + flow->sent, flow->length - flow->sent);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		allowed[from] -= (double) n;
		flow->sent += (size_t) n;
		if (flow->sent == flow->length)
			flow->length = 0;
	}
	return true;
}

/* Whether this end has something to wait for; true also when only the link is full. */
static bool
wants(const Connection *c, int end, short *ret_events)
{
	const Flow *in = &c->flow[end];
	const Flow *out = &c->flow[1 - end];

	*ret_events = 0;
	if (in->length == 0 && !in->is_over)
		*ret_events |= POLLIN;
	if (out->length > 0 && allowed[1 - end] > 0)
		*ret_events |= POLLOUT;
	return out->length > 0 && allowed[1 - end] <= 0;
}

static void
run(int listener, int target)
{
	for (;;)
	{
		struct pollfd fds[1 + 2 * CONNECTIONS_MAX];
		nfds_t		n = 1;
		bool		is_full = false;

		refill();
		fds[0] = (struct pollfd) {.fd = listener, .events = POLLIN};
		for (int i = 0; i < CONNECTIONS_MAX; i++)
			for (int end = 0; end < 2 && connections[i].is_open; end++)
			{
				fds[n].fd = connections[i].fd[end];
				is_full |= wants(&connections[i], end, &fds[n].events);
				/* an end that is not waited for must not wake us because it is gone */
				if (fds[n].events != 0)
					n++;
			}
		if (poll(fds, n, is_full ? WAIT_MS : -1) < 0 && errno != EINTR)
			return;
		refill();
		if (fds[0].revents != 0)
			take_connection(listener, target);
		for (int i = 0; i < CONNECTIONS_MAX; i++)
		{
			Connection *c = &connections[i];

			if (c->is_open && (!move(c, 0) || !move(c, 1) || (c->flow[0].is_over && c->flow[1].is_over)))
				end_connection(c);
		}
	}
}

int
main(int argc, char **argv)
{
	int			listener;

	if (argc != 4 || atof(argv[3]) <= 0)
	{
		(void) fprintf(stderr, "usage: link PORT TARGET-PORT MB-PER-SECOND\n");
		return 2;
	}
	(void) prctl(PR_SET_PDEATHSIG, SIGTERM);
	(void) signal(SIGPIPE, SIG_IGN);
	bytes_per_second = atof(argv[3]) * 1e6;
	listener = socket_at(atoi(argv[1]), true);
	if (listener < 0)
	{
		(void) fprintf(stderr, "link: can't listen on port %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	run(listener, atoi(argv[2]));
	return 1;
}
