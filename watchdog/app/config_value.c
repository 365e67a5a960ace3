/*
 * config_value.c
 *	  Types of configuration values.
 *
 * What may stand in a value is listed, not what may not: names, hosts and
 * paths later become words of SSH commands, parts of connection strings and
 * file names, and a list of allowed characters is the same for all of them.
 */
#include "config_value.h"
#include "../base/err.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_LEN_MAX 40
#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

static const struct
{
	const char *name;
	int64_t		ms;
}			units[] = {
	{"d", INT64_C(86400000)},
	{"h", 3600000},
	{"min", 60000},
	{"s", 1000},
	{"ms", 1},
};

#define NUNITS (sizeof(units) / sizeof(units[0]))

int
rg_duration_parse(const char *text, int64_t *ret_ms, char *ret_why, size_t size)
{
	char	   *end;
	long long	number;

	errno = 0;
	number = strtoll(text, &end, 10);
	if (end == text || errno != 0 || number < 0 || *text == '+')
	{
		snprintf(ret_why, size, "a duration is needed, such as 500ms, 5s, 1min or 2h");
		return RGE_ARGUMENT;
	}
	end += strspn(end, " \t");
	if (*end == '\0')
	{
		snprintf(ret_why, size, "it has no unit: write %lldms, %llds, %lldmin or %lldh",
				 number, number, number, number);
		return RGE_ARGUMENT;
	}
	for (size_t i = 0; i < NUNITS; i++)
	{
		if (strcmp(end, units[i].name) != 0)
			continue;
		if (number > INT64_MAX / units[i].ms)
			break;
		*ret_ms = number * units[i].ms;
		return 0;
	}
	if (*end == '.' || *end == ',')
		snprintf(ret_why, size, "only whole numbers are allowed: write 1500ms instead of 1.5s");
	else
		snprintf(ret_why, size, "\"%.20s\" is not a unit: ms, s, min, h and d are", end);
	return RGE_ARGUMENT;
}

const char *
rg_duration_format(int64_t ms, char *buf, size_t size)
{
	size_t		i;

	for (i = 0; i < NUNITS - 1; i++)
		if (ms != 0 && ms % units[i].ms == 0)
			break;
	if (ms == 0)
		i = NUNITS - 2;
	snprintf(buf, size, "%" PRId64 "%s", ms / units[i].ms, units[i].name);
	return buf;
}

/* As PostgreSQL's memory units: 1 kB = 1024 bytes. */
int
rg_size_parse(const char *text, int64_t *ret_bytes, char *ret_why, size_t size)
{
	static const struct
	{
		const char *name;
		int64_t		bytes;
	}			sizes[] = {{"", 1}, {"B", 1}, {"kB", 1024}, {"MB", 1024 * 1024}, {"GB", 1024 * 1024 * 1024}};
	char	   *end;
	long long	number;

	errno = 0;
	number = strtoll(text, &end, 10);
	if (end == text || errno != 0 || number < 0 || *text == '+')
	{
		snprintf(ret_why, size, "a size is needed, such as 512kB, 50MB or 1GB");
		return RGE_ARGUMENT;
	}
	end += strspn(end, " \t");
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		if (strcmp(end, sizes[i].name) == 0 && number <= INT64_MAX / sizes[i].bytes)
		{
			*ret_bytes = number * sizes[i].bytes;
			return 0;
		}
	snprintf(ret_why, size, "\"%.20s\" is not a unit: B, kB, MB and GB are", end);
	return RGE_ARGUMENT;
}

int
rg_boolean_parse(const char *text, bool *ret_value)
{
	static const char *const on[] = {"on", "true", "yes", "1"};
	static const char *const off[] = {"off", "false", "no", "0"};

	for (size_t i = 0; i < 4; i++)
	{
		if (strcmp(text, on[i]) == 0 || strcmp(text, off[i]) == 0)
		{
			*ret_value = strcmp(text, on[i]) == 0;
			return 0;
		}
	}
	return RGE_ARGUMENT;
}

bool
rg_node_name_is_valid(const char *name)
{
	size_t		len = strlen(name);

	return len >= 1 && len <= NAME_LEN_MAX && strspn(name, LOWER DIGITS "_") == len;
}

