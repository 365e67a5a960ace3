/*
 * mini_steps.h
 *	  What steps do in the small world, and what its nodes show to the core.
 */
#ifndef MINI_STEPS_H
#define MINI_STEPS_H

#include "mini_world.h"
#include "watchdog/core/lease.h"

static inline RgOpState
mini_refuse(Flight *f, const char *why)
{
	snprintf(f->text, sizeof(f->text), "%s", why);
	return RG_OP_REFUSED;
}

/* ---- commands over SQL ---- */

static inline void
mini_show_rule(const Mini *m, const Data *d, RgRule *rule)
{
	const Entry *e = mini_rule(d);

	memset(rule, 0, sizeof(*rule));
	if (e == NULL)
		return;
	rule->term = e->rule_term;
	rule->seq = e->seq;
	memcpy(rule->leader, m->view.nodes[e->leader].name, sizeof(rule->leader));
	snprintf(rule->durability, sizeof(rule->durability), "%s", m->sync ? "sync" : "async");
	rule->quorum = e->quorum;
	rule->left_out = e->left_out;
	rule->lease_ms = MINI_LEASE_MS;
	rule->nvoters = m->n;
	for (int i = 0; i < m->n; i++)
		memcpy(rule->voters[i], m->view.nodes[i].name, sizeof(rule->voters[i]));
}

static inline RgOpState
mini_promise_step(Mini *m, Flight *f)
{
	Server	   *s = &m->s[f->step.node];
	Data	   *d = &s->data;
	RgPromise  *p = &f->promise;

	if (f->step.term < mini_promise(d))
		return mini_refuse(f, "stale term");
	if (mini_has_followed(d, f->step.term))
		return mini_refuse(f, "term is decided");
	d->promise = f->step.term;
	memset(p, 0, sizeof(*p));
	p->term = f->step.term;
	if (s->in_recovery)
	{
		d->source = -1;
		s->streaming = false;
		p->complete = s->promotes_at == 0 && !mini_chance(m, 100);
	}
	else
		p->by_primary = true;
	p->last_wal_age_ms = m->now - s->received_ms;
	p->position.rule_term = mini_rule_term(d);
	mini_show_rule(m, d, &p->rule);
	p->position.rule_seq = p->rule.seq;
	p->position.timeline = d->timeline;
	p->position.lsn = (uint64_t) d->len;
	p->promoting_term = d->promoting;
	p->nterms = mini_terms(d, p->terms);
	return RG_OP_OK;
}

/* From another recruit, then as a promise. */
static inline RgOpState
mini_fetch_step(Mini *m, Flight *f)
{
	Server	   *s = &m->s[f->step.node];

	if (f->step.term != s->data.promise || !s->in_recovery || mini_has_followed(&s->data, f->step.term))
		return mini_refuse(f, "not recruited");
	s->data.source = f->step.leader;
	mini_stream(m, f->step.node);
	s->data.source = -1;
	if (!s->streaming)
		return mini_refuse(f, "received nothing");
	return mini_promise_step(m, f);
}

static inline RgOpState
mini_promote_step(Mini *m, Flight *f)
{
	Server	   *s = &m->s[f->step.node];
	Data	   *d = &s->data;

	if (d->promise != f->step.term || mini_promise(d) != f->step.term)
		return mini_refuse(f, "not recruited for this term");
	if (!s->in_recovery)
		return d->promoting == f->step.term ? RG_OP_OK : mini_refuse(f, "is a primary");
	d->promoting = f->step.term;
	if (s->promotes_at == 0)
		s->promotes_at = m->now + (mini_chance(m, 50) && !m->quiet ? 18000 : 20 + mini_pick(m, 100));
	if (f->step.kind == RG_STEP_PROMOTE_SSH)
		return RG_OP_OK;
	return s->in_recovery ? mini_refuse(f, "still in recovery") : RG_OP_OK;
}

