/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key stores whose root key opens by a TPM 2.0 (swtpm): made, opened, and not opened by another
 * TPM, by a wrong auth value, from an altered file or without a TPM.
 */
#include "kms/token/tpm.h"
#include "kms_fixture.h"
#include "kms_openssl.h"
#include "kms_search.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/socket.h>

struct scene {
    struct kms_fixture f;
    struct kms_openssl *o;
    bool has_tpm;
    pid_t tpm; /* 0: none runs */
    unsigned port;
    char uri[400];
};

/* ---- the TPM ----------------------------------------------------------------------------- */

static bool port_is_free(unsigned port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool free_now = bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;

    close(fd);
    return free_now;
}

/* swtpm takes two ports, one after the other; it is ready when it has gone into the background. */
static void start(struct scene *s, const char *state)
{
    char text[16];
    unsigned tries;
    int status = 1;

    openssl_run(s->o, "mkdir -p %s", state);
    for (tries = 0; tries < 50 && status != 0; tries++) {
        s->port = 20000 + ((unsigned)getpid() * 7 + 2 * (unsigned)random()) % 30000;
        if (port_is_free(s->port) && port_is_free(s->port + 1)) {
            status = openssl_try(
                s->o,
                "swtpm socket --tpm2 --tpmstate dir=$PWD/%s --flags not-need-init,startup-clear "
                "--server type=tcp,port=%u,bindaddr=127.0.0.1 "
                "--ctrl type=tcp,port=%u,bindaddr=127.0.0.1 --daemon --pid file=$PWD/pid",
                state, s->port, s->port + 1);
        }
    }
    assert_int_equal(status, 0);
    memset(text, 0, sizeof(text));
    openssl_read(s->o, "pid", text, sizeof(text) - 1);
    s->tpm = (pid_t)atol(text);
    assert_true(s->tpm > 1);
    snprintf(s->uri, sizeof(s->uri),
             "tpm2:%s/sealed?auth-source=file:%s/auth&tcti=swtpm:host=127.0.0.1,port=%u",
             s->o->directory, s->o->directory, s->port);
}

static void stop(struct scene *s)
{
    if (s->tpm > 1) {
        kill(s->tpm, SIGKILL);
        while (!port_is_free(s->port)) {
            sched_yield();
        }
    }
    s->tpm = 0;
}

static int setup(void **state)
{
    struct scene *s = calloc(1, sizeof(*s));
    void *part = NULL;

    assert_non_null(s);
    setenv("TSS2_LOG", "all+none", 0);
    fixture_init(&s->f);
    openssl_setup(&part);
    s->o = part;
    s->has_tpm = system("swtpm --version >/dev/null 2>&1") == 0;
    if (s->has_tpm) {
        openssl_run(s->o, "echo open-sesame >auth && chmod 600 auth");
        start(s, "state");
    }
    s->f.opts.passphrase = NULL;
    s->f.opts.root_key_file = s->uri;
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct scene *s = *state;
    void *part = s->o;

    stop(s);
    fixture_done(&s->f);
    (void)openssl_try(s->o, "rm -rf state other");
    openssl_teardown(&part);
    free(s);
    return 0;
}

#define TPM_OR_SKIP(s)                                          \
    do {                                                        \
        if (!(s)->has_tpm) {                                    \
            print_message("skipped: swtpm is not installed\n"); \
            skip();                                             \
        }                                                       \
    } while (0)

/* ---- cases ------------------------------------------------------------------------------- */

static void the_tpm_opens_the_store_again(void **state)
{
    struct scene *s = *state;
    struct coffer_keystore_info info = {.size = sizeof(info)};
    struct coffer_key_metadata key;

    TPM_OR_SKIP(s);
    assert_int_equal(fixture_open(&s->f), 0);
    assert_int_equal(coffer_keystore_info_get(s->f.store, &info), 0);
    assert_int_equal(info.root_kind, COFFER_ROOT_TPM);
    key = *fixture_key(&s->f);
    fixture_close(&s->f);
    s->f.opts.flags = 0;
    assert_int_equal(fixture_open(&s->f), 0);
    assert_int_equal(coffer_keystore_describe_key(s->f.store, key.key_id, &key, &s->f.fault), 0);
    openssl_run(s->o, "test $(stat -c %%a sealed) = 600");
}

static void a_wrong_auth_value_does_not(void **state)
{
    struct scene *s = *state;

    TPM_OR_SKIP(s);
    assert_int_equal(fixture_open(&s->f), 0);
    fixture_close(&s->f);
    openssl_run(s->o, "echo open-barley >auth");
    assert_int_equal(fixture_open(&s->f), COFFER_E_PASSPHRASE);
    openssl_run(s->o, "chmod 640 auth");
    assert_int_equal(fixture_open(&s->f), COFFER_E_ACCESS);
    openssl_run(s->o, "chmod 600 auth && echo 123456789012345678901234567890123 >auth");
    assert_int_equal(fixture_open(&s->f), COFFER_E_INVALID);
    openssl_run(s->o, "rm auth");
    assert_int_equal(fixture_open(&s->f), COFFER_E_NOT_FOUND);
    openssl_run(s->o, "echo open-sesame >auth && chmod 600 auth");
    assert_int_equal(fixture_open(&s->f), 0);
}

