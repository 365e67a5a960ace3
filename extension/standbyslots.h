/*
 * standbyslots.h
 *	  synchronized_standby_slots, as the rule in force has it.
 */
#ifndef RG_STANDBYSLOTS_H
#define RG_STANDBYSLOTS_H

#include "postgres.h"

/* Does the setting differ from what the rule asks for, here and now? */
extern bool rg_standby_slots_are_due(void);

/* Writes it and reloads, inside the caller's transaction. */
extern void rg_standby_slots_fit(void);

#endif							/* RG_STANDBYSLOTS_H */
