/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/grant_list.c - grants listed: of a key, or those that a principal may retire. Under the
 * store's lock.
 */
#include "verbs.h"

#include <string.h>

struct grant_visit {
    struct cof_kms_lister lister;
    const struct cof_kms_owner *owner; /* of whose keys; NULL: any */
    int (*visit)(void *ctx, const struct cof_kms_grant_row *row);
    void *ctx;
};

static bool is_of(const struct cof_kms_owner *owner, const char *key_arn)
{
    struct cof_kms_key_ref ref;

    return cof_kms_key_parse(owner, key_arn, &ref, NULL) == 0;
}

static int visit_grant(void *ctx, const struct cof_kms_grant_row *row)
{
    struct grant_visit *grants = ctx;

    if (grants->owner != NULL && !is_of(grants->owner, row->key_arn)) {
        return 0;
    }
    return !grants->lister.more && cof_kms_lister_takes(&grants->lister, row->grant_id)
               ? grants->visit(grants->ctx, row)
               : 0;
}

int cof_kms_list_grants(struct cof_kms_call *call, const char *key, const char *grant_id,
                        const char *grantee, struct cof_kms_page *page,
                        int (*visit)(void *ctx, const struct cof_kms_grant_row *row), void *ctx)
{
    struct grant_visit grants = {.visit = visit, .ctx = ctx};
    struct cof_kms_grant_filter filter = {NULL, grant_id, NULL, grantee, NULL};
    struct cof_kms_key_row row;
    int error = cof_kms_key_find(call, key, true, &row);

    if (error == 0) {
        error = cof_kms_authorize(call, &row, "kms:ListGrants");
    }
    if (error == 0) {
        error = cof_kms_lister_open(call, page, row.arn, &grants.lister);
    }
    if (error == 0) {
        filter.key_arn = row.arn;
        error = cof_kms_db_grant_each(call->ks->db, &filter, grants.lister.after,
                                      cof_kms_lister_asks(&grants.lister), visit_grant, &grants,
                                      call->fault);
    }
    return error == 0 ? cof_kms_lister_close(&grants.lister) : error;
}

int cof_kms_list_retirable_grants(struct cof_kms_call *call, const char *retiring_principal,
                                  struct cof_kms_page *page,
                                  int (*visit)(void *ctx, const struct cof_kms_grant_row *row),
                                  void *ctx)
{
    struct grant_visit grants = {.visit = visit, .ctx = ctx, .owner = &call->owner};
    struct cof_kms_grant_filter filter = {NULL, NULL, NULL, NULL, retiring_principal};
    char account[13];
    int error = 0;

    if (!cof_kms_principal_account(retiring_principal, account)) {
        return cof_kms_fault(call->fault, COFFER_E_ARN, "'%.100s' is no principal",
                             retiring_principal);
    }
    /* Everybody may ask for his own. */
    if (strcmp(retiring_principal, call->caller.principal) != 0) {
        error = cof_kms_authorize(call, NULL, "kms:ListRetirableGrants");
    }
    if (error == 0) {
        error = cof_kms_lister_open(call, page, retiring_principal, &grants.lister);
    }
    if (error == 0) {
        /* Keys of other regions are left out here, so the rows are asked without a limit. */
        error = cof_kms_db_grant_each(call->ks->db, &filter, grants.lister.after, 0, visit_grant,
                                      &grants, call->fault);
    }
    return error == 0 ? cof_kms_lister_close(&grants.lister) : error;
}
