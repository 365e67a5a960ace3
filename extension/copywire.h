/*
 * copywire.h
 *	  How the program that copies and the server that is copied talk: the bytes
 *	  of a request and of its answer.
 *
 * A request names ranges of files and has, for each of their blocks that the
 * asker has, its hash.  The answer has the blocks that hash otherwise or that
 * the asker lacks.  So each block is read once on either side, and the bytes
 * that are sent are the very bytes that were compared.
 *
 *	request	= seed:8 start_lsn:8 item...
 *	item	= path_length:2 hash_count:2 length:4 offset:8 path hash:16...
 *	answer	= for each item  extent:4 run_count:4 run...
 *	run		= offset:4 length:4 byte...		offset: within the item's range
 *
 * Numbers are big-endian.  extent: so many bytes of the range are there, less
 * than its length where the file ends, RG_COPY_GONE if there is no such file.
 * A block within it that no run covers is as the asker has it.
 *
 * Pure C without server headers: compiled into server, program and unit tests.
 */
#ifndef RG_COPYWIRE_H
#define RG_COPYWIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "copyhash.h"

#define RG_COPY_BLOCK 8192
#define RG_COPY_PATH_MAX 1023
#define RG_COPY_RANGE_MAX (4 * 1024 * 1024)		/* bytes of all ranges of one request */
#define RG_COPY_ITEMS_MAX 256
#define RG_COPY_GONE UINT32_MAX

#define RG_COPY_HEADER 16
#define RG_COPY_ITEM_HEADER 16
#define RG_COPY_RESULT_HEADER 8
#define RG_COPY_RUN_HEADER 8

/* Where reading is; once bad, everything read is zero. */
typedef struct RgCopyReader
{
	const uint8_t *at;
	size_t		left;
	bool		is_bad;
} RgCopyReader;

typedef struct RgCopyItem
{
	const char *path;			/* not terminated */
	uint32_t	path_length;
	uint32_t	hash_count;
	uint32_t	length;
	uint64_t	offset;
	const uint8_t *hashes;
} RgCopyItem;

typedef struct RgCopyRun
{
	uint32_t	offset;
	uint32_t	length;
	const uint8_t *bytes;
} RgCopyRun;

/* Big-endian numbers; each returns the place after it. */
extern uint8_t *rg_copy_put16(uint8_t *at, uint32_t value);
extern uint8_t *rg_copy_put32(uint8_t *at, uint32_t value);
extern uint8_t *rg_copy_put64(uint8_t *at, uint64_t value);

extern uint32_t rg_copy_get16(RgCopyReader *reader);
extern uint32_t rg_copy_get32(RgCopyReader *reader);
extern uint64_t rg_copy_get64(RgCopyReader *reader);
extern const uint8_t *rg_copy_get_bytes(RgCopyReader *reader, size_t count);

/* Writes an item without its hashes; returns the place where they belong. */
extern uint8_t *rg_copy_put_item(uint8_t *at, const RgCopyItem *item);

/*
 * Reads the next item or run.  False if what is there can't be one: then the
 * reader is bad.  Limits of a single item are checked here: its path, and that
 * there are no more hashes than blocks.
 */
extern bool rg_copy_get_item(RgCopyReader *reader, RgCopyItem *ret_item);
extern bool rg_copy_get_run(RgCopyReader *reader, uint32_t range, RgCopyRun *ret_run);

#endif							/* RG_COPYWIRE_H */
