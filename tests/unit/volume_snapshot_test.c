/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/volume_snapshot_test - snapshots and clones: contents, keys, deletion in any order, space.
 */
#include "volume_fixture.h"

#include "volume/store.h"

#define PAGES 1200u

static struct volume_fixture f;

static struct coffer_snapshot_opts snapshot_opts(const char *volume, const char *name)
{
    struct coffer_snapshot_opts opts = {
        .size = sizeof opts, .volume = volume, .name = name, .provider = &f.kms.api};
    return opts;
}

static void take(struct coffer_volume *volume, const char *name)
{
    struct coffer_snapshot_opts opts = snapshot_opts(NULL, name);
    int err = coffer_snapshot_create(volume, &opts, NULL, &f.fault);
    if (err != 0) {
        fail_msg("snapshot: %s: %s", coffer_error_name(err), f.fault.detail);
    }
}

static void drop(const char *volume, const char *name)
{
    struct coffer_snapshot_opts opts = snapshot_opts(volume, name);
    int err = coffer_snapshot_delete(f.store, &opts, &f.fault);
    if (err != 0) {
        fail_msg("delete of %s@%s: %s: %s", volume, name, coffer_error_name(err), f.fault.detail);
    }
}

static void delete_volume(const char *name)
{
    struct coffer_volume_open_opts opts = open_opts(&f, name);
    int err = coffer_volume_delete(f.store, &opts, &f.fault);
    if (err != 0) {
        fail_msg("delete of %s: %s: %s", name, coffer_error_name(err), f.fault.detail);
    }
}

static int restore(const char *volume, const char *name, const char *to, const char *key)
{
    struct coffer_snapshot_restore_opts opts = {.size = sizeof opts,
                                                .snapshot = snapshot_opts(volume, name),
                                                .new_name = to,
                                                .kms_key_id = key};
    return coffer_snapshot_restore(f.store, &opts, &f.fault);
}

static void must_restore(const char *volume, const char *name, const char *to)
{
    int err = restore(volume, name, to, NULL);
    if (err != 0) {
        fail_msg("restore: %s: %s", coffer_error_name(err), f.fault.detail);
    }
}

static struct coffer_volume *open_snapshot(const char *full)
{
    struct coffer_volume_open_opts opts = open_opts(&f, full);
    struct coffer_volume *volume = NULL;
    int err;
    opts.flags |= COFFER_VOLUME_READ_ONLY;
    err = coffer_volume_open(f.store, &opts, &volume, &f.fault);
    if (err != 0) {
        fail_msg("open of %s: %s: %s", full, coffer_error_name(err), f.fault.detail);
    }
    return volume;
}

static void check_contents(const char *full, const uint64_t *versions)
{
    struct coffer_volume *volume = open_snapshot(full);
    for (uint64_t page = 0; page < PAGES; page++) {
        check_page(volume, page, versions[page]);
    }
    assert_int_equal(coffer_volume_close(volume), 0);
}

static int on_finding(void *ctx, const struct coffer_finding *finding)
{
    (void)ctx;
    print_message("finding: %s\n", finding->text);
    return 0;
}

static void check_clean(void)
{
    struct coffer_check_opts opts = {
        .size = sizeof opts, .provider = &f.kms.api, .on_finding = on_finding};
    struct coffer_check_summary summary;
    assert_int_equal(coffer_store_check(f.store, &opts, &summary, &f.fault), 0);
    assert_int_equal(summary.findings, 0);
    assert_int_equal(summary.volumes, summary.volumes_opened);
}

static uint64_t live_bytes(void)
{
    struct coffer_store_info info = {.size = sizeof info};
    assert_int_equal(coffer_store_info_get(f.store, &info), 0);
    return info.live_bytes;
}

static void write_some(struct coffer_volume *volume, uint64_t *versions, uint64_t first,
                       uint64_t step, uint64_t version)
{
    for (uint64_t page = first; page < PAGES; page += step) {
        write_page(volume, page, version);
        versions[page] = version;
    }
}

