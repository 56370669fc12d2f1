/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/rotation.c - new material for a key: by itself after a period, or when it is asked for.
 *
 * Invariant: material that was rotated out stays, so that what it encrypted opens for ever; new
 * data is encrypted under what the key's row names. Under the store's lock.
 */
#include "secret.h"
#include "verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- who can rotate ---------------------------------------------------------------------- */

static int check_kind(struct cof_kms_call *call, const struct cof_kms_key_row *row, bool imported)
{
    bool own = strcmp(row->origin, COF_KMS_ORIGIN_OWN) == 0 ||
               (imported && strcmp(row->origin, COF_KMS_ORIGIN_IMPORT) == 0);

    if (strcmp(row->key_spec, COF_KMS_SPEC_DEFAULT) != 0 || !own || row->key_store_id[0] != '\0') {
        return cof_kms_fault(call->fault, COFFER_E_UNSUPPORTED,
                             "a %.31s key of origin %.19s does not rotate: make a new key, and "
                             "turn its alias", row->key_spec, row->origin);
    }
    if (cof_kms_key_is_replica(row)) {
        return cof_kms_fault(call->fault, COFFER_E_UNSUPPORTED,
                             "%s is a replica, which rotates with its primary in %s", row->key_id,
                             row->primary_region);
    }
    if (row->managed) {
        return cof_kms_fault(call->fault, COFFER_E_UNSUPPORTED,
                             "%s is a managed key, which the service rotates every year",
                             row->key_id);
    }
    return 0;
}

int cof_kms_rotation_check(struct cof_kms_call *call, const struct cof_kms_key_row *row,
                           uint32_t period_days)
{
    if (period_days < COF_KMS_ROTATION_DAYS_MIN || period_days > COF_KMS_ROTATION_DAYS_MAX) {
        return cof_kms_fault(call->fault, COFFER_E_INVALID,
                             "a key rotates every %u to %u days, not every %u",
                             COF_KMS_ROTATION_DAYS_MIN, COF_KMS_ROTATION_DAYS_MAX, period_days);
    }
    return check_kind(call, row, false);
}

/* Find the key, by id or ARN, for a change of its rotation. */
static int find_rotatable(struct cof_kms_call *call, const char *key, const char *action,
                          bool imported, struct cof_kms_key_row *row)
{
    int error = cof_kms_key_find(call, key, true, row);

    if (error == 0) {
        error = cof_kms_authorize(call, row, action);
    }
    if (error == 0) {
        error = check_kind(call, row, imported);
    }
    return error == 0 ? cof_kms_key_usable(call, row) : error;
}

/* ---- the rotation itself ----------------------------------------------------------------- */

/* The material that encrypts now will only decrypt. */
static int retire_current(struct cof_kms_call *call, const struct cof_kms_key_row *row)
{
    struct cof_kms_material_row material;
    int error = cof_kms_db_material_get(call->ks->db, row->arn, row->material_id, &material,
                                        call->fault);

    material.state = COF_KMS_MATERIAL_NON_CURRENT;
    return error == 0 ? cof_kms_db_material_set(call->ks->db, &material, call->fault) : error;
}

static int draw_next(struct cof_kms_call *call, const struct cof_kms_key_row *row,
                     const char *kind, struct cof_kms_material_row *material)
{
    struct coffer_keystore *ks = call->ks;
    uint64_t versions = 0;
    int error = cof_kms_db_material_count(ks->db, row->arn, &versions, call->fault);

    if (error != 0) {
        return error;
    }
    memset(material, 0, sizeof(*material));
    memcpy(material->key_arn, row->arn, sizeof(material->key_arn));
    material->version = (uint32_t)versions + 1;
    memcpy(material->source, COF_KMS_ORIGIN_OWN, sizeof(COF_KMS_ORIGIN_OWN));
    (void)snprintf(material->rotation, sizeof(material->rotation), "%s", kind);
    material->created_ns = cof_kms_wall_ns(&ks->env);
    material->rotated_ns = material->created_ns;
    error = cof_kms_random(&ks->env, material->id, sizeof(material->id));
    if (error == 0) {
        error = cof_kms_random(&ks->env, ks->secrets->material, COF_KMS_KEY_BYTES);
    }
    error = error == 0 ? cof_kms_key_seal(call, row, COF_KMS_KEY_BYTES, material)
                       : cof_kms_fault(call->fault, error, NULL);
    cof_kms_wipe(ks->secrets->material, COF_KMS_KEY_BYTES);
    return error == 0 ? cof_kms_db_material_add(ks->db, material, call->fault) : error;
}

