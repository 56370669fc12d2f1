/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/key_make.c - keys made: by CreateKey, and the managed one when it is asked for first.
 *
 * Row, material, tags and record are one transaction. Under the store's lock.
 */
#include "spec.h"
#include "token_key.h"
#include "verbs.h"

#include <stdio.h>
#include <string.h>

/* ---- making ------------------------------------------------------------------------------ */

static void put_text(char *ret_text, size_t capacity, const char *text)
{
    (void)snprintf(ret_text, capacity, "%s", text);
}

/* A row with an id of its own, for the call's account and region. */
static int begin_row(struct cof_kms_call *call, bool multi_region, struct cof_kms_key_row *row)
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
                             "the account has %u keys in this region, which is its limit",
                             COF_KMS_KEYS_MAX);
    }
    memset(row, 0, sizeof(*row));
    error = cof_kms_random(&ks->env, random, sizeof(random));
    if (error == 0) {
        error = cof_kms_random(&ks->env, row->material_id, sizeof(row->material_id));
    }
    if (error != 0) {
        return cof_kms_fault(call->fault, error, NULL);
    }
    row->owner = call->owner;
    row->created_ns = cof_kms_wall_ns(&ks->env);
    if (multi_region) {
        memcpy(row->key_id, "mrk-", 4);
        cof_kms_hex(random, sizeof(random), row->key_id + 4);
        memcpy(row->primary_region, call->owner.region, sizeof(row->primary_region));
    } else {
        cof_kms_uuid_text(random, row->key_id);
    }
    row->multi_region = multi_region;
    cof_kms_key_arn(&row->owner, row->key_id, row->arn);
    return 0;
}

/* Put the row and, unless it is to be imported, its material. */
static int end_row(struct cof_kms_call *call, struct cof_kms_key_row *row)
{
    bool in_token = row->key_store_id[0] != '\0';
    int error;

    row->has_material = in_token || strcmp(row->origin, COF_KMS_ORIGIN_OWN) == 0;
    row->state = row->has_material ? COFFER_KEY_ENABLED : COFFER_KEY_PENDING_IMPORT;
    error = cof_kms_db_key_add(call->ks->db, row, call->fault);
    memcpy(call->arn, row->arn, sizeof(call->arn));
    if (error == 0 && in_token) {
        return cof_kms_token_key_make(call, row);
    }
    return error == 0 && row->has_material ? cof_kms_key_draw(call, row) : error;
}

int cof_kms_key_make_default(struct cof_kms_call *call, struct cof_kms_key_row *ret_row)
{
    struct cof_kms_alias_row alias;
    int error = begin_row(call, false, ret_row);

    if (error != 0) {
        return error;
    }
    ret_row->managed = true;
    ret_row->rotation_period_days = COF_KMS_ROTATION_DAYS_DEFAULT;
    ret_row->next_rotation_ns =
        ret_row->created_ns + COF_KMS_ROTATION_DAYS_DEFAULT * COF_KMS_DAY_NS;
    put_text(ret_row->origin, sizeof(ret_row->origin), COF_KMS_ORIGIN_OWN);
    put_text(ret_row->key_spec, sizeof(ret_row->key_spec), COF_KMS_SPEC_DEFAULT);
    put_text(ret_row->key_usage, sizeof(ret_row->key_usage), COF_KMS_USAGE_ENCRYPT);
    put_text(ret_row->description, sizeof(ret_row->description),
             "Default key of this account and region, kept by Coffer");
    error = end_row(call, ret_row);
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
        error = cof_kms_call_note(call, "CreateKey", ret_row->arn, NULL);
    }
    return error == 0 ? cof_kms_call_note(call, "CreateAlias", ret_row->arn, NULL) : error;
}

/* ---- create-key -------------------------------------------------------------------------- */

int cof_kms_check_description(struct cof_kms_call *call, const char *description)
{
    if (strlen(description) > COFFER_DESCRIPTION_BYTES_MAX || !cof_kms_text_ok(description)) {
        return cof_kms_fault(call->fault, COFFER_E_INVALID,
                             "the description is longer than %u bytes or not UTF-8",
                             COFFER_DESCRIPTION_BYTES_MAX);
    }
    return 0;
}

static const char *or_else(const char *text, const char *fallback)
{
    return text == NULL ? fallback : text;
}

