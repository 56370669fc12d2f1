/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/volume_copy_refused_test - what a copy of each kind, and a restore under a key, refuse: a
 * name that is taken, keys that are disabled, deleted, or of another region, on either side. Not a
 * block of either store is written for it, and when the reason is gone the same is done.
 */
#include "volume_fixture.h"

#define PAGES 40u
#define K1 "arn:coffer:kms:test:000000000000:key/1"
#define K2 "arn:coffer:kms:test:000000000000:key/2"
#define FAR "arn:coffer:kms:far:000000000000:key/1"

static struct volume_fixture a, b;

struct way {
    const char *name;
    unsigned flags;
    bool two_services, within, restored;
};

static const struct way ways[] = {
    {.name = "without a key"},
    {.name = "between key services", .two_services = true},
    {.name = "sealed anew", .flags = COFFER_COPY_REENCRYPT},
    {.name = "sealed anew between services", .flags = COFFER_COPY_REENCRYPT, .two_services = true},
    {.name = "within the store", .within = true},
    {.name = "sealed anew within it", .flags = COFFER_COPY_REENCRYPT, .within = true},
    {.name = "a restore under a key", .within = true, .restored = true},
};
#define WAYS (sizeof ways / sizeof ways[0])

static struct volume_fixture *goal(const struct way *way)
{
    return way->within ? &a : &b;
}

static struct fake_kms *goal_kms(const struct way *way)
{
    return way->two_services ? &b.kms : &a.kms;
}

/* VOLUME, with a snapshot `one`. */
static void make_snapshot(struct volume_fixture *f, struct fake_kms *kms, const char *name,
                          bool plain)
{
    struct coffer_volume_create_opts create = {.size = sizeof create,
                                               .name = name,
                                               .size_bytes = PAGES * PAGE,
                                               .not_encrypted = plain,
                                               .kms_key_id = plain ? NULL : K1,
                                               .provider = &kms->api};
    struct coffer_volume_open_opts open = {.size = sizeof open,
                                           .name = name,
                                           .flags = COFFER_VOLUME_ALLOW_PLAIN,
                                           .provider = &kms->api};
    struct coffer_snapshot_opts take = {.size = sizeof take, .name = "one", .provider = &kms->api};
    struct coffer_volume *volume;
    assert_int_equal(coffer_volume_create(f->store, &create, &f->fault), 0);
    assert_int_equal(coffer_volume_open(f->store, &open, &volume, &f->fault), 0);
    for (uint64_t page = 0; page < PAGES; page += 2) {
        write_page(volume, page, page + 1);
    }
    assert_int_equal(coffer_snapshot_create(volume, &take, NULL, &f->fault), 0);
    assert_int_equal(coffer_volume_close(volume), 0);
}

/* The source has v@one and, in the clear, p@one; the destination has taken@one. */
static void make_stores(const struct way *way)
{
    fixture_env_seed = 99;
    fixture_make(&a, 21);
    fixture_env_seed = 98;
    fixture_make(&b, 22);
    make_snapshot(&a, &a.kms, "v", false);
    make_snapshot(&a, &a.kms, "p", true);
    make_snapshot(goal(way), goal_kms(way), "taken", false);
    fixture_reopen(&a); /* no volume key is at hand */
    fixture_reopen(&b);
}

static void end_stores(void)
{
    fixture_done(&a);
    fixture_done(&b);
}

static int go(const struct way *way, const char *as, const char *key)
{
    struct volume_fixture *to = goal(way);
    struct coffer_copy_opts copy = {
        .size = sizeof copy,
        .flags = way->flags,
        .source = {.volume = "v", .name = "one", .provider = &a.kms.api},
        .volume = as,
        .kms_key_id = key,
        .provider = &goal_kms(way)->api};
    struct coffer_snapshot_restore_opts restore = {
        .size = sizeof restore,
        .snapshot = {.volume = "p", .name = "one", .provider = &a.kms.api},
        .new_name = as,
        .kms_key_id = key};
    return way->restored ? coffer_snapshot_restore(a.store, &restore, &to->fault)
                         : coffer_snapshot_copy(a.store, to->store, &copy, &to->fault);
}

static int on_finding(void *ctx, const struct coffer_finding *finding)
{
    print_message("%s: finding: %s\n", (const char *)ctx, finding->text);
    return 0;
}

static void check_clean(struct volume_fixture *f, struct fake_kms *kms, const struct way *way)
{
    struct coffer_check_opts opts = {.size = sizeof opts,
                                     .flags = COFFER_CHECK_SCRUB,
                                     .provider = &kms->api,
                                     .on_finding = on_finding,
                                     .ctx = (void *)(uintptr_t)way->name};
    struct coffer_check_summary summary;
    assert_int_equal(coffer_store_check(f->store, &opts, &summary, &f->fault), 0);
    assert_int_equal(summary.findings, 0);
    assert_int_equal(summary.volumes, summary.volumes_opened);
}

