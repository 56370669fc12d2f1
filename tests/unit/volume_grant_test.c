/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two principals: who makes a volume, by rights of its own, and the engine, which has no right but
 * the grants that it is given. What becomes of the first one's rights is nothing to the volume;
 * without the grant it stops, and another grant brings it back. Each copy has a grant of its own,
 * and none is left when all is deleted. A crash leaves one that says whose it was.
 */
#include "unit/lease_fixture.h"

#include <coffer/snapshot.h>

#define K0 "arn:coffer:kms:test:000000000000:key/0"
#define K1 "arn:coffer:kms:test:000000000000:key/1"
#define K2 "arn:coffer:kms:test:000000000000:key/2"
#define ENGINE "arn:coffer:iam::000000000000:user/host-7"

/* The key service as somebody sees it. */
struct principal {
    struct coffer_key_provider api;
    struct fake_kms *kms;
    bool by_grant; /* else by rights, which may be taken away */
    bool revoked;
    bool nameless;        /* it does not say who it is */
    struct sim_disk *cut; /* power fails once a grant is made */
};

static struct lease_fixture a, b;
static struct principal alice, engine;

static unsigned key_of(const char *arn)
{
    return (unsigned)(arn[strlen(arn) - 1u] - '0');
}

static int may(const struct principal *who, const char *arn, const struct coffer_context *context)
{
    const char *volume = NULL;
    if (!who->by_grant) {
        return who->revoked ? COFFER_E_KEY_ACCESS : 0;
    }
    for (unsigned i = 0; context != NULL && i < context->pair_count; i++) {
        if (strcmp(context->pairs[i].key, "coffer:volume") == 0) {
            volume = context->pairs[i].value;
        }
    }
    for (unsigned i = 0; i < who->kms->grant_count; i++) {
        const struct fake_grant *grant = &who->kms->grants[i];
        if (grant->live && grant->key == key_of(arn) &&
            (context == NULL || (volume != NULL && strcmp(grant->volume, volume) == 0))) {
            return 0;
        }
    }
    return COFFER_E_KEY_ACCESS;
}

static int as_describe(void *ctx, const char *key, struct coffer_key_info *ret_info)
{
    struct principal *who = ctx;
    int err = may(who, key != NULL ? key : K0, NULL);
    return err != 0 ? err : who->kms->api.ops->describe(who->kms, key, ret_info);
}

static int as_generate(void *ctx, const char *arn, const struct coffer_context *context,
                       struct coffer_key_blob *ret_blob)
{
    struct principal *who = ctx;
    int err = may(who, arn, context);
    return err != 0 ? err
                    : who->kms->api.ops->generate_data_key_without_plaintext(who->kms, arn, context,
                                                                             ret_blob);
}

static int as_decrypt(void *ctx, const char *arn, const struct coffer_key_blob *blob,
                      const struct coffer_context *context, uint8_t bytes[COFFER_KEY_BYTES])
{
    struct principal *who = ctx;
    int err = may(who, arn, context);
    return err != 0 ? err : who->kms->api.ops->decrypt(who->kms, arn, blob, context, bytes);
}

static int as_re_encrypt(void *ctx, const struct coffer_key_blob *blob,
                         const struct coffer_context *from, const char *arn,
                         const struct coffer_context *to, struct coffer_key_blob *ret_blob)
{
    struct principal *who = ctx;
    char source[COFFER_KEY_ARN_BYTES_MAX];
    int err;
    fake_kms_arn(blob->bytes[0], source);
    err = may(who, source, from);
    if (err == 0) {
        err = may(who, arn, to);
    }
    return err != 0 ? err : who->kms->api.ops->re_encrypt(who->kms, blob, from, arn, to, ret_blob);
}

