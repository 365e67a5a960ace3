/*
 * source.c
 *	  The server that is copied.
 *
 * Why one session: the backup ends with the session that began it, so a copy
 * that dies leaves nothing behind on the source.  Why a temporary slot: what
 * must never happen is a directory that can't become consistent because a
 * segment was recycled during the copy.  It is moved on as WAL is fetched: the source's
 * disk must not fill because a standby is rebuilt.
 */
#include "copy/source.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "io/pg_failure.h"

#define LOGIN_WAIT_US (15 * INT64_C(1000000))
#define LONGEST_PAUSE_MS 3200	/* about six seconds in all */
#define SHORT_WAIT_US (60 * INT64_C(1000000))
#define CHECKPOINT_WAIT_US (600 * INT64_C(1000000))
#define LIST_WAIT_US (300 * INT64_C(1000000))
#define ANSWER_WAIT_US (120 * INT64_C(1000000))

static const char ask[] = "SELECT regent.copy_compare($1)";

/* Name of the prepared statement. */
#define ASK "ask"

/* ------------------------------------------------ errors */

/* What the server said, in one line. */
static int
server_error(RgSource *source, const PGresult *result, const char *what, RgError *err)
{
	const char *state = result != NULL ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
	const char *message = result != NULL ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
	const char *hint = result != NULL ? PQresultErrorField(result, PG_DIAG_MESSAGE_HINT) : NULL;

	if (message == NULL)
	{
		const char *text = PQerrorMessage(source->conn);

		return rg_error_set(err, RGE_IO, "the connection to the source was lost while it was asked to %s: %.*s",
							what, (int) strcspn(text, "\n"), text);
	}
	rg_error_set(err, RGE_REFUSED, "the source can't %s: %s", what, message);
	if (state != NULL && (strcmp(state, "42883") == 0 || strcmp(state, "3F000") == 0 ||
						  strcmp(state, "42501") == 0))
	{
		rg_error_set(err, RGE_STATE, "the source can't %s: %s", what, message);
		rg_error_hint(err, "regent init --admin-conninfo ... makes the functions and grants them to the replication user.");
	}
	else if (hint != NULL)
		rg_error_hint(err, "%s", hint);
	return err != NULL ? (int) err->code : RGE_REFUSED;
}

/* ------------------------------------------------ waiting */

/* Until the socket can be read, or written where that is wanted too. */
static int
wait_socket(RgSource *source, bool writes, int64_t until_us, const char *what, RgError *err)
{
	struct pollfd fd = {PQsocket(source->conn), (short) (POLLIN | (writes ? POLLOUT : 0)), 0};
	int64_t		left_ms = (until_us - rg_clock_now_us()) / 1000;

	if (left_ms <= 0)
		return rg_error_set(err, RGE_TIMEOUT, "the source did not %s in time", what);
	(void) poll(&fd, 1, (int) (left_ms < 1000 ? left_ms : 1000));
	return 0;
}

/* The result of a statement, which must be rows. */
static int
run(RgSource *source, const char *sql, const char *param, const char *what, int64_t wait_us,
	PGresult **ret_result, RgError *err)
{
	int64_t		until = rg_clock_now_us() + wait_us;
	PGresult   *result = NULL;
	PGresult   *next;
	int			rc = 0;

	*ret_result = NULL;
	if (!PQsendQueryParams(source->conn, sql, param != NULL, NULL, &param, NULL, NULL, 0))
		return server_error(source, NULL, what, err);
	while (rc == 0)
	{
		int			flushed = PQflush(source->conn);

		if (flushed < 0 || !PQconsumeInput(source->conn))
			return server_error(source, NULL, what, err);
		if (flushed == 0 && !PQisBusy(source->conn))
			break;
		rc = wait_socket(source, flushed > 0, until, what, err);
	}
	while (rc == 0 && (next = PQgetResult(source->conn)) != NULL)
	{
		PQclear(result);
		result = next;
	}
	if (rc == 0 && PQresultStatus(result) != PGRES_TUPLES_OK)
		rc = server_error(source, result, what, err);
	if (rc != 0)
		PQclear(result);
	else
		*ret_result = result;
	return rc;
}

/* ------------------------------------------------ who it is */

/*
 * Nothing that a role or a database has set may end a statement of ours or
 * lead it elsewhere.
 */
