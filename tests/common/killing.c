/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/killing.c - the rounds of a killer, and its store.
 *
 * A store serves several rounds, so that one is killed that has died before. The first round that
 * fails is the last: what it left can't be judged.
 */
#include "killing.h"

#include "harness.h"

#include <stdio.h>
#include <unistd.h>

#define KMS_SEED 99u

struct fake_kms killing_kms;

static char store_path[96];

struct round {
    const struct killing *killing;
    uint64_t seed;
    bool lie;
};

static void create_one(void *ctx)
{
    const struct round *round = ctx;
    round->killing->create();
}

static void one_round(void *ctx)
{
    const struct round *round = ctx;
    harness_context("%s --seed %llu --rounds 1", round->killing->program,
                    (unsigned long long)round->seed);
    round->killing->round(round->seed, round->lie);
}

static uint64_t all_rounds(const struct killing *killing, uint64_t seed, uint64_t rounds, bool lie)
{
    uint64_t done = 0;
    while (done < rounds && harness_failures() == 0) {
        struct round round = {.killing = killing, .seed = seed + done, .lie = lie};
        if (done % killing->rounds_of_a_store == 0 && !harness_run(create_one, &round)) {
            break;
        }
        (void)harness_run(one_round, &round);
        done++;
    }
    return done;
}

int killing_main(const struct killing *killing, int argc, char **argv)
{
    uint64_t seed = 1, rounds = killing->rounds;
    bool lie = false;
    char kills[40];
    const char *directory = ".";
    double start = harness_seconds();
    const struct harness_option options[] = {
        {"--seed", &seed, NULL, NULL, "first seed [1]"},
        {"--rounds", &rounds, NULL, NULL, kills},
        {"--directory", NULL, &directory, NULL, "where the store's file goes [.]"},
        {"--lie", NULL, NULL, &lie, "negative control: the child claims what it never did"},
        {NULL, NULL, NULL, NULL, NULL},
    };
    snprintf(kills, sizeof kills, "kills [%llu]", (unsigned long long)rounds);
    harness_options(argc, argv, options, killing->what);
    snprintf(store_path, sizeof store_path, "%.40s/%s.%d.coffer", directory, killing->program,
             (int)getpid());
    fake_kms_init(&killing_kms, KMS_SEED);
    harness_quiet(lie);
    rounds = all_rounds(killing, seed, rounds, lie);
    (void)unlink(store_path);
    printf("%s: seed %llu, %llu kills in %.1f s, ", killing->program, (unsigned long long)seed,
           (unsigned long long)rounds, harness_seconds() - start);
    killing->tell();
    return harness_close(killing->program, rounds, lie ? killing->lie : NULL);
}

void killing_must(int error, const char *what, const struct coffer_fault *fault)
{
    harness_require(error == 0, "%s: %s: %s", what, coffer_error_name(error),
                    fault != NULL && fault->error == error ? fault->detail : "");
}

void killing_create(const char *volume, uint64_t size_bytes)
{
    struct coffer_fault fault = {0};
    struct coffer_store_create_opts opts = {.size = sizeof opts,
                                            .path = store_path,
                                            .size_bytes = 512u << 20,
                                            .segment_bytes = 1u << 20};
    struct coffer_volume_create_opts volume_opts = {.size = sizeof volume_opts,
                                                    .name = volume,
                                                    .size_bytes = size_bytes,
                                                    .kms_key_id = "alias/k1",
                                                    .provider = &killing_kms.api};
    struct coffer_store_opts open_opts = {
        .size = sizeof open_opts, .path = store_path, .flags = COFFER_OPEN_BUFFERED};
    struct coffer_store *store = NULL;
    (void)unlink(store_path);
    killing_must(coffer_store_create(&opts, &fault), "create store", &fault);
    killing_must(coffer_store_open(&open_opts, &store, &fault), "open new store", &fault);
    killing_must(coffer_volume_create(store, &volume_opts, &fault), "create volume", &fault);
    killing_must(coffer_store_close(store), "close new store", NULL);
}

struct coffer_store *killing_open(void)
{
    struct coffer_fault fault = {0};
    struct coffer_store_opts opts = {.size = sizeof opts, .path = store_path};
    struct coffer_store *store = NULL;
    int error = coffer_store_open(&opts, &store, &fault);
    if (error == COFFER_E_ACCESS || error == COFFER_E_IO || error == COFFER_E_UNSUPPORTED) {
        opts.flags = COFFER_OPEN_BUFFERED; /* a file system without O_DIRECT */
        error = coffer_store_open(&opts, &store, &fault);
    }
    killing_must(error, "open store", &fault);
    return store;
}
