/*
 * view.h
 *	  What the watchdog knows at one moment: the input of every decision.
 *
 * A plain value, filled by the daemon (or by a test, or by a simulator) and
 * read by the core.  Per node: the last good facts with their time, and beside
 * them what became of the newest attempts; a failed poll erases nothing.  All
 * times are milliseconds of one monotonic clock, 0 = never.  A zeroed view
 * says "nothing known".
 */
#ifndef RG_VIEW_H
#define RG_VIEW_H

#include <stdbool.h>
#include <stdint.h>
#include "extension/rules.h"
#include "names.h"

#define RG_CORE_NODES_MAX 16
#define RG_CORE_NAME_MAX 64
#define RG_TERMS_MAX 64

/* An LSN for people: a format and its two arguments. */
#define RG_LSN_FORMAT "%X/%X"
#define RG_LSN_ARGS(lsn) (unsigned) ((lsn) >> 32), (unsigned) ((lsn) & 0xFFFFFFFF)

typedef struct RgRule
{
	int64_t		term;			/* 0 = no rule */
	int			seq;
	char		leader[RG_CORE_NAME_MAX];
	int			nvoters;
	char		voters[RG_CORE_NODES_MAX][RG_CORE_NAME_MAX];
	char		durability[16];
	int			quorum;
	uint32_t	left_out;		/* voters that are not counted: bit i is voters[i] */
	int64_t		lease_ms;
	char		watchdog[37];
	char		reason[160];
} RgRule;

/* One start of one server: who exactly is running there (attack F14). */
typedef struct RgServerStart
{
	char		boot_id[37];
	int			pid;			/* of the postmaster; 0 = unknown */
	int64_t		started_s;		/* wall clock seconds of the node */
} RgServerStart;

/* How a node's gate stands, in the words of node_status(). */
typedef enum RgGateView
{
	RG_GATEV_UNKNOWN = 0,
	RG_GATEV_OPEN,
	RG_GATEV_CLOSED,
	RG_GATEV_OVERRIDE,
	RG_GATEV_OFF
} RgGateView;

/* Logical slots of a node. */
typedef struct RgSlotNames
{
	int			count;
	bool		more;			/* than are in names */
	char		names[96];		/* "a, b" */
} RgSlotNames;

/* The last good answer to a heartbeat. */
typedef struct RgFacts
{
	bool		valid;
	bool		in_recovery;
	bool		writable;
	bool		replay_paused;
	bool		receiver_streaming;
	uint32_t	timeline;
	uint64_t	receive_lsn;
	uint64_t	replay_lsn;
	uint64_t	flush_lsn;
	uint64_t	current_lsn;
	int64_t		replay_lag_bytes;	/* -1 = unknown */
	int64_t		replay_lag_ms;	/* -1 = unknown */
	int64_t		message_age_ms; /* since WAL or a keepalive came; -1 = never */
	int64_t		system_identifier;
	int64_t		promised_term;
	int64_t		promoting_term;
	RgRule		rule;
	bool		settled;		/* on a leader: this rule counts alone, none before it is in question */
	int			nterms;
	RgTermEnd	terms[RG_TERMS_MAX];	/* followed or led, ascending */
	RgServerStart start;
	uint32_t	streaming_from_us;	/* bit per node that streams from it */
	uint64_t	flushed_from_us[RG_CORE_NODES_MAX];	/* on a primary: what each has flushed; 0 = it does not stream */
	uint32_t	sync_with_us;	/* on a primary: bit per node that counts as synchronous */
	int64_t		boottime_ms;	/* the node's own clock when it answered; 0 = unknown */
	RgGateView	gate;
	int64_t		lease_left_ms;	/* -1 = it has none */
	int64_t		wal_age_ms;		/* since it last received WAL, its own clock; -1 = unknown */
	char		ahead[RG_CORE_NAME_MAX];	/* on a primary: a standby that showed WAL beyond its own */
	char		intruder[96];	/* another watchdog, or an older life of this one, that it refused */
	int64_t		intruder_age_ms;	/* when; -1 = never */
	uint64_t	oldest_lsn;		/* where the WAL that it still has begins; 0 = not known */
	bool		has_archive;	/* a standby with a restore_command */
	uint32_t	released;		/* on a primary: bit per node whose slot has let go of WAL that it may need */
	RgSlotNames logical_slots;	/* that no change of leader carries over */
	RgSlotNames carried_slots;	/* that the server does: on a standby, those that it has */

	/*
	 * On a primary: where its WAL ended when this server was started; 0 = it came up as
	 * a standby, or is not known.  On a standby: where it had begun as a primary that
	 * never got a lease since; 0 = it has not, on this timeline.
	 */
	uint64_t	start_lsn;
	RgDiskView	disk;
	int64_t		disk_free_bytes;	/* of the place with the least room; -1 = unknown */
	int64_t		disk_hung_ms;	/* for how long a write has not ended; 0 = none hangs */
	char		disk_text[96];	/* where, and what is the matter */
	int			crash_restarts; /* how often its postmaster has begun anew after a crash of a child */
} RgFacts;

