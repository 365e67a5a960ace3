/*
 * syncnames.h
 *	  synchronous_standby_names, as the rule in force has it.
 */
#ifndef RG_SYNCNAMES_H
#define RG_SYNCNAMES_H

#include "postgres.h"

/* Does the setting differ from what the rule asks for, here and now? */
extern bool rg_sync_names_are_due(void);

/* Writes it and reloads, inside the caller's transaction; throws where that is not possible. */
extern void rg_sync_names_fit(void);

#endif							/* RG_SYNCNAMES_H */
