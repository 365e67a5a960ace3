/*
 * gate.c
 *	  The verdict: what stands in shared memory and settings, judged by rules.c.
 *
 * While the gate is open, and only then, a few atomics are enough: "the state
 * permits it" (kept by whoever changes the state), nobody was seen ahead of us, no
 * override, and the end of the lease.  The clock is read last: whoever is held up
 * between the two sees a later time, never an earlier one.  Everything else takes
 * the slow way, which knows why.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "replication/logicalworker.h"
#include "storage/ipc.h"
#include "storage/pmsignal.h"

#include "compat.h"
#include "gate.h"
#include "hot.h"
#include "park.h"
#include "pg_regent.h"
#include "shmem.h"

#define WAIT_MS 5000

RG_HOT_DATA bool rg_gate_is_here = false;

void
rg_gate_init(void)
{
	rg_gate_define_settings();
	rg_gate_watch_statements();
	rg_gate_watch_commits();
}

void
rg_gate_begin(void)
{
	rg_gate_is_here = rg_node_name[0] != '\0' && !IsBinaryUpgrade;
}

void
rg_gate_refresh_locked(void)
{
	const RgState *state = &rg_shared->state;
	bool		permits = !rg_shared->state_bad && rg_state_leads(state);
	RgJoint    *joint = &rg_shared->joint;
	int64		term = joint->term;
	int32		seq = joint->seq;

	rg_joint_make(state, joint);
	if (!permits)
		joint->term = joint->nrules = 0;
	if (term != joint->term || seq != joint->seq)
		rg_shared->joint_lsn = InvalidXLogRecPtr;
	/* who may not write any more counts nobody, so that what waits for its count is never told */
	pg_atomic_write_u32(&rg_shared->gate_counts, !permits || rg_joint_asks(joint));
	pg_atomic_write_u32(&rg_shared->gate_is_joint, joint->has_previous);
	pg_atomic_fetch_add_u64(&rg_shared->gate_generation, 1);
	pg_atomic_write_u32(&rg_shared->gate_permits, permits);
}

static pg_attribute_cold void
get_state(RgGateState *ret)
{
	const RgState *state = &rg_shared->state;

	memset(ret, 0, sizeof(*ret));
	ret->is_off = rg_gate_is_off();
	ret->in_recovery = RecoveryInProgress();
	ret->adopting_left_ms = rg_adopting_left_ms();
	ret->is_stale = pg_atomic_read_u64(&rg_shared->stale_since_ms) != 0;
	ret->lease_until_ms = (int64) pg_atomic_read_u64(&rg_shared->lease_until_ms);
	ret->override_until_ms = (int64) pg_atomic_read_u64(&rg_shared->override_until_ms);

	LWLockAcquire(rg_shared->lock, LW_SHARED);
	ret->is_known = !XLogRecPtrIsInvalid(rg_shared->rules_lsn);
	ret->state_bad = rg_shared->state_bad;
	ret->has_state = rg_shared->state_mark.exists || rg_state_highest_term(state) > 0 ||
		state->watchdog[0] != '\0';
	ret->has_rule = state->has_rule;
	ret->is_leader = state->has_rule && strcmp(state->rule.leader, rg_node_name) == 0;
	ret->rule_term = state->has_rule ? state->rule.term : 0;
	ret->promised_term = rg_state_closing_term(state);
	LWLockRelease(rg_shared->lock);
}

/* No server becomes a standby again without a restart. */
static inline bool
is_primary(void)
{
	static RG_HOT_DATA bool answer = false;

	if (unlikely(!answer))
		answer = !RecoveryInProgress();
	return answer;
}

/* There is a lease, and nothing against it. */
static inline bool
is_plainly_open(void)
{
	int64		until;

	if (unlikely(pg_atomic_read_u32(&rg_shared->gate_permits) == 0 ||
				 pg_atomic_read_u64(&rg_shared->stale_since_ms) != 0 ||
				 pg_atomic_read_u64(&rg_shared->override_until_ms) != 0 || !is_primary()))
		return false;
	until = (int64) pg_atomic_read_u64(&rg_shared->lease_until_ms);
	pg_read_barrier();
	return likely(until > 0) && rg_boottime_ms() < until;
}

pg_attribute_hot bool
rg_gate_is_plain(void)
{
	return rg_gate_is_off() || is_plainly_open();
}

RgGate
rg_gate_now(void)
{
	RgGateState state;

	if (rg_gate_is_off())
		return RG_GATE_OFF;
	if (is_plainly_open())
		return RG_GATE_OPEN;
	/* the last words of a server that stops at once come from a signal handler, which waits for no lock */
	if (GetQuitSignalReason() != PMQUIT_NOT_SENT)
		return RG_GATE_UNKNOWN;
	get_state(&state);
	return rg_rules_gate(&state, rg_boottime_ms());
}

bool
rg_gate_lets_settings_change(const RgState *state, bool in_recovery)
{
	return state->has_rule &&
		(in_recovery || (rg_state_leads(state) && !state->has_pending && !state->has_previous &&
						 rg_gate_now() == RG_GATE_OPEN));
}

/* ------------------------------------------------ who is asked */

RG_HOT_DATA bool rg_gate_transaction_is_exempt = false;

