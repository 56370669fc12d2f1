/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/policy/policy.h - policy documents, and the one decision who may do what.
 *
 * Pure: no store, no clock, no state. A parsed policy never changes, so threads may share it. What
 * a statement may ask about is in the request; the time is the caller's.
 *
 * ARNs in a request are of the partition `coffer` and of the account that its fifth part names.
 * Documents may write `aws` for the partition: it is read as `coffer`.
 *
 * Nobody has an implicit right to a key: not its creator, not the root of its account. A document
 * that isn't understood whole is refused, so no statement is ever ignored.
 */
#ifndef COF_POLICY_POLICY_H
#define COF_POLICY_POLICY_H

#include "env.h"

#include <coffer/keys.h>
#include <jansson.h>
#include <stdbool.h>

#define COF_POLICY_KEY_BYTES_MAX 32768u     /* any document, white space and all           */
#define COF_POLICY_IDENTITY_BYTES_MAX 6144u /* identity and trust: without white space     */
#define COF_POLICY_STATEMENTS_MAX 128u
#define COF_POLICY_VALUES_MAX 512u         /* entries of one list                         */
#define COF_POLICY_PATTERN_BYTES_MAX 2048u /* one action, resource, principal or value    */
#define COF_POLICY_STEPS_MAX (1u << 22)    /* of matching, for one policy and one request */
#define COF_POLICY_DEFAULT_BYTES 320u      /* room for cof_policy_default                 */

struct cof_policy;

enum cof_policy_kind {
    COF_POLICY_KEY = 1,  /* of a key: Principal and Resource, actions of kms alone            */
    COF_POLICY_IDENTITY, /* of a user or role, boundary or session: Resource, no Principal    */
    COF_POLICY_TRUST     /* who may become a role: Principal, no Resource, actions of sts     */
};

/* Read a document. POLICY with a sentence that names the statement and what is wrong (what AWS
 * calls MalformedPolicyDocument), LIMIT when it is too long, NO_MEMORY. env must outlive the
 * policy. */
COFFER_MUST_CHECK int cof_policy_parse(struct cof_kms_env *env, enum cof_policy_kind kind,
                                       const char *json, size_t bytes,
                                       struct cof_policy **ret_policy, struct coffer_fault *fault);
void cof_policy_free(struct cof_policy *policy);

/* CreateKey's policy when it is given none: the root of account, and so its identity policies. */
void cof_policy_default(const char *account, char ret_json[COF_POLICY_DEFAULT_BYTES]);

/* ---- requests ---------------------------------------------------------------------------- */

/* What the request says under the name of a condition key; several values for one such as
 * kms:GrantOperations. Numbers are decimal, bools are true or false, ARNs as above. */
struct cof_policy_condition_value {
    const char *name;
    const char *const *values;
    unsigned count;
};

/*
 * Who asks for what. Texts that are NULL are not part of the request, and conditions on them find
 * nothing. These condition keys are answered from the members: aws:PrincipalArn (of a session: its
 * role's), aws:PrincipalAccount, aws:PrincipalType, kms:CallerAccount, aws:username (of a user),
 * aws:CurrentTime, aws:EpochTime, aws:SourceIp, aws:UserAgent, aws:RequestedRegion, kms:ViaService,
 * kms:EncryptionContext:KEY, kms:EncryptionContextKeys. The rest, each where the request has it,
 * comes in conditions: kms:BypassPolicyLockoutSafetyCheck, kms:GrantIsForAWSResource,
 * kms:GrantOperations, kms:KeyOrigin, kms:KeySpec, kms:KeyUsage, kms:MultiRegion,
 * kms:ReEncryptOnSameKey, kms:RotationPeriodInDays, kms:ScheduleKeyDeletionPendingWindowInDays.
 */
struct cof_policy_request {
    const char *principal; /* ARN                                                              */
    const char *action;    /* kms:Decrypt, sts:AssumeRole, coffer-db:Connect                   */
    const char *resource;  /* ARN of key, alias, role or volume; "*" where there is none       */
    const char *region, *source_ip, *user_agent, *via_service;
    const struct coffer_context *context; /* encryption context                                */
    uint64_t now_ns;                      /* wall clock                                        */
    const struct cof_policy_condition_value *conditions;
    unsigned condition_count;
};

/* The account of an ARN, or "" when it names none. */
void cof_policy_account_of(const char *arn, char ret_account[13]);

/* ---- one policy -------------------------------------------------------------------------- */

/* In rising strength: the strongest statement that applies counts. */
enum cof_policy_effect {
    COF_POLICY_NONE = 0,
    COF_POLICY_DELEGATE, /* a Principal allows the caller's account, not the caller by name   */
    COF_POLICY_ALLOW,
    COF_POLICY_DENY
};

/* policy NULL: NONE. A policy that takes more than COF_POLICY_STEPS_MAX steps denies. */
enum cof_policy_effect cof_policy_eval(const struct cof_policy *policy,
                                       const struct cof_policy_request *request);

/* ---- the decision ------------------------------------------------------------------------ */

struct cof_decision_input {
    const struct cof_policy_request *request;
    const char *account;                 /* that the resource belongs to                       */
    const struct cof_policy *key_policy; /* of the key (or the trust policy of the role)       */
    bool keyless; /* the call is about no key (CreateKey, ListKeys, aliases, volumes), so there is
                     no key policy to ask: identity policies alone, in the same account only   */
    const struct cof_policy *const *identity_policies;
    unsigned identity_policy_count;
    const struct cof_policy *boundary;       /* NULL: none */
    const struct cof_policy *session_policy; /* NULL: none */
    bool grant_allows; /* a grant to the caller, or by token, covers action and context        */
};

/*
 * May it be done? In this order:
 *   1. a Deny in any of the policies: no;
 *   2. a boundary or a session policy that doesn't Allow it: no, whatever else allows;
 *   3. same account: the key policy Allows the caller, or it delegates to the account and an
 *      identity policy Allows; other account: the key policy Allows caller or account, and an
 *      identity policy Allows as well;
 *   4. a grant: yes; else no.
 * The root of an account counts as allowed by its identity policies. *ret_reason gets a static
 * text: after a yes "by the key policy" and the like, after a no how AWS words it ("with an
 * explicit deny in a resource-based policy"), to end the sentence "X is not authorized to perform:
 * A on resource: R ...".
 */
bool cof_policy_decide(const struct cof_decision_input *input, const char **ret_reason);

/* The lockout check: with input->key_policy in force, may input->request->principal still call
 * kms:PutKeyPolicy on the resource? Action, conditions and grants of input don't count. */
bool cof_policy_keeps(const struct cof_decision_input *input);

/* The decision with all that led to it, as IAM's simulator words it: {"EvalActionName",
 * "EvalResourceName", "EvalDecision": allowed | explicitDeny | implicitDeny, "Reason",
 * "MatchedStatements": [{"SourcePolicyType": key | identity | boundary | session, "PolicyIndex",
 * "StatementIndex" (both from 0), "Sid", "Effect", "ByAccount": the Principal that matched is the
 * caller's account}]}. NO_MEMORY. */
COFFER_MUST_CHECK int cof_policy_simulate(const struct cof_decision_input *input,
                                          json_t **ret_result);

#endif
