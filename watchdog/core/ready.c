/*
 * ready.c
 *	  The first line of `regent status`: checked before it is needed.
 */
#include "ready.h"

#include <stddef.h>

#include "choose.h"

/* What a failover would need of the leader's host and is not there; NULL = nothing. */
static const char *
leader_trouble(const RgView *view, const RgDecision *d, char *buf)
{
	const RgNodeView *n = &view->nodes[d->leader];

	if (n->ssh != RG_SSHV_READY)
		rg_text(buf, RG_TEXT_MAX, "%s could not be fenced: no SSH session: %.150s", n->name,
				n->ssh_text[0] ? n->ssh_text : "not connected yet");
	else if (!n->probe.valid)
		rg_text(buf, RG_TEXT_MAX, "%s could not be fenced: its helper has not answered yet%s%.120s",
				n->name, n->ops[RG_STEP_PROBE].text[0] ? ": " : "", n->ops[RG_STEP_PROBE].text);
	else if (!rg_start_equal(&d->memory.nodes[d->leader].shown, &n->facts.start))
		rg_text(buf, RG_TEXT_MAX,
				"%s could not be fenced: its helper does not show the postmaster that answers us (pid %d)",
				n->name, n->facts.start.pid);
	else if (n->fresh != RG_SQL_OK && n->fresh != RG_SQL_UNKNOWN)
		rg_text(buf, RG_TEXT_MAX, "new connections to %s fail: %.150s", n->name, n->fresh_text);
	else
		return NULL;
	return buf;
}

void
rg_ready(const RgView *view, RgDecision *d)
{
	RgChoice	choice;
	char		buf[RG_TEXT_MAX];
	const char *trouble = NULL;

	rg_choose_prospect(view, &d->memory, d->leader, &choice);
	for (int i = 0; i < view->nnodes; i++)
	{
		d->eligible[i] = choice.eligible[i];
		rg_text(d->candidate_reasons[i], RG_TEXT_MAX, "%s", choice.reasons[i]);
	}
	d->ready = false;
	if (!view->settings.auto_failover)
		trouble = "auto_failover is off";
	else if (view->clock_jumped)
		trouble = "our clock jumped: watching only";
	else if (d->memory.phase != RG_PHASE_STEADY)
	{
		rg_text(buf, sizeof(buf), "%s, %s: %.150s", rg_phase_name(d->memory.phase),
				rg_diagnosis_name(d->memory.diagnosis),
				d->memory.refusal[0] ? d->memory.refusal : d->evidence);
		trouble = buf;
	}
	else if (d->leader < 0 || !rg_view_is_primary(view, d->leader))
	{
		rg_text(buf, sizeof(buf), "the leader is not seen: %.180s", d->evidence);
		trouble = buf;
	}
	else
		trouble = leader_trouble(view, d, buf);
	if (trouble == NULL && choice.node < 0)
	{
		rg_text(buf, sizeof(buf), "nobody could take over: %.180s", choice.summary);
		trouble = buf;
	}
	else if (trouble == NULL && view->nodes[choice.node].ssh != RG_SSHV_READY &&
			 !view->settings.promote_sql)
	{
		rg_text(buf, sizeof(buf), "%s could not be promoted: no SSH session: %.150s",
				view->nodes[choice.node].name, view->nodes[choice.node].ssh_text);
		trouble = buf;
	}
	if (trouble != NULL)
		rg_text(d->ready_reason, RG_TEXT_MAX, "%s", trouble);
	else
	{
		d->ready = true;
		rg_text(d->ready_reason, RG_TEXT_MAX, "%s would take over", view->nodes[choice.node].name);
	}
}
