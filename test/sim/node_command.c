/*
 * node_command.c
 *	  The watchdog's commands over SQL, stage by stage, as the extension runs them.
 *
 * Each stage is an event: whatever kills or freezes the server can fall between
 * two of them.  A command that changes what the node has pledged holds the node's
 * lock from its first stage to its answer; the helper takes the same one.
 */
#include "node.h"

#define LOCK_WAIT_MS 2000
#define PROMISE_WAIT_MS 1500
#define PROMOTE_WAIT_MS 5000
#define FETCH_MS 8500
#define FETCH_IDLE_MS 2000

typedef Message Request;

static void on_stage(World *w, const Event *e);

/* ---- answers ---- */

void
node_answer(World *w, int node, const Message *request, Outcome outcome, const char *why, const Shown *shown)
{
	Message *m = message_new(w);

	m->verb = request->verb;
	m->dog = request->dog;
	m->dog_life = request->dog_life;
	m->node = node;
	m->life = request->life;
	m->serial = request->serial;
	m->term = request->term;
	m->outcome = outcome;
	m->why = why;
	if (shown != NULL)
		m->shown = *shown;
	else
	{
		m->shown.rule = -1;
		m->shown.obeys = watchdog_of(w->server[node]->shm.watchdog);
	}
	if (outcome != OUT_OK && request->verb != V_CONNECT)
		TRACE(w, "%s refuses %d of term %lld: %s", node_name(node), request->verb, (long long) request->term,
			  why != NULL ? why : "");
	send_to(w, node_host(node), dog_host(w, request->dog), dog_receive, BY_DOG, m)->life = request->dog_life;
}

int
command_new(World *w, int node, Message *request)
{
	Server *s = w->server[node];

	for (int i = 0; i < COMMANDS_MAX; i++)
		if (!s->commands[i].used)
		{
			Command *c = &s->commands[i];
			Message *copy = message_new(w);

			memcpy(copy, request, sizeof(*copy));
			memset(c, 0, sizeof(*c));
			c->used = true;
			c->request = copy;
			c->began_ms = clock_ms(w, node);
			c->by_helper = request->verb > V_SSH;
			return i;
		}
	return -1;
}

/* Where its WAL ends, if that is sure: nothing comes any more, and what came is known (promise.c). */
static uint64_t
held_lsn(const Server *s, bool is_complete)
{
	if (!s->in_recovery || s->live_source >= 0 || s->receiver != RECEIVER_STOPPED ||
		(s->received == 0 && !is_complete))
		return 0;
	/* mutation 38: what was received and is not replayed is forgotten */
	return data_lsn(s->data, s->received > s->replay && !RG_MUTANT(38) ? s->received : s->replay);
}

void
command_end(World *w, int node, int command, Outcome outcome, const char *why)
{
	Server *s = w->server[node];
	Command *c = &s->commands[command];
	Shown shown;

	if (s->lock == command)
		s->lock = -1;
	server_show(w, node, &shown);
	shown.complete = c->stage > 1000;
	shown.held = held_lsn(s, shown.complete);
	node_answer(w, node, c->request, outcome, why, &shown);
	message_free(w, c->request);
	c->request = NULL;
	c->used = false;
}

/* The processes that ran them are gone. */
void
command_fail_all(World *w, int node, bool helpers_too)
{
	Server *s = w->server[node];

	for (int i = 0; i < COMMANDS_MAX; i++)
		if (s->commands[i].used && (helpers_too || !s->commands[i].by_helper))
		{
			message_free(w, s->commands[i].request);
			s->commands[i].used = false;
			if (s->lock == i)
				s->lock = -1;
		}
}

/* ---- what commands check ---- */

