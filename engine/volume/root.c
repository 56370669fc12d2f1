/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/root.c - making a root durable, and the anchor outside the store.
 *
 * A root is written twice, as epochs e and e + 1, into the two pairs of slots, each pair followed
 * by a sync. So the old root stays whole until the new one is durable, and after the second sync
 * all four slots lead to the same state: losing both copies of the newest loses nothing. Only a
 * crash between the two leaves a single pair that is new; then damage of that pair would bring
 * back an older root, which the epoch in the log's batch headers gives away (recover.c).
 */
#include "volume/store.h"

#include <string.h>

static int write_pair(struct coffer_store *store, struct cof_root *root)
{
    uint8_t block[4096];
    unsigned first = (unsigned)(root->epoch % 2u);
    int err = 0;
    cof_root_encode(root, block);
    for (unsigned slot = first; err == 0 && slot < COFFER_ROOT_SLOTS; slot += 2u) {
        err = cof_sync_io_root_cas(&store->io, slot, store->slot_epochs[slot], block);
        if (err == 0) {
            store->slot_epochs[slot] = root->epoch;
        }
    }
    return err == 0 ? cof_sync_io_control(&store->io, COFFER_SEGDEV_SYNC, 0) : err;
}

int cof_store_write_roots(struct coffer_store *store, struct cof_root *root,
                          struct coffer_fault *fault)
{
    int err;
    root->epoch = store->root.epoch + 1u;
    while (root->epoch <= store->anchor_epoch + 1u) {
        root->epoch += 2u; /* a rollback was accepted: go on above it, in the same pair of slots */
    }
    err = write_pair(store, root);
    if (err == 0) {
        root->epoch++;
        err = write_pair(store, root);
    }
    if (err != 0) {
        return cof_fault(fault, err, COFFER_STAGE_ROOT, "the root could not be written: %s",
                         coffer_error_sentence(err));
    }
    store->root = *root;
    store->lane.epoch = root->epoch - 1u; /* the first of the two: either may be lost */
    store->meta.epoch = root->epoch - 1u;
    return cof_store_anchor_put(store);
}

static int digest_records(struct coffer_store *store, uint8_t digest[32])
{
    struct cof_sha256_stream *stream;
    int end, err = cof_sha256_begin(&store->env, &stream);
    if (err != 0) {
        return err;
    }
    for (uint32_t number = 1; err == 0 && number <= COF_VOLUME_NUMBER_MAX; number++) {
        const struct cof_catalogue_item *item = store->items;
        while (item != NULL && item->entry.number != number) {
            item = item->next;
        }
        if (item != NULL) {
            err = cof_sha256_add(stream, item->record, COF_RECORD_BYTES);
        }
    }
    end = cof_sha256_end(stream, digest);
    return err != 0 ? err : end;
}

int cof_store_anchor_put(struct coffer_store *store)
{
    struct coffer_anchor_state state;
    int err;
    if (store->anchor.ops == NULL) {
        return 0;
    }
    store->anchor_epoch = 0;
    memset(&state, 0, sizeof state);
    memcpy(state.store_uuid.bytes, store->root.store_uuid, 16);
    state.epoch = store->root.epoch - 1u;
    err = digest_records(store, state.root_digest);
    return err == 0 ? store->anchor.ops->put(store->anchor.ctx, &state) : err;
}

int cof_store_anchor_check(struct coffer_store *store, bool accept, struct coffer_fault *fault)
{
    struct coffer_anchor_state state;
    struct coffer_uuid uuid;
    uint8_t digest[32];
    int err;
    if (store->anchor.ops == NULL) {
        return 0;
    }
    memcpy(uuid.bytes, store->root.store_uuid, 16);
    err = store->anchor.ops->get(store->anchor.ctx, &uuid, &state);
    if (err == COFFER_E_NOT_FOUND) {
        return 0;
    }
    if (err != 0) {
        return cof_fault(fault, err, COFFER_STAGE_ROOT, "the anchor can't be read");
    }
    store->anchor_epoch = state.epoch;
    if (store->root.epoch < state.epoch && !accept) {
        return cof_fault(fault, COFFER_E_ROLLBACK, COFFER_STAGE_ROOT,
                         "the store is at epoch %llu, the anchor has seen %llu: it was put back to "
                         "an older state",
                         (unsigned long long)store->root.epoch, (unsigned long long)state.epoch);
    }
    if (store->root.epoch - state.epoch > 1u || accept) {
        return 0; /* newer than what the anchor saw last */
    }
    err = digest_records(store, digest);
    if (err == 0 && memcmp(digest, state.root_digest, sizeof digest) != 0) {
        return cof_fault(fault, COFFER_E_ROLLBACK, COFFER_STAGE_ROOT,
                         "the store has the epoch that the anchor has seen, but other contents: it "
                         "is a copy that went another way");
    }
    return err;
}
