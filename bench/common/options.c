/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/options.c - one table feeds the parser and --help.
 */
#include "common/options.h"
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum kind { FLAG, TEXT, SIZE, COUNT, SECONDS, RW, DURABLE, HELP };

struct row {
    const char *name;
    enum kind kind;
    size_t place;
    const char *help;
};

#define PLACE(member) offsetof(struct cof_bench_options, member)

static const struct row rows[] = {
    {"rw", RW, PLACE(rw), "write, read, randwrite, randread, or none: open and close"},
    {"file", TEXT, PLACE(file), "the store"},
    {"keys", TEXT, PLACE(keys), "directory of key store and root key, made when absent"},
    {"volume", TEXT, PLACE(volume), "its name (bench)"},
    {"create", FLAG, PLACE(create), "make the store and the volume first"},
    {"raw", FLAG, PLACE(raw), "no store: writes of --bs and fdatasync on --file, one at a time"},
    {"store-size", SIZE, PLACE(store_bytes), "size of the store made (8G)"},
    {"size", SIZE, PLACE(size_bytes), "size of the volume made (1G)"},
    {"span", SIZE, PLACE(span_bytes), "work on so much of the volume (all)"},
    {"bs", SIZE, PLACE(block_bytes), "bytes a request (4K)"},
    {"depth", COUNT, PLACE(depth), "requests in flight (1)"},
    {"threads", COUNT, PLACE(threads), "threads, each with its queue and depth (1)"},
    {"amount", SIZE, PLACE(amount_bytes), "stop after so many bytes"},
    {"runtime", SECONDS, PLACE(runtime_ns), "stop after so many seconds"},
    {"durable", DURABLE, PLACE(durable), "end: one flush at the end; flush or fua: each write"},
    {"reads-hot", FLAG, PLACE(hot), "read everything once before the measured time"},
    {"seed", COUNT, PLACE(seed), "of random offsets (1)"},
    {"kill-at-end", FLAG, PLACE(kill_at_end), "end as kill -9 would, after a flush"},
    {"staging", SIZE, PLACE(staging_bytes), "budget; so are the five below"},
    {"delta-entries", COUNT, PLACE(delta_entries_max), "dirty map entries before a checkpoint"},
    {"node-cache", SIZE, PLACE(node_cache_bytes), "map nodes"},
    {"tag-cache", SIZE, PLACE(tag_cache_bytes), "page tags"},
    {"placement", SIZE, PLACE(placement_bytes), "placement descriptors"},
    {"key-arena", SIZE, PLACE(key_arena_bytes), "locked memory for keys"},
    {"checkpoint-every", SECONDS, PLACE(checkpoint_ns), "longest time between checkpoints"},
    {"sync-every", SECONDS, PLACE(sync_ns), "longest time a write waits for a sync"},
    {"help", HELP, 0, "this text"},
};
#define ROW_COUNT (sizeof rows / sizeof rows[0])

static const char *const rw_names[] = {"none", "write", "read", "randwrite", "randread"};
static const char *const durable_names[] = {"end", "flush", "fua"};

bool cof_bench_is_write(enum cof_bench_rw rw)
{
    return rw == COF_BENCH_WRITE || rw == COF_BENCH_RANDWRITE;
}

bool cof_bench_is_random(enum cof_bench_rw rw)
{
    return rw == COF_BENCH_RANDWRITE || rw == COF_BENCH_RANDREAD;
}

const char *cof_bench_rw_name(enum cof_bench_rw rw)
{
    return rw_names[rw];
}

static void print_help(void)
{
    puts("usage: bench_volume --rw HOW --file STORE [option]...\n"
         "Runs one load on a volume through the queue API and prints the result as JSON.\n");
    for (size_t i = 0; i < ROW_COUNT; i++) {
        printf("  --%-17s %s\n", rows[i].name, rows[i].help);
    }
}

