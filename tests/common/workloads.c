/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/workloads.c - see workloads.h. All randomness comes from the world's own stream, so a run
 * follows from its seed. Sizes are small: a run is a few hundred events of the device.
 */
#include "common/workload_steps.h"
#include "common/world_snapshot.h"

#include "common/harness.h"
#include "common/tight.h"

#include <string.h>

#define PRESSES_MAX 20u

static uint32_t pick(struct world *world, uint32_t bound)
{
    return prng_below(&world->prng, bound);
}

int workload_begin(struct world *world, struct workload_marks *marks, bool encrypted,
                   unsigned *ret_volume)
{
    marks->begun = 0;
    try(world_create(world));
    marks->created = sim_disk_events(world->disk);
    try(world_open(world));
    try(world_volume_create(world, WORKLOAD_PAGES, WORKLOAD_PAGES_MAX, encrypted, ret_volume));
    try(world_volume_open(world, *ret_volume));
    marks->begun = sim_disk_events(world->disk);
    return 0;
}

int workload_scatter(struct world *world, unsigned volume, uint32_t span, uint32_t most)
{
    uint32_t count = 1 + pick(world, most);
    uint32_t page = pick(world, span - count + 1);
    return world_write_pages(world, volume, page, count);
}

static int run_creation(struct world *world, struct workload_marks *marks)
{
    unsigned volume, plain;
    marks->begun = 0;
    try(world_create(world));
    marks->created = sim_disk_events(world->disk);
    try(world_open(world));
    try(world_volume_create(world, WORKLOAD_PAGES, WORKLOAD_PAGES_MAX, true, &volume));
    try(world_volume_open(world, volume));
    try(workload_scatter(world, volume, WORKLOAD_PAGES, 8));
    try(world_flush(world, volume));
    try(world_volume_create(world, 64, 64, false, &plain));
    try(world_volume_close(world, volume));
    try(world_volume_open(world, plain));
    try(workload_scatter(world, plain, 64, 4));
    try(world_close(world));
    try(world_open(world));
    try(world_volume_open(world, volume));
    return workload_scatter(world, volume, WORKLOAD_PAGES, 8);
}

/* Through the queue: sizes from a page to 1 MiB, some with FUA, a flush now and then. */
static int run_writes(struct world *world, struct workload_marks *marks)
{
    unsigned volume;
    try(workload_begin(world, marks, true, &volume));
    try(world_queue_open(world));
    for (unsigned i = 0; i < 60; i++) {
        uint32_t count = pick(world, 8) == 0 ? 1 + pick(world, 256) : 1 + pick(world, 12);
        uint32_t page = pick(world, WORKLOAD_PAGES - count + 1);
        try(world_submit(world, WORLD_WRITE, volume, page * MODEL_SECTORS, count * MODEL_SECTORS,
                         world_io_flags(world)));
        if (pick(world, 12) == 0) {
            try(world_submit(world, WORLD_FLUSH, volume, 0, 0, 0));
        }
    }
    return world_drain(world);
}

static int run_overwrites(struct world *world, struct workload_marks *marks)
{
    unsigned volume;
    try(workload_begin(world, marks, true, &volume));
    for (unsigned i = 0; i < 80; i++) {
        try(workload_scatter(world, volume, 24, 3));
        if (i % 5 == 4) {
            try(world_flush(world, volume));
        }
        if (i % 27 == 26) {
            try(world_checkpoint(world));
        }
    }
    return 0;
}

static int run_discard(struct world *world, struct workload_marks *marks)
{
    unsigned volume;
    try(workload_begin(world, marks, true, &volume));
    try(world_write_pages(world, volume, 0, 200));
    for (unsigned i = 0; i < 70; i++) {
        static const enum world_kind kinds[] = {WORLD_WRITE, WORLD_DISCARD, WORLD_ZERO};
        uint32_t sectors = WORKLOAD_PAGES * MODEL_SECTORS;
        uint32_t count = 1 + pick(world, pick(world, 6) == 0 ? 2048 : 100);
        uint32_t sector = pick(world, sectors - count + 1);
        if (pick(world, 3) != 0) {
            sector &= ~7u;
            count = (count + 7) & ~7u;
            sector = sector + count > sectors ? sectors - count : sector;
        }
        try(world_io(world, kinds[pick(world, 3)], volume, sector, count,
                     pick(world, 12) == 0 ? COFFER_IO_FUA : 0));
        if (i % 9 == 8) {
            try(world_flush(world, volume));
        }
        if (i == 40) {
            try(world_checkpoint(world));
        }
    }
    return 0;
}

