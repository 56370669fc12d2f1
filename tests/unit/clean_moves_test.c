/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/clean_moves_test - what the cleaner does to extents: groups and heads, pieces that are split
 * and gathered, what dies or goes while it moves, damage, readers, failures.
 *
 * The cleaner is driven by hand, a victim at a time, in a store of which two thirds were written
 * over; all the rest is the public API's.
 */
#include "volume_fixture.h"

#include "clean/internal.h"
#include "common/hand_mover.h"
#include "common/sim_device.h"
#include "volume/store.h"

#define PAGES 2600u /* about eleven segments */

static struct volume_fixture f;
static struct coffer_volume *volume;
static uint64_t versions[PAGES];

/* ---- a store to clean ---- */

static void write_each(uint64_t step, uint64_t version)
{
    for (uint64_t page = 0; page < PAGES; page += step) {
        write_page(volume, page, version);
        versions[page] = version;
    }
}

static void checkpoint(void)
{
    assert_int_equal(coffer_store_checkpoint(f.store, &f.fault), 0);
}

/* A third of the pages of each segment live, in many extents. */
static void make(int plain)
{
    fixture_make(&f, 5);
    make_volume(&f, "v", PAGES, plain);
    volume = open_volume(&f, "v");
    write_each(1, 1);
    for (uint64_t page = 0; page < PAGES; page++) {
        if (page % 3 != 1) {
            write_page(volume, page, 2);
            versions[page] = 2;
        }
    }
    checkpoint();
}

static void check_contents(void)
{
    for (uint64_t page = 0; page < PAGES; page++) {
        check_page(volume, page, versions[page]);
    }
}

static uint64_t findings(void)
{
    struct coffer_check_opts opts = {.size = sizeof opts, .provider = &f.kms.api};
    struct coffer_check_summary summary;
    assert_int_equal(coffer_volume_close(volume), 0);
    assert_int_equal(coffer_store_check(f.store, &opts, &summary, &f.fault), 0);
    volume = open_volume(&f, "v");
    return summary.findings;
}

static void end(void)
{
    check_contents();
    assert_int_equal(findings(), 0);
    assert_int_equal(coffer_volume_close(volume), 0);
    fixture_reopen(&f);
    volume = open_volume(&f, "v");
    check_contents();
    assert_int_equal(coffer_volume_close(volume), 0);
    fixture_done(&f);
}

/* ---- the cleaner by hand ---- */

static struct cof_cleaner *lock(void)
{
    pthread_mutex_lock(&f.store->lock);
    return &f.store->cleaner;
}

static void unlock(void)
{
    pthread_mutex_unlock(&f.store->lock);
}

/* A segment of the lane with the fewest live pages, of those that have so many. */
static uint32_t find_victim(unsigned lane, uint32_t least)
{
    const struct cof_segments *segments = &f.store->segments;
    uint32_t found = COF_NO_SEGMENT;
    for (uint32_t i = 0; i < segments->count; i++) {
        if (segments->table[i].lane == lane && segments->table[i].live >= least &&
            cof_victim_possible(&f.store->cleaner, i) &&
            (found == COF_NO_SEGMENT || segments->table[i].live < segments->table[found].live)) {
            found = i;
        }
    }
    return found;
}

static int run_victim(struct cof_cleaner *cleaner, uint32_t victim)
{
    int err = cof_cleaner_begin_with(cleaner, victim);
    while (err >= 0 && cleaner->state != COF_CLEANER_IDLE) {
        err = cof_cleaner_step(cleaner, 64, true);
    }
    return err < 0 ? err : 0;
}

/* Whatever is filling or in flight is written, and published. */
static int drain(struct cof_cleaner *cleaner)
{
    int err = cof_cleaner_cut(cleaner);
    while (err >= 0 && cleaner->flying > 0) {
        err = cof_cleaner_poll(cleaner, true);
    }
    return err < 0 ? err : 0;
}

/* Clean all segments of the user lane that can be, with groups that go on from one to the next; how
 * many. */
static unsigned clean_all(void)
{
    unsigned count = 0;
    uint32_t victim;
    struct cof_cleaner *cleaner = lock();
    while ((victim = find_victim(COF_LANE_USER, 1)) != COF_NO_SEGMENT) {
        assert_int_equal(run_victim(cleaner, victim), 0);
        count++;
    }
    assert_int_equal(drain(cleaner), 0);
    assert_int_equal(find_victim(COF_LANE_USER, 1), COF_NO_SEGMENT);
    unlock();
    return count;
}

static unsigned pieces_most, pieces_two;

