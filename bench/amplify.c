/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_amplify - what the engine's cleaner writes for a page that a caller writes, on a store in
 * memory, for bench/run-cleaner-sim to put beside the simulator's figure.
 *
 * The volume, the pages that are written, their order and what is counted are sim_cleaner's: the
 * volume is written once in order, then overwritten, --warm percent of it unmeasured and --measure
 * percent measured, in batches that are submitted and reaped whole. At the end every page is read
 * and the store checked: a store that lost something has no figure. It judges nothing else. One
 * thread.
 */
#include "common/args.h"
#include "common/choice.h"
#include "common/load.h"
#include "tools/load/plan.h"
#include "common/ram.h"
#include "common/target.h"
#include <coffer/snapshot.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_BYTES 4096u
#define BATCH_MAX 4096u
#define SAMPLES 64u
#define NODE_SLOTS 512u
#define ROOT_SEGMENTS 3u /* that root slots lie in */
#define NEVER_NS (1000000u * 1000000000ull)

struct options {
    uint64_t segments, segment_bytes, fill, pinned, warm, measure, snapshots, snapshot_every;
    uint64_t long_lived, batch, heads, seed;
    enum cof_bench_choice_kind load;
    const char *keys;
};

#define PLACE(member) offsetof(struct options, member)

static const char *const loads[] = {COF_BENCH_CHOICE_NAMES, NULL};

static const struct cof_bench_arg args[] = {
    {"segments", COF_BENCH_SIZE, PLACE(segments), "segments of the store (512)", NULL},
    {"segment", COF_BENCH_SIZE, PLACE(segment_bytes), "bytes of one (8M)", NULL},
    {"fill", COF_BENCH_SIZE, PLACE(fill), "percent of the blocks that live, metadata included (80)",
     NULL},
    {"pinned", COF_BENCH_SIZE, PLACE(pinned),
     "percent that snapshots pin beside the volume's pages (0)", NULL},
    {"load", COF_BENCH_WORD, PLACE(load), "what is written", loads},
    {"heads", COF_BENCH_SIZE, PLACE(heads), "of the cleaner; 0: the library's choice (0)", NULL},
    {"batch", COF_BENCH_SIZE, PLACE(batch), "pages submitted at once (120)", NULL},
    {"snapshots", COF_BENCH_SIZE, PLACE(snapshots), "kept, the oldest deleted for a new one (0)",
     NULL},
    {"snapshot-every", COF_BENCH_SIZE, PLACE(snapshot_every),
     "percent of the volume overwritten between two (10)", NULL},
    {"long-lived", COF_BENCH_SIZE, PLACE(long_lived),
     "1: one snapshot, taken after the first filling (0)", NULL},
    {"warm", COF_BENCH_SIZE, PLACE(warm),
     "percent of the volume overwritten before the figures count (400)", NULL},
    {"measure", COF_BENCH_SIZE, PLACE(measure), "and while they count (200)", NULL},
    {"seed", COF_BENCH_SIZE, PLACE(seed), "of all chance (1)", NULL},
    {"keys", COF_BENCH_TEXT, PLACE(keys),
     "directory of key store and root key: the volume is encrypted", NULL},
};

struct run {
    const struct options *options;
    struct cof_bench_ram ram;
    struct cof_bench_options target_options;
    struct cof_bench_target target;
    struct cof_bench_choice choice;
    struct coffer_queue *queue;
    struct coffer_io *ios;
    struct coffer_cqe *cqes;
    struct iovec *iov;
    uint8_t *buffers;
    uint64_t pages, overwritten, next_snapshot, oldest_snapshot;
    struct coffer_store_info before, after;
    uint64_t samples, live_bytes, free_segments, waiting_segments; /* sums over the samples */
    uint64_t start_ns, elapsed_ns;
};

static int look(struct run *run, struct coffer_store_info *info)
{
    memset(info, 0, sizeof *info);
    info->size = sizeof *info;
    int error = coffer_store_info_get(run->target.store, info);
    return error == 0 ? 0 : cof_bench_complain("describing the store", error, NULL);
}

/* ---- writing ---- */

static int reap_all(struct run *run, unsigned in_flight)
{
    while (in_flight > 0) {
        int got = coffer_reap(run->queue, run->cqes, in_flight, 1);
        if (got < 0) {
            return cof_bench_complain("reap", got, NULL);
        }
        for (int i = 0; i < got; i++) {
            if (run->cqes[i].result != 0) {
                return cof_bench_complain("a write", run->cqes[i].result, &run->cqes[i].fault);
            }
        }
        in_flight -= (unsigned)got;
    }
    return 0;
}

