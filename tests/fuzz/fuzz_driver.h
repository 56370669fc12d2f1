/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/fuzz_driver.h - a main for fuzz targets where libFuzzer is not: a mutation loop by seed.
 *
 * A target defines LLVMFuzzerTestOneInput and
 *     size_t fuzz_seed(unsigned number, uint8_t *bytes, size_t room)
 * which writes the number-th sound input, or returns 0 when there are no more. The loop keeps a
 * pool that begins with these; each execution mutates one of the pool a few times, and inputs that
 * a target calls interesting (a return of 1: it was accepted) replace old ones now and then, so
 * that mutations pile up. The whole run follows from --seed; a failure prints how many executions
 * it took.
 */
#ifndef TESTS_FUZZ_FUZZ_DRIVER_H
#define TESTS_FUZZ_FUZZ_DRIVER_H

#include "common/harness.h"
#include "common/prng.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t fuzz_seed(unsigned number, uint8_t *bytes, size_t room);

#ifndef COFFER_FUZZER
#define FUZZ_ROOM (16u * 1024u)
#define FUZZ_POOL 64u

struct fuzz_input {
    size_t size;
    uint8_t bytes[FUZZ_ROOM];
};

static inline void fuzz_mutate(struct fuzz_input *input, struct prng *prng)
{
    static const uint64_t odd[] = {0,          1,          0x7f,       0x80,           0xff,
                                   0x7fff,     0x8000,     0xffff,     0x7fffffffu,    0x80000000u,
                                   0xffffffffu, UINT64_MAX, 4096,       UINT64_MAX / 2, 511, 512};
    size_t at = prng_below(prng, (uint32_t)input->size);
    /* Fields crowd at the beginning. */
    at = prng_chance(prng, 1, 2) ? at % 256 : at;
    at = at < input->size ? at : 0;
    switch (prng_below(prng, 6)) {
    case 0:
        input->bytes[at] ^= (uint8_t)(1u << prng_below(prng, 8));
        break;
    case 1:
        input->bytes[at] = (uint8_t)prng_next(prng);
        break;
    case 2: {
        uint64_t word = odd[prng_below(prng, sizeof odd / sizeof odd[0])];
        size_t length = (size_t)1 << prng_below(prng, 4);
        length = length < input->size - at ? length : input->size - at;
        memcpy(input->bytes + at, &word, length);
        break;
    }
    case 3: {
        size_t from = prng_below(prng, (uint32_t)input->size);
        size_t length = 1 + prng_below(prng, 64);
        length = length < input->size - at ? length : input->size - at;
        length = length < input->size - from ? length : input->size - from;
        memmove(input->bytes + at, input->bytes + from, length);
        break;
    }
    case 4:
        input->bytes[at] = (uint8_t)(input->bytes[at] + 1 - 2 * (int)prng_below(prng, 2));
        break;
    default:
        if (prng_chance(prng, 1, 20)) {
            input->size = 1 + prng_below(prng, (uint32_t)input->size);
        }
        break;
    }
}

struct fuzz_loop {
    uint64_t seed, executions, accepted;
};

static inline void fuzz_run(void *ctx)
{
    static struct fuzz_input pool[FUZZ_POOL], input;
    struct fuzz_loop *loop = ctx;
    unsigned count = 0;
    while (count < FUZZ_POOL / 2 &&
           (pool[count].size = fuzz_seed(count, pool[count].bytes, FUZZ_ROOM)) > 0) {
        harness_context("seed input %u", count);
        harness_require(LLVMFuzzerTestOneInput(pool[count].bytes, pool[count].size) == 1,
                        "a sound input was refused");
        count++;
    }
    harness_require(count > 0, "the target has no seed");
    for (uint64_t i = 0; i < loop->executions; i++) {
        struct prng prng = {prng_mix(loop->seed, i)};
        unsigned times = 1 + prng_below(&prng, 6);
        const struct fuzz_input *from;
        int accepted;
        harness_context("--seed %llu --executions %llu (the last)",
                        (unsigned long long)loop->seed, (unsigned long long)(i + 1));
        from = &pool[prng_below(&prng, count)];
        input.size = from->size;
        memcpy(input.bytes, from->bytes, from->size);
        for (unsigned t = 0; t < times; t++) {
            fuzz_mutate(&input, &prng);
        }
        if (i % 1024 == 0) {
            harness_watch(20);
        }
        accepted = LLVMFuzzerTestOneInput(input.bytes, input.size);
        loop->accepted += accepted == 1 ? 1u : 0u;
        if (accepted == 1 && prng_chance(&prng, 1, 50)) {
            unsigned to = count < FUZZ_POOL ? count++ : FUZZ_POOL / 2 +
                                                            prng_below(&prng, FUZZ_POOL / 2);
            pool[to].size = input.size;
            memcpy(pool[to].bytes, input.bytes, input.size);
        }
    }
}

/* The whole main. */
static inline int fuzz_main(int argc, char **argv, const char *name, uint64_t executions)
{
    struct fuzz_loop loop = {.seed = 1, .executions = executions};
    double start = harness_seconds();
    const struct harness_option options[] = {
        {"--seed", &loop.seed, NULL, NULL, "of the mutations [1]"},
        {"--executions", &loop.executions, NULL, NULL, "how many"},
        {NULL, NULL, NULL, NULL, NULL},
    };
    harness_options(argc, argv, options, "mutated input to a parser of untrusted bytes");
    (void)harness_run(fuzz_run, &loop);
    harness_watch(0);
    printf("%s: seed %llu, %llu executions, %llu accepted, %.1f s\n", name,
           (unsigned long long)loop.seed, (unsigned long long)loop.executions,
           (unsigned long long)loop.accepted, harness_seconds() - start);
    return harness_close(name, loop.executions, NULL);
}
#endif

/* FUZZ_MAIN("root", 1000000) at the end of a target. */
#ifdef COFFER_FUZZER
#define FUZZ_MAIN(name, executions)
#else
#define FUZZ_MAIN(name, executions)                                                                \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        return fuzz_main(argc, argv, name, executions);                                            \
    }
#endif

#endif
