/*
 * node.c
 *	  The sessions of one node: reconnects, fresh connections, SSH, and what each
 *	  failure says.  The heartbeats themselves are in beat.c.
 *
 * A lost session is tried again at once (a refused connection is the second
 * half of the evidence of a crash), then with a back-off up to the heartbeat
 * interval.  A failed poll erases no facts: it only says what became of the
 * attempt.
 */
#include "node.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "act.h"
#include "watchdog/base/clock.h"

#define CONNECT_DEADLINE_MS 2000
#define FRESH_INTERVAL_MS 2000
#define FRESH_AGAIN_MS 100
#define SSH_CONNECT_DEADLINE_MS 5000
#define SSH_KEEPALIVE_MS 5000

static RgNodeView *
view_of(RgNode *node)
{
	return &node->cluster->view.nodes[node->index];
}

static const RgNodeConfig *
config_of(const RgNode *node)
{
	return &node->cluster->config.nodes[node->index];
}

void
rg_node_arm(struct event *timer, int64_t ms)
{
	struct timeval tv = {ms / 1000, (ms % 1000) * 1000};

	(void) event_add(timer, &tv);
}

RgSql
rg_node_classify(const RgPgFailure *failure)
{
	const char *s = failure->sqlstate;

	switch (failure->why)
	{
		case RG_PG_FINE:
			return RG_SQL_OK;
		case RG_PG_REFUSED:
			return RG_SQL_REFUSED;
		case RG_PG_SILENT:
			return RG_SQL_SILENT;
		case RG_PG_UNREACHABLE:
			return RG_SQL_UNREACHABLE;
		case RG_PG_TLS:
			return RG_SQL_LOGIN;
		case RG_PG_CLOSED:
		case RG_PG_OTHER:
		case RG_PG_SERVER:
			break;
	}
	if (s[0] == '\0')
		return RG_SQL_CLOSED;
	if (strcmp(s, "57P03") == 0)
		return RG_SQL_STARTING;
	if (strncmp(s, "57P", 3) == 0)
		return RG_SQL_CLOSED;
	if (strncmp(s, "53", 2) == 0)
		return RG_SQL_SATURATED;
	if (strncmp(s, "28", 2) == 0 || strcmp(s, "3D000") == 0 || strcmp(s, "42501") == 0)
		return RG_SQL_LOGIN;
	if (strcmp(s, "42883") == 0 || strcmp(s, "3F000") == 0 || strcmp(s, "58P01") == 0)
		return RG_SQL_NO_EXTENSION;
	if (strcmp(s, "RG002") == 0)
		return RG_SQL_OTHER_WATCHDOG;
	if (strcmp(s, "RG003") == 0)
		return RG_SQL_LOWER_COUNTER;
	return RG_SQL_ERROR;
}

/*
 * A server that is stopped by somebody says so.  A backend whose postmaster died
 * says goodbye with the same SQLSTATE, but from another source file, in any
 * language: that is the opposite of purpose.
 */
static void
take_last_words(RgNodeView *v, const RgPgFailure *failure)
{
	bool		goodbye = strcmp(failure->sqlstate, "57P01") == 0;

	if (goodbye && strcmp(failure->source_file, "be-secure.c") == 0)
		v->died_ms = rg_clock_now_ms();
	else if (goodbye || (strcmp(failure->sqlstate, "57P03") == 0 &&
						 strstr(failure->message, "shutting down") != NULL))
		v->purpose_ms = rg_clock_now_ms();
}

/* "It obeys UUID, not OURS.": whom, for a takeover. */
static void
take_obeyed(RgNode *node, const char *detail)
{
	static const char digits[] = "0123456789abcdef-";

	for (const char *p = detail; *p != '\0'; p++)
	{
		size_t		n = strspn(p, digits);

		if (n != 36)
			continue;
		if (strncmp(p, node->cluster->identity.id, 36) != 0)
			(void) snprintf(node->obeys, sizeof(node->obeys), "%.36s", p);
		return;
	}
}

void
rg_node_take_failure(RgNode *node, const RgPgFailure *failure)
{
	RgNodeView *v = view_of(node);

	if (strcmp(failure->sqlstate, "RG002") == 0)
		take_obeyed(node, failure->detail);
	v->sql = rg_node_classify(failure);
	v->sql_ms = rg_clock_now_ms();
	(void) snprintf(v->sqlstate, sizeof(v->sqlstate), "%s", failure->sqlstate);
	rg_text(v->sql_text, sizeof(v->sql_text), "%s", failure->message);
	take_last_words(v, failure);
}

