/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/check_pairs.c - the external sort behind `coffer check --nonces`.
 *
 * A fact is 40 bytes. Runs lie in the temporary file one after the other, each sorted by key, rule
 * and value, and free of repeats. The merge keeps a window of each run and a heap of the windows;
 * what never overflowed memory is a single window without a file.
 */
#include "check_pairs.h"
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define WINDOW_BYTES_MIN 4096u
#define STEP_FACTS 65536u
#define BLOCK_BYTES 4096u
/* place: rule 1, store 6, kind 2, segment 32, block in the segment 14. what: extent 40, slot 24;
 * for what a volume key sealed: number 32, key id 32. */
#define BLOCK_BITS 14u
#define SEGMENT_BITS 32u
#define KIND_BITS 2u
#define STORE_BITS 6u
#define WRAP_KIND 2u /* COFFER_SEAL_WRAP: it and what follows have no extent */

struct fact {
    uint64_t key[2];
    uint64_t value;
    uint64_t place;
    uint64_t what;
};

struct run {
    uint64_t begin, end; /* bytes of the file that are still to be read */
    struct fact *window;
    size_t at, count, room; /* facts of the window */
};

struct cli_pairs {
    size_t room, count; /* facts */
    struct fact *facts;
    int file; /* -1: none */
    uint64_t file_bytes;
    struct run *runs;
    size_t run_count, run_room;
};

const char *cli_pairs_directory(void)
{
    const char *directory = getenv("TMPDIR");
    return directory != NULL && directory[0] != '\0' ? directory : "/var/tmp";
}

