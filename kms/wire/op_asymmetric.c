/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/wire/op_asymmetric.c - signatures, MACs, public keys, key agreement and data key pairs.
 *
 * Invariant: a data key pair, which takes up to seconds, is drawn before the store is locked, into
 * secret memory of its own.
 */
#include "asymmetric.h"
#include "wire/key_json.h"
#include "wire/shapes.h"
#include "wire/wire.h"

#include <string.h>

#define TEXTS(...) ((const char *const[]){__VA_ARGS__, NULL})

static const struct cof_wire_shape message_shape = {
    .type = COF_WIRE_BLOB, .secret = true, .min = 1, .max = COF_KMS_MESSAGE_BYTES_MAX};
static const struct cof_wire_shape message_type = {.type = COF_WIRE_TEXT,
                                                   .values = TEXTS("RAW", "DIGEST", "EXTERNAL_MU")};
static const struct cof_wire_shape signing_algorithm = {
    .type = COF_WIRE_TEXT,
    .values = TEXTS("RSASSA_PSS_SHA_256", "RSASSA_PSS_SHA_384", "RSASSA_PSS_SHA_512",
                    "RSASSA_PKCS1_V1_5_SHA_256", "RSASSA_PKCS1_V1_5_SHA_384",
                    "RSASSA_PKCS1_V1_5_SHA_512", "ECDSA_SHA_256", "ECDSA_SHA_384", "ECDSA_SHA_512",
                    "SM2DSA", "ML_DSA_SHAKE_256", "ED25519_SHA_512", "ED25519_PH_SHA_512")};
static const struct cof_wire_shape mac_algorithm = {
    .type = COF_WIRE_TEXT,
    .values = TEXTS("HMAC_SHA_224", "HMAC_SHA_256", "HMAC_SHA_384", "HMAC_SHA_512")};
static const struct cof_wire_shape pair_spec = {
    .type = COF_WIRE_TEXT,
    .values = TEXTS("RSA_2048", "RSA_3072", "RSA_4096", "ECC_NIST_P256", "ECC_NIST_P384",
                    "ECC_NIST_P521", "ECC_SECG_P256K1", "SM2", "ECC_NIST_EDWARDS25519")};

/* ---- signatures -------------------------------------------------------------------------- */

static const struct cof_wire_member sign_members[] = {
    {"KeyId", &cof_shape_key_id, true},
    {"Message", &message_shape, true},
    {"MessageType", &message_type, false},
    {"GrantTokens", &cof_shape_grant_tokens, false},
    {"SigningAlgorithm", &signing_algorithm, true},
    {"DryRun", &cof_shape_flag, false},
    {0}};
static const struct cof_wire_member verify_members[] = {
    {"KeyId", &cof_shape_key_id, true},
    {"Message", &message_shape, true},
    {"MessageType", &message_type, false},
    {"Signature", &cof_shape_ciphertext, true},
    {"SigningAlgorithm", &signing_algorithm, true},
    {"GrantTokens", &cof_shape_grant_tokens, false},
    {"DryRun", &cof_shape_flag, false},
    {0}};

static int read_message(struct cof_wire *wire, const char *algorithm,
                        struct cof_kms_message *message)
{
    const char *type = cof_wire_text(wire, "MessageType");

    message->key = cof_wire_text(wire, "KeyId");
    message->algorithm = cof_wire_text(wire, algorithm);
    message->bytes = cof_wire_bytes(wire, "Message");
    message->is_digest = type != NULL && strcmp(type, "DIGEST") == 0;
    if (type != NULL && strcmp(type, "EXTERNAL_MU") == 0) {
        return cof_kms_fault(wire->call.fault, COFFER_E_UNSUPPORTED,
                             "EXTERNAL_MU is for ML-DSA keys, which this service has not");
    }
    return 0;
}

/* What all answers end with. */
static int set_end(struct cof_wire *wire, const char *algorithm)
{
    int error = cof_wire_set_text(wire, algorithm, cof_wire_text(wire, algorithm));

    return error == 0 ? cof_wire_set_text(wire, "KeyId", wire->call.arn) : error;
}

static int sign(struct cof_wire *wire)
{
    uint8_t signature[COF_PAIR_SIGNATURE_BYTES_MAX];
    struct cof_kms_bytes made = {signature, 0};
    struct cof_kms_message message;
    int error = read_message(wire, "SigningAlgorithm", &message);

    if (error == 0) {
        error = cof_kms_sign(&wire->call, &message, signature, &made.length_bytes);
    }
    if (error == 0) {
        error = cof_wire_set_blob(wire, "Signature", made);
    }
    return error == 0 ? set_end(wire, "SigningAlgorithm") : error;
}

static int verify(struct cof_wire *wire)
{
    struct cof_kms_message message;
    int error = read_message(wire, "SigningAlgorithm", &message);

    if (error == 0) {
        error = cof_kms_verify(&wire->call, &message, cof_wire_bytes(wire, "Signature"));
    }
    if (error == 0) {
        error = cof_wire_set(wire, "SignatureValid", json_true());
    }
    return error == 0 ? set_end(wire, "SigningAlgorithm") : error;
}

