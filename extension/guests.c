/*
 * guests.c
 *	  Slots of nodes that are no voters: cascading nodes, and new ones.
 *
 * The rule knows the voters, and each has a slot on every node (slots.c).  Whoever
 * else is to stream from here is told by the watchdog with what it publishes: a
 * cascading node has a slot on the one node that it streams from, a new node on
 * the leader before its copy begins.  The same list says when a slot has outlived
 * its node: one called regent_<node> whose node is neither voter nor guest keeps
 * WAL for nobody and is dropped.  Slots with other names are never touched.
 *
 * The list is in shared memory only.  A server that was just started has none, and
 * drops nothing until the watchdog has told it one in the term of its rule.
 */
#include "postgres.h"

#include "replication/slot.h"

#include "compat.h"
#include "guests.h"
#include "pg_regent.h"
#include "shmem.h"
#include "slots.h"

static bool
is_same(const RgGuests *a, const RgGuests *b)
{
	if (a->term != b->term || a->count != b->count)
		return false;
	for (int i = 0; i < a->count; i++)
		if (strcmp(a->names[i], b->names[i]) != 0)
			return false;
	return true;
}

void
rg_guests_set(const RgGuests *guests)
{
	RgGuests   *kept = &rg_shared->guests;
	bool		is_news;

	LWLockAcquire(rg_shared->lock, LW_EXCLUSIVE);
	is_news = !is_same(kept, guests);
	if (is_news)
	{
		uint64		version = kept->version + 1;

		*kept = *guests;
		kept->version = version;
	}
	LWLockRelease(rg_shared->lock);
	if (is_news)
		rg_worker_wake();
}

void
rg_guests_get(RgGuests *ret_guests)
{
	LWLockAcquire(rg_shared->lock, LW_SHARED);
	*ret_guests = rg_shared->guests;
	LWLockRelease(rg_shared->lock);
}

/* Has WAL been kept for it from the start? */
static bool
ensure_slot(const char *node)
{
	char		name[NAMEDATALEN];
	ReplicationSlot *slot = rg_slots_find(node);

	snprintf(name, sizeof(name), RG_SLOT_PREFIX "%s", node);
	if (slot == NULL)
	{
		CheckSlotRequirements();
		rg_compat_slot_create_physical(name);
	}
	else
	{
		bool		is_fine;

		/* in use, keeping WAL already, or invalidated: people are to see that */
		SpinLockAcquire(&slot->mutex);
		is_fine = slot->active_pid != 0 || slot->data.database != InvalidOid ||
			!XLogRecPtrIsInvalid(slot->data.restart_lsn) || rg_compat_slot_is_lost(slot);
		SpinLockRelease(&slot->mutex);
		if (is_fine)
			return false;
		ReplicationSlotAcquire(name, true);
	}
	ReplicationSlotReserveWal();
	ReplicationSlotMarkDirty();
	ReplicationSlotSave();
	ReplicationSlotRelease();
	ereport(LOG,
			(errmsg("pg_regent keeps WAL for node \"%s\" with slot \"%s\"", node, name)));
	return true;
}

static bool
is_listed(const char (*names)[RG_NAME_SIZE], int count, const char *name)
{
	for (int i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

/* A slot of ours that nobody uses and whose node is gone; its name in ret_name. */
static bool
find_orphan(const RgRule *rule, const RgGuests *guests, char *ret_name)
{
	bool		found = false;

	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (int i = 0; i < max_replication_slots && !found; i++)
	{
		ReplicationSlot *slot = &ReplicationSlotCtl->replication_slots[i];
		const char *node = NameStr(slot->data.name) + strlen(RG_SLOT_PREFIX);

		if (!slot->in_use)
			continue;
		SpinLockAcquire(&slot->mutex);
		found = slot->active_pid == 0 && SlotIsPhysical(slot) &&
			slot->data.persistency == RS_PERSISTENT &&
			strncmp(NameStr(slot->data.name), RG_SLOT_PREFIX, strlen(RG_SLOT_PREFIX)) == 0 &&
			!is_listed((const char (*)[RG_NAME_SIZE]) rule->voters, rule->nvoters, node) &&
			!is_listed((const char (*)[RG_NAME_SIZE]) guests->names, guests->count, node);
		if (found)
			strlcpy(ret_name, NameStr(slot->data.name), NAMEDATALEN);
		SpinLockRelease(&slot->mutex);
	}
	LWLockRelease(ReplicationSlotControlLock);
	return found;
}

int
rg_guests_keep_slots(const RgRule *rule, const RgGuests *guests)
{
	char		name[NAMEDATALEN];
	int			changed = 0;

	/* what is told in another term may name other voters */
	if (guests->term == 0 || guests->term != rule->term)
		return 0;
	for (int i = 0; i < guests->count; i++)
		if (strcmp(guests->names[i], rg_node_name) != 0)
			changed += ensure_slot(guests->names[i]);
	for (int i = 0; i < max_replication_slots && find_orphan(rule, guests, name); i++)
	{
		ReplicationSlotDrop(name, true);
		changed++;
		ereport(LOG,
				(errmsg("pg_regent dropped slot \"%s\": its node does not stream from here any more", name)));
	}
	return changed;
}
