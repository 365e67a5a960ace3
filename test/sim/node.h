/*
 * node.h
 *	  A node of the simulator: its data directory, its server, and what both show.
 *
 * The state file is the product's own RgState with the product's own functions
 * (extension/statefile.c); the gate and the arithmetic are extension/rules.c.
 * What the server does between them follows the extension's files by name.
 */
#ifndef SIM_NODE_H
#define SIM_NODE_H

#include "extension/joint.h"
#include "sim.h"

#define LOG_MAX 8000
#define HISTORY_MAX 64
#define MARKERS_MAX 16

/* One record of WAL.  The hash covers all that came before, too: equal hashes, equal histories. */
typedef struct Entry
{
	uint32_t id;
	uint16_t timeline;
	int16_t rule;				/* index in w->rules; -1 = none */
	uint32_t lsn;				/* where it ends; records have different sizes */
	uint64_t hash;
} Entry;

typedef enum StateFile
{
	STATE_OK = 0,
	STATE_MISSING,
	STATE_BAD
} StateFile;

typedef enum Control
{
	CONTROL_PRODUCTION = 0,
	CONTROL_SHUT_DOWN,
	CONTROL_RECOVERY
} Control;

/* A data directory: len records in memory, written to the files, flushed to the disk. */
typedef struct Data
{
	int len;
	int written;
	int flushed;
	int restartpoint;			/* replay begins here after a start */
	int consistent;				/* and accepts connections from here on */
	int checkpoint;				/* position after the newest checkpoint record */
	Control control;
	uint32_t timeline;
	int nhistory;
	struct
	{
		uint32_t timeline;
		int end;
	} history[HISTORY_MAX];
	uint64_t files[TIMELINES_MAX / 64];	/* which N.history are in pg_wal */
	bool standby_signal;
	int source;					/* primary_conninfo: node, -1 = none */
	bool pidfile;
	StateFile state_file;
	RgState state;				/* what a process reads from it */
	StateFile durable_file;
	RgState durable;			/* what is still there after a power loss */
	bool removed;				/* no such directory */
	bool half_rewound;			/* the mark that a rewind removes at its end: nobody starts this */
	bool late_rewound;			/* by one that comes after its answer: only the mark tells of it */
	Entry log[LOG_MAX];
} Data;

typedef enum Run
{
	RUN_NO = 0,
	RUN_STARTING,
	RUN_UP,
	RUN_STOPPING
} Run;

typedef enum Receiver
{
	RECEIVER_STOPPED = 0,
	RECEIVER_CONNECTING,
	RECEIVER_STREAMING
} Receiver;

/* A walsender: what an upstream knows of one standby. */
typedef struct Sender
{
	bool connected;
	int life;					/* the standby's server start */
	int serial;					/* of the connection */
	int sent;
	int flush;					/* as reported */
	int ahead;					/* the most that was noted of it beyond our own WAL */
	bool in_flight;
	int64_t heard_us;			/* its last reply */
} Sender;

/* promise, promote, follow, ... under way on the node */
typedef struct Command
{
	bool used;
	Message *request;			/* kept until the answer */
	int stage;
	int64_t deadline_ms;		/* own clock */
	int64_t began_ms;
	bool has_lock;
	bool by_helper;
	bool cut;					/* of a fetch: its source is taken away again */
	int before;					/* where it began, and how far it came */
	int fetched;
	int64_t moved_ms;
} Command;

#define COMMANDS_MAX 24

struct Server
{
	int node;
	Data *data;
	Data *copy;
	Data *old;
	Data *image;				/* of its disk, for a restore */
	bool has_copy;
	bool has_old;
	bool has_image;
	int copied_from;
	int copied_pid;				/* the postmaster that ran when the copy was complete; 0 = none */
	bool is_swapped;			/* the copy is in its place */
	int64_t job_term;			/* the highest number of a job's verb in this boot: rule, ticket */
	int job_seq;
	int64_t job_ticket;

	Run run;
	bool orphans;				/* no postmaster, but backends that go on */
	bool pm_frozen;
	bool worker_frozen;
	bool backends_frozen;
	bool disk_full;
	int64_t hung_since;			/* its disk does not answer; 0 = it does */
	int life;					/* of this start; 0 = it does not run */
	StartId id;
	int pids;
	int crash_restarts;			/* of this postmaster */
	bool in_recovery;
	int64_t restarts_at;		/* a service manager is about to start it */
	bool by_hand;				/* somebody stopped it: it is for a person to start it */

	/* shared memory: nothing of it outlives a start */
	RgState shm;
	bool dirty;
	bool state_bad;
	bool rules_read;
	int rules_pos;				/* the worker has read the table up to here */
	RgJoint joint;				/* what it has to satisfy as a leader */
	int joint_pos;				/* where its WAL ended when the newest of these was in; -1 = not looked yet */
	int64_t lease_until_ms;
	int64_t stale_since_ms;
	int64_t override_until_ms;
	int ahead;
	int64_t seen_ms;			/* a watchdog's heartbeat */
	int64_t intruder_ms;
	int64_t last_wal_ms;
	int64_t last_message_ms;
	bool was_open;
	struct
	{
		int pos;
		int64_t at_ms;
	} markers[MARKERS_MAX];
	int nmarkers;
	int64_t marker_at_ms;
	int64_t leads_since_ms;
	int64_t markers_rule;		/* term and seq that they belong to */

