/*
 * dog.c
 *	  The daemon: rounds, journal, deaths and restarts, and what people order.
 *
 * A round is view -> decide -> record -> act.  The daemon can die between any two
 * of these; what it knows after its restart is what its journal holds: all that
 * was written if only the process died, all that was synced if its host did.
 */
#include "dog.h"

#include <stddef.h>

#include "watchdog/core/choose.h"
#include "watchdog/core/phase.h"

#define JUMP_MS 3000

static Dog dogs[DOGS_MAX];

int64_t
dog_now_ms(const World *w, const Dog *dog)
{
	return clock_ms(w, dog_host(w, dog->index));
}

bool
dog_lives(const World *w, int dog, int life)
{
	return dog >= 0 && dog < DOGS_MAX && w->dog[dog]->up && w->dog[dog]->life == life;
}

bool
dog_is_up(const World *w, int dog)
{
	return w->dog[dog]->up;
}

int64_t
dog_interval_ms(const World *w, const Dog *dog)
{
	int64_t ms = w->c.heartbeat_ms;
	int64_t lease_ms = w->c.lease_ms;

	if (dog->memory.rule.lease_ms > 0 && dog->memory.rule.lease_ms < lease_ms)
		lease_ms = dog->memory.rule.lease_ms;
	if (ms > lease_ms / 10)
		ms = lease_ms / 10;
	return ms < 20 ? 20 : ms;
}

bool
dog_has_slept(const World *w, const Dog *dog)
{
	return dog->last_round_ms == 0 || dog_now_ms(w, dog) - dog->last_round_ms > JUMP_MS;
}

/* ---- record ---- */

static bool
changes_grants(const RgMemory *a, const RgMemory *b)
{
	return a->lease_ms != b->lease_ms || a->rule.term != b->rule.term || a->rule.seq != b->rule.seq ||
		a->highest_term != b->highest_term || a->takeover != b->takeover || a->confirmed != b->confirmed ||
		strcmp(a->target, b->target) != 0 || strcmp(a->accept_loss, b->accept_loss) != 0;
}

static bool
must_be_durable(const Dog *dog)
{
	const RgDecision *d = &dog->d;

	for (int i = 0; i < d->nsteps; i++)
		if (d->steps[i].kind != RG_STEP_PROBE)
			return true;
	return rg_phase_is_failover(d->memory.phase) || rg_phase_is_failover(dog->memory.phase) ||
		changes_grants(&dog->memory, &d->memory);
}

/* Most of it is room for jobs that are not there: who copies that each round does little else. */
static void
copy_memory(RgMemory *to, const RgMemory *from)
{
	memcpy(to, from, offsetof(RgMemory, jobs));
	for (int i = 0; i < RG_JOBS_MAX; i++)
		if (to->jobs[i].id != 0 || from->jobs[i].id != 0)
			to->jobs[i] = from->jobs[i];
}

/* What rg_record_memory() keeps; the rest is found again by looking. */
static void
record(World *w, Dog *dog, const RgMemory *memory, bool sync)
{
	RgMemory *m = &dog->written.memory;

	copy_memory(m, memory);
	m->refusal[0] = '\0';
	m->newest_ms = m->closed_ms = m->behind_ms = 0;
	memset(&m->behind_at, 0, sizeof(m->behind_at));
	m->hung_ms = m->trouble_ms = m->handover_ms = 0;
	m->hung_lsn = 0;
	m->trouble = RG_DIAG_UNKNOWN;
	m->handovers = 0;
	/* mutation 47: relaxed before it is in the journal */
	if (RG_MUTANT(47))
		memset(&m->asked, 0, sizeof(m->asked));
	for (int i = 0; i < m->nnodes; i++)
	{
		m->nodes[i].state = RG_STATE_UNKNOWN;
		m->nodes[i].reason[0] = '\0';
		if (RG_MUTANT(47))
			m->nodes[i].left_out = false;
		memset(&m->nodes[i].met, 0, sizeof(m->nodes[i].met));
		m->nodes[i].met_ms = m->nodes[i].apart_ms = m->nodes[i].heard_ms = 0;
		m->nodes[i].met_restarts = 0;
		m->nodes[i].disk = RG_DISKV_UNKNOWN;
		m->nodes[i].starved = false;
	}
	dog->written.has_memory = true;
	dog->written.boot = w->host[dog_host(w, dog->index)].boot;
	if (sync && !RG_MUTANT(30))
		dog->durable = dog->written;
}

