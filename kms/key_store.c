/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/key_store.c - custom key stores: made, connected, described, changed and deleted.
 *
 * Invariants: a store's PIN is sealed as soon as it is given; a store that has keys stays. Under
 * the key store's lock.
 */
#include "key_store.h"

#include "secret.h"
#include "token/pkcs11.h"

#include <string.h>

#define TYPE "PKCS11"
#define ID_PREFIX "cks-"
#define ID_RANDOM_BYTES 8u

/* ---- finding ----------------------------------------------------------------------------- */

static int find(struct cof_kms_call *call, const char *id, const char *action,
                struct cof_kms_key_store_row *row)
{
    int error = cof_kms_authorize(call, NULL, action);

    if (error == 0) {
        error = cof_kms_db_key_store_get(call->ks->db, id, row, call->fault);
    }
    if (error == 0 && (strcmp(row->owner.account, call->owner.account) != 0 ||
                       strcmp(row->owner.region, call->owner.region) != 0)) {
        return cof_kms_fault(call->fault, COFFER_E_KEY_STORE_NOT_FOUND,
                             "there is no custom key store %.64s", id);
    }
    return error;
}

static int need_state(struct cof_kms_call *call, const struct cof_kms_key_store_row *row,
                      const char *state)
{
    return strcmp(row->state, state) == 0
               ? 0
               : cof_kms_fault(call->fault, COFFER_E_KEY_STORE_STATE,
                               "custom key store %s is %s, not %s", row->id, row->state, state);
}

static int write_state(struct cof_kms_call *call, struct cof_kms_key_store_row *row,
                       const char *state, const char *error_code)
{
    memcpy(row->state, state, strlen(state) + 1);
    memcpy(row->error_code, error_code, strlen(error_code) + 1);
    return cof_kms_db_key_store_set(call->ks->db, row, call->fault);
}

/* ---- names and parameters ---------------------------------------------------------------- */

static int count_row(void *ctx, const struct cof_kms_key_store_row *row)
{
    (void)row;
    (*(unsigned *)ctx)++;
    return 0;
}

/* Stores of that name; "" is all. */
static int count(struct cof_kms_call *call, const char *name, unsigned *ret_count)
{
    *ret_count = 0;
    return cof_kms_db_key_store_each(call->ks->db, &call->owner, name, "", 0, count_row, ret_count,
                                     call->fault);
}

static int take_name(struct cof_kms_call *call, const char *name, struct cof_kms_key_store_row *row)
{
    unsigned taken = 0;
    int error;

    if (name[0] == '\0' || strlen(name) >= sizeof(row->name) || !cof_kms_text_ok(name)) {
        return cof_kms_fault(call->fault, COFFER_E_INVALID,
                             "a custom key store's name has 1 to 256 bytes");
    }
    if (strcmp(name, row->name) == 0) {
        return 0;
    }
    error = count(call, name, &taken);
    if (error == 0 && taken > 0) {
        return cof_kms_fault(call->fault, COFFER_E_KEY_STORE_NAME,
                             "there is a custom key store %.100s already", name);
    }
    memcpy(row->name, name, strlen(name) + 1);
    return error;
}

static int take_token(struct cof_kms_call *call, const struct cof_kms_key_store_params *params,
                      struct cof_kms_key_store_row *row)
{
    int error = 0;

    if (params->uri != NULL) {
        error = strlen(params->uri) < sizeof(row->uri)
                    ? cof_token_check_uri(&call->ks->env, params->uri, call->fault)
                    : cof_kms_fault(call->fault, COFFER_E_INVALID,
                                    "the token's URI has more than 1024 bytes");
    }
    if (error == 0 && params->uri != NULL) {
        memcpy(row->uri, params->uri, strlen(params->uri) + 1);
    }
    if (error == 0 && params->pin.length_bytes > 0) {
        error = cof_kms_token_keep_pin(call, params->pin, row);
    }
    return error;
}

