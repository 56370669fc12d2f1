/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/volume_generation_test - a volume key whose uses are spent is replaced at the next open.
 */
#include "common/fake_kms.h"

#include <coffer/coffer.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

extern uint64_t cof_test_key_uses;

#define OPENS 6
#define PAGE 4096

static struct fake_kms kms;
static struct coffer_key_provider provider;
static char path[] = "generation-test.store";

static struct coffer_store *open_store(void)
{
    struct coffer_store_opts opts = {.size = sizeof opts, .path = path, .flags = 0};
    struct coffer_fault fault;
    struct coffer_store *store;
    int err = coffer_store_open(&opts, &store, &fault);
    if (err != 0) {
        opts.flags = COFFER_OPEN_BUFFERED; /* a file system without O_DIRECT */
        err = coffer_store_open(&opts, &store, &fault);
    }
    assert_int_equal(err, 0);
    return store;
}

static struct coffer_volume *open_volume(struct coffer_store *store)
{
    struct coffer_volume_open_opts opts = {
        .size = sizeof opts, .name = "v", .provider = &provider};
    struct coffer_fault fault;
    struct coffer_volume *volume;
    assert_int_equal(coffer_volume_open(store, &opts, &volume, &fault), 0);
    return volume;
}

static void a_spent_volume_key_is_replaced_and_every_page_still_reads(void **state)
{
    struct coffer_store_create_opts create = {
        .size = sizeof create, .path = path, .size_bytes = 64u << 20};
    struct coffer_volume_create_opts make = {
        .size = sizeof make, .name = "v", .size_bytes = 1u << 20, .provider = &provider};
    uint8_t page[PAGE], seen[PAGE];
    uint64_t generation = 0;
    (void)state;
    unlink(path);
    cof_test_key_uses = 3 * 65536;
    assert_int_equal(coffer_store_create(&create, NULL), 0);
    for (int round = 0; round < OPENS; round++) {
        struct coffer_store *store = open_store();
        struct coffer_volume_info info = {.size = sizeof info};
        struct coffer_volume *volume;
        if (round == 0) {
            assert_int_equal(coffer_volume_create(store, &make, NULL), 0);
        }
        volume = open_volume(store);
        memset(page, round + 1, sizeof page);
        assert_int_equal(
            coffer_volume_write(volume, page, (uint64_t)round * PAGE, PAGE, 0, NULL), 0);
        assert_int_equal(coffer_volume_flush(volume, NULL), 0);
        for (int i = 0; i <= round; i++) {
            memset(page, i + 1, sizeof page);
            assert_int_equal(coffer_volume_read(volume, seen, (uint64_t)i * PAGE, PAGE, NULL), 0);
            assert_memory_equal(page, seen, PAGE);
        }
        assert_int_equal(coffer_volume_info_get(volume, &info), 0);
        assert_true(info.key_generation >= generation);
        assert_true(info.key_uses <= cof_test_key_uses);
        generation = info.key_generation;
        assert_int_equal(coffer_volume_close(volume), 0);
        assert_int_equal(coffer_store_close(store), 0);
    }
    assert_true(generation >= 3);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_spent_volume_key_is_replaced_and_every_page_still_reads),
    };
    fake_kms_init(&kms, 7);
    provider = kms.api;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
