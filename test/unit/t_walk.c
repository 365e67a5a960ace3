/*
 * t_walk.c
 *	  A random walk through views: whatever the core is shown, its decisions keep
 *	  the invariants of test/decide/invariants.h.
 *
 * Nodes change at random, often in ways that no real cluster could; steps end
 * with random outcomes, often with the effect that they would have.  So every
 * phase is reached, and many odd corners too.  The walk is seeded: a failure
 * prints the seed and the round, `t_walk SEED` walks it again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core_view.h"
#include "test/decide/invariants.h"
#include "watchdog/core/job.h"
#include "watchdog/core/order.h"

#define WALKS 400
#define ROUNDS 350

typedef struct Walk
{
	World		w;
	RgRule		asked[RG_CORE_NODES_MAX];	/* by the newest WRITE_RULE on this node */
	uint64_t	random;
} Walk;

static Walk walk;
static RgDecision d;
static unsigned long phases[RG_PHASE_COUNT];
static unsigned long steps[RG_STEP_COUNT];
static unsigned long diagnoses[RG_DIAG_COUNT];
static uint64_t first_seed = 1;

/* xorshift: the same on every machine */
static uint32_t
pick(uint32_t n)
{
	walk.random ^= walk.random << 13;
	walk.random ^= walk.random >> 7;
	walk.random ^= walk.random << 17;
	return (uint32_t) (walk.random >> 33) % n;
}

static bool
chance(uint32_t percent)
{
	return pick(100) < percent;
}

static void
lose(RgNodeView *n, RgSql sql)
{
	n->sql = sql;
	if (n->lost_ms == 0)
		n->lost_ms = walk.w.view.now_ms;
	if (chance(20))
		n->purpose_ms = walk.w.view.now_ms;
}

static void
hear(RgNodeView *n)
{
	n->sql = RG_SQL_OK;
	n->lost_ms = 0;
	n->facts.valid = true;
	n->facts_ms = walk.w.view.now_ms;
	if (chance(10))
		n->facts.start.pid++;
}

static void
change_probe(RgNodeView *n)
{
	RgProbe    *p = &n->probe;

	p->valid = chance(95);
	p->postmaster = (RgPostmaster) pick(4);
	p->pidfile = chance(50);
	p->fenced = chance(30);
	p->clean = chance(20);
	p->in_recovery = chance(30);
	p->system_identifier = chance(95) ? SYSTEM_IDENTIFIER : 42;
	if (chance(80))
		p->start = n->facts.start;
	n->probe_ms = walk.w.view.now_ms - (chance(80) ? 0 : pick(9000));
}

static void
change_facts(RgNodeView *n)
{
	RgFacts    *f = &n->facts;
	int			other = (int) pick((uint32_t) walk.w.view.nnodes);

	switch (pick(14))
	{
		case 0:
			f->in_recovery = !f->in_recovery;
			break;
		case 1:
			f->receiver_streaming = !f->receiver_streaming;
			break;
		case 2:
			f->streaming_from_us = f->sync_with_us = pick(1u << walk.w.view.nnodes);
			break;
		case 3:
			f->replay_lsn = f->receive_lsn = 0x5000000 + pick(3);
			break;
		case 4:
			f->timeline = 1 + pick(3);
			break;
		case 5:
			f->rule.term = walk.w.memory.highest_term - (int64_t) pick(2);
			f->rule.lease_ms = chance(80) ? 5000 : 9000;
			memcpy(f->rule.leader, walk.w.view.nodes[other].name, sizeof(f->rule.leader));
			break;
		case 6:
			f->promised_term = walk.w.memory.highest_term + (chance(3) ? INT64_MAX / 2 : pick(2));
			break;
		case 7:
			f->promoting_term = walk.w.memory.highest_term - (int64_t) pick(2);
			break;
		case 8:
			f->gate = (RgGateView) pick(RG_GATEV_OFF + 1);
			break;
		case 9:
			f->wal_age_ms = (int64_t) pick(8000) - 1;
			f->message_age_ms = f->wal_age_ms;
			break;
		case 10:
			snprintf(f->ahead, sizeof(f->ahead), "%s", chance(30) ? "n2" : "");
			snprintf(f->intruder, sizeof(f->intruder), "%s", chance(10) ? "somebody counter 7" : "");
			break;
		case 11:
			f->disk = chance(40) ? RG_DISKV_OK : (RgDiskView) pick(RG_DISKV_HUNG + 1);
			break;
		case 12:
			f->crash_restarts += (int) pick(3);
			break;
		default:
			f->nterms = (int) pick(3);
			for (int i = 0; i < f->nterms; i++)
				f->terms[i] = (RgTermEnd) {1 + i, 1 + pick(2), chance(50) ? 0 : 0x5000000};
	}
}

