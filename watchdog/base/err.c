/*
 * err.c
 *	  The error value: code, message, detail, hint.
 *
 * An RgError lives on the caller's stack and is filled where the fault
 * happened, so nothing is allocated and nothing has to be freed.  Texts that
 * do not fit are cut at a character's border: a broken UTF-8 sequence would
 * make the JSON of an event or an HTTP answer invalid.  Every function takes
 * NULL, for callers that only want the code.
 */
#include "err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A text that was cut may end inside a UTF-8 sequence: drop that part. */
static void
trim_partial_character(char *buf)
{
	size_t		len = strlen(buf);
	size_t		start = len;
	size_t		need;
	unsigned char c;

	while (start > 0 && len - start < 4 && ((unsigned char) buf[start - 1] & 0xC0) == 0x80)
		start--;
	if (start == 0)
		return;
	start--;
	c = (unsigned char) buf[start];
	need = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC0 ? 2 : 1;
	if (len - start < need)
		buf[start] = '\0';
}

static void __attribute__((format(printf, 3, 0)))
fill(char *buf, size_t size, const char *fmt, va_list ap)
{
	int			n = vsnprintf(buf, size, fmt, ap);

	if (n < 0)
		buf[0] = '\0';
	else if ((size_t) n >= size)
		trim_partial_character(buf);
}

/* Arguments may point into err itself: the new text is made beside it first. */
int
rg_error_set(RgError *err, RgErrorCode code, const char *fmt,...)
{
	char		text[sizeof(((RgError *) 0)->message)];
	va_list		ap;

	if (err == NULL)
		return code;

	va_start(ap, fmt);
	fill(text, sizeof(text), fmt, ap);
	va_end(ap);

	err->code = code;
	memcpy(err->message, text, sizeof(text));
	err->detail[0] = '\0';
	err->hint[0] = '\0';
	return code;
}

void
rg_error_detail(RgError *err, const char *fmt,...)
{
	char		text[sizeof(((RgError *) 0)->detail)];
	va_list		ap;

	if (err == NULL)
		return;
	va_start(ap, fmt);
	fill(text, sizeof(text), fmt, ap);
	va_end(ap);
	memcpy(err->detail, text, sizeof(text));
}

void
rg_error_hint(RgError *err, const char *fmt,...)
{
	char		text[sizeof(((RgError *) 0)->hint)];
	va_list		ap;

	if (err == NULL)
		return;
	va_start(ap, fmt);
	fill(text, sizeof(text), fmt, ap);
	va_end(ap);
	memcpy(err->hint, text, sizeof(text));
}

void
rg_error_clear(RgError *err)
{
	if (err != NULL)
		memset(err, 0, sizeof(*err));
}
