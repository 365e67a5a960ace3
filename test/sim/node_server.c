/*
 * node_server.c
 *	  The life of a server: starts, stops, deaths, its worker and its gate.
 *
 * Nothing of shared memory outlives a start.  A postmaster that is killed leaves
 * backends that go on for a while, with the lease that they still see.
 */
#include "node.h"

#include <stddef.h>

/* As RgDiskView counts; this file knows no header of the watchdog. */
#define DISK_OK 1
#define DISK_FULL 2
#define DISK_HUNG 4

static Server servers[NODES_MAX];
static Data pool[NODES_MAX][4];

bool
server_accepts(World *w, const Event *e)
{
	const Server *s = w->server[e->host];

	if (e->life != s->life || e->life == 0)
		return false;
	return s->run != RUN_NO || (s->orphans && e->orphans);
}

bool
server_waits(World *w, const Event *e)
{
	const Server *s = w->server[e->host];

	return (e->proc == BY_POSTMASTER && s->pm_frozen) || (e->proc == BY_WORKER && s->worker_frozen) ||
		(e->proc == BY_BACKEND && s->backends_frozen);
}

bool
server_is_up(const World *w, int node)
{
	return w->server[node]->run == RUN_UP && !w->host[node].down;
}

bool
node_runs(const World *w, int node)
{
	return w->server[node]->run != RUN_NO || w->server[node]->orphans;
}

/* ---- the gate ---- */

RgGate
server_gate(const World *w, int node)
{
	const Server *s = w->server[node];
	RgGateState g;

	memset(&g, 0, sizeof(g));
	if (s->run != RUN_UP && !s->orphans)
		return RG_GATE_UNKNOWN;
	g.in_recovery = s->in_recovery;
	g.is_known = s->rules_read;
	g.state_bad = s->state_bad;
	g.has_state = s->shm.promise_term > 0 || s->shm.has_rule || s->data->state_file != STATE_MISSING;
	g.has_rule = s->shm.has_rule;
	g.is_leader = s->shm.has_rule && strcmp(s->shm.rule.leader, s->shm.node) == 0;
	g.rule_term = s->shm.has_rule ? s->shm.rule.term : 0;
	g.promised_term = rg_state_closing_term(&s->shm);
	g.is_stale = s->stale_since_ms > 0 && !RG_MUTANT(25);
	g.lease_until_ms = s->lease_until_ms;
	g.override_until_ms = s->override_until_ms;
	return rg_rules_gate(&g, clock_ms(w, node));
}

bool
server_is_writable(const World *w, int node)
{
	return rg_gate_is_open(server_gate(w, node));
}

/* ---- the worker ---- */

static void
on_worker(World *w, const Event *e)
{
	Server *s = w->server[e->host];
	int64_t pause = 2 * SECOND;

	if (s->run != RUN_UP)
		return;
	if (!s->in_recovery && !s->begun && !s->state_bad && s->data->state_file == STATE_OK)
	{
		s->begun = true;
		s->dirty |= rg_state_begin(&s->shm, s->data->timeline, s->start_lsn);
	}
	server_adopt_rules(w, e->host, true);
	if (!s->rules_read)
	{
		s->rules_read = true;
		/* it holds rules, and the file that knows its promises is gone: no vote */
		if (s->data->state_file == STATE_MISSING && s->shm.has_rule)
			s->state_bad = true;
		if (rg_state_is_parked(&s->shm) && s->live_source >= 0)
		{
			s->data->source = s->live_source = -1;
			s->parked = true;
			stream_stop(w, e->host);
		}
		check_open(w, e->host);
	}
	if (!s->in_recovery)
	{
		stream_expire(w, e->host);
		pause = lease_work(w, e->host);
		/* what a server writes by itself */
		if (e->x != 0 && chance(w, 150) && !w->quiet && data_append(w, s->data, -1) > 0)
			server_flush(w, e->host, between(w, 200, 200 * MS));
	}
	if (e->x != 0)
	{
		Event *next = later(w, s->in_recovery || pause < 500 * MS ? pause + MS : 500 * MS, on_worker, e->host, BY_WORKER);

		next->life = s->life;
		next->x = 1;
	}
}

