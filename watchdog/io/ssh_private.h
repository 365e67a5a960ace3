/*
 * ssh_private.h
 *	  The inside of a session, for the files of the session only:
 *	  ssh.c, ssh_connect.c, ssh_auth.c, ssh_channel.c, ssh_command.c.
 */
#ifndef RG_SSH_PRIVATE_H
#define RG_SSH_PRIVATE_H

#include <libssh2.h>
#include <event2/event.h>
#include "ssh.h"
#include "ssh_agent.h"
#include "ssh_hostkey.h"
#include "ssh_keyfile.h"

#define RG_SSH_ERRORS_MAX 1024	/* of standard error */
#define RG_SSH_COMMAND_TEXT_MAX 4096

/* Where the session stands; one function for each. */
typedef enum RgSshPhase
{
	SSH_DOWN,					/* waiting for the next try, or never started */
	SSH_TCP,
	SSH_HANDSHAKE,
	SSH_AUTH_FILE,
	SSH_AUTH_AGENT,
	SSH_UP						/* authenticated; ready once a channel is open */
} RgSshPhase;

typedef enum RgSshCommandPhase
{
	COMMAND_WAITING,			/* for a channel */
	COMMAND_EXEC,				/* request sent, or being sent */
	COMMAND_RUNNING,
	COMMAND_CLOSING				/* told; the channel goes */
} RgSshCommandPhase;

struct RgSshCommand
{
	struct RgSshCommand *next;
	RgSsh	   *ssh;
	RgSshCommandPhase phase;
	LIBSSH2_CHANNEL *channel;
	char		text[RG_SSH_COMMAND_TEXT_MAX];
	int			deadline_ms;	/* as given, for the message */
	int64_t		deadline;
	int64_t		since;			/* when the request or the close went out */
	bool		is_over;		/* done was called, or there is nobody to call */
	bool		is_cancelled;
	RgSshLineFn line;
	RgSshDoneFn done;
	void	   *arg;
	char		output[RG_SSH_LINE_MAX];	/* a line that is not complete */
	size_t		output_len;
	char		errors[RG_SSH_ERRORS_MAX + 1];
	size_t		errors_len;
	char		input[RG_SSH_INPUT_MAX];	/* still to be sent */
	size_t		input_len;
	bool		is_input_stuck; /* a packet of it is half sent */
	int64_t		counted_since;	/* output of the present RG_SSH_OUTPUT_MS */
	size_t		counted_bytes;
};

struct RgSsh
{
	struct event_base *base;
	RgSshParams params;
	RgSshStateFn on_state;
	void	   *arg;

	RgSshState	state;
	char		reason[512];
	char		hint[512];

	RgSshPhase	phase;
	bool		is_started;
	int			fd;
	LIBSSH2_SESSION *session;
	RgSshHostkeys *hostkeys;
	RgSshKeyfile key;			/* what the key file shows in clear */
	RgError		key_error;		/* why it is not used, where it is not */
	RgSshAgent *agent;
	int			agent_key;		/* that is being tried */
	int			agent_tries;
	struct event *socket_event;
	short		armed;
	struct event *timer;
	struct event *wake;

	/* what the transport has met */
	bool		is_io_dead;		/* libssh2 gets nothing but errors: we are closing */
	bool		is_eof;
	int			io_errno;
	char		goodbye[160];	/* of the server's disconnect message */
	int64_t		last_rx;
	uint64_t	rx_bytes;

	/* trying again */
	int64_t		connect_deadline;
	int64_t		next_try;
	int64_t		up_since;
	int			backoff_ms;
	uint64_t	jitter;

	/* when up */
	LIBSSH2_CHANNEL *spare;		/* open, nothing run on it yet */
	bool		is_opening;
	bool		is_renewing;	/* the opening is a probe: the old spare goes when the new one is there */
	int64_t		opening_since;
	int64_t		open_again;		/* after sshd refused one: not before this */
	RgSshCommand *commands;
	const void *blocked;		/* the operation whose packet is half sent: nothing else may send */
	int64_t		blocked_since;

	/* a fault found in the middle of things, acted on at the end of the step */
	bool		is_faulty;
	RgSshState	fault;
	char		fault_reason[512];
	char		fault_hint[512];

	int			depth;
	bool		is_freed;
};

/* --- ssh.c --- */

/* Waits for EV_READ, EV_WRITE or both; 0 for nothing. */
extern void rg_ssh_arm(RgSsh *ssh, short what);

/* Notes that the session has to end; the first fault counts. */
extern void rg_ssh_fault(RgSsh *ssh, RgSshState state, const char *hint, const char *fmt,...)
			__attribute__((format(printf, 4, 5)));

/* The same from libssh2's last error and what the transport has met. */
extern void rg_ssh_fault_from_session(RgSsh *ssh, const char *doing);

/* The one place where the state is set and told. */
extern void rg_ssh_set_state(RgSsh *ssh, RgSshState state, const char *reason, const char *hint);

/* --- ssh_connect.c --- */

extern void rg_ssh_connect_start(RgSsh *ssh);
extern void rg_ssh_connect_step(RgSsh *ssh);

/* Ends session and socket at once, without waiting for the other side. */
extern void rg_ssh_connect_drop(RgSsh *ssh);

/* Waits for what libssh2 waits for. */
extern void rg_ssh_arm_as_asked(RgSsh *ssh);

/* --- ssh_auth.c: ends in phase SSH_UP or in a fault --- */

extern void rg_ssh_auth_start(RgSsh *ssh);
extern void rg_ssh_auth_file_step(RgSsh *ssh);
extern void rg_ssh_auth_agent_step(RgSsh *ssh);

/* --- ssh_channel.c --- */

/* One pass over channels and commands after anything may have changed. */
extern void rg_ssh_channels_step(RgSsh *ssh);

/* Deadlines that have passed; and the next one. */
extern void rg_ssh_channels_check(RgSsh *ssh, int64_t now);
extern int64_t rg_ssh_channels_deadline(const RgSsh *ssh);

/* Renews the spare channel, as a probe, unless one is under way. */
extern void rg_ssh_channels_probe(RgSsh *ssh);

/* The session is gone, and its channels with it. */
extern void rg_ssh_channels_forget(RgSsh *ssh);

/* After an operation of libssh2 that returned rc: is its packet stuck in the socket? */
extern void rg_ssh_note_blocked(RgSsh *ssh, const void *operation, int rc);

/* --- ssh_command.c --- */

/* One step of one command; true when something has moved on. */
extern bool rg_ssh_command_step(RgSshCommand *cmd);

/* Its time is over. */
extern void rg_ssh_command_expire(RgSshCommand *cmd);

/* The session is lost: everybody is told. */
extern void rg_ssh_commands_lose(RgSsh *ssh);

/* Frees those that are over and have no channel any more; or all. */
extern void rg_ssh_commands_sweep(RgSsh *ssh);
extern void rg_ssh_commands_free(RgSsh *ssh);

#endif							/* RG_SSH_PRIVATE_H */
