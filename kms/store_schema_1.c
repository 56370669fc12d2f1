/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/store_schema_1.c - the tables of schema version 1, as files of that version hold them.
 * Frozen: such a file is checked against this before it is believed and brought up to date.
 */
#include "store_sql.h"

const struct cof_kms_schema_item cof_kms_schema_1[] = {
    {"schema_version", "CREATE TABLE schema_version (\n"
                       "  version INTEGER PRIMARY KEY,\n"
                       "  applied_ns INTEGER NOT NULL) STRICT"},
    {"store", "CREATE TABLE store (\n"
              "  id INTEGER PRIMARY KEY CHECK (id = 1),\n"
              "  uuid BLOB NOT NULL,\n"
              "  account TEXT NOT NULL,\n"
              "  region TEXT NOT NULL,\n"
              "  created_ns INTEGER NOT NULL,\n"
              "  schema_version INTEGER NOT NULL,\n"
              "  root_kind INTEGER NOT NULL,\n"
              "  argon2_memory_kib INTEGER NOT NULL,\n"
              "  argon2_passes INTEGER NOT NULL,\n"
              "  argon2_lanes INTEGER NOT NULL,\n"
              "  salt BLOB NOT NULL,\n"
              "  sealed_root BLOB NOT NULL,\n"
              "  mac BLOB NOT NULL) STRICT"},
    {"key", "CREATE TABLE key (\n"
            "  key_id TEXT PRIMARY KEY NOT NULL,\n"
            "  arn TEXT NOT NULL UNIQUE,\n"
            "  account TEXT NOT NULL,\n"
            "  region TEXT NOT NULL,\n"
            "  state INTEGER NOT NULL,\n"
            "  managed INTEGER NOT NULL,\n"
            "  origin TEXT NOT NULL,\n"
            "  key_spec TEXT NOT NULL,\n"
            "  key_usage TEXT NOT NULL,\n"
            "  multi_region INTEGER NOT NULL,\n"
            "  description TEXT NOT NULL,\n"
            "  policy TEXT NOT NULL,\n"
            "  created_ns INTEGER NOT NULL,\n"
            "  deletion_ns INTEGER,\n"
            "  valid_to_ns INTEGER,\n"
            "  rotation_period_days INTEGER NOT NULL,\n"
            "  next_rotation_ns INTEGER,\n"
            "  material_id BLOB,\n"
            "  mac BLOB NOT NULL) STRICT"},
    {"material", "CREATE TABLE material (\n"
                 "  material_id BLOB PRIMARY KEY NOT NULL,\n"
                 "  key_id TEXT NOT NULL REFERENCES key (key_id),\n"
                 "  version INTEGER NOT NULL,\n"
                 "  source TEXT NOT NULL,\n"
                 "  created_ns INTEGER NOT NULL,\n"
                 "  sealed BLOB NOT NULL,\n"
                 "  UNIQUE (key_id, version)) STRICT"},
    {"alias", "CREATE TABLE alias (\n"
              "  name TEXT PRIMARY KEY NOT NULL,\n"
              "  key_id TEXT NOT NULL REFERENCES key (key_id),\n"
              "  created_ns INTEGER NOT NULL,\n"
              "  updated_ns INTEGER NOT NULL,\n"
              "  mac BLOB NOT NULL) STRICT"},
    {"alias_by_key", "CREATE INDEX alias_by_key ON alias (key_id, name)"},
    {"key_grant", "CREATE TABLE key_grant (\n"
                  "  grant_id TEXT PRIMARY KEY NOT NULL,\n"
                  "  key_id TEXT NOT NULL REFERENCES key (key_id),\n"
                  "  name TEXT NOT NULL,\n"
                  "  grantee TEXT NOT NULL,\n"
                  "  retiring_principal TEXT NOT NULL,\n"
                  "  operations TEXT NOT NULL,\n"
                  "  constraint_kind INTEGER NOT NULL,\n"
                  "  constraint_context BLOB NOT NULL,\n"
                  "  created_ns INTEGER NOT NULL,\n"
                  "  mac BLOB NOT NULL) STRICT"},
    {"key_grant_by_key", "CREATE INDEX key_grant_by_key ON key_grant (key_id, grant_id)"},
    {"audit", "CREATE TABLE audit (\n"
              "  seq INTEGER PRIMARY KEY AUTOINCREMENT,\n"
              "  time_ns INTEGER NOT NULL,\n"
              "  event TEXT NOT NULL,\n"
              "  request_id TEXT NOT NULL,\n"
              "  principal TEXT NOT NULL,\n"
              "  key_arn TEXT NOT NULL,\n"
              "  source_key_arn TEXT NOT NULL,\n"
              "  context TEXT NOT NULL,\n"
              "  source_context TEXT NOT NULL,\n"
              "  detail TEXT NOT NULL,\n"
              "  error TEXT NOT NULL,\n"
              "  mac BLOB NOT NULL) STRICT"},
    {"audit_by_key", "CREATE INDEX audit_by_key ON audit (key_arn, seq)"},
    {"audit_is_kept", "CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit"
                      " BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"},
    {"audit_is_final", "CREATE TRIGGER audit_is_final BEFORE UPDATE ON audit"
                       " BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"},
    {NULL, NULL},
};