/* An order is on disk before anything goes by it. */
static void
set_memory(World *w, Dog *dog, const RgMemory *m)
{
	record(w, dog, m, true);
	dog->memory = *m;
	dog_wake(w, dog);
}

/* rg_record_read() */
static void
read_journal(World *w, Dog *dog)
{
	RgMemory *m = &dog->memory;
	int64_t now_ms = dog_now_ms(w, dog);

	memset(m, 0, sizeof(*m));
	if (!dog->written.has_memory)
		return;
	*m = dog->written.memory;
	for (int i = 0; i < RG_JOBS_MAX; i++)
	{
		m->jobs[i].begun_here = m->jobs[i].elsewhere = false;
		m->jobs[i].serial = 0;
		m->jobs[i].due_ms = 0;
		m->jobs[i].busy_ms = 0;
	}
	if (dog->written.boot != w->host[dog_host(w, dog->index)].boot)
	{
		m->phase_ms = now_ms;
		m->lost_ms = 0;
		memset(&m->failover.times, 0, sizeof(m->failover.times));
		for (int i = 0; i < m->nnodes; i++)
		{
			m->nodes[i].purpose_ms = 0;
			for (int k = 0; k < m->nodes[i].ncrashes; k++)
				m->nodes[i].crashes_ms[k] = now_ms;
		}
		for (int i = 0; i < RG_JOBS_MAX; i++)
			m->jobs[i].created_ms = m->jobs[i].phase_ms = now_ms;
	}
	/* mutation 29: the candidate is not in the journal */
	if (RG_MUTANT(29) && (m->phase == RG_PHASE_PROMOTING || m->phase == RG_PHASE_RULING))
	{
		m->phase = RG_PHASE_RECRUITING;
		m->candidate[0] = '\0';
	}
	if (!rg_phase_is_failover(m->phase))
	{
		m->phase = RG_PHASE_STARTING;
		m->phase_ms = now_ms;
	}
}

/* ---- rounds ---- */

/* Is this the point at which it dies? */
static bool
dies_here(World *w, Dog *dog)
{
	if (dog->crash_at == 0 || ++dog->point < dog->crash_at)
		return false;
	dog->crash_at = 0;
	dog_crash(w, dog->index, "in the middle of a round");
	return true;
}

static void
count_notes(World *w, int index, const RgDecision *d)
{
	for (int i = 0; i < d->nnotes; i++)
	{
		const RgNote *n = &d->notes[i];

		w->failovers += n->event == RG_EVENT_FAILOVER_END;
		w->undone += n->event == RG_EVENT_FAILOVER_UNDONE;
		w->rebuilt += n->event == RG_EVENT_REBUILD_END;
		w->switchovers += n->event == RG_EVENT_SWITCHOVER_END;
		w->changes += n->event == RG_EVENT_RULE_CHANGED && strstr(n->text, "durability") != NULL;
		TRACE(w, "    %d %s: %s", index, rg_event_name(n->event), n->text);
	}
}

