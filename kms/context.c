/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/context.c - canonical form of encryption contexts, and back, and as JSON.
 *
 * Invariants: equal contexts, and only those, have equal canonical forms; nothing that was packed
 * fails to unpack. Any thread.
 */
#include "context.h"

#include "name.h"
#include "pack.h"

#include <stdlib.h>
#include <string.h>

static int compare_pairs(const void *left, const void *right)
{
    const struct coffer_context_pair *a = left;
    const struct coffer_context_pair *b = right;

    /* strcmp compares as unsigned bytes and puts a prefix first: the canonical form's order. */
    return strcmp(a->key, b->key);
}

static int check_pair(const struct coffer_context_pair *pair, struct coffer_fault *fault)
{
    if (pair->key == NULL || pair->value == NULL || pair->key[0] == '\0') {
        return cof_kms_fault(fault, COFFER_E_INVALID,
                             "the encryption context has a pair without a key: name each value");
    }
    if (!cof_kms_text_ok(pair->key) || !cof_kms_text_ok(pair->value)) {
        return cof_kms_fault(fault, COFFER_E_INVALID,
                             "the encryption context is not valid UTF-8: encode it");
    }
    return 0;
}

static int pack_sorted(const struct coffer_context_pair *pairs, unsigned count,
                       struct cof_kms_pack *pack, struct coffer_fault *fault)
{
    unsigned i;

    cof_kms_pack_u32(pack, count);
    for (i = 0; i < count; i++) {
        if (i > 0 && strcmp(pairs[i - 1].key, pairs[i].key) == 0) {
            return cof_kms_fault(fault, COFFER_E_INVALID,
                                 "the encryption context has the key '%.64s' twice: give it once",
                                 pairs[i].key);
        }
        cof_kms_pack_text(pack, pairs[i].key);
        cof_kms_pack_text(pack, pairs[i].value);
    }
    if (pack->overflowed) {
        return cof_kms_fault(fault, COFFER_E_INVALID,
                             "the encryption context is too long: at most %u bytes with lengths",
                             COFFER_CONTEXT_BYTES_MAX);
    }
    return 0;
}

int cof_kms_context_pack(struct cof_kms_env *env, const struct coffer_context *context,
                         uint8_t *buffer, struct cof_kms_bytes *ret_packed,
                         struct coffer_fault *fault)
{
    struct cof_kms_pack pack = cof_kms_pack_into(buffer, COFFER_CONTEXT_BYTES_MAX);
    unsigned count = context == NULL ? 0 : context->pair_count;
    struct coffer_context_pair *pairs = NULL;
    unsigned i;
    int error = 0;

    if (count > COF_KMS_CONTEXT_PAIRS_MAX || (count > 0 && context->pairs == NULL)) {
        return cof_kms_fault(fault, COFFER_E_INVALID,
                             "the encryption context has too many pairs: at most %u bytes in all",
                             COFFER_CONTEXT_BYTES_MAX);
    }
    if (count > 0) {
        pairs = cof_kms_alloc(env, count * sizeof(*pairs));
        if (pairs == NULL) {
            return cof_kms_fault(fault, COFFER_E_NO_MEMORY, NULL);
        }
        memcpy(pairs, context->pairs, count * sizeof(*pairs));
    }
    for (i = 0; i < count && error == 0; i++) {
        error = check_pair(&pairs[i], fault);
    }
    if (error == 0) {
        if (count > 1) {
            qsort(pairs, count, sizeof(*pairs), compare_pairs);
        }
        error = pack_sorted(pairs, count, &pack, fault);
    }
    cof_kms_free(env, pairs);
    if (error == 0) {
        *ret_packed = cof_kms_packed(&pack);
    }
    return error;
}

/* Take one sized text from packed at *offset; NULL when the bytes end early. */
static const uint8_t *take_text(struct cof_kms_bytes packed, size_t *offset, size_t *ret_bytes)
{
    const uint8_t *text;
    size_t bytes;

    if (packed.length_bytes - *offset < 4) {
        return NULL;
    }
    bytes = (size_t)cof_kms_unpack_number(packed.at + *offset, 4);
    *offset += 4;
    if (packed.length_bytes - *offset < bytes) {
        return NULL;
    }
    text = packed.at + *offset;
    *offset += bytes;
    *ret_bytes = bytes;
    return text;
}

