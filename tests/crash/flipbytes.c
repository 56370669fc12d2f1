/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/flipbytes - a store that holds every structure, damaged: bytes flipped and zeroed, the
 * device cut at each block, blocks zeroed, pairs of blocks exchanged.
 *
 * After each change the store is opened (read-only and for writing in turn) and all of it is read.
 * Detected or harmless: an error that says damage, at open or of the page, or the right contents.
 * Every second change of a byte is made by an attacker who then puts all keyless checksums right
 * (xxh3 of page, header, tree and root): what authentication must catch. He may erase, and take a
 * volume back to an older state of its own; but no page may ever show what it never held.
 *
 * --all makes every change there is, in a fixed order in which each has a number: first of bytes,
 * then of blocks, then exchanges. --from goes on at a number that a line of progress has told.
 */
#include "common/harness.h"
#include "common/recorder.h"
#include "common/rich_store.h"
#include "crash/flipbytes/copies.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct place {
    uint32_t segment, block;
};

enum change_kind { FLIP = 0, ZERO, CUT, ERASE, EXCHANGE };

#define BYTE_CHANGES 4u   /* of each byte: flipped, zeroed; with the checksums put right, without */
#define BLOCK_CHANGES 2u  /* of each block: cut, erased */
#define SHARE_CHANGES 64u /* a shard takes so many in a row: neighbours differ in cost */
#define CASE_CPU_SECONDS 20u
#define CASE_WALL_SECONDS 120u
#define PROGRESS_SECONDS 30.0
#define PAIRS_KEPT (1u << 20) /* of the newest (key, nonce): 64 MiB at most */

struct change {
    enum change_kind kind;
    struct place at, other;
    uint32_t offset;
    bool forged;
    uint64_t number;
};

static struct rich_store rich;
static bool of_copies;          /* the other store */
static struct sim_image *image; /* sound */
static struct forge_map *map;
static struct forge_map copies_map;
static struct place *places;
static uint32_t place_count;
static struct {
    uint64_t changes, same, open_refused, refused, harmless;
} counts;

