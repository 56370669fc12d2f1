/* SPDX-License-Identifier: Apache-2.0 */
/*
 * images/make_image.c - makes a frozen store: PREFIX.blocks and PREFIX.json (README.md).
 *
 * Three sessions on a file, from seeded randomness: two encrypted volumes and a plain one, trees,
 * discards, a volume that grew, full segments with footers, checkpoints; at the end the file is
 * taken as it is, as if the process had died, with a tail of log behind the last root. What the
 * volumes hold is kept beside it in memory, and only that is hashed.
 *
 * Run once for each format version, never again for one that landed.
 */
#include "common/det_env.h"
#include "common/fake_kms.h"
#include "common/prng.h"
#include "crypto/keys.h"
#include "maker.h"

#include <coffer/coffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEED 20261122u
#define STORE_BYTES (64u << 20)
#define VOLUMES 3u

struct made {
    const char *name;
    int plain;
    uint64_t pages;
    uint8_t *bytes; /* the truth */
    struct coffer_volume *volume;
};

static struct made made[VOLUMES] = {{.name = "secret", .pages = 700},
                                    {.name = "plain", .plain = 1, .pages = 600},
                                    {.name = "other-key", .pages = 64}};
static struct det_env env;
static struct fake_kms kms;
static struct coffer_store *store;
static const char *path;

static void open_all(uint64_t incarnation)
{
    struct coffer_store_opts opts = {.size = sizeof opts, .path = path, .env = &env.api};
    det_env_incarnate(&env, SEED, incarnation);
    must(coffer_store_open(&opts, &store, NULL), "open");
    for (unsigned i = 0; i < VOLUMES; i++) {
        struct coffer_volume_open_opts open = {.size = sizeof open,
                                               .name = made[i].name,
                                               .flags = COFFER_VOLUME_ALLOW_PLAIN,
                                               .provider = &kms.api};
        must(coffer_volume_open(store, &open, &made[i].volume, NULL), "open a volume");
    }
}

static void create_all(void)
{
    struct coffer_store_create_opts create = {.size = sizeof create,
                                              .path = path,
                                              .size_bytes = STORE_BYTES,
                                              .segment_bytes = 1u << 20,
                                              .env = &env.api};
    struct coffer_store_opts opts = {.size = sizeof opts, .path = path, .env = &env.api};
    must(coffer_store_create(&create, NULL), "create");
    must(coffer_store_open(&opts, &store, NULL), "open");
    for (unsigned i = 0; i < VOLUMES; i++) {
        char arn[COFFER_KEY_ARN_BYTES_MAX];
        struct coffer_volume_create_opts volume = {.size = sizeof volume,
                                                   .name = made[i].name,
                                                   .size_bytes = made[i].pages * PAGE,
                                                   .not_encrypted = made[i].plain,
                                                   .provider = &kms.api};
        fake_kms_arn(1, arn);
        volume.kms_key_id = i == 2 ? arn : NULL;
        must(coffer_volume_create(store, &volume, NULL), "create a volume");
        made[i].bytes = calloc(1024, PAGE);
    }
    must(coffer_store_close(store), "close");
}

/* zero: a page of zeros, which takes its place in the log but none in the list of blocks. */
static void put(unsigned which, uint64_t page, uint64_t count, uint64_t version)
{
    struct made *at = &made[which];
    struct prng prng = {prng_mix(page * 3u + which, version)};
    for (uint64_t i = page * PAGE; i < (page + count) * PAGE; i++) {
        at->bytes[i] = (uint8_t)(version == 0 ? 0 : prng_next(&prng));
    }
    must(coffer_volume_write(at->volume, at->bytes + page * PAGE, page * PAGE, count * PAGE, 0,
                             NULL),
         "write");
}

static void drop(unsigned which, uint64_t offset, uint64_t length)
{
    memset(made[which].bytes + offset, 0, length);
    must(coffer_volume_discard(made[which].volume, offset, length, NULL), "discard");
}

