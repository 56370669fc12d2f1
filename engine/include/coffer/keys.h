/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/keys.h - the key provider: what the engine asks of a key service.
 *
 * A master key never leaves the key service. The engine asks it to make a volume key under a
 * master key (without seeing it), to decrypt that volume key when the volume is opened, and to
 * re-encrypt it when a volume is copied under another key. The encryption context is bound as
 * associated data; it is a set of string pairs, matched exactly, whose order does not matter.
 *
 * Two may stand behind one volume. Who makes it (`caller` in the options of what makes or changes
 * one) shows by its own rights that it may use the key, and grants it to the engine. The engine
 * (`provider`) needs no right but that grant from then on, and what becomes of the caller's is
 * nothing to it. Without a caller, one provider does both.
 *
 * Calls are synchronous and may be slow; the engine makes them at volume create, open, copy and
 * re-key, and for the lease of an open volume's key (coffer/coffer.h), and holds no lock of its own
 * meanwhile. A read or a write waits for one only where nobody else renews the lease. A provider
 * has to bound how long a call takes: closing a volume waits for the one that asks for it.
 * Errors are those of class KEY in coffer/error.h; any other is passed on as it is.
 */
#ifndef COFFER_KEYS_H
#define COFFER_KEYS_H

#include <coffer/error.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define COFFER_KEY_BYTES 32
#define COFFER_KEY_BLOB_BYTES_MAX 6144
#define COFFER_KEY_ARN_BYTES_MAX 256   /* with its terminating NUL */
#define COFFER_PRINCIPAL_BYTES_MAX 257 /* the same */

struct coffer_context_pair {
    const char *key;
    const char *value;
};

struct coffer_context {
    const struct coffer_context_pair *pairs;
    unsigned pair_count;
};

enum coffer_key_state {
    COFFER_KEY_ENABLED = 0,
    COFFER_KEY_IS_DISABLED,
    COFFER_KEY_PENDING_DELETION,
    COFFER_KEY_PENDING_IMPORT,
    COFFER_KEY_UNAVAILABLE,
    COFFER_KEY_CREATING,
    COFFER_KEY_UPDATING,
    COFFER_KEY_PENDING_REPLICA_DELETION
};

struct coffer_key_info {
    char arn[COFFER_KEY_ARN_BYTES_MAX]; /* the key's ARN, whatever form was asked for */
    enum coffer_key_state state;
    int managed; /* 1: a managed default key, which can't be shared */
};

struct coffer_key_blob {
    uint8_t bytes[COFFER_KEY_BLOB_BYTES_MAX];
    size_t length_bytes;
};

struct coffer_key_provider_ops {
    size_t size; /* sizeof (struct coffer_key_provider_ops) */

    /* Resolve key (id, ARN, alias/NAME, alias ARN; NULL: the account's managed default key, which
     * is made on first use) and fill ret_info. Allowed on a disabled key. */
    int (*describe)(void *ctx, const char *key, struct coffer_key_info *ret_info);

    /* Draw COFFER_KEY_BYTES random bytes and return them wrapped only. */
    int (*generate_data_key_without_plaintext)(void *ctx, const char *key_arn,
                                               const struct coffer_context *context,
                                               struct coffer_key_blob *ret_blob);

    /* Unwrap blob into key_bytes, which the engine has placed in locked memory. */
    int (*decrypt)(void *ctx, const char *key_arn, const struct coffer_key_blob *blob,
                   const struct coffer_context *context, uint8_t key_bytes[COFFER_KEY_BYTES]);

    /* Wrap the same bytes under another key and context, inside the key service. */
    int (*re_encrypt)(void *ctx, const struct coffer_key_blob *blob,
                      const struct coffer_context *source_context, const char *destination_key_arn,
                      const struct coffer_context *destination_context,
                      struct coffer_key_blob *ret_blob);

    /* Let grantee use the key for the named operations ("Decrypt", "ReEncryptFrom", ...) where the
     * encryption context has the given pairs, and others beside them; ret_grant_id has room for 65
     * bytes. Asked for again under the same name (which may be NULL) it is the same grant.
     * retire_grant undoes it. Both may be NULL, or return UNSUPPORTED, in a service without
     * grants. */
    int (*create_grant)(void *ctx, const char *key_arn, const char *grantee, const char *name,
                        const char *const *operations, unsigned operation_count,
                        const struct coffer_context *context, char ret_grant_id[65]);
    int (*retire_grant)(void *ctx, const char *key_arn, const char *grant_id);

    /* Whom a grant has to name so that this provider may use the key: an ARN. NULL, or UNSUPPORTED:
     * arn:...:iam::ACCOUNT:role/coffer-engine, of the key's account. */
    int (*principal)(void *ctx, char ret_arn[COFFER_PRINCIPAL_BYTES_MAX]);
};

struct coffer_key_provider {
    const struct coffer_key_provider_ops *ops;
    void *ctx;
};

#ifdef __cplusplus
}
#endif
#endif
