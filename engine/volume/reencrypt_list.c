/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/reencrypt_list.c - a round of a deep re-encrypt: what has left is destroyed, and
 * successors of the next keys are listed, by every member of the family, with one root.
 *
 * Invariants
 *  1. No extent is sealed under a successor before the root that has it in every table that has its
 *     predecessor is durable.
 *  2. A key is dropped only when no extent of the placement table that the same root writes names
 *     it: none can come, as its ranges are closed.
 *  3. Nothing is changed before everything that can be refused was asked: keys, memory, room.
 * admin and lock are held; lock is let go while the key service is asked.
 */
#include "volume/reencrypt.h"

#include "base/testhook.h"

#include <string.h>

#define ROUND_KEYS_MAX 1024u

#ifdef COF_TEST_HOOKS
unsigned cof_test_reencrypt_keys = 0; /* in a round */
#endif

/* ---- the next keys ---- */

static bool is_damaged(const struct cof_reencrypt *run, const struct cof_turn *turn)
{
    for (unsigned i = 0; i < run->damaged_count; i++) {
        const struct cof_damaged_key *key = &run->damaged_keys[i];
        if (key->lineage == turn->lineage &&
            memcmp(key->commitment, turn->commitment, sizeof turn->commitment) == 0) {
            return true;
        }
    }
    return false;
}

static int note_damaged(struct cof_reencrypt *run, const struct cof_turn *turn)
{
    struct cof_env *env = &run->store->env;
    if (run->damaged_count == run->damaged_capacity) {
        unsigned capacity = run->damaged_capacity == 0 ? 16u : run->damaged_capacity * 2u;
        struct cof_damaged_key *keys = cof_calloc(env, capacity, sizeof *keys);
        if (keys == NULL) {
            return COFFER_E_NO_MEMORY;
        }
        if (run->damaged_count > 0) {
            memcpy(keys, run->damaged_keys, run->damaged_count * sizeof *keys);
        }
        cof_free(env, run->damaged_keys);
        run->damaged_keys = keys;
        run->damaged_capacity = capacity;
    }
    memcpy(run->damaged_keys[run->damaged_count].commitment, turn->commitment,
           sizeof turn->commitment);
    run->damaged_keys[run->damaged_count++].lineage = turn->lineage;
    return 0;
}

/* The last round's keys are not needed any more, but for which of them had damage. */
static int forget_round(struct cof_reencrypt *run)
{
    int err = 0;
    for (unsigned i = 0; err == 0 && i < run->turns.count; i++) {
        err = run->turns.list[i]->damaged ? note_damaged(run, run->turns.list[i]) : 0;
    }
    cof_turns_done(&run->turns);
    run->lineage = 0;
    run->extent = 1;
    run->round_done = 0;
    run->round_pages = 0;
    return err;
}

/* The key itself, from a member that has it. */
static int open_leaving(struct cof_reencrypt *run, struct cof_turn *turn)
{
    for (unsigned i = 0; i < run->kin_count; i++) {
        struct coffer_volume *volume = run->kin[i].volume;
        for (unsigned k = 0; k < volume->ek_count; k++) {
            const struct cof_ek *ek = &volume->eks[k];
            if (memcmp(ek->entry.commitment, turn->commitment, sizeof turn->commitment) == 0) {
                return cof_keys_unwrap(volume, ek, &turn->leaving);
            }
        }
    }
    return COFFER_E_INTERNAL;
}

static uint32_t next_key_id(const struct cof_reencrypt *run)
{
    uint32_t id = 1;
    for (unsigned i = 0; i < run->kin_count; i++) {
        uint32_t next = run->kin[i].volume->record.next_key_id;
        id = next > id ? next : id;
    }
    return id;
}