static void
change_node(RgNodeView *n)
{
	switch (pick(8))
	{
		case 0:
			lose(n, (RgSql) (RG_SQL_CLOSED + pick(RG_SQL_ERROR - RG_SQL_CLOSED + 1)));
			break;
		case 1:
		case 2:
			hear(n);
			break;
		case 3:
			n->ssh = chance(70) ? RG_SSHV_READY : (RgSshView) pick(4);
			break;
		case 4:
			change_probe(n);
			break;
		case 5:
			n->fresh = (RgSql) pick(RG_SQL_ERROR + 1);
			n->fresh_since_ms = walk.w.view.now_ms;
			break;
		case 6:
			n->priority = (int) pick(3) * 50;
			break;
		default:
			change_facts(n);
	}
}

/* The effect that the step would have on what the node shows. */
static void
take_effect(int node, RgStepKind kind)
{
	RgNodeView *n = &walk.w.view.nodes[node];
	RgFacts    *f = &n->facts;

	switch (kind)
	{
		case RG_STEP_PROBE:
			change_probe(n);
			break;
		case RG_STEP_FENCE:
			lose(n, RG_SQL_REFUSED);
			n->probe.valid = n->probe.fenced = true;
			n->probe.postmaster = RG_PM_ABSENT;
			n->probe_ms = walk.w.view.now_ms;
			f->in_recovery = true;
			break;
		case RG_STEP_PROMISE:
		case RG_STEP_FETCH:
			world_promise(&walk.w, node, n->ops[kind].term);
			n->promise.complete = chance(80);
			n->promise.held_lsn = chance(50) ? n->promise.position.lsn + pick(3) * 100 : 0;
			n->promise.by_primary = !f->in_recovery;
			n->promise.at_ms = walk.w.view.now_ms;
			n->promise.last_wal_age_ms = (int64_t) pick(8000) - 1;
			f->receiver_streaming = false;
			break;
		case RG_STEP_PROMOTE_SQL:
		case RG_STEP_PROMOTE_SSH:
			f->in_recovery = false;
			f->timeline++;
			break;
		case RG_STEP_FENCE_SQL:
			f->gate = RG_GATEV_CLOSED;
			break;
		case RG_STEP_STOP:
			lose(n, RG_SQL_REFUSED);
			n->probe.valid = true;
			n->probe.clean = chance(90);
			n->probe.postmaster = RG_PM_ABSENT;
			n->probe.checkpoint_lsn = 0x5000000 - 100;
			n->probe_ms = walk.w.view.now_ms;
			break;
		case RG_STEP_TAKEOVER:
			hear(n);
			break;
		case RG_STEP_WRITE_RULE:
			f->rule = walk.asked[node];
			break;
		case RG_STEP_START:
		case RG_STEP_SWAP:
			hear(n);
			f->in_recovery = true;
			f->receiver_streaming = kind == RG_STEP_SWAP;
			break;
		case RG_STEP_FOLLOW:
			f->receiver_streaming = true;
			f->rule = walk.w.memory.rule;
			break;
		default:
			break;
	}
}

static void
end_steps(void)
{
	for (int i = 0; i < walk.w.view.nnodes; i++)
		for (int kind = 1; kind < RG_STEP_COUNT; kind++)
		{
			RgOp	   *op = &walk.w.view.nodes[i].ops[kind];

			if (op->state != RG_OP_RUNNING || chance(30))
				continue;
			op->state = chance(70) ? RG_OP_OK : (RgOpState) (RG_OP_REFUSED + pick(3));
			op->ended_ms = walk.w.view.now_ms;
			if (op->state == RG_OP_OK || (op->state == RG_OP_LOST && chance(50)))
				take_effect(i, (RgStepKind) kind);
		}
}

static void
restart_watchdog(void)
{
	for (int i = 0; i < walk.w.view.nnodes; i++)
	{
		RgNodeView *n = &walk.w.view.nodes[i];
		RgFacts		facts = n->facts;
		char		name[RG_CORE_NAME_MAX];

		memcpy(name, n->name, sizeof(name));
		memset(n, 0, sizeof(*n));
		memcpy(n->name, name, sizeof(name));
		n->facts = facts;
		n->facts.valid = false;
		n->priority = 100;
	}
	walk.w.view.started_ms = walk.w.view.now_ms;
	walk.w.view.maybe_restored = chance(20);
	if (walk.w.view.maybe_restored)
		walk.w.memory.confirmed = false;
}

static void
begin_steps(void)
{
	for (int i = 0; i < d.nsteps; i++)
	{
		const RgStep *step = &d.steps[i];
		RgOp	   *op = &walk.w.view.nodes[step->node].ops[step->kind];

		op->attempts = op->term == step->key ? op->attempts + 1 : 1;
		op->term = step->key;
		op->state = RG_OP_RUNNING;
		op->began_ms = walk.w.view.now_ms;
		op->ended_ms = 0;
		if (step->kind == RG_STEP_WRITE_RULE)
			walk.asked[step->node] = step->rule;
		steps[step->kind]++;
	}
}

