/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/size.c - sizes and numbers from text, with every step checked for overflow.
 */
#include "size.h"
#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#define FRACTION_DIGITS_MAX 9

/* The sentences are whole, so that callers only put the text in front of them. */
static const char why_form[] = "a size is a number with K, M, G, T, P or E behind it, such as 4K";
static const char why_decimal[] =
    "KB, MB and the like are ambiguous; write K or KiB for 1024, M or MiB for 1024 times that";
static const char why_large[] = "the size is beyond 8 EiB, which no file offset can reach";
static const char why_fraction[] = "the fraction does not come out at whole bytes";
static const char why_number[] = "a number is decimal digits, at most 18446744073709551615";

static int fail(const char **ret_why, const char *why)
{
    *ret_why = why;
    return -1;
}

static int digits(const char **text, uint64_t *ret_number)
{
    uint64_t number = 0;
    while (isdigit((unsigned char)**text)) {
        if (__builtin_mul_overflow(number, 10u, &number) ||
            __builtin_add_overflow(number, (uint64_t)(**text - '0'), &number)) {
            return -1;
        }
        ++*text;
    }
    *ret_number = number;
    return 0;
}

/* The shift of a unit, or -1. `decimal` is set for KB and its kin. */
static int unit_shift(const char *text, bool *ret_decimal)
{
    static const char letters[] = "KMGTPE";
    *ret_decimal = false;
    if (text[0] == '\0' || (text[0] == 'B' && text[1] == '\0')) {
        return 0;
    }
    const char *letter = strchr(letters, toupper((unsigned char)text[0]));
    if (letter == NULL) {
        return -1;
    }
    if (text[1] == '\0' || strcmp(text + 1, "iB") == 0) {
        return (int)(letter - letters + 1) * 10;
    }
    *ret_decimal = (text[1] == 'B' || text[1] == 'b') && text[2] == '\0';
    return -1;
}

static int add_fraction(const char **text, int shift, uint64_t *bytes, const char **ret_why)
{
    uint64_t numerator = 0;
    uint64_t denominator = 1;
    unsigned count = 0;
    for (; isdigit((unsigned char)**text); ++*text) {
        if (++count > FRACTION_DIGITS_MAX) {
            return fail(ret_why, why_fraction);
        }
        numerator = numerator * 10 + (uint64_t)(**text - '0');
        denominator *= 10;
    }
    if (count == 0) {
        return fail(ret_why, why_form);
    }
    uint64_t scaled;
    while (numerator % 10 == 0 && denominator > 1) {
        numerator /= 10;
        denominator /= 10;
    }
    /* A power of two and a power of ten share only twos, so dividing these out first keeps the
     * product within 64 bits whenever the result is whole. */
    while (shift > 0 && denominator % 2 == 0) {
        denominator /= 2;
        shift--;
    }
    if (numerator % denominator != 0) {
        return fail(ret_why, why_fraction);
    }
    if (__builtin_mul_overflow(numerator / denominator, (uint64_t)1 << shift, &scaled) ||
        __builtin_add_overflow(*bytes, scaled, bytes)) {
        return fail(ret_why, why_large);
    }
    return 0;
}

int cof_tool_size_parse(const char *text, uint64_t *ret_bytes, const char **ret_why)
{
    const char *at = text;
    uint64_t whole;
    if (!isdigit((unsigned char)*at)) {
        return fail(ret_why, why_form);
    }
    if (digits(&at, &whole) != 0) {
        return fail(ret_why, why_large);
    }
    const char *unit = at;
    if (*unit == '.') {
        unit += 1 + strspn(unit + 1, "0123456789");
    }
    bool decimal;
    int shift = unit_shift(unit, &decimal);
    if (shift < 0) {
        return fail(ret_why, decimal ? why_decimal : why_form);
    }
    uint64_t bytes;
    if (__builtin_mul_overflow(whole, (uint64_t)1 << shift, &bytes)) {
        return fail(ret_why, why_large);
    }
    if (*at == '.') {
        at++;
        if (add_fraction(&at, shift, &bytes, ret_why) != 0) {
            return -1;
        }
    }
    if (bytes > INT64_MAX) {
        return fail(ret_why, why_large);
    }
    *ret_bytes = bytes;
    return 0;
}

int cof_tool_number_parse(const char *text, uint64_t *ret_number, const char **ret_why)
{
    const char *at = text;
    uint64_t number;
    if (!isdigit((unsigned char)*at) || digits(&at, &number) != 0 || *at != '\0') {
        return fail(ret_why, why_number);
    }
    *ret_number = number;
    return 0;
}
