/*
 * ssh_command.c
 *	  The commands: words in, lines out, and how they ended.
 *
 * What is known about a command that did not end: as long as it waits for a
 * channel it never reached the node (NOT_SENT); once its request was handed to
 * libssh2 it may have (LOST).  Output is counted by spans of time and cut when
 * it is too much; of standard error the first kilobyte is kept.
 *
 * A command that was told is closed in the background and freed when its
 * channel is gone.
 */
#include "ssh_private.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#include "../base/utf8.h"
#include "ssh_words.h"

/* Tells the owner how it ended, once; then the channel goes. */
static void
tell(RgSshCommand *cmd, RgSshEnd end, int exit_status, const char *why)
{
	RgSshDoneFn done = cmd->done;

	if (!cmd->is_over)
	{
		cmd->is_over = true;
		cmd->done = NULL;
		cmd->line = NULL;
		if (end != RG_SSH_EXITED && cmd->errors_len == 0)
			snprintf(cmd->errors, sizeof(cmd->errors), "%s", why);
		rg_utf8_mend(cmd->errors);
		if (done != NULL && !cmd->ssh->is_freed)
			done(cmd->arg, end, exit_status, cmd->errors);
	}
	if (cmd->phase != COMMAND_EXEC || cmd->ssh->blocked != cmd)
	{
		cmd->phase = COMMAND_CLOSING;
		cmd->since = rg_clock_now_ms();
	}
}

static void
tell_unfinished(RgSshCommand *cmd, const char *why)
{
	tell(cmd, cmd->phase == COMMAND_WAITING ? RG_SSH_NOT_SENT : RG_SSH_LOST, -1, why);
}

/* --- output --- */

static void
deliver_line(RgSshCommand *cmd)
{
	size_t		len = cmd->output_len;

	if (len > 0 && cmd->output[len - 1] == '\r')
		len--;
	cmd->output[len] = '\0';
	cmd->output_len = 0;
	rg_utf8_mend(cmd->output);	/* in JSON it would not be read else */
	if (cmd->line != NULL)
		cmd->line(cmd->arg, cmd->output);
}

/* False: too much, or a callback wants no more of it. */
static bool
take_output(RgSshCommand *cmd, const char *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		if (buf[i] == '\n')
		{
			deliver_line(cmd);
			if (cmd->ssh->is_freed || cmd->is_cancelled)
				return false;
		}
		else if (cmd->output_len < sizeof(cmd->output) - 1)
			cmd->output[cmd->output_len++] = buf[i] != '\0' ? buf[i] : '?';
		else
		{
			tell(cmd, RG_SSH_TOO_MUCH, -1, "a line of output is too long");
			return false;
		}
	}
	return true;
}

static void
take_errors(RgSshCommand *cmd, const char *buf, size_t len)
{
	for (size_t i = 0; i < len && cmd->errors_len < RG_SSH_ERRORS_MAX; i++)
		cmd->errors[cmd->errors_len++] = buf[i] != '\0' ? buf[i] : '?';
	cmd->errors[cmd->errors_len] = '\0';
}

/* Counts output; false when there is too much of it. */
static bool
count_output(RgSshCommand *cmd, size_t len)
{
	int64_t		now = rg_clock_now_ms();

	if (now - cmd->counted_since >= RG_SSH_OUTPUT_MS)
	{
		cmd->counted_since = now;
		cmd->counted_bytes = 0;
	}
	cmd->counted_bytes += len;
	if (cmd->counted_bytes <= RG_SSH_OUTPUT_MAX)
		return true;
	tell(cmd, RG_SSH_TOO_MUCH, -1, "more output than allowed");
	return false;
}

/* Reads one stream empty; false when there is nothing more to do for this command now. */
static bool
read_stream(RgSshCommand *cmd, int stream)
{
	RgSsh	   *ssh = cmd->ssh;
	char		buf[8192];

	for (;;)
	{
		ssize_t		n = libssh2_channel_read_ex(cmd->channel, stream, buf, sizeof(buf));

		rg_ssh_note_blocked(ssh, cmd, (int) n);
		if (n == LIBSSH2_ERROR_EAGAIN)
			return ssh->blocked == NULL;
		if (n < 0)
		{
			rg_ssh_fault_from_session(ssh, "reading");
			return false;
		}
		if (n == 0)
			return true;
		if (!count_output(cmd, (size_t) n))
			return false;
		if (stream == SSH_EXTENDED_DATA_STDERR)
			take_errors(cmd, buf, (size_t) n);
		else if (!take_output(cmd, buf, (size_t) n))
			return false;
	}
}