static void sessions(void)
{
    open_all(1);
    put(0, 0, 40, 1);
    put(0, 690, 10, 1); /* a second leaf */
    put(1, 0, 20, 1);
    put(2, 5, 7, 1);
    drop(0, 10 * PAGE, 9 * PAGE);
    must(coffer_store_close(store), "close");
    open_all(2);
    put(0, 5, 12, 2);
    put(1, 10, 5, 2);
    must(coffer_volume_resize(made[2].volume, 600 * PAGE, NULL), "resize");
    made[2].pages = 600;
    put(2, 590, 6, 2);
    must(coffer_store_checkpoint(store, NULL), "checkpoint");
    put(0, 30, 3, 3);
    must(coffer_store_close(store), "close");
    open_all(3);
    put(1, 30, 500, 0); /* two segments are filled, and end in footers */
    drop(1, 40 * PAGE + 512, 100 * PAGE);
    must(coffer_store_checkpoint(store, NULL), "checkpoint");
    put(0, 8, 4, 4); /* the tail of the log begins */
    put(1, 570, 4, 4);
    put(2, 0, 3, 4);
    must(coffer_volume_flush(made[0].volume, NULL), "flush");
    drop(0, 20 * PAGE, 3 * PAGE);
    drop(2, 0, 512 * PAGE); /* a whole leaf */
    put(0, 21, 1, 5);
    must(coffer_volume_flush(made[1].volume, NULL), "flush");
    put(0, 50, 2, 6);
}

static void write_manifest(const char *name)
{
    FILE *out = maker_begin(name);
    fprintf(out, "{\n \"format\": \"1.0\",\n \"size_bytes\": %u,\n \"keys\": [", STORE_BYTES);
    for (unsigned i = 0; i < 2; i++) {
        fputs(i > 0 ? ", " : "", out);
        maker_put_hex(out, kms.keys[i].bytes, COFFER_KEY_BYTES);
    }
    fprintf(out, "],\n \"volumes\": [");
    for (unsigned i = 0; i < VOLUMES; i++) {
        struct coffer_volume_info info = {.size = sizeof info};
        uint8_t digest[32];
        must(coffer_volume_info_get(made[i].volume, &info), "info");
        must(cof_sha256(made[i].bytes, made[i].pages * PAGE, digest), "hash");
        fprintf(out,
                "%s\n  {\"name\": \"%s\", \"encrypted\": %s, \"size_bytes\": %llu,\n   \"uuid\": ",
                i > 0 ? "," : "", made[i].name, made[i].plain ? "false" : "true",
                (unsigned long long)(made[i].pages * PAGE));
        maker_put_hex(out, info.uuid.bytes, 16);
        fprintf(out, ", \"key_arn\": \"%s\",\n   \"sha256\": ", info.key_arn);
        maker_put_hex(out, digest, sizeof digest);
        fputs("}", out);
    }
    fprintf(out, "\n ]\n}\n");
    maker_end(out, name);
}

int main(int argc, char **argv)
{
    char store_path[4096], blocks[4096], manifest[4096];
    if (argc != 2) {
        fprintf(stderr, "usage: make_image PREFIX\n");
        return 2;
    }
    snprintf(store_path, sizeof store_path, "%s.store", argv[1]);
    snprintf(blocks, sizeof blocks, "%s.blocks", argv[1]);
    snprintf(manifest, sizeof manifest, "%s.json", argv[1]);
    path = store_path;
    det_env_init(&env, SEED, 0);
    fake_kms_init(&kms, SEED);
    create_all();
    sessions();
    write_manifest(manifest);
    maker_write_blocks(path, blocks, PAGE);
    (void)coffer_store_close(store);
    for (unsigned i = 0; i < VOLUMES; i++) {
        free(made[i].bytes);
    }
    return unlink(store_path) == 0 ? 0 : 1;
}
