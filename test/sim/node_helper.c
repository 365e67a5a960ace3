/*
 * node_helper.c
 *	  regent-node: what the helper does on a host, verb by verb.
 *
 * It works whether or not the server runs, and while it is frozen.  Between two of
 * its acts the host can freeze or lose its power.
 */
#include "node.h"

#define STOP_WAIT_MS 60000
#define LOCK_WAIT_MS 5000

static void on_helper(World *w, const Event *e);

static int64_t
highest_of_file(const Data *d)
{
	return d->state_file == STATE_OK ? rg_state_effective_term(&d->state) : 0;
}

static void
probe_of(World *w, int node, Shown *f)
{
	const Server *s = w->server[node];
	const Data *d = s->data;

	memset(f, 0, sizeof(*f));
	f->rule = -1;
	f->obeys = -1;
	f->ahead = -1;
	f->postmaster = s->run == RUN_NO ? PM_ABSENT : s->pm_frozen ? PM_FROZEN : PM_ALIVE;
	if (s->run != RUN_NO)
		f->start = s->id;
	f->pidfile = d->pidfile;
	f->fenced = d->standby_signal && d->source < 0;
	f->rewinding = d->half_rewound;
	f->clean = s->run == RUN_NO && !s->orphans && d->control == CONTROL_SHUT_DOWN;
	f->in_recovery = s->run != RUN_NO && (s->in_recovery || s->run == RUN_STARTING);
	f->checkpoint = data_lsn(d, d->checkpoint - 1); /* pg_controldata tells where the record begins */
	f->timeline = d->timeline;
	f->promised_term = highest_of_file(d);
}

static void
end(World *w, int node, int index, Outcome outcome, const char *why)
{
	Server *s = w->server[node];
	Command *c = &s->commands[index];
	Shown shown;

	if (s->lock == index)
		s->lock = -1;
	probe_of(w, node, &shown);
	node_answer(w, node, c->request, outcome, why, &shown);
	message_free(w, c->request);
	c->used = false;
}

/* ---- the lock of those that exchange directories ---- */

bool
helper_exchanges(const Server *s)
{
	const Command *c = s->lock >= 0 ? &s->commands[s->lock] : NULL;

	return c != NULL && c->used && (c->request->verb == V_SWAP || c->request->verb == V_UNSWAP);
}

/* It is killed: its channel ends, and nothing more of it comes. */
static void
end_other(World *w, int node, int index)
{
	Server *s = w->server[node];
	Command *c = &s->commands[index];

	TRACE(w, "%s: a verb of ticket %lld is ended in its stage %d", node_name(node), (long long) c->request->ticket, c->stage);
	if (s->lock == index)
		s->lock = -1;
	node_answer(w, node, c->request, OUT_CLOSED, NULL, NULL);
	message_free(w, c->request);
	c->used = false;
}

/* Does what stands before a start come to its end?  After five seconds it is ended. */
static bool
waits_for_exchange(World *w, int node, int index)
{
	Server *s = w->server[node];

	if (!helper_exchanges(s))
		return false;
	if (clock_ms(w, node) < s->commands[index].began_ms + LOCK_WAIT_MS)
		return true;
	end_other(w, node, s->lock);
	return false;
}

/* ---- fence ---- */

static const char *
check_term(const Server *s, int64_t term)
{
	const Data *d = s->data;

	if (highest_of_file(d) > term)
		return "stale term";
	if (d->state_file == STATE_OK && term > highest_of_file(d) + RG_TERM_JUMP_MAX)
		return "term too high";
	return NULL;
}

static const char *
check_fence(const Server *s, int64_t term)
{
	const Data *d = s->data;
	const char *why = check_term(s, term);

	if (why == NULL && d->state_file == STATE_OK && d->state.has_rule && d->state.rule.term == term &&
		strcmp(d->state.rule.leader, d->state.node) == 0)
		why = "leads in that term itself";
	return why;
}