static const char *
authorize(World *w, int node, const Message *m, bool may_be_first, Outcome *ret)
{
	Server *s = w->server[node];
	char uuid[RG_UUID_SIZE];

	*ret = OUT_REFUSED;
	watchdog_uuid(m->watchdog, uuid);
	if (s->shm.watchdog[0] == '\0')
		return may_be_first ? NULL : "not initialised";
	if (strcmp(s->shm.watchdog, uuid) != 0 && !RG_MUTANT(23))
	{
		s->intruder_ms = clock_ms(w, node);
		*ret = OUT_OTHER_WATCHDOG;
		return "obeys another watchdog";
	}
	if (m->counter < s->shm.counter && !RG_MUTANT(23))
	{
		s->intruder_ms = clock_ms(w, node);
		*ret = OUT_LOWER_COUNTER;
		return "has seen a later start of this watchdog";
	}
	if (m->counter > s->shm.counter)
	{
		s->shm.counter = m->counter;
		s->dirty = true;
		if (s->lock < 0)
		{
			s->data->state = s->shm;
			data_store_state(w, s->data);
		}
	}
	return NULL;
}

static const char *
check_term(const Server *s, const Message *m)
{
	char uuid[RG_UUID_SIZE];

	/* mutation 22: what comes late is done late */
	if (RG_MUTANT(22))
		return NULL;
	if (m->term < rg_state_effective_term(&s->shm) || m->term <= 0)
		return "stale term";
	if (!rg_rules_term_is_plausible(m->term, rg_state_highest_term(&s->shm)))
		return "term too far ahead";
	watchdog_uuid(m->watchdog, uuid);
	if (m->verb != V_PROMOTE_SSH && s->shm.promise_term == m->term && s->shm.promise_watchdog[0] != '\0' &&
		strcmp(s->shm.promise_watchdog, uuid) != 0)
		return "promised to another watchdog";
	return NULL;
}

/* The state of shared memory goes to the disk, then it is in force. */
static void
store(World *w, int node)
{
	Server *s = w->server[node];

	s->dirty = false;
	s->data->state = s->shm;
	data_store_state(w, s->data);
	lease_rule_changed(w, node);
}

static void
pledge(World *w, int node, const Message *m)
{
	Server *s = w->server[node];

	s->shm.promise_term = m->term;
	watchdog_uuid(m->watchdog, s->shm.promise_watchdog);
	store(w, node);
}

/* ---- promise ---- */

static const char *
check_promise(const Server *s, const Message *m)
{
	const char *why = check_term(s, m);

	if (why == NULL && rg_state_has_followed(&s->shm, m->term))
		why = "term is decided";
	return why;
}

/* The startup process drops its source and reads all WAL; what blocks it is lifted. */
static bool
is_parked(World *w, int node)
{
	Server *s = w->server[node];

	if (s->stuck)
	{
		s->stuck = chance(w, 300);
		stream_replay(w, node);
	}
	if (s->live_source >= 0 && !s->stuck)
	{
		s->live_source = -1;
		stream_stop(w, node);
	}
	return s->live_source < 0 && s->receiver == RECEIVER_STOPPED && ((s->replay >= s->data->len && !s->stuck && !s->stuck_for_good) || RG_MUTANT(33)) && !s->promote_asked && s->in_recovery;
}

static int64_t
promise_stage(World *w, int node, int index)
{
	Server *s = w->server[node];
	Command *c = &s->commands[index];
	const Message *m = c->request;

	switch (c->stage)
	{
		case 1:					/* every source of WAL is taken away, durably */
			/* mutation 3: the promise alone; the receiver goes on */
			if (s->in_recovery && !RG_MUTANT(3))
				s->data->source = -1;
			return between(w, 200, 12 * MS);
		case 2:					/* the promise is stored, durably */
			pledge(w, node, m);
			if (!s->in_recovery)
			{
				command_end(w, node, index, OUT_OK, NULL);
				return -1;
			}
			if (RG_MUTANT(3))
			{
				c->stage = 1001;
				server_adopt_rules(w, node, false);
				command_end(w, node, index, OUT_OK, NULL);
				return -1;
			}
			s->parked = true;
			return between(w, 200, 8 * MS);
		default:				/* wait until it is parked */
			if (is_parked(w, node) && !s->worker_frozen)
			{
				server_adopt_rules(w, node, false);
				c->stage = 1001;	/* complete */
			}
			if (c->stage > 1000 || clock_ms(w, node) >= c->deadline_ms)
			{
				command_end(w, node, index, OUT_OK, NULL);
				return -1;
			}
			return between(w, MS, 30 * MS);
	}
}

