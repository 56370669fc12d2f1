/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/policy/quantity.c - numbers, dates and networks that stand as texts in policies and requests.
 *
 * Fixed point, so that comparing is exact and no locale matters. Any thread, no state.
 */
#include "policy/value.h"

#include <arpa/inet.h>
#include <string.h>

#define MILLION INT64_C(1000000)

/* Step over exactly digits decimal digits at *at. */
static bool read_digits(const char **at, unsigned digits, int64_t *ret_value)
{
    int64_t value = 0;

    for (; digits > 0; digits--, (*at)++) {
        if (**at < '0' || **at > '9') {
            return false;
        }
        value = value * 10 + (**at - '0');
    }
    *ret_value = value;
    return true;
}

static unsigned digit_count(const char *text)
{
    return (unsigned)strspn(text, "0123456789");
}

/* ".5" at *at, as millionths; nothing there is 0. */
static bool read_fraction(const char **at, int64_t *ret_millionths)
{
    int64_t value = 0;
    unsigned digits;

    if (**at == '.') {
        (*at)++;
        digits = digit_count(*at);
        if (digits < 1 || digits > 6 || !read_digits(at, digits, &value)) {
            return false;
        }
        for (; digits < 6; digits++) {
            value *= 10;
        }
    }
    *ret_millionths = value;
    return true;
}

bool cof_policy_number_read(const char *text, int64_t *ret_millionths)
{
    bool negative = *text == '-';
    const char *at = text + (negative ? 1 : 0);
    unsigned digits = digit_count(at);
    int64_t whole, fraction;

    if (digits < 1 || digits > 12 || !read_digits(&at, digits, &whole) ||
        !read_fraction(&at, &fraction) || *at != '\0') {
        return false;
    }
    whole = whole * MILLION + fraction;
    *ret_millionths = negative ? -whole : whole;
    return true;
}

/* Days since 1970-01-01 of the Gregorian calendar, by counting from 1 March of the year 0. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    int64_t from_march = (month + 9) % 12;
    int64_t y = month <= 2 ? year - 1 : year;

    return 365 * y + y / 4 - y / 100 + y / 400 + (153 * from_march + 2) / 5 + day - 1 - 719468;
}

static bool date_ok(int64_t year, int64_t month, int64_t day)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return year >= 1 && month >= 1 && month <= 12 && day >= 1 &&
           day <= days[month - 1] + (leap && month == 2 ? 1 : 0);
}

/* "Z", "+01:00" or "-0130": seconds to take off. */
static bool read_zone(const char **at, int64_t *ret_seconds)
{
    int64_t hours, minutes;
    char sign = **at;

    (*at) += sign == '\0' ? 0 : 1;
    if (sign == 'Z') {
        *ret_seconds = 0;
        return true;
    }
    if ((sign != '+' && sign != '-') || !read_digits(at, 2, &hours)) {
        return false;
    }
    *at += **at == ':' ? 1 : 0;
    if (!read_digits(at, 2, &minutes) || hours > 23 || minutes > 59) {
        return false;
    }
    *ret_seconds = (hours * 3600 + minutes * 60) * (sign == '-' ? -1 : 1);
    return true;
}

/* "T14:05", with seconds and a fraction or not, and a zone: microseconds of the day. */
static bool read_time(const char **at, int64_t *ret_micros)
{
    int64_t hour, minute, second = 0, fraction = 0, zone;

    (*at)++;
    if (!read_digits(at, 2, &hour) || *(*at)++ != ':' || !read_digits(at, 2, &minute)) {
        return false;
    }
    if (**at == ':') {
        (*at)++;
        if (!read_digits(at, 2, &second) || !read_fraction(at, &fraction)) {
            return false;
        }
    }
    if (hour > 23 || minute > 59 || second > 60 || !read_zone(at, &zone)) {
        return false;
    }
    *ret_micros = (hour * 3600 + minute * 60 + second - zone) * MILLION + fraction;
    return true;
}

bool cof_policy_date_read(const char *text, int64_t *ret_micros)
{
    const char *at = text;
    int64_t year, month = 1, day = 1, time = 0;

    if (digit_count(text) != 4) {
        return cof_policy_number_read(text, ret_micros);
    }
    if (!read_digits(&at, 4, &year)) {
        return false;
    }
    if (*at == '-') {
        at++;
        if (!read_digits(&at, 2, &month)) {
            return false;
        }
        if (*at == '-') {
            at++;
            if (!read_digits(&at, 2, &day) || (*at == 'T' && !read_time(&at, &time))) {
                return false;
            }
        }
    }
    if (*at != '\0' || !date_ok(year, month, day)) {
        return false;
    }
    *ret_micros = days_of(year, month, day) * 86400 * MILLION + time;
    return true;
}

/* An address as 16 bytes; *ret_width is what its bits are counted in. */
static bool read_address(const char *text, uint8_t address[16], unsigned *ret_width)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    memcpy(address, mapped, sizeof(mapped));
    *ret_width = 32;
    if (inet_pton(AF_INET, text, address + sizeof(mapped)) == 1) {
        return true;
    }
    *ret_width = 128;
    return inet_pton(AF_INET6, text, address) == 1;
}

bool cof_policy_network_read(const char *text, struct cof_policy_network *ret_network)
{
    struct cof_policy_network network;
    char address[64];
    size_t bytes = strcspn(text, "/");
    const char *at = text + bytes;
    unsigned width, digits;
    int64_t bits;

    if (bytes >= sizeof(address)) {
        return false;
    }
    memcpy(address, text, bytes);
    address[bytes] = '\0';
    if (!read_address(address, network.address, &width)) {
        return false;
    }
    network.bits = 128;
    if (*at == '/') {
        at++;
        digits = digit_count(at);
        if (digits < 1 || digits > 3 || !read_digits(&at, digits, &bits) || *at != '\0' ||
            bits > width) {
            return false;
        }
        network.bits = (unsigned)bits + 128 - width;
    }
    *ret_network = network;
    return true;
}

bool cof_policy_network_holds(const struct cof_policy_network *network, const char *address)
{
    struct cof_policy_network one;
    unsigned whole = network->bits / 8, rest = network->bits % 8;
    uint8_t mask = (uint8_t)(0xff00u >> rest);

    if (strchr(address, '/') != NULL || !cof_policy_network_read(address, &one)) {
        return false;
    }
    /* ::/0 holds no IPv4 address, as written it is of the other kind. */
    if (network->bits < 96 && memcmp(one.address, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) == 0) {
        return false;
    }
    return memcmp(network->address, one.address, whole) == 0 &&
           (rest == 0 || ((network->address[whole] ^ one.address[whole]) & mask) == 0);
}
