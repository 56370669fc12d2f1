/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys that sign, verify and encrypt by RSA: each algorithm of each spec, checked by the openssl
 * command, and what usage, spec, state and message length refuse.
 */
#include "kms/asymmetric.h"
#include "kms_openssl.h"
#include "kms_work.h"

static struct kms_openssl *o;
static char arn[COFFER_KEY_ARN_BYTES_MAX];
static uint8_t signature[COF_PAIR_SIGNATURE_BYTES_MAX];
static size_t signature_bytes;

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

static struct cof_kms_message message_of(const char *algorithm, const char *text)
{
    struct cof_kms_message message = {arn, algorithm, {(const uint8_t *)text, strlen(text)}, false};

    return message;
}

static int sign(struct kms_fixture *f, const struct cof_kms_message *message)
{
    struct cof_kms_call call;

    return WORK(f, &call, "Sign", cof_kms_sign(&call, message, signature, &signature_bytes));
}

static int verify(struct kms_fixture *f, const struct cof_kms_message *message)
{
    struct cof_kms_bytes bytes = {signature, signature_bytes};
    struct cof_kms_call call;

    return WORK(f, &call, "Verify", cof_kms_verify(&call, message, bytes));
}

static int get_public(struct kms_fixture *f, struct cof_kms_key_row *row)
{
    struct cof_kms_call call;

    return WORK(f, &call, "GetPublicKey", cof_kms_public_key(&call, arn, row));
}

/* ---- signatures -------------------------------------------------------------------------- */

static void check_with_openssl(const struct cof_kms_algorithm *at, const char *text)
{
    const char *padding = "";
    char digest[40] = "";

    if (at->padding == COF_KMS_PSS) {
        padding = "-pkeyopt rsa_padding_mode:pss -pkeyopt rsa_pss_saltlen:digest";
    } else if (at->padding == COF_KMS_PKCS1) {
        padding = "-pkeyopt rsa_padding_mode:pkcs1";
    }
    if (at->digest != NULL) {
        snprintf(digest, sizeof(digest), "-digest %s", at->digest);
    }
    openssl_write(o, "message", text, strlen(text));
    openssl_write(o, "signature", signature, signature_bytes);
    openssl_run(o,
                "openssl pkeyutl -verify -pubin -keyform DER -inkey pub -rawin -in message "
                "-sigfile signature %s %s",
                digest, padding);
}

static void each_spec_signs_by_each_of_its_algorithms(void **state)
{
    static const char *const specs[] = {"RSA_2048", "ECC_NIST_P256", "ECC_NIST_P384",
                                        "ECC_NIST_P521", "ECC_NIST_EDWARDS25519"};
    static struct cof_kms_key_row row;
    struct kms_fixture *f = *state;
    size_t i;

    for (i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
        const struct cof_kms_spec *spec = cof_kms_spec_find(specs[i]);
        const struct cof_kms_algorithm *at = NULL;

        work_key(f, specs[i], "SIGN_VERIFY", "AWS_KMS", arn);
        assert_int_equal(get_public(f, &row), 0);
        openssl_write(o, "pub", row.public_key, row.public_key_bytes);
        while ((at = cof_kms_algorithm_next(spec, "SIGN_VERIFY", at)) != NULL) {
            struct cof_kms_message message = message_of(at->name, "pay ten");
            struct cof_kms_message other = message_of(at->name, "pay tem");

            assert_int_equal(sign(f, &message), 0);
            check_with_openssl(at, "pay ten");
            assert_int_equal(verify(f, &message), 0);
            assert_int_equal(verify(f, &other), COFFER_E_SIGNATURE_INVALID);
            signature[signature_bytes / 2] ^= 1;
            assert_int_equal(verify(f, &message), COFFER_E_SIGNATURE_INVALID);
            signature_bytes = 0;
            assert_int_equal(verify(f, &message), COFFER_E_SIGNATURE_INVALID);
        }
    }
}

static void a_digest_is_taken_as_it_is_and_has_its_length(void **state)
{
    struct kms_fixture *f = *state;
    struct cof_kms_message digest = message_of("ECDSA_SHA_256", "");
    struct cof_kms_message text = message_of("ECDSA_SHA_256", "abc");
    uint8_t bytes[33];

    work_key(f, "ECC_NIST_P256", "SIGN_VERIFY", "AWS_KMS", arn);
    openssl_write(o, "message", "abc", 3);
    openssl_run(o, "openssl dgst -sha256 -binary -out digest message");
    openssl_read(o, "digest", bytes, sizeof(bytes));
    digest.is_digest = true;
    digest.bytes.at = bytes;
    digest.bytes.length_bytes = 32;
    assert_int_equal(sign(f, &digest), 0);
    assert_int_equal(verify(f, &text), 0);
    digest.bytes.length_bytes = 31;
    assert_int_equal(sign(f, &digest), COFFER_E_INVALID);
    assert_int_equal(verify(f, &digest), COFFER_E_INVALID);
    work_key(f, "ECC_NIST_EDWARDS25519", "SIGN_VERIFY", "AWS_KMS", arn);
    digest.algorithm = "ED25519_SHA_512";
    assert_int_equal(sign(f, &digest), COFFER_E_INVALID);
}

