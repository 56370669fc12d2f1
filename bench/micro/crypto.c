/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench/micro/crypto.c - what one call of the crypto room costs on this machine.
 *
 * Each figure is the best of several rounds, so that a neighbour on the machine doesn't count; the
 * median stands beside it, so that it can be seen. Pages walk over a buffer far larger than the
 * caches, as pages of a store do. It includes internal headers, which bench else does not: what is
 * measured has no public call of its own.
 */
#include "crypto/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_BYTES 4096u
#define PAGES 8192u
#define CALLS 8192u
#define ROUNDS 9u
#define SUBKEYS 64u /* of 2 MiB each, what 128 MiB of readahead would touch */

struct stage {
    struct cof_env env;
    struct cof_arena *arena;
    struct cof_ek_seal *ek;
    struct cof_aead *aead;
    struct cof_subkey_seal *seal[SUBKEYS];
    struct cof_subkey_open *open[SUBKEYS];
    uint8_t *plain;
    uint8_t *sealed;
    uint8_t (*tags)[COF_TAG_BYTES];
    uint8_t aad[COF_AAD_BYTES];
    uint8_t info[COF_SUBKEY_INFO_BYTES];
    size_t bytes;     /* of each page sealed or opened            */
    unsigned subkeys; /* 1: never keyed again; more: at each call */
};

static void check(int error, const char *what)
{
    if (error != 0) {
        fprintf(stderr, "bench_micro_crypto: %s: %s\n", what, coffer_error_sentence(error));
        exit(5);
    }
}

static void seal_one(struct stage *stage, unsigned i)
{
    check(cof_page_seal(stage->aead, stage->seal[i % stage->subkeys], 0, i, stage->aad,
                        stage->plain + (size_t)i * PAGE_BYTES, stage->bytes,
                        stage->sealed + (size_t)i * PAGE_BYTES, stage->tags[i]),
          "seal");
}

static void open_one(struct stage *stage, unsigned i)
{
    check(cof_page_open(stage->aead, stage->open[i % stage->subkeys], 0, i, stage->aad,
                        stage->sealed + (size_t)i * PAGE_BYTES, stage->bytes, stage->tags[i],
                        stage->plain + (size_t)i * PAGE_BYTES),
          "open");
}

static void subkey_one(struct stage *stage, unsigned i)
{
    struct cof_subkey_open *subkey = NULL;
    memcpy(stage->info, &i, sizeof i);
    check(cof_subkey_open_new(stage->ek, NULL, stage->info, &subkey), "subkey");
    cof_subkey_open_free(subkey);
}

static void random_one(struct stage *stage, unsigned i)
{
    (void)i;
    check(cof_random(&stage->env, stage->info, 16), "random");
}

static void usable_one(struct stage *stage, unsigned i)
{
    (void)i;
    check(cof_arena_usable(stage->arena), "canary");
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void measure(struct stage *stage, const char *what,
                    void (*one)(struct stage *stage, unsigned i))
{
    uint64_t rounds[ROUNDS];
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t start = cof_monotonic_ns(&stage->env);
        for (unsigned i = 0; i < CALLS; i++) {
            one(stage, i);
        }
        rounds[round] = cof_monotonic_ns(&stage->env) - start;
    }
    qsort(rounds, ROUNDS, sizeof rounds[0], compare);
    printf("%-52s %8.1f %8.1f\n", what, (double)rounds[0] / CALLS,
           (double)rounds[ROUNDS / 2] / CALLS);
}

/* What is opened must have been sealed under the same choice of subkeys. */
static void measure_pair(struct stage *stage, size_t bytes, unsigned subkeys, const char *seal,
                         const char *open_name)
{
    stage->bytes = bytes;
    stage->subkeys = subkeys;
    measure(stage, seal, seal_one);
    measure(stage, open_name, open_one);
}

static void begin(struct stage *stage)
{
    memset(stage, 0, sizeof *stage);
    cof_env_init(&stage->env, NULL);
    check(cof_arena_new(&stage->env, 65536, &stage->arena), "arena");
    check(cof_ek_draw(&stage->env, stage->arena, &stage->ek), "data key");
    check(cof_aead_new(&stage->env, &stage->aead), "context");
    for (unsigned i = 0; i < SUBKEYS; i++) {
        memcpy(stage->info, &i, sizeof i);
        check(cof_subkey_seal_new(stage->ek, stage->info, &stage->seal[i]), "subkey");
        check(cof_subkey_open_new(stage->ek, NULL, stage->info, &stage->open[i]), "subkey");
    }
    stage->plain = cof_alloc_aligned(&stage->env, (size_t)PAGES * PAGE_BYTES);
    stage->sealed = cof_alloc_aligned(&stage->env, (size_t)PAGES * PAGE_BYTES);
    stage->tags = cof_calloc(&stage->env, PAGES, sizeof *stage->tags);
    if (stage->plain == NULL || stage->sealed == NULL || stage->tags == NULL) {
        check(COFFER_E_NO_MEMORY, "buffers");
    }
    memset(stage->plain, 7, (size_t)PAGES * PAGE_BYTES);
    memset(stage->sealed, 1, (size_t)PAGES * PAGE_BYTES);
}

static void end(struct stage *stage)
{
    cof_free(&stage->env, stage->tags);
    cof_free_aligned(&stage->env, stage->sealed);
    cof_free_aligned(&stage->env, stage->plain);
    for (unsigned i = 0; i < SUBKEYS; i++) {
        cof_subkey_seal_free(stage->seal[i]);
        cof_subkey_open_free(stage->open[i]);
    }
    cof_aead_free(stage->aead);
    cof_ek_seal_free(stage->ek);
    cof_arena_free(stage->arena);
}

int main(int argc, char **argv)
{
    static struct stage stage;
    (void)argv;
    if (argc > 1) {
        fprintf(stderr, "usage: bench_micro_crypto\n"
                        "Prints ns per call of the crypto room: best and median round.\n");
        return 2;
    }
    begin(&stage);
    printf("%-52s %8s %8s\n", "ns per call", "best", "median");
    measure_pair(&stage, PAGE_BYTES, 1, "seal 4 KiB, same subkey", "open 4 KiB, same subkey");
    measure_pair(&stage, PAGE_BYTES, SUBKEYS, "seal 4 KiB, another subkey each time",
                 "open 4 KiB, another subkey each time");
    measure_pair(&stage, 16, 1, "seal 16 B, same subkey", "open 16 B, same subkey");
    measure_pair(&stage, 16, SUBKEYS, "seal 16 B, another subkey each time",
                 "open 16 B, another subkey each time");
    measure(&stage, "subkey: HKDF-Expand, arena slot, and its end", subkey_one);
    measure(&stage, "getrandom, 16 B", random_one);
    measure(&stage, "canary", usable_one);
    end(&stage);
    return 0;
}
