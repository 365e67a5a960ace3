/*
 * regent-load.c
 *	  A client that counts every acknowledged commit.
 *
 * Inserts numbered rows, one transaction each, as fast as told, into whichever
 * of the given servers takes writes; writes down when each was acknowledged
 * and by whom.  Its own short deadlines (not libpq's) end what does not
 * answer.  Like an application it holds one connection, and when that fails
 * tries the servers in turn, with 10 ms between two tries of the same.  A number whose outcome is unknown is never used again, so that
 * afterwards every acknowledged number must be found exactly once.
 *
 * Output file: one line per acknowledged row, "ID MICROSECONDS PORT", on the
 * monotonic clock.  On SIGTERM or after --seconds a summary goes to standard
 * output as JSON: outage_ms is the gap between the last acknowledgement of one
 * server and the first of another one (without such a move the largest gap,
 * gap_ms).
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HOSTS_MAX 16
#define RETRY_US 10000			/* before the same server is tried again */

typedef struct Host
{
	char		conninfo[1024];
	const char *port;			/* in the argument of --hosts */
	PGconn	   *conn;
	int64_t		not_before;		/* microseconds: do not try earlier */
} Host;

typedef struct Load
{
	Host		hosts[HOSTS_MAX];
	int			nhosts;
	int			current;
	int64_t		deadline_us;
	int64_t		pause_us;
	int64_t		next_id;
	int64_t		acked;
	int64_t		unknown;
	int64_t		refused;
	int64_t		last_ack_us;
	int64_t		gap_us;
	int64_t		move_us;		/* gap at the last change of the server; 0 = none */
	int			move_from;
	int			last_host;
	FILE	   *out;
	int			after_move;
} Load;

static volatile sig_atomic_t stopping;

static void
on_signal(int sig)
{
	(void) sig;
	stopping = 1;
}

