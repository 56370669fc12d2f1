/* SPDX-License-Identifier: Apache-2.0 */
/*
 * images/make_cleaned.c - makes a frozen store whose pages were moved and sealed anew: PREFIX.blocks
 * and PREFIX.json (README.md).
 *
 * Pages of three volumes and their snapshots are spread over more segments than the store keeps.
 * One family is sealed anew under new data keys to the end, another half, and interrupted; then the
 * store gets smaller, so that what lay in the segments that went is in pieces and groups. It ends as
 * if the process had died, with a tail of log. What is kept in memory, and only that, is hashed.
 *
 * Run once for each format change, never again for one that landed.
 */
#include "common/det_env.h"
#include "common/fake_kms.h"
#include "common/prng.h"
#include "crypto/keys.h"
#include "maker.h"

#include <coffer/coffer.h>
#include <coffer/snapshot.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEED 20261123u
#define SEGMENT_BYTES (1u << 20)
#define LARGE_BYTES (128u << 20)
#define SMALL_BYTES (64u << 20)
#define UNIT_BYTES 512u
#define VOLUMES 3u
#define PAGES 240u
#define FILLER_PAGES 24000u
#define ROUNDS 90u
#define HALF_STEPS 3u

struct held {
    const char *name;
    int plain;
    uint8_t *bytes; /* the truth, and that of the snapshot */
    uint8_t *before;
    struct coffer_volume *volume;
    struct coffer_uuid uuid, snapshot_uuid;
};

static struct held held[VOLUMES] = {
    {.name = "anew"}, {.name = "half"}, {.name = "plain", .plain = 1}};
static struct det_env env;
static struct fake_kms kms;
static struct coffer_store *store;
static struct coffer_volume *filler;
static const char *path;
static uint64_t incarnation;

static void open_store(void)
{
    struct coffer_store_opts opts = {.size = sizeof opts, .path = path, .env = &env.api};
    det_env_incarnate(&env, SEED, ++incarnation);
    must(coffer_store_open(&opts, &store, NULL), "open");
}

static void make_volume(const char *name, uint64_t pages, int plain)
{
    struct coffer_volume_create_opts opts = {.size = sizeof opts,
                                             .name = name,
                                             .size_bytes = pages * PAGE,
                                             .not_encrypted = plain,
                                             .provider = &kms.api};
    must(coffer_volume_create(store, &opts, NULL), "create a volume");
}

static struct coffer_volume *open_volume(const char *name)
{
    struct coffer_volume_open_opts opts = {.size = sizeof opts,
                                           .name = name,
                                           .flags = COFFER_VOLUME_ALLOW_PLAIN,
                                           .provider = &kms.api};
    struct coffer_volume *volume;
    must(coffer_volume_open(store, &opts, &volume, NULL), "open a volume");
    return volume;
}

static void create_all(void)
{
    struct coffer_store_create_opts create = {.size = sizeof create,
                                              .path = path,
                                              .size_bytes = LARGE_BYTES,
                                              .segment_bytes = SEGMENT_BYTES,
                                              .env = &env.api};
    must(coffer_store_create(&create, NULL), "create");
    open_store();
    for (unsigned i = 0; i < VOLUMES; i++) {
        make_volume(held[i].name, PAGES, held[i].plain);
        held[i].bytes = calloc(PAGES, PAGE);
        held[i].before = calloc(PAGES, PAGE);
        held[i].volume = open_volume(held[i].name);
    }
    make_volume("filler", FILLER_PAGES, 1);
    filler = open_volume("filler");
}

static void put(struct held *at, uint64_t page, uint64_t version)
{
    struct prng prng = {prng_mix(page * 3u + (uint64_t)(at - held), version)};
    for (uint64_t i = 0; i < PAGE; i++) {
        at->bytes[page * PAGE + i] = (uint8_t)prng_next(&prng);
    }
    must(coffer_volume_write(at->volume, at->bytes + page * PAGE, page * PAGE, PAGE, 0, NULL),
         "write");
}

static void take_snapshots(void)
{
    for (unsigned i = 0; i < VOLUMES; i++) {
        struct coffer_snapshot_opts opts = {
            .size = sizeof opts, .name = "kept", .provider = &kms.api};
        must(coffer_snapshot_create(held[i].volume, &opts, &held[i].snapshot_uuid, NULL),
             "take a snapshot");
        memcpy(held[i].before, held[i].bytes, (size_t)PAGES * PAGE);
    }
}

/* Zeros take their place in the log, but none in the image's list of blocks. */
static void spread(void)
{
    static uint8_t zeros[245u * PAGE];
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < VOLUMES; i++) {
            put(&held[i], (round * (round % 2u == 0 ? 7u : 11u)) % PAGES, round);
        }
        must(coffer_volume_write(filler, zeros, (uint64_t)round * sizeof zeros, sizeof zeros, 0,
                                 NULL),
             "fill");
        if (round == ROUNDS / 2u) {
            take_snapshots();
        }
    }
}

