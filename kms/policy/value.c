/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/policy/value.c - the table of condition keys, and what a request says under each.
 *
 * A key that is not in the table is refused when a document is read: a condition on something that
 * no request ever has would be true or false for ever, and look as if it weighed something.
 */
#include "policy/value.h"

#include "policy/principal.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum row_flags {
    ROW_ARN = 1u << 0,
    ROW_VARIABLE = 1u << 1, /* has one value and no user chooses it freely */
    ROW_SUFFIX = 1u << 2    /* the name goes on                            */
};

/* The value of a key that has at most one; text in scratch or in the request, or NULL. */
typedef const char *(*answer_fn)(const struct cof_policy_run *run, char *scratch, size_t room);

static const char *answer_principal_arn(const struct cof_policy_run *run, char *scratch,
                                        size_t room)
{
    (void)scratch;
    (void)room;
    return run->principal;
}

static const char *answer_account(const struct cof_policy_run *run, char *scratch, size_t room)
{
    (void)scratch;
    (void)room;
    return run->account[0] == '\0' ? NULL : run->account;
}

static const char *answer_principal_type(const struct cof_policy_run *run, char *scratch,
                                         size_t room)
{
    const char *resource = cof_policy_principal_resource(run->principal);

    (void)scratch;
    (void)room;
    if (cof_policy_is_root(run)) {
        return "Account";
    }
    if (strncmp(resource, "user/", 5) == 0) {
        return "User";
    }
    return strncmp(resource, "role/", 5) == 0 ? "AssumedRole" : NULL;
}

static const char *answer_username(const struct cof_policy_run *run, char *scratch, size_t room)
{
    const char *resource = cof_policy_principal_resource(run->principal);

    (void)scratch;
    (void)room;
    return strncmp(resource, "user/", 5) == 0 ? strrchr(resource, '/') + 1 : NULL;
}

static const char *answer_epoch(const struct cof_policy_run *run, char *scratch, size_t room)
{
    (void)snprintf(scratch, room, "%llu", (unsigned long long)(run->request->now_ns / 1000000000u));
    return scratch;
}

static const char *answer_current_time(const struct cof_policy_run *run, char *scratch, size_t room)
{
    time_t seconds = (time_t)(run->request->now_ns / 1000000000u);
    struct tm parts;

    if (gmtime_r(&seconds, &parts) == NULL ||
        strftime(scratch, room, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0) {
        return NULL;
    }
    return scratch;
}

#define ANSWER_MEMBER(member)                                                           \
    static const char *answer_##member(const struct cof_policy_run *run, char *scratch, \
                                       size_t room)                                     \
    {                                                                                   \
        (void)scratch;                                                                  \
        (void)room;                                                                     \
        return run->request->member;                                                    \
    }
ANSWER_MEMBER(region)
ANSWER_MEMBER(source_ip)
ANSWER_MEMBER(user_agent)
ANSWER_MEMBER(via_service)

static const struct row {
    const char *name;
    answer_fn answer; /* NULL: from the request's conditions, or its context */
    unsigned flags;
} rows[] = {
    {"kms:EncryptionContext:", NULL, ROW_SUFFIX},
    {"kms:EncryptionContextKeys", NULL, 0},
    {"aws:CurrentTime", answer_current_time, 0},
    {"aws:EpochTime", answer_epoch, 0},
    {"aws:PrincipalAccount", answer_account, ROW_VARIABLE},
    {"aws:PrincipalArn", answer_principal_arn, ROW_ARN | ROW_VARIABLE},
    {"aws:PrincipalType", answer_principal_type, 0},
    {"aws:RequestedRegion", answer_region, ROW_VARIABLE},
    {"aws:SourceIp", answer_source_ip, 0},
    {"aws:UserAgent", answer_user_agent, 0},
    {"aws:username", answer_username, ROW_VARIABLE},
    {"kms:BypassPolicyLockoutSafetyCheck", NULL, 0},
    {"kms:CallerAccount", answer_account, ROW_VARIABLE},
    {"kms:GrantIsForAWSResource", NULL, 0},
    {"kms:GrantOperations", NULL, 0},
    {"kms:KeyOrigin", NULL, 0},
    {"kms:KeySpec", NULL, 0},
    {"kms:KeyUsage", NULL, 0},
    {"kms:MultiRegion", NULL, 0},
    {"kms:ReEncryptOnSameKey", NULL, 0},
    {"kms:RotationPeriodInDays", NULL, 0},
    {"kms:ScheduleKeyDeletionPendingWindowInDays", NULL, 0},
    {"kms:ViaService", answer_via_service, 0},
};

