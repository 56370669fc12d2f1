/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/load_loop_test - the load of `coffer bench` and of bench/: what it writes is what it reads,
 * a page that is not is found, requests are mixed as asked for, and percentiles are what they say.
 */
#include "volume_fixture.h"

#include "tools/load/loop.h"

#define PAGES 256u

static struct volume_fixture f;

static int run(struct coffer_volume *volume, const struct cof_load_shape *shape,
               struct cof_load_loop *loop)
{
    assert_int_equal(cof_load_loop_init(loop, shape, f.store, volume), 0);
    cof_load_plan_init(&loop->plan, shape, (uint64_t)PAGES * PAGE, 0, 1, 0);
    return cof_load_loop_run(loop, 0);
}

static void finds_the_one_page_that_others_wrote(void **state)
{
    (void)state;
    struct cof_load_loop loop;
    struct cof_load_shape shape = {
        .rw = COF_LOAD_WRITE, .block_bytes = 2 * PAGE, .depth = 8, .amount_bytes = PAGES * PAGE};
    uint8_t bytes[PAGE];
    fixture_make(&f, 51);
    make_volume(&f, "v", PAGES, 0);
    struct coffer_volume *volume = open_volume(&f, "v");
    assert_int_equal(run(volume, &shape, &loop), 0);
    assert_int_equal(loop.bytes, PAGES * PAGE);
    assert_int_equal(loop.latency.total, PAGES / 2);
    cof_load_loop_done(&loop);

    shape.rw = COF_LOAD_READ;
    assert_int_equal(run(volume, &shape, &loop), 0);
    assert_int_equal(loop.operations, PAGES / 2);
    cof_load_loop_done(&loop);

    fill_page(bytes, 77, 1);
    assert_int_equal(coffer_volume_write(volume, bytes, 77 * PAGE, PAGE, 0, &f.fault), 0);
    assert_int_equal(run(volume, &shape, &loop), COFFER_E_INTERNAL);
    assert_non_null(strstr(loop.fault.detail, "not what was written"));
    cof_load_loop_done(&loop);

    shape.unverified = true;
    assert_int_equal(run(volume, &shape, &loop), 0);
    cof_load_loop_done(&loop);
    assert_int_equal(coffer_volume_close(volume), 0);
    fixture_done(&f);
}

static bool always(void *ctx)
{
    (void)ctx;
    return true;
}

static void ends_when_it_is_told_to(void **state)
{
    (void)state;
    struct cof_load_loop loop;
    const struct cof_load_shape shape = {.rw = COF_LOAD_RANDWRITE, .block_bytes = PAGE, .depth = 4};
    fixture_make(&f, 52);
    make_volume(&f, "v", PAGES, 0);
    struct coffer_volume *volume = open_volume(&f, "v");
    assert_int_equal(cof_load_loop_init(&loop, &shape, f.store, volume), 0);
    cof_load_plan_init(&loop.plan, &shape, (uint64_t)PAGES * PAGE, 0, 1, 0);
    loop.stopped = always;
    assert_int_equal(cof_load_loop_run(&loop, 0), 0);
    assert_int_equal(loop.operations, 0);
    cof_load_loop_done(&loop);
    assert_int_equal(coffer_volume_close(volume), 0);
    fixture_done(&f);
}

static unsigned reads_of(const struct cof_load_shape *shape, unsigned count)
{
    struct cof_load_plan plan;
    unsigned reads = 0;
    cof_load_plan_init(&plan, shape, (uint64_t)PAGES * PAGE, 0, 1, 0);
    for (unsigned i = 0; i < count; i++) {
        reads += cof_load_plan_reads(&plan) ? 1 : 0;
    }
    return reads;
}

static void a_mix_reads_as_often_as_asked(void **state)
{
    (void)state;
    struct cof_load_shape shape = {
        .rw = COF_LOAD_RANDRW, .block_bytes = PAGE, .read_percent = 70, .seed = 9};
    assert_in_range(reads_of(&shape, 10000), 6800, 7200);
    shape.read_percent = 0;
    assert_int_equal(reads_of(&shape, 100), 0);
    shape.read_percent = 100;
    assert_int_equal(reads_of(&shape, 100), 100);
    shape.rw = COF_LOAD_RANDWRITE;
    assert_int_equal(reads_of(&shape, 100), 0);
}

static void a_mix_goes_where_its_writes_alone_would(void **state)
{
    (void)state;
    struct cof_load_plan mixed;
    struct cof_load_plan alone;
    struct cof_load_shape shape = {
        .rw = COF_LOAD_RANDRW, .block_bytes = PAGE, .read_percent = 50, .seed = 3};
    cof_load_plan_init(&mixed, &shape, (uint64_t)PAGES * PAGE, 0, 1, 0);
    shape.rw = COF_LOAD_RANDWRITE;
    cof_load_plan_init(&alone, &shape, (uint64_t)PAGES * PAGE, 0, 1, 0);
    for (unsigned i = 0; i < 200; i++) {
        uint64_t one;
        uint64_t other;
        assert_true(cof_load_plan_next(&mixed, 0, &one));
        assert_true(cof_load_plan_next(&alone, 0, &other));
        (void)cof_load_plan_reads(&mixed);
        assert_int_equal(one, other);
    }
}

static void percentiles_are_within_a_bucket(void **state)
{
    (void)state;
    struct cof_load_latency latency;
    cof_load_latency_init(&latency);
    assert_int_equal(cof_load_latency_percentile(&latency, 0.5), 0);
    for (uint64_t i = 1; i <= 1000; i++) {
        cof_load_latency_add(&latency, i * 1000);
    }
    assert_in_range(cof_load_latency_percentile(&latency, 0.5), 500000, 508000);
    assert_in_range(cof_load_latency_percentile(&latency, 0.99), 990000, 1000000);
    assert_int_equal(cof_load_latency_percentile(&latency, 1.0), 1000000);
    assert_int_equal(latency.max_ns, 1000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_one_page_that_others_wrote),
        cmocka_unit_test(ends_when_it_is_told_to),
        cmocka_unit_test(a_mix_reads_as_often_as_asked),
        cmocka_unit_test(a_mix_goes_where_its_writes_alone_would),
        cmocka_unit_test(percentiles_are_within_a_bucket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
