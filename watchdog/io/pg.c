/*
 * pg.c
 *	  The session: connect, run statements one by one, notice the end.
 *
 * Three states: closed, connecting, open.  While open the read event is always
 * armed, so the end of a server is seen when its socket closes and not at the
 * next statement; what the server said before it went (a FATAL error, which
 * libpq hands over as a notice when nothing is running) is kept for the report.
 *
 * A late answer must never be taken for the answer to a later question: a
 * statement past its deadline closes the session.
 *
 * Callbacks may call anything here, rg_pg_free() included.  So state is
 * complete before each call, the queue is taken off before its statements are
 * told, and after each call is_gone() says whether what we hold is still ours.
 */
#include "pg_private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#include "../base/err.h"
#include "pg_failure.h"

static void
destroy(RgPg *pg)
{
	if (pg->timer != NULL)
		event_free(pg->timer);
	if (pg->wake != NULL)
		event_free(pg->wake);
	free(pg);
}

static void
enter(RgPg *pg)
{
	pg->depth++;
}

static void
leave(RgPg *pg)
{
	if (--pg->depth == 0 && pg->is_freed)
		destroy(pg);
}

bool
rg_pg_is_gone(const RgPg *pg, unsigned generation)
{
	return pg->is_freed || pg->generation != generation;
}

static void
on_socket(evutil_socket_t fd, short what, void *arg)
{
	RgPg	   *pg = arg;

	(void) fd;
	enter(pg);
	if (pg->state == PG_CONNECTING)
		rg_pg_connect_step(pg);
	else if (pg->state == PG_OPEN)
		rg_pg_statement_step(pg, what);
	leave(pg);
}

void
rg_pg_disarm(RgPg *pg)
{
	if (pg->socket_event != NULL)
		event_free(pg->socket_event);
	pg->socket_event = NULL;
	pg->armed = 0;
}

void
rg_pg_arm(RgPg *pg, short what)
{
	if (pg->socket_event != NULL && pg->armed == what)
		return;
	rg_pg_disarm(pg);
	pg->socket_event = event_new(pg->base, PQsocket(pg->conn), what | EV_PERSIST, on_socket, pg);
	if (pg->socket_event == NULL || event_add(pg->socket_event, NULL) != 0)
		rg_pg_disarm(pg);		/* out of memory: the deadline will end this */
	else
		pg->armed = what;
}

void
rg_pg_arm_timer(RgPg *pg)
{
	int64_t		deadline = INT64_MAX;
	int64_t		wait_ms;

	if (pg->state == PG_CONNECTING)
		deadline = pg->connect_deadline;
	for (const RgPgStatement *st = pg->queue; st != NULL; st = st->next)
		if (st->deadline < deadline)
			deadline = st->deadline;
	if (deadline == INT64_MAX)
	{
		event_del(pg->timer);
		return;
	}
	wait_ms = deadline - rg_clock_now_ms();
	if (wait_ms < 0)
		wait_ms = 0;
	event_add(pg->timer, &(struct timeval) {.tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000});
}

/* Closes without a word to anybody; the queue goes to the caller. */
static RgPgStatement *
take_down(RgPg *pg)
{
	RgPgStatement *queue = pg->queue;

	rg_pg_disarm(pg);
	event_del(pg->timer);
	event_del(pg->wake);
	if (pg->conn != NULL)
		PQfinish(pg->conn);
	pg->conn = NULL;
	pg->state = PG_CLOSED;
	pg->queue = NULL;
	pg->nqueue = 0;
	pg->generation++;
	return queue;
}

void
rg_pg_end(RgPg *pg, const RgPgFailure *failure)
{
	RgPgFailure copy = *failure;
	RgPgStatement *queue = take_down(pg);
	unsigned	generation = pg->generation;

	rg_pg_failure_add_hint(&copy, &pg->params);
	rg_pg_statements_fail(pg, queue, &copy);

	/* a statement's callback that has connected anew waits for that end, not for this */
	if (!rg_pg_is_gone(pg, generation) && pg->state == PG_CLOSED)
		pg->on_state(pg->arg, pg, &copy);
}

void
rg_pg_end_text(RgPg *pg, RgPgWhy why, const char *text)
{
	RgPgFailure failure;

	rg_pg_failure_set(&failure, why, "%s", text);
	rg_pg_end(pg, &failure);
}

void
rg_pg_receive_notice(void *arg, const PGresult *res)
{
	RgPg	   *pg = arg;
	const char *severity = PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED);
	const char *sqlstate = PQresultErrorField(res, PG_DIAG_SQLSTATE);

	/* an immediate stop (57P01) and the crash of another server process (57P02) come as warnings, and the end after them */
	if (severity != NULL && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0 ||
							 (sqlstate != NULL && (strcmp(sqlstate, "57P01") == 0 || strcmp(sqlstate, "57P02") == 0))))
		rg_pg_failure_result(&pg->last_fatal, res);
}

