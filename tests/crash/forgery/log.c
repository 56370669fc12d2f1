/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/forgery/log.c - holes made in the log behind the checkpoint.
 */
#include "crash/forgery/forgery.h"

#include "common/harness.h"

#include <string.h>

static bool in_tail(const struct forge_batch *batch)
{
    return batch->header.lane == COF_LANE_USER &&
           batch->header.number >= forgery.rich.map.root.lanes[COF_LANE_USER].batch_no &&
           memcmp(batch->header.session, forgery.rich.map.root.session, 16) == 0;
}

/* The n-th batch behind the checkpoint; NULL when there are not so many. */
static const struct forge_batch *tail_batch(unsigned n)
{
    for (unsigned i = 0; i < forgery.rich.map.batch_count; i++) {
        if (in_tail(&forgery.rich.map.batches[i]) && n-- == 0) {
            return &forgery.rich.map.batches[i];
        }
    }
    return NULL;
}

static unsigned tail_length(void)
{
    unsigned count = 0;
    while (tail_batch(count) != NULL) {
        count++;
    }
    return count;
}

/* A batch is kept as a number, but its runs are gone; those behind move up over its pages. */
void empty_batch(uint64_t number)
{
    struct attack attack;
    unsigned gone = (unsigned)number % tail_length();
    const struct forge_batch *batch = tail_batch(gone);
    uint32_t to = batch->block;
    attack_begin(&attack, "empty_batch", number);
    for (unsigned i = gone; tail_batch(i) != NULL; i++) {
        const struct forge_batch *at = tail_batch(i);
        struct cof_batch_header header = at->header;
        struct forge_batch moved = *at;
        uint8_t block[COFFER_BLOCK_BYTES];
        if (at->segment != batch->segment) {
            break;
        }
        memcpy(block, sim_image_bytes(forgery.rich.image, at->segment, at->block), sizeof block);
        if (i == gone) {
            header.runs = header.pages = 0;
            memset(block, 0, sizeof block);
        }
        header.block = moved.block = to;
        cof_batch_header_encode(&header, block);
        sim_image_poke(attack.image, at->segment, to, 0, block, sizeof block);
        for (unsigned page = 0; page < header.pages; page++) {
            sim_image_put(attack.image, at->segment, to + 1 + page,
                          sim_image_block(forgery.rich.image, at->segment, at->block + 1 + page));
        }
        forge_fix_header(attack.image, &moved);
        to += 1u + header.pages;
    }
    attack_conclude(&attack);
}

/* A batch in the middle is left out, and the rest renumbered to close the gap. */
void omit_batch(uint64_t number)
{
    struct attack attack;
    unsigned gone = (unsigned)number % (tail_length() - 1);
    const struct forge_batch *batch = tail_batch(gone);
    uint32_t to = batch->block;
    attack_begin(&attack, "omit_batch", number);
    for (unsigned i = gone + 1; tail_batch(i) != NULL; i++) {
        const struct forge_batch *at = tail_batch(i);
        struct forge_batch moved = *at;
        struct cof_batch_header header = at->header;
        uint8_t block[COFFER_BLOCK_BYTES];
        if (at->segment != batch->segment) {
            break;
        }
        memcpy(block, sim_image_bytes(forgery.rich.image, at->segment, at->block), sizeof block);
        header.number--;
        header.durable_upto--;
        header.block = moved.block = to;
        cof_batch_header_encode(&header, block);
        sim_image_poke(attack.image, at->segment, to, 0, block, sizeof block);
        for (unsigned page = 0; page < header.pages; page++) {
            sim_image_put(attack.image, at->segment, to + 1 + page,
                          sim_image_block(forgery.rich.image, at->segment, at->block + 1 + page));
        }
        forge_fix_header(attack.image, &moved);
        to += 1u + header.pages;
    }
    attack_conclude(&attack);
}

/* Plain damage of a batch that a later one calls durable: refused, not taken for the tail's end. */
void damage_durable(uint64_t number)
{
    struct attack attack;
    unsigned last = tail_length() - 1;
    const struct forge_batch *batch = tail_batch((unsigned)number % tail_length());
    uint8_t byte;
    uint32_t block = batch->block + (number % 2 == 0 || batch->header.pages == 0 ? 0u : 1u);
    if (batch->header.number > tail_batch(last)->header.durable_upto) {
        return;
    }
    attack_begin(&attack, "damage_durable", number);
    attack.forged = false;
    attack.must_refuse = true;
    byte = sim_image_bytes(forgery.rich.image, batch->segment, block)[100] ^ 4u;
    sim_image_poke(attack.image, batch->segment, block, 100, &byte, 1);
    attack_conclude(&attack);
}

