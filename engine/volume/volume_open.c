/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/volume_open.c - opening and closing a volume.
 *
 * Open: find the entry by name, check the pin, unwrap the volume key, open the record, load the
 * data keys, replay the log, and for writing draw new data keys and make the root that lists them
 * durable. Only then is anything sealed.
 */
#include "volume/store.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

int cof_check_full_name(const char *name)
{
    const char *at = name != NULL ? strchr(name, '@') : NULL;
    char volume[COFFER_NAME_BYTES_MAX];
    if (at == NULL) {
        return cof_volume_check_name(name);
    }
    if ((size_t)(at - name) >= sizeof volume) {
        return COFFER_E_INVALID;
    }
    memcpy(volume, name, (size_t)(at - name));
    volume[at - name] = '\0';
    return cof_volume_check_name(volume) == 0 ? cof_volume_check_name(at + 1) : COFFER_E_INVALID;
}

static int check_pin(const struct cof_catalogue_item *item,
                     const struct coffer_volume_open_opts *opts, const struct cof_record *record,
                     struct coffer_fault *fault)
{
    const struct coffer_pin *pin = &opts->pin;
    if (pin->use_encrypted && (pin->encrypted != 0) != item->entry.encrypted) {
        return cof_fault(fault, COFFER_E_PIN, COFFER_STAGE_ROOT,
                         "volume \"%.63s\" was pinned as %s and is %s", opts->name,
                         pin->encrypted ? "encrypted" : "not encrypted",
                         item->entry.encrypted ? "encrypted" : "not encrypted");
    }
    if (pin->use_uuid && memcmp(pin->volume_uuid.bytes, item->entry.uuid, 16) != 0) {
        return cof_fault(fault, COFFER_E_PIN, COFFER_STAGE_ROOT,
                         "volume \"%.63s\" is another volume than the one that was pinned",
                         opts->name);
    }
    if (pin->key_arn != NULL && record != NULL && strcmp(pin->key_arn, record->key_arn) != 0) {
        return cof_fault(fault, COFFER_E_PIN, COFFER_STAGE_KEY,
                         "volume \"%.63s\" is under another key than the one that was pinned",
                         opts->name);
    }
    if (!item->entry.encrypted && opts->provider != NULL &&
        (opts->flags & COFFER_VOLUME_ALLOW_PLAIN) == 0) {
        return cof_fault(fault, COFFER_E_PLAIN_REFUSED, COFFER_STAGE_ROOT,
                         "volume \"%.63s\" is not encrypted: allow that explicitly to open it",
                         opts->name);
    }
    return 0;
}

/* All that it has in memory, keys first of all, but the handle. */
static void empty_volume(struct coffer_volume *volume)
{
    struct coffer_store *store = volume->store;
    cof_openers_forget(store, volume->number);
    cof_nodes_forget_volume(&store->nodes, volume->number);
    cof_delta_done(&volume->active);
    cof_delta_done(&volume->frozen);
    cof_kills_done(&volume->active_kills);
    cof_kills_done(&volume->frozen_kills);
    cof_keys_done(volume);
    cof_taglist_done(volume);
    cof_vk_free(volume->vk);
    volume->vk = NULL;
    cof_free(&store->env, volume->locked_pages);
    volume->locked_pages = NULL;
}

static void free_volume(struct coffer_volume *volume)
{
    empty_volume(volume);
    cof_free(&volume->store->env, volume);
}

/* What the entry says in clear must be what the record says under its seal. */
static int check_relations(const struct coffer_volume *volume, struct coffer_fault *fault)
{
    static const uint8_t none[16];
    const struct cof_volume_entry *entry = &volume->item->entry;
    const struct cof_record *record = &volume->record;
    const struct cof_catalogue_item *parent = cof_catalogue_at(volume->store, entry->parent_number);
    bool fits = entry->kind == record->kind && entry->own_cut == record->own_cut &&
                entry->own_node_cut == record->own_node_cut;
    if (fits && memcmp(record->parent, none, 16) != 0) {
        fits = parent != NULL && memcmp(parent->entry.uuid, record->parent, 16) == 0;
    } else if (fits) {
        fits = entry->parent_number == 0;
    }
    return fits ? 0
                : cof_fault(fault, COFFER_E_TAMPER, COFFER_STAGE_ROOT,
                            "the entry in the catalogue is not the one that its record seals");
}

