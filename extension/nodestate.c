/*
 * nodestate.c
 *	  The state file on disk: lock, read, replace.
 *
 * Under the lock the file is the truth, because regent-node may have changed it
 * while the server ran; shared memory only adds what is newer than the file (a
 * rule that was just committed or replayed).  Without the lock, a look at the
 * file's inode tells cheaply whether it was replaced, so even heartbeat() shows
 * what the helper did.
 *
 * A file that is there but can't be used is never replaced: it may hold a promise
 * that must not be forgotten.  The node then votes for nobody (RG009), and the
 * operator decides.  A file that is not there is written when it is needed first,
 * unless the node holds rules: then it had one, and to lose it is as bad.
 *
 * A full disk must not keep a node from promising.  So a spare file waits that has
 * its block already: where no new file can be written, it is, and takes the place of
 * the old one by rename like any other.  The old one's block then makes the next spare.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "common/file_perm.h"
#include "miscadmin.h"
#include "storage/fd.h"

#include "errors.h"
#include "gate.h"
#include "lease.h"
#include "nodestate.h"
#include "park.h"
#include "pg_regent.h"
#include "shmem.h"

/* A spare is a little larger than what stands in the file now, in whole blocks. */
#define SPARE_UNIT 4096
#define SPARE_ROOM 1024

/* Each further one means that somebody has written meanwhile. */
#define REFRESH_TRIES 100

typedef enum FileResult
{
	FILE_READ,
	FILE_MISSING,
	FILE_BAD
} FileResult;

static void
set_mark(RgFileMark *mark, const struct stat *st)
{
	mark->exists = true;
	mark->inode = st->st_ino;
	mark->size = st->st_size;
	mark->mtime_s = st->st_mtim.tv_sec;
	mark->mtime_ns = st->st_mtim.tv_nsec;
}

static bool
marks_are_equal(const RgFileMark *a, const RgFileMark *b)
{
	if (!a->exists || !b->exists)
		return a->exists == b->exists;
	return a->inode == b->inode && a->size == b->size &&
		a->mtime_s == b->mtime_s && a->mtime_ns == b->mtime_ns;
}

/* Is it about this node?  reason gets RG_MESSAGE_SIZE bytes. */
static bool
belongs_here(const RgState *state, char *reason)
{
	if (strcmp(state->node, rg_node_name) != 0)
		snprintf(reason, RG_MESSAGE_SIZE,
				 "it belongs to node \"%s\", but regent.node_name is \"%s\"",
				 state->node, rg_node_name);
	else if (state->system_identifier != GetSystemIdentifier())
		snprintf(reason, RG_MESSAGE_SIZE,
				 "it belongs to system identifier " UINT64_FORMAT ", not to this server",
				 state->system_identifier);
	else
		return true;
	return false;
}

