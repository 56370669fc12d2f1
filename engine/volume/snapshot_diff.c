/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/snapshot_diff.c - the ranges in which one snapshot or volume differs from another.
 *
 * Both trees are walked side by side; equal pointers are skipped. Pages that follow on one another
 * with the same verdict are one range. admin and lock are held, lock is let go after each leaf and
 * around the caller's visit.
 */
#include "map/diff.h"
#include "volume/store.h"

#include <string.h>

struct ranges {
    struct coffer_store *store;
    int (*visit)(void *ctx, uint64_t offset_bytes, uint64_t length_bytes, int data);
    void *ctx;
    uint64_t end;          /* of the volume, in pages */
    uint64_t first, count; /* pages of the range that is being put together */
    int data;
    int stop;
};

static int tell(struct ranges *ranges)
{
    if (ranges->count > 0) {
        pthread_mutex_unlock(&ranges->store->lock);
        ranges->stop = ranges->visit(ranges->ctx, ranges->first * COFFER_PAGE_BYTES,
                                     ranges->count * COFFER_PAGE_BYTES, ranges->data);
        pthread_mutex_lock(&ranges->store->lock);
    }
    ranges->count = 0;
    return ranges->stop;
}

static int add(struct ranges *ranges, uint64_t page, int data)
{
    int stop = 0;
    if (ranges->count > 0 && (ranges->first + ranges->count != page || ranges->data != data)) {
        stop = tell(ranges);
    }
    if (ranges->count == 0) {
        ranges->first = page;
        ranges->data = data;
    }
    ranges->count++;
    return stop;
}

static int visit(void *ctx, struct cof_vaddr addr, unsigned level, uint64_t index)
{
    (void)addr;
    return level == 0 ? add(ctx, index, 1) : 0;
}

static int gone(void *ctx, uint64_t page)
{
    const struct ranges *ranges = ctx;
    return page < ranges->end ? add(ctx, page, 0) : 0;
}

static int pause_walk(void *ctx)
{
    struct ranges *ranges = ctx;
    cof_checkpoint_breathe(ranges->store);
    return ranges->store->error != 0 ? COFFER_E_FAILED : 0;
}

static int walk(struct ranges *ranges, const struct coffer_volume *from,
                const struct coffer_volume *to)
{
    struct coffer_store *store = ranges->store;
    struct cof_diff diff;
    int err = cof_checkpoint_settle(store); /* before the trees are looked at */
    if (err != 0) {
        return err;
    }
    memset(&diff, 0, sizeof diff);
    diff.env = &store->env;
    diff.tree.io = &to->node_io;
    diff.tree.tree = to->tree;
    diff.others[0].io = &from->node_io;
    diff.others[0].tree = from->tree;
    diff.other_count = 1;
    ranges->end = to->size_pages;
    diff.ctx = ranges;
    diff.visit = visit;
    diff.gone = gone;
    diff.pause = pause_walk;
    err = cof_walk_held(store, &diff);
    return err == 0 ? tell(ranges) : err;
}

static int borrow(struct coffer_store *store, const char *name,
                  const struct coffer_key_provider *provider, struct coffer_volume **ret_volume,
                  bool *ret_own, struct coffer_fault *fault)
{
    struct cof_catalogue_item *item;
    int err = cof_catalogue_find(store, name, provider, &item, fault);
    if (err != 0) {
        return err;
    }
    *ret_own = item->open == NULL;
    *ret_volume = item->open;
    return item->open != NULL ? 0
                              : cof_volume_open_item(store, item, COFFER_VOLUME_READ_ONLY, provider,
                                                     ret_volume, fault);
}

static int diff_locked(struct ranges *ranges, const struct coffer_snapshot_diff_opts *opts,
                       struct coffer_fault *fault)
{
    struct coffer_store *store = ranges->store;
    struct coffer_volume *from, *to;
    bool from_own, to_own;
    int err = store->error != 0
                  ? COFFER_E_FAILED
                  : borrow(store, opts->from, opts->provider, &from, &from_own, fault);
    if (err != 0) {
        return err;
    }
    err = borrow(store, opts->to, opts->provider, &to, &to_own, fault);
    if (err == 0) {
        err = walk(ranges, from, to);
        if (to_own) {
            cof_volume_drop(to);
        }
    }
    if (from_own) {
        cof_volume_drop(from);
    }
    return err;
}

int coffer_snapshot_diff(struct coffer_store *store, const struct coffer_snapshot_diff_opts *opts,
                         int (*visit_range)(void *ctx, uint64_t offset_bytes, uint64_t length_bytes,
                                            int data),
                         void *ctx, struct coffer_fault *fault)
{
    struct ranges ranges = {.store = store, .visit = visit_range, .ctx = ctx};
    int err;
    cof_fault_clear(fault);
    if (opts == NULL || opts->size < sizeof *opts || cof_check_full_name(opts->from) != 0 ||
        cof_check_full_name(opts->to) != 0) {
        return cof_fault(fault, COFFER_E_INVALID, COFFER_STAGE_NONE,
                         "the names or the options are not valid");
    }
    if (strcmp(opts->from, opts->to) == 0) {
        return 0;
    }
    pthread_mutex_lock(&store->admin);
    pthread_mutex_lock(&store->lock);
    err = diff_locked(&ranges, opts, fault);
    pthread_mutex_unlock(&store->lock);
    pthread_mutex_unlock(&store->admin);
    if (err != 0 && err != ranges.stop && fault != NULL && fault->error == 0) {
        cof_fault(fault, err, COFFER_STAGE_MAP, "the trees could not be compared: %s",
                  coffer_error_sentence(err));
    }
    return err;
}