static int read_record(struct coffer_volume *volume, const struct coffer_key_provider *provider,
                       struct coffer_fault *fault)
{
    struct coffer_store *store = volume->store;
    struct cof_catalogue_item *item = volume->item;
    int err = 0;
    if (volume->encrypted) {
        err = cof_keyring_unwrap(store, item, provider, &volume->vk, volume->vk_uuid, fault);
    }
    if (err == 0) {
        err = cof_record_open(volume->vk, volume->vk_uuid, item, &volume->record);
        if (err != 0) {
            cof_fault(fault, err, COFFER_STAGE_ROOT, "the volume's record does not open: %s",
                      coffer_error_sentence(err));
        }
    }
    if (err == 0) {
        cof_record_adapt(store, item, &volume->record);
        err = check_relations(volume, fault);
    }
    return err;
}

static void adopt_record(struct coffer_volume *volume)
{
    const struct cof_record *record = &volume->record;
    volume->size_pages = record->size_pages;
    volume->mapped_pages = record->mapped_pages;
    volume->cut.pages = record->cut;
    volume->cut.nodes = record->node_cut;
    volume->tree.root.bits = record->root_address;
    volume->tree.height = record->height;
    volume->chain_extent = record->chain_extent;
    volume->chain_slots = record->chain_slots;
    volume->tail_first = volume->item->entry.tail_first;
    volume->tail_last = volume->item->entry.tail_last;
}

/* New data keys, and where it is due a new volume key. */
static int renew_keys(struct coffer_volume *volume, const struct coffer_key_provider *provider,
                      struct coffer_fault *fault)
{
    int err = 0;
    if (cof_keyring_is_spent(volume) || volume->record.key_shared) {
        err = cof_keyring_replace(volume, provider, fault);
        if (err != 0) {
            return err;
        }
    }
    cof_keys_reserve_uses(volume);
    err = cof_keys_renew(volume, volume->store->next_extent);
    return err == 0 ? 0
                    : cof_fault(fault, err, COFFER_STAGE_KEY, "no new data keys: %s",
                                coffer_error_sentence(err));
}

static int refuse_for_room(int err, struct coffer_fault *fault)
{
    return err != COFFER_E_NO_SPACE
               ? cof_fault(fault, err, COFFER_STAGE_ROOT,
                           "the volume can't be opened for writing: %s", coffer_error_sentence(err))
               : cof_fault(fault, err, COFFER_STAGE_ROOT,
                           "the volume can't be opened for writing: the store is full: make "
                           "it larger, or delete snapshots");
}

/* For the root of an opening beside a checkpoint that may be under way. None is waited for: until
 * the volume is listed, no root may see its new keys. */
static int room_to_open(const struct coffer_volume *volume, struct coffer_fault *fault)
{
    uint64_t blocks = COF_ENTRY_BLOCKS + volume->ek_count / 16u + volume->tag_part.blocks;
    int err = cof_checkpoint_room(volume->store, blocks, COF_SPARE_OPEN);
    return err == 0 ? 0 : refuse_for_room(err, fault);
}

/* Each opening writes a root, and openings alone, one crash after the other, fill the segments that
 * others left: so it is now, as long as there is nothing of the volume's in memory, that some are
 * made free. The lock is let go meanwhile. */
static int make_room_to_open(struct coffer_store *store, const struct cof_catalogue_item *item,
                             struct coffer_fault *fault)
{
    uint64_t blocks = COF_ENTRY_BLOCKS + (item->entry.data_keys + COF_SPARE_KEYS) / 16u + 1u;
    int err = 0;
    if (cof_checkpoint_room(store, blocks, COF_SPARE_OPEN) != 0) {
        err = cof_checkpoint_ready(store, blocks, COF_SPARE_OPEN);
    }
    return err == 0 ? 0 : refuse_for_room(err, fault);
}

