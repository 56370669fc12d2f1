/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deep re-encryption of a family: a volume, its snapshots, a clone and a clone of that. Every page
 * reads as before, throughout and after; no table names an old data key at the end; no (key, nonce)
 * pair is met twice; it goes on after crashes; what does not open stays and is told.
 */
#include "common/recorder.h"
#include "unit/volume_fixture.h"

#include "base/testhook.h"
#include "volume/reencrypt.h"

#define PAGES 700u
#define KEYS_MAX 256u

extern unsigned cof_test_reencrypt_keys;

static struct volume_fixture f;

/* Volumes and snapshots, and which version every page of them is. */
static const struct {
    const char *name;
    uint64_t version;
} family[] = {{"v@a", 1}, {"v@b", 2}, {"v", 3}, {"c", 4}, {"c@x", 4}, {"d", 5}};
#define FAMILY (sizeof family / sizeof family[0])

/* Commitments of every data key that a table has. */
struct keys {
    uint8_t list[KEYS_MAX][COF_COMMITMENT_BYTES];
    unsigned count;
};

static void write_pages(const char *name, uint64_t pages, uint64_t version)
{
    struct coffer_volume *volume = open_volume(&f, name);
    for (uint64_t page = 0; page < pages; page++) {
        write_page(volume, page, version);
    }
    assert_int_equal(coffer_volume_close(volume), 0);
}

static void take(const char *name, const char *snapshot)
{
    struct coffer_snapshot_opts opts = {.size = sizeof opts, .name = snapshot};
    struct coffer_volume *volume = open_volume(&f, name);
    opts.provider = &f.kms.api;
    assert_int_equal(coffer_snapshot_create(volume, &opts, NULL, &f.fault), 0);
    assert_int_equal(coffer_volume_close(volume), 0);
}

static void restore(const char *volume, const char *snapshot, const char *name)
{
    struct coffer_snapshot_restore_opts opts = {
        .size = sizeof opts,
        .snapshot = {.volume = volume, .name = snapshot, .provider = &f.kms.api},
        .new_name = name};
    assert_int_equal(coffer_snapshot_restore(f.store, &opts, &f.fault), 0);
}

static void make_family(void)
{
    fixture_make(&f, 21);
    recorder_install();
    make_volume(&f, "v", PAGES, 0);
    write_pages("v", PAGES, 1);
    take("v", "a");
    write_pages("v", PAGES, 2);
    take("v", "b");
    write_pages("v", PAGES, 3);
    restore("v", "a", "c");
    write_pages("c", PAGES, 4);
    take("c", "x");
    restore("c", "x", "d");
    write_pages("d", PAGES, 5);
}

static void done(void)
{
    cof_test_break = COF_BREAK_NONE;
    recorder_check();
    recorder_reset();
    fixture_done(&f);
}

static void check_volume(const char *name, uint64_t version)
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
    for (unsigned i = 0; i < FAMILY; i++) {
        check_volume(family[i].name, family[i].version);
    }
    assert_int_equal(coffer_store_check(f.store, &opts, &summary, &f.fault), 0);
    assert_int_equal(summary.findings, 0);
    assert_int_equal(summary.volumes_opened, summary.volumes);
}

static void add_keys(struct keys *keys)
{
    for (struct cof_catalogue_item *item = f.store->items; item != NULL; item = item->next) {
        struct coffer_volume *twin;
        uint8_t digest[32];
        assert_int_equal(cof_twin_new(f.store, item, true, &twin), 0);
        assert_int_equal(cof_keys_read(twin, item->entry.data_keys, digest), 0);
        for (unsigned i = 0; i < twin->ek_count; i++) {
            assert_true(keys->count < KEYS_MAX);
            memcpy(keys->list[keys->count++], twin->eks[i].entry.commitment, COF_COMMITMENT_BYTES);
        }
        cof_twin_free(twin);
    }
}

static unsigned in_common(const struct keys *a, const struct keys *b)
{
    unsigned count = 0;
    for (unsigned i = 0; i < a->count; i++) {
        for (unsigned k = 0; k < b->count; k++) {
            count += memcmp(a->list[i], b->list[k], COF_COMMITMENT_BYTES) == 0;
        }
    }
    return count;
}

