/*
 * node_stream.c
 *	  Streaming replication by PostgreSQL's rules, and replay.
 *
 * A standby asks for its timeline from its position; the upstream refuses what is
 * not in its own history.  Equal timeline numbers are all that PostgreSQL looks
 * at: that the rows before are the same is checked by hash, here and not there.
 * Only flushed WAL is sent; what is received is written, flushed, then told.
 */
#include "node.h"

#define RETRY_US (400 * MS)
#define SILENCE_MS 6000
#define STATUS_US (2 * SECOND)
#define SENDER_TIMEOUT_US (8 * SECOND)

/* What a message of a connection is. */
enum
{
	REPLY_GONE = -1,			/* the standby has closed it */
	REPLY_STATUS = 0,			/* asks for a keepalive */
	REPLY_FLUSHED = 1			/* the last piece is flushed */
};

static void on_wal(World *w, const Event *e);
static void on_keepalive(World *w, const Event *e);
static void on_accepted(World *w, const Event *e);
static void on_closed(World *w, const Event *e);

static Event *
to_standby(World *w, int node, int standby, EventFn fn, Message *m)
{
	const Sender *sender = &w->server[node]->senders[standby];
	Event *e;

	m->node = standby;
	m->leader = node;
	m->serial = sender->serial;
	e = send_to(w, node_host(node), node_host(standby), fn, BY_STREAM, m);
	e->life = sender->life;
	return e;
}

static void
to_upstream(World *w, int node, EventFn fn, int flush, int kind)
{
	Server *s = w->server[node];
	Message *m = message_new(w);

	m->node = node;
	m->life = s->life;
	m->serial = s->receiver_serial;
	m->from_pos = flush;
	m->count = kind;
	send_to(w, node_host(node), node_host(s->upstream), fn, BY_STREAM, m)->life = s->upstream_life;
}

static void
on_wake(World *w, const Event *e)
{
	Server *s = w->server[e->host];

	s->wake_armed = false;
	/* an upstream that does not answer */
	if (s->receiver == RECEIVER_CONNECTING && clock_ms(w, e->host) - s->heard_ms > 2000)
		s->receiver = RECEIVER_STOPPED;
	stream_wake(w, e->host);
}

static void
wake_later(World *w, int node, int64_t delay_us)
{
	if (w->server[node]->wake_armed)
		return;
	w->server[node]->wake_armed = true;
	later(w, delay_us, on_wake, node, BY_STREAM)->life = w->server[node]->life;
}

/* ---- the upstream's side ---- */

static void
send_wal(World *w, int node, int standby)
{
	Server *s = w->server[node];
	Sender *sender = &s->senders[standby];
	int count = s->data->flushed - sender->sent;
	Message *m;

	if (!sender->connected || sender->in_flight || count <= 0)
		return;
	m = message_new(w);
	if (count > DATA_MESSAGE_MAX)
		count = DATA_MESSAGE_MAX;
	m->from_pos = sender->sent;
	m->count = count;
	/* not on PostgreSQL's wire: what came before, for the check */
	m->hash = sender->sent > 0 ? s->data->log[sender->sent - 1].hash : 0;
	m->lsn = (uint32_t) data_lsn(s->data, sender->sent);
	m->prev_lsn = (uint32_t) data_lsn(s->data, sender->sent - 1);
	for (int i = 0; i < count; i++)
	{
		const Entry *entry = &s->data->log[sender->sent + i];

		m->wal[i].id = entry->id;
		m->wal[i].timeline = entry->timeline;
		m->wal[i].rule = entry->rule;
		m->wal[i].lsn = entry->lsn;
		m->wal[i].hash = entry->hash;
	}
	sender->in_flight = true;
	sender->sent += count;
	(void) to_standby(w, node, standby, on_wal, m);
}

void
stream_kick(World *w, int node)
{
	for (int i = 0; i < w->c.nodes; i++)
		if (w->server[node]->senders[i].connected)
			send_wal(w, node, i);
}

