/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/identity/identity.h - who there is: accounts, users, roles, access keys, sessions, and the
 * policies that say what they may do.
 *
 * Work functions take a call (kms.h) and run within its transaction; each asks first whether the
 * caller may (cof_identity_authorize), and fills call->detail with what is no secret. The root of
 * an account needs no row: every account has one, and it may do all to its own identities.
 *
 * A secret access key is drawn here, sealed under a key that is derived from the store's root key,
 * and handed out once, by the function that makes it, in the call's locked scratch. Sessions have
 * no row: the token is the session, sealed.
 */
#ifndef COF_KMS_IDENTITY_IDENTITY_H
#define COF_KMS_IDENTITY_IDENTITY_H

#include "kms.h"
#include "policy/policy.h"
#include "store_identity.h"

#include <coffer/kms.h>

#define COF_IDENTITY_USER "user"
#define COF_IDENTITY_ROLE "role"
#define COF_IDENTITY_NAME_CHARACTERS_MAX 64u /* of users, roles and sessions; policies: 128 */
#define COF_IDENTITY_KEY_ID_BYTES 21u        /* AKIA or ASIA and 16 of base32, with the NUL */
#define COF_IDENTITY_SECRET_BYTES 41u        /* 40 of base64, with the NUL                  */
#define COF_IDENTITY_KEYS_MAX 2u             /* access keys of a principal                  */
#define COF_IDENTITY_ATTACHED_MAX 10u        /* policies of a principal                     */
#define COF_IDENTITY_SESSION_POLICY_BYTES_MAX 2048u
#define COF_IDENTITY_TOKEN_BYTES_MAX 5632u /* of a session token, with its NUL */
#define COF_IDENTITY_SECONDS_MIN 900u
#define COF_IDENTITY_SESSION_SECONDS_MAX 129600u /* GetSessionToken: 36 hours */
#define COF_IDENTITY_ROLE_SECONDS_MAX 43200u     /* AssumeRole: 12 hours      */

/* ---- whose access key that is (resolve.c) ------------------------------------------------- */

struct cof_identity_caller {
    char principal[COFFER_PRINCIPAL_BYTES_MAX]; /* ARN of a root, a user, or a role's session */
    char account[13];
    char region[COF_KMS_REGION_BYTES_MAX]; /* of the credential scope          */
    char access_key_id[COF_KMS_ACCESS_KEY_ID_BYTES_MAX];
    uint64_t session_ends_ns; /* 0: a long-term access key        */
    uint64_t last_used_ns;    /* of a long-term one; 0: never     */
    uint64_t seen_batch;      /* that this was read in (batch.h)  */
    char *session_policy;     /* NULL: none                       */
    struct cof_kms_env *env;
};

/* A zeroed one is allowed. */
void cof_identity_caller_done(struct cof_identity_caller *caller);

/* Whose access key or session this is: 0, AUTH_UNKNOWN, AUTH_EXPIRED. Fills all of caller but the
 * region (of a key that is refused, its principal); the secret goes to locked memory. */
COFFER_MUST_CHECK int cof_identity_resolve(struct coffer_keystore *ks, const char *access_key_id,
                                           const char *token, uint64_t now_ns,
                                           struct cof_identity_caller *caller,
                                           char ret_secret[COFFER_KMS_SECRET_BYTES_MAX]);

/* ---- what a caller may do (rights.c) ----------------------------------------------------- */

struct cof_identity_policies {
    struct cof_kms_env *env;
    struct cof_policy *list[COF_IDENTITY_ATTACHED_MAX];
    unsigned count;
    struct cof_policy *boundary; /* NULL: none */
    struct cof_policy *session;  /* NULL: none */
};

/* Of principal (for a role's session: of the role), and the session policy, which may be NULL.
 * Nobody of that name has none. */
COFFER_MUST_CHECK int cof_identity_policies(struct cof_kms_call *call, const char *principal,
                                            const char *session_policy,
                                            struct cof_identity_policies *ret_policies);
void cof_identity_policies_done(struct cof_identity_policies *policies);
/* What a decision needs of them. */
void cof_identity_decision(const struct cof_identity_policies *policies,
                           struct cof_decision_input *input);

