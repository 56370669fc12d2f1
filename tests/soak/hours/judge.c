/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hours/judge.c - what is counted at the end of each simulated hour, and over all of them.
 *
 * With all volumes closed and a checkpoint behind, nothing waits. Then the pages of data that the
 * placement descriptors call live are exactly those that the judge knows to be shown; the live
 * blocks of the segments' records are exactly live_bytes; each volume's mapped pages are the
 * judge's; and check, which counts anew from descriptors, checksums and with keys from the maps,
 * finds nothing. So the engine's account is held against two recounts, one of which it has no hand
 * in.
 */
#include "hours/soak.h"

#include <stdio.h>
#include <string.h>

#define MEMORY_GROWTH_PERCENT 5.0
#define MEMORY_ONCE_BYTES 4500000.0 /* the cleaner's buffer for a gather, at the first of a store */
#define METADATA_PERCENT_MAX 10.0
#define SPACE_MAX 2.5

struct tally {
    uint64_t data, nodes, segment_blocks, hidden;
    bool metadata;
};

struct mapped {
    struct soak *soak;
    uint64_t pages;
};

void soak_info(struct soak *soak, struct coffer_store_info *ret_info)
{
    memset(ret_info, 0, sizeof *ret_info);
    ret_info->size = sizeof *ret_info;
    soak_must(soak, coffer_store_info_get(soak->store, ret_info), "describing the store");
}

/* ---- the recount from the store's own tree of values ---- */

static int begin(void *ctx, const char *name)
{
    (void)ctx;
    (void)name;
    return 0;
}

static int end(void *ctx)
{
    (void)ctx;
    return 0;
}

static int number(void *ctx, const char *name, uint64_t value)
{
    struct tally *tally = ctx;
    if (name != NULL && strcmp(name, "live_blocks") == 0) {
        tally->segment_blocks += value;
    } else if (name != NULL && strcmp(name, "live") == 0) {
        tally->data += tally->metadata ? 0u : value;
        tally->nodes += tally->metadata ? value : 0u;
    }
    return 0;
}

static int string(void *ctx, const char *name, const char *value)
{
    struct tally *tally = ctx;
    tally->hidden += name != NULL && strcmp(name, "kind") == 0 && strcmp(value, "hidden") == 0;
    return 0;
}

static int boolean(void *ctx, const char *name, int value)
{
    struct tally *tally = ctx;
    if (name != NULL && strcmp(name, "metadata") == 0) {
        tally->metadata = value != 0;
    }
    return 0;
}

static void recount(struct soak *soak, struct tally *tally)
{
    const struct coffer_dump_ops ops = {.size = sizeof ops,
                                        .begin_object = begin,
                                        .begin_array = begin,
                                        .end = end,
                                        .number = number,
                                        .string = string,
                                        .boolean = boolean};
    memset(tally, 0, sizeof *tally);
    soak_must(soak, coffer_store_dump(soak->store, &ops, tally, &soak->fault), "dump");
}

/* ---- comparing ---- */

static int compare_mapped(void *ctx, const struct coffer_volume_info *info)
{
    struct mapped *mapped = ctx;
    for (unsigned i = 0; i < SOAK_TREES; i++) {
        const struct soak_tree *tree = &mapped->soak->trees[i];
        if (tree->used && !tree->snapshot && strcmp(tree->name, info->name) == 0) {
            uint64_t expected = soak_mapped(tree);
            harness_require(info->mapped_bytes == expected * COFFER_PAGE_BYTES,
                            "drift: %s maps %llu pages, it shows %llu", tree->name,
                            (unsigned long long)info->mapped_bytes / COFFER_PAGE_BYTES,
                            (unsigned long long)expected);
            mapped->pages += expected;
            return 0;
        }
    }
    harness_fail("there is a volume %s", info->name);
}

static uint64_t hidden_trees(const struct soak *soak)
{
    uint64_t hidden = 0;
    for (unsigned i = 0; i < SOAK_TREES; i++) {
        hidden += soak->trees[i].used && soak->trees[i].hidden ? 1u : 0u;
    }
    return hidden;
}

static void compare_counts(struct soak *soak, const struct coffer_store_info *info,
                           const struct tally *tally)
{
    uint64_t expected = soak->distinct + (soak->plant ? 1u : 0u);
    uint64_t live = info->live_bytes / COFFER_PAGE_BYTES;
    harness_require(tally->hidden == hidden_trees(soak),
                    "the version tree hides %llu nodes, the judge's %llu",
                    (unsigned long long)tally->hidden, (unsigned long long)hidden_trees(soak));
    harness_require(tally->data == expected, "drift: %llu pages of data live, %llu are shown",
                    (unsigned long long)tally->data, (unsigned long long)expected);
    /* The records count the few blocks that hold them as well. */
    harness_require(tally->segment_blocks >= live &&
                        tally->segment_blocks - live <= soak->options.segments / 128u + 4u,
                    "drift: the segments' records have %llu live blocks, the store counts %llu",
                    (unsigned long long)tally->segment_blocks, (unsigned long long)live);
    harness_require(live >= tally->data + tally->nodes,
                    "drift: the store counts %llu live blocks, descriptors %llu",
                    (unsigned long long)live, (unsigned long long)(tally->data + tally->nodes));
}

