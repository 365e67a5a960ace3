/*
 * rules.h
 *	  The arithmetic of the safety protocol, pure C.
 *
 * What is decided by comparing terms, positions and clocks is decided here and
 * nowhere else: the server extension, the watchdog's core and the simulator
 * compile this one pair of files, so the most dangerous arithmetic exists once.
 *
 * Nothing in here allocates, reads a clock, logs or knows a server header.  All
 * arguments are plain values; time comes in as milliseconds.
 */
#ifndef RG_RULES_H
#define RG_RULES_H

#include <stdbool.h>
#include <stdint.h>

/* A term further than this above the highest one seen is refused (it would brick the node). */
#define RG_TERM_JUMP_MAX 1000

/*
 * Drift between two clocks: parts per million of the span, and a fixed part.  Each
 * clock may be off by 200 ppm, so two of them by twice as much.
 */
#define RG_DRIFT_PPM 400
#define RG_DRIFT_FIXED_MS 50

/*
 * A term that a node followed or led, on which timeline, and where that
 * timeline ended in the node's own history (0: it is the current one).
 */
typedef struct RgTermEnd
{
	int64_t term;
	uint32_t timeline;
	uint64_t end_lsn;
} RgTermEnd;

/* Whose history a node holds, and how much of it. */
typedef struct RgPosition
{
	int64_t rule_term;
	int32_t rule_seq;
	uint32_t timeline;
	uint64_t lsn;
} RgPosition;

/* Why a node may, or may not, follow a leader without rewind or copy. */
typedef enum RgFollowVerdict
{
	RG_FOLLOW_OK = 0,
	RG_FOLLOW_NO_HISTORY,		/* the node's last term is none of the leader's */
	RG_FOLLOW_PAST_END,			/* the node is past the end of that term */
	RG_FOLLOW_OTHER_TIMELINE,	/* the node is on a timeline that the leader never was on */
	RG_FOLLOW_HALF_PROMOTED,	/* the node was being promoted and holds no rule of that term */
	RG_FOLLOW_UNKNOWN			/* a list is empty or broken: nothing can be proven */
} RgFollowVerdict;

/* <0, 0, >0 as rule (term_a, seq_a) is older than, the same as, newer than (term_b, seq_b). */
extern int rg_rules_compare(int64_t term_a, int seq_a, int64_t term_b, int seq_b);

/* <0, 0, >0 as a lies behind, at, ahead of b: newest rule, then timeline, then LSN. */
extern int rg_rules_compare_position(const RgPosition *a, const RgPosition *b);

/*
 * Of s standbys (the rule's voters without its leader): q = floor(s/2) + 1 have
 * to flush a marker for a lease; recruiting r = s - q + 1 of them excludes that.
 * With s <= 0 nobody can be recruited: both answer 0.
 */
extern int rg_rules_lease_quorum(int standbys);
extern int rg_rules_recruit_size(int standbys);

/* By how much a span measured with one clock may be off on another one. */
extern int64_t rg_rules_drift_margin_ms(int64_t span_ms);

/*
 * The moment after which a lease granted upon an answer received at receipt_ms
 * has surely run out: receipt + lease + margin.  Saturates, never wraps.
 */
extern int64_t rg_rules_lease_bound_ms(int64_t receipt_ms, int64_t lease_ms);

/*
 * The same for a lease that the standbys gave through a WAL marker: one of them
 * answered at answer_ms (our clock) that its last WAL was age_ms old (its own
 * clock).  Two clocks are in it, the standby's and the leader's: twice the margin.
 */
extern int64_t rg_rules_wal_bound_ms(int64_t answer_ms, int64_t age_ms, int64_t lease_ms);

/*
 * Of s standbys k acknowledge a commit: so many recruited standbys meet every
 * acknowledging set, s - k + 1.  With k <= 0 nothing has to be met: 0.
 */
extern int rg_rules_history_size(int standbys, int quorum);

/* ------------------------------------------------ which standbys are enough */

/*
 * A rule as sets of nodes: a bit per node, numbered by the caller.  Rules that
 * are compared have to be numbered alike.
 */
typedef struct RgSets
{
	uint64_t standbys;			/* the voters without the leader */
	uint64_t counted;			/* those of them whose flush counts: they are not left out */
	int quorum;					/* so many of those acknowledge a commit; 0: the leader alone does */
	bool is_async;				/* nobody was promised that a commit survives its leader */
} RgSets;

extern bool rg_sets_equal(const RgSets *a, const RgSets *b);

/* How many nodes are in the set. */
extern int rg_sets_size(uint64_t set);

/* Those who flushed a marker give a lease; always so where there is no standby. */
extern bool rg_sets_give_lease(const RgSets *sets, uint64_t flushed);

/* Those who flushed a commit acknowledge it. */
extern bool rg_sets_acknowledge(const RgSets *sets, uint64_t flushed);

