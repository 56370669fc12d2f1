/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/wire/op_crypt.c - encrypt, decrypt, re-encrypt, data keys, random bytes.
 *
 * Invariant: a plaintext goes from the request's wiped memory to the work function, and from the
 * key store's locked scratch into the answer's JSON, which is wiped when it is freed.
 */
#include "wire/shapes.h"
#include "wire/wire.h"

#include <string.h>

#define SYMMETRIC "SYMMETRIC_DEFAULT"

/* ---- parts ------------------------------------------------------------------------------- */

/* What AWS KMS has and this service hasn't, said and not passed over. */
static int refuse_others(struct cof_wire *wire)
{
    if (cof_wire_given(wire, "DryRunModifiers")) {
        return cof_kms_fault(&wire->fault, COFFER_E_UNSUPPORTED,
                             "DryRunModifiers is not supported: give the ciphertext");
    }
    return cof_wire_refuse_recipient(wire);
}

static const char *algorithm_of(const char *given)
{
    return given == NULL ? SYMMETRIC : given;
}

static struct cof_kms_bytes blob_bytes(const struct coffer_key_blob *blob)
{
    return (struct cof_kms_bytes){blob->bytes, blob->length_bytes};
}

static int set_material(struct cof_wire *wire, const char *name, const struct cof_kms_used *used)
{
    char id[COFFER_MATERIAL_ID_BYTES];

    if (!used->has_material_id) {
        return 0;
    }
    cof_kms_hex(used->material_id, sizeof(used->material_id), id);
    return cof_wire_set_text(wire, name, id);
}

/* The plaintext that the work function left in locked scratch. */
static int set_plaintext(struct cof_wire *wire, size_t bytes)
{
    struct cof_kms_bytes plaintext = {wire->ks->secrets->plaintext, bytes};

    return cof_wire_set_blob(wire, "Plaintext", plaintext);
}

/* ---- encrypt and decrypt ----------------------------------------------------------------- */

static const struct cof_wire_member encrypt_members[] = {
    {"KeyId", &cof_shape_key_id, true},
    {"Plaintext", &cof_shape_plaintext, true},
    {"EncryptionContext", &cof_shape_context, false},
    {"GrantTokens", &cof_shape_grant_tokens, false},
    {"EncryptionAlgorithm", &cof_shape_encryption_algorithm, false},
    {"DryRun", &cof_shape_flag, false},
    {0}};

static int encrypt(struct cof_wire *wire)
{
    struct coffer_context context = {NULL, 0};
    struct cof_kms_encrypt params = {.key = cof_wire_text(wire, "KeyId"),
                                     .algorithm = cof_wire_text(wire, "EncryptionAlgorithm"),
                                     .plaintext = cof_wire_bytes(wire, "Plaintext"),
                                     .context = &context};
    struct coffer_key_blob blob;
    struct cof_kms_used used;
    int error = cof_wire_context(wire, "EncryptionContext", &context);

    if (error == 0) {
        error = cof_kms_encrypt(&wire->call, &params, &blob, &used);
    }
    if (error == 0) {
        error = cof_wire_set_blob(wire, "CiphertextBlob", blob_bytes(&blob));
    }
    if (error == 0) {
        error = cof_wire_set_text(wire, "KeyId", used.arn);
    }
    return error == 0
               ? cof_wire_set_text(wire, "EncryptionAlgorithm", algorithm_of(params.algorithm))
               : error;
}

static const struct cof_wire_member decrypt_members[] = {
    {"CiphertextBlob", &cof_shape_ciphertext, true},
    {"EncryptionContext", &cof_shape_context, false},
    {"GrantTokens", &cof_shape_grant_tokens, false},
    {"KeyId", &cof_shape_key_id, false},
    {"EncryptionAlgorithm", &cof_shape_encryption_algorithm, false},
    {"Recipient", &cof_shape_recipient, false},
    {"DryRun", &cof_shape_flag, false},
    {"DryRunModifiers", &cof_shape_dry_run_modifiers, false},
    {0}};

