/*
 * order.c
 *	  Orders of people: may they be carried out, and what do they put in memory?
 *
 * Nothing is done here.  A refusal names what is in the way and, where there is
 * one, the command that helps.  What an order puts into the memory is journalled
 * by the caller before the next round sees it.
 */
#include "order.h"

#include <stdio.h>
#include <string.h>

#include "choose.h"
#include "diagnose.h"
#include "job.h"
#include "learn.h"
#include "phase.h"
#include "trouble.h"

/* A target with more than this to replay would make the gap long. */
#define SWITCH_LAG_MAX (16 * 1024 * 1024)

/* ---- switchover ---- */

/* What is in the way whoever the target is; NULL = nothing. */
static const char *
cluster_trouble(const RgView *view, const RgMemory *m, int leader, char *why)
{
	const RgNodeView *n;

	if (m->phase == RG_PHASE_SWITCHING || m->target[0] != '\0')
	{
		rg_text(why, RG_TEXT_MAX, "a switchover to %s is under way already", m->target);
		return why;
	}
	if (m->phase != RG_PHASE_STEADY || leader < 0 || !rg_view_is_primary(view, leader) ||
		(m->diagnosis != RG_DIAG_HEALTHY && rg_diagnosis_verdict(m->diagnosis) != RG_VERDICT_TROUBLED))
	{
		rg_text(why, RG_TEXT_MAX, "the cluster is not steady (%s, %s): there is no healthy leader to switch over from",
				rg_phase_name(m->phase), rg_diagnosis_name(m->diagnosis));
		return why;
	}
	if (m->diagnosis == RG_DIAG_DISK_HUNG)
	{
		rg_text(why, RG_TEXT_MAX, "the disk of %s hangs, so it can give nothing away: regent failover NODE --accept-loss",
				m->rule.leader);
		return why;
	}
	for (int i = 0; i < RG_JOBS_MAX; i++)
		if (m->jobs[i].id != 0 && m->jobs[i].state == RG_JOB_RUNNING)
		{
			rg_text(why, RG_TEXT_MAX, "%s is being %s%s: wait until that is done (regent status)", m->jobs[i].node,
					m->jobs[i].kind == RG_JOBKIND_ADD ? "added"
					: m->jobs[i].kind == RG_JOBKIND_REMOVE ? "removed" : "rebuilt from ",
					m->jobs[i].kind == RG_JOBKIND_REBUILD ? m->rule.leader : "");
			return why;
		}
	n = &view->nodes[leader];
	if (n->ssh != RG_SSHV_READY)
		rg_text(why, RG_TEXT_MAX, "%s could not be stopped: no SSH session: %.150s", n->name,
				n->ssh_text[0] ? n->ssh_text : "not connected yet");
	else if (!rg_start_equal(&m->nodes[leader].shown, &n->facts.start))
		rg_text(why, RG_TEXT_MAX,
				"%s could not be fenced: its helper has not shown the postmaster that answers us (pid %d)",
				n->name, n->facts.start.pid);
	else if (m->nodes[leader].ungated)
		rg_text(why, RG_TEXT_MAX, "the gate of %s is off or overridden: writes could not be ended before the target takes over",
				n->name);
	/* what an older copy gives away is not all that was acknowledged (F10) */
	else if (!rg_start_equal(&m->nodes[leader].admitted, &n->facts.start) || n->facts.ahead[0] != '\0' ||
			 m->behind_ms != 0)
		rg_text(why, RG_TEXT_MAX, "%s was started a moment ago, and it is not known yet that nobody holds more: try again when its gate is open",
				n->name);
	else
		return NULL;
	return why;
}

