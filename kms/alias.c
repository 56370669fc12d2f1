/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/alias.c - aliases, and the listings of keys and aliases.
 *
 * A page asks the store for one entry more than the limit: if it comes, the last one given is the
 * marker of the next page. Any thread.
 */
#include "kms.h"

#include <stdio.h>
#include <string.h>

/* ---- create-alias ------------------------------------------------------------------------ */

static int check_alias(struct cof_kms_call *call, const char *name)
{
    if (!cof_kms_alias_ok(name)) {
        return cof_kms_fault(call->fault, COFFER_E_INVALID,
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

static int check_room(struct cof_kms_call *call, const char *name,
                      const struct cof_kms_key_row *key)
{
    struct cof_kms_alias_row taken;
    uint64_t count = 0;
    int error = cof_kms_db_alias_get(call->ks->db, &key->owner, name, &taken, call->fault);

    if (error == 0) {
        return cof_kms_fault(call->fault, COFFER_E_EXISTS,
                             "%.80s is taken: choose another name", name);
    }
    if (error != COFFER_E_NOT_FOUND) {
        return error;
    }
    if (key->managed) {
        return cof_kms_fault(call->fault, COFFER_E_KEY_ACCESS,
                             "%s is the managed default key, which takes no other alias", key->arn);
    }
    if (key->state == COFFER_KEY_PENDING_DELETION) {
        return cof_kms_fault(call->fault, COFFER_E_KEY_STATE, "%s is in state %s", key->arn,
                             coffer_keystore_state_name(key->state));
    }
    error = cof_kms_db_alias_count(call->ks->db, key->arn, &count, call->fault);
    if (error == 0 && count >= COF_KMS_ALIASES_MAX) {
        return cof_kms_fault(call->fault, COFFER_E_LIMIT, "the key has %u aliases, its limit",
                             COF_KMS_ALIASES_MAX);
    }
    return error;
}

static int add_alias(struct cof_kms_call *call, const char *name, const char *target)
{
    struct cof_kms_alias_row alias;
    struct cof_kms_key_row key;
    int error = check_alias(call, name);

    if (error != 0) {
        return error;
    }
    /* The name was checked: it holds nothing that JSON would want escaped. */
    (void)snprintf(call->detail, sizeof(call->detail), "{\"aliasName\":\"%s\"}", name);
    error = cof_kms_key_find(call, target, true, &key);
    if (error == 0) {
        error = check_room(call, name, &key);
    }
    if (error != 0) {
        return error;
    }
    memset(&alias, 0, sizeof(alias));
    memcpy(alias.name, name, strlen(name) + 1);
    alias.owner = key.owner;
    memcpy(alias.key_arn, key.arn, sizeof(alias.key_arn));
    alias.created_ns = cof_kms_wall_ns(&call->ks->env);
    alias.updated_ns = alias.created_ns;
    return cof_kms_db_alias_add(call->ks->db, &alias, call->fault);
}

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
    error = cof_kms_call_settle(&call, add_alias(&call, name, target));
    cof_kms_call_leave(&call);
    return error;
}

/* ---- listings ---------------------------------------------------------------------------- */

struct page {
    struct cof_kms_call *call;
    unsigned limit; /* 0: all */
    unsigned given;
    int (*visit_key)(void *ctx, const struct coffer_key_entry *entry);
    int (*visit_alias)(void *ctx, const struct coffer_alias_entry *entry);
    void *ctx;
    char last[COFFER_MARKER_BYTES_MAX];
    bool more;
};

/* Count one entry; false when the page was full before it. */
static bool page_takes(struct page *page, const char *name)
{
    if (page->limit != 0 && page->given == page->limit) {
        page->more = true;
        return false;
    }
    page->given++;
    (void)snprintf(page->last, sizeof(page->last), "%s", name);
    return true;
}

static unsigned page_asks(const struct page *page)
{
    return page->limit == 0 || page->limit == UINT32_MAX ? 0 : page->limit + 1;
}

static void page_marker(const struct page *page, char *ret_marker)
{
    if (ret_marker != NULL) {
        (void)snprintf(ret_marker, COFFER_MARKER_BYTES_MAX, "%s", page->more ? page->last : "");
    }
}

static int visit_key_row(void *ctx, const struct cof_kms_key_row *row)
{
    struct page *page = ctx;
    struct coffer_key_entry entry = {row->key_id, row->arn};

    return page_takes(page, row->key_id) ? page->visit_key(page->ctx, &entry) : 0;
}

static int visit_alias_row(void *ctx, const struct cof_kms_alias_row *row)
{
    struct page *page = ctx;
    char arn[360];
    struct coffer_alias_entry entry = {row->name, arn, cof_kms_arn_key_id(row->key_arn),
                                       row->created_ns, row->updated_ns};

    cof_kms_alias_arn(&row->owner, row->name, arn);
    return page_takes(page, row->name) ? page->visit_alias(page->ctx, &entry) : 0;
}

static int bad_marker(struct cof_kms_call *call)
{
    return cof_kms_fault(call->fault, COFFER_E_INVALID,
                         "the marker is not valid: give the one that the last page ended with");
}

int coffer_keystore_list_keys(struct coffer_keystore *store, unsigned limit, const char *marker,
                              int (*visit)(void *ctx, const struct coffer_key_entry *entry),
                              void *ctx, char ret_marker[COFFER_MARKER_BYTES_MAX],
                              struct coffer_fault *fault)
{
    struct cof_kms_call call;
    struct page page = {&call, limit, 0, visit, NULL, ctx, "", false};
    const char *after = marker == NULL ? "" : marker;
    int error;

    if (store == NULL || visit == NULL) {
        return cof_kms_fault(fault, COFFER_E_INVALID, NULL);
    }
    error = cof_kms_call_begin(&call, store, "ListKeys", COF_KMS_READS, fault);
    if (error != 0) {
        return error;
    }
    error = after[0] != '\0' && !cof_kms_key_id_ok(after)
                ? bad_marker(&call)
                : cof_kms_db_key_each(store->db, &call.owner, after, page_asks(&page),
                                      visit_key_row, &page, call.fault);
    error = cof_kms_call_settle(&call, error);
    if (error == 0) {
        page_marker(&page, ret_marker);
    }
    cof_kms_call_leave(&call);
    return error;
}

static int list_aliases(struct cof_kms_call *call, const char *key, const char *after,
                        struct page *page)
{
    struct cof_kms_key_row row;
    int error = 0;

    row.arn[0] = '\0';
    if (after[0] != '\0' && !cof_kms_alias_ok(after)) {
        return bad_marker(call);
    }
    if (key != NULL) {
        error = cof_kms_key_find(call, key, true, &row);
    }
    return error == 0 ? cof_kms_db_alias_each(call->ks->db, &call->owner, row.arn, after,
                                              page_asks(page), visit_alias_row, page, call->fault)
                      : error;
}

int coffer_keystore_list_aliases(struct coffer_keystore *store, const char *key, unsigned limit,
                                 const char *marker,
                                 int (*visit)(void *ctx, const struct coffer_alias_entry *entry),
                                 void *ctx, char ret_marker[COFFER_MARKER_BYTES_MAX],
                                 struct coffer_fault *fault)
{
    struct cof_kms_call call;
    struct page page = {&call, limit, 0, NULL, visit, ctx, "", false};
    int error;

    if (store == NULL || visit == NULL) {
        return cof_kms_fault(fault, COFFER_E_INVALID, NULL);
    }
    error = cof_kms_call_begin(&call, store, "ListAliases", COF_KMS_READS, fault);
    if (error != 0) {
        return error;
    }
    error = cof_kms_call_settle(&call,
                                list_aliases(&call, key, marker == NULL ? "" : marker, &page));
    if (error == 0) {
        page_marker(&page, ret_marker);
    }
    cof_kms_call_leave(&call);
    return error;
}
