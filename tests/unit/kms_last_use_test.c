/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GetKeyLastUsage: the newest record of a key's use, whatever else is on the trail, found at once
 * however long that is, and believed only when its MAC fits.
 */
#include "kms/store_sql.h"
#include "kms/verbs.h"
#include "kms_work.h"

static const uint8_t text[] = "attack at dawn";
static struct cof_kms_audit_use use;
static struct cof_kms_key_row row;

static int ask(struct kms_fixture *f, const char *key)
{
    struct cof_kms_call call;

    return WORK(f, &call, "GetKeyLastUsage", cof_kms_get_key_last_usage(&call, key, &row, &use));
}

static const char *new_key(struct kms_fixture *f, char arn[COFFER_KEY_ARN_BYTES_MAX])
{
    struct coffer_key_metadata key = {.size = sizeof(key)};

    assert_int_equal(coffer_keystore_create_key(f->store, "", &key, &f->fault), 0);
    memcpy(arn, key.arn, sizeof(key.arn));
    return arn;
}

static void encrypt(struct kms_fixture *f, const char *key, struct coffer_key_blob *blob)
{
    assert_int_equal(coffer_keystore_encrypt(f->store, key, text, 14, NULL, blob, NULL, &f->fault),
                     0);
}

static void only_what_succeeded_with_the_material_is_a_use(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_key_metadata seen = {.size = sizeof(seen)};
    static struct coffer_key_blob blob;
    char arn[COFFER_KEY_ARN_BYTES_MAX];

    assert_int_equal(ask(f, new_key(f, arn)), 0);
    assert_int_equal(use.seq, 0);
    assert_string_equal(row.arn, arn);
    encrypt(f, arn, &blob);
    work_now_ns += WORK_HOUR_NS;
    assert_int_equal(coffer_keystore_describe_key(f->store, arn, &seen, &f->fault), 0);
    assert_int_equal(coffer_keystore_disable_key(f->store, arn, &f->fault), 0);
    assert_int_equal(coffer_keystore_encrypt(f->store, arn, text, 14, NULL, &blob, NULL, &f->fault),
                     COFFER_E_KEY_DISABLED);
    assert_int_equal(ask(f, strrchr(arn, '/') + 1), 0);
    assert_string_equal(use.event, "Encrypt");
    assert_int_equal(use.time_ns, WORK_BEGAN_NS);
    assert_int_equal(strlen(use.request_id), 36);
    assert_int_equal(use.seq, fixture_number(f, "SELECT seq FROM audit WHERE event = 'Encrypt'"
                                                " AND error = ''"));
}

static void both_keys_of_a_re_encrypt_are_used(void **state)
{
    struct kms_fixture *f = *state;
    static struct coffer_key_blob blob, moved;
    char from[COFFER_KEY_ARN_BYTES_MAX], to[COFFER_KEY_ARN_BYTES_MAX];
    uint64_t seq;

    (void)new_key(f, from);
    (void)new_key(f, to);
    encrypt(f, from, &blob);
    work_now_ns += WORK_HOUR_NS;
    assert_int_equal(coffer_keystore_re_encrypt(f->store, NULL, blob.bytes, blob.length_bytes, NULL,
                                                to, NULL, &moved, NULL, NULL, &f->fault),
                     0);
    assert_int_equal(ask(f, from), 0);
    assert_string_equal(use.event, "ReEncrypt");
    assert_int_equal(use.time_ns, WORK_BEGAN_NS + WORK_HOUR_NS);
    seq = use.seq;
    assert_int_equal(ask(f, to), 0);
    assert_string_equal(use.event, "ReEncrypt");
    assert_int_equal(use.seq, seq);
    encrypt(f, from, &blob);
    assert_int_equal(ask(f, from), 0);
    assert_string_equal(use.event, "Encrypt");
}

static void aliases_and_strangers_are_refused(void **state)
{
    struct kms_fixture *f = *state;
    char arn[COFFER_KEY_ARN_BYTES_MAX];

    assert_int_equal(
        coffer_keystore_create_alias(f->store, "alias/one", new_key(f, arn), &f->fault), 0);
    assert_int_equal(ask(f, "alias/one"), COFFER_E_INVALID);
    assert_int_equal(ask(f, "00000000-0000-4000-8000-000000000000"), COFFER_E_KEY_NOT_FOUND);
}

