/*
 * job_text.h
 *	  A job of regentd as people read it: a sentence, a line of progress, a table.
 */
#ifndef RG_JOB_TEXT_H
#define RG_JOB_TEXT_H

#include <stdio.h>
#include <jansson.h>

/* "job 3: rebuild n1, running, delta from n2, copying 12.3 MB of 100 MB, 12 %" without a newline. */
extern void rg_job_write(const json_t *job, FILE *out);

/*
 * One line of progress, no longer than width, without a newline:
 * "n1: delta from n2  [#####.....]  48 %  48.2 MB of 100 MB  11.0 MB/s  0:04 left".
 */
extern void rg_job_line(const json_t *job, int width, FILE *out);

/* A table of jobs, the newest last, and below it what is to be said of each. */
extern void rg_jobs_write(const json_t *jobs, FILE *out);

#endif							/* RG_JOB_TEXT_H */
