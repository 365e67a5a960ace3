/*
 * slot_status.c
 *	  What replication slots hold here: the heartbeat's column "slots".
 *
 * The watchdog learns from it how much WAL is kept for whom, whether a standby can
 * still be served from here (oldest_lsn), and which logical slots a failover would
 * leave behind: all of them, or where the server itself carries slots over to standbys
 * (slotsync.c) those that it does not, and which it does.  Only shared memory is
 * read, for a heartbeat waits for nothing; the worker looks into pg_wal now and then.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogrecovery.h"
#include "replication/slot.h"
#include "storage/fd.h"

#include "command.h"
#include "compat.h"
#include "pg_regent.h"
#include "shmem.h"
#include "slot_status.h"
#include "slots.h"

#define LOGICAL_NAMES_MAX 8

typedef struct SlotView
{
	char		name[NAMEDATALEN];
	bool		is_logical;
	bool		is_carried;		/* the server has it on the standbys, or from the primary */
	bool		is_active;
	bool		is_lost;
	XLogRecPtr	restart_lsn;
} SlotView;

/* ------------------------------------------------ the oldest WAL */

void
rg_slots_note_oldest(void)
{
	DIR		   *dir = AllocateDir(XLOGDIR);
	struct dirent *entry;
	XLogSegNo	oldest = 0;
	XLogRecPtr	lsn = InvalidXLogRecPtr;

	while ((entry = ReadDirExtended(dir, XLOGDIR, LOG)) != NULL)
	{
		TimeLineID	timeline;
		XLogSegNo	segment;

		if (!IsXLogFileName(entry->d_name))
			continue;
		XLogFromFileName(entry->d_name, &timeline, &segment, wal_segment_size);
		if (oldest == 0 || segment < oldest)
			oldest = segment;
	}
	FreeDir(dir);
	if (oldest != 0)
		XLogSegNoOffsetToRecPtr(oldest, 0, wal_segment_size, lsn);
	LWLockAcquire(rg_shared->lock, LW_EXCLUSIVE);
	rg_shared->oldest_wal = lsn;
	LWLockRelease(rg_shared->lock);
}

/* ------------------------------------------------ JSON */

/* On a primary it is meant for the standbys, on a standby it is one that the server keeps there. */
static bool
is_carried(const ReplicationSlot *slot, bool in_recovery)
{
	return rg_compat_syncs_slots() && rg_compat_slot_is_failover(slot) &&
		(!in_recovery || rg_compat_slot_is_synced(slot));
}

/* Copies of all slots, so that nothing is allocated under a lock. */
static int
copy_slots(SlotView *views)
{
	bool		in_recovery = RecoveryInProgress();
	int			count = 0;

	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (int i = 0; i < max_replication_slots; i++)
	{
		ReplicationSlot *slot = &ReplicationSlotCtl->replication_slots[i];
		SlotView   *view = &views[count];

		if (!slot->in_use || slot->data.persistency != RS_PERSISTENT)
			continue;
		SpinLockAcquire(&slot->mutex);
		memcpy(view->name, NameStr(slot->data.name), NAMEDATALEN);
		view->is_logical = SlotIsLogical(slot);
		view->is_active = slot->active_pid != 0;
		view->is_lost = rg_compat_slot_is_lost(slot);
		view->is_carried = view->is_logical && !view->is_lost && is_carried(slot, in_recovery);
		view->restart_lsn = slot->data.restart_lsn;
		SpinLockRelease(&slot->mutex);
		count++;
	}
	LWLockRelease(ReplicationSlotControlLock);
	return count;
}

/* The words of pg_replication_slots. */
static const char *
wal_status(const SlotView *view)
{
	if (view->is_lost)
		return "lost";
	switch (GetWALAvailability(view->restart_lsn))
	{
		case WALAVAIL_INVALID_LSN:
			return "none";
		case WALAVAIL_RESERVED:
			return "reserved";
		case WALAVAIL_EXTENDED:
			return "extended";
		case WALAVAIL_UNRESERVED:
			return "unreserved";
		case WALAVAIL_REMOVED:
			break;
	}
	return view->is_active ? "unreserved" : "lost";
}

static bool
is_released(const char *node)
{
	bool		found = false;

	LWLockAcquire(rg_shared->lock, LW_SHARED);
	for (int i = 0; i < RG_VOTERS_MAX; i++)
		found |= strcmp(rg_shared->released[i].node, node) == 0;
	LWLockRelease(rg_shared->lock);
	return found;
}

