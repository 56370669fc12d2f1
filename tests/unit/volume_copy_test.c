/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/volume_copy_test - snapshots copied between stores: under other keys, without the right to
 * decrypt, incrementally, there and back, interrupted.
 */
#include "volume_fixture.h"

#define PAGES 700u
#define TURNS 40u
#define K1 "arn:coffer:kms:test:000000000000:key/1"
#define K2 "arn:coffer:kms:test:000000000000:key/2"

static struct volume_fixture a, b;
static struct fake_kms_blind blind; /* a's, for a principal who may not decrypt */
static bool forks;                  /* both stores have the same uuid */

static void make_stores(void)
{
    fixture_env_seed = 99;
    fixture_make(&a, 21);
    fixture_env_seed = forks ? 99 : 98;
    fixture_make(&b, 22);
    fake_kms_blind_init(&blind, &a.kms);
}

static void end_stores(void)
{
    fixture_done(&a);
    fixture_done(&b);
}

static void make(struct volume_fixture *f, const char *name, int plain)
{
    struct coffer_volume_create_opts opts = {.size = sizeof opts,
                                             .name = name,
                                             .size_bytes = PAGES * PAGE,
                                             .not_encrypted = plain,
                                             .kms_key_id = plain ? NULL : K1,
                                             .provider = &a.kms.api};
    assert_int_equal(coffer_volume_create(f->store, &opts, &f->fault), 0);
}

static struct coffer_volume *open_in(struct volume_fixture *f, const char *name, unsigned flags)
{
    struct coffer_volume_open_opts opts = {.size = sizeof opts,
                                           .name = name,
                                           .flags = COFFER_VOLUME_ALLOW_PLAIN | flags,
                                           .provider = &a.kms.api};
    struct coffer_volume *volume = NULL;
    int err = coffer_volume_open(f->store, &opts, &volume, &f->fault);
    if (err != 0) {
        fail_msg("open of %s: %s: %s", name, coffer_error_name(err), f->fault.detail);
    }
    return volume;
}

static void take(struct volume_fixture *f, struct coffer_volume *volume, const char *name)
{
    struct coffer_snapshot_opts opts = {.size = sizeof opts, .name = name, .provider = &a.kms.api};
    int err = coffer_snapshot_create(volume, &opts, NULL, &f->fault);
    if (err != 0) {
        fail_msg("snapshot: %s: %s", coffer_error_name(err), f->fault.detail);
    }
}

struct progress {
    uint64_t done, total, stop_at;
    unsigned calls;
};

static int on_progress(void *ctx, uint64_t done, uint64_t total)
{
    struct progress *progress = ctx;
    assert_true(done >= progress->done);
    progress->done = done;
    progress->total = total;
    progress->calls++;
    return progress->stop_at != 0 && progress->calls >= progress->stop_at ? 77 : 0;
}

static struct progress progress;

static int copy_as(struct volume_fixture *from, struct volume_fixture *to, const char *volume,
                   const char *name, const char *as, const char *key,
                   const struct coffer_key_provider *provider)
{
    struct coffer_copy_opts opts = {
        .size = sizeof opts,
        .source = {.volume = volume, .name = name, .provider = provider},
        .name = as,
        .kms_key_id = key,
        .provider = provider,
        .on_progress = on_progress,
        .ctx = &progress};
    uint64_t stop_at = progress.stop_at;
    memset(&progress, 0, sizeof progress);
    progress.stop_at = stop_at;
    return coffer_snapshot_copy(from->store, to->store, &opts, &to->fault);
}

static void must_copy(struct volume_fixture *from, struct volume_fixture *to, const char *volume,
                      const char *name, const char *key)
{
    int err = copy_as(from, to, volume, name, NULL, key, &a.kms.api);
    if (err != 0) {
        fail_msg("copy of %s@%s: %s: %s", volume, name, coffer_error_name(err), to->fault.detail);
    }
}