/* What a decision must never say (README of the core). */
static void
check_decision(World *w, Dog *dog)
{
	const RgDecision *d = &dog->d;
	int candidate = rg_view_find(&dog->view, d->memory.candidate);
	uint32_t recruited = 0;

	if (dog->view.clock_jumped && d->nsteps > 0)
		violate(w, "C8: %d steps after a gap in which the watchdog did not run", d->nsteps);
	if (d->memory.highest_term < dog->memory.highest_term)
		violate(w, "C3: the highest term goes down");
	for (int i = 0; i < d->nsteps; i++)
	{
		const RgStep *step = &d->steps[i];

		/* what was asked for is asked again word for word, whatever is wanted by now */
		if (step->kind == RG_STEP_WRITE_RULE && d->memory.phase == RG_PHASE_STEADY &&
			rg_rules_compare(step->rule.term, step->rule.seq, dog->memory.asked.term, dog->memory.asked.seq) != 0 &&
			strcmp(step->rule.durability, "strict") == 0 && strcmp(d->memory.rule.durability, "strict") == 0 &&
			step->rule.quorum < d->memory.rule.quorum && step->rule.quorum < (dog->memory.wish.quorum > 0 ? dog->memory.wish.quorum : d->memory.rule.quorum) &&
			step->rule.nvoters == d->memory.rule.nvoters)
			violate(w, "C17: the quorum of strict goes down from %d to %d", d->memory.rule.quorum, step->rule.quorum);
		if ((step->kind == RG_STEP_COPY || step->kind == RG_STEP_DELTA || step->kind == RG_STEP_REWIND ||
			 step->kind == RG_STEP_SWAP || step->kind == RG_STEP_UNSWAP) &&
			strcmp(d->memory.rule.leader, dog->view.nodes[step->node].name) == 0)
			violate(w, "C7: %s of %s, which leads", rg_step_name(step->kind), d->memory.rule.leader);
		/* a journal that was lost, or is an old one, may not know of it, nor can anybody of a rewind that came late: the helper refuses */
		if (step->kind == RG_STEP_START && node_is_half_rewound(w, step->node) && !w->c.second_dog && !w->c.clone &&
			!w->c.old_journal)
			violate(w, "I5: %s is to be started, whose directory is rewound by half", dog->view.nodes[step->node].name);
	}
	if (d->memory.phase != RG_PHASE_PROMOTING || dog->memory.phase == RG_PHASE_PROMOTING || candidate < 0)
		return;
	for (int i = 0; i < w->c.nodes; i++)
		if (rg_view_is_standby(&dog->view, i) && dog->view.nodes[i].promise.complete &&
			dog->view.nodes[i].promise.term == d->memory.term &&
			rg_start_equal(&dog->view.nodes[i].promise.start, &dog->view.nodes[i].facts.start))
			recruited |= 1u << i;
	check_candidate(w, candidate, recruited);
}

/* Mutations of the core, made where it looks: 2 counts stored promises, 26 admits every start. */
static void
mutate(Dog *dog)
{
	for (int i = 0; i < dog->view.nnodes && (RG_MUTANT(2) || RG_MUTANT(26)); i++)
	{
		RgNodeView *n = &dog->view.nodes[i];

		if (RG_MUTANT(26) && n->facts.valid && i < dog->memory.nnodes)
			dog->memory.nodes[i].admitted = n->facts.start;
		if (RG_MUTANT(2) && dog->memory.phase == RG_PHASE_RECRUITING && n->facts.in_recovery &&
			n->facts.promised_term == dog->memory.term && n->promise.term != dog->memory.term)
		{
			n->promise.term = dog->memory.term;
			n->promise.complete = true;
			n->promise.start = n->facts.start;
			n->promise.position = rg_choose_position(&dog->view, &dog->memory, i);
			n->promise.last_wal_age_ms = n->facts.wal_age_ms;
			n->promise.at_ms = n->facts_ms;
			n->promise.nterms = n->facts.nterms;
			memcpy(n->promise.terms, n->facts.terms, sizeof(n->promise.terms));
		}
	}
}

