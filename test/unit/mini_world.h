/*
 * mini_world.h
 *	  A small world of servers for the core: data directories with real logs,
 *	  processes, links, and what each step does to them.
 *
 * A log entry has a number of its own, so two histories can be compared: a
 * standby that streams although its log is not the beginning of its upstream's
 * is silent corruption.  Streaming follows PostgreSQL's rule (timelines and
 * switch points), the commands follow the node's rules of the design.  A server
 * takes writes while it leads by its newest rule, has promised nothing higher and
 * has a lease; only the watchdog gives leases here, and all clocks are one.
 */
#ifndef MINI_WORLD_H
#define MINI_WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "watchdog/core/decide.h"

#define LOG_MAX 3000
#define HISTORY_MAX 64
#define FLIGHTS_MAX 256
#define MINI_SYSTEM_IDENTIFIER 7300000000000000001
#define MINI_LEASE_MS 5000

typedef struct Entry
{
	uint32_t	id;
	uint32_t	timeline;
	int64_t		rule_term;		/* 0: not a rule */
	int			leader;
	int			seq;
	int			quorum;
	uint32_t	left_out;
} Entry;

/* A data directory. */
typedef struct Data
{
	int			len;
	Entry		log[LOG_MAX];
	uint32_t	timeline;
	int			nhistory;
	uint32_t	old_timeline[HISTORY_MAX];
	int			old_end[HISTORY_MAX];
	int64_t		promise;
	int64_t		promoting;
	int			nfollowed;
	RgTermEnd	followed[HISTORY_MAX];
	bool		standby_signal;
	bool		clean;
	int			source;			/* node, -1: none */
} Data;

typedef enum Proc
{
	PROC_ABSENT = 0,
	PROC_ALIVE,
	PROC_FROZEN
} Proc;

typedef struct Server
{
	Data		data;
	Data		copy;
	Data		old;
	bool		has_copy;
	bool		has_old;
	int			copied_from;
	Proc		proc;
	bool		pidfile;
	bool		in_recovery;
	bool		streaming;
	int			pid;
	int64_t		up_at;			/* starting up until then */
	int64_t		promotes_at;	/* a promotion was triggered; 0 = none */
	int64_t		received_ms;
	int64_t		lease_until;	/* 0 = none since the start */
	bool		sql_cut;
	bool		ssh_cut;
	bool		link_cut;		/* replication, from and to it */
	bool		disk_full;
	int64_t		restarts_at;	/* a service manager starts it again; 0 = it does not */
} Server;

typedef struct Flight
{
	bool		used;
	RgStep		step;
	int			pid;			/* of the server when it was sent */
	int64_t		exec_ms;
	int64_t		answer_ms;
	bool		executed;
	bool		lost;			/* nobody will hear the answer */
	RgOpState	outcome;
	RgPromise	promise;
	char		text[80];
} Flight;

typedef struct Mini
{
	int			n;
	int64_t		now;
	Server		s[RG_CORE_NODES_MAX];
	RgView		view;
	RgMemory	memory;
	RgMemory	journal;		/* what a restarted watchdog knows */
	Flight		flights[FLIGHTS_MAX];
	uint32_t	next_id;
	uint64_t	random;
	int64_t		beat_ms[RG_CORE_NODES_MAX];
	bool		quiet;			/* no more faults */
	bool		sync;			/* the rules say so: a choice waits for everybody who may have acknowledged */
	bool		verbose;
	char		violation[300];
} Mini;

static inline uint32_t
mini_pick(Mini *m, uint32_t n)
{
	m->random ^= m->random << 13;
	m->random ^= m->random >> 7;
	m->random ^= m->random << 17;
	return (uint32_t) (m->random >> 33) % n;
}

static inline bool
mini_chance(Mini *m, uint32_t per_mille)
{
	return mini_pick(m, 1000) < per_mille;
}

