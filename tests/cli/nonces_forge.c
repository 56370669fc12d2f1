/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/nonces_forge.c - makes stores in which pairs of key and nonce were used twice, for the test
 * of `coffer check --nonces`: its negative controls.
 *
 *   nonces_forge subkey STORE       one store of an engine that derives one subkey for all extents
 *                                   of a data key; an equal page is written three times
 *   nonces_forge random STORE COPY  a store and its copy, which both go on with the same
 *                                   randomness, and write different pages
 */
#include "base/testhook.h"
#include "common/det_env.h"
#include "common/fake_kms.h"

#include <coffer/coffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096u
#define PAGES 256u
#define STORE_BYTES (64u << 20)

static struct det_env env;
static struct fake_kms kms;
static unsigned open_flags;

static void must(int error, const char *what)
{
    if (error != 0) {
        fprintf(stderr, "nonces_forge: %s: %s\n", what, coffer_error_name(error));
        exit(1);
    }
}

static struct coffer_store *open_store(const char *path, uint64_t incarnation)
{
    struct coffer_store_opts opts = {.size = sizeof opts, .path = path, .env = &env.api};
    struct coffer_store *store;
    int error;
    det_env_init(&env, 7, incarnation);
    opts.flags = open_flags;
    error = coffer_store_open(&opts, &store, NULL);
    if (error == COFFER_E_UNSUPPORTED) { /* no O_DIRECT there */
        opts.flags = open_flags = COFFER_OPEN_BUFFERED;
        error = coffer_store_open(&opts, &store, NULL);
    }
    must(error, "open");
    return store;
}

static void make_store(const char *path)
{
    struct coffer_store_create_opts create = {.size = sizeof create,
                                              .path = path,
                                              .size_bytes = STORE_BYTES,
                                              .segment_bytes = 1u << 20,
                                              .env = &env.api};
    struct coffer_volume_create_opts volume = {.size = sizeof volume,
                                               .name = "v",
                                               .size_bytes = (uint64_t)PAGES * PAGE,
                                               .provider = &kms.api};
    struct coffer_store *store;
    det_env_init(&env, 7, 1);
    fake_kms_init(&kms, 7);
    must(coffer_store_create(&create, NULL), "create");
    store = open_store(path, 2);
    must(coffer_volume_create(store, &volume, NULL), "create the volume");
    must(coffer_store_close(store), "close");
}

static void write_pages(struct coffer_volume *volume, uint64_t count, int byte)
{
    static uint8_t page[PAGE];
    memset(page, byte, sizeof page);
    for (uint64_t i = 0; i < count; i++) {
        must(coffer_volume_write(volume, page, i * PAGE, PAGE, 0, NULL), "write");
    }
}

/* Open, write pages of byte so many times with a checkpoint behind each, close. */
static void go_on(const char *path, uint64_t incarnation, uint64_t count, int byte, unsigned times)
{
    struct coffer_store *store = open_store(path, incarnation);
    struct coffer_volume_open_opts opts = {.size = sizeof opts, .name = "v", .provider = &kms.api};
    struct coffer_volume *volume;
    must(coffer_volume_open(store, &opts, &volume, NULL), "open the volume");
    for (unsigned i = 0; i < times; i++) {
        write_pages(volume, count, byte);
        must(coffer_store_checkpoint(store, NULL), "checkpoint");
    }
    must(coffer_volume_close(volume), "close the volume");
    must(coffer_store_close(store), "close");
}

static void copy_file(const char *from, const char *to)
{
    static char bytes[1u << 20];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    size_t got;
    must(in == NULL || out == NULL ? COFFER_E_IO : 0, "copy");
    while ((got = fread(bytes, 1, sizeof bytes, in)) > 0) {
        must(fwrite(bytes, 1, got, out) == got ? 0 : COFFER_E_IO, "copy");
    }
    must(fclose(in) != 0 || fclose(out) != 0 ? COFFER_E_IO : 0, "copy");
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "subkey") == 0) {
        cof_test_break = COF_BREAK_REUSE_NONCE;
        make_store(argv[2]);
        go_on(argv[2], 3, 1, 0x5a, 3);
        return 0;
    }
    if (argc == 4 && strcmp(argv[1], "random") == 0) {
        make_store(argv[2]);
        copy_file(argv[2], argv[3]);
        go_on(argv[2], 3, 40, 0x11, 1);
        go_on(argv[3], 3, 50, 0x22, 1);
        return 0;
    }
    fprintf(stderr, "usage: nonces_forge subkey STORE | random STORE COPY\n");
    return 2;
}
