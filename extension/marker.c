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

#include "lease.h"
#include "marker.h"
#include "pg_regent.h"
#include "shmem.h"
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

/* Does this node lead, and by which rule? */
static bool
get_rule(RgRule *ret_rule)
{
	bool		leads;

	if (rg_node_name[0] == '\0' || RecoveryInProgress())
		return false;
	LWLockAcquire(rg_shared->lock, LW_SHARED);
	leads = !rg_shared->state_bad && rg_state_leads(&rg_shared->state);
	if (leads)
		*ret_rule = rg_shared->state.rule;
	LWLockRelease(rg_shared->lock);
	return leads;
}

static void
forget_markers(void)
{
	nmarkers = 0;
	last_marker_ms = 0;
}

static void
write_marker(const RgRule *rule)
{
	char		message[64];
	Marker		marker;

	marker.at_ms = rg_boottime_ms();
	snprintf(message, sizeof(message), "term " INT64_FORMAT "." "%d", rule->term, rule->seq);
	marker.lsn = LogLogicalMessage(MARKER_PREFIX, message, strlen(message), false);
	XLogFlush(marker.lsn);

	if (nmarkers == MARKERS_MAX)
		memmove(&markers[0], &markers[1], --nmarkers * sizeof(Marker));
	markers[nmarkers++] = marker;
	last_marker_ms = marker.at_ms;
}

/* The newest marker that enough standbys have flushed gives a lease. */
static void
take_lease(const RgRule *rule, int standbys)
{
	XLogRecPtr	flushed = rg_votes_quorum_lsn(rule, rg_rules_lease_quorum(standbys));
	int			count = 0;

	while (count < nmarkers && markers[count].lsn <= flushed)
		count++;
	if (count == 0)
		return;
	if (rg_lease_from_standbys)
		(void) rg_lease_renew(rule, markers[count - 1].at_ms + rule->lease_ms);
	nmarkers -= count;
	memmove(&markers[0], &markers[count], nmarkers * sizeof(Marker));
}

static void
renew_alone(const RgRule *rule)
{
	if (pg_atomic_read_u64(&rg_shared->lease_until_ms) != 0)
		(void) rg_lease_renew(rule, rg_boottime_ms() + rule->lease_ms);
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
	static RgRule rule;
	int64		now = rg_boottime_ms();
	int64		interval;
	int64		quiet_since;
	int			standbys;

	if (!get_rule(&rule))
	{
		leads_since_ms = 0;
		forget_markers();
		return NOTHING_TO_DO_MS;
	}
	if (leads_since_ms == 0)
		leads_since_ms = now;
	if (markers_term != rule.term || markers_seq != rule.seq)
		forget_markers();
	markers_term = rule.term;
	markers_seq = rule.seq;

	/* it gets as long to speak for the first time as ever after */
	interval = Max(rule.lease_ms / PARTS_OF_LEASE, PAUSE_MIN_MS);
	quiet_since = Max(leads_since_ms, (int64) pg_atomic_read_u64(&rg_shared->watchdog_seen_ms));
	if (now - quiet_since < interval)
	{
		rg_votes_look(&rule);
		forget_markers();
		return (long) (interval - (now - quiet_since));
	}

	standbys = rg_votes_standbys(&rule);
	if (standbys > 0)
		take_lease(&rule, standbys);
	if (now - last_marker_ms >= interval)
	{
		last_marker_ms = now;
		if (standbys > 0)
			write_marker(&rule);
		else
			renew_alone(&rule);
	}
	return pause_after(now, interval);
}
