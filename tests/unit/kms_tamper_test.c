/* SPDX-License-Identifier: Apache-2.0 */
/* Editing the file or a blob: each column and each byte is found out. */
#include "kms_fixture.h"

static struct coffer_key_blob blob;
static char key_id[COFFER_KEY_ID_BYTES];
static const char *const operations[] = {"Decrypt", "Encrypt"};

/* A key with an alias and a grant, and a blob under it; then the store is closed. */
static int setup(void **state)
{
    struct kms_fixture *f;
    struct coffer_context_pair pair[] = {{"a", "b"}};
    struct coffer_context context = {pair, 1};
    struct coffer_grant_opts grant = {.size = sizeof(grant), .grantee = "engine", .name = "n",
                                      .retiring_principal = "r", .operations = operations,
                                      .operation_count = 2, .context = &context,
                                      .constraint = COFFER_GRANT_CONTEXT_EQUALS};
    char grant_id[COFFER_GRANT_ID_BYTES];

    assert_int_equal(fixture_setup(state), 0);
    f = *state;
    strcpy(key_id, fixture_key(f)->key_id);
    grant.key = key_id;
    assert_int_equal(coffer_keystore_create_alias(f->store, "alias/a", key_id, &f->fault), 0);
    assert_int_equal(coffer_keystore_create_grant(f->store, &grant, grant_id, &f->fault), 0);
    assert_int_equal(coffer_keystore_encrypt(f->store, key_id, (const uint8_t *)"text", 4, NULL,
                                             &blob, NULL, &f->fault), 0);
    return 0;
}

static int use(struct kms_fixture *f)
{
    uint8_t back[16];
    size_t bytes = 0;
    int error = coffer_keystore_decrypt(f->store, NULL, blob.bytes, blob.length_bytes, NULL, back,
                                        sizeof(back), &bytes, NULL, &f->fault);

    return error;
}

static void set_column(const struct kms_fixture *f, const char *table, const char *column,
                       const char *value, char saved[400])
{
    char sql[400];

    snprintf(sql, sizeof(sql), "CREATE TABLE kept AS SELECT %s AS v FROM %s", column, table);
    fixture_sql(f, sql);
    snprintf(sql, sizeof(sql), "PRAGMA foreign_keys = OFF; UPDATE %s SET %s = %s", table, column,
             value);
    fixture_sql(f, sql);
    snprintf(saved, 400, "PRAGMA foreign_keys = OFF; UPDATE %s SET %s = (SELECT v FROM kept);"
             " DROP TABLE kept", table, column);
}

/* Edit one column, see what a use of the open store gives, and put it back. */
static int use_edited(struct kms_fixture *f, const char *table, const char *column,
                      const char *value)
{
    char restore[400];
    int error;

    set_column(f, table, column, value, restore);
    error = use(f);
    fixture_sql(f, restore);
    assert_int_equal(use(f), 0);
    return error;
}

static void each_column_of_a_key_is_authenticated(void **state)
{
    static const char *const columns[][2] = {
        {"account", "'000000000001'"}, {"region", "'local-2'"},
        {"state", "1"}, {"state", "2"}, {"managed", "1"}, {"origin", "'EXTERNAL'"},
        {"key_spec", "'x'"}, {"key_usage", "'x'"}, {"multi_region", "1"}, {"description", "''"},
        {"policy", "'{}'"}, {"created_ns", "created_ns + 1"}, {"deletion_ns", "1"},
        {"valid_to_ns", "1"}, {"rotation_period_days", "1"}, {"next_rotation_ns", "1"},
        {"pending_window_days", "7"}, {"expiration_model", "'x'"}, {"primary_region", "'local-2'"},
        {"key_store_id", "'cks-1'"}, {"token_label", "'x'"}, {"resume_state", "1"},
        {"public_key", "x'30'"}, {"material_id", "zeroblob(32)"}, {"material_id", "NULL"},
        {"mac", "zeroblob(32)"}, {"mac", "x''"}};
    struct kms_fixture *f = *state;
    size_t i;

    for (i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        int error = use_edited(f, "key", columns[i][0], columns[i][1]);

        if (error != COFFER_E_TAMPER) {
            fail_msg("key.%s gave %d", columns[i][0], error);
        }
    }
    /* A row under another name is a row that isn't there. */
    assert_int_equal(use_edited(f, "key", "arn", "arn || 'x'"), COFFER_E_KEY_ACCESS);
}

