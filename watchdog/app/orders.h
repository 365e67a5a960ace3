/*
 * orders.h
 *	  What people ask for, over the API or in SQL.
 *
 * An order is judged at once and refused with the reason, or it is in the
 * journal when these functions return 0; the next round acts on it.
 */
#ifndef RG_ORDERS_H
#define RG_ORDERS_H

#include "cluster.h"
#include "watchdog/core/job.h"

/* Queues a rebuild; ret_job (may be NULL) gets its id. */
extern int	rg_orders_rebuild(RgCluster *cluster, const RgRebuild *rebuild, int64_t *ret_job, RgError *err);

/* Ends a job, as soon as the node's directory is as it was. */
extern int	rg_orders_cancel(RgCluster *cluster, int64_t id, RgError *err);

/* Begins a switchover to node, "" = the best one; ret_job (may be NULL) gets its id. */
extern int	rg_orders_switchover(RgCluster *cluster, const char *node, int64_t id, int64_t *ret_job,
								 RgError *err);

/* Promotes node whatever it lacks; ret_loss (RG_TEXT_MAX bytes) says what may be lost. */
extern int	rg_orders_accept_loss(RgCluster *cluster, const char *node, char *ret_loss, RgError *err);

/* Nodes that obey another watchdog shall obey this one; ret_what says which. */
extern int	rg_orders_takeover(RgCluster *cluster, char *ret_what, RgError *err);

/* Reads the configuration again if it does not know this node yet. */
extern int	rg_orders_know_node(RgCluster *cluster, const char *node, RgError *err);

/* Queues the addition of a node of the configuration; ret_job gets its id. */
extern int	rg_orders_node_add(RgCluster *cluster, const char *node, int64_t *ret_job, RgError *err);

/* And its removal; ret_what (RG_TEXT_MAX bytes) says what that means, or why not. */
extern int	rg_orders_node_remove(RgCluster *cluster, const char *node, bool lost, char *ret_what,
								  int64_t *ret_job, RgError *err);

/* Another durability (NULL: as it is) or quorum (0: as it is); ret_what says what will be. */
extern int	rg_orders_set(RgCluster *cluster, const char *durability, int quorum, char *ret_what, RgError *err);

/* A request that a node told with its heartbeat: kind, node, method, id; may be told again and again. */
extern void rg_orders_request(RgCluster *cluster, const json_t *request);

#endif							/* RG_ORDERS_H */
