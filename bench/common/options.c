/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/options.c - the options of bench_volume; see options.h.
 */
#include "common/options.h"
#include "common/args.h"
#include <stddef.h>

#define PLACE(member) offsetof(struct cof_bench_options, member)

static const char *const rw_names[] = {"none",     "write",  "read", "randwrite",
                                       "randread", "randrw", NULL};
static const char *const durable_names[] = {"end", "flush", "fua", "write-back", NULL};

/* In the order of enum coffer_cipher_backend. */
static const char *const cipher_names[] = {"auto", "evp", "ipsec-mb", NULL};

static const struct cof_bench_arg args[] = {
    {"rw", COF_BENCH_WORD, PLACE(rw),
     "write, read, randwrite, randread, randrw, or none: open and close", rw_names},
    {"file", COF_BENCH_TEXT, PLACE(file), "the store", NULL},
    {"keys", COF_BENCH_TEXT, PLACE(keys), "directory of key store and root key, made when absent",
     NULL},
    {"volume", COF_BENCH_TEXT, PLACE(volume), "its name (bench)", NULL},
    {"create", COF_BENCH_FLAG, PLACE(create), "make the store and the volume first", NULL},
    {"add-volume", COF_BENCH_FLAG, PLACE(add_volume), "make the volume in a store that is there",
     NULL},
    {"raw", COF_BENCH_FLAG, PLACE(raw),
     "no store: writes of --bs and fdatasync on --file, one at a time", NULL},
    {"store-size", COF_BENCH_SIZE, PLACE(store_bytes), "size of the store made (8G)", NULL},
    {"size", COF_BENCH_SIZE, PLACE(size_bytes), "size of the volume made (1G)", NULL},
    {"span", COF_BENCH_SIZE, PLACE(span_bytes), "work on so much of the volume (all)", NULL},
    {"bs", COF_BENCH_SIZE, PLACE(block_bytes), "bytes a request (4K)", NULL},
    {"depth", COF_BENCH_SIZE, PLACE(depth), "requests in flight (1)", NULL},
    {"threads", COF_BENCH_SIZE, PLACE(threads), "threads, each with its queue and depth (1)", NULL},
    {"amount", COF_BENCH_SIZE, PLACE(amount_bytes), "stop after so many bytes", NULL},
    {"runtime", COF_BENCH_SECONDS, PLACE(runtime_ns), "stop after so many seconds", NULL},
    {"durable", COF_BENCH_WORD, PLACE(durable),
     "end: one flush at the end; flush or fua: each write; write-back: in memory, then as end",
     durable_names},
    {"reads-hot", COF_BENCH_FLAG, PLACE(hot), "read everything once before the measured time",
     NULL},
    {"rate", COF_BENCH_SIZE, PLACE(rate), "requests a second, of all threads (as many as go)",
     NULL},
    {"read-percent", COF_BENCH_SIZE, PLACE(read_percent), "of the requests of randrw (70)", NULL},
    {"readers", COF_BENCH_SIZE, PLACE(readers),
     "threads that read single pages at random meanwhile, measured apart (0)", NULL},
    {"seed", COF_BENCH_SIZE, PLACE(seed), "of random offsets (1)", NULL},
    {"kill-at-end", COF_BENCH_FLAG, PLACE(kill_at_end), "end as kill -9 would, after a flush",
     NULL},
    {"background", COF_BENCH_FLAG, PLACE(background),
     "a thread of the library's own runs what is due", NULL},
    {"cipher", COF_BENCH_WORD, PLACE(cipher), "what seals pages: auto, evp or ipsec-mb (auto)",
     cipher_names},
    {"staging", COF_BENCH_SIZE, PLACE(staging_bytes), "budget; so are the five below", NULL},
    {"delta-entries", COF_BENCH_SIZE, PLACE(delta_entries_max),
     "dirty map entries before a checkpoint", NULL},
    {"node-cache", COF_BENCH_SIZE, PLACE(node_cache_bytes), "map nodes", NULL},
    {"tag-cache", COF_BENCH_SIZE, PLACE(tag_cache_bytes), "page tags", NULL},
    {"placement", COF_BENCH_SIZE, PLACE(placement_bytes), "placement descriptors", NULL},
    {"key-arena", COF_BENCH_SIZE, PLACE(key_arena_bytes), "locked memory for keys", NULL},
    {"checkpoint-every", COF_BENCH_SECONDS, PLACE(checkpoint_ns),
     "longest time between checkpoints", NULL},
    {"sync-every", COF_BENCH_SECONDS, PLACE(sync_ns), "longest time a write waits for a sync",
     NULL},
};

struct cof_load_shape cof_bench_options_shape(const struct cof_bench_options *options)
{
    return (struct cof_load_shape){.rw = options->rw,
                                   .durable = options->durable,
                                   .block_bytes = options->block_bytes,
                                   .depth = options->depth,
                                   .amount_bytes = options->amount_bytes,
                                   .runtime_ns = options->runtime_ns,
                                   .seed = options->seed,
                                   .rate = options->rate,
                                   .read_percent = options->read_percent};
}

const char *cof_bench_rw_name(enum cof_load_rw rw)
{
    return rw_names[rw];
}

static int validate(const struct cof_bench_options *options)
{
    if (options->file == NULL) {
        return cof_bench_args_refuse("--file is missing");
    }
    if (options->block_bytes == 0 || options->block_bytes % 512 != 0 ||
        options->block_bytes > (64u << 20)) {
        return cof_bench_args_refuse("--bs must be a multiple of 512, at most 64M");
    }
    if (options->depth == 0 || options->depth > 4096) {
        return cof_bench_args_refuse("--depth must be 1 to 4096");
    }
    if (options->threads == 0 || options->threads > 64) {
        return cof_bench_args_refuse("--threads must be 1 to 64");
    }
    if (options->readers > 64 || (options->readers > 0 && options->rw == COF_LOAD_NONE)) {
        return cof_bench_args_refuse("--readers are at most 64, beside a load");
    }
    if (options->read_percent > 100) {
        return cof_bench_args_refuse("--read-percent is 0 to 100");
    }
    if (options->rw != COF_LOAD_NONE && options->amount_bytes == 0 && options->runtime_ns == 0) {
        return cof_bench_args_refuse("give --amount or --runtime, or it would never end");
    }
    if (options->raw && (!cof_load_writes(options->rw) || options->rw == COF_LOAD_RANDRW ||
                         options->span_bytes == 0)) {
        return cof_bench_args_refuse("--raw needs --rw write or randwrite, and --span");
    }
    return 0;
}

int cof_bench_options_parse(int argc, char **argv, struct cof_bench_options *ret_options)
{
    struct cof_bench_options options = {.volume = "bench",
                                        .block_bytes = 4096,
                                        .depth = 1,
                                        .threads = 1,
                                        .read_percent = 70,
                                        .seed = 1,
                                        .store_bytes = 8ull << 30,
                                        .size_bytes = 1ull << 30};
    int parsed = cof_bench_args_parse(argc, argv,
                                      "usage: bench_volume --rw HOW --file STORE [option]...\n"
                                      "Runs one load on a volume through the queue API and prints "
                                      "the result as JSON.\n",
                                      args, sizeof args / sizeof args[0], &options);
    if (parsed != 0) {
        return parsed;
    }
    if (validate(&options) != 0) {
        return -1;
    }
    *ret_options = options;
    return 0;
}
