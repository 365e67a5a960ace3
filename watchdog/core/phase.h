/*
 * phase.h
 *	  The machine of one cluster as a table: (phase, input) -> phase, why.
 *
 * An absent row means "stay".  Row numbers are printed with every event and
 * are never reused.
 */
#ifndef RG_PHASE_H
#define RG_PHASE_H

#include <stdbool.h>
#include "names.h"

typedef struct RgMove
{
	int			id;
	RgPhase		from;
	RgInput		on;
	RgPhase		to;
	const char *why;
} RgMove;

/* The row for this pair, or NULL. */
extern const RgMove *rg_move_find(RgPhase from, RgInput on);

/* A failover, or its undoing, is under way: its term and candidate must not be lost. */
extern bool rg_phase_is_failover(RgPhase phase);

/* Row i, or NULL past the end: for tests and for `regent explain --graph`. */
extern const RgMove *rg_move_get(int i);

#endif							/* RG_PHASE_H */
