/*
 * nodestate.h
 *	  The state file on disk: lock, read, replace.
 *
 * Every change follows one pattern: take the node's lock, which reads the file;
 * change the copy; store it, which makes it durable and only then visible; give
 * the lock back.  The shell helper regent-node uses the same lock.  In SQL
 * functions the lock goes with the transaction if an error is thrown.
 */
#ifndef RG_NODESTATE_H
#define RG_NODESTATE_H

#include "postgres.h"

#include "statefile.h"

typedef struct RgNode
{
	int			lock_fd;		/* -1: not locked */
	RgState		state;
} RgNode;

/* How long most callers wait for the lock. */
#define RG_LOCK_WAIT_MS 2000

/* At server start, in the postmaster: reads the file into shared memory; never throws. */
extern void rg_node_load(void);

/* Reads the file again if it is another one than the one in shared memory. */
extern void rg_node_refresh(void);

/* Throws unless this server has a name and a usable state (RG009). */
extern void rg_node_require(void);

/*
 * The table holds rules.  A node that has them was a member of the cluster: if it
 * has no state file its pledges are lost, and it votes for nobody (RG009) while
 * regent.adopting is not in force.  Returns whether that is so.
 */
extern bool rg_node_judge_missing(void);

/* Only warns about a state file that cannot be used. */
extern void rg_node_warn(void);

/*
 * Takes the lock, waiting until deadline_ms (boottime), and reads the state.
 * Throws RG006 if others hold it for so long, RG009 if the file can't be used.
 */
extern void rg_node_lock(RgNode *node, int64 deadline_ms);

/* The same without waiting and without throwing for a busy lock: false then. */
extern bool rg_node_try_lock(RgNode *node);

/* Writes node->state durably and shows it to everybody. */
extern void rg_node_store(RgNode *node);

extern void rg_node_unlock(RgNode *node);

#endif							/* RG_NODESTATE_H */
