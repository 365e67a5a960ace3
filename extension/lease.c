/*
 * lease.c
 *	  The lease: until when, by its own clock, this leader may acknowledge writes.
 *
 * Nothing late can extend it.  The watchdog names the end in this node's own
 * clock, computed from an earlier answer, so a grant that was delayed, repeated
 * or reordered says nothing new; and it names the server start, the term and
 * itself.  All is checked under the shared lock, under which a promise and a new
 * rule are stored too: a grant comes wholly before or wholly after them.
 */
#include "postgres.h"

#include "access/xlog.h"

#include "lease.h"
#include "pg_regent.h"
#include "shmem.h"
#include "start.h"
#include "votes.h"

static int64
current_lease(void)
{
	return (int64) pg_atomic_read_u64(&rg_shared->lease_until_ms);
}

void
rg_lease_fit_locked(void)
{
	const RgState *state = &rg_shared->state;
	int64		current = current_lease();
	int64		fitted = 0;

	if (current == 0)
		return;
	if (!rg_shared->state_bad && rg_state_leads(state))
		fitted = rg_rules_cut_lease(current, rg_boottime_ms(), state->rule.lease_ms);
	if (fitted != current)
		pg_atomic_write_u64(&rg_shared->lease_until_ms, (uint64) fitted);
}

/* Extends it; returns whether there was none in force before.  Under the lock. */
static bool
extend(int64 until_ms, int64 now)
{
	int64		current = current_lease();

	pg_atomic_write_u64(&rg_shared->lease_until_ms,
						(uint64) rg_rules_extend_lease(current, until_ms, now,
													   rg_shared->state.rule.lease_ms));
	return current <= now;
}

static void
log_begin(int64 term, const char *source)
{
	ereport(LOG,
			(errhidestmt(true),
			 errmsg("pg_regent: a lease of node \"%s\" begins in term " INT64_FORMAT ", from %s",
					rg_node_name, term, source)));
}

bool
rg_lease_grant(const RgCommand *command, int64 until_ms)
{
	const RgState *state = &rg_shared->state;
	bool		is_first = false;
	bool		counts;
	int64		now;

	if (RecoveryInProgress() || !rg_start_open())
		return false;
	LWLockAcquire(rg_shared->lock, LW_EXCLUSIVE);
	now = rg_boottime_ms();
	counts = !rg_shared->state_bad && rg_state_leads(state) &&
		state->rule.term == command->term &&
		strcmp(state->watchdog, command->watchdog) == 0 && state->counter == command->counter &&
		until_ms > now && rg_votes_forgive_locked(until_ms - state->rule.lease_ms);
	if (counts)
		is_first = extend(until_ms, now);
	LWLockRelease(rg_shared->lock);
	if (is_first)
		log_begin(command->term, "the watchdog");
	return counts;
}

bool
rg_lease_renew(const RgJoint *joint, int64 until_ms)
{
	const RgState *state = &rg_shared->state;
	bool		is_first = false;
	bool		counts;
	int64		now;

	if (!rg_start_is_open())
		return false;
	LWLockAcquire(rg_shared->lock, LW_EXCLUSIVE);
	now = rg_boottime_ms();
	counts = !rg_shared->state_bad && rg_state_leads(state) &&
		rg_rules_compare(state->rule.term, state->rule.seq, joint->term, joint->seq) == 0 &&
		pg_atomic_read_u64(&rg_shared->stale_since_ms) == 0 && until_ms > now;
	if (counts)
		is_first = extend(until_ms, now);
	LWLockRelease(rg_shared->lock);
	if (is_first)
		log_begin(joint->term, rg_joint_is_alone(joint) ? "itself" : "its standbys");
	return counts;
}
