/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/rekey.c - a volume and its snapshots under another master key or volume key; recipients.
 *
 * MASTER replaces the wraps in the rings: the key service re-encrypts each volume key, nothing else
 * is read or written, and the right to decrypt is not needed. VOLUME opens the volume for writing
 * under a new volume key, and gives its snapshots another one, common to them: their data keys are
 * wrapped anew, and their records sealed anew. Either way all of it is in memory first and one
 * root makes it so: before, the old keys open everything, and after, they open nothing.
 *
 * admin, then lock.
 */
#include "volume/store.h"

#include <string.h>

/* Entries that get other keys with the next root. */
struct rekey {
    struct coffer_store *store;
    const struct coffer_key_provider *caller, *provider; /* who changes them, and who uses them */
    struct coffer_fault *fault;
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    struct cof_catalogue_item **members, *next; /* next: what each member's entry and ring become */
    struct coffer_volume **twins;               /* depth VOLUME: snapshots */
    unsigned count;
};

static bool is_member(const struct cof_catalogue_item *item, const uint8_t uuid[16])
{
    return item->entry.encrypted && memcmp(cof_context_uuid(item), uuid, 16) == 0;
}

static void done(struct rekey *rekey)
{
    for (unsigned i = 0; i < rekey->count; i++) {
        cof_free(&rekey->store->env, rekey->next != NULL ? rekey->next[i].ring : NULL);
        cof_twin_free(rekey->twins != NULL ? rekey->twins[i] : NULL);
    }
    cof_free(&rekey->store->env, rekey->members);
    cof_free(&rekey->store->env, rekey->next);
    cof_free(&rekey->store->env, rekey->twins);
}

static int begin(struct rekey *rekey, unsigned capacity)
{
    struct cof_env *env = &rekey->store->env;
    rekey->members = cof_calloc(env, capacity, sizeof(struct cof_catalogue_item *));
    rekey->next = cof_calloc(env, capacity, sizeof *rekey->next);
    rekey->twins = cof_calloc(env, capacity, sizeof(struct coffer_volume *));
    return rekey->members == NULL || rekey->next == NULL || rekey->twins == NULL
               ? COFFER_E_NO_MEMORY
               : 0;
}

/* The member's ring and entry as they shall be; the entry itself is left as it is. */
static int add_member(struct rekey *rekey, struct cof_catalogue_item *item)
{
    struct cof_catalogue_item *next = &rekey->next[rekey->count];
    int err;
    if (item->open != NULL) {
        return cof_fault(rekey->fault, COFFER_E_BUSY, COFFER_STAGE_NONE,
                         "the volume, or a snapshot of it, is open: close it first");
    }
    next->entry = item->entry;
    err = cof_ring_copy(rekey->store, item, next);
    if (err == 0) {
        memcpy(next->entry.context_uuid, item->entry.context_uuid, 16);
        rekey->members[rekey->count++] = item;
    }
    return err;
}

/* The volume, if it is not gone, then its snapshots, hidden ones too. */
static int add_family(struct rekey *rekey, const struct cof_catalogue_item *item)
{
    uint8_t uuid[16];
    int err = 0;
    memcpy(uuid, cof_context_uuid(item), 16);
    for (struct cof_catalogue_item *at = rekey->store->items; err == 0 && at != NULL;
         at = at->next) {
        if (is_member(at, uuid)) {
            err = add_member(rekey, at);
        }
    }
    return err;
}

/* What was prepared becomes what the catalogue says. */
static void swap_in(struct rekey *rekey)
{
    for (unsigned i = 0; i < rekey->count; i++) {
        struct cof_catalogue_item *item = rekey->members[i], *next = &rekey->next[i];
        uint8_t *ring = item->ring;
        item->ring = next->ring;
        next->ring = ring;
        item->entry = next->entry;
        memcpy(item->grant_id, next->grant_id, sizeof item->grant_id);
        memset(item->clear_name + item->entry.clear_name_bytes, 0,
               sizeof item->clear_name - item->entry.clear_name_bytes);
        item->dirty = true;
    }
}

