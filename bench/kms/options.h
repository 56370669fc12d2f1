/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/options.h - what a load on the key service is.
 */
#ifndef COF_BENCH_KMS_OPTIONS_H
#define COF_BENCH_KMS_OPTIONS_H

#include <stdint.h>

struct cof_bench_kms_options {
    const char *url;       /* https://127.0.0.1:8443/                                       */
    const char *unix_path; /* or NULL                                                       */
    const char *ca_file;   /* or NULL                                                       */
    const char *region;
    const char *operation;   /* "Decrypt"; a GET of "/healthz"                                */
    const char *body_file;   /* JSON of the request                                           */
    const char *secret_file; /* access key id and secret, a line each; NULL: nothing is signed */
    uint64_t connections;
    uint64_t duration_ns; /* of the measured time; 0: one request a connection, then hold  */
    uint64_t hold_pid;    /* the server's: its memory is told while all connections stand  */
};

#endif
