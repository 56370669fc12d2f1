/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/material.c - the secret bytes of keys: drawn, sealed, unsealed.
 *
 * Invariants: material exists in clear in locked scratch only, from its unsealing to the end of the
 * call; what binds it (store, owner, key, version) is checked by its seal. Under the store's lock.
 */
#include "kms.h"

#include "pack.h"
#include "pair/pair.h"
#include "secret.h"
#include "token_key.h"

#include <string.h>

#define MATERIAL_LABEL "coffer/kms/material/1"
#define MATERIAL_AAD_BYTES_MAX 512u

static struct cof_kms_bytes pack_material(const struct coffer_keystore *ks,
                                          const struct cof_kms_key_row *key,
                                          const struct cof_kms_material_row *row, uint8_t *buffer)
{
    struct cof_kms_pack pack = cof_kms_pack_into(buffer, MATERIAL_AAD_BYTES_MAX);

    cof_kms_pack_text(&pack, MATERIAL_LABEL);
    cof_kms_pack_bytes(&pack, ks->header.uuid, sizeof(ks->header.uuid));
    cof_kms_pack_text(&pack, key->owner.account);
    cof_kms_pack_text(&pack, key->owner.region);
    cof_kms_pack_text(&pack, key->key_id);
    cof_kms_pack_text(&pack, key->key_spec);
    cof_kms_pack_text(&pack, key->key_usage);
    cof_kms_pack_bytes(&pack, row->id, sizeof(row->id));
    cof_kms_pack_u32(&pack, row->version);
    cof_kms_pack_text(&pack, row->source);
    cof_kms_pack_u64(&pack, row->created_ns);
    return cof_kms_packed(&pack);
}

static struct cof_kms_sealed_place material_place(const struct coffer_keystore *ks,
                                                  const struct cof_kms_material_row *row,
                                                  struct cof_kms_bytes aad)
{
    struct cof_kms_sealed_place place = {MATERIAL_LABEL,
                                         {row->id, sizeof(row->id)},
                                         {ks->header.uuid, sizeof(ks->header.uuid)},
                                         aad};

    return place;
}

int cof_kms_key_material(struct cof_kms_call *call, const struct cof_kms_key_row *row,
                         const uint8_t *material_id)
{
    struct coffer_keystore *ks = call->ks;
    uint8_t aad[MATERIAL_AAD_BYTES_MAX];
    struct cof_kms_material_row material;
    struct cof_kms_sealed_place place;
    int error = cof_kms_db_material_get(ks->db, row->arn, material_id, &material, call->fault);

    if (error == COFFER_E_NOT_FOUND) {
        /* The key's own row names material that must be there; a blob may name any. */
        bool current = memcmp(material_id, row->material_id, sizeof(row->material_id)) == 0;

        return cof_kms_fault(call->fault, current ? COFFER_E_TAMPER : COFFER_E_KEY_CIPHERTEXT,
                             current ? "material of key %.40s is missing: restore the file"
                                     : "the ciphertext names material that key %.40s never had",
                             row->key_id);
    }
    if (error != 0) {
        return error;
    }
    if (material.sealed_bytes == 0) {
        return cof_kms_fault(call->fault, COFFER_E_KEY_STATE,
                             "material of key %.40s was deleted or has expired: import it again",
                             row->key_id);
    }
    place = material_place(ks, &material, pack_material(ks, row, &material, aad));
    error = cof_kms_sealed_open(ks->secrets->root_key, &place,
                                (struct cof_kms_bytes){material.sealed, material.sealed_bytes},
                                ks->secrets->subkey, ks->secrets->material);
    if (error == COFFER_E_COMMIT || error == COFFER_E_TAMPER) {
        return cof_kms_fault(call->fault, COFFER_E_TAMPER,
                             "material of key %.40s was altered: restore the file from a copy",
                             row->key_id);
    }
    return error == 0 ? 0 : cof_kms_fault(call->fault, error, NULL);
}

int cof_kms_key_open(struct cof_kms_call *call, const struct cof_kms_key_row *row,
                     const uint8_t *material_id, struct cof_kms_material *ret_material)
{
    memcpy(ret_material->id, material_id, sizeof(ret_material->id));
    ret_material->key = call->ks->secrets->material;
    ret_material->derive = NULL;
    ret_material->ctx = call;
    return row->key_store_id[0] == '\0' ? cof_kms_key_material(call, row, material_id)
                                        : cof_kms_token_key_open(call, row, ret_material);
}

int cof_kms_key_seal(struct cof_kms_call *call, const struct cof_kms_key_row *row,
                     size_t secret_bytes, struct cof_kms_material_row *material)
{
    struct coffer_keystore *ks = call->ks;
    struct cof_kms_bytes secret = {ks->secrets->material, secret_bytes};
    uint8_t aad[MATERIAL_AAD_BYTES_MAX];
    struct cof_kms_sealed_place place =
        material_place(ks, material, pack_material(ks, row, material, aad));
    int error = secret_bytes > COF_KMS_MATERIAL_BYTES_MAX ? COFFER_E_INTERNAL : 0;

    if (error == 0) {
        error = cof_kms_sealed_make(&ks->env, ks->secrets->root_key, &place, secret,
                                    ks->secrets->subkey, material->sealed);
    }
    if (error != 0) {
        return cof_kms_fault(call->fault, error, NULL);
    }
    material->sealed_bytes = COF_KMS_SEALED_OVERHEAD_BYTES + secret_bytes;
    return 0;
}

/* Draw what a key of spec is made of into scratch. */
static int draw_secret(struct coffer_keystore *ks, const struct cof_kms_spec *spec)
{
    return cof_kms_spec_is_pair(spec)
               ? cof_pair_generate(spec, ks->secrets->material)
               : cof_kms_random(&ks->env, ks->secrets->material, spec->material_bytes);
}

/* The public half of a pair stands in the key's row. */
static int put_public(struct cof_kms_call *call, const struct cof_kms_spec *spec,
                      struct cof_kms_key_row *row)
{
    int error = cof_pair_public(spec, call->ks->secrets->material, row->public_key,
                                &row->public_key_bytes);

    return error == 0 ? cof_kms_db_key_set(call->ks->db, row, call->fault)
                      : cof_kms_fault(call->fault, error, NULL);
}

int cof_kms_key_draw(struct cof_kms_call *call, struct cof_kms_key_row *row)
{
    const struct cof_kms_spec *spec = cof_kms_spec_find(row->key_spec);
    struct coffer_keystore *ks = call->ks;
    struct cof_kms_material_row material;
    int error;

    if (spec == NULL) {
        return cof_kms_fault(call->fault, COFFER_E_UNSUPPORTED, "there are no %.31s keys",
                             row->key_spec);
    }
    memset(&material, 0, sizeof(material));
    memcpy(material.id, row->material_id, sizeof(material.id));
    memcpy(material.key_arn, row->arn, sizeof(material.key_arn));
    material.version = 1;
    memcpy(material.source, "AWS_KMS", sizeof("AWS_KMS"));
    material.created_ns = row->created_ns;
    error = draw_secret(ks, spec);
    if (error != 0) {
        return cof_kms_fault(call->fault, error, NULL);
    }
    error = cof_kms_key_seal(call, row, spec->material_bytes, &material);
    if (error == 0 && cof_kms_spec_is_pair(spec)) {
        error = put_public(call, spec, row);
    }
    cof_kms_wipe(ks->secrets->material, sizeof(ks->secrets->material));
    return error == 0 ? cof_kms_db_material_add(ks->db, &material, call->fault) : error;
}
