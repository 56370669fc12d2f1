/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/keystore.c - opening and closing a key store.
 *
 * Order of an open: check the options, get the root secret, make the file when there is none, open
 * it, unseal the root key, derive the others, check the header, compare account and region. A step
 * that fails undoes the ones before. Any thread; a store is not shared before open returns.
 */
#include "kms.h"

#include "ledger.h"
#include "pack.h"
#include "secret.h"
#include "token_key.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define BUSY_MS_DEFAULT 5000u
#define PATH_BYTES_MAX 1000u
#define BUSY_MS_MAX 3600000u

/* ---- options ----------------------------------------------------------------------------- */

static int check_names(const struct coffer_keystore_opts *opts, struct coffer_fault *fault)
{
    if (opts->account != NULL && !cof_kms_account_ok(opts->account)) {
        return cof_kms_fault(fault, COFFER_E_INVALID,
                             "account '%.40s' is not valid: give 12 digits", opts->account);
    }
    if (opts->region != NULL && !cof_kms_region_ok(opts->region)) {
        return cof_kms_fault(fault, COFFER_E_INVALID,
                             "region '%.40s' is not valid: give 1 to 32 of a-z, 0-9 and -",
                             opts->region);
    }
    return 0;
}

int cof_kms_opts_check(const struct coffer_keystore_opts *opts, struct coffer_fault *fault)
{
    unsigned both = COFFER_KEYSTORE_CREATE | COFFER_KEYSTORE_READ_ONLY;

    if (opts->size != sizeof(*opts) || opts->path == NULL || opts->path[0] == '\0' ||
        (opts->flags & ~both) != 0 || opts->busy_timeout_ms > BUSY_MS_MAX) {
        return cof_kms_fault(fault, COFFER_E_INVALID, "the options of the key store are not valid");
    }
    if (strlen(opts->path) > PATH_BYTES_MAX ||
        (opts->ledger_path != NULL && strlen(opts->ledger_path) > PATH_BYTES_MAX)) {
        return cof_kms_fault(fault, COFFER_E_INVALID,
                             "the path of the key store is too long: at most %u bytes",
                             PATH_BYTES_MAX);
    }
    if ((opts->flags & both) == both) {
        return cof_kms_fault(fault, COFFER_E_INVALID,
                             "a key store can't be made and opened for reading only");
    }
    if ((opts->passphrase == NULL) == (opts->root_key_file == NULL)) {
        return cof_kms_fault(fault, COFFER_E_INVALID,
                             "give either a passphrase or a root key file for the key store");
    }
    return check_names(opts, fault);
}

static int fill_header(struct coffer_keystore *ks, const struct coffer_keystore_opts *opts,
                       struct cof_kms_header *header, struct coffer_fault *fault)
{
    memset(header, 0, sizeof(*header));
    if (cof_kms_random(&ks->env, header->uuid, sizeof(header->uuid)) != 0) {
        return cof_kms_fault(fault, COFFER_E_CRYPTO, NULL);
    }
    (void)snprintf(header->owner.account, sizeof(header->owner.account), "%s",
                   opts->account != NULL ? opts->account : COFFER_ACCOUNT_DEFAULT);
    (void)snprintf(header->owner.region, sizeof(header->owner.region), "%s",
                   opts->region != NULL ? opts->region : COFFER_REGION_DEFAULT);
    header->created_ns = cof_kms_wall_ns(&ks->env);
    header->schema_version = COF_KMS_SCHEMA_VERSION;
    return cof_kms_root_kind_set(header, cof_kms_root_kind(opts), opts->argon2_memory_kib,
                                 opts->argon2_passes, opts->argon2_lanes, fault);
}

/* ---- keys -------------------------------------------------------------------------------- */