/* The batch's first `count` pages, whose numbers are in their ios. */
static int write_batch(struct run *run, unsigned count)
{
    unsigned done = 0;
    for (unsigned i = 0; i < count; i++) {
        cof_load_stamp(run->iov[i].iov_base, run->ios[i].offset_bytes, PAGE_BYTES);
    }
    while (done < count) {
        int taken = coffer_submit(run->queue, run->ios + done, count - done);
        if (taken < 0 && taken != COFFER_E_AGAIN) {
            return cof_bench_complain("submit", taken, NULL);
        }
        int error = reap_all(run, taken < 0 ? 0 : (unsigned)taken);
        if (error != 0) {
            return error;
        }
        done += taken < 0 ? 0 : (unsigned)taken;
    }
    return 0;
}

static int write_pages(struct run *run, uint64_t count, bool in_order)
{
    int error = 0;
    for (uint64_t done = 0; error == 0 && done < count;) {
        uint64_t left = count - done;
        unsigned now = (unsigned)(left < run->options->batch ? left : run->options->batch);
        for (unsigned i = 0; i < now; i++) {
            uint64_t page = in_order ? done + i : cof_bench_choice_next(&run->choice);
            run->ios[i].offset_bytes = page * PAGE_BYTES;
        }
        error = write_batch(run, now);
        done += now;
    }
    return error;
}

/* ---- snapshots ---- */

static struct coffer_snapshot_opts named(const struct run *run, uint64_t number, char name[24])
{
    snprintf(name, 24, "s%llu", (unsigned long long)number);
    return (struct coffer_snapshot_opts){
        .size = sizeof(struct coffer_snapshot_opts),
        .volume = "bench",
        .name = name,
        .provider = run->options->keys == NULL ? NULL : &run->target.provider};
}

static int take_snapshot(struct run *run)
{
    char name[24];
    struct coffer_fault fault;
    memset(&fault, 0, sizeof fault);
    struct coffer_snapshot_opts opts = named(run, run->next_snapshot++, name);
    int error = coffer_snapshot_create(run->target.volume, &opts, NULL, &fault);
    return error == 0 ? 0 : cof_bench_complain("taking a snapshot", error, &fault);
}

static int roll_snapshots(struct run *run)
{
    char name[24];
    struct coffer_fault fault;
    memset(&fault, 0, sizeof fault);
    int error = take_snapshot(run);
    if (error != 0 || run->next_snapshot - run->oldest_snapshot <= run->options->snapshots) {
        return error;
    }
    struct coffer_snapshot_opts opts = named(run, run->oldest_snapshot++, name);
    error = coffer_snapshot_delete(run->target.store, &opts, &fault);
    return error == 0 ? 0 : cof_bench_complain("deleting a snapshot", error, &fault);
}

/* ---- the run ---- */

static int sample(struct run *run)
{
    struct coffer_store_info info;
    int error = look(run, &info);
    run->samples++;
    run->live_bytes += info.live_bytes;
    run->free_segments += info.segments_free;
    run->waiting_segments += info.segments_waiting;
    return error;
}

/* Overwrite so many percent of the volume, with snapshots where they fall due. */
static int overwrite(struct run *run, uint64_t percent, bool measured)
{
    uint64_t left = run->pages * percent / 100u;
    uint64_t every = run->pages * run->options->snapshot_every / 100u;
    uint64_t part = left / SAMPLES + 1u;
    int error = 0;
    while (error == 0 && left > 0) {
        uint64_t count = left < part ? left : part;
        if (run->options->snapshots != 0) {
            uint64_t until = every - run->overwritten % every;
            count = count < until ? count : until;
        }
        error = write_pages(run, count, false);
        run->overwritten += count;
        left -= count;
        if (error == 0 && run->options->snapshots != 0 && run->overwritten % every == 0) {
            error = roll_snapshots(run);
        }
        if (error == 0 && measured) {
            error = sample(run);
        }
    }
    return error;
}

static int measure(struct run *run)
{
    int error = write_pages(run, run->pages, true);
    if (error == 0 && run->options->long_lived != 0) {
        error = take_snapshot(run);
    }
    if (error == 0) {
        error = overwrite(run, run->options->warm, false);
    }
    if (error == 0) {
        error = look(run, &run->before);
    }
    run->start_ns = cof_load_now_ns();
    if (error == 0) {
        error = overwrite(run, run->options->measure, true);
    }
    run->elapsed_ns = cof_load_now_ns() - run->start_ns;
    return error == 0 ? look(run, &run->after) : error;
}

