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
 *
 * A target may define beside these
 *     size_t fuzz_hint(unsigned number, uint8_t *bytes, size_t room)
 * for inputs that are worth a beginning though they may be refused, and
 *     void fuzz_plant(void)
 * which breaks what it tests; `--break` then runs it in a child that must fail.
 *
 * Under libFuzzer `--seeds DIRECTORY` writes seeds and hints there, and ends; `--break` plants.
 */
#ifndef TESTS_FUZZ_FUZZ_DRIVER_H
#define TESTS_FUZZ_FUZZ_DRIVER_H

#include "common/harness.h"
#include "common/prng.h"

#include <fcntl.h>
#include <ftw.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t fuzz_seed(unsigned number, uint8_t *bytes, size_t room);
__attribute__((weak)) size_t fuzz_hint(unsigned number, uint8_t *bytes, size_t room);
__attribute__((weak)) void fuzz_plant(void);

#define FUZZ_ROOM (16u * 1024u)

static inline void fuzz_plant_or_exit(void)
{
    if (fuzz_plant == NULL) {
        printf("this target has no fault to plant\n");
        exit(2);
    }
    fuzz_plant();
}

#ifdef COFFER_FUZZER
static inline void fuzz_write_seeds(const char *directory, const char *what,
                                    size_t (*give)(unsigned, uint8_t *, size_t))
{
    static uint8_t bytes[FUZZ_ROOM];
    size_t size;
    for (unsigned number = 0; (size = give(number, bytes, sizeof bytes)) > 0; number++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s-%u", directory, what, number);
        int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
        harness_require(fd >= 0 && write(fd, bytes, size) == (ssize_t)size, "cannot write %s",
                        path);
        close(fd);
    }
}

/* libFuzzer calls it before all else; it leaves arguments that begin with -- to the target. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    for (int i = 1; i < *argc; i++) {
        if (strcmp((*argv)[i], "--seeds") == 0 && i + 1 < *argc) {
            fuzz_write_seeds((*argv)[i + 1], "seed", fuzz_seed);
            if (fuzz_hint != NULL) {
                fuzz_write_seeds((*argv)[i + 1], "hint", fuzz_hint);
            }
            exit(0);
        }
        if (strcmp((*argv)[i], "--break") == 0) {
            fuzz_plant_or_exit();
        }
    }
    return 0;
}
#else
#define FUZZ_POOL 256u

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
    for (unsigned number = 0; fuzz_hint != NULL && count < FUZZ_POOL / 2; number++) {
        pool[count].size = fuzz_hint(number, pool[count].bytes, FUZZ_ROOM);
        if (pool[count].size == 0) {
            break;
        }
        harness_context("hint %u", number);
        (void)LLVMFuzzerTestOneInput(pool[count].bytes, pool[count].size);
        count++;
    }
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

static inline int fuzz_remove(const char *path, const struct stat *about, int kind, struct FTW *at)
{
    (void)about;
    (void)kind;
    (void)at;
    return remove(path);
}

/* The planted fault may well bring the process down, so a child has it, and what that child leaves
 * lies in a directory of its own. */
static inline int fuzz_control(struct fuzz_loop *loop, const char *name)
{
    char scratch[] = "/tmp/coffer-fuzz-control-XXXXXX";
    int status = 0;
    pid_t child;
    if (mkdtemp(scratch) == NULL || setenv("TMPDIR", scratch, 1) != 0) {
        return 2;
    }
    child = fork();
    if (child == 0) {
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        (void)dup2(null, STDOUT_FILENO);
        (void)dup2(null, STDERR_FILENO);
        fuzz_plant_or_exit();
        (void)harness_run(fuzz_run, loop);
        exit(harness_failures() > 0 ? 1 : 0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child) {
        return 2;
    }
    (void)nftw(scratch, fuzz_remove, 8, FTW_DEPTH | FTW_PHYS);
    printf("%s: negative control: %s\n", name, status != 0 ? "CAUGHT" : "NOT CAUGHT");
    return status != 0 ? 0 : 1;
}

/* The whole main. */
static inline int fuzz_main(int argc, char **argv, const char *name, uint64_t executions)
{
    struct fuzz_loop loop = {.seed = 1, .executions = executions};
    double start = harness_seconds();
    bool broken = false;
    const struct harness_option options[] = {
        {"--seed", &loop.seed, NULL, NULL, "of the mutations [1]"},
        {"--executions", &loop.executions, NULL, NULL, "how many"},
        {"--break", NULL, NULL, &broken, "plant a fault, which the run must catch"},
        {NULL, NULL, NULL, NULL, NULL},
    };
    harness_options(argc, argv, options, "mutated input to a parser of untrusted bytes");
    if (broken) {
        return fuzz_control(&loop, name);
    }
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
