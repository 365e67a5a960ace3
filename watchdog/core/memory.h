/*
 * memory.h
 *	  What the watchdog remembers from round to round, and what a round decides.
 *
 * RgMemory is the whole state of the machine of one cluster: it is written to
 * the journal, with the decision that changed it, before any step of that
 * decision runs, and a restarted watchdog goes on from it.  Times in it are of
 * the same monotonic clock as the view's; a watchdog that restarts on another
 * boot begins its waits anew.
 */
#ifndef RG_MEMORY_H
#define RG_MEMORY_H

#include "view.h"

#define RG_JOBS_MAX 16
#define RG_STEPS_MAX 48
#define RG_NOTES_MAX 24
#define RG_TEXT_MAX 240
#define RG_CRASHES_MAX 16
#define RG_LONG_TEXT_MAX 720

/* What people are told of a node that has strayed. */
#define RG_STRAYED_TEXT "it may hold WAL that the leader never had: it ran as a primary beside it, or that was given up by order"

/* Work that takes a while: a rebuild of one node, or a switchover. */
typedef struct RgJob
{
	int64_t		id;				/* 0 = free slot */
	RgJobKind	kind;
	char		node[RG_CORE_NAME_MAX];
	RgJobState	state;
	RgJobPhase	phase;
	bool		automatic;		/* made by auto_rejoin, not by a person */
	bool		cancelled;		/* somebody wants it to end */
	RgMethod	method;			/* asked for: auto = the cheapest that is possible */
	RgMethod	using;			/* under way, or the last one */
	int			attempts;		/* of this phase */
	int			serial;			/* tells the tries apart; not journalled */
	bool		begun_here;		/* this phase began in this life of the watchdog; not journalled */
	bool		is_fed;			/* in this phase its leader said that it streams; not journalled */
	bool		resumed;		/* this watchdog did not see the end of the copy: is it complete? */
	bool		elsewhere;		/* the source failed: the next try takes another one; not journalled */
	bool		forced;			/* a healthy node, by somebody's word */
	int64_t		due_ms;			/* queued: since when it only waits until its node is left out; 0 = not yet; not journalled */
	int64_t		rate_kb;		/* a second; 0 = no limit */
	int64_t		term;			/* of the rule when the copy, or the rewind, began */
	int64_t		created_ms;
	int64_t		phase_ms;		/* when this phase began */
	int64_t		ended_ms;
	int64_t		streamed_ms;	/* when a copy that catches up was last seen to stream; not journalled */
	int64_t		busy_ms;		/* when another verb was found at work there; this and all up to activity: not journalled */
	int64_t		bytes;
	int64_t		total;
	int64_t		bytes_per_s;	/* 0 = not known yet */
	uint64_t	begin_lsn;		/* where the leader was when the copy began */
	int64_t		wal_bytes;		/* what it has written since, and keeps for the node */
	char		activity[24];	/* what the helper is about, in its word */
	char		from[RG_CORE_NAME_MAX];	/* the source that was asked for; "" = the leader */
	char		source[RG_CORE_NAME_MAX];	/* the one at hand */
	char		tried[RG_LONG_TEXT_MAX];	/* methods that were not possible, each with its reason */
	char		message[RG_LONG_TEXT_MAX];
} RgJob;

/* What people want of the rule; the leader's rules make it so, step by step. */
typedef struct RgWish
{
	char		durability[16];	/* "" = as the rule says */
	int			quorum;			/* as long as so many are not left out; 0 = as the rule says */
	int			nvoters;		/* 0 = as the rule says */
	char		voters[RG_CORE_NODES_MAX][RG_CORE_NAME_MAX];
} RgWish;
/* A rewind changes a directory in place. */
typedef enum RgRewound
{
	RG_REWOUND_WHOLE = 0,
	RG_REWOUND_UNDER_WAY,		/* one was asked for, nothing has been heard of it yet */
	RG_REWOUND_HALF				/* it failed in the middle, or its end is not known */
} RgRewound;