static void an_altered_file_does_not(void **state)
{
    struct scene *s = *state;
    uint8_t file[1200];
    size_t bytes, i;

    TPM_OR_SKIP(s);
    assert_int_equal(fixture_open(&s->f), 0);
    fixture_close(&s->f);
    bytes = openssl_read(s->o, "sealed", file, sizeof(file));
    assert_true(bytes > 100 && bytes < sizeof(file));
    for (i = 0; i < bytes; i += 13) {
        file[i] ^= 1;
        openssl_write(s->o, "sealed", file, bytes);
        assert_int_not_equal(fixture_open(&s->f), 0);
        assert_null(s->f.store);
        file[i] ^= 1;
    }
    for (i = 1; i < bytes; i += 31) {
        openssl_write(s->o, "sealed", file, i);
        assert_int_equal(fixture_open(&s->f), COFFER_E_TAMPER);
    }
    openssl_write(s->o, "sealed", file, bytes);
    assert_int_equal(fixture_open(&s->f), 0);
}

static void another_tpm_does_not_and_none_does_not(void **state)
{
    struct scene *s = *state;

    TPM_OR_SKIP(s);
    assert_int_equal(fixture_open(&s->f), 0);
    fixture_close(&s->f);
    stop(s);
    assert_int_equal(fixture_open(&s->f), COFFER_E_KEY_UNREACHABLE);
    start(s, "other");
    assert_int_equal(fixture_open(&s->f), COFFER_E_TAMPER);
    assert_non_null(strstr(s->f.fault.detail, "TPM"));
    stop(s);
    start(s, "state");
    assert_int_equal(fixture_open(&s->f), 0);
}

static void what_was_unsealed_does_not_stay_in_memory(void **state)
{
    struct scene *s = *state;
    uint8_t *secret = NULL, masked[1][SEARCH_BYTES];
    unsigned found[1];

    TPM_OR_SKIP(s);
    assert_int_equal(coffer_keystore_secret_new(COF_TPM_SECRET_BYTES, &secret), 0);
    memset(secret, 0x3c, COF_TPM_SECRET_BYTES);
    secret[3] = 0x77;
    search_mask(secret, masked[0]);
    assert_int_equal(cof_tpm_make(s->uri, secret, &s->f.fault), 0);
    assert_int_equal(cof_tpm_make(s->uri, secret, &s->f.fault), COFFER_E_EXISTS);
    memset(secret, 0, COF_TPM_SECRET_BYTES);
    search_memory(masked, 1, found);
    assert_int_equal(found[0], 0);
    assert_int_equal(cof_tpm_open(s->uri, secret, &s->f.fault), 0);
    assert_int_equal(secret[3], 0x77);
    search_memory(masked, 1, found);
    assert_int_equal(found[0], 1);
    coffer_keystore_secret_free(secret);
    search_memory(masked, 1, found);
    assert_int_equal(found[0], 0);
}

/* An auth value of the most bytes, drawn anew, into the file and into masked. */
static void draw_auth(struct scene *s, uint8_t masked[SEARCH_BYTES])
{
    char path[200];
    int fd;

    openssl_run(s->o, "head -c 24 /dev/urandom | base64 >auth"); /* 32 characters */
    snprintf(path, sizeof(path), "%s/auth", s->o->directory);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, masked, SEARCH_BYTES), SEARCH_BYTES);
    close(fd);
    search_mask(masked, masked);
}

static void auth_values_do_not_stay_in_memory(void **state)
{
    struct scene *s = *state;
    uint8_t secret[COF_TPM_SECRET_BYTES] = {1}, masked[2][SEARCH_BYTES], *planted = NULL;
    unsigned found[2], i;

    TPM_OR_SKIP(s);
    draw_auth(s, masked[0]);
    assert_int_equal(cof_tpm_make(s->uri, secret, &s->f.fault), 0);
    search_memory(masked, 1, found);
    assert_int_equal(found[0], 0);
    assert_int_equal(cof_tpm_open(s->uri, secret, &s->f.fault), 0);
    search_memory(masked, 1, found);
    assert_int_equal(found[0], 0);
    draw_auth(s, masked[1]);
    assert_int_equal(cof_tpm_open(s->uri, secret, &s->f.fault), COFFER_E_PASSPHRASE);
    search_memory(masked, 2, found);
    assert_int_equal(found[0] + found[1], 0);
    assert_int_equal(coffer_keystore_secret_new(SEARCH_BYTES, &planted), 0);
    for (i = 0; i < SEARCH_BYTES; i++) {
        planted[i] = masked[1][i] ^ SEARCH_MASK;
    }
    search_memory(masked, 2, found);
    assert_int_equal(found[0], 0);
    assert_int_equal(found[1], 1);
    coffer_keystore_secret_free(planted);
}

static void uris_are_checked(void **state)
{
    static const char *const bad[] = {"tpm2:",
                                      "tpm2:/x",
                                      "tpm2:?auth-source=file:/y",
                                      "tpm2:/x?auth-source=/y",
                                      "tpm2:/x?auth-source=file:",
                                      "tpm2:/x?auth-source=file:/y&other=1",
                                      "tpm2:/x?auth-source=file:/y&auth-source=file:/z"};
    struct scene *s = *state;
    uint8_t secret[COF_TPM_SECRET_BYTES];
    size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_true(cof_tpm_is_uri(bad[i]));
        assert_int_equal(cof_tpm_open(bad[i], secret, &s->f.fault), COFFER_E_INVALID);
    }
    assert_false(cof_tpm_is_uri("./tpm2:x"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_tpm_opens_the_store_again),
        CASE(a_wrong_auth_value_does_not),
        CASE(an_altered_file_does_not),
        CASE(another_tpm_does_not_and_none_does_not),
        CASE(what_was_unsealed_does_not_stay_in_memory),
        CASE(auth_values_do_not_stay_in_memory),
        CASE(uris_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
