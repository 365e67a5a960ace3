/*
 * dog_link.c
 *	  Sessions, heartbeats, SSH: what the daemon sees of its nodes.
 *
 * As watchdog/app/node.c and beat.c do it: a lost session is tried again at once,
 * then with a back-off; a failed poll erases no facts; a heartbeat that is not
 * answered within its deadline ends the session.
 */
#include "dog.h"

#include <stddef.h>

#define CONNECT_DEADLINE_MS 2000
#define FRESH_INTERVAL_MS 2000
#define SSH_DEADLINE_MS 5000
#define SSH_KEEPALIVE_MS 5000

static void on_connect_deadline(World *w, const Event *e);
static void on_beat_deadline(World *w, const Event *e);
static void on_beat_timer(World *w, const Event *e);
static void ssh_connect(World *w, Dog *dog, int node);

/* ---- forms ---- */

void
dog_start_id(const World *w, int node, const StartId *id, RgServerStart *ret)
{
	(void) w;
	memset(ret, 0, sizeof(*ret));
	snprintf(ret->boot_id, sizeof(ret->boot_id), "boot-%d-%d", node, id->boot);
	ret->pid = id->pid;
	ret->started_s = id->started_s;
}

void
dog_rule(const World *w, int rule, RgRule *ret)
{
	static const char *const durabilities[] = {"async", "sync", "strict"};
	const Rule *r;

	memset(ret, 0, sizeof(*ret));
	if (rule < 0)
		return;
	r = &w->rules[rule];
	ret->term = r->term;
	ret->seq = r->seq;
	snprintf(ret->leader, sizeof(ret->leader), "n%d", r->leader + 1);
	for (int i = 0; i < NODES_MAX; i++)
		if ((r->voters >> i & 1) != 0)
			snprintf(ret->voters[ret->nvoters++], RG_CORE_NAME_MAX, "n%d", i + 1);
	snprintf(ret->durability, sizeof(ret->durability), "%s", durabilities[r->durability]);
	ret->quorum = r->quorum;
	for (int i = 0; i < ret->nvoters; i++)
		if ((r->left_out >> (ret->voters[i][1] - '1') & 1) != 0)
			ret->left_out |= 1u << i;
	ret->lease_ms = r->lease_ms;
	snprintf(ret->watchdog, sizeof(ret->watchdog), "00000000-0000-4000-8000-0000000000%02d", r->watchdog);
}

static RgGateView
gate_view(RgGate gate)
{
	return gate == RG_GATE_OVERRIDE ? RG_GATEV_OVERRIDE : gate == RG_GATE_OFF ? RG_GATEV_OFF
		: rg_gate_is_open(gate) ? RG_GATEV_OPEN : RG_GATEV_CLOSED;
}

