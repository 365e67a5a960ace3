/*
 * slotsync.h
 *	  The settings by which the server itself carries logical slots to its standbys.
 */
#ifndef RG_SLOTSYNC_H
#define RG_SLOTSYNC_H

#include "postgres.h"

/* At server start, in the postmaster: keeps the server from a setting that would end it. */
extern void rg_slot_sync_init(void);

/*
 * The connection string with the database that the server has to log in to; where it
 * names one already, or slots are not carried over here, as it is.
 */
extern const char *rg_slot_sync_conninfo(const char *conninfo);

/* Does a setting differ from what it has to be, and is it for us to change? */
extern bool rg_slot_sync_is_due(void);

/* Writes them and reloads, inside the caller's transaction. */
extern void rg_slot_sync_fit(void);

#endif							/* RG_SLOTSYNC_H */
