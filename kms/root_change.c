/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/root_change.c - another secret for the root key, or another cost.
 *
 * The root key stays, and with it every row's MAC, all sealed material and whoever has the store
 * open; only its seal is made anew, by one row in one transaction. Argon2id is spent before the
 * store's lock is taken. What the log still has of the old seal is cleared, so that the old secret
 * opens nothing in this file from then on.
 */
#include "kms.h"

#include <stdio.h>

static int check(const struct coffer_keystore *store, const struct coffer_keystore_root_opts *opts,
                 struct coffer_fault *fault)
{
    if (store == NULL || opts == NULL || opts->size != sizeof(*opts) ||
        (opts->passphrase == NULL) == (opts->root_key_file == NULL)) {
        return cof_kms_fault(fault, COFFER_E_INVALID,
                             "give either a new passphrase or a new root key file");
    }
    if (store->secrets->canary != COF_KMS_CANARY) {
        return cof_kms_fault(fault, COFFER_E_FORKED, NULL);
    }
    if (store->read_only) {
        return cof_kms_fault(fault, COFFER_E_READ_ONLY,
                             "the key store was opened for reading only");
    }
    return 0;
}

/* Seal the root key into header by the secret that source names. */
static int seal(struct coffer_keystore *store, const struct coffer_keystore_opts *source,
                struct cof_kms_header *header, struct coffer_fault *fault)
{
    struct cof_kms_root_secret secret = {COFFER_ROOT_PASSPHRASE, NULL, 0};
    uint8_t *scratch = NULL;
    int error = cof_kms_root_secret_get(source, 1, &secret, fault);

    if (error == 0 && coffer_keystore_secret_new(3 * COF_KMS_KEY_BYTES, &scratch) != 0) {
        error = cof_kms_fault(fault, COFFER_E_LOCKED_MEMORY, NULL);
    }
    if (error == 0) {
        error = cof_kms_root_seal(&store->env, header, &secret, scratch, store->secrets->root_key,
                                  fault);
    }
    coffer_keystore_secret_free(scratch);
    cof_kms_root_secret_free(&secret);
    return error;
}

static int put(struct coffer_keystore *store, const struct cof_kms_header *header,
               struct coffer_fault *fault)
{
    struct cof_kms_call call;
    int error = cof_kms_call_begin(&call, store, "ChangeRootSecret", COF_KMS_ALONE, fault);

    if (error != 0) {
        return error;
    }
    (void)snprintf(call.detail, sizeof(call.detail),
                   "{\"rootKind\":\"%s\",\"argon2MemoryKib\":%u,\"argon2Passes\":%u,"
                   "\"argon2Lanes\":%u}",
                   coffer_keystore_root_kind_name(header->root_kind),
                   header->argon2_memory_kib, header->argon2_passes, header->argon2_lanes);
    error = cof_kms_call_settle(&call, cof_kms_db_header_set(store->db, header, call.fault));
    if (error == 0) {
        store->header = *header;
        cof_kms_db_checkpoint(store->db);
    }
    cof_kms_call_leave(&call);
    return error;
}

int coffer_keystore_root_change(struct coffer_keystore *store,
                                const struct coffer_keystore_root_opts *opts,
                                struct coffer_fault *fault)
{
    struct coffer_keystore_opts source = {.size = sizeof(source)};
    struct cof_kms_header header;
    int error = check(store, opts, fault);

    if (error != 0) {
        return error;
    }
    source.passphrase = opts->passphrase;
    source.passphrase_ctx = opts->passphrase_ctx;
    source.root_key_file = opts->root_key_file;
    (void)pthread_mutex_lock(&store->lock);
    header = store->header;
    (void)pthread_mutex_unlock(&store->lock);
    error = cof_kms_root_kind_set(&header, cof_kms_root_kind(&source), opts->argon2_memory_kib,
                                  opts->argon2_passes, opts->argon2_lanes, fault);
    if (error == 0) {
        error = seal(store, &source, &header, fault);
    }
    return error == 0 ? put(store, &header, fault) : error;
}
