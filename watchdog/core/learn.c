/*
 * learn.c
 *	  From what the nodes show to what is remembered.
 *
 * A failed poll erases nothing, and nothing is believed that no cluster can show:
 * terms far above all others (attack L8).
 */
#include "learn.h"

#include <string.h>

#include "choose.h"
#include "extension/mutant.h"
#include "lease.h"
#include "phase.h"
#include "trouble.h"

/* A term that no row of leaders can have led to is not believed (attack L8). */
static void
raise(int64_t *highest, int64_t term)
{
	if (term > *highest && rg_rules_term_is_plausible(term, *highest))
		*highest = term;
}

/* A new term lies above every term and every timeline: so a timeline's number names one term (F2). */
static void
learn_terms(const RgView *view, RgMemory *m)
{
	if (m->rule.term > m->highest_term)
		m->highest_term = m->rule.term;
	for (int i = 0; i < view->nnodes; i++)
	{
		const RgNodeView *n = &view->nodes[i];

		if (n->probe.valid)
			raise(&m->highest_term, n->probe.promised_term);
		if (!n->facts.valid)
			continue;
		raise(&m->highest_term, n->facts.promised_term);
		raise(&m->highest_term, n->facts.promoting_term);
		raise(&m->highest_term, n->facts.timeline);
		raise(&m->highest_term, n->promise.position.timeline);
	}
}

/* A rule with a longer lease lengthens what may be in force as soon as anybody shows it (F6). */
static void
learn_rules(const RgView *view, RgMemory *m)
{
	for (int i = 0; i < view->nnodes; i++)
	{
		const RgRule *rule = &view->nodes[i].facts.rule;
		int			order = rg_rules_compare(rule->term, rule->seq, m->rule.term, m->rule.seq);

		/* a new leader's first rule is made anew for each try, and only its row says by which one it was written */
		if (view->nodes[i].facts.valid && order == 0 && rule->left_out != m->rule.left_out)
			m->rule = *rule;
		if (!view->nodes[i].facts.valid || order <= 0)
			continue;
		if (m->lease_ms != 0 && rule->lease_ms > m->lease_ms)
			m->lease_ms = rule->lease_ms;
		/* a journal that was lost does not know either */
		m->sync_begun = rg_rule_is_sync(rule) && (m->sync_begun || !rg_rule_is_sync(&m->rule));
		m->rule = *rule;
	}
	/* it is there, or was never written: a leader writes nothing below its newest rule */
	if (rg_rules_compare(m->asked.term, m->asked.seq, m->rule.term, m->rule.seq) <= 0)
		memset(&m->asked, 0, sizeof(m->asked));
}

/*
 * Those who could be recruited alone once this leader is gone know that a count is asked
 * for; its own leader does.
 */
static bool
know_of_the_count(const RgView *view, const RgMemory *m)
{
	int			unknown = 0;

	for (int i = 0; i < m->rule.nvoters; i++)
	{
		int			k = rg_view_find(view, m->rule.voters[i]);
		const RgNodeView *n = k >= 0 ? &view->nodes[k] : NULL;

		unknown += strcmp(m->rule.voters[i], m->rule.leader) != 0 &&
			(n == NULL || ((!n->facts.valid || !rg_rule_is_sync(&n->facts.rule)) &&
						   (!n->promise.complete || !rg_rule_is_sync(&n->promise.rule))));
	}
	return unknown == 0 || unknown < rg_rules_recruit_size(m->rule.nvoters - 1);
}

/* Not while a rule is being written that was made by it. */
static void
learn_sync_begun(const RgView *view, RgMemory *m, bool is_in_force)
{
	if (m->sync_begun && m->phase != RG_PHASE_RULING && m->phase != RG_PHASE_UNDOING)
		m->sync_begun = rg_rule_is_sync(&m->rule) && !is_in_force && !know_of_the_count(view, m);
}

static bool
is_open_by_newest(const RgView *view, const RgMemory *m, int node)
{
	const RgFacts *f = &view->nodes[node].facts;

	return rg_view_is_primary(view, node) && view->nodes[node].facts_ms >= view->started_ms && f->gate == RG_GATEV_OPEN &&
		rg_rules_compare(f->rule.term, f->rule.seq, m->rule.term, m->rule.seq) == 0;
}

