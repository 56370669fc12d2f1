/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/lease.c - the key of an open volume is lent: asking for it again, and its end.
 *
 *   asked --unwraps--> end = when it was asked + length; next after half of it
 *     |   --silent---> next after a back-off; the end stays
 *     +---refused, or the end came--> refused: no request begins; then cof_access_stop
 *
 * Invariants
 *  1. No lock is held while the provider is asked. It is asked with copies; whoever asked finds the
 *     volume again by its ticket, and a handle is not freed meanwhile.
 *  2. The end holds without anybody's help: each request looks at the clock before it begins.
 *  3. A volume is stopped without requests in flight, under admin: nothing else works with it.
 *  4. Wrong key bytes are no answer. What was unwrapped is compared with its commitment and wiped.
 */
#include "volume/store.h"

#include <string.h>

#define BACKOFF_NS UINT64_C(1000000000)

bool cof_key_is_refused(int error)
{
    return error == COFFER_E_KEY_ACCESS || error == COFFER_E_KEY_DISABLED ||
           error == COFFER_E_KEY_NOT_FOUND || error == COFFER_E_NOT_FOUND ||
           error == COFFER_E_KEY_STATE || error == COFFER_E_KEY_CIPHERTEXT ||
           error == COFFER_E_KEY_USAGE || error == COFFER_E_KEY_INCORRECT;
}

/* ---- when ---- */

static bool is_asked(const struct coffer_volume *volume)
{
    return volume->lease.provider.ops != NULL && volume->lease.refused == 0;
}

/* Requests ask only when nobody else does, in the last quarter. */
static uint64_t due_ns(const struct cof_lease *lease, bool early)
{
    uint64_t late = lease->end_ns - lease->length_ns / 4u;
    return early || lease->next_ns > late ? lease->next_ns : late;
}

void cof_lease_schedule(struct coffer_store *store)
{
    store->lease_early_ns = UINT64_MAX;
    store->lease_late_ns = UINT64_MAX;
    for (const struct coffer_volume *volume = store->volumes; volume != NULL;
         volume = volume->next) {
        const struct cof_lease *lease = &volume->lease;
        uint64_t early = lease->end_ns, late = lease->end_ns;
        if (lease->provider.ops == NULL || (lease->refused != 0 && !lease->may_stop)) {
            continue;
        }
        if (lease->refused != 0) {
            early = lease->next_ns;
            late = lease->next_ns;
        } else if (!lease->asking) {
            early = due_ns(lease, true) < early ? due_ns(lease, true) : early;
            late = due_ns(lease, false) < late ? due_ns(lease, false) : late;
        }
        store->lease_early_ns = early < store->lease_early_ns ? early : store->lease_early_ns;
        store->lease_late_ns = late < store->lease_late_ns ? late : store->lease_late_ns;
    }
}

bool cof_lease_due(struct coffer_store *store, bool early)
{
    uint64_t due = early ? store->lease_early_ns : store->lease_late_ns;
    return due != UINT64_MAX && cof_monotonic_ns(&store->env) >= due;
}

void cof_lease_begin(struct coffer_volume *volume, const struct coffer_key_provider *provider,
                     uint64_t length_ns, uint64_t began_ns)
{
    struct cof_lease *lease = &volume->lease;
    if (!volume->encrypted) {
        return;
    }
    lease->provider = *provider;
    lease->length_ns = length_ns;
    lease->end_ns = began_ns + length_ns;
    lease->next_ns = began_ns + length_ns / 2u;
    lease->ticket = ++volume->store->next_ticket;
    cof_lease_schedule(volume->store);
}

void cof_lease_lend(struct coffer_volume *volume, uint64_t length_ns)
{
    struct cof_lease *lease = &volume->lease;
    lease->may_stop = true;
    if (lease->provider.ops != NULL) {
        lease->end_ns = lease->end_ns - lease->length_ns + length_ns;
        lease->next_ns = lease->end_ns - length_ns / 2u;
        lease->length_ns = length_ns;
        cof_lease_schedule(volume->store);
    }
}

