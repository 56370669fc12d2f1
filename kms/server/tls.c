/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/tls.c - one SSL_CTX, replaced whole when the files are read again.
 *
 * Invariants: TLS 1.3 and nothing else; no session is resumed, so there are no ticket keys to guard
 * and no early data to replay; the key's bytes lie in locked memory until OpenSSL has parsed them,
 * and records' plaintext is wiped once it has been handed on. No message of OpenSSL goes further
 * than its reason.
 */
#include "server/tls.h"

#include <coffer/keystore.h>
#include <errno.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_FILE_BYTES_MAX (64 * 1024)

struct cof_server_tls {
    struct cof_kms_env *env;
    const char *cert_file, *key_file;
    SSL_CTX *ctx;
};

static int refuse_file(const char *file, int os_errno, struct coffer_fault *fault)
{
    errno = os_errno;
    return cof_kms_fault(fault, os_errno == ENOENT ? COFFER_E_NOT_FOUND : COFFER_E_ACCESS,
                         "%.90s: %s", file, strerror(os_errno));
}

static int refuse_tls(const char *what, const char *file, struct coffer_fault *fault)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    int error = cof_kms_fault(fault, COFFER_E_CRYPTO, "%.90s %s: %.40s", file, what,
                              reason == NULL ? "OpenSSL refused" : reason);
    ERR_clear_error();
    return error;
}

/* ---- the key ----------------------------------------------------------------------------- */

static int open_key(const char *file, size_t *ret_bytes, int *ret_fd, struct coffer_fault *fault)
{
    struct stat about;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &about) != 0) {
        int error = refuse_file(file, errno, fault);
        if (fd >= 0) {
            close(fd);
        }
        return error;
    }
    int error = 0;
    if (!S_ISREG(about.st_mode) || about.st_size <= 0 || about.st_size > KEY_FILE_BYTES_MAX) {
        error = cof_kms_fault(fault, COFFER_E_INVALID, "%.90s holds no private key", file);
    } else if ((about.st_mode & 077) != 0 || (about.st_uid != geteuid() && about.st_uid != 0)) {
        error = cof_kms_fault(fault, COFFER_E_ACCESS,
                              "%.70s: others may use the private key: chown it to the server's "
                              "user and chmod it to 600",
                              file);
    }
    if (error != 0) {
        close(fd);
        return error;
    }
    *ret_bytes = (size_t)about.st_size;
    *ret_fd = fd;
    return 0;
}

/* For keys that are sealed by a passphrase: there is none. */
static int no_passphrase(char *buffer, int bytes, int writing, void *ctx)
{
    (void)buffer;
    (void)bytes;
    (void)writing;
    (void)ctx;
    return -1;
}

static int use_key(SSL_CTX *ctx, const char *file, struct coffer_fault *fault)
{
    size_t bytes = 0;
    uint8_t *text = NULL;
    int fd = -1;
    int error = open_key(file, &bytes, &fd, fault);
    if (error != 0) {
        return error;
    }
    error = coffer_keystore_secret_new(bytes, &text);
    if (error != 0) {
        error = cof_kms_fault(fault, error, NULL);
    } else if (read(fd, text, bytes) != (ssize_t)bytes) {
        error = cof_kms_fault(fault, COFFER_E_IO, "%.90s could not be read", file);
    }
    close(fd);
    if (error == 0) {
        BIO *bio = BIO_new_mem_buf(text, (int)bytes);
        EVP_PKEY *key =
            bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
        if (key == NULL || SSL_CTX_use_PrivateKey(ctx, key) != 1) {
            error = refuse_tls("holds no private key that fits the certificate", file, fault);
        }
        EVP_PKEY_free(key);
        BIO_free(bio);
    }
    coffer_keystore_secret_free(text);
    return error;
}

/* ---- the context ------------------------------------------------------------------------- */

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_bytes,
                           const unsigned char *in, unsigned in_bytes, void *ctx)
{
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen = NULL;
    (void)ssl;
    (void)ctx;
    if (SSL_select_next_proto(&chosen, out_bytes, ours, sizeof ours - 1, in, in_bytes) !=
        OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int fill_ctx(SSL_CTX *ctx, const struct cof_server_tls *tls, struct coffer_fault *fault)
{
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_options(ctx, SSL_OP_CLEANSE_PLAINTEXT | SSL_OP_NO_TICKET |
                                       SSL_OP_IGNORE_UNEXPECTED_EOF);
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_num_tickets(ctx, 0) != 1) {
        return refuse_tls("cannot be served by TLS 1.3", tls->cert_file, fault);
    }
    if (access(tls->cert_file, R_OK) != 0) {
        return refuse_file(tls->cert_file, errno, fault);
    }
    if (SSL_CTX_use_certificate_chain_file(ctx, tls->cert_file) != 1) {
        return refuse_tls("holds no certificate", tls->cert_file, fault);
    }
    int error = use_key(ctx, tls->key_file, fault);
    if (error == 0 && SSL_CTX_check_private_key(ctx) != 1) {
        error = refuse_tls("is not the certificate's key", tls->key_file, fault);
    }
    return error;
}

int cof_server_tls_reload(struct cof_server_tls *tls, struct coffer_fault *fault)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    int error =
        ctx == NULL ? cof_kms_fault(fault, COFFER_E_NO_MEMORY, NULL) : fill_ctx(ctx, tls, fault);
    if (error != 0) {
        SSL_CTX_free(ctx);
        return error;
    }
    /* Connections that are there hold on to the old one. */
    SSL_CTX_free(tls->ctx);
    tls->ctx = ctx;
    return 0;
}

int cof_server_tls_new(struct cof_kms_env *env, const char *cert_file, const char *key_file,
                       struct cof_server_tls **ret_tls, struct coffer_fault *fault)
{
    struct cof_server_tls *tls = cof_kms_alloc(env, sizeof *tls);
    if (tls == NULL) {
        return cof_kms_fault(fault, COFFER_E_NO_MEMORY, NULL);
    }
    tls->env = env;
    tls->cert_file = cert_file;
    tls->key_file = key_file;
    int error = cof_server_tls_reload(tls, fault);
    if (error != 0) {
        cof_server_tls_free(tls);
        return error;
    }
    *ret_tls = tls;
    return 0;
}

void cof_server_tls_free(struct cof_server_tls *tls)
{
    if (tls != NULL) {
        SSL_CTX_free(tls->ctx);
        cof_kms_free(tls->env, tls);
    }
}

struct bufferevent *cof_server_tls_accept(struct cof_server_tls *tls, struct event_base *base)
{
    SSL *ssl = SSL_new(tls->ctx);
    /* It owns ssl from here on, and has freed it when it fails. */
    return ssl == NULL ? NULL
                       : bufferevent_openssl_socket_new(base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING,
                                                        BEV_OPT_CLOSE_ON_FREE);
}
