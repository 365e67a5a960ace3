/*
 * votes.c
 *	  Whose flush counts: the voters' positions, as this primary sees them.
 *
 * PostgreSQL's own wait for synchronous standbys is no proof: it can be cancelled,
 * it forgets for a moment after a reload, and whatever streams under the right
 * name ends it.  So the gate and the markers count here.
 *
 * A voter that reports a flush above our own flushed WAL can't have it from us:
 * we are an older copy of ourselves, come back from a snapshot or from a disk
 * that lied.  It is not counted, it closes the gate, and it stays noted after our
 * own WAL has grown past it: only the watchdog, which compares histories, can
 * say that all is well.  What it has judged (the same walsender with no more than
 * it showed) is not noted again.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "replication/slot.h"
#include "replication/walsender.h"
#include "replication/walsender_private.h"
#include "storage/lwlock.h"
#include "storage/spin.h"

#include "pg_regent.h"
#include "shmem.h"
#include "slots.h"
#include "votes.h"

/* The voter that may vote on this slot; -1: nobody. */
static int
voter_of_slot(const RgJoint *joint, const char *slot)
{
	const char *name = slot + strlen(RG_SLOT_PREFIX);

	if (strncmp(slot, RG_SLOT_PREFIX, strlen(RG_SLOT_PREFIX)) != 0 || strcmp(name, rg_node_name) == 0)
		return -1;
	for (int i = 0; i < joint->nnames; i++)
		if (strcmp(joint->names[i], name) == 0)
			return i;
	return -1;
}

/* Voters whose slot is in use; votes holds RG_JOINT_NAMES_MAX. */
static int
find_voters(const RgJoint *joint, RgVote *votes)
{
	int			count = 0;

	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (int i = 0; i < max_replication_slots && count < RG_JOINT_NAMES_MAX; i++)
	{
		ReplicationSlot *slot = &ReplicationSlotCtl->replication_slots[i];
		char		name[NAMEDATALEN];
		pid_t		pid;

		if (!slot->in_use)
			continue;
		SpinLockAcquire(&slot->mutex);
		pid = SlotIsPhysical(slot) ? slot->active_pid : 0;
		memcpy(name, NameStr(slot->data.name), NAMEDATALEN);
		SpinLockRelease(&slot->mutex);
		if (pid == 0)
			continue;
		votes[count].pid = pid;
		votes[count].voter = voter_of_slot(joint, name);
		if (votes[count].voter >= 0)
			count++;
	}
	LWLockRelease(ReplicationSlotControlLock);
	return count;
}

/* What the standby of this walsender has flushed, Invalid if it does not stream. */
static XLogRecPtr
flushed_by(pid_t pid)
{
	for (int i = 0; i < max_wal_senders; i++)
	{
		WalSnd	   *walsender = &WalSndCtl->walsnds[i];
		bool		is_it;
		XLogRecPtr	flush;

		SpinLockAcquire(&walsender->mutex);
		is_it = walsender->pid == pid;
		flush = walsender->state == WALSNDSTATE_STREAMING ||
			walsender->state == WALSNDSTATE_CATCHUP ? walsender->flush : InvalidXLogRecPtr;
		SpinLockRelease(&walsender->mutex);
		if (is_it)
			return flush;
	}
	return InvalidXLogRecPtr;
}

static void
note_ahead(const RgJoint *joint, const RgVote *vote, XLogRecPtr own)
{
	bool		is_news;

	LWLockAcquire(rg_shared->lock, LW_EXCLUSIVE);
	is_news = rg_shared->ahead_seen[vote->voter].pid != vote->pid ||
		rg_shared->ahead_seen[vote->voter].lsn < vote->flush;
	if (is_news)
	{
		rg_shared->ahead_seen[vote->voter].pid = vote->pid;
		rg_shared->ahead_seen[vote->voter].lsn = vote->flush;
		strlcpy(rg_shared->ahead, joint->names[vote->voter], sizeof(rg_shared->ahead));

		/* an answer of this very millisecond need not have shown it */
		pg_atomic_write_u64(&rg_shared->stale_since_ms, (uint64) rg_boottime_ms() + 1);
	}
	LWLockRelease(rg_shared->lock);
	if (is_news)
		ereport(LOG,
				(errhidestmt(true),
				 errmsg("pg_regent: node \"%s\" shows WAL that node \"%s\" does not have",
						joint->names[vote->voter], rg_node_name),
				 errdetail("It has flushed up to %X/%X, this server up to %X/%X.",
						   LSN_FORMAT_ARGS(vote->flush), LSN_FORMAT_ARGS(own)),
				 errhint("This server was perhaps restored from an older copy. It acknowledges no write until the watchdog has compared them.")));
}

void
rg_votes_take(const RgJoint *joint, RgVotes *ret)
{
	int			count = find_voters(joint, ret->votes);
	XLogRecPtr	own;

	for (int i = 0; i < count; i++)
		ret->votes[i].flush = flushed_by(ret->votes[i].pid);

	/* read last: whoever has it from us is behind this */
	own = GetFlushRecPtr(NULL);
	ret->count = 0;
	for (int i = 0; i < count; i++)
	{
		if (ret->votes[i].flush > own)
			note_ahead(joint, &ret->votes[i], own);
		else if (!XLogRecPtrIsInvalid(ret->votes[i].flush))
			ret->votes[ret->count++] = ret->votes[i];
	}
}

uint64
rg_votes_flushed(const RgVotes *votes, XLogRecPtr lsn)
{
	uint64		flushed = 0;

	for (int i = 0; i < votes->count; i++)
		if (votes->votes[i].flush >= lsn)
			flushed |= UINT64CONST(1) << votes->votes[i].voter;
	return flushed;
}

bool
rg_votes_forgive_locked(int64 seen_ms)
{
	int64		since = (int64) pg_atomic_read_u64(&rg_shared->stale_since_ms);

	if (since == 0)
		return true;
	if (seen_ms < since)
		return false;
	rg_shared->ahead[0] = '\0';
	pg_atomic_write_u64(&rg_shared->stale_since_ms, 0);
	return true;
}