/* Refused with the error, and nothing is written anywhere. */
static void refuses(const struct way *way, const char *as, const char *key, int error)
{
    uint64_t events[2] = {sim_disk_events(a.disk), sim_disk_events(b.disk)};
    int found = go(way, as, key);
    if (found != error) {
        fail_msg("%s: %s, not %s: %s", way->name, coffer_error_name(found),
                 coffer_error_name(error), goal(way)->fault.detail);
    }
    if (sim_disk_events(a.disk) != events[0] || sim_disk_events(b.disk) != events[1]) {
        fail_msg("%s: refused, yet something was written", way->name);
    }
    assert_int_equal(goal(way)->fault.error, error);
    assert_true(goal(way)->fault.detail[0] != '\0');
}

/* It is done after all, and shows the pages. */
static void succeeds(const struct way *way)
{
    struct coffer_volume_open_opts open = {.size = sizeof open,
                                           .name = way->restored ? "w" : "w@one",
                                           .flags = COFFER_VOLUME_READ_ONLY,
                                           .provider = &goal_kms(way)->api};
    struct volume_fixture *to = goal(way);
    struct coffer_volume *volume;
    int err = go(way, "w", K2);
    if (err != 0) {
        fail_msg("%s: %s: %s", way->name, coffer_error_name(err), to->fault.detail);
    }
    assert_int_equal(coffer_volume_open(to->store, &open, &volume, &to->fault), 0);
    for (uint64_t page = 0; page < PAGES; page++) {
        check_page(volume, page, page % 2 == 0 ? page + 1 : 0);
    }
    assert_int_equal(coffer_volume_close(volume), 0);
    check_clean(&a, &a.kms, way);
    check_clean(&b, goal_kms(way), way);
}

static void a_name_that_is_taken(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WAYS; i++) {
        make_stores(&ways[i]);
        refuses(&ways[i], "taken", K2, COFFER_E_EXISTS);
        succeeds(&ways[i]);
        end_stores();
    }
}

static void the_destinations_key(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WAYS; i++) {
        struct fake_kms *kms;
        make_stores(&ways[i]);
        kms = goal_kms(&ways[i]);
        kms->keys[2].state = COFFER_KEY_IS_DISABLED;
        refuses(&ways[i], "w", K2, COFFER_E_KEY_DISABLED);
        kms->keys[2].state = COFFER_KEY_PENDING_DELETION;
        refuses(&ways[i], "w", K2, COFFER_E_KEY_STATE);
        kms->keys[2].state = COFFER_KEY_ENABLED;
        kms->keys[2].gone = true;
        refuses(&ways[i], "w", K2, COFFER_E_KEY_NOT_FOUND);
        kms->keys[2].gone = false;
        refuses(&ways[i], "w", FAR, COFFER_E_KEY_NOT_FOUND);
        succeeds(&ways[i]);
        end_stores();
    }
}

static void the_sources_key(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WAYS; i++) {
        if (ways[i].restored) {
            continue; /* it is not encrypted */
        }
        make_stores(&ways[i]);
        a.kms.keys[1].state = COFFER_KEY_IS_DISABLED;
        refuses(&ways[i], "w", K2, COFFER_E_KEY_DISABLED);
        a.kms.keys[1].state = COFFER_KEY_PENDING_DELETION;
        refuses(&ways[i], "w", K2, COFFER_E_KEY_STATE);
        a.kms.keys[1].state = COFFER_KEY_ENABLED;
        a.kms.keys[1].gone = true;
        refuses(&ways[i], "w", K2, COFFER_E_KEY_NOT_FOUND);
        a.kms.keys[1].gone = false;
        succeeds(&ways[i]);
        end_stores();
    }
}

/* The source's key is meant where none is named: the other region does not know it. */
static void another_region_without_a_key_of_its_own(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WAYS; i++) {
        if (!ways[i].two_services) {
            continue;
        }
        make_stores(&ways[i]);
        b.kms.keys[1].gone = true;
        refuses(&ways[i], "w", NULL, COFFER_E_KEY_NOT_FOUND);
        b.kms.keys[1].gone = false;
        succeeds(&ways[i]);
        end_stores();
    }
}

/* At whatever call, and for good; what was begun is taken back. */
static void a_key_service_that_goes_away(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2u * WAYS; i++) {
        const struct way *way = &ways[i / 2u];
        struct fake_kms *kms = i % 2u == 0 ? goal_kms(way) : &a.kms;
        uint64_t at = 0;
        int err = COFFER_E_KEY_UNREACHABLE;
        make_stores(way);
        for (; err != 0; at++) {
            fake_kms_fail(kms, at, true, COFFER_E_KEY_UNREACHABLE);
            err = go(way, "w", K2);
            fake_kms_fail_none(kms);
            if (err != 0 && err != COFFER_E_KEY_UNREACHABLE) {
                fail_msg("%s, call %u: %s", way->name, (unsigned)at, coffer_error_name(err));
            }
            check_clean(&a, &a.kms, way);
            check_clean(&b, goal_kms(way), way);
        }
        assert_true(at > 1 || (way->restored && i % 2u == 1));
        assert_int_equal(go(way, "w", K2), COFFER_E_EXISTS);
        end_stores();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_that_is_taken),
        cmocka_unit_test(the_destinations_key),
        cmocka_unit_test(the_sources_key),
        cmocka_unit_test(another_region_without_a_key_of_its_own),
        cmocka_unit_test(a_key_service_that_goes_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
