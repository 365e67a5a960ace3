/*
 * marker.c
 *	  WAL markers: life and lease of a leader while no watchdog speaks.
 *
 * The death of the watchdog must not stop writes.  When it has been silent for a
 * fifth of the lease, the leader writes and flushes a small logical message at
 * its clock t.  Once q standbys of the rule have flushed it, the lease runs to t +
 * lease: a standby with a newer promise has cut its receiver and can't flush it,
 * so this and a recruit exclude each other.  t is read before the marker is
 * written, never after.
 *
 * Markers are written with regent.lease_from_standbys = off, too: they show the
 * standbys of an idle primary that it lives.  Without any standby nobody can be
 * recruited, and a leader that has had a lease since its start renews it itself.
 *
 * Everything here is the worker's own memory: its restart costs one marker.
 */
#include "postgres.h"

#include <limits.h>

#include "access/xlog.h"
#include "replication/message.h"

#include "compat.h"
#include "lease.h"
#include "marker.h"
#include "pg_regent.h"
#include "settle.h"
#include "shmem.h"
#include "start.h"
#include "votes.h"

#define MARKER_PREFIX "pg_regent"
#define PARTS_OF_LEASE 5
#define PAUSE_MIN_MS 10
#define LOOK_SOON_MS 5
#define LOOK_SOON_FOR_MS 100
#define LOOK_AGAIN_MS 20
#define NOTHING_TO_DO_MS LONG_MAX

/* Older ones give a lease that is over. */
#define MARKERS_MAX (PARTS_OF_LEASE + 1)

typedef struct Marker
{
	XLogRecPtr	lsn;			/* end of the record */
	int64		at_ms;			/* before it was written */
} Marker;

/* Not yet flushed by enough standbys, oldest first; all of one rule. */
static Marker markers[MARKERS_MAX];
static int	nmarkers = 0;
static int64 markers_term = 0;
static int32 markers_seq = 0;

static int64 leads_since_ms = 0;	/* 0: it does not */
static int64 last_marker_ms = 0;

/* Does this node lead, by which rules, and how long is the newest one's lease? */
static bool
get_rules(RgJoint *ret_rules, int64 *ret_lease_ms)
{
	if (rg_node_name[0] == '\0' || RecoveryInProgress())
		return false;
	LWLockAcquire(rg_shared->lock, LW_SHARED);
	*ret_rules = rg_shared->joint;
	*ret_lease_ms = rg_shared->state.rule.lease_ms;
	LWLockRelease(rg_shared->lock);
	return ret_rules->term != 0;
}

static void
forget_markers(void)
{
	nmarkers = 0;
	last_marker_ms = 0;
}

static void
write_marker(const RgJoint *rules)
{
	char		message[64];
	Marker		marker;

	marker.at_ms = rg_boottime_ms();
	snprintf(message, sizeof(message), "term " INT64_FORMAT "." "%d", rules->term, rules->seq);
	marker.lsn = rg_compat_log_message(MARKER_PREFIX, message, strlen(message));
	XLogFlush(marker.lsn);

	if (nmarkers == MARKERS_MAX)
		memmove(&markers[0], &markers[1], --nmarkers * sizeof(Marker));
	markers[nmarkers++] = marker;
	last_marker_ms = marker.at_ms;
}

/* The newest marker that enough standbys have flushed gives a lease. */
static void
take_lease(const RgJoint *rules, int64 lease_ms)
{
	RgVotes		votes;
	int			count = nmarkers;

	rg_votes_take(rules, &votes);
	while (count > 0 && !rg_joint_gives_lease(rules, rg_votes_flushed(&votes, markers[count - 1].lsn)))
		count--;
	if (count == 0 || (rg_lease_from_standbys && !rg_start_is_open()))
		return;
	if (rg_lease_from_standbys)
		(void) rg_lease_renew(rules, markers[count - 1].at_ms + lease_ms);
	nmarkers -= count;
	memmove(&markers[0], &markers[count], nmarkers * sizeof(Marker));
}

static void
renew_alone(const RgJoint *rules, int64 lease_ms)
{
	if (pg_atomic_read_u64(&rg_shared->lease_until_ms) != 0)
		(void) rg_lease_renew(rules, rg_boottime_ms() + lease_ms);
}

static long
pause_after(int64 now, int64 interval)
{
	int64		due = Max(last_marker_ms + interval - now, 1);
	int64		look;

	if (nmarkers == 0)
		return (long) due;
	look = now - markers[nmarkers - 1].at_ms < LOOK_SOON_FOR_MS ? LOOK_SOON_MS : LOOK_AGAIN_MS;
	return (long) Min(due, look);
}

long
rg_marker_work(void)
{
	static RgJoint rules;
	int64		now = rg_boottime_ms();
	int64		lease_ms;
	int64		interval;
	int64		quiet_since;

	if (!get_rules(&rules, &lease_ms))
	{
		leads_since_ms = 0;
		forget_markers();
		return NOTHING_TO_DO_MS;
	}
	if (leads_since_ms == 0)
		leads_since_ms = now;
	if (markers_term != rules.term || markers_seq != rules.seq)
		forget_markers();
	markers_term = rules.term;
	markers_seq = rules.seq;

	/* it gets as long to speak for the first time as ever after */
	interval = Max(lease_ms / PARTS_OF_LEASE, PAUSE_MIN_MS);
	quiet_since = Max(leads_since_ms, (int64) pg_atomic_read_u64(&rg_shared->watchdog_seen_ms));
	if (now - quiet_since < interval)
	{
		(void) rg_settle_look();
		forget_markers();
		return (long) (interval - (now - quiet_since));
	}

	(void) rg_settle_look();
	if (!rg_joint_is_alone(&rules))
		take_lease(&rules, lease_ms);
	if (now - last_marker_ms >= interval)
	{
		last_marker_ms = now;
		if (!rg_joint_is_alone(&rules))
			write_marker(&rules);
		else
			renew_alone(&rules, lease_ms);
	}
	return pause_after(now, interval);
}
