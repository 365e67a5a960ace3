/*
 * joint.c
 *	  The rules that a leader has to satisfy together.
 *
 * The chain never holds more than two rules whose sets differ: a third one may be
 * written only where one of the two says nothing that the other two don't.  That is
 * so for a rule that differs in lease or watchdog only; for one that goes back to the
 * one before; for one that only leaves more standbys out: whatever it acknowledges
 * meets the recruits of the rule in the middle as well, those apart that the watchdog
 * has in its journal as left out; and for async of the same voters, which promises
 * nothing.
 */
#include "joint.h"

#include <string.h>

/* The node's bit; joint gets its name if there is room. */
static uint64_t
bit_of(RgJoint *joint, const char *name)
{
	for (int i = 0; i < joint->nnames; i++)
		if (strcmp(joint->names[i], name) == 0)
			return UINT64_C(1) << i;
	if (joint->nnames == RG_JOINT_NAMES_MAX)
		return 0;
	strcpy(joint->names[joint->nnames], name);
	return UINT64_C(1) << joint->nnames++;
}

static void
make_sets(RgJoint *joint, const RgRule *rule, RgSets *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (int i = 0; i < rule->nvoters; i++)
		if (strcmp(rule->voters[i], rule->leader) != 0)
			ret->standbys |= bit_of(joint, rule->voters[i]);
	ret->is_async = strcmp(rule->durability, "async") == 0;
	ret->counted = ret->standbys;
	for (int i = 0; i < rule->nleft_out; i++)
		ret->counted &= ~bit_of(joint, rule->left_out[i]);
	ret->quorum = ret->is_async ? 0 : rule->quorum;
}

/* The rule before it that may still be in question: the same leader's. */
static bool
is_in_question(const RgState *state)
{
	return state->has_rule && state->has_previous && strcmp(state->rule.leader, state->previous.leader) == 0;
}

void
rg_joint_make(const RgState *state, RgJoint *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (!rg_state_leads(state))
		return;
	ret->term = state->rule.term;
	ret->seq = state->rule.seq;
	make_sets(ret, &state->rule, &ret->rules[ret->nrules++]);
	ret->has_previous = is_in_question(state);
	if (ret->has_previous)
		make_sets(ret, &state->previous, &ret->rules[ret->nrules++]);
	ret->has_pending = state->has_pending && strcmp(state->pending.leader, state->node) == 0;
	if (ret->has_pending)
		make_sets(ret, &state->pending, &ret->rules[ret->nrules++]);
}

bool
rg_joint_gives_lease(const RgJoint *joint, uint64_t flushed)
{
	for (int i = 0; i < joint->nrules; i++)
		if (!rg_sets_give_lease(&joint->rules[i], flushed))
			return false;
	return joint->nrules > 0;
}

bool
rg_joint_asks(const RgJoint *joint)
{
	for (int i = 0; i < joint->nrules; i++)
		if (joint->rules[i].quorum > 0)
			return true;
	return false;
}

bool
rg_joint_acknowledges(const RgJoint *joint, uint64_t flushed)
{
	for (int i = 0; i < joint->nrules; i++)
		if (!rg_sets_acknowledge(&joint->rules[i], flushed))
			return false;
	return true;
}

bool
rg_joint_is_alone(const RgJoint *joint)
{
	for (int i = 0; i < joint->nrules; i++)
		if (joint->rules[i].standbys != 0)
			return false;
	return true;
}

bool
rg_joint_settles(const RgJoint *joint, uint64_t flushed)
{
	return !joint->has_previous || rg_sets_settle(&joint->rules[1], &joint->rules[0], flushed);
}

/* How the next rule stands to the newest one and to the one in question before it. */
static void
compare_next(const RgState *state, const RgRule *next, RgSets *ret_next, RgSets *ret_rule, RgSets *ret_previous)
{
	static const RgJoint none = {0};
	RgJoint names = none;

	make_sets(&names, &state->rule, ret_rule);
	make_sets(&names, &state->previous, ret_previous);
	make_sets(&names, next, ret_next);
}

bool
rg_joint_allows(const RgState *state, const RgRule *next)
{
	RgSets after;
	RgSets rule;
	RgSets previous;

	if (!is_in_question(state) || strcmp(state->rule.leader, next->leader) != 0)
		return true;
	compare_next(state, next, &after, &rule, &previous);
	return rg_sets_equal(&previous, &rule) || rg_sets_equal(&after, &rule) || rg_sets_equal(&after, &previous) ||
		rg_sets_leave_out(&rule, &after) ||
		(after.is_async && after.standbys == rule.standbys && rule.standbys == previous.standbys);
}

bool
rg_joint_keeps_previous(const RgState *state, const RgRule *next)
{
	RgSets after;
	RgSets rule;
	RgSets previous;

	if (!is_in_question(state) || strcmp(state->rule.leader, next->leader) != 0)
		return false;
	compare_next(state, next, &after, &rule, &previous);
	return !rg_sets_equal(&after, &previous) &&
		(rg_sets_equal(&after, &rule) || rg_sets_leave_out(&rule, &after));
}