static int write_twins(struct cof_birth *birth, const struct cof_raw_writer *writer)
{
    struct rekey *rekey = birth->ctx;
    int err = 0;
    swap_in(rekey);
    for (unsigned i = 0; err == 0 && i < rekey->count; i++) {
        struct coffer_volume *twin = rekey->twins[i];
        if (twin == NULL) {
            continue;
        }
        err = cof_keys_write(twin, writer);
        if (err == 0) {
            err = cof_taglist_flush(twin, writer);
        }
        if (err == 0) {
            err = cof_record_seal(twin->vk, twin->vk_uuid, twin->item, &twin->record);
        }
    }
    return err;
}

static int make_durable(struct rekey *rekey)
{
    struct cof_birth birth = {.write = write_twins, .ctx = rekey, .blocks = 24u * rekey->count};
    int err;
    for (unsigned i = 0; i < rekey->count; i++) {
        birth.blocks += rekey->members[i]->entry.data_keys / 16u;
        birth.blocks += rekey->twins[i] != NULL ? rekey->twins[i]->tag_part.blocks : 0u;
    }
    err = cof_give_birth(rekey->store, &birth);
    return err == 0 ? 0
                    : cof_fault(rekey->fault, err, COFFER_STAGE_ROOT,
                                "the keys can't be changed: %s", coffer_error_sentence(err));
}

/* ---- grants ---- */

/* Under another master key the provider needs another grant before it can do anything, which the
 * family shares; the old one goes when nothing needs it any more. */
static int with_grant(struct rekey *rekey, int (*work)(struct rekey *rekey))
{
    struct coffer_store *store = rekey->store;
    struct cof_catalogue_item *next = &rekey->next[0], old = *rekey->members[0];
    char before[COFFER_KEY_ARN_BYTES_MAX];
    int err;
    cof_item_owner(&old, before);
    if (strcmp(before, rekey->arn) == 0 && old.entry.grant_bytes > 0) {
        err = work(rekey);
        return err == 0 ? make_durable(rekey) : err;
    }
    err = cof_grant_make(store, next, rekey->arn, rekey->caller, rekey->provider, rekey->fault);
    for (unsigned i = 1; err == 0 && i < rekey->count; i++) {
        cof_grant_share(&rekey->next[i], next);
    }
    if (err == 0) {
        err = work(rekey);
        err = err == 0 ? make_durable(rekey) : err;
        if (err != 0) {
            cof_grant_undo(store, next, rekey->arn, rekey->provider);
        } else {
            cof_grant_undo(store, &old, before, rekey->provider);
        }
    }
    return err;
}

/* ---- master ---- */

/* A member that has the same volume key was asked for already. */
static const struct cof_catalogue_item *same_key_before(const struct rekey *rekey, unsigned at)
{
    for (unsigned i = 0; i < at; i++) {
        if (memcmp(rekey->members[i]->ring, rekey->members[at]->ring, 16) == 0) {
            return &rekey->next[i];
        }
    }
    return NULL;
}

/* The owner's wrap is replaced; recipients stay. */
static int rewrap(struct rekey *rekey, unsigned at)
{
    const struct cof_catalogue_item *item = rekey->members[at];
    const struct cof_catalogue_item *before = same_key_before(rekey, at);
    struct cof_catalogue_item *next = &rekey->next[at];
    struct coffer_key_blob blob;
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    int err = before != NULL ? cof_ring_wrap_at(before, 0, arn, &blob)
                             : cof_ring_rewrapped(rekey->store, item, cof_context_uuid(item),
                                                  rekey->arn, rekey->provider, &blob, rekey->fault);
    if (err == 0 && before == NULL) {
        err = cof_ring_verify(rekey->store, item, rekey->arn, &blob, rekey->provider, rekey->fault);
    }
    if (err == 0) {
        err = cof_ring_strip(rekey->store, next);
    }
    if (err == 0) {
        err = cof_ring_add(rekey->store, next, rekey->arn, &blob);
    }
    for (unsigned i = 1; err == 0 && i < cof_ring_wraps(item); i++) {
        err = cof_ring_wrap_at(item, i, arn, &blob);
        if (err == 0 && strcmp(arn, rekey->arn) != 0) {
            err = cof_ring_add(rekey->store, next, arn, &blob);
        }
    }
    return err;
}

