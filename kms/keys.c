/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/keys.c - keys: found, described and listed.
 *
 * Invariant: an alias is followed, and a row believed, only after its MAC was checked (store.h).
 * Under the store's lock.
 */
#include "ledger.h"
#include "token_key.h"
#include "verbs.h"

#include <stdio.h>
#include <string.h>

/* ---- finding ----------------------------------------------------------------------------- */

int cof_kms_key_get(struct cof_kms_call *call, const char *arn, struct cof_kms_key_row *ret_row)
{
    static const uint8_t whole_key[COF_KMS_MATERIAL_ID_BYTES];
    uint64_t now_ns = cof_kms_wall_ns(&call->ks->env);
    int error;

    /* A store that may be written has destroyed it again when it was opened. */
    if (call->ks->read_only && cof_kms_ledger_has(call->ks->ledger, arn, whole_key)) {
        return cof_kms_fault(call->fault, COFFER_E_KEY_NOT_FOUND,
                             "%.90s was destroyed: this copy of the key store is older than that",
                             arn);
    }
    error = cof_kms_db_key_get(call->ks->db, arn, ret_row, call->fault);
    if (error != 0) {
        return error;
    }
    /* What is due counts even where it can't be done: in a store that is only read. */
    if (ret_row->deletion_ns != 0 && ret_row->deletion_ns <= now_ns) {
        return cof_kms_fault(call->fault, COFFER_E_KEY_NOT_FOUND, "%.110s has been deleted", arn);
    }
    if (ret_row->valid_to_ns != 0 && ret_row->valid_to_ns <= now_ns &&
        ret_row->state == COFFER_KEY_ENABLED) {
        ret_row->state = COFFER_KEY_PENDING_IMPORT;
    }
    return cof_kms_token_key_look(call, ret_row);
}

static int follow_alias(struct cof_kms_call *call, const struct cof_kms_key_ref *ref,
                        struct cof_kms_key_row *ret_row)
{
    const char *name = ref->alias;
    struct cof_kms_alias_row alias;
    int error = cof_kms_db_alias_get(call->ks->db, &ref->owner, name, &alias, call->fault);

    if (error == COFFER_E_NOT_FOUND && strcmp(name, COFFER_ALIAS_DEFAULT) == 0 &&
        strcmp(ref->owner.account, call->owner.account) == 0 && !call->ks->read_only) {
        return cof_kms_key_make_default(call, ret_row);
    }
    if (error == COFFER_E_NOT_FOUND) {
        return cof_kms_fault(call->fault, COFFER_E_KEY_NOT_FOUND,
                             "there is no %.80s in this key store: see list-aliases", name);
    }
    return error == 0 ? cof_kms_key_get(call, alias.key_arn, ret_row)
                      : error;
}

int cof_kms_key_find(struct cof_kms_call *call, const char *key, bool only_id,
                     struct cof_kms_key_row *ret_row)
{
    struct cof_kms_key_ref ref;
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    int error = cof_kms_key_parse(&call->owner, key, &ref, call->fault);

    if (error != 0) {
        return error;
    }
    if (only_id && ref.is_alias) {
        return cof_kms_fault(call->fault, COFFER_E_INVALID,
                             "%.60s is an alias and %s takes none: give the key id or key ARN",
                             ref.alias, call->event);
    }
    cof_kms_key_arn(&ref.owner, ref.key_id, arn);
    error = ref.is_alias ? follow_alias(call, &ref, ret_row)
                         : cof_kms_key_get(call, arn, ret_row);
    if (error == 0) {
        memcpy(call->arn, ret_row->arn, sizeof(call->arn));
    }
    return error;
}

int cof_kms_key_usable(struct cof_kms_call *call, const struct cof_kms_key_row *row)
{
    if (row->state == COFFER_KEY_ENABLED) {
        return 0;
    }
    if (row->state == COFFER_KEY_IS_DISABLED) {
        return cof_kms_fault(call->fault, COFFER_E_KEY_DISABLED,
                             "%s is disabled: enable-key makes it usable", row->arn);
    }
    return cof_kms_fault(call->fault, COFFER_E_KEY_STATE, "%s is in state %s", row->arn,
                         coffer_keystore_state_name(row->state));
}

int cof_kms_key_changeable(struct cof_kms_call *call, const struct cof_kms_key_row *row)
{
    if (row->managed) {
        return cof_kms_fault(call->fault, COFFER_E_KEY_ACCESS,
                             "%s is a managed key, which the service keeps: %s is not for it",
                             row->key_id, call->event);
    }
    if (row->state == COFFER_KEY_PENDING_DELETION ||
        row->state == COFFER_KEY_PENDING_REPLICA_DELETION) {
        return cof_kms_fault(call->fault, COFFER_E_KEY_STATE, "%s is in state %s", row->arn,
                             coffer_keystore_state_name(row->state));
    }
    return 0;
}

const char *coffer_keystore_state_name(enum coffer_key_state state)
{
    switch (state) {
    case COFFER_KEY_ENABLED:
        return "Enabled";
    case COFFER_KEY_IS_DISABLED:
        return "Disabled";
    case COFFER_KEY_PENDING_DELETION:
        return "PendingDeletion";
    case COFFER_KEY_PENDING_IMPORT:
        return "PendingImport";
    case COFFER_KEY_UNAVAILABLE:
        return "Unavailable";
    case COFFER_KEY_CREATING:
        return "Creating";
    case COFFER_KEY_UPDATING:
        return "Updating";
    case COFFER_KEY_PENDING_REPLICA_DELETION:
        return "PendingReplicaDeletion";
    default:
        return "Unknown";
    }
}

/* ---- describe-key, list-keys ------------------------------------------------------------- */

int cof_kms_describe_key(struct cof_kms_call *call, const char *key,
                         struct cof_kms_key_row *ret_row)
{
    int error = cof_kms_key_find(call, key, false, ret_row);

    return error == 0 ? cof_kms_authorize(call, ret_row, "kms:DescribeKey") : error;
}

struct key_visit {
    struct cof_kms_lister lister;
    int (*visit)(void *ctx, const struct cof_kms_key_row *row);
    void *ctx;
};

static int visit_key(void *ctx, const struct cof_kms_key_row *row)
{
    struct key_visit *keys = ctx;

    return cof_kms_lister_takes(&keys->lister, row->key_id) ? keys->visit(keys->ctx, row) : 0;
}

int cof_kms_list_keys(struct cof_kms_call *call, struct cof_kms_page *page,
                      int (*visit)(void *ctx, const struct cof_kms_key_row *row), void *ctx)
{
    struct key_visit keys = {.visit = visit, .ctx = ctx};
    int error = cof_kms_authorize(call, NULL, "kms:ListKeys");

    if (error == 0) {
        error = cof_kms_lister_open(call, page, call->owner.account, &keys.lister);
    }
    if (error == 0) {
        error = cof_kms_db_key_each(call->ks->db, &call->owner, keys.lister.after,
                                    cof_kms_lister_asks(&keys.lister), visit_key, &keys,
                                    call->fault);
    }
    return error == 0 ? cof_kms_lister_close(&keys.lister) : error;
}
