/*
 * diagnose.c
 *	  The evidence table: from a view to one named diagnosis.
 *
 * Read it top down: what the server itself says comes first, then what the
 * helper on its host says, then what the standbys say, last what silence says.
 * Whoever answers, with whatever error, is alive.
 */
#include "diagnose.h"

#include <stdio.h>
#include <string.h>

#include "choose.h"

/* A probe older than this says nothing about now. */
#define PROBE_AGE_MAX_MS 5000

/* A helper that has not answered for so long after the loss does not answer. */
#define HELPER_WAIT_MS 5000

static const RgVerdict verdicts[RG_DIAG_COUNT] = {
	[RG_DIAG_UNKNOWN] = RG_VERDICT_LOOK,
	[RG_DIAG_UNINITIALISED] = RG_VERDICT_ALARM,
	[RG_DIAG_HEALTHY] = RG_VERDICT_WELL,
	[RG_DIAG_SUSPECT] = RG_VERDICT_LOOK,
	[RG_DIAG_CRASHED] = RG_VERDICT_FAILOVER,
	[RG_DIAG_STOPPED] = RG_VERDICT_WAIT,
	[RG_DIAG_RECOVERING] = RG_VERDICT_WAIT,
	[RG_DIAG_OVERDUE] = RG_VERDICT_FAILOVER,
	[RG_DIAG_SATURATED] = RG_VERDICT_ALARM,
	[RG_DIAG_LOGIN_REFUSED] = RG_VERDICT_ALARM,
	[RG_DIAG_HUNG] = RG_VERDICT_FAILOVER,
	[RG_DIAG_CUT_OFF] = RG_VERDICT_ALARM,
	[RG_DIAG_HOST_LOST] = RG_VERDICT_FAILOVER,
	[RG_DIAG_ISOLATED] = RG_VERDICT_ALARM,
	[RG_DIAG_UNPROVEN] = RG_VERDICT_ALARM,
	[RG_DIAG_DEMOTED] = RG_VERDICT_WAIT,
	[RG_DIAG_WRONG_SERVER] = RG_VERDICT_ALARM,
	[RG_DIAG_BEHIND] = RG_VERDICT_FAILOVER,
	[RG_DIAG_NOT_OBEYED] = RG_VERDICT_ALARM,
};

RgVerdict
rg_diagnosis_verdict(RgDiagnosis d)
{
	return d < RG_DIAG_COUNT ? verdicts[d] : RG_VERDICT_LOOK;
}

/* Waited for longer than the budget: as crashed. */
static RgDiagnosis
within_budget(const RgView *view, const RgMemory *memory, RgDiagnosis d)
{
	if (memory->lost_ms != 0 &&
		view->now_ms - memory->lost_ms > view->settings.restart_budget_ms)
		return RG_DIAG_OVERDUE;
	return d;
}

/* When a standby last received WAL, in our clock: the leader writes some all the time while nobody speaks to it. */
static int64_t
received_wal_ms(const RgView *view, int node)
{
	const RgNodeView *n = &view->nodes[node];

	return n->facts.wal_age_ms < 0 ? rg_view_received_ms(view, node) : n->facts_ms - n->facts.wal_age_ms;
}

/*
 * One of the leader's last standbys still streams, heard after our loss, and has
 * received WAL since: its server works, whatever we meet on its port.
 */
static int
find_streaming(const RgView *view, const RgMemory *memory, int leader)
{
	const RgFacts *f = &view->nodes[leader].facts;
	int64_t		since = (memory->lost_ms != 0 ? memory->lost_ms : view->now_ms) +
		2 * view->settings.heartbeat_interval_ms;

	for (int i = 0; i < view->nnodes; i++)
		if (i != leader && rg_view_is_standby(view, i) && view->nodes[i].facts.receiver_streaming &&
			view->nodes[i].facts_ms > since && received_wal_ms(view, i) > since &&
			(!f->valid || (f->streaming_from_us >> i & 1) != 0))
			return i;
	return -1;
}

/* The words come a moment before or after the session is lost; they are remembered for this loss. */
static bool
says_it_stops(const RgView *view, const RgMemory *memory, int leader)
{
	const RgNodeView *n = &view->nodes[leader];
	int64_t		since = memory->lost_ms != 0 ? memory->lost_ms : view->now_ms;

	return memory->nodes[leader].purpose_ms != 0 ||
		(n->purpose_ms != 0 && n->purpose_ms >= since - 2000);
}

