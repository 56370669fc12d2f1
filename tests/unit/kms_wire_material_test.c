/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operations on imported material, HMAC keys and key pairs as callers see them: JSON in, JSON
 * out, errors by AWS KMS's names.
 */
#include "kms/base64.h"
#include "kms/wire/json.h"
#include "kms_openssl.h"
#include "kms_work.h"

#include <coffer/kms.h>

static struct kms_openssl *o;
static char arn[COFFER_KEY_ARN_BYTES_MAX];
static json_t *answer;
static uint8_t bytes[8192];
static size_t bytes_count;

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

    json_decref(answer);
    answer = NULL;
    openssl_teardown(&part);
    return fixture_teardown(state);
}

/* Takes body; keeps the answer. */
static void ask(struct kms_fixture *f, const char *operation, json_t *body, const char *error)
{
    struct coffer_kms_request request = {.size = sizeof(request), .operation = operation};
    struct coffer_kms_answer got = {.size = sizeof(got)};
    char *text;

    assert_non_null(body);
    text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    json_decref(answer);
    answer = NULL;
    request.body = (const uint8_t *)text;
    request.body_bytes = strlen(text);
    assert_int_equal(coffer_kms_call(f->store, &request, &got), 0);
    assert_string_equal(got.error, error);
    assert_int_equal(got.status, error[0] == '\0' ? 200 : 400);
    if (got.body_bytes > 0) {
        answer = json_loadb((const char *)got.body, got.body_bytes, 0, NULL);
        assert_non_null(answer);
    }
    coffer_kms_answer_done(&got);
    free(text);
}

static const char *text_of(const char *name)
{
    const char *text = json_string_value(json_object_get(answer, name));

    assert_non_null(text);
    return text;
}

/* A blob of the answer into bytes, and into a file of its own. */
static void blob_of(const char *name, const char *file)
{
    const char *text = text_of(name);

    assert_int_equal(cof_kms_base64_decode(text, strlen(text), bytes, &bytes_count), 0);
    openssl_write(o, file, bytes, bytes_count);
}

static json_t *file_blob(const char *file)
{
    uint8_t whole[8192];
    struct cof_kms_bytes content = {whole, openssl_read(o, file, whole, sizeof(whole))};

    return cof_wire_json_blob(content);
}

static json_t *text_blob(const char *text)
{
    struct cof_kms_bytes content = {(const uint8_t *)text, strlen(text)};

    return cof_wire_json_blob(content);
}

/* ---- import ------------------------------------------------------------------------------ */

static void get_parameters(struct kms_fixture *f)
{
    ask(f, "GetParametersForImport",
        json_pack("{ssssss}", "KeyId", arn, "WrappingAlgorithm", "RSAES_OAEP_SHA_256",
                  "WrappingKeySpec", "RSA_2048"),
        "");
    assert_string_equal(text_of("KeyId"), arn);
    assert_true(json_number_value(json_object_get(answer, "ParametersValidTo")) ==
                (double)(work_now_ns / 1000000000u) + 86400.0);
    blob_of("PublicKey", "pub");
    blob_of("ImportToken", "token");
    assert_true(bytes_count <= 6144);
    openssl_run(o, "openssl pkeyutl -encrypt -pubin -keyform DER -inkey pub -in material "
                   "-out wrapped -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 "
                   "-pkeyopt rsa_mgf1_md:sha256");
}

static json_t *import_body(void)
{
    return json_pack("{sssososs}", "KeyId", arn, "ImportToken", file_blob("token"),
                     "EncryptedKeyMaterial", file_blob("wrapped"), "ExpirationModel",
                     "KEY_MATERIAL_DOES_NOT_EXPIRE");
}

