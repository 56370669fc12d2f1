/* SPDX-License-Identifier: Apache-2.0 */
/*
 * images/make_copies.c - makes a frozen store of families and copies: PREFIX.blocks and PREFIX.json
 * (README.md).
 *
 * Three stores on files, from seeded randomness: the one that is kept; a source; and a fork, which
 * has the uuid of the first, as a copy of its file has. The first ends as if the process had died,
 * with a tail of log behind the last root. What each volume and snapshot holds is kept beside them
 * in memory, and only that is hashed.
 *
 * Run once for each format version, never again for one that landed.
 */
#include "common/fake_kms.h"
#include "crypto/keys.h"
#include "family.h"

#include <string.h>

#define SEED 20261123u
#define UNIT_BYTES 512u

static struct side here, source, fork_of_here;

/* ---- the story ---- */

static struct node *far_one, *far_two, *wide_one, *bare_one, *half_way, *split_one;

static void fill_source(void)
{
    struct node *far = make_volume(&source, "far", 600, 1);
    struct node *wide = make_volume(&source, "wide", 40, 1);
    struct node *bare = make_volume(&source, "bare", 30, PLAIN);
    struct node *half = make_volume(&source, "half", 40, 1);
    put(far, 0, 8, 1);
    put(far, 590, 2, 1);
    far_one = snap(far, "one");
    tag(far_one, "left behind");
    put(far, 5, 5, 2);
    drop(far, 590, 1);
    far_two = snap(far, "two");
    tag(far_two, "as it was sealed there");
    put(wide, 3, 5, 1);
    wide_one = snap(wide, "one");
    tag(wide_one, "sealed here");
    put(bare, 0, 5, 1);
    bare_one = snap(bare, "one");
    tag(bare_one, "unencrypted");
    put(half, 0, 4, 1);
    (void)snap(half, "early");
    put(half, 10, 4, 1);
    half_way = snap(half, "way");
}

static void fill_fork(void)
{
    struct node *split = make_volume(&fork_of_here, "split", 20, 1);
    put(split, 2, 6, 1);
    split_one = snap(split, "one");
}

static struct node *own, *second, *branch, *plain, *near;

static void first_session(void)
{
    struct node *first, *middle, *turned, *gone;
    own = make_volume(&here, "own", 600, 1);
    plain = make_volume(&here, "plain", 30, PLAIN);
    turned = make_volume(&here, "turned", 30, 1);
    gone = make_volume(&here, "gone", 20, 1);
    put(own, 0, 10, 1);
    put(own, 580, 3, 1);
    first = snap(own, "first");
    put(own, 8, 4, 2);
    drop(own, 1, 2);
    middle = snap(own, "middle");
    put(own, 4, 2, 3);
    second = snap(own, "second");
    tag(second, "of a snapshot");
    tag(own, "of a volume");
    tag(plain, "of an unencrypted volume");
    add_recipient(second, 3);
    put(own, 5, 3, 4);
    put(plain, 0, 6, 1);
    (void)snap(plain, "kept");
    put(plain, 4, 4, 2);
    put(turned, 0, 5, 1);
    (void)snap(turned, "before");
    put(turned, 2, 2, 2);
    put(gone, 7, 4, 1);
    (void)snap(gone, "left");
    delete_volume(gone);
    close_node(turned);
    rekey(turned, 2);
    branch = restore(first, "branch", 2);
    put(branch, 0, 3, 5);
    drop(branch, 580, 2);
    delete_snapshot(middle);
    delete_snapshot(first); /* `own` and `branch` are made of it: it stays, hidden */
}

static void second_session(void)
{
    reopen_side(&here);
    open_node(own);
    copy(&here, far_one, "one", 2, false, &keyless_kms, &keyless_kms);
    near = restore(copy(&here, far_two, "two", 2, true, &keyless_kms, &keyless_kms), "near", 1);
    put(near, 7, 4, 6);
    (void)snap(near, "later");
    put(near, 20, 3, 7);
    copy(&here, wide_one, "one", 2, true, &another_kms, &kms.api);
    copy(&here, bare_one, "one", PLAIN, true, NULL, NULL);
    copy(&here, split_one, "one", 2, false, &kms.api, &kms.api);
    copy_begin(&here, half_way, 1);
    copy(&here, second, "twin", 2, true, &kms.api, &kms.api);
}

