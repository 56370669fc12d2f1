/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/root - the root slot. What decodes must encode to what decodes to the same.
 */
#include "fuzz/fuzz_driver.h"

#include "base/checksum.h"
#include "format/endian.h"
#include "format/root_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t block[4096] = {0}, again[4096];
    struct cof_root root, other;
    if (size == 0) {
        return 0;
    }
    memcpy(block, data, size < sizeof block ? size : sizeof block);
    if (cof_root_decode(block, &root) == 0 && size < 4096) {
        harness_fail("a root slot of %zu bytes was accepted", size);
    }
    cof_le64_put(block + 4088, cof_checksum64(block, 4088));
    if (cof_root_decode(block, &root) != 0) {
        return 0;
    }
    harness_require(root.segment_bytes >= COF_SEGMENT_BYTES_MIN &&
                        root.segment_bytes <= COF_SEGMENT_BYTES_MAX &&
                        (root.segment_bytes & (root.segment_bytes - 1)) == 0 &&
                        root.segment_count >= COF_SEGMENTS_MIN,
                    "impossible geometry was accepted: %u x %u", root.segment_count,
                    root.segment_bytes);
    cof_root_encode(&root, again);
    harness_require(cof_root_decode(again, &other) == 0, "an encoded root does not decode");
    harness_require(root.epoch == other.epoch && root.placement.sum == other.placement.sum &&
                        root.lanes[15].batch_no == other.lanes[15].batch_no,
                    "an encoded root decodes to another");
    return 1;
}

size_t fuzz_seed(unsigned number, uint8_t *bytes, size_t room)
{
    struct cof_root root;
    if (number > 3 || room < 4096) {
        return 0;
    }
    memset(&root, 0, sizeof root);
    root.epoch = 7 + number;
    root.major = COF_FORMAT_MAJOR;
    root.segment_bytes = 1u << (20 + number);
    root.segment_count = 64 + number * 100;
    root.conditioned = number;
    root.next_extent = 5;
    root.next_sequence = 9;
    root.catalogue = (struct cof_tree_pointer){3, 4, 1, (uint8_t)number, 99};
    root.lanes[0] = (struct cof_lane_head){2, 3, 4, true, 5, 4};
    cof_root_encode(&root, bytes);
    return 4096;
}

FUZZ_MAIN("fuzz_root", 2000000)
