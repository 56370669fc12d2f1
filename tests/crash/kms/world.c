/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/kms/world.c - the store under test: opening it, and each operation.
 */
#include "world.h"

#include "common/harness.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const op_names[OP_KINDS] = {
    "none",    "create",   "create-external", "enable",   "disable", "describe", "rotate",
    "import",  "drop",     "alias",           "no-alias", "grant",   "revoke",   "tag",
    "encrypt", "schedule", "cancel",          "age"};

static const char plaintext[] = "attack at dawn";

/* ---- the store --------------------------------------------------------------------------- */

static uint64_t clock_of(void *ctx)
{
    return ((const struct world *)ctx)->model.now_ns;
}

static int passphrase(void *ctx, int creating, uint8_t *buffer, size_t capacity, size_t *ret_bytes)
{
    (void)ctx;
    (void)creating;
    (void)capacity;
    memcpy(buffer, "killed", 6);
    *ret_bytes = 6;
    return 0;
}

void world_init(struct world *world, const char *path)
{
    memset(world, 0, sizeof *world);
    snprintf(world->path, sizeof world->path, "%s", path);
    world->model.now_ns = BEGAN_NS;
}

void world_draw(struct world *world)
{
    harness_require(cof_kms_import_scratch_new(&world->scratch) == 0 &&
                        cof_kms_import_scratch_new(&world->drawn) == 0 &&
                        cof_kms_import_draw(world->drawn, "RSA_2048", &world->offer) == 0,
                    "no wrapping key");
}

void world_open(struct world *world, bool create)
{
    struct coffer_env env = {.size = sizeof env, .wall_ns = clock_of, .ctx = world};
    struct coffer_keystore_opts opts = {.size = sizeof opts,
                                        .path = world->path,
                                        .flags = create ? COFFER_KEYSTORE_CREATE : 0,
                                        .passphrase = passphrase,
                                        .env = &env,
                                        .argon2_memory_kib = 8,
                                        .argon2_passes = 1};
    struct coffer_fault fault = {0};
    int error = coffer_keystore_open(&opts, &world->store, &fault);
    harness_require(error == 0, "open: %s: %s", coffer_error_name(error), fault.detail);
}

void world_close(struct world *world)
{
    coffer_keystore_close(world->store);
    world->store = NULL;
}

void world_done(struct world *world)
{
    world_close(world);
    coffer_keystore_secret_free((uint8_t *)world->scratch);
    coffer_keystore_secret_free((uint8_t *)world->drawn);
}

/* ---- choosing ---------------------------------------------------------------------------- */

static bool may(const struct model *model, const struct slot *slot, enum op op)
{
    const struct seen *seen = &slot->seen;
    bool enabled = seen->live && seen->state == COFFER_KEY_ENABLED;
    bool disabled = seen->live && seen->state == COFFER_KEY_IS_DISABLED;
    switch (op) {
    case OP_CREATE:
    case OP_CREATE_EXTERNAL:
        return !seen->live;
    case OP_ENABLE:
    case OP_DESCRIBE:
    case OP_TAG:
        return enabled || disabled;
    case OP_DISABLE:
    case OP_ENCRYPT:
        return enabled;
    case OP_ROTATE:
        return enabled && !slot->external && seen->materials < 20;
    case OP_IMPORT:
        return seen->live && seen->state == COFFER_KEY_PENDING_IMPORT;
    case OP_DROP:
        return enabled && slot->external;
    case OP_ALIAS:
        return enabled && seen->aliases == 0;
    case OP_NO_ALIAS:
        return enabled && seen->aliases == 1;
    case OP_GRANT:
        return enabled && seen->grants == 0;
    case OP_REVOKE:
        return enabled && seen->grants == 1;
    case OP_SCHEDULE:
        return enabled || disabled;
    case OP_CANCEL:
        return seen->live && seen->state == COFFER_KEY_PENDING_DELETION;
    case OP_AGE:
        return model->numbers > 4;
    default:
        return false;
    }
}

void step_choose(const struct model *model, struct prng *prng, struct step *ret_step)
{
    /* How often each is tried; there must be something to destroy, and much to make. */
    static const uint8_t weights[OP_KINDS] = {0, 9, 6, 4, 2, 2, 9, 12, 9,
                                              4, 8, 4, 8, 2, 5, 4, 8,  1};
    memset(ret_step, 0, sizeof *ret_step);
    for (;;) {
        enum op op = (enum op)(1 + prng_below(prng, OP_KINDS - 1));
        uint32_t slot = prng_below(prng, SLOTS);
        if (prng_below(prng, 12) < weights[op] && may(model, &model->slots[slot], op)) {
            ret_step->op = op;
            ret_step->slot = slot;
            ret_step->argument = prng_below(prng, 1000) + 1;
            return;
        }
    }
}

/* ---- the model --------------------------------------------------------------------------- */