static void material_comes_goes_and_comes_back(void **state)
{
    struct kms_fixture *f = *state;
    char id[80];

    work_key(f, "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "EXTERNAL", arn);
    openssl_run(o, "openssl rand -out material 32");
    get_parameters(f);
    ask(f, "ImportKeyMaterial", import_body(), "");
    assert_string_equal(text_of("KeyId"), arn);
    snprintf(id, sizeof(id), "%s", text_of("KeyMaterialId"));
    assert_int_equal(strlen(id), 64);
    ask(f, "DescribeKey", json_pack("{ss}", "KeyId", arn), "");
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(answer, "KeyMetadata"), "KeyState")),
        "Enabled");
    assert_string_equal(json_string_value(json_object_get(json_object_get(answer, "KeyMetadata"),
                                                          "ExpirationModel")),
                        "KEY_MATERIAL_DOES_NOT_EXPIRE");
    ask(f, "DeleteImportedKeyMaterial", json_pack("{ss}", "KeyId", arn), "");
    assert_string_equal(text_of("KeyMaterialId"), id);
    ask(f, "DescribeKey", json_pack("{ss}", "KeyId", arn), "");
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(answer, "KeyMetadata"), "KeyState")),
        "PendingImport");
    ask(f, "ImportKeyMaterial", import_body(), "");
    assert_string_equal(text_of("KeyMaterialId"), id);
}

