/*
 * slot_text.h
 *	  WAL that a node keeps for another one, where it has become a problem.
 *
 * No I/O, unit-tested.
 */
#ifndef RG_SLOT_TEXT_H
#define RG_SLOT_TEXT_H

#include <stdio.h>
#include <jansson.h>

/*
 * A sentence for each slot that holds much WAL or comes near its limit: how much,
 * for whom, what happens then, and what to do.  status is the answer of regentd;
 * gap is written before the first one.  Returns the number of sentences.
 */
extern int	rg_slots_write(const json_t *status, const char *gap, FILE *out);

#endif							/* RG_SLOT_TEXT_H */
