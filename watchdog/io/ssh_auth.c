/*
 * ssh_auth.c
 *	  Logging in: by the key file, else by the agent.
 *
 * The key file is looked at before libssh2 is given it (ssh_keyfile.c says
 * why), and what is wrong with it is what the operator is told, unless an
 * agent can do without the file.  Where the file shows which public key it
 * holds, only that key of the agent is used: sshd counts failed tries.
 */
#include "ssh_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AGENT_TRIES_MAX 5		/* sshd closes at MaxAuthTries, 6 by default */

static const char *
agent_socket(void)
{
	const char *path = getenv("SSH_AUTH_SOCK");

	return path != NULL && path[0] != '\0' ? path : NULL;
}

/* Nothing is left to be tried. */
static void
fault_login(RgSsh *ssh)
{
	const RgSshParams *p = &ssh->params;
	const char *agent = ssh->agent != NULL ? rg_ssh_agent_reason(ssh->agent) : "";
	char		hint[sizeof(ssh->fault_hint)];

	if (ssh->key_error.code != 0)
	{
		rg_ssh_fault(ssh, RG_SSH_KEY_FILE, ssh->key_error.hint, "%s%s%s", ssh->key_error.message,
					 agent[0] != '\0' ? "; " : "", agent);
		return;
	}
	if (p->key_file[0] != '\0')
		snprintf(hint, sizeof(hint), "Put the line that \"ssh-keygen -y -f %.200s\" prints into authorized_keys of %s "
				 "on the host; sshd's log there says why it refuses.", p->key_file, p->user);
	else
		snprintf(hint, sizeof(hint), "Put the key that \"ssh-add -L\" lists into authorized_keys of %s on the host, "
				 "or set ssh_key in regent.conf.", p->user);
	rg_ssh_fault(ssh, RG_SSH_AUTH, hint, "sshd of node %s does not let user %s in with our key%s%s%s%s",
				 p->node, p->user, ssh->goodbye[0] != '\0' ? ": " : "", ssh->goodbye,
				 agent[0] != '\0' ? "; " : "", agent);
}

static void
on_agent(void *arg)
{
	RgSsh	   *ssh = arg;

	event_active(ssh->wake, EV_TIMEOUT, 1);
}

static void
start_agent(RgSsh *ssh)
{
	const char *path = agent_socket();

	if (path == NULL)
	{
		fault_login(ssh);
		return;
	}
	ssh->agent_key = 0;
	ssh->agent_tries = 0;
	ssh->agent = rg_ssh_agent_new(ssh->base, path, on_agent, ssh);
	if (ssh->agent == NULL)
		rg_ssh_fault(ssh, RG_SSH_FAILED, "", "out of memory");
	else
		ssh->phase = SSH_AUTH_AGENT;
}

void
rg_ssh_auth_start(RgSsh *ssh)
{
	int			rc;

	rg_error_clear(&ssh->key_error);
	ssh->key.blob_len = 0;
	if (ssh->params.key_file[0] == '\0')
	{
		if (agent_socket() == NULL)
		{
			rg_error_set(&ssh->key_error, RGE_STATE, "no ssh_key is set and there is no SSH agent");
			rg_error_hint(&ssh->key_error, "Set ssh_key in regent.conf, or SSH_AUTH_SOCK in the environment of regentd.");
		}
		start_agent(ssh);
		return;
	}
	rc = rg_ssh_keyfile_read(ssh->params.key_file, &ssh->key, &ssh->key_error);
	if (rc == 0 && ssh->key.is_usable)
		ssh->phase = SSH_AUTH_FILE;
	else
		start_agent(ssh);		/* it may hold this very key, without its passphrase */
}

static bool
is_refusal(const RgSsh *ssh, int rc)
{
	return (rc == LIBSSH2_ERROR_AUTHENTICATION_FAILED || rc == LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED) &&
		ssh->io_errno == 0 && !ssh->is_eof && ssh->goodbye[0] == '\0';
}

