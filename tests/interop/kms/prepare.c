/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prepare.c - make the store that the conformance suite serves: its accounts, and an access key for
 * the root of each, as JSON on standard output.
 *
 * usage: kms_conform_prepare STORE ROOT_KEY ACCOUNT...
 */
#include <coffer/keystore.h>
#include <coffer/kms.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOME_ACCOUNT "111122223333"
#define HOME_REGION "test-1"

static struct coffer_keystore *open_store(const char *path, const char *root_key)
{
    struct coffer_keystore_opts opts = {.size = sizeof(opts),
                                        .path = path,
                                        .account = HOME_ACCOUNT,
                                        .region = HOME_REGION,
                                        .flags = COFFER_KEYSTORE_CREATE,
                                        .root_key_file = root_key};
    struct coffer_keystore *store = NULL;
    struct coffer_fault fault = {0};
    int error = coffer_keystore_open(&opts, &store, &fault);

    if (error != 0) {
        (void)fprintf(stderr, "cannot open the key store: %s\n", fault.detail);
    }
    return store;
}

/* One operation as the root of account; NULL after a complaint. */
static json_t *ask(struct coffer_keystore *store, const char *account, const char *operation,
                   json_t *params)
{
    char principal[64];
    char *body = json_dumps(params, 0);
    struct coffer_kms_request request = {.size = sizeof(request),
                                         .operation = operation,
                                         .principal = principal,
                                         .body = (const uint8_t *)body,
                                         .body_bytes = strlen(body)};
    struct coffer_kms_answer answer = {.size = sizeof(answer)};
    json_t *value = NULL;

    (void)snprintf(principal, sizeof(principal), "arn:coffer:iam::%s:root", account);
    if (coffer_kms_call(store, &request, &answer) == 0) {
        value = json_loadb((const char *)answer.body, answer.body_bytes, 0, NULL);
        if (answer.status != 200) {
            (void)fprintf(stderr, "%s: %s\n", operation, answer.error);
            json_decref(value);
            value = NULL;
        }
    }
    coffer_kms_answer_done(&answer);
    json_decref(params);
    free(body);
    return value;
}

static int prepare(struct coffer_keystore *store, char **accounts, int count)
{
    json_t *all = json_object();

    for (int i = -1; i < count; i++) {
        const char *account = i < 0 ? HOME_ACCOUNT : accounts[i];

        if (i >= 0) {
            json_t *made = ask(store, HOME_ACCOUNT, "CreateAccount",
                               json_pack("{s:s}", "AccountId", account));

            if (made == NULL) {
                return 1;
            }
            json_decref(made);
        }
        json_t *key = ask(store, account, "CreateAccessKey", json_object());
        if (key == NULL) {
            return 1;
        }
        (void)json_object_set(all, account, json_object_get(key, "AccessKey"));
        json_decref(key);
    }
    (void)json_dumpf(all, stdout, 0);
    json_decref(all);
    return 0;
}

int main(int argc, char **argv)
{
    struct coffer_keystore *store;
    int code;

    if (argc < 3) {
        (void)fprintf(stderr, "usage: %s STORE ROOT_KEY ACCOUNT...\n", argv[0]);
        return 2;
    }
    store = open_store(argv[1], argv[2]);
    if (store == NULL) {
        return 1;
    }
    code = prepare(store, argv + 3, argc - 3);
    coffer_keystore_close(store);
    return code;
}
