/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/kms_policy - policy documents, what they say to requests, and their wildcards.
 *
 * The first byte says what the rest is: a policy of a key, of a user, of a role's trust, or a
 * pattern and, behind a line feed, a text. A document that is taken must say the same after it was
 * written anew by the JSON library, allow nothing without a statement that allows, and delegate
 * only where it has principals. A pattern must match what a plain table of all prefixes says.
 */
#include "fuzz/fuzz_driver.h"

#include "kms/policy/parts.h"

#include <stdlib.h>

#define TEXT_MAX 200u
#define KEY_ARN "arn:coffer:kms:local-1:111122223333:key/00000000-0000-4000-8000-000000000001"
#define ALICE "arn:coffer:iam::111122223333:user/alice"

static struct cof_kms_env *environment(void)
{
    static struct cof_kms_env env;
    if (env.api.alloc == NULL) {
        cof_kms_env_init(&env, NULL);
    }
    return &env;
}

/* ---- documents ---------------------------------------------------------------------------- */

static const struct coffer_context_pair pairs[] = {{"App", "backup"}, {"volume", "v1"}};
static const struct coffer_context context = {pairs, 2};
static const char *const operations[] = {"Decrypt", "DescribeKey"};
static const struct cof_policy_condition_value given[] = {{"kms:GrantOperations", operations, 2},
                                                          {"kms:KeySpec", operations, 1}};

static const struct cof_policy_request requests[] = {
    {.principal = ALICE,
     .action = "kms:Decrypt",
     .resource = KEY_ARN,
     .region = "local-1",
     .source_ip = "10.1.2.3",
     .user_agent = "fuzz/1",
     .via_service = "engine",
     .context = &context,
     .now_ns = UINT64_C(1795356000000000000),
     .conditions = given,
     .condition_count = 2},
    {.principal = "arn:coffer:iam::111122223333:root", .action = "kms:Sign", .resource = KEY_ARN},
    {.principal = "arn:coffer:sts::111122223333:assumed-role/admin/monday",
     .action = "sts:AssumeRole",
     .resource = "arn:coffer:iam::111122223333:role/admin",
     .source_ip = "::1",
     .now_ns = 1},
    {.principal = ALICE,
     .action = "coffer-db:Connect",
     .resource = "arn:coffer-db:us-east-1:123456789012:cluster-ABCD1234/*"},
    {.principal = "rds.example.com", .action = "kms:CreateGrant", .resource = "*"},
};

#define REQUESTS (sizeof requests / sizeof requests[0])

static void judge(const struct cof_policy *policy, const char *text, const struct cof_policy *again)
{
    for (size_t i = 0; i < REQUESTS; i++) {
        enum cof_policy_effect effect = cof_policy_eval(policy, &requests[i]);
        harness_require(effect == cof_policy_eval(again, &requests[i]),
                        "request %zu: a policy written anew says another thing", i);
        harness_require(effect == COF_POLICY_NONE || effect == COF_POLICY_DENY ||
                            strstr(text, "\"Allow\"") != NULL,
                        "request %zu is allowed, and nothing allows it", i);
        harness_require(effect != COF_POLICY_DENY || strstr(text, "\"Deny\"") != NULL,
                        "request %zu is denied, and nothing denies it", i);
        harness_require(effect != COF_POLICY_DELEGATE || policy->kind != COF_POLICY_IDENTITY,
                        "an identity policy delegates");
    }
}

static int try_document(enum cof_policy_kind kind, const char *json, size_t size)
{
    struct cof_policy *policy = NULL, *again = NULL;
    struct coffer_fault fault = {0};
    json_t *document;
    char *text;
    if (cof_policy_parse(environment(), kind, json, size, &policy, &fault) != 0) {
        harness_require(policy == NULL && fault.error != 0 && fault.detail[0] != '\0',
                        "a document was refused without a word");
        return 0;
    }
    document = json_loadb(json, size, JSON_REJECT_DUPLICATES, NULL);
    harness_require(document != NULL, "what is no JSON was taken");
    text = json_dumps(document, JSON_COMPACT);
    json_decref(document);
    harness_require(text != NULL, "a taken document can't be written");
    /* Compact JSON may escape what stood plain, and so be too long; that is no matter. */
    if (cof_policy_parse(environment(), kind, text, strlen(text), &again, &fault) == 0) {
        judge(policy, text, again);
    } else {
        harness_require(fault.error == COFFER_E_LIMIT, "written anew it is refused: %s",
                        fault.detail);
    }
    free(text);
    cof_policy_free(again);
    cof_policy_free(policy);
    return 1;
}

/* ---- patterns ----------------------------------------------------------------------------- */