/* Become the writer: new keys, and the root that lists them. */
static int renew(struct coffer_volume *volume, const struct coffer_key_provider *provider,
                 struct coffer_fault *fault)
{
    struct coffer_store *store = volume->store;
    struct cof_catalogue_item *item = volume->item, before;
    const struct cof_volume_entry entry = item->entry;
    int err = 0;
    memset(&before, 0, sizeof before);
    if (volume->encrypted) {
        err = cof_ring_copy(store, item, &before);
        if (err == 0) {
            err = renew_keys(volume, provider, fault);
        }
    }
    if (err == 0) {
        err = room_to_open(volume, fault);
    }
    if (err != 0) { /* the entry is what it was: another opening may follow */
        if (before.ring != NULL) {
            cof_free(&store->env, item->ring);
            item->ring = before.ring;
            item->entry = entry;
        }
        return err;
    }
    cof_free(&store->env, before.ring);
    volume->next = store->volumes;
    store->volumes = volume;
    err = cof_checkpoint_light(store);
    if (err != 0) {
        store->volumes = volume->next;
        return cof_fault(fault, err, COFFER_STAGE_ROOT,
                         "the volume can't be opened for writing: %s", coffer_error_sentence(err));
    }
    volume->eks_ready = true;
    return 0;
}

int cof_volume_open_item(struct coffer_store *store, struct cof_catalogue_item *item,
                         unsigned flags, const struct coffer_key_provider *provider,
                         struct coffer_volume **ret_volume, struct coffer_fault *fault)
{
    struct coffer_volume *volume;
    uint64_t began = cof_monotonic_ns(&store->env);
    int err;
    if (item->open != NULL) {
        return cof_fault(fault, COFFER_E_BUSY, COFFER_STAGE_NONE, "the volume is open already");
    }
    if (item->entry.kind == COF_KIND_COPYING) {
        return cof_fault(fault, COFFER_E_BUSY, COFFER_STAGE_NONE,
                         "the snapshot is being copied: go on with the copy");
    }
    if (!store->read_only && (flags & COFFER_VOLUME_READ_ONLY) == 0) {
        err = make_room_to_open(store, item, fault);
        if (err != 0) {
            return err;
        }
    }
    volume = cof_calloc(&store->env, 1, sizeof *volume);
    if (volume == NULL) {
        return cof_fault(fault, COFFER_E_NO_MEMORY, COFFER_STAGE_NONE, "no memory");
    }
    volume->store = store;
    volume->item = item;
    volume->number = item->entry.number;
    volume->index = item->entry.lineages > 0 ? item->entry.lineages - 1u : 0u;
    volume->encrypted = item->entry.encrypted;
    volume->generation = item->entry.generation;
    volume->read_only = store->read_only || (flags & COFFER_VOLUME_READ_ONLY) != 0;
    cof_delta_init(&volume->active, &store->env);
    cof_delta_init(&volume->frozen, &store->env);
    cof_kills_init(&volume->active_kills, &store->env);
    cof_kills_init(&volume->frozen_kills, &store->env);
    cof_volume_node_io(volume);
    err = read_record(volume, provider, fault);
    if (err == 0 && volume->record.kind != COF_KIND_VOLUME && !volume->read_only) {
        err = cof_fault(fault, COFFER_E_READ_ONLY, COFFER_STAGE_NONE,
                        "a snapshot opens for reading only: restore it to write");
    }
    if (err == 0 && (flags & COF_VOLUME_GUARDED) != 0) {
        err = cof_access_check(store, item, &volume->record, fault);
    }
    if (err == 0) {
        adopt_record(volume);
        err = volume->encrypted ? cof_keys_load(volume, fault) : 0;
    }
    if (err == 0) {
        err = cof_volume_replay(volume, fault);
    }
    if (err == 0 && !volume->read_only) {
        err = renew(volume, provider, fault);
    } else if (err == 0) {
        volume->next = store->volumes;
        store->volumes = volume;
    }
    if (err != 0) {
        free_volume(volume);
        return err;
    }
    item->open = volume;
    cof_lease_begin(volume, provider, COFFER_LEASE_NS_DEFAULT, began);
    *ret_volume = volume;
    return 0;
}