void
rg_ssh_auth_file_step(RgSsh *ssh)
{
	const RgSshParams *p = &ssh->params;

	/* an empty passphrase, since with none OpenSSL would ask for one on the terminal */
	int			rc = libssh2_userauth_publickey_fromfile_ex(ssh->session, p->user, (unsigned) strlen(p->user),
															NULL, p->key_file, "");

	if (rc == LIBSSH2_ERROR_EAGAIN)
		rg_ssh_arm_as_asked(ssh);
	else if (rc == 0)
		ssh->phase = SSH_UP;
	else if (is_refusal(ssh, rc))
		start_agent(ssh);
	else if (ssh->goodbye[0] != '\0')
		fault_login(ssh);
	else if (rc == LIBSSH2_ERROR_FILE || rc == LIBSSH2_ERROR_KEYFILE_AUTH_FAILED || rc == LIBSSH2_ERROR_METHOD_NONE)
	{
		char	   *text = NULL;

		libssh2_session_last_error(ssh->session, &text, NULL, 0);
		rg_ssh_fault(ssh, RG_SSH_KEY_FILE, "Make an Ed25519 key: ssh-keygen -t ed25519 -N '' -f FILE",
					 "libssh2 can't use key file \"%.200s\": %.120s", p->key_file, text);
	}
	else
		rg_ssh_fault_from_session(ssh, "logging in");
}

static LIBSSH2_USERAUTH_PUBLICKEY_SIGN_FUNC(sign_by_agent)
{
	RgSsh	   *ssh = *abstract;
	int			rc = rg_ssh_agent_sign(ssh->agent, ssh->agent_key, data, data_len, sig, sig_len);

	(void) session;
	return rc == 1 ? 0 : rc == 0 ? LIBSSH2_ERROR_EAGAIN : -1;
}

/* Only keys of types that can be used, and only the configured one where its file shows which. */
static bool
is_wanted(const RgSsh *ssh, const unsigned char *blob, size_t len)
{
	if (ssh->key.blob_len > 0)
		return len == ssh->key.blob_len && memcmp(blob, ssh->key.blob, len) == 0;
	return len > 4 + 11 && (memcmp(blob + 4, "ssh-ed25519", 11) == 0 || memcmp(blob + 4, "ecdsa-sha2-", 11) == 0);
}

void
rg_ssh_auth_agent_step(RgSsh *ssh)
{
	void	   *abstract = ssh;

	rg_ssh_arm(ssh, 0);
	while (rg_ssh_agent_state(ssh->agent) == RG_SSH_AGENT_READY)
	{
		size_t		len;
		const unsigned char *blob = rg_ssh_agent_key(ssh->agent, ssh->agent_key, &len);
		int			rc;

		if (blob == NULL || ssh->agent_tries >= AGENT_TRIES_MAX)
		{
			fault_login(ssh);
			return;
		}
		if (!is_wanted(ssh, blob, len))
		{
			ssh->agent_key++;
			continue;
		}
		rc = libssh2_userauth_publickey(ssh->session, ssh->params.user, blob, len, sign_by_agent, &abstract);
		if (rc == 0)
		{
			ssh->phase = SSH_UP;
			return;
		}
		if (rc == LIBSSH2_ERROR_EAGAIN)
		{
			/* waiting for the agent itself: it wakes us */
			if (rg_ssh_agent_state(ssh->agent) == RG_SSH_AGENT_READY)
				rg_ssh_arm_as_asked(ssh);
			return;
		}
		if (!is_refusal(ssh, rc))
		{
			if (ssh->goodbye[0] != '\0')
				fault_login(ssh);
			else
				rg_ssh_fault_from_session(ssh, "logging in");
			return;
		}
		ssh->agent_key++;
		ssh->agent_tries++;
	}
	if (rg_ssh_agent_state(ssh->agent) == RG_SSH_AGENT_FAILED)
		fault_login(ssh);
}
