/*
 * ssh_channel.c
 *	  Channels: one open ahead, who may send, is the other side alive?
 *
 * libssh2 is not re-entrant in the middle of an operation: only one channel
 * can be in the course of being opened, and while a packet is half sent no
 * other operation may send (it would be taken for a wrong continuation).  So
 * channels are opened one after the other, always one ahead of need (the
 * spare), and `blocked` names the operation that must be finished first.
 * Reading has no such limit: every step drains the socket, and each command
 * takes what came for it; where no command runs, the spare is read.
 *
 * Renewing the spare is the probe.  libssh2's own keepalive is not used: version
 * 1.10 keeps every answer to it for the life of the session.  It also proves more,
 * namely that sshd still opens channels.  Closing needs no deadline of its
 * own: a peer that answers nothing is found by silent_at().
 */
#include "ssh_private.h"

#include <stdlib.h>

#include "../base/clock.h"

#define CHANNEL_WINDOW (128 * 1024)	/* what a flood can make libssh2 hold for a command */
#define CHANNEL_PACKET 16384
#define OPEN_MAX_MS 10000
#define OPEN_AGAIN_MS 100

/* Callbacks and faults end a step early. */
static bool
must_stop(const RgSsh *ssh)
{
	return ssh->is_faulty || ssh->is_freed;
}

void
rg_ssh_note_blocked(RgSsh *ssh, const void *operation, int rc)
{
	bool		is_stuck = rc == LIBSSH2_ERROR_EAGAIN &&
		(libssh2_session_block_directions(ssh->session) & LIBSSH2_SESSION_BLOCK_OUTBOUND) != 0;

	if (is_stuck && ssh->blocked == NULL)
		ssh->blocked_since = rg_clock_now_ms();
	ssh->blocked = is_stuck ? operation : NULL;
}

static bool
may_run(const RgSsh *ssh, const void *operation)
{
	return ssh->blocked == NULL || ssh->blocked == operation;
}

/* Closes a channel that no command has. */
static void
close_channel(RgSsh *ssh, LIBSSH2_CHANNEL *channel)
{
	RgSshCommand *cmd = calloc(1, sizeof(*cmd));

	if (cmd == NULL)
	{
		rg_ssh_fault(ssh, RG_SSH_FAILED, "", "out of memory");
		return;
	}
	cmd->ssh = ssh;
	cmd->channel = channel;
	cmd->phase = COMMAND_CLOSING;
	cmd->since = rg_clock_now_ms();
	cmd->is_over = true;
	cmd->next = ssh->commands;
	ssh->commands = cmd;
}

/* Is there a channel that may still end and leave its place to another? */
static bool
has_channels(const RgSsh *ssh)
{
	for (const RgSshCommand *cmd = ssh->commands; cmd != NULL; cmd = cmd->next)
		if (cmd->channel != NULL)
			return true;
	return ssh->spare != NULL;
}

static void
channel_opened(RgSsh *ssh, LIBSSH2_CHANNEL *channel)
{
	LIBSSH2_CHANNEL *old = ssh->spare;

	ssh->spare = channel;
	ssh->is_opening = false;
	ssh->is_renewing = false;
	if (old != NULL)
		close_channel(ssh, old);
	if (ssh->state != RG_SSH_READY)
	{
		ssh->up_since = rg_clock_now_ms();
		rg_ssh_set_state(ssh, RG_SSH_READY, "", "");
	}
}

static bool
open_step(RgSsh *ssh)
{
	LIBSSH2_CHANNEL *channel;
	int64_t		now = rg_clock_now_ms();
	int			rc;

	if (!ssh->is_opening)
	{
		if ((ssh->spare != NULL && !ssh->is_renewing) || now < ssh->open_again)
			return false;
		ssh->is_opening = true;
		ssh->opening_since = now;
	}
	channel = libssh2_channel_open_ex(ssh->session, "session", sizeof("session") - 1,
									  CHANNEL_WINDOW, CHANNEL_PACKET, NULL, 0);
	rc = channel != NULL ? 0 : libssh2_session_last_errno(ssh->session);
	rg_ssh_note_blocked(ssh, &ssh->is_opening, rc);
	if (channel != NULL)
		channel_opened(ssh, channel);
	else if (rc == LIBSSH2_ERROR_EAGAIN)
		return false;
	else if (rc == LIBSSH2_ERROR_CHANNEL_FAILURE)
	{
		/*
		 * MaxSessions is reached: later, unless there is nothing to wait for.  sshd counts a
		 * command that was cut until its process ends; a new session starts from zero.
		 */
		ssh->is_opening = false;
		ssh->is_renewing = false;
		ssh->open_again = now + OPEN_AGAIN_MS;
		if (!has_channels(ssh))
			rg_ssh_fault(ssh, RG_SSH_FAILED, "Look at MaxSessions in sshd_config on the host.",
						 "sshd of node %s opens no channel for commands", ssh->params.node);
	}
	else
		rg_ssh_fault_from_session(ssh, "opening a channel");
	return true;
}