static PGconn *
connect_once(const char *conninfo)
{
	const char *const keywords[] = {"dbname", "options", "fallback_application_name", NULL};
	const char *const values[] = {conninfo,
		"-c statement_timeout=0 -c lock_timeout=0 -c idle_session_timeout=0 -c search_path=pg_catalog"
		" -c client_min_messages=error -c extra_float_digits=0", "regent-copy", NULL};

	PGconn	   *conn = PQconnectStartParams(keywords, values, 1);
	PostgresPollingStatusType wants = PGRES_POLLING_WRITING;
	int64_t		until = rg_clock_now_us() + LOGIN_WAIT_US;

	if (conn == NULL || PQstatus(conn) == CONNECTION_BAD)
		return conn;
	(void) PQsetErrorVerbosity(conn, PQERRORS_VERBOSE); /* for the SQLSTATE */
	while (wants != PGRES_POLLING_OK && wants != PGRES_POLLING_FAILED && rg_clock_now_us() < until)
	{
		struct pollfd fd = {PQsocket(conn), wants == PGRES_POLLING_READING ? POLLIN : POLLOUT, 0};

		if (poll(&fd, 1, 1000) > 0)
			wants = PQconnectPoll(conn);
	}
	(void) PQsetErrorVerbosity(conn, PQERRORS_DEFAULT);
	return conn;
}

/*
 * Commits that wait for a standby can hold all connections of the source for a
 * moment, or until there is a copy: then another method has to be taken.
 */
static PGconn *
connect_to(const char *conninfo, RgPgFailure *ret_failure)
{
	for (int pause_ms = 100;; pause_ms *= 2)
	{
		PGconn	   *conn = connect_once(conninfo);

		if (PQstatus(conn) == CONNECTION_OK)
			return conn;
		rg_pg_failure_connect(ret_failure, PQerrorMessage(conn));
		if (ret_failure->message[0] == '\0')
			rg_pg_failure_set(ret_failure, RG_PG_SILENT, "no answer to the login within %d s", (int) (LOGIN_WAIT_US / 1000000));
		if (strcmp(ret_failure->sqlstate, "53300") != 0 || pause_ms > LONGEST_PAUSE_MS)
			return conn;
		PQfinish(conn);
		(void) poll(NULL, 0, pause_ms);
	}
}

static int
learn(RgSource *source, RgError *err)
{
	PGresult   *result;
	int			rc = run(source, "SELECT current_setting('server_version_num')::int / 10000, current_setting('block_size'),"
						 " s.setting, c.system_identifier"
						 " FROM pg_control_system() c, pg_settings s WHERE s.name = 'wal_segment_size'",
						 NULL, "say who it is", SHORT_WAIT_US, &result, err);

	if (rc != 0)
		return rc;
	if (PQntuples(result) != 1)
		rc = rg_error_set(err, RGE_FORMAT, "the source does not say who it is");
	else
	{
		source->major = atoi(PQgetvalue(result, 0, 0));
		source->wal_segment_size = (uint32_t) strtoul(PQgetvalue(result, 0, 2), NULL, 10);
		source->system_identifier = (uint64_t) strtoll(PQgetvalue(result, 0, 3), NULL, 10);
		if (source->wal_segment_size == 0)
			rc = rg_error_set(err, RGE_FORMAT, "the source does not say how long its WAL segments are");
		else if (strcmp(PQgetvalue(result, 0, 1), "8192") != 0)
			rc = rg_error_set(err, RGE_STATE, "the source has a block size of %s, a delta copy needs 8192",
							  PQgetvalue(result, 0, 1));
	}
	PQclear(result);
	return rc;
}

int
rg_source_open(RgSource *source, const char *conninfo, RgError *err)
{
	RgPgFailure failure = {0};

	*source = (RgSource) {.conn = connect_to(conninfo, &failure)};
	if (PQstatus(source->conn) != CONNECTION_OK && strcmp(failure.sqlstate, "53300") == 0)
	{
		rg_error_set(err, RGE_STATE, "the source has no connection left, and a delta copy needs one: %s", failure.message);
		rg_error_hint(err, "Leave some to it: ALTER ROLE of the application's users CONNECTION LIMIT, or a greater max_connections.");
		return RGE_STATE;
	}
	if (PQstatus(source->conn) != CONNECTION_OK)
	{
		rg_error_set(err, RGE_STATE, "no login to the source: %s%s%s", failure.sqlstate, failure.sqlstate[0] != '\0' ? ": " : "", failure.message);
		rg_error_hint(err, "A delta copy logs in to a database: pg_hba.conf of the source needs a line for it, not only for replication.");
		return RGE_STATE;
	}
	if (PQsetnonblocking(source->conn, 1) != 0)
		return server_error(source, NULL, "take requests", err);
	return learn(source, err);
}

