/*
 * sim.h
 *	  The world of the simulator: virtual time, hosts with clocks, links, messages.
 *
 * True time is microseconds and known to nobody inside the world: every host has
 * a clock of its own.  Whatever happens is an event in one queue; the order of
 * events, and every choice, comes from the seed, so a seed replays exactly.
 *
 * Two headers of the product call different things RgRule (the server's and the
 * watchdog's), so this one knows neither: nodes are node.h, watchdogs dog.h.
 */
#ifndef SIM_H
#define SIM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "extension/mutant.h"
#include "extension/rules.h"

#define NODES_MAX 7
#define DOGS_MAX 2
#define CLIENTS_MAX 3
#define HOSTS_MAX (NODES_MAX + DOGS_MAX + CLIENTS_MAX)
#define EVENTS_MAX 16384
#define MESSAGES_MAX 12288
#define HELD_MAX 8000
#define RULES_MAX 2048
#define ACKS_MAX 8000
#define DATA_MESSAGE_MAX 48
#define TERMS_SHOWN 64
#define TIMELINES_MAX 1024

#define MS 1000LL
#define SECOND (1000 * MS)

typedef struct World World;
typedef struct Event Event;
typedef struct Message Message;
typedef struct Server Server;
typedef struct Dog Dog;

/* Who runs an event: it waits while that is frozen, and is lost with what it belongs to. */
typedef enum Proc
{
	BY_WORLD = 0,				/* not a process at all */
	BY_HOST,					/* the host's kernel, sshd and helpers */
	BY_POSTMASTER,
	BY_BACKEND,
	BY_WORKER,
	BY_STREAM,					/* walsender, walreceiver, startup process */
	BY_DOG,
	BY_CLIENT
} Proc;

typedef void (*EventFn) (World *w, const Event *e);

struct Event
{
	int64_t at;
	EventFn run;
	Message *msg;				/* owned; freed after the event */
	int64_t x;
	int32_t life;				/* of the server or watchdog that it belongs to; 0 = any */
	int32_t a;
	int32_t b;
	int8_t host;
	int8_t proc;
	bool orphans;				/* a backend that goes on without its postmaster */
};

typedef struct Slot
{
	int64_t at;
	uint32_t seq;
	int32_t event;
} Slot;

typedef enum Durability
{
	D_ASYNC = 0,
	D_SYNC,
	D_STRICT
} Durability;

/* A rule, as both sides know it. */
typedef struct Rule
{
	int64_t term;
	int seq;
	int leader;
	uint32_t voters;
	Durability durability;
	int quorum;
	uint32_t left_out;			/* nodes, as voters */
	int64_t lease_ms;
	int watchdog;
	uint32_t timeline;
} Rule;

/* What travels between a watchdog and a node. */
typedef enum Verb
{
	V_NONE = 0,
	V_CONNECT,
	V_HEARTBEAT,
	V_PROMISE,
	V_PROMOTE,
	V_WRITE_RULE,
	V_FOLLOW,
	V_FETCH,
	V_FENCE_SQL,
	V_CHECKPOINT,
	V_TAKEOVER,
	V_SSH,						/* from here on over SSH; this one opens the session */
	V_PROBE,
	V_FENCE,
	V_PROMOTE_SSH,
	V_START,
	V_STOP,
	V_COPY,
	V_DELTA,
	V_REWIND,
	V_SWAP,
	V_SETTLE,
	V_UNSWAP,
	V_DISCARD,
	V_COUNT
} Verb;

typedef enum Outcome
{
	OUT_OK = 0,
	OUT_REFUSED,
	OUT_CLOSED,					/* no such session (any more) */
	OUT_DIED,					/* its last words: the postmaster is gone */
	OUT_STOPPED,				/* its last words: somebody stops it */
	OUT_NOBODY,					/* nobody listens */
	OUT_STARTING,
	OUT_STOPPING,
	OUT_OTHER_WATCHDOG,
	OUT_LOWER_COUNTER,
	OUT_WRONG_START,
	OUT_ERROR
} Outcome;

/* Who runs there: one start of one server. */
typedef struct StartId
{
	int boot;
	int pid;
	int64_t started_s;
} StartId;

