/*
 * rules.c
 *	  The arithmetic of the safety protocol, pure C.
 *
 * See rules.h.  This file is compiled into the server extension, the watchdog
 * and the simulator; it must not include a header of any of them.  Each function
 * is total: it has an answer for every input, and where an input is nonsense the
 * answer is the one that permits less.
 */
#include "rules.h"

#include <stddef.h>

#include "mutant.h"

static int
compare_u64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

int
rg_rules_compare(int64_t term_a, int seq_a, int64_t term_b, int seq_b)
{
	if (term_a != term_b)
		return term_a < term_b ? -1 : 1;
	return (seq_a > seq_b) - (seq_a < seq_b);
}

int
rg_rules_compare_position(const RgPosition *a, const RgPosition *b)
{
	int order = rg_rules_compare(a->rule_term, a->rule_seq, b->rule_term, b->rule_seq);

	if (RG_MUTANT(20) && a->lsn != b->lsn)
		return compare_u64(a->lsn, b->lsn);
	if (order == 0)
		order = compare_u64(a->timeline, b->timeline);
	if (order == 0)
		order = compare_u64(a->lsn, b->lsn);
	return order;
}

int
rg_rules_lease_quorum(int standbys)
{
	return standbys <= 0 ? 0 : standbys / 2 + 1;
}

int
rg_rules_recruit_size(int standbys)
{
	return standbys <= 0 ? 0 : standbys - rg_rules_lease_quorum(standbys) + (RG_MUTANT(4) ? 0 : 1);
}

int64_t
rg_rules_drift_margin_ms(int64_t span_ms)
{
	int64_t whole;
	int64_t rest;

	if (RG_MUTANT(10))
		return 0;
	if (span_ms <= 0)
		return RG_DRIFT_FIXED_MS;

	/* ceil(span * ppm / 10^6), without a product that could overflow */
	whole = span_ms / 1000000 * RG_DRIFT_PPM;
	rest = (span_ms % 1000000 * RG_DRIFT_PPM + 999999) / 1000000;
	return whole + rest + RG_DRIFT_FIXED_MS;
}

int64_t
rg_rules_lease_bound_ms(int64_t receipt_ms, int64_t lease_ms)
{
	int64_t span = lease_ms > 0 && !RG_MUTANT(7) ? lease_ms : 0;
	int64_t margin = rg_rules_drift_margin_ms(span);

	if (span > INT64_MAX - margin)
		return INT64_MAX;
	span += margin;
	if (receipt_ms > INT64_MAX - span)
		return INT64_MAX;
	return receipt_ms + span;
}

int64_t
rg_rules_wal_bound_ms(int64_t answer_ms, int64_t age_ms, int64_t lease_ms)
{
	int64_t received = age_ms > 0 && age_ms <= answer_ms ? answer_ms - age_ms
		: age_ms > 0 ? 0 : answer_ms;
	int64_t bound = rg_rules_lease_bound_ms(received, lease_ms);
	int64_t margin = rg_rules_drift_margin_ms(lease_ms);

	if (RG_MUTANT(8))
		return 0;
	return bound > INT64_MAX - margin ? INT64_MAX : bound + margin;
}

int
rg_rules_history_size(int standbys, int quorum)
{
	if (quorum <= 0 || standbys <= 0)
		return 0;
	if (RG_MUTANT(24))
		return 1;
	return quorum >= standbys ? 1 : standbys - quorum + 1;
}

/* ------------------------------------------------ which standbys are enough */

int
rg_sets_size(uint64_t set)
{
	int n = 0;

	for (; set != 0; set &= set - 1)
		n++;
	return n;
}

bool
rg_sets_equal(const RgSets *a, const RgSets *b)
{
	return a->standbys == b->standbys && a->counted == b->counted && a->quorum == b->quorum &&
		a->is_async == b->is_async;
}

bool
rg_sets_give_lease(const RgSets *sets, uint64_t flushed)
{
	int need = rg_rules_lease_quorum(rg_sets_size(sets->standbys)) - (RG_MUTANT(5) ? 1 : 0);

	return rg_sets_size(flushed & sets->standbys) >= need;
}

bool
rg_sets_acknowledge(const RgSets *sets, uint64_t flushed)
{
	return sets->is_async || rg_sets_size(flushed & sets->counted) >= sets->quorum;
}

bool
rg_sets_end_lease(const RgSets *sets, uint64_t recruited)
{
	int need = rg_rules_recruit_size(rg_sets_size(sets->standbys));

	return sets->standbys != 0 && rg_sets_size(recruited & sets->standbys) >= need;
}

