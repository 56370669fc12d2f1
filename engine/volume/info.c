/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/info.c - version, and the figures of a store.
 */
#include "volume/queue.h"

#include <stdio.h>
#include <string.h>

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

const char *coffer_version(void)
{
    return TEXT(COFFER_VERSION_MAJOR) "." TEXT(COFFER_VERSION_MINOR) "." TEXT(COFFER_VERSION_PATCH);
}

static void fill_traffic(const struct coffer_store *store, struct coffer_store_info *info)
{
    info->device_writes = store->lane.stats.writes + store->meta.stats.writes;
    info->device_write_bytes = store->lane.stats.write_bytes + store->meta.stats.write_bytes;
    info->device_syncs = store->lane.stats.syncs + store->meta.stats.syncs;
    info->device_reads = store->io.reads + store->closed_queue_reads;
    info->device_read_bytes = store->io.read_bytes + store->closed_queue_read_bytes;
    for (const struct coffer_queue *queue = store->queues; queue != NULL; queue = queue->next) {
        info->device_reads += queue->device_reads;
        info->device_read_bytes += queue->device_read_bytes;
    }
}

static void fill_space(const struct coffer_store *store, struct coffer_store_info *info)
{
    const struct cof_cleaner_stats *stats = &store->cleaner.stats;
    info->capacity_bytes = cof_capacity_blocks(store) * COF_BLOCK_BYTES;
    info->reserve_bytes = (uint64_t)cof_reserve_segments(store) * store->root.segment_bytes;
    for (const struct coffer_volume *volume = store->volumes; volume != NULL;
         volume = volume->next) {
        info->provisioned_bytes += volume->size_pages * COF_PAGE_BYTES;
    }
    info->warn_percent = store->warn_percent;
    info->space_warning = cof_space_is_low(store) ? 1u : 0u;
    info->cipher_backend = (uint32_t)store->cipher;
    info->cleaner_heads = store->read_only ? cof_cleaning_heads(store) : store->cleaner.head_count;
    info->segments_waiting = store->cleaning.waiting_count;
    info->written_bytes = store->written_pages * COF_PAGE_BYTES;
    info->cleaned_segments = stats->victims;
    info->moved_bytes = stats->moved_pages * COF_PAGE_BYTES;
    info->cleaner_written_bytes = stats->write_bytes;
    info->cleaner_damaged_pages = stats->damaged_pages;
    info->light_checkpoints = store->cleaning.light_count;
    info->device_writes += stats->writes;
    info->device_write_bytes += stats->write_bytes;
    info->device_reads += stats->reads;
    info->device_read_bytes += stats->read_bytes;
}

int coffer_store_info_get(struct coffer_store *store, struct coffer_store_info *ret_info)
{
    struct coffer_store_info info;
    size_t size = ret_info->size;
    if (size == 0 || size > sizeof info) {
        return COFFER_E_INVALID;
    }
    memset(&info, 0, sizeof info);
    pthread_mutex_lock(&store->lock);
    memcpy(info.uuid.bytes, store->root.store_uuid, 16);
    info.format_major = store->root.major;
    info.format_minor = store->root.minor;
    info.epoch = store->root.epoch;
    info.segment_bytes = store->root.segment_bytes;
    info.segment_count = store->segments.count;
    info.size_bytes = (uint64_t)info.segment_bytes * info.segment_count;
    info.segments_free = store->segments.free_count;
    info.segments_conditioned = store->segments.conditioned;
    info.live_bytes = store->segments.live_total * COF_BLOCK_BYTES;
    info.volume_count = store->item_count;
    info.log_bytes_since_checkpoint = store->log_pages_since_checkpoint * COF_PAGE_BYTES;
    info.recovered_log_bytes = store->recovered_blocks * COF_BLOCK_BYTES;
    info.recovery_ns = store->recovery_ns;
    info.memory_bytes = atomic_load(&store->env.heap_bytes);
    info.checkpoints = store->checkpoint.count;
    fill_traffic(store, &info);
    fill_space(store, &info);
    pthread_mutex_unlock(&store->lock);
    memcpy(ret_info, &info, size);
    ret_info->size = size;
    return 0;
}