static void
store_fence(World *w, int node, int64_t term)
{
	Data *d = w->server[node]->data;

	if (d->state_file == STATE_OK && d->state.promise_term < term)
	{
		d->state.promise_term = term;
		if (d->state.watchdog[0] != '\0')
			memcpy(d->state.promise_watchdog, d->state.watchdog, sizeof(d->state.promise_watchdog));
		data_store_state(w, d);
	}
	d->source = -1;
	/* mutation 35: it could start as a primary again */
	if (!RG_MUTANT(35))
		d->standby_signal = true;
}

void
node_fence_by_hand(World *w, int node)
{
	Server *s = w->server[node];

	TRACE(w, "somebody makes %s a standby", node_name(node));
	server_kill(w, node);
	s->data->source = -1;
	s->data->standby_signal = true;
	server_start(w, node);
}

static int64_t
fence_stage(World *w, int node, int index)
{
	Server *s = w->server[node];
	Command *c = &s->commands[index];
	int64_t term = c->request->term;
	const char *why = c->stage < 4 ? check_fence(s, term) : NULL;

	if (why != NULL)
	{
		end(w, node, index, OUT_REFUSED, why);
		return -1;
	}
	switch (c->stage)
	{
		case 1:
			if (s->lock < 0)
				s->lock = index;
			return between(w, 200, 5 * MS);
		case 2:
			/* mutation 18: the backends are left alive */
			if (RG_MUTANT(18))
				server_kill_postmaster(w, node);
			else
				server_kill(w, node);
			if (helper_exchanges(s))
				end_other(w, node, s->lock);
			s->lock = index;
			return between(w, 500, 15 * MS);
		case 3:
			store_fence(w, node, term);
			return between(w, 500, 8 * MS);
		default:
			if (!RG_MUTANT(18))
				server_kill(w, node);
			TRACE(w, "%s is fenced for term %lld", node_name(node), (long long) term);
			end(w, node, index, OUT_OK, NULL);
			return -1;
	}
}

/* ---- start and stop ---- */

static int64_t
start_stage(World *w, int node, int index)
{
	Server *s = w->server[node];

	if (s->commands[index].stage == 1)
	{
		if (waits_for_exchange(w, node, index))
		{
			s->commands[index].stage = 0;
			return 200 * MS;
		}
		server_start(w, node);
		if (s->run == RUN_NO)
		{
			end(w, node, index, OUT_REFUSED, "the server does not start");
			return -1;
		}
		return between(w, 50 * MS, 300 * MS);
	}
	if (s->run == RUN_STARTING && s->commands[index].stage < 30)
		return 100 * MS;
	end(w, node, index, s->run == RUN_NO ? OUT_REFUSED : OUT_OK, s->run == RUN_NO ? "it died again" : NULL);
	return -1;
}

static int64_t
stop_stage(World *w, int node, int index)
{
	Server *s = w->server[node];
	Command *c = &s->commands[index];

	if (c->stage == 1)
	{
		server_stop(w, node);
		return between(w, 20 * MS, 60 * MS);
	}
	if (s->run == RUN_NO && !s->orphans)
		end(w, node, index, OUT_OK, NULL);
	else if (clock_ms(w, node) > c->began_ms + STOP_WAIT_MS)
		end(w, node, index, OUT_REFUSED, "the server did not stop");
	else
		return between(w, 20 * MS, 100 * MS);
	return -1;
}

/* ---- copies ---- */

/* Verbs that exchange directories, or rewind one, keep each other out by a lock. */
static bool
is_exclusive(Verb verb)
{
	return verb == V_REWIND || verb == V_DELTA || verb == V_COPY || verb == V_SWAP || verb == V_SETTLE ||
		verb == V_UNSWAP || verb == V_DISCARD;
}

/* The other one that is at work; -1 = none. */
static int
at_work(const Server *s, int index)
{
	for (int i = 0; i < COMMANDS_MAX; i++)
		if (i != index && s->commands[i].used && s->commands[i].stage > 0 && is_exclusive(s->commands[i].request->verb))
			return i;
	return -1;
}

