/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/kms/crowd.c - threads that call at once, so that their calls share commits; they die so.
 *
 * Operation n of a thread sets the tag of the thread's own key to n, or encrypts, or is refused;
 * the last two say who they are in their contexts. Whatever was acknowledged must be there after a
 * death, its record as well; what was under way, whole or not at all; and nothing that nobody
 * began. Each thread announces itself and steps aside before its call, so that calls meet in
 * batches on any machine. Told by memory that the child shares, or by the recorded disk's events.
 */
#include "runs.h"

#include "common/harness.h"
#include "disk.h"
#include "kms/testhook.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 6u
#define OPS_MAX 1000u /* of a thread */

static const char plaintext[] = "attack at dawn";

/* What a thread has begun, and what was acknowledged to it: the operations up to these. */
struct told {
    atomic_uint begun[THREADS], done[THREADS];
    atomic_ullong batches;
};

struct crowd {
    struct world world;
    char keys[THREADS][COFFER_KEY_ARN_BYTES_MAX];
    struct told *told;
    unsigned each; /* operations of a thread */
    uint64_t begun_at[THREADS][OPS_MAX + 1], done_at[THREADS][OPS_MAX + 1];
    uint64_t seed, calls, batches;
    struct run_counts *counts;
    /* The cut at hand. */
    char work[PATH_MAX], image[PATH_MAX];
    uint64_t events;
    enum cut_variant variant;
};
static struct crowd crowd;

/* ---- operations -------------------------------------------------------------------------- */

static bool is_tag(unsigned n)
{
    return n % 3 == 0;
}

static bool is_refused(unsigned n)
{
    return n % 3 == 2;
}

static int work(struct cof_kms_call *call, unsigned thread, unsigned n)
{
    char name[32];
    struct cof_kms_tag tag = {"n", name};
    struct coffer_context_pair pair = {"op", name};
    struct coffer_context context = {&pair, 1};
    struct cof_kms_encrypt params = {
        .key = is_refused(n) ? "alias/none" : crowd.keys[thread],
        .plaintext = {(const uint8_t *)plaintext, sizeof plaintext - 1},
        .context = &context};
    struct coffer_key_blob blob;
    struct cof_kms_used used;
    if (is_tag(n)) {
        snprintf(name, sizeof name, "%u", n);
        return cof_kms_tag_resource(call, crowd.keys[thread], &tag, 1);
    }
    snprintf(name, sizeof name, "%u.%u", thread, n);
    return cof_kms_encrypt(call, &params, &blob, &used);
}

static int operate(unsigned thread, unsigned n)
{
    struct coffer_keystore *store = crowd.world.store;
    bool announced = true;
    struct cof_kms_caller caller = {.announced = &announced};
    struct coffer_fault fault;
    struct cof_kms_call call;
    int error;
    cof_kms_batch_announce(store);
    sched_yield();
    error = cof_kms_call_begin_as(&call, store, is_tag(n) ? "TagResource" : "Encrypt",
                                  COF_KMS_CHANGES, &caller, &fault);
    if (error == 0) {
        error = cof_kms_call_settle(&call, work(&call, thread, n));
        cof_kms_call_leave(&call);
    }
    return is_refused(n) && error == COFFER_E_KEY_NOT_FOUND ? 0 : error;
}

static void *run_thread(void *ctx)
{
    unsigned thread = (unsigned)(uintptr_t)ctx, n;
    for (n = 1; n <= crowd.each; n++) {
        crowd.begun_at[thread][n] = disk_events();
        atomic_store(&crowd.told->begun[thread], n);
        if (operate(thread, n) != 0) {
            return "an operation failed";
        }
        crowd.done_at[thread][n] = disk_events();
        atomic_store(&crowd.told->done[thread], n);
    }
    return NULL;
}

/* All threads to their end; false when an operation failed. */
static bool run_threads(void)
{
    pthread_t threads[THREADS];
    void *trouble = NULL, *first = NULL;
    for (uintptr_t i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, run_thread, (void *)i) != 0) {
            abort();
        }
    }
    for (unsigned i = 0; i < THREADS; i++) {
        (void)pthread_join(threads[i], &trouble);
        first = first == NULL ? trouble : first;
    }
    return first == NULL;
}

static void *watch_batches(void *ctx)
{
    struct coffer_keystore *store = ctx;
    for (;;) {
        (void)pthread_mutex_lock(&store->lock);
        atomic_store(&crowd.told->batches, store->batch.number);
        (void)pthread_mutex_unlock(&store->lock);
        (void)usleep(1000);
    }
    return NULL;
}

