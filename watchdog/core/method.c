/*
 * method.c
 *	  The choice of the method of a rebuild, and of its source.
 *
 * Cheapest first: rewind, delta, copy.  pg_rewind finds the fork by the numbers of
 * timelines alone.  Where a number was used for two histories, or both sides are
 * on one timeline, it says "no rewind required" and the node would silently hold
 * other rows (attack F2).  So it is tried only where what the node has followed or
 * led shows that its timelines are the leader's up to a fork.
 */
#include "method.h"

#include <stdio.h>
#include <string.h>

#include "choose.h"

/* What a node says of its own history: in its promise, else in its last answer. */
typedef struct History
{
	int			nterms;
	const RgTermEnd *terms;
	int64_t		promoting_term;
	uint32_t	timeline;
	uint64_t	lsn;
	bool		is_complete;	/* it has read all WAL that it has */
} History;

static bool
read_history(const RgView *view, const RgMemory *memory, int node, History *h)
{
	const RgNodeView *n = &view->nodes[node];

	if (rg_is_recruited(view, node, memory->rule.term) && n->promise.complete)
		*h = (History) {n->promise.nterms, n->promise.terms, n->promise.promoting_term,
			n->promise.position.timeline, n->promise.position.lsn, true};
	else
		*h = (History) {n->facts.nterms, n->facts.terms, n->facts.promoting_term, n->facts.timeline,
			n->facts.in_recovery ? rg_facts_held_lsn(&n->facts) : n->facts.current_lsn, false};
	return n->facts.valid && h->nterms > 0 && h->timeline != 0;
}

static bool
has_term_on(const RgTermEnd *terms, int n, int64_t term, uint32_t timeline)
{
	for (int i = 0; i < n; i++)
		if (terms[i].term == term && terms[i].timeline == timeline)
			return true;
	return false;
}

/* The leader was on this timeline, but in no term that the node has followed or led on it. */
static bool
is_other_timeline_of_that_number(const History *h, const RgTermEnd *terms, int n, uint32_t timeline)
{
	bool		was_there = false;

	for (int i = 0; i < n; i++)
	{
		if (terms[i].timeline != timeline)
			continue;
		was_there = true;
		if (has_term_on(h->terms, h->nterms, terms[i].term, timeline))
			return false;
	}
	return was_there;
}

static bool
hides_other_wal(const History *h, const RgTermEnd *terms, int n)
{
	if (is_other_timeline_of_that_number(h, terms, n, h->timeline))
		return true;
	for (int i = 0; i < h->nterms; i++)
		if (is_other_timeline_of_that_number(h, terms, n, h->terms[i].timeline))
			return true;
	return false;
}

static const char *
rewind_trouble(const RgView *view, const RgMemory *memory, int node, char *buf)
{
	const RgNodeView *n = &view->nodes[node];
	const RgNodeMemory *mem = &memory->nodes[node];
	int			leader = rg_view_find(view, memory->rule.leader);
	const RgFacts *to;
	History		h;

	if (leader < 0 || !view->nodes[leader].facts.valid || view->nodes[leader].facts.nterms == 0)
		return "the leader's history is not known";
	to = &view->nodes[leader].facts;
	if (mem->half_rewound != RG_REWOUND_WHOLE)
		return "an earlier rewind has not ended";
	if (mem->strayed)
		return RG_STRAYED_TEXT;
	if (!read_history(view, memory, node, &h))
		return "its history is not known: it has not answered this watchdog yet";
	if (rg_choose_has_lost_wal(n, to->terms, to->nterms))
		return "it lacks WAL that it had sent: its disk is an older copy";
	if (h.timeline == to->timeline || hides_other_wal(&h, to->terms, to->nterms))
	{
		rg_text(buf, RG_TEXT_MAX, "both were on timeline %u, which does not tell their WAL apart",
				(unsigned) (h.timeline == to->timeline ? to->timeline : h.timeline));
		return buf;
	}
	/* where a primary ends is known only once it has read all it has as a standby */
	if ((h.is_complete || n->facts.in_recovery) &&
		rg_rules_may_follow(h.terms, h.nterms, h.promoting_term, h.timeline, h.lsn, to->terms,
							to->nterms) == RG_FOLLOW_OK)
		return "it has not diverged";
	return NULL;
}

