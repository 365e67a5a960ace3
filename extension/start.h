/*
 * start.h
 *	  Where this server's WAL ended when it was started; whether it may start.
 */
#ifndef RG_START_H
#define RG_START_H

#include "postgres.h"

#include "access/xlogdefs.h"

/* FATAL in a directory that is half rewound.  First in the shared memory startup hook. */
extern void rg_start_refuse_rewinding(void);

/*
 * FATAL while regent-node is about to exchange the directory, after ten seconds,
 * or when it has done so.  There as well, before anything is read or written.
 */
extern void rg_start_refuse_exchange(void);

/* In the shared memory startup hook, in the postmaster. */
extern void rg_start_init(void);

/*
 * Where it ended; Invalid on a server that was a standby in this start, and while
 * it is not known.
 */
extern XLogRecPtr rg_start_lsn(void);

/*
 * On a primary: has this start still to be noted in the state file, as one that has
 * had no lease yet?  Not where there is no state file.
 */
extern bool rg_start_is_due(void);

/* Notes it, durably; later when the node's lock is taken.  May throw. */
extern void rg_start_note(void);

/*
 * Before the first lease of this start: the state file shall say that it has had one.
 * True if it does; false if it can't now, and there is no lease yet.  May throw.
 */
extern bool rg_start_open(void);

/* Does it say so?  Throws nothing, and asks the worker to see to it if not. */
extern bool rg_start_is_open(void);

/* The worker is to call rg_start_open(). */
extern bool rg_start_wants_open(void);

/*
 * On a standby: where it had begun as a primary that has had no lease since; Invalid
 * if it has not, on the timeline that it is on.
 */
extern XLogRecPtr rg_start_unopened_lsn(void);

#endif							/* RG_START_H */
