/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/fake_kms.h - a key provider in memory, for tests: keys that may be disabled, contexts that
 * are checked, and a planted failure at any call.
 *
 * A blob is: key number 1, nonce 12, AES-256-GCM of the 32 bytes with the canonical context (pairs
 * sorted by key, each string length-prefixed) as associated data, tag 16. One thread.
 *
 * struct fake_kms_blind is the same service as a principal sees it who may do everything but
 * decrypt.
 */
#ifndef TESTS_COMMON_FAKE_KMS_H
#define TESTS_COMMON_FAKE_KMS_H

#include <coffer/keys.h>
#include <stdbool.h>

#define FAKE_KMS_KEYS 4u /* key 0 is the managed default */
#define FAKE_KMS_GRANTS 64u

struct fake_kms {
    struct coffer_key_provider api; /* hand &api to the engine */
    struct {
        uint8_t bytes[COFFER_KEY_BYTES];
        enum coffer_key_state state;
        bool gone; /* deleted: nobody knows it any more */
    } keys[FAKE_KMS_KEYS];
    uint64_t counter; /* nonces and drawn keys */
    uint64_t seed;
    uint64_t calls;
    bool planted, planted_sticky;
    uint64_t planted_at;
    int planted_error;
    uint64_t fired;
    struct fake_grant {
        char id[65], name[112], grantee[COFFER_PRINCIPAL_BYTES_MAX];
        char volume[40]; /* what the constraint names */
        unsigned key;
        bool live;
    } grants[FAKE_KMS_GRANTS];
    uint64_t grants_drawn;
    unsigned grant_count; /* made; those beyond the array are not kept */
};

struct fake_kms_blind {
    struct coffer_key_provider api; /* hand &api to the engine */
    struct coffer_key_provider_ops ops;
};

void fake_kms_init(struct fake_kms *kms, uint64_t seed);
/* kms must outlive it, and neither may move. */
void fake_kms_blind_init(struct fake_kms_blind *blind, const struct fake_kms *kms);
/* "arn:coffer:kms:test:000000000000:key/N" */
void fake_kms_arn(unsigned key, char ret_arn[COFFER_KEY_ARN_BYTES_MAX]);
/* The call number `at`, counted from now, fails; sticky: and all after it. */
void fake_kms_fail(struct fake_kms *kms, uint64_t at, bool sticky, int error);
void fake_kms_fail_none(struct fake_kms *kms);
/* Grants that were not retired; of a key, or of all (FAKE_KMS_KEYS). */
unsigned fake_kms_grants(const struct fake_kms *kms, unsigned key);

#endif
