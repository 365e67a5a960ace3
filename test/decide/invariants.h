/*
 * invariants.h
 *	  What must hold for every decision of the core, whatever it was shown.
 *
 * Used after every round of every case and by the random walk of
 * test/unit/t_walk.c.  Header only: both are single programs.
 */
#ifndef INVARIANTS_H
#define INVARIANTS_H

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "watchdog/core/choose.h"
#include "watchdog/core/decide.h"
#include "watchdog/core/lease.h"
#include "watchdog/core/method.h"
#include "watchdog/core/trouble.h"

/* Who was the candidate of which term, over the whole life of a cluster. */
typedef struct InvariantTrail
{
	int			n;
	int64_t		terms[256];
	char		names[256][RG_CORE_NAME_MAX];
} InvariantTrail;

static const char *invariant_broken(char *buf, const char *fmt,...)
			__attribute__((format(printf, 2, 3)));

static const char *
invariant_broken(char *buf, const char *fmt,...)
{
	va_list		ap;

	va_start(ap, fmt);
	vsnprintf(buf, 300, fmt, ap);
	va_end(ap);
	return buf;
}

/* Complete recruits among the voters beside this leader; all voters beside it. */
static void
invariant_count(const RgView *view, const RgMemory *m, const char *leader, int *ret_recruits, int *ret_standbys)
{
	*ret_recruits = *ret_standbys = 0;
	for (int i = 0; i < m->rule.nvoters; i++)
	{
		int			k = rg_view_find(view, m->rule.voters[i]);

		if (strcmp(m->rule.voters[i], leader) == 0 || (m->rule.left_out >> i & 1) != 0)
			continue;
		++*ret_standbys;
		/* one that could not replay everything proves where its WAL ends, if it says so */
		*ret_recruits += k >= 0 && rg_is_recruited(view, k, m->term) &&
			(view->nodes[k].promise.complete || view->nodes[k].promise.held_lsn != 0) &&
			!view->nodes[k].promise.by_primary;
	}
}

/* In sync and strict a candidate is chosen only where nothing acknowledged can be missing. */
static const char *
invariant_of_choice(const RgView *view, const RgMemory *m, char *buf)
{
	int			leader = rg_view_find(view, m->rule.leader);
	int			recruits;
	int			standbys;

	if ((strcmp(m->rule.durability, "sync") != 0 && strcmp(m->rule.durability, "strict") != 0) ||
		m->accept_loss[0] != '\0' || m->failover.planned)
		return NULL;
	invariant_count(view, m, m->rule.leader, &recruits, &standbys);
	if (recruits + m->rule.quorum <= standbys &&
		!(leader >= 0 && rg_is_recruited(view, leader, m->term) && view->nodes[leader].promise.complete &&
		  !view->nodes[leader].promise.by_primary))
		return invariant_broken(buf, "%s is chosen by %d of %d standbys: with quorum %d commits may be missing",
								m->candidate, recruits, standbys, m->rule.quorum);
	return NULL;
}

/* Only the leader of the newest rule is granted leases, and nobody between two leaders. */
static const char *
invariant_of_grants(const RgView *view, const RgMemory *m, char *buf)
{
	for (int i = 0; i < view->nnodes; i++)
	{
		int64_t		term;
		int64_t		until_ms;

		if (!rg_lease_grant(view, m, i, &term, &until_ms))
			continue;
		if (strcmp(view->nodes[i].name, m->rule.leader) != 0 || term != m->rule.term ||
			m->phase == RG_PHASE_RECRUITING || m->phase == RG_PHASE_PROMOTING || m->phase == RG_PHASE_RULING ||
			view->clock_jumped || view->nodes[i].facts.in_recovery)
			return invariant_broken(buf, "%s is granted a lease in phase %s", view->nodes[i].name,
									rg_phase_name(m->phase));
	}
	return NULL;
}

