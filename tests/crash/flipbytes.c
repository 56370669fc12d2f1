/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/flipbytes - a store that holds every structure, damaged: bytes flipped, zeroed and set to
 * 0xff, the device cut at each block, blocks zeroed, pairs of blocks exchanged.
 *
 * After each change the store is opened (read-only and for writing in turn) and all of it is read.
 * Detected or harmless: an error that says damage, at open or of the page, or the right contents.
 * Every second change of a byte is made by an attacker who then puts all keyless checksums right
 * (xxh3 of page, header, tree and root): what authentication must catch. He may erase, and take a
 * volume back to an older state of its own; but no page may ever show what it never held.
 */
#include "common/harness.h"
#include "common/recorder.h"
#include "common/rich_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct place {
    uint32_t segment, block;
};

enum change_kind { FLIP = 0, ZERO, FULL, CUT, ERASE, EXCHANGE };

struct change {
    enum change_kind kind;
    struct place at, other;
    uint32_t offset;
    bool forged;
    uint64_t number;
};

static struct rich_store rich;
static struct place *places;
static uint32_t place_count;
static struct {
    uint64_t changes, same, open_refused, refused, harmless;
} counts;

static void find_places(void)
{
    uint32_t room = 0;
    for (uint32_t i = 0; i <= sim_image_segment_count(rich.image); i++) {
        uint32_t segment = i == 0 ? SIM_ROOT : i - 1;
        for (uint32_t block = 0; block < sim_image_blocks(rich.image, segment); block++) {
            if (sim_image_block(rich.image, segment, block) == NULL) {
                continue;
            }
            if (place_count == room) {
                room = room == 0 ? 256 : room * 2;
                places = realloc(places, room * sizeof *places);
                if (places == NULL) {
                    abort();
                }
            }
            places[place_count++] = (struct place){segment, block};
        }
    }
}

/* The device ends before this block. */
static void cut_at(struct sim_image *image, struct place at, bool shorter)
{
    uint32_t segments = sim_image_segment_count(image);
    for (uint32_t i = at.segment + 1; i < segments; i++) {
        sim_image_clear_segment(image, i);
    }
    for (uint32_t block = at.block; block < sim_image_blocks(image, at.segment); block++) {
        sim_image_put(image, at.segment, block, NULL);
    }
    if (shorter) {
        sim_image_set_segment_count(image, at.segment + 1);
    }
}

/* False when nothing changed. */
static bool apply(struct sim_image *image, const struct change *change)
{
    uint8_t byte = sim_image_bytes(image, change->at.segment, change->at.block)[change->offset];
    uint8_t to = change->kind == FLIP   ? (uint8_t)(byte ^ (1u << change->number % 8))
                 : change->kind == ZERO ? 0
                                        : 0xff;
    if (change->kind == CUT) {
        if (change->at.segment == SIM_ROOT) {
            return false;
        }
        cut_at(image, change->at, change->number % 4 < 2);
        return true;
    }
    if (change->kind == ERASE) {
        sim_image_put(image, change->at.segment, change->at.block, NULL);
        return true;
    }
    if (change->kind == EXCHANGE) {
        sim_image_exchange(image, change->at.segment, change->at.block, change->other.segment,
                           change->other.block);
        return change->at.segment != change->other.segment ||
               change->at.block != change->other.block;
    }
    sim_image_poke(image, change->at.segment, change->at.block, change->offset, &to, 1);
    return to != byte;
}

/* No two opens may draw the same randomness, or the recorder would rightly complain; the lowest bit
 * (read-only or not) must follow from the change alone, for a replay. */
static uint64_t incarnation_of(const struct change *change)
{
    static uint64_t opens;
    uint64_t mixed = prng_mix(change->number, (uint64_t)change->kind * 2u + change->forged);
    mixed = prng_mix(mixed, (uint64_t)change->at.segment << 32 | change->at.block);
    return ((1u << 20) + opens++) * 2u + (mixed & 1u);
}

