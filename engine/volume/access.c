/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/access.c - whether a volume may be opened: stopped, its key lost, or lost for good.
 *
 *   AVAILABLE <--start-- STOPPED, RECOVERABLE --seven days of RECOVERABLE--> TERMINAL
 *
 * It stands twice: sealed in the record, when the volume key was at hand, and in clear in the
 * entry, where it can be noted without it. The stricter of the two counts, and the earlier time. So
 * who writes to the device can make a volume stop, as by erasing it, but neither take back what is
 * sealed nor make it later. The clock is the wall's, and never before the latest that an entry has
 * seen: putting it back gives no time, and TERMINAL is never left.
 *
 * docs/decisions/0021 says who can forge what. admin and lock are held.
 */
#include "volume/store.h"

#include "base/testhook.h"

#include <stdio.h>
#include <string.h>

#define SEEN_STEP_NS (UINT64_C(3600) * 1000000000u) /* the clock is noted each hour */

const char *coffer_volume_access_name(enum coffer_volume_access access)
{
    switch (access) {
    case COFFER_VOLUME_AVAILABLE:
        return "available";
    case COFFER_VOLUME_STOPPED:
        return "stopped";
    case COFFER_VOLUME_RECOVERABLE:
        return "inaccessible-encryption-credentials-recoverable";
    default:
        return "inaccessible-encryption-credentials";
    }
}

/* ---- what it is now ---- */

static uint64_t since(const struct cof_catalogue_item *item, const struct cof_record *record)
{
    uint64_t clear =
        item->entry.access >= COF_ACCESS_RECOVERABLE ? item->entry.access_since_ns : UINT64_MAX;
    uint64_t sealed = record != NULL && record->access >= COF_ACCESS_RECOVERABLE
                          ? record->access_since_ns
                          : UINT64_MAX;
    return clear < sealed ? clear : sealed;
}

static uint64_t clock_of(struct coffer_store *store, const struct cof_catalogue_item *item)
{
    uint64_t now = cof_wall_ns(&store->env);
    return now > item->entry.access_seen_ns ? now : item->entry.access_seen_ns;
}

enum cof_access cof_access_of(struct coffer_store *store, const struct cof_catalogue_item *item,
                              const struct cof_record *record)
{
    enum cof_access access = item->entry.access;
    if (record != NULL && record->access > access) {
        access = record->access;
    }
    if (access == COF_ACCESS_RECOVERABLE) {
        uint64_t began = since(item, record), now = clock_of(store, item);
        if (now >= began && now - began >= COFFER_RECOVERABLE_NS) {
            access = COF_ACCESS_TERMINAL;
        }
    }
    return access;
}

int cof_access_check(struct coffer_store *store, const struct cof_catalogue_item *item,
                     const struct cof_record *record, struct coffer_fault *fault)
{
    switch (cof_access_of(store, item, record)) {
    case COF_ACCESS_AVAILABLE:
        return 0;
    case COF_ACCESS_STOPPED:
        return cof_fault(fault, COFFER_E_STOPPED, COFFER_STAGE_NONE,
                         "the volume is stopped: start it");
    case COF_ACCESS_RECOVERABLE:
        return cof_fault(fault, COFFER_E_INACCESSIBLE_CREDENTIALS, COFFER_STAGE_KEY,
                         "inaccessible-encryption-credentials-recoverable: mend the key, then "
                         "start the volume, within seven days of its loss");
    default:
        return cof_fault(fault, COFFER_E_INACCESSIBLE_CREDENTIALS, COFFER_STAGE_KEY,
                         "inaccessible-encryption-credentials: its key was lost for seven days: "
                         "restore a snapshot into a new volume, or delete it");
    }
}

_Static_assert((int)COFFER_VOLUME_STOPPED == (int)COF_ACCESS_STOPPED &&
                   (int)COFFER_VOLUME_RECOVERABLE == (int)COF_ACCESS_RECOVERABLE &&
                   (int)COFFER_VOLUME_INACCESSIBLE == (int)COF_ACCESS_TERMINAL,
               "what callers see is what the format says");

void cof_access_info(struct coffer_store *store, const struct cof_catalogue_item *item,
                     const struct cof_record *record, struct coffer_volume_info *info)
{
    enum cof_access access = cof_access_of(store, item, record);
    info->access = (enum coffer_volume_access)access;
    info->access_cause = -(int)item->entry.access_cause;
    info->access_since_ns = item->entry.access_since_ns;
    if (access >= COF_ACCESS_RECOVERABLE) {
        info->access_since_ns = since(item, record);
    }
    info->access_until_ns =
        access == COF_ACCESS_RECOVERABLE ? info->access_since_ns + COFFER_RECOVERABLE_NS : 0;
    memset(info->grant_id, 0, sizeof info->grant_id);
    memcpy(info->grant_id, item->grant_id, item->entry.grant_bytes);
}

/* ---- changing it ---- */

void cof_access_note(struct coffer_store *store, struct cof_catalogue_item *item,
                     enum cof_access access, int cause, struct cof_record *record)
{
    struct cof_volume_entry *entry = &item->entry;
    uint64_t now = clock_of(store, item);
    uint64_t began =
        access == COF_ACCESS_TERMINAL && since(item, record) < now ? since(item, record) : now;
    entry->access = access;
    entry->access_cause = (uint16_t)-cause;
    entry->access_since_ns = access == COF_ACCESS_AVAILABLE ? 0 : began;
    entry->access_seen_ns = access == COF_ACCESS_AVAILABLE ? 0 : now;
    if (record != NULL) {
        record->access = access;
        record->access_since_ns = entry->access_since_ns;
    }
    item->dirty = true;
    store->root.incompat |= COF_INCOMPAT_STOPPED;
}