static void check_contents(struct volume_fixture *f, const char *full, const uint64_t *versions)
{
    struct coffer_volume *volume = open_in(f, full, COFFER_VOLUME_READ_ONLY);
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

static void check_clean(struct volume_fixture *f)
{
    struct coffer_check_opts opts = {
        .size = sizeof opts, .provider = &a.kms.api, .on_finding = on_finding};
    struct coffer_check_summary summary;
    assert_int_equal(coffer_store_check(f->store, &opts, &summary, &f->fault), 0);
    assert_int_equal(summary.findings, 0);
    assert_int_equal(summary.volumes, summary.volumes_opened);
}

static void write_some(struct coffer_volume *volume, uint64_t *versions, uint64_t first,
                       uint64_t step, uint64_t version)
{
    for (uint64_t page = first; page < PAGES; page += step) {
        write_page(volume, page, version);
        versions[page] = version;
    }
}

static void restore(struct volume_fixture *f, const char *volume, const char *name, const char *to)
{
    struct coffer_snapshot_restore_opts opts = {
        .size = sizeof opts,
        .snapshot = {.volume = volume, .name = name, .provider = &a.kms.api},
        .new_name = to};
    int err = coffer_snapshot_restore(f->store, &opts, &f->fault);
    if (err != 0) {
        fail_msg("restore: %s: %s", coffer_error_name(err), f->fault.detail);
    }
}

static void drop(struct volume_fixture *f, const char *volume, const char *name)
{
    struct coffer_snapshot_opts opts = {
        .size = sizeof opts, .volume = volume, .name = name, .provider = &a.kms.api};
    int err = coffer_snapshot_delete(f->store, &opts, &f->fault);
    if (err != 0) {
        fail_msg("delete of %s@%s: %s: %s", volume, name, coffer_error_name(err), f->fault.detail);
    }
}

static uint64_t live_pages(struct volume_fixture *f)
{
    struct coffer_store_info info = {.size = sizeof info};
    assert_int_equal(coffer_store_info_get(f->store, &info), 0);
    return info.live_bytes / PAGE;
}

/* v@one and v@two in a. */
static void make_source(uint64_t *one, uint64_t *two, int plain)
{
    struct coffer_volume *volume;
    make_stores();
    make(&a, "v", plain);
    volume = open_in(&a, "v", 0);
    memset(one, 0, PAGES * sizeof *one);
    write_some(volume, one, 0, 2, 1);
    take(&a, volume, "one");
    memcpy(two, one, PAGES * sizeof *two);
    write_some(volume, two, 0, 10, 2);
    take(&a, volume, "two");
    assert_int_equal(coffer_volume_close(volume), 0);
}

static void a_copy_opens_with_its_own_key_alone(void **state)
{
    static uint64_t one[PAGES], two[PAGES];
    (void)state;
    for (int plain = 0; plain < 2; plain++) {
        make_source(one, two, plain);
        must_copy(&a, &b, "v", "one", plain ? NULL : K2);
        assert_int_equal(progress.done, progress.total);
        a.kms.keys[1].state = COFFER_KEY_IS_DISABLED;
        check_contents(&b, "v@one", one);
        check_clean(&b);
        fixture_reopen(&b);
        check_contents(&b, "v@one", one);
        a.kms.keys[1].state = COFFER_KEY_ENABLED;
        assert_int_equal(copy_as(&a, &b, "v", "one", NULL, plain ? NULL : K2, &a.kms.api),
                         COFFER_E_EXISTS);
        must_copy(&a, &b, "v", "two", plain ? NULL : K2);
        assert_true(progress.total < 300u * PAGE); /* 70 pages and some of the map */
        check_contents(&b, "v@one", one);
        check_contents(&b, "v@two", two);
        check_clean(&b);
        drop(&b, "v", "one");
        check_contents(&b, "v@two", two);
        check_clean(&b);
        drop(&b, "v", "two");
        check_clean(&b);
        assert_true(live_pages(&b) < 8);
        end_stores();
    }
}

/* A page of each volume by turns, a batchful submitted at once, so that batches are of both and an
 * extent's pages stand far from their headers. */
static void write_by_turns(struct coffer_volume *volumes[2])
{
    static uint8_t pages[TURNS][PAGE];
    struct iovec iov[TURNS];
    struct coffer_io io[TURNS];
    struct coffer_cqe cqe[TURNS];
    struct coffer_queue_opts opts = {.size = sizeof opts};
    struct coffer_queue *queue;
    assert_int_equal(coffer_queue_create(a.store, &opts, &queue), 0);
    for (unsigned first = 0; first < 2u * PAGES; first += TURNS) {
        memset(io, 0, sizeof io);
        for (unsigned i = 0; i < TURNS; i++) {
            uint64_t page = (first + i) / 2u;
            fill_page(pages[i], page, 1u + i % 2u);
            iov[i].iov_base = pages[i];
            iov[i].iov_len = PAGE;
            io[i].volume = volumes[i % 2u];
            io[i].op = COFFER_IO_WRITE;
            io[i].offset_bytes = page * PAGE;
            io[i].length_bytes = PAGE;
            io[i].iov = &iov[i];
            io[i].iov_count = 1;
        }
        assert_int_equal(coffer_submit(queue, io, TURNS), TURNS);
        assert_int_equal(coffer_reap(queue, cqe, TURNS, TURNS), TURNS);
        for (unsigned i = 0; i < TURNS; i++) {
            assert_int_equal(cqe[i].result, 0);
        }
    }
    coffer_queue_destroy(queue);
}

static void volumes_that_were_written_by_turns_copy_whole(void **state)
{
    static uint64_t versions[2][PAGES];
    static const char *const names[2] = {"v", "w"};
    struct coffer_volume *volumes[2];
    (void)state;
    make_stores();
    for (unsigned i = 0; i < 2; i++) {
        make(&a, names[i], 0);
        volumes[i] = open_in(&a, names[i], 0);
        for (unsigned page = 0; page < PAGES; page++) {
            versions[i][page] = 1u + i;
        }
    }
    write_by_turns(volumes);
    for (unsigned i = 0; i < 2; i++) {
        take(&a, volumes[i], "one");
        assert_int_equal(coffer_volume_close(volumes[i]), 0);
        must_copy(&a, &b, names[i], "one", K2);
    }
    check_contents(&b, "v@one", versions[0]);
    check_contents(&b, "w@one", versions[1]);
    check_clean(&b);
    end_stores();
}

static void who_may_not_decrypt_may_copy(void **state)
{
    static uint64_t one[PAGES], two[PAGES];
    int err;
    (void)state;
    make_source(one, two, 0);
    fixture_reopen(&a); /* no volume key is at hand */
    err = copy_as(&a, &b, "v", "one", NULL, K2, &blind.api);
    if (err != 0) {
        fail_msg("copy: %s: %s", coffer_error_name(err), b.fault.detail);
    }
    check_contents(&b, "v@one", one);
    assert_int_equal(copy_as(&a, &b, "v", "two", "2", K2, &blind.api), 0);
    check_contents(&b, "v@2", two);
    check_clean(&b);
    end_stores();
}

static void an_interrupted_copy_goes_on(void **state)
{
    static uint64_t one[PAGES], two[PAGES];
    struct coffer_volume_open_opts opts = {.size = sizeof opts,
                                           .name = "v@two",
                                           .flags = COFFER_VOLUME_READ_ONLY,
                                           .provider = &a.kms.api};
    struct coffer_volume *volume;
    uint64_t total;
    (void)state;
    make_source(one, two, 0);
    progress.stop_at = 2;
    assert_int_equal(copy_as(&a, &b, "v", "two", NULL, K2, &a.kms.api), 77);
    total = progress.total;
    assert_int_equal(coffer_volume_open(b.store, &opts, &volume, &b.fault), COFFER_E_BUSY);
    check_clean(&b);
    fixture_crash(&b, SIM_CUT_ALL, 5);
    progress.stop_at = 0;
    must_copy(&a, &b, "v", "two", K2);
    assert_int_equal(progress.done, total);
    check_contents(&b, "v@two", two);
    check_clean(&b);
    progress.stop_at = 1;
    assert_int_equal(copy_as(&a, &b, "v", "one", NULL, K2, &a.kms.api), 77);
    progress.stop_at = 0;
    drop(&b, "v", "one"); /* never to go on */
    check_contents(&b, "v@two", two);
    check_clean(&b);
    end_stores();
}

static void there_and_back_again(void **state);

static void there_and_back_again_between_forks(void **state)
{
    forks = true;
    there_and_back_again(state);
    forks = false;
}

static void there_and_back_again(void **state)
{
    static uint64_t now[PAGES], kept[PAGES];
    char volume_name[2][16] = {"v", ""}, snapshot_name[16];
    struct volume_fixture *sides[2] = {&a, &b};
    (void)state;
    make_stores();
    make(&a, "v", 0);
    memset(now, 0, sizeof now);
    for (unsigned round = 0; round < 12; round++) {
        struct volume_fixture *here = sides[round % 2], *there = sides[1 - round % 2];
        struct coffer_volume *volume = open_in(here, volume_name[round % 2], 0);
        write_some(volume, now, round % 7, 13, round + 1u);
        snprintf(snapshot_name, sizeof snapshot_name, "s%u", round);
        take(here, volume, snapshot_name);
        memcpy(kept, now, sizeof kept);
        write_some(volume, kept, 3, 50, 100 + round); /* stays here */
        assert_int_equal(coffer_volume_close(volume), 0);
        must_copy(here, there, volume_name[round % 2], snapshot_name, round % 2 == 0 ? K2 : K1);
        if (round > 1) {
            assert_true(progress.total < 200u * PAGE);
        }
        check_contents(here, volume_name[round % 2], kept);
        snprintf(volume_name[1 - round % 2], 16, "w%u", round);
        restore(there, volume_name[round % 2], snapshot_name, volume_name[1 - round % 2]);
        check_contents(there, volume_name[1 - round % 2], now);
        if (round % 3 == 2) {
            fixture_reopen(there);
        }
        check_clean(here);
        check_clean(there);
    }
    end_stores();
}

static void another_key_service_needs_both_rights(void **state)
{
    static uint64_t one[PAGES], two[PAGES];
    struct coffer_copy_opts opts = {
        .size = sizeof opts,
        .source = {.volume = "v", .name = "one", .provider = &a.kms.api},
        .kms_key_id = K2,
        .provider = &b.kms.api};
    struct coffer_volume_open_opts open = {.size = sizeof open,
                                           .name = "v@one",
                                           .flags = COFFER_VOLUME_READ_ONLY,
                                           .provider = &b.kms.api};
    struct coffer_volume *volume;
    (void)state;
    make_source(one, two, 0);
    b.kms.keys[2].state = COFFER_KEY_IS_DISABLED;
    assert_int_equal(coffer_snapshot_copy(a.store, b.store, &opts, &b.fault),
                     COFFER_E_KEY_DISABLED);
    b.kms.keys[2].state = COFFER_KEY_ENABLED;
    a.kms.keys[1].state = COFFER_KEY_IS_DISABLED;
    assert_int_equal(coffer_snapshot_copy(a.store, b.store, &opts, &b.fault),
                     COFFER_E_KEY_DISABLED);
    a.kms.keys[1].state = COFFER_KEY_ENABLED;
    assert_true(live_pages(&b) < 8);
    assert_int_equal(coffer_snapshot_copy(a.store, b.store, &opts, &b.fault), 0);
    for (unsigned key = 0; key < FAKE_KMS_KEYS; key++) {
        a.kms.keys[key].state = COFFER_KEY_IS_DISABLED;
    }
    assert_int_equal(coffer_volume_open(b.store, &open, &volume, &b.fault), 0);
    for (uint64_t page = 0; page < PAGES; page++) {
        check_page(volume, page, one[page]);
    }
    assert_int_equal(coffer_volume_close(volume), 0);
    end_stores();
}

static struct coffer_copy_opts copy_opts(const char *name, const char *as, unsigned flags)
{
    struct coffer_copy_opts opts = {.size = sizeof opts,
                                    .flags = flags,
                                    .source = {.volume = "v", .name = name, .provider = &a.kms.api},
                                    .name = as,
                                    .kms_key_id = K2,
                                    .provider = &a.kms.api};
    return opts;
}

static void a_copy_within_a_store_has_a_key_of_its_own(void **state)
{
    static uint64_t one[PAGES], two[PAGES];
    struct coffer_copy_opts opts = copy_opts("one", "other", 0);
    uint64_t before;
    (void)state;
    make_source(one, two, 0);
    before = live_pages(&a);
    assert_int_equal(coffer_snapshot_copy(a.store, a.store, &opts, &a.fault), 0);
    assert_true(live_pages(&a) < before + 8);
    assert_int_equal(coffer_snapshot_copy(a.store, a.store, &opts, &a.fault), COFFER_E_EXISTS);
    a.kms.keys[1].state = COFFER_KEY_IS_DISABLED;
    check_contents(&a, "v@other", one);
    a.kms.keys[1].state = COFFER_KEY_ENABLED;
    drop(&a, "v", "one");
    check_contents(&a, "v@other", one);
    check_contents(&a, "v@two", two);
    check_clean(&a);
    must_copy(&a, &b, "v", "other", K1);
    check_contents(&b, "v@other", one);
    drop(&a, "v", "other");
    check_contents(&a, "v@two", two);
    check_clean(&a);
    check_clean(&b);
    end_stores();
}

static void a_copy_that_is_sealed_anew_shares_no_key(void **state)
{
    static uint64_t one[PAGES], two[PAGES];
    struct coffer_copy_opts opts = copy_opts("one", NULL, COFFER_COPY_REENCRYPT);
    struct coffer_volume *volume;
    struct coffer_volume_info info = {.size = sizeof info};
    (void)state;
    make_source(one, two, 0);
    for (uint64_t at = 1; at < 12; at++) { /* the key service goes away on the way */
        int err;
        fake_kms_fail(&a.kms, at, true, COFFER_E_KEY_UNREACHABLE);
        err = coffer_snapshot_copy(a.store, b.store, &opts, &b.fault);
        fake_kms_fail_none(&a.kms);
        if (err == 0) {
            break;
        }
        assert_int_equal(err, COFFER_E_KEY_UNREACHABLE);
        check_clean(&b);
    }
    a.kms.keys[1].state = COFFER_KEY_IS_DISABLED;
    check_contents(&b, "v@one", one);
    volume = open_in(&b, "v@one", COFFER_VOLUME_READ_ONLY);
    assert_int_equal(coffer_volume_info_get(volume, &info), 0);
    assert_string_equal(info.key_arn, K2);
    assert_int_equal(coffer_volume_close(volume), 0);
    a.kms.keys[1].state = COFFER_KEY_ENABLED;
    check_clean(&b);
    drop(&b, "v", "one");
    check_clean(&b);
    assert_true(live_pages(&b) < 8);
    end_stores();
}

static void an_unencrypted_snapshot_is_restored_under_a_key(void **state)
{
    static uint64_t one[PAGES], two[PAGES];
    struct coffer_snapshot_restore_opts opts = {
        .size = sizeof opts,
        .snapshot = {.volume = "v", .name = "two", .provider = &a.kms.api},
        .new_name = "w",
        .kms_key_id = K2};
    struct coffer_volume *volume;
    struct coffer_volume_info info = {.size = sizeof info};
    (void)state;
    make_source(one, two, 1);
    assert_int_equal(coffer_snapshot_restore(a.store, &opts, &a.fault), 0);
    assert_int_equal(coffer_snapshot_restore(a.store, &opts, &a.fault), COFFER_E_EXISTS);
    fixture_reopen(&a);
    check_contents(&a, "w", two);
    volume = open_in(&a, "w", 0);
    assert_int_equal(coffer_volume_info_get(volume, &info), 0);
    assert_int_equal(info.encrypted, 1);
    assert_string_equal(info.name, "w");
    assert_int_equal(coffer_volume_close(volume), 0);
    check_clean(&a);
    end_stores();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_opens_with_its_own_key_alone),
        cmocka_unit_test(volumes_that_were_written_by_turns_copy_whole),
        cmocka_unit_test(who_may_not_decrypt_may_copy),
        cmocka_unit_test(an_interrupted_copy_goes_on),
        cmocka_unit_test(there_and_back_again),
        cmocka_unit_test(there_and_back_again_between_forks),
        cmocka_unit_test(another_key_service_needs_both_rights),
        cmocka_unit_test(a_copy_within_a_store_has_a_key_of_its_own),
        cmocka_unit_test(a_copy_that_is_sealed_anew_shares_no_key),
        cmocka_unit_test(an_unencrypted_snapshot_is_restored_under_a_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
