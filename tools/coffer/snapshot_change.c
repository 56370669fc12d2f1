/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/snapshot_change.c - snapshot delete and restore.
 *
 * Both look at the snapshot first, in a store opened for reading: it is there, it is the one that
 * was pinned, and its key can be had. They look again when the store is open for writing.
 */
#include "common/output.h"
#include "common/progress.h"
#include "show.h"
#include "snapshots.h"
#include "tag.h"
#include "verbs.h"
#include "volume.h"
#include <string.h>

/* ---- delete ------------------------------------------------------------------------------ */

/* What was begun of a copy can't be opened and was never pinned, but it can be deleted. */
static int check_deletion(struct cli_session *session)
{
    struct coffer_fault fault = cli_no_fault();
    struct coffer_snapshot_opts opts = cli_snapshot_opts(session);
    struct coffer_snapshot_info info = {.size = sizeof info};
    if (cli_session_probe(session, &fault) == COFFER_E_BUSY &&
        coffer_snapshot_info_get(session->store, &opts, &info, &fault) == 0 &&
        info.status != COFFER_SNAPSHOT_AVAILABLE) {
        return 0;
    }
    return cli_volume_check_deletion(session);
}

static int show_deletion(struct cli_session *session)
{
    struct cof_tool_view view = {.schema_version = 1, .byte_fields = CLI_SNAPSHOT_BYTE_FIELDS};
    struct coffer_snapshot_info info;
    int exit_code = cli_snapshot_look(session, &info);
    if (exit_code != 0) {
        return exit_code;
    }
    json_t *freed = info.exclusive_bytes != UINT64_MAX
                        ? json_integer((json_int_t)info.exclusive_bytes)
                        : json_null();
    return cof_tool_print(session->call,
                          json_pack("{s:b, s:s, s:s, s:s, s:I, s:I, s:o}", "DryRun", 1, "Action",
                                    "delete the snapshot", "Name", session->address.name,
                                    "ResourceId", info.resource_id, "Size",
                                    (json_int_t)info.size_bytes, "MappedBytes",
                                    (json_int_t)info.mapped_bytes, "ExclusiveBytes", freed),
                          &view);
}

static int delete_it(struct cli_session *session)
{
    struct coffer_fault fault = cli_no_fault();
    struct coffer_snapshot_opts opts = cli_snapshot_opts(session);
    int error = coffer_snapshot_delete(session->store, &opts, &fault);
    if (error != 0) {
        return cli_session_fail(session, error, &fault, NULL, "cannot delete %s",
                                cli_session_name(session));
    }
    if (cof_tool_given(session->call, "no-pin")) {
        return 0;
    }
    return cli_pins_remove(session->call, &session->store_info.uuid, session->address.name);
}

static int delete_asking(struct cli_session *session)
{
    int exit_code =
        cof_tool_confirm(session->call, "the snapshot %s will be lost", cli_session_name(session));
    if (exit_code == 0) {
        exit_code = cli_session_go_on(session);
    }
    if (exit_code == 0) {
        exit_code = check_deletion(session);
    }
    return exit_code == 0 ? delete_it(session) : exit_code;
}

int cli_snapshot_delete(struct cof_tool_call *call)
{
    struct cli_session session;
    int exit_code = cli_session_begin(&session, call, CLI_SNAPSHOT, call->operands[0]);
    if (exit_code != 0) {
        return exit_code;
    }
    bool dry_run = cof_tool_given(call, "dry-run");
    cli_session_use_keys(&session, dry_run ? (unsigned)COFFER_KEYSTORE_READ_ONLY : 0u);
    exit_code = cli_session_open_store(&session, COFFER_OPEN_READ_ONLY);
    if (exit_code == 0) {
        exit_code = check_deletion(&session);
    }
    if (exit_code == 0) {
        exit_code = dry_run ? show_deletion(&session) : delete_asking(&session);
    }
    return cli_session_end(&session, exit_code);
}

/* ---- restore ----------------------------------------------------------------------------- */

