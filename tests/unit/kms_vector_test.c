/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vectors of docs/kms.md, made by another implementation (Python's hmac and AES-GCM): a blob,
 * a sealed key from given randomness, byte for byte.
 */
#include "kms/blob.h"
#include "kms/env.h"
#include "kms/sealed.h"
#include "kms_fixture.h"

static const char blob_hex[] =
    "43664b4201014c00202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"
    "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa78fc341322a9f47"
    "e47b6274be4edc20e3cd8930f36bed2ccca00eb2bff62c98a0a1a2a3a4a5a6a7a8a9aaab0e000000"
    "61726e3a636f666665723a6b6d733a6c6f63616c2d313a3030303030303030303030303a6b65792f"
    "30303030303030302d303030302d343030302d383030302d303030303030303030303030e74f2d3b"
    "43cd7e2befa66e0254d2ae8e31f6aa3d49134ea945fd1753781e";
static const char sealed_hex[] =
    "01808182838485868788898a8b063ea8a92c31b5465528b6bbf47211ef79dba897817ad88f3f3eca"
    "94c59a9895c386552bb7f888aaff2d5fdeefd686fa25bb715b4dc222d44ad827cff68b7137149a1a"
    "e43703d016879ed9cdc0689356";
#define ARN "arn:coffer:kms:local-1:000000000000:key/00000000-0000-4000-8000-000000000000"

static uint8_t next_byte;

static int count_up(void *ctx, void *buffer, size_t bytes)
{
    size_t i;

    (void)ctx;
    for (i = 0; i < bytes; i++) {
        ((uint8_t *)buffer)[i] = next_byte++;
    }
    return 0;
}

static size_t from_hex(const char *hex, uint8_t *bytes)
{
    size_t count = strlen(hex) / 2, i;

    for (i = 0; i < count; i++) {
        unsigned value;

        assert_int_equal(sscanf(hex + 2 * i, "%2x", &value), 1);
        bytes[i] = (uint8_t)value;
    }
    return count;
}

static void fill(uint8_t *bytes, size_t count, uint8_t first)
{
    size_t i;

    for (i = 0; i < count; i++) {
        bytes[i] = (uint8_t)(first + i);
    }
}

static void init_env(struct cof_kms_env *env)
{
    struct coffer_env api = {.size = sizeof(api), .random = count_up};

    next_byte = 0x80;
    cof_kms_env_init(env, &api);
}

static void blob_is_as_documented(void **state)
{
    static const uint8_t context[] = {1, 0, 0, 0, 1, 0, 0, 0, 'a', 2, 0, 0, 0, 'b', 'c'};
    struct cof_kms_bytes context_bytes = {context, sizeof(context)};
    struct cof_kms_bytes plaintext = {(const uint8_t *)"attack at dawn", 14}, bytes;
    struct cof_kms_material material = {.derive = NULL};
    struct cof_kms_blob_view view;
    struct cof_kms_env env;
    struct coffer_key_blob blob;
    uint8_t key[32], subkey[64], expected[512], back[14];
    size_t count = from_hex(blob_hex, expected);

    (void)state;
    init_env(&env);
    fill(key, 32, 0);
    fill(material.id, 32, 0x20);
    material.key = key;
    assert_int_equal(cof_kms_blob_seal(&env, &material, ARN, context_bytes, plaintext, subkey,
                                       &blob), 0);
    assert_int_equal(blob.length_bytes, count);
    assert_memory_equal(blob.bytes, expected, count);
    bytes.at = expected;
    bytes.length_bytes = count;
    assert_int_equal(cof_kms_blob_parse(bytes, &view), 0);
    assert_string_equal(view.arn, ARN);
    assert_int_equal(cof_kms_blob_open(&material, &view, context_bytes, subkey, back), 0);
    assert_memory_equal(back, "attack at dawn", 14);
    key[0] ^= 1;
    assert_int_equal(cof_kms_blob_open(&material, &view, context_bytes, subkey, back),
                     COFFER_E_KEY_CIPHERTEXT);
}

static void sealed_key_is_as_documented(void **state)
{
    struct cof_kms_env env;
    uint8_t wrapping[32], salt[32], info[16], key[32], subkey[64], back[32];
    uint8_t sealed[COF_KMS_SEALED_BYTES], expected[COF_KMS_SEALED_BYTES];
    const struct cof_kms_bytes secret = {key, 32}, stored = {sealed, sizeof(sealed)};
    struct cof_kms_sealed_place place = {"coffer/kms/material/1", {salt, 32}, {info, 16},
                                         {(const uint8_t *)"aad", 3}};

    (void)state;
    init_env(&env);
    fill(wrapping, 32, 0);
    fill(salt, 32, 0x40);
    fill(info, 16, 0);
    fill(key, 32, 0xc0);
    assert_int_equal(from_hex(sealed_hex, expected), sizeof(expected));
    assert_int_equal(cof_kms_sealed_make(&env, wrapping, &place, secret, subkey, sealed), 0);
    assert_memory_equal(sealed, expected, sizeof(expected));
    assert_int_equal(cof_kms_sealed_open(wrapping, &place, stored, subkey, back), 0);
    assert_memory_equal(back, key, 32);
    wrapping[0] ^= 1;
    assert_int_equal(cof_kms_sealed_open(wrapping, &place, stored, subkey, back),
                     COFFER_E_COMMIT);
    wrapping[0] ^= 1;
    place.aad.length_bytes = 2;
    assert_int_equal(cof_kms_sealed_open(wrapping, &place, stored, subkey, back),
                     COFFER_E_TAMPER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blob_is_as_documented),
        cmocka_unit_test(sealed_key_is_as_documented),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
