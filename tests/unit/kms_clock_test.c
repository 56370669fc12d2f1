/* SPDX-License-Identifier: Apache-2.0 */
/* What the clock brings: rotations, deletions that stay, and expiry. No test waits. */
#include "kms_call_fixture.h"

#define MATERIALS 1000u

static char arn[COFFER_KEY_ARN_BYTES_MAX];
static struct cof_kms_key_row row;

struct seen {
    unsigned count, automatic, on_demand;
};

static int see_material(void *ctx, const struct cof_kms_material_row *found)
{
    struct seen *seen = ctx;

    seen->count++;
    seen->automatic += strcmp(found->rotation, "AUTOMATIC") == 0;
    seen->on_demand += strcmp(found->rotation, "ON_DEMAND") == 0;
    return 0;
}

static struct seen rotations_of(struct kms_fixture *f, const char *key)
{
    struct cof_kms_page page = {0, NULL, ""};
    struct seen seen;

    memset(&seen, 0, sizeof(seen));
    assert_int_equal(CALL(f, "ListKeyRotations",
                          cof_kms_list_key_rotations(&call, key, false, &page, see_material,
                                                     &seen)), 0);
    return seen;
}

static int enable_rotation(struct kms_fixture *f, uint32_t days)
{
    return CALL(f, "EnableKeyRotation", cof_kms_enable_key_rotation(&call, arn, days));
}

static int64_t audited(struct kms_fixture *f, const char *event)
{
    char sql[160];

    snprintf(sql, sizeof(sql),
             "SELECT count(*) FROM audit WHERE event = '%s' AND principal = 'coffer'", event);
    return fixture_number(f, sql);
}

/* ---- rotation ---------------------------------------------------------------------------- */

static void data_under_each_of_a_thousand_materials_opens(void **state)
{
    static struct coffer_key_blob blobs[MATERIALS];
    struct kms_fixture *f = *state;
    unsigned i;

    strcpy(arn, make_key(f, NULL)->arn);
    fixture_sql(f, "PRAGMA wal_checkpoint(TRUNCATE)");
    assert_int_equal(enable_rotation(f, 90), 0);
    for (i = 0; i < MATERIALS; i++) {
        assert_int_equal(encrypt(f, arn, NULL, &blobs[i]), 0);
        clock_ns += 90 * DAY;
    }
    assert_int_equal(rotations_of(f, arn).automatic, MATERIALS);
    assert_int_equal(audited(f, "RotateKey"), MATERIALS);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM material"), MATERIALS + 1);
    for (i = 0; i < MATERIALS; i++) {
        assert_int_equal(decrypt(f, NULL, NULL, &blobs[i]), 0);
        assert_true(i == 0 || memcmp(blobs[i].bytes + 8, blobs[i - 1].bytes + 8, 32) != 0);
    }
}

static void rotation_keeps_its_period_and_waits_for_the_key(void **state)
{
    struct kms_fixture *f = *state;

    strcpy(arn, make_key(f, NULL)->arn);
    assert_int_equal(enable_rotation(f, 89), COFFER_E_INVALID);
    assert_int_equal(enable_rotation(f, 2561), COFFER_E_INVALID);
    assert_int_equal(enable_rotation(f, 0), 0);
    assert_int_equal(describe(f, arn)->rotation_period_days, 365);
    assert_int_equal(describe(f, arn)->next_rotation_ns, START_NS + 365 * DAY);
    assert_int_equal(enable_rotation(f, 100), 0);
    clock_ns += 101 * DAY;
    assert_int_equal(describe(f, arn)->next_rotation_ns, START_NS + 200 * DAY);
    assert_int_equal(rotations_of(f, arn).count, 1);
    assert_int_equal(CALL(f, "DisableKey", cof_kms_disable_key(&call, arn)), 0);
    clock_ns += 500 * DAY;
    assert_int_equal(rotations_of(f, arn).count, 1);
    assert_int_equal(CALL(f, "EnableKey", cof_kms_enable_key(&call, arn)), 0);
    assert_int_equal(rotations_of(f, arn).count, 2);
    assert_int_equal(CALL(f, "DisableKeyRotation", cof_kms_disable_key_rotation(&call, arn)), 0);
    clock_ns += 500 * DAY;
    assert_int_equal(rotations_of(f, arn).count, 2);
}

