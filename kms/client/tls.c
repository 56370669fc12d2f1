/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/tls.c - what libcurl has no option for, set in the SSL_CTX that it is about to use.
 */
#include "client/client.h"

#include <openssl/ssl.h>

void cof_client_tls_harden(void *ssl_ctx)
{
    /* Plaintexts of the service pass through OpenSSL's buffers. */
    (void)SSL_CTX_set_options(ssl_ctx, SSL_OP_CLEANSE_PLAINTEXT | SSL_OP_NO_RENEGOTIATION |
                                           SSL_OP_NO_COMPRESSION);
}
