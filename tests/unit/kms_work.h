/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms_work.h - work functions of the key service, called as its operations call them: each within a
 * transaction, on a clock that the test moves.
 */
#ifndef KMS_WORK_H
#define KMS_WORK_H

#include "kms/kms.h"
#include "kms_fixture.h"

#define WORK_HOUR_NS (3600ull * 1000000000u)
#define WORK_DAY_NS (24u * WORK_HOUR_NS)
#define WORK_BEGAN_NS (1900000000ull * 1000000000u)

static uint64_t work_now_ns = WORK_BEGAN_NS;

static inline uint64_t work_clock(void *ctx)
{
    (void)ctx;
    return work_now_ns;
}

static inline int work_setup(void **state)
{
    static struct coffer_env env = {.size = sizeof(env), .wall_ns = work_clock};
    struct kms_fixture *f = malloc(sizeof(*f));

    assert_non_null(f);
    work_now_ns = WORK_BEGAN_NS;
    fixture_init(f);
    f->opts.env = &env;
    assert_int_equal(fixture_open(f), 0);
    *state = f;
    return 0;
}

static inline void work_begin(struct kms_fixture *f, struct cof_kms_call *call, const char *event)
{
    memset(&f->fault, 0, sizeof(f->fault));
    assert_int_equal(cof_kms_call_begin(call, f->store, event, COF_KMS_ALONE, &f->fault), 0);
}

static inline int work_end(struct cof_kms_call *call, int error)
{
    error = cof_kms_call_settle(call, error);
    cof_kms_call_leave(call);
    return error;
}

/* One call of a work function, in a transaction of its own; an expression with its error. */
#define WORK(f, call, event, expression) \
    (work_begin((f), (call), (event)), work_end((call), (expression)))

static inline int work_add_key(struct cof_kms_call *call, const char *spec, const char *usage,
                               const char *origin, struct cof_kms_key_row *row)
{
    uint8_t random[16];
    int error = cof_kms_random(&call->ks->env, random, sizeof(random));

    assert_int_equal(error, 0);
    memset(row, 0, sizeof(*row));
    cof_kms_uuid_text(random, row->key_id);
    row->owner = call->owner;
    cof_kms_key_arn(&row->owner, row->key_id, row->arn);
    snprintf(row->key_spec, sizeof(row->key_spec), "%s", spec);
    snprintf(row->key_usage, sizeof(row->key_usage), "%s", usage);
    snprintf(row->origin, sizeof(row->origin), "%s", origin);
    row->created_ns = work_now_ns;
    row->has_material = strcmp(origin, "EXTERNAL") != 0;
    row->state = row->has_material ? COFFER_KEY_ENABLED : COFFER_KEY_PENDING_IMPORT;
    memcpy(row->material_id, random, sizeof(random));
    error = cof_kms_db_key_add(call->ks->db, row, call->fault);
    return error == 0 && row->has_material ? cof_kms_key_draw(call, row) : error;
}

/* A key, and its ARN. */
static inline void work_key(struct kms_fixture *f, const char *spec, const char *usage,
                            const char *origin, char arn[COFFER_KEY_ARN_BYTES_MAX])
{
    static struct cof_kms_key_row row;
    struct cof_kms_call call;

    assert_int_equal(WORK(f, &call, "CreateKey", work_add_key(&call, spec, usage, origin, &row)),
                     0);
    memcpy(arn, row.arn, sizeof(row.arn));
}

/* The row as it stands. */
static inline void work_row(struct kms_fixture *f, const char *arn, struct cof_kms_key_row *row)
{
    struct cof_kms_call call;

    assert_int_equal(WORK(f, &call, "DescribeKey", cof_kms_key_find(&call, arn, true, row)), 0);
}

static inline void work_set_state(struct kms_fixture *f, const char *arn,
                                  enum coffer_key_state state)
{
    static struct cof_kms_key_row row;
    struct cof_kms_call call;

    work_row(f, arn, &row);
    row.state = state;
    assert_int_equal(WORK(f, &call, "Test", cof_kms_db_key_set(f->store->db, &row, &f->fault)), 0);
}

#endif