static bool
is_own_worker(void)
{
	return MyBgworkerEntry != NULL &&
		strcmp(MyBgworkerEntry->bgw_library_name, "pg_regent") == 0;
}

/* A parallel worker's leader is asked. */
static bool
process_is_exempt(void)
{
	return IsParallelWorker() || rg_compat_is_autovacuum() || is_own_worker();
}

/* A process that is on its way out only removes its temporary tables. */
bool
rg_gate_is_exempt(void)
{
	return rg_gate_transaction_is_exempt || proc_exit_inprogress || process_is_exempt();
}

/* What a process is does not change, but the postmaster's answer would be inherited. */
pg_attribute_hot bool
rg_gate_asks_client(void)
{
	static RG_HOT_DATA enum {UNKNOWN, NO, YES} answer = UNKNOWN;

	if (unlikely(answer == UNKNOWN) && IsUnderPostmaster)
		answer = MyProcPort != NULL && !process_is_exempt() ? YES : NO;
	return answer == YES && !rg_gate_transaction_is_exempt;
}

bool
rg_gate_refuses(void)
{
	return !rg_gate_is_off() && !RecoveryInProgress() && !rg_gate_is_exempt() &&
		!rg_gate_is_open(rg_gate_now());
}

/* ------------------------------------------------ the refusal */

/* What stands in shared memory about it, for a person. */
static void
describe(RgGate gate, StringInfo ret_detail)
{
	int64		now = rg_boottime_ms();
	int64		until = (int64) pg_atomic_read_u64(&rg_shared->lease_until_ms);
	RgState    *state = palloc(sizeof(RgState));

	rg_shared_state(state);
	appendStringInfo(ret_detail, "Its gate is closed because %s.", rg_gate_text(gate));
	if (gate == RG_GATE_NOT_LEADER)
		appendStringInfo(ret_detail, " Node \"%s\" leads in term " INT64_FORMAT ".",
						 state->rule.leader, state->rule.term);
	else if (gate == RG_GATE_PROMISED)
		appendStringInfo(ret_detail, " It led in term " INT64_FORMAT " and has promised term " INT64_FORMAT ".",
						 state->rule.term, rg_state_closing_term(state));
	else if (gate == RG_GATE_LEASE_OVER)
		appendStringInfo(ret_detail, " It ended %.1f s ago.", (double) (now - until) / 1000);
	else if (gate == RG_GATE_STALE)
		appendStringInfo(ret_detail, " It was node \"%s\".", rg_shared->ahead);
	pfree(state);
}

static const char *
hint(RgGate gate)
{
	switch (gate)
	{
		case RG_GATE_NOT_LEADER:
			return "Connect to the leader; a list of all nodes with target_session_attrs=read-write finds it.";
		case RG_GATE_PROMISED:
			return "Another node takes over, or this one is confirmed again in a moment: see \"regent status\".";
		case RG_GATE_NO_LEASE:
		case RG_GATE_LEASE_OVER:
			return "The watchdog gives it the next lease, or promotes another node: see \"regent status\".";
		case RG_GATE_STATE_BAD:
			return "The server's log says why; rebuild this node: regent rebuild NODE.";
		case RG_GATE_STALE:
			return "The watchdog compares them and decides: see \"regent status\".";
		case RG_GATE_UNKNOWN:
			return "Try again in a moment; if it stays so, the server's log says what keeps pg_regent from reading regent.rule.";
		case RG_GATE_NO_RULE:
			return "Make it a node of a cluster with \"regent init\"; regent.adopting lets it write until then.";
		case RG_GATE_OPEN:
		case RG_GATE_OFF:
		case RG_GATE_OVERRIDE:
		case RG_GATE_ADOPTING:
		case RG_GATE_RECOVERY:
			break;
	}
	return "See \"regent status\".";
}

/*
 * Two can wait a moment.  A server that is being adopted only has to look first,
 * at its start.  And an apply worker would be started again at once after an
 * error (wal_retrieve_retry_interval), and fill the log.
 */
static pg_attribute_cold RgGate
wait_if_worthwhile(RgGate gate)
{
	int64		deadline = rg_boottime_ms() + WAIT_MS;

	while (!rg_gate_is_open(gate) && rg_boottime_ms() < deadline &&
		   (IsLogicalWorker() || (gate == RG_GATE_UNKNOWN && rg_adopting_left_ms() > 0)))
	{
		rg_wait_ms(10);
		gate = rg_gate_now();
	}
	return gate;
}

static pg_attribute_cold void
refuse(RgGate gate)
{
	StringInfoData detail;

	initStringInfo(&detail);
	describe(gate, &detail);
	ereport(ERROR,
			(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
			 errmsg("node \"%s\" may not write now", rg_node_name),
			 errdetail("%s", detail.data),
			 errhint("%s", hint(gate))));
}

void
rg_gate_require_slowly(void)
{
	RgGate		gate = rg_gate_now();

	/* the server itself refuses a standby's writes */
	if (rg_gate_is_open(gate) || gate == RG_GATE_RECOVERY || rg_gate_is_exempt())
		return;
	gate = wait_if_worthwhile(gate);
	if (!rg_gate_is_open(gate))
		refuse(gate);
}