static void snapshots_keep_what_the_volume_overwrites(void **state)
{
    static uint64_t now[PAGES], one[PAGES], two[PAGES];
    struct coffer_volume *volume;
    (void)state;
    for (int plain = 0; plain < 2; plain++) {
        fixture_make(&f, 7);
        memset(now, 0, sizeof now);
        make_volume(&f, "v", PAGES, plain);
        volume = open_volume(&f, "v");
        write_some(volume, now, 0, 3, 1);
        memcpy(one, now, sizeof one);
        take(volume, "one");
        write_some(volume, now, 0, 5, 2);
        memcpy(two, now, sizeof two);
        take(volume, "two");
        assert_int_equal(coffer_volume_discard(volume, 0, 100 * PAGE, &f.fault), 0);
        memset(now, 0, 100 * sizeof now[0]);
        write_some(volume, now, 1, 7, 3);
        assert_int_equal(coffer_volume_flush(volume, &f.fault), 0);
        check_contents("v@one", one);
        check_contents("v@two", two);
        fixture_crash(&f, SIM_CUT_ALL, 3);
        check_contents("v", now);
        check_contents("v@one", one);
        check_contents("v@two", two);
        check_clean();
        drop("v", "one");
        check_contents("v@two", two);
        check_clean();
        fixture_reopen(&f);
        delete_volume("v");
        check_contents("v@two", two);
        check_clean();
        drop("v", "two");
        check_clean();
        assert_int_equal(live_bytes() / PAGE < 8, 1);
        fixture_done(&f);
    }
}

static void clones_go_their_own_way_and_go_in_any_order(void **state)
{
    static uint64_t v[PAGES], s[PAGES], a[PAGES], b[PAGES], t[PAGES];
    (void)state;
    for (unsigned order = 0; order < 120; order++) {
        static const char *const nodes[] = {"v", "v@s", "a", "b", "a@t"};
        unsigned left[5] = {0, 1, 2, 3, 4}, rest = order;
        struct coffer_volume *volume;
        bool gone[5] = {false};
        const uint64_t *const contents[] = {v, s, a, b, t};
        fixture_make(&f, 8);
        memset(v, 0, sizeof v);
        make_volume(&f, "v", PAGES, order % 4 == 3);
        volume = open_volume(&f, "v");
        write_some(volume, v, 0, 4, 1);
        take(volume, "s");
        memcpy(s, v, sizeof s);
        write_some(volume, v, 0, 9, 2);
        assert_int_equal(coffer_volume_close(volume), 0);
        must_restore("v", "s", "a");
        must_restore("v", "s", "b");
        memcpy(a, s, sizeof a);
        memcpy(b, s, sizeof b);
        volume = open_volume(&f, "a");
        write_some(volume, a, 0, 6, 3);
        take(volume, "t");
        memcpy(t, a, sizeof t);
        write_some(volume, a, 1, 6, 4);
        assert_int_equal(coffer_volume_close(volume), 0);
        volume = open_volume(&f, "b");
        write_some(volume, b, 2, 6, 5);
        assert_int_equal(coffer_volume_close(volume), 0);
        check_clean();
        for (unsigned n = 5; n > 0; n--) {
            unsigned pick = rest % n, node = left[pick];
            rest /= n;
            left[pick] = left[n - 1u];
            gone[node] = true;
            if (node == 1 || node == 4) {
                drop(node == 1 ? "v" : "a", node == 1 ? "s" : "t");
            } else {
                delete_volume(nodes[node]);
            }
            if (order % 10 == 0) {
                fixture_reopen(&f);
            }
            check_clean();
            for (unsigned i = 0; i < 5; i++) {
                if (!gone[i]) {
                    check_contents(nodes[i], contents[i]);
                }
            }
        }
        assert_int_equal(live_bytes() / PAGE < 8, 1);
        fixture_done(&f);
    }
}

