/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model/snapshots/kin.c - steps that make, share, compare and delete volumes and snapshots.
 */
#include "common/harness.h"
#include "story.h"

#include <string.h>

#define STORY_EMPTY_BYTES_MAX 16384u /* of placement and segment table */

/* Where slots or keys run short, a look lets the model forget what is gone. */
static void make_room(struct story *story)
{
    const struct model *model = story->world.model;
    unsigned used = 0, keys = 0;
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        used += model->volumes[v].used ? 1u : 0u;
        keys = model->volumes[v].key_count > keys ? model->volumes[v].key_count : keys;
    }
    if (used > STORY_SLOTS_MAX || keys + 1 >= MODEL_KEYS_MAX) {
        story_reopen(story);
    }
}

void story_new_volume(struct story *story)
{
    struct world *world = &story->world;
    unsigned volume;
    int error;
    make_room(story);
    if (story_count(story, STORY_VOLUME) >= STORY_VOLUMES_MAX) {
        return;
    }
    world->kms->keys[1].state = COFFER_KEY_ENABLED;
    if (story->dead_name[0] != 0 && story_pick(story, 2) == 0) {
        memcpy(world->model->name_next, story->dead_name, sizeof story->dead_name);
        story->dead_name[0] = 0;
    }
    error = world_volume_create(world, story_size(story), story->pages_max,
                                story_pick(story, 4) != 0, &volume);
    story_settle(story, error != 0 ? error : world_volume_open(world, volume));
}

void story_delete_volume(struct story *story)
{
    struct world *world = &story->world;
    unsigned volume;
    story_drain(story);
    volume = story_any(story, STORY_OPEN_VOLUME, MODEL_NONE);
    if (volume == MODEL_NONE || story_count(story, STORY_VOLUME) < 2) {
        return;
    }
    memcpy(story->dead_name, world->model->volumes[volume].name, sizeof story->dead_name);
    story_settle(story, world_volume_close(world, volume));
    must(world, world_volume_delete(world, volume));
    story_counts.volumes_deleted++;
}

void story_snapshot(struct story *story)
{
    struct world *world = &story->world;
    unsigned volume, snapshot;
    int error;
    make_room(story);
    volume = story_any(story, STORY_OPEN_VOLUME, MODEL_NONE);
    if (volume == MODEL_NONE || story_count(story, STORY_SNAPSHOT) >= STORY_SNAPSHOTS_MAX) {
        return;
    }
    error = world_snapshot_create(world, volume, story_pick(story, STORY_LABELS), &snapshot);
    story_settle(story, error);
    if (error != 0) {
        return;
    }
    story_counts.taken += snapshot == MODEL_NONE ? 1u : 0u;
    story_counts.snapshots += snapshot != MODEL_NONE ? 1u : 0u;
    if (snapshot != MODEL_NONE && model_snapshot_open(world->model, snapshot)) {
        story_counts.mixed++;
        must(world, world_snapshot_settle(world, snapshot));
    }
}

void story_restore(struct story *story)
{
    struct world *world = &story->world;
    unsigned snapshot, volume = MODEL_NONE;
    int key = WORLD_OWN_KEY, error;
    make_room(story);
    snapshot = story_any(story, STORY_SNAPSHOT, MODEL_NONE);
    if (snapshot == MODEL_NONE || story_count(story, STORY_VOLUME) >= STORY_VOLUMES_MAX) {
        return;
    }
    if (story_pick(story, 3) == 0) {
        key = (int)story_pick(story, FAKE_KMS_KEYS);
        world->kms->keys[key].state = COFFER_KEY_ENABLED;
        story_counts.resealed += world->model->volumes[snapshot].encrypted ? 0u : 1u;
    }
    error = world_snapshot_restore(world, snapshot, key, &volume);
    story_settle(story, error != 0 ? error : world_volume_open(world, volume));
    story_counts.clones++;
}

/* What frees space must never want for it. */
static void delete_snapshot(struct story *story, unsigned snapshot)
{
    struct model *model = story->world.model;
    story_counts.hidden += model_node_children(model, snapshot) > 1 ? 1u : 0u;
    must(&story->world, world_snapshot_delete(&story->world, snapshot));
    story_counts.deleted++;
}

void story_delete_snapshot(struct story *story)
{
    unsigned snapshot = story_any(story, STORY_SNAPSHOT, MODEL_NONE);
    if (snapshot != MODEL_NONE) {
        delete_snapshot(story, snapshot);
    }
}

void story_look(struct story *story)
{
    unsigned snapshot = story_any(story, STORY_SNAPSHOT, MODEL_NONE);
    if (snapshot != MODEL_NONE) {
        must(&story->world, world_snapshot_settle(&story->world, snapshot));
    }
}

