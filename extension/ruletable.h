/*
 * ruletable.h
 *	  The table regent.rule: reading its newest rows, writing one.
 */
#ifndef RG_RULETABLE_H
#define RG_RULETABLE_H

#include "postgres.h"

#include "statefile.h"

typedef enum RgTableResult
{
	RG_TABLE_READ,
	RG_TABLE_LOCKED,			/* a client holds a lock that we would have to wait for */
	RG_TABLE_MISSING			/* the extension is not installed in this database */
} RgTableResult;

/*
 * Reads the two newest rules, the older one first, inside the caller's
 * transaction; never waits for a lock.  ret_rules holds two.
 */
extern RgTableResult rg_ruletable_read(RgRule *ret_rules, int *ret_count);

/* Terms and timelines of all rules, newest RG_FOLLOWED_MAX, after a successful read. */
extern int	rg_ruletable_terms(RgTermEnd *ret_terms);

#endif							/* RG_RULETABLE_H */
