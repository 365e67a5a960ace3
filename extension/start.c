/*
 * start.c
 *	  Where this server's WAL ended when it was started; whether it may start.
 *
 * A leader that comes back with an older copy of its data is found by comparing
 * positions with the standbys'.  Its current one does not tell: it writes WAL of
 * its own from the first moment on, a checkpoint at least, and soon looks as if it
 * had everything.  So the position of its start counts.  It stands in the state
 * file until the server gets a lease, for it may be ended before, and be started
 * again as a standby, without that anybody has heard it.
 *
 * After a clean stop that is the end of the shutdown checkpoint, where nothing was
 * replayed.  After a crash it is where the checkpoint at the end of recovery
 * begins.  That is not always the end of the last record that was replayed: a
 * record that was cut off had been sent to the standbys as well, and the server
 * goes on behind its torn part.
 *
 * And whether it may be started at all: a directory that pg_rewind has left in
 * the middle looks sound, replays some WAL, and holds rows of two histories.  And
 * one that regent-node is about to exchange for another: it holds the node's lock
 * and has looked that no server runs there; a server that starts looks whether
 * somebody has the lock.  So one of them sees the other, also when regent-node was
 * frozen between its look and the exchange, and wakes an hour later.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogrecord.h"
#include "access/xlogrecovery.h"
#include "catalog/pg_control.h"
#include "common/controldata_utils.h"
#include "miscadmin.h"
#include "storage/fd.h"

#include "nodestate.h"
#include "pg_regent.h"
#include "shmem.h"
#include "start.h"
#include "statefile.h"

/* Set by regent-node before pg_rewind writes its first byte, removed when the directory is whole. */
#define REWIND_MARK "regent.rewinding"

/* So long a start waits for the lock: regent-node needs seconds with it, or hangs. */
#define EXCHANGE_WAIT_MS 10000
#define EXCHANGE_LOOK_MS 50

/* A checkpoint's record: its header and one short piece of data. */
#define CHECKPOINT_RECORD_SIZE \
	(SizeOfXLogRecord + SizeOfXLogRecordDataHeaderShort + sizeof(CheckPoint))

void
rg_start_refuse_rewinding(void)
{
	if (IsUnderPostmaster || access(REWIND_MARK, F_OK) != 0)
		return;
	ereport(FATAL,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("this data directory is half rewound and cannot be started"),
			 errdetail("\"%s\" says that regent-node has begun to rewind it and has not finished.", REWIND_MARK),
			 errhint("Finish the rewind or give the node a copy: regent rebuild %s.",
					 rg_node_name[0] != '\0' ? rg_node_name : "NODE")));
}

/* Is the lock free, or does it become so? */
static bool
wait_for_lock(void)
{
	int			fd = OpenTransientFile(RG_LOCK_FILE, O_RDWR | O_CLOEXEC);
	bool		is_free = fd < 0;

	if (fd < 0 && errno != ENOENT)
		ereport(FATAL,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\": %m", RG_LOCK_FILE)));
	for (int waited_ms = 0; !is_free && waited_ms <= EXCHANGE_WAIT_MS; waited_ms += EXCHANGE_LOOK_MS)
	{
		is_free = flock(fd, LOCK_EX | LOCK_NB) == 0;
		if (!is_free)
			pg_usleep(EXCHANGE_LOOK_MS * 1000L);
	}
	if (fd >= 0)
		CloseTransientFile(fd);
	return is_free;
}

void
rg_start_refuse_exchange(void)
{
	const char *node = rg_node_name[0] != '\0' ? rg_node_name : "NODE";
	struct stat here;
	struct stat there;

	if (IsUnderPostmaster)
		return;
	if (!wait_for_lock())
		ereport(FATAL,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("regent-node is at work in this data directory"),
				 errdetail("It has held \"%s\" for %d seconds.", RG_LOCK_FILE, EXCHANGE_WAIT_MS / 1000),
				 errhint("Wait until it has ended; if it hangs: regent-node %s start ends it and starts the server.", node)));
	/* it has had the lock meanwhile, and has given the name to another directory */
	if (stat(".", &here) != 0 || stat(DataDir, &there) != 0 || here.st_ino != there.st_ino || here.st_dev != there.st_dev)
		ereport(FATAL,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("data directory \"%s\" was exchanged while the server was starting", DataDir),
				 errhint("Start it again: regent-node %s start.", node)));
}

void
rg_start_init(void)
{
	bool		is_good;
	ControlFileData *control = get_controlfile(DataDir, &is_good);

	rg_shared->start_checkpoint = is_good ? control->checkPoint : InvalidXLogRecPtr;
	rg_shared->start_as_standby = access(STANDBY_SIGNAL_FILE, F_OK) == 0 ||
		access(RECOVERY_SIGNAL_FILE, F_OK) == 0;
	pfree(control);
}

