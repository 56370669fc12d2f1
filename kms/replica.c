/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/replica.c - multi-Region keys: one id, and the same materials, in several regions.
 *
 * The rows of a family have one account and one key id. The primary is the one whose region all
 * rows name; it alone rotates, and its new material goes to each replica, sealed for it.
 * Descriptions, policies, tags, aliases, grants and states are each row's own. A primary whose
 * deletion was scheduled waits for its replicas to be gone. Under the store's lock.
 */
#include "secret.h"
#include "verbs.h"

#include <stdio.h>
#include <string.h>

bool cof_kms_key_is_replica(const struct cof_kms_key_row *row)
{
    return row->multi_region && strcmp(row->primary_region, row->owner.region) != 0;
}

/* ---- the family -------------------------------------------------------------------------- */

struct family {
    const char *but; /* the ARN that is left out */
    char arns[COF_KMS_REPLICAS_MAX][COFFER_KEY_ARN_BYTES_MAX];
    unsigned count;
};

static int visit_kin(void *ctx, const struct cof_kms_key_row *row)
{
    struct family *family = ctx;

    if (strcmp(row->arn, family->but) == 0) {
        return 0;
    }
    if (family->count == COF_KMS_REPLICAS_MAX) {
        return COFFER_E_LIMIT;
    }
    memcpy(family->arns[family->count++], row->arn, sizeof(row->arn));
    return 0;
}

/* The other rows of row's family; rows are read one by one, after the listing is done with. */
static int find_family(struct cof_kms_call *call, const struct cof_kms_key_row *row,
                       struct family *ret_family)
{
    int error;

    memset(ret_family, 0, sizeof(*ret_family));
    ret_family->but = row->arn;
    error = row->multi_region
                ? cof_kms_db_key_each_kin(call->ks->db, row->owner.account, row->key_id, visit_kin,
                                          ret_family, call->fault)
                : 0;
    return error == COFFER_E_LIMIT
               ? cof_kms_fault(call->fault, error, "a key has at most %u replicas",
                               COF_KMS_REPLICAS_MAX)
               : error;
}

int cof_kms_replica_count(struct cof_kms_call *call, const struct cof_kms_key_row *row,
                          unsigned *ret_count)
{
    struct family family;
    int error = find_family(call, row, &family);

    if (error == 0) {
        *ret_count = family.count;
    }
    return error;
}

struct choice {
    int (*visit)(void *ctx, const struct cof_kms_key_row *row);
    void *ctx;
};

static int visit_replica(void *ctx, const struct cof_kms_key_row *row)
{
    const struct choice *choice = ctx;

    return cof_kms_key_is_replica(row) ? choice->visit(choice->ctx, row) : 0;
}

int cof_kms_replicas_each(struct cof_kms_call *call, const struct cof_kms_key_row *row,
                          int (*visit)(void *ctx, const struct cof_kms_key_row *row), void *ctx)
{
    struct choice choice = {visit, ctx};

    return cof_kms_db_key_each_kin(call->ks->db, row->owner.account, row->key_id, visit_replica,
                                   &choice, call->fault);
}

int cof_kms_primary_get(struct cof_kms_call *call, const struct cof_kms_key_row *row,
                        struct cof_kms_key_row *ret_row)
{
    struct cof_kms_owner owner = row->owner;
    char arn[COFFER_KEY_ARN_BYTES_MAX];

    memcpy(owner.region, row->primary_region, sizeof(owner.region));
    cof_kms_key_arn(&owner, row->key_id, arn);
    return cof_kms_db_key_get(call->ks->db, arn, ret_row, call->fault);
}

/* ---- material ---------------------------------------------------------------------------- */

/* Put material of `from` under `to`, sealed for it. */
static int copy_material(struct cof_kms_call *call, const struct cof_kms_key_row *from,
                         const struct cof_kms_key_row *to,
                         const struct cof_kms_material_row *material)
{
    struct cof_kms_secrets *secrets = call->ks->secrets;
    struct cof_kms_material_row copy = *material;
    int error = 0;

    memcpy(copy.key_arn, to->arn, sizeof(copy.key_arn));
    if (material->sealed_bytes > 0) {
        error = cof_kms_key_material(call, from, material->id);
        if (error == 0) {
            error = cof_kms_key_seal(call, to,
                                     material->sealed_bytes - COF_KMS_SEALED_OVERHEAD_BYTES, &copy);
        }
        cof_kms_wipe(secrets->material, sizeof(secrets->material));
    }
    return error == 0 ? cof_kms_db_material_add(call->ks->db, &copy, call->fault) : error;
}

