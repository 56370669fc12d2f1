/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/keys.c - keys: found, made, described, listed, enabled and disabled.
 *
 * Invariant: an alias is followed, and a row believed, only after its MAC was checked (store.h).
 */
#include "kms.h"

#include <stdio.h>
#include <string.h>

/* ---- making and finding ------------------------------------------------------------------ */

int cof_kms_key_make(struct cof_kms_call *call, const char *description, bool managed,
                     struct cof_kms_key_row *ret_row)
{
    struct coffer_keystore *ks = call->ks;
    uint8_t random[16];
    uint64_t count = 0;
    int error = cof_kms_db_key_count(ks->db, &call->owner, &count, call->fault);

    if (error != 0) {
        return error;
    }
    if (count >= COF_KMS_KEYS_MAX) {
        return cof_kms_fault(call->fault, COFFER_E_LIMIT,
                             "the key store holds %u keys, which is its limit", COF_KMS_KEYS_MAX);
    }
    memset(ret_row, 0, sizeof(*ret_row));
    error = cof_kms_random(&ks->env, random, sizeof(random));
    if (error == 0) {
        error = cof_kms_random(&ks->env, ret_row->material_id, sizeof(ret_row->material_id));
    }
    if (error != 0) {
        return cof_kms_fault(call->fault, error, NULL);
    }
    cof_kms_uuid_text(random, ret_row->key_id);
    ret_row->owner = call->owner;
    cof_kms_key_arn(&ret_row->owner, ret_row->key_id, ret_row->arn);
    ret_row->state = COFFER_KEY_ENABLED;
    ret_row->managed = managed;
    ret_row->has_material = true;
    memcpy(ret_row->origin, "AWS_KMS", sizeof("AWS_KMS"));
    memcpy(ret_row->key_spec, "SYMMETRIC_DEFAULT", sizeof("SYMMETRIC_DEFAULT"));
    memcpy(ret_row->key_usage, "ENCRYPT_DECRYPT", sizeof("ENCRYPT_DECRYPT"));
    ret_row->created_ns = cof_kms_wall_ns(&ks->env);
    (void)snprintf(ret_row->description, sizeof(ret_row->description), "%s", description);
    error = cof_kms_db_key_add(ks->db, ret_row, call->fault);
    return error == 0 ? cof_kms_key_draw(call, ret_row) : error;
}

/* The managed key and its alias, in the transaction of the call that asked for it first. */
static int make_default(struct cof_kms_call *call, struct cof_kms_key_row *ret_row)
{
    struct cof_kms_alias_row alias;
    int error = cof_kms_key_make(call, "Default key of this account and region, kept by Coffer",
                                 true, ret_row);

    if (error != 0) {
        return error;
    }
    memset(&alias, 0, sizeof(alias));
    memcpy(alias.name, COFFER_ALIAS_DEFAULT, sizeof(COFFER_ALIAS_DEFAULT));
    alias.owner = ret_row->owner;
    memcpy(alias.key_arn, ret_row->arn, sizeof(alias.key_arn));
    alias.created_ns = ret_row->created_ns;
    alias.updated_ns = ret_row->created_ns;
    error = cof_kms_db_alias_add(call->ks->db, &alias, call->fault);
    if (error == 0) {
        error = cof_kms_call_note(call, "CreateKey", ret_row->arn);
    }
    return error == 0 ? cof_kms_call_note(call, "CreateAlias", ret_row->arn) : error;
}

static int follow_alias(struct cof_kms_call *call, const struct cof_kms_key_ref *ref,
                        struct cof_kms_key_row *ret_row)
{
    const char *name = ref->alias;
    struct cof_kms_alias_row alias;
    int error = cof_kms_db_alias_get(call->ks->db, &ref->owner, name, &alias, call->fault);

    if (error == COFFER_E_NOT_FOUND && strcmp(name, COFFER_ALIAS_DEFAULT) == 0 &&
        strcmp(ref->owner.account, call->owner.account) == 0 && !call->ks->read_only) {
        return make_default(call, ret_row);
    }
    if (error == COFFER_E_NOT_FOUND) {
        return cof_kms_fault(call->fault, COFFER_E_KEY_NOT_FOUND,
                             "there is no %.80s in this key store: see list-aliases", name);
    }
    return error == 0 ? cof_kms_db_key_get(call->ks->db, alias.key_arn, ret_row, call->fault)
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
                         : cof_kms_db_key_get(call->ks->db, arn, ret_row, call->fault);
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

/* ---- verbs ------------------------------------------------------------------------------- */

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
    default:
        return "Unknown";
    }
}

