/*
 * slot_status.h
 *	  What replication slots hold here, for the heartbeat.
 */
#ifndef RG_SLOT_STATUS_H
#define RG_SLOT_STATUS_H

#include "postgres.h"

/* Looks where the WAL that is still in pg_wal begins; of the worker, now and then. */
extern void rg_slots_note_oldest(void);

/*
 * {"oldest_lsn", "archive", "physical": [{"node", "active", "restart_lsn", "wal_status",
 * "kept_bytes", "limit_bytes", "released"}], "logical": {"count", "names"}}: our own slots with what
 * they hold; of the logical ones, which are others', how many and the first names.
 */
extern Datum rg_slots_jsonb(void);

#endif							/* RG_SLOT_STATUS_H */
