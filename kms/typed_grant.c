/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/typed_grant.c - coffer/keystore.h's functions on grants: the work of verbs.h, as the root of
 * the store's own account. Any thread.
 */
#include "verbs.h"

#include <stdio.h>
#include <string.h>

int coffer_keystore_create_grant(struct coffer_keystore *store,
                                 const struct coffer_grant_opts *opts,
                                 char ret_grant_id[COFFER_GRANT_ID_BYTES],
                                 struct coffer_fault *fault)
{
    char grant_id[COFFER_GRANT_ID_BYTES], token[COF_KMS_GRANT_TOKEN_BYTES_MAX];
    struct cof_kms_create_grant params;
    struct cof_kms_call call;
    int error;

    if (store == NULL || opts == NULL || opts->size != sizeof(*opts) || opts->key == NULL ||
        ret_grant_id == NULL) {
        return cof_kms_fault(fault, COFFER_E_INVALID, NULL);
    }
    params = (struct cof_kms_create_grant){
        opts->key,        opts->grantee,         opts->retiring_principal,
        opts->name,       opts->operations,      opts->operation_count,
        opts->constraint, opts->context,         NULL};
    error = cof_kms_call_begin(&call, store, "CreateGrant", COF_KMS_CHANGES, fault);
    if (error != 0) {
        return error;
    }
    error = cof_kms_call_settle(&call, cof_kms_create_grant(&call, &params, grant_id, token));
    if (error == 0) {
        memcpy(ret_grant_id, grant_id, sizeof(grant_id));
    }
    cof_kms_call_leave(&call);
    return error;
}

int coffer_keystore_retire_grant(struct coffer_keystore *store, const char *key,
                                 const char *grant_id, struct coffer_fault *fault)
{
    struct cof_kms_call call;
    int error;

    if (store == NULL || key == NULL || grant_id == NULL) {
        return cof_kms_fault(fault, COFFER_E_INVALID, NULL);
    }
    error = cof_kms_call_begin(&call, store, "RetireGrant", COF_KMS_CHANGES, fault);
    if (error != 0) {
        return error;
    }
    error = cof_kms_call_settle(&call, cof_kms_retire_grant(&call, NULL, key, grant_id));
    cof_kms_call_leave(&call);
    return error;
}

struct grant_entries {
    struct cof_kms_call *call;
    int (*visit)(void *ctx, const struct coffer_grant_entry *entry);
    void *ctx;
};

/* Cut text at its commas, in place. */
static unsigned split_operations(char *text, const char **ret_names)
{
    unsigned count = 0;
    char *rest = NULL, *name;

    for (name = strtok_r(text, ",", &rest); name != NULL && count < COF_KMS_OPERATIONS_MAX;
         name = strtok_r(NULL, ",", &rest)) {
        ret_names[count++] = name;
    }
    return count;
}

static int visit_grant(void *ctx, const struct cof_kms_grant_row *row)
{
    struct grant_entries *entries = ctx;
    struct cof_kms_env *env = &entries->call->ks->env;
    const char *names[COF_KMS_OPERATIONS_MAX];
    char operations[sizeof(row->operations)];
    struct cof_kms_context context;
    struct coffer_grant_entry entry;
    int error = cof_kms_context_unpack(env, row->context, &context);

    if (error != 0) {
        return cof_kms_fault(entries->call->fault, error, NULL);
    }
    memcpy(operations, row->operations, sizeof(operations));
    memset(&entry, 0, sizeof(entry));
    entry.grant_id = row->grant_id;
    entry.key_arn = row->key_arn;
    entry.grantee = row->grantee;
    entry.retiring_principal = row->retiring_principal;
    entry.name = row->name;
    entry.operation_count = split_operations(operations, names);
    entry.operations = names;
    entry.constraint = row->constraint;
    entry.context.pairs = context.pairs;
    entry.context.pair_count = context.pair_count;
    entry.created_ns = row->created_ns;
    error = entries->visit(entries->ctx, &entry);
    cof_kms_context_free(env, &context);
    return error;
}

int coffer_keystore_list_grants(struct coffer_keystore *store, const char *key, unsigned limit,
                                const char *marker,
                                int (*visit)(void *ctx, const struct coffer_grant_entry *entry),
                                void *ctx, char ret_marker[COFFER_MARKER_BYTES_MAX],
                                struct coffer_fault *fault)
{
    struct cof_kms_call call;
    struct grant_entries entries = {&call, visit, ctx};
    struct cof_kms_page page = {limit, marker, ""};
    int error;

    if (store == NULL || key == NULL || visit == NULL) {
        return cof_kms_fault(fault, COFFER_E_INVALID, NULL);
    }
    error = cof_kms_call_begin(&call, store, "ListGrants", COF_KMS_READS, fault);
    if (error != 0) {
        return error;
    }
    error = cof_kms_call_settle(
        &call, cof_kms_list_grants(&call, key, NULL, NULL, &page, visit_grant, &entries));
    if (error == 0 && ret_marker != NULL) {
        memcpy(ret_marker, page.next, sizeof(page.next));
    }
    cof_kms_call_leave(&call);
    return error;
}
