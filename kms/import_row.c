/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/import_row.c - rows of imported material: kept, dropped, expired, and the key's state after.
 *
 * Invariants: only material that the key had comes back under an id it had; a key encrypts and
 * decrypts only while all of its material but what waits for rotation is there; dropping leaves the
 * row, with id and digest, and no sealed bytes. Under the store's lock.
 */
#include "import_row.h"

#include "secret.h"

#include <string.h>

int cof_kms_import_find(struct cof_kms_call *call, const char *key, const char *action,
                        struct cof_kms_key_row *row)
{
    int error = cof_kms_key_find(call, key, true, row);

    if (error == 0) {
        error = cof_kms_authorize(call, row, action);
    }
    if (error == 0 && strcmp(row->origin, "EXTERNAL") != 0) {
        return cof_kms_fault(call->fault, COFFER_E_UNSUPPORTED,
                             "%s has origin %s: only EXTERNAL keys take material", row->arn,
                             row->origin);
    }
    return error;
}

/* ---- the key's state --------------------------------------------------------------------- */

/* What the rows of a key's material come to. */
struct survey {
    uint64_t now_ns;
    unsigned rows;
    uint32_t last_version;
    bool missing;         /* some that encrypted is not there              */
    bool there;           /* some is                                       */
    uint64_t earliest_ns; /* of those that are there; 0: none expires      */
    bool has_pending;
    bool has_expired;
    struct cof_kms_material_row expired; /* the first */
};

static int survey_row(void *ctx, const struct cof_kms_material_row *row)
{
    struct survey *survey = ctx;

    survey->rows++;
    survey->last_version = row->version;
    survey->has_pending |= row->state == COF_KMS_MATERIAL_PENDING_ROTATION;
    if (row->sealed_bytes == 0) {
        survey->missing |= row->state != COF_KMS_MATERIAL_PENDING_ROTATION;
        return 0;
    }
    survey->there = true;
    if (row->valid_to_ns == 0) {
        return 0;
    }
    if (survey->earliest_ns == 0 || row->valid_to_ns < survey->earliest_ns) {
        survey->earliest_ns = row->valid_to_ns;
    }
    if (row->valid_to_ns <= survey->now_ns && !survey->has_expired) {
        survey->has_expired = true;
        survey->expired = *row;
    }
    return 0;
}

static int look(struct cof_kms_call *call, const char *arn, uint64_t now_ns, struct survey *survey)
{
    memset(survey, 0, sizeof(*survey));
    survey->now_ns = now_ns;
    return cof_kms_db_material_each(call->ks->db, arn, 0, 0, survey_row, survey, call->fault);
}

static void set_state(struct cof_kms_key_row *row, bool whole)
{
    if (row->state == COFFER_KEY_PENDING_DELETION) {
        row->resume_state = whole ? COFFER_KEY_IS_DISABLED : COFFER_KEY_PENDING_IMPORT;
    } else if (row->state == COFFER_KEY_PENDING_IMPORT && whole) {
        row->state = COFFER_KEY_ENABLED;
    } else if ((row->state == COFFER_KEY_ENABLED || row->state == COFFER_KEY_IS_DISABLED) &&
               !whole) {
        row->state = COFFER_KEY_PENDING_IMPORT;
    }
}

/* Write what follows for the key from its material. */
static int write_key(struct cof_kms_call *call, struct cof_kms_key_row *row)
{
    struct survey survey;
    const char *model = "";
    int error = look(call, row->arn, 0, &survey);

    if (error != 0) {
        return error;
    }
    if (survey.there) {
        model = survey.earliest_ns != 0 ? COF_KMS_MATERIAL_EXPIRES : COF_KMS_MATERIAL_STAYS;
    }
    memcpy(row->expiration_model, model, strlen(model) + 1);
    row->valid_to_ns = survey.earliest_ns;
    set_state(row, survey.rows > 0 && !survey.missing);
    return cof_kms_db_key_set(call->ks->db, row, call->fault);
}

/* ---- keeping ----------------------------------------------------------------------------- */

static int refuse(struct cof_kms_call *call, const char *why)
{
    return cof_kms_fault(call->fault, COFFER_E_KEY_MATERIAL, "%s", why);
}

