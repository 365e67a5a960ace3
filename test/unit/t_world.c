/*
 * t_world.c
 *	  The core against a small world of servers: safety while faults happen,
 *	  then the faults stop and everything must come back.
 *
 * Faults: kills, stops, freezes, service managers that start what was killed,
 * cut SQL, SSH and replication, a full disk, lost and late answers, restarts of
 * the watchdog with what its journal holds.  Safety: never two servers that take
 * writes, never a standby that streams other rows (attack F2), never a data
 * directory without a replacement.  Liveness (F38): a person starts what was
 * stopped and types "regent rebuild" where a reason asks for it; then all nodes
 * are ok.  `t_world SEED` runs one seed and tells its story, `t_world FIRST COUNT`
 * runs more of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mini_steps.h"
#include "watchdog/core/job.h"
#include "watchdog/core/order.h"
#include "watchdog/core/phase.h"

#define SEEDS 100
#define FAULTS_MS 120000
#define QUIET_MS 1500000

static Mini mini;
static RgDecision d;
static unsigned long failovers;
static unsigned long undone;
static unsigned long rebuilt;
static unsigned long switched;
static uint64_t first_seed = 1;
static uint64_t seeds = SEEDS;

static void
begin(Mini *m, uint64_t seed)
{
	bool		verbose = m->verbose;

	memset(m, 0, sizeof(*m));
	m->verbose = verbose;
	m->random = seed * 0x9E3779B97F4A7C15u + 1;
	m->n = m->view.nnodes = 2 + (int) (seed % 3);
	m->sync = seed % 2 == 0;
	m->now = 1000;
	m->view.started_ms = 1000;
	m->view.settings = (RgSettings) {
		.heartbeat_interval_ms = 500, .lease_ms = 5000, .restart_budget_ms = 10000,
		.hang_budget_ms = 3000, .auto_failover = true, .auto_rejoin = true, .promote_sql = true,
		.promote_ssh = true, .quorum = 1
	};
	for (int i = 0; i < m->n; i++)
	{
		Server	   *s = &m->s[i];

		snprintf(m->view.nodes[i].name, sizeof(m->view.nodes[i].name), "n%d", i + 1);
		m->view.nodes[i].priority = 100;
		s->proc = PROC_ALIVE;
		s->pid = 100 * (i + 1);
		s->in_recovery = s->data.standby_signal = i != 0;
		s->data.source = i != 0 ? 0 : -1;
		s->data.timeline = 1;
	}
	mini_append(m, &m->s[0].data, 1, 0);
}

static void
restart_watchdog(Mini *m)
{
	MINI_LOG(m, "regentd is restarted");
	for (int i = 0; i < m->n; i++)
	{
		RgNodeView *n = &m->view.nodes[i];
		char		name[RG_CORE_NAME_MAX];

		memcpy(name, n->name, sizeof(name));
		memset(n, 0, sizeof(*n));
		memcpy(n->name, name, sizeof(name));
		n->priority = 100;
		m->beat_ms[i] = 0;
	}
	m->view.started_ms = m->now;
	m->memory = m->journal;
	if (!rg_phase_is_failover(m->memory.phase))
	{
		m->memory.phase = RG_PHASE_STARTING;
		m->memory.phase_ms = m->now;
	}
}

static void
fault(Mini *m)
{
	int			i = (int) mini_pick(m, (uint32_t) m->n);
	Server	   *s = &m->s[i];
	char		why[RG_TEXT_MAX];

	switch (mini_pick(m, 14))
	{
		case 0:
		case 1:
		case 2:
			if (s->proc == PROC_ABSENT)
				break;
			MINI_LOG(m, "n%d is killed", i + 1);
			mini_kill(m, i);
			if (mini_chance(m, 400))
				s->restarts_at = m->now + 50 + mini_pick(m, 4000);
			break;
		case 3:
			if (s->proc != PROC_ALIVE)
				break;
			MINI_LOG(m, "n%d is stopped by a person", i + 1);
			mini_kill(m, i);
			s->pidfile = false;
			s->data.clean = true;
			if (!s->sql_cut)
				m->view.nodes[i].purpose_ms = m->now;
			s->restarts_at = mini_chance(m, 700) ? m->now + mini_pick(m, 20000) : 0;
			break;
		case 4:
			s->restarts_at = m->now + 1;
			break;
		case 5:
			s->sql_cut = !s->sql_cut;
			MINI_LOG(m, "n%d: sql %s", i + 1, s->sql_cut ? "cut" : "back");
			break;
		case 6:
			s->ssh_cut = !s->ssh_cut;
			MINI_LOG(m, "n%d: ssh %s", i + 1, s->ssh_cut ? "cut" : "back");
			break;
		case 7:
			s->link_cut = !s->link_cut;
			MINI_LOG(m, "n%d: replication %s", i + 1, s->link_cut ? "cut" : "back");
			break;
		case 8:
			if (s->proc != PROC_ABSENT)
				s->proc = s->proc == PROC_ALIVE ? PROC_FROZEN : PROC_ALIVE;
			MINI_LOG(m, "n%d: freeze or thaw", i + 1);
			break;
		case 9:
			s->disk_full = !s->disk_full;
			break;
		case 10:
			if (mini_chance(m, 300))
				restart_watchdog(m);
			break;
		case 11:
		case 12:
			if (rg_order_switchover(&m->view, &m->memory, "", 0, why))
			{
				MINI_LOG(m, "a person types regent switchover");
				m->journal = m->memory;
			}
			break;
		default:
			s->sql_cut = s->ssh_cut = s->link_cut = s->disk_full = false;
	}
}

static void
heal(Mini *m)
{
	MINI_LOG(m, "--- the faults stop");
	m->quiet = true;
	for (int i = 0; i < m->n; i++)
	{
		Server	   *s = &m->s[i];

		s->sql_cut = s->ssh_cut = s->link_cut = s->disk_full = false;
		if (s->proc == PROC_FROZEN)
			s->proc = PROC_ALIVE;
	}
}

/* What a person does who reads status once a minute. */
static void
person(Mini *m)
{
	char		why[RG_TEXT_MAX];

	for (int i = 0; i < m->n; i++)
	{
		const char *name = m->view.nodes[i].name;
		const RgRebuild rebuild = {.node = name, .force = true};

		if (m->s[i].proc == PROC_ABSENT && m->s[i].restarts_at == 0 &&
			((d.states[i] == RG_STATE_DEAD && rg_memory_job(&m->memory, name) == NULL) ||
			 strstr(d.reasons[i], "start it") != NULL))
		{
			MINI_LOG(m, "a person starts n%d", i + 1);
			mini_start(m, i);
		}
		if (strstr(d.reasons[i], "regent rebuild") != NULL &&
			rg_job_refusal(&m->view, &m->memory, &rebuild, why) == NULL)
		{
			MINI_LOG(m, "a person types regent rebuild %s", name);
			(void) rg_job_add(&m->memory, &m->view, &rebuild);
		}
	}
}