/* When each part of the failover at hand happened; 0 = not yet. */
typedef struct RgTimes
{
	int64_t		lost_ms;		/* last answer's end: the session was lost */
	int64_t		called_ms;		/* evidence complete, failover called for */
	int64_t		fenced_ms;
	int64_t		recruited_ms;	/* candidate chosen */
	int64_t		promoted_ms;
	int64_t		ruled_ms;
} RgTimes;

typedef struct RgFailover
{
	int64_t		term;			/* 0 = none yet */
	char		from[RG_CORE_NAME_MAX];
	char		to[RG_CORE_NAME_MAX];
	RgDiagnosis diagnosis;
	bool		planned;		/* a switchover */
	int64_t		at_wall_ms;		/* filled by the daemon */
	RgTimes		times;
	int64_t		bound_ms;		/* how long it waited for leases to run out; 0 = not at all */
	RgLoss		loss;			/* what the old leader had and the new one has not */
	char		given_up[RG_TEXT_MAX];	/* what an operator accepted to lose, "" = nothing */
} RgFailover;

/* What is remembered of one node, by name (the configuration may be reordered). */
typedef struct RgNodeMemory
{
	char		name[RG_CORE_NAME_MAX];
	RgServerStart shown;		/* the helper has shown this very postmaster (F14) */
	int64_t		fenced_term;	/* we fenced it for this term; 0 = we did not */
	int64_t		fencing_term;	/* a fence of a stale primary was sent, and what became of it is not known */
	bool		must_end;		/* its authority has to end before another one begins */
	bool		ended;			/* and it has */
	RgNodeState state;			/* as last told */
	int			rebuilds;		/* automatic ones since the last failover */
	RgServerStart admitted;		/* this start may have leases: it is not behind (F10) */
	int64_t		purpose_ms;		/* when it said that it is being stopped, until it answers again; 0 = no */
	uint64_t	owes_lsn;		/* swapped in a copy: proves nothing before it holds this (attack V2) */
	int64_t		swap_term;		/* a swap, or its undoing, was asked for under this rule and may still come; 0 = none */
	int			swap_seq;
	bool		ungated;		/* its gate was off or overridden when it last answered */
	bool		strayed;		/* its newest WAL may not be the leader's, whatever the numbers say: it ran beside it, or that was given up (F10) */
	RgRewound	half_rewound;	/* else it must not be started */
	bool		stale;			/* it had been left behind when the leader was last seen */
	char		intruder[96];	/* the other watchdog that it showed, told already */

	/*
	 * It is not counted, or shall not be: no candidate, and no word for the history,
	 * before it shows a rule newer than the one that leaves it out, and counts there.
	 */
	bool		left_out;
	int64_t		out_term;		/* the rule that leaves it out; 0 = not asked for yet */
	int			out_seq;
	int64_t		out_wall_ms;	/* filled by the daemon: since when, for people */
	char		out_reason[RG_TEXT_MAX / 2];
	bool		joined;			/* without a vote, it has been seen to stream, or was told to: its slot is kept while it is away */
	bool		removed;		/* by an operator: it is left alone until it is added again */
	bool		declared_lost;	/* by an operator, who removes it from the voters: it never comes back */
	int			ncrashes;		/* that it came back from by itself */
	int64_t		crashes_ms[RG_CRASHES_MAX]; /* when it was back, newest last */
	RgServerStart met;			/* the start that was seen last; not journalled */
	int			met_restarts;	/* how often its postmaster had begun anew then; not journalled */
	int64_t		heard_ms;		/* when that was; not journalled */
	RgDiskView	disk;			/* as last told; not journalled */
	bool		starved;		/* it lay there without room to come up in; not journalled */
	int64_t		met_ms;			/* when its first answer came; not journalled */
	int64_t		dry_ms;			/* since when it needs WAL that its leader has no more; not journalled */
	uint64_t	dry_lsn;		/* where it stood then; not journalled */
	bool		released;		/* its leader has released that WAL; not journalled */
	RgPosition	mark;			/* where the leader was at mark_ms; not journalled */
	int64_t		mark_ms;		/* not journalled */
	int64_t		caught_ms;		/* it holds all that the leader had then; 0 = not seen yet; not journalled */
	int64_t		apart_ms;		/* since when it does not stream; not journalled */
	uint64_t	moved_lsn;		/* what it had flushed last, and when that grew or was all; not journalled */
	int64_t		moved_ms;
	bool		cascades;		/* it is to stream from its upstream, not from the leader; not journalled */
	bool		upstream_fit;	/* and that can be followed; not journalled */
	int64_t		upstream_ms;	/* since when it can, or can't; not journalled */
	char		reason[RG_TEXT_MAX];
} RgNodeMemory;