struct restoring {
    struct cli_session session; /* of the snapshot, and then of the new volume */
    struct cli_address snapshot;
    struct cli_address volume;
    const char *key;                /* that was asked for, or NULL            */
    bool from_encrypted;            /* the snapshot is                        */
    bool encrypted;                 /* the new volume will be                 */
    struct coffer_volume_info info; /* of the snapshot             */
    struct cli_tags tags;           /* of the new volume           */
    struct cof_tool_progress progress;
    uint64_t done_bytes;
    bool started;
};

static int check_operands(struct restoring *restoring)
{
    const struct cof_tool_call *call = restoring->session.call;
    int exit_code = cli_address_take(call, CLI_VOLUME, call->operands[1], &restoring->volume);
    if (exit_code == 0 && !cli_address_same_store(&restoring->snapshot, &restoring->volume)) {
        exit_code = cof_tool_usage(call, NULL,
                                   "%s and %s are two stores: a snapshot is restored in its own "
                                   "store; `coffer snapshot copy` copies it into another",
                                   restoring->snapshot.store, restoring->volume.store);
    }
    if (exit_code == 0 && restoring->key != NULL && cof_tool_given(call, "no-storage-encrypted")) {
        exit_code = cof_tool_usage(call, "InvalidParameterCombination",
                                   "--kms-key-id has no meaning with --no-storage-encrypted");
    }
    return exit_code;
}

/* What the documents allow: once encrypted, always encrypted, and encryption names its key. */
static int check_kind(struct restoring *restoring)
{
    const struct cof_tool_call *call = restoring->session.call;
    bool plain = cof_tool_given(call, "no-storage-encrypted");
    bool encrypted = cof_tool_given(call, "encrypted") || cof_tool_given(call, "storage-encrypted");
    if (restoring->from_encrypted && plain) {
        return cof_tool_usage(call, "InvalidParameterCombination",
                              "an encrypted snapshot can't become an unencrypted volume; `coffer "
                              "volume export` gives its contents out");
    }
    if (plain && encrypted) {
        return cof_tool_usage(call, "InvalidParameterCombination",
                              "--no-storage-encrypted contradicts --storage-encrypted");
    }
    if (!restoring->from_encrypted && encrypted && restoring->key == NULL) {
        return cof_tool_usage(call, "InvalidParameterCombination",
                              "the snapshot is not encrypted: name the new volume's key with "
                              "--kms-key-id KEY");
    }
    return 0;
}

static void aim(struct restoring *restoring, const struct cli_address *address)
{
    restoring->session.address = *address;
}

/* In the store that is open for reading: the snapshot opens, the new name is free, and the new key
 * can be used. */
static int check_restore(struct restoring *restoring, struct coffer_key_info *key)
{
    struct cli_session *session = &restoring->session;
    int exit_code = cli_session_open_named(session, COFFER_VOLUME_READ_ONLY);
    if (exit_code != 0) {
        return exit_code;
    }
    restoring->info = session->volume_info;
    restoring->from_encrypted = session->volume_info.encrypted != 0;
    restoring->encrypted = restoring->from_encrypted || restoring->key != NULL;
    exit_code = check_kind(restoring);
    aim(restoring, &restoring->volume);
    if (exit_code == 0) {
        exit_code = cli_volume_check_name(session);
    }
    if (exit_code == 0 && restoring->encrypted) {
        exit_code = cli_volume_check_key(
            session, restoring->key != NULL ? restoring->key : restoring->info.key_arn, key);
    }
    aim(restoring, &restoring->snapshot);
    return exit_code;
}

