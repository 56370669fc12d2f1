/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit of nonces: it sees every seal, in whatever segment it lies; copies of a store that go
 * on, older states that go on and lost tails share no pair; and it finds those that are planted:
 * an engine that derives one subkey for all extents, two copies that draw the same randomness,
 * wraps and records with another ciphertext under the same nonce.
 */
#include "base/testhook.h"
#include "common/disk_forge.h"
#include "common/hand_mover.h"
#include "common/recorder.h"
#include "format/catalogue_format.h"
#include "unit/volume_fixture.h"

#include <coffer/audit.h>

#define PAGES 3000u
#define KINDS 4u

/* ---- the two rules, over everything that was visited ---- */

struct fact {
    uint8_t key[16], value[16];
    struct coffer_seal seal;
};

struct audit {
    struct fact *facts;
    size_t count, room;
    uint64_t unreadable_bytes;
    int stop_after; /* seals; 0: never */
};

static void add_fact(struct audit *audit, const uint8_t *key, const uint8_t *value,
                     const struct coffer_seal *seal)
{
    struct fact *fact;
    if (audit->count == audit->room) {
        audit->room = audit->room == 0 ? 4096 : audit->room * 2;
        audit->facts = realloc(audit->facts, audit->room * sizeof *audit->facts);
        assert_non_null(audit->facts);
    }
    fact = &audit->facts[audit->count++];
    memcpy(fact->key, key, 16);
    memcpy(fact->value, value, 16);
    fact->seal = *seal;
}

static int on_seal(void *ctx, const struct coffer_seal *seal)
{
    struct audit *audit = ctx;
    add_fact(audit, seal->name, seal->ciphertext, seal);
    return audit->stop_after != 0 && audit->count >= (size_t)audit->stop_after ? 77 : 0;
}

static int on_unreadable(void *ctx, int error, uint64_t segment, uint64_t offset_bytes,
                         uint64_t length_bytes)
{
    struct audit *audit = ctx;
    assert_int_equal(error, COFFER_E_IO);
    assert_true(segment < SEGMENTS && offset_bytes + length_bytes <= SEGMENT_BYTES);
    audit->unreadable_bytes += length_bytes;
    return 0;
}

static int order(const void *a, const void *b)
{
    return memcmp(a, b, 32);
}

/* Keys that have two values, one for each value after the first; by kind. */
static uint64_t twice(struct audit *audit, uint64_t by_kind[KINDS])
{
    uint64_t found = 0;
    memset(by_kind, 0, KINDS * sizeof *by_kind);
    if (audit->count > 0) {
        qsort(audit->facts, audit->count, sizeof *audit->facts, order);
    }
    for (size_t i = 1; i < audit->count; i++) {
        if (memcmp(audit->facts[i].key, audit->facts[i - 1].key, 16) == 0 &&
            memcmp(audit->facts[i].value, audit->facts[i - 1].value, 16) != 0) {
            by_kind[audit->facts[i].seal.kind]++;
            found++;
        }
    }
    return found;
}

/* The other rule: from now on the ciphertext is the key, and the name the value. */
static void turn(struct audit *audit)
{
    for (size_t i = 0; i < audit->count; i++) {
        struct fact *fact = &audit->facts[i];
        memcpy(fact->key, fact->seal.ciphertext, 16);
        memcpy(fact->value, fact->seal.name, 16);
    }
}

static void audit_done(struct audit *audit)
{
    free(audit->facts);
    memset(audit, 0, sizeof *audit);
}

static void expect_none(struct audit *audit)
{
    uint64_t by_kind[KINDS];
    assert_true(audit->count > 0);
    assert_int_equal(twice(audit, by_kind), 0);
    turn(audit);
    assert_int_equal(twice(audit, by_kind), 0);
    audit_done(audit);
}

/* ---- stores ---- */

static struct volume_fixture f;

static struct coffer_seals_opts seals_opts(struct audit *audit)
{
    struct coffer_seals_opts opts = {
        .size = sizeof opts, .on_seal = on_seal, .on_unreadable = on_unreadable, .ctx = audit};
    return opts;
}