/* --- how it ended --- */

static int
signal_number(const char *name)
{
	static const struct
	{
		const char *name;
		int			number;
	}			signals[] = {
		{"HUP", 1}, {"INT", 2}, {"QUIT", 3}, {"ILL", 4}, {"ABRT", 6}, {"FPE", 8}, {"KILL", 9},
		{"USR1", 10}, {"SEGV", 11}, {"USR2", 12}, {"PIPE", 13}, {"ALRM", 14}, {"TERM", 15},
	};

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (strcmp(name, signals[i].name) == 0)
			return signals[i].number;
	return 127;
}

static void
finish(RgSshCommand *cmd)
{
	char	   *signal_name = NULL;
	int			status = libssh2_channel_get_exit_status(cmd->channel);

	libssh2_channel_get_exit_signal(cmd->channel, &signal_name, NULL, NULL, NULL, NULL, NULL);
	if (signal_name != NULL)
	{
		status = 128 + signal_number(signal_name);
		free(signal_name);
	}
	if (cmd->output_len > 0)
		deliver_line(cmd);
	if (!cmd->ssh->is_freed && !cmd->is_cancelled)
		tell(cmd, RG_SSH_EXITED, status, "");
}

/* --- steps: true when something has moved on --- */

static bool
exec_step(RgSshCommand *cmd)
{
	RgSsh	   *ssh = cmd->ssh;
	int			rc = libssh2_channel_exec(cmd->channel, cmd->text);

	rg_ssh_note_blocked(ssh, cmd, rc);
	if (rc == LIBSSH2_ERROR_EAGAIN)
		return false;
	if (rc == 0)
		cmd->phase = cmd->is_over ? COMMAND_CLOSING : COMMAND_RUNNING;
	else if (rc == LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED)
		tell(cmd, RG_SSH_NOT_SENT, -1, "sshd refuses to run a command on this channel");
	else
		rg_ssh_fault_from_session(ssh, "sending a command");
	return true;
}

/* Sends what waits; true when something went out. */
static bool
input_step(RgSshCommand *cmd)
{
	RgSsh	   *ssh = cmd->ssh;
	ssize_t		n = libssh2_channel_write(cmd->channel, cmd->input, cmd->input_len);

	rg_ssh_note_blocked(ssh, cmd, (int) n);
	cmd->is_input_stuck = ssh->blocked == cmd;
	if (n == LIBSSH2_ERROR_EAGAIN)
		return false;
	if (n < 0)
	{
		rg_ssh_fault_from_session(ssh, "writing to a command");
		return true;
	}
	memmove(cmd->input, cmd->input + n, cmd->input_len - (size_t) n);
	cmd->input_len -= (size_t) n;
	return n > 0;
}

static bool
running_step(RgSshCommand *cmd)
{
	RgSsh	   *ssh = cmd->ssh;
	int			rc;

	/* what is half sent goes on first: its own input, or a window that reading makes wider */
	if ((cmd->is_input_stuck || (cmd->input_len > 0 && ssh->blocked == NULL)) && input_step(cmd))
		return true;
	if (cmd->is_input_stuck)
		return false;
	if (!read_stream(cmd, 0) || !read_stream(cmd, SSH_EXTENDED_DATA_STDERR))
		return cmd->phase == COMMAND_CLOSING;
	if (libssh2_channel_eof(cmd->channel) != 1)
		return false;

	/* the exit status comes before the other side's close, but maybe after its end of file */
	rc = libssh2_channel_wait_closed(cmd->channel);
	rg_ssh_note_blocked(ssh, cmd, rc);
	if (rc == LIBSSH2_ERROR_EAGAIN)
		return false;
	if (rc != 0)
		rg_ssh_fault_from_session(ssh, "waiting for the end of a command");
	else
		finish(cmd);
	return true;
}

static bool
closing_step(RgSshCommand *cmd)
{
	int			rc;

	if (cmd->channel == NULL)
		return false;
	rc = libssh2_channel_free(cmd->channel);
	rg_ssh_note_blocked(cmd->ssh, cmd, rc);
	if (rc == LIBSSH2_ERROR_EAGAIN)
		return false;
	cmd->channel = NULL;		/* other errors free it, too */
	cmd->ssh->open_again = 0;
	return true;
}