static void count_pieces(void)
{
    struct cof_desc *desc;
    pieces_most = pieces_two = 0;
    (void)lock();
    for (uint64_t extent = 1; cof_place_next(&f.store->place, 0, &extent, &desc) == 0; extent++) {
        pieces_most = desc->piece_count > pieces_most ? desc->piece_count : pieces_most;
        pieces_two += desc->piece_count == 2 && desc->pieces[0].segment != desc->pieces[1].segment;
        for (unsigned i = 1; i < desc->piece_count; i++) {
            assert_true(desc->pieces[i].first_slot > desc->pieces[i - 1u].first_slot);
        }
    }
    unlock();
}

/* ---- cases ---- */

static void emptied(int plain)
{
    uint32_t free_before;
    unsigned victims;
    uint64_t live;
    make(plain);
    live = f.store->segments.live_total;
    victims = clean_all();
    assert_true(victims >= 8);
    assert_int_equal(f.store->segments.live_total, live); /* moving neither makes nor kills */
    check_contents();                                     /* before any root names the places */
    free_before = f.store->segments.free_count;
    checkpoint();
    assert_true(f.store->segments.free_count + 1u >= free_before + victims);
    end();
}

static void victims_become_free_and_everything_reads(void **state)
{
    (void)state;
    emptied(0);
    emptied(1);
}

static void a_victim_is_not_free_before_the_next_root(void **state)
{
    struct cof_cleaner *cleaner;
    uint32_t victim, free_before;
    (void)state;
    make(0);
    cleaner = lock();
    victim = find_victim(COF_LANE_USER, 40);
    assert_int_equal(run_victim(cleaner, victim), 0);
    assert_int_equal(drain(cleaner), 0);
    free_before = f.store->segments.free_count;
    assert_int_equal(f.store->segments.table[victim].live, 0);
    assert_int_equal(f.store->segments.table[victim].state, COF_SEGMENT_USED);
    assert_int_equal(cof_checkpoint_light(f.store), 0);
    assert_int_equal(f.store->segments.table[victim].state, COF_SEGMENT_FREE);
    assert_true(f.store->segments.free_count >= free_before);
    unlock();
    end();
}

/* A cut after the move, before the root: everything stands where it stood. */
static void a_crash_before_the_root_undoes_the_move(void **state)
{
    uint32_t victim, live;
    struct cof_cleaner *cleaner;
    (void)state;
    make(0);
    cleaner = lock();
    victim = find_victim(COF_LANE_USER, 40);
    live = f.store->segments.table[victim].live;
    assert_int_equal(run_victim(cleaner, victim), 0);
    assert_int_equal(drain(cleaner), 0);
    unlock();
    fixture_crash(&f, SIM_CUT_ALL, 1);
    assert_int_equal(f.store->segments.table[victim].live, live);
    volume = open_volume(&f, "v");
    end();
}

static void pieces_are_split_at_a_segments_end(void **state)
{
    (void)state;
    make(0);
    assert_true(clean_all() >= 8);
    count_pieces();
    assert_true(pieces_two > 0);
    checkpoint();
    end();
}

/* Extents of four pieces: where another piece would be split, all of them move together. */
static void a_fifth_piece_gathers_the_extent(void **state)
{
    unsigned cleaned = 0;
    (void)state;
    make(0);
    assert_int_equal(coffer_volume_close(volume), 0);
    assert_true(hand_move_all(f.store, COF_PIECES_MAX) > 4);
    volume = open_volume(&f, "v");
    checkpoint();
    count_pieces();
    assert_int_equal(pieces_most, COF_PIECES_MAX);
    for (unsigned round = 0; round < 6 && f.store->cleaner.stats.gathers == 0; round++) {
        struct cof_cleaner *cleaner = lock();
        uint32_t victim = find_victim(COF_LANE_CLEANER, 2);
        assert_true(victim != COF_NO_SEGMENT);
        assert_int_equal(run_victim(cleaner, victim), 0);
        assert_int_equal(drain(cleaner), 0);
        assert_int_equal(f.store->segments.table[victim].live, 0);
        unlock();
        checkpoint();
        count_pieces();
        assert_true(pieces_most <= COF_PIECES_MAX);
        cleaned++;
    }
    assert_true(f.store->cleaner.stats.gathers > 0);
    end();
}

/* Begin to move a segment, and leave the last group open. */
static uint32_t move_half(void)
{
    struct cof_cleaner *cleaner = lock();
    uint32_t victim = find_victim(COF_LANE_USER, 40);
    assert_true(victim != COF_NO_SEGMENT);
    assert_int_equal(run_victim(cleaner, victim), 0);
    assert_true(cof_moves_pending(cleaner));
    unlock();
    return victim;
}

