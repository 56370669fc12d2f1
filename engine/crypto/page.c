/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto/page.c - subkeys of extents, and the seal and open of pages under them.
 *
 * The path that runs once a page. A subkey of an arena with room for it brings its expanded key
 * along, for ipsec-mb. A struct cof_aead serves the others: for sealing and for opening it has a
 * schedule, or where there is no room at all, and for EVP, a context. Those are keyed again only
 * when the subkey differs from their last one (by serial, never by address), and each direction has
 * its own, so that the cleaner's or a reader's opens don't throw out the writer's.
 *
 * 1. cof_page_seal takes a struct cof_subkey_seal, which only a drawn data key can give.
 * 2. (kind, slot) is the nonce; that it is used once under a subkey is the caller's duty.
 * 3. Nothing that failed its tag leaves cof_page_open.
 *
 * One thread at a time for an aead; subkeys may be shared.
 */
#include "crypto/internal.h"

#include "base/testhook.h"

#include <stdatomic.h>
#include <string.h>

static const char subkey_label[] = "coffer/x1";

/* Leaves keep expanded keys free: there are as many opening subkeys as extents are read. */
static int derive(struct cof_subkey *subkey, const struct cof_ek *ek,
                  const uint8_t info[COF_SUBKEY_INFO_BYTES], unsigned keep)
{
    static const uint8_t same_info[COF_SUBKEY_INFO_BYTES];
    static _Atomic uint64_t last_serial;
    int error;
    subkey->env = ek->env;
    subkey->arena = ek->arena;
    subkey->serial = atomic_fetch_add_explicit(&last_serial, 1, memory_order_relaxed) + 1;
    error = cof_kdf_derive(ek->arena, ek->secret, subkey_label,
                           COF_BROKEN(REUSE_NONCE) ? same_info : info, COF_SUBKEY_INFO_BYTES,
                           &subkey->secret);
    subkey->schedule = error == 0 ? cof_schedule_new(ek->arena, keep) : NULL;
    if (subkey->schedule != NULL) {
        cof_ipsec_mb_expand(subkey->secret, subkey->schedule);
    }
    return error;
}

static void forget(struct cof_subkey *subkey)
{
    cof_schedule_free(subkey->arena, subkey->schedule);
    cof_secret_free(subkey->arena, subkey->secret);
}

