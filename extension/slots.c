/*
 * slots.c
 *	  Replication slots of the rule's voters.
 *
 * Each voter streams on a slot of its own, regent_<voter>: the leader keeps the
 * WAL that it still needs, and a slot serves one walsender at a time, so each
 * voter counts once.  Every other node holds these slots too, ahead of time: when
 * it is promoted the others find in it the WAL that they lack, however far behind
 * they are, and need no copy.
 *
 * On a standby nobody uses them, so they are moved by hand, to where their owners
 * are.  The watchdog tells that every few seconds (publish); while it is silent the
 * slots stay, and after a minute they keep no more than the server does by itself.
 * Never beyond our own last restartpoint: who has to be rewound needs WAL from the
 * last checkpoint before the fork, and from there on it is there anyhow.
 *
 * Nobody's slot holds more than regent.slot_wal_limit while it is not used.  One that
 * does is moved on to the last checkpoint: the WAL before it is released, and its
 * owner, when it comes back, fetches that from an archive or is rebuilt.  The slot goes
 * on keeping WAL, so that a copy of this node can always be started.
 *
 * Slots are changed in place, under their spinlock: one that is taken while its
 * standby connects would cost that standby a retry interval.  Only those that the
 * server has invalidated are taken, to be dropped and made anew, and what came along
 * with a copy under our own name.  Those of nodes that are no voters are made and
 * dropped in guests.c and kept in bounds here; slots with other names are never
 * touched.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogrecovery.h"
#include "replication/slot.h"

#include "compat.h"
#include "pg_regent.h"
#include "publish.h"
#include "shmem.h"
#include "slots.h"

#define FORGOTTEN_AFTER_MS 60000

/* What is known while the slots are gone through. */
typedef struct Pass
{
	const RgRule *rule;
	bool		in_recovery;
	TimeLineID	timeline;
	XLogRecPtr	end;			/* of our WAL */
	XLogRecPtr	redo;			/* from here on it is kept in any case */
	XLogSegNo	removed;		/* the newest segment that is gone */
	bool		is_forgotten;	/* nobody has told positions for long */
	int			nowners;
	RgPublishedNode owners[RG_PUBLISHED_NODES_MAX];
} Pass;

/* A slot whose owner has lost WAL; told after the locks are released. */
typedef struct Released
{
	char		node[RG_NAME_SIZE];
	XLogRecPtr	from;
	XLogRecPtr	to;
} Released;

/* ------------------------------------------------ whose slot is it? */

/* regent_<voter> in name; false for our own. */
static bool
voter_slot_name(const RgRule *rule, int voter, char *name, size_t size)
{
	if (strcmp(rule->voters[voter], rg_node_name) == 0)
		return false;
	snprintf(name, size, RG_SLOT_PREFIX "%s", rule->voters[voter]);
	return true;
}

/* The node whose slot this is by its name; NULL: no node's. */
static const char *
slot_node(const ReplicationSlot *slot)
{
	const char *name = NameStr(slot->data.name);

	if (!SlotIsPhysical(slot) || strncmp(name, RG_SLOT_PREFIX, strlen(RG_SLOT_PREFIX)) != 0)
		return NULL;
	name += strlen(RG_SLOT_PREFIX);
	return rg_name_is_valid(name) && strcmp(name, rg_node_name) != 0 ? name : NULL;
}

static bool
is_voter(const RgRule *rule, const char *node)
{
	return rg_names_contain(rule->voters, rule->nvoters, node);
}

ReplicationSlot *
rg_slots_find(const char *node)
{
	char		name[NAMEDATALEN];

	snprintf(name, sizeof(name), RG_SLOT_PREFIX "%s", node);
	return SearchNamedReplicationSlot(name, true);
}

static const RgPublishedNode *
find_owner(const Pass *pass, const char *node)
{
	for (int i = 0; i < pass->nowners; i++)
		if (strcmp(pass->owners[i].node, node) == 0)
			return &pass->owners[i];
	return NULL;
}

static void
begin_pass(Pass *pass, const RgRule *rule)
{
	int64		age_ms;

	pass->rule = rule;
	pass->in_recovery = RecoveryInProgress();
	pass->timeline = rg_current_timeline(pass->in_recovery);
	pass->redo = GetRedoRecPtr();
	pass->end = pass->in_recovery ? GetXLogReplayRecPtr(NULL) : GetXLogWriteRecPtr();
	pass->removed = XLogGetLastRemovedSegno();
	pass->nowners = rg_published_nodes(pass->owners, &age_ms);
	pass->is_forgotten = age_ms > FORGOTTEN_AFTER_MS;
	if (pass->is_forgotten)
		pass->nowners = 0;
}

/* ------------------------------------------------ moving */

/*
 * From where on the slot has to keep WAL.  *ret_released: more than that was kept,
 * or should have been, and its owner may lack it now.
 */