/* The newest outcome of speaking SQL to a node. */
typedef enum RgSql
{
	RG_SQL_UNKNOWN = 0,			/* not tried yet */
	RG_SQL_OK,					/* an open session answers */
	RG_SQL_CLOSED,				/* a session ended; nothing newer is known */
	RG_SQL_REFUSED,				/* nobody listens */
	RG_SQL_SILENT,				/* no answer within the deadline */
	RG_SQL_UNREACHABLE,			/* no route, no address */
	RG_SQL_STARTING,			/* 57P03 */
	RG_SQL_SATURATED,			/* 53300 */
	RG_SQL_LOGIN,				/* 28xxx, TLS, no such database */
	RG_SQL_NO_EXTENSION,		/* it answers, but has no usable pg_regent */
	RG_SQL_WRONG_SERVER,		/* another system identifier or node name */
	RG_SQL_OTHER_WATCHDOG,		/* it obeys another watchdog */
	RG_SQL_LOWER_COUNTER,		/* it has seen a later start of this watchdog: our journal is old */
	RG_SQL_ERROR				/* any other error: it is alive */
} RgSql;

typedef enum RgSshView
{
	RG_SSHV_UNKNOWN = 0,		/* not tried yet, or connecting */
	RG_SSHV_READY,
	RG_SSHV_SILENT,				/* no answer */
	RG_SSHV_BROKEN				/* an answer, but no session: key, host key, refused */
} RgSshView;

typedef enum RgPostmaster
{
	RG_PM_UNKNOWN = 0,
	RG_PM_ALIVE,
	RG_PM_FROZEN,
	RG_PM_ABSENT
} RgPostmaster;

/* The helper's last answer to probe. */
typedef struct RgProbe
{
	bool		valid;
	RgPostmaster postmaster;
	bool		pidfile;
	bool		fenced;			/* can only start as a standby, without a source */
	bool		rewinding;		/* a rewind of its directory has begun and has not ended: nothing starts there */
	bool		clean;			/* control file: shut down (in recovery, too) */
	bool		in_recovery;	/* control file: in crash or archive recovery */
	char		state[32];		/* control file, as printed */
	char		recovery[64];	/* what the startup process shows; "" = nothing */
	RgServerStart start;
	int64_t		system_identifier;
	int			processes;
	int64_t		disk_free_bytes;
	bool		disk_full;		/* no room to come up in */
	uint64_t	checkpoint_lsn; /* of the latest checkpoint record; 0 = unknown */
	int64_t		promised_term;	/* of the node's state file; 0 = unknown */
} RgProbe;

/* What became of the newest step of one kind on one node. */
typedef enum RgOpState
{
	RG_OP_NONE = 0,
	RG_OP_RUNNING,
	RG_OP_OK,
	RG_OP_REFUSED,				/* the node said no: text says why */
	RG_OP_FAILED,				/* nothing happened there */
	RG_OP_LOST					/* outcome unknown: look */
} RgOpState;

typedef struct RgOp
{
	RgOpState	state;
	int64_t		term;			/* for which term (or job) it was */
	int64_t		began_ms;
	int64_t		ended_ms;
	int			attempts;		/* for this term */
	char		text[400];		/* why not, one line; of a helper: word, detail, hint */
} RgOp;

/* The answer to promise(term). */
typedef struct RgPromise
{
	int64_t		term;			/* 0 = none */
	bool		complete;
	RgRule		rule;			/* the newest one that it holds */
	RgPosition	position;
	uint64_t	held_lsn;		/* the end of its WAL, replayed or not; 0 = not known */
	int64_t		promoting_term;
	int			nterms;
	RgTermEnd	terms[RG_TERMS_MAX];
	RgServerStart start;		/* it counts only in this server start */
	bool		by_primary;		/* the leader's own pledge: it closes its gate */
	int64_t		last_wal_age_ms;	/* in the node's clock, when it answered */
	int64_t		at_ms;			/* when its answer came */
} RgPromise;

/* WAL that a node holds, or held, beyond the point where the leader's history left its timeline. */
typedef struct RgLoss
{
	uint64_t	from_lsn;		/* 0 = not known */
	uint64_t	to_lsn;
	int64_t		bytes;
	int64_t		transactions;	/* measured only */
	bool		measured;		/* by the helper, from the WAL itself */
	char		kept[160];		/* where, on its host */
} RgLoss;

