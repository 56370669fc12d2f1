/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/pack.h - byte strings of fixed meaning: what is sealed, authenticated or hashed is built and
 * read here, so the room's byte order (little endian) stands in one place.
 *
 * A packer never writes beyond its capacity: it remembers that it would have, and pack_ok tells.
 * A text is its length as u32 and its bytes, so no two lists of fields give the same string.
 */
#ifndef COF_KMS_PACK_H
#define COF_KMS_PACK_H

#include "seal.h"

#include <stdbool.h>
#include <string.h>

struct cof_kms_pack {
    uint8_t *bytes;
    size_t capacity;
    size_t length_bytes;
    bool overflowed;
};

static inline struct cof_kms_pack cof_kms_pack_into(uint8_t *bytes, size_t capacity)
{
    struct cof_kms_pack pack = {bytes, capacity, 0, false};

    return pack;
}

static inline void cof_kms_pack_bytes(struct cof_kms_pack *pack, const void *bytes, size_t count)
{
    if (count > pack->capacity - pack->length_bytes) {
        pack->overflowed = true;
        return;
    }
    if (count > 0) {
        memcpy(pack->bytes + pack->length_bytes, bytes, count);
        pack->length_bytes += count;
    }
}

static inline void cof_kms_pack_number(struct cof_kms_pack *pack, uint64_t value, unsigned bytes)
{
    uint8_t out[8];
    unsigned i;

    for (i = 0; i < bytes; i++) {
        out[i] = (uint8_t)(value >> (8 * i));
    }
    cof_kms_pack_bytes(pack, out, bytes);
}

static inline void cof_kms_pack_u8(struct cof_kms_pack *pack, uint8_t value)
{
    cof_kms_pack_number(pack, value, 1);
}

static inline void cof_kms_pack_u16(struct cof_kms_pack *pack, uint16_t value)
{
    cof_kms_pack_number(pack, value, 2);
}

static inline void cof_kms_pack_u32(struct cof_kms_pack *pack, uint32_t value)
{
    cof_kms_pack_number(pack, value, 4);
}

static inline void cof_kms_pack_u64(struct cof_kms_pack *pack, uint64_t value)
{
    cof_kms_pack_number(pack, value, 8);
}

static inline void cof_kms_pack_sized(struct cof_kms_pack *pack, const void *bytes, size_t count)
{
    if (count > UINT32_MAX) {
        pack->overflowed = true;
        return;
    }
    cof_kms_pack_u32(pack, (uint32_t)count);
    cof_kms_pack_bytes(pack, bytes, count);
}

static inline void cof_kms_pack_text(struct cof_kms_pack *pack, const char *text)
{
    cof_kms_pack_sized(pack, text, strlen(text));
}

static inline struct cof_kms_bytes cof_kms_packed(const struct cof_kms_pack *pack)
{
    struct cof_kms_bytes bytes = {pack->bytes, pack->length_bytes};

    return bytes;
}

static inline uint64_t cof_kms_unpack_number(const uint8_t *at, unsigned bytes)
{
    uint64_t value = 0;
    unsigned i;

    for (i = 0; i < bytes; i++) {
        value |= (uint64_t)at[i] << (8 * i);
    }
    return value;
}

#endif
