/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/head.h - what of a request's head is refused before anything looks at its meaning.
 *
 * libevent parses; this looks at the outcome for what it lets through and what two parties could
 * read in two ways. Pure: no state, no I/O.
 */
#ifndef COF_KMS_SERVER_HEAD_H
#define COF_KMS_SERVER_HEAD_H

#include <coffer/kms.h>
#include <stddef.h>

struct cof_server_head {
    int major, minor; /* of HTTP */
    const char *method;
    const char *target;
    const struct coffer_kms_header *headers;
    unsigned header_count;
};

/* An answer of the server's own; its message is a sentence of static storage. */
struct cof_server_refusal {
    int status;
    const char *type; /* as in __type */
    const char *message;
};

extern const struct cof_server_refusal cof_server_busy;     /* 503: queue full, or stopping */
extern const struct cof_server_refusal cof_server_internal; /* 500: the call gave no answer */

/* NULL when the head is sound. After a refusal the connection must be closed: where the body ends
 * is not sure. */
const struct cof_server_refusal *cof_server_head_check(const struct cof_server_head *head);

/* The value of the first header of that name in any case, or NULL. */
const char *cof_server_header(const struct coffer_kms_header *headers, unsigned count,
                              const char *name);

/* What a log line may show of a head: the operation of X-Amz-Target, and the id of the access key
 * in Authorization, claimed and not verified. "-" when there is none, or none that is well
 * formed. */
#define COF_SERVER_WORD_BYTES 65u
void cof_server_head_operation(const struct cof_server_head *head,
                               char ret_word[COF_SERVER_WORD_BYTES]);
void cof_server_head_access_key(const struct cof_server_head *head,
                                char ret_word[COF_SERVER_WORD_BYTES]);

#endif
