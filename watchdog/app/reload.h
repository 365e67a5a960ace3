/*
 * reload.h
 *	  Nodes that come and go with the configuration.
 */
#ifndef RG_RELOAD_H
#define RG_RELOAD_H

#include "cluster.h"

/* Why this set of nodes can't be taken now: RGE_STATE, else 0. */
extern int	rg_reload_check_nodes(const RgCluster *cluster, const RgConfig *config, RgError *err);

/*
 * Takes the configuration with its nodes: those that stay keep their sessions and
 * all that is known of them, new ones are opened, the others are closed.  On an error
 * everything is as it was.
 */
extern int	rg_reload_take(RgCluster *cluster, const RgConfig *config, RgError *err);

#endif							/* RG_RELOAD_H */
