/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/import.c - GetParametersForImport and ImportKeyMaterial; import_row.c has what becomes of
 * rows.
 *
 * Invariants: what was wrapped lies in secret memory only; nothing is said of it but whether it
 * opens and whether it is the key's. Under the store's lock, but for cof_kms_import_draw.
 */
#include "import_row.h"

#include "pack.h"
#include "secret.h"

#include <string.h>

#define ID_LABEL "coffer/kms/import-id/1"

/* ---- GetParametersForImport -------------------------------------------------------------- */

int cof_kms_import_scratch_new(struct cof_kms_import_scratch **ret_scratch)
{
    uint8_t *memory = NULL;
    int error = coffer_keystore_secret_new(sizeof(struct cof_kms_import_scratch), &memory);

    if (error == 0) {
        *ret_scratch = (struct cof_kms_import_scratch *)(void *)memory;
    }
    return error;
}

static const struct cof_kms_spec *find_wrapping(const char *name)
{
    const struct cof_kms_spec *spec = cof_kms_spec_find(name);

    return spec != NULL && spec->family == COF_KMS_RSA ? spec : NULL;
}

int cof_kms_import_draw(struct cof_kms_import_scratch *scratch, const char *wrapping_spec,
                        struct cof_kms_import_offer *offer)
{
    const struct cof_kms_spec *spec = find_wrapping(wrapping_spec);
    uint8_t *half = cof_kms_import_half(scratch);
    int error = spec != NULL ? cof_pair_generate(spec, half) : COFFER_E_UNSUPPORTED;

    return error == 0 ? cof_pair_public(spec, half, offer->public_half, &offer->public_bytes)
                      : error;
}

static struct cof_kms_import_root root_of(struct coffer_keystore *ks)
{
    struct cof_kms_import_root root = {&ks->env, ks->secrets->root_key, ks->header.uuid};

    return root;
}

/* Find the key, which must be one that takes material, in a state to take it. */
static int find_importable(struct cof_kms_call *call, const char *key, const char *action,
                           struct cof_kms_key_row *row)
{
    int error = cof_kms_import_find(call, key, action, row);

    if (error == 0 && (row->state == COFFER_KEY_PENDING_DELETION ||
                       row->state == COFFER_KEY_PENDING_REPLICA_DELETION)) {
        return cof_kms_fault(call->fault, COFFER_E_KEY_STATE,
                             "%s is pending deletion: cancel that first", row->arn);
    }
    return error;
}

int cof_kms_import_offer(struct cof_kms_call *call, const char *key, const char *wrapping_spec,
                         const char *algorithm, struct cof_kms_import_scratch *scratch,
                         struct cof_kms_import_offer *offer)
{
    struct cof_kms_import_root root = root_of(call->ks);
    struct cof_kms_import_token token;
    struct cof_kms_key_row row;
    int error = find_importable(call, key, "kms:GetParametersForImport", &row);

    if (error != 0) {
        return error;
    }
    token.wrapping = find_wrapping(wrapping_spec);
    token.algorithm = cof_wrap_algorithm(cof_wrap_number(algorithm));
    token.expires_ns = cof_kms_wall_ns(&call->ks->env) + COF_KMS_IMPORT_TOKEN_NS;
    memcpy(token.arn, row.arn, sizeof(token.arn));
    if (token.wrapping == NULL || token.algorithm == NULL) {
        return cof_kms_fault(call->fault, COFFER_E_UNSUPPORTED,
                             "a wrapping key is RSA_2048, RSA_3072 or RSA_4096, used by "
                             "RSAES_OAEP_SHA_1 or _256, or RSA_AES_KEY_WRAP_SHA_1 or _256");
    }
    error = cof_kms_import_token_make(&root, &token, scratch, offer->token, &offer->token_bytes);
    if (error != 0) {
        return cof_kms_fault(call->fault, error, NULL);
    }
    memcpy(offer->arn, row.arn, sizeof(offer->arn));
    offer->valid_to_ns = token.expires_ns;
    return 0;
}

/* ---- ImportKeyMaterial: its options ------------------------------------------------------ */