/* Whoever is open holds the newest rule of all, and it says who is left out; settled it is alone in force. */
static void
learn_sureness(const RgView *view, RgMemory *m, int leader)
{
	bool		is_newest = leader >= 0 && is_open_by_newest(view, m, leader);

	learn_sync_begun(view, m, is_newest && view->nodes[leader].facts.settled);
	if (is_newest)
		m->unsure = false;
	else if (view->maybe_restored || (m->rule.term != 0 && strcmp(m->rule.watchdog, view->watchdog) != 0))
		m->unsure = true;
}

/* It holds a newer rule than the one that leaves it out, and is counted there: so it has all before that, too. */
static bool
shows_its_return(const RgRule *shown, const RgNodeMemory *mem)
{
	return mem->out_term != 0 && rg_rules_compare(shown->term, shown->seq, mem->out_term, mem->out_seq) > 0 &&
		rg_rule_has_voter(shown, mem->name) && !rg_rule_leaves_out(shown, mem->name);
}

static void
learn_left_out(const RgNodeView *n, const RgRule *newest, RgNodeMemory *mem)
{
	if (rg_rule_leaves_out(newest, mem->name) && !mem->left_out)
	{
		mem->left_out = true;
		mem->out_term = newest->term;
		mem->out_seq = newest->seq;
		rg_text(mem->out_reason, sizeof(mem->out_reason), "by rule %lld.%d", (long long) newest->term, newest->seq);
	}
	/* a leader has what it has acknowledged */
	else if (mem->left_out && !rg_rule_leaves_out(newest, mem->name) &&
			 ((n->facts.valid && shows_its_return(&n->facts.rule, mem)) || strcmp(newest->leader, mem->name) == 0 ||
			  (n->promise.complete && shows_its_return(&n->promise.rule, mem)) || (RG_MUTANT(45) && mem->out_term != 0)))
	{
		mem->left_out = false;
		mem->out_term = mem->out_seq = 0;
		mem->out_reason[0] = '\0';
	}
}

static void
learn_node(const RgNodeView *n, const RgRule *newest, RgNodeMemory *mem)
{
	if (n->probe.valid && n->probe.disk_full)
		mem->starved = true;
	else if (n->sql == RG_SQL_OK)
		mem->starved = false;
	learn_left_out(n, newest, mem);
	if (!n->facts.valid)
		return;
	if (n->probe.valid && n->probe.postmaster == RG_PM_ALIVE &&
		n->probe.system_identifier == n->facts.system_identifier &&
		rg_start_equal(&n->probe.start, &n->facts.start))
		mem->shown = n->probe.start;
	mem->ungated = n->facts.gate == RG_GATEV_OFF || n->facts.gate == RG_GATEV_OVERRIDE;
	/* equal positions prove nothing any more */
	if (!n->facts.in_recovery && n->facts.lease_left_ms < 0 && n->facts.rule.term > 0 &&
		n->facts.rule.term < newest->term && strcmp(newest->leader, n->name) != 0 &&
		!rg_start_equal(&mem->admitted, &n->facts.start))
		mem->strayed = true;
	if (!rg_start_equal(&mem->met, &n->facts.start))
	{
		mem->met = n->facts.start;
		mem->met_ms = n->facts_ms;
	}
}

/*
 * A journal that may be an old one counts again when more than half of the voters
 * have answered: they obey this watchdog and know of no later start of it (F1).
 */
static void
learn_confirmed(const RgView *view, RgMemory *m)
{
	int			answered = 0;

	if (!view->maybe_restored)
		m->confirmed = true;
	if (m->confirmed || rg_view_outdated_by(view) >= 0)
		return;
	for (int i = 0; i < view->nnodes; i++)
		answered += rg_rule_has_voter(&m->rule, view->nodes[i].name) && rg_view_answers(view, i) &&
			view->nodes[i].facts_ms >= view->started_ms;
	m->confirmed = answered > m->rule.nvoters / 2 && m->rule.nvoters > 0;
}