/* ---- fetch ---- */

static const char *
check_fetch(const Server *s, const Message *m)
{
	const char *why = s->in_recovery ? check_term(s, m) : "is a primary";

	if (why == NULL && (s->shm.promise_term != m->term || rg_state_effective_term(&s->shm) != m->term ||
						rg_state_has_followed(&s->shm, m->term)))
		why = "not recruited for this term";
	if (why == NULL && rg_rules_is_half_promoted(s->shm.promoting, s->shm.has_rule ? s->shm.rule.term : 0))
		why = "half promoted";
	return why;
}

/* The source is taken away again: parks, and answers as a promise does. */
static int64_t
fetch_parks(World *w, int node, int index)
{
	Server *s = w->server[node];
	Command *c = &s->commands[index];
	bool nothing = data_lsn(s->data, c->fetched) < c->request->until_lsn && c->fetched <= c->before;

	if (is_parked(w, node) && !s->worker_frozen)
	{
		server_adopt_rules(w, node, false);
		c->stage = 1001;		/* complete */
	}
	if (c->stage <= 1000 && clock_ms(w, node) < c->deadline_ms)
		return between(w, MS, 30 * MS);
	TRACE(w, "%s has fetched from %d to %d", node_name(node), c->before, c->fetched);
	command_end(w, node, index, nothing ? OUT_REFUSED : OUT_OK, nothing ? "received nothing" : NULL);
	return -1;
}

/* Streams from another recruit: until it has all, nothing comes any more, or the time is over. */
static int64_t
fetch_streams(World *w, int node, int index)
{
	Server *s = w->server[node];
	Command *c = &s->commands[index];
	int64_t now_ms = clock_ms(w, node);

	if (s->data->len > c->fetched)
		c->moved_ms = now_ms;
	c->fetched = s->data->len;
	if (data_lsn(s->data, c->fetched) < c->request->until_lsn && now_ms < c->deadline_ms &&
		now_ms - c->moved_ms < FETCH_IDLE_MS)
		return between(w, MS, 30 * MS);
	s->data->source = -1;
	s->parked = true;
	c->cut = true;
	c->deadline_ms = now_ms + PROMISE_WAIT_MS;
	return between(w, 200, 8 * MS);
}

static int64_t
fetch_stage(World *w, int node, int index)
{
	Server *s = w->server[node];
	Command *c = &s->commands[index];

	switch (c->stage)
	{
		case 1:
			c->before = c->fetched = s->data->len;
			s->data->source = c->request->leader;
			return between(w, 200, 8 * MS);
		case 2:
			s->parked = false;
			stream_stop(w, node);
			s->live_source = c->request->leader;
			stream_wake(w, node);
			c->moved_ms = clock_ms(w, node);
			c->deadline_ms = c->moved_ms + FETCH_MS;
			return between(w, MS, 10 * MS);
		default:
			return c->cut ? fetch_parks(w, node, index) : fetch_streams(w, node, index);
	}
}

/* ---- promote ---- */

static void
on_promoted(World *w, const Event *e)
{
	Server *s = w->server[e->host];
	Data *d = s->data;

	if (!s->in_recovery || !s->promote_asked || s->run != RUN_UP)
		return;
	if (s->replay < d->len && !s->stuck_for_good)
	{
		/* all WAL that is there comes first */
		stream_replay(w, e->host);
		later(w, 3 * MS, on_promoted, e->host, BY_STREAM)->life = s->life;
		return;
	}
	if (s->stuck_for_good)
	{
		later(w, 200 * MS, on_promoted, e->host, BY_STREAM)->life = s->life;
		return;
	}
	s->in_recovery = false;
	s->receiver = RECEIVER_STOPPED;
	d->standby_signal = false;
	d->source = s->live_source = -1;
	d->control = CONTROL_PRODUCTION;
	data_switch(d, data_next_timeline(d));
	if (data_append(w, d, -1) > 0)
		d->checkpoint = d->len;
	s->parked = false;
	TRACE(w, "%s has left recovery: timeline %u from %d on, promoting %lld", node_name(e->host), d->timeline,
		  d->len - 1, (long long) s->shm.promoting);
	check_promoted(w, e->host);
	server_flush(w, e->host, between(w, 100, 2 * MS));
	server_worker_soon(w, e->host);
}

