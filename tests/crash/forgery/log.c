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
           batch->header.number >= forgery.rich.map.root.lanes[COF_LANE_USER].batch_no;
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
