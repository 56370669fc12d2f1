/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/reencrypt_move.c - one extent sealed anew: read, opened and sealed page by page, and given
 * to the cleaner as a move of all its pieces, with another uuid and data key.
 *
 * Which page is in a slot is found from its tag (crypto/binding.c): the lists that said so may be
 * gone, and no tree is asked. A page that does not open stops its extent: it stays as it is, under
 * its key, which therefore stays, too.
 *
 * A uuid is drawn for each attempt, so that a subkey seals a slot once whatever fails. The lock is
 * let go while pages are read and sealed; then the descriptor is looked at again, and once more
 * when the move is published.
 */
#include "volume/reencrypt.h"

#include "base/testhook.h"

#include <string.h>

#define ROOT_PAGES 4096u   /* sealed anew, before they are made durable and their old places free */
#define SEGMENTS_WANTED 2u /* free for a move of one extent */
#define RELIEFS_MAX 10000u

/* ---- room ---- */

/* Everything that was moved is published. */
static int settle_moves(struct coffer_store *store)
{
    int err = cof_cleaner_cut(&store->cleaner);
    while (err >= 0 && store->cleaner.flying > 0) {
        err = cof_cleaner_poll(&store->cleaner, true);
    }
    if (err < 0) {
        cof_store_fail(store, err);
    }
    return err < 0 ? err : 0;
}

int cof_reencrypt_flush(struct cof_reencrypt *run)
{
    struct coffer_store *store = run->store;
    int err;
    cof_cleaning_wait(store);
    err = store->error != 0 ? COFFER_E_FAILED : settle_moves(store);
    if (err == 0 && run->pages_moved > 0) {
        err = cof_checkpoint_ready(store, 0, 0);
        if (err == 0) {
            err = cof_checkpoint_light(store);
        }
        run->pages_moved = err == 0 ? 0 : run->pages_moved;
    }
    return err;
}

static bool has_room(struct coffer_store *store)
{
    const struct cof_cleaner_ops *ops = store->cleaner.ops;
    return ops->segments_left(store->cleaner.ctx) >= SEGMENTS_WANTED + COF_CLEANER_SEGMENTS &&
           ops->may_change(store->cleaner.ctx, 1);
}

static int make_room(struct cof_reencrypt *run)
{
    struct coffer_store *store = run->store;
    int err = run->pages_moved >= ROOT_PAGES || !has_room(store) ? cof_reencrypt_flush(run) : 0;
    for (unsigned i = 0; err == 0 && !has_room(store) && i < RELIEFS_MAX; i++) {
        err = cof_store_relieve(store, true);
    }
    return err == 0 && !has_room(store) ? COFFER_E_NO_SPACE : err;
}

/* ---- sealing ---- */

struct subkeys {
    struct cof_subkey_open *from;
    struct cof_subkey_seal *to;
    struct cof_binding *binding;
};

static void subkeys_done(struct subkeys *keys)
{
    cof_binding_free(keys->binding);
    cof_subkey_open_free(keys->from);
    cof_subkey_seal_free(keys->to);
}

static int derive(const struct cof_turn *turn, const struct cof_extent_copy *copy,
                  const uint8_t uuid[16], struct subkeys *keys)
{
    uint8_t info[COF_INFO_BYTES];
    int err;
    memset(keys, 0, sizeof *keys);
    cof_extent_info(turn->lineage_uuid, copy->extent, copy->uuid, info);
    err = cof_subkey_open_new(NULL, turn->leaving, info, &keys->from);
    if (err == 0) {
        err = cof_binding_new(keys->from, COF_PAGE_BYTES, &keys->binding);
    }
    if (err == 0) {
        cof_extent_info(turn->lineage_uuid, copy->extent, uuid, info);
        err = cof_subkey_seal_new(turn->successor, info, &keys->to);
    }
    return err;
}

/* The pages of the copy, in place. */
static int seal_all(struct cof_reencrypt *run, const struct cof_turn *turn, const uint8_t uuid[16],
                    unsigned *ret_slot)
{
    struct cof_extent_copy *copy = run->copy;
    struct subkeys keys;
    int err = derive(turn, copy, uuid, &keys);
    for (unsigned i = 0; err == 0 && i < copy->pages; i++) {
        uint8_t *page = copy->buffer + (copy->at[i] - copy->buffer);
        *ret_slot = copy->slots[i];
        err = cof_reprotect_page(run->aead, keys.binding, keys.from, keys.to,
                                 copy->metadata ? COF_PAGE_NODE : COF_PAGE_DATA, copy->slots[i],
                                 page, copy->entries[i]);
    }
    subkeys_done(&keys);
    return err;
}

/* ---- moving ---- */

