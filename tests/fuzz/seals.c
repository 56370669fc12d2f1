/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/seals - the audit of nonces, which takes any block for a batch header: a header and the
 * blocks behind it, with their checksums put right, in the last blocks of a segment or its first.
 *
 * Nothing but a device and a channel is behind the store: no root is opened, so that each execution
 * costs a few blocks.
 */
#include "fuzz/fuzz_driver.h"

#include "base/checksum.h"
#include "format/endian.h"
#include "volume/store.h"

#include <coffer/audit.h>
#include <stdlib.h>

#define SEGMENT_BYTES (1u << 20)
#define BLOCKS 4u
#define BYTES (BLOCKS * COF_BLOCK_BYTES)

static struct coffer_store *store;

static void make_store(void)
{
    struct cof_env *env;
    store = calloc(1, sizeof *store);
    harness_require(store != NULL, "no memory");
    env = &store->env;
    cof_env_init(env, NULL);
    harness_require(
        coffer_segdev_memory_open(NULL, 64u * SEGMENT_BYTES, SEGMENT_BYTES, &store->dev) == 0 &&
            cof_sync_io_init(&store->io, env, store->dev) == 0,
        "no device");
    store->dev->ops->geometry(store->dev, &store->geometry);
    store->geometry.segment_count = 2;
    store->read_only = true;
}

/* Begin segment 1 anew: zeros, then the blocks at its end or its beginning. */
static void put(const uint8_t *blocks, bool at_end)
{
    static uint8_t bytes[SEGMENT_BYTES] __attribute__((aligned(COF_BLOCK_BYTES)));
    struct iovec iov = {bytes, sizeof bytes};
    struct coffer_segdev_request request = {
        .op = COFFER_SEGDEV_APPEND, .segment = 1, .iov = &iov, .iov_count = 1, .buffer_index = -1};
    struct coffer_segdev_request *list = NULL;
    memset(bytes, 0, sizeof bytes);
    memcpy(at_end ? bytes + sizeof bytes - BYTES : bytes, blocks, BYTES);
    harness_require(store->dev->ops->submit(store->io.channel, &request) == 0 &&
                        store->dev->ops->poll(store->io.channel, 1, &list) == 1 &&
                        request.result == 0,
                    "the device does not take a segment");
}

static int on_seal(void *ctx, const struct coffer_seal *seal)
{
    uint64_t *count = ctx;
    harness_require(seal->kind <= COFFER_SEAL_RECORD && seal->segment == 1 &&
                        seal->offset < SEGMENT_BYTES && seal->offset % COF_BLOCK_BYTES == 0,
                    "a seal of kind %d at %llu", (int)seal->kind, (unsigned long long)seal->offset);
    harness_require(seal->kind > COFFER_SEAL_LIST || seal->slot <= COF_SUMMARY_SLOT,
                    "a page in slot %u", seal->slot);
    ++*count;
    return 0;
}

/* The checksum of the header, and where it decodes those of the pages that are there. */
static void fix(uint8_t *blocks)
{
    struct cofd_batch_header *disk = (struct cofd_batch_header *)(void *)blocks;
    struct cof_batch_header header;
    for (unsigned pass = 0; pass < 2; pass++) {
        cof_le64_put(disk->sum, 0);
        cof_le64_put(disk->sum, cof_checksum64(blocks, COF_BLOCK_BYTES));
        if (pass == 0 && cof_batch_header_decode(blocks, &header) == 0) {
            size_t entries = cof_batch_entries_offset(blocks, &header);
            for (unsigned i = 0; i < header.pages && i + 1u < BLOCKS; i++) {
                cof_le64_put(
                    blocks + entries + (size_t)i * COF_ENTRY_BYTES + 16u,
                    cof_checksum64(blocks + (size_t)(i + 1u) * COF_BLOCK_BYTES, COF_BLOCK_BYTES));
            }
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t blocks[BYTES] __attribute__((aligned(8)));
    uint64_t count = 0;
    struct coffer_seals_opts opts = {.size = sizeof opts, .on_seal = on_seal, .ctx = &count};
    struct coffer_seals_summary summary;
    if (store == NULL) {
        make_store();
    }
    memset(blocks, 0, sizeof blocks);
    memcpy(blocks, data, size < sizeof blocks ? size : sizeof blocks);
    fix(blocks);
    put(blocks, size % 2 != 0);
    harness_require(coffer_store_visit_seals(store, &opts, &summary, NULL) == 0,
                    "the audit ended early");
    harness_require(count == summary.pages + summary.lists + summary.wraps + summary.records,
                    "%llu seals were counted otherwise", (unsigned long long)count);
    harness_require(summary.bytes_read == 2u * SEGMENT_BYTES, "not all was read");
    return count > 0 ? 1 : 0;
}

/* A header with one run. */
static size_t seed_run(uint8_t *bytes, const struct cof_run *run)
{
    struct cof_batch_header header = {.number = 3, .block = 1, .segment = 1, .runs = 1};
    header.pages = (uint16_t)cof_run_pages(run);
    cof_run_encode(run, bytes + COF_BATCH_HEADER_BYTES);
    cof_batch_header_encode(&header, bytes);
    return BYTES;
}

size_t fuzz_seed(unsigned number, uint8_t *bytes, size_t room)
{
    struct cof_run run = {.volume = 1, .extent = 9, .key_id = 2, .first_slot = 3, .slots = 3};
    struct cof_volume_entry entry = {.encrypted = true,
                                     .number = 5,
                                     .ring_slots = 1,
                                     .ring_bytes = 64,
                                     .record_bytes = COF_RECORD_BYTES,
                                     .data_keys = 1};
    struct cof_ek_entry key = {.key_id = 1, .first_extent = 1, .last_extent = COF_EXTENT_MAX};
    if (number > 3 || room < BYTES) {
        return 0;
    }
    memset(bytes, 0, BYTES);
    run.no_pages = number == 1;
    if (number >= 2) {
        memset(&run, 0, sizeof run);
        run.extent = (uint64_t)COF_RAW_CATALOGUE << 56 | cof_catalogue_key(5, number - 2u);
        run.slots = (uint16_t)(number == 2 ? 1 : 2);
    }
    if (number == 2) {
        cof_volume_entry_encode(&entry, bytes + COF_BLOCK_BYTES);
    } else if (number == 3) {
        for (unsigned i = 0; i < 30; i++) {
            key.nonce[0] = (uint8_t)i;
            cof_ek_entry_encode(&key, bytes + COF_BLOCK_BYTES + (size_t)i * COF_EK_ENTRY_BYTES);
        }
    }
    return seed_run(bytes, &run);
}

FUZZ_MAIN("fuzz_seals", 100000)
