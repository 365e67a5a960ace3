/*
 * gate_commit.c
 *	  The check before the commit record, and the one before the client is told.
 *
 * The second check comes after PostgreSQL's own wait for synchronous standbys,
 * which is only where we usually wait: it can be cancelled, it forgets its list for
 * a moment after a reload, and pg_receivewal can pose as a standby.  So in sync and
 * strict the voters that have flushed the commit are counted here.  If only the
 * count is missing, the commit waits while the lease lasts.  Who has no client (an
 * apply worker, somebody's background worker) is asked here, too; a client's
 * session is asked where the answer leaves (gate_output.c), which is later.
 *
 * Is the gate closed, the transaction stays committed here and its client learns
 * nothing: output goes nowhere and the process ends at the next interrupt.
 *
 * The callback runs after the commit: nothing in it may fail.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/wait_event.h"

#include "gate.h"
#include "gate_lock.h"
#include "gate_output.h"
#include "hot.h"
#include "pg_regent.h"
#include "settle.h"
#include "shmem.h"
#include "votes.h"

/* A look for the voters' flushes: often at first, the network is fast. */
#define LOOK_SOON_MS 1
#define LOOK_SOON_TIMES 50
#define LOOK_MS 10

/* Of this transaction, or of the command that runs it. */
static RG_HOT_DATA bool is_marked = false;
static RG_HOT_DATA bool has_acted = false;
static RG_HOT_DATA int command_depth = 0;
static RG_HOT_DATA XLogRecPtr counted_lsn = InvalidXLogRecPtr;

void
rg_gate_mark(void)
{
	is_marked = true;
}

void
rg_gate_command_begins(bool acts_before_commit)
{
	is_marked = true;
	command_depth++;
	has_acted |= acts_before_commit;
}

void
rg_gate_command_ends(void)
{
	command_depth--;
}

void
rg_gate_count(XLogRecPtr lsn)
{
	counted_lsn = lsn;
}

/* ------------------------------------------------ nobody is told */

static void
keep_silent(const char *reason)
{
	static bool is_logged = false;

	rg_output_silence();
	ProcDiePending = true;
	InterruptPending = true;
	if (!is_logged)
		ereport(LOG,
				(errhidestmt(true),
				 errmsg("pg_regent ends a session of node \"%s\" that has committed and may not say so",
						rg_node_name),
				 errdetail("It was stopped because %s. The transaction is committed on this node; its client has to find out whether it counts.",
						   reason)));
	is_logged = true;
}

static pg_attribute_cold void
judge_answer(void)
{
	RgGate		gate = rg_gate_now();

	if (!rg_gate_is_open(gate))
		keep_silent(rg_gate_text(gate));
}

pg_attribute_hot void
rg_gate_before_answer(void)
{
	if (unlikely(!rg_gate_is_plain()))
		judge_answer();
}

/* ------------------------------------------------ counting */

/* The rules to satisfy, kept in this process while nothing has changed. */
static const RgJoint *
current_rules(void)
{
	static RgJoint rules;
	static uint64 generation = 0;
	uint64		now = pg_atomic_read_u64(&rg_shared->gate_generation);

	if (now != generation)
	{
		LWLockAcquire(rg_shared->lock, LW_SHARED);
		rules = rg_shared->joint;
		generation = pg_atomic_read_u64(&rg_shared->gate_generation);
		LWLockRelease(rg_shared->lock);
	}
	return &rules;
}

/* Have as many voters as each of the rules asks for flushed it? */
static bool
is_counted(XLogRecPtr lsn)
{
	const RgJoint *rules;
	RgVotes		votes;

	if (pg_atomic_read_u32(&rg_shared->gate_is_joint) != 0)
		(void) rg_settle_look();
	if (pg_atomic_read_u32(&rg_shared->gate_counts) == 0)
		return true;
	rules = current_rules();
	if (rules->nrules == 0)
		return false;
	rg_votes_take(rules, &votes);
	return rg_joint_acknowledges(rules, rg_votes_flushed(&votes, lsn));
}

/*
 * Did this commit ask for a count?  Not one that the server itself did not flush:
 * synchronous_commit was off, or it changed nothing that is logged; nor what is
 * removed at the end of a session.
 */
static bool
asks_for_count(XLogRecPtr lsn)
{
	return !XLogRecPtrIsInvalid(lsn) && synchronous_commit > SYNCHRONOUS_COMMIT_LOCAL_FLUSH &&
		lsn <= GetFlushRecPtr(NULL) && !proc_exit_inprogress;
}

