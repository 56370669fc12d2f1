/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/model_snapshot.c - see model_snapshot.h.
 *
 * Invariant: a snapshot's page has its certain version first, zeros spelled out when others follow;
 * what follows is optional, and the newest of it is as good as the oldest.
 */
#include "common/model_snapshot.h"

#include "common/harness.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *copy_of(const void *from, size_t bytes)
{
    void *copy = malloc(bytes == 0 ? 1 : bytes);
    if (copy == NULL) {
        abort();
    }
    memcpy(copy, from, bytes);
    return copy;
}

unsigned model_slot_take(struct model *model, uint64_t pages_max, uint64_t event)
{
    unsigned slot = 0;
    struct model_volume *volume;
    while (slot < MODEL_VOLUMES_MAX && model->volumes[slot].used) {
        slot++;
    }
    harness_require(slot < MODEL_VOLUMES_MAX, "model: too many volumes");
    volume = &model->volumes[slot];
    memset(volume, 0, sizeof *volume);
    volume->used = true;
    volume->parent = MODEL_NONE;
    volume->born = model->born_next++;
    volume->pages_max = pages_max;
    volume->pages = calloc(pages_max, sizeof *volume->pages);
    if (volume->pages == NULL) {
        abort();
    }
    volume->create_from = event;
    volume->create_done = MODEL_NEVER;
    volume->delete_from = MODEL_NEVER;
    volume->delete_done = MODEL_NEVER;
    return slot;
}

void model_name_give(struct model *model, unsigned node, const char *format, ...)
{
    struct model_volume *volume = &model->volumes[node];
    char name[sizeof volume->name];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    if (!volume->snapshot && model->name_next[0] != 0) {
        memcpy(name, model->name_next, sizeof name);
        model->name_next[0] = 0;
    }
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        if (model->volumes[v].gone && strcmp(model->volumes[v].name, name) == 0) {
            model->volumes[v].name[0] = 0;
        }
    }
    memcpy(volume->name, name, sizeof name);
}

/* It had happened before now, whatever comes. */
static bool certain(const struct model *model, uint32_t op, bool optional)
{
    return !optional &&
           (op < model->op_base || model->ops[op - model->op_base].completed_at != MODEL_NEVER);
}

static void freeze_page(const struct model *model, const struct model_page *from,
                        struct model_page *to)
{
    uint32_t first = from->count;
    while (first > 0 &&
           !certain(model, from->versions[first - 1].op, from->versions[first - 1].optional)) {
        first--;
    }
    if (from->count == 0) {
        return;
    }
    to->count = to->room = from->count - first + 1;
    to->versions = calloc(to->room, sizeof *to->versions);
    if (to->versions == NULL) {
        abort();
    }
    for (uint32_t i = 0; i < to->count; i++) {
        if (first + i > 0) {
            to->versions[i] = from->versions[first + i - 1];
        }
        to->versions[i].op = 0;
        to->versions[i].optional = i > 0;
    }
}

static void freeze_sizes(const struct model *model, const struct model_volume *from,
                         struct model_volume *to)
{
    uint32_t first = from->size_count - 1;
    while (first > 0 && !certain(model, from->sizes[first].op, from->sizes[first].optional)) {
        first--;
    }
    to->size_count = to->size_room = from->size_count - first;
    to->sizes = copy_of(&from->sizes[first], to->size_count * sizeof *to->sizes);
    for (uint32_t i = 0; i < to->size_count; i++) {
        to->sizes[i].op = 0;
        to->sizes[i].optional = i > 0;
    }
}

static void freeze(struct model *model, unsigned source, unsigned slot)
{
    const struct model_volume *from = &model->volumes[source];
    struct model_volume *to = &model->volumes[slot];
    for (uint64_t i = 0; i < from->pages_max; i++) {
        freeze_page(model, &from->pages[i], &to->pages[i]);
    }
    freeze_sizes(model, from, to);
    to->salt = from->salt;
}