static void
give_order(void)
{
	RgView	   *v = &walk.w.view;
	const char *name = v->nodes[pick((uint32_t) v->nnodes)].name;
	char		why[RG_TEXT_MAX];

	switch (pick(5))
	{
		case 0:
			(void) rg_job_add(&walk.w.memory, v, &(RgRebuild) {.node = name, .method = (RgMethod) pick(RG_METHOD_COUNT),
				.from = chance(30) ? v->nodes[pick((uint32_t) v->nnodes)].name : ""});
			break;
		case 4:
			for (int i = 0; i < RG_JOBS_MAX; i++)
				if (chance(30))
					(void) rg_job_cancel(v, &walk.w.memory, walk.w.memory.jobs[i].id, why);
			break;
		case 1:
			(void) rg_order_switchover(v, &walk.w.memory, chance(50) ? "" : name, 0, why);
			break;
		case 2:
			(void) rg_order_accept_loss(v, &walk.w.memory, name, why);
			break;
		default:
			(void) rg_order_takeover(v, &walk.w.memory, why);
	}
}

static void
change_world(void)
{
	RgView	   *v = &walk.w.view;

	v->now_ms += chance(95) ? 1 + pick(300) : 1 + pick(40000);
	v->clock_jumped = chance(2);
	if (chance(2))
		v->settings.auto_failover = chance(90);
	if (chance(2))
		v->settings.disk_failover = chance(50);
	if (chance(2))
		v->settings.crash_limit = (int) pick(4);
	if (chance(2))
		v->settings.auto_rejoin = chance(70);
	if (chance(1))
		restart_watchdog();
	for (int i = 0; i < v->nnodes; i++)
	{
		if (v->nodes[i].sql == RG_SQL_OK && chance(95))
			v->nodes[i].facts_ms = v->now_ms;
		if (chance(8))
			change_node(&v->nodes[i]);
	}
	if (chance(2))
		v->settings.lease_ms = chance(80) ? 5000 : 2000;
	if (chance(4))
		give_order();
	end_steps();
}

static void
set_durability(const char *durability, int quorum)
{
	for (int i = -1; i < walk.w.view.nnodes; i++)
	{
		RgRule	   *rule = i < 0 ? &walk.w.memory.rule : &walk.w.view.nodes[i].facts.rule;

		snprintf(rule->durability, sizeof(rule->durability), "%s", durability);
		rule->quorum = quorum;
	}
}

static void
walk_once(uint64_t seed)
{
	InvariantTrail trail;
	RgMemory	before;
	char		buf[300];

	memset(&walk, 0, sizeof(walk));
	memset(&trail, 0, sizeof(trail));
	walk.random = seed * 0x9E3779B97F4A7C15u + 1;
	world_healthy(&walk.w, 1 + (int) (seed % 5));
	set_durability(seed % 3 == 0 ? "sync" : seed % 3 == 1 ? "async" : "strict", 1 + (int) (seed % 2));
	for (int round = 0; round < ROUNDS; round++)
	{
		const char *broken;

		change_world();
		before = walk.w.memory;
		rg_decide(&walk.w.view, &before, &d);
		broken = invariant_of_decision(&walk.w.view, &before, &d, &trail, buf);
		if (broken != NULL)
			fail_msg("seed %llu, round %d: %s", (unsigned long long) seed, round, broken);
		walk.w.memory = d.memory;
		phases[d.memory.phase]++;
		diagnoses[d.memory.diagnosis]++;
		begin_steps();
	}
}

static void
test_invariants_hold_on_a_random_walk(void **state)
{
	(void) state;
	for (uint64_t i = 0; i < WALKS; i++)
		walk_once(first_seed + i);
}

/* A walk that never comes to the interesting places would prove nothing. */
static void
test_the_walk_was_everywhere(void **state)
{
	(void) state;
	for (int i = 1; i < RG_PHASE_COUNT; i++)
		if (phases[i] == 0)
			fail_msg("phase %s was never reached", rg_phase_name((RgPhase) i));
	for (int i = RG_STEP_PROBE; i <= RG_STEP_COPY; i++)
		if (steps[i] == 0)
			fail_msg("step %s was never decided", rg_step_name((RgStepKind) i));
	for (int i = RG_STEP_CHECKPOINT; i <= RG_STEP_TAKEOVER; i++)
		if (steps[i] == 0)
			fail_msg("step %s was never decided", rg_step_name((RgStepKind) i));
	for (int i = RG_DIAG_HEALTHY; i < RG_DIAG_COUNT; i++)
		if (diagnoses[i] == 0)
			fail_msg("%s was never diagnosed", rg_diagnosis_name((RgDiagnosis) i));
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_invariants_hold_on_a_random_walk),
		cmocka_unit_test(test_the_walk_was_everywhere),
	};

	if (argc > 1)
		first_seed = strtoull(argv[1], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