static void destroy(struct model *model, struct slot *slot)
{
    memcpy(model->gone[model->gone_count++ % GONE_MAX], slot->arn, sizeof slot->arn);
    memset(slot, 0, sizeof *slot);
}

void step_begin(struct model *model, const struct step *step)
{
    if (step->op == OP_CREATE || step->op == OP_CREATE_EXTERNAL) {
        model->slots[step->slot].number = ++model->numbers;
    }
    if (step->op != OP_AGE) {
        return;
    }
    /* Once the clock has moved, whoever comes next destroys what is due, crash or not. */
    model->now_ns += 8 * DAY_NS;
    for (unsigned i = 0; i < SLOTS; i++) {
        if (model->slots[i].seen.live &&
            model->slots[i].seen.state == COFFER_KEY_PENDING_DELETION) {
            destroy(model, &model->slots[i]);
        }
    }
}

static void end_create(struct slot *slot, const struct step *step)
{
    slot->external = step->op == OP_CREATE_EXTERNAL;
    slot->seen.live = true;
    slot->seen.state = slot->external ? COFFER_KEY_PENDING_IMPORT : COFFER_KEY_ENABLED;
    slot->seen.description = slot->number;
    slot->seen.materials = slot->seen.sealed = slot->external ? 0 : 1;
    memcpy(slot->arn, step->arn, sizeof slot->arn);
}

void step_end(struct model *model, const struct step *step)
{
    struct slot *slot = &model->slots[step->slot];
    struct seen *seen = &slot->seen;
    switch (step->op) {
    case OP_CREATE:
    case OP_CREATE_EXTERNAL:
        end_create(slot, step);
        break;
    case OP_ENABLE:
        seen->state = COFFER_KEY_ENABLED;
        break;
    case OP_DISABLE:
    case OP_CANCEL:
        seen->state = COFFER_KEY_IS_DISABLED;
        break;
    case OP_DESCRIBE:
        seen->description = 1000000 + step->argument;
        break;
    case OP_ROTATE:
        seen->materials++;
        seen->sealed++;
        break;
    case OP_IMPORT:
        seen->state = COFFER_KEY_ENABLED;
        seen->materials = seen->sealed = 1;
        break;
    case OP_DROP:
        seen->state = COFFER_KEY_PENDING_IMPORT;
        seen->sealed = 0;
        break;
    case OP_ALIAS:
    case OP_NO_ALIAS:
        seen->aliases = step->op == OP_ALIAS;
        break;
    case OP_GRANT:
    case OP_REVOKE:
        seen->grants = step->op == OP_GRANT;
        memcpy(slot->grant, step->grant, sizeof slot->grant);
        break;
    case OP_TAG:
        seen->tag = step->argument;
        break;
    case OP_ENCRYPT:
        if (slot->blob_bytes == 0) {
            memcpy(slot->blob, step->blob, sizeof slot->blob);
            slot->blob_bytes = step->blob_bytes;
        }
        break;
    case OP_SCHEDULE:
        seen->state = COFFER_KEY_PENDING_DELETION;
        break;
    default:
        break;
    }
}

/* ---- doing ------------------------------------------------------------------------------- */

static size_t wrap(const struct cof_kms_import_offer *offer, const uint8_t material[32],
                   uint8_t *wrapped, size_t capacity)
{
    const uint8_t *der = offer->public_half;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &der, (long)offer->public_bytes);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    bool done = ctx != NULL && EVP_PKEY_encrypt_init(ctx) == 1 &&
                EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
                EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()) == 1 &&
                EVP_PKEY_encrypt(ctx, wrapped, &capacity, material, 32) == 1;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    harness_require(done, "wrapping");
    return capacity;
}

/* The same bytes for the same key, so that what was dropped comes back. */
static int import(struct world *world, struct cof_kms_call *call, const struct slot *slot)
{
    struct cof_kms_import what = {.key = slot->arn, .expiration_model = COF_KMS_MATERIAL_STAYS};
    uint8_t material[32], wrapped[512], id[COF_KMS_MATERIAL_ID_BYTES];
    memset(material, 0x33, sizeof material);
    memcpy(material, &slot->number, sizeof slot->number);
    memcpy(world->scratch, world->drawn, sizeof *world->scratch);
    int error = cof_kms_import_offer(call, slot->arn, "RSA_2048", "RSAES_OAEP_SHA_256",
                                     world->scratch, &world->offer);
    if (error != 0) {
        return error;
    }
    what.token = (struct cof_kms_bytes){world->offer.token, world->offer.token_bytes};
    what.wrapped =
        (struct cof_kms_bytes){wrapped, wrap(&world->offer, material, wrapped, sizeof wrapped)};
    return cof_kms_import(call, &what, world->scratch, id);
}

