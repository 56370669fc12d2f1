/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The append lane on the simulated device, whose completions come late and in any order: what was
 * placed is on the device, batches count in order, durable only behind a sync, failures stick,
 * segments follow one another as their headers said.
 */
#include "base/checksum.h"
#include "common/det_env.h"
#include "common/prng.h"
#include "common/sim_segdev.h"
#include "format/endian.h"
#include "format/place_format.h"
#include "lane/lane.h"
#include "segdev/sync_io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEGMENT_BYTES (1u << 20)
#define SEGMENT_BLOCKS (SEGMENT_BYTES / 4096u)
#define SEGMENTS 64u
#define PAGES_MAX 6000u

struct fixture {
    struct det_env det;
    struct cof_env env;
    struct sim_disk *disk;
    struct coffer_segdev *dev;
    struct cof_sync_io io;
    struct cof_lane lane;
    struct prng prng;
    uint32_t taken, take_max;
    uint64_t sequence;
    bool footers, summaries; /* written at a segment's end */
    unsigned footer_count, ends, progress;
    uint64_t completed, durable; /* as last seen: they only grow */
    uint32_t pages;              /* placed so far */
    uint64_t batch_of[PAGES_MAX];
    unsigned owner;
};

static struct fixture f;
static const uint8_t store_uuid[16] = "store-uuid-0001", session[16] = "session-000001";

static int seal_list(void *ctx, void *owner, const struct cof_run *run, uint64_t batch_no,
                     uint8_t *list, size_t length_bytes, uint8_t ret_tag[16])
{
    (void)ctx;
    assert_ptr_equal(owner, &f.owner);
    assert_int_equal(length_bytes, cof_run_list_bytes(run));
    assert_int_equal(cof_le64_get(list), 0xc4a1u); /* the chain word came through */
    memset(ret_tag, (int)batch_no, 16);
    return 0;
}

static int take_segment(void *ctx, unsigned lane_id, uint32_t *ret_segment, uint64_t *ret_sequence,
                        bool *ret_fresh)
{
    (void)ctx;
    assert_int_equal(lane_id, f.lane.id);
    if (f.taken >= f.take_max) {
        return COFFER_E_NO_SPACE;
    }
    f.taken++;
    *ret_segment = f.taken;
    *ret_sequence = ++f.sequence;
    *ret_fresh = true;
    return 0;
}

static int place_some(unsigned count);

static int segment_end(void *ctx, struct cof_lane *lane)
{
    (void)ctx;
    assert_ptr_equal(lane, &f.lane);
    f.ends++;
    return f.summaries ? place_some(1) : 0;
}

static int footer(void *ctx, struct cof_lane *lane, uint8_t *bytes)
{
    struct cof_footer at = {.lane = (uint16_t)lane->id, .segment = lane->segment};
    (void)ctx;
    if (!f.footers) {
        return 0;
    }
    at.next_segment = lane->next_segment;
    at.first_batch = lane->segment_first_batch;
    at.last_batch = cof_lane_last(lane);
    cof_footer_encode(&at, bytes);
    f.footer_count++;
    return 1;
}

static void progress(void *ctx)
{
    (void)ctx;
    assert_true(f.lane.completed_upto >= f.completed && f.lane.durable_upto >= f.durable);
    assert_true(f.lane.durable_upto <= f.lane.completed_upto);
    f.completed = f.lane.completed_upto;
    f.durable = f.lane.durable_upto;
    f.progress++;
}

static const struct cof_lane_ops ops = {seal_list, take_segment, segment_end, footer, progress};

static void lane_open(unsigned id, uint64_t seed)
{
    struct sim_disk_options options = {.seed = seed, .delay_polls_max = 3, .shuffle = true};
    struct cof_lane_config config = {.ops = &ops, .id = id, .staging_bytes = 0};
    struct cof_lane_head head = {.batch_no = 1};
    memset(&f, 0, sizeof f);
    det_env_init(&f.det, seed, 1);
    cof_env_init(&f.env, &f.det.api);
    f.prng.state = seed;
    f.take_max = 31;
    f.disk = sim_disk_new(SEGMENT_BYTES, SEGMENTS, SEGMENTS, &options);
    f.dev = sim_disk_open(f.disk);
    assert_int_equal(f.dev->ops->set_segment_bytes(f.dev, SEGMENT_BYTES), 0);
    assert_int_equal(cof_sync_io_init(&f.io, &f.env, f.dev), 0);
    config.dev = f.dev;
    assert_int_equal(cof_lane_init(&f.lane, &f.env, &config), 0);
    assert_int_equal(
        take_segment(&f, id, &head.next_segment, &f.lane.next_sequence, &f.lane.next_fresh), 0);
    cof_lane_start(&f.lane, &head, store_uuid, session, SEGMENT_BLOCKS);
    cof_lane_announced(&f.lane); /* as the root that opened the store did */
}

