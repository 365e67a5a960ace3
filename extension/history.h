/*
 * history.h
 *	  Timeline numbers: each names one term and is never used twice.
 *
 * PostgreSQL takes the next free number, so two promotions that never met can
 * take the same one, and then pg_rewind as well as a standby believe that they
 * share a history.  Before a promotion in term T all numbers below T are taken by
 * placeholders: files <n>.history in pg_wal with nothing but a comment.
 */
#ifndef RG_HISTORY_H
#define RG_HISTORY_H

#include "postgres.h"

#include "access/xlogdefs.h"

/*
 * Makes term the number of the next timeline: puts placeholders on what is free
 * from the timeline after this one on, durably.  Returns their number.
 */
extern int	rg_history_reserve(TimeLineID timeline, int64 term);

/* Is there a history file of this timeline in pg_wal? */
extern bool rg_history_exists(TimeLineID timeline);

/*
 * On a primary: a standby asks its upstream for every history file between its
 * own timeline and the upstream's.  Makes those that this server lacks, and lets
 * the numbers that its own promotion left out be archived.  False if the archiver
 * has to come first: call it again later.
 */
extern bool rg_history_complete(TimeLineID timeline);

/*
 * Removes placeholders after which no timeline came: a promotion that never was,
 * or files that were fetched by half.  A standby that starts with them would look
 * for a timeline that does not exist, and refuse to start.  Never throws; returns
 * how many were removed.
 */
extern int	rg_history_drop_dangling(void);

#endif							/* RG_HISTORY_H */
