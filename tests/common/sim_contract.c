/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/sim_contract.c - what an engine must keep to when it uses a device; see sim_segdev.h.
 *
 * Each breach fails the case. The epoch that root_cas compares is found as the other devices find
 * it.
 */
#include "common/harness.h"
#include "common/sim_device.h"

#include "segdev/layout.h"

#include <string.h>

static uint32_t transfer_blocks(const struct coffer_segdev_request *request)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < request->iov_count; i++) {
        harness_require((uintptr_t)request->iov[i].iov_base % 512u == 0,
                        "device contract: a buffer is not aligned");
        bytes += request->iov[i].iov_len;
    }
    harness_require(bytes > 0 && bytes % COFFER_BLOCK_BYTES == 0,
                    "device contract: op %d of %zu bytes", (int)request->op, bytes);
    return (uint32_t)(bytes / COFFER_BLOCK_BYTES);
}

static void check_range(const struct sim_disk *disk, const struct coffer_segdev_request *request,
                        uint32_t blocks)
{
    uint64_t end = (uint64_t)request->offset + (uint64_t)blocks * COFFER_BLOCK_BYTES;
    harness_require(request->offset % COFFER_BLOCK_BYTES == 0,
                    "device contract: op %d at unaligned %u", (int)request->op, request->offset);
    harness_require(end <= sim_image_segment_bytes(disk->live),
                    "device contract: op %d at %u beyond the segment's end", (int)request->op,
                    request->offset);
}

bool sim_is_write(enum coffer_segdev_op op)
{
    return op == COFFER_SEGDEV_APPEND || op == COFFER_SEGDEV_ROOT_CAS ||
           op == COFFER_SEGDEV_TRIM || op == COFFER_SEGDEV_CONDITION;
}

bool sim_is_resize(enum coffer_segdev_op op)
{
    return op == COFFER_SEGDEV_GROW || op == COFFER_SEGDEV_SHRINK;
}

static bool is_root(enum coffer_segdev_op op)
{
    return op == COFFER_SEGDEV_ROOT_CAS || op == COFFER_SEGDEV_ROOT_READ;
}

/* The blocks that a request touches; count 0 for none. */
void sim_extent_of(const struct sim_disk *disk, const struct coffer_segdev_request *request,
                      uint32_t *segment, uint32_t *block, uint32_t *count)
{
    *segment = is_root(request->op) ? SIM_ROOT : request->segment;
    *block = is_root(request->op) ? request->segment : request->offset / COFFER_BLOCK_BYTES;
    *count = 0;
    if (is_root(request->op)) {
        *count = 1;
    } else if (request->op == COFFER_SEGDEV_TRIM || request->op == COFFER_SEGDEV_CONDITION) {
        *block = 0;
        *count = sim_image_blocks(disk->live, request->segment);
    } else if (request->op == COFFER_SEGDEV_READ || request->op == COFFER_SEGDEV_APPEND) {
        *count = transfer_blocks(request);
    }
}

static void check_overlap(const struct sim_disk *disk, const struct coffer_segdev_request *request)
{
    uint32_t segment, block, count, other_segment, other_block, other_count;
    sim_extent_of(disk, request, &segment, &block, &count);
    for (unsigned i = 0; i < disk->flight_count; i++) {
        const struct coffer_segdev_request *other = disk->flights[i].request;
        if (!sim_is_write(request->op) && !sim_is_write(other->op)) {
            continue;
        }
        sim_extent_of(disk, other, &other_segment, &other_block, &other_count);
        harness_require(segment != other_segment || block >= other_block + other_count ||
                            other_block >= block + count,
                        "device contract: op %d on segment %u block %u overlaps op %d in flight",
                        (int)request->op, segment, block, (int)other->op);
    }
}

/* A device never gets smaller by growing, nor larger by shrinking, and nothing is in flight behind
 * its new end. */
static void check_resize(const struct sim_disk *disk, const struct coffer_segdev_request *request)
{
    uint32_t now = sim_image_segment_count(disk->live);
    bool grow = request->op == COFFER_SEGDEV_GROW;
    harness_require(grow ? request->segment >= now : request->segment <= now,
                    "device contract: op %d to %u segments, there are %u", (int)request->op,
                    request->segment, now);
    for (unsigned i = 0; i < disk->flight_count; i++) {
        const struct coffer_segdev_request *other = disk->flights[i].request;
        harness_require(is_root(other->op) || other->op == COFFER_SEGDEV_SYNC ||
                            other->segment < request->segment,
                        "device contract: op %d on segment %u in flight behind the new end",
                        (int)other->op, other->segment);
    }
}

void sim_check_append(struct sim_disk *disk, const struct coffer_segdev_request *request,
                         uint32_t blocks)
{
    uint32_t block = request->offset / COFFER_BLOCK_BYTES;
    uint32_t *end = &disk->ends[request->segment];
    harness_require(block == 0 || block == *end,
                    "device contract: append to segment %u at block %u, its end is %u",
                    request->segment, block, *end);
    *end = block + blocks;
}

void sim_check_request(const struct sim_disk *disk, const struct coffer_segdev_request *request)
{
    enum coffer_segdev_op op = request->op;
    if (sim_is_resize(op)) {
        check_resize(disk, request);
    }
    if (op == COFFER_SEGDEV_SYNC || sim_is_resize(op)) {
        return;
    }
    if (is_root(op)) {
        harness_require(request->segment < COFFER_ROOT_SLOTS && request->iov_count == 1 &&
                            request->iov[0].iov_len == COFFER_BLOCK_BYTES,
                        "device contract: root slot %u", request->segment);
    } else {
        harness_require(request->segment < sim_image_segment_max(disk->live),
                        "device contract: segment %u does not exist", request->segment);
    }
    if (op == COFFER_SEGDEV_READ || op == COFFER_SEGDEV_APPEND) {
        check_range(disk, request, transfer_blocks(request));
    }
    check_overlap(disk, request);
}

void sim_check_unchanged(const struct coffer_segdev_request *request,
                            const struct sim_event *event)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < request->iov_count; i++) {
        const uint8_t *from = request->iov[i].iov_base;
        for (size_t done = 0; done < request->iov[i].iov_len; done += COFFER_BLOCK_BYTES) {
            harness_require(memcmp(event->content[at++]->bytes, from + done,
                                   COFFER_BLOCK_BYTES) == 0,
                            "device contract: a buffer changed while its write was in flight");
        }
    }
}

void sim_check_epoch(const struct sim_disk *disk, const struct coffer_segdev_request *request)
{
    uint64_t epoch = cof_segdev_root_epoch(sim_image_bytes(disk->live, SIM_ROOT, request->segment));
    harness_require(epoch == request->expect_epoch,
                    "device contract: root slot %u holds epoch %llu, %llu expected",
                    request->segment, (unsigned long long)epoch,
                    (unsigned long long)request->expect_epoch);
}