/* Visit the fixture's disk, its store being closed. */
static void visit(struct volume_fixture *fixture, struct audit *audit,
                  struct coffer_seals_summary *ret_summary)
{
    struct coffer_seals_opts opts = seals_opts(audit);
    assert_int_equal(fixture_open_store(fixture, COFFER_OPEN_READ_ONLY), 0);
    assert_int_equal(coffer_store_visit_seals(fixture->store, &opts, ret_summary, &fixture->fault),
                     0);
    fixture_close_store(fixture);
}

/* A copy of what is on the disk, as another process would open it. */
static void copy_store(struct volume_fixture *ret_copy, uint64_t incarnation)
{
    struct sim_disk_options options = {.seed = incarnation, .record = true};
    struct sim_image *image = sim_disk_image_live(f.disk);
    memset(ret_copy, 0, sizeof *ret_copy);
    det_env_init(&ret_copy->env, 99, 0);
    ret_copy->kms = f.kms;
    ret_copy->kms.api.ctx = &ret_copy->kms;
    ret_copy->disk = sim_disk_from_image(image, &options);
    ret_copy->incarnation = incarnation;
    sim_image_free(image);
}

static void write_many(struct coffer_volume *volume, uint64_t first, uint64_t count,
                       uint64_t version)
{
    uint8_t *bytes = malloc(64 * PAGE);
    assert_non_null(bytes);
    for (uint64_t at = 0; at < count; at += 64) {
        uint64_t part = count - at < 64 ? count - at : 64;
        for (uint64_t i = 0; i < part; i++) {
            fill_page(bytes + i * PAGE, first + at + i, version);
        }
        assert_int_equal(
            coffer_volume_write(volume, bytes, (first + at) * PAGE, part * PAGE, 0, &f.fault), 0);
    }
    free(bytes);
}

/* Open, write, make a checkpoint half-way, close. */
static void go_on(struct volume_fixture *fixture, uint64_t count, uint64_t version)
{
    struct coffer_volume *volume;
    assert_int_equal(fixture_open_store(fixture, 0), 0);
    volume = open_volume(fixture, "v");
    write_many(volume, 0, count, version);
    assert_int_equal(coffer_store_checkpoint(fixture->store, &fixture->fault), 0);
    write_many(volume, count / 2u, count / 2u, version + 1u);
    assert_int_equal(coffer_volume_discard(volume, 5 * PAGE, 20 * PAGE, &fixture->fault), 0);
    assert_int_equal(coffer_volume_close(volume), 0);
    fixture_close_store(fixture);
}

static int setup(void **state)
{
    (void)state;
    fixture_make(&f, 1);
    make_volume(&f, "v", PAGES, 0);
    fixture_close_store(&f);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cof_test_break = COF_BREAK_NONE;
    cof_test_on_seal = NULL;
    fixture_done(&f);
    return 0;
}

/* ---- what is seen ---- */

static uint64_t sealed_by_place, sealed_at_random;

/* A nonce by place is kind 0 or 1, a slot, and four zeros; a random one is not. */
static void count_seal(const uint8_t key[32], const uint8_t nonce[12])
{
    static const uint8_t zeros[4];
    (void)key;
    if (memcmp(nonce, zeros, 3) == 0 && nonce[3] <= 1 && memcmp(nonce + 8, zeros, 4) == 0) {
        sealed_by_place++;
    } else {
        sealed_at_random++;
    }
}

static void every_page_and_list_that_was_sealed_is_seen(void **state)
{
    struct audit audit = {0};
    struct coffer_seals_summary summary;
    (void)state;
    sealed_by_place = sealed_at_random = 0;
    cof_test_on_seal = count_seal;
    go_on(&f, 1500, 1);
    cof_test_on_seal = NULL;
    visit(&f, &audit, &summary);
    assert_true(summary.pages > 2250 && summary.lists > 10 && summary.headers > 10);
    assert_int_equal(summary.pages + summary.lists, sealed_by_place);
    /* Not all that volume keys sealed reaches the disk: a key may be wrapped anew before a root. */
    assert_true(summary.wraps >= 3 && summary.records >= 3 && sealed_at_random >= 6);
    assert_int_equal(audit.count, summary.pages + summary.lists + summary.wraps + summary.records);
    assert_int_equal(summary.plain_pages, 0);
    assert_int_equal(summary.records_lost, 0);
    assert_int_equal(summary.unreadable_bytes, 0);
    assert_int_equal(summary.bytes_read, (uint64_t)SEGMENTS * SEGMENT_BYTES);
    expect_none(&audit);
}

