/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/tls.h - TLS 1.3, from a certificate and key in files. OpenSSL stands in tls.c alone.
 *
 * The loop's thread only.
 */
#ifndef COF_KMS_SERVER_TLS_H
#define COF_KMS_SERVER_TLS_H

#include "env.h"

struct event_base;
struct bufferevent;
struct cof_server_tls;

/* NOT_FOUND, ACCESS (others may read the key's file), CRYPTO (they do not fit, or are no PEM). */
COFFER_MUST_CHECK int cof_server_tls_new(struct cof_kms_env *env, const char *cert_file,
                                         const char *key_file, struct cof_server_tls **ret_tls,
                                         struct coffer_fault *fault);
/* Read the files again. New connections get what they hold; on failure all stays as it was. */
COFFER_MUST_CHECK int cof_server_tls_reload(struct cof_server_tls *tls, struct coffer_fault *fault);
void cof_server_tls_free(struct cof_server_tls *tls);

/* A connection's end that accepts, its descriptor still to be set; NULL without memory. */
struct bufferevent *cof_server_tls_accept(struct cof_server_tls *tls, struct event_base *base);

#endif
