/*
 * dog_act.c
 *	  From steps to messages, and from their answers into the view (act.c).
 */
#include "dog.h"

typedef struct Way
{
	Verb verb;
	int deadline_ms;
} Way;

static const Way ways[RG_STEP_COUNT] = {
	[RG_STEP_PROBE] = {V_PROBE, 3000},
	[RG_STEP_FENCE] = {V_FENCE, 10000},
	[RG_STEP_PROMISE] = {V_PROMISE, 2500},
	[RG_STEP_PROMOTE_SQL] = {V_PROMOTE, 7000},
	[RG_STEP_PROMOTE_SSH] = {V_PROMOTE_SSH, 10000},
	[RG_STEP_WRITE_RULE] = {V_WRITE_RULE, 5000},
	[RG_STEP_FOLLOW] = {V_FOLLOW, 5000},
	[RG_STEP_FETCH] = {V_FETCH, 14000},
	[RG_STEP_START] = {V_START, 120000},
	[RG_STEP_COPY] = {V_COPY, 3600000},
	[RG_STEP_DELTA] = {V_DELTA, 3600000},
	[RG_STEP_REWIND] = {V_REWIND, 3600000},
	[RG_STEP_SWAP] = {V_SWAP, 300000},
	[RG_STEP_SETTLE] = {V_SETTLE, 1800000},
	[RG_STEP_UNSWAP] = {V_UNSWAP, 300000},
	[RG_STEP_DISCARD] = {V_DISCARD, 1800000},
	[RG_STEP_CHECKPOINT] = {V_CHECKPOINT, 60000},
	[RG_STEP_FENCE_SQL] = {V_FENCE_SQL, 5000},
	[RG_STEP_STOP] = {V_STOP, 70000},
	[RG_STEP_TAKEOVER] = {V_TAKEOVER, 5000},
};

static void
ended(World *w, Dog *dog, int node, RgStepKind kind, RgOpState state, const char *text)
{
	DogNode *n = &dog->n[node];
	RgOp *op = &dog->view.nodes[node].ops[kind];

	n->pending[kind] = 0;
	if (kind != RG_STEP_PROBE)
		TRACE(w, "  %d <- %s n%d: %s %s", dog->index, rg_step_name(kind), node + 1,
			  state == RG_OP_OK ? "ok" : state == RG_OP_LOST ? "lost" : state == RG_OP_REFUSED ? "refused" : "failed",
			  text != NULL ? text : "");
	if (op->term == n->steps[kind].key)
	{
		op->state = state;
		op->ended_ms = dog_now_ms(w, dog);
		snprintf(op->text, sizeof(op->text), "%s", text != NULL ? text : "");
	}
	dog_wake(w, dog);
}

void
dog_steps_lost(World *w, Dog *dog, int node, bool over_ssh)
{
	for (int kind = 0; kind < RG_STEP_COUNT; kind++)
		if (dog->n[node].pending[kind] != 0 && (ways[kind].verb > V_SSH) == over_ssh)
			ended(w, dog, node, (RgStepKind) kind, RG_OP_LOST, "the session was lost");
}

static void
on_deadline(World *w, const Event *e)
{
	Dog *dog = w->dog[e->x];
	int node = e->a % NODES_MAX;
	int kind = e->a / NODES_MAX;

	if (dog->n[node].pending[kind] == e->b)
		ended(w, dog, node, (RgStepKind) kind, RG_OP_LOST, "deadline");
}

