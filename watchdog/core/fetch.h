/*
 * fetch.h
 *	  Who fetches the WAL of a node that must not, or can't, be promoted.
 */
#ifndef RG_CORE_FETCH_H
#define RG_CORE_FETCH_H

#include "choose.h"
#include "contender.h"

/*
 * Nobody was chosen, because the most advanced one is excluded or stuck; or its disk is
 * no good: who is to fetch its WAL, and up to where?  Into choice, which names nobody
 * then.  By promises, or before a recruit by heartbeats.
 */
extern void rg_fetch_choose(const RgView *view, const RgMemory *memory, int leader, const RgContender *c,
							bool from_promise, RgChoice *choice);

#endif							/* RG_CORE_FETCH_H */