static void rotation_on_demand_has_a_limit(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_key_blob before;
    unsigned i;

    strcpy(arn, make_key(f, NULL)->arn);
    assert_int_equal(encrypt(f, arn, NULL, &before), 0);
    for (i = 0; i < 25; i++) {
        assert_int_equal(CALL(f, "RotateKeyOnDemand",
                              cof_kms_rotate_key_on_demand(&call, arn, &row)), 0);
    }
    assert_int_equal(CALL(f, "RotateKeyOnDemand", cof_kms_rotate_key_on_demand(&call, arn, &row)),
                     COFFER_E_LIMIT);
    assert_int_equal(rotations_of(f, arn).on_demand, 25);
    assert_int_equal(decrypt(f, arn, NULL, &before), 0);
    strcpy(arn, make_key(f, "EXTERNAL")->arn);
    assert_int_equal(enable_rotation(f, 100), COFFER_E_UNSUPPORTED);
}

static void the_managed_key_rotates_every_year(void **state)
{
    struct kms_fixture *f = *state;

    strcpy(arn, describe(f, NULL)->arn);
    clock_ns += 366 * DAY;
    assert_int_equal(rotations_of(f, arn).automatic, 1);
    assert_int_equal(CALL(f, "GetKeyRotationStatus",
                          cof_kms_get_key_rotation_status(&call, arn, &row)), 0);
    assert_int_equal(row.rotation_period_days, 365);
}

/* ---- deletion ---------------------------------------------------------------------------- */

static void copy_file(const char *from, const char *to)
{
    static uint8_t bytes[4 << 20];
    FILE *in = fopen(from, "rb");
    size_t count;

    assert_non_null(in);
    count = fread(bytes, 1, sizeof(bytes), in);
    fclose(in);
    fixture_write(to, bytes, count, 0600);
}

/* A key with all that hangs on it, to be destroyed in a week; the file as it was is kept. */
static void prepare_deletion(struct kms_fixture *f, struct coffer_key_blob *blob, char *ret_copy,
                             size_t capacity)
{
    static const char *const operations[] = {"Decrypt"};
    static const struct cof_kms_tag tag = {"a", "b"};
    char grant_id[COFFER_GRANT_ID_BYTES], token[COF_KMS_GRANT_TOKEN_BYTES_MAX];
    struct cof_kms_create_grant grant = {.grantee = "arn:coffer:iam::000000000000:user/u",
                                         .operations = operations, .operation_count = 1};

    strcpy(arn, make_key(f, NULL)->arn);
    grant.key = arn;
    assert_int_equal(encrypt(f, arn, NULL, blob), 0);
    assert_int_equal(CALL(f, "CreateAlias", cof_kms_create_alias(&call, "alias/a", arn)), 0);
    assert_int_equal(CALL(f, "TagResource", cof_kms_tag_resource(&call, arn, &tag, 1)), 0);
    assert_int_equal(CALL(f, "CreateGrant", cof_kms_create_grant(&call, &grant, grant_id, token)),
                     0);
    snprintf(ret_copy, capacity, "%s/copy", f->directory);
    fixture_close(f);
    copy_file(f->path, ret_copy);
    assert_int_equal(fixture_open(f), 0);
    assert_int_equal(CALL(f, "ScheduleKeyDeletion",
                          cof_kms_schedule_key_deletion(&call, arn, 7, &row)), 0);
    assert_int_equal(row.state, COFFER_KEY_PENDING_DELETION);
    assert_int_equal(row.deletion_ns, clock_ns + 7 * DAY);
}

/* Whether the file, or its log, has these bytes anywhere. */
static bool file_has(const struct kms_fixture *f, const uint8_t *bytes, size_t count)
{
    static uint8_t file[8 << 20];
    static const char *const ends[] = {"", "-wal"};
    char path[120];
    size_t i;
    bool has = false;

    for (i = 0; i < 2; i++) {
        FILE *in;
        size_t have = 0;

        snprintf(path, sizeof(path), "%s%s", f->path, ends[i]);
        in = fopen(path, "rb");
        if (in != NULL) {
            have = fread(file, 1, sizeof(file), in);
            fclose(in);
        }
        has = has || memmem(file, have, bytes, count) != NULL;
    }
    return has;
}