static int tell_finding(void *ctx, const struct coffer_finding *finding)
{
    struct soak *soak = ctx;
    snprintf(soak->fault.detail, sizeof soak->fault.detail, "%s %.40s: %.60s",
             coffer_error_name(finding->error), finding->volume, finding->text);
    return 0;
}

static void check(struct soak *soak, bool keyed)
{
    struct coffer_check_summary summary;
    struct coffer_check_opts opts = {.size = sizeof opts,
                                     .flags = keyed ? 0u : (unsigned)COFFER_CHECK_KEYLESS,
                                     .provider = &soak->kms.api,
                                     .on_finding = tell_finding,
                                     .ctx = soak};
    memset(&summary, 0, sizeof summary);
    soak_must(soak, coffer_store_check(soak->store, &opts, &summary, &soak->fault), "check");
    harness_require(summary.findings == 0, "check: %llu findings, the last: %s",
                    (unsigned long long)summary.findings, soak->fault.detail);
    soak->counts.checks++;
    soak->counts.keyed_checks += keyed ? 1u : 0u;
}

/* ---- what is kept ---- */

static void keep(struct soak *soak, uint64_t hour, const struct coffer_store_info *info,
                 const struct tally *tally, uint64_t open_memory, uint64_t mapped)
{
    double page = COFFER_PAGE_BYTES, shown = (double)soak->distinct * page;
    double used = (double)(info->segment_count - info->segments_free) * (double)info->segment_bytes;
    double written = (double)(soak->base_written + info->written_bytes);
    json_t *row = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f}", "hour", (json_int_t)hour,
        "memory_bytes_max", (json_int_t)soak->memory_max, "memory_bytes_open",
        (json_int_t)open_memory, "memory_bytes_closed", (json_int_t)info->memory_bytes,
        "live_bytes", (json_int_t)info->live_bytes, "data_pages", (json_int_t)tally->data,
        "node_pages", (json_int_t)tally->nodes, "mapped_pages", (json_int_t)mapped, "segments_free",
        (json_int_t)info->segments_free, "live_per_page", (double)info->live_bytes / shown,
        "space_amplification", used / shown, "write_amplification",
        written > 0 ? (double)(soak->base_device + info->device_write_bytes) / written : 0.0);
    json_object_set_new(row, "written_pages", json_integer((json_int_t)soak->counts.written_pages));
    json_object_set_new(row, "moved_bytes",
                        json_integer((json_int_t)(soak->base_moved + info->moved_bytes)));
    json_object_set_new(row, "refused", json_integer((json_int_t)soak->counts.refused));
    json_array_append_new(soak->hours, row);
    soak->memory_max = 0;
}

void soak_judge_hour(struct soak *soak, uint64_t hour)
{
    struct coffer_store_info info;
    struct tally tally;
    struct mapped mapped = {soak, 0};
    bool keyed = soak->options.keyed_every != 0 && hour % soak->options.keyed_every == 0;
    uint64_t open_memory;
    soak_drain(soak);
    soak_info(soak, &info);
    open_memory = info.memory_bytes;
    soak_close_volumes(soak);
    soak_must(soak, coffer_store_checkpoint(soak->store, &soak->fault), "checkpoint");
    soak_info(soak, &info);
    recount(soak, &tally);
    soak_must(
        soak,
        coffer_volume_list(soak->store, &soak->kms.api, compare_mapped, &mapped, &soak->fault),
        "listing volumes");
    compare_counts(soak, &info, &tally);
    check(soak, keyed);
    keep(soak, hour, &info, &tally, open_memory, mapped.pages);
    if (keyed) {
        soak_look_at_all(soak);
        soak_store_close(soak);
        soak_store_open(soak);
        soak->counts.reopened_stores++;
    }
    soak_open_volumes(soak);
}

/* ---- over all hours ---- */

static double most_of(const struct soak *soak, const char *name, size_t from, size_t to)
{
    double most = 0;
    for (size_t i = from; i < to; i++) {
        double value = json_number_value(json_object_get(json_array_get(soak->hours, i), name));
        most = value > most ? value : most;
    }
    return most;
}

void soak_judge_all(struct soak *soak)
{
    size_t hours = json_array_size(soak->hours), third = hours / 3u;
    double before = most_of(soak, "memory_bytes_max", 0, hours - third);
    double after = most_of(soak, "memory_bytes_max", hours - third, hours);
    double limit = before * (1.0 + MEMORY_GROWTH_PERCENT / 100.0) + MEMORY_ONCE_BYTES;
    harness_require(after <= limit,
                    "memory is not flat: %.0f bytes in the first two thirds of the hours, %.0f in "
                    "the last",
                    before, after);
    for (size_t i = 0; i < hours; i++) {
        const json_t *row = json_array_get(soak->hours, i);
        double live = json_number_value(json_object_get(row, "live_per_page"));
        double space = json_number_value(json_object_get(row, "space_amplification"));
        harness_require(live <= 1.0 + METADATA_PERCENT_MAX / 100.0,
                        "hour %zu: %.3f blocks live for each page of data", i + 1u, live);
        harness_require(space <= SPACE_MAX, "hour %zu: %.2f blocks are used for each page of data",
                        i + 1u, space);
    }
}
