/*
 * copyhash.h
 *	  The hash of a block, by which two servers find out what differs.
 *
 * Pure C without server headers: compiled into server, program and unit tests.
 */
#ifndef RG_COPYHASH_H
#define RG_COPYHASH_H

#include <stddef.h>
#include <stdint.h>

#define RG_COPY_HASH 16			/* bytes */

/*
 * The hash of a block, or of a file's last part of one: RG_COPY_HASH bytes, the
 * same on every processor.  The seed is chosen for each copy, so that nobody can
 * prepare two blocks with one hash.
 */
extern void rg_copy_hash(const void *block, size_t length, uint64_t seed, uint8_t *ret_hash);

/* The same with the registers of 256 bits; only where the processor has AVX2. */
#if defined(__x86_64__) && defined(__GNUC__)
#define RG_COPY_HASH_AVX2
extern void rg_copy_hash_avx2(const void *block, size_t length, uint64_t seed, uint8_t *ret_hash);
#endif

#endif							/* RG_COPYHASH_H */