static int rewrap_all(struct rekey *rekey)
{
    int err = 0;
    for (unsigned i = 0; err == 0 && i < rekey->count; i++) {
        err = rewrap(rekey, i);
    }
    return err;
}

/* ---- volume ---- */

/* A twin of the member with its data keys under a new volume key, and the ring for it. */
static int renew(struct rekey *rekey, unsigned at)
{
    struct coffer_store *store = rekey->store;
    struct cof_catalogue_item *item = rekey->members[at];
    /* Nobody can see a hidden node's tags, nor take them away if they are damaged. */
    const struct cof_tag_choice keep = {.inherit = item->entry.kind != COF_KIND_HIDDEN};
    struct coffer_volume *from, *twin;
    int err = cof_volume_open_item(store, item, COFFER_VOLUME_READ_ONLY, rekey->provider, &from,
                                   rekey->fault);
    if (err != 0) {
        return err;
    }
    err = cof_twin_new(store, item, true, &twin);
    if (err == 0) {
        rekey->twins[at] = twin;
        twin->record = from->record;
        twin->record.key_shared = false;
        rekey->next[at].entry.verbatim = false; /* its record is sealed here now */
        rekey->next[at].entry.tags_left = false;
        rekey->next[at].entry.clear_name_bytes = 0;
        memset(twin->record.key_arn, 0, sizeof twin->record.key_arn);
        memcpy(twin->record.key_arn, rekey->arn, strlen(rekey->arn));
        twin->eks_parts_written = from->eks_parts_written;
        twin->generation = item->entry.generation + 1u;
        err = cof_keyring_new(store, &rekey->next[at], twin->generation, rekey->arn, rekey->caller,
                              rekey->provider, &twin->vk, twin->vk_uuid, rekey->fault);
    }
    if (err == 0) {
        err = cof_keys_rewrap(from, twin, 0);
        twin->record.key_uses = (uint64_t)twin->ek_count + COF_KEY_USES_PER_OPEN;
    }
    if (err == 0) {
        err = cof_taglist_begin(twin, twin, from, &keep, rekey->fault);
    }
    cof_volume_drop(from);
    return err;
}

/* Wraps of the old volume key are of no use to recipients: each gets one of the new. */
static int keep_recipients(struct rekey *rekey, unsigned at)
{
    const struct cof_catalogue_item *item = rekey->members[at];
    struct cof_catalogue_item *next = &rekey->next[at];
    struct coffer_key_blob blob;
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    int err = 0;
    for (unsigned i = 1; err == 0 && i < cof_ring_wraps(item); i++) {
        err = cof_ring_wrap_at(item, i, arn, &blob);
        if (err == 0 && strcmp(arn, rekey->arn) != 0) {
            err = cof_ring_rewrapped(rekey->store, next, cof_context_uuid(next), arn, rekey->caller,
                                     &blob, rekey->fault);
            if (err == 0) {
                err = cof_ring_add(rekey->store, next, arn, &blob);
            }
        }
    }
    return err;
}

static int renew_all(struct rekey *rekey)
{
    int err = 0;
    for (unsigned i = 0; err == 0 && i < rekey->count; i++) {
        err = renew(rekey, i);
        if (err == 0) {
            err = keep_recipients(rekey, i);
        }
    }
    return err;
}

/* ---- the call ---- */

