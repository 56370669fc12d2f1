/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/wire/op_key_store.c - custom key stores. CofferTokenUri is ours: it names the token.
 */
#include "key_store.h"
#include "wire/shapes.h"
#include "wire/wire.h"

#include <string.h>

#define TEXTS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define LIST_DEFAULT 10u

static const struct cof_wire_shape store_name = {.type = COF_WIRE_TEXT, .min = 1, .max = 256};
static const struct cof_wire_shape store_type = {
    .type = COF_WIRE_TEXT, .values = TEXTS("AWS_CLOUDHSM", "EXTERNAL_KEY_STORE", "PKCS11")};
static const struct cof_wire_shape password = {
    .type = COF_WIRE_TEXT, .secret = true, .min = 7, .max = 32};
static const struct cof_wire_shape token_uri = {.type = COF_WIRE_TEXT, .min = 1, .max = 1024};

static struct cof_kms_bytes pin_of(const struct cof_wire *wire)
{
    const char *pin = cof_wire_text(wire, "KeyStorePassword");
    struct cof_kms_bytes bytes = {(const uint8_t *)pin, pin == NULL ? 0 : strlen(pin)};

    return bytes;
}

static const struct cof_wire_member create_members[] = {{"CustomKeyStoreName", &store_name, true},
                                                        {"CustomKeyStoreType", &store_type, false},
                                                        {"CofferTokenUri", &token_uri, false},
                                                        {"KeyStorePassword", &password, false},
                                                        {0}};

static int create_store(struct cof_wire *wire)
{
    struct cof_kms_key_store_params params = {.name = cof_wire_text(wire, "CustomKeyStoreName"),
                                              .type = cof_wire_text(wire, "CustomKeyStoreType"),
                                              .uri = cof_wire_text(wire, "CofferTokenUri"),
                                              .pin = pin_of(wire)};
    char id[COF_KMS_KEY_STORE_ID_BYTES_MAX];
    int error = cof_kms_create_key_store(&wire->call, &params, id);

    return error == 0 ? cof_wire_set_text(wire, "CustomKeyStoreId", id) : error;
}

static const struct cof_wire_member update_members[] = {
    {"CustomKeyStoreId", &cof_shape_store_id, true},
    {"NewCustomKeyStoreName", &store_name, false},
    {"CofferTokenUri", &token_uri, false},
    {"KeyStorePassword", &password, false},
    {0}};

static int update_store(struct cof_wire *wire)
{
    struct cof_kms_key_store_params params = {.name = cof_wire_text(wire, "NewCustomKeyStoreName"),
                                              .uri = cof_wire_text(wire, "CofferTokenUri"),
                                              .pin = pin_of(wire)};

    return cof_kms_update_key_store(&wire->call, cof_wire_text(wire, "CustomKeyStoreId"), &params);
}

static const struct cof_wire_member id_members[] = {{"CustomKeyStoreId", &cof_shape_store_id, true},
                                                    {0}};

static int connect_store(struct cof_wire *wire)
{
    return cof_kms_connect_key_store(&wire->call, cof_wire_text(wire, "CustomKeyStoreId"));
}

static int disconnect_store(struct cof_wire *wire)
{
    return cof_kms_disconnect_key_store(&wire->call, cof_wire_text(wire, "CustomKeyStoreId"));
}

static int delete_store(struct cof_wire *wire)
{
    return cof_kms_delete_key_store(&wire->call, cof_wire_text(wire, "CustomKeyStoreId"));
}

static const struct cof_wire_member describe_members[] = {
    {"CustomKeyStoreId", &cof_shape_store_id, false},
    {"CustomKeyStoreName", &store_name, false},
    {"Limit", &cof_shape_limit, false},
    {"Marker", &cof_shape_marker, false},
    {0}};

static int add_store(void *ctx, const struct cof_kms_key_store_row *row)
{
    json_t *store =
        json_pack("{ss ss ss ss ss so}", "CustomKeyStoreId", row->id, "CustomKeyStoreName",
                  row->name, "CustomKeyStoreType", row->type, "ConnectionState", row->state,
                  "CofferTokenUri", row->uri, "CreationDate", cof_wire_json_time(row->created_ns));

    if (store != NULL && row->error_code[0] != '\0' &&
        json_object_set_new(store, "ConnectionErrorCode", json_string(row->error_code)) != 0) {
        json_decref(store);
        store = NULL;
    }
    return json_array_append_new(ctx, store) == 0 ? 0 : COFFER_E_NO_MEMORY;
}

static int describe_stores(struct cof_wire *wire)
{
    struct cof_kms_page page = cof_wire_page(wire, LIST_DEFAULT);
    json_t *stores = cof_wire_list(wire, "CustomKeyStores");
    int error = cof_kms_describe_key_stores(&wire->call, cof_wire_text(wire, "CustomKeyStoreId"),
                                            cof_wire_text(wire, "CustomKeyStoreName"), &page,
                                            add_store, stores);

    return error == 0 ? cof_wire_set_page(wire, &page) : error;
}

const struct cof_wire_operation cof_wire_key_store_rows[] = {
    {"CreateCustomKeyStore", COF_KMS_CHANGES, 0, create_members, create_store},
    {"ConnectCustomKeyStore", COF_KMS_CHANGES, 0, id_members, connect_store},
    {"DisconnectCustomKeyStore", COF_KMS_CHANGES, 0, id_members, disconnect_store},
    {"DescribeCustomKeyStores", COF_KMS_READS, 0, describe_members, describe_stores},
    {"UpdateCustomKeyStore", COF_KMS_CHANGES, 0, update_members, update_store},
    {"DeleteCustomKeyStore", COF_KMS_CHANGES, 0, id_members, delete_store},
    {0}};
