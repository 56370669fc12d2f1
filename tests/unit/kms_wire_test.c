/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service's wire as a form: what is no request, how constraints are worded, what an answer to a
 * failure of the service is, and that each request is on the record.
 */
#include "wire_fixture.h"

static void what_is_no_request_is_refused(void **state)
{
    static const struct {
        const char *operation, *body, *error, *message;
        int status;
    } rows[] = {
        {"NoSuchThing", "{}", "UnknownOperationException", "", 400},
        {"", "{}", "UnknownOperationException", "", 400},
        {"encrypt", "{}", "UnknownOperationException", "", 400},
        {"DescribeKey", "{", "SerializationException", "line 1", 400},
        {"DescribeKey", "[]", "SerializationException", "not a JSON object", 400},
        {"DescribeKey", "null", "SerializationException", "not a JSON object", 400},
        {"DescribeKey", "{} {}", "SerializationException", "", 400},
        {"DescribeKey", "{\"KeyId\":\"a\",\"KeyId\":\"b\"}", "SerializationException", "", 400},
        {"DescribeKey", "{\"KeyId\":\"a\\u0000\"}", "SerializationException", "", 400},
        {"DescribeKey", "{\"KeyId\":\"\xff\"}", "SerializationException", "", 400},
        {"DescribeKey", "{\"KeyId\":1}", "SerializationException",
         "NUMBER_VALUE cannot be converted to String", 400},
        {"ListKeys", "{\"Limit\":\"1\"}", "SerializationException",
         "STRING_VALUE cannot be converted to Integer", 400},
        {"ListKeys", "{\"Limit\":1.5}", "SerializationException", "", 400},
        {"Decrypt", "{\"CiphertextBlob\":\"!!!!\"}", "SerializationException", "base64", 400},
        {"Decrypt", "{\"CiphertextBlob\":\"QUJ\"}", "SerializationException", "base64", 400},
        {"Decrypt", "{\"CiphertextBlob\":\"QQ==\\n\"}", "SerializationException", "base64", 400},
        {"Decrypt", "{\"CiphertextBlob\":\"QR==\"}", "SerializationException", "base64", 400},
        {"Encrypt", "{\"KeyId\":\"%K\",\"Plaintext\":\"QQ==\",\"EncryptionContext\":{\"a\":1}}",
         "SerializationException", "", 400},
        {"Encrypt", "{\"KeyId\":\"%K\",\"Plaintext\":\"QQ==\",\"EncryptionContext\":[]}",
         "SerializationException", "START_OF_LIST cannot be converted to Map", 400},
    };
    struct wire_fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bad(f, rows[i].operation, rows[i].body, rows[i].error);
        assert_int_equal(f->answer.status, rows[i].status);
        if (strstr(message(f), rows[i].message) == NULL) {
            fail_msg("%s %s: %s", rows[i].operation, rows[i].body, message(f));
        }
    }
}

