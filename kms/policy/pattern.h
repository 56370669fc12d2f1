/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/policy/pattern.h - compiled patterns of a policy, and matching them in bounded work.
 *
 * In a compiled pattern three control characters stand for what has a meaning; documents may hold
 * none, so every other byte stands for itself:
 *
 *   COF_PATTERN_STAR       any number of characters, none as well
 *   COF_PATTERN_ONE        one character
 *   COF_PATTERN_VARIABLE   and a byte: the value of that condition key plus one (value.h)
 */
#ifndef COF_POLICY_PATTERN_H
#define COF_POLICY_PATTERN_H

#include "policy/policy.h"

#define COF_PATTERN_STAR '\x01'
#define COF_PATTERN_ONE '\x02'
#define COF_PATTERN_VARIABLE '\x03'

#define COF_POLICY_ARN_PARTS 6u
#define COF_POLICY_ARN_BYTES_MAX 512u

struct cof_policy_text {
    const char *at;
    size_t bytes;
};

struct cof_policy_text cof_policy_text_of(const char *text);
bool cof_policy_text_is(struct cof_policy_text text, const char *other);
/* ASCII letters count as equal to their other case. */
bool cof_policy_same_fold(const char *left, const char *right);

/* The parts of an ARN, arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE, of which the last may hold
 * colons. False when there are fewer. */
bool cof_policy_arn_split(struct cof_policy_text arn,
                          struct cof_policy_text ret_parts[COF_POLICY_ARN_PARTS]);

/* One policy being asked one request. */
struct cof_policy_run {
    const struct cof_policy_request *request;
    char account[13];                         /* of the principal, or ""                      */
    char principal[COF_POLICY_ARN_BYTES_MAX]; /* aws:PrincipalArn: a session's is its role    */
    uint32_t steps_left;
    bool overrun;            /* too many steps, too long a text, or no whole request: it denies  */
    bool unresolved_matches; /* what a pattern with a variable without value is held for       */
    char expanded[2 * COF_POLICY_PATTERN_BYTES_MAX];
};

void cof_policy_run_init(struct cof_policy_run *run, const struct cof_policy_request *request);

enum cof_policy_pattern_flags {
    COF_PATTERN_WILDCARDS = 1u << 0, /* * and ? have a meaning                                 */
    COF_PATTERN_VARIABLES = 1u << 1, /* ${name} has one                                        */
    COF_PATTERN_ARN = 1u << 2        /* arn:aws: is arn:coffer:                                */
};

/* Compile source into ret_pattern, of room bytes, which strlen(source) + 4 suffice for. NULL, or
 * what is wrong, to follow "'source' ". */
const char *cof_policy_pattern_compile(const char *source, unsigned flags, char *ret_pattern,
                                       size_t room);

/* Each character of pattern is tried at most once for each of value: no backtracking beyond the
 * last star. */
bool cof_policy_pattern_matches(struct cof_policy_run *run, const char *pattern, const char *value,
                                bool fold);
/* As ARNs: each part for itself, so that no star reaches over a colon but in the last. */
bool cof_policy_pattern_matches_arn(struct cof_policy_run *run, const char *pattern,
                                    const char *value);

#endif
