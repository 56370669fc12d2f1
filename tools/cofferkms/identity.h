/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cofferkms/identity.h - accounts, users, roles, access keys, policies and tokens: what main.c's
 * tables take from identity.c.
 */
#ifndef COF_TOOLS_COFFERKMS_IDENTITY_H
#define COF_TOOLS_COFFERKMS_IDENTITY_H

#include "common/args.h"

#define COF_IDENTITY_ROWS                                                                         \
    {"as", COF_TOOL_TEXT, "WHO",                                                                  \
     "act as user/NAME, role/NAME, an account's root (12 digits), or an ARN (the store's root)"}, \
        {"user", COF_TOOL_TEXT, "NAME", "a user; root is the account's root"},                    \
        {"role", COF_TOOL_TEXT, "NAME", "a role"},                                                \
        {"trust", COF_TOOL_TEXT, "DOCUMENT", "who may become the role: JSON, or file://FILE"},    \
        {"access-key-id", COF_TOOL_TEXT, "ID", "id of an access key"},                            \
        {"status", COF_TOOL_CHOICE, "Active|Inactive", "whether an access key can be used"},      \
        {"output-file", COF_TOOL_FILE, "FILE", "write the secret to a new FILE of mode 0600"},    \
        {"document", COF_TOOL_TEXT, "DOCUMENT", "the policy: JSON, or file://FILE"},              \
        {"action", COF_TOOL_LIST, "ACTION", "kms:Decrypt and so on; more than one may be given"}, \
        {"resource", COF_TOOL_LIST, "ARN", "what it is done to (*); more than one may be given"}, \
        {"session-name", COF_TOOL_TEXT, "NAME", "name of the session, for the audit trail"},      \
        {"session-policy", COF_TOOL_TEXT, "DOCUMENT",                                             \
         "narrows the session: JSON, or file://FILE"},                                            \
    {                                                                                             \
        "duration-seconds", COF_TOOL_NUMBER, "N",                                                 \
            "900 to 129600 (43200); of a role to 43200 (3600)"                                    \
    }

#define COF_IDENTITY_VERB(noun, name, operands, count, options, summary)                  \
    {                                                                                     \
        noun, name, operands, count, count, options " as", summary, "cofferkms-identity", \
            cof_key_identity                                                              \
    }

#define COF_IDENTITY_PAGE "limit marker"

#define COF_IDENTITY_VERBS                                                                       \
    COF_IDENTITY_VERB("account", "create", "DIGITS", 1, "", "make an account in the key store"), \
        COF_IDENTITY_VERB("account", "list", "", 0, COF_IDENTITY_PAGE, "list accounts"),         \
        COF_IDENTITY_VERB("user", "create", "NAME", 1, "", "make a user"),                       \
        COF_IDENTITY_VERB("user", "describe", "NAME", 1, "", "show a user"),                     \
        COF_IDENTITY_VERB("user", "list", "", 0, COF_IDENTITY_PAGE, "list users"),               \
        COF_IDENTITY_VERB("user", "delete", "NAME", 1, "",                                       \
                          "delete a user, its access keys and its sessions"),                    \
        COF_IDENTITY_VERB("role", "create", "NAME", 1, "trust", "make a role"),                  \
        COF_IDENTITY_VERB("role", "describe", "NAME", 1, "", "show a role"),                     \
        COF_IDENTITY_VERB("role", "list", "", 0, COF_IDENTITY_PAGE, "list roles"),               \
        COF_IDENTITY_VERB("role", "trust", "NAME", 1, "trust",                                   \
                          "say anew who may become the role"),                                   \
        COF_IDENTITY_VERB("role", "delete", "NAME", 1, "", "delete a role; its sessions end"),   \
        COF_IDENTITY_VERB("access-key", "create", "", 0, "user output-file",                     \
                          "make an access key; its secret is shown once"),                       \
        COF_IDENTITY_VERB("access-key", "list", "", 0, "user", "list access keys"),              \
        COF_IDENTITY_VERB("access-key", "update", "", 0, "user access-key-id status",            \
                          "turn an access key off or on"),                                       \
        COF_IDENTITY_VERB("access-key", "delete", "", 0, "user access-key-id",                   \
                          "delete an access key"),                                               \
        COF_IDENTITY_VERB("policy", "put", "NAME", 1, "document",                                \
                          "make an identity policy, or replace its document"),                   \
        COF_IDENTITY_VERB("policy", "get", "NAME", 1, "", "show an identity policy"),            \
        COF_IDENTITY_VERB("policy", "list", "", 0, "user role " COF_IDENTITY_PAGE,               \
                          "list identity policies: all, or those of a user or role"),            \
        COF_IDENTITY_VERB("policy", "delete", "NAME", 1, "",                                     \
                          "delete an identity policy that is attached to nobody"),               \
        COF_IDENTITY_VERB("policy", "attach", "NAME", 1, "user role",                            \
                          "give a user or role what the policy allows"),                         \
        COF_IDENTITY_VERB("policy", "detach", "NAME", 1, "user role", "take it away again"),     \
        COF_IDENTITY_VERB("policy", "bound", "NAME", 1, "user role",                             \
                          "let a user or role do no more than the policy allows"),               \
        COF_IDENTITY_VERB("policy", "unbound", "", 0, "user role", "take the boundary away"),    \
        COF_IDENTITY_VERB("policy", "simulate", "WHO", 1, "action resource",                     \
                          "say what a user or role may do, and why"),                            \
        COF_IDENTITY_VERB("token", "get", "", 0, "duration-seconds output-file",                 \
                          "make temporary credentials"),                                         \
        COF_IDENTITY_VERB("token", "assume-role", "ROLE", 1,                                     \
                          "session-name session-policy duration-seconds output-file",            \
                          "make temporary credentials of a role"),                               \
        COF_IDENTITY_VERB("token", "whoami", "", 0, "", "show who calls")

int cof_key_identity(struct cof_tool_call *call);

#endif
