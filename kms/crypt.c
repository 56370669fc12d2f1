/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/crypt.c - encrypt, decrypt, re-encrypt, generate data key and random bytes.
 *
 * Invariants: plaintext and material lie in locked scratch, which leave wipes; re-encrypt's
 * plaintext never leaves it. A key encrypts under its newest material, and decrypts under the one
 * that the blob names. Under the store's lock.
 */
#include "asymmetric.h"
#include "secret.h"
#include "spec.h"
#include "verbs.h"

#include <string.h>

/* ---- parts of verbs ---------------------------------------------------------------------- */

static void fill_used(const struct cof_kms_key_row *row, const uint8_t *material_id,
                      struct cof_kms_used *ret_used)
{
    memset(ret_used, 0, sizeof(*ret_used));
    memcpy(ret_used->arn, row->arn, sizeof(ret_used->arn));
    if (material_id != NULL) {
        memcpy(ret_used->material_id, material_id, sizeof(ret_used->material_id));
        ret_used->has_material_id = true;
    }
}

static bool is_symmetric(const struct cof_kms_key_row *row)
{
    return strcmp(row->key_spec, COF_KMS_SPEC_DEFAULT) == 0;
}

/* 0 when row's key, in its state, encrypts and decrypts by algorithm. */
static int check_use(struct cof_kms_call *call, const struct cof_kms_key_row *row,
                     const char *algorithm)
{
    const char *name = algorithm == NULL ? COF_KMS_SPEC_DEFAULT : algorithm;
    const struct cof_kms_spec *spec = cof_kms_spec_find(row->key_spec);
    int error = cof_kms_key_usable(call, row);

    if (error == 0 &&
        (strcmp(row->key_usage, COF_KMS_USAGE_ENCRYPT) != 0 || spec == NULL ||
         cof_kms_algorithm_find(spec, COF_KMS_USAGE_ENCRYPT, name) == NULL)) {
        return cof_kms_fault(call->fault, COFFER_E_KEY_USAGE,
                             "%s is a %.31s key for %.31s, and not for %.31s", row->key_id,
                             row->key_spec, row->key_usage, name);
    }
    return error;
}

/* Seal plaintext under the key of a row that was found, allowed and checked. */
static int seal_under(struct cof_kms_call *call, const struct cof_kms_key_row *row,
                      const char *algorithm, struct cof_kms_bytes plaintext,
                      struct coffer_key_blob *blob, struct cof_kms_used *used)
{
    struct cof_kms_secrets *secrets = call->ks->secrets;
    struct cof_kms_material material;
    int error;

    if (!is_symmetric(row)) {
        fill_used(row, NULL, used);
        return cof_kms_rsa_encrypt(call, row, algorithm, plaintext, blob->bytes,
                                   &blob->length_bytes);
    }
    error = cof_kms_key_open(call, row, row->material_id, &material);
    if (error != 0) {
        return error;
    }
    error = cof_kms_blob_seal(&call->ks->env, &material, row->arn, call->context, plaintext,
                              secrets->subkey, blob);
    cof_kms_wipe(secrets->material, sizeof(secrets->material));
    fill_used(row, row->material_id, used);
    return error == 0 ? 0 : cof_kms_fault(call->fault, error, NULL);
}

static int find_for(struct cof_kms_call *call, const char *key, const char *action,
                    const char *algorithm, struct cof_kms_key_row *row)
{
    int error = cof_kms_key_find(call, key, false, row);

    if (error == 0) {
        error = cof_kms_authorize(call, row, action);
    }
    return error == 0 ? check_use(call, row, algorithm) : error;
}

/* ---- opening ----------------------------------------------------------------------------- */

/* Whether the key may have made a blob that names arn: it is that key, or a replica of it. */
static bool is_kin(const struct cof_kms_key_row *row, const char *arn)
{
    return strcmp(row->arn, arn) == 0 ||
           (row->multi_region && strcmp(row->key_id, cof_kms_arn_key_id(arn)) == 0);
}

/* The ARN, in the call's region, of the key that a blob names: of a multi-Region key any region's
 * ARN means the one here. */
static int name_here(struct cof_kms_call *call, const char *arn, char *ret_arn)
{
    struct cof_kms_owner of_blob = call->owner;
    struct cof_kms_key_ref ref;
    const char *id = cof_kms_arn_key_id(arn);
    size_t region_bytes = 0;
    const char *region = strstr(arn, ":kms:");
    int error;

    if (region != NULL && cof_kms_is_multi_region_id(id)) {
        region += 5;
        region_bytes = strcspn(region, ":");
    }
    if (region_bytes > 0 && region_bytes < sizeof(of_blob.region)) {
        memcpy(of_blob.region, region, region_bytes);
        of_blob.region[region_bytes] = '\0';
    }
    error = cof_kms_key_parse(&of_blob, arn, &ref, call->fault);
    if (error == 0 && (ref.is_alias || !ref.is_arn)) {
        error = COFFER_E_KEY_NOT_FOUND;
    }
    if (error == 0) {
        memcpy(ref.owner.region, call->owner.region, sizeof(ref.owner.region));
        cof_kms_key_arn(&ref.owner, ref.key_id, ret_arn);
    }
    return error;
}

