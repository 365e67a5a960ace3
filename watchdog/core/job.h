/*
 * job.h
 *	  Rebuilds: the queue of a cluster, what is refused, cancelling.
 *
 * The cheapest method that is possible brings the node back; the old directory is
 * kept until the new one streams and has everything that the old one may have
 * acknowledged.  So many jobs run at a time from one source as the settings say.
 */
#ifndef RG_JOB_H
#define RG_JOB_H

#include "memory.h"

/* So often a node is rebuilt by itself between two failovers. */
#define RG_REBUILDS_MAX 3

/* What somebody asks for, or auto_rejoin. */
typedef struct RgRebuild
{
	const char *node;
	RgMethod	method;
	const char *from;			/* source; NULL or "" = the leader */
	int64_t		rate_kb;		/* a second; 0 = no limit */
	bool		force;			/* also a healthy node, or the last one beside the leader with what is acknowledged */
	bool		automatic;
	int64_t		id;				/* 0: made from the clock */
} RgRebuild;

/*
 * May this node be rebuilt so now?  NULL when yes, else the reason, with hint
 * (both static or in buf of RG_TEXT_MAX).
 */
extern const char *rg_job_refusal(const RgView *view, const RgMemory *memory,
								  const RgRebuild *rebuild, char *buf);

/* A new queued job of no kind and no node, for the caller to fill; NULL: too many wait.  id 0: made from the clock. */
extern RgJob *rg_job_new(RgMemory *memory, const RgView *view, int64_t id);

/* Queues a rebuild; false when the queue is full or the node has one. */
extern bool rg_job_add(RgMemory *memory, const RgView *view, const RgRebuild *rebuild);

/* Keeps a request that was refused as a failed job, so that whoever asked can read why. */
extern void rg_job_add_failed(RgMemory *memory, const RgView *view, RgJobKind kind, const char *node,
							  int64_t id, const char *why);

/*
 * Ends a job: one that waits at once, one under way as soon as its directory is as
 * it was.  NULL when it was taken, else the reason why it has to go on (in buf).
 */
extern const char *rg_job_cancel(const RgView *view, RgMemory *memory, int64_t id, char *buf);

/* Moves the jobs on and adds their steps, while the leader answers as a primary. */
extern void rg_job_plan(const RgView *view, RgDecision *d);

#endif							/* RG_JOB_H */
