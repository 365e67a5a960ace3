/*
 * api.h
 *	  The HTTP routes: the control socket's and the load balancers'.
 */
#ifndef RG_API_H
#define RG_API_H

#include "cluster.h"

/* Opens the control socket and, where configured, http_listen. */
extern int	rg_api_open(RgCluster *cluster, RgError *err);

#endif							/* RG_API_H */
