/*
 * session.h
 *	  One libpq session for commands that wait: connect, ask, all with deadlines.
 *
 * regentd's sessions live on an event loop; check and init do one thing after
 * the other, so theirs block, but never longer than they are told to.
 */
#ifndef RG_SESSION_H
#define RG_SESSION_H

#include <libpq-fe.h>
#include "../app/config.h"

#define RG_SESSION_CONNECT_MS 5000
#define RG_SESSION_QUERY_MS 10000

typedef struct RgSession
{
	const RgConfig *config;
	const RgNodeConfig *node;
	char		user[RG_NAME_MAX];
	char		dbname[RG_NAME_MAX];
	PGconn	   *conn;			/* NULL: not open */
	bool		is_admin;		/* by --admin-conninfo */
	char		sqlstate[6];	/* of the last failure; "" = the server said nothing */
} RgSession;

/*
 * Connects to a node.  conninfo NULL: as the configured user, with the
 * configured passfile; else as that connection string says.  Host, port and
 * database are always those of the configuration.  Failures have a sentence as message and a fix as hint.
 */
extern int	rg_session_open(RgSession *session, const RgConfig *config, int node,
							const char *conninfo, RgError *err);
extern void rg_session_close(RgSession *session);	/* takes one that is closed */

/* One statement; the caller clears the result.  After a timeout the session is closed. */
extern int	rg_session_query(RgSession *session, const char *sql, int nparams,
							 const char *const *values, int deadline_ms,
							 PGresult **ret_result, RgError *err);

/* The first field of the first row into buf, "" where it is null or there is no row. */
extern int	rg_session_value(RgSession *session, const char *sql, int nparams,
							 const char *const *values, char *buf, size_t size, RgError *err);

/* The numeric address of a host name, within a deadline; "" for addresses and socket directories. */
extern int	rg_session_resolve(const char *host, char *buf, size_t size, RgError *err);

#endif							/* RG_SESSION_H */
