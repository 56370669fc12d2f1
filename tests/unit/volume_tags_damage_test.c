/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/volume_tags_damage_test - tags that are damaged, exchanged, put back; cut short by a crash
 * or by memory that ends; and what the audit sees of them.
 */
#include "tags_fixture.h"

#include "common/disk_forge.h"
#include "format/taglist_format.h"

#include <coffer/audit.h>

struct part {
    uint64_t key;
    unsigned blocks;
    uint8_t bytes[COF_TAGLIST_BLOCKS_MAX * 4096u];
};

static int write_part(struct cof_birth *birth, const struct cof_raw_writer *writer)
{
    struct part *part = birth->ctx;
    return cof_ptree_write(&f.store->catalogue_tree, writer, part->key, part->bytes, part->blocks);
}

static void get_part(const char *name, struct part *part)
{
    part->key = cof_catalogue_key(item_of(&f, name)->entry.number, COF_CATALOGUE_TAGS_PART);
    assert_int_equal(cof_ptree_read(&f.store->catalogue_tree, part->key, part->bytes,
                                    COF_TAGLIST_BLOCKS_MAX, &part->blocks),
                     0);
}

/* As one who has the disk can do it: all checksums and trees are right. */
static void put_part(struct part *part)
{
    struct cof_birth birth = {.write = write_part, .ctx = part};
    pthread_mutex_lock(&f.store->lock);
    assert_int_equal(cof_give_birth(f.store, &birth), 0);
    pthread_mutex_unlock(&f.store->lock);
}

/* ---- damage ---- */

static void expect(const char *name, int error)
{
    struct shown shown;
    assert_int_equal(show(&f, name, &shown), error);
    assert_int_equal(shown.count, 0);
    assert_int_equal(findings(&f), 1);
    assert_int_equal(set(&f, name, "more", ""), error); /* which would hide it */
}

static void damaged_and_exchanged_lists_are_refused(void **state)
{
    static struct part mine, old, other, none;
    (void)state;
    for (int plain = 0; plain < 2; plain++) {
        int error = plain ? COFFER_E_CORRUPT : COFFER_E_TAMPER;
        fixture_make(&f, 14);
        make_in(&f, "v", plain);
        make_in(&f, "w", plain);
        must_set(&f, "v", "key", "old");
        must_set(&f, "w", "key", "new");
        get_part("v", &old);
        must_set(&f, "v", "key", "new");
        get_part("v", &mine);
        get_part("w", &other);
        assert_int_equal(findings(&f), 0);
        for (size_t at = 0; at < COF_TAGLIST_HEADER_BYTES + 14u; at++) {
            bool looked_at = at < 6 || (at >= 8 && at < 12) || (!plain && at >= 16 && at < 28) ||
                             at >= 32; /* the rest is reserved, or the audit's */
            mine.bytes[at] ^= 1;
            put_part(&mine);
            if (looked_at) {
                expect("v", error);
            } else {
                has(&f, "v", "key=new");
            }
            mine.bytes[at] ^= 1;
        }
        other.key = mine.key; /* the same tags, of another volume */
        put_part(&other);
        expect("v", error);
        put_part(&old); /* it was this volume's, once */
        expect("v", error);
        none.key = mine.key;
        none.blocks = 0;
        put_part(&none);
        expect("v", error);
        put_part(&mine);
        has(&f, "v", "key=new");
        put_part(&old);
        assert_int_equal(drop_tag(&f, "v", NULL), 0); /* an end of it */
        has(&f, "v", "");
        assert_int_equal(findings(&f), 0);
        put_part(&old); /* where there are none any more */
        has(&f, "v", "");
        assert_int_equal(findings(&f), 1);
        must_set(&f, "v", "key", "again");
        assert_int_equal(findings(&f), 0);
        fixture_done(&f);
    }
}

/* A new volume key seals the tags anew: where they can't be read, nobody drops them silently, and
 * removing them all is the way out. Reading goes on. */