static int check_expiry(struct cof_kms_call *call, const struct cof_kms_import *import,
                        uint64_t now_ns)
{
    const char *model = import->expiration_model;
    bool expires = model == NULL || strcmp(model, COF_KMS_MATERIAL_EXPIRES) == 0;

    if (!expires && strcmp(model, COF_KMS_MATERIAL_STAYS) != 0) {
        return cof_kms_fault(call->fault, COFFER_E_INVALID,
                             "ExpirationModel is " COF_KMS_MATERIAL_EXPIRES
                             " or " COF_KMS_MATERIAL_STAYS);
    }
    if (expires != (import->valid_to_ns != 0)) {
        return cof_kms_fault(call->fault, COFFER_E_INVALID,
                             expires ? "material that expires needs ValidTo"
                                     : "material that doesn't expire takes no ValidTo");
    }
    if (expires &&
        (import->valid_to_ns <= now_ns || import->valid_to_ns > now_ns + COF_KMS_IMPORT_VALID_NS)) {
        return cof_kms_fault(call->fault, COFFER_E_INVALID,
                             "ValidTo lies in the future, at most 365 days from now");
    }
    return 0;
}

static bool is_new(const struct cof_kms_import *import)
{
    return import->import_type != NULL && strcmp(import->import_type, COF_KMS_IMPORT_NEW) == 0;
}

static int check_options(struct cof_kms_call *call, const struct cof_kms_import *import,
                         const struct cof_kms_spec *spec, uint64_t now_ns)
{
    const char *type = import->import_type;

    if (type != NULL && !is_new(import) && strcmp(type, COF_KMS_IMPORT_EXISTING) != 0) {
        return cof_kms_fault(call->fault, COFFER_E_INVALID,
                             "ImportType is " COF_KMS_IMPORT_NEW " or " COF_KMS_IMPORT_EXISTING);
    }
    if (spec->family != COF_KMS_SYMMETRIC &&
        (type != NULL || import->description != NULL || import->material_id != NULL)) {
        return cof_kms_fault(call->fault, COFFER_E_INVALID,
                             "ImportType, KeyMaterialDescription and KeyMaterialId are for "
                             "SYMMETRIC_DEFAULT keys only");
    }
    if (is_new(import) && import->material_id != NULL) {
        return cof_kms_fault(call->fault, COFFER_E_INVALID,
                             "new material has no KeyMaterialId yet: leave it out");
    }
    if (import->material_id != NULL && !cof_kms_hex_ok(import->material_id, 64)) {
        return cof_kms_fault(call->fault, COFFER_E_INVALID, "KeyMaterialId is 64 hex digits");
    }
    if (import->description != NULL && strlen(import->description) > COF_KMS_IMPORT_TEXT_MAX) {
        return cof_kms_fault(call->fault, COFFER_E_INVALID,
                             "KeyMaterialDescription has at most %u bytes",
                             COF_KMS_IMPORT_TEXT_MAX);
    }
    return check_expiry(call, import, now_ns);
}

/* ---- ImportKeyMaterial: its bytes -------------------------------------------------------- */

/* Open the token and what it wraps into scratch->opened. */
static int open_wrapped(struct cof_kms_call *call, const struct cof_kms_import *import,
                        const struct cof_kms_key_row *row, uint64_t now_ns,
                        struct cof_kms_import_scratch *scratch, size_t *ret_bytes)
{
    struct cof_kms_import_root root = root_of(call->ks);
    struct cof_kms_import_token token;
    int error = cof_kms_import_token_open(&root, import->token, scratch, &token);

    if (error == COFFER_E_IMPORT_TOKEN || (error == 0 && strcmp(token.arn, row->arn) != 0)) {
        return cof_kms_fault(call->fault, COFFER_E_IMPORT_TOKEN,
                             "the import token is damaged or was not given for this key");
    }
    if (error == 0 && token.expires_ns <= now_ns) {
        return cof_kms_fault(call->fault, COFFER_E_IMPORT_EXPIRED,
                             "the import token is older than 24 hours: get parameters anew");
    }
    if (error == 0) {
        error = cof_wrap_open(token.wrapping, cof_kms_import_half(scratch), token.algorithm,
                              import->wrapped, scratch->opened, sizeof(scratch->opened), ret_bytes);
    }
    cof_kms_wipe(scratch->secret, sizeof(scratch->secret));
    if (error == COFFER_E_KEY_CIPHERTEXT) {
        return cof_kms_fault(call->fault, error,
                             "the key material does not open: wrap it under the public key that "
                             "came with this token, by the algorithm that was asked for");
    }
    return error == 0 ? 0 : cof_kms_fault(call->fault, error, NULL);
}

