/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key pairs against the openssl command: what one writes, signs or encrypts, the other reads,
 * verifies or decrypts, and a byte changed anywhere is refused.
 */
#include "kms/pair/pair.h"
#include "kms_openssl.h"

#include <coffer/error.h>
#include <openssl/err.h>

static const char *const pair_specs[] = {"RSA_2048",      "RSA_3072",      "ECC_NIST_P256",
                                         "ECC_NIST_P384", "ECC_NIST_P521", "ECC_NIST_EDWARDS25519"};
#define PAIR_SPECS (sizeof(pair_specs) / sizeof(pair_specs[0]))

static uint8_t private_half[COF_PAIR_BYTES_MAX];
static uint8_t public_half[COF_PAIR_PUBLIC_BYTES_MAX];
static size_t public_bytes;

static const struct cof_kms_spec *make_pair(const char *name)
{
    const struct cof_kms_spec *spec = cof_kms_spec_find(name);

    assert_non_null(spec);
    assert_true(cof_kms_spec_is_pair(spec));
    assert_int_equal(cof_pair_generate(spec, private_half), 0);
    assert_int_equal(cof_pair_public(spec, private_half, public_half, &public_bytes), 0);
    return spec;
}

static void put_pair(const struct kms_openssl *o, const struct cof_kms_spec *spec)
{
    uint8_t der[COF_PAIR_PKCS8_BYTES_MAX];
    size_t bytes = 0;

    assert_int_equal(cof_pair_to_pkcs8(spec, private_half, der, &bytes), 0);
    openssl_write(o, "key", der, bytes);
    openssl_write(o, "pub", public_half, public_bytes);
}

static struct cof_kms_bytes bytes_of(const void *at, size_t count)
{
    struct cof_kms_bytes bytes = {at, count};

    return bytes;
}

/* ---- tables ------------------------------------------------------------------------------ */

static void specs_have_the_usages_and_algorithms_of_aws(void **state)
{
    const struct cof_kms_spec *rsa = cof_kms_spec_find("RSA_2048");
    const struct cof_kms_spec *p384 = cof_kms_spec_find("ECC_NIST_P384");
    const struct cof_kms_spec *mac = cof_kms_spec_find("HMAC_512");
    const struct cof_kms_algorithm *at = NULL;
    unsigned count = 0;

    (void)state;
    assert_null(cof_kms_spec_find("RSA_1024"));
    assert_null(cof_kms_spec_find(""));
    assert_true(cof_kms_spec_allows(rsa, "ENCRYPT_DECRYPT"));
    assert_true(cof_kms_spec_allows(rsa, "SIGN_VERIFY"));
    assert_false(cof_kms_spec_allows(rsa, "GENERATE_VERIFY_MAC"));
    assert_false(cof_kms_spec_allows(rsa, "KEY_AGREEMENT"));
    assert_false(cof_kms_spec_allows(p384, "ENCRYPT_DECRYPT"));
    assert_true(cof_kms_spec_allows(p384, "SIGN_VERIFY"));
    assert_true(cof_kms_spec_allows(p384, "KEY_AGREEMENT"));
    assert_false(cof_kms_spec_allows(cof_kms_spec_find("ECC_NIST_EDWARDS25519"), "KEY_AGREEMENT"));
    assert_true(cof_kms_spec_allows(mac, "GENERATE_VERIFY_MAC"));
    assert_false(cof_kms_spec_is_pair(mac));
    while ((at = cof_kms_algorithm_next(rsa, "SIGN_VERIFY", at)) != NULL) {
        count++;
    }
    assert_int_equal(count, 6);
    assert_non_null(cof_kms_algorithm_find(p384, "SIGN_VERIFY", "ECDSA_SHA_384"));
    assert_null(cof_kms_algorithm_find(p384, "SIGN_VERIFY", "ECDSA_SHA_256"));
    assert_null(cof_kms_algorithm_find(rsa, "ENCRYPT_DECRYPT", "RSASSA_PSS_SHA_256"));
    assert_non_null(cof_kms_algorithm_find(mac, "GENERATE_VERIFY_MAC", "HMAC_SHA_512"));
    assert_null(cof_kms_algorithm_find(mac, "GENERATE_VERIFY_MAC", "HMAC_SHA_256"));
}

/* ---- forms ------------------------------------------------------------------------------- */

