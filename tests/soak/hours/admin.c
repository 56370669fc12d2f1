/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hours/admin.c - store, volumes, snapshots: the calls and what the judge learns of each.
 *
 * A call that finds no room is counted and changes nothing; any other error fails the case.
 */
#include "hours/soak.h"

#include <stdio.h>
#include <string.h>

#define CACHE_BYTES (UINT64_C(1) << 20)

void soak_must(struct soak *soak, int error, const char *what)
{
    harness_require(error == 0, "%s: %s: %s", what, coffer_error_name(error),
                    soak->fault.error == error ? soak->fault.detail : "");
}

/* Whether it was done. */
static bool done(struct soak *soak, int error, const char *what)
{
    if (error == COFFER_E_NO_SPACE) {
        soak->counts.refused++;
        return false;
    }
    soak_must(soak, error, what);
    return true;
}

/* ---- the store ---- */

void soak_store_create(struct soak *soak)
{
    struct coffer_store_create_opts opts = {
        .size = sizeof opts,
        .device = sim_disk_open(soak->disk),
        .segment_bytes = (uint32_t)soak->options.segment_bytes,
        .env = &soak->env.api,
    };
    soak_must(soak, coffer_store_create(&opts, &soak->fault), "creating the store");
}

void soak_store_open(struct soak *soak)
{
    struct coffer_store_opts opts = {
        .size = sizeof opts,
        .device = sim_disk_open(soak->disk),
        .env = &soak->env.api,
        .staging_bytes = 4u << 20,
        .node_cache_bytes = CACHE_BYTES,
        .tag_cache_bytes = CACHE_BYTES,
        .placement_bytes = CACHE_BYTES,
        .key_arena_bytes = 256u << 10,
    };
    soak_must(soak, coffer_store_open(&opts, &soak->store, &soak->fault), "opening the store");
    soak_queue_open(soak);
}

void soak_store_close(struct soak *soak)
{
    struct coffer_store_info info;
    soak_drain(soak);
    soak_info(soak, &info);
    soak->base_written += info.written_bytes;
    soak->base_moved += info.moved_bytes;
    soak->base_device += info.device_write_bytes;
    soak_queue_close(soak);
    soak_close_volumes(soak);
    soak_must(soak, coffer_store_close(soak->store), "closing the store");
    soak->store = NULL;
}

/* ---- volumes ---- */

void soak_open_volume(struct soak *soak, unsigned at)
{
    struct soak_tree *tree = &soak->trees[at];
    char full[64];
    struct coffer_volume_open_opts opts = {
        .size = sizeof opts, .name = full, .provider = &soak->kms.api};
    snprintf(full, sizeof full, "%s%s%s", tree->snapshot ? tree->of : tree->name,
             tree->snapshot ? "@" : "", tree->snapshot ? tree->name : "");
    opts.flags = (tree->snapshot ? (unsigned)COFFER_VOLUME_READ_ONLY : 0u) |
                 (tree->encrypted ? 0u : (unsigned)COFFER_VOLUME_ALLOW_PLAIN);
    (void)done(soak, coffer_volume_open(soak->store, &opts, &tree->volume, &soak->fault),
               "opening a volume");
}

void soak_close_volume(struct soak *soak, unsigned at)
{
    struct soak_tree *tree = &soak->trees[at];
    soak_drain(soak);
    if (done(soak, coffer_volume_close(tree->volume), "closing a volume")) {
        tree->volume = NULL;
    }
}

void soak_close_volumes(struct soak *soak)
{
    for (unsigned i = 0; i < SOAK_TREES; i++) {
        if (soak->trees[i].volume != NULL) {
            soak_close_volume(soak, i);
        }
    }
}

void soak_open_volumes(struct soak *soak)
{
    for (unsigned i = 0; i < SOAK_TREES; i++) {
        const struct soak_tree *tree = &soak->trees[i];
        if (tree->used && !tree->snapshot && tree->volume == NULL) {
            soak_open_volume(soak, i);
        }
    }
}

