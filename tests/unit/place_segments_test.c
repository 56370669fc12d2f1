/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The segment table: what is handed out, what is counted, what is collected, what is persisted.
 */
#include "base/env.h"
#include "place/segments.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT 300u
#define RESERVED 3u

static struct cof_env env;
static struct cof_segments segments;

static int setup(void **state)
{
    (void)state;
    cof_env_init(&env, NULL);
    assert_int_equal(cof_segments_init(&segments, &env, COUNT), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cof_segments_done(&segments);
    assert_int_equal(env.heap_bytes, 0);
    return 0;
}

static uint32_t take(unsigned lane, uint64_t *ret_sequence, bool *ret_fresh)
{
    uint32_t segment = UINT32_MAX;
    assert_int_equal(cof_segments_take(&segments, lane, 0, &segment, ret_sequence, ret_fresh), 0);
    return segment;
}

static uint32_t take_any(unsigned lane)
{
    uint64_t sequence;
    bool fresh;
    return take(lane, &sequence, &fresh);
}

/* A root that is made and durable at once. */
static uint32_t collect(const uint32_t *keep, unsigned keep_count, uint64_t replay_sequence)
{
    cof_segments_condemn(&segments, keep, keep_count, replay_sequence);
    return cof_segments_collect(&segments);
}

static void each_segment_is_handed_out_once_but_never_one_with_root_slots(void **state)
{
    bool taken[COUNT] = {false};
    uint64_t last = 0, sequence;
    uint32_t segment = 7;
    bool fresh;
    (void)state;
    assert_int_equal(segments.free_count, COUNT - RESERVED);
    for (unsigned i = 0; i < COUNT - RESERVED; i++) {
        uint32_t at = take(0, &sequence, &fresh);
        assert_true(at < COUNT && !taken[at] && fresh);
        assert_true(at != 0 && at != 32 && at != 63);
        assert_true(sequence > last);
        assert_int_equal(segments.conditioned, at + 1u);
        taken[at] = true;
        last = sequence;
    }
    assert_int_equal(segments.free_count, 0);
    assert_int_equal(cof_segments_take(&segments, 0, 0, &segment, &sequence, &fresh),
                     COFFER_E_NO_SPACE);
    assert_int_equal(segment, 7);
}

static void the_last_segments_are_kept_for_who_may_have_them(void **state)
{
    uint64_t sequence;
    uint32_t segment;
    bool fresh;
    (void)state;
    while (segments.free_count > 5) {
        (void)take_any(0);
    }
    assert_int_equal(cof_segments_take(&segments, 0, 5, &segment, &sequence, &fresh),
                     COFFER_E_NO_SPACE);
    assert_int_equal(cof_segments_take(&segments, 15, 4, &segment, &sequence, &fresh), 0);
}

static void segments_written_before_are_preferred(void **state)
{
    uint32_t first = take_any(0), second = take_any(0), third = take_any(0);
    uint64_t sequence;
    bool fresh;
    (void)state;
    cof_segments_live_add(&segments, second, 1);
    assert_int_equal(collect(NULL, 0, UINT64_MAX), 2);
    assert_int_equal(take(0, &sequence, &fresh), first);
    assert_false(fresh);
    assert_int_equal(take(0, &sequence, &fresh), third);
    assert_false(fresh);
    assert_int_equal(take(0, &sequence, &fresh), third + 1u);
    assert_true(fresh);
}

static void collect_frees_only_what_nothing_needs(void **state)
{
    uint32_t live = take_any(0), own = take_any(0), pinned = take_any(0), kept = take_any(0);
    uint32_t dead = take_any(0), log = take_any(0), checkpoint = take_any(COF_LANE_CHECKPOINT);
    uint32_t cleaner = take_any(3), read = take_any(0);
    uint64_t replay = segments.table[log].sequence;
    (void)state;
    cof_segments_live_add(&segments, live, 3);
    segments.table[own].own = 1;
    cof_segments_pin(&segments, pinned, 1);
    cof_segments_read(&segments, read, 1);
    cof_segments_read(&segments, read, 1);
    segments.table[read].sequence = 0; /* no replay needs it */
    assert_int_equal(collect(&kept, 1, replay), 3);
    cof_segments_read(&segments, read, -1);
    assert_int_equal(collect(&kept, 1, replay), 0);
    assert_int_equal(segments.table[read].state, COF_SEGMENT_USED);
    cof_segments_read(&segments, read, -1);
    assert_int_equal(segments.table[cleaner].state, COF_SEGMENT_FREE);
    assert_int_equal(segments.table[dead].state, COF_SEGMENT_FREE);
    assert_int_equal(segments.table[checkpoint].state, COF_SEGMENT_FREE);
    assert_int_equal(segments.table[live].state, COF_SEGMENT_USED);
    assert_int_equal(segments.table[own].state, COF_SEGMENT_USED);
    assert_int_equal(segments.table[pinned].state, COF_SEGMENT_USED);
    assert_int_equal(segments.table[kept].state, COF_SEGMENT_USED);
    assert_int_equal(segments.table[log].state, COF_SEGMENT_USED);
    assert_int_equal(segments.table[0].state, COF_SEGMENT_RESERVED);
    cof_segments_live_sub(&segments, live, 3);
    segments.table[own].own = 0;
    cof_segments_pin(&segments, pinned, -1);
    assert_int_equal(collect(NULL, 0, UINT64_MAX), 6);
    assert_int_equal(segments.free_count, COUNT - RESERVED);
    assert_int_equal(collect(NULL, 0, UINT64_MAX), 0);
}

/* The root that is becoming durable still names what died after it was made. */
static void what_dies_after_the_root_was_made_waits_for_the_next(void **state)
{
    uint32_t dead = take_any(0), dies = take_any(0), read = take_any(0);
    (void)state;
    cof_segments_live_add(&segments, dies, 1);
    cof_segments_condemn(&segments, NULL, 0, UINT64_MAX);
    cof_segments_live_sub(&segments, dies, 1);
    cof_segments_read(&segments, read, 1);
    assert_int_equal(cof_segments_collect(&segments), 1);
    assert_int_equal(segments.table[dead].state, COF_SEGMENT_FREE);
    assert_int_equal(segments.table[dies].state, COF_SEGMENT_USED);
    assert_int_equal(segments.table[read].state, COF_SEGMENT_USED);
    cof_segments_read(&segments, read, -1);
    assert_int_equal(take_any(0), dead);
    assert_int_equal(cof_segments_collect(&segments), 1); /* it was condemned; who took the other's
                                                           * place was not */
    assert_int_equal(segments.table[dead].state, COF_SEGMENT_USED);
    assert_int_equal(collect(NULL, 0, UINT64_MAX), 2);
}

/* A table of several records, most of them full: what is free in it is found, and what died. */
static void many_segments_are_taken_and_collected_by_what_changed(void **state)
{
    static const uint32_t victims[] = {5, 700, 701, 2500, 4999};
    uint32_t count = 5000, freed = 0;
    (void)state;
    assert_int_equal(cof_segments_resize(&segments, count), 0);
    while (segments.free_count > 0) {
        cof_segments_fresh_add(&segments, take_any(0), 2);
    }
    cof_segments_freeze(&segments);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(segments.table[i].fresh, 0);
    }
    assert_int_equal(collect(NULL, 0, UINT64_MAX), 0);
    for (unsigned i = 0; i < 5; i++) {
        cof_segments_live_sub(&segments, victims[i], 1);
    }
    assert_int_equal(collect(NULL, 0, UINT64_MAX), 0);
    for (unsigned i = 0; i < 5; i++) {
        cof_segments_live_sub(&segments, victims[i], 1);
    }
    assert_int_equal(collect(&victims[2], 1, UINT64_MAX), 4);
    assert_int_equal(collect(NULL, 0, UINT64_MAX), 1);
    cof_segments_hold(&segments, 700, 0);
    cof_segments_hold(&segments, 700, 0); /* it is held */
    cof_segments_hold(&segments, COF_NO_SEGMENT, 0);
    assert_int_equal(segments.free_count, 4);
    for (unsigned i = 0; i < 5; i++) {
        freed += i != 1 && take_any(0) == victims[i] ? 1u : 0u;
    }
    assert_int_equal(freed, 4);
    assert_int_equal(collect(NULL, 0, UINT64_MAX), 5);
    assert_int_equal(segments.free_count, 5);
}