static int visit_pending(void *ctx, const struct cof_kms_material_row *row)
{
    struct cof_kms_material_row *pending = ctx;

    if (row->state == COF_KMS_MATERIAL_PENDING_ROTATION && row->sealed_bytes > 0) {
        *pending = *row;
    }
    return 0;
}

/* Imported material that waits for its rotation takes over. */
static int take_pending(struct cof_kms_call *call, const struct cof_kms_key_row *row,
                        const char *kind, struct cof_kms_material_row *material)
{
    int error;

    memset(material, 0, sizeof(*material));
    error = cof_kms_db_material_each(call->ks->db, row->arn, 0, 0, visit_pending, material,
                                     call->fault);
    if (error == 0 && material->sealed_bytes == 0) {
        return cof_kms_fault(call->fault, COFFER_E_KEY_STATE,
                             "%s has no imported material that waits for a rotation: import new "
                             "material first", row->key_id);
    }
    if (error != 0) {
        return error;
    }
    material->state = COF_KMS_MATERIAL_CURRENT;
    material->rotated_ns = cof_kms_wall_ns(&call->ks->env);
    (void)snprintf(material->rotation, sizeof(material->rotation), "%s", kind);
    return cof_kms_db_material_set(call->ks->db, material, call->fault);
}

int cof_kms_rotate(struct cof_kms_call *call, struct cof_kms_key_row *row, const char *kind)
{
    struct cof_kms_material_row material;
    bool own = strcmp(row->origin, COF_KMS_ORIGIN_OWN) == 0;
    int error = own ? draw_next(call, row, kind, &material)
                    : take_pending(call, row, kind, &material);

    if (error == 0) {
        error = retire_current(call, row);
    }
    if (error != 0) {
        return error;
    }
    memcpy(row->material_id, material.id, sizeof(row->material_id));
    error = cof_kms_db_key_set(call->ks->db, row, call->fault);
    return error == 0 ? cof_kms_replicas_follow(call, row) : error;
}

/* A replica's schedule is its primary's. */
static int take_schedule(struct cof_kms_call *call, struct cof_kms_key_row *row)
{
    struct cof_kms_key_row primary;
    int error = cof_kms_primary_get(call, row, &primary);

    if (error == 0) {
        row->rotation_period_days = primary.rotation_period_days;
        row->next_rotation_ns = primary.next_rotation_ns;
    }
    return error == COFFER_E_KEY_NOT_FOUND ? 0 : error;
}

/* ---- verbs ------------------------------------------------------------------------------- */

int cof_kms_enable_key_rotation(struct cof_kms_call *call, const char *key, uint32_t period_days)
{
    struct cof_kms_key_row row;
    uint32_t days = period_days;
    int error;

    (void)snprintf(call->number, sizeof(call->number), "%u",
                   days == 0 ? COF_KMS_ROTATION_DAYS_DEFAULT : days);
    cof_kms_call_condition(call, "kms:RotationPeriodInDays", call->number);
    error = find_rotatable(call, key, "kms:EnableKeyRotation", false, &row);
    if (error != 0) {
        return error;
    }
    if (days == 0) {
        days = row.rotation_period_days == 0 ? COF_KMS_ROTATION_DAYS_DEFAULT
                                             : row.rotation_period_days;
    }
    error = cof_kms_rotation_check(call, &row, days);
    if (error != 0 || (row.next_rotation_ns != 0 && row.rotation_period_days == days)) {
        return error;
    }
    row.rotation_period_days = days;
    row.next_rotation_ns = cof_kms_wall_ns(&call->ks->env) + days * COF_KMS_DAY_NS;
    return cof_kms_db_key_set(call->ks->db, &row, call->fault);
}

