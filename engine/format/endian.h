/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format/endian.h - little-endian integers in persisted bytes: the only conversion there is.
 *
 * Each takes a pointer of any alignment, and is one load or store where the machine is
 * little-endian (put together from bytes, loops over them are turned into shuffles by compilers).
 * Any thread; no state.
 */
#ifndef COF_FORMAT_ENDIAN_H
#define COF_FORMAT_ENDIAN_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t cof_le16_get(const void *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return le16toh(value);
}

static inline uint32_t cof_le32_get(const void *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return le32toh(value);
}

static inline uint64_t cof_le64_get(const void *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return le64toh(value);
}

static inline void cof_le16_put(void *at, uint16_t value)
{
    value = htole16(value);
    memcpy(at, &value, sizeof value);
}

static inline void cof_le32_put(void *at, uint32_t value)
{
    value = htole32(value);
    memcpy(at, &value, sizeof value);
}

static inline void cof_le64_put(void *at, uint64_t value)
{
    value = htole64(value);
    memcpy(at, &value, sizeof value);
}

#endif
