/*
 * slots.c
 *	  Replication slots of the rule's voters.
 *
 * Each voter streams on a slot of its own, regent_<voter>: the leader keeps the
 * WAL that it still needs, and a slot serves one walsender at a time, so each
 * voter counts once.  Standbys hold the slots too, ahead of time and without
 * keeping WAL, so that others can follow at once when one of them is promoted.
 *
 * Slots are only ever created here, never dropped or changed: a slot that is
 * touched while its standby connects would cost that standby a retry interval.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "replication/slot.h"

#include "pg_regent.h"
#include "slots.h"

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

		if (strcmp(rule->voters[i], rg_node_name) == 0)
			continue;
		snprintf(name, sizeof(name), "regent_%s", rule->voters[i]);
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
