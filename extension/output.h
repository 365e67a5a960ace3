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

#endif							/* RG_OUTPUT_H */