static void refusals_of_imports_have_their_names(void **state)
{
    struct kms_fixture *f = *state;
    char own[COFFER_KEY_ARN_BYTES_MAX];
    json_t *body;

    work_key(f, "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "AWS_KMS", own);
    work_key(f, "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "EXTERNAL", arn);
    ask(f, "GetParametersForImport",
        json_pack("{ssssss}", "KeyId", own, "WrappingAlgorithm", "RSAES_OAEP_SHA_256",
                  "WrappingKeySpec", "RSA_2048"),
        "UnsupportedOperationException");
    ask(f, "GetParametersForImport",
        json_pack("{ssssss}", "KeyId", arn, "WrappingAlgorithm", "RSAES_PKCS1_V1_5",
                  "WrappingKeySpec", "RSA_2048"),
        "UnsupportedOperationException");
    ask(f, "GetParametersForImport",
        json_pack("{ssssss}", "KeyId", arn, "WrappingAlgorithm", "RSAES_OAEP_SHA_1",
                  "WrappingKeySpec", "SM2"),
        "UnsupportedOperationException");
    ask(f, "GetParametersForImport",
        json_pack("{ssssss}", "KeyId", arn, "WrappingAlgorithm", "ROT13", "WrappingKeySpec",
                  "RSA_1024"),
        "ValidationException");
    ask(f, "GetParametersForImport",
        json_pack("{ssssss}", "KeyId", "00000000-0000-4000-8000-000000000000", "WrappingAlgorithm",
                  "RSAES_OAEP_SHA_1", "WrappingKeySpec", "RSA_2048"),
        "NotFoundException");
    openssl_run(o, "openssl rand -out material 32");
    get_parameters(f);
    body = import_body();
    json_object_set_new(body, "ImportToken", text_blob("nonsense"));
    ask(f, "ImportKeyMaterial", body, "InvalidImportTokenException");
    body = import_body();
    json_object_set_new(body, "EncryptedKeyMaterial", text_blob("nonsense"));
    ask(f, "ImportKeyMaterial", body, "InvalidCiphertextException");
    body = import_body();
    json_object_set_new(body, "ValidTo", json_real((double)(work_now_ns / 1000000000u + 60)));
    ask(f, "ImportKeyMaterial", body, "ValidationException");
    body = import_body();
    json_object_set_new(body, "ImportType", json_string("EXISTING_KEY_MATERIAL"));
    ask(f, "ImportKeyMaterial", body, "IncorrectKeyMaterialException");
    ask(f, "ImportKeyMaterial", import_body(), "");
    openssl_run(o, "openssl rand -out material 32");
    get_parameters(f);
    ask(f, "ImportKeyMaterial", import_body(), "IncorrectKeyMaterialException");
    work_now_ns += WORK_DAY_NS + 1;
    ask(f, "ImportKeyMaterial", import_body(), "ExpiredImportTokenException");
    work_set_state(f, arn, COFFER_KEY_PENDING_DELETION);
    ask(f, "ImportKeyMaterial", import_body(), "KMSInvalidStateException");
}

/* ---- signatures, MACs, public keys ------------------------------------------------------- */

static void signatures_and_public_keys(void **state)
{
    struct kms_fixture *f = *state;
    json_t *body;

    work_key(f, "ECC_NIST_P256", "SIGN_VERIFY", "AWS_KMS", arn);
    ask(f, "GetPublicKey", json_pack("{ss}", "KeyId", arn), "");
    assert_string_equal(text_of("KeySpec"), "ECC_NIST_P256");
    assert_string_equal(text_of("KeyUsage"), "SIGN_VERIFY");
    assert_string_equal(
        json_string_value(json_array_get(json_object_get(answer, "SigningAlgorithms"), 0)),
        "ECDSA_SHA_256");
    blob_of("PublicKey", "pub");
    ask(f, "Sign",
        json_pack("{sssoss}", "KeyId", arn, "Message", text_blob("pay ten"), "SigningAlgorithm",
                  "ECDSA_SHA_256"),
        "");
    assert_string_equal(text_of("KeyId"), arn);
    assert_string_equal(text_of("SigningAlgorithm"), "ECDSA_SHA_256");
    blob_of("Signature", "signature");
    openssl_write(o, "message", "pay ten", 7);
    openssl_run(o, "openssl pkeyutl -verify -pubin -keyform DER -inkey pub -rawin -digest sha256 "
                   "-in message -sigfile signature");
    body = json_pack("{sssososs}", "KeyId", arn, "Message", text_blob("pay ten"), "Signature",
                     file_blob("signature"), "SigningAlgorithm", "ECDSA_SHA_256");
    ask(f, "Verify", json_copy(body), "");
    assert_true(json_is_true(json_object_get(answer, "SignatureValid")));
    json_object_set_new(body, "Message", text_blob("pay tem"));
    ask(f, "Verify", json_copy(body), "KMSInvalidSignatureException");
    json_object_set_new(body, "SigningAlgorithm", json_string("ECDSA_SHA_384"));
    ask(f, "Verify", json_copy(body), "InvalidKeyUsageException");
    json_object_set_new(body, "SigningAlgorithm", json_string("ECDSA_SHA_1"));
    ask(f, "Verify", json_copy(body), "ValidationException");
    json_object_set_new(body, "SigningAlgorithm", json_string("ECDSA_SHA_256"));
    json_object_set_new(body, "MessageType", json_string("EXTERNAL_MU"));
    ask(f, "Verify", json_copy(body), "UnsupportedOperationException");
    json_object_set_new(body, "MessageType", json_string("DIGEST"));
    ask(f, "Verify", json_copy(body), "ValidationException");
    work_set_state(f, arn, COFFER_KEY_IS_DISABLED);
    ask(f, "Verify", body, "DisabledException");
    work_key(f, "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "AWS_KMS", arn);
    ask(f, "GetPublicKey", json_pack("{ss}", "KeyId", arn), "UnsupportedOperationException");
    work_key(f, "RSA_2048", "ENCRYPT_DECRYPT", "AWS_KMS", arn);
    ask(f, "GetPublicKey", json_pack("{ss}", "KeyId", arn), "");
    assert_int_equal(json_array_size(json_object_get(answer, "EncryptionAlgorithms")), 2);
    assert_null(json_object_get(answer, "SigningAlgorithms"));
}

static void macs(void **state)
{
    struct kms_fixture *f = *state;
    json_t *body;

    work_key(f, "HMAC_512", "GENERATE_VERIFY_MAC", "AWS_KMS", arn);
    ask(f, "GenerateMac",
        json_pack("{sssoss}", "KeyId", arn, "Message", text_blob("pay ten"), "MacAlgorithm",
                  "HMAC_SHA_512"),
        "");
    assert_string_equal(text_of("MacAlgorithm"), "HMAC_SHA_512");
    blob_of("Mac", "mac");
    assert_int_equal(bytes_count, 64);
    body = json_pack("{sssososs}", "KeyId", arn, "Message", text_blob("pay ten"), "Mac",
                     file_blob("mac"), "MacAlgorithm", "HMAC_SHA_512");
    ask(f, "VerifyMac", json_copy(body), "");
    assert_true(json_is_true(json_object_get(answer, "MacValid")));
    json_object_set_new(body, "Message", text_blob("pay tem"));
    ask(f, "VerifyMac", json_copy(body), "KMSInvalidMacException");
    json_object_set_new(body, "MacAlgorithm", json_string("HMAC_SHA_256"));
    ask(f, "VerifyMac", body, "InvalidKeyUsageException");
}

/* ---- data key pairs ---------------------------------------------------------------------- */

static void data_key_pairs_come_sealed_and_open_again(void **state)
{
    static const char *const specs[] = {"RSA_2048", "ECC_NIST_P384", "ECC_NIST_EDWARDS25519"};
    struct kms_fixture *f = *state;
    uint8_t opened[4096];
    size_t i, opened_bytes = 0;
    json_t *body;

    work_key(f, "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "AWS_KMS", arn);
    for (i = 0; i < 3; i++) {
        const struct coffer_context_pair pair = {"for", "the test"};
        const struct coffer_context context = {&pair, 1};

        body = json_pack("{sssss{ss}}", "KeyId", arn, "KeyPairSpec", specs[i], "EncryptionContext",
                         "for", "the test");
        ask(f, "GenerateDataKeyPair", json_copy(body), "");
        assert_string_equal(text_of("KeyPairSpec"), specs[i]);
        assert_string_equal(text_of("KeyId"), arn);
        assert_int_equal(strlen(text_of("KeyMaterialId")), 64);
        blob_of("PublicKey", "pub");
        blob_of("PrivateKeyCiphertextBlob", "sealed");
        assert_int_equal(coffer_keystore_decrypt(f->store, NULL, bytes, bytes_count, &context,
                                                 opened, sizeof(opened), &opened_bytes, NULL,
                                                 &f->fault),
                         0);
        assert_int_not_equal(coffer_keystore_decrypt(f->store, NULL, bytes, bytes_count, NULL,
                                                     opened, sizeof(opened), &opened_bytes, NULL,
                                                     &f->fault),
                             0);
        blob_of("PrivateKeyPlaintext", "key");
        assert_int_equal(bytes_count, opened_bytes);
        assert_memory_equal(bytes, opened, bytes_count);
        openssl_run(o, "openssl pkey -inform DER -in key -pubout -outform DER -out pub2 && "
                       "cmp pub pub2");
        ask(f, "GenerateDataKeyPairWithoutPlaintext", body, "");
        assert_null(json_object_get(answer, "PrivateKeyPlaintext"));
        assert_non_null(json_object_get(answer, "PrivateKeyCiphertextBlob"));
    }
    ask(f, "GenerateDataKeyPair",
        json_pack("{ssss}", "KeyId", arn, "KeyPairSpec", "ECC_SECG_P256K1"),
        "UnsupportedOperationException");
    ask(f, "GenerateDataKeyPair", json_pack("{ssss}", "KeyId", arn, "KeyPairSpec", "HMAC_256"),
        "ValidationException");
    work_key(f, "HMAC_256", "GENERATE_VERIFY_MAC", "AWS_KMS", arn);
    ask(f, "GenerateDataKeyPair", json_pack("{ssss}", "KeyId", arn, "KeyPairSpec", "ECC_NIST_P256"),
        "InvalidKeyUsageException");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(material_comes_goes_and_comes_back),
        CASE(refusals_of_imports_have_their_names),
        CASE(signatures_and_public_keys),
        CASE(macs),
        CASE(data_key_pairs_come_sealed_and_open_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
