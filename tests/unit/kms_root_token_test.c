/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key stores whose root key opens by a PKCS#11 token (SoftHSM): made, opened, not opened by
 * another, and shut while the token is away.
 */
#include "kms/token/pkcs11.h"
#include "kms_fixture.h"
#include "kms_search.h"
#include "kms_softhsm.h"

struct scene {
    struct kms_fixture f;
    struct softhsm h;
};

static int setup(void **state)
{
    struct scene *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    fixture_init(&s->f);
    softhsm_setup(&s->h);
    if (s->h.module != NULL) {
        softhsm_token(&s->h, "first", "root");
    }
    s->f.opts.passphrase = NULL;
    s->f.opts.root_key_file = s->h.uri;
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct scene *s = *state;

    fixture_done(&s->f);
    softhsm_teardown(&s->h);
    free(s);
    return 0;
}

static void the_token_opens_the_store_again(void **state)
{
    struct scene *s = *state;
    struct coffer_keystore_info info = {.size = sizeof(info)};
    struct coffer_key_blob blob;
    uint8_t plaintext[32];
    size_t bytes = 0;

    SOFTHSM_OR_SKIP(&s->h);
    assert_int_equal(fixture_open(&s->f), 0);
    assert_int_equal(coffer_keystore_info_get(s->f.store, &info), 0);
    assert_int_equal(info.root_kind, COFFER_ROOT_TOKEN);
    assert_int_equal(info.argon2_memory_kib, 0);
    assert_int_equal(coffer_keystore_encrypt(s->f.store, NULL, (const uint8_t *)"ten", 3, NULL,
                                             &blob, NULL, &s->f.fault),
                     0);
    fixture_close(&s->f);
    s->f.opts.flags = 0;
    assert_int_equal(fixture_open(&s->f), 0);
    assert_int_equal(coffer_keystore_decrypt(s->f.store, NULL, blob.bytes, blob.length_bytes, NULL,
                                             plaintext, sizeof(plaintext), &bytes, NULL,
                                             &s->f.fault),
                     0);
    assert_int_equal(bytes, 3);
    assert_memory_equal(plaintext, "ten", 3);
}

static void nothing_opens_while_the_token_is_away(void **state)
{
    struct scene *s = *state;

    SOFTHSM_OR_SKIP(&s->h);
    assert_int_equal(fixture_open(&s->f), 0);
    fixture_close(&s->f);
    softhsm_take_away(&s->h);
    assert_int_equal(fixture_open(&s->f), COFFER_E_KEY_UNREACHABLE);
    assert_non_null(strstr(s->f.fault.detail, "not there"));
    softhsm_put_back(&s->h);
    assert_int_equal(fixture_open(&s->f), 0);
}

static void another_key_does_not_open_it(void **state)
{
    struct scene *s = *state;
    char other[96];

    SOFTHSM_OR_SKIP(&s->h);
    assert_int_equal(fixture_open(&s->f), 0);
    fixture_close(&s->f);
    /* A token of another label has no such key; one that is given it has another. */
    softhsm_token(&s->h, "second", "root");
    s->f.opts.flags = 0;
    assert_int_equal(fixture_open(&s->f), COFFER_E_NOT_FOUND);
    snprintf(other, sizeof(other), "%s/other", s->f.directory);
    s->f.opts.path = other;
    s->f.opts.flags = COFFER_KEYSTORE_CREATE;
    assert_int_equal(fixture_open(&s->f), 0);
    fixture_close(&s->f);
    s->f.opts.path = s->f.path;
    assert_int_equal(fixture_open(&s->f), COFFER_E_PASSPHRASE);
}

