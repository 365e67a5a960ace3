/*
 * output.h
 *	  The output buffer of this session's connection.
 */
#ifndef RG_OUTPUT_H
#define RG_OUTPUT_H

#include "postgres.h"

/* Does the server have bytes for the client that it has not given to the kernel? */
extern bool rg_output_is_pending(void);

/* Gives the kernel as many of them as it takes without waiting. */
extern void rg_output_send(void);

/*
 * From now on sent() is called whenever the kernel has taken all that there was
 * for the client, at the end of a message above all.  In _PG_init; inherited.
 */
extern void rg_output_watch(void (*sent) (void));

#endif							/* RG_OUTPUT_H */
