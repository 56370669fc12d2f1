/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/grant.c - grants: recorded, listed, retired. Who may use them is decided by the key service;
 * the embedded store has one principal, the account, which needs none. Any thread.
 */
#include "kms.h"

#include <stdio.h>
#include <string.h>

#define CONSTRAINT_PAIRS_MAX 8u

static const char *const operation_names[] = {
    "CreateGrant",     "Decapsulate",
    "Decrypt",         "DeriveSharedSecret",
    "DescribeKey",     "Encapsulate",
    "Encrypt",         "GenerateDataKey",
    "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext",
    "GenerateDataKeyWithoutPlaintext", "GenerateMac",
    "GetPublicKey",    "ReEncryptFrom",
    "ReEncryptTo",     "RetireGrant",
    "Sign",            "Verify",
    "VerifyMac",
};

#define OPERATION_COUNT (sizeof(operation_names) / sizeof(operation_names[0]))

/* ---- create ------------------------------------------------------------------------------ */

/* The names of opts in the table's order, each once, separated by commas. */
static int join_operations(struct cof_kms_call *call, const struct coffer_grant_opts *opts,
                           char *ret_text, size_t capacity)
{
    bool wanted[OPERATION_COUNT] = {false};
    size_t length = 0, known;
    unsigned i;

    if (opts->operations == NULL || opts->operation_count == 0) {
        return cof_kms_fault(call->fault, COFFER_E_INVALID, "a grant names at least one operation");
    }
    for (i = 0; i < opts->operation_count; i++) {
        const char *name = opts->operations[i];

        for (known = 0; known < OPERATION_COUNT; known++) {
            if (name != NULL && strcmp(name, operation_names[known]) == 0) {
                break;
            }
        }
        if (known == OPERATION_COUNT) {
            return cof_kms_fault(call->fault, COFFER_E_INVALID,
                                 "'%.40s' is no operation that a grant can name",
                                 name == NULL ? "" : name);
        }
        wanted[known] = true;
    }
    ret_text[0] = '\0';
    for (known = 0; known < OPERATION_COUNT; known++) {
        if (wanted[known]) {
            length += (size_t)snprintf(ret_text + length, capacity - length, "%s%s",
                                       length > 0 ? "," : "", operation_names[known]);
        }
    }
    return 0;
}

static int copy_text(struct cof_kms_call *call, const char *what, const char *from, bool needed,
                     char *ret_text, size_t capacity)
{
    const char *text = from == NULL ? "" : from;

    if (strlen(text) >= capacity || !cof_kms_text_ok(text) || (needed && text[0] == '\0')) {
        return cof_kms_fault(call->fault, COFFER_E_INVALID,
                             "the grant's %s is missing, longer than 256 bytes or not UTF-8", what);
    }
    memcpy(ret_text, text, strlen(text) + 1);
    return 0;
}

static int fill_grant(struct cof_kms_call *call, const struct coffer_grant_opts *opts,
                      struct cof_kms_grant_row *row)
{
    unsigned pairs = opts->context == NULL ? 0 : opts->context->pair_count;
    int error = copy_text(call, "grantee", opts->grantee, true, row->grantee,
                          sizeof(row->grantee));

    if (error == 0) {
        error = copy_text(call, "retiring principal", opts->retiring_principal, false,
                          row->retiring_principal, sizeof(row->retiring_principal));
    }
    if (error == 0) {
        error = copy_text(call, "name", opts->name, false, row->name, sizeof(row->name));
    }
    if (error == 0) {
        error = join_operations(call, opts, row->operations, sizeof(row->operations));
    }
    if (error == 0 && (pairs > CONSTRAINT_PAIRS_MAX ||
                       (unsigned)opts->constraint > COFFER_GRANT_CONTEXT_SUBSET ||
                       (pairs == 0) != (opts->constraint == COFFER_GRANT_NO_CONSTRAINT))) {
        error = cof_kms_fault(call->fault, COFFER_E_INVALID,
                              "a grant's constraint has 1 to %u pairs", CONSTRAINT_PAIRS_MAX);
    }
    if (error == 0) {
        error = cof_kms_call_context(call, 0, opts->context);
    }
    row->constraint = opts->constraint;
    row->context = call->context;
    return error;
}

struct same_grant {
    const struct cof_kms_grant_row *wanted;
    char grant_id[COFFER_GRANT_ID_BYTES];
    bool named, same;
};

static int visit_same(void *ctx, const struct cof_kms_grant_row *row)
{
    struct same_grant *search = ctx;
    const struct cof_kms_grant_row *wanted = search->wanted;

    search->named = true;
    search->same = strcmp(row->grantee, wanted->grantee) == 0 &&
                   strcmp(row->retiring_principal, wanted->retiring_principal) == 0 &&
                   strcmp(row->operations, wanted->operations) == 0 &&
                   row->constraint == wanted->constraint &&
                   row->context.length_bytes == wanted->context.length_bytes &&
                   memcmp(row->context.at, wanted->context.at, row->context.length_bytes) == 0;
    memcpy(search->grant_id, row->grant_id, sizeof(search->grant_id));
    return 0;
}

