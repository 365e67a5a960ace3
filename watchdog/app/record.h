/*
 * record.h
 *	  The memory of a cluster as a journal line, and back.
 *
 * Times are of CLOCK_BOOTTIME and mean nothing after a reboot of this machine:
 * then they come back as "now" (a wait begins anew, which is the careful side).
 */
#ifndef RG_RECORD_H
#define RG_RECORD_H

#include <jansson.h>
#include "watchdog/core/memory.h"

/*
 * boot_id: of this machine, now.  New reference, or NULL: all of it or nothing, for a
 * line that lacks a job would be a memory that forgets it.
 */
extern json_t *rg_record_memory(const RgMemory *memory, const RgView *view, const char *boot_id,
								int64_t system_identifier);

/* Fields that are missing or wrong stay zero: unknown. */
extern void rg_record_read(const json_t *line, const char *boot_id, int64_t now_ms,
						   RgMemory *ret_memory, int64_t *ret_system_identifier);

/* A rule as JSON, in the form of regent.heartbeat's. */
extern json_t *rg_record_rule(const RgRule *rule);

/* A failover that has ended, for status: term, from, to, diagnosis, phases. */
extern json_t *rg_record_failover(const RgFailover *failover);

/* A switchover that has ended, for status; one that failed has a reason and no gap. */
extern json_t *rg_record_switchover(const RgFailover *failover);
extern json_t *rg_record_switchover_failed(const char *from, const RgJob *job, int64_t at_wall_ms);

#endif							/* RG_RECORD_H */
