/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/segdev_reader_test.c - reads that are begun ahead: what becomes one request, what a full
 * channel makes of them, and in which order they may be waited for.
 */
#include "reader_fixture.h"

/* ---- what becomes one request ---- */

struct shape {
    uint32_t segment, block, blocks;
    uint32_t memory_block; /* where in the memory it goes */
};

static void expect_shapes(const struct shape *shapes, unsigned count, const uint32_t *expected,
                          unsigned requests)
{
    static struct rig rig;
    struct cof_block_run runs[8];
    uint64_t bytes = 0;
    open_rig(&rig, 0, 1);
    for (unsigned i = 0; i < count; i++) {
        runs[i] = (struct cof_block_run){shapes[i].segment, shapes[i].block, shapes[i].blocks,
                                         rig.memory + (size_t)shapes[i].memory_block * BLOCK};
        bytes += (uint64_t)shapes[i].blocks * BLOCK;
    }
    cof_reader_start(&rig.reader, &rig.first, runs, count);
    assert_int_equal(cof_reader_wait(&rig.reader, &rig.first), 0);
    check_runs(runs, count);
    assert_int_equal(sim_disk_calls(rig.disk, COFFER_SEGDEV_READ), requests);
    assert_int_equal(rig.reader.requests, requests);
    assert_int_equal(rig.reader.bytes, bytes);
    for (unsigned i = 0; i < requests; i++) {
        assert_int_equal(rig.first.iov[i].iov_len, (size_t)expected[i] * BLOCK);
    }
    close_rig(&rig);
}