/* Row and audit keys from the root key. */
static int derive_keys(struct coffer_keystore *ks, struct coffer_fault *fault)
{
    struct cof_kms_secrets *secrets = ks->secrets;
    struct cof_kms_bytes salt = {ks->header.uuid, sizeof(ks->header.uuid)};
    struct cof_kms_bytes none = {NULL, 0};
    int error = cof_kms_derive(secrets->root_key, salt, "coffer/kms/rows/1", none,
                               secrets->mac_key, sizeof(secrets->mac_key));

    if (error == 0) {
        error = cof_kms_derive(secrets->root_key, salt, "coffer/kms/audit/1", none,
                               secrets->audit_key, sizeof(secrets->audit_key));
    }
    if (error == 0) {
        error = cof_kms_derive(secrets->root_key, salt, "coffer/kms/ledger/1", none,
                               secrets->ledger_key, sizeof(secrets->ledger_key));
    }
    return error == 0 ? 0 : cof_kms_fault(fault, error, NULL);
}

static int make_file(struct coffer_keystore *ks, const struct coffer_keystore_opts *opts,
                     const struct cof_kms_root_secret *secret, struct coffer_fault *fault)
{
    int error = fill_header(ks, opts, &ks->header, fault);

    if (error == 0) {
        error = cof_kms_random(&ks->env, ks->secrets->root_key, COF_KMS_KEY_BYTES) != 0
                    ? cof_kms_fault(fault, COFFER_E_CRYPTO, "no random numbers for the root key")
                    : cof_kms_root_seal(&ks->env, &ks->header, secret, ks->secrets->subkey,
                                        ks->secrets->root_key, fault);
    }
    if (error == 0) {
        error = derive_keys(ks, fault);
    }
    if (error == 0) {
        error = cof_kms_db_create(&ks->env, opts->path, &ks->header, ks->secrets->mac_key, fault);
    }
    if (error == 0) {
        ks->created_now = true;
    }
    /* Another process made it meanwhile: open that one. */
    return error == COFFER_E_EXISTS ? 0 : error;
}

static int compare_owner(const struct coffer_keystore *ks, const struct coffer_keystore_opts *opts,
                         struct coffer_fault *fault)
{
    const struct cof_kms_owner *owner = &ks->header.owner;

    if (opts->account != NULL && strcmp(opts->account, owner->account) != 0) {
        return cof_kms_fault(fault, COFFER_E_INVALID,
                             "the key store belongs to account %s, not %s: give that, or another "
                             "file", owner->account, opts->account);
    }
    if (opts->region != NULL && strcmp(opts->region, owner->region) != 0) {
        return cof_kms_fault(fault, COFFER_E_INVALID,
                             "the key store belongs to region %s, not %s: give that, or another "
                             "file", owner->region, opts->region);
    }
    return 0;
}

/* The ledger that opts names, or the one beside the store; what it says is done. */
static int open_ledger(struct coffer_keystore *ks, const struct coffer_keystore_opts *opts,
                       struct coffer_fault *fault)
{
    char beside[PATH_BYTES_MAX + sizeof(".ledger")];
    const char *path = opts->ledger_path;
    int error;

    ks->keeps_heads = path != NULL;
    if (path == NULL) {
        (void)snprintf(beside, sizeof(beside), "%s.ledger", opts->path);
        path = beside;
    }
    error = cof_kms_ledger_open(&ks->env, path, ks->header.uuid, ks->secrets->ledger_key,
                                ks->read_only, &ks->ledger, fault);
    return error == 0 ? cof_kms_ledger_apply(ks, fault) : error;
}

/* Of a store whose secret was changed, copies may lie around that another opens: say which. */
static void tell_which_secret(struct cof_kms_db *db, struct coffer_fault *fault)
{
    uint64_t changes = 0, last_ns = 0;
    size_t length = fault != NULL ? strlen(fault->detail) : 0;
    char when[32];
    struct tm parts;
    time_t seconds;

    if (fault == NULL || cof_kms_db_root_changes(db, &changes, &last_ns, NULL) != 0 ||
        changes == 0) {
        return;
    }
    seconds = (time_t)(last_ns / 1000000000u);
    if (gmtime_r(&seconds, &parts) != NULL &&
        strftime(when, sizeof(when), "%Y-%m-%d %H:%M UTC", &parts) > 0) {
        (void)snprintf(fault->detail + length, sizeof(fault->detail) - length,
                       ": give the secret that was set on %s", when);
    }
}