int cof_subkey_seal_new(const struct cof_ek_seal *ek, const uint8_t info[COF_SUBKEY_INFO_BYTES],
                        struct cof_subkey_seal **ret_subkey)
{
    struct cof_subkey_seal *subkey = cof_calloc(ek->key.env, 1, sizeof *subkey);
    int error;
    if (subkey == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    error = derive(&subkey->key, &ek->key, info, 0);
    if (error != 0) {
        cof_free(ek->key.env, subkey);
        return error;
    }
    *ret_subkey = subkey;
    return 0;
}

void cof_subkey_seal_free(struct cof_subkey_seal *subkey)
{
    if (subkey != NULL) {
        forget(&subkey->key);
        cof_free(subkey->key.env, subkey);
    }
}

int cof_subkey_open_new(const struct cof_ek_seal *seal, const struct cof_ek_open *open,
                        const uint8_t info[COF_SUBKEY_INFO_BYTES],
                        struct cof_subkey_open **ret_subkey)
{
    const struct cof_ek *ek;
    struct cof_subkey_open *subkey;
    int error;
    if ((seal == NULL) == (open == NULL)) {
        return COFFER_E_INVALID;
    }
    ek = seal != NULL ? &seal->key : &open->key;
    subkey = cof_calloc(ek->env, 1, sizeof *subkey);
    if (subkey == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    error = derive(&subkey->key, ek, info, cof_arena_schedules(ek->arena) / 8u);
    if (error != 0) {
        cof_free(ek->env, subkey);
        return error;
    }
    *ret_subkey = subkey;
    return 0;
}

void cof_subkey_open_free(struct cof_subkey_open *subkey)
{
    if (subkey != NULL) {
        forget(&subkey->key);
        cof_free(subkey->key.env, subkey);
    }
}

int cof_aead_new(struct cof_env *env, struct cof_arena *arena, struct cof_aead **ret_aead)
{
    struct cof_aead *aead = cof_calloc(env, 1, sizeof *aead);
    int error;
    if (aead == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    aead->env = env;
    aead->arena = arena;
    aead->seal.schedule = cof_schedule_new(arena, 0);
    aead->open.schedule = cof_schedule_new(arena, 0);
    error = cof_gcm_context_new(&aead->seal.context);
    if (error == 0) {
        error = cof_gcm_context_new(&aead->open.context);
    }
    if (error != 0) {
        cof_aead_free(aead);
        return error;
    }
    *ret_aead = aead;
    return 0;
}

void cof_aead_free(struct cof_aead *aead)
{
    if (aead != NULL) {
        EVP_CIPHER_CTX_free(aead->seal.context);
        EVP_CIPHER_CTX_free(aead->open.context);
        cof_schedule_free(aead->arena, aead->seal.schedule);
        cof_schedule_free(aead->arena, aead->open.schedule);
        cof_free(aead->env, aead);
    }
}

static void put_be32(uint8_t out[4], uint32_t value)
{
    out[0] = (uint8_t)(value >> 24);
    out[1] = (uint8_t)(value >> 16);
    out[2] = (uint8_t)(value >> 8);
    out[3] = (uint8_t)value;
}

void cof_page_nonce(uint8_t nonce[COF_NONCE_BYTES], uint32_t kind, uint32_t slot)
{
    put_be32(nonce, kind);
    put_be32(nonce + 4, slot);
    memset(nonce + 8, 0, 4);
}

/* The expanded key for ipsec-mb; NULL when the message is EVP's. */
static const struct cof_schedule *find_schedule(struct cof_keyed_context *keyed,
                                                const struct cof_subkey *subkey,
                                                size_t length_bytes)
{
    if (length_bytes == 0) {
        return NULL;
    }
    if (subkey->schedule != NULL || keyed->schedule == NULL) {
        return subkey->schedule;
    }
    if (keyed->schedule_serial != subkey->serial) {
        cof_ipsec_mb_expand(subkey->secret, keyed->schedule);
        keyed->schedule_serial = subkey->serial;
    }
    return keyed->schedule;
}

static int load_key(struct cof_keyed_context *keyed, int sealing, const struct cof_subkey *subkey,
                    size_t length_bytes, const struct cof_schedule **ret_schedule)
{
    int error = 0;
    *ret_schedule = find_schedule(keyed, subkey, length_bytes);
    if (*ret_schedule == NULL && keyed->serial != subkey->serial) {
        keyed->serial = 0;
        error = cof_gcm_key(keyed->context, sealing, subkey->secret);
        if (error == 0) {
            keyed->serial = subkey->serial;
        }
    }
    return error;
}

int cof_page_seal(struct cof_aead *aead, const struct cof_subkey_seal *subkey, uint32_t kind,
                  uint32_t slot, const uint8_t aad[COF_AAD_BYTES], const uint8_t *in,
                  size_t length_bytes, uint8_t *out, uint8_t ret_tag[COF_TAG_BYTES])
{
    uint8_t nonce[COF_NONCE_BYTES];
    struct cof_gcm_message message = {nonce, aad, COF_AAD_BYTES, in, length_bytes, out};
    const struct cof_schedule *schedule = NULL;
    int error = cof_arena_usable(subkey->key.arena);
    if (error != 0) {
        return error;
    }
    cof_page_nonce(nonce, kind, slot);
    error = load_key(&aead->seal, 1, &subkey->key, length_bytes, &schedule);
    if (error == 0) {
        error = cof_gcm_seal(aead->seal.context, schedule, subkey->key.secret, &message, ret_tag);
    }
    if (error != 0) {
        aead->seal.serial = 0;
        cof_wipe(out, length_bytes);
    }
    return error;
}

int cof_page_open(struct cof_aead *aead, const struct cof_subkey_open *subkey, uint32_t kind,
                  uint32_t slot, const uint8_t aad[COF_AAD_BYTES], const uint8_t *in,
                  size_t length_bytes, const uint8_t tag[COF_TAG_BYTES], uint8_t *out)
{
    uint8_t nonce[COF_NONCE_BYTES];
    struct cof_gcm_message message = {nonce, aad, COF_AAD_BYTES, in, length_bytes, out};
    const struct cof_schedule *schedule = NULL;
    int error = cof_arena_usable(subkey->key.arena);
    if (error == 0) {
        cof_page_nonce(nonce, kind, slot);
        error = load_key(&aead->open, 0, &subkey->key, length_bytes, &schedule);
    }
    if (error == 0) {
        error = cof_gcm_open(aead->open.context, schedule, &message, tag);
    }
    if (error == COFFER_E_TAMPER && COF_BROKEN(SKIP_TAG)) {
        return 0;
    }
    if (error == COFFER_E_CRYPTO) {
        aead->open.serial = 0;
    }
    if (error != 0) {
        cof_wipe(out, length_bytes);
    }
    return error;
}