void
server_worker_soon(World *w, int node)
{
	Server *s = w->server[node];

	later(w, between(w, 500, chance(w, 100) ? 500 * MS : 20 * MS), on_worker, node, BY_WORKER)->life =
		s->life;
}

/* Rules whose rows are flushed (replayed) here, into shared memory and the file. */
void
server_adopt_rules(World *w, int node, bool store)
{
	Server *s = w->server[node];
	Data *d = s->data;
	int upto = s->in_recovery ? s->replay : d->flushed;
	bool changed = false;

	if (upto > d->len)
		upto = d->len;
	for (; s->rules_pos < upto; s->rules_pos++)
		if (d->log[s->rules_pos].rule >= 0)
		{
			RgRule rule;

			rule_to_state(w, d->log[s->rules_pos].rule, &rule);
			changed |= rg_state_adopt_rule(&s->shm, &rule);
		}
	s->dirty |= changed;
	if (changed)
		lease_rule_changed(w, node);
	if (s->dirty && store && s->lock < 0 && !s->state_bad &&
		(d->state_file == STATE_OK || s->shm.promise_term > 0 || !s->rules_read || s->in_recovery))
	{
		s->dirty = false;
		d->state = s->shm;
		data_store_state(w, d);
	}
	if (changed)
		check_open(w, node);
}

void
server_share_state(World *w, int node)
{
	Server *s = w->server[node];

	if (s->run == RUN_NO)
		return;
	s->shm = s->data->state;
	lease_rule_changed(w, node);
}

/* ---- WAL of a primary ---- */

static void
on_flush(World *w, const Event *e)
{
	Server *s = w->server[e->host];
	int upto = e->a < s->data->len ? e->a : s->data->len;

	s->flush_pending = false;
	if ((s->disk_full || s->hung_since != 0) && !s->in_recovery)
	{
		Event *again = later(w, 100 * MS, on_flush, e->host, BY_STREAM);

		again->life = e->life;
		again->a = e->a;
		again->orphans = e->orphans;
		return;
	}
	if (s->data->written < upto)
		s->data->written = upto;
	if (s->data->flushed < upto)
		s->data->flushed = upto;
	stream_kick(w, e->host);
	clients_waken(w, e->host);
	lease_votes_changed(w, e->host);
}

void
server_flush(World *w, int node, int64_t delay_us)
{
	Server *s = w->server[node];
	Event *e = later(w, delay_us, on_flush, node, BY_STREAM);

	e->life = s->life;
	e->a = s->data->len;
	e->orphans = true;
}

/* ---- start ---- */

static void
on_up(World *w, const Event *e)
{
	Server *s = w->server[e->host];
	Data *d = s->data;

	if (s->run != RUN_STARTING)
		return;
	if (s->hung_since != 0)
	{
		later(w, 200 * MS, on_up, e->host, BY_POSTMASTER)->life = s->life;
		return;
	}
	s->run = RUN_UP;
	/* after a crash the server syncs its directory before it begins */
	d->written = d->flushed = d->len;
	TRACE(w, "%s is up as a %s: len %d, timeline %u, promise %lld, rule %lld", node_name(e->host),
		  s->in_recovery ? "standby" : "primary", d->len, d->timeline, (long long) s->shm.promise_term,
		  (long long) (s->shm.has_rule ? s->shm.rule.term : 0));
	if (!s->in_recovery)
	{
		s->replay = d->len;
		s->start_lsn = data_lsn(d, d->len);
		d->control = CONTROL_PRODUCTION;
		if (data_append(w, d, -1) > 0)
			d->checkpoint = d->len;
		server_flush(w, e->host, between(w, 100, 3 * MS));
	}
	else
	{
		if (s->replay < d->consistent)
			s->replay = d->consistent;
		stream_replay(w, e->host);
		stream_wake(w, e->host);
	}
	{
		Event *work = later(w, between(w, 2 * MS, 60 * MS), on_worker, e->host, BY_WORKER);

		work->life = s->life;
		work->x = 1;
	}
}

/* The lock of a process that has ended; a helper's goes on. */
static void
release_lock(Server *s)
{
	if (s->lock >= 0 && !(s->commands[s->lock].used && s->commands[s->lock].by_helper))
		s->lock = -1;
}