static void plain_pages_are_counted_and_have_no_name(void **state)
{
    struct audit audit = {0};
    struct coffer_seals_summary before, after;
    struct coffer_volume *volume;
    (void)state;
    visit(&f, &audit, &before);
    audit_done(&audit);
    assert_int_equal(fixture_open_store(&f, 0), 0);
    make_volume(&f, "plain", PAGES, 1);
    volume = open_volume(&f, "plain");
    write_many(volume, 0, 700, 1);
    assert_int_equal(coffer_volume_close(volume), 0);
    fixture_close_store(&f);
    visit(&f, &audit, &after);
    assert_true(after.plain_pages >= 700);
    assert_int_equal(after.pages, before.pages);
    assert_int_equal(after.lists, before.lists);
    expect_none(&audit);
}

/* Nothing is left of segments that are free. Closes the store. Returns how many pages live. */
static uint64_t wipe_free_segments(void)
{
    struct sim_disk_options options = {.seed = 5, .record = true};
    struct cof_segments *segments = &f.store->segments;
    bool is_free[SEGMENTS];
    struct sim_image *image;
    struct cof_desc *desc;
    uint64_t live = 0;
    for (uint32_t i = 0; i < SEGMENTS; i++) {
        is_free[i] = segments->table[i].state == COF_SEGMENT_FREE;
    }
    for (uint64_t extent = 1; cof_place_next(&f.store->place, 0, &extent, &desc) == 0; extent++) {
        live += cof_desc_moved(desc) ? cof_bitmap_count(&desc->live) : 0u;
    }
    fixture_close_store(&f);
    image = sim_disk_image_live(f.disk);
    for (uint32_t i = 0; i < SEGMENTS; i++) {
        for (uint32_t block = 0; is_free[i] && block < SEGMENT_BYTES / PAGE; block++) {
            sim_image_put(image, i, block, NULL);
        }
    }
    sim_disk_free(f.disk);
    f.disk = sim_disk_from_image(image, &options);
    sim_image_free(image);
    return live;
}

static void what_was_moved_has_its_name_still(void **state)
{
    struct audit audit = {0};
    struct coffer_seals_summary before, twice_there, after;
    uint64_t live;
    (void)state;
    go_on(&f, 1500, 1);
    visit(&f, &audit, &before);
    assert_int_equal(fixture_open_store(&f, 0), 0);
    assert_true(hand_move_all(f.store, 3) > 3);
    assert_int_equal(coffer_store_checkpoint(f.store, &f.fault), 0);
    live = wipe_free_segments();
    assert_true(live >= 1480);
    visit(&f, &audit, &after);
    assert_true(after.pages >= live && after.pages < before.pages);
    assert_true(after.lists < before.lists); /* these nobody needs any more */
    assert_int_equal(fixture_open_store(&f, 0), 0);
    assert_true(hand_move_all(f.store, 2) > 3);
    fixture_close_store(&f);
    visit(&f, &audit, &twice_there);
    assert_int_equal(after.plain_pages + twice_there.plain_pages, 0);
    assert_int_equal(after.records_lost, 0);
    expect_none(&audit);
}

