/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wycheproof's cases of the three primitives, run through the very functions that pages, wraps and
 * derivations use. Each case that applies must run: the counts are part of the test.
 *
 * Left out, as the engine has no such call: keys that are not 256 bits or nonces that are not 96
 * (AES-GCM), infos over 40 bytes and salts over 64 (HKDF), keys over 64 bytes (HMAC).
 */
#include "crypto/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#define GCM_CASES 66u
#define GCM_EMPTY 2u /* of them, and so EVP's alone */
#define HKDF_CASES 78u
#define HMAC_CASES 168u
#define TEXT_BYTES_MAX 1024u

struct text {
    uint8_t bytes[TEXT_BYTES_MAX];
    size_t length_bytes;
};

static json_t *load(const char *name)
{
    const char *folder = getenv("COFFER_VECTORS");
    char here[] = __FILE__, path[4096];
    json_t *root;
    json_error_t error;
    if (folder != NULL) {
        snprintf(path, sizeof path, "%s/wycheproof/%s", folder, name);
    } else {
        char *cut = strstr(here, "/unit/");
        assert_non_null(cut);
        *cut = '\0';
        snprintf(path, sizeof path, "%s/vectors/wycheproof/%s", here, name);
    }
    root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL) {
        fail_msg("%s: %s", path, error.text);
    }
    return root;
}

static unsigned nibble(char c)
{
    const char *digits = "0123456789abcdef";
    const char *at = strchr(digits, c);
    assert_true(c != '\0' && at != NULL);
    return (unsigned)(at - digits);
}

static struct text field(const json_t *test, const char *name)
{
    struct text text;
    const char *hex = json_string_value(json_object_get(test, name));
    assert_non_null(hex);
    text.length_bytes = strlen(hex) / 2;
    assert_true(text.length_bytes <= TEXT_BYTES_MAX);
    for (size_t i = 0; i < text.length_bytes; i++) {
        text.bytes[i] = (uint8_t)(nibble(hex[2 * i]) << 4 | nibble(hex[2 * i + 1]));
    }
    return text;
}

static json_int_t number(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    assert_true(json_is_integer(value));
    return json_integer_value(value);
}

static int is_valid(const json_t *test)
{
    const char *result = json_string_value(json_object_get(test, "result"));
    assert_non_null(result);
    return strcmp(result, "valid") == 0;
}

/* Run one function over all tests of a file; it returns how many it ran (0 or 1). */
static unsigned run_file(const char *name, unsigned (*run)(const json_t *group, const json_t *test))
{
    json_t *root = load(name);
    json_t *group, *test;
    size_t i, j;
    unsigned count = 0;
    json_array_foreach(json_object_get(root, "testGroups"), i, group)
    {
        json_array_foreach(json_object_get(group, "tests"), j, test)
        {
            count += run(group, test);
        }
    }
    json_decref(root);
    return count;
}

/* ---- AES-256-GCM ---- */

static EVP_CIPHER_CTX *sealing;
static EVP_CIPHER_CTX *opening;
static bool has_ipsec_mb;
static unsigned by_ipsec_mb;

static void seal_and_compare(const struct cof_secret *key, struct cof_gcm_message *message,
                             const struct text *cipher, const struct text *tag, int valid)
{
    uint8_t out[3][TEXT_BYTES_MAX], made[3][COF_TAG_BYTES];
    unsigned ways = 2;
    message->out = out[0];
    assert_int_equal(cof_gcm_seal_once(key, message, made[0]), 0);
    message->out = out[1];
    assert_int_equal(cof_gcm_key(sealing, 1, key), 0);
    assert_int_equal(cof_gcm_seal(sealing, NULL, key, message, made[1]), 0);
    if (has_ipsec_mb && message->length_bytes > 0) {
        struct cof_schedule schedule;
        cof_ipsec_mb_expand(key, &schedule);
        message->out = out[ways];
        assert_int_equal(cof_gcm_seal(NULL, &schedule, key, message, made[ways++]), 0);
    }
    for (unsigned i = 0; i < ways; i++) {
        int same = memcmp(out[i], cipher->bytes, cipher->length_bytes) == 0 &&
                   memcmp(made[i], tag->bytes, COF_TAG_BYTES) == 0;
        assert_int_equal(same, valid);
    }
}

static void open_and_compare(const struct cof_secret *key, struct cof_gcm_message *message,
                             const struct text *plain, const struct text *tag, int valid)
{
    static const uint8_t zero[TEXT_BYTES_MAX];
    uint8_t out[TEXT_BYTES_MAX];
    const uint8_t *expected = valid ? plain->bytes : zero;
    message->out = out;
    memset(out, 0xee, sizeof out);
    assert_int_equal(cof_gcm_open_once(key, message, tag->bytes), valid ? 0 : COFFER_E_TAMPER);
    assert_memory_equal(out, expected, plain->length_bytes);
    assert_int_equal(cof_gcm_key(opening, 0, key), 0);
    assert_int_equal(cof_gcm_open(opening, NULL, message, tag->bytes), valid ? 0 : COFFER_E_TAMPER);
    if (has_ipsec_mb && message->length_bytes > 0) {
        struct cof_schedule schedule;
        cof_ipsec_mb_expand(key, &schedule);
        assert_int_equal(cof_gcm_open(NULL, &schedule, message, tag->bytes),
                         valid ? 0 : COFFER_E_TAMPER);
        by_ipsec_mb++;
    }
}

