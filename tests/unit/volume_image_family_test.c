/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The families and copies of a frozen store go on: snapshots are restored and deleted, in both
 * orders and with what a copy left half-way, each with the keys it was given; what stays holds what
 * it held, and nothing is left when all of it is gone.
 */
#include "unit/image_fixture.h"

#define IMAGE "format-1.0-copies"
#define LEFT_BYTES (4u * PAGE) /* the list of lineages, and nodes of the trees */

static const json_t *at(const struct image *image, const char *list, size_t i)
{
    return json_array_get(member(image->manifest, list), i);
}

/* The name of a snapshot, cut in two. */
static struct coffer_snapshot_opts snapshot_opts(struct image *image, const json_t *entry,
                                                 char volume[COFFER_NAME_BYTES_MAX])
{
    const char *full = text_of(entry, "name"), *mark = strchr(full, '@');
    struct coffer_snapshot_opts opts = {
        .size = sizeof opts, .volume = volume, .provider = &image->kms.api};
    assert_non_null(mark);
    snprintf(volume, COFFER_NAME_BYTES_MAX, "%.*s", (int)(mark - full), full);
    opts.name = mark + 1;
    return opts;
}

static int try_open(struct image *image, const json_t *entry)
{
    struct coffer_volume_open_opts opts = {.size = sizeof opts,
                                           .name = text_of(entry, "name"),
                                           .flags = COFFER_VOLUME_READ_ONLY,
                                           .provider = &image->kms.api};
    struct coffer_volume *volume;
    int err = coffer_volume_open(image->store, &opts, &volume, NULL);
    if (err == 0) {
        assert_int_equal(coffer_volume_close(volume), 0);
    }
    return err;
}

static void reopen(struct image *image)
{
    assert_int_equal(coffer_store_close(image->store), 0);
    open_store(image, 0);
}

static void delete_snapshot(struct image *image, const json_t *entry)
{
    char volume[COFFER_NAME_BYTES_MAX];
    struct coffer_snapshot_opts opts = snapshot_opts(image, entry, volume);
    struct coffer_fault fault;
    int err = coffer_snapshot_delete(image->store, &opts, &fault);
    if (err != 0) {
        fail_msg("delete of %s: %s: %s", text_of(entry, "name"), coffer_error_name(err),
                 fault.detail);
    }
    assert_int_equal(try_open(image, entry), COFFER_E_NOT_FOUND);
}

static void delete_volume(struct image *image, const char *name)
{
    struct coffer_volume_open_opts opts = {.size = sizeof opts,
                                           .name = name,
                                           .flags = COFFER_VOLUME_ALLOW_PLAIN,
                                           .provider = &image->kms.api};
    struct coffer_fault fault;
    int err = coffer_volume_delete(image->store, &opts, &fault);
    if (err != 0) {
        fail_msg("delete of %s: %s: %s", name, coffer_error_name(err), fault.detail);
    }
}

static uint64_t live_bytes(struct image *image)
{
    struct coffer_store_info info = {.size = sizeof info};
    assert_int_equal(coffer_store_info_get(image->store, &info), 0);
    return info.live_bytes;
}

static void a_copy_on_its_way_is_seen_and_does_not_open(void **state)
{
    struct image image;
    (void)state;
    image_open(&image, IMAGE);
    open_store(&image, COFFER_OPEN_READ_ONLY);
    assert_true(listed(&image, "copying") > 0);
    for (size_t i = 0; i < listed(&image, "copying"); i++) {
        const json_t *entry = at(&image, "copying", i);
        struct coffer_snapshot_info info = {.size = sizeof info};
        char volume[COFFER_NAME_BYTES_MAX];
        struct coffer_snapshot_opts opts = snapshot_opts(&image, entry, volume);
        assert_int_equal(try_open(&image, entry), COFFER_E_BUSY);
        assert_int_equal(coffer_snapshot_info_get(image.store, &opts, &info, NULL), 0);
        assert_int_equal(info.status, COFFER_SNAPSHOT_FAILED);
        assert_string_equal(info.key_arn, text_of(entry, "key_arn"));
    }
    assert_int_equal(coffer_store_close(image.store), 0);
    image_close(&image);
}

/* One key at a time: exactly the volumes and snapshots under it open, and those it is let into. */
static void each_opens_with_its_keys_and_no_other(void **state)
{
    static const char *const lists[] = {"volumes", "snapshots"};
    struct image image;
    unsigned opened = 0, let_in = 0;
    (void)state;
    image_open(&image, IMAGE);
    for (unsigned key = 0; key < FAKE_KMS_KEYS; key++) {
        char arn[COFFER_KEY_ARN_BYTES_MAX];
        fake_kms_arn(key, arn);
        for (unsigned i = 0; i < FAKE_KMS_KEYS; i++) {
            image.kms.keys[i].state = i == key ? COFFER_KEY_ENABLED : COFFER_KEY_IS_DISABLED;
        }
        open_store(&image, COFFER_OPEN_READ_ONLY); /* no volume key is at hand */
        for (unsigned i = 0; i < 2u * 32u; i++) {
            const json_t *entry = at(&image, lists[i % 2], i / 2);
            if (entry != NULL && truth_of(entry, "encrypted")) {
                const json_t *other = json_object_get(entry, "recipient");
                bool owner = strcmp(text_of(entry, "key_arn"), arn) == 0;
                bool recipient = other != NULL && strcmp(json_string_value(other), arn) == 0;
                int err = try_open(&image, entry);
                assert_int_equal(err == 0, owner || recipient);
                opened += owner;
                let_in += recipient;
            }
        }
        assert_int_equal(coffer_store_close(image.store), 0);
    }
    assert_true(opened > 10 && let_in > 0);
    image_close(&image);
}

