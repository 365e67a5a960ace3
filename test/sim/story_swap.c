/*
 * story_swap.c
 *	  A copy and its swap come again when their job is long over.
 *
 * A standby is rebuilt by a copy and settled.  Both verbs were held up on a session
 * that was given up, too, and are carried out now: the copy, and a while later its
 * swap.  Meanwhile the standby alone has acknowledged what the leader wrote, for the
 * others are cut off.  The moment that it is in the older copy the leader is lost.
 * Whoever opens then lacks what was acknowledged, unless the node refuses what comes
 * too late.
 */
#include "node.h"

#define LOOK_US (2 * MS)

typedef struct Late
{
	bool is_on;
	int leader;
	int node;
	int64_t until;
	Message copy;				/* as they were sent; verb V_NONE: not yet */
	Message swap;
} Late;

static Late late;

static void on_stage(World *w, const Event *e);

static void
stage_later(World *w, int stage, int64_t delay_us)
{
	later(w, delay_us, on_stage, 0, BY_WORLD)->a = stage;
}

void
story_swap_sees(const World *w, const Message *m)
{
	if (!late.is_on || w->c.plan != SWAP_PLAN || m->node != late.node)
		return;
	if (m->verb == V_COPY)
		late.copy = *m;
	else if (m->verb == V_SWAP)
		late.swap = *m;
}

static void
send_late(World *w, const Message *m)
{
	Message *copy = message_new(w);

	TRACE(w, "story: a verb of ticket %lld reaches %s, late", (long long) m->ticket, node_name(late.node));
	memcpy(copy, m, sizeof(*copy));
	later(w, MS, node_receive, node_host(late.node), BY_HOST)->msg = copy;
}

/* Only the leader and this standby see each other. */
static void
cut_others(World *w, bool is_cut)
{
	for (int i = 0; i < w->c.nodes; i++)
		if (i != late.leader && i != late.node)
		{
			cut(w, i, late.leader, is_cut);
			cut(w, late.leader, i, is_cut);
		}
}

static void
begin(World *w)
{
	late.leader = dog_leader(w, 0);
	if (late.leader < 0 || !dog_all_is_well(w, 0))
	{
		stage_later(w, 0, SECOND);
		return;
	}
	late.node = (late.leader + 1) % w->c.voters;
	late.is_on = true;
	late.until = w->now + 60 * SECOND;
	dog_order_copy(w, 0, late.node);
	stage_later(w, 1, SECOND);
}

/* The rebuild is over, and everybody is counted again. */
static void
wait_until_over(World *w)
{
	if (w->now > late.until)
		return;
	if (late.swap.verb == V_NONE || !dog_all_is_well(w, 0) || dog_leader(w, 0) != late.leader)
	{
		stage_later(w, 1, SECOND);
		return;
	}
	late.is_on = false;
	stage_later(w, 2, 3 * SECOND);
}

static void
lose_leader(World *w)
{
	TRACE(w, "story: %s is lost, %s %s", node_name(late.leader), node_name(late.node),
		  w->server[late.node]->is_swapped ? "is in an older copy" : "has refused");
	cut(w, late.leader, late.node, true);
	cut(w, late.node, late.leader, true);
	server_lose_power(w, late.leader);
	stage_later(w, 5, 5 * w->c.lease_ms * MS + 15 * SECOND);
}

static void
everybody_returns(World *w)
{
	cut_others(w, false);
	cut(w, late.leader, late.node, false);
	cut(w, late.node, late.leader, false);
	server_power_on(w, late.leader, true);
}

static void
on_stage(World *w, const Event *e)
{
	if (w->quiet)
		return;
	switch (e->a)
	{
		case 0:
			begin(w);
			return;
		case 1:
			wait_until_over(w);
			return;
		case 2:
			cut_others(w, true);
			send_late(w, &late.copy);
			stage_later(w, 3, 3 * SECOND);
			return;
		case 3:
			send_late(w, &late.swap);
			late.until = w->now + SECOND;
			stage_later(w, 4, LOOK_US);
			return;
		case 4:
			if (w->server[late.node]->is_swapped || w->now > late.until)
				lose_leader(w);
			else
				stage_later(w, 4, LOOK_US);
			return;
		default:
			everybody_returns(w);
	}
}

void
story_swap_begin(World *w)
{
	memset(&late, 0, sizeof(late));
	stage_later(w, 0, 5 * SECOND + pick(w, 2000000));
}
