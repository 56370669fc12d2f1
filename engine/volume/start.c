/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/start.c - starting a volume that was stopped, or lost its key, and stopping one that is
 * not open.
 *
 * Both ask the key service at that moment; a start as who starts it, too, where that is another.
 * With the volume key the record is sealed anew, and entry and record say the same, in one root;
 * without it the entry alone is written, and only ever made stricter. A grant that is gone is made
 * anew by who starts, in the same root. admin and lock are taken; lock is let go while the key
 * service is asked.
 */
#include "volume/store.h"

#include <string.h>

/* A volume with its key, or with the reason why there is none. */
struct subject {
    struct coffer_store *store;
    const struct coffer_volume_open_opts *opts;
    struct coffer_fault *fault;
    struct cof_catalogue_item *item;
    int refused; /* record and key are of no use then */
    struct cof_vk *vk;
    uint8_t vk_uuid[16];
    struct cof_record record;
};

/* Whom the provider may not know, its grant being gone, the caller may. */
static int find(struct subject *subject)
{
    struct coffer_volume_open_opts as_caller = *subject->opts;
    int by_caller, err = cof_access_find(subject->store, subject->opts, &subject->item,
                                         &subject->refused, subject->fault);
    int refused = err != 0 ? err : subject->refused;
    if (as_caller.caller == NULL || refused != COFFER_E_KEY_ACCESS) {
        return err;
    }
    as_caller.provider = as_caller.caller;
    err = cof_access_find(subject->store, &as_caller, &subject->item, &by_caller, subject->fault);
    subject->refused = refused;
    return err;
}

/* No open volume lends its key: the service has to be asked. */
static int meet(struct subject *subject)
{
    struct coffer_store *store = subject->store;
    int err = store->error != 0 ? COFFER_E_FAILED : find(subject);
    if (err != 0 || subject->refused != 0) {
        return err;
    }
    if (subject->item->entry.encrypted) {
        err = cof_keyring_unwrap(store, subject->item, subject->opts->provider, &subject->vk,
                                 subject->vk_uuid, subject->fault);
        if (coffer_error_class_of(err) == COFFER_CLASS_KEY) {
            subject->refused = err;
            return 0;
        }
    }
    if (err == 0) {
        err = cof_record_open(subject->vk, subject->vk_uuid, subject->item, &subject->record);
        cof_record_adapt(store, subject->item, &subject->record);
    }
    return err == 0
               ? 0
               : cof_fault(subject->fault, err, COFFER_STAGE_ROOT,
                           "the volume's record does not open: %s", coffer_error_sentence(err));
}

static const struct cof_record *record_of(const struct subject *subject)
{
    return subject->refused != 0 ? NULL : &subject->record;
}

/* Entry and record, or the entry alone: durable. */
static int put(struct subject *subject, enum cof_access access, int cause)
{
    struct coffer_store *store = subject->store;
    struct cof_catalogue_item *item = subject->item;
    int err = cof_checkpoint_ready(store, 0, COF_SPARE_ADMIN);
    if (err == 0 && subject->refused == 0) {
        struct cof_record next = subject->record;
        struct cof_catalogue_item after = *item;
        cof_access_note(store, &after, access, cause, &next);
        next.modified_ns = cof_wall_ns(&store->env);
        next.key_uses += item->entry.encrypted ? 1u : 0u;
        err = cof_record_seal(subject->vk, subject->vk_uuid, &after, &next);
        if (err == 0) { /* it lost nothing but its access on the way */
            *item = after;
        }
    } else if (err == 0) {
        cof_access_note(store, item, access, cause, NULL);
    }
    if (err == 0) {
        err = cof_checkpoint_light(store);
    }
    return err == 0
               ? 0
               : cof_fault(subject->fault, err, COFFER_STAGE_ROOT,
                           "the volume's state can't be written: %s", coffer_error_sentence(err));
}

/* ---- start ---- */

/* It is the caller's right to the key that counts at a start, beside the provider's. */
static int check_caller(struct subject *subject)
{
    struct cof_vk *vk = NULL;
    uint8_t uuid[16];
    int err = cof_keyring_unwrap(subject->store, subject->item, subject->opts->caller, &vk, uuid,
                                 subject->fault);
    cof_vk_free(vk);
    return err;
}

/* The volume's snapshots, which have its context, have its grant. */
static void share_grant(struct subject *subject, const struct cof_catalogue_item *granted)
{
    const uint8_t *uuid = cof_context_uuid(subject->item);
    for (struct cof_catalogue_item *item = subject->store->items; item != NULL; item = item->next) {
        if (item->entry.encrypted && memcmp(cof_context_uuid(item), uuid, 16) == 0) {
            cof_grant_share(item, granted);
            item->dirty = true;
        }
    }
}

