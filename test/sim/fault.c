/*
 * fault.c
 *	  What goes wrong: one fault after the other, each for a while, until they stop.
 */
#include "node.h"

static int
some_node(World *w)
{
	/* the leader is the more interesting victim */
	int leader = w->dog[0] != NULL ? dog_leader(w, 0) : -1;

	return leader >= 0 && chance(w, 450) ? leader : (int) pick(w, (uint32_t) w->c.nodes);
}

static int64_t
a_while(World *w)
{
	return chance(w, 600) ? between(w, 100 * MS, 2 * w->c.lease_ms * MS)
		: between(w, w->c.lease_ms * MS, 4 * w->c.lease_ms * MS + 6 * SECOND);
}

/* ---- ends of faults ---- */

static void
on_thaw(World *w, const Event *e)
{
	Host *h = &w->host[e->a];

	if (!h->frozen)
		return;
	if (h->clock_stops && e->a < w->c.nodes)
	{
		w->tainted[e->a] = true;
		w->tainted_until[e->a] = w->now + 2 * w->c.lease_ms * MS;
	}
	TRACE(w, "host %d goes on", e->a);
	thaw(w, e->a);
}

static void
on_heal_links(World *w, const Event *e)
{
	if (e->b >= 0)
		cut(w, e->a, e->b, false);
	else
		for (int i = 0; i < w->nhosts; i++)
		{
			cut(w, e->a, i, false);
			cut(w, i, e->a, false);
		}
}

static void
on_unblock(World *w, const Event *e)
{
	w->host[e->a].sshd_blocked = false;
	w->slow_us[e->a] = 0;
}

static void
on_unfreeze(World *w, const Event *e)
{
	Server *s = w->server[e->a];

	s->pm_frozen = s->worker_frozen = s->backends_frozen = false;
	release_held(w, e->a);
}

static void
on_unstick(World *w, const Event *e)
{
	Server *s = w->server[e->a];

	s->stuck = s->stuck_for_good = false;
	s->disk_full = false;
	s->hung_since = 0;
	stream_replay(w, e->a);
}

static void
on_restart(World *w, const Event *e)
{
	server_start(w, e->a);
}

static void
on_power(World *w, const Event *e)
{
	server_power_on(w, e->a, e->b != 0);
}

static void
on_dog_restart(World *w, const Event *e)
{
	w->host[dog_host(w, e->a)].down = false;
	dog_start(w, e->a);
}

static Event *
end_later(World *w, EventFn fn, int a, int64_t delay_us)
{
	Event *e = later(w, delay_us, fn, 0, BY_WORLD);

	e->a = a;
	return e;
}

/* ---- faults ---- */

static void
spoil_disk(World *w, int node)
{
	Server *s = w->server[node];

	if (chance(w, 500))
		s->disk_full = true;
	else if (s->hung_since == 0)
		s->hung_since = w->now;
	TRACE(w, "%s: its disk %s", node_name(node), s->hung_since != 0 ? "hangs" : "is full");
}

static void
fault_server(World *w)
{
	int node = some_node(w);
	Server *s = w->server[node];

	switch (pick(w, 7))
	{
		case 0:
		case 1:
			server_kill(w, node);
			break;
		case 2:
			server_kill_postmaster(w, node);
			break;
		case 3:
			server_stop(w, node);
			if (s->run != RUN_NO)
				s->by_hand = true;
			end_later(w, on_restart, node, between(w, SECOND, 12 * SECOND));
			return;
		case 4:
			spoil_disk(w, node);
			end_later(w, on_unstick, node, a_while(w));
			return;
		case 5:
			server_crash(w, node);
			return;
		default:
			if (s->in_recovery)
			{
				s->stuck = true;
				s->stuck_for_good = chance(w, 400);
				TRACE(w, "%s: replay is stuck%s", node_name(node), s->stuck_for_good ? " for good" : "");
				end_later(w, on_unstick, node, a_while(w));
			}
			return;
	}
	/* a service manager, or a person */
	if (chance(w, 500))
		end_later(w, on_restart, node, between(w, 20 * MS, 3 * SECOND));
	else if (chance(w, 500))
		end_later(w, on_restart, node, a_while(w));
}

