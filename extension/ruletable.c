/*
 * ruletable.c
 *	  The table regent.rule: reading its newest rows, writing one.
 *
 * The table is how a rule travels: with the WAL, so that every copy of the data
 * knows whose history it holds.  Nobody else reads it: the worker does, and puts
 * what it finds into shared memory and the state file.
 *
 * Writing goes the other way round: the rule is first put into the state file as
 * pending, then inserted, and shown as the newest one when its commit record is
 * flushed.  So a crash in between leaves a node that is restricted by the rule
 * and proves nothing with it.  The node's lock is kept until the transaction
 * ends; therefore write_rule() must be a transaction of its own.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "command.h"
#include "errors.h"
#include "gate.h"
#include "nodestate.h"
#include "pg_regent.h"
#include "ruletable.h"
#include "shmem.h"

#define RULE_COLUMNS \
	"term, seq, leader, voters, durability, quorum, left_out, lease, pause_until, " \
	"watchdog, reason, at, timeline"
#define RULE_COLUMN_COUNT 13

#define MS_PER_DAY INT64CONST(86400000)
#define LEASE_MAX_MS INT64CONST(3600000)
#define PAUSE_MAX_MS MS_PER_DAY
#define LOCK_TIMEOUT "2s"

/* The rule that this backend's transaction is writing. */
static RgRule written_rule;
static RgNode written_node = {.lock_fd = -1};
static bool is_writing = false;

/* ------------------------------------------------ values */

/* "2026-11-23T10:00:00.123456Z" */
static void
format_time(TimestampTz time, char *buf)
{
	struct pg_tm tm;
	fsec_t		fsec;

	if (TIMESTAMP_NOT_FINITE(time) || timestamp2tm(time, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
	snprintf(buf, RG_TIME_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ",
			 tm.tm_year, tm.tm_mon, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int) fsec);
}

static int64
interval_ms(const Interval *interval)
{
	return ((int64) interval->month * 30 + interval->day) * MS_PER_DAY + interval->time / 1000;
}

static void
copy_text(char *target, size_t size, const char *source, const char *what)
{
	if (strlen(source) >= size)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s is too long", what)));
	strlcpy(target, source, size);
}

static int
copy_names(char (*target)[RG_NAME_SIZE], ArrayType *array, const char *what)
{
	Datum	   *elements;
	bool	   *nulls;
	int			count;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	if (count > RG_VOTERS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s has more than %d nodes", what, RG_VOTERS_MAX)));
	for (int i = 0; i < count; i++)
	{
		char	   *name = nulls[i] ? "" : TextDatumGetCString(elements[i]);

		if (!rg_name_is_valid(name))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("%s has the invalid node name \"%s\"", what, name),
					 errhint("A node's name has 1 to %d characters of a-z, 0-9 and _.",
							 RG_NAME_SIZE - 1)));
		strlcpy(target[i], name, RG_NAME_SIZE);
	}
	return count;
}

/* From datums in the order of RULE_COLUMNS; only pause_until may be null. */
static void
rule_from_values(RgRule *rule, const Datum *values, const bool *nulls)
{
	memset(rule, 0, sizeof(*rule));
	for (int i = 0; i < RULE_COLUMN_COUNT; i++)
		if (nulls[i] && i != 8)
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("a rule has no nulls")));

	rule->term = DatumGetInt64(values[0]);
	rule->seq = DatumGetInt32(values[1]);
	copy_text(rule->leader, sizeof(rule->leader), TextDatumGetCString(values[2]), "leader");
	rule->nvoters = copy_names(rule->voters, DatumGetArrayTypeP(values[3]), "voters");
	copy_text(rule->durability, sizeof(rule->durability), TextDatumGetCString(values[4]),
			  "durability");
	rule->quorum = DatumGetInt32(values[5]);
	rule->nleft_out = copy_names(rule->left_out, DatumGetArrayTypeP(values[6]), "left_out");
	rule->lease_ms = interval_ms(DatumGetIntervalP(values[7]));
	if (!nulls[8])
		format_time(DatumGetTimestampTz(values[8]), rule->pause_until);
	copy_text(rule->watchdog, sizeof(rule->watchdog),
			  DatumGetCString(DirectFunctionCall1(uuid_out, values[9])), "watchdog");
	rg_rule_set_reason(rule, TextDatumGetCString(values[10]));
	format_time(DatumGetTimestampTz(values[11]), rule->at);
	rule->timeline = (uint32) DatumGetInt32(values[12]);
}