static void each_column_of_material_is_sealed_or_found_missing(void **state)
{
    static const char *const columns[][2] = {
        {"version", "2"}, {"source", "'EXTERNAL'"}, {"created_ns", "created_ns + 1"},
        {"rotation", "'AUTOMATIC'"}, {"state", "1"}, {"rotated_ns", "1"}, {"valid_to_ns", "1"},
        {"description", "'x'"}, {"digest", "zeroblob(32)"}, {"sealed", "NULL"},
        {"mac", "zeroblob(32)"}, {"sealed", "zeroblob(93)"}, {"sealed", "x''"},
        {"sealed", "zeroblob(94)"},
        {"material_id", "zeroblob(32)"}};
    struct kms_fixture *f = *state;
    size_t i;

    for (i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        assert_int_equal(use_edited(f, "material", columns[i][0], columns[i][1]), COFFER_E_TAMPER);
    }
}

static void each_byte_of_sealed_material_counts(void **state)
{
    struct kms_fixture *f = *state;
    char value[160];
    int i;

    for (i = 1; i <= 93; i++) {
        /* Take a byte out and put another in: 'ff' unless it was that, then '00'. */
        snprintf(value, sizeof(value),
                 "CAST(substr(sealed,1,%d) || CASE WHEN substr(sealed,%d,1) = x'ff' THEN x'00' ELSE"
                 " x'ff' END || substr(sealed,%d) AS BLOB)", i - 1, i, i + 1);
        assert_int_equal(use_edited(f, "material", "sealed", value), COFFER_E_TAMPER);
    }
}

static int open_edited(struct kms_fixture *f, const char *column, const char *value)
{
    char copy[120], sql[200];
    int error;

    /* The edit goes into a copy, so that the original stays as it is. */
    snprintf(copy, sizeof(copy), "%s/copy", f->directory);
    snprintf(sql, sizeof(sql), "VACUUM INTO '%s'", copy);
    unlink(copy);
    fixture_sql(f, sql);
    {
        struct kms_fixture edited = *f;

        strcpy(edited.path, copy);
        edited.opts.path = edited.path;
        edited.opts.passphrase_ctx = &edited;
        edited.store = NULL;
        snprintf(sql, sizeof(sql), "UPDATE store SET %s = %s", column, value);
        fixture_sql(&edited, sql);
        error = fixture_open(&edited);
        if (error != 0) {
            assert_null(edited.store);
        }
        fixture_close(&edited);
    }
    return error;
}

static void each_column_of_the_header_counts(void **state)
{
    static const struct {
        const char *column, *value;
        int error;
    } columns[] = {
        {"uuid", "uuid", 0},
        {"uuid", "zeroblob(16)", COFFER_E_PASSPHRASE},
        {"account", "'000000000001'", COFFER_E_TAMPER},
        {"account", "'x'", COFFER_E_TAMPER},
        {"region", "'local-2'", COFFER_E_TAMPER},
        {"created_ns", "created_ns + 1", COFFER_E_TAMPER},
        {"schema_version", "schema_version + 1", COFFER_E_TAMPER},
        {"root_kind", "2", COFFER_E_PASSPHRASE},
        {"root_kind", "0", COFFER_E_TAMPER},
        {"argon2_memory_kib", "16", COFFER_E_PASSPHRASE},
        {"argon2_memory_kib", "1 << 30", COFFER_E_TAMPER},
        {"argon2_passes", "2", COFFER_E_PASSPHRASE},
        {"argon2_passes", "1 << 20", COFFER_E_TAMPER},
        {"argon2_lanes", "1 << 20", COFFER_E_TAMPER},
        {"salt", "zeroblob(32)", COFFER_E_PASSPHRASE},
        {"sealed_root", "zeroblob(93)", COFFER_E_TAMPER},
        {"sealed_root", "zeroblob(9)", COFFER_E_TAMPER},
        {"mac", "zeroblob(32)", COFFER_E_TAMPER}};
    struct kms_fixture *f = *state;
    size_t i;

    for (i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        int error = open_edited(f, columns[i].column, columns[i].value);

        if (error != columns[i].error) {
            fail_msg("store.%s = %s gave %d, not %d", columns[i].column, columns[i].value, error,
                     columns[i].error);
        }
    }
}