/* Why this node can't be the target; NULL = it can. */
static const char *
target_trouble(const RgView *view, const RgMemory *m, int leader, int node, char *why)
{
	const RgNodeView *n = &view->nodes[node];
	const RgFacts *f = &n->facts;

	if (node == leader)
		rg_text(why, RG_TEXT_MAX, "%s leads already", n->name);
	else if (!rg_rule_has_voter(&m->rule, n->name))
		rg_text(why, RG_TEXT_MAX, "%s is no voter of rule %lld", n->name, (long long) m->rule.term);
	else if (n->priority == 0)
		rg_text(why, RG_TEXT_MAX, "%s has priority 0: it is never promoted", n->name);
	else if (rg_memory_is_rebuilding(m, n->name))
		rg_text(why, RG_TEXT_MAX, "%s is to be rebuilt", n->name);
	else if (!rg_view_is_standby(view, node))
		rg_text(why, RG_TEXT_MAX, "%s is no standby that answers: %.150s", n->name,
				n->sql_text[0] ? n->sql_text : "not seen");
	else if (!f->receiver_streaming || (view->nodes[leader].facts.streaming_from_us >> node & 1) == 0)
		rg_text(why, RG_TEXT_MAX, "%s does not stream from %s", n->name, m->rule.leader);
	else if (f->replay_paused)
		rg_text(why, RG_TEXT_MAX, "replay on %s is paused: SELECT pg_wal_replay_resume() there", n->name);
	else if (f->replay_lag_bytes > SWITCH_LAG_MAX)
		rg_text(why, RG_TEXT_MAX, "%s has %lld bytes to replay: try again when it has caught up", n->name,
				(long long) f->replay_lag_bytes);
	else if (!view->settings.promote_sql && n->ssh != RG_SSHV_READY)
		rg_text(why, RG_TEXT_MAX, "%s could not be promoted: no SSH session: %.150s", n->name,
				n->ssh_text[0] ? n->ssh_text : "not connected yet");
	else if (rg_trouble_of_disk(f))
		rg_text(why, RG_TEXT_MAX, "a disk of %s is no better: %s", n->name, f->disk_text);
	else
		return NULL;
	return why;
}

/* Among those that can: no crash loop, then priority, then the name. */
static bool
is_better_target(const RgView *view, const RgMemory *m, int a, int b)
{
	const RgNodeView *x = &view->nodes[a];
	const RgNodeView *y = &view->nodes[b];

	if (rg_trouble_is_looping(view, m, a) != rg_trouble_is_looping(view, m, b))
		return rg_trouble_is_looping(view, m, b);
	if (x->priority != y->priority)
		return x->priority > y->priority;
	return strcmp(x->name, y->name) < 0;
}

const char *
rg_order_switchover_refusal(const RgView *view, const RgMemory *memory, const char *node,
							char *ret_target, char *ret_why)
{
	int			leader = rg_view_find(view, memory->rule.leader);
	int			best = -1;
	char		first[RG_TEXT_MAX] = "";

	ret_target[0] = ret_why[0] = '\0';
	if (cluster_trouble(view, memory, leader, ret_why) != NULL)
		return ret_why;
	if (node != NULL && node[0] != '\0')
	{
		best = rg_view_find(view, node);
		if (best < 0)
			rg_text(ret_why, RG_TEXT_MAX, "there is no node \"%.60s\"", node);
		if (best < 0 || target_trouble(view, memory, leader, best, ret_why) != NULL)
			return ret_why;
	}
	for (int i = 0; i < view->nnodes && (node == NULL || node[0] == '\0'); i++)
	{
		char		why[RG_TEXT_MAX];

		if (target_trouble(view, memory, leader, i, why) == NULL)
			best = best < 0 || is_better_target(view, memory, i, best) ? i : best;
		else if (i != leader && first[0] == '\0')
			rg_text(first, sizeof(first), "%s", why);
	}
	if (best < 0)
	{
		rg_text(ret_why, RG_TEXT_MAX, "no node can take over: %.200s",
				first[0] ? first : "there is no standby");
		return ret_why;
	}
	rg_text(ret_target, RG_CORE_NAME_MAX, "%s", view->nodes[best].name);
	rg_text(ret_why, RG_TEXT_MAX, "%s would take over from %s: %lld bytes to replay",
			view->nodes[best].name, memory->rule.leader,
			(long long) (view->nodes[best].facts.replay_lag_bytes > 0
						 ? view->nodes[best].facts.replay_lag_bytes : 0));
	return NULL;
}

