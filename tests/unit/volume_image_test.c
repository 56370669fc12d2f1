/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frozen stores of tests/images open, for reading and for writing, and hold what their makers
 * remember, volumes and snapshots; they can be written, closed and opened again, and the check
 * finds nothing.
 */
#include "unit/image_fixture.h"

static const char *const images[] = {"format-1.0", "format-1.0-copies", "format-1.0-cleaned"};

static void images_read_as_they_were_made(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof images / sizeof images[0]; i++) {
        struct image image;
        uint8_t before[32], after[32];
        image_open(&image, images[i]);
        file_digest(&image, before);
        open_store(&image, COFFER_OPEN_READ_ONLY);
        compare_all(&image, COFFER_VOLUME_READ_ONLY);
        check_open_store(&image, nodes_made(&image));
        assert_int_equal(coffer_store_close(image.store), 0);
        file_digest(&image, after);
        assert_memory_equal(before, after, sizeof before);
        image_close(&image);
    }
}

static void images_can_be_written_and_opened_again(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof images / sizeof images[0]; i++) {
        struct image image;
        const json_t *first;
        struct coffer_volume *volume;
        uint8_t page[PAGE], seen[PAGE];
        image_open(&image, images[i]);
        open_store(&image, 0);
        compare_all(&image, 0);
        first = json_array_get(member(image.manifest, "volumes"), 0);
        volume = open_volume(&image, first, 0);
        memset(page, 0x42, sizeof page);
        assert_int_equal(coffer_volume_write(volume, page, 3 * PAGE, PAGE, COFFER_IO_FUA, NULL), 0);
        assert_int_equal(coffer_store_close(image.store), 0);
        open_store(&image, COFFER_OPEN_READ_ONLY);
        check_open_store(&image, nodes_made(&image));
        assert_int_equal(coffer_store_close(image.store), 0);
        open_store(&image, 0);
        volume = open_volume(&image, first, 0);
        assert_int_equal(coffer_volume_read(volume, seen, 3 * PAGE, PAGE, NULL), 0);
        assert_memory_equal(page, seen, PAGE);
        compare(&image, "snapshots", COFFER_VOLUME_READ_ONLY);
        assert_int_equal(coffer_store_close(image.store), 0);
        image_close(&image);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_read_as_they_were_made),
        cmocka_unit_test(images_can_be_written_and_opened_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
