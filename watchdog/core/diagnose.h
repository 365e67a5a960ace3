/*
 * diagnose.h
 *	  What is the matter with the primary: the evidence table of the design.
 *
 * One silent channel is no evidence of death.  A death is only ever concluded
 * from what the helper on the host has seen, and only when that helper has
 * shown the very postmaster before.
 */
#ifndef RG_DIAGNOSE_H
#define RG_DIAGNOSE_H

#include "memory.h"

/* What a diagnosis asks for. */
typedef enum RgVerdict
{
	RG_VERDICT_LOOK = 0,		/* gather more */
	RG_VERDICT_WELL,
	RG_VERDICT_TROUBLED,		/* in office, but somebody else would be better off */
	RG_VERDICT_WAIT,			/* wait within restart_budget */
	RG_VERDICT_ALARM,			/* tell people, do nothing */
	RG_VERDICT_FAILOVER
} RgVerdict;

/*
 * Diagnoses the leader (index, or -1) and writes the evidence as a sentence.
 * memory gives since when the leader is doubted and who was shown.
 */
extern RgDiagnosis rg_diagnose(const RgView *view, const RgMemory *memory, int leader,
							   char *ret_evidence, unsigned long size);

extern RgVerdict rg_diagnosis_verdict(RgDiagnosis d);

#endif							/* RG_DIAGNOSE_H */
