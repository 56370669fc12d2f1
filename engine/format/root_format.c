/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format/root_format.c - bytes of the root slot. Pure functions.
 */
#include "format/root_format.h"

#include "base/checksum.h"
#include "format/endian.h"

#include <string.h>

#define MAGIC "COFFROOT"
#define FLAG_CLEAN 1u
#define LANE_USED 1u

void cof_tree_pointer_encode(const struct cof_tree_pointer *pointer, struct cofd_tree_pointer *disk)
{
    memset(disk, 0, sizeof *disk);
    cof_le32_put(disk->segment, pointer->segment);
    cof_le16_put(disk->block, pointer->block);
    cof_le16_put(disk->blocks, pointer->blocks);
    disk->height = pointer->height;
    cof_le64_put(disk->sum, pointer->sum);
}

void cof_tree_pointer_decode(const struct cofd_tree_pointer *disk,
                             struct cof_tree_pointer *ret_pointer)
{
    ret_pointer->segment = cof_le32_get(disk->segment);
    ret_pointer->block = cof_le16_get(disk->block);
    ret_pointer->blocks = cof_le16_get(disk->blocks);
    ret_pointer->height = disk->height;
    ret_pointer->sum = cof_le64_get(disk->sum);
}

static void encode_lane(const struct cof_lane_head *head, struct cofd_lane_head *disk)
{
    cof_le32_put(disk->segment, head->segment);
    cof_le32_put(disk->next_segment, head->next_segment);
    cof_le32_put(disk->block, head->block);
    cof_le32_put(disk->flags, head->used ? LANE_USED : 0u);
    cof_le64_put(disk->batch_no, head->batch_no);
    cof_le64_put(disk->durable_upto, head->durable_upto);
}

static void decode_lane(const struct cofd_lane_head *disk, struct cof_lane_head *head)
{
    head->segment = cof_le32_get(disk->segment);
    head->next_segment = cof_le32_get(disk->next_segment);
    head->block = cof_le32_get(disk->block);
    head->used = (cof_le32_get(disk->flags) & LANE_USED) != 0;
    head->batch_no = cof_le64_get(disk->batch_no);
    head->durable_upto = cof_le64_get(disk->durable_upto);
}

void cof_root_encode(const struct cof_root *root, uint8_t block[4096])
{
    struct cofd_root *disk = (struct cofd_root *)(void *)block;
    memset(block, 0, 4096);
    memcpy(disk->magic, MAGIC, 8);
    cof_le64_put(disk->epoch, root->epoch);
    cof_le16_put(disk->major, root->major);
    cof_le16_put(disk->minor, root->minor);
    cof_le32_put(disk->flags, root->clean ? FLAG_CLEAN : 0u);
    cof_le64_put(disk->compat, root->compat);
    cof_le64_put(disk->ro_compat, root->ro_compat);
    cof_le64_put(disk->incompat, root->incompat);
    memcpy(disk->store_uuid, root->store_uuid, 16);
    memcpy(disk->session, root->session, 16);
    cof_le32_put(disk->segment_bytes, root->segment_bytes);
    cof_le32_put(disk->segment_count, root->segment_count);
    cof_le32_put(disk->conditioned, root->conditioned);
    cof_le64_put(disk->next_extent, root->next_extent);
    cof_le64_put(disk->created_ns, root->created_ns);
    cof_le64_put(disk->next_sequence, root->next_sequence);
    cof_le32_put(disk->next_number, root->next_number);
    cof_le64_put(disk->placement_records, root->placement_records);
    cof_tree_pointer_encode(&root->catalogue, &disk->catalogue);
    cof_tree_pointer_encode(&root->placement, &disk->placement);
    cof_tree_pointer_encode(&root->segments, &disk->segments);
    for (unsigned i = 0; i < COF_LANES; i++) {
        encode_lane(&root->lanes[i], &disk->lanes[i]);
    }
    cof_le64_put(disk->sum, cof_checksum64(block, offsetof(struct cofd_root, sum)));
}

static bool lane_in_bounds(const struct cof_root *root, const struct cof_lane_head *head)
{
    uint32_t blocks = root->segment_bytes / 4096u;
    return head->segment < root->segment_count && head->next_segment < root->segment_count &&
           head->block <= blocks && head->batch_no < COF_BATCH_NO_MAX;
}

static bool tree_in_bounds(const struct cof_root *root, const struct cof_tree_pointer *pointer)
{
    uint32_t blocks = root->segment_bytes / 4096u;
    return pointer->segment < root->segment_count && pointer->height <= 8u &&
           (uint32_t)pointer->block + pointer->blocks <= blocks;
}

static bool in_bounds(const struct cof_root *root)
{
    uint32_t bytes = root->segment_bytes;
    if (bytes < COF_SEGMENT_BYTES_MIN || bytes > COF_SEGMENT_BYTES_MAX ||
        (bytes & (bytes - 1u)) != 0 || root->segment_count < COF_SEGMENTS_MIN ||
        root->conditioned > root->segment_count || root->next_extent == 0) {
        return false;
    }
    for (unsigned i = 0; i < COF_LANES; i++) {
        if (!lane_in_bounds(root, &root->lanes[i])) {
            return false;
        }
    }
    return tree_in_bounds(root, &root->catalogue) && tree_in_bounds(root, &root->placement) &&
           tree_in_bounds(root, &root->segments);
}

int cof_root_decode(const uint8_t block[4096], struct cof_root *ret_root)
{
    const struct cofd_root *disk = (const struct cofd_root *)(const void *)block;
    struct cof_root root;
    memset(&root, 0, sizeof root);
    if (memcmp(disk->magic, MAGIC, 8) != 0) {
        return COFFER_E_NOT_A_STORE;
    }
    if (cof_le64_get(disk->sum) != cof_checksum64(block, offsetof(struct cofd_root, sum))) {
        return COFFER_E_CORRUPT;
    }
    root.epoch = cof_le64_get(disk->epoch);
    root.major = cof_le16_get(disk->major);
    root.minor = cof_le16_get(disk->minor);
    root.clean = (cof_le32_get(disk->flags) & FLAG_CLEAN) != 0;
    root.compat = cof_le64_get(disk->compat);
    root.ro_compat = cof_le64_get(disk->ro_compat);
    root.incompat = cof_le64_get(disk->incompat);
    memcpy(root.store_uuid, disk->store_uuid, 16);
    memcpy(root.session, disk->session, 16);
    root.segment_bytes = cof_le32_get(disk->segment_bytes);
    root.segment_count = cof_le32_get(disk->segment_count);
    root.conditioned = cof_le32_get(disk->conditioned);
    root.next_extent = cof_le64_get(disk->next_extent);
    root.created_ns = cof_le64_get(disk->created_ns);
    root.next_sequence = cof_le64_get(disk->next_sequence);
    root.next_number = cof_le32_get(disk->next_number);
    root.placement_records = cof_le64_get(disk->placement_records);
    cof_tree_pointer_decode(&disk->catalogue, &root.catalogue);
    cof_tree_pointer_decode(&disk->placement, &root.placement);
    cof_tree_pointer_decode(&disk->segments, &root.segments);
    for (unsigned i = 0; i < COF_LANES; i++) {
        decode_lane(&disk->lanes[i], &root.lanes[i]);
    }
    if (root.major > COF_FORMAT_MAJOR || (root.incompat & ~COF_INCOMPAT_KNOWN) != 0) {
        *ret_root = root;
        return COFFER_E_TOO_NEW;
    }
    if (!in_bounds(&root)) {
        return COFFER_E_CORRUPT;
    }
    *ret_root = root;
    return 0;
}
