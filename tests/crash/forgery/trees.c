/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/forgery/trees.c - edits of the keyless trees and of the root slots.
 */
#include "crash/forgery/forgery.h"

#include "common/harness.h"
#include "format/catalogue_format.h"

#include <string.h>

/* One extent's descriptor takes the place (pieces, uuid or all) of another's. */
void graft_descriptor(uint64_t number)
{
    struct attack attack;
    struct forge_descriptor to, from;
    uint8_t bytes[COF_DESC_BYTES_MAX];
    uint64_t a = 1 + prng_below(&forgery.prng, (uint32_t)forgery.rich.map.root.next_extent);
    uint64_t b = 1 + prng_below(&forgery.prng, (uint32_t)forgery.rich.map.root.next_extent);
    attack_begin(&attack, "graft_descriptor", number);
    if (!forge_find_descriptor(forgery.rich.image, &forgery.rich.map, a, &to) ||
        !forge_find_descriptor(forgery.rich.image, &forgery.rich.map, b, &from)) {
        sim_image_free(attack.image);
        return;
    }
    forge_read(forgery.rich.image, from.segment, from.block, from.offset, bytes, from.length);
    if (number % 3 == 0) {
        /* the uuid alone */
        forge_write(attack.image, to.segment, to.block, to.offset + 8, bytes + 8, 16);
    } else if (number % 3 == 1 && from.length == to.length) {
        /* everything but the number */
        forge_write(attack.image, to.segment, to.block, to.offset + 8, bytes + 8, to.length - 8u);
    } else {
        /* the first piece */
        forge_write(attack.image, to.segment, to.block, to.offset + 48, bytes + 48, 8);
    }
    forge_fix_all(attack.image, &forgery.rich.map);
    attack_conclude(&attack);
}

/* One copy of the newest root, the other, both, all four slots. */
void damage_roots(uint64_t number)
{
    static const uint8_t garbage[64] = {1, 2, 3};
    struct attack attack;
    unsigned newest = forgery.rich.map.newest_slot;
    attack_begin(&attack, "damage_roots", number);
    attack.forged = false;
    attack.must_accept = number < 2;
    attack.must_refuse = number == 3;
    for (unsigned slot = 0; slot < COFFER_ROOT_SLOTS; slot++) {
        bool copy = slot == newest || slot == (newest ^ 2u);
        if (number == 3 || (copy && (number == 2 || slot / 2 == number))) {
            sim_image_poke(attack.image, SIM_ROOT, slot, 64, garbage, sizeof garbage);
        }
    }
    attack_conclude(&attack);
}

struct catalogue {
    struct {
        uint64_t key;
        struct cof_tree_pointer record;
    } entries[64];
    unsigned count;
};

static void note_record(void *ctx, uint64_t key, const struct cof_tree_pointer *record)
{
    struct catalogue *catalogue = ctx;
    if (catalogue->count < 64) {
        catalogue->entries[catalogue->count].key = key;
        catalogue->entries[catalogue->count++].record = *record;
    }
}

/* The bit that says `encrypted` is turned over in a volume's entry. */
void turn_encrypted(uint64_t number)
{
    struct catalogue catalogue = {.count = 0};
    struct attack attack;
    unsigned seen = 0;
    forge_tree_records(forgery.rich.image, &forgery.rich.map.root.catalogue, note_record,
                       &catalogue);
    for (unsigned i = 0; i < catalogue.count; i++) {
        const struct cof_tree_pointer *record = &catalogue.entries[i].record;
        uint8_t flags;
        if (catalogue.entries[i].key % 1024 != COF_CATALOGUE_ENTRY_PART || seen++ != number) {
            continue;
        }
        attack_begin(&attack, "turn_encrypted", number);
        attack.must_refuse = true;
        forge_read(forgery.rich.image, record->segment, record->block, 6, &flags, 1);
        flags ^= 1u;
        forge_write(attack.image, record->segment, record->block, 6, &flags, 1);
        forge_fix_all(attack.image, &forgery.rich.map);
        attack_conclude(&attack);
    }
}

/* The entries (name hint, keys, sealed record) of two volumes change places, numbers kept. */
void exchange_volumes(uint64_t number)
{
    struct catalogue catalogue = {.count = 0};
    struct attack attack;
    unsigned found[3] = {0, 0, 0}, count = 0;
    uint8_t a[4096], b[4096];
    const struct cof_tree_pointer *x, *y;
    forge_tree_records(forgery.rich.image, &forgery.rich.map.root.catalogue, note_record,
                       &catalogue);
    for (unsigned i = 0; i < catalogue.count && count < 3; i++) {
        if (catalogue.entries[i].key % 1024 == COF_CATALOGUE_ENTRY_PART) {
            found[count++] = i;
        }
    }
    harness_require(count == 3, "forgery: %u volumes in the catalogue", count);
    attack_begin(&attack, "exchange_volumes", number);
    x = &catalogue.entries[found[number % 3]].record;
    y = &catalogue.entries[found[(number + 1) % 3]].record;
    attack.must_refuse = true;
    forge_read(forgery.rich.image, x->segment, x->block, 0, a, sizeof a);
    forge_read(forgery.rich.image, y->segment, y->block, 0, b, sizeof b);
    if (number >= 3) {
        uint8_t swapped[4];
        memcpy(swapped, a + 8, 4);
        memcpy(a + 8, b + 8, 4);
        memcpy(b + 8, swapped, 4);
    }
    forge_write(attack.image, x->segment, x->block, 0, b, sizeof b);
    forge_write(attack.image, y->segment, y->block, 0, a, sizeof a);
    forge_fix_all(attack.image, &forgery.rich.map);
    attack_conclude(&attack);
}