static void
fault_freeze(World *w)
{
	int node = some_node(w);
	Server *s = w->server[node];

	switch (pick(w, 5))
	{
		case 0:
		case 1:
			if (w->host[node].frozen || w->host[node].down)
				return;
			TRACE(w, "host %d freezes", node);
			freeze(w, node, w->c.clock_stop && chance(w, 700));
			end_later(w, on_thaw, node, a_while(w));
			return;
		case 2:
			s->pm_frozen = true;
			break;
		case 3:
			s->worker_frozen = true;
			break;
		default:
			s->backends_frozen = true;
	}
	TRACE(w, "%s: %s frozen", node_name(node), s->backends_frozen ? "backends" : s->pm_frozen ? "postmaster" : "worker");
	end_later(w, on_unfreeze, node, a_while(w));
}

static void
fault_power(World *w)
{
	if (chance(w, 200))
	{
		TRACE(w, "everything loses its power");
		for (int i = 0; i < w->c.nodes; i++)
		{
			Event *e;

			server_lose_power(w, i);
			e = end_later(w, on_power, i, between(w, 100 * MS, chance(w, 300) ? 15 * SECOND : 3 * SECOND));
			e->b = 1;
		}
		if (chance(w, 500))
		{
			dog_crash(w, 0, "with everything else");
			end_later(w, on_dog_restart, 0, between(w, 100 * MS, 8 * SECOND));
		}
	}
	else
	{
		int node = some_node(w);
		Event *e;

		server_lose_power(w, node);
		e = end_later(w, on_power, node, a_while(w));
		e->b = chance(w, 800);
	}
}

/* Cut off from all, or only in one direction. */
static void
isolate_for(World *w, int a, bool hears, bool speaks, int64_t span)
{
	TRACE(w, "host %d is cut off: hears %s, speaks to %s", a, hears ? "all" : "nobody", speaks ? "all" : "nobody");
	for (int i = 0; i < w->nhosts; i++)
		if (i != a)
		{
			if (!speaks)
				cut(w, a, i, true);
			if (!hears)
				cut(w, i, a, true);
		}
	end_later(w, on_heal_links, a, span)->b = -1;
}

static void
isolate(World *w, int a, bool hears, bool speaks)
{
	isolate_for(w, a, hears, speaks, a_while(w));
}

static void
fall_apart(World *w)
{
	uint32_t group = pick(w, 1u << w->nhosts);
	int64_t span = a_while(w);

	TRACE(w, "the network falls apart: group %x", group);
	for (int i = 0; i < w->nhosts; i++)
		for (int k = 0; k < w->nhosts; k++)
			if (i != k && ((group >> i ^ group >> k) & 1) != 0)
			{
				cut(w, i, k, true);
				end_later(w, on_heal_links, i, span)->b = k;
			}
}

/* One link, in one direction or in both; the watchdog's own more often than not. */
static void
cut_link(World *w, int a)
{
	int b = chance(w, 500) ? dog_host(w, 0) : (int) pick(w, (uint32_t) w->nhosts);

	if (a == b)
		return;
	if (chance(w, 500))
	{
		int swap = a;

		a = b;
		b = swap;
	}
	TRACE(w, "link from host %d to %d is cut", a, b);
	cut(w, a, b, true);
	end_later(w, on_heal_links, a, a_while(w))->b = b;
	if (chance(w, 500))
	{
		cut(w, b, a, true);
		end_later(w, on_heal_links, b, a_while(w))->b = a;
	}
}