static int run_flushes(struct world *world, struct workload_marks *marks)
{
    unsigned volume;
    try(workload_begin(world, marks, true, &volume));
    for (unsigned i = 0; i < 60; i++) {
        uint32_t page = pick(world, WORKLOAD_PAGES);
        unsigned fua = pick(world, 2);
        try(world_io(world, WORLD_WRITE, volume, (uint64_t)page * MODEL_SECTORS, MODEL_SECTORS,
                     fua != 0 ? COFFER_IO_FUA : 0));
        if (fua == 0) {
            try(world_flush(world, volume));
        }
    }
    return 0;
}

/* Whole regions are written again and again between checkpoints, so segments die and are reused. */
static int run_checkpoints(struct world *world, struct workload_marks *marks)
{
    unsigned volume;
    try(workload_begin(world, marks, true, &volume));
    for (unsigned i = 0; i < 24; i++) {
        try(world_write_pages(world, volume, pick(world, 2) * 128, 128));
        try(workload_scatter(world, volume, WORKLOAD_PAGES, 4));
        if (i % 3 == 0) {
            try(world_flush(world, volume));
        }
        try(i % 2 == 0 ? world_checkpoint(world) : world_maintain(world));
    }
    return 0;
}

static void tune_checkpoints(struct world_options *options)
{
    options->delta_entries_max = 200;
}

static int run_two_volumes(struct world *world, struct workload_marks *marks)
{
    unsigned volumes[2];
    try(workload_begin(world, marks, true, &volumes[0]));
    try(world_volume_create(world, 256, 256, true, &volumes[1]));
    try(world_volume_open(world, volumes[1]));
    try(world_queue_open(world));
    for (unsigned i = 0; i < 70; i++) {
        unsigned volume = volumes[pick(world, 2)];
        uint32_t count = 1 + pick(world, 6);
        uint32_t page = pick(world, 256 - count + 1);
        try(world_submit(world, pick(world, 8) == 0 ? WORLD_DISCARD : WORLD_WRITE, volume,
                         page * MODEL_SECTORS, count * MODEL_SECTORS, 0));
        if (i % 10 == 9) {
            try(world_submit(world, WORLD_FLUSH, volume, 0, 0, 0));
        }
        if (i == 35) {
            try(world_drain(world));
            try(world_checkpoint(world));
        }
    }
    try(world_drain(world));
    try(world_volume_close(world, volumes[0]));
    for (unsigned i = 0; i < 10; i++) {
        try(workload_scatter(world, volumes[1], 256, 4));
    }
    return 0;
}

static int run_resize(struct world *world, struct workload_marks *marks)
{
    unsigned volume;
    try(workload_begin(world, marks, true, &volume));
    for (unsigned i = 0; i < 14; i++) {
        uint32_t pages = (uint32_t)model_volume_pages(world->model, volume);
        for (unsigned at = 0; at < 3; at++) {
            try(workload_scatter(world, volume, pages, 8));
        }
        if (i % 3 == 0) {
            try(world_flush(world, volume));
        }
        try(world_volume_resize(world, volume, 64 + pick(world, WORKLOAD_PAGES_MAX - 64)));
        if (i == 6) {
            try(world_store_resize(world, 72, NULL, NULL));
        }
    }
    return 0;
}

static void tune_resize(struct world_options *options)
{
    options->segments_max = 80;
}

#define FILL_PAGES 250u /* about a segment of the log */
#define HIGH_SEGMENTS 96u
#define STOPPED 77

static int write_meanwhile(struct world *world, void *ctx, unsigned call)
{
    const unsigned *volume = ctx;
    int error = workload_scatter(world, *volume, WORKLOAD_PAGES, 6);
    if (error == 0 && call % 2 == 0) {
        error = world_flush(world, *volume);
    }
    return error;
}

static int stop(struct world *world, void *ctx, unsigned call)
{
    (void)world;
    (void)ctx;
    return call >= 2 ? STOPPED : 0;
}

/* A volume and its map in segments from 64 on. What was written below them goes, or, in a tight
 * world, is the ballast. */
