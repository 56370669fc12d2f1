/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scale/bound.c - what docs/architecture.md, section 6, says that the engine may take at most.
 */
#include "scale/scale.h"

void scale_bounds(const struct scale_options *options, uint64_t segment_count,
                  struct scale_bound ret_bounds[SCALE_BOUNDS])
{
    uint64_t entries = options->delta_entries;
    uint64_t checkpoint_lane = 4u << 20;
    const struct scale_bound bounds[SCALE_BOUNDS] = {
        /* 10 KiB of bookkeeping beside 488; a batch more for what does not divide; the buffers
         * of two lanes begin on huge pages */
        {"batches", (options->staging_bytes + checkpoint_lane) / 488u * 498u + (5u << 20)},
        /* two generations of 24 B an entry; half as much again for what lies apart; chunks */
        {"delta", 2u * (entries * 24u * 3u / 2u + (18u << 20))},
        /* leaves of 64 B at least, sorted, and once more while they are; those read ahead */
        {"merge", 2u * (entries * 24u / 64u) * 16u + (1u << 18)},
        /* two generations in arrays that double; a third one while they are sorted */
        {"deaths", 3u * entries * 16u},
        /* and those that are read ahead */
        {"nodes", options->node_cache_bytes + options->node_cache_bytes / 256u + (1u << 18)},
        {"tags", options->tag_cache_bytes},
        /* and, until the checkpoint, an extent of 232 + 64 x 6 bytes for 511 pages of each */
        {"placement", options->placement_bytes + 2u * (entries / 511u + 1u) * 640u},
        {"segments", segment_count * 49u},
        /* two victims on huge pages, eight groups, an extent that is gathered */
        {"cleaner", 2u * (options->segment_bytes + (2u << 20)) + (7u << 20)},
        /* half the staging, 8 MiB at most, on huge pages */
        {"landing",
         (options->staging_bytes < (16u << 20) ? options->staging_bytes / 2u : 8u << 20) +
             (2u << 20)},
        {"queue", options->depth * (432u + 8192u + 4096u)},
        /* keys, catalogue, nodes of its tree and the segment table's, one open volume */
        {"fixed", 8u << 20},
    };
    for (unsigned i = 0; i < SCALE_BOUNDS; i++) {
        ret_bounds[i] = bounds[i];
    }
}