static int put_all(struct cof_cleaner *cleaner, const struct cof_extent_copy *copy,
                   struct cof_move *move)
{
    int err = 0;
    for (unsigned i = 0; err == 0 && i < copy->pages; i++) {
        while ((err = cof_move_put(cleaner, move, copy->slots[i], copy->at[i], copy->entries[i])) ==
               COFFER_E_AGAIN) {
            err = cof_cleaner_poll(cleaner, true);
            if (err < 0) {
                break;
            }
        }
    }
    return err;
}

/* Into a head, to be published once it is on the device. An extent that is gone or another by now
 * is left alone. */
static int move_extent(struct cof_reencrypt *run, const struct cof_turn *turn,
                       const uint8_t uuid[16])
{
    struct coffer_store *store = run->store;
    struct cof_cleaner *cleaner = &store->cleaner;
    const struct cof_extent_copy *copy = run->copy;
    struct cof_move *move;
    struct cof_desc *desc;
    int err = cof_place_find(&store->place, copy->lineage, copy->extent, &desc);
    if (err != 0 || memcmp(desc->uuid, copy->uuid, 16) != 0) {
        return err == COFFER_E_NOT_FOUND ? 0 : err;
    }
    move = cof_move_begin(cleaner, desc, 0, desc->piece_count - 1u,
                          cof_cleaner_generation(cleaner, desc->pieces[0].segment));
    if (move == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    err = put_all(cleaner, copy, move);
    if (err != 0) {
        cof_move_abandon(cleaner, move);
        if (cleaner->error != 0) {
            cof_store_fail(store, cleaner->error);
        }
        return err;
    }
    cof_move_reseal(move, uuid, turn->successor_id);
    cof_move_commit(cleaner, move);
    run->pages_moved += copy->pages;
    run->round_pages += copy->pages;
    run->round_done++;
    return 0;
}

/* It stays as it is. Only the first is told in full. */
static void note_damage(struct cof_reencrypt *run, struct cof_turn *turn, int err, unsigned slot)
{
    if (run->damaged++ == 0) {
        cof_fault(&run->damage, err,
                  err == COFFER_E_TAMPER ? COFFER_STAGE_TAG
                  : err == COFFER_E_IO   ? COFFER_STAGE_IO
                                         : COFFER_STAGE_CHECKSUM,
                  "extent %llu slot %u keeps its data key: %s",
                  (unsigned long long)run->copy->extent, slot, coffer_error_sentence(err));
        cof_fault_at(&run->damage, COFFER_NOWHERE, run->copy->segment, COFFER_NOWHERE);
    }
    turn->damaged = true;
}

static bool is_damage(int err)
{
    return err == COFFER_E_TAMPER || err == COFFER_E_CORRUPT || err == COFFER_E_IO;
}

/* A second's share of what may be moved in one. */
static void pay(struct cof_reencrypt *run, uint64_t pages)
{
    uint64_t now = cof_monotonic_ns(&run->store->env);
    if (run->rate != 0) {
        run->due_ns = run->due_ns > now ? run->due_ns : now;
        run->due_ns += pages * COF_PAGE_BYTES * UINT64_C(1000000000) / run->rate;
    }
}

int cof_reencrypt_extent(struct cof_reencrypt *run)
{
    struct coffer_store *store = run->store;
    struct cof_turn *turn;
    struct cof_desc *desc;
    uint8_t uuid[16];
    unsigned slot = 0;
    int err = cof_cleaner_ready(&store->cleaner);
    if (err == 0) {
        err = make_room(run);
    }
    if (err == 0) {
        err = cof_turns_next(&run->turns, store, &run->lineage, &run->extent, &desc, &turn);
    }
    if (err != 0) {
        return err;
    }
    run->copy->lineage = run->lineage;
    cof_extent_read_start(store, &run->reader, desc, run->copy);
    pthread_mutex_unlock(&store->lock);
    err = cof_extent_read_finish(store, &run->reader, run->copy);
    if (err == 0) {
        err = cof_extent_draw_uuid(store, uuid);
    }
    if (err == 0) {
        err = seal_all(run, turn, uuid, &slot);
    }
    pthread_mutex_lock(&store->lock);
    if (err == 0 && COF_BROKEN(SAME_UUID)) {
        memcpy(uuid, run->copy->uuid, sizeof uuid);
    }
    cof_cleaning_wait(store);
    if (store->error != 0) {
        err = COFFER_E_FAILED;
    } else if (is_damage(err)) {
        note_damage(run, turn, err, slot);
        err = 0;
    } else if (err == 0) {
        err = move_extent(run, turn, uuid);
    }
    pay(run, run->copy->pages);
    cof_extent_read_end(store, run->copy);
    if (err == 0) {
        run->extent++;
    }
    return err == COFFER_E_LIMIT ? COFFER_E_AGAIN : err;
}
