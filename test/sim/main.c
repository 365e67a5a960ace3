/*
 * main.c
 *	  Seeds: what world each makes, how it goes, how its end is told.
 *
 *	sim [--seeds N] [--first N] [--jobs N]	many seeds
 *	sim --seed N [--trace]					one of them, with its story
 */
#include "node.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static World world;

#ifdef RG_MUTATION
int sim_mutation;
#endif
static bool survey;				/* list all seeds that fail */

/* ---- what kind of seed ---- */

static void
choose_config(World *w)
{
	static const int sizes[] = {3, 3, 3, 2, 4, 5, 3, 5, 4, 7};
	static const int leases[] = {1000, 1500, 2000, 3000};
	Config *c = &w->c;

	c->nodes = sizes[pick(w, 10)];
	c->voters = c->nodes >= 4 && chance(w, 200) ? c->nodes - 1 : c->nodes;
	c->dogs = 1;
	c->clients = 2 + (int) pick(w, 2);
	c->durability = chance(w, 400) ? D_ASYNC : chance(w, 600) ? D_SYNC : D_STRICT;
	c->quorum = c->durability == D_ASYNC ? 1 : 1 + (int) pick(w, (uint32_t) (c->voters > 3 ? c->voters - 2 : 1));
	c->lease_ms = leases[pick(w, 4)];
	c->heartbeat_ms = c->lease_ms / (10 + pick(w, 4));
	c->tick_ms = 100 + pick(w, 200);
	c->restart_budget_ms = 1000 + pick(w, 5000);
	c->hang_budget_ms = 800 + pick(w, 2000);
	c->from_standbys = chance(w, 850);
	c->promote_sql = chance(w, 800);
	c->promote_ssh = !c->promote_sql || chance(w, 700);
	c->auto_rejoin = true;
	c->faults_us = between(w, 10 * SECOND, 30 * SECOND);
	c->fault_gap_ms = 250 + (int) pick(w, 2500);
	c->drop_ppm = chance(w, 400) ? (int) pick(w, 20000) : 0;
	c->wal_per_s = 6 + (int) pick(w, 10);
	c->server_faults = true;
	c->network_faults = chance(w, 800);
	c->freeze_faults = chance(w, 600);
	c->power_faults = chance(w, 600);
	c->dog_faults = chance(w, 650);
	c->orders = chance(w, 500);
	c->old_journal = c->dog_faults && chance(w, 120);
	c->clock_stop = chance(w, 60);
	c->old_helpers = c->wal_per_s == 9; /* one in ten, without a draw of its own */
	c->restored_leader = chance(w, 200);
	c->disk_failover = chance(w, 600);
	c->crash_limit = (int) pick(w, 4);
	c->crash_window_ms = 5000 + pick(w, 60000);
	if (chance(w, 60))
		c->plan = 1 + (int) pick(w, 3);
	else if (chance(w, 40))
	{
		c->plan = 5 + (int) pick(w, 2);
		c->disk_failover = true;
		c->crash_limit = c->plan == 6 ? 2 + (int) pick(w, 2) : 0;
		c->crash_window_ms = 60000;
	}
	if (c->plan != 0)
		c->from_standbys = true;
	if (c->plan == 1 && chance(w, 350))
	{
		c->plan = 4;
		c->lease_ms = 450000 + pick(w, 150000);
		c->heartbeat_ms = 2000;
		c->tick_ms = 200;
		c->faults_us = 10 * SECOND;
		c->fault_gap_ms = 2000;
		c->wal_per_s = 1;
		c->drop_ppm = 0;
		c->promote_sql = true;
	}
	if (c->plan != 0)
		return;
	if (chance(w, 100))
	{
		c->second_dog = true;
		c->dogs = 2;
	}
	else if (chance(w, 40))
	{
		/*
		 * Two live clones on two sides of a cut are not covered, and dead nodes
		 * make two sides as well as a cut does.
		 */
		c->clone = c->dog_faults = true;
		c->dogs = 2;
		c->network_faults = c->freeze_faults = c->server_faults = c->power_faults = c->old_journal = false;
		c->drop_ppm = 0;
	}
	else if (chance(w, 40))
	{
		/* long leases: here the drift of clocks is more than a moment */
		c->long_lease = true;
		c->lease_ms = 60000 + pick(w, 540000);
		c->heartbeat_ms = c->lease_ms / 20;
		c->tick_ms = 1300;
		c->faults_us = 3 * c->lease_ms * MS;
		c->fault_gap_ms = (int) (c->lease_ms / 5);
		c->wal_per_s = 1;
	}
}

