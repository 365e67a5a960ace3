/*
 * doubt.h
 *	  May this journal be an old copy?  (protocol 3.1, attack F1)
 *
 * There is a line every minute.  One whose newest line is over ten minutes old, or
 * was written on another machine, may have been restored from a backup or a
 * snapshot; so may be one that is gone.  A doubt outlives a restart: it ends when
 * the nodes have shown that nobody with this id was started later, or when the
 * operator says so.
 */
#ifndef RG_DOUBT_H
#define RG_DOUBT_H

#include <stdbool.h>
#include <stdint.h>

#define RG_DOUBT_AGE_MS (10 * 60 * 1000)

/* What the journal said of itself when it was opened. */
typedef struct RgJournalEnd
{
	bool		has_lines;
	int64_t		at_wall_ms;		/* of its newest line */
	char		machine[17];	/* that wrote the newest "alive" line; "" = it does not say */
	bool		in_doubt;		/* that line says that an earlier doubt was open */
} RgJournalEnd;

/* Why it is not to be trusted yet, as a sentence in buf; NULL when it is the newest. */
extern const char *rg_doubt(const RgJournalEnd *end, bool is_first_start, const char *machine,
							int64_t now_wall_ms, char *buf, unsigned long size);

/* A name for this machine that tells nothing about it: a hash of /etc/machine-id; "" without one. */
extern void rg_doubt_machine(char *buf, unsigned long size);

#endif							/* RG_DOUBT_H */