bool cof_lease_over(const struct coffer_volume *volume)
{
    const struct cof_lease *lease = &volume->lease;
    return volume->stopped || lease->refused != 0 ||
           (lease->provider.ops != NULL && cof_monotonic_ns(&volume->store->env) >= lease->end_ns);
}

int cof_lease_check(const struct coffer_volume *volume, struct coffer_fault *fault)
{
    int why = volume->lease.refused != 0 ? volume->lease.refused : COFFER_E_KEY_UNREACHABLE;
    return !cof_lease_over(volume)
               ? 0
               : cof_fault(fault, COFFER_E_INACCESSIBLE_CREDENTIALS, COFFER_STAGE_KEY,
                           "inaccessible-encryption-credentials: %s: mend the key, then start the "
                           "volume",
                           coffer_error_sentence(why));
}

/* ---- asking ---- */

/* Wraps of recipients are for keys that the owner's state says nothing of. */
static int describe(struct coffer_store *store, const struct cof_catalogue_item *copy,
                    const struct coffer_key_provider *provider)
{
    struct coffer_key_info info;
    struct coffer_key_blob blob;
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    int err = cof_ring_wrap_at(copy, 0, arn, &blob);
    if (err != 0 || cof_ring_wraps(copy) != 1) {
        return 0;
    }
    memset(&info, 0, sizeof info);
    pthread_mutex_unlock(&store->lock);
    err = provider->ops->describe(provider->ctx, arn, &info);
    pthread_mutex_lock(&store->lock);
    if (err != 0) { /* who may not describe may unwrap all the same, and that is what counts */
        return cof_key_is_refused(err) ? 0 : err;
    }
    switch (info.state) {
    case COFFER_KEY_ENABLED:
        return 0;
    case COFFER_KEY_IS_DISABLED:
        return COFFER_E_KEY_DISABLED;
    case COFFER_KEY_UNAVAILABLE:
        return COFFER_E_KEY_UNREACHABLE;
    default:
        return COFFER_E_KEY_STATE;
    }
}

static int inquire(struct coffer_store *store, const struct cof_catalogue_item *item,
                   const struct coffer_key_provider *provider)
{
    struct cof_catalogue_item copy;
    struct cof_vk *vk = NULL;
    uint8_t uuid[16];
    int err;
    memset(&copy, 0, sizeof copy);
    copy.entry = item->entry;
    err = cof_ring_copy(store, item, &copy);
    if (err == 0) {
        err = describe(store, &copy, provider);
    }
    if (err == 0) {
        err = cof_keyring_unwrap(store, &copy, provider, &vk, uuid, NULL);
    }
    cof_vk_free(vk);
    cof_free(&store->env, copy.ring);
    return err;
}

static void settle(struct coffer_volume *volume, int err, uint64_t began_ns)
{
    struct cof_env *env = &volume->store->env;
    struct cof_lease *lease = &volume->lease;
    if (volume->stopped || lease->refused != 0) {
        return;
    }
    if (err == 0) {
        lease->end_ns = began_ns + lease->length_ns;
        lease->next_ns = began_ns + lease->length_ns / 2u;
        lease->backoff_ns = 0;
    } else if (cof_key_is_refused(err)) {
        lease->refused = err;
        lease->next_ns = 0;
        cof_log(env, COFFER_LOG_ERROR, "the key of volume %u is refused, and it stops: %s",
                volume->number, coffer_error_sentence(err));
    } else {
        uint64_t most = lease->length_ns / 8u;
        lease->backoff_ns = lease->backoff_ns == 0 ? BACKOFF_NS : lease->backoff_ns * 2u;
        lease->backoff_ns = lease->backoff_ns < most ? lease->backoff_ns : most;
        lease->next_ns = cof_monotonic_ns(env) + lease->backoff_ns;
        cof_log(env, COFFER_LOG_WARN,
                "the key service gives no word on the key of volume %u, which goes on for now: %s",
                volume->number, coffer_error_sentence(err));
    }
}

