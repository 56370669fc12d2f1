/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto/vk.c - the volume key: derived once, then used through its wrap key and root key only.
 *
 * The 32 bytes that the key service gave live in one arena slot for the time of three derivations.
 * A struct cof_vk doesn't change after cof_vk_new but for its count of uses, so threads may share
 * it; nonces are 96 random bits, and the caller keeps the uses of a generation below 2^30
 * (docs/crypto.md).
 */
#include "crypto/internal.h"

#include <string.h>

static int derive(struct cof_vk *vk, const struct cof_secret *bytes)
{
    int error = cof_kdf_derive(vk->arena, bytes, "coffer/vk/wrap/1", NULL, 0, &vk->wrap);
    if (error == 0) {
        error = cof_kdf_derive(vk->arena, bytes, "coffer/vk/root/1", NULL, 0, &vk->root);
    }
    if (error == 0) {
        error = cof_kdf_expand(bytes, "coffer/vk/commit/1", NULL, 0, vk->commitment);
    }
    return error;
}

int cof_vk_new(struct cof_env *env, struct cof_arena *arena,
               int (*fill)(void *ctx, uint8_t bytes[COF_SECRET_BYTES]), void *ctx,
               struct cof_vk **ret_vk)
{
    struct cof_secret *bytes = NULL;
    struct cof_vk *vk = cof_calloc(env, 1, sizeof *vk);
    int error;
    if (vk == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    vk->env = env;
    vk->arena = arena;
    error = cof_secret_new(arena, &bytes);
    if (error == 0) {
        error = cof_secret_fill(bytes, fill, ctx);
    }
    if (error == 0) {
        error = derive(vk, bytes);
    }
    cof_secret_free(arena, bytes);
    if (error != 0) {
        cof_vk_free(vk);
        return error;
    }
    *ret_vk = vk;
    return 0;
}

void cof_vk_free(struct cof_vk *vk)
{
    if (vk == NULL) {
        return;
    }
    cof_secret_free(vk->arena, vk->wrap);
    cof_secret_free(vk->arena, vk->root);
    cof_free(vk->env, vk);
}

uint64_t cof_vk_uses(const struct cof_vk *vk)
{
    return atomic_load_explicit(&vk->uses, memory_order_relaxed);
}

void cof_vk_commitment(const struct cof_vk *vk, uint8_t ret_commitment[COF_COMMITMENT_BYTES])
{
    memcpy(ret_commitment, vk->commitment, COF_COMMITMENT_BYTES);
}

int cof_vk_check(const struct cof_vk *vk, const uint8_t commitment[COF_COMMITMENT_BYTES])
{
    return cof_equal(vk->commitment, commitment, COF_COMMITMENT_BYTES) ? 0 : COFFER_E_COMMIT;
}

int cof_vk_seal_record(struct cof_vk *vk, const uint8_t *aad, size_t aad_bytes, const uint8_t *in,
                       size_t length_bytes, uint8_t *out, uint8_t ret_nonce[COF_NONCE_BYTES],
                       uint8_t ret_tag[COF_TAG_BYTES])
{
    uint8_t nonce[COF_NONCE_BYTES];
    struct cof_gcm_message message = {nonce, aad, aad_bytes, in, length_bytes, out};
    int error = cof_arena_usable(vk->arena);
    if (error == 0) {
        error = cof_random(vk->env, nonce, sizeof nonce);
    }
    if (error == 0) {
        atomic_fetch_add_explicit(&vk->uses, 1, memory_order_relaxed);
        error = cof_gcm_seal_once(vk->root, &message, ret_tag);
    }
    if (error != 0) {
        return error;
    }
    memcpy(ret_nonce, nonce, sizeof nonce);
    return 0;
}

int cof_vk_open_record(struct cof_vk *vk, const uint8_t *aad, size_t aad_bytes,
                       const uint8_t nonce[COF_NONCE_BYTES], const uint8_t tag[COF_TAG_BYTES],
                       const uint8_t *in, size_t length_bytes, uint8_t *out)
{
    struct cof_gcm_message message = {nonce, aad, aad_bytes, in, length_bytes, out};
    int error = cof_arena_usable(vk->arena);
    return error != 0 ? error : cof_gcm_open_once(vk->root, &message, tag);
}
