/*
 * choose.c
 *	  The total order of candidates.
 */
#include "choose.h"

#include <stdio.h>
#include <string.h>

#include "contender.h"
#include "decide.h"
#include "extension/mutant.h"
#include "fetch.h"
#include "recruit.h"
#include "trouble.h"

bool
rg_is_recruited(const RgView *view, int node, int64_t term)
{
	const RgNodeView *n = &view->nodes[node];

	return n->promise.term == term && n->facts.valid &&
		rg_start_equal(&n->promise.start, &n->facts.start);
}

static void
explain_behind(const RgView *view, const RgContender *c, int node, int best, RgChoice *choice)
{
	const RgPosition *p = &c[node].position;
	const RgPosition *q = &c[best].position;

	if (c[best].stuck && p->timeline == q->timeline)
		rg_text(choice->reasons[node], RG_TEXT_MAX,
				"has WAL up to " RG_LSN_FORMAT ", %s up to " RG_LSN_FORMAT ", not all of it replayed",
				RG_LSN_ARGS(c[node].held), view->nodes[best].name, RG_LSN_ARGS(c[best].held));
	else if (p->rule_term != q->rule_term)
		rg_text(choice->reasons[node], RG_TEXT_MAX, "holds rule %lld, %s holds rule %lld",
				(long long) p->rule_term, view->nodes[best].name, (long long) q->rule_term);
	else if (p->timeline != q->timeline)
		rg_text(choice->reasons[node], RG_TEXT_MAX, "is on timeline %u, %s on %u",
				p->timeline, view->nodes[best].name, q->timeline);
	else
		rg_text(choice->reasons[node], RG_TEXT_MAX,
				"has WAL up to " RG_LSN_FORMAT ", %s up to " RG_LSN_FORMAT " (%llu bytes more)",
				RG_LSN_ARGS(p->lsn), view->nodes[best].name, RG_LSN_ARGS(q->lsn),
				(unsigned long long) (q->lsn - p->lsn));
}

static void
explain_stale(const RgView *view, const RgMemory *memory, const RgContender *c, int node, RgChoice *choice)
{
	rg_text(choice->reasons[node], RG_TEXT_MAX,
			"%s when %s was last seen: it has WAL up to " RG_LSN_FORMAT ", " RG_LSN_FORMAT
			" was there; wait for %s, or regent failover %s --accept-loss",
			view->settings.max_lag_ms > 0 ? "was further behind than max_lag_time" : "had not streamed for a while",
			memory->rule.leader, RG_LSN_ARGS(c[node].position.lsn), RG_LSN_ARGS(memory->newest.lsn),
			memory->rule.leader, view->nodes[node].name);
}

/* What an operator can do when the most advanced one may not lead by itself. */
static const char *
way_out(const RgView *view, const RgMemory *memory, const RgContender *c, int best)
{
	if (!rg_rule_has_voter(&memory->rule, view->nodes[best].name))
		return "; regent failover NODE --accept-loss takes a voter";
	if (view->nodes[best].priority == 0)
		return "; regent failover NODE --accept-loss takes another one";
	if (c[best].stuck || memory->nodes[best].left_out || memory->nodes[best].strayed ||
		rg_choose_is_older(view, memory, best))
		return "; or regent failover NODE --accept-loss";
	return "";
}

