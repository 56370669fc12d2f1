/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bad calls of the public API: each gives its own error, tells it in the fault, changes nothing.
 */
#include "unit/volume_fixture.h"

static struct volume_fixture f;
static struct coffer_volume *volume;

static int setup(void **state)
{
    (void)state;
    fixture_make(&f, 1);
    make_volume(&f, "v", 16, 0);
    volume = open_volume(&f, "v");
    for (uint64_t page = 0; page < 16; page++) {
        write_page(volume, page, page + 5u);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (f.store != NULL) {
        for (uint64_t page = 0; page < 16; page++) {
            check_page(volume, page, page + 5u); /* nothing changed */
        }
    }
    fixture_done(&f);
    return 0;
}

static void names_are_1_to_63_of_certain_characters(void **state)
{
    static const char *const bad[] = {"", "-a", ".a", "a b", "a/b", "a\n", "\xc3\xa4", NULL,
                                      "0123456789012345678901234567890123456789"
                                      "012345678901234567890123"};
    struct coffer_volume_create_opts opts = {.size = sizeof opts, .size_bytes = PAGE};
    (void)state;
    opts.provider = &f.kms.api;
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct coffer_volume_open_opts open = open_opts(&f, bad[i]);
        struct coffer_volume *other = NULL;
        opts.name = bad[i];
        assert_int_equal(coffer_volume_create(f.store, &opts, &f.fault), COFFER_E_INVALID);
        assert_int_equal(f.fault.error, COFFER_E_INVALID);
        assert_int_equal(coffer_volume_open(f.store, &open, &other, &f.fault), COFFER_E_INVALID);
        assert_null(other);
    }
    opts.name = "012345678901234567890123456789012345678901234567890123456789012";
    assert_int_equal(coffer_volume_create(f.store, &opts, &f.fault), 0);
}

static void sizes_are_pages_within_the_limit(void **state)
{
    static const uint64_t bad[] = {0, 1, 4095, 4097, COFFER_VOLUME_BYTES_MAX + 4096u, UINT64_MAX};
    struct coffer_volume_create_opts opts = {.size = sizeof opts, .name = "x"};
    (void)state;
    opts.provider = &f.kms.api;
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        opts.size_bytes = bad[i];
        assert_int_equal(coffer_volume_create(f.store, &opts, &f.fault), COFFER_E_INVALID);
        assert_int_equal(coffer_volume_resize(volume, bad[i], &f.fault), COFFER_E_INVALID);
    }
    assert_int_equal(volume_info(volume).size_bytes, 16 * PAGE);
}

static void structs_of_another_size_are_refused(void **state)
{
    struct coffer_volume_create_opts create = {.size = offsetof(struct coffer_volume_create_opts,
                                                                caller) -
                                                       1u,
                                               .name = "x",
                                               .size_bytes = PAGE};
    struct coffer_volume_open_opts open = open_opts(&f, "v");
    struct coffer_volume_info info = {.size = 0};
    struct coffer_store_info store_info = {.size = sizeof store_info + 8u};
    struct coffer_volume *other = NULL;
    (void)state;
    create.provider = &f.kms.api;
    assert_int_equal(coffer_volume_create(f.store, &create, &f.fault), COFFER_E_INVALID);
    assert_int_equal(coffer_volume_create(f.store, NULL, &f.fault), COFFER_E_INVALID);
    open.size = 0;
    assert_int_equal(coffer_volume_open(f.store, &open, &other, &f.fault), COFFER_E_INVALID);
    assert_int_equal(coffer_volume_open(f.store, NULL, &other, &f.fault), COFFER_E_INVALID);
    assert_int_equal(coffer_volume_info_get(volume, &info), COFFER_E_INVALID);
    assert_int_equal(coffer_store_info_get(f.store, &store_info), COFFER_E_INVALID);
    assert_null(other);
}

static void stores_of_bad_shapes_are_not_made(void **state)
{
    struct coffer_store_create_opts opts = {.size = sizeof opts};
    struct coffer_store_opts open = {.size = sizeof open};
    struct coffer_store *store = NULL;
    (void)state;
    assert_int_equal(coffer_store_create(NULL, &f.fault), COFFER_E_INVALID);
    assert_int_equal(coffer_store_create(&opts, &f.fault), COFFER_E_INVALID);
    assert_int_equal(coffer_store_open(&open, &store, &f.fault), COFFER_E_INVALID);
    assert_int_equal(coffer_store_open(NULL, &store, &f.fault), COFFER_E_INVALID);
    opts.path = "volume-api-test-no-such-store";
    opts.segment_bytes = 3u << 20;
    assert_int_equal(coffer_store_create(&opts, &f.fault), COFFER_E_INVALID);
    opts.segment_bytes = 128u << 20;
    assert_int_equal(coffer_store_create(&opts, &f.fault), COFFER_E_INVALID);
    opts.segment_bytes = 0;
    opts.size_bytes = (64u << 20) - 1u;
    assert_int_equal(coffer_store_create(&opts, &f.fault), COFFER_E_INVALID);
    open.path = opts.path;
    assert_int_equal(coffer_store_open(&open, &store, &f.fault), COFFER_E_NOT_FOUND);
    assert_null(store);
}