static int as_create_grant(void *ctx, const char *arn, const char *grantee, const char *name,
                           const char *const *operations, unsigned count,
                           const struct coffer_context *context, char ret_id[65])
{
    struct principal *who = ctx;
    int err = who->by_grant ? COFFER_E_KEY_ACCESS : may(who, arn, NULL);
    if (err == 0) {
        err = who->kms->api.ops->create_grant(who->kms, arn, grantee, name, operations, count,
                                              context, ret_id);
    }
    if (err == 0 && who->cut != NULL) {
        sim_disk_power_off(who->cut);
        who->cut = NULL;
    }
    return err;
}

static int as_retire_grant(void *ctx, const char *arn, const char *id)
{
    struct principal *who = ctx;
    return who->by_grant ? who->kms->api.ops->retire_grant(who->kms, arn, id) : COFFER_E_KEY_ACCESS;
}

static int as_principal(void *ctx, char ret_arn[COFFER_PRINCIPAL_BYTES_MAX])
{
    const struct principal *who = ctx;
    snprintf(ret_arn, COFFER_PRINCIPAL_BYTES_MAX, "%s", ENGINE);
    return who->nameless ? COFFER_E_UNSUPPORTED : 0;
}

static const struct coffer_key_provider_ops ops = {sizeof ops,      as_describe,   as_generate,
                                                   as_decrypt,      as_re_encrypt, as_create_grant,
                                                   as_retire_grant, as_principal};

static void principal_init(struct principal *who, bool by_grant)
{
    memset(who, 0, sizeof *who);
    who->api.ops = &ops;
    who->api.ctx = who;
    who->kms = &a.f.kms;
    who->by_grant = by_grant;
}

static unsigned grants(void)
{
    return fake_kms_grants(&a.f.kms, FAKE_KMS_KEYS);
}

static struct fake_grant *newest(void)
{
    return &a.f.kms.grants[a.f.kms.grant_count - 1u];
}

static int make(struct lease_fixture *l, const char *name)
{
    struct coffer_volume_create_opts opts = {.size = sizeof opts,
                                             .name = name,
                                             .size_bytes = VOLUME_PAGES * PAGE,
                                             .kms_key_id = K1,
                                             .provider = &engine.api,
                                             .caller = &alice.api};
    return coffer_volume_create(l->f.store, &opts, &l->f.fault);
}

static struct coffer_volume_open_opts opts_of(const char *name)
{
    struct coffer_volume_open_opts opts = {.size = sizeof opts,
                                           .name = name,
                                           .provider = &engine.api,
                                           .lease_ns = LEASE_NS,
                                           .caller = &alice.api};
    opts.flags = strchr(name, '@') != NULL ? (unsigned)COFFER_VOLUME_READ_ONLY : 0u;
    return opts;
}

static struct coffer_volume *open_it(struct lease_fixture *l, const char *name)
{
    struct coffer_volume_open_opts opts = opts_of(name);
    struct coffer_volume *volume = NULL;
    int err = coffer_volume_open(l->f.store, &opts, &volume, &l->f.fault);
    if (err != 0) {
        fail_msg("open of %s: %s: %s", name, coffer_error_name(err), l->f.fault.detail);
    }
    return volume;
}

static void take(struct coffer_volume *volume, const char *name)
{
    struct coffer_snapshot_opts opts = {.size = sizeof opts, .name = name, .provider = &engine.api};
    assert_int_equal(coffer_snapshot_create(volume, &opts, NULL, &a.f.fault), 0);
}

static int restore(const char *snapshot, const char *name, const char *key)
{
    struct coffer_snapshot_restore_opts opts = {
        .size = sizeof opts,
        .snapshot = {.volume = "v", .name = snapshot, .provider = &engine.api},
        .new_name = name,
        .kms_key_id = key,
        .caller = &alice.api};
    return coffer_snapshot_restore(a.f.store, &opts, &a.f.fault);
}

static int copy_to(struct lease_fixture *to, const char *name, const char *key, unsigned flags)
{
    struct coffer_copy_opts opts = {.size = sizeof opts,
                                    .flags = flags,
                                    .source = {.volume = "v", .name = "s", .provider = &alice.api},
                                    .name = name,
                                    .kms_key_id = key,
                                    .provider = &engine.api,
                                    .caller = &alice.api};
    return coffer_snapshot_copy(a.f.store, to->f.store, &opts, &a.f.fault);
}