bool
rg_order_switchover(const RgView *view, RgMemory *memory, const char *node, int64_t id, char *ret_why)
{
	char		target[RG_CORE_NAME_MAX];
	RgJob	   *job;

	if (rg_order_switchover_refusal(view, memory, node, target, ret_why) != NULL)
		return false;
	job = rg_job_new(memory, view, id);
	if (job == NULL)
	{
		rg_text(ret_why, RG_TEXT_MAX, "too many jobs are waiting already");
		return false;
	}
	job->kind = RG_JOBKIND_SWITCHOVER;
	rg_text(job->node, sizeof(job->node), "%s", target);
	rg_text(job->source, sizeof(job->source), "%s", memory->rule.leader);
	rg_text(memory->target, sizeof(memory->target), "%s", target);
	return true;
}

/* ---- failover with accepted loss ---- */

void
rg_order_loss(const RgView *view, const RgMemory *m, int node, char *why)
{
	RgPosition	has = rg_choose_position(view, m, node);
	char		lost[120] = "";
	unsigned long len = 0;

	for (int i = 0; i < m->rule.nvoters; i++)
	{
		int			k = rg_view_find(view, m->rule.voters[i]);

		if (k == node || (k >= 0 && rg_view_is_standby(view, k)) || len + RG_CORE_NAME_MAX + 3 > sizeof(lost))
			continue;
		rg_text(lost + len, sizeof(lost) - len, "%s%.*s", len > 0 ? ", " : "", 40, m->rule.voters[i]);
		len = strlen(lost);
	}
	if (m->newest.lsn != 0 && rg_rules_compare_position(&has, &m->newest) < 0 &&
		has.rule_term == m->newest.rule_term && has.timeline == m->newest.timeline)
		rg_text(why, RG_TEXT_MAX, "declared lost: %s; %s has WAL up to " RG_LSN_FORMAT ", at least up to " RG_LSN_FORMAT
				" was there: %llu bytes or more are given up", lost[0] ? lost : "nobody",
				view->nodes[node].name, RG_LSN_ARGS(has.lsn), RG_LSN_ARGS(m->newest.lsn),
				(unsigned long long) (m->newest.lsn - has.lsn));
	else
		rg_text(why, RG_TEXT_MAX, "declared lost: %s; %s has WAL up to " RG_LSN_FORMAT " (rule %lld): what others hold beyond is given up",
				lost[0] ? lost : "nobody", view->nodes[node].name, RG_LSN_ARGS(has.lsn),
				(long long) has.rule_term);
}

/* It is ended and started as a standby: what is in the way of that; NULL = nothing. */
static const char *
anew_trouble(const RgView *view, const RgMemory *m, int node, char *why)
{
	const RgNodeView *n = &view->nodes[node];

	if (!rg_learn_waits_for_a_word(view, m, node))
		return NULL;
	if (n->ssh != RG_SSHV_READY)
		rg_text(why, RG_TEXT_MAX, "%s has to be ended and promoted anew, so that nobody takes its WAL for what others hold, and there is no SSH session to it: %.90s",
				n->name, n->ssh_text[0] ? n->ssh_text : "not connected yet");
	else if (!rg_start_equal(&m->nodes[node].shown, &n->facts.start))
		rg_text(why, RG_TEXT_MAX, "%s has to be ended and promoted anew, and its helper has not shown the postmaster that answers us (pid %d): see regent check",
				n->name, n->facts.start.pid);
	else
		return NULL;
	return why;
}