/* Rules that change, at random or as a story of its own. */
static void
choose_changes(World *w)
{
	Config *c = &w->c;

	c->changes = c->plan == 0 && chance(w, 500);
	if (!c->changes || c->second_dog || c->clone || c->long_lease || !chance(w, 350))
		return;
	c->plan = STORY_PLAN;
	c->durability = chance(w, 200) ? D_ASYNC : chance(w, 700) ? D_SYNC : D_STRICT;
	c->nodes = c->voters = 2 + (int) pick(w, 4);
	c->quorum = c->durability == D_ASYNC ? 1 : 1 + (int) pick(w, (uint32_t) (c->voters > 2 ? c->voters - 1 : 1));
	c->from_standbys = true;
}

/* One in forty, without a draw: a copy and its swap that come again. */
static void
choose_late_swap(World *w)
{
	Config *c = &w->c;

	if (c->plan != 0 || w->seed % 40 != 7 || c->second_dog || c->clone || c->long_lease)
		return;
	c->plan = SWAP_PLAN;
	c->changes = c->old_helpers = false;
	c->nodes = c->voters = 3;
	c->durability = w->seed % 80 == 7 ? D_SYNC : D_STRICT;
	c->quorum = 1;
	c->from_standbys = true;
}

static void
make_hosts(World *w)
{
	w->nhosts = w->c.nodes + DOGS_MAX + w->c.clients;
	for (int i = 0; i < w->nhosts; i++)
	{
		Host *h = &w->host[i];

		h->boot = 1;
		h->true_us = w->now;
		h->clock_us = between(w, 10 * SECOND, 100000 * SECOND);
		h->rate_ppm = (int) pick(w, 401) - 200;
		if (chance(w, 300))
			h->rate_ppm = chance(w, 500) ? 200 : -200;
	}
}

/* As regent init leaves it: one rule, a primary, standbys that stream from it. */
static void
make_cluster(World *w)
{
	Rule *rule = &w->rules[w->nrules++];
	RgRule first;

	rule->term = rule->seq = 1;
	rule->leader = 0;
	rule->voters = (1u << w->c.voters) - 1;
	rule->durability = w->c.durability;
	rule->quorum = w->c.quorum;
	rule->lease_ms = w->c.lease_ms;
	rule->timeline = 1;
	rule_to_state(w, 0, &first);
	for (int i = 0; i < w->c.nodes; i++)
	{
		Data *d = w->server[i]->data;

		if (i == 0)
			for (int k = 0; k < 4; k++)
				(void) data_append(w, d, k == 3 ? 0 : -1);
		else
		{
			data_copy(d, w->server[0]->data);
			rg_state_init(&d->state, node_name(i), 7300000000000000001u);
		}
		d->written = d->flushed = d->restartpoint = d->consistent = d->len;
		d->control = CONTROL_SHUT_DOWN;
		d->standby_signal = i != 0;
		d->source = i == 0 ? -1 : i >= w->c.voters && w->c.nodes > 2 ? 1 : 0;
		(void) rg_state_adopt_rule(&d->state, &first);
		data_store_state(w, d);
		d->durable = d->state;
		d->durable_file = STATE_OK;
		server_start(w, i);
	}
}

/* ---- one seed ---- */

static void
run_until(World *w, int64_t until)
{
	while (!w->failed && step(w, until))
		;
}

