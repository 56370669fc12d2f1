/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/fake_kms.c - see fake_kms.h.
 */
#include "common/fake_kms.h"

#include "common/prng.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTEXT_BYTES_MAX 2048u
#define PAIRS_MAX 16u
#define BLOB_BYTES (1u + 12u + COFFER_KEY_BYTES + 16u)

static bool strikes(struct fake_kms *kms)
{
    uint64_t number = kms->calls++;
    bool hit = kms->planted &&
               (number == kms->planted_at || (kms->planted_sticky && number > kms->planted_at));
    kms->fired += hit ? 1u : 0u;
    return hit;
}

void fake_kms_arn(unsigned key, char ret_arn[COFFER_KEY_ARN_BYTES_MAX])
{
    snprintf(ret_arn, COFFER_KEY_ARN_BYTES_MAX, "arn:coffer:kms:test:000000000000:key/%u", key);
}

/* The names of each key; made once, since each case of a long run asks for them. */
static const char *name_of(unsigned key, bool alias)
{
    static char arns[FAKE_KMS_KEYS][COFFER_KEY_ARN_BYTES_MAX], aliases[FAKE_KMS_KEYS][16];
    if (arns[key][0] == 0) {
        snprintf(aliases[key], sizeof aliases[key], "alias/k%u", key);
        fake_kms_arn(key, arns[key]);
    }
    return alias ? aliases[key] : arns[key];
}

static int find_key(const struct fake_kms *kms, const char *name, unsigned *ret_key)
{
    for (unsigned i = 0; i < FAKE_KMS_KEYS; i++) {
        if (name == NULL || strcmp(name, name_of(i, false)) == 0 ||
            strcmp(name, name_of(i, true)) == 0 ||
            (i == 0 && strcmp(name, "alias/coffer/default") == 0)) {
            *ret_key = i;
            return kms->keys[i].gone ? COFFER_E_KEY_NOT_FOUND : 0;
        }
    }
    return COFFER_E_KEY_NOT_FOUND;
}

static int usable(const struct fake_kms *kms, unsigned key)
{
    if (kms->keys[key].gone) {
        return COFFER_E_KEY_NOT_FOUND;
    }
    switch (kms->keys[key].state) {
    case COFFER_KEY_ENABLED:
        return 0;
    case COFFER_KEY_IS_DISABLED:
        return COFFER_E_KEY_DISABLED;
    case COFFER_KEY_UNAVAILABLE:
        return COFFER_E_KEY_UNREACHABLE;
    default:
        return COFFER_E_KEY_STATE;
    }
}

static int compare_pairs(const void *a, const void *b)
{
    const struct coffer_context_pair *x = a, *y = b;
    return strcmp(x->key, y->key);
}

/* Length-prefixed strings in the order of the keys; -1 when it is too long. */
static int canonical(const struct coffer_context *context, uint8_t bytes[CONTEXT_BYTES_MAX])
{
    struct coffer_context_pair pairs[PAIRS_MAX];
    size_t at = 0;
    unsigned count = context == NULL ? 0 : context->pair_count;
    if (count > PAIRS_MAX) {
        return -1;
    }
    if (count > 0) {
        memcpy(pairs, context->pairs, count * sizeof pairs[0]);
        qsort(pairs, count, sizeof pairs[0], compare_pairs);
    }
    for (unsigned i = 0; i < 2 * count; i++) {
        const char *string = i % 2 == 0 ? pairs[i / 2].key : pairs[i / 2].value;
        size_t length = strlen(string);
        if (at + length + 2 > CONTEXT_BYTES_MAX) {
            return -1;
        }
        bytes[at++] = (uint8_t)(length >> 8);
        bytes[at++] = (uint8_t)length;
        memcpy(bytes + at, string, length);
        at += length;
    }
    return (int)at;
}

static void draw(struct fake_kms *kms, uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        bytes[i] = (uint8_t)(prng_mix(kms->seed, kms->counter++) >> 24);
    }
}

static int crypt(const uint8_t *key, bool seal, const uint8_t *nonce, const uint8_t *aad,
                 int aad_bytes, const uint8_t *in, uint8_t *out, uint8_t *tag)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int length, good;
    if (ctx == NULL) {
        return -1;
    }
    good = EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce, seal ? 1 : 0) == 1 &&
           (aad_bytes == 0 || EVP_CipherUpdate(ctx, NULL, &length, aad, aad_bytes) == 1) &&
           EVP_CipherUpdate(ctx, out, &length, in, COFFER_KEY_BYTES) == 1 &&
           (seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, 16, tag) == 1) &&
           EVP_CipherFinal_ex(ctx, out + COFFER_KEY_BYTES, &length) == 1 &&
           (!seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, 16, tag) == 1);
    EVP_CIPHER_CTX_free(ctx);
    return good ? 0 : -1;
}

