/*
 * ssh_words.c
 *	  What may be in a command.
 *
 * sshd hands the string to the user's login shell, whatever that is.  The
 * characters that are let through mean the same to all of them, namely
 * themselves, so nothing ever needs quoting and nothing can be forgotten.
 */
#include "ssh_words.h"

#include <stdio.h>
#include <string.h>

static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:=@,+-";

bool
rg_ssh_words_join(const char *const *words, char *buf, size_t size, char *err, size_t errsize)
{
	size_t		len = 0;

	for (int i = 0; words[i] != NULL; i++)
	{
		size_t		n = strlen(words[i]);

		if (n == 0 || words[i][strspn(words[i], allowed)] != '\0')
		{
			snprintf(err, errsize, "word %d of a command is empty or has a character that is not allowed", i + 1);
			return false;
		}
		if (len + n + 2 > size)
		{
			snprintf(err, errsize, "command is longer than %zu bytes", size - 2);
			return false;
		}
		if (len > 0)
			buf[len++] = ' ';
		memcpy(buf + len, words[i], n);
		len += n;
	}
	buf[len] = '\0';
	if (len == 0)
		snprintf(err, errsize, "command is empty");
	return len > 0;
}
