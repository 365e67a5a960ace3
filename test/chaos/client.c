/*
 * client.c
 *	  The machine of one client: connect, run transactions, write down.
 *
 * When an acknowledgement arrived is known only between two looks at the
 * socket, and the machine is shared: so both bounds are written down.  "lo" is
 * when poll() was last called and then found nothing, "hi" when it was read.
 * Whoever calls an acknowledgement late must use lo, whoever says that a server
 * had opened must use hi.
 */
#include "client.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BACKOFF_MIN_US 10000
#define BACKOFF_MAX_US 200000

int64_t
client_now(void)
{
	struct timespec ts;

	(void) clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* ---- the journal ---- */

static void
put_line(const Journal *j, const char *line, int length)
{
	/* one write, so that lines of a process that is killed are whole */
	if (length > 0 && write(j->fd, line, (size_t) length) != length)
	{
		perror("chaos-load: writing the journal");
		_exit(1);
	}
}

static void
put_outcome(const Client *c, const Journal *j, char what)
{
	char		line[512];
	char		ids[64];
	const char *host = PQhost(c->conn);
	int			n;

	if (c->kind->rows == 2)
		(void) snprintf(ids, sizeof(ids), "%" PRId64 ",%" PRId64, c->id, c->id + 1);
	else
		(void) snprintf(ids, sizeof(ids), "%" PRId64, c->id);
	if (host == NULL || *host == '\0')
		host = "-";
	if (what == 'A' || what == 'P')
		n = snprintf(line, sizeof(line), "%c %s %s %s %" PRId64 " %" PRId64 " %" PRId64 " %lld %c\n", what, ids,
					 c->label, host, c->sent_at, c->quiet_at, client_now(), c->term, c->kind->letter);
	else
		n = snprintf(line, sizeof(line), "%c %s %s %s %" PRId64 " %" PRId64 " %s %c\n", what, ids, c->label, host,
					 c->sent_at, client_now(), c->sqlstate[0] != '\0' ? c->sqlstate : "-", c->kind->letter);
	put_line(j, line, n);
}

static void
put_no_connection(const Client *c, const Journal *j)
{
	char		line[256];
	const char *host = c->conn != NULL ? PQhost(c->conn) : NULL;
	int			n = snprintf(line, sizeof(line), "N %s %s %" PRId64 "\n", c->label,
							 host != NULL && *host != '\0' ? host : "-", client_now());

	put_line(j, line, n);
}

/* From here on somebody asks. */
void
client_begin(const Journal *j)
{
	char		line[32];

	put_line(j, line, snprintf(line, sizeof(line), "B %" PRId64 "\n", client_now()));
}

/* ---- connecting ---- */

static void
go_away(Client *c, int64_t pause_us)
{
	PQfinish(c->conn);
	c->conn = NULL;
	c->state = CLIENT_AWAY;
	c->next_at = client_now() + pause_us;
}

static void
could_not_connect(Client *c, const Journal *j)
{
	put_no_connection(c, j);
	c->first_host = (c->first_host + 1) % c->nhosts;
	go_away(c, c->backoff_us);
	c->backoff_us = c->backoff_us * 2 > BACKOFF_MAX_US ? BACKOFF_MAX_US : c->backoff_us * 2;
}

static void
begin_connect(Client *c, const Journal *j)
{
	char		conninfo[2048];
	size_t		used = (size_t) snprintf(conninfo, sizeof(conninfo), "%s host=", c->base);

	for (int i = 0; i < c->nhosts && used < sizeof(conninfo); i++)
		used += (size_t) snprintf(conninfo + used, sizeof(conninfo) - used, "%s%s", i > 0 ? "," : "",
								  c->hosts[(c->first_host + i) % c->nhosts]);
	c->give_up_at = client_now() + c->connect_us;
	c->conn = PQconnectStart(conninfo);
	c->polling = PGRES_POLLING_WRITING;
	c->state = CLIENT_CONNECTING;
	if (c->conn == NULL || PQstatus(c->conn) == CONNECTION_BAD)
		could_not_connect(c, j);
}

static void
go_on_connecting(Client *c, const Journal *j)
{
	c->polling = PQconnectPoll(c->conn);
	if (c->polling == PGRES_POLLING_FAILED)
		could_not_connect(c, j);
	else if (c->polling == PGRES_POLLING_OK)
	{
		c->state = CLIENT_IDLE;
		c->next_at = client_now();
		c->backoff_us = BACKOFF_MIN_US;
		(void) PQsetnonblocking(c->conn, 1);
	}
}

/* ---- transactions ---- */

/* What is known when no further word will come. */
static void
lost(Client *c, const Journal *j)
{
	if (!c->told)
		put_outcome(c, j, c->step < c->kind->commit ? 'F' : 'U');
	c->first_host = (c->first_host + 1) % c->nhosts;
	go_away(c, BACKOFF_MIN_US);
}

static void
send_step(Client *c, const Journal *j)
{
	char		sql[512];
	int			sent;

	txn_text(c->kind, c->step, c->id, sql, sizeof(sql));
	c->sent_at = client_now();
	c->quiet_at = c->sent_at;
	sent = c->kind->extended ? PQsendQueryParams(c->conn, sql, 0, NULL, NULL, NULL, NULL, 0)
		: PQsendQuery(c->conn, sql);
	if (sent == 0)
		lost(c, j);
	else
		(void) PQflush(c->conn);
}

static void
begin_transaction(Client *c, Journal *j)
{
	c->kind = txn_find(c->kinds[c->turn++ % strlen(c->kinds)]);
	c->step = 0;
	c->id = j->next_id;
	j->next_id += c->kind->rows;
	c->term = 0;
	c->failed = false;
	c->told = false;
	c->sqlstate[0] = '\0';
	c->severity[0] = '\0';
	c->state = CLIENT_BUSY;
	c->give_up_at = c->deadline_us > 0 ? client_now() + c->deadline_us : INT64_MAX;
	send_step(c, j);
}

static void
note_error(Client *c, const PGresult *res)
{
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	const char *severity = PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED);

	c->failed = true;
	(void) snprintf(c->sqlstate, sizeof(c->sqlstate), "%s", state != NULL ? state : "-");
	(void) snprintf(c->severity, sizeof(c->severity), "%s", severity != NULL ? severity : "");
}

