/*
 * world.c
 *	  Events, chance, clocks and links.
 *
 * Nothing in here knows what a server or a watchdog is, except that an event may
 * belong to a process that is frozen (the event waits) or gone (it is dropped).
 */
#include "sim.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#define STORY_LINES 160
#define STORY_WIDTH 220

static char story[STORY_LINES][STORY_WIDTH];
static unsigned story_next;
bool world_story_live;

/* ---- chance ---- */

static uint64_t
draw(World *w)
{
	uint64_t z = (w->random += 0x9E3779B97F4A7C15u);

	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
	return z ^ (z >> 31);
}

uint32_t
pick(World *w, uint32_t n)
{
	return n == 0 ? 0 : (uint32_t) ((draw(w) >> 32) * n >> 32);
}

bool
chance(World *w, uint32_t per_mille)
{
	return pick(w, 1000) < per_mille;
}

int64_t
between(World *w, int64_t from, int64_t to)
{
	return to <= from ? from : from + (int64_t) (draw(w) % (uint64_t) (to - from));
}

/* ---- story ---- */

void
tell(World *w, const char *fmt,...)
{
	char *line = story[story_next++ % STORY_LINES];
	int n = snprintf(line, STORY_WIDTH, "%11.4f  ", (double) w->now / SECOND);
	va_list args;

	va_start(args, fmt);
	vsnprintf(line + n, STORY_WIDTH - (size_t) n, fmt, args);
	va_end(args);
	if (world_story_live)
		printf("%s\n", line);
}

void
world_story(FILE *out)
{
	unsigned from = story_next > STORY_LINES ? story_next - STORY_LINES : 0;

	for (unsigned i = from; i < story_next; i++)
		fprintf(out, "%s\n", story[i % STORY_LINES]);
}

void
violate(World *w, const char *fmt,...)
{
	va_list args;

	if (w->failed)
		return;
	w->failed = true;
	va_start(args, fmt);
	vsnprintf(w->violation, sizeof(w->violation), fmt, args);
	va_end(args);
	TRACE(w, "VIOLATION %s", w->violation);
}

/* ---- messages ---- */

Message *
message_new(World *w)
{
	Message *m = w->free_messages;

	if (m != NULL)
		w->free_messages = m->next;
	else if (w->nmessages < MESSAGES_MAX)
		m = &w->messages[w->nmessages++];
	else
	{
		fprintf(stderr, "sim: out of messages, seed %llu\n", (unsigned long long) w->seed);
		abort();
	}
	memset(m, 0, offsetof(Message, wal));
	return m;
}

void
message_free(World *w, Message *m)
{
	if (m == NULL)
		return;
	m->next = w->free_messages;
	w->free_messages = m;
}

/* ---- the queue ---- */

static bool
before(const Slot *a, const Slot *b)
{
	return a->at != b->at ? a->at < b->at : (int32_t) (a->seq - b->seq) < 0;
}