static struct coffer_volume *by_ticket(struct coffer_volume *volume, uint64_t ticket)
{
    while (volume != NULL && volume->lease.ticket != ticket) {
        volume = volume->next;
    }
    return volume;
}

/* The lock is held, and let go meanwhile. */
static void ask(struct coffer_volume *volume)
{
    struct coffer_store *store = volume->store;
    const struct coffer_key_provider provider = volume->lease.provider;
    uint64_t ticket = volume->lease.ticket, began = cof_monotonic_ns(&store->env);
    int err;
    volume->lease.asking = true;
    cof_lease_schedule(store);
    err = inquire(store, volume->item, &provider);
    volume = by_ticket(store->volumes, ticket);
    volume = volume != NULL ? volume : by_ticket(store->stopped, ticket);
    volume->lease.asking = false; /* its handle waits for that */
    settle(volume, err, began);
    pthread_cond_broadcast(&store->answered);
}

void cof_lease_wait(struct coffer_volume *volume)
{
    while (volume->lease.asking) {
        pthread_cond_wait(&volume->store->answered, &volume->store->lock);
    }
}

/* ---- a slice ---- */

static struct coffer_volume *next_due(struct coffer_store *store, bool early)
{
    uint64_t now = cof_monotonic_ns(&store->env);
    struct coffer_volume *volume = store->volumes;
    while (volume != NULL && (!is_asked(volume) || volume->lease.asking ||
                              now < due_ns(&volume->lease, early) || now >= volume->lease.end_ns)) {
        volume = volume->next;
    }
    return volume;
}

/* Leases that ended without an answer. */
static void expire(struct coffer_store *store)
{
    uint64_t now = cof_monotonic_ns(&store->env);
    for (struct coffer_volume *volume = store->volumes; volume != NULL; volume = volume->next) {
        if (is_asked(volume) && now >= volume->lease.end_ns) {
            volume->lease.refused = COFFER_E_KEY_UNREACHABLE;
            volume->lease.next_ns = 0;
            cof_log(&store->env, COFFER_LOG_ERROR,
                    "the lease of the key of volume %u is over, and it stops", volume->number);
        }
    }
}

static struct coffer_volume *next_to_stop(struct coffer_store *store)
{
    uint64_t now = cof_monotonic_ns(&store->env);
    struct coffer_volume *volume = store->volumes;
    while (volume != NULL && (volume->lease.refused == 0 || !volume->lease.may_stop ||
                              volume->requests > 0 || now < volume->lease.next_ns)) {
        volume = volume->next;
    }
    return volume;
}

/* admin and lock are held. Without room for its last checkpoint a volume is tried again later. */
static void stop_all(struct coffer_store *store)
{
    struct coffer_volume *volume;
    while ((volume = next_to_stop(store)) != NULL) {
        int err = cof_access_stop(volume, volume->lease.refused);
        if (err != 0 && !volume->stopped) {
            volume->lease.next_ns = cof_monotonic_ns(&store->env) + BACKOFF_NS;
            cof_log(&store->env, COFFER_LOG_WARN,
                    "volume %u takes no requests, and keeps its keys until it can be "
                    "checkpointed: %s",
                    volume->number, coffer_error_sentence(err));
        }
    }
}

void cof_lease_run(struct coffer_store *store, bool early)
{
    struct coffer_volume *volume;
    bool any;
    pthread_mutex_lock(&store->lock);
    if (!cof_lease_due(store, early)) {
        pthread_mutex_unlock(&store->lock);
        return;
    }
    while ((volume = next_due(store, early)) != NULL) {
        ask(volume);
    }
    expire(store);
    any = next_to_stop(store) != NULL;
    cof_lease_schedule(store);
    pthread_mutex_unlock(&store->lock);
    if (any && pthread_mutex_trylock(&store->admin) == 0) { /* who has it comes back here, too */
        pthread_mutex_lock(&store->lock);
        stop_all(store);
        cof_lease_schedule(store);
        pthread_mutex_unlock(&store->lock);
        pthread_mutex_unlock(&store->admin);
    }
}
