/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto/keys.h - the key hierarchy: volume key, data keys, subkeys, and what each may seal.
 *
 *   volume key VK --HKDF-Expand--> wrap key, root key, commitment
 *   VK.wrap  --AES-256-GCM, random 96-bit nonce--> wrapped data key (EK)
 *   VK.root  --AES-256-GCM, random 96-bit nonce--> sealed record
 *   EK --HKDF-Expand(info)--> subkey --AES-256-GCM, nonce = kind | slot | 0--> page
 *
 * A data key that was drawn here can seal; one that was unwrapped can only open: there is no
 * function that makes a sealing subkey of a struct cof_ek_open. Key bytes have no way out.
 * Nonces are made inside. Every seal asks cof_arena_usable first.
 *
 * HKDF-Expand is RFC 5869 with SHA-256 and L = 32: HMAC(PRK, info | 0x01). Labels (no NUL):
 *   VK: "coffer/vk/wrap/1", "coffer/vk/root/1", "coffer/vk/commit/1"
 *   EK: "coffer/ek/commit/1" and, for subkeys, "coffer/x1" | the caller's info bytes
 */
#ifndef COF_CRYPTO_KEYS_H
#define COF_CRYPTO_KEYS_H

#include "crypto/secret.h"

#include <coffer/coffer.h>

#define COF_NONCE_BYTES 12u
#define COF_TAG_BYTES 16u
#define COF_COMMITMENT_BYTES 32u
#define COF_WRAPPED_EK_BYTES (COF_SECRET_BYTES + COF_TAG_BYTES)
#define COF_AAD_BYTES 32u         /* of a page */
#define COF_SUBKEY_INFO_BYTES 40u /* lineage uuid, extent number, extent uuid */

struct cof_vk;          /* volume key: derived wrap and root keys, and the commitment     */
struct cof_ek_seal;     /* data key drawn by this process                                 */
struct cof_ek_open;     /* data key unwrapped from a key table                            */
struct cof_subkey_seal; /* of one extent: seals and opens                                 */
struct cof_subkey_open; /* of one extent: opens                                           */
struct cof_aead;        /* an AES-256-GCM context that is re-keyed; one thread at a time  */

/* ---- volume key ---- */

/* fill writes the 32 bytes of the volume key; they are derived from and wiped before return. */
COFFER_MUST_CHECK int cof_vk_new(struct cof_env *env, struct cof_arena *arena,
                                 int (*fill)(void *ctx, uint8_t bytes[COF_SECRET_BYTES]), void *ctx,
                                 struct cof_vk **ret_vk);
void cof_vk_free(struct cof_vk *vk);
/* Wraps and records sealed with it since it was made: for the caller's count of uses. */
uint64_t cof_vk_uses(const struct cof_vk *vk);
void cof_vk_commitment(const struct cof_vk *vk, uint8_t ret_commitment[COF_COMMITMENT_BYTES]);
/* 0 or COMMIT; constant time. */
COFFER_MUST_CHECK int cof_vk_check(const struct cof_vk *vk,
                                   const uint8_t commitment[COF_COMMITMENT_BYTES]);

/* Seal length bytes of a record in place of out (may equal in) under the root key. */
COFFER_MUST_CHECK int cof_vk_seal_record(struct cof_vk *vk, const uint8_t *aad, size_t aad_bytes,
                                         const uint8_t *in, size_t length_bytes, uint8_t *out,
                                         uint8_t ret_nonce[COF_NONCE_BYTES],
                                         uint8_t ret_tag[COF_TAG_BYTES]);
/* 0, or TAMPER with out zeroed. */
COFFER_MUST_CHECK int cof_vk_open_record(struct cof_vk *vk, const uint8_t *aad, size_t aad_bytes,
                                         const uint8_t nonce[COF_NONCE_BYTES],
                                         const uint8_t tag[COF_TAG_BYTES], const uint8_t *in,
                                         size_t length_bytes, uint8_t *out);

/* ---- data keys ---- */

COFFER_MUST_CHECK int cof_ek_draw(struct cof_env *env, struct cof_arena *arena,
                                  struct cof_ek_seal **ret_ek);
void cof_ek_seal_free(struct cof_ek_seal *ek);
void cof_ek_open_free(struct cof_ek_open *ek);

/* Wrap under the volume key; aad holds everything of the table's entry but the wrap itself. The
 * second form wraps again a key that was unwrapped (its range ended, say). */
COFFER_MUST_CHECK int cof_ek_wrap(struct cof_vk *vk, const struct cof_ek_seal *ek,
                                  const uint8_t *aad, size_t aad_bytes,
                                  uint8_t ret_nonce[COF_NONCE_BYTES],
                                  uint8_t ret_wrapped[COF_WRAPPED_EK_BYTES],
                                  uint8_t ret_commitment[COF_COMMITMENT_BYTES]);
COFFER_MUST_CHECK int cof_ek_rewrap(struct cof_vk *vk, const struct cof_ek_open *ek,
                                    const uint8_t *aad, size_t aad_bytes,
                                    uint8_t ret_nonce[COF_NONCE_BYTES],
                                    uint8_t ret_wrapped[COF_WRAPPED_EK_BYTES],
                                    uint8_t ret_commitment[COF_COMMITMENT_BYTES]);
