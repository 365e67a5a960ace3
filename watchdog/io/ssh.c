/*
 * ssh.c
 *	  The session as a whole: events in, one step, faults, trying again.
 *
 * Every event (socket, timer, a call of the owner) ends in run(): check the
 * deadlines, take one step of the present phase, act on a fault if one was
 * found, set the timer.  Public functions only note what is wanted and wake
 * run() up, so no callback is ever called from inside one of them, and a
 * callback may call any of them; rg_ssh_free() inside a callback takes effect
 * when run() returns.
 */
#include "ssh_private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"

#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS 30000
#define BACKOFF_PERSON_MS 5000	/* where only a person can help */
#define STABLE_MS 10000			/* a session that lived so long starts with the first back-off */

static void on_socket(evutil_socket_t fd, short what, void *arg);

void
rg_ssh_arm(RgSsh *ssh, short what)
{
	if (ssh->armed == what)
		return;
	if (ssh->socket_event != NULL)
		event_free(ssh->socket_event);
	ssh->socket_event = NULL;
	ssh->armed = 0;
	if (what == 0)
		return;
	ssh->socket_event = event_new(ssh->base, ssh->fd, what | EV_PERSIST, on_socket, ssh);
	if (ssh->socket_event != NULL && event_add(ssh->socket_event, NULL) == 0)
		ssh->armed = what;
}

void
rg_ssh_fault(RgSsh *ssh, RgSshState state, const char *hint, const char *fmt,...)
{
	va_list		ap;

	if (ssh->is_faulty)
		return;
	ssh->is_faulty = true;
	ssh->fault = state;
	snprintf(ssh->fault_hint, sizeof(ssh->fault_hint), "%s", hint);
	va_start(ap, fmt);
	if (vsnprintf(ssh->fault_reason, sizeof(ssh->fault_reason), fmt, ap) < 0)
		ssh->fault_reason[0] = '\0';
	va_end(ap);
}

void
rg_ssh_fault_from_session(RgSsh *ssh, const char *doing)
{
	const char *node = ssh->params.node;
	char	   *text = NULL;

	if (ssh->goodbye[0] != '\0')
		rg_ssh_fault(ssh, RG_SSH_REFUSED, "Look at sshd's log on the host.",
					 "sshd of node %s ended the session while %s: %s", node, doing, ssh->goodbye);
	else if (ssh->io_errno == ETIMEDOUT || ssh->io_errno == EHOSTUNREACH || ssh->io_errno == ENETUNREACH)
		rg_ssh_fault(ssh, RG_SSH_SILENT, "Check host and network.",
					 "the connection to sshd of node %s was lost while %s: %s", node, doing, strerror(ssh->io_errno));
	else if (ssh->is_eof || ssh->io_errno != 0)
		rg_ssh_fault(ssh, RG_SSH_REFUSED, "Look at sshd's log on the host.",
					 "sshd of node %s closed the connection while %s%s%s", node, doing,
					 ssh->io_errno != 0 ? ": " : "", ssh->io_errno != 0 ? strerror(ssh->io_errno) : "");
	else
	{
		libssh2_session_last_error(ssh->session, &text, NULL, 0);
		rg_ssh_fault(ssh, RG_SSH_FAILED, "Look at sshd's log on the host.",
					 "SSH to node %s failed while %s: %.200s", node, doing, text != NULL ? text : "");
	}
}

void
rg_ssh_set_state(RgSsh *ssh, RgSshState state, const char *reason, const char *hint)
{
	if (ssh->state == state && strcmp(ssh->reason, reason) == 0)
		return;
	ssh->state = state;
	snprintf(ssh->reason, sizeof(ssh->reason), "%s", reason);
	snprintf(ssh->hint, sizeof(ssh->hint), "%s", hint);
	if (ssh->on_state != NULL && !ssh->is_freed)
		ssh->on_state(ssh->arg, ssh, state, ssh->reason, ssh->hint);
}

/* A quarter more or less than ms, by the node's own sequence (Knuth's MMIX constants). */
static int
with_jitter(RgSsh *ssh, int ms)
{
	ssh->jitter = ssh->jitter * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return ms * 3 / 4 + (int) ((ssh->jitter >> 33) % (uint64_t) (ms / 2 + 1));
}

static void
plan_next_try(RgSsh *ssh)
{
	int64_t		now = rg_clock_now_ms();
	int			wait_ms;

	if (ssh->state == RG_SSH_READY && now - ssh->up_since >= STABLE_MS)
		ssh->backoff_ms = 0;
	ssh->backoff_ms = ssh->backoff_ms == 0 ? BACKOFF_FIRST_MS : ssh->backoff_ms * 2;
	if (ssh->backoff_ms > BACKOFF_MAX_MS)
		ssh->backoff_ms = BACKOFF_MAX_MS;
	wait_ms = ssh->backoff_ms;
	if (wait_ms < BACKOFF_PERSON_MS && (ssh->fault == RG_SSH_HOST_KEY || ssh->fault == RG_SSH_AUTH ||
										ssh->fault == RG_SSH_KEY_FILE))
		wait_ms = BACKOFF_PERSON_MS;
	ssh->next_try = now + with_jitter(ssh, wait_ms);
}

/* Ends the session that has a fault, and tells everybody. */
static void
lose(RgSsh *ssh)
{
	rg_ssh_connect_drop(ssh);
	plan_next_try(ssh);
	ssh->is_faulty = false;
	rg_ssh_set_state(ssh, ssh->fault, ssh->fault_reason, ssh->fault_hint);
	rg_ssh_commands_lose(ssh);
}