static int begin(const char *name)
{
    struct coffer_reencrypt_opts opts = {
        .size = sizeof opts, .volume = name, .provider = &f.kms.api};
    return coffer_reencrypt_begin(f.store, &opts, &f.fault);
}

static struct coffer_reencrypt_status look(const char *name)
{
    struct coffer_reencrypt_opts opts = {.size = sizeof opts, .volume = name};
    struct coffer_reencrypt_status status;
    assert_int_equal(coffer_reencrypt_status_get(f.store, &opts, &status, &f.fault), 0);
    return status;
}

/* To its end; how far it is never falls. */
static int run(struct coffer_reencrypt_status *status)
{
    uint64_t before = 0;
    int err;
    while ((err = coffer_reencrypt_step(f.store, status, &f.fault)) == 1) {
        assert_true(status->extents_done >= before);
        before = status->extents_done;
    }
    return err;
}

static void every_page_reads_and_no_old_key_is_left(void **state)
{
    static struct keys before, after;
    struct coffer_reencrypt_status status;
    (void)state;
    make_family();
    add_keys(&before);
    assert_int_equal(look("v").state, COFFER_REENCRYPT_NONE);
    assert_int_equal(begin("v"), 0);
    assert_int_equal(look("d").state, COFFER_REENCRYPT_BEGUN);
    assert_int_equal(begin("v"), COFFER_E_BUSY);
    assert_int_equal(run(&status), 0);
    assert_int_equal(status.state, COFFER_REENCRYPT_DONE);
    assert_true(status.extents > 5);
    assert_int_equal(status.extents_done, status.extents);
    assert_int_equal(status.bytes_left, 0);
    coffer_reencrypt_end(f.store);
    assert_int_equal(look("c").state, COFFER_REENCRYPT_DONE);
    assert_int_equal(look("c").extents_done, status.extents);
    add_keys(&after);
    assert_int_equal(in_common(&before, &after), 0);
    check_family();
    fixture_reopen(&f);
    check_family();
    memset(&after, 0, sizeof after);
    add_keys(&after);
    assert_int_equal(in_common(&before, &after), 0);
    done();
}

/* ---- going on ---- */

/* Crashes after a few steps, over and over, in every way; each time it goes on. */
static void it_goes_on_after_crashes(void **state)
{
    static struct keys before, after;
    struct coffer_reencrypt_status status;
    uint64_t done_before = 0;
    unsigned crashes = 0;
    int err = 1;
    (void)state;
    make_family();
    add_keys(&before);
    while (err == 1) {
        assert_int_equal(begin("v"), 0);
        for (unsigned i = 0; err == 1 && i < 3u + crashes; i++) {
            err = coffer_reencrypt_step(f.store, &status, &f.fault);
        }
        assert_true(err >= 0);
        if (err == 1) {
            if (crashes % 2 == 0) { /* stopped before: what was done is durable */
                coffer_reencrypt_end(f.store);
            }
            fixture_crash(&f, (enum sim_variant)(crashes % SIM_VARIANTS), 77 + crashes);
            crashes++;
            status = look("v");
            assert_int_equal(status.state, COFFER_REENCRYPT_BEGUN);
            assert_true(status.extents_done >= done_before);
            done_before = status.extents_done;
            assert_true(crashes < 50);
            check_family();
        }
    }
    assert_true(crashes > 2);
    coffer_reencrypt_end(f.store);
    assert_int_equal(look("v").state, COFFER_REENCRYPT_DONE);
    add_keys(&after);
    assert_int_equal(in_common(&before, &after), 0);
    check_family();
    done();
}

/* More keys than a round takes: an opening for writing draws one each. */
static void many_keys_take_many_rounds(void **state)
{
    static struct keys before, after;
    struct coffer_reencrypt_status status;
    (void)state;
    cof_test_reencrypt_keys = 3;
    make_family();
    for (unsigned i = 0; i < 10; i++) {
        write_pages("d", 20 + i, 5);
    }
    add_keys(&before);
    assert_int_equal(begin("v"), 0);
    assert_int_equal(run(&status), 0);
    assert_int_equal(status.state, COFFER_REENCRYPT_DONE);
    coffer_reencrypt_end(f.store);
    add_keys(&after);
    assert_int_equal(in_common(&before, &after), 0);
    check_family();
    cof_test_reencrypt_keys = 0;
    done();
}

