/*
 * guests.h
 *	  Slots of nodes that are no voters: cascading nodes, and new ones.
 */
#ifndef RG_GUESTS_H
#define RG_GUESTS_H

#include "postgres.h"

#include "shmem.h"

/* Takes over what was published; wakes the worker if it is news. */
extern void rg_guests_set(const RgGuests *guests);

extern void rg_guests_get(RgGuests *ret_guests);

/*
 * Creates the guests' slots that are missing and drops the ones of nodes that are
 * neither voters of the rule nor guests any more, unless they are in use.  Inside
 * the caller's transaction; nothing is dropped before the watchdog has spoken in
 * the rule's term.  Returns how many slots were made or dropped.
 */
extern int	rg_guests_keep_slots(const RgRule *rule, const RgGuests *guests);

#endif							/* RG_GUESTS_H */