/* Origin and key store go together, and both are there. */
static int check_place(struct cof_kms_call *call, const char *key_store_id, const char *origin)
{
    bool in_token = strcmp(origin, COF_KMS_ORIGIN_TOKEN) == 0;
    struct cof_kms_key_store_row store;
    int error = key_store_id == NULL ? 0
                                     : cof_kms_db_key_store_get(call->ks->db, key_store_id, &store,
                                                                call->fault);

    if (error == 0 && !in_token && strcmp(origin, COF_KMS_ORIGIN_OWN) != 0 &&
        strcmp(origin, COF_KMS_ORIGIN_IMPORT) != 0) {
        return cof_kms_fault(call->fault, COFFER_E_UNSUPPORTED,
                             "there are no keys of origin %.40s here: custom key stores have those "
                             "of origin " COF_KMS_ORIGIN_TOKEN, origin);
    }
    if (error == 0 && (key_store_id != NULL) != in_token) {
        return cof_kms_fault(call->fault, COFFER_E_INVALID,
                             "CustomKeyStoreId and Origin " COF_KMS_ORIGIN_TOKEN
                             " belong together");
    }
    return error;
}

/* Spec, usage and origin into row: such a key there must be. */
static int choose_kind(struct cof_kms_call *call, const struct cof_kms_create_key *params,
                       struct cof_kms_key_row *row)
{
    const char *name = or_else(params->key_spec, COF_KMS_SPEC_DEFAULT);
    const char *origin = or_else(params->origin, COF_KMS_ORIGIN_OWN);
    const struct cof_kms_spec *spec = cof_kms_spec_find(name);
    const char *usage = or_else(params->key_usage, COF_KMS_USAGE_ENCRYPT);
    int error;

    if (spec == NULL || !cof_kms_spec_allows(spec, usage)) {
        return cof_kms_fault(call->fault, COFFER_E_INVALID,
                             "there are no keys of spec %.40s for %.40s", name, usage);
    }
    error = check_place(call, params->key_store_id, origin);
    if (error != 0) {
        return error;
    }
    put_text(row->key_spec, sizeof(row->key_spec), name);
    put_text(row->key_usage, sizeof(row->key_usage), usage);
    put_text(row->origin, sizeof(row->origin), origin);
    return params->key_store_id == NULL ? 0
                                        : cof_kms_token_key_place(call, params->key_store_id, row);
}

static int choose_rotation(struct cof_kms_call *call, const struct cof_kms_create_key *params,
                           struct cof_kms_key_row *row)
{
    if (params->rotation_period_days == 0) {
        return 0;
    }
    row->rotation_period_days = params->rotation_period_days;
    row->next_rotation_ns = row->created_ns + row->rotation_period_days * COF_KMS_DAY_NS;
    return cof_kms_rotation_check(call, row, params->rotation_period_days);
}

static int choose_policy(struct cof_kms_call *call, const struct cof_kms_create_key *params,
                         struct cof_kms_key_row *row)
{
    int error;

    if (params->policy == NULL) {
        return 0;
    }
    error = cof_kms_policy_check(call, row, params->policy, params->bypass_lockout_check);
    if (error == 0) {
        put_text(row->policy, sizeof(row->policy), params->policy);
    }
    return error;
}

static int may_create(struct cof_kms_call *call, const struct cof_kms_key_row *row, bool bypass)
{
    cof_kms_call_condition(call, "kms:KeySpec", row->key_spec);
    cof_kms_call_condition(call, "kms:KeyUsage", row->key_usage);
    cof_kms_call_condition(call, "kms:KeyOrigin", row->origin);
    cof_kms_call_condition(call, "kms:MultiRegion", row->multi_region ? "true" : "false");
    cof_kms_call_condition(call, "kms:BypassPolicyLockoutSafetyCheck", bypass ? "true" : "false");
    return cof_kms_authorize(call, NULL, "kms:CreateKey");
}

int cof_kms_create_key(struct cof_kms_call *call, const struct cof_kms_create_key *params,
                       struct cof_kms_key_row *ret_row)
{
    const char *description = or_else(params->description, "");
    int error = begin_row(call, params->multi_region, ret_row);

    if (error == 0) {
        error = choose_kind(call, params, ret_row);
    }
    if (error == 0) {
        error = may_create(call, ret_row, params->bypass_lockout_check);
    }
    if (error == 0) {
        error = cof_kms_check_description(call, description);
    }
    if (error == 0) {
        put_text(ret_row->description, sizeof(ret_row->description), description);
        error = choose_rotation(call, params, ret_row);
    }
    if (error == 0) {
        error = choose_policy(call, params, ret_row);
    }
    if (error == 0) {
        error = end_row(call, ret_row);
    }
    return error == 0 ? cof_kms_tags_put(call, ret_row, params->tags, params->tag_count) : error;
}
