/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/kms_import - tokens and wrapped material, as ImportKeyMaterial gets them.
 *
 * The first byte chooses. 0: the rest is a token; only one that was made opens, byte for byte. 1:
 * the rest is what a token seals, sealed here, so that the parser behind the seal meets it. 2 to 5:
 * material that was wrapped by that algorithm.
 */
#include "fuzz/fuzz_driver.h"
#include "fuzz/fuzz_rsa.h"

#include "kms/import_token.h"

static const uint8_t root_key[COF_KMS_KEY_BYTES] = {1, 2, 3};
static const uint8_t uuid[16] = {4, 5, 6};
static struct cof_kms_env env;
static struct cof_kms_import_scratch scratch;
static uint8_t half[COF_PAIR_BYTES_MAX], made[COF_KMS_IMPORT_TOKEN_BYTES_MAX];
static size_t made_bytes;

static const struct cof_kms_import_root root = {&env, root_key, uuid};
static const char arn[] = "arn:coffer:kms:local-1:000000000000:key/00000000-0000-4000-8000-"
                          "000000000000";

static int fixed_random(void *ctx, void *buffer, size_t bytes)
{
    (void)ctx;
    memset(buffer, 0x33, bytes);
    return 0;
}

static void make(void)
{
    static struct coffer_env fixed = {.size = sizeof fixed, .random = fixed_random};
    struct cof_kms_import_token token;
    cof_kms_env_init(&env, &fixed);
    memset(&token, 0, sizeof token);
    token.wrapping = cof_kms_spec_find("RSA_2048");
    token.algorithm = cof_wrap_algorithm(1);
    token.expires_ns = 77;
    memcpy(token.arn, arn, sizeof arn);
    fuzz_rsa_half(half);
    memcpy(cof_kms_import_half(&scratch), half, token.wrapping->material_bytes);
    harness_require(cof_kms_import_token_make(&root, &token, &scratch, made, &made_bytes) == 0,
                    "no token");
}

static int open_token(struct cof_kms_bytes bytes)
{
    struct cof_kms_import_token token;
    int error = cof_kms_import_token_open(&root, bytes, &scratch, &token);
    harness_require(error == 0 || error == COFFER_E_IMPORT_TOKEN, "error %d", error);
    if (error != 0) {
        return 0;
    }
    harness_require(strlen(token.arn) < sizeof token.arn && token.wrapping->family == COF_KMS_RSA &&
                        token.algorithm != NULL,
                    "a token says nothing of use");
    return 1;
}

/* As import_token.h lays it out. */
static int open_secret(const uint8_t *data, size_t size)
{
    static uint8_t bytes[COF_KMS_IMPORT_TOKEN_BYTES_MAX];
    struct cof_kms_sealed_place place = {
        "coffer/kms/import-token/1", {bytes + 5, 32}, {uuid, sizeof uuid}, {bytes, 37}};
    struct cof_kms_bytes secret = {data, size};
    struct cof_kms_bytes token = {bytes, 37 + COF_KMS_SEALED_OVERHEAD_BYTES + size};
    if (size > COF_KMS_IMPORT_SECRET_BYTES_MAX) {
        return 0;
    }
    memset(bytes, 9, sizeof bytes);
    memcpy(bytes, "CfIT\x01", 5);
    harness_require(
        cof_kms_sealed_make(&env, root_key, &place, secret, scratch.subkey, bytes + 37) == 0,
        "nothing seals");
    return open_token(token);
}

static int open_wrapped(unsigned number, struct cof_kms_bytes bytes)
{
    static const uint8_t none[COF_KMS_IMPORT_OPENED_BYTES];
    size_t opened = 0;
    int error = cof_wrap_open(cof_kms_spec_find("RSA_2048"), half, cof_wrap_algorithm(number),
                              bytes, scratch.opened, sizeof scratch.opened, &opened);
    harness_require(error == 0 || error == COFFER_E_KEY_CIPHERTEXT, "error %d", error);
    harness_require(error == 0 || memcmp(scratch.opened, none, sizeof none) == 0,
                    "bytes of what didn't open");
    harness_require(error != 0 || opened <= sizeof scratch.opened, "%zu bytes", opened);
    return error == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cof_kms_bytes rest = {data + 1, size - 1};
    int opened;
    if (made_bytes == 0) {
        make();
    }
    if (size < 2) {
        return 0;
    }
    switch (data[0] % 6u) {
    case 0:
        opened = open_token(rest);
        harness_require(
            opened == (rest.length_bytes == made_bytes && memcmp(rest.at, made, made_bytes) == 0),
            "a token that was not made opens, or the one that was does not");
        return opened;
    case 1:
        return open_secret(rest.at, rest.length_bytes);
    default:
        return open_wrapped(data[0] % 6u - 1u, rest);
    }
}

size_t fuzz_seed(unsigned number, uint8_t *bytes, size_t room)
{
    const struct cof_kms_spec *spec = cof_kms_spec_find("RSA_2048");
    struct cof_kms_bytes secret = {half, 32}, public_half = {NULL, 0};
    uint8_t der[COF_PAIR_PUBLIC_BYTES_MAX];
    if (made_bytes == 0) {
        make();
    }
    harness_require(room > sizeof made, "no room");
    bytes[0] = (uint8_t)number;
    if (number == 0) {
        memcpy(bytes + 1, made, made_bytes);
        return 1 + made_bytes;
    }
    if (number == 1) {
        memset(bytes + 1, 2, 10);
        memcpy(bytes + 11, half, spec->material_bytes);
        memcpy(bytes + 11 + spec->material_bytes, arn, sizeof arn - 1);
        return 11 + spec->material_bytes + sizeof arn - 1;
    }
    if (number > 3) {
        return 0;
    }
    public_half.at = der;
    harness_require(cof_pair_public(spec, half, der, &public_half.length_bytes) == 0 &&
                        cof_pair_encrypt(spec, public_half, &cof_wrap_algorithm(number - 1)->oaep,
                                         secret, bytes + 1) == 0,
                    "nothing wraps");
    return 1 + spec->bits / 8;
}

FUZZ_MAIN("fuzz_kms_import", 20000)