bool
rg_ssh_command_step(RgSshCommand *cmd)
{
	RgSsh	   *ssh = cmd->ssh;

	if (cmd->is_cancelled && !cmd->is_over)
	{
		tell_unfinished(cmd, "cancelled");
		return true;
	}
	switch (cmd->phase)
	{
		case COMMAND_WAITING:
			if (ssh->spare == NULL)
				return false;
			cmd->channel = ssh->spare;
			ssh->spare = NULL;
			cmd->phase = COMMAND_EXEC;
			cmd->since = rg_clock_now_ms();
			(void) exec_step(cmd);
			return true;
		case COMMAND_EXEC:
			if (!cmd->is_over || ssh->blocked == cmd)
				return exec_step(cmd);
			cmd->phase = COMMAND_CLOSING;
			return true;
		case COMMAND_RUNNING:
			return running_step(cmd);
		case COMMAND_CLOSING:
			return closing_step(cmd);
	}
	return false;
}

void
rg_ssh_commands_sweep(RgSsh *ssh)
{
	for (RgSshCommand **link = &ssh->commands; *link != NULL;)
	{
		RgSshCommand *cmd = *link;

		if (cmd->phase == COMMAND_CLOSING && cmd->is_over && cmd->channel == NULL)
		{
			*link = cmd->next;
			free(cmd);
		}
		else
			link = &cmd->next;
	}
}

void
rg_ssh_command_expire(RgSshCommand *cmd)
{
	char		why[80];

	snprintf(why, sizeof(why), "no end within %d ms", cmd->deadline_ms);
	tell_unfinished(cmd, why);
}

void
rg_ssh_commands_lose(RgSsh *ssh)
{
	rg_ssh_channels_forget(ssh);
	for (RgSshCommand *cmd = ssh->commands; cmd != NULL && !ssh->is_freed; cmd = cmd->next)
		if (!cmd->is_over)
			tell_unfinished(cmd, "the session was lost");
	if (!ssh->is_freed)
		rg_ssh_commands_sweep(ssh);
}

void
rg_ssh_commands_free(RgSsh *ssh)
{
	while (ssh->commands != NULL)
	{
		RgSshCommand *next = ssh->commands->next;

		free(ssh->commands);
		ssh->commands = next;
	}
	rg_ssh_channels_forget(ssh);
}

/* --- the interface --- */

RgSshCommand *
rg_ssh_exec(RgSsh *ssh, const char *const *words, int deadline_ms,
			RgSshLineFn line, RgSshDoneFn done, void *arg, char *err, size_t errsize)
{
	char		dummy[1];
	RgSshCommand *cmd;
	RgSshCommand **link = &ssh->commands;
	int			n = 0;

	assert(done != NULL);
	if (err == NULL)
	{
		err = dummy;
		errsize = sizeof(dummy);
	}
	if (ssh->state != RG_SSH_READY || ssh->is_faulty)
	{
		snprintf(err, errsize, "no SSH session to node %s%s%s", ssh->params.node,
				 ssh->reason[0] != '\0' ? ": " : "", ssh->reason);
		return NULL;
	}
	for (; *link != NULL; link = &(*link)->next)
		n += !(*link)->is_over;
	if (n >= RG_SSH_COMMANDS_MAX)
	{
		snprintf(err, errsize, "%d commands run on node %s already", n, ssh->params.node);
		return NULL;
	}
	cmd = calloc(1, sizeof(*cmd));
	if (cmd == NULL)
	{
		snprintf(err, errsize, "out of memory");
		return NULL;
	}
	if (!rg_ssh_words_join(words, cmd->text, sizeof(cmd->text), err, errsize))
	{
		free(cmd);
		return NULL;
	}
	cmd->ssh = ssh;
	cmd->deadline_ms = deadline_ms;
	cmd->counted_since = rg_clock_now_ms();
	cmd->deadline = cmd->counted_since + deadline_ms;
	cmd->line = line;
	cmd->done = done;
	cmd->arg = arg;
	*link = cmd;
	event_active(ssh->wake, EV_TIMEOUT, 1);
	return cmd;
}

bool
rg_ssh_write(RgSshCommand *cmd, const char *text)
{
	size_t		len = strlen(text);

	if (cmd->is_over || cmd->is_cancelled || cmd->input_len + len > sizeof(cmd->input))
		return false;
	memcpy(cmd->input + cmd->input_len, text, len);
	cmd->input_len += len;
	event_active(cmd->ssh->wake, EV_TIMEOUT, 1);
	return true;
}

void
rg_ssh_cancel(RgSshCommand *cmd)
{
	cmd->is_cancelled = true;
	event_active(cmd->ssh->wake, EV_TIMEOUT, 1);
}