static void live_counts_never_wrap(void **state)
{
    uint32_t at = take_any(0);
    (void)state;
    cof_segments_live_add(&segments, at, 2);
    cof_segments_live_sub(&segments, at, 5);
    assert_int_equal(segments.table[at].live, 0);
    assert_int_equal(segments.live_total, 0);
}

static void what_is_fresh_is_left_out_until_the_freeze(void **state)
{
    uint8_t block[4096];
    struct cof_segment_record record;
    uint32_t at = take_any(0);
    (void)state;
    cof_segments_live_add(&segments, at, 10);
    cof_segments_fresh_add(&segments, at, 7);
    assert_int_equal(segments.table[at].live, 17);
    cof_segments_record_encode(&segments, 0, block);
    cof_segment_record_decode(block + 16u * at, &record);
    assert_int_equal(record.live, 10);
    cof_segments_freeze(&segments);
    cof_segments_record_encode(&segments, 0, block);
    cof_segment_record_decode(block + 16u * at, &record);
    assert_int_equal(record.live, 17);
    assert_int_equal(segments.live_total, 17);
}

static void records_bring_the_table_back(void **state)
{
    struct cof_segments other;
    uint8_t block[4096];
    uint32_t used[20];
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        used[i] = take_any(i % 2 == 0 ? 0 : COF_LANE_CHECKPOINT);
        cof_segments_live_add(&segments, used[i], i);
    }
    assert_int_equal(cof_segments_records(&segments), 2);
    assert_int_equal(cof_segments_init(&other, &env, COUNT), 0);
    for (unsigned record = 0; record < 2; record++) {
        cof_segments_record_encode(&segments, record, block);
        cof_segments_record_decode(&other, record, block);
    }
    cof_segments_settle(&other);
    assert_int_equal(other.live_total, segments.live_total);
    assert_int_equal(other.free_count, COUNT - RESERVED - 19u); /* the first had nothing alive */
    for (unsigned i = 0; i < 20; i++) {
        const struct cof_segment *at = &other.table[used[i]];
        assert_int_equal(at->live, i);
        assert_int_equal(at->sequence, segments.table[used[i]].sequence);
        assert_int_equal(at->lane, segments.table[used[i]].lane);
        assert_int_equal(at->state, i == 0 ? COF_SEGMENT_FREE : COF_SEGMENT_USED);
    }
    assert_int_equal(other.table[63].state, COF_SEGMENT_RESERVED);
    cof_segments_done(&other);
}