static void lane_close(void)
{
    cof_lane_done(&f.lane);
    cof_sync_io_done(&f.io);
    f.dev->ops->close(f.dev);
    sim_disk_free(f.disk);
    assert_int_equal(f.env.heap_bytes, 0);
}

static int prepare(void)
{
    int err = cof_lane_prepare(&f.lane, false);
    for (unsigned i = 0; err == COFFER_E_AGAIN && i < 1000; i++) {
        assert_true(cof_lane_poll(&f.lane, true) >= 0);
        err = cof_lane_prepare(&f.lane, false);
    }
    return err;
}

static void fill_page(uint8_t *page, uint32_t number)
{
    memset(page, (int)(number * 31u), 4096);
    memcpy(page, &number, sizeof number);
}

/* Place up to count pages in one batch, sealed at once. */
static int place_some(unsigned count)
{
    struct cof_run run = {.volume = 1, .lineage = 1, .extent = 1u + f.pages / 511u, .key_id = 4};
    unsigned room, first, slot = f.pages % 511u;
    uint64_t words[COF_BATCH_PAGES_MAX];
    struct cof_batch *batch;
    bool new_run;
    int err = prepare();
    if (err != 0) {
        return err;
    }
    batch = f.lane.open_batch;
    room = cof_lane_room(&f.lane, &f.owner, slot, false);
    count = count < room ? count : room;
    count = count < 511u - slot ? count : 511u - slot;
    if (count == 0) {
        cof_lane_close_batch(&f.lane);
        return 0;
    }
    for (unsigned i = 0; i < count; i++) {
        words[i] = cof_word(COF_WORD_PAGE, f.pages + i);
    }
    run.first_slot = (uint16_t)slot;
    first = cof_lane_place(&f.lane, &f.owner, &run, 0xc4a1u, words, count, &new_run);
    for (unsigned i = 0; i < count; i++) {
        uint8_t *page = cof_batch_page(batch, first + i);
        fill_page(page, f.pages);
        memset(batch->entries[first + i], (int)f.pages, 16);
        cof_le64_put(batch->entries[first + i] + 16, cof_checksum64(page, 4096));
        f.batch_of[f.pages++] = batch->number;
    }
    cof_lane_sealed(&f.lane, batch, first, count);
    return 0;
}

static void place_pages(uint32_t until)
{
    while (f.pages < until) {
        assert_int_equal(place_some(1u + prng_below(&f.prng, 40)), 0);
        if (prng_chance(&f.prng, 1, 4)) {
            cof_lane_kick(&f.lane);
        }
        if (prng_chance(&f.prng, 1, 3)) {
            assert_true(cof_lane_poll(&f.lane, false) >= 0);
        }
        if (prng_chance(&f.prng, 1, 10)) {
            cof_lane_want_durable(&f.lane, cof_lane_last(&f.lane));
        }
    }
}

static void read_block(uint32_t segment, uint32_t block, uint8_t *bytes)
{
    assert_int_equal(cof_sync_io_read(&f.io, segment, block * 4096u, bytes, 4096), 0);
}

static void check_segment_header(uint32_t segment, uint64_t batch, uint32_t previous)
{
    uint8_t block[4096];
    struct cof_segment_header header;
    read_block(segment, 0, block);
    assert_int_equal(cof_segment_header_decode(block, &header), 0);
    assert_int_equal(header.segment, segment);
    assert_int_equal(header.first_batch, batch);
    assert_int_equal(header.previous, previous);
    assert_int_equal(header.sequence, segment);
    assert_memory_equal(header.session, session, 16);
}