static void damage_of_a_moved_extent_does_not_end_the_audit(void **state)
{
    struct audit audit = {0};
    struct coffer_seals_summary sound, damaged;
    struct sim_disk_options options = {.seed = 5, .record = true};
    struct sim_image *image;
    uint32_t segment = COF_NO_SEGMENT;
    (void)state;
    go_on(&f, 1500, 1);
    assert_int_equal(fixture_open_store(&f, 0), 0);
    assert_true(hand_move_all(f.store, 1) > 3);
    assert_int_equal(coffer_store_checkpoint(f.store, &f.fault), 0);
    for (uint32_t i = 1; segment == COF_NO_SEGMENT; i++) {
        segment = f.store->segments.table[i].state == COF_SEGMENT_USED &&
                          f.store->segments.table[i].lane == 1
                      ? i
                      : COF_NO_SEGMENT;
    }
    (void)wipe_free_segments();
    visit(&f, &audit, &sound);
    image = sim_disk_image_live(f.disk);
    sim_image_poke(image, segment, 0, 100, "\x55\xaa\x55", 3);
    sim_disk_free(f.disk);
    f.disk = sim_disk_from_image(image, &options);
    sim_image_free(image);
    visit(&f, &audit, &damaged);
    assert_int_equal(damaged.pages, sound.pages - 127u);
    expect_none(&audit);
}

/* Of two stores: seals of one extent number and slot under two uuids. */
static uint64_t numbers_that_meet(const struct audit *audit)
{
    uint64_t met = 0;
    for (size_t i = 0; i < audit->count; i++) {
        const struct coffer_seal *a = &audit->facts[i].seal;
        for (size_t j = i + 1; j < audit->count && met == 0; j++) {
            const struct coffer_seal *b = &audit->facts[j].seal;
            met += a->kind == COFFER_SEAL_PAGE && b->kind == a->kind && a->extent == b->extent &&
                           a->slot == b->slot && memcmp(&a->uuid, &b->uuid, 16) != 0
                       ? 1u
                       : 0u;
        }
    }
    return met;
}

static void copies_that_both_go_on_share_no_pair(void **state)
{
    struct audit audit = {0};
    struct coffer_seals_summary summary;
    struct volume_fixture copies[2];
    (void)state;
    go_on(&f, 600, 1);
    for (unsigned i = 0; i < 2; i++) {
        copy_store(&copies[i], 1000u + i);
    }
    go_on(&f, 400, 11);
    for (unsigned i = 0; i < 2; i++) {
        go_on(&copies[i], 400, 21u + i);
        visit(&copies[i], &audit, &summary);
    }
    visit(&f, &audit, &summary);
    assert_true(numbers_that_meet(&audit) > 0);
    expect_none(&audit);
    for (unsigned i = 0; i < 2; i++) {
        fixture_done(&copies[i]);
    }
}

static void an_older_state_that_goes_on_shares_no_pair(void **state)
{
    struct audit audit = {0};
    struct coffer_seals_summary summary;
    struct volume_fixture older;
    (void)state;
    go_on(&f, 300, 1);
    copy_store(&older, 2000);
    for (uint64_t i = 0; i < 4; i++) {
        go_on(&f, 500, 10u * i);
        visit(&f, &audit, &summary);
    }
    go_on(&older, 500, 77); /* put back in the place of the first, and again */
    visit(&older, &audit, &summary);
    go_on(&older, 500, 78);
    visit(&older, &audit, &summary);
    expect_none(&audit);
    fixture_done(&older);
}

static void what_a_lost_tail_left_is_seen(void **state)
{
    struct audit audit = {0};
    struct coffer_seals_summary before, after;
    struct coffer_volume *volume;
    (void)state;
    assert_int_equal(fixture_open_store(&f, 0), 0);
    for (uint64_t i = 0; i < 6; i++) {
        volume = open_volume(&f, "v");
        write_many(volume, 0, 300, i + 1u);
        fixture_crash(&f, i % 2 == 0 ? SIM_CUT_TORN : SIM_CUT_SUBSET, i);
    }
    fixture_close_store(&f);
    visit(&f, &audit, &before);
    go_on(&f, 300, 50);
    visit(&f, &audit, &after);
    assert_true(before.pages > 300);
    expect_none(&audit);
}

static void take_snapshot(const char *volume_name, const char *name, uint64_t version)
{
    struct coffer_snapshot_opts opts = {
        .size = sizeof opts, .volume = volume_name, .name = name, .provider = &f.kms.api};
    struct coffer_volume *volume;
    assert_int_equal(fixture_open_store(&f, 0), 0);
    volume = open_volume(&f, volume_name);
    write_many(volume, 0, 200, version);
    assert_int_equal(coffer_snapshot_create(volume, &opts, NULL, &f.fault), 0);
    write_many(volume, 50, 100, version + 1u);
    assert_int_equal(coffer_volume_close(volume), 0);
    fixture_close_store(&f);
}

