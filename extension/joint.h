/*
 * joint.h
 *	  The rules that a leader has to satisfy together.
 *
 * A rule of the same leader that changes voters, durability, quorum or who is left
 * out does not count alone from the moment its row is written: somebody may still
 * act by the one before it.  So from before the row's commit record until enough
 * standbys have flushed it the leader needs the quorums of both: the newest rule, the
 * one before it while that is in question (RgState.previous), and one that is just
 * being written (RgState.pending).  When the older one is out of question it is
 * dropped from the state, for good.
 *
 * Pure C without server headers, like statefile.h.
 */
#ifndef RG_JOINT_H
#define RG_JOINT_H

#include "statefile.h"

#define RG_JOINT_NAMES_MAX 64
#define RG_JOINT_RULES_MAX 3

typedef struct RgJoint
{
	int64_t term;				/* of the newest rule; 0: this node does not lead */
	int32_t seq;
	int nnames;					/* voters of all of them: the bits of the sets */
	char names[RG_JOINT_NAMES_MAX][RG_NAME_SIZE];
	int nrules;					/* the newest, then those in question beside it */
	RgSets rules[RG_JOINT_RULES_MAX];
	bool has_previous;			/* the second one is the one before */
	bool has_pending;			/* the last one is being written */
} RgJoint;

/* Of the node that leads by its newest rule; of any other one an empty one. */
extern void rg_joint_make(const RgState *state, RgJoint *ret_joint);

/* All of them get a lease from who flushed a marker; never if there is none. */
extern bool rg_joint_gives_lease(const RgJoint *joint, uint64_t flushed);

/* A commit has to be flushed by somebody. */
extern bool rg_joint_asks(const RgJoint *joint);

/* By all of them it is acknowledged. */
extern bool rg_joint_acknowledges(const RgJoint *joint, uint64_t flushed);

/* Nobody can be recruited: the leader has no standby by any of them. */
extern bool rg_joint_is_alone(const RgJoint *joint);

/* Those who flushed the newest rule put the one before it out of question. */
extern bool rg_joint_settles(const RgJoint *joint, uint64_t flushed);

/*
 * May the leader write this rule now?  Not one that would have to hold together with
 * two older ones, except by leaving out more standbys, or going back.
 */
extern bool rg_joint_allows(const RgState *state, const RgRule *next);

/* For rg_state_adopt_rule(): is the one before the newest rule still the one in question? */
extern bool rg_joint_keeps_previous(const RgState *state, const RgRule *next);

#endif							/* RG_JOINT_H */