static void a_volume_with_damaged_tags_keeps_its_key_until_they_are_removed(void **state)
{
    static struct part part;
    struct coffer_volume *volume;
    struct coffer_volume_open_opts opts;
    (void)state;
    fixture_make(&f, 19);
    make_in(&f, "v", 0);
    must_set(&f, "v", "key", "value");
    volume = open_volume(&f, "v");
    write_page(volume, 5, 1);
    take(volume, "s", 0, NULL, 0);
    assert_int_equal(coffer_volume_close(volume), 0);
    get_part("v", &part);
    part.bytes[50] ^= 1;
    put_part(&part);
    opts = open_opts(&f, "v");
    assert_int_equal(coffer_volume_open(f.store, &opts, &volume, &f.fault), COFFER_E_TAMPER);
    assert_non_null(strstr(f.fault.detail, "removing all"));
    opts.flags |= COFFER_VOLUME_READ_ONLY;
    assert_int_equal(coffer_volume_open(f.store, &opts, &volume, &f.fault), 0);
    check_page(volume, 5, 1);
    assert_int_equal(coffer_volume_close(volume), 0);
    assert_int_equal(drop_tag(&f, "v", NULL), 0);
    volume = open_volume(&f, "v");
    check_page(volume, 5, 1);
    assert_int_equal(coffer_volume_close(volume), 0);
    assert_int_equal(findings(&f), 0);
    fixture_done(&f);
}

/* What the medium does is damage, and stays told apart from what somebody did. */
static void a_worn_block_is_damage(void **state)
{
    struct cof_tree_pointer pointer;
    struct sim_image *image;
    struct shown shown;
    uint8_t byte;
    (void)state;
    fixture_make(&f, 15);
    make_in(&f, "v", 0);
    must_set(&f, "v", "key", "value");
    assert_int_equal(
        cof_ptree_find(&f.store->catalogue_tree,
                       cof_catalogue_key(item_of(&f, "v")->entry.number, COF_CATALOGUE_TAGS_PART),
                       &pointer),
        0);
    fixture_close_store(&f);
    image = sim_disk_image_live(f.disk);
    forge_read(image, pointer.segment, pointer.block, 60, &byte, 1);
    byte ^= 1;
    forge_write(image, pointer.segment, pointer.block, 60, &byte, 1);
    sim_disk_free(f.disk);
    f.disk = sim_disk_from_image(image, &(struct sim_disk_options){.seed = 1, .record = true});
    sim_image_free(image);
    assert_int_equal(fixture_open_store(&f, 0), 0);
    assert_int_equal(show(&f, "v", &shown), COFFER_E_CORRUPT);
    assert_true(findings(&f) > 0);
    {
        struct coffer_volume *volume = open_volume(&f, "v"); /* its data is not concerned */
        assert_int_equal(coffer_volume_close(volume), 0);
    }
    fixture_done(&f);
}

/* ---- crashes ---- */

/* Cut the power after each event of one change: the old list or the new, whole. */
static void cut_everywhere(bool open, const char *before, const char *after,
                           int (*change)(struct volume_fixture *))
{
    static const enum sim_variant variants[] = {SIM_CUT_ALL, SIM_CUT_NONE, SIM_CUT_TORN};
    uint64_t first, last;
    unsigned old = 0, new = 0;
    struct sim_disk *live;
    fixture_make(&f, 16);
    make_in(&f, "v", 0);
    must_set(&f, "v", "a", "1");
    must_set(&f, "v", "b", "2");
    if (open) {
        write_page(open_volume(&f, "v"), 0, 1);
    }
    first = sim_disk_events(f.disk);
    assert_int_equal(change(&f), 0);
    last = sim_disk_events(f.disk);
    assert_true(last > first + 3u);
    sim_disk_power_off(f.disk);
    (void)coffer_store_close(f.store);
    live = f.disk;
    for (uint64_t event = first; event <= last; event++) {
        for (unsigned i = 0; i < sizeof variants / sizeof variants[0]; i++) {
            struct sim_image *image = sim_disk_image_at(live, event, variants[i], event);
            struct shown shown;
            f.disk = sim_disk_from_image(image, &(struct sim_disk_options){.seed = 1});
            sim_image_free(image);
            assert_int_equal(fixture_open_store(&f, 0), 0);
            assert_int_equal(show(&f, "v", &shown), 0);
            old += strcmp(shown.text, before) == 0 ? 1u : 0u;
            new += strcmp(shown.text, after) == 0 ? 1u : 0u;
            assert_true(strcmp(shown.text, before) == 0 || strcmp(shown.text, after) == 0);
            assert_true(event < last || strcmp(shown.text, after) == 0);
            assert_int_equal(findings(&f), 0);
            fixture_close_store(&f);
            sim_disk_free(f.disk);
        }
    }
    f.disk = live;
    f.store = NULL;
    assert_true(old > 0 && new > 0);
    sim_disk_free(live);
    det_env_check_leaks(&f.env);
}

