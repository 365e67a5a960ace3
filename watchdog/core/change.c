/*
 * change.c
 *	  Rule (T, seq + 1): what is wanted, made so by the leader, one step at a time.
 *
 * A longer lease counts for us as soon as it was asked for (the memory is journalled
 * before the step runs), for the leader when its row is flushed; a shorter one when
 * the leader has answered under it (attack F6; learn.c).
 *
 * Whatever was asked for may be in force although nobody has shown it yet: it stays
 * in the memory, is asked again word for word until it shows, and a recruit has to
 * satisfy it as well (attacks F7, V10, V11).  So no two rules ever have one number.
 *
 * Leaving out goes before everything else: it is what lets commits go on.  All other
 * changes of who is counted, and how many, wait until the rule before is out of
 * question (facts.settled).
 */
#include "change.h"

#include <string.h>

#include "choose.h"
#include "extension/mutant.h"

#define MANY 1000000

/* A standby that is away, or stands still, for so long is not waited for any more; never less than a lease. */
#define LEAVE_OUT_MS 5000

/* A rebuild waits for so long that the others have flushed the rule that leaves its node out. */
#define SETTLE_MS 10000

/* Keys of steps that no failover uses: those are terms. */
static int64_t
key_of(const RgRule *rule)
{
	return -(rule->term * 100000 + rule->seq);
}

void
rg_change_plan_takeover(const RgView *view, RgDecision *d)
{
	RgMemory   *m = &d->memory;
	bool		others = false;

	if (!m->takeover)
		return;
	for (int i = 0; i < view->nnodes; i++)
	{
		const RgNodeView *n = &view->nodes[i];
		RgStep	   *step;

		if (n->sql != RG_SQL_OTHER_WATCHDOG)
			continue;
		others = true;
		if (!rg_op_may_try(&n->ops[RG_STEP_TAKEOVER], 1, view->now_ms, MANY) &&
			!(n->ops[RG_STEP_TAKEOVER].state == RG_OP_OK &&
			  view->now_ms - n->ops[RG_STEP_TAKEOVER].ended_ms > 5000))
			continue;
		step = rg_decision_step(d, RG_STEP_TAKEOVER, i, -1, 0);
		if (step != NULL)
			step->key = 1;
	}
	if (!others && m->rule.term != 0 && strcmp(m->rule.watchdog, view->watchdog) == 0)
		m->takeover = false;
}

/* ---- who is counted ---- */

static bool
is_strict(const RgRule *rule)
{
	return strcmp(rule->durability, "strict") == 0;
}

static bool
streams(const RgView *view, const RgDecision *d, int node)
{
	return (view->nodes[d->leader].facts.streaming_from_us >> node & 1) != 0;
}

static bool
is_wanted(const RgWish *wish, const char *name)
{
	for (int i = 0; i < wish->nvoters; i++)
		if (strcmp(wish->voters[i], name) == 0)
			return true;
	return wish->nvoters == 0;
}

bool
rg_change_is_gone(const RgMemory *m, int node)
{
	return m->nodes[node].declared_lost || m->nodes[node].fenced_term != 0;
}

/* Its data is about to be replaced.  One that only waits for its turn, and streams, is as good as any. */
static bool
is_to_be_replaced(const RgView *view, const RgDecision *d, int node)
{
	const RgJob *job = rg_memory_job((RgMemory *) &d->memory, d->memory.nodes[node].name);

	return rg_memory_is_rebuilding(&d->memory, d->memory.nodes[node].name) &&
		(job->state != RG_JOB_QUEUED || job->due_ms != 0 || d->memory.nodes[node].strayed || !streams(view, d, node));
}

/* So many of its counted standbys stream. */
static int
count_streaming(const RgView *view, const RgDecision *d, const RgRule *rule)
{
	int			n = 0;

	for (int i = 0; i < rule->nvoters; i++)
	{
		int			k = rg_view_find(view, rule->voters[i]);

		n += k >= 0 && k != d->leader && (rule->left_out >> i & 1) == 0 && streams(view, d, k);
	}
	return n;
}

