/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/snapshots.h - what the verbs on snapshots share, and how a snapshot is shown.
 */
#ifndef COF_TOOLS_COFFER_SNAPSHOTS_H
#define COF_TOOLS_COFFER_SNAPSHOTS_H

#include "session.h"
#include <coffer/snapshot.h>
#include <jansson.h>

/* The snapshot that the session addresses, for the library. */
struct coffer_snapshot_opts cli_snapshot_opts(const struct cli_session *session);

/* Read all there is of it, with the bytes that it alone holds. */
int cli_snapshot_look(struct cli_session *session, struct coffer_snapshot_info *ret_info);

/* snapshot describe, in the open store. */
int cli_snapshot_show(struct cli_session *session);
/* Print a snapshot that a verb has made or looked at. */
int cli_snapshot_print(struct cli_session *session, const struct coffer_snapshot_info *info);

const char *cli_snapshot_status(const struct coffer_snapshot_info *info);
/* Of the status failed. */
#define CLI_SNAPSHOT_STOPPED "the copy stopped before it was whole; run it again and it goes on"

/* A kind of encryption that a snapshot can't be given, or a key: refused with what does give it. */
int cli_snapshot_refuse_key(const struct cof_tool_call *call);

#define CLI_SNAPSHOT_BYTE_FIELDS "Size MappedBytes ExclusiveBytes SharedBytes Data Exclusive Shared"

#endif
