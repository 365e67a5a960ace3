/*
 * node_disk.c
 *	  Data directories: WAL with identities, timelines, and the state file.
 *
 * PostgreSQL's own rules: a promotion takes the lowest timeline number above the
 * current one that has no history file; a history tells where timelines ended.
 */
#include "node.h"

#include <stddef.h>

static const char *const names[NODES_MAX] = {"n1", "n2", "n3", "n4", "n5", "n6", "n7"};

const char *
node_name(int node)
{
	return node >= 0 && node < NODES_MAX ? names[node] : "-";
}

void
watchdog_uuid(int watchdog, char *ret)
{
	memcpy(ret, "00000000-0000-4000-8000-000000000000", RG_UUID_SIZE);
	if (watchdog < 0)
		ret[0] = '\0';
	else
	{
		ret[34] = (char) ('0' + watchdog / 10 % 10);
		ret[35] = (char) ('0' + watchdog % 10);
	}
}

int
watchdog_of(const char *uuid)
{
	return uuid[0] == '\0' ? -1 : (uuid[34] - '0') * 10 + uuid[35] - '0';
}

void
rule_to_words(const Rule *r, RgRule *ret)
{
	static const char *const durabilities[] = {"async", "sync", "strict"};

	memset(ret, 0, sizeof(*ret));
	ret->term = r->term;
	ret->seq = r->seq;
	strcpy(ret->leader, node_name(r->leader));
	for (int i = 0; i < NODES_MAX; i++)
		if ((r->voters >> i & 1) != 0)
			strcpy(ret->voters[ret->nvoters++], node_name(i));
	strcpy(ret->durability, durabilities[r->durability]);
	ret->quorum = r->quorum;
	for (int i = 0; i < NODES_MAX; i++)
		if ((r->left_out >> i & 1) != 0)
			strcpy(ret->left_out[ret->nleft_out++], node_name(i));
	ret->lease_ms = r->lease_ms;
	watchdog_uuid(r->watchdog, ret->watchdog);
	ret->timeline = r->timeline;
}

void
rule_to_state(const World *w, int rule, RgRule *ret)
{
	rule_to_words(&w->rules[rule], ret);
	/* not a secret of the file's form: which of w->rules it is */
	snprintf(ret->reason, sizeof(ret->reason), "%d", rule);
}

int
rule_of_state(const World *w, const RgRule *rule)
{
	int i = 0;

	(void) w;
	for (const char *p = rule->reason; *p >= '0' && *p <= '9'; p++)
		i = i * 10 + *p - '0';
	return i;
}

void
data_init(Data *d, int node)
{
	memset(d, 0, offsetof(Data, log));
	d->timeline = 1;
	d->source = -1;
	rg_state_init(&d->state, node_name(node), 7300000000000000001u);
	d->state_file = d->durable_file = STATE_MISSING;
}

void
data_copy(Data *to, const Data *from)
{
	memcpy(to, from, offsetof(Data, log) + sizeof(Entry) * (size_t) from->len);
}

static uint64_t
mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * 0x9FB21C651E98DF25u;
	return hash ^ (hash >> 32);
}

uint64_t
data_hash(const Data *d, int pos, const Entry *e)
{
	return mix(mix(pos > 0 ? d->log[pos - 1].hash : 1, e->id), e->timeline);
}

int
data_append(World *w, Data *d, int rule)
{
	Entry *e;

	if (d->len >= LOG_MAX)
		return -1;
	e = &d->log[d->len];
	e->id = ++w->entry_id;
	e->timeline = (uint16_t) d->timeline;
	e->rule = (int16_t) rule;
	e->lsn = (d->len > 0 ? e[-1].lsn : 1000) + 24 + (e->id * 2654435761u >> 16) % 240;
	e->hash = data_hash(d, d->len, e);
	return ++d->len;
}

uint64_t
data_lsn(const Data *d, int pos)
{
	return pos <= 0 ? 0 : pos > d->len ? data_lsn(d, d->len) : d->log[pos - 1].lsn;
}