static int unpack_pairs(struct cof_kms_bytes packed, struct cof_kms_context *context)
{
    char *text = context->text;
    size_t offset = 4;
    unsigned i;

    for (i = 0; i < context->pair_count * 2; i++) {
        size_t bytes = 0;
        const uint8_t *from = take_text(packed, &offset, &bytes);

        if (from == NULL) {
            return COFFER_E_CORRUPT;
        }
        memcpy(text, from, bytes);
        text[bytes] = '\0';
        if (i % 2 == 0) {
            context->pairs[i / 2].key = text;
        } else {
            context->pairs[i / 2].value = text;
        }
        text += bytes + 1;
    }
    return offset == packed.length_bytes ? 0 : COFFER_E_CORRUPT;
}

int cof_kms_context_unpack(struct cof_kms_env *env, struct cof_kms_bytes packed,
                           struct cof_kms_context *ret_context)
{
    struct cof_kms_context context = {NULL, 0, NULL};
    int error;

    if (packed.length_bytes < 4 || packed.length_bytes > COFFER_CONTEXT_BYTES_MAX) {
        return COFFER_E_CORRUPT;
    }
    context.pair_count = (unsigned)cof_kms_unpack_number(packed.at, 4);
    if (context.pair_count > COF_KMS_CONTEXT_PAIRS_MAX) {
        return COFFER_E_CORRUPT;
    }
    /* Each text costs four bytes of length in packed, so its NUL always has room. */
    context.text = cof_kms_alloc(env, packed.length_bytes);
    context.pairs = cof_kms_alloc(env, (context.pair_count + 1) * sizeof(*context.pairs));
    if (context.text == NULL || context.pairs == NULL) {
        cof_kms_context_free(env, &context);
        return COFFER_E_NO_MEMORY;
    }
    error = unpack_pairs(packed, &context);
    if (error != 0) {
        cof_kms_context_free(env, &context);
        return error;
    }
    *ret_context = context;
    return 0;
}

void cof_kms_context_free(struct cof_kms_env *env, struct cof_kms_context *context)
{
    cof_kms_free(env, context->text);
    cof_kms_free(env, context->pairs);
    context->text = NULL;
    context->pairs = NULL;
    context->pair_count = 0;
}

static char *put_escaped(char *out, const char *text)
{
    static const char digits[] = "0123456789abcdef";

    *out++ = '"';
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '"' || c == '\\') {
            *out++ = '\\';
            *out++ = (char)c;
        } else if (c < 0x20 || c == 0x7f) {
            memcpy(out, "\\u00", 4);
            out[4] = digits[c >> 4];
            out[5] = digits[c & 15];
            out += 6;
        } else {
            *out++ = (char)c;
        }
    }
    *out++ = '"';
    return out;
}

int cof_kms_context_json(struct cof_kms_env *env, struct cof_kms_bytes packed, char **ret_json)
{
    struct cof_kms_context context;
    char *json, *out;
    unsigned i;
    int error = cof_kms_context_unpack(env, packed, &context);

    if (error != 0) {
        return error;
    }
    /* At worst each byte becomes six; quotes, colon and comma fit in the eight bytes of lengths. */
    json = cof_kms_alloc(env, packed.length_bytes * 6 + 3);
    if (json == NULL) {
        cof_kms_context_free(env, &context);
        return COFFER_E_NO_MEMORY;
    }
    out = json;
    *out++ = '{';
    for (i = 0; i < context.pair_count; i++) {
        if (i > 0) {
            *out++ = ',';
        }
        out = put_escaped(out, context.pairs[i].key);
        *out++ = ':';
        out = put_escaped(out, context.pairs[i].value);
    }
    *out++ = '}';
    *out = '\0';
    cof_kms_context_free(env, &context);
    *ret_json = json;
    return 0;
}
