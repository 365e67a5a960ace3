/*
 * node_lease.c
 *	  Where a lease comes from, on the node: grants, markers, and counted votes.
 *
 * A marker is written with the clock read before it, flushed, and counts when as
 * many voters as the lease quorum have flushed it.
 */
#include "node.h"

/* The bit of a node in the joint rules; 0 = it is no voter of any. */
static uint64_t
bit_of(const Server *s, int node)
{
	for (int i = 0; i < s->joint.nnames; i++)
		if (strcmp(s->joint.names[i], node_name(node)) == 0)
			return UINT64_C(1) << i;
	return 0;
}

/*
 * Who of the voters has flushed our WAL up to there (votes.c).  One that shows more
 * than we have tells that we are stale; what the watchdog has judged is not noted again.
 */
static uint64_t
flushed(World *w, int node, int pos)
{
	Server *s = w->server[node];
	uint64_t set = 0;

	for (int i = 0; i < w->c.nodes; i++)
	{
		Sender *sender = &s->senders[i];

		if (i == node || !sender->connected || !s->shm.has_rule || bit_of(s, i) == 0)
			continue;
		if (sender->flush <= s->data->flushed)
		{
			if ((RG_MUTANT(37) ? sender->sent : sender->flush) >= pos)
				set |= bit_of(s, i);
			continue;
		}
		if (sender->ahead >= sender->flush)
			continue;
		TRACE(w, "%s: %s shows %d, we have %d: stale", node_name(node), node_name(i), sender->flush,
			  s->data->flushed);
		sender->ahead = sender->flush;
		s->ahead = i;
		s->stale_since_ms = clock_ms(w, node) + 1;
	}
	return set;
}

/* settle.c */
static void
settle_look(World *w, int node)
{
	Server *s = w->server[node];

	if (s->joint.nrules == 0 || !s->joint.has_previous)
		return;
	if (s->joint_pos < 0)
		s->joint_pos = s->data->flushed;
	if (!rg_joint_settles(&s->joint, flushed(w, node, s->joint_pos)))
		return;
	TRACE(w, "%s: rule %lld.%d is in force", node_name(node), (long long) s->joint.term, s->joint.seq);
	rg_state_settle(&s->shm);
	s->dirty = true;
	lease_rule_changed(w, node);
}

void
lease_look(World *w, int node)
{
	(void) flushed(w, node, 0);
	settle_look(w, node);
}

bool
votes_acknowledge(World *w, int node, int pos)
{
	settle_look(w, node);
	return rg_joint_acknowledges(&w->server[node]->joint, flushed(w, node, pos));
}

bool
votes_guarantee(World *w, int node)
{
	const RgJoint *joint = &w->server[node]->joint;

	for (int i = 0; i < joint->nrules; i++)
		if (joint->rules[i].is_async)
			return false;
	return joint->nrules > 0;
}

/* start.c: the first lease of a start is preceded by the word in the state file that it had one. */
static bool
may_open(World *w, int node)
{
	Server *s = w->server[node];

	s->begun = true;
	if (s->shm.unopened_timeline == 0)
		return true;
	if (s->lock >= 0 || s->state_bad)
		return false;
	(void) rg_state_open(&s->shm);
	s->dirty = false;
	s->data->state = s->shm;
	data_store_state(w, s->data);
	return true;
}

/* rg_lease_grant() of the extension; who asks was checked before. */
void
lease_grant(World *w, int node, const Message *m)
{
	Server *s = w->server[node];
	const RgRule *rule = &s->shm.rule;
	int64_t now_ms = clock_ms(w, node);

	if (!m->grants || !m->names_start || s->in_recovery || s->state_bad || !rg_state_leads(&s->shm) ||
		(m->term != rule->term && !RG_MUTANT(39)) || m->until_ms <= now_ms)
		return;
	if (s->stale_since_ms > 0)
	{
		if (m->until_ms - rule->lease_ms < s->stale_since_ms)
			return;
		s->stale_since_ms = 0;
		s->ahead = -1;
	}
	if (!may_open(w, node))
		return;
	s->lease_until_ms = rg_rules_extend_lease(s->lease_until_ms, m->until_ms, now_ms, rule->lease_ms);
	check_open(w, node);
}