static void restore(const char *volume_name, const char *name, const char *new_name)
{
    struct coffer_snapshot_restore_opts opts = {.size = sizeof opts, .new_name = new_name};
    opts.snapshot.volume = volume_name;
    opts.snapshot.name = name;
    opts.snapshot.provider = &f.kms.api;
    assert_int_equal(fixture_open_store(&f, 0), 0);
    assert_int_equal(coffer_snapshot_restore(f.store, &opts, &f.fault), 0);
    fixture_close_store(&f);
}

/* A clone inherits data keys for reading, and a re-key wraps them anew, here under two histories
 * of one store. */
static void snapshots_clones_and_new_keys_share_no_pair(void **state)
{
    struct audit audit = {0};
    struct coffer_seals_summary summary;
    struct sim_disk *original = f.disk;
    (void)state;
    take_snapshot("v", "first", 1);
    for (unsigned history = 0; history < 2; history++) {
        struct sim_disk_options options = {.seed = history, .record = true};
        struct sim_image *image = sim_disk_image_live(original);
        struct coffer_rekey_opts rekey = {
            .size = sizeof rekey, .volume = "clone", .provider = &f.kms.api};
        f.disk = sim_disk_from_image(image, &options);
        sim_image_free(image);
        restore("v", "first", "clone");
        take_snapshot("clone", "second", 10u + history);
        restore("clone", "second", "grandchild");
        take_snapshot("grandchild", "third", 20u + history);
        take_snapshot("v", "fourth", 30u + history);
        for (unsigned depth = COFFER_REKEY_MASTER; depth <= COFFER_REKEY_DATA; depth++) {
            rekey.depth = (enum coffer_rekey_depth)depth;
            assert_int_equal(fixture_open_store(&f, 0), 0);
            assert_int_equal(coffer_volume_rekey(f.store, &rekey, &f.fault), 0);
            fixture_close_store(&f);
            take_snapshot("clone", depth == 0 ? "m" : depth == 1 ? "v" : "d", 40u + depth);
        }
        visit(&f, &audit, &summary);
        assert_true(summary.wraps >= 20 && summary.records >= 20);
        assert_int_equal(summary.records_lost, 0);
        sim_disk_free(f.disk);
    }
    f.disk = original;
    visit(&f, &audit, &summary);
    assert_true(numbers_that_meet(&audit) > 0);
    expect_none(&audit);
}

/* ---- what is found ---- */

/* One subkey for all extents of a data key: no name on the disk is wrong, but equal pages in equal
 * slots of two extents have equal ciphertext. */
static void a_subkey_that_many_extents_share_is_found(void **state)
{
    uint64_t by_kind[KINDS];
    (void)state;
    for (unsigned broken = 0; broken < 2; broken++) {
        struct audit audit = {0};
        struct coffer_seals_summary summary;
        struct coffer_volume *volume;
        cof_test_break = broken != 0 ? COF_BREAK_REUSE_NONCE : COF_BREAK_NONE;
        assert_int_equal(fixture_open_store(&f, 0), 0);
        make_volume(&f, broken != 0 ? "broken" : "sound", PAGES, 0);
        volume = open_volume(&f, broken != 0 ? "broken" : "sound");
        for (unsigned i = 0; i < 3; i++) { /* a checkpoint ends the extent */
            write_page(volume, 9, 1);
            assert_int_equal(coffer_store_checkpoint(f.store, &f.fault), 0);
        }
        assert_int_equal(coffer_volume_close(volume), 0);
        fixture_close_store(&f);
        cof_test_break = COF_BREAK_NONE;
        visit(&f, &audit, &summary);
        assert_int_equal(twice(&audit, by_kind), 0);
        turn(&audit);
        assert_int_equal(twice(&audit, by_kind) > 0, broken != 0);
        assert_int_equal(by_kind[COFFER_SEAL_PAGE] > 0, broken != 0);
        audit_done(&audit);
    }
}

