/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/store_tables.c - the tables of the schema since version 2; the present one is 3.
 *
 * A file holds these statements letter by letter, so changing one is a new version: the old
 * statement stays, in its version's list, and store_migrate.c learns the step. Keys are named by
 * their ARN, since an id of a multi-Region key may stand in several regions.
 */
#include "store_columns.h"
#include "store_sql.h"

const struct cof_kms_schema_item cof_kms_schema_tables[] = {
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
            "  arn TEXT PRIMARY KEY NOT NULL,\n"
            "  key_id TEXT NOT NULL,\n"
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
            "  pending_window_days INTEGER NOT NULL,\n"
            "  valid_to_ns INTEGER,\n"
            "  expiration_model TEXT NOT NULL,\n"
            "  rotation_period_days INTEGER NOT NULL,\n"
            "  next_rotation_ns INTEGER,\n"
            "  material_id BLOB,\n"
            "  primary_region TEXT NOT NULL,\n"
            "  key_store_id TEXT NOT NULL,\n"
            "  token_label TEXT NOT NULL,\n"
            "  resume_state INTEGER NOT NULL,\n"
            "  public_key BLOB,\n"
            "  mac BLOB NOT NULL,\n"
            "  UNIQUE (account, region, key_id)) STRICT"},
    {"key_by_deletion", "CREATE INDEX key_by_deletion ON key (deletion_ns)"},
    {"key_by_rotation", "CREATE INDEX key_by_rotation ON key (next_rotation_ns)"},
    {"key_by_expiry", "CREATE INDEX key_by_expiry ON key (valid_to_ns)"},
    {"key_by_store", "CREATE INDEX key_by_store ON key (key_store_id)"},
    {"material", "CREATE TABLE material (\n"
                 "  key_arn TEXT NOT NULL REFERENCES key (arn),\n"
                 "  material_id BLOB NOT NULL,\n"
                 "  version INTEGER NOT NULL,\n"
                 "  source TEXT NOT NULL,\n"
                 "  rotation TEXT NOT NULL,\n"
                 "  state INTEGER NOT NULL,\n"
                 "  created_ns INTEGER NOT NULL,\n"
                 "  rotated_ns INTEGER,\n"
                 "  valid_to_ns INTEGER,\n"
                 "  description TEXT NOT NULL,\n"
                 "  digest BLOB,\n"
                 "  sealed BLOB,\n"
                 "  mac BLOB NOT NULL,\n"
                 "  PRIMARY KEY (key_arn, material_id),\n"
                 "  UNIQUE (key_arn, version)) STRICT"},
    {"alias", "CREATE TABLE alias (\n"
              "  account TEXT NOT NULL,\n"
              "  region TEXT NOT NULL,\n"
              "  name TEXT NOT NULL,\n"
              "  key_arn TEXT NOT NULL REFERENCES key (arn),\n"
              "  created_ns INTEGER NOT NULL,\n"
              "  updated_ns INTEGER NOT NULL,\n"
              "  mac BLOB NOT NULL,\n"
              "  PRIMARY KEY (account, region, name)) STRICT"},
    {"alias_by_key", "CREATE INDEX alias_by_key ON alias (key_arn, name)"},
    {"key_grant", "CREATE TABLE key_grant (\n"
                  "  grant_id TEXT PRIMARY KEY NOT NULL,\n"
                  "  key_arn TEXT NOT NULL REFERENCES key (arn),\n"
                  "  name TEXT NOT NULL,\n"
                  "  grantee TEXT NOT NULL,\n"
                  "  retiring_principal TEXT NOT NULL,\n"
                  "  operations TEXT NOT NULL,\n"
                  "  constraint_kind INTEGER NOT NULL,\n"
                  "  constraint_context BLOB NOT NULL,\n"
                  "  created_ns INTEGER NOT NULL,\n"
                  "  issuing_account TEXT NOT NULL,\n"
                  "  source_arn TEXT NOT NULL,\n"
                  "  mac BLOB NOT NULL) STRICT"},
    {"key_grant_by_key", "CREATE INDEX key_grant_by_key ON key_grant (key_arn, grant_id)"},
    {"key_grant_by_grantee", "CREATE INDEX key_grant_by_grantee ON key_grant (key_arn, grantee)"},
    {"key_grant_by_retiring",
     "CREATE INDEX key_grant_by_retiring ON key_grant (retiring_principal)"},
    {"tag", "CREATE TABLE tag (\n"
            "  key_arn TEXT NOT NULL REFERENCES key (arn),\n"
            "  name TEXT NOT NULL,\n"
            "  value TEXT NOT NULL,\n"
            "  mac BLOB NOT NULL,\n"
            "  PRIMARY KEY (key_arn, name)) STRICT"},
    {"tombstone", "CREATE TABLE tombstone (\n"
                  "  arn TEXT NOT NULL,\n"
                  "  material_id BLOB NOT NULL,\n"
                  "  key_id TEXT NOT NULL,\n"
                  "  deleted_ns INTEGER NOT NULL,\n"
                  "  mac BLOB NOT NULL,\n"
                  "  PRIMARY KEY (arn, material_id)) STRICT"},
    {"key_store", "CREATE TABLE key_store (\n"
                  "  id TEXT PRIMARY KEY NOT NULL,\n"
                  "  account TEXT NOT NULL,\n"
                  "  region TEXT NOT NULL,\n"
                  "  name TEXT NOT NULL,\n"
                  "  type TEXT NOT NULL,\n"
                  "  uri TEXT NOT NULL,\n"
                  "  state TEXT NOT NULL,\n"
                  "  error_code TEXT NOT NULL,\n"
                  "  sealed_pin BLOB,\n"
                  "  created_ns INTEGER NOT NULL,\n"
                  "  mac BLOB NOT NULL,\n"
                  "  UNIQUE (account, region, name)) STRICT"},
    {"account", "CREATE TABLE account (\n"
                "  account TEXT PRIMARY KEY NOT NULL,\n"
                "  created_ns INTEGER NOT NULL,\n"
                "  mac BLOB NOT NULL) STRICT"},
    {"principal", "CREATE TABLE principal (\n"
                  "  arn TEXT PRIMARY KEY NOT NULL,\n"
                  "  account TEXT NOT NULL,\n"
                  "  kind TEXT NOT NULL,\n"
                  "  name TEXT NOT NULL,\n"
                  "  trust_policy TEXT NOT NULL,\n"
                  "  boundary TEXT NOT NULL,\n"
                  "  created_ns INTEGER NOT NULL,\n"
                  "  mac BLOB NOT NULL) STRICT"},
    {"access_key", "CREATE TABLE access_key (\n"
                   "  access_key_id TEXT PRIMARY KEY NOT NULL,\n"
                   "  principal_arn TEXT NOT NULL,\n"
                   "  status TEXT NOT NULL,\n"
                   "  sealed_secret BLOB,\n"
                   "  created_ns INTEGER NOT NULL,\n"
                   "  last_used_ns INTEGER,\n"
                   "  mac BLOB NOT NULL) STRICT"},
    {"access_key_by_principal",
     "CREATE INDEX access_key_by_principal ON access_key (principal_arn)"},
    {"identity_policy", "CREATE TABLE identity_policy (\n"
                        "  account TEXT NOT NULL,\n"
                        "  name TEXT NOT NULL,\n"
                        "  document TEXT NOT NULL,\n"
                        "  created_ns INTEGER NOT NULL,\n"
                        "  mac BLOB NOT NULL,\n"
                        "  PRIMARY KEY (account, name)) STRICT"},
    {"attachment",
     "CREATE TABLE attachment (\n"
     "  principal_arn TEXT NOT NULL,\n"
     "  account TEXT NOT NULL,\n"
     "  policy_name TEXT NOT NULL,\n"
     "  mac BLOB NOT NULL,\n"
     "  PRIMARY KEY (principal_arn, account, policy_name),\n"
     "  FOREIGN KEY (account, policy_name) REFERENCES identity_policy (account, name)) STRICT"},
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
    {"audit_is_kept", "CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit"
                      " BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"},
    {"audit_is_final", "CREATE TRIGGER audit_is_final BEFORE UPDATE ON audit"
                       " BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"},
    {NULL, NULL},
};

const struct cof_kms_schema_item cof_kms_schema_2[] = {
    {"audit_by_key", "CREATE INDEX audit_by_key ON audit (key_arn, seq)"},
    {NULL, NULL},
};

const struct cof_kms_schema_item cof_kms_schema_3[] = {
    {"audit_use", "CREATE INDEX audit_use ON audit (key_arn, seq) WHERE " AUDIT_IS_USE},
    {"audit_use_as_source",
     "CREATE INDEX audit_use_as_source ON audit (source_key_arn, seq) WHERE " AUDIT_IS_SOURCE_USE},
    {NULL, NULL},
};