enum cof_access cof_access_lost(const struct cof_catalogue_item *item)
{
    return item->entry.unstoppable ? COF_ACCESS_TERMINAL : COF_ACCESS_RECOVERABLE;
}

/* Nothing of it is in memory but what the next checkpoint writes. */
static int stop_writer(struct coffer_volume *volume, int cause)
{
    struct coffer_store *store = volume->store;
    struct cof_catalogue_item *item = volume->item;
    const struct cof_volume_entry before = item->entry;
    int err;
    cof_access_note(store, item, cof_access_lost(item), cause, &volume->record);
    err = COF_BROKEN(STOP_EARLY) ? 0 : cof_checkpoint_run(store, false);
    if (err != 0 && store->error == 0) { /* it did not begin */
        item->entry.access = before.access;
        item->entry.access_cause = before.access_cause;
        item->entry.access_since_ns = before.access_since_ns;
        item->entry.access_seen_ns = before.access_seen_ns;
        volume->record.access = COF_ACCESS_AVAILABLE;
        volume->record.access_since_ns = 0;
        return err;
    }
    if (err != 0) { /* nothing more is written, and the memory of these goes with the store */
        volume->data_extent = NULL;
        volume->meta_extent = NULL;
    }
    return 0;
}

/* That it was stopped is noted if there is room; a snapshot is no volume that could be. */
static void stop_reader(struct coffer_volume *volume, int cause)
{
    struct coffer_store *store = volume->store;
    if (store->read_only || store->error != 0 || volume->item->entry.kind != COF_KIND_VOLUME ||
        cof_checkpoint_ready(store, 0, COF_SPARE_OPEN) != 0) {
        return;
    }
    cof_access_note(store, volume->item, cof_access_lost(volume->item), cause, NULL);
    (void)!cof_checkpoint_light(store);
}

int cof_access_stop(struct coffer_volume *volume, int cause)
{
    struct coffer_store *store = volume->store;
    int err = 0;
    if (volume->read_only) {
        stop_reader(volume, cause);
    } else if (store->error == 0) {
        err = stop_writer(volume, cause);
    } else {
        volume->data_extent = NULL;
        volume->meta_extent = NULL;
    }
    if (err == 0) {
        cof_volume_disarm(volume);
    }
    return err;
}

int cof_access_sweep(struct coffer_store *store)
{
    bool changed = false;
    for (struct cof_catalogue_item *item = store->items; item != NULL; item = item->next) {
        struct cof_volume_entry *entry = &item->entry;
        uint64_t now = clock_of(store, item);
        enum cof_access access = cof_access_of(store, item, NULL);
        if (entry->access == COF_ACCESS_RECOVERABLE &&
            (access != entry->access || now - entry->access_seen_ns >= SEEN_STEP_NS)) {
            entry->access = access;
            entry->access_seen_ns = now;
            item->dirty = true;
            changed = true;
        }
    }
    /* Without room it goes with whatever root comes next. */
    return changed && cof_checkpoint_ready(store, 0, COF_SPARE_OPEN) == 0
               ? cof_checkpoint_light(store)
               : store->error;
}

/* ---- finding one whose key is refused ---- */

static struct cof_catalogue_item *by_id(const struct coffer_store *store, const char *id)
{
    char at[COFFER_RESOURCE_ID_BYTES];
    struct cof_catalogue_item *item = store->items;
    for (; item != NULL; item = item->next) {
        cof_resource_id("vol", item->entry.uuid, at);
        if (item->entry.kind == COF_KIND_VOLUME && strcmp(at, id) == 0) {
            break;
        }
    }
    return item;
}

/* The pinned one, or the only one; its name is believed. A plain volume's name is no secret. */
struct cof_catalogue_item *cof_access_by_hint(struct coffer_store *store,
                                              const struct coffer_volume_open_opts *opts)
{
    struct cof_catalogue_item *found = NULL;
    unsigned count = 0;
    uint8_t hint;
    if (cof_name_hint(store, opts->name, &hint) != 0) {
        return NULL;
    }
    for (struct cof_catalogue_item *item = store->items; item != NULL; item = item->next) {
        bool fits = item->entry.kind == COF_KIND_VOLUME && item->entry.encrypted &&
                    item->entry.name_hint == hint;
        if (fits && (opts->pin.use_uuid == 0 ||
                     memcmp(item->entry.uuid, opts->pin.volume_uuid.bytes, 16) == 0)) {
            found = item;
            count++;
        }
    }
    return count == 1 ? found : NULL;
}

int cof_access_find(struct coffer_store *store, const struct coffer_volume_open_opts *opts,
                    struct cof_catalogue_item **ret_item, int *ret_refused,
                    struct coffer_fault *fault)
{
    struct cof_catalogue_item *item = by_id(store, opts->name);
    char id[COFFER_RESOURCE_ID_BYTES];
    int err = 0;
    *ret_refused = 0;
    if (item == NULL) {
        err = cof_catalogue_find(store, opts->name, opts->provider, &item, fault);
    }
    if (err == COFFER_E_NOT_FOUND || coffer_error_class_of(err) != COFFER_CLASS_KEY) {
        *ret_item = item;
        return err;
    }
    item = cof_access_by_hint(store, opts);
    if (item == NULL) {
        return cof_fault(fault, err, COFFER_STAGE_KEY,
                         "names are sealed and the key is refused: give the volume's ResourceId "
                         "(vol-...) in the place of its name");
    }
    cof_resource_id("vol", item->entry.uuid, id);
    cof_log(
        &store->env, COFFER_LOG_WARN,
        "the name \"%s\" can't be verified without its key: %s is the %s volume whose hint fits",
        opts->name, id, opts->pin.use_uuid != 0 ? "pinned" : "only");
    *ret_refused = err;
    *ret_item = item;
    return 0;
}
