/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/store_audit.c - the audit trail: one record a call, chained by MACs; and what it says of a
 * key's last use.
 *
 * mac(n) = HMAC(audit key, mac(n-1) | HMAC(audit key, packed columns of n but mac)); mac(0) is 32
 * zero bytes. Records are numbered without gaps, so leaving out, changing or inserting one breaks
 * the chain; cutting off the newest ones does not show in the file alone. Under the store's lock.
 */
#include "store_sql.h"

#include "pack.h"

#include <stdio.h>
#include <string.h>

#define LABEL "coffer/kms/row/audit/1"
#define MAC_COLUMN 11

/* Sequence number and MAC of the newest record; 0 and zeros when there is none. */
static int last_record(struct cof_kms_db *db, uint64_t *ret_seq, uint8_t *ret_mac,
                       struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    bool found = false;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_AUDIT_LAST, &stmt, fault, "");

    if (error == 0) {
        error = cof_kms_sql_step(db, stmt, &found, fault);
    }
    if (error != 0) {
        return error;
    }
    *ret_seq = 0;
    memset(ret_mac, 0, COF_KMS_MAC_BYTES);
    if (found) {
        *ret_seq = cof_kms_sql_u64(stmt, 0, INT64_MAX - 1, &error);
        cof_kms_sql_blob(stmt, 1, ret_mac, COF_KMS_MAC_BYTES, &error);
        (void)sqlite3_reset(stmt);
    }
    return error == 0 ? 0
                      : cof_kms_fault(fault, error,
                                      "the key store's audit trail was altered: restore the file "
                                      "from a copy");
}

int cof_kms_db_audit_head(struct cof_kms_db *db, struct cof_kms_audit_head *ret_head,
                          struct coffer_fault *fault)
{
    struct cof_kms_audit_head head;
    int error = last_record(db, &head.records, head.mac, fault);

    if (error == 0) {
        *ret_head = head;
    }
    return error;
}

/* MAC of the record at hand, previous being that of the one before. */
static int chain_mac(struct cof_kms_db *db, struct cof_kms_bytes packed, const uint8_t *previous,
                     uint8_t ret_mac[COF_KMS_MAC_BYTES])
{
    uint8_t digest_input[2 * COF_KMS_MAC_BYTES];
    int error = cof_kms_mac(db->audit_key, packed, digest_input + COF_KMS_MAC_BYTES);

    memcpy(digest_input, previous, COF_KMS_MAC_BYTES);
    if (error == 0) {
        struct cof_kms_bytes input = {digest_input, sizeof(digest_input)};

        error = cof_kms_mac(db->audit_key, input, ret_mac);
    }
    return error;
}

struct record {
    uint64_t seq;
    uint64_t time_ns;
    char request_id[COFFER_KEY_ID_BYTES];
};

static void pack_text(struct cof_kms_pack *pack, const char *text)
{
    cof_kms_pack_u8(pack, 2);
    cof_kms_pack_text(pack, text);
}

static void pack_integer(struct cof_kms_pack *pack, uint64_t value)
{
    cof_kms_pack_u8(pack, 1);
    cof_kms_pack_u64(pack, value);
}

/* The same bytes that cof_kms_sql_row_pack gives for the row once it is there. */
static int pack_record(struct cof_kms_db *db, const struct record *record,
                       const struct cof_kms_audit_entry *entry, struct cof_kms_bytes *ret_packed,
                       struct coffer_fault *fault)
{
    struct cof_kms_pack pack = cof_kms_pack_into(db->row_buffer, COF_KMS_ROW_BYTES_MAX);

    cof_kms_pack_text(&pack, LABEL);
    cof_kms_pack_bytes(&pack, db->uuid, sizeof(db->uuid));
    cof_kms_pack_u32(&pack, MAC_COLUMN);
    pack_integer(&pack, record->seq);
    pack_integer(&pack, record->time_ns);
    pack_text(&pack, entry->event);
    pack_text(&pack, record->request_id);
    pack_text(&pack, entry->principal);
    pack_text(&pack, entry->key_arn);
    pack_text(&pack, entry->source_key_arn);
    pack_text(&pack, entry->context);
    pack_text(&pack, entry->source_context);
    pack_text(&pack, entry->detail);
    pack_text(&pack, entry->error);
    if (pack.overflowed) {
        return cof_kms_fault(fault, COFFER_E_LIMIT, "the call is too long for its audit record");
    }
    *ret_packed = cof_kms_packed(&pack);
    return 0;
}

int cof_kms_db_audit_add(struct cof_kms_db *db, const struct cof_kms_audit_entry *entry,
                         struct coffer_fault *fault)
{
    uint8_t previous[COF_KMS_MAC_BYTES], mac[COF_KMS_MAC_BYTES], random[16];
    struct cof_kms_bytes packed = {NULL, 0};
    struct record record;
    sqlite3_stmt *stmt = NULL;
    int error = last_record(db, &record.seq, previous, fault);