/* reach[j]: the pattern so far matches the first j bytes of text. ASCII only. */
static bool plain_match(const char *pattern, const char *text)
{
    bool reach[TEXT_MAX + 1] = {true}, next[TEXT_MAX + 1];
    size_t length = strlen(text);
    for (; *pattern != '\0'; pattern++) {
        for (size_t j = 0; j <= length; j++) {
            if (*pattern == '*') {
                next[j] = reach[j] || (j > 0 && next[j - 1]);
            } else {
                next[j] = j > 0 && reach[j - 1] && (*pattern == '?' || *pattern == text[j - 1]);
            }
        }
        memcpy(reach, next, length + 1);
    }
    return reach[length];
}

static int try_pattern(const uint8_t *data, size_t size)
{
    static struct cof_policy_run run;
    char source[TEXT_MAX + 1] = "", text[TEXT_MAX + 1] = "", pattern[TEXT_MAX + 8];
    const uint8_t *line = memchr(data, '\n', size);
    size_t first = line == NULL ? 0 : (size_t)(line - data);
    if (line == NULL || first > TEXT_MAX || size - first - 1 > TEXT_MAX) {
        return 0;
    }
    for (size_t i = 0; i < size; i++) {
        if (i != first && (data[i] < 0x20 || data[i] > 0x7e)) {
            return 0;
        }
    }
    memcpy(source, data, first);
    memcpy(text, line + 1, size - first - 1);
    cof_policy_run_init(&run, &requests[0]);
    harness_require(
        cof_policy_pattern_compile(source, COF_PATTERN_WILDCARDS, pattern, sizeof pattern) == NULL,
        "'%s' does not compile", source);
    harness_require(cof_policy_pattern_matches(&run, pattern, text, false) ==
                        plain_match(source, text),
                    "'%s' and '%s'", source, text);
    harness_require(COF_POLICY_STEPS_MAX - run.steps_left <= (first + 2) * (size - first + 1),
                    "'%s' and '%s' take too many steps", source, text);
    return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    if (data[0] % 4 == 0) {
        return try_pattern(data + 1, size - 1);
    }
    return try_document((enum cof_policy_kind)(data[0] % 4), (const char *)data + 1, size - 1);
}

static const char *const seeds[] = {
    "\x01{\"Version\":\"2012-10-17\",\"Id\":\"i\",\"Statement\":[{\"Sid\":\"s\",\"Effect\":"
    "\"Allow\","
    "\"Principal\":{\"AWS\":\"arn:aws:iam::111122223333:root\"},\"Action\":\"kms:*\","
    "\"Resource\":\"*\"},{\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":\"kms:Sign\","
    "\"Resource\":\"*\"}]}",
    "\x01{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":[\"" ALICE
    "\",\"444455556666\",\"*\"],\"Service\":\"rds.example.com\"},\"NotAction\":[\"kms:D*\"],"
    "\"Resource\":\"arn:aws:kms:*:*:key/*\",\"Condition\":{\"StringLike\":"
    "{\"kms:EncryptionContext:App\":[\"b*\",\"x\"]},\"Bool\":{\"kms:MultiRegion\":true}}}}",
    "\x01{\"Statement\":{\"Effect\":\"Deny\",\"NotPrincipal\":{\"AWS\":\"" ALICE
    "\"},\"Action\":\"*\",\"NotResource\":\"*\",\"Condition\":{\"NotIpAddress\":"
    "{\"aws:SourceIp\":[\"10.0.0.0/8\",\"::1\"]},\"DateGreaterThan\":"
    "{\"aws:CurrentTime\":\"2026-01-01T00:00:00Z\"}}}}",
    "\x02{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":[\"kms:*\"],"
    "\"Resource\":\"arn:coffer:kms:*:${aws:PrincipalAccount}:key/${*}*\",\"Condition\":"
    "{\"ForAllValues:StringEquals\":{\"kms:GrantOperations\":[\"Decrypt\"]},"
    "\"NumericLessThanIfExists\":{\"kms:RotationPeriodInDays\":90}}}]}",
    "\x02{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":"
    "[\"coffer-db:*\"],\"Resource\":[\"arn:coffer-db:us-east-1:123456789012:*/*\"]}]}",
    "\x02{\"Version\":\"2008-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"*\","
    "\"Resource\":\"*\",\"Condition\":{\"ArnNotLike\":{\"aws:PrincipalArn\":"
    "\"arn:aws:iam::*:user/b*\"},\"Null\":{\"kms:KeySpec\":\"false\"}}}]}",
    "\x03{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":"
    "{\"AWS\":\"arn:aws:sts::111122223333:assumed-role/admin/monday\"},\"Action\":"
    "\"sts:AssumeRole\"}]}",
    "\x04*a?b*c\nxxazbyyc",
    "\x04*aab*aab?\naaaabaaaabaab",
};

size_t fuzz_seed(unsigned number, uint8_t *bytes, size_t room)
{
    size_t length;
    if (number >= sizeof seeds / sizeof seeds[0]) {
        return 0;
    }
    length = strlen(seeds[number]);
    if (length > room) {
        return 0;
    }
    memcpy(bytes, seeds[number], length);
    return length;
}

FUZZ_MAIN("fuzz_kms_policy", 3000000)
