/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/name.h - ids, ARNs, aliases and the texts that may stand in them.
 *
 *   key id      8-4-4-4-12 lower-case hex
 *   key ARN     arn:coffer:kms:REGION:ACCOUNT:key/ID
 *   alias       alias/NAME
 *   alias ARN   arn:coffer:kms:REGION:ACCOUNT:alias/NAME
 */
#ifndef COF_KMS_NAME_H
#define COF_KMS_NAME_H

#include "env.h"

#include <coffer/keystore.h>
#include <stdbool.h>

#define COF_KMS_REGION_BYTES_MAX 33u /* with its NUL */

/* Whose names these are. */
struct cof_kms_owner {
    char account[13];
    char region[COF_KMS_REGION_BYTES_MAX];
};

struct cof_kms_key_ref {
    bool is_alias;
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
/* A version 4 UUID from 16 random bytes. */
void cof_kms_uuid_text(const uint8_t random[16], char ret_id[COFFER_KEY_ID_BYTES]);
void cof_kms_key_arn(const struct cof_kms_owner *owner, const char *key_id,
                     char ret_arn[COFFER_KEY_ARN_BYTES_MAX]);
/* room: an alias ARN is up to 256 + 80 bytes. */
void cof_kms_alias_arn(const struct cof_kms_owner *owner, const char *alias, char ret_arn[360]);

/* Take key (NULL: the default alias) apart. KEY_NOT_FOUND for a form that no key has, and for an
 * ARN of another account or region. */
COFFER_MUST_CHECK int cof_kms_key_parse(const struct cof_kms_owner *owner, const char *key,
                                        struct cof_kms_key_ref *ret_ref,
                                        struct coffer_fault *fault);

#endif
