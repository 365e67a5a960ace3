/*
 * ssh_connect.c
 *	  From nothing to a host that is who it says, and back.
 *
 * One function for each phase: TCP connect, then the handshake with the check
 * of the host key at its end, before anything of ours is shown to the other
 * side; logging in is in ssh_auth.c.  LIBSSH2_ERROR_EAGAIN means "again when the
 * socket is ready"; a fault is noted by rg_ssh_fault() and acted on by ssh.c.
 *
 * libssh2 reads and writes through the two callbacks here.  They note when
 * the other side last spoke and how the socket ended, which libssh2 does not
 * tell, and they let a session be freed at once: when is_io_dead is set they only
 * fail, so that libssh2 never waits for the answer of a dead host.
 */
#include "ssh_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../base/clock.h"

static const char kex_methods[] =
"curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp384,"
"ecdh-sha2-nistp521,diffie-hellman-group16-sha512,diffie-hellman-group14-sha256,"
"diffie-hellman-group-exchange-sha256";
static const char ciphers[] = "aes128-ctr,aes192-ctr,aes256-ctr";
static const char macs[] = "hmac-sha2-256,hmac-sha2-512";

/* --- the transport --- */

static LIBSSH2_RECV_FUNC(io_recv)
{
	RgSsh	   *ssh = *abstract;
	ssize_t		n;

	if (ssh->is_io_dead)
		return -ECONNRESET;
	n = recv(socket, buffer, length, flags);
	if (n > 0)
	{
		ssh->last_rx = rg_clock_now_ms();
		ssh->rx_bytes += (uint64_t) n;
	}
	else if (n == 0)
		ssh->is_eof = true;
	else if (errno == EAGAIN || errno == EINTR)
		return -EAGAIN;
	else
	{
		ssh->io_errno = errno;
		return -errno;
	}
	return n;
}

static LIBSSH2_SEND_FUNC(io_send)
{
	RgSsh	   *ssh = *abstract;
	ssize_t		n;

	if (ssh->is_io_dead)
		return -EPIPE;
	n = send(socket, buffer, length, flags | MSG_NOSIGNAL);
	if (n >= 0)
		return n;
	if (errno == EAGAIN || errno == EINTR)
		return -EAGAIN;
	ssh->io_errno = errno;
	return -errno;
}

/* sshd says why it goes ("Too many authentication failures"). */
static LIBSSH2_DISCONNECT_FUNC(on_disconnect)
{
	RgSsh	   *ssh = *abstract;
	size_t		n = 0;

	(void) session;
	(void) reason;
	(void) language;
	(void) language_len;
	for (int i = 0; i < message_len && n < sizeof(ssh->goodbye) - 1; i++)
		ssh->goodbye[n++] = (unsigned char) message[i] < 0x20 || message[i] == 0x7F ? ' ' : message[i];
	ssh->goodbye[n] = '\0';
}

void
rg_ssh_arm_as_asked(RgSsh *ssh)
{
	int			directions = libssh2_session_block_directions(ssh->session);

	rg_ssh_arm(ssh, (short) ((directions & LIBSSH2_SESSION_BLOCK_OUTBOUND) != 0 ?
							 EV_WRITE | ((directions & LIBSSH2_SESSION_BLOCK_INBOUND) != 0 ? EV_READ : 0) : EV_READ));
}

