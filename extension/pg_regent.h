/*
 * pg_regent.h
 *	  The extension's settings.
 */
#ifndef PG_REGENT_H
#define PG_REGENT_H

#include "postgres.h"

/* regent.node_name: this server's name in the cluster; empty: not a node. */
extern char *rg_node_name;

/* regent.database: where the extension is installed. */
extern char *rg_database;

/* regent.report_interval, milliseconds. */
extern int	rg_report_interval;

/* regent.lease_from_standbys */
extern bool rg_lease_from_standbys;

/* regent.disk_reserve, megabytes. */
extern int	rg_disk_reserve;

/* regent.write_probe, milliseconds. */
extern int	rg_write_probe;

/* regent.slot_wal_limit, megabytes; -1: no limit. */
extern int	rg_slot_wal_limit;

/* regent.saved_restore_command, see settings.c. */
extern char *rg_saved_restore_command;

extern PGDLLEXPORT void _PG_init(void);

#endif							/* PG_REGENT_H */
