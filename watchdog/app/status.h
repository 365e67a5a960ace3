/*
 * status.h
 *	  What people and scripts are shown, from memory: status, jobs, and the
 *	  picture that is published to every node.
 */
#ifndef RG_STATUS_H
#define RG_STATUS_H

#include "cluster.h"

/* regent --json status; as all here, NULL where a part of it can't be made. */
extern json_t *rg_status_json(const RgCluster *cluster);

extern json_t *rg_status_jobs(const RgCluster *cluster);

/* regent.publish: ages = false leaves out what changes all the time. */
extern json_t *rg_status_publication(const RgCluster *cluster, bool ages);

/* Health for load balancers: is this node the writable leader, a readable standby? */
extern bool rg_status_is_primary(const RgCluster *cluster, int node);
extern bool rg_status_is_standby(const RgCluster *cluster, int node);

/* One line for systemd. */
extern void rg_status_line(const RgCluster *cluster, char *buf, unsigned long size);

/*
 * What the leader has to live on when this watchdog stops: "" when enough standbys
 * stream to give it leases, else a sentence that says that its writes will stop.
 */
extern void rg_status_farewell(const RgCluster *cluster, char *buf, unsigned long size);

#endif							/* RG_STATUS_H */