uint64_t cli_pairs_file_bytes(const struct cli_pairs *pairs)
{
    return pairs->file_bytes;
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

static enum cli_rule rule_of(const struct fact *fact)
{
    return fact->place >> (STORE_BITS + KIND_BITS + SEGMENT_BITS + BLOCK_BITS) != 0
               ? CLI_RULE_CIPHERTEXT
               : CLI_RULE_NAME;
}

static uint64_t low_bits(uint64_t bits, unsigned count)
{
    return bits & ((UINT64_C(1) << count) - 1u);
}

static struct cli_place place_of(const struct fact *fact)
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

/* By key, rule, value; then by place, so that what is told does not depend on the sort. */
static int compare(const void *one, const void *two)
{
    const struct fact *a = one, *b = two;
    enum cli_rule rules[2] = {rule_of(a), rule_of(b)};
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

static bool same_key(const struct fact *a, const struct fact *b)
{
    return a->key[0] == b->key[0] && a->key[1] == b->key[1] && rule_of(a) == rule_of(b);
}

/* Sort what is in memory and drop repeats. */
static void sort_facts(struct cli_pairs *pairs)
{
    size_t kept = 0;
    qsort(pairs->facts, pairs->count, sizeof *pairs->facts, compare);
    for (size_t i = 0; i < pairs->count; i++) {
        const struct fact *last = &pairs->facts[kept == 0 ? 0 : kept - 1u];
        if (kept == 0 || !same_key(last, &pairs->facts[i]) ||
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
    int length =
        snprintf(path, sizeof path, "%s/coffer-nonces-XXXXXX", cli_pairs_directory());
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

static int read_all(int file, void *bytes, size_t length, uint64_t offset)
{
    char *at = bytes;
    while (length > 0) {
        ssize_t got = pread(file, at, length, (off_t)offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return got < 0 ? errno : EIO;
        }
        at += got;
        offset += (uint64_t)got;
        length -= (size_t)got;
    }
    return 0;
}

static struct run *new_run(struct cli_pairs *pairs)
{
    struct run *run;
    if (pairs->run_count == pairs->run_room) {
        size_t room = pairs->run_room == 0 ? 64u : pairs->run_room * 2u;
        struct run *runs = realloc(pairs->runs, room * sizeof *runs);
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

static int spill(struct cli_pairs *pairs)
{
    struct run *run;
    size_t bytes;
    int error = pairs->file >= 0 ? 0 : open_file(pairs);
    if (error != 0) {
        return error;
    }
    sort_facts(pairs);
    bytes = pairs->count * sizeof *pairs->facts;
    run = new_run(pairs);
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
    struct fact *fact;
    int error = pairs->count < pairs->room ? 0 : spill(pairs);
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

/* ---- merging ---- */

static int fill_window(const struct cli_pairs *pairs, struct run *run)
{
    uint64_t left = (run->end - run->begin) / sizeof *run->window;
    size_t count = left < run->room ? (size_t)left : run->room;
    int error = count == 0 ? 0
                           : read_all(pairs->file, run->window, count * sizeof *run->window,
                                      run->begin);
    if (error == 0) {
        run->begin += count * sizeof *run->window;
        run->at = 0;
        run->count = count;
    }
    return error;
}

/* Give each run its window. What is still in memory is a run too: when nothing was written, the
 * only one; else it is written first, so that its room can be the windows'. */
static int begin_merge(struct cli_pairs *pairs)
{
    size_t room;
    if (pairs->file < 0) {
        struct run *run = new_run(pairs);
        if (run == NULL) {
            return ENOMEM;
        }
        sort_facts(pairs);
        run->window = pairs->facts;
        run->count = pairs->count;
        pairs->facts = NULL;
        return 0;
    }
    if (pairs->count > 0) {
        int error = spill(pairs);
        if (error != 0) {
            return error;
        }
    }
    free(pairs->facts);
    pairs->facts = NULL;
    room = pairs->room / pairs->run_count;
    room = room < WINDOW_BYTES_MIN / sizeof(struct fact) ? WINDOW_BYTES_MIN / sizeof(struct fact)
                                                         : room;
    for (size_t i = 0; i < pairs->run_count; i++) {
        struct run *run = &pairs->runs[i];
        int error;
        run->room = room;
        run->window = malloc(room * sizeof *run->window);
        error = run->window == NULL ? ENOMEM : fill_window(pairs, run);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

static bool run_less(const struct run *a, const struct run *b)
{
    return compare(&a->window[a->at], &b->window[b->at]) < 0;
}

/* Let the run at `at` sink to its place in the heap of runs, the least at 0. */
static void sink(struct run *runs, size_t count, size_t at)
{
    for (;;) {
        size_t least = at;
        for (size_t child = 2u * at + 1u; child <= 2u * at + 2u && child < count; child++) {
            least = run_less(&runs[child], &runs[least]) ? child : least;
        }
        if (least == at) {
            return;
        }
        struct run moved = runs[at];
        runs[at] = runs[least];
        runs[least] = moved;
        at = least;
    }
}

/* Take the least fact off the heap; runs that are used up go to its end. */
static int take(struct cli_pairs *pairs, size_t *open_runs, struct fact *ret_fact)
{
    struct run *run = &pairs->runs[0];
    int error = 0;
    *ret_fact = run->window[run->at++];
    if (run->at == run->count && run->begin < run->end) {
        error = fill_window(pairs, run);
    } else if (run->at == run->count) {
        struct run empty = *run;
        *run = pairs->runs[--*open_runs];
        pairs->runs[*open_runs] = empty;
    }
    if (error == 0) {
        sink(pairs->runs, *open_runs, 0);
    }
    return error;
}

/* What the merge remembers between two facts. */
struct look {
    struct fact first; /* of the key at hand */
    uint64_t value;    /* the last one told of it */
    bool any;
    uint64_t names;
};

/* One fact after another, in order: tell a key whose value is another than its first. */
static int look_at(struct look *look, const struct fact *fact, const struct cli_pairs_ops *ops)
{
    struct cli_place places[2];
    if (!look->any || !same_key(&look->first, fact)) {
        look->any = true;
        look->first = *fact;
        look->value = fact->value;
        look->names += rule_of(fact) == CLI_RULE_NAME ? 1u : 0u;
        return 0;
    }
    if (fact->value == look->value) {
        return 0;
    }
    look->value = fact->value;
    places[0] = place_of(&look->first);
    places[1] = place_of(fact);
    return ops->twice(ops->ctx, rule_of(fact), &places[0], &places[1]);
}

int cli_pairs_finish(struct cli_pairs *pairs, const struct cli_pairs_ops *ops, uint64_t *ret_names,
                     int *ret_stop)
{
    struct look look = {.any = false};
    struct fact fact;
    uint64_t done = 0;
    size_t open_runs;
    int stop = 0, error = begin_merge(pairs);
    open_runs = error != 0 ? 0 : pairs->run_count;
    if (open_runs == 1 && pairs->runs[0].count == 0) {
        open_runs = 0; /* nothing was added */
    }
    for (size_t i = open_runs / 2u; i > 0; i--) {
        sink(pairs->runs, open_runs, i - 1u);
    }
    while (error == 0 && stop == 0 && open_runs > 0) {
        error = take(pairs, &open_runs, &fact);
        if (error == 0) {
            stop = look_at(&look, &fact, ops);
        }
        if (++done % STEP_FACTS == 0 && stop == 0 && ops->step != NULL) {
            stop = ops->step(ops->ctx, done * sizeof fact, pairs->file_bytes);
        }
    }
    *ret_names = look.names;
    *ret_stop = stop;
    return error;
}
