/*
 * session.c
 *	  libpq with deadlines, and its failures as sentences.
 *
 * libpq would look up host names itself and wait as long as the resolver
 * pleases; so names are resolved before, asynchronously, and given up in time.
 */
#include "session.h"
#include "../base/clock.h"
#include "../io/pg_failure.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RESOLVE_MS 3000
#define OPTIONS_MAX 64

typedef struct Options
{
	int			n;
	const char *keywords[OPTIONS_MAX + 1];
	const char *values[OPTIONS_MAX + 1];
} Options;

static void
add_option(Options *options, const char *keyword, const char *value)
{
	if (options->n == OPTIONS_MAX || value == NULL || *value == '\0')
		return;
	options->keywords[options->n] = keyword;
	options->values[options->n++] = value;
}

static void
take_address(struct gaicb *request, char *buf, size_t size)
{
	if (gai_error(request) == 0 && request->ar_result != NULL)
		getnameinfo(request->ar_result->ai_addr, request->ar_result->ai_addrlen,
					buf, (socklen_t) size, NULL, 0, NI_NUMERICHOST);
}

int
rg_session_resolve(const char *host, char *buf, size_t size, RgError *err)
{
	unsigned char address[sizeof(struct in6_addr)];
	const struct timespec limit = {.tv_sec = RESOLVE_MS / 1000};
	struct gaicb *request;
	struct gaicb *list[1];
	int			rc;

	buf[0] = '\0';
	if (host[0] == '/' || inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
		return 0;
	request = calloc(1, sizeof(*request));
	if (request == NULL)
		return rg_error_set(err, RGE_NOMEM, "out of memory");
	request->ar_name = host;
	list[0] = request;
	rc = getaddrinfo_a(GAI_NOWAIT, list, 1, NULL);
	if (rc == 0)
		gai_suspend((const struct gaicb *const *) list, 1, &limit);
	if (rc == 0 && gai_error(request) == EAI_INPROGRESS && gai_cancel(request) != EAI_CANCELED)
	{
		/* the resolver's thread still uses the request: it is left to it */
		rg_error_set(err, RGE_TIMEOUT, "host name \"%.100s\" could not be resolved within %d s",
					 host, RESOLVE_MS / 1000);
		rg_error_hint(err, "Write its address as \"host\", or add it to /etc/hosts.");
		return RGE_TIMEOUT;
	}
	if (rc == 0)
		take_address(request, buf, size);
	if (buf[0] == '\0')
	{
		rc = rg_error_set(err, RGE_IO, "host name \"%.100s\" can't be resolved: %s", host,
						  gai_strerror(rc != 0 ? rc : gai_error(request)));
		rg_error_hint(err, "Write its address as \"host\", or add it to /etc/hosts.");
	}
	if (request->ar_result != NULL)
		freeaddrinfo(request->ar_result);
	free(request);
	return buf[0] == '\0' ? rc : 0;
}

/* What a failure means, as a sentence with a fix. */
static int
explain(RgSession *session, const RgPgFailure *failure, RgError *err)
{
	RgPgFailure copy = *failure;
	RgPgParams	params = {0};
	const char *fix = NULL;
	const RgNodeConfig *node = session->node;

	snprintf(params.user, sizeof(params.user), "%.63s", session->user);
	snprintf(params.dbname, sizeof(params.dbname), "%.63s", session->dbname);
	if (!session->is_admin)
		snprintf(params.passfile, sizeof(params.passfile), "%s", session->config->passfile);
	snprintf(params.host, sizeof(params.host), "%s", node->host);
	rg_pg_failure_add_hint(&copy, &params);
	snprintf(session->sqlstate, sizeof(session->sqlstate), "%s", failure->sqlstate);

	if (failure->why == RG_PG_REFUSED)
	{
		rg_error_set(err, RGE_REFUSED, "nobody listens on %.100s port %d", node->host, node->port);
		fix = "Start the server, or correct its listen_addresses and port, or \"host\" and \"port\" in regent.conf.";
	}
	else if (failure->why == RG_PG_SILENT)
	{
		rg_error_set(err, RGE_TIMEOUT, "%.100s port %d does not answer", node->host, node->port);
		fix = "Check the network between here and the node, and firewalls.";
	}
	else if (strcmp(failure->sqlstate, "28P01") == 0)
		rg_error_set(err, RGE_REFUSED, "the password of role \"%.63s\" is missing or wrong", session->user);
	else if (strcmp(failure->sqlstate, "28000") == 0)
		rg_error_set(err, RGE_REFUSED, "role \"%.63s\" may not log in from here", session->user);
	else if (strcmp(failure->sqlstate, "53300") == 0)
		rg_error_set(err, RGE_REFUSED, "the server has no free connection slot");
	else if (strcmp(failure->sqlstate, "57P03") == 0)
	{
		rg_error_set(err, RGE_REFUSED, "the server does not accept connections yet, or no longer");
		fix = "Wait until it has started up, and try again.";
	}
	else
		rg_error_set(err, RGE_REFUSED, "%s", failure->message);
	if (err != NULL && strcmp(err->message, failure->message) != 0)
		rg_error_detail(err, "%s%s%s", failure->sqlstate, failure->sqlstate[0] != '\0' ? ": " : "",
						failure->message);
	rg_error_hint(err, "%s", fix != NULL ? fix : copy.hint);
	return err != NULL ? (int) err->code : RGE_REFUSED;
}

/* Waits for the socket; false when the deadline has passed. */
static bool
wait_for(PGconn *conn, short events, int64_t deadline)
{
	struct pollfd fd = {.fd = PQsocket(conn), .events = events};

	for (;;)
	{
		int64_t		left = deadline - rg_clock_now_ms();
		int			n;

		if (left <= 0)
			return false;
		n = poll(&fd, 1, (int) left);
		if (n > 0)
			return true;
		if (n < 0 && errno != EINTR)
			return false;
	}
}

static int
finish_connect(RgSession *session, RgError *err)
{
	int64_t		deadline = rg_clock_now_ms() + RG_SESSION_CONNECT_MS;
	RgPgFailure failure;
	PostgresPollingStatusType status = PGRES_POLLING_WRITING;

	if (PQstatus(session->conn) != CONNECTION_BAD)
	{
		PQsetErrorVerbosity(session->conn, PQERRORS_VERBOSE);
		do
		{
			if (!wait_for(session->conn, status == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline))
			{
				rg_pg_failure_set(&failure, RG_PG_SILENT, "no answer within %d ms", RG_SESSION_CONNECT_MS);
				return explain(session, &failure, err);
			}
			status = PQconnectPoll(session->conn);
			if (status == PGRES_POLLING_OK)
				return 0;
		} while (status != PGRES_POLLING_FAILED);
	}
	if (PQconnectionNeedsPassword(session->conn))
	{
		rg_pg_failure_set(&failure, RG_PG_SERVER, "the server asks for a password and none was found");
		strcpy(failure.sqlstate, "28P01");
	}
	else
		rg_pg_failure_connect(&failure, PQerrorMessage(session->conn));
	return explain(session, &failure, err);
}

/* Takes what the administrator's connection string says, but for host, port and database. */
static int
take_conninfo(RgSession *session, const char *conninfo, Options *options,
			  PQconninfoOption **ret_parsed, RgError *err)
{
	char	   *message = NULL;
	PQconninfoOption *parsed = PQconninfoParse(conninfo, &message);

	if (parsed == NULL)
	{
		/* libpq's message may repeat the string, so only its kind is told */
		PQfreemem(message);
		rg_error_set(err, RGE_ARGUMENT, "the connection string of the administrator can't be understood");
		rg_error_hint(err, "Write keyword=value pairs or a URI, such as \"user=postgres dbname=postgres\".");
		return RGE_ARGUMENT;
	}
	*ret_parsed = parsed;
	for (PQconninfoOption *o = parsed; o->keyword != NULL; o++)
	{
		if (o->val == NULL || strcmp(o->keyword, "host") == 0 || strcmp(o->keyword, "hostaddr") == 0
			|| strcmp(o->keyword, "port") == 0 || strcmp(o->keyword, "target_session_attrs") == 0)
			continue;
		if (strcmp(o->keyword, "user") == 0)
			snprintf(session->user, sizeof(session->user), "%s", o->val);
		else if (strcmp(o->keyword, "dbname") != 0)
			add_option(options, o->keyword, o->val);
	}
	return 0;
}

int
rg_session_open(RgSession *session, const RgConfig *config, int node, const char *conninfo, RgError *err)
{
	Options		options = {0};
	PQconninfoOption *parsed = NULL;
	char		hostaddr[64];
	char		port[16];
	int			rc;

	memset(session, 0, sizeof(*session));
	session->config = config;
	session->node = &config->nodes[node];
	session->is_admin = conninfo != NULL;
	snprintf(session->user, sizeof(session->user), "%s", conninfo != NULL ? "postgres" : config->user);
	snprintf(session->dbname, sizeof(session->dbname), "%s", config->database);
	/* of two values for one keyword libpq takes the later one */
	add_option(&options, "sslmode", config->sslmode);
	add_option(&options, "fallback_application_name", "regent");
	if (conninfo == NULL)
		add_option(&options, "passfile", config->passfile);
	else if ((rc = take_conninfo(session, conninfo, &options, &parsed, err)) != 0)
		return rc;
	rc = rg_session_resolve(session->node->host, hostaddr, sizeof(hostaddr), err);
	if (rc != 0)
		goto out;
	snprintf(port, sizeof(port), "%d", session->node->port);
	add_option(&options, "host", session->node->host);
	add_option(&options, "hostaddr", hostaddr);
	add_option(&options, "port", port);
	add_option(&options, "user", session->user);
	add_option(&options, "dbname", session->dbname);
	add_option(&options, "gssencmode", "disable");
	add_option(&options, "client_encoding", "UTF8");
	session->conn = PQconnectStartParams(options.keywords, options.values, 0);
	if (session->conn == NULL)
		rc = rg_error_set(err, RGE_NOMEM, "out of memory");
	else
		rc = finish_connect(session, err);
	if (rc != 0)
		rg_session_close(session);

out:
	PQconninfoFree(parsed);
	return rc;
}

void
rg_session_close(RgSession *session)
{
	PQfinish(session->conn);
	session->conn = NULL;
}

/* The result of a statement that was sent, or NULL past the deadline or when the session broke. */
static PGresult *
take_result(RgSession *session, int64_t deadline)
{
	PGresult   *last = NULL;

	for (;;)
	{
		PGresult   *next;

		while (PQisBusy(session->conn))
		{
			if (!wait_for(session->conn, POLLIN, deadline) || !PQconsumeInput(session->conn))
			{
				PQclear(last);
				return NULL;
			}
		}
		next = PQgetResult(session->conn);
		if (next == NULL)
			return last;
		PQclear(last);
		last = next;
	}
}

int
rg_session_query(RgSession *session, const char *sql, int nparams, const char *const *values,
				 int deadline_ms, PGresult **ret_result, RgError *err)
{
	int64_t		deadline = rg_clock_now_ms() + deadline_ms;
	RgPgFailure failure;
	PGresult   *result = NULL;

	session->sqlstate[0] = '\0';
	if (session->conn == NULL)
		return rg_error_set(err, RGE_STATE, "the session was closed before");
	if (PQsendQueryParams(session->conn, sql, nparams, NULL, values, NULL, NULL, 0))
		result = take_result(session, deadline);
	if (result == NULL)
	{
		bool		is_late = rg_clock_now_ms() >= deadline;

		rg_pg_failure_set(&failure, is_late ? RG_PG_SILENT : RG_PG_CLOSED, "%s",
						  is_late ? "a statement was not answered in time" : PQerrorMessage(session->conn));
		explain(session, &failure, err);
		rg_session_close(session);
		return is_late ? RGE_TIMEOUT : RGE_IO;
	}
	if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
	{
		rg_pg_failure_result(&failure, result);
		PQclear(result);
		explain(session, &failure, err);
		return RGE_REFUSED;
	}
	*ret_result = result;
	return 0;
}

int
rg_session_value(RgSession *session, const char *sql, int nparams, const char *const *values,
				 char *buf, size_t size, RgError *err)
{
	PGresult   *result = NULL;
	int			rc = rg_session_query(session, sql, nparams, values, RG_SESSION_QUERY_MS, &result, err);

	if (rc != 0)
		return rc;
	snprintf(buf, size, "%s", PQntuples(result) > 0 && PQnfields(result) > 0
			 ? PQgetvalue(result, 0, 0) : "");
	PQclear(result);
	return 0;
}