/* ---- MACs -------------------------------------------------------------------------------- */

static const struct cof_wire_member mac_members[] = {
    {"Message", &message_shape, true},      {"KeyId", &cof_shape_key_id, true},
    {"MacAlgorithm", &mac_algorithm, true}, {"GrantTokens", &cof_shape_grant_tokens, false},
    {"DryRun", &cof_shape_flag, false},     {0}};
static const struct cof_wire_member verify_mac_members[] = {
    {"Message", &message_shape, true},
    {"KeyId", &cof_shape_key_id, true},
    {"MacAlgorithm", &mac_algorithm, true},
    {"Mac", &cof_shape_ciphertext, true},
    {"GrantTokens", &cof_shape_grant_tokens, false},
    {"DryRun", &cof_shape_flag, false},
    {0}};

static int generate_mac(struct cof_wire *wire)
{
    uint8_t mac[COF_KMS_MAC_TAG_BYTES_MAX];
    struct cof_kms_bytes made = {mac, 0};
    struct cof_kms_message message;
    int error = read_message(wire, "MacAlgorithm", &message);

    if (error == 0) {
        error = cof_kms_generate_mac(&wire->call, &message, mac, &made.length_bytes);
    }
    if (error == 0) {
        error = cof_wire_set_blob(wire, "Mac", made);
    }
    return error == 0 ? set_end(wire, "MacAlgorithm") : error;
}

static int verify_mac(struct cof_wire *wire)
{
    struct cof_kms_message message;
    int error = read_message(wire, "MacAlgorithm", &message);

    if (error == 0) {
        error = cof_kms_verify_mac(&wire->call, &message, cof_wire_bytes(wire, "Mac"));
    }
    if (error == 0) {
        error = cof_wire_set(wire, "MacValid", json_true());
    }
    return error == 0 ? set_end(wire, "MacAlgorithm") : error;
}

/* ---- public keys ------------------------------------------------------------------------- */

static const struct cof_wire_member public_members[] = {
    {"KeyId", &cof_shape_key_id, true}, {"GrantTokens", &cof_shape_grant_tokens, false}, {0}};

static int get_public(struct cof_wire *wire)
{
    struct cof_kms_key_row *row = cof_wire_take(wire, sizeof(*row));
    int error = row == NULL ? COFFER_E_NO_MEMORY
                            : cof_kms_public_key(&wire->call, cof_wire_text(wire, "KeyId"), row);

    if (error == 0) {
        error = cof_wire_set_text(wire, "KeyId", row->arn);
    }
    if (error == 0) {
        error = cof_wire_set_blob(wire, "PublicKey",
                                  (struct cof_kms_bytes){row->public_key, row->public_key_bytes});
    }
    if (error == 0) {
        error = cof_wire_set_text(wire, "CustomerMasterKeySpec", row->key_spec);
    }
    if (error == 0) {
        error = cof_wire_set_text(wire, "KeySpec", row->key_spec);
    }
    if (error == 0) {
        error = cof_wire_set_text(wire, "KeyUsage", row->key_usage);
    }
    if (error != 0) {
        return error;
    }
    return cof_wire_set(wire, cof_wire_algorithms_member(row->key_usage),
                        cof_wire_algorithms_json(row->key_spec, row->key_usage));
}

/* ---- key agreement ----------------------------------------------------------------------- */

static const struct cof_wire_shape public_half = {.type = COF_WIRE_BLOB, .min = 1, .max = 8192};
static const struct cof_wire_shape agreement_algorithm = {.type = COF_WIRE_TEXT,
                                                          .values = TEXTS("ECDH")};
static const struct cof_wire_member derive_members[] = {
    {"KeyId", &cof_shape_key_id, true},
    {"KeyAgreementAlgorithm", &agreement_algorithm, true},
    {"PublicKey", &public_half, true},
    {"GrantTokens", &cof_shape_grant_tokens, false},
    {"DryRun", &cof_shape_flag, false},
    {"Recipient", &cof_shape_recipient, false},
    {0}};

static int derive(struct cof_wire *wire)
{
    struct cof_kms_key_row *row = cof_wire_key_row(wire);
    struct cof_kms_bytes secret = {wire->ks->secrets->plaintext, 0};
    int error = row == NULL ? COFFER_E_NO_MEMORY : cof_wire_refuse_recipient(wire);

    if (error == 0) {
        error = cof_kms_derive_secret(&wire->call, cof_wire_text(wire, "KeyId"),
                                      cof_wire_text(wire, "KeyAgreementAlgorithm"),
                                      cof_wire_bytes(wire, "PublicKey"), row,
                                      &secret.length_bytes);
    }
    if (error == 0) {
        error = cof_wire_set_blob(wire, "SharedSecret", secret);
    }
    if (error == 0) {
        error = cof_wire_set_text(wire, "KeyOrigin", row->origin);
    }
    return error == 0 ? set_end(wire, "KeyAgreementAlgorithm") : error;
}