/* 0; TAMPER when the wrap does not open; COMMIT when the commitment differs (constant time). */
COFFER_MUST_CHECK int cof_ek_unwrap(struct cof_env *env, struct cof_arena *arena, struct cof_vk *vk,
                                    const uint8_t *aad, size_t aad_bytes,
                                    const uint8_t nonce[COF_NONCE_BYTES],
                                    const uint8_t wrapped[COF_WRAPPED_EK_BYTES],
                                    const uint8_t commitment[COF_COMMITMENT_BYTES],
                                    struct cof_ek_open **ret_ek);

/* ---- subkeys ---- */

COFFER_MUST_CHECK int cof_subkey_seal_new(const struct cof_ek_seal *ek,
                                          const uint8_t info[COF_SUBKEY_INFO_BYTES],
                                          struct cof_subkey_seal **ret_subkey);
void cof_subkey_seal_free(struct cof_subkey_seal *subkey);
/* An opening subkey; exactly one of seal and open is not NULL. */
COFFER_MUST_CHECK int cof_subkey_open_new(const struct cof_ek_seal *seal,
                                          const struct cof_ek_open *open,
                                          const uint8_t info[COF_SUBKEY_INFO_BYTES],
                                          struct cof_subkey_open **ret_subkey);
void cof_subkey_open_free(struct cof_subkey_open *subkey);

/* ---- pages ---- */

/* Settle which back end the pages of an arena go by, before it is shared: `wanted`, or EVP where
 * that is not to be had. It gets schedules_bytes more of locked memory if that is ipsec-mb. CRYPTO:
 * not even EVP knows the answers; NO_MEMORY. */
COFFER_MUST_CHECK int cof_cipher_choose(struct cof_env *env, struct cof_arena *arena,
                                        enum coffer_cipher_backend wanted, size_t schedules_bytes,
                                        enum coffer_cipher_backend *ret_chosen);

/* May take room for two expanded keys from the arena, which must outlive it. */
COFFER_MUST_CHECK int cof_aead_new(struct cof_env *env, struct cof_arena *arena,
                                   struct cof_aead **ret_aead);
void cof_aead_free(struct cof_aead *aead);

/* Seal length bytes from in to out (which may not overlap unless equal) under nonce
 * kind(32, big-endian) | slot(32, big-endian) | 0. The caller guarantees that (kind, slot) is used
 * once under this subkey. FORKED in a child. */
COFFER_MUST_CHECK int cof_page_seal(struct cof_aead *aead, const struct cof_subkey_seal *subkey,
                                    uint32_t kind, uint32_t slot, const uint8_t aad[COF_AAD_BYTES],
                                    const uint8_t *in, size_t length_bytes, uint8_t *out,
                                    uint8_t ret_tag[COF_TAG_BYTES]);
/* 0, or TAMPER with out zeroed: nothing unauthenticated reaches the caller. in may equal out. */
COFFER_MUST_CHECK int cof_page_open(struct cof_aead *aead, const struct cof_subkey_open *subkey,
                                    uint32_t kind, uint32_t slot, const uint8_t aad[COF_AAD_BYTES],
                                    const uint8_t *in, size_t length_bytes,
                                    const uint8_t tag[COF_TAG_BYTES], uint8_t *out);

/* What a page was sealed with: the second half of its additional data, from its tag (binding.c).
 * For pages of length_bytes, a multiple of 16, of one extent. */
struct cof_binding;
COFFER_MUST_CHECK int cof_binding_new(const struct cof_subkey_open *subkey, size_t length_bytes,
                                      struct cof_binding **ret_binding);
void cof_binding_free(struct cof_binding *binding);
/* Fills in the second half of aad, whose first is given: the only one with which the page may open.
 * Whether it does, cof_page_open tells. */
COFFER_MUST_CHECK int cof_binding_find(struct cof_binding *binding, uint32_t kind, uint32_t slot,
                                       uint8_t aad[COF_AAD_BYTES], const uint8_t *page,
                                       const uint8_t tag[COF_TAG_BYTES]);

/* ---- digests ---- */

COFFER_MUST_CHECK int cof_sha256(const void *bytes, size_t length_bytes, uint8_t ret_digest[32]);

/* Incremental, for the anchor's digest over all root records and the key tables. */
struct cof_sha256_stream;
COFFER_MUST_CHECK int cof_sha256_begin(struct cof_env *env, struct cof_sha256_stream **ret_stream);
COFFER_MUST_CHECK int cof_sha256_add(struct cof_sha256_stream *stream, const void *bytes,
                                     size_t length_bytes);
/* Frees the stream whatever it returns. */
COFFER_MUST_CHECK int cof_sha256_end(struct cof_sha256_stream *stream, uint8_t ret_digest[32]);

void cof_wipe(void *memory, size_t bytes);
/* 1 when equal; constant time. */
int cof_equal(const void *a, const void *b, size_t bytes);

#endif
