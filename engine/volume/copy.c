/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/copy.c - a snapshot into another store: the call and its stages.
 *
 * What has to be sent is found out first (copy_plan.c). The copy's entry is made (copy_entry.c),
 * marked as copying; then the extents follow (copy_send.c). At the end the mark goes. What failed
 * is taken back; what was stopped or killed goes on when the same is asked for again.
 *
 * Both stores' admin locks are held throughout, the lower address first; each lock only while its
 * store is touched.
 */
#include "volume/copy.h"

#include <stdio.h>
#include <string.h>

static void lock_admins(struct cof_copy *copy)
{
    bool source_first = copy->source < copy->destination;
    pthread_mutex_lock(source_first ? &copy->source->admin : &copy->destination->admin);
    pthread_mutex_lock(source_first ? &copy->destination->admin : &copy->source->admin);
}

static void unlock_admins(struct cof_copy *copy)
{
    pthread_mutex_unlock(&copy->source->admin);
    pthread_mutex_unlock(&copy->destination->admin);
}

/* The copy is whole, or (took: it failed) it never was. The destination's lock is held. */
static int settle(struct cof_copy *copy, bool whole)
{
    struct coffer_store *destination = copy->destination;
    int err;
    if (!whole) {
        uint32_t parent = copy->to->entry.parent_number;
        err = cof_copy_abandon(destination, copy->to, copy->opts->provider);
        return err != 0 ? err
                        : cof_node_remove_hidden(destination, parent, copy->opts->provider, NULL);
    }
    err = cof_checkpoint_ready(destination, 0, COF_SPARE_OPEN);
    if (err != 0) {
        return err;
    }
    copy->to->entry.kind = COF_KIND_SNAPSHOT;
    copy->to->dirty = true;
    return cof_checkpoint_light(destination);
}

int cof_copy_abandon(struct coffer_store *store, struct cof_catalogue_item *item,
                     const struct coffer_key_provider *provider)
{
    uint64_t extents = 0;
    int err = cof_import_count(store, item->entry.number, NULL, &extents);
    if (err == 0) {
        err = cof_checkpoint_ready(store, extents * COF_BUCKET_BLOCKS, COF_SPARE_OPEN);
    }
    if (err != 0) {
        return err;
    }
    err = cof_import_purge(store, item->entry.number, NULL);
    if (err == 0) {
        err = cof_catalogue_remove(
            store, item, (item->entry.data_keys + COF_EK_PER_PART - 1u) / COF_EK_PER_PART);
    }
    if (err != 0) {
        cof_store_fail(store, err);
        return err;
    }
    err = cof_checkpoint_light(store);
    if (err == 0) {
        cof_grant_release(store, item, provider);
    }
    cof_catalogue_item_free(store, item);
    return err;
}

/* The interrupted copy of this snapshot under this name, if that is what there is. */
static int find_there(struct cof_copy *copy)
{
    struct coffer_store *destination = copy->destination;
    struct cof_catalogue_item *item;
    int err = cof_catalogue_find(destination, copy->full, copy->opts->provider, &item, copy->fault);
    if (err == COFFER_E_NOT_FOUND) {
        cof_fault_clear(copy->fault);
        return 0;
    }
    if (err == 0 && item->entry.kind == COF_KIND_COPYING &&
        memcmp(item->entry.origin_uuid, cof_copy_identity(copy->from), 16) == 0) {
        copy->to = item;
        copy->base = cof_catalogue_at(destination, item->entry.parent_number);
        copy->base_cut = item->entry.cut;
        copy->base_node_cut = item->entry.node_cut;
        return 0;
    }
    return err != 0 ? err
                    : cof_fault(copy->fault, COFFER_E_EXISTS, COFFER_STAGE_ROOT,
                                "the destination has a snapshot \"%.100s\" already", copy->full);
}

/* Whether what there is of the copy was begun in the same way, under the same key. */
static bool goes_on(const struct cof_copy *copy, const char *arn)
{
    char began[COFFER_KEY_ARN_BYTES_MAX];
    struct coffer_key_blob blob;
    return !copy->to->entry.encrypted ||
           (copy->to->entry.verbatim == copy->keyless && cof_copy_keys_fit(copy, copy->to, true) &&
            cof_ring_wrap_at(copy->to, 0, began, &blob) == 0 && strcmp(began, arn) == 0);
}