static void
run_round(World *w, Dog *dog)
{
	int64_t now_ms = dog_now_ms(w, dog);
	RgDecision *d = &dog->d;

	if (dog->last_round_ms != 0 && now_ms - dog->last_round_ms > JUMP_MS)
		dog->jumped_until_ms = now_ms + 1000 + 2 * dog_interval_ms(w, dog);
	dog->last_round_ms = now_ms;
	dog->view.now_ms = now_ms;
	dog->view.settings.heartbeat_interval_ms = dog_interval_ms(w, dog);
	dog->view.clock_jumped = now_ms < dog->jumped_until_ms;
	mutate(dog);
	rg_decide(&dog->view, &dog->memory, d);
	dog->point = 0;
	if (w->trace && (d->memory.phase != dog->memory.phase || d->memory.diagnosis != dog->memory.diagnosis))
		tell(w, "    watchdog %d: %s, %s, term %lld, %s", dog->index, rg_phase_name(d->memory.phase),
			 rg_diagnosis_name(d->memory.diagnosis), (long long) d->memory.term, d->evidence);
	check_decision(w, dog);
	if (dies_here(w, dog))
		return;
	if (d->must_record)
		record(w, dog, &d->memory, must_be_durable(dog));
	if (dies_here(w, dog))
		return;
	w->bounds += d->memory.failover.bound_ms != 0 && dog->memory.failover.bound_ms == 0;
	copy_memory(&dog->memory, &d->memory);
	count_notes(w, dog->index, d);
	for (int i = 0; i < d->nsteps; i++)
	{
		dog_act(w, dog, &d->steps[i]);
		if (dog->crash_at_rule && d->steps[i].kind == RG_STEP_WRITE_RULE)
		{
			dog->crash_at_rule = false;
			dog_crash(w, dog->index, "having asked for a rule");
			return;
		}
		if (d->steps[i].kind != RG_STEP_PROBE && dies_here(w, dog))
			return;
	}
	for (int i = 0; i < w->c.nodes; i++)
		dog_grant_now(w, dog, i);
	(void) dies_here(w, dog);
}

static void
on_round(World *w, const Event *e)
{
	Dog *dog = w->dog[e->a];

	dog->round_pending = false;
	run_round(w, dog);
}

void
dog_wake(World *w, Dog *dog)
{
	Event *e;

	if (dog->round_pending || !dog->up)
		return;
	dog->round_pending = true;
	e = later(w, 20, on_round, dog_host(w, dog->index), BY_DOG);
	e->life = dog->life;
	e->a = dog->index;
}

static void
on_tick(World *w, const Event *e)
{
	Dog *dog = w->dog[e->a];
	int64_t since = dog_now_ms(w, dog) - dog->last_round_ms;
	Event *next;

	/* the daemon runs a round at every tick; one that ran just now says the same */
	if (since * 2 >= w->c.tick_ms)
		run_round(w, dog);
	if (!dog->up || dog->life != e->life)
		return;
	next = later(w, w->c.tick_ms * MS, on_tick, e->host, BY_DOG);
	next->life = e->life;
	next->a = e->a;
}

/* ---- life ---- */

static void
fill_view(World *w, Dog *dog)
{
	RgView *v = &dog->view;
	char uuid[40] = "00000000-0000-4000-8000-000000000000";

	memset(v, 0, sizeof(*v));
	v->started_ms = dog_now_ms(w, dog);
	if (RG_MUTANT(9))
		v->started_ms -= 1000000;
	v->nnodes = w->c.nodes;
	v->settings = (RgSettings) {
		.heartbeat_interval_ms = w->c.heartbeat_ms, .lease_ms = w->c.lease_ms,
		.restart_budget_ms = w->c.restart_budget_ms, .max_lag_ms = w->seed % 5 == 0 ? 3000 : 0, .hang_budget_ms = w->c.hang_budget_ms,
		.auto_failover = true, .auto_rejoin = w->c.auto_rejoin, .promote_sql = w->c.promote_sql,
		.promote_ssh = w->c.promote_ssh, .quorum = w->c.quorum, .disk_failover = w->c.disk_failover,
		.crash_limit = w->c.crash_limit, .crash_window_ms = w->c.crash_window_ms,
		.rebuild_jobs = w->c.nodes > 3 ? 2 : 1
	};
	uuid[34] = (char) ('0' + dog->watchdog / 10 % 10);
	uuid[35] = (char) ('0' + dog->watchdog % 10);
	memcpy(v->watchdog, uuid, sizeof(v->watchdog));
	for (int i = 0; i < w->c.nodes; i++)
	{
		snprintf(v->nodes[i].name, sizeof(v->nodes[i].name), "n%d", i + 1);
		v->nodes[i].priority = w->c.nodes > 2 && w->seed % 4 == 1 && i == w->c.nodes - 1 ? 0 : 100;
		/* fields that say "unknown" by -1 */
		v->nodes[i].facts.message_age_ms = v->nodes[i].facts.lease_left_ms = -1;
	}
}

