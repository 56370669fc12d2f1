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
    const char *low_name, *high_name; /* of the volume */
    int64_t low_page, high_page;
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
        tally->low_name = name;
        tally->low_page = page;
    }
    if (ballot->high <= tally->high) {
        tally->high = ballot->high;
        tally->high_op = ballot->high_op;
        tally->high_name = name;
        tally->high_page = page;
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
    return op->durable_at <= event || (killed && op->reached_event <= event);
}

/* A snapshot that is there says that all that had completed when it was begun is. */
static void vote_snapshot(struct tally *tally, const struct model_volume *volume)
{
    uint64_t base = tally->model->clock_base;
    uint64_t from = volume->taken_at < base ? 0 : volume->taken_at - base;
    struct ballot ballot = {.low = from, .high = tally->span - 1, .high_op = UINT32_MAX};
    tally->steps[from] += 1;
    tally->steps[tally->span] -= 1;
    cast(tally, &ballot, volume->name, -1);
}

static void tally_votes(struct tally *tally, const struct model_seen *seen)
{
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        const struct model_volume *volume = &tally->model->volumes[v];
        if (!volume->used || !seen->volumes[v].there) {
            continue;
        }
        if (volume->snapshot) {
            vote_snapshot(tally, volume);
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
                    "not a prefix: %s page %lld shows op %u, but %s page %lld lacks op %u, which "
                    "completed before",
                    tally.low_name, (long long)tally.low_page, tally.low_op, tally.high_name,
                    (long long)tally.high_page, tally.high_op);
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
        if (!version->optional &&
            (version->op < model->op_base ||
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
        if (!size->optional && (op == NULL || safe(op, event, killed))) {
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
        if (!volume->used || !seen->volumes[v].there || volume->snapshot) {
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
    model_check_snapshots(model, seen);
}

void model_check_volumes(const struct model *model, const struct model_seen *seen, uint64_t event)
{
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        const struct model_volume *volume = &model->volumes[v];
        bool there = seen->volumes[v].there;
        if (!model_wanted(volume) || seen->volumes[v].refused) {
            continue;
        }
        harness_require(there || event < volume->create_done || event > volume->delete_from,
                        "volume %s is gone", volume->name);
        harness_require(!there || event > volume->create_from || event >= volume->create_done,
                        "volume %s was never created", volume->name);
        harness_require(!there || event < volume->delete_done, "volume %s is back", volume->name);
    }
    model_check_keys(model, seen, event);
}
