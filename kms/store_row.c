/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/store_row.c - reading columns with bounds, and the MAC over a row.
 *
 * Invariant: a column is never trusted to have the type or length that was written. Under the
 * store's lock.
 */
#include "store_sql.h"

/* ---- columns ----------------------------------------------------------------------------- */

void cof_kms_sql_text(sqlite3_stmt *stmt, int column, char *ret_text, size_t capacity, int *error)
{
    const unsigned char *text = sqlite3_column_text(stmt, column);
    size_t bytes = (size_t)sqlite3_column_bytes(stmt, column);

    if (sqlite3_column_type(stmt, column) == SQLITE_NULL) {
        ret_text[0] = '\0';
    } else if (text == NULL || bytes >= capacity || strlen((const char *)text) != bytes) {
        *error = COFFER_E_TAMPER;
    } else {
        memcpy(ret_text, text, bytes + 1);
    }
}

void cof_kms_sql_blob(sqlite3_stmt *stmt, int column, uint8_t *ret_blob, size_t bytes, int *error)
{
    const void *blob = sqlite3_column_blob(stmt, column);

    if (blob == NULL || (size_t)sqlite3_column_bytes(stmt, column) != bytes) {
        *error = COFFER_E_TAMPER;
        return;
    }
    memcpy(ret_blob, blob, bytes);
}

size_t cof_kms_sql_blob_up_to(sqlite3_stmt *stmt, int column, uint8_t *ret_blob, size_t capacity,
                              int *error)
{
    const void *blob = sqlite3_column_blob(stmt, column);
    size_t bytes = (size_t)sqlite3_column_bytes(stmt, column);

    if (bytes > capacity) {
        *error = COFFER_E_TAMPER;
        return 0;
    }
    if (bytes > 0) {
        memcpy(ret_blob, blob, bytes);
    }
    return bytes;
}

uint64_t cof_kms_sql_u64(sqlite3_stmt *stmt, int column, uint64_t max, int *error)
{
    int type = sqlite3_column_type(stmt, column);
    int64_t number = sqlite3_column_int64(stmt, column);

    if (type == SQLITE_NULL) {
        return 0;
    }
    if (type != SQLITE_INTEGER || number < 0 || (uint64_t)number > max) {
        *error = COFFER_E_TAMPER;
        return 0;
    }
    return (uint64_t)number;
}

/* ---- the MAC over a row ------------------------------------------------------------------ */

void cof_kms_sql_row_head(struct cof_kms_db *db, struct cof_kms_pack *pack, const char *label,
                          int columns)
{
    cof_kms_pack_text(pack, label);
    cof_kms_pack_bytes(pack, db->uuid, sizeof(db->uuid));
    cof_kms_pack_u32(pack, (uint32_t)columns);
}

void cof_kms_sql_pack_null(struct cof_kms_pack *pack)
{
    cof_kms_pack_u8(pack, 0);
}

void cof_kms_sql_pack_i64(struct cof_kms_pack *pack, int64_t number)
{
    cof_kms_pack_u8(pack, 1);
    cof_kms_pack_u64(pack, (uint64_t)number);
}

void cof_kms_sql_pack_text(struct cof_kms_pack *pack, const void *text, size_t bytes)
{
    cof_kms_pack_u8(pack, 2);
    cof_kms_pack_sized(pack, text, bytes);
}

void cof_kms_sql_pack_blob(struct cof_kms_pack *pack, const void *blob, size_t bytes)
{
    cof_kms_pack_u8(pack, 3);
    cof_kms_pack_sized(pack, blob, bytes);
}

static void pack_column(struct cof_kms_pack *pack, sqlite3_stmt *stmt, int column)
{
    const void *bytes;

    switch (sqlite3_column_type(stmt, column)) {
    case SQLITE_INTEGER:
        cof_kms_sql_pack_i64(pack, sqlite3_column_int64(stmt, column));
        break;
    case SQLITE_TEXT:
        bytes = sqlite3_column_text(stmt, column);
        cof_kms_sql_pack_text(pack, bytes, (size_t)sqlite3_column_bytes(stmt, column));
        break;
    case SQLITE_BLOB:
        bytes = sqlite3_column_blob(stmt, column);
        cof_kms_sql_pack_blob(pack, bytes, (size_t)sqlite3_column_bytes(stmt, column));
        break;
    case SQLITE_NULL:
        cof_kms_sql_pack_null(pack);
        break;
    default:
        pack->overflowed = true; /* no table has reals */
        break;
    }
}

int cof_kms_sql_row_pack(struct cof_kms_db *db, sqlite3_stmt *stmt, const char *label, int columns,
                         struct cof_kms_bytes *ret_packed)
{
    struct cof_kms_pack pack = cof_kms_pack_into(db->row_buffer, COF_KMS_ROW_BYTES_MAX);
    int column;

    cof_kms_sql_row_head(db, &pack, label, columns);
    for (column = 0; column < columns; column++) {
        pack_column(&pack, stmt, column);
    }
    if (pack.overflowed) {
        return COFFER_E_TAMPER;
    }
    *ret_packed = cof_kms_packed(&pack);
    return 0;
}

static int make_row_mac(struct cof_kms_db *db, sqlite3_stmt *stmt, const char *label, int columns,
                        uint8_t ret_mac[COF_KMS_MAC_BYTES])
{
    struct cof_kms_bytes packed;
    int error = cof_kms_sql_row_pack(db, stmt, label, columns, &packed);

    return error == 0 ? cof_kms_mac(db->mac_key, packed, ret_mac) : error;
}

int cof_kms_sql_row_check(struct cof_kms_db *db, sqlite3_stmt *stmt, const char *label,
                          struct coffer_fault *fault)
{
    uint8_t expected[COF_KMS_MAC_BYTES], found[COF_KMS_MAC_BYTES];
    int mac_column = sqlite3_column_count(stmt) - 1;
    int error = make_row_mac(db, stmt, label, mac_column, expected);

    cof_kms_sql_blob(stmt, mac_column, found, sizeof(found), &error);
    if (error == 0 && !cof_kms_equal(expected, found, sizeof(found))) {
        error = COFFER_E_TAMPER;
    }
    if (error == COFFER_E_TAMPER) {
        return cof_kms_fault(fault, error,
                             "a row of the key store (%s) was altered: restore it from a copy",
                             label);
    }
    return error == 0 ? 0 : cof_kms_fault(fault, error, NULL);
}
