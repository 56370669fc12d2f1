/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/root_token.c - root secrets that a PKCS#11 token or a TPM gives: 32 bytes, like a key file's.
 *
 *   pkcs11:...;object=LABEL?...   HMAC-SHA256 by the token's key LABEL of "coffer/kms/root-token/1"
 *   tpm2:FILE?...                 what the TPM unseals from FILE
 *
 * For a new store, a key or a file that isn't there is made. Invariant: the secret is in secret
 * memory, and nothing in the token, the file or the store gives it without the token or TPM.
 */
#include "root.h"

#include "token/pkcs11.h"
#include "token/tpm.h"

#include <string.h>

#define MAC_LABEL "coffer/kms/root-token/1"

enum coffer_root_kind cof_kms_root_kind(const struct coffer_keystore_opts *opts)
{
    if (opts->root_key_file == NULL) {
        return COFFER_ROOT_PASSPHRASE;
    }
    if (cof_token_is_uri(opts->root_key_file)) {
        return COFFER_ROOT_TOKEN;
    }
    return cof_tpm_is_uri(opts->root_key_file) ? COFFER_ROOT_TPM : COFFER_ROOT_KEY_FILE;
}

static int use_token(struct cof_token *token, int creating, uint8_t *ret_key,
                     struct coffer_fault *fault)
{
    const char *label = cof_token_object(token);
    struct cof_kms_bytes data = {(const uint8_t *)MAC_LABEL, sizeof(MAC_LABEL) - 1};
    unsigned long handle = 0;
    int error;

    if (label[0] == '\0') {
        return cof_kms_fault(fault, COFFER_E_INVALID,
                             "the token's URI names no object=LABEL, the key of the key store");
    }
    error = cof_token_find(token, label, &handle, fault);
    if (error == COFFER_E_NOT_FOUND && creating) {
        error = cof_token_make(token, label, fault);
        if (error == 0) {
            error = cof_token_find(token, label, &handle, fault);
        }
    }
    return error == 0 ? cof_token_mac(token, handle, data, ret_key, fault) : error;
}

static int get_from_token(struct cof_kms_env *env, const char *uri, int creating, uint8_t *ret_key,
                          struct coffer_fault *fault)
{
    struct cof_token *token = NULL;
    int error = cof_token_open(env, uri, NULL, &token, fault);

    if (error == 0) {
        error = use_token(token, creating, ret_key, fault);
    }
    cof_token_close(token);
    return error;
}

static int get_from_tpm(struct cof_kms_env *env, const char *uri, int creating, uint8_t *ret_key,
                        struct coffer_fault *fault)
{
    int error = cof_tpm_open(uri, ret_key, fault);

    if (error != COFFER_E_NOT_FOUND || !creating) {
        return error;
    }
    error = cof_kms_random(env, ret_key, COF_KMS_KEY_BYTES);
    return error == 0 ? cof_tpm_make(uri, ret_key, fault) : cof_kms_fault(fault, error, NULL);
}

int cof_kms_root_token_get(const struct coffer_keystore_opts *opts, int creating,
                           struct cof_kms_root_secret *secret, struct coffer_fault *fault)
{
    struct cof_kms_env env;

    cof_kms_env_init(&env, opts->env);
    secret->length_bytes = COF_KMS_KEY_BYTES;
    return secret->kind == COFFER_ROOT_TOKEN
               ? get_from_token(&env, opts->root_key_file, creating, secret->bytes, fault)
               : get_from_tpm(&env, opts->root_key_file, creating, secret->bytes, fault);
}
