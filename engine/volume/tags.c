/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/tags.c - giving tags, taking them away, and showing them: the calls of coffer/tags.h.
 *
 * An entry that is open for writing gets its list prepared, and the root that follows writes it
 * with the record. Any other is changed as it lies: its record is opened, gets the digest of the
 * new list and is sealed again, which also makes a copy's record that was sealed elsewhere one of
 * this store.
 *
 * admin, then lock; lock is let go while the key service is asked.
 */
#include "volume/store.h"

#include "format/taglist_format.h"

#include <string.h>

_Static_assert(COF_TAGS_MAX == COFFER_TAGS_MAX &&
                   COF_TAG_KEY_CHARACTERS_MAX == COFFER_TAG_KEY_CHARACTERS_MAX &&
                   COF_TAG_VALUE_CHARACTERS_MAX == COFFER_TAG_VALUE_CHARACTERS_MAX,
               "the public limits are the format's");

struct tagging {
    struct coffer_store *store;
    const struct coffer_tags_opts *opts;
    struct coffer_fault *fault;
    const struct coffer_tag *set;
    const char *const *keys; /* to take away, where set is NULL; none: all */
    size_t count;
};

/* ---- one entry ---- */

/* The entry's record and volume key in a twin: what tags are read and sealed with. */
static int open_twin(const struct tagging *tagging, struct cof_catalogue_item *item,
                     struct cof_item_key *key, struct coffer_volume **ret_twin)
{
    struct coffer_store *store = tagging->store;
    struct coffer_volume *twin;
    int err = cof_item_key_get(store, item, tagging->opts->provider, key, tagging->fault);
    if (err != 0) {
        return err;
    }
    err = cof_twin_new(store, item, item->entry.encrypted, &twin);
    if (err == 0) {
        twin->vk = key->vk;
        memcpy(twin->vk_uuid, key->vk_uuid, sizeof twin->vk_uuid);
        twin->generation = item->entry.generation;
        err = cof_record_open(twin->vk, twin->vk_uuid, item, &twin->record);
        if (err == 0) {
            cof_record_adapt(store, item, &twin->record);
            *ret_twin = twin;
            return 0;
        }
        twin->vk = NULL;
        cof_twin_free(twin);
    }
    cof_item_key_put(key);
    return cof_fault(tagging->fault, err, COFFER_STAGE_ROOT, "the record does not open: %s",
                     coffer_error_sentence(err));
}

static void close_twin(struct coffer_volume *twin, struct cof_item_key *key)
{
    twin->vk = NULL; /* the key's */
    cof_twin_free(twin);
    cof_item_key_put(key);
}

static int find(const struct tagging *tagging, struct cof_catalogue_item **ret_item)
{
    struct coffer_store *store = tagging->store;
    int err = store->error != 0
                  ? COFFER_E_FAILED
                  : cof_catalogue_find(store, tagging->opts->name, tagging->opts->provider,
                                       ret_item, tagging->fault);
    if (err == 0 && (*ret_item)->entry.kind == COF_KIND_COPYING) {
        return cof_fault(tagging->fault, COFFER_E_BUSY, COFFER_STAGE_NONE,
                         "the snapshot is being copied: go on with the copy");
    }
    return err;
}

/* ---- changing ---- */

static int edit(const struct tagging *tagging, struct cof_taglist *list)
{
    if (tagging->set != NULL) {
        return cof_taglist_add(list, tagging->set, tagging->count, tagging->fault);
    }
    for (size_t i = 0; i < tagging->count; i++) {
        cof_taglist_drop(list, tagging->keys[i], strlen(tagging->keys[i]));
    }
    return 0;
}

