/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume/grant.c - the grant by which the engine uses a volume's master key.
 *
 * Who makes a volume has to have the right to grant the key; from then on the engine uses it by
 * its own grant, so that what becomes of the maker's rights is nothing to the volume. The grant is
 * for the encryption context that names the volume, whatever its volume keys are. Its id stands in
 * clear in the entry, and in those of the volume's snapshots, which have the same context: with the
 * last of them it is retired, which needs no key.
 *
 * A crash between the grant and the root that has its entry leaves a grant that nothing uses. Its
 * name says whose it was, "coffer:STORE:VOLUME:..." (uuids), so that it can be found and retired;
 * until then it lets the engine use the key for a volume that never was.
 *
 * A provider without grants (a token, say) makes none. admin and lock are held; lock is let go
 * while the key service is asked.
 */
#include "volume/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NAME_BYTES_MAX 112u

static const char *const operations[] = {
    "Decrypt",       "DescribeKey", "GenerateDataKeyWithoutPlaintext",
    "ReEncryptFrom", "ReEncryptTo", "RetireGrant"};

const struct coffer_key_provider *cof_grant_caller(const struct coffer_key_provider *caller,
                                                   const struct coffer_key_provider *provider)
{
    return caller != NULL ? caller : provider;
}

/* As it says itself; else the engine of the key's own account. */
static int name_grantee(const struct coffer_key_provider *provider, const char *arn,
                        char ret_grantee[COFFER_PRINCIPAL_BYTES_MAX])
{
    const struct coffer_key_provider_ops *ops = provider->ops;
    char partition[32], account[32];
    int err = COFFER_E_UNSUPPORTED;
    if (ops->size > offsetof(struct coffer_key_provider_ops, principal) && ops->principal != NULL) {
        err = ops->principal(provider->ctx, ret_grantee);
    }
    if (err == COFFER_E_UNSUPPORTED &&
        sscanf(arn, "arn:%31[^:]:kms:%*[^:]:%31[^:]:", partition, account) == 2) {
        snprintf(ret_grantee, COFFER_PRINCIPAL_BYTES_MAX, "arn:%s:iam::%s:role/coffer-engine",
                 partition, account);
        err = 0;
    }
    return err;
}

/* One grant, however often it is asked for; and another one the next time. */
static int name_grant(struct coffer_store *store, const char *volume, char ret_name[NAME_BYTES_MAX])
{
    char uuid[37];
    uint64_t random;
    int err = cof_random(&store->env, &random, sizeof random);
    cof_uuid_text(store->root.store_uuid, uuid);
    snprintf(ret_name, NAME_BYTES_MAX, "coffer:%s:%s:%016" PRIx64, uuid, volume, random);
    return err;
}

struct wanted {
    char grantee[COFFER_PRINCIPAL_BYTES_MAX], name[NAME_BYTES_MAX], volume[37];
};

static int ask(struct coffer_store *store, const struct wanted *wanted, const char *arn,
               const struct coffer_key_provider *caller, char ret_id[COF_GRANT_ID_MAX + 1u])
{
    const struct coffer_context_pair pair = {COF_CONTEXT_VOLUME, wanted->volume};
    const struct coffer_context context = {&pair, 1};
    int err;
    pthread_mutex_unlock(&store->lock);
    err = caller->ops->create_grant(caller->ctx, arn, wanted->grantee, wanted->name, operations,
                                    sizeof operations / sizeof operations[0], &context, ret_id);
    pthread_mutex_lock(&store->lock);
    return err;
}

