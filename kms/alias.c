/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/alias.c - aliases: made, turned to another key, deleted, listed.
 *
 * An alias is of its account and region, and names a key of the same. Who changes one needs the
 * right to the alias and to each key that it names or named. Under the store's lock.
 */
#include "verbs.h"

#include <stdio.h>
#include <string.h>

/* ---- parts of verbs ---------------------------------------------------------------------- */

static int check_name(struct cof_kms_call *call, const char *name)
{
    if (!cof_kms_alias_ok(name)) {
        return cof_kms_fault(call->fault, COFFER_E_ALIAS_NAME,
                             "'%.60s' is no alias: give alias/ and up to 250 of a-z A-Z 0-9 / _ -",
                             name);
    }
    if (cof_kms_alias_reserved(name)) {
        return cof_kms_fault(call->fault, COFFER_E_KEY_ACCESS,
                             "%.60s is reserved for managed keys: choose a name outside "
                             "alias/coffer/ and alias/aws/", name);
    }
    return 0;
}

/* Check the name, and the right to the alias itself; the name goes into the record. */
static int begin_alias(struct cof_kms_call *call, const char *name, const char *action)
{
    char arn[COF_KMS_ALIAS_ARN_BYTES_MAX];
    int error = check_name(call, name);

    if (error != 0) {
        return error;
    }
    /* The name was checked: it holds nothing that JSON would want escaped. */
    (void)snprintf(call->detail, sizeof(call->detail), "{\"aliasName\":\"%s\"}", name);
    cof_kms_alias_arn(&call->owner, name, arn);
    call->resource = arn;
    error = cof_kms_authorize(call, NULL, action);
    call->resource = NULL;
    return error;
}

/* The key that an alias is to name: of the caller's own account, with room for one more. */
static int find_target(struct cof_kms_call *call, const char *target, const char *action,
                       struct cof_kms_key_row *row)
{
    uint64_t count = 0;
    int error = cof_kms_key_find(call, target, true, row);

    if (error == 0 && strcmp(row->owner.account, call->owner.account) != 0) {
        return cof_kms_fault(call->fault, COFFER_E_KEY_NOT_FOUND,
                             "an alias names a key of its own account, and %s is not", row->arn);
    }
    if (error == 0) {
        error = cof_kms_authorize(call, row, action);
    }
    if (error == 0) {
        error = cof_kms_key_changeable(call, row);
    }
    if (error == 0) {
        error = cof_kms_db_alias_count(call->ks->db, row->arn, &count, call->fault);
    }
    if (error == 0 && count >= COF_KMS_ALIASES_MAX) {
        return cof_kms_fault(call->fault, COFFER_E_LIMIT, "the key has %u aliases, its limit",
                             COF_KMS_ALIASES_MAX);
    }
    return error;
}

/* The alias and the key that it names, KEY_NOT_FOUND when there is none. */
static int find_alias(struct cof_kms_call *call, const char *name, struct cof_kms_alias_row *alias,
                      struct cof_kms_key_row *row)
{
    int error = cof_kms_db_alias_get(call->ks->db, &call->owner, name, alias, call->fault);

    if (error == COFFER_E_NOT_FOUND) {
        return cof_kms_fault(call->fault, COFFER_E_KEY_NOT_FOUND, "there is no %.80s", name);
    }
    return error == 0 ? cof_kms_db_key_get(call->ks->db, alias->key_arn, row, call->fault) : error;
}

/* ---- create, update, delete -------------------------------------------------------------- */

