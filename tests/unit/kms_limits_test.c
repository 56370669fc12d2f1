/* SPDX-License-Identifier: Apache-2.0 */
/* Aliases, tags and listings: their limits, their errors, their pages. */
#include "kms_call_fixture.h"

static char arn[COFFER_KEY_ARN_BYTES_MAX], other[COFFER_KEY_ARN_BYTES_MAX];
static struct cof_kms_key_row row;

struct seen {
    unsigned count;
    char last[520];
};

static int see_tag(void *ctx, const struct cof_kms_tag_row *found)
{
    struct seen *seen = ctx;

    assert_true(strcmp(found->name, seen->last) > 0);
    strcpy(seen->last, found->name);
    seen->count++;
    return 0;
}

static int see_grant(void *ctx, const struct cof_kms_grant_row *found)
{
    struct seen *seen = ctx;

    assert_true(strcmp(found->grant_id, seen->last) > 0);
    strcpy(seen->last, found->grant_id);
    seen->count++;
    return 0;
}

static int see_material(void *ctx, const struct cof_kms_material_row *found)
{
    struct seen *seen = ctx;

    assert_int_equal(found->version, ++seen->count + 1);
    return 0;
}

static int setup(void **state)
{
    assert_int_equal(call_setup(state), 0);
    strcpy(arn, make_key(*state, NULL)->arn);
    strcpy(other, make_key(*state, NULL)->arn);
    return 0;
}

static int tag(struct kms_fixture *f, const char *name, const char *value)
{
    const struct cof_kms_tag one = {name, value};

    return CALL(f, "TagResource", cof_kms_tag_resource(&call, arn, &one, 1));
}

static void tags_have_rules(void **state)
{
    static const struct cof_kms_tag twice[] = {{"x", "1"}, {"x", "2"}};
    struct kms_fixture *f = *state;
    char name[140], value[520];
    unsigned i;

    memset(name, 'n', sizeof(name));
    memset(value, 0xc3, sizeof(value));
    assert_int_equal(tag(f, "aws:x", ""), COFFER_E_TAG);
    assert_int_equal(tag(f, "AWS:x", ""), COFFER_E_TAG);
    assert_int_equal(tag(f, "", "v"), COFFER_E_TAG);
    assert_int_equal(tag(f, "\xff", "v"), COFFER_E_TAG);
    name[129] = '\0';
    assert_int_equal(tag(f, name, ""), COFFER_E_TAG);
    name[128] = '\0';
    assert_int_equal(tag(f, name, ""), 0);
    /* 256 characters of two bytes each. */
    for (i = 1; i < 512; i += 2) {
        value[i] = (char)0xa9;
    }
    value[512] = '\0';
    assert_int_equal(tag(f, "long", value), 0);
    strcpy(value + 512, "x");
    assert_int_equal(tag(f, "longer", value), COFFER_E_TAG);
    assert_int_equal(CALL(f, "TagResource", cof_kms_tag_resource(&call, arn, twice, 2)),
                     COFFER_E_TAG);
    for (i = 2; i < 50; i++) {
        snprintf(name, sizeof(name), "tag%02u", i);
        assert_int_equal(tag(f, name, "v"), 0);
    }
    assert_int_equal(tag(f, "one more", "v"), COFFER_E_LIMIT);
    assert_int_equal(tag(f, "tag02", "another value"), 0);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM tag"), 50);
}

static void tags_come_in_pages_and_go(void **state)
{
    static const char *const gone[] = {"t0", "t1", "none"};
    struct kms_fixture *f = *state;
    struct cof_kms_page page = {2, NULL, ""};
    struct seen seen = {0, ""};
    char name[8], marker[COFFER_MARKER_BYTES_MAX];
    unsigned i;

    for (i = 0; i < 5; i++) {
        snprintf(name, sizeof(name), "t%u", i);
        assert_int_equal(tag(f, name, "v"), 0);
    }
    for (i = 0; i < 3; i++) {
        assert_int_equal(CALL(f, "ListResourceTags",
                              cof_kms_list_resource_tags(&call, arn, &page, see_tag, &seen)), 0);
        strcpy(marker, page.next);
        page.marker = marker;
        assert_int_equal(seen.count, i < 2 ? 2 * i + 2 : 5);
        assert_int_equal(marker[0] == '\0', i == 2);
        if (i == 0) {
            /* Good for this key's tags alone. */
            assert_int_equal(CALL(f, "ListResourceTags",
                                  cof_kms_list_resource_tags(&call, other, &page, see_tag, &seen)),
                             COFFER_E_MARKER);
        }
    }
    assert_int_equal(CALL(f, "UntagResource", cof_kms_untag_resource(&call, arn, gone, 3)), 0);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM tag"), 3);
}