static int64_t
lease_of(const RgView *view, const RgMemory *memory)
{
	return memory->rule.lease_ms > 0 ? memory->rule.lease_ms : view->settings.lease_ms;
}

/* When a standby that answers last received something from the leader; 0 = no such standby, never. */
static int64_t
last_received_ms(const RgView *view, int leader, int *ret_node)
{
	int64_t		newest = 0;

	*ret_node = -1;
	for (int i = 0; i < view->nnodes; i++)
		if (i != leader && rg_view_answers(view, i) && rg_view_received_ms(view, i) > newest)
		{
			newest = rg_view_received_ms(view, i);
			*ret_node = i;
		}
	return newest;
}

/* So long nobody has heard the leader: neither we nor a standby that answers; -1: no standby answers. */
static int64_t
silence_ms(const RgView *view, int leader)
{
	const RgNodeView *n = &view->nodes[leader];
	int			node;
	int64_t		heard = last_received_ms(view, leader, &node);
	bool		anybody = false;

	for (int i = 0; i < view->nnodes; i++)
		anybody = anybody || (i != leader && rg_view_is_standby(view, i));
	if (n->facts_ms > heard)
		heard = n->facts_ms;
	if (view->started_ms > heard)
		heard = view->started_ms;
	return anybody ? view->now_ms - heard : -1;
}

/*
 * Not proven by its host.  But nobody listens there for longer than a restart may
 * take, and no standby hears it: its standbys can end its lease.
 */
static RgDiagnosis
unproven(const RgView *view, const RgMemory *memory, int leader)
{
	return silence_ms(view, leader) > lease_of(view, memory) / 2
		? within_budget(view, memory, RG_DIAG_UNPROVEN) : RG_DIAG_UNPROVEN;
}

static bool
was_promoted_since(const RgMemory *memory, const RgNodeView *n)
{
	return strcmp(memory->failover.to, n->name) == 0 &&
		memory->failover.term == memory->rule.term &&
		n->facts_ms <= memory->failover.times.promoted_ms;
}

/* Is the helper's answer about the server that we knew (attack F14)? */
static bool
was_shown(const RgView *view, const RgMemory *memory, int leader)
{
	const RgNodeView *n = &view->nodes[leader];
	const RgServerStart *shown = &memory->nodes[leader].shown;

	if (shown->pid == 0 || n->probe.system_identifier == 0)
		return false;
	/* all nodes of a cluster have one system identifier */
	for (int i = 0; i < view->nnodes; i++)
		if (view->nodes[i].facts.valid &&
			view->nodes[i].facts.system_identifier != n->probe.system_identifier)
			return false;
	/* facts of a start that the helper never saw: it may look at another host */
	if (n->facts.valid && !rg_start_equal(shown, &n->facts.start))
		return false;
	return true;
}

/* It has been so for more than a moment: two nodes' answers are of two moments. */
static bool
is_behind(const RgView *view, const RgMemory *memory, int leader, char *text, unsigned long size)
{
	int64_t		wait = 3 * view->settings.heartbeat_interval_ms;
	RgPosition	has = rg_choose_position(view, memory, leader);
	RgPosition	most = memory->newest;
	const char *who = "somebody";

	if (memory->behind_ms == 0 || view->now_ms - memory->behind_ms < wait)
		return false;
	for (int i = 0; i < view->nnodes; i++)
	{
		RgPosition	p = rg_choose_position(view, memory, i);

		if (i != leader && rg_view_is_standby(view, i) && rg_rules_compare_position(&p, &most) >= 0)
		{
			most = p;
			who = view->nodes[i].name;
		}
	}
	rg_text(text, size, "%s has been started with WAL up to %X/%X, timeline %u, but %s has shown %X/%X, timeline %u: it was restored from an older copy",
			view->nodes[leader].name, (unsigned) (has.lsn >> 32), (unsigned) (has.lsn & 0xFFFFFFFF),
			has.timeline, who, (unsigned) (most.lsn >> 32), (unsigned) (most.lsn & 0xFFFFFFFF), most.timeline);
	return true;
}