/* Placeholders, so that the new timeline has the number of the term (history.c). */
static void
reserve_timelines(Server *s, int64_t term)
{
	if (RG_MUTANT(16))
		return;
	for (uint32_t t = s->data->timeline + 1; t < (uint32_t) term; t++)
		data_add_file(s->data, t);
}

static void
ask_promotion(World *w, int node)
{
	Server *s = w->server[node];

	if (s->promote_asked || !s->in_recovery)
		return;
	s->promote_asked = true;
	stream_stop(w, node);
	/* in a story with a bound (fault.c) nothing else takes long */
	later(w, chance(w, 40) && !w->quiet && w->c.plan < 5 ? 17 * SECOND : between(w, 3 * MS, 120 * MS), on_promoted, node,
		  BY_STREAM)->life = s->life;
}

static const char *
check_promote(const World *w, int node, const Message *m)
{
	const Server *s = w->server[node];
	const char *why = check_term(s, m);

	if (why == NULL && (s->shm.promise_term != m->term || rg_state_effective_term(&s->shm) != m->term) &&
		!RG_MUTANT(22))
		why = "not recruited for this term";
	if (why == NULL && rg_state_has_followed(&s->shm, m->term) && s->shm.promoting != m->term)
		why = "follows another leader in this term";
	if (why == NULL && !s->in_recovery && s->shm.promoting != m->term)
		why = "is a primary";
	if (why == NULL && s->in_recovery && !s->promote_asked && !RG_MUTANT(16) &&
		(m->term <= s->data->timeline || data_has_file(s->data, (uint32_t) m->term)))
		why = "timeline cannot begin";
	return why;
}

/* Over SQL; over SSH the helper does the same and does not wait. */
static int64_t
promote_stage(World *w, int node, int index)
{
	Server *s = w->server[node];
	Command *c = &s->commands[index];
	const Message *m = c->request;

	switch (c->stage)
	{
		case 1:
			if (m->term < rg_state_effective_term(&s->shm))
				violate(w, "C2: %s begins its promotion in term %lld, and has promised %lld", node_name(node),
						(long long) m->term, (long long) rg_state_effective_term(&s->shm));
			if (s->shm.promoting != m->term)
			{
				s->shm.promoting = m->term;
				store(w, node);
			}
			return between(w, 200, 6 * MS);
		case 2:
			if (s->in_recovery && !s->promote_asked)
				reserve_timelines(s, m->term);
			return between(w, 200, 4 * MS);
		case 3:
			if (!s->pm_frozen)
				ask_promotion(w, node);
			if (m->verb == V_PROMOTE_SSH)
			{
				command_end(w, node, index, OUT_OK, NULL);
				return -1;
			}
			return between(w, MS, 5 * MS);
		default:
			if (!s->in_recovery)
				command_end(w, node, index, OUT_OK, NULL);
			else if (clock_ms(w, node) >= c->deadline_ms)
				command_end(w, node, index, OUT_REFUSED, "still in recovery");
			else
				return between(w, 2 * MS, 20 * MS);
			return -1;
	}
}

/* ---- write_rule ---- */

static const char *
check_rule(const Server *s, const Message *m)
{
	const char *why = s->in_recovery ? "is a standby" : check_term(s, m);

	if (why == NULL && s->shm.has_rule &&
		rg_rules_compare(m->rule.term, m->rule.seq, s->shm.rule.term, s->shm.rule.seq) <= 0)
		why = "rule is not newer";
	if (why == NULL && m->rule.leader != s->node)
		why = "another leader";
	if (why == NULL && !s->rules_read)
		why = "has not read its rules yet";
	if (why == NULL)
	{
		RgRule next;

		rule_to_words(&m->rule, &next);
		if (!rg_joint_allows(&s->shm, &next))
			why = "the rule before is still in question";
	}
	return why;
}

