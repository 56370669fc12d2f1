/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/client.h - connections to a key service that each make one request after the other.
 *
 * libcurl speaks HTTP and TLS, coffer_kms_sign signs each request anew, within the measured time,
 * as a client does. One thread.
 */
#ifndef COF_BENCH_KMS_CLIENT_H
#define COF_BENCH_KMS_CLIENT_H

#include "tools/load/latency.h"
#include "kms/options.h"
#include <coffer/kms.h>
#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>

struct cof_bench_kms_connection {
    CURL *easy;
    struct curl_slist *headers;
};

struct cof_bench_kms_client {
    const struct cof_bench_kms_options *options;
    struct coffer_kms_http_request request;
    struct coffer_kms_header headers[3];
    struct coffer_kms_signing signing;
    char host[256], key_id[COFFER_KMS_ACCESS_KEY_ID_BYTES_MAX], secret[COFFER_KMS_SECRET_BYTES_MAX];
    char *body;
    CURLM *multi;
    struct cof_bench_kms_connection *connections;
    struct cof_load_latency latency;
    uint64_t done, failed, connects;
    char first_failure[256];
};

/* 0, or -1 after a sentence on standard error. */
int cof_bench_kms_client_init(struct cof_bench_kms_client *client,
                              const struct cof_bench_kms_options *options);
/* Let every connection make requests until end_ns; 0: one each. 0, or -1 after a sentence. */
int cof_bench_kms_client_run(struct cof_bench_kms_client *client, uint64_t end_ns);
/* Forget what was counted. */
void cof_bench_kms_client_reset(struct cof_bench_kms_client *client);
void cof_bench_kms_client_done(struct cof_bench_kms_client *client);

#endif