static void volumes_that_are_there_or_not(void **state)
{
    struct coffer_volume_create_opts create = {.size = sizeof create,
                                               .name = "v",
                                               .size_bytes = PAGE};
    struct coffer_volume_open_opts open = open_opts(&f, "v");
    struct coffer_volume *other = NULL;
    (void)state;
    assert_int_equal(coffer_volume_create(f.store, &create, &f.fault), COFFER_E_NO_PROVIDER);
    create.provider = &f.kms.api;
    assert_int_equal(coffer_volume_create(f.store, &create, &f.fault), COFFER_E_EXISTS);
    create.not_encrypted = 1;
    assert_int_equal(coffer_volume_create(f.store, &create, &f.fault), COFFER_E_EXISTS);
    assert_int_equal(coffer_volume_open(f.store, &open, &other, &f.fault), COFFER_E_BUSY);
    assert_int_equal(coffer_volume_delete(f.store, &open, &f.fault), COFFER_E_BUSY);
    open.name = "w";
    assert_int_equal(coffer_volume_open(f.store, &open, &other, &f.fault), COFFER_E_NOT_FOUND);
    assert_string_equal(f.fault.volume, "w");
    assert_int_equal(coffer_volume_delete(f.store, &open, &f.fault), COFFER_E_NOT_FOUND);
    assert_null(other);
}

static void offsets_and_lengths_are_checked_by_every_call(void **state)
{
    uint8_t bytes[PAGE] = {0};
    uint64_t offset = 17 * PAGE, length;
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        static const struct {
            uint64_t offset;
            size_t length;
            int error;
        } bad[] = {{1, 512, COFFER_E_ALIGN}, {0, 511, COFFER_E_ALIGN}, {16 * PAGE, 512,
                                                                         COFFER_E_RANGE}};
        const uint64_t at = bad[i].offset;
        const size_t count = bad[i].length;
        const int error = bad[i].error;
        assert_int_equal(coffer_volume_read(volume, bytes, at, count, &f.fault), error);
        assert_int_equal(coffer_volume_write(volume, bytes, at, count, 0, &f.fault), error);
        assert_int_equal(coffer_volume_discard(volume, at, count, &f.fault), error);
        assert_int_equal(coffer_volume_write_zeroes(volume, at, count, 0, &f.fault), error);
        assert_int_equal(f.fault.error, error);
    }
    assert_int_equal(coffer_volume_read(volume, bytes, UINT64_MAX - 511u, 512, NULL),
                     COFFER_E_RANGE);
    assert_int_equal(coffer_volume_discard(volume, 512, UINT64_MAX - 511u, NULL), COFFER_E_RANGE);
    assert_int_equal(coffer_volume_read(volume, bytes, 0, 0, NULL), 0);
    assert_int_equal(coffer_volume_write(volume, bytes, 0, 0, 0, NULL), 0);
    if (coffer_volume_next_data(volume, &offset, &length, &f.fault) == 0) {
        assert_int_equal(length, 0);
    }
}

static void queues_refuse_bad_requests_and_take_nothing(void **state)
{
    struct coffer_queue_opts opts = {.size = sizeof opts, .depth = 4097};
    struct coffer_queue *queue = NULL;
    uint8_t bytes[PAGE] = {0};
    struct iovec iov = {bytes, 512};
    struct coffer_io io = {.op = COFFER_IO_WRITE, .volume = volume, .iov = &iov, .iov_count = 1};
    struct coffer_cqe cqe;
    (void)state;
    assert_int_equal(coffer_queue_create(f.store, &opts, &queue), COFFER_E_INVALID);
    assert_null(queue);
    opts.depth = 2;
    assert_int_equal(coffer_queue_create(f.store, &opts, &queue), 0);
    assert_int_equal(coffer_submit(queue, &io, 1), COFFER_E_INVALID); /* length 0 */
    io.length_bytes = 1024;
    assert_int_equal(coffer_submit(queue, &io, 1), COFFER_E_INVALID); /* iov holds 512 */
    io.length_bytes = 512;
    io.offset_bytes = 16 * PAGE;
    assert_int_equal(coffer_submit(queue, &io, 1), COFFER_E_RANGE);
    io.offset_bytes = 1;
    assert_int_equal(coffer_submit(queue, &io, 1), COFFER_E_ALIGN);
    io.offset_bytes = 0;
    io.op = (enum coffer_io_op)77;
    assert_int_equal(coffer_submit(queue, &io, 1), COFFER_E_INVALID);
    io.op = COFFER_IO_WRITE;
    io.volume = NULL;
    assert_int_equal(coffer_submit(queue, &io, 1), COFFER_E_INVALID);
    assert_int_equal(coffer_submit(queue, &io, 0), 0);
    assert_int_equal(coffer_reap(queue, &cqe, 1, 0), 0);
    assert_int_equal(coffer_reap(queue, &cqe, 1, 1), 0); /* nothing in flight: no endless wait */
    coffer_queue_destroy(queue);
    coffer_queue_destroy(NULL);
}

