/* SPDX-License-Identifier: Apache-2.0 */
/* Multi-Region keys: one id and its materials in several regions. */
#include "kms_call_fixture.h"

static char arn[COFFER_KEY_ARN_BYTES_MAX], there[COFFER_KEY_ARN_BYTES_MAX];
static struct cof_kms_key_row row;

static int replicate(struct kms_fixture *f, const char *key, const char *region)
{
    static const struct cof_kms_tag tag = {"a", "b"};
    const struct cof_kms_replicate params = {
        .key = key, .region = region, .description = "there", .tags = &tag, .tag_count = 1};

    return CALL(f, "ReplicateKey", cof_kms_replicate_key(&call, &params, &row));
}

static int setup(void **state)
{
    static const struct cof_kms_create_key params = {.multi_region = true};

    assert_int_equal(call_setup(state), 0);
    {
        struct kms_fixture *f = *state;

        assert_int_equal(CALL(f, "CreateKey", cof_kms_create_key(&call, &params, &row)), 0);
        strcpy(arn, row.arn);
    }
    return 0;
}

static void a_replica_opens_what_its_primary_sealed_and_the_other_way(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_key_blob here, over;

    assert_int_equal(encrypt(f, arn, NULL, &here), 0);
    assert_int_equal(CALL(f, "RotateKeyOnDemand", cof_kms_rotate_key_on_demand(&call, arn, &row)),
                     0);
    assert_int_equal(replicate(f, arn, "local-2"), 0);
    strcpy(there, row.arn);
    assert_non_null(strstr(there, ":local-2:"));
    assert_string_equal(row.description, "there");
    assert_int_equal(replicate(f, arn, "local-2"), COFFER_E_EXISTS);
    caller.region = "local-2";
    assert_int_equal(decrypt(f, NULL, NULL, &here), 0);
    assert_int_equal(decrypt(f, strrchr(arn, '/') + 1, NULL, &here), 0);
    assert_int_equal(decrypt(f, arn, NULL, &here), COFFER_E_KEY_NOT_FOUND);
    assert_int_equal(encrypt(f, there, NULL, &over), 0);
    caller.region = NULL;
    assert_int_equal(decrypt(f, NULL, NULL, &over), 0);
    assert_int_equal(fixture_number(f, "SELECT count(DISTINCT sealed) FROM material"), 4);
}

static void new_material_goes_to_each_replica(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_key_blob blob;

    assert_int_equal(replicate(f, arn, "local-2"), 0);
    strcpy(there, row.arn);
    assert_int_equal(replicate(f, arn, "local-3"), 0);
    assert_int_equal(CALL(f, "EnableKeyRotation", cof_kms_enable_key_rotation(&call, arn, 90)), 0);
    clock_ns += 91 * DAY;
    assert_int_equal(encrypt(f, arn, NULL, &blob), 0);
    assert_int_equal(fixture_number(f, "SELECT count(DISTINCT material_id) FROM key"), 1);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM material WHERE state = 0"), 3);
    caller.region = "local-2";
    assert_int_equal(decrypt(f, there, NULL, &blob), 0);
    assert_int_equal(CALL(f, "RotateKeyOnDemand", cof_kms_rotate_key_on_demand(&call, there, &row)),
                     COFFER_E_UNSUPPORTED);
    assert_int_equal(CALL(f, "GetKeyRotationStatus",
                          cof_kms_get_key_rotation_status(&call, there, &row)), 0);
    assert_int_equal(row.rotation_period_days, 90);
}

static void the_primary_moves_with_its_schedule(void **state)
{
    struct kms_fixture *f = *state;

    assert_int_equal(CALL(f, "UpdatePrimaryRegion",
                          cof_kms_update_primary_region(&call, arn, "local-2")),
                     COFFER_E_KEY_NOT_FOUND);
    assert_int_equal(replicate(f, arn, "local-2"), 0);
    strcpy(there, row.arn);
    assert_int_equal(CALL(f, "EnableKeyRotation", cof_kms_enable_key_rotation(&call, arn, 90)), 0);
    assert_int_equal(CALL(f, "UpdatePrimaryRegion",
                          cof_kms_update_primary_region(&call, arn, "local-2")), 0);
    assert_int_equal(replicate(f, arn, "local-3"), COFFER_E_UNSUPPORTED);
    assert_int_equal(describe(f, arn)->next_rotation_ns, 0);
    caller.region = "local-2";
    assert_string_equal(describe(f, there)->primary_region, "local-2");
    assert_int_equal(describe(f, there)->rotation_period_days, 90);
    assert_int_equal(replicate(f, there, "local-3"), 0);
    assert_int_equal(CALL(f, "UpdatePrimaryRegion",
                          cof_kms_update_primary_region(&call, there, "local-2")),
                     COFFER_E_INVALID);
}

static void a_primary_waits_for_its_replicas_to_be_gone(void **state)
{
    struct kms_fixture *f = *state;

    assert_int_equal(replicate(f, arn, "local-2"), 0);
    strcpy(there, row.arn);
    assert_int_equal(CALL(f, "ScheduleKeyDeletion",
                          cof_kms_schedule_key_deletion(&call, arn, 7, &row)), 0);
    assert_int_equal(row.state, COFFER_KEY_PENDING_REPLICA_DELETION);
    assert_int_equal(row.deletion_ns, 0);
    clock_ns += 100 * DAY;
    assert_int_equal(describe(f, arn)->state, COFFER_KEY_PENDING_REPLICA_DELETION);
    caller.region = "local-2";
    assert_int_equal(CALL(f, "ScheduleKeyDeletion",
                          cof_kms_schedule_key_deletion(&call, there, 8, &row)), 0);
    caller.region = NULL;
    clock_ns += 8 * DAY;
    assert_int_equal(describe(f, arn)->state, COFFER_KEY_PENDING_DELETION);
    clock_ns += 7 * DAY;
    assert_int_equal(CALL(f, "DescribeKey", cof_kms_describe_key(&call, arn, &row)),
                     COFFER_E_KEY_NOT_FOUND);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM tombstone"), 2);
}

static void what_is_of_one_region_stays(void **state)
{
    struct kms_fixture *f = *state;

    assert_int_equal(replicate(f, make_key(f, NULL)->arn, "local-2"), COFFER_E_UNSUPPORTED);
    assert_int_equal(replicate(f, arn, "local-1"), COFFER_E_INVALID);
    assert_int_equal(replicate(f, arn, "Nowhere"), COFFER_E_INVALID);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(a_replica_opens_what_its_primary_sealed_and_the_other_way),
        CASE(new_material_goes_to_each_replica),
        CASE(the_primary_moves_with_its_schedule),
        CASE(a_primary_waits_for_its_replicas_to_be_gone),
        CASE(what_is_of_one_region_stays)};

    return cmocka_run_group_tests_name("kms replicas", tests, NULL, NULL);
}
