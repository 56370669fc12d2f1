/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/anchor.c - what a place outside the store knows of it, and holding the store against it.
 *
 * Roots are keyless: who has the disk and the format's description can give an old one any epoch
 * and a right checksum. So the anchor does not believe in higher epochs. It is put twice a root:
 *
 *   before the flip    epoch, digest of the present root; next_epoch, next_digest of the coming one
 *   after it           epoch, digest of that one; next_epoch 0
 *
 * Invariants
 *  1. A store is opened only in a state that the anchor knows: the present root's, or, where a
 *     crash came between the two puts, the coming one's. Nothing else is taken for newer.
 *  2. The digest is over what volumes and snapshots are: entries, key rings and sealed records, in
 *     order of their numbers, without the range of the log's tail, which replay widens. A record
 *     binds its volume's tree, size and data keys, so all contents as of the root. Whatever changes
 *     one of these in memory sets the entry dirty, or puts it back as it was.
 *  3. A failed put fails the store. One before the flip left the old root in place.
 *
 * Costs a SHA-256 over about 1.5 KiB a volume or snapshot for each root. Under the store's lock.
 */
#include "volume/store.h"

#include "format/endian.h"

#include "base/testhook.h"

#include <string.h>

/* ---- the digest ---- */

static int add_annex(struct cof_sha256_stream *stream, const struct cof_catalogue_item *item)
{
    uint8_t bytes[COF_WRITER_BYTES];
    int err = 0;
    for (uint32_t i = 0; err == 0 && i < item->entry.lineages; i++) {
        cof_le32_put(bytes, item->lineages[i]);
        err = cof_sha256_add(stream, bytes, 4);
    }
    for (uint32_t i = 0; err == 0 && i < item->entry.writers; i++) {
        cof_writer_encode(&item->writers[i], bytes);
        err = cof_sha256_add(stream, bytes, sizeof bytes);
    }
    if (err == 0 && item->entry.clear_name_bytes > 0) {
        err = cof_sha256_add(stream, item->clear_name, item->entry.clear_name_bytes);
    }
    return err == 0 && item->entry.grant_bytes > 0
               ? cof_sha256_add(stream, item->grant_id, item->entry.grant_bytes)
               : err;
}

/* Without the log's tail, and without what follows from ring and record: an operation that failed
 * may leave that spelled otherwise in memory than on disk. */
static int add_item(struct cof_sha256_stream *stream, const struct cof_catalogue_item *item)
{
    struct cof_volume_entry entry = item->entry;
    uint8_t bytes[COF_VOLUME_ENTRY_BYTES];
    int err;
    entry.tail_first = 0;
    entry.tail_last = 0;
    entry.ring_slots = 0;
    entry.data_keys = 0;
    memcpy(entry.context_uuid, cof_context_uuid(item), sizeof entry.context_uuid);
    cof_volume_entry_encode(&entry, bytes);
    err = cof_sha256_add(stream, bytes, sizeof bytes);
    if (err == 0 && entry.ring_bytes > 0) {
        err = cof_sha256_add(stream, item->ring, entry.ring_bytes);
    }
    if (err == 0) {
        err = cof_sha256_add(stream, item->record, COF_RECORD_BYTES);
    }
    return err == 0 ? add_annex(stream, item) : err;
}

/* The list is in ascending order of numbers (store.h). */
static int digest_store(struct coffer_store *store, uint8_t digest[32])
{
    struct cof_sha256_stream *stream;
    uint32_t last = 0;
    int end, err = cof_sha256_begin(&store->env, &stream);
    if (err != 0) {
        return err;
    }
    for (const struct cof_catalogue_item *item = store->items; err == 0 && item != NULL;
         item = item->next) {
        err = item->entry.number > last ? add_item(stream, item) : COFFER_E_INTERNAL;
        last = item->entry.number;
    }
    end = cof_sha256_end(stream, digest);
    return err != 0 ? err : end;
}

/* ---- at open ---- */

static bool is_epoch(const struct coffer_store *store, uint64_t first)
{
    return store->root.epoch == first || store->root.epoch == first + 1u;
}

/* Whether the store is in a state that the anchor knows, and which. */
static bool knows(const struct coffer_store *store, const struct coffer_anchor_state *state,
                  const uint8_t digest[32], uint64_t *ret_epoch)
{
    if (is_epoch(store, state->epoch) && memcmp(digest, state->root_digest, 32) == 0) {
        *ret_epoch = state->epoch;
        return true;
    }
    if (state->next_epoch != 0 && is_epoch(store, state->next_epoch) &&
        memcmp(digest, state->next_digest, 32) == 0) {
        *ret_epoch = state->next_epoch;
        return true;
    }
    return false;
}

static uint64_t newest_of(const struct coffer_anchor_state *state)
{
    return state->next_epoch > state->epoch ? state->next_epoch : state->epoch;
}

