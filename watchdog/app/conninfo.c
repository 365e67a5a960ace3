/*
 * conninfo.c
 *	  Connection strings of replication.
 *
 * All values are quoted as libpq wants it, also those that need no quotes:
 * there is one form.
 */
#include "conninfo.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <string.h>

static const char *const words[] = {"host", "port", "user", "application_name", "sslmode", "passfile"};

/* key='value', the value with \ before ' and \; returns the new length. */
static size_t
add(char *buf, size_t size, size_t len, const char *key, const char *value)
{
	int			n = snprintf(buf + len, size - len, "%s%s='", len > 0 ? " " : "", key);

	if (n < 0 || (size_t) n >= size - len)
		return len;
	len += (size_t) n;
	for (; *value != '\0' && len + 3 < size; value++)
	{
		if (*value == '\'' || *value == '\\')
			buf[len++] = '\\';
		buf[len++] = *value;
	}
	buf[len++] = '\'';
	buf[len] = '\0';
	return len;
}

const char *
rg_conninfo_replication(const RgConfig *config, int standby, int leader, char *buf, size_t size)
{
	char		port[16];
	size_t		len = 0;

	snprintf(port, sizeof(port), "%d", config->nodes[leader].port);
	buf[0] = '\0';
	len = add(buf, size, len, "host", config->nodes[leader].host);
	len = add(buf, size, len, "port", port);
	len = add(buf, size, len, "user", config->replication_user);
	len = add(buf, size, len, "application_name", config->nodes[standby].name);
	len = add(buf, size, len, "sslmode", config->sslmode);
	if (config->replication_passfile[0] != '\0')
		add(buf, size, len, "passfile", config->replication_passfile);
	return buf;
}

static const char *
value_of(const PQconninfoOption *options, const char *word)
{
	for (const PQconninfoOption *o = options; o->keyword != NULL; o++)
		if (strcmp(o->keyword, word) == 0 && o->val != NULL)
			return o->val;
	return strcmp(word, "sslmode") == 0 ? "prefer" : "";	/* libpq's default */
}

bool
rg_conninfo_equal(const char *a, const char *b)
{
	PQconninfoOption *oa = PQconninfoParse(a, NULL);
	PQconninfoOption *ob = PQconninfoParse(b, NULL);
	bool		is_equal = oa != NULL && ob != NULL;

	for (size_t i = 0; is_equal && i < sizeof(words) / sizeof(words[0]); i++)
		is_equal = strcmp(value_of(oa, words[i]), value_of(ob, words[i])) == 0;
	PQconninfoFree(oa);
	PQconninfoFree(ob);
	return is_equal;
}
