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

#include "access/xlog.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "postmaster/autovacuum.h"
#include "replication/message.h"
#include "replication/slot.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/backend_status.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/wait_event.h"

#if PG_VERSION_NUM >= 160000
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#endif

/* What is tested, and nothing else: a version between them may differ in its meaning. */
#if PG_VERSION_NUM / 10000 != 15 && PG_VERSION_NUM / 10000 != 17
#error "this version of pg_regent is built for PostgreSQL 15 and 17; see extension/compat.h"
#endif

/* ------------------------------------------------ settings */

/* The record of a setting, or NULL. */
static inline struct config_generic *
rg_compat_find_setting(const char *name)
{
#if PG_VERSION_NUM >= 160000
	return find_option(name, false, true, ERROR);
#else
	struct config_generic **settings = get_guc_variables();
	int			count = GetNumConfigOptions();

	for (int i = 0; i < count; i++)
		if (strcmp(settings[i]->name, name) == 0)
			return settings[i];
	return NULL;
#endif
}

/*
 * From 17 on "allow_alter_system = off" keeps people from a command whose effects their
 * configuration management would not see.  What a failover writes is not of that kind,
 * and has to be written.  Returns what it was.
 */
static inline bool
rg_compat_allow_alter_system(bool allow)
{
	bool		before = true;

#if PG_VERSION_NUM >= 170000
	before = AllowAlterSystem;
	AllowAlterSystem = allow;
#else
	(void) allow;
#endif
	return before;
}

/*
 * What a check hook leaves for its assign hook: the server frees it, with malloc()'s
 * counterpart up to 15 and its own since.  NULL: no memory.
 */
static inline void *
rg_compat_setting_extra(Size size)
{
#if PG_VERSION_NUM >= 160000
	return guc_malloc(LOG, size);
#else
	return malloc(size);
#endif
}

static inline void
rg_compat_setting_extra_free(void *extra)
{
#if PG_VERSION_NUM >= 160000
	guc_free(extra);
#else
	free(extra);
#endif
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

/* A date and time, split by ParseDateTime(); 0, or an error. */
static inline int
rg_compat_decode_datetime(char **fields, int *types, int count, int *ret_kind, struct pg_tm *ret_tm,
						  fsec_t *ret_fsec, int *ret_zone)
{
#if PG_VERSION_NUM >= 160000
	DateTimeErrorExtra extra;

	return DecodeDateTime(fields, types, count, ret_kind, ret_tm, ret_fsec, ret_zone, &extra);
#else
	return DecodeDateTime(fields, types, count, ret_kind, ret_tm, ret_fsec, ret_zone);
#endif
}

/* ------------------------------------------------ processes */

/* Backend entries are numbered from 1 to the count. */
static inline PgBackendStatus *
rg_compat_backend_entry(int number)
{
#if PG_VERSION_NUM >= 160000
	LocalPgBackendStatus *entry = pgstat_get_local_beentry_by_index(number);
#else
	LocalPgBackendStatus *entry = pgstat_fetch_stat_local_beentry(number);
#endif

	return entry != NULL ? &entry->backendStatus : NULL;
}

/* The process is autovacuum's. */
static inline bool
rg_compat_is_autovacuum(void)
{
#if PG_VERSION_NUM >= 170000
	return AmAutoVacuumWorkerProcess() || AmAutoVacuumLauncherProcess();
#else
	return IsAutoVacuumWorkerProcess() || IsAutoVacuumLauncherProcess();
#endif
}

/* It waits for somebody to let go of a buffer. */
static inline bool
rg_compat_waits_for_pin(uint32 wait_event)
{
#if PG_VERSION_NUM >= 170000
	return wait_event == WAIT_EVENT_BUFFER_PIN;
#else
	return wait_event == PG_WAIT_BUFFER_PIN;
#endif
}

/* This session holds a lock of that very mode. */
static inline bool
rg_compat_holds_lock(const LOCKTAG *tag, LOCKMODE mode)
{
#if PG_VERSION_NUM >= 170000
	return LockHeldByMe(tag, mode, false);
#else
	return LockHeldByMe(tag, mode);
#endif
}

/* ------------------------------------------------ functions and rights */

/* Is this pg_logical_emit_message()? */
static inline bool
rg_compat_emits_message(Oid function)
{
#if PG_VERSION_NUM >= 170000
	return function == F_PG_LOGICAL_EMIT_MESSAGE_BOOL_TEXT_TEXT_BOOL ||
		function == F_PG_LOGICAL_EMIT_MESSAGE_BOOL_TEXT_BYTEA_BOOL;
#else
	return function == F_PG_LOGICAL_EMIT_MESSAGE_BOOL_TEXT_TEXT ||
		function == F_PG_LOGICAL_EMIT_MESSAGE_BOOL_TEXT_BYTEA;
#endif
}

static inline bool
rg_compat_may_use_schema(Oid schema, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(NamespaceRelationId, schema, role, ACL_USAGE) == ACLCHECK_OK;
#else
	return pg_namespace_aclcheck(schema, role, ACL_USAGE) == ACLCHECK_OK;
#endif
}

static inline bool
rg_compat_may_execute(Oid function, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(ProcedureRelationId, function, role, ACL_EXECUTE) == ACLCHECK_OK;
#else
	return pg_proc_aclcheck(function, role, ACL_EXECUTE) == ACLCHECK_OK;
#endif
}

/* A message in WAL, of no transaction and not flushed; returns where it ends. */
static inline XLogRecPtr
rg_compat_log_message(const char *prefix, const char *message, size_t size)
{
#if PG_VERSION_NUM >= 170000
	return LogLogicalMessage(prefix, message, size, false, false);
#else
	return LogLogicalMessage(prefix, message, size, false);
#endif
}

/* ------------------------------------------------ replication slots */

/* A physical slot, held by the caller; it keeps nothing yet. */
static inline void
rg_compat_slot_create_physical(const char *name)
{
#if PG_VERSION_NUM >= 170000
	ReplicationSlotCreate(name, false, RS_PERSISTENT, false, false, false);
#else
	ReplicationSlotCreate(name, false, RS_PERSISTENT, false);
#endif
}

/* The server has invalidated this slot: WAL that it needs is gone. */
static inline bool
rg_compat_slot_is_lost(const ReplicationSlot *slot)
{
#if PG_VERSION_NUM >= 160000
	return slot->data.invalidated != RS_INVAL_NONE;
#else
	return !XLogRecPtrIsInvalid(slot->data.invalidated_at);
#endif
}

/* Can the server itself carry logical slots over to standbys? */
#define RG_SERVER_SYNCS_SLOTS (PG_VERSION_NUM >= 170000)

/* ... and as it runs now? */
static inline bool
rg_compat_syncs_slots(void)
{
	return RG_SERVER_SYNCS_SLOTS && wal_level >= WAL_LEVEL_LOGICAL;
}

/* This logical slot is meant to be on the standbys, too. */
static inline bool
rg_compat_slot_is_failover(const ReplicationSlot *slot)
{
#if PG_VERSION_NUM >= 170000
	return slot->data.failover;
#else
	return false;
#endif
}

/* This one is kept by the server as it is on the primary, or was so before a promotion. */
static inline bool
rg_compat_slot_is_synced(const ReplicationSlot *slot)
{
#if PG_VERSION_NUM >= 170000
	return slot->data.synced;
#else
	return false;
#endif
}

#endif							/* RG_COMPAT_H */
