/* SPDX-License-Identifier: Apache-2.0 */
/*
 * images/family.c - see family.h.
 */
#include "family.h"

#include "common/prng.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct node nodes[NODES_MAX];
unsigned node_count;
struct fake_kms kms;
struct coffer_key_provider another_kms, keyless_kms;

/* ---- stores ---- */

static void open_side(struct side *side)
{
    struct coffer_store_opts opts = {
        .size = sizeof opts, .path = side->path, .env = &side->env.api};
    det_env_incarnate(&side->env, side->seed, ++side->incarnation);
    must(coffer_store_open(&opts, &side->store, NULL), "open a store");
}

/* The same seed gives the same uuid. */
void make_side(struct side *side, const char *prefix, const char *ending, uint64_t seed)
{
    struct coffer_store_create_opts create = {.size = sizeof create,
                                              .path = side->path,
                                              .size_bytes = STORE_BYTES,
                                              .segment_bytes = 1u << 20,
                                              .env = &side->env.api};
    snprintf(side->path, sizeof side->path, "%s.%s", prefix, ending);
    side->seed = seed;
    det_env_init(&side->env, seed, 0);
    must(coffer_store_create(&create, NULL), "create a store");
    side->seed = prng_mix(seed, (uint64_t)ending[0]);
    open_side(side);
}

void reopen_side(struct side *side)
{
    must(coffer_store_close(side->store), "close a store");
    for (unsigned i = 0; i < node_count; i++) {
        nodes[i].open = nodes[i].side == side ? NULL : nodes[i].open;
    }
    open_side(side);
}

void end_side(struct side *side)
{
    (void)coffer_store_close(side->store);
    (void)unlink(side->path);
}

/* ---- volumes ---- */

static struct node *new_node(struct side *side, const char *volume, const char *snapshot,
                             const struct node *of)
{
    struct node *node = &nodes[node_count++];
    must(node_count > NODES_MAX ? COFFER_E_LIMIT : 0, "nodes");
    node->side = side;
    node->volume = volume;
    node->snapshot = snapshot;
    node->bytes = calloc(1024, PAGE);
    if (of != NULL) {
        node->key = of->key;
        node->pages = of->pages;
        memcpy(node->bytes, of->bytes, of->pages * PAGE);
    }
    return node;
}

const char *key_name(int key, char arn[COFFER_KEY_ARN_BYTES_MAX])
{
    fake_kms_arn((unsigned)key, arn);
    return key == PLAIN ? NULL : arn;
}

void full_name(const struct node *node, char *name, size_t room)
{
    snprintf(name, room, "%s%s%s", node->volume, node->snapshot != NULL ? "@" : "",
             node->snapshot != NULL ? node->snapshot : "");
}

void open_node(struct node *node)
{
    char name[2 * COFFER_NAME_BYTES_MAX];
    struct coffer_volume_open_opts opts = {.size = sizeof opts,
                                           .name = name,
                                           .flags = COFFER_VOLUME_ALLOW_PLAIN,
                                           .provider = &kms.api};
    full_name(node, name, sizeof name);
    opts.flags |= node->snapshot != NULL ? COFFER_VOLUME_READ_ONLY : 0u;
    must(coffer_volume_open(node->side->store, &opts, &node->open, NULL), name);
}

void close_node(struct node *node)
{
    must(coffer_volume_close(node->open), "close a volume");
    node->open = NULL;
}

struct node *make_volume(struct side *side, const char *name, uint64_t pages, int key)
{
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    struct node *node = new_node(side, name, NULL, NULL);
    struct coffer_volume_create_opts opts = {.size = sizeof opts,
                                             .name = name,
                                             .size_bytes = pages * PAGE,
                                             .not_encrypted = key == PLAIN,
                                             .kms_key_id = key_name(key, arn),
                                             .provider = &kms.api};
    must(coffer_volume_create(side->store, &opts, NULL), "create a volume");
    node->key = key;
    node->pages = pages;
    open_node(node);
    return node;
}

void put(struct node *node, uint64_t page, uint64_t count, uint64_t version)
{
    struct prng prng = {prng_mix(page * NODES_MAX + (uint64_t)(node - nodes), version)};
    for (uint64_t i = page * PAGE; i < (page + count) * PAGE; i++) {
        node->bytes[i] = (uint8_t)prng_next(&prng);
    }
    must(coffer_volume_write(node->open, node->bytes + page * PAGE, page * PAGE, count * PAGE, 0,
                             NULL),
         "write");
}

void drop(struct node *node, uint64_t page, uint64_t count)
{
    memset(node->bytes + page * PAGE, 0, count * PAGE);
    must(coffer_volume_discard(node->open, page * PAGE, count * PAGE, NULL), "discard");
}

void delete_volume(struct node *node)
{
    struct coffer_volume_open_opts opts = {
        .size = sizeof opts, .name = node->volume, .provider = &kms.api};
    close_node(node);
    must(coffer_volume_delete(node->side->store, &opts, NULL), "delete a volume");
    node->gone = true;
}

