/*
 * act.h
 *	  Runs one step of a decision on its node, over SQL or over SSH.
 *
 * What became of it is written into the view's op of that kind.  A step is
 * never repeated from here: the next round looks and asks again.  A lost
 * answer is "outcome unknown", never "failed".
 */
#ifndef RG_ACT_H
#define RG_ACT_H

#include "cluster.h"

/* Starts the step; its end wakes the cluster. */
extern void rg_act(RgCluster *cluster, const RgStep *step);

/* Frees what is kept for steps under way, after their sessions are gone. */
extern void rg_act_forget(RgNode *node);

/* A statement is under way there; verbs of the helper have channels of their own. */
extern bool rg_act_is_asking(const RgNode *node);

#endif							/* RG_ACT_H */