static int decrypt(struct cof_wire *wire)
{
    struct coffer_context context = {NULL, 0};
    struct cof_kms_decrypt params = {.key = cof_wire_text(wire, "KeyId"),
                                     .algorithm = cof_wire_text(wire, "EncryptionAlgorithm"),
                                     .blob = cof_wire_bytes(wire, "CiphertextBlob"),
                                     .context = &context};
    struct cof_kms_used used;
    size_t bytes = 0;
    int error = refuse_others(wire);

    if (error == 0) {
        error = cof_wire_context(wire, "EncryptionContext", &context);
    }
    if (error == 0) {
        error = cof_kms_decrypt(&wire->call, &params, &bytes, &used);
    }
    if (error == 0) {
        error = cof_wire_set_text(wire, "KeyId", used.arn);
    }
    if (error == 0) {
        error = set_plaintext(wire, bytes);
    }
    if (error == 0) {
        error = cof_wire_set_text(wire, "EncryptionAlgorithm", algorithm_of(params.algorithm));
    }
    return error == 0 ? set_material(wire, "KeyMaterialId", &used) : error;
}

/* ---- re-encrypt -------------------------------------------------------------------------- */

static const struct cof_wire_member re_encrypt_members[] = {
    {"CiphertextBlob", &cof_shape_ciphertext, true},
    {"SourceEncryptionContext", &cof_shape_context, false},
    {"SourceKeyId", &cof_shape_key_id, false},
    {"DestinationKeyId", &cof_shape_key_id, true},
    {"DestinationEncryptionContext", &cof_shape_context, false},
    {"SourceEncryptionAlgorithm", &cof_shape_encryption_algorithm, false},
    {"DestinationEncryptionAlgorithm", &cof_shape_encryption_algorithm, false},
    {"GrantTokens", &cof_shape_grant_tokens, false},
    {"DryRun", &cof_shape_flag, false},
    {"DryRunModifiers", &cof_shape_dry_run_modifiers, false},
    {0}};

int cof_wire_re_encrypt(struct cof_wire *wire, const struct cof_kms_re_encrypt *params)
{
    struct coffer_key_blob blob;
    struct cof_kms_used source, used;
    int error = cof_kms_re_encrypt(&wire->call, params, &blob, &source, &used);

    if (error == 0) {
        error = cof_wire_set_blob(wire, "CiphertextBlob", blob_bytes(&blob));
    }
    if (error == 0) {
        error = cof_wire_set_text(wire, "SourceKeyId", source.arn);
    }
    if (error == 0) {
        error = cof_wire_set_text(wire, "KeyId", used.arn);
    }
    if (error == 0) {
        error = cof_wire_set_text(wire, "SourceEncryptionAlgorithm",
                                  algorithm_of(params->source.algorithm));
    }
    if (error == 0) {
        error = cof_wire_set_text(wire, "DestinationEncryptionAlgorithm",
                                  algorithm_of(params->algorithm));
    }
    if (error == 0) {
        error = set_material(wire, "SourceKeyMaterialId", &source);
    }
    return error == 0 ? set_material(wire, "DestinationKeyMaterialId", &used) : error;
}

static int re_encrypt(struct cof_wire *wire)
{
    struct coffer_context source = {NULL, 0}, destination = {NULL, 0};
    struct cof_kms_re_encrypt params = {
        .source = {.key = cof_wire_text(wire, "SourceKeyId"),
                   .algorithm = cof_wire_text(wire, "SourceEncryptionAlgorithm"),
                   .blob = cof_wire_bytes(wire, "CiphertextBlob"),
                   .context = &source},
        .key = cof_wire_text(wire, "DestinationKeyId"),
        .algorithm = cof_wire_text(wire, "DestinationEncryptionAlgorithm"),
        .context = &destination};
    int error = refuse_others(wire);

    if (error == 0) {
        error = cof_wire_context(wire, "SourceEncryptionContext", &source);
    }
    if (error == 0) {
        error = cof_wire_context(wire, "DestinationEncryptionContext", &destination);
    }
    return error == 0 ? cof_wire_re_encrypt(wire, &params) : error;
}

/* ---- data keys and random bytes ---------------------------------------------------------- */