static void
note_result(Client *c, const Journal *j, const PGresult *res)
{
	switch (PQresultStatus(res))
	{
		case PGRES_TUPLES_OK:
			if (c->term == 0 && PQntuples(res) == 1 && PQnfields(res) == 1)
				c->term = atoll(PQgetvalue(res, 0, 0));
			break;
		case PGRES_COMMAND_OK:
			/* in a transaction that failed, COMMIT answers ROLLBACK */
			if (strcmp(PQcmdStatus((PGresult *) res), "ROLLBACK") == 0)
				c->failed = true;
			else if (c->kind->early_tag && strcmp(PQcmdStatus((PGresult *) res), "COMMIT") == 0)
			{
				put_outcome(c, j, 'A');
				c->told = true;
			}
			break;
		default:
			note_error(c, res);
			break;
	}
}

static void
end_transaction(Client *c, int64_t pause_us)
{
	if (c->fresh || PQtransactionStatus(c->conn) != PQTRANS_IDLE)
		go_away(c, pause_us);
	else
	{
		c->state = CLIENT_IDLE;
		c->next_at = client_now() + pause_us;
	}
}

/*
 * A client whose session can read but not write goes elsewhere, as an
 * application would; one that has nowhere else to go tries again in the same
 * session, and now and then in a new one.
 */
static void
after_refusal(Client *c)
{
	int64_t		pause_us = c->pause_us > BACKOFF_MAX_US ? c->pause_us : BACKOFF_MAX_US;

	if (c->nhosts > 1)
	{
		c->first_host = (c->first_host + 1) % c->nhosts;
		go_away(c, c->backoff_us);
		c->backoff_us = c->backoff_us * 2 > BACKOFF_MAX_US ? BACKOFF_MAX_US : c->backoff_us * 2;
	}
	else if (c->turn % 16 == 0)
		go_away(c, pause_us);
	else
		end_transaction(c, pause_us);
}

/* The server has said all about one statement. */
static void
end_step(Client *c, const Journal *j)
{
	if (c->failed)
	{
		/* FATAL while committing: the session ended, and nobody knows */
		bool		unknown = c->step >= c->kind->commit && strcmp(c->severity, "ERROR") != 0 &&
			c->severity[0] != '\0';

		/* a procedure that has committed its first row may fail at the second one */
		if (c->kind->letter == 'c')
			unknown = true;
		if (!c->told)
			put_outcome(c, j, unknown ? 'U' : 'F');
		if (PQstatus(c->conn) == CONNECTION_BAD)
			go_away(c, BACKOFF_MIN_US);
		else
			after_refusal(c);
		return;
	}
	if (c->step == c->kind->prepare)
		put_outcome(c, j, 'P');
	if (c->step == c->kind->commit && !c->told)
	{
		put_outcome(c, j, 'A');
		c->told = true;
	}
	if (++c->step < txn_steps(c->kind))
		send_step(c, j);
	else
		end_transaction(c, c->pause_us);
}

