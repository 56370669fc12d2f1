/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/copy_side.h - the two sides of snapshot copy: which snapshot, and into what.
 *
 * What a copy needs no key for is not asked of a key: a source that is pinned, or named by its id,
 * is found in the clear part of the catalogue, so that a copy within one key service is a
 * ReEncrypt and nothing else. A source that was never seen is opened once, and pinned.
 *
 * Functions report their own failures and return an exit code. One thread.
 */
#ifndef COF_TOOLS_COFFER_COPY_SIDE_H
#define COF_TOOLS_COFFER_COPY_SIDE_H

#include "session.h"
#include <coffer/snapshot.h>

struct cli_copy_source {
    char volume[COFFER_NAME_BYTES_MAX];
    char name[COFFER_NAME_BYTES_MAX];       /* or its id: what the library is to look for */
    char key_arn[COFFER_KEY_ARN_BYTES_MAX]; /* empty: plain, or not known without a key   */
    bool encrypted;
};

/* Find the snapshot that session addresses in its open store. by_name: its id will not do, since it
 * will be opened. */
int cli_copy_find_source(struct cli_session *session, bool by_name,
                         struct cli_copy_source *ret_source);

/* What is under the copy's name in the open store: nothing, or the beginning of a copy, which goes
 * on (*ret_begun) if it is under key_arn (empty: plain, or not known). All else is refused. */
int cli_copy_check_goal(struct cli_session *session, const char *key_arn, bool *ret_begun);

/* The snapshots that are whole, to tell afterwards which one is new. */
struct cli_copy_census {
    unsigned count;
    struct coffer_uuid uuids[COFFER_SNAPSHOTS_MAX];
};

COFFER_MUST_CHECK int cli_copy_count(struct cli_session *session, struct cli_copy_census *census);
/* The one that is whole now and was not then; false: there is none. */
bool cli_copy_find_new(struct cli_session *session, const struct cli_copy_census *before,
                       struct coffer_snapshot_info *ret_info);

#endif
