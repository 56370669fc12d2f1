/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/reencrypt.c - deep re-encryption: the calls.
 *
 *   begin --> round: successors listed --> an extent a step --> no more --> round ... --> over
 *
 * What is left to do stands in the tables of data keys (which leave) and in the placement table
 * (what they sealed): so it goes on after anything, from what is there. The new data keys are this
 * process's alone; another one lists its own.
 *
 * begin takes admin and lock, a step the lock, and admin too where a round ends.
 */
#include "volume/reencrypt.h"

#include <string.h>

/* ---- life ---- */

void cof_reencrypt_free(struct cof_reencrypt *run)
{
    struct cof_env *env;
    if (run == NULL) {
        return;
    }
    env = &run->store->env;
    cof_turns_done(&run->turns);
    cof_reader_done(&run->reader);
    cof_aead_free(run->aead);
    if (run->copy != NULL) {
        cof_free_aligned(env, run->copy->buffer);
    }
    cof_free(env, run->copy);
    cof_free(env, run->damaged_keys);
    cof_free(env, run);
}

static int run_new(struct coffer_store *store, const struct coffer_reencrypt_opts *opts,
                   struct coffer_fault *fault, struct cof_reencrypt **ret_run)
{
    struct cof_env *env = &store->env;
    struct cof_reencrypt *run = cof_calloc(env, 1, sizeof *run);
    int err;
    if (run == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    run->store = store;
    run->caller = cof_grant_caller(opts->caller, opts->provider);
    run->provider = opts->provider;
    run->fault = fault;
    run->rate = opts->bytes_per_second_max;
    run->turns.env = env;
    run->copy = cof_calloc(env, 1, sizeof *run->copy);
    if (run->copy != NULL) {
        run->copy->buffer = cof_alloc_aligned(env, COF_IMPORT_BUFFER_BYTES);
    }
    err = run->copy == NULL || run->copy->buffer == NULL
              ? COFFER_E_NO_MEMORY
              : cof_aead_new(env, store->arena, &run->aead);
    if (err == 0) {
        err = cof_reader_init(&run->reader, store->dev, 1);
    }
    if (err != 0) {
        cof_reencrypt_free(run);
        return err;
    }
    *ret_run = run;
    return 0;
}

/* ---- how far it is ---- */

static void fill_status(const struct cof_reencrypt *run, struct coffer_reencrypt_status *status)
{
    uint64_t done = run->extents > run->left ? run->extents - run->left : 0;
    uint64_t now = cof_monotonic_ns(&run->store->env);
    done += run->round_done;
    memset(status, 0, sizeof *status);
    status->size = sizeof *status;
    status->state = run->done ? COFFER_REENCRYPT_DONE : COFFER_REENCRYPT_BEGUN;
    status->extents = run->extents;
    status->extents_done = done < run->extents ? done : run->extents;
    status->extents_damaged = run->damaged;
    status->bytes_left = run->pages_left > run->round_pages
                             ? (run->pages_left - run->round_pages) * COF_PAGE_BYTES
                             : 0;
    status->old_keys = run->keys_left;
    status->wait_ns = run->due_ns > now ? run->due_ns - now : 0;
}

static int finish(struct coffer_store *store, int err, struct coffer_fault *fault)
{
    pthread_mutex_unlock(&store->lock);
    pthread_mutex_unlock(&store->admin);
    if (err < 0 && fault != NULL && fault->error == 0) {
        cof_fault(fault, err, COFFER_STAGE_KEY, "%s", coffer_error_sentence(err));
    }
    return err;
}

/* ---- begin ---- */

/* Whether keys are leaving already. */
static int is_begun(struct cof_reencrypt *run, bool *ret_begun)
{
    struct coffer_reencrypt_status status;
    int err = cof_reencrypt_survey(run->store, run->family, &status);
    if (err == 0) {
        run->extents = status.extents;
        *ret_begun = status.state == COFFER_REENCRYPT_BEGUN;
    }
    return err;
}

/* Whether the volume is under another key than the one that is asked for. */
static int wants_other_key(struct cof_reencrypt *run, const struct cof_catalogue_item *item,
                           const char *kms_key_id, bool *ret_other)
{
    struct coffer_key_info info;
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    int err;
    *ret_other = false;
    if (kms_key_id == NULL) {
        return 0;
    }
    cof_item_owner(item, arn);
    err = cof_key_resolve(run->store, run->caller, kms_key_id, &info, run->fault);
    *ret_other = err == 0 && strcmp(info.arn, arn) != 0;
    return err;
}

/* New volume keys first: who had the old ones would open the new data keys with them. */
static int renew_volume_keys(struct cof_reencrypt *run, const struct coffer_reencrypt_opts *opts)
{
    const struct coffer_rekey_opts rekey = {.size = sizeof rekey,
                                            .volume = opts->volume,
                                            .kms_key_id = opts->kms_key_id,
                                            .depth = COFFER_REKEY_DATA,
                                            .provider = opts->provider,
                                            .caller = opts->caller};
    return cof_volume_rekey_named(run->store, &rekey, run->fault);
}

static int begin(struct cof_reencrypt *run, const struct coffer_reencrypt_opts *opts)
{
    struct coffer_store *store = run->store;
    struct cof_catalogue_item *item;
    bool begun, other = false;
    int err = cof_catalogue_find(store, opts->volume, opts->provider, &item, run->fault);
    if (err == 0 && !item->entry.encrypted) {
        err = cof_fault(run->fault, COFFER_E_UNSUPPORTED, COFFER_STAGE_NONE,
                        "the volume is not encrypted: restore a snapshot of it under a key");
    }
    if (err == 0) {
        run->family = cof_family_of(item);
        err = is_begun(run, &begun);
    }
    if (err == 0 && begun) {
        err = wants_other_key(run, item, opts->kms_key_id, &other);
    } else if (err == 0) {
        err = cof_reencrypt_probe(run);
    }
    if (err == 0 && (!begun || other)) {
        err = renew_volume_keys(run, opts);
    }
    return err == 0 ? cof_reencrypt_round(run, !begun) : err;
}

int coffer_reencrypt_begin(struct coffer_store *store, const struct coffer_reencrypt_opts *opts,
                           struct coffer_fault *fault)
{
    struct cof_reencrypt *run = NULL;
    bool valid = cof_reencrypt_valid(opts);
    int err = cof_rekey_check_call(store, valid, valid ? opts->provider : NULL, fault);
    if (err != 0) {
        return err;
    }
    pthread_mutex_lock(&store->admin);
    pthread_mutex_lock(&store->lock);
    err = store->error != 0          ? COFFER_E_FAILED
          : store->reencrypt != NULL ? cof_fault(fault, COFFER_E_BUSY, COFFER_STAGE_NONE,
                                                 "a deep re-encrypt is under way in this store")
                                     : run_new(store, opts, fault, &run);
    if (err == 0) {
        err = begin(run, opts);
        if (err == 0) {
            run->fault = NULL;
            store->reencrypt = run;
        } else {
            cof_reencrypt_free(run);
        }
    }
    return finish(store, err, fault);
}

/* ---- steps ---- */

/* Over; or why not. */
static int conclude(const struct cof_reencrypt *run)
{
    if (run->done || !run->stuck) {
        return run->done ? 0 : 1;
    }
    if (run->damaged == 0) {
        return cof_fault(run->fault, COFFER_E_BUSY, COFFER_STAGE_NONE,
                         "some extents can't be moved now: begin again later");
    }
    if (run->fault != NULL) {
        *run->fault = run->damage;
    }
    return run->damage.error;
}

/* The lock is held, and let go to take admin before it. */
static int next_round(struct cof_reencrypt *run)
{
    struct coffer_store *store = run->store;
    int err;
    pthread_mutex_unlock(&store->lock);
    pthread_mutex_lock(&store->admin);
    pthread_mutex_lock(&store->lock);
    err = cof_reencrypt_flush(run);
    if (err == 0) {
        err = cof_reencrypt_round(run, false);
    }
    pthread_mutex_unlock(&store->admin);
    return err;
}

static int step(struct cof_reencrypt *run)
{
    int err;
    if (run->done || run->stuck ||
        (run->rate != 0 && cof_monotonic_ns(&run->store->env) < run->due_ns)) {
        return conclude(run);
    }
    err = run->turns.count > 0 ? cof_reencrypt_extent(run) : COFFER_E_NOT_FOUND;
    if (err == COFFER_E_NOT_FOUND) {
        run->walked = run->turns.count > 0;
        err = next_round(run);
    }
    return err == 0 ? conclude(run) : err == COFFER_E_AGAIN ? 1 : err;
}

int coffer_reencrypt_step(struct coffer_store *store, struct coffer_reencrypt_status *ret_status,
                          struct coffer_fault *fault)
{
    struct cof_reencrypt *run;
    int err;
    cof_fault_clear(fault);
    pthread_mutex_lock(&store->lock);
    run = store->reencrypt;
    if (run == NULL || run->busy || store->error != 0) {
        err = run == NULL ? COFFER_E_INVALID : run->busy ? COFFER_E_BUSY : COFFER_E_FAILED;
    } else {
        run->busy = true;
        run->fault = fault;
        err = step(run);
        run->fault = NULL;
        run->busy = false;
        if (ret_status != NULL) {
            fill_status(run, ret_status);
        }
    }
    pthread_mutex_unlock(&store->lock);
    if (err < 0 && fault != NULL && fault->error == 0) {
        cof_fault(fault, err, COFFER_STAGE_NONE, "the re-encryption stops: %s",
                  coffer_error_sentence(err));
    }
    return err;
}

void coffer_reencrypt_end(struct coffer_store *store)
{
    pthread_mutex_lock(&store->lock);
    if (store->reencrypt != NULL && store->error == 0) {
        (void)!cof_reencrypt_flush(store->reencrypt); /* what fails is done again */
    }
    cof_reencrypt_free(store->reencrypt);
    store->reencrypt = NULL;
    pthread_mutex_unlock(&store->lock);
}
