/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto/internal.h - what the files of this room share: where the bytes of a slot are, the two
 * primitives, and the insides of the key objects. Included by this room and its tests only.
 *
 * Whoever calls cof_gcm_seal answers for the nonce: page.c makes it from a place, vk.c and ek.c
 * draw it. No other room can name one.
 */
#ifndef COF_CRYPTO_INTERNAL_H
#define COF_CRYPTO_INTERNAL_H

#include "crypto/keys.h"

#include <stdatomic.h>

#include <openssl/evp.h>

struct cof_secret {
    uint8_t bytes[COF_SECRET_BYTES];
};

struct cof_schedule {
    _Alignas(64) uint8_t bytes[COF_SCHEDULE_BYTES];
};

struct cof_vk {
    struct cof_env *env;
    struct cof_arena *arena;
    struct cof_secret *wrap;
    struct cof_secret *root;
    uint8_t commitment[COF_COMMITMENT_BYTES];
    _Atomic uint64_t uses; /* random nonces drawn for it */
};

/* The body of both kinds of data key; the two types differ only in what accepts them. */
struct cof_ek {
    struct cof_env *env;
    struct cof_arena *arena;
    struct cof_secret *secret;
};

struct cof_ek_seal {
    struct cof_ek key;
};

struct cof_ek_open {
    struct cof_ek key;
};

/* serial is unique in the process: a subkey that took a freed one's memory and slot can't be
 * mistaken for it by a context that was keyed with the other. */
struct cof_subkey {
    struct cof_env *env;
    struct cof_arena *arena;
    struct cof_secret *secret;
    struct cof_schedule *schedule; /* for ipsec-mb; NULL: not used, or no room */
    uint64_t serial;
};

struct cof_subkey_seal {
    struct cof_subkey key;
};

struct cof_subkey_open {
    struct cof_subkey key;
};

/* One direction of a struct cof_aead; serial 0: not keyed. The schedule is for subkeys without one
 * of their own; NULL: those are EVP's. */
struct cof_keyed_context {
    EVP_CIPHER_CTX *context;
    uint64_t serial;
    struct cof_schedule *schedule;
    uint64_t schedule_serial;
};

struct cof_aead {
    struct cof_env *env;
    struct cof_arena *arena;
    struct cof_keyed_context seal;
    struct cof_keyed_context open;
};

/* One message: in goes to out, which is equal to in or does not overlap it. */
struct cof_gcm_message {
    const uint8_t *nonce; /* COF_NONCE_BYTES */
    const uint8_t *aad;
    size_t aad_bytes;
    const uint8_t *in;
    size_t length_bytes; /* at most COF_GCM_MESSAGE_BYTES_MAX, as aad_bytes */
    uint8_t *out;
};

#define COF_GCM_MESSAGE_BYTES_MAX ((size_t)1 << 30)

/* A context for AES-256-GCM without a key; EVP_CIPHER_CTX_free cleanses what it held. */
COFFER_MUST_CHECK int cof_gcm_context_new(EVP_CIPHER_CTX **ret_context);
/* Load key's schedule into the context, for sealing (1) or opening (0). */
COFFER_MUST_CHECK int cof_gcm_key(EVP_CIPHER_CTX *context, int sealing,
                                  const struct cof_secret *key);
/* What each of the two back ends makes of a message: by EVP under the key that the context holds,
 * and by ipsec-mb under the expanded key, of a message that is not empty. No gate: cof_gcm_seal is.
 * Sealing gives 0 or CRYPTO; opening 0, TAMPER or CRYPTO. The caller wipes out unless it is 0. */
COFFER_MUST_CHECK int cof_evp_seal(EVP_CIPHER_CTX *context, const struct cof_gcm_message *message,
                                   uint8_t ret_tag[COF_TAG_BYTES]);
COFFER_MUST_CHECK int cof_evp_open(EVP_CIPHER_CTX *context, const struct cof_gcm_message *message,
                                   const uint8_t tag[COF_TAG_BYTES]);
COFFER_MUST_CHECK int cof_ipsec_mb_seal(const struct cof_schedule *schedule,
                                        const struct cof_gcm_message *message,
                                        uint8_t ret_tag[COF_TAG_BYTES]);
