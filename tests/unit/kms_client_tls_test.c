/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms_client_tls_test.c - whom a client believes: the certificate, its name, its time, the version
 * of TLS. Certificates are made by the openssl program.
 */
#include "kms_client_fixture.h"

#include <openssl/pem.h>

#define OK_BODY "{\"Keys\":[]}"

struct certificates {
    char folder[64];
};

static void run(const char *format, const char *folder)
{
    char command[1024];

    (void)snprintf(command, sizeof(command), format, folder);
    assert_int_equal(system(command), 0); /* a fixed line over a path of our own */
}

/* Ours as it would have been the day before yesterday: expired.pem, expired.key. */
static void expire(const char *folder)
{
    char path[128];
    FILE *file;

    run("cd %s && cp ours.key expired.key", folder);
    (void)snprintf(path, sizeof(path), "%s/ours.pem", folder);
    file = fopen(path, "r");
    X509 *certificate = PEM_read_X509(file, NULL, NULL, NULL);
    fclose(file);
    (void)snprintf(path, sizeof(path), "%s/ours.key", folder);
    file = fopen(path, "r");
    EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    fclose(file);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -172800);
    X509_gmtime_adj(X509_getm_notAfter(certificate), -86400);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    (void)snprintf(path, sizeof(path), "%s/expired.pem", folder);
    file = fopen(path, "w");
    assert_int_equal(PEM_write_X509(file, certificate), 1);
    fclose(file);
    EVP_PKEY_free(key);
    X509_free(certificate);
}

static int make_certificates(void **state)
{
    struct certificates *made = calloc(1, sizeof(*made));

    strcpy(made->folder, "/tmp/coffer-tls-XXXXXX");
    assert_non_null(mkdtemp(made->folder));
    run("cd %s && for n in ours stranger; do openssl req -x509 -newkey ec -pkeyopt "
        "ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=$n -addext "
        "'subjectAltName=IP:127.0.0.1' -keyout $n.key -out $n.pem 2> /dev/null || exit 1; done",
        made->folder);
    run("cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
        "-subj /CN=elsewhere -addext 'subjectAltName=DNS:kms.example.com' -keyout elsewhere.key "
        "-out elsewhere.pem 2> /dev/null",
        made->folder);
    expire(made->folder);
    *state = made;
    return 0;
}

static int remove_certificates(void **state)
{
    struct certificates *made = *state;

    if (made != NULL) {
        run("rm -rf %s", made->folder);
    }
    free(made);
    return 0;
}

/* A client that trusts `trusted` calls a server that shows `shown`. */
static int call_over_tls(const struct certificates *made, const char *trusted, const char *shown,
                         int newest, unsigned flags)
{
    static const struct line script[] = {{ANSWER, 200, NULL, OK_BODY}};
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    char certificate[128], key[128], authority[128], url[64];
    struct client_fixture *f;
    int error;

    (void)snprintf(certificate, sizeof(certificate), "%s/%s.pem", made->folder, shown);
    (void)snprintf(key, sizeof(key), "%s/%s.key", made->folder, shown);
    (void)snprintf(authority, sizeof(authority), "%s/%s.pem", made->folder, trusted);
    SSL_CTX_set_max_proto_version(tls, newest);
    assert_int_equal(SSL_CTX_use_certificate_file(tls, certificate, SSL_FILETYPE_PEM), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM), 1);
    f = client_start_tls(script, 1, tls);
    (void)snprintf(url, sizeof(url), "https://127.0.0.1:%u", f->server.port);
    f->opts.url = url;
    f->opts.ca_file = authority;
    f->opts.flags = flags;
    f->opts.tries_max = 1;
    error = client_call(f, "ListKeys", "{}");
    assert_true(error == 0 || strstr(f->fault.detail, "127.0.0.1") != NULL);
    assert_int_equal(f->server.requests, error == 0 ? 1 : 0);
    client_stop(f);
    return error;
}

static void the_right_certificate_is_believed(void **state)
{
    assert_int_equal(call_over_tls(*state, "ours", "ours", TLS1_3_VERSION, 0), 0);
}

static void a_strangers_certificate_is_not(void **state)
{
    assert_int_equal(call_over_tls(*state, "ours", "stranger", TLS1_3_VERSION, 0),
                     COFFER_E_KEY_UNREACHABLE);
}

static void a_certificate_for_another_name_is_not(void **state)
{
    assert_int_equal(call_over_tls(*state, "elsewhere", "elsewhere", TLS1_3_VERSION, 0),
                     COFFER_E_KEY_UNREACHABLE);
}

static void an_expired_certificate_is_not(void **state)
{
    assert_int_equal(call_over_tls(*state, "expired", "expired", TLS1_3_VERSION, 0),
                     COFFER_E_KEY_UNREACHABLE);
}

static void old_tls_is_taken_only_when_asked_for(void **state)
{
    assert_int_equal(call_over_tls(*state, "ours", "ours", TLS1_2_VERSION, 0),
                     COFFER_E_KEY_UNREACHABLE);
    assert_int_equal(
        call_over_tls(*state, "ours", "ours", TLS1_2_VERSION, COFFER_KMS_CLIENT_TLS12), 0);
    assert_int_equal(
        call_over_tls(*state, "ours", "ours", TLS1_1_VERSION, COFFER_KMS_CLIENT_TLS12),
        COFFER_E_KEY_UNREACHABLE);
}

/* https:// at a server that speaks no TLS. */
static void plain_http_is_not_taken_for_https(void **state)
{
    static const struct line script[] = {{ANSWER, 200, NULL, OK_BODY}};
    struct client_fixture *f = client_start(script, 1);
    char url[64];

    (void)state;
    (void)snprintf(url, sizeof(url), "https://127.0.0.1:%u", f->server.port);
    f->opts.url = url;
    f->opts.tries_max = 1;
    assert_int_equal(client_call(f, "ListKeys", "{}"), COFFER_E_KEY_UNREACHABLE);
    assert_int_equal(f->server.requests, 0);
    client_stop(f);
}

static void certificates_that_cannot_be_read_are_named(void **state)
{
    static const struct line script[] = {{ANSWER, 200, NULL, OK_BODY}};
    struct client_fixture *f = client_start(script, 1);
    char url[64];

    (void)state;
    (void)snprintf(url, sizeof(url), "https://127.0.0.1:%u", f->server.port);
    f->opts.url = url;
    f->opts.ca_file = "/nonexistent/ca.pem";
    assert_int_equal(client_call(f, "ListKeys", "{}"), COFFER_E_INVALID);
    assert_non_null(strstr(f->fault.detail, "/nonexistent/ca.pem"));
    client_stop(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_right_certificate_is_believed),
        cmocka_unit_test(a_strangers_certificate_is_not),
        cmocka_unit_test(a_certificate_for_another_name_is_not),
        cmocka_unit_test(an_expired_certificate_is_not),
        cmocka_unit_test(old_tls_is_taken_only_when_asked_for),
        cmocka_unit_test(plain_http_is_not_taken_for_https),
        cmocka_unit_test(certificates_that_cannot_be_read_are_named),
    };

    return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
