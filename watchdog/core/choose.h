/*
 * choose.h
 *	  Who takes over: newest rule, then timeline, then LSN; only among equals
 *	  synchronous state, priority, name (design: a failover, step 4).
 *
 * Never a node that lacks what another recruited standby has.  Each node that
 * is not chosen gets a reason with numbers that a person can read.
 */
#ifndef RG_CHOOSE_H
#define RG_CHOOSE_H

#include "memory.h"

typedef struct RgChoice
{
	int			node;			/* -1 = nobody */
	bool		eligible[RG_CORE_NODES_MAX];
	char		reasons[RG_CORE_NODES_MAX][RG_TEXT_MAX];
	char		summary[RG_TEXT_MAX];	/* one sentence: who and why, or why nobody */

	/*
	 * Where nobody can be chosen because the most advanced one must not, or can't, be
	 * promoted: who could be, once it has fetched WAL up to until from source.
	 */
	int			fetcher;		/* -1 = nobody */
	int			source;
	uint64_t	until;
} RgChoice;

/* So often a fetch that brings nothing is tried where there is another way. */
#define RG_FETCH_TRIES 3

/* The node has promised term, in the server start that runs now. */
extern bool rg_is_recruited(const RgView *view, int node, int64_t term);

/*
 * The primary holds less than another voter shows, or than the journal has seen:
 * it was restored from an older copy, and must not be opened (F10).
 */
extern bool rg_choose_is_behind(const RgView *view, const RgMemory *memory, int node);

/*
 * It led its last term and lies before the end of that term in the leader's history.
 * A leader has all that it ever sent: so its disk is an older one, and what it wrote
 * since are other rows on the same timeline (F10).  From its complete promise.
 */
extern bool rg_choose_has_lost_wal(const RgNodeView *node, const RgTermEnd *leader_terms, int count);

/*
 * The most that a node is known to hold: its promise of this term, else its facts.
 * rule_term 0 = not known.
 */
extern RgPosition rg_choose_position(const RgView *view, const RgMemory *memory, int node);

/*
 * The same, but of a primary that is not admitted yet, and of a standby that was one on
 * an older disk, only what it had when it was started: what a closed server writes by
 * itself makes up for nothing that it lost.
 */
extern RgPosition rg_choose_start_position(const RgView *view, const RgMemory *memory, int node);

/*
 * A standby that wrote WAL as a primary without ever getting a lease, and began there
 * with less than was seen in this term: its disk was an older one, and its end of WAL
 * tells nothing (F10).
 */
extern bool rg_choose_is_older(const RgView *view, const RgMemory *memory, int node);

/* Among the nodes recruited for term. */
extern void rg_choose(const RgView *view, const RgMemory *memory, int64_t term, int leader,
					  RgChoice *ret_choice);

/* Who would be chosen if the leader failed now: from facts, not promises. */
extern void rg_choose_prospect(const RgView *view, const RgMemory *memory, int leader,
							   RgChoice *ret_choice);

#endif							/* RG_CHOOSE_H */