void
rg_learn(const RgView *view, RgMemory *m)
{
	learn_rules(view, m);
	for (int i = 0; i < view->nnodes; i++)
	{
		rg_trouble_learn_node(view, m, i);
		learn_node(&view->nodes[i], &m->rule, &m->nodes[i]);
		m->nodes[i].strayed |= rg_choose_is_older(view, m, i);
	}
	learn_terms(view, m);
	if (!rg_phase_is_failover(m->phase))
		m->term = m->rule.term;
	learn_confirmed(view, m);
}

bool
rg_learn_all_tried(const RgView *view)
{
	for (int i = 0; i < view->nnodes; i++)
		if (rg_view_is_untried(view, i))
			return false;
	return true;
}

bool
rg_learn_knows_enough(const RgView *view, const RgMemory *m)
{
	int			standbys = 0;
	int			answering = 0;
	int			heard = 0;

	if (!view->maybe_restored &&
		(m->rule.watchdog[0] == '\0' || strcmp(m->rule.watchdog, view->watchdog) == 0))
		return true;
	for (int i = 0; i < m->rule.nvoters; i++)
	{
		int			k = rg_view_find(view, m->rule.voters[i]);

		if (strcmp(m->rule.voters[i], m->rule.leader) == 0)
			continue;
		standbys++;
		answering += k >= 0 && rg_view_answers(view, k);
		heard += k >= 0 && rg_view_is_standby(view, k) && view->nodes[k].facts.promised_term <= m->rule.term;
	}
	/* whoever was to lead after this rule needed recruits: one of them would be among these */
	return heard >= rg_rules_lease_quorum(standbys) || answering == standbys;
}

/* The most that a standby shows now; what a half promoted one has lies on a timeline of its own. */
static RgPosition
find_most_shown(const RgView *view, const RgMemory *m, int leader)
{
	RgPosition	most = {0};

	for (int i = 0; i < view->nnodes; i++)
	{
		const RgFacts *f = &view->nodes[i].facts;
		RgPosition	p = rg_choose_position(view, m, i);

		if (i != leader && f->valid && f->in_recovery &&
			!rg_rules_is_half_promoted(f->promoting_term, f->rule.term) && rg_rules_compare_position(&p, &most) > 0)
			most = p;
	}
	return most;
}

/*
 * What was shown more than a second before the leader's answer is more than the
 * leader holds.  Answers that cross each other on the way prove nothing: a standby
 * that was asked a moment later has received more.
 */
bool
rg_learn_is_surely_behind(const RgView *view, const RgMemory *m, int leader)
{
	RgPosition	has = rg_choose_position(view, m, leader);

	/* it has not come so far since */
	if (m->behind_ms != 0 && view->nodes[leader].facts_ms - m->behind_ms > 1000 &&
		rg_rules_compare_position(&m->behind_at, &has) > 0)
		return true;
	has = rg_choose_start_position(view, m, leader);
	/* where a server began does not change between two answers */
	return rg_rules_compare_position(&m->newest, &has) > 0 &&
		(view->nodes[leader].facts.start_lsn != 0 || view->nodes[leader].facts_ms - m->newest_ms > 1000);
}

bool
rg_learn_waits_for_a_word(const RgView *view, const RgMemory *m, int node)
{
	const RgFacts *f = &view->nodes[node].facts;

	return strcmp(m->rule.leader, view->nodes[node].name) == 0 && rg_view_is_primary(view, node) &&
		(!rg_start_equal(&m->nodes[node].admitted, &f->start) ||
		 (f->ahead[0] != '\0' && rg_choose_is_behind(view, m, node)) ||
		 (f->gate != RG_GATEV_OPEN && !rg_learn_knows_enough(view, m)));
}

bool
rg_learn_begins_anew(const RgView *view, const RgMemory *m, int node)
{
	return strcmp(m->accept_loss, view->nodes[node].name) == 0 && !RG_MUTANT(72) && rg_learn_waits_for_a_word(view, m, node);
}

/*
 * What a standby showed while the leader was still there is not all that it got: an
 * answer from after the leader's new start counts, of whoever answers.
 */
static bool
all_were_heard_since(const RgView *view, const RgMemory *m, int leader)
{
	for (int i = 0; i < view->nnodes; i++)
		if (i != leader && rg_view_answers(view, i) &&
			view->nodes[i].facts_ms < m->nodes[leader].met_ms)
			return false;
	return true;
}

