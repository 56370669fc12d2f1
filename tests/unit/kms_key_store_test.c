/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Custom key stores on SoftHSM tokens: their states, keys that never leave the token, and what
 * becomes of both while the token is away.
 */
#include "kms_softhsm.h"
#include "kms_work.h"

#include <coffer/kms.h>
#include <jansson.h>

struct scene {
    struct kms_fixture *f;
    struct softhsm h;
    json_t *answer;
    char store[80];
    char key[COFFER_KEY_ARN_BYTES_MAX];
};

static int setup(void **state)
{
    struct scene *s = calloc(1, sizeof(*s));
    void *part = NULL;

    assert_non_null(s);
    softhsm_setup(&s->h);
    if (s->h.module != NULL) {
        softhsm_token(&s->h, "box", "");
    }
    work_setup(&part);
    s->f = part;
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct scene *s = *state;
    void *part = s->f;

    json_decref(s->answer);
    fixture_teardown(&part);
    softhsm_teardown(&s->h);
    free(s);
    return 0;
}

static void ask(struct scene *s, const char *operation, json_t *body, const char *error)
{
    struct coffer_kms_request request = {.size = sizeof(request), .operation = operation};
    struct coffer_kms_answer got = {.size = sizeof(got)};
    char *text = json_dumps(body, JSON_COMPACT);

    assert_non_null(text);
    json_decref(body);
    json_decref(s->answer);
    s->answer = NULL;
    request.body = (const uint8_t *)text;
    request.body_bytes = strlen(text);
    assert_int_equal(coffer_kms_call(s->f->store, &request, &got), 0);
    assert_string_equal(got.error, error);
    if (got.body_bytes > 0) {
        s->answer = json_loadb((const char *)got.body, got.body_bytes, 0, NULL);
    }
    coffer_kms_answer_done(&got);
    free(text);
}

static json_t *store_body(const struct scene *s)
{
    return json_pack("{ss}", "CustomKeyStoreId", s->store);
}

static void check_store(struct scene *s, const char *state, const char *code)
{
    const json_t *store;

    ask(s, "DescribeCustomKeyStores", store_body(s), "");
    store = json_array_get(json_object_get(s->answer, "CustomKeyStores"), 0);
    assert_string_equal(json_string_value(json_object_get(store, "ConnectionState")), state);
    assert_string_equal(json_object_get(store, "ConnectionErrorCode") == NULL
                            ? ""
                            : json_string_value(json_object_get(store, "ConnectionErrorCode")),
                        code);
}

static void check_key(struct scene *s, const char *state)
{
    const json_t *key;

    ask(s, "DescribeKey", json_pack("{ss}", "KeyId", s->key), "");
    key = json_object_get(s->answer, "KeyMetadata");
    assert_string_equal(json_string_value(json_object_get(key, "KeyState")), state);
    assert_string_equal(json_string_value(json_object_get(key, "Origin")), "PKCS11");
    assert_string_equal(json_string_value(json_object_get(key, "CustomKeyStoreId")), s->store);
}

static json_t *create_body(const struct scene *s, const char *name)
{
    return json_pack("{ssssss}", "CustomKeyStoreName", name, "CustomKeyStoreType", "PKCS11",
                     "CofferTokenUri", s->h.uri);
}

static void make_store(struct scene *s)
{
    ask(s, "CreateCustomKeyStore", create_body(s, "s1"), "");
    snprintf(s->store, sizeof(s->store), "%s",
             json_string_value(json_object_get(s->answer, "CustomKeyStoreId")));
}

static json_t *key_body(const struct scene *s)
{
    return json_pack("{ssss}", "Origin", "PKCS11", "CustomKeyStoreId", s->store);
}

static void make_key(struct scene *s)
{
    ask(s, "CreateKey", key_body(s), "");
    snprintf(s->key, sizeof(s->key), "%s",
             json_string_value(json_object_get(json_object_get(s->answer, "KeyMetadata"), "Arn")));
}

/* Encrypt, and keep the ciphertext. */
static json_t *seal(struct scene *s)
{
    ask(s, "Encrypt", json_pack("{ssss}", "KeyId", s->key, "Plaintext", "YXR0YWNr"), "");
    return json_pack("{so}", "CiphertextBlob",
                     json_incref(json_object_get(s->answer, "CiphertextBlob")));
}

static void check_opens(struct scene *s, json_t *blob)
{
    ask(s, "Decrypt", json_incref(blob), "");
    assert_string_equal(json_string_value(json_object_get(s->answer, "Plaintext")), "YXR0YWNr");
    assert_string_equal(json_string_value(json_object_get(s->answer, "KeyId")), s->key);
}

/* ---- cases ------------------------------------------------------------------------------- */

