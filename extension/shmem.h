/*
 * shmem.h
 *	  What the node's processes share.
 *
 * One struct behind one lightweight lock, with a few atomics beside it for the
 * startup process, which must never wait for us.  It holds a copy of the node's
 * state file with whatever is newer than the file, what the background worker
 * measured, what the watchdog published, and what operators asked for.
 *
 * Nothing in it outlives a restart: promises and rules come back from the state
 * file before the first backend starts, all else begins empty.  The lease and
 * the override of the gate stand here too, and for that very reason.
 */
#ifndef RG_SHMEM_H
#define RG_SHMEM_H

#include "postgres.h"

#include <time.h>

#include "access/xlogdefs.h"
#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/latch.h"
#include "storage/lwlock.h"

#include "hot.h"
#include "joint.h"

#define RG_REQUESTS_MAX 16
#define RG_PUBLISHED_SIZE (64 * 1024)
#define RG_MESSAGE_SIZE 256
#define RG_INTRUDER_SIZE 72

/* Which file was read: rename gives every new state file another inode. */
typedef struct RgFileMark
{
	bool		exists;
	uint64		inode;
	int64		size;
	int64		mtime_s;
	int64		mtime_ns;
} RgFileMark;

/* Where this node's timelines ended, newest last; cached for one current timeline. */
typedef struct RgHistory
{
	TimeLineID	timeline;
	int			count;
	struct
	{
		TimeLineID	timeline;
		XLogRecPtr	end;
	}			ends[RG_FOLLOWED_MAX];
} RgHistory;

/* When something last came from the upstream, by our own clock. */
typedef struct RgReceipt
{
	XLogRecPtr	flushed;
	TimestampTz message;
	int64		last_wal_ms;
	int64		last_message_ms;
} RgReceipt;

/* What the worker measured last. */
typedef struct RgSample
{
	int64		at_ms;
	bool		in_recovery;
	TimeLineID	timeline;
	XLogRecPtr	receive_lsn;
	XLogRecPtr	replay_lsn;		/* on a primary: written */
	double		rate;			/* bytes per second */
} RgSample;

/* What the probe process saw of the disks last (disk.c); times are of CLOCK_BOOTTIME. */
typedef struct RgDisk
{
	int64		measured_ms;	/* 0: not yet */
	int64		due_ms;			/* when it looks again */
	int64		began_ms;		/* when the access began that has not ended; 0: none */
	int64		free_bytes;		/* of the place with the least room */
	bool		is_full;
	char		place[24];		/* which one that is */
	int			write_errno;	/* of the last write of the probe; 0: it went well */
	char		write_place[24];
} RgDisk;

/* Something an operator asked for; waits for a heartbeat to take it along. */
typedef struct RgRequest
{
	int64		id;
	char		kind[12];		/* rebuild or switchover */
	char		node[RG_NAME_SIZE]; /* of a switchover: empty for any */
	char		method[8];		/* of a rebuild */
} RgRequest;

/* Who is to stream from here beside the voters, as published for this term. */
typedef struct RgGuests
{
	int64		term;			/* 0: nothing was published since the start */
	uint64		version;		/* grows with each publication that changed anything */
	int			count;
	char		names[RG_VOTERS_MAX][RG_NAME_SIZE];
} RgGuests;

