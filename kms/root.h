/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/root.h - the store's header and the root key that it holds sealed.
 *
 * The root key is 32 random bytes, drawn once. It is sealed under the root secret: Argon2id of a
 * passphrase, or the 32 bytes of a key file, of a PKCS#11 token or of a TPM. All other keys of the
 * store derive from it.
 */
#ifndef COF_KMS_ROOT_H
#define COF_KMS_ROOT_H

#include "env.h"
#include "name.h"
#include "sealed.h"

#include <coffer/keystore.h>
#include <stdbool.h>

#define COF_KMS_SALT_BYTES 32u
#define COF_KMS_SCHEMA_VERSION 3u

/* Bounds of Argon2id, checked before a header from disk may spend them. */
#define COF_KMS_ARGON2_KIB_MIN 8u
#define COF_KMS_ARGON2_KIB_MAX (4u << 20)
#define COF_KMS_ARGON2_PASSES_MAX 1024u
#define COF_KMS_ARGON2_LANES_MAX 16u

struct cof_kms_header {
    uint8_t uuid[16];
    struct cof_kms_owner owner;
    uint64_t created_ns;
    uint32_t schema_version;
    enum coffer_root_kind root_kind;
    uint32_t argon2_memory_kib, argon2_passes, argon2_lanes; /* 0 but for a passphrase */
    uint8_t salt[COF_KMS_SALT_BYTES];
    uint8_t sealed_root[COF_KMS_SEALED_BYTES];
};

/* A passphrase, or the 32 bytes of the others; they lie in secret memory. */
struct cof_kms_root_secret {
    enum coffer_root_kind kind;
    uint8_t *bytes;
    size_t length_bytes;
};

/* Ask the callback, file, token or TPM that opts names. */
COFFER_MUST_CHECK int cof_kms_root_secret_get(const struct coffer_keystore_opts *opts, int creating,
                                              struct cof_kms_root_secret *ret_secret,
                                              struct coffer_fault *fault);
/* root_token.c: by which of the four ways opts name the secret; and the two that are neither a
 * passphrase nor a key file, into secret->bytes. */
enum coffer_root_kind cof_kms_root_kind(const struct coffer_keystore_opts *opts);
COFFER_MUST_CHECK int cof_kms_root_token_get(const struct coffer_keystore_opts *opts, int creating,
                                             struct cof_kms_root_secret *secret,
                                             struct coffer_fault *fault);
void cof_kms_root_secret_free(struct cof_kms_root_secret *secret);

/* Seal root_key (secret memory) into header, whose identity and cost are filled in, under a salt
 * drawn anew. scratch is 96 bytes of secret memory. */
COFFER_MUST_CHECK int cof_kms_root_seal(struct cof_kms_env *env, struct cof_kms_header *header,
                                        const struct cof_kms_root_secret *secret, uint8_t *scratch,
                                        const uint8_t *root_key, struct coffer_fault *fault);

/* What a header says of a secret by which it is to be sealed: kind, and the cost of Argon2id (0 is
 * the default). INVALID when that is out of bounds. */
COFFER_MUST_CHECK int cof_kms_root_kind_set(struct cof_kms_header *header,
                                            enum coffer_root_kind kind, uint32_t memory_kib,
                                            uint32_t passes, uint32_t lanes,
                                            struct coffer_fault *fault);

/* PASSPHRASE when secret is wrong or of the other kind. */
COFFER_MUST_CHECK int cof_kms_root_open(const struct cof_kms_header *header,
                                        const struct cof_kms_root_secret *secret, uint8_t *scratch,
                                        uint8_t *root_key, struct coffer_fault *fault);

#endif