/* Why this voter is not to be counted; NULL = it is. */
static const char *
reason_to_leave_out(const RgView *view, const RgDecision *d, int node, char *buf)
{
	const RgMemory *m = &d->memory;
	const RgNodeMemory *mem = &m->nodes[node];
	int64_t		patience = rg_memory_lease_ms(m, view) > LEAVE_OUT_MS ? rg_memory_lease_ms(m, view) : LEAVE_OUT_MS;
	bool		is_sync = strcmp(m->rule.durability, "sync") == 0 || (RG_MUTANT(46) && is_strict(&m->rule));

	buf[0] = '\0';
	if (!is_wanted(&m->wish, mem->name) && rg_change_is_gone(m, node))
		rg_text(buf, RG_TEXT_MAX, "it is removed, and %s", mem->declared_lost ? "declared lost" : "fenced");
	else if (rg_rule_is_sync(&m->rule) && is_to_be_replaced(view, d, node))
		rg_text(buf, RG_TEXT_MAX, "it is being rebuilt");
	/* it may stream all the same: PostgreSQL looks at the numbers of timelines only */
	else if (rg_rule_is_sync(&m->rule) && mem->strayed)
		rg_text(buf, RG_TEXT_MAX, RG_STRAYED_TEXT);
	else if (is_sync && mem->apart_ms != 0 && view->now_ms - mem->apart_ms > patience)
		rg_text(buf, RG_TEXT_MAX, "it has not streamed from %s for %lld s", m->rule.leader,
				(long long) (view->now_ms - mem->apart_ms) / 1000);
	else if (is_sync && mem->moved_ms != 0 && view->now_ms - mem->moved_ms > patience)
		rg_text(buf, RG_TEXT_MAX, streams(view, d, node) ? "it has flushed nothing from %s for %lld s"
				: "it has not streamed from %s for %lld s", m->rule.leader, (long long) (view->now_ms - mem->moved_ms) / 1000);
	/* whom a failover has left behind need not be waited for where a commit would wait for it */
	else if (is_sync && m->rule.seq == 1 && m->failover.term == m->rule.term && !m->failover.planned &&
			 strcmp(m->failover.to, m->rule.leader) == 0 && !streams(view, d, node) &&
			 !rg_is_recruited(view, node, m->rule.term) && count_streaming(view, d, &m->rule) < m->rule.quorum)
		rg_text(buf, RG_TEXT_MAX, "the failover in term %lld was without it", (long long) m->rule.term);
	return buf[0] != '\0' ? buf : NULL;
}

/* So many have to flush a commit, as far as they are counted. */
static int
fit_quorum(const RgRule *rule, int wanted)
{
	RgSets		sets;
	int			counted;

	rg_rule_sets(rule, rule->leader, &sets);
	counted = rg_sets_size(sets.counted);
	if (is_strict(rule) && !RG_MUTANT(46))
		return wanted;
	return wanted < counted ? wanted : counted;
}

int
rg_change_wanted_quorum(const RgView *view, const RgMemory *m)
{
	/* more than there are standbys could never be met, whoever was removed since it was asked for */
	if (m->wish.quorum > 0)
		return m->wish.quorum < m->rule.nvoters || m->rule.nvoters < 2 ? m->wish.quorum : m->rule.nvoters - 1;
	/* a journal that was lost does not know how many there were before others were left out */
	if (m->rule.left_out != 0 && view->settings.quorum > m->rule.quorum)
		return view->settings.quorum;
	return m->rule.quorum;
}

/*
 * Strict counts everybody without whom there would be too few.  Whoever is removed is no
 * reason to wait; and what a strayed one flushes is no copy of a commit.
 */
static bool
may_leave_out(const RgView *view, const RgDecision *d, const RgRule *rule, int voter, bool is_useless)
{
	RgRule		without = *rule;

	if (!is_strict(rule) || is_useless || RG_MUTANT(46))
		return true;
	without.left_out |= UINT32_C(1) << voter;
	return count_streaming(view, d, &without) >= rule->quorum;
}

