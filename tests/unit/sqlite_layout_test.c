/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/sqlite_layout_test - superblock and slots against the vectors, and the plan for volumes of
 * every size.
 */
#include "sqlite/layout.h"
#include "unit/vector_fixture.h"

static uint64_t volume_of(const json_t *inputs)
{
    return number_of(inputs, "volume");
}

static void check_superblock(const json_t *vector, const json_t *inputs)
{
    uint8_t page[COFFER_PAGE_BYTES];
    uint8_t again[COFFER_PAGE_BYTES] = {0};
    struct cof_sqlite_layout layout = {.supers_offset = number_of(inputs, "supers"),
                                       .journal_offset = number_of(inputs, "journal"),
                                       .wal_offset = number_of(inputs, "wal"),
                                       .main_offset = number_of(inputs, "main"),
                                       .main_floor_bytes = number_of(inputs, "floor"),
                                       .journal_bytes = number_of(inputs, "journal_bytes")};
    struct cof_sqlite_layout read, planned;
    cof_sqlite_layout_encode(&layout, page);
    check_bytes(vector, page, COF_SQLITE_SUPERBLOCK_BYTES);
    (void)bytes_of(vector, "bytes", again, sizeof again);
    assert_memory_equal(page, again, sizeof page);
    assert_int_equal(cof_sqlite_layout_decode(page, volume_of(inputs), &read), 0);
    assert_memory_equal(&read, &layout, sizeof read);
    assert_int_equal(cof_sqlite_layout_plan(volume_of(inputs), &planned), 0);
    planned.main_floor_bytes = layout.main_floor_bytes;
    planned.journal_bytes = layout.journal_bytes;
    assert_memory_equal(&planned, &layout, sizeof planned);
    page[COF_SQLITE_SUPERBLOCK_BYTES] = 1;
    assert_int_equal(cof_sqlite_layout_decode(page, volume_of(inputs), &read), COFFER_E_TOO_NEW);
}

static void check_refused(const json_t *vector, const json_t *inputs)
{
    uint8_t page[COFFER_PAGE_BYTES] = {0};
    struct cof_sqlite_layout layout;
    (void)bytes_of(vector, "bytes", page, sizeof page);
    assert_string_equal(
        coffer_error_name(cof_sqlite_layout_decode(page, volume_of(inputs), &layout)),
        text_of(inputs, "error"));
}

static void check_slot(const json_t *vector, const json_t *inputs)
{
    uint8_t head[COF_SQLITE_SUPER_HEAD_BYTES];
    struct cof_sqlite_super super = {.length_bytes = (uint32_t)number_of(inputs, "length")};
    struct cof_sqlite_super read;
    strcpy(super.name, text_of(inputs, "name"));
    cof_sqlite_super_encode(&super, head);
    check_bytes(vector, head, sizeof head);
    assert_int_equal(cof_sqlite_super_decode(head, &read), 0);
    assert_string_equal(read.name, super.name);
    assert_int_equal(read.length_bytes, super.length_bytes);
}

static void check_refused_slot(const json_t *vector, const json_t *inputs)
{
    uint8_t head[COF_SQLITE_SUPER_HEAD_BYTES];
    struct cof_sqlite_super read;
    (void)inputs;
    fixed_of(vector, "bytes", head, sizeof head);
    int error = cof_sqlite_super_decode(head, &read);
    assert_true(error == COFFER_E_CORRUPT || error == COFFER_E_TOO_NEW);
}

static void bytes_are_those_of_the_vectors(void **state)
{
    (void)state;
    each_vector("sqlite", "superblock", check_superblock);
    each_vector("sqlite", "refused_superblock", check_refused);
    each_vector("sqlite", "slot", check_slot);
    each_vector("sqlite", "refused_slot", check_refused_slot);
}

static void every_volume_from_16_MiB_on_has_a_plan(void **state)
{
    struct cof_sqlite_layout layout, read;
    uint8_t page[COFFER_PAGE_BYTES];
    (void)state;
    assert_int_equal(cof_sqlite_layout_plan((16u << 20) - 4096u, &layout), COFFER_E_RANGE);
    assert_int_equal(cof_sqlite_layout_plan(COFFER_VOLUME_BYTES_MAX + 4096u, &layout),
                     COFFER_E_RANGE);
    for (uint64_t size = 16u << 20; size <= COFFER_VOLUME_BYTES_MAX;
         size = size < COFFER_VOLUME_BYTES_MAX / 3 ? size * 3 - 4096 : size * 2) {
        assert_int_equal(cof_sqlite_layout_plan(size, &layout), 0);
        cof_sqlite_layout_encode(&layout, page);
        assert_int_equal(cof_sqlite_layout_decode(page, size, &read), 0);
        assert_memory_equal(&read, &layout, sizeof read);
        assert_true(size - layout.main_offset >= (size - (2u << 20)) / 2);
    }
}

static void an_empty_slot_is_free(void **state)
{
    const uint8_t head[COF_SQLITE_SUPER_HEAD_BYTES] = {0};
    struct cof_sqlite_super read;
    (void)state;
    assert_int_equal(cof_sqlite_super_decode(head, &read), COFFER_E_NOT_FOUND);
    assert_true(cof_sqlite_super_is_name("-mjA0B1C2933"));
    assert_false(cof_sqlite_super_is_name("-mjA0B1C293"));
    assert_false(cof_sqlite_super_is_name("-mjA0B1C293g"));
    assert_false(cof_sqlite_super_is_name("-journal"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_those_of_the_vectors),
        cmocka_unit_test(every_volume_from_16_MiB_on_has_a_plan),
        cmocka_unit_test(an_empty_slot_is_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