/* A replica takes what its primary has, and nothing else. */
static int copy_of_primary(struct cof_kms_call *call, const struct cof_kms_key_row *row,
                           const uint8_t *id, struct cof_kms_material_row *material)
{
    struct cof_kms_owner owner = row->owner;
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    int error;

    memcpy(owner.region, row->primary_region, sizeof(owner.region));
    cof_kms_key_arn(&owner, row->key_id, arn);
    error = cof_kms_db_material_get(call->ks->db, arn, id, material, call->fault);
    if (error == COFFER_E_NOT_FOUND) {
        return refuse(call, "the primary key has no such material: import it there first");
    }
    return error;
}

static bool is_replica(const struct cof_kms_key_row *row)
{
    return row->multi_region && row->primary_region[0] != '\0' &&
           strcmp(row->primary_region, row->owner.region) != 0;
}

/* A row for material that the key has not had. */
static int new_material(struct cof_kms_call *call, const struct cof_kms_import *import,
                        const struct cof_kms_key_row *row, const uint8_t *id,
                        struct cof_kms_material_row *material)
{
    bool asked_new =
        import->import_type != NULL && strcmp(import->import_type, COF_KMS_IMPORT_NEW) == 0;
    bool asked_existing = import->import_type != NULL && !asked_new;
    struct survey survey;
    int error = look(call, row->arn, 0, &survey);

    if (error != 0) {
        return error;
    }
    memset(material, 0, sizeof(*material));
    if (is_replica(row)) {
        error = copy_of_primary(call, row, id, material);
    } else if (asked_existing || import->material_id != NULL || (survey.rows > 0 && !asked_new)) {
        error = refuse(call, survey.rows > 0 ? "this is not the material that the key had: only "
                                               "the same comes back"
                                             : "the key has had no material yet");
    } else if (survey.has_pending) {
        error = cof_kms_fault(call->fault, COFFER_E_KEY_STATE,
                              "%s has new material already: rotate to it, or delete it", row->arn);
    } else {
        material->version = survey.last_version + 1;
        material->state =
            survey.rows > 0 ? COF_KMS_MATERIAL_PENDING_ROTATION : COF_KMS_MATERIAL_CURRENT;
    }
    memcpy(material->id, id, sizeof(material->id));
    memcpy(material->digest, id, sizeof(material->digest));
    material->has_digest = true;
    memcpy(material->key_arn, row->arn, sizeof(material->key_arn));
    memcpy(material->source, "EXTERNAL", sizeof("EXTERNAL"));
    return error;
}

/* The row for id: the one that is there, or a new one. */
static int find_place(struct cof_kms_call *call, const struct cof_kms_import *import,
                      const struct cof_kms_key_row *row, const uint8_t *id,
                      struct cof_kms_material_row *material, bool *ret_there)
{
    char hex[2 * COF_KMS_MATERIAL_ID_BYTES + 1];
    int error = cof_kms_db_material_get(call->ks->db, row->arn, id, material, call->fault);

    cof_kms_hex(id, COF_KMS_MATERIAL_ID_BYTES, hex);
    if (error == COFFER_E_NOT_FOUND) {
        *ret_there = false;
        return new_material(call, import, row, id, material);
    }
    *ret_there = true;
    if (error == 0 &&
        (!material->has_digest || !cof_kms_equal(material->digest, id, sizeof(material->digest)))) {
        return cof_kms_fault(call->fault, COFFER_E_TAMPER,
                             "material of %s has another digest than id", row->arn);
    }
    if (error == 0 && import->import_type != NULL &&
        strcmp(import->import_type, COF_KMS_IMPORT_NEW) == 0) {
        return refuse(call, "the key has had this material before: it is not new");
    }
    if (error == 0 && import->material_id != NULL && strcmp(import->material_id, hex) != 0) {
        return refuse(call, "this is not the material of that KeyMaterialId");
    }
    return error;
}

static int write_public(struct cof_kms_call *call, const struct cof_kms_spec *spec,
                        struct cof_kms_key_row *row)
{
    int error = 0;

    if (cof_kms_spec_is_pair(spec)) {
        error = cof_pair_public(spec, call->ks->secrets->material, row->public_key,
                                &row->public_key_bytes);
    }
    return error == 0 ? 0 : cof_kms_fault(call->fault, error, NULL);
}