static int take_material(void *ctx, const struct cof_kms_material_row *row)
{
    *(struct cof_kms_material_row *)ctx = *row;
    return 0;
}

static int copy_materials(struct cof_kms_call *call, const struct cof_kms_key_row *from,
                          const struct cof_kms_key_row *to)
{
    struct cof_kms_material_row material;
    uint32_t version = 0;
    int error = 0;

    while (error == 0) {
        material.version = 0;
        error = cof_kms_db_material_each(call->ks->db, from->arn, version, 1, take_material,
                                         &material, call->fault);
        if (error != 0 || material.version == 0) {
            break;
        }
        version = material.version;
        error = copy_material(call, from, to, &material);
    }
    return error;
}

/* One replica takes over the material that its primary encrypts with now. */
static int follow(struct cof_kms_call *call, const struct cof_kms_key_row *primary,
                  const char *replica_arn)
{
    struct cof_kms_db *db = call->ks->db;
    struct cof_kms_material_row material;
    struct cof_kms_key_row replica;
    int error = cof_kms_db_key_get(db, replica_arn, &replica, call->fault);

    if (error == 0) {
        error = cof_kms_db_material_get(db, replica.arn, replica.material_id, &material,
                                        call->fault);
    }
    if (error == 0) {
        material.state = COF_KMS_MATERIAL_NON_CURRENT;
        error = cof_kms_db_material_set(db, &material, call->fault);
    }
    if (error == 0) {
        error = cof_kms_db_material_get(db, primary->arn, primary->material_id, &material,
                                        call->fault);
    }
    if (error == 0) {
        error = copy_material(call, primary, &replica, &material);
    }
    if (error != 0) {
        return error;
    }
    memcpy(replica.material_id, primary->material_id, sizeof(replica.material_id));
    return cof_kms_db_key_set(db, &replica, call->fault);
}

int cof_kms_replicas_follow(struct cof_kms_call *call, const struct cof_kms_key_row *primary)
{
    struct family family;
    unsigned i;
    int error = find_family(call, primary, &family);

    /* Material from outside is imported into each region by itself. */
    for (i = 0; error == 0 && i < family.count && strcmp(primary->origin, COF_KMS_ORIGIN_OWN) == 0;
         i++) {
        error = follow(call, primary, family.arns[i]);
    }
    return error;
}

/* ---- replicate-key ----------------------------------------------------------------------- */

static int find_primary(struct cof_kms_call *call, const char *key, const char *action,
                        const char *region, struct cof_kms_key_row *row)
{
    int error = cof_kms_key_find(call, key, true, row);

    if (error == 0) {
        error = cof_kms_authorize(call, row, action);
    }
    if (error == 0 && (!row->multi_region || cof_kms_key_is_replica(row))) {
        return cof_kms_fault(call->fault, COFFER_E_UNSUPPORTED,
                             "%s is not the primary of a multi-Region key", row->arn);
    }
    if (error == 0 && (!cof_kms_region_ok(region) || strcmp(region, row->owner.region) == 0)) {
        return cof_kms_fault(call->fault, COFFER_E_INVALID,
                             "'%.40s' is no other region than the key's own", region);
    }
    return error;
}

/* The replica's row, from the primary's. */
static int fill_replica(struct cof_kms_call *call, const struct cof_kms_replicate *params,
                        struct cof_kms_key_row *row)
{
    const char *description = params->description == NULL ? "" : params->description;
    int error = cof_kms_check_description(call, description);

    (void)snprintf(row->owner.region, sizeof(row->owner.region), "%s", params->region);
    cof_kms_key_arn(&row->owner, row->key_id, row->arn);
    row->created_ns = cof_kms_wall_ns(&call->ks->env);
    row->rotation_period_days = 0;
    row->next_rotation_ns = 0;
    (void)snprintf(row->description, sizeof(row->description), "%s", description);
    row->policy[0] = '\0';
    if (strcmp(row->origin, COF_KMS_ORIGIN_OWN) != 0) {
        row->state = COFFER_KEY_PENDING_IMPORT;
        row->has_material = false;
        row->valid_to_ns = 0;
        row->expiration_model[0] = '\0';
    }
    if (error == 0 && params->policy != NULL) {
        error = cof_kms_policy_check(call, row, params->policy, params->bypass_lockout_check);
        if (error == 0) {
            (void)snprintf(row->policy, sizeof(row->policy), "%s", params->policy);
        }
    }
    return error;
}

