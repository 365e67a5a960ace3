/*
 * slots.h
 *	  Replication slots of the rule's voters.
 */
#ifndef RG_SLOTS_H
#define RG_SLOTS_H

#include "postgres.h"

#include "rulejson.h"

/*
 * Creates the slots regent_<voter> that are missing here, inside the caller's
 * transaction; on a primary they keep WAL at once.  Returns how many it made.
 */
extern int	rg_slots_create_missing(const RgRule *rule);

/*
 * Makes unused slots of voters keep WAL from the last checkpoint or restartpoint on,
 * at once and without taking them: for a node that is about to be promoted, or has
 * just been.  The first checkpoint after a promotion recycles WAL that voters which
 * were down still need.  Returns how many it changed; throws nothing.
 */
extern int	rg_slots_keep_wal(const RgRule *rule);

/*
 * Makes unused slots of voters keep WAL on the leader and none on a standby; how
 * many were changed.  Not to be called right after a role has changed: standbys
 * are about to connect then.
 */
extern int	rg_slots_fit_role(const RgRule *rule);

#endif							/* RG_SLOTS_H */
