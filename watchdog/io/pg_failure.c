/*
 * pg_failure.c
 *	  Reading libpq's failures.
 *
 * libpq 15 gives no PGresult for a connect that failed, only text.  Two things
 * make that text safe to read.  With PQERRORS_VERBOSE a server's error stands
 * in it as "SEVERITY:  SQLSTATE: message" with a LOCATION line; severity and
 * message may be in any language (lc_messages), SQLSTATE and LOCATION are not.
 * And libpq's own texts and strerror() speak English, or rather: this
 * process never calls setlocale(), and errors of the system are compared with
 * strerror() of the same process, so that even then they would agree.
 *
 * 57P03 is both "starting up" and "shutting down" (and "not yet accepting
 * connections" of a standby); all come from the same source file.  Only the
 * message tells them apart, and only where it is English: it is passed on as it is,
 * for the caller to read with that in mind.
 */
#include "pg_failure.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../base/utf8.h"

/*
 * Copies the first line of text; control characters become spaces.  Before anybody has
 * logged in a server speaks in the encoding of its host.
 */
static void
copy_line(char *buf, size_t size, const char *text, size_t len)
{
	size_t		n = 0;

	while (len > 0 && isspace((unsigned char) *text))
	{
		text++;
		len--;
	}
	for (; n < len && n < size - 1 && text[n] != '\0' && text[n] != '\n'; n++)
		buf[n] = (unsigned char) text[n] < 0x20 || text[n] == 0x7F ? ' ' : text[n];
	while (n > 0 && buf[n - 1] == ' ')
		n--;
	buf[n] = '\0';
	rg_utf8_mend(buf);
}

void
rg_pg_failure_set(RgPgFailure *failure, RgPgWhy why, const char *fmt,...)
{
	char		text[1024];
	va_list		ap;

	va_start(ap, fmt);
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	va_end(ap);
	memset(failure, 0, sizeof(*failure));
	failure->why = why;
	copy_line(failure->message, sizeof(failure->message), text, strlen(text));
}

/* "connection to server at "h", port p failed: X" -> X; of several attempts the last. */
static const char *
skip_prefix(const char *text)
{
	const char *last = text;
	const char *p;

	for (p = text; (p = strstr(p, "connection to server ")) != NULL; p++)
		if (p == text || p[-1] == '\n')
			last = p;
	if (strncmp(last, "connection to server ", 21) != 0)
		return last;
	p = strstr(last, " failed: ");
	return p != NULL ? p + 9 : last;
}

/* The SQLSTATE in "SEVERITY:  SQLSTATE: message", or NULL; only in the first line. */
static const char *
find_sqlstate(const char *text)
{
	const char *p = strstr(text, ":  ");
	const char *newline = strchr(text, '\n');

	if (p == NULL || (newline != NULL && p > newline))
		return NULL;
	p += 3;
	for (int i = 0; i < 5; i++)
		if (!(p[i] >= '0' && p[i] <= '9') && !(p[i] >= 'A' && p[i] <= 'Z'))
			return NULL;
	return p[5] == ':' && p[6] == ' ' ? p : NULL;
}

/* What follows "\nLABEL:  " in text, or NULL. */
static const char *
find_field(const char *text, const char *label)
{
	size_t		n = strlen(label);

	for (const char *p = strchr(text, '\n'); p != NULL; p = strchr(p + 1, '\n'))
		if (strncmp(p + 1, label, n) == 0 && strncmp(p + 1 + n, ":  ", 3) == 0)
			return p + 1 + n + 3;
	return NULL;
}

/* LOCATION is "function, file.c:123". */
static void
copy_source_file(char *buf, size_t size, const char *location)
{
	size_t		len = strcspn(location, "\n");
	const char *start = location;
	const char *colon;

	for (const char *p = location; p < location + len; p++)
		if (p[0] == ',' && p[1] == ' ')
			start = p + 2;
	colon = memchr(start, ':', len - (size_t) (start - location));
	if (colon != NULL)
		copy_line(buf, size, start, (size_t) (colon - start));
}

static bool
has_errno(const char *text, const int *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strstr(text, strerror(list[i])) != NULL)
			return true;
	return false;
}

/* The kind of a failure that no server speaks of. */
static RgPgWhy
classify(const char *text)
{
	static const int refused[] = {ECONNREFUSED, ENOENT};
	static const int closed[] = {ECONNRESET, EPIPE, ECONNABORTED};
	static const int silent[] = {ETIMEDOUT};
	static const int unreachable[] = {EHOSTUNREACH, ENETUNREACH, EHOSTDOWN, ENETDOWN};

#define HAS(list) has_errno(text, list, sizeof(list) / sizeof((list)[0]))
	if (HAS(silent))
		return RG_PG_SILENT;
	if (HAS(unreachable))
		return RG_PG_UNREACHABLE;
	if (HAS(closed) || strstr(text, "closed the connection") != NULL ||
		strstr(text, "EOF detected") != NULL || strstr(text, "SSL connection has been closed") != NULL)
		return RG_PG_CLOSED;
	/* before "refused": a missing certificate file is "No such file or directory" too */
	if (strstr(text, "SSL") != NULL || strstr(text, "certificate") != NULL)
		return RG_PG_TLS;
	if (HAS(refused))
		return RG_PG_REFUSED;
#undef HAS
	return RG_PG_OTHER;
}