static int wrap(struct fake_kms *kms, unsigned key, const struct coffer_context *context,
                const uint8_t plain[COFFER_KEY_BYTES], struct coffer_key_blob *ret_blob)
{
    uint8_t aad[CONTEXT_BYTES_MAX];
    int aad_bytes = canonical(context, aad);
    uint8_t *bytes = ret_blob->bytes;
    if (aad_bytes < 0) {
        return COFFER_E_INVALID;
    }
    bytes[0] = (uint8_t)key;
    draw(kms, bytes + 1, 12);
    ret_blob->length_bytes = BLOB_BYTES;
    return crypt(kms->keys[key].bytes, true, bytes + 1, aad, aad_bytes, plain, bytes + 13,
                 bytes + 13 + COFFER_KEY_BYTES) == 0
               ? 0
               : COFFER_E_CRYPTO;
}

static int unwrap(struct fake_kms *kms, const struct coffer_key_blob *blob,
                  const struct coffer_context *context, uint8_t plain[COFFER_KEY_BYTES])
{
    uint8_t aad[CONTEXT_BYTES_MAX], tag[16];
    int aad_bytes = canonical(context, aad);
    int error;
    if (blob->length_bytes != BLOB_BYTES || blob->bytes[0] >= FAKE_KMS_KEYS || aad_bytes < 0) {
        return COFFER_E_KEY_CIPHERTEXT;
    }
    error = usable(kms, blob->bytes[0]);
    if (error != 0) {
        return error;
    }
    memcpy(tag, blob->bytes + 13 + COFFER_KEY_BYTES, sizeof tag);
    return crypt(kms->keys[blob->bytes[0]].bytes, false, blob->bytes + 1, aad, aad_bytes,
                 blob->bytes + 13, plain, tag) == 0
               ? 0
               : COFFER_E_KEY_CIPHERTEXT;
}

static int kms_describe(void *ctx, const char *key, struct coffer_key_info *ret_info)
{
    struct fake_kms *kms = ctx;
    unsigned number;
    int error;
    if (strikes(kms)) {
        return kms->planted_error;
    }
    error = find_key(kms, key, &number);
    if (error != 0) {
        return error;
    }
    memset(ret_info, 0, sizeof *ret_info);
    fake_kms_arn(number, ret_info->arn);
    ret_info->state = kms->keys[number].state;
    ret_info->managed = number == 0 ? 1 : 0;
    return 0;
}

static int kms_generate(void *ctx, const char *key_arn, const struct coffer_context *context,
                        struct coffer_key_blob *ret_blob)
{
    struct fake_kms *kms = ctx;
    uint8_t plain[COFFER_KEY_BYTES];
    unsigned key;
    int error;
    if (strikes(kms)) {
        return kms->planted_error;
    }
    error = find_key(kms, key_arn, &key);
    if (error == 0) {
        error = usable(kms, key);
    }
    if (error != 0) {
        return error;
    }
    draw(kms, plain, sizeof plain);
    return wrap(kms, key, context, plain, ret_blob);
}

static int kms_decrypt(void *ctx, const char *key_arn, const struct coffer_key_blob *blob,
                       const struct coffer_context *context, uint8_t key_bytes[COFFER_KEY_BYTES])
{
    struct fake_kms *kms = ctx;
    uint8_t plain[COFFER_KEY_BYTES + 16];
    unsigned key;
    int error;
    if (strikes(kms)) {
        return kms->planted_error;
    }
    error = find_key(kms, key_arn, &key);
    if (error == 0 && (blob->length_bytes == 0 || blob->bytes[0] != key)) {
        error = COFFER_E_KEY_CIPHERTEXT;
    }
    if (error == 0) {
        error = unwrap(kms, blob, context, plain);
    }
    if (error == 0) {
        memcpy(key_bytes, plain, COFFER_KEY_BYTES);
    }
    return error;
}

static int kms_re_encrypt(void *ctx, const struct coffer_key_blob *blob,
                          const struct coffer_context *source_context,
                          const char *destination_key_arn,
                          const struct coffer_context *destination_context,
                          struct coffer_key_blob *ret_blob)
{
    struct fake_kms *kms = ctx;
    uint8_t plain[COFFER_KEY_BYTES + 16];
    unsigned key;
    int error;
    if (strikes(kms)) {
        return kms->planted_error;
    }
    error = find_key(kms, destination_key_arn, &key);
    if (error == 0) {
        error = usable(kms, key);
    }
    if (error == 0) {
        error = unwrap(kms, blob, source_context, plain);
    }
    return error != 0 ? error : wrap(kms, key, destination_context, plain, ret_blob);
}