static void pins_come_from_files_of_ones_own(void **state)
{
    static const char *const bad[] = {
        "pkcs11:token=first;object=root?module-path=%s&pin-value=12345678",
        "pkcs11:token=first;object=root?module-path=%s",
        "pkcs11:token=first;object=root?module-path=%s&pin-source=|cat",
        "pkcs11:token=first?module-path=%s&pin-source=file:%s/pin",
        "pkcs11:token=first;object=root?pin-source=file:/dev/null&x-%s=1",
        "pkcs11:%%zz%s"};
    struct scene *s = *state;
    size_t i;

    SOFTHSM_OR_SKIP(&s->h);
    assert_int_equal(fixture_open(&s->f), 0);
    fixture_close(&s->f);
    openssl_run(s->h.o, "chmod 644 pin");
    assert_int_equal(fixture_open(&s->f), COFFER_E_ACCESS);
    openssl_run(s->h.o, "chmod 600 pin && echo 9999 >pin");
    assert_int_equal(fixture_open(&s->f), COFFER_E_PASSPHRASE);
    assert_null(strstr(s->f.fault.detail, "9999"));
    openssl_run(s->h.o, "rm pin");
    assert_int_equal(fixture_open(&s->f), COFFER_E_NOT_FOUND);
    openssl_run(s->h.o, "echo 12345678 >pin && chmod 600 pin");
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(s->h.uri, sizeof(s->h.uri), bad[i], s->h.module, s->h.o->directory);
        assert_int_equal(fixture_open(&s->f), COFFER_E_INVALID);
    }
    snprintf(s->h.uri, sizeof(s->h.uri),
             "pkcs11:token=first;object=root?module-path=/none.so&pin-source=file:%s/pin",
             s->h.o->directory);
    assert_int_equal(fixture_open(&s->f), COFFER_E_KEY_UNREACHABLE);
}

static void the_kinds_do_not_mix(void **state)
{
    struct scene *s = *state;
    char own[96];

    SOFTHSM_OR_SKIP(&s->h);
    assert_int_equal(fixture_open(&s->f), 0);
    fixture_close(&s->f);
    fixture_write(s->f.key_file, "01234567856789abcdef01234567856789abcdef", 32, 0600);
    s->f.opts.root_key_file = s->f.key_file;
    assert_int_equal(fixture_open(&s->f), COFFER_E_PASSPHRASE);
    assert_non_null(strstr(s->f.fault.detail, "PKCS#11 token"));
    snprintf(own, sizeof(own), "%s/other", s->f.directory);
    s->f.opts.path = own;
    assert_int_equal(fixture_open(&s->f), 0);
    fixture_close(&s->f);
    s->f.opts.root_key_file = s->h.uri;
    assert_int_equal(fixture_open(&s->f), COFFER_E_PASSPHRASE);
}

/* What the token gave is in no page after the store was opened. */
static void the_token_s_answer_does_not_stay_in_memory(void **state)
{
    struct scene *s = *state;
    struct cof_kms_bytes label = {(const uint8_t *)"coffer/kms/root-token/1", 23};
    struct cof_kms_env env;
    struct cof_token *token = NULL;
    unsigned long handle = 0;
    uint8_t *mac = NULL, masked[1][SEARCH_BYTES];
    unsigned found[1];

    SOFTHSM_OR_SKIP(&s->h);
    assert_int_equal(fixture_open(&s->f), 0);
    fixture_close(&s->f);
    cof_kms_env_init(&env, NULL);
    assert_int_equal(coffer_keystore_secret_new(32, &mac), 0);
    assert_int_equal(cof_token_open(&env, s->h.uri, NULL, &token, &s->f.fault), 0);
    assert_int_equal(cof_token_make(token, "root", &s->f.fault), COFFER_E_EXISTS);
    assert_int_equal(cof_token_find(token, "none", &handle, &s->f.fault), COFFER_E_NOT_FOUND);
    assert_int_equal(cof_token_find(token, "root", &handle, &s->f.fault), 0);
    assert_int_equal(cof_token_mac(token, handle, label, mac, &s->f.fault), 0);
    search_mask(mac, masked[0]);
    search_memory(masked, 1, found);
    assert_true(found[0] >= 1);
    coffer_keystore_secret_free(mac);
    cof_token_close(token);
    assert_int_equal(fixture_open(&s->f), 0);
    search_memory(masked, 1, found);
    assert_int_equal(found[0], 0);
}

/* The token says of its key that it never leaves it. */
static void the_key_can_t_be_taken_out(void **state)
{
    struct scene *s = *state;

    SOFTHSM_OR_SKIP(&s->h);
    assert_int_equal(fixture_open(&s->f), 0);
    if (system("pkcs11-tool --version >/dev/null 2>&1") == 127 << 8) {
        print_message("skipped: pkcs11-tool (opensc) is not installed\n");
        skip();
    }
    openssl_run(s->h.o,
                "pkcs11-tool --module %s --token-label first --login --pin 12345678 -O "
                ">objects && grep -q 'never extractable' objects && "
                "grep -q sensitive objects",
                s->h.module);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_token_opens_the_store_again),
        CASE(nothing_opens_while_the_token_is_away),
        CASE(another_key_does_not_open_it),
        CASE(pins_come_from_files_of_ones_own),
        CASE(the_kinds_do_not_mix),
        CASE(the_token_s_answer_does_not_stay_in_memory),
        CASE(the_key_can_t_be_taken_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