/* The server itself answered, with facts or with an error: it is alive. */
static bool
diagnose_by_answer(const RgView *view, const RgMemory *memory, int leader, RgDiagnosis *ret,
				   char *text, unsigned long size)
{
	const RgNodeView *n = &view->nodes[leader];

	switch (n->sql)
	{
		case RG_SQL_OK:
			if (!rg_view_answers(view, leader))
				return false;
			if (n->fresh == RG_SQL_SILENT &&
				view->now_ms - n->fresh_since_ms > view->settings.hang_budget_ms)
			{
				/* its old sessions work: only the helper can tell it from a network that drops what is new */
				bool		is_frozen = n->ssh == RG_SSHV_READY && n->probe.postmaster == RG_PM_FROZEN &&
					n->probe_ms >= n->fresh_since_ms && was_shown(view, memory, leader);

				rg_text(text, size, "%s takes no new connection for %lld ms; old sessions still answer; %s",
						n->name, (long long) (view->now_ms - n->fresh_since_ms),
						is_frozen ? "its postmaster is frozen" : "its helper does not show a frozen postmaster");
				*ret = is_frozen ? RG_DIAG_HUNG : RG_DIAG_UNPROVEN;
				return true;
			}
			if (is_behind(view, memory, leader, text, size))
			{
				*ret = RG_DIAG_BEHIND;
				return true;
			}
			/* a heartbeat from before its promotion does not say that it is in recovery */
			if (!n->facts.in_recovery || was_promoted_since(memory, n))
			{
				rg_text(text, size, "%s answers and is not in recovery", n->name);
				*ret = RG_DIAG_HEALTHY;
				return true;
			}
			rg_text(text, size, "%s leads by rule %lld, but its server is in recovery",
					n->name, (long long) memory->rule.term);
			*ret = within_budget(view, memory, RG_DIAG_DEMOTED);
			return true;
		case RG_SQL_SATURATED:
			rg_text(text, size, "%s answers SQLSTATE %s: %s", n->name, n->sqlstate, n->sql_text);
			*ret = RG_DIAG_SATURATED;
			return true;
		case RG_SQL_OTHER_WATCHDOG:
		case RG_SQL_LOWER_COUNTER:
			rg_text(text, size, "%s does not obey this watchdog: %.150s", n->name, n->sql_text);
			*ret = RG_DIAG_NOT_OBEYED;
			return true;
		case RG_SQL_LOGIN:
		case RG_SQL_NO_EXTENSION:
		case RG_SQL_ERROR:
			rg_text(text, size, "%s answers %s%s%s", n->name, n->sqlstate,
					n->sqlstate[0] ? ": " : "", n->sql_text);
			*ret = RG_DIAG_LOGIN_REFUSED;
			return true;
		case RG_SQL_WRONG_SERVER:
			rg_text(text, size, "%s: %s", n->name, n->sql_text);
			*ret = RG_DIAG_WRONG_SERVER;
			return true;
		case RG_SQL_STARTING:
			if (says_it_stops(view, memory, leader))
			{
				rg_text(text, size, "%s says that it is shutting down", n->name);
				*ret = within_budget(view, memory, RG_DIAG_STOPPED);
				return true;
			}
			rg_text(text, size, "%s is starting up%s%s", n->name,
					n->probe.valid && n->probe.recovery[0] ? ": " : "",
					n->probe.valid ? n->probe.recovery : "");
			*ret = within_budget(view, memory, RG_DIAG_RECOVERING);
			return true;
		case RG_SQL_UNKNOWN:
		case RG_SQL_CLOSED:
		case RG_SQL_REFUSED:
		case RG_SQL_SILENT:
		case RG_SQL_UNREACHABLE:
			return false;
	}
	return false;
}

/* No postmaster: crashed, or stopped by somebody? */
static RgDiagnosis
diagnose_absent(const RgView *view, const RgMemory *memory, int leader, char *text,
				unsigned long size)
{
	const RgNodeView *n = &view->nodes[leader];

	if (!was_shown(view, memory, leader))
	{
		rg_text(text, size,
				"the helper on %s sees no postmaster, but has never shown the one that answered us",
				n->name);
		return unproven(view, memory, leader);
	}
	if (n->probe.clean)
	{
		rg_text(text, size, "%s has no postmaster and its control file says \"%s\"", n->name,
				n->probe.state);
		return within_budget(view, memory, RG_DIAG_STOPPED);
	}
	/* an immediate stop removes postmaster.pid and says goodbye; a killed one does neither */
	if (!n->probe.pidfile && says_it_stops(view, memory, leader))
	{
		rg_text(text, size, "%s said that it was stopped, and removed its postmaster.pid", n->name);
		return within_budget(view, memory, RG_DIAG_STOPPED);
	}
	rg_text(text, size, "%s has no postmaster and its control file says \"%s\"", n->name,
			n->probe.state);
	return RG_DIAG_CRASHED;
}

