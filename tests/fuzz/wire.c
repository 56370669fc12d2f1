/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/wire - requests to the key service: the first byte chooses the operation, the rest is its
 * body. The store is a temporary one with a fixed clock and random numbers from a counter.
 *
 * Whatever comes in, there is an answer, its status and its error's name are ones that the service
 * knows, its body is JSON, and no request makes the service its own fault (status 500).
 */
#include "fuzz/fuzz_driver.h"

#include "wire/errors.h"
#include "wire/wire.h"

#include <coffer/kms.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

static struct coffer_keystore *store;
static char directory[] = "/tmp/coffer-fuzz-XXXXXX";
static char key_id[COFFER_KEY_ID_BYTES];
static uint64_t drawn;

static uint64_t fixed_wall(void *ctx)
{
    (void)ctx;
    return 1700000000000000000u;
}

/* Never twice the same, so that ids differ; the same in each run. */
static int counted_random(void *ctx, void *buffer, size_t bytes)
{
    uint8_t *at = buffer;
    struct prng prng = {prng_mix(7, drawn++)};

    (void)ctx;
    while (bytes-- > 0) {
        *at++ = (uint8_t)prng_next(&prng);
    }
    return 0;
}

static void remove_store(void)
{
    static const char *const names[] = {"keys", "keys-wal", "keys-shm", "keys.ledger", "root"};
    char path[96];

    coffer_keystore_close(store);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", directory, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(directory);
}

static void make_store(void)
{
    static char path[96], root[96];
    struct coffer_env env = {.size = sizeof env, .wall_ns = fixed_wall, .random = counted_random};
    struct coffer_keystore_opts opts = {.size = sizeof opts,
                                        .path = path,
                                        .flags = COFFER_KEYSTORE_CREATE,
                                        .root_key_file = root,
                                        .env = &env};
    struct coffer_key_metadata key = {.size = sizeof key};
    struct coffer_fault fault;
    int fd;

    harness_require(mkdtemp(directory) != NULL, "no directory");
    snprintf(path, sizeof path, "%s/keys", directory);
    snprintf(root, sizeof root, "%s/root", directory);
    fd = open(root, O_CREAT | O_WRONLY, 0600);
    harness_require(fd >= 0 && write(fd, "0123456789abcdef0123456789abcdef", 32) == 32, "no root");
    close(fd);
    harness_require(coffer_keystore_open(&opts, &store, &fault) == 0, "no store: %s", fault.detail);
    harness_require(coffer_keystore_create_key(store, "", &key, &fault) == 0, "no key");
    memcpy(key_id, key.key_id, sizeof key_id);
    (void)atexit(remove_store);
}

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
    struct coffer_kms_answer answer = {.size = sizeof answer};
    struct coffer_kms_request request = {.size = sizeof request};
    int accepted;

    if (store == NULL) {
        make_store();
    }
    if (size == 0) {
        return 0;
    }
    request.operation = cof_wire_at(data[0] % operation_count())->name;
    request.body = data + 1;
    request.body_bytes = size - 1;
    harness_require(coffer_kms_call(store, &request, &answer) == 0, "no answer");
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
    {"GetKeyPolicy", "{\"KeyId\":\"%s\",\"PolicyName\":\"default\"}"},
};

size_t fuzz_seed(unsigned number, uint8_t *bytes, size_t room)
{
    unsigned operation = 0;
    int length;

    if (store == NULL) {
        make_store();
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
    length = snprintf((char *)bytes + 1, room - 1, seeds[number].body, key_id);
#pragma GCC diagnostic pop
    return length < 0 ? 0 : (size_t)length + 1;
}

FUZZ_MAIN("fuzz_wire", 3000)