static void
take_probe(World *w, Dog *dog, int node, const Shown *s, int64_t probe_ms)
{
	RgNodeView *v = &dog->view.nodes[node];
	RgProbe *p = &v->probe;

	memset(p, 0, sizeof(*p));
	p->valid = true;
	p->postmaster = s->postmaster == PM_ABSENT ? RG_PM_ABSENT : s->postmaster == PM_FROZEN ? RG_PM_FROZEN
		: RG_PM_ALIVE;
	p->pidfile = s->pidfile;
	p->fenced = s->fenced;
	p->rewinding = s->rewinding;
	p->clean = s->clean;
	p->in_recovery = s->in_recovery;
	snprintf(p->state, sizeof(p->state), "%s", s->clean ? "shut down" : s->in_recovery ? "in archive recovery"
			 : "in production");
	if (s->postmaster != PM_ABSENT)
		dog_start_id(w, node, &s->start, &p->start);
	p->system_identifier = 7300000000000000001;
	p->checkpoint_lsn = s->checkpoint;
	p->promised_term = s->promised_term;
	v->probe_ms = probe_ms;
}

static void
take_promise(World *w, Dog *dog, int node, RgStepKind kind, const Message *m)
{
	RgNodeView *v = &dog->view.nodes[node];
	RgPromise *p = &v->promise;
	const Shown *s = &m->shown;

	memset(p, 0, sizeof(*p));
	p->term = dog->n[node].steps[kind].term;
	p->complete = s->complete || RG_MUTANT(32);
	dog_rule(w, s->rule, &p->rule);
	if (s->rule >= 0)
	{
		p->position.rule_term = w->rules[s->rule].term;
		p->position.rule_seq = w->rules[s->rule].seq;
	}
	p->position.timeline = s->timeline;
	p->position.lsn = s->in_recovery ? s->replay : s->flush;
	p->last_wal_age_ms = s->in_recovery ? s->wal_age_ms : 0;
	p->nterms = s->nterms;
	memcpy(p->terms, s->terms, sizeof(p->terms[0]) * (size_t) s->nterms);
	p->start = dog->n[node].steps[kind].expect;
	p->by_primary = kind == RG_STEP_PROMISE && dog->n[node].by_primary;
	p->held_lsn = s->held;
	p->at_ms = dog_now_ms(w, dog);
	p->promoting_term = v->facts.promoting_term;
}

static RgStepKind
kind_of(Verb verb)
{
	for (int kind = 0; kind < RG_STEP_COUNT; kind++)
		if (ways[kind].verb == verb && verb != V_NONE)
			return (RgStepKind) kind;
	return RG_STEP_NONE;
}

void
dog_step_ended(World *w, Dog *dog, int node, const Message *m)
{
	RgStepKind kind = kind_of(m->verb);
	DogNode *n = &dog->n[node];

	if (kind == RG_STEP_NONE || n->pending[kind] != m->serial)
		return;
	if (m->outcome == OUT_CLOSED)
		ended(w, dog, node, kind, RG_OP_LOST, "the session was lost");
	else if (m->outcome != OUT_OK)
	{
		if (m->outcome == OUT_OTHER_WATCHDOG)
			n->obeys = m->shown.obeys;
		/* mutation 70: what was left in the middle of a rewind looks untouched */
		ended(w, dog, node, kind, RG_OP_REFUSED, RG_MUTANT(70) && kind == RG_STEP_REWIND ? "failed" : m->why);
	}
	else
	{
		if (kind == RG_STEP_PROMISE || kind == RG_STEP_FETCH)
			take_promise(w, dog, node, kind, m);
		else if (kind == RG_STEP_PROBE)
			take_probe(w, dog, node, &m->shown, dog->view.nodes[node].ops[kind].began_ms);
		else if (kind == RG_STEP_FENCE)
		{
			RgProbe *p = &dog->view.nodes[node].probe;

			p->valid = p->fenced = true;
			p->postmaster = RG_PM_ABSENT;
			dog->view.nodes[node].probe_ms = dog_now_ms(w, dog);
		}
		ended(w, dog, node, kind, RG_OP_OK, NULL);
	}
	/* see the effect at once */
	if (m->verb < V_SSH)
		dog_beat(w, dog, node);
}

