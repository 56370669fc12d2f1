/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/store_columns.h - each table's columns in the order in which a row is MACed, the MAC last.
 * Included by store_statements.c, store_tables.c and store_migrate.c.
 */
#ifndef COF_KMS_STORE_COLUMNS_H
#define COF_KMS_STORE_COLUMNS_H

#define STORE_COLUMNS                                                                              \
    "id, uuid, account, region, created_ns, schema_version, root_kind, argon2_memory_kib, "        \
    "argon2_passes, argon2_lanes, salt, sealed_root, mac"
#define KEY_COLUMNS                                                                                \
    "arn, key_id, account, region, state, managed, origin, key_spec, key_usage, multi_region, "    \
    "description, policy, created_ns, deletion_ns, pending_window_days, valid_to_ns, "             \
    "expiration_model, rotation_period_days, next_rotation_ns, material_id, primary_region, "      \
    "key_store_id, token_label, resume_state, public_key, mac"
#define MATERIAL_COLUMNS                                                                           \
    "key_arn, material_id, version, source, rotation, state, created_ns, rotated_ns, "             \
    "valid_to_ns, description, digest, sealed, mac"
#define ALIAS_COLUMNS "account, region, name, key_arn, created_ns, updated_ns, mac"
#define GRANT_COLUMNS                                                                              \
    "grant_id, key_arn, name, grantee, retiring_principal, operations, constraint_kind, "          \
    "constraint_context, created_ns, issuing_account, source_arn, mac"
#define TAG_COLUMNS "key_arn, name, value, mac"
#define TOMBSTONE_COLUMNS "arn, material_id, key_id, deleted_ns, mac"
#define KEY_STORE_COLUMNS                                                                          \
    "id, account, region, name, type, uri, state, error_code, sealed_pin, created_ns, mac"
#define ACCOUNT_COLUMNS "account, created_ns, mac"
#define PRINCIPAL_COLUMNS "arn, account, kind, name, trust_policy, boundary, created_ns, mac"
#define ACCESS_KEY_COLUMNS                                                                         \
    "access_key_id, principal_arn, status, sealed_secret, created_ns, last_used_ns, mac"
#define IDENTITY_POLICY_COLUMNS "account, name, document, created_ns, mac"
#define ATTACHMENT_COLUMNS "principal_arn, account, policy_name, mac"
#define AUDIT_COLUMNS                                                                              \
    "seq, time_ns, event, request_id, principal, key_arn, source_key_arn, context, "               \
    "source_context, detail, error, mac"
/* Records of a key that was used, and of one whose ciphertext was moved under another. A file's
 * indexes hold these letter by letter: another operation is another version of the schema. */
#define AUDIT_IS_USE                                                                               \
    "error = '' AND event IN ('Decrypt', 'DeriveSharedSecret', 'Encrypt', 'GenerateDataKey', "     \
    "'GenerateDataKeyPair', 'GenerateDataKeyPairWithoutPlaintext', "                               \
    "'GenerateDataKeyWithoutPlaintext', 'GenerateMac', 'ReEncrypt', 'Sign', 'Verify', 'VerifyMac')"
#define AUDIT_IS_SOURCE_USE "error = '' AND event = 'ReEncrypt'"

#endif