static void
take_facts(World *w, Dog *dog, int node, const Shown *s)
{
	RgNodeView *v = &dog->view.nodes[node];
	DogNode *n = &dog->n[node];
	RgFacts *f = &v->facts;
	RgRule rule;

	/* a rule that is there already need not be put into words again */
	if (n->rule != s->rule + 1 || !f->valid)
		dog_rule(w, s->rule, &rule);
	else
		rule = f->rule;
	memset(f, 0, offsetof(RgFacts, terms));
	memset((char *) f + offsetof(RgFacts, start), 0, sizeof(*f) - offsetof(RgFacts, start));
	f->rule = rule;
	n->rule = s->rule + 1;
	f->valid = true;
	f->in_recovery = s->in_recovery;
	f->writable = !s->in_recovery && rg_gate_is_open(s->gate);
	f->replay_paused = s->paused;
	f->receiver_streaming = s->streaming;
	f->timeline = s->timeline;
	f->receive_lsn = s->receive;
	f->replay_lsn = s->replay;
	f->flush_lsn = s->flush;
	f->current_lsn = s->current;
	f->start_lsn = s->start_lsn;
	f->replay_lag_bytes = s->in_recovery && s->receive > 0 ? (int64_t) (s->receive - s->replay) : s->in_recovery ? -1 : 0;
	f->replay_lag_ms = -1;
	f->message_age_ms = s->message_age_ms;
	f->system_identifier = 7300000000000000001;
	f->promised_term = s->promised_term;
	f->promoting_term = s->promoting_term;
	f->nterms = s->nterms;
	memcpy(f->terms, s->terms, sizeof(f->terms[0]) * (size_t) s->nterms);
	dog_start_id(w, node, &s->start, &f->start);
	f->streaming_from_us = s->streaming_from_us;
	f->sync_with_us = s->sync_with_us;
	f->settled = s->settled;
	for (int i = 0; i < w->c.nodes; i++)
		f->flushed_from_us[i] = s->flushed_from_us[i];
	f->boottime_ms = s->boottime_ms;
	f->gate = gate_view(s->gate);
	f->lease_left_ms = s->lease_left_ms;
	f->wal_age_ms = s->wal_age_ms;
	if (s->ahead >= 0)
		snprintf(f->ahead, sizeof(f->ahead), "n%d", s->ahead + 1);
	f->disk = (RgDiskView) s->disk;
	f->disk_free_bytes = s->disk == RG_DISKV_FULL ? 0 : 1000000000;
	snprintf(f->disk_text, sizeof(f->disk_text), "as the simulator makes it");
	f->crash_restarts = s->crash_restarts;
	f->intruder_age_ms = -1;
	if (s->intruded)
	{
		snprintf(f->intruder, sizeof(f->intruder), "another counter 1");
		f->intruder_age_ms = 1;
	}
	v->facts_ms = v->sql_ms = dog_now_ms(w, dog);
	v->sql = RG_SQL_OK;
	v->sqlstate[0] = v->sql_text[0] = '\0';
	v->lost_ms = 0;
}

/* ---- messages ---- */

Message *
dog_message(World *w, Dog *dog, int node, Verb verb)
{
	Message *m = message_new(w);

	m->verb = verb;
	m->dog = dog->index;
	m->dog_life = dog->life;
	m->node = node;
	m->life = verb > V_SSH ? dog->n[node].ssh_boot : dog->n[node].session_life;
	m->serial = ++dog->serial * DOGS_MAX + dog->index;
	m->watchdog = dog->watchdog;
	m->counter = dog->counter;
	return m;
}

/* What has been sent comes late, or again: held up on its way, while the sender goes on. */
static void
send_again(World *w, Dog *dog, const Message *m)
{
	Message *copy = message_new(w);
	Event *e;

	memcpy(copy, m, sizeof(*copy));
	copy->again = true;
	e = later(w, between(w, 50 * MS, 6 * w->c.lease_ms * MS), node_receive, node_host(m->node), BY_HOST);
	e->msg = copy;
	(void) dog;
}

void
dog_send(World *w, Dog *dog, Message *m)
{
	story_swap_sees(w, m);
	if (!w->quiet && w->c.network_faults && m->verb != V_CONNECT && m->verb != V_SSH && m->verb != V_PROBE &&
		chance(w, m->verb == V_HEARTBEAT ? 5 : 80))
		send_again(w, dog, m);
	send_to(w, dog_host(w, dog->index), node_host(m->node), node_receive, BY_HOST, m);
}

static Event *
timer(World *w, Dog *dog, int64_t delay_ms, EventFn fn, int node, int serial)
{
	/* by its own clock, which may be slow or fast */
	Event *e = later(w, delay_ms * MS, fn, dog_host(w, dog->index), BY_DOG);

	e->life = dog->life;
	e->a = node;
	e->b = serial;
	e->x = dog->index;
	return e;
}

/* ---- the session that beats ---- */

static void
arm_beat(World *w, Dog *dog, int node, int64_t delay_ms)
{
	(void) timer(w, dog, delay_ms, on_beat_timer, node, ++dog->n[node].beat_timer);
}