static void sealed_bytes(struct kms_fixture *f, uint8_t ret_sealed[COF_KMS_SEALED_BYTES])
{
    struct cof_kms_db *db = f->store->db;
    struct cof_kms_material_row material;

    assert_int_equal(cof_kms_db_begin(db, true, &f->fault), 0);
    assert_int_equal(cof_kms_db_key_get(db, arn, &row, &f->fault), 0);
    assert_int_equal(cof_kms_db_material_get(db, arn, row.material_id, &material, &f->fault), 0);
    cof_kms_db_rollback(db);
    assert_int_equal(material.sealed_bytes, COF_KMS_SEALED_BYTES);
    memcpy(ret_sealed, material.sealed, COF_KMS_SEALED_BYTES);
}

static void gone(struct kms_fixture *f, const struct coffer_key_blob *blob)
{
    struct coffer_key_blob made;

    assert_int_equal(CALL(f, "DescribeKey", cof_kms_describe_key(&call, arn, &row)),
                     COFFER_E_KEY_NOT_FOUND);
    assert_int_equal(decrypt(f, NULL, NULL, blob), COFFER_E_KEY_ACCESS);
    assert_int_equal(decrypt(f, arn, NULL, blob), COFFER_E_KEY_NOT_FOUND);
    assert_int_equal(encrypt(f, "alias/a", NULL, &made), COFFER_E_KEY_NOT_FOUND);
}

static void a_deletion_destroys_all_and_an_old_copy_does_not_undo_it(void **state)
{
    struct kms_fixture *f = *state;
    uint8_t sealed[COF_KMS_SEALED_BYTES];
    struct coffer_key_blob blob;
    char copy[120];

    prepare_deletion(f, &blob, copy, sizeof(copy));
    sealed_bytes(f, sealed);
    clock_ns += 7 * DAY - 1;
    assert_int_equal(describe(f, arn)->state, COFFER_KEY_PENDING_DELETION);
    assert_true(file_has(f, sealed, sizeof(sealed)));
    clock_ns += 1;
    gone(f, &blob);
    assert_int_equal(audited(f, "DeleteKey"), 1);
    assert_int_equal(fixture_number(f, "SELECT (SELECT count(*) FROM material) + (SELECT count(*)"
                                       " FROM alias) + (SELECT count(*) FROM tag) + (SELECT"
                                       " count(*) FROM key_grant)"), 0);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM tombstone"), 1);
    assert_false(file_has(f, sealed, sizeof(sealed)));

    fixture_close(f);
    copy_file(copy, f->path);
    f->opts.flags = COFFER_KEYSTORE_READ_ONLY;
    assert_int_equal(fixture_open(f), 0);
    gone(f, &blob);
    fixture_close(f);
    f->opts.flags = 0;
    assert_true(file_has(f, sealed, sizeof(sealed)));
    assert_int_equal(fixture_open(f), 0);
    gone(f, &blob);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM material"), 0);
    assert_int_equal(audited(f, "DeleteKey"), 1);
    assert_false(file_has(f, sealed, sizeof(sealed)));
}

/* The control: without the ledger, the old copy has the key again. */
static void without_its_ledger_an_old_copy_undoes_a_deletion(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_key_blob blob;
    char copy[120], ledger[120];

    prepare_deletion(f, &blob, copy, sizeof(copy));
    clock_ns += 7 * DAY;
    gone(f, &blob);
    fixture_close(f);
    copy_file(copy, f->path);
    snprintf(ledger, sizeof(ledger), "%s.ledger", f->path);
    assert_int_equal(unlink(ledger), 0);
    assert_int_equal(fixture_open(f), 0);
    assert_int_equal(decrypt(f, NULL, NULL, &blob), 0);
}

static void a_lost_ledger_is_written_anew_from_the_store(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_key_blob blob;
    char copy[120], ledger[120];

    prepare_deletion(f, &blob, copy, sizeof(copy));
    clock_ns += 7 * DAY;
    gone(f, &blob);
    fixture_close(f);
    snprintf(ledger, sizeof(ledger), "%s.ledger", f->path);
    assert_int_equal(unlink(ledger), 0);
    assert_int_equal(fixture_open(f), 0);
    fixture_close(f);
    copy_file(copy, f->path);
    assert_int_equal(fixture_open(f), 0);
    gone(f, &blob);
}

