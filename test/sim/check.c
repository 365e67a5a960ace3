/*
 * check.c
 *	  The invariants.
 *
 * I1	sync, strict: whoever opens holds every acknowledged write; async: no lost
 *		one is held by a standby that was recruited for that choice (C4)
 * I2	never two gates open at one moment
 * I3	no gate of an older term opens, and nothing is acknowledged by it, once a
 *		newer one was open
 * I5	no old directory is removed while it alone holds what the new one lacks, and
 *		nobody asks for the start of one that is rewound by half
 * F2	a standby never goes on behind other rows (node_stream.c), and a timeline's
 *		number is the term of the promotion that began it
 *
 * A gate opens only in an event that calls check_open(), and closes by itself; so
 * looking at all gates whenever one may have opened misses no common moment.
 */
#include "node.h"

/* F13: a clock that stood still is outside of the assumption; async may be late by a lease. */
static bool
is_tainted(const World *w, int node)
{
	return w->host[node].clock_stops || (w->tainted[node] && w->now < w->tainted_until[node]);
}

static void
check_history(World *w, int node, bool opens)
{
	const Server *s = w->server[node];

	for (int i = 0; i < w->nacks; i++)
	{
		Ack *a = &w->acks[i];

		/* what an order gives up is gone as soon as the rule is written */
		if (a->lost || (a->guaranteed && !opens && !w->loss_accepted) || data_holds(s->data, a->id, a->pos))
			continue;
		if (a->guaranteed && !w->loss_accepted)
		{
			violate(w, "I1: %s opens in term %lld without write %u (position %d) that %s acknowledged in term %lld",
					node_name(node), (long long) s->shm.rule.term, a->id, a->pos, node_name(a->node),
					(long long) a->term);
			return;
		}
		a->lost = true;
		w->lost_async++;
	}
}

/* Its rule is in force, so what async acknowledged and it lacks is given up, whether it opens or not. */
void
check_ruled(World *w, int node)
{
	check_history(w, node, false);
}

void
check_open(World *w, int node)
{
	Server *s = w->server[node];
	int64_t term;

	if (!server_is_writable(w, node) || is_tainted(w, node))
		return;
	term = s->shm.rule.term;
	for (int i = 0; i < w->c.nodes; i++)
		if (i != node && server_is_writable(w, i) && !is_tainted(w, i))
		{
			violate(w, "I2: %s opens in term %lld while %s is open in term %lld", node_name(node),
					(long long) term, node_name(i), (long long) w->server[i]->shm.rule.term);
			return;
		}
	if (term < w->opened_term)
	{
		violate(w, "I3: %s opens in term %lld, term %lld was open before", node_name(node), (long long) term,
				(long long) w->opened_term);
		return;
	}
	if (term > w->opened_term)
		w->opened_term = term;
	if (w->opener == s->life)
		return;
	w->opener = s->life;
	w->openings++;
	TRACE(w, "%s opens in term %lld, %d writes acknowledged so far", node_name(node), (long long) term, w->nacks);
	check_history(w, node, true);
	/* what was given up by order is gone now; nothing else is covered by it */
	w->loss_accepted = false;
}

void
check_ack(World *w, int node, uint32_t id, int pos)
{
	const Server *s = w->server[node];
	Ack *a;

	if (is_tainted(w, node) && !votes_guarantee(w, node))
		return;
	if (s->shm.rule.term < w->opened_term && !is_tainted(w, node))
		violate(w, "I3: %s acknowledges write %u in term %lld, term %lld is open", node_name(node), id,
				(long long) s->shm.rule.term, (long long) w->opened_term);
	else if (!data_holds(s->data, id, pos))
		violate(w, "I1: %s acknowledges write %u that it does not hold", node_name(node), id);
	if (w->nacks >= ACKS_MAX)
		return;
	a = &w->acks[w->nacks++];
	a->id = id;
	a->pos = pos;
	a->term = s->shm.rule.term;
	a->node = (int8_t) node;
	a->guaranteed = votes_guarantee(w, node);
	a->lost = false;
}

/*
 * C4: the candidate lacks nothing acknowledged that another recruited standby has,
 * of its own rule or a newer one: what lies under an older rule was given up with it.
 */
void
check_candidate(World *w, int candidate, uint32_t recruited)
{
	const Data *d = w->server[candidate]->data;

	for (int i = 0; i < w->nacks && !w->loss_accepted; i++)
		for (int k = 0; k < w->c.nodes; k++)
			if ((recruited >> k & 1) != 0 && k != candidate && !w->acks[i].lost &&
				w->server[k]->shm.rule.term >= w->server[candidate]->shm.rule.term &&
				data_holds(w->server[k]->data, w->acks[i].id, w->acks[i].pos) &&
				!data_holds(d, w->acks[i].id, w->acks[i].pos))
			{
				violate(w, "C4: %s is the candidate without write %u that %s holds, which was recruited too",
						node_name(candidate), w->acks[i].id, node_name(k));
				return;
			}
}

void
check_promoted(World *w, int node)
{
	const Server *s = w->server[node];

	if (s->shm.promoting > 0 && (int64_t) s->data->timeline != s->shm.promoting)
		violate(w, "F2: the promotion of %s in term %lld took timeline %u", node_name(node),
				(long long) s->shm.promoting, s->data->timeline);
}

static bool
is_held_elsewhere(const World *w, const Ack *a)
{
	for (int i = 0; i < w->c.nodes; i++)
		if (data_holds(w->server[i]->data, a->id, a->pos))
			return true;
	return false;
}

void
check_settle(World *w, int node)
{
	const Server *s = w->server[node];

	for (int i = 0; i < w->nacks; i++)
	{
		const Ack *a = &w->acks[i];

		if (!a->lost && data_holds(s->old, a->id, a->pos) && !is_held_elsewhere(w, a))
			violate(w, "I5: the old directory of %s is removed with write %u, which nobody else holds",
					node_name(node), a->id);
	}
}

/* C3: one term, one candidate. */
void
check_promote_step(World *w, int64_t term, int node)
{
	int8_t *candidates = w->candidates;

	if (term <= 0 || term >= TIMELINES_MAX)
		return;
	if (candidates[term] != 0 && candidates[term] != node + 1)
		violate(w, "C3: term %lld has the candidates %s and %s", (long long) term,
				node_name(candidates[term] - 1), node_name(node));
	candidates[term] = (int8_t) (node + 1);
}

bool
check_rows(World *w, int leader)
{
	const Data *d = w->server[leader]->data;

	for (int i = 0; i < w->c.nodes; i++)
	{
		const Server *s = w->server[i];

		if (i == leader)
			continue;
		if (s->run != RUN_UP || s->receiver != RECEIVER_STREAMING || !data_is_prefix(s->data, d) ||
			s->data->len < d->flushed || s->replay < s->data->len)
			return false;
	}
	for (int i = 0; i < w->nacks; i++)
		if (!w->acks[i].lost && !data_holds(d, w->acks[i].id, w->acks[i].pos))
		{
			violate(w, "I1: the last leader %s lacks the acknowledged write %u", node_name(leader), w->acks[i].id);
			return false;
		}
	return true;
}
