/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/kms/look.c - the store against the model, after it was opened again.
 */
#include "world.h"

#include "common/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void begin(struct world *world, struct cof_kms_call *call, struct coffer_fault *fault)
{
    int error = cof_kms_call_begin(call, world->store, "Look", COF_KMS_CHANGES, fault);
    harness_require(error == 0, "begin: %s: %s", coffer_error_name(error), fault->detail);
}

static void end(struct cof_kms_call *call, int error)
{
    error = cof_kms_call_settle(call, error);
    cof_kms_call_leave(call);
    harness_require(error == 0, "looking: %s: %s", coffer_error_name(error), call->fault->detail);
}

/* ---- one key ----------------------------------------------------------------------------- */

static int count_sealed(void *ctx, const struct cof_kms_material_row *row)
{
    *(uint32_t *)ctx += row->sealed_bytes > 0;
    return 0;
}

static int read_tag(void *ctx, const struct cof_kms_tag_row *row)
{
    *(uint32_t *)ctx = (uint32_t)strtoul(row->value, NULL, 10);
    return 0;
}

static int see(struct cof_kms_call *call, const char *arn, struct seen *seen)
{
    static struct cof_kms_key_row row;
    struct cof_kms_db *db = call->ks->db;
    uint64_t materials = 0, aliases = 0, grants = 0;
    int error = cof_kms_db_key_get(db, arn, &row, call->fault);
    memset(seen, 0, sizeof *seen);
    if (error != 0) {
        return error == COFFER_E_KEY_NOT_FOUND ? 0 : error;
    }
    seen->live = true;
    seen->state = row.state;
    seen->description = (uint32_t)strtoul(row.description, NULL, 10);
    error = cof_kms_db_material_count(db, arn, &materials, call->fault);
    error = error != 0
                ? error
                : cof_kms_db_material_each(db, arn, 0, 0, count_sealed, &seen->sealed, call->fault);
    error = error != 0 ? error : cof_kms_db_alias_count(db, arn, &aliases, call->fault);
    error = error != 0 ? error : cof_kms_db_grant_count(db, arn, &grants, call->fault);
    error =
        error != 0 ? error : cof_kms_db_tag_each(db, arn, "", 0, read_tag, &seen->tag, call->fault);
    seen->materials = (uint32_t)materials;
    seen->aliases = (uint32_t)aliases;
    seen->grants = (uint32_t)grants;
    return error;
}

static bool same(const struct seen *a, const struct seen *b)
{
    return a->live == b->live && a->state == b->state && a->description == b->description &&
           a->materials == b->materials && a->sealed == b->sealed && a->aliases == b->aliases &&
           a->grants == b->grants && a->tag == b->tag;
}

/* ---- the whole --------------------------------------------------------------------------- */

struct listing {
    struct world *world;
    uint32_t keys;
    char unknown[COFFER_KEY_ARN_BYTES_MAX];
    uint32_t unknown_description;
};

static int list(void *ctx, const struct cof_kms_key_row *row)
{
    struct listing *listing = ctx;
    listing->keys++;
    for (unsigned i = 0; i < SLOTS; i++) {
        const struct slot *slot = &listing->world->model.slots[i];
        if (slot->seen.live && strcmp(slot->arn, row->arn) == 0) {
            return 0;
        }
    }
    harness_require(listing->unknown[0] == '\0', "two keys that nobody made: %s and %s",
                    listing->unknown, row->arn);
    memcpy(listing->unknown, row->arn, sizeof row->arn);
    listing->unknown_description = (uint32_t)strtoul(row->description, NULL, 10);
    return 0;
}

/* A key that isn't in the model can only be the one whose making was under way. */
static void adopt(struct world *world, const struct step *pending, const struct listing *listing)
{
    struct step made;
    harness_require(pending != NULL &&
                        (pending->op == OP_CREATE || pending->op == OP_CREATE_EXTERNAL) &&
                        listing->unknown_description == world->model.slots[pending->slot].number,
                    "key %s is there, and nobody made it, or it was destroyed", listing->unknown);
    made = *pending;
    memcpy(made.arn, listing->unknown, sizeof made.arn);
    step_end(&world->model, &made);
}

/* What was under way came, or not: the model is the one that the key fits. */
static void settle(struct world *world, const struct step *pending, const struct seen *seen)
{
    struct model after = world->model;
    step_end(&after, pending);
    if (!same(&world->model.slots[pending->slot].seen, seen) &&
        same(&after.slots[pending->slot].seen, seen)) {
        world->model = after;
    }
}