/* ---- data key pairs ---------------------------------------------------------------------- */

static const struct cof_wire_member pair_members[] = {
    {"EncryptionContext", &cof_shape_context, false},
    {"KeyId", &cof_shape_key_id, true},
    {"KeyPairSpec", &pair_spec, true},
    {"GrantTokens", &cof_shape_grant_tokens, false},
    {"Recipient", &cof_shape_recipient, false},
    {"DryRun", &cof_shape_flag, false},
    {0}};

static int set_pair(struct cof_wire *wire, const struct cof_kms_data_pair *pair)
{
    bool with_plaintext = strcmp(wire->operation->name, "GenerateDataKeyPair") == 0;
    char hex[COFFER_MATERIAL_ID_BYTES];
    int error =
        cof_wire_set_blob(wire, "PrivateKeyCiphertextBlob",
                          (struct cof_kms_bytes){pair->blob.bytes, pair->blob.length_bytes});

    if (error == 0 && with_plaintext) {
        error = cof_wire_set_blob(
            wire, "PrivateKeyPlaintext",
            (struct cof_kms_bytes){wire->ks->secrets->plaintext, pair->private_bytes});
    }
    if (error == 0) {
        error = cof_wire_set_blob(wire, "PublicKey",
                                  (struct cof_kms_bytes){pair->public_half, pair->public_bytes});
    }
    if (error == 0) {
        error = cof_wire_set_text(wire, "KeyPairSpec", cof_wire_text(wire, "KeyPairSpec"));
    }
    if (error == 0) {
        error = cof_wire_set_text(wire, "KeyId", pair->used.arn);
    }
    if (error != 0 || !pair->used.has_material_id) {
        return error;
    }
    cof_kms_hex(pair->used.material_id, sizeof(pair->used.material_id), hex);
    return cof_wire_set_text(wire, "KeyMaterialId", hex);
}

/* Within the transaction; drawn is the error of drawing the pair. */
static int seal_pair(struct cof_wire *wire, int drawn, const uint8_t *private_half,
                     struct cof_kms_data_pair *pair)
{
    struct coffer_context context = {NULL, 0};
    int error = cof_wire_context(wire, "EncryptionContext", &context);

    if (error == 0) {
        error = cof_wire_refuse_recipient(wire);
    }
    if (error == 0 && drawn != 0) {
        error = cof_kms_fault(wire->call.fault, drawn, "a pair of %.40s can't be made here",
                              cof_wire_text(wire, "KeyPairSpec"));
    }
    if (error == 0) {
        error = cof_kms_data_pair_seal(&wire->call, cof_wire_text(wire, "KeyId"), private_half,
                                       &context, pair);
    }
    return error == 0 ? set_pair(wire, pair) : error;
}

static int generate_pair(struct cof_wire *wire)
{
    struct cof_kms_data_pair *pair = cof_wire_take(wire, sizeof(*pair));
    uint8_t *private_half = NULL;
    int drawn, error = pair == NULL ? COFFER_E_NO_MEMORY
                                    : coffer_keystore_secret_new(COF_PAIR_BYTES_MAX, &private_half);

    if (error != 0) {
        return cof_kms_fault(&wire->fault, error, NULL);
    }
    drawn = cof_kms_data_pair_draw(cof_wire_text(wire, "KeyPairSpec"), private_half, pair);
    error = cof_wire_begin(wire, wire->operation->name, wire->operation->access, &wire->fault);
    if (error == 0) {
        error = cof_kms_call_settle(&wire->call, seal_pair(wire, drawn, private_half, pair));
        cof_kms_call_leave(&wire->call);
    }
    coffer_keystore_secret_free(private_half);
    return error;
}

const struct cof_wire_operation cof_wire_asymmetric_rows[] = {
    {"Sign", COF_KMS_READS, COF_WIRE_DRY_RUN, sign_members, sign},
    {"Verify", COF_KMS_READS, COF_WIRE_DRY_RUN, verify_members, verify},
    {"GenerateMac", COF_KMS_READS, COF_WIRE_DRY_RUN, mac_members, generate_mac},
    {"VerifyMac", COF_KMS_READS, COF_WIRE_DRY_RUN, verify_mac_members, verify_mac},
    {"GetPublicKey", COF_KMS_READS, 0, public_members, get_public},
    {"DeriveSharedSecret", COF_KMS_READS, COF_WIRE_DRY_RUN, derive_members, derive},
    {"GenerateDataKeyPair", COF_KMS_CHANGES, COF_WIRE_DRY_RUN | COF_WIRE_BY_ENTRY, pair_members,
     generate_pair},
    {"GenerateDataKeyPairWithoutPlaintext", COF_KMS_CHANGES, COF_WIRE_DRY_RUN | COF_WIRE_BY_ENTRY,
     pair_members, generate_pair},
    {0}};
