/*
 * utf8.c
 *	  Mending UTF-8 in place.
 *
 * What is valid is what RFC 3629 says, as jansson does: no overlong forms, no
 * surrogates, nothing above U+10FFFF.  The longest beginning of a character that is
 * none becomes one '?', so that the bytes after it are looked at by themselves: a
 * quote or a newline behind a broken character stays one.
 *
 * Nearly all texts are ASCII, and the simulator makes millions of them; so that is
 * looked for first, eight bytes at a time.
 */
#include "utf8.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static bool
is_ascii(const char *text, size_t len)
{
	uint64_t	all = 0;
	uint64_t	word;

	for (; len >= sizeof(word); text += sizeof(word), len -= sizeof(word))
	{
		memcpy(&word, text, sizeof(word));
		all |= word;
	}
	for (; len > 0; text++, len--)
		all |= (unsigned char) *text;
	return (all & UINT64_C(0x8080808080808080)) == 0;
}

/*
 * How many bytes the character that begins at s needs, 0 = none begins with this
 * byte; ret_seen: how many of them are there, 1 at least.  A NUL belongs to none.
 */
static size_t
measure(const unsigned char *s, size_t *ret_seen)
{
	unsigned char c = s[0];
	unsigned char least = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80;	/* overlong below */
	unsigned char most = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;	/* surrogates, too high above */
	size_t		need = c < 0x80 ? 1 : c < 0xC2 || c > 0xF4 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
	size_t		seen = 1;

	/* only the second byte has limits of its own */
	for (; seen < need && s[seen] >= least && s[seen] <= most; seen++)
	{
		least = 0x80;
		most = 0xBF;
	}
	*ret_seen = seen;
	return need;
}

static void
mend(unsigned char *text)
{
	unsigned char *to = text;

	for (unsigned char *from = text; *from != '\0';)
	{
		size_t		seen;
		size_t		need = measure(from, &seen);

		if (seen < need && from[seen] == '\0')
			break;				/* cut at the very end */
		if (need == 0 || seen < need)
			*to++ = '?';
		else
		{
			memmove(to, from, seen);
			to += seen;
		}
		from += seen;
	}
	*to = '\0';
}

void
rg_utf8_mend(char *text)
{
	if (!is_ascii(text, strlen(text)))
		mend((unsigned char *) text);
}

void
rg_utf8_vprint(char *buf, size_t size, const char *fmt, va_list args)
{
	int			n = vsnprintf(buf, size, fmt, args);
	size_t		len = n < 0 ? 0 : (size_t) n;

	if (size == 0)
		return;
	if (len >= size)
		len = size - 1;
	buf[len] = '\0';
	if (!is_ascii(buf, len))
		mend((unsigned char *) buf);
}