static inline RgOpState
mini_rule_step(Mini *m, Flight *f)
{
	Server	   *s = &m->s[f->step.node];
	Data	   *d = &s->data;

	if (s->in_recovery)
		return mini_refuse(f, "is in recovery");
	if (s->disk_full)
		return mini_refuse(f, "no space left on device");
	if (f->step.rule.term < mini_promise(d) ||
		rg_rules_compare(f->step.rule.term, f->step.rule.seq, mini_rule_term(d), mini_rule(d) != NULL ? mini_rule(d)->seq : 0) <= 0)
		return mini_refuse(f, "stale term");
	d->promise = f->step.rule.term;
	mini_append(m, d, f->step.rule.term, f->step.node);
	d->log[d->len - 1].seq = f->step.rule.seq;
	d->log[d->len - 1].quorum = f->step.rule.quorum;
	d->log[d->len - 1].left_out = f->step.rule.left_out;
	return RG_OP_OK;
}

static inline RgOpState
mini_follow_step(Mini *m, Flight *f)
{
	Server	   *s = &m->s[f->step.node];
	Data	   *d = &s->data;

	if (!s->in_recovery)
		return mini_refuse(f, "is a primary");
	if (f->step.term < mini_promise(d))
		return mini_refuse(f, "stale term");
	if (rg_rules_is_half_promoted(d->promoting, mini_rule_term(d)))
		return mini_refuse(f, "half promoted");
	mini_followed(d, f->step.term, d->timeline);
	d->promise = f->step.term;
	d->source = f->step.leader;
	return RG_OP_OK;
}

/* ---- the helper's verbs ---- */

/* promise, close, end sessions */
static inline RgOpState
mini_close_step(Mini *m, Flight *f)
{
	Server	   *s = &m->s[f->step.node];

	if (f->step.term < mini_promise(&s->data))
		return mini_refuse(f, "stale term");
	s->data.promise = f->step.term;
	s->lease_until = 0;
	return RG_OP_OK;
}

/* A fast stop: the shutdown checkpoint reaches whoever streams, then all is over. */
static inline RgOpState
mini_stop_step(Mini *m, Flight *f)
{
	int			i = f->step.node;

	if (m->s[i].proc == PROC_FROZEN)
		return mini_refuse(f, "does not stop");
	if (m->s[i].proc == PROC_ABSENT)
		return RG_OP_OK;
	if (!m->s[i].in_recovery)
		mini_append(m, &m->s[i].data, 0, -1);
	for (int k = 0; k < m->n; k++)
		mini_stream(m, k);
	mini_kill(m, i);
	m->s[i].data.clean = true;
	m->s[i].pidfile = false;
	return RG_OP_OK;
}

static inline RgOpState
mini_fence_step(Mini *m, Flight *f)
{
	Data	   *d = &m->s[f->step.node].data;
	bool		clean = d->clean && m->s[f->step.node].proc == PROC_ABSENT;

	if (mini_promise(d) > f->step.term)
		return mini_refuse(f, "stale term");
	if (mini_rule(d) != NULL && mini_rule(d)->rule_term == f->step.term &&
		mini_rule(d)->leader == f->step.node)
		return mini_refuse(f, "leads by the rule of this term");
	mini_kill(m, f->step.node);
	d->clean = clean;
	d->promise = f->step.term;
	d->standby_signal = true;
	d->source = -1;
	return RG_OP_OK;
}

static inline RgOpState
mini_swap_step(Mini *m, Flight *f)
{
	Server	   *s = &m->s[f->step.node];
	int64_t		promise = s->data.promise;

	if (s->has_old)
		return mini_refuse(f, "unsettled");
	if (!s->has_copy || s->copied_from != f->step.leader)
		return mini_refuse(f, "no copy");
	if (mini_promise(&s->data) > f->step.term || mini_promise(&s->copy) > f->step.term)
		return mini_refuse(f, "stale term");
	if (!s->data.standby_signal)
		return mini_refuse(f, "not fenced");
	mini_kill(m, f->step.node);
	s->old = s->data;
	s->data = s->copy;
	s->has_old = true;
	s->has_copy = false;
	if (promise > s->data.promise)
		s->data.promise = promise;
	s->data.promoting = 0;
	s->data.standby_signal = true;
	s->data.source = f->step.leader;
	mini_start(m, f->step.node);
	return RG_OP_OK;
}

static inline RgOpState
mini_unswap_step(Mini *m, Flight *f)
{
	Server	   *s = &m->s[f->step.node];

	if (s->has_old)
	{
		int64_t		promise = s->data.promise;

		if (!s->data.standby_signal)
			return mini_refuse(f, "not fenced");
		mini_kill(m, f->step.node);
		s->data = s->old;
			s->has_old = false;
		if (promise > s->data.promise)
			s->data.promise = promise;
	}
	s->has_copy = false;
	return RG_OP_OK;
}

