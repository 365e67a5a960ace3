/*
 * publish.c
 *	  What the watchdog tells everybody: publish(), cluster(), jobs().
 *
 * The watchdog publishes the state of the cluster on every node; cluster() and
 * jobs() show it where a person happens to be logged in, on standbys as well.
 * It is in shared memory only: a restart forgets it, the watchdog repeats it.
 *
 * A published text is turned into rows once when it arrives, so that cluster()
 * never fails because of what it shows.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "command.h"
#include "errors.h"
#include "guests.h"
#include "nodestate.h"
#include "pg_regent.h"
#include "publish.h"
#include "requests.h"
#include "shmem.h"

#define NODES_MAX RG_PUBLISHED_NODES_MAX
#define JOBS_MAX 64

/* ------------------------------------------------ columns */

typedef struct Column
{
	const char *name;
	Oid			type;
} Column;

static const Column cluster_columns[] = {
	{"node_name", TEXTOID},
	{"host", TEXTOID},
	{"port", INT4OID},
	{"role", TEXTOID},
	{"state", TEXTOID},
	{"status", INT4OID},
	{"lb_weight", FLOAT8OID},
	{"replay_lag_bytes", INT8OID},
	{"term", INT8OID},
	{"timeline", INT4OID},
	{"last_seen", TIMESTAMPTZOID},
	{"reason", TEXTOID},
};

static const Column job_columns[] = {
	{"id", INT8OID},
	{"kind", TEXTOID},
	{"node", TEXTOID},
	{"state", TEXTOID},
	{"progress", FLOAT8OID},
	{"message", TEXTOID},
};

#define COLUMNS_MAX lengthof(cluster_columns)

/* A scalar of an object as text; NULL if it is missing or null. */
static char *
field_text(JsonbContainer *object, const char *name)
{
	JsonbValue	buffer;
	JsonbValue *value = getKeyJsonValueFromContainer(object, name, strlen(name), &buffer);

	if (value == NULL)
		return NULL;
	switch (value->type)
	{
		case jbvString:
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out,
													   NumericGetDatum(value->val.numeric)));
		case jbvBool:
			return pstrdup(value->val.boolean ? "true" : "false");
		case jbvNull:
			return NULL;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" in the published state is not a scalar", name)));
	}
	return NULL;
}

static Datum
column_value(const Column *column, char *str)
{
	switch (column->type)
	{
		case INT4OID:
			return DirectFunctionCall1(int4in, CStringGetDatum(str));
		case INT8OID:
			return DirectFunctionCall1(int8in, CStringGetDatum(str));
		case FLOAT8OID:
			return DirectFunctionCall1(float8in, CStringGetDatum(str));
		case TIMESTAMPTZOID:
			return DirectFunctionCall3(timestamptz_in, CStringGetDatum(str),
									   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
		default:
			return CStringGetTextDatum(str);
	}
}

static void
object_values(JsonbContainer *object, const Column *columns, int count, Datum *ret_values,
			  bool *ret_nulls)
{
	for (int i = 0; i < count; i++)
	{
		char	   *str = field_text(object, columns[i].name);

		ret_nulls[i] = str == NULL;
		ret_values[i] = str == NULL ? (Datum) 0 : column_value(&columns[i], str);
	}
}

/* The array called name, or NULL; throws if it is something else or too long. */
static JsonbContainer *
published_array(Jsonb *state, const char *name, int max)
{
	JsonbValue	buffer;
	JsonbValue *value;
	JsonbContainer *array;

	if (!JB_ROOT_IS_OBJECT(state))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the published state is not an object")));
	value = getKeyJsonValueFromContainer(&state->root, name, strlen(name), &buffer);
	if (value == NULL || value->type == jbvNull)
		return NULL;
	array = value->type == jbvBinary ? value->val.binary.data : NULL;
	if (array == NULL || !JsonContainerIsArray(array) || JsonContainerSize(array) > (uint32) max)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" in the published state is not an array of at most %d objects",
						name, max)));
	return array;
}