bool
rg_sets_hold_history(const RgSets *sets, uint64_t complete)
{
	int need = rg_rules_history_size(rg_sets_size(sets->counted), sets->quorum);

	/* whom nobody had to acknowledge to, nobody but the leader can speak for */
	return sets->is_async || (need > 0 && rg_sets_size(complete & sets->counted) >= need);
}

bool
rg_sets_leave_out(const RgSets *before, const RgSets *rule)
{
	int counted = rg_sets_size(rule->counted);

	return before->standbys == rule->standbys && !before->is_async && !rule->is_async &&
		rule->counted != before->counted && (rule->counted & ~before->counted) == 0 &&
		(rule->quorum == before->quorum || (rule->quorum == counted && counted < before->quorum));
}

/*
 * Every set of these candidates that would have to hold what this rule acknowledged
 * has one who flushed the next one.
 */
static bool
meet_history(const RgSets *sets, uint64_t candidates, uint64_t flushed)
{
	int need = rg_rules_history_size(rg_sets_size(sets->counted), sets->quorum);

	return sets->is_async || need == 0 || rg_sets_size(sets->counted & candidates & ~flushed) < need;
}

/*
 * The rule before is out of question when whoever could act by it, not knowing the
 * new one, can't help meeting somebody who holds it: a recruit by the lease quorum,
 * where the voters change or nothing but a lease was ever asked for; and what has to
 * hold its commits by its acknowledging sets.  Those who were left out before they
 * were removed count as having flushed it: the watchdog vouches for them.  Who is
 * being left out is no candidate any more, and speaks for no history: the watchdog has
 * that in its journal, and without its journal it asks everybody.  And async promises
 * nothing that could be broken: as a change for the weaker it is at once what it says.
 */
bool
rg_sets_settle(const RgSets *before, const RgSets *rule, uint64_t flushed)
{
	uint64_t gone = before->standbys & ~before->counted & ~rule->standbys;

	if (RG_MUTANT(40) || rg_sets_equal(before, rule))
		return true;
	if (before->standbys != rule->standbys)
		return rg_sets_give_lease(before, flushed | gone) && meet_history(before, before->counted, flushed);
	if (rule->is_async)
		return true;
	if (before->is_async)
		return rg_sets_give_lease(before, flushed);
	return meet_history(before, rule->counted, flushed);
}

/* ------------------------------------------------ the gate */

RgGate
rg_rules_gate(const RgGateState *state, int64_t now_ms)
{
	if (state->is_off)
		return RG_GATE_OFF;
	if (state->in_recovery)
		return RG_GATE_RECOVERY;
	if (state->override_until_ms > now_ms)
		return RG_GATE_OVERRIDE;
	if (state->state_bad)
		return RG_GATE_STATE_BAD;
	if (!state->has_rule)
	{
		/* a copy without its state file may hold rules: who has not looked for them adopts nothing */
		if (!state->is_known)
			return RG_GATE_UNKNOWN;
		return !state->has_state && state->adopting_left_ms > 0 ? RG_GATE_ADOPTING : RG_GATE_NO_RULE;
	}
	if (!state->is_leader)
		return RG_GATE_NOT_LEADER;
	if (state->promised_term > state->rule_term && !RG_MUTANT(31))
		return RG_GATE_PROMISED;
	if (state->is_stale)
		return RG_GATE_STALE;
	if (state->lease_until_ms <= 0)
		return RG_GATE_NO_LEASE;
	return now_ms < state->lease_until_ms ? RG_GATE_OPEN : RG_GATE_LEASE_OVER;
}

const char *
rg_gate_word(RgGate gate)
{
	if (gate == RG_GATE_OFF)
		return "off";
	if (gate == RG_GATE_OVERRIDE)
		return "override";
	return rg_gate_is_open(gate) ? "open" : "closed";
}

const char *
rg_gate_text(RgGate gate)
{
	switch (gate)
	{
		case RG_GATE_UNKNOWN:
			return "it has just been started and does not know its rule yet";
		case RG_GATE_OPEN:
			return "it leads and its lease is valid";
		case RG_GATE_OFF:
			return "the gate is off";
		case RG_GATE_OVERRIDE:
			return "a superuser has overridden the gate";
		case RG_GATE_ADOPTING:
			return "it is being adopted and holds no rule yet";
		case RG_GATE_RECOVERY:
			return "it is a standby";
		case RG_GATE_STATE_BAD:
			return "its state file cannot be used";
		case RG_GATE_NO_RULE:
			return "it holds no rule";
		case RG_GATE_NOT_LEADER:
			return "another node leads";
		case RG_GATE_PROMISED:
			return "it has promised a newer term";
		case RG_GATE_NO_LEASE:
			return "it has had no lease since it was started";
		case RG_GATE_LEASE_OVER:
			return "its lease has run out";
		case RG_GATE_STALE:
			return "a standby has shown WAL that this server does not have";
	}
	return "its gate is not understood";
}

