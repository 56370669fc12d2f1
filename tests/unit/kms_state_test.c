/* SPDX-License-Identifier: Apache-2.0 */
/* Each operation in each state of a key: what goes through, and what is refused by which name. */
#include "kms_call_fixture.h"

/* What the rows need; made anew for each cell. */
static char arn[COFFER_KEY_ARN_BYTES_MAX], other[COFFER_KEY_ARN_BYTES_MAX];
static char grant_id[COFFER_GRANT_ID_BYTES], token[COF_KMS_GRANT_TOKEN_BYTES_MAX];
static struct coffer_key_blob blob, other_blob, made;
static struct cof_kms_used used, source;
static struct cof_kms_key_row row;
static const char *const operations[] = {"Decrypt", "RetireGrant"};
static struct cof_kms_page page;
static char policy_text[COF_KMS_POLICY_BYTES_MAX + 1];

static int see_grant(void *ctx, const struct cof_kms_grant_row *found)
{
    (void)ctx;
    (void)found;
    return 0;
}

static int see_tag(void *ctx, const struct cof_kms_tag_row *found)
{
    (void)ctx;
    (void)found;
    return 0;
}

static int see_alias(void *ctx, const struct cof_kms_alias_row *found)
{
    (void)ctx;
    (void)found;
    return 0;
}

static int see_material(void *ctx, const struct cof_kms_material_row *found)
{
    (void)ctx;
    (void)found;
    return 0;
}

static int do_encrypt(struct kms_fixture *f)
{
    return encrypt(f, arn, NULL, &made);
}

static int do_decrypt(struct kms_fixture *f)
{
    return decrypt(f, NULL, NULL, &blob);
}

static int re_encrypt(struct kms_fixture *f, const struct coffer_key_blob *from, const char *to)
{
    const struct cof_kms_re_encrypt params = {
        {NULL, NULL, {from->bytes, from->length_bytes}, NULL}, to, NULL, NULL};

    return CALL(f, "ReEncrypt", cof_kms_re_encrypt(&call, &params, &made, &source, &used));
}

static int do_re_encrypt_from(struct kms_fixture *f)
{
    return re_encrypt(f, &blob, other);
}

static int do_re_encrypt_to(struct kms_fixture *f)
{
    return re_encrypt(f, &other_blob, arn);
}

static int do_generate(struct kms_fixture *f)
{
    return CALL(f, "GenerateDataKey",
                cof_kms_generate_data_key(&call, arn, 32, NULL, &made, &used));
}

static int create_grant(struct kms_fixture *f, const char *key)
{
    const struct cof_kms_create_grant params = {
        .key = key, .grantee = "arn:coffer:iam::000000000000:user/u", .operations = operations,
        .operation_count = 2};

    return CALL(f, "CreateGrant", cof_kms_create_grant(&call, &params, grant_id, token));
}

static int do_create_grant(struct kms_fixture *f)
{
    return create_grant(f, arn);
}

static int do_describe(struct kms_fixture *f)
{
    return CALL(f, "DescribeKey", cof_kms_describe_key(&call, arn, &row));
}

static int do_get_policy(struct kms_fixture *f)
{
    return CALL(f, "GetKeyPolicy", cof_kms_get_key_policy(&call, arn, "default", policy_text));
}

static int do_put_policy(struct kms_fixture *f)
{
    return CALL(f, "PutKeyPolicy",
                cof_kms_put_key_policy(&call, arn, "default",
                                       "{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":"
                                       "\"Allow\",\"Principal\":{\"AWS\":\"000000000000\"},"
                                       "\"Action\":\"kms:*\",\"Resource\":\"*\"}}", false));
}

static int do_list_policies(struct kms_fixture *f)
{
    return CALL(f, "ListKeyPolicies", cof_kms_list_key_policies(&call, arn));
}

static int do_delete_alias(struct kms_fixture *f)
{
    return CALL(f, "DeleteAlias", cof_kms_delete_alias(&call, "alias/of"));
}