static int create(struct cof_kms_call *call, const struct slot *slot, struct step *step)
{
    static struct cof_kms_key_row row;
    char description[32];
    struct cof_kms_create_key params = {.description = description,
                                        .origin = step->op == OP_CREATE_EXTERNAL ? "EXTERNAL"
                                                                                 : "AWS_KMS"};
    snprintf(description, sizeof description, "%u", slot->number);
    int error = cof_kms_create_key(call, &params, &row);
    memcpy(step->arn, row.arn, sizeof row.arn);
    return error;
}

static int encrypt(struct cof_kms_call *call, const struct slot *slot, struct step *step)
{
    struct cof_kms_encrypt params = {
        .key = slot->arn, .plaintext = {(const uint8_t *)plaintext, sizeof plaintext - 1}};
    struct coffer_key_blob blob;
    struct cof_kms_used used;
    int error = cof_kms_encrypt(call, &params, &blob, &used);
    if (error == 0) {
        harness_require(blob.length_bytes <= BLOB_BYTES_MAX, "a blob of %u bytes",
                        (unsigned)blob.length_bytes);
        memcpy(step->blob, blob.bytes, blob.length_bytes);
        step->blob_bytes = (uint32_t)blob.length_bytes;
    }
    return error;
}

static int grant(struct cof_kms_call *call, const struct slot *slot, struct step *step)
{
    static const char *const operations[] = {"Decrypt"};
    char token[COF_KMS_GRANT_TOKEN_BYTES_MAX];
    struct cof_kms_create_grant params = {.key = slot->arn,
                                          .grantee = "arn:coffer:iam::000000000000:role/r",
                                          .operations = operations,
                                          .operation_count = 1};
    return cof_kms_create_grant(call, &params, step->grant, token);
}

static int tag(struct cof_kms_call *call, const struct slot *slot, const struct step *step)
{
    char value[16];
    struct cof_kms_tag one = {"n", value};
    snprintf(value, sizeof value, "%u", step->argument);
    return cof_kms_tag_resource(call, slot->arn, &one, 1);
}

static int describe(struct cof_kms_call *call, const struct slot *slot, const struct step *step)
{
    char description[32];
    snprintf(description, sizeof description, "%u", 1000000 + step->argument);
    return cof_kms_update_key_description(call, slot->arn, description);
}

static int work(struct world *world, struct cof_kms_call *call, struct step *step)
{
    static struct cof_kms_key_row row;
    const struct slot *slot = &world->model.slots[step->slot];
    uint8_t id[COF_KMS_MATERIAL_ID_BYTES];
    char alias[32];
    bool had;
    snprintf(alias, sizeof alias, "alias/%u", slot->number);
    switch (step->op) {
    case OP_CREATE:
    case OP_CREATE_EXTERNAL:
        return create(call, slot, step);
    case OP_ENABLE:
        return cof_kms_enable_key(call, slot->arn);
    case OP_DISABLE:
        return cof_kms_disable_key(call, slot->arn);
    case OP_DESCRIBE:
        return describe(call, slot, step);
    case OP_ROTATE:
        return cof_kms_rotate_key_on_demand(call, slot->arn, &row);
    case OP_IMPORT:
        return import(world, call, slot);
    case OP_DROP:
        return cof_kms_import_delete(call, slot->arn, NULL, id, &had);
    case OP_ALIAS:
        return cof_kms_create_alias(call, alias, slot->arn);
    case OP_NO_ALIAS:
        return cof_kms_delete_alias(call, alias);
    case OP_GRANT:
        return grant(call, slot, step);
    case OP_REVOKE:
        return cof_kms_revoke_grant(call, slot->arn, slot->grant);
    case OP_TAG:
        return tag(call, slot, step);
    case OP_ENCRYPT:
        return encrypt(call, slot, step);
    case OP_SCHEDULE:
        return cof_kms_schedule_key_deletion(call, slot->arn, 7, &row);
    case OP_CANCEL:
        return cof_kms_cancel_key_deletion(call, slot->arn, &row);
    default:
        return 0;
    }
}

void step_do(struct world *world, struct step *step)
{
    struct coffer_fault fault = {0};
    struct cof_kms_call call;
    int error;
    if (step->op == OP_AGE) {
        error = cof_kms_tick(world->store, &fault);
    } else {
        bool buries = step->op == OP_IMPORT || step->op == OP_DROP;
        error = cof_kms_call_begin(&call, world->store, op_names[step->op],
                                   buries ? COF_KMS_ALONE : COF_KMS_CHANGES, &fault);
        if (error == 0) {
            error = cof_kms_call_settle(&call, work(world, &call, step));
            cof_kms_call_leave(&call);
        }
    }
    harness_require(error == 0, "%s %s: %s: %s", op_names[step->op],
                    world->model.slots[step->slot].arn, coffer_error_name(error), fault.detail);
    world->by_op[step->op]++;
}