int64_t
rg_rules_cut_lease(int64_t current_ms, int64_t now_ms, int64_t lease_ms)
{
	int64_t limit;

	if (current_ms <= 0 || lease_ms <= 0)
		return current_ms > 0 && current_ms < now_ms ? current_ms : 0;
	limit = now_ms > INT64_MAX - lease_ms ? INT64_MAX : now_ms + lease_ms;
	return current_ms < limit ? current_ms : limit;
}

int64_t
rg_rules_extend_lease(int64_t current_ms, int64_t until_ms, int64_t now_ms, int64_t lease_ms)
{
	int64_t granted = rg_rules_cut_lease(until_ms, now_ms, lease_ms);

	return granted > current_ms ? granted : current_ms;
}

bool
rg_rules_term_is_plausible(int64_t term, int64_t highest_seen)
{
	if (highest_seen < 0)
		highest_seen = 0;
	if (term <= 0)
		return false;
	return term <= highest_seen || term - highest_seen <= RG_TERM_JUMP_MAX;
}

bool
rg_rules_is_half_promoted(int64_t promoting_term, int64_t newest_term)
{
	return promoting_term > 0 && promoting_term > newest_term;
}

static const RgTermEnd *
find_term(const RgTermEnd *terms, int count, int64_t term)
{
	for (int i = count - 1; i >= 0; i--)
		if (terms[i].term == term)
			return &terms[i];
	return NULL;
}

static bool
ascends(const RgTermEnd *terms, int count)
{
	for (int i = 0; i < count; i++)
	{
		if (terms[i].term <= 0 || terms[i].timeline == 0)
			return false;
		if (i > 0 && terms[i].term <= terms[i - 1].term)
			return false;
	}
	return true;
}

RgFollowVerdict
rg_rules_may_follow(const RgTermEnd *node_terms, int n, int64_t promoting_term,
					uint32_t node_timeline, uint64_t node_lsn, const RgTermEnd *leader_terms,
					int m)
{
	if (node_terms == NULL || leader_terms == NULL || n <= 0 || m <= 0 || node_timeline == 0)
		return RG_FOLLOW_UNKNOWN;
	if (!ascends(node_terms, n) || !ascends(leader_terms, m))
		return RG_FOLLOW_UNKNOWN;
	if (rg_rules_is_half_promoted(promoting_term, node_terms[n - 1].term))
		return RG_FOLLOW_HALF_PROMOTED;
	if (find_term(leader_terms, m, node_terms[n - 1].term) == NULL)
		return RG_FOLLOW_NO_HISTORY;

	/*
	 * Look for the newest common term that the leader spent on the timeline
	 * that the node is on.  Usually it is the node's last one.  A node that was
	 * told to follow a new leader, but has not received anything from it yet,
	 * is still on the timeline of an earlier common term.
	 */
	for (int i = n - 1; i >= 0; i--)
	{
		const RgTermEnd *common = find_term(leader_terms, m, node_terms[i].term);

		if (common == NULL)
			return RG_FOLLOW_NO_HISTORY;
		if (common->timeline != node_timeline)
			continue;
		if (common->end_lsn != 0 && node_lsn > common->end_lsn)
			return RG_FOLLOW_PAST_END;
		return RG_FOLLOW_OK;
	}
	return RG_FOLLOW_OTHER_TIMELINE;
}

const char *
rg_follow_verdict_text(RgFollowVerdict verdict)
{
	switch (verdict)
	{
		case RG_FOLLOW_OK:
			return "it can follow as it is";
		case RG_FOLLOW_NO_HISTORY:
			return "the last term that it followed is not in the leader's history";
		case RG_FOLLOW_PAST_END:
			return "it holds WAL past the point where the leader's history left its timeline";
		case RG_FOLLOW_OTHER_TIMELINE:
			return "it is on a timeline that the leader never was on";
		case RG_FOLLOW_HALF_PROMOTED:
			return "its promotion began but no rule of that term was written";
		case RG_FOLLOW_UNKNOWN:
			return "its history or the leader's is not known";
	}
	return "its history is not understood";
}