static void
round_of(Mini *m)
{
	m->now += 10 + mini_pick(m, m->quiet ? 190 : 90);
	mini_live(m);
	mini_fly(m);
	for (int i = 0; i < m->n; i++)
		mini_show(m, i);
	m->view.now_ms = m->now;
	rg_decide(&m->view, &m->memory, &d);
	m->memory = d.memory;
	if (d.must_record)
		m->journal = d.memory;
	for (int i = 0; i < d.nnotes; i++)
	{
		MINI_LOG(m, "%s: %s", rg_event_name(d.notes[i].event), d.notes[i].text);
		failovers += d.notes[i].event == RG_EVENT_FAILOVER_END;
		undone += d.notes[i].event == RG_EVENT_FAILOVER_UNDONE;
		rebuilt += d.notes[i].event == RG_EVENT_REBUILD_END;
		switched += d.notes[i].event == RG_EVENT_SWITCHOVER_END;
	}
	for (int i = 0; i < d.nsteps; i++)
	{
		if (d.steps[i].kind == RG_STEP_PROMISE)
			d.steps[i].expect = m->view.nodes[d.steps[i].node].facts.start;
		mini_send(m, &d.steps[i]);
	}
}

static bool
all_is_well(const Mini *m)
{
	if (d.memory.phase != RG_PHASE_STEADY || d.leader < 0 || !mini_is_primary(m, d.leader))
		return false;
	for (int i = 0; i < m->n; i++)
		if (d.states[i] != RG_STATE_OK || (i != d.leader && !m->s[i].streaming) || m->s[i].has_old)
			return false;
	return true;
}

static void
check(const Mini *m, uint64_t seed)
{
	if (m->violation[0] != '\0')
		fail_msg("seed %llu at %lld ms: %s", (unsigned long long) seed, (long long) m->now, m->violation);
}

static void
tell_node(const Mini *m, int i)
{
	const Data *data = &m->s[i].data;

	print_error("n%d: %s: %s; lsn %d, timeline %u, source n%d, rule %lld, promise %lld, promoting %lld, terms",
				i + 1, rg_node_state_name(d.states[i]), d.reasons[i], data->len, data->timeline,
				data->source + 1, (long long) mini_rule_term(data), (long long) data->promise,
				(long long) data->promoting);
	for (int k = 0; k < data->nfollowed; k++)
		print_error(" %lld:%u:%d", (long long) data->followed[k].term, data->followed[k].timeline,
					mini_timeline_end(data, data->followed[k].timeline));
	print_error("\n");
}

static void
run_seed(Mini *m, uint64_t seed)
{
	int64_t		end;
	int64_t		looked = 0;

	begin(m, seed);
	while (m->now < 3000)
		round_of(m);
	while (m->now < 3000 + FAULTS_MS)
	{
		if (mini_chance(m, 8))
			fault(m);
		round_of(m);
		check(m, seed);
	}
	heal(m);
	for (end = m->now + QUIET_MS; m->now < end && !all_is_well(m);)
	{
		round_of(m);
		check(m, seed);
		if (m->now - looked > 60000)
		{
			looked = m->now;
			person(m);
		}
	}
	if (!all_is_well(m))
	{
		for (int i = 0; i < m->n; i++)
			tell_node(m, i);
		fail_msg("seed %llu does not come back: %s, %s, ready: %s", (unsigned long long) seed,
				 rg_phase_name(d.memory.phase), d.evidence, d.ready_reason);
	}
}

static void
test_safe_under_faults_then_everything_comes_back(void **state)
{
	(void) state;
	mini.verbose = seeds == 1;
	for (uint64_t seed = first_seed; seed < first_seed + seeds; seed++)
		run_seed(&mini, seed);
	/* a world in which nothing happens proves nothing */
	if (seeds < SEEDS)
		return;
	assert_true(failovers > SEEDS / 2);
	assert_true(undone > 0);
	assert_true(rebuilt > 0);
	assert_true(switched > 0);
	print_message("%lu failovers, %lu undone, %lu rebuilds, %lu switchovers\n", failovers, undone, rebuilt,
				  switched);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_safe_under_faults_then_everything_comes_back),
	};

	if (argc > 1)
	{
		first_seed = strtoull(argv[1], NULL, 10);
		seeds = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
