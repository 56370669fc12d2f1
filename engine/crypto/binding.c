/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto/binding.c - what a page was sealed with, from its tag.
 *
 * A page's additional data says which page it is. Whoever reads it knows that; whoever seals all
 * pages of an extent anew, without the tree, doesn't. GCM's tag is linear in each block of the
 * additional data, so with the key the second of its two blocks follows from the tag. For a page
 * of n blocks, its AAD A1 A2, ciphertext C, and lengths L, over GF(2^128):
 *
 *     tag  = A1 h^(n+3) + A2 h^(n+2) + C(h) + L h  + E(nonce)
 *     mac  = A1 h^(n+3) +              C(h) + L' h + E(nonce)     GMAC of A1 | 0 | C: lengths L'
 *     A2   = (tag + mac) h^-(n+2) + (L + L') h^-(n+1)
 *
 * The answer is the only A2 with which the page opens, for any page and tag whatsoever. So sealing
 * what it says anew takes nothing from the page's authenticity: with every other A2 the page did
 * not open before, and does not after. It is no verification by itself: cof_page_open follows.
 *
 * h^-(n+2) and (L + L') h^-(n+1) stand in a slot of the arena; the macs never leave this file.
 * Multiplication takes the same time whatever is multiplied. One thread at a time.
 */
#include "crypto/internal.h"

#include <string.h>

#define BLOCK_BYTES 16u

struct element {
    uint64_t high, low; /* GCM's order: the highest bit of high is the coefficient of x^0 */
};

struct cof_binding {
    struct cof_env *env;
    struct cof_arena *arena;
    struct cof_secret *secret; /* factor, offset */
    EVP_CIPHER_CTX *context;
    size_t length_bytes;
};

static struct element element_at(const uint8_t bytes[BLOCK_BYTES])
{
    struct element x = {0, 0};
    for (unsigned i = 0; i < 8; i++) {
        x.high = x.high << 8 | bytes[i];
        x.low = x.low << 8 | bytes[8 + i];
    }
    return x;
}

static void element_put(struct element x, uint8_t bytes[BLOCK_BYTES])
{
    for (unsigned i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(x.high >> (56u - 8u * i));
        bytes[8 + i] = (uint8_t)(x.low >> (56u - 8u * i));
    }
}

/* SP 800-38D, algorithm 1, with masks for branches. */
static struct element multiply(struct element x, struct element y)
{
    struct element z = {0, 0};
    for (unsigned bit = 0; bit < 128; bit++) {
        uint64_t word = bit < 64 ? x.high : x.low;
        uint64_t take = 0u - (word >> (63u - bit % 64u) & 1u);
        uint64_t reduce = 0u - (y.low & 1u);
        z.high ^= y.high & take;
        z.low ^= y.low & take;
        y.low = y.low >> 1 | y.high << 63;
        y.high = y.high >> 1 ^ (reduce & UINT64_C(0xe1) << 56);
    }
    return z;
}

static struct element power(struct element x, size_t exponent)
{
    struct element result = {UINT64_C(1) << 63, 0};
    for (; exponent > 0; exponent >>= 1) {
        if ((exponent & 1u) != 0) { /* of public lengths */
            result = multiply(result, x);
        }
        x = multiply(x, x);
    }
    cof_wipe(&x, sizeof x); /* a power of the hash key */
    return result;
}

/* x^(2^128 - 2). */
static struct element invert(struct element x)
{
    struct element result = {UINT64_C(1) << 63, 0};
    for (unsigned i = 1; i < 128; i++) {
        x = multiply(x, x);
        result = multiply(result, x);
    }
    cof_wipe(&x, sizeof x);
    return result;
}

static struct element add(struct element x, struct element y)
{
    return (struct element){x.high ^ y.high, x.low ^ y.low};
}

/* Factor and offset for pages of that length, from h. */
static void prepare(struct element h, size_t length_bytes, uint8_t out[COF_SECRET_BYTES])
{
    size_t blocks = length_bytes / BLOCK_BYTES;
    /* L: AAD of 32 bytes, the page behind it; L': all of it AAD. In bits. */
    struct element lengths = {(COF_AAD_BYTES ^ (COF_AAD_BYTES + length_bytes)) * 8u,
                              length_bytes * 8u};
    struct element factor = invert(power(h, blocks + 2u));
    element_put(factor, out);
    element_put(multiply(lengths, multiply(factor, h)), out + BLOCK_BYTES);
    cof_wipe(&factor, sizeof factor);
    cof_wipe(&h, sizeof h);
}

int cof_binding_new(const struct cof_subkey_open *subkey, size_t length_bytes,
                    struct cof_binding **ret_binding)
{
    const struct cof_subkey *key = &subkey->key;
    struct cof_binding *binding;
    uint8_t h[BLOCK_BYTES];
    int error = cof_arena_usable(key->arena);
    if (error != 0 || length_bytes == 0 || length_bytes % BLOCK_BYTES != 0) {
        return error != 0 ? error : COFFER_E_INVALID;
    }
    binding = cof_calloc(key->env, 1, sizeof *binding);
    if (binding == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    binding->env = key->env;
    binding->arena = key->arena;
    binding->length_bytes = length_bytes;
    error = cof_secret_new(key->arena, &binding->secret);
    if (error == 0) {
        error = cof_gcm_context_new(&binding->context);
    }
    if (error == 0) {
        error = cof_gcm_key(binding->context, 1, key->secret);
    }
    if (error == 0) {
        error = cof_gcm_hash_key(key->secret, h);
    }
    if (error != 0) {
        cof_binding_free(binding);
        return error;
    }
    prepare(element_at(h), length_bytes, binding->secret->bytes);
    cof_wipe(h, sizeof h);
    *ret_binding = binding;
    return 0;
}

void cof_binding_free(struct cof_binding *binding)
{
    if (binding != NULL) {
        EVP_CIPHER_CTX_free(binding->context);
        cof_secret_free(binding->arena, binding->secret);
        cof_free(binding->env, binding);
    }
}

int cof_binding_find(struct cof_binding *binding, uint32_t kind, uint32_t slot,
                     uint8_t aad[COF_AAD_BYTES], const uint8_t *page,
                     const uint8_t tag[COF_TAG_BYTES])
{
    uint8_t nonce[COF_NONCE_BYTES], mac[COF_TAG_BYTES];
    struct element sum;
    int error = cof_arena_usable(binding->arena);
    if (error != 0) {
        return error;
    }
    memset(aad + BLOCK_BYTES, 0, BLOCK_BYTES);
    cof_page_nonce(nonce, kind, slot);
    error =
        cof_gcm_mac(binding->context, nonce, aad, COF_AAD_BYTES, page, binding->length_bytes, mac);
    if (error == 0) {
        sum = add(element_at(tag), element_at(mac));
        sum = add(multiply(sum, element_at(binding->secret->bytes)),
                  element_at(binding->secret->bytes + BLOCK_BYTES));
        element_put(sum, aad + BLOCK_BYTES);
    }
    cof_wipe(mac, sizeof mac);
    return error;
}