static JsonbContainer *
array_object(JsonbContainer *array, uint32 index)
{
	JsonbValue *value = getIthJsonbValueFromContainer(array, index);

	if (value == NULL || value->type != jbvBinary ||
		!JsonContainerIsObject(value->val.binary.data))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the published state holds something else than objects in an array")));
	return value->val.binary.data;
}

/* ------------------------------------------------ publish */

/* Whose slots are wanted here: objects with "at" (the node that has it) and "node". */
static void
take_guests(Jsonb *state, int64 term)
{
	JsonbContainer *slots = published_array(state, "slots", NODES_MAX);
	RgGuests	guests;

	/* a watchdog that does not speak of slots wants none of them touched */
	if (slots == NULL)
		return;
	memset(&guests, 0, sizeof(guests));
	guests.term = term;
	for (uint32 i = 0; i < JsonContainerSize(slots); i++)
	{
		char	   *at = field_text(array_object(slots, i), "at");
		char	   *node = field_text(array_object(slots, i), "node");

		if (at == NULL || node == NULL || !rg_name_is_valid(node))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("a slot in the published state does not name two nodes")));
		if (strcmp(at, rg_node_name) == 0 && guests.count < RG_VOTERS_MAX)
			strlcpy(guests.names[guests.count++], node, RG_NAME_SIZE);
	}
	rg_guests_set(&guests);
}

/* Turns every object into values once, and notes the jobs' ids. */
static int
check_published(Jsonb *state, int64 *ret_job_ids)
{
	JsonbContainer *nodes = published_array(state, "nodes", NODES_MAX);
	JsonbContainer *jobs = published_array(state, "jobs", JOBS_MAX);
	Datum		values[COLUMNS_MAX];
	bool		nulls[COLUMNS_MAX];
	int			njobs = 0;

	for (uint32 i = 0; nodes != NULL && i < JsonContainerSize(nodes); i++)
		object_values(array_object(nodes, i), cluster_columns, lengthof(cluster_columns),
					  values, nulls);
	for (uint32 i = 0; jobs != NULL && i < JsonContainerSize(jobs); i++)
	{
		object_values(array_object(jobs, i), job_columns, lengthof(job_columns), values, nulls);
		if (nulls[0])
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("a job in the published state has no id")));
		ret_job_ids[njobs++] = DatumGetInt64(values[0]);
	}
	return njobs;
}

PG_FUNCTION_INFO_V1(regent_publish);

/* publish(watchdog, counter, term, state jsonb) */
Datum
regent_publish(PG_FUNCTION_ARGS)
{
	RgCommand	command;
	RgState    *state = palloc(sizeof(RgState));
	int64		job_ids[JOBS_MAX];
	int			njobs;
	Jsonb	   *published;
	char	   *str;
	int			length;

	rg_node_require();
	rg_command_get(fcinfo, &command);
	if (PG_ARGISNULL(3))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("state must not be null")));
	rg_shared_state(state);
	rg_command_authorize(state, &command, false);

	published = PG_GETARG_JSONB_P(3);
	njobs = check_published(published, job_ids);
	str = JsonbToCString(NULL, &published->root, VARSIZE(published));
	length = strlen(str);
	if (length > RG_PUBLISHED_SIZE)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the published state has %d bytes, at most %d are kept",
						length, RG_PUBLISHED_SIZE)));

	LWLockAcquire(rg_shared->lock, LW_EXCLUSIVE);
	memcpy(rg_shared->published, str, length);
	rg_shared->published_length = length;
	rg_shared->published_encoding = GetDatabaseEncoding();
	rg_shared->published_ms = rg_boottime_ms();
	LWLockRelease(rg_shared->lock);
	rg_requests_drop(job_ids, njobs);
	take_guests(published, command.term);

	PG_RETURN_DATUM(rg_state_after(state));
}

/* ------------------------------------------------ cluster, jobs */