static void
go_on_reading(Client *c, const Journal *j)
{
	PGresult   *res;

	if (PQconsumeInput(c->conn) == 0)
	{
		lost(c, j);
		return;
	}
	(void) PQflush(c->conn);
	while (!PQisBusy(c->conn))
	{
		res = PQgetResult(c->conn);
		if (res == NULL)
		{
			end_step(c, j);
			return;
		}
		note_result(c, j, res);
		PQclear(res);
		if (PQstatus(c->conn) == CONNECTION_BAD)
		{
			lost(c, j);
			return;
		}
	}
}

/* ---- the loop's side ---- */

int64_t
client_wants(const Client *c, struct pollfd *pfd)
{
	pfd->fd = -1;
	pfd->events = 0;
	pfd->revents = 0;
	switch (c->state)
	{
		case CLIENT_AWAY:
			return c->next_at;
		case CLIENT_CONNECTING:
			pfd->fd = PQsocket(c->conn);
			pfd->events = c->polling == PGRES_POLLING_READING ? POLLIN : POLLOUT;
			return c->give_up_at;
		case CLIENT_IDLE:
			pfd->fd = PQsocket(c->conn);
			pfd->events = POLLIN;	/* a session that is ended says so */
			return c->next_at;
		case CLIENT_BUSY:
			pfd->fd = PQsocket(c->conn);
			pfd->events = POLLIN;
			return c->give_up_at;
	}
	return c->next_at;
}

void
client_turn(Client *c, Journal *j, bool ready, int64_t asked_at)
{
	int64_t		now = client_now();

	switch (c->state)
	{
		case CLIENT_AWAY:
			if (now >= c->next_at)
				begin_connect(c, j);
			break;
		case CLIENT_CONNECTING:
			if (ready)
				go_on_connecting(c, j);
			else if (now >= c->give_up_at)
				could_not_connect(c, j);
			break;
		case CLIENT_IDLE:
			if (ready && (PQconsumeInput(c->conn) == 0 || PQstatus(c->conn) == CONNECTION_BAD))
				go_away(c, BACKOFF_MIN_US);
			else if (now >= c->next_at)
				begin_transaction(c, j);
			break;
		case CLIENT_BUSY:
			if (ready)
				go_on_reading(c, j);
			else if (now >= c->give_up_at)
				lost(c, j);
			else if (asked_at > c->quiet_at)
				c->quiet_at = asked_at;
			break;
	}
}

void
client_end(Client *c, Journal *j)
{
	if (c->state == CLIENT_BUSY && !c->told)
		put_outcome(c, j, c->step < c->kind->commit ? 'F' : 'U');
	if (c->conn != NULL)
		PQfinish(c->conn);
	c->conn = NULL;
	c->state = CLIENT_AWAY;
}

/* ---- configuration ---- */

bool
client_parse(Client *c, char *line)
{
	char	   *save = NULL;
	char	   *field[8];
	char	   *hosts = NULL;

	memset(c, 0, sizeof(*c));
	for (int i = 0; i < 8; i++)
	{
		field[i] = strtok_r(i == 0 ? line : NULL, "|\n", &save);
		if (field[i] == NULL)
			return false;
	}
	(void) snprintf(c->label, sizeof(c->label), "%s", field[0]);
	(void) snprintf(c->kinds, sizeof(c->kinds), "%s", field[1]);
	c->pause_us = atoll(field[2]) * 1000;
	c->deadline_us = atoll(field[3]) * 1000;
	c->connect_us = atoll(field[4]) * 1000;
	c->fresh = strcmp(field[5], "fresh") == 0;
	for (char *h = strtok_r(field[6], ",", &hosts); h != NULL && c->nhosts < CLIENT_HOSTS_MAX;
		 h = strtok_r(NULL, ",", &hosts))
		(void) snprintf(c->hosts[c->nhosts++], sizeof(c->hosts[0]), "%s", h);
	(void) snprintf(c->base, sizeof(c->base), "%s", field[7]);
	c->backoff_us = BACKOFF_MIN_US;
	for (const char *k = c->kinds; *k != '\0'; k++)
		if (txn_find(*k) == NULL)
			return false;
	return c->nhosts > 0 && c->kinds[0] != '\0' && c->connect_us > 0;
}