static int64_t
rule_stage(World *w, int node, int index)
{
	Server *s = w->server[node];
	Command *c = &s->commands[index];
	Message *m = c->request;

	switch (c->stage)
	{
		case 1:					/* pending: restricts, proves nothing */
		{
			int rule = w->nrules;

			if (rule == RULES_MAX || s->disk_full)
			{
				command_end(w, node, index, OUT_REFUSED, "no space");
				return -1;
			}
			w->rules[w->nrules++] = m->rule;
			w->rules[rule].timeline = s->data->timeline;
			w->rules[rule].watchdog = m->watchdog;
			m->old_watchdog = rule;
			rule_to_state(w, rule, &s->shm.pending);
			s->shm.has_pending = true;
			watchdog_uuid(m->watchdog, s->shm.watchdog);
			s->shm.counter = m->counter;
			store(w, node);
			return between(w, 200, 8 * MS);
		}
		case 2:					/* the row */
			m->from_pos = data_append(w, s->data, m->old_watchdog);
			if (m->from_pos < 0)
			{
				command_end(w, node, index, OUT_REFUSED, "no space");
				return -1;
			}
			server_flush(w, node, between(w, 100, 10 * MS));
			return between(w, 100, MS);
		default:				/* in force when its commit is flushed */
			if (s->data->flushed < m->from_pos)
				return between(w, MS, 10 * MS);
			{
				RgRule rule;

				rule_to_state(w, m->old_watchdog, &rule);
				(void) rg_state_adopt_rule(&s->shm, &rule);
				s->dirty = true;
			}
			TRACE(w, "%s wrote rule %lld.%d", node_name(node), (long long) m->rule.term, m->rule.seq);
			lease_rule_changed(w, node);
			server_worker_soon(w, node);
			check_ruled(w, node);
			command_end(w, node, index, OUT_OK, NULL);
			check_open(w, node);
			return -1;
	}
}

/* ---- follow ---- */

static const char *
check_follow(const Server *s, const Message *m)
{
	const char *why = s->in_recovery ? check_term(s, m) : "is a primary";

	if (why == NULL && rg_rules_is_half_promoted(s->shm.promoting, s->shm.has_rule ? s->shm.rule.term : 0))
		why = "half promoted";
	if (why == NULL && s->shm.has_rule && s->shm.rule.term == m->term &&
		strcmp(s->shm.rule.leader, node_name(m->leader)) != 0)
		why = "another leader of that term";
	return why;
}

static int64_t
follow_stage(World *w, int node, int index)
{
	Server *s = w->server[node];
	const Message *m = s->commands[index].request;
	uint32_t timeline = s->replay > 0 ? s->data->log[s->replay - 1].timeline : 1;

	switch (s->commands[index].stage)
	{
		case 1:
			if (s->shm.nfollowed > 0)
			{
				RgTermEnd *last = &s->shm.followed[s->shm.nfollowed - 1];

				if (last->term < m->term && (!s->shm.has_rule || last->term > s->shm.rule.term))
					last->timeline = timeline;
			}
			if (!rg_state_has_followed(&s->shm, m->term))
				(void) rg_state_add_followed(&s->shm, m->term, timeline);
			pledge(w, node, m);
			return between(w, 200, 8 * MS);
		case 2:
			s->data->source = m->leader;
			return between(w, 200, 8 * MS);
		default:
			s->parked = false;
			if (s->live_source != m->leader)
				stream_stop(w, node);
			s->live_source = m->leader;
			TRACE(w, "%s follows %s in term %lld from %d", node_name(node), node_name(m->leader),
				  (long long) m->term, s->data->len);
			command_end(w, node, index, OUT_OK, NULL);
			stream_replay(w, node);
			stream_wake(w, node);
			return -1;
	}
}

/* ---- fence, checkpoint, takeover ---- */

static const char *
check_fence(const Server *s, const Message *m)
{
	const char *why = check_term(s, m);

	if (why == NULL && rg_state_leads(&s->shm) && s->shm.rule.term == m->term)
		why = "leads in that term itself";
	return why;
}

