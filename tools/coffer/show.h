/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/show.h - what volumes and snapshots have in common when they are shown.
 */
#ifndef COF_TOOLS_COFFER_SHOW_H
#define COF_TOOLS_COFFER_SHOW_H

#include "session.h"
#include <jansson.h>

/* "arn:P:coffer:REGION:ACCOUNT:KIND:NAME". P, REGION and ACCOUNT are the key's; what is plain
 * (key_arn NULL) has those of the options, or the defaults. null for a key's ARN that is none. */
json_t *cli_show_arn(const struct cli_session *session, const char *key_arn, const char *kind,
                     const char *name);
/* "arn:coffer-db:REGION:ACCOUNT:RESOURCE-ID/" and a star: what policies on connecting name. */
json_t *cli_show_resource_arn(const struct cli_session *session, const char *key_arn,
                              const char *resource_id);
/* ISO 8601 in UTC; null when it is not known. */
json_t *cli_show_time(bool known, uint64_t wall_ns);
json_t *cli_show_text(const char *text); /* null when it is empty */
json_t *cli_show_number(bool known, uint64_t value);
/* Status of what has a name that is known, or is sealed because of open_error. */
const char *cli_show_status(bool known, int open_error);

/* The keys that a reading verb asks, for which nothing is written; NULL with --keyless. The verb
 * takes that option. */
const struct coffer_key_provider *cli_show_provider(struct cli_session *session);
/* Say once why names stay sealed, when keys were asked for and refused. */
void cli_show_sealed(struct cli_session *session, int open_error);

/* Whether a verb that changes something is to print what came of it: --output or --query. */
bool cli_show_result(const struct cof_tool_call *call);

#endif