static bool
is_well(World *w)
{
	int leader = dog_leader(w, w->chief);

	return dog_all_is_well(w, w->chief) && leader >= 0 && server_is_writable(w, leader);
}

/* After the faults: one open primary, everybody streams from it, same rows, and writes go on. */
static bool
comes_back(World *w)
{
	int64_t end = w->now + 240 * SECOND + 12 * w->c.lease_ms * MS;
	int64_t person = w->now + 15 * SECOND;
	int acks = w->nacks;

	while (!w->failed && w->now < end)
	{
		run_until(w, w->now + 500 * MS + (w->c.long_lease ? 5 * SECOND : 0));
		if (!dog_is_up(w, w->chief))
			dog_start(w, w->chief);	/* systemd */
		if (is_well(w) && w->nacks > acks && check_rows(w, dog_leader(w, w->chief)))
			return true;
		if (w->now >= person)
		{
			person = w->now + 15 * SECOND;
			faults_person(w);
			dog_person(w, w->chief);
			dog_order_takeover(w, w->chief);
		}
	}
	return false;
}

/* Without a standby that votes nobody but a person can say what goes on. */
static bool
leads_alone(const World *w, int leader)
{
	return (dog_voters(w, w->chief) & ~(1u << leader)) == 0;
}

/* Somebody does not wait for what the watchdog finds out: this one is to go on, whatever others hold. */
static void
order_restored(World *w, int leader)
{
	int64_t end = w->now + 10 * SECOND + 5 * w->c.heartbeat_ms * MS;

	while (!w->failed && w->now < end && dog_leader(w, w->chief) == leader)
	{
		run_until(w, w->now + between(w, 10 * MS, 600 * MS));
		if (!w->failed && dog_order_accept_loss(w, w->chief, leader))
			return;
	}
}

/* A standby that is off meanwhile, and counts as lost for ever; -1 = none. */
static int
lose_standby(World *w, int leader)
{
	int lost = (int) pick(w, (uint32_t) w->c.nodes);

	if (lost == leader || !chance(w, 500))
		return -1;
	server_lose_power(w, lost);
	return lost;
}

/* F10: the leader's disk is one of some time ago. */
static bool
survives_restore(World *w)
{
	int leader = dog_leader(w, w->chief);
	Server *s = w->server[leader];
	bool by_order;
	int lost;

	if (leads_alone(w, leader))
		return true;
	data_copy(s->image, s->data);
	data_truncate(s->image, s->data->flushed);
	s->image->durable = s->data->durable;
	s->has_image = true;
	run_until(w, w->now + between(w, 2 * SECOND, 8 * SECOND));
	if (w->failed || dog_leader(w, w->chief) != leader || leads_alone(w, leader) || !is_well(w))
		return true;
	server_lose_power(w, leader);
	server_restore_image(w, leader);
	by_order = chance(w, 300);
	/* while it is away somebody looks at the others: what nobody has seen nobody can miss */
	run_until(w, w->now + (3 * w->c.heartbeat_ms + 500) * MS + between(w, 0, 2 * SECOND));
	lost = by_order ? lose_standby(w, leader) : -1;
	server_power_on(w, leader, true);
	if (by_order)
		order_restored(w, leader);
	if (lost >= 0)
	{
		run_until(w, w->now + between(w, 0, 30 * SECOND));
		server_power_on(w, lost, true);
	}
	return comes_back(w);
}

static void
tell_end(World *w, FILE *out)
{
	dog_tell(w, w->chief, out);
	for (int i = 0; i < w->c.nodes; i++)
	{
		const Server *s = w->server[i];
		const Data *d = s->data;

		fprintf(out, "  %s: run %d, %s, len %d flushed %d replay %d, timeline %u, source %s, receiver %d, gate \"%s\", rule %lld.%d of %s, promise %lld, promoting %lld, terms",
				node_name(i), s->run, s->in_recovery ? "standby" : "primary", d->len, d->flushed, s->replay,
				d->timeline, node_name(s->live_source), s->receiver, rg_gate_text(server_gate(w, i)),
				(long long) s->shm.rule.term, s->shm.rule.seq, s->shm.rule.leader, (long long) s->shm.promise_term,
				(long long) s->shm.promoting);
		for (int k = 0; k < s->shm.nfollowed; k++)
			fprintf(out, " %lld:%u", (long long) s->shm.followed[k].term, s->shm.followed[k].timeline);
		fprintf(out, "\n");
	}
}