/* Plain calls only: this runs in the postmaster, too. */
static FileResult
read_file(RgState *ret_state, RgFileMark *ret_mark, char *reason)
{
	static char content[RG_STATE_TEXT_SIZE + 1];
	struct stat st;
	ssize_t		length = -1;
	int			fd;

	memset(ret_mark, 0, sizeof(*ret_mark));
	fd = open(RG_STATE_FILE, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return FILE_MISSING;
	if (fd >= 0 && fstat(fd, &st) == 0)
	{
		set_mark(ret_mark, &st);
		length = read(fd, content, sizeof(content));
	}
	if (length < 0)
		snprintf(reason, RG_MESSAGE_SIZE, "it cannot be read: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
	if (length < 0)
		return FILE_BAD;

	if (rg_state_parse(content, (size_t) length, ret_state, reason, RG_MESSAGE_SIZE) != 0)
		return FILE_BAD;
	return belongs_here(ret_state, reason) ? FILE_READ : FILE_BAD;
}

typedef enum ShareResult
{
	SHARED,
	SHARED_BAD,					/* the file has just been found to be bad */
	OUTDATED					/* somebody else was faster */
} ShareResult;

/*
 * Makes what was read the shared state, keeping what is newer in shared memory.  Who
 * has read without the node's lock may have read what is outdated by now: a promise
 * that was made meanwhile would be forgotten.  So nothing is shared when it is not
 * "known" any more that stands there (NULL: never mind).
 */
static ShareResult
share(FileResult result, RgState *state, const RgFileMark *mark, const RgFileMark *known, const char *reason)
{
	RgState    *shared = &rg_shared->state;
	bool		is_news;

	LWLockAcquire(rg_shared->lock, LW_EXCLUSIVE);
	if (known != NULL && !marks_are_equal(&rg_shared->state_mark, known))
	{
		LWLockRelease(rg_shared->lock);
		return OUTDATED;
	}
	is_news = result == FILE_BAD && !rg_shared->state_bad;
	rg_shared->state_bad = result == FILE_BAD;
	rg_shared->state_missing = false;
	strlcpy(rg_shared->state_error, result == FILE_BAD ? reason : "",
			sizeof(rg_shared->state_error));
	rg_shared->state_mark = *mark;
	if (result == FILE_READ)
	{
		bool		lacks = false;

		for (int i = 0; i < shared->nfollowed; i++)
			if (shared->has_rule && shared->followed[i].term <= shared->rule.term)
				lacks |= rg_state_add_followed(state, shared->followed[i].term,
											   shared->followed[i].timeline);
		if (shared->has_previous)
			lacks |= rg_state_adopt_rule(state, &shared->previous);
		if (shared->has_rule)
			lacks |= rg_state_adopt_rule(state, &shared->rule);
		if (shared->has_rule &&
			rg_rules_compare(shared->rule.term, shared->rule.seq, state->rule.term, state->rule.seq) == 0)
		{
			/* what this start has seen of the rule before it */
			lacks |= state->has_previous != shared->has_previous;
			state->has_previous = shared->has_previous;
			state->previous = shared->previous;
		}
		*shared = *state;
		rg_shared->state_dirty = lacks;
	}
	else if (result == FILE_MISSING)
	{
		/* removed under us: what we know goes back into a file */
		rg_shared->state_dirty = rg_state_highest_term(shared) > 0;
		rg_shared->rules_lsn = InvalidXLogRecPtr;
	}
	rg_lease_fit_locked();
	rg_gate_refresh_locked();
	LWLockRelease(rg_shared->lock);
	return is_news ? SHARED_BAD : SHARED;
}

static const char *
state_file_hint(bool is_missing)
{
	return is_missing ?
		"Rebuild this node: regent rebuild NODE. If it is a fresh copy of another node, let it in: set regent.adopting to an end time, say in an hour, and reload the configuration." :
		"Rebuild this node: regent rebuild NODE. If this data directory is a fresh copy of another node's, stop the server, remove the file regent.state, set regent.adopting to an end time, say in an hour, and start it again.";
}

/* Raises the error, or the warning, that the state file deserves. */
static void
complain_about_file(int level)
{
	char		reason[RG_MESSAGE_SIZE];
	bool		is_bad;
	bool		is_missing;

	LWLockAcquire(rg_shared->lock, LW_SHARED);
	is_bad = rg_shared->state_bad;
	is_missing = rg_shared->state_missing;
	strlcpy(reason, rg_shared->state_error, sizeof(reason));
	LWLockRelease(rg_shared->lock);
	if (is_bad)
		ereport(level,
				(errcode(ERRCODE_RG_STATE_FILE),
				 errmsg("node state file \"%s\" of node \"%s\" cannot be used",
						RG_STATE_FILE, rg_node_name),
				 errdetail("It is ignored because %s.", reason),
				 errhint("%s", state_file_hint(is_missing))));
}

bool
rg_node_judge_missing(void)
{
	const RgState *state = &rg_shared->state;
	bool		is_adopting = rg_adopting_left_ms() > 0;
	bool		was_missing;
	bool		is_missing;

	LWLockAcquire(rg_shared->lock, LW_EXCLUSIVE);
	was_missing = rg_shared->state_missing;
	is_missing = !is_adopting && !rg_shared->state_mark.exists &&
		rg_state_highest_term(state) == 0 && state->watchdog[0] == '\0';
	if (is_missing != was_missing)
	{
		rg_shared->state_missing = is_missing;
		rg_shared->state_bad = is_missing;
		strlcpy(rg_shared->state_error,
				is_missing ? "it is missing, and the rules in this node's database say that it had one" : "",
				sizeof(rg_shared->state_error));
		rg_shared->rules_lsn = InvalidXLogRecPtr;
		rg_lease_fit_locked();
		rg_gate_refresh_locked();
	}
	LWLockRelease(rg_shared->lock);
	if (is_missing && !was_missing)
		complain_about_file(LOG);
	return is_missing;
}

void
rg_node_load(void)
{
	static RgState state;
	RgFileMark	mark;
	char		reason[RG_MESSAGE_SIZE];
	FileResult	result;

	if (rg_node_name[0] == '\0')
		return;
	rg_state_init(&rg_shared->state, rg_node_name, GetSystemIdentifier());
	result = read_file(&state, &mark, reason);
	if (share(result, &state, &mark, NULL, reason) == SHARED_BAD)
		complain_about_file(LOG);
}

/* Reads the file when it is another one than shared memory knows. */
static ShareResult
refresh(void)
{
	RgState    *state;
	RgFileMark	mark = {false};
	RgFileMark	known;
	struct stat st;
	char		reason[RG_MESSAGE_SIZE];
	ShareResult ret;

	if (stat(RG_STATE_FILE, &st) == 0)
		set_mark(&mark, &st);
	LWLockAcquire(rg_shared->lock, LW_SHARED);
	known = rg_shared->state_mark;
	LWLockRelease(rg_shared->lock);
	if (marks_are_equal(&mark, &known))
		return SHARED;
	state = palloc(sizeof(RgState));
	ret = share(read_file(state, &mark, reason), state, &mark, &known, reason);
	pfree(state);
	return ret;
}

void
rg_node_refresh(void)
{
	ShareResult result = OUTDATED;

	if (rg_node_name[0] == '\0')
		return;
	for (int i = 0; i < REFRESH_TRIES && result == OUTDATED; i++)
		result = refresh();
	if (result == OUTDATED)
		ereport(ERROR,
				(errcode(ERRCODE_RG_NODE_BUSY),
				 errmsg("node \"%s\" is busy", rg_node_name),
				 errdetail("\"%s\" was written again each time that it was read.", RG_STATE_FILE),
				 errhint("Try again in a moment.")));
	if (result == SHARED_BAD)
		complain_about_file(LOG);
}

void
rg_node_require(void)
{
	rg_require_shared();
	if (rg_node_name[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this server is not a node of pg_regent"),
				 errdetail("regent.node_name is empty."),
				 errhint("Set regent.node_name in postgresql.conf and restart the server.")));
	rg_node_refresh();
	complain_about_file(ERROR);
}

void
rg_node_warn(void)
{
	complain_about_file(WARNING);
}

/* Opens and tries to lock; false if somebody else has it. */
static bool
try_flock(RgNode *node)
{
	if (node->lock_fd < 0)
	{
		node->lock_fd = OpenTransientFilePerm(RG_LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC,
											  pg_file_create_mode);
		if (node->lock_fd < 0)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not open file \"%s\": %m", RG_LOCK_FILE)));
	}
	if (flock(node->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return true;
	if (errno != EWOULDBLOCK && errno != EINTR)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not lock file \"%s\": %m", RG_LOCK_FILE)));
	return false;
}