typedef enum Postmaster
{
	PM_ABSENT = 0,
	PM_ALIVE,
	PM_FROZEN
} Postmaster;

/* What a node shows of itself: heartbeat, position or probe. */
typedef struct Shown
{
	StartId start;
	bool in_recovery;
	bool complete;
	bool paused;
	bool streaming;
	bool fenced;
	bool clean;
	bool rewinding;
	bool pidfile;
	Postmaster postmaster;
	RgGate gate;
	uint32_t timeline;
	uint64_t receive;			/* 0 = none */
	uint64_t replay;
	uint64_t held;				/* in a promise: the end of its WAL; 0 = not known */
	uint64_t flush;
	uint64_t current;
	uint64_t start_lsn;			/* where WAL ended when the server came up as a primary; of a standby, see view.h */
	uint64_t checkpoint;
	int64_t message_age_ms;		/* -1 = never */
	int64_t wal_age_ms;
	int64_t promised_term;
	int64_t promoting_term;
	int rule;					/* index in w->rules, -1 = none */
	int64_t boottime_ms;
	int64_t lease_left_ms;
	int ahead;					/* node, -1 = none */
	int obeys;					/* watchdog, -1 = none */
	bool intruded;
	int disk;					/* as RgDiskView counts */
	int crash_restarts;
	uint32_t streaming_from_us;
	uint32_t sync_with_us;
	uint64_t flushed_from_us[NODES_MAX];
	bool settled;
	int nterms;
	RgTermEnd terms[TERMS_SHOWN];
} Shown;

struct Message
{
	Message *next;
	Verb verb;
	int dog;
	int dog_life;
	int node;
	int life;					/* server start that the session belongs to */
	int serial;					/* tells answers apart */
	int watchdog;				/* identity */
	int64_t counter;
	int64_t term;
	int64_t ticket;				/* of a verb of a rebuild, with term and rule_seq */
	int rule_seq;
	int leader;
	int old_watchdog;
	bool names_start;
	StartId start;
	bool grants;
	int64_t until_ms;
	uint64_t until_lsn;
	bool again;					/* this one was held up, beside one that was not */
	Rule rule;
	Outcome outcome;
	const char *why;
	Shown shown;
	/* a piece of WAL, and the hash of all before it */
	uint64_t hash;
	uint32_t lsn;				/* where the record before it ends, and where that begins: its prev-link */
	uint32_t prev_lsn;
	int from_pos;
	int count;
	struct
	{
		uint32_t id;
		uint16_t timeline;
		int16_t rule;
		uint32_t lsn;
		uint64_t hash;
	} wal[DATA_MESSAGE_MAX];
};

typedef struct Host
{
	bool down;					/* no power */
	bool frozen;				/* every process of it */
	bool clock_stops;			/* and its clock with it */
	bool sshd_blocked;			/* port 22 only */
	int boot;
	int64_t clock_us;			/* its clock ... */
	int64_t true_us;			/* ... at this true time */
	int rate_ppm;
	int64_t wall_jump_ms;		/* of its wall clock, which nothing may be measured with */
} Host;

typedef struct Ack
{
	uint32_t id;
	int pos;
	int64_t term;
	int8_t node;
	bool guaranteed;			/* by every rule in question when it was told */
	bool lost;					/* given up: measured loss of async, or accepted by the operator */
} Ack;

/* What kind of seed this is. */
typedef struct Config
{
	int nodes;
	int voters;
	int dogs;
	int clients;
	Durability durability;
	int quorum;
	int64_t lease_ms;
	int64_t heartbeat_ms;
	int64_t tick_ms;
	int64_t restart_budget_ms;
	int64_t hang_budget_ms;
	bool from_standbys;
	bool promote_sql;
	bool promote_ssh;
	bool auto_rejoin;
	bool disk_failover;
	int crash_limit;
	int64_t crash_window_ms;
	bool long_lease;
	int64_t faults_us;
	int fault_gap_ms;
	int drop_ppm;				/* of messages that are late by a retransmission */
	int wal_per_s;
	bool server_faults;
	bool network_faults;
	bool freeze_faults;
	bool power_faults;
	bool dog_faults;
	bool orders;
	bool changes;				/* of durability, quorum and voters */
	bool second_dog;
	bool clone;
	bool old_helpers;			/* they know neither rewind nor delta */
	bool restored_leader;		/* the last fault: the leader's disk is an old one */
	bool old_journal;
	bool clock_stop;
	int plan;					/* a story of its own before the faults: see fault.c; 0 = none */
} Config;

