/*
 * notice.h
 *	  What one round noticed: the input of the phase table.
 */
#ifndef RG_NOTICE_H
#define RG_NOTICE_H

#include "memory.h"

/*
 * The input for the phase of d->memory.  Also learns what belongs to it: whose
 * authority has ended, the candidate, and why a failover does not go on.
 */
extern RgInput rg_notice(const RgView *view, RgDecision *d);

#endif							/* RG_NOTICE_H */