/* "8008" to 8008, else -1. */
static int
port_number(const char *text)
{
	size_t		len = strlen(text);
	long		port;

	if (len < 1 || len > 5 || strspn(text, DIGITS) != len)
		return -1;
	port = strtol(text, NULL, 10);
	return port >= 1 && port <= 65535 ? (int) port : -1;
}

int
rg_address_split(const char *text, char *ret_host, size_t size, int *ret_port)
{
	const char *colon = strrchr(text, ':');
	const char *host = text;
	size_t		len;
	int			port;
	unsigned char address[sizeof(struct in6_addr)];
	char		buf[64];

	if (colon == NULL || (port = port_number(colon + 1)) < 0)
		return RGE_ARGUMENT;
	len = (size_t) (colon - text);
	if (len >= 2 && text[0] == '[' && text[len - 1] == ']')
	{
		host++;
		len -= 2;
	}
	if (len == 0 || len >= sizeof(buf) || len >= size)
		return RGE_ARGUMENT;
	memcpy(buf, host, len);
	buf[len] = '\0';
	if (inet_pton(host == text ? AF_INET : AF_INET6, buf, address) != 1)
		return RGE_ARGUMENT;
	strcpy(ret_host, buf);
	*ret_port = port;
	return 0;
}

static int
set_integer(const RgKey *key, const char *value, void *base, char *ret_why, size_t size)
{
	char	   *end;
	long long	number;

	errno = 0;
	number = strtoll(value, &end, 10);
	if (end == value || *end != '\0' || errno != 0 || number < key->least || number > key->most)
	{
		snprintf(ret_why, size, "a whole number from %" PRId64 " to %" PRId64 " is needed",
				 key->least, key->most);
		return RGE_ARGUMENT;
	}
	*(int *) ((char *) base + key->offset) = (int) number;
	return 0;
}

static int
set_duration(const RgKey *key, const char *value, void *base, char *ret_why, size_t size)
{
	int64_t		ms = 0;
	char		least[32];
	char		most[32];
	int			rc = rg_duration_parse(value, &ms, ret_why, size);

	if (rc != 0)
		return rc;
	if (ms < key->least || ms > key->most)
	{
		snprintf(ret_why, size, "it is out of range: %s to %s",
				 rg_duration_format(key->least, least, sizeof(least)),
				 rg_duration_format(key->most, most, sizeof(most)));
		return RGE_ARGUMENT;
	}
	*(int64_t *) ((char *) base + key->offset) = ms;
	return 0;
}

static int
set_size(const RgKey *key, const char *value, void *base, char *ret_why, size_t size)
{
	int64_t		bytes = 0;
	int			rc = rg_size_parse(value, &bytes, ret_why, size);

	if (rc != 0)
		return rc;
	if (bytes < key->least || bytes > key->most)
	{
		snprintf(ret_why, size, "it is out of range: 0 to %" PRId64 "GB", key->most >> 30);
		return RGE_ARGUMENT;
	}
	*(int64_t *) ((char *) base + key->offset) = bytes;
	return 0;
}

/* The place of value in "a|b|c", or -1. */
static int
choice_place(const char *choices, const char *value)
{
	size_t		len = strlen(value);
	int			place = 0;

	for (const char *at = choices;; at++, place++)
	{
		size_t		n = strcspn(at, "|");

		if (n == len && strncmp(at, value, n) == 0)
			return place;
		at += n;
		if (*at == '\0')
			return -1;
	}
}

static int
set_choice(const RgKey *key, const char *value, void *base, char *ret_why, size_t size)
{
	int			place = choice_place(key->choices, value);

	if (place < 0)
	{
		char		list[128];
		size_t		used = 0;

		/* "a|b|c" reads "a, b, c" */
		for (const char *at = key->choices; *at != '\0' && used + 3 < sizeof(list); at++)
		{
			list[used++] = *at == '|' ? ',' : *at;
			if (*at == '|')
				list[used++] = ' ';
		}
		list[used] = '\0';
		snprintf(ret_why, size, "one of %s is needed", list);
		return RGE_ARGUMENT;
	}
	if (key->type == RG_KEY_ENUM)
		*(int *) ((char *) base + key->offset) = place;
	else
		snprintf((char *) base + key->offset, key->size, "%s", value);
	return 0;
}

