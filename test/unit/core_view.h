/*
 * core_view.h
 *	  A healthy cluster as the core sees it, for unit tests: rule 1, n1 leads,
 *	  the others stream.  Header only; each test is one program.
 */
#ifndef CORE_VIEW_H
#define CORE_VIEW_H

#include <stdio.h>
#include <string.h>

#include "watchdog/core/decide.h"

#define NOW 100000
#define SYSTEM_IDENTIFIER 7300000000000000001

typedef struct World
{
	RgView		view;
	RgMemory	memory;
} World;

static inline void
world_rule(World *w, int64_t term, int leader, RgRule *rule)
{
	memset(rule, 0, sizeof(*rule));
	rule->term = term;
	rule->seq = 1;
	snprintf(rule->leader, sizeof(rule->leader), "%s", w->view.nodes[leader].name);
	snprintf(rule->durability, sizeof(rule->durability), "async");
	rule->lease_ms = 5000;
	rule->quorum = 1;
	rule->nvoters = w->view.nnodes;
	for (int i = 0; i < w->view.nnodes; i++)
		snprintf(rule->voters[i], sizeof(rule->voters[i]), "%s", w->view.nodes[i].name);
}

static inline void
world_healthy(World *w, int nnodes)
{
	memset(w, 0, sizeof(*w));
	w->view.now_ms = NOW;
	w->view.started_ms = 1;
	w->view.settings = (RgSettings) {
		.heartbeat_interval_ms = 500, .lease_ms = 5000, .restart_budget_ms = 30000,
		.hang_budget_ms = 3000, .crash_limit = 3, .crash_window_ms = 600000, .auto_failover = true, .auto_rejoin = true, .promote_sql = true,
		.promote_ssh = true, .quorum = 1
	};
	w->view.nnodes = w->memory.nnodes = nnodes;
	for (int i = 0; i < nnodes; i++)
		snprintf(w->view.nodes[i].name, sizeof(w->view.nodes[i].name), "n%d", i + 1);
	for (int i = 0; i < nnodes; i++)
	{
		RgNodeView *n = &w->view.nodes[i];
		RgFacts    *f = &n->facts;

		n->priority = 100;
		n->sql = n->fresh = RG_SQL_OK;
		n->ssh = RG_SSHV_READY;
		n->facts_ms = NOW;
		f->valid = true;
		f->in_recovery = f->receiver_streaming = i != 0;
		f->timeline = 1;
		f->receive_lsn = f->replay_lsn = f->flush_lsn = f->current_lsn = 0x5000000;
		f->system_identifier = SYSTEM_IDENTIFIER;
		f->message_age_ms = f->wal_age_ms = i != 0 ? 100 : -1;
		f->lease_left_ms = f->intruder_age_ms = -1;
		world_rule(w, 1, 0, &f->rule);
		f->nterms = 1;
		f->terms[0].term = 1;
		f->terms[0].timeline = 1;
		f->start.pid = 100 * (i + 1);
		f->start.started_s = 1000;
		n->probe.valid = true;
		n->probe.postmaster = RG_PM_ALIVE;
		n->probe.pidfile = true;
		n->probe.start = f->start;
		n->probe.system_identifier = SYSTEM_IDENTIFIER;
		n->probe_ms = NOW;
		memcpy(w->memory.nodes[i].name, n->name, sizeof(n->name));
		w->memory.nodes[i].shown = f->start;
		if (i == 0)
			w->memory.nodes[i].admitted = f->start;
		w->memory.nodes[i].state = RG_STATE_OK;
		w->view.nodes[0].facts.streaming_from_us |= i != 0 ? 1u << i : 0;
	}
	w->memory.phase = RG_PHASE_STEADY;
	w->memory.phase_ms = 1;
	w->memory.term = w->memory.highest_term = 1;
	w->memory.confirmed = true;
	w->memory.newest = (RgPosition) {1, 1, 1, 0x5000000};
	w->memory.lease_ms = 5000;
	world_rule(w, 1, 0, &w->memory.rule);
}

/* The node has promised the term, completely, with what its facts say. */
static inline void
world_promise(World *w, int node, int64_t term)
{
	RgNodeView *n = &w->view.nodes[node];
	RgPromise  *p = &n->promise;

	p->term = term;
	p->complete = true;
	p->position.rule_term = n->facts.rule.term;
	p->position.rule_seq = n->facts.rule.seq;
	p->position.timeline = n->facts.timeline;
	p->position.lsn = n->facts.replay_lsn;
	p->nterms = n->facts.nterms;
	memcpy(p->terms, n->facts.terms, sizeof(p->terms));
	p->start = n->facts.start;
}

/* The leader's postmaster is gone, seen by the helper that had shown it. */
static inline void
world_crash(World *w, int node)
{
	RgNodeView *n = &w->view.nodes[node];

	n->sql = RG_SQL_REFUSED;
	n->lost_ms = NOW - 10;
	n->facts_ms = NOW - 300;
	n->probe.postmaster = RG_PM_ABSENT;
	snprintf(n->probe.state, sizeof(n->probe.state), "in production");
	n->probe_ms = NOW - 5;
	w->memory.lost_ms = NOW - 10;
}

#endif							/* CORE_VIEW_H */
