/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/log.c - composes access lines.
 */
#include "server/log.h"

#include "server/inner.h"

#include <stdio.h>
#include <time.h>

#define LINE_BYTES 512u

void cof_server_log(struct cof_server *server, const struct cof_server_log_line *line)
{
    char operation[COF_SERVER_WORD_BYTES], access_key[COF_SERVER_WORD_BYTES];
    char text[LINE_BYTES], day[32] = "-";
    time_t seconds = (time_t)(line->wall_ns / 1000000000u);
    struct tm parts;
    if (gmtime_r(&seconds, &parts) != NULL) {
        (void)strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &parts);
    }
    cof_server_head_operation(line->head, operation);
    cof_server_head_access_key(line->head, access_key);
    (void)snprintf(text, sizeof text,
                   "%s.%03uZ id=%.36s peer=%.64s method=%s operation=%s status=%d error=%.63s "
                   "access-key=%s in=%zu out=%zu us=%llu",
                   day, (unsigned)(line->wall_ns / 1000000u % 1000u), line->request_id,
                   line->peer == NULL ? "-" : line->peer, line->head->method, operation,
                   line->status, line->error, access_key, line->bytes_in, line->bytes_out,
                   (unsigned long long)(line->took_ns / 1000u));
    server->opts.calls->log(server->opts.calls->ctx, true, text);
}