static void keys_in_a_token_encrypt_and_decrypt(void **state)
{
    struct scene *s = *state;
    json_t *blob, *other;

    SOFTHSM_OR_SKIP(&s->h);
    make_store(s);
    check_store(s, "DISCONNECTED", "");
    ask(s, "CreateKey", key_body(s), "CustomKeyStoreInvalidStateException");
    ask(s, "ConnectCustomKeyStore", store_body(s), "");
    check_store(s, "CONNECTED", "");
    make_key(s);
    check_key(s, "Enabled");
    blob = seal(s);
    check_opens(s, blob);
    ask(s, "GenerateDataKey", json_pack("{ssss}", "KeyId", s->key, "KeySpec", "AES_256"), "");
    ask(s, "ReEncrypt",
        json_pack("{sOss}", "CiphertextBlob", json_object_get(blob, "CiphertextBlob"),
                  "DestinationKeyId", s->key),
        "");
    other = json_pack("{sO}", "CiphertextBlob", json_object_get(s->answer, "CiphertextBlob"));
    check_opens(s, other);
    json_decref(other);
    /* Another process, so to speak. */
    fixture_close(s->f);
    assert_int_equal(fixture_open(s->f), 0);
    check_opens(s, blob);
    json_decref(blob);
    assert_int_equal(fixture_number(s->f, "SELECT count(*) FROM material"), 0);
    ask(s, "EnableKeyRotation", json_pack("{ss}", "KeyId", s->key),
        "UnsupportedOperationException");
}

static void keys_are_unavailable_while_the_token_is_away(void **state)
{
    struct scene *s = *state;
    json_t *blob;

    SOFTHSM_OR_SKIP(&s->h);
    make_store(s);
    ask(s, "ConnectCustomKeyStore", store_body(s), "");
    make_key(s);
    blob = seal(s);
    softhsm_take_away(&s->h);
    check_key(s, "Unavailable");
    ask(s, "Decrypt", json_incref(blob), "KMSInvalidStateException");
    ask(s, "Encrypt", json_pack("{ssss}", "KeyId", s->key, "Plaintext", "YXR0YWNr"),
        "KMSInvalidStateException");
    ask(s, "CreateKey", key_body(s), "KeyUnavailableException");
    softhsm_put_back(&s->h);
    check_key(s, "Enabled");
    check_opens(s, blob);
    /* The same by disconnecting; a disabled key stays disabled. */
    ask(s, "DisableKey", json_pack("{ss}", "KeyId", s->key), "");
    ask(s, "DisconnectCustomKeyStore", store_body(s), "");
    ask(s, "DisconnectCustomKeyStore", store_body(s), "CustomKeyStoreInvalidStateException");
    check_key(s, "Unavailable");
    ask(s, "UpdateKeyDescription", json_pack("{ssss}", "KeyId", s->key, "Description", "d"), "");
    ask(s, "ConnectCustomKeyStore", store_body(s), "");
    ask(s, "ConnectCustomKeyStore", store_body(s), "CustomKeyStoreInvalidStateException");
    check_key(s, "Disabled");
    ask(s, "EnableKey", json_pack("{ss}", "KeyId", s->key), "");
    check_opens(s, blob);
    json_decref(blob);
}

static void a_store_that_does_not_connect_says_why(void **state)
{
    struct scene *s = *state;

    SOFTHSM_OR_SKIP(&s->h);
    make_store(s);
    openssl_run(s->h.o, "echo 9999 >pin");
    ask(s, "ConnectCustomKeyStore", store_body(s), "");
    check_store(s, "FAILED", "INVALID_CREDENTIALS");
    openssl_run(s->h.o, "echo 12345678 >pin");
    softhsm_take_away(&s->h);
    ask(s, "ConnectCustomKeyStore", store_body(s), "");
    check_store(s, "FAILED", "CLUSTER_NOT_FOUND");
    ask(s, "DeleteCustomKeyStore", store_body(s), "CustomKeyStoreInvalidStateException");
    ask(s, "DisconnectCustomKeyStore", store_body(s), "");
    softhsm_put_back(&s->h);
    /* A PIN that the service keeps, sealed; it stands nowhere in clear. */
    openssl_run(s->h.o, "rm pin");
    ask(s, "UpdateCustomKeyStore",
        json_pack("{ssss}", "CustomKeyStoreId", s->store, "KeyStorePassword", "12345678"), "");
    ask(s, "ConnectCustomKeyStore", store_body(s), "");
    check_store(s, "CONNECTED", "");
    ask(s, "UpdateCustomKeyStore",
        json_pack("{ssss}", "CustomKeyStoreId", s->store, "KeyStorePassword", "87654321"),
        "CustomKeyStoreInvalidStateException");
    ask(s, "UpdateCustomKeyStore",
        json_pack("{ssss}", "CustomKeyStoreId", s->store, "NewCustomKeyStoreName", "s2"), "");
    ask(s, "DescribeCustomKeyStores", json_pack("{ss}", "CustomKeyStoreName", "s2"), "");
    ask(s, "DescribeCustomKeyStores", json_pack("{ss}", "CustomKeyStoreName", "s1"),
        "CustomKeyStoreNotFoundException");
    assert_int_equal(
        fixture_number(s->f,
                       "SELECT count(*) FROM key_store WHERE "
                       "instr(CAST(sealed_pin AS TEXT), '12345678') > 0 OR uri LIKE '%12345678%'"),
        0);
}

