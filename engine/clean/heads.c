/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clean/heads.c - groups on their way to the device, one segment a head.
 *
 * Pages are copied into the head's open group; a full group is appended whole, while the next one
 * fills. Groups of a head complete in any order, and count in theirs: `done_upto` is the last of
 * the gapless prefix. A group that fails makes the cleaner fail, and its owner the store: what was
 * to follow it in its segment may not be written.
 * Under the store's lock.
 */
#include "clean/internal.h"

#include "base/testhook.h"

#include <string.h>

#define BLOCK 4096u

/* ---- buffers ---- */

static struct cof_group *free_group(struct cof_cleaner *cleaner)
{
    for (unsigned i = 0; i < COF_CLEANER_GROUPS; i++) {
        struct cof_group *group = &cleaner->groups[i];
        if (!group->open && !group->flying && !group->done) {
            return group;
        }
    }
    return NULL;
}

unsigned cof_groups_free(const struct cof_cleaner *cleaner)
{
    unsigned count = 0;
    for (unsigned i = 0; i < COF_CLEANER_GROUPS; i++) {
        const struct cof_group *group = &cleaner->groups[i];
        count += !group->open && !group->flying && !group->done ? 1u : 0u;
    }
    return count;
}

/* ---- to the device ---- */

static int submit(struct cof_cleaner *cleaner, struct cof_group *group)
{
    struct coffer_segdev_request *request = &group->request;
    memset(request, 0, sizeof *request);
    group->iov.iov_base = group->buffer;
    group->iov.iov_len = (size_t)COF_GROUP_BLOCKS * BLOCK;
    request->op = COFFER_SEGDEV_APPEND;
    request->segment = group->segment;
    request->offset = group->block * BLOCK;
    request->iov = &group->iov;
    request->iov_count = 1;
    request->buffer_index = (int)(COF_CLEANER_VICTIMS + (unsigned)(group - cleaner->groups));
    request->user = group;
    return cleaner->dev->ops->submit(cleaner->channel, request);
}

/* Write the head's open group: header last, zeros where it has no pages. */
static int close_group(struct cof_cleaner *cleaner, struct cof_head *head)
{
    struct cof_group *group = head->group;
    struct cof_group_header header = {.lane = (uint16_t)(COF_LANE_CLEANER + group->head),
                                      .pages = (uint16_t)group->pages,
                                      .runs = (uint16_t)group->runs,
                                      .segment = group->segment,
                                      .block = group->block};
    size_t used = (size_t)(1u + group->pages) * BLOCK;
    int err;
    memcpy(header.store_uuid, cleaner->store_uuid, sizeof header.store_uuid);
    cof_group_header_encode(&header, group->buffer);
    memset(group->buffer + used, 0, (size_t)COF_GROUP_BLOCKS * BLOCK - used);
    group->open = false;
    head->group = NULL;
    err = submit(cleaner, group);
    if (err != 0) {
        cleaner->error = err;
        return err;
    }
    group->flying = true;
    cleaner->flying++;
    cleaner->stats.groups++;
    cleaner->stats.rest_blocks += COF_GROUP_PAGES - group->pages;
    cleaner->stats.writes++;
    cleaner->stats.write_bytes += (uint64_t)COF_GROUP_BLOCKS * BLOCK;
    if (COF_BROKEN(CLEAN_EARLY)) {
        cof_moves_publish(cleaner, group->head, group->number);
    }
    return 0;
}

static int open_group(struct cof_cleaner *cleaner, struct cof_head *head)
{
    struct cof_group *group = free_group(cleaner);
    if (group == NULL) {
        return COFFER_E_AGAIN;
    }
    if (head->segment == COF_NO_SEGMENT || head->block >= cleaner->segment_blocks) {
        unsigned lane = COF_LANE_CLEANER + (unsigned)(head - cleaner->heads);
        int err = cleaner->ops->take_segment(cleaner->ctx, lane, &head->segment);
        if (err != 0) {
            return err;
        }
        head->block = 0;
        head->aged_pages = 0;
    }
    group->number = ++head->last_group;
    group->head = (unsigned)(head - cleaner->heads);
    group->segment = head->segment;
    group->block = head->block;
    group->pages = 0;
    group->runs = 0;
    group->open = true;
    memset(group->buffer, 0, BLOCK);
    cof_segments_read(cleaner->segments, group->segment, 1); /* not free while it is written to */
    head->block += COF_GROUP_BLOCKS;
    head->group = group;
    return 0;
}

/* ---- pages ---- */

static bool continues_run(const struct cof_group *group, uint32_t lineage, uint64_t extent)
{
    return group->runs > 0 && group->last_lineage == lineage && group->last_extent == extent;
}

