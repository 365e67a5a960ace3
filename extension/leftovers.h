/*
 * leftovers.h
 *	  Logical slots of a former leader, which keep the server from taking over the leader's.
 */
#ifndef RG_LEFTOVERS_H
#define RG_LEFTOVERS_H

#include "postgres.h"

#include "rulejson.h"

/* Drops them where this node follows another one by the rule in force; returns how many. */
extern int	rg_leftovers_drop(const RgRule *rule);

#endif							/* RG_LEFTOVERS_H */
