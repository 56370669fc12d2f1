/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/sigv4/key.c - dates, and step 3: from the secret to the signature.
 *
 *   key = HMAC(HMAC(HMAC(HMAC("AWS4" secret, date), region), service), "aws4_request")
 *
 * Invariant: secret and keys stand in struct cof_sigv4_keys only, which lies in locked pages that
 * are wiped when it is freed.
 */
#include "internal.h"

#include "name.h"
#include "secret.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- dates ------------------------------------------------------------------------------- */

static void print_stamp(const struct tm *parts, char ret_stamp[COF_SIGV4_STAMP_BYTES])
{
    /* The years of 64-bit nanoseconds end in 2554; the remainder keeps the compiler at ease. */
    (void)snprintf(ret_stamp, COF_SIGV4_STAMP_BYTES, "%04u%02u%02uT%02u%02u%02uZ",
                   (unsigned)(parts->tm_year + 1900) % 10000u, (unsigned)(parts->tm_mon + 1) % 100u,
                   (unsigned)parts->tm_mday % 100u, (unsigned)parts->tm_hour % 100u,
                   (unsigned)parts->tm_min % 100u, (unsigned)parts->tm_sec % 100u);
}

void cof_sigv4_stamp(uint64_t time_ns, char ret_stamp[COF_SIGV4_STAMP_BYTES])
{
    time_t seconds = (time_t)(time_ns / 1000000000u);
    struct tm parts;

    memset(&parts, 0, sizeof(parts));
    (void)gmtime_r(&seconds, &parts);
    print_stamp(&parts, ret_stamp);
}

/* The number in `digits` digits at *text, which moves behind them; -1 for what is no number. */
static int take_number(const char **text, unsigned digits)
{
    int number = 0;

    for (; digits > 0; digits--, (*text)++) {
        if (**text < '0' || **text > '9') {
            return -1;
        }
        number = number * 10 + (**text - '0');
    }
    return number;
}

/* A day that no calendar has comes back as another one. */
static bool day_exists(struct tm *parts, int64_t *ret_seconds)
{
    struct tm given = *parts;
    time_t seconds = timegm(parts);

    if (given.tm_year < 70 || given.tm_year != parts->tm_year || given.tm_mon != parts->tm_mon ||
        given.tm_mday != parts->tm_mday || given.tm_hour != parts->tm_hour ||
        given.tm_min != parts->tm_min || given.tm_sec != parts->tm_sec) {
        return false;
    }
    *ret_seconds = seconds;
    return true;
}

bool cof_sigv4_stamp_seconds(const char *text, int64_t *ret_seconds)
{
    struct tm parts;

    memset(&parts, 0, sizeof(parts));
    if (strlen(text) != COF_SIGV4_STAMP_BYTES - 1 || text[8] != 'T' || text[15] != 'Z') {
        return false;
    }
    parts.tm_year = take_number(&text, 4) - 1900;
    parts.tm_mon = take_number(&text, 2) - 1;
    parts.tm_mday = take_number(&text, 2);
    text++;
    parts.tm_hour = take_number(&text, 2);
    parts.tm_min = take_number(&text, 2);
    parts.tm_sec = take_number(&text, 2);
    return day_exists(&parts, ret_seconds);
}

bool cof_sigv4_date_seconds(const char *text, int64_t *ret_seconds)
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    const char *form = "ddd, 00 mmm 0000 00:00:00 GMT", *at;
    char month[4] = "";
    struct tm parts;
    size_t i;

    memset(&parts, 0, sizeof(parts));
    if (strlen(text) != strlen(form)) {
        return false;
    }
    for (i = 0; form[i] != '\0'; i++) {
        if (strchr("dm0", form[i]) == NULL && text[i] != form[i]) {
            return false;
        }
    }
    memcpy(month, text + 8, 3);
    at = strstr(months, month);
    if (at == NULL || (at - months) % 3 != 0) {
        return false;
    }
    parts.tm_mon = (int)(at - months) / 3;
    at = text + 5;
    parts.tm_mday = take_number(&at, 2);
    at = text + 12;
    parts.tm_year = take_number(&at, 4) - 1900;
    at = text + 17;
    parts.tm_hour = take_number(&at, 2);
    at = text + 20;
    parts.tm_min = take_number(&at, 2);
    at = text + 23;
    parts.tm_sec = take_number(&at, 2);
    return day_exists(&parts, ret_seconds) && strncmp(days + 3 * parts.tm_wday, text, 3) == 0;
}

/* ---- signature --------------------------------------------------------------------------- */

_Static_assert(sizeof(struct cof_sigv4_keys) <= COF_KMS_SPARE_BYTES, "keys fit into a spare");

struct cof_sigv4_keys *cof_sigv4_keys_new(struct cof_kms_spares *spares)
{
    uint8_t *memory = NULL;
    struct cof_sigv4_keys *keys;

    if (cof_kms_spare_take(spares, &memory) != 0) {
        return NULL;
    }
    keys = (struct cof_sigv4_keys *)(void *)memory;
    memcpy(keys->prefixed, "AWS4", 4);
    return keys;
}

void cof_sigv4_keys_free(struct cof_kms_spares *spares, struct cof_sigv4_keys *keys)
{
    cof_kms_spare_give(spares, (uint8_t *)keys);
}

char *cof_sigv4_keys_secret(struct cof_sigv4_keys *keys)
{
    return keys->prefixed + 4;
}

int cof_sigv4_signature(struct cof_sigv4_keys *keys, const char *stamp, const char *region,
                        const char *service, const char *string_to_sign,
                        char ret_signature[COFFER_KMS_SIGNATURE_BYTES])
{
    const struct cof_kms_bytes steps[] = {
        {(const uint8_t *)stamp, 8},
        {(const uint8_t *)region, strlen(region)},
        {(const uint8_t *)service, strlen(service)},
        {(const uint8_t *)COF_SIGV4_TERMINATOR, sizeof(COF_SIGV4_TERMINATOR) - 1},
        {(const uint8_t *)string_to_sign, strlen(string_to_sign)}};
    struct cof_kms_bytes key = {(const uint8_t *)keys->prefixed,
                                strnlen(keys->prefixed, sizeof(keys->prefixed))};
    int error = 0;
    size_t i;

    for (i = 0; i < sizeof(steps) / sizeof(steps[0]) && error == 0; i++) {
        error = cof_kms_hmac(key, steps[i], keys->next);
        memcpy(keys->key, keys->next, sizeof(keys->key));
        key.at = keys->key;
        key.length_bytes = sizeof(keys->key);
    }
    if (error == 0) {
        cof_kms_hex(keys->key, sizeof(keys->key), ret_signature);
    }
    return error;
}
