/*
 * slots.c
 *	  Replication slots of the rule's voters.
 *
 * Each voter streams on a slot of its own, regent_<voter>: the leader keeps the
 * WAL that it still needs, and a slot serves one walsender at a time, so each
 * voter counts once.  Standbys hold the slots too, ahead of time and without
 * keeping WAL, so that others can follow at once when one of them is promoted.
 *
 * A slot that is taken while its standby connects would cost that standby a
 * retry interval.  So a promotion only marks unused slots, without taking them, to
 * keep WAL for standbys that have not come yet; all else is put right some time
 * after a role has changed, and only for slots that nobody uses: a former leader
 * lets go of the WAL that its slots kept.  Other slots than regent_<voter> are
 * never touched.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "replication/slot.h"

#include "pg_regent.h"
#include "slots.h"

/* regent_<voter> in name; false for our own. */
static bool
voter_slot_name(const RgRule *rule, int voter, char *name, size_t size)
{
	if (strcmp(rule->voters[voter], rg_node_name) == 0)
		return false;
	snprintf(name, size, "regent_%s", rule->voters[voter]);
	return true;
}

/* Nobody uses it, and it keeps WAL where it should not, or the other way round. */
static bool
needs_change(const char *name, bool keeps_wal)
{
	ReplicationSlot *slot = SearchNamedReplicationSlot(name, true);
	bool		is_idle;
	bool		has_wal;
	bool		is_physical;

	if (slot == NULL)
		return false;
	SpinLockAcquire(&slot->mutex);
	is_idle = slot->active_pid == 0;
	has_wal = !XLogRecPtrIsInvalid(slot->data.restart_lsn);
	is_physical = slot->data.database == InvalidOid;
	/* invalidated by max_slot_wal_keep_size: people are to see that */
	if (!XLogRecPtrIsInvalid(slot->data.invalidated_at))
		is_idle = false;
	SpinLockRelease(&slot->mutex);
	return is_physical && is_idle && has_wal != keeps_wal;
}

int
rg_slots_fit_role(const RgRule *rule)
{
	bool		keeps_wal = !RecoveryInProgress();
	int			changed = 0;

	for (int i = 0; i < rule->nvoters; i++)
	{
		char		name[NAMEDATALEN];

		if (!voter_slot_name(rule, i, name, sizeof(name)) || !needs_change(name, keeps_wal))
			continue;
		ReplicationSlotAcquire(name, true);
		if (keeps_wal)
			ReplicationSlotReserveWal();
		else
		{
			SpinLockAcquire(&MyReplicationSlot->mutex);
			MyReplicationSlot->data.restart_lsn = InvalidXLogRecPtr;
			SpinLockRelease(&MyReplicationSlot->mutex);
			ReplicationSlotsComputeRequiredLSN();
		}
		ReplicationSlotMarkDirty();
		ReplicationSlotSave();
		ReplicationSlotRelease();
		changed++;
	}
	return changed;
}

/* It keeps WAL from here on, if nobody uses it and it keeps none yet. */
static bool
keep_from(const char *name, XLogRecPtr lsn)
{
	ReplicationSlot *slot = SearchNamedReplicationSlot(name, true);
	bool		is_changed = false;

	if (slot == NULL)
		return false;
	SpinLockAcquire(&slot->mutex);
	if (slot->active_pid == 0 && slot->data.database == InvalidOid &&
		XLogRecPtrIsInvalid(slot->data.restart_lsn) &&
		XLogRecPtrIsInvalid(slot->data.invalidated_at))
	{
		slot->data.restart_lsn = lsn;
		slot->just_dirtied = true;
		slot->dirty = true;		/* the next checkpoint writes it */
		is_changed = true;
	}
	SpinLockRelease(&slot->mutex);
	return is_changed;
}

int
rg_slots_keep_wal(const RgRule *rule)
{
	XLogRecPtr	lsn = GetRedoRecPtr();
	int			changed = 0;

	for (int i = 0; i < rule->nvoters; i++)
	{
		char		name[NAMEDATALEN];

		if (voter_slot_name(rule, i, name, sizeof(name)))
			changed += keep_from(name, lsn);
	}
	if (changed > 0)
		ReplicationSlotsComputeRequiredLSN();
	return changed;
}

int
rg_slots_create_missing(const RgRule *rule)
{
	bool		keeps_wal = !RecoveryInProgress();
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
		ReplicationSlotCreate(name, false, RS_PERSISTENT, false);
		if (keeps_wal)
		{
			ReplicationSlotReserveWal();
			ReplicationSlotMarkDirty();
			ReplicationSlotSave();
		}
		ReplicationSlotRelease();
		made++;
	}
	return made;
}