static int rekey(const char *key, enum coffer_rekey_depth depth)
{
    struct coffer_rekey_opts opts = {.size = sizeof opts,
                                     .volume = "v",
                                     .kms_key_id = key,
                                     .depth = depth,
                                     .provider = &engine.api,
                                     .caller = &alice.api};
    return coffer_volume_rekey(a.f.store, &opts, &a.f.fault);
}

static int start(void)
{
    struct coffer_volume_open_opts opts = opts_of("v");
    return coffer_volume_start(a.f.store, &opts, &a.f.fault);
}

static void delete_volume(const char *name)
{
    struct coffer_volume_open_opts opts = opts_of(name);
    int err = coffer_volume_delete(a.f.store, &opts, &a.f.fault);
    if (err != 0) {
        fail_msg("delete of %s: %s: %s", name, coffer_error_name(err), a.f.fault.detail);
    }
}

static void delete_snapshot(struct lease_fixture *l, const char *name)
{
    struct coffer_snapshot_opts opts = {
        .size = sizeof opts, .volume = "v", .name = name, .provider = &engine.api};
    assert_int_equal(coffer_snapshot_delete(l->f.store, &opts, &l->f.fault), 0);
}

/* "v" of a page, with a snapshot "s", in a; b is another store of the same key service. */
static int setup(void **state)
{
    struct coffer_volume *volume;
    (void)state;
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    fixture_env_seed = 99;
    fixture_make(&a.f, 31);
    fixture_env_seed = 98;
    fixture_make(&b.f, 32);
    principal_init(&alice, false);
    principal_init(&engine, true);
    assert_int_equal(make(&a, "v"), 0);
    volume = open_it(&a, "v");
    write_page(volume, 1, 1);
    take(volume, "s");
    assert_int_equal(coffer_volume_close(volume), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fixture_done(&a.f);
    fixture_done(&b.f);
    return 0;
}

/* ---- the maker's rights ---- */

static void the_volume_outlives_its_makers_rights(void **state)
{
    struct coffer_volume *volume;
    (void)state;
    assert_string_equal(newest()->grantee, ENGINE);
    alice.revoked = true;
    fixture_reopen(&a.f);
    volume = open_it(&a, "v");
    for (unsigned i = 0; i < 5; i++) {
        lease_pass(&a, LEASE_NS / 2u + SECOND_NS);
        write_page(volume, 2, i);
    }
    take(volume, "later");
    assert_int_equal(coffer_volume_close(volume), 0);
    volume = open_it(&a, "v@later");
    check_page(volume, 2, 4);
    assert_int_equal(coffer_volume_close(volume), 0);
}

static void nothing_is_made_without_them(void **state)
{
    unsigned before = grants();
    (void)state;
    alice.revoked = true;
    assert_int_equal(make(&a, "w"), COFFER_E_KEY_ACCESS);
    assert_int_equal(restore("s", "w", NULL), COFFER_E_KEY_ACCESS);
    assert_int_equal(copy_to(&b, "s", K1, 0), COFFER_E_KEY_ACCESS);
    assert_int_equal(copy_to(&b, "s", K1, COFFER_COPY_REENCRYPT), COFFER_E_KEY_ACCESS);
    assert_int_equal(copy_to(&a, "t", K2, 0), COFFER_E_KEY_ACCESS);
    assert_int_equal(rekey(K2, COFFER_REKEY_MASTER), COFFER_E_KEY_ACCESS);
    assert_int_equal(rekey(K2, COFFER_REKEY_VOLUME), COFFER_E_KEY_ACCESS);
    assert_int_equal(start(), COFFER_E_KEY_ACCESS);
    assert_int_equal(grants(), before);
    alice.revoked = false;
    assert_int_equal(start(), 0);
    assert_int_equal(grants(), before);
}

static void an_engine_that_does_not_say_who_it_is_is_the_role(void **state)
{
    (void)state;
    engine.nameless = true;
    assert_int_equal(make(&a, "w"), 0);
    assert_string_equal(newest()->grantee, "arn:coffer:iam::000000000000:role/coffer-engine");
}

/* ---- the grant ---- */

static void without_its_grant_it_stops_and_another_brings_it_back(void **state)
{
    struct coffer_volume_open_opts opts = opts_of("v");
    struct coffer_volume *volume = open_it(&a, "v");
    struct coffer_volume_info info;
    (void)state;
    write_page(volume, 3, 3);
    newest()->live = false;
    lease_pass(&a, LEASE_NS / 2u + SECOND_NS);
    lease_is_stopped(&a, volume, COFFER_E_KEY_ACCESS);
    opts.caller = NULL;
    assert_int_equal(coffer_volume_start(a.f.store, &opts, &a.f.fault), COFFER_E_KEY_ACCESS);
    alice.revoked = true;
    assert_int_equal(start(), COFFER_E_KEY_ACCESS);
    assert_int_equal(grants(), 0);
    alice.revoked = false;
    assert_int_equal(start(), 0);
    assert_int_equal(grants(), 1);
    fixture_crash(&a.f, SIM_CUT_NONE, 5); /* the grant's id is durable */
    volume = open_it(&a, "v");
    check_page(volume, 3, 3);
    info = volume_info(volume);
    assert_string_equal(info.grant_id, newest()->id);
    assert_int_equal(coffer_volume_close(volume), 0);
    volume = open_it(&a, "v@s"); /* the snapshot has it, too */
    check_page(volume, 1, 1);
    assert_int_equal(coffer_volume_close(volume), 0);
    delete_volume("v");
    assert_int_equal(grants(), 1);
    delete_snapshot(&a, "s");
    assert_int_equal(grants(), 0);
}

static void a_start_that_is_cut_off_can_be_made_again(void **state)
{
    struct coffer_volume *volume = open_it(&a, "v");
    (void)state;
    newest()->live = false;
    lease_pass(&a, LEASE_NS / 2u + SECOND_NS);
    lease_is_stopped(&a, volume, COFFER_E_KEY_ACCESS);
    alice.cut = a.f.disk;
    assert_int_not_equal(start(), 0);
    fixture_crash(&a.f, SIM_CUT_NONE, 6);
    assert_int_equal(start(), 0); /* another one: what the cut left is found by its name */
    volume = open_it(&a, "v");
    assert_int_equal(coffer_volume_close(volume), 0);
}

/* ---- copies ---- */

static void each_copy_has_a_grant_of_its_own(void **state)
{
    static const unsigned flags[] = {0, COFFER_COPY_REENCRYPT};
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct coffer_volume *copy;
        assert_int_equal(copy_to(&b, "s", K2, flags[i]), 0);
        assert_int_equal(fake_kms_grants(&a.f.kms, 2), 1);
        alice.revoked = true;
        fixture_reopen(&b.f);
        copy = open_it(&b, "v@s");
        check_page(copy, 1, 1);
        assert_int_equal(coffer_volume_close(copy), 0);
        delete_snapshot(&b, "s");
        assert_int_equal(fake_kms_grants(&a.f.kms, 2), 0);
        alice.revoked = false;
    }
    assert_int_equal(copy_to(&a, "t", K2, 0), 0); /* within the store */
    assert_int_equal(fake_kms_grants(&a.f.kms, 2), 1);
    delete_snapshot(&a, "t");
    assert_int_equal(fake_kms_grants(&a.f.kms, 2), 0);
    assert_int_equal(grants(), 1);
}

