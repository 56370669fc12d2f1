/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of every table: put, got, listed, removed, and found out when they were edited. */
#include "kms/kms.h"
#include "kms/store_identity.h"
#include "kms_fixture.h"

static struct cof_kms_db *db;
static struct coffer_fault fault;
static char key_arn[COFFER_KEY_ARN_BYTES_MAX];
static const struct cof_kms_owner home = {"000000000000", "local-1"};
static unsigned seen;
static char last[COFFER_PRINCIPAL_BYTES_MAX];

static int setup(void **state)
{
    struct kms_fixture *f;

    assert_int_equal(fixture_setup(state), 0);
    f = *state;
    db = f->store->db;
    strcpy(key_arn, fixture_key(f)->arn);
    seen = 0;
    return 0;
}

static void begin(void)
{
    assert_int_equal(cof_kms_db_begin(db, true, &fault), 0);
}

static void commit(void)
{
    assert_int_equal(cof_kms_db_commit(db, &fault), 0);
}

#define SEE(thing, member)                                                                         \
    static int see_##thing(void *ctx, const struct cof_kms_##thing##_row *row)                     \
    {                                                                                              \
        (void)ctx;                                                                                 \
        seen++;                                                                                    \
        snprintf(last, sizeof(last), "%.256s", row->member);                                       \
        return 0;                                                                                  \
    }
SEE(tag, name)
SEE(key_store, id)
SEE(account, account)
SEE(principal, arn)
SEE(access_key, access_key_id)
SEE(identity_policy, name)
SEE(attachment, policy_name)
SEE(alias, name)
SEE(key, arn)

static int see_material(void *ctx, const struct cof_kms_material_row *row)
{
    (void)ctx;
    assert_int_equal(row->version, ++seen);
    return 0;
}

static int stop(void *ctx, const struct cof_kms_tag_row *row)
{
    (void)ctx;
    (void)row;
    return 77;
}

/* Nothing is given of a row that was edited. */
#define EDITED(f, sql, ask)                                                                        \
    do {                                                                                           \
        fixture_sql(f, sql);                                                                       \
        begin();                                                                                   \
        fault.error = 0;                                                                           \
        assert_int_equal(ask, COFFER_E_TAMPER);                                                    \
        assert_int_equal(fault.error, COFFER_E_TAMPER);                                            \
        commit();                                                                                  \
    } while (0)

static void a_key_keeps_what_refers_to_it_when_it_is_written_anew(void **state)
{
    struct kms_fixture *f = *state;
    struct cof_kms_key_row *row = malloc(sizeof(*row)), *again = malloc(sizeof(*again));
    struct cof_kms_alias_row alias = {.owner = home, .name = "alias/a", .created_ns = 1,
                                      .updated_ns = 2};

    begin();
    strcpy(alias.key_arn, key_arn);
    assert_int_equal(cof_kms_db_alias_add(db, &alias, &fault), 0);
    assert_int_equal(cof_kms_db_key_get(db, key_arn, row, &fault), 0);
    row->pending_window_days = 9;
    row->deletion_ns = 77;
    row->public_key_bytes = 3;
    memcpy(row->public_key, "\1\2\3", 3);
    strcpy(row->policy, "{}");
    strcpy(row->primary_region, "local-1");
    strcpy(row->key_store_id, "cks-1");
    strcpy(row->token_label, "label");
    row->resume_state = COFFER_KEY_UNAVAILABLE;
    row->state = COFFER_KEY_PENDING_REPLICA_DELETION;
    assert_int_equal(cof_kms_db_key_set(db, row, &fault), 0);
    commit();
    begin();
    assert_int_equal(cof_kms_db_key_get(db, key_arn, again, &fault), 0);
    assert_int_equal(again->pending_window_days, 9);
    assert_int_equal(again->deletion_ns, 77);
    assert_int_equal(again->public_key_bytes, 3);
    assert_memory_equal(again->public_key, "\1\2\3", 3);
    assert_string_equal(again->policy, "{}");
    assert_string_equal(again->key_store_id, "cks-1");
    assert_int_equal(again->state, COFFER_KEY_PENDING_REPLICA_DELETION);
    assert_int_equal(again->resume_state, COFFER_KEY_UNAVAILABLE);
    assert_true(again->has_material);
    assert_int_equal(cof_kms_db_key_each_in_store(db, "cks-1", see_key, NULL, &fault), 0);
    assert_int_equal(seen, 1);
    seen = 0;
    assert_int_equal(cof_kms_db_material_each(db, key_arn, 0, 0, see_material, NULL, &fault), 0);
    assert_int_equal(seen, 1);
    assert_int_equal(cof_kms_db_alias_get(db, &home, "alias/a", &alias, &fault), 0);
    assert_int_equal(cof_kms_db_key_due(db, 76, "", again, &fault), COFFER_E_NOT_FOUND);
    assert_int_equal(cof_kms_db_key_due(db, 77, "", again, &fault), 0);
    assert_string_equal(again->arn, key_arn);
    commit();
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
    begin();
    assert_int_equal(cof_kms_db_key_remove(db, key_arn, &fault), 0);
    assert_int_equal(cof_kms_db_key_get(db, key_arn, again, &fault), COFFER_E_KEY_NOT_FOUND);
    assert_int_equal(cof_kms_db_alias_get(db, &home, "alias/a", &alias, &fault),
                     COFFER_E_NOT_FOUND);
    commit();
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM material"), 0);
    free(row);
    free(again);
}