/* A new store at path with a key for each thread, closed. */
static void make_store(const char *path)
{
    static struct cof_kms_key_row row;
    const struct cof_kms_create_key params = {.description = "of a thread"};
    enum cof_kms_break planted = cof_kms_test_break;
    char command[4 * PATH_MAX];
    cof_kms_test_break = COF_KMS_BREAK_NONE; /* in what follows, not before */
    snprintf(command, sizeof command, "rm -f -- '%s' '%s'-* '%s'.*", path, path, path);
    harness_require(system(command) == 0, "%s", command);
    world_init(&crowd.world, path);
    world_open(&crowd.world, true);
    for (unsigned i = 0; i < THREADS; i++) {
        struct coffer_fault fault;
        struct cof_kms_call call;
        int error =
            cof_kms_call_begin(&call, crowd.world.store, "CreateKey", COF_KMS_CHANGES, &fault);
        harness_require(
            error == 0 && cof_kms_call_settle(&call, cof_kms_create_key(&call, &params, &row)) == 0,
            "a key: %s", fault.detail);
        cof_kms_call_leave(&call);
        memcpy(crowd.keys[i], row.arn, sizeof row.arn);
    }
    world_close(&crowd.world);
    cof_kms_test_break = planted;
}

/* ---- looking ----------------------------------------------------------------------------- */

struct found {
    uint8_t records[THREADS][OPS_MAX + 1];
    unsigned tag;
};

static int take_record(void *ctx, const struct coffer_audit_record *record)
{
    struct found *found = ctx;
    unsigned thread, n;
    if (sscanf(record->context, "{\"op\":\"%u.%u\"}", &thread, &n) == 2) {
        harness_require(thread < THREADS && n <= OPS_MAX &&
                            is_refused(n) == (record->error[0] != '\0'),
                        "a record of no operation: %s %s", record->context, record->error);
        found->records[thread][n]++;
    }
    return 0;
}

static int take_tag(void *ctx, const struct cof_kms_tag_row *row)
{
    ((struct found *)ctx)->tag = (unsigned)strtoul(row->value, NULL, 10);
    return 0;
}

static void look_at_tag(struct world *world, struct found *found, unsigned thread, unsigned done,
                        unsigned begun)
{
    struct coffer_fault fault;
    struct cof_kms_call call;
    int error = cof_kms_call_begin(&call, world->store, "Look", COF_KMS_CHANGES, &fault);
    harness_require(error == 0, "looking: %s", fault.detail);
    found->tag = 0;
    error = cof_kms_call_settle(&call, cof_kms_db_tag_each(call.ks->db, crowd.keys[thread], "", 0,
                                                           take_tag, found, call.fault));
    cof_kms_call_leave(&call);
    harness_require(error == 0, "looking: %s", fault.detail);
    harness_require(found->tag % 3 == 0 && found->tag >= done - done % 3 && found->tag <= begun,
                    "thread %u: its key's tag is %u; operation %u was acknowledged, %u begun",
                    thread, found->tag, done, begun);
}

/* The store, open, has what was acknowledged up to done, and nothing beyond begun. */
static void look(struct world *world, const unsigned done[THREADS], const unsigned begun[THREADS])
{
    static struct found found;
    struct coffer_fault fault = {0};
    uint64_t rows = 0;
    memset(&found, 0, sizeof found);
    harness_require(coffer_keystore_check(world->store, &rows, &fault) == 0, "the check: %s",
                    fault.detail);
    harness_require(
        coffer_keystore_audit_walk(world->store, take_record, &found, NULL, NULL, &fault) == 0,
        "the trail: %s", fault.detail);
    for (unsigned i = 0; i < THREADS; i++) {
        for (unsigned n = 1; n <= OPS_MAX; n++) {
            unsigned least = !is_tag(n) && n <= done[i], most = !is_tag(n) && n <= begun[i];
            harness_require(found.records[i][n] >= least && found.records[i][n] <= most,
                            "thread %u: operation %u has %u records; %u was acknowledged, %u begun",
                            i, n, found.records[i][n], done[i], begun[i]);
        }
        look_at_tag(world, &found, i, done[i], begun[i]);
        crowd.counts->steps += done[i];
    }
    crowd.counts->rows += rows;
    crowd.counts->deaths++;
}

/* ---- killed ------------------------------------------------------------------------------ */

static void child(void)
{
    pthread_t watcher;
    world_open(&crowd.world, false);
    if (pthread_create(&watcher, NULL, watch_batches, crowd.world.store) != 0) {
        _exit(3);
    }
    /* It is to be killed before that. */
    _exit(run_threads() ? 4 : 3);
}

static unsigned all_done(const struct told *told)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        sum += atomic_load(&told->done[i]);
    }
    return sum;
}