static void constraints_are_worded_as_clients_know_them(void **state)
{
    static const struct {
        const char *operation, *body, *message;
    } rows[] = {
        {"DescribeKey", "{}",
         "1 validation error detected: Value null at 'keyId' failed to satisfy constraint: "
         "Member must not be null"},
        {"DescribeKey", "{\"KeyId\":null}",
         "1 validation error detected: Value null at 'keyId' failed to satisfy constraint: "
         "Member must not be null"},
        {"DescribeKey", "{\"KeyId\":\"\"}",
         "1 validation error detected: Value '' at 'keyId' failed to satisfy constraint: "
         "Member must have length greater than or equal to 1"},
        {"ListKeys", "{\"Limit\":0}",
         "1 validation error detected: Value '0' at 'limit' failed to satisfy constraint: "
         "Member must have value greater than or equal to 1"},
        {"ListKeys", "{\"Limit\":1001}",
         "1 validation error detected: Value '1001' at 'limit' failed to satisfy constraint: "
         "Member must have value less than or equal to 1000"},
        {"ListAliases", "{\"Limit\":101}",
         "1 validation error detected: Value '101' at 'limit' failed to satisfy constraint: "
         "Member must have value less than or equal to 100"},
        {"GenerateDataKey", "{\"KeyId\":\"%K\",\"KeySpec\":\"AES_512\"}",
         "1 validation error detected: Value 'AES_512' at 'keySpec' failed to satisfy constraint: "
         "Member must satisfy enum value set: [AES_256, AES_128]"},
        {"Encrypt", "{\"KeyId\":\"%K\",\"Plaintext\":\"\"}",
         "1 validation error detected: Value 'java.nio.HeapByteBuffer[pos=0 lim=0 cap=0]' at "
         "'plaintext' failed to satisfy constraint: Member must have length greater than or equal "
         "to 1"},
        {"CreateAlias", "{\"AliasName\":\"alias/a b\",\"TargetKeyId\":\"%K\"}",
         "1 validation error detected: Value 'alias/a b' at 'aliasName' failed to satisfy "
         "constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$"},
        {"CreateAlias", "{\"AliasName\":\"\"}",
         "2 validation errors detected: Value '' at 'aliasName' failed to satisfy constraint: "
         "Member must have length greater than or equal to 1; Value null at 'targetKeyId' failed "
         "to satisfy constraint: Member must not be null"},
        {"Encrypt",
         "{\"KeyId\":\"%K\",\"Plaintext\":\"QQ==\",\"GrantTokens\":[\"a\",\"b\",\"c\",\"d\",\"e\","
         "\"f\",\"g\",\"h\",\"i\",\"j\",\"\"]}",
         "2 validation errors detected: Value '[11 entries]' at 'grantTokens' failed to satisfy "
         "constraint: Member must have length less than or equal to 10; Value '' at "
         "'grantTokens.11.member' failed to satisfy constraint: Member must have length greater "
         "than or equal to 1"},
        {"TagResource", "{\"KeyId\":\"%K\",\"Tags\":[{\"TagKey\":\"\",\"TagValue\":\"\"}]}",
         "1 validation error detected: Value '' at 'tags.1.member.tagKey' failed to satisfy "
         "constraint: Member must have length greater than or equal to 1"},
    };
    struct wire_fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bad(f, rows[i].operation, rows[i].body, "ValidationException");
        assert_int_equal(f->answer.status, 400);
        assert_string_equal(message(f), rows[i].message);
    }
}

static void a_long_value_is_counted_in_characters(void **state)
{
    struct wire_fixture *f = *state;
    static char body[3000], text[2100];

    memset(text, 'x', 2049);
    snprintf(body, sizeof(body), "{\"KeyId\":\"%s\"}", text);
    bad(f, "DescribeKey", body, "ValidationException");
    assert_non_null(strstr(message(f), "Member must have length less than or equal to 2048"));
    text[2048] = '\0';
    snprintf(body, sizeof(body), "{\"KeyId\":\"%s\"}", text);
    bad(f, "DescribeKey", body, "NotFoundException");
    /* 128 characters of two bytes each are a tag's name, 129 are none. */
    for (size_t i = 0; i < 129; i++) {
        memcpy(text + 2 * i, "\xc3\xa9", 3);
    }
    snprintf(body, sizeof(body), "{\"KeyId\":\"%%K\",\"TagKeys\":[\"%s\"]}", text);
    bad(f, "UntagResource", body, "ValidationException");
    snprintf(body, sizeof(body), "{\"KeyId\":\"%%K\",\"TagKeys\":[\"%s\"]}", text + 2);
    good(f, "UntagResource", body);
}

static void members_that_no_operation_has_are_left_alone(void **state)
{
    struct wire_fixture *f = *state;

    good(f, "DescribeKey", "{\"KeyId\":\"%K\",\"Whatever\":[1,{\"a\":null}]}");
    good(f, "ListKeys", "");
}