static void find_places(void)
{
    uint32_t room = 0;
    for (uint32_t i = 0; i <= sim_image_segment_count(image); i++) {
        uint32_t segment = i == 0 ? SIM_ROOT : i - 1;
        for (uint32_t block = 0; block < sim_image_blocks(image, segment); block++) {
            if (sim_image_block(image, segment, block) == NULL) {
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
static void cut_at(struct sim_image *damaged, struct place at, bool shorter)
{
    uint32_t segments = sim_image_segment_count(damaged);
    for (uint32_t i = at.segment + 1; i < segments; i++) {
        sim_image_clear_segment(damaged, i);
    }
    for (uint32_t block = at.block; block < sim_image_blocks(damaged, at.segment); block++) {
        sim_image_put(damaged, at.segment, block, NULL);
    }
    if (shorter) {
        sim_image_set_segment_count(damaged, at.segment + 1);
    }
}

/* False when nothing changed. */
static bool apply(struct sim_image *damaged, const struct change *change)
{
    uint8_t byte = sim_image_bytes(damaged, change->at.segment, change->at.block)[change->offset];
    uint8_t to = (uint8_t)(change->kind == FLIP ? byte ^ (1u << change->number % 8) : 0u);
    if (change->kind == CUT) {
        if (change->at.segment == SIM_ROOT) {
            return false;
        }
        cut_at(damaged, change->at, change->number % 4 < 2);
        return true;
    }
    if (change->kind == ERASE) {
        sim_image_put(damaged, change->at.segment, change->at.block, NULL);
        return true;
    }
    if (change->kind == EXCHANGE) {
        sim_image_exchange(damaged, change->at.segment, change->at.block, change->other.segment,
                           change->other.block);
        return change->at.segment != change->other.segment ||
               change->at.block != change->other.block;
    }
    sim_image_poke(damaged, change->at.segment, change->at.block, change->offset, &to, 1);
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

static int judge(const struct sim_image *damaged, bool forged, uint64_t incarnation,
                 uint64_t *ret_refused)
{
    return of_copies ? copies_judge(damaged, forged, ret_refused)
                     : rich_store_judge(&rich, damaged, forged, incarnation, ret_refused);
}

static void one_change(void *ctx)
{
    const struct change *change = ctx;
    struct sim_image *damaged = sim_image_clone(image);
    uint64_t refused = 0;
    int error;
    if (!apply(damaged, change)) {
        sim_image_free(damaged);
        counts.same++;
        return;
    }
    harness_watch_cpu(CASE_CPU_SECONDS, CASE_WALL_SECONDS);
    if (change->forged) {
        forge_fix_all(damaged, map);
    }
    /* A log without its end is an older log: only an anchor shows that. */
    error = judge(damaged, change->forged || change->kind == CUT, incarnation_of(change), &refused);
    sim_image_free(damaged);
    counts.changes++;
    counts.open_refused += error != 0 ? 1u : 0u;
    counts.refused += error == 0 && refused > 0 ? 1u : 0u;
    counts.harmless += error == 0 && refused == 0 ? 1u : 0u;
    recorder_check();
}

static const char *const kind_names[] = {"flip", "zero", "cut", "erase", "exchange"};

static void run_change(struct change change)
{
    harness_context("flipbytes%s --replay %s:%u:%u:%u:%d:%llu (with %u:%u)",
                    of_copies ? " --store copies" : "", kind_names[change.kind], change.at.segment,
                    change.at.block, change.offset, change.forged ? 1 : 0,
                    (unsigned long long)change.number, change.other.segment, change.other.block);
    (void)harness_run(one_change, &change);
}

struct plan {
    uint64_t seed, changes, exchanges, shard, shards, from;
    bool all;
    const char *broken;
    double start;
};

static bool stop(const struct plan *plan)
{
    return harness_failures() >= (plan->broken != NULL ? 1u : 50u);
}

/* ---- every change there is, by number ---- */

static uint64_t byte_changes(void)
{
    return (uint64_t)place_count * COFFER_BLOCK_BYTES * BYTE_CHANGES;
}

static uint64_t block_changes(void)
{
    return (uint64_t)place_count * BLOCK_CHANGES;
}

static struct change byte_change(uint64_t number, bool forged)
{
    return (struct change){.kind = (enum change_kind)(number % 2),
                           .at = places[number / 2 / COFFER_BLOCK_BYTES],
                           .offset = (uint32_t)(number / 2 % COFFER_BLOCK_BYTES),
                           .forged = forged,
                           .number = number};
}

static struct change block_change(uint64_t number)
{
    return (struct change){.kind = (enum change_kind)(CUT + number % BLOCK_CHANGES),
                           .at = places[number / BLOCK_CHANGES],
                           .number = number};
}

/* The earlier block first, whichever way round the pair is numbered. */
static struct change exchange(uint64_t number)
{
    uint64_t a = number / place_count, b = number % place_count;
    return (struct change){.kind = EXCHANGE,
                           .at = places[a < b ? a : b],
                           .other = places[a < b ? b : a],
                           .number = number};
}

static uint64_t all_changes(void)
{
    return byte_changes() + block_changes() + (uint64_t)place_count * place_count;
}

static void run_numbered(uint64_t number)
{
    uint64_t bytes = byte_changes(), blocks = block_changes();
    if (number < bytes) {
        run_change(byte_change(number / 2, number % 2 != 0));
    } else if (number < bytes + blocks) {
        run_change(block_change(number - bytes));
    } else if ((number - bytes - blocks) / place_count < (number - bytes - blocks) % place_count) {
        run_change(exchange(number - bytes - blocks)); /* each pair once */
    }
}

static void tell_progress(const struct plan *plan, uint64_t number)
{
    static double told;
    double now = harness_seconds();
    if (told == 0) {
        told = plan->start;
    }
    if (now - told < PROGRESS_SECONDS) {
        return;
    }
    told = now;
    printf("flipbytes: at --from %llu of %llu: %llu changes, %.0f/s, %llu failed\n",
           (unsigned long long)number, (unsigned long long)all_changes(),
           (unsigned long long)counts.changes, (double)counts.changes / (now - plan->start),
           (unsigned long long)harness_failures());
    fflush(stdout);
}

static void change_all(const struct plan *plan)
{
    uint64_t total = all_changes();
    for (uint64_t i = plan->from; i < total && !stop(plan); i++) {
        if (i / SHARE_CHANGES % plan->shards == plan->shard) {
            run_numbered(i);
            tell_progress(plan, i + 1);
        }
    }
}

/* ---- some of them ---- */

static void change_bytes(const struct plan *plan)
{
    struct prng prng = {plan->seed};
    for (uint64_t i = plan->shard; i < plan->changes && !stop(plan); i += plan->shards) {
        struct change change = byte_change(prng_next(&prng) % (byte_changes() / 2), i % 2 != 0);
        if (change.at.segment == SIM_ROOT || i % 3 == 0) {
            change.offset %= 512; /* where most fields of the headers are */
        }
        run_change(change);
    }
}

static void change_blocks(const struct plan *plan)
{
    struct prng prng = {plan->seed + 1};
    for (uint64_t i = plan->shard; i < block_changes() && !stop(plan); i += plan->shards) {
        run_change(block_change(i));
    }
    for (uint64_t i = plan->shard; i < plan->exchanges && !stop(plan); i += plan->shards) {
        run_change(exchange(prng_next(&prng) % ((uint64_t)place_count * place_count)));
    }
}

/* ---- one of them ---- */

static int replay(const char *text)
{
    char kind[16] = "";
    unsigned segment, block, offset, forged, other_segment = 0, other_block = 0, named = 0;
    unsigned long long number;
    if (sscanf(text, "%15[^:]:%u:%u:%u:%u:%llu (with %u:%u)", kind, &segment, &block, &offset,
               &forged, &number, &other_segment, &other_block) < 6) {
        printf("--replay wants KIND:SEGMENT:BLOCK:OFFSET:FORGED:NUMBER[ (with SEGMENT:BLOCK)]\n");
        return 2;
    }
    while (named <= EXCHANGE && strcmp(kind, kind_names[named]) != 0) {
        named++;
    }
    if (named > EXCHANGE || offset >= COFFER_BLOCK_BYTES) {
        printf("--replay: there is no change %s\n", text);
        return 2;
    }
    run_change((struct change){.kind = (enum change_kind)named,
                               .at = {segment, block},
                               .other = {other_segment, other_block},
                               .offset = offset,
                               .forged = forged != 0,
                               .number = number});
    printf("open refused %llu, parts refused %llu, harmless %llu\n",
           (unsigned long long)counts.open_refused, (unsigned long long)counts.refused,
           (unsigned long long)counts.harmless);
    return harness_close("flipbytes", 1, NULL);
}

static void make_store(void *ctx)
{
    uint64_t refused;
    if (of_copies) {
        copies_make(&image, &copies_map);
        map = &copies_map;
    } else {
        rich_store_make(&rich, *(const uint64_t *)ctx, RICH_TAIL_FOOTER);
        rich_store_require_all(&rich);
        image = rich.image;
        map = &rich.map;
    }
    find_places();
    harness_require(judge(image, false, 11, &refused) == 0 && refused == 0,
                    "the undamaged store is refused");
    harness_require(judge(image, true, 12, &refused) == 0 && refused == 0,
                    "the undamaged store is refused when read-only");
}

int main(int argc, char **argv)
{
    struct plan plan = {.seed = 1, .changes = 40000, .exchanges = 6000, .shards = 1};
    const char *again = NULL, *shard = NULL, *store = "rich";
    const struct harness_option options[] = {
        {"--seed", &plan.seed, NULL, NULL, "of the choice of changes [1]"},
        {"--changes", &plan.changes, NULL, NULL, "of single bytes [40000]"},
        {"--exchanges", &plan.exchanges, NULL, NULL, "of pairs of blocks [6000]"},
        {"--all", NULL, NULL, &plan.all,
         "every byte both ways, with checksums and without; "
         "every block; every pair"},
        {"--from", &plan.from, NULL, NULL, "with --all: go on at this change [0]"},
        {"--store", NULL, &store, NULL, "rich, or copies: what copies leave [rich]"},
        {"--shard", NULL, &shard, NULL, "I/N: the I-th of N parts of the changes, from 0"},
        {"--break", NULL, &plan.broken, NULL, "plant a fault in the engine, which must be caught"},
        {"--replay", NULL, &again, NULL, "KIND:SEGMENT:BLOCK:OFFSET:FORGED:NUMBER"},
        {NULL, NULL, NULL, NULL, NULL},
    };
    uint64_t store_seed = 42;
    unsigned long long i, n;
    plan.start = harness_seconds();
    harness_options(argc, argv, options, "damage to every structure of a store");
    of_copies = strcmp(store, "copies") == 0;
    if (!of_copies && strcmp(store, "rich") != 0) {
        printf("--store wants rich or copies\n");
        return 2;
    }
    if (shard != NULL) {
        if (sscanf(shard, "%llu/%llu", &i, &n) != 2 || i >= n) {
            printf("--shard wants I/N, I below N\n");
            return 2;
        }
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
    recorder_keep(PAIRS_KEPT);
    if (plan.all) {
        change_all(&plan);
    } else {
        change_bytes(&plan);
        change_blocks(&plan);
    }
    harness_watch(0);
    printf("flipbytes: seed %llu, %u blocks, %llu changes: %llu refused at open, %llu refused in "
           "part, %llu harmless; %.1f s\n",
           (unsigned long long)plan.seed, place_count, (unsigned long long)counts.changes,
           (unsigned long long)counts.open_refused, (unsigned long long)counts.refused,
           (unsigned long long)counts.harmless, harness_seconds() - plan.start);
    return harness_close("flipbytes", counts.changes, plan.broken);
}