static void
on_reply(World *w, const Event *e)
{
	Server *s = w->server[e->host];
	const Message *m = e->msg;
	Sender *sender = &s->senders[m->node];

	if (!sender->connected || sender->serial != m->serial)
		return;
	if (m->count == REPLY_GONE)
	{
		sender->connected = false;
		return;
	}
	sender->heard_us = w->now;
	if (m->from_pos > sender->flush)
		sender->flush = m->from_pos;
	if (m->count == REPLY_FLUSHED)
		sender->in_flight = false;
	else
		(void) to_standby(w, e->host, m->node, on_keepalive, message_new(w));
	send_wal(w, e->host, m->node);
	lease_votes_changed(w, e->host);
	clients_waken(w, e->host);
}

/* wal_sender_timeout */
void
stream_expire(World *w, int node)
{
	for (int i = 0; i < w->c.nodes; i++)
	{
		Sender *sender = &w->server[node]->senders[i];

		if (sender->connected && w->now - sender->heard_us > SENDER_TIMEOUT_US)
			sender->connected = false;
	}
}

/* START_REPLICATION: is the standby's timeline in our history, and its position on it? */
static void
on_connect(World *w, const Event *e)
{
	Server *s = w->server[e->host];
	const Data *u = s->data;
	const Message *m = e->msg;
	const Server *standby = w->server[m->node];
	Sender *sender = &s->senders[m->node];
	int end = data_end_of(u, (uint32_t) m->term);
	bool is_past = end >= 0 && m->lsn > data_lsn(u, end);
	bool is_current = u->timeline == (uint32_t) m->term;
	Message *answer;

	if (s->run != RUN_UP && s->run != RUN_STOPPING)
		return;
	answer = message_new(w);
	answer->node = m->node;
	answer->serial = m->serial;
	answer->leader = e->host;
	/*
	 * A standby asks from the beginning of a segment, so one that is ahead of us on
	 * our own timeline is let in, and tells how far it is (F10); past the end of an
	 * older timeline it is refused.
	 */
	if (end < 0 || (is_past && !is_current) || s->run == RUN_STOPPING)
		answer->outcome = OUT_REFUSED;
	else
	{
		memset(sender, 0, sizeof(*sender));
		sender->connected = true;
		sender->life = m->life;
		sender->serial = m->serial;
		sender->sent = m->from_pos;
		/* the standby speaks first */
		sender->in_flight = true;
		sender->heard_us = w->now;
	}
	send_to(w, node_host(e->host), node_host(m->node), on_accepted, BY_STREAM, answer)->life = m->life;
	if (answer->outcome != OUT_OK)
		return;
	/* history files that the standby lacks are fetched first */
	for (int i = 0; i < TIMELINES_MAX / 64; i++)
		standby->data->files[i] |= u->files[i];
}

/* ---- the standby's side ---- */

void
stream_wake(World *w, int node)
{
	Server *s = w->server[node];
	Data *d = s->data;
	Server *u;
	Message *m;
	Event *e;

	if (s->run != RUN_UP || !s->in_recovery || s->parked || s->live_source < 0 || s->live_source == node ||
		s->receiver == RECEIVER_STREAMING || s->promote_asked)
		return;
	if (s->receiver == RECEIVER_CONNECTING)
	{
		wake_later(w, node, RETRY_US);
		return;
	}
	if (s->replay < d->len)
		return;					/* first what is in pg_wal; replay wakes us then */
	u = w->server[s->live_source];
	s->receiver = RECEIVER_CONNECTING;
	s->receiver_serial++;
	s->upstream = s->live_source;
	s->upstream_life = u->life;
	s->heard_ms = clock_ms(w, node);
	wake_later(w, node, RETRY_US + pick(w, 100 * (unsigned) MS));
	if ((u->run != RUN_UP && u->run != RUN_STOPPING) || u->pm_frozen)
	{
		/* refused, or no answer: tried again */
		s->receiver = RECEIVER_STOPPED;
		return;
	}
	m = message_new(w);
	m->node = node;
	m->life = s->life;
	m->serial = s->receiver_serial;
	m->term = d->timeline;
	m->from_pos = d->len;
	m->lsn = (uint32_t) data_lsn(d, d->len);
	e = send_to(w, node_host(node), node_host(s->upstream), on_connect, BY_STREAM, m);
	e->life = s->upstream_life;
}