static int do_list_grants(struct kms_fixture *f)
{
    return CALL(f, "ListGrants",
                cof_kms_list_grants(&call, arn, NULL, NULL, &page, see_grant, NULL));
}

static int do_revoke(struct kms_fixture *f)
{
    return CALL(f, "RevokeGrant", cof_kms_revoke_grant(&call, arn, grant_id));
}

static int do_retire(struct kms_fixture *f)
{
    return CALL(f, "RetireGrant", cof_kms_retire_grant(&call, token, NULL, NULL));
}

static int do_list_tags(struct kms_fixture *f)
{
    return CALL(f, "ListResourceTags",
                cof_kms_list_resource_tags(&call, arn, &page, see_tag, NULL));
}

static int do_list_aliases(struct kms_fixture *f)
{
    return CALL(f, "ListAliases", cof_kms_list_aliases(&call, arn, &page, see_alias, NULL));
}

static int do_list_rotations(struct kms_fixture *f)
{
    return CALL(f, "ListKeyRotations",
                cof_kms_list_key_rotations(&call, arn, false, &page, see_material, NULL));
}

static int do_rotation_status(struct kms_fixture *f)
{
    return CALL(f, "GetKeyRotationStatus", cof_kms_get_key_rotation_status(&call, arn, &row));
}

static int do_enable(struct kms_fixture *f)
{
    return CALL(f, "EnableKey", cof_kms_enable_key(&call, arn));
}

static int do_disable(struct kms_fixture *f)
{
    return CALL(f, "DisableKey", cof_kms_disable_key(&call, arn));
}

static int do_enable_rotation(struct kms_fixture *f)
{
    return CALL(f, "EnableKeyRotation", cof_kms_enable_key_rotation(&call, arn, 0));
}

static int do_disable_rotation(struct kms_fixture *f)
{
    return CALL(f, "DisableKeyRotation", cof_kms_disable_key_rotation(&call, arn));
}

static int do_rotate(struct kms_fixture *f)
{
    return CALL(f, "RotateKeyOnDemand", cof_kms_rotate_key_on_demand(&call, arn, &row));
}

static int do_create_alias(struct kms_fixture *f)
{
    return CALL(f, "CreateAlias", cof_kms_create_alias(&call, "alias/new", arn));
}

static int do_update_alias(struct kms_fixture *f)
{
    return CALL(f, "UpdateAlias", cof_kms_update_alias(&call, "alias/other", arn));
}

static int do_tag(struct kms_fixture *f)
{
    static const struct cof_kms_tag tag = {"a", "b"};

    return CALL(f, "TagResource", cof_kms_tag_resource(&call, arn, &tag, 1));
}

static int do_untag(struct kms_fixture *f)
{
    static const char *const name = "a";

    return CALL(f, "UntagResource", cof_kms_untag_resource(&call, arn, &name, 1));
}

static int do_update_description(struct kms_fixture *f)
{
    return CALL(f, "UpdateKeyDescription", cof_kms_update_key_description(&call, arn, "new"));
}

static int do_schedule(struct kms_fixture *f)
{
    return CALL(f, "ScheduleKeyDeletion", cof_kms_schedule_key_deletion(&call, arn, 7, &row));
}

static int do_cancel(struct kms_fixture *f)
{
    return CALL(f, "CancelKeyDeletion", cof_kms_cancel_key_deletion(&call, arn, &row));
}

/*
 * A letter a state, in the order Enabled, Disabled, PendingDeletion, PendingImport, Unavailable.
 * o: goes through; d: KEY_DISABLED; s: KEY_STATE; u: UNSUPPORTED; -: not possible there.
 */
