/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/kms_answer - what a service answers, as the client gets it behind libcurl: a byte for the
 * call, one for the status, and the body. cof_client_transfer is wrapped, so that nothing is sent.
 *
 * Whatever comes back, a call ends in success with values that fit, or in an error with a sentence
 * that no terminal minds, and tries no more often than the client was told.
 */
#include "fuzz/fuzz_driver.h"

#include "kms/client/client.h"

#include <ctype.h>

#define TRIES_MAX 3u
#define ARN "arn:coffer:kms:local-1:000000000000:key/00000000-0000-4000-8000-000000000000"

static struct coffer_kms_client *client;
static const uint8_t *body;
static size_t body_bytes;
static int status;
static unsigned tries;
static uint64_t now_ns;

int __wrap_cof_client_transfer(struct coffer_kms_client *asked, struct cof_client_try *try_,
                               struct coffer_kms_answer *ret_answer, struct coffer_fault *fault);

/* As transfer.c ends: the body grows by pieces, and is read. */
int __wrap_cof_client_transfer(struct coffer_kms_client *asked, struct cof_client_try *try_,
                               struct coffer_kms_answer *ret_answer, struct coffer_fault *fault)
{
    struct cof_client_body grown = {.env = &asked->env, .max = asked->answer_bytes_max};
    struct coffer_kms_answer answer = {.size = ret_answer->size, .status = status};
    int error = 0;
    tries++;
    try_->arrived = true;
    for (size_t at = 0; error == 0 && at < body_bytes; at += 1000) {
        error = cof_client_body_add(&grown, body + at,
                                    body_bytes - at < 1000 ? body_bytes - at : 1000);
    }
    answer.body = grown.bytes;
    answer.body_bytes = grown.count;
    if (error != 0) {
        cof_client_body_done(&grown);
        return cof_kms_fault(fault, COFFER_E_KEY_UNREACHABLE, "too long");
    }
    error = cof_client_answer_read(&answer, fault);
    if (error == 0) {
        *ret_answer = answer;
        grown.bytes = NULL;
    }
    cof_client_body_done(&grown);
    return error;
}

static uint64_t clock_ns(void *ctx)
{
    (void)ctx;
    return now_ns;
}

static void wait_ns(void *ctx, uint64_t ns)
{
    (void)ctx;
    now_ns += ns;
}

static void make_client(void)
{
    static struct coffer_env env = {.size = sizeof env, .monotonic_ns = clock_ns};
    struct coffer_kms_client_opts opts = {.size = sizeof opts,
                                          .url = "http://127.0.0.1:1",
                                          .access_key_id = "AKIDEXAMPLE",
                                          .secret = "secret",
                                          .region = "local-1",
                                          .tries_max = TRIES_MAX,
                                          .answer_bytes_max = 8192,
                                          .env = &env,
                                          .wait_ns = wait_ns};
    struct coffer_fault fault;
    harness_require(coffer_kms_client_new(&opts, &client, &fault) == 0, "no client: %s",
                    fault.detail);
}

static int describe(const struct coffer_key_provider *provider)
{
    struct coffer_key_info info = {.arn = ""};
    int error = provider->ops->describe(provider->ctx, ARN, &info);
    harness_require(error != 0 || (info.arn[0] != '\0' &&
                                   memchr(info.arn, '\0', sizeof info.arn) != NULL &&
                                   info.state <= COFFER_KEY_UNAVAILABLE),
                    "a key that is none");
    return error;
}

static int get_blob(const struct coffer_key_provider *provider, bool anew)
{
    static struct coffer_key_blob blob, from = {.length_bytes = 3};
    int error;
    blob.length_bytes = 0;
    error = anew ? provider->ops->re_encrypt(provider->ctx, &from, NULL, ARN, NULL, &blob)
                 : provider->ops->generate_data_key_without_plaintext(provider->ctx, ARN, NULL,
                                                                      &blob);
    harness_require(error != 0 ||
                        (blob.length_bytes > 0 && blob.length_bytes <= sizeof blob.bytes),
                    "a blob of %zu bytes", (size_t)blob.length_bytes);
    return error;
}

