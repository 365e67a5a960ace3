/*
 * evidence.c
 *	  What silence means: of the leader, of its helper, of its standbys.
 *
 * One silent channel is no evidence of death.  A standby that receives WAL is a
 * sign of the leader's life, for an idle leader writes some while no watchdog
 * speaks to it (attack L3); how long ago that was is told in the standby's own
 * clock, which no time server sets.
 */
#include "evidence.h"

#include <string.h>

/* Waited for longer than the budget: as crashed. */
RgDiagnosis
rg_evidence_within_budget(const RgView *view, const RgMemory *memory, RgDiagnosis d)
{
	if (memory->lost_ms != 0 &&
		view->now_ms - memory->lost_ms > view->settings.restart_budget_ms)
		return RG_DIAG_OVERDUE;
	return d;
}

/*
 * One of the leader's last standbys still streams, heard after our loss, and has
 * received WAL since: its server works, whatever we meet on its port.
 */
int
rg_evidence_streaming(const RgView *view, const RgMemory *memory, int leader)
{
	const RgFacts *f = &view->nodes[leader].facts;
	int64_t		since = (memory->lost_ms != 0 ? memory->lost_ms : view->now_ms) +
		2 * view->settings.heartbeat_interval_ms;

	for (int i = 0; i < view->nnodes; i++)
		if (i != leader && rg_view_is_standby(view, i) && view->nodes[i].facts.receiver_streaming &&
			view->nodes[i].facts_ms > since && rg_view_received_ms(view, i) > since &&
			(!f->valid || (f->streaming_from_us >> i & 1) != 0))
			return i;
	return -1;
}

/* The words come a moment before or after the session is lost; they are remembered for this loss. */
bool
rg_evidence_of_purpose(const RgView *view, const RgMemory *memory, int leader)
{
	const RgNodeView *n = &view->nodes[leader];
	int64_t		since = memory->lost_ms != 0 ? memory->lost_ms : view->now_ms;

	return memory->nodes[leader].purpose_ms != 0 ||
		(n->purpose_ms != 0 && n->purpose_ms >= since - 2000);
}

/*
 * When a standby that answers last received WAL, and which one; 0 = no such standby,
 * never.  One that does not stream counts its own start as a receipt: that is no sign
 * of the leader's life.  Nor is what a cascading node gets from its upstream, which
 * may have had it for long.
 */
static int64_t
last_received_ms(const RgView *view, int leader, bool streaming, int *ret_node)
{
	int64_t		newest = 0;

	*ret_node = -1;
	for (int i = 0; i < view->nnodes; i++)
		if (i != leader && rg_view_answers(view, i) && rg_view_received_ms(view, i) > newest &&
			(view->nodes[i].facts.receiver_streaming || !streaming) &&
			(view->nodes[i].upstream[0] == '\0' || (view->nodes[leader].facts.streaming_from_us >> i & 1) != 0))
		{
			newest = rg_view_received_ms(view, i);
			*ret_node = i;
		}
	return newest;
}

/* So long nobody has heard the leader: neither we nor a standby that answers; -1: no standby answers. */
static int64_t
silence_ms(const RgView *view, int leader)
{
	const RgNodeView *n = &view->nodes[leader];
	int			node;
	int64_t		heard = last_received_ms(view, leader, false, &node);
	bool		anybody = false;

	for (int i = 0; i < view->nnodes; i++)
		anybody = anybody || (i != leader && rg_view_is_standby(view, i));
	if (n->facts_ms > heard)
		heard = n->facts_ms;
	if (view->started_ms > heard)
		heard = view->started_ms;
	return anybody ? view->now_ms - heard : -1;
}

/*
 * Not proven by its host.  But nobody listens there for longer than a restart may
 * take, and no standby hears it: its standbys can end its lease.
 */
RgDiagnosis
rg_evidence_unproven(const RgView *view, const RgMemory *memory, int leader)
{
	return silence_ms(view, leader) > rg_memory_lease_ms(memory, view) / 2
		? rg_evidence_within_budget(view, memory, RG_DIAG_UNPROVEN) : RG_DIAG_UNPROVEN;
}

/* Neither server nor helper answer: what do the others see? */
RgDiagnosis
rg_evidence_of_standbys(const RgView *view, const RgMemory *memory, int leader, char *text,
					 unsigned long size)
{
	const RgNodeView *n = &view->nodes[leader];
	int64_t		half = rg_memory_lease_ms(memory, view) / 2;
	int64_t		silence = silence_ms(view, leader);
	int			node;
	int64_t		received = last_received_ms(view, leader, true, &node);
	int64_t		answered = n->facts_ms > view->started_ms ? n->facts_ms : view->started_ms;

	if (silence < 0)
	{
		rg_text(text, size, "neither %s nor any other node answers", n->name);
		return RG_DIAG_ISOLATED;
	}
	if (node >= 0 && received > answered + 2 * view->settings.heartbeat_interval_ms &&
		view->now_ms - received <= half)
	{
		rg_text(text, size, "%s received from %s %lld ms ago, after our last answered heartbeat",
				view->nodes[node].name, n->name, (long long) (view->now_ms - received));
		return RG_DIAG_CUT_OFF;
	}
	if (silence > half)
	{
		rg_text(text, size, "%s and its SSH are silent; no standby received anything for %lld ms",
				n->name, (long long) silence);
		return RG_DIAG_HOST_LOST;
	}
	rg_text(text, size, "%s and its SSH are silent for %lld ms", n->name, (long long) silence);
	return RG_DIAG_SUSPECT;
}

/*
 * The session to the helper looks open, but what was asked since the loss is not
 * answered: a host that is cut off or frozen looks so.
 */
bool
rg_evidence_helper_is_silent(const RgView *view, const RgMemory *memory, int leader)
{
	const RgNodeView *n = &view->nodes[leader];
	int64_t		since = memory->lost_ms != 0 ? memory->lost_ms : view->now_ms;
	const RgOp *op = &n->ops[RG_STEP_PROBE];

	if (n->ssh != RG_SSHV_READY || op->began_ms < since)
		return false;
	if (op->state == RG_OP_LOST)
		return true;
	return op->state == RG_OP_RUNNING && view->now_ms - op->began_ms >= rg_memory_lease_ms(memory, view) / 4;
}
