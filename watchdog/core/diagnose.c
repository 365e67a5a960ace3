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
#include "evidence.h"
#include "learn.h"
#include "lease.h"
#include "trouble.h"

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
	[RG_DIAG_DISK_FULL] = RG_VERDICT_TROUBLED,
	[RG_DIAG_DISK_FAILING] = RG_VERDICT_TROUBLED,
	[RG_DIAG_DISK_HUNG] = RG_VERDICT_TROUBLED,
	[RG_DIAG_CRASH_LOOP] = RG_VERDICT_TROUBLED,
	[RG_DIAG_CRASHED_AGAIN] = RG_VERDICT_FAILOVER,
};

RgVerdict
rg_diagnosis_verdict(RgDiagnosis d)
{
	return d < RG_DIAG_COUNT ? verdicts[d] : RG_VERDICT_LOOK;
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

/*
 * It has been so for more than a moment: two nodes' answers are of two moments.  A
 * closed server's standby that shows more for two leases is no crossing either.
 */
static bool
is_behind(const RgView *view, const RgMemory *memory, int leader, char *text, unsigned long size)
{
	int64_t		wait = rg_learn_is_surely_behind(view, memory, leader)
		? 3 * view->settings.heartbeat_interval_ms : 2 * rg_lease_longest_ms(view, memory);
	RgPosition	has = rg_choose_start_position(view, memory, leader);
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

/* The text says that it is starting up: it is waited for, unless it does nothing else. */
static RgDiagnosis
diagnose_start(const RgView *view, const RgMemory *memory, int leader, char *text, unsigned long size)
{
	unsigned long len = strlen(text);

	if (!rg_trouble_ends_waiting(view, memory, leader))
		return rg_evidence_within_budget(view, memory, RG_DIAG_RECOVERING);
	rg_text(text + len, size - len, ", after %d crashes within %lld s", rg_trouble_crashes(view, memory, leader),
			(long long) view->settings.crash_window_ms / 1000);
	return RG_DIAG_CRASHED_AGAIN;
}

/* It answers over an open session. */
static RgDiagnosis
diagnose_by_facts(const RgView *view, const RgMemory *memory, int leader, char *text, unsigned long size)
{
	const RgNodeView *n = &view->nodes[leader];

	if (n->fresh == RG_SQL_SILENT && view->now_ms - n->fresh_since_ms > view->settings.hang_budget_ms)
	{
		/* its old sessions work: only the helper can tell it from a network that drops what is new */
		bool		is_frozen = n->ssh == RG_SSHV_READY && n->probe.postmaster == RG_PM_FROZEN &&
			n->probe_ms >= n->fresh_since_ms && was_shown(view, memory, leader);

		rg_text(text, size, "%s takes no new connection for %lld ms; old sessions still answer; %s",
				n->name, (long long) (view->now_ms - n->fresh_since_ms),
				is_frozen ? "its postmaster is frozen" : "its helper does not show a frozen postmaster");
		return is_frozen ? RG_DIAG_HUNG : RG_DIAG_UNPROVEN;
	}
	if (is_behind(view, memory, leader, text, size))
		return RG_DIAG_BEHIND;
	/* a heartbeat from before its promotion does not say that it is in recovery */
	if (!n->facts.in_recovery || was_promoted_since(memory, n))
		return rg_trouble_diagnose(view, memory, leader, text, size);
	rg_text(text, size, "%s leads by rule %lld, but its server is in recovery", n->name,
			(long long) memory->rule.term);
	return rg_evidence_within_budget(view, memory, RG_DIAG_DEMOTED);
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
			*ret = diagnose_by_facts(view, memory, leader, text, size);
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
			if (rg_evidence_of_purpose(view, memory, leader))
			{
				rg_text(text, size, "%s says that it is shutting down", n->name);
				*ret = rg_evidence_within_budget(view, memory, RG_DIAG_STOPPED);
				return true;
			}
			rg_text(text, size, "%s is starting up%s%s", n->name,
					n->probe.valid && n->probe.recovery[0] ? ": " : "",
					n->probe.valid ? n->probe.recovery : "");
			*ret = diagnose_start(view, memory, leader, text, size);
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
		return rg_evidence_unproven(view, memory, leader);
	}
	if (n->probe.clean)
	{
		rg_text(text, size, "%s has no postmaster and its control file says \"%s\"", n->name,
				n->probe.state);
		return rg_evidence_within_budget(view, memory, RG_DIAG_STOPPED);
	}
	/* an immediate stop removes postmaster.pid and says goodbye; a killed one does neither */
	if (!n->probe.pidfile && rg_evidence_of_purpose(view, memory, leader))
	{
		rg_text(text, size, "%s said that it was stopped, and removed its postmaster.pid", n->name);
		return rg_evidence_within_budget(view, memory, RG_DIAG_STOPPED);
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
			if (n->probe.postmaster == RG_PM_ALIVE && rg_evidence_of_purpose(view, memory, leader))
			{
				rg_text(text, size, "%s is shutting down", n->name);
				return rg_evidence_within_budget(view, memory, RG_DIAG_STOPPED);
			}
			streaming = n->probe.postmaster == RG_PM_ALIVE ? rg_evidence_streaming(view, memory, leader) : -1;
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
				return diagnose_start(view, memory, leader, text, size);
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
	return rg_evidence_unproven(view, memory, leader);
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
	int			witness = rg_view_outdated_by(view);
	bool		silent;

	if (witness >= 0)
	{
		rg_text(ret_evidence, size, "%s has seen a later start of this watchdog: this journal is old, or copied; stop this regentd, or see regent takeover",
				view->nodes[witness].name);
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
	silent = rg_evidence_helper_is_silent(view, memory, leader);
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
		return rg_evidence_unproven(view, memory, leader);
	}
	if (n->sql == RG_SQL_REFUSED)
	{
		rg_text(ret_evidence, size, "nobody listens on %s, and SSH can't tell why: %s", n->name,
				n->ssh_text[0] ? n->ssh_text : "no session");
		return rg_evidence_of_purpose(view, memory, leader) ? rg_evidence_within_budget(view, memory, RG_DIAG_STOPPED)
			: rg_evidence_unproven(view, memory, leader);
	}
	d = rg_evidence_of_standbys(view, memory, leader, ret_evidence, size);
	/* sshd answers, though it does not let us in: the host is there */
	if (d == RG_DIAG_HOST_LOST && n->ssh == RG_SSHV_BROKEN && n->sql != RG_SQL_UNREACHABLE)
		return rg_evidence_unproven(view, memory, leader);
	return d;
}