unsigned soak_create_volume(struct soak *soak, uint64_t pages, bool encrypted)
{
    unsigned at = soak_tree_new(soak, pages);
    struct soak_tree *tree = &soak->trees[at];
    struct coffer_volume_create_opts opts = {.size = sizeof opts,
                                             .name = tree->name,
                                             .size_bytes = pages * COFFER_PAGE_BYTES,
                                             .not_encrypted = encrypted ? 0 : 1,
                                             .provider = &soak->kms.api};
    tree->encrypted = encrypted;
    snprintf(tree->name, sizeof tree->name, "v%llu", (unsigned long long)++soak->next_name);
    soak_drain(soak);
    if (!done(soak, coffer_volume_create(soak->store, &opts, &soak->fault), "making a volume")) {
        soak_tree_drop(soak, at);
        return SOAK_NONE;
    }
    soak->counts.volumes++;
    soak_open_volume(soak, at);
    return at;
}

void soak_delete_volume(struct soak *soak, unsigned at)
{
    struct soak_tree *tree = &soak->trees[at];
    struct coffer_volume_open_opts opts = {
        .size = sizeof opts,
        .name = tree->name,
        .flags = tree->encrypted ? 0u : (unsigned)COFFER_VOLUME_ALLOW_PLAIN,
        .provider = &soak->kms.api};
    if (tree->volume != NULL) {
        soak_close_volume(soak, at);
    }
    if (tree->volume == NULL &&
        done(soak, coffer_volume_delete(soak->store, &opts, &soak->fault), "deleting a volume")) {
        soak->counts.deleted_volumes++;
        soak_tree_drop(soak, at);
    }
}

/* ---- snapshots ---- */

static struct coffer_snapshot_opts named(struct soak *soak, unsigned at)
{
    const struct soak_tree *tree = &soak->trees[at];
    return (struct coffer_snapshot_opts){.size = sizeof(struct coffer_snapshot_opts),
                                         .volume = tree->of,
                                         .name = tree->name,
                                         .provider = &soak->kms.api};
}

void soak_take_snapshot(struct soak *soak, unsigned of)
{
    unsigned at = soak_tree_new(soak, soak->trees[of].pages);
    struct soak_tree *tree = &soak->trees[at];
    struct coffer_snapshot_opts opts;
    tree->snapshot = true;
    tree->encrypted = soak->trees[of].encrypted;
    snprintf(tree->name, sizeof tree->name, "s%llu", (unsigned long long)++soak->next_name);
    memcpy(tree->of, soak->trees[of].name, sizeof tree->of);
    opts = named(soak, at);
    soak_drain(soak);
    if (!done(soak, coffer_snapshot_create(soak->trees[of].volume, &opts, NULL, &soak->fault),
              "taking a snapshot")) {
        soak_tree_drop(soak, at);
        return;
    }
    soak->counts.snapshots++;
    tree->parent = soak->trees[of].parent;
    soak->trees[of].parent = at;
    soak_tree_copy(soak, of, at);
}

void soak_delete_snapshot(struct soak *soak, unsigned at)
{
    struct coffer_snapshot_opts opts = named(soak, at);
    soak_drain(soak);
    if (done(soak, coffer_snapshot_delete(soak->store, &opts, &soak->fault),
             "deleting a snapshot")) {
        soak->counts.deleted_snapshots++;
        soak_tree_drop(soak, at);
    }
}

void soak_restore(struct soak *soak, unsigned from)
{
    unsigned at = soak_tree_new(soak, soak->trees[from].pages);
    struct soak_tree *tree = &soak->trees[at];
    struct coffer_snapshot_restore_opts opts = {
        .size = sizeof opts, .snapshot = named(soak, from), .new_name = tree->name};
    tree->encrypted = soak->trees[from].encrypted;
    snprintf(tree->name, sizeof tree->name, "v%llu", (unsigned long long)++soak->next_name);
    soak_drain(soak);
    if (!done(soak, coffer_snapshot_restore(soak->store, &opts, &soak->fault), "a clone")) {
        soak_tree_drop(soak, at);
        return;
    }
    soak->counts.clones++;
    tree->parent = from;
    soak_tree_copy(soak, from, at);
    soak_open_volume(soak, at);
}

void soak_look_at_all(struct soak *soak)
{
    soak_drain(soak);
    for (unsigned i = 0; i < SOAK_TREES; i++) {
        struct soak_tree *tree = &soak->trees[i];
        bool opened = tree->volume != NULL;
        if (!tree->used || tree->hidden) {
            continue;
        }
        if (!opened) {
            soak_open_volume(soak, i);
        }
        harness_require(tree->volume != NULL, "%s could not be opened to be read", tree->name);
        soak_look(soak, i);
        if (!opened) {
            soak_close_volume(soak, i);
        }
    }
    soak->counts.looks++;
}
