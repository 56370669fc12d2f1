/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/pair/pkcs8.c - private halves as PrivateKeyInfo in DER, written in secret memory.
 *
 *   PrivateKeyInfo ::= SEQUENCE { version INTEGER, AlgorithmIdentifier, key OCTET STRING }
 *   key, RSA       ::= SEQUENCE { 0, n, e, d, p, q, d mod p-1, d mod q-1, 1/q mod p }
 *   key, EC        ::= SEQUENCE { 1, OCTET STRING, [1] { BIT STRING public } OPTIONAL }
 *   key, Edwards   ::= OCTET STRING
 *
 * Written from the end of the buffer to its beginning, so that lengths are known when they are due.
 * Invariant: nothing private is copied anywhere but to the output. Any thread.
 */
#include "internal.h"

#include "kms/secret.h"

#include <openssl/asn1.h>
#include <string.h>

/* AlgorithmIdentifiers, whole. */
static const uint8_t rsa_id[] = {0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                                 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00};
static const uint8_t p256_id[] = {0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
                                  0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
static const uint8_t p384_id[] = {0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d,
                                  0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22};
static const uint8_t p521_id[] = {0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d,
                                  0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23};
static const uint8_t ed25519_id[] = {0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70};

struct cof_kms_bytes cof_pair_identifier(const struct cof_kms_spec *spec)
{
    struct cof_kms_bytes id = {NULL, 0};

    if (spec->family == COF_KMS_RSA) {
        id.at = rsa_id;
        id.length_bytes = sizeof(rsa_id);
    } else if (spec->family == COF_KMS_EDWARDS) {
        id.at = ed25519_id;
        id.length_bytes = sizeof(ed25519_id);
    } else if (spec->bits == 256) {
        id.at = p256_id;
        id.length_bytes = sizeof(p256_id);
    } else {
        id.at = spec->bits == 384 ? p384_id : p521_id;
        id.length_bytes = sizeof(p384_id);
    }
    return id;
}

_Static_assert(sizeof(p384_id) == sizeof(p521_id), "identifiers of one length");

struct writer {
    uint8_t *begin;
    uint8_t *at;
    bool overflowed;
};

static uint8_t *make_room(struct writer *writer, size_t bytes)
{
    if ((size_t)(writer->at - writer->begin) < bytes) {
        writer->overflowed = true;
        return NULL;
    }
    writer->at -= bytes;
    return writer->at;
}

static void put_bytes(struct writer *writer, const void *bytes, size_t count)
{
    uint8_t *at = make_room(writer, count);

    if (at != NULL) {
        memcpy(at, bytes, count);
    }
}

/* Tag and length of all that was written since end. */
static void put_head(struct writer *writer, const uint8_t *end, int tag, int tag_class)
{
    int constructed = tag == V_ASN1_SEQUENCE || tag_class != V_ASN1_UNIVERSAL;
    int content_bytes = (int)(end - writer->at);
    int whole_bytes = ASN1_object_size(constructed, content_bytes, tag);
    unsigned char *at = make_room(writer, (size_t)(whole_bytes - content_bytes));

    if (at != NULL) {
        ASN1_put_object(&at, constructed, content_bytes, tag, tag_class);
    }
}

static void put_small(struct writer *writer, uint8_t value)
{
    const uint8_t *end = writer->at;

    put_bytes(writer, &value, 1);
    put_head(writer, end, V_ASN1_INTEGER, V_ASN1_UNIVERSAL);
}

static void put_number(struct writer *writer, const struct cof_pair_part *part)
{
    const uint8_t *end = writer->at;
    const uint8_t zero = 0;
    size_t skip = 0, i;

    while (skip + 1 < part->bytes && part->at[cof_pair_from_high(part->bytes, skip)] == 0) {
        skip++;
    }
    for (i = part->bytes; i > skip; i--) {
        put_bytes(writer, &part->at[cof_pair_from_high(part->bytes, i - 1)], 1);
    }
    if ((part->at[cof_pair_from_high(part->bytes, skip)] & 0x80u) != 0) {
        put_bytes(writer, &zero, 1);
    }
    put_head(writer, end, V_ASN1_INTEGER, V_ASN1_UNIVERSAL);
}

static void put_rsa(struct writer *writer, const struct cof_pair_part *parts, unsigned count)
{
    const uint8_t *end = writer->at;

    while (count-- > 0) {
        put_number(writer, &parts[count]);
    }
    put_small(writer, 0);
    put_head(writer, end, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL);
}

static void put_ec(struct writer *writer, const struct cof_pair_part *parts)
{
    const uint8_t *end = writer->at;
    const uint8_t no_unused_bits = 0;
    const uint8_t *number_end;
    size_t i;

    put_bytes(writer, parts[1].at, parts[1].bytes);
    put_bytes(writer, &no_unused_bits, 1);
    put_head(writer, end, V_ASN1_BIT_STRING, V_ASN1_UNIVERSAL);
    put_head(writer, end, 1, V_ASN1_CONTEXT_SPECIFIC);
    number_end = writer->at;
    for (i = parts[0].bytes; i > 0; i--) {
        put_bytes(writer, &parts[0].at[cof_pair_from_high(parts[0].bytes, i - 1)], 1);
    }
    put_head(writer, number_end, V_ASN1_OCTET_STRING, V_ASN1_UNIVERSAL);
    put_small(writer, 1);
    put_head(writer, end, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL);
}

int cof_pair_to_pkcs8(const struct cof_kms_spec *spec, const uint8_t *private_half,
                      uint8_t ret_der[COF_PAIR_PKCS8_BYTES_MAX], size_t *ret_der_bytes)
{
    struct cof_kms_bytes id = cof_pair_identifier(spec);
    struct cof_pair_part parts[COF_PAIR_PARTS_MAX];
    unsigned count = cof_pair_parts(spec, (uint8_t *)(uintptr_t)private_half, parts);
    uint8_t *end = ret_der + COF_PAIR_PKCS8_BYTES_MAX;
    struct writer writer = {ret_der, end, false};

    if (spec->family == COF_KMS_RSA) {
        put_rsa(&writer, parts, count);
    } else if (spec->family == COF_KMS_EC) {
        put_ec(&writer, parts);
    } else {
        put_bytes(&writer, parts[0].at, parts[0].bytes);
        put_head(&writer, end, V_ASN1_OCTET_STRING, V_ASN1_UNIVERSAL);
    }
    put_head(&writer, end, V_ASN1_OCTET_STRING, V_ASN1_UNIVERSAL);
    put_bytes(&writer, id.at, id.length_bytes);
    put_small(&writer, 0);
    put_head(&writer, end, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL);
    if (writer.overflowed) {
        cof_kms_wipe(ret_der, COF_PAIR_PKCS8_BYTES_MAX);
        return cof_pair_end(COFFER_E_INTERNAL);
    }
    *ret_der_bytes = (size_t)(end - writer.at);
    memmove(ret_der, writer.at, *ret_der_bytes);
    cof_kms_wipe(ret_der + *ret_der_bytes, COF_PAIR_PKCS8_BYTES_MAX - *ret_der_bytes);
    return cof_pair_end(0);
}
