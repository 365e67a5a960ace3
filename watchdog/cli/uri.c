/*
 * uri.c
 *	  Multi-host connection strings of libpq.
 *
 * Only what libpq 14 and 15 know: target_session_attrs, and a connect_timeout,
 * because a host that is gone without a word is otherwise waited for by the
 * kernel's patience (minutes) before the next one is tried.  Random choice of
 * hosts (load_balance_hosts) came with libpq 16.
 */
#include "uri.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_TIMEOUT_S 3

typedef struct Text
{
	char	   *buf;
	size_t		len;
} Text;

static void __attribute__((format(printf, 2, 3)))
add(Text *text, const char *fmt,...)
{
	va_list		args;
	int			n;

	va_start(args, fmt);
	n = vsnprintf(text->buf + text->len, RG_URI_MAX - text->len, fmt, args);
	va_end(args);
	if (n > 0)
		text->len += (size_t) n;
	if (text->len >= RG_URI_MAX)
		text->len = RG_URI_MAX - 1;
}

/* Everything but letters, digits and -._~ as %XX. */
static void
add_escaped(Text *text, const char *value)
{
	for (; *value != '\0'; value++)
	{
		if (isalnum((unsigned char) *value) || strchr("-._~", *value) != NULL)
			add(text, "%c", *value);
		else
			add(text, "%%%02X", (unsigned char) *value);
	}
}

/* A value of the keyword form, quoted where it must be. */
static void
add_quoted(Text *text, const char *value)
{
	if (*value != '\0' && strpbrk(value, " '\\\t") == NULL)
	{
		add(text, "%s", value);
		return;
	}
	add(text, "'");
	for (; *value != '\0'; value++)
		add(text, strchr("'\\", *value) != NULL ? "\\%c" : "%c", *value);
	add(text, "'");
}

/* The nodes that belong into the string, in order; returns how many. */
static int
choose(const RgConfig *config, RgUriKind kind, const RgNodeConfig **ret)
{
	int			n = 0;

	for (int i = 0; i < config->nnodes; i++)
	{
		const RgNodeConfig *node = &config->nodes[i];
		int			at = n;

		if (kind == RG_URI_READ ? node->weight == 0 : node->priority == 0)
			continue;
		/* the likeliest first; equal ones stay in the order of the file */
		while (at > 0 && (kind == RG_URI_READ ? ret[at - 1]->weight < node->weight
						  : ret[at - 1]->priority < node->priority))
		{
			ret[at] = ret[at - 1];
			at--;
		}
		ret[at] = node;
		n++;
	}
	/* a string that names nobody helps nobody */
	if (n == 0)
		for (; n < config->nnodes; n++)
			ret[n] = &config->nodes[n];
	return n;
}

static void
add_uri(Text *text, const RgNodeConfig *const *nodes, int n, const char *dbname, const char *user)
{
	add(text, "postgresql://");
	if (*user != '\0')
	{
		add_escaped(text, user);
		add(text, "@");
	}
	for (int i = 0; i < n; i++)
	{
		if (i > 0)
			add(text, ",");
		if (strchr(nodes[i]->host, ':') != NULL)
			add(text, "[%s]", nodes[i]->host);
		else
			add_escaped(text, nodes[i]->host);
		add(text, ":%d", nodes[i]->port);
	}
	add(text, "/");
	add_escaped(text, dbname);
	add(text, "?");
}

static void
add_keywords(Text *text, const RgNodeConfig *const *nodes, int n, const char *dbname, const char *user)
{
	add(text, "host=");
	for (int i = 0; i < n; i++)
		add(text, "%s%s", i > 0 ? "," : "", nodes[i]->host);
	add(text, " port=");
	for (int i = 0; i < n; i++)
		add(text, "%s%d", i > 0 ? "," : "", nodes[i]->port);
	add(text, " dbname=");
	add_quoted(text, dbname);
	if (*user != '\0')
	{
		add(text, " user=");
		add_quoted(text, user);
	}
	add(text, " ");
}

const char *
rg_uri_build(const RgConfig *config, RgUriKind kind, RgUriForm form,
			 const char *dbname, const char *user, char *buf)
{
	const RgNodeConfig *nodes[RG_NODES_MAX];
	Text		text = {.buf = buf};
	int			n = choose(config, kind, nodes);
	const char *separator = form == RG_URI_FORM_URI ? "&" : " ";

	buf[0] = '\0';
	if (form == RG_URI_FORM_URI)
		add_uri(&text, nodes, n, dbname, user);
	else
		add_keywords(&text, nodes, n, dbname, user);
	add(&text, "target_session_attrs=%s", kind == RG_URI_READ ? "prefer-standby" : "read-write");
	add(&text, "%sconnect_timeout=%d", separator, CONNECT_TIMEOUT_S);
	/* what regentd needs to trust a server, a client needs as well */
	if (strcmp(config->sslmode, "prefer") != 0)
		add(&text, "%ssslmode=%s", separator, config->sslmode);
	return buf;
}
