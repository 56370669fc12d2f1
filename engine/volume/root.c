/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/root.c - making a root durable.
 *
 * A root is written twice, as epochs e and e + 1, into the two pairs of slots, each pair followed
 * by a sync. So the old root stays whole until the new one is durable, and after the second sync
 * all four slots lead to the same state: losing both copies of the newest loses nothing. Only a
 * crash between the two leaves a single pair that is new; then damage of that pair would bring
 * back an older root, which the epoch in the log's batch headers gives away (recover.c).
 *
 *   NONE --begin--> PAIR --both slots--> SYNC --first--> PAIR --> SYNC --second--> NONE
 *
 * The anchor outside the store is told of the root before and after (anchor.c).
 *
 * On a channel of its own, in steps that need not wait. Under the store's lock, which may be let go
 * between steps: what becomes of the store meanwhile is not the root's.
 */
#include "volume/store.h"

#include <string.h>

#define EPOCH_MAX (UINT64_C(1) << 62)
#define POLLS_MAX 1000u

int cof_roots_init(struct coffer_store *store)
{
    struct cof_root_writer *writer = &store->roots;
    int err;
    writer->block = cof_alloc_aligned(&store->env, COF_BLOCK_BYTES);
    if (writer->block == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    err = store->dev->ops->channel_open(store->dev, COF_ROOT_COPIES, &writer->channel);
    if (err != 0) {
        writer->channel = NULL;
    }
    return err;
}

/* Take what has come; with wait at least one. A request is the device's until it has returned it,
 * so a poll that fails is tried again, and a channel that keeps a request is given up. */
static int collect(struct coffer_store *store, bool wait)
{
    struct cof_root_writer *writer = &store->roots;
    int got = 0;
    for (unsigned i = 0; i < POLLS_MAX; i++) {
        struct coffer_segdev_request *list = NULL;
        got = store->dev->ops->poll(writer->channel, wait ? 1u : 0u, &list);
        for (; got > 0 && list != NULL; list = list->next) {
            writer->flying--;
            if (list->result != 0) {
                writer->error = list->result;
            } else if (list->op == COFFER_SEGDEV_ROOT_CAS) {
                store->slot_epochs[list->segment] = writer->root.epoch;
            }
        }
        if (got > 0 || (got == 0 && !wait)) {
            return got;
        }
    }
    writer->broken = true;
    return got < 0 ? got : COFFER_E_IO;
}

void cof_roots_done(struct coffer_store *store)
{
    struct cof_root_writer *writer = &store->roots;
    while (writer->flying > 0 && !writer->broken) {
        (void)collect(store, true);
    }
    if (writer->channel != NULL) {
        store->dev->ops->channel_close(writer->channel);
        writer->channel = NULL;
    }
    cof_free_aligned(&store->env, writer->block);
    writer->block = NULL;
}

static int submit(struct coffer_store *store, enum coffer_segdev_op op, unsigned slot)
{
    struct cof_root_writer *writer = &store->roots;
    struct coffer_segdev_request *request = &writer->requests[writer->flying];
    int err;
    memset(request, 0, sizeof *request);
    request->op = op;
    request->segment = slot;
    request->buffer_index = -1;
    if (op == COFFER_SEGDEV_ROOT_CAS) {
        request->expect_epoch = store->slot_epochs[slot];
        request->iov = &writer->iov;
        request->iov_count = 1;
    }
    err = store->dev->ops->submit(writer->channel, request);
    writer->flying += err == 0 ? 1u : 0u;
    return err;
}

/* Both slots of the pair that the epoch is for. */
static int write_pair(struct coffer_store *store)
{
    struct cof_root_writer *writer = &store->roots;
    unsigned first = (unsigned)(writer->root.epoch % COF_ROOT_COPIES);
    int err = 0;
    cof_root_encode(&writer->root, writer->block);
    writer->iov.iov_base = writer->block;
    writer->iov.iov_len = COF_BLOCK_BYTES;
    for (unsigned slot = first; err == 0 && slot < COFFER_ROOT_SLOTS; slot += COF_ROOT_COPIES) {
        err = submit(store, COFFER_SEGDEV_ROOT_CAS, slot);
    }
    return err;
}

/* The first of the coming root's epochs: into the pair of slots that does not hold the present one,
 * and above all that the anchor knows. */
static uint64_t coming_epoch(const struct coffer_store *store)
{
    uint64_t epoch = store->root.epoch + 1u, passed = store->anchor_epoch + 1u;
    return epoch > passed ? epoch : epoch + (passed - epoch) / 2u * 2u + 2u;
}

int cof_roots_begin(struct coffer_store *store, const struct cof_root *root)
{
    struct cof_root_writer *writer = &store->roots;
    writer->root = *root;
    writer->root.epoch = coming_epoch(store);
    if (writer->root.epoch >= EPOCH_MAX) {
        return COFFER_E_LIMIT; /* only a forged root gets there */
    }
    return cof_anchor_before_root(store, writer->root.epoch, NULL);
}

/* What is to be asked of the device next. Its syncs make the log durable, too. */
static int next_request(struct coffer_store *store)
{
    struct cof_root_writer *writer = &store->roots;
    if (writer->step == COF_ROOT_NONE || writer->step == COF_ROOT_FIRST_SYNC) {
        writer->root.epoch += writer->step == COF_ROOT_NONE ? 0u : 1u;
        writer->step++;
        return write_pair(store);
    }
    writer->step++;
    cof_lane_sync_begins(&store->lane);
    return submit(store, COFFER_SEGDEV_SYNC, 0);
}

/* Flags that were set meanwhile are of a root to come. */
static int durable(struct coffer_store *store)
{
    struct cof_root_writer *writer = &store->roots;
    uint64_t incompat = store->root.incompat, ro_compat = store->root.ro_compat;
    store->root = writer->root;
    store->root.incompat |= incompat;
    store->root.ro_compat |= ro_compat;
    store->lane.epoch = writer->root.epoch - 1u; /* the first of the two: either may be lost */
    store->meta.epoch = writer->root.epoch - 1u;
    writer->step = COF_ROOT_NONE;
    return cof_anchor_after_root(store, NULL);
}

int cof_roots_step(struct coffer_store *store, bool wait, bool *ret_durable)
{
    struct cof_root_writer *writer = &store->roots;
    int err = 0;
    *ret_durable = false;
    if (writer->flying > 0) {
        int got = collect(store, wait);
        if (got < 0 || writer->error != 0) {
            return got < 0 ? got : writer->error;
        }
        if (writer->flying > 0) {
            return got > 0;
        }
    }
    if (writer->step == COF_ROOT_FIRST_SYNC || writer->step == COF_ROOT_SECOND_SYNC) {
        cof_lane_synced(&store->lane);
    }
    *ret_durable = writer->step == COF_ROOT_SECOND_SYNC;
    err = *ret_durable ? durable(store) : next_request(store);
    return err != 0 ? err : 1;
}

int cof_roots_fd(const struct coffer_store *store)
{
    return store->dev->ops->channel_fd(store->roots.channel);
}
