/*
 * load.c
 *	  chaos-load CONFIGURATION JOURNAL FIRST_ID: clients that write numbered rows.
 *
 * The same program is the load, whose clients look for the primary among all
 * servers, and the observer, whose clients try a write on each server through
 * its own unix socket.  Numbers are never used twice: the caller gives each
 * start a range of its own.  Ends at SIGTERM.
 */
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLIENTS_MAX 64

static volatile sig_atomic_t stopping;

static void
on_signal(int sig)
{
	(void) sig;
	stopping = 1;
}

static int
read_clients(const char *file, Client *clients)
{
	char		line[2048];
	int			n = 0;
	FILE	   *f = fopen(file, "r");

	if (f == NULL)
		return -1;
	while (n < CLIENTS_MAX && fgets(line, sizeof(line), f) != NULL)
		if (!client_parse(&clients[n++], line))
		{
			(void) fprintf(stderr, "chaos-load: line %d of %s is malformed\n", n, file);
			n = -1;
			break;
		}
	(void) fclose(f);
	return n;
}

/* One look at all sockets, then each client's turn. */
static void
turn(Client *clients, int n, Journal *j)
{
	struct pollfd fds[CLIENTS_MAX];
	int64_t		until = INT64_MAX;
	int64_t		asked_at;
	int64_t		left;

	for (int i = 0; i < n; i++)
	{
		int64_t		at = client_wants(&clients[i], &fds[i]);

		if (at < until)
			until = at;
	}
	asked_at = client_now();
	left = until <= asked_at ? 0 : until - asked_at;
	if (left > 50000)
		left = 50000;
	if (poll(fds, (nfds_t) n, (int) ((left + 999) / 1000)) < 0 && errno != EINTR)
		exit(1);
	for (int i = 0; i < n; i++)
		client_turn(&clients[i], j, fds[i].fd >= 0 && fds[i].revents != 0, asked_at);
}

int
main(int argc, char **argv)
{
	static Client clients[CLIENTS_MAX];
	Journal		j;
	int			n;

	if (argc != 4)
	{
		(void) fprintf(stderr, "usage: chaos-load CONFIGURATION JOURNAL FIRST_ID\n");
		return 2;
	}
	n = read_clients(argv[1], clients);
	j.fd = open(argv[2], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	j.next_id = atoll(argv[3]);
	if (n <= 0 || j.fd < 0)
	{
		perror("chaos-load");
		return 1;
	}
	(void) signal(SIGTERM, on_signal);
	(void) signal(SIGINT, on_signal);
	(void) signal(SIGPIPE, SIG_IGN);
	client_begin(&j);
	while (!stopping)
		turn(clients, n, &j);
	for (int i = 0; i < n; i++)
		client_end(&clients[i], &j);
	return 0;
}