static RgSql
sql_of(Outcome outcome)
{
	switch (outcome)
	{
		case OUT_NOBODY:
			return RG_SQL_REFUSED;
		case OUT_STARTING:
		case OUT_STOPPING:
			return RG_SQL_STARTING;
		case OUT_OTHER_WATCHDOG:
			return RG_SQL_OTHER_WATCHDOG;
		case OUT_LOWER_COUNTER:
			return RG_SQL_LOWER_COUNTER;
		case OUT_CLOSED:
		case OUT_DIED:
		case OUT_STOPPED:
			return RG_SQL_CLOSED;
		default:
			return RG_SQL_ERROR;
	}
}

static void
take_words(World *w, Dog *dog, int node, Outcome outcome)
{
	RgNodeView *v = &dog->view.nodes[node];

	if (outcome == OUT_DIED)
		v->died_ms = dog_now_ms(w, dog);
	else if (outcome == OUT_STOPPED || outcome == OUT_STOPPING)
		v->purpose_ms = dog_now_ms(w, dog);
}

static void
take_failure(World *w, Dog *dog, int node, RgSql sql)
{
	RgNodeView *v = &dog->view.nodes[node];

	v->sql = sql;
	v->sql_ms = dog_now_ms(w, dog);
}

/* The session has ended, or could not be opened. */
static void
session_failed(World *w, Dog *dog, int node, RgSql sql)
{
	DogNode *n = &dog->n[node];
	RgNodeView *v = &dog->view.nodes[node];
	int64_t interval = dog_interval_ms(w, dog);
	int64_t wait;

	n->open = n->connecting = n->beat_waiting = false;
	n->connect_serial = n->beat_serial = 0;
	dog_steps_lost(w, dog, node, false);
	take_failure(w, dog, node, sql);
	if (v->lost_ms == 0)
		v->lost_ms = dog_now_ms(w, dog);
	v->fresh = RG_SQL_UNKNOWN;
	wait = n->tries == 0 ? 0 : (int64_t) 20 << (n->tries < 10 ? n->tries : 10);
	n->tries++;
	arm_beat(w, dog, node, wait > interval ? interval : wait);
	dog_wake(w, dog);
}

static void
connect_session(World *w, Dog *dog, int node, bool is_fresh)
{
	DogNode *n = &dog->n[node];
	Message *m = dog_message(w, dog, node, V_CONNECT);

	if (is_fresh)
		n->fresh_serial = m->serial;
	else
	{
		n->connecting = true;
		n->connect_serial = m->serial;
	}
	(void) timer(w, dog, CONNECT_DEADLINE_MS, on_connect_deadline, node, m->serial);
	dog_send(w, dog, m);
}

static void
on_fresh_timer(World *w, const Event *e)
{
	Dog *dog = w->dog[e->x];

	if (dog->n[e->a].open)
		connect_session(w, dog, e->a, true);
	else
		(void) timer(w, dog, FRESH_INTERVAL_MS, on_fresh_timer, e->a, 0);
}

static void
take_fresh(World *w, Dog *dog, int node, RgSql met)
{
	RgNodeView *v = &dog->view.nodes[node];

	dog->n[node].fresh_serial = 0;
	if (met != v->fresh)
	{
		v->fresh = met;
		v->fresh_since_ms = dog_now_ms(w, dog) - (met == RG_SQL_SILENT ? CONNECT_DEADLINE_MS : 0);
		dog_wake(w, dog);
	}
	(void) timer(w, dog, FRESH_INTERVAL_MS, on_fresh_timer, node, 0);
}

static void
on_connect_deadline(World *w, const Event *e)
{
	Dog *dog = w->dog[e->x];
	DogNode *n = &dog->n[e->a];

	if (n->connecting && n->connect_serial == e->b)
		session_failed(w, dog, e->a, RG_SQL_SILENT);
	else if (n->fresh_serial == e->b)
		take_fresh(w, dog, e->a, RG_SQL_SILENT);
}