static void what_we_write_openssl_reads_and_writes_again(void **state)
{
    const struct kms_openssl *o = *state;
    uint8_t ours[COF_PAIR_PKCS8_BYTES_MAX], theirs[4096], again[COF_PAIR_BYTES_MAX];
    size_t i, ours_bytes, theirs_bytes;

    for (i = 0; i < PAIR_SPECS; i++) {
        const struct cof_kms_spec *spec = make_pair(pair_specs[i]);

        put_pair(o, spec);
        if (spec->family != COF_KMS_EDWARDS) {
            openssl_run(o, "openssl pkey -inform DER -in key -check -noout");
        }
        openssl_run(o, "openssl pkey -inform DER -in key -pubout -outform DER -out pub2 && "
                       "cmp pub pub2");
        openssl_run(o, "openssl pkcs8 -topk8 -nocrypt -inform DER -in key -outform DER -out key2");
        ours_bytes = openssl_read(o, "key", ours, sizeof(ours));
        theirs_bytes = openssl_read(o, "key2", theirs, sizeof(theirs));
        assert_int_equal(ours_bytes, theirs_bytes);
        assert_memory_equal(ours, theirs, ours_bytes);
        assert_int_equal(cof_pair_from_pkcs8(spec, bytes_of(ours, ours_bytes), again), 0);
        assert_memory_equal(again, private_half, spec->material_bytes);
    }
}

static void what_openssl_makes_we_read(void **state)
{
    static const char *const how[PAIR_SPECS] = {
        "RSA -pkeyopt rsa_keygen_bits:2048",   "RSA -pkeyopt rsa_keygen_bits:3072",
        "EC -pkeyopt ec_paramgen_curve:P-256", "EC -pkeyopt ec_paramgen_curve:P-384",
        "EC -pkeyopt ec_paramgen_curve:P-521", "ED25519"};
    const struct kms_openssl *o = *state;
    uint8_t theirs[4096];
    size_t i, k, bytes;

    for (i = 0; i < PAIR_SPECS; i++) {
        const struct cof_kms_spec *spec = cof_kms_spec_find(pair_specs[i]);

        openssl_run(o,
                    "openssl genpkey -algorithm %s -outform DER -out any && "
                    "openssl pkcs8 -topk8 -nocrypt -inform DER -in any -outform DER -out key && "
                    "openssl pkey -inform DER -in key -pubout -outform DER -out pub2",
                    how[i]);
        bytes = openssl_read(o, "key", theirs, sizeof(theirs));
        for (k = 0; k < PAIR_SPECS; k++) {
            /* Of its own spec and of no other. */
            assert_int_equal(cof_pair_from_pkcs8(cof_kms_spec_find(pair_specs[k]),
                                                 bytes_of(theirs, bytes), private_half),
                             k == i ? 0 : COFFER_E_INVALID);
            if (k == i) {
                assert_int_equal(cof_pair_public(spec, private_half, public_half, &public_bytes),
                                 0);
                openssl_write(o, "pub", public_half, public_bytes);
                openssl_run(o, "cmp pub pub2");
            }
        }
    }
}

static void a_private_key_that_is_not_sound_is_refused(void **state)
{
    const struct cof_kms_spec *spec = make_pair("ECC_NIST_P256");
    uint8_t der[COF_PAIR_PKCS8_BYTES_MAX], longer[COF_PAIR_PKCS8_BYTES_MAX + 1];
    uint8_t read[COF_PAIR_BYTES_MAX];
    size_t bytes = 0, i;

    (void)state;
    assert_int_equal(cof_pair_to_pkcs8(spec, private_half, der, &bytes), 0);
    for (i = 0; i < bytes; i++) {
        assert_int_equal(cof_pair_from_pkcs8(spec, bytes_of(der, i), read), COFFER_E_INVALID);
    }
    memcpy(longer, der, bytes);
    longer[bytes] = 0;
    assert_int_equal(cof_pair_from_pkcs8(spec, bytes_of(longer, bytes + 1), read),
                     COFFER_E_INVALID);
    /* The number of the group's order, and more, and none. */
    memset(private_half, 0xff, 32);
    assert_int_equal(cof_pair_to_pkcs8(spec, private_half, der, &bytes), 0);
    assert_int_equal(cof_pair_from_pkcs8(spec, bytes_of(der, bytes), read), COFFER_E_INVALID);
    memset(private_half, 0, 32);
    assert_int_equal(cof_pair_to_pkcs8(spec, private_half, der, &bytes), 0);
    assert_int_equal(cof_pair_from_pkcs8(spec, bytes_of(der, bytes), read), COFFER_E_INVALID);
    /* RSA whose exponent, or whose factor, isn't its own. */
    spec = make_pair("RSA_2048");
    private_half[256 + 4] ^= 2;
    assert_int_equal(cof_pair_to_pkcs8(spec, private_half, der, &bytes), 0);
    assert_int_equal(cof_pair_from_pkcs8(spec, bytes_of(der, bytes), read), COFFER_E_INVALID);
    private_half[256 + 4] ^= 2;
    private_half[2 * 256 + 4] ^= 2;
    assert_int_equal(cof_pair_to_pkcs8(spec, private_half, der, &bytes), 0);
    assert_int_equal(cof_pair_from_pkcs8(spec, bytes_of(der, bytes), read), COFFER_E_INVALID);
    private_half[2 * 256 + 4] ^= 2;
    assert_int_equal(cof_pair_to_pkcs8(spec, private_half, der, &bytes), 0);
    assert_int_equal(cof_pair_from_pkcs8(spec, bytes_of(der, bytes), read), 0);
    assert_int_equal(ERR_peek_error(), 0);
}