static void arguments_of_the_function_are_checked(void **state)
{
    struct wire_fixture *f = *state;
    struct coffer_kms_request request = {.size = sizeof(request), .operation = "ListKeys"};
    struct coffer_kms_answer answer = {.size = sizeof(answer), .status = 77};

    assert_int_equal(coffer_kms_call(NULL, &request, &answer), COFFER_E_INVALID);
    assert_int_equal(coffer_kms_call(f->kms.store, NULL, &answer), COFFER_E_INVALID);
    assert_int_equal(coffer_kms_call(f->kms.store, &request, NULL), COFFER_E_INVALID);
    request.size--;
    assert_int_equal(coffer_kms_call(f->kms.store, &request, &answer), COFFER_E_INVALID);
    request.size++;
    request.body_bytes = 1;
    assert_int_equal(coffer_kms_call(f->kms.store, &request, &answer), COFFER_E_INVALID);
    request.body_bytes = 0;
    request.operation = NULL;
    assert_int_equal(coffer_kms_call(f->kms.store, &request, &answer), COFFER_E_INVALID);
    assert_int_equal(answer.status, 77);
    coffer_kms_answer_done(NULL);
    coffer_kms_answer_done(&answer);
}

static void a_body_of_more_than_a_mebibyte_is_too_large(void **state)
{
    struct wire_fixture *f = *state;
    struct coffer_kms_request request = {.size = sizeof(request), .operation = "ListKeys"};
    size_t bytes = COFFER_KMS_BODY_BYTES_MAX + 1;
    char *body = malloc(bytes);

    assert_non_null(body);
    memset(body, ' ', bytes);
    memcpy(body, "{}", 2);
    request.body = (const uint8_t *)body;
    request.body_bytes = bytes;
    f->answer.size = sizeof(f->answer);
    assert_int_equal(coffer_kms_call(f->kms.store, &request, &f->answer), 0);
    assert_string_equal(f->answer.error, "RequestEntityTooLargeException");
    assert_int_equal(f->answer.status, 413);
    forget(f);
    request.body_bytes = bytes - 1;
    assert_int_equal(coffer_kms_call(f->kms.store, &request, &f->answer), 0);
    assert_int_equal(f->answer.status, 200);
    free(body);
}

static void a_store_for_reading_refuses_changes(void **state)
{
    struct wire_fixture *f = *state;

    fixture_close(&f->kms);
    f->kms.opts.flags = COFFER_KEYSTORE_READ_ONLY;
    assert_int_equal(fixture_open(&f->kms), 0);
    bad(f, "CreateKey", "{}", "UnsupportedOperationException");
    assert_int_equal(f->answer.code, COFFER_E_READ_ONLY);
    good(f, "DescribeKey", "{\"KeyId\":\"%K\"}");
}

/* What was altered shows as the service's own fault, and its code says which. */
static void a_tampered_row_is_an_internal_error(void **state)
{
    struct wire_fixture *f = *state;

    fixture_sql(&f->kms, "UPDATE key SET description = 'other'");
    bad(f, "DescribeKey", "{\"KeyId\":\"%K\"}", "KMSInternalException");
    assert_int_equal(f->answer.status, 500);
    assert_int_equal(f->answer.code, COFFER_E_TAMPER);
}

/* A refusal before the transaction is on the record, too. */
static void every_request_leaves_a_record(void **state)
{
    struct wire_fixture *f = *state;
    int64_t before = fixture_number(&f->kms, "SELECT count(*) FROM audit");

    good(f, "DescribeKey", "{\"KeyId\":\"%K\"}");
    bad(f, "DescribeKey", "{}", "ValidationException");
    bad(f, "NoSuchThing", "{}", "UnknownOperationException");
    assert_int_equal(fixture_number(&f->kms, "SELECT count(*) FROM audit"), before + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, wire_setup, wire_teardown)
        CASE(what_is_no_request_is_refused),
        CASE(constraints_are_worded_as_clients_know_them),
        CASE(a_long_value_is_counted_in_characters),
        CASE(members_that_no_operation_has_are_left_alone),
        CASE(arguments_of_the_function_are_checked),
        CASE(a_body_of_more_than_a_mebibyte_is_too_large),
        CASE(a_store_for_reading_refuses_changes),
        CASE(a_tampered_row_is_an_internal_error),
        CASE(every_request_leaves_a_record),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
