/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/model_crash.c - the oracles after a loss; see model.h.
 *
 * A page that shows version v, made by operation a, whose next version that surely happened was
 * made by operation b, allows every p in [a, b]. The state is a prefix when one p is allowed by
 * all pages of all volumes. Pages that show zeros may match several versions: their ranges are
 * merged.
 */
#include "common/model.h"

#include "common/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How many pages allow each p from op_base to op_next, as differences; and who is strictest. */
struct tally {
    const struct model *model;
    int64_t *steps;
    uint32_t span;
    uint64_t voters;
    uint32_t low, high; /* the highest lower bound and the lowest upper bound seen */
    char low_name[64], high_name[64];
};

struct range {
    uint32_t from, to;
};

static void note_bounds(struct tally *tally, const char *name, uint64_t page, uint32_t low,
                        uint32_t high)
{
    if (low > tally->low) {
        tally->low = low;
        snprintf(tally->low_name, sizeof tally->low_name, "%.30s page %lld", name,
                 (long long)page);
    }
    if (high < tally->high) {
        tally->high = high;
        snprintf(tally->high_name, sizeof tally->high_name, "%.30s page %lld", name,
                 (long long)page);
    }
}

/* Add [from, to], of which everything up to *done is counted already. */
static void vote(struct tally *tally, uint32_t from, uint32_t to, int64_t *done)
{
    uint32_t base = tally->model->op_base;
    int64_t low = from < base ? 0 : (int64_t)(from - base);
    int64_t high = to - base >= tally->span ? (int64_t)tally->span - 1 : (int64_t)(to - base);
    low = low <= *done ? *done + 1 : low;
    if (low <= high) {
        tally->steps[low] += 1;
        tally->steps[high + 1] -= 1;
        *done = high;
    }
}

static uint32_t next_certain(const struct model_page *page, uint32_t at)
{
    for (uint32_t i = at; i < page->count; i++) {
        if (!page->versions[i].optional) {
            return page->versions[i].op;
        }
    }
    return UINT32_MAX;
}

static void vote_page(struct tally *tally, const struct model_volume *volume, uint64_t number,
                      const struct model_seen_page *seen)
{
    static const struct model_version none;
    const struct model_page *page = &volume->pages[number];
    bool settled = page->count > 0 && page->versions[0].op < tally->model->op_base;
    uint32_t low = UINT32_MAX, high = 0;
    int64_t done = -1;
    for (uint32_t i = settled ? 1 : 0; i <= page->count; i++) {
        const struct model_version *version = i == 0 ? &none : &page->versions[i - 1];
        uint32_t next = next_certain(page, i);
        if (memcmp(version->tags, seen->tags, sizeof seen->tags) != 0) {
            continue;
        }
        low = version->op < low ? version->op : low;
        high = next > high ? next : high;
        vote(tally, version->op, next, &done);
    }
    harness_require(low != UINT32_MAX,
                    "torn or foreign: %s page %llu shows sectors of ops %u %u %u %u %u %u %u %u",
                    volume->name, (unsigned long long)number, seen->tags[0], seen->tags[1],
                    seen->tags[2], seen->tags[3], seen->tags[4], seen->tags[5], seen->tags[6],
                    seen->tags[7]);
    note_bounds(tally, volume->name, number, low, high);
    tally->voters++;
}

static void vote_size(struct tally *tally, const struct model_volume *volume, uint64_t pages)
{
    int64_t done = -1;
    uint32_t low = UINT32_MAX, high = 0;
    for (uint32_t i = 0; i < volume->size_count; i++) {
        uint32_t next = UINT32_MAX;
        for (uint32_t at = i + 1; at < volume->size_count && next == UINT32_MAX; at++) {
            next = volume->sizes[at].optional ? UINT32_MAX : volume->sizes[at].op;
        }
        if (volume->sizes[i].pages == pages) {
            low = volume->sizes[i].op < low ? volume->sizes[i].op : low;
            high = next > high ? next : high;
            vote(tally, volume->sizes[i].op, next, &done);
        }
    }
    harness_require(low != UINT32_MAX, "%s has %llu pages, which it never had", volume->name,
                    (unsigned long long)pages);
    note_bounds(tally, volume->name, UINT64_MAX, low, high);
    tally->voters++;
}

/* The operation had to survive a loss at event. */
static bool safe(const struct model_op *op, uint64_t event, bool killed)
{
    return op->durable_at <= event || (killed && op->completed_event <= event);
}

/* One behind the newest operation that was safe at event. */
static uint32_t floor_at(const struct model *model, const struct model_seen *seen, uint64_t event,
                         bool killed)
{
    uint32_t floor = model->op_base;
    for (uint32_t i = 0; i < model->op_next - model->op_base; i++) {
        if (safe(&model->ops[i], event, killed) && seen->volumes[model->ops[i].volume].there) {
            floor = model->op_base + i + 1;
        }
    }
    return floor;
}

static void tally_votes(struct tally *tally, const struct model_seen *seen)
{
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        const struct model_volume *volume = &tally->model->volumes[v];
        if (!volume->used || !seen->volumes[v].there) {
            continue;
        }
        vote_size(tally, volume, seen->volumes[v].pages);
        for (uint64_t i = 0; i < seen->volumes[v].pages && i < volume->pages_max; i++) {
            if (!seen->volumes[v].found[i].unread) {
                vote_page(tally, volume, i, &seen->volumes[v].found[i]);
            }
        }
    }
}

