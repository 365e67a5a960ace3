/*
 * contender.h
 *	  A node in a choice: what it has, and what speaks against it.
 */
#ifndef RG_CONTENDER_H
#define RG_CONTENDER_H

#include "memory.h"

typedef struct RgContender
{
	bool		present;		/* its position is known */
	bool		stuck;			/* and it could not replay all of its WAL: no candidate */
	RgPosition	position;
	uint64_t	held;			/* the end of its WAL; at least position.lsn */
} RgContender;

/*
 * <0, 0, >0 as a has less than, as much as, more than b.  Of one that is stuck the
 * newest rule is not known, only where its WAL ends: on one timeline that says all, a
 * newer one has the newer rules.
 */
extern int	rg_contender_compare(const RgContender *a, const RgContender *b);

/* -1 = nobody's position is known. */
extern int	rg_contender_most_advanced(const RgView *view, const RgContender *c);

/* Properties that exclude a node whatever its position is; NULL = none. */
extern const char *rg_contender_exclusion(const RgView *view, const RgMemory *memory, int node);

/*
 * In async: it had been left behind before the leader was lost; what it lacks is not
 * just the last moment (F15).
 */
extern bool rg_contender_is_stale(const RgMemory *memory, int node, const RgPosition *p);

/* It was a candidate before, and its promotion did not come to an end. */
extern bool rg_contender_failed_before(const RgView *view, int node);

/* Positive when a is the better candidate; positions are equal. */
extern int	rg_contender_compare_equals(const RgView *view, const RgMemory *memory, int leader, int a, int b);

#endif							/* RG_CONTENDER_H */
