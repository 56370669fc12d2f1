/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/wire/json.c - parsing, printing, base64. Any thread.
 *
 * Invariant: what jansson frees is wiped first (json.h says where that ends).
 */
#include "wire/json.h"

#include "secret.h"

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A time of this century has 10 digits before the point and gets 3 behind it. */
#define DUMP_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(13))

/* ---- memory ------------------------------------------------------------------------------ */

static void wipe_and_free(void *memory)
{
    if (memory != NULL) {
        cof_kms_wipe(memory, malloc_usable_size(memory));
        free(memory);
    }
}

static void take_over(void)
{
    json_malloc_t take = NULL;
    json_free_t give = NULL;

    json_get_alloc_funcs(&take, &give);
    if (take == malloc && give == free) {
        json_set_alloc_funcs(malloc, wipe_and_free);
    }
}

void cof_wire_json_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, take_over);
}

/* ---- text to values and back ------------------------------------------------------------- */

json_t *cof_wire_json_parse(const uint8_t *bytes, size_t count, char *ret_why)
{
    json_error_t why;
    json_t *value =
        json_loadb((const char *)bytes, count, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);

    if (value == NULL) {
        (void)snprintf(ret_why, 160,
                       "the body is not JSON without doubled names: line %d, column %d", why.line,
                       why.column);
    }
    return value;
}

size_t cof_wire_json_bytes(const json_t *value)
{
    return json_dumpb(value, NULL, 0, DUMP_FLAGS);
}

void cof_wire_json_write(const json_t *value, char *buffer, size_t room)
{
    (void)json_dumpb(value, buffer, room, DUMP_FLAGS);
}

json_t *cof_wire_json_time(uint64_t ns)
{
    return json_real((double)(ns / 1000000u) / 1000.0);
}

/* ---- base64 ------------------------------------------------------------------------------ */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int digit_value(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int cof_wire_base64_decode(const char *text, size_t length, uint8_t *ret_bytes, size_t *ret_count)
{
    size_t padding = 0, count = 0, at;

    while (padding < 2 && padding < length && text[length - 1 - padding] == '=') {
        padding++;
    }
    if (length % 4 != 0) {
        return COFFER_E_INVALID;
    }
    for (at = 0; at < length; at += 4) {
        size_t left = length - at == 4 ? 4 - padding : 4, i;
        uint32_t group = 0;

        for (i = 0; i < 4; i++) {
            int value = i < left ? digit_value(text[at + i]) : 0;

            if (value < 0) {
                return COFFER_E_INVALID;
            }
            group = group << 6 | (uint32_t)value;
        }
        /* Bits beyond the last byte are zero: each value has one spelling. */
        if ((group & (0xffffffu >> (8 * (left - 1)))) != 0 && left < 4) {
            return COFFER_E_INVALID;
        }
        for (i = 0; i + 1 < left; i++) {
            ret_bytes[count++] = (uint8_t)(group >> (16 - 8 * i));
        }
    }
    *ret_count = count;
    return 0;
}

json_t *cof_wire_json_blob(struct cof_kms_bytes bytes)
{
    size_t count = bytes.length_bytes, at;
    char *text = malloc((count + 2) / 3 * 4 + 1), *out = text;
    json_t *value;

    if (text == NULL) {
        return NULL;
    }
    for (at = 0; at < count; at += 3) {
        size_t left = count - at;
        uint32_t group = (uint32_t)bytes.at[at] << 16;

        group |= left > 1 ? (uint32_t)bytes.at[at + 1] << 8 : 0;
        group |= left > 2 ? (uint32_t)bytes.at[at + 2] : 0;
        *out++ = digits[group >> 18];
        *out++ = digits[group >> 12 & 63];
        *out++ = left > 1 ? digits[group >> 6 & 63] : '=';
        *out++ = left > 2 ? digits[group & 63] : '=';
    }
    value = json_stringn(text, (size_t)(out - text));
    wipe_and_free(text);
    return value;
}