int cof_grant_make(struct coffer_store *store, struct cof_catalogue_item *item, const char *arn,
                   const struct coffer_key_provider *caller,
                   const struct coffer_key_provider *provider, struct coffer_fault *fault)
{
    char id[COF_GRANT_ID_MAX + 1u] = "";
    struct wanted wanted;
    size_t bytes;
    int err;
    item->entry.grant_bytes = 0;
    cof_uuid_text(cof_context_uuid(item), wanted.volume);
    err = caller->ops->create_grant == NULL ? COFFER_E_UNSUPPORTED
                                            : name_grantee(provider, arn, wanted.grantee);
    if (err == 0) {
        err = name_grant(store, wanted.volume, wanted.name);
    }
    if (err == 0) {
        err = ask(store, &wanted, arn, caller, id);
    }
    if (err == COFFER_E_UNSUPPORTED) {
        return 0;
    }
    bytes = strnlen(id, sizeof id);
    if (err == 0 && (bytes == 0 || bytes > COF_GRANT_ID_MAX)) {
        err = COFFER_E_KEY_CIPHERTEXT;
    }
    if (err != 0) {
        return cof_fault(fault, err, COFFER_STAGE_KEY, "no grant for the engine on %.80s: %s", arn,
                         coffer_error_sentence(err));
    }
    memset(item->grant_id, 0, sizeof item->grant_id);
    memcpy(item->grant_id, id, bytes);
    item->entry.grant_bytes = (uint8_t)bytes;
    store->root.ro_compat |= COF_RO_COMPAT_GRANTS;
    return 0;
}

void cof_grant_share(struct cof_catalogue_item *to, const struct cof_catalogue_item *from)
{
    memcpy(to->grant_id, from->grant_id, sizeof to->grant_id);
    to->entry.grant_bytes = from->entry.grant_bytes;
}

int coffer_store_has_grant(struct coffer_store *store, const char *grant_id)
{
    size_t bytes = strlen(grant_id);
    bool found = false;
    pthread_mutex_lock(&store->lock);
    for (const struct cof_catalogue_item *item = store->items; item != NULL; item = item->next) {
        found = found || (bytes > 0 && item->entry.grant_bytes == bytes &&
                          memcmp(item->grant_id, grant_id, bytes) == 0);
    }
    pthread_mutex_unlock(&store->lock);
    return found ? 1 : 0;
}

static bool is_used(const struct coffer_store *store, const struct cof_catalogue_item *gone)
{
    for (const struct cof_catalogue_item *item = store->items; item != NULL; item = item->next) {
        if (item != gone && item->entry.grant_bytes == gone->entry.grant_bytes &&
            memcmp(item->grant_id, gone->grant_id, gone->entry.grant_bytes) == 0) {
            return true;
        }
    }
    return false;
}

static void retire(struct coffer_store *store, struct cof_catalogue_item *item, const char *arn,
                   const struct coffer_key_provider *provider)
{
    char id[COF_GRANT_ID_MAX + 1u] = "";
    int err = COFFER_E_NO_PROVIDER;
    memcpy(id, item->grant_id, item->entry.grant_bytes);
    item->entry.grant_bytes = 0;
    if (provider != NULL && provider->ops != NULL && provider->ops->retire_grant != NULL) {
        pthread_mutex_unlock(&store->lock);
        err = provider->ops->retire_grant(provider->ctx, arn, id);
        pthread_mutex_lock(&store->lock);
    }
    if (err != 0 && err != COFFER_E_NOT_FOUND && err != COFFER_E_GRANT_ID) {
        cof_log(&store->env, COFFER_LOG_WARN,
                "the grant %.16s... on %s is of no use any more and could not be retired: %s", id,
                arn, coffer_error_sentence(err));
    }
}

void cof_grant_release(struct coffer_store *store, struct cof_catalogue_item *item,
                       const struct coffer_key_provider *provider)
{
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    if (item->entry.grant_bytes > 0 && !is_used(store, item)) {
        cof_item_owner(item, arn);
        retire(store, item, arn, provider);
    }
}

void cof_grant_undo(struct coffer_store *store, struct cof_catalogue_item *item, const char *arn,
                    const struct coffer_key_provider *provider)
{
    if (item->entry.grant_bytes > 0 && store->error == 0) {
        retire(store, item, arn, provider);
    }
}