static void check_batch_pages(const uint8_t *block, const struct cof_batch_header *header,
                              uint32_t *page)
{
    const uint8_t *entries = block + cof_batch_entries_offset(block, header);
    for (unsigned i = 0; i < header->pages; i++) {
        uint8_t seen[4096], expected[4096];
        fill_page(expected, *page);
        read_block(header->segment, header->block + 1u + i, seen);
        assert_memory_equal(seen, expected, 4096);
        assert_int_equal(f.batch_of[*page], header->number);
        assert_int_equal(entries[COF_ENTRY_BYTES * i], (uint8_t)*page);
        assert_true(cof_le64_get(entries + COF_ENTRY_BYTES * i + 16) == cof_checksum64(seen, 4096));
        *page += 1;
    }
}

/* Read the log as recovery would, from its first segment on, and find every page in order. */
static void walk_log(void)
{
    uint32_t segment = 1, block = 1, page = 0, named = 0;
    uint64_t durable = 0;
    check_segment_header(1, 1, 0);
    for (uint64_t number = 1; page < f.pages; number++) {
        uint8_t bytes[4096];
        struct cof_batch_header header;
        int err = COFFER_E_NOT_A_STORE;
        if (block < SEGMENT_BLOCKS) {
            read_block(segment, block, bytes);
            err = cof_batch_header_decode(bytes, &header);
        }
        if (err != 0 || header.segment != segment || header.number != number) {
            assert_true(named != 0); /* only a segment that a header named before */
            check_segment_header(named, number, segment);
            segment = named;
            block = 1;
            read_block(segment, block, bytes);
            assert_int_equal(cof_batch_header_decode(bytes, &header), 0);
        }
        assert_int_equal(header.number, number);
        assert_int_equal(header.block, block);
        assert_int_equal(header.lane, f.lane.id);
        assert_true(header.durable_upto >= durable && header.durable_upto < number);
        durable = header.durable_upto;
        check_batch_pages(bytes, &header, &page);
        block += 1u + header.pages;
        named = header.next_segment;
    }
}

static void what_was_placed_is_on_the_device(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        lane_open(COF_LANE_USER, seed);
        f.footers = seed % 2 == 0;
        place_pages(1500);
        assert_int_equal(cof_lane_drain(&f.lane), 0);
        assert_int_equal(f.lane.durable_upto, cof_lane_last(&f.lane));
        assert_true(f.taken > 5 && f.ends > 4);
        assert_int_equal(f.footer_count, f.footers ? f.ends : 0);
        walk_log();
        lane_close();
    }
}

static void a_full_segment_ends_in_its_footer(void **state)
{
    uint8_t bytes[COF_FOOTER_BYTES];
    struct cof_footer at;
    (void)state;
    lane_open(COF_LANE_USER, 9);
    f.footers = true;
    place_pages(600);
    assert_int_equal(cof_lane_drain(&f.lane), 0);
    read_block(1, SEGMENT_BLOCKS - 2u, bytes);
    read_block(1, SEGMENT_BLOCKS - 1u, bytes + 4096);
    assert_int_equal(cof_footer_decode(bytes, &at), 0);
    assert_int_equal(at.segment, 1);
    assert_int_equal(at.next_segment, 2);
    assert_int_equal(at.first_batch, 1);
    walk_log();
    lane_close();
}

static void nothing_is_durable_without_a_sync(void **state)
{
    uint64_t last;
    (void)state;
    lane_open(COF_LANE_USER, 11);
    while (f.pages < 100) {
        assert_int_equal(place_some(10), 0);
    }
    cof_lane_close_batch(&f.lane);
    while (cof_lane_busy(&f.lane)) {
        (void)cof_lane_poll(&f.lane, true);
    }
    last = cof_lane_last(&f.lane);
    assert_int_equal(f.lane.completed_upto, last);
    assert_int_equal(f.lane.durable_upto, 0);
    assert_int_equal(sim_disk_calls(f.disk, COFFER_SEGDEV_SYNC), 0);
    cof_lane_want_durable(&f.lane, last);
    assert_true(f.lane.sync_in_flight);
    assert_int_equal(f.lane.durable_upto, 0);
    while (cof_lane_busy(&f.lane)) {
        (void)cof_lane_poll(&f.lane, true);
    }
    assert_int_equal(f.lane.durable_upto, last);
    assert_int_equal(sim_disk_calls(f.disk, COFFER_SEGDEV_SYNC), 1);
    cof_lane_want_durable(&f.lane, last); /* it is: no other sync */
    assert_int_equal(sim_disk_calls(f.disk, COFFER_SEGDEV_SYNC), 1);
    lane_close();
}

