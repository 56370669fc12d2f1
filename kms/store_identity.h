/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/store_identity.h - rows of accounts, principals, access keys and identity policies.
 *
 * As store.h: under the key store's lock, between begin and commit; each row's MAC is checked on
 * each read. A root is no row: each account has one.
 */
#ifndef COF_KMS_STORE_IDENTITY_H
#define COF_KMS_STORE_IDENTITY_H

#include "store.h"

#define COF_KMS_ACCESS_KEY_ID_BYTES_MAX 129u /* with their NUL */
#define COF_KMS_IDENTITY_NAME_BYTES_MAX 129u

/* ---- accounts and principals (store_principal.c) ----------------------------------------- */

struct cof_kms_account_row {
    char account[13];
    uint64_t created_ns;
};

COFFER_MUST_CHECK int cof_kms_db_account_add(struct cof_kms_db *db,
                                             const struct cof_kms_account_row *row,
                                             struct coffer_fault *fault);
/* NOT_FOUND. */
COFFER_MUST_CHECK int cof_kms_db_account_get(struct cof_kms_db *db, const char *account,
                                             struct cof_kms_account_row *ret_row,
                                             struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_kms_db_account_remove(struct cof_kms_db *db, const char *account,
                                                struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_kms_db_account_each(
    struct cof_kms_db *db, const char *after, unsigned limit,
    int (*visit)(void *ctx, const struct cof_kms_account_row *row), void *ctx,
    struct coffer_fault *fault);

struct cof_kms_principal_row {
    char arn[COFFER_PRINCIPAL_BYTES_MAX];
    char account[13];
    char kind[8]; /* user, role */
    char name[COF_KMS_IDENTITY_NAME_BYTES_MAX];
    char trust_policy[COF_KMS_POLICY_BYTES_MAX + 1]; /* of a role; else "" */
    char boundary[COF_KMS_IDENTITY_NAME_BYTES_MAX];  /* an identity policy's name, or "" */
    uint64_t created_ns;
};

/* Add it, or change all of it. */
COFFER_MUST_CHECK int cof_kms_db_principal_set(struct cof_kms_db *db,
                                               const struct cof_kms_principal_row *row,
                                               struct coffer_fault *fault);
/* NOT_FOUND. */
COFFER_MUST_CHECK int cof_kms_db_principal_get(struct cof_kms_db *db, const char *arn,
                                               struct cof_kms_principal_row *ret_row,
                                               struct coffer_fault *fault);
/* With its access keys and attachments. */
COFFER_MUST_CHECK int cof_kms_db_principal_remove(struct cof_kms_db *db, const char *arn,
                                                  struct coffer_fault *fault);
/* In order of ARN; account or kind "" is all. */
COFFER_MUST_CHECK int cof_kms_db_principal_each(
    struct cof_kms_db *db, const char *account, const char *kind, const char *after,
    unsigned limit, int (*visit)(void *ctx, const struct cof_kms_principal_row *row), void *ctx,
    struct coffer_fault *fault);

/* ---- access keys (store_access.c) -------------------------------------------------------- */

struct cof_kms_access_key_row {
    char access_key_id[COF_KMS_ACCESS_KEY_ID_BYTES_MAX];
    char principal_arn[COFFER_PRINCIPAL_BYTES_MAX]; /* a user's, or a root's */
    char status[16];                                /* Active, Inactive */
    size_t sealed_secret_bytes;
    uint8_t sealed_secret[COF_KMS_SEALED_SECRET_BYTES_MAX];
    uint64_t created_ns;
    uint64_t last_used_ns; /* 0: never */
};

COFFER_MUST_CHECK int cof_kms_db_access_key_set(struct cof_kms_db *db,
                                                const struct cof_kms_access_key_row *row,
                                                struct coffer_fault *fault);
/* NOT_FOUND. */
COFFER_MUST_CHECK int cof_kms_db_access_key_get(struct cof_kms_db *db, const char *access_key_id,
                                                struct cof_kms_access_key_row *ret_row,
                                                struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_kms_db_access_key_remove(struct cof_kms_db *db,
                                                   const char *access_key_id,
                                                   struct coffer_fault *fault);
/* In order of id; principal_arn "" is all. */
COFFER_MUST_CHECK int cof_kms_db_access_key_each(
    struct cof_kms_db *db, const char *principal_arn, const char *after, unsigned limit,
    int (*visit)(void *ctx, const struct cof_kms_access_key_row *row), void *ctx,
    struct coffer_fault *fault);

/* ---- identity policies and where they are attached (store_attachment.c) ------------------ */

struct cof_kms_identity_policy_row {
    char account[13];
    char name[COF_KMS_IDENTITY_NAME_BYTES_MAX];
    char document[COF_KMS_POLICY_BYTES_MAX + 1];
    uint64_t created_ns;
};

COFFER_MUST_CHECK int cof_kms_db_identity_policy_set(struct cof_kms_db *db,
                                                     const struct cof_kms_identity_policy_row *row,
                                                     struct coffer_fault *fault);
/* NOT_FOUND. */
COFFER_MUST_CHECK int cof_kms_db_identity_policy_get(struct cof_kms_db *db, const char *account,
                                                     const char *name,
                                                     struct cof_kms_identity_policy_row *ret_row,
                                                     struct coffer_fault *fault);
/* Its attachments must have gone before. */
COFFER_MUST_CHECK int cof_kms_db_identity_policy_remove(struct cof_kms_db *db, const char *account,
                                                        const char *name,
                                                        struct coffer_fault *fault);
COFFER_MUST_CHECK int cof_kms_db_identity_policy_each(
    struct cof_kms_db *db, const char *account, const char *after, unsigned limit,
    int (*visit)(void *ctx, const struct cof_kms_identity_policy_row *row), void *ctx,
    struct coffer_fault *fault);

struct cof_kms_attachment_row {
    char principal_arn[COFFER_PRINCIPAL_BYTES_MAX];
    char account[13];
    char policy_name[COF_KMS_IDENTITY_NAME_BYTES_MAX];
};

COFFER_MUST_CHECK int cof_kms_db_attachment_set(struct cof_kms_db *db,
                                                const struct cof_kms_attachment_row *row,
                                                struct coffer_fault *fault);
/* NOT_FOUND. */
COFFER_MUST_CHECK int cof_kms_db_attachment_remove(struct cof_kms_db *db,
                                                   const struct cof_kms_attachment_row *row,
                                                   struct coffer_fault *fault);
/* In order of policy name; each of the three "" is all. */
COFFER_MUST_CHECK int cof_kms_db_attachment_each(
    struct cof_kms_db *db, const char *principal_arn, const char *account, const char *policy_name,
    int (*visit)(void *ctx, const struct cof_kms_attachment_row *row), void *ctx,
    struct coffer_fault *fault);

#endif