void story_diff(struct story *story)
{
    unsigned from, to;
    story_drain(story);
    to = story_any(story, STORY_NODE, MODEL_NONE);
    from = to == MODEL_NONE ? to : story_any(story, STORY_NODE, to);
    if (from != MODEL_NONE) {
        story_settle(story, world_snapshot_diff(&story->world, from, to));
        story_counts.diffs++;
    }
}

void story_list(struct story *story)
{
    story_drain(story);
    story_settle(story, world_snapshots_check(&story->world));
    story_counts.lists++;
}

/* The snapshot's volume, or MODEL_NONE when that is gone. */
static unsigned volume_of(const struct story *story, unsigned snapshot)
{
    const struct model *model = story->world.model;
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        if (model_wanted(&model->volumes[v]) && !model->volumes[v].snapshot &&
            !model->volumes[v].gone &&
            model->volumes[v].number == model->volumes[snapshot].number) {
            return v;
        }
    }
    return MODEL_NONE;
}

void story_rekey(struct story *story)
{
    static const enum coffer_rekey_depth depths[] = {COFFER_REKEY_MASTER, COFFER_REKEY_VOLUME,
                                                     COFFER_REKEY_DATA};
    struct world *world = &story->world;
    unsigned volume;
    bool open;
    int error, key = story_pick(story, 4) == 0 ? WORLD_OWN_KEY : 0;
    make_room(story);
    story_drain(story);
    key = key == WORLD_OWN_KEY ? key : (int)story_pick(story, FAKE_KMS_KEYS);
    volume = story_any(story, STORY_NODE, MODEL_NONE);
    if (volume != MODEL_NONE && world->model->volumes[volume].snapshot) {
        unsigned owner = volume_of(story, volume);
        volume = owner != MODEL_NONE ? owner : volume;
    }
    if (volume == MODEL_NONE || !world->model->volumes[volume].encrypted) {
        return;
    }
    open = world->volumes[volume] != NULL;
    if (open) {
        story_settle(story, world_volume_close(world, volume));
    }
    error = world_rekey(world, volume, key, depths[story_pick(story, 3)]);
    story_settle(story, error != 0 || !open ? error : world_volume_open(world, volume));
    story_counts.rekeys++;
}

/* Some steps of a deep re-encrypt, that may have to be begun, or go on after a loss. */
void story_reencrypt(struct story *story)
{
    struct world *world = &story->world;
    bool was_open[MODEL_VOLUMES_MAX], over;
    unsigned node = story_any(story, STORY_NODE, MODEL_NONE);
    int error = 0;
    story_drain(story);
    if (!world_reencrypt_runs(world)) {
        if (node == MODEL_NONE || !world->model->volumes[node].encrypted) {
            return;
        }
        if (world->model->volumes[node].snapshot && volume_of(story, node) != MODEL_NONE) {
            node = volume_of(story, node);
        }
        for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
            was_open[v] = world->volumes[v] != NULL;
        }
        story_close_volumes(story);
        error = world_reencrypt_begin(world, node);
        story_counts.reencrypts += error == 0 ? 1u : 0u;
        for (unsigned v = 0; error == 0 && v < MODEL_VOLUMES_MAX; v++) {
            error = was_open[v] ? world_volume_open(world, v) : 0;
        }
    }
    if (error == 0) {
        error = world_reencrypt_steps(world, 1 + story_pick(story, 12), &over);
        story_counts.reencrypted += error == 0 && over ? 1u : 0u;
    }
    story_settle(story, error);
}

/* Another key for a snapshot of a volume that nobody has open, or one less. */
void story_recipient(struct story *story)
{
    struct world *world = &story->world;
    struct model_volume *at;
    unsigned snapshot, owner, key;
    story_drain(story);
    snapshot = story_any(story, STORY_SNAPSHOT, MODEL_NONE);
    if (snapshot == MODEL_NONE || !world->model->volumes[snapshot].encrypted) {
        return;
    }
    at = &world->model->volumes[snapshot];
    key = (at->keys[at->key_count - 1].key + 1 + story_pick(story, FAKE_KMS_KEYS - 1)) %
          FAKE_KMS_KEYS;
    owner = volume_of(story, snapshot);
    if (owner != MODEL_NONE && world->volumes[owner] != NULL) {
        story_settle(story, world_volume_close(world, owner));
    }
    if (at->keys[at->key_count - 1].key == 0 && (at->recipients >> key & 1u) == 0) {
        int error = world_recipient_set(world, snapshot, key, true);
        harness_require(error == COFFER_E_UNSUPPORTED, "a recipient beside the managed key: %s",
                        coffer_error_name(error));
    } else {
        must(world, world_recipient_set(world, snapshot, key, (at->recipients >> key & 1u) == 0));
        story_counts.recipients++;
    }
    if (owner != MODEL_NONE) {
        story_settle(story, world_volume_open(world, owner));
    }
}