void
dog_start(World *w, int index)
{
	Dog *dog = w->dog[index];
	Event *e;

	if (dog->up || dog->gone || w->host[dog_host(w, index)].down)
		return;
	/* the counter is on disk before anybody is told of it */
	dog->counter += 1 + pick(w, 1000);
	dog->up = true;
	dog->life = ++w->life;
	dog->round_pending = false;
	dog->last_round_ms = dog->jumped_until_ms = 0;
	dog->crash_at = 0;
	dog->crash_at_rule = false;
	dog->asked = 0;
	memset(dog->n, 0, sizeof(dog->n));
	read_journal(w, dog);
	fill_view(w, dog);
	if (dog->old_journal)
		dog->written.doubted = dog->durable.doubted = true;
	dog->old_journal = false;
	dog->view.maybe_restored = dog->written.doubted && !dog->memory.confirmed;
	if (dog->written.doubted)
		dog->view.maybe_restored = true;
	dog->memory.confirmed = !dog->view.maybe_restored;
	TRACE(w, "watchdog %d starts: identity %d, counter %lld, phase %s%s", index, dog->watchdog,
		  (long long) dog->counter, rg_phase_name(dog->memory.phase), dog->view.maybe_restored ? ", in doubt" : "");
	dog_link_start(w, dog);
	e = later(w, w->c.tick_ms * MS, on_tick, dog_host(w, index), BY_DOG);
	e->life = dog->life;
	e->a = index;
}

void
dog_crash(World *w, int index, const char *why)
{
	Dog *dog = w->dog[index];

	if (!dog->up)
		return;
	TRACE(w, "watchdog %d dies %s", index, why);
	(void) why;
	dog->up = false;
	/* what was confirmed meanwhile is in the journal */
	if (dog->memory.confirmed)
		dog->written.doubted = dog->durable.doubted = false;
	release_held(w, dog_host(w, index));
}

void
dog_keep_image(World *w, int index)
{
	Dog *dog = w->dog[index];

	(void) w;
	dog->image = dog->durable;
	dog->image_counter = dog->counter;
}

/* The directory is one of some time ago; the daemon notices by its age. */
void
dog_restore_journal(World *w, int index)
{
	Dog *dog = w->dog[index];

	if (dog->up || !dog->image.has_memory)
		return;
	TRACE(w, "watchdog %d: its state directory is one of an earlier day, counter %lld instead of %lld", index,
		  (long long) dog->image_counter, (long long) dog->counter);
	dog->written = dog->durable = dog->image;
	dog->counter = dog->image_counter;
	dog->old_journal = true;
}

/* A lost journal is another identity. */
void
dog_lose_journal(World *w, int index)
{
	Dog *dog = w->dog[index];

	if (dog->up)
		return;
	memset(&dog->written, 0, sizeof(dog->written));
	memset(&dog->durable, 0, sizeof(dog->durable));
	dog->watchdog = w->watchdogs++;
	dog->counter = 0;
	/* mutation 21: it keeps its name, so terms are given twice */
	if (RG_MUTANT(21))
	{
		dog->watchdog = 0;
		dog->counter = 100000;
		w->watchdogs--;
	}
	TRACE(w, "watchdog %d has lost its journal: identity %d from now on", index, dog->watchdog);
}

