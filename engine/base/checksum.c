/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/checksum.c - the only place that calls xxHash. Any thread; no allocation.
 */
#include "base/checksum.h"

#include <string.h>

/* The library's own choice among the widths of vector registers at run time is nearly three times
 * as fast on 4 KiB as what the compiler's baseline allows, where there is such a choice. */
#if defined(__x86_64__)
#define XXH_STATIC_LINKING_ONLY
#include <xxh_x86dispatch.h>
#include <xxhash.h>
#else
#define XXH_INLINE_ALL
#include <xxhash.h>
#endif

uint64_t cof_checksum64(const void *bytes, size_t length_bytes)
{
    return XXH3_64bits(bytes, length_bytes);
}

uint64_t cof_checksum64_block(const uint8_t block[4096], size_t sum_offset)
{
    uint8_t copy[4096];
    memcpy(copy, block, sizeof copy);
    memset(copy + sum_offset, 0, 8);
    return cof_checksum64(copy, sizeof copy);
}

void cof_checksum128(uint64_t seed, const void *a, size_t a_bytes, const void *b, size_t b_bytes,
                     uint8_t ret_sum[16])
{
    XXH3_state_t state;
    XXH128_canonical_t canonical;
    XXH3_INITSTATE(&state);
    XXH3_128bits_reset_withSeed(&state, seed);
    XXH3_128bits_update(&state, a, a_bytes);
    XXH3_128bits_update(&state, b, b_bytes);
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&state));
    memcpy(ret_sum, canonical.digest, 16);
}
