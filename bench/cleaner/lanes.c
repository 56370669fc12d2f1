/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cleaner/lanes.c - the two lanes: batches with their headers, extents, footers.
 *
 * The user lane never dips into the segments that belong to cleaner and checkpoints; whoever calls
 * it made room (load.c). The checkpoint lane takes the last one.
 */
#include "cleaner/sim.h"

#define HEADER_BYTES 96u
#define RUN_BYTES 64u  /* with the chain word of its list */
#define PAGE_BYTES 32u /* entry and word */
#define RAW_RUN_BYTES 56u
#define RAW_PAGE_BYTES 24u
#define SLOTS_CLOSE 511u
#define REFS_CLOSE 63u

static uint32_t left(const struct sim *sim, const struct sim_lane *lane)
{
    return lane->segment == SIM_NONE
               ? 0
               : sim->segment_blocks - SIM_FOOTER - sim->segments[lane->segment].cursor;
}

static void close_batch(struct sim_lane *lane)
{
    lane->batch_open = false;
}

static void open_batch(struct sim *sim, struct sim_lane *lane)
{
    sim_space_append(sim, lane->segment, sim_owner_other);
    sim->counts.header++;
    lane->batch_open = true;
    lane->pages = lane->runs = 0;
    lane->bytes = HEADER_BYTES;
    lane->run_extent = 0;
}

/* Whether the open batch takes another run of blocks, bytes in its header. */
static bool fits(const struct sim *sim, const struct sim_lane *lane, unsigned blocks,
                 unsigned bytes, unsigned runs)
{
    return lane->batch_open && lane->pages + blocks <= SIM_BATCH_PAGES &&
           lane->bytes + bytes <= SIM_BLOCK && lane->runs + runs <= SIM_BATCH_RUNS &&
           blocks <= left(sim, lane);
}

static void leave_segment(struct sim *sim, struct sim_lane *lane)
{
    struct sim_segment *segment = &sim->segments[lane->segment];
    sim->counts.padding += left(sim, lane);
    if (lane == &sim->user) {
        sim->counts.footer += SIM_FOOTER;
    }
    segment->state = SIM_USED;
    segment->cursor = sim->segment_blocks;
    lane->segment = SIM_NONE;
    lane->extent = 0;
    close_batch(lane);
}

static void enter_segment(struct sim *sim, struct sim_lane *lane)
{
    bool user = lane == &sim->user;
    uint32_t number =
        sim_space_take(sim, 0, user ? sim_checkpoint_floor(sim) + SIM_FLOOR_CLEANER : 0);
    if (number == SIM_NONE) {
        sim_fail(3, "wedged: no segment for %s (%u free, %u waiting)",
                 user ? "the log" : "a checkpoint", sim->free_count, sim->waiting_count);
    }
    lane->segment = number;
    sim_space_append(sim, number, sim_owner_other); /* the segment's header */
    sim->counts.header++;
}

/* Room for blocks in an open batch, wherever that has to be. */
static void make_room(struct sim *sim, struct sim_lane *lane, unsigned blocks, unsigned bytes)
{
    if (fits(sim, lane, blocks, bytes, 1)) {
        return;
    }
    close_batch(lane);
    if (lane->segment != SIM_NONE && left(sim, lane) < blocks + 1u) {
        leave_segment(sim, lane);
    }
    if (lane->segment == SIM_NONE) {
        enter_segment(sim, lane);
    }
    open_batch(sim, lane);
}

static struct sim_extent *open_extent(struct sim *sim, struct sim_lane *lane)
{
    struct sim_extent *extent;
    if (lane->extent != 0) {
        return sim->extents[lane->extent];
    }
    extent = sim_extent_new(sim, lane->segment, lane == &sim->meta, &lane->extent);
    if (lane == &sim->user) {
        extent->unsettled = true;
        sim_list_add(&sim->unsettled, lane->extent);
    }
    return extent;
}

static uint64_t put_page(struct sim *sim, struct sim_lane *lane, unsigned slot)
{
    struct sim_extent *extent = sim->extents[lane->extent];
    bool new_run = lane->run_extent != lane->extent || slot == SIM_SUMMARY;
    uint16_t block = sim_space_append(sim, lane->segment, sim_owner_page(lane->extent, slot));
    lane->pages++;
    lane->bytes += PAGE_BYTES + (new_run ? RUN_BYTES : 0u);
    lane->runs += new_run ? 1u : 0u;
    lane->run_extent = lane->extent;
    sim_extent_put(sim, lane->extent, slot, block, new_run);
    if (slot != SIM_SUMMARY) {
        extent->slots = (uint16_t)(slot + 1u);
    }
    if (lane == &sim->user) {
        sim->segments[lane->segment].log_epoch = sim->epoch;
        if (sim->durable != NULL) {
            sim->durable[(uint64_t)lane->segment * sim->segment_blocks + block] = 1;
        }
    }
    return (uint64_t)lane->extent << 9 | slot;
}