static const struct {
    const char *name;
    int (*run)(struct kms_fixture *f);
    const char *answers;
} rows[] = {
    {"Encrypt", do_encrypt, "odsss"},
    {"Decrypt", do_decrypt, "ods-s"},
    {"ReEncrypt from", do_re_encrypt_from, "ods-s"},
    {"ReEncrypt to", do_re_encrypt_to, "odsss"},
    {"GenerateDataKey", do_generate, "odsss"},
    {"CreateGrant", do_create_grant, "odsss"},
    {"DescribeKey", do_describe, "ooooo"},
    {"GetKeyPolicy", do_get_policy, "ooooo"},
    {"PutKeyPolicy", do_put_policy, "ooooo"},
    {"ListKeyPolicies", do_list_policies, "ooooo"},
    {"DeleteAlias", do_delete_alias, "ooooo"},
    {"ListGrants", do_list_grants, "ooooo"},
    {"RevokeGrant", do_revoke, "ooo-o"},
    {"RetireGrant", do_retire, "ooo-o"},
    {"ListResourceTags", do_list_tags, "ooooo"},
    {"ListAliases", do_list_aliases, "ooooo"},
    {"ListKeyRotations", do_list_rotations, "ooooo"},
    {"GetKeyRotationStatus", do_rotation_status, "ooooo"},
    {"EnableKey", do_enable, "oosso"},
    {"DisableKey", do_disable, "oosso"},
    {"EnableKeyRotation", do_enable_rotation, "odsuu"},
    {"DisableKeyRotation", do_disable_rotation, "odsuu"},
    {"RotateKeyOnDemand", do_rotate, "odssu"},
    {"CreateAlias", do_create_alias, "oosoo"},
    {"UpdateAlias", do_update_alias, "oosoo"},
    {"TagResource", do_tag, "oosoo"},
    {"UntagResource", do_untag, "oosoo"},
    {"UpdateKeyDescription", do_update_description, "oosoo"},
    {"ScheduleKeyDeletion", do_schedule, "oosoo"},
    {"CancelKeyDeletion", do_cancel, "ssoss"},
};

static const enum coffer_key_state states[] = {
    COFFER_KEY_ENABLED, COFFER_KEY_IS_DISABLED, COFFER_KEY_PENDING_DELETION,
    COFFER_KEY_PENDING_IMPORT, COFFER_KEY_UNAVAILABLE};

/* As a key store whose token went away leaves its keys. */
static void lose_token(struct kms_fixture *f)
{
    struct cof_kms_db *db = f->store->db;

    assert_int_equal(cof_kms_db_begin(db, true, &f->fault), 0);
    assert_int_equal(cof_kms_db_key_get(db, arn, &row, &f->fault), 0);
    row.state = COFFER_KEY_UNAVAILABLE;
    row.resume_state = COFFER_KEY_ENABLED;
    strcpy(row.key_store_id, "cks-1");
    assert_int_equal(cof_kms_db_key_set(db, &row, &f->fault), 0);
    assert_int_equal(cof_kms_db_commit(db, &f->fault), 0);
}

static void enter(struct kms_fixture *f, enum coffer_key_state state)
{
    bool import = state == COFFER_KEY_PENDING_IMPORT;

    strcpy(other, make_key(f, NULL)->arn);
    strcpy(arn, make_key(f, import ? "EXTERNAL" : NULL)->arn);
    assert_int_equal(encrypt(f, other, NULL, &other_blob), 0);
    assert_int_equal(CALL(f, "CreateAlias", cof_kms_create_alias(&call, "alias/of", arn)), 0);
    assert_int_equal(CALL(f, "CreateAlias", cof_kms_create_alias(&call, "alias/other", other)), 0);
    if (!import) {
        assert_int_equal(encrypt(f, arn, NULL, &blob), 0);
        assert_int_equal(create_grant(f, arn), 0);
    }
    if (state == COFFER_KEY_IS_DISABLED) {
        assert_int_equal(do_disable(f), 0);
    } else if (state == COFFER_KEY_PENDING_DELETION) {
        assert_int_equal(do_schedule(f), 0);
    } else if (state == COFFER_KEY_UNAVAILABLE) {
        lose_token(f);
    }
}

static int expected(char letter)
{
    switch (letter) {
    case 'o':
        return 0;
    case 'd':
        return COFFER_E_KEY_DISABLED;
    case 's':
        return COFFER_E_KEY_STATE;
    default:
        return COFFER_E_UNSUPPORTED;
    }
}

