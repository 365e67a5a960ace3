/*
 * publish.h
 *	  What the watchdog has published, for this server's own use.
 */
#ifndef RG_PUBLISH_H
#define RG_PUBLISH_H

#include "postgres.h"

#include "access/xlogdefs.h"

#include "statefile.h"

#define RG_PUBLISHED_NODES_MAX 64

/* A node of the cluster as the watchdog last saw it. */
typedef struct RgPublishedNode
{
	char		node[RG_NAME_SIZE];
	TimeLineID	timeline;		/* 0: not known */
	XLogRecPtr	flush_lsn;		/* Invalid: not known */
} RgPublishedNode;

/*
 * The nodes of the newest publication, and its age; without one in this server start
 * no nodes, and the age of the start.
 */
extern int	rg_published_nodes(RgPublishedNode *ret_nodes, int64 *ret_age_ms);

#endif							/* RG_PUBLISH_H */