static void one_kill(void *ctx)
{
    struct prng prng = {prng_mix(crowd.seed, 17)};
    unsigned done[THREADS], begun[THREADS], enough = 30 + prng_below(&prng, 300);
    int status = 0;
    harness_context("kms --crowd --seed %llu", (unsigned long long)crowd.seed);
    make_store(ctx);
    memset(crowd.told, 0, sizeof *crowd.told);
    crowd.each = OPS_MAX;
    fflush(stdout);
    pid_t pid = fork();
    harness_require(pid >= 0, "fork: %s", strerror(errno));
    if (pid == 0) {
        child();
    }
    while (all_done(crowd.told) < enough && waitpid(pid, &status, WNOHANG) == 0) {
        sched_yield();
    }
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, &status, 0);
    harness_require(WIFSIGNALED(status), "the child ended by itself, status %d", status);
    for (unsigned i = 0; i < THREADS; i++) {
        done[i] = atomic_load(&crowd.told->done[i]);
        begun[i] = atomic_load(&crowd.told->begun[i]);
    }
    crowd.calls += all_done(crowd.told);
    crowd.batches += atomic_load(&crowd.told->batches);
    world_open(&crowd.world, false);
    look(&crowd.world, done, begun);
    world_close(&crowd.world);
}

/* ---- cut --------------------------------------------------------------------------------- */

static void tell_story(void *ctx)
{
    char path[PATH_MAX + 8];
    (void)ctx;
    snprintf(path, sizeof path, "%s/keys", crowd.work);
    make_store(path);
    memset(crowd.told, 0, sizeof *crowd.told);
    world_open(&crowd.world, false);
    disk_record(crowd.work);
    harness_require(run_threads(), "an operation failed");
    crowd.calls += all_done(crowd.told);
    crowd.batches += crowd.world.store->batch.number;
    world_close(&crowd.world);
    disk_stop();
}

static void one_cut(void *ctx)
{
    static struct world world;
    unsigned done[THREADS] = {0}, begun[THREADS] = {0};
    char path[PATH_MAX + 8], command[3 * PATH_MAX];
    (void)ctx;
    snprintf(command, sizeof command, "rm -rf -- '%s' && mkdir -- '%s'", crowd.image, crowd.image);
    harness_require(system(command) == 0, "%s", command);
    snprintf(path, sizeof path, "%s/keys", crowd.image);
    disk_image(crowd.events, crowd.variant, crowd.seed, crowd.image);
    for (unsigned i = 0; i < THREADS; i++) {
        for (unsigned n = 1; n <= crowd.each; n++) {
            done[i] = crowd.done_at[i][n] <= crowd.events ? n : done[i];
            begun[i] = crowd.begun_at[i][n] <= crowd.events ? n : begun[i];
        }
    }
    world_init(&world, path);
    world_open(&world, false);
    look(&world, done, begun);
    world_close(&world);
}

static void cut_story(uint64_t cuts)
{
    struct prng prng = {prng_mix(crowd.seed, 19)};
    char command[4 * PATH_MAX];
    snprintf(command, sizeof command, "rm -rf -- '%s' && mkdir -- '%s'", crowd.work, crowd.work);
    harness_require(system(command) == 0, "%s", command);
    harness_context("kms --crowd --cuts %llu --seed %llu", (unsigned long long)cuts,
                    (unsigned long long)crowd.seed);
    if (!harness_run(tell_story, NULL)) {
        return;
    }
    for (uint64_t i = 0; i < cuts && harness_failures() == 0; i++) {
        crowd.events = prng_below(&prng, (uint32_t)disk_events() + 1);
        crowd.variant = (enum cut_variant)(i % CUT_VARIANTS);
        (void)harness_run(one_cut, NULL);
    }
}

void crowd_run(const char *directory, uint64_t seed, uint64_t rounds, uint64_t length,
               uint64_t cuts, struct run_counts *counts)
{
    char path[PATH_MAX];
    harness_require(length > 0 && length <= OPS_MAX, "--length is 1 to %u", OPS_MAX);
    crowd.told =
        mmap(NULL, sizeof *crowd.told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    harness_require(crowd.told != MAP_FAILED, "no memory");
    crowd.counts = counts;
    crowd.each = (unsigned)length;
    snprintf(path, sizeof path, "%s/keys", directory);
    snprintf(crowd.work, sizeof crowd.work, "%s/work", directory);
    snprintf(crowd.image, sizeof crowd.image, "%s/image", directory);
    for (uint64_t i = 0; i < rounds && harness_failures() == 0; i++) {
        crowd.seed = seed + i;
        if (cuts > 0) {
            cut_story(cuts);
        } else {
            (void)harness_run(one_kill, path);
        }
    }
    harness_require(harness_failures() > 0 || crowd.batches < crowd.calls,
                    "%llu batches for %llu calls: none was shared",
                    (unsigned long long)crowd.batches, (unsigned long long)crowd.calls);
    printf("kms: %u threads, %llu calls in %llu batches\n", THREADS,
           (unsigned long long)crowd.calls, (unsigned long long)crowd.batches);
}