/* ---- nothing may be lost ---- */

static int read_all(struct run *run)
{
    struct cof_bench_options load = run->target_options;
    struct cof_bench_result *ignored = malloc(sizeof *ignored);
    if (ignored == NULL) {
        return cof_bench_complain("reading", COFFER_E_NO_MEMORY, NULL);
    }
    load.rw = COF_LOAD_READ;
    load.block_bytes = PAGE_BYTES;
    load.depth = 32;
    load.amount_bytes = load.size_bytes;
    int error = cof_bench_load_run(&load, &run->target, ignored);
    free(ignored);
    return error;
}

static int complain_finding(void *ctx, const struct coffer_finding *finding)
{
    (void)ctx;
    fprintf(stderr, "bench_amplify: check: %s\n", finding->text);
    return 0;
}

static int check(struct run *run)
{
    struct coffer_fault fault;
    struct coffer_check_summary summary;
    memset(&fault, 0, sizeof fault);
    memset(&summary, 0, sizeof summary);
    int error = coffer_volume_close(run->target.volume);
    run->target.volume = NULL;
    if (error != 0) {
        return cof_bench_complain("closing the volume", error, NULL);
    }
    struct coffer_check_opts opts = {.size = sizeof opts,
                                     .on_finding = complain_finding,
                                     .provider =
                                         run->options->keys == NULL ? NULL : &run->target.provider};
    error = coffer_store_check(run->target.store, &opts, &summary, &fault);
    if (error == 0 && summary.findings > 0) {
        error = COFFER_E_CORRUPT;
    }
    return error == 0 ? 0 : cof_bench_complain("check", error, &fault);
}

/* ---- figures ---- */

static void put(json_t *object, const char *name, uint64_t value)
{
    json_object_set_new(object, name, json_integer((json_int_t)value));
}

static void put_ratio(json_t *object, const char *name, double value)
{
    json_object_set_new(object, name, json_real(value));
}

static int print(const struct run *run)
{
    const struct coffer_store_info *a = &run->before, *b = &run->after;
    double written = (double)(b->written_bytes - a->written_bytes);
    double blocks = (double)(run->options->segments - ROOT_SEGMENTS) *
                    (double)run->options->segment_bytes * (double)run->samples;
    double segments = (double)run->options->segments * (double)run->samples;
    json_t *object = json_object();
    if (object == NULL) {
        return cof_bench_complain("the result", COFFER_E_NO_MEMORY, NULL);
    }
    put(object, "pages", run->pages);
    put_ratio(object, "wa_cleaner", 1.0 + (double)(b->moved_bytes - a->moved_bytes) / written);
    put_ratio(object, "wa_total",
              (double)(b->device_write_bytes - a->device_write_bytes) / written);
    put_ratio(object, "fill_live", (double)run->live_bytes / blocks);
    put_ratio(object, "segments_free", (double)run->free_segments / segments);
    put_ratio(object, "segments_waiting", (double)run->waiting_segments / segments);
    put(object, "heads", b->cleaner_heads);
    put(object, "written_bytes", b->written_bytes - a->written_bytes);
    put(object, "moved_bytes", b->moved_bytes - a->moved_bytes);
    put(object, "cleaner_written_bytes", b->cleaner_written_bytes - a->cleaner_written_bytes);
    put(object, "device_write_bytes", b->device_write_bytes - a->device_write_bytes);
    put(object, "cleaned_segments", b->cleaned_segments - a->cleaned_segments);
    put(object, "checkpoints", b->checkpoints - a->checkpoints);
    put(object, "light_checkpoints", b->light_checkpoints - a->light_checkpoints);
    put(object, "memory_bytes", b->memory_bytes);
    put(object, "elapsed_ns", run->elapsed_ns);
    int failed = json_dumpf(object, stdout, JSON_INDENT(2)) != 0 || fputc('\n', stdout) == EOF ||
                 fflush(stdout) != 0;
    json_decref(object);
    return failed ? cof_bench_complain("printing", COFFER_E_IO, NULL) : 0;
}

/* The library's count of what was written must be what was written. */
static int compare_counts(const struct run *run)
{
    uint64_t written = run->after.written_bytes - run->before.written_bytes;
    uint64_t expected = run->pages * run->options->measure / 100u * PAGE_BYTES;
    if (written != expected) {
        fprintf(stderr, "bench_amplify: the store counted %llu bytes written of %llu\n",
                (unsigned long long)written, (unsigned long long)expected);
        return COFFER_E_INTERNAL;
    }
    return 0;
}

/* ---- from options to the end ---- */