COFFER_MUST_CHECK int cof_ipsec_mb_open(const struct cof_schedule *schedule,
                                        const struct cof_gcm_message *message,
                                        const uint8_t tag[COF_TAG_BYTES]);

/* Which of its two codes ipsec-mb runs here; expanded keys differ between them. */
enum cof_ipsec_mb {
    COF_IPSEC_MB_NONE = 0, /* not built in, another release, or not this processor */
    COF_IPSEC_MB_AVX2,
    COF_IPSEC_MB_VAES /* 512 bits wide */
};

/* Once a process; to be called before the other three. 0 or NO_MEMORY. */
COFFER_MUST_CHECK int cof_ipsec_mb_find(struct cof_env *env, enum cof_ipsec_mb *ret_found);
void cof_ipsec_mb_expand(const struct cof_secret *key, struct cof_schedule *schedule);

/* The gate: every seal of any kind passes here. By ipsec-mb when there is a schedule, else by the
 * key that the context holds; either is key's, which is named again for the recorder of seals. */
COFFER_MUST_CHECK int cof_gcm_seal(EVP_CIPHER_CTX *context, const struct cof_schedule *schedule,
                                   const struct cof_secret *key,
                                   const struct cof_gcm_message *message,
                                   uint8_t ret_tag[COF_TAG_BYTES]);
/* 0, TAMPER or CRYPTO. The caller wipes out unless it is 0. */
COFFER_MUST_CHECK int cof_gcm_open(EVP_CIPHER_CTX *context, const struct cof_schedule *schedule,
                                   const struct cof_gcm_message *message,
                                   const uint8_t tag[COF_TAG_BYTES]);

/* GMAC of both, one behind the other, under the key that the context holds for sealing: for the
 * inside of this room, no seal of anything. */
COFFER_MUST_CHECK int cof_gcm_mac(EVP_CIPHER_CTX *context, const uint8_t nonce[COF_NONCE_BYTES],
                                  const uint8_t *first, size_t first_bytes, const uint8_t *second,
                                  size_t second_bytes, uint8_t ret_mac[COF_TAG_BYTES]);
/* GCM's hash key: the block of zeros, encrypted. */
COFFER_MUST_CHECK int cof_gcm_hash_key(const struct cof_secret *key, uint8_t ret_block[16]);

/* kind(32, big-endian) | slot(32, big-endian) | 0. */
void cof_page_nonce(uint8_t nonce[COF_NONCE_BYTES], uint32_t kind, uint32_t slot);

/* The same with a context of their own, for wraps and records; out is wiped on failure. */
COFFER_MUST_CHECK int cof_gcm_seal_once(const struct cof_secret *key,
                                        const struct cof_gcm_message *message,
                                        uint8_t ret_tag[COF_TAG_BYTES]);
COFFER_MUST_CHECK int cof_gcm_open_once(const struct cof_secret *key,
                                        const struct cof_gcm_message *message,
                                        const uint8_t tag[COF_TAG_BYTES]);

/* HMAC-SHA-256 of a and then b under a key of at most 64 bytes; nothing is written on failure. */
COFFER_MUST_CHECK int cof_kdf_hmac(const uint8_t *key, size_t key_bytes, const void *a,
                                   size_t a_bytes, const void *b, size_t b_bytes,
                                   uint8_t ret_mac[32]);
/* HKDF-Expand, L = 32: HMAC(prk, label | info | 0x01). info_bytes <= COF_SUBKEY_INFO_BYTES. */
COFFER_MUST_CHECK int cof_kdf_expand(const struct cof_secret *prk, const char *label,
                                     const uint8_t *info, size_t info_bytes,
                                     uint8_t ret_bytes[COF_SECRET_BYTES]);
/* The same into a new slot of the arena. */
COFFER_MUST_CHECK int cof_kdf_derive(struct cof_arena *arena, const struct cof_secret *prk,
                                     const char *label, const uint8_t *info, size_t info_bytes,
                                     struct cof_secret **ret_secret);

/* SHA-256, fetched once in a process; NULL when OpenSSL can't. */
const EVP_MD *cof_digest_sha256(void);

#endif
