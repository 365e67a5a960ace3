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

#endif							/* RG_START_H */