/* Flushes that arrive while a sync is in flight share the next, which covers what is complete when
 * it is issued, never more. */
static void flushes_share_a_sync_that_covers_only_what_was_complete(void **state)
{
    (void)state;
    lane_open(COF_LANE_USER, 12);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(place_some(3), 0);
        cof_lane_want_durable(&f.lane, cof_lane_last(&f.lane));
        if (f.lane.sync_in_flight) {
            assert_true(f.lane.sync_covers <= f.lane.completed_upto);
        }
    }
    while (cof_lane_busy(&f.lane)) {
        (void)cof_lane_poll(&f.lane, true);
        assert_true(!f.lane.sync_in_flight || f.lane.sync_covers <= f.lane.completed_upto);
    }
    assert_int_equal(f.lane.durable_upto, cof_lane_last(&f.lane));
    assert_true(f.lane.stats.syncs < 8);
    lane_close();
}

/* A sync is under way; nothing else is. */
static uint64_t begin_sync(uint64_t seed)
{
    lane_open(COF_LANE_USER, seed);
    f.lane.works_in_poll = false;
    assert_int_equal(place_some(1), 0);
    cof_lane_want_durable(&f.lane, cof_lane_last(&f.lane));
    while (!f.lane.sync_in_flight) {
        (void)cof_lane_poll(&f.lane, true);
    }
    assert_int_equal(f.lane.writes_in_flight, 0);
    return f.lane.stats.writes;
}

static void place_durable(unsigned pages)
{
    for (unsigned i = 0; i < pages; i++) {
        assert_int_equal(place_some(1), 0);
        cof_lane_want_durable(&f.lane, cof_lane_last(&f.lane));
        cof_lane_kick(&f.lane);
    }
}

/* Who wants a page durable has to wait for the sync that is under way, and for the next: a write of
 * its own would bring it no further. */
static void durable_pages_gather_while_a_sync_is_under_way(void **state)
{
    uint64_t writes;
    (void)state;
    writes = begin_sync(20);
    place_durable(15);
    assert_int_equal(f.lane.stats.writes, writes);
    while (f.lane.sync_in_flight) {
        (void)cof_lane_poll(&f.lane, true);
    }
    assert_int_equal(f.lane.stats.writes, writes + 1u); /* all in one */
    while (cof_lane_busy(&f.lane)) {
        (void)cof_lane_poll(&f.lane, true);
    }
    assert_int_equal(f.lane.durable_upto, cof_lane_last(&f.lane));
    assert_int_equal(f.lane.stats.syncs, 2);
    lane_close();
}

static void many_durable_pages_do_not_wait_for_a_sync(void **state)
{
    uint64_t writes;
    (void)state;
    writes = begin_sync(21);
    place_durable(16);
    assert_true(f.lane.sync_in_flight);
    assert_int_equal(f.lane.stats.writes, writes + 1u);
    lane_close();
}

static void who_waits_for_a_write_alone_does_not_wait_for_a_sync(void **state)
{
    uint64_t writes;
    (void)state;
    writes = begin_sync(22);
    place_durable(3);
    assert_int_equal(place_some(1), 0);
    cof_lane_hurry(&f.lane, cof_lane_last(&f.lane));
    cof_lane_kick(&f.lane);
    assert_true(f.lane.sync_in_flight);
    assert_int_equal(f.lane.stats.writes, writes + 1u);
    lane_close();
}

/* While another's syncs follow one another the lane begins none; the end of each writes what
 * gathered, and makes durable what was complete when it began. */