static void fill_metadata(const struct cof_kms_key_row *row, struct coffer_key_metadata *ret_key)
{
    size_t size = ret_key->size;

    memset(ret_key, 0, sizeof(*ret_key));
    ret_key->size = size;
    memcpy(ret_key->key_id, row->key_id, sizeof(ret_key->key_id));
    memcpy(ret_key->arn, row->arn, sizeof(ret_key->arn));
    memcpy(ret_key->account, row->owner.account, sizeof(ret_key->account));
    ret_key->state = row->state;
    ret_key->managed = row->managed;
    ret_key->multi_region = row->multi_region;
    memcpy(ret_key->origin, row->origin, sizeof(ret_key->origin));
    memcpy(ret_key->key_spec, row->key_spec, sizeof(ret_key->key_spec));
    memcpy(ret_key->key_usage, row->key_usage, sizeof(ret_key->key_usage));
    cof_kms_hex(row->material_id, sizeof(row->material_id), ret_key->material_id);
    ret_key->created_ns = row->created_ns;
    ret_key->deletion_ns = row->deletion_ns;
    ret_key->valid_to_ns = row->valid_to_ns;
    (void)snprintf(ret_key->description, sizeof(ret_key->description), "%s", row->description);
}

static int check_description(struct cof_kms_call *call, const char *description)
{
    if (strlen(description) > COFFER_DESCRIPTION_BYTES_MAX || !cof_kms_text_ok(description)) {
        return cof_kms_fault(call->fault, COFFER_E_INVALID,
                             "the description is longer than %u bytes or not UTF-8",
                             COFFER_DESCRIPTION_BYTES_MAX);
    }
    return 0;
}

int coffer_keystore_create_key(struct coffer_keystore *store, const char *description,
                               struct coffer_key_metadata *ret_key, struct coffer_fault *fault)
{
    const char *text = description == NULL ? "" : description;
    struct cof_kms_key_row row;
    struct cof_kms_call call;
    int error;

    if (store == NULL || ret_key == NULL || ret_key->size != sizeof(*ret_key)) {
        return cof_kms_fault(fault, COFFER_E_INVALID, NULL);
    }
    error = cof_kms_call_begin(&call, store, "CreateKey", COF_KMS_CHANGES, fault);
    if (error != 0) {
        return error;
    }
    error = check_description(&call, text);
    if (error == 0) {
        error = cof_kms_key_make(&call, text, false, &row);
    }
    if (error == 0) {
        memcpy(call.arn, row.arn, sizeof(call.arn));
    }
    error = cof_kms_call_settle(&call, error);
    if (error == 0) {
        fill_metadata(&row, ret_key);
    }
    cof_kms_call_leave(&call);
    return error;
}

int coffer_keystore_describe_key(struct coffer_keystore *store, const char *key,
                                 struct coffer_key_metadata *ret_key, struct coffer_fault *fault)
{
    struct cof_kms_key_row row;
    struct cof_kms_call call;
    int error;

    if (store == NULL || ret_key == NULL || ret_key->size != sizeof(*ret_key)) {
        return cof_kms_fault(fault, COFFER_E_INVALID, NULL);
    }
    error = cof_kms_call_begin(&call, store, "DescribeKey", COF_KMS_READS, fault);
    if (error != 0) {
        return error;
    }
    error = cof_kms_call_settle(&call, cof_kms_key_find(&call, key, false, &row));
    if (error == 0) {
        fill_metadata(&row, ret_key);
    }
    cof_kms_call_leave(&call);
    return error;
}

static int set_state(struct cof_kms_call *call, const char *key, enum coffer_key_state state)
{
    struct cof_kms_key_row row;
    int error = cof_kms_key_find(call, key, true, &row);

    if (error != 0) {
        return error;
    }
    if (row.managed && state == COFFER_KEY_IS_DISABLED) {
        return cof_kms_fault(call->fault, COFFER_E_KEY_ACCESS,
                             "%s is the managed default key, which can't be disabled", row.arn);
    }
    if (row.state != COFFER_KEY_ENABLED && row.state != COFFER_KEY_IS_DISABLED) {
        return cof_kms_fault(call->fault, COFFER_E_KEY_STATE, "%s is in state %s", row.arn,
                             coffer_keystore_state_name(row.state));
    }
    if (row.state == state) {
        return 0;
    }
    row.state = state;
    return cof_kms_db_key_set(call->ks->db, &row, call->fault);
}

static int change_state(struct coffer_keystore *store, const char *key, const char *event,
                        enum coffer_key_state state, struct coffer_fault *fault)
{
    struct cof_kms_call call;
    int error;

    if (store == NULL || key == NULL) {
        return cof_kms_fault(fault, COFFER_E_INVALID, NULL);
    }
    error = cof_kms_call_begin(&call, store, event, COF_KMS_CHANGES, fault);
    if (error != 0) {
        return error;
    }
    error = cof_kms_call_settle(&call, set_state(&call, key, state));
    cof_kms_call_leave(&call);
    return error;
}

int coffer_keystore_enable_key(struct coffer_keystore *store, const char *key,
                               struct coffer_fault *fault)
{
    return change_state(store, key, "EnableKey", COFFER_KEY_ENABLED, fault);
}

int coffer_keystore_disable_key(struct coffer_keystore *store, const char *key,
                                struct coffer_fault *fault)
{
    return change_state(store, key, "DisableKey", COFFER_KEY_IS_DISABLED, fault);
}
