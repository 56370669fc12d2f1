/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/volume_rekey_test - a volume and its snapshots under another key, at each depth; recipients.
 */
#include "volume_fixture.h"

#define PAGES 64u
#define K1 "arn:coffer:kms:test:000000000000:key/1"
#define K2 "arn:coffer:kms:test:000000000000:key/2"
#define K3 "arn:coffer:kms:test:000000000000:key/3"

static struct volume_fixture f;

static struct coffer_snapshot_opts snapshot_opts(const char *name)
{
    struct coffer_snapshot_opts opts = {
        .size = sizeof opts, .volume = "v", .name = name, .provider = &f.kms.api};
    return opts;
}

static void write_all(struct coffer_volume *volume, uint64_t version)
{
    for (uint64_t page = 0; page < PAGES; page++) {
        write_page(volume, page, version);
    }
}

static void take(struct coffer_volume *volume, const char *name)
{
    struct coffer_snapshot_opts opts = snapshot_opts(name);
    assert_int_equal(coffer_snapshot_create(volume, &opts, NULL, &f.fault), 0);
}

/* v@a holds 1, v@b 2, v 3; each part of it written by another opening. */
static void make_family(void)
{
    struct coffer_volume_create_opts opts = {.size = sizeof opts,
                                             .name = "v",
                                             .size_bytes = PAGES * PAGE,
                                             .kms_key_id = K1,
                                             .provider = &f.kms.api};
    struct coffer_volume *volume;
    fixture_make(&f, 11);
    assert_int_equal(coffer_volume_create(f.store, &opts, &f.fault), 0);
    volume = open_volume(&f, "v");
    write_all(volume, 1);
    take(volume, "a");
    assert_int_equal(coffer_volume_close(volume), 0);
    volume = open_volume(&f, "v");
    write_all(volume, 2);
    take(volume, "b");
    write_all(volume, 3);
    assert_int_equal(coffer_volume_close(volume), 0);
}

static int try_open(const char *name)
{
    struct coffer_volume_open_opts opts = open_opts(&f, name);
    struct coffer_volume *volume;
    int err;
    opts.flags |= COFFER_VOLUME_READ_ONLY;
    err = coffer_volume_open(f.store, &opts, &volume, &f.fault);
    if (err == 0) {
        assert_int_equal(coffer_volume_close(volume), 0);
    }
    return err;
}

static void check_all(const char *name, uint64_t version)
{
    struct coffer_volume_open_opts opts = open_opts(&f, name);
    struct coffer_volume *volume;
    opts.flags |= COFFER_VOLUME_READ_ONLY;
    assert_int_equal(coffer_volume_open(f.store, &opts, &volume, &f.fault), 0);
    for (uint64_t page = 0; page < PAGES; page++) {
        check_page(volume, page, version);
    }
    assert_int_equal(coffer_volume_close(volume), 0);
}

static void check_family(void)
{
    struct coffer_check_opts opts = {.size = sizeof opts, .provider = &f.kms.api};
    struct coffer_check_summary summary;
    check_all("v@a", 1);
    check_all("v@b", 2);
    check_all("v", 3);
    assert_int_equal(coffer_store_check(f.store, &opts, &summary, &f.fault), 0);
    assert_int_equal(summary.findings, 0);
    assert_int_equal(summary.volumes_opened, summary.volumes);
}

static int rekey(const char *name, const char *key, enum coffer_rekey_depth depth)
{
    struct coffer_rekey_opts opts = {.size = sizeof opts,
                                     .volume = name,
                                     .kms_key_id = key,
                                     .depth = depth,
                                     .provider = &f.kms.api};
    return coffer_volume_rekey(f.store, &opts, &f.fault);
}

static void after_a_rekey_only_the_new_key_opens(void **state)
{
    static const char *const names[] = {"v", "v@a", "v@b"};
    (void)state;
    for (int depth = COFFER_REKEY_MASTER; depth <= COFFER_REKEY_DATA; depth++) {
        struct coffer_volume *volume;
        make_family();
        assert_int_equal(rekey("v", K2, (enum coffer_rekey_depth)depth), 0);
        f.kms.keys[1].state = COFFER_KEY_IS_DISABLED;
        check_family();
        fixture_reopen(&f);
        check_family();
        volume = open_volume(&f, "v");
        assert_string_equal(volume_info(volume).key_arn, K2);
        write_all(volume, 3);
        assert_int_equal(coffer_volume_close(volume), 0);
        f.kms.keys[1].state = COFFER_KEY_ENABLED;
        f.kms.keys[2].state = COFFER_KEY_IS_DISABLED;
        for (unsigned i = 0; i < 3; i++) {
            assert_int_equal(try_open(names[i]), COFFER_E_KEY_DISABLED);
        }
        fixture_done(&f);
    }
}