static void
on_beat_state(void *arg, RgPg *pg, const RgPgFailure *failure)
{
	RgNode	   *node = arg;
	RgNodeView *v = view_of(node);
	int64_t		interval = rg_node_interval_ms(node->cluster);
	int64_t		wait;

	(void) pg;
	if (failure->why == RG_PG_FINE)
	{
		node->beat_tries = 0;
		node->has_last = false;
		rg_node_beat(node);
		return;
	}
	rg_node_take_failure(node, failure);
	if (v->lost_ms == 0)
		v->lost_ms = rg_clock_now_ms();
	v->fresh = RG_SQL_UNKNOWN;
	wait = node->beat_tries == 0 ? 0 : (int64_t) 20 << (node->beat_tries < 10 ? node->beat_tries : 10);
	node->beat_tries++;
	rg_node_arm(node->beat_timer, wait > interval ? interval : wait);
	rg_cluster_wake(node->cluster);
}

static void
refresh_params(RgNode *node)
{
	const RgConfig *c = &node->cluster->config;
	const RgNodeConfig *n = config_of(node);
	RgPgParams	p;
	RgSshParams s;

	memset(&p, 0, sizeof(p));
	(void) snprintf(p.host, sizeof(p.host), "%s", n->host);
	(void) rg_resolver_get(node->cluster->resolver, n->host, p.hostaddr, sizeof(p.hostaddr));
	p.port = n->port;
	(void) snprintf(p.dbname, sizeof(p.dbname), "%s", c->database);
	(void) snprintf(p.user, sizeof(p.user), "%s", c->user);
	(void) snprintf(p.passfile, sizeof(p.passfile), "%s", c->passfile);
	(void) snprintf(p.sslmode, sizeof(p.sslmode), "%s", c->sslmode);
	(void) snprintf(p.application_name, sizeof(p.application_name), "regentd");
	rg_pg_set_params(node->beat, &p);
	rg_pg_set_params(node->spare, &p);
	rg_pg_set_params(node->fresh, &p);

	memset(&s, 0, sizeof(s));
	(void) snprintf(s.node, sizeof(s.node), "%s", n->name);
	(void) snprintf(s.host, sizeof(s.host), "%s", n->ssh_host);
	(void) rg_resolver_get(node->cluster->resolver, n->ssh_host, s.hostaddr, sizeof(s.hostaddr));
	s.port = n->ssh_port;
	(void) snprintf(s.user, sizeof(s.user), "%s", c->ssh_user);
	(void) snprintf(s.key_file, sizeof(s.key_file), "%s", c->ssh_key);
	(void) snprintf(s.known_hosts, sizeof(s.known_hosts), "%s", c->ssh_known_hosts);
	s.connect_deadline_ms = SSH_CONNECT_DEADLINE_MS;
	s.keepalive_ms = SSH_KEEPALIVE_MS;
	rg_ssh_set_params(node->ssh, &s);
}

static void
on_beat_timer(evutil_socket_t fd, short what, void *arg)
{
	RgNode	   *node = arg;

	(void) fd;
	(void) what;
	if (rg_pg_is_open(node->beat))
		rg_node_beat(node);
	else if (!rg_pg_is_connecting(node->beat))
	{
		refresh_params(node);
		rg_pg_connect(node->beat, CONNECT_DEADLINE_MS);
	}
}

static void
on_spare_state(void *arg, RgPg *pg, const RgPgFailure *failure)
{
	RgNode	   *node = arg;

	(void) pg;
	if (failure->why != RG_PG_FINE)
	{
		take_last_words(view_of(node), failure);
		rg_node_arm(node->spare_timer, 1000);
		/* the other session will notice, too; do not wait for its next beat */
		rg_node_beat(node);
	}
	rg_cluster_wake(node->cluster);
}

static void
on_spare_timer(evutil_socket_t fd, short what, void *arg)
{
	RgNode	   *node = arg;

	(void) fd;
	(void) what;
	/* the spare one is opened beside a beating one, never instead of it */
	if (!rg_pg_is_open(node->beat))
		rg_node_arm(node->spare_timer, 200);
	else if (!rg_pg_is_open(node->spare) && !rg_pg_is_connecting(node->spare))
		rg_pg_connect(node->spare, CONNECT_DEADLINE_MS);
}

static void
on_fresh_state(void *arg, RgPg *pg, const RgPgFailure *failure)
{
	RgNode	   *node = arg;
	RgNodeView *v = view_of(node);
	RgSql		met = rg_node_classify(failure);

	rg_pg_close(pg);
	if (met != v->fresh)
	{
		v->fresh = met;
		v->fresh_since_ms = rg_clock_now_ms();
		if (met == RG_SQL_SILENT)
			v->fresh_since_ms -= CONNECT_DEADLINE_MS;
		rg_cluster_wake(node->cluster);
	}
	rg_text(v->fresh_text, sizeof(v->fresh_text), "%s%s%.140s", failure->sqlstate,
			failure->sqlstate[0] ? ": " : "", failure->message);
	/* a server that hangs takes the waiting connection at the moment when it goes on */
	rg_node_arm(node->fresh_timer, met == RG_SQL_OK ? FRESH_INTERVAL_MS : FRESH_AGAIN_MS);
}

