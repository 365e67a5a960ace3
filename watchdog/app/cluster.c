/*
 * cluster.c
 *	  The rounds of one cluster: view -> decide -> record -> act.
 *
 * A round runs when something has changed and at every tick.  What it decided
 * is in the journal, on disk, before its first step runs; while the journal
 * can't be written nothing is done but looking, and everybody is told.
 */
#include "cluster.h"

#include <event2/event.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "act.h"
#include "api.h"
#include "json.h"
#include "node.h"
#include "publish.h"
#include "record.h"
#include "reload.h"
#include "status.h"
#include "watchdog/base/clock.h"
#include "watchdog/base/utf8.h"
#include "watchdog/core/phase.h"
#include "watchdog/io/notify.h"

#define TICK_MS 100
#define JUMP_MS 3000			/* no round for so long: we were not running */
#define ALIVE_MS 60000


static const char *const journal_keep[] = {"memory", "alive", "failover", "switchover", NULL};

void
rg_cluster_wake(RgCluster *c)
{
	if (c->round_event != NULL)
		event_active(c->round_event, EV_TIMEOUT, 0);
}

bool
rg_cluster_has_slept(const RgCluster *c)
{
	return c->last_round_ms == 0 || rg_clock_now_ms() - c->last_round_ms > JUMP_MS;
}

/* ---- record ---- */

/* Into the journal and the ring; the log has it already. */
static void
record_event(RgCluster *c, const RgNote *note, const char *node, int64_t term)
{
	json_t	   *event = rg_events_note(note, node, term);
	char		when[32];
	int64_t		seq = 0;
	RgError		err;

	if (rg_journal_write(c->journal, "event", event, false, &seq, &err) < 0)
		rg_log_error(c->log, RG_LOG_ERROR, "journal_failed", c->config.name, NULL, &err);
	event = rg_json_set(event, "seq", json_integer(seq));
	event = rg_json_set(event, "at", json_string(rg_clock_format(rg_clock_wall_ms(), when, sizeof(when))));
	if (event != NULL)
		rg_events_add(c->events, event);
	json_decref(event);
}

void
rg_cluster_note(RgCluster *c, const RgNote *note)
{
	const char *node = note->node >= 0 ? c->view.nodes[note->node].name : NULL;
	RgLogLevel	level = note->alarm ? RG_LOG_WARNING : RG_LOG_NOTICE;
	const char *name = rg_event_name(note->event);

	if (note->move != 0)
		rg_log(c->log, level, name, c->config.name, node, "%s [move %d]", note->text, note->move);
	else
		rg_log(c->log, level, name, c->config.name, node, "%s", note->text);
	record_event(c, note, node, c->memory.term);
}

void
rg_cluster_tell(RgCluster *c, RgEvent event, int node, bool alarm, const char *fmt,...)
{
	RgNote		note;
	va_list		ap;

	memset(&note, 0, sizeof(note));
	note.event = event;
	note.node = node;
	note.alarm = alarm;
	va_start(ap, fmt);
	rg_utf8_vprint(note.text, sizeof(note.text), fmt, ap);
	va_end(ap);
	rg_cluster_note(c, &note);
}

/* What the next heartbeat may grant, and what a restarted watchdog has to assume of it. */
static bool
changes_grants(const RgMemory *before, const RgMemory *after)
{
	return before->lease_ms != after->lease_ms || before->rule.term != after->rule.term ||
		before->rule.seq != after->rule.seq || before->highest_term != after->highest_term ||
		before->takeover != after->takeover || before->confirmed != after->confirmed ||
		strcmp(before->target, after->target) != 0 || strcmp(before->accept_loss, after->accept_loss) != 0;
}

/*
 * Must it be on disk before we go on?  What leads to steps must, and all that
 * belongs to a failover; a mere suspicion is found again by looking.
 */
static bool
must_be_durable(const RgCluster *c)
{
	const RgDecision *d = &c->decision;

	for (int i = 0; i < d->nsteps; i++)
		if (d->steps[i].kind != RG_STEP_PROBE)
			return true;
	return rg_phase_is_failover(d->memory.phase) || rg_phase_is_failover(c->memory.phase) ||
		changes_grants(&c->memory, &d->memory);
}

/* The journal, and with sync the disk, has this memory when it returns 0. */
static int
record_memory(RgCluster *c, const RgMemory *memory, bool sync, RgError *err)
{
	json_t	   *line = rg_record_memory(memory, &c->view, c->boot_id, c->system_identifier);
	int			ret = rg_journal_write(c->journal, "memory", line, sync, NULL, err);

	json_decref(line);
	if (ret < 0)
	{
		if (ret == RGE_ARGUMENT)
			rg_error_hint(err, "Nothing is decided until it can: restart regentd, and report this line.");
		else
			rg_error_hint(err, "Nothing is decided until the journal can be written: free space in %s.",
						  c->config.state_directory);
		rg_log_error(c->log, RG_LOG_ERROR, "journal_failed", c->config.name, NULL, err);
	}
	c->journal_broken = ret < 0;
	return ret;
}

