/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/policy/parts.h - a parsed policy in memory, and what its readers share.
 *
 * Everything a policy points to lies in its own blocks and goes with it.
 */
#ifndef COF_POLICY_PARTS_H
#define COF_POLICY_PARTS_H

#include "policy/value.h"

struct cof_policy_list {
    const char **patterns; /* NULL: the statement has no such element */
    unsigned count;
    bool inverted; /* NotAction, NotResource */
};

enum cof_policy_principal_kind {
    COF_PRINCIPAL_ANYONE, /* *                                                   */
    COF_PRINCIPAL_ACCOUNT,
    COF_PRINCIPAL_ARN, /* user, role, or session of a role                       */
    COF_PRINCIPAL_SERVICE
};

struct cof_policy_principal {
    enum cof_policy_principal_kind kind;
    const char *name; /* 12 digits, ARN, or name of the service */
};

/* A value of a condition, as its operator wants it. */
struct cof_policy_operand {
    const char *pattern;
    int64_t number;
    struct cof_policy_network network;
};

enum cof_policy_qualifier {
    COF_QUALIFIER_NONE,
    COF_QUALIFIER_ALL, /* ForAllValues: */
    COF_QUALIFIER_ANY  /* ForAnyValue:  */
};

struct cof_policy_operator; /* a row of condition.c's table */

struct cof_policy_condition {
    const struct cof_policy_operator *op;
    enum cof_policy_qualifier qualifier;
    bool if_exists;
    struct cof_policy_key key;
    struct cof_policy_operand *operands;
    unsigned operand_count;
};

struct cof_policy_statement {
    const char *sid; /* "" for none */
    enum cof_policy_effect effect;
    struct cof_policy_principal *principals;
    unsigned principal_count;
    bool principals_inverted; /* NotPrincipal */
    struct cof_policy_list actions, resources;
    struct cof_policy_condition *conditions;
    unsigned condition_count;
    bool has_database_action, has_other_action, has_database_resource, has_other_resource;
};

struct cof_policy_block;

struct cof_policy {
    struct cof_kms_env *env;
    enum cof_policy_kind kind;
    bool variables; /* ${...} has a meaning: Version 2012-10-17 */
    struct cof_policy_statement *statements;
    unsigned statement_count;
    struct cof_policy_block *blocks;
};

/* Zeroed memory that goes with the policy; NULL when there is none. */
void *cof_policy_keep(struct cof_policy *policy, size_t bytes);

/* ---- reading ------------------------------------------------------------------------------ */

struct cof_policy_reader {
    struct cof_policy *policy;
    unsigned statement; /* being read, from 1; 0: none */
    struct coffer_fault *fault;
};

/* POLICY, with a sentence that begins with the statement. */
int cof_policy_malformed(const struct cof_policy_reader *reader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int cof_policy_no_memory(const struct cof_policy_reader *reader);

/* value stands for itself or is a list: how many there are, one at least, and the at-th of them.
 * element is for the sentence. */
COFFER_MUST_CHECK int cof_policy_count_values(const struct cof_policy_reader *reader,
                                              const char *element, json_t *value,
                                              unsigned *ret_count);
json_t *cof_policy_item(json_t *value, unsigned at);
/* The at-th as a text of 1 to COF_POLICY_PATTERN_BYTES_MAX bytes, which stays value's. */
COFFER_MUST_CHECK int cof_policy_text_item(const struct cof_policy_reader *reader,
                                           const char *element, json_t *value, unsigned at,
                                           const char **ret_text);
/* Compile source, with enum cof_policy_pattern_flags, into memory of the policy. */
COFFER_MUST_CHECK int cof_policy_keep_pattern(const struct cof_policy_reader *reader,
                                              const char *element, const char *source,
                                              unsigned flags, const char **ret_pattern);

/* Each reads one element of a statement; name tells Action from NotAction and so on. */
COFFER_MUST_CHECK int cof_policy_read_principals(const struct cof_policy_reader *reader,
                                                 const char *name, json_t *value,
                                                 struct cof_policy_statement *statement);
COFFER_MUST_CHECK int cof_policy_read_actions(const struct cof_policy_reader *reader,
                                              const char *name, json_t *value,
                                              struct cof_policy_statement *statement);
COFFER_MUST_CHECK int cof_policy_read_resources(const struct cof_policy_reader *reader,
                                                const char *name, json_t *value,
                                                struct cof_policy_statement *statement);
COFFER_MUST_CHECK int cof_policy_read_conditions(const struct cof_policy_reader *reader,
                                                 const char *name, json_t *value,
                                                 struct cof_policy_statement *statement);

/* ---- asking ------------------------------------------------------------------------------- */

bool cof_policy_condition_holds(struct cof_policy_run *run,
                                const struct cof_policy_condition *condition, bool allows);
/* NONE when the statement doesn't apply. */
enum cof_policy_effect cof_policy_statement_effect(struct cof_policy_run *run,
                                                   const struct cof_policy_statement *statement);

/* Why a decision is what it is: those from BY_KEY on allow. */
enum cof_policy_reason {
    COF_REASON_NONE = 0,
    COF_REASON_KEY_DENIES,
    COF_REASON_IDENTITY_DENIES,
    COF_REASON_BOUNDARY_DENIES,
    COF_REASON_SESSION_DENIES, /* the last explicit deny */
    COF_REASON_BOUNDARY_SILENT,
    COF_REASON_SESSION_SILENT,
    COF_REASON_OTHER_ACCOUNT,
    COF_REASON_IDENTITY_SILENT,
    COF_REASON_KEY_SILENT,
    COF_REASON_BY_KEY,
    COF_REASON_BY_KEY_AND_IDENTITY,
    COF_REASON_BY_IDENTITY,
    COF_REASON_BY_GRANT
};

enum cof_policy_reason cof_policy_judge(const struct cof_decision_input *input);

#endif
