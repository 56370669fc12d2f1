/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/token_key.c - keys in tokens, and the tokens that are open; token_key.h says what they are.
 *
 * Invariants: a PIN is sealed in its row and in secret memory on its way to the token; a token that
 * failed is closed and opened anew at the next use. Under the store's lock.
 */
#include "token_key.h"

#include "pack.h"
#include "secret.h"
#include "token/pkcs11.h"

#include <stdio.h>
#include <string.h>

#define PIN_LABEL "coffer/kms/token-pin/1"
#define MAC_LABEL "coffer/kms/token-key/1"
#define SALT_BYTES 32u
#define KEY_LABEL_FORMAT "coffer-%s"

/* ---- PINs -------------------------------------------------------------------------------- */

static struct cof_kms_sealed_place pin_place(const struct coffer_keystore *ks,
                                             const struct cof_kms_key_store_row *row)
{
    struct cof_kms_sealed_place place = {PIN_LABEL,
                                         {row->sealed_pin, SALT_BYTES},
                                         {ks->header.uuid, sizeof(ks->header.uuid)},
                                         {(const uint8_t *)row->id, strlen(row->id)}};

    return place;
}

int cof_kms_token_keep_pin(struct cof_kms_call *call, struct cof_kms_bytes pin,
                           struct cof_kms_key_store_row *row)
{
    struct coffer_keystore *ks = call->ks;
    struct cof_kms_sealed_place place = pin_place(ks, row);
    int error = pin.length_bytes <= COF_TOKEN_PIN_BYTES_MAX
                    ? cof_kms_random(&ks->env, row->sealed_pin, SALT_BYTES)
                    : COFFER_E_INVALID;

    if (error == 0) {
        error = cof_kms_sealed_make(&ks->env, ks->secrets->root_key, &place, pin,
                                    ks->secrets->subkey, row->sealed_pin + SALT_BYTES);
    }
    if (error != 0) {
        return cof_kms_fault(call->fault, error, NULL);
    }
    row->sealed_pin_bytes = SALT_BYTES + COF_KMS_SEALED_OVERHEAD_BYTES + pin.length_bytes;
    return 0;
}

/* Into secrets->material, which is free while a token is opened. */
static int open_pin(struct cof_kms_call *call, const struct cof_kms_key_store_row *row,
                    struct cof_kms_bytes *ret_pin)
{
    struct cof_kms_secrets *secrets = call->ks->secrets;
    struct cof_kms_sealed_place place = pin_place(call->ks, row);
    struct cof_kms_bytes sealed = {row->sealed_pin + SALT_BYTES, 0};
    int error = COFFER_E_TAMPER;

    if (row->sealed_pin_bytes > SALT_BYTES + COF_KMS_SEALED_OVERHEAD_BYTES) {
        sealed.length_bytes = row->sealed_pin_bytes - SALT_BYTES;
        error = cof_kms_sealed_open(secrets->root_key, &place, sealed, secrets->subkey,
                                    secrets->material);
    }
    if (error != 0) {
        return cof_kms_fault(call->fault, COFFER_E_TAMPER, "the PIN of key store %s was altered",
                             row->id);
    }
    ret_pin->at = secrets->material;
    ret_pin->length_bytes = sealed.length_bytes - COF_KMS_SEALED_OVERHEAD_BYTES;
    return 0;
}

/* ---- open tokens ------------------------------------------------------------------------- */

void cof_kms_token_forget(struct coffer_keystore *ks, const char *id)
{
    unsigned i;

    for (i = 0; i < COF_KMS_TOKEN_SLOTS; i++) {
        struct cof_kms_token_slot *slot = &ks->tokens[i];

        if (slot->token != NULL && (id == NULL || strcmp(slot->id, id) == 0)) {
            cof_token_close(slot->token);
            memset(slot, 0, sizeof(*slot));
        }
    }
}

