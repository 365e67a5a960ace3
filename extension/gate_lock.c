/*
 * gate_lock.c
 *	  No client holds up the rules: locks on schema regent are refused.
 *
 * write_rule() waits two seconds for its lock and then names the holder.  A client
 * that takes such a lock on purpose, or leaves it in a prepared transaction, which
 * survives even a promotion, could keep a cluster without a leader: that much
 * nobody needs.  What a transaction locks by reading or changing the table stays
 * possible; only its owner and superusers could.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/lsyscache.h"

#include "compat.h"
#include "gate_lock.h"
#include "pg_regent.h"

#define RG_SCHEMA "regent"

/* Weaker ones stand in nobody's way: pg_dump and pg_upgrade take ACCESS SHARE. */
#define WEAKEST_FORBIDDEN ShareUpdateExclusiveLock

static void
refuse(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("cannot %s a relation of schema \"%s\"", what, RG_SCHEMA),
			 errdetail("It could keep this node from writing or reading the rules of its cluster.")));
}

void
rg_gate_forbid_lock(const LockStmt *statement)
{
	Oid			schema;
	ListCell   *cell;

	if (rg_node_name[0] == '\0' || statement->mode < WEAKEST_FORBIDDEN)
		return;
	schema = get_namespace_oid(RG_SCHEMA, true);
	if (!OidIsValid(schema))
		return;
	foreach(cell, statement->relations)
	{
		Oid			relation = RangeVarGetRelid(lfirst_node(RangeVar, cell), NoLock, true);

		if (OidIsValid(relation) && get_rel_namespace(relation) == schema)
			refuse("lock");
	}
}

/* Does this session hold a lock of at least that mode on regent.rule? */
static bool
holds_lock(LOCKMODE weakest)
{
	Oid			schema = get_namespace_oid(RG_SCHEMA, true);
	Oid			table = OidIsValid(schema) ? get_relname_relid("rule", schema) : InvalidOid;
	LOCKTAG		tag;

	if (!OidIsValid(table))
		return false;
	SET_LOCKTAG_RELATION(tag, MyDatabaseId, table);
	for (LOCKMODE mode = weakest; mode <= AccessExclusiveLock; mode++)
		if (rg_compat_holds_lock(&tag, mode))
			return true;
	return false;
}

void
rg_gate_forbid_held_lock(void)
{
	if (rg_node_name[0] != '\0' && holds_lock(WEAKEST_FORBIDDEN))
		refuse("lock");
}

void
rg_gate_forbid_prepared_lock(void)
{
	if (rg_node_name[0] != '\0' && holds_lock(AccessShareLock))
		refuse("PREPARE a transaction that holds a lock on");
}
