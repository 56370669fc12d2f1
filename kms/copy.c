/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/copy.c - the store looked through, described, copied, and put back from a copy.
 *
 * Invariants: a copy is made of the file by a connection of its own, so that it holds up nobody,
 * and is checked before it gets its name; a restore changes the path by one step, and only to a
 * store that was opened, checked, and had what is dead destroyed. Nothing is unsealed but the root
 * key.
 */
#include "kms.h"
#include "ledger.h"
#include "testhook.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define BUSY_MS 5000u

/* ---- looking ----------------------------------------------------------------------------- */

int coffer_keystore_check(struct coffer_keystore *store, uint64_t *ret_rows,
                          struct coffer_fault *fault)
{
    struct cof_kms_call call;
    struct cof_kms_audit_head head;
    uint64_t rows = 0;
    int error;

    if (store == NULL || ret_rows == NULL) {
        return cof_kms_fault(fault, COFFER_E_INVALID, NULL);
    }
    error = cof_kms_call_begin(&call, store, "CheckKeyStore", COF_KMS_READS, fault);
    if (error != 0) {
        return error;
    }
    error = cof_kms_db_check(store->db, &rows, call.fault);
    if (error == 0) {
        error = cof_kms_db_audit_walk(store->db, NULL, NULL, NULL, &head, call.fault);
    }
    error = cof_kms_call_settle(&call, error);
    if (error == 0) {
        *ret_rows = rows + head.records;
    }
    cof_kms_call_leave(&call);
    return error;
}

static int read_summary(struct cof_kms_db *db, struct coffer_keystore_summary *summary,
                        struct coffer_fault *fault)
{
    struct cof_kms_header header;
    int error = cof_kms_db_header(db, &header, fault);

    if (error == 0) {
        cof_kms_info_of(&header, &summary->info);
        error = cof_kms_db_root_changes(db, &summary->root_changes, &summary->root_since_ns, fault);
    }
    if (error == 0 && summary->root_changes == 0) {
        summary->root_since_ns = header.created_ns;
    }
    return error == 0 ? cof_kms_db_tally(db, &summary->keys, &summary->audit_records, fault)
                      : error;
}

int coffer_keystore_inspect(const char *path, struct coffer_keystore_summary *ret_summary,
                            struct coffer_fault *fault)
{
    struct coffer_keystore_summary summary = {.size = sizeof(summary)};
    struct cof_kms_db *db = NULL;
    struct cof_kms_env env;
    int error;

    if (path == NULL || ret_summary == NULL || ret_summary->size != sizeof(summary)) {
        return cof_kms_fault(fault, COFFER_E_INVALID, NULL);
    }
    cof_kms_env_init(&env, NULL);
    error = cof_kms_db_open(&env, path, true, BUSY_MS, &db, fault);
    if (error == 0) {
        error = read_summary(db, &summary, fault);
    }
    cof_kms_db_close(db);
    if (error == 0) {
        *ret_summary = summary;
    }
    return error;
}

/* ---- backup ------------------------------------------------------------------------------ */

/* A record that says where to or where from, before anything is done. */
static int record(struct cof_kms_call *call, const char *what, const char *path)
{
    struct coffer_context_pair pair = {what, path};
    struct coffer_context context = {&pair, 1};

    return cof_kms_call_context(call, 0, &context);
}

static int record_backup(struct coffer_keystore *store, const char *to, struct coffer_fault *fault)
{
    struct cof_kms_call call;
    int error = cof_kms_call_begin(&call, store, "BackupKeyStore", COF_KMS_READS, fault);

    if (error == 0) {
        error = cof_kms_call_settle(&call, record(&call, "to", to));
        cof_kms_call_leave(&call);
    }
    return error;
}

/* Copy the file at path into built. */
static int copy_file(struct cof_kms_env *env, const char *path, const char *built,
                     struct coffer_fault *fault)
{
    struct cof_kms_db *from = NULL;
    int error = cof_kms_db_open(env, path, true, BUSY_MS, &from, fault);

    if (error == 0) {
        error = cof_kms_db_copy(from, built, fault);
    }
    cof_kms_db_close(from);
    return error;
}