void
rg_source_close(RgSource *source)
{
	PQfinish(source->conn);
	*source = (RgSource) {0};
}

/* ------------------------------------------------ the backup */

static int
parse_lsn(const char *text, uint64_t *ret_lsn)
{
	unsigned int high;
	unsigned int low;

	if (sscanf(text, "%X/%X", &high, &low) != 2)
		return -1;
	*ret_lsn = (uint64_t) high << 32 | low;
	return 0;
}

static int
move_slot(RgSource *source, uint64_t to, RgError *err)
{
	PGresult   *result;
	char		sql[128];
	int			rc;

	(void) snprintf(sql, sizeof(sql), "SELECT end_lsn FROM pg_replication_slot_advance($1, '%X/%X')",
					(unsigned int) (to >> 32), (unsigned int) to);
	rc = run(source, sql, source->slot, "move the slot of this copy on", SHORT_WAIT_US, &result, err);
	PQclear(result);
	if (rc == 0)
		source->kept_from = to;
	return rc;
}

/* As the checkpoint says with which the backup began; its label will tell whether that was it. */
static int
learn_timeline(RgSource *source, RgBackup *backup, RgError *err)
{
	PGresult   *result;
	int			rc = run(source, "SELECT timeline_id FROM pg_control_checkpoint()", NULL, "say its timeline",
						 SHORT_WAIT_US, &result, err);

	if (rc == 0)
		backup->timeline = (uint32_t) strtoul(PQgetvalue(result, 0, 0), NULL, 10);
	PQclear(result);
	return rc;
}

/*
 * A new slot begins at the last checkpoint.  On a primary the backup makes one of its own,
 * and that must not find a slot that already holds more than it may.
 */
static int
skip_old_wal(RgSource *source, RgError *err)
{
	PGresult   *result;
	uint64_t	end;
	int			rc = run(source, "SELECT pg_current_wal_flush_lsn() WHERE NOT pg_is_in_recovery()", NULL,
						 "say how far its WAL reaches", SHORT_WAIT_US, &result, err);

	if (rc == 0 && PQntuples(result) == 1 && parse_lsn(PQgetvalue(result, 0, 0), &end) == 0)
		rc = move_slot(source, end, err);
	PQclear(result);
	return rc;
}

int
rg_source_start(RgSource *source, const char *label, RgBackup *ret_backup, RgError *err)
{
	PGresult   *result;
	int			rc;

	(void) snprintf(source->slot, sizeof(source->slot), "pg_regent_copy_%d", PQbackendPID(source->conn));
	rc = run(source, "SELECT lsn FROM pg_create_physical_replication_slot($1, true, true)", source->slot,
			 "make a temporary slot", SHORT_WAIT_US, &result, err);
	if (rc != 0)
		return rc;
	PQclear(result);
	rc = skip_old_wal(source, err);
	if (rc != 0)
		return rc;
	rc = run(source, "SELECT pg_backup_start($1, true)", label, "begin a backup", CHECKPOINT_WAIT_US,
			 &result, err);
	if (rc != 0)
		return rc;
	*ret_backup = (RgBackup) {0};
	if (parse_lsn(PQgetvalue(result, 0, 0), &ret_backup->start_lsn) != 0)
		rc = rg_error_set(err, RGE_FORMAT, "the source does not say where the backup begins");
	PQclear(result);
	ret_backup->next_segment = ret_backup->start_lsn / source->wal_segment_size;
	if (rc == 0)
		rc = learn_timeline(source, ret_backup, err);
	return rc == 0 && ret_backup->start_lsn > source->kept_from ? move_slot(source, ret_backup->start_lsn, err) : rc;
}

static int
take_entry(RgPlan *plan, const char *path, const char *kind, uint64_t size, RgDirectoryMaker make_directory,
		   void *arg, RgError *err)
{
	bool		is_tablespace = strcmp(kind, "tablespace") == 0;

	if (strcmp(kind, "relation") == 0)
		return rg_plan_add(plan, path, RG_FILE_RELATION, size, err);
	if (strcmp(kind, "file") == 0)
		return rg_plan_add(plan, path, RG_FILE_OTHER, size, err);
	if ((is_tablespace || strcmp(kind, "directory") == 0) && rg_plan_path_is_good(path))
		return make_directory(arg, path, is_tablespace, err);
	return rg_error_set(err, RGE_FORMAT, "the source lists \"%.200s\", which is no file that can be copied", path);
}