    if (error == 0 && entry->request_id == NULL &&
        cof_kms_random(db->env, random, sizeof(random)) != 0) {
        error = cof_kms_fault(fault, COFFER_E_CRYPTO, NULL);
    }
    if (error != 0) {
        return error;
    }
    record.seq++;
    record.time_ns = cof_kms_wall_ns(db->env);
    if (entry->request_id != NULL) {
        (void)snprintf(record.request_id, sizeof(record.request_id), "%s", entry->request_id);
    } else {
        cof_kms_uuid_text(random, record.request_id);
    }
    error = pack_record(db, &record, entry, &packed, fault);
    if (error == 0) {
        error = chain_mac(db, packed, previous, mac);
    }
    if (error == 0) {
        error = cof_kms_sql_start(db, COF_KMS_SQL_AUDIT_ADD, &stmt, fault, "iitttttttttb",
                                  (int64_t)record.seq, (int64_t)record.time_ns, entry->event,
                                  record.request_id, entry->principal, entry->key_arn,
                                  entry->source_key_arn, entry->context, entry->source_context,
                                  entry->detail, entry->error, mac, sizeof(mac));
    }
    return error == 0 ? cof_kms_sql_done(db, stmt, fault) : error;
}

static const char *column_text(sqlite3_stmt *stmt, int column)
{
    const char *text = (const char *)sqlite3_column_text(stmt, column);

    return text != NULL ? text : "";
}

/* The record at hand, whose MAC fits; its texts last until the next step. */
static int show(sqlite3_stmt *stmt, uint64_t seq, coffer_audit_visit_fn visit, void *ctx)
{
    struct coffer_audit_record record = {
        sizeof(record),       seq,
        (uint64_t)sqlite3_column_int64(stmt, 1),
        column_text(stmt, 2), column_text(stmt, 3), column_text(stmt, 4), column_text(stmt, 5),
        column_text(stmt, 6), column_text(stmt, 7), column_text(stmt, 8), column_text(stmt, 9),
        column_text(stmt, 10)};

    return visit(ctx, &record);
}

/* The MAC that the record at hand must have, being the next of the chain. */
static int check_record(struct cof_kms_db *db, sqlite3_stmt *stmt, uint64_t seq,
                        uint8_t mac[COF_KMS_MAC_BYTES])
{
    uint8_t expected[COF_KMS_MAC_BYTES], found[COF_KMS_MAC_BYTES];
    struct cof_kms_bytes packed;
    int error = cof_kms_sql_row_pack(db, stmt, LABEL, MAC_COLUMN, &packed);

    if (error == 0) {
        error = chain_mac(db, packed, mac, expected);
    }
    cof_kms_sql_blob(stmt, MAC_COLUMN, found, sizeof(found), &error);
    if (error == 0 && (cof_kms_sql_u64(stmt, 0, INT64_MAX, &error) != seq ||
                       !cof_kms_equal(expected, found, sizeof(expected)))) {
        error = COFFER_E_TAMPER;
    }
    if (error == 0) {
        memcpy(mac, expected, COF_KMS_MAC_BYTES);
    }
    return error;
}

/* Whether the trail, which goes to head by now, may be the one that `kept` was the head of. */
static bool has_kept(const struct cof_kms_audit_head *head, const struct cof_kms_audit_head *kept,
                     bool at_end)
{
    if (kept == NULL || kept->records == 0) {
        return true;
    }
    return head->records == kept->records ? cof_kms_equal(head->mac, kept->mac, sizeof(head->mac))
                                          : !at_end || head->records > kept->records;
}

int cof_kms_db_audit_walk(struct cof_kms_db *db, coffer_audit_visit_fn visit, void *ctx,
                          const struct cof_kms_audit_head *kept,
                          struct cof_kms_audit_head *ret_head, struct coffer_fault *fault)
{
    struct cof_kms_audit_head head = {0};
    sqlite3_stmt *stmt = NULL;
    bool found = true;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_AUDIT_EACH, &stmt, fault, "");

    while (error == 0) {
        error = cof_kms_sql_step(db, stmt, &found, fault);
        if (error != 0 || !found) {
            break;
        }
        error = check_record(db, stmt, head.records + 1, head.mac);
        if (error != 0) {
            (void)sqlite3_reset(stmt);
            return cof_kms_fault(fault, error, "audit record %llu was altered, or one before it "
                                 "is missing", (unsigned long long)head.records + 1);
        }
        head.records++;
        if (!has_kept(&head, kept, false)) {
            (void)sqlite3_reset(stmt);
            return cof_kms_fault(fault, COFFER_E_TAMPER, "audit record %llu is not the one that "
                                 "the kept head names: the trail, or the whole store, was "
                                 "replaced", (unsigned long long)head.records);
        }
        error = visit != NULL ? show(stmt, head.records, visit, ctx) : 0;
    }
    (void)sqlite3_reset(stmt);
    if (error == 0 && !has_kept(&head, kept, true)) {
        return cof_kms_fault(fault, COFFER_E_TAMPER, "the audit trail has %llu records, and the "
                             "kept head names %llu: it was cut off, or an older copy of the store "
                             "was put back", (unsigned long long)head.records,
                             (unsigned long long)kept->records);
    }
    if (error == 0) {
        *ret_head = head;
    }
    return error;
}

