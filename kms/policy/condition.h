/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/policy/condition.h - the operators of Condition, for who reads them and who asks them.
 */
#ifndef COF_POLICY_CONDITION_H
#define COF_POLICY_CONDITION_H

#include "policy/parts.h"

enum cof_policy_family {
    FAMILY_TEXT,
    FAMILY_FOLDED,
    FAMILY_LIKE,
    FAMILY_ARN,
    FAMILY_NUMBER,
    FAMILY_DATE,
    FAMILY_BOOL,
    FAMILY_NETWORK,
    FAMILY_NULL
};

enum cof_policy_relation {
    RELATION_EQUAL,
    RELATION_LESS,
    RELATION_LESS_OR_EQUAL,
    RELATION_GREATER,
    RELATION_GREATER_OR_EQUAL
};

struct cof_policy_operator {
    const char *name;
    enum cof_policy_family family;
    enum cof_policy_relation relation;
    bool negated;
};

#endif