/* The helper answered after the leader was lost. */
static RgDiagnosis
diagnose_by_probe(const RgView *view, const RgMemory *memory, int leader, char *text,
				  unsigned long size)
{
	const RgNodeView *n = &view->nodes[leader];
	int64_t		since = memory->lost_ms != 0 ? memory->lost_ms : view->now_ms;
	int			streaming;

	switch (n->probe.postmaster)
	{
		case RG_PM_ABSENT:
			return diagnose_absent(view, memory, leader, text, size);
		case RG_PM_FROZEN:
		case RG_PM_ALIVE:
			if (n->probe.postmaster == RG_PM_ALIVE && says_it_stops(view, memory, leader))
			{
				rg_text(text, size, "%s is shutting down", n->name);
				return within_budget(view, memory, RG_DIAG_STOPPED);
			}
			streaming = n->probe.postmaster == RG_PM_ALIVE ? find_streaming(view, memory, leader) : -1;
			if (streaming >= 0)
			{
				rg_text(text, size, "%s %s, but its postmaster is there and %s receives WAL from it", n->name,
						n->sql == RG_SQL_REFUSED ? "refuses us" : "does not answer us",
						view->nodes[streaming].name);
				return RG_DIAG_CUT_OFF;
			}
			if (n->probe.postmaster == RG_PM_ALIVE &&
				(n->sql == RG_SQL_REFUSED || n->probe.in_recovery))
			{
				rg_text(text, size, "%s is starting up: control file \"%s\"%s%s", n->name,
						n->probe.state, n->probe.recovery[0] ? ", " : "", n->probe.recovery);
				return within_budget(view, memory, RG_DIAG_RECOVERING);
			}
			rg_text(text, size, "%s: its postmaster is %s for %lld ms, SSH answers", n->name,
					n->probe.postmaster == RG_PM_FROZEN ? "frozen" : "not answering",
					(long long) (view->now_ms - since));
			return view->now_ms - since > view->settings.hang_budget_ms ? RG_DIAG_HUNG
				: RG_DIAG_SUSPECT;
		case RG_PM_UNKNOWN:
			break;
	}
	rg_text(text, size, "the helper on %s could not tell whether its server runs", n->name);
	return unproven(view, memory, leader);
}

/* Neither server nor helper answer: what do the others see? */
static RgDiagnosis
diagnose_by_standbys(const RgView *view, const RgMemory *memory, int leader, char *text,
					 unsigned long size)
{
	const RgNodeView *n = &view->nodes[leader];
	int64_t		half = lease_of(view, memory) / 2;
	int64_t		silence = silence_ms(view, leader);
	int			node;
	int64_t		received = last_received_ms(view, leader, &node);
	int64_t		answered = n->facts_ms > view->started_ms ? n->facts_ms : view->started_ms;

	if (silence < 0)
	{
		rg_text(text, size, "neither %s nor any other node answers", n->name);
		return RG_DIAG_ISOLATED;
	}
	if (node >= 0 && received > answered + 2 * view->settings.heartbeat_interval_ms &&
		view->now_ms - received <= half)
	{
		rg_text(text, size, "%s received from %s %lld ms ago, after our last answered heartbeat",
				view->nodes[node].name, n->name, (long long) (view->now_ms - received));
		return RG_DIAG_CUT_OFF;
	}
	if (silence > half)
	{
		rg_text(text, size, "%s and its SSH are silent; no standby received anything for %lld ms",
				n->name, (long long) silence);
		return RG_DIAG_HOST_LOST;
	}
	rg_text(text, size, "%s and its SSH are silent for %lld ms", n->name, (long long) silence);
	return RG_DIAG_SUSPECT;
}

/*
 * The session to the helper looks open, but what was asked since the loss is not
 * answered: a host that is cut off or frozen looks so.
 */
static bool
helper_is_silent(const RgView *view, const RgMemory *memory, const RgNodeView *n, int64_t since)
{
	const RgOp *op = &n->ops[RG_STEP_PROBE];

	if (n->ssh != RG_SSHV_READY || op->began_ms < since)
		return false;
	if (op->state == RG_OP_LOST)
		return true;
	return op->state == RG_OP_RUNNING && view->now_ms - op->began_ms >= lease_of(view, memory) / 4;
}

