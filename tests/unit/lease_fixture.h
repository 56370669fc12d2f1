/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/lease_fixture.h - a store whose key service has moods: it refuses, hangs (the simulated
 * clock moves), cuts its answers off, throttles, errs or lies, in all calls or in one of them.
 */
#ifndef COF_TEST_LEASE_FIXTURE_H
#define COF_TEST_LEASE_FIXTURE_H

#include "unit/volume_fixture.h"
#include "volume/store.h"

#include <limits.h>

#define SECOND_NS UINT64_C(1000000000)
#define DAY_NS (UINT64_C(86400) * SECOND_NS)
#define LEASE_NS (300u * SECOND_NS)
#define HANG_NS (20u * SECOND_NS)
#define VOLUME_PAGES 64u

enum mood { MOOD_WELL = 0, MOOD_REFUSE, MOOD_HANG, MOOD_CUT, MOOD_THROTTLE, MOOD_ERR, MOOD_LIE };

struct lease_fixture {
    struct volume_fixture f;
    struct coffer_key_provider api; /* the fixture's key service behind its moods */
    struct coffer_key_provider_ops ops;
    enum mood mood;
    int refusal;
    unsigned asked; /* calls so far */
    unsigned only;  /* the mood is that of this call alone; UINT_MAX: of all */
    bool struck;
};

/* Whether this call has the mood; *ret_error: what it returns without an answer. */
static inline enum mood lease_mood(struct lease_fixture *l, int *ret_error)
{
    unsigned number = l->asked++;
    enum mood mood = l->only == UINT_MAX || l->only == number ? l->mood : MOOD_WELL;
    l->struck = l->struck || mood != MOOD_WELL;
    *ret_error = 0;
    switch (mood) {
    case MOOD_REFUSE:
        *ret_error = l->refusal;
        break;
    case MOOD_HANG:
        det_env_advance(&l->f.env, HANG_NS);
        *ret_error = COFFER_E_KEY_UNREACHABLE;
        break;
    case MOOD_THROTTLE:
        *ret_error = COFFER_E_AGAIN;
        break;
    case MOOD_ERR:
        *ret_error = COFFER_E_IO;
        break;
    default: /* it does as it is told: CUT and LIE spoil the answer */
        break;
    }
    return mood;
}

#define LEASE_CALL(call, spoil)                                   \
    struct lease_fixture *l = ctx;                                \
    void *kms = &l->f.kms;                                        \
    const struct coffer_key_provider_ops *ops = l->f.kms.api.ops; \
    int err;                                                      \
    enum mood mood = lease_mood(l, &err);                         \
    if (err == 0) {                                               \
        err = ops->call;                                          \
    }                                                             \
    if (err == 0 && mood == MOOD_CUT) {                           \
        err = COFFER_E_KEY_UNREACHABLE;                           \
    }                                                             \
    if (err == 0 && mood == MOOD_LIE) {                           \
        spoil;                                                    \
    }                                                             \
    return err

static int lease_describe(void *ctx, const char *key, struct coffer_key_info *ret_info)
{
    LEASE_CALL(describe(kms, key, ret_info), ret_info->state = COFFER_KEY_UNAVAILABLE);
}

static int lease_generate(void *ctx, const char *arn, const struct coffer_context *context,
                          struct coffer_key_blob *ret_blob)
{
    LEASE_CALL(generate_data_key_without_plaintext(kms, arn, context, ret_blob),
               ret_blob->bytes[20] ^= 1u);
}

static int lease_decrypt(void *ctx, const char *arn, const struct coffer_key_blob *blob,
                         const struct coffer_context *context, uint8_t bytes[COFFER_KEY_BYTES])
{
    LEASE_CALL(decrypt(kms, arn, blob, context, bytes), bytes[5] ^= 1u);
}

static int lease_re_encrypt(void *ctx, const struct coffer_key_blob *blob,
                            const struct coffer_context *from, const char *arn,
                            const struct coffer_context *to, struct coffer_key_blob *ret_blob)
{
    LEASE_CALL(re_encrypt(kms, blob, from, arn, to, ret_blob), ret_blob->bytes[20] ^= 1u);
}

static int lease_create_grant(void *ctx, const char *arn, const char *grantee, const char *name,
                              const char *const *operations, unsigned count,
                              const struct coffer_context *context, char ret_id[65])
{
    LEASE_CALL(create_grant(kms, arn, grantee, name, operations, count, context, ret_id),
               (void)ret_id);
}

