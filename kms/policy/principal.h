/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/policy/principal.h - who calls: root, user, role, session of a role, or a service by name.
 */
#ifndef COF_POLICY_PRINCIPAL_H
#define COF_POLICY_PRINCIPAL_H

#include "policy/parts.h"

enum cof_policy_named {
    COF_POLICY_NOT_NAMED = 0,
    COF_POLICY_ACCOUNT_NAMED, /* the caller's account is, and the caller isn't its root */
    COF_POLICY_NAMED
};

enum cof_policy_named cof_policy_principal_named(const struct cof_policy_run *run,
                                                 const struct cof_policy_principal *principal);

bool cof_policy_is_root(const struct cof_policy_run *run);
bool cof_policy_is_session(const struct cof_policy_run *run);
/* "user/alice", "root", ... inside arn; "" when it is no ARN. */
const char *cof_policy_principal_resource(const char *arn);

#endif
