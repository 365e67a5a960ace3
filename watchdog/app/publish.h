/*
 * publish.h
 *	  Tells every node how the cluster is, for regent.cluster() and regent.jobs().
 */
#ifndef RG_APP_PUBLISH_H
#define RG_APP_PUBLISH_H

#include "cluster.h"

/* To each node that answers and has not been told this state yet; ages are brought up to date now and then. */
extern void rg_publish(RgCluster *cluster, int64_t now_ms);

#endif							/* RG_APP_PUBLISH_H */