/* What could not be told inside a call of the owner. */
static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	RgPg	   *pg = arg;
	RgPgFailure failure;

	(void) fd;
	(void) what;
	enter(pg);
	if (pg->state == PG_CONNECTING)
		rg_pg_connect_failed(pg);
	else if (pg->state == PG_OPEN)
	{
		rg_pg_failure_lost(&failure, PQerrorMessage(pg->conn), &pg->last_fatal);
		rg_pg_end(pg, &failure);
	}
	leave(pg);
}

static void
check_deadlines(RgPg *pg)
{
	int64_t		now = rg_clock_now_ms();
	unsigned	generation = pg->generation;
	RgPgFailure failure;

	if (pg->state == PG_CONNECTING && pg->connect_deadline <= now)
	{
		rg_pg_connect_timed_out(pg);
		return;
	}
	for (RgPgStatement **link = &pg->queue; *link != NULL;)
	{
		if ((*link)->deadline > now)
			link = &(*link)->next;
		else if ((*link)->is_sent)
		{
			rg_pg_failure_set(&failure, RG_PG_SILENT, "no answer to a statement within %d ms",
							  (*link)->deadline_ms);
			rg_pg_end(pg, &failure);
			return;
		}
		else
		{
			rg_pg_statement_expire(pg, link);
			if (rg_pg_is_gone(pg, generation))
				return;
			link = &pg->queue;	/* the callback may have changed the queue */
		}
	}
	rg_pg_arm_timer(pg);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	RgPg	   *pg = arg;

	(void) fd;
	(void) what;
	enter(pg);
	check_deadlines(pg);
	leave(pg);
}

RgPg *
rg_pg_new(struct event_base *base, const RgPgParams *params, RgPgStateFn on_state, void *arg)
{
	RgPg	   *pg = calloc(1, sizeof(*pg));

	if (pg == NULL)
		return NULL;
	pg->base = base;
	pg->params = *params;
	pg->on_state = on_state;
	pg->arg = arg;
	pg->timer = evtimer_new(base, on_timer, pg);
	pg->wake = event_new(base, -1, 0, on_wake, pg);
	if (pg->timer == NULL || pg->wake == NULL)
	{
		destroy(pg);
		return NULL;
	}
	return pg;
}

void
rg_pg_free(RgPg *pg)
{
	RgPgStatement *queue;

	if (pg == NULL || pg->is_freed)
		return;
	queue = take_down(pg);
	pg->is_freed = true;
	rg_pg_statements_fail(pg, queue, NULL);
	if (pg->depth == 0)
		destroy(pg);
}

void
rg_pg_set_params(RgPg *pg, const RgPgParams *params)
{
	pg->params = *params;
}

void
rg_pg_connect(RgPg *pg, int deadline_ms)
{
	enter(pg);
	rg_pg_close(pg);
	if (!pg->is_freed)			/* NOLINT(clang-analyzer-unix.Malloc): kept until leave() */
	{
		(void) take_down(pg);	/* a callback of the close may have connected */
		pg->state = PG_CONNECTING;
		pg->connect_ms = deadline_ms;
		pg->connect_deadline = rg_clock_now_ms() + deadline_ms;
		memset(&pg->last_fatal, 0, sizeof(pg->last_fatal));
		if (rg_pg_connect_start(pg))
			rg_pg_arm_timer(pg);
		else
			event_active(pg->wake, EV_TIMEOUT, 1);
	}
	leave(pg);
}

void
rg_pg_close(RgPg *pg)
{
	RgPgFailure failure;

	enter(pg);
	rg_pg_failure_set(&failure, RG_PG_CLOSED, "the session was closed by the watchdog itself");
	rg_pg_statements_fail(pg, take_down(pg), &failure);
	leave(pg);
}

bool
rg_pg_is_open(const RgPg *pg)
{
	return pg->state == PG_OPEN;
}

bool
rg_pg_is_connecting(const RgPg *pg)
{
	return pg->state == PG_CONNECTING;
}

bool
rg_pg_is_busy(const RgPg *pg)
{
	return pg->queue != NULL;
}

int
rg_pg_exec(RgPg *pg, const char *sql, int nparams, const char *const *values,
		   int deadline_ms, RgPgResultFn fn, void *arg)
{
	RgPgStatement *st;
	RgPgStatement **link = &pg->queue;

	assert(nparams >= 0 && nparams <= RG_PG_PARAMS_MAX && fn != NULL);
	if (pg->state != PG_OPEN)
		return RGE_STATE;
	if (pg->nqueue >= RG_PG_QUEUE_MAX || strlen(sql) > RG_PG_SQL_MAX)
		return RGE_LIMIT;
	st = rg_pg_statement_new(sql, nparams, values);
	if (st == NULL)
		return RGE_NOMEM;
	st->fn = fn;
	st->arg = arg;
	st->deadline_ms = deadline_ms;
	st->deadline = rg_clock_now_ms() + deadline_ms;
	while (*link != NULL)
		link = &(*link)->next;
	*link = st;
	pg->nqueue++;
	rg_pg_arm_timer(pg);
	rg_pg_statement_send(pg);
	return 0;
}