/* Leaves out who has to be; true if there is somebody new. */
static bool
leave_out(const RgView *view, RgDecision *d, RgRule *rule)
{
	RgMemory   *m = &d->memory;
	char		why[RG_TEXT_MAX];
	bool		changed = false;

	for (int i = 0; i < rule->nvoters; i++)
	{
		int			k = rg_view_find(view, rule->voters[i]);

		if (k < 0 || k == d->leader || (rule->left_out >> i & 1) != 0 ||
			reason_to_leave_out(view, d, k, why) == NULL ||
			!may_leave_out(view, d, rule, i, m->nodes[k].strayed || !is_wanted(&m->wish, rule->voters[i])))
			continue;
		rule->left_out |= UINT32_C(1) << i;
		m->nodes[k].left_out = true;
		m->nodes[k].out_term = rule->term;
		m->nodes[k].out_seq = rule->seq;
		m->nodes[k].out_wall_ms = 0;
		rg_text(m->nodes[k].out_reason, sizeof(m->nodes[k].out_reason), "%.115s", why);
		rg_text(rule->reason, sizeof(rule->reason), "%s is left out: %.80s", m->nodes[k].name, why);
		changed = true;
	}
	if (!changed)
		return false;
	if (m->wish.quorum == 0)
		m->wish.quorum = rg_change_wanted_quorum(view, m);
	if (rg_rule_is_sync(rule))
		rule->quorum = fit_quorum(rule, rule->quorum);
	return true;
}

/* It streams again: counted from the next rule on, a candidate when it shows that it has that.  Not who has strayed. */
static void
take_back(const RgView *view, const RgDecision *d, RgRule *rule)
{
	char		why[RG_TEXT_MAX];

	for (int i = 0; i < rule->nvoters; i++)
	{
		int			k = rg_view_find(view, rule->voters[i]);

		if (k >= 0 && k != d->leader && d->memory.nodes[k].strayed)
		{
			rule->left_out |= UINT32_C(1) << i;
			continue;
		}
		if ((rule->left_out >> i & 1) == 0 || k < 0 || !streams(view, d, k) ||
			reason_to_leave_out(view, d, k, why) != NULL)
			continue;
		rule->left_out &= ~(UINT32_C(1) << i);
		rg_text(rule->reason, sizeof(rule->reason), "%s is counted again", rule->voters[i]);
	}
}

/* Nobody has to be counted: only who is about to be removed stays left out. */
static void
forget_left_out(const RgView *view, const RgDecision *d, RgRule *rule)
{
	char		why[RG_TEXT_MAX];

	for (int i = 0; i < rule->nvoters; i++)
	{
		int			k = rg_view_find(view, rule->voters[i]);

		if (k < 0 || is_wanted(&d->memory.wish, rule->voters[i]) || reason_to_leave_out(view, d, k, why) == NULL)
			rule->left_out &= ~(UINT32_C(1) << i);
	}
}

/* ---- what people want ---- */

static void
apply_durability(const RgView *view, const RgDecision *d, RgRule *rule)
{
	const RgMemory *m = &d->memory;
	RgRule		before = *rule;
	int			quorum;

	if (m->wish.durability[0] != '\0')
		rg_text(rule->durability, sizeof(rule->durability), "%s", m->wish.durability);
	if (rg_rule_is_sync(rule))
		take_back(view, d, rule);
	else
		forget_left_out(view, d, rule);
	quorum = fit_quorum(rule, rg_change_wanted_quorum(view, m));
	/* more are asked for when so many are there, unless somebody has just asked for it */
	if (quorum > rule->quorum && rg_rule_is_sync(&before) && strcmp(rule->durability, "sync") == 0 &&
		count_streaming(view, d, rule) < quorum && rule->left_out == before.left_out)
		quorum = rule->quorum;
	rule->quorum = quorum;
	if (strcmp(before.durability, rule->durability) != 0)
		rg_text(rule->reason, sizeof(rule->reason), "durability %s, quorum %d", rule->durability, rule->quorum);
	else if (rule->quorum != before.quorum && rule->left_out == before.left_out)
		rg_text(rule->reason, sizeof(rule->reason), "quorum %d", rule->quorum);
}

static bool
has_same_voters(const RgRule *rule, const RgWish *wish)
{
	for (int i = 0; i < rule->nvoters; i++)
		if (!is_wanted(wish, rule->voters[i]))
			return false;
	return wish->nvoters == 0 || wish->nvoters == rule->nvoters;
}

