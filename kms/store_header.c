/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/store_header.c - the header's row, and what its MAC key unlocks.
 *
 * The header is read once before its key is known, and checked once it is. Under the key store's
 * lock, or before the store is shared.
 */
#include "store_sql.h"

#include <string.h>

static void read_header(sqlite3_stmt *stmt, struct cof_kms_header *header, int *error)
{
    cof_kms_sql_blob(stmt, 1, header->uuid, sizeof(header->uuid), error);
    cof_kms_sql_text(stmt, 2, header->owner.account, sizeof(header->owner.account), error);
    cof_kms_sql_text(stmt, 3, header->owner.region, sizeof(header->owner.region), error);
    header->created_ns = cof_kms_sql_u64(stmt, 4, INT64_MAX, error);
    header->schema_version = (uint32_t)cof_kms_sql_u64(stmt, 5, UINT32_MAX, error);
    header->root_kind =
        (enum coffer_root_kind)cof_kms_sql_u64(stmt, 6, COFFER_ROOT_TPM, error);
    header->argon2_memory_kib = (uint32_t)cof_kms_sql_u64(stmt, 7, UINT32_MAX, error);
    header->argon2_passes = (uint32_t)cof_kms_sql_u64(stmt, 8, UINT32_MAX, error);
    header->argon2_lanes = (uint32_t)cof_kms_sql_u64(stmt, 9, UINT32_MAX, error);
    cof_kms_sql_blob(stmt, 10, header->salt, sizeof(header->salt), error);
    cof_kms_sql_blob(stmt, 11, header->sealed_root, sizeof(header->sealed_root), error);
}

/* The header; its MAC is checked when the key for that is known. */
static int get_header(struct cof_kms_db *db, struct cof_kms_header *ret_header,
                      struct coffer_fault *fault)
{
    struct cof_kms_header header;
    sqlite3_stmt *stmt = NULL;
    bool row = false;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_STORE_GET, &stmt, fault, "");

    memset(&header, 0, sizeof(header));
    if (error == 0) {
        error = cof_kms_sql_step(db, stmt, &row, fault);
    }
    if (error != 0) {
        return error;
    }
    error = row ? 0 : COFFER_E_TAMPER;
    if (row) {
        read_header(stmt, &header, &error);
        if (error == 0 && db->mac_key != NULL) {
            error = cof_kms_sql_row_check(
                db, stmt, header.schema_version == 1 ? COF_KMS_STORE_LABEL_1 : COF_KMS_STORE_LABEL,
                NULL);
        }
        (void)sqlite3_reset(stmt);
    }
    if (error != 0 || !cof_kms_account_ok(header.owner.account) ||
        !cof_kms_region_ok(header.owner.region) || header.root_kind == 0) {
        return cof_kms_fault(fault, COFFER_E_TAMPER,
                             "the key store's header was altered: restore the file from a copy");
    }
    *ret_header = header;
    return 0;
}

int cof_kms_db_header(struct cof_kms_db *db, struct cof_kms_header *ret_header,
                      struct coffer_fault *fault)
{
    int error = get_header(db, ret_header, fault);

    if (error == 0) {
        memcpy(db->uuid, ret_header->uuid, sizeof(db->uuid));
    }
    return error;
}

int cof_kms_db_unlock(struct cof_kms_db *db, const uint8_t *mac_key, const uint8_t *audit_key,
                      struct cof_kms_header *ret_header, struct coffer_fault *fault)
{
    struct cof_kms_header header;
    int error;

    db->mac_key = mac_key;
    db->audit_key = audit_key;
    error = get_header(db, &header, fault);
    if (error == 0 && header.schema_version < COF_KMS_SCHEMA_VERSION) {
        error = cof_kms_schema_migrate(db, fault);
        if (error == 0) {
            error = get_header(db, &header, fault);
        }
        if (error == 0 && header.schema_version < COF_KMS_SCHEMA_VERSION) {
            error = cof_kms_fault(fault, COFFER_E_TAMPER,
                                  "the key store's header is not of the "
                                  "tables' version: restore the file from a copy");
        }
    }
    if (error == 0) {
        *ret_header = header;
    }
    return error;
}

int cof_kms_db_header_set(struct cof_kms_db *db, const struct cof_kms_header *header,
                          struct coffer_fault *fault)
{
    return cof_kms_sql_put(db, COF_KMS_SQL_STORE_SET, COF_KMS_STORE_LABEL, fault, "ibttiiiiiibb",
                           (int64_t)1, header->uuid, sizeof(header->uuid), header->owner.account,
                           header->owner.region, (int64_t)header->created_ns,
                           (int64_t)header->schema_version, (int64_t)header->root_kind,
                           (int64_t)header->argon2_memory_kib, (int64_t)header->argon2_passes,
                           (int64_t)header->argon2_lanes, header->salt, sizeof(header->salt),
                           header->sealed_root, sizeof(header->sealed_root));
}

/* Two numbers of the one row that statement `which` gives. */
static int two_numbers(struct cof_kms_db *db, enum cof_kms_sql which, uint64_t *ret_first,
                       uint64_t *ret_second, struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    uint64_t first = 0, second = 0;
    bool row = false;
    int error = cof_kms_sql_start(db, which, &stmt, fault, "");

    if (error == 0) {
        error = cof_kms_sql_step(db, stmt, &row, fault);
    }
    if (error == 0 && row) {
        first = cof_kms_sql_u64(stmt, 0, INT64_MAX, &error);
        second = cof_kms_sql_u64(stmt, 1, INT64_MAX, &error);
        error = cof_kms_sql_end(stmt, error, fault);
    }
    if (error == 0) {
        *ret_first = first;
        *ret_second = second;
    }
    return error;
}

int cof_kms_db_root_changes(struct cof_kms_db *db, uint64_t *ret_changes, uint64_t *ret_last_ns,
                            struct coffer_fault *fault)
{
    return two_numbers(db, COF_KMS_SQL_AUDIT_ROOT_CHANGES, ret_changes, ret_last_ns, fault);
}

int cof_kms_db_tally(struct cof_kms_db *db, uint64_t *ret_keys, uint64_t *ret_records,
                     struct coffer_fault *fault)
{
    return two_numbers(db, COF_KMS_SQL_TALLY, ret_keys, ret_records, fault);
}