/* What status shows as the last one of its kind; also after a restart. */
static void
keep_last(RgCluster *c, const char *kind, json_t **last, json_t *value)
{
	json_t	   *line = json_pack("{s:O}", "last", value);
	RgError		err;

	if (value != NULL)
	{
		json_decref(*last);
		*last = value;
	}
	if (rg_journal_write(c->journal, kind, line, false, NULL, &err) < 0)
		rg_log_error(c->log, RG_LOG_ERROR, "journal_failed", c->config.name, NULL, &err);
	json_decref(line);
}

/* A failover or a switchover has ended in this round. */
static void
take_ends(RgCluster *c)
{
	RgFailover *f = &c->decision.memory.failover;

	if (f->times.ruled_ms != 0 && f->times.ruled_ms != c->memory.failover.times.ruled_ms)
	{
		if (f->planned)
			keep_last(c, "switchover", &c->last_switchover, rg_record_switchover(f));
		else
			keep_last(c, "failover", &c->last_failover, rg_record_failover(f));
	}
	/* the old leader is back, and what it had is known */
	else if (f->loss.measured && !c->memory.failover.loss.measured && !f->planned)
		keep_last(c, "failover", &c->last_failover, rg_record_failover(f));
	for (int i = 0; i < RG_JOBS_MAX; i++)
	{
		const RgJob *job = &c->decision.memory.jobs[i];
		const RgJob *before = &c->memory.jobs[i];

		if (job->kind == RG_JOBKIND_SWITCHOVER && job->state == RG_JOB_FAILED &&
			(before->id != job->id || before->state != RG_JOB_FAILED))
			keep_last(c, "switchover", &c->last_switchover,
					  rg_record_switchover_failed(c->memory.rule.leader, job, rg_clock_wall_ms()));
	}
}

static bool
is_in_doubt(const RgCluster *c)
{
	return c->view.maybe_restored && !c->memory.confirmed;
}

static void
record_alive(RgCluster *c, int64_t now)
{
	json_t	   *line;
	RgError		err;

	if (c->last_alive_ms != 0 && now - c->last_alive_ms < ALIVE_MS && c->journal_end.in_doubt == is_in_doubt(c))
		return;
	c->last_alive_ms = now;
	c->journal_end.in_doubt = is_in_doubt(c);
	line = json_pack("{s:s,s:I,s:s,s:s,s:b}", "watchdog", c->identity.id, "counter",
					 (json_int_t) c->identity.counter, "boot_id", c->boot_id, "machine", c->machine,
					 "in_doubt", c->journal_end.in_doubt ? 1 : 0);
	if (rg_journal_write(c->journal, "alive", line, true, NULL, &err) < 0)
		rg_log_error(c->log, RG_LOG_ERROR, "journal_failed", c->config.name, NULL, &err);
	json_decref(line);
}

/* ---- the round ---- */

static void
fill_settings(RgCluster *c)
{
	RgSettings *s = &c->view.settings;
	const RgConfig *f = &c->config;

	s->heartbeat_interval_ms = rg_node_interval_ms(c);
	s->lease_ms = f->lease_ms;
	s->restart_budget_ms = f->restart_budget_ms;
	s->max_lag_ms = f->max_lag_ms;
	s->hang_budget_ms = f->hang_budget_ms;
	s->auto_failover = f->auto_failover;
	s->auto_rejoin = f->auto_rejoin;
	s->disk_failover = f->on_disk_full == RG_ON_DISK_FULL_FAILOVER;
	s->crash_limit = f->crash_limit;
	s->crash_window_ms = f->crash_window_ms;
	s->promote_sql = f->promote_via != RG_PROMOTE_SSH;
	s->promote_ssh = f->promote_via != RG_PROMOTE_SQL;
	s->quorum = f->quorum;
	s->rebuild_jobs = f->rebuild_jobs;
	s->rebuild_rate_kb = (f->rebuild_rate + 1023) / 1024;
	(void) snprintf(c->view.watchdog, sizeof(c->view.watchdog), "%s", c->identity.id);
}

static void
tell_systemd(RgCluster *c)
{
	char		line[256];

	rg_status_line(c, line, sizeof(line));
	if (strcmp(line, c->status_line) != 0)
	{
		(void) snprintf(c->status_line, sizeof(c->status_line), "%s", line);
		rg_notify_status("%s", line);
	}
}

/* Since when, for people. */
static void
date_left_out(RgMemory *m)
{
	for (int i = 0; i < m->nnodes; i++)
		if (!m->nodes[i].left_out)
			m->nodes[i].out_wall_ms = 0;
		else if (m->nodes[i].out_wall_ms == 0)
			m->nodes[i].out_wall_ms = rg_clock_wall_ms();
}

