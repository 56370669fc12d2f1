/* SPDX-License-Identifier: Apache-2.0 */
/*
 * soak/hours - simulated hours of mixed load on a store on the simulated device: 12 hours and five
 * capacities of 128 MiB without arguments; 72, thirty and 1 GiB are what bench/run-hours asks for.
 *
 * Writes of 1 to 64 pages, reads, discards, flushes, snapshots, clones, volumes that come and go,
 * volumes and stores that are closed and opened. After each simulated hour the judge counts what
 * must live and holds the engine's account, check and check's recount against it; each read is
 * compared, and now and then all that there is. Memory must not grow, nor space used for a page.
 *
 * --plant: the judge's own count is off by one page from the second hour on, which must be found.
 */
#include "hours/soak.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOT_SEGMENTS 3u
#define SAMPLE_STEPS 64u

static struct soak soak;
static const char *output_path;
static double begun;
static bool tell;

static void run(void *ctx)
{
    struct coffer_store_info info;
    uint64_t hour = 1, start_ns;
    (void)ctx;
    soak_store_create(&soak);
    soak_store_open(&soak);
    soak_info(&soak, &info);
    soak.capacity_pages = info.capacity_bytes / COFFER_PAGE_BYTES;
    harness_require(soak.capacity_pages > 0, "the store has no capacity");
    soak.ns_per_page =
        soak.options.hours * SOAK_HOUR_NS / (soak.options.capacities * soak.capacity_pages);
    soak_begin(&soak);
    start_ns = soak.env.now_ns;
    for (uint64_t steps = 0; hour <= soak.options.hours; steps++) {
        soak_step(&soak);
        if (steps % SAMPLE_STEPS == 0) {
            soak_info(&soak, &info);
            soak.memory_max =
                info.memory_bytes > soak.memory_max ? info.memory_bytes : soak.memory_max;
        }
        if (soak.env.now_ns - start_ns >= hour * SOAK_HOUR_NS) {
            soak_judge_hour(&soak, hour);
            if (tell) {
                char *line =
                    json_dumps(json_array_get(soak.hours, hour - 1u), JSON_REAL_PRECISION(4));
                printf("%s\n", line);
                fflush(stdout);
                free(line);
            }
            hour++;
        }
    }
    soak_look_at_all(&soak);
    soak_store_close(&soak);
    soak_judge_all(&soak);
    det_env_check_leaks(&soak.env);
}

static json_t *counts_json(void)
{
    const struct soak_counts *c = &soak.counts;
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
                     "written_pages", (json_int_t)c->written_pages, "read_pages",
                     (json_int_t)c->read_pages, "discarded_pages", (json_int_t)c->discarded_pages,
                     "flushes", (json_int_t)c->flushes, "refused", (json_int_t)c->refused,
                     "snapshots", (json_int_t)c->snapshots, "clones", (json_int_t)c->clones,
                     "deleted_snapshots", (json_int_t)c->deleted_snapshots, "volumes",
                     (json_int_t)c->volumes, "deleted_volumes", (json_int_t)c->deleted_volumes,
                     "reopened_volumes", (json_int_t)c->reopened_volumes, "reopened_stores",
                     (json_int_t)c->reopened_stores, "checks", (json_int_t)c->checks,
                     "keyed_checks", (json_int_t)c->keyed_checks, "looks", (json_int_t)c->looks);
}

/* What was found out, also of a case that failed. */
static bool save(bool passed)
{
    json_t *result = json_pack(
        "{s:b, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:o, s:O}", "passed", passed, "failure",
        passed ? "" : harness_last_failure(), "seed", (json_int_t)soak.options.seed, "segments",
        (json_int_t)soak.options.segments, "segment_bytes", (json_int_t)soak.options.segment_bytes,
        "simulated_hours", (json_int_t)soak.options.hours, "capacities",
        (json_int_t)soak.options.capacities, "capacity_pages", (json_int_t)soak.capacity_pages,
        "run_seconds", harness_seconds() - begun, "counts", counts_json(), "hours", soak.hours);
    bool saved = json_dump_file(result, output_path, JSON_INDENT(1)) == 0;
    json_decref(result);
    return saved;
}

int main(int argc, char **argv)
{
    const char *fault = NULL;
    bool passed;
    struct soak_options *o = &soak.options;
    const struct harness_option options[] = {
        {"--seed", &o->seed, NULL, NULL, "of all chance (1)"},
        {"--hours", &o->hours, NULL, NULL, "simulated (12)"},
        {"--capacities", &o->capacities, NULL, NULL, "written meanwhile (5)"},
        {"--segments", &o->segments, NULL, NULL, "of the store (128)"},
        {"--segment", &o->segment_bytes, NULL, NULL, "bytes of one (1048576)"},
        {"--keyed-every", &o->keyed_every, NULL, NULL,
         "hours: check with keys, read all, close and open (6)"},
        {"--output", NULL, &output_path, NULL, "file for the figures, as JSON"},
        {"--tell", NULL, NULL, &tell, "print each hour's"},
        {"--plant", NULL, NULL, &soak.plant, "the judge miscounts by one page"},
        {"--break", NULL, &fault, NULL, "plant a fault in the engine; it must be found"},
        {NULL, NULL, NULL, NULL, NULL}};
    *o = (struct soak_options){1, 128, 1u << 20, 12, 5, 6};
    begun = harness_seconds();
    harness_options(argc, argv, options, "simulated hours of mixed load");
    if (o->hours == 0 || o->capacities == 0) {
        fprintf(stderr, "hours: --hours and --capacities must not be 0\n");
        return 2;
    }
    if (fault != NULL) {
        harness_break(fault);
    }
    harness_quiet(fault != NULL || soak.plant);
    harness_context("soak_hours --seed %llu --hours %llu --capacities %llu --segments %llu "
                    "--segment %llu",
                    (unsigned long long)o->seed, (unsigned long long)o->hours,
                    (unsigned long long)o->capacities, (unsigned long long)o->segments,
                    (unsigned long long)o->segment_bytes);
    soak.disk = sim_disk_new((uint32_t)o->segment_bytes, (uint32_t)o->segments,
                             (uint32_t)o->segments, &(struct sim_disk_options){.seed = o->seed});
    det_env_init(&soak.env, o->seed, 0);
    fake_kms_init(&soak.kms, o->seed);
    soak.prng.state = prng_mix(o->seed, 0x736f616bu);
    soak.hours = json_array();
    passed = harness_run(run, NULL);
    if (output_path != NULL && !save(passed)) {
        fprintf(stderr, "hours: %s cannot be written\n", output_path);
        return 1;
    }
    if (passed) {
        soak_trees_free(&soak);
        sim_disk_free(soak.disk);
    }
    uint64_t judged = json_array_size(soak.hours);
    json_decref(soak.hours);
    return harness_close("soak_hours", judged, soak.plant ? "the judge's miscount" : fault);
}