typedef struct RgNodeView
{
	char		name[RG_CORE_NAME_MAX];
	int			priority;
	char		upstream[RG_CORE_NAME_MAX];	/* of a cascading node, which is no voter; "" = it follows the leader */
	RgFacts		facts;
	int64_t		facts_ms;		/* when they came */
	RgSql		sql;
	int64_t		sql_ms;			/* when sql was last confirmed */
	int64_t		lost_ms;		/* when the last open session was lost; 0 = open */
	char		sqlstate[6];
	char		sql_text[160];
	int64_t		purpose_ms;		/* when the server said that it is being stopped */
	int64_t		died_ms;		/* when one of its sessions said that its postmaster is gone */
	RgSql		fresh;			/* what the newest new connection met (F26, F09) */
	int64_t		fresh_since_ms; /* since when it meets that */
	char		fresh_text[160];
	RgSshView	ssh;
	char		ssh_text[160];
	RgProbe		probe;
	int64_t		probe_ms;		/* when asked, not when answered */
	RgPromise	promise;
	RgOp		ops[RG_STEP_COUNT];
	int64_t		copy_bytes;		/* progress of the helper's verb under way */
	int64_t		copy_total;		/* 0 = not known yet */
	int64_t		copy_rate;		/* bytes a second, of late; 0 = not known yet */
	char		copy_phase[24];	/* in the helper's word */
	RgLoss		diverged;		/* as its helper measured it, before it changed anything */
} RgNodeView;

typedef struct RgSettings
{
	int64_t		heartbeat_interval_ms;
	int64_t		lease_ms;
	int64_t		restart_budget_ms;
	int64_t		hang_budget_ms;
	int64_t		max_lag_ms;		/* async: further behind than this it is no candidate; 0 = by a lease without streaming */
	bool		auto_failover;
	bool		auto_rejoin;
	bool		promote_sql;
	bool		promote_ssh;
	int			quorum;
	bool		disk_failover;	/* on_disk_full = failover */
	int			crash_limit;	/* 0 = crashes are not counted */
	int64_t		crash_window_ms;
	int			rebuild_jobs;	/* at a time from one source */
	int64_t		rebuild_rate_kb;	/* a second; 0 = no limit */
} RgSettings;

typedef struct RgView
{
	int64_t		now_ms;
	int64_t		started_ms;		/* when this watchdog began to look */
	bool		clock_jumped;	/* watch, do not act */
	char		watchdog[37];
	bool		maybe_restored; /* our journal is old or from another machine */
	RgSettings	settings;
	int			nnodes;
	RgNodeView	nodes[RG_CORE_NODES_MAX];
} RgView;

/* Commits under this rule wait for its quorum: durability is sync or strict. */
extern bool rg_rule_is_sync(const RgRule *rule);

extern bool rg_rule_has_voter(const RgRule *rule, const char *name);

/* The number of a voter, or -1; and is it one that is not counted? */
extern int	rg_rule_voter(const RgRule *rule, const char *name);
extern bool rg_rule_leaves_out(const RgRule *rule, const char *name);

/*
 * The rule as sets, of this leader (who need not be the one that it names): bit i is
 * voters[i].
 */
extern void rg_rule_sets(const RgRule *rule, const char *leader, RgSets *ret_sets);

/* The index of a node by name, or -1. */
extern int	rg_view_find(const RgView *view, const char *name);

/* An open session answered within the last three heartbeats. */
extern bool rg_view_answers(const RgView *view, int node);

/* It answers and is in recovery. */
extern bool rg_view_is_standby(const RgView *view, int node);

/* It answers and is not in recovery. */
extern bool rg_view_is_primary(const RgView *view, int node);

/* It has not been asked yet, in the first seconds of this watchdog. */
extern bool rg_view_is_untried(const RgView *view, int node);

/* Its server is alive and answers with an error: no slot left, login refused, wrong server, … */
extern bool rg_view_refuses_us(const RgView *view, int node);

/* The session that was lost said that the server's postmaster is gone. */
extern bool rg_view_said_it_died(const RgView *view, int node);

/* It said so, and nobody listens any more: the server's word, better evidence than silence. */
extern bool rg_view_says_it_died(const RgView *view, int node);

/*
 * When a standby last received WAL from its primary, in our clock; by its own clock,
 * or, where that is not told, by the age of the last message; 0 = never seen.
 */
extern int64_t rg_view_received_ms(const RgView *view, int node);

/* How much WAL a standby holds: received, or replayed where its receiver forgot what it received. */
extern uint64_t rg_facts_held_lsn(const RgFacts *facts);

/* A node that has seen a later start of this watchdog, so that our journal is old (F1); -1 = none. */
extern int	rg_view_outdated_by(const RgView *view);

extern bool rg_start_equal(const RgServerStart *a, const RgServerStart *b);

#endif							/* RG_VIEW_H */