static int open_token(struct cof_kms_call *call, const struct cof_kms_key_store_row *store,
                      struct cof_token **ret_token)
{
    struct cof_kms_bytes pin = {NULL, 0};
    int error = store->sealed_pin_bytes > 0 ? open_pin(call, store, &pin) : 0;

    if (error == 0) {
        error = cof_token_open(&call->ks->env, store->uri, pin.at != NULL ? &pin : NULL, ret_token,
                               call->fault);
    }
    cof_kms_wipe(call->ks->secrets->material, COF_TOKEN_PIN_BYTES_MAX);
    return error;
}

int cof_kms_token_of(struct cof_kms_call *call, const struct cof_kms_key_store_row *store,
                     struct cof_token **ret_token)
{
    struct coffer_keystore *ks = call->ks;
    struct cof_token *token = NULL;
    struct cof_kms_token_slot *slot;
    unsigned i;
    int error;

    for (i = 0; i < COF_KMS_TOKEN_SLOTS; i++) {
        if (ks->tokens[i].token != NULL && strcmp(ks->tokens[i].id, store->id) == 0) {
            *ret_token = ks->tokens[i].token;
            return 0;
        }
    }
    error = open_token(call, store, &token);
    if (error != 0) {
        return error;
    }
    slot = &ks->tokens[ks->token_turn++ % COF_KMS_TOKEN_SLOTS];
    cof_token_close(slot->token);
    slot->token = token;
    memcpy(slot->id, store->id, sizeof(slot->id));
    *ret_token = token;
    return 0;
}

/* ---- keys -------------------------------------------------------------------------------- */

int cof_kms_token_key_place(struct cof_kms_call *call, const char *id, struct cof_kms_key_row *row)
{
    struct cof_kms_key_store_row store;
    int error = cof_kms_db_key_store_get(call->ks->db, id, &store, call->fault);

    if (error == 0 && (strcmp(store.owner.account, row->owner.account) != 0 ||
                       strcmp(store.owner.region, row->owner.region) != 0)) {
        return cof_kms_fault(call->fault, COFFER_E_KEY_STORE_NOT_FOUND,
                             "there is no custom key store %.64s", id);
    }
    if (error == 0 && strcmp(store.state, COF_KMS_STORE_CONNECTED) != 0) {
        return cof_kms_fault(call->fault, COFFER_E_KEY_STORE_STATE,
                             "custom key store %.64s is %s: connect it first", id, store.state);
    }
    if (error == 0 && (strcmp(row->key_spec, "SYMMETRIC_DEFAULT") != 0 || row->multi_region)) {
        return cof_kms_fault(call->fault, COFFER_E_UNSUPPORTED,
                             "a custom key store holds SYMMETRIC_DEFAULT keys of one region");
    }
    if (error == 0) {
        memcpy(row->key_store_id, store.id, sizeof(row->key_store_id));
        (void)snprintf(row->token_label, sizeof(row->token_label), KEY_LABEL_FORMAT, row->key_id);
    }
    return error;
}

/* The token of row's store, if that is connected. */
static int reach_token(struct cof_kms_call *call, const struct cof_kms_key_row *row)
{
    struct cof_kms_key_store_row store;
    int error = cof_kms_db_key_store_get(call->ks->db, row->key_store_id, &store, call->fault);

    if (error == 0 && strcmp(store.state, COF_KMS_STORE_CONNECTED) != 0) {
        return cof_kms_fault(call->fault, COFFER_E_KEY_STATE, "custom key store %s is %s", store.id,
                             store.state);
    }
    return error == 0 ? cof_kms_token_of(call, &store, &call->token) : error;
}

static int reach_key(struct cof_kms_call *call, const struct cof_kms_key_row *row)
{
    int error = reach_token(call, row);

    return error == 0 ? cof_token_find(call->token, row->token_label, &call->token_key, call->fault)
                      : error;
}