/* What names a key that leaves. A round after which that is no less was the last. */
static void count_left(struct cof_reencrypt *run)
{
    run->left = 0;
    run->pages_left = 0;
    run->keys_left = 0;
    for (unsigned i = 0; i < run->turns.count; i++) {
        const struct cof_turn *turn = run->turns.list[i];
        if (turn->turn == COF_EK_LEAVING && turn->extents > 0) {
            run->left += turn->extents;
            run->pages_left += turn->pages;
            run->keys_left++;
        }
    }
    run->done = run->left == 0;
    run->stuck = !run->done && run->walked && run->left >= run->listed;
}

/* Two slots of the arena each; most of them are others'. */
static unsigned round_keys_max(const struct coffer_store *store)
{
    size_t slots = cof_arena_slots_free(store->arena) / 8u;
#ifdef COF_TEST_HOOKS
    if (cof_test_reencrypt_keys != 0) {
        return cof_test_reencrypt_keys;
    }
#endif
    return slots == 0 ? 1u : slots < ROUND_KEYS_MAX ? (unsigned)slots : ROUND_KEYS_MAX;
}

static int choose(struct cof_reencrypt *run)
{
    struct coffer_store *store = run->store;
    unsigned most = round_keys_max(store);
    uint32_t id = next_key_id(run);
    int err = 0;
    run->round_keys = 0;
    for (unsigned i = 0; err == 0 && !run->stuck && i < run->turns.count; i++) {
        struct cof_turn *turn = run->turns.list[i];
        if (turn->turn != COF_EK_LEAVING || turn->extents == 0 || is_damaged(run, turn) ||
            run->round_keys >= most) {
            continue;
        }
        err = open_leaving(run, turn);
        if (err == 0) {
            err = cof_ek_draw(&store->env, store->arena, &turn->successor);
        }
        turn->successor_id = id++;
        run->round_keys++;
    }
    run->stuck = run->stuck || (!run->done && run->round_keys == 0);
    return err;
}

