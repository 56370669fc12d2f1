/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto/ek.c - data keys: drawn (may seal) or unwrapped (may only open), wrapped, committed to.
 *
 * 1. struct cof_ek_seal comes from cof_ek_draw alone, so each lives in the process that drew it.
 * 2. A wrapped key is used only after its commitment was found equal, in constant time: GCM alone
 *    would let one wrap open under two volume keys (docs/crypto.md).
 *
 * A data key doesn't change after it was made, so threads may share it.
 */
#include "crypto/internal.h"

#include <string.h>

static const char commit_label[] = "coffer/ek/commit/1";

static int draw(struct cof_ek *key, struct cof_env *env, struct cof_arena *arena)
{
    int error;
    key->env = env;
    key->arena = arena;
    error = cof_secret_new(arena, &key->secret);
    if (error == 0) {
        error = cof_secret_draw(env, key->secret);
    }
    return error;
}

int cof_ek_draw(struct cof_env *env, struct cof_arena *arena, struct cof_ek_seal **ret_ek)
{
    struct cof_ek_seal *ek = cof_calloc(env, 1, sizeof *ek);
    int error;
    if (ek == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    error = draw(&ek->key, env, arena);
    if (error != 0) {
        cof_secret_free(arena, ek->key.secret);
        cof_free(env, ek);
        return error;
    }
    *ret_ek = ek;
    return 0;
}

void cof_ek_seal_free(struct cof_ek_seal *ek)
{
    if (ek != NULL) {
        cof_secret_free(ek->key.arena, ek->key.secret);
        cof_free(ek->key.env, ek);
    }
}

void cof_ek_open_free(struct cof_ek_open *ek)
{
    if (ek != NULL) {
        cof_secret_free(ek->key.arena, ek->key.secret);
        cof_free(ek->key.env, ek);
    }
}

static int wrap(struct cof_vk *vk, const struct cof_ek *key, const uint8_t *aad, size_t aad_bytes,
                uint8_t ret_nonce[COF_NONCE_BYTES], uint8_t ret_wrapped[COF_WRAPPED_EK_BYTES],
                uint8_t ret_commitment[COF_COMMITMENT_BYTES])
{
    uint8_t nonce[COF_NONCE_BYTES];
    uint8_t wrapped[COF_WRAPPED_EK_BYTES];
    uint8_t commitment[COF_COMMITMENT_BYTES];
    struct cof_gcm_message message = {nonce,  aad, aad_bytes, key->secret->bytes, COF_SECRET_BYTES,
                                      wrapped};
    int error = cof_arena_usable(vk->arena);
    if (error == 0) {
        error = cof_arena_usable(key->arena);
    }
    if (error == 0) {
        error = cof_kdf_expand(key->secret, commit_label, NULL, 0, commitment);
    }
    if (error == 0) {
        error = cof_random(vk->env, nonce, sizeof nonce);
    }
    if (error == 0) {
        atomic_fetch_add_explicit(&vk->uses, 1, memory_order_relaxed);
        error = cof_gcm_seal_once(vk->wrap, &message, wrapped + COF_SECRET_BYTES);
    }
    if (error != 0) {
        return error;
    }
    memcpy(ret_nonce, nonce, sizeof nonce);
    memcpy(ret_wrapped, wrapped, sizeof wrapped);
    memcpy(ret_commitment, commitment, sizeof commitment);
    return 0;
}

int cof_ek_wrap(struct cof_vk *vk, const struct cof_ek_seal *ek, const uint8_t *aad,
                size_t aad_bytes, uint8_t ret_nonce[COF_NONCE_BYTES],
                uint8_t ret_wrapped[COF_WRAPPED_EK_BYTES],
                uint8_t ret_commitment[COF_COMMITMENT_BYTES])
{
    return wrap(vk, &ek->key, aad, aad_bytes, ret_nonce, ret_wrapped, ret_commitment);
}

int cof_ek_rewrap(struct cof_vk *vk, const struct cof_ek_open *ek, const uint8_t *aad,
                  size_t aad_bytes, uint8_t ret_nonce[COF_NONCE_BYTES],
                  uint8_t ret_wrapped[COF_WRAPPED_EK_BYTES],
                  uint8_t ret_commitment[COF_COMMITMENT_BYTES])
{
    return wrap(vk, &ek->key, aad, aad_bytes, ret_nonce, ret_wrapped, ret_commitment);
}

static int check_commitment(const struct cof_secret *secret,
                            const uint8_t commitment[COF_COMMITMENT_BYTES])
{
    uint8_t own[COF_COMMITMENT_BYTES];
    int error = cof_kdf_expand(secret, commit_label, NULL, 0, own);
    if (error == 0 && !cof_equal(own, commitment, sizeof own)) {
        error = COFFER_E_COMMIT;
    }
    return error;
}

/* From wrap to arena slot without a stop on the stack. */
static int unwrap(struct cof_ek *key, const struct cof_vk *vk, struct cof_gcm_message *message,
                  const uint8_t wrapped[COF_WRAPPED_EK_BYTES],
                  const uint8_t commitment[COF_COMMITMENT_BYTES])
{
    int error = cof_arena_usable(vk->arena);
    if (error == 0) {
        error = cof_secret_new(key->arena, &key->secret);
    }
    if (error != 0) {
        return error;
    }
    message->in = wrapped;
    message->length_bytes = COF_SECRET_BYTES;
    message->out = key->secret->bytes;
    error = cof_gcm_open_once(vk->wrap, message, wrapped + COF_SECRET_BYTES);
    return error != 0 ? error : check_commitment(key->secret, commitment);
}

int cof_ek_unwrap(struct cof_env *env, struct cof_arena *arena, struct cof_vk *vk,
                  const uint8_t *aad, size_t aad_bytes, const uint8_t nonce[COF_NONCE_BYTES],
                  const uint8_t wrapped[COF_WRAPPED_EK_BYTES],
                  const uint8_t commitment[COF_COMMITMENT_BYTES], struct cof_ek_open **ret_ek)
{
    struct cof_gcm_message message = {.nonce = nonce, .aad = aad, .aad_bytes = aad_bytes};
    struct cof_ek_open *ek = cof_calloc(env, 1, sizeof *ek);
    int error;
    if (ek == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    ek->key.env = env;
    ek->key.arena = arena;
    error = unwrap(&ek->key, vk, &message, wrapped, commitment);
    if (error != 0) {
        cof_ek_open_free(ek);
        return error;
    }
    *ret_ek = ek;
    return 0;
}