/* A server start may have leases once nobody shows more than it holds (F10). */
static void
learn_admitted(const RgView *view, RgMemory *m, int leader)
{
	const RgFacts *f = &view->nodes[leader].facts;
	bool		is_admitted = rg_start_equal(&m->nodes[leader].admitted, &f->start);

	/* one that was just promoted need not have shown its rule; a start that was not admitted may hold an older one */
	if (rg_phase_is_failover(m->phase) || (is_admitted && (f->rule.term != m->rule.term || f->ahead[0] == '\0')))
	{
		m->behind_ms = 0;
		return;
	}
	if (RG_MUTANT(72) && strcmp(m->accept_loss, m->rule.leader) == 0)
	{
		m->nodes[leader].admitted = f->start;
		m->newest = rg_choose_position(view, m, leader);
		m->accept_loss[0] = '\0';
	}
	if (!rg_learn_all_tried(view))
		return;
	if (!rg_learn_knows_enough(view, m) || !all_were_heard_since(view, m, leader))
		return;
	if (!rg_choose_is_behind(view, m, leader))
	{
		m->nodes[leader].admitted = f->start;
		m->behind_ms = 0;
	}
	else if (is_admitted && !rg_learn_is_surely_behind(view, m, leader))
		m->behind_ms = 0;
	else if (m->behind_ms == 0)
	{
		m->behind_ms = view->now_ms;
		m->behind_at = find_most_shown(view, m, leader);
	}
}

/* Under the rule in force, as the leader shows it, no longer lease is in force any more. */
static void
learn_lease(const RgView *view, RgMemory *m, int leader)
{
	const RgNodeView *n = &view->nodes[leader];
	const RgOp *op = &n->ops[RG_STEP_WRITE_RULE];
	int64_t		wanted = view->settings.lease_ms > m->rule.lease_ms ? view->settings.lease_ms
		: m->rule.lease_ms;

	if (m->rule.lease_ms <= 0 || n->facts.rule.term != m->rule.term ||
		n->facts.rule.seq != m->rule.seq || n->facts.lease_left_ms > m->rule.lease_ms)
		return;
	/* a rule with another length may still be on its way */
	if (op->state == RG_OP_RUNNING ||
		(op->state == RG_OP_LOST && view->now_ms - op->ended_ms < m->lease_ms))
		return;
	m->lease_ms = wanted;
}

/*
 * The most that any node has shown: of the leader what is flushed, of a standby
 * what it has received.  At most one line of the journal per lease.
 */
static void
learn_newest(const RgView *view, RgMemory *m, int leader)
{
	RgPosition	newest = m->newest;
	bool		leads = leader >= 0 && rg_view_is_primary(view, leader);

	/* what a server writes, and others receive from it, before it has had a lease proves nothing (F10) */
	if (rg_phase_is_failover(m->phase) || leader < 0 || !view->nodes[leader].facts.valid ||
		view->nodes[leader].facts.lease_left_ms < 0)
		return;
	for (int i = 0; i < view->nnodes; i++)
	{
		const RgFacts *f = &view->nodes[i].facts;
		RgPosition	p = {f->rule.term, f->rule.seq, f->timeline, f->flush_lsn};

		if (!f->valid || rg_rules_is_half_promoted(f->promoting_term, f->rule.term) ||
			(!f->in_recovery && strcmp(m->rule.leader, view->nodes[i].name) != 0))
			continue;
		/* nor what came since the leader was lost: it may be of a start that we have not met yet */
		if (f->in_recovery && (leads || view->nodes[i].facts_ms - f->wal_age_ms > m->lost_ms))
			continue;
		if (f->in_recovery)
			p.lsn = rg_facts_held_lsn(f);
		if (rg_rules_compare_position(&p, &newest) > 0)
			newest = p;
	}
	if (rg_rules_compare_position(&newest, &m->newest) == 0 ||
		(leads && m->newest_ms != 0 && newest.rule_term == m->newest.rule_term &&
		 view->now_ms - m->newest_ms < rg_lease_longest_ms(view, m)))
		return;
	m->newest = newest;
	m->newest_ms = view->now_ms;
}