/* The member's entries for successors, wrapped under its volume key; and room for them. */
static int prepare(struct cof_reencrypt *run, struct cof_kin *kin)
{
    struct coffer_volume *volume = kin->volume;
    struct cof_env *env = &run->store->env;
    int err = 0;
    if (volume->record.key_uses + run->round_keys + 2u > COF_KEY_USES_MAX) {
        return cof_fault(run->fault, COFFER_E_LIMIT, COFFER_STAGE_KEY,
                         "the volume key of \"%.63s\" was used too often: re-key it",
                         volume->record.name);
    }
    kin->successors = cof_calloc(env, run->round_keys + 1u, sizeof *kin->successors);
    if (kin->successors == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    for (unsigned i = 0; err == 0 && i < volume->ek_count; i++) {
        const struct cof_ek_entry *entry = &volume->eks[i].entry;
        struct cof_turn *turn = cof_turns_find(&run->turns, kin->item, entry);
        if (turn != NULL && turn->successor != NULL && !COF_BROKEN(UNLISTED)) {
            err = cof_keys_succeed(volume, entry, turn->successor, turn->successor_id,
                                   &kin->successors[kin->successor_count]);
            kin->successor_count += err == 0 ? 1u : 0u;
        }
    }
    if (err == 0) {
        err = cof_keys_reserve(volume, kin->successor_count);
    }
    if (err == 0 && kin->item->entry.verbatim) { /* its record, and so its tags, are sealed here */
        const struct cof_tag_choice keep = {.inherit = kin->item->entry.kind != COF_KIND_HIDDEN};
        err = cof_taglist_begin(volume, volume, volume, &keep, run->fault);
    }
    return err;
}

static uint64_t blocks_needed(const struct cof_reencrypt *run)
{
    uint64_t blocks = 24u * run->kin_count;
    for (unsigned i = 0; i < run->kin_count; i++) {
        const struct coffer_volume *volume = run->kin[i].volume;
        blocks += (volume->ek_count + run->round_keys) / 16u + volume->tag_part.blocks;
    }
    return blocks;
}

/* ---- the change ---- */

/* From here on nothing is refused: in memory, and then in one root. */
static void change(struct cof_reencrypt *run, struct cof_kin *kin, bool begin)
{
    struct coffer_volume *volume = kin->volume;
    for (unsigned i = volume->ek_count; i > 0; i--) {
        struct cof_ek *ek = &volume->eks[i - 1u];
        const struct cof_turn *turn = cof_turns_find(&run->turns, kin->item, &ek->entry);
        if (turn == NULL || (ek->entry.flags & COF_EK_FLAG_SPARE) != 0) {
            continue;
        }
        if (turn->turn != 0 && turn->extents == 0) {
            if (!COF_BROKEN(KEEP_LEAVING)) {
                cof_keys_drop(volume, i - 1u);
            }
        } else if (turn->turn != 0) {
            ek->entry.turn = turn->turn;
            ek->entry.extents = turn->extents;
        } else if (begin) {
            ek->entry.turn = 0;
        }
    }
    for (unsigned i = 0; i < kin->successor_count; i++) {
        cof_keys_append(volume, &kin->successors[i]);
    }
    volume->eks_dirty = true;
    if (begin) {
        kin->item->entry.reencrypt = run->extents + 1u;
    }
}

/* A volume that is open for writing has its record written with the others. */
static int write_kin(struct cof_birth *birth, const struct cof_raw_writer *writer)
{
    struct cof_reencrypt *run = birth->ctx;
    int err = 0;
    run->store->root.incompat |= COF_INCOMPAT_RESEALED;
    for (unsigned i = 0; err == 0 && i < run->kin_count; i++) {
        struct coffer_volume *volume = run->kin[i].volume;
        if (!volume->read_only) {
            continue;
        }
        volume->record.key_uses += run->kin[i].successor_count + 2u;
        err = cof_keys_write(volume, writer);
        if (err == 0) {
            err = cof_taglist_flush(volume, writer);
        }
        if (err == 0) {
            err = cof_record_seal(volume->vk, volume->vk_uuid, run->kin[i].item, &volume->record);
        }
    }
    return err;
}

static int make_durable(struct cof_reencrypt *run, bool begin)
{
    struct cof_birth birth = {.write = write_kin, .ctx = run, .blocks = blocks_needed(run)};
    uint32_t id = next_key_id(run) + run->round_keys;
    int err = cof_checkpoint_ready(run->store, birth.blocks, COF_SPARE_ADMIN);
    if (err == 0) {
        for (unsigned i = 0; i < run->kin_count; i++) {
            change(run, &run->kin[i], begin);
            run->kin[i].volume->record.next_key_id = id;
        }
        err = cof_give_birth(run->store, &birth);
    }
    return err == 0 ? 0
                    : cof_fault(run->fault, err, COFFER_STAGE_ROOT,
                                "the data keys can't be listed: %s", coffer_error_sentence(err));
}

static int work_out(struct cof_reencrypt *run, bool begin)
{
    int err = 0;
    for (unsigned i = 0; err == 0 && i < run->kin_count; i++) {
        err = cof_turns_add(&run->turns, run->kin[i].volume, begin);
    }
    if (err == 0) {
        err = cof_turns_count(&run->turns, run->store);
    }
    if (err == 0) {
        count_left(run);
        err = choose(run);
    }
    for (unsigned i = 0; err == 0 && i < run->kin_count; i++) {
        err = prepare(run, &run->kin[i]);
    }
    if (err == 0 && begin) {
        run->extents = run->left;
    }
    return err == 0 ? make_durable(run, begin) : err;
}

int cof_reencrypt_round(struct cof_reencrypt *run, bool begin)
{
    int left, err = forget_round(run);
    if (err == 0) {
        err = cof_kin_meet(run);
    }
    if (err == 0) {
        err = work_out(run, begin);
    }
    left = cof_kin_part(run);
    err = err != 0 ? err : left;
    if (err != 0) {
        cof_turns_done(&run->turns); /* nothing is sealed under what may not be listed */
    } else {
        run->listed = run->left;
        run->walked = false;
        cof_openers_idle(run->store); /* subkeys of what has left */
    }
    return err;
}