struct World
{
	int64_t now;
	uint64_t random;
	uint64_t seed;
	Config c;
	bool trace;
	bool quiet;					/* no more faults */
	bool failed;
	char violation[400];
	unsigned long nevents;

	Slot heap[EVENTS_MAX];
	int nheap;
	uint32_t seq;
	Event events[EVENTS_MAX];
	int free_events[EVENTS_MAX];
	int nfree_events;
	Message messages[MESSAGES_MAX];
	Message *free_messages;
	int nmessages;

	/* events of frozen hosts and messages on cut links */
	int held[HELD_MAX];
	int nheld;
	struct
	{
		int event;
		int8_t from;
		int8_t to;
	} stuck[HELD_MAX];
	int nstuck;

	Host host[HOSTS_MAX];
	int nhosts;
	bool cut[HOSTS_MAX][HOSTS_MAX]; /* from, to */
	int slow_us[HOSTS_MAX];		/* extra delay of all its links */

	Server *server[NODES_MAX];
	Dog *dog[DOGS_MAX];
	int life;					/* the last one given to a server start or watchdog */
	int watchdogs;				/* identities given */
	int chief;					/* the watchdog that is to be obeyed in the end */

	Rule rules[RULES_MAX];
	int nrules;
	uint32_t entry_id;

	/* clients and what they were told */
	Ack acks[ACKS_MAX];
	int nacks;
	int64_t tries;
	int64_t opened_term;		/* highest that has ever been open */
	int opener;					/* life of the server that opened last */
	int64_t openings;
	bool loss_accepted;
	int8_t candidates[TIMELINES_MAX];	/* of each term, + 1 */
	bool tainted[NODES_MAX];	/* F13: its clock stood still; until then it may acknowledge, in async */
	int64_t tainted_until[NODES_MAX];

	/* how much happened, so that a quiet world is noticed */
	unsigned long failovers;
	unsigned long switchovers;
	unsigned long rewinds;
	unsigned long cancels;
	unsigned long undone;
	unsigned long rebuilt;
	unsigned long fetches;
	unsigned long takeovers;
	unsigned long refused;
	unsigned long marker_leases;
	unsigned long lost_async;
	unsigned long bounds;
	unsigned long handovers;
	unsigned long changes;		/* rules of the same leader that change who is counted, or how many */
};

/* ---- world.c ---- */

extern void world_init(World *w, uint64_t seed, bool trace);
extern uint32_t pick(World *w, uint32_t n); /* 0 .. n - 1 */
extern bool chance(World *w, uint32_t per_mille);
extern int64_t between(World *w, int64_t from, int64_t to);

extern Message *message_new(World *w);
extern void message_free(World *w, Message *m);

/* Runs fn at now + delay; the result may be completed, it is valid until the next call. */
extern Event *later(World *w, int64_t delay_us, EventFn fn, int host, Proc proc);
/* The next event; false when there is none before until. */
extern bool step(World *w, int64_t until);

/* A message over TCP: late after a loss, stuck or lost on a cut link. */
extern Event *send_to(World *w, int from, int to, EventFn fn, Proc proc, Message *m);
extern bool can_reach(const World *w, int from, int to);
extern void cut(World *w, int from, int to, bool is_cut);

extern int64_t clock_us(const World *w, int host);
extern int64_t clock_ms(const World *w, int host);
extern void clock_jump_rate(World *w, int host, int rate_ppm);
extern void freeze(World *w, int host, bool with_clock);
extern void thaw(World *w, int host);
/* Events that waited for a process go on (after its thaw) or are looked at anew. */
extern void release_held(World *w, int host);