/* A record continues behind the header of the next page. */
static XLogRecPtr
end_of_record(XLogRecPtr start, uint32 size)
{
	XLogRecPtr	end = start;
	uint32		rest = size;

	while (rest > XLOG_BLCKSZ - end % XLOG_BLCKSZ)
	{
		rest -= XLOG_BLCKSZ - end % XLOG_BLCKSZ;
		end += XLOG_BLCKSZ - end % XLOG_BLCKSZ;
		end += XLogSegmentOffset(end, wal_segment_size) == 0 ? SizeOfXLogLongPHD : SizeOfXLogShortPHD;
	}
	return MAXALIGN64(end + rest);
}

static XLogRecPtr
find_start(XLogRecPtr start_checkpoint)
{
	XLogRecPtr	replayed = GetXLogReplayRecPtr(NULL);
	XLogRecPtr	start = replayed;
	ControlFileData *control;
	bool		is_good;

	if (XLogRecPtrIsInvalid(replayed))
		return XLogRecPtrIsInvalid(start_checkpoint) ? InvalidXLogRecPtr :
			end_of_record(start_checkpoint, CHECKPOINT_RECORD_SIZE);

	/* the newest one is that of the recovery, unless there was another since */
	control = get_controlfile(DataDir, &is_good);
	if (!is_good)
		start = InvalidXLogRecPtr;
	else if (control->checkPoint == control->checkPointCopy.redo && control->checkPoint > replayed)
		start = control->checkPoint;
	pfree(control);
	return start;
}

XLogRecPtr
rg_start_lsn(void)
{
	XLogRecPtr	start;
	XLogRecPtr	checkpoint;
	bool		was_standby;

	if (RecoveryInProgress())
		return InvalidXLogRecPtr;
	LWLockAcquire(rg_shared->lock, LW_SHARED);
	start = rg_shared->start_lsn;
	checkpoint = rg_shared->start_checkpoint;
	was_standby = rg_shared->start_as_standby;
	LWLockRelease(rg_shared->lock);
	if (was_standby || !XLogRecPtrIsInvalid(start))
		return was_standby ? InvalidXLogRecPtr : start;

	start = find_start(checkpoint);
	LWLockAcquire(rg_shared->lock, LW_EXCLUSIVE);
	if (XLogRecPtrIsInvalid(rg_shared->start_lsn))
		rg_shared->start_lsn = start;
	start = rg_shared->start_lsn;
	LWLockRelease(rg_shared->lock);
	return start;
}

/* ---- a start that has had no lease ---- */

static bool open_wanted = false;

/* Returns what it was. */
static bool
set_noted(void)
{
	bool		was_noted;

	LWLockAcquire(rg_shared->lock, LW_EXCLUSIVE);
	was_noted = rg_shared->start_noted;
	rg_shared->start_noted = true;
	LWLockRelease(rg_shared->lock);
	return was_noted;
}

bool
rg_start_is_due(void)
{
	bool		is_due;

	if (RecoveryInProgress())
		return false;
	LWLockAcquire(rg_shared->lock, LW_SHARED);
	is_due = !rg_shared->start_noted && !XLogRecPtrIsInvalid(rg_shared->start_lsn) &&
		rg_shared->state_mark.exists && !rg_shared->state_bad;
	LWLockRelease(rg_shared->lock);
	return is_due;
}

void
rg_start_note(void)
{
	RgNode		node;

	if (!rg_node_try_lock(&node))
		return;
	if (rg_start_is_due() &&
		rg_state_begin(&node.state, GetWALInsertionTimeLine(), rg_start_lsn()))
		rg_node_store(&node);
	/* a lease came in between */
	if (set_noted() && rg_state_open(&node.state))
		rg_node_store(&node);
	rg_node_unlock(&node);
}

/* From now on nothing notes this start any more. */
static bool
says_open(void)
{
	bool		is_open;

	LWLockAcquire(rg_shared->lock, LW_EXCLUSIVE);
	rg_shared->start_noted = true;
	is_open = rg_shared->state.unopened_timeline == 0;
	LWLockRelease(rg_shared->lock);
	return is_open;
}

bool
rg_start_open(void)
{
	RgNode		node;

	open_wanted = false;
	if (says_open())
		return true;
	if (!rg_node_try_lock(&node))
		return false;
	if (rg_state_open(&node.state))
		rg_node_store(&node);
	rg_node_unlock(&node);
	return true;
}

bool
rg_start_is_open(void)
{
	open_wanted = !says_open();
	return !open_wanted;
}

bool
rg_start_wants_open(void)
{
	return open_wanted;
}

XLogRecPtr
rg_start_unopened_lsn(void)
{
	XLogRecPtr	lsn;
	TimeLineID	timeline;

	if (!RecoveryInProgress())
		return InvalidXLogRecPtr;
	timeline = rg_current_timeline(true);
	LWLockAcquire(rg_shared->lock, LW_SHARED);
	lsn = rg_state_unopened_lsn(&rg_shared->state, timeline);
	LWLockRelease(rg_shared->lock);
	return lsn;
}
