/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/wire/key_json.c - the shapes of AWS KMS made from rows. Any thread.
 *
 * jansson takes a NULL value for a failure and frees what it was given, so a shape is either whole
 * or NULL.
 */
#include "wire/key_json.h"

#include "context.h"
#include "spec.h"

#include <string.h>

/* Set a member and tell whether that worked; an object that is NULL stays so. */
static void put(json_t **object, const char *name, json_t *value)
{
    if (*object == NULL || json_object_set_new(*object, name, value) != 0) {
        json_decref(*object == NULL ? value : NULL);
        json_decref(*object);
        *object = NULL;
    }
}

static void put_text(json_t **object, const char *name, const char *text)
{
    if (text[0] != '\0') {
        put(object, name, json_string(text));
    }
}

static void put_time(json_t **object, const char *name, uint64_t ns)
{
    if (ns != 0) {
        put(object, name, cof_wire_json_time(ns));
    }
}

json_t *cof_wire_algorithms_json(const char *spec_name, const char *usage)
{
    const struct cof_kms_spec *spec = cof_kms_spec_find(spec_name);
    const struct cof_kms_algorithm *algorithm = NULL;
    json_t *list = json_array();

    while (spec != NULL && list != NULL &&
           (algorithm = cof_kms_algorithm_next(spec, usage, algorithm)) != NULL) {
        if (json_array_append_new(list, json_string(algorithm->name)) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

const char *cof_wire_algorithms_member(const char *usage)
{
    static const struct {
        const char *usage, *member;
    } members[] = {{COF_KMS_USAGE_ENCRYPT, "EncryptionAlgorithms"},
                   {COF_KMS_USAGE_SIGN, "SigningAlgorithms"},
                   {COF_KMS_USAGE_AGREE, "KeyAgreementAlgorithms"}};
    size_t i;

    for (i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        if (strcmp(members[i].usage, usage) == 0) {
            return members[i].member;
        }
    }
    return "MacAlgorithms";
}

/* Where the primary is, and which of the two this key is. */
static json_t *multi_region_json(const struct cof_kms_key_row *row)
{
    bool primary = strcmp(row->primary_region, row->owner.region) == 0;
    struct cof_kms_owner owner = row->owner;
    char arn[COFFER_KEY_ARN_BYTES_MAX];

    memcpy(owner.region, row->primary_region, sizeof(owner.region));
    cof_kms_key_arn(&owner, row->key_id, arn);
    return json_pack("{s:s, s:{s:s, s:s}}", "MultiRegionKeyType", primary ? "PRIMARY" : "REPLICA",
                     "PrimaryKey", "Arn", arn, "Region", owner.region);
}

json_t *cof_wire_key_json(const struct cof_kms_key_row *row)
{
    bool pending = row->state == COFFER_KEY_PENDING_DELETION;
    char material_id[COFFER_MATERIAL_ID_BYTES] = "";
    json_t *key = json_object();

    if (row->has_material) {
        cof_kms_hex(row->material_id, sizeof(row->material_id), material_id);
    }
    put_text(&key, "AWSAccountId", row->owner.account);
    put_text(&key, "KeyId", row->key_id);
    put_text(&key, "Arn", row->arn);
    put(&key, "CreationDate", cof_wire_json_time(row->created_ns));
    put(&key, "Enabled", json_boolean(row->state == COFFER_KEY_ENABLED));
    put(&key, "Description", json_string(row->description));
    put_text(&key, "KeyUsage", row->key_usage);
    put_text(&key, "KeyState", coffer_keystore_state_name(row->state));
    put_text(&key, "Origin", row->origin);
    put_text(&key, "KeyManager",
             row->managed ? COFFER_KEY_MANAGER_MANAGED : COFFER_KEY_MANAGER_CUSTOMER);
    put_text(&key, "CustomerMasterKeySpec", row->key_spec);
    put_text(&key, "KeySpec", row->key_spec);
    put(&key, cof_wire_algorithms_member(row->key_usage),
        cof_wire_algorithms_json(row->key_spec, row->key_usage));
    put(&key, "MultiRegion", json_boolean(row->multi_region));
    if (row->multi_region) {
        put(&key, "MultiRegionConfiguration", multi_region_json(row));
    }
    put_text(&key, "CurrentKeyMaterialId", material_id);
    put_text(&key, "CustomKeyStoreId", row->key_store_id);
    put_text(&key, "ExpirationModel", row->expiration_model);
    put_time(&key, "ValidTo", row->valid_to_ns);
    put_time(&key, "DeletionDate", pending ? row->deletion_ns : 0);
    if (row->state == COFFER_KEY_PENDING_REPLICA_DELETION) {
        put(&key, "PendingDeletionWindowInDays", json_integer(row->pending_window_days));
    }
    return key;
}

json_t *cof_wire_alias_json(const struct cof_kms_alias_row *row)
{
    const char *slash = strrchr(row->key_arn, '/');
    char arn[360];
    json_t *alias = json_object();

    cof_kms_alias_arn(&row->owner, row->name, arn);
    put_text(&alias, "AliasName", row->name);
    put_text(&alias, "AliasArn", arn);
    put_text(&alias, "TargetKeyId", slash == NULL ? row->key_arn : slash + 1);
    put_time(&alias, "CreationDate", row->created_ns);
    put_time(&alias, "LastUpdatedDate", row->updated_ns);
    return alias;
}

/* ---- grants ------------------------------------------------------------------------------ */

static json_t *operations_json(const char *names)
{
    json_t *list = json_array();

    while (list != NULL && *names != '\0') {
        size_t length = strcspn(names, ",");

        if (json_array_append_new(list, json_stringn(names, length)) != 0) {
            json_decref(list);
            return NULL;
        }
        names += length + (names[length] == ',');
    }
    return list;
}

static json_t *context_json(struct cof_kms_env *env, struct cof_kms_bytes packed)
{
    struct cof_kms_context context;
    json_t *map = json_object();
    unsigned i;

    if (map == NULL || cof_kms_context_unpack(env, packed, &context) != 0) {
        json_decref(map);
        return NULL;
    }
    for (i = 0; i < context.pair_count; i++) {
        put(&map, context.pairs[i].key, json_string(context.pairs[i].value));
    }
    cof_kms_context_free(env, &context);
    return map;
}

json_t *cof_wire_grant_json(struct cof_kms_env *env, const struct cof_kms_grant_row *row)
{
    json_t *grant = json_object(), *constraints = json_object();

    if (row->constraint != COFFER_GRANT_NO_CONSTRAINT) {
        put(&constraints,
            row->constraint == COFFER_GRANT_CONTEXT_EQUALS ? "EncryptionContextEquals"
                                                           : "EncryptionContextSubset",
            context_json(env, row->context));
    }
    put_text(&constraints, "SourceArn", row->source_arn);
    put_text(&grant, "KeyId", row->key_arn);
    put_text(&grant, "GrantId", row->grant_id);
    put_text(&grant, "Name", row->name);
    put_time(&grant, "CreationDate", row->created_ns);
    put_text(&grant, "GranteePrincipal", row->grantee);
    put_text(&grant, "RetiringPrincipal", row->retiring_principal);
    put_text(&grant, "IssuingAccount", row->issuing_account);
    put(&grant, "Operations", operations_json(row->operations));
    if (constraints == NULL || json_object_size(constraints) > 0) {
        put(&grant, "Constraints", constraints);
    } else {
        json_decref(constraints);
    }
    return grant;
}

/* ---- material ---------------------------------------------------------------------------- */

static const char *material_state(const struct cof_kms_material_row *row)
{
    switch (row->state) {
    case COF_KMS_MATERIAL_CURRENT:
        return "CURRENT";
    case COF_KMS_MATERIAL_NON_CURRENT:
        return "NON_CURRENT";
    default:
        return "PENDING_ROTATION";
    }
}

json_t *cof_wire_material_json(const struct cof_kms_material_row *row, bool with_material)
{
    bool imported = strcmp(row->source, "EXTERNAL") == 0;
    char id[COFFER_MATERIAL_ID_BYTES];
    json_t *entry = json_object();

    cof_kms_hex(row->id, sizeof(row->id), id);
    put_text(&entry, "KeyId", row->key_arn);
    put_text(&entry, "KeyMaterialId", id);
    put_text(&entry, "KeyMaterialDescription", row->description);
    put_time(&entry, "RotationDate", row->rotated_ns);
    put_text(&entry, "RotationType", row->rotation);
    if (with_material) {
        put_text(&entry, "KeyMaterialState", material_state(row));
    }
    if (imported) {
        put_text(&entry, "ImportState", row->sealed_bytes > 0 ? "IMPORTED" : "PENDING_IMPORT");
        put_text(&entry, "ExpirationModel",
                 row->valid_to_ns != 0 ? "KEY_MATERIAL_EXPIRES" : "KEY_MATERIAL_DOES_NOT_EXPIRE");
        put_time(&entry, "ValidTo", row->valid_to_ns);
    }
    return entry;
}