int
rg_source_list(RgSource *source, RgPlan *plan, RgDirectoryMaker make_directory, void *arg, RgError *err)
{
	PGresult   *result;
	int			rc = run(source, "SELECT path, kind, size FROM regent.copy_files()", NULL, "list its files",
						 LIST_WAIT_US, &result, err);

	if (rc != 0)
		return rc;
	for (int i = 0; rc == 0 && i < PQntuples(result); i++)
		rc = take_entry(plan, PQgetvalue(result, i, 0), PQgetvalue(result, i, 1),
						strtoull(PQgetvalue(result, i, 2), NULL, 10), make_directory, arg, err);
	PQclear(result);
	return rc;
}

/* "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)": is it what we took it for? */
static bool
is_label_of(const char *label, uint32_t segment_size, const RgBackup *backup)
{
	const char *file = strstr(label, "(file ");
	unsigned int timeline;
	unsigned int high;
	unsigned int low;

	return file != NULL && sscanf(file, "(file %8X%8X%8X)", &timeline, &high, &low) == 3 &&
		timeline == backup->timeline &&
		high * (UINT64_C(0x100000000) / segment_size) + low == backup->start_lsn / segment_size;
}

int
rg_source_stop(RgSource *source, RgBackup *backup, RgError *err)
{
	PGresult   *result;
	int			rc = run(source, "SELECT lsn, labelfile, spcmapfile FROM pg_backup_stop(false)", NULL,
						 "end the backup", SHORT_WAIT_US, &result, err);

	if (rc != 0)
		return rc;
	backup->label = result;
	if (PQntuples(result) != 1 || parse_lsn(PQgetvalue(result, 0, 0), &backup->stop_lsn) != 0)
		return rg_error_set(err, RGE_FORMAT, "the source does not say where the backup ends");
	if (!is_label_of(PQgetvalue(result, 0, 1), source->wal_segment_size, backup))
		return rg_error_set(err, RGE_IO, "the source has changed its timeline since the backup began");
	return 0;
}

/* ------------------------------------------------ the slot */

#define WAL_END "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END"

/* How far WAL is written, what the slot holds of it, and what it may hold. */
static const char ask_slot[] =
	"SELECT " WAL_END ","
	" s.restart_lsn, c.redo_lsn, s.wal_status,"
	" pg_size_bytes(coalesce(nullif(current_setting('regent.slot_wal_limit', true), ''), '-1')),"
	" current_setting('max_slot_wal_keep_size')"
	" FROM pg_control_checkpoint() c LEFT JOIN pg_replication_slots s ON s.slot_name = $1";

static int
held_too_much(const char *setting, const char *limit, RgError *err)
{
	rg_error_set(err, RGE_STATE, "the source writes WAL faster than it is fetched, and keeps more of it for this copy than %s allows: %s",
				 setting, limit);
	rg_error_hint(err, "Raise rebuild_rate, or copy when less is written.");
	return RGE_STATE;
}

int
rg_source_check_held(const RgSource *source, RgError *err)
{
	char		limit[32];

	if (source->held_max < 0 || source->held <= (uint64_t) source->held_max)
		return 0;
	(void) snprintf(limit, sizeof(limit), "%" PRId64 " MB", source->held_max / (1024 * 1024));
	return held_too_much("regent.slot_wal_limit", limit, err);
}

/* What the server keeps for its own recovery is nobody's fault. */
static int
learn_slot(RgSource *source, const PGresult *result, uint64_t *ret_end_lsn, RgError *err)
{
	const char *status = PQgetvalue(result, 0, 3);
	uint64_t	end;
	uint64_t	restart;
	uint64_t	redo;

	if (strcmp(status, "unreserved") == 0)
		return held_too_much("max_slot_wal_keep_size", PQgetvalue(result, 0, 5), err);
	if (strcmp(status, "lost") == 0 || parse_lsn(PQgetvalue(result, 0, 1), &restart) != 0)
		return rg_error_set(err, RGE_STATE, "the source has taken away the slot of this copy, and WAL that it needs");
	if (parse_lsn(PQgetvalue(result, 0, 0), &end) != 0 || parse_lsn(PQgetvalue(result, 0, 2), &redo) != 0)
		return rg_error_set(err, RGE_FORMAT, "the source does not say how far its WAL reaches");
	source->held = restart < redo && restart < end ? end - restart : 0;
	source->held_max = strtoll(PQgetvalue(result, 0, 4), NULL, 10);
	*ret_end_lsn = end;
	return 0;
}