static void
push(World *w, int event)
{
	Slot slot = {w->events[event].at, w->seq++, event};
	int i = w->nheap++;

	while (i > 0 && before(&slot, &w->heap[(i - 1) / 2]))
	{
		w->heap[i] = w->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	w->heap[i] = slot;
}

static int
pop(World *w)
{
	int result = w->heap[0].event;
	Slot slot = w->heap[--w->nheap];
	int i = 0;

	for (;;)
	{
		int child = 2 * i + 1;

		if (child >= w->nheap)
			break;
		if (child + 1 < w->nheap && before(&w->heap[child + 1], &w->heap[child]))
			child++;
		if (!before(&w->heap[child], &slot))
			break;
		w->heap[i] = w->heap[child];
		i = child;
	}
	w->heap[i] = slot;
	return result;
}

static int
event_new(World *w)
{
	if (w->nfree_events == 0)
	{
		fprintf(stderr, "sim: out of events, seed %llu\n", (unsigned long long) w->seed);
		abort();
	}
	return w->free_events[--w->nfree_events];
}

static Event *
prepare(World *w, int64_t at, EventFn fn, int host, Proc proc, int *ret_index)
{
	int i = event_new(w);
	Event *e = &w->events[i];

	memset(e, 0, sizeof(*e));
	e->at = at;
	e->run = fn;
	e->host = (int8_t) host;
	e->proc = (int8_t) proc;
	*ret_index = i;
	return e;
}

Event *
later(World *w, int64_t delay_us, EventFn fn, int host, Proc proc)
{
	int i;
	Event *e = prepare(w, w->now + (delay_us > 0 ? delay_us : 0), fn, host, proc, &i);

	push(w, i);
	return e;
}

static void
drop(World *w, int i)
{
	message_free(w, w->events[i].msg);
	w->free_events[w->nfree_events++] = i;
}

static bool
is_lost(World *w, const Event *e)
{
	if (e->proc == BY_WORLD)
		return false;
	if (w->host[e->host].down)
		return true;
	if (e->proc == BY_DOG)
		return !dog_lives(w, e->host - w->c.nodes, e->life);
	if (e->proc == BY_HOST || e->proc == BY_CLIENT)
		return false;
	return !server_accepts(w, e);
}

static bool
must_wait(World *w, const Event *e)
{
	if (e->proc == BY_WORLD)
		return false;
	if (w->host[e->host].frozen)
		return true;
	return e->proc != BY_DOG && e->proc != BY_HOST && e->proc != BY_CLIENT && server_waits(w, e);
}

bool
step(World *w, int64_t until)
{
	int i;
	Event *e;

	if (w->nheap == 0 || w->heap[0].at > until)
	{
		w->now = until;
		return false;
	}
	i = pop(w);
	e = &w->events[i];
	if (e->at > w->now)
		w->now = e->at;
	w->nevents++;
	if (is_lost(w, e))
		drop(w, i);
	else if (must_wait(w, e))
	{
		if (w->nheld == HELD_MAX)
			drop(w, i);
		else
			w->held[w->nheld++] = i;
	}
	else
	{
		/* the event may make new ones, in other slots */
		Event copy = *e;

		copy.run(w, &copy);
		drop(w, i);
	}
	return true;
}

void
release_held(World *w, int host)
{
	int kept = 0;

	for (int k = 0; k < w->nheld; k++)
	{
		Event *e = &w->events[w->held[k]];

		if (e->host != host)
			w->held[kept++] = w->held[k];
		else
		{
			/* in their order, within a moment */
			e->at = w->now + 1 + k;
			push(w, w->held[k]);
		}
	}
	w->nheld = kept;
}

/* ---- links ---- */

bool
can_reach(const World *w, int from, int to)
{
	return !w->cut[from][to] && !w->host[from].down && !w->host[to].down;
}

static int64_t
link_delay(World *w, int from, int to)
{
	int64_t us = 60 + pick(w, 400) + w->slow_us[from] + w->slow_us[to];

	if (pick(w, 1000000) < (uint32_t) w->c.drop_ppm && !w->quiet)
		us += between(w, 200 * MS, 1200 * MS);	/* sent again */
	return us;
}

Event *
send_to(World *w, int from, int to, EventFn fn, Proc proc, Message *m)
{
	int64_t delay = link_delay(w, from, to);
	static Event nobody;		/* what callers complete when the message is lost */
	int i;
	Event *e;

	/* what a live connection has sent is sent again; only a session that ends soon gives it up */
	if (w->host[from].down ||
		(w->cut[from][to] && (w->nstuck >= HELD_MAX ||
							  (m != NULL && m->verb > V_NONE && m->verb <= V_SSH && chance(w, 400)))))
	{
		message_free(w, m);
		return &nobody;
	}
	e = prepare(w, w->now + delay, fn, to, proc, &i);
	e->msg = m;
	if (!w->cut[from][to])
		push(w, i);
	else
	{
		w->stuck[w->nstuck].event = i;
		w->stuck[w->nstuck].from = (int8_t) from;
		w->stuck[w->nstuck++].to = (int8_t) to;
	}
	return e;
}

void
cut(World *w, int from, int to, bool is_cut)
{
	int kept = 0;

	w->cut[from][to] = is_cut;
	if (is_cut)
		return;
	for (int k = 0; k < w->nstuck; k++)
	{
		if (w->stuck[k].from != from || w->stuck[k].to != to)
		{
			w->stuck[kept++] = w->stuck[k];
			continue;
		}
		w->events[w->stuck[k].event].at = w->now + between(w, 100, 900 * MS);
		push(w, w->stuck[k].event);
	}
	w->nstuck = kept;
}

/* ---- clocks ---- */

int64_t
clock_us(const World *w, int host)
{
	const Host *h = &w->host[host];
	int64_t span = w->now - h->true_us;

	if (h->clock_stops)
		return h->clock_us;
	return h->clock_us + span + span * h->rate_ppm / 1000000;
}

int64_t
clock_ms(const World *w, int host)
{
	return clock_us(w, host) / MS;
}

static void
set_clock(World *w, int host)
{
	Host *h = &w->host[host];

	h->clock_us = clock_us(w, host);
	h->true_us = w->now;
}

void
clock_jump_rate(World *w, int host, int rate_ppm)
{
	set_clock(w, host);
	w->host[host].rate_ppm = rate_ppm;
}

void
freeze(World *w, int host, bool with_clock)
{
	set_clock(w, host);
	w->host[host].frozen = true;
	w->host[host].clock_stops = with_clock;
}

void
thaw(World *w, int host)
{
	set_clock(w, host);
	w->host[host].true_us = w->now;
	w->host[host].clock_stops = false;
	w->host[host].frozen = false;
	release_held(w, host);
}

void
world_init(World *w, uint64_t seed, bool trace)
{
	Server *servers[NODES_MAX];
	Dog *dogs[DOGS_MAX];

	memcpy(servers, w->server, sizeof(servers));
	memcpy(dogs, w->dog, sizeof(dogs));
	memset(w, 0, offsetof(World, heap));
	w->nheap = 0;
	w->seq = 0;
	memset(&w->free_messages, 0, sizeof(World) - offsetof(World, free_messages));
	memcpy(w->server, servers, sizeof(servers));
	memcpy(w->dog, dogs, sizeof(dogs));
	w->seed = seed;
	w->random = seed * 0xD1342543DE82EF95u + 12345;
	w->trace = trace;
	w->now = SECOND;
	story_next = 0;
	for (int i = 0; i < EVENTS_MAX; i++)
		w->free_events[i] = EVENTS_MAX - 1 - i;
	w->nfree_events = EVENTS_MAX;
}