static void a_ledger_elsewhere_outlives_the_directory(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_key_blob blob;
    char copy[120], ledger[120], beside[120];

    fixture_close(f);
    snprintf(ledger, sizeof(ledger), "%s/elsewhere", f->directory);
    snprintf(beside, sizeof(beside), "%s.ledger", f->path);
    f->opts.ledger_path = ledger;
    assert_int_equal(fixture_open(f), 0);
    prepare_deletion(f, &blob, copy, sizeof(copy));
    clock_ns += 7 * DAY;
    gone(f, &blob);
    assert_int_equal(access(beside, F_OK), -1);
    fixture_close(f);
    copy_file(copy, f->path);
    assert_int_equal(fixture_open(f), 0);
    gone(f, &blob);
}

static void a_trail_that_was_cut_off_shows_against_the_ledger(void **state)
{
    struct kms_fixture *f = *state;
    uint64_t records = 0;
    char copy[120], ledger[120];

    fixture_close(f);
    snprintf(copy, sizeof(copy), "%s/copy", f->directory);
    snprintf(ledger, sizeof(ledger), "%s/elsewhere", f->directory);
    f->opts.ledger_path = ledger;
    assert_int_equal(fixture_open(f), 0);
    strcpy(arn, make_key(f, NULL)->arn);
    fixture_close(f);
    copy_file(f->path, copy);
    assert_int_equal(fixture_open(f), 0);
    assert_int_equal(coffer_keystore_audit_verify(f->store, &records, &f->fault), 0);
    assert_int_equal(CALL(f, "DisableKey", cof_kms_disable_key(&call, arn)), 0);
    assert_int_equal(cof_kms_tick(f->store, &f->fault), 0);
    assert_int_equal(coffer_keystore_audit_verify(f->store, &records, &f->fault), 0);
    fixture_close(f);
    copy_file(copy, f->path);
    assert_int_equal(fixture_open(f), 0);
    assert_int_equal(coffer_keystore_audit_verify(f->store, &records, &f->fault), COFFER_E_TAMPER);
    /* Nor does a trail of the same length do that went another way. */
    describe(f, arn);
    describe(f, arn);
    describe(f, arn);
    assert_int_equal(coffer_keystore_audit_verify(f->store, &records, &f->fault), COFFER_E_TAMPER);
}

static void an_edited_ledger_is_found_out_and_a_cut_tail_is_not_believed(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_key_blob blob;
    uint8_t bytes[1024];
    char copy[120], ledger[120];
    FILE *in;
    size_t count, i;

    prepare_deletion(f, &blob, copy, sizeof(copy));
    clock_ns += 7 * DAY;
    gone(f, &blob);
    fixture_close(f);
    snprintf(ledger, sizeof(ledger), "%s.ledger", f->path);
    in = fopen(ledger, "rb");
    assert_non_null(in);
    count = fread(bytes, 1, sizeof(bytes), in);
    fclose(in);
    assert_in_range(count, 200, sizeof(bytes) - 1);
    for (i = 0; i < count; i += 7) {
        bytes[i] ^= 1;
        fixture_write(ledger, bytes, count, 0600);
        /* A length that reaches beyond the end looks like a tail that was cut. */
        if (fixture_open(f) == 0) {
            assert_in_range(i, 53, 56);
            fixture_close(f);
        } else {
            assert_int_equal(f->fault.error, COFFER_E_TAMPER);
        }
        bytes[i] ^= 1;
    }
    fixture_write(ledger, bytes, count - 1, 0600);
    assert_int_equal(fixture_open(f), 0);
    fixture_close(f);
    fixture_write(ledger, bytes, count, 0600);
    copy_file(copy, f->path);
    assert_int_equal(fixture_open(f), 0);
    gone(f, &blob);
}