static void
choose_among(const RgView *view, const RgMemory *memory, int leader, const RgContender *c,
			 RgChoice *choice)
{
	int			best = rg_contender_most_advanced(view, c);
	int			chosen = -1;

	for (int i = 0; i < view->nnodes; i++)
	{
		const char *why;

		if (!c[i].present)
			continue;
		why = rg_contender_exclusion(view, memory, i);
		if (why != NULL)
			rg_text(choice->reasons[i], RG_TEXT_MAX, "%s", why);
		else if (c[i].stuck)
			rg_text(choice->reasons[i], RG_TEXT_MAX,
					"has promised, but could not replay all its WAL in time: it has WAL up to " RG_LSN_FORMAT,
					RG_LSN_ARGS(c[i].held));
		else if (rg_contender_compare(&c[i], &c[best]) < 0)
			explain_behind(view, c, i, best, choice);
		else if (rg_contender_is_stale(memory, i, &c[i].position))
			explain_stale(view, memory, c, i, choice);
		else if (c[i].position.rule_term < memory->rule.term)
			rg_text(choice->reasons[i], RG_TEXT_MAX,
					"has never streamed in term %lld: it holds rule %lld", (long long) memory->rule.term,
					(long long) c[i].position.rule_term);
		else
		{
			choice->eligible[i] = true;
			if (chosen < 0 || rg_contender_compare_equals(view, memory, leader, i, chosen) > 0)
				chosen = i;
		}
	}
	choice->node = chosen;
	for (int i = 0; i < view->nnodes; i++)
		if (choice->eligible[i] && i != chosen)
			rg_text(choice->reasons[i], RG_TEXT_MAX, "as advanced as %s, which comes first by %s",
					view->nodes[chosen].name,
					rg_contender_failed_before(view, i) ? "its earlier failure"
					: memory->nodes[i].must_end && !memory->nodes[chosen].must_end ? "not having led"
					: rg_trouble_of_disk(&view->nodes[i].facts) ? "its disk"
					: view->nodes[i].priority != view->nodes[chosen].priority ? "priority"
					: "synchronous state or name");
	if (chosen >= 0)
	{
		rg_text(choice->reasons[chosen], RG_TEXT_MAX, "most advanced: rule %lld, timeline %u, WAL up to "
				RG_LSN_FORMAT, (long long) c[chosen].position.rule_term, c[chosen].position.timeline,
				RG_LSN_ARGS(c[chosen].position.lsn));
		rg_text(choice->summary, RG_TEXT_MAX, "%s: %.200s", view->nodes[chosen].name,
				choice->reasons[chosen]);
	}
	else if (best >= 0)
		rg_text(choice->summary, RG_TEXT_MAX, "nobody: %s has the most (up to " RG_LSN_FORMAT ") but %.150s%s",
				view->nodes[best].name, RG_LSN_ARGS(c[best].held), choice->reasons[best], way_out(view, memory, c, best));
	else
		rg_text(choice->summary, RG_TEXT_MAX, "nobody: no standby's position is known");
}

/* A node that promised and is gone: it may hold more than the others. */
static bool
is_gone(const RgView *view, int node)
{
	return !rg_view_is_standby(view, node);
}

/* It led before, and was recruited as a standby. */
static bool
is_old_leader(const RgMemory *memory, int node)
{
	return memory->nodes[node].must_end;
}

static void
mark_present(const RgView *view, const RgContender *c, bool (*but)(const RgView *, int), bool *ret)
{
	for (int i = 0; i < view->nnodes; i++)
		ret[i] = c[i].present && !(but != NULL && but(view, i));
}

/*
 * Whoever is gone is waited for until the deadline.  Then it is passed over where
 * the others hold every acknowledged commit without it; in async that is always so.
 */
static void
pass_over_gone(const RgView *view, const RgMemory *memory, RgContender *c, RgChoice *choice)
{
	bool		counted[RG_CORE_NODES_MAX] = {false};

	if (rg_memory_phase_age_ms(memory, view) < RG_RECRUIT_DEADLINE_MS)
		return;
	mark_present(view, c, is_gone, counted);
	if (!rg_recruit_meets_history(view, memory, counted, NULL))
		return;
	for (int i = 0; i < view->nnodes; i++)
		if (c[i].present && is_gone(view, i))
		{
			c[i].present = false;
			rg_text(choice->reasons[i], RG_TEXT_MAX, "has promised, but does not answer any more");
		}
}

/* It holds a rule that asks for a count, and so all that was acknowledged without one before. */
static bool
holds_sync_rule(const RgView *view, int node)
{
	const RgNodeView *n = &view->nodes[node];

	return rg_rule_is_sync(n->promise.rule.term != 0 ? &n->promise.rule : &n->facts.rule);
}

/*
 * In sync and strict an old leader's own tail was never acknowledged where the
 * standbys alone hold all that was: it must not stand in their way.  Where they have
 * not received the rule yet that asks for a count, it was acknowledged by the leader alone.
 */