/* Two copies that draw the same randomness, as two resumed images of one machine would: the same
 * data key, extent and uuid seal different pages. The recorder says that the pairs are real. */
static void copies_with_the_same_randomness_are_found(void **state)
{
    (void)state;
    recorder_install();
    for (unsigned same = 0; same < 2; same++) {
        uint64_t by_kind[KINDS];
        struct audit audit = {0};
        struct coffer_seals_summary summary;
        struct volume_fixture copies[2];
        recorder_reset();
        for (unsigned i = 0; i < 2; i++) {
            copy_store(&copies[i], 3000u + (same != 0 ? 0 : i));
        }
        for (unsigned i = 0; i < 2; i++) {
            go_on(&copies[i], 200u + 10u * i, 31u + 10u * i);
            visit(&copies[i], &audit, &summary);
            fixture_done(&copies[i]);
        }
        assert_int_equal(recorder_repeats() > 0, same != 0);
        assert_int_equal(twice(&audit, by_kind) > 0, same != 0);
        assert_int_equal(by_kind[COFFER_SEAL_PAGE] > 100, same != 0);
        assert_int_equal(by_kind[COFFER_SEAL_LIST] > 0, same != 0);
        audit_done(&audit);
    }
    recorder_reset();
}

/* Change a bit of each sealed record, or of the first wrap in each part of data keys. */
static void forge_catalogue(struct sim_image *image, bool record)
{
    struct forge_map map;
    unsigned forged = 0;
    forge_map_init(&map, image);
    for (unsigned i = 0; i < map.batch_count; i++) {
        for (unsigned r = 0; r < map.batches[i].header.runs; r++) {
            struct cof_run run;
            unsigned page;
            uint32_t segment, block;
            uint8_t byte;
            forge_run(image, &map.batches[i], r, &run, &page);
            block = map.batches[i].block + 1u + page;
            if (run.volume != COF_VOLUME_TAG_RAW || run.extent >> 56 != COF_RAW_CATALOGUE ||
                (run.extent >> 10 & 0xfffu) == 0 || ((run.extent & 0x3ffu) == 0) != record) {
                continue;
            }
            segment = map.batches[i].segment;
            if (record && memcmp(sim_image_bytes(image, segment, block), "COFV", 4) != 0) {
                continue; /* a node */
            }
            forge_read(image, segment, block, record ? 80 : 30, &byte, 1);
            byte ^= 1;
            forge_write(image, segment, block, record ? 80 : 30, &byte, 1);
            forged++;
        }
    }
    assert_true(forged > 0);
    forge_fix_all(image, &map);
    forge_map_done(&map);
}

static void another_ciphertext_under_a_nonce_of_a_volume_key_is_found(void **state)
{
    (void)state;
    go_on(&f, 100, 1);
    for (unsigned record = 0; record < 2; record++) {
        enum coffer_seal_kind kind = record != 0 ? COFFER_SEAL_RECORD : COFFER_SEAL_WRAP;
        uint64_t by_kind[KINDS];
        struct audit audit = {0};
        struct coffer_seals_summary summary;
        struct sim_disk_options options = {.seed = 5};
        struct sim_image *image = sim_disk_image_live(f.disk);
        struct volume_fixture forged;
        copy_store(&forged, 4000);
        sim_disk_free(forged.disk);
        forge_catalogue(image, record != 0);
        forged.disk = sim_disk_from_image(image, &options);
        visit(&f, &audit, &summary);
        visit(&forged, &audit, &summary);
        assert_true(twice(&audit, by_kind) > 0);
        for (unsigned i = 0; i < KINDS; i++) {
            assert_int_equal(by_kind[i] > 0, i == (unsigned)kind);
        }
        sim_image_free(image);
        fixture_done(&forged);
        audit_done(&audit);
    }
}

/* ---- when it can't ---- */