/* The verb is let in, and ends whoever is at work; NULL, or why not. */
static const char *
enter_job(World *w, int node, int index)
{
	Server *s = w->server[node];
	const Message *m = s->commands[index].request;
	int rule = rg_rules_compare(m->term, m->rule_seq, s->job_term, s->job_seq);
	int other = at_work(s, index);

	/* mutation 71: a verb that comes too late is let in */
	if (RG_MUTANT(71))
		return other >= 0 ? "busy: another verb is at work" : NULL;
	if (rule < 0 || (rule == 0 && m->ticket < s->job_ticket))
	{
		TRACE(w, "%s: a verb of ticket %lld comes too late", node_name(node), (long long) m->ticket);
		return "outdated: a later verb was here";
	}
	if (other >= 0)
		end_other(w, node, other);
	s->job_term = m->term;
	s->job_seq = m->rule_seq;
	s->job_ticket = m->ticket;
	return NULL;
}

/* The source is the same server as when it began, and can be reached. */
static bool
has_source(World *w, int node, const Message *request)
{
	int from = request->leader;

	return server_is_up(w, from) && w->server[from]->life == request->life && can_reach(w, from, node) &&
		can_reach(w, node, from);
}

/* A copy, or a delta: the same in the end, only faster where a directory is there. */
static int64_t
copy_stage(World *w, int node, int index)
{
	Server *s = w->server[node];
	Command *c = &s->commands[index];
	int from = c->request->leader;
	const Server *source = w->server[from];
	bool is_delta = c->request->verb == V_DELTA;

	if (c->stage == 1)
	{
		const char *why = is_delta && w->c.old_helpers ? "usage: there is no verb delta"
			: s->has_old ? "unsettled: settle or unswap"
			: s->run != RUN_NO && !s->in_recovery ? "is_primary" : check_term(s, c->request->term);

		if (why == NULL && !server_is_up(w, from))
			why = "source: it does not answer";
		if (why == NULL && is_delta && chance(w, 200))
			why = "not_possible: too little is alike";
		if (why != NULL)
		{
			end(w, node, index, OUT_REFUSED, why);
			return -1;
		}
		s->has_copy = false;
		c->request->life = source->life;
		return is_delta ? between(w, 100 * MS, 900 * MS) : between(w, 300 * MS, 2500 * MS);
	}
	if (!has_source(w, node, c->request))
	{
		end(w, node, index, OUT_REFUSED, "copy_failed: the source went away");
		return -1;
	}
	data_copy(s->copy, source->data);
	data_truncate(s->copy, source->data->flushed);
	s->copy->restartpoint = source->in_recovery ? source->data->restartpoint
		: source->data->checkpoint < s->copy->len ? source->data->checkpoint : s->copy->len;
	s->copy->consistent = s->copy->len;
	s->copy->control = CONTROL_PRODUCTION;
	s->copy->pidfile = false;
	s->has_copy = true;
	s->copied_from = from;
	s->copied_pid = s->run != RUN_NO ? s->id.pid : 0;
	end(w, node, index, OUT_OK, NULL);
	return -1;
}

/* The copy's state under this node's name, with the higher promise (F9); own: NULL where there is none. */
static const char *
take_state(World *w, int node, Data *copy, const RgState *own, int64_t term)
{
	RgState *new = &copy->state;

	if (copy->state_file != STATE_OK)
		return "the copy's state file can't be used";
	if (rg_state_effective_term(new) > term)
		return "stale term";
	strcpy(new->node, node_name(node));
	new->promoting = 0;
	if (own != NULL)
	{
		if (strcmp(own->watchdog, new->watchdog) == 0 && own->counter > new->counter)
			new->counter = own->counter;
		/* mutation 27: the copy's promise replaces the node's own */
		if (own->promise_term > new->promise_term && !RG_MUTANT(27))
		{
			new->promise_term = own->promise_term;
			memcpy(new->promise_watchdog, new->watchdog, sizeof(new->promise_watchdog));
		}
	}
	data_store_state(w, copy);
	return NULL;
}