/* What was published, or NULL. */
static Jsonb *
get_published(void)
{
	char	   *str = palloc(RG_PUBLISHED_SIZE + 1);
	int			encoding;
	int			length;

	LWLockAcquire(rg_shared->lock, LW_SHARED);
	length = rg_shared->published_length;
	encoding = rg_shared->published_encoding;
	memcpy(str, rg_shared->published, length);
	LWLockRelease(rg_shared->lock);
	if (length == 0)
		return NULL;
	str[length] = '\0';
	return DatumGetJsonbP(rg_jsonb_from_text(pg_any_to_server(str, length, encoding)));
}

/* "16/B374D848" */
static XLogRecPtr
published_lsn(const char *str)
{
	unsigned	hi;
	unsigned	lo;

	return str != NULL && sscanf(str, "%X/%X", &hi, &lo) == 2 ? (uint64) hi << 32 | lo : InvalidXLogRecPtr;
}

int
rg_published_nodes(RgPublishedNode *ret_nodes, int64 *ret_age_ms)
{
	Jsonb	   *published = get_published();
	JsonbContainer *array = published != NULL ? published_array(published, "nodes", NODES_MAX) : NULL;
	int			count = 0;

	LWLockAcquire(rg_shared->lock, LW_SHARED);
	*ret_age_ms = rg_boottime_ms() - rg_shared->published_ms;
	LWLockRelease(rg_shared->lock);
	for (uint32 i = 0; array != NULL && i < JsonContainerSize(array); i++)
	{
		JsonbContainer *object = array_object(array, i);
		RgPublishedNode *node = &ret_nodes[count];
		char	   *name = field_text(object, "node_name");
		char	   *timeline = field_text(object, "timeline");

		if (name == NULL || !rg_name_is_valid(name))
			continue;
		strlcpy(node->node, name, sizeof(node->node));
		node->timeline = timeline != NULL ? (TimeLineID) strtoul(timeline, NULL, 10) : 0;
		node->flush_lsn = published_lsn(field_text(object, "flush_lsn"));
		count++;
	}
	return count;
}

static void
put_objects(ReturnSetInfo *rsinfo, const char *array_name, int max, const Column *columns,
			int count)
{
	Jsonb	   *published = get_published();
	JsonbContainer *array = published != NULL ? published_array(published, array_name, max) : NULL;

	for (uint32 i = 0; array != NULL && i < JsonContainerSize(array); i++)
	{
		Datum		values[COLUMNS_MAX];
		bool		nulls[COLUMNS_MAX];

		object_values(array_object(array, i), columns, count, values, nulls);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
}

PG_FUNCTION_INFO_V1(regent_cluster);

Datum
regent_cluster(PG_FUNCTION_ARGS)
{
	rg_require_shared();
	InitMaterializedSRF(fcinfo, 0);
	put_objects((ReturnSetInfo *) fcinfo->resultinfo, "nodes", NODES_MAX, cluster_columns,
				lengthof(cluster_columns));
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(regent_jobs);

/* The watchdog's jobs, and requests that it has not made one of yet. */
Datum
regent_jobs(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	RgRequest	requests[RG_REQUESTS_MAX];
	int			count;

	rg_require_shared();
	InitMaterializedSRF(fcinfo, 0);
	count = rg_requests_get(requests);
	put_objects(rsinfo, "jobs", JOBS_MAX, job_columns, lengthof(job_columns));
	for (int i = 0; i < count; i++)
	{
		Datum		values[lengthof(job_columns)];
		bool		nulls[lengthof(job_columns)] = {false};

		values[0] = Int64GetDatum(requests[i].id);
		values[1] = CStringGetTextDatum(requests[i].kind);
		values[2] = CStringGetTextDatum(requests[i].node);
		values[3] = CStringGetTextDatum("queued");
		nulls[4] = true;
		values[4] = (Datum) 0;
		values[5] = CStringGetTextDatum("waits for the watchdog; a restart of this server forgets it");
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
