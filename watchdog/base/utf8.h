/*
 * utf8.h
 *	  Texts from elsewhere, and texts that were cut, as valid UTF-8.
 *
 * Servers send their messages in the language and encoding of their host before
 * anybody has logged in, helpers send what their host's programs say, and a text
 * that does not fit is cut at a byte.  JSON takes none of that: jansson makes no
 * value of it, and what should hold the value is lost with it.  So foreign text is
 * mended where it enters, and each text that we make when it is made.
 *
 * Pure: the core uses it, too.
 */
#ifndef RG_UTF8_H
#define RG_UTF8_H

#include <stdarg.h>
#include <stddef.h>

/*
 * Makes text valid UTF-8 where it stands, never longer: what is none becomes '?', a
 * character that is cut at the very end goes.  Control characters stay.
 */
extern void rg_utf8_mend(char *text);

/* vsnprintf, and then that; "" when fmt can't be printed.  With size 0 buf is not touched. */
extern void rg_utf8_vprint(char *buf, size_t size, const char *fmt, va_list args)
			__attribute__((format(printf, 3, 0)));

#endif							/* RG_UTF8_H */