void
rg_ssh_connect_drop(RgSsh *ssh)
{
	rg_ssh_arm(ssh, 0);
	rg_ssh_agent_free(ssh->agent);
	ssh->agent = NULL;
	rg_ssh_hostkeys_free(ssh->hostkeys);
	ssh->hostkeys = NULL;
	ssh->is_io_dead = true;
	if (ssh->session != NULL)
	{
		/* an unfinished key exchange frees its memory only when it is called to its end */
		if (ssh->phase == SSH_HANDSHAKE)
			(void) libssh2_session_handshake(ssh->session, ssh->fd);
		for (int i = 0; i < 100 && libssh2_session_free(ssh->session) == LIBSSH2_ERROR_EAGAIN; i++)
			;
	}
	ssh->session = NULL;
	if (ssh->fd >= 0)
	{
		/* what has not left yet must not be sent later, by the kernel: a verb that we have given up */
		const struct linger reset = {.l_onoff = 1, .l_linger = 0};

		(void) setsockopt(ssh->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(ssh->fd);
	}
	ssh->fd = -1;
	ssh->phase = SSH_DOWN;
}

/* --- TCP --- */

static bool
make_address(const RgSshParams *params, struct sockaddr_storage *ss, socklen_t *ret_len)
{
	const char *text = params->hostaddr[0] != '\0' ? params->hostaddr : params->host;
	struct sockaddr_in *in4 = (struct sockaddr_in *) ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *) ss;

	memset(ss, 0, sizeof(*ss));
	if (inet_pton(AF_INET, text, &in4->sin_addr) == 1)
	{
		in4->sin_family = AF_INET;
		in4->sin_port = htons((uint16_t) params->port);
		*ret_len = sizeof(*in4);
		return true;
	}
	if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1)
	{
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t) params->port);
		*ret_len = sizeof(*in6);
		return true;
	}
	return false;
}

static void
fault_from_errno(RgSsh *ssh, int err)
{
	RgSshState	state = RG_SSH_FAILED;

	if (err == ECONNREFUSED || err == ECONNRESET)
		state = RG_SSH_REFUSED;
	else if (err == ETIMEDOUT || err == EHOSTUNREACH || err == ENETUNREACH || err == EHOSTDOWN || err == ENETDOWN)
		state = RG_SSH_SILENT;
	rg_ssh_fault(ssh, state, state == RG_SSH_REFUSED ? "Start sshd on the host, or correct ssh_port in regent.conf."
				 : "Check host and network, and ssh_host in regent.conf.",
				 "could not connect to sshd of node %s at %.80s port %d: %s",
				 ssh->params.node, ssh->params.host, ssh->params.port, strerror(err));
}

void
rg_ssh_connect_start(RgSsh *ssh)
{
	struct sockaddr_storage ss;
	socklen_t	len;
	int			one = 1;

	ssh->is_io_dead = false;
	ssh->is_eof = false;
	ssh->io_errno = 0;
	ssh->goodbye[0] = '\0';
	ssh->last_rx = rg_clock_now_ms();
	ssh->connect_deadline = ssh->last_rx + ssh->params.connect_deadline_ms;
	ssh->phase = SSH_TCP;
	if (!make_address(&ssh->params, &ss, &len))
	{
		rg_ssh_fault(ssh, RG_SSH_FAILED, "Check DNS, or write an address as ssh_host in regent.conf.",
					 "no address is known for host \"%.80s\" of node %s", ssh->params.host, ssh->params.node);
		return;
	}
	ssh->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (ssh->fd < 0)
	{
		fault_from_errno(ssh, errno);
		return;
	}
	(void) setsockopt(ssh->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(ssh->fd, (struct sockaddr *) &ss, len) != 0 && errno != EINPROGRESS)
	{
		fault_from_errno(ssh, errno);
		return;
	}
	rg_ssh_arm(ssh, EV_WRITE);
}

/* --- handshake and host key --- */

/* libssh2 1.11.1 has another function for it, and warns of the one before. */
#if LIBSSH2_VERSION_NUM >= 0x010b01
#define SET_CALLBACK(session, which, function) \
	libssh2_session_callback_set2(session, which, (libssh2_cb_generic *) (function))
#else
#define SET_CALLBACK(session, which, function) \
	libssh2_session_callback_set(session, which, (void *) (function))
#endif