/* Whether built is whole, and the copy of this store. */
static int check_copy(struct coffer_keystore *store, const char *built, struct coffer_fault *fault)
{
    struct cof_kms_header header;
    struct cof_kms_db *db = NULL;
    struct cof_kms_audit_head head;
    uint64_t rows = 0;
    int error = cof_kms_db_open(&store->env, built, true, 0, &db, fault);

    if (error == 0) {
        error = cof_kms_db_header(db, &header, fault);
    }
    if (error == 0) {
        error = cof_kms_db_unlock(db, store->secrets->mac_key, store->secrets->audit_key, &header,
                                  fault);
    }
    if (error == 0) {
        error = cof_kms_db_check(db, &rows, fault);
    }
    if (error == 0) {
        error = cof_kms_db_audit_walk(db, NULL, NULL, NULL, &head, fault);
    }
    cof_kms_db_close(db);
    return error;
}

int coffer_keystore_backup(struct coffer_keystore *store, const char *to,
                           struct coffer_fault *fault)
{
    char built[COF_KMS_BUILT_BYTES_MAX];
    int error;

    if (store == NULL || to == NULL || to[0] == '\0') {
        return cof_kms_fault(fault, COFFER_E_INVALID, "name a file for the copy");
    }
    error = record_backup(store, to, fault);
    if (error == 0) {
        error = cof_kms_file_begin(&store->env, to, built, fault);
    }
    if (error != 0) {
        return error;
    }
    error = copy_file(&store->env, cof_kms_db_path(store->db), built, fault);
    if (error == 0) {
        error = check_copy(store, built, fault);
    }
    if (error == 0) {
        error = cof_kms_file_link(built, to, fault);
    }
    cof_kms_file_discard(built);
    return error;
}

/* ---- restore ----------------------------------------------------------------------------- */

struct burial {
    struct coffer_keystore *copy;
    struct coffer_fault *fault;
    uint64_t buried;
};

/* What the store that leaves has destroyed goes into the ledger, which may have been lost. */
static int bury(void *ctx, const struct cof_kms_tombstone_row *dead)
{
    struct burial *burial = ctx;

    burial->buried++;
    return cof_kms_ledger_bury(burial->copy->ledger, dead, burial->fault);
}

/* The dead of the store at path, if it is there, is the same one, and can be read. */
static int bury_dead_of(struct burial *burial, const char *path)
{
    struct coffer_keystore *copy = burial->copy;
    struct cof_kms_header header;
    struct cof_kms_db *db = NULL;
    int error = cof_kms_db_open(&copy->env, path, true, BUSY_MS, &db, NULL);

    if (error == 0) {
        error = cof_kms_db_header(db, &header, NULL);
    }
    if (error == 0 && memcmp(header.uuid, copy->header.uuid, sizeof(header.uuid)) != 0) {
        error = COFFER_E_NOT_FOUND;
    }
    if (error == 0) {
        error =
            cof_kms_db_unlock(db, copy->secrets->mac_key, copy->secrets->audit_key, &header, NULL);
    }
    if (error != 0) {
        cof_kms_db_close(db);
        return 0;
    }
    error = cof_kms_db_tombstone_each(db, bury, burial, burial->fault);
    cof_kms_db_close(db);
    return error;
}

/* Write into the copy what it needs before it is the store: what is dead, and a record. */
static int settle_copy(struct coffer_keystore *copy, const char *from, const char *path,
                       struct coffer_fault *fault)
{
    struct burial burial = {copy, fault, 0};
    struct cof_kms_call call;
    int error = bury_dead_of(&burial, path);

    if (error == 0 && burial.buried > 0) {
        error = cof_kms_ledger_apply(copy, fault);
    }
    if (error == 0) {
        error = cof_kms_call_begin(&call, copy, "RestoreKeyStore", COF_KMS_CHANGES, fault);
    }
    if (error != 0) {
        return error;
    }
    error = cof_kms_call_settle(&call, record(&call, "from", from));
    cof_kms_call_leave(&call);
    return error;
}