/* ---- the last use ------------------------------------------------------------------------ */

/* Start at record seq; one that isn't there gives no row, and is reset. */
static int start_at(struct cof_kms_db *db, uint64_t seq, sqlite3_stmt **ret_stmt, bool *ret_row,
                    struct coffer_fault *fault)
{
    int error =
        cof_kms_sql_start(db, COF_KMS_SQL_AUDIT_AT, ret_stmt, fault, "i", (int64_t)seq);

    return error == 0 ? cof_kms_sql_step(db, *ret_stmt, ret_row, fault) : error;
}

/* The MAC that stands in record seq; zeros for 0, and for one that isn't there. */
static int mac_at(struct cof_kms_db *db, uint64_t seq, uint8_t ret_mac[COF_KMS_MAC_BYTES],
                  struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    bool row = false;
    int error = seq == 0 ? 0 : start_at(db, seq, &stmt, &row, fault);

    memset(ret_mac, 0, COF_KMS_MAC_BYTES);
    if (error == 0 && row) {
        cof_kms_sql_blob(stmt, MAC_COLUMN, ret_mac, COF_KMS_MAC_BYTES, &error);
        (void)sqlite3_reset(stmt);
    }
    return error;
}

int cof_kms_db_audit_has(struct cof_kms_db *db, const struct cof_kms_audit_head *head,
                         bool *ret_has, struct coffer_fault *fault)
{
    uint8_t mac[COF_KMS_MAC_BYTES];
    int error = mac_at(db, head->records, mac, fault);

    if (error == 0) {
        *ret_has = head->records == 0 || cof_kms_equal(mac, head->mac, sizeof(mac));
    }
    return error;
}

/* The record at hand into use: what an index says of it is believed when its MAC fits, and it is of
 * that key. */
static int take_use(struct cof_kms_db *db, sqlite3_stmt *stmt, const char *key_arn,
                    uint8_t mac[COF_KMS_MAC_BYTES], struct cof_kms_audit_use *use)
{
    int error = check_record(db, stmt, use->seq, mac);

    use->time_ns = cof_kms_sql_u64(stmt, 1, INT64_MAX, &error);
    cof_kms_sql_text(stmt, 2, use->event, sizeof(use->event), &error);
    cof_kms_sql_text(stmt, 3, use->request_id, sizeof(use->request_id), &error);
    if (error == 0 && ((strcmp(column_text(stmt, 5), key_arn) != 0 &&
                        strcmp(column_text(stmt, 6), key_arn) != 0) ||
                       column_text(stmt, 10)[0] != '\0')) {
        error = COFFER_E_TAMPER;
    }
    return error;
}

static int find_last_use(struct cof_kms_db *db, const char *key_arn, uint64_t *ret_seq,
                         struct coffer_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    bool found = false;
    int error = cof_kms_sql_start(db, COF_KMS_SQL_AUDIT_LAST_USE, &stmt, fault, "t", key_arn);

    if (error == 0) {
        error = cof_kms_sql_step(db, stmt, &found, fault);
    }
    if (error == 0 && found) {
        *ret_seq = cof_kms_sql_u64(stmt, 0, INT64_MAX, &error);
        (void)sqlite3_reset(stmt);
    }
    return error;
}

int cof_kms_db_audit_last_use(struct cof_kms_db *db, const char *key_arn,
                              struct cof_kms_audit_use *ret_use, struct coffer_fault *fault)
{
    struct cof_kms_audit_use use = {0};
    uint8_t mac[COF_KMS_MAC_BYTES];
    sqlite3_stmt *stmt = NULL;
    bool row = false;
    int error = find_last_use(db, key_arn, &use.seq, fault);

    if (error == 0 && use.seq != 0) {
        error = mac_at(db, use.seq - 1, mac, fault);
    }
    if (error == 0 && use.seq != 0) {
        error = start_at(db, use.seq, &stmt, &row, fault);
    }
    if (error == 0 && use.seq != 0) {
        error = row ? take_use(db, stmt, key_arn, mac, &use) : COFFER_E_TAMPER;
        (void)sqlite3_reset(stmt);
        if (error != 0) {
            return cof_kms_fault(fault, error, "audit record %llu was altered",
                                 (unsigned long long)use.seq);
        }
    }
    if (error == 0) {
        *ret_use = use;
    }
    return error;
}