/* NULL when the text may stand for such a key, else what would be right. */
static const char *
text_complaint(RgKeyType type, const char *value)
{
	size_t		len = strlen(value);
	char		host[64];
	int			port;

	switch (type)
	{
		case RG_KEY_NAME:
			return rg_node_name_is_valid(value) ? NULL :
				"1 to 40 lower-case letters, digits and _ are allowed";
		case RG_KEY_ROLE:
			return strchr(".@+-", value[0]) == NULL && strspn(value, LOWER UPPER DIGITS "_.@+-") == len ? NULL :
				"letters, digits and _ . @ + - are allowed, beginning with a letter, a digit or _";
		case RG_KEY_HOST:
			if (value[0] == '/')
				return strspn(value, LOWER UPPER DIGITS "_./=@,+-") == len ? NULL :
					"a socket directory may contain letters, digits and _ . / = @ , + -";
			/* fall through */
		case RG_KEY_SSHHOST:
			return strchr("-._", value[0]) == NULL && strspn(value, LOWER UPPER DIGITS "_.:-") == len ? NULL :
				"a host name or an address is needed, without a port (that is a key of its own)";
		case RG_KEY_LISTEN:
			return rg_address_split(value, host, sizeof(host), &port) == 0 ? NULL :
				"an address and a port are needed, such as 127.0.0.1:8008 or [::1]:8008";
		case RG_KEY_NODEPATH:
			if (value[0] == '/')
				return strspn(value, LOWER UPPER DIGITS "_./:=@,+-") == len ? NULL :
					"it travels over SSH: letters, digits and _ . / : = @ , + - are allowed";
			/* fall through */
		case RG_KEY_PATH:
			return value[0] == '/' ? NULL : "an absolute path is needed";
		case RG_KEY_DURATION:
		case RG_KEY_INTEGER:
		case RG_KEY_SIZE:
		case RG_KEY_BOOLEAN:
		case RG_KEY_CHOICE:
		case RG_KEY_ENUM:
			break;
	}
	return "it is not a text";
}

static int
set_text(const RgKey *key, const char *value, void *base, char *ret_why, size_t size)
{
	const char *complaint = text_complaint(key->type, value);

	if (complaint != NULL)
	{
		snprintf(ret_why, size, "%s", complaint);
		return RGE_ARGUMENT;
	}
	if (strlen(value) >= key->size)
	{
		snprintf(ret_why, size, "it is too long: %zu characters at most", key->size - 1);
		return RGE_ARGUMENT;
	}
	strcpy((char *) base + key->offset, value);
	return 0;
}

int
rg_value_set(const RgKey *key, const char *value, void *base, char *ret_why, size_t size)
{
	size_t		len = strlen(value);

	if (len == 0)
	{
		if (key->may_be_empty)
		{
			*((char *) base + key->offset) = '\0';
			return 0;
		}
		snprintf(ret_why, size, "it is empty");
		return RGE_ARGUMENT;
	}
	if (len >= 2 && (value[0] == '"' || value[0] == '\'') && value[len - 1] == value[0])
	{
		snprintf(ret_why, size, "values are written without quotes");
		return RGE_ARGUMENT;
	}
	if (strstr(value, " #") != NULL || strstr(value, "\t#") != NULL)
	{
		snprintf(ret_why, size, "a comment behind a value begins with ;, not with #");
		return RGE_ARGUMENT;
	}
	switch (key->type)
	{
		case RG_KEY_INTEGER:
			return set_integer(key, value, base, ret_why, size);
		case RG_KEY_DURATION:
			return set_duration(key, value, base, ret_why, size);
		case RG_KEY_SIZE:
			return set_size(key, value, base, ret_why, size);
		case RG_KEY_CHOICE:
		case RG_KEY_ENUM:
			return set_choice(key, value, base, ret_why, size);
		case RG_KEY_BOOLEAN:
			if (rg_boolean_parse(value, (bool *) ((char *) base + key->offset)) == 0)
				return 0;
			snprintf(ret_why, size, "on or off is needed");
			return RGE_ARGUMENT;
		case RG_KEY_NAME:
		case RG_KEY_ROLE:
		case RG_KEY_HOST:
		case RG_KEY_SSHHOST:
		case RG_KEY_LISTEN:
		case RG_KEY_PATH:
		case RG_KEY_NODEPATH:
			break;
	}
	return set_text(key, value, base, ret_why, size);
}