void
rg_node_lock(RgNode *node, int64 deadline_ms)
{
	node->lock_fd = -1;
	rg_node_require();
	while (!try_flock(node))
	{
		if (rg_boottime_ms() >= deadline_ms)
			ereport(ERROR,
					(errcode(ERRCODE_RG_NODE_BUSY),
					 errmsg("node \"%s\" is busy", rg_node_name),
					 errdetail("Another promise, promotion or follow holds \"%s\".", RG_LOCK_FILE),
					 errhint("Try again in a moment.")));
		rg_wait_ms(2);
	}
	rg_node_require();
	rg_shared_state(&node->state);
}

bool
rg_node_try_lock(RgNode *node)
{
	node->lock_fd = -1;
	rg_node_require();
	if (!try_flock(node))
	{
		CloseTransientFile(node->lock_fd);
		node->lock_fd = -1;
		return false;
	}
	rg_node_require();
	rg_shared_state(&node->state);
	return true;
}

void
rg_node_unlock(RgNode *node)
{
	if (node->lock_fd >= 0)
		CloseTransientFile(node->lock_fd);
	node->lock_fd = -1;
}

/* Durably; returns what could not be done, with errno, or NULL. */
static const char *
write_file(const char *path, int flags, const char *content, int length, struct stat *ret_st)
{
	const char *failed = NULL;
	int			fd = OpenTransientFilePerm(path, O_WRONLY | O_CLOEXEC | flags, 0600);
	int			save_errno;

	if (fd < 0)
		return "create";
	errno = 0;
	if (write(fd, content, length) != length)
	{
		if (errno == 0)
			errno = ENOSPC;
		failed = "write";
	}
	else if (ftruncate(fd, length) != 0)
		failed = "truncate";
	else if (pg_fsync(fd) != 0)
		failed = "fsync";
	else if (fstat(fd, ret_st) != 0)
		failed = "stat";
	save_errno = errno;
	if (CloseTransientFile(fd) != 0 && failed == NULL)
		return "close";
	errno = save_errno;
	return failed;
}

/* Where there is room: a file with blocks of its own, whatever its content. */
static void
keep_spare(int length)
{
	int			size = TYPEALIGN(SPARE_UNIT, length + SPARE_ROOM);
	char	   *zeros;
	struct stat st;

	if (stat(RG_STATE_SPARE_FILE, &st) == 0 && st.st_size >= size)
		return;
	zeros = palloc0(size);
	if (write_file(RG_STATE_SPARE_FILE, O_CREAT, zeros, size, &st) != NULL)
		(void) unlink(RG_STATE_SPARE_FILE);
	pfree(zeros);
}

void
rg_node_store(RgNode *node)
{
	char	   *content = palloc(RG_STATE_TEXT_SIZE);
	int			length = rg_state_format(&node->state, content, RG_STATE_TEXT_SIZE);
	const char *path = RG_STATE_TMP_FILE;
	const char *failed;
	RgFileMark	mark;
	struct stat st;

	Assert(node->lock_fd >= 0);
	if (length < 0)
		elog(ERROR, "state of node \"%s\" is too large", rg_node_name);

	failed = write_file(path, O_CREAT | O_TRUNC, content, length, &st);
	if (failed != NULL && (errno == ENOSPC || errno == EDQUOT))
	{
		(void) unlink(path);
		path = RG_STATE_SPARE_FILE;
		failed = write_file(path, 0, content, length, &st);
	}
	if (failed == NULL && rename(path, RG_STATE_FILE) != 0)
		failed = "rename";
	if (failed != NULL)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not %s file \"%s\": %m", failed, path)));
	fsync_fname(".", true);
	keep_spare(length);
	pfree(content);

	set_mark(&mark, &st);
	(void) share(FILE_READ, &node->state, &mark, NULL, "");
}
