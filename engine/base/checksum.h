/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/checksum.h - XXH3 over bytes. Finds damage; proves nothing about who wrote them.
 */
#ifndef COF_BASE_CHECKSUM_H
#define COF_BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* XXH3, 64 bits, seed 0. */
uint64_t cof_checksum64(const void *bytes, size_t length_bytes);

/* The same of a block that has its own checksum at sum_offset: as if these 8 bytes were zero. */
uint64_t cof_checksum64_block(const uint8_t block[4096], size_t sum_offset);

/* XXH3, 128 bits in canonical (big-endian) form, over a and then b, with a seed. */
void cof_checksum128(uint64_t seed, const void *a, size_t a_bytes, const void *b, size_t b_bytes,
                     uint8_t ret_sum[16]);

#endif
