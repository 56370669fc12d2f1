/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/wire/shapes.c - the shapes that operations share. Bounds, patterns and enums are those of the
 * published model, where docs/kms.md names no difference. Constant.
 */
#include "wire/shapes.h"

#include "verbs.h"

#define TEXTS(...) ((const char *const[]){__VA_ARGS__, NULL})

static const struct cof_wire_pattern alias_pattern = {"^[a-zA-Z0-9:/_-]+$", COF_WIRE_ALNUM, ":/_-"};
static const struct cof_wire_pattern principal_pattern = {"^[\\w+=,.@:/-]+$", COF_WIRE_ALNUM,
                                                          "_+=,.@:/-"};
static const struct cof_wire_pattern word_pattern = {"[\\w]+", COF_WIRE_ALNUM, "_"};
static const struct cof_wire_pattern policy_pattern = {"[\\u0009\\u000A\\u000D\\u0020-\\u00FF]+",
                                                       COF_WIRE_LATIN, "\t\n\r"};
static const struct cof_wire_pattern latin_pattern = {"[\\u0020-\\u00FF]*", COF_WIRE_LATIN, NULL};
static const struct cof_wire_pattern hex_pattern = {"^[a-f0-9]+$", COF_WIRE_HEX, NULL};
static const struct cof_wire_pattern region_pattern = {"^[a-z0-9-]+$", COF_WIRE_ALNUM, "-"};

#define TEXT_OF(low, high, ...)                                         \
    {                                                                   \
        .type = COF_WIRE_TEXT, .min = (low), .max = (high), __VA_ARGS__ \
    }
#define ENUM_OF(...)                                        \
    {                                                       \
        .type = COF_WIRE_TEXT, .values = TEXTS(__VA_ARGS__) \
    }
#define NUMBER_OF(low, high)                                 \
    {                                                        \
        .type = COF_WIRE_NUMBER, .min = (low), .max = (high) \
    }

const struct cof_wire_shape cof_shape_key_id = TEXT_OF(1, 2048, );
const struct cof_wire_shape cof_shape_flag = {.type = COF_WIRE_FLAG};
const struct cof_wire_shape cof_shape_time = {.type = COF_WIRE_TIME};
const struct cof_wire_shape cof_shape_description = TEXT_OF(0, 8192, );
const struct cof_wire_shape cof_shape_policy = TEXT_OF(1, 131072, .pattern = &policy_pattern);
const struct cof_wire_shape cof_shape_policy_name = TEXT_OF(1, 128, .pattern = &word_pattern);
const struct cof_wire_shape cof_shape_alias = TEXT_OF(1, 256, .pattern = &alias_pattern);
const struct cof_wire_shape cof_shape_region = TEXT_OF(1, 32, .pattern = &region_pattern);
const struct cof_wire_shape cof_shape_store_id = TEXT_OF(1, 64, );
const struct cof_wire_shape cof_shape_limit = NUMBER_OF(1, 1000);
const struct cof_wire_shape cof_shape_limit_100 = NUMBER_OF(1, 100);
const struct cof_wire_shape cof_shape_limit_50 = NUMBER_OF(1, 50);
const struct cof_wire_shape cof_shape_marker = TEXT_OF(1, 1024, .pattern = &latin_pattern);
const struct cof_wire_shape cof_shape_context = {.type = COF_WIRE_MAP};
const struct cof_wire_shape cof_shape_plaintext = {
    .type = COF_WIRE_BLOB, .secret = true, .min = 1, .max = 4096};
const struct cof_wire_shape cof_shape_ciphertext = {.type = COF_WIRE_BLOB, .min = 1, .max = 6144};
const struct cof_wire_shape cof_shape_number_of_bytes = NUMBER_OF(1, 1024);
const struct cof_wire_shape cof_shape_material_id = TEXT_OF(64, 64, .pattern = &hex_pattern);
/* The model has 1 to 365, the service's pages 7 to 30 days. */
const struct cof_wire_shape cof_shape_window =
    NUMBER_OF(COF_KMS_PENDING_DAYS_MIN, COF_KMS_PENDING_DAYS_MAX);
const struct cof_wire_shape cof_shape_rotation_period = NUMBER_OF(90, 2560);
const struct cof_wire_shape cof_shape_include_material =
    ENUM_OF("ALL_KEY_MATERIAL", "ROTATIONS_ONLY");

/* ---- tags -------------------------------------------------------------------------------- */