/* KEY_ACCESS unless the caller's identity policies allow action ("iam:CreateUser") on resource. */
COFFER_MUST_CHECK int cof_identity_authorize(struct cof_kms_call *call, const char *action,
                                             const char *resource);

/* ---- names (names.c) --------------------------------------------------------------------- */

bool cof_identity_name_ok(const char *name, size_t characters_max);
/* ARN of an account's user, role or policy. */
void cof_identity_arn(const char *account, const char *kind, const char *name,
                      char ret_arn[COFFER_PRINCIPAL_BYTES_MAX]);
void cof_identity_root_arn(const char *account, char ret_arn[COFFER_PRINCIPAL_BYTES_MAX]);
bool cof_identity_is_root(const char *principal);
/* Of any account: grants to it are for the volumes that it keeps. */
bool cof_identity_is_engine(const char *principal);
/* Whose row and policies count for a principal: of a role's session the role, else itself. */
void cof_identity_owner(const char *principal, char ret_arn[COFFER_PRINCIPAL_BYTES_MAX]);
/* What follows the last slash of an ARN ("root" of a root). */
const char *cof_identity_name_of(const char *arn);
/* NAME, or an ARN of kind in account (partition aws, too), as a name; NULL when it is neither. */
const char *cof_identity_name_in(const char *account, const char *kind, const char *text);

/* ---- accounts, users and roles (accounts.c, principals.c) -------------------------------- */

/* Only the root of the store's own account makes accounts. EXISTS. */
COFFER_MUST_CHECK int cof_identity_account_create(struct cof_kms_call *call, const char *account);
/* Whether account is the store's own, or was made. NOT_FOUND. */
COFFER_MUST_CHECK int cof_identity_account_check(struct cof_kms_call *call, const char *account);

struct cof_identity_kind {
    const char *kind;   /* user, role                  */
    const char *create; /* "iam:CreateUser" and so on  */
    const char *remove;
    const char *get;
    const char *list;
    const char *bound;
    const char *attach;
    const char *detach;
    const char *attached;
};

extern const struct cof_identity_kind cof_identity_users, cof_identity_roles;

/* trust is the policy of who may become a role; NULL for a user. EXISTS, POLICY, INVALID. */
COFFER_MUST_CHECK int cof_identity_create(struct cof_kms_call *call,
                                          const struct cof_identity_kind *kind, const char *name,
                                          const char *trust, struct cof_kms_principal_row *ret_row);
/* With its access keys and attachments; its sessions end. */
COFFER_MUST_CHECK int cof_identity_delete(struct cof_kms_call *call,
                                          const struct cof_identity_kind *kind, const char *name);
COFFER_MUST_CHECK int cof_identity_get(struct cof_kms_call *call,
                                       const struct cof_identity_kind *kind, const char *name,
                                       struct cof_kms_principal_row *ret_row);
COFFER_MUST_CHECK int cof_identity_trust(struct cof_kms_call *call, const char *role,
                                         const char *trust);
/* policy NULL: take the boundary away. */
COFFER_MUST_CHECK int cof_identity_bound(struct cof_kms_call *call,
                                         const struct cof_identity_kind *kind, const char *name,
                                         const char *policy);

/* ---- access keys (access_keys.c, secrets.c) ---------------------------------------------- */

/* user: a name, "root", or NULL for the caller. The secret, NUL-terminated, is in the call's locked
 * scratch until leave. LIMIT beyond two. */
COFFER_MUST_CHECK int cof_identity_key_create(struct cof_kms_call *call, const char *user,
                                              struct cof_kms_access_key_row *ret_row,
                                              const char **ret_secret);
COFFER_MUST_CHECK int cof_identity_key_update(struct cof_kms_call *call, const char *user,
                                              const char *access_key_id, bool active);
COFFER_MUST_CHECK int cof_identity_key_delete(struct cof_kms_call *call, const char *user,
                                              const char *access_key_id);
COFFER_MUST_CHECK int cof_identity_key_each(struct cof_kms_call *call, const char *user,
                                            int (*visit)(void *ctx,
                                                         const struct cof_kms_access_key_row *row),
                                            void *ctx);