const char *
rg_order_accept_loss_refusal(const RgView *view, const RgMemory *memory, const char *node, char *ret_why)
{
	int			i = rg_view_find(view, node);
	const char *name = i >= 0 ? view->nodes[i].name : "";

	ret_why[0] = '\0';
	if (i < 0)
		rg_text(ret_why, RG_TEXT_MAX, "there is no node \"%.60s\"", node);
	else if (memory->rule.term == 0)
		rg_text(ret_why, RG_TEXT_MAX, "no node holds a rule: run regent init");
	else if (memory->phase == RG_PHASE_PROMOTING || memory->phase == RG_PHASE_RULING)
		rg_text(ret_why, RG_TEXT_MAX, "%s is being promoted in term %lld: wait for the outcome",
				memory->candidate, (long long) memory->term);
	else if (memory->phase == RG_PHASE_UNDOING || memory->phase == RG_PHASE_SWITCHING)
		rg_text(ret_why, RG_TEXT_MAX, "%s is under way: wait for the outcome", rg_phase_name(memory->phase));
	else if (memory->phase != RG_PHASE_RECRUITING && !rg_learn_waits_for_a_word(view, memory, i) &&
			 rg_diagnosis_verdict(memory->diagnosis) == RG_VERDICT_WELL)
		rg_text(ret_why, RG_TEXT_MAX, "%s leads and is well: regent switchover %s", memory->rule.leader, name);
	else if (memory->phase != RG_PHASE_RECRUITING && memory->diagnosis != RG_DIAG_DISK_HUNG &&
			 rg_diagnosis_verdict(memory->diagnosis) == RG_VERDICT_TROUBLED)
		rg_text(ret_why, RG_TEXT_MAX, "%s leads and can give the lead away without loss: regent switchover %s",
				memory->rule.leader, name);
	else if (memory->diagnosis == RG_DIAG_NOT_OBEYED)
		rg_text(ret_why, RG_TEXT_MAX, "the cluster does not obey this watchdog: regent takeover first");
	else if (!rg_rule_has_voter(&memory->rule, name))
		rg_text(ret_why, RG_TEXT_MAX, "%s is no voter of rule %lld", name, (long long) memory->rule.term);
	else if (view->nodes[i].priority == 0)
		rg_text(ret_why, RG_TEXT_MAX, "%s has priority 0: it is never promoted", name);
	else if (rg_memory_is_rebuilding(memory, name))
		rg_text(ret_why, RG_TEXT_MAX, "%s is being rebuilt", name);
	else if (!rg_view_is_standby(view, i) &&
			 !(rg_view_is_primary(view, i) && strcmp(name, memory->rule.leader) == 0))
		rg_text(ret_why, RG_TEXT_MAX, "%s does not answer as a standby: start it first", name);
	else if (anew_trouble(view, memory, i, ret_why) == NULL)
	{
		rg_order_loss(view, memory, i, ret_why);
		return NULL;
	}
	return ret_why;
}

bool
rg_order_accept_loss(const RgView *view, RgMemory *memory, const char *node, char *ret_why)
{
	if (rg_order_accept_loss_refusal(view, memory, node, ret_why) != NULL)
		return false;
	rg_text(memory->accept_loss, sizeof(memory->accept_loss), "%s", node);
	return true;
}

/* ---- takeover ---- */

const char *
rg_order_takeover_refusal(const RgView *view, const RgMemory *memory, char *ret_why)
{
	int			others = 0;
	int			older = rg_view_outdated_by(view);
	char		who[100] = "";
	unsigned long len = 0;

	ret_why[0] = '\0';
	for (int i = 0; i < view->nnodes; i++)
	{
		if (view->nodes[i].sql != RG_SQL_OTHER_WATCHDOG || len + RG_CORE_NAME_MAX + 3 > sizeof(who))
			continue;
		others++;
		rg_text(who + len, sizeof(who) - len, "%s%s", len > 0 ? ", " : "", view->nodes[i].name);
		len = strlen(who);
	}
	if (older >= 0)
	{
		rg_text(ret_why, RG_TEXT_MAX,
				"%s has seen a later start of this very watchdog: its state directory was copied or restored. Stop this regentd, and remove its state directory before it takes over",
				view->nodes[older].name);
		return ret_why;
	}
	if (others > 0)
		rg_text(ret_why, RG_TEXT_MAX, "%s will obey this watchdog instead of the one that it obeys now", who);
	else if (view->maybe_restored && !memory->confirmed)
		rg_text(ret_why, RG_TEXT_MAX, "the journal of this watchdog, though old, will count as the newest");
	else if (memory->rule.term != 0 && strcmp(memory->rule.watchdog, view->watchdog) != 0)
		rg_text(ret_why, RG_TEXT_MAX, "rule %lld will name this watchdog", (long long) memory->rule.term);
	else
	{
		rg_text(ret_why, RG_TEXT_MAX, "no node obeys another watchdog: there is nothing to take over");
		return ret_why;
	}
	return NULL;
}

bool
rg_order_takeover(const RgView *view, RgMemory *memory, char *ret_why)
{
	if (rg_order_takeover_refusal(view, memory, ret_why) != NULL)
		return false;
	memory->takeover = true;
	memory->confirmed = true;
	return true;
}