int cof_volume_open_named(struct coffer_store *store, const struct coffer_volume_open_opts *opts,
                          struct coffer_volume **ret_volume, struct coffer_fault *fault)
{
    struct cof_catalogue_item *item;
    bool any = (opts->flags & COF_VOLUME_ANY_ACCESS) != 0;
    unsigned flags = any ? opts->flags : opts->flags | COF_VOLUME_GUARDED;
    int err = cof_catalogue_find(store, opts->name, opts->provider, &item, fault);
    if (coffer_error_class_of(err) == COFFER_CLASS_KEY && !any) {
        struct cof_catalogue_item *sealed = cof_access_by_hint(store, opts);
        int refused = sealed != NULL ? cof_access_check(store, sealed, NULL, fault) : 0;
        return refused != 0 ? refused : err;
    }
    if (err == 0 && !any) {
        err = cof_access_check(store, item, NULL, fault);
    }
    if (err == 0) {
        err = check_pin(item, opts, NULL, fault);
    }
    if (err == 0 && opts->pin.key_arn != NULL) {
        struct cof_record record;
        err = cof_record_peek(store, item, opts->provider, &record, fault);
        if (err == 0) {
            err = check_pin(item, opts, &record, fault);
        }
    }
    return err == 0 ? cof_volume_open_item(store, item, flags, opts->provider, ret_volume, fault)
                    : err;
}

int cof_open_opts_take(const struct coffer_volume_open_opts *opts,
                       struct coffer_volume_open_opts *ret_opts, struct coffer_fault *fault)
{
    struct coffer_volume_open_opts all;
    cof_fault_clear(fault);
    memset(&all, 0, sizeof all); /* a caller of before knows fewer members */
    if (opts != NULL && opts->size >= offsetof(struct coffer_volume_open_opts, lease_ns)) {
        memcpy(&all, opts, opts->size < sizeof all ? opts->size : sizeof all);
    }
    if (all.size == 0 || cof_check_full_name(all.name) != 0) {
        return cof_fault(fault, COFFER_E_INVALID, COFFER_STAGE_NONE,
                         "the volume's name or the options are not valid");
    }
    all.flags &= COF_VOLUME_CALLERS_FLAGS;
    all.lease_ns = all.lease_ns == 0 ? COFFER_LEASE_NS_DEFAULT : all.lease_ns;
    if (all.lease_ns < COFFER_LEASE_NS_MIN || all.lease_ns > COFFER_LEASE_NS_MAX) {
        return cof_fault(fault, COFFER_E_INVALID, COFFER_STAGE_NONE,
                         "the lease of a key is 1 second to a day");
    }
    *ret_opts = all;
    return 0;
}

int coffer_volume_open(struct coffer_store *store, const struct coffer_volume_open_opts *given,
                       struct coffer_volume **ret_volume, struct coffer_fault *fault)
{
    struct coffer_volume_open_opts all, *opts = &all;
    struct coffer_volume *volume;
    uint64_t began;
    int err = cof_open_opts_take(given, &all, fault);
    if (err != 0) {
        return err;
    }
    if (store->read_only && (opts->flags & COFFER_VOLUME_READ_ONLY) == 0) {
        return cof_fault(fault, COFFER_E_READ_ONLY, COFFER_STAGE_NONE,
                         "the store was opened for reading only: open the volume so too");
    }
    pthread_mutex_lock(&store->admin);
    pthread_mutex_lock(&store->lock);
    began = cof_monotonic_ns(&store->env);
    err = store->error != 0 ? COFFER_E_FAILED : cof_volume_open_named(store, opts, &volume, fault);
    if (err == 0) {
        cof_lease_lend(volume, all.lease_ns);
        *ret_volume = volume;
    }
    store->recovery_ns += cof_monotonic_ns(&store->env) - began;
    pthread_mutex_unlock(&store->lock);
    pthread_mutex_unlock(&store->admin);
    if (err != 0 && fault != NULL) {
        if (fault->error == 0) {
            cof_fault(fault, err, COFFER_STAGE_NONE, "%s", coffer_error_sentence(err));
        }
        snprintf(fault->volume, sizeof fault->volume, "%.63s", opts->name);
    }
    return err;
}

static void take_out(struct coffer_volume *volume)
{
    struct coffer_store *store = volume->store;
    struct coffer_volume **at = &store->volumes;
    while (*at != volume) {
        at = &(*at)->next;
    }
    *at = volume->next;
    if (store->checkpoint.volume == volume) {
        store->checkpoint.volume = volume->next; /* it was read-only, or the store failed */
    }
    volume->item->open = NULL;
}

void cof_volume_drop(struct coffer_volume *volume)
{
    if (volume != NULL) {
        cof_lease_wait(volume);
        take_out(volume);
        cof_lease_schedule(volume->store);
        free_volume(volume);
    }
}