static const struct cof_wire_shape tag_key = TEXT_OF(1, 128, );
static const struct cof_wire_shape tag_value = TEXT_OF(0, 256, );
static const struct cof_wire_member tag_members[] = {
    {"TagKey", &tag_key, true}, {"TagValue", &tag_value, true}, {0}};
static const struct cof_wire_shape tag = {.type = COF_WIRE_STRUCT, .members = tag_members};

const struct cof_wire_shape cof_shape_tags = {.type = COF_WIRE_LIST, .of = &tag};
const struct cof_wire_shape cof_shape_tag_keys = {.type = COF_WIRE_LIST, .of = &tag_key};

/* ---- grants ------------------------------------------------------------------------------ */

const struct cof_wire_shape cof_shape_principal = TEXT_OF(1, 256, .pattern = &principal_pattern);
const struct cof_wire_shape cof_shape_grant_name = TEXT_OF(1, 256, .pattern = &alias_pattern);
const struct cof_wire_shape cof_shape_grant_id = TEXT_OF(1, 128, );
const struct cof_wire_shape cof_shape_grant_token = TEXT_OF(1, 8192, );
const struct cof_wire_shape cof_shape_grant_tokens = {
    .type = COF_WIRE_LIST, .min = 0, .max = 10, .of = &cof_shape_grant_token};

static const struct cof_wire_shape grant_operation = ENUM_OF(
    "Decrypt", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom",
    "ReEncryptTo", "Sign", "Verify", "GetPublicKey", "CreateGrant", "RetireGrant", "DescribeKey",
    "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext", "GenerateMac", "VerifyMac",
    "DeriveSharedSecret", "Encapsulate", "Decapsulate");
const struct cof_wire_shape cof_shape_grant_operations = {.type = COF_WIRE_LIST,
                                                          .of = &grant_operation};

static const struct cof_wire_member constraint_members[] = {
    {"EncryptionContextSubset", &cof_shape_context, false},
    {"EncryptionContextEquals", &cof_shape_context, false},
    {"SourceArn", &cof_shape_principal, false},
    {0}};
const struct cof_wire_shape cof_shape_grant_constraints = {.type = COF_WIRE_STRUCT,
                                                           .members = constraint_members};

/* ---- kinds of keys ----------------------------------------------------------------------- */

const struct cof_wire_shape cof_shape_key_spec =
    ENUM_OF("RSA_2048", "RSA_3072", "RSA_4096", "ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521",
            "ECC_SECG_P256K1", "SYMMETRIC_DEFAULT", "HMAC_224", "HMAC_256", "HMAC_384", "HMAC_512",
            "SM2", "ML_DSA_44", "ML_DSA_65", "ML_DSA_87", "ECC_NIST_EDWARDS25519");
const struct cof_wire_shape cof_shape_old_key_spec = ENUM_OF(
    "RSA_2048", "RSA_3072", "RSA_4096", "ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521",
    "ECC_SECG_P256K1", "SYMMETRIC_DEFAULT", "HMAC_224", "HMAC_256", "HMAC_384", "HMAC_512", "SM2");
const struct cof_wire_shape cof_shape_key_usage =
    ENUM_OF("SIGN_VERIFY", "ENCRYPT_DECRYPT", "GENERATE_VERIFY_MAC", "KEY_AGREEMENT");
const struct cof_wire_shape cof_shape_origin =
    ENUM_OF("AWS_KMS", "EXTERNAL", "AWS_CLOUDHSM", "EXTERNAL_KEY_STORE", "PKCS11");
const struct cof_wire_shape cof_shape_data_key_spec = ENUM_OF("AES_256", "AES_128");
const struct cof_wire_shape cof_shape_encryption_algorithm =
    ENUM_OF("SYMMETRIC_DEFAULT", "RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256", "SM2PKE");

static const struct cof_wire_shape dry_run_modifier = ENUM_OF("IGNORE_CIPHERTEXT");
const struct cof_wire_shape cof_shape_dry_run_modifiers = {.type = COF_WIRE_LIST,
                                                           .of = &dry_run_modifier};

static const struct cof_wire_shape recipient_algorithm = ENUM_OF("RSAES_OAEP_SHA_256");
static const struct cof_wire_shape attestation = {.type = COF_WIRE_BLOB, .min = 1, .max = 262144};
static const struct cof_wire_member recipient_members[] = {
    {"KeyEncryptionAlgorithm", &recipient_algorithm, false},
    {"AttestationDocument", &attestation, false},
    {0}};
const struct cof_wire_shape cof_shape_recipient = {.type = COF_WIRE_STRUCT,
                                                   .members = recipient_members};
