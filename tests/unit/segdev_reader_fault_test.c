/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/segdev_reader_fault_test.c - reads that are begun ahead when something fails: a read, a
 * request, the channel, memory; and an end that comes while they are under way.
 */
#include "reader_fixture.h"

#include "common/det_env.h"

#include <errno.h>

/* ---- failures ---- */

/* Each of the requests in turn, by an error of the system or by a short answer (no errno). */
static void a_read_that_fails_fails_alone(void **state)
{
    static const int errnos[] = {EIO, 0};
    (void)state;
    for (unsigned at = 0; at < 6; at++) {
        static struct rig rig;
        struct cof_block_run mine[3], other[3];
        bool first = at < 3;
        open_rig(&rig, NEVER, 2);
        scatter(&rig, mine, 3, 5, 0);
        scatter(&rig, other, 3, 6, 100);
        plant(&rig, COFFER_SEGDEV_READ, at, COFFER_E_IO, errnos[at % 2], false);
        cof_reader_start(&rig.reader, &rig.first, mine, 3);
        cof_reader_start(&rig.reader, &rig.second, other, 3);
        assert_int_equal(cof_reader_wait(&rig.reader, &rig.first), first ? COFFER_E_IO : 0);
        assert_int_equal(cof_reader_wait(&rig.reader, &rig.second), first ? 0 : COFFER_E_IO);
        assert_int_equal(sim_disk_fired(rig.disk), 1);
        assert_int_equal((first ? &rig.first : &rig.second)->requests[at % 3].os_errno,
                         errnos[at % 2]);
        check_runs(first ? other : mine, 3);
        assert_int_equal(rig.reader.flying, 0);
        assert_false(rig.reader.broken);
        cof_reader_start(&rig.reader, &rig.first, mine, 3); /* anew, of the same memory */
        assert_int_equal(cof_reader_wait(&rig.reader, &rig.first), 0);
        check_runs(mine, 3);
        close_rig(&rig);
    }
}

/* Whatever comes after it; and wait says it as often as it is asked. */
static void the_first_error_of_a_read_stays(void **state)
{
    (void)state;
    for (unsigned at = 1; at < 3; at++) { /* a segment that is not there gives IO at the other */
        static struct rig rig;
        struct cof_block_run runs[3];
        int first = at == 1 ? COFFER_E_CANCELLED : COFFER_E_IO;
        open_rig(&rig, 0, 1);
        scatter(&rig, runs, 3, 5, 0);
        runs[3u - at].segment = RIG_SEGMENTS;
        plant(&rig, COFFER_SEGDEV_READ, at, COFFER_E_CANCELLED, 0, false);
        cof_reader_start(&rig.reader, &rig.first, runs, 3);
        assert_int_equal(cof_reader_wait(&rig.reader, &rig.first), first);
        assert_int_equal(cof_reader_wait(&rig.reader, &rig.first), first);
        assert_int_equal(rig.first.requests[at].result, COFFER_E_CANCELLED);
        assert_int_equal(rig.first.requests[3u - at].result, COFFER_E_IO);
        check_run(&runs[0]);
        close_rig(&rig);
    }
}

/* What was handed over before belongs to the device still; what comes after is not asked for. */
static void a_request_that_is_refused_ends_the_start(void **state)
{
    static struct rig rig;
    struct cof_block_run runs[5];
    (void)state;
    open_rig(&rig, NEVER, 1);
    scatter(&rig, runs, 5, 5, 0);
    plant(&rig, SIM_CALL_SUBMIT, 2, COFFER_E_NO_MEMORY, 0, false);
    cof_reader_start(&rig.reader, &rig.first, runs, 5);
    assert_int_equal(rig.first.flying, 2);
    assert_int_equal(sim_disk_calls(rig.disk, COFFER_SEGDEV_READ), 2);
    assert_int_equal(cof_reader_wait(&rig.reader, &rig.first), COFFER_E_NO_MEMORY);
    assert_int_equal(rig.reader.flying, 0);
    check_runs(runs, 2);
    close_rig(&rig);
}

static void a_poll_that_fails_is_tried_again(void **state)
{
    static struct rig rig;
    struct cof_block_run runs[3];
    (void)state;
    open_rig(&rig, NEVER, 1);
    scatter(&rig, runs, 3, 5, 0);
    for (unsigned at = 0; at < 4; at++) {
        plant(&rig, SIM_CALL_POLL, at, COFFER_E_IO, EINTR, false);
        memset(rig.memory, 0xEE, LARGE);
        cof_reader_start(&rig.reader, &rig.first, runs, 3);
        assert_int_equal(cof_reader_wait(&rig.reader, &rig.first), 0);
        assert_int_equal(sim_disk_fired(rig.disk), 1);
        check_runs(runs, 3);
    }
    close_rig(&rig);
}

/* It would keep the caller for ever: the reader is broken, and asks nothing more of it. */
static void a_channel_that_never_answers_is_given_up(void **state)
{
    static struct rig rig;
    struct cof_block_run runs[3];
    struct coffer_segdev_request *list = NULL;
    uint64_t reads;
    (void)state;
    open_rig(&rig, NEVER, 2);
    scatter(&rig, runs, 3, 5, 0);
    plant(&rig, SIM_CALL_POLL, 0, COFFER_E_IO, EBADF, true);
    cof_reader_start(&rig.reader, &rig.first, runs, 3);
    assert_false(rig.reader.broken);
    assert_int_equal(cof_reader_wait(&rig.reader, &rig.first), COFFER_E_IO);
    assert_true(rig.reader.broken);
    reads = sim_disk_calls(rig.disk, COFFER_SEGDEV_READ);
    cof_reader_start(&rig.reader, &rig.second, runs, 3);
    assert_int_equal(cof_reader_wait(&rig.reader, &rig.second), COFFER_E_IO);
    assert_int_equal(sim_disk_calls(rig.disk, COFFER_SEGDEV_READ), reads);
    sim_disk_inject(rig.disk, NULL); /* a device's own close waits; the simulated one insists */
    assert_int_equal(rig.dev->ops->poll(rig.reader.channel, 3, &list), 3);
    close_rig(&rig);
}

