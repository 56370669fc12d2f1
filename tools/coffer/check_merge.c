/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/check_merge.c - the end of the external sort: all runs in one order, and each key that has
 * two values told.
 *
 * A window of each run is in memory, and the windows are a heap; what never overflowed memory is a
 * single window without a file.
 */
#include "check_facts.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WINDOW_BYTES_MIN 4096u
#define STEP_FACTS 65536u

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

static int fill_window(const struct cli_pairs *pairs, struct cli_run *run)
{
    uint64_t left = (run->end - run->begin) / sizeof *run->window;
    size_t count = left < run->room ? (size_t)left : run->room;
    int error = count == 0
                    ? 0
                    : read_all(pairs->file, run->window, count * sizeof *run->window, run->begin);
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
        struct cli_run *run = cli_pairs_run(pairs);
        if (run == NULL) {
            return ENOMEM;
        }
        cli_pairs_sort(pairs);
        run->window = pairs->facts;
        run->count = pairs->count;
        pairs->facts = NULL;
        return 0;
    }
    if (pairs->count > 0) {
        int error = cli_pairs_spill(pairs);
        if (error != 0) {
            return error;
        }
    }
    free(pairs->facts);
    pairs->facts = NULL;
    room = pairs->room / pairs->run_count;
    room = room < WINDOW_BYTES_MIN / sizeof(struct cli_fact)
               ? WINDOW_BYTES_MIN / sizeof(struct cli_fact)
               : room;
    for (size_t i = 0; i < pairs->run_count; i++) {
        struct cli_run *run = &pairs->runs[i];
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

static bool run_less(const struct cli_run *a, const struct cli_run *b)
{
    return cli_fact_compare(&a->window[a->at], &b->window[b->at]) < 0;
}

/* Let the run at `at` sink to its place in the heap of runs, the least at 0. */
static void sink(struct cli_run *runs, size_t count, size_t at)
{
    for (;;) {
        size_t least = at;
        for (size_t child = 2u * at + 1u; child <= 2u * at + 2u && child < count; child++) {
            least = run_less(&runs[child], &runs[least]) ? child : least;
        }
        if (least == at) {
            return;
        }
        struct cli_run moved = runs[at];
        runs[at] = runs[least];
        runs[least] = moved;
        at = least;
    }
}

/* Take the least fact off the heap; runs that are used up go to its end. */
static int take(struct cli_pairs *pairs, size_t *open_runs, struct cli_fact *ret_fact)
{
    struct cli_run *run = &pairs->runs[0];
    int error = 0;
    *ret_fact = run->window[run->at++];
    if (run->at == run->count && run->begin < run->end) {
        error = fill_window(pairs, run);
    } else if (run->at == run->count) {
        struct cli_run empty = *run;
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
    struct cli_fact first; /* of the key at hand */
    uint64_t value;        /* the last one told of it */
    bool any;
    uint64_t names;
};

/* One fact after another, in order: tell a key whose value is another than its first. */
static int look_at(struct look *look, const struct cli_fact *fact, const struct cli_pairs_ops *ops)
{
    struct cli_place places[2];
    if (!look->any || !cli_fact_same_key(&look->first, fact)) {
        look->any = true;
        look->first = *fact;
        look->value = fact->value;
        look->names += cli_fact_rule(fact) == CLI_RULE_NAME ? 1u : 0u;
        return 0;
    }
    if (fact->value == look->value) {
        return 0;
    }
    look->value = fact->value;
    places[0] = cli_fact_place(&look->first);
    places[1] = cli_fact_place(fact);
    return ops->twice(ops->ctx, cli_fact_rule(fact), &places[0], &places[1]);
}

int cli_pairs_finish(struct cli_pairs *pairs, const struct cli_pairs_ops *ops, uint64_t *ret_names,
                     int *ret_stop)
{
    struct look look = {.any = false};
    struct cli_fact fact;
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