uint32_t model_check_prefix(const struct model *model, const struct model_seen *seen,
                            uint64_t event, bool killed)
{
    struct tally tally = {.model = model,
                          .span = model->op_next - model->op_base + 1,
                          .high = UINT32_MAX};
    uint32_t floor = floor_at(model, seen, event, killed);
    uint32_t first = 0, last = 0;
    uint64_t count = 0;
    tally.steps = calloc(tally.span + 1, sizeof *tally.steps);
    if (tally.steps == NULL) {
        abort();
    }
    tally_votes(&tally, seen);
    for (uint32_t i = 0; i < tally.span; i++) {
        count += (uint64_t)tally.steps[i];
        if (count == tally.voters) {
            last = model->op_base + i;
            first = first == 0 ? last : first;
        }
    }
    free(tally.steps);
    harness_require(last != 0, "not a prefix: %s shows op %u, but %s lacks op %u", tally.low_name,
                    tally.low, tally.high_name, tally.high);
    harness_require(last >= floor,
                    "lost: op %u was acknowledged as safe, but %s lacks op %u", floor - 1,
                    tally.high_name, tally.high);
    return first;
}

static bool page_allowed(const struct model *model, const struct model_page *page,
                         const struct model_seen_page *seen, uint64_t event, bool killed)
{
    static const struct model_version none;
    for (uint32_t i = page->count; i <= page->count; i--) {
        const struct model_version *version = i == 0 ? &none : &page->versions[i - 1];
        if (memcmp(version->tags, seen->tags, sizeof seen->tags) == 0) {
            return true;
        }
        if (version->op < model->op_base ||
            (!version->optional &&
             safe(&model->ops[version->op - model->op_base], event, killed))) {
            return false;
        }
    }
    return false;
}

void model_check_pages(const struct model *model, const struct model_seen *seen, uint64_t event,
                       bool killed)
{
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        const struct model_volume *volume = &model->volumes[v];
        if (!volume->used || !seen->volumes[v].there) {
            continue;
        }
        for (uint64_t i = 0; i < seen->volumes[v].pages && i < volume->pages_max; i++) {
            const struct model_seen_page *found = &seen->volumes[v].found[i];
            harness_require(page_allowed(model, &volume->pages[i], found, event, killed),
                            "lost or torn: %s page %llu shows op %u..%u", volume->name,
                            (unsigned long long)i, found->tags[0], found->tags[7]);
        }
    }
}

void model_check_volumes(const struct model *model, const struct model_seen *seen, uint64_t event)
{
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        const struct model_volume *volume = &model->volumes[v];
        bool there = seen->volumes[v].there;
        if (!volume->used || seen->volumes[v].refused) {
            continue;
        }
        harness_require(there || event < volume->create_done || event > volume->delete_from,
                        "volume %s is gone", volume->name);
        harness_require(!there || event > volume->create_from, "volume %s was never created",
                        volume->name);
        harness_require(!there || event < volume->delete_done, "volume %s is back",
                        volume->name);
    }
}

static void settle_page(struct model_page *page, const uint32_t tags[MODEL_SECTORS], uint32_t op)
{
    if (page->count == 0) {
        return;
    }
    page->count = 1;
    page->versions[0].op = op;
    page->versions[0].optional = false;
    memcpy(page->versions[0].tags, tags, sizeof page->versions[0].tags);
}

static void settle_volume(struct model *model, unsigned v, const struct model_seen *seen)
{
    static const uint32_t zeros[MODEL_SECTORS];
    struct model_volume *volume = &model->volumes[v];
    uint64_t pages = seen->volumes[v].pages;
    uint32_t op = model->op_base - 1;
    for (uint64_t i = 0; i < volume->pages_max; i++) {
        settle_page(&volume->pages[i], i < pages ? seen->volumes[v].found[i].tags : zeros, op);
    }
    volume->size_count = 1;
    volume->sizes[0] = (struct model_size){op, false, pages};
    volume->create_from = 0;
    volume->create_done = 0;
    volume->delete_from = MODEL_NEVER;
    volume->delete_done = MODEL_NEVER;
}

void model_rebase(struct model *model, const struct model_seen *seen, uint64_t event)
{
    (void)event;
    model->op_base = model->op_next;
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
}

static void fork_volume(struct model_volume *to, const struct model_volume *from,
                        const struct model_seen_page *found, uint64_t pages, uint32_t op)
{
    static const uint32_t zeros[MODEL_SECTORS];
    *to = *from;
    to->pages = calloc(from->pages_max, sizeof *to->pages);
    to->sizes = calloc(1, sizeof *to->sizes);
    if (to->pages == NULL || to->sizes == NULL) {
        abort();
    }
    to->size_count = to->size_room = 1;
    for (uint64_t i = 0; i < pages && i < from->pages_max; i++) {
        struct model_version *only;
        if (memcmp(found[i].tags, zeros, sizeof zeros) == 0) {
            continue;
        }
        only = calloc(1, sizeof *only);
        if (only == NULL) {
            abort();
        }
        only->op = op;
        memcpy(only->tags, found[i].tags, sizeof only->tags);
        to->pages[i] = (struct model_page){.versions = only, .count = 1, .room = 1};
    }
    to->sizes[0] = (struct model_size){op, false, pages};
    to->create_from = to->create_done = 0;
    to->delete_from = to->delete_done = MODEL_NEVER;
}

void model_fork(struct model *model, const struct model *from, const struct model_seen *seen)
{
    model_init(model, from->seed);
    model->salt_next = from->salt_next;
    model->op_base = model->op_next = from->op_next;
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        if (from->volumes[v].used && seen->volumes[v].there) {
            fork_volume(&model->volumes[v], &from->volumes[v], seen->volumes[v].found,
                        seen->volumes[v].pages, from->op_next - 1);
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
            a->volumes[v].pages != b->volumes[v].pages) {
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