static const char *
invariant_of_step(const RgView *view, const RgDecision *d, const RgStep *step, char *buf)
{
	const RgMemory *m = &d->memory;
	const RgNodeView *n;
	const RgNodeMemory *mem;
	int			rule_leader = rg_view_find(view, m->rule.leader);
	const char *name = rg_step_name(step->kind);

	if (step->kind <= RG_STEP_NONE || step->kind >= RG_STEP_COUNT)
		return invariant_broken(buf, "a step of no kind");
	if (step->node < 0 || step->node >= view->nnodes || step->leader < -1 ||
		step->leader >= view->nnodes)
		return invariant_broken(buf, "%s on unknown node %d (leader %d)", name, step->node, step->leader);
	n = &view->nodes[step->node];
	mem = &m->nodes[step->node];
	if (n->ops[step->kind].state == RG_OP_RUNNING)
		return invariant_broken(buf, "%s on %s although one runs", name, n->name);
	switch (step->kind)
	{
		case RG_STEP_PROMOTE_SQL:
		case RG_STEP_PROMOTE_SSH:
			if (m->phase != RG_PHASE_PROMOTING || strcmp(m->candidate, n->name) != 0 ||
				step->term != m->term)
				return invariant_broken(buf, "%s of %s, which is not the journalled candidate of term %lld",
										name, n->name, (long long) m->term);
			for (int i = 0; i < m->nnodes; i++)
				if (m->nodes[i].must_end && !m->nodes[i].ended)
					return invariant_broken(buf, "%s of %s before the authority of %s has ended", name,
											n->name, m->nodes[i].name);
			if (!rg_is_recruited(view, step->node, m->term) || !n->promise.complete)
				return invariant_broken(buf, "%s of %s, which was not recruited for term %lld in this server start",
										name, n->name, (long long) m->term);
			break;
		case RG_STEP_FENCE:
			if (m->phase != RG_PHASE_RECRUITING && m->phase != RG_PHASE_STEADY &&
				m->phase != RG_PHASE_SWITCHING)
				return invariant_broken(buf, "fence in phase %s", rg_phase_name(m->phase));
			if (step->node == rule_leader && rg_view_is_primary(view, step->node) &&
				!(m->failover.diagnosis == RG_DIAG_HUNG && n->fresh == RG_SQL_SILENT) &&
				!rg_trouble_is_given_up(view, m, step->node) && strcmp(m->accept_loss, n->name) != 0)
				return invariant_broken(buf, "fence of %s, which is the leader and answers", n->name);
			if (m->phase == RG_PHASE_STEADY && step->node == rule_leader)
				return invariant_broken(buf, "fence of the leader %s in a steady cluster", n->name);
			if (mem->shown.pid == 0)
				return invariant_broken(buf, "fence of %s, whose postmaster no helper has shown", n->name);
			break;
		case RG_STEP_START:
			if (mem->half_rewound != RG_REWOUND_WHOLE)
				return invariant_broken(buf, "start of %s, which is rewound by half", n->name);
			if (mem->fenced_term == 0 || !n->probe.fenced || n->probe.postmaster != RG_PM_ABSENT)
				return invariant_broken(buf, "start of %s, which we did not fence", n->name);
			if (m->phase == RG_PHASE_STEADY && step->node == rule_leader)
				return invariant_broken(buf, "start of the leader %s", n->name);
			break;
		case RG_STEP_REWIND:
			if (mem->half_rewound == RG_REWOUND_WHOLE || mem->owes_lsn == 0)
				return invariant_broken(buf, "rewind of %s, and a restart would not know of it", n->name);
			/* fall through */
		case RG_STEP_COPY:
		case RG_STEP_DELTA:
		case RG_STEP_SWAP:
		case RG_STEP_SETTLE:
		case RG_STEP_UNSWAP:
		case RG_STEP_DISCARD:
		case RG_STEP_ABORT:
			if (step->node == rule_leader && step->kind != RG_STEP_SETTLE)
				return invariant_broken(buf, "%s on the leader %s", name, n->name);
			if (step->job == 0)
				return invariant_broken(buf, "%s on %s without a job", name, n->name);
			if (step->kind != RG_STEP_ABORT && (step->ticket <= 0 || step->ticket > m->ticket))
				return invariant_broken(buf, "%s on %s has ticket %lld, the newest is %lld", name, n->name,
										(long long) step->ticket, (long long) m->ticket);
			if ((step->kind == RG_STEP_SWAP || step->kind == RG_STEP_UNSWAP) &&
				(mem->swap_term != step->term || mem->swap_seq != step->rule_seq || mem->owes_lsn == 0))
				return invariant_broken(buf, "%s on %s, and a restart would not know that it may come late", name, n->name);
			if ((step->kind == RG_STEP_COPY || step->kind == RG_STEP_SWAP || step->kind == RG_STEP_DELTA ||
				 step->kind == RG_STEP_REWIND) && !rg_view_is_primary(view, rule_leader))
				return invariant_broken(buf, "%s on %s without a primary", name, n->name);
			if (step->kind != RG_STEP_SWAP && step->leader >= 0 && step->leader != rule_leader &&
				(step->kind == RG_STEP_REWIND || rg_method_source_trouble(view, m, step->leader, buf) != NULL))
				return invariant_broken(buf, "%s on %s from %s", name, n->name, view->nodes[step->leader].name);
			/* a later leader was chosen with what the old directory had */
			for (int i = 0; step->kind == RG_STEP_SETTLE && i < RG_JOBS_MAX; i++)
				if (m->jobs[i].id == step->job && m->jobs[i].term == m->rule.term && mem->owes_lsn != 0)
					return invariant_broken(buf, "settle on %s, which owes", n->name);
			if (step->kind == RG_STEP_SETTLE && mem->swap_term != 0)
				return invariant_broken(buf, "settle on %s, whose swap may still come", n->name);
			break;
		case RG_STEP_WRITE_RULE:
			if (!rg_rule_has_voter(&step->rule, step->rule.leader))
				return invariant_broken(buf, "rule %lld.%d without a vote for its leader %s", (long long) step->rule.term, step->rule.seq, step->rule.leader);
			if (m->phase == RG_PHASE_STEADY)
			{
				if (step->node != rule_leader || strcmp(step->rule.leader, n->name) != 0 ||
					step->rule.term != m->rule.term || step->rule.seq <= m->rule.seq ||
					(step->rule.quorum > step->rule.nvoters - 1 && step->rule.quorum > m->rule.quorum) || step->rule.seq != m->asked.seq ||
					step->rule.term != m->asked.term || step->rule.lease_ms > m->lease_ms ||
					(strcmp(m->rule.durability, "strict") == 0 && m->wish.durability[0] == '\0' &&
					 m->wish.quorum == 0 && step->rule.quorum != m->rule.quorum))
					return invariant_broken(buf, "rule %lld.%d for %s on %s in a steady cluster",
											(long long) step->rule.term, step->rule.seq, step->rule.leader, n->name);
			}
			else if ((m->phase != RG_PHASE_RULING && m->phase != RG_PHASE_UNDOING) ||
				strcmp(m->candidate, n->name) != 0 || strcmp(step->rule.leader, n->name) != 0 ||
				step->rule.term != m->term || step->term != m->term)
				return invariant_broken(buf, "rule %lld for %s on %s in phase %s", (long long) step->rule.term,
										step->rule.leader, n->name, rg_phase_name(m->phase));
			break;
		case RG_STEP_FOLLOW:
			if (step->leader < 0 || step->leader == step->node || !rg_view_is_standby(view, step->node))
				return invariant_broken(buf, "follow on %s, leader %d", n->name, step->leader);
			if (!rg_is_recruited(view, step->node, step->term) &&
				n->facts.terms[n->facts.nterms > 0 ? n->facts.nterms - 1 : 0].term != step->term)
				return invariant_broken(buf, "follow on %s, which has not promised term %lld", n->name,
										(long long) step->term);
			break;
		case RG_STEP_FETCH:
			if (m->phase != RG_PHASE_RECRUITING || step->term != m->term || step->leader < 0 ||
				step->leader == step->node || !rg_is_recruited(view, step->node, m->term) ||
				!rg_is_recruited(view, step->leader, m->term))
				return invariant_broken(buf, "fetch on %s from node %d: both have to be recruited for term %lld",
										n->name, step->leader, (long long) m->term);
			for (int i = 0; i < m->nnodes; i++)
				if (m->nodes[i].must_end && !m->nodes[i].ended)
					return invariant_broken(buf, "fetch on %s before the authority of %s has ended", n->name,
											m->nodes[i].name);
			break;
		case RG_STEP_PROMISE:
			/* a primary only to put it out of office */
			if (!(rg_view_is_standby(view, step->node) ||
				  (rg_view_is_primary(view, step->node) && m->phase == RG_PHASE_RECRUITING && mem->must_end)) ||
				step->term <= 0 || step->term > m->highest_term)
				return invariant_broken(buf, "promise of term %lld on %s", (long long) step->term, n->name);
			break;
		case RG_STEP_CHECKPOINT:
		case RG_STEP_FENCE_SQL:
		case RG_STEP_STOP:
			/* a node that was removed is told so: it has no vote any more */
			if (step->kind == RG_STEP_FENCE_SQL && m->phase == RG_PHASE_STEADY && step->job != 0 &&
				step->node != rule_leader && !rg_rule_has_voter(&m->rule, n->name))
				break;
			if (m->phase != RG_PHASE_SWITCHING)
				return invariant_broken(buf, "%s of %s in phase %s", name, n->name, rg_phase_name(m->phase));
			break;
		case RG_STEP_CLONE:
			if (step->node == rule_leader || rg_rule_has_voter(&m->rule, n->name) || step->job == 0 ||
				step->leader != rule_leader || !rg_view_is_primary(view, rule_leader))
				return invariant_broken(buf, "clone of %s, which votes, or from no primary", n->name);
			break;
		case RG_STEP_TAKEOVER:
			if (!m->takeover || n->sql != RG_SQL_OTHER_WATCHDOG)
				return invariant_broken(buf, "takeover of %s, which nobody ordered or which obeys us", n->name);
			break;
		case RG_STEP_PROBE:
		case RG_STEP_NONE:
		case RG_STEP_COUNT:
			break;
	}
	return NULL;
}