static void try_cell(size_t i, size_t j)
{
    void *state = NULL;
    struct kms_fixture *f;
    int error;

    assert_int_equal(call_setup(&state), 0);
    f = state;
    enter(f, states[j]);
    memset(&page, 0, sizeof(page));
    error = rows[i].run(f);
    if (error != expected(rows[i].answers[j])) {
        fail_msg("%s of a key in state %s: %s, not %s", rows[i].name,
                 coffer_keystore_state_name(states[j]), coffer_error_name(error),
                 coffer_error_name(expected(rows[i].answers[j])));
    }
    if (error != 0) {
        assert_int_equal(describe(f, arn)->state, states[j]);
    }
    fixture_teardown(&state);
}

static void each_state_refuses_what_it_should(void **state)
{
    size_t i, j;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (j = 0; j < sizeof(states) / sizeof(states[0]); j++) {
            if (rows[i].answers[j] != '-') {
                try_cell(i, j);
            }
        }
    }
}

static void a_dry_run_checks_all_and_changes_nothing(void **state)
{
    struct kms_fixture *f = *state;

    enter(f, COFFER_KEY_ENABLED);
    caller.dry_run = true;
    assert_int_equal(do_disable(f), COFFER_E_DRY_RUN);
    assert_int_equal(do_encrypt(f), COFFER_E_DRY_RUN);
    assert_int_equal(do_revoke(f), COFFER_E_DRY_RUN);
    assert_int_equal(do_schedule(f), COFFER_E_DRY_RUN);
    assert_int_equal(do_cancel(f), COFFER_E_KEY_STATE);
    caller.dry_run = false;
    assert_int_equal(describe(f, arn)->state, COFFER_KEY_ENABLED);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM key_grant"), 1);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM audit WHERE error = 'DRY_RUN'"), 4);
}

static void the_managed_key_is_kept_by_the_service(void **state)
{
    static int (*const refused[])(struct kms_fixture *f) = {
        do_disable, do_enable, do_schedule, do_put_policy, do_create_alias, do_tag,
        do_update_description};
    static int (*const unsupported[])(struct kms_fixture *f) = {do_enable_rotation,
                                                                do_disable_rotation, do_rotate};
    struct kms_fixture *f = *state;
    size_t i;

    strcpy(arn, describe(f, NULL)->arn);
    assert_true(describe(f, arn)->managed);
    for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        assert_int_equal(refused[i](f), COFFER_E_KEY_ACCESS);
    }
    for (i = 0; i < sizeof(unsupported) / sizeof(unsupported[0]); i++) {
        assert_int_equal(unsupported[i](f), COFFER_E_UNSUPPORTED);
    }
    assert_int_equal(do_encrypt(f), 0);
    assert_int_equal(do_get_policy(f), 0);
    assert_non_null(strstr(policy_text, "arn:coffer:iam::000000000000:root"));
}

static int is_used(void *ctx, const struct cof_kms_key_row *found, const char *event,
                   struct coffer_fault *fault)
{
    assert_string_equal(found->arn, arn);
    ++*(unsigned *)ctx;
    return cof_kms_fault(fault, COFFER_E_BUSY, "%s: volume v1 uses it", event);
}

static void a_key_in_use_is_not_disabled(void **state)
{
    struct kms_fixture *f = *state;
    unsigned asked = 0;
    const struct cof_kms_guard guard = {is_used, &asked};

    enter(f, COFFER_KEY_ENABLED);
    cof_kms_set_guard(f->store, &guard);
    assert_int_equal(do_disable(f), COFFER_E_BUSY);
    assert_int_equal(do_schedule(f), COFFER_E_BUSY);
    assert_int_equal(do_enable(f), 0);
    assert_int_equal(asked, 2);
    cof_kms_set_guard(f->store, NULL);
    assert_int_equal(do_disable(f), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, call_setup, fixture_teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_state_refuses_what_it_should),
        CASE(a_dry_run_checks_all_and_changes_nothing),
        CASE(the_managed_key_is_kept_by_the_service), CASE(a_key_in_use_is_not_disabled)};

    return cmocka_run_group_tests_name("kms states", tests, NULL, NULL);
}