static int make_high(struct world *world, unsigned volume)
{
    unsigned filler;
    try(world_store_resize(world, HIGH_SEGMENTS, NULL, NULL));
    try(world_volume_create(world, 61 * FILL_PAGES, 61 * FILL_PAGES, false, &filler));
    try(world_volume_open(world, filler));
    for (uint32_t i = 0; i < 61 && world->options.tight == 0; i++) {
        try(world_write_pages(world, filler, i * FILL_PAGES, FILL_PAGES));
    }
    for (uint32_t i = 0; i < WORKLOAD_PAGES; i += 128) {
        try(world_write_pages(world, volume, i, 128));
        try(world_write_pages(world, filler, i, 100));
    }
    try(world_checkpoint(world));
    try(world_volume_close(world, filler));
    return world_volume_delete(world, filler);
}

static int run_shrink(struct world *world, struct workload_marks *marks)
{
    unsigned volume;
    int error;
    try(workload_begin(world, marks, true, &volume));
    try(make_high(world, volume));
    try(world_checkpoint(world));
    marks->begun = sim_disk_events(world->disk);
    error = world_store_resize(world, 66, stop, NULL);
    if (error != STOPPED && error != 0) {
        return error;
    }
    try(workload_scatter(world, volume, WORKLOAD_PAGES, 6));
    try(world_flush(world, volume));
    try(world_store_resize(world, 66, write_meanwhile, &volume));
    try(workload_scatter(world, volume, WORKLOAD_PAGES, 6));
    try(world_store_resize(world, 70, NULL, NULL));
    try(workload_scatter(world, volume, WORKLOAD_PAGES, 6));
    return world_flush(world, volume);
}

static void tune_shrink(struct world_options *options)
{
    options->segments_max = HIGH_SEGMENTS;
}

static int run_reopens(struct world *world, struct workload_marks *marks)
{
    unsigned volume;
    try(workload_begin(world, marks, true, &volume));
    for (unsigned i = 0; i < 8; i++) {
        for (unsigned at = 0; at < 4; at++) {
            try(workload_scatter(world, volume, WORKLOAD_PAGES, 6));
        }
        if (i % 2 == 0) {
            try(world_close(world));
        } else {
            try(world_flush(world, volume));
            try(world_volume_close(world, volume));
        }
        if (world->store == NULL) {
            det_env_incarnate(&world->env, world->options.seed, ++world->incarnation);
            try(world_open(world));
        }
        try(world_volume_open(world, volume));
    }
    return 0;
}

static void tune_anchor(struct world_options *options)
{
    options->anchor = true;
}

static int run_plain(struct world *world, struct workload_marks *marks)
{
    unsigned volume;
    try(workload_begin(world, marks, false, &volume));
    for (unsigned i = 0; i < 60; i++) {
        try(workload_scatter(world, volume, WORKLOAD_PAGES, i % 10 == 0 ? 130 : 5));
        if (i % 6 == 5) {
            try(world_flush(world, volume));
        }
        if (i % 25 == 24) {
            try(world_checkpoint(world));
        }
    }
    return 0;
}

/* Parts of pages, at every border; the clock runs, so syncs and checkpoints fall due. */
static int run_sectors(struct world *world, struct workload_marks *marks)
{
    unsigned volume;
    try(workload_begin(world, marks, true, &volume));
    for (unsigned i = 0; i < 70; i++) {
        uint32_t count = 1 + pick(world, 20);
        uint32_t sector = pick(world, 64 * MODEL_SECTORS - count);
        try(world_io(world, WORLD_WRITE, volume, sector, count, 0));
        det_env_advance(&world->env, (uint64_t)pick(world, 400) * 1000000u);
        if (i % 7 == 6) {
            try(world_maintain(world));
        }
    }
    return 0;
}

static void tune_sectors(struct world_options *options)
{
    options->checkpoint_ns = UINT64_C(3000000000);
    options->sync_ns = UINT64_C(500000000);
}

static int run_churn(struct world *world, struct workload_marks *marks)
{
    unsigned volume, other;
    try(workload_begin(world, marks, true, &volume));
    for (unsigned i = 0; i < 5; i++) {
        try(world_volume_create(world, 64, 64, i % 2 == 0, &other));
        try(workload_scatter(world, volume, WORKLOAD_PAGES, 4));
        try(world_volume_open(world, other));
        try(workload_scatter(world, other, 64, 8));
        if (i % 2 == 0) {
            try(world_flush(world, other));
        }
        try(world_volume_close(world, other));
        try(workload_scatter(world, volume, WORKLOAD_PAGES, 4));
        if (i % 3 != 2) {
            try(world_volume_delete(world, other));
        }
    }
    return world_flush(world, volume);
}

