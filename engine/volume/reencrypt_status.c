/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/reencrypt_status.c - how far a deep re-encrypt is, from what stands in clear.
 *
 * Which keys leave is told by the tables, what they sealed by the placement table, and how much
 * there was at first by the entries. No key is needed but to find a name. Nothing is changed.
 */
#include "volume/reencrypt.h"

#include <string.h>

/* What a family began with; UINT64_MAX: nothing was begun. */
static uint64_t began_with(const struct coffer_store *store, uint32_t family)
{
    uint64_t extents = 0;
    for (const struct cof_catalogue_item *item = store->items; item != NULL; item = item->next) {
        if (cof_family_of(item) == family && item->entry.reencrypt > extents) {
            extents = item->entry.reencrypt;
        }
    }
    return extents - 1u;
}

static void look(const struct cof_turns *turns, uint64_t began,
                 struct coffer_reencrypt_status *status)
{
    uint64_t left = 0;
    bool leaving = false;
    memset(status, 0, sizeof *status);
    status->size = sizeof *status;
    if (began == UINT64_MAX) {
        return;
    }
    for (unsigned i = 0; i < turns->count; i++) {
        const struct cof_turn *turn = turns->list[i];
        if (turn->turn == COF_EK_LEAVING) {
            leaving = true;
            left += turn->extents;
            status->bytes_left += turn->pages * COF_PAGE_BYTES;
            status->old_keys += turn->extents > 0 ? 1u : 0u;
        }
    }
    status->state = leaving ? COFFER_REENCRYPT_BEGUN : COFFER_REENCRYPT_DONE;
    status->extents = began;
    status->extents_done = began > left ? began - left : 0;
}

/* The only entry whose hint fits: names are sealed. */
static int find_by_hint(struct coffer_store *store, const char *name,
                        struct cof_catalogue_item **ret_item, struct coffer_fault *fault)
{
    struct cof_catalogue_item *found = NULL;
    uint8_t hint;
    int err = cof_name_hint(store, name, &hint);
    for (struct cof_catalogue_item *item = store->items; err == 0 && item != NULL;
         item = item->next) {
        if (item->entry.name_hint == hint && item->entry.kind <= COF_KIND_SNAPSHOT) {
            err = found != NULL ? cof_fault(fault, COFFER_E_NO_PROVIDER, COFFER_STAGE_KEY,
                                            "names are sealed, and more than one may be \"%.63s\": "
                                            "give the key service",
                                            name)
                                : 0;
            found = item;
        }
    }
    if (err == 0 && found == NULL) {
        err = cof_fault(fault, COFFER_E_NOT_FOUND, COFFER_STAGE_NONE, "no volume \"%.63s\"", name);
    }
    if (err == 0) {
        *ret_item = found;
    }
    return err;
}

static int find(struct coffer_store *store, const struct coffer_reencrypt_opts *opts,
                struct cof_catalogue_item **ret_item, struct coffer_fault *fault)
{
    int err = COFFER_E_NO_PROVIDER;
    if (store->error != 0) {
        return COFFER_E_FAILED;
    }
    if (opts->provider != NULL) {
        err = cof_catalogue_find(store, opts->volume, opts->provider, ret_item, fault);
    }
    if (err != 0 && err != COFFER_E_NOT_FOUND) { /* no name can be read, for whatever reason */
        cof_fault_clear(fault);
        err = find_by_hint(store, opts->volume, ret_item, fault);
    }
    return err;
}

int cof_reencrypt_survey(struct coffer_store *store, uint32_t family,
                         struct coffer_reencrypt_status *ret_status)
{
    struct cof_turns turns = {.env = &store->env};
    int err = cof_turns_survey(&turns, store, family);
    if (err == 0) {
        look(&turns, began_with(store, family), ret_status);
    }
    cof_turns_done(&turns);
    return err;
}

bool cof_reencrypt_valid(const struct coffer_reencrypt_opts *opts)
{
    return opts != NULL && opts->size >= sizeof *opts && cof_check_full_name(opts->volume) == 0;
}

int coffer_reencrypt_status_get(struct coffer_store *store,
                                const struct coffer_reencrypt_opts *opts,
                                struct coffer_reencrypt_status *ret_status,
                                struct coffer_fault *fault)
{
    struct cof_catalogue_item *item;
    int err;
    cof_fault_clear(fault);
    if (!cof_reencrypt_valid(opts)) {
        return cof_fault(fault, COFFER_E_INVALID, COFFER_STAGE_NONE,
                         "the name or the options are not valid");
    }
    pthread_mutex_lock(&store->admin);
    pthread_mutex_lock(&store->lock);
    err = find(store, opts, &item, fault);
    if (err == 0) {
        err = cof_reencrypt_survey(store, cof_family_of(item), ret_status);
    }
    pthread_mutex_unlock(&store->lock);
    pthread_mutex_unlock(&store->admin);
    if (err != 0 && fault != NULL && fault->error == 0) {
        cof_fault(fault, err, COFFER_STAGE_KEY, "%s", coffer_error_sentence(err));
    }
    return err;
}
