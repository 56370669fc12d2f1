/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/base64.c - bytes as text and back. What is written or read may be a secret, so nothing of it
 * is kept; it is not done in constant time.
 *
 * Invariant: decode takes a text if and only if encode writes it.
 */
#include "base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t cof_kms_base64_encode(struct cof_kms_bytes bytes, char *ret_text)
{
    char *out = ret_text;
    size_t at;

    for (at = 0; at < bytes.length_bytes; at += 3) {
        size_t left = bytes.length_bytes - at;
        uint32_t group = (uint32_t)bytes.at[at] << 16;

        group |= left > 1 ? (uint32_t)bytes.at[at + 1] << 8 : 0;
        group |= left > 2 ? (uint32_t)bytes.at[at + 2] : 0;
        *out++ = digits[group >> 18];
        *out++ = digits[group >> 12 & 63];
        *out++ = left > 1 ? digits[group >> 6 & 63] : '=';
        *out++ = left > 2 ? digits[group & 63] : '=';
    }
    *out = '\0';
    return (size_t)(out - ret_text);
}

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

int cof_kms_base64_decode(const char *text, size_t length, uint8_t *ret_bytes, size_t *ret_count)
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