static void
on_beat_timer(World *w, const Event *e)
{
	Dog *dog = w->dog[e->x];
	DogNode *n = &dog->n[e->a];

	if (n->beat_timer != e->b)
		return;
	if (n->open)
		dog_beat(w, dog, e->a);
	else if (!n->connecting)
		connect_session(w, dog, e->a, false);
}

static void
take_connected(World *w, Dog *dog, int node, const Message *m)
{
	DogNode *n = &dog->n[node];

	if (m->serial == n->fresh_serial)
	{
		take_words(w, dog, node, m->outcome);
		take_fresh(w, dog, node, m->outcome == OUT_OK ? RG_SQL_OK : sql_of(m->outcome));
		return;
	}
	if (!n->connecting || m->serial != n->connect_serial)
		return;
	if (m->outcome != OUT_OK)
	{
		take_words(w, dog, node, m->outcome);
		session_failed(w, dog, node, sql_of(m->outcome));
		return;
	}
	n->connecting = false;
	n->open = true;
	n->session_life = m->life;
	n->tries = 0;
	n->has_last = false;
	dog_beat(w, dog, node);
}

/* ---- heartbeats ---- */

static bool
may_grant(const World *w, Dog *dog, int node, int64_t *ret_term, int64_t *ret_until_ms)
{
	/* mutation 17: whatever start of the server the clock was of */
	if (!dog->n[node].has_last && !RG_MUTANT(17))
		return false;
	if (dog_has_slept(w, dog) || !rg_lease_grant(&dog->view, &dog->memory, node, ret_term, ret_until_ms))
		return false;
	/* mutation 6: from the moment of sending, not of the answer */
	if (RG_MUTANT(6))
		*ret_until_ms += dog_now_ms(w, dog) - dog->view.nodes[node].facts_ms + 400;
	return true;
}

void
dog_beat(World *w, Dog *dog, int node)
{
	DogNode *n = &dog->n[node];
	int64_t deadline_ms = 2 * dog_interval_ms(w, dog);
	Message *m;

	if (!n->open || n->beat_waiting)
		return;
	m = dog_message(w, dog, node, V_HEARTBEAT);
	m->term = dog->memory.rule.term;
	m->grants = may_grant(w, dog, node, &m->term, &m->until_ms);
	m->names_start = n->has_last || (RG_MUTANT(17) && m->grants);
	m->start = n->last_start;
	n->beat_waiting = true;
	n->beat_serial = m->serial;
	n->granted_until_ms = m->grants ? m->until_ms : 0;
	(void) timer(w, dog, deadline_ms < 1000 ? 1000 : deadline_ms, on_beat_deadline, node, m->serial);
	dog_send(w, dog, m);
}

void
dog_grant_now(World *w, Dog *dog, int node)
{
	const RgFacts *f = &dog->view.nodes[node].facts;
	int64_t term;
	int64_t until_ms;

	if (f->valid && f->gate == RG_GATEV_CLOSED && !dog->n[node].beat_waiting &&
		dog->n[node].granted_until_ms <= f->boottime_ms && may_grant(w, dog, node, &term, &until_ms) &&
		until_ms > f->boottime_ms)
		dog_beat(w, dog, node);
}

static void
on_beat_deadline(World *w, const Event *e)
{
	Dog *dog = w->dog[e->x];
	DogNode *n = &dog->n[e->a];

	if (n->open && n->beat_waiting && n->beat_serial == e->b)
		session_failed(w, dog, e->a, RG_SQL_SILENT);
}