static void publish(uint32_t victim, uint32_t live)
{
    struct cof_cleaner *cleaner = lock();
    assert_int_equal(drain(cleaner), 0);
    assert_false(cof_moves_pending(cleaner));
    assert_int_equal(f.store->segments.table[victim].live, live);
    assert_int_equal(f.store->segments.table[victim].moving, 0);
    unlock();
}

static void a_page_that_dies_while_it_moves_is_dead_in_its_new_place(void **state)
{
    uint32_t victim;
    uint64_t live;
    (void)state;
    make(0);
    live = f.store->segments.live_total;
    victim = move_half();
    write_each(2, 3); /* half of all die */
    checkpoint();
    publish(victim, 0);
    checkpoint();
    assert_in_range(f.store->segments.live_total, live - 60, live + 60); /* metadata varies */
    end();
}

static void an_extent_that_goes_while_it_moves_stays_gone(void **state)
{
    uint32_t victim;
    (void)state;
    make(0);
    victim = move_half();
    assert_int_equal(coffer_volume_discard(volume, 0, PAGES * PAGE, &f.fault), 0);
    memset(versions, 0, sizeof versions);
    checkpoint();
    publish(victim, 0);
    checkpoint();
    assert_true(f.store->segments.live_total < 60); /* metadata */
    end();
}

/* All pieces of an extent are on their way together when one of them dies: the others' pages are
 * where they were put. */
static void a_piece_that_dies_while_its_extent_moves_takes_no_place(void **state)
{
    unsigned gathered = 0;
    (void)state;
    for (uint64_t stretch = 60; stretch <= 120; stretch += 20) {
        struct cof_cleaner *cleaner;
        make(0);
        assert_int_equal(coffer_volume_close(volume), 0);
        assert_true(hand_move_all(f.store, COF_PIECES_MAX) > 4);
        volume = open_volume(&f, "v");
        checkpoint();
        cleaner = lock();
        while (cleaner->stats.gathers == 0 && find_victim(COF_LANE_CLEANER, 2) != COF_NO_SEGMENT) {
            assert_int_equal(run_victim(cleaner, find_victim(COF_LANE_CLEANER, 2)), 0);
        }
        gathered += cleaner->stats.gathers > 0 && cof_moves_pending(cleaner) ? 1u : 0u;
        unlock();
        for (uint64_t page = 0; page + stretch <= PAGES; page += 2u * stretch) {
            assert_int_equal(coffer_volume_discard(volume, page * PAGE, stretch * PAGE, &f.fault),
                             0);
            memset(&versions[page], 0, stretch * sizeof versions[0]);
        }
        checkpoint();
        cleaner = lock();
        assert_int_equal(drain(cleaner), 0);
        unlock();
        checkpoint();
        end();
    }
    assert_true(gathered > 0);
}

static void a_volume_that_is_deleted_while_it_moves_stays_deleted(void **state)
{
    struct coffer_volume_open_opts opts;
    struct coffer_check_opts check = {.size = sizeof check, .provider = &f.kms.api};
    struct coffer_check_summary summary;
    uint32_t victim;
    (void)state;
    make(0);
    victim = move_half();
    assert_int_equal(coffer_volume_close(volume), 0);
    opts = open_opts(&f, "v");
    assert_int_equal(coffer_volume_delete(f.store, &opts, &f.fault), 0);
    publish(victim, 0);
    checkpoint();
    assert_true(f.store->segments.live_total < 20);
    assert_int_equal(coffer_store_check(f.store, &check, &summary, &f.fault), 0);
    assert_int_equal(summary.findings, 0);
    fixture_done(&f);
}

/* ---- some pages a step ---- */

/* Clean a victim seven pages a step; at the first pause in the middle of a piece something happens.
 * Pages that it moved. */
static uint64_t move_in_steps(void (*meanwhile)(void))
{
    struct cof_cleaner *cleaner = lock();
    uint64_t before = cleaner->stats.put_pages;
    uint32_t victim = find_victim(COF_LANE_USER, 60);
    unsigned pauses = 0;
    assert_int_equal(cof_cleaner_begin_with(cleaner, victim), 0);
    while (cleaner->state != COF_CLEANER_IDLE) {
        assert_true(cof_cleaner_step(cleaner, 7, true) >= 0);
        if (cleaner->move != NULL && pauses++ == 0 && meanwhile != NULL) {
            unlock();
            meanwhile();
            (void)lock();
        }
    }
    assert_true(pauses > 0);
    assert_null(cleaner->move);
    assert_int_equal(drain(cleaner), 0);
    assert_int_equal(f.store->segments.table[victim].moving, 0);
    unlock();
    return cleaner->stats.put_pages - before;
}