/* ---- signatures -------------------------------------------------------------------------- */

/* The options of openssl pkeyutl that stand for an algorithm. */
static void pkeyutl_options(const struct cof_kms_algorithm *algorithm, char options[200])
{
    const char *padding = "";

    if (algorithm->padding == COF_KMS_PSS) {
        padding = "-pkeyopt rsa_padding_mode:pss -pkeyopt rsa_pss_saltlen:digest";
    } else if (algorithm->padding == COF_KMS_PKCS1) {
        padding = "-pkeyopt rsa_padding_mode:pkcs1";
    }
    if (algorithm->digest == NULL) {
        strcpy(options, "-rawin");
    } else {
        snprintf(options, 200, "-rawin -digest %s %s", algorithm->digest, padding);
    }
}

static void check_algorithm(const struct kms_openssl *o, const struct cof_kms_spec *spec,
                            const struct cof_kms_algorithm *algorithm)
{
    static const char message[] = "the message of the test";
    uint8_t signature[COF_PAIR_SIGNATURE_BYTES_MAX];
    struct cof_kms_bytes public = bytes_of(public_half, public_bytes);
    struct cof_kms_bytes text = bytes_of(message, sizeof(message) - 1);
    struct cof_kms_bytes other = bytes_of(message, sizeof(message) - 2);
    char options[200];
    size_t bytes = 0;

    pkeyutl_options(algorithm, options);
    openssl_write(o, "message", text.at, text.length_bytes);
    assert_int_equal(cof_pair_sign(spec, private_half, algorithm, false, text, signature, &bytes),
                     0);
    openssl_write(o, "signature", signature, bytes);
    openssl_run(o,
                "openssl pkeyutl -verify -pubin -keyform DER -inkey pub -in message "
                "-sigfile signature %s",
                options);
    openssl_run(o, "openssl pkeyutl -sign -keyform DER -inkey key -in message -out signature2 %s",
                options);
    bytes = openssl_read(o, "signature2", signature, sizeof(signature));
    assert_int_equal(cof_pair_verify(public, algorithm, false, text, bytes_of(signature, bytes)),
                     0);
    assert_int_equal(cof_pair_verify(public, algorithm, false, other, bytes_of(signature, bytes)),
                     COFFER_E_TAMPER);
    assert_int_equal(
        cof_pair_verify(public, algorithm, false, text, bytes_of(signature, bytes - 1)),
        COFFER_E_TAMPER);
    signature[bytes / 2] ^= 1;
    assert_int_equal(cof_pair_verify(public, algorithm, false, text, bytes_of(signature, bytes)),
                     COFFER_E_TAMPER);
    assert_int_equal(ERR_peek_error(), 0);
}

static void signatures_pass_between_us_and_openssl(void **state)
{
    const struct kms_openssl *o = *state;
    size_t i;

    for (i = 0; i < PAIR_SPECS; i++) {
        const struct cof_kms_spec *spec = make_pair(pair_specs[i]);
        const struct cof_kms_algorithm *at = NULL;
        unsigned checked = 0;

        put_pair(o, spec);
        while ((at = cof_kms_algorithm_next(spec, "SIGN_VERIFY", at)) != NULL) {
            check_algorithm(o, spec, at);
            checked++;
        }
        assert_true(checked > 0);
    }
}

