/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/store - a whole store: keyless bytes mutated, all checksums put right, opened and read.
 *
 * An input is a list of edits of eight bytes: which structure (a root, a batch header, a block of a
 * tree, any block), where, how and with what. It is applied to a sound image; then everything
 * readable must be right, as in crash/flipbytes.
 */
#include "fuzz/fuzz_driver.h"

#include "common/recorder.h"
#include "common/rich_store.h"
#include "format/endian.h"

#include <stdlib.h>

#define EDITS_MAX 8u

struct block_place {
    uint32_t segment, block;
};

static struct rich_store *rich;
static struct block_place trees[256];
static unsigned tree_count;
static uint64_t incarnation = 1000;

static void note_record(void *ctx, uint64_t key, const struct cof_tree_pointer *record)
{
    (void)ctx;
    (void)key;
    if (tree_count < 256) {
        trees[tree_count++] = (struct block_place){record->segment, record->block};
    }
}

static void note_tree(const struct cof_tree_pointer *root)
{
    if (root->blocks != 0 && tree_count < 256) {
        trees[tree_count++] = (struct block_place){root->segment, root->block};
        forge_tree_records(rich->image, root, note_record, NULL);
    }
}

static void make_store(void)
{
    rich = calloc(1, sizeof *rich);
    if (rich == NULL) {
        abort();
    }
    rich_store_make(rich, 7, RICH_TAIL_FOOTER);
    note_tree(&rich->map.root.catalogue);
    note_tree(&rich->map.root.placement);
    note_tree(&rich->map.root.segments);
}

static struct block_place target_of(uint8_t kind, uint8_t which)
{
    const struct forge_batch *batch = &rich->map.batches[which % rich->map.batch_count];
    switch (kind % 4) {
    case 0:
        return (struct block_place){SIM_ROOT, rich->map.newest_slot};
    case 1:
        return (struct block_place){batch->segment, batch->block};
    case 2:
        return trees[which % tree_count];
    default:
        return (struct block_place){batch->segment,
                                    batch->block + 1u + which % (batch->header.pages + 1u)};
    }
}

static void edit(struct sim_image *image, const uint8_t *how)
{
    struct block_place at = target_of(how[0], how[1]);
    uint32_t offset = cof_le16_get(how + 2) % COFFER_BLOCK_BYTES;
    uint32_t length = 1u << how[4] % 3;
    uint8_t bytes[4];
    if (at.segment != SIM_ROOT && at.block >= sim_image_blocks(image, at.segment)) {
        return;
    }
    offset = how[4] >= 128 ? offset % 256 : offset;
    length = length < COFFER_BLOCK_BYTES - offset ? length : COFFER_BLOCK_BYTES - offset;
    memcpy(bytes, sim_image_bytes(image, at.segment, at.block) + offset, length);
    for (uint32_t i = 0; i < length; i++) {
        bytes[i] = how[5] % 3 == 0 ? how[6] : (uint8_t)(bytes[i] ^ how[6 + i % 2]);
    }
    sim_image_poke(image, at.segment, at.block, offset, bytes, length);
    if (at.segment == SIM_ROOT) {
        sim_image_put(image, SIM_ROOT, at.block ^ 2u,
                      sim_image_block(image, SIM_ROOT, at.block));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sim_image *image;
    uint64_t refused;
    int error;
    if (rich == NULL) {
        recorder_install();
        make_store();
    }
    harness_watch(20);
    image = sim_image_clone(rich->image);
    for (size_t at = 0; at + 8 <= size && at / 8 < EDITS_MAX; at += 8) {
        edit(image, data + at);
    }
    forge_fix_all(image, &rich->map);
    error = rich_store_judge(rich, image, true, incarnation++, &refused);
    sim_image_free(image);
    recorder_check();
    return error == 0 ? 1 : 0;
}

size_t fuzz_seed(unsigned number, uint8_t *bytes, size_t room)
{
    if (number > 3 || room < 64) {
        return 0;
    }
    /* Edits that change nothing: xor with zero. */
    for (unsigned i = 0; i < 8 * EDITS_MAX; i++) {
        bytes[i] = i % 8 == 0 ? (uint8_t)number : i % 8 == 5 ? 1 : 0;
    }
    return (size_t)8 * (1 + number);
}

FUZZ_MAIN("fuzz_store", 6000)
