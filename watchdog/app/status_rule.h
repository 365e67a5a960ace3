/*
 * status_rule.h
 *	  What the rule in force guarantees, and what is wanted of it, for GET /v1/status.
 */
#ifndef RG_STATUS_RULE_H
#define RG_STATUS_RULE_H

#include <jansson.h>

#include "cluster.h"

/* The newest rule counts alone, as far as its leader has told. */
extern bool rg_status_in_force(const RgCluster *cluster);

/* Adds durability, quorum, counted, left_out, rule_in_force, wanted and guarantee to status; NULL as in json.h. */
extern json_t *rg_status_rule(const RgCluster *cluster, json_t *status);

#endif							/* RG_STATUS_RULE_H */