static int open_target(struct run *run)
{
    const struct options *options = run->options;
    double blocks =
        (double)(options->segments - ROOT_SEGMENTS) * (double)(options->segment_bytes / PAGE_BYTES);
    run->pages = (uint64_t)(blocks * (double)options->fill / 100.0 /
                            (1.0 + (double)options->pinned / 100.0) / (1.0 + 1.5 / NODE_SLOTS));
    int error = cof_bench_ram_init(&run->ram, options->segments * options->segment_bytes,
                                   (uint32_t)options->segment_bytes);
    if (error != 0) {
        return cof_bench_complain("a device in memory", error, NULL);
    }
    run->target_options = (struct cof_bench_options){.device = run->ram.device,
                                                     .keys = options->keys,
                                                     .volume = "bench",
                                                     .create = true,
                                                     .size_bytes = run->pages * PAGE_BYTES,
                                                     .threads = 1,
                                                     .seed = options->seed,
                                                     .checkpoint_ns = NEVER_NS,
                                                     .cleaner_heads = options->heads};
    cof_bench_choice_init(&run->choice, options->load, run->pages, options->seed);
    return cof_bench_target_open(&run->target_options, &run->target);
}

static int make_batch(struct run *run)
{
    size_t batch = (size_t)run->options->batch;
    struct coffer_queue_opts opts = {.size = sizeof opts, .depth = (unsigned)batch};
    run->ios = calloc(batch, sizeof *run->ios);
    run->cqes = calloc(batch, sizeof *run->cqes);
    run->iov = calloc(batch, sizeof *run->iov);
    run->buffers = aligned_alloc(PAGE_BYTES, batch * PAGE_BYTES);
    if (run->ios == NULL || run->cqes == NULL || run->iov == NULL || run->buffers == NULL) {
        return cof_bench_complain("a batch", COFFER_E_NO_MEMORY, NULL);
    }
    cof_load_fill(run->buffers, batch * PAGE_BYTES, run->options->seed);
    for (size_t i = 0; i < batch; i++) {
        run->iov[i] = (struct iovec){run->buffers + i * PAGE_BYTES, PAGE_BYTES};
        run->ios[i] = (struct coffer_io){.op = COFFER_IO_WRITE,
                                         .volume = run->target.volume,
                                         .length_bytes = PAGE_BYTES,
                                         .iov = &run->iov[i],
                                         .iov_count = 1};
    }
    int error = coffer_queue_create(run->target.store, &opts, &run->queue);
    return error == 0 ? 0 : cof_bench_complain("making a queue", error, NULL);
}

static int run_all(struct run *run)
{
    int error = open_target(run);
    if (error == 0) {
        error = make_batch(run);
        if (error == 0) {
            error = measure(run);
        }
        coffer_queue_destroy(run->queue);
        if (error == 0) {
            error = read_all(run);
        }
        if (error == 0) {
            error = check(run);
        }
        int close_error = cof_bench_target_close(&run->target);
        error = error != 0 ? error : close_error;
    }
    if (error == 0) {
        error = compare_counts(run);
    }
    cof_bench_ram_done(&run->ram);
    free(run->ios);
    free(run->cqes);
    free(run->iov);
    free(run->buffers);
    return error == 0 ? print(run) : error;
}

static bool options_bad(const struct options *o)
{
    return o->segments < 64u || o->segments > 65535u || o->segment_bytes < 1u << 20 ||
           o->segment_bytes > 64u << 20 || (o->segment_bytes & (o->segment_bytes - 1u)) != 0 ||
           o->fill < 1u || o->fill > 99u || o->heads > 3u || o->batch < 1u ||
           o->batch > BATCH_MAX || o->snapshot_every < 1u || o->measure < 1u;
}

int main(int argc, char **argv)
{
    static struct run run;
    struct options options = {.segments = 512,
                              .segment_bytes = 8u << 20,
                              .fill = 80,
                              .warm = 400,
                              .measure = 200,
                              .snapshot_every = 10,
                              .batch = 120,
                              .seed = 1};
    int parsed = cof_bench_args_parse(argc, argv,
                                      "usage: bench_amplify [option]...\n"
                                      "Measures the engine's write amplification on a store in "
                                      "memory and prints the result as JSON.\n",
                                      args, sizeof args / sizeof args[0], &options);
    if (parsed == 0 && options_bad(&options)) {
        parsed = cof_bench_args_refuse("an option is out of range: see --help");
    }
    if (parsed != 0) {
        return parsed > 0 ? 0 : 2;
    }
    run.options = &options;
    return run_all(&run) == 0 ? 0 : 1;
}
