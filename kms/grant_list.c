/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/grant_list.c - the listing of a key's grants, in pages. Any thread.
 */
#include "kms.h"

#include <stdio.h>
#include <string.h>

struct grant_page {
    struct cof_kms_call *call;
    const char *key_arn;
    unsigned limit, given;
    int (*visit)(void *ctx, const struct coffer_grant_entry *entry);
    void *ctx;
    char last[COFFER_GRANT_ID_BYTES];
    bool more;
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

static int visit_grant_row(void *ctx, const struct cof_kms_grant_row *row)
{
    struct grant_page *page = ctx;
    struct cof_kms_env *env = &page->call->ks->env;
    const char *names[COF_KMS_OPERATIONS_MAX];
    char operations[sizeof(row->operations)];
    struct cof_kms_context context;
    struct coffer_grant_entry entry;
    int error;

    if (page->limit != 0 && page->given == page->limit) {
        page->more = true;
        return 0;
    }
    error = cof_kms_context_unpack(env, row->context, &context);
    if (error != 0) {
        return cof_kms_fault(page->call->fault, error, NULL);
    }
    page->given++;
    memcpy(page->last, row->grant_id, sizeof(page->last));
    memcpy(operations, row->operations, sizeof(operations));
    memset(&entry, 0, sizeof(entry));
    entry.grant_id = row->grant_id;
    entry.key_arn = page->key_arn;
    entry.grantee = row->grantee;
    entry.retiring_principal = row->retiring_principal;
    entry.name = row->name;
    entry.operation_count = split_operations(operations, names);
    entry.operations = names;
    entry.constraint = row->constraint;
    entry.context.pairs = context.pairs;
    entry.context.pair_count = context.pair_count;
    entry.created_ns = row->created_ns;
    error = page->visit(page->ctx, &entry);
    cof_kms_context_free(env, &context);
    return error;
}

static int list_grants(struct grant_page *page, const char *key, const char *after)
{
    struct cof_kms_call *call = page->call;
    unsigned asks = page->limit == 0 || page->limit == UINT32_MAX ? 0 : page->limit + 1;
    struct cof_kms_grant_filter filter = {NULL, NULL, NULL, NULL, NULL};
    struct cof_kms_key_row row;
    int error;

    if (after[0] != '\0' && !cof_kms_hex_ok(after, COFFER_GRANT_ID_BYTES - 1)) {
        return cof_kms_fault(call->fault, COFFER_E_INVALID,
                             "the marker is not valid: give the one that the last page ended with");
    }
    error = cof_kms_key_find(call, key, true, &row);
    if (error != 0) {
        return error;
    }
    page->key_arn = row.arn;
    filter.key_arn = row.arn;
    return cof_kms_db_grant_each(call->ks->db, &filter, after, asks, visit_grant_row, page,
                                 call->fault);
}

int coffer_keystore_list_grants(struct coffer_keystore *store, const char *key, unsigned limit,
                                const char *marker,
                                int (*visit)(void *ctx, const struct coffer_grant_entry *entry),
                                void *ctx, char ret_marker[COFFER_MARKER_BYTES_MAX],
                                struct coffer_fault *fault)
{
    struct cof_kms_call call;
    struct grant_page page = {&call, NULL, limit, 0, visit, ctx, "", false};
    int error;

    if (store == NULL || key == NULL || visit == NULL) {
        return cof_kms_fault(fault, COFFER_E_INVALID, NULL);
    }
    error = cof_kms_call_begin(&call, store, "ListGrants", COF_KMS_READS, fault);
    if (error != 0) {
        return error;
    }
    error = cof_kms_call_settle(&call, list_grants(&page, key, marker == NULL ? "" : marker));
    if (error == 0 && ret_marker != NULL) {
        (void)snprintf(ret_marker, COFFER_MARKER_BYTES_MAX, "%s", page.more ? page.last : "");
    }
    cof_kms_call_leave(&call);
    return error;
}