static unsigned run_gcm(const json_t *group, const json_t *test)
{
    struct text key, iv, aad, plain, cipher, tag;
    struct cof_secret secret;
    struct cof_gcm_message message;
    if (number(group, "keySize") != 256 || number(group, "ivSize") != 96 ||
        number(group, "tagSize") != 128) {
        return 0;
    }
    key = field(test, "key");
    iv = field(test, "iv");
    aad = field(test, "aad");
    plain = field(test, "msg");
    cipher = field(test, "ct");
    tag = field(test, "tag");
    assert_int_equal(key.length_bytes, COF_SECRET_BYTES);
    assert_int_equal(iv.length_bytes, COF_NONCE_BYTES);
    assert_int_equal(tag.length_bytes, COF_TAG_BYTES);
    assert_int_equal(plain.length_bytes, cipher.length_bytes);
    memcpy(secret.bytes, key.bytes, sizeof secret.bytes);
    message = (struct cof_gcm_message){iv.bytes,    aad.bytes,          aad.length_bytes,
                                       plain.bytes, plain.length_bytes, NULL};
    seal_and_compare(&secret, &message, &cipher, &tag, is_valid(test));
    message.in = cipher.bytes;
    open_and_compare(&secret, &message, &plain, &tag, is_valid(test));
    return 1;
}

static void aes_256_gcm(void **state)
{
    (void)state;
    struct cof_env env;
    enum cof_ipsec_mb found = COF_IPSEC_MB_NONE;
    cof_env_init(&env, NULL);
    assert_int_equal(cof_ipsec_mb_find(&env, &found), 0);
    has_ipsec_mb = found != COF_IPSEC_MB_NONE;
    assert_int_equal(cof_gcm_context_new(&sealing), 0);
    assert_int_equal(cof_gcm_context_new(&opening), 0);
    assert_int_equal(run_file("aes_gcm_test.json", run_gcm), GCM_CASES);
    assert_int_equal(by_ipsec_mb, has_ipsec_mb ? GCM_CASES - GCM_EMPTY : 0);
    EVP_CIPHER_CTX_free(sealing);
    EVP_CIPHER_CTX_free(opening);
}

/* ---- HKDF-SHA-256 ---- */

/* What the engine derives is T(1), which is the start of every longer output too. */
static unsigned run_hkdf(const json_t *group, const json_t *test)
{
    struct text ikm = field(test, "ikm");
    struct text salt = field(test, "salt");
    struct text info = field(test, "info");
    struct cof_secret prk;
    uint8_t derived[COF_SECRET_BYTES];
    const char *okm = json_string_value(json_object_get(test, "okm"));
    (void)group;
    if (!is_valid(test) || salt.length_bytes > 64 || info.length_bytes > COF_SUBKEY_INFO_BYTES) {
        return 0;
    }
    assert_int_equal(cof_kdf_hmac(salt.bytes, salt.length_bytes, ikm.bytes, ikm.length_bytes, NULL,
                                  0, prk.bytes),
                     0);
    assert_int_equal(cof_kdf_expand(&prk, "", info.bytes, info.length_bytes, derived), 0);
    assert_non_null(okm);
    for (size_t i = 0; i < sizeof derived && 2 * i < strlen(okm); i++) {
        assert_int_equal(derived[i], nibble(okm[2 * i]) << 4 | nibble(okm[2 * i + 1]));
    }
    return 1;
}

static void hkdf_sha256(void **state)
{
    (void)state;
    assert_int_equal(run_file("hkdf_sha256_test.json", run_hkdf), HKDF_CASES);
}

/* ---- HMAC-SHA-256 ---- */

static unsigned run_hmac(const json_t *group, const json_t *test)
{
    struct text key = field(test, "key");
    struct text message = field(test, "msg");
    struct text tag = field(test, "tag");
    size_t half = message.length_bytes / 2;
    uint8_t mac[32];
    if (key.length_bytes > 64) {
        return 0;
    }
    assert_int_equal(tag.length_bytes * 8, number(group, "tagSize"));
    assert_int_equal(cof_kdf_hmac(key.bytes, key.length_bytes, message.bytes, half,
                                  message.bytes + half, message.length_bytes - half, mac),
                     0);
    assert_int_equal(cof_equal(mac, tag.bytes, tag.length_bytes), is_valid(test));
    return 1;
}

static void hmac_sha256(void **state)
{
    (void)state;
    assert_int_equal(run_file("hmac_sha256_test.json", run_hmac), HMAC_CASES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aes_256_gcm),
        cmocka_unit_test(hkdf_sha256),
        cmocka_unit_test(hmac_sha256),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