static void one_name_may_stand_in_two_regions(void **state)
{
    const struct cof_kms_owner other = {"000000000000", "local-2"};
    struct cof_kms_alias_row alias = {.owner = home, .name = "alias/a", .created_ns = 1};

    (void)state;
    begin();
    strcpy(alias.key_arn, key_arn);
    assert_int_equal(cof_kms_db_alias_add(db, &alias, &fault), 0);
    alias.owner = other;
    assert_int_equal(cof_kms_db_alias_add(db, &alias, &fault), 0);
    alias.updated_ns = 5;
    assert_int_equal(cof_kms_db_alias_set(db, &alias, &fault), 0);
    assert_int_equal(cof_kms_db_alias_each(db, &other, "", "", 0, see_alias, NULL, &fault), 0);
    assert_int_equal(seen, 1);
    assert_int_equal(cof_kms_db_alias_remove(db, &other, "alias/a", &fault), 0);
    assert_int_equal(cof_kms_db_alias_remove(db, &other, "alias/a", &fault), COFFER_E_NOT_FOUND);
    assert_int_equal(cof_kms_db_alias_get(db, &home, "alias/a", &alias, &fault), 0);
    assert_int_equal(alias.updated_ns, 0);
    commit();
}

static void tags_are_listed_in_order_and_removed(void **state)
{
    struct kms_fixture *f = *state;
    struct cof_kms_tag_row tag = {.name = "b", .value = "1"};
    uint64_t count = 0;

    strcpy(tag.key_arn, key_arn);
    begin();
    assert_int_equal(cof_kms_db_tag_set(db, &tag, &fault), 0);
    strcpy(tag.value, "2");
    assert_int_equal(cof_kms_db_tag_set(db, &tag, &fault), 0);
    strcpy(tag.name, "a");
    assert_int_equal(cof_kms_db_tag_set(db, &tag, &fault), 0);
    assert_int_equal(cof_kms_db_tag_count(db, key_arn, &count, &fault), 0);
    assert_int_equal(count, 2);
    assert_int_equal(cof_kms_db_tag_each(db, key_arn, "", 0, see_tag, NULL, &fault), 0);
    assert_string_equal(last, "b");
    assert_int_equal(cof_kms_db_tag_each(db, key_arn, "", 0, stop, NULL, &fault), 77);
    assert_int_equal(cof_kms_db_tag_each(db, key_arn, "a", 0, see_tag, NULL, &fault), 0);
    assert_int_equal(seen, 3);
    commit();
    EDITED(f, "UPDATE tag SET value = 'x' WHERE name = 'b'",
           cof_kms_db_tag_each(db, key_arn, "", 0, see_tag, NULL, &fault));
    begin();
    assert_int_equal(cof_kms_db_tag_remove(db, key_arn, "b", &fault), 0);
    assert_int_equal(cof_kms_db_tag_remove(db, key_arn, "b", &fault), 0);
    assert_int_equal(cof_kms_db_tag_each(db, key_arn, "", 0, see_tag, NULL, &fault), 0);
    assert_string_equal(last, "a");
    commit();
}

