/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/rekey.h - what rekey.c shares with rekey_deep.c, which does what takes time.
 */
#ifndef COF_TOOLS_COFFER_REKEY_H
#define COF_TOOLS_COFFER_REKEY_H

#include "common/progress.h"
#include "session.h"

struct cli_rekeying {
    struct cli_session session;
    const char *depth_name;
    enum coffer_rekey_depth depth;
    bool deep;
    const char *key; /* that was asked for; NULL: the present one */
    struct coffer_key_info new_key;
    char old_arn[COFFER_KEY_ARN_BYTES_MAX];
    struct coffer_uuid volume; /* of the volume, which may be gone   */
    bool volume_found;
    unsigned snapshots;                    /* that go with it */
    struct coffer_reencrypt_status status; /* of depth deep */
};

/* ---- rekey_deep.c ---- */
/* Seal all pages anew, from begin to end or until it is interrupted, in a store that is open for
 * writing; status is how far it came. */
int cli_rekey_deep(struct cli_rekeying *rekeying);
/* rekey --status. */
int cli_rekey_status(struct cli_session *session);

#endif