/* The volume; or, when that is gone, a snapshot of it by its full name. */
static int find(struct rekey *rekey, const char *name, struct cof_catalogue_item **ret_item)
{
    struct coffer_store *store = rekey->store;
    int err = cof_catalogue_find(store, name, rekey->provider, ret_item, rekey->fault);
    const struct cof_catalogue_item *volume = store->items;
    if (err != 0 || (*ret_item)->entry.kind == COF_KIND_VOLUME) {
        return err;
    }
    while (volume != NULL && (volume->entry.kind != COF_KIND_VOLUME ||
                              memcmp(volume->entry.uuid, cof_context_uuid(*ret_item), 16) != 0)) {
        volume = volume->next;
    }
    return volume == NULL ? 0
                          : cof_fault(rekey->fault, COFFER_E_INVALID, COFFER_STAGE_NONE,
                                      "a snapshot has its volume's key: re-key the volume, or copy "
                                      "the snapshot under another key");
}

static int rekey_locked(struct rekey *rekey, const struct coffer_rekey_opts *opts)
{
    struct coffer_store *store = rekey->store;
    struct cof_catalogue_item *item;
    struct coffer_key_info info;
    struct coffer_key_blob blob;
    int err = store->error != 0 ? COFFER_E_FAILED : find(rekey, opts->volume, &item);
    if (err == 0) {
        err = cof_access_check(store, item, NULL, rekey->fault);
    }
    if (err == 0 && !item->entry.encrypted) {
        err = cof_fault(rekey->fault, COFFER_E_UNSUPPORTED, COFFER_STAGE_NONE,
                        "the volume is not encrypted: restore a snapshot of it under a key");
    }
    if (err == 0) {
        err = cof_ring_wrap_at(item, 0, rekey->arn, &blob);
    }
    if (err == 0) {
        err = cof_key_resolve(store, rekey->caller,
                              opts->kms_key_id != NULL ? opts->kms_key_id : rekey->arn, &info,
                              rekey->fault);
    }
    if (err != 0) {
        return err;
    }
    memcpy(rekey->arn, info.arn, sizeof rekey->arn);
    err = begin(rekey, store->item_count);
    if (err == 0) {
        err = add_family(rekey, item);
    }
    if (err == 0) {
        err = with_grant(rekey, opts->depth == COFFER_REKEY_MASTER ? rewrap_all : renew_all);
    }
    done(rekey);
    return err;
}

int cof_rekey_check_call(const struct coffer_store *store, bool valid,
                         const struct coffer_key_provider *provider, struct coffer_fault *fault)
{
    cof_fault_clear(fault);
    if (!valid) {
        return cof_fault(fault, COFFER_E_INVALID, COFFER_STAGE_NONE,
                         "the name or the options are not valid");
    }
    if (store->read_only) {
        return cof_fault(fault, COFFER_E_READ_ONLY, COFFER_STAGE_NONE,
                         "the store was opened for reading only");
    }
    if (provider == NULL || provider->ops == NULL) {
        return cof_fault(fault, COFFER_E_NO_PROVIDER, COFFER_STAGE_KEY,
                         "changing keys needs a key provider");
    }
    return 0;
}

static int finish(struct coffer_store *store, int err, struct coffer_fault *fault)
{
    pthread_mutex_unlock(&store->lock);
    pthread_mutex_unlock(&store->admin);
    if (err != 0 && fault != NULL && fault->error == 0) {
        cof_fault(fault, err, COFFER_STAGE_KEY, "%s", coffer_error_sentence(err));
    }
    return err;
}

int cof_volume_rekey_named(struct coffer_store *store, const struct coffer_rekey_opts *opts,
                           struct coffer_fault *fault)
{
    struct rekey rekey = {.store = store,
                          .caller = cof_grant_caller(opts->caller, opts->provider),
                          .provider = opts->provider,
                          .fault = fault};
    return rekey_locked(&rekey, opts);
}

int coffer_volume_rekey(struct coffer_store *store, const struct coffer_rekey_opts *opts,
                        struct coffer_fault *fault)
{
    bool valid = opts != NULL && opts->size >= sizeof *opts &&
                 cof_check_full_name(opts->volume) == 0 &&
                 (unsigned)opts->depth <= COFFER_REKEY_DATA;
    int err = cof_rekey_check_call(store, valid, valid ? opts->provider : NULL, fault);
    if (err != 0) {
        return err;
    }
    pthread_mutex_lock(&store->admin);
    pthread_mutex_lock(&store->lock);
    return finish(store, cof_volume_rekey_named(store, opts, fault), fault);
}

