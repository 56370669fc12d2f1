/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/identity/names.c - names of users, roles, sessions and policies, and their ARNs. Pure.
 */
#include "identity/identity.h"

#include <stdio.h>
#include <string.h>

#define PREFIX "arn:coffer:iam::"
#define SESSION_PREFIX "arn:coffer:sts::"
#define ASSUMED ":assumed-role/"

bool cof_identity_name_ok(const char *name, size_t characters_max)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+=,.@_-";
    size_t bytes = strlen(name);

    return bytes > 0 && bytes <= characters_max && strspn(name, letters) == bytes;
}

void cof_identity_arn(const char *account, const char *kind, const char *name,
                      char ret_arn[COFFER_PRINCIPAL_BYTES_MAX])
{
    (void)snprintf(ret_arn, COFFER_PRINCIPAL_BYTES_MAX, PREFIX "%s:%s/%s", account, kind, name);
}

void cof_identity_root_arn(const char *account, char ret_arn[COFFER_PRINCIPAL_BYTES_MAX])
{
    (void)snprintf(ret_arn, COFFER_PRINCIPAL_BYTES_MAX, PREFIX "%s:root", account);
}

bool cof_identity_is_root(const char *principal)
{
    size_t prefix = sizeof(PREFIX) - 1;

    return strncmp(principal, PREFIX, prefix) == 0 && strlen(principal) > prefix + 12 &&
           strcmp(principal + prefix + 12, ":root") == 0;
}

bool cof_identity_is_engine(const char *principal)
{
    size_t prefix = sizeof(PREFIX) - 1;

    return strncmp(principal, PREFIX, prefix) == 0 && strlen(principal) > prefix + 12 &&
           strcmp(principal + prefix + 12, ":role/coffer-engine") == 0;
}

void cof_identity_owner(const char *principal, char ret_arn[COFFER_PRINCIPAL_BYTES_MAX])
{
    const char *role = strstr(principal, ASSUMED);
    size_t prefix = sizeof(SESSION_PREFIX) - 1;

    if (role == NULL || strncmp(principal, SESSION_PREFIX, prefix) != 0) {
        (void)snprintf(ret_arn, COFFER_PRINCIPAL_BYTES_MAX, "%s", principal);
        return;
    }
    (void)snprintf(ret_arn, COFFER_PRINCIPAL_BYTES_MAX, PREFIX "%.*s:" COF_IDENTITY_ROLE "/%.*s",
                   (int)(role - principal - (long)prefix), principal + prefix,
                   (int)strcspn(role + sizeof(ASSUMED) - 1, "/"), role + sizeof(ASSUMED) - 1);
}

const char *cof_identity_name_of(const char *arn)
{
    const char *slash = strrchr(arn, '/');
    const char *colon = strrchr(arn, ':');

    if (slash != NULL) {
        return slash + 1;
    }
    return colon == NULL ? arn : colon + 1;
}

const char *cof_identity_name_in(const char *account, const char *kind, const char *text)
{
    char prefix[2][COFFER_PRINCIPAL_BYTES_MAX];
    const char *name = text;
    unsigned i;

    (void)snprintf(prefix[0], sizeof(prefix[0]), PREFIX "%s:%s/", account, kind);
    (void)snprintf(prefix[1], sizeof(prefix[1]), "arn:aws:iam::%s:%s/", account, kind);
    for (i = 0; i < 2; i++) {
        if (strncmp(text, prefix[i], strlen(prefix[i])) == 0) {
            name = text + strlen(prefix[i]);
        }
    }
    return cof_identity_name_ok(name, COF_KMS_IDENTITY_NAME_BYTES_MAX - 1) ? name : NULL;
}