/* Did libpq itself refuse to go on with the login that the server wants? */
static bool
is_login_trouble(const char *text)
{
	static const char *const words[] = {"authentication", "password", "SASL", "SCRAM", "GSS", "channel binding"};

	if (strstr(text, "expected authentication request") != NULL)
		return false;			/* what answers there is no PostgreSQL server */
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strstr(text, words[i]) != NULL)
			return true;
	return false;
}

void
rg_pg_failure_connect(RgPgFailure *failure, const char *text)
{
	const char *start = skip_prefix(text);
	const char *sqlstate = find_sqlstate(start);
	const char *field;

	memset(failure, 0, sizeof(*failure));
	if (sqlstate == NULL)
	{
		copy_line(failure->message, sizeof(failure->message), start, strlen(start));
		failure->why = classify(start);

		/* a demand that we can't meet, or a postmaster that can't fork: there is a server */
		if (failure->why == RG_PG_OTHER && is_login_trouble(start))
		{
			failure->why = RG_PG_SERVER;
			strcpy(failure->sqlstate, "28000");
		}
		else if (failure->why == RG_PG_OTHER && strstr(start, "could not fork") != NULL)
			failure->why = RG_PG_SERVER;
		return;
	}
	failure->why = RG_PG_SERVER;
	memcpy(failure->sqlstate, sqlstate, 5);
	copy_line(failure->message, sizeof(failure->message), sqlstate + 7, strlen(sqlstate + 7));
	field = find_field(sqlstate, "HINT");
	if (field != NULL)
		copy_line(failure->hint, sizeof(failure->hint), field, strlen(field));
	field = find_field(sqlstate, "LOCATION");
	if (field != NULL)
		copy_source_file(failure->source_file, sizeof(failure->source_file), field);
}

void
rg_pg_failure_lost(RgPgFailure *failure, const char *text, const RgPgFailure *last_fatal)
{
	if (last_fatal->sqlstate[0] != '\0')
	{
		*failure = *last_fatal;
		failure->why = RG_PG_CLOSED;
		return;
	}
	memset(failure, 0, sizeof(*failure));
	failure->why = classify(text);
	if (failure->why == RG_PG_OTHER || failure->why == RG_PG_REFUSED)
		failure->why = RG_PG_CLOSED;
	copy_line(failure->message, sizeof(failure->message), text, strlen(text));
	if (failure->message[0] == '\0')
		strcpy(failure->message, "server closed the connection");
}

static void
copy_result_field(char *buf, size_t size, const PGresult *res, int field)
{
	const char *text = PQresultErrorField(res, field);

	if (text != NULL)
		copy_line(buf, size, text, strlen(text));
}

void
rg_pg_failure_result(RgPgFailure *failure, const PGresult *res)
{
	memset(failure, 0, sizeof(*failure));
	failure->why = RG_PG_SERVER;
	copy_result_field(failure->sqlstate, sizeof(failure->sqlstate), res, PG_DIAG_SQLSTATE);
	copy_result_field(failure->source_file, sizeof(failure->source_file), res, PG_DIAG_SOURCE_FILE);
	copy_result_field(failure->message, sizeof(failure->message), res, PG_DIAG_MESSAGE_PRIMARY);
	copy_result_field(failure->detail, sizeof(failure->detail), res, PG_DIAG_MESSAGE_DETAIL);
	copy_result_field(failure->hint, sizeof(failure->hint), res, PG_DIAG_MESSAGE_HINT);
	if (failure->message[0] == '\0')
	{
		const char *text = PQresultErrorMessage(res);

		copy_line(failure->message, sizeof(failure->message), text, strlen(text));
	}
}

void
rg_pg_failure_add_hint(RgPgFailure *failure, const RgPgParams *params)
{
	char	   *hint = failure->hint;
	size_t		size = sizeof(failure->hint);

	if (hint[0] != '\0')
		return;
	if (strcmp(failure->sqlstate, "53300") == 0)
		snprintf(hint, size, "The server is alive but has no free connection slot: end idle sessions, or raise "
				 "max_connections or superuser_reserved_connections and restart it.");
	else if (strcmp(failure->sqlstate, "28P01") == 0)
		snprintf(hint, size, "Put the password of role %.40s into %.80s (a line HOST:PORT:DATABASE:USER:PASSWORD, "
				 "mode 0600).", params->user, params->passfile[0] != '\0' ? params->passfile : "~/.pgpass");
	else if (strcmp(failure->sqlstate, "28000") == 0)
		snprintf(hint, size, "See to it that pg_hba.conf lets role %.40s log in to database %.40s from here, by a "
				 "method for which we have the credentials; then SELECT pg_reload_conf().",
				 params->user, params->dbname);
	else if (strcmp(failure->sqlstate, "3D000") == 0)
		snprintf(hint, size, "Set database in regent.conf to one that exists on this server.");
	else if (failure->why == RG_PG_TLS)
		snprintf(hint, size, "Check sslmode in regent.conf, the server's certificate and the root certificate here "
				 "(~/.postgresql/root.crt).");
	else if (failure->why == RG_PG_UNREACHABLE)
		snprintf(hint, size, "Check the address of the node in regent.conf, and the network: ping %.120s",
				 params->host);
}
