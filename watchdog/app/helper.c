/*
 * helper.c
 *	  The waiting helper, and commands beside it.
 *
 * Its answers carry no number: one verb is under way at a time, and when a
 * deadline passes the whole channel is given up, so that a late answer can't
 * be taken for the answer to a later question.
 */
#include "helper.h"

#include <event2/event.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 16
#define AGAIN_MS 1000			/* before a helper that ended is started again */
#define AGAIN_MOST_MS 60000

struct RgHelper
{
	struct event_base *base;
	RgSsh	   *ssh;
	char		node[64];
	RgSshCommand *serving;		/* the waiting helper's channel, or NULL */
	bool		is_ready;		/* it has said so */
	struct event *again;		/* starts it after it ended */
	struct event *deadline;		/* of the verb under way */
	int64_t		wait_ms;
	RgSshLineFn line;			/* of the verb under way; done == NULL: none is */
	RgSshDoneFn done;
	void	   *arg;
};

/* The verb under way has ended. */
static void
finish(RgHelper *h, RgSshEnd end, int status, const char *errors)
{
	RgSshDoneFn done = h->done;

	(void) event_del(h->deadline);
	h->done = NULL;
	h->line = NULL;
	if (done != NULL)
		done(h->arg, end, status, errors);
}

static void
on_line(void *arg, const char *line)
{
	RgHelper   *h = arg;
	bool		ok = strncmp(line, "{\"ok\":true", 10) == 0;

	if (!h->is_ready)
	{
		h->is_ready = ok;
		h->wait_ms = AGAIN_MS;
		return;
	}
	if (h->done == NULL)
		return;
	h->line(h->arg, line);
	finish(h, RG_SSH_EXITED, ok ? 0 : 1, "");
}

static void
on_end(void *arg, RgSshEnd end, int status, const char *errors)
{
	RgHelper   *h = arg;
	struct timeval tv = {h->wait_ms / 1000, h->wait_ms % 1000 * 1000};

	(void) status;
	h->serving = NULL;
	h->is_ready = false;
	if (h->wait_ms < AGAIN_MOST_MS)
		h->wait_ms *= 2;
	(void) event_add(h->again, &tv);
	/* a verb that was handed over may have run */
	finish(h, end == RG_SSH_NOT_SENT ? RG_SSH_NOT_SENT : RG_SSH_LOST, -1, errors);
}

static void
start_serving(RgHelper *h)
{
	const char *words[] = {"regent-node", h->node, "serve", NULL};

	if (h->serving == NULL && rg_ssh_state(h->ssh) == RG_SSH_READY)
		h->serving = rg_ssh_exec(h->ssh, words, INT_MAX, on_line, on_end, h, NULL, 0);
}

static void
on_again(evutil_socket_t fd, short what, void *arg)
{
	(void) fd;
	(void) what;
	start_serving(arg);
}

static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	RgHelper   *h = arg;

	(void) fd;
	(void) what;
	/* on_end follows and tells that the outcome is unknown */
	h->is_ready = false;
	if (h->serving != NULL)
		rg_ssh_cancel(h->serving);
	else
		finish(h, RG_SSH_LOST, -1, "");
}

RgHelper *
rg_helper_new(struct event_base *base, RgSsh *ssh, const char *node)
{
	RgHelper   *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return NULL;
	h->base = base;
	h->ssh = ssh;
	h->wait_ms = AGAIN_MS;
	(void) snprintf(h->node, sizeof(h->node), "%s", node);
	h->again = evtimer_new(base, on_again, h);
	h->deadline = evtimer_new(base, on_deadline, h);
	if (h->again == NULL || h->deadline == NULL)
	{
		rg_helper_free(h);
		return NULL;
	}
	return h;
}

void
rg_helper_free(RgHelper *h)
{
	if (h == NULL)
		return;
	if (h->again != NULL)
		event_free(h->again);
	if (h->deadline != NULL)
		event_free(h->deadline);
	free(h);
}

void
rg_helper_session(RgHelper *h, bool is_ready)
{
	if (!is_ready)
		return;					/* its channel is lost with the session: on_end says so */
	h->wait_ms = AGAIN_MS;
	start_serving(h);
}

/* Verbs that the waiting helper takes. */
static bool
is_quick(const char *verb)
{
	return strcmp(verb, "probe") == 0 || strcmp(verb, "fence") == 0 || strcmp(verb, "promote") == 0;
}

static bool
hand_over(RgHelper *h, const char *const *words)
{
	char		text[512];
	size_t		len = 0;

	for (int i = 0; words[i] != NULL; i++)
	{
		int			n = snprintf(text + len, sizeof(text) - len, "%s%s", i ? " " : "", words[i]);

		if (n < 0 || (size_t) n >= sizeof(text) - len - 1)
			return false;
		len += (size_t) n;
	}
	text[len++] = '\n';
	text[len] = '\0';
	return rg_ssh_write(h->serving, text);
}

int
rg_helper_run(RgHelper *h, const char *const *words, int deadline_ms, RgSshLineFn line,
			  RgSshDoneFn done, void *arg, RgSshCommand **ret_command, char *err, size_t errsize)
{
	const char *all[WORDS_MAX + 3] = {"regent-node", h->node};

	*ret_command = NULL;
	if (h->is_ready && h->serving != NULL && h->done == NULL && is_quick(words[0]) &&
		hand_over(h, words))
	{
		struct timeval tv = {deadline_ms / 1000, deadline_ms % 1000 * 1000};

		h->line = line;
		h->done = done;
		h->arg = arg;
		(void) event_add(h->deadline, &tv);
		return 0;
	}
	for (int i = 0; words[i] != NULL && i < WORDS_MAX; i++)
		all[i + 2] = words[i];
	*ret_command = rg_ssh_exec(h->ssh, all, deadline_ms, line, done, arg, err, errsize);
	return *ret_command != NULL ? 0 : -1;
}
