/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/reencrypt_kin.c - the members of a family, brought together while their tables change.
 *
 * Those that are open stay open; others are opened for the purpose: a volume for writing, which
 * ends the ranges of its keys and puts what its log still has into its tree; a snapshot for
 * reading.
 * admin and lock are held; lock is let go while the key service is asked.
 */
#include "volume/reencrypt.h"

#include <string.h>

static bool is_kin(const struct cof_reencrypt *run, const struct cof_catalogue_item *item)
{
    return item->entry.encrypted && cof_family_of(item) == run->family;
}

static void forget_successors(struct cof_kin *kin, struct cof_env *env)
{
    cof_free(env, kin->successors);
    kin->successors = NULL;
    kin->successor_count = 0;
}

int cof_kin_part(struct cof_reencrypt *run)
{
    struct coffer_store *store = run->store;
    int err = store->error == 0 ? cof_checkpoint_settle(store) : COFFER_E_FAILED;
    for (unsigned i = 0; i < run->kin_count; i++) {
        struct cof_kin *kin = &run->kin[i];
        forget_successors(kin, &store->env);
        if (!kin->borrowed || kin->volume == NULL) {
            continue;
        }
        if (kin->volume->read_only) {
            cof_volume_drop(kin->volume);
        } else {
            int left = cof_volume_leave(kin->volume);
            err = err != 0 ? err : left;
        }
    }
    cof_free(&store->env, run->kin);
    run->kin = NULL;
    run->kin_count = 0;
    return err;
}

static int list_kin(struct cof_reencrypt *run)
{
    struct coffer_store *store = run->store;
    run->kin = cof_calloc(&store->env, store->item_count + 1u, sizeof *run->kin);
    if (run->kin == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    for (struct cof_catalogue_item *item = store->items; item != NULL; item = item->next) {
        if (is_kin(run, item)) {
            if (item->entry.kind == COF_KIND_COPYING) {
                return cof_fault(run->fault, COFFER_E_BUSY, COFFER_STAGE_NONE,
                                 "a copy that shares pages with the volume is not whole: go on "
                                 "with it, or delete it");
            }
            if (item->open != NULL && item->open->read_only &&
                item->entry.kind == COF_KIND_VOLUME) {
                /* What its log did to its keys is in memory only, and not to be written. */
                return cof_fault(run->fault, COFFER_E_BUSY, COFFER_STAGE_NONE,
                                 "a volume of the family is open for reading only: close it, or "
                                 "open it for writing");
            }
            run->kin[run->kin_count].item = item;
            run->kin[run->kin_count++].volume = item->open;
        }
    }
    return 0;
}

/* Open those that are not: volumes for writing, which ends the ranges of their keys. */
static int open_kin(struct cof_reencrypt *run, bool for_writing)
{
    for (unsigned i = 0; i < run->kin_count; i++) {
        struct cof_kin *kin = &run->kin[i];
        bool writable = for_writing && kin->item->entry.kind == COF_KIND_VOLUME;
        int err;
        if (kin->volume != NULL) {
            continue;
        }
        err = cof_volume_open_item(run->store, kin->item, writable ? 0u : COFFER_VOLUME_READ_ONLY,
                                   run->provider, &kin->volume, run->fault);
        if (err != 0) {
            return err;
        }
        kin->borrowed = true;
    }
    return 0;
}

int cof_kin_meet(struct cof_reencrypt *run)
{
    bool wrote = false;
    int err = list_kin(run);
    if (err == 0) {
        err = open_kin(run, true);
    }
    for (unsigned i = 0; i < run->kin_count; i++) {
        wrote = wrote || (run->kin[i].borrowed && !run->kin[i].volume->read_only);
    }
    return err == 0 && wrote ? cof_checkpoint_run(run->store, false) : err;
}

int cof_reencrypt_probe(struct cof_reencrypt *run)
{
    int left, err = list_kin(run);
    for (unsigned i = 0; err == 0 && i < run->kin_count; i++) {
        if (run->kin[i].volume != NULL) {
            err = cof_fault(run->fault, COFFER_E_BUSY, COFFER_STAGE_NONE,
                            "the volume, or one that shares pages with it, is open: close it "
                            "first");
        }
    }
    if (err == 0) {
        err = open_kin(run, false);
    }
    left = cof_kin_part(run);
    return err != 0 ? err : left;
}