static inline RgOpState
mini_copy_step(Mini *m, Flight *f)
{
	Server	   *s = &m->s[f->step.node];
	int			from = f->step.leader;

	if (s->has_old)
		return mini_refuse(f, "unsettled");
	if (s->proc != PROC_ABSENT && !s->in_recovery)
		return mini_refuse(f, "is a primary");
	if (mini_promise(&s->data) > f->step.term)
		return mini_refuse(f, "stale term");
	if (!mini_is_up(m, from) || m->s[from].link_cut || s->link_cut || mini_chance(m, 30))
		return mini_refuse(f, "copy failed");
	s->copy = m->s[from].data;
	s->has_copy = true;
	s->copied_from = from;
	return RG_OP_OK;
}

static inline bool
mini_is_sql(RgStepKind kind)
{
	return kind == RG_STEP_PROMISE || kind == RG_STEP_FETCH || kind == RG_STEP_PROMOTE_SQL || kind == RG_STEP_WRITE_RULE ||
		kind == RG_STEP_FOLLOW || kind == RG_STEP_CHECKPOINT || kind == RG_STEP_FENCE_SQL;
}

static inline RgOpState
mini_execute(Mini *m, Flight *f)
{
	Server	   *s = &m->s[f->step.node];

	f->executed = true;
	if (mini_is_sql(f->step.kind))
	{
		/* the session was of that server start */
		if (!mini_is_up(m, f->step.node) || s->sql_cut || s->pid != f->pid)
			return RG_OP_LOST;
	}
	else if (s->ssh_cut)
		return RG_OP_LOST;
	switch (f->step.kind)
	{
		case RG_STEP_PROMISE:
			return mini_promise_step(m, f);
		case RG_STEP_FETCH:
			return mini_fetch_step(m, f);
		case RG_STEP_PROMOTE_SQL:
			return mini_promote_step(m, f);
		case RG_STEP_PROMOTE_SSH:
			if (s->proc == PROC_ABSENT)
				return mini_refuse(f, "no postmaster");
			return mini_promote_step(m, f);
		case RG_STEP_WRITE_RULE:
			return mini_rule_step(m, f);
		case RG_STEP_FOLLOW:
			return mini_follow_step(m, f);
		case RG_STEP_FENCE:
			return mini_fence_step(m, f);
		case RG_STEP_FENCE_SQL:
			return mini_close_step(m, f);
		case RG_STEP_STOP:
			return mini_stop_step(m, f);
		case RG_STEP_START:
			mini_start(m, f->step.node);
			return RG_OP_OK;
		case RG_STEP_REWIND:
		case RG_STEP_DELTA:
			/* a helper of an earlier version */
			return mini_refuse(f, "usage: there is no such verb");
		case RG_STEP_COPY:
			return mini_copy_step(m, f);
		case RG_STEP_SWAP:
			return mini_swap_step(m, f);
		case RG_STEP_UNSWAP:
			return mini_unswap_step(m, f);
		case RG_STEP_SETTLE:
			if (s->has_old && s->proc != PROC_ALIVE)
				return mini_refuse(f, "not running");
			s->has_old = false;
			return RG_OP_OK;
		case RG_STEP_DISCARD:
			s->has_copy = false;
			return RG_OP_OK;
		default:
			return RG_OP_OK;
	}
}

/* ---- what is shown ---- */

static inline void
mini_show_start(const Mini *m, int i, RgServerStart *start)
{
	memset(start, 0, sizeof(*start));
	snprintf(start->boot_id, sizeof(start->boot_id), "boot-%d", i);
	start->pid = m->s[i].pid;
	start->started_s = 1000 + 10 * m->s[i].pid;
}

/* A grant goes by the answer before this one, and names its server start. */
static inline void
mini_grant(Mini *m, int i)
{
	const RgFacts *f = &m->view.nodes[i].facts;
	Server	   *s = &m->s[i];
	int64_t		term;
	int64_t		until;

	m->view.now_ms = m->now;
	if (!f->valid || f->start.pid != s->pid || !rg_lease_grant(&m->view, &m->journal, i, &term, &until))
		return;
	if (!s->in_recovery && mini_rule(&s->data) != NULL && mini_rule(&s->data)->leader == i &&
		mini_rule_term(&s->data) == term && s->data.promise <= term)
		s->lease_until = rg_rules_extend_lease(s->lease_until, until, m->now, MINI_LEASE_MS);
}