static void an_alias_turns_to_a_key_of_the_same_kind(void **state)
{
    static const struct cof_kms_create_key mac = {.key_spec = "HMAC_256",
                                                  .key_usage = "GENERATE_VERIFY_MAC"};
    struct kms_fixture *f = *state;
    char mac_arn[COFFER_KEY_ARN_BYTES_MAX];

    assert_int_equal(CALL(f, "UpdateAlias", cof_kms_update_alias(&call, "alias/a", arn)),
                     COFFER_E_KEY_NOT_FOUND);
    assert_int_equal(CALL(f, "DeleteAlias", cof_kms_delete_alias(&call, "alias/a")),
                     COFFER_E_KEY_NOT_FOUND);
    assert_int_equal(CALL(f, "CreateAlias", cof_kms_create_alias(&call, "alias/a", arn)), 0);
    assert_int_equal(CALL(f, "CreateAlias", cof_kms_create_alias(&call, "alias/a", other)),
                     COFFER_E_EXISTS);
    assert_string_equal(describe(f, "alias/a")->arn, arn);
    clock_ns += DAY;
    assert_int_equal(CALL(f, "UpdateAlias", cof_kms_update_alias(&call, "alias/a", other)), 0);
    assert_string_equal(describe(f, "alias/a")->arn, other);
    assert_int_equal(fixture_number(f, "SELECT updated_ns - created_ns FROM alias"),
                     (int64_t)DAY);
    assert_int_equal(CALL(f, "CreateKey", cof_kms_create_key(&call, &mac, &row)), 0);
    strcpy(mac_arn, row.arn);
    assert_int_equal(CALL(f, "UpdateAlias", cof_kms_update_alias(&call, "alias/a", mac_arn)),
                     COFFER_E_INVALID);
    assert_int_equal(CALL(f, "UpdateAlias", cof_kms_update_alias(&call, "alias/coffer/x", arn)),
                     COFFER_E_KEY_ACCESS);
    assert_int_equal(CALL(f, "DeleteAlias", cof_kms_delete_alias(&call, "alias/coffer/default")),
                     COFFER_E_KEY_ACCESS);
    assert_int_equal(CALL(f, "DeleteAlias", cof_kms_delete_alias(&call, "alias/a")), 0);
    assert_int_equal(CALL(f, "DescribeKey", cof_kms_describe_key(&call, "alias/a", &row)),
                     COFFER_E_KEY_NOT_FOUND);
}

static void rotations_and_grants_come_in_pages(void **state)
{
    static const char *const operations[] = {"Decrypt"};
    const struct cof_kms_create_grant grant = {
        .key = arn, .grantee = "arn:coffer:iam::000000000000:user/u", .operations = operations,
        .retiring_principal = "arn:coffer:iam::000000000000:user/r", .operation_count = 1};
    struct kms_fixture *f = *state;
    struct cof_kms_page page = {2, NULL, ""};
    char id[COFFER_GRANT_ID_BYTES], token[COF_KMS_GRANT_TOKEN_BYTES_MAX];
    char marker[COFFER_MARKER_BYTES_MAX];
    struct seen seen = {0, ""};
    unsigned i;

    for (i = 0; i < 3; i++) {
        assert_int_equal(CALL(f, "RotateKeyOnDemand",
                              cof_kms_rotate_key_on_demand(&call, arn, &row)), 0);
        assert_int_equal(CALL(f, "CreateGrant", cof_kms_create_grant(&call, &grant, id, token)),
                         0);
    }
    for (i = 0; i < 2; i++) {
        assert_int_equal(CALL(f, "ListKeyRotations",
                              cof_kms_list_key_rotations(&call, arn, false, &page, see_material,
                                                         &seen)), 0);
        strcpy(marker, page.next);
        page.marker = marker;
    }
    assert_int_equal(seen.count, 3);
    assert_string_equal(marker, "");
    memset(&seen, 0, sizeof(seen));
    for (i = 0; i < 2; i++) {
        assert_int_equal(CALL(f, "ListRetirableGrants",
                              cof_kms_list_retirable_grants(&call, grant.retiring_principal, &page,
                                                            see_grant, &seen)), 0);
        strcpy(marker, page.next);
    }
    assert_int_equal(seen.count, 3);
    assert_string_equal(marker, "");
    memset(&seen, 0, sizeof(seen));
    assert_int_equal(CALL(f, "ListGrants",
                          cof_kms_list_grants(&call, arn, id, NULL, &page, see_grant, &seen)), 0);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.last, id);
    assert_int_equal(CALL(f, "ListGrants",
                          cof_kms_list_grants(&call, arn, NULL, "x", &page, see_grant, &seen)), 0);
    assert_int_equal(seen.count, 1);
}

static void a_key_is_made_of_what_there_is(void **state)
{
    static const struct {
        struct cof_kms_create_key params;
        int error;
    } rows[] = {
        {{.key_spec = "AES_512"}, COFFER_E_INVALID},
        {{.key_usage = "BREAKFAST"}, COFFER_E_INVALID},
        {{.key_usage = "SIGN_VERIFY"}, COFFER_E_INVALID},
        {{.key_spec = "HMAC_256"}, COFFER_E_INVALID},
        {{.origin = "AWS_CLOUDHSM"}, COFFER_E_UNSUPPORTED},
        {{.rotation_period_days = 89}, COFFER_E_INVALID},
        {{.rotation_period_days = 90, .origin = "EXTERNAL"}, COFFER_E_UNSUPPORTED},
        {{.policy = "{"}, COFFER_E_POLICY},
        {{.multi_region = true, .rotation_period_days = 90}, 0},
    };
    struct kms_fixture *f = *state;
    size_t i;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(CALL(f, "CreateKey", cof_kms_create_key(&call, &rows[i].params, &row)),
                         rows[i].error);
    }
    assert_int_equal(strlen(row.key_id), 36);
    assert_memory_equal(row.key_id, "mrk-", 4);
    assert_string_equal(row.primary_region, "local-1");
    assert_string_equal(describe(f, row.key_id)->arn, row.arn);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM key"), 3);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(tags_have_rules), CASE(tags_come_in_pages_and_go),
        CASE(an_alias_turns_to_a_key_of_the_same_kind), CASE(rotations_and_grants_come_in_pages),
        CASE(a_key_is_made_of_what_there_is)};

    return cmocka_run_group_tests_name("kms limits", tests, NULL, NULL);
}