#define EXPECT(shapes, ...)                                                                    \
    expect_shapes(shapes, sizeof(shapes) / sizeof(shapes)[0], (const uint32_t[]){__VA_ARGS__}, \
                  sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static void runs_that_are_adjacent_become_one_request(void **state)
{
    static const struct shape adjacent[] = {{5, 3, 2, 7}, {5, 5, 1, 9}, {5, 6, 4, 10}};
    static const struct shape between[] = {
        {5, 9, 1, 0}, {5, 20, 2, 1}, {5, 22, 2, 3}, {5, 1, 1, 5}};
    static const struct shape gap[] = {{5, 3, 2, 0}, {5, 6, 1, 2}};
    static const struct shape memory_gap[] = {{5, 3, 2, 0}, {5, 5, 1, 3}};
    static const struct shape backwards[] = {{5, 4, 1, 0}, {5, 3, 1, 1}};
    static const struct shape again[] = {{5, 4, 1, 0}, {5, 4, 1, 1}};
    static const struct shape segments[] = {
        {5, LARGE_BLOCKS - 1u, 1, 0}, {6, 0, 1, 1}, {6, LARGE_BLOCKS - 1u, 1, 2}};
    static const struct shape others[] = {{5, 8, 1, 0}, {6, 9, 1, 1}};
    (void)state;
    EXPECT(adjacent, 7);
    EXPECT(between, 1, 4, 1);
    EXPECT(gap, 2, 1);
    EXPECT(memory_gap, 2, 1);
    EXPECT(backwards, 1, 1);
    EXPECT(again, 1, 1);
    EXPECT(segments, 1, 1, 1);
    EXPECT(others, 1, 1);
}

static void a_request_grows_to_one_mib_and_no_further(void **state)
{
    static const struct shape all[] = {{5, 0, 200, 0}, {5, 200, 56, 200}};
    static const struct shape more[] = {{5, 0, 200, 0}, {5, 200, 57, 200}, {5, 257, 199, 257}};
    static const struct shape three[] = {{5, 0, 128, 0},
                                         {5, 128, 128, 128},
                                         {5, 256, 128, 256},
                                         {5, 384, 128, 384},
                                         {5, 512, 1, 512}};
    static const struct shape whole[] = {{6, 0, 300, 0}, {6, 300, 1, 300}};
    (void)state;
    EXPECT(all, 256);
    EXPECT(more, 200, 256);
    EXPECT(three, 256, 256, 1);
    EXPECT(whole, 300, 1); /* what is larger from the first is not cut */
}

static void as_many_runs_as_there_is_room_for_and_no_more(void **state)
{
    static struct rig rig;
    struct cof_block_run runs[COF_READ_RUNS_MAX + 1u];
    (void)state;
    open_rig(&rig, 0, 1);
    scatter(&rig, runs, COF_READ_RUNS_MAX + 1u, 5, 0);
    cof_reader_start(&rig.reader, &rig.first, runs, 0);
    assert_int_equal(cof_reader_wait(&rig.reader, &rig.first), 0);
    cof_reader_start(&rig.reader, &rig.first, runs, COF_READ_RUNS_MAX + 1u);
    assert_int_equal(cof_reader_wait(&rig.reader, &rig.first), COFFER_E_INVALID);
    assert_int_equal(sim_disk_calls(rig.disk, COFFER_SEGDEV_READ), 0);
    cof_reader_start(&rig.reader, &rig.first, runs, COF_READ_RUNS_MAX);
    assert_int_equal(cof_reader_wait(&rig.reader, &rig.first), 0);
    assert_int_equal(sim_disk_calls(rig.disk, COFFER_SEGDEV_READ), COF_READ_RUNS_MAX);
    check_runs(runs, COF_READ_RUNS_MAX);
    close_rig(&rig);
}

/* ---- a channel that is full ---- */

/* Room for one read, and two are begun: the second waits for the room that the first leaves. */
static void a_full_channel_is_emptied_as_far_as_it_takes(void **state)
{
    static struct rig rig;
    struct cof_block_run runs[2][COF_READ_RUNS_MAX];
    (void)state;
    open_rig(&rig, NEVER, 1);
    scatter(&rig, runs[0], COF_READ_RUNS_MAX, 5, 0);
    scatter(&rig, runs[1], COF_READ_RUNS_MAX, 6, 2u * COF_READ_RUNS_MAX);
    cof_reader_start(&rig.reader, &rig.first, runs[0], COF_READ_RUNS_MAX);
    assert_int_equal(rig.first.flying, COF_READ_RUNS_MAX);
    cof_reader_start(&rig.reader, &rig.second, runs[1], COF_READ_RUNS_MAX);
    assert_int_equal(rig.reader.flying, COF_READ_RUNS_MAX);
    assert_int_equal(rig.first.flying + rig.second.flying, COF_READ_RUNS_MAX);
    assert_true(rig.first.flying < COF_READ_RUNS_MAX);
    assert_int_equal(cof_reader_wait(&rig.reader, &rig.second), 0);
    assert_int_equal(cof_reader_wait(&rig.reader, &rig.first), 0);
    assert_int_equal(rig.reader.flying, 0);
    check_runs(runs[0], COF_READ_RUNS_MAX);
    check_runs(runs[1], COF_READ_RUNS_MAX);
    close_rig(&rig);
}

/* Full for others than this reader: what is under way is taken in and the request given again,
 * but where nothing is under way there is nothing to wait for. */
static void again_is_an_error_only_where_nothing_is_under_way(void **state)
{
    static struct rig rig;
    struct cof_block_run runs[4];
    (void)state;
    open_rig(&rig, NEVER, 1);
    scatter(&rig, runs, 4, 5, 0);
    plant(&rig, SIM_CALL_SUBMIT, 2, COFFER_E_AGAIN, 0, false);
    cof_reader_start(&rig.reader, &rig.first, runs, 4);
    assert_int_equal(sim_disk_fired(rig.disk), 1);
    assert_int_equal(rig.first.flying, 3);
    assert_int_equal(cof_reader_wait(&rig.reader, &rig.first), 0);
    check_runs(runs, 4);
    plant(&rig, SIM_CALL_SUBMIT, 2, COFFER_E_AGAIN, 0, true);
    cof_reader_start(&rig.reader, &rig.first, runs, 4);
    assert_int_equal(sim_disk_fired(rig.disk), 3); /* with two under way, one, and none */
    assert_int_equal(cof_reader_wait(&rig.reader, &rig.first), COFFER_E_AGAIN);
    sim_disk_inject(rig.disk, NULL);
    cof_reader_start(&rig.reader, &rig.first, runs, 4);
    assert_int_equal(cof_reader_wait(&rig.reader, &rig.first), 0);
    close_rig(&rig);
}

/* ---- order ---- */

static void reads_may_be_waited_for_in_any_order(void **state)
{
    static const uint8_t orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                        {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    (void)state;
    for (unsigned order = 0; order < sizeof orders / sizeof orders[0]; order++) {
        static struct rig rig;
        struct cof_block_run runs[3][20];
        struct cof_read *reads[] = {&rig.first, &rig.second, &rig.third};
        open_rig(&rig, order % 2 == 0 ? 20 : NEVER, 3);
        for (unsigned i = 0; i < 3; i++) {
            scatter(&rig, runs[i], 20, 5u + i % 2u, 100 * i);
            cof_reader_start(&rig.reader, reads[i], runs[i], 20);
        }
        for (unsigned i = 0; i < 3; i++) {
            unsigned which = orders[order][i];
            assert_int_equal(cof_reader_wait(&rig.reader, reads[which]), 0);
            assert_int_equal(reads[which]->flying, 0);
            check_runs(runs[which], 20);
            if (i < 2) { /* and while others are under way, it is begun again */
                memset(runs[which][0].bytes, 0xEE, BLOCK);
                cof_reader_start(&rig.reader, reads[which], runs[which], 1);
            }
        }
        for (unsigned i = 0; i < 3; i++) {
            assert_int_equal(cof_reader_wait(&rig.reader, reads[i]), 0);
            check_runs(runs[i], 20);
        }
        assert_int_equal(rig.reader.flying, 0);
        assert_int_equal(rig.reader.requests, 62);
        assert_int_equal(rig.reader.bytes, 62u * BLOCK);
        close_rig(&rig);
    }
}

/* ---- real devices ---- */

static void read_and_leave(struct fixture *f)
{
    struct cof_reader reader;
    struct cof_read *reads = calloc(2, sizeof *reads);
    struct cof_block_run runs[2][COF_READ_RUNS_MAX];
    uint8_t *memory = aligned_alloc(BLOCK, SEGMENT);
    assert_non_null(reads);
    assert_non_null(memory);
    fill_segment(f->dev, SEGMENT_FREE, f->a, SEGMENT);
    assert_int_equal(cof_reader_init(&reader, f->dev, 2), 0);
    for (uint32_t i = 0; i < COF_READ_RUNS_MAX; i++) {
        runs[0][i] = (struct cof_block_run){SEGMENT_FREE, 2u * i, 2, f->b + 2u * i * BLOCK};
        runs[1][i] = (struct cof_block_run){SEGMENT_FREE, 255u - i, 1, memory + i * BLOCK};
    }
    cof_reader_start(&reader, &reads[0], runs[0], COF_READ_RUNS_MAX);
    cof_reader_start(&reader, &reads[1], runs[1], COF_READ_RUNS_MAX);
    assert_int_equal(reader.requests, 1u + COF_READ_RUNS_MAX);
    assert_int_equal(cof_reader_wait(&reader, &reads[1]), 0);
    check_runs(runs[1], COF_READ_RUNS_MAX);
    cof_reader_start(&reader, &reads[1], runs[1], COF_READ_RUNS_MAX);
    cof_reader_done(&reader);
    assert_int_equal(reads[0].error, 0);
    assert_int_equal(reads[1].error, 0);
    check_runs(runs[0], COF_READ_RUNS_MAX);
    free(memory);
    free(reads);
}

static void real_devices_read_ahead_as_well(void **state)
{
    struct fixture f;
    (void)state;
    fixture_open_file(&f, 0);
    read_and_leave(&f);
    fixture_close(&f);
    fixture_open_file(&f, COFFER_SEGDEV_BUFFERED);
    read_and_leave(&f);
    fixture_close(&f);
    fixture_open_memory(&f);
    read_and_leave(&f);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_that_are_adjacent_become_one_request),
        cmocka_unit_test(a_request_grows_to_one_mib_and_no_further),
        cmocka_unit_test(as_many_runs_as_there_is_room_for_and_no_more),
        cmocka_unit_test(a_full_channel_is_emptied_as_far_as_it_takes),
        cmocka_unit_test(again_is_an_error_only_where_nothing_is_under_way),
        cmocka_unit_test(reads_may_be_waited_for_in_any_order),
        cmocka_unit_test(real_devices_read_ahead_as_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