static bool
choose_without_old_leaders(const RgView *view, const RgMemory *memory, int leader, const RgContender *c,
						   RgChoice *choice)
{
	RgContender	others[RG_CORE_NODES_MAX];
	bool		counted[RG_CORE_NODES_MAX] = {false};
	RgChoice	found = *choice;
	bool		left_out = false;

	if (!rg_rule_is_sync(&memory->rule))
		return false;
	memcpy(others, c, sizeof(others));
	for (int i = 0; i < view->nnodes; i++)
		if (c[i].present && is_old_leader(memory, i))
		{
			others[i].present = false;
			left_out = true;
			rg_text(found.reasons[i], RG_TEXT_MAX, "led before; the standbys hold every acknowledged commit");
		}
	mark_present(view, others, NULL, counted);
	if (!left_out || !rg_recruit_meets_history(view, memory, counted, NULL))
		return false;
	choose_among(view, memory, leader, others, &found);
	if (found.node < 0 || !holds_sync_rule(view, found.node))
		return false;
	*choice = found;
	return true;
}

/* The operator's choice, whatever it lacks. */
static void
choose_by_order(const RgView *view, const RgMemory *memory, const RgContender *c, RgChoice *choice)
{
	int			node = rg_view_find(view, memory->accept_loss);
	const char *why = node < 0 ? "is not in the configuration" : rg_contender_exclusion(view, memory, node);

	for (int i = 0; i < view->nnodes; i++)
		if (c[i].present && i != node)
			rg_text(choice->reasons[i], RG_TEXT_MAX, "passed over: the operator accepts a loss for %s",
					memory->accept_loss);
	if (why == NULL && c[node].present && c[node].stuck)
		why = "has promised, but could not replay all its WAL in time";
	if (node < 0 || !c[node].present || why != NULL)
	{
		rg_text(choice->summary, RG_TEXT_MAX, "%s, for which the operator accepts a loss, %.120s",
				memory->accept_loss, why != NULL ? why : choice->reasons[node]);
		return;
	}
	choice->node = node;
	choice->eligible[node] = true;
	rg_text(choice->reasons[node], RG_TEXT_MAX, "by order, with accepted loss: rule %lld, timeline %u, WAL up to "
			RG_LSN_FORMAT, (long long) c[node].position.rule_term, c[node].position.timeline,
			RG_LSN_ARGS(c[node].position.lsn));
	rg_text(choice->summary, RG_TEXT_MAX, "%s: %.200s", view->nodes[node].name, choice->reasons[node]);
}

/*
 * What lies on a timeline whose term has no rule here was begun by a promotion that
 * never opened, or whose rule has not come: it counts up to where that began (F2).
 */
static void
leave_unruled(RgPosition *p, const RgTermEnd *terms, int count)
{
	for (int i = 0; i < count; i++)
		if (terms[i].term == p->rule_term && terms[i].end_lsn != 0 && terms[i].timeline < p->timeline)
		{
			p->timeline = terms[i].timeline;
			p->lsn = terms[i].end_lsn;
		}
}

/* What is there, and what was: so it is known what waiting is for. */
static void
add_positions(const RgView *view, const RgMemory *memory, const RgContender *c, char *summary)
{
	char		why[RG_TEXT_MAX];
	int			best = rg_contender_most_advanced(view, c);

	if (best < 0 || memory->newest.lsn == 0)
		return;
	memcpy(why, summary, sizeof(why));
	rg_text(summary, RG_TEXT_MAX, "%s has WAL up to " RG_LSN_FORMAT ", " RG_LSN_FORMAT " was seen: %.190s",
			view->nodes[best].name, RG_LSN_ARGS(c[best].position.lsn), RG_LSN_ARGS(memory->newest.lsn), why);
}