static int refuse(const struct coffer_store *store, const struct coffer_anchor_state *state,
                  struct coffer_fault *fault)
{
    unsigned long long is = store->root.epoch, known = newest_of(state);
    if (is_epoch(store, state->epoch) || is_epoch(store, newest_of(state))) {
        return cof_fault(fault, COFFER_E_ROLLBACK, COFFER_STAGE_ROOT,
                         "the store is at epoch %llu, which the anchor has seen with other "
                         "contents: it is a copy that went another way, or forged",
                         is);
    }
    if (store->root.epoch < newest_of(state)) {
        return cof_fault(fault, COFFER_E_ROLLBACK, COFFER_STAGE_ROOT,
                         "the store is at epoch %llu, the anchor has seen %llu: it was put back to "
                         "an older state",
                         is, known);
    }
    return cof_fault(fault, COFFER_E_ROLLBACK, COFFER_STAGE_ROOT,
                     "the store is at epoch %llu, the anchor knows only %llu: it was written "
                     "without the anchor, or it is an older state with a forged epoch",
                     is, known);
}

/* Noted in memory; the put before this open's first root makes it durable. */
static void accept_as_it_is(struct coffer_store *store)
{
    struct coffer_anchor_state *state = &store->anchor_state;
    cof_log(&store->env, COFFER_LOG_WARN,
            "a rollback was accepted: the store is at epoch %llu, the anchor knew %llu",
            (unsigned long long)store->root.epoch, (unsigned long long)newest_of(state));
    state->rollbacks_accepted++;
    state->rollback_ns = cof_wall_ns(&store->env);
    state->rollback_known_epoch = newest_of(state);
    state->rollback_taken_epoch = store->root.epoch;
}

int cof_anchor_check(struct coffer_store *store, bool accept, struct coffer_fault *fault)
{
    struct coffer_anchor_state *state = &store->anchor_state;
    struct coffer_uuid uuid;
    uint8_t digest[32];
    uint64_t epoch = store->root.epoch - 1u; /* where the anchor can't tell: as after a flip */
    int err;
    if (store->anchor.ops == NULL) {
        return 0;
    }
    memcpy(uuid.bytes, store->root.store_uuid, sizeof uuid.bytes);
    err = digest_store(store, digest);
    if (err != 0) {
        return err;
    }
    err = store->anchor.ops->get(store->anchor.ctx, &uuid, state);
    if (err != 0 && err != COFFER_E_NOT_FOUND) {
        return cof_fault(fault, err, COFFER_STAGE_ROOT, "the anchor can't be read: %s",
                         coffer_error_sentence(err));
    }
    if (err == COFFER_E_NOT_FOUND) {
        memset(state, 0, sizeof *state);
        state->store_uuid = uuid;
    } else if (!knows(store, state, digest, &epoch) &&
               !(COF_BROKEN(TRUST_EPOCH) && store->root.epoch > newest_of(state) + 1u)) {
        if (!accept) {
            return refuse(store, state, fault);
        }
        accept_as_it_is(store);
    }
    store->anchor_epoch = newest_of(state);
    state->epoch = epoch;
    memcpy(state->root_digest, digest, sizeof digest);
    state->next_epoch = 0;
    return 0;
}

/* ---- at each root ---- */

static int put(struct coffer_store *store, struct coffer_fault *fault)
{
    int err = store->anchor.ops->put(store->anchor.ctx, &store->anchor_state);
    return err == 0 ? 0
                    : cof_fault(fault, err, COFFER_STAGE_ROOT, "the anchor can't be written: %s",
                                coffer_error_sentence(err));
}

int cof_anchor_before_root(struct coffer_store *store, uint64_t epoch, struct coffer_fault *fault)
{
    struct coffer_anchor_state *state = &store->anchor_state;
    int err;
    if (store->anchor.ops == NULL) {
        return 0;
    }
    err = digest_store(store, state->next_digest);
    if (err != 0) {
        return cof_fault(fault, err, COFFER_STAGE_ROOT, "no digest for the anchor: %s",
                         coffer_error_sentence(err));
    }
    state->next_epoch = epoch;
    return COF_BROKEN(TRUST_EPOCH) ? 0 : put(store, fault);
}

int cof_anchor_after_root(struct coffer_store *store, struct coffer_fault *fault)
{
    struct coffer_anchor_state *state = &store->anchor_state;
    if (store->anchor.ops == NULL) {
        return 0;
    }
    state->epoch = state->next_epoch;
    memcpy(state->root_digest, state->next_digest, sizeof state->root_digest);
    state->next_epoch = 0;
    memset(state->next_digest, 0, sizeof state->next_digest);
    store->anchor_epoch = 0; /* epochs only grow from here */
    return put(store, fault);
}