static bool
run_seed(World *w, uint64_t seed, bool trace)
{
	world_init(w, seed, trace);
	choose_config(w);
	choose_changes(w);
	choose_late_swap(w);
	TRACE(w, "seed %llu: %d nodes, %d voters, durability %d quorum %d, lease %lld ms", (unsigned long long) seed,
		  w->c.nodes, w->c.voters, w->c.durability, w->c.quorum, (long long) w->c.lease_ms);
	make_hosts(w);
	nodes_init(w);
	dogs_init(w);
	make_cluster(w);
	clients_init(w);
	dog_start(w, 0);
	if (w->c.clone)
		dog_make_clone(w, 0, 1);
	faults_init(w);
	run_until(w, w->now + 5 * SECOND);
	if (w->c.old_journal)
		dog_keep_image(w, 0);
	run_until(w, w->now + w->c.faults_us);
	if (w->failed)
		return false;
	faults_stop(w);
	if (!comes_back(w))
		violate(w, "I4, I7: it does not come back after the faults have stopped");
	else if (w->c.restored_leader && !survives_restore(w))
		violate(w, "I4, I7: it does not come back after the leader's disk was restored");
	return !w->failed;
}

/* ---- many seeds ---- */

#define COUNTS 16

typedef struct Sums
{
	uint64_t failed_seed;		/* 0 = none */
	uint64_t seeds;
	unsigned long events;
	unsigned long counts[COUNTS];
	char violation[400];
} Sums;

static void
add_up(Sums *s, const World *w)
{
	s->seeds++;
	s->events += w->nevents;
	s->counts[0] += w->failovers;
	s->counts[1] += w->switchovers;
	s->counts[2] += w->undone;
	s->counts[3] += w->rebuilt;
	s->counts[4] += w->takeovers;
	s->counts[5] += w->refused;
	s->counts[6] += w->marker_leases;
	s->counts[7] += w->lost_async;
	s->counts[8] += w->bounds;
	s->counts[9] += (unsigned long) w->nacks;
	s->counts[10] += (unsigned long) w->openings;
	s->counts[11] += w->handovers;
	s->counts[12] += w->fetches;
	s->counts[13] += w->changes;
	s->counts[14] += w->rewinds;
	s->counts[15] += w->cancels;
}

static void
work(Sums *sums, volatile int *stop, uint64_t first, uint64_t count, int job, int jobs)
{
	for (uint64_t seed = first + (uint64_t) job; seed < first + count && !*stop; seed += (uint64_t) jobs)
	{
		bool ok = run_seed(&world, seed, false);

		add_up(sums, &world);
		if (ok)
			continue;
		if (survey)
		{
			printf("seed %llu: %s\n", (unsigned long long) seed, world.violation);
			fflush(stdout);
			continue;
		}
		sums->failed_seed = seed;
		memcpy(sums->violation, world.violation, sizeof(sums->violation));
		*stop = 1;
		return;
	}
}

static int
tell_seed(uint64_t seed, bool live)
{
	static const char *const words[] = {"async", "sync", "strict"};
	bool ok;

	world_story_live = live;
	ok = run_seed(&world, seed, true);
	if (!live && !ok)
		world_story(stdout);
	if (!ok)
	{
		tell_end(&world, stdout);
		printf("sim: seed %llu (%d nodes, %d voters, %s %d, lease %lld ms): %s\n", (unsigned long long) seed,
			   world.c.nodes, world.c.voters, words[world.c.durability], world.c.quorum,
			   (long long) world.c.lease_ms, world.violation);
	}
	else
		printf("sim: ok seeds=1 events=%lu violations=0\n", world.nevents);
	return ok ? 0 : 1;
}