const char *
rg_method_trouble(const RgView *view, const RgMemory *memory, int node, RgMethod method, char *buf)
{
	return method == RG_METHOD_REWIND ? rewind_trouble(view, memory, node, buf) : NULL;
}

/* The last reason that was noted. */
static const char *
last_reason(const RgJob *job)
{
	const char *last = job->tried;

	for (const char *at = job->tried; (at = strstr(at, "; ")) != NULL;)
	{
		at += 2;
		if (strncmp(at, "delta: ", 7) == 0 || strncmp(at, "copy: ", 6) == 0)
			last = at;
	}
	last = strstr(last, ": ");
	return last != NULL ? last + 2 : "";
}

void
rg_method_note(RgJob *job, RgMethod method, const char *why)
{
	unsigned long len = strlen(job->tried);
	unsigned long room = sizeof(job->tried) - len;

	if (len > 0 && strcmp(last_reason(job), why) == 0)
		rg_text(job->tried + len, room, "; %s: likewise", rg_method_name(method));
	else
		rg_text(job->tried + len, room, "%s%s: %.*s", len > 0 ? "; " : "", rg_method_name(method),
				job->method == RG_METHOD_AUTO ? 220 : 400, why);
}

RgMethod
rg_method_next(const RgView *view, const RgMemory *memory, RgJob *job, int node)
{
	char		buf[RG_TEXT_MAX];

	for (int i = (int) job->using + 1; i < (int) RG_METHOD_COUNT; i++)
	{
		RgMethod	method = (RgMethod) i;
		const char *why;

		if (job->method != RG_METHOD_AUTO && job->method != method)
			continue;
		why = rg_method_trouble(view, memory, node, method, buf);
		if (why == NULL)
			return method;
		rg_method_note(job, method, why);
	}
	return RG_METHOD_AUTO;
}

const char *
rg_method_source_trouble(const RgView *view, const RgMemory *memory, int source, char *buf)
{
	const RgNodeView *n = &view->nodes[source];

	if (strcmp(n->name, memory->rule.leader) == 0)
		return NULL;
	if (rg_memory_job((RgMemory *) memory, n->name) != NULL)
		rg_text(buf, RG_TEXT_MAX, "%s is to be rebuilt itself", n->name);
	else if (!rg_view_is_standby(view, source))
		rg_text(buf, RG_TEXT_MAX, "%s is no standby that answers", n->name);
	else if (!n->facts.receiver_streaming)
		rg_text(buf, RG_TEXT_MAX, "%s does not stream", n->name);
	else if (memory->nodes[source].strayed)
		rg_text(buf, RG_TEXT_MAX, "%s: " RG_STRAYED_TEXT, n->name);
	else if (n->facts.rule.term != memory->rule.term)
		rg_text(buf, RG_TEXT_MAX, "%s has not received the rule of term %lld yet", n->name,
				(long long) memory->rule.term);
	else if (memory->nodes[source].owes_lsn != 0)
		rg_text(buf, RG_TEXT_MAX, "%s is a fresh copy itself and has not caught up", n->name);
	else if (n->facts.replay_paused)
		rg_text(buf, RG_TEXT_MAX, "replay on %s is paused", n->name);
	else
		return NULL;
	return buf;
}

static bool
may_be_source(const RgView *view, const RgMemory *memory, const RgJob *job, int node)
{
	char		buf[RG_TEXT_MAX];

	return node >= 0 && strcmp(view->nodes[node].name, job->node) != 0 &&
		rg_method_source_trouble(view, memory, node, buf) == NULL;
}

int
rg_method_source(const RgView *view, const RgMemory *memory, const RgJob *job)
{
	int			leader = rg_view_find(view, memory->rule.leader);
	int			wish = job->from[0] != '\0' ? rg_view_find(view, job->from) : leader;
	int			best = -1;

	if (job->using == RG_METHOD_REWIND)
		return leader;
	if (!job->elsewhere)
		return may_be_source(view, memory, job, wish) ? wish : leader;
	if (wish != leader)
		return leader;
	/* the one that is needed least */
	for (int i = 0; i < view->nnodes; i++)
		if (i != leader && may_be_source(view, memory, job, i) &&
			(best < 0 || view->nodes[i].priority < view->nodes[best].priority))
			best = i;
	return best >= 0 ? best : leader;
}