static int lease_retire_grant(void *ctx, const char *arn, const char *id)
{
    LEASE_CALL(retire_grant(kms, arn, id), (void)id);
}

static inline void lease_make_volume(struct lease_fixture *l, const char *name, const char *key,
                                     int expected)
{
    struct coffer_volume_create_opts opts = {.size = sizeof opts,
                                             .name = name,
                                             .size_bytes = VOLUME_PAGES * PAGE,
                                             .kms_key_id = key,
                                             .provider = &l->api};
    assert_int_equal(coffer_volume_create(l->f.store, &opts, &l->f.fault), expected);
}

/* A store with a volume "v". */
static inline void lease_make(struct lease_fixture *l, uint64_t seed)
{
    memset(l, 0, sizeof *l);
    fixture_make(&l->f, seed);
    l->ops = (struct coffer_key_provider_ops){
        sizeof l->ops,    lease_describe,     lease_generate,    lease_decrypt,
        lease_re_encrypt, lease_create_grant, lease_retire_grant, NULL};
    l->api.ops = &l->ops;
    l->api.ctx = l;
    l->only = UINT_MAX;
    lease_make_volume(l, "v", NULL, 0);
}

static inline void lease_done(struct lease_fixture *l)
{
    fixture_done(&l->f);
}

static inline int lease_try_open(struct lease_fixture *l, const char *name,
                                 struct coffer_volume **ret_volume)
{
    struct coffer_volume_open_opts opts = open_opts(&l->f, name);
    opts.provider = &l->api;
    opts.lease_ns = LEASE_NS;
    return coffer_volume_open(l->f.store, &opts, ret_volume, &l->f.fault);
}

static inline struct coffer_volume *lease_open(struct lease_fixture *l, const char *name)
{
    struct coffer_volume *volume = NULL;
    int err = lease_try_open(l, name, &volume);
    if (err != 0) {
        fail_msg("open: %s: %s", coffer_error_name(err), l->f.fault.detail);
    }
    return volume;
}

/* Time passes, and a timer calls. */
static inline void lease_pass(struct lease_fixture *l, uint64_t ns)
{
    det_env_advance(&l->f.env, ns);
    while (coffer_store_maintain(l->f.store) > 0) {
    }
}

static inline void lease_start(struct lease_fixture *l, int expected)
{
    struct coffer_volume_open_opts opts = open_opts(&l->f, "v");
    int err;
    opts.provider = &l->api;
    err = coffer_volume_start(l->f.store, &opts, &l->f.fault);
    if (err != expected) {
        fail_msg("start: %s: %s", coffer_error_name(err), l->f.fault.detail);
    }
}

static inline int lease_see(void *ctx, const struct coffer_volume_info *info)
{
    struct coffer_volume_info *found = ctx;
    if (!info->name_known || strcmp(info->name, "v") == 0) {
        *found = *info;
        return 1;
    }
    return 0;
}

/* As the list shows it, with the key if it can be had. */
static inline struct coffer_volume_info lease_listed(struct lease_fixture *l)
{
    struct coffer_volume_info info;
    memset(&info, 0, sizeof info);
    assert_int_equal(coffer_volume_list(l->f.store, &l->f.kms.api, lease_see, &info, &l->f.fault),
                     1);
    return info;
}

/* It stopped, for that reason: no key is in memory, and the catalogue says so. Closes it. */
static inline void lease_is_stopped(struct lease_fixture *l, struct coffer_volume *volume,
                                    int cause)
{
    struct coffer_volume_info info = volume_info(volume);
    uint8_t page[PAGE];
    assert_true(volume->stopped);
    assert_null(volume->vk);
    assert_int_equal(volume->ek_count, 0);
    for (const struct cof_opener *at = l->f.store->opener_newest; at != NULL; at = at->older) {
        assert_int_not_equal(at->volume, volume->number);
    }
    assert_int_equal(info.access, COFFER_VOLUME_RECOVERABLE);
    assert_int_equal(info.access_cause, cause);
    assert_string_equal(coffer_volume_access_name(info.access),
                        "inaccessible-encryption-credentials-recoverable");
    assert_true(info.access_until_ns == info.access_since_ns + 7u * DAY_NS);
    assert_int_equal(lease_listed(l).access, COFFER_VOLUME_RECOVERABLE);
    assert_int_equal(coffer_volume_read(volume, page, 0, PAGE, NULL),
                     COFFER_E_INACCESSIBLE_CREDENTIALS);
    assert_int_equal(coffer_volume_close(volume), 0);
}

#endif
