/*
 * copyhash_avx2.c
 *	  The hash of copyhash.c once more, for processors with AVX2.
 *
 * A file of its own, since its functions are compiled for other processors than
 * everything else.  Nothing here may run before the processor was asked.
 */
#include "copyhash.h"

#ifdef RG_COPY_HASH_AVX2

#include <immintrin.h>
#include <stdlib.h>
#include <string.h>

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC target("avx2")
#endif

#define XXH_VECTOR 2			/* XXH_AVX2 */
#define XXH_INLINE_ALL
#include <xxhash.h>

void
rg_copy_hash_avx2(const void *block, size_t length, uint64_t seed, uint8_t *ret_hash)
{
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(&canonical, XXH3_128bits_withSeed(block, length, seed));
	memcpy(ret_hash, canonical.digest, RG_COPY_HASH);
}

#ifdef __clang__
#pragma clang attribute pop
#endif

#endif							/* RG_COPY_HASH_AVX2 */