static void one_change(void *ctx)
{
    const struct change *change = ctx;
    struct sim_image *image = sim_image_clone(rich.image);
    uint64_t refused = 0;
    int error;
    harness_watch(20);
    if (!apply(image, change)) {
        sim_image_free(image);
        counts.same++;
        return;
    }
    if (change->forged) {
        forge_fix_all(image, &rich.map);
    }
    /* A log without its end is an older log: only an anchor shows that. */
    error = rich_store_judge(&rich, image, change->forged || change->kind == CUT,
                             incarnation_of(change), &refused);
    sim_image_free(image);
    counts.changes++;
    counts.open_refused += error != 0 ? 1u : 0u;
    counts.refused += error == 0 && refused > 0 ? 1u : 0u;
    counts.harmless += error == 0 && refused == 0 ? 1u : 0u;
    recorder_check();
}

static void run_change(struct change change)
{
    static const char *const names[] = {"flip", "zero", "ff", "cut", "erase", "exchange"};
    harness_context("flipbytes --replay %s:%u:%u:%u:%d:%llu (with %u:%u)", names[change.kind],
                    change.at.segment, change.at.block, change.offset, change.forged ? 1 : 0,
                    (unsigned long long)change.number, change.other.segment, change.other.block);
    (void)harness_run(one_change, &change);
}

struct plan {
    uint64_t seed, changes, exchanges, shard, shards;
    bool all;
    const char *broken;
};

static bool stop(const struct plan *plan)
{
    return harness_failures() >= (plan->broken != NULL ? 1u : 50u);
}

static void change_bytes(const struct plan *plan)
{
    struct prng prng = {plan->seed};
    uint64_t total = (uint64_t)place_count * COFFER_BLOCK_BYTES * 3u;
    for (uint64_t i = plan->shard; i < (plan->all ? total : plan->changes) && !stop(plan);
         i += plan->shards) {
        uint64_t at = plan->all ? i : prng_next(&prng) % total;
        struct change change = {.kind = (enum change_kind)(at % 3),
                                .at = places[at / 3 / COFFER_BLOCK_BYTES],
                                .offset = (uint32_t)(at / 3 % COFFER_BLOCK_BYTES),
                                .number = at};
        bool head = change.at.segment == SIM_ROOT || i % 3 == 0;
        if (!plan->all && head) {
            change.offset %= 512; /* where most fields of the headers are */
        }
        for (unsigned forged = 0; forged < 2; forged++) {
            change.forged = forged != 0;
            if (plan->all || i % 2 == forged) {
                run_change(change);
            }
        }
    }
}

static void change_blocks(const struct plan *plan)
{
    struct prng prng = {plan->seed + 1};
    uint64_t pairs = (uint64_t)place_count * place_count;
    for (uint32_t i = 0; i < place_count && !stop(plan); i++) {
        for (unsigned kind = CUT; kind <= ERASE; kind++) {
            run_change((struct change){
                .kind = (enum change_kind)kind, .at = places[i], .number = i * 2u + kind});
        }
    }
    for (uint64_t i = plan->shard; i < (plan->all ? pairs : plan->exchanges) && !stop(plan);
         i += plan->shards) {
        uint64_t at = plan->all ? i : prng_next(&prng) % pairs;
        struct place a = places[at / place_count], b = places[at % place_count];
        if (a.segment < b.segment || (a.segment == b.segment && a.block < b.block)) {
            run_change((struct change){.kind = EXCHANGE, .at = a, .other = b, .number = at});
        } else if (!plan->all) {
            run_change((struct change){.kind = EXCHANGE, .at = b, .other = a, .number = at});
        }
    }
}