/* A named grant that is there already: its id and 1, EXISTS when it is another, or 0. */
static int find_named(struct cof_kms_call *call, const struct cof_kms_grant_row *row,
                      char *ret_grant_id)
{
    struct cof_kms_grant_filter filter = {row->key_arn, NULL, row->name, NULL, NULL};
    struct same_grant search;
    int error;

    memset(&search, 0, sizeof(search));
    search.wanted = row;
    if (row->name[0] == '\0') {
        return 0;
    }
    error = cof_kms_db_grant_each(call->ks->db, &filter, "", 1, visit_same, &search, call->fault);
    if (error != 0 || !search.named) {
        return error;
    }
    if (!search.same) {
        return cof_kms_fault(call->fault, COFFER_E_EXISTS,
                             "the key has another grant of the name '%.60s'", row->name);
    }
    memcpy(ret_grant_id, search.grant_id, sizeof(search.grant_id));
    return 1;
}

static int add_grant(struct cof_kms_call *call, const struct coffer_grant_opts *opts,
                     struct cof_kms_grant_row *row)
{
    struct cof_kms_key_row key;
    uint8_t random[32];
    uint64_t count = 0;
    int error = fill_grant(call, opts, row);

    if (error == 0) {
        error = cof_kms_key_find(call, opts->key, true, &key);
    }
    if (error == 0) {
        error = cof_kms_key_usable(call, &key);
    }
    if (error != 0) {
        return error;
    }
    memcpy(row->key_arn, key.arn, sizeof(row->key_arn));
    (void)snprintf(row->issuing_account, sizeof(row->issuing_account), "arn:coffer:iam::%s:root",
                   call->owner.account);
    error = find_named(call, row, row->grant_id);
    if (error != 0) {
        return error > 0 ? 0 : error;
    }
    error = cof_kms_db_grant_count(call->ks->db, key.arn, &count, call->fault);
    if (error == 0 && count >= COF_KMS_GRANTS_MAX) {
        error = cof_kms_fault(call->fault, COFFER_E_LIMIT, "the key has %u grants, its limit",
                              COF_KMS_GRANTS_MAX);
    }
    if (error == 0 && cof_kms_random(&call->ks->env, random, sizeof(random)) != 0) {
        error = cof_kms_fault(call->fault, COFFER_E_CRYPTO, NULL);
    }
    if (error != 0) {
        return error;
    }
    cof_kms_hex(random, sizeof(random), row->grant_id);
    row->created_ns = cof_kms_wall_ns(&call->ks->env);
    return cof_kms_db_grant_add(call->ks->db, row, call->fault);
}

int coffer_keystore_create_grant(struct coffer_keystore *store,
                                 const struct coffer_grant_opts *opts,
                                 char ret_grant_id[COFFER_GRANT_ID_BYTES],
                                 struct coffer_fault *fault)
{
    struct cof_kms_grant_row row;
    struct cof_kms_call call;
    int error;

    if (store == NULL || opts == NULL || opts->size != sizeof(*opts) || opts->key == NULL ||
        ret_grant_id == NULL || opts->operation_count > COF_KMS_OPERATIONS_MAX) {
        return cof_kms_fault(fault, COFFER_E_INVALID, NULL);
    }
    memset(&row, 0, sizeof(row));
    error = cof_kms_call_begin(&call, store, "CreateGrant", COF_KMS_CHANGES, fault);
    if (error != 0) {
        return error;
    }
    error = add_grant(&call, opts, &row);
    if (error == 0) {
        (void)snprintf(call.detail, sizeof(call.detail),
                       "{\"grantId\":\"%s\",\"operations\":\"%s\"}", row.grant_id, row.operations);
    }
    error = cof_kms_call_settle(&call, error);
    if (error == 0) {
        memcpy(ret_grant_id, row.grant_id, sizeof(row.grant_id));
    }
    cof_kms_call_leave(&call);
    return error;
}

/* ---- retire ------------------------------------------------------------------------------ */

static int remove_grant(struct cof_kms_call *call, const char *key, const char *grant_id)
{
    struct cof_kms_key_row row;
    int error;

    if (!cof_kms_hex_ok(grant_id, COFFER_GRANT_ID_BYTES - 1)) {
        return cof_kms_fault(call->fault, COFFER_E_NOT_FOUND,
                             "'%.64s' is no grant id: give 64 hex digits", grant_id);
    }
    (void)snprintf(call->detail, sizeof(call->detail), "{\"grantId\":\"%s\"}", grant_id);
    error = cof_kms_key_find(call, key, true, &row);
    return error == 0 ? cof_kms_db_grant_remove(call->ks->db, row.arn, grant_id, call->fault)
                      : error;
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
    error = cof_kms_call_settle(&call, remove_grant(&call, key, grant_id));
    cof_kms_call_leave(&call);
    return error;
}