void
lease_rule_changed(World *w, int node)
{
	Server *s = w->server[node];
	int64_t term = s->joint.term;
	int32_t seq = s->joint.seq;

	rg_joint_make(&s->shm, &s->joint);
	if (s->state_bad)
		s->joint.nrules = 0;
	if (term != s->joint.term || seq != s->joint.seq)
		s->joint_pos = -1;
	if (s->lease_until_ms == 0)
		return;
	if (s->state_bad || !rg_state_leads(&s->shm))
		s->lease_until_ms = 0;
	else
		s->lease_until_ms = rg_rules_cut_lease(s->lease_until_ms, clock_ms(w, node), s->shm.rule.lease_ms);
}

/* The newest marker that enough standbys have flushed (marker.c). */
static void
take_lease(World *w, int node)
{
	Server *s = w->server[node];
	int64_t now_ms = clock_ms(w, node);
	int64_t until_ms;
	int count = s->nmarkers;

	if (rg_joint_is_alone(&s->joint))
		return;
	while (count > 0 && !rg_joint_gives_lease(&s->joint, flushed(w, node, s->markers[count - 1].pos)))
		count--;
	if (count == 0)
		return;
	until_ms = s->markers[count - 1].at_ms + s->shm.rule.lease_ms;
	s->nmarkers -= count;
	memmove(&s->markers[0], &s->markers[count], sizeof(s->markers[0]) * (size_t) s->nmarkers);
	if (!w->c.from_standbys || s->stale_since_ms != 0 || until_ms <= now_ms || !may_open(w, node))
		return;
	s->lease_until_ms = rg_rules_extend_lease(s->lease_until_ms, until_ms, now_ms, s->shm.rule.lease_ms);
	w->marker_leases++;
	check_open(w, node);
}

/* Nobody can be recruited: who has had a lease since its start goes on by itself. */
static void
renew_alone(World *w, int node)
{
	Server *s = w->server[node];
	int64_t now_ms = clock_ms(w, node);

	if (s->lease_until_ms == 0 || s->stale_since_ms != 0)
		return;
	s->lease_until_ms = rg_rules_extend_lease(s->lease_until_ms, now_ms + s->shm.rule.lease_ms, now_ms,
											  s->shm.rule.lease_ms);
	check_open(w, node);
}

static bool
leads(const Server *s)
{
	return s->run == RUN_UP && !s->in_recovery && !s->state_bad && rg_state_leads(&s->shm);
}

/* More was flushed somewhere; the worker looks every few milliseconds while it waits for that. */
void
lease_votes_changed(World *w, int node)
{
	Server *s = w->server[node];

	if (!leads(s) || s->worker_frozen)
		return;
	settle_look(w, node);
	if (s->nmarkers > 0)
		take_lease(w, node);
}

int64_t
lease_work(World *w, int node)
{
	Server *s = w->server[node];
	int64_t now_ms = clock_ms(w, node);
	int64_t interval_ms;
	int64_t quiet_since;
	int64_t rule;

	if (!leads(s))
	{
		s->leads_since_ms = 0;
		s->nmarkers = 0;
		s->marker_at_ms = 0;
		return 500 * MS;
	}
	interval_ms = s->shm.rule.lease_ms / 5 > 10 ? s->shm.rule.lease_ms / 5 : 10;
	rule = s->shm.rule.term * 1000 + s->shm.rule.seq;
	if (s->leads_since_ms == 0)
		s->leads_since_ms = now_ms;
	if (s->markers_rule != rule)
		s->nmarkers = 0;
	s->markers_rule = rule;
	quiet_since = s->leads_since_ms > s->seen_ms ? s->leads_since_ms : s->seen_ms;
	if (now_ms - quiet_since < interval_ms)
	{
		lease_look(w, node);
		s->nmarkers = 0;
		s->marker_at_ms = 0;
		return (interval_ms - (now_ms - quiet_since)) * MS;
	}
	take_lease(w, node);
	if (now_ms - s->marker_at_ms >= interval_ms)
	{
		int pos = rg_joint_is_alone(&s->joint) ? 0 : data_append(w, s->data, -1);

		if (rg_joint_is_alone(&s->joint))
			renew_alone(w, node);
		if (pos > 0)
		{
			if (s->nmarkers == MARKERS_MAX)
				memmove(&s->markers[0], &s->markers[1], sizeof(s->markers[0]) * (size_t) --s->nmarkers);
			s->markers[s->nmarkers].pos = pos;
			s->markers[s->nmarkers++].at_ms = now_ms;
			server_flush(w, node, between(w, 100, 5 * MS));
		}
		s->marker_at_ms = now_ms;
	}
	return (s->marker_at_ms + interval_ms - now_ms) * MS;
}
