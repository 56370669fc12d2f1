/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench/micro/crypto.c - what one call of the crypto room costs on this machine.
 *
 * Each figure is the best of several rounds, in the thread's processor time, so that a neighbour on
 * the machine hardly counts; the median stands beside it, so that it can be seen. Pages walk over a
 * buffer far larger than the caches, as pages of a store do, but for the rows of one page. Pages
 * are measured with each back end that there is. It includes internal headers, which bench else
 * does not: what is measured has no public call of its own.
 */
#include "base/checksum.h"
#include "crypto/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAGE_BYTES 4096u
#define PAGES 8192u
#define CALLS 8192u
#define ROUNDS 9u
#define SUBKEYS 64u            /* of 2 MiB each, what 128 MiB of readahead would touch */
#define SCHEDULES_BYTES 65536u /* for some of them: the others are expanded at each turn */

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
    uint64_t sum;
    size_t bytes;     /* of each page sealed or opened                          */
    unsigned subkeys; /* 1: the same each time                                  */
    unsigned first;   /* of the subkeys that are used                           */
    unsigned pages;   /* 1: the same each time; more: all, one behind the other */
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
    unsigned page = i % stage->pages;
    check(cof_page_seal(stage->aead, stage->seal[stage->first + i % stage->subkeys], 0, page,
                        stage->aad, stage->plain + (size_t)page * PAGE_BYTES, stage->bytes,
                        stage->sealed + (size_t)page * PAGE_BYTES, stage->tags[page]),
          "seal");
}

static void open_one(struct stage *stage, unsigned i)
{
    unsigned page = i % stage->pages;
    check(cof_page_open(stage->aead, stage->open[stage->first + i % stage->subkeys], 0, page,
                        stage->aad, stage->sealed + (size_t)page * PAGE_BYTES, stage->bytes,
                        stage->tags[page], stage->plain + (size_t)page * PAGE_BYTES),
          "open");
}

static void checksum_one(struct stage *stage, unsigned i)
{
    stage->sum ^=
        cof_checksum64(stage->sealed + (size_t)(i % stage->pages) * PAGE_BYTES, PAGE_BYTES);
}

static void copy_one(struct stage *stage, unsigned i)
{
    size_t at = (size_t)(i % stage->pages) * PAGE_BYTES;
    memcpy(stage->sealed + at, stage->plain + at, PAGE_BYTES);
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

static uint64_t processor_ns(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) != 0) {
        check(COFFER_E_IO, "the processor's clock");
    }
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void measure(struct stage *stage, const char *what,
                    void (*one)(struct stage *stage, unsigned i))
{
    uint64_t rounds[ROUNDS];
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t start = processor_ns();
        for (unsigned i = 0; i < CALLS; i++) {
            one(stage, i);
        }
        rounds[round] = processor_ns() - start;
    }
    qsort(rounds, ROUNDS, sizeof rounds[0], compare);
    printf("%-52s %8.1f %8.1f\n", what, (double)rounds[0] / CALLS,
           (double)rounds[ROUNDS / 2] / CALLS);
}

/* What is opened must have been sealed under the same choice of subkeys. */
static void measure_pair(struct stage *stage, const char *what)
{
    char line[64];
    snprintf(line, sizeof line, "seal %s", what);
    measure(stage, line, seal_one);
    snprintf(line, sizeof line, "open %s", what);
    measure(stage, line, open_one);
}

/* The last subkeys found no room for an expanded key: the aead expands them, one at a time. */
static void measure_pages(struct stage *stage)
{
    const unsigned subkeys[] = {1, SUBKEYS / 4u};
    stage->bytes = PAGE_BYTES;
    stage->subkeys = 1;
    stage->first = 0;
    stage->pages = 1;
    measure_pair(stage, "4 KiB in the cache");
    stage->pages = PAGES;
    measure_pair(stage, "4 KiB");
    stage->subkeys = subkeys[1];
    measure_pair(stage, "4 KiB, another extent each time");
    stage->first = SUBKEYS - subkeys[1];
    measure_pair(stage, "4 KiB, the same, keyed again");
    stage->bytes = 16;
    stage->subkeys = 1;
    stage->first = 0;
    stage->pages = 1;
    measure_pair(stage, "16 B");
}

/* What a page costs besides, and extents and batches. */
static void measure_rest(struct stage *stage)
{
    stage->pages = 1;
    measure(stage, "checksum 4 KiB in the cache", checksum_one);
    stage->pages = PAGES;
    measure(stage, "checksum 4 KiB", checksum_one);
    measure(stage, "copy 4 KiB", copy_one);
    measure(stage, "subkey: HKDF-Expand, its places, expanded key, end", subkey_one);
    measure(stage, "getrandom, 16 B", random_one);
    measure(stage, "canary", usable_one);
}

static void begin(struct stage *stage, enum coffer_cipher_backend wanted)
{
    enum coffer_cipher_backend chosen;
    memset(stage, 0, sizeof *stage);
    cof_env_init(&stage->env, NULL);
    check(cof_arena_new(&stage->env, 65536, &stage->arena), "arena");
    check(cof_cipher_choose(&stage->env, stage->arena, wanted, SCHEDULES_BYTES, &chosen), "cipher");
    printf("%-52s %8s %8s\n", coffer_cipher_backend_name(chosen), "best", "median");
    check(cof_ek_draw(&stage->env, stage->arena, &stage->ek), "data key");
    check(cof_aead_new(&stage->env, stage->arena, &stage->aead), "context");
    for (unsigned i = 0; i < SUBKEYS; i++) {
        memcpy(stage->info, &i, sizeof i);
        check(cof_subkey_open_new(stage->ek, NULL, stage->info, &stage->open[i]), "subkey");
        check(cof_subkey_seal_new(stage->ek, stage->info, &stage->seal[i]), "subkey");
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
    printf("ns per call, in processor time\n");
    for (unsigned i = 0; i < 2; i++) {
        begin(&stage, i == 0 ? COFFER_CIPHER_EVP : COFFER_CIPHER_IPSEC_MB);
        measure_pages(&stage);
        if (i == 0) {
            measure_rest(&stage);
        }
        end(&stage);
    }
    return 0;
}
