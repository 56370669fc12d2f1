/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cofferkms/ask.h - one operation of the key service, asked for by name, its answer as JSON.
 */
#ifndef COF_TOOLS_COFFERKMS_ASK_H
#define COF_TOOLS_COFFERKMS_ASK_H

#include "common/args.h"
#include "common/kms_args.h"
#include <jansson.h>

struct cof_key_session {
    struct cof_tool_call *call;
    struct cof_tool_kms kms;
    const char *principal; /* ARN of who asks; NULL: the root of the store's account */
};

/* creates: make the key store when there is none. 0, or an exit code after a complaint. */
int cof_key_open(struct cof_key_session *session, struct cof_tool_call *call, bool creates);
void cof_key_close(struct cof_key_session *session);

/* The answer, with its times as people read them; 0, or an exit code after a complaint. */
int cof_key_ask(struct cof_key_session *session, const char *operation, const json_t *params,
                json_t **ret_answer);

/* value as text, wiped when it is given to cof_key_text_free; NULL when there is no memory. */
char *cof_key_text(const json_t *value, size_t *ret_bytes);
void cof_key_text_free(char *text, size_t bytes);

#endif
