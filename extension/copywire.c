/*
 * copywire.c
 *	  The bytes of a request for a copy and of its answer.
 */
#include "copywire.h"

#include <string.h>

static uint8_t *
put(uint8_t *at, uint64_t value, int bytes)
{
	for (int i = bytes - 1; i >= 0; i--)
		*at++ = (uint8_t) (value >> (8 * i));
	return at;
}

uint8_t *
rg_copy_put16(uint8_t *at, uint32_t value)
{
	return put(at, value, 2);
}

uint8_t *
rg_copy_put32(uint8_t *at, uint32_t value)
{
	return put(at, value, 4);
}

uint8_t *
rg_copy_put64(uint8_t *at, uint64_t value)
{
	return put(at, value, 8);
}

const uint8_t *
rg_copy_get_bytes(RgCopyReader *reader, size_t count)
{
	const uint8_t *bytes = reader->at;

	if (reader->is_bad || count > reader->left)
	{
		reader->is_bad = true;
		return NULL;
	}
	reader->at += count;
	reader->left -= count;
	return bytes;
}

static uint64_t
get(RgCopyReader *reader, int count)
{
	const uint8_t *bytes = rg_copy_get_bytes(reader, (size_t) count);
	uint64_t	value = 0;

	for (int i = 0; bytes != NULL && i < count; i++)
		value = value << 8 | bytes[i];
	return value;
}

uint32_t
rg_copy_get16(RgCopyReader *reader)
{
	return (uint32_t) get(reader, 2);
}

uint32_t
rg_copy_get32(RgCopyReader *reader)
{
	return (uint32_t) get(reader, 4);
}

uint64_t
rg_copy_get64(RgCopyReader *reader)
{
	return get(reader, 8);
}

uint8_t *
rg_copy_put_item(uint8_t *at, const RgCopyItem *item)
{
	at = rg_copy_put16(at, item->path_length);
	at = rg_copy_put16(at, item->hash_count);
	at = rg_copy_put32(at, item->length);
	at = rg_copy_put64(at, item->offset);
	memcpy(at, item->path, item->path_length);
	return at + item->path_length;
}

bool
rg_copy_get_item(RgCopyReader *reader, RgCopyItem *ret_item)
{
	RgCopyItem	item;

	item.path_length = rg_copy_get16(reader);
	item.hash_count = rg_copy_get16(reader);
	item.length = rg_copy_get32(reader);
	item.offset = rg_copy_get64(reader);
	if (item.path_length == 0 || item.path_length > RG_COPY_PATH_MAX ||
		item.length > RG_COPY_RANGE_MAX || item.offset > INT64_MAX / 2 ||
		item.offset % RG_COPY_BLOCK != 0 ||
		item.hash_count > (item.length + RG_COPY_BLOCK - 1) / RG_COPY_BLOCK)
		reader->is_bad = true;
	item.path = (const char *) rg_copy_get_bytes(reader, item.path_length);
	item.hashes = rg_copy_get_bytes(reader, (size_t) item.hash_count * RG_COPY_HASH);
	if (reader->is_bad || memchr(item.path, '\0', item.path_length) != NULL)
	{
		reader->is_bad = true;
		return false;
	}
	*ret_item = item;
	return true;
}

bool
rg_copy_get_run(RgCopyReader *reader, uint32_t range, RgCopyRun *ret_run)
{
	RgCopyRun	run;

	run.offset = rg_copy_get32(reader);
	run.length = rg_copy_get32(reader);
	if (run.length == 0 || run.offset > range || run.length > range - run.offset)
		reader->is_bad = true;
	run.bytes = rg_copy_get_bytes(reader, run.length);
	if (reader->is_bad)
		return false;
	*ret_run = run;
	return true;
}