void
dogs_init(World *w)
{
	for (int i = 0; i < DOGS_MAX; i++)
	{
		Dog *dog = &dogs[i];

		/* nothing of the seed before: each must run as it runs alone */
		memset(dog, 0, sizeof(*dog));
		w->dog[i] = dog;
		dog->index = i;
		dog->watchdog = i;
	}
	w->watchdogs = DOGS_MAX;
}

/* ---- people ---- */

void
dog_order_switchover(World *w, int index, int node)
{
	Dog *dog = w->dog[index];
	RgMemory m = dog->memory;
	char why[RG_TEXT_MAX];

	if (!dog->up)
		return;
	if (rg_order_switchover(&dog->view, &m, node < 0 ? "" : dog->view.nodes[node].name, 0, why))
	{
		TRACE(w, "somebody types: regent switchover %s", node < 0 ? "" : dog->view.nodes[node].name);
		set_memory(w, dog, &m);
	}
}

bool
dog_order_accept_loss(World *w, int index, int node)
{
	Dog *dog = w->dog[index];
	RgMemory m = dog->memory;
	char why[RG_TEXT_MAX];

	if (!dog->up)
		return false;
	/* who is declared lost is lost; only of the leader that need not be true */
	for (int i = 0; i < w->c.nodes; i++)
		if (i != node && !rg_view_answers(&dog->view, i) && node_runs(w, i) &&
			strcmp(dog->memory.rule.leader, dog->view.nodes[i].name) != 0)
			return false;
	if (!rg_order_accept_loss(&dog->view, &m, dog->view.nodes[node].name, why))
		return false;
	TRACE(w, "somebody types: regent failover %s --accept-loss (%s)", dog->view.nodes[node].name, why);
	w->loss_accepted = true;
	set_memory(w, dog, &m);
	return true;
}

void
dog_order_takeover(World *w, int index)
{
	Dog *dog = w->dog[index];
	RgMemory m = dog->memory;
	char why[RG_TEXT_MAX];
	bool others = false;

	if (!dog->up)
		return;
	for (int i = 0; i < w->c.nodes; i++)
		others |= dog->view.nodes[i].sql == RG_SQL_OTHER_WATCHDOG;
	/*
	 * Who does not answer is stopped (doc/safety.md); that an old journal is the newest is only said by who sees
	 * every node, but for those that are rewound by half: they can't be started, and were to follow somebody
	 */
	for (int i = 0; i < w->c.nodes; i++)
		if (!rg_view_answers(&dog->view, i) && dog->view.nodes[i].sql != RG_SQL_OTHER_WATCHDOG &&
			(node_runs(w, i) || !(others || node_has_the_mark(w, i))))
			return;
	if (rg_order_takeover(&dog->view, &m, why))
	{
		TRACE(w, "somebody types: regent takeover (%s)", why);
		w->takeovers++;
		set_memory(w, dog, &m);
	}
}

void
dog_order_set(World *w, int index, int durability, int quorum)
{
	static const char *const words[] = {"async", "sync", "strict"};
	Dog *dog = w->dog[index];
	RgMemory m = dog->memory;
	char why[RG_TEXT_MAX];

	if (dog->up && rg_order_set(&dog->view, &m, durability < 0 ? NULL : words[durability], quorum, why))
	{
		TRACE(w, "somebody types: regent set durability %s, quorum %d (%s)", durability < 0 ? "-" : words[durability],
			  quorum, why);
		set_memory(w, dog, &m);
	}
}

void
dog_order_voters(World *w, int index, uint32_t voters)
{
	Dog *dog = w->dog[index];
	RgMemory m = dog->memory;
	char names[RG_CORE_NODES_MAX][RG_CORE_NAME_MAX];
	char why[RG_TEXT_MAX];
	int n = 0;

	for (int i = 0; i < w->c.nodes; i++)
		if ((voters >> i & 1) != 0)
			snprintf(names[n++], sizeof(names[0]), "n%d", i + 1);
	if (dog->up && rg_order_voters(&dog->view, &m, names, n, 0, why))
	{
		TRACE(w, "somebody wants the voters %x (%s)", voters, why);
		set_memory(w, dog, &m);
	}
}

