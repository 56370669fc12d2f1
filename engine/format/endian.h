/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format/endian.h - little-endian integers in persisted bytes: the only conversion there is.
 *
 * Each takes a pointer of any alignment. Any thread; no state. Compilers turn each of them into one
 * load or store where the machine is little-endian.
 */
#ifndef COF_FORMAT_ENDIAN_H
#define COF_FORMAT_ENDIAN_H

#include <stdint.h>

static inline uint16_t cof_le16_get(const void *at)
{
    const uint8_t *p = at;
    return (uint16_t)(p[0] | (uint16_t)(p[1] << 8));
}

static inline uint32_t cof_le32_get(const void *at)
{
    const uint8_t *p = at;
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t cof_le64_get(const void *at)
{
    const uint8_t *p = at;
    return (uint64_t)cof_le32_get(p) | (uint64_t)cof_le32_get(p + 4) << 32;
}

static inline void cof_le16_put(void *at, uint16_t value)
{
    uint8_t *p = at;
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
}

static inline void cof_le32_put(void *at, uint32_t value)
{
    uint8_t *p = at;
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
    p[2] = (uint8_t)(value >> 16);
    p[3] = (uint8_t)(value >> 24);
}

static inline void cof_le64_put(void *at, uint64_t value)
{
    uint8_t *p = at;
    cof_le32_put(p, (uint32_t)value);
    cof_le32_put(p + 4, (uint32_t)(value >> 32));
}

#endif
