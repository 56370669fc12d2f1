/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/store_make.c - making the SQLite file: whole or not at all.
 *
 * Invariants:
 * - A file at the store's path is complete: it is built under another name, synced, and linked.
 * - The file, and the two that SQLite puts beside it, have mode 0600.
 * No lock is needed: the name that it is built under belongs to this call.
 */
#include "store_sql.h"

#include <string.h>

/* Fill the empty file at path with the tables and the header's row. */
static int fill_file(struct cof_kms_env *env, const char *path,
                     const struct cof_kms_header *header, const uint8_t *mac_key,
                     struct coffer_fault *fault)
{
    struct cof_kms_db *db = NULL;
    int error = cof_kms_sql_connect(env, path, SQLITE_OPEN_READWRITE, &db, fault);

    if (error != 0) {
        return error;
    }
    db->mac_key = mac_key;
    memcpy(db->uuid, header->uuid, sizeof(db->uuid));
    error = cof_kms_sql_set_up(db, false, 0, fault);
    if (error == 0) {
        error = cof_kms_db_begin(db, true, fault);
    }
    if (error == 0) {
        error = cof_kms_schema_make(db, fault);
        if (error == 0) {
            error = cof_kms_db_header_set(db, header, fault);
        }
        if (error == 0) {
            error = cof_kms_db_commit(db, fault);
        } else {
            cof_kms_db_rollback(db);
        }
    }
    /* Closing the last connection moves the write-ahead log into the file and removes it. */
    cof_kms_db_close(db);
    return error;
}

int cof_kms_db_create(struct cof_kms_env *env, const char *path,
                      const struct cof_kms_header *header, const uint8_t *mac_key,
                      struct coffer_fault *fault)
{
    char built[COF_KMS_BUILT_BYTES_MAX];
    int error = cof_kms_file_begin(env, path, built, fault);

    if (error != 0) {
        return error;
    }
    error = fill_file(env, built, header, mac_key, fault);
    if (error == 0) {
        error = cof_kms_file_link(built, path, fault);
    }
    cof_kms_file_discard(built);
    return error;
}