int cof_kms_import_keep(struct cof_kms_call *call, const struct cof_kms_import *import,
                        struct cof_kms_key_row *row, const struct cof_kms_spec *spec,
                        const uint8_t id[COF_KMS_MATERIAL_ID_BYTES])
{
    struct cof_kms_db *db = call->ks->db;
    struct cof_kms_material_row material;
    bool there = false;
    int error = find_place(call, import, row, id, &material, &there);

    if (error != 0) {
        return error;
    }
    material.created_ns = cof_kms_wall_ns(&call->ks->env);
    material.valid_to_ns = import->valid_to_ns;
    if (import->description != NULL) {
        memcpy(material.description, import->description, strlen(import->description) + 1);
    }
    error = cof_kms_key_seal(call, row, spec->material_bytes, &material);
    if (error == 0) {
        error = there ? cof_kms_db_material_set(db, &material, call->fault)
                      : cof_kms_db_material_add(db, &material, call->fault);
    }
    if (error == 0) {
        error = cof_kms_material_raise(call, &material);
    }
    if (error == 0 && material.state == COF_KMS_MATERIAL_CURRENT) {
        memcpy(row->material_id, id, sizeof(row->material_id));
        row->has_material = true;
        error = write_public(call, spec, row);
    }
    return error == 0 ? write_key(call, row) : error;
}

/* ---- dropping ---------------------------------------------------------------------------- */

/* Material that waits for its rotation has encrypted nothing: its row goes as well. */
static int drop(struct cof_kms_call *call, struct cof_kms_material_row *material)
{
    int error = cof_kms_material_bury(call, material);

    if (error != 0) {
        return error;
    }
    if (material->state == COF_KMS_MATERIAL_PENDING_ROTATION) {
        return cof_kms_db_material_remove(call->ks->db, material->key_arn, material->id,
                                          call->fault);
    }
    cof_kms_wipe(material->sealed, sizeof(material->sealed));
    material->sealed_bytes = 0;
    material->valid_to_ns = 0;
    return cof_kms_db_material_set(call->ks->db, material, call->fault);
}

static int choose(struct cof_kms_call *call, const struct cof_kms_key_row *row,
                  const char *material_id, uint8_t *ret_id)
{
    if (material_id == NULL) {
        memcpy(ret_id, row->material_id, COF_KMS_MATERIAL_ID_BYTES);
        return 0;
    }
    if (!cof_kms_unhex(material_id, ret_id, COF_KMS_MATERIAL_ID_BYTES)) {
        return cof_kms_fault(call->fault, COFFER_E_INVALID, "KeyMaterialId is 64 hex digits");
    }
    return 0;
}

int cof_kms_import_delete(struct cof_kms_call *call, const char *key, const char *material_id,
                          uint8_t ret_material_id[COF_KMS_MATERIAL_ID_BYTES], bool *ret_had)
{
    struct cof_kms_material_row material;
    uint8_t id[COF_KMS_MATERIAL_ID_BYTES];
    struct cof_kms_key_row row;
    int error = cof_kms_import_find(call, key, "kms:DeleteImportedKeyMaterial", &row);

    if (error == 0 && material_id == NULL && !row.has_material) {
        *ret_had = false;
        return 0;
    }
    if (error == 0) {
        error = choose(call, &row, material_id, id);
    }
    if (error == 0) {
        error = cof_kms_db_material_get(call->ks->db, row.arn, id, &material, call->fault);
    }
    if (error == COFFER_E_NOT_FOUND) {
        return cof_kms_fault(call->fault, COFFER_E_INVALID, "%s has no such material", row.arn);
    }
    if (error == 0 && material.sealed_bytes > 0) {
        error = drop(call, &material);
        if (error == 0) {
            error = write_key(call, &row);
        }
    }
    if (error == 0) {
        memcpy(ret_material_id, id, sizeof(id));
        *ret_had = true;
    }
    return error;
}

int cof_kms_import_expire(struct cof_kms_call *call, struct cof_kms_key_row *row, uint64_t now_ns)
{
    struct survey survey;
    int error;

    do {
        error = look(call, row->arn, now_ns, &survey);
        if (error == 0 && survey.has_expired) {
            error = drop(call, &survey.expired);
        }
    } while (error == 0 && survey.has_expired);
    return error == 0 ? write_key(call, row) : error;
}
