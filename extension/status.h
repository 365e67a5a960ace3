/*
 * status.h
 *	  What this server is and does, as one row.
 */
#ifndef RG_STATUS_H
#define RG_STATUS_H

#include "postgres.h"

#include "replication/walreceiver.h"

/* Columns of regent.node_status(); those of heartbeat() begin with them. */
#define RG_STATUS_COLUMNS 34

extern void rg_status_values(Datum *ret_values, bool *ret_nulls);

/* One standby that streams from this server, see rg_status_standbys. */
typedef struct RgStandby
{
	pid_t		pid;
	char		node[NAMEDATALEN];
	const char *state;
	const char *sync_state;
	XLogRecPtr	flush_lsn;
	XLogRecPtr	replay_lsn;
} RgStandby;

/* Physical walsenders; palloc'd, *ret_count of them. */
extern RgStandby *rg_status_standbys(int *ret_count);

#endif							/* RG_STATUS_H */