/* ---- verbs ------------------------------------------------------------------------------- */

static int draw_id(struct cof_kms_call *call, struct cof_kms_key_store_row *row)
{
    uint8_t random[ID_RANDOM_BYTES];
    int error = cof_kms_random(&call->ks->env, random, sizeof(random));

    memcpy(row->id, ID_PREFIX, sizeof(ID_PREFIX));
    cof_kms_hex(random, sizeof(random), row->id + sizeof(ID_PREFIX) - 1);
    return error == 0 ? 0 : cof_kms_fault(call->fault, error, NULL);
}

int cof_kms_create_key_store(struct cof_kms_call *call,
                             const struct cof_kms_key_store_params *params,
                             char ret_id[COF_KMS_KEY_STORE_ID_BYTES_MAX])
{
    struct cof_kms_key_store_row row;
    unsigned stores = 0;
    int error = cof_kms_authorize(call, NULL, "kms:CreateCustomKeyStore");

    if (error == 0 && (params->type == NULL || strcmp(params->type, TYPE) != 0)) {
        return cof_kms_fault(call->fault, COFFER_E_UNSUPPORTED,
                             "custom key stores are of CustomKeyStoreType " TYPE " here");
    }
    if (error == 0 && params->uri == NULL) {
        return cof_kms_fault(call->fault, COFFER_E_INVALID, "the token's URI is missing");
    }
    if (error == 0) {
        error = count(call, "", &stores);
    }
    if (error == 0 && stores >= COF_KMS_KEY_STORES_MAX) {
        return cof_kms_fault(call->fault, COFFER_E_LIMIT, "there are %u custom key stores already",
                             stores);
    }
    memset(&row, 0, sizeof(row));
    if (error == 0) {
        error = draw_id(call, &row);
    }
    if (error == 0) {
        error = take_name(call, params->name, &row);
    }
    if (error == 0) {
        error = take_token(call, params, &row);
    }
    if (error != 0) {
        return error;
    }
    row.owner = call->owner;
    row.created_ns = cof_kms_wall_ns(&call->ks->env);
    memcpy(row.type, TYPE, sizeof(TYPE));
    memcpy(ret_id, row.id, sizeof(row.id));
    return write_state(call, &row, COF_KMS_STORE_DISCONNECTED, "");
}

/* AWS KMS's codes for why a store did not connect. */
static const char *failure_code(int error)
{
    switch (error) {
    case COFFER_E_PASSPHRASE:
        return "INVALID_CREDENTIALS";
    case COFFER_E_KEY_UNREACHABLE:
        return "CLUSTER_NOT_FOUND";
    default:
        return "INTERNAL_ERROR";
    }
}

int cof_kms_connect_key_store(struct cof_kms_call *call, const char *id)
{
    struct cof_kms_key_store_row row;
    struct cof_token *token = NULL;
    int error = find(call, id, "kms:ConnectCustomKeyStore", &row);

    if (error == 0 && strcmp(row.state, COF_KMS_STORE_CONNECTED) == 0) {
        return cof_kms_fault(call->fault, COFFER_E_KEY_STORE_STATE,
                             "custom key store %s is connected already", row.id);
    }
    if (error != 0) {
        return error;
    }
    cof_kms_token_forget(call->ks, row.id);
    error = cof_kms_token_of(call, &row, &token);
    if (error != 0) {
        cof_kms_warn(&call->ks->env, "custom key store %s: %s", row.id, call->fault->detail);
        return write_state(call, &row, COF_KMS_STORE_FAILED, failure_code(error));
    }
    return write_state(call, &row, COF_KMS_STORE_CONNECTED, "");
}