/* The list that volume has, changed; *ret_same: in nothing. */
static int make_list(const struct tagging *tagging, const struct coffer_volume *volume,
                     struct cof_tag_bytes *ret_list, bool *ret_same)
{
    struct cof_env *env = &tagging->store->env;
    struct cof_tag_bytes before = {NULL, 0}, after = {NULL, 0};
    struct cof_taglist list;
    int err;
    if (tagging->set == NULL && tagging->count == 0) { /* what is damaged can go, too */
        *ret_list = after;
        *ret_same = false;
        return 0;
    }
    err = cof_taglist_read(volume, &before);
    if (err == 0) {
        err = cof_taglist_unpack(&before, &list);
    }
    if (err != 0) {
        return cof_fault(tagging->fault, err, COFFER_STAGE_ROOT,
                         "the tags do not read: %s; removing all of them makes an end of it",
                         coffer_error_sentence(err));
    }
    err = edit(tagging, &list);
    if (err == 0) {
        err = cof_taglist_pack(env, &list, &after);
    }
    if (err == 0) {
        *ret_same = before.length == after.length &&
                    (after.length == 0 || memcmp(before.bytes, after.bytes, after.length) == 0);
        *ret_list = after;
    }
    cof_tag_bytes_done(env, &before);
    return err;
}

/* Seal the list and have a root written with it. No lock is let go between the last checkpoint's
 * end and the root: no other may take the one without the other. */
static int change_open(const struct tagging *tagging, struct coffer_volume *volume,
                       const struct cof_tag_bytes *list)
{
    int err = cof_taglist_prepare(volume, volume, list);
    return err == 0 ? cof_checkpoint_light(tagging->store) : err;
}

static int write_list(struct cof_birth *birth, const struct cof_raw_writer *writer)
{
    return cof_taglist_flush(birth->ctx, writer);
}

static int change_closed(const struct tagging *tagging, struct coffer_volume *twin,
                         const struct cof_tag_bytes *list)
{
    struct coffer_store *store = tagging->store;
    struct cof_birth birth = {.write = write_list, .ctx = twin};
    int err;
    if (twin->encrypted && cof_keyring_is_spent(twin)) {
        return cof_fault(tagging->fault, COFFER_E_LIMIT, COFFER_STAGE_KEY,
                         "its volume key was used too often: re-key the volume first");
    }
    err = cof_taglist_prepare(twin, twin, list);
    if (err == 0) {
        twin->record.modified_ns = cof_wall_ns(&store->env);
        twin->record.key_uses += twin->encrypted ? 1u : 0u;
        err = cof_record_seal(twin->vk, twin->vk_uuid, twin->item, &twin->record);
    }
    if (err == 0) {
        err = cof_give_birth(store, &birth);
    }
    if (err == 0 && twin->item->open != NULL) {
        twin->item->open->record = twin->record;
    }
    return err;
}

static int change_entry(const struct tagging *tagging, struct cof_catalogue_item *item)
{
    struct coffer_volume *volume = item->open, *twin = NULL;
    struct cof_tag_bytes list = {NULL, 0};
    struct cof_item_key key;
    bool same = true;
    int err = 0;
    if (volume == NULL || volume->read_only) {
        err = open_twin(tagging, item, &key, &twin);
        if (err != 0) {
            return err;
        }
        volume = twin;
    }
    err = make_list(tagging, volume, &list, &same);
    if (err == 0 && !same) {
        err = cof_checkpoint_ready(tagging->store, list.length / COF_BLOCK_BYTES, COF_SPARE_ADMIN);
    }
    if (err == 0 && !same) {
        err = twin != NULL ? change_closed(tagging, twin, &list)
                           : change_open(tagging, volume, &list);
    }
    cof_tag_bytes_done(&tagging->store->env, &list);
    if (twin != NULL) {
        close_twin(twin, &key);
    }
    return err;
}

/* ---- the calls ---- */

static bool opts_fit(const struct coffer_tags_opts *opts)
{
    return opts != NULL && opts->size >= sizeof *opts && cof_check_full_name(opts->name) == 0;
}

static int finish(const struct tagging *tagging, int err)
{
    if (err != 0 && tagging->fault != NULL && tagging->fault->error == 0) {
        cof_fault(tagging->fault, err, COFFER_STAGE_ROOT, "the tags can't be changed: %s",
                  coffer_error_sentence(err));
    }
    return err;
}

