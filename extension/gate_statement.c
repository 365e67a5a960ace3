/*
 * gate_statement.c
 *	  The first check where a statement begins.
 *
 * The check before the commit record (gate_commit.c) would be enough for what
 * this server's transactions hold.  But some writes are done earlier or elsewhere:
 * a foreign table commits on its own server, DROP DATABASE removes files, COMMIT
 * PREPARED ends a transaction that is not ours, pg_logical_emit_message() writes
 * without an xid.  So whatever will write is asked at its beginning, too, and what
 * an xid does not tell leaves a mark for the second check.
 *
 * Every utility command that is not in the list below writes, as far as the gate
 * is concerned; a new command of a later version is refused, not overlooked.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "executor/executor.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#include "compat.h"
#include "gate.h"
#include "gate_lock.h"

static RG_HOT_DATA ExecutorStart_hook_type prev_executor_start = NULL;
static ProcessUtility_hook_type prev_process_utility = NULL;
static RG_HOT_DATA object_access_hook_type prev_object_access = NULL;

/* ------------------------------------------------ queries */

static pg_attribute_hot bool
query_writes(const PlannedStmt *statement)
{
	return statement->commandType != CMD_SELECT || statement->hasModifyingCTE ||
		statement->rowMarks != NIL;
}

static pg_attribute_hot void
start_executor(QueryDesc *query, int eflags)
{
	if (!(eflags & EXEC_FLAG_EXPLAIN_ONLY) && query_writes(query->plannedstmt))
		rg_gate_require();
	if (prev_executor_start)
		prev_executor_start(query, eflags);
	else
		standard_ExecutorStart(query, eflags);
}

/* Functions that write, or tell others, without an xid of this moment. */
static bool
function_writes(Oid function)
{
	return rg_compat_emits_message(function) ||
		function == F_PG_NOTIFY ||
		function == F_PG_CREATE_RESTORE_POINT ||
		function == F_PG_REPLICATION_ORIGIN_ADVANCE;
}

static pg_attribute_cold void
before_writing_function(void)
{
	if (rg_gate_is_off() || RecoveryInProgress())
		return;
	rg_gate_require();
	rg_gate_mark();
}

static pg_attribute_hot void
access_object(ObjectAccessType access, Oid class, Oid object, int sub, void *arg)
{
	if (access == OAT_FUNCTION_EXECUTE && unlikely(function_writes(object)))
		before_writing_function();
	if (prev_object_access)
		prev_object_access(access, class, object, sub, arg);
}

/* ------------------------------------------------ utility commands */

typedef enum Kind
{
	WRITES,						/* asked before, and at each of its commits */
	ACTS,						/* it can't be refused any more once it has begun */
	ENDS_PREPARED,				/* COMMIT or ROLLBACK PREPARED */
	READS						/* or what it runs is asked itself */
} Kind;

static Kind
transaction_kind(const TransactionStmt *statement)
{
	return statement->kind == TRANS_STMT_COMMIT_PREPARED ||
		statement->kind == TRANS_STMT_ROLLBACK_PREPARED ? ENDS_PREPARED : READS;
}

static Kind
command_kind(const Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_TransactionStmt:
			return transaction_kind((const TransactionStmt *) statement);

			/* files, directories or slots elsewhere are gone before the commit */
		case T_DropdbStmt:
		case T_CreateTableSpaceStmt:
		case T_DropTableSpaceStmt:
		case T_DropSubscriptionStmt:
			return ACTS;

		case T_CopyStmt:
			return ((const CopyStmt *) statement)->is_from ? WRITES : READS;

		case T_CallStmt:
		case T_DoStmt:
		case T_DeclareCursorStmt:
		case T_FetchStmt:
		case T_ClosePortalStmt:
		case T_PrepareStmt:
		case T_ExecuteStmt:
		case T_DeallocateStmt:
		case T_ExplainStmt:
		case T_LockStmt:
		case T_ListenStmt:
		case T_UnlistenStmt:
		case T_LoadStmt:
		case T_VariableSetStmt:
		case T_VariableShowStmt:
		case T_ConstraintsSetStmt:
		case T_DiscardStmt:
		case T_CheckPointStmt:
		case T_AlterSystemStmt:
			return READS;

		default:
			return WRITES;
	}
}

static void
run_command(PlannedStmt *statement, const char *query, bool is_read_only_tree,
			ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
			DestReceiver *dest, QueryCompletion *completion)
{
	if (prev_process_utility)
		prev_process_utility(statement, query, is_read_only_tree, context, params, environment,
							 dest, completion);
	else
		standard_ProcessUtility(statement, query, is_read_only_tree, context, params, environment,
								dest, completion);
}

static void
run_writing_command(Kind kind, PlannedStmt *statement, const char *query, bool is_read_only_tree,
					ProcessUtilityContext context, ParamListInfo params,
					QueryEnvironment *environment, DestReceiver *dest,
					QueryCompletion *completion)
{
	rg_gate_require();
	rg_gate_command_begins(kind == ACTS);
	PG_TRY();
	{
		run_command(statement, query, is_read_only_tree, context, params, environment, dest,
					completion);
		if (kind == ENDS_PREPARED)
			rg_gate_count(XactLastRecEnd);
	}
	PG_FINALLY();
	{
		rg_gate_command_ends();
	}
	PG_END_TRY();
}

static void
process_utility(PlannedStmt *statement, const char *query, bool is_read_only_tree,
				ProcessUtilityContext context, ParamListInfo params,
				QueryEnvironment *environment, DestReceiver *dest, QueryCompletion *completion)
{
	const Node *command = statement->utilityStmt;
	Kind		kind = READS;

	if (!rg_gate_is_off() && !RecoveryInProgress() && !rg_gate_is_exempt())
		kind = command_kind(command);
	if (IsA(command, LockStmt))
		rg_gate_forbid_lock((const LockStmt *) command);

	if (kind != READS)
		run_writing_command(kind, statement, query, is_read_only_tree, context, params,
							environment, dest, completion);
	else
		run_command(statement, query, is_read_only_tree, context, params, environment, dest,
					completion);

	if (IsA(command, LockStmt))
		rg_gate_forbid_held_lock();
}

void
rg_gate_watch_statements(void)
{
	prev_executor_start = ExecutorStart_hook;
	ExecutorStart_hook = start_executor;
	prev_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
	prev_object_access = object_access_hook;
	object_access_hook = access_object;
}
