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

#include "joint.h"

typedef struct RgVote
{
	int			voter;			/* its bit */
	pid_t		pid;
	XLogRecPtr	flush;
} RgVote;

/* What the voters of the rules that this leader has to satisfy have flushed of our WAL. */
typedef struct RgVotes
{
	int			count;
	RgVote		votes[RG_JOINT_NAMES_MAX];
} RgVotes;

/*
 * Takes them; looks as well whether a voter shows WAL that we do not have.  Voters
 * that are left out are among them: they help to give a lease.
 */
extern void rg_votes_take(const RgJoint *joint, RgVotes *ret_votes);

/* Who of them has flushed our WAL up to lsn. */
extern uint64 rg_votes_flushed(const RgVotes *votes, XLogRecPtr lsn);

/*
 * The watchdog grants upon an answer that it got at seen_ms (our clock): forgives
 * what it had seen by then.  False: somebody has been ahead of us since.  Under
 * the shared lock, exclusively.
 */
extern bool rg_votes_forgive_locked(int64 seen_ms);

#endif							/* RG_VOTES_H */