/* Open what was built by the secret, which is asked for here, and make a store of it. *ret_copy has
 * the ledger open, and its file no more; *ret_head is the end of its trail. */
static int prepare_copy(const struct coffer_keystore_opts *opts, const char *built,
                        const char *from, struct coffer_keystore **ret_copy,
                        struct cof_kms_audit_head *ret_head, struct coffer_fault *fault)
{
    struct coffer_keystore_opts copy_opts = *opts;
    struct coffer_keystore *copy = NULL;
    char ledger[COF_KMS_BUILT_BYTES_MAX];
    uint64_t rows = 0;
    int error;

    /* What the ledger of the place says is done when the copy is opened. */
    (void)snprintf(ledger, sizeof(ledger), "%s.ledger", opts->path);
    copy_opts.ledger_path = opts->ledger_path != NULL ? opts->ledger_path : ledger;
    copy_opts.path = built;
    error = coffer_keystore_open(&copy_opts, &copy, fault);
    if (error == 0) {
        error = settle_copy(copy, from, opts->path, fault);
    }
    if (error == 0) {
        error = coffer_keystore_check(copy, &rows, fault);
    }
    if (error == 0) {
        error = cof_kms_db_begin(copy->db, false, fault);
    }
    if (error == 0) {
        error = cof_kms_db_audit_head(copy->db, ret_head, fault);
        cof_kms_db_rollback(copy->db);
    }
    if (copy != NULL) {
        cof_kms_db_close(copy->db);
        copy->db = NULL;
    }
    *ret_copy = copy;
    return error;
}

/* The trail of the copy may end before that of the store: say in the ledger that this is meant,
 * before it is so, or a crash in between would make a forgery of it. */
static int note_restore(const struct coffer_keystore_opts *opts, struct coffer_keystore *copy,
                         const struct cof_kms_audit_head *head, struct coffer_fault *fault)
{
    return opts->ledger_path != NULL || cof_kms_ledger_is_there(copy->ledger)
               ? cof_kms_ledger_note_restore(copy->ledger, head, fault)
               : 0;
}

static int check_restore(const struct coffer_keystore_opts *opts, const char *from, unsigned flags,
                         struct coffer_fault *fault)
{
    struct stat about;

    if (opts == NULL || from == NULL || (flags & ~(unsigned)COFFER_RESTORE_REPLACE) != 0 ||
        opts->flags != 0) {
        return cof_kms_fault(fault, COFFER_E_INVALID, NULL);
    }
    if (flags == 0 && opts->path != NULL && stat(opts->path, &about) == 0) {
        return cof_kms_fault(fault, COFFER_E_EXISTS,
                             "%.90s is there already: name another path, or replace it",
                             opts->path);
    }
    return cof_kms_opts_check(opts, fault);
}

int coffer_keystore_restore(const struct coffer_keystore_opts *opts, const char *from,
                            unsigned flags, struct coffer_fault *fault)
{
    char built[COF_KMS_BUILT_BYTES_MAX];
    struct coffer_keystore *copy = NULL;
    struct cof_kms_audit_head head;
    struct cof_kms_env env;
    int error = check_restore(opts, from, flags, fault);

    if (error != 0) {
        return error;
    }
    cof_kms_env_init(&env, opts->env);
    error = cof_kms_file_begin(&env, opts->path, built, fault);
    if (error != 0) {
        return error;
    }
    error = copy_file(&env, from, built, fault);
    if (error == 0) {
        error = prepare_copy(opts, built, from, &copy, &head, fault);
    }
    if (error == 0 && !COF_KMS_BROKEN(LATE_NOTE)) {
        error = note_restore(opts, copy, &head, fault);
    }
    if (error == 0) {
        error = flags != 0 ? cof_kms_file_replace(&env, built, opts->path, fault)
                           : cof_kms_file_link(built, opts->path, fault);
    }
    if (error == 0 && COF_KMS_BROKEN(LATE_NOTE)) {
        error = note_restore(opts, copy, &head, fault);
    }
    coffer_keystore_close(copy);
    cof_kms_file_discard(built);
    return error;
}