static int stop_it(void *ctx, uint64_t done_bytes, uint64_t total_bytes)
{
    (void)ctx, (void)done_bytes, (void)total_bytes;
    return COFFER_E_CANCELLED;
}

static void a_copy_that_is_given_up_leaves_no_grant(void **state)
{
    struct coffer_copy_opts opts = {.size = sizeof opts,
                                    .source = {.volume = "v", .name = "s", .provider = &alice.api},
                                    .kms_key_id = K2,
                                    .provider = &engine.api,
                                    .on_progress = stop_it,
                                    .caller = &alice.api};
    (void)state;
    assert_int_equal(coffer_snapshot_copy(a.f.store, b.f.store, &opts, &a.f.fault),
                     COFFER_E_CANCELLED);
    assert_int_equal(fake_kms_grants(&a.f.kms, 2), 1); /* it may go on */
    delete_snapshot(&b, "s");
    assert_int_equal(fake_kms_grants(&a.f.kms, 2), 0);
}

static void restores_and_rekeys_take_theirs_along(void **state)
{
    struct coffer_volume *volume;
    (void)state;
    assert_int_equal(restore("s", "w", NULL), 0);
    assert_int_equal(restore("s", "x", K2), 0);
    assert_int_equal(grants(), 3);
    assert_int_equal(rekey(K2, COFFER_REKEY_MASTER), 0);
    assert_int_equal(grants(), 3);
    assert_int_equal(fake_kms_grants(&a.f.kms, 2), 2);
    assert_int_equal(rekey(K1, COFFER_REKEY_VOLUME), 0);
    assert_int_equal(fake_kms_grants(&a.f.kms, 2), 1);
    alice.revoked = true;
    fixture_reopen(&a.f);
    volume = open_it(&a, "v");
    check_page(volume, 1, 1);
    assert_int_equal(coffer_volume_close(volume), 0);
    volume = open_it(&a, "x");
    check_page(volume, 1, 1);
    assert_int_equal(coffer_volume_close(volume), 0);
    delete_volume("w");
    delete_volume("x");
    delete_volume("v");
    delete_snapshot(&a, "s");
    assert_int_equal(grants(), 0);
}