static void an_extent_moves_some_pages_a_step(void **state)
{
    uint64_t live;
    (void)state;
    make(0);
    live = f.store->segments.live_total;
    assert_true(move_in_steps(NULL) >= 60);
    assert_int_equal(f.store->segments.live_total, live);
    checkpoint();
    end();
}

static void pages_may_die_between_two_steps(void **state)
{
    uint64_t live, all;
    (void)state;
    make(0);
    all = move_in_steps(NULL);
    end();
    make(0);
    live = f.store->segments.live_total;
    write_each(2, 3); /* half of all die with the checkpoint */
    assert_true(move_in_steps(checkpoint) < all);
    checkpoint();
    assert_in_range(f.store->segments.live_total, live - 60, live + 60); /* metadata varies */
    end();
}

static void an_extent_may_go_between_two_steps(void **state)
{
    (void)state;
    make(0);
    assert_int_equal(coffer_volume_discard(volume, 0, PAGES * PAGE, &f.fault), 0);
    memset(versions, 0, sizeof versions);
    assert_true(move_in_steps(checkpoint) < 60);
    checkpoint();
    assert_true(f.store->segments.live_total < 60); /* metadata */
    end();
}

/* Of one that came again under its name nothing is published. */
static void overtake(void)
{
    struct cof_cleaner *cleaner = lock();
    uint64_t what = cleaner->extents[cleaner->extent_next];
    cof_moves_overtake(cleaner, (uint32_t)(what >> 39), what & COF_EXTENT_MAX);
    unlock();
}

static void an_extent_may_be_another_between_two_steps(void **state)
{
    uint64_t moved;
    (void)state;
    make(0);
    moved = move_in_steps(NULL);
    end();
    make(0);
    assert_true(move_in_steps(overtake) > moved); /* its pages were put again, from the first on */
    checkpoint();
    end();
}

/* ---- damage, readers, failures ---- */

/* The place of a page of version 1, and its number. */
static uint64_t find_page(uint32_t *ret_segment, uint32_t *ret_block)
{
    uint64_t page = 1 + 3 * 100u;
    struct cof_vaddr addr;
    struct cof_desc *desc;
    uint32_t header;
    (void)lock();
    assert_int_equal(cof_volume_lookup(volume, page, &addr), 0);
    assert_int_equal(cof_place_find(&f.store->place, 0, cof_vaddr_extent(addr), &desc), 0);
    assert_int_equal(cof_desc_locate(desc, cof_vaddr_slot(addr), ret_segment, ret_block, &header),
                     0);
    unlock();
    return page;
}

static void a_damaged_page_moves_as_it_is(void **state)
{
    uint8_t byte = 0x5a, bytes[PAGE];
    uint32_t segment, block, now, now_block;
    uint64_t page;
    struct cof_cleaner *cleaner;
    (void)state;
    make(0);
    page = find_page(&segment, &block);
    sim_image_poke(f.disk->live, segment, block, 77, &byte, 1);
    cleaner = lock();
    assert_int_equal(run_victim(cleaner, segment), 0);
    assert_int_equal(drain(cleaner), 0);
    assert_int_equal(cleaner->stats.damaged_pages, 1);
    assert_int_equal(f.store->segments.table[segment].live, 0);
    unlock();
    checkpoint();
    assert_int_equal(find_page(&now, &now_block), page);
    assert_int_not_equal(now, segment);
    assert_int_equal(sim_image_bytes(f.disk->live, now, now_block)[77], byte);
    assert_int_equal(coffer_volume_read(volume, bytes, page * PAGE, PAGE, &f.fault),
                     COFFER_E_CORRUPT);
    for (uint64_t other = 0; other < PAGES; other++) {
        if (other != page) {
            check_page(volume, other, versions[other]);
        }
    }
    assert_true(findings() > 0);
    write_page(volume, page, 9);
    versions[page] = 9;
    checkpoint();
    end();
}

/* Without its header a page has no tag: it stays, and so does its segment. */
static void a_page_whose_header_is_damaged_stays(void **state)
{
    uint8_t byte = 0x5a;
    uint32_t segment, block;
    struct cof_cleaner *cleaner;
    (void)state;
    make(0);
    (void)find_page(&segment, &block);
    sim_image_poke(f.disk->live, segment, block - 1u, 99, &byte, 1);
    cleaner = lock();
    assert_int_equal(run_victim(cleaner, segment), 0);
    assert_int_equal(drain(cleaner), 0);
    assert_true(f.store->segments.table[segment].live > 0);
    assert_int_equal(cof_checkpoint_light(f.store), 0);
    assert_int_equal(f.store->segments.table[segment].state, COF_SEGMENT_USED);
    unlock();
    assert_int_equal(coffer_volume_close(volume), 0);
    fixture_done(&f);
}

