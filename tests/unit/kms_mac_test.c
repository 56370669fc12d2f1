/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HMAC keys: the vectors of RFC 4231 by the primitive, keys of each length against the openssl
 * command, and what doesn't match.
 */
#include "kms/asymmetric.h"
#include "kms_openssl.h"
#include "kms_work.h"

static struct kms_openssl *o;
static char arn[COFFER_KEY_ARN_BYTES_MAX];
static uint8_t mac[COF_KMS_MAC_TAG_BYTES_MAX];
static size_t mac_bytes;

static const struct {
    const char *spec, *algorithm, *digest;
    size_t bytes, mac_bytes;
} kinds[] = {{"HMAC_224", "HMAC_SHA_224", "sha224", 28, 28},
             {"HMAC_256", "HMAC_SHA_256", "sha256", 32, 32},
             {"HMAC_384", "HMAC_SHA_384", "sha384", 48, 48},
             {"HMAC_512", "HMAC_SHA_512", "sha512", 64, 64}};

static int setup(void **state)
{
    void *part = NULL;

    openssl_setup(&part);
    o = part;
    return work_setup(state);
}

static int teardown(void **state)
{
    void *part = o;

    openssl_teardown(&part);
    return fixture_teardown(state);
}

static int generate(struct kms_fixture *f, const struct cof_kms_message *message)
{
    struct cof_kms_call call;

    return WORK(f, &call, "GenerateMac", cof_kms_generate_mac(&call, message, mac, &mac_bytes));
}

static int check(struct kms_fixture *f, const struct cof_kms_message *message, size_t bytes)
{
    struct cof_kms_bytes given = {mac, bytes};
    struct cof_kms_call call;

    return WORK(f, &call, "VerifyMac", cof_kms_verify_mac(&call, message, given));
}

/* RFC 4231, test case 2: key "Jefe". */
static void the_primitive_has_the_vectors_of_the_rfc(void **state)
{
    static const char *const expected[] = {
        "a30e01098bc6dbbf45690f3a7e9e6d0f", "5bdcc146bf60754e6a042426089575c7",
        "af45d2e376484031617f78d2b58a6b1b", "164b7a7bfcf819e2e395fbe73b56e0a3"};
    struct cof_kms_bytes key = {(const uint8_t *)"Jefe", 4};
    struct cof_kms_bytes data = {(const uint8_t *)"what do ya want for nothing?", 28};
    uint8_t out[64];
    char hex[33];
    size_t i;

    (void)state;
    for (i = 0; i < 4; i++) {
        assert_int_equal(cof_kms_hmac_by(kinds[i].digest, key, data, out, kinds[i].mac_bytes), 0);
        cof_kms_hex(out, 16, hex);
        assert_string_equal(hex, expected[i]);
    }
    assert_int_equal(cof_kms_hmac_by("SHA256", key, data, out, 31), COFFER_E_CRYPTO);
    assert_int_equal(cof_kms_hmac_by("NONE", key, data, out, 32), COFFER_E_CRYPTO);
}

static void each_spec_makes_what_openssl_makes(void **state)
{
    static struct cof_kms_key_row row;
    struct kms_fixture *f = *state;
    struct cof_kms_call call;
    uint8_t theirs[65];
    char hex[129];
    size_t i;

    openssl_write(o, "message", "pay ten", 7);
    for (i = 0; i < 4; i++) {
        struct cof_kms_message message = {
            arn, kinds[i].algorithm, {(const uint8_t *)"pay ten", 7}, false};

        work_key(f, kinds[i].spec, "GENERATE_VERIFY_MAC", "AWS_KMS", arn);
        assert_int_equal(generate(f, &message), 0);
        assert_int_equal(mac_bytes, kinds[i].mac_bytes);
        work_begin(f, &call, "Test");
        assert_int_equal(cof_kms_key_find(&call, arn, true, &row), 0);
        assert_int_equal(cof_kms_key_material(&call, &row, row.material_id), 0);
        cof_kms_hex(f->store->secrets->material, kinds[i].bytes, hex);
        assert_int_equal(work_end(&call, 0), 0);
        openssl_run(o,
                    "openssl mac -binary -digest %s -macopt hexkey:%s -in message -out theirs "
                    "HMAC",
                    kinds[i].digest, hex);
        assert_int_equal(openssl_read(o, "theirs", theirs, sizeof(theirs)), mac_bytes);
        assert_memory_equal(mac, theirs, mac_bytes);
        assert_int_equal(check(f, &message, mac_bytes), 0);
    }
}

static void what_does_not_match_is_refused(void **state)
{
    struct kms_fixture *f = *state;
    struct cof_kms_message message = {arn, "HMAC_SHA_256", {(const uint8_t *)"pay ten", 7}, false};
    size_t i;

    work_key(f, "HMAC_256", "GENERATE_VERIFY_MAC", "AWS_KMS", arn);
    assert_int_equal(generate(f, &message), 0);
    for (i = 0; i < 8 * mac_bytes; i += 5) {
        mac[i / 8] ^= (uint8_t)(1u << i % 8);
        assert_int_equal(check(f, &message, mac_bytes), COFFER_E_MAC_INVALID);
        mac[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    for (i = 0; i < mac_bytes; i += 7) {
        assert_int_equal(check(f, &message, i), COFFER_E_MAC_INVALID);
    }
    assert_int_equal(check(f, &message, mac_bytes), 0);
    message.bytes.length_bytes = 6;
    assert_int_equal(check(f, &message, mac_bytes), COFFER_E_MAC_INVALID);
    message.bytes.length_bytes = 7;
    message.algorithm = "HMAC_SHA_512";
    assert_int_equal(check(f, &message, mac_bytes), COFFER_E_KEY_USAGE);
    message.algorithm = "HMAC_SHA_256";
    work_set_state(f, arn, COFFER_KEY_IS_DISABLED);
    assert_int_equal(check(f, &message, mac_bytes), COFFER_E_KEY_DISABLED);
    work_set_state(f, arn, COFFER_KEY_ENABLED);
    /* A MAC of another key. */
    work_key(f, "HMAC_256", "GENERATE_VERIFY_MAC", "AWS_KMS", arn);
    assert_int_equal(check(f, &message, mac_bytes), COFFER_E_MAC_INVALID);
    message.bytes.length_bytes = 0;
    assert_int_equal(generate(f, &message), COFFER_E_INVALID);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_primitive_has_the_vectors_of_the_rfc),
        CASE(each_spec_makes_what_openssl_makes),
        CASE(what_does_not_match_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