static void it_can_be_done_again(void **state)
{
    static struct keys before, after;
    struct coffer_reencrypt_status status;
    (void)state;
    make_family();
    for (unsigned i = 0; i < 3; i++) {
        memset(&before, 0, sizeof before);
        memset(&after, 0, sizeof after);
        add_keys(&before);
        assert_int_equal(begin("d"), 0);
        assert_int_equal(run(&status), 0);
        coffer_reencrypt_end(f.store);
        add_keys(&after);
        assert_int_equal(in_common(&before, &after), 0);
        check_family();
    }
    done();
}

/* ---- in use ---- */

static void check_mixed(struct coffer_volume *volume, uint64_t first, uint64_t early, uint64_t late)
{
    for (uint64_t page = 0; page < PAGES; page++) {
        check_page(volume, page, page < first ? early : page % 7 == 0 && page < 280 ? late : 3);
    }
}

/* Volumes are open, written, snapshot, cloned and deleted while it runs. */
static void the_family_is_used_meanwhile(void **state)
{
    static struct keys before, after;
    struct coffer_reencrypt_status status;
    struct coffer_volume *volume;
    struct coffer_snapshot_opts gone = {.size = sizeof gone, .volume = "v", .name = "a"};
    (void)state;
    make_family();
    add_keys(&before);
    assert_int_equal(begin("v"), 0);
    volume = open_volume(&f, "v");
    for (unsigned i = 0; i < 6; i++) {
        struct coffer_snapshot_opts opts = {.size = sizeof opts, .provider = &f.kms.api};
        char name[16];
        assert_int_equal(coffer_reencrypt_step(f.store, &status, &f.fault), 1);
        for (uint64_t page = 0; page < 40; page++) {
            write_page(volume, page * 7u, 10 + i);
        }
        snprintf(name, sizeof name, "s%u", i);
        opts.name = name;
        assert_int_equal(coffer_snapshot_create(volume, &opts, NULL, &f.fault), 0);
        if (i == 2) {
            restore("v", "s1", "e");
            write_pages("e", 30, 50);
        }
    }
    gone.provider = &f.kms.api;
    assert_int_equal(coffer_snapshot_delete(f.store, &gone, &f.fault), 0);
    check_mixed(volume, 0, 0, 15);
    assert_int_equal(run(&status), 0);
    coffer_reencrypt_end(f.store);
    check_mixed(volume, 0, 0, 15);
    assert_int_equal(coffer_volume_close(volume), 0);
    add_keys(&after);
    assert_int_equal(in_common(&before, &after), 0);
    check_volume("d", 5);
    check_volume("v@b", 2);
    fixture_reopen(&f);
    check_volume("c", 4);
    volume = open_volume(&f, "e");
    check_mixed(volume, 30, 50, 11);
    assert_int_equal(coffer_volume_close(volume), 0);
    done();
}

static void it_keeps_to_its_rate(void **state)
{
    struct coffer_reencrypt_opts opts = {.size = sizeof opts,
                                         .volume = "v",
                                         .provider = &f.kms.api,
                                         .bytes_per_second_max = 1u << 20};
    struct coffer_reencrypt_status status;
    uint64_t began, bytes = 0;
    int err;
    (void)state;
    make_family();
    began = f.env.now_ns;
    assert_int_equal(coffer_reencrypt_begin(f.store, &opts, &f.fault), 0);
    while ((err = coffer_reencrypt_step(f.store, &status, &f.fault)) == 1) {
        bytes = bytes > status.bytes_left ? bytes : status.bytes_left;
        det_env_advance(&f.env, status.wait_ns);
    }
    assert_int_equal(err, 0);
    assert_true(bytes > 8u << 20);
    assert_true((f.env.now_ns - began) / 1000u > bytes * 8u / 10u);
    coffer_reencrypt_end(f.store);
    check_family();
    done();
}

/* ---- refused ---- */

