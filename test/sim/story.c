/*
 * story.c
 *	  A rule is changed, and then the wrong half of the cluster is left.
 *
 * Some standbys are cut off from the leader, for a moment or for so long that they are
 * left out; perhaps somebody asks for another rule; perhaps they are let in again.
 * Then the leader and all who kept up are lost, and only those who lagged can be
 * reached, now and then by a watchdog with an older journal or with none.  Whoever opens
 * now, or counts wrongly who may, lacks what was acknowledged (F7, F15, V1, V9, V10,
 * V11, V14).  In the end everybody comes back.
 */
#include "node.h"

typedef struct Story
{
	int leader;
	uint32_t lagging;			/* nodes that are cut off from it */
	bool returns;				/* and let in again a moment before it is lost */
	bool old_journal;
	bool no_journal;
	bool dies;					/* regentd, as soon as it has asked for a rule */
	bool starts_sync;			/* a cluster of five in async: most of it does not hear that it is sync now */
} Story;

static Story story;

static void on_stage(World *w, const Event *e);

static void
stage_later(World *w, int stage, int64_t delay_us)
{
	later(w, delay_us, on_stage, 0, BY_WORLD)->a = stage;
}

static void
cut_lagging(World *w, bool is_cut)
{
	for (int i = 0; i < w->c.nodes; i++)
		if ((story.lagging >> i & 1) != 0)
			for (int k = 0; k < w->c.nodes; k++)
				if ((story.lagging >> k & 1) == 0)
				{
					cut(w, i, k, is_cut);
					cut(w, k, i, is_cut);
				}
}

/* The links of those who lagged: so it takes them a while to catch up. */
static void
slow_down(World *w, int delay_us)
{
	for (int i = 0; i < w->c.nodes; i++)
		if ((story.lagging >> i & 1) != 0)
			w->slow_us[i] = delay_us;
}

static void
begin(World *w)
{
	uint32_t others = ((1u << w->c.nodes) - 1) & ~(1u << story.leader);
	bool is_long = chance(w, 500);

	story.lagging = (1u + pick(w, others)) & others;
	if (story.lagging == 0)
		story.lagging = others & (1u + ~others);
	story.starts_sync = w->c.nodes == 5 && w->c.durability == D_ASYNC && chance(w, 700);
	if (story.starts_sync)
		story.lagging = others & ~(1u << (story.leader + 1) % 5);
	story.returns = !story.starts_sync && chance(w, 300);
	story.old_journal = story.starts_sync || chance(w, 200);
	story.no_journal = !story.old_journal && chance(w, 200);
	story.dies = !story.old_journal && !story.no_journal && chance(w, 400);
	if (story.old_journal)
		dog_keep_image(w, 0);
	if (story.dies)
		dog_die_with_rule(w, 0);
	TRACE(w, "story: the nodes %x are cut off from the others", story.lagging);
	cut_lagging(w, true);
	stage_later(w, 1, is_long ? between(w, 5 * SECOND, 9 * SECOND) : between(w, 50 * MS, 1500 * MS));
}

/* The leader and those who kept up are gone, as far as the watchdog can tell. */
static void
lose_the_others(World *w)
{
	bool power = chance(w, 600);

	TRACE(w, "story: only the nodes %x are left", story.lagging);
	for (int i = 0; i < w->c.nodes; i++)
	{
		if ((story.lagging >> i & 1) != 0)
			continue;
		if (power)
			server_lose_power(w, i);
		else
			for (int k = 0; k < w->nhosts; k++)
				if (k >= w->c.nodes ? k < w->c.nodes + DOGS_MAX : (story.lagging >> k & 1) != 0)
				{
					cut(w, i, k, true);
					cut(w, k, i, true);
				}
	}
	if (story.dies)
		dog_start(w, 0);
	if (!story.old_journal && !story.no_journal)
		return;
	dog_crash(w, 0, "of SIGKILL");
	if (story.old_journal)
		dog_restore_journal(w, 0);
	else
		dog_lose_journal(w, 0);
	dog_start(w, 0);
}

static void
everybody_returns(World *w)
{
	TRACE(w, "story: everybody comes back");
	slow_down(w, 0);
	for (int i = 0; i < w->c.nodes; i++)
	{
		for (int k = 0; k < w->nhosts; k++)
		{
			cut(w, i, k, false);
			cut(w, k, i, false);
		}
		server_power_on(w, i, true);
		if (w->server[i]->run == RUN_NO && !w->server[i]->orphans)
			server_start(w, i);
	}
}

static void
on_stage(World *w, const Event *e)
{
	if (w->quiet)
		return;
	switch (e->a)
	{
		case 0:
			story.leader = dog_leader(w, 0);
			if (story.leader < 0)
				return;
			begin(w);
			return;
		case 1:
			if (story.starts_sync)
				dog_order_set(w, 0, D_SYNC, 1);
			else if (!story.dies && chance(w, 600))
				change_rule(w);
			stage_later(w, 2, chance(w, 500) ? between(w, 0, 300 * MS) : between(w, 300 * MS, 6 * SECOND));
			return;
		case 2:
			if (story.returns)
			{
				cut_lagging(w, false);
				slow_down(w, (int) between(w, 20 * MS, 250 * MS));
			}
			stage_later(w, 3, story.returns ? between(w, 0, 2 * SECOND) : 0);
			return;
		case 3:
			lose_the_others(w);
			stage_later(w, 4, 2 * SECOND);
			stage_later(w, 5, 5 * w->c.lease_ms * MS + 12 * SECOND);
			return;
		case 4:
			if (story.no_journal)
				dog_order_takeover(w, 0);
			return;
		default:
			everybody_returns(w);
	}
}

void
story_begin(World *w)
{
	memset(&story, 0, sizeof(story));
	stage_later(w, 0, 5 * SECOND + pick(w, 2000000));
}
