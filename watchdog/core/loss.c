/*
 * loss.c
 *	  The WAL of an old leader that its successor does not have.
 *
 * At the end of a failover only what was shown is known.  When the old leader is
 * brought back its helper reads the WAL itself, before anything is changed, and
 * keeps it.  In sync and strict none of it was acknowledged: the successor was
 * chosen with all that was.
 */
#include "loss.h"

#include <stdio.h>
#include <string.h>

#include "choose.h"
#include "extension/mutant.h"

void
rg_loss_estimate(const RgView *view, RgMemory *m, int from, int to)
{
	RgLoss	   *loss = &m->failover.loss;

	/* it goes on itself, by order: what is given up was noted before it was ended */
	if (from == to)
		return;
	memset(loss, 0, sizeof(*loss));
	if (from < 0 || to < 0 || view->nodes[to].promise.term != m->term)
		return;
	loss->from_lsn = loss->to_lsn = view->nodes[to].promise.position.lsn;
	if (view->nodes[from].facts.valid && !view->nodes[from].facts.in_recovery &&
		view->nodes[from].facts.timeline == view->nodes[to].promise.position.timeline &&
		view->nodes[from].facts.current_lsn > loss->to_lsn)
		loss->to_lsn = view->nodes[from].facts.current_lsn;
	loss->bytes = (int64_t) (loss->to_lsn - loss->from_lsn);
}

void
rg_loss_note_fork(const RgView *view, RgMemory *m, int leader)
{
	RgLoss	   *loss = &m->failover.loss;
	RgPosition	has = rg_choose_is_behind(view, m, leader) ? rg_choose_start_position(view, m, leader)
		: rg_choose_position(view, m, leader);

	if (loss->from_lsn == 0 || has.lsn < loss->from_lsn)
		loss->from_lsn = has.lsn;
	if (loss->to_lsn < loss->from_lsn)
		loss->to_lsn = loss->from_lsn;
	if (m->newest.lsn > loss->to_lsn)
		loss->to_lsn = m->newest.lsn;
	for (int i = 0; i < view->nnodes; i++)
		if (i != leader && view->nodes[i].facts.in_recovery && rg_choose_position(view, m, i).lsn > loss->to_lsn)
			loss->to_lsn = rg_choose_position(view, m, i).lsn;
	loss->bytes = (int64_t) (loss->to_lsn - loss->from_lsn);
}

void
rg_loss_give_up(const RgView *view, RgMemory *m, int leader)
{
	RgPosition	has = rg_choose_position(view, m, leader);
	uint64_t	fork = m->failover.loss.from_lsn;
	bool		lacks = rg_rules_compare_position(&m->newest, &has) > 0;

	/* what a standby holds it has received; a leader has written WAL of its own */
	if (strcmp(m->rule.leader, view->nodes[leader].name) != 0 || RG_MUTANT(74))
		return;
	for (int i = 0; i < view->nnodes; i++)
	{
		RgPosition	p = rg_choose_position(view, m, i);

		lacks = lacks || (i != leader && rg_rules_compare_position(&p, &has) > 0);
	}
	/* where it began was not seen, and it lacks nothing that was: it only crashed */
	if (fork == 0 && !lacks)
		return;
	for (int i = 0; i < view->nnodes; i++)
		if (i != leader && !(rg_view_is_standby(view, i) && rg_choose_position(view, m, i).lsn <= fork))
			m->nodes[i].strayed = true;
}

void
rg_loss_text(const RgMemory *m, char *buf, unsigned long size)
{
	const RgLoss *loss = &m->failover.loss;

	if (loss->from_lsn == 0)
		buf[0] = '\0';
	else if (strcmp(m->failover.from, m->rule.leader) == 0)
		rg_text(buf, size, "; it goes on by order from " RG_LSN_FORMAT ", %lld bytes of WAL or more are given up",
				RG_LSN_ARGS(loss->from_lsn), (long long) loss->bytes);
	else if (loss->bytes == 0)
		rg_text(buf, size, "; %s had shown no WAL beyond " RG_LSN_FORMAT, m->failover.from, RG_LSN_ARGS(loss->from_lsn));
	else
		rg_text(buf, size, "; %lld bytes of WAL or more are given up: %s had shown " RG_LSN_FORMAT ", the new timeline begins at " RG_LSN_FORMAT,
				(long long) loss->bytes, m->failover.from, RG_LSN_ARGS(loss->to_lsn), RG_LSN_ARGS(loss->from_lsn));
}

void
rg_loss_measure(const RgView *view, RgDecision *d, int node)
{
	RgMemory   *m = &d->memory;
	const RgLoss *found = &view->nodes[node].diverged;
	bool		is_sync = rg_rule_is_sync(&m->rule) && m->failover.given_up[0] == '\0';

	if (!found->measured)
		return;
	/* only that of the last failover is the loss of it */
	if (strcmp(m->failover.from, view->nodes[node].name) == 0 && !m->failover.planned)
		m->failover.loss = *found;
	if (found->bytes > 0)
		rg_decision_note(d, RG_EVENT_LOSS_MEASURED, node, 0, !is_sync,
						 "%s held %lld bytes of WAL (%lld transactions) beyond the fork, from " RG_LSN_FORMAT " to " RG_LSN_FORMAT "%s%s; %s",
						 view->nodes[node].name, (long long) found->bytes, (long long) found->transactions,
						 RG_LSN_ARGS(found->from_lsn), RG_LSN_ARGS(found->to_lsn), found->kept[0] ? ", kept there in " : "",
						 found->kept, is_sync ? "no acknowledged commit is among them"
						 : "commits that clients were told of may be among them");
}