static const struct cof_wire_member data_key_members[] = {
    {"KeyId", &cof_shape_key_id, true},
    {"EncryptionContext", &cof_shape_context, false},
    {"NumberOfBytes", &cof_shape_number_of_bytes, false},
    {"KeySpec", &cof_shape_data_key_spec, false},
    {"GrantTokens", &cof_shape_grant_tokens, false},
    {"Recipient", &cof_shape_recipient, false},
    {"DryRun", &cof_shape_flag, false},
    {0}};

/* Exactly one of KeySpec and NumberOfBytes says it. */
static int find_length(struct cof_wire *wire, size_t *ret_bytes)
{
    const char *spec = cof_wire_text(wire, "KeySpec");

    if ((spec != NULL) == cof_wire_given(wire, "NumberOfBytes")) {
        return cof_kms_fault(&wire->fault, COFFER_E_INVALID,
                             "Please specify either number of bytes or key spec.");
    }
    *ret_bytes = spec == NULL                   ? cof_wire_number(wire, "NumberOfBytes", 0)
                 : strcmp(spec, "AES_256") == 0 ? 32
                                                : 16;
    return 0;
}

static int generate(struct cof_wire *wire, bool with_plaintext)
{
    struct coffer_context context = {NULL, 0};
    struct coffer_key_blob blob;
    struct cof_kms_used used;
    size_t bytes = 0;
    int error = refuse_others(wire);

    if (error == 0) {
        error = find_length(wire, &bytes);
    }
    if (error == 0) {
        error = cof_wire_context(wire, "EncryptionContext", &context);
    }
    if (error == 0) {
        error = cof_kms_generate_data_key(&wire->call, cof_wire_text(wire, "KeyId"), bytes,
                                          &context, &blob, &used);
    }
    if (error == 0) {
        error = cof_wire_set_blob(wire, "CiphertextBlob", blob_bytes(&blob));
    }
    if (error == 0 && with_plaintext) {
        error = set_plaintext(wire, bytes);
    }
    if (error == 0) {
        error = cof_wire_set_text(wire, "KeyId", used.arn);
    }
    return error == 0 ? set_material(wire, "KeyMaterialId", &used) : error;
}

static int generate_data_key(struct cof_wire *wire)
{
    return generate(wire, true);
}

static int generate_without_plaintext(struct cof_wire *wire)
{
    return generate(wire, false);
}

static const struct cof_wire_member random_members[] = {
    {"NumberOfBytes", &cof_shape_number_of_bytes, false},
    {"CustomKeyStoreId", &cof_shape_store_id, false},
    {"Recipient", &cof_shape_recipient, false},
    {0}};

static int generate_random(struct cof_wire *wire)
{
    uint32_t bytes = cof_wire_number(wire, "NumberOfBytes", 0);
    int error = refuse_others(wire);

    if (error == 0 && cof_wire_given(wire, "CustomKeyStoreId")) {
        error = cof_kms_fault(&wire->fault, COFFER_E_UNSUPPORTED,
                              "random bytes come from this service, not from a custom key store");
    }
    if (error == 0 && bytes == 0) {
        error = cof_kms_fault(&wire->fault, COFFER_E_INVALID, "Please specify number of bytes.");
    }
    if (error == 0) {
        error = cof_kms_generate_random(&wire->call, bytes);
    }
    return error == 0 ? set_plaintext(wire, bytes) : error;
}

const struct cof_wire_operation cof_wire_crypt_rows[] = {
    {"Encrypt", COF_KMS_CHANGES, COF_WIRE_DRY_RUN, encrypt_members, encrypt},
    {"Decrypt", COF_KMS_READS, COF_WIRE_DRY_RUN, decrypt_members, decrypt},
    {"ReEncrypt", COF_KMS_CHANGES, COF_WIRE_DRY_RUN, re_encrypt_members, re_encrypt},
    {"GenerateDataKey", COF_KMS_CHANGES, COF_WIRE_DRY_RUN, data_key_members, generate_data_key},
    {"GenerateDataKeyWithoutPlaintext", COF_KMS_CHANGES, COF_WIRE_DRY_RUN, data_key_members,
     generate_without_plaintext},
    {"GenerateRandom", COF_KMS_READS, 0, random_members, generate_random},
    {0}};
