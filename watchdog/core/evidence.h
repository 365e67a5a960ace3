/*
 * evidence.h
 *	  The questions behind a diagnosis: budgets, words of goodbye, silence.
 */
#ifndef RG_EVIDENCE_H
#define RG_EVIDENCE_H

#include "memory.h"

/* This diagnosis while restart_budget lasts, from the loss on; then overdue. */
extern RgDiagnosis rg_evidence_within_budget(const RgView *view, const RgMemory *memory, RgDiagnosis d);

/* A standby that still receives WAL from the leader, heard after our loss; -1 = none. */
extern int	rg_evidence_streaming(const RgView *view, const RgMemory *memory, int leader);

/* The server said, in this loss, that somebody stops it. */
extern bool rg_evidence_of_purpose(const RgView *view, const RgMemory *memory, int leader);

/*
 * Not proven by its host; overdue when nobody listens there for longer than a
 * restart may take and no standby hears it: then its lease can be waited for.
 */
extern RgDiagnosis rg_evidence_unproven(const RgView *view, const RgMemory *memory, int leader);

/* Neither server nor helper answer: cut off, isolated, or lost.  Writes the evidence. */
extern RgDiagnosis rg_evidence_of_standbys(const RgView *view, const RgMemory *memory, int leader,
										   char *text, unsigned long size);

/* The session to its host looks open, but what was asked since the loss is not answered. */
extern bool rg_evidence_helper_is_silent(const RgView *view, const RgMemory *memory, int leader);

#endif							/* RG_EVIDENCE_H */
