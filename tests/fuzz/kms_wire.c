/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/kms_wire - requests to the key service: the first byte chooses the operation, the rest is
 * its body. The store begins anew now and then. Hints are all operations with all their members,
 * each of a value that its shape takes.
 *
 * Whatever comes in, there is an answer, its status and its error's name are ones that the service
 * knows, its body is JSON, and no request makes the service its own fault (status 500).
 */
#include "fuzz/fuzz_driver.h"
#include "fuzz/fuzz_keystore.h"

#include "wire/errors.h"
#include "wire/wire.h"

#include <coffer/kms.h>
#include <jansson.h>

#define CALLS_MAX 3000u /* of one store: it would grow for ever */

static unsigned operation_count(void)
{
    unsigned count = 0;

    while (cof_wire_at(count) != NULL) {
        count++;
    }
    return count;
}

static void check_answer(const struct coffer_kms_answer *answer)
{
    json_t *value;

    if (answer->error[0] == '\0') {
        harness_require(answer->status == 200 && answer->code == 0, "status %d", answer->status);
    } else {
        harness_require(cof_wire_error_known(answer->error), "an error %s", answer->error);
        harness_require(answer->status >= 400 && answer->status < 500, "%s: %.300s", answer->error,
                        (const char *)answer->body);
        harness_require(answer->code < 0, "%s has no code", answer->error);
    }
    if (answer->body_bytes > 0) {
        value = json_loadb((const char *)answer->body, answer->body_bytes, 0, NULL);
        harness_require(json_is_object(value), "the body is no object");
        json_decref(value);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned calls;
    struct coffer_kms_answer answer = {.size = sizeof answer};
    struct coffer_kms_request request = {.size = sizeof request};
    int accepted;

    if (fuzz_keystore == NULL || ++calls % CALLS_MAX == 0) {
        fuzz_keystore_make();
    }
    if (size == 0) {
        return 0;
    }
    request.operation = cof_wire_at(data[0] % operation_count())->name;
    request.body = data + 1;
    request.body_bytes = size - 1;
    harness_require(coffer_kms_call(fuzz_keystore, &request, &answer) == 0, "no answer");
    check_answer(&answer);
    accepted = answer.error[0] == '\0';
    coffer_kms_answer_done(&answer);
    return accepted;
}

/* A sound body for an operation, or NULL where the state of the store decides. */
static const struct {
    const char *operation, *body;
} seeds[] = {
    {"DescribeKey", "{\"KeyId\":\"%s\"}"},
    {"ListKeys", "{\"Limit\":3}"},
    {"CreateKey", "{\"Description\":\"%s\",\"Tags\":[{\"TagKey\":\"a\",\"TagValue\":\"b\"}]}"},
    {"Encrypt",
     "{\"KeyId\":\"%s\",\"Plaintext\":\"QUJD\",\"EncryptionContext\":{\"a\":\"b\",\"c\":\"\"}}"},
    {"GenerateDataKey", "{\"KeyId\":\"%s\",\"NumberOfBytes\":16}"},
    {"ListAliases", "{\"KeyId\":\"%s\",\"Limit\":2}"},
    {"CreateGrant",
     "{\"KeyId\":\"%s\",\"GranteePrincipal\":\"arn:coffer:iam::000000000000:user/u\","
     "\"Operations\":[\"Decrypt\"],\"Constraints\":{\"EncryptionContextEquals\":{\"a\":\"b\"}}}"},
    {"ListGrants", "{\"KeyId\":\"%s\",\"Limit\":1}"},
    {"TagResource", "{\"KeyId\":\"%s\",\"Tags\":[{\"TagKey\":\"a\",\"TagValue\":\"b\"}]}"},
    {"CofferReEncryptBatch",
     "{\"DestinationKeyId\":\"%s\",\"Entries\":[{\"CiphertextBlob\":\"QUJD\"}]}"},
    {"CofferExportPlaintext", "{\"KeyId\":\"%s\",\"EncryptionContext\":{\"Uid\":\"0\"}}"},
    {"GetKeyPolicy", "{\"KeyId\":\"%s\",\"PolicyName\":\"default\"}"},
};

size_t fuzz_seed(unsigned number, uint8_t *bytes, size_t room)
{
    unsigned operation = 0;
    int length;

    if (fuzz_keystore == NULL) {
        fuzz_keystore_make();
    }
    if (number >= sizeof seeds / sizeof seeds[0]) {
        return 0;
    }
    while (strcmp(cof_wire_at(operation)->name, seeds[number].operation) != 0) {
        operation++;
    }
    bytes[0] = (uint8_t)operation;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    length = snprintf((char *)bytes + 1, room - 1, seeds[number].body, fuzz_key.key_id);
#pragma GCC diagnostic pop
    return length < 0 ? 0 : (size_t)length + 1;
}

/* ---- hints ------------------------------------------------------------------------------- */

static json_t *value_for(const char *name, const struct cof_wire_shape *shape);

static json_t *struct_for(const struct cof_wire_member *members)
{
    json_t *object = json_object();

    for (; members->name != NULL; members++) {
        (void)json_object_set_new(object, members->name,
                                  value_for(members->name, members->shape));
    }
    return object;
}

static json_t *text_for(const char *name, const struct cof_wire_shape *shape)
{
    static const char letters[] = "0123456789abcdef0123456789abcdef"
                                  "0123456789abcdef0123456789abcdef";
    static const struct {
        const char *part, *text;
    } known[] = {{"Alias", "alias/a"},
                 {"Policy", "{\"Version\":\"2012-10-17\",\"Statement\":[]}"},
                 {"Principal", "arn:coffer:iam::000000000000:user/u"},
                 {"Arn", "arn:coffer:iam::000000000000:role/r"},
                 {"Region", "local-1"},
                 {"Account", "111122223333"}};

    /* Where there is a choice of keys, one that is drawn in no time. */
    for (unsigned i = 0; shape->values != NULL && shape->values[i] != NULL; i++) {
        if (strcmp(shape->values[i], "ECC_NIST_P256") == 0) {
            return json_string(shape->values[i]);
        }
    }
    if (shape->values != NULL) {
        return json_string(shape->values[0]);
    }
    if (strstr(name, "KeyId") != NULL && strcmp(name, "AccessKeyId") != 0) {
        return json_string(fuzz_key.key_id);
    }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strstr(name, known[i].part) != NULL) {
            return json_string(known[i].text);
        }
    }
    return json_stringn(letters, shape->min < 1 ? 1 : shape->min < 64 ? shape->min : 64);
}