static const char *
invariant_of_memory(const RgView *view, const RgMemory *before, const RgDecision *d,
					InvariantTrail *trail, char *buf)
{
	const RgMemory *m = &d->memory;
	const char *broken = invariant_of_grants(view, m, buf);

	if (broken == NULL && m->phase == RG_PHASE_PROMOTING && before->phase == RG_PHASE_RECRUITING)
		broken = invariant_of_choice(view, m, buf);
	if (broken != NULL)
		return broken;
	if (m->term < before->term && before->phase >= RG_PHASE_RECRUITING)
		return invariant_broken(buf, "the term went back from %lld to %lld", (long long) before->term,
								(long long) m->term);
	if (m->ticket < before->ticket || (m->ticket != before->ticket && !d->must_record))
		return invariant_broken(buf, "ticket %lld after %lld, %srecorded", (long long) m->ticket,
								(long long) before->ticket, d->must_record ? "" : "not ");
	if (m->highest_term < before->highest_term || m->highest_term < m->term)
		return invariant_broken(buf, "highest_term went back from %lld to %lld (term %lld)",
								(long long) before->highest_term, (long long) m->highest_term,
								(long long) m->term);
	if (rg_rules_compare(m->rule.term, m->rule.seq, before->rule.term, before->rule.seq) < 0)
		return invariant_broken(buf, "an older rule replaced a newer one");
	if ((m->phase != before->phase || m->term != before->term || m->highest_term != before->highest_term ||
		 strcmp(m->candidate, before->candidate) != 0 || strcmp(m->target, before->target) != 0 ||
		 m->lease_ms != before->lease_ms || m->confirmed != before->confirmed) && !d->must_record)
		return invariant_broken(buf, "phase, term or candidate changed and is not recorded");
	if (view->clock_jumped && (d->nsteps != 0 || m->phase != before->phase))
		return invariant_broken(buf, "steps or a move although the clock jumped");
	if (m->phase == RG_PHASE_PROMOTING || m->phase == RG_PHASE_RULING || m->phase == RG_PHASE_UNDOING)
	{
		for (int i = 0; i < trail->n; i++)
			if (trail->terms[i] == m->term && strcmp(trail->names[i], m->candidate) != 0)
				return invariant_broken(buf, "term %lld names two candidates: %s and %s",
										(long long) m->term, trail->names[i], m->candidate);
		if ((trail->n == 0 || trail->terms[trail->n - 1] != m->term) && trail->n < 256)
		{
			trail->terms[trail->n] = m->term;
			snprintf(trail->names[trail->n++], RG_CORE_NAME_MAX, "%s", m->candidate);
		}
	}
	return NULL;
}

