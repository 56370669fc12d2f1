/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/world_look.c - read everything a world's store holds; see world.h.
 */
#include "common/harness.h"
#include "common/model_snapshot.h"
#include "common/world_snapshot.h"

#include <stdlib.h>
#include <string.h>

static void parse_page(const struct world *world, unsigned volume, uint64_t page,
                       const uint8_t *bytes, struct model_seen_page *found)
{
    static const uint8_t zeros[COFFER_PAGE_BYTES];
    if (memcmp(bytes, zeros, sizeof zeros) == 0) {
        memset(found->tags, 0, sizeof found->tags);
        return;
    }
    for (unsigned s = 0; s < MODEL_SECTORS; s++) {
        harness_require(model_tag(world->model, volume, page * MODEL_SECTORS + s, bytes + s * 512,
                                  &found->tags[s]),
                        "wrong data: %s page %llu sector %u is nothing that was written there",
                        world->model->volumes[volume].name, (unsigned long long)page, s);
    }
}

bool world_says_damage(int error, bool forged)
{
    enum coffer_error_class cls = coffer_error_class_of(error);
    return cls == COFFER_CLASS_CORRUPT || cls == COFFER_CLASS_TAMPER ||
           cls == COFFER_CLASS_FORMAT || cls == COFFER_CLASS_KEY ||
           (forged && (cls == COFFER_CLASS_ABSENT || cls == COFFER_CLASS_FULL));
}

static int note_damage(struct world *world, int error, const char *what)
{
    harness_require(world_says_damage(error, world->tolerate > 1), "%s of a damaged store: %s: %s",
                    what, coffer_error_name(error),
                    world->fault.error == error ? world->fault.detail : "");
    world->damaged++;
    return 0;
}

/* After a read of several pages failed: each alone. */
static int look_singly(struct world *world, unsigned volume, uint64_t page, uint64_t count,
                       uint8_t *buffer, struct model_seen_page *found)
{
    for (uint64_t i = 0; i < count; i++) {
        int error = coffer_volume_read(world->volumes[volume], buffer,
                                       (page + i) * COFFER_PAGE_BYTES, COFFER_PAGE_BYTES,
                                       &world->fault);
        if (error != 0) {
            found[page + i].unread = true;
            (void)note_damage(world, error, "read");
        } else {
            parse_page(world, volume, page + i, buffer, &found[page + i]);
        }
    }
    return 0;
}

static int look_volume(struct world *world, unsigned volume, struct model_seen *seen)
{
    struct coffer_volume_info info = {.size = sizeof info};
    uint64_t pages, chunk = world->tolerate > 0 ? 16 : 64; /* singly, where it is damaged */
    uint8_t *buffer = world_scratch(world, chunk * COFFER_PAGE_BYTES);
    int error = coffer_volume_info_get(world->volumes[volume], &info);
    if (error != 0) {
        return error;
    }
    pages = info.size_bytes / COFFER_PAGE_BYTES;
    seen->volumes[volume].there = true;
    seen->volumes[volume].pages = pages;
    seen->volumes[volume].found = calloc(pages + 1, sizeof(struct model_seen_page));
    if (seen->volumes[volume].found == NULL) {
        abort();
    }
    harness_require(pages <= world->model->volumes[volume].pages_max,
                    "%s has %llu pages", info.name, (unsigned long long)pages);
    for (uint64_t page = 0; page < pages; page += chunk) {
        uint64_t count = pages - page < chunk ? pages - page : chunk;
        memset(buffer, 0xa5, count * COFFER_PAGE_BYTES);
        error = coffer_volume_read(world->volumes[volume], buffer, page * COFFER_PAGE_BYTES,
                                   count * COFFER_PAGE_BYTES, &world->fault);
        if (error != 0 && world->tolerate > 0) {
            error = look_singly(world, volume, page, count, buffer, seen->volumes[volume].found);
            count = 0;
        }
        if (error != 0) {
            return error;
        }
        for (uint64_t i = 0; i < count; i++) {
            parse_page(world, volume, page + i, buffer + i * COFFER_PAGE_BYTES,
                       &seen->volumes[volume].found[page + i]);
        }
    }
    return 0;
}

/* Which of the keys that may wrap the volume's does. */
static int look_key(struct world *world, unsigned node, struct model_seen *seen)
{
    unsigned opening = 0, key = 0;
    int error = world_keys_opening(world, node, &opening);
    opening &= ~world->model->volumes[node].recipients;
    harness_require((opening & (opening - 1)) == 0, "%s opens under two keys",
                    world->model->volumes[node].name);
    while (key < FAKE_KMS_KEYS && opening != 1u << key) {
        key++;
    }
    seen->volumes[node].key_known = key < FAKE_KMS_KEYS;
    seen->volumes[node].key = key < FAKE_KMS_KEYS ? key : 0;
    return error;
}

int world_look_one(struct world *world, unsigned node, struct model_seen *seen)
{
    bool by_keys = world->volumes[node] == NULL && world->tolerate == 0 &&
                   model_rekeying(world->model, node);
    int error = by_keys ? look_key(world, node, seen) : 0;
    if (error == 0 && world->volumes[node] == NULL) {
        error = world_volume_open(world, node);
    }
    harness_require(error != 0 || !by_keys || seen->volumes[node].key_known,
                    "no key alone opens %s", world->model->volumes[node].name);
    if (error == COFFER_E_NOT_FOUND &&
        (world->tolerate != 1 || world->model->volumes[node].gone)) {
        return 0;
    }
    if (error != 0 && world->volumes[node] == NULL && world->tolerate > 0) {
        seen->volumes[node].refused = true;
        return note_damage(world, error, "open of a volume");
    }
    if (error == 0) {
        error = look_volume(world, node, seen);
    }
    if (error == 0 && world->model->volumes[node].tagged) {
        error = world_tags_look(world, node);
    }
    if (world->model->volumes[node].snapshot && world->volumes[node] != NULL) {
        int close_error = world_volume_close(world, node);
        error = error != 0 ? error : close_error;
    }
    return error;
}

int world_try_look(struct world *world, struct model_seen *ret_seen)
{
    memset(ret_seen, 0, sizeof *ret_seen);
    for (unsigned v = 0; v < MODEL_VOLUMES_MAX; v++) {
        int error = 0;
        if (model_wanted(&world->model->volumes[v])) {
            error = world_look_one(world, v, ret_seen);
        }
        if (error != 0) {
            model_seen_done(ret_seen);
            return error;
        }
    }
    return 0;
}

void world_look(struct world *world, struct model_seen *ret_seen)
{
    must(world, world_try_look(world, ret_seen));
}

void world_look_damaged(struct world *world, bool forged, struct model_seen *ret_seen,
                        uint64_t *ret_refused)
{
    world->tolerate = forged ? 2 : 1;
    world->damaged = 0;
    must(world, world_try_look(world, ret_seen));
    world->tolerate = 0;
    *ret_refused = world->damaged;
}