/* ------------------------------------------------ reading */

RgTableResult
rg_ruletable_read(RgRule *ret_rules, int *ret_count)
{
	Oid			schema = get_namespace_oid("regent", true);
	Oid			table = OidIsValid(schema) ? get_relname_relid("rule", schema) : InvalidOid;

	*ret_count = 0;
	if (!OidIsValid(table))
		return RG_TABLE_MISSING;
	if (!ConditionalLockRelationOid(table, AccessShareLock))
		return RG_TABLE_LOCKED;

	/* now that it is locked: is it still there? */
	if (get_relname_relid("rule", schema) != table)
		return RG_TABLE_MISSING;

	if (SPI_execute("SELECT " RULE_COLUMNS " FROM regent.rule ORDER BY term DESC, seq DESC LIMIT 2",
					true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read regent.rule");
	for (uint64 i = SPI_processed; i-- > 0;)
	{
		Datum		values[RULE_COLUMN_COUNT];
		bool		nulls[RULE_COLUMN_COUNT];

		heap_deform_tuple(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, values, nulls);
		rule_from_values(&ret_rules[(*ret_count)++], values, nulls);
	}
	return RG_TABLE_READ;
}

int
rg_ruletable_terms(RgTermEnd *ret_terms)
{
	int			count = 0;

	if (SPI_execute("SELECT DISTINCT ON (term) term, timeline FROM regent.rule "
					"ORDER BY term DESC, seq DESC LIMIT " CppAsString2(RG_FOLLOWED_MAX),
					true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read regent.rule");
	for (uint64 i = SPI_processed; i-- > 0;)
	{
		bool		isnull;

		ret_terms[count].term = DatumGetInt64(
			SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
		ret_terms[count].timeline = DatumGetInt32(
			SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &isnull));
		ret_terms[count].end_lsn = 0;
		count++;
	}
	return count;
}

/* ------------------------------------------------ writing */

static void
invalid_rule(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("this rule makes no sense"),
			 errdetail("%s", detail)));
}

/* Is the rule sound in itself? */
static void
check_rule(const RgRule *rule)
{
	bool		is_async = strcmp(rule->durability, "async") == 0;

	if (!rg_names_contain(rule->voters, rule->nvoters, rule->leader))
		invalid_rule("The leader is not among the voters.");
	for (int i = 0; i < rule->nvoters; i++)
		if (rg_names_contain(rule->voters, i, rule->voters[i]))
			invalid_rule("A voter is named twice.");
	for (int i = 0; i < rule->nleft_out; i++)
		if (!rg_names_contain(rule->voters, rule->nvoters, rule->left_out[i]) ||
			rg_names_contain(rule->left_out, i, rule->left_out[i]) ||
			strcmp(rule->left_out[i], rule->leader) == 0)
			invalid_rule("Only voters other than the leader can be left out, each once.");
	if (!is_async && strcmp(rule->durability, "sync") != 0 &&
		strcmp(rule->durability, "strict") != 0)
		invalid_rule("Durability is one of async, sync and strict.");
	if (rule->seq < 0)
		invalid_rule("The sequence number is negative.");
	if (rule->quorum < 0 || rule->quorum > (is_async ? RG_VOTERS_MAX : rule->nvoters - 1))
		invalid_rule("The quorum is negative or larger than the number of standbys.");
	if (rule->lease_ms < 1 || rule->lease_ms > LEASE_MAX_MS)
		invalid_rule("The lease must be between a millisecond and an hour.");
}

/* May this rule be the next one here? */
static void
check_succession(const RgState *state, const RgCommand *command, const RgRule *rule)
{
	if (strcmp(rule->leader, rg_node_name) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_RG_WRONG_ROLE),
				 errmsg("node \"%s\" cannot write a rule whose leader is \"%s\"",
						rg_node_name, rule->leader),
				 errdetail("A rule is written by the leader that it names.")));
	rg_command_check_term(state, command);
	if (state->has_rule && rg_rules_compare(rule->term, rule->seq, state->rule.term,
											state->rule.seq) <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_RG_STALE_TERM),
				 errmsg("rule " INT64_FORMAT ".%d is not newer than rule " INT64_FORMAT ".%d of node \"%s\"",
						rule->term, rule->seq, state->rule.term, state->rule.seq, rg_node_name),
				 errhint("Look at the newest rule of this node before writing another one.")));
	if (XLogRecPtrIsInvalid(rg_shared->rules_lsn))
		ereport(ERROR,
				(errcode(ERRCODE_RG_NODE_BUSY),
				 errmsg("node \"%s\" has not read its rules yet", rg_node_name),
				 errhint("Try again in a moment; if it stays so, the server's log says what keeps pg_regent from reading regent.rule.")));
	if (!rg_joint_allows(state, rule))
		ereport(ERROR,
				(errcode(ERRCODE_RG_NODE_BUSY),
				 errmsg("rule " INT64_FORMAT ".%d of node \"%s\" is not in force yet",
						state->rule.term, state->rule.seq, rg_node_name),
				 errdetail("Too few standbys have flushed it, so rule " INT64_FORMAT ".%d is still in question.",
						   state->previous.term, state->previous.seq),
				 errhint("Only a rule that goes back, or that leaves out more standbys, can be written until then.")));
}