/*
 * Journalled: everything except the fields marked "not journalled", which a
 * restarted watchdog finds again by looking.  A restart that finds the journal
 * old (view.maybe_restored) sets confirmed to false; it counts as old again as
 * long as the newest line says confirmed = false.
 */
typedef struct RgMemory
{
	RgPhase		phase;
	int64_t		phase_ms;		/* when it began */
	RgDiagnosis diagnosis;
	int64_t		ticket;			/* of the newest verb of a rebuild: each has its own, and they only grow */
	int64_t		term;			/* of the failover at hand, or of the rule in force */
	int64_t		highest_term;	/* ever seen or used */
	RgRule		rule;			/* newest one known */
	RgRule		asked;			/* asked of its leader, and not shown yet; it may be in force; term 0 = none */
	RgWish		wish;
	char		candidate[RG_CORE_NAME_MAX];	/* journalled before the promote */
	int64_t		lost_ms;		/* since when the leader is doubted */
	char		refusal[RG_TEXT_MAX];	/* why no failover happens, as last told */
	int64_t		lease_ms;		/* the longest that may be in force (F6); 0 = that of the rule */
	RgPosition	newest;			/* the most that any node has shown; a line per lease at most */
	char		target[RG_CORE_NAME_MAX];	/* of a switchover; "" = none */
	char		accept_loss[RG_CORE_NAME_MAX];	/* the operator wants this one, whatever it lacks */
	bool		takeover;		/* the operator certified that the old watchdog is stopped */
	bool		confirmed;		/* our journal was not old, or was found to be the newest all the same */
	bool		sync_begun;		/* the rule asks for a count, and not all who could be recruited alone may know it yet */
	bool		unsure;			/* another watchdog, or one of our later days, may have left out others than we know */
	int64_t		newest_ms;		/* when newest was last set; not journalled */
	int64_t		closed_ms;		/* since when the leader's gate is closed though granted; not journalled */
	int64_t		told_ms;		/* when that was told; not journalled */
	int64_t		behind_ms;		/* since when others show more than the leader; not journalled */
	RgPosition	behind_at;		/* what they showed then; not journalled */
	int64_t		hung_ms;		/* since when the leader's disk hangs and it flushes no WAL; not journalled */
	uint64_t	hung_lsn;		/* up to where it had flushed then; not journalled */
	RgDiagnosis trouble;		/* of a leader that answers; not journalled */
	int64_t		trouble_ms;		/* since when; not journalled */
	int			handovers;		/* tried because of it; not journalled */
	int64_t		handover_ms;	/* when the last one was; not journalled */
	RgFailover	failover;		/* at hand, or the last one */
	int			nnodes;			/* those of the view, then those of which more below */

	/*
	 * Same order as the view.  After them stand nodes that were taken out of the
	 * configuration while their authority had to end: that must not be forgotten.
	 */
	RgNodeMemory nodes[RG_CORE_NODES_MAX];
	RgJob		jobs[RG_JOBS_MAX];
} RgMemory;

