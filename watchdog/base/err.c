/*
 * err.c
 *	  The error value: code, message, detail, hint.
 *
 * An RgError lives on the caller's stack and is filled where the fault
 * happened, so nothing is allocated and nothing has to be freed.  Texts are
 * valid UTF-8, also those that do not fit and are cut: there would be no JSON of
 * an event or an HTTP answer else.  Every function takes NULL, for callers that
 * only want the code.
 */
#include "err.h"

#include <stdarg.h>
#include <string.h>

#include "utf8.h"

/* Arguments may point into err itself: the new text is made beside it first. */
int
rg_error_set(RgError *err, RgErrorCode code, const char *fmt,...)
{
	char		text[sizeof(((RgError *) 0)->message)];
	va_list		ap;

	if (err == NULL)
		return code;

	va_start(ap, fmt);
	rg_utf8_vprint(text, sizeof(text), fmt, ap);
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
	rg_utf8_vprint(text, sizeof(text), fmt, ap);
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
	rg_utf8_vprint(text, sizeof(text), fmt, ap);
	va_end(ap);
	memcpy(err->hint, text, sizeof(text));
}

void
rg_error_clear(RgError *err)
{
	if (err != NULL)
		memset(err, 0, sizeof(*err));
}
