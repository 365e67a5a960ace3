/*
 * pg_private.h
 *	  The inside of a session, for pg.c, pg_connect.c and pg_statement.c only.
 */
#ifndef RG_PG_PRIVATE_H
#define RG_PG_PRIVATE_H

#include <event2/event.h>
#include <event2/util.h>
#include "pg.h"

#define RG_PG_PARAMS_MAX 20
#define RG_PG_SQL_MAX (256 * 1024)

typedef enum RgPgState
{
	PG_CLOSED,
	PG_CONNECTING,
	PG_OPEN
} RgPgState;

typedef struct RgPgStatement
{
	struct RgPgStatement *next;
	char	   *sql;
	int			nparams;
	char	   *values[RG_PG_PARAMS_MAX];
	int			deadline_ms;	/* as given, for the message */
	int64_t		deadline;
	bool		is_sent;
	PGresult   *result;			/* what has come so far */
	RgPgResultFn fn;
	void	   *arg;
} RgPgStatement;

struct RgPg
{
	struct event_base *base;
	RgPgParams	params;
	RgPgStateFn on_state;
	void	   *arg;

	RgPgState	state;
	PGconn	   *conn;
	struct event *socket_event;
	struct event *timer;
	struct event *wake;			/* carries on from the loop where a call may not call back */
	short		armed;			/* what socket_event waits for */
	int			connect_ms;
	int64_t		connect_deadline;
	RgPgFailure last_fatal;		/* the server's last word */

	RgPgStatement *queue;		/* the first may be running */
	int			nqueue;

	unsigned	generation;		/* grows with each close: callbacks may close */
	int			depth;			/* inside how many of our own handlers */
	bool		is_freed;
};

/* --- pg.c --- */

/* Has a callback closed, connected anew or freed what the handler works on? */
extern bool rg_pg_is_gone(const RgPg *pg, unsigned generation);

/* Waits for EV_READ, EV_WRITE or both on libpq's present socket; or for nothing. */
extern void rg_pg_arm(RgPg *pg, short what);
extern void rg_pg_disarm(RgPg *pg);

/* Sets the timer to the nearest deadline. */
extern void rg_pg_arm_timer(RgPg *pg);

/* The end of a connect or of an open session: takes it down and tells everybody. */
extern void rg_pg_end(RgPg *pg, const RgPgFailure *failure);
extern void rg_pg_end_text(RgPg *pg, RgPgWhy why, const char *text);

/* libpq's notice receiver: keeps the server's last FATAL error. */
extern void rg_pg_receive_notice(void *arg, const PGresult *res);

/* --- pg_connect.c --- */

/* Begins; false: it has failed already, and rg_pg_connect_failed() is to be called from the loop. */
extern bool rg_pg_connect_start(RgPg *pg);

/* One step after the socket became ready. */
extern void rg_pg_connect_step(RgPg *pg);
extern void rg_pg_connect_failed(RgPg *pg);
extern void rg_pg_connect_timed_out(RgPg *pg);

/* --- pg_statement.c --- */

/* Copies; NULL when out of memory. */
extern RgPgStatement *rg_pg_statement_new(const char *sql, int nparams, const char *const *values);

/* Sends the first of the queue, if nothing is running. */
extern void rg_pg_statement_send(RgPg *pg);

/* One step after the socket became ready; may end the session. */
extern void rg_pg_statement_step(RgPg *pg, short what);

/* A waiting statement's time is over: it fails alone.  link is its place in the queue. */
extern void rg_pg_statement_expire(RgPg *pg, RgPgStatement **link);

/* Tells (unless pg is being freed) and frees the statements of a queue that was taken off. */
extern void rg_pg_statements_fail(RgPg *pg, RgPgStatement *queue, const RgPgFailure *failure);

#endif							/* RG_PG_PRIVATE_H */