static void anothers_syncs_are_the_lanes_too(void **state)
{
    uint64_t first, writes;
    (void)state;
    lane_open(COF_LANE_USER, 23);
    f.lane.works_in_poll = false;
    assert_int_equal(place_some(1), 0);
    first = cof_lane_last(&f.lane);
    cof_lane_hold_syncs(&f.lane, true);
    cof_lane_want_durable(&f.lane, first);
    while (f.lane.completed_upto < first) {
        cof_lane_close_batch(&f.lane);
        (void)cof_lane_poll(&f.lane, true);
    }
    assert_false(cof_lane_busy(&f.lane));
    cof_lane_sync_begins(&f.lane);
    writes = f.lane.stats.writes;
    place_durable(2);
    assert_int_equal(f.lane.stats.writes, writes);
    cof_lane_synced(&f.lane);
    assert_int_equal(f.lane.durable_upto, first);
    assert_int_equal(f.lane.stats.writes, writes + 1u);
    while (cof_lane_busy(&f.lane)) {
        (void)cof_lane_poll(&f.lane, true);
    }
    assert_int_equal(f.lane.stats.syncs, 0);
    assert_int_equal(f.lane.durable_upto, first);
    cof_lane_hold_syncs(&f.lane, false);
    while (cof_lane_busy(&f.lane)) {
        (void)cof_lane_poll(&f.lane, true);
    }
    assert_int_equal(f.lane.stats.syncs, 1);
    assert_int_equal(f.lane.durable_upto, cof_lane_last(&f.lane));
    lane_close();
}

static void a_failure_sticks(unsigned call, uint64_t at)
{
    struct sim_fault fault = {.call = call, .at = at, .error = COFFER_E_IO, .os_errno = 5};
    uint64_t completed, durable;
    lane_open(COF_LANE_USER, 20 + at);
    sim_disk_inject(f.disk, &fault);
    for (unsigned i = 0; i < 400 && f.lane.error == 0; i++) {
        (void)place_some(5);
        cof_lane_want_durable(&f.lane, cof_lane_last(&f.lane));
        (void)cof_lane_poll(&f.lane, false);
    }
    assert_int_equal(sim_disk_fired(f.disk), 1);
    assert_int_equal(f.lane.error, COFFER_E_IO);
    completed = f.lane.completed_upto;
    durable = f.lane.durable_upto;
    sim_disk_inject(f.disk, NULL); /* the device is well again: too late */
    assert_int_equal(cof_lane_prepare(&f.lane, true), COFFER_E_FAILED);
    assert_int_equal(cof_lane_drain(&f.lane), COFFER_E_IO);
    for (unsigned i = 0; i < 50; i++) {
        (void)cof_lane_poll(&f.lane, false);
    }
    assert_int_equal(f.lane.completed_upto, completed);
    /* A sync that was in flight when a write failed may still succeed, for what it covers. */
    assert_true(f.lane.durable_upto == durable ||
                (call == COFFER_SEGDEV_APPEND && f.lane.durable_upto <= completed));
    assert_true(completed < cof_lane_last(&f.lane) || call == COFFER_SEGDEV_SYNC);
    lane_close();
}

static void a_failed_write_sticks(void **state)
{
    (void)state;
    for (uint64_t at = 0; at < 12; at++) {
        a_failure_sticks(COFFER_SEGDEV_APPEND, at);
    }
}

static void a_failed_sync_sticks(void **state)
{
    (void)state;
    for (uint64_t at = 0; at < 6; at++) {
        a_failure_sticks(COFFER_SEGDEV_SYNC, at);
    }
}

/* As a thread does that waits in the channel, with the store's lock let go. */
static void a_look_does_not_wait_for_who_has_the_channel(void **state)
{
    (void)state;
    lane_open(COF_LANE_USER, 80);
    assert_int_equal(place_some(1), 0);
    cof_lane_close_batch(&f.lane);
    pthread_mutex_lock(&f.lane.carrier_lock);
    assert_int_equal(cof_lane_poll(&f.lane, false), 0);
    pthread_mutex_unlock(&f.lane.carrier_lock);
    assert_int_equal(cof_lane_drain(&f.lane), 0);
    lane_close();
}

static void close_batches(unsigned count)
{
    f.lane.works_in_poll = true;
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(place_some(1), 0);
        cof_lane_close_batch(&f.lane);
    }
    assert_int_equal(f.lane.outbox_count, count);
}

