/*
 * settle.c
 *	  When a leader's newest rule counts alone.
 *
 * A rule that this leader has written after another one of its own has to be
 * satisfied together with that one until enough standbys have flushed it (joint.h).
 * Whoever waits for that looks: the worker in its rounds, a commit in its own wait,
 * a heartbeat.  The place to reach is where our WAL ended when the rule was in; after
 * a start nobody knows that any more, so it is where WAL ends at the first look.
 *
 * What has been seen is kept by dropping the older rule from the state: the worker
 * writes the file.  If the server dies before that, it has to be seen again.
 */
#include "postgres.h"

#include "access/xlog.h"

#include "gate.h"
#include "pg_regent.h"
#include "settle.h"
#include "shmem.h"
#include "votes.h"

void
rg_settle_rules(RgJoint *ret)
{
	LWLockAcquire(rg_shared->lock, LW_SHARED);
	*ret = rg_shared->joint;
	LWLockRelease(rg_shared->lock);
}

/* Enough have it: unless another rule came in between. */
static bool
settle(const RgJoint *joint)
{
	bool		is_same;

	LWLockAcquire(rg_shared->lock, LW_EXCLUSIVE);
	is_same = rg_shared->joint.term == joint->term && rg_shared->joint.seq == joint->seq;
	if (is_same)
	{
		rg_state_settle(&rg_shared->state);
		rg_shared->state_dirty = true;
		rg_gate_refresh_locked();
	}
	LWLockRelease(rg_shared->lock);
	if (is_same)
	{
		rg_worker_wake();
		ereport(LOG,
				(errhidestmt(true),
				 errmsg("pg_regent: rule " INT64_FORMAT ".%d of node \"%s\" is in force",
						joint->term, joint->seq, rg_node_name)));
	}
	return is_same;
}

bool
rg_settle_look(void)
{
	RgJoint		joint;
	RgVotes		votes;
	XLogRecPtr	lsn;

	rg_settle_rules(&joint);
	if (joint.term == 0)
		return false;
	rg_votes_take(&joint, &votes);
	if (!joint.has_previous)
		return true;

	LWLockAcquire(rg_shared->lock, LW_EXCLUSIVE);
	if (XLogRecPtrIsInvalid(rg_shared->joint_lsn))
		rg_shared->joint_lsn = GetFlushRecPtr(NULL);
	lsn = rg_shared->joint_lsn;
	LWLockRelease(rg_shared->lock);
	return rg_joint_settles(&joint, rg_votes_flushed(&votes, lsn)) && settle(&joint);
}

bool
rg_settle_is_over(const RgRule *rule)
{
	bool		is_over;

	LWLockAcquire(rg_shared->lock, LW_SHARED);
	is_over = rg_shared->joint.term == rule->term && rg_shared->joint.seq == rule->seq &&
		!rg_shared->joint.has_previous && !rg_shared->joint.has_pending;
	LWLockRelease(rg_shared->lock);
	return is_over;
}