static void
on_status(World *w, const Event *e)
{
	Server *s = w->server[e->host];
	int64_t silence = clock_ms(w, e->host) - s->heard_ms;

	if (e->a != s->receiver_serial || s->receiver == RECEIVER_STOPPED)
		return;
	if (silence > SILENCE_MS)
	{
		stream_stop(w, e->host);
		wake_later(w, e->host, between(w, 10 * MS, RETRY_US));
		return;
	}
	if (s->receiver == RECEIVER_STREAMING)
		to_upstream(w, e->host, on_reply, s->data->flushed, REPLY_STATUS);
	{
		Event *next = later(w, STATUS_US, on_status, e->host, BY_STREAM);

		next->life = s->life;
		next->a = e->a;
	}
}

static void
on_accepted(World *w, const Event *e)
{
	Server *s = w->server[e->host];
	const Message *m = e->msg;
	Event *next;

	if (m->serial != s->receiver_serial || s->receiver != RECEIVER_CONNECTING)
		return;
	if (m->outcome != OUT_OK)
	{
		s->receiver = RECEIVER_STOPPED;
		wake_later(w, e->host, RETRY_US + pick(w, 600 * (unsigned) MS));
		return;
	}
	s->receiver = RECEIVER_STREAMING;
	s->received = s->data->len;
	s->heard_ms = s->last_message_ms = clock_ms(w, e->host);
	to_upstream(w, e->host, on_reply, s->data->flushed, REPLY_FLUSHED);
	TRACE(w, "%s streams from %s at %d", node_name(e->host), node_name(m->leader), s->data->len);
	next = later(w, STATUS_US, on_status, e->host, BY_STREAM);
	next->life = s->life;
	next->a = s->receiver_serial;
}

static void
on_keepalive(World *w, const Event *e)
{
	Server *s = w->server[e->host];

	if (e->msg->serial == s->receiver_serial && s->receiver == RECEIVER_STREAMING)
		s->heard_ms = clock_ms(w, e->host);
}

static void
on_flushed(World *w, const Event *e)
{
	Server *s = w->server[e->host];
	int upto = e->b < s->data->len ? e->b : s->data->len;

	if (s->data->flushed < upto)
		s->data->flushed = upto;
	/* a receiver that is ended flushes, but tells nobody any more */
	if (e->a == s->receiver_serial && s->receiver == RECEIVER_STREAMING)
		to_upstream(w, e->host, on_reply, s->data->flushed, REPLY_FLUSHED);
	stream_kick(w, e->host);
	stream_replay(w, e->host);
}

/*
 * Other rows before it.  PostgreSQL sees that only by the prev-link, and by where
 * records begin; a leader with an older disk, closed, whose records end where the
 * standby's do, is taken for one that is seen (README).
 */
static bool
is_seen_not_to_fit(const World *w, const Server *s, const Message *m)
{
	return w->opener != s->upstream_life || m->lsn != data_lsn(s->data, s->data->len) ||
		m->prev_lsn != data_lsn(s->data, s->data->len - 1);
}

