/*
 * ssh_agent.h
 *	  A small asynchronous client of the SSH agent.
 *
 * libssh2's own agent client can't be used without blocking: version 1.10
 * keeps a pointer into a dead stack frame and frees its request when the
 * agent does not answer at once.  An agent may ask a person before it answers
 * (F39), so blocking is not possible here.
 */
#ifndef RG_SSH_AGENT_H
#define RG_SSH_AGENT_H

#include <stdbool.h>
#include <stddef.h>

struct event_base;

#define RG_SSH_AGENT_KEYS_MAX 16

typedef struct RgSshAgent RgSshAgent;

/* Something has come: look at the state, or ask for the signature again. */
typedef void (*RgSshAgentFn) (void *arg);

typedef enum RgSshAgentState
{
	RG_SSH_AGENT_WAITING = 0,	/* for its list of keys, or for a signature */
	RG_SSH_AGENT_READY,
	RG_SSH_AGENT_FAILED
} RgSshAgentState;

/* Connects and asks for the keys; NULL when out of memory.  fn is called from the loop only. */
extern RgSshAgent *rg_ssh_agent_new(struct event_base *base, const char *socket_path,
									RgSshAgentFn fn, void *arg);
extern void rg_ssh_agent_free(RgSshAgent *agent);	/* takes NULL */

extern RgSshAgentState rg_ssh_agent_state(const RgSshAgent *agent);
extern const char *rg_ssh_agent_reason(const RgSshAgent *agent);

/* Key number i as a public key blob, or NULL past the last. */
extern const unsigned char *rg_ssh_agent_key(const RgSshAgent *agent, int i, size_t *ret_len);

/*
 * The signature of data by key i: 1 and malloc'd bytes; 0 while the agent has not answered
 * (ask again with the same data after fn); -1 when it does not sign.
 */
extern int	rg_ssh_agent_sign(RgSshAgent *agent, int i, const unsigned char *data, size_t len,
							  unsigned char **ret_sig, size_t *ret_sig_len);

#endif							/* RG_SSH_AGENT_H */
