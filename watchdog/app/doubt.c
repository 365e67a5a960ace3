/*
 * doubt.c
 *	  The age and the origin of a journal.
 */
#include "doubt.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *
rg_doubt(const RgJournalEnd *end, bool is_first_start, const char *machine, int64_t now_wall_ms,
		 char *buf, unsigned long size)
{
	int64_t		age_ms = now_wall_ms - end->at_wall_ms;

	if (!end->has_lines)
	{
		if (is_first_start)
			return NULL;
		(void) snprintf(buf, size, "the journal is empty, although this watchdog was started before");
	}
	else if (end->in_doubt)
		(void) snprintf(buf, size, "an earlier start found it so, and it was not settled since");
	else if (end->machine[0] != '\0' && strcmp(end->machine, machine) != 0)
		(void) snprintf(buf, size, "the journal was written on another machine");
	else if (age_ms > RG_DOUBT_AGE_MS)
		(void) snprintf(buf, size, "the journal's last line is %" PRId64 " minutes old", age_ms / 60000);
	else if (age_ms < -RG_DOUBT_AGE_MS)
		(void) snprintf(buf, size, "the journal's last line is %" PRId64 " minutes ahead of the clock", -age_ms / 60000);
	else
		return NULL;
	return buf;
}

void
rg_doubt_machine(char *buf, unsigned long size)
{
	uint64_t	hash = UINT64_C(0xcbf29ce484222325);	/* FNV-1a */
	FILE	   *f = fopen("/etc/machine-id", "re");
	int			n = 0;
	int			c;

	buf[0] = '\0';
	if (f == NULL)
		return;
	while ((c = fgetc(f)) != EOF && c != '\n' && n < 64)
	{
		hash = (hash ^ (unsigned char) c) * UINT64_C(0x100000001b3);
		n++;
	}
	(void) fclose(f);
	if (n > 0)
		(void) snprintf(buf, size, "%016" PRIx64, hash);
}
