/*
 * job_wait.h
 *	  Waiting for a job of regentd.
 */
#ifndef RG_JOB_WAIT_H
#define RG_JOB_WAIT_H

#include <stdbool.h>
#include <stdint.h>
#include "cli.h"

/*
 * Shows progress until the job has ended; RG_EXIT_FAILED with its reason when it failed.
 * With --json nothing is shown but, where prints_json says so, the job's last state.
 */
extern RgExit rg_job_wait(const RgCli *cli, int64_t id, bool prints_json);

#endif							/* RG_JOB_WAIT_H */
