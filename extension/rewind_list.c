/*
 * rewind_list.c
 *	  Which WAL pg_rewind sees on its source.
 *
 * pg_rewind copies every file in pg_wal of its source: also what is kept there for
 * others, and what only waits to be used again, up to max_wal_size.  That can be far
 * more than all that has diverged, and it has no option against it.  So a session
 * that says from which segment on it needs WAL (regent.rewind_wal_from) sees in
 * pg_ls_dir('pg_wal', ...) no segment before that one and none after the one that
 * is being written.  In a session that says nothing not even the hook is there.
 *
 * pg_rewind empties search_path, so a function of another schema can't stand in
 * for pg_ls_dir by its name.  Therefore the call is exchanged when the statement
 * is analysed, for a role that may execute what it is exchanged for.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "parser/analyze.h"
#include "parser/parse_func.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/tuplestore.h"

/* its walkers take functions without a prototype */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#include "nodes/nodeFuncs.h"
#pragma GCC diagnostic pop

#include "compat.h"
#include "rewind_list.h"

#define NUMBER_LENGTH 16		/* of a segment, in its file's name after the timeline */
#define SEGMENT_LENGTH 24

static char *wal_from = NULL;
static post_parse_analyze_hook_type prev_post_parse_analyze_hook = NULL;

/* ------------------------------------------------ the list */

static bool
is_hex(const char *digits, size_t length)
{
	return strlen(digits) == length && strspn(digits, "0123456789ABCDEF") == length;
}

static bool
is_wanted(const char *name, const char *last)
{
	const char *number = name + SEGMENT_LENGTH - NUMBER_LENGTH;

	return !is_hex(name, SEGMENT_LENGTH) || (strcmp(number, wal_from) >= 0 && strcmp(number, last) <= 0);
}

/* The same rows without the segments that are not wanted. */
static void
filter_segments(ReturnSetInfo *rsinfo)
{
	MemoryContext old = MemoryContextSwitchTo(rsinfo->econtext->ecxt_per_query_memory);
	Tuplestorestate *all = rsinfo->setResult;
	Tuplestorestate *wanted = tuplestore_begin_heap((rsinfo->allowedModes & SFRM_Materialize_Random) != 0, false, work_mem);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(rsinfo->setDesc, &TTSOpsMinimalTuple);
	XLogSegNo	segment;
	char		last[MAXFNAMELEN];

	XLByteToSeg(GetXLogInsertRecPtr(), segment, wal_segment_size);
	XLogFileName(last, 1, segment, wal_segment_size);
	while (tuplestore_gettupleslot(all, true, false, slot))
	{
		bool		is_null;
		Datum		name = slot_getattr(slot, 1, &is_null);

		if (is_null || is_wanted(TextDatumGetCString(name), last + SEGMENT_LENGTH - NUMBER_LENGTH))
			tuplestore_puttupleslot(wanted, slot);
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(all);
	rsinfo->setResult = wanted;
	MemoryContextSwitchTo(old);
}

PG_FUNCTION_INFO_V1(regent_rewind_ls_dir);

/* rewind_ls_dir(dirname, missing_ok, include_dot_dirs): pg_ls_dir, which checks what may be listed */
Datum
regent_rewind_ls_dir(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	(void) pg_ls_dir(fcinfo);
	if (wal_from[0] != '\0' && !RecoveryInProgress() && rsinfo->setResult != NULL &&
		strcmp(text_to_cstring(PG_GETARG_TEXT_PP(0)), "pg_wal") == 0)
		filter_segments(rsinfo);
	return (Datum) 0;
}

/* ------------------------------------------------ the exchange */

/* Our function, if it is there and the role may execute it. */
static Oid
find_function(void)
{
	Oid			types[] = {TEXTOID, BOOLOID, BOOLOID};
	Oid			schema = get_namespace_oid("regent", true);
	Oid			function;

	if (!OidIsValid(schema) || !rg_compat_may_use_schema(schema, GetUserId()))
		return InvalidOid;
	function = LookupFuncName(list_make2(makeString("regent"), makeString("rewind_ls_dir")), 3, types, true);
	return OidIsValid(function) && rg_compat_may_execute(function, GetUserId()) ? function : InvalidOid;
}

static bool
exchange_walker(Node *node, void *function)
{
	if (node == NULL)
		return false;
	if (IsA(node, FuncExpr) && ((FuncExpr *) node)->funcid == F_PG_LS_DIR_TEXT_BOOL_BOOL)
		((FuncExpr *) node)->funcid = *(Oid *) function;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, exchange_walker, function, 0);
	return expression_tree_walker(node, exchange_walker, function);
}

static void
analyze(ParseState *pstate, Query *query, JumbleState *jstate)
{
	Oid			function;

	if (prev_post_parse_analyze_hook)
		prev_post_parse_analyze_hook(pstate, query, jstate);
	if (wal_from[0] == '\0' || query->commandType != CMD_SELECT)
		return;
	function = find_function();
	if (OidIsValid(function))
		(void) query_tree_walker(query, exchange_walker, &function, 0);
}

/* ------------------------------------------------ the setting */

static bool
check_wal_from(char **newval, void **extra, GucSource source)
{
	if ((*newval)[0] == '\0' || is_hex(*newval, NUMBER_LENGTH))
		return true;
	GUC_check_errdetail("It must be empty or the last %d digits of the name of a WAL segment.", NUMBER_LENGTH);
	return false;
}

/* The first value that says something brings the hook into this process. */
static void
assign_wal_from(const char *newval, void *extra)
{
	static bool is_watching = false;

	if (is_watching || newval[0] == '\0')
		return;
	prev_post_parse_analyze_hook = post_parse_analyze_hook;
	post_parse_analyze_hook = analyze;
	is_watching = true;
}

void
rg_rewind_list_init(void)
{
	DefineCustomStringVariable("regent.rewind_wal_from",
							   "The first WAL segment that a rewind from this server needs.",
							   "Set by regent-node for the session of pg_rewind.",
							   &wal_from,
							   "",
							   PGC_USERSET,
							   GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE,
							   check_wal_from, assign_wal_from, NULL);
}
