/*
 * copyhash.c
 *	  The hash of a block.
 *
 * XXH3 with 128 bits reads a block at the speed of memory.  It is no
 * cryptographic hash, and need not be one: two different blocks that meet by
 * chance are 2^-128 likely, and whoever wants to make two of them would have
 * to know the seed, which is drawn for each copy.
 *
 * It is compiled twice: for every processor of the architecture, and with AVX2
 * (copyhash_avx2.c), which takes less than half the time.  Both give the same.
 */
#include "copyhash.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static void
hash_plain(const void *block, size_t length, uint64_t seed, uint8_t *ret_hash)
{
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(&canonical, XXH3_128bits_withSeed(block, length, seed));
	memcpy(ret_hash, canonical.digest, RG_COPY_HASH);
}

void
rg_copy_hash(const void *block, size_t length, uint64_t seed, uint8_t *ret_hash)
{
#ifdef RG_COPY_HASH_AVX2
	if (__builtin_cpu_supports("avx2"))
	{
		rg_copy_hash_avx2(block, length, seed, ret_hash);
		return;
	}
#endif
	hash_plain(block, length, seed, ret_hash);
}