/* NULL, or what is broken (in buf, 300 bytes). */
static const char *
invariant_of_decision(const RgView *view, const RgMemory *before, const RgDecision *d,
					  InvariantTrail *trail, char *buf)
{
	static RgDecision again;
	const char *broken;

	if (d->nsteps < 0 || d->nsteps > RG_STEPS_MAX || d->nnotes < 0 || d->nnotes > RG_NOTES_MAX)
		return invariant_broken(buf, "%d steps, %d notes", d->nsteps, d->nnotes);
	memset(&again, 0x5a, sizeof(again));
	rg_decide(view, before, &again);
	if (memcmp(&again, d, offsetof(RgDecision, steps)) != 0 ||
		memcmp(again.steps, d->steps, sizeof(d->steps[0]) * (size_t) d->nsteps) != 0 ||
		memcmp(again.notes, d->notes, sizeof(d->notes[0]) * (size_t) d->nnotes) != 0)
		return invariant_broken(buf, "the same input gave another decision");
	for (int i = 0; i < d->nsteps; i++)
	{
		broken = invariant_of_step(view, d, &d->steps[i], buf);
		if (broken != NULL)
			return broken;
		for (int k = 0; k < i; k++)
			if (d->steps[k].kind == d->steps[i].kind && d->steps[k].node == d->steps[i].node)
				return invariant_broken(buf, "%s twice on node %d", rg_step_name(d->steps[i].kind),
										d->steps[i].node);
	}
	for (int i = 0; i < d->nnotes; i++)
		if (d->notes[i].node < -1 || d->notes[i].node >= view->nnodes ||
			memchr(d->notes[i].text, '\0', sizeof(d->notes[i].text)) == NULL)
			return invariant_broken(buf, "a note for node %d", d->notes[i].node);
	if (d->leader < -1 || d->leader >= view->nnodes)
		return invariant_broken(buf, "leader %d", d->leader);
	if (d->ready_reason[0] == '\0')
		return invariant_broken(buf, "ready or not, but no reason");
	return invariant_of_memory(view, before, d, trail, buf);
}

#endif							/* INVARIANTS_H */
