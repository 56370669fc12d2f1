/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/pair/internal.h - what the files of this room share: the layout of a private half as a list
 * of OpenSSL's parameters, and keys made of it.
 */
#ifndef COF_KMS_PAIR_INTERNAL_H
#define COF_KMS_PAIR_INTERNAL_H

#include "pair.h"

#include <openssl/evp.h>
#include <openssl/params.h>

#define COF_PAIR_PARTS_MAX 8u

/* Fields of the layout in order; at is into the private half. */
struct cof_pair_part {
    const char *name;
    bool is_number; /* else bytes as they are */
    uint8_t *at;
    size_t bytes;
};

/* Number of parts. */
unsigned cof_pair_parts(const struct cof_kms_spec *spec, uint8_t *private_half,
                        struct cof_pair_part parts[COF_PAIR_PARTS_MAX]);

/* The AlgorithmIdentifier of such keys, in DER. */
struct cof_kms_bytes cof_pair_identifier(const struct cof_kms_spec *spec);

/* Byte index of a number of count bytes in the machine's order, counted from its high end. */
static inline size_t cof_pair_from_high(size_t count, size_t index)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return count - 1 - index;
#else
    (void)count;
    return index;
#endif
}

/* NULL when OpenSSL refuses it. */
EVP_PKEY *cof_pair_load(const struct cof_kms_spec *spec, const uint8_t *private_half);
EVP_PKEY *cof_pair_load_public(struct cof_kms_bytes public_half);

/* Leave the error queue clean; returns error. */
int cof_pair_end(int error);

#endif
