/*
 * pg_connect.c
 *	  Opening a session with libpq's polling functions.
 *
 * libpq must never look up a name itself: getaddrinfo() blocks the loop as
 * long as a resolver pleases (F39).  So a host that is neither an address nor
 * a socket directory is only used with hostaddr beside it.
 */
#include "pg_private.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "pg_failure.h"

static bool
is_numeric(const char *host)
{
	unsigned char buf[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, host, buf) == 1 || inet_pton(AF_INET6, host, buf) == 1;
}

/*
 * gssencmode is off because asking for Kerberos tickets may block on the network.  The
 * keepalives end an idle session to a host that has vanished, 11 s after its last word.
 */
static PGconn *
start_libpq(const RgPgParams *p)
{
	const char *hostaddr = p->hostaddr[0] != '\0' ? p->hostaddr : is_numeric(p->host) ? p->host : NULL;
	const char *passfile = p->passfile[0] != '\0' ? p->passfile : NULL;
	const char *sslmode = p->sslmode[0] != '\0' ? p->sslmode : NULL;
	char		port[16];
	const char *const options[][2] = {
		{"host", p->host},
		{"hostaddr", hostaddr},
		{"port", port},
		{"dbname", p->dbname},
		{"user", p->user},
		{"passfile", passfile},
		{"sslmode", sslmode},
		{"application_name", p->application_name},
		{"client_encoding", "UTF8"},
		{"gssencmode", "disable"},
		{"target_session_attrs", "any"},
		{"keepalives", "1"},
		{"keepalives_idle", "5"},
		{"keepalives_interval", "2"},
		{"keepalives_count", "3"},
		{"tcp_user_timeout", "11000"},
	};
	const int	n = sizeof(options) / sizeof(options[0]);
	const char *keywords[sizeof(options) / sizeof(options[0]) + 1];
	const char *values[sizeof(options) / sizeof(options[0]) + 1];

	snprintf(port, sizeof(port), "%d", p->port);
	for (int i = 0; i < n; i++)
	{
		keywords[i] = options[i][0];
		values[i] = options[i][1];
	}
	keywords[n] = NULL;
	values[n] = NULL;

	/* dbname is not expanded as a connection string */
	return PQconnectStartParams(keywords, values, 0);
}

bool
rg_pg_connect_start(RgPg *pg)
{
	const RgPgParams *p = &pg->params;

	if (p->hostaddr[0] == '\0' && p->host[0] != '/' && !is_numeric(p->host))
		return false;
	pg->conn = start_libpq(p);
	if (pg->conn == NULL || PQstatus(pg->conn) == CONNECTION_BAD)
		return false;
	PQsetErrorVerbosity(pg->conn, PQERRORS_VERBOSE);
	PQsetNoticeReceiver(pg->conn, rg_pg_receive_notice, pg);
	rg_pg_arm(pg, EV_WRITE);
	return true;
}

void
rg_pg_connect_failed(RgPg *pg)
{
	RgPgFailure failure;

	if (pg->conn == NULL)
		rg_pg_failure_set(&failure, RG_PG_UNREACHABLE, "no address is known for host \"%.80s\"", pg->params.host);
	else if (PQconnectionNeedsPassword(pg->conn))
	{
		/* it answered; the code is the one that it would have sent for a wrong password */
		rg_pg_failure_set(&failure, RG_PG_SERVER, "the server asks for a password and there is none for role \"%s\"",
						  pg->params.user);
		strcpy(failure.sqlstate, "28P01");
	}
	else
		rg_pg_failure_connect(&failure, PQerrorMessage(pg->conn));
	rg_pg_end(pg, &failure);
}

void
rg_pg_connect_timed_out(RgPg *pg)
{
	RgPgFailure failure;

	if (pg->conn == NULL || PQstatus(pg->conn) == CONNECTION_STARTED)
		rg_pg_failure_set(&failure, RG_PG_SILENT, "no connection within %d ms", pg->connect_ms);
	else
		rg_pg_failure_set(&failure, RG_PG_SILENT, "connected, but no answer within %d ms", pg->connect_ms);
	rg_pg_end(pg, &failure);
}

static void
connected(RgPg *pg)
{
	RgPgFailure fine = {.why = RG_PG_FINE};

	if (PQsetnonblocking(pg->conn, 1) != 0)
	{
		rg_pg_connect_failed(pg);
		return;
	}
	pg->state = PG_OPEN;
	rg_pg_arm(pg, EV_READ);
	rg_pg_arm_timer(pg);
	pg->on_state(pg->arg, pg, &fine);
}

void
rg_pg_connect_step(RgPg *pg)
{
	/* PQconnectPoll() may close the socket and open another one */
	rg_pg_disarm(pg);
	switch (PQconnectPoll(pg->conn))
	{
		case PGRES_POLLING_READING:
			rg_pg_arm(pg, EV_READ);
			break;
		case PGRES_POLLING_WRITING:
			rg_pg_arm(pg, EV_WRITE);
			break;
		case PGRES_POLLING_OK:
			connected(pg);
			break;
		default:
			rg_pg_connect_failed(pg);
			break;
	}
}
