/*
 * client.c
 *	  Clients that write, and what a backend does for them at a commit.
 *
 * First check, commit record, flush, the count of voters, second check: events of
 * their own, so a freeze, a cut or a death falls between any two.  A write counts
 * as acknowledged when the server has decided to tell it.
 */
#include "node.h"

#define WRITES_MAX 96

typedef struct Write
{
	bool used;
	bool flushed;
	bool counting;				/* in our own wait, the server's was cancelled */
	int node;
	int life;
	int client;
	int stage;
	uint32_t id;
	int pos;
	int serial;
} Write;

static Write writes[WRITES_MAX];
static int believed[CLIENTS_MAX];
static int serial;

static void on_stage(World *w, const Event *e);

static void
stage_later(World *w, int i, int64_t delay_us)
{
	Event *e = later(w, delay_us, on_stage, writes[i].node, BY_BACKEND);

	e->life = writes[i].life;
	e->orphans = true;
	e->a = i;
	e->b = writes[i].serial;
}

/* How long a backend takes for its next act; now and then one is held for long. */
static int64_t
moment(World *w)
{
	if (!w->quiet && w->c.freeze_faults && chance(w, 12))
		return between(w, 500 * MS, 2 * w->c.lease_ms * MS);
	return between(w, 20, 900);
}

static bool
has_votes(World *w, const Write *t)
{
	/* mutation 19: a cancelled wait counts as success */
	if (RG_MUTANT(19) && t->counting)
		return true;
	return votes_acknowledge(w, t->node, t->pos);
}

/* ---- at the client ---- */

static void
on_told(World *w, const Event *e)
{
	believed[e->a] = e->msg->outcome == OUT_OK ? e->msg->node : -1;
	(void) w;
}

static void
answer(World *w, const Write *t, Outcome outcome)
{
	Message *m = message_new(w);
	Event *e;

	m->node = t->node;
	m->outcome = outcome;
	e = send_to(w, node_host(t->node), client_host(w, t->client), on_told, BY_CLIENT, m);
	e->a = t->client;
}

/* ---- in the backend ---- */

static void
commit(World *w, int i)
{
	Write *t = &writes[i];
	Server *s = w->server[t->node];

	if (!server_is_writable(w, t->node) || s->disk_full)
	{
		answer(w, t, OUT_REFUSED);
		t->used = false;
		return;
	}
	t->pos = data_append(w, s->data, -1);
	if (t->pos < 0)
	{
		t->used = false;
		return;
	}
	t->id = s->data->log[t->pos - 1].id;
	t->stage = 2;
	server_flush(w, t->node, between(w, 50, chance(w, 30) ? 30 * MS : 2 * MS));
	if (chance(w, 60))
	{
		/* somebody cancels the statement while it waits */
		t->counting = true;
		stage_later(w, i, between(w, MS, 300 * MS));
	}
}

/* The second check. */
static void
tell_client(World *w, int i)
{
	Write *t = &writes[i];
	/* mutation 11: there is none */
	bool is_open = server_is_writable(w, t->node) || RG_MUTANT(11);

	if (is_open && !has_votes(w, t) && !RG_MUTANT(11))
	{
		t->stage = 2;			/* only the count is missing: it waits on */
		return;
	}
	if (is_open)
	{
		check_ack(w, t->node, t->id, t->pos);
		answer(w, t, OUT_OK);
	}
	t->used = false;
}

static void
on_stage(World *w, const Event *e)
{
	Write *t = &writes[e->a];

	if (!t->used || t->serial != e->b)
		return;
	if (t->stage == 1)
		commit(w, e->a);
	else if (t->stage == 2 && t->flushed)
	{
		t->stage = 3;
		tell_client(w, e->a);
	}
	else if (t->stage == 3)
		tell_client(w, e->a);
}

void
clients_waken(World *w, int node)
{
	for (int i = 0; i < WRITES_MAX; i++)
	{
		Write *t = &writes[i];

		if (!t->used || t->node != node || t->stage != 2)
			continue;
		if (!t->flushed)
			t->flushed = w->server[node]->data->flushed >= t->pos;
		if (!t->flushed || !has_votes(w, t))
			continue;
		t->stage = 3;
		stage_later(w, i, moment(w));
	}
}

void
clients_crash(World *w, int node)
{
	(void) w;
	for (int i = 0; i < WRITES_MAX; i++)
		if (writes[i].node == node)
			writes[i].used = false;
}

static void
on_gone(World *w, const Event *e)
{
	Write *t = &writes[e->a];

	(void) w;
	if (t->used && t->serial == e->b)
		t->used = false;
}

static void
on_request(World *w, const Event *e)
{
	Server *s = w->server[e->host];

	w->tries++;
	if (s->run != RUN_UP || s->pm_frozen)
		return;
	for (int i = 0; i < WRITES_MAX; i++)
		if (!writes[i].used)
		{
			Write *t = &writes[i];
			Event *end;

			memset(t, 0, sizeof(*t));
			t->used = true;
			t->node = e->host;
			t->life = s->life;
			t->client = e->a;
			t->stage = 1;
			t->serial = ++serial;
			stage_later(w, i, moment(w));
			end = later(w, 60 * SECOND, on_gone, e->host, BY_WORLD);
			end->a = i;
			end->b = t->serial;
			return;
		}
}

static void
on_client(World *w, const Event *e)
{
	int node = believed[e->a];
	int64_t pause = SECOND / (w->c.wal_per_s > 0 ? w->c.wal_per_s : 1);

	if (w->quiet)
		pause *= 4;
	if (node < 0 || chance(w, 50))
		node = (int) pick(w, (uint32_t) w->c.nodes);
	if (w->nacks < ACKS_MAX - 200)
	{
		believed[e->a] = -1;
		send_to(w, e->host, node_host(node), on_request, BY_HOST, message_new(w))->a = e->a;
	}
	later(w, between(w, pause / 2, pause * 3 / 2), on_client, e->host, BY_CLIENT)->a = e->a;
}

void
clients_init(World *w)
{
	memset(writes, 0, sizeof(writes));
	serial = 0;
	for (int i = 0; i < w->c.clients; i++)
	{
		believed[i] = 0;
		later(w, 2 * SECOND + pick(w, 100000), on_client, client_host(w, i), BY_CLIENT)->a = i;
	}
}