static void
exchange(Data **a, Data **b)
{
	Data *d = *a;

	*a = *b;
	*b = d;
}

/* What has to be so under the lock as well. */
static const char *
exchange_trouble(const World *w, const Server *s, const Message *m)
{
	const Data *d = s->data;

	if (!d->standby_signal || (s->run != RUN_NO && !s->in_recovery))
		return "not_fenced";
	if (m->verb == V_SWAP && s->run != RUN_NO && s->id.pid != s->copied_pid && !RG_MUTANT(71))
		return "no_copy: the server was started after it was complete";
	if (d->state_file == STATE_OK && d->state.has_rule && !RG_MUTANT(71) &&
		rg_rules_compare(d->state.rule.term, d->state.rule.seq, m->term, m->rule_seq) > 0)
		return "outdated: the node holds a newer rule";
	(void) w;
	return check_term(s, m->term);
}

/*
 * Takes the lock, and ends the server: from then on none starts.  0 while it waits,
 * then 1; -1: it has been refused.
 */
static int
lock_for_exchange(World *w, int node, int index)
{
	Server *s = w->server[node];
	Command *c = &s->commands[index];
	const char *why = exchange_trouble(w, s, c->request);

	if (why == NULL && s->lock >= 0 && s->lock != index)
	{
		if (clock_ms(w, node) < c->began_ms + LOCK_WAIT_MS)
			return 0;
		/* a hung server may hold it */
		server_kill(w, node);
		if (s->lock >= 0)
			why = "busy: something holds the lock";
	}
	if (why != NULL)
	{
		end(w, node, index, OUT_REFUSED, why);
		return -1;
	}
	s->lock = index;
	server_kill(w, node);
	return 1;
}

/* Its two first stages; the result of a stage, or -2: the exchange is next. */
static int64_t
before_exchange(World *w, int node, int index)
{
	Command *c = &w->server[node]->commands[index];
	const char *why;
	int locked;

	if (c->stage == 1)
	{
		why = exchange_trouble(w, w->server[node], c->request);
		if (why == NULL)
			return between(w, 20 * MS, 200 * MS);
		end(w, node, index, OUT_REFUSED, why);
		return -1;
	}
	if (c->stage > 2)
		return -2;
	locked = lock_for_exchange(w, node, index);
	if (locked == 0)
		c->stage = 1;
	return locked < 0 ? -1 : locked == 0 ? 50 * MS : between(w, 30 * MS, 300 * MS);
}

static void
swap_in(World *w, int node, const Message *m)
{
	Server *s = w->server[node];

	s->copy->standby_signal = true;
	s->copy->source = m->leader;
	s->copy->flushed = s->copy->written = s->copy->len;
	exchange(&s->data, &s->copy);
	exchange(&s->copy, &s->old);
	s->has_old = s->is_swapped = true;
	s->has_copy = false;
	TRACE(w, "%s has a fresh copy of %s: len %d", node_name(node), node_name(m->leader), s->data->len);
}

static int64_t
swap_stage(World *w, int node, int index)
{
	Server *s = w->server[node];
	Command *c = &s->commands[index];
	const Message *m = c->request;
	const char *why = NULL;
	int64_t wait;

	if (c->stage == 1 && s->has_old && s->is_swapped && s->copied_from == m->leader && check_term(s, m->term) == NULL)
	{
		c->stage = 3;			/* an earlier one has come so far */
		return between(w, MS, 20 * MS);
	}
	if (c->stage == 1 && s->has_old)
		why = "unsettled";
	else if (c->stage < 3 && (!s->has_copy || s->copied_from != m->leader))
		why = "no_copy: there is none";
	if (why == NULL && (wait = before_exchange(w, node, index)) != -2)
		return wait;
	if (c->stage == 3)
	{
		if (why == NULL)
			why = take_state(w, node, s->copy, s->data->state_file == STATE_OK ? &s->data->state : NULL, m->term);
		if (why == NULL)
		{
			swap_in(w, node, m);
			s->lock = -1;
			return between(w, 5 * MS, 50 * MS);
		}
	}
	if (why == NULL)
		server_start(w, node);
	end(w, node, index, why == NULL ? OUT_OK : OUT_REFUSED, why);
	return -1;
}

