/*
 * sync_names.h
 *	  synchronous_standby_names as a cluster needs it.
 */
#ifndef RG_SYNC_NAMES_H
#define RG_SYNC_NAMES_H

#include <stddef.h>
#include "../app/config.h"

#define RG_SYNC_NAMES_MAX (RG_NODES_MAX * (RG_NAME_MAX + 4) + 32)

/* ANY 1 (n1, n2, n3): all nodes, the same on every one of them, so that a promotion changes nothing. */
extern void rg_sync_names(const RgConfig *config, char *buf, size_t size);

#endif							/* RG_SYNC_NAMES_H */