static json_t *value_for(const char *name, const struct cof_wire_shape *shape)
{
    switch (shape->type) {
    case COF_WIRE_TEXT:
        return text_for(name, shape);
    case COF_WIRE_NUMBER:
        return json_integer(shape->min);
    case COF_WIRE_TIME:
        return json_real(1700000100.5);
    case COF_WIRE_FLAG:
        return json_false();
    case COF_WIRE_BLOB:
        return json_string("QUJDREVGR0hJSktMTU5PUA==");
    case COF_WIRE_MAP:
        return json_pack("{s:s}", "a", "b");
    case COF_WIRE_LIST:
        return json_pack("[o]", value_for(name, shape->of));
    default:
        return struct_for(shape->members);
    }
}

size_t fuzz_hint(unsigned number, uint8_t *bytes, size_t room)
{
    const struct cof_wire_operation *operation = cof_wire_at(number);
    json_t *value;
    size_t size;

    if (operation == NULL) {
        return 0;
    }
    value = operation->members == NULL ? json_object() : struct_for(operation->members);
    bytes[0] = (uint8_t)number;
    size = json_dumpb(value, (char *)bytes + 1, room - 1, JSON_COMPACT);
    json_decref(value);
    harness_require(size > 0 && size < room, "a request of %zu bytes", size);
    return 1 + size;
}

FUZZ_MAIN("fuzz_kms_wire", 3000)