static void
put_old_back(World *w, int node)
{
	Server *s = w->server[node];
	const RgState *newer = &s->data->state;

	if (s->data->state_file == STATE_OK && s->old->state_file == STATE_OK &&
		newer->promise_term > s->old->state.promise_term)
	{
		s->old->state.promise_term = newer->promise_term;
		memcpy(s->old->state.promise_watchdog, newer->promise_watchdog, sizeof(newer->promise_watchdog));
		data_store_state(w, s->old);
	}
	exchange(&s->data, &s->old);
	s->has_old = s->is_swapped = false;
}

static int64_t
unswap_stage(World *w, int node, int index)
{
	Server *s = w->server[node];
	int64_t wait;

	if (s->has_old)
	{
		if ((wait = before_exchange(w, node, index)) != -2)
			return wait;
		put_old_back(w, node);
	}
	s->has_copy = false;
	end(w, node, index, OUT_OK, NULL);
	return -1;
}

/* ---- rewind ---- */

/* Where the two histories part, by the numbers of timelines alone, as pg_rewind sees it. */
static int
fork_by_numbers(const Data *target, const Data *source)
{
	int fork = 0;

	for (uint32_t timeline = 1; timeline <= target->timeline && timeline < TIMELINES_MAX; timeline++)
	{
		int a = data_end_of(target, timeline);
		int b = data_end_of(source, timeline);

		if (a >= 0 && b >= 0)
			fork = a < b ? a : b;
	}
	return fork;
}

static bool
has_same_wal(const Data *target, const Data *source)
{
	int fork = fork_by_numbers(target, source);

	return target->timeline != source->timeline &&
		(fork == 0 || target->log[fork - 1].hash == source->log[fork - 1].hash);
}

static const char *
rewind_trouble(World *w, int node, const Message *request)
{
	const Server *s = w->server[node];
	const char *why = check_term(s, request->term);

	if (w->c.old_helpers)
		return "usage: there is no verb rewind";
	if (why == NULL && s->run != RUN_NO && !s->in_recovery)
		why = "is_primary";
	if (why == NULL && !s->data->standby_signal)
		why = "not_fenced";
	if (why == NULL && !server_is_up(w, request->leader))
		why = s->data->half_rewound ? "half_rewound: the source does not answer" : "source: it does not answer";
	if (why == NULL && !s->data->half_rewound && chance(w, 200))
		why = "not_possible: neither checksums nor wal_log_hints";
	/* an older disk's own WAL has the right timeline */
	if (why == NULL && !has_same_wal(s->data, w->server[request->leader]->data))
		why = "not_possible: the WAL before the fork is not the leader's";
	return why;
}

/* In place: what was there up to the fork stays, the rest is the source's. */
static void
rewind_data(World *w, int node, const Server *source)
{
	Data *d = w->server[node]->data;
	int fork = fork_by_numbers(d, source->data);

	if (d->timeline == source->data->timeline)
		return;					/* "no rewind required" */
	if (fork > 0 && d->log[fork - 1].hash != source->data->log[fork - 1].hash)
		violate(w, "F2: %s is rewound to position %d, where its rows are not those of %s", node_name(node), fork,
				node_name(source->node));
	data_copy(d, source->data);
	data_truncate(d, source->data->flushed);
	d->restartpoint = fork < d->len ? fork : d->len;
	d->consistent = d->len;
	d->control = CONTROL_PRODUCTION;
	d->flushed = d->written = d->len;
}

/* The node's own state, with what the source has followed, and its own higher promise. */
static const char *
dress_rewound(World *w, int node, const Message *request, const RgState *own)
{
	Data *d = w->server[node]->data;
	const char *why = own != NULL && rg_state_effective_term(own) > request->term
		? "stale_term: it is fenced for a newer one" : take_state(w, node, d, own, request->term);

	/* one that was fenced meanwhile stays so */
	if (why != NULL && own != NULL)
	{
		d->state = *own;
		data_store_state(w, d);
	}
	d->pidfile = false;
	d->standby_signal = true;
	d->source = why == NULL ? request->leader : -1;
	return why;
}

