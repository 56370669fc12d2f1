/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/fuzz_keystore.h - a key store with one key, the same in each run: a fixed clock, and random
 * numbers from a counter that begins anew with each store, so that what a corpus names is there.
 */
#ifndef TESTS_FUZZ_FUZZ_KEYSTORE_H
#define TESTS_FUZZ_FUZZ_KEYSTORE_H

#include "common/prng.h"
#include "fuzz/fuzz_directory.h"

#include <coffer/keystore.h>

#define FUZZ_NOW_NS UINT64_C(1700000000000000000)
#define FUZZ_ROOT "0123456789abcdef0123456789abcdef"

static struct coffer_keystore *fuzz_keystore;
static struct coffer_key_metadata fuzz_key;
static uint64_t fuzz_drawn;

static inline uint64_t fuzz_wall(void *ctx)
{
    (void)ctx;
    return FUZZ_NOW_NS;
}

/* Never twice the same, so that ids differ. */
static inline int fuzz_random(void *ctx, void *buffer, size_t bytes)
{
    uint8_t *at = buffer;
    struct prng prng = {prng_mix(7, fuzz_drawn++)};
    (void)ctx;
    while (bytes-- > 0) {
        *at++ = (uint8_t)prng_next(&prng);
    }
    return 0;
}

static inline void fuzz_keystore_close(void)
{
    coffer_keystore_close(fuzz_keystore);
    fuzz_keystore = NULL;
}

/* Open the store at name in the target's directory; what coffer_keystore_open says. */
static inline int fuzz_keystore_open(const char *name, unsigned flags, struct coffer_fault *fault)
{
    static char path[320], root[320];
    static struct coffer_env env = {
        .size = sizeof env, .wall_ns = fuzz_wall, .random = fuzz_random};
    struct coffer_keystore_opts opts = {.size = sizeof opts,
                                        .path = fuzz_path(name, path),
                                        .flags = flags,
                                        .root_key_file = fuzz_path("root", root),
                                        .env = &env};
    fuzz_write(root, FUZZ_ROOT, 32);
    return coffer_keystore_open(&opts, &fuzz_keystore, fault);
}

/* In the place of the one before, whatever that had come to. */
static inline void fuzz_keystore_make(void)
{
    static bool registered;
    struct coffer_fault fault = {0};
    char path[320];
    if (!registered) {
        (void)fuzz_path("keys", path);
        registered = atexit(fuzz_keystore_close) == 0;
    }
    fuzz_keystore_close();
    fuzz_directory_clear();
    fuzz_drawn = 0;
    harness_require(fuzz_keystore_open("keys", COFFER_KEYSTORE_CREATE, &fault) == 0,
                    "no store: %s", fault.detail);
    memset(&fuzz_key, 0, sizeof fuzz_key);
    fuzz_key.size = sizeof fuzz_key;
    harness_require(coffer_keystore_create_key(fuzz_keystore, "", &fuzz_key, &fault) == 0,
                    "no key: %s", fault.detail);
}

#endif