static void
fault_network(World *w)
{
	int a = chance(w, 600) ? some_node(w) : (int) pick(w, (uint32_t) w->nhosts);

	switch (pick(w, 8))
	{
		case 0:
		case 1:
			isolate(w, a, false, false);
			return;
		case 2:
			fall_apart(w);
			return;
		case 3:
			isolate(w, a, false, true);
			return;
		case 4:
			isolate(w, a, true, false);
			return;
		case 5:
			w->host[a].wall_jump_ms = between(w, -3600 * 1000, 3600 * 1000);
			w->slow_us[a] = (int) between(w, 2 * MS, 400 * MS);
			end_later(w, on_unblock, a, a_while(w));
			return;
		case 6:
			if (a < w->c.nodes)
				w->host[a].sshd_blocked = true;
			end_later(w, on_unblock, a, a_while(w));
			return;
		default:
			cut_link(w, a);
	}
}

static void
fault_dog(World *w)
{
	int host = dog_host(w, 0);

	switch (pick(w, 6))
	{
		case 0:
			dog_crash(w, 0, "of SIGKILL");
			break;
		case 1:
		case 2:
			dog_die_in_round(w, 0, 1 + pick(w, 6));
			end_later(w, on_dog_restart, 0, between(w, SECOND, 5 * SECOND));
			return;
		case 3:
			if (w->host[host].frozen || w->host[host].down)
				return;
			TRACE(w, "the watchdog's host freezes");
			freeze(w, host, false);
			end_later(w, on_thaw, host, a_while(w));
			return;
		case 4:
			dog_lose_power(w, 0);
			break;
		default:
			dog_crash(w, 0, "of SIGKILL");
			if (w->c.old_journal && chance(w, 400))
				dog_lose_journal(w, 0);
			else if (w->c.old_journal)
				dog_restore_journal(w, 0);
	}
	end_later(w, on_dog_restart, 0, chance(w, 700) ? between(w, 50 * MS, 3 * SECOND) : a_while(w));
}

static void
order(World *w)
{
	switch (pick(w, 9))
	{
		case 5:
		case 6:
		case 7:
			dog_order_rebuild(w, 0, (int) pick(w, (uint32_t) w->c.nodes));
			break;
		case 8:
			dog_order_cancel(w, 0);
			break;
		case 0:
		case 1:
		case 2:
			dog_order_switchover(w, 0, chance(w, 500) ? -1 : (int) pick(w, (uint32_t) w->c.nodes));
			break;
		case 3:
			if (chance(w, 150))
				dog_order_accept_loss(w, 0, (int) pick(w, (uint32_t) w->c.nodes));
			break;
		default:
			/* only where it is true: no other watchdog acts */
			if (!w->c.second_dog && !w->c.clone)
				dog_order_takeover(w, 0);
	}
}

/* Killed, or not, in the middle of what was just asked for. */
static void
on_change_hurts(World *w, const Event *e)
{
	int leader = dog_leader(w, 0);

	(void) e;
	if (leader < 0 || w->quiet)
		return;
	switch (pick(w, 4))
	{
		case 0:
			server_kill(w, leader);
			end_later(w, on_restart, leader, a_while(w));
			break;
		case 1:
			if (w->c.power_faults)
			{
				server_lose_power(w, leader);
				end_later(w, on_power, leader, a_while(w))->b = 1;
			}
			break;
		case 2:
			if (w->c.network_faults)
				isolate(w, leader, false, false);
			break;
		default:
			break;
	}
}