/* What there is of the copy, to begin anew. Both locks are held. */
static int take_back(struct cof_copy *copy)
{
    int err;
    pthread_mutex_unlock(&copy->source->lock);
    err = settle(copy, false);
    pthread_mutex_unlock(&copy->destination->lock);
    pthread_mutex_lock(&copy->source->lock);
    pthread_mutex_lock(&copy->destination->lock);
    copy->to = NULL;
    copy->base = NULL;
    copy->base_cut = 0;
    copy->base_node_cut = 0;
    return err;
}

/* Everything before the first page: both locks are held. */
static int begin(struct cof_copy *copy)
{
    char arn[COFFER_KEY_ARN_BYTES_MAX] = "";
    bool encrypted;
    int err = cof_snapshot_find_sealed(copy->source, &copy->opts->source, &copy->from, copy->fault);
    if (err == 0) {
        err = find_there(copy);
    }
    if (err != 0) {
        return err;
    }
    encrypted = copy->from->entry.encrypted;
    if (!encrypted && copy->opts->kms_key_id != NULL) {
        return cof_fault(
            copy->fault, COFFER_E_UNSUPPORTED, COFFER_STAGE_NONE,
            "a copy of an unencrypted snapshot is unencrypted: restore it under a key");
    }
    if (encrypted && (copy->opts->provider == NULL || copy->opts->source.provider == NULL)) {
        return cof_fault(copy->fault, COFFER_E_NO_PROVIDER, COFFER_STAGE_KEY,
                         "copying an encrypted snapshot needs the key services of both sides");
    }
    copy->keyless = encrypted && cof_copy_caller(copy) == copy->opts->source.provider;
    if (encrypted) {
        pthread_mutex_unlock(&copy->source->lock);
        err = cof_copy_resolve_key(copy, arn);
        pthread_mutex_lock(&copy->source->lock);
    }
    if (err == 0 && copy->to != NULL && !goes_on(copy, arn)) {
        err = take_back(copy);
    }
    if (err == 0 && copy->to == NULL) {
        cof_copy_find_base(copy);
    }
    pthread_mutex_unlock(&copy->destination->lock);
    pthread_mutex_unlock(&copy->source->lock);
    if (err == 0) {
        err = cof_copy_plan(copy);
    }
    pthread_mutex_lock(&copy->source->lock);
    pthread_mutex_lock(&copy->destination->lock);
    if (err == 0 && copy->to == NULL) {
        err = cof_copy_check_room(copy);
        if (err == 0) {
            err = cof_copy_make_entry(copy, arn);
        }
    }
    return err;
}

static int run(struct cof_copy *copy)
{
    struct coffer_store *source = copy->source, *destination = copy->destination;
    int err;
    pthread_mutex_lock(&source->lock);
    pthread_mutex_lock(&destination->lock);
    err = source->error != 0 || destination->error != 0 ? COFFER_E_FAILED : begin(copy);
    if (err == 0) {
        copy->to->arriving = true;
    }
    pthread_mutex_unlock(&destination->lock);
    pthread_mutex_unlock(&source->lock);
    if (err != 0) {
        return err;
    }
    err = cof_copy_send(copy);
    pthread_mutex_lock(&destination->lock);
    copy->to->arriving = false;
    if (err == 0) {
        err = settle(copy, true);
    } else if (err == copy->stopped && copy->stopped != 0) {
        int kept = cof_checkpoint_ready(destination, 0, COF_SPARE_OPEN);
        if (kept == 0) {
            kept = cof_checkpoint_light(destination); /* what came is there for the next time */
        }
        err = kept != 0 ? kept : err;
    } else if (destination->error == 0) {
        int back = settle(copy, false);
        err = back != 0 ? back : err;
    }
    pthread_mutex_unlock(&destination->lock);
    if (err == 0 && copy->opts->on_progress != NULL) {
        (void)copy->opts->on_progress(copy->opts->ctx, copy->done_pages * COF_PAGE_BYTES,
                                      copy->done_pages * COF_PAGE_BYTES);
    }
    return err;
}

static void begin_anew(struct cof_copy *copy)
{
    copy->overtaken = false;
    copy->fresh = false;
    copy->from = NULL;
    copy->base = NULL;
    copy->to = NULL;
    copy->base_cut = 0;
    copy->base_node_cut = 0;
    copy->done_pages = 0;
    copy->rooted_pages = 0;
    cof_fault_clear(copy->fault);
}