static void it_begins_with_all_keys_or_not_at_all(void **state)
{
    struct coffer_snapshot_restore_opts opts = {
        .size = sizeof opts,
        .snapshot = {.volume = "v", .name = "b", .provider = &f.kms.api},
        .new_name = "e",
        .kms_key_id = "arn:coffer:kms:test:000000000000:key/2"};
    struct coffer_reencrypt_status status;
    struct coffer_volume *volume;
    uint64_t epoch;
    (void)state;
    make_family();
    assert_int_equal(coffer_snapshot_restore(f.store, &opts, &f.fault), 0);
    make_volume(&f, "plain", 4, 1);
    assert_int_equal(begin("plain"), COFFER_E_UNSUPPORTED);
    assert_int_equal(begin("nobody"), COFFER_E_NOT_FOUND);
    f.kms.keys[2].state = COFFER_KEY_IS_DISABLED;
    epoch = f.store->root.epoch;
    assert_int_equal(begin("v"), COFFER_E_KEY_DISABLED);
    assert_int_equal(f.store->root.epoch, epoch);
    assert_int_equal(look("v").state, COFFER_REENCRYPT_NONE);
    f.kms.keys[2].state = COFFER_KEY_ENABLED;
    volume = open_volume(&f, "c");
    epoch = f.store->root.epoch;
    assert_int_equal(begin("v"), COFFER_E_BUSY);
    assert_int_equal(f.store->root.epoch, epoch);
    assert_int_equal(coffer_volume_close(volume), 0);
    for (uint64_t at = 0;; at++) { /* the key service goes away on the way */
        int err;
        fake_kms_fail(&f.kms, at, true, COFFER_E_KEY_UNREACHABLE);
        err = begin("v");
        fake_kms_fail_none(&f.kms);
        if (err == 0) {
            break;
        }
        assert_int_equal(err, COFFER_E_KEY_UNREACHABLE);
        assert_int_equal(look("v").state, COFFER_REENCRYPT_NONE);
        assert_null(f.store->reencrypt);
    }
    check_family();
    assert_int_equal(run(&status), 0);
    coffer_reencrypt_end(f.store);
    check_family();
    done();
}

/* A handle for reading may have replayed a log that its table does not know. */
static void a_volume_open_for_reading_is_waited_for(void **state)
{
    struct coffer_volume_open_opts opts;
    struct coffer_reencrypt_status status;
    struct coffer_volume *volume, *snapshot;
    int err;
    (void)state;
    make_family();
    assert_int_equal(begin("v"), 0);
    opts = open_opts(&f, "v");
    opts.flags |= COFFER_VOLUME_READ_ONLY;
    assert_int_equal(coffer_volume_open(f.store, &opts, &volume, &f.fault), 0);
    opts.name = "v@a";
    assert_int_equal(coffer_volume_open(f.store, &opts, &snapshot, &f.fault), 0);
    assert_int_equal(run(&status), COFFER_E_BUSY);
    for (uint64_t page = 0; page < PAGES; page++) {
        check_page(volume, page, 3);
        check_page(snapshot, page, 1);
    }
    assert_int_equal(coffer_volume_close(volume), 0);
    err = run(&status);
    assert_int_equal(err, 0);
    for (uint64_t page = 0; page < PAGES; page++) {
        check_page(snapshot, page, 1);
    }
    assert_int_equal(coffer_volume_close(snapshot), 0);
    coffer_reencrypt_end(f.store);
    check_family();
    done();
}

