/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/pair/pkcs8_read.c - PrivateKeyInfo in DER, read in secret memory; pkcs8.c has its form.
 *
 * Invariants: nothing private is copied anywhere but to the output; what is read is checked as a
 * key (primes, point, halves that belong together) before it is believed, and the public half of a
 * curve's key is computed, never taken. Any thread.
 */
#include "internal.h"

#include "kms/secret.h"

#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <string.h>

/* Take one element off the front of rest; false when it isn't this one. */
static bool take(struct cof_kms_bytes *rest, int tag, struct cof_kms_bytes *ret_content)
{
    const unsigned char *at = rest->at;
    long bytes = 0;
    int found = 0, found_class = 0;
    int form;

    if (rest->length_bytes == 0) {
        return false;
    }
    form = ASN1_get_object(&at, &bytes, &found, &found_class, (long)rest->length_bytes);
    if ((form & 0x81) != 0 || found != tag || found_class != V_ASN1_UNIVERSAL ||
        ((form & V_ASN1_CONSTRUCTED) != 0) != (tag == V_ASN1_SEQUENCE)) {
        return false;
    }
    ret_content->at = at;
    ret_content->length_bytes = (size_t)bytes;
    rest->length_bytes -= (size_t)(at - rest->at) + (size_t)bytes;
    rest->at = at + bytes;
    return true;
}

static bool take_small(struct cof_kms_bytes *rest, uint8_t value_max)
{
    struct cof_kms_bytes content;

    return take(rest, V_ASN1_INTEGER, &content) && content.length_bytes == 1 &&
           content.at[0] <= value_max;
}

/* Big endian to the machine's order, padded; false when it doesn't fit. */
static bool put_part(const struct cof_pair_part *part, struct cof_kms_bytes number)
{
    size_t skip = 0, i;

    while (skip < number.length_bytes && number.at[skip] == 0) {
        skip++;
    }
    if (number.length_bytes - skip > part->bytes) {
        return false;
    }
    memset(part->at, 0, part->bytes);
    for (i = 0; i < number.length_bytes - skip; i++) {
        part->at[cof_pair_from_high(part->bytes, part->bytes - 1 - i)] =
            number.at[number.length_bytes - 1 - i];
    }
    return true;
}

static bool take_rsa(struct cof_kms_bytes key, const struct cof_pair_part *parts, unsigned count)
{
    struct cof_kms_bytes fields, number;
    unsigned i;

    if (!take(&key, V_ASN1_SEQUENCE, &fields) || key.length_bytes != 0 || !take_small(&fields, 0)) {
        return false;
    }
    for (i = 0; i < count; i++) {
        if (!take(&fields, V_ASN1_INTEGER, &number) || number.length_bytes == 0 ||
            (number.at[0] & 0x80u) != 0 || !put_part(&parts[i], number)) {
            return false;
        }
    }
    /* The modulus has all its bits. */
    return fields.length_bytes == 0 &&
           (parts[0].at[cof_pair_from_high(parts[0].bytes, 0)] & 0x80u) != 0;
}

static bool multiply(const char *group_name, const BIGNUM *number, uint8_t *point, size_t bytes)
{
    EC_GROUP *group = EC_GROUP_new_by_curve_name(EC_curve_nist2nid(group_name));
    EC_POINT *product = group != NULL ? EC_POINT_new(group) : NULL;
    bool done = product != NULL && EC_POINT_mul(group, product, number, NULL, NULL, NULL) == 1 &&
                EC_POINT_point2oct(group, product, POINT_CONVERSION_UNCOMPRESSED, point, bytes,
                                   NULL) == bytes;

    EC_POINT_free(product);
    EC_GROUP_free(group);
    return done;
}

/* The point of the private number; a number outside the group is refused by the check later. */
static bool compute_point(const struct cof_kms_spec *spec, const struct cof_pair_part *parts)
{
    BIGNUM *number = BN_secure_new();
    bool done = number != NULL && BN_native2bn(parts[0].at, (int)parts[0].bytes, number) != NULL &&
                multiply(spec->group, number, parts[1].at, parts[1].bytes);

    BN_clear_free(number);
    return done;
}

static bool take_ec(const struct cof_kms_spec *spec, struct cof_kms_bytes key,
                    const struct cof_pair_part *parts)
{
    struct cof_kms_bytes fields, number;

    return take(&key, V_ASN1_SEQUENCE, &fields) && key.length_bytes == 0 &&
           take_small(&fields, 1) && take(&fields, V_ASN1_OCTET_STRING, &number) &&
           put_part(&parts[0], number) && compute_point(spec, parts);
}

static bool take_edwards(struct cof_kms_bytes key, const struct cof_pair_part *parts)
{
    struct cof_kms_bytes number;
    size_t bytes = parts[1].bytes;
    EVP_PKEY *loaded;
    bool done;

    if (!take(&key, V_ASN1_OCTET_STRING, &number) || key.length_bytes != 0 ||
        number.length_bytes != parts[0].bytes) {
        return false;
    }
    memcpy(parts[0].at, number.at, number.length_bytes);
    loaded = EVP_PKEY_new_raw_private_key_ex(NULL, "ED25519", NULL, parts[0].at, parts[0].bytes);
    done = loaded != NULL && EVP_PKEY_get_raw_public_key(loaded, parts[1].at, &bytes) == 1 &&
           bytes == parts[1].bytes;
    EVP_PKEY_free(loaded);
    return done;
}

static bool key_is_sound(const struct cof_kms_spec *spec, const uint8_t *private_half)
{
    EVP_PKEY *key = cof_pair_load(spec, private_half);
    EVP_PKEY_CTX *ctx = key != NULL ? EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL) : NULL;
    bool sound = ctx != NULL && EVP_PKEY_check(ctx) == 1;

    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    return sound;
}

/* The key inside, when the wrapping says that it is of this spec. */
static bool take_wrapping(const struct cof_kms_spec *spec, struct cof_kms_bytes der,
                          struct cof_kms_bytes *ret_key)
{
    struct cof_kms_bytes id = cof_pair_identifier(spec);
    struct cof_kms_bytes fields;

    if (!take(&der, V_ASN1_SEQUENCE, &fields) || der.length_bytes != 0 || !take_small(&fields, 1) ||
        fields.length_bytes < id.length_bytes || memcmp(fields.at, id.at, id.length_bytes) != 0) {
        return false;
    }
    fields.at += id.length_bytes;
    fields.length_bytes -= id.length_bytes;
    /* Attributes and a public half may follow; neither is used. */
    return take(&fields, V_ASN1_OCTET_STRING, ret_key);
}

int cof_pair_from_pkcs8(const struct cof_kms_spec *spec, struct cof_kms_bytes der,
                        uint8_t *ret_private)
{
    struct cof_pair_part parts[COF_PAIR_PARTS_MAX];
    unsigned count = cof_pair_parts(spec, ret_private, parts);
    struct cof_kms_bytes key;
    bool done = take_wrapping(spec, der, &key);

    if (done && spec->family == COF_KMS_RSA) {
        done = take_rsa(key, parts, count);
    } else if (done && spec->family == COF_KMS_EC) {
        done = take_ec(spec, key, parts);
    } else if (done) {
        done = take_edwards(key, parts);
    }
    if (!done || !key_is_sound(spec, ret_private)) {
        cof_kms_wipe(ret_private, spec->material_bytes);
        return cof_pair_end(COFFER_E_INVALID);
    }
    return cof_pair_end(0);
}
