/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/snapshot_share.c - snapshot add-recipient and remove-recipient: other master keys that
 * open one snapshot, and no other.
 *
 * The snapshot is looked at in a store that is open for reading: it is the one that was pinned, its
 * key can be had, and the recipient's key is there. What can't be shared is refused then.
 */
#include "show.h"
#include "snapshots.h"
#include "verbs.h"
#include "volume.h"
#include <string.h>

struct sharing {
    struct cli_session session;
    const char *key;
    struct coffer_key_info recipient;
    bool adds;
    bool found; /* the recipient among those that open it */
    bool owner;
};

static int see(void *ctx, const char *key_arn, int owner)
{
    struct sharing *sharing = ctx;
    if (strcmp(key_arn, sharing->recipient.arn) == 0) {
        sharing->found = true;
        sharing->owner = owner != 0;
    }
    return 0;
}

static int refuse_managed(const struct cli_session *session)
{
    return cof_tool_usage(session->call, "InvalidParameterCombination",
                          "%s is under the managed default key, which can't be shared; copy it "
                          "under a key of your own with `coffer snapshot copy --kms-key-id KEY`, "
                          "or change its volume's key with `coffer rekey --kms-key-id KEY`",
                          cli_session_name(session));
}

static int check_change(struct sharing *sharing)
{
    struct cli_session *session = &sharing->session;
    struct coffer_fault fault = cli_no_fault();
    struct coffer_snapshot_opts opts = cli_snapshot_opts(session);
    int error = coffer_recipient_list(session->store, &opts, see, sharing, &fault);
    if (error != 0) {
        return cli_session_fail(session, error, &fault, NULL, "cannot list the recipients of %s",
                                cli_session_name(session));
    }
    if (sharing->adds && sharing->found) {
        return cof_tool_fail(session->call, COFFER_E_EXISTS, NULL, "nothing is to be done",
                             "%s opens %s already", sharing->recipient.arn,
                             cli_session_name(session));
    }
    if (!sharing->adds && sharing->owner) {
        return cof_tool_usage(session->call, "InvalidParameterCombination",
                              "%s is the snapshot's own key; `coffer rekey` of the volume puts it "
                              "under another",
                              sharing->recipient.arn);
    }
    if (!sharing->adds && !sharing->found) {
        return cof_tool_fail(session->call, COFFER_E_NOT_FOUND, NULL,
                             "`coffer snapshot describe` lists the recipients",
                             "%s is no recipient of %s", sharing->recipient.arn,
                             cli_session_name(session));
    }
    return 0;
}

/* A recipient whose key is gone or disabled can be removed: by its ARN. */
static int find_recipient(struct sharing *sharing)
{
    struct cli_session *session = &sharing->session;
    if (sharing->adds) {
        return cli_volume_check_key(session, sharing->key, &sharing->recipient);
    }
    const struct coffer_key_provider *asker = cli_session_asker(session);
    if (asker->ops->describe(asker->ctx, sharing->key, &sharing->recipient) != 0) {
        memset(&sharing->recipient, 0, sizeof sharing->recipient);
        memcpy(sharing->recipient.arn, sharing->key,
               strnlen(sharing->key, sizeof sharing->recipient.arn - 1));
    }
    return 0;
}

static int check(struct sharing *sharing)
{
    struct cli_session *session = &sharing->session;
    struct coffer_key_info owner;
    int exit_code = cli_session_open_volume(session, COFFER_VOLUME_READ_ONLY);
    if (exit_code != 0) {
        return exit_code;
    }
    if (!session->volume_info.encrypted) {
        return cof_tool_usage(session->call, "InvalidParameterCombination",
                              "%s is not encrypted: anyone who has the store reads it",
                              cli_session_name(session));
    }
    exit_code = cli_volume_check_key(session, session->volume_info.key_arn, &owner);
    if (exit_code == 0 && sharing->adds && owner.managed) {
        exit_code = refuse_managed(session);
    }
    if (exit_code == 0) {
        exit_code = find_recipient(sharing);
    }
    return exit_code == 0 ? check_change(sharing) : exit_code;
}

static int change(struct sharing *sharing)
{
    struct cli_session *session = &sharing->session;
    struct coffer_fault fault = cli_no_fault();
    struct coffer_recipient_opts opts = {.size = sizeof opts,
                                         .snapshot = cli_snapshot_opts(session),
                                         .kms_key_id = sharing->recipient.arn};
    struct coffer_snapshot_info info;
    opts.snapshot.provider = cli_session_asker(session); /* the engine has no right to share it */
    int error = sharing->adds ? coffer_recipient_add(session->store, &opts, &fault)
                              : coffer_recipient_remove(session->store, &opts, &fault);
    if (error != 0) {
        return cli_session_fail(session, error, &fault, NULL, "cannot change who opens %s",
                                cli_session_name(session));
    }
    if (!cli_show_result(session->call)) {
        return 0;
    }
    int exit_code = cli_snapshot_look(session, &info);
    return exit_code == 0 ? cli_snapshot_print(session, &info) : exit_code;
}

static int share(struct cof_tool_call *call, bool adds)
{
    static struct sharing sharing;
    struct cli_session *session = &sharing.session;
    sharing.adds = adds;
    sharing.key = cof_tool_text(call, "kms-key-id", NULL);
    if (sharing.key == NULL) {
        return cof_tool_usage(call, NULL, "--kms-key-id is missing: the recipient's key");
    }
    int exit_code = cli_session_begin(session, call, CLI_SNAPSHOT, call->operands[0]);
    if (exit_code != 0) {
        return exit_code;
    }
    exit_code = check(&sharing);
    if (exit_code == 0) {
        exit_code = cli_session_go_on_closed(session);
    }
    if (exit_code == 0) {
        exit_code = change(&sharing);
    }
    return cli_session_end(session, exit_code);
}

int cli_snapshot_add_recipient(struct cof_tool_call *call)
{
    return share(call, true);
}

int cli_snapshot_remove_recipient(struct cof_tool_call *call)
{
    return share(call, false);
}