static void messages_have_1_to_4096_bytes(void **state)
{
    struct kms_fixture *f = *state;
    struct cof_kms_message message = message_of("ECDSA_SHA_256", "");
    static uint8_t bytes[4097];

    work_key(f, "ECC_NIST_P256", "SIGN_VERIFY", "AWS_KMS", arn);
    message.bytes.at = bytes;
    message.bytes.length_bytes = 0;
    assert_int_equal(sign(f, &message), COFFER_E_INVALID);
    message.bytes.length_bytes = 4097;
    assert_int_equal(sign(f, &message), COFFER_E_INVALID);
    message.bytes.length_bytes = 4096;
    assert_int_equal(sign(f, &message), 0);
    assert_int_equal(verify(f, &message), 0);
}

/* ---- what is refused --------------------------------------------------------------------- */

static void usage_and_spec_decide_what_a_key_does(void **state)
{
    static struct cof_kms_key_row row;
    struct kms_fixture *f = *state;
    struct cof_kms_message message = message_of("RSASSA_PSS_SHA_256", "abc");
    uint8_t mac[COF_KMS_MAC_TAG_BYTES_MAX];
    struct cof_kms_call call;
    size_t bytes = 0;

    work_key(f, "RSA_2048", "ENCRYPT_DECRYPT", "AWS_KMS", arn);
    assert_int_equal(sign(f, &message), COFFER_E_KEY_USAGE);
    assert_int_equal(verify(f, &message), COFFER_E_KEY_USAGE);
    message.algorithm = "RSAES_OAEP_SHA_256";
    assert_int_equal(sign(f, &message), COFFER_E_KEY_USAGE);
    work_key(f, "ECC_NIST_P384", "SIGN_VERIFY", "AWS_KMS", arn);
    message.algorithm = "ECDSA_SHA_256";
    assert_int_equal(sign(f, &message), COFFER_E_KEY_USAGE);
    message.algorithm = "HMAC_SHA_256";
    assert_int_equal(
        WORK(f, &call, "GenerateMac", cof_kms_generate_mac(&call, &message, mac, &bytes)),
        COFFER_E_KEY_USAGE);
    work_key(f, "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "AWS_KMS", arn);
    message.algorithm = "SYMMETRIC_DEFAULT";
    assert_int_equal(sign(f, &message), COFFER_E_KEY_USAGE);
    assert_int_equal(get_public(f, &row), COFFER_E_UNSUPPORTED);
    message.key = "alias/none";
    assert_int_equal(sign(f, &message), COFFER_E_KEY_NOT_FOUND);
}

static void states_stop_a_key(void **state)
{
    static const struct {
        enum coffer_key_state state;
        int error;
    } states[] = {{COFFER_KEY_IS_DISABLED, COFFER_E_KEY_DISABLED},
                  {COFFER_KEY_PENDING_DELETION, COFFER_E_KEY_STATE},
                  {COFFER_KEY_PENDING_IMPORT, COFFER_E_KEY_STATE},
                  {COFFER_KEY_UNAVAILABLE, COFFER_E_KEY_STATE},
                  {COFFER_KEY_ENABLED, 0}};
    static struct cof_kms_key_row row;
    struct kms_fixture *f = *state;
    struct cof_kms_message message = message_of("ECDSA_SHA_256", "abc");
    size_t i;

    work_key(f, "ECC_NIST_P256", "SIGN_VERIFY", "AWS_KMS", arn);
    assert_int_equal(sign(f, &message), 0);
    for (i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        uint8_t kept[COF_PAIR_SIGNATURE_BYTES_MAX];
        size_t kept_bytes = signature_bytes;

        memcpy(kept, signature, sizeof(kept));
        work_set_state(f, arn, states[i].state);
        assert_int_equal(sign(f, &message), states[i].error);
        memcpy(signature, kept, sizeof(kept));
        signature_bytes = kept_bytes;
        assert_int_equal(verify(f, &message), states[i].error);
        assert_int_equal(get_public(f, &row), states[i].error);
    }
}

static void others_are_refused(void **state)
{
    struct kms_fixture *f = *state;
    struct cof_kms_message message = message_of("ECDSA_SHA_256", "abc");
    struct cof_kms_caller stranger = {.principal = "arn:coffer:iam::000000000000:user/eve"};
    struct cof_kms_bytes bytes = {signature, 64};
    struct cof_kms_call call;
    size_t ignored = 0;

    work_key(f, "ECC_NIST_P256", "SIGN_VERIFY", "AWS_KMS", arn);
    assert_int_equal(
        cof_kms_call_begin_as(&call, f->store, "Sign", COF_KMS_CHANGES, &stranger, &f->fault), 0);
    assert_int_equal(work_end(&call, cof_kms_sign(&call, &message, signature, &ignored)),
                     COFFER_E_KEY_ACCESS);
    assert_int_equal(
        cof_kms_call_begin_as(&call, f->store, "Verify", COF_KMS_CHANGES, &stranger, &f->fault), 0);
    assert_int_equal(work_end(&call, cof_kms_verify(&call, &message, bytes)), COFFER_E_KEY_ACCESS);
}

/* ---- RSA encryption ---------------------------------------------------------------------- */

static void rsa_keys_encrypt_for_openssl_and_decrypt_for_it(void **state)
{
    static const char *const algorithms[] = {"RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"};
    static struct cof_kms_key_row row;
    static const uint8_t clear[32] = "attack at dawn";
    struct kms_fixture *f = *state;
    struct cof_kms_bytes plaintext = {clear, sizeof(clear)}, ciphertext = {signature, 0};
    struct cof_kms_call call;
    size_t i, bytes = 0;

    work_key(f, "RSA_2048", "ENCRYPT_DECRYPT", "AWS_KMS", arn);
    assert_int_equal(get_public(f, &row), 0);
    openssl_write(o, "pub", row.public_key, row.public_key_bytes);
    openssl_write(o, "clear", clear, sizeof(clear));
    for (i = 0; i < 2; i++) {
        const char *hash = i == 0 ? "sha1" : "sha256";

        openssl_run(o,
                    "openssl pkeyutl -encrypt -pubin -keyform DER -inkey pub -in clear -out "
                    "sealed -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:%s "
                    "-pkeyopt rsa_mgf1_md:%s",
                    hash, hash);
        ciphertext.length_bytes = openssl_read(o, "sealed", signature, sizeof(signature));
        work_begin(f, &call, "Decrypt");
        assert_int_equal(cof_kms_rsa_decrypt(&call, &row, algorithms[i], ciphertext, &bytes), 0);
        assert_int_equal(bytes, sizeof(clear));
        assert_memory_equal(f->store->secrets->plaintext, clear, sizeof(clear));
        assert_int_equal(work_end(&call, 0), 0);
        assert_int_equal(
            WORK(f, &call, "Decrypt",
                 cof_kms_rsa_decrypt(&call, &row, algorithms[1 - i], ciphertext, &bytes)),
            COFFER_E_KEY_CIPHERTEXT);
        assert_int_equal(WORK(f, &call, "Encrypt",
                              cof_kms_rsa_encrypt(&call, &row, algorithms[i], plaintext, signature,
                                                  &ciphertext.length_bytes)),
                         0);
        assert_int_equal(ciphertext.length_bytes, 256);
        work_begin(f, &call, "Decrypt");
        assert_int_equal(cof_kms_rsa_decrypt(&call, &row, algorithms[i], ciphertext, &bytes), 0);
        assert_memory_equal(f->store->secrets->plaintext, clear, sizeof(clear));
        assert_int_equal(work_end(&call, 0), 0);
    }
    plaintext.length_bytes = 0;
    assert_int_equal(
        WORK(f, &call, "Encrypt",
             cof_kms_rsa_encrypt(&call, &row, algorithms[0], plaintext, signature, &bytes)),
        COFFER_E_INVALID);
    plaintext.at = row.public_key;
    plaintext.length_bytes = 215;
    assert_int_equal(
        WORK(f, &call, "Encrypt",
             cof_kms_rsa_encrypt(&call, &row, algorithms[0], plaintext, signature, &bytes)),
        COFFER_E_INVALID);
    assert_int_equal(
        WORK(f, &call, "Encrypt",
             cof_kms_rsa_encrypt(&call, &row, "SYMMETRIC_DEFAULT", plaintext, signature, &bytes)),
        COFFER_E_KEY_USAGE);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(each_spec_signs_by_each_of_its_algorithms),
        CASE(a_digest_is_taken_as_it_is_and_has_its_length),
        CASE(messages_have_1_to_4096_bytes),
        CASE(usage_and_spec_decide_what_a_key_does),
        CASE(states_stop_a_key),
        CASE(others_are_refused),
        CASE(rsa_keys_encrypt_for_openssl_and_decrypt_for_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