int cof_kms_disable_key_rotation(struct cof_kms_call *call, const char *key)
{
    struct cof_kms_key_row row;
    int error = find_rotatable(call, key, "kms:DisableKeyRotation", false, &row);

    if (error != 0) {
        return error;
    }
    row.rotation_period_days = 0;
    row.next_rotation_ns = 0;
    return cof_kms_db_key_set(call->ks->db, &row, call->fault);
}

int cof_kms_get_key_rotation_status(struct cof_kms_call *call, const char *key,
                                    struct cof_kms_key_row *ret_row)
{
    int error = cof_kms_key_find(call, key, true, ret_row);

    if (error == 0) {
        error = cof_kms_authorize(call, ret_row, "kms:GetKeyRotationStatus");
    }
    if (error == 0 && strcmp(ret_row->key_spec, COF_KMS_SPEC_DEFAULT) != 0) {
        return cof_kms_fault(call->fault, COFFER_E_UNSUPPORTED, "a %.31s key does not rotate",
                             ret_row->key_spec);
    }
    if (error == 0 && cof_kms_key_is_replica(ret_row)) {
        error = take_schedule(call, ret_row);
    }
    if (error == 0 && ret_row->state == COFFER_KEY_PENDING_DELETION) {
        /* It comes back with the key, when the deletion is cancelled. */
        ret_row->rotation_period_days = 0;
        ret_row->next_rotation_ns = 0;
    }
    return error;
}

static int count_on_demand(void *ctx, const struct cof_kms_material_row *row)
{
    *(unsigned *)ctx += strcmp(row->rotation, "ON_DEMAND") == 0;
    return 0;
}

int cof_kms_rotate_key_on_demand(struct cof_kms_call *call, const char *key,
                                 struct cof_kms_key_row *ret_row)
{
    unsigned rotations = 0;
    int error = find_rotatable(call, key, "kms:RotateKeyOnDemand", true, ret_row);

    if (error == 0) {
        error = cof_kms_db_material_each(call->ks->db, ret_row->arn, 0, 0, count_on_demand,
                                         &rotations, call->fault);
    }
    if (error == 0 && rotations >= COF_KMS_ON_DEMAND_ROTATIONS_MAX) {
        return cof_kms_fault(call->fault, COFFER_E_LIMIT,
                             "the key was rotated on demand %u times, its limit", rotations);
    }
    return error == 0 ? cof_kms_rotate(call, ret_row, "ON_DEMAND") : error;
}

struct rotation_visit {
    struct cof_kms_lister lister;
    bool all;
    int (*visit)(void *ctx, const struct cof_kms_material_row *row);
    void *ctx;
};

static int visit_material(void *ctx, const struct cof_kms_material_row *row)
{
    struct rotation_visit *rotations = ctx;
    char version[16];

    if (!rotations->all && row->rotated_ns == 0) {
        return 0;
    }
    (void)snprintf(version, sizeof(version), "%u", row->version);
    return !rotations->lister.more && cof_kms_lister_takes(&rotations->lister, version)
               ? rotations->visit(rotations->ctx, row)
               : 0;
}

int cof_kms_list_key_rotations(struct cof_kms_call *call, const char *key, bool all_materials,
                               struct cof_kms_page *page,
                               int (*visit)(void *ctx, const struct cof_kms_material_row *row),
                               void *ctx)
{
    struct rotation_visit rotations = {.all = all_materials, .visit = visit, .ctx = ctx};
    struct cof_kms_key_row row;
    int error = cof_kms_key_find(call, key, true, &row);

    if (error == 0) {
        error = cof_kms_authorize(call, &row, "kms:ListKeyRotations");
    }
    if (error == 0 && strcmp(row.key_spec, COF_KMS_SPEC_DEFAULT) != 0) {
        return cof_kms_fault(call->fault, COFFER_E_UNSUPPORTED, "a %.31s key does not rotate",
                             row.key_spec);
    }
    if (error == 0) {
        error = cof_kms_lister_open(call, page, row.arn, &rotations.lister);
    }
    if (error == 0) {
        /* Which materials count is seen here, so the rows are asked without a limit. */
        error = cof_kms_db_material_each(
            call->ks->db, row.arn, (uint32_t)strtoul(rotations.lister.after, NULL, 10), 0,
            visit_material, &rotations, call->fault);
    }
    return error == 0 ? cof_kms_lister_close(&rotations.lister) : error;
}