static void a_refused_rekey_changes_nothing(void **state)
{
    (void)state;
    for (int depth = COFFER_REKEY_MASTER; depth <= COFFER_REKEY_VOLUME; depth++) {
        struct coffer_volume *volume;
        make_family();
        f.kms.keys[2].state = COFFER_KEY_IS_DISABLED;
        assert_int_equal(rekey("v", K2, (enum coffer_rekey_depth)depth), COFFER_E_KEY_DISABLED);
        f.kms.keys[2].state = COFFER_KEY_ENABLED;
        assert_int_equal(rekey("v@a", K2, (enum coffer_rekey_depth)depth), COFFER_E_INVALID);
        assert_int_equal(rekey("w", K2, (enum coffer_rekey_depth)depth), COFFER_E_NOT_FOUND);
        volume = open_volume(&f, "v");
        assert_int_equal(rekey("v", K2, (enum coffer_rekey_depth)depth), COFFER_E_BUSY);
        assert_int_equal(coffer_volume_close(volume), 0);
        for (uint64_t at = 0; at < 12; at++) { /* the key service goes away half-way */
            fake_kms_fail(&f.kms, at, true, COFFER_E_KEY_UNREACHABLE);
            int err = rekey("v", K2, (enum coffer_rekey_depth)depth);
            fake_kms_fail_none(&f.kms);
            if (err == 0) {
                break;
            }
            assert_int_equal(err, COFFER_E_KEY_UNREACHABLE);
            f.kms.keys[2].state = COFFER_KEY_IS_DISABLED;
            check_family();
            f.kms.keys[2].state = COFFER_KEY_ENABLED;
        }
        fixture_done(&f);
    }
}

static int recipient(const char *name, const char *key, bool add)
{
    struct coffer_recipient_opts opts = {
        .size = sizeof opts, .snapshot = snapshot_opts(name), .kms_key_id = key};
    return add ? coffer_recipient_add(f.store, &opts, &f.fault)
               : coffer_recipient_remove(f.store, &opts, &f.fault);
}

static int count_key(void *ctx, const char *arn, int owner)
{
    unsigned *count = ctx;
    assert_int_equal(owner != 0, *count == 0);
    assert_true(strlen(arn) > 0);
    (*count)++;
    return 0;
}

static void a_recipient_opens_its_snapshot_and_no_other(void **state)
{
    struct coffer_snapshot_opts which = snapshot_opts("b");
    unsigned count = 0;
    (void)state;
    make_family();
    assert_int_equal(recipient("b", K3, true), 0);
    assert_int_equal(recipient("b", K3, true), COFFER_E_EXISTS);
    assert_int_equal(recipient("b", K2, false), COFFER_E_NOT_FOUND);
    assert_int_equal(recipient("b", K1, false), COFFER_E_INVALID);
    assert_int_equal(coffer_recipient_list(f.store, &which, count_key, &count, &f.fault), 0);
    assert_int_equal(count, 2);
    f.kms.keys[1].state = COFFER_KEY_IS_DISABLED;
    check_all("v@b", 2);
    assert_int_equal(try_open("v@a"), COFFER_E_KEY_DISABLED);
    assert_int_equal(try_open("v"), COFFER_E_KEY_DISABLED);
    f.kms.keys[1].state = COFFER_KEY_ENABLED;
    for (int depth = COFFER_REKEY_MASTER; depth <= COFFER_REKEY_VOLUME; depth++) {
        assert_int_equal(
            rekey("v", depth == COFFER_REKEY_MASTER ? K2 : K1, (enum coffer_rekey_depth)depth), 0);
        fixture_reopen(&f);
        f.kms.keys[1].state = COFFER_KEY_IS_DISABLED;
        f.kms.keys[2].state = COFFER_KEY_IS_DISABLED;
        check_all("v@b", 2);
        assert_int_equal(try_open("v@a"), COFFER_E_KEY_DISABLED);
        f.kms.keys[1].state = COFFER_KEY_ENABLED;
        f.kms.keys[2].state = COFFER_KEY_ENABLED;
    }
    assert_int_equal(recipient("b", K3, false), 0);
    f.kms.keys[1].state = COFFER_KEY_IS_DISABLED;
    assert_int_equal(try_open("v@b"), COFFER_E_KEY_DISABLED);
    f.kms.keys[1].state = COFFER_KEY_ENABLED;
    check_family();
    fixture_done(&f);
}

static void the_managed_key_is_not_shared(void **state)
{
    struct coffer_volume *volume;
    (void)state;
    fixture_make(&f, 12);
    make_volume(&f, "v", PAGES, 0);
    volume = open_volume(&f, "v");
    write_all(volume, 1);
    take(volume, "a");
    assert_int_equal(coffer_volume_close(volume), 0);
    assert_int_equal(recipient("a", K3, true), COFFER_E_UNSUPPORTED);
    assert_int_equal(rekey("v", K1, COFFER_REKEY_MASTER), 0);
    assert_int_equal(recipient("a", K3, true), 0);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_a_rekey_only_the_new_key_opens),
        cmocka_unit_test(a_refused_rekey_changes_nothing),
        cmocka_unit_test(a_recipient_opens_its_snapshot_and_no_other),
        cmocka_unit_test(the_managed_key_is_not_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