static void let_go(struct cof_kms_call *call, const struct cof_kms_key_row *row)
{
    cof_kms_token_forget(call->ks, row->key_store_id);
    call->token = NULL;
}

/* The key in its token; a token that was away needs a new session. */
static int reach(struct cof_kms_call *call, const struct cof_kms_key_row *row)
{
    int error = reach_key(call, row);

    if (error != 0 && call->token != NULL) {
        let_go(call, row);
        error = reach_key(call, row);
    }
    if (error != 0) {
        let_go(call, row);
    }
    return error;
}

int cof_kms_token_key_make(struct cof_kms_call *call, const struct cof_kms_key_row *row)
{
    int error = reach_token(call, row);

    if (error == 0) {
        error = cof_token_make(call->token, row->token_label, call->fault);
    }
    if (error == COFFER_E_KEY_UNREACHABLE && call->token != NULL) {
        let_go(call, row);
        error = reach_token(call, row);
        if (error == 0) {
            error = cof_token_make(call->token, row->token_label, call->fault);
        }
    }
    return error;
}

int cof_kms_token_key_look(struct cof_kms_call *call, struct cof_kms_key_row *row)
{
    struct coffer_fault *fault = call->fault;
    struct coffer_fault ignored;
    int error;

    if (row->key_store_id[0] == '\0') {
        return 0;
    }
    call->fault = &ignored;
    error = reach(call, row);
    call->fault = fault;
    if (error == 0 && row->state == COFFER_KEY_UNAVAILABLE) {
        row->state = row->resume_state;
    } else if (error != 0 &&
               (row->state == COFFER_KEY_ENABLED || row->state == COFFER_KEY_IS_DISABLED)) {
        row->resume_state = row->state;
        row->state = COFFER_KEY_UNAVAILABLE;
    }
    return error == COFFER_E_TAMPER || error == COFFER_E_NO_MEMORY
               ? cof_kms_fault(call->fault, error, NULL)
               : 0;
}

/* The token's MAC over the blob's salt is the blob's key. */
static int derive(void *ctx, struct cof_kms_bytes salt)
{
    struct cof_kms_call *call = ctx;
    uint8_t packed[128];
    struct cof_kms_pack pack = cof_kms_pack_into(packed, sizeof(packed));

    cof_kms_pack_text(&pack, MAC_LABEL);
    cof_kms_pack_bytes(&pack, call->ks->header.uuid, sizeof(call->ks->header.uuid));
    cof_kms_pack_sized(&pack, salt.at, salt.length_bytes);
    return pack.overflowed ? COFFER_E_INTERNAL
                           : cof_token_mac(call->token, call->token_key, cof_kms_packed(&pack),
                                           call->ks->secrets->material, call->fault);
}

int cof_kms_token_key_open(struct cof_kms_call *call, const struct cof_kms_key_row *row,
                           struct cof_kms_material *material)
{
    int error = 0;

    if (memcmp(material->id, row->material_id, sizeof(material->id)) != 0) {
        return cof_kms_fault(call->fault, COFFER_E_KEY_CIPHERTEXT,
                             "the ciphertext names material that key %.40s never had", row->key_id);
    }
    error = reach(call, row);
    material->derive = derive;
    return error == 0 ? 0
                      : cof_kms_fault(call->fault, COFFER_E_KEY_STATE,
                                      "%s is Unavailable: its custom key store is", row->arn);
}

void cof_kms_token_key_destroy(struct cof_kms_call *call, const struct cof_kms_key_row *row)
{
    struct coffer_fault *fault = call->fault;
    struct coffer_fault own;
    int error;

    if (row->key_store_id[0] == '\0') {
        return;
    }
    call->fault = &own;
    error = reach(call, row);
    if (error == 0) {
        error = cof_token_destroy(call->token, row->token_label, &own);
    }
    call->fault = fault;
    if (error != 0) {
        cof_kms_warn(&call->ks->env, "the token still has the key %s of a key that was destroyed",
                     row->token_label);
    }
}