/* ---- recipients ---- */

static bool shares_key(const struct coffer_store *store, const struct cof_catalogue_item *item)
{
    for (const struct cof_catalogue_item *other = store->items; other != NULL;
         other = other->next) {
        if (other != item && other->ring != NULL && memcmp(other->ring, item->ring, 16) == 0) {
            return true;
        }
    }
    return false;
}

static int find_snapshot(struct rekey *rekey, const struct coffer_snapshot_opts *opts,
                         struct cof_catalogue_item **ret_item)
{
    struct coffer_key_blob blob;
    int err = cof_snapshot_find(rekey->store, opts, ret_item, rekey->fault);
    if (err == 0 && !(*ret_item)->entry.encrypted) {
        err = cof_fault(rekey->fault, COFFER_E_UNSUPPORTED, COFFER_STAGE_NONE,
                        "the snapshot is not encrypted: anyone who has the store reads it");
    }
    return err == 0 ? cof_ring_wrap_at(*ret_item, 0, rekey->arn, &blob) : err;
}

/* Position of a wrap by its ARN; the number of wraps when there is none. */
static unsigned wrap_of(const struct cof_catalogue_item *item, const char *arn)
{
    struct coffer_key_blob blob;
    char at[COFFER_KEY_ARN_BYTES_MAX];
    unsigned i = 0;
    while (i < cof_ring_wraps(item) &&
           (cof_ring_wrap_at(item, i, at, &blob) != 0 || strcmp(at, arn) != 0)) {
        i++;
    }
    return i;
}

static int add_locked(struct rekey *rekey, const struct coffer_recipient_opts *opts)
{
    struct coffer_store *store = rekey->store;
    struct cof_catalogue_item *item;
    struct coffer_key_info owner, recipient;
    struct coffer_key_blob blob;
    struct cof_record record;
    int err = find_snapshot(rekey, &opts->snapshot, &item);
    if (err == 0) {
        err = cof_key_resolve(store, rekey->provider, rekey->arn, &owner, rekey->fault);
    }
    if (err == 0 && owner.managed) {
        err = cof_fault(rekey->fault, COFFER_E_UNSUPPORTED, COFFER_STAGE_KEY,
                        "a snapshot under the managed default key can't be shared: copy it, or "
                        "re-key its volume, to a key of your own");
    }
    if (err == 0) {
        err = cof_key_resolve(store, rekey->provider, opts->kms_key_id, &recipient, rekey->fault);
    }
    if (err == 0 && wrap_of(item, recipient.arn) < cof_ring_wraps(item)) {
        err = cof_fault(rekey->fault, COFFER_E_EXISTS, COFFER_STAGE_KEY,
                        "%.120s opens the snapshot already", recipient.arn);
    }
    if (err == 0) {
        err = begin(rekey, 1);
    }
    if (err == 0) {
        err = add_member(rekey, item);
    }
    if (err == 0) {
        err = cof_record_peek(store, item, rekey->provider, &record, rekey->fault);
    }
    /* A recipient gets this snapshot and nothing else that its volume key opens, or opened. */
    if (err == 0 && (record.key_shared || shares_key(store, item))) {
        err = renew(rekey, 0);
        if (err == 0) {
            err = keep_recipients(rekey, 0);
        }
    }
    if (err == 0) {
        err = cof_ring_rewrapped(store, &rekey->next[0], cof_context_uuid(&rekey->next[0]),
                                 recipient.arn, rekey->provider, &blob, rekey->fault);
    }
    if (err == 0) {
        err = cof_ring_add(store, &rekey->next[0], recipient.arn, &blob);
    }
    return err == 0 ? make_durable(rekey) : err;
}