static void a_digest_signs_as_its_message_and_must_have_its_length(void **state)
{
    const struct cof_kms_spec *spec = make_pair("ECC_NIST_P384");
    const struct cof_kms_algorithm *at =
        cof_kms_algorithm_find(spec, "SIGN_VERIFY", "ECDSA_SHA_384");
    struct cof_kms_bytes public = bytes_of(public_half, public_bytes);
    uint8_t signature[COF_PAIR_SIGNATURE_BYTES_MAX], digest[64];
    size_t bytes = 0;

    openssl_write(*state, "message", "abc", 3);
    openssl_run(*state, "openssl dgst -sha384 -binary -out digest message");
    assert_int_equal(openssl_read(*state, "digest", digest, sizeof(digest)), 48);
    assert_int_equal(
        cof_pair_sign(spec, private_half, at, true, bytes_of(digest, 48), signature, &bytes), 0);
    assert_int_equal(
        cof_pair_verify(public, at, false, bytes_of("abc", 3), bytes_of(signature, bytes)), 0);
    assert_int_equal(
        cof_pair_verify(public, at, true, bytes_of(digest, 48), bytes_of(signature, bytes)), 0);
    digest[0] ^= 1;
    assert_int_equal(
        cof_pair_verify(public, at, true, bytes_of(digest, 48), bytes_of(signature, bytes)),
        COFFER_E_TAMPER);
    assert_int_equal(
        cof_pair_sign(spec, private_half, at, true, bytes_of(digest, 47), signature, &bytes),
        COFFER_E_INVALID);
    assert_int_equal(
        cof_pair_verify(public, at, true, bytes_of(digest, 64), bytes_of(signature, bytes)),
        COFFER_E_INVALID);
    spec = make_pair("ECC_NIST_EDWARDS25519");
    at = cof_kms_algorithm_find(spec, "SIGN_VERIFY", "ED25519_SHA_512");
    assert_int_equal(
        cof_pair_sign(spec, private_half, at, true, bytes_of(digest, 64), signature, &bytes),
        COFFER_E_INVALID);
}

/* ---- RSA encryption ---------------------------------------------------------------------- */

static void oaep_passes_between_us_and_openssl(void **state)
{
    static const char *const names[] = {"RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"};
    const struct cof_kms_spec *spec = make_pair("RSA_2048");
    struct cof_kms_bytes public = bytes_of(public_half, public_bytes);
    uint8_t plaintext[256], ciphertext[256], opened[256];
    const struct kms_openssl *o = *state;
    size_t i, bytes = 0;

    put_pair(o, spec);
    memset(plaintext, 0x5a, sizeof(plaintext));
    for (i = 0; i < 2; i++) {
        const struct cof_kms_algorithm *at =
            cof_kms_algorithm_find(spec, "ENCRYPT_DECRYPT", names[i]);
        size_t most = cof_pair_plaintext_max(spec, at);

        assert_int_equal(most, i == 0 ? 214 : 190);
        assert_int_equal(cof_pair_encrypt(spec, public, at, bytes_of(plaintext, most), ciphertext),
                         0);
        openssl_write(o, "sealed", ciphertext, sizeof(ciphertext));
        openssl_run(o,
                    "openssl pkeyutl -decrypt -keyform DER -inkey key -in sealed -out opened "
                    "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:%s "
                    "-pkeyopt rsa_mgf1_md:%s",
                    at->digest, at->digest);
        assert_int_equal(openssl_read(o, "opened", opened, sizeof(opened)), most);
        assert_memory_equal(opened, plaintext, most);
        assert_int_equal(
            cof_pair_encrypt(spec, public, at, bytes_of(plaintext, most + 1), ciphertext),
            COFFER_E_INVALID);
        openssl_write(o, "clear", plaintext, 32);
        openssl_run(o,
                    "openssl pkeyutl -encrypt -pubin -keyform DER -inkey pub -in clear "
                    "-out sealed -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:%s",
                    at->digest);
        assert_int_equal(openssl_read(o, "sealed", ciphertext, sizeof(ciphertext)), 256);
        assert_int_equal(
            cof_pair_decrypt(spec, private_half, at, bytes_of(ciphertext, 256), opened, &bytes), 0);
        assert_int_equal(bytes, 32);
        assert_memory_equal(opened, plaintext, 32);
        ciphertext[100] ^= 1;
        assert_int_equal(
            cof_pair_decrypt(spec, private_half, at, bytes_of(ciphertext, 256), opened, &bytes),
            COFFER_E_KEY_CIPHERTEXT);
        assert_int_equal(
            cof_pair_decrypt(spec, private_half, at, bytes_of(ciphertext, 255), opened, &bytes),
            COFFER_E_KEY_CIPHERTEXT);
        assert_int_equal(ERR_peek_error(), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(specs_have_the_usages_and_algorithms_of_aws),
        cmocka_unit_test(what_we_write_openssl_reads_and_writes_again),
        cmocka_unit_test(what_openssl_makes_we_read),
        cmocka_unit_test(a_private_key_that_is_not_sound_is_refused),
        cmocka_unit_test(signatures_pass_between_us_and_openssl),
        cmocka_unit_test(a_digest_signs_as_its_message_and_must_have_its_length),
        cmocka_unit_test(oaep_passes_between_us_and_openssl),
    };

    return cmocka_run_group_tests(tests, openssl_setup, openssl_teardown);
}