/* Nobody else reads when nothing runs: this sees the end of the session, and a closed spare. */
static bool
spare_step(RgSsh *ssh)
{
	char		buf[1024];
	ssize_t		n = libssh2_channel_read(ssh->spare, buf, sizeof(buf));

	rg_ssh_note_blocked(ssh, &ssh->spare, (int) n);
	if (n == LIBSSH2_ERROR_EAGAIN)
		return false;
	if (n < 0)
	{
		rg_ssh_fault_from_session(ssh, "waiting");
		return false;
	}
	if (n == 0 && libssh2_channel_eof(ssh->spare) == 1)
	{
		/* sshd closed it (ChannelTimeout): take another */
		LIBSSH2_CHANNEL *old = ssh->spare;

		ssh->spare = NULL;
		close_channel(ssh, old);
		return true;
	}
	return n > 0;
}

void
rg_ssh_channels_step(RgSsh *ssh)
{
	bool		has_moved;
	uint64_t	rx_bytes;

	/* whoever reads takes the packets of all: what came late in a pass needs another one */
	do
	{
		has_moved = false;
		rx_bytes = ssh->rx_bytes;
		for (RgSshCommand *cmd = ssh->commands; cmd != NULL; cmd = cmd->next)
		{
			if (may_run(ssh, cmd) && rg_ssh_command_step(cmd))
				has_moved = true;
			if (must_stop(ssh))
				return;
		}
		if (may_run(ssh, &ssh->is_opening) && open_step(ssh))
			has_moved = true;
		if (must_stop(ssh))
			return;
		if (ssh->spare != NULL && may_run(ssh, &ssh->spare) && spare_step(ssh))
			has_moved = true;
		if (must_stop(ssh))
			return;
		rg_ssh_commands_sweep(ssh);
	} while (has_moved || ssh->rx_bytes != rx_bytes);
	rg_ssh_arm(ssh, ssh->blocked != NULL ? EV_WRITE : EV_READ);
}

/* Since when has the other side owed an answer?  INT64_MAX: it owes none. */
static int64_t
waiting_since(const RgSsh *ssh)
{
	int64_t		since = ssh->is_opening ? ssh->opening_since : INT64_MAX;

	if (ssh->blocked != NULL && ssh->blocked_since < since)
		since = ssh->blocked_since;
	for (const RgSshCommand *cmd = ssh->commands; cmd != NULL; cmd = cmd->next)
		if ((cmd->phase == COMMAND_EXEC || cmd->phase == COMMAND_CLOSING) && cmd->channel != NULL &&
			cmd->since < since)
			since = cmd->since;
	return since;
}

static int64_t
silent_at(const RgSsh *ssh)
{
	int64_t		since = waiting_since(ssh);

	if (since == INT64_MAX)
		return INT64_MAX;
	return (since > ssh->last_rx ? since : ssh->last_rx) + ssh->params.keepalive_ms;
}

int64_t
rg_ssh_channels_deadline(const RgSsh *ssh)
{
	int64_t		deadline = silent_at(ssh);

	for (const RgSshCommand *cmd = ssh->commands; cmd != NULL; cmd = cmd->next)
		if (!cmd->is_over && cmd->deadline < deadline)
			deadline = cmd->deadline;
	if (ssh->is_opening)
	{
		if (ssh->opening_since + OPEN_MAX_MS < deadline)
			deadline = ssh->opening_since + OPEN_MAX_MS;
	}
	else if (ssh->blocked == NULL)
	{
		/* an opening that waits for its time, or the next probe */
		int64_t		next = ssh->spare == NULL || ssh->is_renewing ? ssh->open_again
			: ssh->last_rx + ssh->params.keepalive_ms;

		if (next < deadline)
			deadline = next;
	}
	return deadline;
}

void
rg_ssh_channels_probe(RgSsh *ssh)
{
	if (!ssh->is_opening)
		ssh->is_renewing = true;
}

void
rg_ssh_channels_check(RgSsh *ssh, int64_t now)
{
	for (RgSshCommand *cmd = ssh->commands; cmd != NULL; cmd = cmd->next)
	{
		if (cmd->is_over || cmd->deadline > now)
			continue;
		rg_ssh_command_expire(cmd);
		if (must_stop(ssh))
			return;
		rg_ssh_channels_probe(ssh);	/* is it the command, or the host? */
	}
	if (silent_at(ssh) <= now)
		rg_ssh_fault(ssh, RG_SSH_SILENT, "Check host and network.",
					 "node %s has not answered over SSH for %lld ms", ssh->params.node,
					 (long long) (now - ssh->last_rx));
	else if (ssh->is_opening && ssh->opening_since + OPEN_MAX_MS <= now)
		rg_ssh_fault(ssh, RG_SSH_FAILED, "Look at sshd's log on the host.",
					 "sshd of node %s did not open a channel within %d ms", ssh->params.node, OPEN_MAX_MS);
	else if (ssh->last_rx + ssh->params.keepalive_ms <= now)
		rg_ssh_channels_probe(ssh);
}

void
rg_ssh_channels_forget(RgSsh *ssh)
{
	for (RgSshCommand *cmd = ssh->commands; cmd != NULL; cmd = cmd->next)
		cmd->channel = NULL;	/* freed with the session */
	ssh->spare = NULL;
	ssh->is_opening = false;
	ssh->is_renewing = false;
	ssh->open_again = 0;
	ssh->blocked = NULL;
}
