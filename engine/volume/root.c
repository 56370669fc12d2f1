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
 * The anchor outside the store is told of the root before and after (anchor.c).
 */
#include "volume/store.h"

#define EPOCH_MAX (UINT64_C(1) << 62)

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

/* The first of the coming root's epochs: into the pair of slots that does not hold the present one,
 * and above all that the anchor knows. */
static uint64_t coming_epoch(const struct coffer_store *store)
{
    uint64_t epoch = store->root.epoch + 1u, passed = store->anchor_epoch + 1u;
    return epoch > passed ? epoch : epoch + (passed - epoch) / 2u * 2u + 2u;
}

static int write_both(struct coffer_store *store, struct cof_root *root)
{
    int err = write_pair(store, root);
    if (err == 0) {
        root->epoch++;
        err = write_pair(store, root);
    }
    return err;
}

int cof_store_write_roots(struct coffer_store *store, struct cof_root *root,
                          struct coffer_fault *fault)
{
    int err;
    root->epoch = coming_epoch(store);
    err = root->epoch < EPOCH_MAX ? 0 : COFFER_E_LIMIT; /* only a forged root gets there */
    if (err == 0) {
        err = cof_anchor_before_root(store, root->epoch, fault);
    }
    if (err != 0) {
        return err;
    }
    err = write_both(store, root);
    if (err != 0) {
        return cof_fault(fault, err, COFFER_STAGE_ROOT, "the root could not be written: %s",
                         coffer_error_sentence(err));
    }
    store->root = *root;
    store->lane.epoch = root->epoch - 1u; /* the first of the two: either may be lost */
    store->meta.epoch = root->epoch - 1u;
    return cof_anchor_after_root(store, fault);
}
