/*
 * upstream.c
 *	  Cascading: whom a standby with an upstream is to stream from.
 *
 * Such a node is no voter.  It streams from its upstream while that is a voter
 * which itself streams from the leader, under the newest rule; else from the
 * leader.  An upstream that comes and goes does not send it back and forth: it
 * returns when the upstream has been well for a while, and it leaves one that is
 * not well after a while too, at once only when it gets nothing any more.
 *
 * Where it streams from has no part in any vote, so nothing of this is journalled:
 * a restarted watchdog goes on from where the node is seen to stream.
 */
#include "upstream.h"

#include <string.h>

#include "enlist.h"

#define PATIENCE_MS 5000

bool
rg_upstream_cascades(const RgView *view, const RgMemory *memory, int node)
{
	return view->nodes[node].upstream[0] != '\0' && !rg_rule_has_voter(&memory->rule, view->nodes[node].name);
}

bool
rg_upstream_is_guest(const RgView *view, const RgMemory *memory, int node)
{
	return memory->rule.nvoters > 0 && !rg_rule_has_voter(&memory->rule, view->nodes[node].name);
}

static bool
streams_from(const RgView *view, int source, int node)
{
	return source >= 0 && (view->nodes[source].facts.streaming_from_us >> node & 1) != 0;
}

static bool
is_fit(const RgView *view, const RgMemory *m, int leader, int upstream)
{
	const RgNodeView *n = &view->nodes[upstream];

	return upstream != leader && rg_view_is_standby(view, upstream) && n->facts.receiver_streaming &&
		n->facts.rule.term == m->rule.term && rg_rule_has_voter(&m->rule, n->name) &&
		!rg_memory_is_rebuilding(m, n->name) && streams_from(view, leader, upstream);
}

/* The upstream's WAL begins after where this node stands: there it would wait for ever. */
static bool
lacks_wal_for(const RgView *view, int upstream, int node)
{
	const RgFacts *f = &view->nodes[node].facts;

	return f->valid && view->nodes[upstream].facts.oldest_lsn > rg_facts_held_lsn(f) && !streams_from(view, upstream, node);
}

/* We can't see its upstream, but WAL comes to it from there. */
static bool
is_fed_unseen(const RgView *view, int upstream, int node)
{
	return upstream >= 0 && !rg_view_answers(view, upstream) &&
		view->now_ms - rg_view_received_ms(view, node) <= PATIENCE_MS;
}

static void
learn_node(const RgView *view, RgMemory *m, int leader, int node)
{
	RgNodeMemory *mem = &m->nodes[node];
	int			upstream = rg_view_find(view, view->nodes[node].upstream);
	bool		fit = upstream >= 0 && is_fit(view, m, leader, upstream) && !lacks_wal_for(view, upstream, node);
	bool		is_long;

	if (fit != mem->upstream_fit || mem->upstream_ms == 0)
		mem->upstream_ms = view->now_ms;
	mem->upstream_fit = fit;
	is_long = view->now_ms - mem->upstream_ms >= PATIENCE_MS;
	if (fit)
		mem->cascades = mem->cascades || is_long || streams_from(view, upstream, node);
	else if (rg_view_answers(view, node) &&
			 (!view->nodes[node].facts.receiver_streaming || (is_long && !is_fed_unseen(view, upstream, node))))
		mem->cascades = false;
}

void
rg_upstream_learn(const RgView *view, RgDecision *d)
{
	RgMemory   *m = &d->memory;

	for (int i = 0; i < view->nnodes; i++)
	{
		if (rg_upstream_cascades(view, m, i))
			learn_node(view, m, d->leader, i);
		else
			m->nodes[i].cascades = false;
		m->nodes[i].joined = rg_upstream_is_guest(view, m, i) &&
			(m->nodes[i].joined || (rg_view_is_standby(view, i) && rg_upstream_streams(view, m, i)));
	}
}

int
rg_upstream_source(const RgView *view, const RgMemory *memory, int node)
{
	int			upstream = memory->nodes[node].cascades ? rg_view_find(view, view->nodes[node].upstream) : -1;

	return upstream >= 0 ? upstream : rg_view_find(view, memory->rule.leader);
}

bool
rg_upstream_streams(const RgView *view, const RgMemory *memory, int node)
{
	int			source = rg_upstream_source(view, memory, node);

	if (!view->nodes[node].facts.receiver_streaming)
		return false;
	return source < 0 || !rg_view_answers(view, source) || streams_from(view, source, node);
}

void
rg_upstream_text(const RgView *view, const RgMemory *memory, int node, char *buf)
{
	const char *name = view->nodes[node].upstream;

	buf[0] = '\0';
	if (rg_upstream_is_guest(view, memory, node) && name[0] == '\0')
		rg_text(buf, RG_TEXT_MAX, "has no vote: regent node add %s gives it one", view->nodes[node].name);
	if (!rg_upstream_cascades(view, memory, node) || memory->nodes[node].cascades ||
		strcmp(name, memory->rule.leader) == 0)
		return;
	rg_text(buf, RG_TEXT_MAX, "streams from %s: its upstream %s %s", memory->rule.leader, name,
			memory->nodes[node].upstream_fit ? "is back, and is waited for a moment"
			: "is no standby that streams from the leader");
}

uint32_t
rg_upstream_slots(const RgView *view, const RgMemory *memory, int node)
{
	uint32_t	slots = 0;

	for (int i = 0; i < view->nnodes; i++)
	{
		/* where it streams, or did so when last seen: a slot in use is not dropped */
		if (i != node && rg_enlist_needs_slot(view, memory, i) &&
			(rg_upstream_source(view, memory, i) == node || streams_from(view, node, i) ||
			 (!rg_view_answers(view, i) && rg_upstream_cascades(view, memory, i) &&
			  strcmp(view->nodes[i].upstream, view->nodes[node].name) == 0)))
			slots |= (uint32_t) 1 << i;
	}
	return slots;
}