static XLogRecPtr
wanted_lsn(const Pass *pass, const char *node, XLogRecPtr restart, bool *ret_released)
{
	const RgPublishedNode *owner = find_owner(pass, node);
	XLogRecPtr	lsn = restart;
	XLogSegNo	segment;

	*ret_released = false;
	if (XLogRecPtrIsInvalid(restart))
		return pass->redo;
	XLByteToSeg(restart, segment, wal_segment_size);
	if (restart < pass->redo &&
		(segment <= pass->removed ||
		 (rg_slot_wal_limit >= 0 && pass->end > restart &&
		  pass->end - restart > (uint64) rg_slot_wal_limit * 1024 * 1024)))
	{
		*ret_released = !pass->in_recovery;
		return pass->redo;
	}
	if (!pass->in_recovery)
		return restart;
	if (pass->is_forgotten)
		lsn = pass->redo;
	else if (owner != NULL && owner->timeline == pass->timeline)
		lsn = Min(owner->flush_lsn, pass->redo);
	return Max(lsn, restart);
}

/* Nobody uses it and nobody has moved it meanwhile: then it keeps WAL from here on. */
static bool
move_slot(ReplicationSlot *slot, XLogRecPtr from, XLogRecPtr to, bool drop_xmin)
{
	bool		is_moved = false;

	SpinLockAcquire(&slot->mutex);
	if (slot->active_pid == 0 && slot->data.restart_lsn == from && !rg_compat_slot_is_lost(slot) &&
		(from != to || (drop_xmin && (TransactionIdIsValid(slot->data.xmin) ||
									  TransactionIdIsValid(slot->data.catalog_xmin)))))
	{
		slot->data.restart_lsn = to;
		if (drop_xmin)
		{
			slot->data.xmin = slot->effective_xmin = InvalidTransactionId;
			slot->data.catalog_xmin = slot->effective_catalog_xmin = InvalidTransactionId;
		}
		slot->just_dirtied = true;
		slot->dirty = true;		/* the next checkpoint writes it */
		is_moved = true;
	}
	SpinLockRelease(&slot->mutex);
	return is_moved;
}

/* Looks after one slot; true if its owner has lost WAL by that. */
static bool
look_after_slot(const Pass *pass, ReplicationSlot *slot, Released *released)
{
	const char *node = slot->in_use ? slot_node(slot) : NULL;
	XLogRecPtr	restart;
	XLogRecPtr	to;
	bool		is_released;

	if (node == NULL || (!is_voter(pass->rule, node) && find_owner(pass, node) == NULL))
		return false;
	SpinLockAcquire(&slot->mutex);
	restart = slot->data.restart_lsn;
	SpinLockRelease(&slot->mutex);

	to = wanted_lsn(pass, node, restart, &is_released);
	/* a standby that is down needs no rows kept here, nor does one that has lost its WAL */
	if (!move_slot(slot, restart, to, pass->in_recovery || is_released) || !is_released)
		return false;
	strlcpy(released->node, node, sizeof(released->node));
	released->from = restart;
	released->to = to;
	return true;
}

/* Keeps in mind, for the watchdog, that this node has lost WAL. */
static void
note_released(const char *node, XLogRecPtr upto)
{
	int			place = -1;

	LWLockAcquire(rg_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < RG_VOTERS_MAX; i++)
		if (strcmp(rg_shared->released[i].node, node) == 0 ||
			(place < 0 && rg_shared->released[i].node[0] == '\0'))
			place = i;
	if (place >= 0)
	{
		strlcpy(rg_shared->released[place].node, node, RG_NAME_SIZE);
		rg_shared->released[place].lsn = upto;
	}
	LWLockRelease(rg_shared->lock);
}

/* It streams again, past where it was left: what it lacked has come from somewhere. */
static bool
has_come_back(const char *node, XLogRecPtr released_to)
{
	ReplicationSlot *slot = rg_slots_find(node);
	bool		result;

	if (slot == NULL)
		return false;			/* dropped, and not made anew yet */
	SpinLockAcquire(&slot->mutex);
	result = slot->active_pid != 0 && slot->data.restart_lsn != released_to;
	SpinLockRelease(&slot->mutex);
	return result;
}

static void
forget_released(const Pass *pass)
{
	for (int i = 0; i < RG_VOTERS_MAX; i++)
	{
		char		node[RG_NAME_SIZE];
		XLogRecPtr	lsn;

		LWLockAcquire(rg_shared->lock, LW_SHARED);
		strlcpy(node, rg_shared->released[i].node, sizeof(node));
		lsn = rg_shared->released[i].lsn;
		LWLockRelease(rg_shared->lock);
		/* this process alone writes them */
		if (node[0] == '\0' ||
			(!pass->in_recovery && (is_voter(pass->rule, node) || find_owner(pass, node) != NULL) &&
			 !has_come_back(node, lsn)))
			continue;
		LWLockAcquire(rg_shared->lock, LW_EXCLUSIVE);
		rg_shared->released[i].node[0] = '\0';
		LWLockRelease(rg_shared->lock);
	}
}