/* ---- refusals ---- */

/* It was refused, so it must not be there. */
static void never_made(struct story *story, unsigned node)
{
    model_volume_deleting(story->world.model, node, 0);
    model_volume_deleted(story->world.model, node, 0);
    story_counts.refused++;
}

static void refuse_open(struct story *story, unsigned snapshot)
{
    struct world *world = &story->world;
    int error;
    must(world, world_volume_open(world, snapshot));
    error = world_snapshot_delete(world, snapshot);
    harness_require(error == COFFER_E_BUSY, "delete of an open snapshot: %s",
                    coffer_error_name(error));
    world->model->volumes[snapshot].delete_from = MODEL_NEVER;
    must(world, world_volume_close(world, snapshot));
    story_counts.refused++;
}

/* The snapshot's key can't be used now, whatever the engine still has in memory. */
static void refuse_key(struct story *story, unsigned snapshot)
{
    struct world *world = &story->world;
    const struct model_volume *volume = &world->model->volumes[snapshot];
    unsigned key = volume->keys[volume->key_count - 1].key, clone = MODEL_NONE;
    int error;
    world->kms->keys[key].state = COFFER_KEY_IS_DISABLED;
    error = world_snapshot_restore(
        world, snapshot,
        story_pick(story, 2) == 0 ? WORLD_OWN_KEY : (int)((key + 1) % FAKE_KMS_KEYS), &clone);
    world_keys_needed(world);
    harness_require(error == COFFER_E_KEY_DISABLED, "restore without the snapshot's key: %s",
                    coffer_error_name(error));
    never_made(story, clone);
}

/* While the volume is open, or when the new key can't be used; the old one goes on opening it. */
static void refuse_rekey(struct story *story, unsigned volume)
{
    struct world *world = &story->world;
    const struct model_volume *at = &world->model->volumes[volume];
    unsigned old = at->keys[at->key_count - 1].key, key = (old + 1) % FAKE_KMS_KEYS;
    bool busy = story_pick(story, 2) == 0;
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    struct coffer_rekey_opts opts = {
        .size = sizeof opts,
        .volume = at->name,
        .kms_key_id = arn,
        .depth = story_pick(story, 2) == 0 ? COFFER_REKEY_MASTER : COFFER_REKEY_VOLUME,
        .provider = &world->kms->api,
    };
    int error;
    fake_kms_arn(key, arn);
    world->kms->keys[key].state = busy ? COFFER_KEY_ENABLED : COFFER_KEY_IS_DISABLED;
    if (!busy) {
        story_settle(story, world_volume_close(world, volume));
    }
    error = coffer_volume_rekey(world->store, &opts, &world->fault);
    harness_require(error == (busy ? COFFER_E_BUSY : COFFER_E_KEY_DISABLED), "rekey of %s, %s: %s",
                    at->name, busy ? "open" : "to a disabled key", coffer_error_name(error));
    if (!busy) {
        world_keys_only(world, old);
        story_settle(story, world_volume_open(world, volume));
    }
    world_keys_needed(world);
    story_counts.refused++;
}

void story_refused(struct story *story)
{
    unsigned snapshot;
    make_room(story);
    story_drain(story);
    snapshot = story_any(story, STORY_OPEN_VOLUME, MODEL_NONE);
    if (snapshot != MODEL_NONE && story->world.model->volumes[snapshot].encrypted &&
        story_pick(story, 3) == 0) {
        refuse_rekey(story, snapshot);
        return;
    }
    snapshot = story_any(story, STORY_SNAPSHOT, MODEL_NONE);
    if (snapshot == MODEL_NONE) {
        return;
    }
    if (story->world.model->volumes[snapshot].encrypted &&
        story->world.model->volumes[snapshot].recipients == 0 && story_pick(story, 2) == 0) {
        refuse_key(story, snapshot);
    } else {
        refuse_open(story, snapshot);
    }
}

void story_delete_all(struct story *story)
{
    struct world *world = &story->world;
    struct coffer_store_info info = {.size = sizeof info};
    unsigned node;
    story_close_volumes(story);
    while ((node = story_any(story, STORY_NODE, MODEL_NONE)) != MODEL_NONE) {
        if (world->model->volumes[node].snapshot) {
            delete_snapshot(story, node);
        } else {
            must(world, world_volume_delete(world, node));
        }
    }
    must(world, world_checkpoint(world));
    must(world, coffer_store_info_get(world->store, &info));
    harness_require(info.live_bytes <= STORY_EMPTY_BYTES_MAX,
                    "an empty store holds %llu live bytes", (unsigned long long)info.live_bytes);
    harness_require(info.volume_count == 0, "an empty store has %u volumes", info.volume_count);
}
