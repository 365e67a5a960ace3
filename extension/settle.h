/*
 * settle.h
 *	  When a leader's newest rule counts alone.
 */
#ifndef RG_SETTLE_H
#define RG_SETTLE_H

#include "postgres.h"

#include "joint.h"

/* The rules that this node has to satisfy now; none if it does not lead. */
extern void rg_settle_rules(RgJoint *ret_joint);

/*
 * Looks at the voters: have enough of them flushed the newest rule?  Then the one
 * before it is out of question.  Cheap where none is; not with the shared lock held;
 * throws nothing.
 */
extern bool rg_settle_look(void);

/* This is the newest rule, and no other one is in question or being written beside it. */
extern bool rg_settle_is_over(const RgRule *rule);

#endif							/* RG_SETTLE_H */
