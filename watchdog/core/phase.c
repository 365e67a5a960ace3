/*
 * phase.c
 *	  The rows of the cluster's machine.
 */
#include "phase.h"

#include <stddef.h>

static const RgMove moves[] = {
	/* id  from                 on                          to                   why */
	{10, RG_PHASE_STARTING,   RG_INPUT_LEADER_WELL,      RG_PHASE_STEADY,     "the leader of the newest rule answers"},
	{11, RG_PHASE_STARTING,   RG_INPUT_LEADER_DOUBTED,   RG_PHASE_SUSPECTING, "the leader of the newest rule does not answer"},
	{12, RG_PHASE_STARTING,   RG_INPUT_LEADER_WAITED,    RG_PHASE_WAITING,    "the leader is expected back within restart_budget"},
	{13, RG_PHASE_STARTING,   RG_INPUT_LEADER_ALIVE,     RG_PHASE_ALARMED,    "the leader has trouble that no failover may mend"},
	{14, RG_PHASE_STARTING,   RG_INPUT_FAILOVER_CALLED,  RG_PHASE_RECRUITING, "the leader is proven dead"},

	{20, RG_PHASE_STEADY,     RG_INPUT_LEADER_DOUBTED,   RG_PHASE_SUSPECTING, "silence is only a suspicion: ask the helper and the standbys"},
	{21, RG_PHASE_STEADY,     RG_INPUT_LEADER_WAITED,    RG_PHASE_WAITING,    "the leader is expected back within restart_budget"},
	{22, RG_PHASE_STEADY,     RG_INPUT_LEADER_ALIVE,     RG_PHASE_ALARMED,    "the leader has trouble that no failover may mend"},
	{24, RG_PHASE_STEADY,     RG_INPUT_LEADER_BACK,      RG_PHASE_UNDOING,    "a node has promised more than the rule in force: the leader goes on with a rule above that"},
	{23, RG_PHASE_STEADY,     RG_INPUT_FAILOVER_CALLED,  RG_PHASE_RECRUITING, "the leader is proven dead"},
	{25, RG_PHASE_STEADY,     RG_INPUT_LEADER_GIVEN_UP,  RG_PHASE_RECRUITING, "the leader's disk hangs and a standby is better off"},

	{30, RG_PHASE_SUSPECTING, RG_INPUT_LEADER_WELL,      RG_PHASE_STEADY,     "the leader answers again"},
	{31, RG_PHASE_SUSPECTING, RG_INPUT_LEADER_WAITED,    RG_PHASE_WAITING,    "the leader is expected back within restart_budget"},
	{32, RG_PHASE_SUSPECTING, RG_INPUT_LEADER_ALIVE,     RG_PHASE_ALARMED,    "not proven dead: people are told, nothing is done"},
	{33, RG_PHASE_SUSPECTING, RG_INPUT_FAILOVER_CALLED,  RG_PHASE_RECRUITING, "the leader is proven dead"},

	{40, RG_PHASE_WAITING,    RG_INPUT_LEADER_WELL,      RG_PHASE_STEADY,     "the leader came back in time"},
	{41, RG_PHASE_WAITING,    RG_INPUT_LEADER_DOUBTED,   RG_PHASE_SUSPECTING, "the leader does not answer any more"},
	{42, RG_PHASE_WAITING,    RG_INPUT_LEADER_ALIVE,     RG_PHASE_ALARMED,    "not proven dead: people are told, nothing is done"},
	{43, RG_PHASE_WAITING,    RG_INPUT_FAILOVER_CALLED,  RG_PHASE_RECRUITING, "the leader is dead, or restart_budget is used up"},

	{50, RG_PHASE_ALARMED,    RG_INPUT_LEADER_WELL,      RG_PHASE_STEADY,     "the leader answers again"},
	{51, RG_PHASE_ALARMED,    RG_INPUT_LEADER_WAITED,    RG_PHASE_WAITING,    "the leader is expected back within restart_budget"},
	{52, RG_PHASE_ALARMED,    RG_INPUT_LEADER_DOUBTED,   RG_PHASE_SUSPECTING, "the evidence changed"},
	{53, RG_PHASE_ALARMED,    RG_INPUT_FAILOVER_CALLED,  RG_PHASE_RECRUITING, "the leader is proven dead"},

	{60, RG_PHASE_RECRUITING, RG_INPUT_CANDIDATE_CHOSEN, RG_PHASE_PROMOTING,  "the old authority has ended and the candidate lacks nothing"},
	{61, RG_PHASE_RECRUITING, RG_INPUT_LEADER_BACK,      RG_PHASE_UNDOING,    "the leader answers and was not fenced: the recruit was needless"},

	{70, RG_PHASE_PROMOTING,  RG_INPUT_PROMOTED,         RG_PHASE_RULING,     "the candidate has left recovery"},
	{71, RG_PHASE_PROMOTING,  RG_INPUT_CANDIDATE_LOST,   RG_PHASE_RECRUITING, "the candidate failed: recruit the next term"},

	{80, RG_PHASE_RULING,     RG_INPUT_RULE_WRITTEN,     RG_PHASE_STEADY,     "the new leader holds the rule of its term"},
	{81, RG_PHASE_RULING,     RG_INPUT_CANDIDATE_LOST,   RG_PHASE_RECRUITING, "the new leader failed before its rule: recruit the next term"},

	{90, RG_PHASE_UNDOING,    RG_INPUT_RULE_WRITTEN,     RG_PHASE_STEADY,     "the old leader goes on with a rule of the new term"},
	{91, RG_PHASE_UNDOING,    RG_INPUT_FAILOVER_CALLED,  RG_PHASE_RECRUITING, "the leader died while the recruit was undone"},
	{92, RG_PHASE_UNDOING,    RG_INPUT_LEADER_GIVEN_UP,  RG_PHASE_RECRUITING, "the leader's disk does not take its rule and a standby is better off"},

	{100, RG_PHASE_STEADY,    RG_INPUT_SWITCHOVER_ASKED, RG_PHASE_SWITCHING,  "a switchover was asked for and can succeed"},
	{101, RG_PHASE_SWITCHING, RG_INPUT_SWITCHOVER_READY, RG_PHASE_PROMOTING,  "the old leader is stopped and fenced, the target has every byte"},
	{102, RG_PHASE_SWITCHING, RG_INPUT_SWITCHOVER_FAILED, RG_PHASE_UNDOING,   "the leader still runs: it goes on"},
	{103, RG_PHASE_SWITCHING, RG_INPUT_LEADER_DIED,      RG_PHASE_RECRUITING, "the old leader is down and the target lacks something: recruit the next term"},
};

#define NMOVES ((int) (sizeof(moves) / sizeof(moves[0])))

const RgMove *
rg_move_find(RgPhase from, RgInput on)
{
	for (int i = 0; i < NMOVES; i++)
		if (moves[i].from == from && moves[i].on == on)
			return &moves[i];
	return NULL;
}

bool
rg_phase_is_failover(RgPhase phase)
{
	return phase == RG_PHASE_RECRUITING || phase == RG_PHASE_PROMOTING ||
		phase == RG_PHASE_RULING || phase == RG_PHASE_UNDOING || phase == RG_PHASE_SWITCHING;
}

const RgMove *
rg_move_get(int i)
{
	return i >= 0 && i < NMOVES ? &moves[i] : NULL;
}