	/* recovery */
	uint64_t start_lsn;
	bool begun;					/* the state file knows of this start, or it has had a lease */
	int replay;
	bool replaying;				/* an event is under way */
	bool stuck;					/* a conflict, a pause: a promise lifts it */
	bool stuck_for_good;		/* a pause because of settings: nobody lifts it */
	int live_source;			/* what the startup process has taken over */
	bool parked;
	Receiver receiver;
	int receiver_serial;
	int upstream;				/* to whom it connects, and its server start */
	int upstream_life;
	bool wake_armed;
	int64_t heard_ms;			/* anything from it, keepalives too */
	int received;				/* in this start; 0 = nothing */
	bool promote_asked;
	bool flush_pending;

	int lock;					/* command that holds the node's lock, -1 = free */
	Command commands[COMMANDS_MAX];
	Sender senders[NODES_MAX];

};

/* ---- node_disk.c: directories ---- */

extern void data_init(Data *d, int node);
extern void data_copy(Data *to, const Data *from);
extern int data_append(World *w, Data *d, int rule);	/* the position after it; -1 when full */
extern uint64_t data_hash(const Data *d, int pos, const Entry *e);	/* of a record there, and of all before it */
extern uint64_t data_lsn(const Data *d, int pos);
extern void data_store_state(World *w, Data *d);	/* state -> durable */
extern void data_switch(Data *d, uint32_t timeline);
extern int data_end_of(const Data *d, uint32_t timeline);	/* -1 = not in its history */
extern uint32_t data_next_timeline(const Data *d);
extern bool data_has_file(const Data *d, uint32_t timeline);
extern void data_add_file(Data *d, uint32_t timeline);
extern void data_truncate(Data *d, int len);
extern void data_lose_power(World *w, Data *d);
extern bool data_is_prefix(const Data *shorter, const Data *longer);
extern bool data_holds(const Data *d, uint32_t id, int pos);
extern int data_newest_rule(const World *w, const Data *d, int upto);
extern int data_terms(const Data *d, const RgState *state, uint32_t timeline, RgTermEnd *ret);

/* the two forms of a rule, and names */
extern void rule_to_words(const Rule *rule, RgRule *ret);
extern void rule_to_state(const World *w, int rule, RgRule *ret);
extern int rule_of_state(const World *w, const RgRule *rule);
extern const char *node_name(int node);
extern void watchdog_uuid(int watchdog, char *ret);
extern int watchdog_of(const char *uuid);

/* ---- node_server.c: a server's life ---- */

extern bool server_is_up(const World *w, int node);	/* takes connections, as far as it itself goes */
extern void server_start(World *w, int node);
extern void server_kill(World *w, int node);	/* every process of it */
extern void server_crash(World *w, int node);	/* a backend: the postmaster begins anew */
extern void server_kill_postmaster(World *w, int node);	/* its backends live on a while */
extern void server_stop(World *w, int node);	/* fast, by somebody */
extern void server_lose_power(World *w, int node);
extern void server_power_on(World *w, int node, bool start);
extern void server_restore_image(World *w, int node);
extern void server_flush(World *w, int node, int64_t delay_us);
extern void server_adopt_rules(World *w, int node, bool store);
extern void server_share_state(World *w, int node);	/* the file's state is the shared one now */
extern void server_finish_stop(World *w, int node);
extern void server_goodbye(World *w, int node, Outcome words);
extern void server_worker_soon(World *w, int node);
extern RgGate server_gate(const World *w, int node);
extern bool server_is_writable(const World *w, int node);
extern void server_show(World *w, int node, Shown *ret);

/* ---- node_lease.c: leases, markers, votes ---- */

extern void lease_grant(World *w, int node, const Message *m);
extern void lease_look(World *w, int node); /* is a voter ahead of us? */
extern int64_t lease_work(World *w, int node);	/* of the worker: markers; us until the next time */
extern void lease_votes_changed(World *w, int node);
extern bool votes_acknowledge(World *w, int node, int pos);
extern bool votes_guarantee(World *w, int node);	/* nobody may lose it silently */
extern void lease_rule_changed(World *w, int node);

/* ---- node_stream.c ---- */

extern void stream_wake(World *w, int node);	/* a standby looks for its source */
extern void stream_kick(World *w, int node);	/* an upstream has flushed more */
extern void stream_stop(World *w, int node);	/* end the receiver */
extern void stream_drop(World *w, int node);	/* the server is gone: all connections from and to it */
extern void stream_replay(World *w, int node);
extern void stream_expire(World *w, int node);	/* standbys that have been silent for too long */

/* ---- node_command.c, node_helper.c ---- */

extern int command_new(World *w, int node, Message *request);
extern void command_end(World *w, int node, int command, Outcome outcome, const char *why);
extern void command_fail_all(World *w, int node, bool helpers_too);
extern void command_run(World *w, int node, Message *m);
extern bool helper_exchanges(const Server *s);	/* a swap, or its undoing, holds the node's lock */
extern void helper_run(World *w, int node, Message *m);
extern void node_answer(World *w, int node, const Message *request, Outcome outcome, const char *why,
						const Shown *shown);

/* ---- check.c ---- */

extern void check_open(World *w, int node);	/* its gate may have opened */
extern void check_ruled(World *w, int node);	/* its rule is in force */
extern void check_ack(World *w, int node, uint32_t id, int pos);
extern void check_promoted(World *w, int node);
extern void check_settle(World *w, int node);	/* its old directory is about to be removed */
extern bool check_rows(World *w, int leader);	/* everybody streams and holds the same */

#endif							/* SIM_NODE_H */