int cof_head_put(struct cof_cleaner *cleaner, unsigned number, const struct cof_page_copy *copy,
                 struct cof_group_place *ret_place)
{
    struct cof_head *head = &cleaner->heads[number];
    struct cof_group *group = head->group;
    int err = cleaner->error != 0 ? COFFER_E_FAILED : 0;
    if (err == 0 && group != NULL && group->runs == COF_GROUP_RUNS_MAX &&
        !continues_run(group, copy->lineage, copy->extent)) {
        err = close_group(cleaner, head);
        group = NULL;
    }
    if (err == 0 && group == NULL) {
        err = open_group(cleaner, head);
        group = head->group;
    }
    if (err != 0) {
        return err;
    }
    if (!continues_run(group, copy->lineage, copy->extent)) {
        cof_group_run_put(group->buffer, group->runs++, copy->lineage, copy->extent);
        group->last_lineage = copy->lineage;
        group->last_extent = copy->extent;
    }
    memcpy(group->buffer + (size_t)(1u + group->pages) * BLOCK, copy->page, BLOCK);
    memcpy(group->buffer + COF_GROUP_ENTRIES_OFFSET + (size_t)group->pages * COF_ENTRY_BYTES,
           copy->entry, COF_ENTRY_BYTES);
    ret_place->segment = group->segment;
    ret_place->block = group->block + 1u + group->pages;
    ret_place->group = group->number;
    group->pages++;
    cleaner->stats.put_pages++;
    return group->pages == COF_GROUP_PAGES ? close_group(cleaner, head) : 0;
}

uint32_t cof_head_room(const struct cof_cleaner *cleaner, unsigned number)
{
    const struct cof_head *head = &cleaner->heads[number];
    uint32_t pages = 0;
    if (head->segment != COF_NO_SEGMENT && head->block < cleaner->segment_blocks) {
        pages = (cleaner->segment_blocks - head->block) / COF_GROUP_BLOCKS * COF_GROUP_PAGES;
    }
    return pages + (head->group != NULL ? COF_GROUP_PAGES - head->group->pages : 0u);
}

void cof_head_aged(struct cof_cleaner *cleaner, unsigned number, uint32_t segment, double up2)
{
    struct cof_head *head = &cleaner->heads[number];
    struct cof_segment *at = &cleaner->segments->table[segment];
    at->up2 = (at->up2 * (double)head->aged_pages + up2) / (double)(head->aged_pages + 1u);
    head->aged_pages++;
}

bool cof_cleaner_is_filling(const struct cof_cleaner *cleaner)
{
    for (unsigned i = 0; i < cleaner->head_count; i++) {
        if (cleaner->heads[i].group != NULL) {
            return true;
        }
    }
    return false;
}

int cof_cleaner_cut(struct cof_cleaner *cleaner)
{
    int err = 0;
    for (unsigned i = 0; err == 0 && i < cleaner->head_count; i++) {
        if (cleaner->heads[i].group != NULL) {
            err = close_group(cleaner, &cleaner->heads[i]);
        }
    }
    return err;
}

int cof_cleaner_leave(struct cof_cleaner *cleaner, uint32_t from)
{
    int err = 0;
    for (unsigned i = 0; err == 0 && i < cleaner->head_count; i++) {
        struct cof_head *head = &cleaner->heads[i];
        if (head->segment == COF_NO_SEGMENT || head->segment < from) {
            continue;
        }
        err = head->group != NULL ? close_group(cleaner, head) : 0;
        head->segment = COF_NO_SEGMENT;
    }
    return err;
}

/* ---- completions ---- */

static void group_done(struct cof_cleaner *cleaner, struct cof_group *done)
{
    struct cof_head *head = &cleaner->heads[done->head];
    bool more = true;
    done->flying = false;
    done->done = true;
    cleaner->flying--;
    while (more) {
        more = false;
        for (unsigned i = 0; i < COF_CLEANER_GROUPS; i++) {
            struct cof_group *group = &cleaner->groups[i];
            if (group->done && group->head == done->head && group->number == head->done_upto + 1u) {
                group->done = false;
                cof_segments_read(cleaner->segments, group->segment, -1);
                head->done_upto++;
                more = true;
            }
        }
    }
    cof_moves_publish(cleaner, done->head, head->done_upto);
}

static void complete(struct cof_cleaner *cleaner, struct coffer_segdev_request *request)
{
    if (request->op == COFFER_SEGDEV_READ) {
        cof_victim_read(cleaner, request);
        return;
    }
    if (request->result != 0 && cleaner->error == 0) {
        cleaner->error = request->result;
        cof_log(cleaner->env, COFFER_LOG_ERROR, "the cleaner failed to write to segment %u: %s",
                request->segment, coffer_error_sentence(request->result));
    }
    if (cleaner->error == 0) {
        group_done(cleaner, request->user);
    } else {
        struct cof_group *group = request->user;
        group->flying = false;
        cleaner->flying--;
    }
}

int cof_cleaner_poll(struct cof_cleaner *cleaner, bool wait)
{
    struct coffer_segdev_request *list = NULL;
    bool busy = cleaner->flying > 0 || cleaner->reads_flying > 0;
    int count = busy ? cleaner->dev->ops->poll(cleaner->channel, wait ? 1u : 0u, &list) : 0;
    if (count < 0) {
        cleaner->error = cleaner->error != 0 ? cleaner->error : count;
        return cleaner->error;
    }
    while (list != NULL) {
        struct coffer_segdev_request *next = list->next;
        complete(cleaner, list);
        list = next;
    }
    return cleaner->error != 0 ? cleaner->error : count > 0;
}

int cof_cleaner_drain(struct cof_cleaner *cleaner)
{
    int err = cof_cleaner_cut(cleaner);
    while (err >= 0 && cleaner->flying > 0) {
        err = cof_cleaner_poll(cleaner, true);
    }
    return err < 0 ? err : 0;
}