bool
dog_has_strayed(const World *w, int node)
{
	const RgMemory *m = &w->dog[w->chief]->memory;

	return node < m->nnodes && m->nodes[node].strayed;
}

uint32_t
dog_voters(const World *w, int index)
{
	const RgRule *rule = &w->dog[index]->memory.rule;
	uint32_t voters = 0;

	for (int i = 0; i < rule->nvoters; i++)
		voters |= 1u << (rule->voters[i][1] - '1');
	return voters;
}

/* Somebody wants a node anew: whichever, however, from wherever; healthy ones, too. */
static void
ask_rebuild(World *w, Dog *dog, const RgRebuild *rebuild)
{
	RgMemory m = dog->memory;
	char why[RG_TEXT_MAX];

	if (!dog->up || rg_job_refusal(&dog->view, &m, rebuild, why) != NULL || !rg_job_add(&m, &dog->view, rebuild))
		return;
	TRACE(w, "somebody types: regent rebuild %s --method %s --from %s", rebuild->node, rg_method_name(rebuild->method),
		  rebuild->from != NULL ? rebuild->from : "leader");
	set_memory(w, dog, &m);
}

void
dog_order_rebuild(World *w, int index, int node)
{
	Dog *dog = w->dog[index];
	RgRebuild rebuild = {.node = dog->view.nodes[node].name, .method = (RgMethod) pick(w, RG_METHOD_COUNT),
		.force = chance(w, 700)};

	if (!dog->up)
		return;
	if (chance(w, 400))
		rebuild.from = dog->view.nodes[pick(w, (uint32_t) w->c.nodes)].name;
	ask_rebuild(w, dog, &rebuild);
}

void
dog_order_copy(World *w, int index, int node)
{
	Dog *dog = w->dog[index];
	RgRebuild rebuild = {.node = dog->view.nodes[node].name, .method = RG_METHOD_COPY, .force = true};

	ask_rebuild(w, dog, &rebuild);
}

void
dog_order_cancel(World *w, int index)
{
	Dog *dog = w->dog[index];
	RgMemory m = dog->memory;
	char why[RG_TEXT_MAX];

	for (int i = 0; dog->up && i < RG_JOBS_MAX; i++)
		if (m.jobs[i].id != 0 && rg_job_cancel(&dog->view, &m, m.jobs[i].id, why) == NULL)
		{
			TRACE(w, "somebody types: regent cancel (the rebuild of %s)", m.jobs[i].node);
			w->cancels++;
			set_memory(w, dog, &m);
			return;
		}
}

/* Our journal is old and nobody obeys it: a new one, and then a takeover. */
static bool
begin_anew(World *w, Dog *dog)
{
	bool is_old = false;

	for (int i = 0; i < w->c.nodes; i++)
		is_old |= dog->view.nodes[i].sql == RG_SQL_LOWER_COUNTER;
	if (!is_old)
		return false;
	TRACE(w, "somebody stops the watchdog with the old journal, and removes its state directory");
	dog_crash(w, dog->index, "by hand");
	dog_lose_journal(w, dog->index);
	dog_start(w, dog->index);
	return true;
}

