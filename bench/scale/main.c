/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scale/main.c - bench_scale: what a volume of terabytes costs in memory, and a page in time, on a
 * simulated device. JSON on standard output; status 4 when the memory is over the bound.
 */
#include "scale/scale.h"

#include "common/args.h"

#include <stddef.h>
#include <stdio.h>

#define OVER_THE_BOUND 4
#define PROGRAM_BYTES (UINT64_C(48) << 20) /* code, libraries, this program, heap's own */
#define SIZE(name, text, help)                                                 \
    {                                                                          \
        text, COF_BENCH_SIZE, offsetof(struct scale_options, name), help, NULL \
    }

static const struct cof_bench_arg args[] = {
    SIZE(size_bytes, "size", "of the volume (16G)"),
    SIZE(store_bytes, "store", "of the simulated device (half as much again)"),
    SIZE(segment_bytes, "segment", "of a segment (8M)"),
    SIZE(scattered, "scattered", "write so many pages at random places, in place of all of them"),
    SIZE(overwrites, "overwrites", "pages written at random places after that (0)"),
    SIZE(lookups, "lookups", "pages looked up at random places (0)"),
    SIZE(depth, "depth", "requests in flight, a page each (64)"),
    SIZE(seed, "seed", "of all chance (1)"),
    {"keys", COF_BENCH_TEXT, offsetof(struct scale_options, keys),
     "directory with root.key, for key store and all: an encrypted volume", NULL},
    SIZE(staging_bytes, "staging", "budget of batch buffers (16M)"),
    SIZE(delta_entries, "delta-entries", "dirty map entries (6291456)"),
    SIZE(node_cache_bytes, "node-cache", "budget of map nodes (64M)"),
    SIZE(tag_cache_bytes, "tag-cache", "budget of tags (64M)"),
    SIZE(placement_bytes, "placement", "budget of placement (64M)"),
    SIZE(overspend, "overspend",
         "give the engine so many times the budgets that the bound is made from: must be found"),
    {"engine-only", COF_BENCH_FLAG, offsetof(struct scale_options, engine_only),
     "judge what the engine counts, not the process: of no use under a sanitizer", NULL},
};

static unsigned long long u(uint64_t value)
{
    return value;
}

static void print_span(const char *name, const struct scale_span *span)
{
    double pages = span->pages > 0 ? (double)span->pages : 1.0;
    printf("\"%s\": {\"pages\": %llu, \"wall_ns\": %llu, \"cpu_ns\": %llu, \"device_ns\": %llu, "
           "\"checkpoints\": %llu, \"meta_blocks\": %llu, \"read_blocks\": %llu, "
           "\"wall_ns_page\": %.1f, \"cpu_ns_page\": %.1f, \"engine_cpu_ns_page\": %.1f}",
           name, u(span->pages), u(span->wall_ns), u(span->cpu_ns), u(span->device_ns),
           u(span->checkpoints), u(span->meta_blocks), u(span->read_blocks),
           (double)span->wall_ns / pages, (double)span->cpu_ns / pages,
           ((double)span->cpu_ns - (double)span->device_ns) / pages);
}

static void print_marks(const struct scale_result *result)
{
    printf(", \"marks\": [");
    for (unsigned i = 0; i < result->mark_count; i++) {
        printf("%s{", i > 0 ? ", " : "");
        print_span("part", &result->marks[i]);
        printf("}");
    }
    printf("]");
}

static void print_options(const struct scale_options *options)
{
    printf("\"size_bytes\": %llu, \"store_bytes\": %llu, \"segment_bytes\": %llu, "
           "\"scattered\": %llu, \"depth\": %llu, \"seed\": %llu, \"encrypted\": %s, "
           "\"overspend\": %llu, \"staging_bytes\": %llu, \"delta_entries\": %llu, "
           "\"node_cache_bytes\": %llu, \"tag_cache_bytes\": %llu, \"placement_bytes\": %llu",
           u(options->size_bytes), u(options->store_bytes), u(options->segment_bytes),
           u(options->scattered), u(options->depth), u(options->seed),
           options->keys != NULL ? "true" : "false", u(options->overspend),
           u(options->staging_bytes), u(options->delta_entries), u(options->node_cache_bytes),
           u(options->tag_cache_bytes), u(options->placement_bytes));
}

