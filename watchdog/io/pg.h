/*
 * pg.h
 *	  One non-blocking libpq session on the event loop.
 *
 * A session connects, stays open and runs one statement at a time; statements
 * beyond it wait in a queue of at most RG_PG_QUEUE_MAX.  Every connect and
 * every statement has a deadline in milliseconds; past it the session is
 * closed, since a late answer could be taken for the answer to a later
 * question.  A closed socket is reported at once, with the last FATAL message
 * that the server sent (PostgreSQL says there why it goes).
 *
 * The address must be numeric or already resolved (hostaddr); getaddrinfo is
 * never called here, because it blocks (failure mode F39).
 */
#ifndef RG_PG_H
#define RG_PG_H

#include <stdbool.h>
#include <stdint.h>
#include <libpq-fe.h>

struct event_base;

#define RG_PG_QUEUE_MAX 8

typedef struct RgPg RgPg;

/* Why a connect or a statement failed, or a session ended. */
typedef enum RgPgWhy
{
	RG_PG_FINE = 0,
	RG_PG_REFUSED,				/* connection refused, or no such socket: nobody listens */
	RG_PG_CLOSED,				/* end of file or reset on an open connection */
	RG_PG_SILENT,				/* a deadline passed without an answer, or TCP gave up */
	RG_PG_SERVER,				/* the server answered with an error: sqlstate says which */
	RG_PG_TLS,					/* TLS negotiation or certificate check failed */
	RG_PG_UNREACHABLE,			/* no route, host down, address not resolved */
	RG_PG_OTHER
} RgPgWhy;

typedef struct RgPgFailure
{
	RgPgWhy		why;
	char		sqlstate[6];	/* "" where the server said nothing; 28P01 or 28000 also where it
								 * wants a login that we can't give: alive, cannot log in */
	char		source_file[32];	/* PG_DIAG_SOURCE_FILE: "be-secure.c" tells a dead
									 * postmaster from a planned stop, both 57P01 */
	char		message[256];	/* one line, no connection string in it */
	char		detail[256];	/* of a statement's error only */
	char		hint[256];
} RgPgFailure;

typedef struct RgPgParams
{
	char		host[256];		/* for TLS and .pgpass */
	char		hostaddr[64];	/* numeric; "" = host is numeric itself or a socket directory */
	int			port;
	char		dbname[64];
	char		user[64];
	char		passfile[1024];
	char		sslmode[16];
	char		application_name[64];
} RgPgParams;

/*
 * res is valid during the call only; NULL on failure.  failure is never NULL: why is
 * RG_PG_FINE on success.  Callbacks may call anything here, rg_pg_free() included.
 */
typedef void (*RgPgResultFn) (void *arg, const PGresult *res, const RgPgFailure *failure);

/*
 * Connected (failure->why == RG_PG_FINE), or not, or lost later: then RG_PG_CLOSED with what
 * the server said last (57P01 and source_file; 57P02 when another of its processes crashed).
 * 57P03 is both "starting up" and "shutting down": only the message tells, where it is English.
 */
typedef void (*RgPgStateFn) (void *arg, RgPg *pg, const RgPgFailure *failure);

/* A closed session; params are copied.  NULL when out of memory. */
extern RgPg *rg_pg_new(struct event_base *base, const RgPgParams *params,
					   RgPgStateFn on_state, void *arg);
extern void rg_pg_free(RgPg *pg);	/* takes NULL; calls nobody back */

/* New parameters count from the next connect on. */
extern void rg_pg_set_params(RgPg *pg, const RgPgParams *params);

/* Starts to connect (closing first); on_state tells the end. */
extern void rg_pg_connect(RgPg *pg, int deadline_ms);

/* Closes; queued statements fail with RG_PG_CLOSED; on_state is not called. */
extern void rg_pg_close(RgPg *pg);

extern bool rg_pg_is_open(const RgPg *pg);
extern bool rg_pg_is_connecting(const RgPg *pg);

/* A statement is running or waiting. */
extern bool rg_pg_is_busy(const RgPg *pg);

/*
 * Queues one statement with text parameters (NULL = SQL null); they are
 * copied.  fn is called exactly once, never from inside this function.  An
 * SQL error leaves the session open; a deadline closes it (fn, then on_state).
 * Returns 0, or RGE_STATE when not open, RGE_LIMIT when the queue is full.
 */
extern int	rg_pg_exec(RgPg *pg, const char *sql, int nparams, const char *const *values,
					   int deadline_ms, RgPgResultFn fn, void *arg);

#endif							/* RG_PG_H */
