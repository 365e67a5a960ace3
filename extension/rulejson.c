/*
 * rulejson.c
 *	  A rule as a plain value, and its one-line JSON form.
 *
 * The writer and the reader of one small, flat object: numbers, strings, null
 * and arrays of strings.  The server's own JSON code is not used because it
 * throws, needs memory contexts, and is not there in the unit tests.  A reader
 * that accepts too much would be a way around the checksum of the state file,
 * so every value is checked and a rule that lacks a part is none.
 */
#include "rulejson.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct Out
{
	char *buf;
	size_t size;
	size_t used;
	bool overflow;
} Out;

typedef struct In
{
	const char *p;
	bool failed;
} In;

typedef enum ValueKind
{
	VALUE_INT64,
	VALUE_INT32,
	VALUE_UINT32,
	VALUE_STRING,
	VALUE_STRING_OR_NULL,
	VALUE_NAMES
} ValueKind;

/* One row per key: where its value goes, and what is allowed. */
typedef struct RuleKey
{
	const char *name;
	ValueKind kind;
	bool is_required;
	size_t offset;
	size_t size;				/* of a string */
	size_t count_offset;		/* of names */
	int64_t min;
	int64_t max;
} RuleKey;

#define STRING_KEY(field, kind, required) \
	{#field, kind, required, offsetof(RgRule, field), sizeof(((RgRule *) 0)->field), 0, 0, 0}
#define NUMBER_KEY(field, kind, required, min, max) \
	{#field, kind, required, offsetof(RgRule, field), 0, 0, min, max}
#define NAMES_KEY(field, required) \
	{#field, VALUE_NAMES, required, offsetof(RgRule, field), 0, offsetof(RgRule, n##field), 0, 0}

static const RuleKey rule_keys[] = {
	NUMBER_KEY(term, VALUE_INT64, true, 1, INT64_MAX),
	NUMBER_KEY(seq, VALUE_INT32, true, 0, INT32_MAX),
	STRING_KEY(leader, VALUE_STRING, true),
	NAMES_KEY(voters, true),
	STRING_KEY(durability, VALUE_STRING, true),
	NUMBER_KEY(quorum, VALUE_INT32, true, 0, RG_VOTERS_MAX),
	NAMES_KEY(left_out, true),
	NUMBER_KEY(lease_ms, VALUE_INT64, true, 1, INT64_MAX),
	STRING_KEY(pause_until, VALUE_STRING_OR_NULL, false),
	STRING_KEY(watchdog, VALUE_STRING, true),
	STRING_KEY(reason, VALUE_STRING_OR_NULL, false),
	STRING_KEY(at, VALUE_STRING_OR_NULL, false),
	NUMBER_KEY(timeline, VALUE_UINT32, false, 0, UINT32_MAX),
};

#define RULE_KEYS ((int) (sizeof(rule_keys) / sizeof(rule_keys[0])))

bool
rg_name_is_valid(const char *name)
{
	size_t length = strlen(name);

	if (length == 0 || length >= RG_NAME_SIZE)
		return false;
	if (strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != length)
		return false;
	return strcmp(name, "any") != 0 && strcmp(name, "first") != 0;
}

void
rg_rule_set_reason(RgRule *rule, const char *reason)
{
	size_t i;

	for (i = 0; i < RG_REASON_SIZE - 1 && reason[i] != '\0'; i++)
		rule->reason[i] = (reason[i] >= ' ' && reason[i] <= '~') ? reason[i] : '?';
	rule->reason[i] = '\0';
}

/* ---------------------------------------------------------------- writing */

__attribute__((format(printf, 2, 3))) static void
put(Out *out, const char *fmt,...)
{
	va_list args;
	int written;

	if (out->overflow)
		return;
	va_start(args, fmt);
	written = vsnprintf(out->buf + out->used, out->size - out->used, fmt, args);
	va_end(args);
	if (written < 0 || (size_t) written >= out->size - out->used)
		out->overflow = true;
	else
		out->used += (size_t) written;
}

static void
put_string(Out *out, const char *value)
{
	put(out, "\"");
	for (const char *p = value; *p; p++)
	{
		if (*p == '"' || *p == '\\')
			put(out, "\\%c", *p);
		else if ((unsigned char) *p < ' ')
			put(out, "\\u%04x", (unsigned int) (unsigned char) *p);
		else
			put(out, "%c", *p);
	}
	put(out, "\"");
}

static void
put_names(Out *out, const char (*names)[RG_NAME_SIZE], int count)
{
	put(out, "[");
	for (int i = 0; i < count; i++)
	{
		if (i > 0)
			put(out, ",");
		put_string(out, names[i]);
	}
	put(out, "]");
}

static void
put_string_or_null(Out *out, const char *value)
{
	if (value[0] == '\0')
		put(out, "null");
	else
		put_string(out, value);
}

int
rg_rule_format(const RgRule *rule, char *buf, size_t size)
{
	Out out = {buf, size, 0, size == 0};

	put(&out, "{\"term\":%" PRId64 ",\"seq\":%" PRId32 ",\"leader\":", rule->term, rule->seq);
	put_string(&out, rule->leader);
	put(&out, ",\"voters\":");
	put_names(&out, rule->voters, rule->nvoters);
	put(&out, ",\"durability\":");
	put_string(&out, rule->durability);
	put(&out, ",\"quorum\":%" PRId32 ",\"left_out\":", rule->quorum);
	put_names(&out, rule->left_out, rule->nleft_out);
	put(&out, ",\"lease_ms\":%" PRId64 ",\"pause_until\":", rule->lease_ms);
	put_string_or_null(&out, rule->pause_until);
	put(&out, ",\"watchdog\":");
	put_string(&out, rule->watchdog);
	put(&out, ",\"reason\":");
	put_string_or_null(&out, rule->reason);
	put(&out, ",\"at\":");
	put_string_or_null(&out, rule->at);
	put(&out, ",\"timeline\":%" PRIu32 "}", rule->timeline);

	return out.overflow ? -1 : (int) out.used;
}

/* ---------------------------------------------------------------- reading */

static void
skip_space(In *in)
{
	while (*in->p == ' ' || *in->p == '\t')
		in->p++;
}

static bool
take(In *in, char expected)
{
	skip_space(in);
	if (in->failed || *in->p != expected)
		return false;
	in->p++;
	return true;
}

static void
expect(In *in, char expected)
{
	if (!take(in, expected))
		in->failed = true;
}

static bool
take_null(In *in)
{
	skip_space(in);
	if (in->failed || strncmp(in->p, "null", 4) != 0)
		return false;
	in->p += 4;
	return true;
}

/* One character of a string, escapes resolved; what is not ASCII is only copied. */
static char
get_char(In *in)
{
	unsigned int code;

	if (*in->p != '\\')
		return *in->p++;

	in->p++;
	switch (*in->p)
	{
		case '"':
		case '\\':
		case '/':
			return *in->p++;
		case 'n':
			in->p++;
			return '\n';
		case 't':
			in->p++;
			return '\t';
		case 'u':
			if (strspn(in->p + 1, "0123456789abcdefABCDEF") >= 4 &&
				sscanf(in->p + 1, "%4x", &code) == 1)
			{
				in->p += 5;
				return (code > 0 && code < 0x80) ? (char) code : '?';
			}
			break;
		default:
			break;
	}
	in->failed = true;
	return '\0';
}

/* Reads a string into buf, or skips it if buf is NULL. */
static void
get_string(In *in, char *buf, size_t size)
{
	size_t used = 0;

	expect(in, '"');
	while (!in->failed && *in->p != '"')
	{
		char c;

		if ((unsigned char) *in->p < ' ')	/* the end of the text, too */
		{
			in->failed = true;
			return;
		}
		c = get_char(in);
		if (buf == NULL)
			continue;
		if (used + 1 >= size)
			in->failed = true;
		else
			buf[used++] = c;
	}
	expect(in, '"');
	if (buf != NULL && !in->failed)
		buf[used] = '\0';
}

static void
get_string_or_null(In *in, char *buf, size_t size)
{
	if (take_null(in))
		buf[0] = '\0';
	else
		get_string(in, buf, size);
}

static int64_t
get_number(In *in, int64_t min, int64_t max)
{
	int64_t value = 0;
	int length = 0;

	skip_space(in);
	if (in->failed || sscanf(in->p, "%18" SCNd64 "%n", &value, &length) != 1 || value < min ||
		value > max)
	{
		in->failed = true;
		return 0;
	}
	in->p += length;
	if (strchr(",}] \t", *in->p) == NULL)
		in->failed = true;
	return value;
}

static int
get_names(In *in, char (*names)[RG_NAME_SIZE])
{
	int count = 0;

	if (take_null(in))
		return 0;
	expect(in, '[');
	if (take(in, ']'))
		return 0;
	while (!in->failed)
	{
		if (count >= RG_VOTERS_MAX)
		{
			in->failed = true;
			break;
		}
		get_string(in, names[count], RG_NAME_SIZE);
		if (!in->failed && !rg_name_is_valid(names[count]))
			in->failed = true;
		count++;
		if (take(in, ']'))
			break;
		expect(in, ',');
	}
	return count;
}

static void
skip_scalar(In *in)
{
	size_t length;

	skip_space(in);
	length = strcspn(in->p, ",}]\"[{");
	if (*in->p == '"')
		get_string(in, NULL, 0);
	else if (length == 0)
		in->failed = true;
	else
		in->p += length;
}

/* A value of a key that is not known: a scalar or a flat array. */
static void
skip_value(In *in)
{
	if (!take(in, '['))
	{
		skip_scalar(in);
		return;
	}
	while (!in->failed && !take(in, ']'))
	{
		skip_scalar(in);
		if (*in->p != ']')
			expect(in, ',');
	}
}

/* Reads the value of a key; returns the key's row, or -1 if it is not known. */
static int
get_value(In *in, const char *name, RgRule *rule)
{
	for (int i = 0; i < RULE_KEYS; i++)
	{
		const RuleKey *key = &rule_keys[i];
		char *target = (char *) rule + key->offset;
		int64_t number;
		int count;

		if (strcmp(key->name, name) != 0)
			continue;
		switch (key->kind)
		{
			case VALUE_INT64:
				number = get_number(in, key->min, key->max);
				memcpy(target, &number, sizeof(number));
				break;
			case VALUE_INT32:
			case VALUE_UINT32:
				number = get_number(in, key->min, key->max);
				memcpy(target, &(uint32_t) {(uint32_t) number}, sizeof(uint32_t));
				break;
			case VALUE_STRING:
				get_string(in, target, key->size);
				break;
			case VALUE_STRING_OR_NULL:
				get_string_or_null(in, target, key->size);
				break;
			case VALUE_NAMES:
				count = get_names(in, (char (*)[RG_NAME_SIZE]) target);
				memcpy((char *) rule + key->count_offset, &count, sizeof(count));
				break;
		}
		return i;
	}
	skip_value(in);
	return -1;
}

static bool
is_complete(const RgRule *rule, unsigned int seen)
{
	for (int i = 0; i < RULE_KEYS; i++)
		if (rule_keys[i].is_required && !(seen & (1U << i)))
			return false;
	return rg_name_is_valid(rule->leader) && rule->nvoters > 0 &&
		strlen(rule->watchdog) == RG_UUID_SIZE - 1;
}

int
rg_rule_parse(const char *json, RgRule *ret_rule)
{
	In in = {json, false};
	RgRule rule = {0};
	unsigned int seen = 0;

	expect(&in, '{');
	while (!in.failed)
	{
		char name[32];
		int key;

		get_string(&in, name, sizeof(name));
		expect(&in, ':');
		if (in.failed)
			break;
		key = get_value(&in, name, &rule);
		if (key >= 0)
			seen |= 1U << key;
		if (take(&in, '}'))
			break;
		expect(&in, ',');
	}
	skip_space(&in);

	if (in.failed || *in.p != '\0' || !is_complete(&rule, seen))
		return -1;
	*ret_rule = rule;
	return 0;
}

bool
rg_names_contain(const char (*names)[RG_NAME_SIZE], int count, const char *name)
{
	for (int i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}