static void
arm_timer(RgSsh *ssh)
{
	int64_t		deadline = INT64_MAX;
	int64_t		wait_ms;

	if (ssh->phase == SSH_UP)
		deadline = rg_ssh_channels_deadline(ssh);
	else if (ssh->phase == SSH_DOWN)
		deadline = ssh->is_started ? ssh->next_try : INT64_MAX;
	if (ssh->phase != SSH_DOWN && ssh->state != RG_SSH_READY && ssh->connect_deadline < deadline)
		deadline = ssh->connect_deadline;
	if (deadline == INT64_MAX)
	{
		event_del(ssh->timer);
		return;
	}
	wait_ms = deadline - rg_clock_now_ms();
	if (wait_ms < 0)
		wait_ms = 0;
	event_add(ssh->timer, &(struct timeval) {.tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000});
}

static void
check_deadlines(RgSsh *ssh)
{
	static const char *const doing[] = {
		[SSH_TCP] = "connecting", [SSH_HANDSHAKE] = "exchanging keys",
		[SSH_AUTH_FILE] = "logging in", [SSH_AUTH_AGENT] = "logging in through the agent",
		[SSH_UP] = "opening a channel",
	};
	int64_t		now = rg_clock_now_ms();

	if (ssh->phase != SSH_DOWN && ssh->state != RG_SSH_READY && ssh->connect_deadline <= now)
		rg_ssh_fault(ssh, RG_SSH_SILENT, "Check host and network, and whether sshd hangs.",
					 "no SSH session to node %s within %d ms: no answer while %s", ssh->params.node,
					 ssh->params.connect_deadline_ms, doing[ssh->phase]);
	else if (ssh->phase == SSH_UP)
		rg_ssh_channels_check(ssh, now);
}

static void
destroy(RgSsh *ssh)
{
	if (ssh->state == RG_SSH_READY && ssh->session != NULL && ssh->blocked == NULL)
		(void) libssh2_session_disconnect(ssh->session, "regentd ends this session");
	rg_ssh_connect_drop(ssh);
	rg_ssh_commands_free(ssh);
	if (ssh->timer != NULL)
		event_free(ssh->timer);
	if (ssh->wake != NULL)
		event_free(ssh->wake);
	free(ssh);
}

static void
run(RgSsh *ssh)
{
	ssh->depth++;
	check_deadlines(ssh);
	if (!ssh->is_faulty && !ssh->is_freed)
	{
		if (ssh->phase == SSH_DOWN && ssh->is_started && ssh->next_try <= rg_clock_now_ms())
			rg_ssh_connect_start(ssh);
		else if (ssh->phase != SSH_DOWN && ssh->phase != SSH_UP)
			rg_ssh_connect_step(ssh);
		if (ssh->phase == SSH_UP && !ssh->is_faulty)
			rg_ssh_channels_step(ssh);
	}
	if (ssh->is_faulty && !ssh->is_freed)
		lose(ssh);
	if (!ssh->is_freed)
		arm_timer(ssh);
	if (--ssh->depth == 0 && ssh->is_freed)
		destroy(ssh);
}

static void
on_socket(evutil_socket_t fd, short what, void *arg)
{
	(void) fd;
	(void) what;
	run(arg);
}

/* The interface */

static uint64_t
seed_of(const char *node)
{
	uint64_t	hash = UINT64_C(14695981039346656037);

	for (; *node != '\0'; node++)
		hash = (hash ^ (unsigned char) *node) * UINT64_C(1099511628211);
	return hash;
}

RgSsh *
rg_ssh_new(struct event_base *base, const RgSshParams *params, RgSshStateFn on_state, void *arg)
{
	RgSsh	   *ssh = calloc(1, sizeof(*ssh));

	if (ssh == NULL)
		return NULL;
	ssh->base = base;
	ssh->params = *params;
	ssh->on_state = on_state;
	ssh->arg = arg;
	ssh->fd = -1;
	ssh->jitter = seed_of(params->node);
	ssh->timer = evtimer_new(base, on_socket, ssh);
	ssh->wake = event_new(base, -1, 0, on_socket, ssh);
	if (ssh->timer == NULL || ssh->wake == NULL)
	{
		destroy(ssh);
		return NULL;
	}
	return ssh;
}

void
rg_ssh_free(RgSsh *ssh)
{
	if (ssh == NULL || ssh->is_freed)
		return;
	ssh->is_freed = true;
	if (ssh->depth == 0)
		destroy(ssh);
}

void
rg_ssh_set_params(RgSsh *ssh, const RgSshParams *params)
{
	ssh->params = *params;
}

void
rg_ssh_start(RgSsh *ssh)
{
	if (ssh->is_started)
		return;
	ssh->is_started = true;
	ssh->next_try = 0;
	if (ssh->state == RG_SSH_UNKNOWN)
		ssh->state = RG_SSH_CONNECTING;
	event_active(ssh->wake, EV_TIMEOUT, 1);
}

void
rg_ssh_kick(RgSsh *ssh)
{
	if (!ssh->is_started)
		return;
	if (ssh->phase == SSH_UP)
		rg_ssh_channels_probe(ssh);
	else if (ssh->phase == SSH_DOWN)
	{
		ssh->backoff_ms = 0;
		ssh->next_try = 0;
	}
	event_active(ssh->wake, EV_TIMEOUT, 1);
}

RgSshState
rg_ssh_state(const RgSsh *ssh)
{
	return ssh->state;
}

const char *
rg_ssh_reason(const RgSsh *ssh)
{
	return ssh->reason;
}