static int kms_create_grant(void *ctx, const char *key_arn, const char *grantee, const char *name,
                            const char *const *operations, unsigned operation_count,
                            const struct coffer_context *context, char ret_grant_id[65])
{
    struct fake_kms *kms = ctx;
    struct fake_grant *grant = &kms->grants[kms->grant_count % FAKE_KMS_GRANTS];
    unsigned key;
    int error;
    if (strikes(kms)) {
        return kms->planted_error;
    }
    error = find_key(kms, key_arn, &key);
    if (error == 0) {
        error = usable(kms, key);
    }
    if (error == 0 && (strncmp(grantee, "arn:coffer:iam::", 16) != 0 || name == NULL ||
                       strncmp(name, "coffer:", 7) != 0 || operation_count == 0 ||
                       operations[0] == NULL || context->pair_count != 1)) {
        error = COFFER_E_INVALID;
    }
    if (error != 0) {
        return error;
    }
    snprintf(ret_grant_id, 65, "%064llx", (unsigned long long)++kms->grants_drawn);
    if (kms->grant_count < FAKE_KMS_GRANTS) {
        memcpy(grant->id, ret_grant_id, sizeof grant->id);
        snprintf(grant->volume, sizeof grant->volume, "%.36s", context->pairs[0].value);
        snprintf(grant->name, sizeof grant->name, "%.111s", name);
        snprintf(grant->grantee, sizeof grant->grantee, "%s", grantee);
        grant->key = key;
        grant->live = true;
        kms->grant_count++;
    }
    return 0;
}

static int kms_retire_grant(void *ctx, const char *key_arn, const char *grant_id)
{
    struct fake_kms *kms = ctx;
    unsigned key;
    int error;
    if (strikes(kms)) {
        return kms->planted_error;
    }
    error = find_key(kms, key_arn, &key);
    for (unsigned i = 0; error == 0 && i < kms->grant_count; i++) {
        struct fake_grant *grant = &kms->grants[i];
        if (grant->live && grant->key == key && strcmp(grant->id, grant_id) == 0) {
            grant->live = false;
            return 0;
        }
    }
    return error != 0 || kms->grant_count == FAKE_KMS_GRANTS ? error : COFFER_E_NOT_FOUND;
}

unsigned fake_kms_grants(const struct fake_kms *kms, unsigned key)
{
    unsigned live = 0;
    for (unsigned i = 0; i < kms->grant_count; i++) {
        live += kms->grants[i].live && (key == FAKE_KMS_KEYS || kms->grants[i].key == key);
    }
    return live;
}

static const struct coffer_key_provider_ops kms_ops = {
    .size = sizeof kms_ops,
    .describe = kms_describe,
    .generate_data_key_without_plaintext = kms_generate,
    .decrypt = kms_decrypt,
    .re_encrypt = kms_re_encrypt,
    .create_grant = kms_create_grant,
    .retire_grant = kms_retire_grant,
};

void fake_kms_init(struct fake_kms *kms, uint64_t seed)
{
    memset(kms, 0, sizeof *kms);
    kms->seed = prng_mix(seed, 0x6b6d73u);
    for (unsigned i = 0; i < FAKE_KMS_KEYS; i++) {
        draw(kms, kms->keys[i].bytes, COFFER_KEY_BYTES);
    }
    kms->api.ops = &kms_ops;
    kms->api.ctx = kms;
}

static int refuse_decrypt(void *ctx, const char *key_arn, const struct coffer_key_blob *blob,
                          const struct coffer_context *context, uint8_t key_bytes[COFFER_KEY_BYTES])
{
    (void)ctx;
    (void)key_arn;
    (void)blob;
    (void)context;
    (void)key_bytes;
    return COFFER_E_KEY_ACCESS;
}

void fake_kms_blind_init(struct fake_kms_blind *blind, const struct fake_kms *kms)
{
    blind->ops = *kms->api.ops;
    blind->ops.decrypt = refuse_decrypt;
    blind->api = kms->api;
    blind->api.ops = &blind->ops;
}

void fake_kms_fail(struct fake_kms *kms, uint64_t at, bool sticky, int error)
{
    kms->planted = true;
    kms->planted_sticky = sticky;
    kms->planted_at = kms->calls + at;
    kms->planted_error = error;
    kms->fired = 0;
}

void fake_kms_fail_none(struct fake_kms *kms)
{
    kms->planted = false;
}