/* Who waits for nothing is not kept by what others send meanwhile. */
static void a_device_that_works_in_poll_is_given_one_at_a_time(void **state)
{
    (void)state;
    lane_open(COF_LANE_USER, 84);
    close_batches(3);
    (void)cof_lane_carry_some(&f.lane);
    assert_int_equal(f.lane.outbox_count, 2);
    (void)cof_lane_carry_some(&f.lane);
    assert_int_equal(f.lane.outbox_count, 1);
    assert_int_equal(place_some(1), 0);
    cof_lane_close_batch(&f.lane);
    (void)cof_lane_carry(&f.lane); /* all there is */
    assert_int_equal(f.lane.outbox_count, 0);
    assert_int_equal(cof_lane_drain(&f.lane), 0);
    assert_int_equal(f.lane.durable_upto, 4);
    lane_close();
}

/* He may go to sleep, as he can count on who has the channel. */
static void insist_while_the_channel_is_taken(void)
{
    close_batches(2);
    pthread_mutex_lock(&f.lane.carrier_lock);
    (void)cof_lane_carry(&f.lane);
    pthread_mutex_unlock(&f.lane.carrier_lock);
    assert_int_equal(f.lane.outbox_count, 2);
    assert_int_equal(place_some(1), 0);
    cof_lane_close_batch(&f.lane);
    assert_int_equal(f.lane.outbox_count, 3);
}

static void who_finds_the_channel_taken_is_served(void **state)
{
    (void)state;
    for (unsigned how = 0; how < 3; how++) {
        lane_open(COF_LANE_USER, 85);
        insist_while_the_channel_is_taken();
        if (how == 0) {
            (void)cof_lane_carry_some(&f.lane);
        } else if (how == 1) {
            (void)cof_lane_carry_wait(&f.lane);
        } else {
            (void)cof_lane_poll(&f.lane, true);
        }
        assert_int_equal(f.lane.outbox_count, 1); /* what came later, and nobody wants yet */
        assert_int_equal(cof_lane_drain(&f.lane), 0);
        assert_int_equal(f.lane.durable_upto, 3);
        lane_close();
    }
}

static int no_answer(struct coffer_segdev_channel *channel, unsigned wait,
                     struct coffer_segdev_request **ret_list)
{
    (void)channel;
    (void)wait;
    (void)ret_list;
    return COFFER_E_IO;
}

/* Whether what the channel holds was written nobody knows: behind a gap nothing is appended. */
static void nothing_follows_an_answer_that_was_lost(void **state)
{
    const struct coffer_segdev_ops *real;
    struct coffer_segdev_ops broken;
    (void)state;
    lane_open(COF_LANE_USER, 86);
    close_batches(3);
    real = f.dev->ops;
    broken = *real;
    broken.poll = no_answer;
    f.dev->ops = &broken;
    (void)cof_lane_carry_some(&f.lane);
    f.dev->ops = real;
    (void)cof_lane_carry(&f.lane);
    assert_int_equal(f.lane.outbox_count, 0);
    assert_int_equal(sim_disk_calls(f.disk, COFFER_SEGDEV_APPEND), 1);
    assert_int_equal(cof_lane_collect(&f.lane), COFFER_E_IO);
    assert_int_equal(f.lane.completed_upto, 0);
    lane_close();
}

/* The device holds us to it: a poll never waits for more than is in flight. */
static void who_comes_too_late_to_wait_does_not(void **state)
{
    (void)state;
    lane_open(COF_LANE_USER, 81);
    assert_int_equal(place_some(1), 0);
    cof_lane_close_batch(&f.lane);
    while (cof_lane_pending(&f.lane)) { /* its next segment is conditioned meanwhile */
        assert_true(cof_lane_carry_wait(&f.lane) > 0);
        assert_int_equal(cof_lane_collect(&f.lane), 1);
    }
    assert_int_equal(f.lane.completed_upto, 1);
    assert_int_equal(cof_lane_carry_wait(&f.lane), 0);
    assert_int_equal(cof_lane_collect(&f.lane), 0);
    assert_int_equal(cof_lane_drain(&f.lane), 0);
    lane_close();
}

