/*
 * disk.h
 *	  Is there room on this server's disks, and do they take a write?
 */
#ifndef RG_DISK_H
#define RG_DISK_H

#include "postgres.h"

/* As node_status() and heartbeat() show it. */
typedef struct RgDiskReport
{
	const char *state;			/* ok, full, failing or hung; NULL: not known */
	int64		free_bytes;		/* of the place with the least room */
	int64		hung_ms;		/* for how long an access has not ended; 0: none hangs */
	char		text[96];		/* where, and what is the matter */
} RgDiskReport;

/* From shared memory only. */
extern void rg_disk_report(RgDiskReport *ret_report);

/* The process "pg_regent probe". */
extern PGDLLEXPORT void rg_disk_main(Datum arg);

#endif							/* RG_DISK_H */
