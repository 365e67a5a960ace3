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

void
rg_loss_estimate(const RgView *view, RgMemory *m, int from, int to)
{
	RgLoss	   *loss = &m->failover.loss;

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
rg_loss_text(const RgMemory *m, char *buf, unsigned long size)
{
	const RgLoss *loss = &m->failover.loss;

	if (loss->from_lsn == 0)
		buf[0] = '\0';
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
