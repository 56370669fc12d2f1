/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets of access keys and sessions: in no page of the process once the answer that gave them out
 * is done with, though the key store is open and requests were authenticated by them. The search is
 * of /proc/self/mem.
 */
#include "kms/base64.h"
#include "kms/wire/authenticate.h"
#include "kms_fixture.h"
#include "kms_search.h"

#define SECRETS 2u
#define SECRET_CHARACTERS 40u

static uint8_t drawn[SECRETS]
                    [SEARCH_BYTES]; /* masked: the text of each secret's first 32 characters */
static unsigned drawn_count;

/* Thirty bytes are drawn for a secret, and for nothing else. */
static int draw_and_keep(void *ctx, void *buffer, size_t bytes)
{
    uint8_t *out = buffer;
    char text[SECRET_CHARACTERS + 1];
    size_t i;

    (void)ctx;
    for (i = 0; i < bytes; i++) {
        out[i] = (uint8_t)random();
    }
    if (bytes == 30) {
        assert_true(drawn_count < SECRETS);
        (void)cof_kms_base64_encode((struct cof_kms_bytes){out, bytes}, text);
        search_mask((const uint8_t *)text, drawn[drawn_count++]);
        explicit_bzero(text, sizeof(text));
    }
    return 0;
}

struct key {
    char id[32];
    char secret[48];
    char token[COF_IDENTITY_TOKEN_BYTES_MAX];
};

static void copy_member(const struct coffer_kms_answer *answer, const char *name, char *ret_text)
{
    const char *at = strstr((const char *)answer->body, name);
    size_t bytes;

    ret_text[0] = '\0';
    if (at != NULL) {
        at += strlen(name);
        bytes = strcspn(at, "\"");
        memcpy(ret_text, at, bytes);
        ret_text[bytes] = '\0';
    }
}

/* Ask for credentials, into locked memory. */
static void make(struct kms_fixture *f, const char *operation, const char *body, struct key *key)
{
    struct coffer_kms_request request = {.size = sizeof(request),
                                         .operation = operation,
                                         .body = (const uint8_t *)body,
                                         .body_bytes = strlen(body)};
    struct coffer_kms_answer answer = {.size = sizeof(answer)};
    unsigned found[SECRETS];

    assert_int_equal(coffer_kms_call(f->store, &request, &answer), 0);
    assert_string_equal(answer.error, "");
    search_memory(drawn, drawn_count, found);
    assert_int_equal(found[drawn_count - 1], 1); /* in the answer alone, and the search finds it */
    copy_member(&answer, "\"AccessKeyId\":\"", key->id);
    copy_member(&answer, "\"SecretAccessKey\":\"", key->secret);
    copy_member(&answer, "\"SessionToken\":\"", key->token);
    coffer_kms_answer_done(&answer);
}

static enum cof_sigv4_verdict authenticate(struct kms_fixture *f, const struct key *key)
{
    static const struct coffer_kms_header host = {"Host", "h"};
    struct coffer_kms_header all[6] = {host};
    struct coffer_kms_http_request http = {
        .size = sizeof(http), .method = "POST", .target = "/", .headers = all, .header_count = 1};
    struct coffer_kms_signing signing = {.size = sizeof(signing),
                                         .access_key_id = key->id,
                                         .secret = key->secret,
                                         .session_token = key->token,
                                         .region = "local-1"};
    struct coffer_kms_signed made = {.size = sizeof(made)};
    struct cof_identity_caller caller;
    struct cof_sigv4_result result;
    bool announced = true;

    memset(&caller, 0, sizeof(caller));
    assert_int_equal(coffer_kms_sign(NULL, &http, &signing, &made, NULL), 0);
    memcpy(all + 1, made.headers, made.header_count * sizeof(all[0]));
    http.header_count = 1 + made.header_count;
    cof_kms_batch_announce(f->store);
    assert_int_equal(cof_identity_authenticate(f->store, &http, &announced, &caller, &result), 0);
    if (announced) {
        cof_kms_batch_withdraw(f->store);
    }
    cof_identity_caller_done(&caller);
    coffer_kms_signed_done(&made);
    return result.verdict;
}

static void no_secret_is_left_in_memory(void **state)
{
    struct kms_fixture *f = *state;
    struct coffer_env env = {.size = sizeof(env), .random = draw_and_keep};
    unsigned found[SECRETS], i;
    struct key *keys = NULL;
    uint8_t *memory = NULL;

    fixture_close(f);
    unlink(f->path);
    f->opts.env = &env;
    assert_int_equal(fixture_open(f), 0);
    assert_int_equal(coffer_keystore_secret_new(SECRETS * sizeof(*keys), &memory), 0);
    keys = (struct key *)(void *)memory;
    make(f, "CreateAccessKey", "{\"UserName\":\"root\"}", &keys[0]);
    make(f, "GetSessionToken", "{}", &keys[1]);
    assert_int_equal(drawn_count, SECRETS);
    for (i = 0; i < SECRETS; i++) {
        assert_int_equal(strlen(keys[i].secret), SECRET_CHARACTERS);
        assert_int_equal(authenticate(f, &keys[i]), COF_SIGV4_GOOD);
        keys[i].id[19] = keys[i].id[19] == 'A' ? 'B' : 'A';
        assert_int_equal(authenticate(f, &keys[i]), COF_SIGV4_UNKNOWN_KEY);
    }
    search_memory(drawn, drawn_count, found);
    assert_int_equal(found[0], 1); /* ours */
    assert_int_equal(found[1], 1);
    coffer_keystore_secret_free(memory);
    search_memory(drawn, drawn_count, found);
    assert_int_equal(found[0], 0);
    assert_int_equal(found[1], 0);
    f->opts.env = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_secret_is_left_in_memory, fixture_setup,
                                        fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
