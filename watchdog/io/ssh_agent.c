/*
 * ssh_agent.c
 *	  Messages to an SSH agent: list the keys, sign.
 *
 * The protocol is a length (four bytes, big-endian), a type and a body.  One
 * request is under way at a time.  The deadline is the session's: whoever
 * owns this frees it when the time to connect is over.
 */
#include "ssh_agent.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MESSAGE_MAX (256 * 1024)

/* message types of the agent protocol */
#define REQUEST_IDENTITIES 11
#define IDENTITIES_ANSWER 12
#define SIGN_REQUEST 13
#define SIGN_RESPONSE 14

typedef struct AgentKey
{
	unsigned char *blob;
	size_t		len;
} AgentKey;

struct RgSshAgent
{
	struct bufferevent *bev;
	RgSshAgentFn fn;
	void	   *arg;
	RgSshAgentState state;
	char		reason[160];
	AgentKey	keys[RG_SSH_AGENT_KEYS_MAX];
	int			nkeys;
	int			expected;		/* the type of the answer that is waited for; 0 = none */
	int			signing;		/* the key that is asked to sign; -1 = none */
	unsigned char *signature;
	size_t		signature_len;
};

static uint32_t
get_u32(const unsigned char *p)
{
	return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
}

static void
put_u32(unsigned char *p, size_t value)
{
	p[0] = (unsigned char) (value >> 24);
	p[1] = (unsigned char) (value >> 16);
	p[2] = (unsigned char) (value >> 8);
	p[3] = (unsigned char) value;
}

/* A length-prefixed string at *at; NULL where it does not fit. */
static const unsigned char *
take_string(const unsigned char *buf, size_t len, size_t *at, size_t *ret_len)
{
	const unsigned char *s;
	size_t		n;

	if (len - *at < 4)
		return NULL;
	n = get_u32(buf + *at);
	if (len - *at - 4 < n)
		return NULL;
	s = buf + *at + 4;
	*at += 4 + n;
	*ret_len = n;
	return s;
}

static void
fail(RgSshAgent *agent, const char *reason)
{
	agent->state = RG_SSH_AGENT_FAILED;
	agent->expected = 0;
	snprintf(agent->reason, sizeof(agent->reason), "%s", reason);
	if (agent->bev != NULL)
		bufferevent_disable(agent->bev, EV_READ | EV_WRITE);
}

static void
send_message(RgSshAgent *agent, const unsigned char *body, size_t len, int expected)
{
	unsigned char head[4];

	put_u32(head, len);
	agent->expected = expected;
	agent->state = RG_SSH_AGENT_WAITING;
	if (bufferevent_write(agent->bev, head, 4) != 0 || bufferevent_write(agent->bev, body, len) != 0)
		fail(agent, "out of memory");
}

/* Only what is complete and fits is taken; the rest of a longer list is left out. */
static void
take_keys(RgSshAgent *agent, const unsigned char *body, size_t len)
{
	size_t		at = 4;
	uint32_t	n;

	if (len < 4)
	{
		fail(agent, "the agent's list of keys can't be read");
		return;
	}
	n = get_u32(body);
	for (uint32_t i = 0; i < n && agent->nkeys < RG_SSH_AGENT_KEYS_MAX; i++)
	{
		AgentKey   *key = &agent->keys[agent->nkeys];
		const unsigned char *blob;
		size_t		blob_len;
		size_t		comment_len;

		blob = take_string(body, len, &at, &blob_len);
		if (blob == NULL || take_string(body, len, &at, &comment_len) == NULL)
		{
			fail(agent, "the agent's list of keys can't be read");
			return;
		}
		key->blob = malloc(blob_len > 0 ? blob_len : 1);
		if (key->blob == NULL)
			break;
		memcpy(key->blob, blob, blob_len);
		key->len = blob_len;
		agent->nkeys++;
	}
	agent->state = RG_SSH_AGENT_READY;
}

/* string { string method, string signature }: libssh2 wants the inner signature alone */
static void
take_signature(RgSshAgent *agent, const unsigned char *body, size_t len)
{
	const unsigned char *both;
	const unsigned char *sig = NULL;
	size_t		at = 0;
	size_t		both_len;
	size_t		n = 0;

	agent->state = RG_SSH_AGENT_READY;
	both = take_string(body, len, &at, &both_len);
	if (both != NULL)
	{
		at = 0;
		if (take_string(both, both_len, &at, &n) != NULL)
			sig = take_string(both, both_len, &at, &n);
	}
	if (sig == NULL)
		return;					/* no signature: the caller sees that it is missing */
	agent->signature = malloc(n > 0 ? n : 1);
	if (agent->signature != NULL)
	{
		memcpy(agent->signature, sig, n);
		agent->signature_len = n;
	}
}

