/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format/root_format.h - the root slot: the one place that is replaced, and all begins from.
 *
 *   offset  size  field
 *        0     8  magic "COFFROOT"
 *        8     8  epoch: one higher at each flip
 *       16     2  format major (1): a reader refuses a higher one
 *       18     2  format minor
 *       20     4  flags: bit 0 clean (nothing was appended after this root)
 *       24    24  feature words compat, ro-compat, incompat: an unknown incompat bit refuses to
 *                 open, an unknown ro-compat bit refuses to write
 *       48    16  store uuid (also the uuid of the store's own lineage)
 *       64    16  session: 128 random bits drawn at each open for writing
 *       80     4  segment bytes        84  4  segment count
 *       88     4  conditioned: segments below this number were written at least once
 *       92     4  reserved
 *       96     8  next extent number  104  8  created, wall-clock ns since 1970
 *      112     8  next segment sequence number
 *      120    24  tree pointer: catalogue
 *      144    24  tree pointer: placement
 *      168    24  tree pointer: segment table
 *      192    32  reserved for the root of a hash tree over tags (public-key scrub)
 *      224     4  next volume number (0: one above the highest in the catalogue)
 *      228     4  reserved
 *      232     8  records of the placement tree, and 1; 0: not counted
 *      240    16  reserved
 *      256   512  16 lane heads of 32: segment 4, next segment 4, block 4, flags 4, next batch
 *                 number 8, durable_upto 8. Head 0 is the lane of user writes, head 15 that of
 *                 checkpoints. flags bit 0: in use
 *      768  3320  reserved, zero
 *     4088     8  XXH3 of bytes 0..4087
 *
 * A tree pointer (24): segment 4, first block 2, blocks 2 (0: empty tree), height 1, reserved 7,
 * XXH3 of the blocks 8.
 *
 * Valid if and only if the magic, the checksum, the segment size and the count are right. The
 * newest valid slot wins. Slots 0 and 2 are written together at even epochs, 1 and 3 at odd ones.
 */
#ifndef COF_FORMAT_ROOT_FORMAT_H
#define COF_FORMAT_ROOT_FORMAT_H

#include <coffer/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COF_FORMAT_MAJOR 1u
#define COF_FORMAT_MINOR 0u
#define COF_INCOMPAT_SNAPSHOTS UINT64_C(1) /* volumes share pages: deaths obey cuts */
#define COF_INCOMPAT_IMPORTS UINT64_C(2)   /* extents of other stores */
#define COF_INCOMPAT_TAGS UINT64_C(4)      /* a record of tags beside an entry */
#define COF_INCOMPAT_CLEANED UINT64_C(8)   /* extents in pieces, in cleaner segments */
#define COF_INCOMPAT_RESEALED UINT64_C(16) /* ranges of data keys overlap: the key id tells which */
#define COF_INCOMPAT_STOPPED UINT64_C(32)  /* a volume was stopped: entries have an access */
#define COF_INCOMPAT_KNOWN                                                                         \
    (COF_INCOMPAT_SNAPSHOTS | COF_INCOMPAT_IMPORTS | COF_INCOMPAT_TAGS | COF_INCOMPAT_CLEANED |    \
     COF_INCOMPAT_RESEALED | COF_INCOMPAT_STOPPED)
#define COF_RO_COMPAT_GRANTS UINT64_C(1) /* entries name a grant, which other writers would lose */
#define COF_RO_COMPAT_KNOWN COF_RO_COMPAT_GRANTS
#define COF_LANES 16u
#define COF_LANE_USER 0u
#define COF_LANE_CHECKPOINT 15u
#define COF_SEGMENTS_MIN 64u
#define COF_SEGMENT_BYTES_MIN (1u << 20)
#define COF_SEGMENT_BYTES_MAX (64u << 20)
#define COF_BATCH_NO_MAX (UINT64_C(1) << 62) /* only a forged log gets there */
#define COF_NO_SEGMENT 0u /* segment 0 holds root slots, so it is never a log segment */

struct cofd_tree_pointer {
    uint8_t segment[4], block[2], blocks[2], height, reserved[7], sum[8];
};
_Static_assert(sizeof(struct cofd_tree_pointer) == 24, "tree pointer");

struct cofd_lane_head {
    uint8_t segment[4], next_segment[4], block[4], flags[4], batch_no[8], durable_upto[8];
};
_Static_assert(sizeof(struct cofd_lane_head) == 32, "lane head");

struct cofd_root {
    uint8_t magic[8], epoch[8], major[2], minor[2], flags[4];
    uint8_t compat[8], ro_compat[8], incompat[8];
    uint8_t store_uuid[16], session[16];
    uint8_t segment_bytes[4], segment_count[4], conditioned[4], reserved0[4];
    uint8_t next_extent[8], created_ns[8], next_sequence[8];
    struct cofd_tree_pointer catalogue, placement, segments;
    uint8_t tag_tree[32], next_number[4], reserved1[4], placement_records[8], reserved3[16];
    struct cofd_lane_head lanes[COF_LANES];
    uint8_t reserved2[3320];
    uint8_t sum[8];
};
_Static_assert(sizeof(struct cofd_root) == 4096, "root slot");
_Static_assert(offsetof(struct cofd_root, store_uuid) == 48, "root: store uuid");
_Static_assert(offsetof(struct cofd_root, catalogue) == 120, "root: trees");
_Static_assert(offsetof(struct cofd_root, lanes) == 256, "root: lanes");
_Static_assert(offsetof(struct cofd_root, sum) == 4088, "root: checksum");

struct cof_tree_pointer {
    uint32_t segment;
    uint16_t block, blocks;
    uint8_t height;
    uint64_t sum;
};

struct cof_lane_head {
    uint32_t segment, next_segment, block;
    bool used;
    uint64_t batch_no, durable_upto;
};

struct cof_root {
    uint64_t epoch;
    uint16_t major, minor;
    bool clean;
    uint64_t compat, ro_compat, incompat;
    uint8_t store_uuid[16], session[16];
    uint32_t segment_bytes, segment_count, conditioned;
    uint64_t next_extent, created_ns, next_sequence;
    uint64_t placement_records; /* and 1; 0: not counted */
    uint32_t next_number;
    struct cof_tree_pointer catalogue, placement, segments;
    struct cof_lane_head lanes[COF_LANES];
};

void cof_root_encode(const struct cof_root *root, uint8_t block[4096]);

/* 0; NOT_A_STORE when the magic is absent; CORRUPT when the checksum or a bound is wrong; TOO_NEW
 * (with the version filled in) when the format is newer. */
COFFER_MUST_CHECK int cof_root_decode(const uint8_t block[4096], struct cof_root *ret_root);

void cof_tree_pointer_encode(const struct cof_tree_pointer *pointer,
                             struct cofd_tree_pointer *disk);
void cof_tree_pointer_decode(const struct cofd_tree_pointer *disk,
                             struct cof_tree_pointer *ret_pointer);

#endif
