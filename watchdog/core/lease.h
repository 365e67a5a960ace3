/*
 * lease.h
 *	  Who may be granted a lease, until when, and when the last one has surely
 *	  run out (protocol 3.3, attacks F4, F6, F10, F13).
 *
 * A grant is made in the node's own clock from the last answer that we received,
 * so the bound needs no list of grants: whatever was granted was computed from
 * an answer not younger than the newest one.  A watchdog that has just started
 * assumes that it granted the moment before.
 */
#ifndef RG_LEASE_H
#define RG_LEASE_H

#include "memory.h"

/*
 * May this node be granted a lease with its next heartbeat?  If so, for which
 * term, and until when in its own clock.  Called with the memory that is in the
 * journal, never with one that is only decided.
 */
extern bool rg_lease_grant(const RgView *view, const RgMemory *memory, int node,
						   int64_t *ret_term, int64_t *ret_until_ms);

/*
 * The moment (our clock) after which neither a lease that we granted to this
 * node nor one that its standbys gave it can be in force: the later of the two
 * bounds of protocol 3.3 and 3.4.3, the second taken over the nodes recruited for
 * memory->term.  INT64_MAX: can't be told.
 */
extern int64_t rg_lease_bound_ms(const RgView *view, const RgMemory *memory, int node);

/* The longest lease that may be in force anywhere. */
extern int64_t rg_lease_longest_ms(const RgView *view, const RgMemory *memory);

#endif							/* RG_LEASE_H */