/* Another durability, quorum or voter, now and then with a regentd that dies at one of its steps. */
void
change_rule(World *w)
{
	if (!dog_is_up(w, 0))
		return;
	switch (pick(w, 4))
	{
		case 0:
			dog_order_set(w, 0, (int) pick(w, 3), 0);
			break;
		case 1:
			dog_order_set(w, 0, -1, 1 + (int) pick(w, (uint32_t) w->c.nodes));
			break;
		case 2:
			dog_order_set(w, 0, (int) pick(w, 3), 1 + (int) pick(w, (uint32_t) w->c.nodes));
			break;
		default:
			dog_order_voters(w, 0, dog_voters(w, 0) ^ 1u << pick(w, (uint32_t) w->c.nodes));
	}
	if (w->c.dog_faults && chance(w, 300))
	{
		dog_die_in_round(w, 0, 1 + pick(w, 5));
		end_later(w, on_dog_restart, 0, between(w, 100 * MS, 6 * SECOND));
	}
	if (chance(w, 400))
		end_later(w, on_change_hurts, 0, between(w, 0, 400 * MS));
}

static void
second_dog(World *w)
{
	if (!dog_is_up(w, 1))
		dog_start(w, 1);
	else if (chance(w, 300))
	{
		dog_crash(w, 1, "again");
		end_later(w, on_dog_restart, 1, SECOND);
	}
}

static void
on_fault(World *w, const Event *e)
{
	(void) e;
	if (w->quiet)
		return;
	for (int tries = 0; tries < 8; tries++)
	{
		uint32_t kind = pick(w, w->c.changes ? 19 : 16);

		if (kind < 5 && w->c.server_faults)
			fault_server(w);
		else if (kind < 7 && w->c.freeze_faults)
			fault_freeze(w);
		else if (kind < 9 && w->c.power_faults)
			fault_power(w);
		else if (kind < 12 && w->c.network_faults)
			fault_network(w);
		else if (kind < 14 && w->c.dog_faults)
			fault_dog(w);
		else if (kind < 15 && w->c.orders)
			order(w);
		else if (kind > 15)
			change_rule(w);
		else if (kind == 15 && (w->c.second_dog || w->c.clone))
			second_dog(w);
		else
			continue;
		break;
	}
	later(w, between(w, 20 * MS, 2 * w->c.fault_gap_ms * MS), on_fault, 0, BY_WORLD);
}

/* ---- stories that chance would tell too seldom ---- */

static void
cut_both(World *w, int a, int b, bool is_cut)
{
	cut(w, a, b, is_cut);
	cut(w, b, a, is_cut);
}

/*
 * F4: only the standbys know how long the leader's lease is, and have just been
 * started again, with another wall clock.  First the watchdog loses the leader, so
 * that markers give the lease; then everybody loses the leader.
 */
static void
on_recruits_restart(World *w, const Event *e)
{
	int recruits = rg_rules_recruit_size(w->c.voters - 1);
	int dog = dog_host(w, 0);

	TRACE(w, "plan: everybody loses %s, %d standbys are started again", node_name(e->a), recruits);
	for (int i = 0; i < w->c.nodes; i++)
	{
		if (i == e->a)
			continue;
		cut_both(w, e->a, i, true);
		if (recruits-- > 0 && i < w->c.voters)
		{
			w->host[i].wall_jump_ms = 3600 * 1000;
			if (chance(w, 500))
				continue;
			server_kill(w, i);
			end_later(w, on_restart, i, between(w, 20 * MS, 100 * MS));
		}
		else
			cut_both(w, dog, i, true);
	}
	for (int i = 0; i < w->nhosts; i++)
		end_later(w, on_heal_links, i, 3 * w->c.lease_ms * MS)->b = -1;
}

static void
on_leader_dies(World *w, const Event *e)
{
	server_lose_power(w, e->a);
	end_later(w, on_power, e->a, 20 * SECOND)->b = 1;
	for (int i = 0; i < w->nhosts; i++)
		end_later(w, on_heal_links, i, 1)->b = -1;
}