/* Who waited for it may be asleep, and another have fetched the answer. */
static void a_segment_that_is_ready_is_told(void **state)
{
    unsigned before;
    (void)state;
    lane_open(COF_LANE_USER, 82);
    assert_int_equal(cof_lane_prepare(&f.lane, false), COFFER_E_AGAIN);
    assert_true(f.lane.conditioning && !cof_lane_busy(&f.lane));
    before = f.progress;
    while (f.lane.conditioning) {
        assert_true(cof_lane_poll(&f.lane, true) >= 0);
    }
    assert_int_equal(f.progress, before + 1u);
    lane_close();
}

static void buffers_run_out_and_come_back(void **state)
{
    unsigned placed = 0;
    (void)state;
    lane_open(COF_LANE_USER, 30);
    assert_int_equal(prepare(), 0);
    for (; cof_lane_prepare(&f.lane, false) == 0; placed++) {
        struct cof_run run = {.volume = 1, .extent = 1, .first_slot = (uint16_t)placed};
        uint64_t word = cof_word(COF_WORD_PAGE, placed);
        bool new_run;
        assert_true(placed < 100);
        (void)cof_lane_place(&f.lane, &f.owner, &run, 0xc4a1u, &word, 1, &new_run);
        cof_lane_close_batch(&f.lane); /* closed, but not sealed: it can't be written */
    }
    assert_int_equal(cof_lane_prepare(&f.lane, false), COFFER_E_AGAIN);
    assert_int_equal(f.lane.writes_in_flight, 0);
    assert_int_equal(cof_lane_prepare(&f.lane, true), 0); /* some are kept for the store's own */
    for (unsigned i = f.lane.fifo_count; i > 0; i--) {    /* sealed in the wrong order */
        struct cof_batch *batch = f.lane.fifo[i - 1u];
        if (batch->closed) {
            memset(cof_batch_page(batch, 0), 1, 4096);
            cof_lane_sealed(&f.lane, batch, 0, 1);
            assert_int_equal(f.lane.writes_in_flight, i == 1 ? placed : 0);
        }
    }
    assert_int_equal(cof_lane_drain(&f.lane), 0);
    assert_int_equal(f.lane.durable_upto, placed);
    assert_int_equal(cof_lane_prepare(&f.lane, false), 0);
    lane_close();
}

static void fill_all_segments(void)
{
    int err = 0;
    while (err == 0) {
        err = place_some(30);
        assert_true(f.pages < 1000);
    }
    assert_int_equal(err, COFFER_E_NO_SPACE);
    assert_int_equal(cof_lane_drain(&f.lane), 0);
}

static void a_full_store_says_so_and_goes_on_when_there_is_room(void **state)
{
    (void)state;
    lane_open(COF_LANE_USER, 40);
    f.take_max = 3;
    fill_all_segments();
    assert_int_equal(f.lane.error, 0);
    f.take_max = 10;
    assert_int_equal(prepare(), COFFER_E_NO_SPACE); /* taken, but nothing on disk names it */
    cof_lane_announced(&f.lane);                    /* a root does now */
    assert_int_equal(place_some(5), 0);
    assert_int_equal(cof_lane_drain(&f.lane), 0);
    check_segment_header(4, f.lane.next_batch - 1u, 3);
    lane_close();
}

/* A segment that comes when no header can name it any more but that of what its end places. */
static void a_late_segment_is_named_by_what_the_end_places(void **state)
{
    (void)state;
    lane_open(COF_LANE_USER, 41);
    f.lane.tail_reserve_blocks = 2;
    f.summaries = true;
    f.take_max = 3;
    fill_all_segments();
    assert_int_equal(f.ends, 2); /* nothing is placed while there is no segment to name */
    f.take_max = 10;
    for (uint32_t until = f.pages + 600u; f.pages < until;) {
        assert_int_equal(place_some(5), 0);
    }
    assert_in_range(f.ends, 3, 10);
    assert_int_equal(cof_lane_drain(&f.lane), 0);
    walk_log();
    lane_close();
}