/* From what was wrapped to material as the store keeps it. */
static int take_material(struct cof_kms_call *call, const struct cof_kms_spec *spec,
                         const uint8_t *opened, size_t bytes)
{
    struct cof_kms_bytes der = {opened, bytes};
    int error = COFFER_E_INVALID;

    if (cof_kms_spec_is_pair(spec)) {
        error = cof_pair_from_pkcs8(spec, der, call->ks->secrets->material);
    } else if (bytes == spec->material_bytes) {
        memcpy(call->ks->secrets->material, opened, bytes);
        error = 0;
    }
    if (error == COFFER_E_INVALID) {
        return cof_kms_fault(call->fault, COFFER_E_KEY_MATERIAL,
                             "these %zu bytes are no material of a %s key", bytes, spec->name);
    }
    return error == 0 ? 0 : cof_kms_fault(call->fault, error, NULL);
}

/* The id of the material in scratch: the same for the same bytes and key, in each region. */
static int identify(struct cof_kms_call *call, const struct cof_kms_key_row *row,
                    const struct cof_kms_spec *spec, struct cof_kms_import_scratch *scratch,
                    uint8_t ret_id[COF_KMS_MATERIAL_ID_BYTES])
{
    struct coffer_keystore *ks = call->ks;
    struct cof_kms_pack pack = cof_kms_pack_into(scratch->opened, sizeof(scratch->opened));
    struct cof_kms_bytes uuid = {ks->header.uuid, sizeof(ks->header.uuid)}, none = {NULL, 0};
    int error;

    cof_kms_pack_text(&pack, row->key_id);
    cof_kms_pack_text(&pack, spec->name);
    cof_kms_pack_bytes(&pack, ks->secrets->material, spec->material_bytes);
    error = cof_kms_derive(ks->secrets->root_key, uuid, ID_LABEL, none, scratch->subkey,
                           COF_KMS_KEY_BYTES);
    if (error == 0) {
        error = cof_kms_mac(scratch->subkey, cof_kms_packed(&pack), ret_id);
    }
    cof_kms_wipe(scratch->subkey, sizeof(scratch->subkey));
    cof_kms_wipe(scratch->opened, sizeof(scratch->opened));
    return error == 0 ? 0 : cof_kms_fault(call->fault, error, NULL);
}

int cof_kms_import(struct cof_kms_call *call, const struct cof_kms_import *import,
                   struct cof_kms_import_scratch *scratch,
                   uint8_t ret_material_id[COF_KMS_MATERIAL_ID_BYTES])
{
    uint64_t now_ns = cof_kms_wall_ns(&call->ks->env);
    uint8_t id[COF_KMS_MATERIAL_ID_BYTES];
    const struct cof_kms_spec *spec;
    struct cof_kms_key_row row;
    size_t bytes = 0;
    int error = find_importable(call, import->key, "kms:ImportKeyMaterial", &row);

    if (error != 0) {
        return error;
    }
    spec = cof_kms_spec_find(row.key_spec);
    if (spec == NULL) {
        return cof_kms_fault(call->fault, COFFER_E_UNSUPPORTED, "%s is of an unknown spec",
                             row.arn);
    }
    error = check_options(call, import, spec, now_ns);
    if (error == 0) {
        error = open_wrapped(call, import, &row, now_ns, scratch, &bytes);
    }
    if (error == 0) {
        error = take_material(call, spec, scratch->opened, bytes);
    }
    if (error == 0) {
        error = identify(call, &row, spec, scratch, id);
    }
    if (error == 0) {
        error = cof_kms_import_keep(call, import, &row, spec, id);
    }
    cof_kms_wipe(call->ks->secrets->material, sizeof(call->ks->secrets->material));
    if (error == 0) {
        memcpy(ret_material_id, id, sizeof(id));
    }
    return error;
}