const struct workload workloads[WORKLOADS] = {
    {"creation", "store and volumes made, first writes", run_creation, NULL},
    {"writes", "queue, 4 KiB to 1 MiB, FUA and flush now and then", run_writes, NULL},
    {"overwrites", "few pages, over and over", run_overwrites, NULL},
    {"discard", "discard and write-zeroes among writes, with parts of pages", run_discard, NULL},
    {"flushes", "each write flushed or FUA", run_flushes, NULL},
    {"checkpoints", "checkpoints forced by a small delta, segments reused", run_checkpoints,
     tune_checkpoints},
    {"two_volumes", "two volumes through one queue", run_two_volumes, NULL},
    {"resize", "volume grown and shrunk, store grown", run_resize, tune_resize},
    {"shrink", "store emptied from its end, stopped, gone on with beside writes, cut, grown",
     run_shrink, tune_shrink},
    {"reopens", "store and volume closed and opened, with an anchor", run_reopens, tune_anchor},
    {"plain", "an unencrypted volume", run_plain, NULL},
    {"sectors", "parts of pages, syncs and checkpoints by the clock", run_sectors, tune_sectors},
    {"churn", "volumes created and deleted beside writes", run_churn, NULL},
    {"snapshots", "snapshots taken beside writes, with requests in flight", workload_snapshots,
     NULL},
    {"deletes", "snapshots without, with one, with two children deleted, hidden ones go",
     workload_deletes, NULL},
    {"clones", "volumes made of snapshots, and of snapshots of those", workload_clones, NULL},
    {"rekeys", "a volume and its snapshots under other keys, at each depth; a recipient",
     workload_rekeys, NULL},
    {"reencrypt", "a family sealed anew under new data keys, in use, snapshot and cloned meanwhile",
     workload_reencrypt, NULL},
    {"losses", "keys lost under open volumes, which stop, are started, or are deleted without one",
     workload_losses, NULL},
};

const struct workload *workload_find(const char *name)
{
    for (unsigned i = 0; i < WORKLOADS; i++) {
        if (strcmp(workloads[i].name, name) == 0) {
            return &workloads[i];
        }
    }
    return NULL;
}

void workload_options(const struct workload *workload, uint64_t seed, bool record, bool tight,
                      struct world_options *ret_options)
{
    memset(ret_options, 0, sizeof *ret_options);
    ret_options->seed = prng_mix(seed, (uint64_t)(workload - workloads));
    ret_options->disk.record = record;
    ret_options->disk.shuffle = true;
    ret_options->disk.delay_polls_max = (unsigned)(seed % 3);
    ret_options->disk.again = false;
    ret_options->tight = tight ? tight_kind_for(seed) : TIGHT_NOT;
    ret_options->disk.delay_polls_max *= tight ? 8u : 1u; /* groups are in flight for a while */
    if (workload->tune != NULL) {
        workload->tune(ret_options);
    }
}

/* The shortest workloads end before the cleaner has moved anything. */
static int press(struct world *world)
{
    struct coffer_store_info info = {.size = sizeof info};
    for (unsigned i = 0; i < PRESSES_MAX; i++) {
        try(coffer_store_info_get(world->store, &info));
        if (info.moved_bytes > 0) {
            break;
        }
        try(tight_squeeze(world));
    }
    return 0;
}

int workload_run(const struct workload *workload, struct world *world,
                 struct workload_marks *marks)
{
    struct workload_marks unused = {0, 0};
    try(workload->run(world, marks == NULL ? &unused : marks));
    if (world->options.tight != TIGHT_NOT) {
        try(press(world));
    }
    return world_close(world);
}

void workload_go_on(struct world *world)
{
    unsigned count = 0;
    must(world, world_reencrypt_finish(world));
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        uint32_t pages;
        if (!world->model->volumes[v].used || world->volumes[v] == NULL) {
            continue;
        }
        pages = (uint32_t)model_volume_pages(world->model, v);
        for (unsigned i = 0; i < 3; i++) {
            must(world, workload_scatter(world, v, pages, pages < 8 ? pages : 8));
        }
        must(world, world_io(world, WORLD_READ, v, 0, pages * MODEL_SECTORS, 0));
        must(world, world_flush(world, v));
        count++;
    }
    if (count == 0) {
        unsigned v;
        must(world, world_volume_create(world, 64, 64, true, &v));
    }
}