static void
take_heartbeat(World *w, Dog *dog, int node, const Message *m)
{
	DogNode *n = &dog->n[node];

	if (!n->open || !n->beat_waiting || m->serial != n->beat_serial)
		return;
	if (m->outcome == OUT_CLOSED)
	{
		session_failed(w, dog, node, RG_SQL_CLOSED);
		return;
	}
	n->beat_waiting = false;
	if (m->outcome == OUT_OK)
	{
		take_facts(w, dog, node, &m->shown);
		n->last_start = m->shown.start;
		n->has_last = true;
		n->obeys = -1;
	}
	else
	{
		if (m->outcome == OUT_WRONG_START)
			n->has_last = false;
		if (m->outcome == OUT_OTHER_WATCHDOG)
			n->obeys = m->shown.obeys;
		w->refused++;
		take_failure(w, dog, node, sql_of(m->outcome));
	}
	arm_beat(w, dog, node, dog_interval_ms(w, dog));
	dog_wake(w, dog);
}

/* ---- SSH ---- */

static void
on_ssh_deadline(World *w, const Event *e)
{
	Dog *dog = w->dog[e->x];
	DogNode *n = &dog->n[e->a];

	if (!n->ssh_waiting || n->ssh_serial != e->b)
		return;
	n->ssh_waiting = false;
	dog->view.nodes[e->a].ssh = RG_SSHV_SILENT;
	dog_steps_lost(w, dog, e->a, true);
	dog_wake(w, dog);
	ssh_connect(w, dog, e->a);
}

static void
on_ssh_timer(World *w, const Event *e)
{
	ssh_connect(w, w->dog[e->x], e->a);
}

/* To connect, and later as a keepalive. */
static void
ssh_connect(World *w, Dog *dog, int node)
{
	DogNode *n = &dog->n[node];
	Message *m = dog_message(w, dog, node, V_SSH);

	n->ssh_waiting = true;
	n->ssh_serial = m->serial;
	(void) timer(w, dog, SSH_DEADLINE_MS, on_ssh_deadline, node, m->serial);
	dog_send(w, dog, m);
}

static void
take_ssh(World *w, Dog *dog, int node, const Message *m)
{
	DogNode *n = &dog->n[node];

	if (!n->ssh_waiting || m->serial != n->ssh_serial)
		return;
	n->ssh_waiting = false;
	/* the host was started again: that session had ended, this is a new one */
	if (n->ssh_boot != m->shown.start.boot)
		dog_steps_lost(w, dog, node, true);
	n->ssh_boot = m->shown.start.boot;
	if (dog->view.nodes[node].ssh != RG_SSHV_READY)
		dog_wake(w, dog);
	dog->view.nodes[node].ssh = RG_SSHV_READY;
	(void) timer(w, dog, SSH_KEEPALIVE_MS, on_ssh_timer, node, 0);
}

/* ---- what comes in ---- */

/* The last words of a server: sessions with that very start of it end. */
static void
take_goodbye(World *w, Dog *dog, int node, const Message *m)
{
	DogNode *n = &dog->n[node];

	if (!n->open || n->session_life != m->life)
		return;
	take_words(w, dog, node, m->outcome);
	session_failed(w, dog, node, RG_SQL_CLOSED);
}

void
dog_receive(World *w, const Event *e)
{
	const Message *m = e->msg;
	Dog *dog = w->dog[m->dog];

	if (m->verb == V_CONNECT && m->serial == 0)
	{
		/* not an answer: whichever life of the watchdog holds such a session */
		if (dog->up && !w->host[dog_host(w, m->dog)].frozen)
			take_goodbye(w, dog, m->node, m);
	}
	else if (m->verb == V_CONNECT)
		take_connected(w, dog, m->node, m);
	else if (m->verb == V_HEARTBEAT)
		take_heartbeat(w, dog, m->node, m);
	else if (m->verb == V_SSH)
		take_ssh(w, dog, m->node, m);
	else
		dog_step_ended(w, dog, m->node, m);
}

void
dog_link_start(World *w, Dog *dog)
{
	for (int i = 0; i < w->c.nodes; i++)
	{
		dog->n[i].obeys = -1;
		arm_beat(w, dog, i, 0);
		(void) timer(w, dog, FRESH_INTERVAL_MS, on_fresh_timer, i, 0);
		ssh_connect(w, dog, i);
	}
}
