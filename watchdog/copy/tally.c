/*
 * tally.c
 *	  Counts of a copy, and its pace.
 *
 * The rate limits what the source *reads*, not what it sends: its disk is what
 * its clients wait for, and it is read as far as nothing differs, too.
 */
#include "copy/tally.h"

#include <inttypes.h>
#include <stdio.h>

/* A pause is made up for by this much of haste. */
#define BURST_US 250000

void
rg_tally_add(RgTally *tally, const RgTally *more)
{
	tally->files += more->files;
	tally->changed_files += more->changed_files;
	tally->gone_files += more->gone_files;
	tally->bytes += more->bytes;
	tally->kept += more->kept;
	tally->transferred += more->transferred;
}

void
rg_tally_format(const RgTally *tally, char *buf, size_t size)
{
	(void) snprintf(buf, size, "done files=%" PRIu64 " changed=%" PRIu64 " gone=%" PRIu64
					" bytes=%" PRIu64 " kept=%" PRIu64 " transferred=%" PRIu64,
					tally->files, tally->changed_files, tally->gone_files,
					tally->bytes, tally->kept, tally->transferred);
}

int64_t
rg_rate_wait(const RgRate *rate, int64_t now_us)
{
	return rate->per_second > 0 && rate->free_at_us > now_us ? rate->free_at_us - now_us : 0;
}

void
rg_rate_take(RgRate *rate, uint64_t bytes, int64_t now_us)
{
	if (rate->per_second == 0)
		return;
	if (rate->free_at_us < now_us - BURST_US)
		rate->free_at_us = now_us - BURST_US;
	rate->free_at_us += (int64_t) (bytes * 1000000 / rate->per_second);
}
