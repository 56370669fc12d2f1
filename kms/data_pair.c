/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/data_pair.c - GenerateDataKeyPair: a pair for its caller, whose private half is given out
 * encrypted under a key of the service.
 *
 * Invariant: the private half is in secret memory until it has been encrypted, and in the call's
 * scratch for the answer. The drawing is outside of the store's lock; the rest under it.
 */
#include "asymmetric.h"

#include "secret.h"

#include <stdio.h>
#include <string.h>

int cof_kms_data_pair_draw(const char *spec_name, uint8_t *private_half,
                           struct cof_kms_data_pair *pair)
{
    const struct cof_kms_spec *spec = cof_kms_spec_find(spec_name);
    int error;

    if (spec == NULL || !cof_kms_spec_is_pair(spec)) {
        return COFFER_E_UNSUPPORTED;
    }
    error = cof_pair_generate(spec, private_half);
    pair->spec = spec;
    return error == 0 ? cof_pair_public(spec, private_half, pair->public_half, &pair->public_bytes)
                      : error;
}

/* The key that encrypts, by which only symmetric keys may. */
static int find_key(struct cof_kms_call *call, const char *key, struct cof_kms_key_row *row,
                    struct cof_kms_material *material)
{
    char action[64];
    int error = cof_kms_key_find(call, key, false, row);

    (void)snprintf(action, sizeof(action), "kms:%s", call->event);
    if (error == 0) {
        error = cof_kms_authorize(call, row, action);
    }
    if (error == 0) {
        error = cof_kms_key_usable(call, row);
    }
    if (error == 0 && strcmp(row->key_spec, "SYMMETRIC_DEFAULT") != 0) {
        return cof_kms_fault(call->fault, COFFER_E_KEY_USAGE,
                             "%s is a %s key: data key pairs are encrypted under symmetric ones",
                             row->key_id, row->key_spec);
    }
    return error == 0 ? cof_kms_key_open(call, row, row->material_id, material) : error;
}

int cof_kms_data_pair_seal(struct cof_kms_call *call, const char *key, const uint8_t *private_half,
                           const struct coffer_context *context, struct cof_kms_data_pair *pair)
{
    struct cof_kms_secrets *secrets = call->ks->secrets;
    struct cof_kms_bytes plaintext = {secrets->plaintext, 0};
    struct cof_kms_material material;
    struct cof_kms_key_row row;
    int error = cof_kms_call_context(call, 0, context);

    if (error == 0) {
        error = find_key(call, key, &row, &material);
    }
    if (error != 0) {
        return error;
    }
    error =
        cof_pair_to_pkcs8(pair->spec, private_half, secrets->plaintext, &plaintext.length_bytes);
    if (error == 0) {
        error = cof_kms_blob_seal(&call->ks->env, &material, row.arn, call->context, plaintext,
                                  secrets->subkey, &pair->blob);
    }
    cof_kms_wipe(secrets->material, sizeof(secrets->material));
    if (error != 0) {
        return cof_kms_fault(call->fault, error, NULL);
    }
    pair->private_bytes = plaintext.length_bytes;
    memcpy(pair->used.arn, row.arn, sizeof(pair->used.arn));
    memcpy(pair->used.material_id, row.material_id, sizeof(pair->used.material_id));
    pair->used.has_material_id = true;
    return 0;
}