static void close_user_extent(struct sim *sim, bool summary)
{
    struct sim_lane *lane = &sim->user;
    struct sim_extent *extent = sim->extents[lane->extent];
    bool here = fits(sim, lane, 1, PAGE_BYTES + RUN_BYTES, 1);
    if (summary && extent->slots >= 2u && (here || left(sim, lane) >= 2u)) {
        if (!here) {
            open_batch(sim, lane);
        }
        extent->summary = true;
        put_page(sim, lane, SIM_SUMMARY);
        sim->counts.summary++;
    }
    lane->extent = 0;
}

bool sim_user_ready(struct sim *sim)
{
    return fits(sim, &sim->user, 3, 3u * (PAGE_BYTES + RUN_BYTES), 3) ||
           left(sim, &sim->user) >= 4u;
}

void sim_user_page(struct sim *sim, uint64_t lba)
{
    struct sim_lane *lane = &sim->user;
    struct sim_extent *extent;
    make_room(sim, lane, 1, PAGE_BYTES + RUN_BYTES);
    extent = open_extent(sim, lane);
    sim->current[lba] = put_page(sim, lane, extent->slots);
    sim->counts.user++;
    sim->log_pages++;
    if (extent->slots == SLOTS_CLOSE || extent->ref_count == REFS_CLOSE ||
        (left(sim, lane) == 1u && sim->opts.commit > 1u)) {
        close_user_extent(sim, true);
    }
    if (lane->pages >= sim->opts.commit) {
        close_batch(lane);
    }
}

/* Two slots, no page, a run of its own. */
void sim_user_discard(struct sim *sim)
{
    struct sim_lane *lane = &sim->user;
    struct sim_extent *extent;
    make_room(sim, lane, 0, RUN_BYTES + 16u);
    extent = open_extent(sim, lane);
    if (extent->slots + 2u > SLOTS_CLOSE) {
        close_user_extent(sim, true);
        make_room(sim, lane, 0, RUN_BYTES + 16u);
        extent = open_extent(sim, lane);
    }
    lane->bytes += RUN_BYTES + 16u;
    lane->runs++;
    lane->run_extent = 0;
    extent->refs[extent->ref_count].slot = extent->slots;
    extent->refs[extent->ref_count++].block = 0;
    extent->slots = (uint16_t)(extent->slots + 2u);
    sim->segments[lane->segment].log_epoch = sim->epoch;
    if (extent->slots >= SLOTS_CLOSE || extent->ref_count == REFS_CLOSE) {
        close_user_extent(sim, true);
    }
}

void sim_user_freeze(struct sim *sim)
{
    close_batch(&sim->user);
    if (sim->user.extent != 0) {
        close_user_extent(sim, false);
    }
}

uint64_t sim_meta_node(struct sim *sim)
{
    struct sim_lane *lane = &sim->meta;
    struct sim_extent *extent;
    uint64_t address;
    make_room(sim, lane, 1, PAGE_BYTES + RUN_BYTES);
    extent = open_extent(sim, lane);
    address = put_page(sim, lane, extent->slots);
    sim->counts.nodes++;
    if (extent->slots == SLOTS_CLOSE || extent->ref_count == REFS_CLOSE) {
        lane->extent = 0;
    }
    return address;
}

void sim_meta_raw(struct sim *sim, uint64_t owner, unsigned blocks, uint32_t *ret_segment,
                  uint16_t *ret_block)
{
    struct sim_lane *lane = &sim->meta;
    make_room(sim, lane, blocks, RAW_RUN_BYTES + blocks * RAW_PAGE_BYTES);
    lane->bytes += RAW_RUN_BYTES + blocks * RAW_PAGE_BYTES;
    lane->runs++;
    lane->run_extent = 0;
    lane->pages += blocks;
    *ret_segment = lane->segment;
    *ret_block = (uint16_t)sim->segments[lane->segment].cursor;
    for (unsigned i = 0; i < blocks; i++) {
        sim_space_append(sim, lane->segment, owner);
    }
}

void sim_meta_close(struct sim *sim)
{
    close_batch(&sim->meta);
    sim->meta.extent = 0;
}