/* ---- snapshots ---- */

static struct coffer_snapshot_opts snapshot_opts(const struct node *node)
{
    struct coffer_snapshot_opts opts = {
        .size = sizeof opts, .volume = node->volume, .name = node->snapshot, .provider = &kms.api};
    return opts;
}

struct node *snap(struct node *volume, const char *name)
{
    struct node *node = new_node(volume->side, volume->volume, name, volume);
    struct coffer_snapshot_opts opts = snapshot_opts(node);
    must(coffer_snapshot_create(volume->open, &opts, &node->uuid, NULL), "take a snapshot");
    return node;
}

void delete_snapshot(struct node *node)
{
    struct coffer_snapshot_opts opts = snapshot_opts(node);
    must(coffer_snapshot_delete(node->side->store, &opts, NULL), "delete a snapshot");
    node->gone = true;
}

struct node *restore(const struct node *snapshot, const char *name, int key)
{
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    struct node *node = new_node(snapshot->side, name, NULL, snapshot);
    struct coffer_snapshot_restore_opts opts = {.size = sizeof opts,
                                                .snapshot = snapshot_opts(snapshot),
                                                .new_name = name,
                                                .kms_key_id = key_name(key, arn)};
    must(coffer_snapshot_restore(snapshot->side->store, &opts, NULL), "restore");
    node->key = key;
    open_node(node);
    return node;
}

void rekey(struct node *volume, int key)
{
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    struct coffer_rekey_opts opts = {.size = sizeof opts,
                                     .volume = volume->volume,
                                     .kms_key_id = key_name(key, arn),
                                     .depth = COFFER_REKEY_VOLUME,
                                     .provider = &kms.api};
    must(coffer_volume_rekey(volume->side->store, &opts, NULL), "re-key");
    for (unsigned i = 0; i < node_count; i++) {
        if (nodes[i].side == volume->side && strcmp(nodes[i].volume, volume->volume) == 0) {
            nodes[i].key = key;
        }
    }
}

void add_recipient(struct node *snapshot, int key)
{
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    struct coffer_recipient_opts opts = {
        .size = sizeof opts, .snapshot = snapshot_opts(snapshot), .kms_key_id = key_name(key, arn)};
    must(coffer_recipient_add(snapshot->side->store, &opts, NULL), "add a recipient");
    snapshot->recipient = key;
}

void tag(struct node *node, const char *value)
{
    char name[2 * COFFER_NAME_BYTES_MAX];
    struct coffer_tags_opts opts = {.size = sizeof opts, .name = name, .provider = &kms.api};
    struct coffer_tag kept = {"kept", value};
    full_name(node, name, sizeof name);
    must(coffer_tags_set(node->side->store, &opts, &kept, 1, NULL), "tag");
    node->tag = value;
}

static int stop_after_one(void *ctx, uint64_t done_bytes, uint64_t total_bytes)
{
    (void)ctx;
    return done_bytes < total_bytes ? STOPPED : 0;
}

static int send(struct node *node, const struct node *from, const struct coffer_key_provider *ours,
                const struct coffer_key_provider *theirs, bool stop)
{
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    struct coffer_copy_opts opts = {.size = sizeof opts,
                                    .flags = node->tag != NULL ? COFFER_COPY_TAGS : 0,
                                    .source = snapshot_opts(from),
                                    .volume = node->volume,
                                    .name = node->snapshot,
                                    .kms_key_id = key_name(node->key, arn),
                                    .provider = ours,
                                    .on_progress = stop ? stop_after_one : NULL};
    opts.source.provider = theirs;
    return coffer_snapshot_copy(from->side->store, node->side->store, &opts, NULL);
}

struct node *copy(struct side *to, const struct node *from, const char *name, int key,
                  bool keep_tag, const struct coffer_key_provider *ours,
                  const struct coffer_key_provider *theirs)
{
    struct node *node = new_node(to, from->volume, name, from);
    node->key = key;
    node->tag = keep_tag ? from->tag : NULL;
    must(send(node, from, ours, theirs, false), "copy");
    return node;
}

struct node *copy_begin(struct side *to, const struct node *from, int key)
{
    struct node *node = new_node(to, from->volume, from->snapshot, from);
    node->key = key;
    node->copying = true;
    must(send(node, from, &keyless_kms, &keyless_kms, true) == STOPPED ? 0 : COFFER_E_INTERNAL,
         "stop a copy");
    return node;
}

/* ---- all ---- */

void family_begin(uint64_t seed)
{
    static struct fake_kms_blind blind;
    fake_kms_init(&kms, seed);
    another_kms = kms.api;
    fake_kms_blind_init(&blind, &kms);
    keyless_kms = blind.api;
}

void family_end(void)
{
    for (unsigned i = 0; i < node_count; i++) {
        free(nodes[i].bytes);
    }
}
