/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/name.c - checks and spellings of ids, ARNs and aliases. No I/O, no state, any thread.
 */
#include "name.h"

#include <stdio.h>
#include <string.h>

#define ARN_PREFIX "arn:coffer:kms:"

/* Length of the UTF-8 sequence at text, or 0. */
static unsigned sequence_bytes(const unsigned char *text)
{
    unsigned more, i;
    uint32_t value;

    if (text[0] < 0x80) {
        return 1;
    }
    if (text[0] >= 0xc2 && text[0] <= 0xdf) {
        more = 1;
    } else if ((text[0] & 0xf0) == 0xe0) {
        more = 2;
    } else if (text[0] >= 0xf0 && text[0] <= 0xf4) {
        more = 3;
    } else {
        return 0;
    }
    value = text[0] & (0x3fu >> more);
    for (i = 1; i <= more; i++) {
        if ((text[i] & 0xc0) != 0x80) {
            return 0;
        }
        value = value << 6 | (text[i] & 0x3fu);
    }
    if ((more == 2 && (value < 0x800 || (value >= 0xd800 && value <= 0xdfff))) ||
        (more == 3 && (value < 0x10000 || value > 0x10ffff))) {
        return 0;
    }
    return more + 1;
}

bool cof_kms_text_ok(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;

    while (*at != '\0') {
        unsigned bytes = sequence_bytes(at);

        if (bytes == 0) {
            return false;
        }
        at += bytes;
    }
    return true;
}

bool cof_kms_account_ok(const char *account)
{
    return strlen(account) == 12 && strspn(account, "0123456789") == 12;
}

bool cof_kms_region_ok(const char *region)
{
    size_t bytes = strlen(region);

    return bytes > 0 && bytes < COF_KMS_REGION_BYTES_MAX &&
           strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-") == bytes;
}

bool cof_kms_hex_ok(const char *text, size_t digits)
{
    return strlen(text) == digits && strspn(text, "0123456789abcdef") == digits;
}

bool cof_kms_is_multi_region_id(const char *key_id)
{
    return strncmp(key_id, "mrk-", 4) == 0;
}

bool cof_kms_key_id_ok(const char *key_id)
{
    size_t i;

    if (cof_kms_is_multi_region_id(key_id)) {
        return cof_kms_hex_ok(key_id + 4, 32);
    }
    if (strlen(key_id) != COFFER_KEY_ID_BYTES - 1) {
        return false;
    }
    for (i = 0; i < COFFER_KEY_ID_BYTES - 1; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (dash ? key_id[i] != '-' : strchr("0123456789abcdef", key_id[i]) == NULL) {
            return false;
        }
    }
    return true;
}