static void stores_end_when_they_have_no_keys(void **state)
{
    struct scene *s = *state;

    SOFTHSM_OR_SKIP(&s->h);
    make_store(s);
    ask(s, "CreateCustomKeyStore", create_body(s, "s1"), "CustomKeyStoreNameInUseException");
    ask(s, "ConnectCustomKeyStore", store_body(s), "");
    make_key(s);
    ask(s, "DeleteCustomKeyStore", store_body(s), "CustomKeyStoreInvalidStateException");
    ask(s, "ScheduleKeyDeletion", json_pack("{sssi}", "KeyId", s->key, "PendingWindowInDays", 7),
        "");
    work_now_ns += 8 * WORK_DAY_NS;
    ask(s, "DescribeKey", json_pack("{ss}", "KeyId", s->key), "NotFoundException");
    /* Nor has the token its key. */
    ask(s, "DisconnectCustomKeyStore", store_body(s), "");
    openssl_run(s->h.o, "test $(ls tokens/*/*.object | grep -vc /token.object) = 0");
    ask(s, "DeleteCustomKeyStore", store_body(s), "");
    ask(s, "DeleteCustomKeyStore", store_body(s), "CustomKeyStoreNotFoundException");
}

static void keys_keep_their_store_alive(void **state)
{
    struct scene *s = *state;

    SOFTHSM_OR_SKIP(&s->h);
    make_store(s);
    ask(s, "ConnectCustomKeyStore", store_body(s), "");
    make_key(s);
    ask(s, "DisconnectCustomKeyStore", store_body(s), "");
    ask(s, "DeleteCustomKeyStore", store_body(s), "CustomKeyStoreHasCMKsException");
}

static void what_a_token_can_t_hold_is_refused(void **state)
{
    struct scene *s = *state;
    json_t *body;
    unsigned i;

    SOFTHSM_OR_SKIP(&s->h);
    make_store(s);
    ask(s, "ConnectCustomKeyStore", store_body(s), "");
    body = key_body(s);
    json_object_set_new(body, "KeySpec", json_string("HMAC_256"));
    json_object_set_new(body, "KeyUsage", json_string("GENERATE_VERIFY_MAC"));
    ask(s, "CreateKey", body, "UnsupportedOperationException");
    body = key_body(s);
    json_object_set_new(body, "MultiRegion", json_true());
    ask(s, "CreateKey", body, "UnsupportedOperationException");
    ask(s, "CreateKey", json_pack("{ss}", "Origin", "PKCS11"), "ValidationException");
    ask(s, "CreateKey", json_pack("{ss}", "CustomKeyStoreId", s->store), "ValidationException");
    ask(s, "CreateKey", json_pack("{ssss}", "Origin", "PKCS11", "CustomKeyStoreId", "cks-none"),
        "CustomKeyStoreNotFoundException");
    body = create_body(s, "other");
    json_object_set_new(body, "CustomKeyStoreType", json_string("AWS_CLOUDHSM"));
    ask(s, "CreateCustomKeyStore", body, "UnsupportedOperationException");
    body = create_body(s, "other");
    json_object_set_new(body, "CofferTokenUri",
                        json_string("pkcs11:token=box?module-path=/x&pin-value=1234"));
    ask(s, "CreateCustomKeyStore", body, "ValidationException");
    body = create_body(s, "other");
    json_object_del(body, "CofferTokenUri");
    ask(s, "CreateCustomKeyStore", body, "ValidationException");
    for (i = 1; i < 10; i++) {
        char name[8];

        snprintf(name, sizeof(name), "n%u", i);
        ask(s, "CreateCustomKeyStore", create_body(s, name), "");
    }
    ask(s, "CreateCustomKeyStore", create_body(s, "more"), "LimitExceededException");
    ask(s, "DescribeCustomKeyStores", json_pack("{si}", "Limit", 4), "");
    assert_int_equal(json_array_size(json_object_get(s->answer, "CustomKeyStores")), 4);
    ask(s, "DescribeCustomKeyStores",
        json_pack("{sisO}", "Limit", 6, "Marker", json_object_get(s->answer, "NextMarker")), "");
    assert_int_equal(json_array_size(json_object_get(s->answer, "CustomKeyStores")), 6);
    assert_true(json_is_false(json_object_get(s->answer, "Truncated")));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(keys_in_a_token_encrypt_and_decrypt),
        CASE(keys_are_unavailable_while_the_token_is_away),
        CASE(a_store_that_does_not_connect_says_why),
        CASE(stores_end_when_they_have_no_keys),
        CASE(keys_keep_their_store_alive),
        CASE(what_a_token_can_t_hold_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