static void
start_shared_memory(World *w, Server *s)
{
	Data *d = s->data;
	int64_t now_ms = clock_ms(w, s->node);

	s->state_bad = d->state_file == STATE_BAD;
	if (d->state_file == STATE_OK)
		s->shm = d->state;
	else
		rg_state_init(&s->shm, node_name(s->node), 7300000000000000001u);
	s->dirty = s->rules_read = s->was_open = false;
	s->rules_pos = 0;
	s->joint.term = s->joint.seq = 0;
	s->joint_pos = -1;
	lease_rule_changed(w, s->node);
	s->lease_until_ms = s->stale_since_ms = s->override_until_ms = 0;
	s->seen_ms = 0;
	s->intruder_ms = 0;
	s->ahead = -1;
	s->start_lsn = 0;
	s->begun = false;
	s->nmarkers = 0;
	s->marker_at_ms = s->leads_since_ms = 0;
	s->wake_armed = false;
	s->last_wal_ms = s->last_message_ms = now_ms;
	if (RG_MUTANT(14))			/* F4: a start is no receipt */
		s->last_wal_ms = s->last_message_ms = now_ms - 1000000;
	release_lock(s);
	memset(s->senders, 0, sizeof(s->senders));
	s->received = 0;
	s->receiver = RECEIVER_STOPPED;
	s->promote_asked = false;
	s->replaying = false;
	s->live_source = d->source;
	/* with a source that a killed fetch has left it streams until the worker looks */
	s->parked = rg_state_is_parked(&s->shm) && d->source < 0;
	s->pm_frozen = s->worker_frozen = s->backends_frozen = false;
}

void
server_start(World *w, int node)
{
	Server *s = w->server[node];
	Data *d = s->data;
	int64_t span;

	s->restarts_at = 0;
	if (w->host[node].down || s->run != RUN_NO || s->orphans || d->removed || d->half_rewound)
		return;
	/* the extension sees the lock (start.c), and gives up */
	if (helper_exchanges(s))
		return;
	s->run = RUN_STARTING;
	s->by_hand = false;
	s->life = ++w->life;
	s->id.boot = w->host[node].boot;
	s->id.pid = 1000 * (node + 1) + ++s->pids;
	s->id.started_s = 1700000000 + w->now / SECOND;
	s->crash_restarts = 0;
	d->pidfile = true;
	s->in_recovery = d->standby_signal;
	if (d->control != CONTROL_SHUT_DOWN || s->in_recovery)
		d->control = CONTROL_RECOVERY;
	start_shared_memory(w, s);
	s->replay = d->restartpoint;
	span = between(w, 60 * MS, chance(w, 150) && !w->quiet ? 4 * SECOND : 600 * MS);
	TRACE(w, "%s is started: len %d, %s", node_name(node), d->len, s->in_recovery ? "standby" : "no standby.signal");
	later(w, span, on_up, node, BY_POSTMASTER)->life = s->life;
}

/* ---- ends ---- */

void
server_goodbye(World *w, int node, Outcome words)
{
	Server *s = w->server[node];

	for (int i = 0; i < w->c.dogs; i++)
	{
		Message *m = message_new(w);

		m->verb = V_CONNECT;
		m->node = node;
		m->dog = i;
		m->life = s->life;
		m->outcome = words;
		send_to(w, node_host(node), dog_host(w, i), dog_receive, BY_WORLD, m);
	}
}

static void
end_processes(World *w, int node)
{
	Server *s = w->server[node];

	stream_drop(w, node);
	command_fail_all(w, node, false);
	clients_crash(w, node);
	s->run = RUN_NO;
	s->orphans = false;
	s->life = 0;
	s->receiver = RECEIVER_STOPPED;
	s->lease_until_ms = 0;
	s->stuck = s->stuck_for_good = false;
	s->replaying = false;
	release_lock(s);
	release_held(w, node);		/* what belonged to it is dropped there */
}

void
server_kill(World *w, int node)
{
	Server *s = w->server[node];

	if (s->run == RUN_NO && !s->orphans)
		return;
	TRACE(w, "%s: every process is killed, len %d written %d", node_name(node), s->data->len, s->data->written);
	server_goodbye(w, node, OUT_CLOSED);
	data_truncate(s->data, s->in_recovery ? s->data->len : s->data->written);
	s->data->written = s->data->len;
	end_processes(w, node);
}