unsigned model_snapshot_add(struct model *model, unsigned volume, unsigned label, uint64_t event)
{
    const struct model_volume *from = &model->volumes[volume];
    unsigned slot = model_slot_take(model, from->pages_max, event);
    struct model_volume *to = &model->volumes[slot];
    freeze(model, volume, slot);
    to->snapshot = true;
    to->encrypted = from->encrypted;
    to->number = from->number;
    to->taken_at = model->clock++;
    if (from->key_count > 0) {
        to->keys[0] = (struct model_key){.key = from->keys[from->key_count - 1].key};
        to->key_count = 1;
    }
    model_name_give(model, slot, "%.20s@s%u", from->name, label);
    return slot;
}

unsigned model_clone_add(struct model *model, unsigned snapshot, bool fresh, uint64_t event)
{
    const struct model_volume *from = &model->volumes[snapshot];
    unsigned slot = model_slot_take(model, from->pages_max, event);
    struct model_volume *to = &model->volumes[slot];
    freeze(model, snapshot, slot);
    to->encrypted = from->encrypted || fresh;
    to->number = model->salt_next++;
    to->parent = fresh ? MODEL_NONE : snapshot;
    model_name_give(model, slot, "%s%u", to->encrypted ? "vol" : "plain", to->number);
    for (uint64_t i = 0; fresh && i < to->pages_max; i++) {
        for (uint32_t at = 0; at < to->pages[i].count; at++) {
            uint64_t *id = &to->pages[i].versions[at].page_id;
            *id |= *id == 0 ? 0 : (uint64_t)to->number << 32;
        }
    }
    return slot;
}

bool model_snapshot_open(const struct model *model, unsigned snapshot)
{
    const struct model_volume *volume = &model->volumes[snapshot];
    for (uint64_t i = 0; i < volume->pages_max; i++) {
        if (volume->pages[i].count > 1) {
            return true;
        }
    }
    return volume->size_count > 1;
}

unsigned model_snapshot_find(const struct model *model, unsigned volume, unsigned label)
{
    char name[sizeof model->volumes[0].name];
    snprintf(name, sizeof name, "%.20s@s%u", model->volumes[volume].name, label);
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        if (model->volumes[v].used && !model->volumes[v].gone &&
            strcmp(model->volumes[v].name, name) == 0) {
            return v;
        }
    }
    return MODEL_NONE;
}

static bool page_among(const struct model_page *page, const uint32_t tags[MODEL_SECTORS])
{
    static const struct model_version none;
    for (uint32_t i = 0; i < page->count; i++) {
        if (memcmp(page->versions[i].tags, tags, sizeof none.tags) == 0) {
            return true;
        }
    }
    return page->count == 0 && memcmp(none.tags, tags, sizeof none.tags) == 0;
}

static void check_snapshot(const struct model_volume *volume, uint64_t pages,
                           const struct model_seen_page *found)
{
    bool sized = false;
    for (uint32_t i = 0; i < volume->size_count; i++) {
        sized |= volume->sizes[i].pages == pages;
    }
    harness_require(sized, "snapshot %s has %llu pages, not %llu", volume->name,
                    (unsigned long long)pages, (unsigned long long)volume->sizes[0].pages);
    for (uint64_t i = 0; i < pages; i++) {
        const uint32_t *tags = found[i].tags;
        harness_require(found[i].unread || page_among(&volume->pages[i], tags),
                        "snapshot %s page %llu shows sectors of ops %u %u %u %u %u %u %u %u",
                        volume->name, (unsigned long long)i, tags[0], tags[1], tags[2], tags[3],
                        tags[4], tags[5], tags[6], tags[7]);
    }
}

void model_check_snapshots(const struct model *model, const struct model_seen *seen)
{
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        if (model->volumes[v].used && model->volumes[v].snapshot && seen->volumes[v].there) {
            check_snapshot(&model->volumes[v], seen->volumes[v].pages, seen->volumes[v].found);
        }
    }
}