/* A whole number with a binary suffix: 512, 4K, 64T. */
static int parse_size(const char *text, uint64_t *ret_value)
{
    static const char suffixes[] = "KMGTP";
    char *end = NULL;
    if (!isdigit((unsigned char)text[0])) {
        return -1;
    }
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0) {
        return -1;
    }
    unsigned shift = 0;
    if (*end != '\0') {
        const char *found = strchr(suffixes, toupper((unsigned char)*end));
        if (found == NULL || (end[1] != '\0' && strcasecmp(end + 1, "iB") != 0)) {
            return -1;
        }
        shift = 10u * (unsigned)(found - suffixes + 1);
    }
    if (value > (UINT64_MAX >> shift)) {
        return -1;
    }
    *ret_value = (uint64_t)value << shift;
    return 0;
}

static int parse_seconds(const char *text, uint64_t *ret_ns)
{
    char *end = NULL;
    double seconds = strtod(text, &end);
    if (end == text || *end != '\0' || !(seconds >= 0.0) || seconds > 1e9) {
        return -1;
    }
    *ret_ns = (uint64_t)(seconds * 1e9);
    return 0;
}

static int parse_word(const char *text, const char *const *names, size_t count, int *ret_index)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, names[i]) == 0) {
            *ret_index = (int)i;
            return 0;
        }
    }
    return -1;
}

static int take(const struct row *row, const char *text, struct cof_bench_options *options)
{
    void *place = (char *)options + row->place;
    int index = 0;
    switch (row->kind) {
    case FLAG:
        *(bool *)place = true;
        return 0;
    case TEXT:
        *(const char **)place = text;
        return 0;
    case SIZE:
    case COUNT:
        return parse_size(text, place);
    case SECONDS:
        return parse_seconds(text, place);
    case RW:
        if (parse_word(text, rw_names, 5, &index) != 0) {
            return -1;
        }
        *(enum cof_bench_rw *)place = (enum cof_bench_rw)index;
        return 0;
    case DURABLE:
        if (parse_word(text, durable_names, 3, &index) != 0) {
            return -1;
        }
        *(enum cof_bench_durable *)place = (enum cof_bench_durable)index;
        return 0;
    case HELP:
        break;
    }
    return -1;
}

static int refuse(const char *sentence)
{
    fprintf(stderr, "bench_volume: %s\n", sentence);
    return -1;
}

static int validate(const struct cof_bench_options *options)
{
    if (options->file == NULL) {
        return refuse("--file is missing");
    }
    if (options->block_bytes == 0 || options->block_bytes % 512 != 0 ||
        options->block_bytes > (64u << 20)) {
        return refuse("--bs must be a multiple of 512, at most 64M");
    }
    if (options->depth == 0 || options->depth > 4096) {
        return refuse("--depth must be 1 to 4096");
    }
    if (options->threads == 0 || options->threads > 64) {
        return refuse("--threads must be 1 to 64");
    }
    if (options->rw != COF_BENCH_NONE && options->amount_bytes == 0 && options->runtime_ns == 0) {
        return refuse("give --amount or --runtime, or it would never end");
    }
    if (options->raw && (!cof_bench_is_write(options->rw) || options->span_bytes == 0)) {
        return refuse("--raw needs --rw write or randwrite, and --span");
    }
    return 0;
}

int cof_bench_options_parse(int argc, char **argv, struct cof_bench_options *ret_options)
{
    struct option table[ROW_COUNT + 1];
    memset(table, 0, sizeof table);
    for (size_t i = 0; i < ROW_COUNT; i++) {
        bool alone = rows[i].kind == FLAG || rows[i].kind == HELP;
        table[i].name = rows[i].name;
        table[i].has_arg = alone ? no_argument : required_argument;
    }
    struct cof_bench_options options = {.volume = "bench",
                                        .block_bytes = 4096,
                                        .depth = 1,
                                        .threads = 1,
                                        .seed = 1,
                                        .store_bytes = 8ull << 30,
                                        .size_bytes = 1ull << 30};
    int index = 0;
    int found;
    while ((found = getopt_long(argc, argv, "", table, &index)) != -1) {
        if (found == '?') {
            return -1;
        }
        if (rows[index].kind == HELP) {
            print_help();
            return 1;
        }
        if (take(&rows[index], optarg, &options) != 0) {
            fprintf(stderr, "bench_volume: --%s: '%s' is not valid\n", rows[index].name, optarg);
            return -1;
        }
    }
    if (optind < argc) {
        return refuse("there is a word that belongs to no option");
    }
    if (validate(&options) != 0) {
        return -1;
    }
    *ret_options = options;
    return 0;
}