static void tombstones_stand_until_they_are_lifted(void **state)
{
    struct kms_fixture *f = *state;
    struct cof_kms_tombstone_row dead = {.arn = "arn:x", .key_id = "x", .deleted_ns = 9}, found;

    begin();
    assert_int_equal(cof_kms_db_tombstone_get(db, "arn:x", dead.material_id, &found, &fault),
                     COFFER_E_NOT_FOUND);
    assert_int_equal(cof_kms_db_tombstone_set(db, &dead, &fault), 0);
    assert_int_equal(cof_kms_db_tombstone_get(db, "arn:x", dead.material_id, &found, &fault), 0);
    assert_int_equal(found.deleted_ns, 9);
    commit();
    EDITED(f, "UPDATE tombstone SET deleted_ns = 10",
           cof_kms_db_tombstone_get(db, "arn:x", dead.material_id, &found, &fault));
    begin();
    assert_int_equal(cof_kms_db_tombstone_remove(db, "arn:x", dead.material_id, &fault), 0);
    assert_int_equal(cof_kms_db_tombstone_get(db, "arn:x", dead.material_id, &found, &fault),
                     COFFER_E_NOT_FOUND);
    commit();
}

static void custom_key_stores_are_found_by_name(void **state)
{
    struct kms_fixture *f = *state;
    static struct cof_kms_key_store_row row = {.id = "cks-1", .name = "one", .type = "PKCS11",
                                               .uri = "pkcs11:token=x", .state = "DISCONNECTED",
                                               .sealed_pin_bytes = 2, .sealed_pin = {7, 8}};
    static struct cof_kms_key_store_row found;

    row.owner = home;
    begin();
    assert_int_equal(cof_kms_db_key_store_set(db, &row, &fault), 0);
    strcpy(row.state, "CONNECTED");
    assert_int_equal(cof_kms_db_key_store_set(db, &row, &fault), 0);
    assert_int_equal(cof_kms_db_key_store_get(db, "cks-1", &found, &fault), 0);
    assert_string_equal(found.state, "CONNECTED");
    assert_int_equal(found.sealed_pin_bytes, 2);
    assert_int_equal(cof_kms_db_key_store_each(db, &home, "one", "", 0, see_key_store, NULL,
                                               &fault), 0);
    assert_int_equal(cof_kms_db_key_store_each(db, &home, "two", "", 0, see_key_store, NULL,
                                               &fault), 0);
    assert_int_equal(seen, 1);
    assert_int_equal(cof_kms_db_key_store_get(db, "cks-2", &found, &fault),
                     COFFER_E_KEY_STORE_NOT_FOUND);
    commit();
    EDITED(f, "UPDATE key_store SET uri = 'pkcs11:token=y'",
           cof_kms_db_key_store_get(db, "cks-1", &found, &fault));
    begin();
    assert_int_equal(cof_kms_db_key_store_remove(db, "cks-1", &fault), 0);
    assert_int_equal(cof_kms_db_key_store_remove(db, "cks-1", &fault),
                     COFFER_E_KEY_STORE_NOT_FOUND);
    commit();
}