static int64_t
now_us(void)
{
	struct timespec ts;

	(void) clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static bool
wait_for(PGconn *conn, short events, int64_t until)
{
	struct pollfd pfd = {PQsocket(conn), events, 0};

	/* told to stop in the middle of a statement: its answer is waited for all the same */
	for (;;)
	{
		int64_t		left = until - now_us();
		int			ready;

		if (pfd.fd < 0 || left <= 0)
			return false;
		ready = poll(&pfd, 1, (int) (left / 1000) + 1);
		if (ready >= 0 || errno != EINTR)
			return ready > 0;
	}
}

static void
drop(Host *h)
{
	PQfinish(h->conn);
	h->conn = NULL;
	h->not_before = now_us() + RETRY_US;
}

static bool
open_host(Load *l, Host *h)
{
	int64_t		until = now_us() + l->deadline_us;
	PostgresPollingStatusType state = PGRES_POLLING_WRITING;

	h->conn = PQconnectStart(h->conninfo);
	while (h->conn != NULL && PQstatus(h->conn) != CONNECTION_BAD)
	{
		if (state == PGRES_POLLING_OK)
			return true;
		if (state == PGRES_POLLING_FAILED ||
			!wait_for(h->conn, state == PGRES_POLLING_READING ? POLLIN : POLLOUT, until))
			break;
		state = PQconnectPoll(h->conn);
	}
	drop(h);
	return false;
}

/* One statement within the deadline; NULL = no answer. */
static PGresult *
run(Load *l, Host *h, const char *sql, const char *const *values, int n)
{
	int64_t		until = now_us() + l->deadline_us;
	PGresult   *res;
	PGresult   *last = NULL;

	if (PQsendQueryParams(h->conn, sql, n, NULL, values, NULL, NULL, 0) == 0)
		return NULL;
	for (;;)
	{
		while (PQisBusy(h->conn))
			if (!wait_for(h->conn, POLLIN, until) || PQconsumeInput(h->conn) == 0)
			{
				PQclear(last);
				return NULL;
			}
		res = PQgetResult(h->conn);
		if (res == NULL)
			return last;
		PQclear(last);
		last = res;
	}
}

static void
note_ack(Load *l, int64_t id, int host)
{
	int64_t		now = now_us();

	if (l->acked > 0 && now - l->last_ack_us > l->gap_us)
		l->gap_us = now - l->last_ack_us;
	if (l->acked > 0 && l->last_host != host)
	{
		l->move_us = now - l->last_ack_us;
		l->move_from = l->last_host;
		l->after_move = 1;
	}
	if (l->after_move > 0)
		l->after_move++;
	l->acked++;
	l->last_ack_us = now;
	l->last_host = host;
	if (l->out != NULL)
	{
		(void) fprintf(l->out, "%" PRId64 " %" PRId64 " %s\n", id, now, l->hosts[host].port);
		(void) fflush(l->out);
	}
}

/* True when the row was acknowledged. */
static bool
insert_row(Load *l, int host)
{
	Host	   *h = &l->hosts[host];
	char		id[24];
	const char *values[1] = {id};
	const char *state;
	PGresult   *res;
	bool		read_only;

	(void) snprintf(id, sizeof(id), "%" PRId64, l->next_id);
	res = run(l, h, "INSERT INTO regent_load (id) VALUES ($1)", values, 1);
	if (res != NULL && PQresultStatus(res) == PGRES_COMMAND_OK)
	{
		PQclear(res);
		note_ack(l, l->next_id++, host);
		return true;
	}
	state = res != NULL ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : NULL;
	read_only = state != NULL && strcmp(state, "25006") == 0;
	if (read_only)
		l->refused++;
	else
	{
		/* nobody knows: the number is spent */
		l->unknown++;
		l->next_id++;
	}
	drop(h);
	PQclear(res);
	return false;
}

static void
turn(Load *l)
{
	Host	   *h = &l->hosts[l->current];

	if (now_us() >= h->not_before && (h->conn != NULL || open_host(l, h)) &&
		insert_row(l, l->current))
	{
		if (l->pause_us > 0)
			(void) usleep((useconds_t) l->pause_us);
		return;
	}
	l->current = (l->current + 1) % l->nhosts;
	if (now_us() < l->hosts[l->current].not_before)
		(void) usleep(300);
}

static void
summary(const Load *l)
{
	(void) printf("{\"acked\":%" PRId64 ",\"unknown\":%" PRId64 ",\"refused\":%" PRId64
				  ",\"last_id\":%" PRId64 ",\"gap_ms\":%.1f,\"outage_ms\":%.1f,\"from_port\":%s,\"to_port\":%s}\n",
				  l->acked, l->unknown, l->refused, l->next_id - 1, (double) l->gap_us / 1000.0,
				  (double) (l->move_us > 0 ? l->move_us : l->gap_us) / 1000.0,
				  l->move_us > 0 ? l->hosts[l->move_from].port : "null",
				  l->move_us > 0 ? l->hosts[l->last_host].port : "null");
}

static void
add_hosts(Load *l, const char *base, char *list)
{
	char	   *save = NULL;

	for (char *item = strtok_r(list, ",", &save); item != NULL && l->nhosts < HOSTS_MAX;
		 item = strtok_r(NULL, ",", &save))
	{
		Host	   *h = &l->hosts[l->nhosts++];
		char	   *colon = strrchr(item, ':');

		if (colon != NULL)
			*colon = '\0';
		h->port = colon != NULL ? colon + 1 : "5432";
		(void) snprintf(h->conninfo, sizeof(h->conninfo), "%s host=%s port=%s application_name=regent-load",
						base, item, h->port);
	}
}

static int
usage(void)
{
	(void) fprintf(stderr,
				   "usage: regent-load --hosts HOST:PORT,… [--conninfo \"user=… dbname=…\"] [--out FILE]\n"
				   "         [--seconds N] [--pause-ms N] [--deadline-ms N] [--first-id N] [--until-move N]\n"
				   "The table regent_load (id bigint PRIMARY KEY) must be there.\n");
	return 2;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{"hosts", required_argument, NULL, 'h'}, {"conninfo", required_argument, NULL, 'c'},
		{"out", required_argument, NULL, 'o'}, {"seconds", required_argument, NULL, 's'},
		{"pause-ms", required_argument, NULL, 'p'}, {"deadline-ms", required_argument, NULL, 'd'},
		{"first-id", required_argument, NULL, 'f'}, {"until-move", required_argument, NULL, 'm'},
		{NULL, 0, NULL, 0}
	};
	static Load l;
	const char *base = "";
	char	   *hosts = NULL;
	int64_t		end = INT64_MAX;
	int			rows_after_move = 0;
	int			opt;

	l.deadline_us = 500000;
	l.next_id = 1;
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (opt)
		{
			case 'h':
				hosts = optarg;
				break;
			case 'c':
				base = optarg;
				break;
			case 'o':
				l.out = fopen(optarg, "w");
				if (l.out == NULL)
				{
					perror(optarg);
					return 1;
				}
				break;
			case 's':
				end = now_us() + atoll(optarg) * 1000000;
				break;
			case 'p':
				l.pause_us = (int64_t) (atof(optarg) * 1000);
				break;
			case 'd':
				l.deadline_us = atoll(optarg) * 1000;
				break;
			case 'f':
				l.next_id = atoll(optarg);
				break;
			case 'm':
				rows_after_move = atoi(optarg);
				break;
			default:
				return usage();
		}
	if (hosts == NULL || optind < argc)
		return usage();
	add_hosts(&l, base, hosts);
	(void) signal(SIGTERM, on_signal);
	(void) signal(SIGINT, on_signal);
	(void) signal(SIGPIPE, SIG_IGN);
	while (!stopping && now_us() < end && (rows_after_move == 0 || l.after_move <= rows_after_move))
		turn(&l);
	summary(&l);
	for (int i = 0; i < l.nhosts; i++)
		PQfinish(l.hosts[i].conn);
	if (l.out != NULL)
		(void) fclose(l.out);
	return 0;
}