void
data_store_state(World *w, Data *d)
{
	d->state_file = STATE_OK;
	/* mutation 1: the file is replaced, but not synced */
	if (RG_MUTANT(1) && chance(w, 800))
		return;
	d->durable = d->state;
	d->durable_file = STATE_OK;
}

void
data_switch(Data *d, uint32_t timeline)
{
	if (d->timeline == timeline)
		return;
	if (d->nhistory == HISTORY_MAX)
		memmove(&d->history[0], &d->history[1], sizeof(d->history[0]) * (size_t) --d->nhistory);
	d->history[d->nhistory].timeline = d->timeline;
	d->history[d->nhistory++].end = d->len;
	d->timeline = timeline;
	data_add_file(d, timeline);
}

int
data_end_of(const Data *d, uint32_t timeline)
{
	if (d->timeline == timeline)
		return d->len;
	for (int i = d->nhistory - 1; i >= 0; i--)
		if (d->history[i].timeline == timeline)
			return d->history[i].end;
	return -1;
}

bool
data_has_file(const Data *d, uint32_t timeline)
{
	return timeline < TIMELINES_MAX && (d->files[timeline / 64] >> timeline % 64 & 1) != 0;
}

void
data_add_file(Data *d, uint32_t timeline)
{
	if (timeline < TIMELINES_MAX)
		d->files[timeline / 64] |= (uint64_t) 1 << timeline % 64;
}

uint32_t
data_next_timeline(const Data *d)
{
	uint32_t timeline = d->timeline + 1;

	while (data_has_file(d, timeline))
		timeline++;
	return timeline;
}

/* What is behind this position is gone; the timeline goes back with it. */
void
data_truncate(Data *d, int len)
{
	if (len < d->len)
		d->len = len;
	if (d->written > d->len)
		d->written = d->len;
	if (d->flushed > d->len)
		d->flushed = d->len;
	if (d->checkpoint > d->len)
		d->checkpoint = d->len;
	if (d->restartpoint > d->len)
		d->restartpoint = d->len;
	while (d->nhistory > 0 && d->history[d->nhistory - 1].end > d->len)
		d->timeline = d->history[--d->nhistory].timeline;
}

void
data_lose_power(World *w, Data *d)
{
	data_truncate(d, d->written);
	data_truncate(d, d->flushed + (int) pick(w, (uint32_t) (d->len - d->flushed + 1)));
	d->flushed = d->written = d->len;
	d->state = d->durable;
	d->state_file = d->durable_file;
}

bool
data_is_prefix(const Data *shorter, const Data *longer)
{
	int n = shorter->len;

	return n <= longer->len && (n == 0 || shorter->log[n - 1].hash == longer->log[n - 1].hash);
}

bool
data_holds(const Data *d, uint32_t id, int pos)
{
	return pos > 0 && pos <= d->len && d->log[pos - 1].id == id;
}

int
data_newest_rule(const World *w, const Data *d, int upto)
{
	(void) w;
	for (int i = (upto < d->len ? upto : d->len) - 1; i >= 0; i--)
		if (d->log[i].rule >= 0)
			return d->log[i].rule;
	return -1;
}

/* As rg_followed_terms() makes them. */
int
data_terms(const Data *d, const RgState *state, uint32_t timeline, RgTermEnd *ret)
{
	int n = 0;

	for (int i = 0; i < state->nfollowed; i++)
	{
		RgTermEnd e = state->followed[i];

		if (i == state->nfollowed - 1 && (!state->has_rule || e.term > state->rule.term))
			e.timeline = timeline;
		e.end_lsn = 0;
		if (e.timeline != timeline)
		{
			int end = e.timeline == d->timeline ? -1 : data_end_of(d, e.timeline);

			if (end < 0)
				continue;
			e.end_lsn = data_lsn(d, end);
		}
		ret[n++] = e;
	}
	return n;
}
