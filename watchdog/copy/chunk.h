/*
 * chunk.h
 *	  One request on its way: blocks of the old directory are read and hashed,
 *	  the source answers what differs, and the result is written.
 *
 * What is written are the very bytes that were hashed, patched with what the
 * source sent; the old file is not read again.  So a standby may still run in
 * the old directory: a block that it changes meanwhile either is hashed as it
 * was, or differs and comes from the source.  Where the file system has cloned the file,
 * the clone keeps what was hashed: either it was read itself, or the old file, to which
 * nobody had written since before.
 */
#ifndef RG_COPY_CHUNK_H
#define RG_COPY_CHUNK_H

#include <libpq-fe.h>

#include "base/err.h"
#include "copy/plan.h"
#include "copy/tally.h"
#include "copy/target.h"
#include "extension/copywire.h"

#define RG_CHUNK_REQUEST_MAX \
	(RG_COPY_HEADER + RG_PLAN_RANGES_MAX * (RG_COPY_ITEM_HEADER + RG_COPY_PATH_MAX + RG_COPY_HASH) + \
	 RG_PLAN_REQUEST_MAX / RG_COPY_BLOCK * RG_COPY_HASH)

typedef struct RgChunk
{
	const RgPlan *plan;
	bool		uses_old;		/* is there anything in the old directory to compare with? */
	uint64_t	seed;
	uint64_t	start_lsn;
	int			range_count;
	RgRange		ranges[RG_PLAN_RANGES_MAX];
	uint32_t	hash_counts[RG_PLAN_RANGES_MAX];
	size_t		request_length;
	uint8_t		request[RG_CHUNK_REQUEST_MAX];
	PGresult   *answer;
	RgTally		tally;			/* bytes of this chunk; files where their last range is in it */
	uint64_t	changed;		/* a bit for each range of which something was transferred */
	uint8_t    *buffer;			/* RG_PLAN_REQUEST_MAX bytes, aligned for direct writes */
} RgChunk;

/* Bytes of all ranges. */
extern uint64_t rg_chunk_length(const RgChunk *chunk);

/* Reads and hashes what the old directory has; writes the request. */
extern int	rg_chunk_prepare(RgChunk *chunk, const RgTarget *target, RgError *err);

/* Takes the answer, writes the new directory's part. */
extern int	rg_chunk_finish(RgChunk *chunk, const RgTarget *target, RgError *err);

#endif							/* RG_COPY_CHUNK_H */