static bool
start_session(RgSsh *ssh)
{
	RgError		err;

	ssh->session = libssh2_session_init_ex(NULL, NULL, NULL, ssh);
	if (ssh->session == NULL)
	{
		rg_ssh_fault(ssh, RG_SSH_FAILED, "", "out of memory");
		return false;
	}
	libssh2_session_set_blocking(ssh->session, 0);
	SET_CALLBACK(ssh->session, LIBSSH2_CALLBACK_RECV, io_recv);
	SET_CALLBACK(ssh->session, LIBSSH2_CALLBACK_SEND, io_send);
	SET_CALLBACK(ssh->session, LIBSSH2_CALLBACK_DISCONNECT, on_disconnect);
	if (libssh2_session_method_pref(ssh->session, LIBSSH2_METHOD_KEX, kex_methods) != 0 ||
		libssh2_session_method_pref(ssh->session, LIBSSH2_METHOD_CRYPT_CS, ciphers) != 0 ||
		libssh2_session_method_pref(ssh->session, LIBSSH2_METHOD_CRYPT_SC, ciphers) != 0 ||
		libssh2_session_method_pref(ssh->session, LIBSSH2_METHOD_MAC_CS, macs) != 0 ||
		libssh2_session_method_pref(ssh->session, LIBSSH2_METHOD_MAC_SC, macs) != 0)
	{
		rg_ssh_fault_from_session(ssh, "choosing algorithms");
		return false;
	}
	if (rg_ssh_hostkeys_load(ssh->session, &ssh->params, &ssh->hostkeys, &err) != 0)
	{
		rg_ssh_fault(ssh, RG_SSH_HOST_KEY, err.hint, "%s", err.message);
		return false;
	}
	return true;
}

static void
tcp_step(RgSsh *ssh)
{
	struct sockaddr_storage ss;
	socklen_t	ss_len = sizeof(ss);
	int			err = 0;
	socklen_t	len = sizeof(err);

	if (getsockopt(ssh->fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0)
		err = errno;
	if (err != 0)
		fault_from_errno(ssh, err);
	else if (getpeername(ssh->fd, (struct sockaddr *) &ss, &ss_len) != 0)
		return;					/* not connected yet: something else has woken us */
	else if (start_session(ssh))
		ssh->phase = SSH_HANDSHAKE;
}

static void
handshake_step(RgSsh *ssh)
{
	RgError		err;
	int			rc = libssh2_session_handshake(ssh->session, ssh->fd);

	if (rc == LIBSSH2_ERROR_EAGAIN)
	{
		rg_ssh_arm_as_asked(ssh);
		return;
	}
	if (rc != 0)
	{
		if (ssh->io_errno == 0 && !ssh->is_eof &&
			(rc == LIBSSH2_ERROR_KEX_FAILURE || rc == LIBSSH2_ERROR_KEY_EXCHANGE_FAILURE))
			rg_ssh_fault(ssh, RG_SSH_FAILED, "On the host make Ed25519 or ECDSA host keys (ssh-keygen -A) and restart sshd; "
						 "sshd must offer curve25519-sha256 or ecdh-sha2-nistp256, aes-ctr and hmac-sha2-256.",
						 "sshd of node %s has no algorithm in common with us", ssh->params.node);
		else
			rg_ssh_fault_from_session(ssh, "exchanging keys");
		return;
	}
	if (rg_ssh_hostkeys_check(ssh->hostkeys, ssh->session, &ssh->params, &err) != 0)
		rg_ssh_fault(ssh, RG_SSH_HOST_KEY, err.hint, "%s%s%s", err.message,
					 err.detail[0] != '\0' ? "; " : "", err.detail);
	else
		rg_ssh_auth_start(ssh);
}

void
rg_ssh_connect_step(RgSsh *ssh)
{
	RgSshPhase	before;

	/* a phase that is done goes on with the next one at once */
	do
	{
		before = ssh->phase;
		switch (ssh->phase)
		{
			case SSH_TCP:
				tcp_step(ssh);
				break;
			case SSH_HANDSHAKE:
				handshake_step(ssh);
				break;
			case SSH_AUTH_FILE:
				rg_ssh_auth_file_step(ssh);
				break;
			case SSH_AUTH_AGENT:
				rg_ssh_auth_agent_step(ssh);
				break;
			case SSH_DOWN:
			case SSH_UP:
				break;
		}
	} while (ssh->phase != before && !ssh->is_faulty);

	if (ssh->phase == SSH_UP)
	{
		rg_ssh_agent_free(ssh->agent);
		ssh->agent = NULL;
		rg_ssh_hostkeys_free(ssh->hostkeys);
		ssh->hostkeys = NULL;
	}
}
