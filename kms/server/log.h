/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/log.h - the line that a request leaves.
 *
 *   2026-11-22T10:00:00.123Z id=... peer=127.0.0.1 method=POST operation=Decrypt status=200
 *   error=- access-key=AKIA... in=120 out=333 us=812
 *
 * (one line). Of what the client sent it shows two words that are letters and digits, and no path,
 * query, header, body or signature. The access key is the one that the client claims.
 */
#ifndef COF_KMS_SERVER_LOG_H
#define COF_KMS_SERVER_LOG_H

#include "server/head.h"

#include <stdint.h>

struct cof_server;

struct cof_server_log_line {
    uint64_t wall_ns, took_ns;
    const struct cof_server_head *head;
    const char *peer; /* or NULL */
    int status;
    const char *request_id, *error;
    size_t bytes_in, bytes_out;
};

void cof_server_log(struct cof_server *server, const struct cof_server_log_line *line);

#endif