static int64_t
rewind_stage(World *w, int node, int index)
{
	Server *s = w->server[node];
	Command *c = &s->commands[index];
	const Server *source = w->server[c->request->leader];
	RgState own = s->data->state;
	bool has_state = s->data->state_file == STATE_OK;
	const char *why;

	switch (c->stage)
	{
		case 1:
			if ((why = rewind_trouble(w, node, c->request)) != NULL)
				break;
			server_kill(w, node);
			s->has_copy = false;
			c->request->life = source->life;
			return between(w, 50 * MS, 300 * MS);
		case 2:
			s->data->half_rewound = true;
			s->data->late_rewound = c->request->again;
			return between(w, 100 * MS, 1500 * MS);
		default:
			server_kill(w, node);
			if (!has_source(w, node, c->request) || source->in_recovery)
			{
				why = "half_rewound: the source went away";
				break;
			}
			rewind_data(w, node, source);
			why = dress_rewound(w, node, c->request, has_state ? &own : NULL);
			s->data->half_rewound = false;
			TRACE(w, "%s is rewound to %s: len %d%s%s", node_name(node), node_name(c->request->leader), s->data->len,
				  why != NULL ? ", " : "", why != NULL ? why : "");
			w->rewinds++;
			if (why == NULL)
				server_start(w, node);
	}
	end(w, node, index, why == NULL ? OUT_OK : OUT_REFUSED, why);
	return -1;
}

bool
node_has_the_mark(const World *w, int node)
{
	return w->server[node]->data->half_rewound;
}

bool
node_is_half_rewound(const World *w, int node)
{
	return w->server[node]->data->half_rewound && !w->server[node]->data->late_rewound;
}

/* The watchdog has closed the channel: the verb ends, and removes what it began. */
void
helper_abort(World *w, int node, int serial)
{
	Server *s = w->server[node];

	for (int i = 0; i < COMMANDS_MAX; i++)
	{
		Command *c = &s->commands[i];

		if (!c->used || c->request->serial != serial || (c->request->verb != V_COPY && c->request->verb != V_DELTA))
			continue;
		message_free(w, c->request);
		c->used = false;
		s->has_copy = false;
	}
}

static int64_t
small_stage(World *w, int node, int index)
{
	Server *s = w->server[node];
	Verb verb = s->commands[index].request->verb;

	if (verb == V_SETTLE && s->has_old && s->run == RUN_NO)
	{
		end(w, node, index, OUT_REFUSED, "no server runs");
		return -1;
	}
	if (verb == V_SETTLE && s->has_old)
		check_settle(w, node);
	if (verb == V_SETTLE)
		s->has_old = s->is_swapped = false;
	if (verb == V_DISCARD)
		s->has_copy = false;
	end(w, node, index, OUT_OK, NULL);
	return -1;
}

/* ---- all of them ---- */

static int64_t
run_stage(World *w, int node, int index)
{
	const Command *c = &w->server[node]->commands[index];
	const char *why = c->stage == 1 && is_exclusive(c->request->verb) && !c->has_lock ? enter_job(w, node, index) : NULL;

	if (why != NULL)
	{
		end(w, node, index, OUT_REFUSED, why);
		return -1;
	}
	w->server[node]->commands[index].has_lock = true;
	switch (c->request->verb)
	{
		case V_REWIND:
			return rewind_stage(w, node, index);
		case V_DELTA:
			return copy_stage(w, node, index);
		case V_FENCE:
			return fence_stage(w, node, index);
		case V_START:
			return start_stage(w, node, index);
		case V_STOP:
			return stop_stage(w, node, index);
		case V_COPY:
			return copy_stage(w, node, index);
		case V_SWAP:
			return swap_stage(w, node, index);
		case V_UNSWAP:
			return unswap_stage(w, node, index);
		default:
			return small_stage(w, node, index);
	}
}