/* Of an extent that was sealed anew: what an attacker can write into the placement table. */
static void an_edited_descriptor_opens_nothing(void **state)
{
    struct coffer_reencrypt_status status;
    struct coffer_volume_open_opts opts;
    struct coffer_volume *volume;
    struct cof_desc *desc = NULL;
    uint32_t leaving = 0;
    uint64_t extent = 1;
    uint8_t page[PAGE];
    unsigned refused = 0;
    (void)state;
    make_family();
    assert_int_equal(cof_place_next(&f.store->place, 0, &extent, &desc), 0);
    leaving = desc->key_id;
    assert_int_equal(begin("v"), 0);
    assert_int_equal(coffer_reencrypt_step(f.store, &status, &f.fault), 1);
    pthread_mutex_lock(&f.store->lock);
    assert_int_equal(cof_reencrypt_flush(f.store->reencrypt), 0);
    assert_int_equal(cof_place_find(&f.store->place, 0, extent, &desc), 0);
    assert_int_not_equal(desc->key_id, leaving);
    desc->key_id = leaving; /* both keys are in the tables */
    pthread_mutex_unlock(&f.store->lock);
    cof_openers_idle(f.store);
    opts = open_opts(&f, "v@a");
    opts.flags |= COFFER_VOLUME_READ_ONLY;
    assert_int_equal(coffer_volume_open(f.store, &opts, &volume, &f.fault), 0);
    for (uint64_t at = 0; at < PAGES; at++) {
        int err = coffer_volume_read(volume, page, at * PAGE, PAGE, &f.fault);
        assert_true(err == 0 || err == COFFER_E_TAMPER);
        refused += err != 0 ? 1u : 0u;
    }
    assert_true(refused > 0);
    assert_int_equal(coffer_volume_close(volume), 0);
    assert_int_equal(cof_place_find(&f.store->place, 0, extent, &desc), 0);
    desc->key_id = leaving + 100000u; /* nobody's */
    opts.name = "v@a";
    assert_int_equal(coffer_volume_open(f.store, &opts, &volume, &f.fault), 0);
    for (uint64_t at = 0; at < PAGES; at++) {
        int err = coffer_volume_read(volume, page, at * PAGE, PAGE, &f.fault);
        assert_true(err == 0 || err == COFFER_E_TAMPER);
        refused -= err != 0 ? 1u : 0u;
    }
    assert_int_equal(refused, 0);
    assert_int_equal(coffer_volume_close(volume), 0);
    coffer_reencrypt_end(f.store);
    done();
}

/* ---- damage ---- */

/* A bit of a page of the oldest data extent. */
static void damage_one_extent(void)
{
    struct sim_disk_options options = {.seed = 5, .record = true};
    struct cof_desc *desc = NULL;
    struct sim_image *image;
    uint32_t segment, block, header;
    uint64_t extent = 1;
    uint8_t byte;
    while (cof_place_next(&f.store->place, 0, &extent, &desc) == 0 &&
           (desc->metadata || !cof_bitmap_get(&desc->live, 3))) {
        extent++;
    }
    assert_int_equal(cof_desc_locate(desc, 3, &segment, &block, &header), 0);
    fixture_close_store(&f);
    image = sim_disk_image_live(f.disk);
    byte = sim_image_bytes(image, segment, block)[100] ^ 1u;
    sim_image_poke(image, segment, block, 100, &byte, 1);
    sim_disk_free(f.disk);
    f.disk = sim_disk_from_image(image, &options);
    sim_image_free(image);
    assert_int_equal(fixture_open_store(&f, 0), 0);
}

static void what_does_not_open_keeps_its_key(void **state)
{
    static struct keys before, after;
    struct coffer_reencrypt_status status;
    (void)state;
    make_family();
    add_keys(&before);
    damage_one_extent();
    for (unsigned round = 0; round < 2; round++) {
        assert_int_equal(begin("v"), 0);
        assert_int_equal(run(&status), COFFER_E_CORRUPT);
        assert_non_null(strstr(f.fault.detail, "keeps its data key"));
        assert_int_equal(status.state, COFFER_REENCRYPT_BEGUN);
        assert_int_equal(status.extents_damaged, 1);
        assert_int_equal(status.extents_done + 1, status.extents);
        assert_int_equal(status.old_keys, 1);
        coffer_reencrypt_end(f.store);
        status = look("v");
        assert_int_equal(status.state, COFFER_REENCRYPT_BEGUN);
        assert_int_equal(status.extents_done + 1, status.extents);
    }
    add_keys(&after);
    assert_true(in_common(&before, &after) > 0);
    check_volume("v", 3);
    check_volume("d", 5);
    done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_page_reads_and_no_old_key_is_left),
        cmocka_unit_test(it_goes_on_after_crashes),
        cmocka_unit_test(many_keys_take_many_rounds),
        cmocka_unit_test(it_can_be_done_again),
        cmocka_unit_test(the_family_is_used_meanwhile),
        cmocka_unit_test(it_keeps_to_its_rate),
        cmocka_unit_test(it_begins_with_all_keys_or_not_at_all),
        cmocka_unit_test(a_volume_open_for_reading_is_waited_for),
        cmocka_unit_test(an_edited_descriptor_opens_nothing),
        cmocka_unit_test(what_does_not_open_keeps_its_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