/* ---- a whole extent ---- */

struct extent_id {
    uint32_t volume;
    uint64_t extent;
};

/* The number-th extent of the tail that has a later one of its volume behind it. */
static bool find_extent(uint64_t number, struct extent_id *ret_id)
{
    struct extent_id seen[64];
    unsigned count = 0, pairs = 0;
    for (unsigned i = 0; tail_batch(i) != NULL; i++) {
        const struct forge_batch *batch = tail_batch(i);
        for (unsigned r = 0; r < batch->header.runs && count < 64; r++) {
            struct cof_run run;
            unsigned first;
            bool known = false;
            forge_run(forgery.rich.image, batch, r, &run, &first);
            for (unsigned k = 0; k < count; k++) {
                known = known || seen[k].extent == run.extent;
            }
            if (!known) {
                seen[count++] = (struct extent_id){run.volume, run.extent};
            }
        }
    }
    for (unsigned i = 0; i < count; i++) {
        for (unsigned k = i + 1; k < count; k++) {
            if (seen[k].volume == seen[i].volume && pairs++ == number) {
                *ret_id = seen[i];
                return true;
            }
        }
    }
    return false;
}

/* Copy a batch to block `to` without the runs of an extent; returns the blocks it takes. */
static uint32_t copy_without(struct sim_image *image, const struct forge_batch *batch,
                             const struct extent_id *gone, uint32_t to)
{
    struct cof_batch_header header = batch->header;
    struct forge_batch moved = *batch;
    uint8_t block[COFFER_BLOCK_BYTES] = {0}, runs[COF_BATCH_RUNS_MAX * COF_RUN_BYTES];
    uint8_t lists[COFFER_BLOCK_BYTES], entries[COFFER_BLOCK_BYTES];
    uint32_t lists_bytes = 0;
    header.runs = header.pages = 0;
    for (unsigned r = 0; r < batch->header.runs; r++) {
        struct cof_run run;
        unsigned first;
        uint32_t bytes, offset = forge_list_offset(forgery.rich.image, batch, r, &bytes);
        forge_run(forgery.rich.image, batch, r, &run, &first);
        if (run.volume == gone->volume && run.extent == gone->extent) {
            continue;
        }
        cof_run_encode(&run, runs + (size_t)header.runs++ * COF_RUN_BYTES);
        forge_read(forgery.rich.image, batch->segment, batch->block, offset, lists + lists_bytes,
                   bytes);
        lists_bytes += bytes;
        for (unsigned page = first; page < first + cof_run_pages(&run); page++) {
            forge_read(forgery.rich.image, batch->segment, batch->block,
                       batch->entries_offset + page * COF_ENTRY_BYTES,
                       entries + (size_t)header.pages * COF_ENTRY_BYTES, COF_ENTRY_BYTES);
            header.pages++;
            sim_image_put(image, batch->segment, to + header.pages,
                          sim_image_block(forgery.rich.image, batch->segment,
                                          batch->block + 1 + page));
        }
    }
    memcpy(block + COF_BATCH_HEADER_BYTES, runs, (size_t)header.runs * COF_RUN_BYTES);
    memcpy(block + cof_batch_lists_offset(&header), lists, lists_bytes);
    memcpy(block + cof_batch_lists_offset(&header) + lists_bytes, entries,
           (size_t)header.pages * COF_ENTRY_BYTES);
    header.block = moved.block = to;
    cof_batch_header_encode(&header, block);
    sim_image_poke(image, batch->segment, to, 0, block, sizeof block);
    forge_fix_header(image, &moved);
    return 1u + header.pages;
}

/* An extent that ended, with all its runs: no slot is missing in any extent that is left, and no
 * batch in the log; only the chain tells. */
void omit_extent(uint64_t number)
{
    struct attack attack;
    struct extent_id gone;
    uint32_t segment = COF_NO_SEGMENT, to = 0, end = 0;
    if (!find_extent(number, &gone)) {
        return;
    }
    attack_begin(&attack, "omit_extent", number);
    attack.must_refuse = true;
    for (unsigned i = 0; tail_batch(i) != NULL; i++) {
        const struct forge_batch *batch = tail_batch(i);
        if (batch->segment != segment) {
            segment = batch->segment;
            to = batch->block;
            end = sim_image_blocks(attack.image, segment);
            for (uint32_t block = to; block < end; block++) {
                sim_image_put(attack.image, segment, block, NULL); /* the footer goes, too */
            }
        }
        to += copy_without(attack.image, batch, &gone, to);
    }
    attack_conclude(&attack);
}