static int
run_many(uint64_t first, uint64_t count, int jobs, bool brief)
{
	Sums *sums = mmap(NULL, sizeof(Sums) * (size_t) (jobs + 1), PROT_READ | PROT_WRITE,
					  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	volatile int *stop = (volatile int *) &sums[jobs];
	Sums all;
	static const char *const names[COUNTS] = {
		"failovers", "switchovers", "undone", "rebuilds", "takeovers", "refused heartbeats",
		"leases from standbys", "writes lost (async)", "waits for a bound", "acknowledged writes", "openings", "troubled leaders replaced", "fetches",
		"changes of who is counted", "rewinds", "cancels"
	};

	if (sums == MAP_FAILED)
		return 2;
	for (int i = 0; i < jobs; i++)
		if (fork() == 0)
		{
			work(&sums[i], stop, first, count, i, jobs);
			_exit(0);
		}
	memset(&all, 0, sizeof(all));
	for (int i = 0; i < jobs; i++)
	{
		int status;

		if (wait(&status) > 0 && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
		{
			printf("sim: a worker died\n");
			return 2;
		}
	}
	for (int i = 0; i < jobs; i++)
	{
		all.seeds += sums[i].seeds;
		all.events += sums[i].events;
		for (int k = 0; k < COUNTS; k++)
			all.counts[k] += sums[i].counts[k];
		if (sums[i].failed_seed != 0 && (all.failed_seed == 0 || sums[i].failed_seed < all.failed_seed))
		{
			all.failed_seed = sums[i].failed_seed;
			memcpy(all.violation, sums[i].violation, sizeof(all.violation));
		}
	}
	if (all.failed_seed != 0)
	{
		if (brief)
			printf("seed %llu: %s\n", (unsigned long long) all.failed_seed, all.violation);
		else
			(void) tell_seed(all.failed_seed, false);
		return 1;
	}
	if (!brief)
	{
		for (int k = 0; k < COUNTS; k++)
			printf("%s%lu %s", k > 0 ? ", " : "", all.counts[k], names[k]);
		printf("\n");
	}
	printf("sim: ok seeds=%llu events=%lu violations=0\n", (unsigned long long) all.seeds, all.events);
	return 0;
}

int
main(int argc, char **argv)
{
	uint64_t first = 1;
	uint64_t count = 1000;
	uint64_t seed = 0;
	int jobs = (int) sysconf(_SC_NPROCESSORS_ONLN);
	bool trace = false;
	bool brief = false;

	for (int i = 1; i < argc; i++)
	{
		if (strcmp(argv[i], "--trace") == 0)
			trace = true;
		else if (strcmp(argv[i], "--survey") == 0)
			survey = true;
		else if (strcmp(argv[i], "--brief") == 0)
			brief = true;
#ifdef RG_MUTATION
		else if (i + 1 < argc && strcmp(argv[i], "--mutant") == 0)
			sim_mutation = atoi(argv[++i]);
#endif
		else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0)
			seed = strtoull(argv[++i], NULL, 10);
		else if (i + 1 < argc && strcmp(argv[i], "--seeds") == 0)
			count = strtoull(argv[++i], NULL, 10);
		else if (i + 1 < argc && strcmp(argv[i], "--first") == 0)
			first = strtoull(argv[++i], NULL, 10);
		else if (i + 1 < argc && strcmp(argv[i], "--jobs") == 0)
			jobs = atoi(argv[++i]);
		else
		{
			fprintf(stderr, "usage: sim [--seeds N] [--first N] [--jobs N] | sim --seed N [--trace]\n");
			return 2;
		}
	}
	if (seed != 0)
		return tell_seed(seed, trace);
	return run_many(first, count, jobs < 1 ? 1 : jobs > 16 ? 16 : jobs, brief);
}
