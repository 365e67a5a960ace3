/*
 * ssh.h
 *	  One warm SSH session to a node, and commands on it.
 *
 * libssh2, non-blocking, on the event loop, TCP_NODELAY.  The host key is
 * checked against known_hosts before authentication; an unknown or a changed
 * key is an error that names the node and the command to fix it.
 * Authentication: public key from a file (ed25519, ECDSA), else the agent.
 * The session is kept alive and connects again by itself with a back-off
 * (100 ms doubling to 30 s, with the node's own jitter; not below 5 s where
 * only a person can help: host key, key file, login); rg_ssh_kick() tries at once.
 *
 * A channel is kept open ahead, so a command costs one round trip and the
 * remote fork; renewing that channel is the probe that finds a dead peer:
 * keepalive_ms after the last byte from it a probe is sent, and keepalive_ms after
 * that without an answer the session is lost as RG_SSH_SILENT.
 *
 * A command's words are joined with single spaces and may only contain
 * [A-Za-z0-9_./:=@,+-]: no shell text is ever built from data.
 */
#ifndef RG_SSH_H
#define RG_SSH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "../base/err.h"

struct event_base;

#define RG_SSH_OUTPUT_MAX (64 * 1024)	/* of one command within RG_SSH_OUTPUT_MS; more ends it: one that */
#define RG_SSH_OUTPUT_MS 10000	/* runs for hours may report as it goes, a flood is cut at once */
#define RG_SSH_LINE_MAX 4096
#define RG_SSH_INPUT_MAX 4096	/* that waits to be sent to one command */
#define RG_SSH_COMMANDS_MAX 8	/* at a time on one session; sshd allows 10 channels by default */

typedef struct RgSsh RgSsh;
typedef struct RgSshCommand RgSshCommand;

typedef enum RgSshState
{
	RG_SSH_UNKNOWN = 0,			/* not tried yet */
	RG_SSH_CONNECTING,
	RG_SSH_READY,
	RG_SSH_SILENT,				/* no answer within the deadline, or no way to the host */
	RG_SSH_REFUSED,				/* connection refused, reset or closed by the other side */
	RG_SSH_HOST_KEY,			/* unknown or changed host key */
	RG_SSH_AUTH,				/* the server does not take our key */
	RG_SSH_KEY_FILE,			/* our own key can't be read or used */
	RG_SSH_FAILED				/* anything else */
} RgSshState;

typedef struct RgSshParams
{
	char		node[64];		/* for messages */
	char		host[256];		/* as known_hosts names it */
	char		hostaddr[64];	/* numeric; "" = host is numeric itself, or not resolved yet */
	int			port;
	char		user[64];
	char		key_file[1024]; /* "" = agent only */
	char		known_hosts[1024];
	int			connect_deadline_ms;	/* for the whole of connect to authenticated */
	int			keepalive_ms;	/* see above; a command's deadline_ms counts by itself */
} RgSshParams;

/*
 * State or reason changed; reason is one line for people ("" when ready).  While
 * it tries again the state stays what the last failure was: CONNECTING comes
 * only before the first end.  May call anything here, rg_ssh_free() included.
 */
typedef void (*RgSshStateFn) (void *arg, RgSsh *ssh, RgSshState state, const char *reason, const char *hint);

/* One full line of standard output, without its newline; called as it comes.  What follows
 * the last newline is passed as a line when the command has exited. */
typedef void (*RgSshLineFn) (void *arg, const char *line);

/* How a command ended. */
typedef enum RgSshEnd
{
	RG_SSH_EXITED = 0,			/* exit_status is valid; 128 + N when ended by signal N.  libssh2 says 0
								 * too when sshd sent no status: a success is only what the
								 * command's own last line says as well */
	RG_SSH_NOT_SENT,			/* it never reached the node: nothing happened */
	RG_SSH_LOST,				/* session lost or deadline passed: outcome unknown */
	RG_SSH_TOO_MUCH				/* more output than allowed: closed, outcome unknown */
} RgSshEnd;

/* errors: the start of standard error (at most 1 kB), one string */
typedef void (*RgSshDoneFn) (void *arg, RgSshEnd end, int exit_status, const char *errors);

extern RgSsh *rg_ssh_new(struct event_base *base, const RgSshParams *params,
						 RgSshStateFn on_state, void *arg);
extern void rg_ssh_free(RgSsh *ssh);	/* takes NULL; calls nobody back */

/* New parameters count from the next connect on. */
extern void rg_ssh_set_params(RgSsh *ssh, const RgSshParams *params);

/* Starts (and keeps) the session. */
extern void rg_ssh_start(RgSsh *ssh);

/* Not ready: forget the back-off and try now.  Ready: probe it with a keepalive. */
extern void rg_ssh_kick(RgSsh *ssh);

extern RgSshState rg_ssh_state(const RgSsh *ssh);
extern const char *rg_ssh_reason(const RgSsh *ssh);

/*
 * Runs a command; words is a NULL-terminated list.  line may be NULL.  done is
 * called exactly once, never from inside this function.  Returns NULL when the
 * session is not ready, a word is not allowed or too many commands run (then
 * done is not called and err, if given, says why).
 */
extern RgSshCommand *rg_ssh_exec(RgSsh *ssh, const char *const *words, int deadline_ms,
								 RgSshLineFn line, RgSshDoneFn done, void *arg,
								 char *err, size_t errsize);

/*
 * Hands text to a running command's standard input (which stays open as long as
 * the command).  Returns false, and sends nothing, where what waits to be sent
 * would be more than RG_SSH_INPUT_MAX bytes, or the command is over.
 */
extern bool rg_ssh_write(RgSshCommand *cmd, const char *text);

/*
 * Closes a running command's channel; done is called later, from the loop, with RG_SSH_LOST
 * (RG_SSH_NOT_SENT where it was not sent yet).  The remote process sees a closed
 * standard output; nothing else ends it.
 */
extern void rg_ssh_cancel(RgSshCommand *cmd);

/*
 * Can this private key be used?  File mode, type, passphrase, RSA; for regentd --check.  0, or a
 * negative code and what to do.
 */
extern int	rg_ssh_key_check(const char *key_file, RgError *err);

#endif							/* RG_SSH_H */