static void
on_wal(World *w, const Event *e)
{
	Server *s = w->server[e->host];
	Data *d = s->data;
	const Message *m = e->msg;
	Event *next;
	bool is_other;

	if (m->serial != s->receiver_serial || s->receiver != RECEIVER_STREAMING)
		return;
	s->heard_ms = clock_ms(w, e->host);
	if (m->from_pos != d->len || d->len + m->count > LOG_MAX)
	{
		/* WAL that does not fit: "incorrect prev-link" */
		stream_stop(w, e->host);
		wake_later(w, e->host, RETRY_US);
		return;
	}
	is_other = m->hash != (d->len > 0 ? d->log[d->len - 1].hash : 0);
	if (is_other && is_seen_not_to_fit(w, s, m))
	{
		/* "incorrect prev-link" */
		stream_stop(w, e->host);
		wake_later(w, e->host, RETRY_US);
		return;
	}
	/* the watchdog knows of it: a copy is to take its place, and until then it counts for nothing */
	if (is_other && !dog_has_strayed(w, e->host))
	{
		violate(w, "silent corruption: %s goes on at %d with WAL of %s, but holds other rows before it",
				node_name(e->host), d->len, node_name(m->leader));
		return;
	}
	for (int i = 0; i < m->count; i++)
	{
		Entry *entry = &d->log[d->len];

		data_switch(d, m->wal[i].timeline);
		entry->id = m->wal[i].id;
		entry->timeline = m->wal[i].timeline;
		entry->rule = m->wal[i].rule;
		entry->lsn = m->wal[i].lsn;
		entry->hash = is_other ? data_hash(d, d->len, entry) : m->wal[i].hash;
		d->len++;
	}
	d->written = d->len;
	s->received = d->len;
	s->last_wal_ms = s->last_message_ms = clock_ms(w, e->host);
	next = later(w, between(w, 50, chance(w, 20) && !w->quiet ? 400 * MS : 1500), on_flushed, e->host, BY_STREAM);
	next->life = s->life;
	next->a = s->receiver_serial;
	next->b = d->len;
}

static void
on_closed(World *w, const Event *e)
{
	Server *s = w->server[e->host];

	if (e->msg->serial != s->receiver_serial || s->receiver == RECEIVER_STOPPED)
		return;
	s->receiver = RECEIVER_STOPPED;
	s->data->flushed = s->data->written;
	stream_replay(w, e->host);
	wake_later(w, e->host, between(w, 5 * MS, RETRY_US));
}

void
stream_stop(World *w, int node)
{
	Server *s = w->server[node];

	if (s->receiver == RECEIVER_STREAMING)
	{
		/* it flushes what it has written, and tells nobody any more */
		s->data->flushed = s->data->written;
		to_upstream(w, node, on_reply, 0, REPLY_GONE);
	}
	s->receiver = RECEIVER_STOPPED;
}

void
stream_drop(World *w, int node)
{
	Server *s = w->server[node];

	if (s->receiver == RECEIVER_STREAMING)
		to_upstream(w, node, on_reply, 0, REPLY_GONE);
	s->receiver = RECEIVER_STOPPED;
	for (int i = 0; i < w->c.nodes; i++)
		if (s->senders[i].connected)
		{
			(void) to_standby(w, node, i, on_closed, message_new(w));
			s->senders[i].connected = false;
		}
}

/* ---- replay ---- */

static void
on_replay(World *w, const Event *e)
{
	Server *s = w->server[e->host];
	Data *d = s->data;
	/* the startup process is told of what is flushed, never of what is only written */
	int upto = s->replay + 64 < d->flushed ? s->replay + 64 : d->flushed;

	s->replaying = false;
	if (s->stuck || s->stuck_for_good || !s->in_recovery)
		return;
	for (int i = s->replay; i < upto; i++)
		if (d->log[i].rule >= 0)
			server_worker_soon(w, e->host);
	s->replay = upto;
	/* a restartpoint now and then; what is replayed after it is read again after a crash */
	if (s->replay > d->consistent)
		d->consistent = chance(w, 300) ? s->replay : d->consistent;
	if (chance(w, 30))
		d->restartpoint = d->consistent = s->replay;
	if (s->replay < d->flushed)
		stream_replay(w, e->host);
	else if (s->receiver == RECEIVER_STOPPED)
		stream_wake(w, e->host);
}

void
stream_replay(World *w, int node)
{
	Server *s = w->server[node];

	if (s->replaying || s->run != RUN_UP || !s->in_recovery || s->stuck || s->stuck_for_good ||
		s->replay >= s->data->flushed)
		return;
	s->replaying = true;
	later(w, between(w, 50, chance(w, 30) && !w->quiet ? 300 * MS : 3 * MS), on_replay, node, BY_STREAM)->life =
		s->life;
}
