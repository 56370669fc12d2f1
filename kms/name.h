/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/name.h - ids, ARNs, aliases and the texts that may stand in them.
 *
 *   key id      8-4-4-4-12 lower-case hex, or mrk- and 32 lower-case hex digits (multi-Region)
 *   key ARN     arn:coffer:kms:REGION:ACCOUNT:key/ID
 *   alias       alias/NAME
 *   alias ARN   arn:coffer:kms:REGION:ACCOUNT:alias/NAME
 *   principal   arn:coffer:iam::ACCOUNT:root, :user/NAME, :role/NAME, and of a role's session
 *               arn:coffer:sts::ACCOUNT:assumed-role/ROLE/SESSION
 *
 * What callers give may have the partition aws for coffer; what is kept and shown has coffer.
 */
#ifndef COF_KMS_NAME_H
#define COF_KMS_NAME_H

#include "env.h"

#include <coffer/keystore.h>
#include <stdbool.h>

#define COF_KMS_REGION_BYTES_MAX 33u /* with its NUL */
#define COF_KMS_ALIAS_ARN_BYTES_MAX 360u

/* Whose names these are. */
struct cof_kms_owner {
    char account[13];
    char region[COF_KMS_REGION_BYTES_MAX];
};

/* What a caller wrote for a key, taken apart. */
struct cof_kms_key_ref {
    bool is_alias;
    bool is_arn;
    struct cof_kms_owner owner; /* an ARN's, else the caller's */
    char key_id[COFFER_KEY_ID_BYTES];
    char alias[COFFER_ALIAS_BYTES_MAX];
};

/* UTF-8 without NUL, shortest forms only, no surrogates. */
bool cof_kms_text_ok(const char *text);
bool cof_kms_account_ok(const char *account);
bool cof_kms_region_ok(const char *region);
bool cof_kms_key_id_ok(const char *key_id);
bool cof_kms_alias_ok(const char *alias);
/* Under alias/coffer/ or alias/aws/. */
bool cof_kms_alias_reserved(const char *alias);
bool cof_kms_hex_ok(const char *text, size_t digits);

void cof_kms_hex(const uint8_t *bytes, size_t count, char *ret_text);
/* The other way, lower case only; false when text isn't count bytes so written. */
bool cof_kms_unhex(const char *text, uint8_t *ret_bytes, size_t count);
/* A version 4 UUID from 16 random bytes. */
void cof_kms_uuid_text(const uint8_t random[16], char ret_id[COFFER_KEY_ID_BYTES]);
void cof_kms_key_arn(const struct cof_kms_owner *owner, const char *key_id,
                     char ret_arn[COFFER_KEY_ARN_BYTES_MAX]);
void cof_kms_alias_arn(const struct cof_kms_owner *owner, const char *alias,
                       char ret_arn[COF_KMS_ALIAS_ARN_BYTES_MAX]);

/* The id in a key's ARN. */
const char *cof_kms_arn_key_id(const char *arn);
bool cof_kms_is_multi_region_id(const char *key_id);
/* The account of a principal's ARN; false when it is none. */
bool cof_kms_principal_account(const char *principal, char ret_account[13]);

/* Take key (NULL: the default alias) apart; owner is the caller's account and region, which an id
 * or a bare alias means. KEY_NOT_FOUND for a form that no key has, and for an ARN of another
 * region;
 * ARN for one that is none of a key or alias. */
COFFER_MUST_CHECK int cof_kms_key_parse(const struct cof_kms_owner *owner, const char *key,
                                        struct cof_kms_key_ref *ret_ref,
                                        struct coffer_fault *fault);

#endif