/* No leader in sight: why not? */
static RgDiagnosis
diagnose_nobody(const RgView *view, const RgMemory *memory, char *text, unsigned long size)
{
	bool		all = view->nnodes > 0;
	int			other = -1;

	for (int i = 0; i < view->nnodes; i++)
	{
		all = all && rg_view_answers(view, i);
		if (view->nodes[i].sql == RG_SQL_OTHER_WATCHDOG)
			other = i;
	}
	if (memory->rule.term == 0 && other >= 0)
	{
		rg_text(text, size, "%s obeys another watchdog: stop this one, or the other one and run regent takeover",
				view->nodes[other].name);
		return RG_DIAG_NOT_OBEYED;
	}
	if (memory->rule.term != 0)
		rg_text(text, size, "rule %lld names %s, which is not in the configuration",
				(long long) memory->rule.term, memory->rule.leader);
	else
		rg_text(text, size, all ? "all nodes answer and none holds a rule"
				: "no rule has been seen, and not all nodes answer");
	return all && memory->rule.term == 0 ? RG_DIAG_UNINITIALISED : RG_DIAG_UNKNOWN;
}

/* An answer from after the loss, and not from long ago: a dead server may have been started since. */
static bool
probe_counts(const RgView *view, const RgNodeView *n, int64_t since)
{
	return n->probe.valid && n->ssh == RG_SSHV_READY && n->probe_ms >= since &&
		view->now_ms - n->probe_ms <= PROBE_AGE_MAX_MS;
}

RgDiagnosis
rg_diagnose(const RgView *view, const RgMemory *memory, int leader, char *ret_evidence,
			unsigned long size)
{
	const RgNodeView *n;
	RgDiagnosis d = RG_DIAG_UNKNOWN;
	int64_t		since = memory->lost_ms != 0 ? memory->lost_ms : view->now_ms;
	bool		silent;

	for (int i = 0; i < view->nnodes; i++)
		if (view->nodes[i].sql == RG_SQL_LOWER_COUNTER)
		{
			rg_text(ret_evidence, size, "%s has seen a later start of this watchdog: this journal is old, or copied; stop this regentd, or see regent takeover",
					view->nodes[i].name);
			return RG_DIAG_NOT_OBEYED;
		}
	if (leader < 0)
		return diagnose_nobody(view, memory, ret_evidence, size);
	n = &view->nodes[leader];
	if (diagnose_by_answer(view, memory, leader, &d, ret_evidence, size))
		return d;
	if (rg_view_is_untried(view, leader))
	{
		rg_text(ret_evidence, size, "%s has not been asked yet", n->name);
		return RG_DIAG_UNKNOWN;
	}
	/* do not wait for the helper to say it, too: the fence that follows has to find it so anyway */
	if (rg_view_says_it_died(view, leader) && !probe_counts(view, n, since) &&
		n->ssh == RG_SSHV_READY && n->facts.valid &&
		rg_start_equal(&memory->nodes[leader].shown, &n->facts.start))
	{
		rg_text(ret_evidence, size, "a session of %s said that its postmaster is gone, and nobody listens on its port",
				n->name);
		return RG_DIAG_CRASHED;
	}
	if (probe_counts(view, n, since))
		return diagnose_by_probe(view, memory, leader, ret_evidence, size);
	silent = helper_is_silent(view, memory, n, since);
	if ((n->ssh == RG_SSHV_READY && !(silent && n->sql != RG_SQL_REFUSED) &&
		 view->now_ms - since <= HELPER_WAIT_MS) ||
		(n->ssh == RG_SSHV_UNKNOWN && view->now_ms - since < 2000))
	{
		rg_text(ret_evidence, size, "%s does not answer; asking the helper on its host", n->name);
		return RG_DIAG_SUSPECT;
	}
	if (n->ssh == RG_SSHV_READY && !(silent && n->sql != RG_SQL_REFUSED))
	{
		rg_text(ret_evidence, size, "%s does not answer, and nothing new from the helper on its host: %s",
				n->name, n->ops[RG_STEP_PROBE].text[0] ? n->ops[RG_STEP_PROBE].text : "no answer");
		return unproven(view, memory, leader);
	}
	if (n->sql == RG_SQL_REFUSED)
	{
		rg_text(ret_evidence, size, "nobody listens on %s, and SSH can't tell why: %s", n->name,
				n->ssh_text[0] ? n->ssh_text : "no session");
		return says_it_stops(view, memory, leader) ? within_budget(view, memory, RG_DIAG_STOPPED)
			: unproven(view, memory, leader);
	}
	d = diagnose_by_standbys(view, memory, leader, ret_evidence, size);
	/* sshd answers, though it does not let us in: the host is there */
	if (d == RG_DIAG_HOST_LOST && n->ssh == RG_SSHV_BROKEN && n->sql != RG_SQL_UNREACHABLE)
		return unproven(view, memory, leader);
	return d;
}
