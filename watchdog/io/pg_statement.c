/*
 * pg_statement.c
 *	  The statements of a session: waiting, running, told.
 *
 * One runs at a time, so an answer belongs to the first of the queue and to no
 * other.  Each is told exactly once: with its result, with the server's
 * error (the session goes on), or with the failure that ended the session.
 */
#include "pg_private.h"

#include <stdlib.h>
#include <string.h>

#include "pg_failure.h"

static void
statement_free(RgPgStatement *st)
{
	if (st == NULL)
		return;
	PQclear(st->result);
	for (int i = 0; i < st->nparams; i++)
		free(st->values[i]);
	free(st->sql);
	free(st);
}

RgPgStatement *
rg_pg_statement_new(const char *sql, int nparams, const char *const *values)
{
	RgPgStatement *st = calloc(1, sizeof(*st));

	if (st == NULL)
		return NULL;
	st->sql = strdup(sql);
	if (st->sql == NULL)
		goto fail;
	for (int i = 0; i < nparams; i++)
	{
		if (values[i] != NULL && (st->values[i] = strdup(values[i])) == NULL)
			goto fail;
		st->nparams = i + 1;
	}
	return st;

fail:
	statement_free(st);
	return NULL;
}

void
rg_pg_statements_fail(RgPg *pg, RgPgStatement *queue, const RgPgFailure *failure)
{
	while (queue != NULL)
	{
		RgPgStatement *next = queue->next;

		if (!pg->is_freed)
			queue->fn(queue->arg, NULL, failure);
		statement_free(queue);
		queue = next;
	}
}

void
rg_pg_statement_expire(RgPg *pg, RgPgStatement **link)
{
	RgPgStatement *st = *link;
	RgPgFailure failure;

	*link = st->next;
	pg->nqueue--;
	rg_pg_failure_set(&failure, RG_PG_SILENT, "statement was not sent within %d ms", st->deadline_ms);
	st->fn(st->arg, NULL, &failure);
	statement_free(st);
}

void
rg_pg_statement_send(RgPg *pg)
{
	RgPgStatement *st = pg->queue;

	if (pg->state != PG_OPEN || st == NULL || st->is_sent)
		return;
	st->is_sent = true;
	if (PQsendQueryParams(pg->conn, st->sql, st->nparams, NULL, (const char *const *) st->values,
						  NULL, NULL, 0) != 1)
	{
		/* broken, or out of memory: told from the loop, since we may be inside rg_pg_exec() */
		event_active(pg->wake, EV_TIMEOUT, 1);
		return;
	}

	/* a failed flush shows when reading, together with what the server said before */
	rg_pg_arm(pg, PQflush(pg->conn) > 0 ? EV_READ | EV_WRITE : EV_READ);
}

/* The running statement is complete: its result is there, or none. */
static void
complete(RgPg *pg)
{
	RgPgStatement *st = pg->queue;
	RgPgFailure failure = {.why = RG_PG_FINE};
	ExecStatusType status = PQresultStatus(st->result);

	if (st->result == NULL)
		rg_pg_failure_set(&failure, RG_PG_OTHER, "%s", PQerrorMessage(pg->conn));
	else if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK && status != PGRES_EMPTY_QUERY)
		rg_pg_failure_result(&failure, st->result);

	pg->queue = st->next;
	pg->nqueue--;
	rg_pg_arm_timer(pg);
	st->fn(st->arg, failure.why == RG_PG_FINE ? st->result : NULL, &failure);
	statement_free(st);
}

static bool
is_copy(const PGresult *res)
{
	ExecStatusType status = PQresultStatus(res);

	return status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH;
}

/* Takes what has come for the running statement.  False: the session is another one now. */
static bool
take_results(RgPg *pg)
{
	unsigned	generation = pg->generation;

	while (pg->queue != NULL && pg->queue->is_sent && !PQisBusy(pg->conn))
	{
		RgPgStatement *st = pg->queue;
		PGresult   *res = PQgetResult(pg->conn);

		if (res != NULL)
		{
			rg_pg_receive_notice(pg, res);	/* is it the server's last word? */
			if (is_copy(res))
			{
				PQclear(res);
				rg_pg_end_text(pg, RG_PG_OTHER, "statement wants to copy, which is not supported");
				return false;
			}
			PQclear(st->result);
			st->result = res;
			continue;
		}
		if (PQstatus(pg->conn) == CONNECTION_BAD)
			return true;		/* the caller ends the session, with all of its queue */
		complete(pg);
		if (rg_pg_is_gone(pg, generation))
			return false;
		rg_pg_statement_send(pg);
	}
	return true;
}

void
rg_pg_statement_step(RgPg *pg, short what)
{
	RgPgFailure failure;
	bool		is_lost = false;

	if ((what & EV_WRITE) != 0 && PQflush(pg->conn) == 0)
		rg_pg_arm(pg, EV_READ);
	if ((what & EV_READ) != 0 && PQconsumeInput(pg->conn) == 0)
		is_lost = true;

	/* parses what came before the end, too: that is where the FATAL error stands */
	if (pg->queue == NULL || !pg->queue->is_sent)
		(void) PQisBusy(pg->conn);
	if (!take_results(pg))
		return;
	if (is_lost || PQstatus(pg->conn) == CONNECTION_BAD)
	{
		rg_pg_failure_lost(&failure, PQerrorMessage(pg->conn), &pg->last_fatal);
		rg_pg_end(pg, &failure);
		return;
	}
	for (PGnotify *n; (n = PQnotifies(pg->conn)) != NULL;)
		PQfreemem(n);
}