static int64_t
fence_stage(World *w, int node, int index)
{
	Server *s = w->server[node];
	Command *c = &s->commands[index];

	if (c->stage == 1)
	{
		if (s->in_recovery)
			s->data->source = -1;
		return between(w, 200, 8 * MS);
	}
	if (c->stage == 2)
	{
		pledge(w, node, c->request);
		s->parked = s->in_recovery;
		c->deadline_ms = clock_ms(w, node) + 1000;
		return between(w, 200, 5 * MS);
	}
	if (s->in_recovery && !is_parked(w, node) && clock_ms(w, node) < c->deadline_ms)
		return between(w, MS, 30 * MS);
	clients_crash(w, node);
	command_end(w, node, index, OUT_OK, NULL);
	return -1;
}

static int64_t
checkpoint_stage(World *w, int node, int index)
{
	Server *s = w->server[node];

	if (s->commands[index].stage == 1)
		return between(w, MS, chance(w, 100) && !w->quiet ? 3 * SECOND : 60 * MS);
	if (s->in_recovery)
		s->data->restartpoint = s->data->consistent = s->replay;
	else if (data_append(w, s->data, -1) > 0)
	{
		s->data->checkpoint = s->data->len;
		server_flush(w, node, 200);
	}
	command_end(w, node, index, OUT_OK, NULL);
	return -1;
}

static const char *
check_takeover(const Server *s, const Message *m)
{
	char old[RG_UUID_SIZE];
	char new[RG_UUID_SIZE];

	watchdog_uuid(m->old_watchdog, old);
	watchdog_uuid(m->watchdog, new);
	if (strcmp(s->shm.watchdog, new) == 0)
		return m->counter < s->shm.counter ? "a later start of it was seen" : NULL;
	return strcmp(s->shm.watchdog, old) == 0 ? NULL : "obeys another one than is to be replaced";
}

static int64_t
takeover_stage(World *w, int node, int index)
{
	Server *s = w->server[node];
	const Message *m = s->commands[index].request;
	char old[RG_UUID_SIZE];

	watchdog_uuid(m->old_watchdog, old);
	if (strcmp(s->shm.promise_watchdog, old) == 0)
		watchdog_uuid(m->watchdog, s->shm.promise_watchdog);
	watchdog_uuid(m->watchdog, s->shm.watchdog);
	s->shm.counter = m->counter;
	store(w, node);
	TRACE(w, "%s obeys watchdog %d from now on", node_name(node), m->watchdog);
	command_end(w, node, index, OUT_OK, NULL);
	return -1;
}

/* ---- all of them ---- */

static const char *
check(World *w, int node, const Message *m, Outcome *ret)
{
	const Server *s = w->server[node];
	const char *why = NULL;

	*ret = OUT_REFUSED;
	if (s->state_bad)
		return "state file can't be used";
	if (m->verb != V_TAKEOVER && m->verb != V_PROMOTE_SSH)
		why = authorize(w, node, m, m->verb == V_WRITE_RULE, ret);
	if (why != NULL)
		return why;
	*ret = OUT_REFUSED;
	switch (m->verb)
	{
		case V_PROMISE:
			return check_promise(s, m);
		case V_PROMOTE:
		case V_PROMOTE_SSH:
			return check_promote(w, node, m);
		case V_WRITE_RULE:
			return check_rule(s, m);
		case V_FOLLOW:
			return check_follow(s, m);
		case V_FETCH:
			return check_fetch(s, m);
		case V_FENCE_SQL:
			return check_fence(s, m);
		case V_CHECKPOINT:
			return check_term(s, m);
		case V_TAKEOVER:
			return check_takeover(s, m);
		default:
			return "unknown command";
	}
}