static void a_cancelled_deletion_does_not_happen(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_key_blob blob;
    char copy[120];

    prepare_deletion(f, &blob, copy, sizeof(copy));
    clock_ns += 6 * DAY;
    assert_int_equal(CALL(f, "CancelKeyDeletion", cof_kms_cancel_key_deletion(&call, arn, &row)),
                     0);
    assert_int_equal(row.state, COFFER_KEY_IS_DISABLED);
    assert_int_equal(row.deletion_ns, 0);
    clock_ns += 100 * DAY;
    assert_int_equal(CALL(f, "EnableKey", cof_kms_enable_key(&call, arn)), 0);
    assert_int_equal(decrypt(f, NULL, NULL, &blob), 0);
    assert_int_equal(CALL(f, "ScheduleKeyDeletion",
                          cof_kms_schedule_key_deletion(&call, arn, 6, &row)), COFFER_E_INVALID);
    assert_int_equal(CALL(f, "ScheduleKeyDeletion",
                          cof_kms_schedule_key_deletion(&call, arn, 31, &row)), COFFER_E_INVALID);
    assert_int_equal(CALL(f, "ScheduleKeyDeletion",
                          cof_kms_schedule_key_deletion(&call, arn, 0, &row)), 0);
    assert_int_equal(row.deletion_ns, clock_ns + 30 * DAY);
}

/* One key's damage stops neither other keys' times nor their calls. */
static void an_altered_key_does_not_hold_up_the_others(void **state)
{
    struct kms_fixture *f = *state;
    char damaged[3][COFFER_KEY_ARN_BYTES_MAX], sql[400];
    unsigned i;

    for (i = 0; i < 3; i++) {
        strcpy(damaged[i], make_key(f, NULL)->arn);
    }
    strcpy(arn, make_key(f, NULL)->arn);
    assert_int_equal(enable_rotation(f, 90), 0);
    snprintf(sql, sizeof(sql), "UPDATE key SET deletion_ns = 1 WHERE arn = '%s'", damaged[0]);
    fixture_sql(f, sql);
    for (i = 1; i < 3; i++) {
        assert_int_equal(CALL(f, "EnableKeyRotation",
                              cof_kms_enable_key_rotation(&call, damaged[i], 90)), 0);
        snprintf(sql, sizeof(sql), "UPDATE material SET state = 1 WHERE key_arn = '%s'",
                 damaged[i]);
        fixture_sql(f, sql);
    }
    clock_ns += 91 * DAY;
    assert_int_equal(rotations_of(f, arn).automatic, 1);
    assert_int_equal(CALL(f, "DescribeKey", cof_kms_describe_key(&call, damaged[0], &row)),
                     COFFER_E_TAMPER);
    assert_int_equal(describe(f, damaged[1])->next_rotation_ns, START_NS + 90 * DAY);
}

static void what_is_due_counts_where_nothing_is_written(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_key_blob blob;
    char copy[120];

    prepare_deletion(f, &blob, copy, sizeof(copy));
    fixture_close(f);
    f->opts.flags = COFFER_KEYSTORE_READ_ONLY;
    clock_ns += 7 * DAY;
    assert_int_equal(fixture_open(f), 0);
    gone(f, &blob);
}

static void a_tick_does_what_is_due_without_a_call(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_key_blob blob;
    char copy[120];

    prepare_deletion(f, &blob, copy, sizeof(copy));
    assert_int_equal(cof_kms_tick(f->store, &f->fault), 0);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM tombstone"), 0);
    clock_ns += 7 * DAY;
    assert_int_equal(cof_kms_tick(f->store, &f->fault), 0);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM tombstone"), 1);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM key"), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, call_setup, fixture_teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(data_under_each_of_a_thousand_materials_opens),
        CASE(rotation_keeps_its_period_and_waits_for_the_key),
        CASE(rotation_on_demand_has_a_limit),
        CASE(the_managed_key_rotates_every_year),
        CASE(a_deletion_destroys_all_and_an_old_copy_does_not_undo_it),
        CASE(without_its_ledger_an_old_copy_undoes_a_deletion),
        CASE(a_lost_ledger_is_written_anew_from_the_store),
        CASE(a_ledger_elsewhere_outlives_the_directory),
        CASE(a_trail_that_was_cut_off_shows_against_the_ledger),
        CASE(an_edited_ledger_is_found_out_and_a_cut_tail_is_not_believed),
        CASE(a_cancelled_deletion_does_not_happen),
        CASE(an_altered_key_does_not_hold_up_the_others),
        CASE(what_is_due_counts_where_nothing_is_written),
        CASE(a_tick_does_what_is_due_without_a_call)};

    return cmocka_run_group_tests_name("kms clock", tests, NULL, NULL);
}