/* Those who promised exclude that others give a lease; never where there is no standby. */
extern bool rg_sets_end_lease(const RgSets *sets, uint64_t recruited);

/* Together these hold whatever was acknowledged, though the leader is lost; always so in async. */
extern bool rg_sets_hold_history(const RgSets *sets, uint64_t complete);

/*
 * A leader has written a rule after another one of its own, and these have flushed
 * it.  Is the rule before out of question?  Until then both have to be satisfied
 * (attacks F7, V1, V9, V10).
 */
extern bool rg_sets_settle(const RgSets *before, const RgSets *rule, uint64_t flushed);

/* The rule only leaves more standbys out, and asks for no more of the others than before. */
extern bool rg_sets_leave_out(const RgSets *before, const RgSets *rule);

/* ------------------------------------------------ the gate (protocol 3.2, 3.3) */

/* Why the gate stands as it does; what is not open, off or overridden is closed. */
typedef enum RgGate
{
	RG_GATE_UNKNOWN = 0,		/* not known yet: closed */
	RG_GATE_OPEN,
	RG_GATE_OFF,				/* regent.gate = off, or the server is no node */
	RG_GATE_OVERRIDE,			/* a superuser said so, for a while */
	RG_GATE_ADOPTING,			/* open: no rule and no state yet, until regent.adopting */
	RG_GATE_RECOVERY,			/* a standby */
	RG_GATE_STATE_BAD,			/* the state file can't be used */
	RG_GATE_NO_RULE,
	RG_GATE_NOT_LEADER,			/* another node leads by the newest flushed rule */
	RG_GATE_PROMISED,			/* a higher term was promised */
	RG_GATE_NO_LEASE,			/* none since the server was started */
	RG_GATE_LEASE_OVER,
	RG_GATE_STALE				/* a standby showed WAL that we do not have */
} RgGate;

/* All that the gate depends on; a zeroed one is closed. */
typedef struct RgGateState
{
	bool is_off;				/* regent.gate = off, or no regent.node_name */
	bool in_recovery;
	bool is_known;				/* the state file was looked for and regent.rule was read */
	bool state_bad;
	bool has_state;				/* a state file, a promise, or anything else to remember */
	bool has_rule;				/* a rule whose row is flushed here */
	bool is_leader;				/* that rule names this node */
	int64_t rule_term;
	int64_t promised_term;		/* max(promise, rule, another node's pending rule) */
	bool is_stale;
	int64_t lease_until_ms;		/* own clock; 0: no lease since the server's start */
	int64_t override_until_ms;	/* own clock; 0: none */
	int64_t adopting_left_ms;	/* of regent.adopting; <= 0: over or not set */
} RgGateState;

extern RgGate rg_rules_gate(const RgGateState *state, int64_t now_ms);

/* May a write pass? */
static inline bool
rg_gate_is_open(RgGate gate)
{
	return gate == RG_GATE_OPEN || gate == RG_GATE_OFF || gate == RG_GATE_OVERRIDE ||
		gate == RG_GATE_ADOPTING;
}

/* The word of node_status().gate: open, closed, override, off. */
extern const char *rg_gate_word(RgGate gate);

/* Why, as half a sentence for people; never NULL. */
extern const char *rg_gate_text(RgGate gate);

/*
 * The end of the lease after a grant until until_ms, all in the leader's clock:
 * never further than the rule's lease from now, and never shorter than before
 * (a rule with a shorter lease cuts it with rg_rules_cut_lease).
 */
extern int64_t rg_rules_extend_lease(int64_t current_ms, int64_t until_ms, int64_t now_ms,
									 int64_t lease_ms);
extern int64_t rg_rules_cut_lease(int64_t current_ms, int64_t now_ms, int64_t lease_ms);

/* Is this a believable next term, seen from the highest one known so far? */
extern bool rg_rules_term_is_plausible(int64_t term, int64_t highest_seen);

/* promoting_term is set and neither a rule nor a followed term has reached it. */
extern bool rg_rules_is_half_promoted(int64_t promoting_term, int64_t newest_term);

/*
 * May the node follow the leader by pointing it there, without rewind or copy?
 *
 * Both lists ascend by term.  The node's last term must be one of the leader's,
 * and the node must not be past the point where the leader left the timeline
 * that the node is on.  Equal timeline numbers alone prove nothing: two
 * promotions can have taken the same one.
 */
extern RgFollowVerdict rg_rules_may_follow(const RgTermEnd *node_terms, int n,
										   int64_t promoting_term, uint32_t node_timeline,
										   uint64_t node_lsn, const RgTermEnd *leader_terms,
										   int m);

/* The verdict as half a sentence for people; never NULL. */
extern const char *rg_follow_verdict_text(RgFollowVerdict verdict);

#endif							/* RG_RULES_H */