/* Restored volumes and copies have theirs from the engine. */
static void learn_uuids(void)
{
    for (unsigned i = 0; i < node_count; i++) {
        struct node *node = &nodes[i];
        struct coffer_volume_info info = {.size = sizeof info};
        if (node->side == &here && !node->gone && !node->copying) {
            open_node(node);
            must(coffer_volume_info_get(node->open, &info), "info");
            node->uuid = info.uuid;
            close_node(node);
        }
    }
}

static void last_session(void)
{
    reopen_side(&here);
    learn_uuids();
    open_node(own);
    open_node(plain);
    open_node(branch);
    open_node(near);
    put(own, 0, 2, 8);
    (void)snap(branch, "late"); /* they have one volume key until the next open */
    must(coffer_store_checkpoint(here.store, NULL), "checkpoint");
    put(own, 11, 3, 9); /* the tail of the log begins */
    put(near, 0, 2, 9);
    put(branch, 12, 2, 9);
    must(coffer_volume_flush(own->open, NULL), "flush");
    drop(near, 590, 2);
    put(plain, 9, 2, 9);
    must(coffer_volume_flush(plain->open, NULL), "flush");
    put(branch, 2, 1, 10);
}

/* ---- the manifest ---- */

static void write_node(FILE *out, struct node *node)
{
    char name[2 * COFFER_NAME_BYTES_MAX], arn[COFFER_KEY_ARN_BYTES_MAX];
    uint8_t digest[32];
    full_name(node, name, sizeof name);
    must(cof_sha256(node->bytes, node->pages * PAGE, digest), "hash");
    fprintf(out,
            "  {\"name\": \"%s\", \"encrypted\": %s, \"size_bytes\": %llu,\n   \"uuid\": ", name,
            node->key == PLAIN ? "false" : "true", (unsigned long long)(node->pages * PAGE));
    maker_put_hex(out, node->uuid.bytes, 16);
    fprintf(out, ", \"key_arn\": \"%s\",\n   ", node->key == PLAIN ? "" : key_name(node->key, arn));
    if (node->recipient != 0) {
        fprintf(out, "\"recipient\": \"%s\", ", key_name(node->recipient, arn));
    }
    if (node->tag != NULL) {
        fprintf(out, "\"tags\": {\"kept\": \"%s\"}, ", node->tag);
    }
    fprintf(out, "\"sha256\": ");
    maker_put_hex(out, digest, sizeof digest);
    fputs("}", out);
}

static void write_nodes(FILE *out, bool snapshots, bool copying)
{
    bool any = false;
    for (unsigned i = 0; i < node_count; i++) {
        struct node *node = &nodes[i];
        if (node->side == &here && !node->gone && node->copying == copying &&
            (node->snapshot != NULL) == snapshots) {
            fputs(any ? ",\n" : "\n", out);
            write_node(out, node);
            any = true;
        }
    }
    fputs("\n ]", out);
}

static void write_manifest(const char *name)
{
    FILE *out = maker_begin(name);
    fprintf(out,
            "{\n \"format\": \"1.0\",\n \"size_bytes\": %u,\n \"unit_bytes\": %u,\n"
            " \"keys\": [",
            STORE_BYTES, UNIT_BYTES);
    for (unsigned i = 0; i < FAKE_KMS_KEYS; i++) {
        fputs(i > 0 ? ",\n  " : "\n  ", out);
        maker_put_hex(out, kms.keys[i].bytes, COFFER_KEY_BYTES);
    }
    fprintf(out, "\n ],\n \"hidden\": 1,\n \"volumes\": [");
    write_nodes(out, false, false);
    fprintf(out, ",\n \"snapshots\": [");
    write_nodes(out, true, false);
    fprintf(out, ",\n \"copying\": [");
    write_nodes(out, true, true);
    fprintf(out, "\n}\n");
    maker_end(out, name);
}

int main(int argc, char **argv)
{
    char blocks[4096], manifest[4096];
    if (argc != 2) {
        fprintf(stderr, "usage: make_copies PREFIX\n");
        return 2;
    }
    snprintf(blocks, sizeof blocks, "%s.blocks", argv[1]);
    snprintf(manifest, sizeof manifest, "%s.json", argv[1]);
    family_begin(SEED);
    make_side(&here, argv[1], "here", SEED);
    make_side(&fork_of_here, argv[1], "fork", SEED);
    make_side(&source, argv[1], "source", SEED + 1u);
    fill_source();
    fill_fork();
    reopen_side(&source); /* no volume key is at hand */
    first_session();
    second_session();
    last_session();
    write_manifest(manifest);
    maker_write_blocks(here.path, blocks, UNIT_BYTES);
    end_side(&here);
    end_side(&fork_of_here);
    end_side(&source);
    family_end();
    return 0;
}
