/*
 * votes.h
 *	  Whose flush counts: the voters' positions, as this primary sees them.
 *
 * A vote comes from a physical walsender that holds a voter's own slot,
 * regent_<voter>: a slot serves one walsender at a time, so each voter counts
 * once, and neither a name nor synchronous_standby_names makes anybody a voter.
 *
 * All of it is for a primary, allocates nothing and throws nothing, so it may be
 * called in a commit callback; not with the shared lock held.
 */
#ifndef RG_VOTES_H
#define RG_VOTES_H

#include "postgres.h"

#include "access/xlogdefs.h"

#include "rulejson.h"

/* How many voters of the rule other than this node have flushed our WAL up to lsn. */
extern int	rg_votes_flushed(const RgRule *rule, XLogRecPtr lsn);

/* Up to where at least quorum of them have flushed it; Invalid if there are fewer. */
extern XLogRecPtr rg_votes_quorum_lsn(const RgRule *rule, int quorum);

/* How many voters there are beside this node. */
extern int	rg_votes_standbys(const RgRule *rule);

/* Only looks whether a voter shows WAL that we do not have; the others do that too. */
extern void rg_votes_look(const RgRule *rule);

/*
 * The watchdog grants upon an answer that it got at seen_ms (our clock): forgives
 * what it had seen by then.  False: somebody has been ahead of us since.  Under
 * the shared lock, exclusively.
 */
extern bool rg_votes_forgive_locked(int64 seen_ms);

#endif							/* RG_VOTES_H */