int cof_kms_disconnect_key_store(struct cof_kms_call *call, const char *id)
{
    struct cof_kms_key_store_row row;
    int error = find(call, id, "kms:DisconnectCustomKeyStore", &row);

    if (error == 0 && strcmp(row.state, COF_KMS_STORE_DISCONNECTED) == 0) {
        return cof_kms_fault(call->fault, COFFER_E_KEY_STORE_STATE,
                             "custom key store %s is disconnected already", row.id);
    }
    if (error == 0) {
        cof_kms_token_forget(call->ks, row.id);
        error = write_state(call, &row, COF_KMS_STORE_DISCONNECTED, "");
    }
    return error;
}

int cof_kms_update_key_store(struct cof_kms_call *call, const char *id,
                             const struct cof_kms_key_store_params *params)
{
    struct cof_kms_key_store_row row;
    int error = find(call, id, "kms:UpdateCustomKeyStore", &row);

    if (error == 0 && (params->uri != NULL || params->pin.length_bytes > 0)) {
        error = need_state(call, &row, COF_KMS_STORE_DISCONNECTED);
    }
    if (error == 0 && params->name != NULL) {
        error = take_name(call, params->name, &row);
    }
    if (error == 0) {
        error = take_token(call, params, &row);
    }
    return error == 0 ? cof_kms_db_key_store_set(call->ks->db, &row, call->fault) : error;
}

static int refuse_key(void *ctx, const struct cof_kms_key_row *row)
{
    struct cof_kms_call *call = ctx;

    return cof_kms_fault(call->fault, COFFER_E_KEY_STORE_IN_USE,
                         "custom key store %s has the key %s: schedule its deletion first",
                         row->key_store_id, row->key_id);
}

int cof_kms_delete_key_store(struct cof_kms_call *call, const char *id)
{
    struct cof_kms_key_store_row row;
    int error = find(call, id, "kms:DeleteCustomKeyStore", &row);

    if (error == 0) {
        error = need_state(call, &row, COF_KMS_STORE_DISCONNECTED);
    }
    if (error == 0) {
        error = cof_kms_db_key_each_in_store(call->ks->db, row.id, refuse_key, call, call->fault);
    }
    return error == 0 ? cof_kms_db_key_store_remove(call->ks->db, row.id, call->fault) : error;
}

/* ---- listing ----------------------------------------------------------------------------- */

struct store_visit {
    struct cof_kms_lister lister;
    const char *id; /* NULL: any */
    bool found;
    int (*visit)(void *ctx, const struct cof_kms_key_store_row *row);
    void *ctx;
};

static int visit_store(void *ctx, const struct cof_kms_key_store_row *row)
{
    struct store_visit *stores = ctx;

    if (stores->id != NULL && strcmp(stores->id, row->id) != 0) {
        return 0;
    }
    stores->found = true;
    return cof_kms_lister_takes(&stores->lister, row->id) ? stores->visit(stores->ctx, row) : 0;
}

int cof_kms_describe_key_stores(struct cof_kms_call *call, const char *id, const char *name,
                                struct cof_kms_page *page,
                                int (*visit)(void *ctx, const struct cof_kms_key_store_row *row),
                                void *ctx)
{
    struct store_visit stores = {.id = id, .visit = visit, .ctx = ctx};
    bool one = id != NULL || name != NULL;
    int error = cof_kms_authorize(call, NULL, "kms:DescribeCustomKeyStores");

    if (error == 0) {
        error = cof_kms_lister_open(call, page, call->owner.account, &stores.lister);
    }
    if (error == 0) {
        error = cof_kms_db_key_store_each(call->ks->db, &call->owner, name == NULL ? "" : name,
                                          stores.lister.after,
                                          id == NULL ? cof_kms_lister_asks(&stores.lister) : 0,
                                          visit_store, &stores, call->fault);
    }
    if (error == 0 && one && !stores.found) {
        return cof_kms_fault(call->fault, COFFER_E_KEY_STORE_NOT_FOUND,
                             "there is no custom key store %.100s", id != NULL ? id : name);
    }
    return error == 0 ? cof_kms_lister_close(&stores.lister) : error;
}