static void unreadable_blocks_are_told_and_the_rest_is_seen(void **state)
{
    struct audit audit = {0};
    struct coffer_seals_opts opts = seals_opts(&audit);
    struct coffer_seals_summary whole, part;
    uint64_t reads, unreadable = 0;
    (void)state;
    go_on(&f, 900, 1);
    visit(&f, &audit, &whole);
    audit_done(&audit);
    for (uint64_t at = 0; at < 40; at += 3) { /* sticky: from there on nothing reads */
        struct sim_fault fault = {COFFER_SEGDEV_READ, 0, COFFER_E_IO, 5, at % 2 == 0};
        assert_int_equal(fixture_open_store(&f, COFFER_OPEN_READ_ONLY), 0);
        reads = sim_disk_calls(f.disk, COFFER_SEGDEV_READ);
        fault.at = reads + at;
        sim_disk_inject(f.disk, &fault);
        assert_int_equal(coffer_store_visit_seals(f.store, &opts, &part, &f.fault), 0);
        sim_disk_inject(f.disk, NULL);
        assert_int_equal(part.unreadable_bytes, audit.unreadable_bytes);
        assert_int_equal(part.unreadable_bytes + part.bytes_read,
                         (uint64_t)SEGMENTS * SEGMENT_BYTES);
        assert_true(part.unreadable_bytes > 0 ? part.pages <= whole.pages
                                              : part.pages == whole.pages);
        unreadable += part.unreadable_bytes > 0 ? 1u : 0u;
        fixture_close_store(&f);
        audit_done(&audit);
    }
    assert_true(unreadable > 0);
}

static void it_wants_a_store_that_nobody_writes(void **state)
{
    struct audit audit = {0};
    struct coffer_seals_opts opts = seals_opts(&audit);
    struct coffer_seals_summary summary = {.headers = 42};
    (void)state;
    assert_int_equal(fixture_open_store(&f, 0), 0);
    assert_int_equal(coffer_store_visit_seals(f.store, &opts, &summary, &f.fault),
                     COFFER_E_INVALID);
    fixture_close_store(&f);
    assert_int_equal(fixture_open_store(&f, COFFER_OPEN_READ_ONLY), 0);
    opts.size--;
    assert_int_equal(coffer_store_visit_seals(f.store, &opts, &summary, NULL), COFFER_E_INVALID);
    opts.size++;
    opts.on_seal = NULL;
    assert_int_equal(coffer_store_visit_seals(f.store, &opts, &summary, NULL), COFFER_E_INVALID);
    assert_int_equal(coffer_store_visit_seals(f.store, NULL, &summary, NULL), COFFER_E_INVALID);
    opts.on_seal = on_seal;
    for (uint64_t i = 0; i < 2; i++) {
        det_env_fail(&f.env, i, false);
        assert_int_equal(coffer_store_visit_seals(f.store, &opts, &summary, &f.fault),
                         COFFER_E_NO_MEMORY);
        det_env_fail_none(&f.env);
    }
    audit.stop_after = 1;
    assert_int_equal(coffer_store_visit_seals(f.store, &opts, &summary, &f.fault), 77);
    assert_int_equal(audit.count, 1);
    assert_int_equal(summary.headers, 42); /* outputs stay as they are on failure */
    audit_done(&audit);
    assert_int_equal(coffer_store_visit_seals(f.store, &opts, NULL, NULL), 0);
    audit_done(&audit);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(every_page_and_list_that_was_sealed_is_seen),
        CASE(plain_pages_are_counted_and_have_no_name),
        CASE(what_was_moved_has_its_name_still),
        CASE(damage_of_a_moved_extent_does_not_end_the_audit),
        CASE(copies_that_both_go_on_share_no_pair),
        CASE(an_older_state_that_goes_on_shares_no_pair),
        CASE(what_a_lost_tail_left_is_seen),
        CASE(snapshots_clones_and_new_keys_share_no_pair),
        CASE(a_subkey_that_many_extents_share_is_found),
        CASE(copies_with_the_same_randomness_are_found),
        CASE(another_ciphertext_under_a_nonce_of_a_volume_key_is_found),
        CASE(unreadable_blocks_are_told_and_the_rest_is_seen),
        CASE(it_wants_a_store_that_nobody_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
