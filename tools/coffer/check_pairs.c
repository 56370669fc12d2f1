/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/check_pairs.c - the external sort behind `coffer check --nonces`: facts, and sorted runs
 * of them.
 *
 * Runs lie in the temporary file one after the other, each sorted by key, rule and value, and free
 * of repeats.
 */
#include "check_facts.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define BLOCK_BYTES 4096u
#define BLOCK_BITS 14u
#define SEGMENT_BITS 32u
#define KIND_BITS 2u
#define STORE_BITS 6u
#define WRAP_KIND 2u /* COFFER_SEAL_WRAP: it and what follows have no extent */

const char *cli_pairs_directory(void)
{
    const char *directory = getenv("TMPDIR");
    return directory != NULL && directory[0] != '\0' ? directory : "/var/tmp";
}

struct cli_pairs *cli_pairs_new(size_t memory_bytes)
{
    struct cli_pairs *pairs = calloc(1, sizeof *pairs);
    if (pairs == NULL) {
        return NULL;
    }
    pairs->file = -1;
    pairs->room = memory_bytes / sizeof *pairs->facts;
    pairs->facts = malloc(pairs->room * sizeof *pairs->facts);
    if (pairs->facts == NULL) {
        free(pairs);
        return NULL;
    }
    return pairs;
}

void cli_pairs_free(struct cli_pairs *pairs)
{
    if (pairs == NULL) {
        return;
    }
    for (size_t i = 0; i < pairs->run_count; i++) {
        free(pairs->runs[i].window);
    }
    if (pairs->file >= 0) {
        close(pairs->file);
    }
    free(pairs->runs);
    free(pairs->facts);
    free(pairs);
}

/* ---- facts ---- */

static uint64_t pack_place(enum cli_rule rule, const struct cli_place *place)
{
    uint64_t bits = (uint64_t)rule;
    bits = bits << STORE_BITS | place->store;
    bits = bits << KIND_BITS | place->kind;
    bits = bits << SEGMENT_BITS | place->segment;
    return bits << BLOCK_BITS | place->offset / BLOCK_BYTES;
}

enum cli_rule cli_fact_rule(const struct cli_fact *fact)
{
    return fact->place >> (STORE_BITS + KIND_BITS + SEGMENT_BITS + BLOCK_BITS) != 0
               ? CLI_RULE_CIPHERTEXT
               : CLI_RULE_NAME;
}

static uint64_t low_bits(uint64_t bits, unsigned count)
{
    return bits & ((UINT64_C(1) << count) - 1u);
}

struct cli_place cli_fact_place(const struct cli_fact *fact)
{
    struct cli_place place;
    uint64_t bits = fact->place;
    unsigned slot_bits;
    place.offset = low_bits(bits, BLOCK_BITS) * BLOCK_BYTES;
    bits >>= BLOCK_BITS;
    place.segment = low_bits(bits, SEGMENT_BITS);
    bits >>= SEGMENT_BITS;
    place.kind = (uint32_t)low_bits(bits, KIND_BITS);
    bits >>= KIND_BITS;
    place.store = (uint32_t)low_bits(bits, STORE_BITS);
    slot_bits = place.kind < WRAP_KIND ? 24u : 32u;
    place.extent = fact->what >> slot_bits;
    place.slot = (uint32_t)low_bits(fact->what, slot_bits);
    return place;
}

int cli_fact_compare(const void *one, const void *two)
{
    const struct cli_fact *a = one, *b = two;
    enum cli_rule rules[2] = {cli_fact_rule(a), cli_fact_rule(b)};
    if (a->key[0] != b->key[0]) {
        return a->key[0] < b->key[0] ? -1 : 1;
    }
    if (a->key[1] != b->key[1]) {
        return a->key[1] < b->key[1] ? -1 : 1;
    }
    if (rules[0] != rules[1]) {
        return rules[0] < rules[1] ? -1 : 1;
    }
    if (a->value != b->value) {
        return a->value < b->value ? -1 : 1;
    }
    return (a->place > b->place) - (a->place < b->place);
}

bool cli_fact_same_key(const struct cli_fact *a, const struct cli_fact *b)
{
    return a->key[0] == b->key[0] && a->key[1] == b->key[1] && cli_fact_rule(a) == cli_fact_rule(b);
}

void cli_pairs_sort(struct cli_pairs *pairs)
{
    size_t kept = 0;
    qsort(pairs->facts, pairs->count, sizeof *pairs->facts, cli_fact_compare);
    for (size_t i = 0; i < pairs->count; i++) {
        const struct cli_fact *last = &pairs->facts[kept == 0 ? 0 : kept - 1u];
        if (kept == 0 || !cli_fact_same_key(last, &pairs->facts[i]) ||
            last->value != pairs->facts[i].value) {
            pairs->facts[kept++] = pairs->facts[i];
        }
    }
    pairs->count = kept;
}

/* ---- the file ---- */

static int open_file(struct cli_pairs *pairs)
{
    char path[4096];
    int length = snprintf(path, sizeof path, "%s/coffer-nonces-XXXXXX", cli_pairs_directory());
    if (length < 0 || (size_t)length >= sizeof path) {
        return ENAMETOOLONG;
    }
    pairs->file = mkstemp(path);
    if (pairs->file < 0) {
        return errno;
    }
    return unlink(path) == 0 ? 0 : errno;
}

static int write_all(int file, const void *bytes, size_t length, uint64_t offset)
{
    const char *at = bytes;
    while (length > 0) {
        ssize_t put = pwrite(file, at, length, (off_t)offset);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            return put < 0 ? errno : EIO;
        }
        at += put;
        offset += (uint64_t)put;
        length -= (size_t)put;
    }
    return 0;
}

struct cli_run *cli_pairs_run(struct cli_pairs *pairs)
{
    struct cli_run *run;
    if (pairs->run_count == pairs->run_room) {
        size_t room = pairs->run_room == 0 ? 64u : pairs->run_room * 2u;
        struct cli_run *runs = realloc(pairs->runs, room * sizeof *runs);
        if (runs == NULL) {
            return NULL;
        }
        pairs->runs = runs;
        pairs->run_room = room;
    }
    run = &pairs->runs[pairs->run_count++];
    memset(run, 0, sizeof *run);
    return run;
}

int cli_pairs_spill(struct cli_pairs *pairs)
{
    struct cli_run *run;
    size_t bytes;
    int error = pairs->file >= 0 ? 0 : open_file(pairs);
    if (error != 0) {
        return error;
    }
    cli_pairs_sort(pairs);
    bytes = pairs->count * sizeof *pairs->facts;
    run = cli_pairs_run(pairs);
    if (run == NULL) {
        return ENOMEM;
    }
    run->begin = pairs->file_bytes;
    run->end = run->begin + bytes;
    error = write_all(pairs->file, pairs->facts, bytes, run->begin);
    pairs->file_bytes = run->end;
    pairs->count = 0;
    return error;
}

int cli_pairs_add(struct cli_pairs *pairs, enum cli_rule rule, const uint8_t key[16],
                  const uint8_t value[16], const struct cli_place *place)
{
    struct cli_fact *fact;
    int error = pairs->count < pairs->room ? 0 : cli_pairs_spill(pairs);
    if (error != 0) {
        return error;
    }
    fact = &pairs->facts[pairs->count++];
    memcpy(fact->key, key, sizeof fact->key);
    memcpy(&fact->value, value, sizeof fact->value);
    fact->place = pack_place(rule, place);
    fact->what = place->extent << (place->kind < WRAP_KIND ? 24u : 32u) | place->slot;
    return 0;
}