static void look_at_keys(struct world *world, const struct step *pending)
{
    struct coffer_fault fault = {0};
    struct listing listing = {.world = world};
    struct cof_kms_call call;
    int error;
    begin(world, &call, &fault);
    error = cof_kms_db_key_each(call.ks->db, &call.owner, "", 0, list, &listing, call.fault);
    if (error == 0 && listing.unknown[0] != '\0') {
        adopt(world, pending, &listing);
    }
    for (unsigned i = 0; error == 0 && i < SLOTS; i++) {
        struct slot *slot = &world->model.slots[i];
        struct seen seen;
        if (!slot->seen.live) {
            continue;
        }
        error = see(&call, slot->arn, &seen);
        if (error == 0 && pending != NULL && pending->slot == i) {
            settle(world, pending, &seen);
        }
        harness_require(error != 0 || same(&slot->seen, &seen),
                        "key %u: live %d state %d description %u materials %u sealed %u aliases %u "
                        "grants %u tag %u, not %d %d %u %u %u %u %u %u",
                        slot->number, seen.live, (int)seen.state, seen.description, seen.materials,
                        seen.sealed, seen.aliases, seen.grants, seen.tag, slot->seen.live,
                        (int)slot->seen.state, slot->seen.description, slot->seen.materials,
                        slot->seen.sealed, slot->seen.aliases, slot->seen.grants, slot->seen.tag);
    }
    end(&call, error);
}

static void look_at_gone(struct world *world)
{
    struct coffer_fault fault = {0};
    struct cof_kms_call call;
    int error = 0;
    begin(world, &call, &fault);
    for (uint64_t i = 0; error == 0 && i < world->model.gone_count && i < GONE_MAX; i++) {
        struct seen seen;
        error = see(&call, world->model.gone[i], &seen);
        harness_require(error != 0 || !seen.live, "key %s was destroyed, and is there",
                        world->model.gone[i]);
    }
    end(&call, error);
}

/* What was encrypted opens, under whatever material, as long as the key's state lets it. */
static void look_at_blobs(struct world *world)
{
    uint8_t *back = NULL;
    harness_require(coffer_keystore_secret_new(64, &back) == 0, "locked memory");
    for (unsigned i = 0; i < SLOTS; i++) {
        const struct slot *slot = &world->model.slots[i];
        struct coffer_fault fault = {0};
        size_t bytes = 0;
        int error;
        if (!slot->seen.live || slot->blob_bytes == 0) {
            continue;
        }
        error = coffer_keystore_decrypt(world->store, NULL, slot->blob, slot->blob_bytes, NULL,
                                        back, 64, &bytes, NULL, &fault);
        if (slot->seen.state == COFFER_KEY_ENABLED) {
            harness_require(error == 0 && bytes == 14 && memcmp(back, "attack at dawn", 14) == 0,
                            "key %u doesn't open what it sealed: %s", slot->number, fault.detail);
        } else {
            harness_require(error == COFFER_E_KEY_DISABLED || error == COFFER_E_KEY_STATE,
                            "key %u in state %d: %s", slot->number, (int)slot->seen.state,
                            coffer_error_name(error));
        }
    }
    coffer_keystore_secret_free(back);
}

uint64_t world_look(struct world *world, const struct step *pending)
{
    struct coffer_fault fault = {0};
    uint64_t rows = 0;
    int error = coffer_keystore_check(world->store, &rows, &fault);
    harness_require(error == 0, "the check: %s: %s", coffer_error_name(error), fault.detail);
    look_at_keys(world, pending);
    look_at_gone(world);
    look_at_blobs(world);
    return rows;
}

/* Material that was dropped may have been sealed in the older copy. */
static void look_at_dropped(struct world *world)
{
    struct coffer_fault fault = {0};
    struct cof_kms_call call;
    int error = 0;
    begin(world, &call, &fault);
    for (unsigned i = 0; error == 0 && i < SLOTS; i++) {
        const struct slot *slot = &world->model.slots[i];
        struct seen seen;
        if (slot->seen.live && slot->external && slot->seen.sealed == 0) {
            error = see(&call, slot->arn, &seen);
            harness_require(error != 0 || seen.sealed == 0,
                            "material of key %u was deleted, and is there", slot->number);
        }
    }
    end(&call, error);
}

static bool has_ledger(const struct world *world)
{
    char path[PATH_MAX + 16];
    snprintf(path, sizeof path, "%s.ledger", world->path);
    return access(path, F_OK) == 0;
}

void world_look_at_old(struct world *world, const char *old_path)
{
    struct world old = {.model = world->model};
    struct coffer_fault fault = {0};
    char command[2 * PATH_MAX + 64];
    uint64_t rows;
    snprintf(old.path, sizeof old.path, "%s", old_path);
    /* A ledger of its own: what falls due in the copy has not come to pass in the store. */
    snprintf(command, sizeof command, "cp -- '%s.ledger' '%s.ledger'", world->path, old_path);
    if (has_ledger(world) && system(command) != 0) {
        harness_fail("%s", command);
    }
    world_open(&old, false);
    look_at_gone(&old);
    look_at_dropped(&old);
    harness_require(coffer_keystore_check(old.store, &rows, &fault) == 0, "the check of a copy: %s",
                    fault.detail);
    world_close(&old);
}