/* New voters have to stream; of those that are removed nobody may be able to act by the rule before. */
static bool
may_change_voters(const RgView *view, const RgDecision *d, const RgRule *rule)
{
	const RgMemory *m = &d->memory;
	RgSets		sets;
	uint64_t	hear = 0;

	rg_rule_sets(rule, rule->leader, &sets);
	for (int i = 0; i < rule->nvoters; i++)
	{
		int			k = rg_view_find(view, rule->voters[i]);

		if (k >= 0 && streams(view, d, k))
			hear |= UINT64_C(1) << i;
		/* the leader counts it as one that has heard of it */
		if (!is_wanted(&m->wish, rule->voters[i]) && (rule->left_out >> i & 1) != 0)
		{
			if (k < 0 || !rg_change_is_gone(m, k))
				return false;
			hear |= UINT64_C(1) << i;
		}
	}
	for (int i = 0; i < m->wish.nvoters; i++)
	{
		int			k = rg_view_find(view, m->wish.voters[i]);

		if (!rg_rule_has_voter(rule, m->wish.voters[i]) && (k < 0 || !streams(view, d, k)))
			return false;
	}
	return rg_sets_give_lease(&sets, hear);
}

static void
apply_voters(const RgView *view, const RgDecision *d, RgRule *rule)
{
	const RgMemory *m = &d->memory;
	const RgRule before = *rule;

	if (has_same_voters(rule, &m->wish) || !may_change_voters(view, d, rule))
		return;
	rule->nvoters = m->wish.nvoters;
	rule->left_out = 0;
	memset(rule->voters, 0, sizeof(rule->voters));
	for (int i = 0; i < m->wish.nvoters; i++)
	{
		memcpy(rule->voters[i], m->wish.voters[i], sizeof(rule->voters[i]));
		if (rg_rule_leaves_out(&before, rule->voters[i]))
			rule->left_out |= UINT32_C(1) << i;
	}
	rule->quorum = fit_quorum(rule, rule->quorum);
	if (rule->quorum > rule->nvoters - 1)
		rule->quorum = rule->nvoters - 1;
	rg_text(rule->reason, sizeof(rule->reason), "%d voters instead of %d", rule->nvoters, before.nvoters);
}

static bool
has_same_sets(const RgRule *a, const RgRule *b)
{
	if (a->nvoters != b->nvoters || a->left_out != b->left_out || a->quorum != b->quorum ||
		strcmp(a->durability, b->durability) != 0)
		return false;
	for (int i = 0; i < a->nvoters; i++)
		if (strcmp(a->voters[i], b->voters[i]) != 0)
			return false;
	return true;
}

/* ---- the next rule ---- */

/* What is asked for next; false if all is as it should be, or has to wait. */
static bool
make_next(const RgView *view, RgDecision *d, RgRule *rule)
{
	RgMemory   *m = &d->memory;
	bool		is_new_lease;
	bool		is_new_watchdog = strcmp(m->rule.watchdog, view->watchdog) != 0;

	/* an open question comes first, whatever is wanted by now */
	if (m->asked.term == m->rule.term)
	{
		*rule = m->asked;
		return true;
	}
	*rule = m->rule;
	rule->seq++;
	if (view->settings.lease_ms > 0)
		rule->lease_ms = view->settings.lease_ms;
	is_new_lease = rule->lease_ms != m->rule.lease_ms;
	rg_text(rule->watchdog, sizeof(rule->watchdog), "%s", view->watchdog);
	rg_text(rule->reason, sizeof(rule->reason), "%s", is_new_watchdog ? "another watchdog" : "another lease");
	if (m->unsure && !is_new_watchdog)
		return false;
	if (!is_new_watchdog && leave_out(view, d, rule))
		return true;
	if (is_new_watchdog || is_new_lease)
		return true;
	/* async promises nothing that could be broken: it need not wait */
	if (!view->nodes[d->leader].facts.settled && strcmp(m->wish.durability, "async") != 0)
		return false;
	apply_durability(view, d, rule);
	if (has_same_sets(rule, &m->rule) && view->nodes[d->leader].facts.settled)
		apply_voters(view, d, rule);
	return !has_same_sets(rule, &m->rule);
}

/* Wishes that have come true are no wishes any more; how many are wanted stays, for those who come back. */
static void
fulfil(RgMemory *m, const RgRule *rule)
{
	if (strcmp(m->wish.durability, rule->durability) == 0)
		m->wish.durability[0] = '\0';
	/* who was to be removed has become the leader meanwhile */
	if (!is_wanted(&m->wish, rule->leader))
		m->wish.nvoters = 0;
	if (has_same_voters(rule, &m->wish))
		m->wish.nvoters = 0;
	if (m->wish.quorum == rule->quorum && rule->left_out == 0 && m->wish.durability[0] == '\0')
		m->wish.quorum = 0;
}