static void
fill_message(World *w, Dog *dog, const RgStep *step, Message *m)
{
	m->term = step->term;
	m->ticket = step->ticket;
	m->rule_seq = step->rule_seq;
	m->leader = step->leader;
	m->until_lsn = step->until_lsn;
	w->fetches += step->kind == RG_STEP_FETCH;
	if (step->kind == RG_STEP_TAKEOVER)
		m->old_watchdog = dog->n[step->node].obeys;
	if (step->kind == RG_STEP_WRITE_RULE)
	{
		const RgRule *r = &step->rule;

		m->rule.term = r->term;
		m->rule.seq = r->seq;
		m->rule.leader = rg_view_find(&dog->view, r->leader);
		for (int i = 0; i < r->nvoters; i++)
		{
			m->rule.voters |= 1u << (r->voters[i][1] - '1');
			if ((r->left_out >> i & 1) != 0)
				m->rule.left_out |= 1u << (r->voters[i][1] - '1');
		}
		m->rule.durability = strcmp(r->durability, "sync") == 0 ? D_SYNC
			: strcmp(r->durability, "strict") == 0 ? D_STRICT : D_ASYNC;
		m->rule.quorum = r->quorum;
		m->rule.lease_ms = r->lease_ms;
	}
	(void) w;
}

/* The channel of a copy is closed: its outcome is not known any more. */
static void
abort_copy(World *w, Dog *dog, int node)
{
	static const RgStepKind kinds[] = {RG_STEP_COPY, RG_STEP_DELTA};

	for (int i = 0; i < 2; i++)
		if (dog->n[node].pending[kinds[i]] != 0)
		{
			if (can_reach(w, dog_host(w, dog->index), node))
				helper_abort(w, node, dog->n[node].pending[kinds[i]]);
			ended(w, dog, node, kinds[i], RG_OP_LOST, "the channel was closed");
		}
	ended(w, dog, node, RG_STEP_ABORT, RG_OP_OK, NULL);
}

void
dog_act(World *w, Dog *dog, const RgStep *step)
{
	DogNode *n = &dog->n[step->node];
	RgNodeView *v = &dog->view.nodes[step->node];
	RgOp *op = &v->ops[step->kind];
	bool over_ssh = ways[step->kind].verb > V_SSH;
	Message *m;
	Event *e;

	if (step->kind == RG_STEP_PROMOTE_SQL || step->kind == RG_STEP_PROMOTE_SSH)
		check_promote_step(w, step->term, step->node);
	if (step->kind != RG_STEP_PROBE)
		TRACE(w, "  %d -> %s n%d term %lld", dog->index, rg_step_name(step->kind), step->node + 1, (long long) step->term);
	n->steps[step->kind] = *step;
	if (step->kind == RG_STEP_PROMISE)
	{
		n->steps[step->kind].expect = v->facts.start;
		n->by_primary = !v->facts.in_recovery;
	}
	if (op->term != step->key || step->kind == RG_STEP_PROBE)
		op->attempts = 0;
	op->attempts++;
	op->term = step->key;
	op->state = RG_OP_RUNNING;
	op->began_ms = dog_now_ms(w, dog);
	op->ended_ms = 0;
	if (step->kind == RG_STEP_ABORT)
	{
		abort_copy(w, dog, step->node);
		return;
	}
	if ((over_ssh ? v->ssh != RG_SSHV_READY : !n->open) ||
		(step->kind == RG_STEP_TAKEOVER && n->obeys < 0))
	{
		ended(w, dog, step->node, step->kind, RG_OP_FAILED, over_ssh ? "no SSH session" : "no SQL session");
		return;
	}
	m = dog_message(w, dog, step->node, ways[step->kind].verb);
	fill_message(w, dog, step, m);
	n->pending[step->kind] = m->serial;
	e = later(w, ways[step->kind].deadline_ms * MS, on_deadline, dog_host(w, dog->index), BY_DOG);
	e->life = dog->life;
	e->x = dog->index;
	e->a = (int) step->kind * NODES_MAX + step->node;
	e->b = m->serial;
	dog_send(w, dog, m);
}