static void a_queue_at_its_depth_says_again(void **state)
{
    struct coffer_queue_opts opts = {.size = sizeof opts, .depth = 2};
    struct coffer_queue *queue = NULL;
    static uint8_t bytes[3][PAGE];
    struct iovec iov[3];
    struct coffer_io io[3];
    struct coffer_cqe cqe[3];
    (void)state;
    assert_int_equal(coffer_queue_create(f.store, &opts, &queue), 0);
    for (unsigned i = 0; i < 3; i++) {
        iov[i] = (struct iovec){bytes[i], PAGE};
        io[i] = (struct coffer_io){.op = COFFER_IO_READ,
                                   .volume = volume,
                                   .offset_bytes = i * PAGE,
                                   .length_bytes = PAGE,
                                   .iov = &iov[i],
                                   .iov_count = 1,
                                   .user = bytes[i]};
    }
    assert_int_equal(coffer_submit(queue, io, 3), 2);
    assert_int_equal(coffer_submit(queue, io + 2, 1), COFFER_E_AGAIN);
    assert_int_equal(coffer_reap(queue, cqe, 3, 2), 2);
    assert_int_equal(coffer_submit(queue, io + 2, 1), 1);
    assert_int_equal(coffer_reap(queue, cqe, 3, 3), 1);
    assert_ptr_equal(cqe[0].user, bytes[2]);
    assert_int_equal(cqe[0].result, 0);
    coffer_queue_destroy(queue);
}

static void what_was_opened_for_reading_is_not_written(void **state)
{
    struct coffer_volume_create_opts create = {.size = sizeof create,
                                               .name = "x",
                                               .size_bytes = PAGE};
    struct coffer_volume_open_opts open = open_opts(&f, "v");
    uint8_t bytes[PAGE] = {0};
    uint64_t events;
    (void)state;
    create.provider = &f.kms.api;
    fixture_close_store(&f);
    events = sim_disk_events(f.disk);
    assert_int_equal(fixture_open_store(&f, COFFER_OPEN_READ_ONLY), 0);
    assert_int_equal(coffer_volume_open(f.store, &open, &volume, &f.fault), COFFER_E_READ_ONLY);
    assert_int_equal(coffer_volume_delete(f.store, &open, &f.fault), COFFER_E_READ_ONLY);
    assert_int_equal(coffer_volume_create(f.store, &create, &f.fault), COFFER_E_READ_ONLY);
    assert_int_equal(coffer_store_checkpoint(f.store, &f.fault), COFFER_E_READ_ONLY);
    assert_int_equal(coffer_store_resize(f.store, 128u << 20, &f.fault), COFFER_E_READ_ONLY);
    open.flags |= COFFER_VOLUME_READ_ONLY;
    assert_int_equal(coffer_volume_open(f.store, &open, &volume, &f.fault), 0);
    assert_int_equal(coffer_volume_write(volume, bytes, 0, PAGE, 0, &f.fault), COFFER_E_READ_ONLY);
    assert_int_equal(coffer_volume_discard(volume, 0, PAGE, &f.fault), COFFER_E_READ_ONLY);
    assert_int_equal(coffer_volume_write_zeroes(volume, 0, PAGE, 0, &f.fault), COFFER_E_READ_ONLY);
    assert_int_equal(coffer_volume_resize(volume, PAGE, &f.fault), COFFER_E_READ_ONLY);
    check_page(volume, 3, 8);
    assert_int_equal(sim_disk_events(f.disk), events); /* nothing reached the medium */
}

static void closing_nothing_is_allowed(void **state)
{
    (void)state;
    assert_int_equal(coffer_volume_close(NULL), 0);
    assert_int_equal(coffer_store_close(NULL), 0);
}

static void a_store_is_not_made_over_another(void **state)
{
    struct coffer_store_create_opts opts = {.size = sizeof opts, .segment_bytes = SEGMENT_BYTES};
    (void)state;
    fixture_close_store(&f);
    opts.device = sim_disk_open(f.disk);
    opts.env = &f.env.api;
    assert_int_equal(coffer_store_create(&opts, &f.fault), COFFER_E_EXISTS);
    assert_false(sim_disk_is_open(f.disk)); /* it owned the device whatever happened */
    assert_int_equal(fixture_open_store(&f, 0), 0);
    volume = open_volume(&f, "v");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(names_are_1_to_63_of_certain_characters),
        CASE(sizes_are_pages_within_the_limit),
        CASE(structs_of_another_size_are_refused),
        CASE(stores_of_bad_shapes_are_not_made),
        CASE(volumes_that_are_there_or_not),
        CASE(offsets_and_lengths_are_checked_by_every_call),
        CASE(queues_refuse_bad_requests_and_take_nothing),
        CASE(a_queue_at_its_depth_says_again),
        CASE(what_was_opened_for_reading_is_not_written),
        CASE(closing_nothing_is_allowed),
        CASE(a_store_is_not_made_over_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
