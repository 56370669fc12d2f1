/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/typed.c - coffer/keystore.h's functions on keys and aliases: the work of verbs.h, as the root
 * of the store's own account. Any thread.
 */
#include "verbs.h"

#include <stdio.h>
#include <string.h>

/* ---- keys -------------------------------------------------------------------------------- */

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

int coffer_keystore_create_key(struct coffer_keystore *store, const char *description,
                               struct coffer_key_metadata *ret_key, struct coffer_fault *fault)
{
    const struct cof_kms_create_key params = {.description = description};
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
    error = cof_kms_call_settle(&call, cof_kms_create_key(&call, &params, &row));
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
    error = cof_kms_call_settle(&call, cof_kms_describe_key(&call, key, &row));
    if (error == 0) {
        fill_metadata(&row, ret_key);
    }
    cof_kms_call_leave(&call);
    return error;
}

static int change_state(struct coffer_keystore *store, const char *key, const char *event,
                        int (*work)(struct cof_kms_call *call, const char *key),
                        struct coffer_fault *fault)
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
    error = cof_kms_call_settle(&call, work(&call, key));
    cof_kms_call_leave(&call);
    return error;
}

int coffer_keystore_enable_key(struct coffer_keystore *store, const char *key,
                               struct coffer_fault *fault)
{
    return change_state(store, key, "EnableKey", cof_kms_enable_key, fault);
}

int coffer_keystore_disable_key(struct coffer_keystore *store, const char *key,
                                struct coffer_fault *fault)
{
    return change_state(store, key, "DisableKey", cof_kms_disable_key, fault);
}

struct key_entries {
    int (*visit)(void *ctx, const struct coffer_key_entry *entry);
    void *ctx;
};

static int visit_key(void *ctx, const struct cof_kms_key_row *row)
{
    struct key_entries *entries = ctx;
    const struct coffer_key_entry entry = {row->key_id, row->arn};

    return entries->visit(entries->ctx, &entry);
}

/* Copy the marker of the next page, when the listing went well and its caller wants it. */
static void give_marker(int error, const struct cof_kms_page *page, char *ret_marker)
{
    if (error == 0 && ret_marker != NULL) {
        memcpy(ret_marker, page->next, sizeof(page->next));
    }
}

int coffer_keystore_list_keys(struct coffer_keystore *store, unsigned limit, const char *marker,
                              int (*visit)(void *ctx, const struct coffer_key_entry *entry),
                              void *ctx, char ret_marker[COFFER_MARKER_BYTES_MAX],
                              struct coffer_fault *fault)
{
    struct key_entries entries = {visit, ctx};
    struct cof_kms_page page = {limit, marker, ""};
    struct cof_kms_call call;
    int error;

    if (store == NULL || visit == NULL) {
        return cof_kms_fault(fault, COFFER_E_INVALID, NULL);
    }
    error = cof_kms_call_begin(&call, store, "ListKeys", COF_KMS_READS, fault);
    if (error != 0) {
        return error;
    }
    error = cof_kms_call_settle(&call, cof_kms_list_keys(&call, &page, visit_key, &entries));
    give_marker(error, &page, ret_marker);
    cof_kms_call_leave(&call);
    return error;
}

/* ---- aliases ----------------------------------------------------------------------------- */

int coffer_keystore_create_alias(struct coffer_keystore *store, const char *name,
                                 const char *target, struct coffer_fault *fault)
{
    struct cof_kms_call call;
    int error;

    if (store == NULL || name == NULL || target == NULL) {
        return cof_kms_fault(fault, COFFER_E_INVALID, NULL);
    }
    error = cof_kms_call_begin(&call, store, "CreateAlias", COF_KMS_CHANGES, fault);
    if (error != 0) {
        return error;
    }
    error = cof_kms_call_settle(&call, cof_kms_create_alias(&call, name, target));
    cof_kms_call_leave(&call);
    return error;
}

struct alias_entries {
    int (*visit)(void *ctx, const struct coffer_alias_entry *entry);
    void *ctx;
};

static int visit_alias(void *ctx, const struct cof_kms_alias_row *row)
{
    struct alias_entries *entries = ctx;
    char arn[COF_KMS_ALIAS_ARN_BYTES_MAX];
    const struct coffer_alias_entry entry = {row->name, arn, cof_kms_arn_key_id(row->key_arn),
                                             row->created_ns, row->updated_ns};

    cof_kms_alias_arn(&row->owner, row->name, arn);
    return entries->visit(entries->ctx, &entry);
}

int coffer_keystore_list_aliases(struct coffer_keystore *store, const char *key, unsigned limit,
                                 const char *marker,
                                 int (*visit)(void *ctx, const struct coffer_alias_entry *entry),
                                 void *ctx, char ret_marker[COFFER_MARKER_BYTES_MAX],
                                 struct coffer_fault *fault)
{
    struct alias_entries entries = {visit, ctx};
    struct cof_kms_page page = {limit, marker, ""};
    struct cof_kms_call call;
    int error;

    if (store == NULL || visit == NULL) {
        return cof_kms_fault(fault, COFFER_E_INVALID, NULL);
    }
    error = cof_kms_call_begin(&call, store, "ListAliases", COF_KMS_READS, fault);
    if (error != 0) {
        return error;
    }
    error = cof_kms_call_settle(&call,
                                cof_kms_list_aliases(&call, key, &page, visit_alias, &entries));
    give_marker(error, &page, ret_marker);
    cof_kms_call_leave(&call);
    return error;
}