static void
on_read(struct bufferevent *bev, void *arg)
{
	RgSshAgent *agent = arg;
	struct evbuffer *input = bufferevent_get_input(bev);
	unsigned char head[5];
	unsigned char *message;
	size_t		len;

	if (evbuffer_copyout(input, head, sizeof(head)) < (ev_ssize_t) sizeof(head))
		return;
	len = get_u32(head);
	if (agent->expected == 0 || len < 1 || len > MESSAGE_MAX)
	{
		fail(agent, "the agent's answer can't be read");
		agent->fn(agent->arg);
		return;
	}
	if (evbuffer_get_length(input) < 4 + len)
		return;
	message = evbuffer_pullup(input, (ev_ssize_t) (4 + len));
	if (message == NULL)
		fail(agent, "out of memory");
	else if (agent->expected == IDENTITIES_ANSWER && head[4] == IDENTITIES_ANSWER)
		take_keys(agent, message + 5, len - 1);
	else if (agent->expected == SIGN_RESPONSE && head[4] == SIGN_RESPONSE)
		take_signature(agent, message + 5, len - 1);
	else if (agent->expected == SIGN_RESPONSE)
		agent->state = RG_SSH_AGENT_READY;	/* it refuses to sign */
	else
		fail(agent, "the agent refuses to list its keys");
	agent->expected = 0;
	evbuffer_drain(input, 4 + len);
	agent->fn(agent->arg);
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	RgSshAgent *agent = arg;

	(void) bev;
	if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) == 0)
		return;
	fail(agent, "the agent closed the connection");
	agent->fn(agent->arg);
}

static void
connect_agent(RgSshAgent *agent, struct event_base *base, const char *socket_path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	static const unsigned char request[] = {REQUEST_IDENTITIES};
	char		text[sizeof(agent->reason)];
	int			fd;

	if (strlen(socket_path) >= sizeof(sa.sun_path))
	{
		fail(agent, "the path in SSH_AUTH_SOCK is too long");
		return;
	}
	strcpy(sa.sun_path, socket_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *) &sa, sizeof(sa)) != 0)
	{
		/* a Unix socket connects at once or not at all; EAGAIN means that its queue is full */
		snprintf(text, sizeof(text), "could not connect to the agent at \"%.80s\": %s",
				 socket_path, strerror(errno));
		fail(agent, text);
		if (fd >= 0)
			close(fd);
		return;
	}
	agent->bev = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (agent->bev == NULL)
	{
		close(fd);
		fail(agent, "out of memory");
		return;
	}
	bufferevent_setcb(agent->bev, on_read, NULL, on_event, agent);
	bufferevent_enable(agent->bev, EV_READ | EV_WRITE);
	send_message(agent, request, sizeof(request), IDENTITIES_ANSWER);
}

RgSshAgent *
rg_ssh_agent_new(struct event_base *base, const char *socket_path, RgSshAgentFn fn, void *arg)
{
	RgSshAgent *agent = calloc(1, sizeof(*agent));

	if (agent == NULL)
		return NULL;
	agent->fn = fn;
	agent->arg = arg;
	agent->signing = -1;
	connect_agent(agent, base, socket_path);
	return agent;
}

void
rg_ssh_agent_free(RgSshAgent *agent)
{
	if (agent == NULL)
		return;
	if (agent->bev != NULL)
		bufferevent_free(agent->bev);
	for (int i = 0; i < agent->nkeys; i++)
		free(agent->keys[i].blob);
	free(agent->signature);
	free(agent);
}

RgSshAgentState
rg_ssh_agent_state(const RgSshAgent *agent)
{
	return agent->state;
}

const char *
rg_ssh_agent_reason(const RgSshAgent *agent)
{
	return agent->reason;
}

const unsigned char *
rg_ssh_agent_key(const RgSshAgent *agent, int i, size_t *ret_len)
{
	if (i < 0 || i >= agent->nkeys)
		return NULL;
	*ret_len = agent->keys[i].len;
	return agent->keys[i].blob;
}

static int
request_signature(RgSshAgent *agent, const AgentKey *key, const unsigned char *data, size_t len)
{
	size_t		size = 1 + 4 + key->len + 4 + len + 4;
	unsigned char *body;
	unsigned char *p;

	if (size > MESSAGE_MAX || (body = malloc(size)) == NULL)
		return -1;
	p = body;
	*p++ = SIGN_REQUEST;
	put_u32(p, key->len);
	memcpy(p + 4, key->blob, key->len);
	p += 4 + key->len;
	put_u32(p, len);
	memcpy(p + 4, data, len);
	p += 4 + len;
	put_u32(p, 0);				/* flags */
	send_message(agent, body, size, SIGN_RESPONSE);
	free(body);
	return agent->state == RG_SSH_AGENT_FAILED ? -1 : 0;
}

int
rg_ssh_agent_sign(RgSshAgent *agent, int i, const unsigned char *data, size_t len,
				  unsigned char **ret_sig, size_t *ret_sig_len)
{
	if (agent->state == RG_SSH_AGENT_FAILED || i < 0 || i >= agent->nkeys)
		return -1;
	if (agent->expected != 0)
		return 0;
	if (agent->signing != i)
	{
		agent->signing = i;
		return request_signature(agent, &agent->keys[i], data, len);
	}
	agent->signing = -1;
	if (agent->signature == NULL)
		return -1;
	*ret_sig = agent->signature;
	*ret_sig_len = agent->signature_len;
	agent->signature = NULL;
	return 1;
}