void
rg_change_plan_rule(const RgView *view, RgDecision *d)
{
	RgMemory   *m = &d->memory;
	const RgNodeView *n;
	RgRule		rule = m->asked.term == m->rule.term ? m->asked : m->rule;
	RgStep	   *step;

	if (d->leader < 0 || m->rule.term == 0 || !rg_view_is_primary(view, d->leader))
		return;
	n = &view->nodes[d->leader];
	if (rg_rules_compare(n->facts.rule.term, n->facts.rule.seq, m->rule.term, m->rule.seq) != 0 ||
		n->facts.gate == RG_GATEV_CLOSED)
		return;
	if (m->asked.term != m->rule.term)
	{
		fulfil(m, &m->rule);
		rule.seq++;
	}
	/* what is put into the memory is asked for in this very round */
	if (!rg_op_may_try(&n->ops[RG_STEP_WRITE_RULE], key_of(&rule), view->now_ms, MANY) ||
		d->nsteps == RG_STEPS_MAX || !make_next(view, d, &rule))
		return;
	step = rg_decision_step(d, RG_STEP_WRITE_RULE, d->leader, -1, rule.term);
	if (step == NULL)
		return;
	step->key = key_of(&rule);
	step->rule = rule;
	step->expect = n->facts.start;
	m->asked = rule;
	if (rule.lease_ms > m->lease_ms)
		m->lease_ms = rule.lease_ms;
}

bool
rg_change_may_rebuild(const RgView *view, const RgDecision *d, int node, int64_t since_ms)
{
	const RgMemory *m = &d->memory;
	int			voter = rg_rule_voter(&m->rule, m->nodes[node].name);

	if (!rg_rule_is_sync(&m->rule) || voter < 0 || d->leader < 0 ||
		(!rg_rule_leaves_out(&m->rule, m->nodes[node].name) && !may_leave_out(view, d, &m->rule, voter, false)))
		return true;
	if (!rg_rule_leaves_out(&m->rule, m->nodes[node].name))
		return false;
	/* perhaps nobody else can flush the rule before this one is back */
	return view->nodes[d->leader].facts.settled || view->now_ms - since_ms > SETTLE_MS;
}

/* ---- what people are told ---- */

static void
name_left_out(const RgRule *rule, char *buf, unsigned long size)
{
	unsigned long len = 0;

	buf[0] = '\0';
	for (int i = 0; i < rule->nvoters; i++)
	{
		if ((rule->left_out >> i & 1) == 0 || len + RG_CORE_NAME_MAX + 3 > size)
			continue;
		rg_text(buf + len, size - len, "%s%s", len > 0 ? ", " : "", rule->voters[i]);
		len = strlen(buf);
	}
	if (len == 0)
		rg_text(buf, size, "nobody");
}

void
rg_change_tell(const RgRule *before, RgDecision *d)
{
	const RgRule *rule = &d->memory.rule;
	char		out[100];
	char		was[100];

	if (before->term == 0 || before->term != rule->term || before->seq == rule->seq ||
		strcmp(before->leader, rule->leader) != 0)
		return;
	if (has_same_sets(before, rule))
	{
		rg_decision_note(d, RG_EVENT_RULE_CHANGED, d->leader, 0, false,
						 "rule %lld.%d: lease %lld ms (was %lld ms), watchdog %s%s", (long long) rule->term,
						 rule->seq, (long long) rule->lease_ms, (long long) before->lease_ms, rule->watchdog,
						 strcmp(rule->watchdog, before->watchdog) != 0 ? " (new)" : "");
		return;
	}
	name_left_out(rule, out, sizeof(out));
	name_left_out(before, was, sizeof(was));
	rg_decision_note(d, RG_EVENT_RULE_CHANGED, d->leader, 0, rule->left_out != 0 && rule->left_out != before->left_out,
					 "rule %lld.%d: durability %s, quorum %d (was %s, %d), %d voters (was %d), left out: %s (was %s)",
					 (long long) rule->term, rule->seq, rule->durability, rule->quorum, before->durability,
					 before->quorum, rule->nvoters, before->nvoters, out, was);
}