void cof_volume_disarm(struct coffer_volume *volume)
{
    struct coffer_store *store = volume->store;
    cof_volume_fill_info(volume, &volume->last_info);
    take_out(volume);
    empty_volume(volume);
    cof_openers_idle(store); /* of extents that it shared with others */
    volume->stopped = true;
    volume->item = NULL; /* it may be deleted before the handle is closed */
    volume->next = store->stopped;
    store->stopped = volume;
}

/* A handle that is good for nothing else; the lock is held. */
static void close_stopped(struct coffer_volume *volume)
{
    struct coffer_volume **at = &volume->store->stopped;
    cof_lease_wait(volume);
    while (*at != volume) {
        at = &(*at)->next;
    }
    *at = volume->next;
    cof_free(&volume->store->env, volume);
}

/* All that was placed so far is durable. Others may be sealing pages of the same batches, and need
 * the lock for that: it is let go. */
static int make_log_durable(struct coffer_store *store)
{
    struct cof_lane *lane = &store->lane;
    uint64_t last = cof_lane_last(lane);
    cof_lane_close_batch(lane);
    cof_lane_want_durable(lane, last);
    while (lane->error == 0 && lane->durable_upto < last) {
        if (cof_lane_busy(lane)) {
            (void)cof_lane_poll(lane, true);
        } else {
            (void)!cof_checkpoint_end(store); /* while it syncs the log does not */
        }
        pthread_mutex_unlock(&store->lock);
        sched_yield();
        pthread_mutex_lock(&store->lock);
    }
    return lane->error;
}

/* Wait until no sync of the log's is under way: before another's begins, with the lock held until
 * that has ended. */
static int end_log_sync(struct coffer_store *store)
{
    struct cof_lane *log = &store->lane;
    int err = 0;
    while (err >= 0 && log->error == 0 && log->sync_in_flight) {
        err = cof_lane_poll(log, true);
    }
    return log->error != 0 ? log->error : err < 0 ? err : 0;
}

int cof_volume_leave(struct coffer_volume *volume)
{
    struct coffer_store *store = volume->store;
    int err = store->error != 0 ? COFFER_E_FAILED : 0;
    if (err == 0 && !volume->read_only) {
        cof_extent_close(volume, false, false);
        cof_extent_close(volume, true, false);
        err = make_log_durable(store);
        if (err == 0) {
            err = cof_checkpoint_settle(store); /* one may have begun meanwhile */
        }
        if (err == 0) {
            err = end_log_sync(store); /* of those who were let in meanwhile */
        }
        if (err == 0) {
            err = cof_lane_drain(&store->meta);
        }
        if (err != 0) {
            cof_store_fail(store, err);
        }
    }
    if (err != 0) { /* their memory goes with the store */
        volume->data_extent = NULL;
        volume->meta_extent = NULL;
    }
    cof_volume_drop(volume);
    return err;
}

static bool is_dirty(const struct coffer_volume *volume)
{
    return volume->active.count != 0 || volume->active_kills.count != 0 || volume->frozen_valid;
}

int coffer_volume_close(struct coffer_volume *volume)
{
    struct coffer_store *store;
    bool no_room;
    int err = 0;
    if (volume == NULL) {
        return 0;
    }
    store = volume->store;
    pthread_mutex_lock(&store->admin);
    pthread_mutex_lock(&store->lock);
    if (volume->requests > 0 || volume->stopped) {
        err = volume->requests > 0 ? COFFER_E_BUSY : 0;
        if (err == 0) {
            close_stopped(volume);
        }
        pthread_mutex_unlock(&store->lock);
        pthread_mutex_unlock(&store->admin);
        return err;
    }
    if (!volume->read_only) {
        err = store->error != 0 ? COFFER_E_FAILED : cof_checkpoint_run(store, false);
    }
    no_room = err == COFFER_E_NO_SPACE;
    if (no_room && store->error != 0) {
        err = COFFER_E_FAILED; /* it is the device that is full */
    } else if (no_room) {      /* what is clean needs no checkpoint to go */
        err = is_dirty(volume) ? err : cof_volume_leave(volume);
        pthread_mutex_unlock(&store->lock);
        pthread_mutex_unlock(&store->admin);
        return err;
    }
    if (err != 0) {
        /* The store failed: nothing more is written, and its memory goes with it. */
        volume->data_extent = NULL;
        volume->meta_extent = NULL;
    }
    cof_volume_drop(volume);
    pthread_mutex_unlock(&store->lock);
    pthread_mutex_unlock(&store->admin);
    return err;
}