static void names_keys_and_states_are_checked(void **state)
{
    struct coffer_volume *volume, *snapshot;
    struct coffer_volume_open_opts opts;
    struct coffer_snapshot_info info = {.size = sizeof info};
    struct coffer_snapshot_opts which = snapshot_opts("v", "s");
    (void)state;
    fixture_make(&f, 9);
    make_volume(&f, "v", PAGES, 0);
    volume = open_volume(&f, "v");
    write_page(volume, 3, 1);
    take(volume, "s");
    write_page(volume, 3, 2);
    assert_int_equal(coffer_snapshot_create(volume, &which, NULL, &f.fault), COFFER_E_EXISTS);
    which.name = "a/b";
    assert_int_equal(coffer_snapshot_create(volume, &which, NULL, &f.fault), COFFER_E_INVALID);
    which.name = "s";
    opts = open_opts(&f, "v@s");
    assert_int_equal(coffer_volume_open(f.store, &opts, &snapshot, &f.fault), COFFER_E_READ_ONLY);
    opts.name = "v@t";
    assert_int_equal(coffer_volume_open(f.store, &opts, &snapshot, &f.fault), COFFER_E_NOT_FOUND);
    assert_int_equal(coffer_store_checkpoint(f.store, &f.fault), 0);
    assert_int_equal(coffer_snapshot_info_get(f.store, &which, &info, &f.fault), 0);
    assert_int_equal(info.exclusive_bytes, PAGE);
    assert_int_equal(info.mapped_bytes, PAGE);
    assert_string_equal(info.name, "s");
    assert_string_equal(info.volume, "v");
    assert_int_equal(info.children, 1);
    snapshot = open_snapshot("v@s");
    assert_int_equal(coffer_snapshot_delete(f.store, &which, &f.fault), COFFER_E_BUSY);
    assert_int_equal(coffer_volume_close(snapshot), 0);
    assert_int_equal(restore("v", "s", "v", NULL), COFFER_E_EXISTS);
    assert_int_equal(restore("v", "x", "w", NULL), COFFER_E_NOT_FOUND);
    assert_int_equal(coffer_volume_close(volume), 0);
    fixture_done(&f);
}

struct differences {
    uint8_t kinds[PAGES]; /* 1 zero, 2 data */
};

static int on_range(void *ctx, uint64_t offset, uint64_t length, int data)
{
    struct differences *differences = ctx;
    for (uint64_t page = offset / PAGE; page < (offset + length) / PAGE; page++) {
        assert_int_equal(differences->kinds[page], 0);
        differences->kinds[page] = data ? 2 : 1;
    }
    return 0;
}

static void diff_names_every_page_that_differs(void **state)
{
    static uint64_t now[PAGES], before[PAGES];
    static struct differences differences;
    struct coffer_snapshot_diff_opts opts = {
        .size = sizeof opts, .from = "v@one", .to = "v@two", .provider = &f.kms.api};
    struct coffer_volume *volume;
    (void)state;
    fixture_make(&f, 10);
    memset(now, 0, sizeof now);
    make_volume(&f, "v", PAGES, 0);
    volume = open_volume(&f, "v");
    write_some(volume, now, 0, 2, 1);
    take(volume, "one");
    memcpy(before, now, sizeof before);
    write_some(volume, now, 0, 11, 2);
    assert_int_equal(coffer_volume_discard(volume, 500 * PAGE, 50 * PAGE, &f.fault), 0);
    memset(now + 500, 0, 50 * sizeof now[0]);
    take(volume, "two");
    memset(&differences, 0, sizeof differences);
    assert_int_equal(coffer_snapshot_diff(f.store, &opts, on_range, &differences, &f.fault), 0);
    for (uint64_t page = 0; page < PAGES; page++) {
        unsigned expected = now[page] == before[page] ? 0 : now[page] == 0 ? 1 : 2;
        assert_int_equal(differences.kinds[page], expected);
    }
    assert_int_equal(coffer_volume_close(volume), 0);
    fixture_done(&f);
}

/* What the volume overwrote stands in the checkpoint that is under way: the deletion has to compare
 * the snapshot with the tree that comes of it, or the old pages live for ever. */
static void a_snapshot_is_deleted_while_a_checkpoint_is_under_way(void **state)
{
    struct coffer_volume *volume;
    bool more;
    (void)state;
    fixture_make(&f, 31);
    make_volume(&f, "v", PAGES, 0);
    volume = open_volume(&f, "v");
    write_page(volume, 5, 1);
    take(volume, "s");
    write_page(volume, 5, 2);
    assert_int_equal(coffer_volume_flush(volume, &f.fault), 0);
    f.store->checkpoint_ns = 0; /* due at once */
    pthread_mutex_lock(&f.store->lock);
    assert_int_equal(cof_checkpoint_step(f.store, &more), 0);
    assert_int_equal(f.store->checkpoint.state, COF_CHECKPOINT_DRAIN);
    pthread_mutex_unlock(&f.store->lock);
    drop("v", "s");
    assert_int_equal(coffer_volume_close(volume), 0);
    check_clean();
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snapshots_keep_what_the_volume_overwrites),
        cmocka_unit_test(clones_go_their_own_way_and_go_in_any_order),
        cmocka_unit_test(names_keys_and_states_are_checked),
        cmocka_unit_test(diff_names_every_page_that_differs),
        cmocka_unit_test(a_snapshot_is_deleted_while_a_checkpoint_is_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