/* At which WAL is released: our limit or the server's, whichever comes first; -1: none. */
static int
limit_mb(void)
{
	if (rg_slot_wal_limit < 0 || max_slot_wal_keep_size_mb < 0)
		return Max(rg_slot_wal_limit, max_slot_wal_keep_size_mb);
	return Min(rg_slot_wal_limit, max_slot_wal_keep_size_mb);
}

/* Names of nodes have no characters that JSON would have to escape. */
static void
append_physical(StringInfo json, const SlotView *view, XLogRecPtr end)
{
	const char *node = view->name + strlen(RG_SLOT_PREFIX);
	uint64		kept = XLogRecPtrIsInvalid(view->restart_lsn) || end < view->restart_lsn ? 0
		: end - view->restart_lsn;

	appendStringInfo(json, "{\"node\":\"%s\",\"active\":%s,\"restart_lsn\":", node,
					 view->is_active ? "true" : "false");
	if (XLogRecPtrIsInvalid(view->restart_lsn))
		appendStringInfoString(json, "null");
	else
		appendStringInfo(json, "\"%X/%X\"", LSN_FORMAT_ARGS(view->restart_lsn));
	appendStringInfo(json, ",\"wal_status\":\"%s\",\"kept_bytes\":" UINT64_FORMAT ",\"limit_bytes\":",
					 wal_status(view), kept);
	if (limit_mb() < 0)
		appendStringInfoString(json, "null");
	else
		appendStringInfo(json, INT64_FORMAT, (int64) limit_mb() * 1024 * 1024);
	appendStringInfo(json, ",\"released\":%s}", is_released(node) ? "true" : "false");
}

static bool
is_ours(const SlotView *view)
{
	return !view->is_logical && strncmp(view->name, RG_SLOT_PREFIX, strlen(RG_SLOT_PREFIX)) == 0 &&
		rg_name_is_valid(view->name + strlen(RG_SLOT_PREFIX));
}

static void
append_names(StringInfo json, const SlotView *views, int count, bool carried)
{
	const char *comma = "";

	appendStringInfoChar(json, '[');
	for (int i = 0, named = 0; i < count && named < LOGICAL_NAMES_MAX; i++)
		if (views[i].is_logical && views[i].is_carried == carried)
		{
			appendStringInfo(json, "%s\"%s\"", comma, views[i].name);
			comma = ",";
			named++;
		}
	appendStringInfoChar(json, ']');
}

/*
 * Those that a change of leader leaves behind, the first of them by name; and those
 * that the server carries over.
 */
static void
append_logical(StringInfo json, const SlotView *views, int count)
{
	int			carried = 0;
	int			others = 0;

	for (int i = 0; i < count; i++)
	{
		carried += views[i].is_carried;
		others += views[i].is_logical && !views[i].is_carried;
	}
	appendStringInfo(json, "\"logical\":{\"count\":%d,\"names\":", others);
	append_names(json, views, count, false);
	if (RG_SERVER_SYNCS_SLOTS)
	{
		appendStringInfo(json, ",\"synced\":%d,\"synced_names\":", carried);
		append_names(json, views, count, true);
	}
	appendStringInfoChar(json, '}');
}

static void
append_all(StringInfo json, const SlotView *views, int count)
{
	XLogRecPtr	end = RecoveryInProgress() ? GetXLogReplayRecPtr(NULL) : GetXLogWriteRecPtr();
	const char *comma = "";

	appendStringInfoString(json, ",\"physical\":[");
	for (int i = 0; i < count; i++)
	{
		if (!is_ours(&views[i]))
			continue;
		appendStringInfoString(json, comma);
		append_physical(json, &views[i], end);
		comma = ",";
	}
	appendStringInfoString(json, "],");
	append_logical(json, views, count);
	appendStringInfoChar(json, '}');
}

Datum
rg_slots_jsonb(void)
{
	SlotView   *views = palloc(Max(max_replication_slots, 1) * sizeof(SlotView));
	StringInfoData json;
	XLogRecPtr	oldest;

	LWLockAcquire(rg_shared->lock, LW_SHARED);
	oldest = rg_shared->oldest_wal;
	LWLockRelease(rg_shared->lock);
	initStringInfo(&json);
	if (XLogRecPtrIsInvalid(oldest))
		appendStringInfoString(&json, "{\"oldest_lsn\":null");
	else
		appendStringInfo(&json, "{\"oldest_lsn\":\"%X/%X\"", LSN_FORMAT_ARGS(oldest));
	appendStringInfo(&json, ",\"archive\":%s",
					 pg_atomic_read_u32(&rg_shared->startup_has_restore) != 0 ? "true" : "false");
	append_all(&json, views, copy_slots(views));
	return rg_jsonb_from_text(json.data);
}