/* Who has promised, and with what. */
static void
take_promises(const RgView *view, const RgMemory *memory, int64_t term, RgContender *c, RgChoice *choice)
{
	for (int i = 0; i < view->nnodes; i++)
	{
		const RgNodeView *n = &view->nodes[i];

		if (!rg_is_recruited(view, i, term) || n->promise.by_primary)
			rg_text(choice->reasons[i], RG_TEXT_MAX, "has not promised term %lld%s%.120s",
					(long long) term, n->ops[RG_STEP_PROMISE].text[0] ? ": " : "",
					n->ops[RG_STEP_PROMISE].text);
		else if (!n->promise.complete && n->promise.held_lsn == 0)
			rg_text(choice->reasons[i], RG_TEXT_MAX,
					"has promised, but could not replay all its WAL in time");
		else
		{
			c[i].present = true;
			c[i].stuck = !n->promise.complete;
			c[i].position = n->promise.position;
			/* the rule of that timeline may stand in what is not replayed, or was not read yet */
			if (!c[i].stuck)
				leave_unruled(&c[i].position, n->promise.terms, n->promise.nterms);
			if (rg_choose_is_older(view, memory, i))
				c[i].position.lsn = n->facts.start_lsn;
			c[i].held = c[i].position.lsn == n->promise.position.lsn && n->promise.held_lsn > c[i].position.lsn
				? n->promise.held_lsn : c[i].position.lsn;
		}
	}
}

/* In async those that are stuck are passed over, when nobody can get what they have. */
static bool
pass_over_stuck(const RgView *view, const RgMemory *memory, RgContender *c)
{
	bool		counted[RG_CORE_NODES_MAX];
	bool		any = false;

	mark_present(view, c, NULL, counted);
	for (int i = 0; i < view->nnodes; i++)
	{
		any = any || (c[i].present && c[i].stuck);
		c[i].present = c[i].present && !c[i].stuck;
	}
	return any && !rg_recruit_owes_history(view, memory, counted);
}

void
rg_choose(const RgView *view, const RgMemory *memory, int64_t term, int leader,
		  RgChoice *ret_choice)
{
	RgContender	c[RG_CORE_NODES_MAX];
	bool		counted[RG_CORE_NODES_MAX] = {false};

	memset(c, 0, sizeof(c));
	memset(ret_choice, 0, sizeof(*ret_choice));
	ret_choice->node = ret_choice->fetcher = ret_choice->source = -1;
	take_promises(view, memory, term, c, ret_choice);
	if (memory->accept_loss[0] != '\0')
	{
		choose_by_order(view, memory, c, ret_choice);
		return;
	}
	pass_over_gone(view, memory, c, ret_choice);
	mark_present(view, c, NULL, counted);
	if (!rg_recruit_meets_history(view, memory, counted, ret_choice->summary))
	{
		add_positions(view, memory, c, ret_choice->summary);
		return;
	}
	if (!choose_without_old_leaders(view, memory, leader, c, ret_choice))
		choose_among(view, memory, leader, c, ret_choice);
	rg_fetch_choose(view, memory, leader, c, true, ret_choice);
	if (ret_choice->node < 0 && ret_choice->fetcher < 0 && pass_over_stuck(view, memory, c))
		choose_among(view, memory, leader, c, ret_choice);
}

void
rg_choose_prospect(const RgView *view, const RgMemory *memory, int leader, RgChoice *ret_choice)
{
	RgContender	c[RG_CORE_NODES_MAX];

	memset(c, 0, sizeof(c));
	memset(ret_choice, 0, sizeof(*ret_choice));
	ret_choice->node = ret_choice->fetcher = ret_choice->source = -1;
	for (int i = 0; i < view->nnodes; i++)
	{
		const RgNodeView *n = &view->nodes[i];
		const RgFacts *f = &n->facts;

		if (i == leader)
			rg_text(ret_choice->reasons[i], RG_TEXT_MAX, "leads");
		else if (!rg_view_is_standby(view, i))
			rg_text(ret_choice->reasons[i], RG_TEXT_MAX, "is no standby that answers");
		else
		{
			/* a moment apart in the stream is no difference before a failure */
			c[i].present = true;
			c[i].position.rule_term = f->rule.term;
			c[i].position.rule_seq = f->rule.seq;
			c[i].position.timeline = f->timeline;
			c[i].position.lsn = rg_facts_held_lsn(f);
			if (leader >= 0 && f->receiver_streaming &&
				f->replay_lag_bytes >= 0 && f->replay_lag_bytes < 1024 * 1024)
				c[i].position.lsn = view->nodes[leader].facts.current_lsn;
			c[i].held = c[i].position.lsn;
		}
	}
	choose_among(view, memory, leader, c, ret_choice);
	rg_fetch_choose(view, memory, leader, c, false, ret_choice);
	if (ret_choice->fetcher >= 0)
	{
		ret_choice->node = ret_choice->fetcher;
		ret_choice->eligible[ret_choice->node] = true;
		rg_text(ret_choice->reasons[ret_choice->node], RG_TEXT_MAX, "once it has fetched what it lacks from %s",
				view->nodes[ret_choice->source].name);
	}
}