/* Another grant in the place of one that is gone; with it the volume key unwraps. */
static int grant_anew(struct subject *subject)
{
    struct coffer_store *store = subject->store;
    const struct coffer_key_provider *provider = subject->opts->provider;
    const struct cof_catalogue_item old = *subject->item;
    struct cof_catalogue_item granted = old;
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    int err;
    cof_item_owner(subject->item, arn);
    err = cof_grant_make(store, &granted, arn, subject->opts->caller, provider, subject->fault);
    if (err == 0) {
        err = cof_keyring_unwrap(store, &granted, provider, &subject->vk, subject->vk_uuid,
                                 subject->fault);
    }
    if (err == 0) {
        err = cof_record_open(subject->vk, subject->vk_uuid, subject->item, &subject->record);
        cof_record_adapt(store, subject->item, &subject->record);
    }
    if (err == 0) {
        subject->refused = 0;
        share_grant(subject, &granted);
        err = put(subject, COF_ACCESS_AVAILABLE, 0);
        if (err != 0) {
            share_grant(subject, &old);
        }
    }
    if (err != 0) {
        cof_grant_undo(store, &granted, arn, provider);
    }
    return err;
}

static int start(struct subject *subject)
{
    struct coffer_store *store = subject->store;
    enum cof_access access = cof_access_of(store, subject->item, record_of(subject));
    if (subject->item->open != NULL) {
        return 0;
    }
    if (access == COF_ACCESS_TERMINAL) {
        int err = subject->item->entry.access == COF_ACCESS_TERMINAL
                      ? 0
                      : put(subject, COF_ACCESS_TERMINAL, -(int)subject->item->entry.access_cause);
        return err != 0
                   ? err
                   : cof_access_check(store, subject->item, record_of(subject), subject->fault);
    }
    if (subject->opts->caller != NULL && subject->item->entry.encrypted) {
        int err = check_caller(subject);
        if (err != 0 || subject->refused == COFFER_E_KEY_ACCESS) {
            return err != 0 ? err : grant_anew(subject);
        }
    }
    if (subject->refused != 0) {
        return cof_fault(subject->fault, subject->refused, COFFER_STAGE_KEY,
                         "the volume can't be started while its key is refused: %s",
                         coffer_error_sentence(subject->refused));
    }
    return access == COF_ACCESS_AVAILABLE ? 0 : put(subject, COF_ACCESS_AVAILABLE, 0);
}

/* ---- stop ---- */

static bool tells_of_the_key(int error)
{
    return error == COFFER_E_KEY_DISABLED || error == COFFER_E_KEY_STATE;
}

static int stop(struct subject *subject)
{
    enum cof_access access = cof_access_of(subject->store, subject->item, record_of(subject));
    if (subject->item->open != NULL) {
        return cof_fault(subject->fault, COFFER_E_BUSY, COFFER_STAGE_NONE,
                         "the volume is open: close it first");
    }
    if (access >= COF_ACCESS_RECOVERABLE) {
        return 0;
    }
    if (subject->refused == 0) {
        bool nothing = access == COF_ACCESS_STOPPED ||
                       (subject->opts->flags & (unsigned)COFFER_VOLUME_IF_REFUSED) != 0;
        return nothing ? 0 : put(subject, COF_ACCESS_STOPPED, 0);
    }
    if (!tells_of_the_key(subject->refused)) { /* it may be the wrong service, or who asks */
        return cof_fault(subject->fault, subject->refused, COFFER_STAGE_KEY,
                         "the volume's key is refused: %s",
                         coffer_error_sentence(subject->refused));
    }
    return put(subject, cof_access_lost(subject->item), subject->refused);
}

/* ---- the calls ---- */

static int change(struct coffer_store *store, const struct coffer_volume_open_opts *opts,
                  int (*how)(struct subject *subject), struct coffer_fault *fault)
{
    struct coffer_volume_open_opts all;
    struct subject subject;
    int err = cof_open_opts_take(opts, &all, fault);
    if (err == 0 && cof_volume_check_name(all.name) != 0) {
        err = cof_fault(fault, COFFER_E_INVALID, COFFER_STAGE_NONE,
                        "only a volume is started and stopped, and this is no name of one");
    }
    if (err != 0) {
        return err;
    }
    if (store->read_only) {
        return cof_fault(fault, COFFER_E_READ_ONLY, COFFER_STAGE_NONE,
                         "the store was opened for reading only");
    }
    memset(&subject, 0, sizeof subject);
    subject.store = store;
    subject.opts = &all;
    subject.fault = fault;
    pthread_mutex_lock(&store->admin);
    pthread_mutex_lock(&store->lock);
    err = meet(&subject);
    if (err == 0) {
        cof_fault_clear(fault);
        err = how(&subject);
    }
    cof_vk_free(subject.vk);
    pthread_mutex_unlock(&store->lock);
    pthread_mutex_unlock(&store->admin);
    if (err != 0 && fault != NULL && fault->error == 0) {
        cof_fault(fault, err, COFFER_STAGE_NONE, "%s", coffer_error_sentence(err));
    }
    return err;
}

int coffer_volume_start(struct coffer_store *store, const struct coffer_volume_open_opts *opts,
                        struct coffer_fault *fault)
{
    return change(store, opts, start, fault);
}

int coffer_volume_stop(struct coffer_store *store, const struct coffer_volume_open_opts *opts,
                       struct coffer_fault *fault)
{
    return change(store, opts, stop, fault);
}
