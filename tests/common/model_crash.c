/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/model_crash.c - the oracles after a loss; see model.h.
 *
 * A page that shows version v, and lacks the next version n that surely happened, says that the cut
 * lies at a moment T with submitted(v) <= T <= completed(n). The state is a causal prefix when one
 * T is allowed by all pages of all volumes. Pages that show zeros may match several versions:
 * their ranges are merged.
 */
#include "common/model.h"

#include "common/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How many pages allow each T since the last rebase, as differences; and who is strictest. */
struct tally {
    const struct model *model;
    int64_t *steps;
    uint64_t span;
    uint64_t voters;
    uint64_t low, high; /* the highest lower bound and the lowest upper bound seen */
    uint32_t low_op, high_op;
    char low_name[64], high_name[64];
};

/* What a page or a size has said so far. */
struct ballot {
    int64_t done; /* everything up to here is counted already */
    uint64_t low, high;
    uint32_t low_op, high_op;
    bool matched;
};

static const struct ballot new_ballot = {.done = -1, .low = UINT64_MAX};

static const struct model_op *op_of(const struct model *model, uint32_t op)
{
    return op < model->op_base || op >= model->op_next ? NULL : &model->ops[op - model->op_base];
}

/* The version of shown is there, that of lacked (UINT32_MAX: none) is not. */
static void vote(struct tally *tally, struct ballot *ballot, uint32_t shown, uint32_t lacked)
{
    const struct model_op *v = op_of(tally->model, shown), *n = op_of(tally->model, lacked);
    uint64_t base = tally->model->clock_base;
    uint64_t from = v == NULL ? 0 : v->submitted_at - base;
    uint64_t to =
        n == NULL || n->completed_at == MODEL_NEVER ? tally->span - 1 : n->completed_at - base;
    int64_t low = (int64_t)from <= ballot->done ? ballot->done + 1 : (int64_t)from;
    if (low <= (int64_t)to) {
        tally->steps[low] += 1;
        tally->steps[to + 1] -= 1;
        ballot->done = (int64_t)to;
    }
    if (from <= ballot->low) {
        ballot->low = from;
        ballot->low_op = shown;
    }
    if (to >= ballot->high) {
        ballot->high = to;
        ballot->high_op = lacked;
    }
    ballot->matched = true;
}

static void cast(struct tally *tally, const struct ballot *ballot, const char *name, int64_t page)
{
    if (ballot->low >= tally->low) {
        tally->low = ballot->low;
        tally->low_op = ballot->low_op;
        snprintf(tally->low_name, sizeof tally->low_name, "%.30s page %lld", name, (long long)page);
    }
    if (ballot->high <= tally->high) {
        tally->high = ballot->high;
        tally->high_op = ballot->high_op;
        snprintf(tally->high_name, sizeof tally->high_name, "%.30s page %lld", name,
                 (long long)page);
    }
    tally->voters++;
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
    struct ballot ballot = new_ballot;
    for (uint32_t i = settled ? 1 : 0; i <= page->count; i++) {
        const struct model_version *version = i == 0 ? &none : &page->versions[i - 1];
        if (memcmp(version->tags, seen->tags, sizeof seen->tags) == 0) {
            vote(tally, &ballot, version->op, next_certain(page, i));
        }
    }
    harness_require(ballot.matched,
                    "torn or foreign: %s page %llu shows sectors of ops %u %u %u %u %u %u %u %u",
                    volume->name, (unsigned long long)number, seen->tags[0], seen->tags[1],
                    seen->tags[2], seen->tags[3], seen->tags[4], seen->tags[5], seen->tags[6],
                    seen->tags[7]);
    cast(tally, &ballot, volume->name, (int64_t)number);
}

static void vote_size(struct tally *tally, const struct model_volume *volume, uint64_t pages)
{
    struct ballot ballot = new_ballot;
    for (uint32_t i = 0; i < volume->size_count; i++) {
        uint32_t next = UINT32_MAX;
        for (uint32_t at = i + 1; at < volume->size_count && next == UINT32_MAX; at++) {
            next = volume->sizes[at].optional ? UINT32_MAX : volume->sizes[at].op;
        }
        if (volume->sizes[i].pages == pages) {
            vote(tally, &ballot, volume->sizes[i].op, next);
        }
    }
    harness_require(ballot.matched, "%s has %llu pages, which it never had", volume->name,
                    (unsigned long long)pages);
    cast(tally, &ballot, volume->name, -1);
}

/* The operation had to survive a loss at event. */
static bool safe(const struct model_op *op, uint64_t event, bool killed)
{
    return op->durable_at <= event || (killed && op->completed_event <= event);
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

static void check_causal(const struct model *model, const struct model_seen *seen)
{
    struct tally tally = {
        .model = model, .span = model->clock - model->clock_base + 1, .high = UINT64_MAX};
    uint64_t count = 0;
    bool found = false;
    tally.steps = calloc(tally.span + 1, sizeof *tally.steps);
    if (tally.steps == NULL) {
        abort();
    }
    tally_votes(&tally, seen);
    for (uint64_t i = 0; i < tally.span; i++) {
        count += (uint64_t)tally.steps[i];
        found = found || count == tally.voters;
    }
    free(tally.steps);
    harness_require(found,
                    "not a prefix: %s shows op %u, but %s lacks op %u, which completed before",
                    tally.low_name, tally.low_op, tally.high_name, tally.high_op);
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

/* The size is the newest that was safe, or a newer one. */
static bool size_allowed(const struct model *model, const struct model_volume *volume,
                         uint64_t pages, uint64_t event, bool killed)
{
    for (uint32_t i = volume->size_count; i > 0; i--) {
        const struct model_size *size = &volume->sizes[i - 1];
        const struct model_op *op = op_of(model, size->op);
        if (size->pages == pages) {
            return true;
        }
        if (op == NULL || (!size->optional && safe(op, event, killed))) {
            return false;
        }
    }
    return false;
}

static void check_durable(const struct model *model, const struct model_seen *seen, uint64_t event,
                          bool killed)
{
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        const struct model_volume *volume = &model->volumes[v];
        if (!volume->used || !seen->volumes[v].there) {
            continue;
        }
        harness_require(size_allowed(model, volume, seen->volumes[v].pages, event, killed),
                        "lost: %s has %llu pages again", volume->name,
                        (unsigned long long)seen->volumes[v].pages);
        for (uint64_t i = 0; i < seen->volumes[v].pages && i < volume->pages_max; i++) {
            const struct model_seen_page *found = &seen->volumes[v].found[i];
            harness_require(found->unread ||
                                page_allowed(model, &volume->pages[i], found, event, killed),
                            "lost: %s page %llu shows op %u.., older than what was safe",
                            volume->name, (unsigned long long)i, found->tags[0]);
        }
    }
}

void model_check_prefix(const struct model *model, const struct model_seen *seen, uint64_t event,
                        bool killed)
{
    check_causal(model, seen);
    check_durable(model, seen, event, killed);
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
        harness_require(!there || event < volume->delete_done, "volume %s is back", volume->name);
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
    model->clock_base = model->clock;
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