int
rg_source_keep_from(RgSource *source, uint64_t from, uint64_t *ret_end_lsn, RgError *err)
{
	PGresult   *result = NULL;
	int			rc = from > source->kept_from ? move_slot(source, from, err) : 0;

	if (rc == 0)
		rc = run(source, ask_slot, source->slot, "say what it keeps", SHORT_WAIT_US, &result, err);
	if (rc == 0)
		rc = learn_slot(source, result, ret_end_lsn, err);
	PQclear(result);
	return rc;
}

/* The limit, if a slot that begins there holds as much by now. */
static const char ask_limit[] =
	"SELECT current_setting('max_slot_wal_keep_size') FROM (SELECT pg_size_bytes(current_setting('max_slot_wal_keep_size')) AS bytes) s"
	" WHERE bytes >= 0 AND pg_wal_lsn_diff(" WAL_END ", $1) >= bytes";

int
rg_source_explain_loss(const RgSource *source, const char *conninfo, RgError *err)
{
	RgSource	again = {0};
	PGresult   *result = NULL;
	char		lsn[32];
	int			rc = (int) err->code;

	if (source->kept_from == 0 || PQstatus(source->conn) == CONNECTION_OK)
		return rc;
	(void) snprintf(lsn, sizeof(lsn), "%X/%X", (unsigned int) (source->kept_from >> 32), (unsigned int) source->kept_from);
	if (rg_source_open(&again, conninfo, NULL) == 0 &&
		run(&again, ask_limit, lsn, "say what it keeps", SHORT_WAIT_US, &result, NULL) == 0 && PQntuples(result) == 1)
		rc = held_too_much("max_slot_wal_keep_size", PQgetvalue(result, 0, 0), err);
	PQclear(result);
	rg_source_close(&again);
	return rc;
}

/* ------------------------------------------------ requests */

int
rg_source_begin(RgSource *source, RgError *err)
{
	if (!PQenterPipelineMode(source->conn))
		return server_error(source, NULL, "take requests", err);
	if (source->is_prepared)
		return 0;
	if (!PQsendPrepare(source->conn, ASK, ask, 0, NULL) || !PQpipelineSync(source->conn))
		return server_error(source, NULL, "take requests", err);
	source->is_prepared = true;
	source->outstanding = 1;	/* the answer to this one is empty */
	source->heard_us = rg_clock_now_us();
	return 0;
}

int
rg_source_ask(RgSource *source, const void *request, size_t length, RgError *err)
{
	const char *const values[] = {request};
	const int	lengths[] = {(int) length};
	const int	formats[] = {1};

	if (!PQsendQueryPrepared(source->conn, ASK, 1, values, lengths, formats, 1) ||
		!PQpipelineSync(source->conn) || PQflush(source->conn) < 0)
		return server_error(source, NULL, "take a request", err);
	if (source->outstanding++ == 0)
		source->heard_us = rg_clock_now_us();
	return 0;
}

int
rg_source_answer(RgSource *source, PGresult **ret_answer, RgError *err)
{
	if (!PQconsumeInput(source->conn) || PQflush(source->conn) < 0)
		return server_error(source, NULL, "send blocks", err);
	while (*ret_answer == NULL && source->outstanding > 0 && !PQisBusy(source->conn))
	{
		PGresult   *result = PQgetResult(source->conn);

		switch (PQresultStatus(result))
		{
			case PGRES_TUPLES_OK:
				*ret_answer = result;
				break;
			case PGRES_PIPELINE_SYNC:
				source->outstanding--;
				PQclear(result);
				break;
			case PGRES_COMMAND_OK:
				PQclear(result);
				break;
			default:
				if (result != NULL || PQstatus(source->conn) != CONNECTION_OK)
				{
					int			rc = server_error(source, result, "send blocks", err);

					PQclear(result);
					return rc;
				}
		}
		source->heard_us = rg_clock_now_us();
	}
	if (source->outstanding > 0 && rg_clock_now_us() - source->heard_us > ANSWER_WAIT_US)
		return rg_error_set(err, RGE_TIMEOUT, "the source did not answer for two minutes");
	return 0;
}

int
rg_source_end(RgSource *source, RgError *err)
{
	int			rc = 0;

	while (rc == 0 && source->outstanding > 0)
	{
		PGresult   *answer = NULL;

		rc = rg_source_answer(source, &answer, err);
		PQclear(answer);
		if (rc == 0 && source->outstanding > 0)
			rc = wait_socket(source, false, source->heard_us + ANSWER_WAIT_US, "answer", err);
	}
	if (rc == 0 && !PQexitPipelineMode(source->conn))
		rc = server_error(source, NULL, "end its answers", err);
	return rc;
}