/* Machine steps of SQLite for the question, when there are `others` records behind the use. */
static int steps_with(struct kms_fixture *f, const char *arn, unsigned others)
{
    struct cof_kms_audit_entry entry = {"DescribeKey", "coffer", NULL, arn, "",
                                        "{}",          "{}",     "{}", ""};
    struct cof_kms_db *db = f->store->db;
    sqlite3_stmt *stmt;
    unsigned i;

    assert_int_equal(cof_kms_db_begin(db, true, &f->fault), 0);
    for (i = 0; i < others; i++) {
        entry.event = i % 2 == 0 ? "DescribeKey" : "Encrypt";
        entry.error = i % 2 == 0 ? "" : "KEY_DISABLED";
        assert_int_equal(cof_kms_db_audit_add(db, &entry, &f->fault), 0);
    }
    assert_int_equal(cof_kms_db_commit(db, &f->fault), 0);
    assert_int_equal(ask(f, arn), 0);
    assert_string_equal(use.event, "Encrypt");
    stmt = db->statements[COF_KMS_SQL_AUDIT_LAST_USE];
    (void)sqlite3_stmt_status(stmt, SQLITE_STMTSTATUS_VM_STEP, 1);
    assert_int_equal(ask(f, arn), 0);
    return sqlite3_stmt_status(stmt, SQLITE_STMTSTATUS_VM_STEP, 1);
}

static void the_answer_costs_the_same_however_long_the_trail_is(void **state)
{
    struct kms_fixture *f = *state;
    static struct coffer_key_blob blob;
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    int few;

    encrypt(f, new_key(f, arn), &blob);
    few = steps_with(f, arn, 2);
    assert_true(few > 0 && few < 200);
    assert_int_equal(steps_with(f, arn, 4000), few);
}

/* Run sql on the file while it is closed; what the schema says is afterwards as it was. */
static void edit(struct kms_fixture *f, const char *sql)
{
    char whole[800];

    fixture_close(f);
    snprintf(whole, sizeof(whole),
             "CREATE TEMP TABLE kept AS SELECT name, sql FROM sqlite_schema WHERE name IN"
             " ('audit_use', 'audit_is_final');"
             "DROP TRIGGER audit_is_final; %s; PRAGMA writable_schema = ON;"
             "INSERT INTO sqlite_schema SELECT 'trigger', name, 'audit', 0, sql FROM kept WHERE"
             " name = 'audit_is_final';"
             "UPDATE sqlite_schema SET sql = (SELECT sql FROM kept WHERE name = 'audit_use')"
             " WHERE name = 'audit_use'",
             sql);
    fixture_sql(f, whole);
    assert_int_equal(fixture_open(f), 0);
}

static void an_altered_record_or_index_is_found_out(void **state)
{
    struct kms_fixture *f = *state;
    static struct coffer_key_blob blob;
    char first[COFFER_KEY_ARN_BYTES_MAX], second[COFFER_KEY_ARN_BYTES_MAX];
    uint64_t rows;

    encrypt(f, new_key(f, first), &blob);
    encrypt(f, new_key(f, second), &blob);
    edit(f, "UPDATE audit SET event = 'Sign' WHERE event = 'Encrypt'");
    assert_int_equal(ask(f, second), COFFER_E_TAMPER);
    edit(f, "UPDATE audit SET event = 'Encrypt' WHERE event = 'Sign'");
    assert_int_equal(ask(f, second), 0);
    assert_int_equal(cof_kms_db_check(f->store->db, &rows, &f->fault), 0);
    /* An index that leaves a record out shows when the whole store is looked through. */
    edit(f, "DROP INDEX audit_use; CREATE INDEX audit_use ON audit (key_arn, seq)"
            " WHERE error = '' AND event = 'Sign'");
    assert_int_equal(ask(f, second), 0);
    assert_int_equal(use.seq, 0);
    assert_int_equal(cof_kms_db_check(f->store->db, &rows, &f->fault), COFFER_E_CORRUPT);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, work_setup, fixture_teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(only_what_succeeded_with_the_material_is_a_use),
        CASE(both_keys_of_a_re_encrypt_are_used), CASE(aliases_and_strangers_are_refused),
        CASE(the_answer_costs_the_same_however_long_the_trail_is),
        CASE(an_altered_record_or_index_is_found_out)};

    return cmocka_run_group_tests_name("kms last use", tests, NULL, NULL);
}
