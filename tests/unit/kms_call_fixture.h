/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms_call_fixture.h - calls on a key store's work functions as any caller, by a clock that the
 * test moves.
 */
#ifndef KMS_CALL_FIXTURE_H
#define KMS_CALL_FIXTURE_H

#include "kms/verbs.h"
#include "kms_fixture.h"

#define DAY COF_KMS_DAY_NS
#define START_NS (1000 * DAY) /* early, so that a thousand periods fit */

static uint64_t clock_ns;
static struct coffer_env clock_env;
static struct cof_kms_caller caller; /* of the calls that follow; zeros: the home root */

static inline uint64_t clock_read(void *ctx)
{
    (void)ctx;
    return clock_ns;
}

static inline int call_setup(void **state)
{
    struct kms_fixture *f = malloc(sizeof(*f));

    assert_non_null(f);
    fixture_init(f);
    memset(&caller, 0, sizeof(caller));
    memset(&clock_env, 0, sizeof(clock_env));
    clock_env.size = sizeof(clock_env);
    clock_env.wall_ns = clock_read;
    clock_ns = START_NS;
    f->opts.env = &clock_env;
    assert_int_equal(fixture_open(f), 0);
    *state = f;
    return 0;
}

/* One call: `work` is an expression of `call`; its error, which the fault must hold as well. */
#define CALL(f, event, work)                                                                       \
    ({                                                                                             \
        struct cof_kms_call call;                                                                  \
        int call_error;                                                                            \
        memset(&(f)->fault, 0, sizeof((f)->fault));                                                \
        call_error = cof_kms_call_begin_as(&call, (f)->store, event, COF_KMS_READS, &caller,       \
                                           &(f)->fault);                                           \
        if (call_error == 0) {                                                                     \
            call_error = cof_kms_call_settle(&call, work);                                         \
            cof_kms_call_leave(&call);                                                             \
        }                                                                                          \
        if (call_error < 0) {                                                                      \
            assert_int_equal((f)->fault.error, call_error);                                        \
            assert_true((f)->fault.detail[0] != '\0');                                             \
        }                                                                                          \
        call_error;                                                                                \
    })

/* A fresh key of that origin, made by the home root; its row stays until the next call. */
static inline const struct cof_kms_key_row *make_key(struct kms_fixture *f, const char *origin)
{
    static struct cof_kms_key_row row;
    const struct cof_kms_create_key params = {.origin = origin};

    assert_int_equal(CALL(f, "CreateKey", cof_kms_create_key(&call, &params, &row)), 0);
    return &row;
}

static inline const struct cof_kms_key_row *describe(struct kms_fixture *f, const char *key)
{
    static struct cof_kms_key_row row;

    assert_int_equal(CALL(f, "DescribeKey", cof_kms_describe_key(&call, key, &row)), 0);
    return &row;
}

static inline int encrypt(struct kms_fixture *f, const char *key,
                          const struct coffer_context *context, struct coffer_key_blob *ret_blob)
{
    const struct cof_kms_encrypt params = {
        key, NULL, {(const uint8_t *)"attack at dawn", 14}, context};
    struct cof_kms_used used;

    return CALL(f, "Encrypt", cof_kms_encrypt(&call, &params, ret_blob, &used));
}

static inline int decrypt(struct kms_fixture *f, const char *key,
                          const struct coffer_context *context, const struct coffer_key_blob *blob)
{
    const struct cof_kms_decrypt params = {key, NULL, {blob->bytes, blob->length_bytes}, context};
    struct cof_kms_used used;
    size_t bytes = 0;
    int error = CALL(f, "Decrypt", cof_kms_decrypt(&call, &params, &bytes, &used));

    if (error == 0) {
        assert_int_equal(bytes, 14);
    }
    return error;
}

#endif