static int get_key(const struct coffer_key_provider *provider)
{
    static const struct coffer_key_blob blob = {.length_bytes = 3};
    uint8_t key[COFFER_KEY_BYTES + 1] = {[COFFER_KEY_BYTES] = 0xa5};
    int error = provider->ops->decrypt(provider->ctx, ARN, &blob, NULL, key);
    harness_require(key[COFFER_KEY_BYTES] == 0xa5, "a byte beyond the key");
    return error;
}

static int call_provider(unsigned which)
{
    static const char *const operations[] = {"Decrypt"};
    struct coffer_key_provider provider;
    char grant[COFFER_GRANT_ID_BYTES] = "";
    int error;
    harness_require(coffer_kms_client_provider(client, &provider) == 0, "no provider");
    switch (which) {
    case 0:
        return describe(&provider);
    case 1:
    case 2:
        return get_blob(&provider, which == 2);
    case 3:
        return get_key(&provider);
    case 4:
        error = provider.ops->create_grant(provider.ctx, ARN, ARN, "volume", operations, 1, NULL,
                                           grant);
        harness_require(error != 0 || grant[0] != '\0', "a grant without an id");
        return error;
    default:
        return provider.ops->retire_grant(provider.ctx, ARN, "00");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int states[] = {200, 400, 403, 429, 500, 503, 302, 0};
    struct coffer_fault fault = {0};
    int error;
    if (client == NULL) {
        make_client();
    }
    if (size < 2) {
        return 0;
    }
    body = data + 2;
    body_bytes = size - 2;
    status = states[data[1] % 8u];
    tries = 0;
    error = call_provider(data[0] % 6u);
    harness_require(error <= 0 && tries >= 1 && tries <= TRIES_MAX, "%u tries", tries);
    if (error != 0) {
        coffer_kms_client_provider_fault(client, &fault);
        harness_require(fault.error == error && fault.detail[0] != '\0', "%s without a word",
                        coffer_error_name(error));
        for (const char *at = fault.detail; *at != '\0'; at++) {
            harness_require(!iscntrl((unsigned char)*at), "a message with %d", *at);
        }
    }
    return error == 0;
}

/* call, status, body */
static const struct {
    uint8_t call, status;
    const char *body;
} seeds[] = {
    {0, 0,
     "{\"KeyMetadata\":{\"Arn\":\"" ARN
     "\",\"KeyState\":\"Enabled\",\"KeyManager\":\"CUSTOMER\"}}"},
    {0, 0, "{\"KeyMetadata\":{\"Arn\":\"" ARN "\",\"KeyState\":\"PendingReplicaDeletion\"}}"},
    {1, 0, "{\"CiphertextBlob\":\"QUJDREVG\"}"},
    {2, 0, "{\"CiphertextBlob\":\"QUI=\",\"KeyId\":\"k\"}"},
    {3, 0, "{\"Plaintext\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"}"},
    {4, 0, "{\"GrantId\":\"0011\"}"},
    {5, 0, "{}"},
};
static const struct {
    uint8_t call, status;
    const char *body;
} hints[] = {
    {0, 1, "{\"__type\":\"com.amazonaws.kms#NotFoundException\",\"message\":\"a\\u001bb\"}"},
    {3, 1, "{\"__type\":\"DisabledException\",\"Message\":\"off\"}"},
    {1, 3, "{\"__type\":\"ThrottlingException\"}"},
    {3, 4, "{\"__type\":\"KMSInternalException\"}"},
    {3, 5, "<html>"},
    {3, 0, "{\"Plaintext\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh==\"}"},
};

static size_t give(uint8_t call, uint8_t state, const char *text, uint8_t *bytes)
{
    bytes[0] = call;
    bytes[1] = state;
    memcpy(bytes + 2, text, strlen(text));
    return 2 + strlen(text);
}

size_t fuzz_seed(unsigned number, uint8_t *bytes, size_t room)
{
    return number >= sizeof seeds / sizeof seeds[0] || room < 1024
               ? 0
               : give(seeds[number].call, seeds[number].status, seeds[number].body, bytes);
}

size_t fuzz_hint(unsigned number, uint8_t *bytes, size_t room)
{
    return number >= sizeof hints / sizeof hints[0] || room < 1024
               ? 0
               : give(hints[number].call, hints[number].status, hints[number].body, bytes);
}

FUZZ_MAIN("fuzz_kms_answer", 150000)