/*
 * Returns false where waiting makes no sense any more.  A cancel is no reason: what
 * could be said then is neither that it is committed nor that it is not.
 */
static bool
wait_a_moment(int times)
{
	int			events;

	if (ProcDiePending)
		return false;
	events = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_POSTMASTER_DEATH,
					   times < LOOK_SOON_TIMES ? LOOK_SOON_MS : LOOK_MS, PG_WAIT_EXTENSION);
	if (events & WL_LATCH_SET)
		ResetLatch(MyLatch);
	return (events & WL_POSTMASTER_DEATH) == 0;
}

/* ------------------------------------------------ the two checks */

/*
 * What was committed ends at lsn.  The count comes before the look at the clock:
 * what is said last was true last.
 */
static void
wait_for_count(XLogRecPtr lsn)
{
	for (int times = 0; !is_counted(lsn); times++)
	{
		RgGate		gate = rg_gate_now();

		if (!rg_gate_is_open(gate))
		{
			keep_silent(rg_gate_text(gate));
			return;
		}
		if (gate != RG_GATE_OPEN)
			return;
		if (!wait_a_moment(times))
		{
			keep_silent("too few voters had flushed the commit when its wait was ended");
			return;
		}
	}
}

static inline bool
has_xid(void)
{
	return TransactionIdIsValid(GetTopTransactionIdIfAny());
}

/*
 * With regent.require_sync_commit nobody but a superuser gets away with a commit that
 * asks for less than the rule: it is raised, for this transaction only.  An error here
 * would only teach applications to retry what has failed for no fault of theirs.
 */
static void
raise_sync_commit(void)
{
	if (synchronous_commit > SYNCHRONOUS_COMMIT_LOCAL_FLUSH || rg_gate_is_off() ||
		pg_atomic_read_u32(&rg_shared->gate_permits) == 0 ||
		pg_atomic_read_u32(&rg_shared->gate_counts) == 0 || rg_gate_is_exempt() ||
		superuser_arg(GetSessionUserId()))
		return;
	(void) set_config_option("synchronous_commit", "on", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL,
							 true, 0, false);
}

static inline void
forget_transaction(void)
{
	rg_gate_transaction_is_exempt = false;
	counted_lsn = InvalidXLogRecPtr;
	if (command_depth == 0)
		is_marked = has_acted = false;
}

static inline void
count_if_asked(XLogRecPtr lsn)
{
	if (pg_atomic_read_u32(&rg_shared->gate_counts) != 0 && asks_for_count(lsn))
		wait_for_count(lsn);
}

/* It has no client, or is exempt. */
static pg_attribute_cold void
after_own_commit(XLogRecPtr lsn)
{
	if (rg_gate_is_exempt())
		return;
	count_if_asked(lsn);
	rg_gate_before_answer();
}

static pg_attribute_hot void
after_commit(XLogRecPtr lsn)
{
	if (rg_gate_is_off())
		return;
	if (unlikely(!rg_gate_asks_client()))
	{
		after_own_commit(lsn);
		return;
	}
	count_if_asked(lsn);
	rg_output_expect_answer();
}

static pg_attribute_cold void
on_rare_event(XactEvent event)
{
	switch (event)
	{
		case XACT_EVENT_PRE_PREPARE:
			rg_gate_require();
			if (rg_require_sync_commit)
				raise_sync_commit();
			rg_gate_forbid_prepared_lock();
			break;
		case XACT_EVENT_PREPARE:
			/* its record has been flushed, and is forgotten by now */
			after_commit(GetFlushRecPtr(NULL));
			forget_transaction();
			break;
		case XACT_EVENT_ABORT:
			forget_transaction();
			break;
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PARALLEL_ABORT:
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
			break;
	}
}

static pg_attribute_hot void
on_transaction_event(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_COMMIT)
	{
		if (has_xid() && !has_acted)
			rg_gate_require();
		if (rg_require_sync_commit && (has_xid() || is_marked))
			raise_sync_commit();
	}
	else if (event == XACT_EVENT_COMMIT)
	{
		if (has_xid())
			after_commit(XactLastCommitEnd);
		else if (is_marked)
			after_commit(counted_lsn);
		forget_transaction();
	}
	else
		on_rare_event(event);
}

void
rg_gate_watch_commits(void)
{
	RegisterXactCallback(on_transaction_event, NULL);
	rg_output_watch();
}