/* Commit: the row is flushed, so the rule is in force.  Nothing in here may fail. */
static void
finish_writing(XactEvent event, void *arg)
{
	if (!is_writing)
		return;
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT)
		return;

	is_writing = false;
	if (event == XACT_EVENT_COMMIT)
	{
		rg_shared_adopt_rules(&written_rule, 1);
		rg_node_unlock(&written_node);
		rg_worker_wake();
		ereport(LOG,
				(errhidestmt(true),
				 errmsg("pg_regent wrote rule " INT64_FORMAT ".%d: node \"%s\" leads on timeline %u",
						written_rule.term, written_rule.seq, written_rule.leader,
						written_rule.timeline)));
	}
	written_node.lock_fd = -1;	/* after an abort fd.c closes it */
}

/*
 * Inserts the row as the bootstrap superuser: in a read-only session as well,
 * waiting for no standby, and for no lock longer than LOCK_TIMEOUT.
 */
static void
insert_rule(Datum *values, const char *nulls)
{
	static Oid types[RULE_COLUMN_COUNT] = {
		INT8OID, INT4OID, TEXTOID, TEXTARRAYOID, TEXTOID, INT4OID, TEXTARRAYOID, INTERVALOID,
		TIMESTAMPTZOID, UUIDOID, TEXTOID, TIMESTAMPTZOID, INT4OID
	};
	Oid			user;
	int			context;
	int			nest_level;

	(void) set_config_option("synchronous_commit", "local", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
	XactReadOnly = false;
	rg_gate_transaction_is_exempt = true;

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID,
						   context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	nest_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	SPI_connect();
	if (SPI_execute_with_args("INSERT INTO regent.rule (" RULE_COLUMNS ") "
							  "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
							  RULE_COLUMN_COUNT, types, values, nulls, false, 0) != SPI_OK_INSERT || SPI_processed != 1)
		elog(ERROR, "could not write regent.rule");
	SPI_finish();
	AtEOXact_GUC(true, nest_level);
	SetUserIdAndSecContext(user, context);
	ForceSyncCommit();
}

static void
require_own_transaction(void)
{
	if (IsTransactionBlock() || GetCurrentTransactionNestLevel() > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("regent.write_rule() cannot run inside a transaction block"),
				 errhint("Call it as a statement of its own.")));
	if (is_writing)
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("regent.write_rule() cannot run twice in one statement")));
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_RG_WRONG_ROLE),
				 errmsg("node \"%s\" is a standby and cannot write a rule", rg_node_name),
				 errhint("Write it on the primary.")));
}