#define MINI_LOG(m, ...) \
	do { if ((m)->verbose) { printf("%8lld  ", (long long) (m)->now); printf(__VA_ARGS__); printf("\n"); } } while (0)

/* ---- data directories ---- */

static inline const Entry *
mini_rule(const Data *d)
{
	for (int i = d->len - 1; i >= 0; i--)
		if (d->log[i].rule_term != 0)
			return &d->log[i];
	return NULL;
}

static inline int64_t
mini_rule_term(const Data *d)
{
	return mini_rule(d) != NULL ? mini_rule(d)->rule_term : 0;
}

/* effective promise */
static inline int64_t
mini_promise(const Data *d)
{
	return d->promise > mini_rule_term(d) ? d->promise : mini_rule_term(d);
}

static inline void
mini_followed(Data *d, int64_t term, uint32_t timeline)
{
	for (int i = 0; i < d->nfollowed; i++)
		if (d->followed[i].term == term)
		{
			d->followed[i].timeline = timeline;
			return;
		}
	if (d->nfollowed == HISTORY_MAX)
		memmove(d->followed, d->followed + 1, sizeof(d->followed[0]) * (size_t) --d->nfollowed);
	if (d->nfollowed == 0 || d->followed[d->nfollowed - 1].term < term)
		d->followed[d->nfollowed++] = (RgTermEnd) {term, timeline, 0};
}

static inline bool
mini_has_followed(const Data *d, int64_t term)
{
	for (int i = 0; i < d->nfollowed; i++)
		if (d->followed[i].term == term)
			return true;
	return false;
}

static inline void
mini_append(Mini *m, Data *d, int64_t rule_term, int leader)
{
	if (d->len >= LOG_MAX)
		return;
	d->log[d->len++] = (Entry) {++m->next_id, d->timeline, rule_term, leader, 1, 1, 0};
	if (rule_term != 0)
		mini_followed(d, rule_term, d->timeline);
}

/* Where this timeline ended in the history of d; len when it is the current one; -1 unknown. */
static inline int
mini_timeline_end(const Data *d, uint32_t timeline)
{
	if (d->timeline == timeline)
		return d->len;
	for (int i = 0; i < d->nhistory; i++)
		if (d->old_timeline[i] == timeline)
			return d->old_end[i];
	return -1;
}

/* followed_terms of a heartbeat, as the extension makes them */
static inline int
mini_terms(const Data *d, RgTermEnd *ret)
{
	int			n = 0;

	for (int i = 0; i < d->nfollowed; i++)
	{
		RgTermEnd	e = d->followed[i];

		if (i == d->nfollowed - 1 && e.term > mini_rule_term(d))
			e.timeline = d->timeline;
		e.end_lsn = 0;
		if (e.timeline != d->timeline)
		{
			if (mini_timeline_end(d, e.timeline) < 0)
				continue;
			e.end_lsn = (uint64_t) mini_timeline_end(d, e.timeline);
		}
		ret[n++] = e;
	}
	return n;
}

/* ---- servers ---- */

static inline bool
mini_is_up(const Mini *m, int i)
{
	return m->s[i].proc == PROC_ALIVE && m->now >= m->s[i].up_at;
}

static inline bool
mini_is_primary(const Mini *m, int i)
{
	return m->s[i].proc != PROC_ABSENT && m->now >= m->s[i].up_at && !m->s[i].in_recovery;
}

/* It acknowledges writes. */
static inline bool
mini_is_open(const Mini *m, int i)
{
	const Entry *rule = mini_rule(&m->s[i].data);

	return mini_is_primary(m, i) && rule != NULL && rule->leader == i &&
		m->s[i].data.promise <= rule->rule_term && m->now < m->s[i].lease_until;
}

static inline void
mini_kill(Mini *m, int i)
{
	m->s[i].lease_until = 0;
	m->s[i].proc = PROC_ABSENT;
	m->s[i].streaming = false;
	m->s[i].promotes_at = 0;
	m->s[i].data.clean = false;
}