/* The key that the blob names, KEY_NOT_FOUND when there is none. */
static int find_blob_key(struct cof_kms_call *call, const char *named, struct cof_kms_key_row *row)
{
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    int error = name_here(call, named, arn);

    if (error == 0) {
        error = cof_kms_key_get(call, arn, row);
    }
    return error == COFFER_E_ARN ? COFFER_E_KEY_NOT_FOUND : error;
}

/* What policies may ask of ReEncrypt: whether it stays under the same key. */
static void note_same_key(struct cof_kms_call *call, const struct cof_kms_key_row *source)
{
    if (call->re_encrypt_to != NULL) {
        cof_kms_call_condition(call, "kms:ReEncryptOnSameKey",
                               strcmp(source->arn, call->re_encrypt_to) == 0 ? "true" : "false");
    }
}

/* Find the key to open view with: the one given, which must be the blob's, or the blob's. */
static int choose_key(struct cof_kms_call *call, const struct cof_kms_decrypt *params,
                      const char *action, const struct cof_kms_blob_view *view,
                      struct cof_kms_key_row *row)
{
    int error = params->key == NULL ? find_blob_key(call, view->arn, row)
                                    : cof_kms_key_find(call, params->key, false, row);

    if (error == 0) {
        memcpy(call->arn, row->arn, sizeof(call->arn));
        note_same_key(call, row);
        error = cof_kms_authorize(call, row, action);
    }
    if (params->key == NULL && (error == COFFER_E_KEY_NOT_FOUND || error == COFFER_E_KEY_ACCESS)) {
        /* The same answer in each case, so that nobody learns which keys there are. */
        return cof_kms_fault(call->fault, COFFER_E_KEY_ACCESS,
                             "The ciphertext refers to a customer master key that does not exist, "
                             "does not exist in this region, or you are not allowed to access.");
    }
    if (error == 0) {
        error = check_use(call, row, params->algorithm);
    }
    if (error == 0 && !is_kin(row, view->arn)) {
        return cof_kms_fault(call->fault, COFFER_E_KEY_INCORRECT,
                             "the ciphertext was not made under %s: name its own key", row->arn);
    }
    return error;
}

static int open_symmetric(struct cof_kms_call *call, const struct cof_kms_decrypt *params,
                          const char *action, struct cof_kms_bytes context,
                          struct cof_kms_key_row *row, size_t *ret_bytes,
                          struct cof_kms_used *used)
{
    struct cof_kms_secrets *secrets = call->ks->secrets;
    struct cof_kms_material material;
    struct cof_kms_blob_view view;
    int error = cof_kms_blob_parse(params->blob, &view);

    if (error != 0) {
        return cof_kms_fault(call->fault, error,
                             "these %zu bytes are no ciphertext of this service, or are damaged",
                             params->blob.length_bytes);
    }
    error = choose_key(call, params, action, &view, row);
    if (error == 0) {
        error = cof_kms_key_open(call, row, view.material_id, &material);
    }
    if (error != 0) {
        return error;
    }
    error = cof_kms_blob_open(&material, &view, context, secrets->subkey, secrets->plaintext);
    cof_kms_wipe(secrets->material, sizeof(secrets->material));
    if (error == COFFER_E_KEY_CIPHERTEXT) {
        return cof_kms_fault(call->fault, error,
                             "the ciphertext is damaged or its encryption context is not this one");
    }
    fill_used(row, view.material_id, used);
    *ret_bytes = view.ciphertext.length_bytes;
    return error == 0 ? 0 : cof_kms_fault(call->fault, error, NULL);
}

/* Open params->blob into secrets->plaintext. */
static int open_blob(struct cof_kms_call *call, const struct cof_kms_decrypt *params,
                     const char *action, struct cof_kms_bytes context, size_t *ret_bytes,
                     struct cof_kms_used *used)
{
    struct cof_kms_key_row row;
    int error;

    if (params->algorithm == NULL || strcmp(params->algorithm, COF_KMS_SPEC_DEFAULT) == 0) {
        return open_symmetric(call, params, action, context, &row, ret_bytes, used);
    }
    if (params->key == NULL) {
        return cof_kms_fault(call->fault, COFFER_E_INVALID,
                             "a ciphertext of %.40s does not name its key: give it",
                             params->algorithm);
    }
    error = cof_kms_key_find(call, params->key, false, &row);
    if (error == 0) {
        note_same_key(call, &row);
        error = cof_kms_authorize(call, &row, action);
    }
    if (error == 0) {
        error = check_use(call, &row, params->algorithm);
    }
    if (error == 0) {
        fill_used(&row, NULL, used);
        error = cof_kms_rsa_decrypt(call, &row, params->algorithm, params->blob, ret_bytes);
    }
    return error;
}