PG_FUNCTION_INFO_V1(regent_write_rule);

/* write_rule(watchdog, counter, term, seq, leader, voters, durability, quorum, left_out, lease, pause_until, reason) */
Datum
regent_write_rule(PG_FUNCTION_ARGS)
{
	static bool is_registered = false;
	TimestampTz now = GetCurrentTimestamp();
	RgCommand	command;
	Datum		values[RULE_COLUMN_COUNT];
	bool		isnull[RULE_COLUMN_COUNT] = {false};
	char		nulls[RULE_COLUMN_COUNT + 1];
	RgRule		rule;

	rg_node_require();
	rg_command_get(fcinfo, &command);
	require_own_transaction();

	/* term to pause_until, the watchdog, reason: arguments 2 to 10, 0 and 11 */
	for (int i = 0; i < 9; i++)
	{
		values[i] = PG_ARGISNULL(i + 2) ? (Datum) 0 : PG_GETARG_DATUM(i + 2);
		isnull[i] = PG_ARGISNULL(i + 2);
	}
	values[9] = PG_GETARG_DATUM(0);
	values[10] = PG_ARGISNULL(11) ? (Datum) 0 : PG_GETARG_DATUM(11);
	isnull[10] = PG_ARGISNULL(11);
	values[11] = TimestampTzGetDatum(now);
	values[12] = Int32GetDatum((int32) GetWALInsertionTimeLine());
	for (int i = 0; i < RULE_COLUMN_COUNT; i++)
		nulls[i] = isnull[i] ? 'n' : ' ';
	nulls[RULE_COLUMN_COUNT] = '\0';

	rule_from_values(&rule, values, isnull);
	check_rule(&rule);
	if (!isnull[8] && DatumGetTimestampTz(values[8]) > now + PAUSE_MAX_MS * 1000)
		invalid_rule("A pause ends at most 24 hours from now.");

	rg_node_lock(&written_node, rg_boottime_ms() + RG_LOCK_WAIT_MS);
	if (!is_registered)
		RegisterXactCallback(finish_writing, NULL);
	is_registered = true;
	is_writing = true;
	rg_command_authorize(&written_node.state, &command, true);
	check_succession(&written_node.state, &command, &rule);

	strlcpy(written_node.state.watchdog, command.watchdog, RG_UUID_SIZE);
	written_node.state.counter = command.counter;
	written_node.state.pending = rule;
	written_node.state.has_pending = true;
	rg_node_store(&written_node);

	written_rule = rule;
	insert_rule(values, nulls);

	/* what will be true when this statement has been answered */
	rg_state_adopt_rule(&written_node.state, &rule);
	PG_RETURN_DATUM(rg_state_after(&written_node.state));
}

PG_FUNCTION_INFO_V1(regent_keep_foreign_rules_out);

/*
 * keep_foreign_rules_out(), a trigger for each row: what an apply worker (or whoever sets
 * session_replication_role = replica) wants to do to regent.rule is skipped, so that a
 * publication FOR ALL TABLES neither binds its subscriber nor stops it.
 */
Datum
regent_keep_foreign_rules_out(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	HeapTuple	row;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		!TRIGGER_FIRED_BEFORE(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("regent.keep_foreign_rules_out() is a trigger before each row")));
	row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple;
	return PointerGetDatum(SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA ? NULL : row);
}
