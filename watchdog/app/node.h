/*
 * node.h
 *	  The sessions of one node, and what they bring into the view.
 *
 * Two SQL sessions are opened ahead: one beats, one is spare and runs the
 * commands; at most one fresh connection at a time is tried beside them, so a
 * server never sees more than three of us.  Every outcome is written into the
 * view and asks for a round; nothing is decided here.
 */
#ifndef RG_NODE_H
#define RG_NODE_H

#include "cluster.h"

extern int	rg_node_open(RgCluster *cluster, int index, RgError *err);
extern void rg_node_close(RgNode *node);	/* takes NULL, and a half-opened one */

/* New address, priority or interval from the configuration. */
extern void rg_node_apply_config(RgNode *node);

/* The session that takes a command now: the spare one, else the beating one; NULL when none is open. */
extern RgPg *rg_node_command_session(RgNode *node);

/* Beat now instead of at the next interval; carries a lease when the core grants one. */
extern void rg_node_beat(RgNode *node);

/*
 * The node leads, its gate is closed, and it may have a lease that the beat just
 * answered did not carry: beat again at once.  For the end of a round.
 */
extern void rg_node_grant_now(RgNode *node);

/* Time between two heartbeats: at least ten of them in the shortest lease. */
extern int64_t rg_node_interval_ms(const RgCluster *cluster);

/* Into the view: what an SQL failure says about this server; and for beat.c. */
extern void rg_node_take_failure(RgNode *node, const RgPgFailure *failure);
extern void rg_node_arm(struct event *timer, int64_t ms);

/* What an SQL failure says about a server. */
extern RgSql rg_node_classify(const RgPgFailure *failure);

#endif							/* RG_NODE_H */
