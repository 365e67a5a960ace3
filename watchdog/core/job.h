/*
 * job.h
 *	  Rebuilds: the machine of one job, and the queue of a cluster.
 *
 * copy -> swap -> verify -> settle; the old directory is kept until the new
 * one streams.  One job runs at a time.
 */
#ifndef RG_JOB_H
#define RG_JOB_H

#include "memory.h"

#define RG_JOB_TRIES 3
#define RG_JOB_VERIFY_MS 120000
#define RG_JOB_SETTLE_MS 600000

/*
 * May this node be rebuilt now?  NULL when yes, else the reason, with hint
 * (both static or in buf of RG_TEXT_MAX).
 */
extern const char *rg_job_refusal(const RgView *view, const RgMemory *memory, const char *node,
								  char *buf);

/* A new queued job of no kind and no node, for the caller to fill; NULL: too many wait.  id 0: made from the clock. */
extern RgJob *rg_job_new(RgMemory *memory, const RgView *view, int64_t id);

/* Queues a rebuild; false when the queue is full or the node has one.  id 0: made from the clock. */
extern bool rg_job_add(RgMemory *memory, const RgView *view, const char *node, bool automatic,
					   int64_t id);

/* Keeps a request that was refused as a failed job, so that whoever asked can read why. */
extern void rg_job_add_failed(RgMemory *memory, const RgView *view, RgJobKind kind, const char *node,
							  int64_t id, const char *why);

/* Moves the jobs on and adds their steps, while the leader answers as a primary. */
extern void rg_job_plan(const RgView *view, RgDecision *d);

#endif							/* RG_JOB_H */