static void restore(struct image *image, const json_t *entry, const char *name)
{
    char volume[COFFER_NAME_BYTES_MAX];
    struct coffer_snapshot_restore_opts opts = {.size = sizeof opts, .new_name = name};
    struct coffer_fault fault;
    int err;
    opts.snapshot = snapshot_opts(image, entry, volume);
    err = coffer_snapshot_restore(image->store, &opts, &fault);
    if (err != 0) {
        fail_msg("restore of %s: %s: %s", text_of(entry, "name"), coffer_error_name(err),
                 fault.detail);
    }
}

/* Opens a restored volume: it holds what the snapshot holds, but for a page if it was written. */
static void check_restored(struct image *image, const json_t *entry, const char *name, bool write)
{
    struct coffer_volume_open_opts opts = {.size = sizeof opts,
                                           .name = name,
                                           .flags = COFFER_VOLUME_ALLOW_PLAIN,
                                           .provider = &image->kms.api};
    struct coffer_volume *volume;
    uint8_t page[PAGE], seen[PAGE];
    memset(page, 0x24, sizeof page);
    assert_int_equal(coffer_volume_open(image->store, &opts, &volume, NULL), 0);
    if (write) {
        check_hash(volume, entry);
        assert_int_equal(coffer_volume_write(volume, page, 4 * PAGE, PAGE, 0, NULL), 0);
    }
    assert_int_equal(coffer_volume_read(volume, seen, 4 * PAGE, PAGE, NULL), 0);
    assert_memory_equal(page, seen, PAGE);
    assert_int_equal(coffer_volume_close(volume), 0);
}

static void snapshots_are_restored_and_deleted_under_them(void **state)
{
    struct image image;
    char name[32];
    size_t count;
    (void)state;
    image_open(&image, IMAGE);
    count = listed(&image, "snapshots");
    open_store(&image, 0);
    for (size_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "again-%zu", i);
        restore(&image, at(&image, "snapshots", i), name);
        check_restored(&image, at(&image, "snapshots", i), name, true);
    }
    compare_all(&image, 0);
    check_open_store(&image, nodes_made(&image) + count);
    reopen(&image);
    for (size_t i = 0; i < count; i++) {
        delete_snapshot(&image, at(&image, "snapshots", i));
    }
    reopen(&image);
    for (size_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "again-%zu", i);
        check_restored(&image, at(&image, "snapshots", i), name, false);
    }
    compare(&image, "volumes", 0);
    assert_int_equal(coffer_store_close(image.store), 0);
    image_close(&image);
}

/* The unfinished copy, then the snapshots one by one, from either end, then the volumes. */
static void delete_all(struct image *image, bool backward)
{
    size_t count = listed(image, "snapshots");
    uint64_t live;
    for (size_t i = 0; i < listed(image, "copying"); i++) {
        delete_snapshot(image, at(image, "copying", i));
    }
    for (size_t i = 0; i < count; i++) {
        live = live_bytes(image);
        delete_snapshot(image, at(image, "snapshots", backward ? count - 1 - i : i));
        assert_true(live_bytes(image) <= live);
        for (size_t left = i + 1; left < count; left++) {
            const json_t *entry = at(image, "snapshots", backward ? count - 1 - left : left);
            struct coffer_volume *volume = open_volume(image, entry, COFFER_VOLUME_READ_ONLY);
            check_hash(volume, entry);
            assert_int_equal(coffer_volume_close(volume), 0);
        }
    }
    compare(image, "volumes", 0);
    check_open_store(image, nodes_made(image) - count); /* volumes, and what they have in common */
    for (size_t i = 0; i < listed(image, "volumes"); i++) {
        delete_volume(image, text_of(at(image, "volumes", i), "name"));
    }
}

static void nothing_is_left_of_what_is_deleted(void **state)
{
    (void)state;
    for (int backward = 0; backward < 2; backward++) {
        struct image image;
        image_open(&image, IMAGE);
        open_store(&image, 0);
        delete_all(&image, backward != 0);
        reopen(&image);
        check_open_store(&image, 0);
        assert_true(live_bytes(&image) <= LEFT_BYTES);
        assert_int_equal(coffer_store_close(image.store), 0);
        image_close(&image);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_on_its_way_is_seen_and_does_not_open),
        cmocka_unit_test(each_opens_with_its_keys_and_no_other),
        cmocka_unit_test(snapshots_are_restored_and_deleted_under_them),
        cmocka_unit_test(nothing_is_left_of_what_is_deleted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
