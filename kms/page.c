/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/page.c - markers of listings: opaque to callers, and worth nothing elsewhere.
 *
 * A marker is 32 hex digits and the last entry of the page: the digits are half of
 * HMAC(row key, text "coffer/kms/marker/1" | uuid | text event | text scope | text entry), where
 * scope is what was listed (a key's ARN, an account). Nothing is stored. Under the store's lock.
 */
#include "verbs.h"

#include "pack.h"

#include <stdio.h>
#include <string.h>

#define DIGITS 32u

static int sign_entry(struct cof_kms_call *call, const char *scope, const char *entry,
                      char ret_digits[DIGITS + 1])
{
    struct coffer_keystore *ks = call->ks;
    uint8_t packed[1400], mac[COF_KMS_MAC_BYTES];
    struct cof_kms_pack pack = cof_kms_pack_into(packed, sizeof(packed));
    int error;

    cof_kms_pack_text(&pack, "coffer/kms/marker/1");
    cof_kms_pack_bytes(&pack, ks->header.uuid, sizeof(ks->header.uuid));
    cof_kms_pack_text(&pack, call->event);
    cof_kms_pack_text(&pack, scope);
    cof_kms_pack_text(&pack, entry);
    error = pack.overflowed ? COFFER_E_INTERNAL
                            : cof_kms_mac(ks->secrets->mac_key, cof_kms_packed(&pack), mac);
    if (error != 0) {
        return cof_kms_fault(call->fault, error, NULL);
    }
    cof_kms_hex(mac, DIGITS / 2, ret_digits);
    return 0;
}

/* The entry that the page's marker stands for, "" for the first page. */
static int open_marker(struct cof_kms_lister *lister, const char *marker)
{
    char digits[DIGITS + 1];
    size_t bytes = marker == NULL ? 0 : strlen(marker);
    int error;

    if (bytes == 0) {
        return 0;
    }
    if (bytes > DIGITS && bytes - DIGITS < sizeof(lister->after)) {
        error = sign_entry(lister->call, lister->scope, marker + DIGITS, digits);
        if (error != 0) {
            return error;
        }
        if (cof_kms_equal(digits, marker, DIGITS)) {
            memcpy(lister->after, marker + DIGITS, bytes - DIGITS + 1);
            return 0;
        }
    }
    return cof_kms_fault(lister->call->fault, COFFER_E_MARKER,
                         "the marker is not valid: give the one that the last page ended with");
}

int cof_kms_lister_open(struct cof_kms_call *call, struct cof_kms_page *page, const char *scope,
                        struct cof_kms_lister *ret_lister)
{
    memset(ret_lister, 0, sizeof(*ret_lister));
    ret_lister->call = call;
    ret_lister->page = page;
    ret_lister->scope = scope;
    page->next[0] = '\0';
    return open_marker(ret_lister, page->marker);
}

unsigned cof_kms_lister_asks(const struct cof_kms_lister *lister)
{
    unsigned limit = lister->page->limit;

    return limit == 0 || limit == UINT32_MAX ? 0 : limit + 1;
}

bool cof_kms_lister_takes(struct cof_kms_lister *lister, const char *name)
{
    if (lister->page->limit != 0 && lister->given == lister->page->limit) {
        lister->more = true;
        return false;
    }
    lister->given++;
    (void)snprintf(lister->last, sizeof(lister->last), "%s", name);
    return true;
}

int cof_kms_lister_close(struct cof_kms_lister *lister)
{
    char digits[DIGITS + 1];
    int error;

    if (!lister->more) {
        return 0;
    }
    error = sign_entry(lister->call, lister->scope, lister->last, digits);
    if (error == 0) {
        (void)snprintf(lister->page->next, sizeof(lister->page->next), "%s%.*s", digits,
                       (int)(sizeof(lister->page->next) - sizeof(digits)), lister->last);
    }
    return error;
}