bool
rg_choose_has_lost_wal(const RgNodeView *node, const RgTermEnd *leader_terms, int count)
{
	const RgPromise *p = &node->promise;
	const RgTermEnd *last = p->nterms > 0 ? &p->terms[p->nterms - 1] : NULL;

	if (last == NULL || node->facts.rule.term != last->term ||
		strcmp(node->facts.rule.leader, node->name) != 0)
		return false;
	for (int i = 0; i < count; i++)
		if (leader_terms[i].term == last->term)
			return leader_terms[i].end_lsn != 0 && p->position.timeline == leader_terms[i].timeline &&
				p->position.lsn < leader_terms[i].end_lsn;
	return false;
}

RgPosition
rg_choose_position(const RgView *view, const RgMemory *memory, int node)
{
	const RgNodeView *n = &view->nodes[node];
	const RgFacts *f = &n->facts;
	bool		has_promised = rg_is_recruited(view, node, memory->term) && n->promise.complete &&
		!n->promise.by_primary;
	RgPosition	p;

	memset(&p, 0, sizeof(p));
	if (!f->valid)
		return has_promised ? n->promise.position : p;
	p.rule_term = f->rule.term;
	p.rule_seq = f->rule.seq;
	p.timeline = f->timeline;
	if (!f->in_recovery)
		p.lsn = f->current_lsn > f->flush_lsn ? f->current_lsn : f->flush_lsn;
	else
		p.lsn = rg_facts_held_lsn(f);
	leave_unruled(&p, f->terms, f->nterms);
	/* in one start of a server a position only grows; once promoted it is past its promise */
	if (has_promised)
	{
		RgPosition	promised = n->promise.position;

		leave_unruled(&promised, n->promise.terms, n->promise.nterms);
		if (rg_rules_compare_position(&promised, &p) > 0)
			return promised;
	}
	return p;
}

bool
rg_choose_is_older(const RgView *view, const RgMemory *memory, int node)
{
	const RgFacts *f = &view->nodes[node].facts;
	RgPosition	p = rg_choose_position(view, memory, node);

	if (!f->valid || !f->in_recovery || f->start_lsn == 0 || p.lsn <= f->start_lsn || RG_MUTANT(81))
		return false;
	p.lsn = f->start_lsn;
	return p.rule_term == memory->newest.rule_term && rg_rules_compare_position(&p, &memory->newest) < 0;
}

RgPosition
rg_choose_start_position(const RgView *view, const RgMemory *memory, int node)
{
	const RgFacts *f = &view->nodes[node].facts;
	RgPosition	p = rg_choose_position(view, memory, node);

	if (rg_choose_is_older(view, memory, node))
		p.lsn = f->start_lsn;
	/* one that has had a lease in this start was admitted, whether our journal knows it or not */
	if (f->valid && !f->in_recovery && f->start_lsn != 0 && f->lease_left_ms < 0 &&
		!rg_start_equal(&memory->nodes[node].admitted, &f->start))
		p.lsn = f->start_lsn;
	return p;
}

bool
rg_choose_is_behind(const RgView *view, const RgMemory *memory, int node)
{
	RgPosition	has = rg_choose_position(view, memory, node);

	for (int i = 0; i < view->nnodes; i++)
	{
		const RgFacts *f = &view->nodes[i].facts;
		RgPosition	other = rg_choose_position(view, memory, i);

		/* the position of a half promoted node lies on a timeline of its own */
		if (i == node || !f->valid || !f->in_recovery ||
			rg_rules_is_half_promoted(f->promoting_term, f->rule.term))
			continue;
		if (rg_rules_compare_position(&other, &has) > 0)
			return true;
	}
	has = rg_choose_start_position(view, memory, node);
	return rg_rules_compare_position(&memory->newest, &has) > 0;
}
