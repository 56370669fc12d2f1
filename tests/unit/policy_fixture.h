/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy_fixture.h - policies from short texts, and requests about one key.
 *
 * Documents are written with ' for ", so that they can be read.
 */
#ifndef POLICY_FIXTURE_H
#define POLICY_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kms/policy/parts.h"
#include "kms/testhook.h"
#include <coffer/keystore.h>

#define HOME "111122223333"
#define ABROAD "444455556666"
#define KEY_ARN "arn:coffer:kms:local-1:111122223333:key/00000000-0000-4000-8000-000000000001"
#define ROOT "arn:coffer:iam::111122223333:root"
#define ALICE "arn:coffer:iam::111122223333:user/alice"
#define BOB "arn:coffer:iam::111122223333:user/bob"
#define ADMIN "arn:coffer:iam::111122223333:role/admin"
#define SESSION "arn:coffer:sts::111122223333:assumed-role/admin/monday"
#define STRANGER "arn:coffer:iam::444455556666:user/eve"

/* One statement around parts, e.g. STATEMENT("Allow", "'Action':'kms:*','Resource':'*'"). */
#define DOCUMENT(statements) "{'Version':'2012-10-17','Statement':[" statements "]}"
#define STATEMENT(effect, parts) "{'Effect':'" effect "'," parts "}"
#define ALL "'Action':'kms:*','Resource':'*'"

#define KEY_STATEMENT(parts) DOCUMENT("{'Effect':'Allow','Principal':'*'," parts "}")
#define USER_STATEMENT(parts) DOCUMENT("{'Effect':'Allow'," parts "}")

static inline struct cof_kms_env *policy_env(void)
{
    static struct cof_kms_env env;

    if (env.api.alloc == NULL) {
        cof_kms_env_init(&env, NULL);
    }
    return &env;
}

static inline int policy_read(enum cof_policy_kind kind, const char *quoted,
                              struct cof_policy **ret_policy, struct coffer_fault *fault)
{
    size_t bytes = strlen(quoted), i;
    char *json = malloc(bytes + 1);
    int error;

    assert_non_null(json);
    for (i = 0; i <= bytes; i++) {
        json[i] = quoted[i] == '\'' ? '"' : quoted[i];
    }
    memset(fault, 0, sizeof(*fault));
    error = cof_policy_parse(policy_env(), kind, json, bytes, ret_policy, fault);
    free(json);
    return error;
}

static inline struct cof_policy *policy_of(enum cof_policy_kind kind, const char *quoted)
{
    struct cof_policy *policy = NULL;
    struct coffer_fault fault;

    if (policy_read(kind, quoted, &policy, &fault) != 0) {
        fail_msg("%s: %s", quoted, fault.detail);
    }
    return policy;
}

static inline struct cof_policy_request request_of(const char *principal, const char *action)
{
    struct cof_policy_request request;

    memset(&request, 0, sizeof(request));
    request.principal = principal;
    request.action = action;
    request.resource = KEY_ARN;
    request.region = "local-1";
    return request;
}

/* Ask a document once. */
static inline enum cof_policy_effect ask(enum cof_policy_kind kind, const char *quoted,
                                         const struct cof_policy_request *request)
{
    struct cof_policy *policy = policy_of(kind, quoted);
    enum cof_policy_effect effect = cof_policy_eval(policy, request);

    cof_policy_free(policy);
    return effect;
}

/* The document is refused with error and a sentence that has words. */
static inline void refused(enum cof_policy_kind kind, const char *document, int error,
                           const char *words)
{
    struct cof_policy *policy = NULL;
    struct coffer_fault fault;
    int got = policy_read(kind, document, &policy, &fault);

    if (got != error || policy != NULL || strstr(fault.detail, words) == NULL) {
        fail_msg("%s gave %d '%s', not %d '%s'", document, got, fault.detail, error, words);
    }
}

/* Fill room with a document of count times piece, commas between. */
static inline void repeat(char *room, const char *head, const char *piece, unsigned count,
                          const char *tail)
{
    unsigned i;

    strcpy(room, head);
    for (i = 0; i < count; i++) {
        strcat(room, i > 0 ? "," : "");
        strcat(room, piece);
    }
    strcat(room, tail);
}

#endif
