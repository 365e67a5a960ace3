/*
 * quorum.c
 *	  The table of which dead sets allow a promotion, from the arithmetic that decides.
 *
 * Dead means: nothing of it can be reached, neither server nor host.  Where only
 * the leader's server is dead and its host answers, the fence takes the place of
 * the lease's end, and its data can be read: the last column.
 */
#include "explain.h"

#include <stdio.h>
#include <string.h>

#include "sheet.h"

#define EACH_SET_MAX 5

typedef struct Table
{
	RgSheet		sheet;
	const RgRule *rule;
	bool		is_sync;
	int			standbys;		/* s: the voters without the leader */
	int			left_out;		/* of those */
	int			counted;		/* the others */
	int			quorum;			/* k, in sync and strict */
	int			recruits;		/* r: with so many no lease can be renewed without us */
	int			history;		/* so many of the counted hold every acknowledged commit */
} Table;

/* Of the standbys that are alive, how many are counted, how many left out. */
typedef struct Alive
{
	int			counted;
	int			left_out;
} Alive;

/* With these alive and the leader lost: may one of them be promoted? */
static bool
allows_promotion(const Table *t, Alive a)
{
	if (t->is_sync && (t->history == 0 || a.counted < t->history))
		return false;
	return a.counted > 0 && t->recruits > 0 && a.counted + a.left_out >= t->recruits;
}

/* In sync, who is away is left out after a while, and commits go on. */
static const char *
word_short(const Table *t)
{
	return strcmp(t->rule->durability, "strict") == 0 ? "commits wait" : "waits a moment";
}

/* The leader lives, with these standbys: do its commits go on? */
static const char *
word_leader_alive(const Table *t, Alive a)
{
	return t->is_sync && a.counted < t->quorum ? word_short(t) : "goes on";
}

/* After a promotion the new leader has one standby less. */
static const char *
word_lost(const Table *t, Alive a)
{
	if (!allows_promotion(t, a))
		return a.counted + a.left_out == 0 ? "nobody left" : "waits";
	return strcmp(t->rule->durability, "strict") == 0 && a.counted - 1 < t->quorum ? "promotes, commits wait" : "promotes";
}

/* The leader's server is dead, its host answers: fenced at once, startable as a standby. */
static const char *
word_crashed(const Table *t, Alive a)
{
	if (a.counted == 0)
		return a.left_out == 0 ? "nobody left" : "waits";
	/* the old leader comes back as a standby: it holds every acknowledged commit, and counts for k */
	return strcmp(t->rule->durability, "strict") == 0 && a.counted < t->quorum ? "promotes, commits wait" : "promotes";
}

static void
add_sizes(Table *t)
{
	rg_sheet_add(&t->sheet, "%-22s %-14s %-24s %s\n", "dead standbys", "leader alive", "leader's host lost too",
		"leader's server crashed");
	for (int dead = 0; dead <= t->counted; dead++)
	{
		Alive		alive = {t->counted - dead, 0};

		rg_sheet_add(&t->sheet, "%d of %-17d %-14s %-24s %s\n", dead, t->counted, word_leader_alive(t, alive),
			word_lost(t, alive), word_crashed(t, alive));
	}
}

static void
add_set(Table *t, unsigned set)
{
	char		names[EACH_SET_MAX * (RG_CORE_NAME_MAX + 1) + 8] = "";
	unsigned long len = 0;
	bool		leader_dead = false;
	Alive		alive = {t->counted, t->left_out};

	for (int i = 0; i < t->rule->nvoters; i++)
	{
		if ((set >> i & 1) == 0)
			continue;
		if (strcmp(t->rule->voters[i], t->rule->leader) == 0)
			leader_dead = true;
		else if ((t->rule->left_out >> i & 1) != 0)
			alive.left_out--;
		else
			alive.counted--;
		(void) snprintf(names + len, sizeof(names) - len, "%s%s", len > 0 ? " " : "", t->rule->voters[i]);
		len = strlen(names);
	}
	rg_sheet_add(&t->sheet, "%-40s %s\n", set == 0 ? "nobody" : names,
		leader_dead ? word_lost(t, alive) : word_leader_alive(t, alive));
}

static int
count_bits(unsigned set)
{
	int			n = 0;

	for (; set != 0; set &= set - 1)
		n++;
	return n;
}

static void
add_sets(Table *t)
{
	rg_sheet_add(&t->sheet, "\nEach set of lost hosts:\n");
	for (int size = 0; size <= t->rule->nvoters; size++)
		for (unsigned set = 0; set < 1u << t->rule->nvoters; set++)
			if (count_bits(set) == size)
				add_set(t, set);
}

static void
add_left_out(Table *t)
{
	for (int i = 0; i < t->rule->nvoters; i++)
		if ((t->rule->left_out >> i & 1) != 0)
			rg_sheet_add(&t->sheet, "%s is left out: it acknowledges nothing, and can't take over; its promise counts.\n",
				t->rule->voters[i]);
}

int
rg_explain_quorum(const RgRule *rule, char *buf, unsigned long size)
{
	Table		t = {.sheet = {buf, size, 0}, .rule = rule};
	RgSets		sets;

	if (size == 0)
		return 0;
	buf[0] = '\0';
	if (rule->term == 0 || rule->nvoters < 1)
	{
		rg_sheet_add(&t.sheet, "No rule is known: run regent init.\n");
		return (int) t.sheet.len;
	}
	rg_rule_sets(rule, rule->leader, &sets);
	t.standbys = rg_sets_size(sets.standbys);
	t.counted = rg_sets_size(sets.counted);
	t.left_out = t.standbys - t.counted;
	t.is_sync = !sets.is_async;
	t.quorum = sets.quorum;
	t.recruits = rg_rules_recruit_size(t.standbys);
	t.history = rg_rules_history_size(t.counted, t.quorum);
	rg_sheet_add(&t.sheet, "Rule %lld.%d: leader %s, %d voters, durability %s", (long long) rule->term, rule->seq,
		rule->leader, rule->nvoters, rule->durability[0] ? rule->durability : "async");
	if (t.is_sync)
		rg_sheet_add(&t.sheet, ", quorum %d of %d standbys", t.quorum, t.counted);
	rg_sheet_add(&t.sheet, ".\n");
	add_left_out(&t);
	if (t.standbys == 0)
	{
		rg_sheet_add(&t.sheet, "There is no standby: nobody can ever take over.\n");
		return (int) t.sheet.len;
	}
	rg_sheet_add(&t.sheet, "Without a watchdog the leader goes on while %d of %d standbys flush its markers.\n",
		rg_rules_lease_quorum(t.standbys), t.standbys);
	rg_sheet_add(&t.sheet, "Leader lost: a promotion needs %d of %d standbys, and the end of its lease", t.recruits,
		t.standbys);
	if (t.is_sync)
		rg_sheet_add(&t.sheet, t.history > 0 ? "; %d of the counted ones, which hold every acknowledged commit"
			: "; nobody but the leader holds every acknowledged commit", t.history);
	rg_sheet_add(&t.sheet, ".\nLeader's server dead, host reachable: it is fenced, and its data counts.\n\n");
	add_sizes(&t);
	if (rule->nvoters <= EACH_SET_MAX)
		add_sets(&t);
	rg_sheet_add(&t.sheet, "\nwaits = until one more is back, or: regent failover NODE --accept-loss\n");
	return (int) t.sheet.len;
}