static void
run_round(RgCluster *c)
{
	int64_t		now = rg_clock_now_ms();
	bool		recorded = true;
	bool		is_moved;
	RgError		err;

	if (c->last_round_ms != 0 && now - c->last_round_ms > JUMP_MS)
	{
		c->jumped_until_ms = now + 1000 + 2 * rg_node_interval_ms(c);
		rg_log(c->log, RG_LOG_WARNING, "clock_jumped", c->config.name, NULL,
			   "we did not run for %lld ms: watching, not acting, for a moment",
			   (long long) (now - c->last_round_ms));
	}
	c->last_round_ms = now;
	c->view.now_ms = now;
	c->view.settings.heartbeat_interval_ms = rg_node_interval_ms(c);
	c->view.clock_jumped = now < c->jumped_until_ms;
	rg_decide(&c->view, &c->memory, &c->decision);
	if (c->decision.memory.failover.times.ruled_ms != c->memory.failover.times.ruled_ms)
		c->decision.memory.failover.at_wall_ms = rg_clock_wall_ms();
	date_left_out(&c->decision.memory);
	if (c->decision.must_record)
		recorded = record_memory(c, &c->decision.memory, must_be_durable(c), &err) == 0;
	if (!recorded)
		return;					/* the old memory stays in force; looking goes on */
	take_ends(c);
	is_moved = c->memory.phase != c->decision.memory.phase;
	c->memory = c->decision.memory;
	for (int i = 0; i < c->decision.nnotes; i++)
		rg_cluster_note(c, &c->decision.notes[i]);
	for (int i = 0; i < c->decision.nsteps; i++)
		rg_act(c, &c->decision.steps[i]);
	for (int i = 0; i < c->nnodes; i++)
		rg_node_grant_now(c->nodes[i]);
	/* what the new phase asks for, a first lease above all, does not wait for the next tick */
	if (is_moved)
		rg_cluster_wake(c);
	record_alive(c, now);
	rg_publish(c, now);
	tell_systemd(c);
}

static void
on_round(evutil_socket_t fd, short what, void *arg)
{
	(void) fd;
	(void) what;
	run_round(arg);
}

int
rg_cluster_set_memory(RgCluster *c, const RgMemory *memory, RgError *err)
{
	int			ret = record_memory(c, memory, true, err);

	if (ret < 0)
		return ret;
	c->memory = *memory;
	rg_cluster_wake(c);
	return 0;
}

/* ---- open, reload, close ---- */

typedef struct Reader
{
	RgCluster  *cluster;
	json_t	   *memory;			/* newest line */
} Reader;

static void
on_line(void *arg, const char *kind, int64_t seq, int64_t at_wall_ms, const json_t *line)
{
	Reader	   *r = arg;
	RgJournalEnd *end = &r->cluster->journal_end;

	end->has_lines = true;
	end->at_wall_ms = at_wall_ms;
	if (strcmp(kind, "alive") == 0)
	{
		const char *machine = json_string_value(json_object_get(line, "machine"));

		(void) snprintf(end->machine, sizeof(end->machine), "%s", machine != NULL ? machine : "");
		end->in_doubt = json_is_true(json_object_get(line, "in_doubt"));
	}
	else if (strcmp(kind, "failover") == 0 || strcmp(kind, "switchover") == 0)
	{
		json_t	  **last = kind[0] == 'f' ? &r->cluster->last_failover : &r->cluster->last_switchover;

		json_decref(*last);
		*last = json_deep_copy(json_object_get(line, "last"));
	}
	else if (strcmp(kind, "memory") == 0)
	{
		json_decref(r->memory);
		r->memory = json_deep_copy(line);
	}
	else if (strcmp(kind, "event") == 0)
	{
		json_t	   *event = json_deep_copy(line);
		char		when[32];

		(void) json_object_set_new(event, "seq", json_integer(seq));
		(void) json_object_set_new(event, "at", json_string(rg_clock_format(at_wall_ms, when, sizeof(when))));
		rg_events_add(r->cluster->events, event);
		json_decref(event);
	}
}

static int
open_journal(RgCluster *c, RgError *err)
{
	Reader		r = {c, NULL};
	int			ret = rg_journal_open(c->config.state_directory, c->config.name, journal_keep, on_line,
									  &r, &c->journal, err);

	if (ret == 0 && r.memory != NULL)
		rg_record_read(r.memory, c->boot_id, rg_clock_now_ms(), &c->memory, &c->system_identifier);
	json_decref(r.memory);
	return ret;
}

/*
 * May the journal be an old copy?  The doubt is on disk before any other line: a
 * restart must not take our own lines for a sign that it is the newest.
 */
