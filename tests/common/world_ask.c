/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/world_ask.c - what the engine says of snapshots, judged page by page; world_snapshot.h.
 */
#include "common/world_snapshot.h"

#include "common/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- diff ---- */

enum told { NOT_TOLD = 0, TOLD_DATA, TOLD_HOLE };

struct difference {
    const char *name;
    uint8_t *told; /* enum told, one a page of `to` */
    uint64_t pages, next;
};

static int take_range(void *ctx, uint64_t offset_bytes, uint64_t length_bytes, int data)
{
    struct difference *difference = ctx;
    uint64_t page = offset_bytes / COFFER_PAGE_BYTES, count = length_bytes / COFFER_PAGE_BYTES;
    harness_require(offset_bytes % COFFER_PAGE_BYTES == 0 && length_bytes > 0 &&
                        length_bytes % COFFER_PAGE_BYTES == 0 && page >= difference->next &&
                        page + count <= difference->pages,
                    "diff to %s: a range of %llu bytes at %llu, after page %llu of %llu",
                    difference->name, (unsigned long long)length_bytes,
                    (unsigned long long)offset_bytes, (unsigned long long)difference->next,
                    (unsigned long long)difference->pages);
    memset(difference->told + page, data != 0 ? TOLD_DATA : TOLD_HOLE, count);
    difference->next = page + count;
    return 0;
}

static void judge_page(const struct world *world, unsigned from, unsigned to, uint64_t page,
                       enum told told)
{
    const char *a = world->model->volumes[from].name, *b = world->model->volumes[to].name;
    uint64_t was = 0, is = 0;
    if (!model_page_known(world->model, from, page, &was) ||
        !model_page_known(world->model, to, page, &is)) {
        return;
    }
    harness_require(was == is || told != NOT_TOLD,
                    "diff %s to %s: page %llu differs (op %llu, op %llu) and is not told", a, b,
                    (unsigned long long)page, (unsigned long long)was, (unsigned long long)is);
    harness_require(was != is || told == NOT_TOLD,
                    "diff %s to %s: page %llu (op %llu) is the same and is told", a, b,
                    (unsigned long long)page, (unsigned long long)is);
    harness_require(told == NOT_TOLD || (told == TOLD_DATA) == (is != 0),
                    "diff %s to %s: page %llu (op %llu) is told as %s", a, b,
                    (unsigned long long)page, (unsigned long long)is,
                    told == TOLD_DATA ? "data" : "zeros");
}

int world_snapshot_diff(struct world *world, unsigned from, unsigned to)
{
    struct difference difference = {.name = world->model->volumes[to].name,
                                    .pages = model_volume_pages(world->model, to)};
    struct coffer_snapshot_diff_opts opts = {
        .size = sizeof opts,
        .from = world->model->volumes[from].name,
        .to = world->model->volumes[to].name,
        .provider = &world->kms->api,
    };
    int error = world_checkpoint(world);
    if (error != 0) {
        return error;
    }
    difference.told = calloc(difference.pages, 1);
    if (difference.told == NULL) {
        abort();
    }
    error = coffer_snapshot_diff(world->store, &opts, take_range, &difference, &world->fault);
    world_tell(world, "diff %s to %s: %s", opts.from, opts.to, coffer_error_name(error));
    for (uint64_t page = 0; error == 0 && page < difference.pages; page++) {
        judge_page(world, from, to, page, (enum told)difference.told[page]);
    }
    free(difference.told);
    return error;
}

/* ---- list and info ---- */

struct listing {
    const struct world *world;
    struct coffer_snapshot_info infos[MODEL_VOLUMES_MAX];
    unsigned nodes[MODEL_VOLUMES_MAX];
    unsigned count;
};

static bool is_visible(const struct model *model, unsigned node)
{
    const struct model_volume *volume = &model->volumes[node];
    return model_wanted(volume) && volume->snapshot && !volume->gone &&
           volume->create_done != MODEL_NEVER;
}

static unsigned node_of(const struct model *model, const struct coffer_snapshot_info *info)
{
    char full[2 * COFFER_NAME_BYTES_MAX];
    snprintf(full, sizeof full, "%s@%s", info->volume, info->name);
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        if (is_visible(model, v) && strcmp(model->volumes[v].name, full) == 0) {
            return v;
        }
    }
    harness_fail("list: %s is not there", full);
}

static int take_info(void *ctx, const struct coffer_snapshot_info *info)
{
    struct listing *listing = ctx;
    const struct model *model = listing->world->model;
    unsigned node = node_of(model, info);
    harness_require(listing->count < MODEL_VOLUMES_MAX, "list: too many snapshots");
    harness_require(listing->count == 0 || model->volumes[listing->nodes[listing->count - 1]].born <
                                               model->volumes[node].born,
                    "list: %s comes too late", model->volumes[node].name);
    listing->infos[listing->count] = *info;
    listing->nodes[listing->count++] = node;
    return 0;
}

static bool has_hidden_child(const struct model *model, unsigned node)
{
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        if (model->volumes[v].used && model->volumes[v].hidden &&
            model->volumes[v].parent == node) {
            return true;
        }
    }
    return false;
}