/* ---- verbs ------------------------------------------------------------------------------- */

int cof_kms_encrypt(struct cof_kms_call *call, const struct cof_kms_encrypt *params,
                    struct coffer_key_blob *ret_blob, struct cof_kms_used *ret_used)
{
    size_t bytes = params->plaintext.length_bytes;
    struct cof_kms_key_row row;
    int error = cof_kms_call_context(call, 0, params->context);

    if (error == 0 && (bytes == 0 || bytes > COFFER_PLAINTEXT_BYTES_MAX)) {
        error = cof_kms_fault(call->fault, COFFER_E_INVALID,
                              "Encrypt takes 1 to %u bytes and got %zu: encrypt more under a data "
                              "key", COFFER_PLAINTEXT_BYTES_MAX, bytes);
    }
    if (error == 0) {
        error = find_for(call, params->key, "kms:Encrypt", params->algorithm, &row);
    }
    return error == 0 ? seal_under(call, &row, params->algorithm, params->plaintext, ret_blob,
                                   ret_used)
                      : error;
}

int cof_kms_decrypt(struct cof_kms_call *call, const struct cof_kms_decrypt *params,
                    size_t *ret_plaintext_bytes, struct cof_kms_used *ret_used)
{
    int error = cof_kms_call_context(call, 0, params->context);

    return error == 0 ? open_blob(call, params, "kms:Decrypt", call->context, ret_plaintext_bytes,
                                  ret_used)
                      : error;
}

int cof_kms_re_encrypt(struct cof_kms_call *call, const struct cof_kms_re_encrypt *params,
                       struct coffer_key_blob *ret_blob, struct cof_kms_used *ret_source,
                       struct cof_kms_used *ret_used)
{
    struct cof_kms_bytes plaintext = {call->ks->secrets->plaintext, 0};
    char destination[COFFER_KEY_ARN_BYTES_MAX];
    struct cof_kms_key_row row;
    int error = cof_kms_call_context(call, 0, params->context);

    if (error == 0) {
        error = cof_kms_call_context(call, 1, params->source.context);
    }
    if (error == 0) {
        error = cof_kms_key_find(call, params->key, false, &row);
    }
    if (error == 0) {
        memcpy(destination, row.arn, sizeof(destination));
        memset(call->arn, 0, sizeof(call->arn));
        call->re_encrypt_to = destination;
        error = open_blob(call, &params->source, "kms:ReEncryptFrom", call->source_context,
                          &plaintext.length_bytes, ret_source);
    }
    call->re_encrypt_to = NULL;
    memcpy(call->source_arn, call->arn, sizeof(call->source_arn));
    memset(call->arn, 0, sizeof(call->arn));
    if (error == 0) {
        error = find_for(call, params->key, "kms:ReEncryptTo", params->algorithm, &row);
    }
    if (error == 0) {
        error = seal_under(call, &row, params->algorithm, plaintext, ret_blob, ret_used);
    }
    cof_kms_wipe(call->ks->secrets->plaintext, sizeof(call->ks->secrets->plaintext));
    return error;
}

static int draw(struct cof_kms_call *call, size_t bytes)
{
    if (bytes == 0 || bytes > COFFER_DATA_KEY_BYTES_MAX) {
        return cof_kms_fault(call->fault, COFFER_E_INVALID, "%s gives 1 to %u bytes, not %zu",
                             call->event, COFFER_DATA_KEY_BYTES_MAX, bytes);
    }
    return cof_kms_random(&call->ks->env, call->ks->secrets->plaintext, bytes) == 0
               ? 0
               : cof_kms_fault(call->fault, COFFER_E_CRYPTO, NULL);
}

int cof_kms_generate_data_key(struct cof_kms_call *call, const char *key, size_t bytes,
                              const struct coffer_context *context,
                              struct coffer_key_blob *ret_blob, struct cof_kms_used *ret_used)
{
    struct cof_kms_bytes plaintext = {call->ks->secrets->plaintext, bytes};
    bool shown = strcmp(call->event, "GenerateDataKey") == 0;
    struct cof_kms_key_row row;
    int error = cof_kms_call_context(call, 0, context);

    if (error == 0) {
        error = draw(call, bytes);
    }
    if (error == 0) {
        error = find_for(call, key,
                         shown ? "kms:GenerateDataKey" : "kms:GenerateDataKeyWithoutPlaintext",
                         NULL, &row);
    }
    return error == 0 ? seal_under(call, &row, NULL, plaintext, ret_blob, ret_used) : error;
}

int cof_kms_generate_random(struct cof_kms_call *call, size_t bytes)
{
    int error = cof_kms_authorize(call, NULL, "kms:GenerateRandom");

    return error == 0 ? draw(call, bytes) : error;
}
