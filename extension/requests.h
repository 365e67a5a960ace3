/*
 * requests.h
 *	  What operators ask the watchdog for.
 */
#ifndef RG_REQUESTS_H
#define RG_REQUESTS_H

#include "postgres.h"

#include "shmem.h"

/* Copies the waiting requests, RG_REQUESTS_MAX at most; returns their number. */
extern int	rg_requests_get(RgRequest *ret_requests);

/* Requests that have become jobs are no requests any more. */
extern void rg_requests_drop(const int64 *job_ids, int njobs);

#endif							/* RG_REQUESTS_H */
