/*
 * client.h
 *	  One client of the chaos test: a session that writes numbered rows.
 *
 * A client owns one connection at a time and never blocks: client_turn() does
 * what can be done now, client_wants() says what to wait for.  What was
 * acknowledged, refused or lost is written down at once, one line each with one
 * write(2), so that nothing is forgotten when the process is killed.
 *
 * Lines (times in microseconds of the monotonic clock):
 *	 A ids label host sent lo hi term kind	acknowledged; it arrived between lo and hi
 *	 P ids label host sent lo hi term kind	PREPARE TRANSACTION acknowledged
 *	 F ids label host sent hi sqlstate kind	refused: the rows can't be there
 *	 U ids label host sent hi sqlstate kind	nobody knows
 *	 N label host at						no connection
 */
#ifndef CHAOS_CLIENT_H
#define CHAOS_CLIENT_H

#include "txn.h"

#include <libpq-fe.h>
#include <poll.h>

#define CLIENT_HOSTS_MAX 8

typedef enum ClientState
{
	CLIENT_AWAY,				/* no connection; next try at next_at */
	CLIENT_CONNECTING,
	CLIENT_IDLE,				/* next transaction at next_at */
	CLIENT_BUSY
} ClientState;

typedef struct Client
{
	/* configuration */
	char		label[64];
	char		kinds[32];
	char		base[512];		/* conninfo without hosts */
	char		hosts[CLIENT_HOSTS_MAX][128];
	int			nhosts;
	int64_t		pause_us;
	int64_t		deadline_us;	/* 0: waits for ever */
	int64_t		connect_us;
	bool		fresh;			/* a new connection for each transaction */

	/* the connection */
	ClientState state;
	PGconn	   *conn;
	PostgresPollingStatusType polling;
	int			first_host;		/* rotates, so that a silent one is not asked for ever */
	int64_t		backoff_us;
	int64_t		next_at;
	int64_t		give_up_at;

	/* the transaction */
	unsigned	turn;
	const TxnKind *kind;
	int			step;
	int64_t		id;
	int64_t		sent_at;		/* of the statement that is under way */
	int64_t		quiet_at;		/* nothing had arrived then */
	long long	term;
	bool		failed;			/* an error came */
	bool		told;			/* its outcome is written down */
	char		sqlstate[8];
	char		severity[16];
} Client;

/* What all clients share. */
typedef struct Journal
{
	int			fd;
	int64_t		next_id;
} Journal;

/* Monotonic microseconds. */
extern int64_t client_now(void);

/* Fills a client from a line "label|kinds|pause_ms|deadline_ms|connect_ms|fresh|hosts|conninfo"; false: malformed. */
extern bool client_parse(Client *c, char *line);

/* Writes down that the clients begin to ask. */
extern void client_begin(const Journal *j);

/* What to wait for; returns until when at most. */
extern int64_t client_wants(const Client *c, struct pollfd *pfd);

/* Does what can be done; ready: poll() has something for it; asked_at: when poll() was called. */
extern void client_turn(Client *c, Journal *j, bool ready, int64_t asked_at);

/* Ends it; a transaction under way is written down as unknown. */
extern void client_end(Client *c, Journal *j);

#endif							/* CHAOS_CLIENT_H */