static int open_file(struct coffer_keystore *ks, const struct coffer_keystore_opts *opts,
                     const struct cof_kms_root_secret *secret, struct coffer_fault *fault)
{
    int error = cof_kms_db_header(ks->db, &ks->header, fault);

    if (error == 0) {
        error = cof_kms_root_open(&ks->header, secret, ks->secrets->subkey, ks->secrets->root_key,
                                  fault);
        if (error == COFFER_E_PASSPHRASE) {
            tell_which_secret(ks->db, fault);
        }
    }
    if (error == 0) {
        error = derive_keys(ks, fault);
    }
    if (error == 0) {
        error = cof_kms_db_unlock(ks->db, ks->secrets->mac_key, ks->secrets->audit_key,
                                  &ks->header, fault);
    }
    if (error == 0) {
        error = compare_owner(ks, opts, fault);
    }
    if (error == 0) {
        (void)snprintf(ks->principal, sizeof(ks->principal), "arn:coffer:iam::%s:root",
                       ks->header.owner.account);
        error = open_ledger(ks, opts, fault);
    }
    return error;
}

/* ---- open and close ---------------------------------------------------------------------- */

static int make_handle(const struct coffer_keystore_opts *opts, struct coffer_keystore **ret_ks,
                       struct coffer_fault *fault)
{
    struct cof_kms_env env;
    struct coffer_keystore *ks;
    uint8_t *secrets = NULL;
    int error;

    cof_kms_env_init(&env, opts->env);
    ks = cof_kms_alloc(&env, sizeof(*ks));
    if (ks == NULL) {
        return cof_kms_fault(fault, COFFER_E_NO_MEMORY, NULL);
    }
    ks->env = env;
    ks->read_only = (opts->flags & COFFER_KEYSTORE_READ_ONLY) != 0;
    (void)pthread_mutex_init(&ks->lock, NULL);
    (void)pthread_mutex_init(&ks->provider_lock, NULL);
    cof_kms_batch_init(&ks->batch);
    cof_throttle_init(&ks->throttle);
    cof_kms_fault_clear(&ks->provider_fault);
    error = coffer_keystore_secret_new(sizeof(*ks->secrets), &secrets);
    if (error != 0) {
        coffer_keystore_close(ks);
        return cof_kms_fault(fault, error, "%s: raise the limit (ulimit -l)",
                             coffer_error_sentence(error));
    }
    ks->secrets = (struct cof_kms_secrets *)(void *)secrets;
    ks->secrets->canary = COF_KMS_CANARY;
    ks->contexts[0] = cof_kms_alloc(&ks->env, COFFER_CONTEXT_BYTES_MAX);
    ks->contexts[1] = cof_kms_alloc(&ks->env, COFFER_CONTEXT_BYTES_MAX);
    if (ks->contexts[0] == NULL || ks->contexts[1] == NULL) {
        coffer_keystore_close(ks);
        return cof_kms_fault(fault, COFFER_E_NO_MEMORY, NULL);
    }
    *ret_ks = ks;
    return 0;
}

/* Open the database, making it first when it is absent and may be made. */
static int reach_file(struct coffer_keystore *ks, const struct coffer_keystore_opts *opts,
                      struct cof_kms_root_secret *secret, struct coffer_fault *fault)
{
    unsigned busy_ms = opts->busy_timeout_ms != 0 ? opts->busy_timeout_ms : BUSY_MS_DEFAULT;
    struct stat about;
    int creating = (opts->flags & COFFER_KEYSTORE_CREATE) != 0 && stat(opts->path, &about) != 0;
    int error = 0;

