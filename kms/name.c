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

bool cof_kms_key_id_ok(const char *key_id)
{
    size_t i;

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

void cof_kms_alias_arn(const struct cof_kms_owner *owner, const char *alias, char ret_arn[360])
{
    (void)snprintf(ret_arn, 360, ARN_PREFIX "%s:%s:%s", owner->region, owner->account, alias);
}

/* Step over "arn:coffer:kms:REGION:ACCOUNT:"; NULL when key is no ARN of owner. */
static const char *strip_owner(const struct cof_kms_owner *owner, const char *key)
{
    char prefix[80];
    size_t bytes;

    (void)snprintf(prefix, sizeof(prefix), ARN_PREFIX "%s:%s:", owner->region, owner->account);
    bytes = strlen(prefix);
    return strncmp(key, prefix, bytes) == 0 ? key + bytes : NULL;
}

int cof_kms_key_parse(const struct cof_kms_owner *owner, const char *key,
                      struct cof_kms_key_ref *ret_ref, struct coffer_fault *fault)
{
    const char *name = key == NULL ? COFFER_ALIAS_DEFAULT : key;
    bool is_arn = strncmp(name, "arn:", 4) == 0;
    struct cof_kms_key_ref ref;

    memset(&ref, 0, sizeof(ref));
    if (is_arn) {
        name = strip_owner(owner, name);
        if (name == NULL) {
            return cof_kms_fault(fault, COFFER_E_KEY_NOT_FOUND,
                                 "%.90s is not of this key store (account %s, region %s)", key,
                                 owner->account, owner->region);
        }
        if (strncmp(name, "key/", 4) == 0) {
            name += 4;
        } else if (strncmp(name, "alias/", 6) != 0) {
            name = "";
        }
    }
    if (cof_kms_key_id_ok(name) && (!is_arn || name[-1] == '/')) {
        memcpy(ref.key_id, name, sizeof(ref.key_id));
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
