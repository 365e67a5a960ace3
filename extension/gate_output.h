/*
 * gate_output.h
 *	  The last look: where answers to the client are given to the kernel.
 */
#ifndef RG_GATE_OUTPUT_H
#define RG_GATE_OUTPUT_H

#include "postgres.h"

#include "hot.h"

/* In _PG_init: puts itself between the server and its output buffer. */
extern void rg_output_watch(void);

/* A commit of this message wants to be told: nothing leaves without a look at the gate. */
extern RG_HOT_SHARED void rg_output_expect_answer(void);

/* From now on nothing leaves this process, not even what is buffered. */
extern void rg_output_silence(void);

#endif							/* RG_GATE_OUTPUT_H */
