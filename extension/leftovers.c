/*
 * leftovers.c
 *	  Logical slots of a former leader, which keep the server from taking over the leader's.
 *
 * A leader that comes back as a standby by following plainly has the logical slots that
 * it had (pg_rewind and a copy leave none).  Those made with failover = true went with the
 * lead: the subscribers use the new leader's.  But the server does not write over a slot
 * of the same name that it has not made itself, and takes over no slot at all while it
 * meets one.  Such a slot can't be made on a standby, so whatever is found there is from
 * the time before.  It is dropped, and the server makes it anew as it is on the leader.
 *
 * Only where the rule says that another node leads; only slots that nobody uses.  Those
 * without failover are left: they never come back by themselves, so people decide.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "replication/slot.h"

#include "compat.h"
#include "leftovers.h"
#include "pg_regent.h"

static bool
is_leftover(ReplicationSlot *slot)
{
	bool		result;

	SpinLockAcquire(&slot->mutex);
	result = SlotIsLogical(slot) && slot->active_pid == 0 && slot->data.persistency == RS_PERSISTENT &&
		rg_compat_slot_is_failover(slot) && !rg_compat_slot_is_synced(slot);
	SpinLockRelease(&slot->mutex);
	return result;
}

/* The name of one of them. */
static bool
find_leftover(char *ret_name)
{
	bool		found = false;

	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (int i = 0; i < max_replication_slots && !found; i++)
	{
		ReplicationSlot *slot = &ReplicationSlotCtl->replication_slots[i];

		found = slot->in_use && is_leftover(slot);
		if (found)
			strlcpy(ret_name, NameStr(slot->data.name), NAMEDATALEN);
	}
	LWLockRelease(ReplicationSlotControlLock);
	return found;
}

int
rg_leftovers_drop(const RgRule *rule)
{
	char		name[NAMEDATALEN];
	int			count = 0;

	if (!RG_SERVER_SYNCS_SLOTS || !RecoveryInProgress() || PromoteIsTriggered() ||
		strcmp(rule->leader, rg_node_name) == 0)
		return 0;
	for (; count < max_replication_slots && find_leftover(name); count++)
	{
		ReplicationSlotDrop(name, true);
		ereport(LOG,
				(errmsg("pg_regent dropped logical slot \"%s\" of node \"%s\"", name, rg_node_name),
				 errdetail("It is from a time when this node led. Node \"%s\" leads now, and the server makes the slot anew as it is there.",
						   rule->leader)));
	}
	return count;
}
