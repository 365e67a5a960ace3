/*
 * identity.h
 *	  Who this watchdog is: a random id and a start counter (design: watchdog
 *	  identity; attack F1).
 *
 * Owns STATE_DIRECTORY/identity and STATE_DIRECTORY/lock.  The lock is held
 * exclusively as long as the handle lives: two watchdogs can't share a state
 * directory.  The counter grows at each open and is fsynced before this returns; it
 * grows by a random step, so that two clones of one directory, each on its own
 * host, differ, and the nodes obey only one of them.
 */
#ifndef RG_IDENTITY_H
#define RG_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>
#include "../base/err.h"

typedef struct RgIdentity
{
	char		id[37];			/* uuid, lower case */
	int64_t		counter;		/* grows with each start, by 1 to 1000 */
	bool		is_first;		/* nobody was started with this identity before */
	int			lock_fd;
} RgIdentity;

/* Makes the directory's identity where there is none (mode 0600). */
extern int	rg_identity_open(const char *directory, RgIdentity *ret_identity, RgError *err);

/* Reads without lock or increment (for regent init and check); RGE_STATE where none is. */
extern int	rg_identity_read(const char *directory, RgIdentity *ret_identity, RgError *err);

/* Makes the identity when there is none, with counter 0, else reads it; no lock is kept. */
extern int	rg_identity_ensure(const char *directory, RgIdentity *ret_identity, RgError *err);

extern void rg_identity_close(RgIdentity *identity);

#endif							/* RG_IDENTITY_H */