static int show_restore(struct restoring *restoring, const struct coffer_key_info *key)
{
    struct cof_tool_view view = {.schema_version = 1, .byte_fields = CLI_VOLUME_BYTE_FIELDS};
    bool copies = restoring->encrypted && !restoring->from_encrypted;
    json_t *plan = json_pack("{s:b, s:s, s:s, s:s, s:s, s:I, s:b, s:b}", "DryRun", 1, "Action",
                             "restore the snapshot", "Store", restoring->volume.store, "Snapshot",
                             restoring->snapshot.name, "Name", restoring->volume.name, "Size",
                             (json_int_t)restoring->info.size_bytes, "StorageEncrypted",
                             restoring->encrypted, "CopiesPages", copies);
    if (plan != NULL && restoring->encrypted) {
        json_object_set_new(plan, "KmsKeyId", json_string(key->arn));
        json_object_set_new(plan, "KeyState", json_string(coffer_keystore_state_name(key->state)));
        json_object_set_new(plan, "Shareable", json_boolean(!key->managed));
    }
    return cof_tool_print(restoring->session.call, plan, &view);
}

/* Only where pages are copied. */
static int go_on(void *ctx, uint64_t done_bytes, uint64_t total_bytes)
{
    struct restoring *restoring = ctx;
    if (!restoring->started) {
        cof_tool_progress_begin(&restoring->progress, restoring->session.call, "restore",
                                total_bytes);
        restoring->started = true;
    }
    restoring->done_bytes = done_bytes;
    cof_tool_progress_step(&restoring->progress, done_bytes);
    return cof_tool_interrupted() && done_bytes != total_bytes ? COFFER_E_CANCELLED : 0;
}

static int restore_it(struct restoring *restoring)
{
    struct cli_session *session = &restoring->session;
    struct coffer_fault fault = cli_no_fault();
    struct coffer_snapshot_restore_opts opts = {
        .size = sizeof opts,
        .snapshot = cli_snapshot_opts(session),
        .new_name = restoring->volume.volume,
        .kms_key_id = restoring->key,
        .on_progress = go_on,
        .ctx = restoring,
        .tags = restoring->tags.tags,
        .tag_count = restoring->tags.count,
        .caller = cli_session_caller(session),
    };
    int error = coffer_snapshot_restore(session->store, &opts, &fault);
    if (restoring->started) {
        cof_tool_progress_end(&restoring->progress, restoring->done_bytes);
    }
    if (error != 0) {
        return cli_session_fail(session, error, &fault, NULL, "cannot restore %s as %s",
                                cli_session_name(session), restoring->volume.name);
    }
    aim(restoring, &restoring->volume);
    return cli_volume_adopt(session, restoring->encrypted, COFFER_VOLUME_READ_ONLY);
}

static int restore(struct restoring *restoring)
{
    struct cli_session *session = &restoring->session;
    struct coffer_key_info key;
    memset(&key, 0, sizeof key);
    int exit_code = check_restore(restoring, &key);
    if (exit_code == 0 && cof_tool_given(session->call, "dry-run")) {
        return show_restore(restoring, &key);
    }
    if (exit_code == 0) {
        exit_code = cli_session_go_on_closed(session);
    }
    if (exit_code == 0) {
        exit_code = restore_it(restoring);
    }
    return exit_code == 0 && cli_show_result(session->call)
               ? cli_volume_print(session, &session->volume_info)
               : exit_code;
}

int cli_snapshot_restore(struct cof_tool_call *call)
{
    static struct restoring restoring;
    struct cli_session *session = &restoring.session;
    int exit_code = cli_session_begin(session, call, CLI_SNAPSHOT, call->operands[0]);
    if (exit_code != 0) {
        return exit_code;
    }
    restoring.snapshot = session->address;
    restoring.key = cof_tool_text(call, "kms-key-id", NULL);
    exit_code = check_operands(&restoring);
    if (exit_code == 0) {
        exit_code = cli_tags_given(call, &restoring.tags);
    }
    if (exit_code == 0) {
        cli_session_use_keys(
            session, cof_tool_given(call, "dry-run") ? (unsigned)COFFER_KEYSTORE_READ_ONLY : 0u);
        exit_code = cli_session_open_store(session, COFFER_OPEN_READ_ONLY);
    }
    if (exit_code == 0) {
        exit_code = restore(&restoring);
    }
    return cli_session_end(session, exit_code);
}
