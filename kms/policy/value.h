/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/policy/value.h - condition keys: which there are, and what a request says under them; and the
 * numbers, dates and networks that texts stand for.
 */
#ifndef COF_POLICY_VALUE_H
#define COF_POLICY_VALUE_H

#include "policy/pattern.h"

/* A condition key as a document names it. */
struct cof_policy_key {
    unsigned row;       /* of the table in value.c                                        */
    const char *suffix; /* KEY of kms:EncryptionContext:KEY, inside the name; or ""       */
};

/* Look name up; false for one that no request answers. Case doesn't matter. */
bool cof_policy_key_find(const char *name, struct cof_policy_key *ret_key);
bool cof_policy_key_is_arn(const struct cof_policy_key *key);
/* May stand as ${name}. */
bool cof_policy_key_is_variable(const struct cof_policy_key *key);

/* The values of a key, one after the other. */
struct cof_policy_cursor {
    struct cof_policy_run *run;
    struct cof_policy_key key;
    unsigned at;
    bool folded; /* no context key is spelled like suffix: any case of it will do */
    char scratch[COF_POLICY_ARN_BYTES_MAX];
};

void cof_policy_values(struct cof_policy_run *run, const struct cof_policy_key *key,
                       struct cof_policy_cursor *ret_cursor);
/* NULL after the last; good until the next call. */
const char *cof_policy_next_value(struct cof_policy_cursor *cursor);

/* Millionths. A decimal number of up to 12 digits and 6 behind the point. */
bool cof_policy_number_read(const char *text, int64_t *ret_millionths);
/* Millionths of a second since 1970, from ISO 8601 (2026, 2026-11, 2026-11-22,
 * 2026-11-22T14:05[:24[.5]]Z or +01:00) or a number of seconds. */
bool cof_policy_date_read(const char *text, int64_t *ret_micros);

/* IPv4 addresses lie in ::ffff:0:0/96, whichever way they are written. */
struct cof_policy_network {
    uint8_t address[16];
    unsigned bits;
};

/* ADDRESS or ADDRESS/BITS. */
bool cof_policy_network_read(const char *text, struct cof_policy_network *ret_network);
bool cof_policy_network_holds(const struct cof_policy_network *network, const char *address);

#endif