static inline void
mini_start(Mini *m, int i)
{
	Server	   *s = &m->s[i];

	if (s->proc != PROC_ABSENT)
		return;
	s->proc = PROC_ALIVE;
	s->pidfile = true;
	s->pid++;
	s->in_recovery = s->data.standby_signal;
	s->up_at = m->now + 100 + mini_pick(m, 1500);
	s->streaming = false;
	s->received_ms = m->now;
	s->restarts_at = 0;
}

/* From here on the history goes on another timeline. */
static inline void
mini_switch(Data *d, uint32_t timeline)
{
	if (d->timeline == timeline)
		return;
	if (d->nhistory < HISTORY_MAX)
	{
		d->old_timeline[d->nhistory] = d->timeline;
		d->old_end[d->nhistory++] = d->len;
	}
	d->timeline = timeline;
}

static inline void
mini_promote_now(Mini *m, int i)
{
	Server	   *s = &m->s[i];
	Data	   *d = &s->data;

	s->promotes_at = 0;
	s->in_recovery = false;
	s->streaming = false;
	d->standby_signal = false;
	d->source = -1;
	mini_switch(d, (uint32_t) d->promoting);	/* placeholders take the numbers between */
	MINI_LOG(m, "n%d left recovery, timeline %u, lsn %d", i + 1, d->timeline, d->len);
}

/*
 * One moment of replication: PostgreSQL's rule, then a check of what it does not see.
 */
static inline void
mini_stream(Mini *m, int i)
{
	Server	   *s = &m->s[i];
	Data	   *d = &s->data;
	const Data *u;
	int			end;

	s->streaming = false;
	if (!mini_is_up(m, i) || !s->in_recovery || d->source < 0 || !mini_is_up(m, d->source) ||
		s->link_cut || m->s[d->source].link_cut)
		return;
	u = &m->s[d->source].data;
	end = mini_timeline_end(u, d->timeline);
	if (end < 0 || d->len > end)
		return;					/* no such timeline there, or past its end */
	for (int k = 0; k < d->len; k++)
		if (d->log[k].id != u->log[k].id)
		{
			snprintf(m->violation, sizeof(m->violation),
					 "n%d streams from n%d, but entry %d differs: silent corruption", i + 1,
					 d->source + 1, k);
			return;
		}
	s->streaming = true;
	s->received_ms = m->now;
	for (int room = 40; d->len < u->len && room > 0; room--)
	{
		mini_switch(d, u->log[d->len].timeline);
		d->log[d->len] = u->log[d->len];
		if (d->log[d->len].rule_term != 0)
			mini_followed(d, d->log[d->len].rule_term, d->log[d->len].timeline);
		d->len++;
	}
	if (d->len == u->len)
		mini_switch(d, u->timeline);
}

/* Processes, promotions, writes and replication of one moment. */
static inline void
mini_live(Mini *m)
{
	int			writers = 0;

	for (int i = 0; i < m->n; i++)
	{
		Server	   *s = &m->s[i];

		if (s->restarts_at != 0 && m->now >= s->restarts_at)
		{
			MINI_LOG(m, "n%d is started by its service manager", i + 1);
			mini_start(m, i);
			s->restarts_at = 0;
		}
		if (s->promotes_at != 0 && m->now >= s->promotes_at && mini_is_up(m, i) && s->in_recovery)
			mini_promote_now(m, i);
		if (mini_is_open(m, i))
			writers++;
		if (mini_is_up(m, i) && mini_is_open(m, i) && mini_chance(m, 150))
			mini_append(m, &s->data, 0, -1);
	}
	if (writers > 1)
		snprintf(m->violation, sizeof(m->violation), "%d servers take writes", writers);
	for (int i = 0; i < m->n; i++)
		mini_stream(m, i);
}

#endif							/* MINI_WORLD_H */
