/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/audit.c - the audit trail, read: every record checked before it is shown, and the head.
 *
 * A head says how far the trail goes. It is signed, so that somebody who has no secret of the
 * store's can keep it and check it; a trail that was cut off does not have it any more. Any thread.
 */
#include "kms.h"

#include "ledger.h"
#include "pack.h"

#include <string.h>

#define HEAD_LABEL "coffer/kms/audit/head/1"
#define SIGN_LABEL "coffer/kms/audit-sign/1"

static int sign(struct cof_kms_call *call, struct coffer_audit_head *head)
{
    struct coffer_keystore *ks = call->ks;
    struct cof_kms_bytes salt = {ks->header.uuid, sizeof(ks->header.uuid)};
    struct cof_kms_bytes none = {NULL, 0};
    uint8_t message[sizeof(HEAD_LABEL) + 16 + 8 + COFFER_AUDIT_DIGEST_BYTES];
    struct cof_kms_pack pack = cof_kms_pack_into(message, sizeof(message));
    int error = cof_kms_derive(ks->secrets->root_key, salt, SIGN_LABEL, none, ks->secrets->subkey,
                               COF_KMS_KEY_BYTES);

    cof_kms_pack_bytes(&pack, HEAD_LABEL, sizeof(HEAD_LABEL));
    cof_kms_pack_bytes(&pack, ks->header.uuid, sizeof(ks->header.uuid));
    cof_kms_pack_u64(&pack, head->records);
    cof_kms_pack_bytes(&pack, head->digest, sizeof(head->digest));
    if (error == 0) {
        error = cof_kms_ed25519_sign(ks->secrets->subkey, cof_kms_packed(&pack), head->signature,
                                     head->public_key);
    }
    return error == 0 ? 0 : cof_kms_fault(call->fault, error, NULL);
}

/* What the trail is held against: of the heads that the ledger has, the newest that the trail has,
 * or the one that it must have. */
static int choose_head(struct cof_kms_call *call, struct cof_kms_audit_head *ret_head)
{
    const struct cof_kms_audit_head *heads;
    unsigned count = cof_kms_ledger_heads(call->ks->ledger, &heads), i;
    bool has = false;
    int error = 0;

    if (count > 0) {
        *ret_head = heads[0];
    }
    for (i = count; error == 0 && !has && count > 1 && i > 0; i--) {
        error = cof_kms_db_audit_has(call->ks->db, &heads[i - 1], &has, call->fault);
        if (error == 0 && has) {
            *ret_head = heads[i - 1];
        }
    }
    return error;
}

static int walk(struct cof_kms_call *call, coffer_audit_visit_fn visit, void *ctx,
                const struct coffer_audit_head *kept, struct coffer_audit_head *ret_head)
{
    struct cof_kms_audit_head found, before = {0};
    int error = 0;

    if (kept != NULL) {
        before.records = kept->records;
        memcpy(before.mac, kept->digest, sizeof(before.mac));
    } else {
        error = choose_head(call, &before);
    }
    if (error != 0) {
        return error;
    }
    error = cof_kms_db_audit_walk(call->ks->db, visit, ctx, &before, &found, call->fault);
    if (error == 0) {
        ret_head->records = found.records;
        memcpy(ret_head->digest, found.mac, sizeof(ret_head->digest));
        error = sign(call, ret_head);
    }
    return error;
}

int coffer_keystore_audit_walk(struct coffer_keystore *store, coffer_audit_visit_fn visit,
                               void *ctx, const struct coffer_audit_head *kept,
                               struct coffer_audit_head *ret_head, struct coffer_fault *fault)
{
    struct coffer_audit_head head = {.size = sizeof(head)};
    struct cof_kms_call call;
    int error;

    if (store == NULL || (kept != NULL && kept->size != sizeof(*kept)) ||
        (ret_head != NULL && ret_head->size != sizeof(*ret_head))) {
        return cof_kms_fault(fault, COFFER_E_INVALID, NULL);
    }
    error = cof_kms_call_begin(&call, store, "VerifyAudit", COF_KMS_READS, fault);
    if (error != 0) {
        return error;
    }
    error = cof_kms_call_settle(&call, walk(&call, visit, ctx, kept, &head));
    if (error == 0 && ret_head != NULL) {
        *ret_head = head;
    }
    cof_kms_call_leave(&call);
    return error;
}

int coffer_keystore_audit_verify(struct coffer_keystore *store, uint64_t *ret_records,
                                 struct coffer_fault *fault)
{
    struct coffer_audit_head head = {.size = sizeof(head)};
    int error = ret_records == NULL
                    ? cof_kms_fault(fault, COFFER_E_INVALID, NULL)
                    : coffer_keystore_audit_walk(store, NULL, NULL, NULL, &head, fault);

    if (error == 0) {
        *ret_records = head.records;
    }
    return error;
}