    if (!creating) {
        /* Look before asking people for a passphrase that may not be needed. */
        error = cof_kms_db_open(&ks->env, opts->path, ks->read_only, busy_ms, &ks->db, fault);
    }
    if (error == 0) {
        error = cof_kms_root_secret_get(opts, creating, secret, fault);
    }
    if (error == 0 && creating) {
        error = make_file(ks, opts, secret, fault);
    }
    if (error == 0 && creating) {
        error = cof_kms_db_open(&ks->env, opts->path, ks->read_only, busy_ms, &ks->db, fault);
    }
    return error;
}

int coffer_keystore_open(const struct coffer_keystore_opts *opts,
                         struct coffer_keystore **ret_store, struct coffer_fault *fault)
{
    struct cof_kms_root_secret secret = {COFFER_ROOT_PASSPHRASE, NULL, 0};
    struct coffer_keystore *ks = NULL;
    int error;

    if (opts == NULL || ret_store == NULL) {
        return cof_kms_fault(fault, COFFER_E_INVALID, NULL);
    }
    error = cof_kms_opts_check(opts, fault);
    if (error == 0) {
        error = make_handle(opts, &ks, fault);
    }
    if (error != 0) {
        return error;
    }
    error = reach_file(ks, opts, &secret, fault);
    if (error == 0) {
        error = open_file(ks, opts, &secret, fault);
    }
    cof_kms_root_secret_free(&secret);
    if (error != 0) {
        coffer_keystore_close(ks);
        return error;
    }
    *ret_store = ks;
    return 0;
}

void coffer_keystore_close(struct coffer_keystore *store)
{
    struct cof_kms_env env;

    if (store == NULL) {
        return;
    }
    env = store->env;
    /* A forked child must not touch SQLite's files: it forgets the handle and leaves them alone. */
    if (store->ledger != NULL && store->secrets->canary == COF_KMS_CANARY) {
        int error = cof_kms_ledger_note(store, NULL);

        if (error != 0) {
            cof_kms_warn(&env, "the ledger has no head of the audit trail as it is now: %s",
                         coffer_error_sentence(error));
        }
    }
    if (store->secrets == NULL || store->secrets->canary == COF_KMS_CANARY) {
        cof_kms_token_forget(store, NULL);
        cof_kms_db_close(store->db);
    }
    cof_kms_ledger_close(store->ledger);
    cof_kms_speakers_free(store);
    coffer_keystore_secret_free((uint8_t *)store->secrets);
    cof_kms_spares_done(&store->spares);
    cof_kms_free(&env, store->contexts[0]);
    cof_kms_free(&env, store->contexts[1]);
    (void)pthread_mutex_destroy(&store->lock);
    (void)pthread_mutex_destroy(&store->provider_lock);
    cof_throttle_done(&store->throttle);
    cof_kms_free(&env, store);
}

void cof_kms_info_of(const struct cof_kms_header *header, struct coffer_keystore_info *ret_info)
{
    memset(ret_info, 0, sizeof(*ret_info));
    ret_info->size = sizeof(*ret_info);
    memcpy(ret_info->uuid, header->uuid, sizeof(ret_info->uuid));
    memcpy(ret_info->account, header->owner.account, sizeof(ret_info->account));
    memcpy(ret_info->region, header->owner.region, sizeof(ret_info->region));
    ret_info->root_kind = header->root_kind;
    ret_info->argon2_memory_kib = header->argon2_memory_kib;
    ret_info->argon2_passes = header->argon2_passes;
    ret_info->argon2_lanes = header->argon2_lanes;
    ret_info->created_ns = header->created_ns;
    ret_info->schema_version = header->schema_version;
}

int coffer_keystore_info_get(struct coffer_keystore *store, struct coffer_keystore_info *ret_info)
{
    if (store == NULL || ret_info == NULL || ret_info->size != sizeof(*ret_info)) {
        return COFFER_E_INVALID;
    }
    (void)pthread_mutex_lock(&store->lock);
    cof_kms_info_of(&store->header, ret_info);
    (void)pthread_mutex_unlock(&store->lock);
    ret_info->created_now = store->created_now;
    return 0;
}