static void principals_take_their_keys_and_attachments_along(void **state)
{
    struct kms_fixture *f = *state;
    static struct cof_kms_principal_row user = {.arn = "arn:coffer:iam::000000000000:user/u",
                                                .account = "000000000000", .kind = "user",
                                                .name = "u"};
    static struct cof_kms_access_key_row key = {.access_key_id = "AKIA1", .status = "Active",
                                                .sealed_secret_bytes = 1};
    static struct cof_kms_identity_policy_row policy = {.account = "000000000000", .name = "p",
                                                        .document = "{}"};
    static struct cof_kms_attachment_row at = {.account = "000000000000", .policy_name = "p"};
    struct cof_kms_account_row account = {"111111111111", 5};

    strcpy(key.principal_arn, user.arn);
    strcpy(at.principal_arn, user.arn);
    begin();
    assert_int_equal(cof_kms_db_account_add(db, &account, &fault), 0);
    assert_int_equal(cof_kms_db_account_each(db, "", 0, see_account, NULL, &fault), 0);
    assert_string_equal(last, "111111111111");
    assert_int_equal(cof_kms_db_account_remove(db, "111111111111", &fault), 0);
    assert_int_equal(cof_kms_db_account_get(db, "111111111111", &account, &fault),
                     COFFER_E_NOT_FOUND);
    assert_int_equal(cof_kms_db_principal_set(db, &user, &fault), 0);
    assert_int_equal(cof_kms_db_access_key_set(db, &key, &fault), 0);
    assert_int_equal(cof_kms_db_identity_policy_set(db, &policy, &fault), 0);
    assert_int_equal(cof_kms_db_attachment_set(db, &at, &fault), 0);
    strcpy(policy.document, "{\"a\":1}");
    assert_int_equal(cof_kms_db_identity_policy_set(db, &policy, &fault), 0);
    seen = 0;
    assert_int_equal(cof_kms_db_principal_each(db, "", "user", "", 0, see_principal, NULL, &fault),
                     0);
    assert_int_equal(cof_kms_db_principal_each(db, "", "role", "", 0, see_principal, NULL, &fault),
                     0);
    assert_int_equal(cof_kms_db_access_key_each(db, user.arn, "", 0, see_access_key, NULL, &fault),
                     0);
    assert_int_equal(cof_kms_db_identity_policy_each(db, "000000000000", "", 0,
                                                     see_identity_policy, NULL, &fault), 0);
    assert_int_equal(cof_kms_db_attachment_each(db, user.arn, "000000000000", "", see_attachment,
                                                NULL, &fault), 0);
    assert_int_equal(seen, 4);
    commit();
    EDITED(f, "UPDATE access_key SET status = 'Inactive'",
           cof_kms_db_access_key_get(db, "AKIA1", &key, &fault));
    EDITED(f, "UPDATE identity_policy SET document = '{}'",
           cof_kms_db_identity_policy_get(db, "000000000000", "p", &policy, &fault));
    EDITED(f, "UPDATE principal SET boundary = 'p'",
           cof_kms_db_principal_get(db, user.arn, &user, &fault));
    EDITED(f, "UPDATE attachment SET mac = x''",
           cof_kms_db_attachment_each(db, "", "000000000000", "p", see_attachment, NULL, &fault));
    begin();
    assert_int_equal(cof_kms_db_principal_remove(db, user.arn, &fault), 0);
    assert_int_equal(cof_kms_db_principal_remove(db, user.arn, &fault), COFFER_E_NOT_FOUND);
    assert_int_equal(cof_kms_db_access_key_get(db, "AKIA1", &key, &fault), COFFER_E_NOT_FOUND);
    assert_int_equal(cof_kms_db_attachment_remove(db, &at, &fault), COFFER_E_NOT_FOUND);
    assert_int_equal(cof_kms_db_identity_policy_remove(db, "000000000000", "p", &fault), 0);
    commit();
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(a_key_keeps_what_refers_to_it_when_it_is_written_anew),
        CASE(one_name_may_stand_in_two_regions),
        CASE(tags_are_listed_in_order_and_removed),
        CASE(tombstones_stand_until_they_are_lifted),
        CASE(custom_key_stores_are_found_by_name),
        CASE(principals_take_their_keys_and_attachments_along)};

    return cmocka_run_group_tests_name("kms rows", tests, NULL, NULL);
}