/* V6: the journal is lost while a new leader leads, and only the old one is in sight. */
static void
on_journal_lost(World *w, const Event *e)
{
	TRACE(w, "plan: the watchdog loses its journal and sees only %s", node_name(e->a));
	dog_crash(w, 0, "of a plan");
	dog_lose_journal(w, 0);
	for (int i = 0; i < w->c.nodes; i++)
	{
		cut_both(w, e->a, i, i != e->a);
		cut_both(w, dog_host(w, 0), i, i != e->a);
	}
	cut(w, e->a, e->a, false);
	end_later(w, on_dog_restart, 0, 100 * MS);
	for (int i = 0; i < w->nhosts; i++)
		end_later(w, on_heal_links, i, 4 * w->c.lease_ms * MS)->b = -1;
}

/* F5: who holds the most can't replay it, and the leader dies. */
static void
stick_and_kill(World *w, int leader)
{
	int stuck = (leader + 1) % w->c.voters;
	Server *s = w->server[stuck];

	TRACE(w, "plan: %s receives and does not replay, the others receive nothing, and %s dies", node_name(stuck),
		  node_name(leader));
	s->stuck_for_good = true;
	for (int i = 0; i < w->c.nodes; i++)
		if (i != leader && i != stuck)
			cut_both(w, leader, i, true);
	end_later(w, on_leader_dies, leader, between(w, SECOND, 4 * SECOND));
	end_later(w, on_unstick, stuck, 12 * SECOND);
}

/*
 * V4: a slow leader, a fast watchdog, a long lease.  The leader is alone with the
 * watchdog; then it hears and can't speak, so that its last lease is as new as can be.
 */
static void
on_silence(World *w, const Event *e)
{
	isolate_for(w, e->a, true, false, 2 * w->c.lease_ms * MS);
}

static void
drift_apart(World *w, int leader)
{
	TRACE(w, "plan: the clock of %s is slow, the watchdog's is fast", node_name(leader));
	clock_jump_rate(w, node_host(leader), -200);
	clock_jump_rate(w, dog_host(w, 0), 200);
	for (int i = 0; i < w->c.nodes; i++)
		if (i != leader)
			cut_both(w, leader, i, true);
	end_later(w, on_silence, leader, 4 * w->c.heartbeat_ms * MS + between(w, 0, w->c.heartbeat_ms * MS));
}

/* F23, F24, F25: a standby that is better off has to lead by now. */
static void
on_moved(World *w, const Event *e)
{
	int leader = dog_leader(w, 0);

	/* a handover that failed is tried again, after a minute */
	if ((leader < 0 || leader == e->a || !server_is_writable(w, leader)) && e->b == 0)
	{
		end_later(w, on_moved, e->a, 90 * SECOND)->b = 1;
		return;
	}
	if (leader < 0 || leader == e->a || !server_is_writable(w, leader))
		violate(w, "I7: %s is in trouble, and %s leads", node_name(e->a), node_name(leader));
	else
		w->handovers++;
	on_unblock(w, e);
	on_unstick(w, e);
}

static void
on_crash(World *w, const Event *e)
{
	server_crash(w, e->a);
}

static void
trouble_leader(World *w, int leader)
{
	int64_t bound = 20 * SECOND + 3 * w->c.lease_ms * MS;

	if (w->c.plan == 5)
		spoil_disk(w, leader);
	/* nobody can end it: its lease has to run out while it goes on answering */
	w->host[leader].sshd_blocked = w->server[leader]->hung_since != 0 && chance(w, 500);
	for (int i = 0; w->c.plan == 6 && i < w->c.crash_limit; i++)
		end_later(w, on_crash, leader, i * 5 * SECOND + between(w, 0, 300 * MS));
	if (w->c.plan == 6)
		bound += w->c.crash_limit * 5 * SECOND;
	end_later(w, on_moved, leader, bound);
}