/* ---- a crash ---- */

/* "coffer:STORE:VOLUME:..." */
static void says_whose(const struct fake_grant *grant, const struct coffer_store *store)
{
    char prefix[96], uuid[37];
    cof_uuid_text(store->root.store_uuid, uuid);
    snprintf(prefix, sizeof prefix, "coffer:%s:%s:", uuid, grant->volume);
    assert_int_equal(strncmp(grant->name, prefix, strlen(prefix)), 0);
    assert_int_equal(strlen(grant->name), strlen(prefix) + 16u);
}

static void a_cut_before_the_root_leaves_a_grant_that_says_whose_it_was(void **state)
{
    (void)state;
    says_whose(newest(), a.f.store);
    alice.cut = a.f.disk;
    assert_int_not_equal(make(&a, "w"), 0);
    fixture_crash(&a.f, SIM_CUT_NONE, 9);
    assert_int_equal(grants(), 2);
    says_whose(newest(), a.f.store);
    assert_int_equal(coffer_store_has_grant(a.f.store, newest()->id), 0);
    assert_int_equal(coffer_store_has_grant(a.f.store, a.f.kms.grants[0].id), 1);
    assert_int_equal(coffer_store_has_grant(a.f.store, ""), 0);
    assert_int_equal(make(&a, "w"),
                     0); /* the name is free, and the volume has a grant of its own */
    assert_int_equal(grants(), 3);
    delete_volume("w");
    assert_int_equal(grants(), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_volume_outlives_its_makers_rights, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_made_without_them, setup, teardown),
        cmocka_unit_test_setup_teardown(an_engine_that_does_not_say_who_it_is_is_the_role, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(without_its_grant_it_stops_and_another_brings_it_back,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_start_that_is_cut_off_can_be_made_again, setup, teardown),
        cmocka_unit_test_setup_teardown(each_copy_has_a_grant_of_its_own, setup, teardown),
        cmocka_unit_test_setup_teardown(a_copy_that_is_given_up_leaves_no_grant, setup, teardown),
        cmocka_unit_test_setup_teardown(restores_and_rekeys_take_theirs_along, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cut_before_the_root_leaves_a_grant_that_says_whose_it_was,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