static void
on_fresh_timer(evutil_socket_t fd, short what, void *arg)
{
	RgNode	   *node = arg;

	(void) fd;
	(void) what;
	if (!rg_pg_is_open(node->beat))
		rg_node_arm(node->fresh_timer, FRESH_INTERVAL_MS);
	else
		rg_pg_connect(node->fresh, CONNECT_DEADLINE_MS);
}

static void
on_ssh_state(void *arg, RgSsh *ssh, RgSshState state, const char *reason, const char *hint)
{
	RgNode	   *node = arg;
	RgNodeView *v = view_of(node);
	RgSshView	before = v->ssh;

	(void) ssh;
	switch (state)
	{
		case RG_SSH_READY:
			v->ssh = RG_SSHV_READY;
			v->ssh_text[0] = '\0';
			break;
		case RG_SSH_UNKNOWN:
		case RG_SSH_CONNECTING:
			/* what was known of it stays until the outcome is there */
			if (v->ssh == RG_SSHV_READY)
				v->ssh = RG_SSHV_UNKNOWN;
			break;
		case RG_SSH_SILENT:
			v->ssh = RG_SSHV_SILENT;
			break;
		case RG_SSH_REFUSED:
		case RG_SSH_HOST_KEY:
		case RG_SSH_AUTH:
		case RG_SSH_KEY_FILE:
		case RG_SSH_FAILED:
			v->ssh = RG_SSHV_BROKEN;
			break;
	}
	if (v->ssh == RG_SSHV_SILENT || v->ssh == RG_SSHV_BROKEN)
	{
		rg_text(v->ssh_text, sizeof(v->ssh_text), "%s", reason);
		rg_log(node->cluster->log, RG_LOG_WARNING, "ssh_state", node->cluster->config.name, v->name,
			   "no SSH session: %s%s%s", reason, hint[0] ? "; " : "", hint);
	}
	else if (v->ssh == RG_SSHV_READY && before != RG_SSHV_READY)
		rg_log(node->cluster->log, RG_LOG_INFO, "ssh_state", node->cluster->config.name, v->name,
			   "SSH session is ready");
	rg_helper_session(node->helper, state == RG_SSH_READY);
	rg_cluster_wake(node->cluster);
}

RgPg *
rg_node_command_session(RgNode *node)
{
	if (rg_pg_is_open(node->spare))
		return node->spare;
	return rg_pg_is_open(node->beat) ? node->beat : NULL;
}

void
rg_node_apply_config(RgNode *node)
{
	RgNodeView *v = view_of(node);

	rg_text(v->name, sizeof(v->name), "%s", config_of(node)->name);
	v->priority = config_of(node)->priority;
	rg_text(v->upstream, sizeof(v->upstream), "%s", config_of(node)->upstream);
	refresh_params(node);
}

int
rg_node_open(RgCluster *cluster, int index, RgError *err)
{
	RgNode	   *node = calloc(1, sizeof(*node));
	RgPgParams	none;
	RgSshParams no_ssh;

	cluster->nodes[index] = node;
	if (node == NULL)
		return rg_error_set(err, RGE_NOMEM, "out of memory");
	memset(&none, 0, sizeof(none));
	memset(&no_ssh, 0, sizeof(no_ssh));
	node->cluster = cluster;
	node->index = index;
	node->beat = rg_pg_new(cluster->base, &none, on_beat_state, node);
	node->spare = rg_pg_new(cluster->base, &none, on_spare_state, node);
	node->fresh = rg_pg_new(cluster->base, &none, on_fresh_state, node);
	node->ssh = rg_ssh_new(cluster->base, &no_ssh, on_ssh_state, node);
	node->beat_timer = evtimer_new(cluster->base, on_beat_timer, node);
	node->spare_timer = evtimer_new(cluster->base, on_spare_timer, node);
	node->fresh_timer = evtimer_new(cluster->base, on_fresh_timer, node);
	if (node->ssh != NULL)
		node->helper = rg_helper_new(cluster->base, node->ssh, cluster->config.nodes[index].name);
	if (!node->beat || !node->spare || !node->fresh || !node->helper || !node->beat_timer ||
		!node->spare_timer || !node->fresh_timer)
		return rg_error_set(err, RGE_NOMEM, "out of memory");
	rg_node_apply_config(node);
	rg_node_arm(node->beat_timer, 0);
	rg_node_arm(node->spare_timer, 50);
	rg_node_arm(node->fresh_timer, FRESH_INTERVAL_MS);
	rg_ssh_start(node->ssh);
	return 0;
}

void
rg_node_close(RgNode *node)
{
	if (node == NULL)
		return;
	rg_pg_free(node->beat);
	rg_pg_free(node->spare);
	rg_pg_free(node->fresh);
	rg_ssh_free(node->ssh);
	rg_helper_free(node->helper);
	json_decref(node->slots);
	if (node->beat_timer)
		event_free(node->beat_timer);
	if (node->spare_timer)
		event_free(node->spare_timer);
	if (node->fresh_timer)
		event_free(node->fresh_timer);
	rg_act_forget(node);
	free(node);
}