static int replay(const char *text)
{
    char kind[16] = "";
    unsigned segment, block, offset, forged, other_segment = 0, other_block = 0;
    unsigned long long number;
    struct change change = {0};
    if (sscanf(text, "%15[^:]:%u:%u:%u:%u:%llu (with %u:%u)", kind, &segment, &block, &offset,
               &forged, &number, &other_segment, &other_block) < 6) {
        printf("--replay wants KIND:SEGMENT:BLOCK:OFFSET:FORGED:NUMBER[ (with SEGMENT:BLOCK)]\n");
        return 2;
    }
    change.kind = strcmp(kind, "flip") == 0    ? FLIP
                  : strcmp(kind, "zero") == 0  ? ZERO
                  : strcmp(kind, "ff") == 0    ? FULL
                  : strcmp(kind, "cut") == 0   ? CUT
                  : strcmp(kind, "erase") == 0 ? ERASE
                                               : EXCHANGE;
    change.at = (struct place){segment, block};
    change.other = (struct place){other_segment, other_block};
    change.offset = offset;
    change.forged = forged != 0;
    change.number = number;
    run_change(change);
    printf("open refused %llu, parts refused %llu, harmless %llu\n",
           (unsigned long long)counts.open_refused, (unsigned long long)counts.refused,
           (unsigned long long)counts.harmless);
    return harness_close("flipbytes", 1, NULL);
}

static void make_store(void *ctx)
{
    uint64_t refused;
    rich_store_make(&rich, *(const uint64_t *)ctx);
    find_places();
    harness_require(rich_store_judge(&rich, rich.image, false, 1, &refused) == 0 && refused == 0,
                    "the undamaged store is refused");
    harness_require(rich_store_judge(&rich, rich.image, true, 2, &refused) == 0 && refused == 0,
                    "the undamaged store is refused when read-only");
}

int main(int argc, char **argv)
{
    struct plan plan = {.seed = 1, .changes = 16000, .exchanges = 3000, .shards = 1};
    const char *again = NULL, *shard = NULL;
    double start = harness_seconds();
    const struct harness_option options[] = {
        {"--seed", &plan.seed, NULL, NULL, "of the choice of changes [1]"},
        {"--changes", &plan.changes, NULL, NULL, "of single bytes [16000]"},
        {"--exchanges", &plan.exchanges, NULL, NULL, "of pairs of blocks [3000]"},
        {"--all", NULL, NULL, &plan.all, "every byte three ways, with checksums and without; "
                                         "every pair"},
        {"--shard", NULL, &shard, NULL, "I/N: every N-th change, beginning with the I-th"},
        {"--break", NULL, &plan.broken, NULL, "plant a fault in the engine, which must be caught"},
        {"--replay", NULL, &again, NULL, "KIND:SEGMENT:BLOCK:OFFSET:FORGED:NUMBER"},
        {NULL, NULL, NULL, NULL, NULL},
    };
    uint64_t store_seed = 42;
    unsigned long long i, n;
    harness_options(argc, argv, options, "damage to every structure of a store");
    if (shard != NULL && sscanf(shard, "%llu/%llu", &i, &n) == 2 && i < n) {
        plan.shard = i;
        plan.shards = n;
    }
    recorder_install();
    harness_context("flipbytes (making the store)");
    if (!harness_run(make_store, &store_seed)) {
        return harness_close("flipbytes", 1, NULL);
    }
    if (again != NULL) {
        return replay(again);
    }
    if (plan.broken != NULL) {
        harness_break(plan.broken);
    }
    change_bytes(&plan);
    change_blocks(&plan);
    harness_watch(0);
    printf("flipbytes: seed %llu, %u blocks, %llu changes: %llu refused at open, %llu refused in "
           "part, %llu harmless; %.1f s\n",
           (unsigned long long)plan.seed, place_count, (unsigned long long)counts.changes,
           (unsigned long long)counts.open_refused, (unsigned long long)counts.refused,
           (unsigned long long)counts.harmless, harness_seconds() - start);
    return harness_close("flipbytes", counts.changes, plan.broken);
}
