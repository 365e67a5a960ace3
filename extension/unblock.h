/*
 * unblock.h
 *	  What blocks replay, and how it is lifted for a promise.
 */
#ifndef RG_UNBLOCK_H
#define RG_UNBLOCK_H

#include "postgres.h"

/* Ends a pause that an operator asked for; false if there is one that must stay. */
extern bool rg_unblock_pause(void);

/*
 * If the startup process waits for sessions (its wait event says so), cancels
 * them; to be called again until it goes on.
 */
extern void rg_unblock_conflict(pid_t startup_pid, uint32 wait_event);

#endif							/* RG_UNBLOCK_H */