static void close_volumes(void)
{
    struct coffer_volume_open_opts opts = {
        .size = sizeof opts, .name = "filler", .flags = COFFER_VOLUME_ALLOW_PLAIN};
    for (unsigned i = 0; i < VOLUMES; i++) {
        struct coffer_volume_info info = {.size = sizeof info};
        must(coffer_volume_info_get(held[i].volume, &info), "info");
        held[i].uuid = info.uuid;
        must(coffer_volume_close(held[i].volume), "close a volume");
    }
    must(coffer_volume_close(filler), "close a volume");
    must(coffer_volume_delete(store, &opts, NULL), "delete the filler");
}

static void seal_anew(const char *volume, unsigned steps_max)
{
    struct coffer_reencrypt_opts opts = {
        .size = sizeof opts, .volume = volume, .provider = &kms.api};
    int more = 1;
    must(coffer_reencrypt_begin(store, &opts, NULL), "begin to seal anew");
    for (unsigned i = 0; more == 1 && i < steps_max; i++) {
        more = coffer_reencrypt_step(store, NULL, NULL);
        must(more < 0 ? more : 0, "seal anew");
    }
    coffer_reencrypt_end(store);
}

static void leave_a_tail(void)
{
    for (unsigned i = 0; i < VOLUMES; i++) {
        held[i].volume = open_volume(held[i].name);
        put(&held[i], 9, 7);
        put(&held[i], 100u + i, 7);
    }
    must(coffer_volume_flush(held[0].volume, NULL), "flush");
    put(&held[1], 11, 8);
}

static void put_entry(FILE *out, const struct held *at, bool snapshot, bool first)
{
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    uint8_t digest[32];
    fake_kms_arn(0, arn);
    must(cof_sha256(snapshot ? at->before : at->bytes, (size_t)PAGES * PAGE, digest), "hash");
    fprintf(out, "%s\n  {\"name\": \"%s%s\", \"encrypted\": %s, \"size_bytes\": %u,\n   \"uuid\": ",
            first ? "" : ",", at->name, snapshot ? "@kept" : "", at->plain ? "false" : "true",
            PAGES * PAGE);
    maker_put_hex(out, snapshot ? at->snapshot_uuid.bytes : at->uuid.bytes, 16);
    fprintf(out, ", \"key_arn\": \"%s\",\n   \"sha256\": ", at->plain ? "" : arn);
    maker_put_hex(out, digest, sizeof digest);
    fputs("}", out);
}

static void write_manifest(const char *name)
{
    FILE *out = maker_begin(name);
    fprintf(out,
            "{\n \"format\": \"1.0\",\n \"size_bytes\": %u,\n \"unit_bytes\": %u,\n \"keys\": [",
            SMALL_BYTES, UNIT_BYTES);
    maker_put_hex(out, kms.keys[0].bytes, COFFER_KEY_BYTES);
    fprintf(out, "],\n \"volumes\": [");
    for (unsigned i = 0; i < VOLUMES; i++) {
        put_entry(out, &held[i], false, i == 0);
    }
    fprintf(out, "\n ],\n \"snapshots\": [");
    for (unsigned i = 0; i < VOLUMES; i++) {
        put_entry(out, &held[i], true, i == 0);
    }
    fprintf(out, "\n ]\n}\n");
    maker_end(out, name);
}

int main(int argc, char **argv)
{
    char store_path[4096], blocks[4096], manifest[4096];
    struct coffer_store_info info = {.size = sizeof info};
    if (argc != 2) {
        fprintf(stderr, "usage: make_cleaned PREFIX\n");
        return 2;
    }
    snprintf(store_path, sizeof store_path, "%s.store", argv[1]);
    snprintf(blocks, sizeof blocks, "%s.blocks", argv[1]);
    snprintf(manifest, sizeof manifest, "%s.json", argv[1]);
    path = store_path;
    det_env_init(&env, SEED, 0);
    fake_kms_init(&kms, SEED);
    create_all();
    spread();
    close_volumes();
    must(coffer_store_close(store), "close");
    open_store();
    seal_anew("anew", 100000u);
    seal_anew("half", HALF_STEPS);
    must(coffer_store_resize(store, SMALL_BYTES, NULL), "shrink");
    must(coffer_store_info_get(store, &info), "info");
    must(info.moved_bytes == 0 ? COFFER_E_INTERNAL : 0, "pages are moved");
    must(coffer_store_close(store), "close");
    open_store();
    leave_a_tail();
    write_manifest(manifest);
    maker_write_blocks(path, blocks, UNIT_BYTES);
    (void)coffer_store_close(store);
    for (unsigned i = 0; i < VOLUMES; i++) {
        free(held[i].bytes);
        free(held[i].before);
    }
    return unlink(store_path) == 0 ? 0 : 1;
}
