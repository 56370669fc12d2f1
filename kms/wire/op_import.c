/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/wire/op_import.c - key material from outside.
 *
 * Invariant: a wrapping key, which takes up to seconds, is drawn before the store is locked.
 */
#include "import.h"
#include "wire/shapes.h"
#include "wire/wire.h"

#define TEXTS(...) ((const char *const[]){__VA_ARGS__, NULL})

static const struct cof_wire_shape wrapping_algorithm = {
    .type = COF_WIRE_TEXT,
    .values = TEXTS("RSAES_PKCS1_V1_5", "RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256",
                    "RSA_AES_KEY_WRAP_SHA_1", "RSA_AES_KEY_WRAP_SHA_256", "SM2PKE")};
static const struct cof_wire_shape wrapping_spec = {
    .type = COF_WIRE_TEXT, .values = TEXTS("RSA_2048", "RSA_3072", "RSA_4096", "SM2")};
static const struct cof_wire_shape expiration_model = {
    .type = COF_WIRE_TEXT, .values = TEXTS("KEY_MATERIAL_EXPIRES", "KEY_MATERIAL_DOES_NOT_EXPIRE")};
static const struct cof_wire_shape import_type = {
    .type = COF_WIRE_TEXT, .values = TEXTS("NEW_KEY_MATERIAL", "EXISTING_KEY_MATERIAL")};
static const struct cof_wire_pattern description_pattern = {"^[a-zA-Z0-9:/_\\s.-]+$",
                                                            COF_WIRE_ALNUM, ":/_ \t\n\r.-"};
static const struct cof_wire_shape material_description = {
    .type = COF_WIRE_TEXT, .min = 0, .max = 256, .pattern = &description_pattern};

static int set_id(struct cof_wire *wire, const uint8_t id[COF_KMS_MATERIAL_ID_BYTES])
{
    char hex[COFFER_MATERIAL_ID_BYTES];
    int error = cof_wire_set_text(wire, "KeyId", wire->call.arn);

    if (error != 0 || id == NULL) {
        return error;
    }
    cof_kms_hex(id, COF_KMS_MATERIAL_ID_BYTES, hex);
    return cof_wire_set_text(wire, "KeyMaterialId", hex);
}

/* ---- GetParametersForImport -------------------------------------------------------------- */

static const struct cof_wire_member parameters_members[] = {
    {"KeyId", &cof_shape_key_id, true},
    {"WrappingAlgorithm", &wrapping_algorithm, true},
    {"WrappingKeySpec", &wrapping_spec, true},
    {0}};

/* Within the transaction. */
static int offer(struct cof_wire *wire, struct cof_kms_import_scratch *scratch,
                 struct cof_kms_import_offer *offer)
{
    int error = cof_kms_import_offer(&wire->call, cof_wire_text(wire, "KeyId"),
                                     cof_wire_text(wire, "WrappingKeySpec"),
                                     cof_wire_text(wire, "WrappingAlgorithm"), scratch, offer);

    if (error == 0) {
        error = cof_wire_set_text(wire, "KeyId", offer->arn);
    }
    if (error == 0) {
        error = cof_wire_set_blob(wire, "ImportToken",
                                  (struct cof_kms_bytes){offer->token, offer->token_bytes});
    }
    if (error == 0) {
        error = cof_wire_set_blob(wire, "PublicKey",
                                  (struct cof_kms_bytes){offer->public_half, offer->public_bytes});
    }
    return error == 0
               ? cof_wire_set(wire, "ParametersValidTo", cof_wire_json_time(offer->valid_to_ns))
               : error;
}

static int get_parameters(struct cof_wire *wire)
{
    struct cof_kms_import_scratch *scratch = NULL;
    struct cof_kms_import_offer offered;
    int drawn, error = cof_kms_import_scratch_new(&scratch);

    if (error != 0) {
        return cof_kms_fault(&wire->fault, error, NULL);
    }
    drawn = cof_kms_import_draw(scratch, cof_wire_text(wire, "WrappingKeySpec"), &offered);
    error = cof_wire_begin(wire, wire->operation->name, wire->operation->access, &wire->fault);
    if (error == 0) {
        /* What can't be drawn is told after what is wrong with the key. */
        error = drawn == 0 || drawn == COFFER_E_UNSUPPORTED
                    ? offer(wire, scratch, &offered)
                    : cof_kms_fault(wire->call.fault, drawn, NULL);
        error = cof_kms_call_settle(&wire->call, error);
        cof_kms_call_leave(&wire->call);
    }
    coffer_keystore_secret_free((uint8_t *)scratch);
    return error;
}

/* ---- import and deletion ----------------------------------------------------------------- */

static const struct cof_wire_member import_members[] = {
    {"KeyId", &cof_shape_key_id, true},
    {"ImportToken", &cof_shape_ciphertext, true},
    {"EncryptedKeyMaterial", &cof_shape_ciphertext, true},
    {"ValidTo", &cof_shape_time, false},
    {"ExpirationModel", &expiration_model, false},
    {"ImportType", &import_type, false},
    {"KeyMaterialDescription", &material_description, false},
    {"KeyMaterialId", &cof_shape_material_id, false},
    {0}};

static int import_material(struct cof_wire *wire)
{
    struct cof_kms_import import = {
        .key = cof_wire_text(wire, "KeyId"),
        .token = cof_wire_bytes(wire, "ImportToken"),
        .wrapped = cof_wire_bytes(wire, "EncryptedKeyMaterial"),
        .expiration_model = cof_wire_text(wire, "ExpirationModel"),
        .valid_to_ns = cof_wire_time(wire, "ValidTo"),
        .import_type = cof_wire_text(wire, "ImportType"),
        .description = cof_wire_text(wire, "KeyMaterialDescription"),
        .material_id = cof_wire_text(wire, "KeyMaterialId"),
    };
    struct cof_kms_import_scratch *scratch = NULL;
    uint8_t id[COF_KMS_MATERIAL_ID_BYTES];
    int error = cof_kms_import_scratch_new(&scratch);

    if (error != 0) {
        return cof_kms_fault(wire->call.fault, error, NULL);
    }
    error = cof_kms_import(&wire->call, &import, scratch, id);
    coffer_keystore_secret_free((uint8_t *)scratch);
    return error == 0 ? set_id(wire, id) : error;
}

static const struct cof_wire_member delete_members[] = {
    {"KeyId", &cof_shape_key_id, true}, {"KeyMaterialId", &cof_shape_material_id, false}, {0}};

static int delete_material(struct cof_wire *wire)
{
    uint8_t id[COF_KMS_MATERIAL_ID_BYTES];
    bool had = false;
    int error = cof_kms_import_delete(&wire->call, cof_wire_text(wire, "KeyId"),
                                      cof_wire_text(wire, "KeyMaterialId"), id, &had);

    return error == 0 ? set_id(wire, had ? id : NULL) : error;
}

const struct cof_wire_operation cof_wire_import_rows[] = {
    {"GetParametersForImport", COF_KMS_CHANGES, COF_WIRE_BY_ENTRY, parameters_members,
     get_parameters},
    {"ImportKeyMaterial", COF_KMS_ALONE, 0, import_members, import_material},
    {"DeleteImportedKeyMaterial", COF_KMS_ALONE, 0, delete_members, delete_material},
    {0}};