extern void violate(World *w, const char *fmt,...) __attribute__((format(printf, 2, 3)));
extern void tell(World *w, const char *fmt,...) __attribute__((format(printf, 2, 3)));
#define TRACE(w, ...) \
	do { if ((w)->trace) tell((w), __VA_ARGS__); } while (0)

/* The last lines of the story, oldest first. */
extern void world_story(FILE *out);
extern bool world_story_live;	/* print each line at once */

/* ---- hosts ---- */

#define node_host(node) (node)
static inline int
dog_host(const World *w, int dog)
{
	return w->c.nodes + dog;
}
static inline int
client_host(const World *w, int client)
{
	return w->c.nodes + DOGS_MAX + client;
}

/* ---- node_*.c, as others see them ---- */

extern void nodes_init(World *w);
extern bool server_accepts(World *w, const Event *e);	/* may this event of a node's process run now? */
extern bool server_waits(World *w, const Event *e); /* the process is frozen */

extern bool node_runs(const World *w, int node);
extern void node_fence_by_hand(World *w, int node);	/* and starts it again, as a standby */

/* A message from a watchdog has arrived at the node's host. */
extern void node_receive(World *w, const Event *e);

/* ---- dog*.c ---- */

extern void dogs_init(World *w);
extern bool dog_lives(const World *w, int dog, int life);
extern void dog_receive(World *w, const Event *e);	/* an answer, or the end of a session */
extern void dog_start(World *w, int dog);
extern void dog_crash(World *w, int dog, const char *why);
extern bool dog_is_up(const World *w, int dog);
extern bool dog_all_is_well(World *w, int dog);
extern void dog_person(World *w, int dog);	/* what an operator does who reads status */
extern void dog_order_switchover(World *w, int dog, int node);
extern bool dog_has_strayed(const World *w, int node);	/* so the watchdog that goes on believes */
extern bool dog_order_accept_loss(World *w, int dog, int node);
extern void dog_order_takeover(World *w, int dog);
extern void dog_order_set(World *w, int dog, int durability, int quorum);	/* -1, 0: as it is */
extern void dog_order_voters(World *w, int dog, uint32_t voters);
extern uint32_t dog_voters(const World *w, int dog);
extern void dog_order_rebuild(World *w, int dog, int node);
extern void dog_order_copy(World *w, int dog, int node);	/* of a healthy node, too */
extern void dog_order_cancel(World *w, int dog);
extern void dog_restore_journal(World *w, int dog);
extern void dog_keep_image(World *w, int dog);
extern void dog_lose_journal(World *w, int dog);
extern void dog_die_with_rule(World *w, int dog);
extern void dog_die_in_round(World *w, int dog, uint32_t point);
extern int64_t dog_counter(const World *w, int dog);
extern void dog_end(World *w, int dog);	/* for good */
extern void dog_lose_power(World *w, int dog);
extern void dog_make_clone(World *w, int from, int to);
extern void dog_tell(World *w, int dog, FILE *out);
extern int dog_leader(const World *w, int dog);

/* ---- client.c, fault.c, check.c ---- */

extern void check_candidate(World *w, int candidate, uint32_t recruited);
extern void check_promote_step(World *w, int64_t term, int node);
extern void clients_init(World *w);
extern void clients_waken(World *w, int node);	/* votes or lease may have changed */
extern void clients_crash(World *w, int node);	/* the server's backends are gone */
extern void faults_init(World *w);
extern void change_rule(World *w);	/* somebody asks for another one */
#define STORY_PLAN 20
extern void story_begin(World *w);	/* story.c */
#define SWAP_PLAN 21
extern void story_swap_begin(World *w);	/* story_swap.c */
extern void story_swap_sees(const World *w, const Message *m);
extern void faults_stop(World *w);
extern bool node_has_the_mark(const World *w, int node);	/* rewound by half: it can't be started */
extern bool node_is_half_rewound(const World *w, int node);
extern void helper_abort(World *w, int node, int serial);	/* node_helper.c: a copy's channel is closed */
extern void faults_person(World *w);	/* somebody starts what lies there */

#endif							/* SIM_H */