typedef struct RgShared
{
	LWLock	   *lock;

	/*
	 * What opens the gate, and what closes it, besides the state: milliseconds of
	 * CLOCK_BOOTTIME, 0: none.  Written under lock, read without.  Every commit looks
	 * at these and at the next ones, so they stand first: in one cache line.
	 */
	pg_atomic_uint64 lease_until_ms;	/* lease.c; none any more after a promise */
	pg_atomic_uint64 stale_since_ms;	/* votes.c: somebody is ahead of us */
	pg_atomic_uint64 override_until_ms; /* regent.override_gate() */

	/*
	 * What the gate needs of the state, kept by rg_gate_refresh_locked(): it permits
	 * writes while there is a lease; voters have to flush a commit; a rule before the
	 * newest one is in question; and how often it has changed.
	 */
	pg_atomic_uint32 gate_permits;
	pg_atomic_uint32 gate_counts;
	pg_atomic_uint32 gate_is_joint;
	pg_atomic_uint64 gate_generation;

	/* Protected by lock. */
	RgState		state;			/* the file's content, and what is newer */
	bool		state_dirty;	/* the file lacks something of it */
	bool		state_bad;		/* the file can't be used; it is never overwritten */
	bool		state_missing;	/* bad, because a member of the cluster has none */
	char		state_error[RG_MESSAGE_SIZE];
	RgFileMark	state_mark;
	RgHistory	history;
	RgReceipt	receipt;
	RgSample	sample;
	RgDisk		disk;
	XLogRecPtr	rules_lsn;		/* all rules up to here were read from the table */
	int			nrequests;
	RgRequest	requests[RG_REQUESTS_MAX];
	int64		last_request_id;
	int			published_length;
	int			published_encoding;
	int64		published_ms;	/* when; before the first one: this server's start */
	char		published[RG_PUBLISHED_SIZE];
	RgGuests	guests;			/* whose slots are kept beside the voters' (guests.c) */
	Latch	   *worker_latch;	/* NULL: no worker */
	bool		worker_connecting;	/* still set at the worker's start: it died of it */
	int64		worker_retry_ms;	/* pause between its looks for a missing database */

	/*
	 * What a leader has to satisfy, kept by rg_gate_refresh_locked(), and where WAL
	 * ended when its newest rule was in (Invalid: not looked yet); protected by lock.
	 */
	RgJoint		joint;
	XLogRecPtr	joint_lsn;

	/*
	 * The voter that showed WAL beyond our own, kept until the watchdog has
	 * looked, and what each voter of these rules showed (votes.c); protected by lock.
	 */
	char		ahead[RG_NAME_SIZE];
	struct
	{
		pid_t		pid;
		XLogRecPtr	lsn;
	}			ahead_seen[RG_JOINT_NAMES_MAX];

	/*
	 * Slots that have released WAL, and up to where (slots.c), and where the WAL that is
	 * still here begins (slot_status.c); protected by lock.
	 */
	struct
	{
		char		node[RG_NAME_SIZE];
		XLogRecPtr	lsn;
	}			released[RG_VOTERS_MAX];
	XLogRecPtr	oldest_wal;

	/* Who was refused last as another watchdog or an older life of ours; protected by lock. */
	char		intruder[RG_INTRUDER_SIZE];
	int64		intruder_ms;

	int			crash_restarts; /* how often this postmaster has begun anew after a crash */

	/* What is known of this start (start.c); the last one is protected by lock. */
	bool		start_as_standby;
	XLogRecPtr	start_checkpoint;	/* the newest one then */
	XLogRecPtr	start_lsn;		/* Invalid: not looked for yet */
	bool		start_noted;	/* the state file knows of it, or it has had a lease */

	/* Milliseconds of CLOCK_BOOTTIME; 0: no heartbeat since the start. */
	pg_atomic_uint64 watchdog_seen_ms;

	/*
	 * Written by the startup process when it rereads its settings, see park.c:
	 * whether it has a source of WAL left, and how often it has reread them.
	 */
	pg_atomic_uint32 startup_has_conninfo;
	pg_atomic_uint32 startup_has_restore;
	pg_atomic_uint64 startup_reloads;

	/* Read by the startup process: lift delays of replay. */
	pg_atomic_uint32 is_parked;
} RgShared;

/* NULL unless the library was preloaded. */
extern RG_HOT_SHARED RgShared *rg_shared;

/* Constants of this server start, read before the first fork. */
extern char rg_boot_id[RG_UUID_SIZE];

/* Hooks of _PG_init. */
extern void rg_shmem_request(void);
extern void rg_shmem_startup(void);

/* Milliseconds of CLOCK_BOOTTIME. */
static inline int64
rg_boottime_ms(void)
{
	struct timespec now;

	(void) clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64) now.tv_sec * 1000 + (uint32) now.tv_nsec / 1000000;
}

/* Raises an error unless preloaded. */
extern void rg_require_shared(void);

/* A copy of the state as it is known now. */
extern void rg_shared_state(RgState *ret_state);

/*
 * Takes over rules whose rows are flushed here, oldest first.  Wakes the worker,
 * which brings the state file up to date.  Safe in a commit callback.
 */
extern void rg_shared_adopt_rules(const RgRule *rules, int count);

/* Terms that stand in the table but have no rule copy here; returns true if any was new. */
extern void rg_shared_add_followed(const RgTermEnd *terms, int count);

/* The timeline that this server writes, or replays. */
extern TimeLineID rg_current_timeline(bool in_recovery);

/*
 * The terms that this node followed or led, with the end of each in its own
 * history; returns their number.  ret_terms holds RG_FOLLOWED_MAX.
 */
extern int	rg_followed_terms(RgTermEnd *ret_terms);

/* Looks whether the walreceiver got anything since the last look. */
extern void rg_receipt_update(RgReceipt *ret_receipt);

extern void rg_worker_wake(void);

/*
 * Waits until the worker has read every rule that this server holds now; false
 * if it has not by deadline_ms (boottime).
 */
extern bool rg_rules_sync(int64 deadline_ms);

#endif							/* RG_SHMEM_H */
