/*
 * pg_failure.h
 *	  What a failure of libpq means: refused, closed, silent, or an answer.
 *
 * "The server said no" and "nobody is there" lead to opposite decisions (a
 * saturated server is alive), so this is kept apart from the session and
 * tested by itself.
 */
#ifndef RG_PG_FAILURE_H
#define RG_PG_FAILURE_H

#include "pg.h"

/* A connect that libpq gave up; text is PQerrorMessage() of a connection with
 * PQERRORS_VERBOSE. */
extern void rg_pg_failure_connect(RgPgFailure *failure, const char *text);

/* An open connection that broke; text is PQerrorMessage(), last_fatal what the server sent before. */
extern void rg_pg_failure_lost(RgPgFailure *failure, const char *text, const RgPgFailure *last_fatal);

/* An error that came as a result or a notice. */
extern void rg_pg_failure_result(RgPgFailure *failure, const PGresult *res);

/* One of our own making. */
extern void rg_pg_failure_set(RgPgFailure *failure, RgPgWhy why, const char *fmt,...)
			__attribute__((format(printf, 3, 4)));

/* What to type, where the server gave no hint of its own. */
extern void rg_pg_failure_add_hint(RgPgFailure *failure, const RgPgParams *params);

#endif							/* RG_PG_FAILURE_H */