/* Reads status once in a while, and does what it says. */
void
dog_person(World *w, int index)
{
	Dog *dog = w->dog[index];
	char why[RG_TEXT_MAX];

	if (!dog->up || begin_anew(w, dog))
		return;
	/* every node is there, and for minutes status asks for the operator's word: he gives it */
	if (strstr(dog->memory.refusal, "--accept-loss") != NULL ||
		(dog->d.leader >= 0 && strstr(dog->d.reasons[dog->d.leader], "--accept-loss") != NULL))
		dog->asked++;
	else
		dog->asked = 0;
	if (dog->asked >= 8)
		dog_order_accept_loss(w, index, dog->d.leader >= 0 ? dog->d.leader : 0);
	for (int i = 0; i < w->c.nodes; i++)
	{
		const char *name = dog->view.nodes[i].name;
		size_t length = strlen(name);

		/* "n2 runs as a primary although n1 leads: stop it or make it a standby first" */
		if (strncmp(dog->memory.refusal, name, length) == 0 &&
			strncmp(dog->memory.refusal + length, " runs as a primary although", 27) == 0)
			node_fence_by_hand(w, i);
	}
	for (int i = 0; i < w->c.nodes; i++)
	{
		const char *name = dog->view.nodes[i].name;
		const RgRebuild rebuild = {.node = name, .force = true};
		RgMemory m;

		if (strstr(dog->d.reasons[i], "regent rebuild") == NULL ||
			rg_job_refusal(&dog->view, &dog->memory, &rebuild, why) != NULL)
			continue;
		m = dog->memory;
		TRACE(w, "somebody types: regent rebuild %s", name);
		if (rg_job_add(&m, &dog->view, &rebuild))
			set_memory(w, dog, &m);
	}
}

int
dog_leader(const World *w, int index)
{
	const Dog *dog = w->dog[index];

	return dog->up ? dog->d.leader : -1;
}

bool
dog_all_is_well(World *w, int index)
{
	const Dog *dog = w->dog[index];

	if (!dog->up || dog->d.memory.phase != RG_PHASE_STEADY || dog->d.leader < 0 ||
		dog->d.memory.diagnosis != RG_DIAG_HEALTHY)
		return false;
	for (int i = 0; i < w->c.nodes; i++)
		if (dog->d.states[i] != RG_STATE_OK && (int) i < w->c.voters && (dog_voters(w, index) >> i & 1) != 0)
			return false;
	return true;
}

void
dog_tell(World *w, int index, FILE *out)
{
	const Dog *dog = w->dog[index];

	fprintf(out, "watchdog %d: %s, %s, term %lld, rule %lld.%d of %s; %s; candidate \"%s\", target \"%s\", refusal \"%s\", ready: %s%s\n",
			index, rg_phase_name(dog->memory.phase), rg_diagnosis_name(dog->memory.diagnosis),
			(long long) dog->memory.term, (long long) dog->memory.rule.term, dog->memory.rule.seq,
			dog->memory.rule.leader, dog->d.evidence, dog->memory.candidate, dog->memory.target,
			dog->memory.refusal, dog->d.ready ? "yes " : "no ", dog->d.ready_reason);
	for (int i = 0; i < w->c.nodes; i++)
		fprintf(out, "  %s: %s: %s\n", dog->view.nodes[i].name, rg_node_state_name(dog->d.states[i]),
				dog->d.reasons[i]);
}

/* It dies as soon as it has asked for a rule. */
void
dog_die_with_rule(World *w, int index)
{
	w->dog[index]->crash_at_rule = true;
}

void
dog_die_in_round(World *w, int index, uint32_t point)
{
	(void) w;
	w->dog[index]->crash_at = point;
}

/* What was not synced is gone. */
void
dog_lose_power(World *w, int index)
{
	Dog *dog = w->dog[index];

	dog_crash(w, index, "with its host");
	dog->written = dog->durable;
	if (w->host[dog_host(w, index)].frozen)
		thaw(w, dog_host(w, index));
	w->host[dog_host(w, index)].boot++;
	w->host[dog_host(w, index)].clock_us = SECOND;
	w->host[dog_host(w, index)].true_us = w->now;
}

/* Another regentd with a copy of its state directory, on another machine. */
void
dog_make_clone(World *w, int from, int to)
{
	(void) w;
	w->dog[to]->watchdog = w->dog[from]->watchdog;
	w->dog[to]->counter = w->dog[from]->counter;
	w->dog[to]->written = w->dog[to]->durable = w->dog[from]->durable;
	w->dog[to]->old_journal = true;
}

int64_t
dog_counter(const World *w, int index)
{
	return w->dog[index]->counter;
}

void
dog_end(World *w, int index)
{
	dog_crash(w, index, "for good");
	w->dog[index]->gone = true;
}