int cof_kms_create_alias(struct cof_kms_call *call, const char *name, const char *target)
{
    struct cof_kms_alias_row alias;
    struct cof_kms_key_row row;
    int error = begin_alias(call, name, "kms:CreateAlias");

    if (error == 0) {
        error = cof_kms_db_alias_get(call->ks->db, &call->owner, name, &alias, call->fault);
        if (error == 0) {
            return cof_kms_fault(call->fault, COFFER_E_EXISTS,
                                 "%.80s is taken: choose another name", name);
        }
        error = error == COFFER_E_NOT_FOUND ? 0 : error;
    }
    if (error == 0) {
        error = find_target(call, target, "kms:CreateAlias", &row);
    }
    if (error != 0) {
        return error;
    }
    memset(&alias, 0, sizeof(alias));
    memcpy(alias.name, name, strlen(name) + 1);
    alias.owner = row.owner;
    memcpy(alias.key_arn, row.arn, sizeof(alias.key_arn));
    alias.created_ns = cof_kms_wall_ns(&call->ks->env);
    alias.updated_ns = alias.created_ns;
    return cof_kms_db_alias_add(call->ks->db, &alias, call->fault);
}

int cof_kms_update_alias(struct cof_kms_call *call, const char *name, const char *target)
{
    struct cof_kms_key_row old, row;
    struct cof_kms_alias_row alias;
    int error = begin_alias(call, name, "kms:UpdateAlias");

    if (error == 0) {
        error = find_alias(call, name, &alias, &old);
    }
    if (error == 0) {
        error = cof_kms_authorize(call, &old, "kms:UpdateAlias");
    }
    if (error == 0) {
        error = find_target(call, target, "kms:UpdateAlias", &row);
    }
    if (error == 0 && (strcmp(old.key_usage, row.key_usage) != 0 ||
                       (old.public_key_bytes > 0) != (row.public_key_bytes > 0))) {
        error = cof_kms_fault(call->fault, COFFER_E_INVALID,
                              "%.60s names a %.31s key for %.31s, and the new one is of another "
                              "kind", name, old.key_spec, old.key_usage);
    }
    if (error != 0) {
        return error;
    }
    memcpy(alias.key_arn, row.arn, sizeof(alias.key_arn));
    alias.updated_ns = cof_kms_wall_ns(&call->ks->env);
    return cof_kms_db_alias_set(call->ks->db, &alias, call->fault);
}

int cof_kms_delete_alias(struct cof_kms_call *call, const char *name)
{
    struct cof_kms_alias_row alias;
    struct cof_kms_key_row row;
    int error = begin_alias(call, name, "kms:DeleteAlias");

    if (error == 0) {
        error = find_alias(call, name, &alias, &row);
    }
    if (error == 0) {
        memcpy(call->arn, row.arn, sizeof(call->arn));
        error = cof_kms_authorize(call, &row, "kms:DeleteAlias");
    }
    return error == 0 ? cof_kms_db_alias_remove(call->ks->db, &call->owner, name, call->fault)
                      : error;
}

/* ---- list-aliases ------------------------------------------------------------------------ */

struct alias_visit {
    struct cof_kms_lister lister;
    int (*visit)(void *ctx, const struct cof_kms_alias_row *row);
    void *ctx;
};

static int visit_alias(void *ctx, const struct cof_kms_alias_row *row)
{
    struct alias_visit *aliases = ctx;

    return cof_kms_lister_takes(&aliases->lister, row->name) ? aliases->visit(aliases->ctx, row)
                                                             : 0;
}

int cof_kms_list_aliases(struct cof_kms_call *call, const char *key, struct cof_kms_page *page,
                         int (*visit)(void *ctx, const struct cof_kms_alias_row *row), void *ctx)
{
    struct alias_visit aliases = {.visit = visit, .ctx = ctx};
    struct cof_kms_key_row row;
    int error = cof_kms_authorize(call, NULL, "kms:ListAliases");

    row.arn[0] = '\0';
    if (error == 0 && key != NULL) {
        error = cof_kms_key_find(call, key, true, &row);
    }
    if (error == 0) {
        error = cof_kms_lister_open(call, page, row.arn[0] == '\0' ? call->owner.account : row.arn,
                                    &aliases.lister);
    }
    if (error == 0) {
        error = cof_kms_db_alias_each(call->ks->db, &call->owner, row.arn, aliases.lister.after,
                                      cof_kms_lister_asks(&aliases.lister), visit_alias, &aliases,
                                      call->fault);
    }
    return error == 0 ? cof_kms_lister_close(&aliases.lister) : error;
}