static int change(const struct tagging *tagging, bool valid)
{
    struct coffer_store *store = tagging->store;
    struct cof_catalogue_item *item;
    int err;
    cof_fault_clear(tagging->fault);
    if (!valid || !opts_fit(tagging->opts)) {
        return cof_fault(tagging->fault, COFFER_E_INVALID, COFFER_STAGE_NONE,
                         "the name, the tags or the options are not valid");
    }
    if (store->read_only) {
        return cof_fault(tagging->fault, COFFER_E_READ_ONLY, COFFER_STAGE_NONE,
                         "the store was opened for reading only");
    }
    pthread_mutex_lock(&store->admin);
    pthread_mutex_lock(&store->lock);
    err = find(tagging, &item);
    if (err == 0) {
        err = change_entry(tagging, item);
    }
    pthread_mutex_unlock(&store->lock);
    pthread_mutex_unlock(&store->admin);
    return finish(tagging, err);
}

int coffer_tags_check(const struct coffer_tag *tags, size_t count, struct coffer_fault *fault)
{
    struct cof_taglist list = {.count = 0};
    cof_fault_clear(fault);
    return cof_taglist_add(&list, tags, count, fault);
}

int coffer_tags_set(struct coffer_store *store, const struct coffer_tags_opts *opts,
                    const struct coffer_tag *tags, size_t count, struct coffer_fault *fault)
{
    struct tagging tagging = {
        .store = store, .opts = opts, .fault = fault, .set = tags, .count = count};
    return change(&tagging, tags != NULL && count > 0);
}

int coffer_tags_remove(struct coffer_store *store, const struct coffer_tags_opts *opts,
                       const char *const *keys, size_t count, struct coffer_fault *fault)
{
    struct tagging tagging = {
        .store = store, .opts = opts, .fault = fault, .keys = keys, .count = count};
    bool valid = true;
    for (size_t i = 0; valid && i < count; i++) {
        valid = keys != NULL && keys[i] != NULL;
    }
    return change(&tagging, valid);
}

static int read_list(const struct tagging *tagging, struct cof_tag_bytes *ret_list)
{
    struct cof_catalogue_item *item;
    struct coffer_volume *twin;
    struct cof_item_key key;
    int err = find(tagging, &item);
    if (err == 0) {
        err = open_twin(tagging, item, &key, &twin);
    }
    if (err != 0) {
        return err;
    }
    err = cof_taglist_read(twin, ret_list);
    close_twin(twin, &key);
    return err == 0 ? 0
                    : cof_fault(tagging->fault, err, COFFER_STAGE_ROOT, "the tags do not read: %s",
                                coffer_error_sentence(err));
}

static int visit_list(const struct cof_taglist *list,
                      int (*visit)(void *ctx, const struct coffer_tag *tag), void *ctx)
{
    char key[COF_TAG_KEY_BYTES_MAX + 1u], value[COF_TAG_VALUE_BYTES_MAX + 1u];
    int stop = 0;
    for (unsigned i = 0; stop == 0 && i < list->count; i++) {
        const struct cof_tag *tag = &list->tags[i];
        const struct coffer_tag shown = {key, value};
        memcpy(key, tag->key, tag->key_bytes);
        key[tag->key_bytes] = '\0';
        memcpy(value, tag->value, tag->value_bytes);
        value[tag->value_bytes] = '\0';
        stop = visit(ctx, &shown);
    }
    return stop;
}

int coffer_tags_visit(struct coffer_store *store, const struct coffer_tags_opts *opts,
                      int (*visit)(void *ctx, const struct coffer_tag *tag), void *ctx,
                      struct coffer_fault *fault)
{
    struct tagging tagging = {.store = store, .opts = opts, .fault = fault};
    struct cof_tag_bytes bytes = {NULL, 0};
    struct cof_taglist list;
    int err;
    cof_fault_clear(fault);
    if (!opts_fit(opts)) {
        return cof_fault(fault, COFFER_E_INVALID, COFFER_STAGE_NONE,
                         "the name or the options are not valid");
    }
    pthread_mutex_lock(&store->admin);
    pthread_mutex_lock(&store->lock);
    err = read_list(&tagging, &bytes);
    pthread_mutex_unlock(&store->lock);
    pthread_mutex_unlock(&store->admin);
    if (err == 0) {
        err = cof_taglist_unpack(&bytes, &list);
    }
    err = err == 0 ? visit_list(&list, visit, ctx) : finish(&tagging, err);
    cof_tag_bytes_done(&store->env, &bytes);
    return err;
}
