/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/store_statements.c - every SQL statement of the store: none is built at run time.
 *
 * SET is for a row that was
 * read in the same transaction, or whose earlier self doesn't matter.
 */
#include "store_columns.h"
#include "store_sql.h"

#define ADD(table, columns, marks) "INSERT INTO " table " (" columns ") VALUES (" marks ")"
#define SET(table, columns, marks)                                                                 \
    "INSERT OR REPLACE INTO " table " (" columns ") VALUES (" marks ")"

#define MARKS_3 "?, ?, ?"
#define MARKS_4 MARKS_3 ", ?"
#define MARKS_5 MARKS_3 ", ?, ?"
#define MARKS_6 MARKS_3 ", " MARKS_3
#define MARKS_7 MARKS_6 ", ?"
#define MARKS_8 MARKS_5 ", " MARKS_3
#define MARKS_12 MARKS_6 ", " MARKS_6
#define MARKS_13 MARKS_7 ", " MARKS_6
#define MARKS_26 MARKS_13 ", " MARKS_13

const char *const cof_kms_statements[COF_KMS_SQL_COUNT] = {
    [COF_KMS_SQL_BEGIN_READ] = "BEGIN DEFERRED",
    [COF_KMS_SQL_BEGIN_WRITE] = "BEGIN IMMEDIATE",
    [COF_KMS_SQL_MARK] = "SAVEPOINT work",
    [COF_KMS_SQL_UNDO] = "ROLLBACK TO work",
    [COF_KMS_SQL_RELEASE] = "RELEASE work",
    [COF_KMS_SQL_COMMIT] = "COMMIT",
    [COF_KMS_SQL_ROLLBACK] = "ROLLBACK",

    [COF_KMS_SQL_STORE_GET] = "SELECT " STORE_COLUMNS " FROM store WHERE id = 1",
    [COF_KMS_SQL_STORE_SET] = SET("store", STORE_COLUMNS, MARKS_13),

    [COF_KMS_SQL_KEY_GET] = "SELECT " KEY_COLUMNS " FROM key WHERE arn = ?",
    [COF_KMS_SQL_KEY_EACH] = "SELECT " KEY_COLUMNS " FROM key WHERE account = ?1 AND region = ?2"
                             " AND key_id > ?3 ORDER BY key_id LIMIT ?4",
    [COF_KMS_SQL_KEY_EACH_IN_STORE] = "SELECT " KEY_COLUMNS " FROM key WHERE key_store_id = ?"
                                      " ORDER BY arn",
    [COF_KMS_SQL_KEY_EACH_KIN] = "SELECT " KEY_COLUMNS " FROM key WHERE account = ?1"
                                 " AND key_id = ?2 ORDER BY region",
    [COF_KMS_SQL_KEY_DUE] = "SELECT " KEY_COLUMNS " FROM key WHERE (deletion_ns <= ?1"
                            " OR valid_to_ns <= ?1 OR (next_rotation_ns <= ?1 AND state = 0))"
                            " AND arn > ?2 ORDER BY arn",
    [COF_KMS_SQL_KEY_ADD] = ADD("key", KEY_COLUMNS, MARKS_26),
    [COF_KMS_SQL_KEY_SET] = SET("key", KEY_COLUMNS, MARKS_26),
    [COF_KMS_SQL_KEY_REMOVE] = "DELETE FROM key WHERE arn = ?",
    [COF_KMS_SQL_KEY_COUNT] = "SELECT count(*) FROM key WHERE account = ? AND region = ?",
    [COF_KMS_SQL_KEY_REMOVE_MATERIAL] = "DELETE FROM material WHERE key_arn = ?",
    [COF_KMS_SQL_KEY_REMOVE_ALIASES] = "DELETE FROM alias WHERE key_arn = ?",
    [COF_KMS_SQL_KEY_REMOVE_GRANTS] = "DELETE FROM key_grant WHERE key_arn = ?",
    [COF_KMS_SQL_KEY_REMOVE_TAGS] = "DELETE FROM tag WHERE key_arn = ?",

    [COF_KMS_SQL_MATERIAL_GET] = "SELECT " MATERIAL_COLUMNS " FROM material WHERE key_arn = ?1"
                                 " AND material_id = ?2",
    [COF_KMS_SQL_MATERIAL_EACH] = "SELECT " MATERIAL_COLUMNS " FROM material WHERE key_arn = ?1"
                                  " AND version > ?2 ORDER BY version LIMIT ?3",
    [COF_KMS_SQL_MATERIAL_ADD] = ADD("material", MATERIAL_COLUMNS, MARKS_13),
    [COF_KMS_SQL_MATERIAL_SET] = SET("material", MATERIAL_COLUMNS, MARKS_13),
    [COF_KMS_SQL_MATERIAL_REMOVE] = "DELETE FROM material WHERE key_arn = ?1"
                                    " AND material_id = ?2",
    [COF_KMS_SQL_MATERIAL_COUNT] = "SELECT coalesce(max(version), 0) FROM material"
                                   " WHERE key_arn = ?",

    [COF_KMS_SQL_ALIAS_GET] = "SELECT " ALIAS_COLUMNS " FROM alias WHERE account = ?1"
                              " AND region = ?2 AND name = ?3",
    [COF_KMS_SQL_ALIAS_EACH] = "SELECT " ALIAS_COLUMNS " FROM alias WHERE account = ?1"
                               " AND region = ?2 AND (?3 = '' OR key_arn = ?3) AND name > ?4"
                               " ORDER BY name LIMIT ?5",
    [COF_KMS_SQL_ALIAS_ADD] = ADD("alias", ALIAS_COLUMNS, MARKS_7),
    [COF_KMS_SQL_ALIAS_SET] = SET("alias", ALIAS_COLUMNS, MARKS_7),
    [COF_KMS_SQL_ALIAS_REMOVE] = "DELETE FROM alias WHERE account = ?1 AND region = ?2"
                                 " AND name = ?3",
    [COF_KMS_SQL_ALIAS_COUNT] = "SELECT count(*) FROM alias WHERE key_arn = ?",

    [COF_KMS_SQL_GRANT_EACH] = "SELECT " GRANT_COLUMNS " FROM key_grant"
                               " WHERE (?1 = '' OR key_arn = ?1) AND (?2 = '' OR grant_id = ?2)"
                               " AND (?3 = '' OR name = ?3) AND (?4 = '' OR grantee = ?4)"
                               " AND (?5 = '' OR retiring_principal = ?5) AND grant_id > ?6"
                               " ORDER BY grant_id LIMIT ?7",
    [COF_KMS_SQL_GRANT_ADD] = ADD("key_grant", GRANT_COLUMNS, MARKS_12),
    [COF_KMS_SQL_GRANT_REMOVE] = "DELETE FROM key_grant WHERE grant_id = ?1 AND key_arn = ?2",
    [COF_KMS_SQL_GRANT_COUNT] = "SELECT count(*) FROM key_grant WHERE key_arn = ?",

    [COF_KMS_SQL_TAG_EACH] = "SELECT " TAG_COLUMNS " FROM tag WHERE key_arn = ?1 AND name > ?2"
                             " ORDER BY name LIMIT ?3",
    [COF_KMS_SQL_TAG_SET] = SET("tag", TAG_COLUMNS, MARKS_4),
    [COF_KMS_SQL_TAG_REMOVE] = "DELETE FROM tag WHERE key_arn = ?1 AND name = ?2",
    [COF_KMS_SQL_TAG_COUNT] = "SELECT count(*) FROM tag WHERE key_arn = ?",

    [COF_KMS_SQL_TOMBSTONE_GET] = "SELECT " TOMBSTONE_COLUMNS " FROM tombstone WHERE arn = ?1"
                                  " AND material_id = ?2",
    [COF_KMS_SQL_TOMBSTONE_EACH] = "SELECT " TOMBSTONE_COLUMNS " FROM tombstone ORDER BY arn",
    [COF_KMS_SQL_TOMBSTONE_SET] = SET("tombstone", TOMBSTONE_COLUMNS, MARKS_5),
    [COF_KMS_SQL_TOMBSTONE_REMOVE] = "DELETE FROM tombstone WHERE arn = ?1 AND material_id = ?2",

    [COF_KMS_SQL_KEY_STORE_GET] = "SELECT " KEY_STORE_COLUMNS " FROM key_store WHERE id = ?",
    [COF_KMS_SQL_KEY_STORE_EACH] = "SELECT " KEY_STORE_COLUMNS " FROM key_store"
                                   " WHERE account = ?1 AND region = ?2"
                                   " AND (?3 = '' OR name = ?3) AND id > ?4 ORDER BY id LIMIT ?5",
    [COF_KMS_SQL_KEY_STORE_SET] = SET("key_store", KEY_STORE_COLUMNS, MARKS_6 ", " MARKS_5),
    [COF_KMS_SQL_KEY_STORE_REMOVE] = "DELETE FROM key_store WHERE id = ?",

    [COF_KMS_SQL_ACCOUNT_GET] = "SELECT " ACCOUNT_COLUMNS " FROM account WHERE account = ?",
    [COF_KMS_SQL_ACCOUNT_EACH] = "SELECT " ACCOUNT_COLUMNS " FROM account WHERE account > ?1"
                                 " ORDER BY account LIMIT ?2",
    [COF_KMS_SQL_ACCOUNT_ADD] = ADD("account", ACCOUNT_COLUMNS, MARKS_3),
    [COF_KMS_SQL_ACCOUNT_REMOVE] = "DELETE FROM account WHERE account = ?",

    [COF_KMS_SQL_PRINCIPAL_GET] = "SELECT " PRINCIPAL_COLUMNS " FROM principal WHERE arn = ?",
    [COF_KMS_SQL_PRINCIPAL_EACH] = "SELECT " PRINCIPAL_COLUMNS " FROM principal"
                                   " WHERE (?1 = '' OR account = ?1) AND (?2 = '' OR kind = ?2)"
                                   " AND arn > ?3 ORDER BY arn LIMIT ?4",
    [COF_KMS_SQL_PRINCIPAL_SET] = SET("principal", PRINCIPAL_COLUMNS, MARKS_8),
    [COF_KMS_SQL_PRINCIPAL_REMOVE] = "DELETE FROM principal WHERE arn = ?",
    [COF_KMS_SQL_PRINCIPAL_REMOVE_ACCESS_KEYS] = "DELETE FROM access_key WHERE principal_arn = ?",
    [COF_KMS_SQL_PRINCIPAL_REMOVE_ATTACHMENTS] = "DELETE FROM attachment WHERE principal_arn = ?",

    [COF_KMS_SQL_ACCESS_KEY_GET] = "SELECT " ACCESS_KEY_COLUMNS " FROM access_key"
                                   " WHERE access_key_id = ?",
    [COF_KMS_SQL_ACCESS_KEY_EACH] = "SELECT " ACCESS_KEY_COLUMNS " FROM access_key"
                                    " WHERE (?1 = '' OR principal_arn = ?1)"
                                    " AND access_key_id > ?2 ORDER BY access_key_id LIMIT ?3",
    [COF_KMS_SQL_ACCESS_KEY_SET] = SET("access_key", ACCESS_KEY_COLUMNS, MARKS_7),
    [COF_KMS_SQL_ACCESS_KEY_REMOVE] = "DELETE FROM access_key WHERE access_key_id = ?",

    [COF_KMS_SQL_IDENTITY_POLICY_GET] = "SELECT " IDENTITY_POLICY_COLUMNS " FROM identity_policy"
                                        " WHERE account = ?1 AND name = ?2",
    [COF_KMS_SQL_IDENTITY_POLICY_EACH] = "SELECT " IDENTITY_POLICY_COLUMNS " FROM identity_policy"
                                         " WHERE account = ?1 AND name > ?2"
                                         " ORDER BY name LIMIT ?3",
    [COF_KMS_SQL_IDENTITY_POLICY_SET] = SET("identity_policy", IDENTITY_POLICY_COLUMNS, MARKS_5),
    [COF_KMS_SQL_IDENTITY_POLICY_REMOVE] = "DELETE FROM identity_policy WHERE account = ?1"
                                           " AND name = ?2",

    [COF_KMS_SQL_ATTACHMENT_EACH] = "SELECT " ATTACHMENT_COLUMNS " FROM attachment"
                                    " WHERE (?1 = '' OR principal_arn = ?1)"
                                    " AND (?2 = '' OR account = ?2)"
                                    " AND (?3 = '' OR policy_name = ?3)"
                                    " ORDER BY policy_name, principal_arn",
    [COF_KMS_SQL_ATTACHMENT_SET] = SET("attachment", ATTACHMENT_COLUMNS, MARKS_4),
    [COF_KMS_SQL_ATTACHMENT_REMOVE] = "DELETE FROM attachment WHERE principal_arn = ?1"
                                      " AND account = ?2 AND policy_name = ?3",

    [COF_KMS_SQL_AUDIT_LAST] = "SELECT seq, mac FROM audit ORDER BY seq DESC LIMIT 1",
    [COF_KMS_SQL_AUDIT_ADD] = ADD("audit", AUDIT_COLUMNS, MARKS_12),
    [COF_KMS_SQL_AUDIT_EACH] = "SELECT " AUDIT_COLUMNS " FROM audit ORDER BY seq",
    [COF_KMS_SQL_AUDIT_AT] = "SELECT " AUDIT_COLUMNS " FROM audit WHERE seq = ?",
    [COF_KMS_SQL_AUDIT_LAST_USE] =
        "SELECT max(coalesce((SELECT max(seq) FROM audit INDEXED BY audit_use"
        " WHERE key_arn = ?1 AND " AUDIT_IS_USE "), 0), coalesce((SELECT max(seq) FROM audit"
        " INDEXED BY audit_use_as_source WHERE source_key_arn = ?1 AND " AUDIT_IS_SOURCE_USE
        "), 0))",
    [COF_KMS_SQL_AUDIT_ROOT_CHANGES] = "SELECT count(*), max(time_ns) FROM audit"
                                       " WHERE event = 'ChangeRootSecret' AND error = ''",
    [COF_KMS_SQL_TALLY] = "SELECT (SELECT count(*) FROM key), (SELECT count(*) FROM audit)",
};