typedef struct RgStep
{
	RgStepKind	kind;
	int			node;			/* on which it runs */
	int			leader;			/* whom to follow, from whom to copy; -1 */
	int			source;			/* FOLLOW: the upstream to stream from instead of the leader itself; -1 */
	int64_t		rate_kb;		/* COPY, DELTA, CLONE: at most so much a second; 0 = no limit */
	int64_t		term;
	int64_t		key;			/* tells tries apart: the term, or job + attempt */
	int64_t		job;			/* 0 = none */
	int64_t		ticket;			/* verbs of a rebuild: the node lets none in after one with a higher number; 0 = no such verb */
	int			rule_seq;		/* beside the ticket: of the rule, with term, under which it is sent */
	RgServerStart expect;		/* the server start that it is meant for; pid 0 = any */
	uint64_t	until_lsn;		/* FETCH only: what leader, the source, has */
	RgRule		rule;			/* WRITE_RULE only */
} RgStep;

/* Something that people are told. */
typedef struct RgNote
{
	RgEvent		event;
	int			node;			/* -1 = the cluster */
	int			move;			/* row of the phase table, 0 = none */
	bool		alarm;
	char		text[RG_LONG_TEXT_MAX];
} RgNote;

typedef struct RgDecision
{
	RgMemory	memory;			/* from now on */
	bool		must_record;	/* the memory changed in a way that a restart must know */
	int			leader;			/* index, -1 = none known */
	bool		ready;			/* automatic failover would work right now */
	char		ready_reason[RG_TEXT_MAX];
	RgNodeState states[RG_CORE_NODES_MAX];
	char		reasons[RG_CORE_NODES_MAX][RG_TEXT_MAX];
	bool		eligible[RG_CORE_NODES_MAX];	/* would be a candidate now */
	char		candidate_reasons[RG_CORE_NODES_MAX][RG_TEXT_MAX];
	char		evidence[RG_TEXT_MAX];	/* for the diagnosis */
	char		trouble[RG_TEXT_MAX];	/* of a leader that answers, and what to type; "" = none */
	int			nsteps;
	int			nnotes;
	RgStep		steps[RG_STEPS_MAX];	/* last, for what lies beyond their numbers is not even cleared */
	RgNote		notes[RG_NOTES_MAX];
} RgDecision;

/* The node's rebuild that has not ended, or NULL. */
extern RgJob *rg_memory_job(RgMemory *memory, const char *node);

/* The new directory is in its place (or the old one was rewound): the node is a standby like any other. */
extern bool rg_job_is_in_place(const RgJob *job);

/* The node has a rebuild before it or under way; not any more once its new directory is in its place. */
extern bool rg_memory_is_rebuilding(const RgMemory *memory, const char *node);

/* The lease of the rule in force; before there is one, that of the configuration. */
extern int64_t rg_memory_lease_ms(const RgMemory *memory, const RgView *view);

/* The switchover that has not ended, or NULL. */
extern RgJob *rg_memory_switchover(RgMemory *memory);

/* How long this watchdog has seen the phase: a restarted one begins its waits anew. */
extern int64_t rg_memory_phase_age_ms(const RgMemory *memory, const RgView *view);

/* Adds a step unless the list is full; the result can be completed, NULL when full. */
extern RgStep *rg_decision_step(RgDecision *d, RgStepKind kind, int node, int leader, int64_t term);

extern void rg_decision_note(RgDecision *d, RgEvent event, int node, int move, bool alarm,
							 const char *fmt,...) __attribute__((format(printf, 6, 7)));

/*
 * May this step be tried (again) now?  Not while one runs or has succeeded for this
 * term; after a failure with a back-off of 100 ms doubling to 5 s; at most limit times.
 */
extern bool rg_op_may_try(const RgOp *op, int64_t term, int64_t now_ms, int limit);

/* It succeeded for this term. */
extern bool rg_op_done(const RgOp *op, int64_t term);

/* It has failed limit times for this term and is not running. */
extern bool rg_op_gave_up(const RgOp *op, int64_t term, int limit);

/* snprintf into a text field, cut where it is full. */
extern void rg_text(char *buf, unsigned long size, const char *fmt,...)
			__attribute__((format(printf, 3, 4)));

#endif							/* RG_MEMORY_H */