/* The postmaster lives: all its children are killed, shared memory is new, recovery begins. */
void
server_crash(World *w, int node)
{
	Server *s = w->server[node];
	StartId id = s->id;
	int restarts = s->crash_restarts + 1;

	if (s->run != RUN_UP)
		return;
	server_kill(w, node);
	server_start(w, node);
	if (s->run == RUN_NO)
		return;
	TRACE(w, "%s: a backend has crashed, its postmaster begins anew", node_name(node));
	s->id = id;
	s->crash_restarts = restarts;
}

static void
on_orphans_gone(World *w, const Event *e)
{
	Server *s = w->server[e->host];

	if (s->orphans)
		server_kill(w, e->host);
}

void
server_kill_postmaster(World *w, int node)
{
	Server *s = w->server[node];
	Event *e;

	if (s->run == RUN_NO)
		return;
	TRACE(w, "%s: its postmaster is killed, backends go on", node_name(node));
	server_goodbye(w, node, OUT_DIED);
	stream_drop(w, node);
	command_fail_all(w, node, false);
	s->run = RUN_NO;
	s->orphans = true;
	s->receiver = RECEIVER_STOPPED;
	release_lock(s);
	e = later(w, between(w, MS, chance(w, 300) ? 20 * SECOND : 300 * MS), on_orphans_gone, node, BY_BACKEND);
	e->life = s->life;
	e->orphans = true;
}

/* Its last record has to reach everybody who is connected: so a fast stop waits for them. */
static void
on_stopping(World *w, const Event *e)
{
	Server *s = w->server[e->host];

	if (s->run != RUN_STOPPING)
		return;
	if (s->hung_since != 0)
	{
		later(w, 200 * MS, on_stopping, e->host, BY_POSTMASTER)->life = s->life;
		return;
	}
	stream_expire(w, e->host);
	if (!s->in_recovery)
		for (int i = 0; i < w->c.nodes; i++)
			if (s->senders[i].connected && s->senders[i].flush < s->data->flushed)
			{
				later(w, 20 * MS, on_stopping, e->host, BY_POSTMASTER)->life = s->life;
				return;
			}
	server_finish_stop(w, e->host);
}

void
server_finish_stop(World *w, int node)
{
	Server *s = w->server[node];
	Data *d = s->data;

	if (s->in_recovery)
	{
		d->restartpoint = s->replay;
		d->consistent = s->replay;
	}
	d->flushed = d->written = d->len;
	d->control = CONTROL_SHUT_DOWN;
	d->pidfile = false;
	TRACE(w, "%s has been stopped: len %d", node_name(node), d->len);
	end_processes(w, node);
}

static void
on_shutdown_checkpoint(World *w, const Event *e)
{
	Server *s = w->server[e->host];

	if (!s->in_recovery && data_append(w, s->data, -1) > 0)
	{
		s->data->checkpoint = s->data->len;
		s->data->written = s->data->flushed = s->data->len;
		stream_kick(w, e->host);
	}
	later(w, between(w, 5 * MS, 60 * MS), on_stopping, e->host, BY_POSTMASTER)->life = s->life;
}

void
server_stop(World *w, int node)
{
	Server *s = w->server[node];

	if (s->run == RUN_STARTING)
	{
		server_goodbye(w, node, OUT_STOPPED);
		s->data->pidfile = false;
		end_processes(w, node);
		return;
	}
	if (s->run != RUN_UP)
		return;
	TRACE(w, "%s is being stopped", node_name(node));
	server_goodbye(w, node, OUT_STOPPED);
	clients_crash(w, node);
	command_fail_all(w, node, false);
	s->run = RUN_STOPPING;
	stream_stop(w, node);
	later(w, between(w, 5 * MS, 60 * MS), on_shutdown_checkpoint, node, BY_POSTMASTER)->life = s->life;
}

void
server_lose_power(World *w, int node)
{
	Server *s = w->server[node];

	if (w->host[node].down)
		return;
	data_lose_power(w, s->data);
	if (s->has_copy)
		s->has_copy = chance(w, 500);
	TRACE(w, "%s loses its power: len %d", node_name(node), s->data->len);
	if (w->host[node].frozen)
		thaw(w, node);
	w->host[node].down = true;
	s->data->pidfile = s->run != RUN_NO;
	command_fail_all(w, node, true);
	end_processes(w, node);
	s->job_term = s->job_ticket = s->job_seq = 0;
}

