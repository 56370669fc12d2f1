/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/batch - segment header, batch header and runs, group header, with the checksum put right.
 */
#include "fuzz/fuzz_driver.h"

#include "base/checksum.h"
#include "format/batch_format.h"
#include "format/endian.h"
#include "format/group_format.h"
#include "format/vaddr.h"

static int try_batch(const uint8_t block[4096])
{
    struct cof_batch_header header;
    unsigned pages = 0;
    size_t entries;
    if (cof_batch_header_decode(block, &header) != 0) {
        return 0;
    }
    harness_require(header.runs <= COF_BATCH_RUNS_MAX && header.pages <= COF_BATCH_PAGES_MAX,
                    "%u runs, %u pages were accepted", header.runs, header.pages);
    entries = cof_batch_entries_offset(block, &header);
    harness_require(entries >= cof_batch_lists_offset(&header) &&
                        entries + (size_t)header.pages * COF_ENTRY_BYTES <= 4096,
                    "entries reach beyond the block");
    for (unsigned i = 0; i < header.runs; i++) {
        struct cof_run run;
        uint8_t bytes[COF_RUN_BYTES];
        cof_run_decode(block + COF_BATCH_HEADER_BYTES + i * COF_RUN_BYTES, &run);
        cof_run_encode(&run, bytes);
        harness_require(run.slots > 0 && run.first_slot + run.slots <= 512,
                        "a run of slots %u+%u was accepted", run.first_slot, run.slots);
        pages += cof_run_pages(&run);
    }
    harness_require(pages == header.pages, "runs of %u pages in a batch of %u", pages,
                    header.pages);
    return 1;
}

static int try_group(uint8_t block[4096])
{
    struct cof_group_header header;
    uint8_t again[4096];
    if (cof_group_header_decode(block, &header) != 0) {
        return 0;
    }
    harness_require(header.lane >= 1 && header.lane <= 3 && header.block % 128u == 0 &&
                        header.pages >= 1 && header.pages <= 127u && header.runs >= 1 &&
                        header.runs <= 123u,
                    "a group of lane %u, %u pages, %u runs at %u was accepted", header.lane,
                    header.pages, header.runs, header.block);
    memcpy(again, block, sizeof again);
    for (unsigned i = 0; i < header.runs; i++) {
        uint32_t lineage;
        uint64_t extent;
        cof_group_run(block, i, &lineage, &extent);
        harness_require(extent > 0 && extent <= COF_EXTENT_MAX, "a run of no extent");
        cof_group_run_put(again, i, lineage, extent);
    }
    harness_require(memcmp(again, block, sizeof again) == 0, "a run is another when it is put");
    cof_group_header_encode(&header, again);
    harness_require(cof_group_header_decode(again, &header) == 0, "encode is refused");
    return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t block[4096] = {0};
    struct cof_segment_header segment;
    int accepted;
    memcpy(block, data, size < sizeof block ? size : sizeof block);
    memset(block + offsetof(struct cofd_batch_header, sum), 0, 8);
    cof_le64_put(block + offsetof(struct cofd_batch_header, sum), cof_checksum64(block, 4096));
    accepted = try_batch(block);
    memcpy(block, data, size < sizeof block ? size : sizeof block);
    cof_le64_put(block + 4088, cof_checksum64(block, 4088));
    accepted |= cof_segment_header_decode(block, &segment) == 0 ? 1 : 0;
    memcpy(block, data, size < sizeof block ? size : sizeof block);
    memset(block + offsetof(struct cofd_group_header, sum), 0, 8);
    cof_le64_put(block + offsetof(struct cofd_group_header, sum), cof_checksum64(block, 4096));
    accepted |= try_group(block);
    return accepted;
}

static size_t seed_batch(uint8_t *bytes, unsigned number)
{
    struct cof_batch_header header = {
        .number = 12, .epoch = 3, .block = 1, .segment = 2, .runs = 2};
    uint8_t runs[2 * COF_RUN_BYTES];
    memset(bytes, 0, 4096);
    for (unsigned i = 0; i < 2; i++) {
        struct cof_run run = {.volume = i + 1,
                              .extent = 44 + i,
                              .first_slot = (uint16_t)(i * 100),
                              .slots = (uint16_t)(1 + number * 8),
                              .no_pages = i == 1 && number == 2};
        cof_run_encode(&run, runs + i * COF_RUN_BYTES);
        header.pages = (uint16_t)(header.pages + cof_run_pages(&run));
    }
    memcpy(bytes + COF_BATCH_HEADER_BYTES, runs, sizeof runs);
    cof_batch_header_encode(&header, bytes);
    return 4096;
}

static size_t seed_group(uint8_t *bytes, unsigned number)
{
    struct cof_group_header header = {.lane = (uint16_t)number, .segment = 3, .block = 128};
    memset(bytes, 0, 4096);
    header.pages = (uint16_t)(number * 42u);
    header.runs = (uint16_t)(number * 41u);
    for (unsigned i = 0; i < header.runs; i++) {
        cof_group_run_put(bytes, i, i % 3u, 1u + i);
    }
    cof_group_header_encode(&header, bytes);
    return 4096;
}

size_t fuzz_seed(unsigned number, uint8_t *bytes, size_t room)
{
    struct cof_segment_header segment = {.sequence = 5, .first_batch = 6, .segment = 7};
    if (number > 7 || room < 4096) {
        return 0;
    }
    if (number > 4) {
        return seed_group(bytes, number - 4u);
    }
    if (number == 4) {
        cof_segment_header_encode(&segment, bytes);
        return 4096;
    }
    return seed_batch(bytes, number);
}

FUZZ_MAIN("fuzz_batch", 2000000)