static void
on_helper(World *w, const Event *e)
{
	Server *s = w->server[e->host];
	Command *c = &s->commands[e->a];
	int64_t wait;

	if (!c->used || c->request->serial != e->b)
		return;
	/* it kills before it touches the disk */
	if (s->hung_since != 0 && !(c->request->verb == V_FENCE && c->stage < 2))
		wait = 100 * MS;
	else
	{
		c->stage++;
		wait = run_stage(w, e->host, e->a);
	}
	/* stopped in the middle: it wakes when its job may be over */
	if (wait >= 0 && c->used && is_exclusive(c->request->verb) && w->c.freeze_faults && !w->quiet && chance(w, 40))
		wait += between(w, SECOND, 30 * SECOND);
	if (wait >= 0 && c->used)
	{
		Event *next = later(w, wait, on_helper, e->host, BY_HOST);

		next->a = e->a;
		next->b = e->b;
	}
}

void
helper_run(World *w, int node, Message *m)
{
	int index;
	Event *e;

	if (m->verb == V_PROMOTE_SSH)
	{
		if (w->server[node]->run != RUN_UP || w->server[node]->data->state_file != STATE_OK ||
			w->server[node]->pm_frozen)
			node_answer(w, node, m, OUT_REFUSED, "the server is not running", NULL);
		else
			command_run(w, node, m);
		return;
	}
	index = command_new(w, node, m);
	if (index < 0)
		return;
	if (m->verb == V_PROBE)
	{
		end(w, node, index, OUT_OK, NULL);
		return;
	}
	e = later(w, between(w, MS, 20 * MS), on_helper, node, BY_HOST);
	e->a = index;
	e->b = m->serial;
}

/* ---- arrivals ---- */

static void
connect_to(World *w, int node, Message *m)
{
	Server *s = w->server[node];
	Outcome outcome = OUT_OK;

	if (s->run == RUN_NO)
		outcome = OUT_NOBODY;
	else if (s->pm_frozen)
		return;					/* accepted by the kernel, and then silence */
	else if (s->run == RUN_STARTING)
		outcome = OUT_STARTING;
	else if (s->run == RUN_STOPPING)
		outcome = OUT_STOPPING;
	m->life = s->life;
	node_answer(w, node, m, outcome, NULL, NULL);
}

static void
keep_for_later(World *w, const Event *e, int64_t delay_us, Proc proc)
{
	Event *kept = later(w, delay_us, node_receive, e->host, proc);

	kept->life = w->server[e->host]->life;
	kept->msg = message_new(w);
	memcpy(kept->msg, e->msg, sizeof(*e->msg));
}

void
node_receive(World *w, const Event *e)
{
	Message *m = e->msg;
	Server *s = w->server[e->host];

	if (m->verb >= V_SSH)
	{
		if (w->host[e->host].sshd_blocked)
		{
			/* what was sent in a session is sent again; a new session is not opened */
			if (m->verb != V_SSH)
				keep_for_later(w, e, 300 * MS, BY_HOST);
			return;
		}
		if (m->verb == V_SSH)
		{
			Shown shown = {.rule = -1, .obeys = -1, .ahead = -1, .start.boot = w->host[e->host].boot};

			node_answer(w, e->host, m, OUT_OK, NULL, &shown);
		}
		else if (m->life != w->host[e->host].boot)
			node_answer(w, e->host, m, OUT_CLOSED, NULL, NULL); /* a session of an earlier boot */
		else
			helper_run(w, e->host, m);
	}
	else if (m->verb == V_CONNECT)
		connect_to(w, e->host, m);
	else if (s->run == RUN_NO || s->life != m->life)
		node_answer(w, e->host, m, OUT_CLOSED, NULL, NULL);	/* RST */
	else if (s->run == RUN_UP && s->backends_frozen)
		keep_for_later(w, e, 1, BY_BACKEND);	/* it waits in the socket until the backend runs again */
	else if (s->run == RUN_UP)
		command_run(w, e->host, m);
}
