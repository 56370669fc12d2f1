/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/grant_match.c - what a grant lets its grantee do.
 *
 * A grant counts for its grantee: that principal or, for a role, each of its sessions. Its
 * constraint is compared with the call's encryption context: keys without regard to case, values
 * with it. A constraint doesn't narrow operations that have no context; for CreateGrant it says
 * what the new grant must be within. Under the store's lock.
 */
#include "identity/identity.h"

#include <string.h>
#include <strings.h>

/* Whether name stands in list, whose names are separated by commas. */
static bool lists(const char *list, const char *name, size_t name_bytes)
{
    while (*list != '\0') {
        size_t bytes = strcspn(list, ",");

        if (bytes == name_bytes && strncmp(list, name, bytes) == 0) {
            return true;
        }
        list += bytes + (list[bytes] == ',');
    }
    return false;
}

static bool lists_all(const char *list, const char *names)
{
    while (*names != '\0') {
        size_t bytes = strcspn(names, ",");

        if (!lists(list, names, bytes)) {
            return false;
        }
        names += bytes + (names[bytes] == ',');
    }
    return true;
}

/* Whether each pair of some is one of all. */
static bool is_within(const struct cof_kms_context *some, const struct cof_kms_context *all)
{
    unsigned i, j;

    for (i = 0; i < some->pair_count; i++) {
        for (j = 0; j < all->pair_count; j++) {
            if (strcasecmp(some->pairs[i].key, all->pairs[j].key) == 0 &&
                strcmp(some->pairs[i].value, all->pairs[j].value) == 0) {
                break;
            }
        }
        if (j == all->pair_count) {
            return false;
        }
    }
    return true;
}

static bool meets(enum coffer_grant_constraint kind, const struct cof_kms_context *constraint,
                  const struct cof_kms_context *context)
{
    if (kind == COFFER_GRANT_CONTEXT_EQUALS && constraint->pair_count != context->pair_count) {
        return false;
    }
    return kind == COFFER_GRANT_NO_CONSTRAINT || is_within(constraint, context);
}

/* Compare a grant's constraint with packed, a context or another constraint. */
static int compare(struct cof_kms_call *call, const struct cof_kms_grant_row *row,
                   struct cof_kms_bytes packed, bool *ret_meets)
{
    static const uint8_t none[4] = {0, 0, 0, 0};
    struct cof_kms_env *env = &call->ks->env;
    struct cof_kms_context constraint = {NULL, 0, NULL}, context = {NULL, 0, NULL};
    int error;

    if (packed.length_bytes == 0) {
        packed = (struct cof_kms_bytes){none, sizeof(none)};
    }
    error = cof_kms_context_unpack(env, row->context, &constraint);
    if (error == 0) {
        error = cof_kms_context_unpack(env, packed, &context);
    }
    if (error == 0) {
        *ret_meets = meets(row->constraint, &constraint, &context);
    }
    cof_kms_context_free(env, &constraint);
    cof_kms_context_free(env, &context);
    return error == 0 ? 0 : cof_kms_fault(call->fault, error, NULL);
}

/* Whether child gives no more than parent does. */
static int covers(struct cof_kms_call *call, const struct cof_kms_grant_row *parent,
                  const struct cof_kms_grant_row *child, bool *ret_covers)
{
    bool covered = lists_all(parent->operations, child->operations);
    int error = 0;

    if (parent->constraint == COFFER_GRANT_CONTEXT_EQUALS) {
        covered = covered && child->constraint == COFFER_GRANT_CONTEXT_EQUALS;
    }
    if (parent->constraint != COFFER_GRANT_NO_CONSTRAINT) {
        covered = covered && child->constraint != COFFER_GRANT_NO_CONSTRAINT;
    }
    if (covered) {
        error = compare(call, parent, child->context, &covered);
    }
    if (error == 0) {
        *ret_covers = covered;
    }
    return error;
}

struct search {
    struct cof_kms_call *call;
    const char *operation;
    bool allows;
};

/* Operations whose request has an encryption context. */
static bool has_context(const char *operation)
{
    static const char with[] = "Decrypt,Encrypt,GenerateDataKey,GenerateDataKeyPair,"
                               "GenerateDataKeyPairWithoutPlaintext,"
                               "GenerateDataKeyWithoutPlaintext,ReEncryptFrom,ReEncryptTo";

    return lists(with, operation, strlen(operation));
}

static int visit_grant(void *ctx, const struct cof_kms_grant_row *row)
{
    struct search *search = ctx;
    struct cof_kms_call *call = search->call;
    bool source = strcmp(search->operation, "ReEncryptFrom") == 0;

    if (search->allows || !lists(row->operations, search->operation, strlen(search->operation)) ||
        (row->source_arn[0] != '\0' &&
         (call->caller.source_arn == NULL ||
          strcmp(row->source_arn, call->caller.source_arn) != 0))) {
        return 0;
    }
    if (call->new_grant != NULL && strcmp(search->operation, "CreateGrant") == 0) {
        return covers(call, row, call->new_grant, &search->allows);
    }
    if (!has_context(search->operation)) {
        search->allows = true;
        return 0;
    }
    return compare(call, row, source ? call->source_context : call->context, &search->allows);
}

int cof_kms_grant_allows(struct cof_kms_call *call, const struct cof_kms_key_row *row,
                         const char *operation, bool *ret_allows)
{
    char role[COFFER_PRINCIPAL_BYTES_MAX];
    struct cof_kms_grant_filter filter = {row->arn, NULL, NULL, call->caller.principal, NULL};
    struct search search = {call, operation, false};
    int error = cof_kms_db_grant_each(call->ks->db, &filter, "", 0, visit_grant, &search,
                                      call->fault);

    cof_identity_owner(call->caller.principal, role);
    if (error == 0 && !search.allows && strcmp(role, call->caller.principal) != 0) {
        filter.grantee = role;
        error = cof_kms_db_grant_each(call->ks->db, &filter, "", 0, visit_grant, &search,
                                      call->fault);
    }
    if (error == 0) {
        *ret_allows = search.allows;
    }
    return error;
}