static int change_b(struct volume_fixture *in)
{
    return set(in, "v", "b", "3");
}

static int remove_all(struct volume_fixture *in)
{
    return drop_tag(in, "v", NULL);
}

static int renew_key(struct volume_fixture *in)
{
    struct coffer_rekey_opts opts = {.size = sizeof opts,
                                     .volume = "v",
                                     .kms_key_id = K2,
                                     .depth = COFFER_REKEY_VOLUME,
                                     .provider = &f.kms.api};
    return coffer_volume_rekey(in->store, &opts, &in->fault);
}

static void a_cut_leaves_the_old_list_or_the_new(void **state)
{
    (void)state;
    cut_everywhere(false, "a=1 b=2", "a=1 b=3", change_b);
    cut_everywhere(true, "a=1 b=2", "a=1 b=3", change_b);
    cut_everywhere(false, "a=1 b=2", "", remove_all);
    cut_everywhere(false, "a=1 b=2", "a=1 b=2", renew_key);
}

/* Memory fails at each place in turn: nothing has changed, or all has. */
static void what_fails_changes_nothing(void **state)
{
    unsigned failed = 0;
    int err = COFFER_E_NO_MEMORY;
    (void)state;
    for (uint64_t at = 0; err != 0; at++) {
        struct shown shown;
        fixture_make(&f, 17);
        make_in(&f, "v", 0);
        must_set(&f, "v", "a", "1");
        det_env_fail(&f.env, at, false);
        err = set(&f, "v", "b", "2");
        det_env_fail_none(&f.env);
        if (f.store->error != 0) {
            fixture_crash(&f, SIM_CUT_ALL, at);
        }
        assert_int_equal(show(&f, "v", &shown), 0);
        assert_string_equal(shown.text, err == 0 ? "a=1 b=2" : "a=1");
        failed += err != 0 ? 1u : 0u;
        assert_int_equal(findings(&f), 0);
        fixture_done(&f);
    }
    assert_true(failed > 5);
}

/* ---- the audit ---- */

static int on_seal(void *ctx, const struct coffer_seal *seal)
{
    unsigned *records = ctx;
    *records += seal->kind == COFFER_SEAL_RECORD ? 1u : 0u;
    return 0;
}

static unsigned records_sealed(void)
{
    unsigned records = 0;
    struct coffer_seals_opts opts = {.size = sizeof opts, .on_seal = on_seal, .ctx = &records};
    fixture_close_store(&f);
    assert_int_equal(fixture_open_store(&f, COFFER_OPEN_READ_ONLY), 0);
    assert_int_equal(coffer_store_visit_seals(f.store, &opts, NULL, &f.fault), 0);
    fixture_close_store(&f);
    assert_int_equal(fixture_open_store(&f, 0), 0);
    return records;
}

static void the_audit_sees_the_seals_of_lists(void **state)
{
    unsigned before;
    (void)state;
    fixture_make(&f, 18);
    make_in(&f, "v", 0);
    make_in(&f, "p", 1);
    before = records_sealed();
    must_set(&f, "v", "a", "1");
    must_set(&f, "p", "a", "1");                     /* is no seal */
    assert_int_equal(records_sealed(), before + 2u); /* the record, and the list */
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_and_exchanged_lists_are_refused),
        cmocka_unit_test(a_volume_with_damaged_tags_keeps_its_key_until_they_are_removed),
        cmocka_unit_test(a_worn_block_is_damage),
        cmocka_unit_test(a_cut_leaves_the_old_list_or_the_new),
        cmocka_unit_test(what_fails_changes_nothing),
        cmocka_unit_test(the_audit_sees_the_seals_of_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