bool cof_kms_alias_ok(const char *alias)
{
    size_t bytes = strlen(alias);

    return strncmp(alias, "alias/", 6) == 0 && bytes > 6 && bytes < COFFER_ALIAS_BYTES_MAX &&
           strspn(alias, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/_-") ==
               bytes;
}

bool cof_kms_alias_reserved(const char *alias)
{
    return strncmp(alias, "alias/coffer/", 13) == 0 || strncmp(alias, "alias/aws/", 10) == 0;
}

void cof_kms_hex(const uint8_t *bytes, size_t count, char *ret_text)
{
    static const char digits[] = "0123456789abcdef";
    size_t i;

    for (i = 0; i < count; i++) {
        ret_text[2 * i] = digits[bytes[i] >> 4];
        ret_text[2 * i + 1] = digits[bytes[i] & 15];
    }
    ret_text[2 * count] = '\0';
}

bool cof_kms_unhex(const char *text, uint8_t *ret_bytes, size_t count)
{
    static const char digits[] = "0123456789abcdef";
    size_t i;

    if (!cof_kms_hex_ok(text, 2 * count)) {
        return false;
    }
    for (i = 0; i < count; i++) {
        size_t high = (size_t)(strchr(digits, text[2 * i]) - digits);
        size_t low = (size_t)(strchr(digits, text[2 * i + 1]) - digits);

        ret_bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

void cof_kms_uuid_text(const uint8_t random[16], char ret_id[COFFER_KEY_ID_BYTES])
{
    uint8_t uuid[16];
    char hex[33];

    memcpy(uuid, random, sizeof(uuid));
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40);
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
    cof_kms_hex(uuid, sizeof(uuid), hex);
    (void)snprintf(ret_id, COFFER_KEY_ID_BYTES, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12,
                   hex + 16, hex + 20);
}

void cof_kms_key_arn(const struct cof_kms_owner *owner, const char *key_id,
                     char ret_arn[COFFER_KEY_ARN_BYTES_MAX])
{
    (void)snprintf(ret_arn, COFFER_KEY_ARN_BYTES_MAX, ARN_PREFIX "%s:%s:key/%s", owner->region,
                   owner->account, key_id);
}

void cof_kms_alias_arn(const struct cof_kms_owner *owner, const char *alias,
                       char ret_arn[COF_KMS_ALIAS_ARN_BYTES_MAX])
{
    (void)snprintf(ret_arn, COF_KMS_ALIAS_ARN_BYTES_MAX, ARN_PREFIX "%s:%s:%s", owner->region,
                   owner->account, alias);
}

const char *cof_kms_arn_key_id(const char *arn)
{
    const char *slash = strrchr(arn, '/');

    return slash == NULL ? "" : slash + 1;
}

/* Copy text up to the next colon, and step over it; NULL when that doesn't fit or isn't there. */
static const char *take_field(const char *text, char *ret_field, size_t capacity)
{
    size_t bytes = strcspn(text, ":");

    if (bytes >= capacity || text[bytes] == '\0') {
        return NULL;
    }
    memcpy(ret_field, text, bytes);
    ret_field[bytes] = '\0';
    return text + bytes + 1;
}

/* Step over "arn:coffer:SERVICE:REGION:ACCOUNT:"; NULL when arn doesn't begin so. */
static const char *strip_owner(const char *arn, const char *service, struct cof_kms_owner *owner)
{
    char field[16];
    const char *at = strncmp(arn, "arn:", 4) == 0 ? arn + 4 : "";

    at = take_field(at, field, sizeof(field));
    if (at == NULL || (strcmp(field, "coffer") != 0 && strcmp(field, "aws") != 0)) {
        return NULL;
    }
    at = take_field(at, field, sizeof(field));
    if (at == NULL || strcmp(field, service) != 0) {
        return NULL;
    }
    at = take_field(at, owner->region, sizeof(owner->region));
    at = at == NULL ? NULL : take_field(at, owner->account, sizeof(owner->account));
    return at != NULL && cof_kms_account_ok(owner->account) ? at : NULL;
}

bool cof_kms_principal_account(const char *principal, char ret_account[13])
{
    struct cof_kms_owner owner;
    const char *rest = strip_owner(principal, "iam", &owner);

    if (rest == NULL) {
        rest = strip_owner(principal, "sts", &owner);
    }
    if (rest == NULL || rest[0] == '\0' || owner.region[0] != '\0') {
        return false;
    }
    memcpy(ret_account, owner.account, sizeof(owner.account));
    return true;
}

static int parse_arn(const struct cof_kms_owner *owner, const char *arn,
                     struct cof_kms_key_ref *ref, const char **ret_name,
                     struct coffer_fault *fault)
{
    const char *name = strip_owner(arn, "kms", &ref->owner);
    bool is_key = name != NULL && strncmp(name, "key/", 4) == 0;

    if (name == NULL || (!is_key && strncmp(name, "alias/", 6) != 0)) {
        return cof_kms_fault(fault, COFFER_E_ARN, "'%.110s' is no ARN of a key or an alias", arn);
    }
    if (strcmp(ref->owner.region, owner->region) != 0) {
        return cof_kms_fault(fault, COFFER_E_KEY_NOT_FOUND,
                             "%.90s is not of region %s: a key is used in its own region", arn,
                             owner->region);
    }
    *ret_name = is_key ? name + 4 : name;
    return 0;
}

int cof_kms_key_parse(const struct cof_kms_owner *owner, const char *key,
                      struct cof_kms_key_ref *ret_ref, struct coffer_fault *fault)
{
    const char *name = key == NULL ? COFFER_ALIAS_DEFAULT : key;
    struct cof_kms_key_ref ref;
    int error;

    memset(&ref, 0, sizeof(ref));
    ref.is_arn = strncmp(name, "arn:", 4) == 0;
    ref.owner = *owner;
    if (ref.is_arn) {
        error = parse_arn(owner, name, &ref, &name, fault);
        if (error != 0) {
            return error;
        }
    }
    if (cof_kms_key_id_ok(name)) {
        memcpy(ref.key_id, name, strlen(name) + 1);
    } else if (cof_kms_alias_ok(name)) {
        ref.is_alias = true;
        memcpy(ref.alias, name, strlen(name) + 1);
    } else {
        return cof_kms_fault(fault, COFFER_E_KEY_NOT_FOUND,
                             "'%.64s' is no key: give a key id, key ARN, alias/NAME or alias ARN",
                             key);
    }
    *ret_ref = ref;
    return 0;
}