static int remove_locked(struct rekey *rekey, const struct coffer_recipient_opts *opts)
{
    struct cof_catalogue_item *item, *next;
    struct coffer_key_info recipient;
    unsigned gone;
    int err = find_snapshot(rekey, &opts->snapshot, &item);
    if (err == 0) {
        pthread_mutex_unlock(&rekey->store->lock);
        err = rekey->provider->ops->describe(rekey->provider->ctx, opts->kms_key_id, &recipient);
        pthread_mutex_lock(&rekey->store->lock);
        if (err != 0) { /* a key that is gone is known by its ARN */
            memset(&recipient, 0, sizeof recipient);
            memcpy(recipient.arn, opts->kms_key_id,
                   strnlen(opts->kms_key_id, sizeof recipient.arn - 1u));
            err = 0;
        }
    }
    if (err != 0) {
        return err;
    }
    gone = wrap_of(item, recipient.arn);
    if (gone == 0 || gone == cof_ring_wraps(item)) {
        return cof_fault(rekey->fault, gone == 0 ? COFFER_E_INVALID : COFFER_E_NOT_FOUND,
                         COFFER_STAGE_KEY,
                         gone == 0 ? "%.100s owns the snapshot: re-key to take it away"
                                   : "%.100s is no recipient of the snapshot",
                         recipient.arn);
    }
    err = begin(rekey, 1);
    if (err == 0) {
        err = add_member(rekey, item);
    }
    next = &rekey->next[0];
    if (err == 0) {
        err = cof_ring_strip(rekey->store, next);
    }
    for (unsigned i = 0; err == 0 && i < cof_ring_wraps(item); i++) {
        struct coffer_key_blob blob;
        char arn[COFFER_KEY_ARN_BYTES_MAX];
        err = cof_ring_wrap_at(item, i, arn, &blob);
        if (err == 0 && i != gone) {
            err = cof_ring_add(rekey->store, next, arn, &blob);
        }
    }
    return err == 0 ? make_durable(rekey) : err;
}

static int change_recipient(struct coffer_store *store, const struct coffer_recipient_opts *opts,
                            int (*change)(struct rekey *, const struct coffer_recipient_opts *),
                            struct coffer_fault *fault)
{
    struct rekey rekey = {.store = store, .fault = fault};
    bool valid = opts != NULL && opts->size >= sizeof *opts && opts->kms_key_id != NULL;
    int err = cof_rekey_check_call(store, valid, valid ? opts->snapshot.provider : NULL, fault);
    if (err != 0) {
        return err;
    }
    rekey.caller = opts->snapshot.provider;
    rekey.provider = opts->snapshot.provider;
    pthread_mutex_lock(&store->admin);
    pthread_mutex_lock(&store->lock);
    err = change(&rekey, opts);
    done(&rekey);
    return finish(store, err, fault);
}

int coffer_recipient_add(struct coffer_store *store, const struct coffer_recipient_opts *opts,
                         struct coffer_fault *fault)
{
    return change_recipient(store, opts, add_locked, fault);
}

int coffer_recipient_remove(struct coffer_store *store, const struct coffer_recipient_opts *opts,
                            struct coffer_fault *fault)
{
    return change_recipient(store, opts, remove_locked, fault);
}

int coffer_recipient_list(struct coffer_store *store, const struct coffer_snapshot_opts *opts,
                          int (*visit)(void *ctx, const char *key_arn, int owner), void *ctx,
                          struct coffer_fault *fault)
{
    struct cof_catalogue_item *item;
    int err;
    cof_fault_clear(fault);
    if (opts == NULL || opts->size < sizeof *opts) {
        return cof_fault(fault, COFFER_E_INVALID, COFFER_STAGE_NONE, "the options are not valid");
    }
    pthread_mutex_lock(&store->admin);
    pthread_mutex_lock(&store->lock);
    err = cof_snapshot_find(store, opts, &item, fault);
    for (unsigned i = 0; err == 0 && i < cof_ring_wraps(item); i++) {
        struct coffer_key_blob blob;
        char arn[COFFER_KEY_ARN_BYTES_MAX];
        err = cof_ring_wrap_at(item, i, arn, &blob);
        if (err == 0) {
            err = visit(ctx, arn, i == 0 ? 1 : 0);
        }
    }
    return finish(store, err, fault);
}
