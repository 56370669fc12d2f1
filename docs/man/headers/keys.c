/* SPDX-License-Identifier: Apache-2.0 */
/* The example of coffer_keys.h(3): not linked, but compiled by tests/cli/man_pages.sh. */

#include <coffer/keys.h>
#include <string.h>

/* A provider that lets another one do the work, and counts the keys that it unwraps. */
struct counted {
    struct coffer_key_provider inner;
    struct coffer_key_provider_ops ops;
    unsigned unwraps;
};

static int describe(void *ctx, const char *key, struct coffer_key_info *ret_info)
{
    struct counted *counted = (struct counted *)ctx;
    return counted->inner.ops->describe(counted->inner.ctx, key, ret_info);
}

static int decrypt(void *ctx, const char *key_arn, const struct coffer_key_blob *blob,
                   const struct coffer_context *context, uint8_t key_bytes[COFFER_KEY_BYTES])
{
    struct counted *counted = (struct counted *)ctx;
    counted->unwraps++;
    return counted->inner.ops->decrypt(counted->inner.ctx, key_arn, blob, context, key_bytes);
}

/* Enough to open volumes that are there; making one needs the other calls, too. */
struct coffer_key_provider count_unwraps(struct counted *counted,
                                         struct coffer_key_provider inner)
{
    struct coffer_key_provider provider = {&counted->ops, counted};

    memset(counted, 0, sizeof *counted);
    counted->inner = inner;
    counted->ops.size = sizeof counted->ops;
    counted->ops.describe = describe;
    counted->ops.decrypt = decrypt;
    return provider;
}