static void growing_adds_free_segments_and_shrinking_takes_only_those(void **state)
{
    uint32_t last = 0;
    (void)state;
    assert_int_equal(cof_segments_resize(&segments, COUNT + 500u), 0);
    assert_int_equal(segments.free_count, COUNT + 500u - RESERVED);
    assert_int_equal(cof_segments_records(&segments), 4);
    assert_true(segments.dirty[3]);
    while (last < 350) {
        last = take_any(0);
    }
    cof_segments_live_add(&segments, last, 1);
    assert_int_equal(cof_segments_resize(&segments, last), COFFER_E_NO_SPACE);
    assert_int_equal(segments.count, COUNT + 500u);
    assert_int_equal(cof_segments_resize(&segments, last + 1u), 0);
    assert_int_equal(segments.free_count, 0);
    assert_int_equal(segments.table[last].live, 1);
    assert_true(segments.conditioned <= last + 1u);
}

static void none_is_taken_from_the_ceiling_on(void **state)
{
    uint32_t high = 0, segment;
    uint64_t sequence;
    bool fresh;
    (void)state;
    while (high < 200) {
        high = take_any(0);
    }
    cof_segments_cap(&segments, 210);
    assert_int_equal(segments.free_count, 210u - high - 1u);
    assert_int_equal(cof_segments_free_below(&segments, COUNT), COUNT - high - 1u);
    while (segments.free_count > 0) {
        assert_true(take_any(0) < 210);
    }
    assert_int_equal(cof_segments_take(&segments, 0, 0, &segment, &sequence, &fresh),
                     COFFER_E_NO_SPACE);
    cof_segments_cap(&segments, 150);
    (void)collect(NULL, 0, UINT64_MAX);
    assert_int_equal(segments.free_count, 150u - RESERVED); /* what lies above does not count */
    cof_segments_cap(&segments, COUNT);
    assert_int_equal(segments.free_count, COUNT - RESERVED);
    assert_true(take_any(0) < 5);
}

static void what_was_given_back_is_taken_last(void **state)
{
    uint32_t taken[8];
    uint64_t sequence;
    bool fresh;
    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        taken[i] = take_any(0);
    }
    assert_int_equal(collect(NULL, 0, UINT64_MAX), 8);
    assert_int_equal(cof_segments_written(&segments, COUNT), taken[7]);
    assert_int_equal(cof_segments_written(&segments, taken[7]), taken[6]);
    assert_int_equal(cof_segments_written(&segments, taken[0]), COF_NO_SEGMENT);
    cof_segments_given_back(&segments, taken[2]);
    assert_int_equal(segments.conditioned, taken[7] + 1u); /* a hint: it is not the top */
    cof_segments_given_back(&segments, taken[7]);
    cof_segments_given_back(&segments, taken[6]);
    assert_int_equal(segments.conditioned, taken[5] + 1u);
    assert_int_equal(segments.free_count, COUNT - RESERVED);
    for (unsigned i = 0; i < 6; i++) {
        if (i != 2) {
            assert_int_equal(take(0, &sequence, &fresh), taken[i]);
            assert_false(fresh);
        }
    }
    assert_int_equal(take(0, &sequence, &fresh), taken[2]);
    assert_true(fresh);
    assert_int_equal(take(0, &sequence, &fresh), taken[6]);
    assert_true(fresh);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(each_segment_is_handed_out_once_but_never_one_with_root_slots),
        CASE(the_last_segments_are_kept_for_who_may_have_them),
        CASE(segments_written_before_are_preferred),
        CASE(collect_frees_only_what_nothing_needs),
        CASE(what_dies_after_the_root_was_made_waits_for_the_next),
        CASE(many_segments_are_taken_and_collected_by_what_changed),
        CASE(live_counts_never_wrap),
        CASE(what_is_fresh_is_left_out_until_the_freeze),
        CASE(records_bring_the_table_back),
        CASE(none_is_taken_from_the_ceiling_on),
        CASE(what_was_given_back_is_taken_last),
        CASE(growing_adds_free_segments_and_shrinking_takes_only_those),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