/* In the same store nothing is sent: the copy shares the pages, under a volume key of its own. */
static int copy_within(struct cof_copy *copy)
{
    struct coffer_store *store = copy->source;
    const struct cof_clone how = {.name = copy->full,
                                  .kms_key_id = copy->opts->kms_key_id,
                                  .caller = copy->opts->caller,
                                  .provider = copy->opts->provider,
                                  .tags = cof_copy_tags(copy)};
    int err;
    pthread_mutex_lock(&store->admin);
    pthread_mutex_lock(&store->lock);
    err = store->error != 0 ? COFFER_E_FAILED
                            : cof_snapshot_clone(store, &copy->opts->source, &how, copy->fault);
    pthread_mutex_unlock(&store->lock);
    pthread_mutex_unlock(&store->admin);
    return err;
}

/* Under data keys that the source never had. */
static int copy_resealed(struct cof_copy *copy)
{
    const struct coffer_copy_opts *opts = copy->opts;
    struct coffer_store *destination = copy->destination;
    struct cof_reseal reseal = {.destination = destination,
                                .kms_key_id = opts->kms_key_id,
                                .caller = opts->caller,
                                .provider = opts->provider,
                                .tags = cof_copy_tags(copy),
                                .threaded = (opts->flags & COFFER_COPY_THREAD) != 0,
                                .on_progress = opts->on_progress,
                                .ctx = opts->ctx};
    int err;
    pthread_mutex_lock(&destination->admin);
    pthread_mutex_lock(&destination->lock);
    err = cof_name_is_free(destination, copy->full, opts->provider, copy->fault);
    pthread_mutex_unlock(&destination->lock);
    pthread_mutex_unlock(&destination->admin);
    if (err == 0) {
        err = cof_snapshot_open(copy->source, &opts->source, &reseal.from, copy->fault);
    }
    if (err != 0) {
        return err;
    }
    if (!reseal.from->encrypted) {
        err = cof_fault(copy->fault, COFFER_E_UNSUPPORTED, COFFER_STAGE_NONE,
                        "an unencrypted snapshot becomes encrypted by restoring it under a key");
    } else {
        char volume[COFFER_NAME_BYTES_MAX];
        snprintf(volume, sizeof volume, "%.*s", (int)strcspn(copy->full, "@"), copy->full);
        reseal.volume = volume;
        reseal.snapshot = strchr(copy->full, '@') + 1;
        if (reseal.kms_key_id == NULL) {
            reseal.kms_key_id = reseal.from->record.key_arn;
        }
        err = cof_reseal_run(&reseal, copy->fault);
    }
    (void)coffer_volume_close(reseal.from);
    return err;
}

int coffer_snapshot_copy(struct coffer_store *source, struct coffer_store *destination,
                         const struct coffer_copy_opts *opts, struct coffer_fault *fault)
{
    struct cof_copy *copy;
    int err;
    cof_fault_clear(fault);
    if (opts == NULL || opts->size < sizeof *opts) {
        return cof_fault(fault, COFFER_E_INVALID, COFFER_STAGE_NONE, "the options are not valid");
    }
    if (destination->read_only) {
        return cof_fault(fault, COFFER_E_READ_ONLY, COFFER_STAGE_NONE,
                         "the destination was opened for reading only");
    }
    copy = cof_calloc(&destination->env, 1, sizeof *copy);
    if (copy == NULL) {
        return cof_fault(fault, COFFER_E_NO_MEMORY, COFFER_STAGE_NONE, "no memory");
    }
    copy->source = source;
    copy->destination = destination;
    copy->opts = opts;
    copy->fault = fault;
    err = cof_snapshot_full_name(opts->volume != NULL ? opts->volume : opts->source.volume,
                                 opts->name != NULL ? opts->name : opts->source.name, copy->full,
                                 fault);
    if (err == 0 && (opts->flags & COFFER_COPY_REENCRYPT) != 0) {
        err = copy_resealed(copy);
    } else if (err == 0 && source == destination) {
        err = copy_within(copy);
    } else if (err == 0) {
        lock_admins(copy);
        err = run(copy);
        if (copy->overtaken) { /* it was taken back: begin anew, with numbers of its own */
            begin_anew(copy);
            err = run(copy);
        }
        unlock_admins(copy);
    }
    if (err != 0 && err != copy->stopped && fault != NULL && fault->error == 0) {
        cof_fault(fault, err, COFFER_STAGE_NONE, "the snapshot is not copied: %s",
                  coffer_error_sentence(err));
    }
    cof_free(&destination->env, copy);
    return err;
}
