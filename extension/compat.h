/*
 * compat.h
 *	  Everything in which the server's versions differ, and nothing else.
 *
 * The other files are written against PostgreSQL 15 and ask here for what later
 * or earlier versions name or shape differently.
 */
#ifndef RG_COMPAT_H
#define RG_COMPAT_H

#include "postgres.h"

#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "replication/slot.h"
#include "utils/backend_status.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 160000
#error "this version of pg_regent is built for PostgreSQL 15; see extension/compat.h"
#endif

/* The record of a setting, or NULL. */
static inline struct config_generic *
rg_compat_find_setting(const char *name)
{
	struct config_generic **settings = get_guc_variables();
	int			count = GetNumConfigOptions();

	for (int i = 0; i < count; i++)
		if (strcmp(settings[i]->name, name) == 0)
			return settings[i];
	return NULL;
}

/* A string as the parser would hand it to ALTER SYSTEM. */
static inline Node *
rg_compat_string_const(const char *value)
{
	A_Const    *node = makeNode(A_Const);

	node->val.sval.type = T_String;
	node->val.sval.sval = pstrdup(value);
	node->location = -1;
	return (Node *) node;
}

/* Backend entries are numbered from 1 to the count. */
static inline PgBackendStatus *
rg_compat_backend_entry(int number)
{
	LocalPgBackendStatus *entry = pgstat_fetch_stat_local_beentry(number);

	return entry != NULL ? &entry->backendStatus : NULL;
}

/* The server has invalidated this slot: WAL that it needs is gone. */
static inline bool
rg_compat_slot_is_lost(const ReplicationSlot *slot)
{
	return !XLogRecPtrIsInvalid(slot->data.invalidated_at);
}

#endif							/* RG_COMPAT_H */