/* When a standby had flushed all there was, or more than before. */
static void
learn_moved(const RgFacts *leader, int node, int64_t now_ms, RgNodeMemory *mem)
{
	uint64_t	flushed = leader->flushed_from_us[node];

	if (flushed >= leader->flush_lsn || flushed > mem->moved_lsn || mem->moved_ms == 0)
		mem->moved_ms = now_ms;
	mem->moved_lsn = flushed;
}

/*
 * How far a standby is behind in time: it holds what the leader had at caught_ms.  The
 * leader's position is marked, and marked anew when the standby has come that far.
 */
static int64_t
lag_ms(const RgView *view, RgNodeMemory *mem, const RgPosition *held, int leader)
{
	const RgNodeView *n = &view->nodes[leader];
	bool		is_first = mem->mark_ms == 0;

	if (is_first || rg_rules_compare_position(held, &mem->mark) >= 0)
	{
		mem->caught_ms = mem->mark_ms;
		mem->mark = (RgPosition) {n->facts.rule.term, n->facts.rule.seq, n->facts.timeline, n->facts.flush_lsn};
		mem->mark_ms = n->facts_ms;
	}
	return n->facts_ms - (mem->caught_ms != 0 ? mem->caught_ms : mem->mark_ms);
}

/*
 * Which standbys were left behind: further than max_lag_time, or without one for longer
 * than a lease apart from the leader, while that went on (F15).
 */
static void
learn_stale(const RgView *view, RgMemory *m, int leader)
{
	uint32_t	streaming = view->nodes[leader].facts.streaming_from_us;
	int64_t		max_lag = view->settings.max_lag_ms;

	for (int i = 0; i < view->nnodes; i++)
	{
		RgNodeMemory *mem = &m->nodes[i];
		RgPosition	p = rg_choose_position(view, m, i);
		bool		lacks = p.rule_term == 0 || rg_rules_compare_position(&p, &m->newest) < 0;
		int64_t		lag = lag_ms(view, mem, &p, leader);

		if (i == leader)
			mem->stale = false;
		if (i == leader || (streaming >> i & 1) != 0)
			mem->apart_ms = 0;
		else if (mem->apart_ms == 0)
			mem->apart_ms = view->now_ms;
		learn_moved(&view->nodes[leader].facts, i, view->now_ms, mem);
		if (!lacks || (max_lag > 0 && lag <= max_lag && mem->caught_ms != 0))
			mem->stale = false;
		else if (max_lag > 0 ? lag > max_lag
				 : mem->apart_ms != 0 && view->now_ms - mem->apart_ms > rg_lease_longest_ms(view, m))
			mem->stale = true;
	}
}

/* An answer that says "closed" although it came after a grant that was still in force then. */
static void
learn_gate(const RgView *view, RgMemory *m, int leader)
{
	int64_t		term;
	int64_t		until_ms;

	if (view->nodes[leader].facts.gate != RG_GATEV_CLOSED ||
		!rg_lease_grant(view, m, leader, &term, &until_ms))
		m->closed_ms = 0;
	else if (m->closed_ms == 0)
		m->closed_ms = view->now_ms;
}

/* It says, or said in this loss, that somebody stops it; it answers again: that is over. */
static void
learn_purpose(const RgView *view, RgMemory *m, int leader)
{
	const RgNodeView *n = &view->nodes[leader];

	if (rg_view_answers(view, leader))
		m->nodes[leader].purpose_ms = 0;
	else if (m->nodes[leader].purpose_ms == 0 && n->purpose_ms != 0 && m->lost_ms != 0 &&
			 n->purpose_ms >= m->lost_ms - 2000)
		m->nodes[leader].purpose_ms = n->purpose_ms;
}

void
rg_learn_leader(const RgView *view, RgMemory *m, int leader)
{
	learn_sureness(view, m, leader);
	learn_newest(view, m, leader);
	rg_trouble_learn_disk(view, m, leader);
	if (leader >= 0)
		learn_purpose(view, m, leader);
	if (leader < 0 || !rg_view_is_primary(view, leader))
	{
		m->behind_ms = m->closed_ms = 0;
		return;
	}
	learn_admitted(view, m, leader);
	learn_lease(view, m, leader);
	learn_gate(view, m, leader);
	if (!rg_phase_is_failover(m->phase))
		learn_stale(view, m, leader);
}