void
rg_slots_look_after(const RgRule *rule)
{
	Pass	   *pass = palloc(sizeof(Pass));
	Released	released[RG_VOTERS_MAX];
	int			nreleased = 0;

	if (max_replication_slots == 0)
		return;
	begin_pass(pass, rule);
	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (int i = 0; i < max_replication_slots && nreleased < RG_VOTERS_MAX; i++)
		nreleased += look_after_slot(pass, &ReplicationSlotCtl->replication_slots[i],
									 &released[nreleased]);
	LWLockRelease(ReplicationSlotControlLock);
	ReplicationSlotsComputeRequiredLSN();
	ReplicationSlotsComputeRequiredXmin(false);
	for (int i = 0; i < nreleased; i++)
	{
		note_released(released[i].node, released[i].to);
		ereport(LOG,
				(errmsg("pg_regent released the WAL that slot \"" RG_SLOT_PREFIX "%s\" kept before %X/%X",
						released[i].node, LSN_FORMAT_ARGS(released[i].to)),
				 errdetail("The slot kept WAL from %X/%X on, more than regent.slot_wal_limit, and nobody used it.",
						   LSN_FORMAT_ARGS(released[i].from)),
				 errhint("The node fetches it from an archive when it comes back, or is rebuilt.")));
	}
	forget_released(pass);
	pfree(pass);
}

void
rg_slots_keep_wal(const RgRule *rule)
{
	XLogRecPtr	lsn = GetRedoRecPtr();

	if (max_replication_slots == 0)
		return;
	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (int i = 0; i < max_replication_slots; i++)
	{
		ReplicationSlot *slot = &ReplicationSlotCtl->replication_slots[i];
		const char *node = slot->in_use ? slot_node(slot) : NULL;

		if (node != NULL && is_voter(rule, node))
			(void) move_slot(slot, InvalidXLogRecPtr, lsn, false);
	}
	LWLockRelease(ReplicationSlotControlLock);
	ReplicationSlotsComputeRequiredLSN();
}

/* ------------------------------------------------ creating */

int
rg_slots_create_missing(const RgRule *rule)
{
	int			made = 0;

	if (max_replication_slots == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("max_replication_slots is 0 on node \"%s\"", rg_node_name),
				 errhint("Set it to at least 10 in postgresql.conf and restart the server.")));

	for (int i = 0; i < rule->nvoters; i++)
	{
		char		name[NAMEDATALEN];

		if (!voter_slot_name(rule, i, name, sizeof(name)))
			continue;
		if (SearchNamedReplicationSlot(name, true) != NULL)
			continue;

		CheckSlotRequirements();
		rg_compat_slot_create_physical(name);
		ReplicationSlotReserveWal();
		ReplicationSlotMarkDirty();
		ReplicationSlotSave();
		ReplicationSlotRelease();
		made++;
	}
	return made;
}

/* ------------------------------------------------ dropping */

/*
 * Why this slot is of no use; NULL = it is, or somebody uses it.  One that bears our
 * own name came with a copy of another node: nobody streams from himself.
 */
static const char *
why_useless(const Pass *pass, ReplicationSlot *slot)
{
	const char *name = NameStr(slot->data.name);
	const char *node = slot_node(slot);
	bool		is_idle;
	bool		is_lost;

	SpinLockAcquire(&slot->mutex);
	is_idle = slot->active_pid == 0;
	is_lost = rg_compat_slot_is_lost(slot);
	SpinLockRelease(&slot->mutex);
	if (!is_idle || !SlotIsPhysical(slot))
		return NULL;
	if (strncmp(name, RG_SLOT_PREFIX, strlen(RG_SLOT_PREFIX)) == 0 &&
		strcmp(name + strlen(RG_SLOT_PREFIX), rg_node_name) == 0)
		return "It came with a copy of another node: this node does not stream from itself.";
	if (node == NULL || !is_lost || (!is_voter(pass->rule, node) && find_owner(pass, node) == NULL))
		return NULL;
	return "The server had invalidated it, since it kept more than max_slot_wal_keep_size. It is made anew.";
}

int
rg_slots_drop_useless(const RgRule *rule)
{
	Pass	   *pass = palloc(sizeof(Pass));
	char		names[RG_VOTERS_MAX][NAMEDATALEN];
	const char *why[RG_VOTERS_MAX];
	int			count = 0;

	begin_pass(pass, rule);
	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (int i = 0; i < max_replication_slots && count < RG_VOTERS_MAX; i++)
	{
		ReplicationSlot *slot = &ReplicationSlotCtl->replication_slots[i];

		if (!slot->in_use || (why[count] = why_useless(pass, slot)) == NULL)
			continue;
		strlcpy(names[count++], NameStr(slot->data.name), NAMEDATALEN);
	}
	LWLockRelease(ReplicationSlotControlLock);

	for (int i = 0; i < count; i++)
	{
		const char *node = names[i] + strlen(RG_SLOT_PREFIX);

		ReplicationSlotDrop(names[i], true);
		ereport(LOG,
				(errmsg("pg_regent dropped replication slot \"%s\"", names[i]),
				 errdetail("%s", why[i])));
		if (!pass->in_recovery && strcmp(node, rg_node_name) != 0)
			note_released(node, pass->redo);
	}
	pfree(pass);
	return count;
}
