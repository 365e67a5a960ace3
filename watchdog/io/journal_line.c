/*
 * journal_line.c
 *	  {"n":7,"at":1763892726123,"boot":812345,"kind":"decision","crc":"8f3a91c0",...}
 *
 * The checksum covers the text, not the parsed object: it is that of the line
 * as it would be written without the member "crc".  The members of the
 * head come first and in a fixed order, so the place of the checksum is found
 * without parsing JSON, and head and kind of a line are known cheaply when the
 * journal is rewritten.
 */
#include "journal_line.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "journal.h"

#define HEAD_MAX 192
#define CRC_MEMBER_LEN 17		/* ,"crc":"xxxxxxxx" */

static const char kind_chars[] = "abcdefghijklmnopqrstuvwxyz0123456789_";

static uint32_t
checksum(const char *head, size_t head_len, const char *tail, size_t tail_len)
{
	uLong		crc = crc32(0L, Z_NULL, 0);

	crc = crc32(crc, (const Bytef *) head, (uInt) head_len);
	return (uint32_t) crc32(crc, (const Bytef *) tail, (uInt) tail_len);
}

static int
check_input(const char *kind, const json_t *body, RgError *err)
{
	static const char *const reserved[] = {"n", "at", "boot", "kind", "crc"};

	if (kind[0] == '\0' || strlen(kind) >= RG_JOURNAL_KIND_MAX || kind[strspn(kind, kind_chars)] != '\0')
		return rg_error_set(err, RGE_ARGUMENT, "\"%.60s\" can't be the kind of a journal line", kind);
	/* not an empty line: it would pass for the newest of its kind */
	if (body == NULL)
		return rg_error_set(err, RGE_ARGUMENT, "journal line of kind %s can't be made: no memory, or a text is not UTF-8",
							kind);
	if (!json_is_object(body))
		return rg_error_set(err, RGE_ARGUMENT, "the body of a journal line must be an object");
	for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
		if (json_object_get(body, reserved[i]) != NULL)
			return rg_error_set(err, RGE_ARGUMENT, "member \"%s\" of a journal line is the journal's own",
								reserved[i]);
	return 0;
}

int
rg_journal_line_make(int64_t seq, int64_t at_wall_ms, int64_t boot_ms, const char *kind,
					 const json_t *body, char **ret_line, size_t *ret_len, RgError *err)
{
	char		head[HEAD_MAX];
	char	   *text = NULL;
	char	   *line = NULL;
	const char *tail = "}";
	size_t		head_len;
	size_t		tail_len;
	size_t		size;
	int			rc;

	rc = check_input(kind, body, err);
	if (rc != 0)
		return rc;
	if (json_object_size(body) > 0)
	{
		text = json_dumps(body, JSON_COMPACT);
		if (text == NULL)
			return rg_error_set(err, RGE_ARGUMENT, "journal line of kind %s can't be written as JSON", kind);
		text[0] = ',';			/* was the opening brace */
		tail = text;
	}

	head_len = (size_t) snprintf(head, sizeof(head),
								 "{\"n\":%" PRId64 ",\"at\":%" PRId64 ",\"boot\":%" PRId64 ",\"kind\":\"%s\"",
								 seq, at_wall_ms, boot_ms, kind);
	tail_len = strlen(tail);
	size = head_len + CRC_MEMBER_LEN + tail_len + 1;
	if (size > RG_JOURNAL_LINE_MAX)
	{
		rc = rg_error_set(err, RGE_LIMIT, "journal line of kind %s is too long (%zu bytes, limit %d)",
						  kind, size, RG_JOURNAL_LINE_MAX);
		goto out;
	}
	line = malloc(size + 1);
	if (line == NULL)
	{
		rc = rg_error_set(err, RGE_NOMEM, "out of memory");
		goto out;
	}
	snprintf(line, size + 1, "%s,\"crc\":\"%08" PRIx32 "\"%s\n", head,
			 checksum(head, head_len, tail, tail_len), tail);
	*ret_line = line;
	*ret_len = size;

out:
	free(text);
	return rc;
}

/* Reads literal text and then a number; NULL where it is something else. */
static const char *
read_number(const char *p, const char *end, const char *before, int64_t *ret_value)
{
	size_t		n = strlen(before);
	int64_t		value = 0;
	bool		is_negative = false;

	if ((size_t) (end - p) <= n || memcmp(p, before, n) != 0)
		return NULL;
	p += n;
	if (*p == '-')
	{
		is_negative = true;
		p++;
	}
	if (p >= end || *p < '0' || *p > '9')
		return NULL;
	for (; p < end && *p >= '0' && *p <= '9'; p++)
	{
		if (value > (INT64_MAX - 9) / 10)
			return NULL;
		value = value * 10 + (*p - '0');
	}
	*ret_value = is_negative ? -value : value;
	return p;
}

bool
rg_journal_line_check(const char *line, size_t len, RgJournalHead *ret_head)
{
	static const char kind_member[] = ",\"kind\":\"";
	static const char crc_member[] = "\",\"crc\":\"";
	const char *end = line + len;
	const char *p;
	int64_t		boot_ms;
	size_t		n;
	char		expected[9];

	p = read_number(line, end, "{\"n\":", &ret_head->seq);
	if (p != NULL)
		p = read_number(p, end, ",\"at\":", &ret_head->at_wall_ms);
	if (p != NULL)
		p = read_number(p, end, ",\"boot\":", &boot_ms);
	if (p == NULL || (size_t) (end - p) < sizeof(kind_member) ||
		memcmp(p, kind_member, sizeof(kind_member) - 1) != 0)
		return false;
	p += sizeof(kind_member) - 1;

	for (n = 0; p + n < end && p[n] != '\0' && strchr(kind_chars, p[n]) != NULL; n++)
		;
	if (n == 0 || n >= RG_JOURNAL_KIND_MAX)
		return false;
	memcpy(ret_head->kind, p, n);
	ret_head->kind[n] = '\0';
	p += n;

	/* what is left: ","crc":"xxxxxxxx" and the tail */
	if ((size_t) (end - p) < sizeof(crc_member) - 1 + 8 + 2 ||
		memcmp(p, crc_member, sizeof(crc_member) - 1) != 0)
		return false;
	p++;						/* the quote that ends kind is part of the head */
	snprintf(expected, sizeof(expected), "%08" PRIx32,
			 checksum(line, (size_t) (p - line), p + CRC_MEMBER_LEN, (size_t) (end - p) - CRC_MEMBER_LEN));
	return memcmp(p + sizeof(crc_member) - 2, expected, 8) == 0 && p[CRC_MEMBER_LEN - 1] == '"';
}