enum { ROW_CONTEXT = 0, ROW_CONTEXT_KEYS = 1, ROW_COUNT = sizeof(rows) / sizeof(rows[0]) };

bool cof_policy_key_find(const char *name, struct cof_policy_key *ret_key)
{
    size_t stem = strlen(rows[ROW_CONTEXT].name);
    char start[32] = "";
    unsigned i;

    if (strlen(name) > stem) {
        memcpy(start, name, stem);
        if (cof_policy_same_fold(start, rows[ROW_CONTEXT].name)) {
            *ret_key = (struct cof_policy_key){ROW_CONTEXT, name + stem};
            return true;
        }
    }
    for (i = 0; i < ROW_COUNT; i++) {
        if ((rows[i].flags & ROW_SUFFIX) == 0 && cof_policy_same_fold(name, rows[i].name)) {
            *ret_key = (struct cof_policy_key){i, ""};
            return true;
        }
    }
    return false;
}

bool cof_policy_key_is_arn(const struct cof_policy_key *key)
{
    return (rows[key->row].flags & ROW_ARN) != 0;
}

bool cof_policy_key_is_variable(const struct cof_policy_key *key)
{
    return (rows[key->row].flags & ROW_VARIABLE) != 0;
}

static unsigned pair_count(const struct cof_policy_run *run)
{
    return run->request->context == NULL ? 0 : run->request->context->pair_count;
}

void cof_policy_values(struct cof_policy_run *run, const struct cof_policy_key *key,
                       struct cof_policy_cursor *ret_cursor)
{
    unsigned i;

    ret_cursor->run = run;
    ret_cursor->key = *key;
    ret_cursor->at = 0;
    ret_cursor->folded = true;
    for (i = 0; key->row == ROW_CONTEXT && i < pair_count(run); i++) {
        if (strcmp(run->request->context->pairs[i].key, key->suffix) == 0) {
            ret_cursor->folded = false;
        }
    }
}

static const char *next_pair(struct cof_policy_cursor *cursor)
{
    while (cursor->at < pair_count(cursor->run)) {
        const struct coffer_context_pair *pair =
            &cursor->run->request->context->pairs[cursor->at++];

        if (cursor->key.row == ROW_CONTEXT_KEYS) {
            return pair->key;
        }
        if (cursor->folded ? cof_policy_same_fold(pair->key, cursor->key.suffix)
                           : strcmp(pair->key, cursor->key.suffix) == 0) {
            return pair->value;
        }
    }
    return NULL;
}

static const char *next_given(struct cof_policy_cursor *cursor)
{
    const struct cof_policy_request *request = cursor->run->request;
    unsigned i;

    for (i = 0; i < request->condition_count; i++) {
        const struct cof_policy_condition_value *given = &request->conditions[i];

        if (cof_policy_same_fold(given->name, rows[cursor->key.row].name)) {
            return cursor->at < given->count ? given->values[cursor->at++] : NULL;
        }
    }
    return NULL;
}

const char *cof_policy_next_value(struct cof_policy_cursor *cursor)
{
    const struct row *row = &rows[cursor->key.row];

    if (cursor->key.row == ROW_CONTEXT || cursor->key.row == ROW_CONTEXT_KEYS) {
        return next_pair(cursor);
    }
    if (row->answer == NULL) {
        return next_given(cursor);
    }
    if (cursor->at++ > 0) {
        return NULL;
    }
    return row->answer(cursor->run, cursor->scratch, sizeof(cursor->scratch));
}
