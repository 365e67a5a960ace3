/*
 * pg_regent.c
 *	  Wiring: settings, shared memory, hooks and the background workers.
 *
 * The library has to be preloaded: it reads the node's promise before the first
 * backend can start, and it watches the startup process, which only inherits
 * what the postmaster had.  Loaded in any other way it says so and does nothing.
 *
 * All else lives in the files named after it; README.md has the map.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "utils/guc.h"

#include "compat.h"
#include "disk.h"
#include "gate.h"
#include "park.h"
#include "pg_regent.h"
#include "rewind_list.h"
#include "shmem.h"
#include "slotsync.h"
#include "worker.h"

PG_MODULE_MAGIC;

char	   *rg_node_name = NULL;
char	   *rg_database = NULL;
int			rg_report_interval = 500;
bool		rg_lease_from_standbys = true;
int			rg_disk_reserve = 32;
int			rg_write_probe = 2000;
int			rg_slot_wal_limit = 10240;
char	   *rg_saved_restore_command = NULL;

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

static void
request_shmem(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	rg_shmem_request();
}

static void
startup_shmem(void)
{
	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();
	rg_shmem_startup();
}

/*
 * Not a check hook: for a library that is just being loaded a refused value would
 * only be a warning, and the server would start without a name.
 */
static void
check_node_name(void)
{
	if (rg_node_name[0] == '\0' || rg_name_is_valid(rg_node_name))
		return;
	ereport(FATAL,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for parameter \"regent.node_name\": \"%s\"", rg_node_name),
			 errdetail("A node's name has 1 to %d characters of a-z, 0-9 and _, and is not \"any\" or \"first\".",
					   RG_NAME_SIZE - 1)));
}

static void
define_settings(void)
{
	DefineCustomStringVariable("regent.node_name",
							   "Name of this server in the cluster.",
							   "Empty means that this server is not a node of pg_regent.",
							   &rg_node_name,
							   "",
							   PGC_POSTMASTER,
							   0,
							   NULL, NULL, NULL);
	DefineCustomStringVariable("regent.database",
							   "Database in which the extension pg_regent is installed.",
							   NULL,
							   &rg_database,
							   "postgres",
							   PGC_POSTMASTER,
							   0,
							   NULL, NULL, NULL);
	DefineCustomIntVariable("regent.report_interval",
							"How often the background worker looks at this server.",
							NULL,
							&rg_report_interval,
							500, 10, 60000,
							PGC_SIGHUP,
							GUC_UNIT_MS,
							NULL, NULL, NULL);
	DefineCustomBoolVariable("regent.lease_from_standbys",
							 "Lets the standbys renew a leader's lease while no watchdog speaks.",
							 NULL,
							 &rg_lease_from_standbys,
							 true,
							 PGC_SIGHUP,
							 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("regent.disk_reserve",
							"A disk of this server with less free space counts as full.",
							"That of the WAL also counts as full without room for one more segment. 0: only when a write fails.",
							&rg_disk_reserve,
							32, 0, 1024 * 1024,
							PGC_SIGHUP,
							GUC_UNIT_MB,
							NULL, NULL, NULL);
	DefineCustomIntVariable("regent.write_probe",
							"How often a small write tries whether the disks of this server work.",
							"0: never.",
							&rg_write_probe,
							2000, 0, 600000,
							PGC_SIGHUP,
							GUC_UNIT_MS,
							NULL, NULL, NULL);
	DefineCustomIntVariable("regent.slot_wal_limit",
							"How much WAL the unused slot of a node may hold before it is released.",
							"-1 means no limit but max_slot_wal_keep_size.",
							&rg_slot_wal_limit,
							10240, -1, INT_MAX,
							PGC_SIGHUP,
							GUC_UNIT_MB,
							NULL, NULL, NULL);
	DefineCustomStringVariable("regent.saved_restore_command",
							   "The restore_command that a promise took away until this node follows a leader again.",
							   "Written and removed by pg_regent itself.",
							   &rg_saved_restore_command,
							   "",
							   PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY | GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE,
							   NULL, NULL, NULL);
}

static void
register_worker(const char *name, const char *function, int flags, BgWorkerStartTime when)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = flags;
	worker.bgw_start_time = when;
	worker.bgw_restart_time = 1;
	strlcpy(worker.bgw_library_name, "pg_regent", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, function, BGW_MAXLEN);
	strlcpy(worker.bgw_name, name, BGW_MAXLEN);
	strlcpy(worker.bgw_type, name, BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

static void
register_workers(void)
{
	register_worker("pg_regent", "rg_worker_main",
					BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
					BgWorkerStart_ConsistentState);
	/* a recovery can fill a disk, too */
	register_worker("pg_regent probe", "rg_disk_main", BGWORKER_SHMEM_ACCESS,
					BgWorkerStart_PostmasterStart);
}

void
_PG_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pg_regent must be loaded via shared_preload_libraries"),
				 errhint("Add pg_regent to shared_preload_libraries in postgresql.conf and restart the server.")));

	define_settings();
	check_node_name();
	rg_slot_sync_init();
	rg_park_watch_settings();
	rg_gate_init();
	rg_rewind_list_init();

	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shmem;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_shmem;

	if (!IsBinaryUpgrade)
		register_workers();
}