static inline void
mini_heartbeat(Mini *m, int i)
{
	RgNodeView *n = &m->view.nodes[i];
	const Server *s = &m->s[i];
	RgFacts    *f = &n->facts;

	mini_grant(m, i);

	memset(f, 0, sizeof(*f));
	f->valid = true;
	f->in_recovery = s->in_recovery;
	f->writable = mini_is_open(m, i);
	f->gate = f->writable ? RG_GATEV_OPEN : RG_GATEV_CLOSED;
	f->boottime_ms = m->now;
	f->lease_left_ms = s->lease_until > m->now ? s->lease_until - m->now : s->lease_until != 0 ? 0 : -1;
	f->wal_age_ms = s->in_recovery ? m->now - s->received_ms : -1;
	f->receiver_streaming = s->streaming;
	f->timeline = s->data.timeline;
	f->receive_lsn = f->replay_lsn = f->flush_lsn = f->current_lsn = (uint64_t) s->data.len;
	f->message_age_ms = s->in_recovery ? m->now - s->received_ms : -1;
	f->system_identifier = MINI_SYSTEM_IDENTIFIER;
	f->promised_term = mini_promise(&s->data);
	f->promoting_term = s->data.promoting;
	mini_show_rule(m, &s->data, &f->rule);
	f->settled = true;
	memset(f->flushed_from_us, 0, sizeof(f->flushed_from_us));
	f->nterms = mini_terms(&s->data, f->terms);
	mini_show_start(m, i, &f->start);
	for (int k = 0; k < m->n; k++)
		if (m->s[k].streaming && m->s[k].data.source == i)
		{
			f->streaming_from_us |= 1u << k;
			f->flushed_from_us[k] = (uint64_t) m->s[k].data.len;
		}
	n->facts_ms = m->now;
	n->sql = n->fresh = RG_SQL_OK;
	n->lost_ms = 0;
}

static inline void
mini_show(Mini *m, int i)
{
	RgNodeView *n = &m->view.nodes[i];
	const Server *s = &m->s[i];
	RgSql		sql = RG_SQL_OK;

	n->ssh = s->ssh_cut ? RG_SSHV_SILENT : RG_SSHV_READY;
	if (s->sql_cut || s->proc == PROC_FROZEN)
		sql = RG_SQL_SILENT;
	else if (s->proc == PROC_ABSENT)
		sql = RG_SQL_REFUSED;
	else if (m->now < s->up_at)
		sql = RG_SQL_STARTING;
	else if (n->sql == RG_SQL_OK && n->facts.start.pid != s->pid)
		n->lost_ms = m->now;	/* restarted between two looks: that session ended */
	if (sql == RG_SQL_SILENT && n->sql == RG_SQL_OK && m->now - n->facts_ms < 1000)
		return;					/* nobody has noticed yet */
	if (sql != RG_SQL_OK)
	{
		if (n->lost_ms == 0)
			n->lost_ms = m->now;
		n->sql = sql;
	}
	else if (n->sql != RG_SQL_OK || n->lost_ms != 0 || m->now >= m->beat_ms[i])
	{
		mini_heartbeat(m, i);
		m->beat_ms[i] = m->now + 500;
	}
}

static inline void
mini_show_probe(Mini *m, int i, int64_t asked_ms)
{
	RgProbe    *p = &m->view.nodes[i].probe;
	const Server *s = &m->s[i];

	memset(p, 0, sizeof(*p));
	p->valid = true;
	p->postmaster = s->proc == PROC_ABSENT ? RG_PM_ABSENT : s->proc == PROC_ALIVE ? RG_PM_ALIVE
		: RG_PM_FROZEN;
	p->pidfile = s->pidfile;
	p->fenced = s->data.standby_signal && s->data.source < 0;
	p->clean = s->proc == PROC_ABSENT && s->data.clean;
	p->checkpoint_lsn = (uint64_t) (s->data.len > 0 ? s->data.len - 1 : 0);
	p->promised_term = mini_promise(&s->data);
	p->in_recovery = s->proc != PROC_ABSENT && (s->in_recovery || m->now < s->up_at);
	snprintf(p->state, sizeof(p->state), "%s", p->clean ? "shut down" : p->in_recovery ? "in crash recovery"
			 : "in production");
	if (s->proc != PROC_ABSENT)
		mini_show_start(m, i, &p->start);
	p->system_identifier = MINI_SYSTEM_IDENTIFIER;
	m->view.nodes[i].probe_ms = asked_ms;
}