/* Where one that is hidden lies between, it is the engine's affair what it says. */
static void judge_relations(const struct listing *listing, unsigned at)
{
    static const struct coffer_uuid none;
    const struct model *model = listing->world->model;
    const struct coffer_snapshot_info *info = &listing->infos[at];
    unsigned node = listing->nodes[at], parent = model->volumes[node].parent;
    const char *name = model->volumes[node].name;
    bool orphan = memcmp(&info->parent, &none, sizeof none) == 0;
    unsigned found = MODEL_NONE;
    for (unsigned i = 0; i < listing->count; i++) {
        found = memcmp(&listing->infos[i].uuid, &info->parent, sizeof none) == 0 ? i : found;
        harness_require(i == at || memcmp(&listing->infos[i].uuid, &info->uuid, sizeof none) != 0,
                        "list: %s has the uuid of another", name);
    }
    if (parent == MODEL_NONE) {
        harness_require(orphan, "list: %s has a parent", name);
    } else if (!model->volumes[parent].hidden) {
        harness_require(found != MODEL_NONE && listing->nodes[found] == parent,
                        "list: the parent of %s is not %s", name, model->volumes[parent].name);
    }
    harness_require(has_hidden_child(model, node) ||
                        info->children == model_node_children(model, node),
                    "list: %s has %llu children, not %u", name, (unsigned long long)info->children,
                    model_node_children(model, node));
}

static void judge_numbers(const struct world *world, unsigned node,
                          const struct coffer_snapshot_info *info, bool counted)
{
    const struct model_volume *volume = &world->model->volumes[node];
    uint64_t least, most, size = model_volume_pages(world->model, node);
    char arn[COFFER_KEY_ARN_BYTES_MAX] = "";
    if (volume->encrypted) {
        fake_kms_arn(volume->keys[volume->key_count - 1].key, arn);
    }
    harness_require(info->size_bytes == size * COFFER_PAGE_BYTES, "%s has %llu bytes", volume->name,
                    (unsigned long long)info->size_bytes);
    harness_require(info->name_known != 0 && (info->encrypted != 0) == volume->encrypted &&
                        info->status == COFFER_SNAPSHOT_AVAILABLE,
                    "%s: known %d, encrypted %d, status %d", volume->name, info->name_known,
                    info->encrypted, (int)info->status);
    harness_require(strcmp(info->key_arn, arn) == 0, "%s is under \"%s\", not \"%s\"", volume->name,
                    info->key_arn, arn);
    model_mapped(world->model, node, &least, &most);
    harness_require(info->mapped_bytes >= least * COFFER_PAGE_BYTES &&
                        info->mapped_bytes <= most * COFFER_PAGE_BYTES,
                    "%s has %llu mapped bytes, not %llu pages", volume->name,
                    (unsigned long long)info->mapped_bytes, (unsigned long long)least);
    model_exclusive(world->model, node, &least, &most);
    harness_require(!counted || (info->exclusive_bytes >= least * COFFER_PAGE_BYTES &&
                                 info->exclusive_bytes <= most * COFFER_PAGE_BYTES),
                    "%s alone holds %llu bytes, not %llu to %llu pages", volume->name,
                    (unsigned long long)info->exclusive_bytes, (unsigned long long)least,
                    (unsigned long long)most);
}

struct keys_told {
    unsigned owners, keys, count; /* bit k: key k */
};

static int take_key(void *ctx, const char *key_arn, int owner)
{
    struct keys_told *told = ctx;
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    for (unsigned k = 0; k < FAKE_KMS_KEYS; k++) {
        fake_kms_arn(k, arn);
        if (strcmp(arn, key_arn) == 0) {
            told->keys |= 1u << k;
            told->owners |= owner != 0 && told->count == 0 ? 1u << k : 0;
        }
    }
    told->count++;
    return 0;
}

/* The keys that open it: its owner's first, and its recipients'. */
static int ask_keys(struct world *world, unsigned node, const struct coffer_snapshot_opts *opts)
{
    const struct model_volume *volume = &world->model->volumes[node];
    struct keys_told told = {0, 0, 0};
    unsigned owner;
    int error;
    if (!volume->encrypted) {
        return 0;
    }
    owner = 1u << volume->keys[volume->key_count - 1].key;
    error = coffer_recipient_list(world->store, opts, take_key, &told, &world->fault);
    harness_require(error != 0 ||
                        (told.owners == owner && told.keys == (owner | volume->recipients) &&
                         told.count == (unsigned)__builtin_popcount(told.keys)),
                    "%s is told to be under keys %x (owner %x) of %u, not %x (%x)", volume->name,
                    told.keys, told.owners, told.count, owner | volume->recipients, owner);
    return error;
}

static int ask_one(struct world *world, const struct coffer_snapshot_info *listed, unsigned node)
{
    struct coffer_snapshot_info info = {.size = sizeof info};
    struct coffer_snapshot_opts opts = {
        .size = sizeof opts,
        .volume = listed->volume,
        .name = listed->name,
        .provider = &world->kms->api,
    };
    int error = coffer_snapshot_info_get(world->store, &opts, &info, &world->fault);
    if (error == 0) {
        harness_require(memcmp(&info.uuid, &listed->uuid, sizeof info.uuid) == 0,
                        "%s has two uuids", world->model->volumes[node].name);
        judge_numbers(world, node, &info, true);
        error = ask_keys(world, node, &opts);
    }
    return error;
}

int world_snapshots_check(struct world *world)
{
    static struct listing listing;
    unsigned expected = 0;
    int error = world_checkpoint(world);
    memset(&listing, 0, sizeof listing);
    listing.world = world;
    if (error == 0) {
        error = coffer_snapshot_list(world->store, NULL, &world->kms->api, take_info, &listing,
                                     &world->fault);
    }
    world_tell(world, "list of %u snapshots: %s", listing.count, coffer_error_name(error));
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        expected += is_visible(world->model, v) ? 1u : 0u;
    }
    harness_require(error != 0 || listing.count == expected, "list: %u snapshots, not %u",
                    listing.count, expected);
    for (unsigned i = 0; error == 0 && i < listing.count; i++) {
        judge_relations(&listing, i);
        judge_numbers(world, listing.nodes[i], &listing.infos[i], false);
        error = ask_one(world, &listing.infos[i], listing.nodes[i]);
    }
    return error;
}
