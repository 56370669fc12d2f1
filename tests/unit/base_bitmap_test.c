/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bitmaps of 512 slots against an array of booleans: get, set, clear, count, rank at every bit.
 */
#include "base/bitmap.h"
#include "common/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void check_against(const struct cof_bitmap *map, const bool model[COF_BITMAP_BITS])
{
    unsigned below = 0;
    for (unsigned bit = 0; bit < COF_BITMAP_BITS; bit++) {
        assert_int_equal(cof_bitmap_get(map, bit), model[bit]);
        assert_int_equal(cof_bitmap_between(map, 0, bit), below);
        below += model[bit] ? 1u : 0u;
    }
    assert_int_equal(cof_bitmap_count(map), below);
    for (unsigned first = 0; first <= COF_BITMAP_BITS; first += 37) {
        unsigned between = 0;
        for (unsigned end = first; end <= COF_BITMAP_BITS; end++) {
            assert_int_equal(cof_bitmap_between(map, first, end), between);
            assert_int_equal(cof_bitmap_between(map, end, first), end == first ? between : 0);
            between += end < COF_BITMAP_BITS && model[end] ? 1u : 0u;
        }
    }
}

static void filled_bits_are_those_below(void **state)
{
    struct cof_bitmap map;
    (void)state;
    for (unsigned count = 0; count <= COF_BITMAP_BITS; count++) {
        memset(&map, 0xa5, sizeof map);
        cof_bitmap_fill(&map, count);
        for (unsigned bit = 0; bit < COF_BITMAP_BITS; bit++) {
            assert_int_equal(cof_bitmap_get(&map, bit), bit < count);
        }
    }
}

static void an_empty_bitmap_has_no_bits(void **state)
{
    struct cof_bitmap map = {{0}};
    bool model[COF_BITMAP_BITS] = {false};
    (void)state;
    check_against(&map, model);
}

static void a_full_bitmap_ranks_by_position(void **state)
{
    struct cof_bitmap map;
    (void)state;
    memset(&map, 0xff, sizeof map);
    for (unsigned bit = 0; bit < COF_BITMAP_BITS; bit++) {
        assert_int_equal(cof_bitmap_between(&map, 0, bit), bit);
    }
    assert_int_equal(cof_bitmap_count(&map), COF_BITMAP_BITS);
}

static void each_single_bit_stands_alone(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < COF_BITMAP_BITS; bit++) {
        struct cof_bitmap map = {{0}};
        cof_bitmap_set(&map, bit);
        assert_int_equal(cof_bitmap_count(&map), 1);
        assert_int_equal(cof_bitmap_between(&map, 0, bit), 0);
        if (bit + 1u < COF_BITMAP_BITS) {
            assert_int_equal(cof_bitmap_between(&map, 0, bit + 1u), 1);
            assert_false(cof_bitmap_get(&map, bit + 1u));
        }
        cof_bitmap_clear(&map, bit);
        assert_int_equal(cof_bitmap_count(&map), 0);
    }
}

static void random_changes_follow_the_model(void **state)
{
    struct cof_bitmap map = {{0}};
    bool model[COF_BITMAP_BITS] = {false};
    struct prng prng = {1};
    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        unsigned bit = prng_below(&prng, COF_BITMAP_BITS);
        model[bit] = prng_chance(&prng, 1, 2);
        if (model[bit]) {
            cof_bitmap_set(&map, bit);
        } else {
            cof_bitmap_clear(&map, bit);
        }
        if (round % 200 == 0) {
            check_against(&map, model);
        }
    }
    check_against(&map, model);
}

static void equality_sees_every_bit(void **state)
{
    struct cof_bitmap a = {{0}}, b = {{0}};
    (void)state;
    assert_true(cof_bitmap_equal(&a, &b));
    for (unsigned bit = 0; bit < COF_BITMAP_BITS; bit++) {
        cof_bitmap_set(&b, bit);
        assert_false(cof_bitmap_equal(&a, &b));
        cof_bitmap_set(&a, bit);
        assert_true(cof_bitmap_equal(&a, &b));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_bitmap_has_no_bits),
        cmocka_unit_test(a_full_bitmap_ranks_by_position),
        cmocka_unit_test(each_single_bit_stands_alone),
        cmocka_unit_test(random_changes_follow_the_model),
        cmocka_unit_test(equality_sees_every_bit),
        cmocka_unit_test(filled_bits_are_those_below),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
