/*
 * tally.h
 *	  What a copy has done: counts, the lines that tell them, and how fast the
 *	  source may be read.
 *
 * Pure: the time comes in.
 */
#ifndef RG_COPY_TALLY_H
#define RG_COPY_TALLY_H

#include <stddef.h>
#include <stdint.h>

typedef struct RgTally
{
	uint64_t	files;
	uint64_t	changed_files;	/* of which something was transferred */
	uint64_t	gone_files;		/* vanished meanwhile */
	uint64_t	bytes;			/* written to the new directory */
	uint64_t	kept;			/* of them taken from the old directory */
	uint64_t	transferred;	/* of them sent by the source */
} RgTally;

extern void rg_tally_add(RgTally *tally, const RgTally *more);

/* The last line of a copy. */
extern void rg_tally_format(const RgTally *tally, char *buf, size_t size);

/* A bucket that holds what may be read at once. */
typedef struct RgRate
{
	uint64_t	per_second;		/* 0: no limit */
	int64_t		free_at_us;		/* when what was asked for has been paid */
} RgRate;

/* How long the next request has to wait, in microseconds. */
extern int64_t rg_rate_wait(const RgRate *rate, int64_t now_us);

/* So many bytes are asked for. */
extern void rg_rate_take(RgRate *rate, uint64_t bytes, int64_t now_us);

#endif							/* RG_COPY_TALLY_H */