/* ---- steps under way ---- */

static inline void
mini_send(Mini *m, const RgStep *step)
{
	RgOp	   *op = &m->view.nodes[step->node].ops[step->kind];
	Flight	   *f = NULL;
	int64_t		slow = mini_chance(m, 30) && !m->quiet ? (int64_t) mini_pick(m, 6000) : 0;

	op->attempts = op->term == step->key && step->kind != RG_STEP_PROBE ? op->attempts + 1 : 1;
	op->term = step->key;
	op->state = RG_OP_RUNNING;
	op->began_ms = m->now;
	op->ended_ms = 0;
	for (int i = 0; i < FLIGHTS_MAX && f == NULL; i++)
		if (!m->flights[i].used)
			f = &m->flights[i];
	if (f == NULL)
		return;
	if (step->kind != RG_STEP_PROBE)
		MINI_LOG(m, "  -> %s n%d term %lld", rg_step_name(step->kind), step->node + 1, (long long) step->term);
	memset(f, 0, sizeof(*f));
	f->used = true;
	f->step = *step;
	f->pid = m->s[step->node].pid;
	f->exec_ms = m->now + 5 + mini_pick(m, 40) + slow;
	if (step->kind == RG_STEP_COPY)
		f->exec_ms += 3000;
	f->answer_ms = f->exec_ms + 5 + mini_pick(m, 20);
	f->lost = mini_chance(m, m->quiet ? 5 : 40);
}

static inline void
mini_end(Mini *m, Flight *f)
{
	RgNodeView *n = &m->view.nodes[f->step.node];
	RgOp	   *op = &n->ops[f->step.kind];

	f->used = false;
	if (f->step.kind != RG_STEP_PROBE)
		MINI_LOG(m, "  <- %s n%d term %lld: %s %s", rg_step_name(f->step.kind), f->step.node + 1,
				 (long long) f->step.term, f->outcome == RG_OP_OK ? "ok" : f->outcome == RG_OP_LOST ? "lost"
				 : "refused", f->text);
	if (op->state != RG_OP_RUNNING || op->term != f->step.key)
		return;
	op->state = f->outcome;
	op->ended_ms = m->now;
	snprintf(op->text, sizeof(op->text), "%s", f->text);
	if (f->outcome != RG_OP_OK)
		return;
	if (f->step.kind == RG_STEP_PROBE)
		mini_show_probe(m, f->step.node, op->began_ms);
	if (f->step.kind == RG_STEP_FENCE)
	{
		n->probe.valid = n->probe.fenced = true;
		n->probe.postmaster = RG_PM_ABSENT;
		n->probe_ms = m->now;
	}
	if (f->step.kind == RG_STEP_PROMISE || f->step.kind == RG_STEP_FETCH)
	{
		n->promise = f->promise;
		n->promise.start = f->step.expect;
		n->promise.at_ms = m->now;
	}
	if (mini_is_sql(f->step.kind))
		m->beat_ms[f->step.node] = 0;	/* the daemon looks at once */
}

static inline void
mini_fly(Mini *m)
{
	for (int i = 0; i < FLIGHTS_MAX; i++)
	{
		Flight	   *f = &m->flights[i];

		if (f->used && !f->executed && m->now >= f->exec_ms)
		{
			f->outcome = mini_execute(m, f);
			if (f->lost)
				f->outcome = RG_OP_LOST;
		}
		if (f->used && f->executed && m->now >= f->answer_ms + (f->outcome == RG_OP_LOST ? 500 : 0))
			mini_end(m, f);
	}
	/* a deadline: the step may still be executed later */
	for (int i = 0; i < m->n; i++)
		for (int kind = 1; kind < RG_STEP_COUNT; kind++)
		{
			RgOp	   *op = &m->view.nodes[i].ops[kind];

			if (op->state == RG_OP_RUNNING && m->now - op->began_ms > 5000)
			{
				op->state = RG_OP_LOST;
				op->ended_ms = m->now;
			}
		}
}

#endif							/* MINI_STEPS_H */