static void each_byte_of_the_sealed_root_counts(void **state)
{
    struct kms_fixture *f = *state;
    char value[160];
    int i;

    for (i = 1; i <= 93; i += 4) {
        int error;

        snprintf(value, sizeof(value),
                 "CAST(substr(sealed_root,1,%d) || CASE WHEN substr(sealed_root,%d,1) = x'ff' THEN"
                 " x'00' ELSE x'ff' END || substr(sealed_root,%d) AS BLOB)", i - 1, i, i + 1);
        error = open_edited(f, "sealed_root", value);
        /* The commitment tells a wrong passphrase from an altered seal. */
        assert_int_equal(error, i >= 14 && i <= 45 ? COFFER_E_PASSPHRASE : COFFER_E_TAMPER);
    }
}

static int list_grants_seen(void *ctx, const struct coffer_grant_entry *entry)
{
    (void)entry;
    ++*(unsigned *)ctx;
    return 0;
}

static void edited_aliases_and_grants_are_found_out(void **state)
{
    static const char *const columns[][2] = {
        {"name", "'m'"}, {"grantee", "'evil'"}, {"retiring_principal", "'evil'"},
        {"operations", "'Decrypt'"}, {"constraint_kind", "0"},
        {"constraint_context", "zeroblob(4)"}, {"created_ns", "1"},
        {"issuing_account", "'arn:coffer:iam::000000000001:root'"}, {"source_arn", "'x'"},
        {"mac", "zeroblob(32)"}};
    struct kms_fixture *f = *state;
    static struct coffer_key_metadata found = {.size = sizeof(found)};
    char restore[400], sql[200];
    unsigned seen = 0;
    size_t i;

    for (i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        set_column(f, "key_grant", columns[i][0], columns[i][1], restore);
        assert_int_equal(coffer_keystore_list_grants(f->store, key_id, 0, NULL, list_grants_seen,
                                                     &seen, NULL, &f->fault), COFFER_E_TAMPER);
        fixture_sql(f, restore);
    }
    assert_int_equal(seen, 0);
    assert_int_equal(coffer_keystore_list_grants(f->store, key_id, 0, NULL, list_grants_seen, &seen,
                                                 NULL, &f->fault), 0);
    assert_int_equal(seen, 1);
    /* An alias turned to another key would send new data under it. */
    snprintf(sql, sizeof(sql), "UPDATE alias SET key_arn = '%.120s' WHERE name = 'alias/a'",
             fixture_key(f)->arn);
    fixture_sql(f, sql);
    assert_int_equal(coffer_keystore_describe_key(f->store, "alias/a", &found, &f->fault),
                     COFFER_E_TAMPER);
}

static void altered_audit_records_break_the_chain(void **state)
{
    static const char *const edits[] = {
        "UPDATE audit SET event = 'ListKeys' WHERE seq = 2",
        "UPDATE audit SET error = 'X' WHERE seq = 3",
        "UPDATE audit SET time_ns = 1 WHERE seq = 1", "DELETE FROM audit WHERE seq = 2",
        "UPDATE audit SET mac = zeroblob(32) WHERE seq = 2"};
    struct kms_fixture *f = *state;
    uint64_t records = 0;
    size_t i;

    assert_int_equal(coffer_keystore_audit_verify(f->store, &records, &f->fault), 0);
    assert_int_equal(records, 4);
    for (i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
        char sql[400];

        snprintf(sql, sizeof(sql), "CREATE TABLE kept AS SELECT * FROM audit;"
                 "DROP TRIGGER audit_is_kept; DROP TRIGGER audit_is_final; %s", edits[i]);
        fixture_sql(f, sql);
        assert_int_equal(coffer_keystore_audit_verify(f->store, &records, &f->fault),
                         COFFER_E_TAMPER);
        /* Put the records back as they were; the ones that verify itself wrote go, too. */
        fixture_sql(f, "DELETE FROM audit; INSERT INTO audit SELECT * FROM kept; DROP TABLE kept;"
                       "CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit BEGIN SELECT 1; END;"
                       "CREATE TRIGGER audit_is_final BEFORE UPDATE ON audit BEGIN SELECT 1; END");
        assert_int_equal(coffer_keystore_audit_verify(f->store, &records, &f->fault), 0);
    }
}

