/*
 * ssh.h
 *	  One warm SSH session to a node, and commands on it.
 *
 * libssh2, non-blocking, on the event loop, TCP_NODELAY.  The host key is
 * checked against known_hosts before authentication; an unknown or a changed
 * key is an error that names the node and the command to fix it.
 * Authentication: public key from a file (ed25519, ECDSA), else the agent.
 * The session is kept alive and connects again by itself with a back-off
 * (100 ms doubling to 30 s, with the node's own jitter seed); rg_ssh_kick()
 * tries at once.
 *
 * A command's words are joined with single spaces and may only contain
 * [A-Za-z0-9_./:=@,+-]: no shell text is ever built from data.
 */
#ifndef RG_SSH_H
#define RG_SSH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;

#define RG_SSH_OUTPUT_MAX (64 * 1024)	/* of one command; more ends it with an error */
#define RG_SSH_LINE_MAX 4096
#define RG_SSH_COMMANDS_MAX 8	/* channels open at a time on one session */

typedef struct RgSsh RgSsh;
typedef struct RgSshCommand RgSshCommand;

typedef enum RgSshState
{
	RG_SSH_UNKNOWN = 0,			/* not tried yet */
	RG_SSH_CONNECTING,
	RG_SSH_READY,
	RG_SSH_SILENT,				/* no answer within the deadline */
	RG_SSH_REFUSED,				/* connection refused or reset */
	RG_SSH_HOST_KEY,			/* unknown or changed host key */
	RG_SSH_AUTH,				/* the server does not take our key */
	RG_SSH_KEY_FILE,			/* our own key can't be read or used */
	RG_SSH_FAILED				/* anything else */
} RgSshState;

typedef struct RgSshParams
{
	char		node[64];		/* for messages */
	char		host[256];		/* as known_hosts names it */
	char		hostaddr[64];	/* numeric; "" = host is numeric itself */
	int			port;
	char		user[64];
	char		key_file[1024]; /* "" = agent only */
	char		known_hosts[1024];
	int			connect_deadline_ms;	/* for the whole of connect to authenticated */
	int			keepalive_ms;
} RgSshParams;

/* The state changed; reason is one line for people ("" when ready). */
typedef void (*RgSshStateFn) (void *arg, RgSsh *ssh, RgSshState state, const char *reason, const char *hint);

/* One full line of standard output, without its newline; called as it comes. */
typedef void (*RgSshLineFn) (void *arg, const char *line);

/* How a command ended. */
typedef enum RgSshEnd
{
	RG_SSH_EXITED = 0,			/* exit_status is valid */
	RG_SSH_NOT_SENT,			/* it never reached the node: nothing happened */
	RG_SSH_LOST,				/* session lost or deadline passed: outcome unknown */
	RG_SSH_TOO_MUCH				/* more output than allowed: closed, outcome unknown */
} RgSshEnd;

/* errors: the start of standard error (at most 1 kB), one string */
typedef void (*RgSshDoneFn) (void *arg, RgSshEnd end, int exit_status, const char *errors);

extern RgSsh *rg_ssh_new(struct event_base *base, const RgSshParams *params,
						 RgSshStateFn on_state, void *arg);
extern void rg_ssh_free(RgSsh *ssh);	/* takes NULL; calls nobody back */
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

/* Closes a running command's channel; done is called with RG_SSH_LOST. */
extern void rg_ssh_cancel(RgSshCommand *cmd);

#endif							/* RG_SSH_H */
