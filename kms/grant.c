/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/grant.c - grants made. A name makes it idempotent for its key: the same grant again is the
 * one that is there. Who may make which is decided by authorize.c. Under the store's lock.
 */
#include "spec.h"
#include "verbs.h"

#include <stdio.h>
#include <string.h>

#define CONSTRAINT_PAIRS_MAX 8u
#define CONSTRAINT_VALUE_BYTES_MAX 384u

/* What a grant can name, and for which keys: letters of kinds_of. */
static const struct {
    const char *name, *kinds;
} operations[] = {
    {"CreateGrant", "semra"},
    {"Decapsulate", ""},
    {"Decrypt", "sr"},
    {"DeriveSharedSecret", "a"},
    {"DescribeKey", "semra"},
    {"Encapsulate", ""},
    {"Encrypt", "sr"},
    {"GenerateDataKey", "s"},
    {"GenerateDataKeyPair", "s"},
    {"GenerateDataKeyPairWithoutPlaintext", "s"},
    {"GenerateDataKeyWithoutPlaintext", "s"},
    {"GenerateMac", "m"},
    {"GetPublicKey", "era"},
    {"ReEncryptFrom", "sr"},
    {"ReEncryptTo", "sr"},
    {"RetireGrant", "semra"},
    {"Sign", "e"},
    {"Verify", "e"},
    {"VerifyMac", "m"},
};

#define OPERATION_COUNT (sizeof(operations) / sizeof(operations[0]))

/* s: symmetric encryption, r: RSA encryption, e: signatures, m: MACs, a: key agreement. */
static char kind_of(const struct cof_kms_key_row *key)
{
    if (strcmp(key->key_usage, COF_KMS_USAGE_MAC) == 0) {
        return 'm';
    }
    if (strcmp(key->key_usage, COF_KMS_USAGE_SIGN) == 0) {
        return 'e';
    }
    if (strcmp(key->key_usage, COF_KMS_USAGE_AGREE) == 0) {
        return 'a';
    }
    return strcmp(key->key_spec, COF_KMS_SPEC_DEFAULT) == 0 ? 's' : 'r';
}

/* ---- what is granted --------------------------------------------------------------------- */