void
server_power_on(World *w, int node, bool start)
{
	Host *h = &w->host[node];

	if (!h->down)
		return;
	h->down = false;
	h->boot++;
	h->clock_us = between(w, 5 * SECOND, 20 * SECOND);
	h->true_us = w->now;
	TRACE(w, "%s has power again", node_name(node));
	if (start)
		server_start(w, node);
}

/* The disk is one of some time ago: a snapshot, a storage that failed back. */
void
server_restore_image(World *w, int node)
{
	Server *s = w->server[node];

	if (!s->has_image)
		return;
	data_copy(s->data, s->image);
	data_lose_power(w, s->data);
	TRACE(w, "%s has the disk of an earlier day: len %d", node_name(node), s->data->len);
}

/* ---- what it shows ---- */

void
server_show(World *w, int node, Shown *f)
{
	Server *s = w->server[node];
	Data *d = s->data;
	int64_t now_ms = clock_ms(w, node);
	uint32_t timeline = s->in_recovery ? (s->replay > 0 ? d->log[s->replay - 1].timeline : 1) : d->timeline;

	memset(f, 0, offsetof(Shown, terms));
	f->start = s->id;
	f->in_recovery = s->in_recovery;
	f->streaming = s->receiver == RECEIVER_STREAMING;
	f->paused = s->stuck_for_good;
	f->gate = server_gate(w, node);
	f->timeline = timeline;
	f->receive = s->in_recovery ? data_lsn(d, s->received) : 0;
	f->replay = s->in_recovery ? data_lsn(d, s->replay) : 0;
	f->flush = data_lsn(d, s->in_recovery ? s->received : d->flushed);
	f->current = s->in_recovery ? 0 : data_lsn(d, d->written);
	f->start_lsn = s->in_recovery ? rg_state_unopened_lsn(&s->shm, timeline) : s->start_lsn;
	f->message_age_ms = s->in_recovery ? now_ms - s->last_message_ms : -1;
	f->wal_age_ms = s->in_recovery ? now_ms - s->last_wal_ms : -1;
	/* mutation 12: by the wall clock, which somebody has just set */
	if (RG_MUTANT(12) && s->in_recovery)
		f->wal_age_ms += w->host[node].wall_jump_ms;
	f->promised_term = rg_state_effective_term(&s->shm);
	f->promoting_term = s->shm.promoting;
	f->rule = s->shm.has_rule ? rule_of_state(w, &s->shm.rule) : -1;
	f->boottime_ms = now_ms;
	f->lease_left_ms = s->lease_until_ms <= 0 ? -1 : s->lease_until_ms > now_ms ? s->lease_until_ms - now_ms : 0;
	f->ahead = s->ahead;
	f->obeys = watchdog_of(s->shm.watchdog);
	f->intruded = s->intruder_ms != 0;
	f->disk = s->hung_since != 0 && w->now - s->hung_since >= SECOND ? DISK_HUNG : s->disk_full ? DISK_FULL : DISK_OK;
	f->crash_restarts = s->crash_restarts;
	for (int i = 0; i < w->c.nodes; i++)
		if (s->senders[i].connected)
		{
			f->streaming_from_us |= 1u << i;
			f->sync_with_us |= 1u << i;
			f->flushed_from_us[i] = data_lsn(d, s->senders[i].flush < d->len ? s->senders[i].flush : d->len);
		}
	f->settled = !s->joint.has_previous && !s->joint.has_pending;
	f->nterms = data_terms(d, &s->shm, timeline, f->terms);
}

void
nodes_init(World *w)
{
	for (int i = 0; i < NODES_MAX; i++)
	{
		Server *s = &servers[i];

		memset(s, 0, sizeof(*s));
		memset(pool[i], 0, sizeof(pool[i]));
		w->server[i] = s;
		s->node = i;
		s->data = &pool[i][0];
		s->copy = &pool[i][1];
		s->old = &pool[i][2];
		s->image = &pool[i][3];
		s->lock = -1;
		s->ahead = -1;
		data_init(s->data, i);
	}
}
