/*
 * job_run.h
 *	  The machine of one rebuild.
 *
 * rewind -> follow, or else delta -> swap, or else copy -> swap; then
 * verify -> settle.  What fails goes back by undo and clean up.
 */
#ifndef RG_JOB_RUN_H
#define RG_JOB_RUN_H

#include "memory.h"

#define RG_JOB_TRIES 3
#define RG_JOB_VERIFY_MS 120000
#define RG_JOB_SETTLE_MS 600000
#define RG_JOB_BUSY_MS 600000	/* so long another verb on the host, an earlier one of ours, is waited for */

/* A queued job begins with its first method. */
extern void rg_job_begin(const RgView *view, RgDecision *d, RgJob *job, int node);

/* One round of a running job. */
extern void rg_job_advance(const RgView *view, RgDecision *d, RgJob *job, int node);

/*
 * The same for a node that leads by now, with the copy or the rewound directory in its
 * place: it was promoted before it was seen to stream, so what it replaced has nothing
 * to give any more.
 */
extern void rg_job_lead(const RgView *view, RgDecision *d, RgJob *job, int node);

/* It is known that the node, as it is now, will never stream from the leader. */
extern void rg_job_does_not_stream(const RgView *view, RgDecision *d, RgJob *job, int node, const char *why);

/* Why a job in this phase can't be cancelled; NULL: it can. */
extern const char *rg_job_cancel_trouble(const RgMemory *memory, const RgJob *job, int node);

/* It ends here and now; for one that has touched nothing, or that has nothing left to do. */
extern void rg_job_end(const RgView *view, RgDecision *d, RgJob *job, int node, RgJobState state);

/* What the directories that were swapped out may have acknowledged: when have the new ones caught up? */
extern void rg_job_learn_owed(const RgView *view, RgDecision *d);

#endif							/* RG_JOB_RUN_H */