/* The names of params in the table's order, each once, separated by commas. */
static int join_operations(struct cof_kms_call *call, const struct cof_kms_key_row *key,
                           const struct cof_kms_create_grant *params, char *ret_text,
                           size_t capacity)
{
    bool wanted[OPERATION_COUNT] = {false};
    size_t length = 0, known;
    unsigned i;

    if (params->operations == NULL || params->operation_count == 0 ||
        params->operation_count > COF_KMS_OPERATIONS_MAX) {
        return cof_kms_fault(call->fault, COFFER_E_INVALID, "a grant names 1 to %u operations",
                             COF_KMS_OPERATIONS_MAX);
    }
    for (i = 0; i < params->operation_count; i++) {
        const char *name = params->operations[i] == NULL ? "" : params->operations[i];

        for (known = 0; known < OPERATION_COUNT; known++) {
            if (strcmp(name, operations[known].name) == 0 &&
                strchr(operations[known].kinds, kind_of(key)) != NULL) {
                break;
            }
        }
        if (known == OPERATION_COUNT) {
            return cof_kms_fault(call->fault, COFFER_E_INVALID,
                                 "'%.40s' is no operation that a grant of a %.31s key for %.31s "
                                 "can name", name, key->key_spec, key->key_usage);
        }
        wanted[known] = true;
    }
    ret_text[0] = '\0';
    for (known = 0; known < OPERATION_COUNT; known++) {
        if (wanted[known]) {
            length += (size_t)snprintf(ret_text + length, capacity - length, "%s%s",
                                       length > 0 ? "," : "", operations[known].name);
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

/* A principal: an ARN is one of a principal, and kept with the partition coffer. */
static int copy_principal(struct cof_kms_call *call, const char *what, const char *from,
                          bool needed, char *ret_text)
{
    static const char aws[] = "arn:aws:";
    char account[13];
    int error = copy_text(call, what, from, needed, ret_text, COFFER_PRINCIPAL_BYTES_MAX);

    if (error != 0 || strncmp(ret_text, "arn:", 4) != 0) {
        return error;
    }
    if (!cof_kms_principal_account(ret_text, account) ||
        strlen(ret_text) + 3 >= COFFER_PRINCIPAL_BYTES_MAX) {
        return cof_kms_fault(call->fault, COFFER_E_ARN, "the grant's %s '%.80s' is no principal",
                             what, from);
    }
    if (strncmp(ret_text, aws, sizeof(aws) - 1) == 0) {
        (void)snprintf(ret_text, COFFER_PRINCIPAL_BYTES_MAX, "arn:coffer:%s",
                       from + sizeof(aws) - 1);
    }
    return 0;
}

static int check_constraint(struct cof_kms_call *call, const struct cof_kms_key_row *key,
                            const struct cof_kms_create_grant *params)
{
    unsigned i, pairs = params->context == NULL ? 0 : params->context->pair_count;

    if (pairs > CONSTRAINT_PAIRS_MAX ||
        (unsigned)params->constraint > COFFER_GRANT_CONTEXT_SUBSET ||
        (pairs == 0) != (params->constraint == COFFER_GRANT_NO_CONSTRAINT)) {
        return cof_kms_fault(call->fault, COFFER_E_INVALID,
                             "a grant's constraint has 1 to %u pairs", CONSTRAINT_PAIRS_MAX);
    }
    if (pairs > 0 && kind_of(key) != 's') {
        return cof_kms_fault(call->fault, COFFER_E_INVALID,
                             "a %.31s key takes no encryption context to constrain a grant by",
                             key->key_spec);
    }
    for (i = 0; i < pairs; i++) {
        const struct coffer_context_pair *pair = &params->context->pairs[i];

        if (pair->key == NULL || pair->value == NULL ||
            strlen(pair->value) > CONSTRAINT_VALUE_BYTES_MAX ||
            strlen(pair->key) > CONSTRAINT_VALUE_BYTES_MAX) {
            return cof_kms_fault(call->fault, COFFER_E_INVALID,
                                 "a pair of a grant's constraint has up to %u bytes on each side",
                                 CONSTRAINT_VALUE_BYTES_MAX);
        }
    }
    return 0;
}

static int fill_grant(struct cof_kms_call *call, const struct cof_kms_key_row *key,
                      const struct cof_kms_create_grant *params, struct cof_kms_grant_row *row)
{
    int error = copy_principal(call, "grantee", params->grantee, true, row->grantee);

    if (error == 0) {
        error = copy_principal(call, "retiring principal", params->retiring_principal, false,
                               row->retiring_principal);
    }
    if (error == 0) {
        error = copy_text(call, "name", params->name, false, row->name, sizeof(row->name));
    }
    if (error == 0) {
        error = copy_text(call, "source ARN", params->source_arn, false, row->source_arn,
                          sizeof(row->source_arn));
    }
    if (error == 0) {
        error = join_operations(call, key, params, row->operations, sizeof(row->operations));
    }
    if (error == 0) {
        error = check_constraint(call, key, params);
    }
    if (error == 0) {
        error = cof_kms_call_context(call, 0, params->context);
    }
    memcpy(row->key_arn, key->arn, sizeof(row->key_arn));
    row->constraint = params->constraint;
    row->context = call->context;
    (void)snprintf(row->issuing_account, sizeof(row->issuing_account), "arn:coffer:iam::%s:root",
                   call->owner.account);
    return error;
}

/* ---- create-grant ------------------------------------------------------------------------ */

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
                   strcmp(row->source_arn, wanted->source_arn) == 0 &&
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

static int add_grant(struct cof_kms_call *call, struct cof_kms_grant_row *row)
{
    uint8_t random[32];
    uint64_t count = 0;
    int error = cof_kms_db_grant_count(call->ks->db, row->key_arn, &count, call->fault);

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

/* Find the key, fill row from params, and ask whether such a grant may be made now. */
static int prepare(struct cof_kms_call *call, const struct cof_kms_create_grant *params,
                   struct cof_kms_grant_row *row)
{
    struct cof_kms_key_row key;
    int error = cof_kms_key_find(call, params->key, true, &key);

    memset(row, 0, sizeof(*row));
    if (error == 0) {
        error = fill_grant(call, &key, params, row);
    }
    if (error == 0) {
        call->new_grant = row;
        error = cof_kms_authorize(call, &key, "kms:CreateGrant");
        call->new_grant = NULL;
    }
    return error == 0 ? cof_kms_key_usable(call, &key) : error;
}

int cof_kms_create_grant(struct cof_kms_call *call, const struct cof_kms_create_grant *params,
                         char ret_grant_id[COFFER_GRANT_ID_BYTES],
                         char ret_token[COF_KMS_GRANT_TOKEN_BYTES_MAX])
{
    struct cof_kms_grant_row row;
    int error = prepare(call, params, &row);

    if (error == 0) {
        error = find_named(call, &row, row.grant_id);
        if (error == 0) {
            error = add_grant(call, &row);
        }
        error = error > 0 ? 0 : error;
    }
    if (error == 0) {
        (void)snprintf(call->detail, sizeof(call->detail),
                       "{\"grantId\":\"%s\",\"operations\":\"%s\"}", row.grant_id, row.operations);
        error = cof_kms_grant_token_make(call, row.key_arn, row.grant_id, ret_token,
                                         COF_KMS_GRANT_TOKEN_BYTES_MAX);
    }
    if (error == 0) {
        memcpy(ret_grant_id, row.grant_id, sizeof(row.grant_id));
    }
    return error;
}