static void print_memory(const struct scale_result *result, const struct scale_bound *bounds,
                         uint64_t bound)
{
    const struct scale_memory *memory = &result->memory;
    printf(", \"memory\": {\"engine_max_bytes\": %llu, \"engine_end_bytes\": %llu, "
           "\"process_max_bytes\": %llu, \"device_max_bytes\": %llu, \"bound_bytes\": %llu, "
           "\"program_bytes\": %llu, \"bounds\": {",
           u(memory->engine_max_bytes), u(memory->engine_bytes), u(memory->process_max_bytes),
           u(memory->device_max_bytes), u(bound), u(PROGRAM_BYTES));
    for (unsigned i = 0; i < SCALE_BOUNDS; i++) {
        printf("%s\"%s\": %llu", i > 0 ? ", " : "", bounds[i].name, u(bounds[i].bytes));
    }
    printf("}}");
}

static void print(const struct scale_options *options, const struct scale_result *result,
                  const struct scale_bound *bounds, uint64_t bound, bool within)
{
    printf("{");
    print_options(options);
    printf(", ");
    print_span("fill", &result->fill);
    printf(", ");
    print_span("overwrite", &result->overwrite);
    printf(", ");
    print_span("lookup", &result->lookup);
    print_marks(result);
    printf(", \"verified_pages\": %llu, \"hole_pages\": %llu, \"reopen_ns\": %llu, "
           "\"reopen_bytes\": %llu, \"segment_count\": %llu, \"live_bytes\": %llu",
           u(result->verified_pages), u(result->hole_pages), u(result->reopen_ns),
           u(result->reopen_bytes), u(result->segment_count), u(result->live_bytes));
    print_memory(result, bounds, bound);
    printf(", \"within\": %s}\n", within ? "true" : "false");
}

static bool options_bad(struct scale_options *options)
{
    uint64_t segment = options->segment_bytes;
    if (options->store_bytes == 0) {
        options->store_bytes = options->size_bytes / 2u * 3u;
    }
    return options->size_bytes < 16u << 20 || options->size_bytes % (2u << 20) != 0 ||
           segment < 1u << 20 || segment > 64u << 20 || (segment & (segment - 1u)) != 0 ||
           options->store_bytes / segment < 64u || options->store_bytes / segment > INT32_MAX ||
           options->depth < 1u || options->depth > 4096u || options->overspend < 1u;
}

int main(int argc, char **argv)
{
    struct scale_options options = {.size_bytes = UINT64_C(16) << 30,
                                    .segment_bytes = 8u << 20,
                                    .depth = 64,
                                    .seed = 1,
                                    .overspend = 1,
                                    .staging_bytes = 16u << 20,
                                    .delta_entries = 6291456,
                                    .node_cache_bytes = 64u << 20,
                                    .tag_cache_bytes = 64u << 20,
                                    .placement_bytes = 64u << 20};
    static struct scale_result result;
    struct scale_bound bounds[SCALE_BOUNDS];
    uint64_t bound = 0;
    bool within;
    int parsed = cof_bench_args_parse(argc, argv, "usage: bench_scale [OPTION]...", args,
                                      sizeof args / sizeof *args, &options);
    if (parsed != 0) {
        return parsed > 0 ? 0 : 2;
    }
    if (options_bad(&options)) {
        (void)cof_bench_args_refuse("an option is out of range: see --help");
        return 2;
    }
    if (scale_run(&options, &result) != 0) {
        return 1;
    }
    scale_bounds(&options, result.segment_count, bounds);
    for (unsigned i = 0; i < SCALE_BOUNDS; i++) {
        bound += bounds[i].bytes;
    }
    within = result.memory.engine_max_bytes <= bound &&
             (options.engine_only || result.memory.process_max_bytes <= bound + PROGRAM_BYTES);
    print(&options, &result, bounds, bound, within);
    if (!within) {
        fprintf(stderr,
                "bench_scale: %llu MiB in the engine, %llu in the process: over the bound "
                "of %llu\n",
                u(result.memory.engine_max_bytes >> 20), u(result.memory.process_max_bytes >> 20),
                u(bound >> 20));
        return OVER_THE_BOUND;
    }
    return 0;
}
