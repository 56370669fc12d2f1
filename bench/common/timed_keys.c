/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/timed_keys.c - see timed_keys.h.
 */
#include "common/timed_keys.h"
#include "common/target.h"
#include <string.h>

static int spent(struct cof_bench_timed_keys *keys, uint64_t start_ns, int error)
{
    keys->calls++;
    keys->spent_ns += cof_load_now_ns() - start_ns;
    return error;
}

static int describe(void *ctx, const char *key, struct coffer_key_info *ret_info)
{
    struct cof_bench_timed_keys *keys = ctx;
    uint64_t start_ns = cof_load_now_ns();
    return spent(keys, start_ns, keys->inner.ops->describe(keys->inner.ctx, key, ret_info));
}

static int generate(void *ctx, const char *key_arn, const struct coffer_context *context,
                    struct coffer_key_blob *ret_blob)
{
    struct cof_bench_timed_keys *keys = ctx;
    uint64_t start_ns = cof_load_now_ns();
    return spent(keys, start_ns,
                 keys->inner.ops->generate_data_key_without_plaintext(keys->inner.ctx, key_arn,
                                                                      context, ret_blob));
}

static int decrypt(void *ctx, const char *key_arn, const struct coffer_key_blob *blob,
                   const struct coffer_context *context, uint8_t key_bytes[COFFER_KEY_BYTES])
{
    struct cof_bench_timed_keys *keys = ctx;
    uint64_t start_ns = cof_load_now_ns();
    return spent(keys, start_ns,
                 keys->inner.ops->decrypt(keys->inner.ctx, key_arn, blob, context, key_bytes));
}

static int re_encrypt(void *ctx, const struct coffer_key_blob *blob,
                      const struct coffer_context *source_context, const char *destination_key_arn,
                      const struct coffer_context *destination_context,
                      struct coffer_key_blob *ret_blob)
{
    struct cof_bench_timed_keys *keys = ctx;
    uint64_t start_ns = cof_load_now_ns();
    return spent(keys, start_ns,
                 keys->inner.ops->re_encrypt(keys->inner.ctx, blob, source_context,
                                             destination_key_arn, destination_context, ret_blob));
}

static int create_grant(void *ctx, const char *key_arn, const char *grantee, const char *name,
                        const char *const *operations, unsigned operation_count,
                        const struct coffer_context *context, char ret_grant_id[65])
{
    struct cof_bench_timed_keys *keys = ctx;
    uint64_t start_ns = cof_load_now_ns();
    return spent(keys, start_ns,
                 keys->inner.ops->create_grant(keys->inner.ctx, key_arn, grantee, name, operations,
                                               operation_count, context, ret_grant_id));
}

static int retire_grant(void *ctx, const char *key_arn, const char *grant_id)
{
    struct cof_bench_timed_keys *keys = ctx;
    uint64_t start_ns = cof_load_now_ns();
    return spent(keys, start_ns, keys->inner.ops->retire_grant(keys->inner.ctx, key_arn, grant_id));
}

static int principal(void *ctx, char ret_arn[COFFER_PRINCIPAL_BYTES_MAX])
{
    struct cof_bench_timed_keys *keys = ctx;
    return keys->inner.ops->principal != NULL
               ? keys->inner.ops->principal(keys->inner.ctx, ret_arn)
               : COFFER_E_UNSUPPORTED;
}

static const struct coffer_key_provider_ops ops = {.size = sizeof ops,
                                                   .describe = describe,
                                                   .generate_data_key_without_plaintext = generate,
                                                   .decrypt = decrypt,
                                                   .re_encrypt = re_encrypt,
                                                   .create_grant = create_grant,
                                                   .retire_grant = retire_grant,
                                                   .principal = principal};

void cof_bench_timed_keys_init(struct cof_bench_timed_keys *keys,
                               const struct coffer_key_provider *inner)
{
    memset(keys, 0, sizeof *keys);
    keys->inner = *inner;
    keys->provider.ops = &ops;
    keys->provider.ctx = keys;
}