/* ---- the end ---- */

/* Nothing of the device's stays behind in what is given back as soon as done has returned. */
static void done_waits_for_what_is_under_way(void **state)
{
    enum { WELL, FAILING, OFF, WAYS };
    (void)state;
    for (unsigned way = WELL; way < WAYS; way++) {
        static struct rig rig;
        struct cof_block_run runs[COF_READ_RUNS_MAX];
        struct cof_read *read = calloc(1, sizeof *read);
        open_rig(&rig, NEVER, 2);
        assert_non_null(read);
        scatter(&rig, runs, COF_READ_RUNS_MAX, 5, 0);
        if (way == FAILING) {
            plant(&rig, COFFER_SEGDEV_READ, 7, COFFER_E_IO, EIO, true);
        }
        cof_reader_start(&rig.reader, read, runs, COF_READ_RUNS_MAX);
        assert_int_equal(read->flying, COF_READ_RUNS_MAX);
        if (way == OFF) {
            sim_disk_power_off(rig.disk);
        }
        cof_reader_done(&rig.reader);
        assert_int_equal(rig.reader.flying, 0);
        assert_int_equal(read->flying, 0);
        assert_int_equal(read->error, way == WELL ? 0 : COFFER_E_IO);
        check_runs(runs, way == WELL ? COF_READ_RUNS_MAX : way == FAILING ? 7u : 0u);
        assert_null(rig.reader.channel);
        free(read);
        close_rig(&rig); /* done, once more */
    }
}

static void done_of_zeros_does_nothing(void **state)
{
    struct cof_reader reader = {0};
    (void)state;
    cof_reader_done(&reader);
    assert_null(reader.channel);
}

/* ---- real devices ---- */

/* The file ends in the middle of the second run: it and what lies behind it are not there. */
static void a_file_that_was_cut_short_is_truncated(void **state)
{
    static const unsigned ways[] = {0, COFFER_SEGDEV_BUFFERED};
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        static struct cof_read there, gone;
        struct fixture f;
        struct cof_reader reader;
        fixture_open_file(&f, ways[i]);
        fill_segment(f.dev, SEGMENT_FREE, f.a, SEGMENT);
        {
            struct cof_block_run runs[] = {{SEGMENT_FREE, 0, 10, f.a},
                                           {SEGMENT_FREE, 12, 10, f.a + MIB / 4},
                                           {SEGMENT_FREE, 100, 1, f.a + MIB / 2}};
            assert_int_equal(truncate(f.path, SEGMENT_FREE * SEGMENT + 16 * BLOCK), 0);
            assert_int_equal(cof_reader_init(&reader, f.dev, 2), 0);
            cof_reader_start(&reader, &gone, &runs[1], 2);
            cof_reader_start(&reader, &there, runs, 1);
            assert_int_equal(cof_reader_wait(&reader, &there), 0);
            assert_int_equal(cof_reader_wait(&reader, &gone), COFFER_E_TRUNCATED);
            assert_int_equal(gone.requests[0].result, COFFER_E_TRUNCATED);
            assert_int_equal(gone.requests[1].result, COFFER_E_TRUNCATED);
            check_run(&runs[0]);
        }
        cof_reader_done(&reader);
        fixture_close(&f);
    }
}

/* Each allocation of the channel in turn: there is no reader, and done of it does nothing. */
static void memory_that_ends_leaves_no_reader(void **state)
{
    (void)state;
    for (int file = 0; file < 2; file++) {
        struct fixture f;
        struct det_env env;
        unsigned failed = 0;
        int err = COFFER_E_NO_MEMORY;
        fixture_paths(&f);
        det_env_init(&env, 1, 1);
        if (file) {
            unsigned flags = COFFER_SEGDEV_CREATE | transfer_flags(f.path);
            assert_int_equal(
                coffer_segdev_file_open(&env.api, f.path, flags, DEVICE, SEGMENT, &f.dev, NULL), 0);
        } else {
            assert_int_equal(coffer_segdev_memory_open(&env.api, DEVICE, SEGMENT, &f.dev), 0);
        }
        while (err != 0) {
            struct cof_reader reader;
            uint64_t before = env.outstanding;
            det_env_fail(&env, failed, false);
            err = cof_reader_init(&reader, f.dev, 2);
            assert_true(err == (env.fired > 0 ? COFFER_E_NO_MEMORY : 0));
            det_env_fail_none(&env);
            failed += err != 0 ? 1u : 0u;
            cof_reader_done(&reader);
            assert_int_equal(env.outstanding, before);
        }
        assert_true(failed > 0);
        fixture_close(&f);
        det_env_check_leaks(&env);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_read_that_fails_fails_alone),
        cmocka_unit_test(the_first_error_of_a_read_stays),
        cmocka_unit_test(a_request_that_is_refused_ends_the_start),
        cmocka_unit_test(a_poll_that_fails_is_tried_again),
        cmocka_unit_test(a_channel_that_never_answers_is_given_up),
        cmocka_unit_test(done_waits_for_what_is_under_way),
        cmocka_unit_test(done_of_zeros_does_nothing),
        cmocka_unit_test(a_file_that_was_cut_short_is_truncated),
        cmocka_unit_test(memory_that_ends_leaves_no_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