static void
on_plan(World *w, const Event *e)
{
	int leader = dog_leader(w, 0);

	(void) e;
	if (leader < 0 || w->quiet)
		return;
	if (w->c.plan >= 5)
	{
		/* its bound is that of a cluster that was well */
		if (!dog_all_is_well(w, 0))
		{
			end_later(w, on_plan, 0, SECOND);
			return;
		}
		trouble_leader(w, leader);
		return;
	}
	if (w->c.plan == 4)
	{
		drift_apart(w, leader);
		return;
	}
	if (w->c.plan == 3)
	{
		stick_and_kill(w, leader);
		return;
	}
	cut_both(w, dog_host(w, 0), leader, true);
	if (w->c.plan == 1)
		end_later(w, on_recruits_restart, leader, between(w, 2, 4) * w->c.lease_ms * MS + SECOND);
	else
	{
		for (int i = 0; i < w->c.nodes; i++)
			if (i != leader)
				cut_both(w, leader, i, true);
		end_later(w, on_journal_lost, leader, 3 * w->c.lease_ms * MS + 4 * SECOND);
	}
}

void
faults_init(World *w)
{
	if (w->c.plan == STORY_PLAN)
	{
		story_begin(w);
		later(w, 40 * SECOND + 5 * w->c.lease_ms * MS, on_fault, 0, BY_WORLD);
		w->c.faults_us = 45 * SECOND + 5 * w->c.lease_ms * MS;
		return;
	}
	if (w->c.plan == SWAP_PLAN)
	{
		story_swap_begin(w);
		later(w, 70 * SECOND + 5 * w->c.lease_ms * MS, on_fault, 0, BY_WORLD);
		w->c.faults_us = 80 * SECOND + 5 * w->c.lease_ms * MS;
		return;
	}
	/* nothing else happens until somebody leads who is better off, or should (on_moved) */
	if (w->c.plan >= 5)
	{
		end_later(w, on_plan, 0, 5 * SECOND);
		later(w, 140 * SECOND + 3 * w->c.lease_ms * MS, on_fault, 0, BY_WORLD);
		w->c.faults_us += 140 * SECOND + 3 * w->c.lease_ms * MS;
		return;
	}
	if (w->c.plan != 0)
	{
		end_later(w, on_plan, 0, 5 * SECOND);
		later(w, 20 * SECOND + (w->c.plan == 4 ? 2 : 8) * w->c.lease_ms * MS, on_fault, 0, BY_WORLD);
		w->c.faults_us += w->c.plan == 4 ? 30 * SECOND + 2 * w->c.lease_ms * MS : 20 * SECOND;
		return;
	}
	later(w, 5 * SECOND + pick(w, 2000000), on_fault, 0, BY_WORLD);
}

/* Everything that can be mended is; who is off is started. */
void
faults_stop(World *w)
{
	TRACE(w, "--- the faults stop");
	w->quiet = true;
	for (int i = 0; i < w->nhosts; i++)
	{
		for (int k = 0; k < w->nhosts; k++)
			if (w->cut[i][k])
				cut(w, i, k, false);
		w->host[i].sshd_blocked = false;
		w->slow_us[i] = 0;
		if (w->host[i].frozen)
		{
			Event e = {.a = i};

			on_thaw(w, &e);
		}
	}
	for (int i = 0; i < w->c.nodes; i++)
	{
		Event e = {.a = i};

		server_power_on(w, i, false);
		on_unfreeze(w, &e);
		on_unstick(w, &e);
		if (w->server[i]->run == RUN_NO && !w->server[i]->orphans)
			server_start(w, i);
	}
	if (w->c.second_dog || w->c.clone)
	{
		/* of two copies the one goes on that was started last */
		if (w->c.clone && dog_counter(w, 1) > dog_counter(w, 0))
			w->chief = 1;
		dog_end(w, 1 - w->chief);
	}
	dog_start(w, w->chief);
}

/* A person who starts what lies there. */
void
faults_person(World *w)
{
	for (int i = 0; i < w->c.nodes; i++)
	{
		Server *s = w->server[i];

		if (s->run == RUN_NO && !s->orphans)
			server_start(w, i);
		/* regent-node settle: what an interrupted rebuild has left beside the directory */
		if (s->run == RUN_UP)
			s->has_old = false;
	}
}