static void audit_trail_is_append_only(void **state)
{
    struct kms_fixture *f = *state;
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    assert_int_not_equal(sqlite3_exec(db, "DELETE FROM audit", NULL, NULL, NULL), SQLITE_OK);
    assert_int_not_equal(sqlite3_exec(db, "UPDATE audit SET event = 'x'", NULL, NULL, NULL),
                         SQLITE_OK);
    sqlite3_close(db);
}

static void each_byte_of_a_blob_counts(void **state)
{
    struct kms_fixture *f = *state;
    size_t i, access = 0;
    unsigned bit;

    for (i = 0; i < blob.length_bytes; i++) {
        for (bit = 0; bit < 8; bit += 7) {
            int error;

            blob.bytes[i] ^= (uint8_t)(1u << bit);
            error = use(f);
            blob.bytes[i] ^= (uint8_t)(1u << bit);
            access += error == COFFER_E_KEY_ACCESS;
            if (error != COFFER_E_KEY_CIPHERTEXT && error != COFFER_E_KEY_ACCESS) {
                fail_msg("byte %zu gave %d", i, error);
            }
        }
    }
    assert_int_equal(use(f), 0);
    /* Only the ARN's bytes turn it into another key's blob. */
    assert_true(access <= 2 * strlen("arn:coffer:kms:local-1:000000000000:key/") + 2 * 36);
}

static void cut_and_lengthened_blobs_are_refused(void **state)
{
    struct kms_fixture *f = *state;
    size_t whole = blob.length_bytes;

    for (blob.length_bytes = 0; blob.length_bytes < whole; blob.length_bytes++) {
        assert_int_equal(use(f), COFFER_E_KEY_CIPHERTEXT);
    }
    blob.length_bytes = whole + 1;
    assert_int_equal(use(f), COFFER_E_KEY_CIPHERTEXT);
    blob.length_bytes = COFFER_KEY_BLOB_BYTES_MAX;
    assert_int_equal(use(f), COFFER_E_KEY_CIPHERTEXT);
    blob.length_bytes = whole;
    assert_int_equal(use(f), 0);
}

static void material_of_one_key_does_not_pass_for_anothers(void **state)
{
    struct kms_fixture *f = *state;
    char sql[600];
    char other[COFFER_KEY_ID_BYTES];

    strcpy(other, fixture_key(f)->key_id);
    snprintf(sql, sizeof(sql), "PRAGMA foreign_keys = OFF; UPDATE material SET sealed = (SELECT"
             " sealed FROM material WHERE key_arn LIKE '%%%s') WHERE key_arn LIKE '%%%s'",
             other, key_id);
    fixture_sql(f, sql);
    assert_int_equal(use(f), COFFER_E_TAMPER);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(each_column_of_a_key_is_authenticated),
        CASE(each_column_of_material_is_sealed_or_found_missing),
        CASE(each_byte_of_sealed_material_counts),
        CASE(each_column_of_the_header_counts),
        CASE(each_byte_of_the_sealed_root_counts),
        CASE(edited_aliases_and_grants_are_found_out),
        CASE(altered_audit_records_break_the_chain),
        CASE(audit_trail_is_append_only),
        CASE(each_byte_of_a_blob_counts),
        CASE(cut_and_lengthened_blobs_are_refused),
        CASE(material_of_one_key_does_not_pass_for_anothers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