static void
look_for_doubt(RgCluster *c)
{
	const char *doubt;

	rg_doubt_machine(c->machine, sizeof(c->machine));
	doubt = rg_doubt(&c->journal_end, c->identity.is_first, c->machine, rg_clock_wall_ms(), c->doubt,
					 sizeof(c->doubt));
	c->view.maybe_restored = doubt != NULL;
	c->memory.confirmed = doubt == NULL;
	record_alive(c, rg_clock_now_ms());
}

static void
read_boot_id(char *buf, size_t size)
{
	FILE	   *f = fopen("/proc/sys/kernel/random/boot_id", "r");

	buf[0] = '\0';
	if (f == NULL)
		return;
	if (fgets(buf, (int) size, f) == NULL)
		buf[0] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	(void) fclose(f);
}

int
rg_cluster_open(struct event_base *base, RgLog *log, const RgConfig *config,
				RgCluster **ret_cluster, RgError *err)
{
	RgCluster  *c = calloc(1, sizeof(*c));
	struct timeval tick = {0, TICK_MS * 1000};
	int			ret;

	if (c == NULL)
		return rg_error_set(err, RGE_NOMEM, "out of memory");
	c->base = base;
	c->log = log;
	c->config = *config;
	c->identity.lock_fd = -1;
	c->events = rg_events_new();
	c->resolver = rg_resolver_new(base);
	read_boot_id(c->boot_id, sizeof(c->boot_id));
	c->view.started_ms = rg_clock_now_ms();
	c->view.nnodes = c->nnodes = config->nnodes;
	if (c->events == NULL || c->resolver == NULL)
		ret = rg_error_set(err, RGE_NOMEM, "out of memory");
	else if ((ret = rg_identity_open(config->state_directory, &c->identity, err)) == 0 &&
			 (ret = open_journal(c, err)) == 0)
		ret = rg_api_open(c, err);
	if (ret == 0)
		look_for_doubt(c);
	fill_settings(c);
	for (int i = 0; ret == 0 && i < c->nnodes; i++)
		ret = rg_node_open(c, i, err);
	if (ret == 0)
	{
		c->round_event = event_new(base, -1, 0, on_round, c);
		c->tick = event_new(base, -1, EV_PERSIST, on_round, c);
		if (c->round_event == NULL || c->tick == NULL || event_add(c->tick, &tick) < 0)
			ret = rg_error_set(err, RGE_NOMEM, "out of memory");
	}
	if (ret < 0)
	{
		rg_cluster_close(c);
		return ret;
	}
	*ret_cluster = c;
	return 0;
}

int
rg_cluster_reload(RgCluster *c, const RgConfig *config, RgError *err)
{
	const RgConfig *old = &c->config;

	if (strcmp(old->name, config->name) != 0 ||
		strcmp(old->state_directory, config->state_directory) != 0 ||
		strcmp(old->control_socket, config->control_socket) != 0 ||
		strcmp(old->http_listen, config->http_listen) != 0)
		return rg_error_set(err, RGE_STATE, "name, state_directory, control_socket and http_listen can't change while regentd runs");
	if (rg_reload_check_nodes(c, config, err) < 0 || rg_reload_take(c, config, err) < 0)
		return RGE_STATE;
	fill_settings(c);
	for (int i = 0; i < c->nnodes; i++)
		rg_node_apply_config(c->nodes[i]);
	/* at once: what was decided last knows the nodes by their old numbers */
	run_round(c);
	return 0;
}

int
rg_cluster_reread(RgCluster *c, RgError *err)
{
	RgConfig	config;
	int			ret = rg_config_read(c->config.file, &config, stderr, err);

	if (ret == 0)
		ret = rg_cluster_reload(c, &config, err);
	else
		rg_error_hint(err, "What is wrong stands in the log of regentd; regentd --check tells it, too.");
	if (ret == 0)
		rg_cluster_tell(c, RG_EVENT_CONFIG_RELOADED, -1, false, "%s was read again", c->config.file);
	else
		rg_cluster_tell(c, RG_EVENT_CONFIG_REFUSED, -1, true, "the old configuration stays in force: %.180s", err->message);
	return ret;
}

void
rg_cluster_close(RgCluster *c)
{
	if (c == NULL)
		return;
	for (int i = 0; i < RG_NODES_MAX; i++)
		rg_node_close(c->nodes[i]);
	rg_http_free(c->control);
	rg_http_free(c->http);
	if (c->tick)
		event_free(c->tick);
	if (c->round_event)
		event_free(c->round_event);
	rg_resolver_free(c->resolver);
	rg_journal_close(c->journal);
	rg_identity_close(&c->identity);
	rg_events_free(c->events);
	json_decref(c->last_failover);
	json_decref(c->last_switchover);
	free(c->published);
	free(c);
}
