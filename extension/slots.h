/*
 * slots.h
 *	  Replication slots of the rule's voters.
 */
#ifndef RG_SLOTS_H
#define RG_SLOTS_H

#include "postgres.h"

#include "replication/slot.h"

#include "rulejson.h"

/* The slot of node n1 is regent_n1. */
#define RG_SLOT_PREFIX "regent_"

/*
 * Creates the slots regent_<voter> that are missing here, inside the caller's
 * transaction; they keep WAL at once.  Returns how many it made.
 */
extern int	rg_slots_create_missing(const RgRule *rule);

/*
 * Makes unused slots of voters that keep no WAL yet keep it from the last checkpoint
 * or restartpoint on, without taking them: for a node that is about to be promoted.
 * Throws nothing.
 */
extern void rg_slots_keep_wal(const RgRule *rule);

/*
 * Moves unused slots of our own on: on a standby after their owners, and everywhere
 * where they hold more than regent.slot_wal_limit.  Takes no slot, so whoever is about
 * to connect finds his one free.
 */
extern void rg_slots_look_after(const RgRule *rule);

/*
 * Drops unused slots of our own that are of no use: invalidated by the server, to be
 * made anew, or our own node's.  Returns how many.
 */
extern int	rg_slots_drop_useless(const RgRule *rule);

/* The slot regent_<node>, or NULL. */
extern ReplicationSlot *rg_slots_find(const char *node);

#endif							/* RG_SLOTS_H */