static int put_replica(struct cof_kms_call *call, const struct cof_kms_key_row *primary,
                       const struct cof_kms_key_row *replica)
{
    struct cof_kms_db *db = call->ks->db;
    uint64_t count = 0;
    int error = cof_kms_db_key_count(db, &replica->owner, &count, call->fault);

    if (error == 0 && count >= COF_KMS_KEYS_MAX) {
        return cof_kms_fault(call->fault, COFFER_E_LIMIT,
                             "the account has %u keys in region %s, which is its limit",
                             COF_KMS_KEYS_MAX, replica->owner.region);
    }
    if (error == 0) {
        error = cof_kms_db_key_add(db, replica, call->fault);
    }
    return error == 0 && replica->has_material ? copy_materials(call, primary, replica) : error;
}

int cof_kms_replicate_key(struct cof_kms_call *call, const struct cof_kms_replicate *params,
                          struct cof_kms_key_row *ret_row)
{
    struct cof_kms_key_row primary, there;
    int error = find_primary(call, params->key, "kms:ReplicateKey", params->region, &primary);

    if (error == 0) {
        error = cof_kms_key_usable(call, &primary);
    }
    if (error != 0) {
        return error;
    }
    *ret_row = primary;
    error = fill_replica(call, params, ret_row);
    if (error == 0) {
        error = cof_kms_db_key_get(call->ks->db, ret_row->arn, &there, call->fault);
        error = error == COFFER_E_KEY_NOT_FOUND ? 0
                : error != 0 ? error
                             : cof_kms_fault(call->fault, COFFER_E_EXISTS, "%s is there already",
                                             ret_row->arn);
    }
    if (error == 0) {
        error = put_replica(call, &primary, ret_row);
    }
    return error == 0 ? cof_kms_tags_put(call, ret_row, params->tags, params->tag_count) : error;
}

/* ---- update-primary-region --------------------------------------------------------------- */

static int name_primary(struct cof_kms_call *call, const char *arn, const char *region,
                        const struct cof_kms_key_row *primary)
{
    struct cof_kms_key_row row;
    int error = cof_kms_db_key_get(call->ks->db, arn, &row, call->fault);
    bool chosen = error == 0 && strcmp(row.owner.region, region) == 0;

    if (error != 0) {
        return error;
    }
    (void)snprintf(row.primary_region, sizeof(row.primary_region), "%s", region);
    /* The schedule of rotations goes along. */
    row.rotation_period_days = chosen ? primary->rotation_period_days : 0;
    row.next_rotation_ns = chosen ? primary->next_rotation_ns : 0;
    return cof_kms_db_key_set(call->ks->db, &row, call->fault);
}

int cof_kms_update_primary_region(struct cof_kms_call *call, const char *key, const char *region)
{
    struct cof_kms_key_row primary, chosen;
    struct cof_kms_owner owner;
    char arn[COFFER_KEY_ARN_BYTES_MAX];
    struct family family;
    unsigned i;
    int error = find_primary(call, key, "kms:UpdatePrimaryRegion", region, &primary);

    if (error == 0) {
        error = cof_kms_key_changeable(call, &primary);
    }
    if (error != 0) {
        return error;
    }
    owner = primary.owner;
    memcpy(owner.region, region, strlen(region) + 1);
    cof_kms_key_arn(&owner, primary.key_id, arn);
    error = cof_kms_db_key_get(call->ks->db, arn, &chosen, call->fault);
    if (error == 0) {
        error = cof_kms_key_changeable(call, &chosen);
    }
    if (error == 0) {
        error = find_family(call, &primary, &family);
    }
    if (error == 0) {
        error = name_primary(call, primary.arn, region, &primary);
    }
    for (i = 0; error == 0 && i < family.count; i++) {
        error = name_primary(call, family.arns[i], region, &primary);
    }
    return error;
}

/* ---- deletion ---------------------------------------------------------------------------- */

int cof_kms_replica_gone(struct cof_kms_call *call, const struct cof_kms_key_row *replica)
{
    struct cof_kms_key_row primary;
    unsigned others = 0;
    int error = cof_kms_primary_get(call, replica, &primary);

    if (error == COFFER_E_KEY_NOT_FOUND) {
        return 0;
    }
    if (error == 0) {
        error = cof_kms_replica_count(call, &primary, &others);
    }
    if (error != 0 || others > 0 || primary.state != COFFER_KEY_PENDING_REPLICA_DELETION) {
        return error;
    }
    primary.state = COFFER_KEY_PENDING_DELETION;
    primary.deletion_ns =
        cof_kms_wall_ns(&call->ks->env) + primary.pending_window_days * COF_KMS_DAY_NS;
    return cof_kms_db_key_set(call->ks->db, &primary, call->fault);
}
