/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/burial.c - what was destroyed stays so: the ledger and the store's tombstones agree.
 *
 * The ledger is written first: a crash in between leaves something noted as destroyed that still is
 * there, and the next open destroys it. An older copy of the store is the same case. Under the
 * store's lock, or before the store is shared.
 */
#include "ledger.h"
#include "verbs.h"

#include <string.h>

static const uint8_t whole_key[COF_KMS_MATERIAL_ID_BYTES];

/* ---- material ---------------------------------------------------------------------------- */

int cof_kms_material_bury(struct cof_kms_call *call, const struct cof_kms_material_row *material)
{
    struct cof_kms_tombstone_row dead;
    int error;

    if (call->caller.dry_run) {
        /* The ledger is outside of the transaction that will be undone. */
        return 0;
    }
    if (!call->alone) {
        return cof_kms_fault(call->fault, COFFER_E_INTERNAL, NULL);
    }
    memset(&dead, 0, sizeof(dead));
    memcpy(dead.arn, material->key_arn, sizeof(dead.arn));
    memcpy(dead.material_id, material->id, sizeof(dead.material_id));
    memcpy(dead.key_id, cof_kms_arn_key_id(dead.arn), strlen(cof_kms_arn_key_id(dead.arn)) + 1);
    dead.deleted_ns = cof_kms_wall_ns(&call->ks->env);
    error = cof_kms_ledger_bury(call->ks->ledger, &dead, call->fault);
    return error == 0 ? cof_kms_db_tombstone_set(call->ks->db, &dead, call->fault) : error;
}

int cof_kms_material_raise(struct cof_kms_call *call, const struct cof_kms_material_row *material)
{
    int error = call->alone ? cof_kms_ledger_raise(call->ks->ledger, material->key_arn,
                                                   material->id, call->fault)
                            : cof_kms_fault(call->fault, COFFER_E_INTERNAL, NULL);

    return error == 0 ? cof_kms_db_tombstone_remove(call->ks->db, material->key_arn, material->id,
                                                    call->fault)
                      : error;
}

/* ---- what the ledger says ---------------------------------------------------------------- */

struct burial {
    struct cof_kms_call *call;
    struct cof_kms_key_row *row;
    bool changed;
};

/* Material that came back expires at once: the service's own hand then drops it as it should be. */
static int end_material(struct burial *burial, const struct cof_kms_tombstone_row *dead)
{
    struct cof_kms_call *call = burial->call;
    struct cof_kms_material_row material;
    int error = cof_kms_db_material_get(call->ks->db, dead->arn, dead->material_id, &material,
                                        call->fault);

    if (error == COFFER_E_NOT_FOUND || (error == 0 && material.sealed_bytes == 0)) {
        return 0;
    }
    material.valid_to_ns = 1;
    burial->row->valid_to_ns = 1;
    burial->changed = true;
    if (error == 0) {
        error = cof_kms_db_material_set(call->ks->db, &material, call->fault);
    }
    return error == 0 ? cof_kms_db_key_set(call->ks->db, burial->row, call->fault) : error;
}

static int visit_dead(void *ctx, const struct cof_kms_tombstone_row *dead)
{
    struct burial *burial = ctx;
    struct cof_kms_call *call = burial->call;
    int error = cof_kms_db_key_get(call->ks->db, dead->arn, burial->row, call->fault);

    if (error == COFFER_E_KEY_NOT_FOUND) {
        return 0;
    }
    if (error == 0 && memcmp(dead->material_id, whole_key, sizeof(whole_key)) != 0) {
        return end_material(burial, dead);
    }
    burial->changed = true;
    return error == 0 ? cof_kms_key_destroy(call, burial->row) : error;
}

static int visit_tombstone(void *ctx, const struct cof_kms_tombstone_row *row)
{
    struct cof_kms_call *call = ctx;

    return cof_kms_ledger_bury(call->ks->ledger, row, call->fault);
}

static int apply(struct burial *burial)
{
    struct cof_kms_call *call = burial->call;
    struct coffer_keystore *ks = call->ks;
    int error = cof_kms_db_begin(ks->db, true, call->fault);

    if (error != 0) {
        return error;
    }
    /* The store's own dead first: the ledger may be new, or say of material that it is back though
     * the import that said so never came to its end. */
    error = cof_kms_db_tombstone_each(ks->db, visit_tombstone, call, call->fault);
    if (error == 0 && cof_kms_ledger_is_there(ks->ledger)) {
        error = cof_kms_ledger_each(ks->ledger, visit_dead, burial);
    }
    if (error == 0 && burial->changed) {
        error = cof_kms_db_commit(ks->db, call->fault);
        if (error == 0) {
            cof_kms_db_checkpoint(ks->db);
        }
        return error;
    }
    cof_kms_db_rollback(ks->db);
    return error;
}

int cof_kms_ledger_apply(struct coffer_keystore *ks, struct coffer_fault *fault)
{
    struct coffer_fault own;
    struct cof_kms_call call;
    struct burial burial = {&call, NULL, false};
    int error;

    if (ks->read_only) {
        return 0;
    }
    memset(&call, 0, sizeof(call));
    call.ks = ks;
    call.event = "Open";
    call.alone = true;
    call.fault = fault != NULL ? fault : &own;
    burial.row = cof_kms_alloc(&ks->env, sizeof(*burial.row));
    if (burial.row == NULL) {
        return cof_kms_fault(fault, COFFER_E_NO_MEMORY, NULL);
    }
    error = apply(&burial);
    cof_kms_free(&ks->env, burial.row);
    return error;
}

int cof_kms_ledger_note(struct coffer_keystore *ks, struct coffer_fault *fault)
{
    struct cof_kms_audit_head head;
    int error;

    if (ks->db == NULL || ks->read_only ||
        !(ks->keeps_heads || cof_kms_ledger_is_there(ks->ledger))) {
        return 0;
    }
    error = cof_kms_db_begin(ks->db, false, fault);
    if (error != 0) {
        return error;
    }
    error = cof_kms_db_audit_head(ks->db, &head, fault);
    cof_kms_db_rollback(ks->db);
    return error == 0 ? cof_kms_ledger_note_head(ks->ledger, &head, fault) : error;
}