/* An access key id with prefix AKIA or ASIA, and a secret into locked memory. */
COFFER_MUST_CHECK int cof_identity_draw(struct coffer_keystore *ks, const char *prefix,
                                        char ret_id[COF_IDENTITY_KEY_ID_BYTES],
                                        char ret_secret[COF_IDENTITY_SECRET_BYTES]);
COFFER_MUST_CHECK int cof_identity_secret_seal(struct coffer_keystore *ks, const char *secret,
                                               struct cof_kms_access_key_row *row);
COFFER_MUST_CHECK int cof_identity_secret_open(struct coffer_keystore *ks,
                                               const struct cof_kms_access_key_row *row,
                                               char ret_secret[COFFER_KMS_SECRET_BYTES_MAX]);

/* ---- identity policies (policies.c) ------------------------------------------------------ */

/* Make it, or replace its document. POLICY. */
COFFER_MUST_CHECK int cof_identity_policy_put(struct cof_kms_call *call, const char *name,
                                              const char *document);
COFFER_MUST_CHECK int cof_identity_policy_get(struct cof_kms_call *call, const char *name,
                                              struct cof_kms_identity_policy_row *ret_row);
/* CONFLICT while it is attached, or bounds someone. */
COFFER_MUST_CHECK int cof_identity_policy_delete(struct cof_kms_call *call, const char *name);
COFFER_MUST_CHECK int cof_identity_attach(struct cof_kms_call *call,
                                          const struct cof_identity_kind *kind, const char *name,
                                          const char *policy);
COFFER_MUST_CHECK int cof_identity_detach(struct cof_kms_call *call,
                                          const struct cof_identity_kind *kind, const char *name,
                                          const char *policy);

/* ---- what they come to (simulate.c) ------------------------------------------------------ */

#define COF_IDENTITY_RESOURCE_BYTES_MAX 2056u

struct cof_identity_question {
    const char *principal; /* ARN, of the caller's account */
    const char *const *actions;
    unsigned action_count;
    const char *const *resources; /* ARNs, or "*" */
    unsigned resource_count;
};

/* Append one result (cof_policy_simulate) for each action on each resource; of a key of this store
 * its policy counts, too. ARN, NOT_FOUND. */
COFFER_MUST_CHECK int cof_identity_simulate(struct cof_kms_call *call,
                                            const struct cof_identity_question *question,
                                            json_t *results);

/* ---- sessions (sessions.c, tokens.c) ----------------------------------------------------- */

struct cof_identity_credentials {
    char access_key_id[COF_IDENTITY_KEY_ID_BYTES];
    const char *secret; /* in the call's locked scratch, until leave */
    char token[COF_IDENTITY_TOKEN_BYTES_MAX];
    uint64_t expires_ns;
    char principal[COFFER_PRINCIPAL_BYTES_MAX];
};

/* seconds 0: 12 hours. Not for who has a session already: it would never end. */
COFFER_MUST_CHECK int cof_identity_session_token(struct cof_kms_call *call, uint32_t seconds,
                                                 struct cof_identity_credentials *ret_credentials);
/* seconds 0: one hour; policy NULL: the role's own rights. */
COFFER_MUST_CHECK int cof_identity_assume_role(struct cof_kms_call *call, const char *role_arn,
                                               const char *session, uint32_t seconds,
                                               const char *policy,
                                               struct cof_identity_credentials *ret_credentials);

/* What a token holds; texts point into the call's scratch. */
struct cof_identity_session {
    const char *access_key_id, *secret, *principal, *owner, *policy;
    uint64_t owner_created_ns; /* 0: a root; who is made anew under a name is another */
    uint64_t expires_ns;
};

COFFER_MUST_CHECK int cof_identity_token_make(struct coffer_keystore *ks,
                                              const struct cof_identity_session *session,
                                              char ret_token[COF_IDENTITY_TOKEN_BYTES_MAX]);
/* AUTH_UNKNOWN for what this store never made. */
COFFER_MUST_CHECK int cof_identity_token_open(struct coffer_keystore *ks, const char *token,
                                              struct cof_identity_session *ret_session);

#endif
