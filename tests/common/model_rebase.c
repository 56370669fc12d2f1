/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/model_rebase.c - go on from what was found after a loss; see model.h.
 *
 * Invariant: what is settled has one version, older than every operation that is not (op_base), and
 * the identity of the version that it shows; where several that look alike had different ones, the
 * identity is unsure.
 */
#include "common/model_snapshot.h"

#include <stdlib.h>
#include <string.h>

/* The version that shows these tags. */
static struct model_version version_seen(const struct model *model, const struct model_page *page,
                                         const uint32_t tags[MODEL_SECTORS])
{
    static const struct model_version none;
    struct model_version found = {.op = model->op_next - 1};
    bool any = false;
    memcpy(found.tags, tags, sizeof found.tags);
    for (uint32_t i = page->count; i <= page->count; i--) {
        const struct model_version *version = i == 0 ? &none : &page->versions[i - 1];
        if (memcmp(version->tags, tags, sizeof found.tags) == 0) {
            found.unsure |= version->unsure || (any && version->page_id != found.page_id);
            found.page_id = any ? found.page_id : version->page_id;
            any = true;
        }
        if (version->op < model->op_base && !version->optional) {
            break;
        }
    }
    return found;
}

static void settle_page(const struct model *model, struct model_page *page,
                        const uint32_t tags[MODEL_SECTORS])
{
    if (page->count > 0) {
        page->versions[0] = version_seen(model, page, tags);
        page->count = 1;
    }
}

static void settle_volume(struct model *model, unsigned v, const struct model_seen *seen)
{
    static const uint32_t zeros[MODEL_SECTORS];
    struct model_volume *volume = &model->volumes[v];
    uint64_t pages = seen->volumes[v].pages;
    for (uint64_t i = 0; i < volume->pages_max; i++) {
        settle_page(model, &volume->pages[i], i < pages ? seen->volumes[v].found[i].tags : zeros);
    }
    volume->size_count = 1;
    volume->sizes[0] = (struct model_size){model->op_next - 1, false, pages};
    volume->create_from = 0;
    volume->create_done = 0;
    volume->delete_from = MODEL_NEVER;
    volume->delete_done = MODEL_NEVER;
    volume->taken_at = 0;
    if (volume->key_count > 0) {
        unsigned key = seen->volumes[v].key_known ? seen->volumes[v].key : volume->keys[0].key;
        volume->keys[0] = (struct model_key){.key = key};
        volume->key_count = 1;
    }
    model_node_made(model, v);
}

void model_snapshot_settle(struct model *model, unsigned snapshot, const struct model_seen *seen)
{
    struct model_volume *volume = &model->volumes[snapshot];
    for (uint64_t i = 0; i < seen->volumes[snapshot].pages; i++) {
        settle_page(model, &volume->pages[i], seen->volumes[snapshot].found[i].tags);
        if (volume->pages[i].count > 0) {
            volume->pages[i].versions[0].op = 0;
        }
    }
    volume->size_count = 1;
    volume->sizes[0].pages = seen->volumes[snapshot].pages;
}

void model_rebase(struct model *model, const struct model_seen *seen, uint64_t event)
{
    (void)event;
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        if (!model->volumes[v].used) {
            continue;
        }
        if (!seen->volumes[v].there) {
            model_volume_drop(model, v);
        } else {
            settle_volume(model, v, seen);
        }
    }
    model->op_base = model->op_next;
    model->clock_base = model->clock;
}

static void *allocate(uint64_t count, size_t item_bytes)
{
    void *memory = calloc(count + 1, item_bytes);
    if (memory == NULL) {
        abort();
    }
    return memory;
}

static void fork_volume(struct model_volume *to, const struct model *model, unsigned v,
                        const struct model_seen *seen)
{
    static const uint32_t zeros[MODEL_SECTORS];
    const struct model_volume *from = &model->volumes[v];
    const struct model_seen_page *found = seen->volumes[v].found;
    uint64_t pages = seen->volumes[v].pages;
    *to = *from;
    to->pages = allocate(from->pages_max, sizeof *to->pages);
    to->sizes = allocate(1, sizeof *to->sizes);
    to->size_count = to->size_room = 1;
    for (uint64_t i = 0; i < pages && i < from->pages_max; i++) {
        struct model_version *only;
        if (memcmp(found[i].tags, zeros, sizeof zeros) == 0) {
            continue;
        }
        only = allocate(1, sizeof *only);
        *only = version_seen(model, &from->pages[i], found[i].tags);
        to->pages[i] = (struct model_page){.versions = only, .count = 1, .room = 1};
    }
    to->sizes[0] = (struct model_size){model->op_next - 1, false, pages};
    to->gone = to->hidden = false;
    to->taken_at = to->create_from = to->create_done = 0;
    to->delete_from = to->delete_done = MODEL_NEVER;
    if (seen->volumes[v].key_known) {
        to->keys[0] = (struct model_key){.key = seen->volumes[v].key};
        to->key_count = 1;
    }
}

void model_fork(struct model *model, const struct model *from, const struct model_seen *seen)
{
    model_init(model, from->seed);
    model->salt_next = from->salt_next;
    model->born_next = from->born_next;
    model->op_base = model->op_next = from->op_next;
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        if (from->volumes[v].used && seen->volumes[v].there) {
            fork_volume(&model->volumes[v], from, v, seen);
        }
    }
}

void model_seen_done(struct model_seen *seen)
{
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        free(seen->volumes[v].found);
    }
    memset(seen, 0, sizeof *seen);
}

bool model_seen_equal(const struct model_seen *a, const struct model_seen *b)
{
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        if (a->volumes[v].there != b->volumes[v].there ||
            a->volumes[v].pages != b->volumes[v].pages ||
            a->volumes[v].key_known != b->volumes[v].key_known ||
            a->volumes[v].key != b->volumes[v].key) {
            return false;
        }
        if (a->volumes[v].there &&
            memcmp(a->volumes[v].found, b->volumes[v].found,
                   a->volumes[v].pages * sizeof a->volumes[v].found[0]) != 0) {
            return false;
        }
    }
    return true;
}