static int64_t
run_stage(World *w, int node, int index)
{
	switch (w->server[node]->commands[index].request->verb)
	{
		case V_PROMISE:
			return promise_stage(w, node, index);
		case V_PROMOTE:
		case V_PROMOTE_SSH:
			return promote_stage(w, node, index);
		case V_WRITE_RULE:
			return rule_stage(w, node, index);
		case V_FOLLOW:
			return follow_stage(w, node, index);
		case V_FETCH:
			return fetch_stage(w, node, index);
		case V_FENCE_SQL:
			return fence_stage(w, node, index);
		case V_CHECKPOINT:
			return checkpoint_stage(w, node, index);
		case V_TAKEOVER:
			return takeover_stage(w, node, index);
		default:
			return -1;
	}
}

static void
stage_later(World *w, int node, int index, int64_t delay_us)
{
	Server *s = w->server[node];
	Event *e = later(w, delay_us, on_stage, node, s->commands[index].by_helper ? BY_HOST : BY_BACKEND);

	e->life = s->life;
	e->a = index;
	e->b = s->commands[index].request->serial;
}

static void
on_stage(World *w, const Event *e)
{
	Server *s = w->server[e->host];
	Command *c = &s->commands[e->a];
	int64_t wait;

	if (!c->used || c->request->serial != e->b)
		return;
	if (c->by_helper && (s->run != RUN_UP || s->life != e->life))
	{
		command_end(w, e->host, e->a, OUT_REFUSED, "the server is not running");
		return;
	}
	if (c->stage == 0)
	{
		Outcome outcome;
		const char *why;

		/* a checkpoint takes no lock */
		if (c->request->verb != V_CHECKPOINT && s->lock >= 0 && s->lock != e->a)
		{
			if (clock_ms(w, e->host) > c->began_ms +
				(c->request->verb == V_PROMISE ? PROMISE_WAIT_MS : LOCK_WAIT_MS))
				command_end(w, e->host, e->a, OUT_REFUSED, "busy");
			else
				stage_later(w, e->host, e->a, between(w, 2 * MS, 30 * MS));
			return;
		}
		if (c->request->verb != V_CHECKPOINT)
			s->lock = e->a;
		if (c->request->verb == V_FOLLOW && s->in_recovery)
			server_adopt_rules(w, e->host, false);
		why = check(w, e->host, c->request, &outcome);
		if (why != NULL)
		{
			command_end(w, e->host, e->a, outcome, why);
			return;
		}
		c->deadline_ms = clock_ms(w, e->host) +
			(c->request->verb == V_PROMISE ? PROMISE_WAIT_MS : PROMOTE_WAIT_MS);
	}
	/* each of them writes something */
	if (s->hung_since != 0)
	{
		stage_later(w, e->host, e->a, 100 * MS);
		return;
	}
	c->stage++;
	wait = run_stage(w, e->host, e->a);
	if (wait >= 0 && c->used)
		stage_later(w, e->host, e->a, wait);
}

/* Reads shared memory only, so it is answered whoever holds the lock. */
static void
heartbeat(World *w, int node, Message *m)
{
	Server *s = w->server[node];
	Shown shown;
	Outcome outcome = OUT_ERROR;
	const char *why = s->state_bad ? "state file can't be used" : authorize(w, node, m, true, &outcome);
	int64_t boottime_ms = clock_ms(w, node);

	if (why == NULL && m->names_start && memcmp(&m->start, &s->id, sizeof(s->id)) != 0)
	{
		/* mutation 17: a grant does not name the server start */
		if (!RG_MUTANT(17))
		{
			why = "started again";
			outcome = OUT_WRONG_START;
		}
	}
	if (why != NULL)
	{
		node_answer(w, node, m, outcome, why, NULL);
		return;
	}
	s->seen_ms = boottime_ms;
	if (!s->in_recovery && rg_state_leads(&s->shm))
		lease_look(w, node);
	lease_grant(w, node, m);
	server_show(w, node, &shown);
	node_answer(w, node, m, OUT_OK, NULL, &shown);
}

void
command_run(World *w, int node, Message *m)
{
	int index;

	if (m->verb == V_HEARTBEAT)
	{
		heartbeat(w, node, m);
		return;
	}
	index = command_new(w, node, m);
	if (index >= 0)
		stage_later(w, node, index, between(w, 50, 2 * MS));
}