static void a_reader_holds_its_segment(void **state)
{
    struct cof_cleaner *cleaner;
    uint32_t victim;
    (void)state;
    make(0);
    cleaner = lock();
    victim = find_victim(COF_LANE_USER, 40);
    cof_segments_read(&f.store->segments, victim, 1);
    assert_int_equal(run_victim(cleaner, victim), 0);
    assert_int_equal(drain(cleaner), 0);
    assert_int_equal(cof_checkpoint_light(f.store), 0);
    assert_int_equal(f.store->segments.table[victim].state, COF_SEGMENT_USED);
    cof_segments_read(&f.store->segments, victim, -1);
    assert_int_equal(cof_checkpoint_light(f.store), 0);
    assert_int_equal(f.store->segments.table[victim].state, COF_SEGMENT_FREE);
    unlock();
    end();
}

static void a_victim_that_does_not_read_stays(void **state)
{
    struct sim_fault fault = {.call = COFFER_SEGDEV_READ, .error = COFFER_E_IO, .os_errno = 5};
    struct cof_cleaner *cleaner;
    uint32_t victim, live;
    (void)state;
    make(0);
    cleaner = lock();
    victim = find_victim(COF_LANE_USER, 40);
    live = f.store->segments.table[victim].live;
    fault.at = sim_disk_calls(f.disk, COFFER_SEGDEV_READ);
    sim_disk_inject(f.disk, &fault);
    assert_int_equal(run_victim(cleaner, victim), COFFER_E_IO);
    sim_disk_inject(f.disk, NULL);
    assert_int_equal(f.store->segments.table[victim].live, live);
    assert_int_equal(f.store->segments.table[victim].readers, 0);
    assert_int_equal(run_victim(cleaner, victim), 0);
    assert_int_equal(drain(cleaner), 0);
    assert_int_equal(f.store->segments.table[victim].live, 0);
    unlock();
    end();
}

/* A group that was not written is never published, and the cleaner does nothing more. */
static void a_failed_group_publishes_nothing(void **state)
{
    struct sim_fault fault = {.call = COFFER_SEGDEV_APPEND, .error = COFFER_E_IO, .os_errno = 5};
    struct cof_cleaner *cleaner;
    uint32_t victim, live;
    (void)state;
    make(0);
    cleaner = lock();
    victim = find_victim(COF_LANE_USER, 40);
    live = f.store->segments.table[victim].live;
    fault.at = sim_disk_calls(f.disk, COFFER_SEGDEV_APPEND);
    fault.sticky = true;
    sim_disk_inject(f.disk, &fault);
    (void)run_victim(cleaner, victim);
    assert_int_equal(drain(cleaner), COFFER_E_IO);
    assert_int_equal(f.store->segments.table[victim].live, live);
    assert_int_equal(cof_cleaner_begin_with(cleaner, victim), COFFER_E_FAILED);
    sim_disk_inject(f.disk, NULL);
    unlock();
    check_contents();
    fixture_crash(&f, SIM_CUT_NONE, 1);
    volume = open_volume(&f, "v");
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(victims_become_free_and_everything_reads),
        cmocka_unit_test(a_victim_is_not_free_before_the_next_root),
        cmocka_unit_test(a_crash_before_the_root_undoes_the_move),
        cmocka_unit_test(pieces_are_split_at_a_segments_end),
        cmocka_unit_test(a_fifth_piece_gathers_the_extent),
        cmocka_unit_test(a_page_that_dies_while_it_moves_is_dead_in_its_new_place),
        cmocka_unit_test(an_extent_that_goes_while_it_moves_stays_gone),
        cmocka_unit_test(a_piece_that_dies_while_its_extent_moves_takes_no_place),
        cmocka_unit_test(a_volume_that_is_deleted_while_it_moves_stays_deleted),
        cmocka_unit_test(an_extent_moves_some_pages_a_step),
        cmocka_unit_test(pages_may_die_between_two_steps),
        cmocka_unit_test(an_extent_may_go_between_two_steps),
        cmocka_unit_test(an_extent_may_be_another_between_two_steps),
        cmocka_unit_test(a_damaged_page_moves_as_it_is),
        cmocka_unit_test(a_page_whose_header_is_damaged_stays),
        cmocka_unit_test(a_reader_holds_its_segment),
        cmocka_unit_test(a_victim_that_does_not_read_stays),
        cmocka_unit_test(a_failed_group_publishes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