static void batches_in_memory_are_found_by_place(void **state)
{
    struct cof_batch *batch;
    uint32_t segment, block;
    (void)state;
    lane_open(COF_LANE_USER, 50);
    assert_int_equal(place_some(7), 0);
    batch = f.lane.open_batch;
    segment = batch->segment;
    block = batch->block;
    assert_null(cof_lane_find(&f.lane, segment, block)); /* its header is no page */
    assert_ptr_equal(cof_lane_find(&f.lane, segment, block + 7u), batch);
    assert_null(cof_lane_find(&f.lane, segment, block + 8u));
    assert_null(cof_lane_find(&f.lane, segment + 1u, block));
    assert_int_equal(cof_lane_drain(&f.lane), 0);
    assert_null(cof_lane_find(&f.lane, segment, block));
    lane_close();
}

static void slots_without_pages_share_a_batch_with_pages(void **state)
{
    struct cof_run run = {.volume = 1, .extent = 1, .no_pages = true, .first_slot = 3};
    uint64_t words[2] = {cof_word(COF_WORD_DISCARD_START, 9), cof_word(COF_WORD_DISCARD_LENGTH, 4)};
    struct cof_batch_header header;
    uint8_t bytes[4096];
    bool new_run;
    (void)state;
    lane_open(COF_LANE_USER, 60);
    assert_int_equal(place_some(3), 0);
    (void)cof_lane_place(&f.lane, &f.owner, &run, 0xc4a1u, words, 2, &new_run);
    assert_true(new_run);
    assert_int_equal(cof_lane_drain(&f.lane), 0);
    read_block(1, 1, bytes);
    assert_int_equal(cof_batch_header_decode(bytes, &header), 0);
    assert_int_equal(header.runs, 2);
    assert_int_equal(header.pages, 3);
    cof_run_decode(bytes + COF_BATCH_HEADER_BYTES + COF_RUN_BYTES, &run);
    assert_true(run.no_pages && run.slots == 2 && run.first_slot == 3);
    lane_close();
}

static void the_head_says_where_replay_would_begin(void **state)
{
    struct cof_lane_head head;
    (void)state;
    lane_open(COF_LANE_USER, 70);
    place_pages(40);
    assert_int_equal(cof_lane_drain(&f.lane), 0);
    cof_lane_head(&f.lane, &head);
    assert_true(head.used);
    assert_int_equal(head.batch_no, cof_lane_last(&f.lane) + 1u);
    assert_int_equal(head.segment, f.lane.segment);
    assert_int_equal(head.durable_upto, cof_lane_last(&f.lane));
    assert_int_equal(place_some(1), 0);
    assert_int_equal(f.lane.open_batch->number, head.batch_no);
    assert_int_equal(f.lane.open_batch->block, head.block);
    assert_int_equal(cof_lane_drain(&f.lane), 0);
    lane_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_placed_is_on_the_device),
        cmocka_unit_test(a_full_segment_ends_in_its_footer),
        cmocka_unit_test(nothing_is_durable_without_a_sync),
        cmocka_unit_test(flushes_share_a_sync_that_covers_only_what_was_complete),
        cmocka_unit_test(durable_pages_gather_while_a_sync_is_under_way),
        cmocka_unit_test(many_durable_pages_do_not_wait_for_a_sync),
        cmocka_unit_test(who_waits_for_a_write_alone_does_not_wait_for_a_sync),
        cmocka_unit_test(anothers_syncs_are_the_lanes_too),
        cmocka_unit_test(a_failed_write_sticks),
        cmocka_unit_test(a_failed_sync_sticks),
        cmocka_unit_test(a_look_does_not_wait_for_who_has_the_channel),
        cmocka_unit_test(a_device_that_works_in_poll_is_given_one_at_a_time),
        cmocka_unit_test(who_finds_the_channel_taken_is_served),
        cmocka_unit_test(nothing_follows_an_answer_that_was_lost),
        cmocka_unit_test(who_comes_too_late_to_wait_does_not),
        cmocka_unit_test(a_segment_that_is_ready_is_told),
        cmocka_unit_test(buffers_run_out_and_come_back),
        cmocka_unit_test(a_full_store_says_so_and_goes_on_when_there_is_room),
        cmocka_unit_test(a_late_segment_is_named_by_what_the_end_places),
        cmocka_unit_test(batches_in_memory_are_found_by_place),
        cmocka_unit_test(slots_without_pages_share_a_batch_with_pages),
        cmocka_unit_test(the_head_says_where_replay_would_begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
